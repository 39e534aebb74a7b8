/* SQL on a user's own SQLite file: parameters only, off the loop (thread pool), one connection per
 * file, statements in order. Rows come back as bytes in a simple tagged form that the script seam
 * decodes. */
#ifndef ML_STORE_SQLFILE_H
#define ML_STORE_SQLFILE_H
#include "base/buf.h"
#include "base/loop.h"

struct sqlfile;
enum sqlfile_kind { SQLFILE_NULL = 0, SQLFILE_INT, SQLFILE_REAL, SQLFILE_TEXT, SQLFILE_BLOB };
struct sqlfile_value {
    enum sqlfile_kind kind;
    int64_t i;
    double d;
    struct str s;
};
struct sqlfile_result {
    struct err err; /* code 0: fine; ERR_ARG for SQL errors with SQLite's text, ERR_LIMIT past the
                       row limit */
    size_t columns, rows;
    struct str *names;            /* columns */
    struct sqlfile_value *values; /* rows x columns, row-major */
    int64_t changes, last_id;
};
typedef void (*sqlfile_fn)(void *ud, const struct sqlfile_result *r); /* r borrowed for the call */
int sqlfile_open(struct loop *l, const char *path, struct sqlfile **out, struct err *e);
/* Waits for nothing: what runs is interrupted, it and what is queued are answered ERR_CLOSED inside
 * the call. */
void sqlfile_close(struct sqlfile *f);
/* 0 (fn is then called once, later), ERR_CLOSED, ERR_LIMIT or ERR_NOMEM. Text, values and names are
 * copied; max_rows 0: a million. moonloop's own file is refused (ERR_ARG). One statement, or
 * several separated by ';' when n_params is 0. Named parameters are given as names[i] (":x") else
 * NULL for positional. */
int sqlfile_exec(struct sqlfile *f, struct str sql, const struct sqlfile_value *params,
                 const struct str *names, size_t n_params, size_t max_rows, sqlfile_fn fn,
                 void *ud);

#endif
