/* Inside of the activity runtime: what its files share.
 *
 * host   one entry script. Has the current state, and old ones that end with their last coroutine
 * (draining). state  one Lua state (a sandbox) with the script loaded. call   a root of work: the
 * load of the script, a setup function, an activity attempt, or a request to a route. Owns its
 * coroutines' time-outs. co one coroutine of a call: its main function or something spawned. op
 * what a coroutine waits for: a userdata whose push function makes the results once it is done.
 *
 * Callbacks of other rooms only fill an op in and call act_op_done. Lua runs in act_step alone. */
#ifndef ML_ACTIVITY_INTERNAL_H
#define ML_ACTIVITY_INTERNAL_H
#include "activity/activity.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "script/sandbox.h"
#include "script/value.h"

#include <lauxlib.h>
#include <lualib.h>

#define ACT_SLICE 200000u
#define ACT_SLICE_NS (20 * NS_PER_MS) /* a slice of slow instructions ends then */
#define ACT_STUCK_NS (3 * NS_PER_S)   /* processor time where a coroutine cannot be paused */
#define ACT_GRACE (5 * NS_PER_S)      /* between a cancellation by time-out and the end by force */
#define ACT_MEMORY ((size_t)256 << 20)
#define ACT_NO_RESULTS 50 /* values an activity may return */

enum act_mode { MODE_UNDECIDED, MODE_DEFINITIONS, MODE_PROGRAM };
enum call_kind { CALL_LOAD, CALL_SETUP, CALL_ACTIVITY, CALL_REQUEST };

struct act_module {
    struct act_module *next;
    char *name, *chunk, *text;
    size_t text_n;
    bool strict, native;
};

struct act_state {
    struct act_host *h;
    struct act_state *next;
    struct sandbox sb;
    size_t n_co, n_routes;
    bool draining, loading, sealed;
    int setups_left; /* calls wait until 0 */
    struct act_co *held_first, *held_last;
};

struct act_host {
    struct act_env env;
    char *path;
    bool allow_program;
    char **args;
    size_t n_args;
    act_load_fn load_fn;
    void *load_ud;
    struct act_load_result load_result;
    bool load_done, load_told;
    enum act_mode mode;
    char act_where[200], act_name[64]; /* the first act of the top */
    char def_where[200];               /* the first definition */
    struct arena defs_arena;
    struct act_definition *defs;
    size_t n_defs, cap_defs;
    struct act_module *modules;
    char *text; /* of the entry */
    size_t text_n;
    struct act_state *st;     /* the current one; NULL: made again by the next call */
    struct act_state *states; /* all */
    struct idmap cos, calls;
    struct act_co *ready_first, *ready_last;
    struct act_co *current;
    size_t n_running;     /* activity calls */
    struct arena scratch; /* reset before each resume: failures that are about to be raised */
    void (*ready_fn)(void *ud);
    void *ready_ud;
    bool in_step, closing;
    int64_t slice_ns,
        stuck_ns; /* when the slice began; processor time at the first look while stuck */
    struct act_call_state *first_call;
    struct map sqlfiles;       /* path -> struct sqlfile */
    struct act_tokens *tokens; /* oauth2 */
    struct http_guard *guard;  /* act_guard.c; NULL: not needed yet */
    struct http_router router; /* of the first load; its strings are in defs_arena */
    struct rng rng;
};

struct act_call_state {
    struct act_host *h;
    struct act_call_state *prev, *next;
    enum call_kind kind;
    uint64_t id; /* activities */
    struct act_state *st;
    act_done_fn fn;
    void *ud;
    struct act_call info; /* copied into the arena */
    struct arena arena;
    struct act_serve *serve; /* CALL_REQUEST: in the arena */
    uint64_t main_id;
    struct act_co *cos; /* all of this call */
    size_t n_co;
    struct act_op *settles; /* group waits */
    bool main_done, cancel_requested, async_completion;
    enum backend_cancel_reason reason;
    int timeout_type; /* of TIMED_OUT, enum timeout_type */
    struct backend_activity_completion outcome;
    struct buf intents; /* of ml.db: a JSON array without its brackets */
    struct err error;   /* LOAD, SETUP */
    /* time-outs, monotonic; 0: none */
    struct loop_timer *timer;
    int64_t due_ns, beat_due_ns, send_due_ns, grace_ns;
    struct arena beat_arenas[2]; /* the details on their way, and the unsent */
    const struct rec *unsent;
    bool has_unsent;
    int64_t sent_ns;
    bool ever_sent;
};

struct act_co {
    struct act_co *prev, *next; /* of the call */
    struct act_co *ready_next;
    struct act_call_state *call;
    struct act_state *st;
    uint64_t id;
    lua_State *co;
    struct sandbox_scope scope;
    bool queued, blocked, cancel_pending, canceled, deliver,
        apart /* not cancelled with its parent */;
    int nargs;
    struct act_op *op;
    int future_ref; /* LUA_NOREF: none */
    char why[120];  /* of the cancellation */
};

/* ---- ops ---- */
struct act_op {
    struct act_host *h;
    uint64_t co; /* who waits; 0: nobody */
    bool done, steady /* no cancellation reaches the wait */;
    void (*abort)(struct act_op *op); /* stops what is under way; no act_op_done after it. NULL:
                                         nothing to stop */
    int (*push)(lua_State *L, struct act_op *op); /* results; may raise */
    void (*release)(struct act_op *op); /* frees what it owns (also after abort); NULL: nothing */
};
/* Pushes a new op (zeroed userdata of `size`, struct act_op first). */
void *act_op_new(lua_State *L, size_t size, void (*abort)(struct act_op *),
                 int (*push)(lua_State *, struct act_op *), void (*release)(struct act_op *));
/* Waits for the op on the stack top: `return act_op_wait(L, op)`. */
int act_op_wait(lua_State *L, void *op);
void act_op_done(struct act_op *op); /* from callbacks */
/* For callbacks that cannot be taken back: the link outlives the op. Cut by the op's release. */
struct act_link {
    struct act_op *op;
};
struct act_link *act_link_new(struct act_op *op); /* NULL out of memory */

/* ---- scheduler ---- */
static inline struct act_state *act_state_of(lua_State *L)
{
    return sandbox_of(L)->ud;
}
static inline struct act_host *act_host_of(lua_State *L)
{
    return act_state_of(L)->h;
}
/* The call whose coroutine is running. */
static inline struct act_call_state *act_current(lua_State *L)
{
    struct act_co *co = act_host_of(L)->current;
    return co ? co->call : NULL;
}
struct act_co *act_co_new(struct act_call_state *call,
                          struct act_state *st); /* NULL out of memory */
void act_co_free(struct act_co *co);
void act_co_ready(struct act_co *co);
void act_co_cancel(struct act_co *co, const char *why);
void act_wake(struct act_host *h);
void act_settles_check(struct act_call_state *call);
int act_raise_canceled(lua_State *L, const char *why);

/* ---- calls ---- */
struct act_call_state *act_call_new(struct act_host *h, struct act_state *st, enum call_kind kind);
void act_call_free(struct act_call_state *c);
void act_call_co_ended(struct act_call_state *c, struct act_co *co, enum sandbox_status status,
                       int nres); /* frees co */
void act_call_cancel(struct act_call_state *c, enum backend_cancel_reason why);
void act_call_beat(struct act_call_state *c, lua_State *L, int first, int n);
void act_call_force_end(struct act_call_state *c);
void act_future_settle(struct act_co *co, enum sandbox_status status, int nres);
void act_call_set_timer(struct act_call_state *c);
int act_call_open_timer(struct act_call_state *c);
/* act_serve.c: the handler has ended (its answer is told), is over its time, has ended by force. */
void act_serve_ended(struct act_call_state *c, struct act_co *co, enum sandbox_status status,
                     int nres);
void act_serve_canceled(struct act_call_state *c);
void act_serve_complete(struct act_call_state *c); /* frees */
void act_open_webhook(lua_State *L);               /* the same */
void act_open_process_core(lua_State *L);          /* the same */
void act_open_serve(lua_State *L);                 /* moonloop.core is on top */

/* ---- states and loading ---- */
int act_state_open(struct act_host *h, struct act_state **out, struct err *e);
void act_state_close(struct act_state *st);
int act_state_reload(struct act_host *h, struct err *e); /* makes h->st from the kept text */
void act_load_ended(struct act_call_state *c, bool exited, int exit_code);
void act_setup_ended(struct act_call_state *c);
void act_state_out_of_memory(struct act_state *st);
/* The text of the error on co's stack top, with its traceback when it is a plain one. */
void act_error_text(struct act_state *st, lua_State *co, struct err *e, bool trace);

/* ---- bindings ---- */
/* Side effects begin with this: at the top of a file it decides for a program, or raises when there
 * were definitions. */
void act_act(lua_State *L, const char *name);
/* Raises a plain error (misuse) with the place in the script, also when the binding was called by
 * Lua of ours. */
int act_misuse(lua_State *L, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int act_fail(lua_State *L, const char *type, bool retryable, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int act_fail_err(lua_State *L, const char *fname,
                 const struct err *e); /* an operation's failure by its code */
void act_where(lua_State *L, char *out, size_t n);
struct http_header;
/* Pushes a table of headers; a name that came again is joined by ", ", a request's cookies by "; "
 * (RFC 9110 5.3, RFC 9113 8.2.3). */
void act_push_headers(lua_State *L, const struct http_header *h, size_t n, bool request);
void act_push_time(lua_State *L, int64_t ns);
int64_t act_now(struct act_host *h);
struct str act_check_str(lua_State *L, int idx); /* strings, ml.bytes and ml.env handles */
bool act_to_str(
    lua_State *L, int idx,
    struct str *out); /* the same without raising; may replace a handle at idx by its text */
/* A buffer that the Lua state owns (pushed). */
struct buf *act_buf(lua_State *L, size_t max);
struct arena *act_arena(lua_State *L, size_t max);
void act_encode(lua_State *L, int idx, struct buf *out,
                const char *root); /* JSON; ml.env handles become text; raises */
bool act_resolve_handles(lua_State *L,
                         int idx); /* true: a copy without ml.env handles was pushed */
int act_open_table(lua_State *L);  /* builds and preloads "moonloop" */
void act_open_flow(lua_State *L);
void act_open_jwt(lua_State *L);
/* act_client.c: one request to the host, which the coroutine waits for. `push` reads the
 * act_request when the answer is there; env.request must be set. */
struct act_request {
    struct act_op op;
    struct act_link *link;
    int code;
    struct buf answer; /* JSON, or the text of an error */
};
int act_ask_host(lua_State *L, struct str verb, struct buf *json,
                 int (*push)(lua_State *L, struct act_op *op));
void act_open_client(lua_State *L); /* after act_open_flow */
void act_open_info(lua_State *L);
void act_open_handles(lua_State *L);
void act_open_http(lua_State *L);
void act_open_stream(lua_State *L);
void act_open_store(lua_State *L);
void act_open_sql(lua_State *L);
void act_open_process(lua_State *L);
void act_open_fs(lua_State *L);
void act_open_crypto(lua_State *L);
void act_open_time(lua_State *L);
void act_open_oauth(lua_State *L);
void act_tokens_free(struct act_host *h);
void act_sqlfiles_close(struct act_host *h);

/* handles (act_handles.c) */
bool act_is_secret(lua_State *L, int idx);
bool act_is_env(lua_State *L, int idx);
/* The value as bytes in `out` (appended); raises a failure when it is not set. */
void act_secret_value(lua_State *L, int idx, struct buf *out);
void act_push_env_value(lua_State *L, int idx);

#endif
