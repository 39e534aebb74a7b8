/* Time and coroutines in a host state: ml.sleep, ml.spawn, futures, and the core that
 * lua/moonloop/flow.lua (ml.all, ml.race, ml.saga) is written over. ml.timeout and ml.shield are
 * the few lines of Lua in act_prelude. */
#include "activity/act_internal.h"

#include <stdio.h>

/* ---- sleep ---- */

struct sleep_op {
    struct act_op op;
    struct loop_timer *timer;
    uint64_t id;
    bool engine;
};

/* Whether the engine's clock counts the wait. Not for a local activity: it runs inside a workflow
 * task, and virtual time stands still while one is under way, so its waits take real time. */
static bool on_engine(lua_State *L)
{
    return act_host_of(L)->env.sleep_until && !act_current(L)->info.local;
}

static void sleep_done(void *ud)
{
    struct sleep_op *s = ud;
    s->engine = false;
    act_op_done(&s->op);
}

static void sleep_release(struct act_op *op)
{
    struct sleep_op *s = (struct sleep_op *)op;
    struct act_env *env = &op->h->env;
    if (s->timer) loop_timer_close(s->timer);
    s->timer = NULL;
    if (s->engine) env->sleep_cancel(env->ud, s->id);
    s->engine = false;
}

static int sleep_push(lua_State *L, struct act_op *op)
{
    (void)L;
    sleep_release(op);
    return 0;
}

static int sleep_for(lua_State *L, int64_t ns, const char *fname)
{
    struct act_host *h = act_host_of(L);
    act_act(L, fname);
    struct sleep_op *s = act_op_new(L, sizeof *s, sleep_release, sleep_push, sleep_release);
    s->op.done = false;
    if (on_engine(L)) {
        s->engine = true;
        h->env.sleep_until(h->env.ud, act_now(h) + (ns > 0 ? ns : 0), true, sleep_done, s, &s->id);
        s->engine = s->id != 0;
        if (!s->engine) return act_misuse(L, "%s: out of memory", fname);
    } else {
        if (loop_timer_open(h->env.loop, sleep_done, s, &s->timer) < 0)
            return act_misuse(L, "%s: out of memory", fname);
        loop_timer_start(s->timer, ns > 0 ? ns : 0);
    }
    return act_op_wait(L, s);
}

static int ml_sleep(lua_State *L)
{
    return sleep_for(L, api_check_duration(L, 1, "ml.sleep"), "ml.sleep");
}

static int ml_sleep_until(lua_State *L)
{
    return sleep_for(L, time_minus(api_check_time(L, 1, "ml.sleep_until"), act_now(act_host_of(L))),
                     "ml.sleep_until");
}

/* ---- futures ---- */

enum { PENDING, DONE, FAILED };
struct future {
    uint64_t co;
    int state;
    bool canceled; /* ended because it was cancelled */
};

static struct future *check_future(lua_State *L, int idx)
{
    return luaL_checkudata(L, idx, "moonloop.future");
}

struct settling {
    struct act_co *co;
    enum sandbox_status status;
    int nres;
};

/* Moves the outcome of a finished coroutine into its future: uservalue 1 is a packed table, or the
 * error. */
static int settle_future(lua_State *L)
{
    struct settling *s = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->co->future_ref);
    struct future *f = lua_touserdata(L, -1);
    f->canceled = s->co->scope.unwinding && s->co->canceled;
    if (s->status == SANDBOX_DONE) {
        lua_createtable(L, s->nres, 1);
        for (int i = 1; i <= s->nres; i++) {
            lua_pushvalue(s->co->co, -s->nres + i - 1);
            lua_xmove(s->co->co, L, 1);
            lua_rawseti(L, -2, i);
        }
        lua_pushinteger(L, s->nres);
        lua_setfield(L, -2, "n");
        lua_setiuservalue(L, -2, 1);
        f->state = DONE;
        return 0;
    }
    f->state = FAILED;
    if (s->status == SANDBOX_ERROR) {
        lua_pushvalue(s->co->co, -1);
        lua_xmove(s->co->co, L, 1);
    } else {
        struct act_host *h = s->co->call->h;
        bool memory = s->co->st->sb.limit == LIMIT_MEMORY;
        failure_push(
            L, failure_app(
                   &h->scratch, memory ? STR("OutOfMemory") : STR("ActivityLimit"),
                   memory ? STR("a spawned coroutine needed more memory than its state may have")
                          : STR("a spawned coroutine computed for more than 3 s where it cannot be "
                                "paused"),
                   false, NULL, NULL));
    }
    lua_setiuservalue(L, -2, 1);
    return 0;
}

void act_future_settle(struct act_co *co, enum sandbox_status status, int nres)
{
    if (co->future_ref == LUA_NOREF) return;
    struct settling s = {co, status, nres};
    lua_State *L = co->st->sb.L;
    if (!lua_checkstack(co->co, 4) || !lua_checkstack(L, 4)) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, co->future_ref);
    struct future *f = lua_touserdata(L, -1);
    f->state = FAILED; /* stays when there is no memory for more */
    lua_pop(L, 1);
    enum sandbox_limit limit = co->st->sb.limit;
    lua_pushcfunction(L, settle_future);
    lua_pushlightuserdata(L, &s);
    if (sandbox_call(&co->st->sb, L, 1, 0) != SANDBOX_DONE) lua_settop(L, 0);
    co->st->sb.limit = limit;
}

/* core.spawn(fn, ...), core.spawn_apart(fn, ...): the latter is not cancelled with its call. */
static int spawn(lua_State *L, bool apart)
{
    struct act_host *h = act_host_of(L);
    struct act_co *parent = h->current;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    int n = lua_gettop(L);
    if (!parent) return act_misuse(L, "ml.spawn: not here");
    struct future *f = lua_newuserdatauv(L, sizeof *f, 1);
    memset(f, 0, sizeof *f);
    luaL_setmetatable(L, "moonloop.future");
    lua_pushvalue(L, -1);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    struct act_co *co = act_co_new(parent->call, parent->st);
    if (!co || !lua_checkstack(co->co, n + 5)) {
        if (co) act_co_free(co);
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        return act_misuse(L, "ml.spawn: out of memory");
    }
    co->future_ref = ref;
    co->apart = apart;
    f->co = co->id;
    lua_insert(L, 1); /* the future below function and arguments */
    lua_xmove(L, co->co, n);
    co->nargs = n - 1;
    act_co_ready(co);
    return 1;
}

static int ml_spawn(lua_State *L)
{
    struct act_co *co = act_host_of(L)->current;
    if (co && co->call->kind == CALL_LOAD) act_act(L, "ml.spawn");
    return spawn(L, false);
}

static int core_spawn_apart(lua_State *L)
{
    return spawn(L, true);
}

static int outcome(lua_State *L, int idx)
{
    struct future *f = check_future(L, idx);
    int type = lua_getiuservalue(L, idx, 1);
    if (f->state == FAILED) {
        if (type == LUA_TNIL) return act_misuse(L, "not enough memory");
        return lua_error(L);
    }
    lua_getfield(L, -1, "n");
    int n = (int)lua_tointeger(L, -1), t = lua_gettop(L) - 1;
    luaL_checkstack(L, n + 5, "too many results");
    for (int i = 1; i <= n; i++)
        lua_rawgeti(L, t, i);
    return n;
}

/* ---- waiting for futures ---- */

enum { MODE_FAILED, MODE_ANY, MODE_ALL };
struct settle_op {
    struct act_op op;
    struct settle_op *next;
    struct act_call_state *call;
    bool linked, over, engine;
    struct loop_timer *
        timer; /* core.settle(..., duration): as ml.sleep on the engine's clock when there is one */
    uint64_t sleep_id;
    int mode;
    size_t n;
    struct future *f[]; /* the list of them stands in uservalue 1 */
};

/* Whether the wait is over; *at: the future that ended it (from 1), 0 none. */
static bool settled(const struct settle_op *s, size_t *at)
{
    size_t pending = 0;
    *at = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->f[i]->state == PENDING) {
            pending++;
        } else if (s->mode == MODE_ANY || (s->mode == MODE_FAILED && s->f[i]->state == FAILED)) {
            *at = i + 1;
            return true;
        }
    }
    return pending == 0;
}

static void settle_unlink(struct act_op *op)
{
    struct settle_op *s = (struct settle_op *)op;
    if (s->timer) loop_timer_close(s->timer);
    s->timer = NULL;
    if (s->engine) op->h->env.sleep_cancel(op->h->env.ud, s->sleep_id);
    s->engine = false;
    if (!s->linked) return;
    struct settle_op **at = (struct settle_op **)&s->call->settles;
    while (*at && *at != s)
        at = &(*at)->next;
    if (*at) *at = s->next;
    s->linked = false;
}

static int settle_push(lua_State *L, struct act_op *op)
{
    struct settle_op *s = (struct settle_op *)op;
    size_t at;
    bool done = settled(s, &at);
    settle_unlink(op);
    if (s->over && !done) {
        lua_pushboolean(L, 0);
    } else if (at) {
        lua_pushinteger(L, (lua_Integer)at);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static void settle_over(void *ud)
{
    struct settle_op *s = ud;
    s->engine = false;
    s->over = true;
    act_op_done(&s->op);
}

void act_settles_check(struct act_call_state *call)
{
    size_t at;
    for (struct settle_op *s = (struct settle_op *)call->settles; s; s = s->next)
        if (!s->op.done && settled(s, &at)) act_op_done(&s->op);
}

static int wait_for(lua_State *L, int list, int mode, bool steady, int64_t limit_ns)
{
    struct act_call_state *call = act_current(L);
    size_t n = lua_rawlen(L, list), at;
    struct settle_op *s =
        act_op_new(L, sizeof *s + n * sizeof s->f[0], settle_unlink, settle_push, settle_unlink);
    s->mode = mode;
    s->call = call;
    s->op.steady = steady;
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        s->f[i] = check_future(L, -1);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
        s->n++;
    }
    lua_setiuservalue(L, -2, 1);
    s->op.done = settled(s, &at);
    if (!s->op.done) {
        struct act_env *env = &s->op.h->env;
        if (limit_ns >= 0 && on_engine(L)) {
            s->engine = true;
            env->sleep_until(env->ud, act_now(s->op.h) + limit_ns, false, settle_over, s,
                             &s->sleep_id);
            s->engine = s->sleep_id != 0;
            if (!s->engine) return act_misuse(L, "out of memory");
        } else if (limit_ns >= 0) {
            if (loop_timer_open(act_host_of(L)->env.loop, settle_over, s, &s->timer) < 0)
                return act_misuse(L, "out of memory");
            loop_timer_start(s->timer, limit_ns);
        }
        s->next = (struct settle_op *)call->settles;
        call->settles = &s->op;
        s->linked = true;
    }
    return act_op_wait(L, s);
}

/* core.settle(futures, mode, [duration]): the index of the one that ended the wait, nil when all
 * are done, false when the time is over. */
static int core_settle(lua_State *L)
{
    static const char *const modes[] = {"failed", "any", "all", "shield", NULL};
    luaL_checktype(L, 1, LUA_TTABLE);
    int mode = luaL_checkoption(L, 2, NULL, modes);
    int64_t limit = lua_isnoneornil(L, 3) ? -1 : api_check_duration(L, 3, "ml.timeout");
    return wait_for(L, 1, mode == 3 ? MODE_ALL : mode, mode == 3, limit);
}

static int await_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return outcome(L, 1);
}

static int future_await(lua_State *L)
{
    struct future *f = check_future(L, 1);
    lua_settop(L, 1);
    if (f->state != PENDING) return outcome(L, 1);
    lua_pushcfunction(L, core_settle);
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_pushliteral(L, "all");
    lua_callk(L, 2, 0, 0, await_k);
    return await_k(L, LUA_OK, 0);
}

static int future_done(lua_State *L)
{
    lua_pushboolean(L, check_future(L, 1)->state != PENDING);
    return 1;
}

static int future_cancel(lua_State *L)
{
    struct future *f = check_future(L, 1);
    struct act_co *co = f->state == PENDING ? idmap_get(&act_host_of(L)->cos, f->co) : NULL;
    if (co) act_co_cancel(co, luaL_optstring(L, 2, "the future was cancelled"));
    return 0;
}

static int core_was_canceled(lua_State *L)
{
    struct future *f = check_future(L, 1);
    lua_pushboolean(L, f->state == FAILED && f->canceled);
    return 1;
}

static int future_tostring(lua_State *L)
{
    static const char *const states[] = {"pending", "done", "failed"};
    lua_pushfstring(L, "future (%s)", states[check_future(L, 1)->state]);
    return 1;
}

static int core_is_future(lua_State *L)
{
    lua_pushboolean(L, luaL_testudata(L, 1, "moonloop.future") != NULL);
    return 1;
}

static int core_warn(lua_State *L)
{
    struct str s;
    s.p = luaL_checklstring(L, 1, &s.n);
    log_write(act_host_of(L)->env.log, LOG_WARN, s, (struct str){NULL, 0});
    return 0;
}

static int ml_cancel_requested(lua_State *L)
{
    struct act_co *co = act_host_of(L)->current;
    lua_pushboolean(L, co && (co->cancel_pending || co->canceled || co->call->cancel_requested));
    return 1;
}

/* ---- the Lua part ---- */

static const char act_prelude[] =
    "local ml, core = ...\n"
    "local spawn, apart, settle, was_canceled = core.spawn, core.spawn_apart, core.settle, "
    "core.was_canceled\n"
    "local function ending(f, why)\n"
    "  return setmetatable({}, { __close = function()\n"
    "    if not f:done() then f:cancel(why); settle({f}, 'all') end\n"
    "  end })\n"
    "end\n"
    "function ml.timeout(d, fn, ...)\n"
    "  local f = spawn(fn, ...)\n"
    "  local guard <close> = ending(f, 'the time is over')\n"
    "  if settle({f}, 'all', d) ~= false then return true, f:await() end\n"
    "  f:cancel('the time is over')\n"
    "  settle({f}, 'all')\n"
    "  if was_canceled(f) then return false end\n"
    "  return true, f:await()\n"
    "end\n"
    "function core.shield(fn, ...)\n"
    "  local f = apart(fn, ...)\n"
    "  settle({f}, 'shield')\n"
    "  return f:await()\n"
    "end\n"
    "ml.shield = core.shield\n"
    "for _, name in ipairs { 'all', 'race', 'saga' } do\n"
    "  ml[name] = function(...) return require('moonloop.flow')[name](...) end\n"
    "end\n";

static int list_of(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    value_set_list(L, 1);
    lua_settop(L, 1);
    return 1;
}

void act_open_flow(lua_State *L)
{
    static const luaL_Reg functions[] = {{"sleep", ml_sleep},
                                         {"sleep_until", ml_sleep_until},
                                         {"spawn", ml_spawn},
                                         {"cancel_requested", ml_cancel_requested},
                                         {NULL, NULL}};
    static const luaL_Reg core[] = {{"settle", core_settle},
                                    {"spawn", ml_spawn},
                                    {"spawn_apart", core_spawn_apart},
                                    {"warn", core_warn},
                                    {"is_future", core_is_future},
                                    {"was_canceled", core_was_canceled},
                                    {"list", list_of},
                                    {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"await", future_await}, {"done", future_done}, {"cancel", future_cancel}, {NULL, NULL}};
    int ml = lua_gettop(L);
    luaL_setfuncs(L, functions, 0);
    luaL_newmetatable(L, "moonloop.future");
    lua_pushcfunction(L, future_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    if (luaL_loadbufferx(L, act_prelude, strlen(act_prelude), "=moonloop", "t") != LUA_OK)
        lua_error(L);
    lua_pushvalue(L, ml);
    luaL_newlib(L, core);
    lua_pushvalue(L, -1);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_insert(L, -2);
    lua_setfield(L, -2, "moonloop.core");
    lua_pop(L, 1);
    lua_call(L, 2, 0);
    lua_settop(L, ml);
}
