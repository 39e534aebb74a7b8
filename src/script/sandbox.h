/* One guarded Lua state: memory limit, instruction budget in slices, bounded and (in a run)
 * deterministic libraries, and blocking that passes through the script's own coroutines, pcall,
 * iterators and metamethods.
 *
 * Both kinds share the mechanism. SANDBOX_RUN is a workflow run's state (deterministic, no I/O);
 * SANDBOX_HOST is where activities, set-up and plain scripts run (full io/os, real time), still
 * sliced, bounded and blockable.
 *
 * Every call into Lua goes through sandbox_resume on a coroutine made by sandbox_coroutine, so
 * limits and policy are in one place. Blocking: a C binding ends with `return sandbox_block(L, ctx,
 * k)`; that yields through every user-level coroutine up to sandbox_resume, which returns
 * SANDBOX_BLOCKED; resuming the top coroutine again continues k in the innermost one (values travel
 * through the binding's own objects, never over the stack). The count hook yields the same way
 * (SANDBOX_SLICE). Where Lua cannot yield (a __tostring, a module body) sandbox_block raises an
 * error that names the fix. */
#ifndef ML_SCRIPT_SANDBOX_H
#define ML_SCRIPT_SANDBOX_H
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "script/value.h"

enum sandbox_kind { SANDBOX_RUN, SANDBOX_HOST };
enum sandbox_status {
    SANDBOX_DONE,    /* the coroutine returned; its results are on its stack */
    SANDBOX_ERROR,   /* it raised; the error value is on its stack top; sandbox_traceback has the
                        traceback */
    SANDBOX_BLOCKED, /* a binding blocked */
    SANDBOX_SLICE,   /* the slice is spent; resume to go on */
    SANDBOX_LIMIT /* memory or instructions ran out, or it was interrupted for good: never resume,
                     throw the state (RUN) or coroutine (HOST) away; see ->limit */
};
enum sandbox_limit { LIMIT_NONE, LIMIT_MEMORY, LIMIT_INSTRUCTIONS, LIMIT_INTERRUPTED };

/* The scope of a coroutine that the scheduler runs: a raised cancellation is a flag here, not an
 * error's identity. While `unwinding` is set, pcall, xpcall, coroutine.resume/wrap/close pass the
 * error on after cleaning up. */
struct sandbox_scope {
    bool unwinding;
};

struct sandbox {
    enum sandbox_kind kind;
    lua_State *L;
    size_t mem_used, mem_max;                /* bytes; mem_max 0: none */
    uint64_t instructions, instructions_max; /* counted since sandbox_budget_reset; max 0: none.
                                                Allocated bytes are charged too (1 per 64 bytes) */
    uint64_t slice_left;                     /* instructions until SANDBOX_SLICE */
    _Atomic int interrupt;    /* set from outside (watchdog). 1: the next hook ends the slice (and
                                 clears it); 2: LIMIT_INTERRUPTED */
    _Atomic uint32_t budgets; /* counts sandbox_budget_reset: the watchdog sees new activations */
    enum sandbox_limit limit;
    struct sandbox_scope
        *scope;              /* of the coroutine being resumed; set by sandbox_resume's caller */
    bool blocking_forbidden; /* a read-only context (query, validator, side_effect, top of file):
                                sandbox_block raises `forbidden_text` */
    const char *forbidden_text;
    bool aside; /* the same contexts, once the run has begun: they leave no trace in the state. An
                   object shown for the first time gets no number (it is #0), math.random is
                   `random` whatever seed the script gave, math.randomseed raises */
    /* what the libraries need from their owner */
    int64_t (*now_ns)(void *ud);  /* os.time/date/clock; NULL: raises */
    uint64_t (*random)(void *ud); /* math.random; NULL in RUN raises */
    void (*print)(void *ud, struct str line);
    /* Time, for an owner that measures it; NULL: instructions alone count. Asked at each look at
     * the budget. stuck false: has the slice lasted long enough? stuck true: the slice is over and
     * the coroutine cannot pause where it is: true ends it (LIMIT_INTERRUPTED). */
    bool (*too_long)(void *ud, bool stuck);
    void *ud;
    /* private */
    void *impl;
};

/* Opens the state with libraries, value types and the prelude. mem_max etc. are set before.
 * ERR_NOMEM, ERR_SCRIPT. */
int sandbox_open(struct sandbox *sb, enum sandbox_kind kind, struct err *e);
void sandbox_close(struct sandbox *sb); /* lua_close; runs no <close> of suspended coroutines */
struct sandbox *sandbox_of(lua_State *L);

/* A new coroutine, anchored until sandbox_release; NULL out of memory. The caller pushes function
 * and arguments on it. Its body runs under a root protected call, so <close> variables may block
 * while it unwinds. */
lua_State *sandbox_coroutine(struct sandbox *sb);
void sandbox_release(struct sandbox *sb, lua_State *co);
/* First call: function and nargs are on co's stack. Later calls: nargs 0. *nres: results on co's
 * stack (DONE). */
enum sandbox_status sandbox_resume(struct sandbox *sb, lua_State *co, int nargs, int *nres);
/* Calls the function and nargs on L's stack under protection without ever blocking (read-only
 * contexts); DONE, ERROR or LIMIT. */
enum sandbox_status sandbox_call(struct sandbox *sb, lua_State *L, int nargs, int nres);
/* After a protected call: did it end for want of memory, whatever Lua calls it? The error is on top
 * of L. */
bool sandbox_is_memory(struct sandbox *sb, lua_State *L, int status);
struct str sandbox_traceback(
    struct sandbox *sb); /* of the last SANDBOX_ERROR; borrowed until the next resume */
void sandbox_budget_reset(struct sandbox *sb, uint64_t instructions_max);

/* For bindings: block now, go on in k (same contract as lua_yieldk's continuation). Raises where
 * blocking is impossible. */
int sandbox_block(lua_State *L, lua_KContext ctx, lua_KFunction k);
/* Work in C, as instructions; raises, or ends the coroutine, past the limit. */
void sandbox_charge(lua_State *L, uint64_t n);
/* Raises the failure or value on top of the stack as a cancellation of the current scope: sets
 * scope->unwinding, then lua_error. */
int sandbox_raise_unwinding(lua_State *L);
/* "file.lua:12" of the script line that called the running binding; "?" when unknown. */
void sandbox_where(lua_State *L, struct buf *out);

/* After SANDBOX_ERROR of a HOST coroutine: did it end by os.exit? Nothing can catch that. */
bool sandbox_exit_code(struct sandbox *sb, int *code);

/* ---- modules ---- */
/* A loader gives the text of a module, or *native = true when it exists but is not Lua (run states
 * get a stand-in that raises on use). */
typedef int (*sandbox_module_fn)(void *ud, struct str name, struct str *text,
                                 struct str *chunk_name, bool *strict, bool *native, struct err *e);
void sandbox_set_loader(struct sandbox *sb, sandbox_module_fn fn, void *ud);
/* Puts a ready table on the stack top into package.loaded under name (pops it): how rooms install
 * "moonloop". */
void sandbox_preload(struct sandbox *sb, const char *name);
/* Pushes the compiled main function of `text` onto co (text chunks only). strict: reading an
 * undefined global raises. ERR_SCRIPT with file:line. */
int sandbox_load(struct sandbox *sb, lua_State *co, struct str text, struct str chunk_name,
                 bool strict, struct err *e);

/* ---- argument checks from lua/api (generated table) ---- */
/* Adds to the table on the stack top what Lua of ours checks arguments with:
 * check_options(table, name, function_name), and seconds(duration) -> number. */
void api_open_core(lua_State *L);
/* Checks the options table at idx against the named options of lua/api ("activity", "workflow",
 * "http", ...): unknown names and wrong types raise "ml.activity: unknown option 'retires' (did you
 * mean 'retry'?)". nil/none is fine. */
void api_check_options(lua_State *L, int idx, const char *options_name, const char *function_name);
/* Reads a duration (string or seconds) / a time (ISO or int64 ns) argument; raises with the
 * function's name. */
int64_t api_check_duration(lua_State *L, int idx, const char *function_name);
int64_t api_check_time(lua_State *L, int idx, const char *function_name);
bool api_opt_duration(lua_State *L, int table_idx, const char *key, const char *function_name,
                      int64_t *ns);
bool api_opt_bool(lua_State *L, int table_idx, const char *key, bool dflt);
/* A borrowed string option (the string stays alive in the table); false when absent. api_opt_str
 * raises for what is not UTF-8: it would break the JSON that histories are shown in. */
bool api_opt_str(lua_State *L, int table_idx, const char *key, struct str *out);
bool api_opt_bytes(lua_State *L, int table_idx, const char *key, struct str *out);
/* A retry option table {max_attempts, initial, backoff, max, non_retryable = {types}} at idx, as a
 * retry_policy record. */
struct rec *api_check_retry(lua_State *L, int idx, struct arena *a, const char *function_name);

#endif
