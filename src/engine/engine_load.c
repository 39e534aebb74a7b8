/* A run's mutable state from its rows: the run row, its last history row, its pending rows. Reads
 * committed state only, which is all there is: a run whose transition is not answered is in memory.
 */
#include "engine/engine_internal.h"

static const char sql_run[] = "SELECT workflow_id, run_id, type, status, blocked, queue, tree, "
                              "parent_id, parent_run_id, parent_initiated, first_run_id,"
                              " bundle, entry, input_digest, request_id, cron, attempt, "
                              "started_at, closed_at, cancel_requested, memo, search"
                              " FROM runs WHERE run = ?";
static const char sql_last[] =
    "SELECT first, n, bytes, sched, started, done, attempt, waits, unread FROM "
    "history WHERE run = ? ORDER BY first DESC LIMIT 1";
static const char sql_pending[] = "SELECT kind, id, name, type, queue, extra, state, attempt, "
                                  "epoch, due, at, first_at, cancel, failure, details"
                                  " FROM pending WHERE run = ? ORDER BY kind, id";
static const char sql_events[] =
    "SELECT events FROM history WHERE run = ? AND first <= ? ORDER BY first DESC LIMIT 1";

static void copy_text(char *to, size_t size, struct str s)
{
    size_t n = s.n < size - 1 ? s.n : size - 1;
    if (n) {
        memcpy(to, s.p, n);
    }
    to[n] = 0;
}

static int load_run_row(struct engine *g, int64_t row, struct run **out, struct err *e)
{
    struct store_read *q = NULL;
    int rc = store_read_open(g->store, &q, e, sql_run, "i", row);
    if (rc) {
        return rc;
    }
    rc = store_read_next(q);
    if (rc <= 0) {
        store_read_close(q);
        return rc ? err_set(e, rc, "cannot read run %lld", (long long)row)
                  : err_set(e, ERR_NOTFOUND, "no such run");
    }
    struct run *r = eng_run_new(g, row, store_read_str(q, 0), store_read_str(q, 1));
    rc = r ? 0 : ERR_NOMEM;
    if (r) {
        struct arena *a = &r->arena;
        struct str blocked = store_read_str(q, 4);
        r->type = arena_str(a, store_read_str(q, 2));
        r->status = (int)store_read_i64(q, 3);
        r->blocked = blocked.p ? str_dup(blocked) : NULL;
        r->queue = arena_str(a, store_read_str(q, 5));
        r->tree = arena_str(a, store_read_str(q, 6));
        r->parent_id = arena_str(a, store_read_str(q, 7));
        r->parent_run_id = arena_str(a, store_read_str(q, 8));
        r->parent_initiated = store_read_i64(q, 9);
        r->first_run_id = arena_str(a, store_read_str(q, 10));
        copy_text(r->bundle, sizeof r->bundle, store_read_str(q, 11));
        r->entry = arena_str(a, store_read_str(q, 12));
        copy_text(r->input_digest, sizeof r->input_digest, store_read_str(q, 13));
        r->request_id = arena_str(a, store_read_str(q, 14));
        r->cron = arena_str(a, store_read_str(q, 15));
        r->attempt_of_run = (int)store_read_i64(q, 16);
        r->started_at = store_read_i64(q, 17);
        r->closed_at = store_read_i64(q, 18);
        r->cancel_requested = store_read_i64(q, 19);
        bool ok = eng_bytes_set(&r->memo, store_read_str(q, 20)) &&
                  eng_bytes_set(&r->search, store_read_str(q, 21));
        if (!ok || arena_failed(a) || (blocked.p && !r->blocked)) {
            rc = ERR_NOMEM;
        }
    }
    store_read_close(q);
    if (rc) {
        eng_run_free(r);
        return err_set(e, rc, "out of memory");
    }
    *out = r;
    return 0;
}

static int load_last(struct run *r, struct err *e)
{
    struct store_read *q = NULL;
    int rc = store_read_open(r->g->store, &q, e, sql_last, "i", r->row);
    if (rc) {
        return rc;
    }
    rc = store_read_next(q);
    if (rc == 1) {
        r->next_id = store_read_i64(q, 0) + store_read_i64(q, 1);
        r->bytes = store_read_i64(q, 2);
        r->sched = store_read_i64(q, 3);
        r->started = store_read_i64(q, 4);
        r->done = store_read_i64(q, 5);
        r->wft_attempt = (int)store_read_i64(q, 6);
        struct str waits = store_read_str(q, 7);
        r->waits = waits.p ? str_dup(waits) : NULL;
        r->unread = store_read_i64(q, 8);
        r->recent_first = r->next_id;
    }
    store_read_close(q);
    return rc < 0 ? err_set(e, rc, "cannot read the history of %.*s", STR_ARG(r->workflow_id)) : 0;
}

static int load_pending_row(struct run *r, struct store_read *q, struct err *e)
{
    struct pend *p = eng_pend_new(r, (int)store_read_i64(q, 0), store_read_i64(q, 1));
    if (!p) {
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    struct arena *a = &p->arena;
    p->name = arena_str(a, store_read_str(q, 2));
    p->type = arena_str(a, store_read_str(q, 3));
    p->queue = arena_str(a, store_read_str(q, 4));
    p->extra = arena_str(a, store_read_str(q, 5));
    p->state = (int)store_read_i64(q, 6);
    p->attempt = (int)store_read_i64(q, 7);
    p->epoch = store_read_i64(q, 8);
    p->due = store_read_i64(q, 9);
    p->at = store_read_i64(q, 10);
    p->first_at = store_read_i64(q, 11);
    p->cancel_id = store_read_i64(q, 12);
    p->stored = true;
    if (!eng_bytes_set(&p->failure, store_read_str(q, 13)) ||
        !eng_bytes_set(&p->details, store_read_str(q, 14))) {
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    if (p->kind == PEND_BUFFERED) {
        struct str blob = arena_str(a, eng_bytes(&p->details));
        int rc = rec_decode(a, &rec_type_history_event, blob, &p->event, e);
        if (rc) {
            return rc;
        }
        r->n_buffered++;
        r->unread_buffered += event_type(p->event) == EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED;
        if (p->id >= r->next_buffered) {
            r->next_buffered = p->id + 1;
        }
    }
    return arena_failed(a) ? err_set(e, ERR_NOMEM, "out of memory") : 0;
}

static int load_pending(struct run *r, struct err *e)
{
    struct store_read *q = NULL;
    int rc = store_read_open(r->g->store, &q, e, sql_pending, "i", r->row);
    if (rc) {
        return rc;
    }
    while ((rc = store_read_next(q)) == 1) {
        rc = load_pending_row(r, q, e);
        if (rc) {
            break;
        }
    }
    store_read_close(q);
    return rc;
}

/* The stored event `id` of a run, in the caller's arena, payloads kept by reference as they are. */
int eng_event_load(struct engine *g, int64_t row, int64_t id, struct arena *a, struct rec **out,
                   struct err *e)
{
    struct store_read *q = NULL;
    int rc = store_read_open(g->store, &q, e, sql_events, "ii", row, id);
    if (rc) {
        return rc;
    }
    rc = store_read_next(q);
    struct str blob = rc == 1 ? arena_str(a, store_read_str(q, 0)) : (struct str){NULL, 0};
    store_read_close(q);
    if (rc < 0) {
        return err_set(e, rc, "cannot read event %lld", (long long)id);
    }
    struct rec **events = NULL;
    size_t n = 0;
    rc = rc == 1 ? history_blob_decode(a, blob, &events, &n, e) : 0;
    if (rc) {
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        if (event_id(events[i]) == id) {
            *out = events[i];
            return 0;
        }
    }
    return err_set(e, ERR_CORRUPT, "event %lld of run %lld is missing from the file", (long long)id,
                   (long long)row);
}

/* Attributes of what is pending come from the events that made it. */
static int load_attrs(struct run *r, struct err *e)
{
    for (struct map_entry *m = r->pends.first; m; m = m->next) {
        struct pend *p = m->value;
        if (p->kind != PEND_ACTIVITY) {
            continue;
        }
        struct rec *ev = NULL;
        int rc = eng_event_load(r->g, r->row, p->id, &p->arena, &ev, e);
        if (rc) {
            return rc;
        }
        p->attrs = (struct rec *)event_attrs(ev);
    }
    return 0;
}

/* Attributes of WorkflowExecutionStarted, payloads by reference; in memory when the run is so
 * young. */
int eng_started_attrs(struct run *r, struct arena *a, struct rec **out, struct err *e)
{
    const struct chunk *c = r->txn && r->fresh ? r->txn->chunk : r->chunks;
    if (c && c->n && event_id(c->events[0]) == 1) {
        *out = (struct rec *)event_attrs(c->events[0]);
        return 0;
    }
    struct rec *ev = NULL;
    int rc = eng_event_load(r->g, r->row, 1, a, &ev, e);
    if (rc == 0) {
        *out = (struct rec *)event_attrs(ev);
    }
    return rc;
}

/* Makes sure that the events after the last completed task are in memory (r->chunks). */
int eng_run_recent(struct run *r, struct err *e)
{
    int64_t want = r->done + 1;
    if (r->recent_first <= want || r->next_id == want) {
        return 0;
    }
    struct chunk *c = mem_zalloc(sizeof *c);
    if (!c) {
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    arena_init(&c->arena, 0);
    struct store_read *q = NULL;
    int rc = store_read_open(r->g->store, &q, e,
                             "SELECT events FROM history WHERE run = ?1 AND first + n > ?2 AND "
                             "first < ?3 ORDER BY first",
                             "iii", r->row, want, r->recent_first);
    while (rc == 0 && (rc = store_read_next(q)) == 1) {
        struct rec **events = NULL;
        size_t n = 0;
        rc = history_blob_decode(&c->arena, arena_str(&c->arena, store_read_str(q, 0)), &events, &n,
                                 e);
        struct rec **all = rc == 0 ? mem_realloc(c->events, (c->n + n + 1) * sizeof *all) : NULL;
        if (!all) {
            rc = rc ? rc : err_set(e, ERR_NOMEM, "out of memory");
            break;
        }
        c->events = all;
        for (size_t i = 0; i < n; i++) {
            if (event_id(events[i]) >= want && event_id(events[i]) < r->recent_first) {
                c->events[c->n++] = events[i];
            }
        }
    }
    store_read_close(q);
    if (rc == 0 && arena_failed(&c->arena)) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
    }
    if (rc || !c->n) {
        eng_chunk_free(c);
        return rc;
    }
    c->next = r->chunks;
    r->chunks = c;
    r->chunks_last = r->chunks_last ? r->chunks_last : c;
    r->recent_first = event_id(c->events[0]);
    return 0;
}

/* The run of a row, loaded when it is not in memory. */
int eng_run_by_row(struct engine *g, int64_t row, struct run **out, struct err *e)
{
    struct run *r = map_get(&g->runs, map_i64(&row));
    if (r) {
        eng_run_touch(g, r);
        *out = r;
        return 0;
    }
    unsigned long refused = mem_refused();
    int rc = load_run_row(g, row, &r, e);
    if (rc) {
        return refused != mem_refused() ? err_set(e, ERR_NOMEM, "out of memory") : rc;
    }
    rc = load_last(r, e);
    rc = rc ? rc : load_pending(r, e);
    rc = rc ? rc : load_attrs(r, e);
    if (refused != mem_refused()) { /* whatever it looked like */
        rc = err_set(e, ERR_NOMEM, "out of memory");
    }
    rc = rc ? rc : eng_run_enter(g, r);
    if (rc) {
        eng_run_free(r);
        return rc;
    }
    eng_run_arm(r, true);
    *out = r;
    return 0;
}

static int find_row(struct engine *g, const char *sql, struct str key, int64_t *row, struct err *e)
{
    struct store_read *q = NULL;
    int rc = store_read_open(g->store, &q, e, sql, "s", key);
    if (rc) {
        return rc;
    }
    rc = store_read_next(q);
    if (rc == 1) {
        *row = store_read_i64(q, 0);
    }
    store_read_close(q);
    return rc == 1  ? 0
           : rc < 0 ? err_set(e, rc, "cannot read the file")
                    : err_set(e, ERR_NOTFOUND, "no run %.*s", STR_ARG(key));
}

int eng_run_by_id(struct engine *g, struct str run_id, struct run **out, struct err *e)
{
    struct run *r = map_get(&g->by_run_id, run_id);
    if (r) {
        eng_run_touch(g, r);
        *out = r;
        return 0;
    }
    int64_t row = 0;
    int rc = find_row(g, "SELECT run FROM runs WHERE run_id = ?", run_id, &row, e);
    return rc ? rc : eng_run_by_row(g, row, out, e);
}

/* The newest run of a workflow id. */
int eng_run_current(struct engine *g, struct str workflow_id, struct run **out, struct err *e)
{
    struct run *r = map_get(&g->by_wid, workflow_id);
    if (r && (r->status == RUN_RUNNING || r->txn)) {
        eng_run_touch(g, r);
        *out = r;
        return 0;
    }
    int64_t row = 0;
    int rc = find_row(g, "SELECT run FROM runs WHERE workflow_id = ? ORDER BY run DESC LIMIT 1",
                      workflow_id, &row, e);
    if (rc == ERR_NOTFOUND) {
        err_set(e, ERR_NOTFOUND, "no workflow with the id \"%.*s\"", STR_ARG(workflow_id));
    }
    return rc ? rc : eng_run_by_row(g, row, out, e);
}
