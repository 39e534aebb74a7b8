/* Reset: a new run with the history of another one up to one of its workflow tasks, which is
 * recorded as failed (RESET_WORKFLOW). What was open at that point is open again: timers,
 * activities (with new idempotency keys, as the run id is new), children. Signals that came later
 * are applied again. The old run, when it is open, is terminated. */
#include "engine/engine_internal.h"

struct history {
    struct rec **events;
    size_t n, cap;
};

static int load_history(struct engine *g, int64_t row, struct arena *a, struct history *h,
                        struct err *e)
{
    struct store_read *q = NULL;
    int rc = store_read_open(g->store, &q, e,
                             "SELECT events FROM history WHERE run = ? ORDER BY first", "i", row);
    while (rc == 0 && (rc = store_read_next(q)) == 1) {
        struct rec **events = NULL;
        size_t n = 0;
        rc = history_blob_decode(a, arena_str(a, store_read_str(q, 0)), &events, &n, e);
        while (!rc && h->n + n > h->cap) {
            size_t cap = h->cap ? h->cap * 2 : 256;
            struct rec **all = mem_realloc(h->events, cap * sizeof *all);
            if (!all) {
                rc = err_set(e, ERR_NOMEM, "out of memory");
                break;
            }
            h->events = all;
            h->cap = cap;
        }
        if (rc) {
            break;
        }
        memcpy(h->events + h->n, events, n * sizeof *events);
        h->n += n;
    }
    store_read_close(q);
    return rc < 0 ? (e->code ? rc : err_set(e, rc, "the history could not be read")) : 0;
}

/* The id of the WorkflowTaskStarted at which to cut, or 0. 0 asks for the last completed task. */
static int64_t boundary(const struct history *h, int64_t id)
{
    int64_t found = 0;
    for (size_t i = 0; i < h->n; i++) {
        const struct rec *ev = h->events[i];
        int type = event_type(ev);
        if (id == 0 && type == EVENT_TYPE_WORKFLOW_TASK_COMPLETED) {
            found = event_id(ev) - 1;
        } else if (event_id(ev) == id && type == EVENT_TYPE_WORKFLOW_TASK_STARTED) {
            return id;
        } else if (event_id(ev) == id && (type == EVENT_TYPE_WORKFLOW_TASK_COMPLETED ||
                                          type == EVENT_TYPE_WORKFLOW_TASK_FAILED)) {
            return id - 1;
        }
    }
    return found > 0 && event_type(h->events[found - 1]) == EVENT_TYPE_WORKFLOW_TASK_STARTED ? found
                                                                                             : 0;
}

static void reopen(struct txn *t, int kind, const struct rec *ev, struct str name, struct str type,
                   struct str queue, int64_t due)
{
    struct pend *p = eng_pend_new(t->run, kind, event_id(ev));
    if (!p) {
        t->failed = true;
        return;
    }
    p->name = arena_str(&p->arena, name);
    p->type = arena_str(&p->arena, type);
    p->queue = arena_str(&p->arena, queue);
    p->first_at = t->now;
    p->due = due;
    if (kind == PEND_ACTIVITY) {
        p->attrs = rec_clone(&p->arena, event_attrs(ev));
    }
}

static void close_pend(struct run *r, int kind, int64_t id)
{
    struct pend *p = eng_pend(r, kind, id);
    if (p) {
        eng_pend_drop(r, p);
    }
}

static void replay_activity_or_timer(struct txn *t, const struct rec *ev, const struct rec *a)
{
    struct run *r = t->run;
    switch (event_type(ev)) {
    case EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        reopen(t, PEND_ACTIVITY, ev, rec_str(a, T(ev_activity_task_scheduled, activity_id)),
               rec_str(rec_msg(a, T(ev_activity_task_scheduled, activity_type)),
                       T(activity_type, name)),
               rec_str(rec_msg(a, T(ev_activity_task_scheduled, task_queue)), T(task_queue, name)),
               0);
        break;
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        close_pend(r, PEND_ACTIVITY, rec_int(a, T(ev_activity_task_completed, scheduled_event_id)));
        break;
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
        close_pend(r, PEND_ACTIVITY, rec_int(a, T(ev_activity_task_failed, scheduled_event_id)));
        break;
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        close_pend(r, PEND_ACTIVITY, rec_int(a, T(ev_activity_task_timed_out, scheduled_event_id)));
        break;
    case EVENT_TYPE_ACTIVITY_TASK_CANCELED:
        close_pend(r, PEND_ACTIVITY, rec_int(a, T(ev_activity_task_canceled, scheduled_event_id)));
        break;
    case EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: {
        struct pend *p = eng_pend(
            r, PEND_ACTIVITY, rec_int(a, T(ev_activity_task_cancel_requested, scheduled_event_id)));
        if (p) {
            p->cancel_id = event_id(ev);
        }
        break;
    }
    case EVENT_TYPE_TIMER_STARTED:
        reopen(t, PEND_TIMER, ev, rec_str(a, T(ev_timer_started, timer_id)), (struct str){NULL, 0},
               (struct str){NULL, 0},
               event_time(ev) + rec_int(a, T(ev_timer_started, start_to_fire_timeout)));
        break;
    case EVENT_TYPE_TIMER_FIRED:
        close_pend(r, PEND_TIMER, rec_int(a, T(ev_timer_fired, started_event_id)));
        break;
    case EVENT_TYPE_TIMER_CANCELED:
        close_pend(r, PEND_TIMER, rec_int(a, T(ev_timer_canceled, started_event_id)));
        break;
    default:
        break;
    }
}

static int64_t child_close_of(const struct rec *ev)
{
    const struct rec *a = event_attrs(ev);
    switch (event_type(ev)) {
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
        return rec_int(a, T(ev_start_child_workflow_execution_failed, initiated_event_id));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
        return rec_int(a, T(ev_child_workflow_execution_completed, initiated_event_id));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
        return rec_int(a, T(ev_child_workflow_execution_failed, initiated_event_id));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
        return rec_int(a, T(ev_child_workflow_execution_canceled, initiated_event_id));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
        return rec_int(a, T(ev_child_workflow_execution_timed_out, initiated_event_id));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
        return rec_int(a, T(ev_child_workflow_execution_terminated, initiated_event_id));
    default:
        return 0;
    }
}

static void replay_other(struct txn *t, const struct rec *ev, const struct rec *a)
{
    struct run *r = t->run;
    if (child_close_of(ev)) {
        close_pend(r, PEND_CHILD, child_close_of(ev));
        return;
    }
    switch (event_type(ev)) {
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: {
        reopen(t, PEND_CHILD, ev,
               rec_str(a, T(ev_start_child_workflow_execution_initiated, workflow_id)),
               rec_str(rec_msg(a, T(ev_start_child_workflow_execution_initiated, workflow_type)),
                       T(workflow_type, name)),
               (struct str){NULL, 0}, 0);
        struct pend *p = eng_pend(r, PEND_CHILD, event_id(ev));
        if (p) {
            p->state = (int)rec_int(
                a, T(ev_start_child_workflow_execution_initiated, parent_close_policy));
        }
        break;
    }
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: {
        struct pend *p = eng_pend(
            r, PEND_CHILD, rec_int(a, T(ev_child_workflow_execution_started, initiated_event_id)));
        if (p) {
            p->at = event_id(ev);
        }
        break;
    }
    case EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
        r->done = rec_int(a, T(ev_workflow_task_completed, started_event_id));
        break;
    case EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
        r->sched = event_id(ev);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
        r->cancel_requested = 1;
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
        reopen(t, PEND_UPDATE, ev,
               rec_str(a, T(ev_workflow_execution_update_accepted, protocol_instance_id)),
               (struct str){NULL, 0}, (struct str){NULL, 0}, 0);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED: {
        struct pend *p =
            eng_pend(r, PEND_UPDATE,
                     rec_int(a, T(ev_workflow_execution_update_completed, accepted_event_id)));
        struct pend *q = p ? eng_pend_new(r, PEND_UPDATED, p->id) : NULL;
        if (q) {
            q->name = arena_str(&q->arena, p->name);
            q->at = event_id(ev);
            eng_pend_drop(r, p);
        }
        break;
    }
    default:
        break;
    }
}

/* A child that was open at the cut and is closed now: its end is told to the new run; an open one
 * gets a new parent. */
static void reconnect(struct txn *t, struct txn *sub, const struct history *h, int64_t cut)
{
    struct run *r = t->run, *n = sub->run;
    for (size_t i = (size_t)cut; i < h->n; i++) {
        struct rec *ev = h->events[i];
        bool started = event_type(ev) == EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED;
        int64_t made = started ? rec_int(event_attrs(ev),
                                         T(ev_child_workflow_execution_started, initiated_event_id))
                               : child_close_of(ev);
        struct pend *p = made ? eng_pend(n, PEND_CHILD, made) : NULL;
        if (p || event_type(ev) == EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) {
            eng_event_arrive(sub, rec_clone(&sub->chunk->arena, ev), true);
        }
        if (p && started) {
            p->at = n->next_id - 1;
        } else if (p) {
            eng_pend_drop(n, p);
        }
    }
    for (struct map_entry *m = n->pends.first; m; m = m->next) {
        const struct pend *p = m->value;
        if (p->kind != PEND_CHILD) {
            continue;
        }
        STMT(t,
             "UPDATE runs SET parent_run_id = ? WHERE parent_run_id = ? AND parent_initiated = ?",
             "ssi", n->run_id, r->run_id, p->id);
        for (struct map_entry *x = t->g->runs.first; x; x = x->next) {
            struct run *child = x->value;
            if (str_eq(child->parent_run_id, r->run_id) && child->parent_initiated == p->id) {
                child->parent_run_id = arena_str(&child->arena, n->run_id);
            }
        }
        struct pend *mine = eng_pend(r, PEND_CHILD, p->id);
        if (mine) {
            mine->state = PARENT_CLOSE_POLICY_ABANDON; /* it has a new parent */
        }
    }
}

static void fail_task(struct txn *sub, const struct run *old, struct msg *m, int64_t cut)
{
    struct rec *a = NULL;
    eng_event(sub, EVENT_TYPE_WORKFLOW_TASK_FAILED, &a);
    rec_set_int(a, T(ev_workflow_task_failed, scheduled_event_id), sub->run->sched);
    rec_set_int(a, T(ev_workflow_task_failed, started_event_id), cut);
    rec_set_int(a, T(ev_workflow_task_failed, cause), WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW);
    rec_set_msg(a, T(ev_workflow_task_failed, failure),
                failure_app(&sub->chunk->arena, STR("Reset"), m->text.n ? m->text : STR("reset"),
                            false, NULL, NULL));
    rec_set_str(a, T(ev_workflow_task_failed, base_run_id), old->run_id);
    rec_set_str(a, T(ev_workflow_task_failed, new_run_id), sub->run->run_id);
    rec_set_str(a, T(ev_workflow_task_failed, identity), str_of(sub->g->identity));
    sub->run->sched = sub->run->started = 0;
}

static struct txn *copy_run(struct txn *t, struct msg *m, const struct history *h, int64_t cut,
                            const char *run_id)
{
    struct run *r = t->run;
    struct engine *g = t->g;
    struct run *n = eng_run_new(g, g->next_run++, r->workflow_id, str_of(run_id));
    struct txn *sub = n ? eng_txn_detached(n, t->now) : NULL;
    if (!sub) {
        eng_run_free(n);
        return NULL;
    }
    n->fresh = true;
    n->type = r->type, n->queue = r->queue, n->tree = r->tree, n->entry = r->entry,
    n->cron = r->cron;
    n->first_run_id = r->first_run_id, n->parent_id = r->parent_id,
    n->parent_run_id = r->parent_run_id;
    n->parent_initiated = r->parent_initiated;
    n->request_id = m->request_id;
    n->attempt_of_run = r->attempt_of_run;
    n->started_at = t->now;
    memcpy(n->bundle, r->bundle, sizeof n->bundle);
    memcpy(n->input_digest, r->input_digest, sizeof n->input_digest);
    bool ok = eng_bytes_set(&n->memo, eng_bytes(&r->memo)) &&
              eng_bytes_set(&n->search, eng_bytes(&r->search));
    for (int64_t i = 0; i < cut; i++) {
        struct rec *ev = rec_clone(&sub->chunk->arena, h->events[i]);
        eng_event_append(sub, ev);
        replay_activity_or_timer(sub, ev, event_attrs(ev));
        replay_other(sub, ev, event_attrs(ev));
    }
    fail_task(sub, r, m, cut);
    reconnect(t, sub, h, cut);
    const struct rec *first = event_attrs(h->events[0]);
    int64_t timeout = rec_int(first, T(ev_workflow_execution_started, workflow_run_timeout));
    int64_t expires =
        rec_int(first, T(ev_workflow_execution_started, workflow_execution_expiration_time));
    struct pend *p = timeout > 0 ? eng_pend_new(n, PEND_RUN_TIMEOUT, 0) : NULL;
    if (p) {
        p->due = t->now + timeout;
    }
    p = expires > 0 ? eng_pend_new(n, PEND_RUN_TIMEOUT, 1) : NULL;
    if (p) {
        p->due = expires;
    }
    for (struct map_entry *x = n->pends.first; x; x = x->next) {
        eng_pend_write(sub, x->value);
    }
    n->want_wft = true;
    sub->failed = sub->failed || !ok;
    return sub;
}

static bool already(struct txn *t, struct msg *m)
{
    struct store_read *q = NULL;
    bool found = false;
    if (m->request_id.n &&
        store_read_open(t->g->store, &q, NULL,
                        "SELECT run_id FROM runs WHERE request_id = ? AND workflow_id = ?", "ss",
                        m->request_id, t->run->workflow_id) == 0 &&
        store_read_next(q) == 1) {
        found = true;
        eng_reply(t, m, 0, "")->reply.run_id = arena_str(&t->chunk->arena, store_read_str(q, 0));
    }
    store_read_close(q);
    return found;
}

void eng_apply_reset(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    struct history h = {0};
    struct arena a;
    struct err e = {0};
    arena_init(&a, 0);
    if (already(t, m)) {
        goto out;
    }
    if (r->fresh || load_history(t->g, r->row, &a, &h, &e)) {
        eng_reply(t, m, e.code ? e.code : ERR_BUSY,
                  e.code ? e.text : "the run has just been started");
        goto out;
    }
    int64_t cut = boundary(&h, m->id);
    if (!cut) {
        eng_reply(t, m, ERR_ARG,
                  "a run is reset at the Started, Completed or Failed event of one of its workflow "
                  "tasks");
        goto out;
    }
    char run_id[ENG_UUID];
    eng_uuid(t->g, run_id);
    struct txn *sub = copy_run(t, m, &h, cut, run_id);
    if (!sub) {
        t->failed = true;
        goto out;
    }
    if (r->status == RUN_RUNNING) {
        eng_force_close_task(t);
        struct rec *to = NULL, *ev = eng_event(t, EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, &to);
        rec_set_str(to, T(ev_workflow_execution_terminated, reason), STR("reset"));
        rec_set_str(to, T(ev_workflow_execution_terminated, identity), str_of(t->g->identity));
        struct str parent = r->parent_id;
        r->parent_id = (struct str){NULL, 0}; /* the parent waits for the new run */
        eng_close_run(t, RUN_TERMINATED, ev);
        r->parent_id = parent;
    }
    eng_born_inside(t, sub);
    eng_reply(t, m, 0, "")->reply.run_id = arena_str(&t->chunk->arena, str_of(run_id));
out:
    mem_free(h.events);
    arena_free(&a);
}
