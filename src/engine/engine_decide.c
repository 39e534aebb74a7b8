/* What messages mean to a run: signals, cancellation, termination, timers, a blocked task tried
 * again, and closing. No I/O but two look-ups (a request id seen before, a newer run of the chain);
 * the rest is run + message -> events, rows, effects. */
#include "engine/engine_internal.h"

/* Was this request carried out before? */
static bool request_known(struct txn *t, struct msg *m)
{
    if (!m->request_id.n) {
        return false;
    }
    for (struct msg *o = t->chunk->adopted; o; o = o->next) {
        if (o != m && o->kind == m->kind && str_eq(o->request_id, m->request_id)) {
            return true;
        }
    }
    struct store_read *q = NULL;
    bool seen = false;
    if (!t->run->fresh &&
        store_read_open(t->g->store, &q, NULL, "SELECT 1 FROM requests WHERE run = ? AND id = ?",
                        "is", t->run->row, m->request_id) == 0) {
        seen = store_read_next(q) == 1;
    }
    store_read_close(q);
    return seen;
}

/* The same, and from now on it was. */
static bool request_seen(struct txn *t, struct msg *m)
{
    if (request_known(t, m)) {
        return true;
    }
    if (m->request_id.n) {
        STMT(t, "INSERT OR IGNORE INTO requests(run, id) VALUES(?, ?)", "is", t->run->row,
             m->request_id);
    }
    return false;
}

/* The row of the newest run of a workflow id, from the file. */
int eng_run_newest(struct engine *g, struct str workflow_id, int64_t *row, struct err *e)
{
    struct store_read *q = NULL;
    int rc = store_read_open(g->store, &q, e,
                             "SELECT run FROM runs WHERE workflow_id = ? ORDER BY run DESC LIMIT 1",
                             "s", workflow_id);
    rc = rc ? rc : store_read_next(q);
    if (rc == 1) {
        *row = store_read_i64(q, 0);
    }
    store_read_close(q);
    return rc == 1 ? 0 : rc < 0 ? rc : ERR_NOTFOUND;
}

/* The run is closed: the message goes on to the chain's newest run, or is answered. */
static bool closed(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    if (r->status == RUN_RUNNING) {
        return false;
    }
    int64_t row = 0;
    if (!m->had_run_id &&
        t->chunk->n) { /* it closes in this very transition: look again after the commit */
        eng_repost(t, m);
        return true;
    }
    if (!m->had_run_id && eng_run_newest(t->g, r->workflow_id, &row, NULL) == 0 && row > r->row) {
        eng_unadopt(t, m);
        m->row = row;
        eng_post(t->g, m);
        return true;
    }
    struct buf b;
    buf_init(&b, 2000);
    buf_printf(&b, "workflow \"%.*s\" is closed already", STR_ARG(r->workflow_id));
    eng_reply(t, m, ERR_NOTFOUND, buf_str(&b).p);
    buf_free(&b);
    return true;
}

void eng_refuse_signal(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    struct buf b;
    buf_init(&b, 2000);
    buf_printf(&b,
               "workflow \"%.*s\" has %d signals that it has not received: this one is not taken; "
               "send it again when the workflow has received some",
               STR_ARG(r->workflow_id), ENG_SIGNALS_MAX);
    struct effect *f = eng_reply(t, m, ERR_LIMIT, buf_str(&b).p ? buf_str(&b).p : "");
    f->reply.run_id = r->run_id;
    buf_free(&b);
}

bool eng_signals_full(const struct run *r)
{
    return r->unread + r->unread_buffered >= ENG_SIGNALS_MAX;
}

/* What was accepted is never dropped, so that nobody can fill a run without end: the sender is
 * told. */
static void apply_signal(struct txn *t, struct msg *m)
{
    if (closed(t, m)) {
        return;
    }
    if (eng_signals_full(t->run) && !request_known(t, m)) {
        eng_refuse_signal(t, m);
        return;
    }
    struct effect *f = eng_reply(t, m, 0, "");
    f->reply.run_id = t->run->run_id;
    f->reply.status = RUN_RUNNING;
    if (request_seen(t, m)) {
        return;
    }
    struct rec *a = NULL, *ev = eng_event_loose(t, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, &a);
    rec_set_str(a, T(ev_workflow_execution_signaled, signal_name), m->name);
    rec_set_msg(a, T(ev_workflow_execution_signaled, input), m->rec);
    rec_set_msg(a, T(ev_workflow_execution_signaled, header), m->header);
    rec_set_str(a, T(ev_workflow_execution_signaled, identity), m->identity);
    rec_set_str(a, T(ev_workflow_execution_signaled, request_id), m->request_id);
    eng_event_arrive(t, ev, true);
}

static void apply_cancel(struct txn *t, struct msg *m)
{
    if (closed(t, m)) {
        return;
    }
    struct effect *f = eng_reply(t, m, 0, "");
    f->reply.run_id = t->run->run_id;
    if (request_seen(t, m) || t->run->cancel_requested) {
        return;
    }
    struct rec *a = NULL,
               *ev = eng_event_loose(t, EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED, &a);
    rec_set_str(a, T(ev_workflow_execution_cancel_requested, cause), m->text);
    rec_set_str(a, T(ev_workflow_execution_cancel_requested, identity), m->identity);
    t->run->cancel_requested = 1;
    t->run_dirty = true;
    eng_event_arrive(t, ev, true);
}

/* The workflow task is over, whatever became of it. */
void eng_task_over(struct txn *t)
{
    struct run *r = t->run;
    if (r->wft_out) {
        r->wft_out = false;
        t->g->wfts_out--;
    }
    r->sched = r->started = 0;
    r->wft_attempt = 0;
    r->speculative = r->transient = r->retrying = false;
    r->nonce = 0;
    eng_queries_unsent(r);
}

/* Before a run is closed from outside: a task that is out ends as failed, what was buffered is
 * kept. */
void eng_force_close_task(struct txn *t)
{
    struct run *r = t->run;
    if (r->speculative) {
        eng_discard_speculative(t);
    } else if (r->started) {
        struct rec *a = NULL;
        eng_event(t, EVENT_TYPE_WORKFLOW_TASK_FAILED, &a);
        rec_set_int(a, T(ev_workflow_task_failed, scheduled_event_id), r->sched);
        rec_set_int(a, T(ev_workflow_task_failed, started_event_id), r->started);
        rec_set_int(a, T(ev_workflow_task_failed, cause),
                    WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND);
    }
    eng_task_over(t);
    eng_flush_buffered(t);
}

static void apply_terminate(struct txn *t, struct msg *m)
{
    if (closed(t, m)) {
        return;
    }
    struct effect *f = eng_reply(t, m, 0, "");
    f->reply.run_id = t->run->run_id;
    eng_force_close_task(t);
    struct rec *a = NULL, *ev = eng_event(t, EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, &a);
    rec_set_str(a, T(ev_workflow_execution_terminated, reason), m->text);
    rec_set_str(a, T(ev_workflow_execution_terminated, identity), m->identity);
    eng_close_run(t, RUN_TERMINATED, ev);
}

/* After the closing event was appended: rows, the worker's attempts, parent, children, waiters. */
void eng_close_run(struct txn *t, int status, struct rec *closing)
{
    struct run *r = t->run;
    r->status = status;
    r->closed_at = t->now;
    r->want_wft = false;
    t->run_dirty = true;
    if (r->blocked) {
        mem_free(r->blocked);
        r->blocked = NULL;
    }
    mem_free(r->waits);
    r->waits = NULL;
    eng_task_over(t);
    if (r->parent_id.n) {
        eng_tell_parent(t, status, closing);
    }
    eng_parent_closed(t);
    eng_updates_closed(t);
    bool rows = false;
    for (struct map_entry *e = r->pends.first; e;) {
        struct pend *p = e->value;
        e = e->next;
        if (p->kind == PEND_ACTIVITY) {
            eng_activity_gone(t, p, BACKEND_CANCEL_GONE);
        }
        if (p->kind != PEND_UPDATED) {
            rows = true;
            eng_pend_drop(r, p);
        }
    }
    r->n_buffered = 0;
    if (rows) {
        STMT(t, "DELETE FROM pending WHERE run = ? AND kind <> 8", "i", r->row);
    }
    eng_effect(t, FX_CLOSED);
}

static char *blocked_text(int cause, const struct rec *failure)
{
    struct buf b;
    buf_init(&b, 64 << 10);
    struct str msg = rec_str(failure, T(failure, message)),
               trace = rec_str(failure, T(failure, stack_trace));
    if (!msg.n) {
        msg = str_of(rec_enum_name(&rec_enum_workflow_task_failed_cause, cause));
    }
    buf_putstr(&b, msg);
    if (trace.n && !(trace.n <= msg.n && memcmp(msg.p + msg.n - trace.n, trace.p, trace.n) == 0)) {
        buf_putc(&b, '\n');
        buf_putstr(&b, trace);
    }
    b.code = 0;
    return buf_take(&b, NULL);
}

/* The workflow task failed: recorded once, then the run is blocked until somebody tries it again.
 */
void eng_block(struct txn *t, int cause, struct rec *failure, bool limit)
{
    struct run *r = t->run;
    (void)limit;
    if (r->speculative && r->transient) {
        eng_discard_speculative(t);
    } else {
        struct rec *a = NULL;
        eng_event(t, EVENT_TYPE_WORKFLOW_TASK_FAILED, &a);
        rec_set_int(a, T(ev_workflow_task_failed, scheduled_event_id), r->sched);
        rec_set_int(a, T(ev_workflow_task_failed, started_event_id), r->started);
        rec_set_int(a, T(ev_workflow_task_failed, cause), cause);
        rec_set_msg(a, T(ev_workflow_task_failed, failure), failure);
        rec_set_str(a, T(ev_workflow_task_failed, identity), str_of(t->g->identity));
    }
    mem_free(r->blocked);
    r->blocked = blocked_text(cause, failure);
    if (!r->blocked) {
        t->failed = true;
    }
    t->run_dirty = true;
    eng_task_over(t);
    eng_flush_buffered(t);
    r->want_wft = false;
    eng_updates_unsent(r);
    eng_updates_fail(r, ERR_FAILED, "the run is blocked");
    eng_queries_fail(r, ERR_FAILED, r->blocked ? r->blocked : "the run is blocked");
}

static void apply_retry_blocked(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    if (r->status != RUN_RUNNING || !r->blocked) {
        eng_reply(t, m, ERR_ARG, "the run is not blocked");
        return;
    }
    struct effect *f = eng_reply(t, m, 0, "");
    f->reply.run_id = r->run_id;
    r->retrying = true;
    memset(r->retry_bundle, 0, sizeof r->retry_bundle);
    if (m->digest.n && m->digest.n < sizeof r->retry_bundle) {
        memcpy(r->retry_bundle, m->digest.p, m->digest.n);
    }
}

static void time_out_run(struct txn *t)
{
    struct run *r = t->run;
    eng_force_close_task(t);
    char next[ENG_UUID] = "";
    int state = RETRY_STATE_TIMEOUT;
    struct rec *a = NULL, *ev = eng_event(t, EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT, &a);
    struct rec *failure = failure_timeout(&t->chunk->arena, TIMEOUT_TYPE_START_TO_CLOSE,
                                          STR("the run took longer than its time-out"), NULL, NULL);
    bool again =
        !eng_pend(r, PEND_RUN_TIMEOUT, 1) || eng_pend(r, PEND_RUN_TIMEOUT, 1)->due > t->now;
    if (again && eng_after_close(t, RUN_TIMED_OUT, NULL, failure, &state, next)) {
        rec_set_copy(a, T(ev_workflow_execution_timed_out, new_execution_run_id), str_of(next));
    }
    rec_set_int(a, T(ev_workflow_execution_timed_out, retry_state), state);
    eng_close_run(t, RUN_TIMED_OUT, ev);
}

static void apply_timer(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    struct pend *p = r->status == RUN_RUNNING ? eng_pend(r, m->sub, m->id) : NULL;
    if (!p || !p->due) {
        return;
    }
    if (p->due > t->now) { /* the wall clock went back */
        eng_arm(t, p->kind, p->id, p->due);
        return;
    }
    switch (p->kind) {
    case PEND_TIMER: {
        struct rec *a = NULL, *ev = eng_event_loose(t, EVENT_TYPE_TIMER_FIRED, &a);
        rec_set_copy(a, T(ev_timer_fired, timer_id), p->name);
        rec_set_int(a, T(ev_timer_fired, started_event_id), p->id);
        eng_pend_delete(t, p);
        eng_event_arrive(t, ev, true);
        break;
    }
    case PEND_ACTIVITY:
        eng_activity_timer(t, p);
        break;
    case PEND_RUN_TIMEOUT:
        time_out_run(t);
        break;
    case PEND_DELAY:
        eng_pend_delete(t, p);
        r->want_wft = true;
        break;
    default:
        break;
    }
}

static void apply_nothing(struct txn *t, struct msg *m)
{
    (void)t;
    (void)m;
}

static void apply_query(struct txn *t, struct msg *m)
{
    struct query *q = mem_zalloc(sizeof *q);
    if (!q) {
        t->failed = true;
        return;
    }
    struct run *r = t->run;
    arena_init(&q->arena, 0);
    snprintf(q->id, sizeof q->id, "q%llu", (unsigned long long)++t->g->counter);
    q->type = arena_str(&q->arena, m->name);
    q->args = m->rec ? rec_clone(&q->arena, m->rec) : NULL;
    q->row = r->row;
    q->fn = m->reply;
    q->ud = m->ud;
    m->told = true;
    struct query **at = &r->queries;
    while (*at) {
        at = &(*at)->next;
    }
    *at = q;
    t->g->queries_n++;
    if (!eng_serves(t->g, r->queue, r->type, false)) {
        struct buf b;
        buf_init(&b, 4000);
        buf_printf(&b, "no worker serves workflow type \"%.*s\" on queue \"%.*s\"",
                   STR_ARG(r->type), STR_ARG(r->queue));
        eng_queries_fail(r, ERR_NOTFOUND, buf_str(&b).p);
        buf_free(&b);
    }
}

void eng_apply(struct txn *t, struct msg *m)
{
    static void (*const table[M_KINDS])(struct txn *, struct msg *) = {
        [M_SIGNAL] = apply_signal,
        [M_CANCEL] = apply_cancel,
        [M_TERMINATE] = apply_terminate,
        [M_QUERY] = apply_query,
        [M_UPDATE] = eng_apply_update,
        [M_RESET] = eng_apply_reset,
        [M_DELETE] = eng_delete,
        [M_RETRY_BLOCKED] = apply_retry_blocked,
        [M_WFT_DONE] = eng_apply_wft_done,
        [M_WFT_FAILED] = eng_apply_wft_failed,
        [M_QUERY_DONE] = eng_apply_query_done,
        [M_ACT_DONE] = eng_apply_act_done,
        [M_HEARTBEAT] = eng_apply_heartbeat,
        [M_ACT_LOST] = eng_apply_act_lost,
        [M_ACT_SLOT] = eng_apply_act_slot,
        [M_TIMER] = apply_timer,
        [M_TICK] = eng_apply_tick,
        [M_CROSS] = eng_apply_cross,
        [M_WFT_TRY] = apply_nothing,
        [M_START] = eng_apply_start,
    };
    if (m->kind == M_UPDATE && !eng_update_done(t, m) && closed(t, m)) {
        return;
    }
    if (m->kind < M_KINDS && table[m->kind]) {
        table[m->kind](t, m);
    }
}
