/* Requests to a script's routes: each is a call whose coroutine runs moonloop.serve's run(entry,
 * req). Keeps true: `done` is told once, as soon as the answer is known or the time is over, while
 * what the handler left running still ends; a handler's error never goes to the caller, only into
 * the log. */
#include "activity/act_internal.h"
#include "http/problem.h"

#include <limits.h>
#include <stdio.h>

#define TIMEOUT_DEFAULT (30 * NS_PER_S)
#define BODY_MOST ((lua_Integer)64 << 20)
#define ANSWER_MAX ((size_t)64 << 20)
#define HEADERS_MOST 200
#define ACT_PROGRESS_MAX ((size_t)40 << 10)

struct act_serve {
    struct act_request_fns fns;
    void *ud;
    struct str method, path;
    struct act_op *wait;      /* for room in the stream */
    struct http_header *also; /* headers of each answer, whoever gives it */
    size_t n_also;
    bool told, streaming;
};

/* ---- routes ---- */

const struct http_router *act_routes(const struct act_host *h)
{
    return &h->router;
}

/* core.route(method, pattern, {timeout, max_body, folder, doc}, entry) */
static int core_route(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    struct act_state *st = act_state_of(L);
    struct str method, pattern, folder = {NULL, 0};
    struct err e = {0};
    method.p = luaL_checklstring(L, 1, &method.n);
    pattern.p = luaL_checklstring(L, 2, &pattern.n);
    luaL_checktype(L, 3, LUA_TTABLE);
    luaL_checktype(L, 4, LUA_TTABLE);
    lua_settop(L, 4);
    lua_getfield(L, LUA_REGISTRYINDEX, "moonloop.require");
    lua_pushliteral(L, "moonloop");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "response"); /* enters names and methods of moonloop.serve */
    lua_settop(L, 4);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "moonloop.routes");
    lua_pushvalue(L, 4);
    lua_rawseti(L, -2, (lua_Integer)++st->n_routes);
    if (h->load_done) return 0; /* a later state of the same text */
    struct act_route *r = arena_alloc(&h->defs_arena, sizeof *r);
    if (!r) return act_misuse(L, "out of memory");
    r->index = st->n_routes;
    r->path = h->path;
    lua_getfield(L, 3, "timeout");
    r->timeout_ns = lua_isnil(L, -1) ? TIMEOUT_DEFAULT : api_check_duration(L, -1, "timeout");
    if (r->timeout_ns <= 0) return act_misuse(L, "%s: timeout is more than 0", pattern.p);
    lua_getfield(L, 3, "max_body");
    lua_Integer most = lua_isnil(L, -1) ? 0 : luaL_checkinteger(L, -1);
    if (most < 0 || most > BODY_MOST)
        return act_misuse(L, "%s: max_body is at most 64 MiB", pattern.p);
    r->body_max = (size_t)most;
    lua_getfield(L, 3, "folder");
    if (lua_isstring(L, -1)) folder.p = lua_tolstring(L, -1, &folder.n);
    if (folder.p) r->folder = arena_str(&h->defs_arena, folder);
    lua_getfield(L, 3, "doc");
    struct str doc = {NULL, 0};
    if (lua_isstring(L, -1)) doc.p = lua_tolstring(L, -1, &doc.n);
    if (doc.p) r->doc = arena_str(&h->defs_arena, doc);
    method = arena_str(&h->defs_arena, method);
    pattern = arena_str(&h->defs_arena, pattern);
    if (arena_failed(&h->defs_arena)) return act_misuse(L, "out of memory");
    if (http_router_add(&h->router, method, pattern, r, &e) < 0)
        return act_misuse(L, STR_FMT " " STR_FMT ": %s", STR_ARG(method), STR_ARG(pattern), e.text);
    return 0;
}

/* ---- what run() works with ---- */

static struct act_serve *serving(lua_State *L)
{
    struct act_call_state *c = act_current(L);
    if (!c || c->kind != CALL_REQUEST) act_misuse(L, "this is not the handler of a request");
    return c->serve;
}

/* Reads a list {name, value, name, value ...} at idx into an arena. */
static struct http_header *read_headers(lua_State *L, int idx, struct arena *a, size_t *n)
{
    lua_Integer len = lua_istable(L, idx) ? (lua_Integer)lua_rawlen(L, idx) : 0;
    if (len > 2 * HEADERS_MOST) return NULL;
    struct http_header *out = arena_alloc(a, (size_t)(len / 2 + 1) * sizeof *out);
    for (lua_Integer i = 1; out && i + 1 <= len; i += 2) {
        struct str *to[2] = {&out[i / 2].name, &out[i / 2].value};
        for (int k = 0; k < 2; k++) {
            struct str s = {"", 0};
            if (lua_rawgeti(L, idx, i + k) == LUA_TSTRING) s.p = lua_tolstring(L, -1, &s.n);
            *to[k] = arena_str(a, s);
            lua_pop(L, 1);
        }
    }
    *n = (size_t)len / 2;
    return arena_failed(a) ? NULL : out;
}

/* core.also(headers): headers of the answer, whatever it will be. */
static int core_also(lua_State *L)
{
    struct act_serve *s = serving(L);
    s->also = read_headers(L, 1, &act_current(L)->arena, &s->n_also);
    return s->also ? 0 : act_misuse(L, "too many headers");
}

/* The answer's headers and those that go along, in an arena. */
static bool join(struct act_serve *s, struct http_answer *a, struct arena *keep)
{
    if (!s->n_also) return true;
    struct http_header *all = arena_alloc(keep, (a->n_headers + s->n_also) * sizeof *all);
    if (!all) return false;
    if (a->n_headers) memcpy(all, a->headers, a->n_headers * sizeof *all);
    memcpy(all + a->n_headers, s->also, s->n_also * sizeof *all);
    a->headers = all;
    a->n_headers += s->n_also;
    return true;
}

/* core.stream_head(status, headers) */
static int core_stream_head(lua_State *L)
{
    struct act_serve *s = serving(L);
    struct act_call_state *c = act_current(L);
    struct http_answer a = {.status = (int)luaL_checkinteger(L, 1)};
    struct arena *keep = act_arena(L, 1u << 20);
    if (s->streaming) return act_misuse(L, "the answer has begun already");
    a.headers = read_headers(L, 2, keep, &a.n_headers);
    if (!a.headers || !join(s, &a, keep)) return act_misuse(L, "too many headers");
    if (s->told) return act_raise_canceled(L, "nobody waits for the answer any more");
    int code = s->fns.head(s->ud, &a);
    if (code == ERR_STALE) return act_raise_canceled(L, "the peer has left");
    if (code < 0)
        return act_misuse(L, "the answer's head cannot be sent: status %d or one of its headers",
                          a.status);
    s->streaming = true;
    c->due_ns = 0; /* from here on a stream may last */
    act_call_set_timer(c);
    return 0;
}

struct push_op {
    struct act_op op;
    struct act_serve *s;
    size_t at;
};

static void push_release(struct act_op *op)
{
    struct push_op *p = (struct push_op *)op;
    if (p->s && p->s->wait == op) p->s->wait = NULL;
    p->s = NULL;
}

/* Pushes what is left; waits where the reader is behind. The text is the op's user value. */
static int push_on(lua_State *L, struct act_op *op)
{
    struct push_op *p = (struct push_op *)op;
    struct str text;
    int at = lua_gettop(L);
    lua_getiuservalue(L, at, 1);
    text.p = lua_tolstring(L, -1, &text.n);
    lua_settop(L, at);
    while (p->at < text.n) {
        size_t n = text.n - p->at < ACT_PUSH_MAX ? text.n - p->at : ACT_PUSH_MAX;
        int code = p->s->told ? ERR_STALE : p->s->fns.push(p->s->ud, str_make(text.p + p->at, n));
        if (code == ERR_BUSY) {
            op->done = false;
            p->s->wait = op;
            return act_op_wait(L, op);
        }
        if (code == ERR_NOMEM) return act_fail(L, "OutOfMemory", true, "send: out of memory");
        if (code < 0) return act_raise_canceled(L, "the peer has left");
        p->at += n;
    }
    push_release(op);
    return 0;
}

static int push_resumed(lua_State *L, struct act_op *op)
{
    lua_settop(L, 1); /* the op, as core_stream_push left it */
    return push_on(L, op);
}

/* core.stream_push(text) */
static int core_stream_push(lua_State *L)
{
    struct act_serve *s = serving(L);
    luaL_checktype(L, 1, LUA_TSTRING);
    lua_settop(L, 1);
    struct push_op *p = act_op_new(L, sizeof *p, NULL, push_resumed, push_release);
    p->s = s;
    lua_insert(L, 1);
    lua_setiuservalue(L, 1, 1);
    return push_on(L, &p->op);
}

/* core.follow(workflow id, run id | nil, last event id | nil): the events of the run are the
 * answer. */
static int core_follow(lua_State *L)
{
    struct act_serve *s = serving(L);
    struct str v[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    for (int i = 0; i < 3; i++)
        if (!lua_isnoneornil(L, i + 1)) v[i].p = luaL_checklstring(L, i + 1, &v[i].n);
    if (s->streaming) return act_misuse(L, "the answer has begun already");
    if (s->told) return act_raise_canceled(L, "nobody waits for the answer any more");
    if (!s->fns.follow) return act_misuse(L, "ml.follow: there are no listeners here");
    int code = s->fns.follow(s->ud, v[0], v[1], v[2], s->also, s->n_also);
    if (code == ERR_STALE) return act_raise_canceled(L, "the peer has left");
    if (code < 0) return act_fail(L, "OutOfMemory", true, "ml.follow: out of memory");
    s->told = true;
    return 0;
}

/* core.progress(value): for who listens to the run of this activity. */
static int core_progress(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    struct act_call_state *c = act_current(L);
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    if (!c || c->kind != CALL_ACTIVITY)
        return act_misuse(L, "ml.progress belongs to an activity; there is none here");
    if (!h->env.progress || !c->info.run_id.n) return 0;
    struct buf *b = act_buf(L, ACT_PROGRESS_MAX);
    act_encode(L, 1, b, "progress");
    h->env.progress(h->env.ud, &c->info, buf_str(b));
    return 0;
}

/* core.sse(event | nil, data, id | nil): one event as text. */
static int core_sse(lua_State *L)
{
    struct str s[3] = {{NULL, 0}, {"", 0}, {NULL, 0}};
    for (int i = 0; i < 3; i++)
        if (!lua_isnoneornil(L, i + 1)) s[i].p = luaL_checklstring(L, i + 1, &s[i].n);
    struct buf *b = act_buf(L, ANSWER_MAX);
    int code = http_sse_event(b, s[0], s[1], s[2]);
    if (code == ERR_ARG) return act_misuse(L, "send: event and id of an event are of one line");
    if (code < 0) return act_misuse(L, "send: the event is too large");
    lua_pushlstring(L, b->p, b->n);
    return 1;
}

/* core.text_of(value): texts, ml.bytes and ml.env as text; nil for others. */
static int core_text_of(lua_State *L)
{
    struct str s;
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TNUMBER || !act_to_str(L, 1, &s))
        lua_pushnil(L);
    else
        lua_pushlstring(L, s.n ? s.p : "", s.n);
    return 1;
}

/* Sets the pairs of a query or form in the table on top; of a repeated name the first counts. */
static void set_pairs(lua_State *L, struct arena *a, struct str text)
{
    struct str name, value;
    while (http_query_next(&text, &name, &value)) {
        name = http_unescape(a, name, true);
        value = http_unescape(a, value, true);
        if (!name.p || !value.p) act_misuse(L, "the form is too large");
        lua_pushlstring(L, name.p, name.n);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) != LUA_TNIL) {
            lua_pop(L, 2);
            continue;
        }
        lua_pop(L, 1);
        lua_pushlstring(L, value.p, value.n);
        lua_rawset(L, -3);
    }
}

/* core.form(text) */
static int core_form(lua_State *L)
{
    struct str text;
    text.p = luaL_checklstring(L, 1, &text.n);
    for (size_t i = 0; i < text.n; i++) /* escapes that are none stay as they are */
        if (text.p[i] == '%' &&
            (i + 2 >= text.n || !strchr("0123456789abcdefABCDEF", text.p[i + 1]) ||
             !strchr("0123456789abcdefABCDEF", text.p[i + 2]))) {
            return act_fail(L, "BadForm", false, "the form has a broken percent escape");
        }
    struct arena *a = act_arena(L, 3 * text.n + 65536);
    lua_newtable(L);
    set_pairs(L, a, text);
    return 1;
}

/* core.problem(word): type, status and title of a problem of the one table; nil when it has none.
 */
static int core_problem(lua_State *L)
{
    struct str word;
    word.p = luaL_checklstring(L, 1, &word.n);
    enum problem_kind k = problem_find(word);
    if (k == PROBLEM_COUNT) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushstring(L, problem_type(k));
    lua_pushinteger(L, problem_status(k));
    lua_pushstring(L, problem_title(k));
    return 3;
}

void act_open_serve(lua_State *L)
{
    static const luaL_Reg functions[] = {{"route", core_route},
                                         {"also", core_also},
                                         {"problem", core_problem},
                                         {"stream_head", core_stream_head},
                                         {"stream_push", core_stream_push},
                                         {"sse", core_sse},
                                         {"follow", core_follow},
                                         {"progress", core_progress},
                                         {"text_of", core_text_of},
                                         {"form", core_form},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}

/* ---- a request begins ---- */

struct push_request {
    const struct act_route *route;
    const struct http_incoming *in;
    const struct http_route_match *m;
    struct arena *arena;
    lua_State *to;
};

static void set_str(lua_State *L, const char *key, struct str s)
{
    lua_pushlstring(L, s.p ? s.p : "", s.n);
    lua_setfield(L, -2, key);
}

/* Pushes run, the route's entry and the request; moved to the coroutine. */
static int push_request(lua_State *L)
{
    struct push_request *p = lua_touserdata(L, 1);
    const struct http_incoming *in = p->in;
    lua_settop(L, 0);
    luaL_checkstack(L, 30, NULL);
    lua_getfield(L, LUA_REGISTRYINDEX, "moonloop.require");
    lua_pushliteral(L, "moonloop.serve");
    lua_call(L, 1, 1);
    lua_getfield(L, 1, "run");
    lua_remove(L, 1);
    if (p->route->index) {
        luaL_getsubtable(L, LUA_REGISTRYINDEX, "moonloop.routes");
        lua_rawgeti(L, -1, (lua_Integer)p->route->index);
        lua_remove(L, -2);
    } else {
        lua_getfield(L, LUA_REGISTRYINDEX, "moonloop.require");
        lua_pushliteral(L, "moonloop.mcp_server");
        lua_call(L, 1, 1);
        lua_getfield(L, -1, "stdio");
        lua_remove(L, -2);
    }
    lua_createtable(L, 0, 12);
    set_str(L, "method", in->method);
    set_str(L, "path", in->path);
    set_str(L, "pattern", p->m->route ? p->m->route->pattern : in->path);
    set_str(L, "body", in->body);
    set_str(L, "remote", in->remote);
    set_str(L, "host", in->host);
    set_str(L, "query_string", in->query);
    if (p->m->allow.n) set_str(L, "allow", buf_str(&p->m->allow));
    act_push_headers(L, in->headers, in->n_headers, true);
    lua_setfield(L, -2, "headers");
    lua_createtable(L, 0, (int)p->m->n_params);
    for (size_t i = 0; i < p->m->n_params; i++) {
        lua_pushlstring(L, p->m->params[i].name.p, p->m->params[i].name.n);
        lua_pushlstring(L, p->m->params[i].value.p, p->m->params[i].value.n);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "params");
    lua_newtable(L);
    set_pairs(L, p->arena, in->query);
    lua_setfield(L, -2, "query");
    luaL_checkstack(p->to, 10, NULL);
    lua_xmove(L, p->to, 3);
    return 0;
}

int act_request_start(struct act_host *h, const struct act_route *route,
                      const struct http_incoming *in, const struct http_route_match *m,
                      const struct act_request_fns *fns, void *ud, uint64_t *id, struct err *e)
{
    int code = h->st ? 0 : act_state_reload(h, e);
    if (code < 0) return code;
    struct act_state *st = h->st;
    struct act_call_state *c = act_call_new(h, st, CALL_REQUEST);
    struct act_co *co = c ? act_co_new(c, st) : NULL;
    if (!co || act_call_open_timer(c) < 0) goto nomem;
    c->serve = arena_alloc(&c->arena, sizeof *c->serve);
    if (!c->serve) goto nomem;
    *c->serve = (struct act_serve){.fns = *fns,
                                   .ud = ud,
                                   .method = arena_str(&c->arena, in->method),
                                   .path = arena_str(&c->arena, in->path)};
    struct push_request p = {route, in, m, &c->arena, co->co};
    lua_pushcfunction(st->sb.L, push_request);
    lua_pushlightuserdata(st->sb.L, &p);
    enum sandbox_status status = sandbox_call(&st->sb, st->sb.L, 1, 0);
    if (status != SANDBOX_DONE) {
        const char *text = status == SANDBOX_ERROR ? lua_tostring(st->sb.L, -1) : NULL;
        code = err_set(e, text ? ERR_SCRIPT : ERR_NOMEM, "%s", text ? text : "out of memory");
        lua_settop(st->sb.L, 0);
        act_call_free(c);
        return code;
    }
    if (arena_failed(&c->arena) || !(c->id = idmap_add(&h->calls, c))) goto nomem;
    h->n_running++;
    c->main_id = co->id;
    co->nargs = 2;
    c->due_ns = time_plus(clock_mono(h->env.clock), route->timeout_ns);
    act_call_set_timer(c);
    act_co_ready(co);
    *id = c->id;
    return 0;
nomem:
    if (c) act_call_free(c);
    return err_set(e, ERR_NOMEM, "no memory for a request");
}

void act_request_room(struct act_host *h, uint64_t id)
{
    struct act_call_state *c = idmap_get(&h->calls, id);
    struct act_op *op = c && c->serve ? c->serve->wait : NULL;
    if (!op) return;
    c->serve->wait = NULL;
    act_op_done(op);
}

/* ---- its end ---- */

static void tell(struct act_call_state *c, const struct http_answer *a, bool complete)
{
    if (c->serve->told) return;
    struct http_answer all = a ? *a : (struct http_answer){0};
    struct arena keep;
    arena_init(&keep, 1u << 20);
    join(c->serve, &all, &keep); /* without memory the answer goes out without them */
    c->serve->told = true;
    c->due_ns = 0;
    c->serve->fns.done(c->serve->ud, a ? &all : NULL, complete);
    arena_free(&keep);
}

/* An answer of this layer itself. */
static void tell_problem(struct act_call_state *c, enum problem_kind kind, const char *detail)
{
    static const struct http_header type = {.name = STR("Content-Type"),
                                            .value = STR(HTTP_PROBLEM_JSON)};
    struct problem p = {.kind = kind, .detail = str_of(detail)};
    struct buf b;
    if (c->serve->streaming) { /* the head has gone out: the stream is cut */
        tell(c, NULL, false);
        return;
    }
    buf_init(&b, 4000);
    problem_write(&p, &b);
    struct http_answer a = {
        .status = problem_status(kind), .headers = &type, .n_headers = 1, .body = buf_str(&b)};
    tell(c, &a, true);
    buf_free(&b);
}

static void internal(struct act_call_state *c)
{
    tell_problem(c, PROBLEM_INTERNAL,
                 "the request could not be handled; the server's log says why");
}

void act_serve_canceled(struct act_call_state *c)
{
    if (c->reason == BACKEND_CANCEL_TIMED_OUT)
        tell_problem(c, PROBLEM_TIMEOUT, "the request took longer than it may");
    else if (c->reason == BACKEND_CANCEL_SHUTDOWN)
        tell_problem(c, PROBLEM_UNAVAILABLE, "the server is stopping");
    else
        tell(c, NULL, false);
}

/* A raised ml.problem: its parts were made when it was. False: it is none. */
static bool raised_problem(struct act_call_state *c, lua_State *co)
{
    int top = lua_gettop(co);
    bool ours = false;
    if (lua_istable(co, top) && lua_checkstack(co, 12) && lua_getmetatable(co, top)) {
        lua_pushliteral(co, "__name");
        if (lua_rawget(co, -2) == LUA_TSTRING)
            ours = strcmp(lua_tostring(co, -1), "moonloop.problem") == 0;
    }
    lua_settop(co, top);
    if (!ours) return false;
    struct http_answer a = {0};
    struct arena keep;
    arena_init(&keep, 1u << 20);
    lua_pushliteral(co, "status");
    lua_rawget(co, top);
    a.status = (int)lua_tointeger(co, -1);
    lua_pushliteral(co, "flat");
    lua_rawget(co, top);
    a.headers = read_headers(co, lua_gettop(co), &keep, &a.n_headers);
    lua_pushliteral(co, "body");
    if (lua_rawget(co, top) == LUA_TSTRING) a.body.p = lua_tolstring(co, -1, &a.body.n);
    if (c->serve->streaming || !a.headers)
        tell(c, NULL, false);
    else
        tell(c, &a, true);
    arena_free(&keep);
    lua_settop(co, top);
    return true;
}

static void log_error(struct act_call_state *c, const char *text)
{
    log_printf(c->h->env.log, LOG_ERROR, "%s: " STR_FMT " " STR_FMT ": %s", c->h->path,
               STR_ARG(c->serve->method), STR_ARG(c->serve->path), text);
}

void act_serve_ended(struct act_call_state *c, struct act_co *co, enum sandbox_status status,
                     int nres)
{
    struct act_state *st = co->st;
    struct err e = {0};
    if (c->serve->told && status != SANDBOX_ERROR)
        return; /* it follows a run, or is over its time */
    if (status == SANDBOX_DONE && c->serve->streaming) {
        tell(c, NULL, true);
    } else if (status == SANDBOX_DONE && nres >= 3) {
        int at = lua_gettop(co->co) - nres + 1;
        struct http_answer a = {.status = (int)lua_tointeger(co->co, at)};
        struct arena keep;
        arena_init(&keep, 1u << 20);
        if (lua_checkstack(co->co, 10))
            a.headers = read_headers(co->co, at + 1, &keep, &a.n_headers);
        if (lua_type(co->co, at + 2) == LUA_TSTRING)
            a.body.p = lua_tolstring(co->co, at + 2, &a.body.n);
        if (!a.headers)
            internal(c);
        else
            tell(c, &a, true);
        arena_free(&keep);
    } else if (status == SANDBOX_ERROR && co->scope.unwinding && c->cancel_requested) {
        act_serve_canceled(c);
    } else if (status == SANDBOX_ERROR) {
        if (raised_problem(c, co->co)) return;
        act_error_text(st, co->co, &e, true);
        log_error(c, e.text);
        internal(c);
    } else if (status == SANDBOX_LIMIT && st->sb.limit == LIMIT_MEMORY) {
        log_error(c, "the handler needed more memory than its state may have");
        tell_problem(c, PROBLEM_UNAVAILABLE, "there is not enough memory for this request");
    } else {
        log_error(c, "the handler computed too long where it cannot be paused");
        internal(c);
    }
}

void act_serve_complete(struct act_call_state *c)
{
    if (!c->serve->told) {
        if (c->cancel_requested)
            act_serve_canceled(c);
        else
            internal(c);
    }
    act_call_free(c);
}
