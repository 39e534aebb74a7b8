/* Private to the script half of the replayer: the coroutines of a run, their scopes, and what the
 * Lua API is built from.
 *
 * What is kept true:
 *  - all Lua code of a run is executed by task_step (through sandbox_resume) or by script_call
 * (read-only contexts);
 *  - a coroutine waits for futures only; channels and conditions are futures without an operation
 * behind them;
 *  - every list is walked in the order in which things were made, so no order depends on addresses
 * or hashes;
 *  - collecting a Lua object never changes anything but memory: a pending future lives until it is
 * resolved. */
#ifndef ML_WORKFLOW_WF_SCRIPT_H
#define ML_WORKFLOW_WF_SCRIPT_H
#include "script/sandbox.h"
#include "workflow/wf_internal.h"
#include <lauxlib.h>
#include <lua.h>

#define PENDING_SPAWN ((enum wf_pending_kind)64) /* a future of a coroutine; never reported */
#define WAIT_MAX 2                               /* futures one binding waits for at once */
#define BUFFERED_SIGNALS_MAX 10000
#define PAYLOAD_VALUES_MAX 200

enum task_kind { TASK_MAIN, TASK_SIGNAL, TASK_UPDATE, TASK_SPAWN };
enum task_state { TASK_READY, TASK_RUNNING, TASK_WAITING, TASK_ENDED };
/* Where Lua code is running: what a binding may do depends on it. */
enum script_context {
    CONTEXT_TOP,
    CONTEXT_TASK,
    CONTEXT_QUERY,
    CONTEXT_VALIDATOR,
    CONTEXT_PREDICATE,
    CONTEXT_SIDE_EFFECT
};

struct task;
struct wf_waiter {
    struct wf_waiter *prev, *next;
    struct task *task;
    struct wf_future *future; /* NULL: not in a list */
};

/* A future and what only the script side knows of it. `f` is first: the map of ids points at it. */
struct future_box {
    struct wf_future f;
    struct wf_run *r;
    uint64_t id;
    struct arena arena; /* result or failure; opened when first needed */
    struct wf_waiter *last_waiter;
    struct task *owner; /* the coroutine whose scope it belongs to; NULL: none any more */
    struct future_box *owner_prev, *owner_next; /* pending ones of the owner, as made */
    struct future_box *prev, *next;             /* all */
    struct task *child; /* PENDING_SPAWN: the coroutine behind it, while it lives */
    bool collected;     /* nobody can ask for it any more */
    bool observed;      /* its outcome was asked for */
    bool plain;         /* FAILED by a plain Lua error: lua_ref is {value, traceback} */
    bool internal;      /* not reported as pending */
    /* conditions (WF_PENDING_CONDITION), in the list of the run */
    struct future_box *cond_prev, *cond_next;
    int predicate_ref; /* LUA_NOREF: settle */
    const struct settle *settle;
    bool is_cond;
    /* channels (WF_PENDING_SIGNAL) */
    struct channel *channel;
    struct future_box *chan_next;
};
/* What flow.lua waits for: a set of futures. Lives in a userdata on the waiting coroutine's stack.
 */
enum settle_mode { SETTLE_ALL_OR_FAILED, SETTLE_ANY, SETTLE_ALL };
struct settle {
    enum settle_mode mode;
    size_t n;
    uint64_t ids[];
};

struct task {
    struct wf_run *r;
    lua_State *co;
    enum task_kind kind;
    enum task_state state;
    int nargs;       /* on co's stack before the first resume */
    uint64_t serial; /* for people */
    struct sandbox_scope scope;
    bool cancel_pending; /* asked to end; delivered at the next blocking call outside a shield */
    bool canceled;       /* delivered */
    bool cancel_raise;   /* delivered while waiting: the continuation raises it */
    bool shielded_wait;
    bool continued;           /* unwinds because of continue_as_new */
    struct str cancel_reason; /* in keep */
    struct wf_waiter waits[WAIT_MAX];
    struct str where;         /* of the wait; in keep */
    struct str defined;       /* MAIN, UPDATE: where its function stands; in keep */
    struct task *parent;      /* NULL: a root (main, handlers) */
    struct task *prev, *next; /* all living ones, as made */
    struct task *ready_next;
    uint64_t arrival; /* handlers: the order of their messages */
    struct future_box *owned, *owned_last;
    uint64_t future;      /* SPAWN: resolved at its end */
    struct str name;      /* signal, update; in keep */
    struct str update_id; /* in keep */
    int validator_ref;    /* UPDATE: run before the first step; LUA_NOREF: none */
    int args_ref;         /* UPDATE with a validator: table {n=, ...} of its arguments */
    bool to_accept;
};
struct task_fifo {
    struct task *first, *last;
};

enum def_kind { DEF_WORKFLOW, DEF_ACTIVITY, DEF_LOCAL_ACTIVITY };
struct def {
    enum def_kind kind;
    struct str name; /* in keep */
    int fn_ref, options_ref;
    bool on_error_fail, has_function;
};
enum handler_kind { HANDLER_SIGNAL, HANDLER_QUERY, HANDLER_UPDATE };
struct handler {
    struct handler *next;
    enum handler_kind kind;
    struct str name;
    int fn_ref, validator_ref;
};
struct buffered {
    struct buffered *next;
    struct arena arena;
    const struct rec *input;
    uint64_t arrival;
};
struct channel {
    struct channel *next;
    struct str name;
    struct buffered *first, *last;
    size_t n;
    struct future_box *waiting; /* FIFO */
};
struct pending_update {
    struct pending_update *next;
    struct arena arena;
    struct str id, name;
    const struct rec *input;
    bool run_validator;
    uint64_t arrival;
};
struct stream {
    struct stream *next;
    struct str name;
    struct rng rng;
};

struct wf_script {
    struct wf_run *r;
    bool opened, sealed, started;
    enum script_context context;
    struct task *running; /* on whose behalf Lua runs now */
    struct task *sliced;  /* its slice ended; goes on first */
    struct task_fifo handlers, ready;
    struct task *tasks, *tasks_last;
    struct task *main;
    bool main_stepped;
    uint64_t serial, arrivals;
    struct future_box *futures, *futures_last, *conds, *conds_last;
    struct def *defs;
    size_t n_defs, cap_defs;
    const struct def *main_def;
    struct handler *signals; /* all kinds of handlers, as registered */
    struct map channels;     /* name -> struct channel */
    struct pending_update *updates, *updates_last;
    struct stream *streams;
    struct str seed;    /* of the run's chance */
    struct buf scratch; /* for places and small texts; owned here so that raising leaks nothing */
    struct map texts;   /* interned places and names -> char * in keep */
    int64_t start_ns;
    struct rng chance;                /* inside ml.side_effect */
    uint64_t side_effects;            /* asked for, recorded or not */
    int memo_ref, search_ref;         /* tables of values */
    const struct rec *memory_failure; /* made at open, in keep */
    bool nomem; /* something small could not be kept: the task fails after this step */
    struct str spawn_error, spawn_trace; /* the last error raised from a spawned coroutine, and its
                                            traceback; in spawn_arena */
    struct arena spawn_arena;
};

/* ---- wf_sched.c ---- */
struct wf_run *run_of(lua_State *L);
/* Runs fn(sb->L) under protection; results stay on sb->L. SANDBOX_DONE, ERROR (value on top) or
 * LIMIT. */
enum sandbox_status script_protect(struct wf_run *r, lua_CFunction fn, void *ud);
/* A new coroutine with a function and nargs moved from L's top. NULL out of memory (values are
 * popped). */
struct task *task_new(struct wf_run *r, enum task_kind kind, struct task *parent, lua_State *L,
                      int nargs);
void task_ready(struct task *t);
/* Asks a coroutine (and what it spawned) to end. */
void task_cancel(struct task *t, struct str reason);
/* The cancellation reaches it now: everything that belongs to its scope is cancelled. */
void task_deliver(struct task *t);
/* One of its own operations was cancelled and still has to answer. */
bool task_keeps_waiting(const struct task *t);
void task_wake(struct task *t);
/* Calls the function and nargs on L's top in a read-only context. nres results, or the error value.
 */
enum sandbox_status script_call(struct wf_run *r, lua_State *L, enum script_context c, int nargs,
                                int nres);
void script_limit(struct wf_run *r);
static inline bool script_failed(const struct wf_run *r)
{
    return r->task_limit || r->task_failure != NULL;
}
/* Interned copy in keep of a text that occurs often. */
struct str script_text(struct wf_run *r, struct str s);

/* ---- wf_future.c ---- */
static inline struct future_box *box_of(struct wf_future *f)
{
    return (struct future_box *)(void *)f;
}
struct future_box *future_box_get(struct wf_run *r, uint64_t id);
void future_disown(struct future_box *b);
void future_own(struct future_box *b, struct task *t);
void future_cancel(struct future_box *b, struct str reason);
void future_resolved(struct future_box *b); /* state is set: wakes, leaves the lists */
void futures_free(struct wf_run *r);
void waiter_detach(struct wf_waiter *w);
void conditions_check(struct wf_run *r);
/* Fails a future of a coroutine with the error value on L's top (popped) and its traceback.
 * Protected contexts only. */
void future_fail_value(struct wf_run *r, struct future_box *b, lua_State *L, struct str traceback);

/* For bindings. */
struct future_box *api_future(lua_State *L, enum wf_pending_kind kind, struct str name);
void api_push_future(lua_State *L, uint64_t id); /* the Lua object */
struct future_box *api_check_future(lua_State *L, int idx);
/* Delivers a pending cancellation now (raises), before an operation is made. */
void api_checkpoint(lua_State *L);
/* Waits until one of n futures is resolved, then k; shielded: cancellation stays pending meanwhile.
 * k begins with api_waited. */
int api_wait(lua_State *L, const uint64_t *ids, int n, bool shielded, lua_KContext ctx,
             lua_KFunction k);
/* Ends a wait: raises a cancellation that was delivered meanwhile (releasing the n futures first).
 */
void api_waited(lua_State *L, const uint64_t *ids, int n);
/* Pushes what a resolved future holds, or raises it; releases it when asked to. */
int api_outcome(lua_State *L, uint64_t id, bool release);
/* Waits for a future that no Lua object stands for, and gives its outcome. */
int api_await_op(lua_State *L, uint64_t id);
void future_register(lua_State *L);

/* ---- wf_api.c ---- */
int api_error(lua_State *L, const struct err *e, const char *name); /* raises */
int api_nomem(lua_State *L); /* raises what no pcall of the script can catch: half a step must not
                                go on without memory */
/* A binding that makes commands, waits or draws chance: raises outside a coroutine of the run. Sets
 * r->op_where. */
struct wf_run *api_act(lua_State *L, const char *name);
/* A binding that only reads the run: raises at the top of a file. */
struct wf_run *api_read(lua_State *L, const char *name);
/* A class: table of methods under `name` in the registry of classes, metatable "moonloop.NAME". */
void api_class(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *meta);
struct str api_str(lua_State *L, int idx); /* a checked string argument, borrowed */
struct str api_keep(struct wf_run *r, lua_State *L,
                    struct str s); /* copy in keep; raises out of memory */
void api_push_time(lua_State *L, int64_t ns);
void api_set_str(lua_State *L, const char *key,
                 struct str s); /* table on top; absent sets nothing */
/* "file.lua:12", where the function at the bottom of a new coroutine is defined; in keep. */
struct str api_defined(struct wf_run *r, lua_State *co);
struct str api_where(lua_State *L); /* interned "file.lua:12" */
struct rec *api_payloads(lua_State *L, int first, int n,
                         const char *root);                      /* in out_arena; raises */
int api_push_payloads(lua_State *L, const struct rec *payloads); /* raises; number of values */
struct rec *api_map_payloads(lua_State *L, int idx, const struct rec_type *type, int tag,
                             bool typed, const char *name);
const struct def *api_find_def(struct wf_script *s, enum def_kind kind, struct str name);
struct str api_out(lua_State *L, struct str s); /* copy in out_arena; raises out of memory */
void api_warn(struct wf_run *r, int level, struct str text);

enum wf_cancel_type api_check_cancel(lua_State *L, int options, const char *fname, bool child);

/* Each installs its functions into the table on top of the stack. */
void api_open_activity(lua_State *L);
void api_open_child(lua_State *L);
void api_open_flow(lua_State *L);
void api_open_message(lua_State *L);
void api_open_info(lua_State *L);
void api_open_values(lua_State *L);
void api_open_standins(lua_State *L);
int api_new_activity(lua_State *L, const struct def *d); /* pushes the callable of a definition */
int core_activity(lua_State *L);                         /* wf_api.c: for lua/moonloop */
int core_workflow(lua_State *L);
int core_host_activity(lua_State *L);
int core_defining(lua_State *L);
int core_define_tool(lua_State *L);

/* ---- wf_api_message.c: what script_signal and friends stand on ---- */
struct handler *handler_find(struct wf_script *s, enum handler_kind kind, struct str name);
void handlers_list(struct wf_script *s, enum handler_kind kind, struct buf *out);
bool update_deliver(struct wf_run *r, const struct pending_update *u); /* false: no such handler */
void updates_reject_unknown(struct wf_run *r);
void messages_free(struct wf_run *r);

#endif
