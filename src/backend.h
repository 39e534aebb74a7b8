/* The port between the worker (and the host's verbs) and an engine: embedded (engine/) or a
 * Temporal server.
 *
 * Asynchronous and pushing: the worker says what it serves and offers slots; the engine pushes
 * tasks while it has credit; every completion and every request is answered later, never inside the
 * call (only without memory for that: then inside, with STORAGE or ERR_NOMEM). All calls and
 * callbacks happen on the loop's thread. Requests carry a request id that stays the same over
 * retries. Strings and records given to a call are borrowed for the duration of the call; those
 * given to a callback are borrowed for the duration of the callback, except tasks (owned). */
#ifndef ML_BACKEND_H
#define ML_BACKEND_H
#include "base/err.h"
#include "history/event.h"

struct backend; /* the engine's object; its first member is `const struct backend_ops *ops` */

/* ---- tasks pushed to the worker: owned by the receiver, who frees them with backend_task_free
 * ---- */
enum backend_task_kind { BACKEND_WORKFLOW_TASK, BACKEND_ACTIVITY_TASK };
struct backend_query {
    struct str id, type;
    const struct rec *args;
};
struct backend_task {
    enum backend_task_kind kind;
    struct arena arena; /* everything below lives here */
    struct str token;   /* opaque */
    struct str workflow_id, run_id, workflow_type, task_queue;
    int attempt;
    /* workflow task */
    bool whole; /* events begin at event 1 */
    int64_t previous_started_id, started_id;
    struct rec **events;
    size_t n_events;
    struct rec **messages;
    size_t n_messages;
    struct backend_query *queries;
    size_t n_queries;
    bool legacy_query;        /* queries[0] alone, answered by complete_query */
    struct str bundle_digest; /* the text the run goes on with; absent: the newest of the worker's
                                 registry, or what `build` and the history say */
    struct str build;         /* of a worker deployment: the build that the task was given to */
    struct str build_text; /* of runs of that build whose history names none; absent: the newest */
    int64_t wall_ns;       /* engine time of the task */
    int64_t task_timeout_ns; /* of the workflow task, for local-activity heartbeats; 0: 10 s */
    /* activity task */
    struct str activity_id, activity_type, idempotency_key;
    const struct rec *input; /* payloads */
    const struct rec *heartbeat_details;
    const struct rec *header;
    int64_t scheduled_ns, started_ns;
    int64_t start_to_close_ns, schedule_to_close_ns, heartbeat_ns;
};
void backend_task_free(struct backend_task *t);

enum backend_cancel_reason {
    BACKEND_CANCEL_REQUESTED,
    BACKEND_CANCEL_PAUSED,
    BACKEND_CANCEL_RESET,
    BACKEND_CANCEL_SHUTDOWN,
    BACKEND_CANCEL_TIMED_OUT,
    BACKEND_CANCEL_GONE
};

/* What the worker gives the engine. */
struct backend_sink {
    void *ud;
    void (*on_workflow_task)(void *ud, struct backend_task *t);
    void (*on_activity_task)(void *ud, struct backend_task *t);
    void (*on_activity_cancel)(void *ud, struct str token, enum backend_cancel_reason why);
    void (*on_run_closed)(void *ud, struct str run_id); /* drop it from the cache */
    void (*on_change)(void *ud); /* something moved that progress displays may want to look at */
};

/* ---- completions ---- */
enum backend_answer_kind {
    BACKEND_OK,                /* durable */
    BACKEND_STALE,             /* the task, attempt or run is gone: evict */
    BACKEND_UNHANDLED_COMMAND, /* a terminal command while new events waited: evict, a new task
                                  follows */
    BACKEND_DISCARDED,         /* a speculative task: roll back to event `rollback_id` */
    BACKEND_STORAGE /* the disk failed: evict; the engine goes on from its last commit when it can
                     */
};
struct backend_answer {
    enum backend_answer_kind kind;
    int64_t rollback_id;
    struct err err;
    bool sleeps;           /* OK: the run sleeps for long, its memory is better given back */
    bool cancel_requested; /* heartbeat: the activity shall stop */
    enum backend_cancel_reason cancel_reason;
};
typedef void (*backend_answer_fn)(void *ud, const struct backend_answer *a);

struct backend_query_result {
    struct str id;
    bool ok;
    const struct rec *result;
    const struct rec *failure;
    struct str message;
};
enum backend_versioning { VERSIONING_DEFAULT, VERSIONING_PINNED, VERSIONING_AUTO_UPGRADE };
struct backend_workflow_completion {
    struct rec *const *commands;
    size_t n_commands;
    const int64_t *dues; /* one a command, or NULL: when its timer is due, if the script named that
                            time (0: its duration counts from the completion) */
    struct rec *const *messages;
    size_t n_messages;
    const struct backend_query_result *query_results;
    size_t n_query_results;
    const uint32_t *flags;
    size_t n_flags;
    struct str bundle_digest;           /* recorded with the task: workerVersion.buildId */
    enum backend_versioning versioning; /* of the run, where the worker has a deployment */
    bool force_new_task;                /* heartbeat: local activities still run */
    struct str pending_json; /* what the run waits for, for list and show; may be absent */
    int local_attempts;      /* local activity attempts after the first, of this task */
    size_t unread_signals;   /* that were delivered and nobody has received */
    int64_t sleeps_till;     /* it waits for timers and nothing else: the first one's time; or 0 */
};
struct backend_activity_completion {
    enum {
        ACT_COMPLETED,
        ACT_FAILED,
        ACT_CANCELED,
        ACT_ASYNC /* will be completed later by token or id */
    } kind;
    const struct rec *result; /* payloads */
    const struct rec *failure;
    const struct rec *details;   /* canceled; or the last unsent heartbeat details of a failure */
    int64_t next_retry_delay_ns; /* 0: by policy */
    struct str intents; /* COMPLETED: what it wants to be written with its completion, as JSON; the
                           worker makes `batch` of it */
    struct store_batch *batch; /* embedded: statements and guards that commit with the completion;
                                  taken. A guard that fails makes it a failure of type Conflict,
                                  not retryable */
    bool timed_out; /* failed by its own time-out: who keeps attempts' clocks knows it already */
};

/* ---- requests of clients ---- */
enum backend_id_conflict { ID_CONFLICT_FAIL, ID_CONFLICT_USE_EXISTING, ID_CONFLICT_TERMINATE };
enum backend_id_reuse { ID_REUSE_ALLOW, ID_REUSE_FAILED_ONLY, ID_REUSE_REJECT };
struct backend_start {
    struct str request_id, workflow_id, workflow_type, task_queue;
    const struct rec *input; /* payloads */
    const struct rec *memo, *search_attributes, *header, *retry_policy;
    int64_t execution_timeout_ns, run_timeout_ns, task_timeout_ns, start_delay_ns;
    struct str cron;
    enum backend_id_conflict on_open;
    enum backend_id_reuse on_closed;
    struct str bundle_digest,
        entry; /* embedded: the text it starts with, and the path of its script for people */
    struct str identity;
    struct str tree; /* the tree it belongs to (run id of the root); absent: its own */
    struct store_batch
        *batch; /* embedded: statements and guards that commit with the start; taken */
    /* signal-with-start */
    struct str signal_name;
    const struct rec *signal_input;
    /* a Temporal server only; all may be absent */
    const struct rec *user_metadata, *priority, *versioning_override;
};
struct backend_target {
    struct str workflow_id, run_id /* absent: the current run */;
};
enum backend_run_status {
    RUN_RUNNING = 1,
    RUN_COMPLETED,
    RUN_FAILED,
    RUN_CANCELED,
    RUN_TERMINATED,
    RUN_CONTINUED_AS_NEW,
    RUN_TIMED_OUT
}; /* Temporal's numbers */
struct backend_reply {
    struct err
        err; /* code 0: fine. ERR_EXISTS, ERR_NOTFOUND, ERR_FAILED, ERR_GUARD, ERR_FULL ... */
    struct str run_id;              /* start, result (the run that ended the chain) */
    bool existing;                  /* start: an open or deduplicated run was used */
    enum backend_run_status status; /* result, describe */
    const struct rec *result;       /* payloads: query, update, result */
    const struct rec *failure;      /* update, result of a failed run */
    struct str json;                /* describe, list, count: JSON for people and tools */
    struct rec *const *events;
    size_t n_events; /* history */
    /* Holds the events and next_page: who keeps them adopts it (arena_adopt) in the callback. NULL:
     * they must be copied. */
    struct arena *arena;
    struct str next_page;
    int guard; /* ERR_GUARD: which */
};
typedef void (*backend_reply_fn)(void *ud, const struct backend_reply *r);
enum backend_update_stage { UPDATE_ACCEPTED, UPDATE_COMPLETED };

struct backend_served {
    struct str task_queue;
    const struct str *workflow_types;
    size_t n_workflow_types;
    const struct str *activity_types;
    size_t n_activity_types;
};

struct backend_ops {
    /* worker side */
    /* Replaces what was served; a queue's types: others wait visibly. ERR_NOMEM: nothing changed.
     */
    int (*serve)(struct backend *b, const struct backend_sink *sink,
                 const struct backend_served *queues, size_t n);
    void (*offer)(struct backend *b, int workflow_slots,
                  int activity_slots); /* more credit; each pushed task uses one */
    /* Gives a task back that could not be begun or finished here, for want of memory or of the
     * disk: it is pushed again later, as if it had not been. Needs no memory. An activity is given
     * back only when its attempt has not begun. */
    void (*release)(struct backend *b, struct str token, const struct err *why);
    void (*complete_workflow)(struct backend *b, struct str token,
                              const struct backend_workflow_completion *c, backend_answer_fn fn,
                              void *ud);
    void (*fail_workflow)(struct backend *b, struct str token, int cause, const struct rec *failure,
                          bool limit, struct str pending_json, backend_answer_fn fn, void *ud);
    void (*complete_query)(struct backend *b, struct str token,
                           const struct backend_query_result *q, backend_answer_fn fn, void *ud);
    void (*complete_activity)(struct backend *b, struct str token,
                              const struct backend_activity_completion *c, backend_answer_fn fn,
                              void *ud);
    void (*complete_activity_by_id)(struct backend *b, const struct backend_target *t,
                                    struct str activity_id,
                                    const struct backend_activity_completion *c,
                                    backend_answer_fn fn, void *ud);
    void (*heartbeat)(struct backend *b, struct str token, const struct rec *details,
                      backend_answer_fn fn, void *ud);
    void (*heartbeat_by_id)(struct backend *b, const struct backend_target *t,
                            struct str activity_id, const struct rec *details, backend_answer_fn fn,
                            void *ud);
    /* an activity's ml.sleep on the engine's clock. idle: an attempt that waits for it counts as
     * idle in virtual time; not so the limit of something else that goes on (ml.timeout) */
    void (*sleep_until)(struct backend *b, int64_t due_ns, bool idle, void (*fn)(void *ud),
                        void *ud, uint64_t *id);
    void (*sleep_cancel)(struct backend *b, uint64_t id);
    int64_t (*now_ns)(struct backend *b); /* the engine's clock */
    void (*fetch_history)(struct backend *b, const struct backend_target *t,
                          bool resolve_all /* also payloads kept by reference */, struct str page,
                          backend_reply_fn fn, void *ud);
    /* text of bundles */
    int (*bundle_put)(struct backend *b, const char *digest, struct str json,
                      const struct str *texts, const char *const *shas, size_t n, struct err *e);
    int (*bundle_get)(struct backend *b, struct str digest, struct buf *json, struct err *e);
    int (*text_get)(struct backend *b, const char *sha, struct buf *text, struct err *e);
    /* a blocked run goes on with another text (NULL digest: the same one again) */
    void (*retry_blocked)(struct backend *b, struct str run_id, struct str digest,
                          backend_reply_fn fn, void *ud);
    /* client side */
    void (*start)(struct backend *b, const struct backend_start *s, backend_reply_fn fn, void *ud);
    void (*signal)(struct backend *b, const struct backend_target *t, struct str request_id,
                   struct str name, const struct rec *input, const struct rec *header,
                   struct str identity, backend_reply_fn fn, void *ud);
    void (*query)(struct backend *b, const struct backend_target *t, struct str type,
                  const struct rec *args, backend_reply_fn fn, void *ud);
    /* Without a name: waits for the outcome of the update that has this id already. */
    void (*update)(struct backend *b, const struct backend_target *t, struct str update_id,
                   struct str name, const struct rec *args, enum backend_update_stage wait,
                   backend_reply_fn fn, void *ud);
    void (*cancel)(struct backend *b, const struct backend_target *t, struct str request_id,
                   struct str reason, backend_reply_fn fn, void *ud);
    void (*terminate)(struct backend *b, const struct backend_target *t, struct str reason,
                      backend_reply_fn fn, void *ud);
    void (*reset)(struct backend *b, const struct backend_target *t, int64_t event_id,
                  struct str request_id, struct str reason, backend_reply_fn fn, void *ud);
    void (*delete_run)(struct backend *b, const struct backend_target *t, backend_reply_fn fn,
                       void *ud);
    void (*describe)(struct backend *b, const struct backend_target *t, backend_reply_fn fn,
                     void *ud);
    void (*list)(struct backend *b,
                 struct str filter_json /* {status, type, id_prefix, limit, page} */,
                 backend_reply_fn fn, void *ud);
    void (*count)(struct backend *b, struct str filter_json, backend_reply_fn fn, void *ud);
    void (*result)(
        struct backend *b, const struct backend_target *t, bool wait, backend_reply_fn fn,
        void *ud); /* follows continue-as-new; not waiting and still open: status RUN_RUNNING */
    void (*shutdown)(
        struct backend *b, void (*done)(void *ud),
        void *ud); /* orderly: attempts end as WorkerShutdown, what is queued is committed */
};
struct backend {
    const struct backend_ops *ops;
};

#endif
