/* The replayer: events in, commands out; no I/O, no clock, no threads. One wf_run is one workflow
 * run with its own Lua state.
 *
 * A worker opens a run with its bundle, feeds it the events of a workflow task, and gets commands,
 * update answers, query results, local-activity requests, log lines and the list of what is
 * pending. Replay is the same calls with more events. Where and how often a run is interrupted
 * (WF_MORE) never changes what comes out. Everything in struct wf_out is owned by the run and valid
 * until the next wf_* call on it. Rules: TEMPORAL.md 1.5 to 1.18, batches by rule B. */
#ifndef ML_WORKFLOW_WORKFLOW_H
#define ML_WORKFLOW_WORKFLOW_H
#include "history/event.h"
#include "script/bundle.h"

struct wf_run;

struct wf_limits {
    size_t memory_bytes;   /* 0: 64 MiB */
    uint64_t instructions; /* per activation, 0: 200 million */
    size_t commands;       /* per workflow task, 0: 10,000 */
    size_t payload_bytes;  /* one payload, 0: 32 MiB */
};
struct wf_info { /* copied at open */
    struct str namespace_, workflow_id, run_id, task_queue;
    struct wf_limits limits;
    const char *current_digest; /* digest of `bundle` (64 hex), compared with what each completed
                                   task recorded */
    bool codec;                 /* a payload codec is set: arguments are never compared */
    struct str noop_name; /* ML_TESTING: this API name does nothing ("ml.sleep"); absent: none */
};
int wf_open(struct bundle *b /* takes a reference */, const struct wf_info *info,
            struct wf_run **out, struct err *e);
void wf_close(struct wf_run *r); /* at any time; runs no script code */

struct wf_query {
    struct str id, type;
    const struct rec *args /* payloads or NULL */;
};
struct wf_task {
    const struct rec *const *events;
    size_t n_events; /* after the last completed task, or the whole history, or none for a query.
                        Copied by the run as far as it needs them */
    bool whole;      /* events begin at event 1 */
    int64_t previous_started_id; /* of the last completed task, 0: none */
    int64_t started_id; /* this task's WorkflowTaskStarted; 0: only queries, or a pure replay of a
                           closed or idle history */
    const struct rec *const *messages;
    size_t n_messages; /* protocol_message records with update requests */
    const struct wf_query *queries;
    size_t n_queries;
    int64_t wall_ns;     /* real time of the task: side_effect only */
    uint8_t entropy[32]; /* chance of the task: side_effect only */
};
struct wf_budget {
    uint64_t instructions; /* of this call; 0: 1 million */
};

enum wf_status { WF_DONE, WF_MORE, WF_WAIT_LOCAL, WF_FAIL_TASK };
struct wf_query_result {
    struct str id;
    bool ok;
    const struct rec *result /* payloads */;
    const struct rec *failure;
    struct str message;
};
struct wf_local_request { /* a local activity to run now, inside this task */
    uint32_t seq;
    int attempt;
    struct str activity_type, activity_id;
    const struct rec *input;                         /* payloads or NULL */
    int64_t start_to_close_ns, schedule_to_close_ns; /* 0: none */
    int64_t original_schedule_ns;                    /* wall time of the first schedule; 0: now */
    const struct rec *retry_policy;
    int64_t
        retry_threshold_ns; /* a longer back-off becomes a durable timer: answer with backoff_ns */
};
struct wf_log {
    int level;
    struct str text, fields;
};
enum wf_pending_kind {
    WF_PENDING_TIMER,
    WF_PENDING_ACTIVITY,
    WF_PENDING_LOCAL,
    WF_PENDING_CHILD,
    WF_PENDING_EXTERNAL,
    WF_PENDING_SIGNAL /* waits for a channel */,
    WF_PENDING_CONDITION
};
struct wf_pending {
    enum wf_pending_kind kind;
    struct str id, name;
    struct str where /* "file.lua:12" */;
    int64_t due_ns;
};
struct wf_drift {
    int64_t event_id;
    struct str text;
};
struct wf_out {
    enum wf_status status;
    struct rec *const *commands;
    size_t n_commands; /* all since the task began or wf_flushed */
    const int64_t
        *dues; /* one a command: when its timer is due, if the script named that time; 0 */
    struct rec *const *messages;
    size_t n_messages; /* protocol_message records: acceptances, rejections, responses */
    const struct wf_query_result *query_results;
    size_t n_query_results;
    const struct wf_local_request *locals;
    size_t n_locals; /* new ones of this call */
    const uint32_t *local_cancels;
    size_t n_local_cancels;
    const uint32_t *flags;
    size_t n_flags; /* lang_used_flags first used in this task */
    const struct wf_log *logs;
    size_t n_logs; /* never those of replay */
    const struct wf_pending *pending;
    size_t n_pending;
    size_t unread_signals; /* that wait in channels */
    const struct wf_drift *drift;
    size_t n_drift;
    bool closed;          /* a terminal command is among the commands, or history closed the run */
    bool task_has_result; /* DONE for a real task: complete it (false for query-only and pure
                             replay) */
    int fail_cause;       /* FAIL_TASK: enum workflow_task_failed_cause */
    const struct rec *failure; /* FAIL_TASK: message, stack_trace; for non-determinism event, both
                                  descriptions and line are in the message */
    bool limit;                /* FAIL_TASK because of a limit */
};
/* task NULL: go on after WF_MORE or after wf_local_resolve. Returns 0 with *out filled, or
 * ERR_NOMEM / ERR_ARG / ERR_PROTO (bad events). */
int wf_activate(struct wf_run *r, const struct wf_task *task, struct wf_budget budget,
                const struct wf_out **out, struct err *e);
struct wf_local_result {
    const struct rec *result;  /* payloads, or NULL */
    const struct rec *failure; /* NULL: completed */
    bool canceled;
    int attempt;
    int64_t complete_ns; /* wall */
    int64_t backoff_ns;  /* > 0 with failure: too long to wait inside the task, go on by a durable
                            timer */
    int64_t original_schedule_ns;
};
int wf_local_resolve(struct wf_run *r, uint32_t seq, const struct wf_local_result *result);
/* The commands so far were sent with a task that goes on (heartbeat): the next task continues it.
 */
void wf_flushed(struct wf_run *r);
/* The engine discarded the task (only rejected updates in it): forget events after `event_id`. */
void wf_rollback(struct wf_run *r, int64_t event_id);
void wf_interrupt(struct wf_run *r); /* from a watchdog thread: end the slice soon */
void wf_stop(struct wf_run *r);      /* from a watchdog thread: the activation is over its time */
uint32_t wf_activations(const struct wf_run *r); /* counts them; from any thread */
size_t wf_memory(const struct wf_run *r);        /* bytes held, for the cache */
int64_t wf_last_event(
    const struct wf_run *r); /* id of the last event taken in; the next task must begin at +1 */
uint64_t wf_instructions(const struct wf_run *r); /* of the current activation */

/* Registration names of a bundle without running a workflow: loads the top in a fresh state. each:
 * kind "workflow" | "activity" | "local_activity". */
int wf_definitions(struct bundle *b,
                   void (*each)(void *ud, const char *kind, struct str name,
                                struct str options_json),
                   void *ud, struct err *e);

/* Splits a whole history by rule B, for tests and tools: calls each per batch with [from,to)
 * indexes and whether it was completed. */
int wf_split(const struct rec *const *events, size_t n,
             void (*each)(void *ud, size_t from, size_t to, bool completed), void *ud,
             struct err *e);

#endif
