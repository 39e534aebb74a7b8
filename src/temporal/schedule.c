/* Schedules: records in, JSON out, both in the form of Temporal's API. */
#include "temporal/client_internal.h"

#define JSON_MAX ((size_t)64 << 20)
#define EDITS_MAX 20 /* writes that meet another's before an update gives up */

struct edit {
    struct str id;
    client_edit_fn fn;
    void *ud;
    int tries;
};

static void ask_schedule(struct call *c, struct str id, call_read_fn read)
{
    struct arena *a = call_turn(c);
    Pb__DescribeScheduleRequest *q =
        bridge_new(a, Pb__DescribeScheduleRequest, pb__describe_schedule_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->schedule_id = bridge_text(a, id);
    call_send(c, METHOD("DescribeSchedule"), q, read);
}

/* ---- create ---- */
void client_schedule_create(struct backend *b, struct str id, const struct rec *schedule,
                            const struct rec *patch, const struct rec *memo,
                            const struct rec *search_attributes, struct str request_id,
                            backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "create schedule", id);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__CreateScheduleRequest *q =
        bridge_new(a, Pb__CreateScheduleRequest, pb__create_schedule_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->schedule_id = bridge_text(a, id);
    q->schedule = bridge_message(a, &pb_schedule__schedule__descriptor, schedule);
    q->initial_patch = bridge_message(a, &pb_schedule__schedule_patch__descriptor, patch);
    q->identity = bridge_text(a, str_of(c->t->identity));
    q->request_id = call_request_id(c, a, request_id);
    q->memo = bridge_message(a, &pb_common__memo__descriptor, memo);
    q->search_attributes =
        bridge_message(a, &pb_common__search_attributes__descriptor, search_attributes);
    call_send(c, METHOD("CreateSchedule"), q, call_read_nothing);
}

/* ---- describe, list ---- */
static int read_described(struct call *c, struct str bytes, struct err *e)
{
    return client_reply_json(c, &rec_type_describe_schedule_response, bytes, e);
}

void client_schedule_describe(struct backend *b, struct str id, backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "describe schedule", id);
    if (c) ask_schedule(c, id, read_described);
}

static int read_listed(struct call *c, struct str bytes, struct err *e)
{
    return client_reply_json(c, &rec_type_list_schedules_response, bytes, e);
}

void client_schedule_list(struct backend *b, struct str query, int limit, struct str page,
                          backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "list schedules", (struct str){NULL, 0});
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__ListSchedulesRequest *q =
        bridge_new(a, Pb__ListSchedulesRequest, pb__list_schedules_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->maximum_page_size = limit > 0 && limit < 1000 ? limit : 1000;
    q->query = bridge_text(a, query);
    if (client_page_in(a, page, &q->next_page_token))
        call_fail_later(c, ERR_ARG, "the page is not one that an earlier answer named");
    else
        call_send(c, METHOD("ListSchedules"), q, read_listed);
}

/* ---- update: read, edit, write back unless somebody else was faster ---- */
static bool update_refused(struct call *c, const struct status *s);

static int read_to_edit(struct call *c, struct str bytes, struct err *e)
{
    struct edit *x = c->state;
    struct bridge_part schedule = {.tag = 1, .type = &rec_type_schedule};
    Pb__DescribeScheduleResponse *m;
    int rc = call_read(c, &pb__describe_schedule_response__descriptor, bytes, &schedule, 1, &m, e);
    if (rc) return rc;
    if (!schedule.n) return err_set(e, ERR_PROTO, "the server told of no schedule");
    struct err why = {0};
    rc = x->fn(x->ud, call_arena(c), schedule.recs[0], &why);
    if (rc) {
        if (!why.code) err_set(&why, rc, "%s: %s", c->doing, err_name(rc));
        call_fail(c, &why);
        return 0;
    }
    struct arena *a = call_turn(c);
    Pb__UpdateScheduleRequest *q =
        bridge_new(a, Pb__UpdateScheduleRequest, pb__update_schedule_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->schedule_id = bridge_text(a, x->id);
    q->schedule = bridge_message(a, &pb_schedule__schedule__descriptor, schedule.recs[0]);
    q->conflict_token = bridge_bytes(a, bridge_str(&m->conflict_token));
    q->identity = bridge_text(a, str_of(c->t->identity));
    q->request_id = call_request_id(c, a, (struct str){NULL, 0});
    c->refused = update_refused;
    call_send(c, METHOD("UpdateSchedule"), q, call_read_nothing);
    return 0;
}

static bool update_refused(struct call *c, const struct status *s)
{
    struct edit *x = c->state;
    static const char mismatch[] = "conflict token";
    bool conflict = s->code == STATUS_FAILED_PRECONDITION || s->code == STATUS_ABORTED;
    conflict = conflict && memmem(s->message.p, s->message.n, mismatch, sizeof mismatch - 1);
    if (!conflict || ++x->tries >= EDITS_MAX) return false;
    c->refused = NULL;
    ask_schedule(c, x->id, read_to_edit);
    return true;
}

void client_schedule_update(struct backend *b, struct str id, client_edit_fn edit, void *edit_ud,
                            backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "update schedule", id);
    struct edit *x = c ? arena_alloc(&c->arena, sizeof *x) : NULL;
    if (!c) return;
    if (!x) {
        call_fail_later(c, ERR_NOMEM, "out of memory");
        return;
    }
    *x = (struct edit){.id = arena_str(&c->arena, id), .fn = edit, .ud = edit_ud};
    c->state = x;
    ask_schedule(c, x->id, read_to_edit);
}

/* ---- patch, delete ---- */
void client_schedule_patch(struct backend *b, struct str id, const struct rec *patch,
                           struct str request_id, backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "change schedule", id);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__PatchScheduleRequest *q =
        bridge_new(a, Pb__PatchScheduleRequest, pb__patch_schedule_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->schedule_id = bridge_text(a, id);
    q->patch = bridge_message(a, &pb_schedule__schedule_patch__descriptor, patch);
    q->identity = bridge_text(a, str_of(c->t->identity));
    q->request_id = call_request_id(c, a, request_id);
    call_send(c, METHOD("PatchSchedule"), q, call_read_nothing);
}

void client_schedule_delete(struct backend *b, struct str id, backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "delete schedule", id);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__DeleteScheduleRequest *q =
        bridge_new(a, Pb__DeleteScheduleRequest, pb__delete_schedule_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->schedule_id = bridge_text(a, id);
    q->identity = bridge_text(a, str_of(c->t->identity));
    call_send(c, METHOD("DeleteSchedule"), q, call_read_nothing);
}

/* ---- any reply as JSON ---- */
int client_reply_json(struct call *c, const struct rec_type *t, struct str bytes, struct err *e)
{
    struct rec *r;
    struct buf b;
    int rc = rec_decode(call_arena(c), t, bytes, &r, e);
    if (rc) return rc;
    buf_init(&b, JSON_MAX);
    rc = rec_to_json(r, &b, false);
    if (rc) rc = err_set(e, rc, "it is too long");
    struct backend_reply reply = {.json = buf_str(&b)};
    if (!rc) call_reply(c, &reply);
    buf_free(&b);
    return rc;
}
