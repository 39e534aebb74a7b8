/* Runs a Lua chunk in a sandbox the way a scheduler does, for the tests of the script room. The
 * chunk has block(v) (waits once, returns v), cancel() (a cancellation of the scope) and print;
 * what it prints and returns is the result text. */
#ifndef ML_TESTS_SCRIPT_RUNNER_H
#define ML_TESTS_SCRIPT_RUNNER_H
#include "check.h"
#include "script/sandbox.h"
#include <lauxlib.h>

#define RUNNER_SLICE_ALL UINT64_C(1000000000000)
struct runner {
    struct sandbox sb;
    struct sandbox_scope scope;
    struct buf out;
    struct rng rng;
    int blocks;
    uint64_t slices;
};

static int64_t runner_now(void *ud)
{
    (void)ud;
    return INT64_C(1772355600) * NS_PER_S; /* 2026-03-01T09:00:00Z */
}
static uint64_t runner_random(void *ud)
{
    return rng_next(&((struct runner *)ud)->rng);
}
static void runner_print(void *ud, struct str line)
{
    struct runner *r = ud;
    buf_putstr(&r->out, line);
    buf_putc(&r->out, '\n');
}
static int runner_blocked(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L);
}
static int runner_block(lua_State *L)
{
    return sandbox_block(L, 0, runner_blocked);
}
static int runner_cancel(lua_State *L)
{
    lua_pushliteral(L, "cancelled");
    return sandbox_raise_unwinding(L);
}
static int runner_where(lua_State *L)
{
    struct buf b;
    buf_init(&b, 1000);
    sandbox_where(L, &b);
    lua_pushlstring(L, b.p, b.n);
    buf_free(&b);
    return 1;
}

static void runner_open(struct runner *r, enum sandbox_kind kind, size_t mem_max)
{
    struct err e = {0};
    memset(r, 0, sizeof *r);
    buf_init(&r->out, 1 << 20);
    rng_seed(&r->rng, STR("test"));
    r->sb.mem_max = mem_max;
    r->sb.now_ns = runner_now;
    r->sb.random = runner_random;
    r->sb.print = runner_print;
    r->sb.ud = r;
    if (sandbox_open(&r->sb, kind, &e)) fprintf(stderr, "%s\n", e.text);
    CHECK(r->sb.L != NULL);
    r->sb.scope = &r->scope;
    lua_register(r->sb.L, "block", runner_block);
    lua_register(r->sb.L, "cancel", runner_cancel);
    lua_register(r->sb.L, "where", runner_where);
    lua_newtable(r->sb.L);
    value_install(r->sb.L, -1);
    sandbox_preload(&r->sb, "moonloop");
}

static void runner_close(struct runner *r)
{
    sandbox_close(&r->sb);
    buf_free(&r->out);
}

/* Runs to the end in slices; the result text is what was printed and returned, or "error: ..." or
 * "limit: N". */
__attribute__((unused)) static const char *runner_run(struct runner *r, const char *text,
                                                      uint64_t slice)
{
    struct err e = {0};
    enum sandbox_status status;
    int n = 0;
    lua_State *co = sandbox_coroutine(&r->sb);
    CHECK(co != NULL);
    buf_reset(&r->out);
    r->blocks = 0;
    r->slices = 0;
    if (sandbox_load(&r->sb, co, str_of(text), STR("@test.lua"), true, &e)) {
        buf_printf(&r->out, "load: %s", e.text);
        sandbox_release(&r->sb, co);
        return r->out.p;
    }
    do {
        r->sb.slice_left = slice;
        status = sandbox_resume(&r->sb, co, 0, &n);
        r->blocks += status == SANDBOX_BLOCKED;
        r->slices++;
    } while (status == SANDBOX_BLOCKED || status == SANDBOX_SLICE);
    if (status == SANDBOX_LIMIT) {
        buf_printf(&r->out, "limit: %d", (int)r->sb.limit);
        return r->out.p;
    }
    if (status == SANDBOX_ERROR) buf_puts(&r->out, r->scope.unwinding ? "unwound: " : "error: ");
    for (int i = 0; i < n; i++) {
        buf_puts(&r->out, i ? "," : "");
        lua_getglobal(co, "tostring");
        lua_pushvalue(co, -1 - n + i);
        if (lua_pcall(co, 1, 1, 0) == LUA_OK) buf_puts(&r->out, lua_tostring(co, -1));
        lua_pop(co, 1);
    }
    lua_settop(co, 0);
    sandbox_release(&r->sb, co);
    if (!r->out.p) buf_put(&r->out, "", 0), buf_putc(&r->out, 0), r->out.n = 0;
    return r->out.p ? r->out.p : "";
}

#endif
