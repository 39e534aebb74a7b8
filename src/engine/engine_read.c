/* Requests that only look: history by pages, describe, list, count, and results (which may wait for
 * the end of a chain); and the deletion of a run. JSON is made here, when somebody looks. */
#include "engine/engine_internal.h"

#define PAGE_ROWS 256
#define PAGE_BYTES (4 << 20)
#define JSON_MAX ((size_t)64 << 20)

static void read_reply(struct msg *m, struct backend_reply *reply)
{
    struct backend_reply none = {.guard = -1};
    reply->guard = -1;
    if (m->refused != mem_refused()) { /* it may lack something, or look damaged */
        err_set(&none.err, ERR_NOMEM, "out of memory");
        reply = &none;
    }
    m->reply(m->ud, reply);
    eng_msg_free(m);
}

static int find(struct engine *g, struct msg *m, struct run **r, struct err *e)
{
    return m->run_id.n ? eng_run_by_id(g, m->run_id, r, e)
                       : eng_run_current(g, m->workflow_id, r, e);
}

/* ---- history ---- */
struct page {
    struct rec **events;
    size_t n, cap;
    int64_t last, bytes;
};

static int page_add(struct page *p, struct arena *a, struct rec *ev)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 64;
        struct rec **all = arena_alloc(a, cap * sizeof *all);
        if (!all) {
            return ERR_NOMEM;
        }
        if (p->n) {
            memcpy(all, p->events, p->n * sizeof *all);
        }
        p->events = all;
        p->cap = cap;
    }
    p->events[p->n++] = ev;
    p->last = event_id(ev);
    return 0;
}

static int stored_events(struct engine *g, struct run *r, struct msg *m, struct page *p, bool *more,
                         struct err *e)
{
    struct store_read *q = NULL;
    int64_t rows = 0;
    int rc =
        store_read_open(g->store, &q, e,
                        "SELECT events FROM history WHERE run = ? AND first + n > ? ORDER BY first",
                        "ii", r->row, p->last + 1);
    while (rc == 0 && (rc = store_read_next(q)) == 1) {
        if (rows++ == PAGE_ROWS || p->bytes > PAGE_BYTES) {
            *more = true;
            break;
        }
        struct rec **events = NULL;
        size_t n = 0;
        struct str blob = arena_str(&m->arena, store_read_str(q, 0));
        p->bytes += (int64_t)blob.n;
        rc = history_blob_decode(&m->arena, blob, &events, &n, e);
        for (size_t i = 0; i < n && !rc; i++) {
            if (event_id(events[i]) > p->last) {
                rc = eng_resolve_event(g, &m->arena, events[i], m->flag, e);
                rc = rc ? rc : page_add(p, &m->arena, events[i]);
            }
        }
    }
    store_read_close(q);
    return rc < 0 ? (e->code ? rc : err_set(e, rc, "the history could not be read")) : 0;
}

/* A worker that has the run's task sees also what is committed together with its answer. */
static int open_events(struct run *r, struct msg *m, struct page *p)
{
    const struct chunk *c = r->wft_out && r->txn ? r->txn->chunk : NULL;
    for (size_t i = 0; c && i < c->n; i++) {
        int64_t id = event_id(c->events[i]);
        if (id > p->last && id <= r->started &&
            page_add(p, &m->arena, rec_clone(&m->arena, c->events[i]))) {
            return ERR_NOMEM;
        }
    }
    return 0;
}

static void read_history(struct engine *g, struct msg *m)
{
    struct backend_reply reply = {0};
    struct run *r = NULL;
    struct page p = {0};
    bool more = false;
    int rc = find(g, m, &r, &reply.err);
    for (size_t i = 0; i < m->page.n; i++) {
        p.last = p.last * 10 + (m->page.p[i] - '0');
    }
    rc = rc ? rc : stored_events(g, r, m, &p, &more, &reply.err);
    if (!rc && !more && open_events(r, m, &p)) {
        err_set(&reply.err, ERR_NOMEM, "out of memory");
    }
    if (!rc && arena_failed(&m->arena)) {
        err_set(&reply.err, ERR_NOMEM, "out of memory");
    }
    if (!reply.err.code) {
        reply.run_id = r->run_id;
        reply.status = (enum backend_run_status)r->status;
        reply.events = p.events;
        reply.n_events = p.n;
        reply.arena = &m->arena;
        reply.next_page =
            more ? arena_printf(&m->arena, "%lld", (long long)p.last) : (struct str){NULL, 0};
    }
    read_reply(m, &reply);
}

/* ---- JSON ---- */
static void put_key(struct buf *b, const char *key, struct str value)
{
    buf_printf(b, ",\"%s\":", key);
    buf_put_json(b, value.p ? value : STR(""));
}

static void put_time(struct buf *b, const char *key, int64_t ns)
{
    char iso[TIME_ISO_MAX];
    if (ns) {
        time_format_iso(ns, iso);
        put_key(b, key, str_of(iso));
    }
}

static const char *const pend_names[] = {"",
                                         "activity",
                                         "timer",
                                         "child",
                                         "signalExternal",
                                         "cancelExternal",
                                         "bufferedEvent",
                                         "update",
                                         "",
                                         "runTimeout",
                                         "startDelay"};
static const char *const attempt_names[] = {"waiting", "running", "backoff", "async"};

/* Rows of what is pending, as the engine knows it; notes the first thing that no worker serves. */
static void put_pending(struct engine *g, int64_t row, struct buf *b, struct buf *unserved)
{
    struct store_read *q = NULL;
    bool first = true;
    buf_puts(b, ",\"open\":[");
    if (store_read_open(g->store, &q, NULL,
                        "SELECT kind, id, name, type, queue, state, attempt, due, failure FROM "
                        "pending WHERE run = ? AND kind <> 8"
                        " ORDER BY kind, id LIMIT 200",
                        "i", row) == 0) {
        while (store_read_next(q) == 1) {
            int64_t kind = store_read_i64(q, 0), state = store_read_i64(q, 5);
            buf_printf(
                b,
                first ? "{\"kind\":\"%s\",\"eventId\":%lld" : ",{\"kind\":\"%s\",\"eventId\":%lld",
                kind > 0 && kind < 11 ? pend_names[kind] : "", (long long)store_read_i64(q, 1));
            first = false;
            if (store_read_str(q, 2).n) {
                put_key(b, "id", store_read_str(q, 2));
            }
            if (store_read_str(q, 3).n) {
                put_key(b, "type", store_read_str(q, 3));
            }
            if (kind == PEND_ACTIVITY) {
                struct str type = store_read_str(q, 3), queue = store_read_str(q, 4),
                           blob = store_read_str(q, 8);
                put_key(b, "queue", queue);
                put_key(b, "state", str_of(attempt_names[state & 3]));
                buf_printf(b, ",\"attempt\":%lld", (long long)store_read_i64(q, 6));
                if (state == AT_WAITING && g->has_sink && !eng_serves(g, queue, type, true) &&
                    !unserved->n) {
                    buf_printf(unserved, "no worker serves activity type %.*s on queue %.*s",
                               STR_ARG(type), STR_ARG(queue));
                }
                struct arena a;
                struct rec *f = NULL;
                arena_init(&a, 0);
                if (blob.n && rec_decode(&a, &rec_type_failure, blob, &f, NULL) == 0) {
                    put_key(b, "lastFailure", rec_str(f, T(failure, message)));
                }
                arena_free(&a);
            }
            put_time(b, "due", store_read_i64(q, 7));
            buf_putc(b, '}');
        }
    }
    store_read_close(q);
    buf_putc(b, ']');
}

#define SELECT_RUN                                                                                 \
    "SELECT r.run, r.workflow_id, r.run_id, r.type, r.status, r.queue, r.started_at, "             \
    "r.closed_at, r.blocked,"                                                                      \
    " h.first + h.n - 1, h.waits, h.sched, h.started, r.entry, r.tree, r.bundle, r.parent_id, "    \
    "r.parent_run_id,"                                                                             \
    " r.first_run_id, h.bytes, r.input_digest FROM runs r LEFT JOIN history h ON h.run = r.run"    \
    " AND h.first = (SELECT max(first) FROM history x WHERE x.run = r.run)"

static void put_run(struct engine *g, struct store_read *q, struct buf *b)
{
    int64_t row = store_read_i64(q, 0), status = store_read_i64(q, 4);
    struct str type = store_read_str(q, 3), queue = store_read_str(q, 5),
               blocked = store_read_str(q, 8), waits = store_read_str(q, 10);
    struct buf unserved;
    buf_init(&unserved, 8192);
    buf_puts(b, "{\"workflowId\":");
    buf_put_json(b, store_read_str(q, 1));
    put_key(b, "runId", store_read_str(q, 2));
    put_key(b, "type", type);
    put_key(b, "status", str_of(outcome_status_name((int)status)));
    put_key(b, "taskQueue", queue);
    put_time(b, "startTime", store_read_i64(q, 6));
    put_time(b, "closeTime", store_read_i64(q, 7));
    buf_printf(b, ",\"historyLength\":%lld,\"historyBytes\":%lld", (long long)store_read_i64(q, 9),
               (long long)store_read_i64(q, 19));
    put_key(b, "entry", store_read_str(q, 13));
    put_key(b, "tree", store_read_str(q, 14));
    put_key(b, "firstRunId", store_read_str(q, 18));
    put_key(b, "inputDigest", store_read_str(q, 20));
    if (store_read_str(q, 15).n) {
        put_key(b, "bundle", store_read_str(q, 15));
    }
    if (store_read_str(q, 16).n) {
        put_key(b, "parentId", store_read_str(q, 16));
        put_key(b, "parentRunId", store_read_str(q, 17));
    }
    buf_puts(b, ",\"pending\":");
    buf_putstr(b, waits.n && waits.p[0] == '[' ? waits : STR("[]"));
    if (blocked.p) {
        buf_puts(b, ",\"blocked\":true");
        put_key(b, "blockedReason", blocked);
    }
    if (status == RUN_RUNNING) {
        put_pending(g, row, b, &unserved);
        if (store_read_i64(q, 11) && !store_read_i64(q, 12) && g->has_sink &&
            !eng_serves(g, queue, type, false)) {
            buf_reset(&unserved);
            buf_printf(&unserved, "no worker serves workflow type %.*s on queue %.*s",
                       STR_ARG(type), STR_ARG(queue));
        }
        if (unserved.n) {
            put_key(b, "waitsFor", buf_str(&unserved));
        }
    }
    buf_putc(b, '}');
    buf_free(&unserved);
}

static void read_describe(struct engine *g, struct msg *m)
{
    struct backend_reply reply = {0};
    struct run *r = NULL;
    struct buf b;
    buf_init(&b, JSON_MAX);
    struct store_read *q = NULL;
    if (find(g, m, &r, &reply.err) == 0) {
        reply.run_id = r->run_id;
        reply.status = (enum backend_run_status)r->status;
        int rc =
            store_read_open(g->store, &q, &reply.err, SELECT_RUN " WHERE r.run = ?", "i", r->row);
        rc = rc ? rc : store_read_next(q);
        if (rc == 1) {
            put_run(g, q, &b);
            reply.json = buf_str(&b);
        } else if (!reply.err.code) {
            err_set(&reply.err, rc ? rc : ERR_NOTFOUND, "the run could not be read");
        }
        store_read_close(q);
    }
    read_reply(m, &reply);
    buf_free(&b);
}

/* One member of a flat JSON object, as text without quotes; absent when it is not there. Escapes
 * are not undone: ids, types and names of states have none. */
static struct str member(struct str json, const char *key)
{
    struct str k = str_of(key);
    for (size_t i = 0; i + k.n + 2 < json.n; i++) {
        if (json.p[i] != '"' || json.p[i + k.n + 1] != '"' ||
            memcmp(json.p + i + 1, k.p, k.n) != 0) {
            continue;
        }
        size_t at = i + k.n + 2;
        while (at < json.n && (json.p[at] == ' ' || json.p[at] == '\n' || json.p[at] == '\t')) {
            at++;
        }
        if (at >= json.n || json.p[at] != ':') {
            continue;
        }
        for (at++;
             at < json.n && (json.p[at] == ' ' || json.p[at] == '\n' || json.p[at] == '\t');) {
            at++;
        }
        bool quoted = at < json.n && json.p[at] == '"';
        size_t from = at + quoted, end = from;
        while (end < json.n &&
               (quoted ? json.p[end] != '"'
                       : json.p[end] != ',' && json.p[end] != '}' && json.p[end] != ' ')) {
            end++;
        }
        return str_eqz(str_make(json.p + from, end - from), "null") && !quoted
                   ? (struct str){NULL, 0}
                   : str_make(json.p + from, end - from);
    }
    return (struct str){NULL, 0};
}

struct filter {
    int64_t status, blocked, limit, before;
    struct str type, prefix;
};

static int parse_filter(struct str json, struct filter *f, struct err *e)
{
    *f = (struct filter){.limit = 1000, .before = INT64_MAX};
    struct str status = member(json, "status"), limit = member(json, "limit"),
               page = member(json, "page");
    f->type = member(json, "type");
    f->prefix = member(json, "id_prefix");
    if (str_eqz(status, "blocked") || str_eqz(status, "Blocked")) {
        f->status = RUN_RUNNING;
        f->blocked = 1;
    } else if (str_eqz(status, "open")) {
        f->status = RUN_RUNNING;
    } else if (status.n) {
        for (int i = 1; i < 8; i++) {
            const char *name = outcome_status_name(i);
            f->status = strlen(name) == status.n && strncasecmp(name, status.p, status.n) == 0
                            ? i
                            : f->status;
        }
        if (!f->status) {
            return err_set(e, ERR_ARG,
                           "\"%.*s\" is no status: Running, Completed, Failed, Canceled, "
                           "Terminated, ContinuedAsNew, TimedOut or blocked",
                           STR_ARG(status));
        }
    }
    if (limit.n) {
        f->limit = strtoll(limit.p, NULL, 10);
        f->limit = f->limit < 1 || f->limit > 10000 ? 1000 : f->limit;
    }
    if (page.n) {
        f->before = strtoll(page.p, NULL, 10);
    }
    return 0;
}

#define WHERE_FILTER                                                                               \
    " WHERE (?1 = 0 OR r.status = ?1) AND (?2 = 0 OR r.blocked IS NOT NULL) AND (?3 IS NULL OR "   \
    "r.type = ?3)"                                                                                 \
    " AND (?4 IS NULL OR substr(r.workflow_id, 1, length(?4)) = ?4) AND r.run < ?5"

static void read_list(struct engine *g, struct msg *m)
{
    static const char sql[] = SELECT_RUN WHERE_FILTER " ORDER BY r.run DESC LIMIT ?6";
    struct backend_reply reply = {0};
    struct filter f;
    struct store_read *q = NULL;
    struct buf b;
    buf_init(&b, JSON_MAX);
    int rc = parse_filter(m->text, &f, &reply.err);
    rc = rc ? rc
            : store_read_open(g->store, &q, &reply.err, sql, "iissii", f.status, f.blocked, f.type,
                              f.prefix, f.before, f.limit + 1);
    int64_t n = 0, last = 0;
    buf_putc(&b, '[');
    while (rc == 0 && (rc = store_read_next(q)) == 1) {
        rc = 0;
        if (n++ == f.limit) {
            reply.next_page = arena_printf(&m->arena, "%lld", (long long)last);
            break;
        }
        last = store_read_i64(q, 0);
        if (n > 1) {
            buf_putc(&b, ',');
        }
        put_run(g, q, &b);
    }
    store_read_close(q);
    buf_putc(&b, ']');
    if (rc < 0 && !reply.err.code) {
        err_set(&reply.err, rc, "the file could not be read");
    } else if (b.code && !reply.err.code) {
        err_set(&reply.err, b.code, "the list is too long: use a limit");
    }
    reply.json = buf_str(&b);
    read_reply(m, &reply);
    buf_free(&b);
}

static void read_count(struct engine *g, struct msg *m)
{
    struct backend_reply reply = {0};
    struct filter f;
    struct store_read *q = NULL;
    struct buf b;
    buf_init(&b, 4096);
    int rc = parse_filter(m->text, &f, &reply.err);
    rc = rc ? rc
            : store_read_open(g->store, &q, &reply.err,
                              "SELECT r.status, count(*), count(r.blocked) FROM runs r" WHERE_FILTER
                              " GROUP BY 1 ORDER BY 1",
                              "iissi", f.status, f.blocked, f.type, f.prefix, INT64_MAX);
    int64_t total = 0, blocked = 0;
    buf_puts(&b, "{\"byStatus\":{");
    while (rc == 0 && (rc = store_read_next(q)) == 1) {
        rc = 0;
        int64_t status = store_read_i64(q, 0);
        buf_printf(&b, total ? ",\"%s\":%lld" : "\"%s\":%lld", outcome_status_name((int)status),
                   (long long)store_read_i64(q, 1));
        total += store_read_i64(q, 1);
        blocked += store_read_i64(q, 2);
    }
    store_read_close(q);
    buf_printf(&b, "},\"blocked\":%lld,\"count\":%lld}", (long long)blocked, (long long)total);
    if (rc < 0 && !reply.err.code) {
        err_set(&reply.err, rc, "the file could not be read");
    }
    reply.json = buf_str(&b);
    read_reply(m, &reply);
    buf_free(&b);
}

/* ---- results ---- */
/* Whether the end of the run is not durable yet. Later transitions of a closed run (answers to what
 * it sent) do not make it open again. */
static bool closing(const struct run *r)
{
    for (const struct effect *f = r->txn ? r->txn->fx_first : NULL; f; f = f->next) {
        if (f->kind == FX_CLOSED) {
            return true;
        }
    }
    return false;
}

/* How the chain that begins with m's run ended; 1: it is open (its current run in *r). */
static int chain_end(struct engine *g, struct run **r, struct arena *a, struct backend_reply *reply)
{
    for (int hops = 0; hops < 100000; hops++) {
        if ((*r)->txn &&
            (*r)->txn->failed) { /* what it says of itself is about to be thrown away */
            return err_set(&reply->err, ERR_NOMEM, "out of memory");
        }
        if ((*r)->status == RUN_RUNNING || closing(*r)) {
            return 1;
        }
        struct rec *ev = NULL;
        int rc = eng_event_load(g, (*r)->row, (*r)->next_id - 1, a, &ev, &reply->err);
        if (rc) {
            return rc;
        }
        struct str next = outcome_next_run(ev);
        if (!next.n) {
            rc = eng_resolve_event(g, a, ev, true, &reply->err);
            outcome_read(a, ev, &reply->result, &reply->failure);
            reply->run_id = (*r)->run_id;
            reply->status = (enum backend_run_status)(*r)->status;
            return rc;
        }
        rc = eng_run_by_id(g, next, r, &reply->err);
        if (rc) {
            return rc;
        }
    }
    return err_set(&reply->err, ERR_LIMIT, "the chain of runs is too long");
}

static bool wait_for(struct engine *g, struct run *r, backend_reply_fn fn, void *ud)
{
    struct result_waiter *w = mem_zalloc(sizeof *w);
    char *id = w ? str_dup(r->run_id) : NULL;
    if (!id) {
        mem_free(w);
        return false;
    }
    *w = (struct result_waiter){g->waiters, str_of(id), fn, ud};
    g->waiters = w;
    return true;
}

static void read_result(struct engine *g, struct msg *m)
{
    struct backend_reply reply = {0};
    struct run *r = NULL;
    int rc = find(g, m, &r, &reply.err);
    rc = rc ? rc : chain_end(g, &r, &m->arena, &reply);
    if (rc == 1 && m->flag) {
        if (wait_for(g, r, m->reply, m->ud)) {
            eng_msg_free(m);
            return;
        }
        err_set(&reply.err, ERR_NOMEM, "out of memory");
    } else if (rc == 1) {
        reply.run_id = r->run_id;
        reply.status = RUN_RUNNING;
    }
    read_reply(m, &reply);
}

/* A run's end is durable: who waits for it is told, or waits for the next of its chain. */
void eng_waiters_closed(struct engine *g, struct run *r)
{
    for (struct result_waiter **at = &g->waiters; *at;) {
        struct result_waiter *w = *at;
        if (!str_eq(w->run_id, r->run_id)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        struct msg *m = eng_msg(g, M_READ); /* looked at in the engine's turn */
        if (m) {
            m->sub = READ_RESULT;
            m->flag = true;
            m->workflow_id = arena_str(&m->arena, r->workflow_id);
            m->run_id = arena_str(&m->arena, r->run_id);
            m->reply = w->fn;
            m->ud = w->ud;
        }
        if (m && !arena_failed(&m->arena)) {
            eng_post(g, m);
        } else {
            struct backend_reply reply = {.guard = -1};
            eng_msg_free(m);
            err_set(&reply.err, ERR_NOMEM, "out of memory");
            w->fn(w->ud, &reply);
        }
        mem_free((void *)(uintptr_t)w->run_id.p);
        mem_free(w);
    }
}

void eng_waiters_free(struct engine *g)
{
    while (g->waiters) {
        struct result_waiter *w = g->waiters;
        g->waiters = w->next;
        struct backend_reply reply = {.guard = -1};
        err_set(&reply.err, ERR_CLOSED, "the engine is closing");
        w->fn(w->ud, &reply);
        mem_free((void *)(uintptr_t)w->run_id.p);
        mem_free(w);
    }
}

void eng_read(struct engine *g, struct msg *m)
{
    m->refused = mem_refused();
    switch (m->sub) {
    case READ_HISTORY:
        read_history(g, m);
        break;
    case READ_DESCRIBE:
        read_describe(g, m);
        break;
    case READ_LIST:
        read_list(g, m);
        break;
    case READ_COUNT:
        read_count(g, m);
        break;
    default:
        read_result(g, m);
        break;
    }
}

/* ---- deletion ---- */
void eng_delete(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    int64_t row = r->row;
    for (struct map_entry *e = r->pends.first; e; e = e->next) {
        struct pend *p = e->value;
        if (p->kind == PEND_ACTIVITY) {
            eng_activity_gone(t, p, BACKEND_CANCEL_GONE);
        }
    }
    eng_task_over(t);
    eng_updates_closed(t);
    STMT(t, "DELETE FROM pending WHERE run = ?", "i", row);
    STMT(t, "DELETE FROM requests WHERE run = ?", "i", row);
    STMT(t, "DELETE FROM history WHERE run = ?", "i", row);
    STMT(t, "DELETE FROM runs WHERE run = ?", "i", row);
    t->chunk->n = 0;
    t->run_dirty = false;
    r->fresh = false;
    while (r->pends.first) {
        eng_pend_drop(r, r->pends.first->value);
    }
    r->n_buffered = 0;
    r->want_wft = false;
    r->status = RUN_TERMINATED;
    r->gone = true;
    if (r->txn == t && r->queries) {
        eng_queries_fail(r, ERR_NOTFOUND, "the run was deleted");
    }
    struct effect *f = eng_reply(t, m, 0, "");
    f->reply.run_id = r->run_id;
    if (t->g->has_sink && t->g->sink.on_run_closed) {
        eng_effect(t, FX_CLOSED);
    }
}
