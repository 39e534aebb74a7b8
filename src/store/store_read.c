/* Reads on the owner's thread, of what is committed. A statement that an open read uses is not
 * handed to a second one: that gets its own. Files are read through a second connection, which
 * never writes or checkpoints. */
#include "store/store_internal.h"
#include <assert.h>

struct store_read {
    struct store *store;
    struct cached *cached; /* or, when the cached one is taken: */
    sqlite3_stmt *st;
    struct store_read *next;
};

static int prepare(struct conn *c, const char *sql, struct store_read *r)
{
    struct cached *s;
    int rc = conn_stmt(c, sql, &s);
    if (rc) {
        return rc;
    }
    if (!s->busy) {
        s->busy = true;
        r->cached = s;
        r->st = s->st;
        return SQLITE_OK;
    }
    return sqlite3_prepare_v2(c->db, sql, -1, &r->st, NULL);
}

int store_read_open(struct store *s, struct store_read **out, struct err *e, const char *sql,
                    const char *types, ...)
{
    struct store_read *r = s->reads_free;
    if (r) {
        s->reads_free = r->next;
    } else {
        r = mem_alloc(sizeof *r);
        if (!r) {
            return err_set(e, ERR_NOMEM, "reading: out of memory");
        }
    }
    *r = (struct store_read){.store = s};
    s->reads_open++;
    struct conn *c = store_read_conn(s);
    int rc = prepare(c, sql, r);
    if (!rc && (int)strlen(types) != sqlite3_bind_parameter_count(r->st)) {
        store_read_close(r);
        return err_set(e, ERR_ARG, "%zu values do not fit the statement: %.200s", strlen(types),
                       sql);
    }
    if (!rc) {
        va_list ap;
        va_start(ap, types);
        rc = values_bind(r->st, types, ap);
        va_end(ap);
    }
    if (rc) {
        int code = conn_error(c, rc, e, "reading");
        store_read_close(r);
        return code;
    }
    *out = r;
    return 0;
}

int store_read_next(struct store_read *r)
{
    int rc = sqlite3_step(r->st);
    if (rc == SQLITE_ROW) {
        return 1;
    }
    if (rc == SQLITE_DONE) {
        return 0;
    }
    int code = conn_code(store_read_conn(r->store)->db, rc);
    if (r->store->log) {
        log_printf(r->store->log, LOG_ERROR, "reading failed: %s",
                   sqlite3_errmsg(store_read_conn(r->store)->db));
    }
    return code ? code : ERR_IO;
}

int64_t store_read_i64(struct store_read *r, int col)
{
    return sqlite3_column_int64(r->st, col);
}

double store_read_double(struct store_read *r, int col)
{
    return sqlite3_column_double(r->st, col);
}

struct str store_read_str(struct store_read *r, int col)
{
    if (sqlite3_column_type(r->st, col) == SQLITE_NULL) {
        return (struct str){NULL, 0};
    }
    const void *p = sqlite3_column_type(r->st, col) == SQLITE_BLOB
                        ? sqlite3_column_blob(r->st, col)
                        : (const void *)sqlite3_column_text(r->st, col);
    return str_make(p ? p : "", p ? (size_t)sqlite3_column_bytes(r->st, col) : 0);
}

bool store_read_null(struct store_read *r, int col)
{
    return sqlite3_column_type(r->st, col) == SQLITE_NULL;
}

void store_read_close(struct store_read *r)
{
    if (!r) {
        return;
    }
    struct store *s = r->store;
    if (r->cached) {
        sqlite3_reset(r->st);
        sqlite3_clear_bindings(r->st); /* the copies of what was bound */
        r->cached->busy = false;
    } else {
        sqlite3_finalize(r->st);
    }
    s->reads_open--;
    if (s->reads_free) {
        mem_free(r);
    } else {
        s->reads_free = r;
        r->next = NULL;
    }
}
