/* The activation loop: a task goes through its batches in phases, and may stop after any of them
 * (WF_MORE).
 *
 *   NEXT -> RUN -> SETTLED -> (local activity resolved: RUN) -> NEXT ... -> QUERY -> DONE
 *                      live and local activities outstanding: QUERY -> WAIT -> SETTLED
 *
 * A call does a bounded number of batches and spends at most its budget, so a long replay never
 * holds the loop. */
#include "base/locale.h"
#include "workflow/wf_machine.h"

#define BATCHES_PER_CALL 64
#define DEFAULT_BUDGET 1000000

/* ---- taking a task ---- */
static int copy_events(struct wf_run *r, const struct wf_task *t, struct err *e)
{
    struct wf_machines *m = r->machines;
    int64_t known = m->last_event > m->applied_to ? m->last_event : m->applied_to;
    known = m->matched_to > known ? m->matched_to : known;
    m->events = arena_alloc(&m->task_arena, (t->n_events + 1) * sizeof *m->events);
    m->n_events = m->at = 0;
    if (!m->events) return wf_nomem(r, e);
    for (size_t i = 0; i < t->n_events; i++) {
        int64_t id = event_id(t->events[i]);
        if (i && id != event_id(t->events[i - 1]) + 1)
            return err_set(e, ERR_PROTO, "event %lld follows event %lld", (long long)id,
                           (long long)event_id(t->events[i - 1]));
        if (!i && (id > known + 1 || id < 1))
            return err_set(e, ERR_PROTO, "history begins at event %lld, the run stands at %lld",
                           (long long)id, (long long)m->last_event);
        if (id <= m->last_event) continue;
        m->events[m->n_events++] = rec_clone(&m->task_arena, t->events[i]);
        if (t->started_id && id == t->started_id) break; /* later events belong to the next task */
    }
    if (!t->started_id) return 0;
    const struct rec *last = m->n_events ? m->events[m->n_events - 1] : NULL;
    if (!last || event_id(last) != t->started_id ||
        event_type(last) != EVENT_TYPE_WORKFLOW_TASK_STARTED)
        return err_set(e, ERR_PROTO, "history does not end with the start of the task, event %lld",
                       (long long)t->started_id);
    return 0;
}

static int copy_rest(struct wf_run *r, const struct wf_task *t, struct err *e)
{
    struct wf_machines *m = r->machines;
    struct arena *a = &m->task_arena;
    m->messages = arena_alloc(a, (t->n_messages + 1) * sizeof *m->messages);
    m->queries = arena_alloc(a, (t->n_queries + 1) * sizeof *m->queries);
    m->results = arena_alloc(&r->out_arena, (t->n_queries + 1) * sizeof *m->results);
    if (!m->messages || !m->queries || !m->results) return wf_nomem(r, e);
    m->n_messages = t->n_messages;
    for (size_t i = 0; i < t->n_messages; i++)
        m->messages[i] = rec_clone(a, t->messages[i]);
    m->n_queries = t->n_queries;
    for (size_t i = 0; i < t->n_queries; i++)
        m->queries[i] =
            (struct wf_query){arena_str(a, t->queries[i].id), arena_str(a, t->queries[i].type),
                              t->queries[i].args ? rec_clone(a, t->queries[i].args) : NULL};
    r->wall_ns = t->wall_ns;
    memcpy(r->entropy, t->entropy, sizeof r->entropy);
    return arena_failed(a) ? wf_nomem(r, e) : 0;
}

static void reset_out(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    arena_free(&r->out_arena);
    arena_free(&m->task_arena);
    m->events = NULL;
    m->n_events = m->at = 0;
    r->logs = NULL;
    r->n_logs = r->cap_logs = m->logs_handed = 0;
    r->log_bytes = 0;
    m->locals = NULL;
    m->n_locals = m->cap_locals = 0;
    m->local_cancels = NULL;
    m->n_local_cancels = m->cap_local_cancels = 0;
    m->drift = NULL;
    m->n_drift = m->cap_drift = 0;
    m->out_messages = NULL;
    m->n_out_messages = m->cap_out_messages = 0;
    m->results = NULL;
    m->n_results = 0;
    m->waiting = false;
}

static int begin_task(struct wf_run *r, const struct wf_task *t, struct err *e)
{
    struct wf_machines *m = r->machines;
    if (m->phase != PHASE_IDLE && m->phase != PHASE_DONE)
        return err_set(e, ERR_ARG, "the former task of the run is not done");
    if (t->started_id && r->terminal) return err_set(e, ERR_CLOSED, "the run has ended");
    if (m->task_open) wf_cmds_turn(r);
    m->task_open = false;
    reset_out(r);
    int rc = copy_events(r, t, e);
    if (!rc) rc = copy_rest(r, t, e);
    if (rc) return rc;
    m->started_id = t->started_id;
    m->flag_due = false;
    m->phase = PHASE_NEXT;
    return 0;
}

/* ---- phases ---- */
static void forget_pending(struct wf_run *r)
{
    arena_free(&r->machines->pending_arena);
    r->pending = NULL;
    r->n_pending = r->cap_pending = 0;
}

static void remember(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    m->before.now_ns = r->now_ns;
    m->before.history_length = r->history_length;
    m->before.history_bytes = r->history_bytes;
    m->before.suggested = r->continue_as_new_suggested;
    m->before.last_event = m->last_event;
}

static int next_batch(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    wf_batch_next(m->events, m->n_events, m->at, m->started_id, &m->batch);
    if (!m->batch.found) {
        m->batch_live = false;
        r->replaying = true;
        m->phase = PHASE_QUERY;
        m->n_results = 0;
        return wf_apply_tail(r);
    }
    if (!m->batch.completed) remember(r);
    m->at = m->batch.to;
    int rc = wf_apply_batch(r);
    if (m->batch_live) {
        m->task_open = true;
        m->flag_due = !m->any_completed;
    }
    bool run = m->batch_jobs && !r->terminal && !r->task_failure;
    m->phase = run ? PHASE_RUN : PHASE_SETTLED;
    if (run) {
        forget_pending(r);
        sandbox_budget_reset(&r->sandbox, r->info.limits.instructions);
    }
    return rc;
}

static void limit_reached(struct wf_run *r)
{
    static const char *const what[] = {[LIMIT_NONE] = "a limit",
                                       [LIMIT_MEMORY] = "its memory limit",
                                       [LIMIT_INSTRUCTIONS] =
                                           "the instruction limit of one activation",
                                       [LIMIT_INTERRUPTED] = "the time limit of one activation"};
    wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, "LimitReached",
                  "the workflow reached %s", what[r->sandbox.limit]);
    r->task_limit = true;
}

/* True: the slice is spent. */
static bool run_script(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    switch (script_run(r)) {
    case SANDBOX_SLICE:
        return true;
    case SANDBOX_LIMIT:
        limit_reached(r);
        break;
    case SANDBOX_ERROR:
        wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, "LuaError",
                      "the workflow raised an error");
        break;
    case SANDBOX_DONE:
    case SANDBOX_BLOCKED:
        break;
    }
    m->phase = PHASE_SETTLED;
    return false;
}

static void settled(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    if (r->terminal) wf_local_abandon_all(r);
    wf_local_settle(r);
    if (wf_local_deliver(r)) {
        forget_pending(r);
        sandbox_budget_reset(&r->sandbox, r->info.limits.instructions);
        m->phase = PHASE_RUN;
        return;
    }
    if (r->task_failure) return;
    if (!m->batch_live) {
        wf_cmds_turn(r);
        m->phase = PHASE_NEXT;
        return;
    }
    m->waiting = m->n_local_open > 0;
    m->n_results = 0;
    m->phase = PHASE_QUERY;
}

static void one_query(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    bool was = r->replaying;
    struct wf_query_result *out = &m->results[m->n_results];
    *out = (struct wf_query_result){.id = m->queries[m->n_results].id};
    r->replaying = true; /* a query sees the past: it logs nothing */
    sandbox_budget_reset(&r->sandbox, r->info.limits.instructions);
    script_query(r, &m->queries[m->n_results], out);
    out->id = arena_str(&r->out_arena, m->queries[m->n_results].id);
    r->replaying = was;
    m->n_results++;
}

/* ---- answers ---- */
static void put_commands(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    struct wf_cmds *set = m->cmds;
    struct rec **list = arena_alloc(&r->out_arena, (set->n + 1) * sizeof *list);
    int64_t *dues = arena_alloc(&r->out_arena, (set->n + 1) * sizeof *dues);
    size_t n = 0;
    if (!list || !dues) return;
    for (struct wf_cmd *c = set->first; c; c = c->next) {
        if (c->dropped) continue;
        if (c->type == COMMAND_TYPE_START_TIMER && c->op->till) dues[n] = c->op->due_ns;
        list[n++] = c->rec;
    }
    if (set->terminal) list[n++] = set->terminal->rec;
    r->out.commands = list;
    r->out.n_commands = n;
    r->out.dues = dues;
    r->out.messages = m->out_messages;
    r->out.n_messages = m->n_out_messages;
    if (m->flag_due) {
        m->flags[0] = WF_FLAG_CHUNKING_V1;
        r->out.flags = m->flags;
        r->out.n_flags = 1;
    }
}

/* What is handed out once: not with WF_MORE, so that no caller misses or repeats any of it. */
static void put_news(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    struct wf_out *o = &r->out;
    o->logs = r->logs ? r->logs + m->logs_handed : NULL;
    o->n_logs = r->n_logs - m->logs_handed;
    m->logs_handed = r->n_logs;
    o->locals = m->locals;
    o->n_locals = m->n_locals;
    o->local_cancels = m->local_cancels;
    o->n_local_cancels = m->n_local_cancels;
    o->drift = m->drift;
    o->n_drift = m->n_drift;
    m->locals = NULL;
    m->n_locals = m->cap_locals = 0;
    m->local_cancels = NULL;
    m->n_local_cancels = m->cap_local_cancels = 0;
    m->drift = NULL;
    m->n_drift = m->cap_drift = 0;
    o->pending = r->pending;
    o->n_pending = r->n_pending;
    o->unread_signals = r->unread_signals;
}

static void answer(struct wf_run *r, enum wf_status status)
{
    struct wf_machines *m = r->machines;
    struct wf_out *o = &r->out;
    *o = (struct wf_out){.status = status};
    if (status == WF_MORE) return;
    put_news(r);
    o->closed = r->terminal || r->closed;
    if (status == WF_FAIL_TASK) {
        o->fail_cause = r->task_fail_cause;
        o->failure = r->task_failure;
        o->limit = r->task_limit;
        m->phase = PHASE_BROKEN;
        return;
    }
    if (m->batch_live && m->task_open) put_commands(r);
    o->query_results = m->results;
    o->n_query_results = m->n_results;
    o->task_has_result = status == WF_DONE && m->task_open;
    m->phase = status == WF_DONE ? PHASE_DONE : PHASE_WAIT;
}

static bool out_of_memory(const struct wf_run *r)
{
    const struct wf_machines *m = r->machines;
    return arena_failed(&r->keep) || arena_failed(&r->out_arena) || arena_failed(&m->task_arena) ||
           arena_failed(&m->look_arena) || arena_failed(&m->pending_arena) ||
           arena_failed(&m->sets[0].arena) || arena_failed(&m->sets[1].arena);
}

/* Goes on until an answer is there. 0 or a negative code. */
static int loop(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    int batches = 0, rc = 0;
    for (;;) {
        if (out_of_memory(r)) return ERR_NOMEM;
        if (r->task_failure) {
            answer(r, WF_FAIL_TASK);
            return 0;
        }
        switch (m->phase) {
        case PHASE_NEXT:
            if (batches++ == BATCHES_PER_CALL) {
                answer(r, WF_MORE);
                return 0;
            }
            if ((rc = next_batch(r))) return rc;
            break;
        case PHASE_RUN:
            if (run_script(r)) {
                answer(r, WF_MORE);
                return 0;
            }
            break;
        case PHASE_SETTLED:
            settled(r);
            break;
        case PHASE_QUERY:
            if (m->n_results < m->n_queries) {
                one_query(r);
                break;
            }
            answer(r, m->waiting ? WF_WAIT_LOCAL : WF_DONE);
            return out_of_memory(r) ? ERR_NOMEM : 0;
        default:
            return ERR_ARG;
        }
    }
}

int wf_activate(struct wf_run *r, const struct wf_task *task, struct wf_budget budget,
                const struct wf_out **out, struct err *e)
{
    struct wf_machines *m = r->machines;
    if (m->phase == PHASE_BROKEN)
        return err_set(e, ERR_CLOSED, "the run failed its task: close it");
    if (task) {
        int rc = begin_task(r, task, e);
        if (rc) return rc;
    } else if (m->phase == PHASE_WAIT) {
        m->phase = PHASE_SETTLED;
        m->waiting = false;
    } else if (m->phase == PHASE_IDLE || m->phase == PHASE_DONE) {
        return err_set(e, ERR_ARG, "there is no task to go on with");
    }
    if (task)
        r->sandbox.interrupt = 0; /* a stop that came too late for its slice still holds */
    else if (r->sandbox.interrupt == 1)
        r->sandbox.interrupt = 0;
    r->sandbox.slice_left = budget.instructions ? budget.instructions : DEFAULT_BUDGET;
    void *locale = locale_c_enter();
    int rc = loop(r);
    locale_c_leave(locale);
    if (rc) {
        m->phase = PHASE_BROKEN;
        return err_set(e, rc, "%s",
                       rc == ERR_NOMEM ? "out of memory" : "the events of the task cannot be used");
    }
    *out = &r->out;
    return 0;
}
