/* Inside of the worker. The objects and who owns them:
 *  - w_script: one loaded entry script with its activity state; lives until it is replaced and its
 * last call has ended.
 *  - w_run: one cached run. Its task, when one is in hand, keeps it from being evicted. Local
 * activities belong to it, because they outlive a task that was completed as a heartbeat.
 *  - w_task: one workflow task from its arrival to the engine's answer.
 *  - w_call: one activity attempt or local activity attempt. */
#ifndef ML_WORKER_INTERNAL_H
#define ML_WORKER_INTERNAL_H
#include "base/map.h"
#include "worker/worker.h"
#include <pthread.h>

#define W_CACHE_RUNS 1000
#define W_CACHE_BYTES ((size_t)256 << 20)
#define W_WORKFLOW_SLOTS 100
#define W_ACTIVITY_SLOTS 1000
#define W_LOCAL_SLOTS 100
#define W_SLICE UINT64_C(1000000)
#define W_BUNDLES_MAX 32
#define W_TASK_TIMEOUT_NS (10 * NS_PER_S)
#define W_HEARTBEAT_AGAIN_NS (50 * NS_PER_MS)
#define W_STOP_GRACE_NS (3 * NS_PER_S)
#define W_HISTORY_EVENTS_MAX 1000000

struct w_script {
    struct worker *w;
    struct act_env env; /* lives as long as the state that was opened with it */
    char *path;         /* as it was given */
    char *real;         /* the same file has one, however its path is written */
    struct act_host *act;
    struct bundle *bundle;
    worker_load_fn fn;
    void *ud;
    struct map calls; /* act call id -> w_call */
    bool loading, failed,
        retired; /* failed and retired ones are closed when nothing of theirs runs */
    struct w_script *next;
};

struct w_c_activity {
    char *name, *task_queue;
    const char *if_named;
    int (*fn)(void *, uint64_t, struct str);
    void *ud;
};

enum w_task_state { W_NEW, W_FETCHING, W_ACTIVE, W_WAIT_LOCAL, W_ANSWERING, W_PARKED };
struct w_spent {
    uint32_t activation;
    int64_t ns; /* processor time of that activation, as far as the watchdog saw it */
};
struct w_task {
    struct worker *w;
    struct backend_task *t;
    struct w_run *run;
    enum w_task_state state;
    bool queued;          /* in the ready list */
    bool begun;           /* wf_activate had its first call */
    bool heartbeat;       /* completed as one */
    bool fetched;         /* the earlier history was asked for */
    bool *gone;           /* set when it is freed inside a call */
    struct arena history; /* fetched events */
    struct rec **events;
    size_t n_events, cap_events; /* the whole history, when it was rebuilt */
    const struct wf_out *out;    /* of the last activation; valid until the next call on the run */
    struct w_spent spent;
    struct loop_timer *timer; /* heartbeat of local activities */
    int local_retries;
    struct w_task *next, *prev; /* all tasks */
    struct w_task *ready_next;
    struct w_task *parked_next; /* behind the task that the run has in hand */
};

struct w_run {
    struct worker *w;
    char *run_id, *workflow_id;
    struct wf_run *wf;
    char digest[SHA256_HEX];
    size_t memory;
    struct w_task *task;   /* in hand: never evicted */
    struct w_task *parked; /* later tasks of the same run */
    bool doomed;           /* evict when the task ends */
    bool pinned;           /* by its history, to the build whose text it has */
    bool starved;          /* an outcome of a local activity was lost: its task is given back */
    struct w_local *locals;
    struct w_local_done *done_first, **done_last;
    struct w_run *prev, *next; /* LRU: first is the oldest */
};

struct w_local {
    struct w_run *run;
    struct arena arena;
    struct wf_local_request req;                       /* in arena */
    struct str workflow_type, workflow_id, task_queue; /* in arena */
    int attempt;
    int64_t original_ns;
    struct w_call *call;      /* running */
    struct loop_timer *timer; /* between attempts */
    bool waiting, canceled;   /* waits for a slot */
    struct w_local *next;
};
struct w_local_done {
    struct arena arena;
    uint32_t seq;
    struct wf_local_result r;
    struct w_local_done *next;
};

struct w_call {
    struct worker *w;
    uint64_t id; /* in w->calls, what C activities are given */
    uint64_t act_id;
    struct w_script *script;    /* NULL: a C activity */
    struct backend_task *t;     /* NULL: local */
    struct w_local *local;      /* NULL: not local, or its run is gone */
    bool shutdown;              /* was told to stop because the worker stops */
    bool gone;                  /* its outcome is of no use any more */
    struct w_call *prev, *next; /* all calls */
};

struct w_bundle {
    struct bundle *b;
    uint64_t used;
};

/* A thread that ends slices which last too long, and activations that used too much processor time:
 * there are single instructions that take milliseconds (two texts of 10 MB compared), and the
 * instruction limit alone would let them go on for hours. It counts its own ticks for a slice and
 * the loop thread's processor time for an activation, never the clock, so that a stopped process, a
 * busy machine or a sleeping one blocks no run. */
struct w_watchdog {
    bool on, quit, armed;
    pthread_t thread;
    pthread_mutex_t
        lock; /* the only one of this room: the watched run must not be closed meanwhile */
    pthread_cond_t wake;
    struct wf_run *run;    /* being sliced, NULL: none */
    struct w_spent *spent; /* of its task */
    struct clock_thread loop;
    int64_t seen_ns; /* its processor time at the last look in this slice; 0: no look yet */
    int ticks;
};

struct worker {
    struct worker_opts o;
    char *task_queue, *name_space;
    struct backend *b;
    struct backend_sink sink;
    struct w_script *scripts;
    struct w_c_activity *c_acts;
    size_t n_c_acts;
    struct map runs; /* run id -> w_run */
    struct w_run *lru_first, *lru_last;
    size_t n_runs, bytes;
    struct w_task *tasks;
    size_t n_tasks; /* all */
    struct w_task *ready_first, **ready_last;
    struct w_call *all_calls;
    struct idmap calls;  /* w_call: ids for activities in C */
    struct map by_token; /* activity token -> w_call */
    size_t n_calls;      /* attempts of activities, C ones too */
    size_t n_c_calls;
    size_t n_locals_running;
    struct w_sleep *sleeps;
    struct idmap sleep_ids;
    size_t n_sleeping; /* ml.sleep of activities on the engine's clock */
    size_t n_requests; /* history pages asked for */
    uint64_t tasks_ended, attempts_ended;
    struct w_bundle bundles[W_BUNDLES_MAX];
    size_t n_bundles;
    uint64_t bundle_clock;
    struct w_watchdog dog;
    void (*on_ready)(void *ud);
    void *on_ready_ud;
    bool stopping, stopped, offered;
    void (*stop_fn)(void *ud);
    void *stop_ud;
    struct loop_timer *stop_timer, *serve_timer;
};

/* registry.c */
struct w_script *w_find_activity(struct worker *w, struct str type, struct str workflow_type);
void w_sleeps_drop(struct worker *w);
const struct w_c_activity *w_find_c(struct worker *w, struct str type);
enum backend_versioning w_versioning(const struct worker *w, struct str type);
int w_serve(struct worker *w); /* ERR_NOMEM: what was served still is; tried again by itself */
bool w_step_scripts(struct worker *w, int64_t budget_ns);
void w_reap_scripts(struct worker *w);
void w_close_scripts(struct worker *w);
/* cache.c */
struct w_run *w_run_get(struct worker *w, struct str run_id);
int w_run_open(struct worker *w, const struct backend_task *t, struct bundle *b, struct w_run **out,
               struct err *e);
void w_run_evict(struct w_run *r);           /* not while its task is in hand */
bool w_run_evictable(const struct w_run *r); /* nothing of it is going on: the limits may */
void w_run_touch(struct w_run *r);           /* newest; counts its memory again */
void w_cache_trim(struct worker *w);
void w_bundles_drop(struct worker *w);
/* text.c */
/* The history that the task is done from: what was fetched for it, else what it brought. */
struct rec **w_task_events(const struct w_task *k, size_t *n);
/* The text that the task's run goes on with; absent: the newest. */
struct str w_text_of(const struct w_task *k, bool *pinned);
int w_bundle_for(struct w_task *k, struct bundle **out, struct err *e);
enum backend_versioning w_text_versioning(const struct w_task *k);
/* The failure of a history that another text made says so, and what to do; else it is `failure`. */
const struct rec *w_text_note(const struct w_task *k, struct arena *a, const struct rec *failure);
/* tasks.c */
void w_on_workflow_task(void *ud, struct backend_task *t);
void w_task_ready(struct w_task *k);
bool w_step_tasks(struct worker *w, int64_t until_ns);
void w_task_drop(struct w_task *k); /* forgets it without an answer */
void w_task_complete(struct w_task *k, const struct wf_out *out, bool force);
void w_ready(struct worker *w); /* wakes the host */
/* locals.c */
int w_locals_begin(struct w_task *k, const struct wf_out *out, struct err *e);
bool w_locals_resolve_one(struct w_task *k); /* hands the oldest outcome to the run */
void w_locals_heartbeat_arm(struct w_task *k);
void w_locals_drop(struct w_run *r);
void w_local_finished(struct w_call *c, const struct backend_activity_completion *r);
void w_locals_next(struct worker *w); /* a slot is free */
/* attempts.c */
void w_on_activity_task(void *ud, struct backend_task *t);
void w_on_activity_cancel(void *ud, struct str token, enum backend_cancel_reason why);
int w_call_start(struct worker *w, const struct act_call *spec, struct w_call *c, struct err *e);
void w_act_done(void *ud, uint64_t id, const struct backend_activity_completion *r);
void w_call_heartbeat(struct w_call *c, const struct rec *details);
struct w_call *w_call_new(struct worker *w);
void w_call_free(struct w_call *c);
void w_call_cancel(struct w_call *c, enum backend_cancel_reason why);
void w_calls_shutdown(struct worker *w);
void w_calls_free_all(struct worker *w);
/* watchdog.c */
int w_dog_start(struct worker *w);
void w_dog_stop(struct worker *w);
void w_dog_watch(struct worker *w, struct wf_run *r,
                 struct w_spent *spent); /* NULL: the slice ended */
/* worker.c */
void w_stop_check(struct worker *w);
static inline size_t w_or(size_t v, size_t dflt)
{
    return v ? v : dflt;
}

#endif
