/* The activity runtime: one host Lua state per entry script; each call is a coroutine on the loop
 * with its own deadline, instruction slices and charged memory; thousands share one thread. Also
 * loads scripts (their registry) and runs plain ones. Knows nothing of engines: what to run comes
 * in, the outcome goes out by callback. */
#ifndef ML_ACTIVITY_ACTIVITY_H
#define ML_ACTIVITY_ACTIVITY_H
#include "backend.h"
#include "base/loop.h"
#include "base/rng.h"
#include "http/route.h"
#include "http/server.h"
#include "script/bundle.h"
#include "store/store.h"

struct act_host; /* one entry script */
struct act_call;
struct http_client; /* http/client.h */

/* What the runtime is handed; shared by all scripts of a host. */
struct act_env {
    struct loop *loop;
    const struct clock *clock;
    const struct entropy *entropy;
    const struct log *log;
    struct http_client **http; /* opened when first used (http_client_open) */
    struct store *store;       /* for ml.store; NULL: raises */
    /* ml.sleep on the engine's clock (idle: nothing else goes on meanwhile); NULL: the loop's
     * timers. *id 0: out of memory, fn is never
     * called */
    void (*sleep_until)(void *ud, int64_t due_ns, bool idle, void (*fn)(void *ud), void *fn_ud,
                        uint64_t *id);
    void (*sleep_cancel)(void *ud, uint64_t id);
    int64_t (*now_ns)(void *ud); /* engine time, for ml.now and os.time */
    /* a heartbeat of a running call went through throttling: send it; the answer comes by
     * act_cancel when it must stop */
    void (*heartbeat)(void *ud, uint64_t call, const struct rec *details);
    /* ml.complete_async(token, value | failure) and ml.client-like calls from activities: generic
     * request to the host; answer by fn. NULL: raises */
    void (*request)(void *ud, struct str verb, struct str json,
                    void (*fn)(void *ud, int code, struct str json), void *fn_ud);
    void (*print)(void *ud,
                  struct str line); /* print() of activities and plain scripts; NULL: log */
    /* what an activity says while it runs (JSON); not recorded, may be dropped. NULL: nobody hears
     * it */
    void (*progress)(void *ud, const struct act_call *call, struct str json);
    void *ud;
    size_t memory_max; /* of one host state, 0: 256 MiB */
    bool stdio;        /* plain scripts may write to stdout/stderr themselves (io.write) */
};

/* ---- loading ---- */
enum act_load_kind { ACT_LOAD_DEFINITIONS, ACT_LOAD_PROGRAM };
struct act_load_result {
    struct err err; /* ERR_SCRIPT with file:line; ERR_NOTFOUND missing file */
    enum act_load_kind kind;
    int exit_code; /* PROGRAM: os.exit's code, 0, or 1 after an error (its text in err) */
};
typedef void (*act_load_fn)(void *ud, const struct act_load_result *r);
/* Opens a host state for the script and runs its top as a coroutine. allow_program: a top that acts
 * before defining is run as a plain program with `args` in the global `arg`; else that is
 * ERR_SCRIPT naming the act's line. The answer comes by fn on the loop (a program's when it has
 * ended). ml.setup functions run (as coroutines) after a successful load, before fn. */
int act_open(const struct act_env *env, const char *path, bool allow_program,
             const char *const *args, size_t n_args, act_load_fn fn, void *ud,
             struct act_host **out, struct err *e);
void act_close(
    struct act_host *h); /* calls still running end as failed with BACKEND_CANCEL_SHUTDOWN
                            semantics, callbacks are not called */
/* What the script defined. options: JSON of its options table as given ({} when none). */
struct act_definition {
    const char *kind; /* "workflow" | "activity" | "local_activity" | "tool" */
    struct str name, options_json, task_queue;
    struct str versioning; /* "pinned", "auto_upgrade", absent */
    bool has_function;
    int line;
};
size_t act_definitions(const struct act_host *h,
                       const struct act_definition **out); /* borrowed until close */
struct bundle *act_bundle(
    struct act_host *h); /* the bundle of what was loaded; a new reference. NULL for programs */
const char *act_path(const struct act_host *h);

/* ---- calls ---- */
struct act_call {
    struct str activity_type;
    const struct rec *input; /* payloads */
    struct str workflow_id, run_id, workflow_type, task_queue, activity_id, idempotency_key, token;
    int attempt;
    bool local;
    int64_t scheduled_ns, started_ns, start_to_close_ns,
        heartbeat_ns; /* timeouts 0: none; enforced here for start_to_close + heartbeat too (fails
                         as timeout) */
    const struct rec *heartbeat_details;
    const struct rec *header;
};
typedef void (*act_done_fn)(void *ud, uint64_t call, const struct backend_activity_completion *c);
/* Starts a call; *id identifies it. The callback comes later on the loop, exactly once, unless the
 * host state is closed. ERR_NOTFOUND lists known activities. */
int act_start(struct act_host *h, const struct act_call *c, act_done_fn fn, void *ud, uint64_t *id,
              struct err *e);
/* Delivers a cancellation once, at the call's blocking point (and to ml.cancel_requested()).
 * TIMED_OUT and GONE end it without a report being useful. */
void act_cancel(struct act_host *h, uint64_t id, enum backend_cancel_reason why);
size_t act_running(const struct act_host *h); /* calls and requests */

/* ---- routes ---- */
/* What ml.api defined: an http_route's value is its struct act_route. */
struct act_route {
    size_t index;       /* from 1; 0: no route, but the MCP server on standard input */
    int64_t timeout_ns; /* from the request to its answer (a stream: to its head) */
    size_t body_max;    /* 0: the server's */
    struct str folder;  /* of static files; absent: a handler answers */
    const char *path;   /* of the script */
    struct str doc;     /* JSON: {summary, description, input, output}; absent: it is not listed */
};
const struct http_router *act_routes(const struct act_host *h);

/* How a request goes out. From act_step and from timers, never inside act_request_start. */
struct act_request_fns {
    int (*head)(void *ud, const struct http_answer *a); /* a stream begins; 0 or a code */
    int (*push)(void *ud, struct str bytes); /* of it: 0, ERR_BUSY (act_request_room tells when),
                                                ERR_STALE; at most ACT_PUSH_MAX bytes */
    /* Once, unless the host state is closed. answer NULL: the stream has ended, complete or not. */
    void (*done)(void *ud, const struct http_answer *answer, bool complete);
    /* The answer is the events of a run; `done` is not called any more when it returns 0. */
    int (*follow)(void *ud, struct str workflow_id, struct str run_id, struct str last,
                  const struct http_header *also, size_t n_also);
};
#define ACT_PUSH_MAX ((size_t)16 << 10)
/* Runs the route's handler for the request (borrowed for the call). *id: for act_cancel (GONE: the
 * peer has left) and act_request_room. */
int act_request_start(struct act_host *h, const struct act_route *route,
                      const struct http_incoming *in, const struct http_route_match *m,
                      const struct act_request_fns *fns, void *ud, uint64_t *id, struct err *e);
void act_request_room(struct act_host *h, uint64_t id);
/* Runs coroutines that are ready for at most budget_ns; true when some remain. Called every loop
 * turn while act_ready. */
bool act_step(struct act_host *h, int64_t budget_ns);
bool act_ready(const struct act_host *h);
void act_on_ready(struct act_host *h, void (*fn)(void *ud), void *ud); /* wakes the worker */

#endif
