/* Local activities: run by the worker inside the workflow task, recorded as `core_local_activity`
 * markers.
 *
 * Resolutions reach the script one at a time: live in completion order, on replay in marker order,
 * so both see the same activations. A back-off that is too long to wait becomes marker + timer,
 * then a new sequence number. What a cancel does depends only on whether the script had settled
 * since the call, never on what a worker was really told. */
#include "workflow/wf_machine.h"
#include <stdio.h>

#define A(r) (&(r)->machines->cmds->arena)

void wf_local_free(struct wf_local *l)
{
    if (!l) return;
    arena_free(&l->arena);
    mem_free(l);
}

int wf_local_start(struct wf_run *r, const struct wf_activity_opts *o, uint64_t future,
                   struct err *e)
{
    struct wf_machines *m = r->machines;
    struct wf_op *op = wf_op_new(r, OP_LOCAL, future, e);
    struct wf_local *l = op ? mem_zalloc(sizeof *l) : NULL;
    if (!l) {
        if (op) wf_op_finish(r, op);
        return wf_nomem(r, e);
    }
    arena_init(&l->arena, 0);
    op->local = l;
    op->cancel = o->cancel;
    op->name = arena_str(&r->keep, o->type);
    l->seq = (uint32_t)++m->next_local;
    op->op_id = o->id.n ? arena_str(&r->keep, o->id) : arena_printf(&r->keep, "%u", l->seq);
    l->attempt = 1;
    l->opts = *o;
    l->opts.type = op->name;
    l->opts.id = op->op_id;
    l->opts.input = o->input ? rec_clone(&l->arena, o->input) : NULL;
    l->opts.retry_policy = o->retry_policy ? rec_clone(&l->arena, o->retry_policy) : NULL;
    m->n_local_open++;
    return arena_failed(&l->arena) ? wf_nomem(r, e) : 0;
}

/* ---- asking the worker ---- */
static void push_request(struct wf_run *r, struct wf_op *op)
{
    struct wf_machines *m = r->machines;
    struct wf_local *l = op->local;
    if (m->n_locals == m->cap_locals) {
        size_t cap = m->cap_locals ? m->cap_locals * 2 : 8;
        struct wf_local_request *q = arena_alloc(&r->out_arena, cap * sizeof *q);
        if (!q) return;
        if (m->n_locals) memcpy(q, m->locals, m->n_locals * sizeof *q);
        m->locals = q;
        m->cap_locals = cap;
    }
    m->locals[m->n_locals++] =
        (struct wf_local_request){.seq = l->seq,
                                  .attempt = l->attempt,
                                  .activity_type = op->name,
                                  .activity_id = op->op_id,
                                  .input = l->opts.input,
                                  .start_to_close_ns = l->opts.start_to_close_ns,
                                  .schedule_to_close_ns = l->opts.schedule_to_close_ns,
                                  .original_schedule_ns = l->original_ns,
                                  .retry_policy = l->opts.retry_policy,
                                  .retry_threshold_ns = l->opts.retry_threshold_ns};
    l->handed = true;
}

static void push_cancel(struct wf_run *r, struct wf_op *op)
{
    struct wf_machines *m = r->machines;
    if (!op->local->handed || op->local->has_result) return;
    if (m->n_local_cancels == m->cap_local_cancels) {
        size_t cap = m->cap_local_cancels ? m->cap_local_cancels * 2 : 8;
        uint32_t *q = arena_alloc(&r->out_arena, cap * sizeof *q);
        if (!q) return;
        if (m->n_local_cancels) memcpy(q, m->local_cancels, m->n_local_cancels * sizeof *q);
        m->local_cancels = q;
        m->cap_local_cancels = cap;
    }
    m->local_cancels[m->n_local_cancels++] = op->local->seq;
}

void wf_local_settle(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    if (m->n_local_open == 0) return;
    for (struct wf_op *op = m->first_op; op; op = op->next) {
        if (op->kind != OP_LOCAL || op->state == OP_DONE || op->local->backoff) continue;
        op->local->asked = true;
        if (m->batch_live && !op->local->handed && !op->local->has_result) push_request(r, op);
    }
}

void wf_local_abandon_all(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    struct wf_op *next;
    for (struct wf_op *op = m->first_op; op; op = next) {
        next = op->next;
        if (op->kind != OP_LOCAL || op->state == OP_DONE) continue;
        push_cancel(r, op);
        wf_op_ref(op); /* `next` stays valid: only this one may go */
        wf_op_finish(r, op);
        next = op->next;
        wf_op_unref(r, op);
    }
    m->n_local_open = 0;
}

/* ---- the marker ---- */
static void put_time(struct buf *b, int64_t ns)
{
    if (ns)
        buf_printf(b, "{\"nanos\":%lld,\"seconds\":%lld}", (long long)(ns % NS_PER_S),
                   (long long)(ns / NS_PER_S));
    else
        buf_puts(b, "null");
}

static int64_t get_time(struct str data, const char *key)
{
    struct str raw, part;
    if (!wf_json_get(data, key, &raw)) return 0;
    int64_t s = wf_json_get(raw, "seconds", &part) ? wf_json_int(part, 0) : 0;
    int64_t n = wf_json_get(raw, "nanos", &part) ? wf_json_int(part, 0) : 0;
    return s * NS_PER_S + n;
}

static bool add_marker(struct wf_run *r, struct wf_op *op, const struct wf_local_result *res)
{
    struct rec *at;
    struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_RECORD_MARKER, op, &at);
    if (!c) return false;
    struct buf b;
    buf_init(&b, 64u << 10);
    buf_puts(&b, "{\"activity_id\":");
    buf_put_json(&b, op->op_id);
    buf_puts(&b, ",\"activity_type\":");
    buf_put_json(&b, op->name);
    buf_printf(&b, ",\"attempt\":%d,\"backoff\":", res->attempt);
    put_time(&b, res->backoff_ns);
    buf_puts(&b, ",\"complete_time\":");
    put_time(&b, res->complete_ns);
    buf_puts(&b, ",\"original_schedule_time\":");
    put_time(&b, res->original_schedule_ns);
    buf_printf(&b, ",\"seq\":%u}", op->local->seq);
    rec_set_str(at, T(cmd_record_marker, marker_name), STR(WF_MARKER_LOCAL));
    struct rec *list = rec_map_set(at, T(cmd_record_marker, details), STR("data"));
    payloads_add(list, payload_new(A(r), PAYLOAD_JSON, arena_str(A(r), buf_str(&b))));
    buf_free(&b);
    if (res->failure) {
        rec_set_msg(at, T(cmd_record_marker, failure), rec_clone(A(r), res->failure));
    } else {
        struct rec *out = rec_map_set(at, T(cmd_record_marker, details), STR("result"));
        const struct rec_field *f = NULL;
        while (res->result && (f = rec_each(res->result, T(payloads, payloads), f)))
            payloads_add(out, rec_clone(A(r), f->v.m));
    }
    wf_cmd_identity(r, c, wf_local_id(A(r), op->local->seq, op->name), STR(WF_MARKER_LOCAL), NULL);
    return true;
}

/* ---- outcomes ---- */
static void fail_future(struct wf_run *r, struct wf_op *op, const struct rec *cause, bool canceled)
{
    int state = canceled ? RETRY_STATE_CANCEL_REQUESTED : RETRY_STATE_NON_RETRYABLE_FAILURE;
    wf_future_fail(r, op->future,
                   failure_activity(A(r), 0, 0, op->name, op->op_id, state, (struct str){NULL, 0},
                                    cause ? rec_clone(A(r), cause) : NULL),
                   canceled);
}

static void finish(struct wf_run *r, struct wf_op *op)
{
    r->machines->n_local_open--;
    wf_op_finish(r, op);
}

static void start_backoff(struct wf_run *r, struct wf_op *op, const struct wf_local_result *res)
{
    struct wf_local *l = op->local;
    struct wf_op *timer = wf_op_new(r, OP_TIMER, 0, NULL);
    if (!timer) return;
    timer->where = op->where;
    timer->peer = op;
    wf_op_ref(op);
    if (wf_timer_start(r, timer, res->backoff_ns, (struct str){NULL, 0}, NULL)) {
        wf_op_finish(r, timer);
        return;
    }
    l->backoff = timer;
    l->attempt = res->attempt + 1;
    l->original_ns = res->original_schedule_ns;
    l->asked = l->handed = l->has_result = false;
    r->machines->n_local_open--;
}

void wf_local_backoff_over(struct wf_run *r, struct wf_op *op)
{
    op->local->backoff = NULL;
    op->local->seq = (uint32_t)++r->machines->next_local;
    r->machines->n_local_open++;
}

static void resolve(struct wf_run *r, struct wf_op *op, const struct wf_local_result *res)
{
    if (res->complete_ns > r->now_ns) r->now_ns = res->complete_ns;
    if (!wf_payloads_fit(r, res->result, "the result of a local activity", NULL) ||
        !add_marker(r, op, res))
        return;
    if (res->failure && res->backoff_ns > 0 && op->state == OP_OPEN) {
        start_backoff(r, op, res);
        return;
    }
    if (res->failure)
        fail_future(r, op, res->failure, failure_is_canceled(res->failure));
    else
        wf_future_ok(r, op->future, res->result);
    finish(r, op);
}

static void take_marker(struct wf_run *r, uint32_t seq)
{
    struct wf_machines *m = r->machines;
    for (struct wf_marker **at = &m->local_markers; *at; at = &(*at)->next) {
        if ((*at)->seq == seq) {
            *at = (*at)->next;
            return;
        }
    }
}

void wf_local_cancel(struct wf_run *r, struct wf_op *op)
{
    struct wf_local *l = op->local;
    struct rec *why = failure_canceled(A(r), STR("local activity canceled"), NULL);
    if (l->backoff) {
        struct wf_op *timer = l->backoff;
        l->backoff = NULL;
        fail_future(r, op, why, true);
        r->machines->n_local_open++; /* finish() counts it out again */
        finish(r, op);
        wf_timer_cancel(r, timer);
        return;
    }
    if (op->cancel == CANCEL_WAIT && l->asked) {
        op->state = OP_CANCELING;
        push_cancel(r, op);
        return;
    }
    struct wf_local_result res = {.failure = why, .attempt = l->attempt, .complete_ns = r->now_ns};
    if (r->replaying) take_marker(r, l->seq);
    if (op->cancel != CANCEL_ABANDON) push_cancel(r, op);
    if (!add_marker(r, op, &res)) return;
    fail_future(r, op, why, true);
    finish(r, op);
}

/* ---- deliveries ---- */
static struct wf_op *by_seq(struct wf_run *r, uint32_t seq)
{
    for (struct wf_op *op = r->machines->first_op; op; op = op->next) {
        if (op->kind == OP_LOCAL && op->state != OP_DONE && !op->local->backoff &&
            op->local->seq == seq)
            return op;
    }
    return NULL;
}

static bool deliver_marker(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    struct wf_marker *mk = m->local_markers;
    struct str raw = {NULL, 0}, data;
    if (!mk) return false;
    m->local_markers = mk->next;
    struct wf_op *op = by_seq(r, mk->seq);
    data = wf_marker_data(mk->attrs, "data");
    struct str type =
        wf_json_get(data, "activity_type", &raw) ? wf_json_string(&m->look_arena, raw) : raw;
    if (!op || !str_eq(type, op->name)) {
        wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR, "NonDeterminism",
                      "history and script differ at event %lld: recorded MarkerRecorded "
                      "\"core_local_activity\" (id %u, type \"" STR_FMT
                      "\"), but the script %s" STR_FMT "%s" STR_FMT,
                      (long long)mk->event_id, mk->seq, STR_ARG(type),
                      op ? "now asks for local activity \"" : "has no such local activity open",
                      STR_ARG(op ? op->name : STR("")), op ? "\" at " : "",
                      STR_ARG(op ? op->where : STR("")));
        return false;
    }
    struct wf_local_result res = {
        .result = rec_map_get(mk->attrs, T(ev_marker_recorded, details), STR("result")),
        .failure = rec_msg(mk->attrs, T(ev_marker_recorded, failure)),
        .attempt = wf_json_get(data, "attempt", &raw) ? (int)wf_json_int(raw, 1) : 1,
        .complete_ns = get_time(data, "complete_time"),
        .backoff_ns = get_time(data, "backoff"),
        .original_schedule_ns = get_time(data, "original_schedule_time")};
    resolve(r, op, &res);
    return true;
}

static bool deliver_queued(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    struct wf_op *op;
    bool told = false;
    while (!told && (op = m->done_first)) {
        m->done_first = op->local->next_done;
        if (!m->done_first) m->done_last = NULL;
        op->local->queued = false;
        told = op->state != OP_DONE; /* else: cancelled while it waited here */
        struct wf_local_result res = op->local->result;
        if (told) resolve(r, op, &res);
        wf_op_unref(r, op);
    }
    return told;
}

bool wf_local_deliver(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    if (r->terminal || m->n_local_open == 0)
        return m->local_markers && !r->terminal ? deliver_marker(r) : false;
    return m->batch_live ? deliver_queued(r) : deliver_marker(r);
}

int wf_local_resolve(struct wf_run *r, uint32_t seq, const struct wf_local_result *result)
{
    struct wf_machines *m = r->machines;
    struct wf_op *op = by_seq(r, seq);
    if (!op || op->local->has_result || m->phase == PHASE_BROKEN)
        return 0; /* cancelled meanwhile, or told twice */
    struct wf_local *l = op->local;
    l->result = *result;
    l->result.result = result->result ? rec_clone(&l->arena, result->result) : NULL;
    l->result.failure = result->failure ? rec_clone(&l->arena, result->failure) : NULL;
    if (result->canceled && !(result->failure && failure_is_canceled(result->failure)))
        l->result.failure = failure_canceled(&l->arena, STR("local activity canceled"), NULL);
    if (arena_failed(&l->arena)) return ERR_NOMEM;
    l->has_result = true;
    l->queued = true;
    l->next_done = NULL;
    wf_op_ref(op);
    if (m->done_last)
        m->done_last->local->next_done = op;
    else
        m->done_first = op;
    m->done_last = op;
    return 0;
}
