/* The whole file: copies, replacing the content of an in-memory store, and the full check. A copy
 * is never seen half done: it is written beside, synced and renamed. Called by the host on the
 * owner's thread. */
#include "base/rng.h"
#include "store/store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Copies all of `from` into `to`; both are open. */
static int copy_content(struct conn *from, struct conn *to, struct err *e, const char *what)
{
    sqlite3_backup *b = sqlite3_backup_init(to->db, "main", from->db, "main");
    if (!b) {
        return conn_error(to, sqlite3_errcode(to->db), e, what);
    }
    int rc;
    int tries = 0;
    do {
        rc = sqlite3_backup_step(b, -1);
    } while ((rc == SQLITE_BUSY || rc == SQLITE_LOCKED) &&
             ++tries < 3); /* each try waits by the busy timeout */
    int end = sqlite3_backup_finish(b);
    if (rc != SQLITE_DONE || end) {
        return conn_error(to, rc != SQLITE_DONE ? rc : end, e, what);
    }
    return 0;
}

static int io_error(struct err *e, const char *what, const char *path)
{
    int code = errno == ENOSPC || errno == EDQUOT ? ERR_FULL : errno == ENOMEM ? ERR_NOMEM : ERR_IO;
    return err_set(e, code, "%s %s: %s", what, path, strerror(errno));
}

static int sync_path(const char *path, int flags, struct err *e)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) {
        return io_error(e, "cannot open", path);
    }
    int rc = fsync(fd);
    int code = rc ? io_error(e, "cannot sync", path) : 0;
    close(fd);
    return code;
}

static int make_beside(const char *path, char *temp, size_t cap, struct err *e)
{
    for (int i = 0; i < 16; i++) {
        uint32_t r = 0;
        if (entropy_fill(&entropy_system, &r, sizeof r)) {
            return err_set(e, ERR_IO, "no randomness from the system");
        }
        int n = snprintf(temp, cap, "%s.%08x.tmp", path, r);
        if (n < 0 || (size_t)n >= cap) {
            return err_set(e, ERR_ARG, "the file name is too long: %.200s", path);
        }
        int fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0) {
            close(fd);
            return 0;
        }
        if (errno != EEXIST) {
            return io_error(e, "cannot make", temp);
        }
    }
    return err_set(e, ERR_IO, "cannot find a free name beside %s", path);
}

int store_copy_to(struct store *s, const char *path, struct err *e)
{
    char temp[4096], folder[4096];
    struct conn to = {0};
    int code = make_beside(path, temp, sizeof temp, e);
    if (code) {
        return code;
    }
    snprintf(folder, sizeof folder, "%s", path);
    /* No vfs: a copy lies on the ordinary file system. Its journal is of no use, as a failed copy
     * is thrown away. */
    struct conn_opts o = {.path = temp, .write = true};
    code = conn_open(&to, &o, e);
    if (!code && conn_exec(&to, "PRAGMA synchronous=OFF")) {
        code = err_set(e, ERR_IO, "%s: cannot be prepared for a copy", temp);
    }
    code = code ? code : copy_content(store_read_conn(s), &to, e, path);
    conn_close(&to);
    code = code ? code : sync_path(temp, O_RDONLY, e);
    if (!code && rename(temp, path)) {
        code = io_error(e, "cannot rename the copy to", path);
    }
    if (!code) {
        return sync_path(dirname(folder), O_RDONLY | O_DIRECTORY, e);
    }
    unlink(temp);
    return code;
}

int store_load_from(struct store *s, const char *path, struct err *e)
{
    if (!s->memory) {
        return err_set(e, ERR_UNSUPPORTED, "only an in-memory store can be loaded from a file");
    }
    if (!store_idle(s) || s->reads_open) {
        return err_set(e, ERR_BUSY, "the store is in use");
    }
    struct conn from = {0}, fresh_conn = {0};
    int version = 0;
    bool fresh = false;
    struct conn_opts o = {.path = path},
                     mem = {.path = ":memory:", .write = true, .create = true, .fast = s->fast};
    if (access(path, R_OK)) {
        return io_error(e, "cannot read", path);
    }
    int code = conn_open(&from, &o, e);
    code = code ? code : conn_verify(&from, path, s->known, true, &version, &fresh, e);
    if (!code && fresh) {
        code = err_set(e, ERR_CORRUPT, "%s is empty", path);
    }
    /* Into a new one, so that the old content stays when this fails half way. */
    code = code ? code : conn_open(&fresh_conn, &mem, e);
    code = code ? code : copy_content(&from, &fresh_conn, e, path);
    code = code ? code : store_migrate(s, &fresh_conn, version, false, e);
    code = code ? code : conn_trust(&fresh_conn, &mem, e);
    conn_close(&from);
    if (code) {
        conn_close(&fresh_conn);
        return code;
    }
    conn_close(&s->writer);
    s->writer = fresh_conn;
    return 0;
}

int store_check(struct store *s, struct err *e)
{
    struct conn *c = store_read_conn(s);
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(c->db, "PRAGMA integrity_check(10)", -1, &st, NULL);
    int code = 0;
    while (!rc && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        rc = SQLITE_OK;
        if (text && strcmp(text, "ok") == 0) {
            continue;
        }
        if (code) {
            char so_far[sizeof e->text];
            snprintf(so_far, sizeof so_far, "%s", e ? e->text : "");
            err_set(e, ERR_CORRUPT, "%.700s; %.200s", so_far, text ? text : "?");
        } else {
            code = err_set(e, ERR_CORRUPT, "%s is damaged: %.300s", s->path, text ? text : "?");
        }
    }
    if (!code && rc != SQLITE_DONE) {
        code = conn_error(c, rc, e, s->path);
    }
    sqlite3_finalize(st);
    return code;
}
