/* What runs say to each other: starting children, their ends, signals and cancellations of other
 * runs, parent close policies. Every such message is a row that the sender's commit writes and the
 * receiver's commit deletes, so that a crash between the two loses nothing and repeats nothing.
 * Delivery is in order of the rows' ids. */
#include "engine/engine_internal.h"

struct msg *eng_cross_msg(struct engine *g, int64_t id, int kind, struct str source_wid,
                          struct str source_run, int64_t initiated, struct str target_wid,
                          struct str target_run, bool child_only, struct str blob)
{
    struct msg *m = eng_msg(g, M_CROSS);
    if (!m) {
        return NULL;
    }
    struct arena *a = &m->arena;
    m->retry = true;
    m->id = id;
    m->sub = kind;
    m->source_workflow_id = arena_str(a, source_wid);
    m->source_run_id = arena_str(a, source_run);
    m->initiated = initiated;
    m->workflow_id = arena_str(a, target_wid);
    m->run_id = target_run.n ? arena_str(a, target_run) : (struct str){NULL, 0};
    m->had_run_id = target_run.n > 0;
    m->flag = child_only;
    if ((blob.n && rec_decode(a, &rec_type_history_event, arena_str(a, blob), &m->rec, NULL)) ||
        arena_failed(a)) {
        eng_msg_free(m);
        return NULL;
    }
    return m;
}

/* Writes a message to another run into the commit; it is delivered after it. event may be NULL. */
void eng_cross(struct txn *t, int kind, struct str workflow_id, struct str run_id,
               int64_t initiated, bool child_only, struct rec *event)
{
    struct engine *g = t->g;
    struct buf b;
    buf_init(&b, ENG_BLOB_MAX);
    if (event && eng_rec_encode(t, event, &b)) {
        t->failed = true;
    }
    int64_t id = g->next_message++;
    struct run *r = t->run;
    STMT(t,
         "INSERT INTO messages(id, kind, source_id, source_run_id, initiated, target_id, "
         "target_run_id, child_only, event)"
         " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
         "iississib", id, (int64_t)kind, r->workflow_id, r->run_id, initiated, workflow_id, run_id,
         (int64_t)child_only, event ? buf_str(&b) : (struct str){NULL, 0});
    struct effect *f = eng_effect(t, FX_CROSS);
    f->m = t->failed
               ? NULL
               : eng_cross_msg(g, id, kind, r->workflow_id, r->run_id, initiated, workflow_id,
                               run_id, child_only, event ? buf_str(&b) : (struct str){NULL, 0});
    if (!f->m) {
        t->failed = true;
    }
    buf_free(&b);
}

/* At open: the messages that were not delivered. */
int eng_cross_load(struct engine *g, struct err *e)
{
    struct store_read *q = NULL;
    struct msg *all = NULL, **last = &all;
    int rc = store_read_open(g->store, &q, e,
                             "SELECT id, kind, source_id, source_run_id, initiated, target_id, "
                             "target_run_id, child_only, event"
                             " FROM messages WHERE id < ? ORDER BY id",
                             "i", g->first_message);
    while (rc == 0 && (rc = store_read_next(q)) == 1) {
        struct msg *m =
            eng_cross_msg(g, store_read_i64(q, 0), (int)store_read_i64(q, 1), store_read_str(q, 2),
                          store_read_str(q, 3), store_read_i64(q, 4), store_read_str(q, 5),
                          store_read_str(q, 6), store_read_i64(q, 7) != 0, store_read_str(q, 8));
        rc = m ? 0 : ERR_NOMEM;
        if (m) {
            *last = m;
            last = &m->next;
        }
    }
    store_read_close(q);
    *last = NULL;
    while (all) { /* all of them, or another time */
        struct msg *m = all;
        all = m->next;
        if (rc < 0) {
            eng_msg_free(m);
        } else {
            eng_post(g, m);
        }
    }
    return rc < 0 ? err_set(e, rc, "messages between runs could not be loaded") : 0;
}

static void delivered(struct txn *t, const struct msg *m)
{
    STMT(t, "DELETE FROM messages WHERE id = ?", "i", m->id);
}

/* ---- events that answer the sender ---- */
static struct rec *child_start_failed(struct arena *a, int64_t now, const struct msg *m)
{
    const struct rec *i = event_attrs(m->rec);
    struct rec *to = NULL,
               *ev = event_new(a, 0, now, EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED, &to);
    rec_set_str(to, T(ev_start_child_workflow_execution_failed, namespace), STR("default"));
    rec_set_str(to, T(ev_start_child_workflow_execution_failed, workflow_id), m->workflow_id);
    rec_set_msg(to, T(ev_start_child_workflow_execution_failed, workflow_type),
                rec_msg(i, T(ev_start_child_workflow_execution_initiated, workflow_type)));
    rec_set_int(to, T(ev_start_child_workflow_execution_failed, cause),
                START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS);
    rec_set_int(to, T(ev_start_child_workflow_execution_failed, initiated_event_id), m->initiated);
    rec_set_int(to, T(ev_start_child_workflow_execution_failed, workflow_task_completed_event_id),
                rec_int(i, T(ev_start_child_workflow_execution_initiated,
                             workflow_task_completed_event_id)));
    return ev;
}

static struct rec *child_started(struct arena *a, int64_t now, const struct msg *m)
{
    const struct rec *i = event_attrs(m->rec);
    struct rec *to = NULL,
               *ev = event_new(a, 0, now, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED, &to);
    rec_set_str(to, T(ev_child_workflow_execution_started, namespace), STR("default"));
    rec_set_int(to, T(ev_child_workflow_execution_started, initiated_event_id), m->initiated);
    struct rec *x = rec_sub(to, T(ev_child_workflow_execution_started, workflow_execution));
    rec_set_str(x, T(workflow_execution, workflow_id), m->workflow_id);
    rec_set_str(x, T(workflow_execution, run_id), m->run_id);
    rec_set_msg(to, T(ev_child_workflow_execution_started, workflow_type),
                rec_msg(i, T(ev_start_child_workflow_execution_initiated, workflow_type)));
    return ev;
}

#define OUTCOME_NOT_FOUND 1 /* ..._NOT_FOUND of both enumerations */

/* How a signal or cancellation went, for the run that sent it. cause_no: why not. */
static struct rec *outcome(struct arena *a, int64_t now, const struct msg *m, bool ok, int cause_no)
{
    const struct rec *i = event_attrs(m->rec);
    struct rec *to = NULL, *ev;
    int exec, init, done = 0, cause = 0;
    if (m->sub == X_SIGNAL && ok) {
        ev = event_new(a, 0, now, EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, &to);
        exec = T(ev_external_workflow_execution_signaled, workflow_execution),
        init = T(ev_external_workflow_execution_signaled, initiated_event_id);
    } else if (m->sub == X_SIGNAL) {
        ev = event_new(a, 0, now, EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, &to);
        exec = T(ev_signal_external_workflow_execution_failed, workflow_execution),
        init = T(ev_signal_external_workflow_execution_failed, initiated_event_id);
        done = T(ev_signal_external_workflow_execution_failed, workflow_task_completed_event_id),
        cause = T(ev_signal_external_workflow_execution_failed, cause);
    } else if (ok) {
        ev = event_new(a, 0, now, EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED, &to);
        exec = T(ev_external_workflow_execution_cancel_requested, workflow_execution),
        init = T(ev_external_workflow_execution_cancel_requested, initiated_event_id);
    } else {
        ev =
            event_new(a, 0, now, EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, &to);
        exec = T(ev_request_cancel_external_workflow_execution_failed, workflow_execution),
        init = T(ev_request_cancel_external_workflow_execution_failed, initiated_event_id);
        done = T(ev_request_cancel_external_workflow_execution_failed,
                 workflow_task_completed_event_id),
        cause = T(ev_request_cancel_external_workflow_execution_failed, cause);
    }
    struct rec *x = rec_sub(to, exec);
    rec_set_str(x, T(workflow_execution, workflow_id), m->workflow_id);
    rec_set_str(x, T(workflow_execution, run_id),
                m->had_run_id ? m->run_id : (struct str){NULL, 0});
    rec_set_int(to, init, m->initiated);
    if (!ok) {
        rec_set_int(to, cause, cause_no);
        rec_set_int(to, done,
                    m->sub == X_SIGNAL
                        ? rec_int(i, T(ev_signal_external_workflow_execution_initiated,
                                       workflow_task_completed_event_id))
                        : rec_int(i, T(ev_request_cancel_external_workflow_execution_initiated,
                                       workflow_task_completed_event_id)));
    }
    return ev;
}

/* ---- delivery ---- */
/* The message has nobody to go to: deleted by a commit of its own. */
static void drop(struct engine *g, struct msg *m)
{
    struct store_batch *b = store_batch_new(g->store);
    if (!b) {
        eng_post_front(g, m);
        eng_starved(g);
        return;
    }
    store_batch_add(b, "DELETE FROM messages WHERE id = ?", "i", m->id);
    store_submit(g->store, b, NULL, NULL);
    eng_msg_free(m);
}

static void to_inbox(struct run *r, struct msg *m)
{
    m->row = r->row;
    m->next = NULL;
    if (r->inbox_last) {
        r->inbox_last->next = m;
    } else {
        r->inbox = m;
    }
    r->inbox_last = m;
    eng_run_pump(r);
}

/* The answer goes to the sender in the commit that deletes the request: it becomes an event message
 * with the same row. */
static void back_to_sender(struct engine *g, struct msg *m, struct rec *event)
{
    struct run *r = NULL;
    struct err e = {0};
    if (arena_failed(&m->arena)) { /* the event lacks something */
        eng_post_front(g, m);
        eng_starved(g);
        return;
    }
    int rc = m->initiated && m->source_run_id.n ? eng_run_by_id(g, m->source_run_id, &r, &e)
                                                : ERR_NOTFOUND;
    if (rc == ERR_NOTFOUND) {
        drop(g, m);
        return;
    }
    if (rc) {
        eng_post_front(g, m);
        eng_sick(g, &e);
        return;
    }
    m->sub = X_EVENT;
    m->rec = event;
    m->workflow_id = m->source_workflow_id;
    m->run_id = m->source_run_id;
    m->had_run_id = true;
    to_inbox(r, m);
}

/* May a child take the id of this closed run? */
static bool may_reuse(const struct run *old, int64_t policy)
{
    bool failed = old->status != RUN_COMPLETED && old->status != RUN_CONTINUED_AS_NEW;
    return policy != WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE &&
           (policy != WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY || failed);
}

static void start_child(struct engine *g, struct msg *m)
{
    struct run *old = NULL, *parent = NULL;
    struct err e = {0};
    const struct rec *a = event_attrs(m->rec);
#define I(field) T(ev_start_child_workflow_execution_initiated, field)
    int rc = eng_run_current(g, m->workflow_id, &old, &e);
    rc = rc == ERR_NOTFOUND ? 0 : rc;
    int rp = rc ? 0 : eng_run_by_id(g, m->source_run_id, &parent, &e);
    rc = rc ? rc : rp == ERR_NOTFOUND ? 0 : rp;
    if (rc) {
        eng_post_front(g, m);
        eng_sick(g, &e);
        return;
    }
    if (old && (old->status == RUN_RUNNING || old->txn)) {
        to_inbox(old, m);
        return;
    }
    if (old && !may_reuse(old, rec_int(a, I(workflow_id_reuse_policy)))) {
        back_to_sender(g, m, child_start_failed(&m->arena, engine_now(g), m));
        return;
    }
    if (!parent) {
        drop(g, m);
        return;
    }
    struct rec *mine = NULL;
    if (eng_started_attrs(parent, &m->arena, &mine, &e)) {
        eng_post_front(g, m);
        eng_sick(g, &e);
        return;
    }
    const struct rec *root =
        rec_msg(mine, T(ev_workflow_execution_started, root_workflow_execution));
    struct str cron = rec_str(a, I(cron_schedule));
    int64_t now = engine_now(g), next = cron.n ? eng_cron_next(cron, now) : 0,
            timeout = rec_int(a, I(workflow_execution_timeout));
    struct run_spec s = {.workflow_id = m->workflow_id,
                         .run_id = m->run_id,
                         .type = rec_str(rec_msg(a, I(workflow_type)), T(workflow_type, name)),
                         .queue = rec_str(rec_msg(a, I(task_queue)), T(task_queue, name)),
                         .tree = parent->tree,
                         .entry = parent->entry,
                         .cron = cron,
                         .parent_id = parent->workflow_id,
                         .parent_run_id = parent->run_id,
                         .parent_initiated = m->initiated,
                         .root_id = rec_str(root, T(workflow_execution, workflow_id)),
                         .root_run_id = rec_str(root, T(workflow_execution, run_id)),
                         .input = rec_msg(a, I(input)),
                         .memo = rec_msg(a, I(memo)),
                         .search = rec_msg(a, I(search_attributes)),
                         .header = rec_msg(a, I(header)),
                         .retry = rec_msg(a, I(retry_policy)),
                         .execution_timeout = timeout,
                         .run_timeout = rec_int(a, I(workflow_run_timeout)),
                         .task_timeout = rec_int(a, I(workflow_task_timeout)),
                         .backoff = next > now ? next - now : 0,
                         .expiration = timeout > 0 ? now + timeout : 0};
#undef I
    struct txn *t = eng_run_begin(g, &s, false, &e);
    if (!t) {
        eng_post_front(g, m);
        eng_sick(g, &e);
        return;
    }
    eng_adopt(t, m);
    delivered(t, m);
    eng_cross(t, X_EVENT, m->source_workflow_id, m->source_run_id, m->initiated, false,
              child_started(&t->chunk->arena, t->now, m));
    eng_run_pump(t->run);
}

/* Finds the run that a message between runs is for, and gives it to it. */
void eng_cross_dispatch(struct engine *g, struct msg *m)
{
    FAULT("engine.message");
    if (m->sub == X_START_CHILD) {
        start_child(g, m);
        return;
    }
    struct run *r = NULL;
    struct err e = {0};
    int rc = m->had_run_id ? eng_run_by_id(g, m->run_id, &r, &e)
                           : eng_run_current(g, m->workflow_id, &r, &e);
    if (rc && rc != ERR_NOTFOUND) {
        eng_post_front(g, m);
        eng_sick(g, &e);
        return;
    }
    bool wrong = rc || !str_eq(r->workflow_id, m->workflow_id) ||
                 (m->flag && !str_eq(r->parent_run_id, m->source_run_id));
    if (!wrong) {
        to_inbox(r, m);
    } else if (m->sub == X_SIGNAL || (m->sub == X_CANCEL && m->initiated)) {
        back_to_sender(g, m, outcome(&m->arena, engine_now(g), m, false, OUTCOME_NOT_FOUND));
    } else {
        drop(g, m);
    }
}

/* ---- arrival ---- */
/* An event about something this run waits for: kind of the pending thing and the event that made
 * it. */
static int waits_for(const struct rec *ev, int *tag)
{
    switch (event_type(ev)) {
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
        *tag = T(ev_child_workflow_execution_started, initiated_event_id);
        return PEND_CHILD;
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
        *tag = T(ev_start_child_workflow_execution_failed, initiated_event_id);
        return PEND_CHILD;
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
        *tag = T(ev_child_workflow_execution_completed, initiated_event_id);
        return PEND_CHILD;
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
        *tag = T(ev_child_workflow_execution_failed, initiated_event_id);
        return PEND_CHILD;
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
        *tag = T(ev_child_workflow_execution_canceled, initiated_event_id);
        return PEND_CHILD;
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
        *tag = T(ev_child_workflow_execution_timed_out, initiated_event_id);
        return PEND_CHILD;
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
        *tag = T(ev_child_workflow_execution_terminated, initiated_event_id);
        return PEND_CHILD;
    case EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED:
        *tag = T(ev_external_workflow_execution_signaled, initiated_event_id);
        return PEND_SIGNAL_OUT;
    case EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
        *tag = T(ev_signal_external_workflow_execution_failed, initiated_event_id);
        return PEND_SIGNAL_OUT;
    case EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
        *tag = T(ev_external_workflow_execution_cancel_requested, initiated_event_id);
        return PEND_CANCEL_OUT;
    case EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
        *tag = T(ev_request_cancel_external_workflow_execution_failed, initiated_event_id);
        return PEND_CANCEL_OUT;
    default:
        return 0;
    }
}

static int child_started_tag(int type)
{
    switch (type) {
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
        return T(ev_child_workflow_execution_completed, started_event_id);
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
        return T(ev_child_workflow_execution_failed, started_event_id);
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
        return T(ev_child_workflow_execution_canceled, started_event_id);
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
        return T(ev_child_workflow_execution_timed_out, started_event_id);
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
        return T(ev_child_workflow_execution_terminated, started_event_id);
    default:
        return 0;
    }
}

static void apply_event(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    int tag = 0, kind = waits_for(m->rec, &tag);
    struct rec *attrs = (struct rec *)event_attrs(m->rec);
    struct pend *p =
        kind && r->status == RUN_RUNNING ? eng_pend(r, kind, rec_int(attrs, tag)) : NULL;
    delivered(t, m);
    if (!p) {
        return;
    }
    struct rec *ev = rec_clone(&t->chunk->arena, m->rec);
    rec_set_int(ev, T(history_event, event_time), t->now);
    attrs = (struct rec *)event_attrs(ev);
    if (event_type(ev) == EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED) {
        eng_event_arrive(t, ev, true);
        p->at = event_id(ev); /* 0 while it is buffered: known when it is flushed */
        eng_pend_write(t, p);
        return;
    }
    int started = child_started_tag(event_type(ev));
    if (started) {
        rec_set_int(attrs, started, p->at);
    }
    eng_pend_delete(t, p);
    eng_event_arrive(t, ev, true);
}

static void apply_signal(struct txn *t, struct msg *m)
{
    const struct rec *i = event_attrs(m->rec);
    struct rec *a = NULL, *ev = eng_event_loose(t, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, &a);
    rec_set_str(a, T(ev_workflow_execution_signaled, signal_name),
                rec_str(i, T(ev_signal_external_workflow_execution_initiated, signal_name)));
    rec_set_msg(a, T(ev_workflow_execution_signaled, input),
                rec_msg(i, T(ev_signal_external_workflow_execution_initiated, input)));
    rec_set_msg(a, T(ev_workflow_execution_signaled, header),
                rec_msg(i, T(ev_signal_external_workflow_execution_initiated, header)));
    rec_set_str(a, T(ev_workflow_execution_signaled, identity), str_of(t->g->identity));
    struct rec *x = rec_sub(a, T(ev_workflow_execution_signaled, external_workflow_execution));
    rec_set_str(x, T(workflow_execution, workflow_id), m->source_workflow_id);
    rec_set_str(x, T(workflow_execution, run_id), m->source_run_id);
    eng_event_arrive(t, ev, true);
}

static void apply_cancel(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    if (r->cancel_requested) {
        return;
    }
    const struct rec *i = m->rec ? event_attrs(m->rec) : NULL;
    struct rec *a = NULL,
               *ev = eng_event_loose(t, EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED, &a);
    rec_set_str(a, T(ev_workflow_execution_cancel_requested, cause),
                m->initiated
                    ? rec_str(i, T(ev_request_cancel_external_workflow_execution_initiated, reason))
                    : STR("the parent closed"));
    rec_set_int(a, T(ev_workflow_execution_cancel_requested, external_initiated_event_id),
                m->initiated);
    struct rec *x =
        rec_sub(a, T(ev_workflow_execution_cancel_requested, external_workflow_execution));
    rec_set_str(x, T(workflow_execution, workflow_id), m->source_workflow_id);
    rec_set_str(x, T(workflow_execution, run_id), m->source_run_id);
    r->cancel_requested = 1;
    t->run_dirty = true;
    eng_event_arrive(t, ev, true);
}

static void apply_terminate(struct txn *t)
{
    eng_force_close_task(t);
    struct rec *a = NULL, *ev = eng_event(t, EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, &a);
    rec_set_str(a, T(ev_workflow_execution_terminated, reason), STR("by parent close policy"));
    rec_set_str(a, T(ev_workflow_execution_terminated, identity), str_of(t->g->identity));
    eng_close_run(t, RUN_TERMINATED, ev);
}

void eng_apply_cross(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    if (m->sub == X_EVENT) {
        apply_event(t, m);
        return;
    }
    if (m->sub == X_START_CHILD &&
        r->status != RUN_RUNNING) { /* look again when its end is durable */
        eng_repost(t, m);
        return;
    }
    if (r->status != RUN_RUNNING && !m->had_run_id && t->chunk->n) {
        eng_repost(t, m);
        return;
    }
    delivered(t, m);
    struct arena *a = &t->chunk->arena;
    struct rec *reply = NULL;
    if (m->sub == X_START_CHILD) {
        reply = child_start_failed(a, t->now, m);
    } else if (r->status == RUN_RUNNING && m->sub == X_SIGNAL && eng_signals_full(r)) {
        reply =
            outcome(a, t->now, m, false,
                    SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_SIGNAL_COUNT_LIMIT_EXCEEDED);
    } else if (r->status == RUN_RUNNING) {
        reply = m->initiated && m->sub != X_TERMINATE
                    ? outcome(a, t->now, m, true, OUTCOME_NOT_FOUND)
                    : NULL;
        switch (m->sub) {
        case X_SIGNAL:
            apply_signal(t, m);
            break;
        case X_CANCEL:
            apply_cancel(t, m);
            break;
        default:
            apply_terminate(t);
            break;
        }
    } else if (m->initiated && m->sub != X_TERMINATE) {
        reply = outcome(a, t->now, m, false, OUTCOME_NOT_FOUND);
    }
    if (reply && m->initiated) {
        eng_cross(t, X_EVENT, m->source_workflow_id, m->source_run_id, m->initiated, false, reply);
    }
}

/* ---- ends ---- */
/* Tells the parent how its child ended, unless a next run of the chain goes on for it. */
void eng_tell_parent(struct txn *t, int status, struct rec *closing)
{
    struct run *r = t->run;
    const struct rec *c = event_attrs(closing);
    struct arena *a = &t->chunk->arena;
    struct rec *to = NULL, *ev = NULL;
    struct str next = {NULL, 0};
#define ENDED(type, f)                                                                             \
    ev = event_new(a, 0, t->now, type, &to);                                                       \
    exec = T(f, workflow_execution);                                                               \
    kind = T(f, workflow_type);                                                                    \
    init = T(f, initiated_event_id);                                                               \
    ns = T(f, namespace)
    int exec, kind, init, ns;
    switch (status) {
    case RUN_COMPLETED:
        next = rec_str(c, T(ev_workflow_execution_completed, new_execution_run_id));
        ENDED(EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED, ev_child_workflow_execution_completed);
        rec_set_msg(to, T(ev_child_workflow_execution_completed, result),
                    rec_msg(c, T(ev_workflow_execution_completed, result)));
        break;
    case RUN_FAILED:
        next = rec_str(c, T(ev_workflow_execution_failed, new_execution_run_id));
        ENDED(EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED, ev_child_workflow_execution_failed);
        rec_set_msg(to, T(ev_child_workflow_execution_failed, failure),
                    rec_msg(c, T(ev_workflow_execution_failed, failure)));
        rec_set_int(to, T(ev_child_workflow_execution_failed, retry_state),
                    rec_int(c, T(ev_workflow_execution_failed, retry_state)));
        break;
    case RUN_CANCELED:
        ENDED(EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED, ev_child_workflow_execution_canceled);
        rec_set_msg(to, T(ev_child_workflow_execution_canceled, details),
                    rec_msg(c, T(ev_workflow_execution_canceled, details)));
        break;
    case RUN_TIMED_OUT:
        next = rec_str(c, T(ev_workflow_execution_timed_out, new_execution_run_id));
        ENDED(EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT, ev_child_workflow_execution_timed_out);
        rec_set_int(to, T(ev_child_workflow_execution_timed_out, retry_state),
                    rec_int(c, T(ev_workflow_execution_timed_out, retry_state)));
        break;
    case RUN_TERMINATED:
        ENDED(EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
              ev_child_workflow_execution_terminated);
        break;
    default:
        return;
    }
#undef ENDED
    if (next.n) {
        return;
    }
    rec_set_str(to, ns, STR("default"));
    struct rec *x = rec_sub(to, exec);
    rec_set_str(x, T(workflow_execution, workflow_id), r->workflow_id);
    rec_set_str(x, T(workflow_execution, run_id), r->run_id);
    rec_set_str(rec_sub(to, kind), T(workflow_type, name), r->type);
    rec_set_int(to, init, r->parent_initiated);
    eng_cross(t, X_EVENT, r->parent_id, r->parent_run_id, r->parent_initiated, false, ev);
}

/* Parent close policies of the children that are open. */
void eng_parent_closed(struct txn *t)
{
    for (struct map_entry *e = t->run->pends.first; e; e = e->next) {
        const struct pend *p = e->value;
        if (p->kind != PEND_CHILD || p->state == PARENT_CLOSE_POLICY_ABANDON) {
            continue;
        }
        bool cancel = p->state == PARENT_CLOSE_POLICY_REQUEST_CANCEL;
        eng_cross(t, cancel ? X_CANCEL : X_TERMINATE, p->name, (struct str){NULL, 0}, 0, true,
                  NULL);
    }
}
