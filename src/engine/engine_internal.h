/* Inside the embedded engine: the structures its files share. Only src/engine includes this.
 *
 * What stays true:
 * - A run's mutable state (struct run) is only changed inside a transition (struct txn). A run has
 * at most one; while it is submitted and not answered nothing else touches the run: messages wait
 * in its inbox.
 * - A transition is one commit: the events it appended (one history row), the pending rows it
 * changed, cross-run messages. Its effects run after DURABLE, or are told of the failure. After
 * STORAGE the run's memory is thrown away.
 * - Everything that happens to a run arrives as a message (struct msg) and is applied by the
 * engine's own turn, never inside a call of the port.
 * - Deciding (engine_decide.c, engine_commands.c, engine_attempts.c, engine_children.c,
 * engine_updates.c) does no I/O: it reads the run and the message, and writes events, statements
 * into the transition's batch, and effects. */
#ifndef ML_ENGINE_INTERNAL_H
#define ML_ENGINE_INTERNAL_H
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/map.h"
#include "engine/engine.h"

#define ENG_ID_MAX 1000       /* bytes of ids, names and types */
#define ENG_SIGNALS_MAX 10000 /* that a run has not received: then senders are refused */
#define ENG_PENDING_MAX 2000  /* open activities, children, signals, cancels of a run, each */
#define ENG_UPDATES_OPEN 10
#define ENG_UPDATES_TOTAL 2000
#define ENG_SUGGEST_EVENTS 4096
#define ENG_SUGGEST_BYTES (4 << 20)
#define ENG_BLOB_MAX ((size_t)256 << 20)
#define ENG_HOLD_NS                                                                                \
    (5 * NS_PER_MS) /* how long a transition waits for the worker's answer to its task */
#define ENG_HOLD_BUSY_NS                                                                           \
    (20 * NS_PER_MS)               /* the same while the worker is visibly answering others */
#define ENG_FAR_NS (10 * NS_PER_S) /* a sleep from this on is a long one */
#define ENG_UUID 37

struct engine;
struct run;
struct txn;

struct bytes {
    char *p;
    size_t n;
};

/* ---- pending things of a run: one row each ---- */
enum pend_kind {
    PEND_ACTIVITY = 1,
    PEND_TIMER,
    PEND_CHILD,
    PEND_SIGNAL_OUT,
    PEND_CANCEL_OUT,
    PEND_BUFFERED,
    PEND_UPDATE /* accepted */,
    PEND_UPDATED /* completed, outcome in history */,
    PEND_RUN_TIMEOUT,
    PEND_DELAY,
    PEND_SLEEP /* memory only */
};
enum attempt_state {
    AT_WAITING /* for a slot */,
    AT_RUNNING,
    AT_BACKOFF,
    AT_ASYNC /* completed from outside */
};

struct pend {
    int kind;
    int64_t id; /* the event that made it (scheduled, started, initiated, accepted), or a counter */
    struct arena arena;
    struct str name, type, queue, extra; /* activity id/type/queue; timer id; child workflow
                                            id/type, extra its run id; update id */
    int state, attempt;
    int64_t epoch, due, at; /* due: engine time or 0. at: attempt's start; child: started event id;
                               updated: completed event id */
    int64_t first_at;       /* engine time when it was scheduled */
    int64_t cancel_id;      /* event that asked for cancellation, 0: none */
    struct rec *attrs;      /* attributes of the event that made it */
    struct rec *event;      /* buffered: the event, without id */
    struct bytes failure, details; /* encoded: last failure, heartbeat details */
    int64_t t_start, t_beat;       /* attempt clock */
    int64_t next_delay;            /* of the last failure, for the next attempt */
    bool stored;                   /* buffered: has a row */
    bool unpushed;                 /* its attempt is durable, but the worker has not got it */
};

/* ---- messages ---- */
enum msg_kind {
    M_START,
    M_SIGNAL,
    M_CANCEL,
    M_TERMINATE,
    M_QUERY,
    M_UPDATE,
    M_RESET,
    M_DELETE,
    M_RETRY_BLOCKED,
    M_WFT_DONE,
    M_WFT_FAILED,
    M_QUERY_DONE,
    M_ACT_DONE,
    M_HEARTBEAT,
    M_ACT_LOST,
    M_ACT_SLOT,
    M_TIMER,
    M_TICK,
    M_CROSS,
    M_WFT_TRY,
    M_READ /* history, describe, list, count, result: read only */,
    M_KINDS
};
enum read_kind { READ_HISTORY, READ_DESCRIBE, READ_LIST, READ_COUNT, READ_RESULT };

struct msg {
    struct msg *next;
    struct arena arena;
    int kind;
    bool retry;            /* after a failed commit it is applied again instead of being answered */
    unsigned long refused; /* of a read: mem_refused() when it began */
    bool told;             /* it has been answered, or who asked waits elsewhere */
    bool had_run_id;       /* the target named its run: no going on to the chain's next */
    int64_t row;           /* the run, 0: not resolved */
    struct str workflow_id, run_id;
    int64_t id; /* event id of the pending thing; row of a cross-run message; event of a reset */
    int64_t attempt;
    uint64_t nonce;
    int sub; /* pend kind of a timer, read kind, completion kind, cause, cross kind, update stage */
    bool flag; /* force_new_task, limit, wait, resolve_all, ok, child only */
    struct str name, request_id, identity, text, digest, page;
    struct rec *rec, *rec2, *header;
    struct rec **commands;
    size_t n_commands;
    int64_t *dues; /* one a command, or NULL */
    struct rec **messages;
    size_t n_messages;
    struct backend_query_result *results;
    size_t n_results;
    uint32_t *flags;
    size_t n_flags;
    int64_t number, number2, unread;
    struct backend_start *start;
    struct store_batch *batch;
    struct str source_workflow_id, source_run_id;
    int64_t source_row, initiated; /* cross-run */
    backend_answer_fn answer;
    backend_reply_fn reply;
    void *ud;
};

/* ---- effects ---- */
enum effect_kind {
    FX_ANSWER,
    FX_REPLY,
    FX_PUSH_ACTIVITY,
    FX_ARM,
    FX_CROSS,
    FX_CLOSED,
    FX_ACT_CANCEL,
    FX_LOAD,
    FX_REPOST,
    FX_BLOB,
    FX_FORGET
};
struct effect {
    struct effect *next;
    int kind;
    struct msg *m; /* whose answer it is */
    backend_answer_fn answer_fn;
    backend_reply_fn reply_fn;
    void *ud;
    int64_t row, id, due;
    int sub;
    struct str text;
    union { /* only of FX_ANSWER and FX_REPLY: they are large, and a run keeps its effects */
        struct backend_answer answer;
        struct backend_reply reply;
    };
};

/* Events of one transition and all they borrow from. */
struct chunk {
    struct chunk *next;
    struct arena arena;
    struct msg *adopted;
    struct rec **events;
    size_t n, cap;
};

struct txn {
    struct engine *g;
    struct run *run;
    int64_t now;
    struct chunk *chunk;
    struct store_batch *batch;
    size_t statements;
    struct effect *fx_first, *fx_last;
    bool completed; /* a workflow task was completed in it: the next one waits for the commit */
    bool submitted, answered, joined_guards, run_dirty, pushed, no_push, failed;
    bool whole;            /* held: nothing was refused so far */
    unsigned long refused; /* mem_refused() when it was begun or taken up again */
    struct store_answer store_answer;
    int64_t pushed_mono;
    size_t spec_events; /* events before the speculative WorkflowTaskScheduled */
    struct txn *next_held, *next_answered;
};

/* ---- updates and queries waiting on a run: memory only ---- */
struct waiter {
    struct waiter *next;
    backend_reply_fn fn;
    void *ud;
    enum backend_update_stage stage;
};
enum update_state { UP_ADMITTED, UP_SENT, UP_ACCEPTED };
struct update {
    struct update *next;
    struct arena arena;
    struct str id;
    struct rec *request;
    int state;
    struct waiter *waiters;
};
struct query {
    struct query *next;
    struct arena arena;
    char id[24];
    struct str type;
    struct rec *args;
    bool sent, attached;
    int64_t row;
    backend_reply_fn fn;
    void *ud;
};

struct run {
    struct engine *g;
    int64_t row;
    struct arena arena;
    struct str workflow_id, run_id, type, queue, tree, entry, first_run_id, request_id, cron;
    struct str parent_id, parent_run_id;
    int64_t parent_initiated; /* absent: no parent */
    char bundle[SHA256_HEX];
    char input_digest[SHA256_HEX];
    int status;
    char *blocked; /* owned; NULL: not blocked */
    char *waits;   /* owned pending_json or NULL */
    int64_t started_at, closed_at;
    int attempt_of_run;
    struct bytes memo, search; /* encoded */
    bool fresh;                /* not in the file yet */
    int64_t next_id, bytes;
    int64_t sched, started,
        done; /* workflow task: scheduled and started ids (0: none), last completed started id */
    int wft_attempt;
    bool wft_out;     /* the worker has it */
    bool speculative; /* sched and started are only in memory, for an update or a retried blocked
                         task */
    bool transient;   /* of those: a retried blocked task */
    uint64_t nonce;
    int64_t cancel_requested;
    struct map pends;
    size_t n_buffered;
    int64_t unread;          /* signals in its history that the script has not received */
    int64_t unread_buffered; /* and among what is buffered */
    int64_t next_buffered;
    struct chunk *chunks, *chunks_last; /* events since `done`, oldest first */
    int64_t recent_first;               /* id of the first event in chunks (next_id: none) */
    struct update *updates;
    struct query *queries;
    struct msg *inbox, *inbox_last;
    struct txn *txn;
    struct ready *ready; /* its entry among those that wait for a slot, NULL: none known */
    bool gone;
    bool sleeps;    /* for long: it is forgotten as soon as nothing holds it */
    bool want_wft;  /* something happened that the worker must see */
    bool task_lost; /* the worker gave its task back, or its answer could not be kept */
    int64_t seen;   /* the worker has events up to here though their task was discarded */
    bool retrying;  /* blocked, and tried again */
    char retry_bundle[SHA256_HEX];
    struct run *lru_prev, *lru_next;
    uint64_t touched; /* the turn in which it was used last */
};

/* ---- near timers ---- */
struct heap_entry {
    int64_t due, row, id;
    int kind;
    int attempt;
};
struct heap {
    struct heap_entry *e;
    size_t n, cap;
};
void eng_heap_free(struct heap *h);
int eng_heap_push(struct heap *h, struct heap_entry e);
struct heap_entry eng_heap_pop(struct heap *h);

struct ready {
    struct ready *next;
    int64_t row, id; /* id 0: a workflow task; row 0: it needs no slot any more */
};
struct ready_list {
    struct ready *first, *last;
    size_t n;
};
struct served {
    struct str queue;
    struct map workflows, activities;
    struct served *next;
};
struct out {
    int64_t row, id;
    int attempt;
    bool lost; /* it ended, but there was no memory to say how */
};
struct sleeper {
    uint64_t id;
    void (*fn)(void *ud);
    void *ud;
    bool idle;
};
struct result_waiter {
    struct result_waiter *next;
    struct str run_id;
    backend_reply_fn fn;
    void *ud;
};

struct engine {
    struct backend backend;
    struct loop *loop;
    struct store *store;
    const struct clock *clock;
    const struct entropy *entropy;
    const struct log *log;
    enum engine_clock mode;
    int64_t until_ns, vnow, jumps;
    char *identity;
    size_t timers_max, runs_max;
    int64_t far_ns; /* longer is a long sleep; never under a virtual clock, unless it was set */
    uint64_t turns;
    size_t ref_bytes;
    int64_t epoch, next_run, next_message, first_message;
    uint64_t counter;
    struct arena arena;
    struct map runs, by_run_id, by_wid, out, trees, sleepers, blobs;
    size_t n_idle; /* of the sleepers */
    struct run *lru_first, *lru_last;
    struct msg *queue, *queue_last;
    size_t queued;
    struct heap wall, attempts, sleeps, limits; /* attempts, limits: on eng_attempt_now */
    int64_t horizon;
    struct ready_list ready_wft, ready_act, unserved;
    size_t slots_wft;
    size_t slots_act;
    size_t sleeping;
    struct served *served;
    struct backend_sink sink;
    bool has_sink;
    bool drive_all, loaded_messages, loaded_all;
    struct txn *held, *answered;
    size_t txns, wfts_out, queries_n;
    int64_t progress_mono;
    struct loop_timer *timer;
    bool kicked, in_turn, closing, changed;
    bool shaken; /* out of memory: something of the runs in memory was left undone */
    bool reload; /* the same of runs that are in the file only */
    struct err sick;
    int64_t sick_until, sick_backoff, sick_first;
    int64_t *broken;
    size_t n_broken, cap_broken;
    struct result_waiter *waiters;
    void (*commit_fn)(void *ud, struct str workflow_id, struct str run_id,
                      struct rec *const *events, size_t n);
    void *commit_ud;
    void (*shut_done)(void *ud);
    void *shut_ud;
    bool shutting;
};

/* engine.c */
void eng_kick(struct engine *g);
int64_t eng_mono(struct engine *g);
int64_t eng_attempt_now(struct engine *g);
bool eng_driven(struct engine *g, const struct run *r);
void eng_post(struct engine *g, struct msg *m);
void eng_post_front(struct engine *g, struct msg *m);
struct msg *eng_msg(struct engine *g, int kind);
void eng_msg_free(struct msg *m);
void eng_uuid(struct engine *g, char out[ENG_UUID]);
void eng_sick(struct engine *g, const struct err *e);
void eng_starved(struct engine *g);
void eng_release(struct engine *g, struct str token, const struct err *why);
void eng_release_attempt(struct engine *g, struct str token, const struct err *why);
void eng_broken(struct engine *g, int64_t row);
void eng_dispatch(struct engine *g, struct msg *m);
void eng_fail_msg(struct engine *g, struct msg *m, int code, const char *text);
bool eng_bytes_set(struct bytes *b, struct str s);
static inline struct str eng_bytes(const struct bytes *b)
{
    return (struct str){b->p, b->n};
}

/* engine_schema.c: the SQL */
/* engine_run.c */
int eng_run_by_row(struct engine *g, int64_t row, struct run **out, struct err *e);
int eng_run_by_id(struct engine *g, struct str run_id, struct run **out, struct err *e);
int eng_run_current(struct engine *g, struct str workflow_id, struct run **out, struct err *e);
struct run *eng_run_new(struct engine *g, int64_t row, struct str workflow_id, struct str run_id);
int eng_run_enter(struct engine *g, struct run *r);
void eng_run_free(struct run *r);
void eng_run_forget(struct engine *g, struct run *r);
void eng_run_touch(struct engine *g, struct run *r);
void eng_run_shrink(struct engine *g);
bool eng_far(const struct run *r, int64_t due);
void eng_chunk_free(struct chunk *c);
void eng_run_trim(struct run *r);
int eng_run_recent(struct run *r, struct err *e);
void eng_run_arm(struct run *r, bool at_open);
struct pend *eng_pend(struct run *r, int kind, int64_t id);
bool eng_attempt_out(const struct run *r, const struct pend *p);
struct pend *eng_pend_named(struct run *r, int kind, struct str name);
struct pend *eng_pend_new(struct run *r, int kind, int64_t id);
void eng_pend_drop(struct run *r, struct pend *p);
size_t eng_pend_count(struct run *r, int kind);
int eng_event_load(struct engine *g, int64_t row, int64_t id, struct arena *a, struct rec **out,
                   struct err *e);
int eng_started_attrs(struct run *r, struct arena *a, struct rec **out, struct err *e);

/* engine_txn.c, engine_commit.c */
struct txn *eng_txn(struct run *r);
void eng_txn_free(struct txn *t);
struct rec *eng_event(struct txn *t, int type, struct rec **attrs);
void eng_event_append(struct txn *t, struct rec *ev);
struct rec *eng_event_loose(struct txn *t, int type, struct rec **attrs);
void eng_event_arrive(struct txn *t, struct rec *ev, bool wakes);
/* The scheduled id of the activity whose start or close the event is; 0 when it is neither. */
int64_t eng_activity_of(const struct rec *ev);
void eng_flush_buffered(struct txn *t);
void eng_schedule_wft(struct txn *t);
void eng_pend_write(struct txn *t, struct pend *p);
void eng_pend_delete(struct txn *t, struct pend *p);
struct effect *eng_effect(struct txn *t, int kind);
void eng_answer(struct txn *t, struct msg *m, enum backend_answer_kind kind);
struct effect *eng_reply(struct txn *t, struct msg *m, int code, const char *text);
/* Has the run as many signals as it may have that it did not receive? */
bool eng_signals_full(const struct run *r);
void eng_refuse_signal(struct txn *t, struct msg *m); /* answers its sender */
void eng_arm(struct txn *t, int kind, int64_t id, int64_t due);
void eng_txn_write(struct txn *t);
void eng_txn_finish(struct txn *t);
void eng_txn_judge(struct txn *t);
void eng_txn_answered(struct txn *t);
void eng_run_pump(struct run *r);
/* The transition's batch, made when first used; NULL (and t->failed) out of memory. */
struct store_batch *eng_batch(struct txn *t);
#define STMT(t, sql, types, ...)                                                                   \
    do {                                                                                           \
        struct store_batch *stmt_batch_ = eng_batch(t);                                            \
        if (stmt_batch_) {                                                                         \
            store_batch_add(stmt_batch_, sql, types, __VA_ARGS__);                                 \
        }                                                                                          \
    } while (0)
void eng_adopt(struct txn *t, struct msg *m);
void eng_unadopt(struct txn *t, struct msg *m);
void eng_repost(struct txn *t, struct msg *m);
bool eng_start_speculative(struct txn *t);
void eng_discard_speculative(struct txn *t);
void eng_held_remove(struct engine *g, struct txn *t);
struct txn *eng_txn_detached(struct run *r, int64_t now);

/* engine_decide.c: what messages mean */
void eng_apply(struct txn *t, struct msg *m);
void eng_close_run(struct txn *t, int status, struct rec *closing);
void eng_force_close_task(struct txn *t);
void eng_block(struct txn *t, int cause, struct rec *failure, bool limit);
bool eng_after_close(struct txn *t, int status, struct rec *result, struct rec *failure,
                     int *retry_state, char new_run_id[ENG_UUID]);
void eng_task_over(struct txn *t);
int eng_run_newest(struct engine *g, struct str workflow_id, int64_t *row, struct err *e);

/* engine_checks.c, engine_commands.c */
bool eng_check_commands(struct txn *t, struct msg *m, int *cause, struct err *why);
struct pend *eng_buffered_fired(struct run *r, struct str timer);
void eng_apply_wft_done(struct txn *t, struct msg *m);
void eng_apply_wft_failed(struct txn *t, struct msg *m);

/* engine_chain.c: starts, continue-as-new, cron, retry of runs, reset */
void eng_start(struct engine *g, struct msg *m);
struct next_run {
    int initiator;
    int64_t backoff;
    struct rec *input, *failure, *last_result, *memo, *search, *header;
    struct str type, queue;
    int64_t run_timeout, task_timeout;
    int attempt;
    struct str cron;
    struct rec *retry;
};
int eng_continue_run(struct txn *t, const struct next_run *n, char new_run_id[ENG_UUID]);
void eng_apply_reset(struct txn *t, struct msg *m);
struct rec *eng_header(struct engine *g, struct arena *a, const struct rec *header,
                       struct str entry, struct str identity, bool own_chain_start);
void eng_begin_run(struct txn *t, struct rec *started, int64_t backoff_ns);

struct run_spec {
    struct str workflow_id, run_id, type, queue, tree, entry, bundle, identity, request_id, cron,
        first_run_id, original_run_id, continued_run_id;
    struct str parent_id, parent_run_id, root_id, root_run_id;
    int64_t parent_initiated;
    struct rec *input, *memo, *search, *header, *retry, *failure, *last_result;
    int64_t execution_timeout, run_timeout, task_timeout, backoff, expiration;
    int initiator, attempt;
};
struct txn *eng_run_begin(struct engine *g, const struct run_spec *s, bool detached, struct err *e);
void eng_apply_start(struct txn *t, struct msg *m);
void eng_born_inside(struct txn *t, struct txn *sub);
/* engine_cron.c */
int eng_cron_check(struct str spec, struct err *e);
int64_t eng_cron_next(struct str spec, int64_t after_ns);

/* engine_attempts.c */
void eng_activity_schedule(struct txn *t, struct pend *p);
void eng_apply_act_done(struct txn *t, struct msg *m);
void eng_apply_heartbeat(struct txn *t, struct msg *m);
void eng_apply_act_lost(struct txn *t, struct msg *m);
void eng_apply_act_slot(struct txn *t, struct msg *m);
void eng_activity_timer(struct txn *t, struct pend *p);
void eng_apply_tick(struct txn *t, struct msg *m);
void eng_activity_cancel(struct txn *t, struct pend *p);
void eng_activity_gone(struct txn *t, struct pend *p, enum backend_cancel_reason why);
void eng_token_activity(const struct run *r, const struct pend *p, struct buf *out);
int eng_token_parse(struct str token, struct str *run_id, int64_t *id, int64_t *attempt);

/* engine_tasks.c: matching */
bool eng_serves(struct engine *g, struct str queue, struct str type, bool activity);
struct ready *eng_ready_add(struct engine *g, struct ready_list *l, int64_t row, int64_t id);
void eng_ready_drop(struct run *r);
void eng_ready_run(struct run *r, struct ready_list *l);
bool eng_ready_pump(struct engine *g);
bool eng_wft_maybe_start(struct run *r);
void eng_push_activity(struct engine *g, struct run *r, int64_t id);
bool eng_take_activity_slot(struct engine *g, struct run *r, struct pend *p);
void eng_ready_free(struct engine *g);
void eng_served_free(struct engine *g);
int eng_serve(struct engine *g, const struct backend_sink *sink, const struct backend_served *q,
              size_t n);
bool eng_queries_start(struct run *r);
void eng_apply_query_done(struct txn *t, struct msg *m);
void eng_queries_answer(struct txn *t, struct msg *m);
void eng_query_free(struct query *q);
void eng_query_failed(struct engine *g, struct str token, const struct err *why);
void eng_queries_fail(struct run *r, int code, const char *text);

void eng_queries_unsent(struct run *r);
/* engine_timers.c */
void eng_timers_reset(struct engine *g);
int eng_timers_load(struct engine *g, struct err *e);
bool eng_timers_fire(struct engine *g);
int64_t eng_attempts_wait(struct engine *g);
int64_t eng_timers_next(struct engine *g); /* engine time of the next due thing, -1: none */
void eng_timer_arm(struct engine *g, int kind, int64_t row, int64_t id, int64_t due);
void eng_attempt_arm(struct engine *g, int64_t row, int64_t id, int attempt, int64_t due);

/* engine_children.c */
enum cross_kind { X_START_CHILD = 1, X_SIGNAL, X_CANCEL, X_TERMINATE, X_EVENT };
void eng_cross(struct txn *t, int kind, struct str workflow_id, struct str run_id,
               int64_t initiated, bool child_only, struct rec *event);
int eng_cross_load(struct engine *g, struct err *e);
void eng_cross_dispatch(struct engine *g, struct msg *m);
void eng_apply_cross(struct txn *t, struct msg *m);
void eng_tell_parent(struct txn *t, int status, struct rec *closing);
void eng_parent_closed(struct txn *t);
struct msg *eng_cross_msg(struct engine *g, int64_t id, int kind, struct str source_wid,
                          struct str source_run, int64_t initiated, struct str target_wid,
                          struct str target_run, bool child_only, struct str blob);

/* engine_updates.c */
void eng_apply_update(struct txn *t, struct msg *m);
bool eng_update_done(struct txn *t, const struct msg *m); /* its outcome is recorded */
bool eng_updates_waiting(const struct run *r);
void eng_updates_send(struct run *r, struct backend_task *task);
void eng_update_command(struct txn *t, struct msg *m, struct str message_id);
bool eng_updates_all_rejected(const struct run *r, const struct msg *m);
void eng_updates_reject(struct txn *t, struct msg *m);
bool eng_update_message_ok(const struct msg *m, struct str message_id);
void eng_updates_unsent(struct run *r);
void eng_updates_fail(struct run *r, int code, const char *text);
void eng_updates_closed(struct txn *t);

/* engine_payloads.c */
int eng_events_encode(struct txn *t, struct rec *const *events, size_t n, struct buf *out);
int eng_rec_encode(struct txn *t, struct rec *r, struct buf *out);
int eng_resolve(struct engine *g, struct arena *a, struct rec *r, bool all, struct err *e);
int eng_resolve_event(struct engine *g, struct arena *a, struct rec *ev, bool all, struct err *e);

/* engine_read.c */
void eng_read(struct engine *g, struct msg *m);
void eng_waiters_closed(struct engine *g, struct run *r);
void eng_delete(struct txn *t, struct msg *m);
int eng_result_reply(struct engine *g, struct str run_id, int status, struct arena *a,
                     struct backend_reply *reply, struct err *e);
void eng_waiters_free(struct engine *g);

/* engine_port.c */
extern const struct backend_ops eng_ops;

#endif
