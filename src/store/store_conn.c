/* Connections: opening them the same way everywhere, looking at a file before trusting it, and the
 * cache of prepared statements keyed by the address of their text. Until a file is trusted nothing
 * that this file does writes to it. */
#include "base/buf.h"
#include "base/hash.h"
#include "store/store_internal.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

int conn_code(sqlite3 *db, int rc)
{
    if (db && (rc & 0xff) == SQLITE_IOERR) {
        int sys = sqlite3_system_errno(db);
        if (rc == SQLITE_IOERR_NOMEM || sys == ENOMEM) {
            return ERR_NOMEM;
        }
        if (sys == ENOSPC || sys == EDQUOT) {
            return ERR_FULL;
        }
    }
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_INTERRUPT:
        return ERR_CANCELED;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_PROTOCOL:
    case SQLITE_NOLFS:
        return ERR_IO;
    default:
        return ERR_FAILED; /* the statement is wrong: constraint, syntax, type, size */
    }
}

int conn_error(struct conn *c, int rc, struct err *e, const char *what)
{
    int sys = c->db ? sqlite3_system_errno(c->db) : 0;
    const char *text = c->db ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc);
    bool os = sys && ((rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN);
    return err_set(e, conn_code(c->db, rc), "%s: %s%s%s", what, text, os ? ": " : "",
                   os ? strerror(sys) : "");
}

static int damaged(struct err *e, const char *path, const char *how)
{
    return err_set(
        e, ERR_CORRUPT,
        "%s is damaged (%s). It was left as it is: keep it, restore a copy or name another file",
        path, how);
}

/* An error while only looking: what SQLite cannot make sense of is damage too. */
static int look_failed(struct conn *c, int rc, struct err *e, const char *path)
{
    int code = conn_code(c->db, rc);
    return code == ERR_CORRUPT || code == ERR_FAILED ? damaged(e, path, sqlite3_errmsg(c->db))
                                                     : conn_error(c, rc, e, path);
}

static int64_t wal_bytes(const char *path)
{
    char name[4096];
    struct stat st;
    int n = snprintf(name, sizeof name, "%s-wal", path);
    return n > 0 && (size_t)n < sizeof name && stat(name, &st) == 0 ? (int64_t)st.st_size : 0;
}

/* ml_sha256(...): 64 hex digits over all its values, each with its length before it, so that no two
 * lists of values give the same bytes. For chains of rows, which only the writer knows the end of.
 */
static void sql_sha256(sqlite3_context *x, int n, sqlite3_value **v)
{
    struct buf b;
    char hex[SHA256_HEX];
    buf_init(&b, STORE_BATCH_BYTES_MAX);
    for (int i = 0; i < n; i++) {
        if (sqlite3_value_type(v[i]) == SQLITE_NULL) {
            buf_puts(&b, "-:");
            continue;
        }
        const void *p = sqlite3_value_text(v[i]);
        int len = sqlite3_value_bytes(v[i]);
        buf_printf(&b, "%d:", len);
        buf_put(&b, p, p ? (size_t)len : 0);
    }
    if (b.code) {
        sqlite3_result_error_nomem(x);
    } else {
        hash_sha256_hex(buf_str(&b), hex);
        sqlite3_result_text(x, hex, SHA256_HEX - 1, SQLITE_TRANSIENT);
    }
    buf_free(&b);
}

int conn_open(struct conn *c, const struct conn_opts *o, struct err *e)
{
    struct stat st;
    memset(c, 0, sizeof *c);
    if (stat(o->path, &st) == 0 && st.st_size == 0 && wal_bytes(o->path) > 0) {
        /* SQLite would delete the log when it first reads */
        return damaged(e, o->path, "it is empty, but its write-ahead log is not");
    }
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (o->write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) |
                (o->create ? SQLITE_OPEN_CREATE : 0);
    int rc = sqlite3_open_v2(o->path, &c->db, flags, o->vfs);
    if (rc) {
        int code = conn_error(c, rc, e, o->path);
        sqlite3_close(c->db);
        c->db = NULL;
        return code;
    }
    sqlite3_busy_timeout(c->db, STORE_BUSY_MS);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_create_function_v2(c->db, "ml_sha256", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                               sql_sha256, NULL, NULL, NULL);
    sqlite3_wal_autocheckpoint(c->db, 0);
    /* what a reader has cached is out of date after the next commit */
    rc = conn_exec(c, o->write ? "PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA "
                                 "cache_size=-2000"
                               : "PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA "
                                 "cache_size=-500");
    if (rc) {
        int code = look_failed(c, rc, e, o->path);
        conn_close(c);
        return code;
    }
    return 0;
}

void conn_close(struct conn *c)
{
    for (size_t i = 0; i < c->cap; i++) {
        sqlite3_finalize(c->slots[i].st);
    }
    mem_free(c->slots);
    if (c->db) {
        sqlite3_close_v2(c->db);
    }
    memset(c, 0, sizeof *c);
}

int conn_exec(struct conn *c, const char *sql)
{
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL);
}

int conn_i64(struct conn *c, const char *sql, int64_t *out)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);
    if (rc) {
        return rc;
    }
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(st, 0);
        rc = SQLITE_OK;
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_EMPTY;
    }
    sqlite3_finalize(st);
    return rc;
}

/* ---- looking before trusting ---- */

/* The schema names the version that last changed it, so that an older program can say what to use
 * instead. */
static int newer(struct conn *c, const char *path, int version, int known, struct err *e)
{
    char need[64] = "";
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(c->db, "SELECT value FROM store_meta WHERE key='needs'", -1, &st,
                           NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(st, 0);
        snprintf(need, sizeof need, "%s", text ? (const char *)text : "");
    }
    sqlite3_finalize(st);
    return err_set(e, ERR_NEWER,
                   "%s was written by a newer moonloop (its schema is %d, this program, moonloop "
                   "%s, knows up to %d). "
                   "It needs at least moonloop %s; nothing was changed",
                   path, version, ML_PROGRAM_VERSION, known, need[0] ? need : "of a later version");
}

static int check_structure(struct conn *c, const char *path, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(c->db, "PRAGMA quick_check(1)", -1, &st, NULL);
    int code = 0;
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
    }
    if (rc == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        if (!text) {
            code = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        } else if (strcmp(text, "ok") != 0) {
            code = damaged(e, path, text);
        }
    } else {
        code = look_failed(c, rc, e, path);
    }
    sqlite3_finalize(st);
    return code;
}

int conn_verify(struct conn *c, const char *path, int known, bool whole, int *version, bool *fresh,
                struct err *e)
{
    struct stat st;
    bool file = strcmp(path, ":memory:") != 0 && stat(path, &st) == 0;
    int64_t wal = file ? wal_bytes(path) : 0;
    int64_t tables = 0, app = 0, user = 0, page = 0, pages = 0;
    int rc = conn_i64(c, "SELECT count(*) FROM sqlite_schema", &tables);
    rc = rc ? rc : conn_i64(c, "PRAGMA application_id", &app);
    rc = rc ? rc : conn_i64(c, "PRAGMA user_version", &user);
    rc = rc ? rc : conn_i64(c, "PRAGMA page_size", &page);
    rc = rc ? rc : conn_i64(c, "PRAGMA page_count", &pages);
    if (rc) {
        return look_failed(c, rc, e, path);
    }
    if (file && wal == 0 && page > 0 && st.st_size % page != 0) {
        return damaged(e, path, "its end is cut off");
    }
    if (app != STORE_APPLICATION_ID && (app != 0 || tables != 0 || user != 0)) {
        return err_set(e, ERR_CORRUPT,
                       "%s is an SQLite file, but not one of moonloop; it was left as it is", path);
    }
    if (user < 0 || user > INT32_MAX) {
        return damaged(e, path, "its version makes no sense");
    }
    if (user > known) {
        return newer(c, path, (int)user, known, e);
    }
    if (tables != 0 && (whole || pages * page <= STORE_CHECK_BYTES_MAX)) {
        int code = check_structure(c, path, e);
        if (code) {
            return code;
        }
    }
    *version = (int)user;
    *fresh = app == 0;
    return 0;
}

int conn_trust(struct conn *c, const struct conn_opts *o, struct err *e)
{
    bool memory = strcmp(o->path, ":memory:") == 0;
    if (o->write && !memory) {
        sqlite3_stmt *st = NULL;
        int rc = sqlite3_prepare_v2(c->db, "PRAGMA journal_mode=WAL", -1, &st, NULL);
        rc = rc ? rc : sqlite3_step(st);
        const char *mode = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
        bool wal = mode && strcmp(mode, "wal") == 0;
        char is[24];
        snprintf(is, sizeof is, "%s", mode ? mode : "");
        sqlite3_finalize(st);
        if (rc != SQLITE_ROW) {
            return conn_error(c, rc, e, o->path);
        }
        if (!wal) {
            return err_set(
                e, ERR_IO,
                "%s: this file system cannot hold a write-ahead log (journal mode stays %s)",
                o->path, is);
        }
        sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    }
    int rc = conn_exec(c, o->fast ? "PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=16777216"
                                  : "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=16777216");
    if (rc) {
        return conn_error(c, rc, e, o->path);
    }
    sqlite3_wal_autocheckpoint(c->db, 0);
    return 0;
}

/* ---- the statement cache ---- */

static size_t slot_of(const struct conn *c, const char *sql)
{
    uint64_t h = (uint64_t)(uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (size_t)(h >> 32) & (c->cap - 1);
    while (c->slots[i].sql && c->slots[i].sql != sql) {
        i = (i + 1) & (c->cap - 1);
    }
    return i;
}

static int cache_grow(struct conn *c)
{
    struct conn wider = {.db = c->db, .n = c->n, .cap = c->cap ? c->cap * 2 : 128};
    wider.slots = mem_zalloc(wider.cap * sizeof *wider.slots);
    if (!wider.slots) {
        return SQLITE_NOMEM;
    }
    for (size_t i = 0; i < c->cap; i++) {
        if (c->slots[i].sql) {
            wider.slots[slot_of(&wider, c->slots[i].sql)] = c->slots[i];
        }
    }
    mem_free(c->slots);
    *c = wider;
    return SQLITE_OK;
}

int conn_stmt(struct conn *c, const char *sql, struct cached **out)
{
    if (c->n * 2 >= c->cap) {
        int rc = cache_grow(c);
        if (rc) {
            return rc;
        }
    }
    struct cached *s = &c->slots[slot_of(c, sql)];
    if (!s->sql) {
        sqlite3_stmt *st = NULL;
        int rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
        if (rc) {
            return rc;
        }
        if (!st) {
            return SQLITE_MISUSE; /* an empty statement */
        }
        *s = (struct cached){sql, st, sqlite3_bind_parameter_count(st),
                             sqlite3_stmt_readonly(st) != 0, false};
        c->n++;
    }
    *out = s;
    return SQLITE_OK;
}
