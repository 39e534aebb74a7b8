/* Updates: requests from messages (live), from UpdateAccepted (replay) or UpdateAdmitted (after a
 * reset), and the answers.
 *
 * An update is delivered before the first event whose id is above its sequencing id. Acceptance and
 * response go out as a message and a PROTOCOL_MESSAGE command at the place where they happened; a
 * rejection is a message only. On replay the commands are made for the comparison and no message is
 * sent. */
#include "workflow/wf_machine.h"

#define A(r) (&(r)->machines->cmds->arena)
#define TYPE_URL "type.googleapis.com/temporal.api.update.v1."

static struct wf_update *update_find(struct wf_run *r, struct str id)
{
    struct wf_update *found = NULL;
    for (struct wf_update *u = r->machines->updates; u; u = u->next) {
        if (str_eq(u->id, id) && u->state != UPDATE_FINISHED) found = u;
    }
    return found;
}

void wf_updates_free(struct wf_run *r, bool all)
{
    struct wf_update **at = &r->machines->updates;
    while (*at) {
        struct wf_update *u = *at;
        if (!all && u->state != UPDATE_FINISHED) {
            at = &u->next;
            continue;
        }
        *at = u->next;
        arena_free(&u->arena);
        mem_free(u);
    }
}

static int update_add(struct wf_run *r, struct str id, struct str message_id, int64_t sequencing_id,
                      const struct rec *request, bool replayed)
{
    struct wf_machines *m = r->machines;
    if (update_find(r, id)) return 0; /* both as an event and as a message */
    struct wf_update *u = mem_zalloc(sizeof *u), **at = &m->updates;
    if (!u) return ERR_NOMEM;
    arena_init(&u->arena, 0);
    u->id = arena_str(&u->arena, id);
    u->message_id = arena_str(&u->arena, message_id);
    u->sequencing_id = sequencing_id;
    u->request = rec_clone(&u->arena, request);
    u->replayed = replayed;
    u->state = UPDATE_WAITING;
    while (*at)
        at = &(*at)->next;
    *at = u;
    return arena_failed(&u->arena) ? ERR_NOMEM : 0;
}

int wf_update_from_message(struct wf_run *r, const struct rec *message)
{
    struct str type = rec_str(rec_msg(message, T(protocol_message, body)), T(any, type_url));
    struct rec *request;
    struct err e;
    if (!str_eqz(type, TYPE_URL "Request")) return 0; /* nothing else is sent to workers today */
    int rc = rec_decode(&r->machines->task_arena, &rec_type_update_request,
                        rec_str(rec_msg(message, T(protocol_message, body)), T(any, value)),
                        &request, &e);
    if (rc) return rc;
    return update_add(r, rec_str(message, T(protocol_message, protocol_instance_id)),
                      rec_str(message, T(protocol_message, id)),
                      rec_int(message, T(protocol_message, event_id)), request, false);
}

int wf_update_from_accepted(struct wf_run *r, const struct rec *ev)
{
    const struct rec *at = event_attrs(ev);
    struct str id = rec_str(at, T(ev_workflow_execution_update_accepted, protocol_instance_id));
    const struct rec *request =
        rec_msg(at, T(ev_workflow_execution_update_accepted, accepted_request));
    if (!request) request = map_get(&r->machines->admitted, id);
    if (!request) return 0; /* the comparison tells */
    int rc = update_add(
        r, id, rec_str(at, T(ev_workflow_execution_update_accepted, accepted_request_message_id)),
        rec_int(at, T(ev_workflow_execution_update_accepted, accepted_request_sequencing_event_id)),
        request, true);
    struct wf_update *u = update_find(r, id);
    if (u) u->accepted_id = event_id(ev);
    return rc;
}

/* An update that the engine admitted before (a reset brings them along). Live it stands for the
 * message. */
int wf_update_admit(struct wf_run *r, const struct rec *ev, bool deliver)
{
    const struct rec *at = event_attrs(ev);
    const struct rec *request = rec_msg(at, T(ev_workflow_execution_update_admitted, request));
    struct str id = rec_str(rec_msg(request, T(update_request, meta)), T(update_meta, update_id));
    struct rec *copy = rec_clone(&r->keep, request);
    if (!copy || map_set(&r->machines->admitted, id, copy)) return ERR_NOMEM;
    if (!deliver) return 0;
    struct str message = arena_printf(&r->machines->task_arena, STR_FMT "/request", STR_ARG(id));
    return update_add(r, id, message, event_id(ev) - 1, request, false); /* its place on replay */
}

void wf_update_deliver_before(struct wf_run *r, int64_t id, bool *any, bool *fresh)
{
    for (struct wf_update *u = r->machines->updates; u; u = u->next) {
        if (u->state != UPDATE_WAITING || u->sequencing_id >= id) continue;
        u->state = UPDATE_DELIVERED;
        *(u->replayed ? any : fresh) = true;
        const struct rec *input = rec_msg(u->request, T(update_request, input));
        script_update(r, u->id, rec_str(input, T(update_input, name)),
                      rec_msg(input, T(update_input, args)), !u->replayed);
    }
}

/* ---- answers ---- */
static void send(struct wf_run *r, struct wf_update *u, const char *suffix, const char *type,
                 const struct rec *body)
{
    struct wf_machines *m = r->machines;
    if (r->replaying) return;
    struct buf b;
    buf_init(&b, 64u << 20);
    struct rec *msg = rec_new(A(r), &rec_type_protocol_message);
    struct rec *any = rec_sub(msg, T(protocol_message, body));
    if (rec_encode(body, &b) == 0) {
        rec_set_str(msg, T(protocol_message, id),
                    arena_printf(A(r), STR_FMT "/%s", STR_ARG(u->id), suffix));
        rec_set_copy(msg, T(protocol_message, protocol_instance_id), u->id);
        rec_set_str(any, T(any, type_url), arena_printf(A(r), TYPE_URL "%s", type));
        rec_set_copy(any, T(any, value), buf_str(&b));
    }
    buf_free(&b);
    if (m->n_out_messages == m->cap_out_messages) {
        size_t cap = m->cap_out_messages ? m->cap_out_messages * 2 : 8;
        struct rec **q = arena_alloc(&r->out_arena, cap * sizeof *q);
        if (!q) return;
        if (m->n_out_messages) memcpy(q, m->out_messages, m->n_out_messages * sizeof(struct rec *));
        m->out_messages = q;
        m->cap_out_messages = cap;
    }
    m->out_messages[m->n_out_messages++] = msg;
}

static bool protocol_command(struct wf_run *r, struct wf_update *u, const char *suffix, int event)
{
    struct rec *at;
    struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_PROTOCOL_MESSAGE, NULL, &at);
    if (!c) return false;
    c->event_type = event;
    rec_set_str(at, T(cmd_protocol_message, message_id),
                arena_printf(A(r), STR_FMT "/%s", STR_ARG(u->id), suffix));
    wf_cmd_identity(r, c, u->id, (struct str){NULL, 0}, NULL);
    return true;
}

static int answerable(struct wf_run *r, struct str id, enum wf_update_state state,
                      struct wf_update **u, struct err *e)
{
    /* answers are made while the validator's read-only context may still be set: only the task's
     * own state counts */
    if (r->machines->phase == PHASE_BROKEN || r->task_failure)
        return err_set(e, ERR_CLOSED, "the workflow task has failed already");
    *u = update_find(r, id);
    if (!*u || (*u)->state != state)
        return err_set(e, ERR_NOTFOUND, "no update \"" STR_FMT "\" waits for this answer",
                       STR_ARG(id));
    return 0;
}

int wf_op_update_accept(struct wf_run *r, struct str update_id, struct err *e)
{
    struct wf_update *u = NULL;
    int rc = answerable(r, update_id, UPDATE_DELIVERED, &u, e);
    if (rc) return rc;
    if (!protocol_command(r, u, "accept", EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED))
        return err_set(e, ERR_LIMIT, "cannot accept one more update");
    struct rec *body = rec_new(A(r), &rec_type_update_acceptance);
    rec_set_str(body, T(update_acceptance, accepted_request_message_id), u->message_id);
    rec_set_int(body, T(update_acceptance, accepted_request_sequencing_event_id), u->sequencing_id);
    rec_set_msg(body, T(update_acceptance, accepted_request), rec_clone(A(r), u->request));
    send(r, u, "accept", "Acceptance", body);
    u->state = UPDATE_ACCEPTED;
    return 0;
}

int wf_op_update_reject(struct wf_run *r, struct str update_id, const struct rec *failure,
                        struct err *e)
{
    struct wf_update *u = NULL;
    int rc = answerable(r, update_id, UPDATE_DELIVERED, &u, e);
    if (rc) return rc;
    if (r->replaying) {
        wf_task_failf(
            r, WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR, "NonDeterminism",
            "history and script differ at event %lld: recorded "
            "WorkflowExecutionUpdateAccepted (id " STR_FMT
            "), but the script now has no handler \"" STR_FMT "\" for it",
            (long long)u->accepted_id, STR_ARG(update_id),
            STR_ARG(rec_str(rec_msg(u->request, T(update_request, input)), T(update_input, name))));
        return err_set(e, ERR_NONDET, "the update was accepted in history");
    }
    struct rec *body = rec_new(A(r), &rec_type_update_rejection);
    rec_set_str(body, T(update_rejection, rejected_request_message_id), u->message_id);
    rec_set_int(body, T(update_rejection, rejected_request_sequencing_event_id), u->sequencing_id);
    rec_set_msg(body, T(update_rejection, rejected_request), rec_clone(A(r), u->request));
    if (failure) rec_set_msg(body, T(update_rejection, failure), rec_clone(A(r), failure));
    send(r, u, "reject", "Rejection", body);
    u->state = UPDATE_FINISHED;
    return 0;
}

int wf_op_update_complete(struct wf_run *r, struct str update_id, const struct rec *result,
                          const struct rec *failure, struct err *e)
{
    struct wf_update *u = NULL;
    int rc = answerable(r, update_id, UPDATE_ACCEPTED, &u, e);
    if (rc) return rc;
    if (!wf_payloads_fit(r, result, "the result of an update", e)) return ERR_LIMIT;
    if (!protocol_command(r, u, "complete", EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED))
        return err_set(e, ERR_LIMIT, "cannot complete one more update");
    struct rec *body = rec_new(A(r), &rec_type_update_response);
    rec_set_msg(body, T(update_response, meta),
                rec_msg(u->request, T(update_request, meta))
                    ? rec_clone(A(r), rec_msg(u->request, T(update_request, meta)))
                    : NULL);
    rec_set_copy(rec_sub(body, T(update_response, meta)), T(update_meta, update_id), u->id);
    struct rec *outcome = rec_sub(body, T(update_response, outcome));
    if (failure)
        rec_set_msg(outcome, T(update_outcome, failure), rec_clone(A(r), failure));
    else
        rec_set_msg(outcome, T(update_outcome, success),
                    result ? rec_clone(A(r), result) : rec_new(A(r), &rec_type_payloads));
    send(r, u, "complete", "Response", body);
    u->state = UPDATE_FINISHED;
    return 0;
}
