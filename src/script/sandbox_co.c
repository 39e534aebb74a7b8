/* Coroutines and protected calls of scripts. Keeps true:
 *  - a block or a spent slice inside a coroutine of the script passes through all of its resumers
 * up to sandbox_resume and back again, and none of them sees it;
 *  - pcall, xpcall, resume, wrap and close pass a limit, an exit or an unwinding on. What was
 * entered after the unwinding began is clean-up code and catches its own errors as usual;
 *  - every body runs under a protected call, so <close> variables may block while an error, a
 * cancellation or coroutine.close unwinds it. */
#include "script/sandbox_impl.h"

enum { ENTRY_UNWINDING = 1, ENTRY_KILL = 2, ENTRY_BITS = 2 };
enum step_kind { STEP_RESUME, STEP_WRAP, STEP_CLOSE };

static bool unwinding(const struct sandbox *sb)
{
    return sb->scope && sb->scope->unwinding;
}

static lua_KContext entry_of(lua_State *L)
{
    return (unwinding(sandbox_of(L)) ? ENTRY_UNWINDING : 0) |
           (thread_flags(L) & THREAD_KILL ? ENTRY_KILL : 0);
}

/* How deep C calls may nest depends on where a run was interrupted before (a resumed stack nests
 * less), so in a run the overflow is a limit that ends the task and not an error that a script
 * could branch on. */
static void check_nesting(lua_State *L)
{
    struct sandbox *sb = sandbox_of(L);
    if (sb->kind == SANDBOX_RUN && sb->limit == LIMIT_NONE && lua_type(L, -1) == LUA_TSTRING &&
        strstr(lua_tostring(L, -1), "C stack overflow"))
        sb->limit = LIMIT_MEMORY;
}

/* After something was caught, with the error value on top: returns false when the script may have
 * it. */
static bool passes_on(lua_State *L, int status, lua_KContext entry)
{
    struct sandbox *sb = sandbox_of(L);
    if (sb->limit == LIMIT_NONE && sandbox_is_memory(sb, L, status)) sb->limit = LIMIT_MEMORY;
    check_nesting(L);
    return sb->limit != LIMIT_NONE || impl_of(sb)->exiting ||
           (unwinding(sb) && !(entry & ENTRY_UNWINDING)) ||
           ((thread_flags(L) & THREAD_KILL) && !(entry & ENTRY_KILL));
}

static int pass_on(lua_State *L)
{
    return sandbox_of(L)->limit != LIMIT_NONE ? sandbox_stop(L) : lua_error(L);
}

int sandbox_traceback_handler(lua_State *L)
{
    lua_settop(L, 1);
    luaL_traceback(L, L, NULL, 1);
    lua_replace(L, lua_upvalueindex(1));
    return 1;
}

static void push_handler(lua_State *L)
{
    lua_pushnil(L);
    lua_pushcclosure(L, sandbox_traceback_handler, 1);
}

/* ---- bodies ---- */
static int root_done(lua_State *L, int status, lua_KContext ctx)
{
    struct sandbox *sb = sandbox_of(L);
    (void)ctx;
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 1;
    if (sb->limit == LIMIT_NONE && sandbox_is_memory(sb, L, status)) sb->limit = LIMIT_MEMORY;
    check_nesting(L);
    if (lua_getupvalue(L, 1, 1)) {
        struct str s;
        s.p = lua_tolstring(L, -1, &s.n);
        if (s.p) sandbox_keep_traceback(sb, s);
        lua_pop(L, 1);
    }
    impl_of(sb)->root_error = true;
    return 1;
}

int sandbox_root(lua_State *L)
{
    push_handler(L);
    lua_insert(L, 1);
    return root_done(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, root_done), 0);
}

static int user_root_done(lua_State *L, int status, lua_KContext ctx)
{
    struct sandbox *sb = sandbox_of(L);
    (void)ctx;
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L);
    if (sb->limit == LIMIT_NONE && sandbox_is_memory(sb, L, status)) sb->limit = LIMIT_MEMORY;
    impl_of(sb)->root_error = true;
    return 1;
}

static int user_root(lua_State *L)
{
    return user_root_done(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, user_root_done),
                          0);
}

/* ---- pcall, xpcall ---- */
static int pcall_done(lua_State *L, int status, lua_KContext entry)
{
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L);
    if (passes_on(L, status, entry)) return pass_on(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int co_pcall(lua_State *L)
{
    lua_KContext entry = entry_of(L);
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    return pcall_done(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, entry, pcall_done),
                      entry);
}

/* The traceback that debug.traceback shows while an xpcall handler runs: the stack is unwound by
 * then. */
static void set_handled(lua_State *L, int idx)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key_handled) != LUA_TTABLE) {
        lua_pop(L, 1);
        if (!idx) return;
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key_handled);
    }
    if (idx)
        lua_pushvalue(L, idx);
    else
        lua_pushnil(L);
    lua_rawsetp(L, -2, L);
    lua_pop(L, 1);
}

static int handler_done(lua_State *L, int status, lua_KContext entry)
{
    set_handled(L, 0);
    if (status != LUA_OK && status != LUA_YIELD && passes_on(L, status, entry)) return pass_on(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int xpcall_done(lua_State *L, int status, lua_KContext entry)
{
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 3;
    if (passes_on(L, status, entry)) return pass_on(L);
    sandbox_charge(L, 150); /* an error and its traceback */
    if (lua_getupvalue(L, 3, 1) && lua_isstring(L, -1)) set_handled(L, lua_gettop(L));
    lua_pop(L, 1);
    lua_pushvalue(L, 2);
    lua_insert(L, -2);
    return handler_done(L, lua_pcallk(L, 1, 1, 0, entry, handler_done), entry);
}

static int co_xpcall(lua_State *L)
{
    lua_KContext entry = entry_of(L);
    int n = lua_gettop(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    push_handler(L);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 3); /* function, handler, ours, true, function, arguments */
    return xpcall_done(L, lua_pcallk(L, n - 2, LUA_MULTRET, 3, entry, xpcall_done), entry);
}

/* About how many calls deep the stack is; a far level costs a walk to it. */
static uint64_t depth_of(lua_State *L)
{
    lua_Debug ar;
    int n = 64;
    while (n < 1 << 20 && lua_getstack(L, n, &ar))
        n *= 2;
    return n > 64 ? (uint64_t)n : 0;
}

static int debug_traceback(lua_State *L)
{
    int at = lua_isthread(L, 1) ? 1 : 0;
    lua_State *of = at ? lua_tothread(L, 1) : L;
    if (!lua_isnoneornil(L, at + 1) && lua_type(L, at + 1) != LUA_TSTRING) {
        lua_pushvalue(L, at + 1);
        return 1;
    }
    const char *text = lua_tostring(L, at + 1);
    lua_Integer level = luaL_optinteger(L, at + 2, at ? 0 : 1);
    if (!at && lua_rawgetp(L, LUA_REGISTRYINDEX, &key_handled) == LUA_TTABLE &&
        lua_rawgetp(L, -1, L) == LUA_TSTRING) {
        if (text) lua_pushfstring(L, "%s\n%s", text, lua_tostring(L, -1));
        return 1;
    }
    sandbox_charge(L, 40 + 4 * depth_of(of));
    luaL_traceback(L, of, text, level < 0 ? 0 : level > 1000000 ? 1000000 : (int)level);
    return 1;
}

/* ---- coroutines ---- */
static const char *status_of(lua_State *L, lua_State *co)
{
    if (L == co) return "running";
    if (thread_flags(co) & (THREAD_BUSY | THREAD_TOP)) return "normal";
    switch (lua_status(co)) {
    case LUA_YIELD:
        return "suspended";
    case LUA_OK:
        return lua_gettop(co) > 0 ? "suspended" : "dead";
    default:
        return "dead";
    }
}

static lua_State *check_co(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    if (!co) luaL_typeerror(L, 1, "coroutine");
    return co;
}

static int step_failed(lua_State *L, lua_State *co, int status, lua_KContext ctx)
{
    enum step_kind kind = (enum step_kind)(ctx >> ENTRY_BITS);
    if (!lua_checkstack(L, 4)) return luaL_error(L, "stack overflow");
    lua_xmove(co, L, 1);
    lua_settop(co, 0);
    if (passes_on(L, status, ctx)) return pass_on(L);
    if (kind == STEP_CLOSE && lua_isnil(L, -1)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    if (kind == STEP_WRAP) {
        if (lua_type(L, -1) == LUA_TSTRING) {
            luaL_where(L, 1);
            lua_insert(L, -2);
            lua_concat(L, 2);
        }
        return lua_error(L);
    }
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int step_again(lua_State *L, int status, lua_KContext ctx);

/* Resumes co and deals with what comes back; a yield that is not the script's own yields L as well.
 */
static int step(lua_State *L, lua_State *co, int nargs, lua_KContext ctx)
{
    struct sandbox *sb = sandbox_of(L);
    struct sandbox_impl *im = sb->impl;
    enum step_kind kind = (enum step_kind)(ctx >> ENTRY_BITS);
    int n = 0, depth = im->depth;
    bool yieldable = sandbox_can_yield(L);
    if (!sandbox_push_link(sb, co, yieldable)) return luaL_error(L, "C stack overflow");
    thread_flag(co, THREAD_BUSY, true);
    sandbox_sync_hook(sb, co);
    im->pending = PENDING_NONE;
    int status = lua_resume(co, L, nargs, &n);
    im->depth = depth;
    if (status == LUA_YIELD && im->pending != PENDING_NONE)
        return lua_yieldk(L, 0, ctx, step_again);
    thread_flag(co, THREAD_BUSY, false);
    bool failed = im->root_error;
    im->root_error = false;
    if (failed || (status != LUA_OK && status != LUA_YIELD)) return step_failed(L, co, status, ctx);
    if (kind == STEP_CLOSE) n = 0;
    if (!lua_checkstack(L, n + 2)) {
        lua_pop(co, n);
        return luaL_error(L, "too many results to resume");
    }
    if (kind != STEP_WRAP) lua_pushboolean(L, 1);
    lua_xmove(co, L, n);
    return kind == STEP_WRAP ? n : n + 1;
}

static lua_State *stepped(lua_State *L, lua_KContext ctx)
{
    return lua_tothread(L, ctx >> ENTRY_BITS == STEP_WRAP ? lua_upvalueindex(1) : 1);
}

static int step_again(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return step(L, stepped(L, ctx), 0, ctx);
}

/* Moves the arguments over, or says why the coroutine cannot be resumed. */
static const char *prepare(lua_State *L, lua_State *co, int nargs)
{
    const char *s = status_of(L, co);
    if (*s != 's')
        return *s == 'd' ? "cannot resume dead coroutine" : "cannot resume non-suspended coroutine";
    if (!lua_checkstack(co, nargs + 2)) return "too many arguments to resume";
    lua_xmove(L, co, nargs);
    return NULL;
}

static int co_resume(lua_State *L)
{
    lua_State *co = check_co(L);
    int nargs = lua_gettop(L) - 1;
    const char *why = prepare(L, co, nargs);
    if (why) {
        lua_pushboolean(L, 0);
        lua_pushstring(L, why);
        return 2;
    }
    nargs += lua_status(co) == LUA_OK; /* the function stands below them */
    return step(L, co, nargs, (lua_KContext)STEP_RESUME << ENTRY_BITS | entry_of(L));
}

static int wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int nargs = lua_gettop(L);
    const char *why = prepare(L, co, nargs);
    if (why) return luaL_error(L, "%s", why);
    nargs += lua_status(co) == LUA_OK;
    return step(L, co, nargs, (lua_KContext)STEP_WRAP << ENTRY_BITS | entry_of(L));
}

static int co_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushcfunction(co, user_root);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int co_wrap(lua_State *L)
{
    co_create(L);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

static int yield_again(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    if (!(thread_flags(L) & THREAD_KILL)) return lua_gettop(L);
    lua_settop(L, 0); /* coroutine.close: unwind from here */
    lua_pushnil(L);
    return lua_error(L);
}

static int co_yield (lua_State *L)
{
    if (thread_flags(L) & THREAD_TOP)
        return luaL_error(L, "attempt to yield from outside a coroutine");
    if (thread_flags(L) & THREAD_KILL)
        return luaL_error(L, "attempt to yield while the coroutine is being closed");
    return lua_yieldk(L, lua_gettop(L), 0, yield_again);
}

static int co_close(lua_State *L)
{
    lua_State *co = check_co(L);
    const char *s = status_of(L, co);
    if (*s == 'r' || *s == 'n') return luaL_error(L, "cannot close a %s coroutine", s);
    if (lua_status(co) == LUA_YIELD) {
        lua_settop(L, 1);
        thread_flag(co, THREAD_KILL, true);
        return step(L, co, 0, (lua_KContext)STEP_CLOSE << ENTRY_BITS | entry_of(L));
    }
    if (lua_status(co) == LUA_OK) lua_settop(co, 0);
    lua_pushboolean(L, 1);
    return 1;
}

static int co_status(lua_State *L)
{
    lua_pushstring(L, status_of(L, check_co(L)));
    return 1;
}

static int co_running(lua_State *L)
{
    lua_pushboolean(L, lua_pushthread(L) || (thread_flags(L) & THREAD_TOP));
    return 2;
}

static int co_isyieldable(lua_State *L)
{
    lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
    lua_pushboolean(L, lua_isyieldable(co) && !(thread_flags(co) & THREAD_TOP));
    return 1;
}

void sandbox_open_co(lua_State *L)
{
    static const luaL_Reg co[] = {{"create", co_create},
                                  {"resume", co_resume},
                                  {"yield", co_yield },
                                  {"wrap", co_wrap},
                                  {"close", co_close},
                                  {"status", co_status},
                                  {"running", co_running},
                                  {"isyieldable", co_isyieldable},
                                  {NULL, NULL}};
    static const luaL_Reg base[] = {{"pcall", co_pcall}, {"xpcall", co_xpcall}, {NULL, NULL}};
    static const luaL_Reg debug[] = {{"traceback", debug_traceback}, {NULL, NULL}};
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushglobaltable(L);
    luaL_setfuncs(L, base, 0);
    luaL_newlib(L, co);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "coroutine");
    lua_setfield(L, -3, "coroutine");
    luaL_newlib(L, debug);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "debug");
    lua_setfield(L, -3, "debug");
    lua_pop(L, 2);
}
