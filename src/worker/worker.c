/* One worker: opening, stepping, stopping in order. Keeps true: after worker_stop's callback
 * nothing of this worker runs. */
#include "base/mem.h"
#include "worker/worker_internal.h"

static void w_on_run_closed(void *ud, struct str run_id)
{
    struct worker *w = ud;
    struct w_run *r = w_run_get(w, run_id);
    if (!r) return;
    if (r->task)
        r->doomed = true;
    else
        w_run_evict(r);
}

static void w_on_change(void *ud)
{
    w_ready(ud);
}

static void w_on_serve_again(void *ud)
{
    w_serve(ud);
}

static int worker_init(struct worker *w, struct err *e)
{
    w->task_queue = str_dup(w->o.task_queue.n ? w->o.task_queue : STR("default"));
    w->name_space = str_dup(w->o.name_space.n ? w->o.name_space : STR("default"));
    if (!w->task_queue || !w->name_space)
        return err_set(e, ERR_NOMEM, "out of memory opening the worker");
    if (w->o.workflow_slots <= 0) w->o.workflow_slots = W_WORKFLOW_SLOTS;
    if (w->o.activity_slots <= 0) w->o.activity_slots = W_ACTIVITY_SLOTS;
    if (w->o.local_slots <= 0) w->o.local_slots = W_LOCAL_SLOTS;
    if (!w->o.slice_instructions) w->o.slice_instructions = W_SLICE;
    w->sink = (struct backend_sink){.ud = w,
                                    .on_workflow_task = w_on_workflow_task,
                                    .on_activity_task = w_on_activity_task,
                                    .on_activity_cancel = w_on_activity_cancel,
                                    .on_run_closed = w_on_run_closed,
                                    .on_change = w_on_change};
    if (loop_timer_open(w->o.loop, w_on_serve_again, w, &w->serve_timer))
        return err_set(e, ERR_NOMEM, "out of memory opening the worker");
    if (w_dog_start(w)) return err_set(e, ERR_IO, "the watchdog thread cannot be started");
    w_serve(w);
    return 0;
}

int worker_open(const struct worker_opts *o, struct worker **out, struct err *e)
{
    struct worker *w = mem_zalloc(sizeof *w);
    if (!w) return err_set(e, ERR_NOMEM, "out of memory opening the worker");
    w->o = *o;
    w->b = o->backend;
    w->ready_last = &w->ready_first;
    map_init(&w->runs);
    map_init(&w->by_token);
    idmap_init(&w->calls);
    idmap_init(&w->sleep_ids);
    int rc = worker_init(w, e);
    if (rc) {
        worker_close(w);
        return rc;
    }
    *out = w;
    return 0;
}

static void drop_tasks_and_runs(struct worker *w)
{
    while (w->tasks)
        w_task_drop(w->tasks);
    w->ready_first = NULL;
    w->ready_last = &w->ready_first;
    while (w->lru_first) {
        w->lru_first->task = NULL;
        w_run_evict(w->lru_first);
    }
}

void worker_close(struct worker *w)
{
    if (!w) return;
    w->stopping = true;
    w_dog_stop(w);
    if (w->stop_timer) loop_timer_close(w->stop_timer);
    if (w->serve_timer) loop_timer_close(w->serve_timer);
    drop_tasks_and_runs(w);
    w_close_scripts(w);
    w_calls_free_all(w);
    w_sleeps_drop(w);
    w_bundles_drop(w);
    for (size_t i = 0; i < w->n_c_acts; i++) {
        mem_free(w->c_acts[i].name);
        mem_free(w->c_acts[i].task_queue);
    }
    mem_free(w->c_acts);
    map_free(&w->runs);
    map_free(&w->by_token);
    idmap_free(&w->calls);
    idmap_free(&w->sleep_ids);
    mem_free(w->task_queue);
    mem_free(w->name_space);
    mem_free(w);
}

void worker_unbind(struct worker *w)
{
    for (struct map_entry *en = w->by_token.first; en; en = en->next)
        w_call_cancel(en->value, BACKEND_CANCEL_GONE);
    drop_tasks_and_runs(w);
    w_sleeps_drop(w);
    w_bundles_drop(w);
    w->offered = false;
}

void worker_rebind(struct worker *w, struct backend *b)
{
    w->b = b;
    w_serve(w);
}

bool worker_step(struct worker *w, int64_t budget_ns)
{
    int64_t until = clock_mono(w->o.env.clock) + budget_ns;
    bool more = w_step_tasks(w, until);
    int64_t left = until - clock_mono(w->o.env.clock);
    if (w_step_scripts(w, left > NS_PER_MS ? left : NS_PER_MS)) more = true;
    w_reap_scripts(w);
    return more || w->ready_first;
}

bool worker_ready(const struct worker *w)
{
    if (w->ready_first) return true;
    for (const struct w_script *s = w->scripts; s; s = s->next) {
        if (s->act && act_ready(s->act)) return true;
    }
    return false;
}

bool worker_busy(const struct worker *w)
{
    size_t calls = w->n_c_calls;
    if (w->n_tasks || w->n_requests) return true;
    for (const struct w_script *s = w->scripts; s; s = s->next) {
        if (s->loading || (s->act && act_ready(s->act))) return true;
        calls += s->calls.n;
    }
    return calls > w->n_sleeping;
}

void worker_usage(const struct worker *w, struct worker_usage *out)
{
    *out = (struct worker_usage){.runs = w->n_runs,
                                 .run_bytes = w->bytes,
                                 .tasks = w->n_tasks,
                                 .activities = w->n_calls,
                                 .locals = w->n_locals_running,
                                 .tasks_ended = w->tasks_ended,
                                 .attempts_ended = w->attempts_ended};
    for (const struct w_script *s = w->scripts; s; s = s->next)
        if (s->act) out->coroutines += act_running(s->act);
}

void worker_on_ready(struct worker *w, void (*fn)(void *ud), void *ud)
{
    w->on_ready = fn;
    w->on_ready_ud = ud;
}

/* ---- stopping ---- */
void w_stop_check(struct worker *w)
{
    if (!w->stopping || w->stopped || !w->stop_fn) return;
    if (w->n_calls || w->n_tasks || w->n_locals_running)
        return; /* they clean up, within the grace */
    w->stopped = true;
    if (w->stop_timer) loop_timer_stop(w->stop_timer);
    w->stop_fn(w->stop_ud);
}

static void on_grace_over(void *ud)
{
    struct worker *w = ud;
    if (w->stopped) return;
    w->stopped = true;
    w->stop_fn(w->stop_ud);
}

void worker_stop(struct worker *w, void (*done)(void *ud), void *ud)
{
    w->stopping = true;
    w->stop_fn = done;
    w->stop_ud = ud;
    w->b->ops->serve(w->b, &w->sink, NULL, 0);
    for (struct w_task *k = w->tasks, *next; k;
         k = next) { /* those that wait for the engine's answer or a page get it first */
        next = k->next;
        if (k->state != W_ANSWERING && k->state != W_FETCHING) w_task_drop(k);
    }
    for (struct map_entry *en = w->runs.first; en; en = en->next)
        w_locals_drop(en->value); /* told to end; the task that begins again elsewhere does them */
    w_calls_shutdown(w);
    if (loop_timer_open(w->o.loop, on_grace_over, w, &w->stop_timer) == 0)
        loop_timer_start(w->stop_timer, W_STOP_GRACE_NS);
    w_stop_check(w);
    if (!w->stopped && !w->stop_timer) on_grace_over(w);
    w_ready(w);
}
