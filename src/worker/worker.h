/* The worker: between an engine and Lua. Registry of scripts and their bundles, cache of runs with
 * eviction, slots, slices, local activities inside workflow tasks, activity attempts. One per host.
 */
#ifndef ML_WORKER_WORKER_H
#define ML_WORKER_WORKER_H
#include "activity/activity.h"
#include "workflow/workflow.h"

struct worker;
struct worker_opts {
    struct backend *backend;
    struct act_env env; /* its heartbeat/sleep/now hooks are set by the worker */
    struct loop *loop;
    const struct log *log;
    struct str task_queue; /* the default queue, "default" */
    bool queue_if_used;    /* it is served only when a workflow names none, or there is none: on a
                              server other workers may have it */
    struct str name_space; /* that runs see as theirs; absent: "default" */
    size_t cache_runs;     /* 0: 1000; 1: a cache of one */
    size_t cache_bytes;    /* 0: 256 MiB */
    bool evict_always;     /* evict a run after each of its tasks, unless its local activities go on
                              (tests) */
    int workflow_slots, activity_slots, local_slots; /* 0: 100, 1000, 100 */
    struct wf_limits limits;
    uint64_t slice_instructions; /* 0: 1 million */
    struct str noop_name;        /* ML_TESTING */
    bool watchdog; /* a thread interrupts a slice that lasts longer than 2 s; false: instruction
                      slices alone */
    void (*on_script_error)(void *ud, struct str workflow_id,
                            struct str text); /* a run was blocked, for progress displays */
    /* What a workflow task brought, for engines that are not in this process; may be NULL. */
    void (*on_task_events)(void *ud, struct str workflow_id, struct str run_id,
                           struct rec *const *events, size_t n);
    /* What an activity wants to be written with its completion (ml.db), as a batch. NULL: refused.
     */
    int (*intents)(void *ud, struct str json, struct store_batch **out, struct err *e);
    void *ud;
};
int worker_open(const struct worker_opts *o, struct worker **out, struct err *e);
/* Stops accepting, lets running slices end, cancels activities as SHUTDOWN, then calls done. */
void worker_stop(struct worker *w, void (*done)(void *ud), void *ud);
void worker_close(struct worker *w);

/* Loads a script (see act_open) and serves its definitions. A name defined in two scripts is
 * ERR_EXISTS. */
typedef void (*worker_load_fn)(void *ud, const struct act_load_result *r, const char *path);
int worker_load(struct worker *w, const char *path, bool allow_program, const char *const *args,
                size_t n_args, worker_load_fn fn, void *ud, struct err *e);
/* Definitions over all scripts. each: kind, name, options JSON, script path, bundle digest. */
void worker_definitions(struct worker *w,
                        void (*each)(void *ud, const struct act_definition *d, const char *path,
                                     const char *digest),
                        void *ud);
/* Routes over all scripts; act_request_start runs one. They are valid until the next script is
 * loaded. */
/* The activity state of a loaded script by its path; NULL when it is not loaded. */
struct act_host *worker_script(struct worker *w, struct str path);
void worker_routes(struct worker *w,
                   void (*each)(void *ud, struct act_host *act, const struct http_route *route),
                   void *ud);
/* The newest bundle that defines a workflow type: digest and path; ERR_NOTFOUND with the known
 * ones. */
int worker_find_workflow(struct worker *w, struct str type, struct str *digest, struct str *path,
                         struct str *task_queue, struct str *options_json, struct err *e);
/* A C function as an activity: input is JSON (an array of the arguments); it answers now or later
 * through ml_activity_done-like completion. */
struct worker_c_activity {
    const char *name;
    const char *task_queue;
    /* Lasts as long as the worker. Served only while the text of a loaded script has this word: a
     * worker whose scripts define no activity must not take those of others. NULL: always. */
    const char *if_named;
    /* ERR_NOMEM: the attempt has not begun; it is given again later */
    int (*fn)(void *ud, uint64_t call, struct str input_json);
    void *ud;
};
int worker_register_c(struct worker *w, const struct worker_c_activity *a, struct err *e);
/* code 0: result_json; else failure type and message (retryable unless said). */
int worker_c_done(struct worker *w, uint64_t call, int code, struct str json,
                  struct str failure_type, struct str message, bool non_retryable);
/* Does what is ready within the budget; returns whether more is ready. */
bool worker_step(struct worker *w, int64_t budget_ns);
bool worker_ready(const struct worker *w); /* a step would run Lua now */
bool worker_busy(
    const struct worker *w); /* tasks or calls in hand (calls that only ml.sleep do not count) */
void worker_on_ready(struct worker *w, void (*fn)(void *ud), void *ud);

/* Replays a history against a script's newest text, without an engine. Report as JSON {ok, events,
 * batches, error?, event?, drift: []}; ERR_NONDET when it does not match. */
int worker_replay(struct bundle *b, struct rec *const *events, size_t n,
                  const struct wf_limits *limits, struct buf *report, struct err *e);

/* ---- for the host ---- */
/* The bundle with this digest among the loaded scripts and the cached ones, or from the backend; a
 * new reference. */
int worker_bundle(struct worker *w, struct str digest, struct bundle **out, struct err *e);
/* Is there a loaded script with a workflow of this type? */
bool worker_knows_workflow(const struct worker *w, struct str type);
/* The engine goes away (a snapshot takes its place): drops cached runs and tasks; until
 * worker_rebind the worker must not be stepped. worker_rebind serves the new one. */
void worker_unbind(struct worker *w);
void worker_rebind(struct worker *w, struct backend *b);
/* Answers one query by replaying a history on a bundle, without an engine. Borrowed for the
 * callback's call. */
typedef void (*worker_query_fn)(void *ud, const struct wf_query_result *r);
int worker_query(struct bundle *b, struct rec *const *events, size_t n, struct str type,
                 const struct rec *args, const struct wf_limits *limits, worker_query_fn fn,
                 void *ud, struct err *e);
/* What a run waits for, as the JSON that the engine keeps: [{kind, name, id, where, due}]. */
int worker_pending_json(const struct wf_pending *p, size_t n, struct buf *out);
size_t worker_cached_runs(const struct worker *w);
/* What the worker holds now. */
struct worker_usage {
    size_t runs, run_bytes;           /* cached, and what their Lua states take */
    size_t tasks, activities, locals; /* in hand; C activities too */
    size_t coroutines;                /* calls that the states of scripts have */
    uint64_t tasks_ended,
        attempts_ended; /* since it was opened; attempts of local activities too */
};
void worker_usage(const struct worker *w, struct worker_usage *out);

#endif
