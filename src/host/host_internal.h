/* Inside of the host: what ml_host holds and who does what.
 *  host.c opens and closes everything in one visible order; owner.c decides who owns the file;
 * conn.c is frames on a socket, socket.c the owner's server, attach.c the other side; verbs.c runs
 * each verb for local callers and socket clients alike; start.c and mend.c hold the rules of
 * starting and going on; step.c runs; events.c, convert.c, snapshot.c, doctor.c. */
#ifndef ML_HOST_INTERNAL_H
#define ML_HOST_INTERNAL_H
#include "base/log.h"
#include "base/map.h"
#include "engine/engine.h"
#include "moonloop.h"
#include "worker/worker.h"
#include <cjson/cJSON.h>
#include <stdatomic.h>
#include <sys/types.h>

#define HOST_FRAME_MAX ((size_t)16 << 20)
#define HOST_OUT_MAX ((size_t)64 << 20)
#define HOST_CLIENTS_MAX 64
#define HOST_PROTOCOL 1
#define HOST_HISTORY_EVENTS_MAX 1000000
#define HOST_JSON_MAX ((size_t)256 << 20)

struct hcall;
struct verb {
    const char *name;
    int (*run)(struct hcall *c,
               struct err *e); /* 0: the answer comes by hcall_reply; else it fails with e */
    bool local_only;
    bool looks; /* it changes nothing: also for hosts that only look */
};

/* One verb in progress. Answered exactly once, later than the call that made it; freed unanswered
 * when the host closes. */
struct hcall {
    ml_host *h;
    const struct verb *verb;
    cJSON *args; /* owned */
    ml_reply_fn fn;
    void *ud;
    void (*drop)(void *ud); /* frees ud of a call that is never answered; may be NULL */
    uint64_t id;            /* name on the socket */
    bool sent;              /* to the owner */
    bool ending;            /* its answer is on its way: nothing else may end it */
    struct loop_post post;  /* with which it ends */
    struct err err;         /* for answers that fail at once */
    unsigned long refused;  /* of an offline query: mem_refused() when it began */
    struct arena arena;     /* of the verb */
    void *state;            /* of the verb, in the arena */
    struct hcall *prev, *next;
};

struct conn;
typedef void (*conn_frame_fn)(void *ud, cJSON *frame); /* borrowed */
typedef void (*conn_closed_fn)(void *ud);              /* after this the connection is gone */
struct conn {
    struct loop *loop;
    int fd;
    struct loop_io *io;
    struct buf in;
    struct buf out;
    size_t out_at;
    conn_frame_fn on_frame;
    conn_closed_fn on_closed;
    void *ud;
    bool busy, dead; /* inside its callback; to be freed after it */
};

struct server_client {
    struct server *s;
    struct conn *conn;
    uint64_t id;
    bool hello, events;
    pid_t pid;
    struct server_client *prev, *next;
};
struct server {
    ml_host *h;
    int fd;
    int spare; /* a descriptor kept for when no other is free */
    struct loop_io *io;
    char *path;
    struct idmap ids;
    struct server_client *clients;
    size_t n;
};

struct loaded_path {
    char *path;
    struct loaded_path *next;
};
struct attach {
    ml_host *h;
    struct conn *conn;
    char path[120];
    uint64_t next_id;
    struct loaded_path *loads; /* scripts that this host asked to load: what it goes on with when it
                                  becomes the owner */
    struct loaded_path
        *drives;      /* ids of runs that it asked the owner to drive: the next one is asked, too */
    size_t reloading; /* of the scripts, not loaded yet after a change of owner */
    struct loop_timer *timer; /* next try to reconnect or to become the owner */
    bool lost;
};

struct program {
    ml_host *h;
    struct act_env env;
    struct act_host *act;
    ml_load_fn fn;
    void *ud;
    bool done;
    struct program *next;
};
struct hload {
    ml_host *h;
    ml_load_fn fn;
    void *ud;
    struct hload *prev, *next;
};
struct c_activity {
    ml_host *h;
    char *name;
    ml_activity_fn fn;
    void *ud;
    struct c_activity *next;
};

struct ml_host {
    ml_config cfg; /* its strings are the copies below */
    char *path, *task_queue;
    struct {
        char *id, *run;   /* NULL: none */
        int64_t event_id; /* told so far */
    } followed;           /* the run of a server whose events are told (remote.c) */
    char *deployment;     /* of a worker of a server; NULL: none */
    char *bundles;        /* folder of texts that a worker of a server keeps; NULL: none */
    struct log log;
    struct clock clock;
    struct loop *loop;
    int lock_fd;
    char *lock_path;
    struct store *store;
    struct engine *engine;
    struct backend *b;
    struct store_migration migrations[8];
    struct worker *worker;
    struct api *api; /* the boundary; NULL: no file here */
    struct http_client *http;
    struct server *server;
    struct backend
        *remote;           /* not NULL: a Temporal server in place of engine and store; also in b */
    ml_codec codec;        /* of the program, for payloads there */
    struct attach *attach; /* not NULL: another process owns the file */
    struct program *programs;
    struct hload *loads;
    struct c_activity *c_acts;
    struct hcall *calls;
    struct map bundles_put;    /* digests that the file has */
    struct map activity_names; /* run id and scheduled event -> owned type, for progress */
    struct err last;
    struct err gone; /* why the file could not be opened again; code 0: it is open */
    char *identity;
    int stop_fd;
    struct loop_io *stop_io;
    atomic_int stop; /* written by other threads and by signal handlers */
    atomic_bool drain_posted;
    struct loop_post drain;
    bool queue_unnamed; /* task_queue is the default */
    bool drive_all, read_only, snapshot, closing, store_wake_off;
    int in_callback; /* inside an answer or an event: the engine is in the middle of something */
    size_t n_driven;
    struct loaded_path *drives; /* a new owner's: what it drove through the former one */
    size_t
        reloads; /* scripts to load again after this host became the owner, before requests go on */
    bool at_bound;            /* virtual: what is due lies past `until` */
    bool stopped, shut;       /* closing: the worker, the engine */
    struct loop_timer *quiet; /* rings a second after there was work, and until there was none */
    bool quiet_runs, worked;
    uint64_t did; /* tasks, attempts and batches of the store, when they were looked at last */
    struct mcp_call *mcp_calls; /* mcp.c */
    uint64_t mcp_number;
    struct host_http *serving; /* NULL: no HTTP is served */
    int64_t open_count;        /* ml_run without a condition: -1 not asked, -2 asked */
};

/* host.c */
int host_fail(ml_host *h, const struct err *e); /* keeps the text, returns the code */
int host_gone(
    ml_host *h); /* ERR_CLOSED, with text: it is closing, or its file could not be opened again */
void host_give_up(ml_host *h, const struct err *e); /* from now on host_gone; the file is free */
int host_open_engine(ml_host *h,
                     struct err *e); /* store, engine, worker, server: the host owns the file */
void host_close_engine(ml_host *h, bool orderly);
void host_store_wake(void *ud);
int host_reopen_engine(ml_host *h, const char *snapshot, struct err *e);
/* codec.c: *out for the room temporal; NULL when no codec is given. */
struct codec;
const struct codec *host_codec(ml_host *h, const ml_codec *given, struct codec *out);

/* remote.c */
int remote_open(ml_host *h, struct err *e);
void remote_close_worker(ml_host *h);
void remote_close(ml_host *h, bool orderly);
/* keeper.c: the texts that a worker has served */
struct temporal_keeper;
int keeper_open(ml_host *h, const char *folder, struct temporal_keeper *out, struct err *e);
int keeper_keep(ml_host *h, struct err *e);            /* what is loaded now */
int remote_follow(ml_host *h, struct str workflow_id); /* ERR_NOMEM */
int remote_open_events(ml_host *h, struct str keys_file, struct arena *a, struct rec **events,
                       size_t n, struct err *e);
void remote_events(void *ud, struct str workflow_id, struct str run_id, struct rec *const *events,
                   size_t n);                 /* of a task that came */
int remote_worker(ml_host *h, struct err *e); /* the registry of scripts, made when one is loaded */
int host_open_worker(ml_host *h, struct err *e); /* host.c */
void host_turn_until(ml_host *h, const bool *flag);
void host_quiet(void *ud); /* step.c */
/* owner.c */
char *owner_real_path(const char *path);   /* owned: the file's one name; NULL out of memory */
int owner_lock(ml_host *h, struct err *e); /* ERR_BUSY: somebody else has it */
void owner_unlock(ml_host *h);
int owner_socket_path(const char *db, char out[108], bool make_folder, struct err *e);
/* conn.c */
int conn_new(struct loop *l, int fd, conn_frame_fn on_frame, conn_closed_fn on_closed, void *ud,
             struct conn **out);
/* Takes the frame. ERR_LIMIT: it is too large; ERR_BUSY: the peer has not read what it got before.
 */
int conn_send(struct conn *c, cJSON *frame);
void conn_hang_up(struct conn *c); /* on_closed comes in a later turn */
void conn_free(struct conn *c);    /* no callback after this */
/* socket.c */
int server_open(ml_host *h, struct server **out, struct err *e);
void server_close(struct server *s);
void server_event(struct server *s, const ml_event *ev);
bool server_listened(const struct server *s); /* a client asked for events; NULL: no */
/* attach.c */
int attach_open(ml_host *h, struct attach **out,
                struct err *e); /* ERR_BUSY: nobody answers there */
void attach_close(struct attach *a);
void attach_free_list(struct loaded_path *p);
void attach_send(struct attach *a, struct hcall *c);
int attach_load(ml_host *h, const char *path, const char *const *args, size_t argc, ml_load_fn fn,
                void *ud);
/* verbs.c */
int host_verb(ml_host *h, const char *verb, cJSON *args, ml_reply_fn fn, void *ud); /* takes args */
/* The same with an ud that is owned by the call: fn or drop gets it, unless the call fails at once.
 */
int host_verb_owned(ml_host *h, const char *verb, cJSON *args, ml_reply_fn fn, void *ud,
                    void (*drop)(void *ud));
struct hcall *hcall_new(ml_host *h, const struct verb *v, cJSON *args, ml_reply_fn fn, void *ud);
void hcall_run(struct hcall *c);                      /* here, by the engine */
void hcall_reply(struct hcall *c, const ml_reply *r); /* answers and frees */
void hcall_fail(struct hcall *c, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void hcall_fail_err(struct hcall *c, const struct err *e);
void hcall_fail_later(struct hcall *c, const struct err *e);
void hcall_post(struct hcall *c, void (*fn)(void *ud)); /* fn(c) ends it in a later turn */
void host_fail_calls(ml_host *h, const struct err *e);  /* all that wait, in a later turn */
void hcall_free(struct hcall *c);
const char *arg_str(const cJSON *args, const char *name); /* NULL when absent */
bool arg_bool(const cJSON *args, const char *name);
int64_t arg_i64(const cJSON *args, const char *name);
struct str arg_view(const cJSON *args, const char *name);
cJSON *arg_object(const char *text, const char *what, struct err *e);
void arg_add(cJSON *args, const char *name, const char *value); /* nothing when NULL */
void arg_add_true(cJSON *args, const char *name);
const struct verb *verb_find(const char *name);
const struct verb *verb_find_mcp(const char *name);      /* mcp.c */
void host_mcp_free(ml_host *h);                          /* when no request can end any more */
const struct verb *verb_find_cluster(const char *name);  /* cluster.c */
const struct verb *verb_find_boundary(const char *name); /* boundary.c */
int host_open_api(ml_host *h, struct err *e);
void host_close_api(ml_host *h);
int host_intents_batch(void *ud, struct str json, struct store_batch **out, struct err *e);
void host_answer_plain(void *ud, const struct backend_reply *r); /* ends the call */
void host_answer_update(void *ud, const struct backend_reply *r);
void host_answer_completed(void *ud, const struct backend_answer *a);
int host_completion_of(struct hcall *c, struct backend_activity_completion *done, struct err *e);
int verb_start_run(struct hcall *c, struct err *e); /* start.c */
int verb_drive_run(struct hcall *c, struct err *e);
int verb_replay_run(struct hcall *c, struct err *e); /* replay.c */
int verb_query_run(struct hcall *c, struct err *e);
int verb_history_run(struct hcall *c, struct err *e);
int verb_doctor_run(struct hcall *c, struct err *e); /* doctor.c */
int verb_load_run(struct hcall *c, struct err *e);   /* load.c */
/* All pages of a history into the call's arena, then `then`. */
struct history {
    struct rec **events;
    size_t n, cap;
    struct backend_target target;
    void (*then)(struct hcall *c, struct history *x, const struct err *e);
    bool first_page_only;
    void *outer;
};
void history_fetch(struct hcall *c, struct str workflow_id, struct str run_id, bool first_page_only,
                   void (*then)(struct hcall *c, struct history *x, const struct err *e));
void history_drop(struct hcall *c, struct history *x);
/* mend.c: a blocked run on the text on disk */
typedef void (*mend_fn)(struct hcall *c, bool goes_on, const char *text);
void mend_run(struct hcall *c, struct str workflow_id, struct str run_id, struct str type,
              mend_fn then);
void mend_all(ml_host *h); /* every blocked run that a loaded script defines */
int host_put_bundle(ml_host *h, struct str digest, struct err *e);
/* convert.c */
int payload_json(const struct rec *payloads,
                 struct buf *out); /* the value alone; "null" when there is none */
int failure_json(const struct rec *failure, struct buf *out);
struct rec *failure_of_json(struct arena *a, const cJSON *j, int depth);
int payloads_of_args(struct arena *a, struct str json_array, struct rec **out, struct err *e);
int payloads_of_value(struct arena *a, const char *json, struct rec **out,
                      struct err *e); /* NULL text: no payload */
struct rec *payload_map(struct arena *a, const struct rec_type *type, int tag, const cJSON *object);
const char *status_name(enum backend_run_status s);
int64_t duration_of(const cJSON *j, struct err *e, const char *what);
/* serve.c */
struct host_http;
void serve_routes_changed(ml_host *h);
void serve_stop(struct host_http *x); /* requests under way are cancelled */
void serve_free(struct host_http *x); /* after the worker has closed */
/* load.c */
void host_act_env(ml_host *h, struct act_env *env);
void host_register_all(ml_host *h, struct err *e);
int resume_register(ml_host *h, struct err *e); /* resume.c: the activity of ml.promise */
void host_loads_free(ml_host *h);
void program_step(ml_host *h, int64_t budget_ns, bool *more);
int program_start(ml_host *h, const char *path, const char *const *args, size_t argc, ml_load_fn fn,
                  void *ud, struct err *e);
void programs_free(ml_host *h);
/* follow.c: what is committed, what an activity says, for listeners of runs */
void follow_commit(ml_host *h, struct str run_id, struct rec *const *events, size_t n);
void follow_progress(void *ud, const struct act_call *call, struct str json);
/* events.c */
/* The name that an event is told with; the step (activity id) that an event ends, or NULL. */
const char *events_name(ml_host *h, struct str run_id, const struct rec *ev, char out[256]);
int64_t events_scheduled(const struct rec *ev, const struct rec *attrs);
const char *events_step(ml_host *h, struct str run_id, const struct rec *ev);
void host_on_commit(void *ud, struct str workflow_id, struct str run_id, struct rec *const *events,
                    size_t n);
void host_event(ml_host *h, const ml_event *ev);
void host_say(ml_host *h, enum ml_event_kind kind, const char *workflow_id, const char *text);
void events_free(ml_host *h);
/* doctor.c */
bool host_sqlite_suspect(const char *version);

#endif
