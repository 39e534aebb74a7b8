/* Workflow tasks. Keeps true: one task of a run is in hand at a time and later ones wait behind it;
 * slices go round over the ready tasks; a run that the engine did not take as it is (any answer but
 * OK and DISCARDED) is thrown away and rebuilt. */
#include "base/fault.h"
#include "base/mem.h"
#include "worker/worker_internal.h"

void w_ready(struct worker *w)
{
    if (w->on_ready) w->on_ready(w->on_ready_ud);
}

/* ---- the list of tasks ---- */
void w_task_ready(struct w_task *k)
{
    struct worker *w = k->w;
    if (k->queued) return;
    k->queued = true;
    k->ready_next = NULL;
    *w->ready_last = k;
    w->ready_last = &k->ready_next;
    w_ready(w);
}

static struct w_task *take_ready(struct worker *w)
{
    struct w_task *k = w->ready_first;
    if (!k) return NULL;
    w->ready_first = k->ready_next;
    if (!w->ready_first) w->ready_last = &w->ready_first;
    k->queued = false;
    return k;
}

static void unready(struct w_task *k)
{
    struct worker *w = k->w;
    if (!k->queued) return;
    struct w_task **at = &w->ready_first;
    while (*at != k)
        at = &(*at)->ready_next;
    *at = k->ready_next;
    if (w->ready_last == &k->ready_next) w->ready_last = at;
    k->queued = false;
}

static void task_free(struct w_task *k)
{
    struct worker *w = k->w;
    unready(k);
    if (k->gone) *k->gone = true;
    if (k->timer) loop_timer_close(k->timer);
    if (k->prev)
        k->prev->next = k->next;
    else
        w->tasks = k->next;
    if (k->next) k->next->prev = k->prev;
    backend_task_free(k->t);
    arena_free(&k->history);
    mem_free(k->events);
    mem_free(k);
    w->n_tasks--;
    w->tasks_ended++;
}

/* The run is free again: the next task of it may go on. Evicts when it is doomed or the limits say
 * so. */
static void release_run(struct w_run *r, bool evict)
{
    struct w_task *p = r->parked, *next;
    r->task = NULL;
    r->parked = NULL;
    if (evict || r->doomed || (r->w->o.evict_always && w_run_evictable(r)))
        w_run_evict(r);
    else
        w_run_touch(r);
    for (; p; p = next) {
        next = p->parked_next;
        p->parked_next = NULL;
        p->state = W_NEW;
        w_task_ready(p);
    }
}

static void task_end(struct w_task *k, bool evict)
{
    struct worker *w = k->w;
    if (k->run) release_run(k->run, evict);
    task_free(k);
    w_cache_trim(w);
    if (!w->stopping) w->b->ops->offer(w->b, 1, 0);
    w_stop_check(w);
}

/* The run's task in hand outlives it, and would find it behind itself. */
static void unpark(struct w_task *k)
{
    struct w_run *r = w_run_get(k->w, k->t->run_id);
    for (struct w_task **at = r ? &r->parked : NULL; at && *at; at = &(*at)->parked_next)
        if (*at == k) {
            *at = k->parked_next;
            return;
        }
}

void w_task_drop(struct w_task *k)
{
    if (k->state == W_PARKED) unpark(k);
    if (k->run && k->run->task == k) k->run->task = NULL;
    task_free(k);
}

/* ---- answers ---- */
static void on_answer(void *ud, const struct backend_answer *a)
{
    struct w_task *k = ud;
    struct worker *w = k->w;
    bool evict = a->kind == BACKEND_OK ? a->sleeps : a->kind != BACKEND_DISCARDED;
    if (a->kind == BACKEND_DISCARDED && k->run) wf_rollback(k->run->wf, a->rollback_id);
    if (a->kind == BACKEND_STORAGE)
        log_printf(w->o.log, LOG_ERROR, "workflow task of " STR_FMT " could not be stored: %s",
                   STR_ARG(k->t->workflow_id), a->err.text);
    task_end(k, evict);
    w_ready(w);
}

static void on_fail_answer(void *ud, const struct backend_answer *a)
{
    struct w_task *k = ud;
    struct worker *w = k->w;
    if (a->kind == BACKEND_STORAGE)
        log_printf(w->o.log, LOG_ERROR,
                   "the failed workflow task of " STR_FMT " could not be stored: %s",
                   STR_ARG(k->t->workflow_id), a->err.text);
    task_end(k, true);
    w_ready(w);
}

/* ---- outcomes ---- */
static void write_logs(struct w_task *k, const struct wf_out *out)
{
    for (size_t i = 0; i < out->n_logs; i++)
        log_write(k->w->o.log, out->logs[i].level, out->logs[i].text, out->logs[i].fields);
}

static void fail_query(struct w_task *k, const struct rec *failure, struct str message)
{
    struct backend_query_result q = {.id = k->t->n_queries ? k->t->queries[0].id : (struct str){0},
                                     .ok = false,
                                     .failure = failure,
                                     .message = message};
    k->state = W_ANSWERING;
    k->w->b->ops->complete_query(k->w->b, k->t->token, &q, on_fail_answer, k);
}

/* The task fails: the run is blocked, its state here is thrown away. */
static void fail_task(struct w_task *k, int cause, const struct rec *failure, bool limit,
                      struct str pending)
{
    struct worker *w = k->w;
    if (k->t->legacy_query) {
        fail_query(k, failure, rec_str(failure, T(failure, message)));
        return;
    }
    if (w->o.on_script_error) {
        struct buf text;
        buf_init(&text, 64 << 10);
        buf_putstr(&text, rec_str(failure, T(failure, message)));
        struct str trace = rec_str(failure, T(failure, stack_trace));
        if (trace.n) {
            buf_putc(&text, '\n');
            buf_putstr(&text, trace);
        }
        w->o.on_script_error(w->o.ud, k->t->workflow_id, buf_str(&text));
        buf_free(&text);
    }
    k->state = W_ANSWERING;
    w->b->ops->fail_workflow(w->b, k->t->token, cause, failure, limit, pending, on_fail_answer, k);
}

static void fail_with_err(struct w_task *k, const struct err *e)
{
    struct arena a;
    arena_init(&a, 0);
    struct rec *f = failure_app(&a, str_of(err_name(e->code)), str_of(e->text), false, NULL, NULL);
    fail_task(k, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, f, false,
              (struct str){0});
    arena_free(&a);
}

/* What is no fault of the run: without memory, or with a disk that fails, its task goes back to the
 * engine, and whatever the run came to meanwhile is thrown away. */
static bool of_the_machine(const struct err *e)
{
    return e->code == ERR_NOMEM || e->code == ERR_IO || e->code == ERR_FULL || e->code == ERR_BUSY;
}

static void give_back(struct w_task *k, const struct err *e)
{
    struct worker *w = k->w;
    log_printf(w->o.log, LOG_WARN, "a task of " STR_FMT " is put off: %s",
               STR_ARG(k->t->workflow_id), e->text);
    w->b->ops->release(w->b, k->t->token, e);
    task_end(k, true);
    w_ready(w);
}

static void end_with_err(struct w_task *k, const struct err *e)
{
    if (of_the_machine(e))
        give_back(k, e);
    else
        fail_with_err(k, e);
}

static struct backend_query_result query_result(const struct wf_query_result *q)
{
    return (struct backend_query_result){.id = q->id,
                                         .ok = q->ok,
                                         .result = q->result,
                                         .failure = q->failure,
                                         .message = q->message};
}

static void complete_query(struct w_task *k, const struct wf_out *out)
{
    if (!out->n_query_results) {
        fail_query(k, NULL, STR("the run gave no answer to the query"));
        return;
    }
    struct backend_query_result q = query_result(&out->query_results[0]);
    if (!q.id.n && k->t->n_queries) q.id = k->t->queries[0].id;
    if (out->closed) k->run->doomed = true; /* rebuilt for the query; nothing else comes */
    k->state = W_ANSWERING;
    k->w->b->ops->complete_query(k->w->b, k->t->token, &q, on_answer, k);
}

/* When the run goes on by itself, if nothing but timers is what it waits for; else 0. A run that is
 * being talked to (signals, updates, queries) is not said to sleep: more of that may come. */
static int64_t sleeps_till(const struct w_task *k, const struct wf_out *out)
{
    int64_t first = 0;
    for (size_t i = 0; i < k->t->n_events; i++)
        if (event_type(k->t->events[i]) == EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) return 0;
    if (out->closed || k->t->n_messages || k->t->n_queries) return 0;
    for (size_t i = 0; i < out->n_pending; i++) {
        const struct wf_pending *p = &out->pending[i];
        if (p->kind != WF_PENDING_TIMER || !p->due_ns) return 0;
        if (!first || p->due_ns < first) first = p->due_ns;
    }
    return first;
}

/* Completes with what there is so far. force: local activities go on in the next task. */
void w_task_complete(struct w_task *k, const struct wf_out *out, bool force)
{
    struct worker *w = k->w;
    struct buf pending;
    struct backend_query_result *qs = NULL;
    buf_init(&pending, 256 << 10);
    if (out->n_query_results) {
        qs = mem_zalloc(out->n_query_results * sizeof *qs);
        for (size_t i = 0; qs && i < out->n_query_results; i++)
            qs[i] = query_result(&out->query_results[i]);
    }
    worker_pending_json(out->pending, out->n_pending, &pending);
    if ((out->n_query_results && !qs) || pending.code == ERR_NOMEM) {
        struct err e;
        err_set(&e, ERR_NOMEM, "out of memory");
        buf_free(&pending);
        mem_free(qs);
        give_back(k, &e);
        return;
    }
    struct backend_workflow_completion c = {.commands = out->commands,
                                            .n_commands = out->n_commands,
                                            .dues = out->dues,
                                            .messages = out->messages,
                                            .n_messages = out->n_messages,
                                            .query_results = qs,
                                            .n_query_results = qs ? out->n_query_results : 0,
                                            .flags = out->flags,
                                            .n_flags = out->n_flags,
                                            .bundle_digest = str_of(k->run->digest),
                                            .versioning = w_text_versioning(k),
                                            .force_new_task = force,
                                            .local_attempts = k->local_retries,
                                            .unread_signals = out->unread_signals,
                                            .sleeps_till = force ? 0 : sleeps_till(k, out)};
    if (!pending.code && out->n_pending) c.pending_json = buf_str(&pending);
    if (out->closed) k->run->doomed = true;
    k->state = W_ANSWERING;
    bool gone = false; /* answered inside the call */
    k->gone = &gone;
    FAULT("worker.decided");
    w->b->ops->complete_workflow(w->b, k->t->token, &c, on_answer, k);
    if (!gone) k->gone = NULL;
    if (!gone && force) wf_flushed(k->run->wf);
    buf_free(&pending);
    mem_free(qs);
}

static const struct rec *task_failure(const struct w_task *k, const struct wf_out *out,
                                      struct arena *a)
{
    return out->fail_cause == WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
               ? w_text_note(k, a, out->failure)
               : out->failure;
}

static void outcome(struct w_task *k, const struct wf_out *out)
{
    struct err e = {0};
    struct buf pending;
    struct arena note;
    k->out = out;
    write_logs(k, out);
    switch (out->status) {
    case WF_MORE:
        w_task_ready(k);
        return;
    case WF_FAIL_TASK:
        buf_init(&pending, 256 << 10);
        worker_pending_json(out->pending, out->n_pending, &pending);
        arena_init(&note, 0);
        fail_task(k, out->fail_cause, task_failure(k, out, &note), out->limit,
                  !pending.code && out->n_pending ? buf_str(&pending) : (struct str){0});
        arena_free(&note);
        buf_free(&pending);
        return;
    case WF_WAIT_LOCAL:
        if (k->t->legacy_query) {
            complete_query(k, out);
            return;
        }
        if (w_locals_begin(k, out, &e)) {
            end_with_err(k, &e);
            return;
        }
        k->state = W_WAIT_LOCAL;
        w_locals_heartbeat_arm(k);
        if (k->run->done_first) w_task_ready(k);
        return;
    case WF_DONE:
        break;
    }
    if (k->t->legacy_query)
        complete_query(k, out);
    else
        w_task_complete(k, out, false);
}

/* ---- beginning a task ---- */
static int add_event(struct w_task *k, struct rec *ev)
{
    if (k->n_events == k->cap_events) {
        size_t cap = k->cap_events ? k->cap_events * 2 : 256;
        if (cap > W_HISTORY_EVENTS_MAX * 2) return ERR_LIMIT;
        struct rec **p = mem_realloc(k->events, cap * sizeof *p);
        if (!p) return ERR_NOMEM;
        k->events = p;
        k->cap_events = cap;
    }
    k->events[k->n_events++] = ev;
    return 0;
}

static int64_t task_first(const struct w_task *k)
{
    return k->t->n_events ? event_id(k->t->events[0]) : 0;
}

static void fetch(struct w_task *k, struct str page);

static void on_history(void *ud, const struct backend_reply *r)
{
    struct w_task *k = ud;
    struct worker *w = k->w;
    struct err e = r->err;
    int64_t first = task_first(k);
    w->n_requests--;
    if (w->stopping || k->state != W_FETCHING) {
        k->state = W_NEW;
        task_end(k, false);
        return;
    }
    if (r->arena) arena_adopt(&k->history, r->arena);
    for (size_t i = 0; i < r->n_events && !e.code; i++) {
        int64_t id = event_id(r->events[i]);
        if (first && id >= first) break;
        if (id != (int64_t)k->n_events + 1) {
            err_set(&e, ERR_CORRUPT, "the history of run " STR_FMT " goes from event %zu to %lld",
                    STR_ARG(k->t->run_id), k->n_events, (long long)id);
            break;
        }
        int rc = add_event(k, r->arena ? r->events[i] : rec_clone(&k->history, r->events[i]));
        if (rc || arena_failed(&k->history))
            err_set(&e, rc ? rc : ERR_NOMEM,
                    "the history of run " STR_FMT " does not fit in memory", STR_ARG(k->t->run_id));
    }
    if (!e.code && r->next_page.n && (!first || (int64_t)k->n_events + 1 < first)) {
        fetch(k, r->next_page);
        return;
    }
    for (size_t i = 0; i < k->t->n_events && !e.code; i++)
        if (add_event(k, k->t->events[i]))
            err_set(&e, ERR_NOMEM, "the history of run " STR_FMT " does not fit in memory",
                    STR_ARG(k->t->run_id));
    if (!e.code && first && first != (int64_t)(k->n_events - k->t->n_events) + 1)
        err_set(&e, ERR_CORRUPT, "the history of run " STR_FMT " ends before event %lld",
                STR_ARG(k->t->run_id), (long long)first);
    k->state = W_NEW;
    if (e.code) {
        log_printf(w->o.log, LOG_ERROR, "run " STR_FMT " cannot be rebuilt: %s",
                   STR_ARG(k->t->workflow_id), e.text);
        end_with_err(k, &e);
        return;
    }
    w_task_ready(k);
}

static void fetch(struct w_task *k, struct str page)
{
    struct backend_target target = {k->t->workflow_id, k->t->run_id};
    k->state = W_FETCHING;
    k->fetched = true;
    k->w->n_requests++;
    k->w->b->ops->fetch_history(k->w->b, &target, true, page, on_history, k);
}

/* A cached run serves when the task goes on exactly where it stands; a query without events needs
 * any settled state of it. */
static bool cache_fits(const struct w_run *r, const struct w_task *k)
{
    const struct backend_task *t = k->t;
    bool pinned;
    struct str text = w_text_of(k, &pinned);
    if ((pinned || t->bundle_digest.n) && !str_eqz(text, r->digest)) return false;
    if (!t->n_events) return t->n_queries > 0;
    int64_t last = wf_last_event(r->wf);
    if (t->whole && t->legacy_query) return last == event_id(t->events[t->n_events - 1]);
    return last + 1 == event_id(t->events[0]);
}

/* Finds or rebuilds the run. Returns 1 when the task can be activated, 0 when it waits or has been
 * answered. */
static int attach_run(struct w_task *k, bool *whole, struct err *e)
{
    struct worker *w = k->w;
    struct w_run *r = w_run_get(w, k->t->run_id);
    struct bundle *b = NULL;
    if (r && r->task && r->task != k) {
        struct w_task **at = &r->parked;
        while (*at)
            at = &(*at)->parked_next;
        k->parked_next = NULL;
        *at = k;
        k->state = W_PARKED;
        return 0;
    }
    if (r && cache_fits(r, k) && !k->fetched) {
        k->run = r;
        r->task = k;
        *whole = false;
        w_run_touch(r);
        return 1;
    }
    if (r) w_run_evict(r);
    if (!k->t->whole && !k->fetched) {
        fetch(k, (struct str){0});
        return 0;
    }
    int rc = w_bundle_for(k, &b, e);
    if (rc) return rc;
    rc = w_run_open(w, k->t, b, &k->run, e);
    bundle_unref(b);
    if (rc) return rc;
    k->run->task = k;
    w_text_of(k, &k->run->pinned);
    *whole = true;
    return 1;
}

static int activate_first(struct w_task *k, bool whole, const struct wf_out **out, struct err *e)
{
    struct backend_task *t = k->t;
    size_t n;
    struct rec **events = w_task_events(k, &n);
    if (!whole && t->legacy_query) n = 0; /* the cached run has them all */
    struct wf_query *qs = t->n_queries ? arena_alloc(&k->history, t->n_queries * sizeof *qs) : NULL;
    if (t->n_queries && !qs) return err_set(e, ERR_NOMEM, "out of memory answering queries");
    for (size_t i = 0; i < t->n_queries; i++)
        qs[i] = (struct wf_query){t->queries[i].id, t->queries[i].type, t->queries[i].args};
    struct wf_task task = {.events = (const struct rec *const *)events,
                           .n_events = n,
                           .whole = whole,
                           .previous_started_id = t->previous_started_id,
                           .started_id = t->legacy_query ? 0 : t->started_id,
                           .messages = (const struct rec *const *)t->messages,
                           .n_messages = t->n_messages,
                           .queries = qs,
                           .n_queries = t->n_queries,
                           .wall_ns = t->wall_ns};
    int rc = entropy_fill(k->w->o.env.entropy, task.entropy, sizeof task.entropy);
    if (rc) return err_set(e, rc, "the system gives no random bytes");
    k->begun = true;
    return wf_activate(k->run->wf, &task, (struct wf_budget){k->w->o.slice_instructions}, out, e);
}

/* One slice of one task. When memory was refused in it, by anything that it called, what came out
 * may lack something: it counts for nothing. */
static void task_slice(struct w_task *k)
{
    unsigned long refused = mem_refused();
    struct err e = {0};
    const struct wf_out *out = NULL;
    bool whole = false;
    int rc = 0;
    if (k->state == W_NEW) {
        rc = attach_run(k, &whole, &e);
        if (rc == 0) return;
        if (rc > 0) {
            k->state = W_ACTIVE;
            w_dog_watch(k->w, k->run->wf, &k->spent);
            rc = activate_first(k, whole, &out, &e);
        }
    } else if (k->state == W_WAIT_LOCAL || k->state == W_ACTIVE) {
        if (k->state == W_WAIT_LOCAL && !w_locals_resolve_one(k)) {
            if (refused != mem_refused() || k->run->starved)
                give_back(k, &(struct err){.code = ERR_NOMEM, .text = "out of memory"});
            return;
        }
        k->state = W_ACTIVE;
        w_dog_watch(k->w, k->run->wf, &k->spent);
        rc =
            wf_activate(k->run->wf, NULL, (struct wf_budget){k->w->o.slice_instructions}, &out, &e);
    } else {
        return;
    }
    w_dog_watch(k->w, NULL, NULL);
    if (refused != mem_refused() || (k->run && k->run->starved))
        rc = err_set(&e, ERR_NOMEM, "out of memory");
    if (rc)
        end_with_err(k, &e);
    else
        outcome(k, out);
}

bool w_step_tasks(struct worker *w, int64_t until_ns)
{
    struct w_task *k;
    while ((k = take_ready(w)) != NULL) {
        task_slice(k);
        if (clock_mono(w->o.env.clock) >= until_ns) break;
    }
    return w->ready_first != NULL;
}

void w_on_workflow_task(void *ud, struct backend_task *t)
{
    struct worker *w = ud;
    struct w_task *k = w->stopping ? NULL : mem_zalloc(sizeof *k);
    if (!k) {
        struct err e;
        err_set(&e, w->stopping ? ERR_CLOSED : ERR_NOMEM,
                w->stopping ? "the worker is stopping" : "out of memory");
        if (!w->stopping) {
            w->b->ops->release(w->b, t->token, &e);
            w->b->ops->offer(w->b, 1, 0);
        }
        backend_task_free(t);
        return;
    }
    k->w = w;
    k->t = t;
    arena_init(&k->history, 0);
    k->next = w->tasks;
    if (w->tasks) w->tasks->prev = k;
    w->tasks = k;
    w->n_tasks++;
    if (w->o.on_task_events && !t->legacy_query)
        w->o.on_task_events(w->o.ud, t->workflow_id, t->run_id, t->events, t->n_events);
    w_task_ready(k);
}
