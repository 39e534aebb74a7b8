/* The writer: applies one group of batches as one transaction and answers each. What it keeps true:
 *  - a batch is answered DURABLE only after COMMIT returned; either all of a batch is in the file
 * or nothing;
 *  - a failed guard undoes its own batch only; a wrong statement fails its own batch only; any
 * other failure undoes the whole group and every batch of it is answered STORAGE, in order;
 *  - after an I/O error, a failed commit or seen damage the connection is closed without a
 * checkpoint and opened again before anything else is written (what the kernel kept of a failed
 * sync cannot be trusted). Called by the writer thread, or by store_drain in unthreaded stores. It
 * touches no memory of the owner but the batches that it was handed. */
#include "base/fault.h"
#include "base/thread.h"
#include "store/store_internal.h"
#include <stdio.h>
#include <time.h>

enum { APPLIED = 0, GUARD_FAILED = -1 }; /* beside SQLite's codes, which are positive */

static const char sql_begin[] = "BEGIN IMMEDIATE";
static const char sql_commit[] = "COMMIT";
static const char sql_rollback[] = "ROLLBACK";
static const char sql_savepoint[] = "SAVEPOINT batch";
static const char sql_undo[] = "ROLLBACK TO batch";
static const char sql_release[] = "RELEASE batch";

static int run_plain(struct conn *c, const char *sql)
{
    struct cached *s;
    int rc = conn_stmt(c, sql, &s);
    if (rc) {
        return rc;
    }
    rc = sqlite3_step(s->st);
    int end = sqlite3_reset(s->st);
    return rc == SQLITE_DONE ? SQLITE_OK : end ? end : rc;
}

/* One statement. Returns APPLIED, GUARD_FAILED or an SQLite code. */
static int apply_op(struct store *s, struct store_batch *b, const struct batch_op *op,
                    const char **at, bool last)
{
    struct cached *stmt;
    int rc = conn_stmt(&s->writer, op->sql, &stmt);
    if (rc) {
        return rc;
    }
    if ((int)op->n_values != stmt->params) {
        return SQLITE_RANGE;
    }
    rc = batch_bind(stmt->st, op->n_values, at);
    if (rc) {
        return rc;
    }
    rc = sqlite3_step(stmt->st);
    bool row = rc == SQLITE_ROW;
    int64_t changes = 0;
    if ((row || rc == SQLITE_DONE) && !stmt->readonly) {
        changes = sqlite3_changes64(s->writer.db);
    }
    int end = sqlite3_reset(stmt->st);
    if (!row && rc != SQLITE_DONE) {
        rc = end ? end : rc;
        return op->guard && (rc & 0xff) == SQLITE_CONSTRAINT ? GUARD_FAILED : rc;
    }
    if (last) {
        b->changes = changes;
    }
    return op->guard && !row && changes == 0 ? GUARD_FAILED : APPLIED;
}

static int apply_batch(struct store *s, struct store_batch *b)
{
    const char *at = b->p;
    int guards = 0;
    for (uint32_t i = 0; i < b->ops; i++) {
        const struct batch_op *op = (const void *)at;
        at += sizeof *op;
        int rc = apply_op(s, b, op, &at, i + 1 == b->ops);
        if (rc == GUARD_FAILED) {
            b->guard = guards;
            b->changes = 0;
            return rc;
        }
        if (rc) {
            snprintf(b->why, sizeof b->why, "%s (in: %.100s)", sqlite3_errmsg(s->writer.db),
                     op->sql);
            if ((rc & 0xff) == SQLITE_RANGE) {
                snprintf(b->why, sizeof b->why, "%u values do not fit the statement: %.100s",
                         op->n_values, op->sql);
            }
            return rc;
        }
        guards += op->guard != 0;
        FAULT("store.append");
    }
    return APPLIED;
}

static bool is_batchs_own_fault(struct store *s, int rc)
{
    return conn_code(s->writer.db, rc) == ERR_FAILED;
}

/* Ends a transaction that failed; closes the connection when it is not to be trusted any more. */
void writer_undo(struct store *s, int rc, bool at_commit)
{
    int code = conn_code(s->writer.db, rc);
    bool reopen = code == ERR_IO || code == ERR_CORRUPT || (rc & 0xff) == SQLITE_IOERR || at_commit;
    if (!sqlite3_get_autocommit(s->writer.db) && run_plain(&s->writer, sql_rollback) != SQLITE_OK &&
        conn_exec(&s->writer, sql_rollback) != SQLITE_OK) {
        reopen = true;
    }
    if (reopen && !s->memory) {
        s->writer_suspect = s->writer_suspect || code == ERR_CORRUPT;
        sqlite3_db_config(s->writer.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        conn_close(&s->writer);
    }
}

static void answer_all(struct store_batch *group, struct store_batch *end, int code,
                       const char *why)
{
    for (struct store_batch *b = group; b != end; b = b->next) {
        b->changes = 0;
        b->guard = 0;
        batch_answer(b, STORE_STORAGE, b->code ? b->code : code,
                     b->code ? "the batch could not be built" : why);
    }
}

/* Applies the batches from `group` up to `end` in one transaction. True: answered. False: nothing
 * was applied or answered, because a statement of one of several batches is wrong. */
static bool apply_run(struct store *s, struct store_batch *group, struct store_batch *end, int n)
{
    struct conn *c = &s->writer;
    char why[240];
    const char *detail = NULL;
    bool at_commit = false;
    int applied = 0;
    FAULT("store.begin");
    int rc = run_plain(c, sql_begin);
    for (struct store_batch *b = group; b != end && !rc; b = b->next) {
        if (b->code) {
            batch_answer(b, STORE_STORAGE, b->code, "the batch could not be built");
            continue;
        }
        bool point =
            n > 1 && b->guards && b->last_guard > 0; /* a lone first guard has nothing to undo */
        rc = point ? run_plain(c, sql_savepoint) : 0;
        if (rc) {
            break;
        }
        rc = apply_batch(s, b);
        if (rc == GUARD_FAILED) {
            b->kind = STORE_GUARD;
            rc = point ? run_plain(c, sql_undo) : 0;
        } else if (rc) {
            detail = b->why;
            break;
        } else {
            b->kind = STORE_DURABLE;
            applied++;
        }
        rc = rc ? rc : point ? run_plain(c, sql_release) : 0;
    }
    if (!rc && applied == 0) {
        rc = run_plain(c, sql_rollback); /* only failed guards, or nothing to do */
        if (!rc) {
            return true;
        }
    } else if (!rc) {
        FAULT("store.commit.before");
        rc = run_plain(c, sql_commit);
        at_commit = rc != 0;
        if (!rc) {
            FAULT("store.commit.after");
            return true;
        }
    }
    int code = conn_code(c->db, rc);
    bool retry = n > 1 && is_batchs_own_fault(s, rc) && !at_commit;
    snprintf(why, sizeof why, "%s", detail ? detail : sqlite3_errmsg(c->db));
    writer_undo(s, rc, at_commit);
    if (!retry) {
        answer_all(group, end, code, why);
    }
    return retry ? false : true;
}

static bool writer_ready(struct store *s, struct err *e)
{
    if (s->writer.db) {
        return true;
    }
    if (store_open_writer(s, s->writer_suspect, e)) {
        return false;
    }
    s->writer_suspect = false;
    return true;
}

/* A run of batches that ends before `end`, on a connection that works. */
static bool try_run(struct store *s, struct store_batch *group, struct store_batch *end, int n)
{
    struct err e = {0};
    if (!writer_ready(s, &e)) {
        answer_all(group, end, e.code, e.text);
        return true;
    }
    return apply_run(s, group, end, n);
}

void writer_apply(struct store *s, struct store_batch *group)
{
    int n = 0;
    for (struct store_batch *b = group; b; b = b->next) {
        n++;
    }
    if (try_run(s, group, NULL, n)) {
        return;
    }
    for (struct store_batch *b = group; b;
         b = b->next) { /* one is wrong: each by itself, so only that one fails */
        b->why[0] = 0;
        b->guard = 0;
        b->changes = 0;
        try_run(s, b, b->next, 1);
    }
}

/* ---- the thread, and the owner in its place ----
 * Whoever takes a group has the connection until it is answered. The owner takes one only while the
 * thread waits for work, and the thread looks at the log only when it waits no more. */

static bool has_work(const struct store *s)
{
    return !s->here && (s->pending.first || s->tidy_due || s->stop);
}

/* Waits until there is work (true), it is time to stop (false), or `idle` time has passed (true,
 * with nothing queued). */
static bool wait_for_work(struct store *s, bool idle_matters)
{
    int64_t until = clock_mono(&clock_system) + STORE_IDLE_NS;
    s->watching = idle_matters;
    while (!has_work(s)) {
        struct timespec ts = {(time_t)(until / NS_PER_S), (long)(until % NS_PER_S)};
        s->sleeping = true;
        int rc = idle_matters ? pthread_cond_timedwait(&s->work, &s->lock, &ts)
                              : pthread_cond_wait(&s->work, &s->lock);
        s->sleeping = false;
        if (rc != 0 && !s->here) {
            return true;
        }
        until += rc != 0 ? STORE_IDLE_NS : 0;
    }
    return s->pending.first || !s->stop;
}

static struct queue take_group(struct store *s, int64_t *n)
{
    struct queue taken = {s->pending.first, s->pending.first};
    *n = 1;
    while (taken.last->next && *n < STORE_GROUP_MAX) {
        taken.last = taken.last->next;
        ++*n;
    }
    s->pending.first = taken.last->next;
    if (!s->pending.first) {
        s->pending.last = NULL;
    }
    taken.last->next = NULL;
    return taken;
}

/* Applies one group; the lock is held before and after, not meanwhile. Returns whether the owner
 * has not looked at all answers that came before. */
static bool commit_group(struct store *s)
{
    int64_t n;
    struct queue group = take_group(s, &n);
    pthread_mutex_unlock(&s->lock);
    int64_t before = clock_mono(&clock_system);
    writer_apply(s, group.first);
    int64_t took = clock_mono(&clock_system) - before;
    pthread_mutex_lock(&s->lock);
    bool unseen = s->done.first != NULL;
    queue_join(&s->done, &group);
    s->n_done += n;
    s->commit_ns += (took - s->commit_ns) / 8;
    return unseen;
}

static void tidy_unlocked(struct store *s, bool idle)
{
    s->tidying = true;
    pthread_mutex_unlock(&s->lock);
    writer_tidy(s, idle);
    pthread_mutex_lock(&s->lock);
    s->tidying = false;
}

static void *writer_main(void *ud)
{
    struct store *s = ud;
    pthread_mutex_lock(&s->lock);
    bool tried_idle = true;
    int64_t seen = 0;
    while (wait_for_work(s, !tried_idle)) {
        bool idle = !s->pending.first && !s->tidy_due && s->n_done == seen;
        s->tidy_due = false;
        if (s->pending.first) {
            bool unseen = commit_group(s);
            pthread_cond_signal(&s->done_cond);
            pthread_mutex_unlock(&s->lock);
            if (!unseen && s->wake) {
                s->wake(s->wake_ud);
            }
            pthread_mutex_lock(&s->lock);
        }
        tidy_unlocked(s, idle);
        tried_idle = idle || writer_log_short(s);
        seen = s->n_done;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void store_kick(struct store *s)
{
    if (!s->threaded || store_idle(s)) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    bool signal = s->pending.first && s->sleeping;
    s->sleeping = s->sleeping && !signal;
    pthread_mutex_unlock(&s->lock);
    if (signal) {
        pthread_cond_signal(&s->work);
    }
}

void store_hold(struct store *s, bool on)
{
    if (s->held && !on) {
        store_kick(s);
    }
    s->held = on && s->threaded;
}

bool store_commit(struct store *s)
{
    if (!s->held || store_idle(s)) {
        return false;
    }
    pthread_mutex_lock(&s->lock);
    bool rests = s->pending.first && s->sleeping && !s->tidying && !s->tidy_due;
    bool mine = rests && s->commit_ns < s->here_ns;
    bool signal = rests && !mine;
    if (mine) {
        s->here = true;
        commit_group(s);
        s->here = false;
        s->tidy_due = writer_log_due(s);
        signal = s->tidy_due || s->pending.first;
    }
    s->sleeping = s->sleeping && !signal;
    pthread_mutex_unlock(&s->lock);
    if (signal) {
        pthread_cond_signal(&s->work);
    }
    return mine;
}

int writer_start(struct store *s, struct err *e)
{
    int rc = thread_start(&s->thread, writer_main, s);
    if (rc) {
        return err_set(e, ERR_IO, "cannot start the writer thread: %s", strerror(rc));
    }
    s->thread_runs = true;
    return 0;
}

void writer_stop(struct store *s)
{
    if (!s->thread_runs) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->thread_runs = false;
}
