/* Serving HTTP: from the server's requests to the handlers of scripts and back. Keeps true: each
 * request that was shown gets one answer, unless its peer has left; a request is freed when both
 * sides have ended with it. What is not a script's (files, health) is answered here. */
#include "host/serve.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ALIVE_NS                                                                                   \
    (15 * NS_PER_S) /* a stream of events that says nothing for so long gets a comment */

/* ---- answers of this layer ---- */

void serve_answer(struct host_request *r, const struct http_answer *a)
{
    struct err e = {0};
    struct host_http *x = r->x;
    r->done = true;
    bool heard = x->server && !r->gone;
    if (!heard && a->file > 0) close(a->file);
    int code = heard ? http_server_answer(x->server, r->id, a, &e) : ERR_STALE;
    if (code == 0 || code == ERR_STALE) return;
    log_printf(&x->h->log, LOG_ERROR, "an answer could not be sent: %s", e.text);
    serve_problem(r, PROBLEM_INTERNAL, "the answer cannot be sent; the server's log says why");
}

static void problem(struct host_request *r, enum problem_kind kind, const char *detail,
                    struct str allow)
{
    struct http_header headers[2] = {{.name = STR("Content-Type"), .value = STR(HTTP_PROBLEM_JSON)},
                                     {.name = STR("Allow"), .value = allow}};
    struct problem p = {.kind = kind, .detail = str_of(detail)};
    struct buf b;
    struct err e = {0};
    buf_init(&b, 4000);
    problem_write(&p, &b);
    struct http_answer a = {.status = problem_status(kind),
                            .headers = headers,
                            .n_headers = allow.n ? 2 : 1,
                            .body = buf_str(&b)};
    r->done = true;
    if (r->x->server && !r->gone) http_server_answer(r->x->server, r->id, &a, &e);
    buf_free(&b);
}

void serve_problem(struct host_request *r, enum problem_kind kind, const char *detail)
{
    problem(r, kind, detail, (struct str){NULL, 0});
}

/* ---- requests ---- */

static void request_free(struct host_request *r)
{
    struct host_http *x = r->x;
    if (r->prev)
        r->prev->next = r->next;
    else
        x->requests = r->next;
    if (r->next) r->next->prev = r->prev;
    int64_t key = (int64_t)r->id;
    if (map_get(&x->by_id, map_i64(&key)) == r) map_del(&x->by_id, map_i64(&key));
    follow_free(r->listener);
    arena_free(&r->arena);
    mem_free(r);
}

static struct host_request *request_new(struct host_http *x, uint64_t id)
{
    struct host_request *r = mem_zalloc(sizeof *r);
    int64_t key = (int64_t)id;
    if (!r) return NULL;
    if (map_set(&x->by_id, map_i64(&key), r) < 0) {
        mem_free(r);
        return NULL;
    }
    r->x = x;
    r->id = id;
    arena_init(&r->arena, 1u << 20);
    r->next = x->requests;
    if (r->next) r->next->prev = r;
    x->requests = r;
    return r;
}

struct host_request *serve_find(struct host_http *x, uint64_t id)
{
    int64_t key = (int64_t)id;
    return map_get(&x->by_id, map_i64(&key));
}

/* ---- what a handler does ---- */

static bool is_events(const struct http_answer *a)
{
    for (size_t i = 0; i < a->n_headers; i++)
        if (a->headers[i].name.n == 12 &&
            strncasecmp(a->headers[i].name.p, "content-type", 12) == 0 &&
            str_starts(a->headers[i].value, STR("text/event-stream")))
            return true;
    return false;
}

static int on_head(void *ud, const struct http_answer *a)
{
    struct host_request *r = ud;
    struct host_http *x = r->x;
    struct err e = {0};
    if (r->gone || !x->server) return ERR_STALE;
    int code = http_server_stream(x->server, r->id, a, &e);
    if (code < 0) return code;
    r->streaming = true;
    if (is_events(a)) serve_events_begin(r);
    return 0;
}

void serve_events_begin(struct host_request *r)
{
    struct host_http *x = r->x;
    r->events = true;
    r->pushed_ns = clock_mono(&x->h->clock);
    if (!x->alive || x->alive_runs) return;
    x->alive_runs = true;
    loop_timer_start(x->alive, ALIVE_NS);
}

/* The handler has said whose events the answer is: from here on it has nothing to do with it. */
static int on_follow(void *ud, struct str workflow_id, struct str run_id, struct str last,
                     const struct http_header *also, size_t n_also)
{
    struct host_request *r = ud;
    if (r->gone || !r->x->server) return ERR_STALE;
    int code = serve_follow(r, workflow_id, run_id, last, also, n_also);
    if (code == 0) r->act = NULL;
    return code;
}

static int on_push(void *ud, struct str bytes)
{
    struct host_request *r = ud;
    if (r->gone || !r->x->server) return ERR_STALE;
    r->pushed_ns = clock_mono(&r->x->h->clock);
    int code = http_server_push(r->x->server, r->id, bytes);
    r->behind = code == ERR_BUSY;
    return code;
}

static void on_done(void *ud, const struct http_answer *a, bool complete)
{
    struct host_request *r = ud;
    if (r->gone) {
        request_free(r);
        return;
    }
    if (a)
        serve_answer(r, a);
    else if (r->x->server && r->streaming)
        http_server_finish(r->x->server, r->id, complete);
    else
        serve_problem(r, PROBLEM_INTERNAL, "the request was given up");
    r->done = true;
}

static const struct act_request_fns handler_fns = {on_head, on_push, on_done, on_follow};

/* Events that rest are kept alive, through whatever lies between. */
static void on_alive(void *ud)
{
    struct host_http *x = ud;
    int64_t now = clock_mono(&x->h->clock);
    bool any = false;
    x->alive_runs = false;
    for (struct host_request *r = x->requests; r && x->server; r = r->next) {
        if (!r->events || r->done || r->gone) continue;
        any = true;
        if (now - r->pushed_ns < ALIVE_NS || r->behind) continue; /* not within an event */
        r->pushed_ns = now;
        http_server_push(x->server, r->id, STR(": alive\n\n"));
    }
    if (!any) return;
    x->alive_runs = true;
    loop_timer_start(x->alive, ALIVE_NS / 3);
}

/* ---- routes ---- */

static void add_route(void *ud, struct act_host *act, const struct http_route *route)
{
    struct host_http *x = ud;
    struct err e = {0};
    struct served *s = arena_alloc(&x->arena, sizeof *s);
    if (!s) return;
    *s = (struct served){act, route->value};
    if (http_router_add(&x->router, route->method, route->pattern, s, &e) < 0)
        log_printf(&x->h->log, LOG_ERROR, "a route is not served: %s", e.text);
}

static void refresh(struct host_http *x)
{
    if (!x->stale) return;
    x->stale = false;
    http_router_free(&x->router);
    arena_free(&x->arena);
    if (x->h->worker) worker_routes(x->h->worker, add_route, x);
    if (arena_failed(&x->arena)) x->stale = true; /* tried again with the next request */
}

void serve_routes_changed(ml_host *h)
{
    if (h->serving) h->serving->stale = true;
}

/* How much of a body is read is the route's to say. */
static void on_request_head(void *ud, const struct http_incoming *head, size_t *body_max)
{
    struct host_http *x = ud;
    struct http_route_match m;
    struct arena a;
    refresh(x);
    arena_init(&a, 1u << 20);
    if (http_router_find(&x->router, head->method, head->path, &a, &m) == 0) {
        const struct served *s = m.route->value;
        if (s->route->body_max) *body_max = s->route->body_max;
    }
    buf_free(&m.allow);
    arena_free(&a);
}

/* True: it was one of ours. */
static bool built_in(struct host_request *r, const struct http_incoming *in)
{
    bool health = str_eqz(in->path, "/healthz"), ready = str_eqz(in->path, "/readyz");
    if (!health && !ready) return false;
    if (!str_eqz(in->method, "GET") && !str_eqz(in->method, "HEAD"))
        problem(r, PROBLEM_METHOD_NOT_ALLOWED, "this path has other methods", STR("GET, HEAD"));
    else if (health)
        serve_json(r, 200, STR("{\"status\":\"ok\"}"));
    else if (r->x->draining || r->x->h->loads || host_gone(r->x->h))
        serve_json(r, 503, STR("{\"status\":\"not ready\"}"));
    else
        serve_json(r, 200, STR("{\"status\":\"ready\"}"));
    return true;
}

/* The methods of a path, for OPTIONS of a script: they are told by asking for one that is none. */
static void put_allow(struct host_http *x, const struct http_incoming *in,
                      struct http_route_match *m)
{
    struct http_route_match other;
    struct arena a;
    if (!str_eqz(in->method, "OPTIONS")) return;
    arena_init(&a, 1u << 20);
    http_router_find(&x->router, STR("-"), in->path, &a, &other);
    m->allow = other.allow;
    arena_free(&a);
}

static void run_route(struct host_request *r, const struct http_incoming *in,
                      struct http_route_match *m)
{
    struct host_http *x = r->x;
    struct err e = {0};
    const struct served *s = m->route->value;
    if (s->route->folder.p) {
        serve_file(r, in, s->route, m->params[m->n_params - 1].value);
        return;
    }
    put_allow(x, in, m);
    int code = act_request_start(s->act, s->route, in, m, &handler_fns, r, &r->call, &e);
    if (code == 0) {
        r->act = s->act;
        return;
    }
    log_printf(&x->h->log, LOG_ERROR, STR_FMT " " STR_FMT ": %s", STR_ARG(in->method),
               STR_ARG(in->path), e.text);
    serve_problem(r, code == ERR_NOMEM ? PROBLEM_UNAVAILABLE : PROBLEM_INTERNAL,
                  "the request could not be handled; the server's log says why");
}

static void no_method(struct host_request *r, const struct http_incoming *in,
                      const struct http_route_match *m)
{
    struct http_header allow = {.name = STR("Allow"), .value = buf_str(&m->allow)};
    struct http_answer none = {.status = 204, .headers = &allow, .n_headers = 1};
    if (str_eqz(in->method, "OPTIONS"))
        serve_answer(r, &none);
    else
        problem(r, PROBLEM_METHOD_NOT_ALLOWED, "this path has other methods", allow.value);
}

static void dispatch(struct host_request *r, const struct http_incoming *in, struct arena *a)
{
    struct host_http *x = r->x;
    struct http_route_match m, op = {0};
    refresh(x);
    int code = http_router_find(&x->router, in->method, in->path, a, &m);
    int ours = code == ERR_NOTFOUND ? serve_op(r, in, a, &op) : 0; /* a script's path is its own */
    if (code == 0)
        run_route(r, in, &m);
    else if (code == ERR_GUARD || ours == ERR_GUARD)
        no_method(r, in, code == ERR_GUARD ? &m : &op);
    else if (code == ERR_NOTFOUND && ours == 0)
        serve_problem(r, PROBLEM_NOT_FOUND, "there is no such path");
    else if (ours != 1)
        serve_problem(r, PROBLEM_UNAVAILABLE, "out of memory");
    buf_free(&m.allow);
    buf_free(&op.allow);
}

static void on_request(void *ud, const struct http_incoming *in)
{
    struct host_http *x = ud;
    struct host_request *r = request_new(x, in->id);
    struct err e = {0};
    struct arena a;
    if (!r) {
        struct http_answer none = {.status = 503, .close = true};
        http_server_answer(x->server, in->id, &none, &e);
        return;
    }
    if (built_in(r, in)) return;
    arena_init(&a, 1u << 20);
    dispatch(r, in, &a);
    arena_free(&a);
}

static void on_room(void *ud, uint64_t id)
{
    struct host_request *r = serve_find(ud, id);
    if (r && r->listener && !r->done)
        follow_room(r);
    else if (r && r->act && !r->done)
        act_request_room(r->act, r->call);
}

static void on_end(void *ud, uint64_t id, bool complete)
{
    struct host_request *r = serve_find(ud, id);
    (void)complete;
    if (!r) return;
    int64_t key = (int64_t)id;
    map_del(&r->x->by_id, map_i64(&key));
    r->gone = true;
    if (r->done || !r->act)
        request_free(r);
    else
        act_cancel(r->act, r->call, BACKEND_CANCEL_GONE); /* on_done frees it */
}

/* ---- opening and ending ---- */

static const struct http_server_events server_events = {on_request_head, on_request, on_room,
                                                        on_end};

/* An address that stands for all of a machine's is nobody's to call. */
static void put_base(struct host_http *x, const ml_http_options *o)
{
    const char *at = o->address ? o->address : "127.0.0.1";
    bool six = strchr(at, ':') != NULL;
    if (strcmp(at, "0.0.0.0") == 0 || strcmp(at, "::") == 0) return;
    snprintf(x->base, sizeof x->base, "%s://%s%s%s:%d", o->cert_file ? "https" : "http",
             six ? "[" : "", at, six ? "]" : "", http_server_port(x->server));
}

int ml_http_open(ml_host *h, const ml_http_options *o, int *port)
{
    struct err e = {0};
    if (host_gone(h)) return ERR_CLOSED;
    if (h->attach)
        return err_set(&h->last, ERR_BUSY,
                       "another process owns %s: only the owner of a file serves it", h->path);
    if (h->serving) return err_set(&h->last, ERR_EXISTS, "this host serves HTTP already");
    if (h->engine && engine_clock_mode(h->engine) != ENGINE_CLOCK_REAL)
        return err_set(&h->last, ERR_UNSUPPORTED,
                       "%s has a virtual clock or one of its program: HTTP is served on the real "
                       "clock only",
                       h->path ? h->path : "this host");
    struct host_http *x = mem_zalloc(sizeof *x);
    if (!x) return err_set(&h->last, ERR_NOMEM, "no memory for an HTTP server");
    x->h = h;
    x->stale = true;
    map_init(&x->by_id);
    map_init(&x->by_run);
    arena_init(&x->arena, 0);
    http_router_init(&x->router);
    struct http_server_opts so = {.address = o->address,
                                  .port = o->port,
                                  .cert_file = o->cert_file,
                                  .key_file = o->key_file,
                                  .connections_max = o->connections_max,
                                  .body_max = o->body_max_bytes};
    x->loopback = serve_loopback(o->address);
    int code = serve_ops_open(x, &e);
    if (code == 0) code = loop_timer_open(h->loop, on_alive, x, &x->alive);
    if (code == 0) code = loop_timer_open(h->loop, serve_ask_again, x, &x->ask);
    if (code == 0) code = loop_timer_open(h->loop, follow_poll, x, &x->poll);
    if (code == 0) code = loop_timer_open(h->loop, follow_look, x, &x->look);
    if (code == 0) code = http_server_open(h->loop, &so, &server_events, x, &x->server, &e);
    if (code < 0) {
        if (!e.code) err_set(&e, code, "no memory for an HTTP server");
        host_fail(h, &e);
        serve_stop(x);
        serve_free(x);
        return code;
    }
    put_base(x, o);
    h->serving = x;
    if (port) *port = http_server_port(x->server);
    return ML_OK;
}

static void on_drained(void *ud, size_t left)
{
    struct host_http *x = ud;
    if (x->drain_fn) x->drain_fn(x->drain_ud, (int)left);
}

int ml_http_drain(ml_host *h, int64_t time_ns, void (*fn)(void *ud, int left), void *ud)
{
    struct host_http *x = h->serving;
    if (!x || !x->server) return err_set(&h->last, ERR_CLOSED, "this host does not serve HTTP");
    x->draining = true;
    x->drain_fn = fn;
    x->drain_ud = ud;
    http_server_drain(x->server, time_ns, on_drained, x);
    return ML_OK;
}

void serve_stop(struct host_http *x)
{
    if (!x) return;
    http_server_close(x->server);
    x->server = NULL;
    if (x->alive) loop_timer_close(x->alive);
    if (x->ask) loop_timer_close(x->ask);
    if (x->poll) loop_timer_close(x->poll);
    if (x->look) loop_timer_close(x->look);
    x->alive = x->ask = x->poll = x->look = NULL;
    for (struct host_request *r = x->requests, *next; r; r = next) {
        next = r->next;
        r->gone = true;
        if (r->act && !r->done)
            act_cancel(r->act, r->call, BACKEND_CANCEL_SHUTDOWN); /* on_done frees it */
        else
            request_free(r);
    }
}

void serve_free(struct host_http *x)
{
    if (!x) return;
    while (x->requests)
        request_free(x->requests);
    follow_drop(x);
    map_free(&x->by_run);
    map_free(&x->by_id);
    http_router_free(&x->router);
    http_router_free(&x->ops);
    arena_free(&x->arena);
    mem_free(x);
}
