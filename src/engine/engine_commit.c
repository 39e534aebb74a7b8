/* The second half of a transition: rows into its batch, the commit, and what follows. Effects run
 * only after DURABLE; after a failure the run's memory is thrown away, callers are told, and what
 * must not be lost (results of activities, timers, messages between runs) is applied again when the
 * disk works. */
#include "engine/engine_internal.h"

static const char sql_insert_run[] =
    "INSERT INTO runs(run, workflow_id, run_id, type, status, blocked, queue, tree, parent_id, "
    "parent_run_id, parent_initiated,"
    " first_run_id, bundle, entry, input_digest, request_id, cron, attempt, started_at, closed_at, "
    "cancel_requested, memo, search)"
    " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?)";
static const char sql_update_run[] =
    "UPDATE runs SET status = ?, blocked = ?, bundle = ?, closed_at = nullif(?, 0), "
    "cancel_requested = ?, memo = ?, search = ?"
    " WHERE run = ?";
static const char sql_insert_history[] = "INSERT INTO history(run, first, n, time, bytes, sched, "
                                         "started, done, attempt, waits, kinds, events, unread)"
                                         " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

static struct str opt(const char *z)
{
    return z && z[0] ? str_of(z) : (struct str){NULL, 0};
}

static void write_run(struct txn *t)
{
    struct run *r = t->run;
    if (r->fresh) {
        STMT(t, sql_insert_run, "isssisssssissssssiiiibb", r->row, r->workflow_id, r->run_id,
             r->type, (int64_t)r->status, str_of(r->blocked), r->queue, r->tree, r->parent_id,
             r->parent_run_id, r->parent_initiated, r->first_run_id, opt(r->bundle), r->entry,
             opt(r->input_digest), r->request_id, r->cron, (int64_t)r->attempt_of_run,
             r->started_at, r->closed_at, r->cancel_requested, eng_bytes(&r->memo),
             eng_bytes(&r->search));
    } else if (t->run_dirty) {
        STMT(t, sql_update_run, "issiibbi", (int64_t)r->status, str_of(r->blocked), opt(r->bundle),
             r->closed_at, r->cancel_requested, eng_bytes(&r->memo), eng_bytes(&r->search), r->row);
    }
}

static void write_history(struct txn *t)
{
    struct run *r = t->run;
    struct chunk *c = t->chunk;
    if (!c->n) {
        return;
    }
    struct buf blob, kinds;
    buf_init(&blob, ENG_BLOB_MAX);
    buf_init(&kinds, 1 << 20);
    for (size_t i = 0; i < c->n; i++) {
        buf_put(&kinds, ", ", i ? 2 : 0);
        buf_puts(&kinds, event_name(event_type(c->events[i])));
    }
    int rc = eng_events_encode(t, c->events, c->n, &blob);
    if (rc || blob.code) {
        t->failed = true;
    } else {
        r->bytes += (int64_t)blob.n;
        STMT(t, sql_insert_history, "iiiiiiiiissbi", r->row, event_id(c->events[0]), (int64_t)c->n,
             event_time(c->events[c->n - 1]), r->bytes, r->sched, r->started, r->done,
             (int64_t)r->wft_attempt, str_of(r->waits), buf_str(&kinds), buf_str(&blob), r->unread);
    }
    buf_free(&blob);
    buf_free(&kinds);
}

static void write_buffered(struct txn *t)
{
    if (!t->run->n_buffered) {
        return;
    }
    for (struct map_entry *e = t->run->pends.first; e; e = e->next) {
        struct pend *p = e->value;
        if (p->kind != PEND_BUFFERED || p->stored) {
            continue;
        }
        struct buf b;
        buf_init(&b, ENG_BLOB_MAX);
        if (eng_rec_encode(t, p->event, &b) || b.code || !eng_bytes_set(&p->details, buf_str(&b))) {
            t->failed = true;
        }
        buf_free(&b);
        eng_pend_write(t, p);
    }
}

/* Puts all that the transition decided into its batch. */
void eng_txn_write(struct txn *t)
{
    write_run(t);
    write_buffered(t);
    write_history(t);
    if (arena_failed(&t->chunk->arena)) {
        t->failed = true;
    }
}

static bool nothing_to_write(const struct txn *t)
{
    if (t->chunk->n || t->statements || t->run_dirty || t->run->fresh || t->failed) {
        return false;
    }
    for (struct map_entry *e = t->run->n_buffered ? t->run->pends.first : NULL; e; e = e->next) {
        const struct pend *p = e->value;
        if (p->kind == PEND_BUFFERED && !p->stored) {
            return false;
        }
    }
    return true;
}

static void on_answer(void *ud, const struct store_answer *a)
{
    struct txn *t = ud;
    t->store_answer = *a;
    t->answered = true;
    t->next_answered = NULL;
    struct txn **p = &t->g->answered;
    while (*p) {
        p = &(*p)->next_answered;
    }
    *p = t;
    eng_kick(t->g);
}

void eng_held_remove(struct engine *g, struct txn *t)
{
    for (struct txn **p = &g->held; *p; p = &(*p)->next_held) {
        if (*p == t) {
            *p = t->next_held;
            t->next_held = NULL;
            return;
        }
    }
}

/* Submits the transition; one that changed nothing just runs its effects. */
void eng_txn_finish(struct txn *t)
{
    struct engine *g = t->g;
    eng_held_remove(g, t);
    if (t->whole) {
        t->whole = false;
        t->refused = mem_refused();
    }
    eng_txn_judge(t);
    if (nothing_to_write(t)) {
        t->submitted = true;
        t->store_answer.kind = STORE_DURABLE;
        eng_txn_answered(t);
        return;
    }
    eng_txn_write(t);
    eng_txn_judge(t);
    t->submitted = true;
    if (t->failed || !t->batch) {
        struct store_answer a = {.kind = STORE_STORAGE};
        err_set(&a.err, ERR_NOMEM, "out of memory");
        on_answer(t, &a);
        return;
    }
    FAULT("engine.submit");
    struct store_batch *b = t->batch;
    t->batch = NULL;
    store_submit(g->store, b, on_answer, t);
}

/* ---- after the commit ---- */
static void run_effect(struct txn *t, struct effect *f)
{
    struct engine *g = t->g;
    switch (f->kind) {
    case FX_ANSWER:
        FAULT("engine.answer");
        f->answer_fn(f->ud, &f->answer);
        break;
    case FX_REPLY:
        FAULT("engine.answer");
        if (f->reply_fn) {
            f->reply_fn(f->ud, &f->reply);
        }
        break;
    case FX_PUSH_ACTIVITY:
        FAULT("engine.dispatch");
        eng_push_activity(g, t->run, f->id);
        break;
    case FX_ARM:
        if (eng_driven(g, t->run)) {
            eng_timer_arm(g, f->sub, f->row, f->id, f->due);
        }
        break;
    case FX_REPOST:
        eng_post(g, f->m);
        f->m = NULL;
        break;
    case FX_CROSS:
        FAULT("engine.message");
        if (f->m) {
            eng_post(g, f->m);
            f->m = NULL;
        }
        break;
    case FX_CLOSED:
        if (g->has_sink && g->sink.on_run_closed) {
            g->sink.on_run_closed(g->sink.ud, t->run->run_id);
        }
        eng_waiters_closed(g, t->run);
        break;
    case FX_ACT_CANCEL:
        if (g->has_sink && g->sink.on_activity_cancel) {
            g->sink.on_activity_cancel(g->sink.ud, f->text, (enum backend_cancel_reason)f->sub);
        }
        break;
    case FX_LOAD: {
        struct msg *m = eng_msg(g, M_WFT_TRY);
        if (m) {
            m->row = f->row;
            eng_post(g, m);
        } else {
            eng_broken(g, f->row);
        }
        break;
    }
    case FX_FORGET:
        mem_free(map_del(&g->out, f->text));
        break;
    case FX_BLOB:
        if (g->blobs.n > 20000) {
            map_free(&g->blobs);
            map_init(&g->blobs);
        }
        map_set(&g->blobs, f->text, g);
        break;
    default:
        break;
    }
}

static void durable(struct txn *t)
{
    struct engine *g = t->g;
    struct run *r = t->run;
    struct chunk *c = t->chunk;
    FAULT("engine.durable");
    eng_run_touch(g, r);
    r->fresh = false;
    r->txn = NULL;
    g->txns--;
    if (g->commit_fn && c->n) {
        g->commit_fn(g->commit_ud, r->workflow_id, r->run_id, c->events, c->n);
    }
    for (struct effect *f = t->fx_first; f; f = f->next) {
        run_effect(t, f);
    }
    if (c->n && !r->gone) {
        if (!r->chunks) {
            r->recent_first = event_id(c->events[0]);
            r->chunks = c;
        } else {
            r->chunks_last->next = c;
        }
        r->chunks_last = c;
        t->chunk = NULL;
        t->fx_first = NULL; /* they live in the chunk */
        eng_run_trim(r);
        g->changed = true;
    }
    eng_txn_free(t);
    if (r->gone) {
        eng_run_forget(g, r);
        return;
    }
    eng_run_pump(r);
}

static void effect_failed(struct txn *t, struct effect *f, const struct err *e)
{
    struct engine *g = t->g;
    /* it is posted again, and answered then */
    bool again = f->m && f->m->retry && (t->store_answer.kind == STORE_STORAGE || !t->run->fresh);
    if (f->m && (f->kind == FX_ANSWER || f->kind == FX_REPLY)) {
        f->m->told = true;
    }
    if (f->kind == FX_ANSWER && !again) {
        struct backend_answer a = {.kind = BACKEND_STORAGE, .err = *e};
        f->answer_fn(f->ud, &a);
    } else if (f->kind == FX_REPLY && !again && f->reply_fn) {
        struct backend_reply r = {.err = *e, .guard = t->store_answer.guard};
        f->reply_fn(f->ud, &r);
    } else if (f->kind == FX_PUSH_ACTIVITY) {
        g->slots_act++;
    } else if (f->kind == FX_CROSS && f->m) {
        eng_msg_free(f->m);
        f->m = NULL;
    } else if (f->kind == FX_REPOST) {
        eng_fail_msg(g, f->m, e->code, e->text);
        f->m = NULL;
    }
}

/* The guard of an activity's completion: the completion becomes a failure. Its transition has no
 * other message (eng_apply_act_done). */
static void refuse_completion(struct msg *m)
{
    store_batch_free(m->batch);
    m->batch = NULL;
    m->sub = ACT_FAILED;
    m->rec = failure_app(&m->arena, STR("Conflict"),
                         STR("what the activity wanted to write does not fit what is there: a row "
                             "is there already, is not there, or has changed meanwhile"),
                         true, NULL, NULL);
}

/* What was thrown away is read again: at once when the file is well. */
static void take_up(struct engine *g, bool guard, bool fresh, int64_t row, const struct err *e)
{
    if (guard && fresh) {
        return;
    }
    map_free(&g->blobs);
    map_init(&g->blobs);
    struct msg *m = guard ? eng_msg(g, M_WFT_TRY) : NULL;
    if (m) {
        m->row = row;
        eng_post(g, m);
    } else if (!fresh) {
        eng_broken(g, row);
    }
    if (!guard) {
        eng_sick(g, e);
    }
}

/* The commit failed: nothing of it may stay in memory. */
static void failed(struct txn *t)
{
    struct engine *g = t->g;
    struct run *r = t->run;
    struct err e = t->store_answer.err;
    bool guard = t->store_answer.kind == STORE_GUARD, fresh = r->fresh;
    if (guard) {
        err_set(&e, ERR_GUARD, "a condition of the start did not hold");
    } else if (!e.code) {
        err_set(&e, ERR_IO, "the file could not be written");
    }
    for (struct effect *f = t->fx_first; f; f = f->next) {
        effect_failed(t, f, &e);
    }
    struct msg *again = NULL;
    for (struct msg *m = t->chunk->adopted;
         m && !(guard && fresh);) { /* newest first: pushed to the front one by one */
        struct msg *next = m->next;
        if (guard && m->batch) {
            refuse_completion(m);
        }
        if (m->retry) {
            m->next = again;
            again = m;
        } else if (m->told) {
            m->next = NULL;
            eng_msg_free(m);
        } else { /* there was not even memory for its answer */
            m->next = NULL;
            eng_fail_msg(g, m, e.code, e.text);
        }
        m = next;
    }
    if (!(guard && fresh)) {
        t->chunk->adopted = NULL;
    }
    struct msg *waiting = r->inbox;
    r->inbox = r->inbox_last = NULL;
    eng_updates_fail(r, e.code, e.text);
    eng_queries_fail(r, e.code, e.text);
    int64_t row = r->row;
    r->txn = NULL;
    g->txns--;
    eng_run_forget(g, r);
    eng_txn_free(t);
    while (again) {
        struct msg *m = again;
        again = m->next;
        eng_post(g, m);
    }
    while (waiting) {
        struct msg *m = waiting;
        waiting = m->next;
        if (fresh && m->kind != M_START && m->kind != M_CROSS) {
            eng_fail_msg(g, m, ERR_NOTFOUND, "the run was not started");
        } else {
            m->row = m->kind == M_START || m->kind == M_CROSS ? 0 : row;
            eng_post(g, m);
        }
    }
    take_up(g, guard, fresh, row, &e);
}

void eng_txn_answered(struct txn *t)
{
    if (t->store_answer.kind == STORE_DURABLE) {
        t->g->sick_backoff = t->answered ? 0 : t->g->sick_backoff;
        durable(t);
    } else {
        failed(t);
    }
}
