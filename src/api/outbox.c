/* Where the runs live elsewhere (a Temporal server), what is accepted commits here together with an
 * outbox row, and the dispatcher starts the workflow afterwards: under its id, with the same
 * request id in all tries, so that a second one is harmless. A crash between the two loses nothing:
 * rows that are not sent are sent at the next open. A row stays when it was sent: its id is used.
 */
#include "api/api_internal.h"
#include "base/fault.h"

#define WAIT_FIRST_NS NS_PER_S
#define WAIT_MOST_NS (60 * NS_PER_S)

struct sending {
    struct api *a; /* NULL: closed meanwhile */
    struct str id;
    int64_t wait_ns;
    uint64_t timer;
};

void api_outbox_add(struct store_batch *b, const struct api_call *c, const struct api_accept *x,
                    struct str queue, struct str request, struct str header_json, int64_t now)
{
    store_batch_guard(b,
                      "INSERT INTO api_outbox(workflow_id, type, queue, request, input, header, "
                      "reservation, state, at) VALUES(?, ?, ?, ?, ?, ?, ?, 'waiting', ?)",
                      "sssssssi", c->workflow_id, x->workflow, queue, request, x->input,
                      header_json, c->reservation, now);
}

static void sending_drop(struct sending *s)
{
    if (s->a) map_del(&s->a->sending, s->id);
    mem_free((void *)(uintptr_t)s->id.p);
    mem_free(s);
}

static void send_now(struct sending *s);

static void on_again(void *ud)
{
    struct sending *s = ud;
    s->timer = 0;
    if (s->a)
        send_now(s);
    else
        sending_drop(s);
}

static void again(struct sending *s)
{
    struct api *a = s->a;
    int64_t due = a->b->ops->now_ns(a->b) + s->wait_ns;
    s->wait_ns = s->wait_ns * 2 < WAIT_MOST_NS ? s->wait_ns * 2 : WAIT_MOST_NS;
    a->b->ops->sleep_until(a->b, due, false, on_again, s, &s->timer);
    if (!s->timer) sending_drop(s); /* no memory: the next open sends it */
}

static void on_sent(void *ud, const struct backend_reply *r)
{
    struct sending *s = ud;
    struct api *a = s->a;
    struct store_read *q = NULL;
    if (!a) {
        sending_drop(s);
        return;
    }
    if (r->err.code && r->err.code != ERR_EXISTS) {
        log_printf(a->log, LOG_WARN, "the accepted workflow " STR_FMT " is not started yet: %s",
                   STR_ARG(s->id), r->err.text);
        again(s);
        return;
    }
    FAULT("api.sent");
    struct store_batch *b = store_batch_new(a->store);
    if (b) {
        store_batch_add(b, "UPDATE api_outbox SET state = 'sent' WHERE workflow_id = ?", "s",
                        s->id);
        store_submit(a->store, b, NULL, NULL);
    }
    if (store_read_open(a->store, &q, NULL,
                        "SELECT reservation FROM api_outbox WHERE workflow_id = ? AND reservation "
                        "IS NOT NULL",
                        "s", s->id) == 0 &&
        store_read_next(q) == 1)
        api_watch(a, store_read_str(q, 0), s->id, r->err.code ? (struct str){NULL, 0} : r->run_id);
    store_read_close(q);
    sending_drop(s);
}

static struct rec *header_of(struct arena *ar, struct str json)
{
    struct rec *h = rec_new(ar, &rec_type_header);
    struct rec *entry = rec_add(h, T(header, fields));
    rec_set_str(entry, T(header_fields_entry, key), STR("moonloop"));
    rec_set_msg(entry, T(header_fields_entry, value), payload_new(ar, PAYLOAD_JSON, json));
    return h;
}

static void send_now(struct sending *s)
{
    struct api *a = s->a;
    struct store_read *q = NULL;
    struct arena ar;
    arena_init(&ar, 0);
    int rc = store_read_open(a->store, &q, NULL,
                             "SELECT type, queue, request, input, header FROM api_outbox WHERE "
                             "workflow_id = ? AND state = 'waiting'",
                             "s", s->id);
    int got = rc ? rc : store_read_next(q);
    if (got != 1) {
        store_read_close(q);
        arena_free(&ar);
        if (got == 0)
            sending_drop(s);
        else
            again(s);
        return;
    }
    struct backend_start x = {.workflow_id = s->id,
                              .workflow_type = arena_str(&ar, store_read_str(q, 0)),
                              .task_queue = arena_str(&ar, store_read_str(q, 1)),
                              .request_id = arena_str(&ar, store_read_str(q, 2)),
                              .identity = str_of(a->identity),
                              .on_open = ID_CONFLICT_FAIL,
                              .on_closed = ID_REUSE_REJECT};
    if (!store_read_null(q, 3))
        x.input = payloads_of_json(&ar, arena_str(&ar, store_read_str(q, 3)));
    x.header = header_of(&ar, arena_str(&ar, store_read_str(q, 4)));
    store_read_close(q);
    FAULT("api.dispatch");
    if (arena_failed(&ar))
        again(s);
    else
        a->b->ops->start(a->b, &x, on_sent, s);
    arena_free(&ar);
}

void api_outbox_send(struct api *a, struct str workflow_id)
{
    struct sending *s = mem_zalloc(sizeof *s);
    char *id = s ? str_dup(workflow_id) : NULL;
    if (!id || map_set(&a->sending, workflow_id, s)) {
        log_printf(a->log, LOG_WARN, "out of memory: an accepted workflow starts at the next open");
        mem_free(id);
        mem_free(s);
        return;
    }
    *s = (struct sending){.a = a, .id = str_make(id, workflow_id.n), .wait_ns = WAIT_FIRST_NS};
    send_now(s);
}

/* Those that wait for their next try are freed here; the server's answer frees the others. */
void api_outbox_free(struct api *a)
{
    for (struct map_entry *x = a->sending.first, *next; x; x = next) {
        next = x->next;
        struct sending *s = x->value;
        if (!s->timer) {
            s->a = NULL;
            continue;
        }
        a->b->ops->sleep_cancel(a->b, s->timer);
        sending_drop(s);
    }
}

int api_outbox_resume(struct api *a, struct err *e)
{
    struct store_read *r = NULL;
    int rc = store_read_open(a->store, &r, e,
                             "SELECT workflow_id FROM api_outbox WHERE state = 'waiting'", "");
    while (rc == 0 && (rc = store_read_next(r)) == 1) {
        api_outbox_send(a, store_read_str(r, 0));
        rc = 0;
    }
    store_read_close(r);
    return rc < 0 ? (e->code ? e->code : err_set(e, rc, "the outbox could not be read")) : 0;
}
