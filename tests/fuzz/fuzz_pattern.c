/* Lua patterns by our own matcher, in a state with a budget. Keeps true: any pattern ends within
 * the budget; where it ends early, Lua's own matcher finds the same. The input is a pattern and a
 * subject with a zero byte between them; the first byte chooses the function. */
#include "fuzz.h"
#include "script/sandbox.h"
#include <lauxlib.h>
#include <lualib.h>

#define STEPS_MAX 200000 /* of our matcher */
#define STEPS_COMPARED 20000

#define EACH_MATCH                                                                                 \
    "local t = {} "                                                                                \
    "local ok, e = pcall(function() "                                                              \
    "for a, b in string.gmatch(S, P) do t[#t + 1] = tostring(a) .. ':' .. tostring(b) end end) "   \
    "return ok, ok and table.concat(t, ' ') or e"
static const char *const calls[] = {"return pcall(string.find, S, P)",
                                    "return pcall(string.match, S, P, 2)",
                                    "return pcall(string.gsub, S, P, '<%0>')", EACH_MATCH};

/* Results as text; errors only as such, their words differ. */
static void results(lua_State *L, int n, struct buf *out)
{
    bool ok = n > 0 && lua_toboolean(L, -n);
    buf_puts(out, ok ? "ok" : "error");
    for (int i = 1; ok && i < n; i++) {
        size_t len;
        const char *s = luaL_tolstring(L, -n + i, &len);
        buf_putc(out, '|');
        buf_put(out, s, len);
        lua_pop(L, 1);
    }
}

static bool ours(const char *call, struct str s, struct str p, struct buf *out)
{
    struct sandbox sb = {.mem_max = 16 << 20};
    struct sandbox_scope scope = {false};
    int n = 0;
    FUZZ_CHECK(sandbox_open(&sb, SANDBOX_HOST, NULL) == 0);
    sb.scope = &scope;
    lua_pushlstring(sb.L, s.p, s.n);
    lua_setglobal(sb.L, "S");
    lua_pushlstring(sb.L, p.p, p.n);
    lua_setglobal(sb.L, "P");
    lua_State *co = sandbox_coroutine(&sb);
    FUZZ_CHECK(co != NULL);
    FUZZ_CHECK(sandbox_load(&sb, co, str_of(call), STR("=call"), false, NULL) == 0);
    sandbox_budget_reset(&sb, STEPS_MAX);
    sb.slice_left = STEPS_MAX * 2;
    enum sandbox_status status = sandbox_resume(&sb, co, 0, &n);
    FUZZ_CHECK(status == SANDBOX_DONE || status == SANDBOX_LIMIT);
    FUZZ_CHECK(sb.instructions < 2 * STEPS_MAX);
    bool compare = status == SANDBOX_DONE && sb.instructions < STEPS_COMPARED;
    if (compare) results(co, n, out);
    sandbox_close(&sb);
    return compare;
}

static void stock(const char *call, struct str s, struct str p, struct buf *out)
{
    lua_State *L = luaL_newstate();
    FUZZ_CHECK(L != NULL);
    luaL_openlibs(L);
    lua_pushlstring(L, s.p, s.n);
    lua_setglobal(L, "S");
    lua_pushlstring(L, p.p, p.n);
    lua_setglobal(L, "P");
    FUZZ_CHECK(luaL_loadstring(L, call) == LUA_OK);
    FUZZ_CHECK(lua_pcall(L, 0, LUA_MULTRET, 0) == LUA_OK);
    results(L, lua_gettop(L), out);
    lua_close(L);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_in in = {data, n};
    const char *call = calls[fuzz_byte(&in) % (sizeof calls / sizeof *calls)];
    struct str all = fuzz_rest(&in);
    const char *zero = memchr(all.p, 0, all.n);
    struct str p = zero ? str_make(all.p, (size_t)(zero - all.p)) : all;
    struct str s = zero ? str_make(zero + 1, all.n - p.n - 1) : STR("");
    struct buf one, two;
    buf_init(&one, 1 << 24);
    buf_init(&two, 1 << 24);
    if (ours(call, s, p, &one)) {
        stock(call, s, p, &two);
        FUZZ_SAME(buf_str(&one), buf_str(&two));
    }
    buf_free(&one);
    buf_free(&two);
    return 0;
}
