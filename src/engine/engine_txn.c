/* The open half of a transition: events, pending rows, effects; what a run does when messages wait
 * (eng_run_pump). The other half, the commit and what follows it, is engine_commit.c. */
#include "engine/engine_internal.h"

static struct txn *txn_new(struct run *r, int64_t now)
{
    struct txn *t = mem_zalloc(sizeof *t);
    struct chunk *c = t ? mem_zalloc(sizeof *c) : NULL;
    if (!c) {
        mem_free(t);
        return NULL;
    }
    arena_init(&c->arena, 0);
    t->g = r->g;
    t->run = r;
    t->now = now;
    t->chunk = c;
    t->refused = mem_refused();
    return t;
}

/* The open transition of a run, made when there is none; NULL out of memory. Never the submitted
 * one. */
struct txn *eng_txn(struct run *r)
{
    if (r->txn) {
        return r->txn->submitted ? NULL : r->txn;
    }
    struct txn *t = txn_new(r, engine_now(r->g));
    if (t) {
        r->txn = t;
        r->g->txns++;
    }
    return t;
}

/* A transition that is not entered anywhere: for a run that is born inside another run's commit. */
struct txn *eng_txn_detached(struct run *r, int64_t now)
{
    return txn_new(r, now);
}

void eng_txn_free(struct txn *t)
{
    if (!t) {
        return;
    }
    for (struct effect *f = t->fx_first; f; f = f->next) {
        if (f->kind == FX_CROSS || f->kind == FX_REPOST) {
            eng_msg_free(f->m);
        }
    }
    eng_chunk_free(t->chunk);
    store_batch_free(t->batch);
    mem_free(t);
}

struct store_batch *eng_batch(struct txn *t)
{
    if (!t->batch) {
        t->batch = store_batch_new(t->g->store);
    }
    if (!t->batch) {
        t->failed = true;
    }
    t->statements++;
    return t->batch;
}

/* The message's memory lives as long as the transition's events, which may borrow from it. */
void eng_adopt(struct txn *t, struct msg *m)
{
    m->next = t->chunk->adopted;
    t->chunk->adopted = m;
}

/* Takes back the message that was adopted last: it goes somewhere else. */
void eng_unadopt(struct txn *t, struct msg *m)
{
    if (t->chunk->adopted == m) {
        t->chunk->adopted = m->next;
        m->next = NULL;
    }
}

/* The message is dispatched again after the commit. */
void eng_repost(struct txn *t, struct msg *m)
{
    struct effect *f = eng_effect(t, FX_REPOST);
    if (!t->failed) {
        eng_unadopt(t, m);
        m->row = 0;
        f->m = m;
    }
}

/* ---- events ---- */
static void chunk_add(struct txn *t, struct rec *ev)
{
    struct chunk *c = t->chunk;
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 16;
        struct rec **events = mem_realloc(c->events, cap * sizeof *events);
        if (!events) {
            t->failed = true;
            return;
        }
        c->events = events;
        c->cap = cap;
    }
    c->events[c->n++] = ev;
}

/* Appends a new event with the next id; *attrs gets its attribute message. */
struct rec *eng_event(struct txn *t, int type, struct rec **attrs)
{
    struct rec *ev = event_new(&t->chunk->arena, t->run->next_id++, t->now, type, attrs);
    chunk_add(t, ev);
    return ev;
}

/* Appends an event that was made without an id. */
void eng_event_append(struct txn *t, struct rec *ev)
{
    rec_set_int(ev, T(history_event, event_id), t->run->next_id++);
    chunk_add(t, ev);
}

/* An event without an id yet, for eng_event_arrive. */
struct rec *eng_event_loose(struct txn *t, int type, struct rec **attrs)
{
    return event_new(&t->chunk->arena, 0, t->now, type, attrs);
}

/* Something happened to the run: the event is appended, or buffered while the worker has a task
 * out. wakes: it needs a task. */
void eng_event_arrive(struct txn *t, struct rec *ev, bool wakes)
{
    struct run *r = t->run;
    bool signal = event_type(ev) == EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED;
    if (!r->started) {
        r->unread += signal;
        eng_event_append(t, ev);
        r->want_wft = r->want_wft || wakes;
        return;
    }
    r->speculative = r->transient = false;
    struct pend *p = eng_pend_new(r, PEND_BUFFERED, r->next_buffered++);
    if (!p) {
        t->failed = true;
        return;
    }
    p->event = rec_clone(&p->arena, ev);
    p->state = wakes;
    p->first_at = t->now;
    r->n_buffered++;
    r->unread_buffered += signal;
    if (arena_failed(&p->arena)) {
        t->failed = true;
    }
}

static bool is_close(int type)
{
    switch (type) {
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
    case EVENT_TYPE_ACTIVITY_TASK_CANCELED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
        return true;
    default:
        return false;
    }
}

/* Tags of (the event that made it, started id) in the attributes of a close event; 0 when it is
 * none. */
static int started_tag(int type, int *made)
{
    switch (type) {
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        *made = T(ev_activity_task_completed, scheduled_event_id);
        return T(ev_activity_task_completed, started_event_id);
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
        *made = T(ev_activity_task_failed, scheduled_event_id);
        return T(ev_activity_task_failed, started_event_id);
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        *made = T(ev_activity_task_timed_out, scheduled_event_id);
        return T(ev_activity_task_timed_out, started_event_id);
    case EVENT_TYPE_ACTIVITY_TASK_CANCELED:
        *made = T(ev_activity_task_canceled, scheduled_event_id);
        return T(ev_activity_task_canceled, started_event_id);
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
        *made = T(ev_child_workflow_execution_completed, initiated_event_id);
        return T(ev_child_workflow_execution_completed, started_event_id);
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
        *made = T(ev_child_workflow_execution_failed, initiated_event_id);
        return T(ev_child_workflow_execution_failed, started_event_id);
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
        *made = T(ev_child_workflow_execution_canceled, initiated_event_id);
        return T(ev_child_workflow_execution_canceled, started_event_id);
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
        *made = T(ev_child_workflow_execution_timed_out, initiated_event_id);
        return T(ev_child_workflow_execution_timed_out, started_event_id);
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
        *made = T(ev_child_workflow_execution_terminated, initiated_event_id);
        return T(ev_child_workflow_execution_terminated, started_event_id);
    default:
        return 0;
    }
}

int64_t eng_activity_of(const struct rec *ev)
{
    int made = 0, type = event_type(ev);
    if (type == EVENT_TYPE_ACTIVITY_TASK_STARTED) {
        made = T(ev_activity_task_started, scheduled_event_id);
    } else if (type == EVENT_TYPE_ACTIVITY_TASK_COMPLETED ||
               type == EVENT_TYPE_ACTIVITY_TASK_FAILED ||
               type == EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT ||
               type == EVENT_TYPE_ACTIVITY_TASK_CANCELED) {
        started_tag(type, &made);
    }
    return made ? rec_int(event_attrs(ev), made) : 0;
}

/* A close event whose start was appended in the same transition learns the start's id; others keep
 * what they have. */
static void patch_started(struct txn *t, struct rec *ev, size_t from)
{
    int made_tag = 0, tag = started_tag(event_type(ev), &made_tag);
    if (!tag) {
        return;
    }
    struct rec *attrs = (struct rec *)event_attrs(ev);
    int64_t made = rec_int(attrs, made_tag);
    for (size_t i = from; i < t->chunk->n; i++) {
        const struct rec *o = t->chunk->events[i];
        const struct rec *oa = event_attrs(o);
        bool starts =
            (event_type(o) == EVENT_TYPE_ACTIVITY_TASK_STARTED &&
             rec_int(oa, T(ev_activity_task_started, scheduled_event_id)) == made) ||
            (event_type(o) == EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED &&
             rec_int(oa, T(ev_child_workflow_execution_started, initiated_event_id)) == made);
        if (starts) {
            rec_set_int(attrs, tag, event_id(o));
        }
    }
}

static void child_started_id(struct txn *t, const struct rec *ev)
{
    struct run *r = t->run;
    if (event_type(ev) == EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED) {
        struct pend *c = eng_pend(
            r, PEND_CHILD,
            rec_int(event_attrs(ev), T(ev_child_workflow_execution_started, initiated_event_id)));
        if (c) {
            c->at = event_id(ev);
            eng_pend_write(t, c);
        }
    }
}

/* Appends what was buffered: all in order of arrival, but the closes of activities and children
 * last. */
void eng_flush_buffered(struct txn *t)
{
    struct run *r = t->run;
    if (!r->n_buffered) {
        return;
    }
    size_t from = t->chunk->n;
    bool stored = false;
    for (int pass = 0; pass < 2; pass++) {
        for (struct map_entry *e = r->pends.first; e; e = e->next) {
            struct pend *p = e->value;
            if (p->kind != PEND_BUFFERED || is_close(event_type(p->event)) != (pass == 1)) {
                continue;
            }
            struct rec *ev = rec_clone(&t->chunk->arena, p->event);
            eng_event_append(t, ev);
            patch_started(t, ev, from);
            child_started_id(t, ev);
            r->want_wft = r->want_wft || p->state;
            stored = stored || p->stored;
        }
    }
    for (struct map_entry *e = r->pends.first; e;) {
        struct pend *p = e->value;
        e = e->next;
        if (p->kind == PEND_BUFFERED) {
            eng_pend_drop(r, p);
        }
    }
    r->n_buffered = 0;
    r->unread += r->unread_buffered;
    r->unread_buffered = 0;
    if (stored) {
        STMT(t, "DELETE FROM pending WHERE run = ? AND kind = 6", "i", r->row);
    }
}

/* ---- workflow tasks ---- */
void eng_schedule_wft(struct txn *t)
{
    struct run *r = t->run;
    r->want_wft = false;
    if (r->sched || r->status != RUN_RUNNING || (r->blocked && !r->retrying) ||
        eng_pend(r, PEND_DELAY, 0)) {
        return;
    }
    r->wft_attempt = r->wft_attempt > 0 ? r->wft_attempt : 1;
    struct rec *a = NULL;
    r->sched = r->next_id;
    eng_event(t, EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, &a);
    struct rec *q = rec_sub(a, T(ev_workflow_task_scheduled, task_queue));
    rec_set_str(q, T(task_queue, name), r->queue);
    rec_set_int(q, T(task_queue, kind), TASK_QUEUE_KIND_NORMAL);
    rec_set_int(a, T(ev_workflow_task_scheduled, start_to_close_timeout), 10 * NS_PER_S);
    rec_set_int(a, T(ev_workflow_task_scheduled, attempt), r->wft_attempt);
}

/* A task only in memory: for an update, which may leave nothing behind, or a blocked run that is
 * tried again. */
bool eng_start_speculative(struct txn *t)
{
    struct run *r = t->run;
    t->spec_events = t->chunk->n;
    eng_schedule_wft(t);
    r->speculative = r->sched != 0 && t->spec_events == 0 && !t->statements && !t->run_dirty;
    return r->sched != 0;
}

/* Forgets the two events of a speculative task. */
void eng_discard_speculative(struct txn *t)
{
    struct run *r = t->run;
    r->next_id = r->sched;
    t->chunk->n = t->spec_events;
    r->sched = r->started = 0;
    r->speculative = r->transient = false;
}

/* ---- pending rows ---- */
static void put_pend(struct txn *t, struct pend *p, struct str blob)
{
    STMT(t,
         "INSERT OR REPLACE INTO pending(run, kind, id, name, type, queue, extra, state, attempt, "
         "epoch, due, at, first_at, cancel,"
         " failure, details) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?, ?, ?)",
         "iiissssiiiiiiibb", t->run->row, (int64_t)p->kind, p->id, p->name, p->type, p->queue,
         p->extra, (int64_t)p->state, (int64_t)p->attempt, p->epoch, p->due, p->at, p->first_at,
         p->cancel_id, eng_bytes(&p->failure), blob);
    p->stored = true;
}

void eng_pend_write(struct txn *t, struct pend *p)
{
    put_pend(t, p, eng_bytes(&p->details));
}

/* Deletes the row and drops the thing. */
void eng_pend_delete(struct txn *t, struct pend *p)
{
    STMT(t, "DELETE FROM pending WHERE run = ? AND kind = ? AND id = ?", "iii", t->run->row,
         (int64_t)p->kind, p->id);
    eng_pend_drop(t->run, p);
}

/* ---- effects ---- */
struct effect *eng_effect(struct txn *t, int kind)
{
    size_t head = offsetof(struct effect, answer);
    struct effect *f = arena_alloc(&t->chunk->arena, kind == FX_ANSWER  ? head + sizeof f->answer
                                                     : kind == FX_REPLY ? sizeof *f
                                                                        : head);
    if (!f) {
        static struct effect lost; /* never run: the transition fails as a whole */
        t->failed = true;
        memset(&lost, 0, sizeof lost);
        return &lost;
    }
    f->kind = kind;
    if (t->fx_last) {
        t->fx_last->next = f;
    } else {
        t->fx_first = f;
    }
    t->fx_last = f;
    return f;
}

void eng_answer(struct txn *t, struct msg *m, enum backend_answer_kind kind)
{
    if (m->answer) {
        struct effect *f = eng_effect(t, FX_ANSWER);
        f->m = m;
        f->answer_fn = m->answer;
        f->ud = m->ud;
        f->answer.kind = kind;
    }
}

/* A reply after the commit; the caller may fill f->reply. text: for people, when code is not 0. */
struct effect *eng_reply(struct txn *t, struct msg *m, int code, const char *text)
{
    struct effect *f = eng_effect(t, FX_REPLY);
    f->m = m;
    f->reply_fn = m->reply;
    f->ud = m->ud;
    f->reply.guard = -1;
    if (code) {
        err_set(&f->reply.err, code, "%s", text);
    }
    return f;
}

/* The due time of a pending thing goes to the near timers once it is durable. */
void eng_arm(struct txn *t, int kind, int64_t id, int64_t due)
{
    struct effect *f = eng_effect(t, FX_ARM);
    f->sub = kind;
    f->id = id;
    f->due = due;
    f->row = t->run->row;
}

/* ---- the pump ---- */
static bool must_hold(const struct txn *t)
{
    return t->pushed && t->run->wft_out && !t->no_push && !t->failed;
}

/* What was decided while memory was refused may be incomplete, wherever that was: it fails as a
 * whole and is decided again. */
void eng_txn_judge(struct txn *t)
{
    if (t->refused != mem_refused()) {
        t->failed = true;
    }
}

static bool pump_inbox(struct run *r)
{
    struct engine *g = r->g;
    while (r->inbox && !r->gone) {
        struct txn *t = eng_txn(r);
        if (!t) {
            eng_starved(g);
            return false;
        }
        struct msg *m = r->inbox;
        r->inbox = m->next;
        r->inbox_last = r->inbox ? r->inbox_last : NULL;
        t->now = engine_now(g);
        eng_adopt(t, m);
        FAULT("engine.decide");
        eng_apply(t, m);
        eng_txn_judge(t);
        if (t->no_push || t->failed) {
            break;
        }
    }
    return true;
}

/* Applies what waits for a run, starts its workflow task when it can, and commits what came of it.
 */
void eng_run_pump(struct run *r)
{
    struct engine *g = r->g;
    if (r->txn && r->txn->submitted) {
        return;
    }
    if (r->txn && r->txn->whole) {
        r->txn->whole = false;
        r->txn->refused = mem_refused();
    }
    if (!pump_inbox(r)) {
        return;
    }
    if (!r->gone && !(r->txn && (r->txn->no_push || r->txn->failed))) {
        if (r->want_wft && !r->sched) {
            if (eng_txn(r)) {
                eng_schedule_wft(r->txn);
            } else {
                eng_starved(g);
            }
        }
        eng_wft_maybe_start(r);
        if (!r->txn) {
            eng_queries_start(r);
        }
    }
    struct txn *t = r->txn;
    if (!t) {
        return;
    }
    eng_txn_judge(t);
    if (must_hold(t)) {
        t->whole = true;
        eng_held_remove(g, t);
        t->next_held = g->held;
        g->held = t;
        return;
    }
    eng_txn_finish(t);
}
