/* Opening and closing: the file is looked at before anything is written to it, a new one is made
 * with mode 0600, and schema steps are applied in order. Called by the engine and the host. */
#include "base/fault.h"
#include "store/store_internal.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int on_wal(void *ud, sqlite3 *db, const char *name, int frames)
{
    struct store *s = ud;
    (void)db;
    (void)name;
    if (frames < s->wal_frames || s->wal_done) {
        s->ckpt_at =
            STORE_WAL_BYTES_MAX / (s->page_size > 0 ? s->page_size : 4096); /* the log began anew */
    }
    s->wal_frames = frames;
    s->wal_done = false;
    return SQLITE_OK;
}

static void sync_folder(const char *path)
{
    char *copy = str_dup(str_of(path));
    if (!copy) {
        return;
    }
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    mem_free(copy);
}

/* A missing file is made here, for its mode; an existing one is never opened here, because closing
 * it again would drop the locks that another connection of this process holds on it. */
static int make_file(const char *path, struct err *e)
{
    struct stat st;
    if (stat(path, &st) == 0) {
        return S_ISDIR(st.st_mode) ? err_set(e, ERR_IO, "%s is a folder, not a database file", path)
                                   : 0;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        int code = errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
        return errno == EEXIST ? 0 : err_set(e, code, "cannot make %s: %s", path, strerror(errno));
    }
    close(fd);
    sync_folder(path);
    return 0;
}

/* ---- migrations ---- */

static int migrate_steps(struct store *s, struct conn *c, int from, int upto, bool fresh)
{
    char sql[160];
    int rc = 0;
    if (fresh) {
        snprintf(sql, sizeof sql, "PRAGMA application_id=%d", STORE_APPLICATION_ID);
        rc = conn_exec(c, sql);
        rc =
            rc ? rc
               : conn_exec(c, "CREATE TABLE store_meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID");
    }
    for (int v = from + 1; v <= upto && !rc; v++) {
        rc = conn_exec(c, s->migrations[v - 1].sql);
    }
    snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO store_meta(key,value) VALUES('needs','%s')",
             ML_PROGRAM_VERSION);
    rc = rc ? rc : conn_exec(c, sql);
    snprintf(sql, sizeof sql, "PRAGMA user_version=%d", upto);
    return rc ? rc : conn_exec(c, sql);
}

static int migrate(struct store *s, struct conn *c, int from, int upto, bool fresh, struct err *e)
{
    int rc = conn_exec(c, "BEGIN IMMEDIATE");
    rc = rc ? rc : migrate_steps(s, c, from, upto, fresh);
    rc = rc ? rc : conn_exec(c, "COMMIT");
    if (!rc) {
        return 0;
    }
    char what[300];
    snprintf(what, sizeof what, "%.200s: bringing the schema from %d to %d", s->path, from, upto);
    int code = conn_error(c, rc, e, what);
    if (!sqlite3_get_autocommit(c->db)) {
        conn_exec(c, "ROLLBACK");
    }
    return code;
}

int store_migrate(struct store *s, struct conn *c, int version, bool fresh, struct err *e)
{
    if (fresh) { /* a new file: all at once, one commit */
        return migrate(s, c, 0, s->known, true, e);
    }
    for (int v = version; v < s->known; v++) {
        int code = migrate(s, c, v, v + 1, false, e);
        if (code) {
            return code;
        }
    }
    return 0;
}

/* ---- connections ---- */

int store_open_writer(struct store *s, bool whole, struct err *e)
{
    struct conn_opts o = {
        .path = s->path, .vfs = s->vfs, .write = true, .create = s->memory, .fast = s->fast};
    int version = 0;
    bool fresh = false;
    int code = conn_open(&s->writer, &o, e);
    code = code ? code : conn_verify(&s->writer, s->path, s->known, whole, &version, &fresh, e);
    if (!code && fresh) {
        /* Before there is a write-ahead log: a file that is empty beside a log is taken for damaged
         * by everybody, and would be one if this first commit failed half way. */
        code = store_migrate(s, &s->writer, version, fresh, e);
        version = s->known;
    }
    code = code ? code : conn_trust(&s->writer, &o, e);
    if (!code) {
        int64_t page = 0;
        conn_i64(&s->writer, "PRAGMA page_size", &page);
        s->page_size = (int)page;
        s->wal_frames = 0;
        s->wal_room = 0;
        s->wal_done = true;
        if (!s->memory) {
            sqlite3_wal_hook(s->writer.db, on_wal, s);
        }
        code = store_migrate(s, &s->writer, version, false, e);
    }
    if (code && s->writer.db) {
        sqlite3_db_config(s->writer.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        conn_close(&s->writer);
    }
    return code;
}

static int open_reader(struct store *s, struct err *e)
{
    struct conn_opts o = {.path = s->path, .vfs = s->vfs};
    int version;
    bool fresh;
    int code = conn_open(&s->reader, &o, e);
    if (!code && s->read_only) {
        code = conn_verify(&s->reader, s->path, s->known, false, &version, &fresh, e);
        if (!code && fresh) {
            code =
                err_set(e, ERR_NOTFOUND, "%s is empty: no moonloop has written to it yet", s->path);
        }
    }
    return code;
}

static int take_options(struct store *s, const struct store_opts *o, struct err *e)
{
    s->memory = strcmp(o->path, ":memory:") == 0;
    s->fast = o->fast;
    s->here_ns = o->here_ns ? o->here_ns : STORE_HERE_NS;
    s->threaded = o->threaded && !s->memory && !o->read_only;
    s->read_only = o->read_only;
    s->migrations = o->migrations;
    s->known = (int)o->n_migrations;
    s->wake = o->wake;
    s->wake_ud = o->wake_ud;
    s->log = o->log;
    s->path = str_dup(str_of(o->path));
    s->vfs = o->vfs ? str_dup(str_of(o->vfs)) : NULL;
    if (!s->path || (o->vfs && !s->vfs)) {
        return err_set(e, ERR_NOMEM, "%s: out of memory", o->path);
    }
    for (size_t i = 0; i < o->n_migrations; i++) {
        if (o->migrations[i].version != (int)i + 1) {
            return err_set(e, ERR_ARG, "schema step %zu has the version %d", i + 1,
                           o->migrations[i].version);
        }
    }
    for (int i = 0; i < 8; i++) { /* so that running out of memory can be answered */
        struct store_batch *b = mem_zalloc(sizeof *b);
        if (!b) {
            return err_set(e, ERR_NOMEM, "%s: out of memory", o->path);
        }
        b->store = s;
        b->reserved = true;
        b->next = s->reserve;
        s->reserve = b;
    }
    return 0;
}

static void free_batches(struct store_batch *b)
{
    while (b) {
        struct store_batch *next = b->next;
        mem_free(b->p);
        mem_free(b);
        b = next;
    }
}

static void free_store(struct store *s)
{
    free_batches(s->pool);
    free_batches(s->reserve);
    mem_free(s->reads_free);
    conn_close(&s->reader);
    conn_close(&s->writer); /* the last connection: it checkpoints and removes the log */
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->done_cond);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->path);
    mem_free(s->vfs);
    mem_free(s);
}

int store_open(const struct store_opts *opts, struct store **out, struct err *e)
{
    store_sqlite_once();
    struct store *s = mem_zalloc(sizeof *s);
    if (!s) {
        return err_set(e, ERR_NOMEM, "%s: out of memory", opts->path);
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, &attr);
    pthread_cond_init(&s->done_cond, &attr);
    pthread_condattr_destroy(&attr);

    int code = take_options(s, opts, e);
    if (!code && !s->read_only) {
        code = s->memory ? 0 : make_file(s->path, e);
        code = code ? code : store_open_writer(s, false, e);
    }
    if (!code && !s->memory) {
        code = open_reader(s, e);
    }
    if (!code && s->threaded) {
        code = writer_start(s, e);
    }
    if (code) {
        if (s->writer.db) {
            sqlite3_db_config(s->writer.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        }
        free_store(s);
        return code;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s) {
        return;
    }
    s->closing = true; /* what answers submit from now on is refused */
    while (!store_idle(s)) {
        store_flush(s);
    }
    writer_stop(s);
    assert(s->reads_open == 0);
    conn_close(&s->reader);
    if (s->writer.db && !s->memory) {
        FAULT("store.close");
    }
    free_store(s);
}

int64_t store_file_bytes(struct store *s)
{
    if (s->memory) {
        int64_t pages = 0, size = 0;
        conn_i64(&s->writer, "PRAGMA page_count", &pages);
        conn_i64(&s->writer, "PRAGMA page_size", &size);
        return pages * size;
    }
    struct stat st;
    char name[4096];
    int64_t n = stat(s->path, &st) == 0 ? st.st_size : 0;
    int len = snprintf(name, sizeof name, "%s-wal", s->path);
    if (len > 0 && (size_t)len < sizeof name && stat(name, &st) == 0) {
        n += st.st_size;
    }
    return n;
}
