/* The SQLite file: open, migrations, one writer with group commit, reads.
 *
 * Only the writer writes and checkpoints. It applies groups of batches: all batches that are queued
 * when it looks become one transaction (each batch its own savepoint where it has guards), one
 * commit, then each is answered. In a threaded store the writer is a thread and answers come by
 * store_drain() on the owner's thread after `wake` was called; unthreaded (hosts without threads,
 * in-memory files) store_drain() itself applies what is queued. A batch is statements with bound
 * values; this room does not know what they mean. */
#ifndef ML_STORE_STORE_H
#define ML_STORE_STORE_H
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

struct store;
struct store_batch;
struct store_read;

/* Schema steps, applied in order of version inside one transaction each; a version recorded in the
 * file that is larger than all known ones is ERR_NEWER. Versions start at 1 without gaps over all
 * rooms' steps together. */
struct store_migration {
    int version;
    const char *sql;
};

struct store_opts {
    const char *path; /* file name, or ":memory:" (unthreaded, one connection) */
    const char
        *vfs;  /* SQLite VFS name, NULL: the default (tests: the faulty one of store/vfs_fault.h) */
    bool fast; /* synchronous=NORMAL instead of FULL */
    bool threaded;
    int64_t here_ns; /* a commit that takes longer is the thread's (store_commit); 0: 1 ms */
    bool read_only;  /* no writer, no migrations; for looking at a file that another process owns */
    const struct store_migration *migrations;
    size_t n_migrations;
    void (*wake)(
        void *ud); /* from the writer thread: call store_drain soon on your thread. Unthreaded
                      stores never call it: drain in each turn while !store_idle(). */
    void *wake_ud;
    const struct log *log;
};
/* ERR_IO, ERR_FULL, ERR_CORRUPT (never overwritten), ERR_NEWER, ERR_NOMEM with text. Created with
 * mode 0600. */
int store_open(const struct store_opts *opts, struct store **out, struct err *e);
void store_close(struct store *s); /* applies what is queued, answers it, checkpoints, closes */

/* ---- writing ---- */
enum store_answer_kind { STORE_DURABLE, STORE_GUARD, STORE_STORAGE };
struct store_answer {
    enum store_answer_kind kind;
    int guard;       /* which guard failed, from 0 */
    struct err err;  /* for STORE_STORAGE: ERR_FULL, ERR_IO, ERR_CORRUPT, ERR_NOMEM, ERR_BUSY
                        (another process writes);  ERR_FAILED: a statement of this batch is wrong;
                        ERR_LIMIT, ERR_ARG: it could not be built;  ERR_CLOSED, ERR_UNSUPPORTED: the
                        store is closing, or for reading only. After an ERR_IO the  batch is either
                        whole or absent when the file is next opened: look, do not assume. */
    int64_t changes; /* rows changed by the last statement */
};
typedef void (*store_answer_fn)(void *ud, const struct store_answer *a);

struct store_batch *
store_batch_new(struct store *s); /* owned until submitted or freed; NULL out of memory */
void store_batch_free(struct store_batch *b);
/* Adds a statement. `sql` must be a string literal or live as long as the store (it keys the
 * statement cache). `types` tells the values that follow: i int64_t, s struct str (text), b struct
 * str (blob), z const char *, n null, d double. Values are copied. {NULL,0} binds null. Failure is
 * sticky and reported at submit. */
void store_batch_add(struct store_batch *b, const char *sql, const char *types, ...);
/* A guard: the statement must change a row (INSERT/UPDATE/DELETE) or return one (SELECT), else the
 * whole batch is undone. A guard that breaks a constraint has failed too. */
void store_batch_guard(struct store_batch *b, const char *sql, const char *types, ...);
/* Appends all of `from` to `b` and frees `from` (the opaque batch of a caller joins a transition).
 */
void store_batch_join(struct store_batch *b, struct store_batch *from);
/* The same with a copy: for an owner who may have to do it again. */
void store_batch_append(struct store_batch *b, const struct store_batch *from);
/* Takes the batch. The answer always comes, on the owner's thread, from store_drain (never inside
 * this call). fn may be NULL. */
void store_submit(struct store *s, struct store_batch *b, store_answer_fn fn, void *ud);
void store_drain(
    struct store *s); /* delivers answers; unthreaded: applies the queued group first */
/* On: the writer's thread is not woken for a lone batch until store_kick or store_commit. For an
 * owner that may have nothing else to do than to wait for the commit: then it commits by itself,
 * which saves two changes of thread. Off: wakes it for what waits. Unthreaded stores ignore all
 * three. */
void store_hold(struct store *s, bool on);
void store_kick(struct store *s); /* wakes the thread for what waits */
/* The owner would only wait now. True: it has committed what waited, answers are ready for
 * store_drain. False: nothing waits, or it is the thread's (which is at work, or commits have not
 * been quick of late), which is woken. */
bool store_commit(struct store *s);
bool store_idle(const struct store *s);         /* nothing queued or unanswered */
int64_t store_submitted(const struct store *s); /* batches so far */
void store_flush(struct store *s); /* blocks until everything submitted so far is answered */

/* ---- reading (owner's thread; sees committed state) ----
 * Values are copied, the statement's text must live as long as the store. Close every read before
 * store_close. */
int store_read_open(struct store *s, struct store_read **out, struct err *e, const char *sql,
                    const char *types, ...);
int store_read_next(struct store_read *r); /* 1 a row, 0 no more, negative code */
int64_t store_read_i64(struct store_read *r, int col);
double store_read_double(struct store_read *r, int col);
struct str store_read_str(struct store_read *r,
                          int col); /* text or blob; {NULL,0} for null; borrowed until next/close */
bool store_read_null(struct store_read *r, int col);
void store_read_close(struct store_read *r); /* NULL is fine */

/* ---- the whole file ---- */
int store_copy_to(struct store *s, const char *path,
                  struct err *e); /* a consistent copy, written beside and renamed */
int store_load_from(struct store *s, const char *path,
                    struct err *e);              /* in-memory stores: replaces the content */
int store_check(struct store *s, struct err *e); /* integrity_check */
const char *store_sqlite_version(void);
int64_t store_file_bytes(struct store *s);

#endif
