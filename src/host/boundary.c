/* The boundary's verbs: between JSON and the room api. Tools and activities ask them (enter, leave,
 * rows), people ask the others (tokens, audit). Keeps true: answered in a later turn, as all verbs.
 */
#include "api/api.h"
#include "base/mem.h"
#include "host/host_internal.h"
#include "http/problem.h"
#include <stdlib.h>

#define INTENTS_MAX 250

/* ---- opening ---- */
static int workflow_of(void *ud, struct str type, struct api_workflow *out, struct err *e)
{
    ml_host *h = ud;
    struct str path, options;
    int rc =
        worker_find_workflow(h->worker, type, &out->digest, &path, &out->task_queue, &options, e);
    if (rc) return rc;
    out->entry = path;
    return h->remote ? 0 : host_put_bundle(h, out->digest, e);
}

int host_open_api(ml_host *h, struct err *e)
{
    struct api_opts o = {.store = h->store,
                         .backend = h->b,
                         .clock = &h->clock,
                         .entropy = &entropy_system,
                         .log = &h->log,
                         .workflow = workflow_of,
                         .ud = h,
                         .identity = str_of(h->identity),
                         .outbox = h->remote != NULL};
    int rc = api_open(&o, &h->api, e);
    if (rc || h->read_only) return rc;
    struct err why = {0};
    if (api_reconcile(h->api, &why))
        log_printf(&h->log, LOG_WARN, "reservations are not looked at: %s", why.text);
    return 0;
}

void host_close_api(ml_host *h)
{
    api_close(h->api);
    h->api = NULL;
}

/* ---- answers ---- */
struct told {
    int code;
    struct str text;
};

static void tell_posted(void *ud)
{
    struct hcall *c = ud;
    struct told *t = c->state;
    ml_reply r = {
        .code = t->code, .text = t->code ? t->text.p : "", .json = t->code ? NULL : t->text.p};
    hcall_reply(c, &r);
}

/* Answers in a later turn: with JSON, or with an error's text. */
static void tell(struct hcall *c, int code, struct str text)
{
    struct told *t = arena_alloc(&c->arena, sizeof *t);
    struct str copy = t ? arena_str(&c->arena, text) : (struct str){NULL, 0};
    if (!t || (text.p && !copy.p)) {
        hcall_fail_later(c, &(struct err){.code = ERR_NOMEM, .text = "out of memory"});
        return;
    }
    *t = (struct told){code, copy};
    c->state = t;
    hcall_post(c, tell_posted);
}

static int tell_buf(struct hcall *c, int rc, struct buf *b, const struct err *e)
{
    if (!rc && !b->code) tell(c, 0, buf_str(b));
    if (!rc && b->code) tell(c, b->code, STR("the answer does not fit in memory"));
    if (rc) hcall_fail_later(c, e);
    buf_free(b);
    return 0;
}

static int ready(struct hcall *c, struct err *e)
{
    if (c->h->api) return 0;
    return err_set(e, ERR_UNSUPPORTED,
                   "%s: there is no boundary here: it stands on a file of moonloop's",
                   c->verb->name);
}

static void put_answer(struct buf *b, const struct api_answer *x)
{
    buf_printf(
        b, "{\"status\":%d,\"problem\":%s,\"replayed\":%s,\"retryAfter\":%lld,\"body\":", x->status,
        x->problem ? "true" : "false", x->replayed ? "true" : "false", (long long)x->retry_after_s);
    buf_put_json(b, x->body);
    buf_puts(b, ",\"type\":");
    buf_put_json(b, x->type);
    if (x->content_type.n) {
        buf_puts(b, ",\"contentType\":");
        buf_put_json(b, x->content_type);
    }
    buf_putc(b, '}');
}

/* ---- entering and leaving ---- */
static void on_entered(void *ud, const struct api_entry *x)
{
    struct hcall *c = ud;
    struct buf b;
    buf_init(&b, HOST_JSON_MAX);
    buf_printf(&b, "{\"call\":\"%llu\",\"principal\":", (unsigned long long)x->call);
    buf_put_json(&b, x->principal);
    buf_puts(&b, ",\"scopes\":");
    buf_put_json(&b, x->scopes);
    if (x->answer) {
        buf_puts(&b, ",\"answer\":");
        put_answer(&b, x->answer);
    }
    buf_putc(&b, '}');
    tell_buf(c, 0, &b, NULL);
}

static int run_enter(struct hcall *c, struct err *e)
{
    const cJSON *a = c->args;
    struct api_request r = {.route = arg_view(a, "route"),
                            .authorization = arg_view(a, "authorization"),
                            .principal = arg_view(a, "principal"),
                            .scopes = arg_view(a, "scopes"),
                            .auth = arg_bool(a, "auth"),
                            .scope = arg_view(a, "scope"),
                            .rate = arg_view(a, "rate"),
                            .cost = arg_i64(a, "cost"),
                            .key = arg_view(a, "key"),
                            .body = arg_view(a, "body")};
    int rc = ready(c, e);
    return rc ? rc : api_enter(c->h->api, &r, on_entered, c, e);
}

static void on_left(void *ud, const struct api_answer *x)
{
    struct buf b;
    buf_init(&b, HOST_JSON_MAX);
    put_answer(&b, x);
    tell_buf(ud, 0, &b, NULL);
}

static int read_intent(const cJSON *j, struct api_intent *out)
{
    struct str kind = arg_view(j, "kind");
    out->kind = str_eqz(kind, "insert")   ? API_INSERT
                : str_eqz(kind, "update") ? API_UPDATE
                                          : API_DELETE;
    out->table = arg_view(j, "table");
    out->id = arg_view(j, "id");
    out->row = arg_view(j, "row");
    out->if_version = arg_i64(j, "version");
    return out->kind == API_DELETE && !str_eqz(kind, "delete") ? ERR_ARG : 0;
}

/* The intents of an array into memory of the arena. */
static int read_intents(const cJSON *list, struct arena *a, struct api_intent **out, size_t *n,
                        struct err *e)
{
    const cJSON *j;
    size_t count = (size_t)cJSON_GetArraySize(list);
    if (count > INTENTS_MAX)
        return err_set(e, ERR_LIMIT, "more than %d rows are written by one call", INTENTS_MAX);
    struct api_intent *all = arena_alloc(a, (count + 1) * sizeof *all);
    if (!all) return err_set(e, ERR_NOMEM, "out of memory");
    *n = 0;
    cJSON_ArrayForEach(j, list) if (read_intent(j, &all[(*n)++])) return err_set(
        e, ERR_ARG, "an intent is insert, update or delete");
    *out = all;
    return 0;
}

static uint64_t call_id(const struct hcall *c)
{
    const char *id = arg_str(c->args, "call");
    return id ? strtoull(id, NULL, 10) : 0;
}

static int leave_now(struct hcall *c, struct str tree, struct err *e)
{
    const cJSON *accept = cJSON_GetObjectItemCaseSensitive(c->args, "accept");
    struct api_intent *intents = NULL;
    struct api_accept x = {.workflow = arg_view(accept, "workflow"),
                           .id = arg_view(accept, "id"),
                           .entity = arg_view(accept, "entity"),
                           .input = arg_view(accept, "input"),
                           .tree = tree};
    struct api_outcome o = {.accept = accept ? &x : NULL,
                            .commit = arg_bool(c->args, "commit"),
                            .status = (int)arg_i64(c->args, "status"),
                            .body = arg_view(c->args, "body"),
                            .content_type = arg_view(c->args, "contentType")};
    int rc = read_intents(cJSON_GetObjectItemCaseSensitive(c->args, "intents"), &c->arena, &intents,
                          &o.n_intents, e);
    if (rc) return rc;
    o.intents = intents;
    api_leave(c->h->api, call_id(c), &o, on_left, c);
    return 0;
}

/* A run that is accepted under another one belongs to its tree: who drives that drives it too. */
static void on_tree(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    struct err e = {0};
    cJSON *j = r->json.n ? cJSON_ParseWithLength(r->json.p, r->json.n) : NULL;
    struct str tree = arena_str(&c->arena, arg_view(j, "tree"));
    cJSON_Delete(j);
    if (!c->h->api)
        hcall_fail(c, ERR_CLOSED, "the host is closing");
    else if (leave_now(c, tree, &e))
        hcall_fail_err(c, &e);
}

static int run_leave(struct hcall *c, struct err *e)
{
    const cJSON *accept = cJSON_GetObjectItemCaseSensitive(c->args, "accept");
    struct backend_target t = {arg_view(accept, "underId"), arg_view(accept, "underRun")};
    int rc = ready(c, e);
    if (rc) return rc;
    if (!t.workflow_id.n) return leave_now(c, (struct str){NULL, 0}, e);
    c->h->b->ops->describe(c->h->b, &t, on_tree, c);
    return 0;
}

/* The handler failed: who waits for the same key is told what its caller is told. */
static int run_fail(struct hcall *c, struct err *e)
{
    struct api_answer x = {.status = (int)arg_i64(c->args, "status"),
                           .body = arg_view(c->args, "body"),
                           .problem = true,
                           .type = arg_view(c->args, "type")};
    int rc = ready(c, e);
    if (rc) return rc;
    api_fail(c->h->api, call_id(c), &x);
    tell(c, 0, STR("null"));
    return 0;
}

/* A problem's text: {type (its word), detail, errors (JSON)} -> {status, body}. */
static int run_problem(struct hcall *c, struct err *e)
{
    struct buf b, text;
    enum problem_kind kind = problem_find(arg_view(c->args, "type"));
    if (kind == PROBLEM_COUNT) return err_set(e, ERR_ARG, "there is no such problem");
    struct problem p = {.kind = kind,
                        .detail = arg_view(c->args, "detail"),
                        .errors_json = arg_view(c->args, "errors")};
    buf_init(&text, HOST_JSON_MAX);
    buf_init(&b, HOST_JSON_MAX);
    problem_write(&p, &text);
    buf_printf(&b, "{\"status\":%d,\"body\":", problem_status(kind));
    buf_put_json(&b, buf_str(&text));
    buf_putc(&b, '}');
    b.code = text.code ? text.code : b.code;
    buf_free(&text);
    return tell_buf(c, 0, &b, NULL);
}

/* ---- rows ---- */
static int run_row_get(struct hcall *c, struct err *e)
{
    struct buf row, b;
    int64_t version = 0;
    int rc = ready(c, e);
    if (rc) return rc;
    buf_init(&row, HOST_JSON_MAX);
    buf_init(&b, HOST_JSON_MAX);
    rc = api_row_get(c->h->api, arg_view(c->args, "table"), arg_view(c->args, "id"), &row, &version,
                     e);
    if (rc == ERR_NOTFOUND) {
        rc = 0;
        buf_puts(&b, "{}");
    } else if (rc == 0) {
        buf_printf(&b, "{\"row\":%s,\"version\":%lld}", row.p ? row.p : "null", (long long)version);
    }
    buf_free(&row);
    return tell_buf(c, rc, &b, e);
}

static int run_row_query(struct hcall *c, struct err *e)
{
    const cJSON *j;
    struct api_where where[8];
    struct api_query q = {.table = arg_view(c->args, "table"),
                          .where = where,
                          .order = arg_view(c->args, "order"),
                          .descending = arg_bool(c->args, "desc"),
                          .limit = arg_i64(c->args, "limit"),
                          .after = arg_view(c->args, "after")};
    struct buf b;
    int rc = ready(c, e);
    if (rc) return rc;
    cJSON_ArrayForEach(j, cJSON_GetObjectItemCaseSensitive(c->args, "where"))
    {
        if (q.n_where == 8) return err_set(e, ERR_LIMIT, "a query has at most 8 conditions");
        where[q.n_where++] =
            (struct api_where){arg_view(j, "field"), arg_view(j, "value"), arg_view(j, "op")};
    }
    buf_init(&b, HOST_JSON_MAX);
    rc = api_row_query(c->h->api, &q, &b, e);
    return tell_buf(c, rc, &b, e);
}

static void on_unique(void *ud, const struct store_answer *x)
{
    struct hcall *c = ud;
    if (x->kind == STORE_DURABLE)
        tell(c, 0, STR("null"));
    else
        tell(c, ERR_FAILED, str_of(x->err.text));
}

static int run_row_unique(struct hcall *c, struct err *e)
{
    const cJSON *j;
    struct str fields[8];
    size_t n = 0;
    bool elsewhere = c->h->remote && !c->h->api; /* a worker beside serve, with the same script */
    int rc = elsewhere ? 0 : ready(c, e);
    if (rc) return rc;
    cJSON_ArrayForEach(j, cJSON_GetObjectItemCaseSensitive(c->args, "fields"))
    {
        if (n == 8 || !cJSON_IsString(j))
            return err_set(e, ERR_ARG, "1 to 8 names of fields are unique together");
        fields[n++] = str_of(cJSON_GetStringValue(j));
    }
    if (elsewhere) { /* it has no rows: who has the file keeps them so */
        tell(c, 0, STR("null"));
        return 0;
    }
    return api_unique(c->h->api, arg_view(c->args, "table"), fields, n, on_unique, c, e);
}

/* The intents of an activity, in the commit that records its completion. */
int host_intents_batch(void *ud, struct str json, struct store_batch **out, struct err *e)
{
    ml_host *h = ud;
    struct api_intent *intents = NULL;
    struct arena a;
    size_t n = 0;
    if (!h->api || h->remote)
        return err_set(e, ERR_UNSUPPORTED,
                       "ml.db in an activity commits with its completion, in a file of moonloop's; "
                       "this run is a server's");
    arena_init(&a, 0);
    cJSON *list = cJSON_ParseWithLength(json.p, json.n);
    struct store_batch *b = list ? store_batch_new(h->store) : NULL;
    int rc = b ? read_intents(list, &a, &intents, &n, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (!rc) rc = api_intents_add(h->api, b, intents, n, e);
    if (rc && b) store_batch_free(b);
    if (!rc) *out = b;
    cJSON_Delete(list);
    arena_free(&a);
    return rc;
}

/* ---- what people ask ---- */
static void on_done(void *ud, int code, struct str text)
{
    tell(ud, code, text);
}

static int run_token_create(struct hcall *c, struct err *e)
{
    int rc = ready(c, e);
    return rc ? rc
              : api_token_create(c->h->api, arg_view(c->args, "name"), arg_view(c->args, "scopes"),
                                 arg_view(c->args, "rate"), arg_i64(c->args, "credits"), on_done, c,
                                 e);
}

static int run_token_revoke(struct hcall *c, struct err *e)
{
    int rc = ready(c, e);
    return rc ? rc : api_token_revoke(c->h->api, arg_view(c->args, "id"), on_done, c, e);
}

static int run_token_credits(struct hcall *c, struct err *e)
{
    int rc = ready(c, e);
    return rc ? rc
              : api_token_credits(c->h->api, arg_view(c->args, "id"), arg_i64(c->args, "amount"),
                                  on_done, c, e);
}

static int run_token_list(struct hcall *c, struct err *e)
{
    struct buf b;
    int rc = ready(c, e);
    if (rc) return rc;
    buf_init(&b, HOST_JSON_MAX);
    rc = api_token_list(c->h->api, &b, e);
    return tell_buf(c, rc, &b, e);
}

static int run_audit_list(struct hcall *c, struct err *e)
{
    struct buf b;
    int rc = ready(c, e);
    if (rc) return rc;
    buf_init(&b, HOST_JSON_MAX);
    rc = api_audit_list(c->h->api, arg_i64(c->args, "after"), arg_i64(c->args, "limit"), &b, e);
    return tell_buf(c, rc, &b, e);
}

/* The chain and the ledger: {ok, audit, ledger}. */
static int run_audit_verify(struct hcall *c, struct err *e)
{
    struct buf b;
    bool chain = false, ledger = false;
    int rc = ready(c, e);
    if (rc) return rc;
    buf_init(&b, HOST_JSON_MAX);
    buf_puts(&b, "{\"audit\":");
    rc = api_audit_verify(c->h->api, &b, &chain, e);
    buf_puts(&b, ",\"ledger\":");
    if (!rc) rc = api_ledger_verify(c->h->api, &b, &ledger, e);
    buf_printf(&b, ",\"ok\":%s}", chain && ledger ? "true" : "false");
    return tell_buf(c, rc, &b, e);
}

static const struct verb verbs[] = {
    {"boundary_enter", run_enter, false, false},
    {"boundary_leave", run_leave, false, false},
    {"boundary_fail", run_fail, false, false},
    {"boundary_problem", run_problem, true, true},
    {"row_get", run_row_get, false, true},
    {"row_query", run_row_query, false, true},
    {"row_unique", run_row_unique, false, false},
    {"token_create", run_token_create, false, false},
    {"token_list", run_token_list, false, true},
    {"token_revoke", run_token_revoke, false, false},
    {"token_credits", run_token_credits, false, false},
    {"audit_list", run_audit_list, false, true},
    {"audit_verify", run_audit_verify, false, true},
};

const struct verb *verb_find_boundary(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
    return NULL;
}
