/* Attempts of activities: slots, results, retries, the four time-outs, heartbeats, lost workers,
 * cancellation. An attempt is recorded with the owner's epoch before it is given out; the history
 * learns of it only when the activity closes (Started and close event as a pair). Start-to-close
 * and heartbeat count on the attempt clock (monotonic time, plus the jumps of virtual time);
 * schedule-to-start, schedule-to-close and the wait before a retry on the engine's clock. */
#include "engine/engine_internal.h"

#define A(field) T(ev_activity_task_scheduled, field)

void eng_token_activity(const struct run *r, const struct pend *p, struct buf *out)
{
    buf_printf(out, "a:%.*s:%lld:%d", STR_ARG(r->run_id), (long long)p->id, p->attempt);
}

static int parse_i64(struct str s, int64_t *v)
{
    int64_t n = 0;
    if (!s.n || s.n > 18) {
        return ERR_ARG;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return ERR_ARG;
        }
        n = n * 10 + (s.p[i] - '0');
    }
    *v = n;
    return 0;
}

/* "a:RUN:SCHEDULED:ATTEMPT" and "w:RUN:STARTED:NONCE". */
int eng_token_parse(struct str token, struct str *run_id, int64_t *id, int64_t *attempt)
{
    const char *end = token.p + token.n;
    const char *one = token.n > 2 ? memchr(token.p + 2, ':', token.n - 2) : NULL;
    const char *two = one ? memchr(one + 1, ':', (size_t)(end - one - 1)) : NULL;
    if (!two || parse_i64(str_make(one + 1, (size_t)(two - one - 1)), id) ||
        parse_i64(str_make(two + 1, (size_t)(end - two - 1)), attempt)) {
        return ERR_ARG;
    }
    *run_id = str_make(token.p + 2, (size_t)(one - token.p - 2));
    return 0;
}

static int64_t close_deadline(const struct pend *p)
{
    int64_t d = rec_int(p->attrs, A(schedule_to_close_timeout));
    return d > 0 ? p->first_at + d : 0;
}

/* The next engine-clock moment at which something is to be done about it; 0 none. */
static int64_t next_due(const struct pend *p)
{
    int64_t due = close_deadline(p), other = 0;
    if (p->state == AT_WAITING) {
        int64_t d = rec_int(p->attrs, A(schedule_to_start_timeout));
        other = d > 0 ? p->first_at + d : 0;
    } else if (p->state == AT_BACKOFF) {
        other = p->at;
    }
    return due && other ? (due < other ? due : other) : due ? due : other;
}

static void store_attempt(struct txn *t, struct pend *p)
{
    int64_t due = next_due(p);
    p->due = due;
    eng_pend_write(t, p);
    if (due) {
        eng_arm(t, PEND_ACTIVITY, p->id, due);
    }
}

static void begin_attempt(struct txn *t, struct pend *p)
{
    p->attempt++;
    p->state = AT_RUNNING;
    p->epoch = t->g->epoch;
    p->at = t->now;
    p->t_start = p->t_beat = eng_attempt_now(t->g);
    store_attempt(t, p);
    eng_effect(t, FX_PUSH_ACTIVITY)->id = p->id;
}

static void queue_for_slot(struct txn *t, const struct pend *p)
{
    struct engine *g = t->g;
    if (eng_driven(g, t->run)) {
        bool served = eng_serves(g, p->queue, p->type, true);
        eng_ready_add(g, served ? &g->ready_act : &g->unserved, t->run->row, p->id);
    }
}

static void wait_for_slot(struct txn *t, struct pend *p)
{
    struct engine *g = t->g;
    if (eng_take_activity_slot(g, t->run, p)) {
        begin_attempt(t, p);
        return;
    }
    p->state = AT_WAITING;
    store_attempt(t, p);
    queue_for_slot(t, p);
}

/* A newly scheduled activity: its attempt starts in the same commit when there is a slot. */
void eng_activity_schedule(struct txn *t, struct pend *p)
{
    p->first_at = t->now;
    wait_for_slot(t, p);
}

/* A slot became free for one that waits. */
void eng_apply_act_slot(struct txn *t, struct msg *m)
{
    struct pend *p = t->run->status == RUN_RUNNING ? eng_pend(t->run, PEND_ACTIVITY, m->id) : NULL;
    if (!p || p->state != AT_WAITING) {
        return;
    }
    if (eng_take_activity_slot(t->g, t->run, p)) {
        begin_attempt(t, p);
    } else {
        queue_for_slot(t, p);
    }
}

/* ---- ends ---- */
static struct rec *decode_failure(struct txn *t, const struct bytes *b)
{
    struct rec *f = NULL;
    if (!b->n || rec_decode(&t->chunk->arena, &rec_type_failure,
                            arena_str(&t->chunk->arena, eng_bytes(b)), &f, NULL)) {
        return NULL;
    }
    return f;
}

static struct rec *decode_payloads(struct txn *t, const struct bytes *b)
{
    struct rec *f = NULL;
    if (!b->n || rec_decode(&t->chunk->arena, &rec_type_payloads,
                            arena_str(&t->chunk->arena, eng_bytes(b)), &f, NULL)) {
        return NULL;
    }
    return f;
}

static bool encode_into(struct bytes *b, const struct rec *r)
{
    struct buf x;
    buf_init(&x, ENG_BLOB_MAX);
    bool ok = !r || rec_encode(r, &x) == 0;
    ok = ok && eng_bytes_set(b, r ? buf_str(&x) : (struct str){NULL, 0});
    buf_free(&x);
    return ok;
}

/* Appends (or buffers) the pair: Started, then the close event. Returns the started id, 0 when it
 * is buffered. */
static int64_t started_event(struct txn *t, struct pend *p)
{
    struct rec *a = NULL, *ev = eng_event_loose(t, EVENT_TYPE_ACTIVITY_TASK_STARTED, &a);
    rec_set_int(a, T(ev_activity_task_started, scheduled_event_id), p->id);
    rec_set_str(a, T(ev_activity_task_started, identity), str_of(t->g->identity));
    rec_set_int(a, T(ev_activity_task_started, attempt), p->attempt);
    if (p->attempt > 1) {
        rec_set_msg(a, T(ev_activity_task_started, last_failure), decode_failure(t, &p->failure));
    }
    eng_event_arrive(t, ev, false);
    return t->run->started ? 0 : event_id(ev);
}

/* The attempt's token, without memory. */
static struct str token_in(char *out, size_t size, const struct run *r, const struct pend *p)
{
    int n = snprintf(out, size, "a:%.*s:%lld:%d", STR_ARG(r->run_id), (long long)p->id, p->attempt);
    return str_make(out, n > 0 && (size_t)n < size ? (size_t)n : 0);
}

/* Has the worker got it? */
bool eng_attempt_out(const struct run *r, const struct pend *p)
{
    char text[120];
    return map_get(&r->g->out, token_in(text, sizeof text, r, p)) != NULL;
}

/* It is over once that is durable. */
static void forget_attempt(struct txn *t, struct pend *p)
{
    char text[120];
    struct effect *f = eng_effect(t, FX_FORGET);
    f->text = arena_str(&t->chunk->arena, token_in(text, sizeof text, t->run, p));
    p->unpushed = false;
}

static void finish(struct txn *t, struct pend *p, struct rec *close_event)
{
    forget_attempt(t, p);
    eng_pend_delete(t, p);
    eng_event_arrive(t, close_event, true);
}

static void end_completed(struct txn *t, struct pend *p, struct rec *result)
{
    int64_t started = started_event(t, p);
    struct rec *a = NULL, *ev = eng_event_loose(t, EVENT_TYPE_ACTIVITY_TASK_COMPLETED, &a);
    rec_set_msg(a, T(ev_activity_task_completed, result), result);
    rec_set_int(a, T(ev_activity_task_completed, scheduled_event_id), p->id);
    rec_set_int(a, T(ev_activity_task_completed, started_event_id), started);
    rec_set_str(a, T(ev_activity_task_completed, identity), str_of(t->g->identity));
    finish(t, p, ev);
}

static void end_canceled(struct txn *t, struct pend *p, struct rec *details)
{
    bool ran = p->state == AT_RUNNING || p->state == AT_ASYNC;
    int64_t started = ran ? started_event(t, p) : 0;
    struct rec *a = NULL, *ev = eng_event_loose(t, EVENT_TYPE_ACTIVITY_TASK_CANCELED, &a);
    rec_set_msg(a, T(ev_activity_task_canceled, details), details);
    rec_set_int(a, T(ev_activity_task_canceled, latest_cancel_requested_event_id), p->cancel_id);
    rec_set_int(a, T(ev_activity_task_canceled, scheduled_event_id), p->id);
    rec_set_int(a, T(ev_activity_task_canceled, started_event_id), started);
    rec_set_str(a, T(ev_activity_task_canceled, identity), str_of(t->g->identity));
    finish(t, p, ev);
}

static void end_failed(struct txn *t, struct pend *p, struct rec *failure, int retry_state)
{
    int64_t started = started_event(t, p);
    struct rec *a = NULL, *ev = eng_event_loose(t, EVENT_TYPE_ACTIVITY_TASK_FAILED, &a);
    rec_set_msg(a, T(ev_activity_task_failed, failure), failure);
    rec_set_int(a, T(ev_activity_task_failed, scheduled_event_id), p->id);
    rec_set_int(a, T(ev_activity_task_failed, started_event_id), started);
    rec_set_str(a, T(ev_activity_task_failed, identity), str_of(t->g->identity));
    rec_set_int(a, T(ev_activity_task_failed, retry_state), retry_state);
    finish(t, p, ev);
}

static void end_timed_out(struct txn *t, struct pend *p, struct rec *failure, int retry_state,
                          bool ran)
{
    int64_t started = ran ? started_event(t, p) : 0;
    struct rec *a = NULL, *ev = eng_event_loose(t, EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT, &a);
    rec_set_msg(a, T(ev_activity_task_timed_out, failure), failure);
    rec_set_int(a, T(ev_activity_task_timed_out, scheduled_event_id), p->id);
    rec_set_int(a, T(ev_activity_task_timed_out, started_event_id), started);
    rec_set_int(a, T(ev_activity_task_timed_out, retry_state), retry_state);
    finish(t, p, ev);
}

/* May another attempt follow? Returns its delay, or -1 with the reason in *state. */
static int64_t next_attempt(struct txn *t, struct pend *p, const struct rec *failure,
                            int64_t override_ns, int *state)
{
    const struct rec *policy = rec_msg(p->attrs, A(retry_policy));
    if (p->cancel_id) {
        *state = RETRY_STATE_CANCEL_REQUESTED;
        return -1;
    }
    if (!failure_retryable(failure, policy)) {
        *state = RETRY_STATE_NON_RETRYABLE_FAILURE;
        return -1;
    }
    if (override_ns <= 0) {
        const struct rec *info = rec_msg(failure, T(failure, application_failure_info));
        override_ns = rec_int(info, T(application_failure_info, next_retry_delay));
    }
    int64_t delay = retry_delay(policy, p->attempt + 1, override_ns), limit = close_deadline(p);
    if (delay < 0) {
        *state = RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED;
        return -1;
    }
    if (limit && t->now + delay >= limit) {
        *state = RETRY_STATE_TIMEOUT;
        return -1;
    }
    *state = RETRY_STATE_IN_PROGRESS;
    return delay;
}

/* An attempt failed: another one by policy, else the activity ends. timeout: the failure is a
 * time-out. */
static void attempt_failed(struct txn *t, struct pend *p, struct rec *failure, int64_t override_ns,
                           bool timeout)
{
    int state = 0;
    int64_t delay = next_attempt(t, p, failure, override_ns, &state);
    if (delay < 0) {
        if (timeout) {
            end_timed_out(t, p, failure, state, true);
        } else {
            end_failed(t, p, failure, state);
        }
        return;
    }
    forget_attempt(t, p);
    if (!encode_into(&p->failure, failure)) {
        t->failed = true;
    }
    if (delay == 0) {
        wait_for_slot(t, p);
        return;
    }
    p->state = AT_BACKOFF;
    p->at = t->now + delay;
    store_attempt(t, p);
}

/* ---- messages ---- */
/* The attempt a message speaks of, or NULL. By id (attempt 0) the current one is meant. */
static struct pend *attempt_of(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    if (r->status != RUN_RUNNING) {
        return NULL;
    }
    struct pend *p =
        m->attempt ? eng_pend(r, PEND_ACTIVITY, m->id) : eng_pend_named(r, PEND_ACTIVITY, m->name);
    bool live = p && (p->state == AT_RUNNING || p->state == AT_ASYNC);
    return live && (!m->attempt || p->attempt == m->attempt) ? p : NULL;
}

/* What the attempt wants to be written joins the transition. It is alone in it, and nothing is
 * pushed before its commit: a guard that fails undoes this one completion and nothing else. The
 * batch itself stays with the message, which may have to be applied again. */
static bool join_batch(struct txn *t, struct msg *m)
{
    if (t->chunk->adopted != m || m->next || t->pushed || t->chunk->n) {
        eng_repost(t, m);
        return false;
    }
    t->no_push = true;
    if (eng_batch(t)) {
        store_batch_append(t->batch, m->batch);
    }
    return true;
}

void eng_apply_act_done(struct txn *t, struct msg *m)
{
    struct pend *p = attempt_of(t, m);
    if (!p) {
        eng_answer(t, m, BACKEND_STALE);
        return;
    }
    if (m->batch && m->sub == ACT_COMPLETED && !join_batch(t, m)) {
        return;
    }
    eng_answer(t, m, BACKEND_OK);
    if (m->rec2 && m->sub == ACT_FAILED && !encode_into(&p->details, m->rec2)) {
        t->failed = true;
    }
    switch (m->sub) {
    case ACT_COMPLETED:
        end_completed(t, p, m->rec);
        if (t->no_push && t->run->want_wft && !t->run->sched) {
            eng_schedule_wft(t);
        }
        break;
    case ACT_FAILED:
        attempt_failed(t, p, m->rec, m->number, false);
        break;
    case ACT_CANCELED:
        if (p->cancel_id) {
            end_canceled(t, p, m->rec2);
        } else {
            attempt_failed(t, p,
                           failure_app(&t->chunk->arena, STR("WorkerShutdown"),
                                       STR("the attempt was cancelled by its worker"), false, NULL,
                                       NULL),
                           0, false);
        }
        break;
    default: { /* completed later, from outside: it survives its process */
        p->state = AT_ASYNC;
        forget_attempt(t, p);
        store_attempt(t, p);
        break;
    }
    }
}

void eng_apply_heartbeat(struct txn *t, struct msg *m)
{
    struct pend *p = attempt_of(t, m);
    if (!p) {
        eng_answer(t, m, BACKEND_STALE);
        return;
    }
    p->t_beat = eng_attempt_now(t->g);
    if (m->rec) {
        if (!encode_into(&p->details, m->rec)) {
            t->failed = true;
        }
        eng_pend_write(t, p);
    }
    if (m->answer) {
        struct effect *f = eng_effect(t, FX_ANSWER);
        f->m = m;
        f->answer_fn = m->answer;
        f->ud = m->ud;
        f->answer.kind = BACKEND_OK;
        f->answer.cancel_requested = p->cancel_id != 0;
        f->answer.cancel_reason = BACKEND_CANCEL_REQUESTED;
    }
}

/* Was the attempt before this one lost with its worker too? */
static bool lost_before(struct txn *t, const struct pend *p)
{
    struct rec *last = NULL;
    if (!p->failure.n ||
        rec_decode(&t->chunk->arena, &rec_type_failure, eng_bytes(&p->failure), &last, NULL) < 0) {
        return false;
    }
    struct str type = failure_type(last);
    return str_eq(type, STR("WorkerLost")) || str_eq(type, STR("WorkerShutdown"));
}

/* The owner of the attempt is dead (sub 0), is leaving in good order (sub 1), or had no memory for
 * the attempt's outcome (sub 2). The activity
 * itself did not fail, so the next attempt comes at once; only when that one is lost too (it may be
 * what kills its worker) the policy's delay holds. */
void eng_apply_act_lost(struct txn *t, struct msg *m)
{
    struct pend *p = attempt_of(t, m);
    if (!p || p->state != AT_RUNNING || (m->sub == 0 && p->epoch == t->g->epoch)) {
        return;
    }
    struct arena *a = &t->chunk->arena;
    struct rec *f =
        m->sub == 2 ? failure_app(a, STR("WorkerLost"),
                                  STR("the worker had no memory to report the attempt's outcome"),
                                  false, NULL, NULL)
        : m->sub    ? failure_app(a, STR("WorkerShutdown"),
                                  STR("the worker stopped while the attempt ran"), false, NULL, NULL)
                 : failure_app(a, STR("WorkerLost"), STR("the process that ran the attempt died"),
                               false, NULL, NULL);
    if (p->cancel_id) {
        end_canceled(t, p, NULL);
    } else {
        attempt_failed(t, p, f, lost_before(t, p) ? 0 : 1, false);
    }
}

static void tell_worker(struct txn *t, struct pend *p, enum backend_cancel_reason why)
{
    struct buf b;
    buf_init(&b, 200);
    eng_token_activity(t->run, p, &b);
    struct effect *f = eng_effect(t, FX_ACT_CANCEL);
    f->text = arena_str(&t->chunk->arena, buf_str(&b));
    f->sub = (int)why;
    buf_free(&b);
}

/* The activity is no more (its run closed): the worker's attempt is told to stop. */
void eng_activity_gone(struct txn *t, struct pend *p, enum backend_cancel_reason why)
{
    if (p->state == AT_RUNNING) {
        tell_worker(t, p, why);
        forget_attempt(t, p);
    }
}

/* The workflow asked for cancellation (event p->cancel_id): at once when no attempt runs. */
void eng_activity_cancel(struct txn *t, struct pend *p)
{
    if (p->state == AT_RUNNING) {
        eng_pend_write(t, p);
        tell_worker(t, p, BACKEND_CANCEL_REQUESTED);
    } else if (p->state == AT_ASYNC) {
        eng_pend_write(t, p);
    } else {
        end_canceled(t, p, NULL);
    }
}

/* ---- time-outs ---- */
static struct rec *timeout_failure(struct txn *t, struct pend *p, int type, const char *what,
                                   bool with_cause)
{
    struct arena *a = &t->chunk->arena;
    struct rec *cause = with_cause ? decode_failure(t, &p->failure) : NULL;
    return failure_timeout(a, type,
                           arena_printf(a, "activity %.*s: %s time-out", STR_ARG(p->type), what),
                           decode_payloads(t, &p->details), cause);
}

/* Due on the engine's clock: schedule-to-close, schedule-to-start, or the wait before the next
 * attempt is over. */
void eng_activity_timer(struct txn *t, struct pend *p)
{
    int64_t limit = close_deadline(p);
    if (limit && t->now >= limit) {
        bool ran = p->state == AT_RUNNING || p->state == AT_ASYNC;
        eng_activity_gone(t, p, BACKEND_CANCEL_TIMED_OUT);
        end_timed_out(
            t, p, timeout_failure(t, p, TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, "schedule-to-close", true),
            RETRY_STATE_TIMEOUT, ran);
        return;
    }
    int64_t start = rec_int(p->attrs, A(schedule_to_start_timeout));
    if (p->state == AT_WAITING && start > 0 && t->now >= p->first_at + start) {
        end_timed_out(
            t, p, timeout_failure(t, p, TIMEOUT_TYPE_SCHEDULE_TO_START, "schedule-to-start", false),
            RETRY_STATE_TIMEOUT, false);
    } else if (p->state == AT_BACKOFF && t->now >= p->at) {
        wait_for_slot(t, p);
    } else if (next_due(p)) {
        eng_arm(t, PEND_ACTIVITY, p->id, next_due(p));
    }
}

/* Looks at an attempt's own clock: start-to-close and heartbeat; arms the next look. */
void eng_apply_tick(struct txn *t, struct msg *m)
{
    struct pend *p = attempt_of(t, m);
    if (!p) {
        return;
    }
    struct engine *g = t->g;
    int64_t now = eng_attempt_now(g), start = rec_int(p->attrs, A(start_to_close_timeout));
    int64_t beat = rec_int(p->attrs, A(heartbeat_timeout)), due = 0;
    int type = 0;
    if (start > 0) {
        due = p->t_start + start;
        type = now >= due ? TIMEOUT_TYPE_START_TO_CLOSE : 0;
    }
    if (beat > 0 && !type) {
        int64_t d = p->t_beat + beat;
        type = now >= d ? TIMEOUT_TYPE_HEARTBEAT : 0;
        due = !due || d < due ? d : due;
    }
    if (!type) {
        if (due) {
            eng_attempt_arm(g, t->run->row, p->id, p->attempt, due);
        }
        return;
    }
    struct rec *f = timeout_failure(
        t, p, type, type == TIMEOUT_TYPE_HEARTBEAT ? "heartbeat" : "start-to-close", false);
    eng_activity_gone(t, p, BACKEND_CANCEL_TIMED_OUT);
    attempt_failed(t, p, f, 0, true);
}
