/* Tokens of others (JWT) for routes: keys as a value of the host state, and the check. The secret
 * is read here and goes nowhere else. Written over by lua/moonloop/gate.lua. */
#include "activity/act_internal.h"
#include "http/jwt.h"

#define CLASS "moonloop.jwt_keys"

struct keys_box {
    struct jwt_keys *keys;
};

static int keys_gc(lua_State *L)
{
    struct keys_box *b = luaL_checkudata(L, 1, CLASS);
    jwt_keys_free(b->keys);
    b->keys = NULL;
    return 0;
}

/* The text of a field: a secret, an ml.env handle or a text; into a buffer of the state. */
static bool field(lua_State *L, const char *name, struct buf **out)
{
    if (lua_getfield(L, 1, name) == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    int at = lua_gettop(L);
    struct buf *b = act_buf(L, 1u << 20);
    if (act_is_secret(L, at))
        act_secret_value(L, at, b);
    else
        buf_putstr(b, act_check_str(L, at));
    if (b->code) act_misuse(L, "jwt: %s is too long", name);
    *out = b;
    return true;
}

/* core.jwt_keys{ secret = | pem = | jwks = }: keys for core.jwt_verify. */
static int jwt_keys_make(lua_State *L)
{
    struct err e = {0};
    struct buf *text = NULL;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct keys_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    box->keys = NULL;
    luaL_setmetatable(L, CLASS);
    bool secret = field(L, "secret", &text);
    const char *kind = secret                    ? "secret"
                       : field(L, "pem", &text)  ? "pem"
                       : field(L, "jwks", &text) ? "jwks"
                                                 : NULL;
    if (!kind) return act_misuse(L, "jwt: its keys are missing: secret, pem or jwks");
    int rc = jwt_keys_new(secret ? JWT_HS256 : JWT_RS256, &box->keys);
    if (rc) return act_misuse(L, "out of memory");
    struct str none = {NULL, 0};
    if (secret)
        rc = jwt_keys_add_secret(box->keys, none, buf_str(text), &e);
    else if (strcmp(kind, "pem") == 0)
        rc = jwt_keys_add_pem(box->keys, none, buf_str(text), &e);
    else
        rc = jwt_keys_add_jwks(box->keys, buf_str(text), &e);
    if (rc) return act_misuse(L, "jwt: %s: %s", kind, e.text);
    lua_settop(L, 2);
    return 1;
}

/* core.jwt_verify(keys, token, issuer, audience): subject and scopes; nil and the reason. */
static int jwt_check(lua_State *L)
{
    struct keys_box *box = luaL_checkudata(L, 1, CLASS);
    struct str token;
    token.p = luaL_checklstring(L, 2, &token.n);
    struct jwt_policy p = {.leeway_s = -1};
    lua_settop(L, 4);
    if (!lua_isnil(L, 3)) p.issuer = act_check_str(L, 3);
    if (!lua_isnil(L, 4)) p.audience = act_check_str(L, 4);
    struct arena *a = act_arena(L, 1u << 20);
    struct jwt_claims c;
    struct err e = {0};
    int rc = jwt_verify(box->keys, &p, token, clock_wall(act_host_of(L)->env.clock), a, &c, &e);
    if (rc || !c.subject.n) {
        lua_pushnil(L);
        lua_pushstring(L, rc ? e.text : "it has no subject");
        return 2;
    }
    lua_pushlstring(L, c.subject.p, c.subject.n);
    lua_pushlstring(L, c.scopes.p ? c.scopes.p : "", c.scopes.n);
    return 2;
}

/* moonloop.core is there. */
void act_open_jwt(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"jwt_keys", jwt_keys_make}, {"jwt_verify", jwt_check}, {NULL, NULL}};
    int top = lua_gettop(L);
    luaL_newmetatable(L, CLASS);
    lua_pushcfunction(L, keys_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "moonloop.core");
    luaL_setfuncs(L, functions, 0);
    lua_settop(L, top);
}
