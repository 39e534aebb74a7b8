/* Inside of the sandbox: what its files share. See sandbox.h for the promises.
 *
 * A thread's extra space holds the sandbox pointer with three flags in its low bits; new threads
 * copy the main thread's, which has none. `chain` lists the coroutines that are being resumed right
 * now, outermost first: an internal yield (a block, a spent slice, a limit) is only made when every
 * link can pass it on, and then passes through all of them unseen. */
#ifndef ML_SCRIPT_SANDBOX_IMPL_H
#define ML_SCRIPT_SANDBOX_IMPL_H
#include "base/mem.h"
#include "script/bundle.h"
#include "script/sandbox.h"
#include "script/slab.h"
#include <lauxlib.h>
#include <lualib.h>

#define CHAIN_MAX 220  /* Lua's own limit of nested resumes is 200 */
#define HOOK_STEP 1000 /* instructions between two looks at the budget */
#define TRACEBACK_MAX (64u * 1024)
#define SLAB_SPARE (256u << 10) /* bytes of pages beyond twice the memory that a script may use */

enum thread_flag { THREAD_TOP = 1, THREAD_BUSY = 2, THREAD_KILL = 4 };
enum pending { PENDING_NONE, PENDING_BLOCK, PENDING_SLICE, PENDING_LIMIT };
struct chain_link {
    lua_State *co;
    bool can_yield;
};
struct sandbox_impl {
    struct slab slab;
    enum pending
        pending; /* why the running coroutine yields; NONE: a coroutine.yield of the script */
    struct chain_link chain[CHAIN_MAX];
    int depth;
    bool root_error;   /* the body that just returned ended with an error */
    int step;          /* hook count in use */
    size_t alloc_rest; /* allocated bytes that are not charged yet */
    bool refused;      /* memory was refused to Lua since the outermost call began */
    bool exiting;      /* os.exit was called */
    int exit_code;
    lua_Integer last_id; /* of "table#17" */
    bool own_rng;        /* math.randomseed was given a seed */
    struct rng rng;
    struct buf traceback;
    sandbox_module_fn loader;
    void *loader_ud;
    struct bundle *bundle; /* counted; the module source of a run */
};

extern const char key_lax_env, key_stock_require, key_handled, key_ids, key_index_helper,
    key_own_env;

static inline unsigned thread_flags(lua_State *L)
{
    return (unsigned)(*(uintptr_t *)lua_getextraspace(L) & 7);
}
static inline void thread_flag(lua_State *L, enum thread_flag f, bool on)
{
    uintptr_t *p = lua_getextraspace(L);
    *p = on ? *p | (uintptr_t)f : *p & ~(uintptr_t)f;
}
static inline struct sandbox_impl *impl_of(const struct sandbox *sb)
{
    return sb->impl;
}

/* sandbox.c */
bool sandbox_can_yield(lua_State *L); /* may an internal yield start here? */
int sandbox_stop(
    lua_State *L); /* ends the coroutine for good (limit or exit): `return sandbox_stop(L)` */
void sandbox_sync_hook(struct sandbox *sb, lua_State *co);
bool sandbox_push_link(struct sandbox *sb, lua_State *co, bool can_yield);
void sandbox_keep_traceback(struct sandbox *sb, struct str text);
int sandbox_traceback_handler(
    lua_State *L); /* message handler: a closure whose upvalue 1 gets the traceback */

/* sandbox_co.c */
int sandbox_root(lua_State *L); /* body of a top coroutine: function and arguments on the stack */
void sandbox_open_co(lua_State *L); /* coroutine, pcall, xpcall, debug.traceback */

/* sandbox_lib.c, sandbox_costs.c, sandbox_os.c, sandbox_pairs.c, pattern_lib.c, modules.c */
const char *sandbox_tostring(lua_State *L, int idx, size_t *n); /* pushes the text: no addresses */
void sandbox_guard(lua_State *L, const char *name,
                   lua_CFunction f); /* puts f, with what was there as upvalue 1, in its place */
void sandbox_open_lib(lua_State *L, struct sandbox *sb);
void sandbox_open_costs(lua_State *L, struct sandbox *sb);
void sandbox_open_os(lua_State *L, struct sandbox *sb);
void sandbox_open_pairs(lua_State *L);
void sandbox_open_patterns(lua_State *L); /* the string table is on top */
void sandbox_open_modules(lua_State *L, struct sandbox *sb);
int sandbox_load_code(lua_State *co,
                      const struct bundle_module *m); /* our own bytecode; a Lua status */
void sandbox_set_module_env(lua_State *co, const struct bundle_module *m); /* the same */
void sandbox_set_env(lua_State *L, bool strict); /* of the function on top */
int sandbox_call_module(
    lua_State *L,
    const char *name); /* runs the chunk on top, keeps and pushes the module's value */
int sandbox_push_bundled(
    lua_State *L, struct bundle *b,
    struct str name); /* 0: function pushed; or ERR_NOTFOUND; raises on bad text */

/* bundle.c */
int bundle_compile(struct bundle_module *m, lua_State *L,
                   struct err *e); /* makes m->code; pushes the function */

#endif
