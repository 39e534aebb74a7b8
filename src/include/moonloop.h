/* moonloop: durable agent loops and tools in Lua. The whole public C interface.
 *
 * One ml_host is one database file (or one in-memory engine), its scripts and its runs. Everything
 * happens on the thread that calls ml_step or ml_run, callbacks included; only ml_post may be
 * called from another thread. Two hosts can live in one process. The library prints nothing, never
 * exits and installs no signal handler.
 *
 * Memory: strings given to a call are borrowed for the call; strings given to a callback are
 * borrowed for the callback. JSON is UTF-8 text. Times are int64 nanoseconds (wall: since 1970
 * UTC). Functions return ML_OK or a negative code and leave text for people in ml_error(host)
 * (ml_open_error() when there is no host). */
#ifndef MOONLOOP_H
#define MOONLOOP_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#define ML_API __attribute__((visibility("default")))
#else
#define ML_API
#endif

#define ML_VERSION_MAJOR 0
#define ML_VERSION_MINOR 1
#define ML_VERSION_PATCH 0

typedef struct ml_host ml_host;

enum ml_code {
    ML_OK = 0,
    ML_E_NOMEM = -1,
    ML_E_ARG = -2,
    ML_E_LIMIT = -3,
    ML_E_IO = -4,
    ML_E_DISK_FULL = -5,
    ML_E_CORRUPT = -6,
    ML_E_NEWER = -7,
    ML_E_BUSY = -8, /* another process owns the file (and ML_ATTACH was not given) */
    ML_E_NOTFOUND = -9,
    ML_E_EXISTS = -10,
    ML_E_CLOSED = -11,
    ML_E_SCRIPT = -12,
    ML_E_NONDETERMINISM = -13,
    ML_E_TIMEOUT = -14,
    ML_E_CANCELED = -15,
    ML_E_GUARD = -16,
    ML_E_STALE = -17,
    ML_E_UNSUPPORTED = -18,
    ML_E_PROTOCOL = -19,
    ML_E_FAILED = -20
};

enum ml_clock {
    ML_CLOCK_FILE = 0 /* what the file says; real for a new one */,
    ML_CLOCK_REAL,
    ML_CLOCK_VIRTUAL,
    ML_CLOCK_HOST
};
enum ml_durability {
    ML_DURABILITY_FULL = 0,
    ML_DURABILITY_FAST,
    ML_DURABILITY_SNAPSHOT /* in memory until ml_save */
};
enum ml_open_flags {
    ML_ATTACH = 1,     /* when another process owns the file, talk to it instead */
    ML_NO_THREADS = 2, /* the writer runs inside ml_step */
    ML_DRIVE_ALL = 4,  /* run every open run of the file; else only those named by ml_drive and
                          ml_start's `drive` */
    ML_BOUNDARY = 32,  /* with `temporal`: `path` is opened too, for what is accepted: tokens,
                          credits, keys, rows, audit; its runs are started on the server */
    ML_CLIENT = 16,    /* with `temporal`: ask only; nothing of this host's scripts is run */
    ML_READ_ONLY = 8   /* look only: list, count, describe, history, result, query, doctor; other
                          verbs of a file are ML_E_UNSUPPORTED */
};

typedef void *(*ml_alloc_fn)(void *ud, void *p, size_t n);
typedef void (*ml_log_fn)(void *ud, int level /* 0 debug .. 3 error */, const char *text,
                          const char *fields_json /* or NULL */);
typedef int64_t (*ml_clock_fn)(void *ud);

/* Something that became durable, or that a person wants to see. */
enum ml_event_kind {
    ML_EVENT_HISTORY = 1,
    ML_EVENT_BLOCKED,
    ML_EVENT_PRINT,
    ML_EVENT_ATTACHED,
    ML_EVENT_DRIFT
};
typedef struct ml_event {
    enum ml_event_kind kind;
    const char *workflow_id, *run_id;
    const char *type; /* HISTORY: "ActivityTaskCompleted" ... */
    const char *name; /* activity type, signal name, workflow type, timer id; "" when none */
    const char *text; /* BLOCKED: message and traceback; PRINT: the line; else "" */
    int64_t event_id, time_ns;
    int attempt;
} ml_event;
typedef void (*ml_event_fn)(void *ud, const ml_event *ev);

/* What payloads go through on their way to a Temporal server and back. `payload` is a whole message
 * temporal.api.common.v1.Payload in protobuf's wire format; its replacement, in the same form, is
 * given to put(to, ...), in pieces or at once. decode passes on what encode did not make. 0; else
 * what was put is the reason, for people. Called on the host's thread, never reentered. */
typedef void (*ml_put_fn)(void *to, const void *p, size_t n);
typedef struct ml_codec {
    int (*encode)(void *ud, const void *payload, size_t n, ml_put_fn put, void *to);
    int (*decode)(void *ud, const void *payload, size_t n, ml_put_fn put, void *to);
    void *ud;
    int plain_failures; /* 1: messages and stack traces of failures are not encoded */
} ml_codec;

/* A Temporal server in place of the file. A NULL member is taken from the environment variables of
 * Temporal's own tools (TEMPORAL_ADDRESS ...), else from the profile that TEMPORAL_PROFILE names in
 * their TEMPORAL_CONFIG_FILE, else it is the default. */
typedef struct ml_temporal {
    const char *address;    /* host:port; localhost:7233 */
    const char *name_space; /* "default" */
    const char *api_key;
    const char *ca_file, *cert_file, *key_file; /* PEM */
    const char *server_name;                    /* that the server's certificate must bear */
    const char *proxy;           /* [user:password@]host:port of an HTTP CONNECT proxy */
    int tls;                     /* 1 on, -1 off, 0: when a key or a certificate is set */
    int no_host_verification;    /* any certificate will do: for experiments */
    const char *const *metadata; /* "name=value", ended by NULL; sent with each request */
    /* Worker versioning; NULL: none. Without a build id nothing is polled before ml_serve. */
    const char *deployment, *build_id;
    int auto_upgrade; /* what runs do whose workflow does not say: 0 stay on their build, 1 not */
    const char *bundles; /* folder in which a worker keeps the texts that it serves; NULL: none */
    /* Encryption of payloads. Keys from a file (lines `id base64-of-32-bytes`, the first encrypts),
     * else from MOONLOOP_CODEC_KEYS_FILE or MOONLOOP_CODEC_KEYS; or a codec of the program's own.
     */
    const char *codec_keys_file;
    const ml_codec *codec; /* copied by ml_open */
} ml_temporal;

typedef struct ml_config {
    const char *path; /* database file; NULL: "moonloop.db"; on a server for ML_BOUNDARY only; not
                         used for SNAPSHOT (then a snapshot
                         to load, or NULL) */
    unsigned flags;
    enum ml_clock clock;
    enum ml_durability durability;
    int64_t until_ns; /* virtual clock: do not jump past this; 0: no bound */
    ml_clock_fn wall_ns,
        mono_ns; /* NULL: the system's. With ML_CLOCK_HOST wall_ns is the engine's time */
    void *clock_ud;
    ml_log_fn log;
    void *log_ud; /* NULL: dropped */
    ml_event_fn event;
    void *event_ud;              /* NULL: none */
    const char *task_queue;      /* NULL: "default"; on a server that is served only when a workflow
                                    names no other, or there is none */
    size_t cache_runs;           /* 0: 1000 */
    size_t run_memory_bytes;     /* limit of one run's Lua state, 0: 64 MiB */
    uint64_t run_instructions;   /* limit of one activation, 0: 200 million */
    size_t activity_slots;       /* 0: 1000 */
    int stdio;                   /* plain scripts write to stdout and stderr themselves */
    const ml_temporal *temporal; /* NULL: the embedded engine on `path`; borrowed during ml_open */
} ml_config;

ML_API void ml_config_init(ml_config *c); /* all defaults */
ML_API void ml_set_allocator(ml_alloc_fn fn,
                             void *ud); /* process-wide, before anything is opened; NULL: malloc */
ML_API int ml_open(const ml_config *c, ml_host **out);
ML_API void ml_close(ml_host *h); /* orderly: ends attempts as WorkerShutdown, commits, frees */
ML_API const char *ml_error(const ml_host *h); /* text of the last failed call; never NULL */
ML_API const char *ml_open_error(void);        /* text of the last failed ml_open of this thread */
ML_API const char *ml_version(void);
ML_API int64_t ml_parse_time(const char *iso); /* wall ns of an ISO 8601 time; 0 when it is none */
ML_API int ml_attached(const ml_host *h); /* 1: verbs go to another process that owns the file */

/* ---- running ---- */
/* Does what is due for at most budget_ns, never waits; returns 1 when more is ready at once, 0 when
 * not, or a negative code. */
ML_API int ml_step(ml_host *h, int64_t budget_ns);
ML_API int ml_wait_fd(ml_host *h); /* readable when ml_step has work */
ML_API int64_t
ml_wait_ns(ml_host *h); /* how long ml_step will have nothing to do: ns, -1 until something comes */
/* Steps and waits until ml_stop, or until `while_fn` (may be NULL) returns 0; it is asked after
 * every turn. With a NULL while_fn it also returns when no driven run can go on (1: some wait for a
 * message or are blocked; 0: all ended). */
ML_API int ml_run(ml_host *h, int (*while_fn)(void *ud), void *ud);
ML_API void ml_stop(ml_host *h); /* safe from any thread and from signal handlers */
/* 0: nothing of the driven runs can go on without a message from outside; 1: work in flight; 2:
 * waiting for time. */
ML_API int ml_idle_state(ml_host *h);
ML_API enum ml_clock ml_clock_mode(ml_host *h); /* REAL, VIRTUAL or HOST; FILE when attached */
ML_API void ml_drive(ml_host *h,
                     const char *workflow_id); /* the run's tree is driven from now on; NULL: all */
/* Calls fn(ud) on the host's thread in a later step. Safe from any thread. */
ML_API int ml_post(ml_host *h, void (*fn)(void *ud), void *ud);

/* What this process holds now, for displays, tuning and the search for leaks. All 0 when another
 * process has the file; from workflow_slots on 0 without a Temporal server. */
typedef struct ml_holdings {
    size_t runs, run_bytes;      /* workflow runs in memory, bytes of their Lua states */
    size_t tasks;                /* workflow tasks in hand */
    size_t activities, locals;   /* attempts of activities and of local activities in hand */
    size_t coroutines;           /* of activities */
    uint64_t tasks_ended;        /* since the host was opened */
    uint64_t attempts_ended;     /* of activities and local activities */
    size_t workflow_slots;       /* free */
    size_t activity_slots;       /* free */
    size_t polls, requests;      /* open at the server; a request is what is not a poll */
    size_t streams, connections; /* of HTTP/2 */
} ml_holdings;
ML_API void ml_holds(ml_host *h, ml_holdings *out);

/* ---- scripts ---- */
typedef struct ml_load_result {
    int code;         /* ML_OK, ML_E_SCRIPT, ML_E_NOTFOUND, ML_E_EXISTS */
    int is_program;   /* it acted before defining anything and has run as a plain program */
    int exit_code;    /* of the program */
    const char *text; /* error text */
    const char *definitions_json; /* [{kind, name, taskQueue, line}] */
} ml_load_result;
typedef void (*ml_load_fn)(void *ud, const ml_load_result *r);
/* program_args NULL: a plain program is an error; else it is run with them (argc strings) in the
 * global `arg`. When attached, the owner loads it. */
ML_API int ml_load(ml_host *h, const char *path, const char *const *program_args, size_t argc,
                   ml_load_fn fn, void *ud);
/* A worker of a deployment without a build id: its build is the digest of all that is loaded now,
 * and it polls from here on. In other hosts it does nothing. */
ML_API int ml_serve(ml_host *h);
/* A C function as an activity. It answers once, now or later, with ml_activity_done. */
typedef void (*ml_activity_fn)(void *ud, ml_host *h, uint64_t call,
                               const char *args_json /* array */);
ML_API int ml_register_activity(ml_host *h, const char *name, ml_activity_fn fn, void *ud);
/* failure_type NULL: completed with json; else failed with type and json as the message text.
 * ML_E_NOMEM: it is not answered yet. */
ML_API int ml_activity_done(ml_host *h, uint64_t call, const char *json, const char *failure_type,
                            int retryable);

/* ---- serving HTTP: the routes that scripts define with ml.api ---- */
typedef struct ml_http_options {
    const char *address;              /* IPv4 or IPv6; NULL: 127.0.0.1 */
    int port;                         /* 0: a free one */
    const char *cert_file, *key_file; /* PEM; NULL: no TLS */
    size_t connections_max;           /* open at once; 0: 12000 */
    size_t body_max_bytes;            /* of a request, where its route says nothing; 0: 1 MiB */
} ml_http_options;
/* Listens from now on, for the scripts that are loaded and those to come. *port (may be NULL):
 * where.
 */
ML_API int ml_http_open(ml_host *h, const ml_http_options *o, int *port);
/* Accepts nothing more and lets what runs end; fn is called once, when no connection is left or the
 * time is over: `left` requests are then without an answer. */
ML_API int ml_http_drain(ml_host *h, int64_t time_ns, void (*fn)(void *ud, int left), void *ud);

/* ---- verbs: asynchronous; the reply comes during a later ml_step, exactly once ---- */
typedef struct ml_reply {
    int code;         /* ML_OK or a negative code */
    const char *text; /* error text, "" when fine */
    const char *workflow_id, *run_id;
    const char *status; /* "Running", "Completed", "Failed", "Canceled", "Terminated", "TimedOut",
                           "ContinuedAsNew", "Blocked"; "" when unknown */
    const char *json;   /* the result, list, history, report ... ; NULL when none */
    const char *failure_json; /* {type, message, retryable, details, cause}; NULL when none */
    int existing;             /* start: it was there already */
    const char *next_page; /* list: where the next page begins (its filter's `page`); NULL: none */
} ml_reply;
typedef void (*ml_reply_fn)(void *ud, const ml_reply *r);

typedef struct ml_start_options {
    const char *workflow; /* type; NULL: the only one, or the one named as the file */
    const char *script;   /* whose workflow it is when several are loaded; NULL: any */
    const char *id; /* NULL: generated, or the one open run of the same entry, workflow and input
                       when resume is set */
    const char *input_json; /* NULL: no argument */
    const char *request_id; /* NULL: made */
    const char
        *options_json; /* {taskQueue, memo, searchAttributes, executionTimeout, runTimeout, cron,
                          startDelay, retry, idReusePolicy, idConflictPolicy; on a Temporal server
                          also taskTimeout, summary, details, priority: {key, fairnessKey, weight},
                          version: {deployment, build} | "auto_upgrade"}; NULL: none */
    int resume; /* as `moonloop run`: an open run goes on, of a closed id the result stands; another
                   input is ML_E_EXISTS */
    int drive;  /* drive its tree */
} ml_start_options;
ML_API int ml_start(ml_host *h, const ml_start_options *o, ml_reply_fn fn, void *ud);
ML_API int ml_signal(ml_host *h, const char *id, const char *run_id, const char *name,
                     const char *input_json, const char *request_id, ml_reply_fn fn, void *ud);
ML_API int ml_query(ml_host *h, const char *id, const char *run_id, const char *name,
                    const char *args_json /* array or NULL */, ml_reply_fn fn, void *ud);
ML_API int ml_update(ml_host *h, const char *id, const char *run_id, const char *name,
                     const char *args_json, const char *update_id, int wait_completed,
                     ml_reply_fn fn, void *ud);
ML_API int ml_cancel(ml_host *h, const char *id, const char *run_id, const char *reason,
                     ml_reply_fn fn, void *ud);
ML_API int ml_terminate(ml_host *h, const char *id, const char *run_id, const char *reason,
                        ml_reply_fn fn, void *ud);
ML_API int ml_result(ml_host *h, const char *id, const char *run_id, int wait, ml_reply_fn fn,
                     void *ud);
ML_API int ml_list(ml_host *h, const char *filter_json /* {status, type, idPrefix, limit, page; on a
                                                          Temporal server also query} or NULL */
                   ,
                   ml_reply_fn fn, void *ud);
/* The same filter; json: {byStatus: {Running: n ...}, blocked, count}. */
ML_API int ml_count(ml_host *h, const char *filter_json, ml_reply_fn fn, void *ud);
/* The run and its history are gone. */
ML_API int ml_delete(ml_host *h, const char *id, const char *run_id, ml_reply_fn fn, void *ud);
ML_API int ml_describe(ml_host *h, const char *id, const char *run_id, ml_reply_fn fn, void *ud);
ML_API int ml_history(ml_host *h, const char *id, const char *run_id, ml_reply_fn fn,
                      void *ud); /* json: Temporal's history JSON */
ML_API int ml_complete_activity(ml_host *h, const char *token, const char *json,
                                const char *failure_json, ml_reply_fn fn, void *ud);
ML_API int ml_reset(ml_host *h, const char *id, const char *run_id, int64_t event_id,
                    const char *reason, ml_reply_fn fn, void *ud);
/* json: {ok, events, batches, error, event, drift}; code ML_E_NONDETERMINISM when it does not
 * match. Encrypted payloads are opened with the codec of the host's server, else with the keys of
 * MOONLOOP_CODEC_KEYS_FILE or MOONLOOP_CODEC_KEYS. */
ML_API int ml_replay(ml_host *h, const char *history_json, const char *script_path, ml_reply_fn fn,
                     void *ud);
/* A verb by its name, with its arguments as a JSON object (NULL: none): those of the boundary.
 * token_create {name, scopes, rate, credits}, token_list, token_revoke {id}, token_credits {id,
 * amount}, audit_list {after, limit}, audit_verify; mcp {message, key, script}: an MCP message for
 * a loaded script, mcp_cancel {key}; replay {history, script, codecKeys: a file}. ML_E_ARG: there
 * is no such verb. */
ML_API int ml_ask(ml_host *h, const char *verb, const char *args_json, ml_reply_fn fn, void *ud);
/* Facts about the file, the machine and the libraries, with warnings: {checks: [{name, ok, text}],
 * ...}. */
ML_API int ml_doctor(ml_host *h, ml_reply_fn fn, void *ud);

/* ---- snapshots (durability SNAPSHOT; also a consistent copy of a file) ---- */
ML_API int ml_save(ml_host *h, const char *path); /* blocks; written beside and renamed;
                                                     not over the host's own file */
ML_API int ml_restore(ml_host *h,
                      const char *path); /* SNAPSHOT hosts without open tasks: replaces the content.
                                            ML_E_BUSY inside a reply or an event: ml_post it */

#ifdef __cplusplus
}
#endif
#endif
