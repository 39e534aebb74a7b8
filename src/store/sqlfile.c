/* SQL on a user's own file. One statement runs at a time, in the thread pool, in the order in which
 * they were given; a statement's job holds copies of everything, its result lives in the job's
 * arena until it was handed over on the loop. Between two jobs the connection belongs to the loop's
 * thread, during one to the pool's. */
#include "store/sqlfile.h"
#include "base/mem.h"
#include "store/store_internal.h"
#include <stdatomic.h>

#define SQLFILE_BUSY_MS 10000
#define SQLFILE_BYTES_MAX (64u << 20) /* of one result */
#define SQLFILE_ROWS_MAX 1000000      /* when the caller names no limit */
#define SQLFILE_QUEUE_MAX 10000

struct job {
    struct sqlfile *file;
    struct job *next;
    char *sql; /* NUL-terminated, in the arena, like all below */
    size_t sql_n;
    struct sqlfile_value *params;
    struct str *names;
    size_t n_params, max_rows;
    sqlfile_fn fn;
    void *ud;
    struct arena arena;
    struct sqlfile_result result;
    size_t values_cap; /* result.values is grown on its own (mem_free) */
    size_t bytes;      /* of texts and blobs so far */
};

struct sqlfile {
    struct loop *loop;
    sqlite3 *db;
    char *path;
    bool checked; /* the pool's: it is not moonloop's own file */
    bool closed;
    int delivering;
    atomic_bool stop; /* tells the pool not to begin any more */
    struct job *running, *first, *last;
    size_t queued;
};

/* Asked by SQLite while a statement runs. sqlite3_interrupt alone is not enough: one that comes
 * just before the first step of a statement is forgotten. */
static int must_stop(void *ud)
{
    struct sqlfile *f = ud;
    return atomic_load(&f->stop);
}

int sqlfile_open(struct loop *l, const char *path, struct sqlfile **out, struct err *e)
{
    store_sqlite_once();
    struct sqlfile *f = mem_zalloc(sizeof *f);
    if (!f || !(f->path = str_dup(str_of(path)))) {
        mem_free(f);
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    }
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(path, &f->db, flags, NULL); /* opens the file, reads nothing yet */
    if (rc) {
        int code = conn_code(f->db, rc);
        err_set(e, code, "cannot open %s: %s", path,
                f->db ? sqlite3_errmsg(f->db) : sqlite3_errstr(rc));
        sqlite3_close(f->db);
        mem_free(f->path);
        mem_free(f);
        return code;
    }
    sqlite3_busy_timeout(f->db, SQLFILE_BUSY_MS);
    sqlite3_progress_handler(f->db, 1000, must_stop, f);
    f->loop = l;
    *out = f;
    return 0;
}

static void free_job(struct job *j)
{
    mem_free(j->result.values);
    arena_free(&j->arena);
    mem_free(j);
}

static void free_file(struct sqlfile *f)
{
    sqlite3_close_v2(f->db);
    mem_free(f->path);
    mem_free(f);
}

/* ---- in the pool ---- */

static int sql_failed(struct job *j, int rc)
{
    sqlite3 *db = j->file->db;
    int code = conn_code(db, rc);
    return err_set(&j->result.err, code == ERR_FAILED ? ERR_ARG : code, "%s", sqlite3_errmsg(db));
}

static int no_memory(struct job *j)
{
    return err_set(&j->result.err, ERR_NOMEM, "out of memory for a result");
}

static int too_large(struct job *j)
{
    return err_set(&j->result.err, ERR_LIMIT, "the result is larger than %u MiB",
                   SQLFILE_BYTES_MAX >> 20);
}

static int bind_one(sqlite3_stmt *st, int col, const struct sqlfile_value *v)
{
    switch (v->kind) {
    case SQLFILE_INT:
        return sqlite3_bind_int64(st, col, v->i);
    case SQLFILE_REAL:
        return sqlite3_bind_double(st, col, v->d);
    case SQLFILE_TEXT:
        return sqlite3_bind_text64(st, col, v->s.p, v->s.n, SQLITE_STATIC, SQLITE_UTF8);
    case SQLFILE_BLOB:
        return sqlite3_bind_blob64(st, col, v->s.p, v->s.n, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(st, col);
    }
}

/* Every parameter of the statement gets one value, every value a parameter. */
static int bind_all(struct job *j, sqlite3_stmt *st)
{
    int want = sqlite3_bind_parameter_count(st);
    bool named = j->n_params && j->names && j->names[0].p;
    if ((size_t)want != j->n_params) {
        return err_set(&j->result.err, ERR_ARG,
                       "the statement has %d parameters, but %zu values were given", want,
                       j->n_params);
    }
    for (size_t i = 0; i < j->n_params; i++) {
        int col = (int)i + 1;
        if ((j->names && j->names[i].p) != named) {
            return err_set(&j->result.err, ERR_ARG, "named and positional values cannot be mixed");
        }
        if (named) {
            col = sqlite3_bind_parameter_index(st, j->names[i].p);
            if (!col) {
                return err_set(&j->result.err, ERR_ARG, "the statement has no parameter " STR_FMT,
                               STR_ARG(j->names[i]));
            }
            for (size_t k = 0; k < i; k++) {
                if (str_eq(j->names[k], j->names[i])) {
                    return err_set(&j->result.err, ERR_ARG,
                                   "the value of " STR_FMT " was given twice",
                                   STR_ARG(j->names[i]));
                }
            }
        }
        int rc = bind_one(st, col, &j->params[i]);
        if (rc) {
            return sql_failed(j, rc);
        }
    }
    return 0;
}

static int start_rows(struct job *j, sqlite3_stmt *st)
{
    struct sqlfile_result *r = &j->result;
    r->rows = 0;
    r->columns = (size_t)sqlite3_column_count(st);
    r->names = arena_alloc(&j->arena, (r->columns ? r->columns : 1) * sizeof *r->names);
    for (size_t i = 0; r->names && i < r->columns; i++) {
        const char *name = sqlite3_column_name(st, (int)i);
        r->names[i] = name ? arena_str(&j->arena, str_of(name)) : (struct str){NULL, 0};
        if (!name) {
            return no_memory(j);
        }
    }
    return arena_failed(&j->arena) ? no_memory(j) : 0;
}

static struct str take_bytes(struct job *j, const void *p, int n)
{
    j->bytes += (size_t)n;
    if (j->bytes > SQLFILE_BYTES_MAX || (n > 0 && !p)) {
        return (struct str){NULL, 0};
    }
    return arena_str(&j->arena, str_make(p ? p : "", (size_t)n));
}

/* False: out of memory, or over the limit. */
static bool take_value(struct job *j, sqlite3_stmt *st, int col, struct sqlfile_value *v)
{
    const void *p;
    *v = (struct sqlfile_value){.kind = SQLFILE_NULL};
    switch (sqlite3_column_type(st, col)) {
    case SQLITE_INTEGER:
        v->kind = SQLFILE_INT;
        v->i = sqlite3_column_int64(st, col);
        return true;
    case SQLITE_FLOAT:
        v->kind = SQLFILE_REAL;
        v->d = sqlite3_column_double(st, col);
        return true;
    case SQLITE_TEXT:
        v->kind = SQLFILE_TEXT;
        p = sqlite3_column_text(st, col);
        v->s = take_bytes(j, p, sqlite3_column_bytes(st, col));
        return v->s.p != NULL;
    case SQLITE_BLOB:
        v->kind = SQLFILE_BLOB;
        p = sqlite3_column_blob(st, col);
        v->s = take_bytes(j, p, sqlite3_column_bytes(st, col));
        return v->s.p != NULL;
    default:
        return true;
    }
}

static int take_row(struct job *j, sqlite3_stmt *st)
{
    struct sqlfile_result *r = &j->result;
    if (r->rows >= j->max_rows) {
        return err_set(&r->err, ERR_LIMIT, "the result has more than %zu rows", j->max_rows);
    }
    size_t need = (r->rows + 1) * r->columns;
    if (need > j->values_cap) {
        size_t cap = j->values_cap ? j->values_cap * 2 : 64;
        cap = cap < need ? need : cap;
        if (cap * sizeof *r->values > 4 * (size_t)SQLFILE_BYTES_MAX) {
            return too_large(j);
        }
        struct sqlfile_value *values = mem_realloc(r->values, cap * sizeof *values);
        if (!values) {
            return no_memory(j);
        }
        r->values = values;
        j->values_cap = cap;
    }
    for (size_t i = 0; i < r->columns; i++) {
        if (!take_value(j, st, (int)i, &r->values[r->rows * r->columns + i])) {
            return j->bytes > SQLFILE_BYTES_MAX ? too_large(j) : no_memory(j);
        }
    }
    r->rows++;
    return 0;
}

static int run_one(struct job *j, sqlite3_stmt *st)
{
    sqlite3 *db = j->file->db;
    sqlite3_int64 before = sqlite3_total_changes64(db);
    int code = bind_all(j, st);
    if (!code && sqlite3_column_count(st) > 0) {
        code = start_rows(j, st);
    }
    while (!code) {
        int rc = sqlite3_step(st);
        if (rc == SQLITE_DONE) {
            break;
        }
        code = rc == SQLITE_ROW ? take_row(j, st) : sql_failed(j, rc);
    }
    if (!code && !sqlite3_stmt_readonly(st) && sqlite3_total_changes64(db) != before) {
        j->result.changes += sqlite3_changes64(db);
    }
    return code;
}

/* A second connection that writes to moonloop's own file could damage it, so that file is refused.
 */
static int check_file(struct job *j)
{
    struct sqlfile *f = j->file;
    struct conn c = {.db = f->db};
    int64_t app = 0;
    int rc = conn_i64(&c, "PRAGMA application_id", &app);
    if (rc) {
        return sql_failed(j, rc);
    }
    if (app == STORE_APPLICATION_ID) {
        return err_set(&j->result.err, ERR_ARG,
                       "%s is moonloop's own file; use another one for your tables", f->path);
    }
    f->checked = true;
    return 0;
}

static void work(void *ud)
{
    struct job *j = ud;
    const char *at = j->sql, *end = j->sql + j->sql_n;
    bool any = false;
    int code = 0;
    if (atomic_load(&j->file->stop)) {
        code = err_set(&j->result.err, ERR_CLOSED, "the file was closed");
    } else if (!j->file->checked) {
        code = check_file(j);
    }
    while (!code) {
        sqlite3_stmt *st = NULL;
        int rc = sqlite3_prepare_v2(j->file->db, at, (int)(end - at) + 1, &st, &at);
        if (rc) {
            sql_failed(j, rc);
            return;
        }
        if (!st) { /* a comment, or the end */
            if (at >= end) {
                break;
            }
            continue;
        }
        if (any && j->n_params) {
            code = err_set(&j->result.err, ERR_ARG,
                           "values can be given to one statement only, not to several");
        } else {
            code = run_one(j, st);
        }
        sqlite3_finalize(st);
        any = true;
    }
    if (!code && !any) {
        err_set(&j->result.err, ERR_ARG, "there is no statement in the text");
    }
    j->result.last_id = sqlite3_last_insert_rowid(j->file->db);
}

/* ---- on the loop ---- */

static void answer(struct job *j, int code, const char *why)
{
    sqlfile_fn fn = j->fn;
    if (!fn) {
        return; /* it was answered when the file was closed */
    }
    if (code) {
        err_set(&j->result.err, code, "%s", why);
    }
    if (j->result.err.code) {
        j->result.columns = j->result.rows = 0;
    }
    j->fn = NULL;
    j->file->delivering++; /* the answer may close the file */
    fn(j->ud, &j->result);
    j->file->delivering--;
}

static bool freed(struct sqlfile *f)
{
    if (f->closed && !f->running && !f->delivering) {
        free_file(f);
        return true;
    }
    return false;
}

static void on_done(void *ud, int status);

/* Starts what is next in line; what cannot be started is answered with the reason. */
static void start_next(struct sqlfile *f)
{
    while (!f->running && f->first) {
        struct job *j = f->first;
        f->first = j->next;
        f->last = f->first ? f->last : NULL;
        f->queued--;
        int code = loop_work(f->loop, work, on_done, j);
        if (!code) {
            f->running = j;
            return;
        }
        answer(j, code,
               code == ERR_CLOSED ? "the loop is closing" : "the statement cannot be started");
        free_job(j);
    }
    freed(f);
}

static void on_done(void *ud, int status)
{
    struct job *j = ud;
    struct sqlfile *f = j->file;
    f->running = NULL;
    answer(j, status, "the loop is closing");
    free_job(j);
    start_next(f);
}

void sqlfile_close(struct sqlfile *f)
{
    if (!f || f->closed) {
        return;
    }
    f->closed = true;
    atomic_store(&f->stop, true);
    struct job *j = f->first;
    f->first = f->last = NULL;
    f->queued = 0;
    f->delivering++;
    if (f->running && f->running->fn) {
        /* Its end is not waited for: answered now, what it brings later is thrown away. The result
         * is the pool's. */
        struct sqlfile_result r = {.columns = 0};
        sqlfile_fn fn = f->running->fn;
        f->running->fn = NULL;
        sqlite3_interrupt(f->db);
        err_set(&r.err, ERR_CLOSED, "the file was closed");
        fn(f->running->ud, &r);
    }
    while (j) {
        struct job *next = j->next;
        answer(j, ERR_CLOSED, "the file was closed");
        free_job(j);
        j = next;
    }
    f->delivering--;
    freed(f);
}

static bool copy_params(struct job *j, const struct sqlfile_value *params, const struct str *names)
{
    size_t n = j->n_params;
    j->params = arena_alloc(&j->arena, (n ? n : 1) * sizeof *j->params);
    j->names = names ? arena_alloc(&j->arena, (n ? n : 1) * sizeof *j->names) : NULL;
    if (arena_failed(&j->arena)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        j->params[i] = params[i];
        if (params[i].kind == SQLFILE_TEXT || params[i].kind == SQLFILE_BLOB) {
            j->params[i].s =
                arena_str(&j->arena, params[i].s.p ? params[i].s : (struct str){"", 0});
        }
        if (names && names[i].p) {
            j->names[i] = arena_str(&j->arena, names[i]);
        }
    }
    return !arena_failed(&j->arena);
}

int sqlfile_exec(struct sqlfile *f, struct str sql, const struct sqlfile_value *params,
                 const struct str *names, size_t n_params, size_t max_rows, sqlfile_fn fn, void *ud)
{
    if (f->closed) {
        return ERR_CLOSED;
    }
    if (f->queued >= SQLFILE_QUEUE_MAX || sql.n > SQLFILE_BYTES_MAX || n_params > 32766) {
        return ERR_LIMIT;
    }
    struct job *j = mem_zalloc(sizeof *j);
    if (!j) {
        return ERR_NOMEM;
    }
    arena_init(&j->arena, SQLFILE_BYTES_MAX * 2);
    j->file = f;
    j->fn = fn;
    j->ud = ud;
    j->n_params = n_params;
    j->max_rows = max_rows ? max_rows : SQLFILE_ROWS_MAX;
    struct str copy = arena_str(&j->arena, sql.p ? sql : (struct str){"", 0});
    if (!copy.p || !copy_params(j, params, names)) {
        free_job(j);
        return ERR_NOMEM;
    }
    j->sql = (char *)(uintptr_t)copy.p;
    j->sql_n = copy.n;
    if (f->last) {
        f->last->next = j;
    } else {
        f->first = j;
    }
    f->last = j;
    f->queued++;
    if (f->running || f->first != j) {
        return 0;
    }
    int code = loop_work(f->loop, work, on_done, j);
    f->first = f->last = NULL;
    f->queued--;
    if (code) {
        free_job(j);
    } else {
        f->running = j;
    }
    return code;
}
