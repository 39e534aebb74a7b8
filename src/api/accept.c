/* Leaving: what the handler decided becomes one batch of statements and guards. With a run it goes
 * to the engine's start and commits with it; without one it is a batch of its own. A guard that
 * failed says which condition did not hold, and nothing was written. */
#include "api/api_internal.h"
#include "base/fault.h"
#include "base/hash.h"
#include <stdio.h>

static void guard(struct api_call *c, enum api_guard kind)
{
    c->guards.kinds[c->guards.n++] = (uint8_t)kind;
}

/* ---- what is written beside the rows ---- */
static void add_key(struct api_call *c, struct store_batch *b, int64_t now)
{
    if (!c->key.n) return;
    store_batch_guard(b,
                      "INSERT INTO api_idempotency(principal, route, key, digest, status, type, "
                      "body, at) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                      "sssbisbi", c->principal, c->route, c->key,
                      str_make(c->digest, sizeof c->digest), (int64_t)c->status, c->content_type,
                      c->body, now);
    guard(c, GUARD_KEY);
}

static void add_token(struct api_call *c, struct store_batch *b)
{
    struct str id = api_key_of(c->principal);
    if (!id.p) return;
    store_batch_guard(b, "SELECT 1 FROM api_keys WHERE id = ? AND revoked_at IS NULL", "s", id);
    guard(c, GUARD_TOKEN);
}

static void add_rate(struct api_call *c, struct store_batch *b, int64_t now)
{
    if (!c->rate.n) return;
    api_rate_add(b, c->bucket, &c->rate, now, c->tat_ns, true);
    guard(c, GUARD_RATE);
    c->rate.n = 0; /* it is counted */
}

static int add_credit(struct api_call *c, struct store_batch *b, int64_t now, struct err *e)
{
    char id[37];
    if (c->cost <= 0 || !api_counted(c->principal)) return 0;
    if (uuid_v7(c->a->entropy, now, id))
        return err_set(e, ERR_IO, "the system gives no randomness");
    c->reservation = arena_str(&c->arena, str_of(id));
    api_ledger_reserve(b, c->principal, c->reservation, c->cost, c->workflow_id, now);
    guard(c, GUARD_CREDIT);
    return 0;
}

static struct str audit_detail(struct api_call *c, const struct api_outcome *o)
{
    struct buf d;
    char hex[SHA256_HEX];
    buf_init(&d, 65536);
    buf_puts(&d, "{\"route\":");
    buf_put_json(&d, c->route);
    if (o->accept) {
        buf_puts(&d, ",\"workflow\":");
        buf_put_json(&d, o->accept->workflow);
        buf_puts(&d, ",\"entity\":");
        buf_put_json(&d, o->accept->entity);
    }
    if (c->key.n) {
        buf_puts(&d, ",\"key\":");
        buf_put_json(&d, c->key);
        hex_encode(c->digest, sizeof c->digest, hex);
        buf_printf(&d, ",\"digest\":\"%s\"", hex);
    }
    if (c->reservation.n)
        buf_printf(&d, ",\"reservation\":\"" STR_FMT "\",\"cost\":%lld", STR_ARG(c->reservation),
                   (long long)c->cost);
    buf_printf(&d, ",\"rows\":%zu}", o->n_intents);
    struct str out = arena_str(&c->arena, d.code ? STR("{}") : buf_str(&d));
    buf_free(&d);
    return out;
}

static int fill(struct api_call *c, const struct api_outcome *o, struct store_batch *b,
                struct err *e)
{
    int64_t now = api_now(c->a);
    c->guards.n = 0;
    add_key(c, b, now);
    add_token(c, b);
    add_rate(c, b, now);
    int rc = o->accept ? add_credit(c, b, now, e) : 0;
    if (rc == 0) rc = api_intents_guard(c->a, b, o->intents, o->n_intents, &c->guards, e);
    if (rc) return rc;
    if (o->accept || o->n_intents)
        api_audit_add(b, now, c->principal.n ? c->principal : STR("nobody"),
                      o->accept ? "accept" : "commit", o->accept ? c->workflow_id : c->route,
                      audit_detail(c, o));
    return 0;
}

/* ---- answers ---- */
static void done(struct api_call *c)
{
    struct api_answer x = {.status = c->status, .body = c->body, .content_type = c->content_type};
    FAULT("api.answer");
    api_call_answer(c, &x);
}

static void guard_failed(struct api_call *c, int n)
{
    enum api_guard kind =
        n >= 0 && (size_t)n < c->guards.n ? (enum api_guard)c->guards.kinds[n] : GUARD_ROW;
    switch (kind) {
    case GUARD_KEY:
        api_call_problem(c, PROBLEM_KEY_REUSED, "the idempotency key was taken meanwhile");
        break;
    case GUARD_TOKEN:
        api_call_problem(c, PROBLEM_FORBIDDEN, "the token was revoked");
        break;
    case GUARD_RATE:
        api_call_problem(c, PROBLEM_RATE_LIMITED, "more requests than the rate allows");
        break;
    case GUARD_CREDIT:
        api_call_problem(c, PROBLEM_OUT_OF_CREDIT, "%lld credits are needed", (long long)c->cost);
        break;
    case GUARD_ID:
        api_call_problem(c, PROBLEM_CONFLICT, "the workflow's id was used before");
        break;
    case GUARD_ROW:
        api_call_problem(c, PROBLEM_CONFLICT,
                         "a row is there already, is not there, has changed meanwhile, or is not "
                         "the only one with its values");
        break;
    }
}

static void failed(struct api_call *c, const struct err *e)
{
    if (e->code == ERR_EXISTS)
        api_call_problem(c, PROBLEM_CONFLICT, "%s", e->text);
    else if (e->code == ERR_NOTFOUND)
        api_call_problem(c, PROBLEM_INTERNAL, "%s", e->text);
    else if (e->code == ERR_ARG || e->code == ERR_LIMIT)
        api_call_problem(c, PROBLEM_INTERNAL, "%s", e->text);
    else
        api_call_problem(c, PROBLEM_UNAVAILABLE, "%s", e->text);
}

static void on_committed(void *ud, const struct store_answer *x)
{
    uint64_t *id = ud;
    struct api *a = *(struct api **)(id + 1);
    struct api_call *c = api_call_of(a, *id);
    mem_free(id);
    if (!c) return;
    if (x->kind == STORE_GUARD)
        guard_failed(c, x->guard);
    else if (x->kind == STORE_STORAGE)
        failed(c, &x->err);
    else
        done(c);
}

/* An id in place of the call: closing may have answered it meanwhile. */
static void *handle(struct api_call *c)
{
    uint64_t *h = mem_alloc(sizeof *h + sizeof(struct api *));
    if (!h) return NULL;
    *h = c->id;
    memcpy(h + 1, &c->a, sizeof c->a);
    return h;
}

static void commit(struct api_call *c, const struct api_outcome *o)
{
    struct err e = {0};
    struct store_batch *b = store_batch_new(c->a->store);
    void *h = b ? handle(c) : NULL;
    int rc = h ? fill(c, o, b, &e) : err_set(&e, ERR_NOMEM, "out of memory");
    if (rc) {
        store_batch_free(b);
        mem_free(h);
        failed(c, &e);
        return;
    }
    store_submit(c->a->store, b, on_committed, h);
}

/* ---- with a run ---- */
static struct str header_json(struct api_call *c, const struct api_workflow *w)
{
    char iso[TIME_ISO_MAX];
    struct buf b;
    buf_init(&b, 65536);
    time_format_iso(c->a->b->ops->now_ns(c->a->b), iso);
    buf_printf(&b, "{\"chain_start\":\"%s\",\"entry\":", iso);
    buf_put_json(&b, w->entry.p ? w->entry : STR(""));
    buf_puts(&b, ",\"principal\":");
    buf_put_json(&b, c->principal);
    buf_puts(&b, ",\"scopes\":[");
    struct str left = c->scopes;
    for (bool first = true; left.n; first = false) {
        const char *blank = memchr(left.p, ' ', left.n);
        size_t n = blank ? (size_t)(blank - left.p) : left.n;
        if (n && !first) buf_putc(&b, ',');
        if (n) buf_put_json(&b, str_make(left.p, n));
        left = blank ? str_make(left.p + n + 1, left.n - n - 1) : (struct str){NULL, 0};
    }
    buf_puts(&b, "],\"started_by\":");
    buf_put_json(&b, c->route);
    buf_putc(&b, '}');
    struct str out = arena_str(&c->arena, buf_str(&b));
    if (b.code) c->arena.failed = true;
    buf_free(&b);
    return out;
}

static struct rec *header(struct api_call *c, struct str json)
{
    struct rec *h = rec_new(&c->arena, &rec_type_header);
    struct rec *entry = rec_add(h, T(header, fields));
    rec_set_str(entry, T(header_fields_entry, key), STR("moonloop"));
    rec_set_msg(entry, T(header_fields_entry, value), payload_new(&c->arena, PAYLOAD_JSON, json));
    return h;
}

/* The outbox row is durable: the caller is answered, and the dispatcher goes to work. */
static void on_boxed(void *ud, const struct store_answer *x)
{
    uint64_t *id = ud;
    struct api *a = *(struct api **)(id + 1);
    struct api_call *c = api_call_of(a, *id);
    if (x->kind == STORE_DURABLE && c) {
        FAULT("api.boxed");
        api_outbox_send(a, c->workflow_id);
    }
    on_committed(ud, x);
}

static void on_started(void *ud, const struct backend_reply *r)
{
    uint64_t *id = ud;
    struct api *a = *(struct api **)(id + 1);
    struct api_call *c = api_call_of(a, *id);
    mem_free(id);
    if (!c) return;
    if (r->err.code == ERR_GUARD) {
        guard_failed(c, r->guard);
    } else if (r->err.code) {
        failed(c, &r->err);
    } else if (r->existing) { /* of the same request id: nothing was written now */
        api_call_problem(c, PROBLEM_CONFLICT, "the workflow has been started before");
    } else {
        FAULT("api.started");
        if (c->reservation.n) api_watch(a, c->reservation, c->workflow_id, r->run_id);
        done(c);
    }
}

static void start(struct api_call *c, const struct api_outcome *o)
{
    struct err e = {0};
    struct api_workflow w = {{0}, {0}, {0}};
    const struct api_accept *x = o->accept;
    char request[37] = "";
    c->workflow_id = arena_str(&c->arena, x->id);
    int rc = c->a->workflow(c->a->ud, x->workflow, &w, &e);
    if (rc == 0 && uuid_v7(c->a->entropy, api_now(c->a), request))
        rc = err_set(&e, ERR_IO, "the system gives no randomness");
    struct store_batch *b = rc ? NULL : store_batch_new(c->a->store);
    void *h = b ? handle(c) : NULL;
    if (!rc) rc = h ? fill(c, o, b, &e) : err_set(&e, ERR_NOMEM, "out of memory");
    struct str json = header_json(c, &w);
    if (!rc) FAULT("api.accept");
    if (!rc && c->a->outbox && !arena_failed(&c->arena)) {
        api_outbox_add(b, c, x, w.task_queue, str_of(request), json, api_now(c->a));
        guard(c, GUARD_ID);
        store_submit(c->a->store, b, on_boxed, h);
        return;
    }
    struct backend_start s = {
        .request_id = str_of(request),
        .workflow_id = c->workflow_id,
        .workflow_type = x->workflow,
        .task_queue = w.task_queue,
        .input = x->input.n ? payloads_of_json(&c->arena, x->input) : NULL,
        .header = header(c, json),
        .bundle_digest = w.digest,
        .entry = w.entry,
        .identity = str_of(c->a->identity),
        .batch = b,
        .tree = x->tree,
        .on_open = ID_CONFLICT_FAIL,
        .on_closed = ID_REUSE_REJECT,
    };
    if (!rc && arena_failed(&c->arena)) rc = err_set(&e, ERR_NOMEM, "out of memory");
    if (rc) {
        if (b) store_batch_free(b);
        mem_free(h);
        failed(c, &e);
        return;
    }
    c->a->b->ops->start(c->a->b, &s, on_started, h);
}

/* ---- leaving ---- */
static void forgot(struct api_call *c, size_t n)
{
    log_printf(c->a->log, LOG_ERROR,
               STR_FMT ": the handler has %zu intents to write and returned neither ml.accept nor "
                       "ml.commit: nothing was written",
               STR_ARG(c->route), n);
    api_call_problem(c, PROBLEM_INTERNAL,
                     "the handler returned without saying that its writes shall be kept");
}

void api_leave(struct api *a, uint64_t call, const struct api_outcome *o, api_answer_fn fn,
               void *ud)
{
    struct api_call *c = api_call_of(a, call);
    if (!c) {
        api_answer_problem(fn, ud, PROBLEM_UNAVAILABLE, 1,
                           "the call is gone: the server is stopping");
        return;
    }
    c->fn = fn;
    c->ud = ud;
    c->status = o->status;
    c->body = arena_str(&c->arena, o->body.p ? o->body : STR(""));
    c->content_type = arena_str(&c->arena, o->content_type.p ? o->content_type : STR(""));
    if (arena_failed(&c->arena))
        api_call_problem(c, PROBLEM_UNAVAILABLE, "the answer does not fit in memory");
    else if (o->accept)
        start(c, o);
    else if (o->n_intents && !o->commit)
        forgot(c, o->n_intents);
    else if (o->n_intents || c->rate.n || (c->key.n && o->status < 500))
        commit(c, o);
    else
        done(c);
}

void api_fail(struct api *a, uint64_t call, const struct api_answer *x)
{
    struct api_call *c = api_call_of(a, call);
    if (!c) return;
    struct store_batch *b = c->rate.n ? store_batch_new(a->store) : NULL;
    if (b) { /* counted, though it came to nothing */
        api_rate_add(b, c->bucket, &c->rate, api_now(a), c->tat_ns, false);
        store_submit(a->store, b, NULL, NULL);
    }
    c->fn = NULL;
    api_call_answer(c, x);
}
