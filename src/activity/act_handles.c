/* ml.env and ml.secret: names that are resolved where they are used. Keeps true: an env handle
 * behaves as its text in a host state; a secret never becomes a Lua string, a log line, JSON or an
 * error text: only act_secret_value, called for a header or a token request, reads it. */
#include "activity/act_http.h"

#include <stdlib.h>

#define ENV "moonloop.env"
#define SECRET "moonloop.secret"

bool act_is_env(lua_State *L, int idx)
{
    return luaL_testudata(L, idx, ENV) != NULL;
}

bool act_is_secret(lua_State *L, int idx)
{
    return luaL_testudata(L, idx, SECRET) != NULL;
}

static const char *handle_name(lua_State *L, int idx)
{
    lua_getiuservalue(L, idx, 1);
    const char *name = lua_tostring(L, -1);
    lua_pop(L, 1);
    return name; /* kept by the handle */
}

static int new_handle(lua_State *L, const char *class, const char *fname)
{
    size_t n;
    int given = lua_gettop(L);
    if (act_is_env(L, 1)) {
        act_push_env_value(L, 1);
        lua_replace(L, 1);
    }
    const char *name = luaL_checklstring(L, 1, &n);
    if (n == 0 || strlen(name) != n || strchr(name, '='))
        return act_misuse(L, "%s: '%s' is not a variable's name", fname, name);
    if (given > 1 && !lua_isnil(L, 2)) luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_newuserdatauv(L, 1, 2);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, 3, 1);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 3, 2);
    luaL_setmetatable(L, class);
    return 1;
}

static int ml_env(lua_State *L)
{
    return new_handle(L, ENV, "ml.env");
}

static int ml_secret(lua_State *L)
{
    lua_settop(L, 1);
    return new_handle(L, SECRET, "ml.secret");
}

/* ---- env ---- */

void act_push_env_value(lua_State *L, int idx)
{
    idx = lua_absindex(L, idx);
    const char *name = handle_name(L, idx);
    act_act(L, "reading ml.env");
    const char *value = getenv(name);
    if (value) {
        act_guard_learn(L, value);
        lua_pushstring(L, value);
        return;
    }
    if (lua_getiuservalue(L, idx, 2) == LUA_TSTRING) {
        act_guard_learn(L, lua_tostring(L, -1));
        return;
    }
    act_fail(L, "MissingEnv", false,
             "the environment variable %s is not set; set it, or give a default: ml.env(\"%s\", "
             "\"...\")",
             name, name);
}

/* Makes the arguments that are handles text. */
static void resolve_args(lua_State *L)
{
    for (int i = lua_gettop(L); i > 0; i--) {
        if (!act_is_env(L, i)) continue;
        act_push_env_value(L, i);
        lua_replace(L, i);
    }
}

static int env_tostring(lua_State *L)
{
    act_push_env_value(L, 1);
    return 1;
}

static int env_concat(lua_State *L)
{
    lua_settop(L, 2);
    resolve_args(L);
    lua_concat(L, 2);
    return 1;
}

static int env_len(lua_State *L)
{
    act_push_env_value(L, 1);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
    return 1;
}

static int compare(lua_State *L, int op)
{
    lua_settop(L, 2);
    resolve_args(L);
    lua_pushboolean(L, lua_compare(L, 1, 2, op));
    return 1;
}
static int env_eq(lua_State *L)
{
    return compare(L, LUA_OPEQ);
}
static int env_lt(lua_State *L)
{
    return compare(L, LUA_OPLT);
}
static int env_le(lua_State *L)
{
    return compare(L, LUA_OPLE);
}

/* A method of strings that takes the handle as its string. Upvalue 1: the method. */
static int string_method(lua_State *L)
{
    resolve_args(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int env_index(lua_State *L)
{
    lua_getglobal(L, "string");
    lua_pushvalue(L, 2);
    lua_gettable(L, -2);
    if (!lua_isfunction(L, -1))
        return act_misuse(L, "a text has no '%s'", luaL_tolstring(L, 2, NULL));
    lua_pushcclosure(L, string_method, 1);
    return 1;
}

/* ---- secrets ---- */

static int secret_tostring(lua_State *L)
{
    luaL_checkudata(L, 1, SECRET);
    lua_pushfstring(L, "secret %s", handle_name(L, 1));
    return 1;
}

static int secret_refused(lua_State *L)
{
    int idx = act_is_secret(L, 1) ? 1 : 2;
    return act_misuse(L,
                      "the secret %s cannot be used as a text: give it to auth or to a header of "
                      "ml.http, which put its value in",
                      handle_name(L, idx));
}

/* secret:exists(): whether the environment has it; the one thing that may be asked. */
static int secret_exists(lua_State *L)
{
    if (!act_is_secret(L, 1))
        return act_misuse(L, "secret:exists takes the secret: write secret:exists()");
    const char *value = getenv(handle_name(L, 1));
    lua_pushboolean(L, value && *value);
    return 1;
}

/* Upvalue 1: the methods. */
static int secret_index(lua_State *L)
{
    lua_pushvalue(L, 2);
    return lua_rawget(L, lua_upvalueindex(1)) == LUA_TFUNCTION ? 1 : secret_refused(L);
}

void act_secret_value(lua_State *L, int idx, struct buf *out)
{
    idx = lua_absindex(L, idx);
    const char *name = handle_name(L, idx), *value = getenv(name);
    if (!value)
        act_fail(L, "MissingSecret", false, "the secret %s is not set: put it into the environment",
                 name);
    if (buf_puts(out, value) < 0) act_misuse(L, "the secret %s is too long", name);
}

/* ---- text arguments ---- */

bool act_to_str(lua_State *L, int idx, struct str *out)
{
    idx = lua_absindex(L, idx);
    if (act_is_env(L, idx)) {
        act_push_env_value(L, idx);
        lua_replace(L, idx);
    }
    if (value_to_bytes(L, idx, out)) return true;
    if (!lua_isstring(L, idx)) return false;
    out->p = lua_tolstring(L, idx, &out->n);
    return true;
}

struct str act_check_str(lua_State *L, int idx)
{
    struct str s = {NULL, 0};
    if (!act_to_str(L, idx, &s)) luaL_typeerror(L, idx, "string");
    return s;
}

/* ---- handles inside values ---- */

#define DEPTH_MAX 100

static bool holds_env(lua_State *L, int idx, int depth)
{
    if (act_is_env(L, idx)) return true;
    if (!lua_istable(L, idx) || depth > DEPTH_MAX) return false;
    luaL_checkstack(L, 8, NULL);
    idx = lua_absindex(L, idx);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if ((lua_istable(L, -1) || lua_isuserdata(L, -1)) && holds_env(L, -1, depth + 1)) {
            lua_pop(L, 2);
            return true;
        }
    }
    return false;
}

/* Pushes a copy of the value with texts in the place of env handles. */
static void copy_resolved(lua_State *L, int idx)
{
    idx = lua_absindex(L, idx);
    luaL_checkstack(L, 10, NULL);
    if (act_is_env(L, idx)) {
        act_push_env_value(L, idx);
        return;
    }
    if (!lua_istable(L, idx) || !holds_env(L, idx, 0)) {
        lua_pushvalue(L, idx);
        return;
    }
    lua_newtable(L);
    int to = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        copy_resolved(L, -2);
        lua_rawset(L, to);
    }
    if (value_is_list(L, idx)) value_set_list(L, to);
}

bool act_resolve_handles(lua_State *L, int idx)
{
    if (!holds_env(L, idx, 0)) return false;
    copy_resolved(L, idx);
    return true;
}

void act_encode(lua_State *L, int idx, struct buf *out, const char *root)
{
    struct err e = {0};
    idx = lua_absindex(L, idx);
    bool copied = act_resolve_handles(L, idx);
    if (value_encode(L, copied ? -1 : idx, out, root, &e) < 0) act_misuse(L, "%s", e.text);
    if (copied) lua_pop(L, 1);
}

void act_open_handles(lua_State *L)
{
    static const luaL_Reg env[] = {{"__tostring", env_tostring},
                                   {"__concat", env_concat},
                                   {"__len", env_len},
                                   {"__eq", env_eq},
                                   {"__lt", env_lt},
                                   {"__le", env_le},
                                   {"__index", env_index},
                                   {NULL, NULL}};
    static const luaL_Reg secret[] = {{"__tostring", secret_tostring}, {"__concat", secret_refused},
                                      {"__len", secret_refused},       {"__lt", secret_refused},
                                      {"__le", secret_refused},        {NULL, NULL}};
    static const luaL_Reg secret_methods[] = {{"exists", secret_exists}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"env", ml_env}, {"secret", ml_secret}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    luaL_newmetatable(L, ENV);
    luaL_setfuncs(L, env, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    luaL_newmetatable(L, SECRET);
    luaL_setfuncs(L, secret, 0);
    luaL_newlib(L, secret_methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__methods");
    lua_pushcclosure(L, secret_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
