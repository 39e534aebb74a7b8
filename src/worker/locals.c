/* Local activities: they run inside a workflow task, with retries and back-off, and belong to the
 * run, because they go on while a task that took long is completed as a heartbeat and the next one
 * begins. Outcomes are handed to the run one by one, in the order in which they came. */
#include "base/mem.h"
#include "worker/worker_internal.h"

static int local_attempt(struct w_local *l, struct err *e);

static void local_free(struct w_local *l)
{
    struct w_local **at = &l->run->locals;
    while (*at && *at != l)
        at = &(*at)->next;
    if (*at) *at = l->next;
    if (l->timer) loop_timer_close(l->timer);
    arena_free(&l->arena);
    mem_free(l);
}

static void done_free(struct w_local_done *d)
{
    arena_free(&d->arena);
    mem_free(d);
}

/* Without memory the run cannot be told: it is thrown away with its task, which the engine gives
 * again. Without a task in hand (one was just answered) that comes with the next one. */
static void starved(struct w_run *r)
{
    r->starved = true;
    if (r->task && r->task->state == W_WAIT_LOCAL) w_task_ready(r->task);
}

/* Queues the outcome and frees the local activity. */
static void local_done(struct w_local *l, const struct wf_local_result *r)
{
    struct w_run *run = l->run;
    struct w_local_done *d = mem_zalloc(sizeof *d);
    if (!d) {
        local_free(l);
        starved(run);
        return;
    }
    arena_init(&d->arena, 0);
    d->seq = l->req.seq;
    d->r = *r;
    d->r.result = r->result ? rec_clone(&d->arena, r->result) : NULL;
    d->r.failure = r->failure ? rec_clone(&d->arena, r->failure) : NULL;
    d->r.attempt = l->attempt;
    d->r.complete_ns = clock_wall(run->w->o.env.clock);
    d->r.original_schedule_ns = l->original_ns;
    if (arena_failed(&d->arena)) run->starved = true;
    *run->done_last = d;
    run->done_last = &d->next;
    local_free(l);
    if (run->task && run->task->state == W_WAIT_LOCAL) w_task_ready(run->task);
}

bool w_locals_resolve_one(struct w_task *k)
{
    struct w_run *r = k->run;
    struct w_local_done *d = r->done_first;
    if (!d || r->starved) return false;
    r->done_first = d->next;
    if (!r->done_first) r->done_last = &r->done_first;
    if (d->r.attempt > 1) k->local_retries += d->r.attempt - 1;
    wf_local_resolve(r->wf, d->seq, &d->r);
    done_free(d);
    return true;
}

void w_locals_drop(struct w_run *r)
{
    while (r->done_first) {
        struct w_local_done *d = r->done_first;
        r->done_first = d->next;
        done_free(d);
    }
    r->done_last = &r->done_first;
    while (r->locals) {
        struct w_local *l = r->locals;
        if (l->call) {
            l->call->local = NULL;
            w_call_cancel(l->call, BACKEND_CANCEL_GONE);
        }
        local_free(l);
    }
}

static void on_backoff(void *ud)
{
    struct w_local *l = ud;
    struct worker *w = l->run->w;
    struct err e;
    loop_timer_close(l->timer);
    l->timer = NULL;
    if (local_attempt(l, &e)) starved(l->run);
    w_ready(w);
}

static void finish_failed(struct w_local *l, const struct rec *failure, int64_t backoff_ns)
{
    struct wf_local_result r = {
        .failure = failure, .backoff_ns = backoff_ns, .canceled = failure_is_canceled(failure)};
    local_done(l, &r);
}

static bool past_close(const struct w_local *l, int64_t delay)
{
    int64_t now = clock_wall(l->run->w->o.env.clock);
    return l->req.schedule_to_close_ns > 0 &&
           now + delay - l->original_ns >= l->req.schedule_to_close_ns;
}

static void retry_or_fail(struct w_local *l, const struct rec *failure, int64_t override_ns)
{
    int64_t delay = failure_retryable(failure, l->req.retry_policy)
                        ? retry_delay(l->req.retry_policy, l->attempt + 1, override_ns)
                        : -1;
    if (l->canceled || delay < 0 || past_close(l, delay)) {
        finish_failed(l, failure, 0);
        return;
    }
    if (l->req.retry_threshold_ns > 0 && delay > l->req.retry_threshold_ns) {
        finish_failed(l, failure, delay);
        return;
    }
    l->attempt++;
    if (loop_timer_open(l->run->w->o.loop, on_backoff, l, &l->timer))
        starved(l->run);
    else
        loop_timer_start(l->timer, delay);
}

/* The outcome of one attempt; c->local is NULL when its run is gone. */
void w_local_finished(struct w_call *c, const struct backend_activity_completion *r)
{
    struct w_local *l = c->local;
    struct worker *w = c->w;
    if (l && !c->gone) {
        struct arena a;
        arena_init(&a, 0);
        struct wf_local_result res = {0};
        l->call = NULL;
        switch (r->kind) {
        case ACT_COMPLETED:
            res.result = r->result;
            local_done(l, &res);
            break;
        case ACT_CANCELED:
            res.failure = r->failure ? r->failure : failure_canceled(&a, STR("canceled"), NULL);
            res.canceled = true;
            local_done(l, &res);
            break;
        case ACT_FAILED:
            retry_or_fail(l,
                          r->failure
                              ? r->failure
                              : failure_app(&a, STR("Unknown"), STR("failed without a reason"),
                                            false, NULL, NULL),
                          r->next_retry_delay_ns);
            break;
        case ACT_ASYNC:
            finish_failed(
                l,
                failure_app(
                    &a, STR("Unsupported"),
                    STR("a local activity cannot be completed from elsewhere; use ml.activity"),
                    true, NULL, NULL),
                0);
            break;
        }
        arena_free(&a);
    }
    w->n_locals_running--;
    w_locals_next(w);
    w_ready(w);
}

static void fail_now(struct w_local *l, struct str type, const char *text, bool non_retryable)
{
    struct arena a;
    arena_init(&a, 0);
    finish_failed(l, failure_app(&a, type, str_of(text), non_retryable, NULL, NULL), 0);
    arena_free(&a);
}

/* ERR_NOMEM: it has not begun, and does not by itself. */
static int local_attempt(struct w_local *l, struct err *e)
{
    struct worker *w = l->run->w;
    if (w->n_locals_running >= (size_t)w->o.local_slots) {
        l->waiting = true;
        return 0;
    }
    l->waiting = false;
    struct w_call *c = w_call_new(w);
    if (!c) return err_set(e, ERR_NOMEM, "out of memory starting a local activity");
    c->local = l;
    int64_t now = clock_wall(w->o.env.clock);
    int64_t limit = l->req.start_to_close_ns;
    int64_t left =
        l->req.schedule_to_close_ns ? l->original_ns + l->req.schedule_to_close_ns - now : 0;
    if (l->req.schedule_to_close_ns && left <= 0) left = 1;
    if (left > 0 && (limit == 0 || left < limit)) limit = left;
    struct act_call spec = {.activity_type = l->req.activity_type,
                            .input = l->req.input,
                            .workflow_id = l->workflow_id,
                            .run_id = str_of(l->run->run_id),
                            .workflow_type = l->workflow_type,
                            .task_queue = l->task_queue,
                            .activity_id = l->req.activity_id,
                            .attempt = l->attempt,
                            .local = true,
                            .scheduled_ns = l->original_ns,
                            .started_ns = now,
                            .start_to_close_ns = limit};
    w->n_locals_running++;
    l->call = c;
    int rc = w_call_start(w, &spec, c, e);
    if (rc) {
        l->call = NULL;
        w->n_locals_running--;
        w_call_free(c);
    }
    if (rc && rc != ERR_NOMEM)
        fail_now(l, rc == ERR_NOTFOUND ? STR("ActivityNotFound") : STR("ActivityNotStarted"),
                 e->text, rc == ERR_NOTFOUND);
    return rc == ERR_NOMEM ? rc : 0;
}

void w_locals_next(struct worker *w)
{
    for (struct w_run *r = w->lru_first; r; r = r->next)
        for (struct w_local *l = r->locals, *next; l; l = next) {
            if (w->n_locals_running >= (size_t)w->o.local_slots) return;
            struct err e;
            next = l->next;
            if (l->waiting && local_attempt(l, &e)) starved(r);
        }
}

static int local_new(struct w_task *k, const struct wf_local_request *q, struct w_local **out,
                     struct err *e)
{
    struct w_local *l = mem_zalloc(sizeof *l);
    if (!l) return err_set(e, ERR_NOMEM, "out of memory starting a local activity");
    arena_init(&l->arena, 0);
    l->run = k->run;
    l->req = *q;
    l->req.activity_type = arena_str(&l->arena, q->activity_type);
    l->req.activity_id = arena_str(&l->arena, q->activity_id);
    l->req.input = q->input ? rec_clone(&l->arena, q->input) : NULL;
    l->req.retry_policy = q->retry_policy ? rec_clone(&l->arena, q->retry_policy) : NULL;
    l->workflow_type = arena_str(&l->arena, k->t->workflow_type);
    l->workflow_id = arena_str(&l->arena, k->t->workflow_id);
    l->task_queue = arena_str(&l->arena, k->t->task_queue);
    l->attempt = q->attempt > 0 ? q->attempt : 1;
    l->original_ns =
        q->original_schedule_ns ? q->original_schedule_ns : clock_wall(k->w->o.env.clock);
    if (arena_failed(&l->arena)) {
        arena_free(&l->arena);
        mem_free(l);
        return err_set(e, ERR_NOMEM, "out of memory starting a local activity");
    }
    struct w_local **at = &k->run->locals;
    while (*at)
        at = &(*at)->next;
    *at = l;
    *out = l;
    return 0;
}

static void local_cancel(struct w_run *r, uint32_t seq)
{
    for (struct w_local *l = r->locals; l; l = l->next) {
        if (l->req.seq != seq) continue;
        l->canceled = true;
        if (l->call) {
            w_call_cancel(l->call, BACKEND_CANCEL_REQUESTED);
        } else { /* between two attempts, or waiting for a slot */
            struct arena a;
            arena_init(&a, 0);
            struct wf_local_result res = {.failure = failure_canceled(&a, STR("canceled"), NULL),
                                          .canceled = true};
            local_done(l, &res);
            arena_free(&a);
        }
        return;
    }
}

int w_locals_begin(struct w_task *k, const struct wf_out *out, struct err *e)
{
    for (size_t i = 0; i < out->n_locals; i++) {
        struct w_local *l = NULL;
        int rc = local_new(k, &out->locals[i], &l, e);
        if (!rc) rc = local_attempt(l, e);
        if (rc) return rc;
    }
    for (size_t i = 0; i < out->n_local_cancels; i++)
        local_cancel(k->run, out->local_cancels[i]);
    return 0;
}

/* 0.8 of the task's time-out has passed and local activities still run: what is there is committed,
 * a new task goes on. */
static void on_heartbeat(void *ud)
{
    struct w_task *k = ud;
    if (k->state == W_ANSWERING) return;
    if (k->state != W_WAIT_LOCAL || !k->out || k->run->done_first || k->run->starved) {
        loop_timer_start(k->timer, W_HEARTBEAT_AGAIN_NS); /* a slice is due: look after it */
        return;
    }
    k->heartbeat = true;
    w_task_complete(k, k->out, true);
    w_ready(k->w);
}

void w_locals_heartbeat_arm(struct w_task *k)
{
    if (k->timer) return;
    int64_t timeout = k->t->task_timeout_ns > 0 ? k->t->task_timeout_ns : W_TASK_TIMEOUT_NS;
    if (loop_timer_open(k->w->o.loop, on_heartbeat, k, &k->timer)) {
        starved(k->run);
        return;
    }
    loop_timer_start(k->timer, timeout / 10 * 8);
}
