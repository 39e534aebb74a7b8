/* Inside of the replayer. Two halves meet here:
 *  - machines (wf_run.c, wf_batch.c, wf_machine*.c, wf_update.c): history in, commands out, ids,
 * matching, markers, jobs;
 *  - script side (wf_sched.c, wf_future.c, wf_api_*.c): coroutines, futures, scopes, the Lua API of
 * a workflow. Machines never touch Lua; the script side never looks at events. Both run on one
 * thread, inside wf_activate. */
#ifndef ML_WORKFLOW_WF_INTERNAL_H
#define ML_WORKFLOW_WF_INTERNAL_H
#include "base/map.h"
#include "workflow/workflow.h"

/* ---- futures: made by the script side, resolved by machines (or by the script side for spawned
 * coroutines) ---- */
enum wf_future_state { FUTURE_PENDING, FUTURE_OK, FUTURE_FAILED };
struct wf_future {
    uint64_t id; /* in r->futures (idmap); machines keep the id, never the pointer */
    enum wf_future_state state;
    enum wf_pending_kind kind;
    bool canceled;             /* FAILED because of a cancellation */
    const struct rec *result;  /* OK: payloads or NULL; lives in r->keep */
    const struct rec *failure; /* FAILED; lives in r->keep */
    int lua_ref; /* script side: registry reference of the Lua results of a spawned coroutine */
    struct wf_waiter *waiters; /* script side, FIFO */
    uint64_t op;               /* machines: the operation it stands for (0: none) */
    struct str where;          /* "file.lua:12" of the call, for reports; in r->keep */
    struct str name;           /* for people: activity type, timer summary, child id; in r->keep */
};
struct wf_future *wf_future_new(struct wf_run *r,
                                enum wf_pending_kind kind); /* NULL out of memory */
struct wf_future *wf_future_get(struct wf_run *r, uint64_t id);
void wf_future_release(struct wf_run *r,
                       uint64_t id); /* the Lua object was collected and nothing waits */
/* Resolves (first one wins; later calls are ignored) and makes the waiters ready in order. Copies
 * into r->keep. */
void wf_future_ok(struct wf_run *r, uint64_t id, const struct rec *payloads);
void wf_future_fail(struct wf_run *r, uint64_t id, const struct rec *failure, bool canceled);

/* ---- machines: what the script side asks for. All return 0 or a negative code with *e; the future
 * is resolved later ---- */
enum wf_cancel_type {
    CANCEL_TRY,
    CANCEL_WAIT,
    CANCEL_ABANDON,
    CANCEL_WAIT_REQUESTED /* children only */
};
struct wf_activity_opts {
    struct str type, task_queue /* absent: the run's */, id /* absent: from the counter */;
    const struct rec *input; /* payloads */
    int64_t start_to_close_ns, schedule_to_close_ns, schedule_to_start_ns,
        heartbeat_ns; /* 0: unset. the API layer has made sure that a close timeout is set */
    const struct rec *retry_policy;
    enum wf_cancel_type cancel;
    struct str summary;
    bool local;
    int64_t retry_threshold_ns; /* local */
};
int wf_op_activity(struct wf_run *r, const struct wf_activity_opts *o, uint64_t future,
                   struct err *e);
/* till: the end of the duration is a time that the script named; an engine that can keeps it to the
 * point, however long the task takes. */
int wf_op_timer(struct wf_run *r, int64_t duration_ns, bool till, struct str summary,
                uint64_t future, struct err *e);
struct wf_child_opts {
    struct str workflow_type, workflow_id /* absent: made from the run's rng */, task_queue;
    const struct rec *input;
    int64_t execution_timeout_ns, run_timeout_ns, task_timeout_ns;
    const struct rec *retry_policy;
    int parent_close_policy; /* enum parent_close_policy; 0: terminate */
    int id_reuse_policy;
    struct str cron;
    const struct rec *memo, *search_attributes; /* messages memo, search_attributes */
    enum wf_cancel_type cancel;
    struct str summary;
};
/* started: resolves OK with one json payload (the run id), or fails. result: the child's outcome.
 * *id: the workflow id (in r->keep). */
int wf_op_child(struct wf_run *r, const struct wf_child_opts *o, uint64_t started, uint64_t result,
                struct str *id, struct err *e);
int wf_op_signal_external(struct wf_run *r, struct str workflow_id, struct str run_id,
                          bool child_only, struct str name, const struct rec *input,
                          uint64_t future, struct err *e);
int wf_op_cancel_external(struct wf_run *r, struct str workflow_id, struct str run_id,
                          bool child_only, struct str reason, uint64_t future, struct err *e);
int wf_op_search_attributes(struct wf_run *r, struct rec *search_attributes, struct err *e);
int wf_op_memo(struct wf_run *r, struct rec *memo, struct err *e);
bool wf_op_patched(struct wf_run *r, struct str id, bool deprecated,
                   struct err *e); /* memoised; writes marker and upsert when not replaying */
/* Side effect, two steps: is a recorded value known for the next side-effect id? Then *payloads is
 * set and 1 returned; 0: run the function and hand its value in. */
int wf_op_side_effect_recorded(struct wf_run *r, const struct rec **payloads, struct err *e);
int wf_op_side_effect_record(struct wf_run *r, const struct rec *payloads, struct err *e);
/* Cancels the operation behind a future by its cancel type (timers: now). No-op when it is resolved
 * or has none. */
void wf_op_cancel(struct wf_run *r, uint64_t future, struct str reason);
/* Terminal: the first one wins, later ones are dropped. */
int wf_op_complete(struct wf_run *r, const struct rec *result, struct err *e);
int wf_op_fail(struct wf_run *r, const struct rec *failure, struct err *e);
int wf_op_canceled(struct wf_run *r, const struct rec *details, struct err *e);
struct wf_can_opts {
    struct str workflow_type, task_queue;
    const struct rec *input;
    int64_t run_timeout_ns, task_timeout_ns;
    const struct rec *retry_policy, *memo, *search_attributes;
};
int wf_op_continue_as_new(struct wf_run *r, const struct wf_can_opts *o, struct err *e);
/* Updates: answers to one delivered by script_update. */
int wf_op_update_accept(struct wf_run *r, struct str update_id, struct err *e);
int wf_op_update_reject(struct wf_run *r, struct str update_id, const struct rec *failure,
                        struct err *e);
int wf_op_update_complete(struct wf_run *r, struct str update_id, const struct rec *result,
                          const struct rec *failure, struct err *e);

/* Fills kind, id, name, where and due_ns of what a pending future stands for; false when no
 * operation is behind it (spawned coroutines, channels). For the script side's wf_pending_add. */
bool wf_op_describe(struct wf_run *r, uint64_t future, struct wf_pending *out);

/* ---- script side: what machines ask for, in the order of jobs (TEMPORAL.md 1.7) ---- */
int script_open(struct wf_run *r,
                struct err *e); /* sandbox, "moonloop" table, loads the entry's top (definitions
                                   only). ERR_SCRIPT with file:line */
void script_close(struct wf_run *r);
/* The main function of `workflow_type` gets a coroutine (not run yet). ERR_NOTFOUND lists the known
 * types. */
int script_start(struct wf_run *r, struct str workflow_type, const struct rec *input,
                 struct err *e);
void script_signal(struct wf_run *r, struct str name, const struct rec *input,
                   struct str identity); /* handler coroutine, or buffered for channels */
/* run_validator false on replay and for updates already accepted. The handler coroutine is made;
 * answers come through wf_op_update_*. */
void script_update(struct wf_run *r, struct str update_id, struct str name, const struct rec *input,
                   bool run_validator);
void script_cancel(
    struct wf_run *r,
    struct str cause); /* the run was asked to cancel: delivered once at its blocking call */
/* Runs coroutines until all are blocked: handlers by arrival, then the ready queue (FIFO);
 * conditions are re-checked after every step in registration order. SANDBOX_DONE / BLOCKED: settled
 * (whether or not the main function ended); SLICE: budget spent; LIMIT: see sandbox; ERROR: the
 * task fails, r->task_failure is set. */
enum sandbox_status script_run(struct wf_run *r);
void script_query(struct wf_run *r, const struct wf_query *q,
                  struct wf_query_result *out);          /* read-only; out lives in r->out_arena */
void script_reseed(struct wf_run *r, struct str run_id); /* a reset happened */
/* Behind wf_definitions (workflow.h): same meaning, implemented where the registrations are kept.
 */
int script_definitions(struct bundle *b,
                       void (*each)(void *ud, const char *kind, struct str name,
                                    struct str options_json),
                       void *ud, struct err *e);
/* Every waiting coroutine with its traceback, for __stack_trace; text in r->out_arena. */
struct str script_stack_trace(struct wf_run *r);

/* ---- the run ---- */
struct wf_machines; /* private to the machines half */
struct wf_script;   /* private to the script half */
struct wf_run {
    struct bundle *bundle;
    struct wf_info info; /* strings in keep */
    struct sandbox
        sandbox;       /* opened by script_open; slice_left is set by wf_activate from the budget */
    struct arena keep; /* lives as long as the run */
    struct arena out_arena; /* reset at the start of each wf_activate with a new task */
    struct idmap futures;
    struct wf_machines *machines;
    struct wf_script *script;

    /* facts the script side reads, kept by the machines */
    int64_t now_ns; /* workflow time */
    bool replaying;
    int64_t history_length, history_bytes;
    bool continue_as_new_suggested;
    const struct rec *started; /* attributes of WorkflowExecutionStarted, in keep (memo, header,
                                  parent, timeouts, attempt, cron ...) */
    struct str
        chain_start_iso; /* from the header `moonloop`.chain_start, else the time of event 1 */
    int64_t chain_start_ns;
    bool cancel_requested;
    bool terminal; /* a terminal command exists: later ones are dropped */
    int64_t wall_ns;
    uint8_t entropy[32]; /* of the task, for side_effect */
    struct rng rng;      /* seeded from original_execution_run_id; named streams derive from it */
    struct str op_where; /* script side, optional: "file.lua:12" of the wf_op_* call being made, for
                            commands that no future stands for (markers, upserts, terminal ones);
                            read during the call, copied by the machines */
    bool only_updates;   /* set by the machines before script_run, cleared by it: the jobs are new
                            updates and nothing else */
    bool read_only;      /* inside a query or validator: any wf_op_* is an error ERR_ARG "..." */
    bool closed;

    /* failure of the current task, set by either half: first wins */
    const struct rec *task_failure; /* in out_arena */
    int task_fail_cause;
    bool task_limit;

    /* log lines of this activation (out_arena); wf_log_add drops them while replaying */
    struct wf_log *logs;
    size_t n_logs, cap_logs, log_bytes;
    /* pending list, filled by the script side after it settled: who waits for what */
    struct wf_pending *pending;
    size_t n_pending, cap_pending;
    size_t unread_signals; /* that wait in channels */
    struct wf_out out;
};
void wf_log_add(struct wf_run *r, int level, struct str text, struct str fields_json);
void wf_pending_add(struct wf_run *r, const struct wf_pending *p);
/* Fails the current task (first call wins). cause: enum workflow_task_failed_cause. */
void wf_task_fail(struct wf_run *r, int cause, const struct rec *failure);
void wf_task_failf(struct wf_run *r, int cause, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Machines: appends to the commands of this task. attrs already set. */
void wf_command_add(struct wf_run *r, struct rec *command);

#endif
