/* Activity attempts: from the server's task to the port's, and their ends. Keeps true: an attempt
 * ends with at most one answer, and what its last heartbeats said is not lost. */
#include "base/hash.h"
#include "temporal/worker_half.h"
#include <stdio.h>

#define GUARD_NS (5 * NS_PER_S) /* behind the server's own time-out, then the code is stopped */

void tw_act_free(struct tw_act *a)
{
    struct tw *w = a->w;
    if (a->prev)
        a->prev->next = a->next;
    else
        w->all_acts = a->next;
    if (a->next) a->next->prev = a->prev;
    if (map_get(&w->acts, a->key) == a) map_del(&w->acts, a->key);
    loop_timer_close(a->beat_timer);
    loop_timer_close(a->guard);
    buf_free(&a->details);
    arena_free(&a->arena);
    mem_free(a);
}

void tw_act_tell(struct tw_act *a, enum backend_cancel_reason why)
{
    struct tw *w = a->w;
    bool over = why == BACKEND_CANCEL_GONE || why == BACKEND_CANCEL_TIMED_OUT;
    if (a->told && !over) return;
    a->told = true;
    a->why = why;
    struct arena keep = a->arena; /* the key lives in it */
    struct str key = a->key;
    if (over) { /* its end is recorded: no answer follows */
        arena_init(&a->arena, 0);
        map_del(&w->acts, key);
        a->key = (struct str){NULL, 0};
        tw_act_free(a);
    }
    if (w->has_sink) w->sink.on_activity_cancel(w->sink.ud, key, why);
    if (over) arena_free(&keep);
}

static void on_guard(void *ud)
{
    struct tw_act *a = ud;
    tw_act_tell(a, BACKEND_CANCEL_TIMED_OUT);
}

/* ---- taking one ---- */
static int64_t timeout_of(const struct backend_task *t)
{
    int64_t a = t->start_to_close_ns, b = t->schedule_to_close_ns;
    return !a ? b : !b || a < b ? a : b;
}

static int fill(struct backend_task *t, const struct tw_queue *q,
                const Pb__PollActivityTaskQueueResponse *m, struct err *e)
{
    struct arena *a = &t->arena;
    const PbCommon__WorkflowExecution *x = m->workflow_execution;
    char hex[SHA256_HEX];
    t->kind = BACKEND_ACTIVITY_TASK;
    t->workflow_id = arena_str(a, str_of(x ? x->workflow_id : ""));
    t->run_id = arena_str(a, str_of(x ? x->run_id : m->activity_run_id));
    t->workflow_type = arena_str(a, str_of(m->workflow_type ? m->workflow_type->name : ""));
    t->task_queue = arena_str(a, str_of(q->name));
    t->attempt = m->attempt > 0 ? m->attempt : 1;
    t->activity_id = arena_str(a, str_of(m->activity_id));
    t->activity_type = arena_str(a, str_of(m->activity_type ? m->activity_type->name : ""));
    /* the same for all attempts, as the embedded engine makes it */
    struct str key =
        arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(t->run_id), STR_ARG(t->activity_id));
    hash_sha256_hex(key, hex);
    t->idempotency_key = arena_str(a, str_make(hex, 32));
    t->scheduled_ns = bridge_ns(m->scheduled_time);
    t->started_ns = bridge_ns(m->started_time);
    t->start_to_close_ns = bridge_duration_ns(m->start_to_close_timeout);
    t->schedule_to_close_ns = bridge_duration_ns(m->schedule_to_close_timeout);
    t->heartbeat_ns = bridge_duration_ns(m->heartbeat_timeout);
    return arena_failed(a) ? err_set(e, ERR_NOMEM, "out of memory for an activity") : 0;
}

static int name_act(struct tw_act *a, struct backend_task *t, struct str token)
{
    struct buf key;
    buf_init(&key, 16u << 10);
    buf_put_base64(&key, token);
    a->key = key.code ? (struct str){NULL, 0} : arena_str(&a->arena, buf_str(&key));
    buf_free(&key);
    a->raw = arena_str(&a->arena, token);
    t->token = arena_str(&t->arena, a->key);
    if (!a->key.p || !t->token.p) return ERR_NOMEM;
    return map_set(&a->w->acts, a->key, a);
}

static int take(struct tw_act *a, struct tw_queue *q, struct backend_task *t, struct str bytes,
                bool *empty, struct err *e)
{
    struct arena *ta = &t->arena;
    struct bridge_part parts[] = {{.tag = 7, .type = &rec_type_header},
                                  {.tag = 8, .type = &rec_type_payloads},
                                  {.tag = 9, .type = &rec_type_payloads}};
    Pb__PollActivityTaskQueueResponse *m;
    struct str copy = arena_str(ta, bytes);
    if (!copy.p) return err_set(e, ERR_NOMEM, "out of memory for an activity");
    struct err closed = {0};
    codec_decode_task(a->w->t->codec, ta, &pb__poll_activity_task_queue_response__descriptor, copy,
                      &copy, &closed);
    int rc =
        bridge_read(ta, &pb__poll_activity_task_queue_response__descriptor, copy, parts, 3, &m, e);
    if (rc) return rc;
    if (m->poller_scaling_decision)
        tw_scale(q, TW_ACTIVITY, m->poller_scaling_decision->poll_request_delta_suggestion);
    *empty = m->task_token.len == 0;
    if (*empty) return 0;
    if (name_act(a, t, bridge_str(&m->task_token)))
        return err_set(e, ERR_NOMEM, "out of memory for an activity");
    if (closed.code)
        return err_set(e, closed.code == ERR_NOMEM ? ERR_NOMEM : ERR_CORRUPT, "%s", closed.text);
    t->header = parts[0].n ? parts[0].recs[0] : NULL;
    t->input = parts[1].n ? parts[1].recs[0] : NULL;
    t->heartbeat_details = parts[2].n ? parts[2].recs[0] : NULL;
    rc = fill(t, q, m, e);
    tw_beat_open(a, t->heartbeat_ns);
    if (rc == 0 && timeout_of(t) > 0 && loop_timer_open(a->w->t->loop, on_guard, a, &a->guard) == 0)
        loop_timer_start(a->guard, timeout_of(t) + GUARD_NS);
    return rc;
}

static void fail(struct tw_act *a, const char *type, const char *message, bool final,
                 backend_answer_fn fn, void *ud);

static void nobody(void *ud, const struct backend_answer *a)
{
    (void)ud;
    (void)a;
}

bool tw_take_activity(struct tw *w, struct tw_queue *q, struct str bytes)
{
    struct err e = {0};
    struct arena arena;
    if (!bytes.n) return false;
    arena_init(&arena, 0);
    struct tw_act *a = mem_zalloc(sizeof *a);
    struct backend_task *t = a ? arena_alloc(&arena, sizeof *t) : NULL;
    if (!t) {
        mem_free(a);
        log_printf(w->t->log, LOG_ERROR, "out of memory: an activity waits for its time-out");
        return true;
    }
    t->arena = arena;
    a->w = w;
    a->build = q->build;
    arena_init(&a->arena, 0);
    buf_init(&a->details, RPC_MESSAGE_MAX);
    a->next = w->all_acts;
    if (a->next) a->next->prev = a;
    w->all_acts = a;
    bool empty = false;
    int rc = take(a, q, t, bytes, &empty, &e);
    bool give = rc == 0 && !empty && !w->stopping && w->has_sink;
    if (rc)
        log_printf(w->t->log, LOG_ERROR, "activity of task queue %s dropped: %s", q->name, e.text);
    if (!give) {
        if (rc == ERR_CORRUPT) /* another worker, or a later one, may have the key */
            fail(a, "CodecFailed", e.text, false, nobody, NULL);
        else if (rc == 0 && !empty)
            tw_act_give_back(a);
        else
            tw_act_free(a);
        arena = t->arena;
        arena_free(&arena);
        return !empty;
    }
    w->activity_slots--;
    w->sink.on_activity_task(w->sink.ud, t);
    return true;
}

/* ---- ends ---- */
/* Sends the end and forgets the attempt; `done` may be changed to what the server takes. */
static void finish(struct tw_act *a, const struct backend_activity_completion *done,
                   backend_answer_fn fn, void *ud)
{
    struct temporal *t = a->w->t;
    struct arena arena;
    arena_init(&arena, 0);
    struct backend_activity_completion c = *done;
    struct str key = arena_str(&arena, a->key);
    if (c.kind == ACT_FAILED && !c.details && a->w->failure_heartbeat)
        c.details = tw_beat_rest(a, &arena);
    const char *build = a->build;
    tw_act_free(a);
    client_complete_attempt(&t->b, key, build, &c, fn, ud);
    arena_free(&arena);
}

static void fail(struct tw_act *a, const char *type, const char *message, bool final,
                 backend_answer_fn fn, void *ud)
{
    struct arena arena;
    arena_init(&arena, 0);
    const struct backend_activity_completion c = {
        .kind = ACT_FAILED,
        .failure = failure_app(&arena, str_of(type), str_of(message), final, NULL, NULL)};
    finish(a, &c, fn, ud);
    arena_free(&arena);
}

void tw_act_give_back(struct tw_act *a)
{
    fail(a, "WorkerShutdown", "the worker stopped before the attempt ended", false, nobody, NULL);
}

/* A cancelled attempt whose last heartbeat is not sent yet: that goes first. */
struct late {
    struct arena arena;
    struct temporal *t;
    const char *build;
    struct str key;
    struct backend_activity_completion done;
    backend_answer_fn fn;
    void *ud;
};

static void on_flushed(void *ud, const struct backend_answer *answer)
{
    struct late *l = ud;
    (void)answer;
    client_complete_attempt(&l->t->b, l->key, l->build, &l->done, l->fn, l->ud);
    arena_free(&l->arena);
    mem_free(l);
}

static bool flush_first(struct tw_act *a, const struct backend_activity_completion *done,
                        backend_answer_fn fn, void *ud)
{
    struct late *l = a->pending ? mem_zalloc(sizeof *l) : NULL;
    if (!l) return false;
    arena_init(&l->arena, 0);
    *l = (struct late){l->arena, a->w->t, a->build, {NULL, 0}, *done, fn, ud};
    const struct rec *rest = tw_beat_rest(a, &l->arena);
    l->key = arena_str(&l->arena, a->key);
    l->done.details = done->details ? rec_clone(&l->arena, done->details) : NULL;
    if (!rest || arena_failed(&l->arena)) {
        arena_free(&l->arena);
        mem_free(l);
        return false;
    }
    struct temporal *t = a->w->t;
    tw_act_free(a);
    client_heartbeat(&t->b, l->key, rest, on_flushed, l);
    return true;
}

/* Only a cancellation that the server asked for may be answered as one. */
static void canceled(struct tw_act *a, const struct backend_activity_completion *done,
                     backend_answer_fn fn, void *ud)
{
    if (!a->told)
        fail(a, "Canceled", "the activity ended as cancelled, which nobody had asked for", false,
             fn, ud);
    else if (a->why == BACKEND_CANCEL_PAUSED)
        fail(a, "ActivityPaused", "the activity was paused", false, fn, ud);
    else if (a->why == BACKEND_CANCEL_RESET)
        fail(a, "ActivityReset", "the activity was reset", false, fn, ud);
    else if (!flush_first(a, done, fn, ud))
        finish(a, done, fn, ud);
}

void tw_complete_activity(struct backend *b, struct str token,
                          const struct backend_activity_completion *done, backend_answer_fn fn,
                          void *ud)
{
    struct temporal *t = temporal_of(b);
    struct tw_act *a = map_get(&t->worker->acts, token);
    if (!a) { /* completed from outside */
        client_complete_activity(b, token, done, fn, ud);
    } else if (done->kind == ACT_ASYNC) {
        tw_act_free(a);
        struct call *c = call_new_answer(t, fn, ud, "leave an activity open", (struct str){0});
        if (c) call_done_later(c);
    } else if (done->timed_out) { /* the server's clock tells it, as a time-out */
        tw_act_free(a);
        struct call *c = call_new_answer(t, fn, ud, "time out an activity", (struct str){0});
        if (c) call_done_later(c);
    } else if (done->kind == ACT_CANCELED) {
        canceled(a, done, fn, ud);
    } else if (done->kind == ACT_COMPLETED &&
               tw_size_sent(t->worker, done->result) > t->worker->blob_max) {
        char text[200];
        snprintf(text, sizeof text,
                 "the result has %lld bytes, the namespace takes at most %lld: keep large values "
                 "in a store and pass their names",
                 (long long)tw_size_sent(t->worker, done->result), (long long)t->worker->blob_max);
        fail(a, "PayloadsTooLarge", text, true, fn, ud);
    } else {
        finish(a, done, fn, ud);
    }
}
