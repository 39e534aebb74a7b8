/* The state of one sandbox: memory, budget, hook, resuming and blocking. Keeps true: no script code
 * runs outside sandbox_resume or sandbox_call; whatever a script does, the hook, the allocator or a
 * charge ends it at its limits. Called by the workflow and activity rooms. */
#include "script/sandbox_impl.h"

const char key_lax_env = 0, key_stock_require = 0, key_handled = 0, key_ids = 0,
           key_index_helper = 0, key_own_env = 0;
static const char key_threads = 0;
static void hook(lua_State *L, lua_Debug *ar);

extern const unsigned char prelude_code[];
extern const size_t prelude_code_n;
extern const char prelude_text[];
extern const size_t prelude_text_n;

struct sandbox *sandbox_of(lua_State *L)
{
    return (struct sandbox *)(*(uintptr_t *)lua_getextraspace(L) & ~(uintptr_t)7);
}

/* ---- budget ---- */
static void spend(struct sandbox *sb, uint64_t n)
{
    sb->instructions += n;
    sb->slice_left -= n < sb->slice_left ? n : sb->slice_left;
}

static bool over(struct sandbox *sb)
{
    if (sb->limit == LIMIT_NONE) {
        if (sb->interrupt >= 2)
            sb->limit = LIMIT_INTERRUPTED;
        else if (sb->instructions_max && sb->instructions >= sb->instructions_max)
            sb->limit = LIMIT_INSTRUCTIONS;
    }
    return sb->limit != LIMIT_NONE;
}

static void *allocate(void *ud, void *p, size_t old, size_t n)
{
    struct sandbox *sb = ud;
    struct sandbox_impl *im = sb->impl;
    if (!p) old = 0; /* it holds the object's kind */
    if (n == 0) {
        sb->mem_used -= old;
        slab_free(&im->slab, p, old);
        return NULL;
    }
    size_t more = n > old ? n - old : 0;
    bool above = more && sb->mem_max && (more > sb->mem_max || sb->mem_used > sb->mem_max - more);
    void *q = above ? NULL : slab_realloc(&im->slab, p, old, n); /* Lua counts on shrinking */
    if (!q) {
        im->refused = true;
        return NULL;
    }
    sb->mem_used += n - old;
    if (more && im->depth > 0) {
        im->alloc_rest += more;
        spend(sb, im->alloc_rest / 64);
        im->alloc_rest %= 64;
        lua_State *co = im->chain[im->depth - 1].co;
        bool late = sb->slice_left == 0 ||
                    (sb->instructions_max && sb->instructions >= sb->instructions_max);
        if (late && lua_gethookcount(co) != 1 && sandbox_of(co) == sb && lua_gethook(co) == hook)
            lua_sethook(co, hook, LUA_MASKCOUNT, 1); /* look at it with the next instruction */
    }
    return q;
}

bool sandbox_can_yield(lua_State *L)
{
    const struct sandbox_impl *im = impl_of(sandbox_of(L));
    if (im->depth == 0) return false;
    const struct chain_link *top = &im->chain[im->depth - 1];
    return top->can_yield && top->co == L && lua_isyieldable(L);
}

static const char *limit_text(const struct sandbox *sb)
{
    switch (sb->limit) {
    case LIMIT_MEMORY:
        return "not enough memory";
    case LIMIT_INTERRUPTED:
        return "the script was interrupted";
    default:
        return impl_of(sb)->exiting ? "os.exit" : "the instruction limit is reached";
    }
}

/* Lua's stack grows by memory, and where the C functions of Lua and ours ask for room the refusal
 * is an ordinary error with a text of its own. */
bool sandbox_is_memory(struct sandbox *sb, lua_State *L, int status)
{
    if (status == LUA_ERRMEM) return true;
    if (status == LUA_OK || status == LUA_YIELD || !impl_of(sb)->refused) return false;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    return text && (strstr(text, "stack overflow") || strstr(text, "too many results to unpack"));
}

static int never(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return sandbox_stop(L);
}

int sandbox_stop(lua_State *L)
{
    struct sandbox *sb = sandbox_of(L);
    if (sb->limit != LIMIT_NONE && sandbox_can_yield(L)) {
        impl_of(sb)->pending = PENDING_LIMIT;
        return lua_yieldk(L, 0, 0, never);
    }
    lua_sethook(L, hook, LUA_MASKCOUNT, sb->limit != LIMIT_NONE ? 1 : HOOK_STEP);
    return luaL_error(L, "%s", limit_text(sb));
}

void sandbox_charge(lua_State *L, uint64_t n)
{
    struct sandbox *sb = sandbox_of(L);
    spend(sb, n);
    if (over(sb)) sandbox_stop(L);
    if (sb->slice_left == 0 && lua_gethookcount(L) != 1 && lua_gethook(L) == hook)
        lua_sethook(L, hook, LUA_MASKCOUNT, 1); /* end the slice with the next instruction */
}

static void hook(lua_State *L, lua_Debug *ar)
{
    struct sandbox *sb = sandbox_of(L);
    struct sandbox_impl *im = sb->impl;
    (void)ar;
    int count = lua_gethookcount(L);
    spend(sb, (uint64_t)count);
    bool late = sb->slice_left == 0 || sb->interrupt ||
                (sb->too_long && sb->limit == LIMIT_NONE && sb->too_long(sb->ud, false));
    if (late && sb->too_long && sb->limit == LIMIT_NONE && !sandbox_can_yield(L) &&
        sb->too_long(sb->ud, true))
        sb->limit = LIMIT_INTERRUPTED;
    if (over(sb)) {
        if (sandbox_can_yield(L)) {
            im->pending = PENDING_LIMIT;
            lua_yield(L, 0);
            return;
        }
        lua_sethook(L, hook, LUA_MASKCOUNT,
                    1); /* sticky: a pcall that is not ours cannot outlive it */
        luaL_error(L, "%s", limit_text(sb));
    }
    if (late && sandbox_can_yield(L)) {
        sb->interrupt = 0;
        im->pending = PENDING_SLICE;
        lua_yield(L, 0);
        return;
    }
    if (count != im->step) lua_sethook(L, hook, LUA_MASKCOUNT, im->step);
}

void sandbox_sync_hook(struct sandbox *sb, lua_State *co)
{
    int step = impl_of(sb)->step;
    if (lua_gethookcount(co) != step) lua_sethook(co, hook, LUA_MASKCOUNT, step);
}

void sandbox_budget_reset(struct sandbox *sb, uint64_t instructions_max)
{
    sb->instructions = 0;
    sb->instructions_max = instructions_max;
    sb->budgets++;
}

/* ---- opening ---- */
static int open_all(lua_State *L)
{
    static const luaL_Reg libs[] = {
        {LUA_GNAME, luaopen_base},        {LUA_TABLIBNAME, luaopen_table},
        {LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math},
        {LUA_UTF8LIBNAME, luaopen_utf8},  {NULL, NULL}};
    struct sandbox *sb = lua_touserdata(L, 1);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_threads);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_ids);
    value_open(L);
    for (const luaL_Reg *lib = libs; lib->name; lib++) {
        luaL_requiref(L, lib->name, lib->func, 1);
        lua_pop(L, 1);
    }
    sandbox_open_co(L);
    sandbox_open_lib(L, sb);
    sandbox_open_os(L, sb);
    if (sb->kind == SANDBOX_RUN) sandbox_open_pairs(L);
    /* what must be Lua: the prelude gets the table of C helpers that sandbox_open_lib left on the
     * stack */
    if (luaL_loadbufferx(L, (const char *)prelude_code, prelude_code_n, "=moonloop", "b") !=
        LUA_OK) {
        lua_pop(L, 1); /* made by another build of Lua */
        if (luaL_loadbufferx(L, prelude_text, prelude_text_n, "=moonloop", "t") != LUA_OK)
            return lua_error(L);
    }
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_index_helper);
    sandbox_open_modules(L, sb);
    return 0;
}

int sandbox_open(struct sandbox *sb, enum sandbox_kind kind, struct err *e)
{
    struct sandbox_impl *im = mem_zalloc(sizeof *im);
    sb->L = NULL;
    sb->impl = im;
    sb->kind = kind;
    sb->mem_used = 0;
    sb->limit = LIMIT_NONE;
    if (!im) return err_set(e, ERR_NOMEM, "sandbox: out of memory");
    im->step = HOOK_STEP;
    im->slab.pages_max = sb->mem_max ? 2 * sb->mem_max + SLAB_SPARE : 0;
    buf_init(&im->traceback, TRACEBACK_MAX);
    sb->L = lua_newstate(allocate, sb);
    if (!sb->L) {
        sandbox_close(sb);
        return err_set(e, ERR_NOMEM, "sandbox: out of memory");
    }
    *(struct sandbox **)lua_getextraspace(sb->L) = sb;
    lua_pushcfunction(sb->L, open_all);
    lua_pushlightuserdata(sb->L, sb);
    int status = lua_pcall(sb->L, 1, 0, 0);
    if (status != LUA_OK) {
        const char *text = lua_tostring(sb->L, -1);
        int code = err_set(e, status == LUA_ERRMEM ? ERR_NOMEM : ERR_SCRIPT, "sandbox: %s",
                           text ? text : "cannot open");
        sandbox_close(sb);
        return code;
    }
    lua_sethook(sb->L, hook, LUA_MASKCOUNT, HOOK_STEP); /* threads inherit it */
    return 0;
}

void sandbox_close(struct sandbox *sb)
{
    struct sandbox_impl *im = sb->impl;
    if (im) im->slab.closing = true;
    if (sb->L) lua_close(sb->L);
    sb->L = NULL;
    if (im) {
        slab_close(&im->slab);
        bundle_unref(im->bundle);
        buf_free(&im->traceback);
    }
    mem_free(im);
    sb->impl = NULL;
}

/* ---- coroutines ---- */
static int new_thread(lua_State *L)
{
    lua_State **out = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_threads);
    lua_State *co = lua_newthread(L);
    lua_rawsetp(L, -2, co);
    *out = co;
    return 0;
}

lua_State *sandbox_coroutine(struct sandbox *sb)
{
    lua_State *co = NULL;
    if (!lua_checkstack(sb->L, 4)) return NULL;
    lua_pushcfunction(sb->L, new_thread);
    lua_pushlightuserdata(sb->L, &co);
    if (lua_pcall(sb->L, 1, 0, 0) != LUA_OK) {
        lua_pop(sb->L, 1);
        return NULL;
    }
    thread_flag(co, THREAD_TOP, true);
    return co;
}

void sandbox_release(struct sandbox *sb, lua_State *co)
{
    if (!co || !lua_checkstack(sb->L, 2)) return;
    lua_rawgetp(sb->L, LUA_REGISTRYINDEX, &key_threads);
    lua_pushnil(sb->L);
    lua_rawsetp(sb->L, -2, co); /* an existing key: needs no memory */
    lua_pop(sb->L, 1);
}

bool sandbox_push_link(struct sandbox *sb, lua_State *co, bool can_yield)
{
    struct sandbox_impl *im = sb->impl;
    if (im->depth >= CHAIN_MAX) return false;
    im->chain[im->depth++] = (struct chain_link){co, can_yield};
    return true;
}

static enum sandbox_status yielded(struct sandbox *sb, lua_State *co, int n)
{
    struct sandbox_impl *im = sb->impl;
    enum pending why = im->pending;
    im->pending = PENDING_NONE;
    lua_pop(co, n);
    switch (why) {
    case PENDING_BLOCK:
        return SANDBOX_BLOCKED;
    case PENDING_SLICE:
        return SANDBOX_SLICE;
    default:
        if (sb->limit == LIMIT_NONE)
            sb->limit =
                LIMIT_INTERRUPTED; /* a yield that nobody announced: the coroutine cannot go on */
        return SANDBOX_LIMIT;
    }
}

enum sandbox_status sandbox_resume(struct sandbox *sb, lua_State *co, int nargs, int *nres)
{
    struct sandbox_impl *im = sb->impl;
    int n = 0, depth = im->depth;
    *nres = 0;
    if (sb->kind == SANDBOX_HOST) sb->limit = LIMIT_NONE; /* it ended another coroutine */
    im->refused = im->refused && depth > 0;
    if (sb->limit != LIMIT_NONE) return SANDBOX_LIMIT;
    if (!lua_checkstack(co, 6) || !sandbox_push_link(sb, co, true)) {
        sb->limit = LIMIT_MEMORY;
        return SANDBOX_LIMIT;
    }
    im->step = sb->slice_left < 1           ? 1
               : sb->slice_left > HOOK_STEP ? HOOK_STEP
                                            : (int)sb->slice_left;
    sandbox_sync_hook(sb, co);
    im->pending = PENDING_NONE;
    im->root_error = false;
    if (lua_status(co) == LUA_OK) {
        lua_pushcfunction(co, sandbox_root);
        lua_insert(co, -(nargs + 2));
        nargs++;
        im->traceback.n = 0;
    }
    int status = lua_resume(co, NULL, nargs, &n);
    im->depth = depth;
    if (status == LUA_YIELD) return yielded(sb, co, n);
    if (sandbox_is_memory(sb, co, status)) sb->limit = LIMIT_MEMORY;
    if (sb->limit != LIMIT_NONE) return SANDBOX_LIMIT;
    bool failed = status != LUA_OK || im->root_error;
    im->root_error = false;
    *nres = failed ? 1 : n;
    return failed ? SANDBOX_ERROR : SANDBOX_DONE;
}

static int call_handler(lua_State *L)
{
    struct sandbox *sb = sandbox_of(L);
    struct str s;
    lua_settop(L, 1);
    luaL_traceback(L, L, NULL, 1);
    s.p = lua_tolstring(L, -1, &s.n);
    sandbox_keep_traceback(sb, s);
    lua_settop(L, 1);
    return 1;
}

enum sandbox_status sandbox_call(struct sandbox *sb, lua_State *L, int nargs, int nres)
{
    struct sandbox_impl *im = sb->impl;
    int depth = im->depth, base = lua_gettop(L) - nargs;
    if (sb->kind == SANDBOX_HOST && depth == 0) sb->limit = LIMIT_NONE;
    im->refused = im->refused && depth > 0;
    if (sb->limit != LIMIT_NONE) return SANDBOX_LIMIT;
    if (!lua_checkstack(L, 4) || !sandbox_push_link(sb, L, false)) {
        sb->limit = LIMIT_MEMORY;
        return SANDBOX_LIMIT;
    }
    if (depth == 0) im->step = HOOK_STEP;
    sandbox_sync_hook(sb, L);
    lua_pushcfunction(L, call_handler);
    lua_insert(L, base);
    int status = lua_pcall(L, nargs, nres, base);
    im->depth = depth;
    lua_remove(L, base);
    if (sandbox_is_memory(sb, L, status))
        sb->limit = LIMIT_MEMORY;
    else if (status != LUA_OK)
        over(sb);
    if (sb->limit != LIMIT_NONE) return SANDBOX_LIMIT;
    return status == LUA_OK ? SANDBOX_DONE : SANDBOX_ERROR;
}

void sandbox_keep_traceback(struct sandbox *sb, struct str text)
{
    struct buf *b = &impl_of(sb)->traceback;
    buf_reset(b);
    buf_put(b, text.p, text.n < TRACEBACK_MAX - 1 ? text.n : TRACEBACK_MAX - 1);
}

struct str sandbox_traceback(struct sandbox *sb)
{
    return buf_str(&impl_of(sb)->traceback);
}

/* ---- for bindings ---- */
int sandbox_block(lua_State *L, lua_KContext ctx, lua_KFunction k)
{
    struct sandbox *sb = sandbox_of(L);
    if (sb->blocking_forbidden)
        return luaL_error(L, "%s",
                          sb->forbidden_text ? sb->forbidden_text : "waiting is not possible here");
    if (!sandbox_can_yield(L))
        return luaL_error(L, "cannot wait here: Lua cannot pause inside a metamethod such as "
                             "__tostring, or while a module is "
                             "being loaded; wait before, and use the result here");
    impl_of(sb)->pending = PENDING_BLOCK;
    return lua_yieldk(L, 0, ctx, k);
}

int sandbox_raise_unwinding(lua_State *L)
{
    struct sandbox *sb = sandbox_of(L);
    if (sb->scope) sb->scope->unwinding = true;
    return lua_error(L);
}

void sandbox_where(lua_State *L, struct buf *out)
{
    lua_Debug ar, first;
    bool found = false;
    for (int level = 0; level < 200 && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline <= 0) continue;
        if (!found) first = ar;
        found = true;
        if (strncmp(ar.source, "@moonloop/", 10) == 0 || strcmp(ar.source, "=moonloop") == 0)
            continue;
        buf_printf(out, "%s:%d", ar.short_src, ar.currentline);
        return;
    }
    if (found)
        buf_printf(out, "%s:%d", first.short_src, first.currentline);
    else
        buf_puts(out, "?");
}

bool sandbox_exit_code(struct sandbox *sb, int *code)
{
    if (!impl_of(sb)->exiting) return false;
    *code = impl_of(sb)->exit_code;
    return true;
}
