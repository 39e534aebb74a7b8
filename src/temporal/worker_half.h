/* The worker half of the port: polls, tasks, completions, heartbeats. Called through backend_ops
 * (temporal.c has the table); everything happens on the loop's thread.
 *
 * Slots come before polls: a poll is only open when a task that it may bring has a place to run.
 * One exception keeps runs moving with few slots: each served queue always has one poll of its own
 * and one of its sticky queue open while there is any slot (a task given to a sticky queue that
 * nobody polls waits for its time-out).
 *
 * Files: worker_half.c (serving, slots, start-up, the end), poller.c (polls), task.c (workflow
 * tasks and their pages), builds.c (earlier builds), task_answer.c (their completions),
 * task_pages.c (large ones), task_limits.c (what a server would refuse), task_activity.c (activity
 * tasks and their ends), heartbeat.c, worker_sleep.c. */
#ifndef ML_TEMPORAL_WORKER_HALF_H
#define ML_TEMPORAL_WORKER_HALF_H
#include "base/map.h"
#include "temporal/call.h"
#include "temporal/proto/workflowservice.pb-c.h"
#include "temporal/temporal_internal.h"

#define TW_STICKY_TIMEOUT_NS (10 * NS_PER_S) /* schedule to start, as in the official core */
#define TW_POLLS 5                           /* of one kind on one queue, to begin with */
#define TW_POLLS_MAX 50                      /* when the server asks for more */
#define TW_RETRY_NS (10 * NS_PER_S)          /* after what is not worth an immediate try */
#define TW_END_NS (5 * NS_PER_S)             /* for what is in flight when the worker ends */
#define TW_BLOB_MAX ((int64_t)2 << 20)       /* a server's default, until it says otherwise */
#define TW_EAGER_MAX                                                                               \
    3 /* activities of one completion that are wanted at once, as in the official core */
#define TW_COMPLETION_MAX ((int64_t)40 << 20) /* a server's default, in all pages */
#define TW_PAGE_BYTES ((size_t)3 << 20)       /* of commands in one request, about */
#define TW_PAGES_AGAIN 3                      /* when a server lost what it had of them */
#define TW_BUILDS_NS (30 * NS_PER_S)          /* between two looks at a deployment's builds */
#define TW_SDK_NAME "moonloop"

enum tw_kind { TW_NORMAL, TW_STICKY, TW_ACTIVITY, TW_KINDS };

struct tw_queue { /* never freed before the end: tasks know theirs */
    struct tw_queue *next;
    char *name, *sticky;
    const char *build; /* of the deployment, whose tasks it gets; NULL: not versioned, or not yet */
    const char *build_text;     /* of an earlier build (builds.c); NULL: the newest */
    bool workflows, activities; /* served now */
    int open[TW_KINDS], want[TW_KINDS];
};
struct tw_build { /* an earlier one; never freed before the end */
    struct tw_build *next;
    char *id, *text;
    bool open; /* it has runs, as far as is known */
};
struct tw_poll {
    struct tw *w;
    struct tw_queue *q;
    enum tw_kind kind;
    uint64_t id;
    struct tw_poll *prev, *next;
};
struct tw_task { /* a workflow task from its arrival to the server's answer */
    struct tw *w;
    struct tw_task *prev, *next;
    struct tw_queue *q;
    struct arena arena;
    struct str key, raw; /* the token as text and as the server gave it */
    struct str workflow_id, run_id, workflow_type;
    int attempt;
    bool first; /* of its run: no task was completed before */
    bool answering;
    struct { /* of a completion that does not fit into one request; in the call's arena */
        struct str *p;
        size_t n, at;
        int again;
        call_read_fn last;
    } pages;
    int eager; /* activity slots kept for what may come with the answer */
    int64_t started_id;
    uint64_t rpc; /* the page that is out */
    bool paging;
    struct backend_task *t; /* until it is pushed */
    size_t cap;             /* of t->events */
};
struct tw_act { /* an activity attempt from its arrival to its completion */
    struct tw *w;
    const char *build; /* of its queue */
    struct tw_act *prev, *next;
    struct arena arena;
    struct str key, raw;
    int64_t interval_ns;
    struct loop_timer *beat_timer, *guard;
    bool throttled;                 /* the interval since the last heartbeat is not over */
    bool beating;                   /* one is out */
    bool pending;                   /* details wait to be sent */
    struct buf details;             /* packed payloads */
    bool told;                      /* the worker knows that it shall stop */
    enum backend_cancel_reason why; /* when told */
};
struct tw_sleep;
struct tw {
    struct temporal *t;
    struct backend_sink sink;
    bool has_sink, off;
    char key[37];             /* worker_instance_key */
    char *deployment, *build; /* NULL: not versioned; without a build nothing is polled yet */
    enum backend_versioning versioning;
    struct tw_build *builds;         /* earlier ones, whose text is kept */
    struct loop_timer *builds_timer; /* NULL: none is kept */
    bool builds_asked;
    struct tw_queue *queues;
    size_t n_queues;
    struct tw_poll *polls;
    int open[TW_KINDS];                 /* over all queues */
    int workflow_slots, activity_slots; /* offered and not taken by a task in hand */
    struct map tasks, acts;             /* by token */
    struct tw_task *all_tasks;
    struct tw_act *all_acts;
    struct idmap sleep_ids;
    struct tw_sleep *sleeps;
    /* what the server can do */
    enum { TW_UNASKED, TW_ASKING, TW_KNOWN } asked;
    bool sdk_metadata, failure_heartbeat, polls_end, eager_start;
    int64_t blob_max, memo_max, completion_max;
    bool completion_pages;    /* a completion may come in several requests */
    struct loop_timer *timer; /* another try; the end */
    bool paused;              /* until the timer rings */
    int hold;                 /* no new polls now */
    bool stopping;            /* serves nothing any more */
    int saying;               /* good-byes that are out */
    bool ending;
    int64_t end_ns;
    void (*ended)(void *ud);
    void *ended_ud;
};

/* ---- worker_half.c ---- */
int tw_open(struct temporal *t, const struct temporal_options *o, struct err *e);
void tw_close(struct temporal *t);
int tw_serve(struct backend *b, const struct backend_sink *sink,
             const struct backend_served *queues, size_t n);
/* A start may bring its first task with its answer. Reserves a slot that no open poll counts on:
 * the queue, or NULL when this worker does not serve it or has no room. Then tw_eager_take, once,
 * with the task's bytes or none. */
struct tw_queue *tw_eager_reserve(struct tw *w, struct str queue);
void tw_eager_take(struct tw *w, struct tw_queue *q, struct str task);
void tw_release(struct backend *b, struct str token, const struct err *why);
void tw_offer(struct backend *b, int workflow_slots, int activity_slots);
/* Ends the worker half: open tasks are given back, what is in flight gets TW_END_NS; then fn. */
void tw_shutdown(struct tw *w, void (*fn)(void *ud), void *ud);

struct tw_queue *tw_queue_new(struct tw *w, struct str name, const char *build);

/* ---- builds.c ---- */
int tw_builds_open(struct tw *w); /* ERR_NOMEM */
void tw_builds_free(struct tw *w);
void tw_builds_ask(void *tw);
void tw_builds_apply(struct tw *w);

/* ---- poller.c ---- */
void tw_pump(struct tw *w); /* opens the polls for which there are slots */
void tw_polls_cancel(struct tw *w, const struct tw_queue *q /* NULL: all */);
PbDeployment__WorkerDeploymentOptions *tw_deployment(struct arena *a, const struct tw *w,
                                                     const char *build);
PbTaskqueue__TaskQueue *tw_task_queue(struct arena *a, const struct tw_queue *q, bool sticky);
void tw_scale(struct tw_queue *q, enum tw_kind kind, int delta);

/* ---- task.c ---- */
/* Takes the bytes of a PollWorkflowTaskQueueResponse; false: it was empty. Borrowed. */
bool tw_take_workflow(struct tw *w, struct tw_queue *q, enum tw_kind kind, struct str bytes);
void tw_task_free(struct tw_task *k);
void tw_tasks_free(struct tw *w);

/* ---- task_answer.c ---- */
void tw_complete_workflow(struct backend *b, struct str token,
                          const struct backend_workflow_completion *c, backend_answer_fn fn,
                          void *ud);
void tw_fail_workflow(struct backend *b, struct str token, int cause, const struct rec *failure,
                      bool limit, struct str pending_json, backend_answer_fn fn, void *ud);
void tw_complete_query(struct backend *b, struct str token, const struct backend_query_result *q,
                       backend_answer_fn fn, void *ud);
/* Fails it on the worker's own account; nobody is told. */
void tw_task_give_back(struct tw_task *k, int cause, const char *why);

/* ---- task_pages.c ---- */
/* Packs them all, when q is too large for one request. ERR_LIMIT: one page still is; the codec's
 * errors; ERR_NOMEM. */
int tw_pages_make(struct call *c, struct tw_task *k, Pb__RespondWorkflowTaskCompletedRequest *q,
                  struct err *e);
void tw_pages_send(struct call *c, struct tw_task *k, call_read_fn last);
/* The server lost the pages that it had: the task still stands, and all are sent again. */
bool tw_pages_again(struct call *c, const struct status *s);

/* ---- task_limits.c ---- */
/* Bytes that a record's values have, about what they take on the wire. */
int64_t tw_size(const struct rec *r);
int64_t tw_size_sent(const struct tw *w, const struct rec *payloads); /* through the codec */
/* ERR_LIMIT, and which command, when the server would terminate the run for one of them. */
int tw_commands_fit(const struct tw *w, struct rec *const *commands, size_t n, struct err *e);

/* ---- task_activity.c ---- */
bool tw_take_activity(struct tw *w, struct tw_queue *q, struct str bytes);
void tw_complete_activity(struct backend *b, struct str token,
                          const struct backend_activity_completion *c, backend_answer_fn fn,
                          void *ud);
void tw_act_free(struct tw_act *a);
void tw_act_give_back(struct tw_act *a);
/* The worker is told to stop an attempt: once, and not when it has ended. */
void tw_act_tell(struct tw_act *a, enum backend_cancel_reason why);

/* ---- heartbeat.c ---- */
void tw_heartbeat(struct backend *b, struct str token, const struct rec *details,
                  backend_answer_fn fn, void *ud);
void tw_beat_open(struct tw_act *a, int64_t heartbeat_timeout_ns);
/* The details that the server may not have: not sent, or without an answer yet. NULL: none. */
const struct rec *tw_beat_rest(struct tw_act *a, struct arena *arena);

/* ---- worker_sleep.c ---- */
void tw_sleep_until(struct backend *b, int64_t due_ns, bool idle, void (*fn)(void *ud), void *ud,
                    uint64_t *id);
void tw_sleep_cancel(struct backend *b, uint64_t id);
void tw_sleeps_free(struct tw *w);

#endif
