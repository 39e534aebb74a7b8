/* Callers who sign what they send (http/webhook.h). Here is the call of webhook_check.lua; secrets
 * stay in C, and the reason of a refusal is for the log. */
#include "activity/act_internal.h"
#include "http/webhook.h"

#define SECRET_MAX (1u << 16)

/* The text at idx, or the value of the secret there; kept by a value that is pushed. */
static struct str key_text(lua_State *L, int idx)
{
    if (!act_is_secret(L, idx)) return act_check_str(L, idx);
    struct buf *b = act_buf(L, SECRET_MAX);
    act_secret_value(L, idx, b);
    return buf_str(b);
}

/* The secrets of the list at idx as bytes; each stays with a buffer on the stack. */
static size_t read_secrets(lua_State *L, int idx, bool github, struct str out[WEBHOOK_SECRETS_MAX])
{
    struct err e = {0};
    size_t n = lua_rawlen(L, idx);
    if (n == 0 || n > WEBHOOK_SECRETS_MAX)
        act_misuse(L, "ml.webhook: one secret, or a list of up to %d", WEBHOOK_SECRETS_MAX);
    luaL_checkstack(L, (int)(3 * n) + 10, NULL);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, idx, (lua_Integer)i + 1);
        struct str text = key_text(L, lua_gettop(L));
        if (github && text.n == 0) act_misuse(L, "ml.webhook: a secret is empty");
        struct buf *b = act_buf(L, SECRET_MAX);
        int code = github ? buf_putstr(b, text) : webhook_secret_read(text, b, &e);
        if (code) act_misuse(L, "ml.webhook: %s", e.text);
        out[i] = buf_str(b);
    }
    return n;
}

/* core.webhook_verify("standard" | "github", secrets, {id, timestamp, signature}, body, tolerance
 * in seconds): true, or nil and why. Raises for secrets that are none. */
static int core_webhook_verify(lua_State *L)
{
    static const char *const kinds[] = {"standard", "github", NULL};
    bool github = luaL_checkoption(L, 1, NULL, kinds) == 1;
    struct str secrets[WEBHOOK_SECRETS_MAX], body = act_check_str(L, 4);
    struct webhook_headers h = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    struct str *parts[] = {&h.id, &h.timestamp, &h.signature};
    static const char *const names[] = {"id", "timestamp", "signature"};
    int64_t tolerance = luaL_optinteger(L, 5, 0);
    struct err e = {0};
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TTABLE);
    for (int i = 0; i < 3; i++) {
        lua_getfield(L, 3, names[i]);
        if (lua_isstring(L, -1)) parts[i]->p = lua_tolstring(L, -1, &parts[i]->n);
        lua_pop(L, 1); /* kept by the table */
    }
    size_t n = read_secrets(L, 2, github, secrets);
    int code = github ? webhook_verify_github(secrets, n, h.signature, body, &e)
                      : webhook_verify(secrets, n, &h, body, clock_wall(act_host_of(L)->env.clock),
                                       tolerance, &e);
    if (code == ERR_NOMEM) return act_misuse(L, "out of memory");
    if (code) {
        lua_pushnil(L);
        lua_pushstring(L, e.text);
        return 2;
    }
    lua_pushboolean(L, 1);
    return 1;
}

void act_open_webhook(lua_State *L)
{
    static const luaL_Reg functions[] = {{"webhook_verify", core_webhook_verify}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
