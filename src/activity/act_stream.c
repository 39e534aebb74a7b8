/* Streamed responses: res:chunks() gives pieces as they come, res:events() server-sent events.
 * Keeps true: what the script has not read stays bounded (the transfer pauses), and a stream that
 * nobody holds is cancelled. */
#include "activity/act_http.h"
#include "http/sse.h"

#include <stdio.h>

struct stream {
    struct act_host *h;
    struct http_client *client;
    uint64_t id;           /* 0: over */
    struct act_op *reader; /* who waits */
    bool begun, done;
    struct http_failure failure;
    struct buf data;
    struct sse sse;
    bool sse_used;
    lua_State *L; /* only inside sse_feed */
    int queue;
};

struct stream_op {
    struct act_op op;
    struct stream *s; /* kept by uservalue 1 */
    struct arena arena;
    struct http_response r;
    struct str method;
    bool have;
};

static void wake(struct stream *s)
{
    if (s->reader) act_op_done(s->reader);
}

static void on_response(void *ud, const struct http_response *r)
{
    struct stream *s = ud;
    struct stream_op *o = (struct stream_op *)s->reader;
    s->begun = true;
    if (!o) return;
    o->r = *r;
    struct http_header *headers = arena_alloc(&o->arena, (r->n_headers + 1) * sizeof *headers);
    for (size_t i = 0; headers && i < r->n_headers; i++)
        headers[i] = (struct http_header){arena_str(&o->arena, r->headers[i].name),
                                          arena_str(&o->arena, r->headers[i].value), false};
    o->r.headers = headers;
    o->r.n_headers = headers ? r->n_headers : 0;
    o->r.url = arena_str(&o->arena, r->url);
    o->have = true;
    wake(s);
}

static void on_data(void *ud)
{
    struct stream *s = ud;
    if (s->begun) wake(s);
}

static void on_done(void *ud, const struct http_response *r)
{
    struct stream *s = ud;
    s->done = true;
    s->failure = r->failure;
    wake(s);
}

static void stream_end(struct stream *s)
{
    if (s->id) http_cancel(s->client, s->id);
    s->id = 0;
    s->done = true;
}

static int stream_gc(lua_State *L)
{
    struct stream *s = lua_touserdata(L, 1);
    stream_end(s);
    buf_free(&s->data);
    sse_free(&s->sse);
    return 0;
}

static void on_event(void *ud, const struct sse_event *ev)
{
    struct stream *s = ud;
    lua_State *L = s->L;
    lua_createtable(L, 0, 4);
    lua_pushlstring(L, ev->event.p, ev->event.n);
    lua_setfield(L, -2, "event");
    lua_pushlstring(L, ev->data.p ? ev->data.p : "", ev->data.n);
    lua_setfield(L, -2, "data");
    if (ev->id.n) {
        lua_pushlstring(L, ev->id.p, ev->id.n);
        lua_setfield(L, -2, "id");
    }
    if (ev->retry_ms >= 0) {
        lua_pushinteger(L, ev->retry_ms);
        lua_setfield(L, -2, "retry");
    }
    lua_rawseti(L, s->queue, (lua_Integer)lua_rawlen(L, s->queue) + 1);
}

/* ---- waiting ---- */

static void op_unlink(struct act_op *op)
{
    struct stream_op *o = (struct stream_op *)op;
    if (o->s && o->s->reader == op) o->s->reader = NULL;
}

static void op_release(struct act_op *op)
{
    op_unlink(op);
    arena_free(&((struct stream_op *)op)->arena);
}

static struct stream_op *new_op(lua_State *L, struct stream *s, int idx,
                                int (*push)(lua_State *, struct act_op *))
{
    if (s->reader) act_misuse(L, "the stream is being read by another coroutine");
    idx = lua_absindex(L, idx);
    struct stream_op *o = act_op_new(L, sizeof *o, op_unlink, push, op_release);
    arena_init(&o->arena, 1u << 20);
    lua_pushvalue(L, idx);
    lua_setiuservalue(L, -2, 1);
    o->s = s;
    return o;
}

static int wait_more(lua_State *L, struct stream_op *o)
{
    o->s->reader = &o->op;
    o->op.done = false;
    return act_op_wait(L, o);
}

static int push_chunk(lua_State *L, struct act_op *op)
{
    struct stream_op *o = (struct stream_op *)op;
    struct stream *s = o->s;
    op_unlink(op);
    long n = s->id ? http_read(s->client, s->id, &s->data) : 0;
    if (s->data.n) {
        lua_pushlstring(L, s->data.p, s->data.n);
        buf_reset(&s->data);
        return 1;
    }
    if (n < 0) return act_misuse(L, "the stream could not be read");
    if (!s->done) return wait_more(L, o);
    stream_end(s);
    if (s->failure.type) return act_http_raise(L, &s->failure);
    lua_pushnil(L);
    return 1;
}

/* The first event of the queue (uservalue 1 of the stream), or more from the wire. */
static int push_event(lua_State *L, struct act_op *op)
{
    struct stream_op *o = (struct stream_op *)op;
    struct stream *s = o->s;
    op_unlink(op);
    luaL_checkstack(L, 20, NULL);
    lua_getiuservalue(L, lua_upvalueindex(1), 1);
    int q = lua_gettop(L);
    long n = s->id ? http_read(s->client, s->id, &s->data) : 0;
    if (s->data.n) {
        s->L = L;
        s->queue = q;
        int code = sse_feed(&s->sse, buf_str(&s->data));
        buf_reset(&s->data);
        if (code < 0) {
            stream_end(s);
            return act_fail(L, "TooLarge", false, "a server-sent event is larger than 8 MiB");
        }
    }
    if (lua_rawlen(L, q) > 0) {
        lua_pushinteger(L, 1);
        lua_setiuservalue(L, lua_upvalueindex(1), 2);
        lua_rawgeti(L, q, 1);
        return 1;
    }
    if (n < 0) return act_misuse(L, "the stream could not be read");
    lua_pop(L, 1);
    if (!s->done) return wait_more(L, o);
    stream_end(s);
    if (s->failure.type) return act_http_raise(L, &s->failure);
    lua_pushnil(L);
    return 1;
}

static int next_chunk(lua_State *L)
{
    struct stream *s = luaL_checkudata(L, lua_upvalueindex(1), "moonloop.stream");
    lua_settop(L, 0);
    return act_op_wait(L, new_op(L, s, lua_upvalueindex(1), push_chunk));
}

/* uservalue 1 is the queue, 2 the index of the event that was given last. */
static int next_event(lua_State *L)
{
    struct stream *s = luaL_checkudata(L, lua_upvalueindex(1), "moonloop.stream");
    lua_settop(L, 0);
    lua_getiuservalue(L, lua_upvalueindex(1), 1);
    lua_getiuservalue(L, lua_upvalueindex(1), 2);
    lua_Integer at = lua_tointeger(L, 2) + 1;
    if (at <= (lua_Integer)lua_rawlen(L, 1)) {
        lua_pushinteger(L, at);
        lua_setiuservalue(L, lua_upvalueindex(1), 2);
        lua_rawgeti(L, 1, at);
        return 1;
    }
    lua_newtable(L);
    lua_setiuservalue(L, lua_upvalueindex(1), 1);
    lua_pushinteger(L, 0);
    lua_setiuservalue(L, lua_upvalueindex(1), 2);
    lua_settop(L, 0);
    return act_op_wait(L, new_op(L, s, lua_upvalueindex(1), push_event));
}

static int iterator(lua_State *L, lua_CFunction next, bool events)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "stream");
    struct stream *s = luaL_testudata(L, -1, "moonloop.stream");
    if (!s)
        return act_misuse(L, "the response was not asked for as a stream: use the option %s",
                          events ? "sse = true" : "stream = true");
    if (s->sse_used && !events) return act_misuse(L, "the stream is read by res:events() already");
    s->sse_used = events;
    lua_pushcclosure(L, next, 1);
    return 1;
}

static int response_chunks(lua_State *L)
{
    return iterator(L, next_chunk, false);
}

static int response_events(lua_State *L)
{
    return iterator(L, next_event, true);
}

static int response_close(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "stream");
    struct stream *s = luaL_testudata(L, -1, "moonloop.stream");
    if (s) stream_end(s);
    return 0;
}

/* ---- starting ---- */

static int push_begun(lua_State *L, struct act_op *op)
{
    struct stream_op *o = (struct stream_op *)op;
    struct stream *s = o->s;
    if (!o->have && !s->done) return wait_more(L, o);
    op_unlink(op);
    if (!o->have) {
        stream_end(s);
        if (s->failure.type) return act_http_raise(L, &s->failure);
        return act_fail(L, "Connection", true, "the stream ended before its headers");
    }
    act_push_response(L, &o->r, o->method, true);
    for (int i = lua_gettop(L) - 1; i > 0; i--) { /* the op stands in this frame */
        if (lua_type(L, i) != LUA_TUSERDATA || lua_touserdata(L, i) != op) continue;
        lua_getiuservalue(L, i, 1);
        break;
    }
    lua_setfield(L, -2, "stream");
    return 1;
}

int act_stream_start(lua_State *L, const struct http_request *r)
{
    static const struct http_events events = {
        .on_response = on_response, .on_data = on_data, .on_done = on_done};
    struct err e = {0};
    struct http_client *client = act_http_client(L);
    luaL_checkstack(L, 20, NULL);
    struct stream *s = lua_newuserdatauv(L, sizeof *s, 2);
    memset(s, 0, sizeof *s);
    s->h = act_host_of(L);
    s->client = client;
    buf_init(&s->data, HTTP_STREAM_BUFFER * 4);
    sse_init(&s->sse, on_event, s);
    luaL_setmetatable(L, "moonloop.stream");
    lua_newtable(L);
    lua_setiuservalue(L, -2, 1);
    struct stream_op *o = new_op(L, s, -1, push_begun);
    o->method = arena_str(&o->arena, r->method);
    if (http_start(client, r, &events, s, &s->id, &e) < 0) {
        s->id = 0;
        if (e.code == ERR_ARG) return act_fail(L, "BadRequest", false, "ml.http: %s", e.text);
        return act_fail_err(L, "ml.http", &e);
    }
    return wait_more(L, o);
}

void act_open_stream(lua_State *L)
{
    static const luaL_Reg methods[] = {{"chunks", response_chunks},
                                       {"events", response_events},
                                       {"close", response_close},
                                       {NULL, NULL}};
    int top = lua_gettop(L);
    luaL_newmetatable(L, "moonloop.stream");
    lua_pushcfunction(L, stream_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "stream");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_getmetatable(L, "moonloop.response");
    lua_getfield(L, -1, "__index");
    luaL_setfuncs(L, methods, 0);
    lua_settop(L, top);
}
