/* Private to the machines half of the replayer: batches, operations, commands and their comparison
 * with history.
 *
 * What is kept true:
 *  - a batch is handled in one place for live tasks and for replay: apply its events, run, settle,
 * collect commands; the commands of batch N are compared with the command events at the head of
 * batch N+1 (wf_compare.c), so a live task is checked by the very same code as a replayed one;
 *  - an operation (struct wf_op) lives while its future is open, a command of it is unmatched, or
 * history may still name its event; each of these is one reference;
 *  - ids come from counters that never go back, also when a command is withdrawn before it was
 * sent. */
#ifndef ML_WORKFLOW_WF_MACHINE_H
#define ML_WORKFLOW_WF_MACHINE_H
#include "base/clock.h"
#include "workflow/wf_internal.h"

enum wf_op_kind {
    OP_TIMER,
    OP_ACTIVITY,
    OP_LOCAL,
    OP_CHILD,
    OP_SIGNAL,
    OP_CANCEL,
    OP_CHILD_CANCEL /* internal */
};
enum wf_op_state {
    OP_OPEN,      /* its future is pending */
    OP_CANCELING, /* a cancel was sent, the future waits for the answer */
    OP_DONE       /* resolved; late events are swallowed */
};
struct wf_op {
    uint64_t id; /* in m->ops; 0 when it has no future */
    enum wf_op_kind kind;
    enum wf_op_state state;
    enum wf_cancel_type cancel;
    int refs;
    uint64_t future;    /* activities, timers, signals ...; the result of a child */
    uint64_t started;   /* child: the future of its start */
    struct wf_cmd *cmd; /* its first command while that is unsent */
    int64_t event_id;   /* of the recorded scheduled/started/initiated event; 0: not recorded yet */
    int64_t started_event_id;
    struct str op_id, name, where; /* in r->keep */
    struct str run_id;             /* child: once started */
    int64_t due_ns;                /* timers */
    bool till;                     /* timers: due_ns is a time that the script named */
    struct wf_op
        *peer; /* OP_CHILD_CANCEL: the child; OP_TIMER: the local activity that backs off */
    struct wf_op *prev, *next; /* all operations */
    struct wf_local *local;    /* OP_LOCAL */
    bool waits_requested; /* OP_CHILD_CANCEL: resolve the child when the request was delivered */
};
struct wf_local {
    struct arena arena; /* input and result */
    uint32_t seq;
    int attempt;
    struct wf_activity_opts opts; /* input and retry policy cloned into arena; strings in keep */
    int64_t original_ns;          /* first schedule, wall; 0: now */
    bool asked;  /* the worker was (or would have been, on replay) asked to run it */
    bool handed; /* it is in some wf_out.locals of this run object */
    bool has_result;
    struct wf_local_result result; /* cloned into arena */
    struct wf_op *backoff;         /* the timer it waits for */
    struct wf_op *next_done;       /* queue of results, completion order */
    bool queued;
};

struct wf_cmd {
    struct wf_cmd *next;
    struct rec *rec;
    int type;               /* enum command_type */
    int event_type;         /* what records it */
    struct wf_op *op;       /* referenced; NULL for those without */
    struct str id, name;    /* identity; markers: name is the marker's, id what is inside */
    const struct rec *args; /* payloads compared by digest */
    struct str where;
    bool dropped;  /* withdrawn before it was sent */
    bool optional; /* on replay it may be missing from history (patches) */
};
struct wf_cmds {
    struct wf_cmd *first, *last, *terminal;
    size_t n;
    struct arena arena; /* of the commands and their records */
    bool live;          /* made by a live task: arguments are ours, not compared */
};

enum wf_phase {
    PHASE_IDLE,
    PHASE_NEXT,
    PHASE_RUN,
    PHASE_SETTLED,
    PHASE_WAIT,
    PHASE_QUERY,
    PHASE_DONE,
    PHASE_BROKEN
};
struct wf_batch {
    size_t from, to; /* events of the batch, the last is its WorkflowTaskStarted */
    bool completed, found;
};

enum wf_update_state { UPDATE_WAITING, UPDATE_DELIVERED, UPDATE_ACCEPTED, UPDATE_FINISHED };
struct wf_update {
    struct wf_update *next;
    struct str id, message_id;
    int64_t sequencing_id;
    int64_t accepted_id;       /* the event, when replayed */
    bool replayed;             /* already accepted in history: no validator, no messages */
    const struct rec *request; /* update_request, in the update's arena */
    enum wf_update_state state;
    struct arena arena;
};
struct wf_marker {
    struct wf_marker *next;
    uint32_t seq;
    const struct rec *attrs;
    int64_t event_id;
};

struct wf_machines {
    enum wf_phase phase;
    /* the task */
    struct arena task_arena; /* events, messages and queries of the task */
    const struct rec **events;
    size_t n_events, at; /* at: first event not yet in a batch */
    const struct rec **messages;
    size_t n_messages;
    struct wf_query *queries;
    size_t n_queries;
    int64_t started_id; /* 0: no live task */
    struct wf_batch batch;
    bool batch_live, batch_jobs;
    bool task_open; /* a live task that was not answered yet */
    bool tail_done;
    bool flag_due; /* the chunking flag goes out with this task */
    struct {
        int64_t now_ns, history_length, history_bytes, last_event;
        bool suggested;
    } before; /* for rollback */

    /* watermarks, event ids */
    int64_t last_event; /* the WorkflowTaskStarted of the last batch */
    int64_t matched_to; /* command events up to here were compared */
    int64_t applied_to; /* jobs up to here were delivered */

    /* look-ahead of the batch */
    struct wf_marker *local_markers, **local_markers_end;
    struct map patches;      /* id -> PATCH_* of markers seen in look-ahead */
    struct map patch_memo;   /* id -> PATCH_YES / PATCH_NO */
    bool versions_full;      /* the list of all ids is longer than a search attribute may be */
    struct map side_effects; /* decimal id -> payloads, of this look-ahead */
    struct arena look_arena; /* reset per batch */

    /* commands */
    struct wf_cmds sets[2], *cmds, *expected;
    struct rec **out_messages;
    size_t n_out_messages, cap_out_messages; /* protocol messages, in out_arena */

    /* operations */
    struct idmap ops;
    struct wf_op *first_op, *last_op;
    struct map by_event;                  /* event id -> op */
    struct wf_op *done_first, *done_last; /* local results to deliver */
    size_t n_local_open;
    uint64_t next_timer, next_activity, next_local, next_side_effect;
    struct rng id_rng; /* child ids: a stream of its own */
    bool own_ids;      /* some id was given by the script */

    /* updates */
    struct wf_update *updates;
    struct map admitted; /* update id -> update_request of UpdateAdmitted, in keep */

    struct rec *search_attributes, *memo; /* current values, in keep; NULL: none */
    struct str foreign_sdk;               /* last sdk_name told by a completed task */
    int64_t completed_id;                 /* event id of the last WorkflowTaskCompleted */
    bool digest_same;                     /* that task was completed on our bundle */
    bool any_completed, started_seen;

    /* handed out with the next answer */
    struct wf_local_request *locals;
    size_t n_locals, cap_locals;
    uint32_t *local_cancels;
    size_t n_local_cancels, cap_local_cancels;
    struct wf_drift *drift;
    size_t n_drift, cap_drift;
    struct wf_query_result *results;
    size_t n_results;
    uint32_t flags[1];
    size_t logs_handed;
    bool waiting;               /* after the queries the task waits for local activities */
    struct arena pending_arena; /* reset whenever the script is about to run */
};
#define WF_FLAG_CHUNKING_V1 1u
#define PATCH_YES ((void *)1)
#define PATCH_NO ((void *)2)
#define PATCH_UPSERT ((void *)3) /* known, and an upsert follows its marker in history */
#define WF_CHANGE_VERSION "TemporalChangeVersion"
#define WF_MARKER_PATCH "core_patch"
#define WF_MARKER_LOCAL "core_local_activity"
#define WF_MARKER_SIDE_EFFECT "SideEffect"

/* wf_batch.c */
int wf_batch_next(const struct rec *const *events, size_t n, size_t at, int64_t live_id,
                  struct wf_batch *out);
size_t wf_batch_lookahead(const struct rec *const *events, size_t n, size_t to, size_t *end);
/* wf_apply.c */
int wf_apply_batch(
    struct wf_run *r); /* fills look-ahead, compares, delivers jobs; sets batch_jobs */
int wf_apply_tail(struct wf_run *r);
/* wf_compare.c */
int wf_compare(struct wf_run *r, const struct rec *const *events, size_t n,
               int64_t completed_id); /* with m->expected */
struct wf_identity {
    struct str id, name;
    const struct rec *args;
    bool deprecated;
};
/* wf_machine.c */
struct wf_op *wf_op_new(struct wf_run *r, enum wf_op_kind kind, uint64_t future, struct err *e);
void wf_op_ref(struct wf_op *op);
void wf_op_unref(struct wf_run *r, struct wf_op *op);
void wf_op_finish(struct wf_run *r,
                  struct wf_op *op); /* state DONE, drops the reference of its future */
int wf_op_guard(struct wf_run *r, struct err *e); /* may a command be made now? */
struct wf_cmd *wf_cmd_new(struct wf_run *r, int type, struct wf_op *op, struct rec **attrs);
void wf_cmd_identity(struct wf_run *r, struct wf_cmd *c, struct str id, struct str name,
                     const struct rec *args);
void wf_cmd_drop(struct wf_run *r, struct wf_cmd *c);
void wf_cmds_reset(struct wf_run *r, struct wf_cmds *set);
void wf_cmds_turn(struct wf_run *r); /* what was collected becomes what is expected */
int wf_event_bind(struct wf_run *r, int64_t event_id, struct wf_op *op);
struct wf_op *wf_event_op(struct wf_run *r, int64_t event_id, enum wf_op_kind kind);
void wf_event_unbind(struct wf_run *r, int64_t event_id);
int wf_nomem(struct wf_run *r, struct err *e);
bool wf_payloads_fit(struct wf_run *r, const struct rec *payloads, const char *what, struct err *e);
void wf_summary(struct wf_run *r, struct wf_cmd *c, struct str summary);
/* wf_machine_op.c, wf_machine_child.c: an event linked to an operation; true when somebody was told
 */
bool wf_event_activity(struct wf_run *r, const struct rec *ev);
bool wf_event_timer(struct wf_run *r, const struct rec *ev);
bool wf_event_child(struct wf_run *r, const struct rec *ev);
bool wf_event_external(struct wf_run *r, const struct rec *ev);
int wf_timer_start(struct wf_run *r, struct wf_op *op, int64_t duration_ns, struct str summary,
                   struct err *e);
void wf_activity_cancel(struct wf_run *r, struct wf_op *op);
void wf_timer_cancel(struct wf_run *r, struct wf_op *op);
void wf_child_cancel(struct wf_run *r, struct wf_op *op, struct str reason);
void wf_external_cancel(struct wf_run *r, struct wf_op *op);
/* wf_machine_close.c */
struct rec *wf_header_for_child(struct wf_run *r, struct arena *a);
struct rec *wf_header_for_activity(struct wf_run *r, struct arena *a); /* or NULL */
void wf_merge_search_attributes(struct wf_run *r, const struct rec *sa);
void wf_merge_memo(struct wf_run *r, const struct rec *memo);
/* wf_marker.c */
int wf_marker_lookahead(struct wf_run *r, const struct rec *const *events, size_t n);
struct str wf_marker_patch_id(struct arena *a, const struct rec *marker, bool *deprecated);
int64_t wf_marker_local_seq(const struct rec *marker);
struct str wf_marker_local_id(struct arena *a, const struct rec *marker); /* for comparing */
struct str wf_local_id(struct arena *a, uint32_t seq, struct str type);
struct str wf_marker_data(const struct rec *marker,
                          const char *key); /* data of the first payload of a detail */
bool wf_is_change_version(const struct rec *search_attributes);
/* wf_local.c */
int wf_local_start(struct wf_run *r, const struct wf_activity_opts *o, uint64_t future,
                   struct err *e);
void wf_local_cancel(struct wf_run *r, struct wf_op *op);
bool wf_local_deliver(struct wf_run *r); /* the next resolution, from history or from the queue */
void wf_local_settle(struct wf_run *r); /* script settled: ask the worker for what is not running */
void wf_local_backoff_over(struct wf_run *r, struct wf_op *op);
void wf_local_abandon_all(struct wf_run *r); /* the run ends */
void wf_local_free(struct wf_local *l);
/* wf_update.c */
int wf_update_from_message(struct wf_run *r, const struct rec *message);
int wf_update_from_accepted(struct wf_run *r, const struct rec *ev);
int wf_update_admit(struct wf_run *r, const struct rec *ev, bool deliver);
/* Those sequenced before event_id. Sets *any for replayed ones, *fresh for new ones. */
void wf_update_deliver_before(struct wf_run *r, int64_t event_id, bool *any, bool *fresh);
void wf_updates_free(struct wf_run *r, bool all);
/* wf_json.c: just enough to read the small objects in markers and headers */
bool wf_json_get(struct str object, const char *key, struct str *raw);
struct str wf_json_string(struct arena *a, struct str raw); /* absent when raw is not a string */
int64_t wf_json_int(struct str raw, int64_t dflt);
struct str wf_json_without(struct arena *a, struct str object, const char *key);
struct str wf_json_with(struct arena *a, struct str object, const char *key, struct str value);

#endif
