/* Inside the store room only: connections with their statement caches, the form of a batch, and the
 * queue. Ownership: `writer` and what is marked so belongs to the writer thread while it runs; the
 * queue is under `lock`; all else belongs to the owner's thread. */
#ifndef ML_STORE_INTERNAL_H
#define ML_STORE_INTERNAL_H
#include "store/store.h"
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>

#define STORE_APPLICATION_ID 0x6d6f6f6e /* "moon", at byte 68 of the file */
#define STORE_BUSY_MS 5000
#define STORE_GROUP_MAX 2048               /* batches in one commit */
#define STORE_BATCH_BYTES_MAX (256u << 20) /* one batch */
#define STORE_POOL_MAX 128                 /* batches kept for the next ones */
#define STORE_POOL_BYTES_MAX (64u << 10)   /* a kept batch's buffer */
#define STORE_WAL_BYTES_MAX (4 << 20)      /* checkpoint at once past this */
#define STORE_WAL_ROOM_FROM (64 << 10)     /* bytes in the log from which on room is made */
#define STORE_WAL_ROOM_STEP (256 << 10)    /* at most so many at once */
#define STORE_WAL_ROOM_LEFT (32 << 10)     /* make more when less is left */
#define STORE_WAL_BYTES_IDLE (1 << 20)     /* checkpoint when idle past this */
#define STORE_IDLE_NS (20 * NS_PER_MS)
#define STORE_HERE_NS NS_PER_MS         /* a commit that takes longer is the thread's */
#define STORE_CHECK_BYTES_MAX (8 << 20) /* files up to this are checked whole at open */

/* ---- connections (store_conn.c) ---- */
struct cached {
    const char *sql; /* the key: its address */
    sqlite3_stmt *st;
    int params;
    bool readonly;
    bool busy; /* an open read uses it */
};
struct conn {
    sqlite3 *db; /* NULL: closed */
    struct cached *slots;
    size_t n, cap;
};
struct conn_opts {
    const char *path, *vfs;
    bool write; /* may write and checkpoint; else read-only */
    bool create;
    bool fast;
};
/* Opens and sets the connection up; looks at nothing in the file, so nothing is changed by it. It
 * does not checkpoint on close until conn_trust(). */
int conn_open(struct conn *c, const struct conn_opts *o, struct err *e);
/* Reads the file's header and schema and (up to STORE_CHECK_BYTES_MAX, or when `whole`) checks its
 * structure. *version: the last migration; *fresh: nothing is in it yet. ERR_CORRUPT, ERR_NEWER,
 * ERR_IO. */
int conn_verify(struct conn *c, const char *path, int known, bool whole, int *version, bool *fresh,
                struct err *e);
/* Turns WAL and the durability on; `writer`: from now on it checkpoints on close. */
int conn_trust(struct conn *c, const struct conn_opts *o, struct err *e);
void conn_close(struct conn *c);
/* The cached statement of this text. 0 or an SQLite code. */
int conn_stmt(struct conn *c, const char *sql, struct cached **out);
int conn_exec(struct conn *c, const char *sql);              /* SQLite code */
int conn_i64(struct conn *c, const char *sql, int64_t *out); /* SQLite code */
/* Our code for SQLite's; text of the connection's last error into e. */
int conn_code(sqlite3 *db, int rc);
int conn_error(struct conn *c, int rc, struct err *e, const char *what);
void store_sqlite_once(void); /* the allocator, once a process (store_mem.c) */

/* ---- batches (store_batch.c) ----
 * One buffer: an op, its values, each string value followed by its bytes, all aligned to 8. */
enum { VALUE_NULL, VALUE_INT, VALUE_REAL, VALUE_TEXT, VALUE_BLOB };
struct batch_op {
    const char *sql;
    uint32_t n_values;
    uint32_t guard; /* 0 or 1 */
};
struct batch_value {
    uint32_t kind, n;
    union {
        int64_t i;
        double d;
    } v;
};
struct store_batch {
    struct store *store;
    struct store_batch *next;
    store_answer_fn fn;
    void *ud;
    char *p;
    size_t n, cap;
    uint32_t ops, guards, last_guard; /* last_guard: index of the op */
    int code;                         /* sticky failure while building */
    bool reserved;
    enum store_answer_kind kind; /* the answer, written by whoever applies it */
    int guard;
    int err_code;
    int64_t changes;
    char why[240];
};
/* Binds what follows at *at and moves *at past it. The bytes are not copied. SQLite code. */
int batch_bind(sqlite3_stmt *st, uint32_t n_values, const char **at);
int values_bind(sqlite3_stmt *st, const char *types, va_list ap); /* copies; SQLite code */
void batch_answer(struct store_batch *b, enum store_answer_kind kind, int code, const char *why);
/* For callers that could not get a batch: an answer STORAGE/code that comes from store_drain like
 * any other. False when even the reserve is used up. */
bool store_submit_failed(struct store *s, int code, store_answer_fn fn, void *ud);

/* ---- the store ---- */
struct queue {
    struct store_batch *first, *last;
};
void queue_put(struct queue *q, struct store_batch *b);
void queue_join(struct queue *q, struct queue *from); /* from is empty after */

struct store {
    char *path, *vfs;
    bool fast, threaded, read_only, memory, closing;
    int known; /* version of the last migration */
    const struct store_migration *migrations;
    void (*wake)(void *ud);
    void *wake_ud;
    const struct log *log;

    struct conn writer;      /* the writer's */
    bool writer_suspect;     /* the writer's: damage was seen, look before going on */
    int wal_frames, ckpt_at; /* the writer's: frames in the WAL, frames at which to checkpoint */
    int page_size;
    int64_t wal_room; /* the writer's: bytes that the log has on disk, as far as known */
    bool wal_done;    /* the writer's: all frames are in the file */

    struct conn reader; /* in-memory stores read through `writer` */
    struct store_read *reads_free;
    int reads_open;

    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t lock;
    pthread_cond_t work, done_cond;
    struct queue pending, done; /* under lock */
    bool stop, sleeping;        /* under lock */
    bool here, tidying;         /* under lock: the owner commits; the thread looks after the log */
    bool tidy_due, watching;    /* under lock: it should do so; it will before long */
    bool held;                  /* the owner's: what is submitted waits for store_release */
    int64_t here_ns;            /* the owner commits while groups take less than this */
    int64_t commit_ns;          /* under lock: what a group took of late, a moving mean */
    int64_t n_done;             /* under lock: batches that went into `done` */

    struct queue ready; /* being delivered */
    int64_t n_submitted, n_answered;
    struct store_batch *pool, *reserve;
    int n_pool;
};
static inline struct conn *store_read_conn(struct store *s)
{
    return s->memory ? &s->writer : &s->reader;
}

/* ---- the writer (store_writer.c) ---- */
void writer_apply(struct store *s, struct store_batch *group); /* answers each, nothing else */
/* Ends a transaction that failed; closes the connection when it is not to be trusted any more. */
void writer_undo(struct store *s, int rc, bool at_commit);
/* ---- its log (store_log.c) ---- */
void writer_tidy(struct store *s, bool idle); /* checkpoints when it is time, or makes room */
bool writer_log_due(const struct store *s);   /* should the thread do that now? */
bool writer_log_short(const struct store *s); /* too little in it to be worth a checkpoint */
int writer_start(struct store *s, struct err *e);
void writer_stop(struct store *s);
/* store.c: opens (again) the writing connection and migrates; `whole`: check all of the file first.
 */
int store_open_writer(struct store *s, bool whole, struct err *e);
int store_migrate(struct store *s, struct conn *c, int version, bool fresh, struct err *e);

#endif
