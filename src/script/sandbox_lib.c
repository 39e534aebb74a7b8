/* Replaced library functions: texts without addresses, setmetatable without finalizers, load for
 * text only, chance from the port. Opened by sandbox.c; the Lua part is lua/moonloop/prelude.lua,
 * what C functions cost is sandbox_costs.c. */
#include "base/rng.h"
#include "script/sandbox_impl.h"
#include <math.h>

/* ---- text of values ---- */
static lua_Integer id_of(lua_State *L, int idx)
{
    struct sandbox_impl *im = impl_of(sandbox_of(L));
    lua_Integer id;
    idx = lua_absindex(L, idx);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_ids);
    lua_pushvalue(L, idx);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        if (sandbox_of(L)->aside) {
            lua_pop(L, 2);
            return 0;
        }
        id = ++im->last_id;
        lua_pushvalue(L, idx);
        lua_pushinteger(L, id);
        lua_rawset(L, -4);
    } else {
        id = lua_tointeger(L, -1);
    }
    lua_pop(L, 2);
    return id;
}

static void push_id(lua_State *L, int idx)
{
    idx = lua_absindex(L, idx);
    const char *name = luaL_typename(L, idx);
    bool pushed = luaL_getmetafield(L, idx, "__name") != LUA_TNIL;
    if (pushed && lua_type(L, -1) == LUA_TSTRING) name = lua_tostring(L, -1);
    lua_pushfstring(L, "%s#%I", name, (LUAI_UACINT)id_of(L, idx));
    if (pushed) lua_remove(L, -2);
}

const char *sandbox_tostring(lua_State *L, int idx, size_t *n)
{
    idx = lua_absindex(L, idx);
    int type = lua_type(L, idx);
    if (luaL_callmeta(L, idx, "__tostring")) {
        if (!lua_isstring(L, -1)) luaL_error(L, "'__tostring' must return a string");
    } else if (type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA ||
               type == LUA_TTHREAD || type == LUA_TLIGHTUSERDATA) {
        push_id(L, idx);
    } else {
        luaL_tolstring(L, idx, NULL);
    }
    return lua_tolstring(L, -1, n);
}

static int lib_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    sandbox_tostring(L, 1, NULL);
    return 1;
}

static int lib_print(lua_State *L)
{
    struct sandbox *sb = sandbox_of(L);
    luaL_Buffer b;
    int n = lua_gettop(L);
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1) luaL_addchar(&b, '\t');
        sandbox_tostring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    struct str line;
    line.p = lua_tolstring(L, -1, &line.n);
    sandbox_charge(L, 16 + line.n / 16);
    if (sb->print) sb->print(sb->ud, line);
    return 0;
}

/* string.format: every %s and %p is made text here, the rest is the stock function (upvalue 1). */
static int lib_format(lua_State *L)
{
    size_t n;
    const char *f = luaL_checklstring(L, 1, &n), *end = f + n, *from = f;
    int arg = 1, top = lua_gettop(L);
    bool changed = false;
    uint64_t work = n / 16;
    luaL_checkstack(L, 4, NULL);
    for (const char *p = f; p < end; p++) {
        if (*p != '%') continue;
        if (++p < end && *p == '%') continue;
        work += 4;
        while (p < end && strchr("-+ #0123456789.", *p) && *p)
            p++;
        if (++arg > top || p >= end) break;
        if (*p == 's' && lua_type(L, arg) != LUA_TSTRING) {
            sandbox_tostring(L, arg, NULL);
            lua_replace(L, arg);
        }
        changed = changed || *p == 'p';
        if (strchr("fFgGeEaA", *p)) work += 120; /* up to 400 digits of a float */
    }
    sandbox_charge(L, work);
    if (changed) { /* %p becomes %s of "table#17" */
        luaL_Buffer b;
        arg = 1;
        luaL_buffinit(L, &b);
        for (const char *p = f; p < end; p++) {
            if (*p != '%') continue;
            if (++p < end && *p == '%') continue;
            while (p < end && strchr("-+ #0123456789.", *p) && *p)
                p++;
            if (p >= end || ++arg > top) break;
            if (*p != 'p') continue;
            luaL_addlstring(&b, from, (size_t)(p - from));
            luaL_addchar(&b, 's');
            from = p + 1;
            int type = lua_type(L, arg);
            if (type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA ||
                type == LUA_TTHREAD)
                push_id(L, arg);
            else
                lua_pushliteral(L, "(null)");
            lua_replace(L, arg);
        }
        luaL_addlstring(&b, from, (size_t)(end - from));
        luaL_pushresult(&b);
        lua_replace(L, 1);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, top, LUA_MULTRET);
    return lua_gettop(L);
}

/* ---- metatables ---- */
#define CALL_CHAIN_MAX 20

/* A table whose __call is a table that is called in turn: Lua shifts the whole stack for each link,
 * and a table that is its own __call does so until the stack is full, which takes minutes without
 * one look of the hook. The metatable is on top. */
static void check_call_chain(lua_State *L)
{
    int links = 0, top = lua_gettop(L);
    luaL_checkstack(L, 5, NULL);
    lua_pushvalue(L, top);
    for (;;) {
        lua_pushliteral(L, "__call");
        int type = lua_rawget(L, -2);
        if (type != LUA_TTABLE || !lua_getmetatable(L, -1)) break;
        if (++links > CALL_CHAIN_MAX)
            luaL_error(L, "setmetatable: more than %d tables in a chain of __call", CALL_CHAIN_MAX);
        lua_replace(L, top + 1);
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
}

static int lib_setmetatable(lua_State *L)
{
    int t = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, t == LUA_TNIL || t == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    if (t == LUA_TTABLE) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "setmetatable: __gc is not available (use <close> for clean-up)");
        if (sandbox_of(L)->kind ==
            SANDBOX_RUN) { /* when a weak entry goes would depend on the collector */
            lua_pushliteral(L, "__mode");
            lua_pushnil(L);
            lua_rawset(L, 2);
        }
        lua_settop(L, 2);
        lua_setmetatable(L, 1);
        lua_getmetatable(L, 1);
        check_call_chain(L);
        lua_settop(L, 1);
        return 1;
    }
    lua_setmetatable(L, 1);
    return 1;
}

static int lib_collectgarbage(lua_State *L)
{
    static const char *const options[] = {
        "collect",      "stop",        "restart",  "count",      "step", "isrunning",
        "generational", "incremental", "setpause", "setstepmul", NULL};
    switch (luaL_checkoption(L, 1, "collect", options)) {
    case 3:
        lua_pushnumber(L, 0);
        return 1;
    case 4:
    case 5:
        lua_pushboolean(L, 1);
        return 1;
    case 6:
    case 7:
        lua_pushliteral(L, "incremental");
        return 1;
    default:
        lua_pushinteger(L, 0);
        return 1;
    }
}

/* ---- load: text only ---- */
static int lib_load(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n), *name = luaL_optstring(L, 2, text),
               *mode = luaL_optstring(L, 3, "t");
    bool env = !lua_isnone(L, 4);
    if (!strchr(mode, 't')) {
        lua_pushnil(L);
        lua_pushliteral(L, "attempt to load a binary chunk: only text can be loaded");
        return 2;
    }
    sandbox_charge(L, n / 4);
    int status = luaL_loadbufferx(L, text, n, name, "t");
    if (status == LUA_ERRMEM) {
        sandbox_of(L)->limit = LIMIT_MEMORY;
        return sandbox_stop(L);
    }
    if (status != LUA_OK) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (!env) {
        sandbox_set_env(L, false);
        return 1;
    }
    lua_pushvalue(L, 4);
    if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
    return 1;
}

/* ---- chance ---- */
static uint64_t random_bits(lua_State *L)
{
    struct sandbox *sb = sandbox_of(L);
    struct sandbox_impl *im = sb->impl;
    bool own = im->own_rng && !sb->aside;
    if (!own && sb->random) return sb->random(sb->ud);
    if (!own) {
        char seed[32];
        if (sb->kind == SANDBOX_RUN || entropy_fill(&entropy_system, seed, sizeof seed))
            luaL_error(L, "math.random: no source of chance here");
        rng_seed(&im->rng, str_make(seed, sizeof seed));
        im->own_rng = true;
    }
    return rng_next(&im->rng);
}

static int lib_random(lua_State *L)
{
    lua_Integer low = 1, high;
    int n = lua_gettop(L);
    if (n == 0) {
        lua_pushnumber(L, (double)(random_bits(L) >> 11) * 0x1p-53);
        return 1;
    }
    if (n > 2) return luaL_error(L, "wrong number of arguments");
    high = luaL_checkinteger(L, n);
    if (n == 2)
        low = luaL_checkinteger(L, 1);
    else if (high == 0) {
        lua_pushinteger(L, (lua_Integer)random_bits(L));
        return 1;
    }
    luaL_argcheck(L, low <= high, n, "interval is empty");
    uint64_t span = (uint64_t)high - (uint64_t)low + 1, r = random_bits(L);
    if (span != 0) {
        uint64_t unfair = (0 - span) % span; /* 2^64 mod span */
        while (r < unfair)
            r = random_bits(L);
        r %= span;
    }
    lua_pushinteger(L, (lua_Integer)((uint64_t)low + r));
    return 1;
}

/* With a seed: a generator of the script's own; without: back to the port. */
static int lib_randomseed(lua_State *L)
{
    struct sandbox_impl *im = impl_of(sandbox_of(L));
    if (sandbox_of(L)->aside)
        return luaL_error(L, "math.randomseed: not here: the chance of the run belongs to its "
                             "functions");
    im->own_rng = false;
    if (lua_isnone(L, 1)) return 0;
    lua_Number a = luaL_checknumber(L, 1), b = luaL_optnumber(L, 2, 0);
    char seed[80];
    int n = snprintf(seed, sizeof seed, "math.randomseed %a %a", a, b);
    rng_seed(&im->rng, str_make(seed, (size_t)n));
    im->own_rng = true;
    return 0;
}

/* ---- opening ---- */
void sandbox_guard(lua_State *L, const char *name, lua_CFunction f)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, name);
}

static void open_strings(lua_State *L)
{
    lua_getglobal(L, LUA_STRLIBNAME);
    sandbox_guard(L, "format", lib_format);
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
    sandbox_open_patterns(L);
    lua_pop(L, 1);
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

void sandbox_open_lib(lua_State *L, struct sandbox *sb)
{
    static const luaL_Reg base[] = {{"tostring", lib_tostring},
                                    {"print", lib_print},
                                    {"setmetatable", lib_setmetatable},
                                    {NULL, NULL}};
    static const luaL_Reg math[] = {
        {"random", lib_random}, {"randomseed", lib_randomseed}, {NULL, NULL}};
    lua_pushglobaltable(L);
    luaL_setfuncs(L, base, 0);
    if (sb->kind == SANDBOX_RUN) {
        static const char *const absent[] = {"dofile", "loadfile", "warn"};
        for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
            lua_pushnil(L);
            lua_setfield(L, -2, absent[i]);
        }
        lua_pushcfunction(L, lib_collectgarbage);
        lua_setfield(L, -2, "collectgarbage");
    }
    lua_getfield(L, -1, LUA_MATHLIBNAME);
    luaL_setfuncs(L, math, 0);
    lua_pop(L, 1);
    lua_pop(L, 1);
    open_strings(L);
    value_set_text(L, lib_tostring);
    sandbox_open_costs(L, sb);
    lua_createtable(L, 0, 1); /* for the prelude */
    lua_pushcfunction(L, lib_load);
    lua_setfield(L, -2, "load");
}
