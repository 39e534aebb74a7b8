/* The operating routes: the verbs over HTTP, below /v1, and /metrics. Keeps true: a verb is the
 * same as on the socket; who has no token gets in on this machine only, and not from a page of
 * another origin or under another host's name (a browser would carry both here). */
#include "api/api.h"
#include "base/mem.h"
#include "host/serve.h"
#include "json/tree.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MOST (60 * NS_PER_S)
#define WAIT_AGAIN (100 * NS_PER_MS) /* a result that is waited for is asked for so often */
#define SCOPE "operate"

enum body_kind {
    BODY_NONE,
    BODY_START,
    BODY_INPUT,
    BODY_ARGS,
    BODY_REASON,
    BODY_DECISION,
    BODY_RESUME,
    BODY_REJECT
};
enum reply_kind {
    REPLY_JSON,
    REPLY_STARTED,
    REPLY_RECORDED,
    REPLY_VALUE,
    REPLY_RESUMED,
    REPLY_RESULT,
    REPLY_GONE,
    REPLY_EVENTS,
    REPLY_APPROVALS,
    REPLY_USAGE
};
struct serve_op {
    const char *method, *pattern, *verb;
    enum body_kind body;
    enum reply_kind reply;
};
static const struct serve_op ops[] = {
    {"GET", "/v1/workflows", "list", BODY_NONE, REPLY_JSON},
    {"POST", "/v1/workflows", "start", BODY_START, REPLY_STARTED},
    {"GET", "/v1/workflows/{id}", "describe", BODY_NONE, REPLY_JSON},
    {"DELETE", "/v1/workflows/{id}", "delete", BODY_NONE, REPLY_GONE},
    {"GET", "/v1/workflows/{id}/history", "history", BODY_NONE, REPLY_JSON},
    {"GET", "/v1/workflows/{id}/result", "result", BODY_NONE, REPLY_RESULT},
    {"GET", "/v1/workflows/{id}/stream", "", BODY_NONE, REPLY_EVENTS},
    {"POST", "/v1/workflows/{id}/signal/{name}", "signal", BODY_INPUT, REPLY_RECORDED},
    {"POST", "/v1/workflows/{id}/query/{name}", "query", BODY_ARGS, REPLY_VALUE},
    {"POST", "/v1/workflows/{id}/update/{name}", "update", BODY_ARGS, REPLY_VALUE},
    {"POST", "/v1/workflows/{id}/cancel", "cancel", BODY_REASON, REPLY_RECORDED},
    {"POST", "/v1/workflows/{id}/terminate", "terminate", BODY_REASON, REPLY_RECORDED},
    {"GET", "/v1/approvals", "", BODY_NONE, REPLY_APPROVALS},
    {"POST", "/v1/approvals/{id}/{decision}", "update", BODY_DECISION, REPLY_VALUE},
    {"POST", "/v1/resume/{token}", "update", BODY_RESUME, REPLY_RESUMED},
    {"POST", "/v1/resume/{token}/reject", "update", BODY_REJECT, REPLY_RESUMED},
    {"GET", "/v1/usage", "", BODY_NONE, REPLY_USAGE},
    {"GET", "/v1/count", "count", BODY_NONE, REPLY_JSON},
};

int serve_ops_open(struct host_http *x, struct err *e)
{
    int code = 0;
    http_router_init(&x->ops);
    for (size_t i = 0; i < sizeof ops / sizeof *ops && code == 0; i++)
        code = http_router_add(&x->ops, str_of(ops[i].method), str_of(ops[i].pattern),
                               (void *)(uintptr_t)&ops[i], e);
    return code;
}

/* ---- answers ---- */

void serve_json(struct host_request *r, int status, struct str json)
{
    static const struct http_header headers[] = {
        {.name = STR("Content-Type"), .value = STR("application/json")},
        {.name = STR("Cache-Control"), .value = STR("no-store")}};
    struct http_answer a = {.status = status, .headers = headers, .n_headers = 2, .body = json};
    serve_answer(r, &a);
}

static enum problem_kind problem_of(int code)
{
    switch (code) {
    case ML_E_NOTFOUND:
        return PROBLEM_NOT_FOUND;
    case ML_E_ARG:
    case ML_E_UNSUPPORTED:
    case ML_E_SCRIPT:
    case ML_E_PROTOCOL:
        return PROBLEM_BAD_REQUEST;
    case ML_E_EXISTS:
    case ML_E_FAILED:
    case ML_E_STALE:
    case ML_E_GUARD:
    case ML_E_NONDETERMINISM:
    case ML_E_CANCELED:
        return PROBLEM_CONFLICT;
    case ML_E_LIMIT:
        return PROBLEM_TOO_LARGE;
    case ML_E_TIMEOUT:
        return PROBLEM_TIMEOUT;
    case ML_E_NOMEM:
    case ML_E_BUSY:
    case ML_E_CLOSED:
    case ML_E_IO:
    case ML_E_DISK_FULL:
        return PROBLEM_UNAVAILABLE;
    default:
        return PROBLEM_INTERNAL;
    }
}

void serve_verb_problem(struct host_request *r, const ml_reply *m)
{
    if (m->code)
        serve_problem(r, problem_of(m->code), m->text);
    else
        serve_problem(r, PROBLEM_UNAVAILABLE, "out of memory");
}

static void member(struct buf *b, const char *key, const char *text)
{
    if (!text || !*text) return;
    buf_printf(b, "%s\"%s\":", b->n > 1 ? "," : "", key);
    buf_put_json(b, str_of(text));
}

static void raw_member(struct buf *b, const char *key, const char *json)
{
    if (json) buf_printf(b, "%s\"%s\":%s", b->n > 1 ? "," : "", key, json);
}

static void answer_reply(struct host_request *r, const struct serve_op *op, const ml_reply *m)
{
    struct buf b;
    int status = 200;
    bool open = strcmp(m->status, "Running") == 0;
    if (op->reply == REPLY_GONE) {
        struct http_answer none = {.status = 204};
        serve_answer(r, &none);
        return;
    }
    if (op->reply == REPLY_JSON) {
        serve_json(r, 200, str_of(m->json ? m->json : "null"));
        return;
    }
    if (op->reply == REPLY_RESUMED) { /* who has the URL need not know the run */
        serve_json(r, 200, str_of(m->json ? m->json : "{}"));
        return;
    }
    buf_init(&b, HOST_JSON_MAX);
    buf_putc(&b, '{');
    if (op->reply == REPLY_STARTED) {
        status = m->existing ? 200 : 201;
        raw_member(&b, "existing", m->existing ? "true" : "false");
    }
    if (op->reply == REPLY_RESULT) {
        status = open ? 202 : 200;
        raw_member(&b, "failure", m->failure_json);
        if (!open && !m->failure_json) raw_member(&b, "result", m->json);
        member(&b, "status", m->status);
    }
    if (op->reply == REPLY_RECORDED) status = 202;
    if (op->reply == REPLY_VALUE) raw_member(&b, "result", m->json ? m->json : "null");
    member(&b, "runId", m->run_id);
    member(&b, "workflowId", m->workflow_id);
    buf_putc(&b, '}');
    if (b.code)
        serve_problem(r, PROBLEM_TOO_LARGE, "the answer is too large");
    else
        serve_json(r, status, buf_str(&b));
    buf_free(&b);
}

/* ---- asking ---- */

struct asked { /* survives the request, which may be gone when the reply comes */
    struct host_http *x;
    uint64_t id;
    const struct serve_op *op;
};

static void ask_result(struct host_request *r);

static void on_reply(void *ud, const ml_reply *m)
{
    struct asked *q = ud;
    struct host_http *x = q->x;
    const struct serve_op *op = q->op;
    struct host_request *r = serve_find(x, q->id);
    mem_free(q);
    if (!r || r->done) return;
    int64_t now = clock_mono(&x->h->clock);
    if (m->code == ML_E_NOTFOUND && op->reply == REPLY_RESUMED) {
        serve_problem(r, PROBLEM_GONE, "the run that waited has ended");
    } else if (m->code) {
        serve_problem(r, problem_of(m->code), m->text);
    } else if (op->reply == REPLY_RESULT && strcmp(m->status, "Running") == 0 &&
               now < r->wait_until_ns) {
        r->ask_ns = now + WAIT_AGAIN;
        if (!x->asking) loop_timer_start(x->ask, WAIT_AGAIN);
        x->asking = true;
    } else {
        answer_reply(r, op, m);
    }
}

static void ask(struct host_request *r, const struct serve_op *op, cJSON *args)
{
    ml_host *h = r->x->h;
    struct asked *q = mem_zalloc(sizeof *q);
    if (!q) {
        cJSON_Delete(args);
        serve_problem(r, PROBLEM_UNAVAILABLE, "out of memory");
        return;
    }
    *q = (struct asked){r->x, r->id, op};
    int code = host_verb_owned(h, op->verb, args, on_reply, q, mem_free);
    if (code == 0) return;
    mem_free(q);
    serve_problem(r, problem_of(code), ml_error(h));
}

static cJSON *result_args(const struct host_request *r)
{
    cJSON *args = cJSON_CreateObject();
    arg_add(args, "id", r->wait_id);
    arg_add(args, "runId", r->wait_run);
    return args;
}

static void ask_result(struct host_request *r)
{
    r->ask_ns = 0;
    ask(r, r->op, result_args(r));
}

/* Results that are waited for. */
void serve_ask_again(void *ud)
{
    struct host_http *x = ud;
    int64_t now = clock_mono(&x->h->clock);
    bool any = false;
    x->asking = false;
    for (struct host_request *r = x->requests, *next; r; r = next) {
        next = r->next;
        if (!r->ask_ns || r->done || r->gone) continue;
        if (now >= r->ask_ns)
            ask_result(r);
        else
            any = true;
    }
    if (!any || x->asking) return;
    x->asking = true;
    loop_timer_start(x->ask, WAIT_AGAIN);
}

/* ---- arguments ---- */

static const char *keep(struct arena *a, struct str s)
{
    return s.p ? arena_str(a, s).p : NULL;
}

static struct str query_value(struct arena *a, struct str query, const char *name)
{
    struct str k, v;
    while (http_query_next(&query, &k, &v))
        if (str_eqz(k, name)) return http_unescape(a, v, true);
    return (struct str){NULL, 0};
}

/* The filter of list and count: what the query says, numbers as such. */
static const char *filter_of(struct arena *a, struct str query)
{
    static const char *const names[] = {"status", "type", "idPrefix", "page", "query"};
    struct buf b;
    buf_init(&b, 1u << 16);
    buf_putc(&b, '{');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        member(&b, names[i], keep(a, query_value(a, query, names[i])));
    struct str limit = query_value(a, query, "limit");
    if (limit.n) raw_member(&b, "limit", arena_printf(a, "%ld", strtol(limit.p, NULL, 10)).p);
    buf_putc(&b, '}');
    const char *out = keep(a, buf_str(&b));
    buf_free(&b);
    return out;
}

static const char *written(struct arena *a, const struct json *v)
{
    struct buf b;
    if (!v) return NULL;
    buf_init(&b, HOST_FRAME_MAX);
    json_write(v, &b);
    const char *out = b.code ? NULL : keep(a, buf_str(&b));
    buf_free(&b);
    return out;
}

/* {id, digest, reason, by, args} and what is decided, for the run's update moonloop.decide. */
static bool put_decision(struct host_request *r, const struct json *body, struct arena *a,
                         cJSON *args)
{
    const char *what = arg_str(args, "decision"), *text = written(a, body);
    bool known = what && (strcmp(what, "approve") == 0 || strcmp(what, "reject") == 0 ||
                          strcmp(what, "edit") == 0);
    if (!known) {
        serve_problem(r, PROBLEM_NOT_FOUND, "a decision is approve, reject or edit");
        return false;
    }
    if (!body || body->kind != JSON_OBJECT || !json_get_str(body, "id").n ||
        !json_get_str(body, "digest").n) {
        serve_problem(r, PROBLEM_BAD_REQUEST,
                      "the body is an object {id, digest, reason, by, args}: id and digest are the "
                      "item's, as GET /v1/approvals gives them");
        return false;
    }
    arg_add(args, "name", "moonloop.decide");
    arg_add(args, "args",
            arena_printf(a, "[{\"decision\":\"%s\",%s]", what, text ? text + 1 : "}").p);
    arg_add_true(args, "wait");
    return true;
}

/* False: the request has its problem. */
static bool put_body(struct host_request *r, const struct serve_op *op, struct str text,
                     struct arena *a, cJSON *args)
{
    struct json_mem mem = {.arena = a};
    struct json *body = NULL;
    struct err e = {0};
    if (op->body == BODY_NONE) return true;
    if (text.n && json_parse(text, &mem, &body, &e) < 0) {
        serve_problem(r, PROBLEM_BAD_JSON, e.text);
        return false;
    }
    switch (op->body) {
    case BODY_START:
        if (!body || body->kind != JSON_OBJECT || !json_get_str(body, "workflow").n) {
            serve_problem(r, PROBLEM_BAD_REQUEST,
                          "the body is an object {workflow, id, input, options, requestId}, and "
                          "workflow is needed");
            return false;
        }
        arg_add(args, "workflow", keep(a, json_get_str(body, "workflow")));
        arg_add(args, "id", keep(a, json_get_str(body, "id")));
        arg_add(args, "requestId", keep(a, json_get_str(body, "requestId")));
        arg_add(args, "input", written(a, json_get(body, "input")));
        arg_add(args, "options", written(a, json_get(body, "options")));
        break;
    case BODY_INPUT:
        arg_add(args, "input", body ? keep(a, text) : NULL);
        break;
    case BODY_ARGS:
        if (!body)
            arg_add(args, "args", "[]");
        else if (body->kind == JSON_ARRAY)
            arg_add(args, "args", keep(a, text));
        else
            arg_add(args, "args", arena_printf(a, "[" STR_FMT "]", STR_ARG(text)).p);
        arg_add_true(args, "wait");
        break;
    case BODY_DECISION:
        return put_decision(r, body, a, args);
    default:
        arg_add(args, "reason", keep(a, json_get_str(body, "reason")));
        break;
    }
    return true;
}

static void wait_for(struct host_request *r, struct str query, struct arena *a)
{
    struct str wait = query_value(a, query, "wait");
    double s = wait.p ? strtod(wait.n ? wait.p : "0", NULL) : 0;
    if (str_eqz(wait, "true")) s = 30;
    if (s <= 0) return;
    int64_t most = s > 60 ? WAIT_MOST : (int64_t)(s * 1e9);
    r->wait_until_ns = clock_mono(&r->x->h->clock) + most;
}

/* Let in by its signature, not by a token. */
static bool signed_op(const struct serve_op *op)
{
    return op->reply == REPLY_RESUMED;
}

static void run_op(struct host_request *r, const struct http_incoming *in,
                   const struct http_route_match *m, struct arena *a)
{
    const struct serve_op *op = m->route->value;
    r->op = op;
    if (op->reply == REPLY_EVENTS) {
        struct str last = http_incoming_header(in, "last-event-id");
        if (serve_follow(r, m->params[0].value, query_value(a, in->query, "runId"), last, NULL, 0) <
            0)
            serve_problem(r, PROBLEM_UNAVAILABLE, "out of memory");
        return;
    }
    if (op->reply == REPLY_APPROVALS) {
        serve_approvals(r);
        return;
    }
    if (signed_op(op)) {
        cJSON *said = resume_args(r, in, m->params[0].value, op->body == BODY_REJECT, a);
        if (said) ask(r, op, said);
        return;
    }
    if (op->reply == REPLY_USAGE) {
        serve_usage(r, filter_of(a, in->query));
        return;
    }
    cJSON *args = cJSON_CreateObject();
    for (size_t i = 0; i < m->n_params; i++)
        arg_add(args, keep(a, m->params[i].name), keep(a, m->params[i].value));
    arg_add(args, "runId", keep(a, query_value(a, in->query, "runId")));
    arg_add(args, "updateId", keep(a, query_value(a, in->query, "updateId")));
    if (strcmp(op->verb, "list") == 0 || strcmp(op->verb, "count") == 0)
        arg_add(args, "filter", filter_of(a, in->query));
    if (op->reply == REPLY_RESULT) {
        wait_for(r, in->query, a);
        r->wait_id = keep(&r->arena, m->params[0].value);
        r->wait_run = keep(&r->arena, query_value(&r->arena, in->query, "runId"));
    }
    if (!put_body(r, op, in->body, a, args)) {
        cJSON_Delete(args);
    } else if (arena_failed(a) || arena_failed(&r->arena)) {
        cJSON_Delete(args);
        serve_problem(r, PROBLEM_UNAVAILABLE, "out of memory");
    } else {
        ask(r, op, args);
    }
}

/* ---- who may ---- */

/* Names of this machine that nobody else can give: 127.0.0.1.example is none of them. */
static bool local_name(struct str host)
{
    const char *colon = host.n ? memrchr(host.p, ':', host.n) : NULL; /* a port, or within [::1] */
    if (colon && !memchr(colon, ']', host.n - (size_t)(colon - host.p)))
        host.n = (size_t)(colon - host.p);
    if (str_eqz(host, "localhost") || str_eqz(host, "[::1]")) return true;
    if (!str_starts(host, STR("127."))) return false;
    for (size_t i = 0; i < host.n; i++)
        if (host.p[i] != '.' && (host.p[i] < '0' || host.p[i] > '9')) return false;
    return true;
}

/* A proxy on this machine brings requests in for others. */
static bool came_by_proxy(const struct http_incoming *in)
{
    static const char *const names[] = {"forwarded",         "via",
                                        "x-forwarded-for",   "x-forwarded-host",
                                        "x-forwarded-proto", "x-real-ip"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (http_incoming_header(in, names[i]).p) return true;
    return false;
}

/* A page of another origin, or one whose name was made to point here. */
static bool from_elsewhere(const struct http_incoming *in)
{
    struct str origin = http_incoming_header(in, "origin"),
               site = http_incoming_header(in, "sec-fetch-site");
    if (!local_name(in->host) || came_by_proxy(in)) return true;
    if (site.p && !str_eqz(site, "same-origin") && !str_eqz(site, "none")) return true;
    if (!origin.p) return false;
    const char *at = memmem(origin.p, origin.n, "://", 3);
    struct str rest = at ? str_make(at + 3, origin.n - (size_t)(at + 3 - origin.p)) : origin;
    return !str_eq(rest, in->host);
}

bool serve_loopback(const char *address)
{
    return !address || strcmp(address, "localhost") == 0 || strncmp(address, "127.", 4) == 0 ||
           strcmp(address, "::1") == 0;
}

struct entering {
    bool done, allowed;
    struct api *api;
    struct host_request *r;
};

static void on_entered(void *ud, const struct api_entry *x)
{
    struct entering *q = ud;
    q->done = true;
    q->allowed = !x->answer;
    if (x->answer) {
        struct http_header type = {.name = STR("Content-Type"), .value = STR(HTTP_PROBLEM_JSON)};
        struct http_answer a = {
            .status = x->answer->status, .headers = &type, .n_headers = 1, .body = x->answer->body};
        serve_answer(q->r, &a);
    } else if (x->call) { /* a verb is no accept: nothing is kept of the call */
        struct api_answer none = {.status = 200, .body = STR("")};
        api_fail(q->api, x->call, &none);
    }
}

/* False: the request has its refusal. */
static bool may_operate(struct host_request *r, const struct http_incoming *in)
{
    struct host_http *x = r->x;
    struct str token = http_incoming_header(in, "authorization");
    struct err e = {0};
    if (!token.p && x->loopback) {
        if (!from_elsewhere(in)) return true;
        serve_problem(r, PROBLEM_FORBIDDEN,
                      "without a token this is for programs of this machine, not for pages of "
                      "other origins, nor through a proxy");
        return false;
    }
    if (!x->h->api) {
        serve_problem(r, PROBLEM_FORBIDDEN, "there are no tokens here, so this is for 127.0.0.1");
        return false;
    }
    struct entering q = {.api = x->h->api, .r = r};
    struct api_request a = {
        .route = STR("/v1"), .authorization = token, .auth = true, .scope = STR(SCOPE)};
    if (api_enter(x->h->api, &a, on_entered, &q, &e) < 0 || !q.done) {
        serve_problem(r, PROBLEM_UNAVAILABLE,
                      e.code ? e.text : "the token cannot be looked at now");
        return false;
    }
    return q.allowed;
}

/* ---- metrics ---- */

static void on_counted(void *ud, const ml_reply *m)
{
    struct asked *q = ud;
    struct host_http *x = q->x;
    struct host_request *r = serve_find(x, q->id);
    mem_free(q);
    if (!r || r->done || !x->server) return;
    struct http_server_counts c;
    struct buf b;
    http_server_counts(x->server, &c);
    buf_init(&b, 1u << 16);
    buf_printf(&b,
               "# TYPE moonloop_http_connections gauge\nmoonloop_http_connections %zu\n"
               "# TYPE moonloop_http_requests_active gauge\nmoonloop_http_requests_active %zu\n"
               "# TYPE moonloop_http_requests_total counter\nmoonloop_http_requests_total %llu\n"
               "# TYPE moonloop_http_refused_total counter\nmoonloop_http_refused_total %llu\n"
               "# TYPE moonloop_http_body_bytes gauge\nmoonloop_http_body_bytes %zu\n",
               c.connections, c.requests, (unsigned long long)c.accepted,
               (unsigned long long)c.refused, c.body_bytes);
    cJSON *j = m->json ? cJSON_Parse(m->json) : NULL;
    const cJSON *by = cJSON_GetObjectItemCaseSensitive(j, "byStatus"), *one;
    const cJSON *blocked = cJSON_GetObjectItemCaseSensitive(j, "blocked");
    if (by) buf_puts(&b, "# TYPE moonloop_workflows gauge\n");
    cJSON_ArrayForEach(one, by)
        buf_printf(&b, "moonloop_workflows{status=\"%s\"} %.0f\n", one->string, one->valuedouble);
    if (cJSON_IsNumber(blocked))
        buf_printf(&b, "# TYPE moonloop_workflows_blocked gauge\nmoonloop_workflows_blocked %.0f\n",
                   blocked->valuedouble);
    cJSON_Delete(j);
    struct http_header type = {.name = STR("Content-Type"),
                               .value = STR("text/plain; version=0.0.4; charset=utf-8")};
    struct http_answer a = {.status = 200, .headers = &type, .n_headers = 1, .body = buf_str(&b)};
    serve_answer(r, &a);
    buf_free(&b);
}

static void metrics(struct host_request *r)
{
    struct asked *q = mem_zalloc(sizeof *q);
    cJSON *args = q ? cJSON_CreateObject() : NULL;
    if (q) *q = (struct asked){r->x, r->id, NULL};
    if (q && host_verb_owned(r->x->h, "count", args, on_counted, q, mem_free) == 0) return;
    mem_free(q);
    serve_problem(r, PROBLEM_UNAVAILABLE, "the runs cannot be counted now");
}

int serve_op(struct host_request *r, const struct http_incoming *in, struct arena *a,
             struct http_route_match *m)
{
    int code = http_router_find(&r->x->ops, in->method, in->path, a, m);
    bool numbers = str_eqz(in->path, "/metrics"), paths = str_eqz(in->path, "/openapi.json");
    if (code != 0 && !numbers && !paths) return code == ERR_NOTFOUND ? 0 : code;
    if (code != 0 && !str_eqz(in->method, "GET") && !str_eqz(in->method, "HEAD")) {
        buf_puts(&m->allow, "GET, HEAD");
        return ERR_GUARD;
    }
    bool by_signature = code == 0 && signed_op(m->route->value);
    if (!by_signature && !may_operate(r, in)) return 1;
    if (numbers)
        metrics(r);
    else if (paths)
        serve_openapi(r);
    else
        run_op(r, in, m, a);
    return 1;
}
