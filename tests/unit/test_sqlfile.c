/* SQL on a file of the user's: parameters of all kinds, errors, order, limits, closing with queued
 * work. */
#include "base/mem.h"
#include "store/sqlfile.h"
#include "store_helpers.h"

static struct loop *l;
static struct sqlfile *f;

/* One answer, flattened: "2x1: a=1 a=2" or the error. */
struct reply {
    int place, code;
    char text[1200];
    int64_t changes, last_id;
};
static int places;

static void on_reply(void *ud, const struct sqlfile_result *r)
{
    struct reply *to = ud;
    CHECK_INT(to->place, 0);
    to->place = ++places;
    to->code = r->err.code;
    to->changes = r->changes;
    to->last_id = r->last_id;
    if (r->err.code) {
        snprintf(to->text, sizeof to->text, "%s", r->err.text);
        return;
    }
    size_t n = 0;
    for (size_t i = 0; i < r->rows * r->columns && n < 1000; i++) {
        const struct sqlfile_value *v = &r->values[i];
        struct str name = r->names[i % r->columns];
        n += (size_t)snprintf(to->text + n, sizeof to->text - n, STR_FMT "=", STR_ARG(name));
        switch (v->kind) {
        case SQLFILE_NULL:
            n += (size_t)snprintf(to->text + n, sizeof to->text - n, "null ");
            break;
        case SQLFILE_INT:
            n += (size_t)snprintf(to->text + n, sizeof to->text - n, "%lld ", (long long)v->i);
            break;
        case SQLFILE_REAL:
            n += (size_t)snprintf(to->text + n, sizeof to->text - n, "%.17g ", v->d);
            break;
        case SQLFILE_TEXT:
            n += (size_t)snprintf(to->text + n, sizeof to->text - n, "'" STR_FMT "' ",
                                  STR_ARG(v->s));
            break;
        case SQLFILE_BLOB:
            n += (size_t)snprintf(to->text + n, sizeof to->text - n, "blob%zu ", v->s.n);
            break;
        }
    }
}

static struct reply run_with(const char *sql, const struct sqlfile_value *v,
                             const struct str *names, size_t n, size_t max)
{
    struct reply r = {0};
    CHECK_INT(sqlfile_exec(f, str_of(sql), v, names, n, max, on_reply, &r), 0);
    CHECK_INT(r.place, 0);
    while (!r.place) {
        loop_turn(l, -1);
    }
    return r;
}

static struct reply run(const char *sql)
{
    return run_with(sql, NULL, NULL, 0, 100);
}

static void statements(void)
{
    CASE("several statements, values of every kind, columns named");
    CHECK_INT(run("CREATE TABLE a(i, r, t, b, n); CREATE TABLE b(id INTEGER PRIMARY KEY, x "
                  "UNIQUE); -- end")
                  .code,
              0);
    char text[] = "tide", blob[] = "\0\1\2";
    struct sqlfile_value v[] = {{.kind = SQLFILE_INT, .i = INT64_MAX},
                                {.kind = SQLFILE_REAL, .d = 0.1},
                                {.kind = SQLFILE_TEXT, .s = str_make(text, 4)},
                                {.kind = SQLFILE_BLOB, .s = str_make(blob, 3)},
                                {.kind = SQLFILE_NULL}};
    struct reply r = {0};
    CHECK_INT(sqlfile_exec(f, STR("INSERT INTO a VALUES(?,?,?,?,?)"), v, NULL, 5, 0, on_reply, &r),
              0);
    memset(text, 'X', 4); /* everything was copied */
    memset(v, 0, sizeof v);
    while (!r.place) {
        loop_turn(l, -1);
    }
    CHECK_INT(r.code, 0);
    CHECK_INT(r.changes, 1);
    CHECK_INT(r.last_id, 1);
    CHECK_STR(run("SELECT i, r, t, b, n AS nil FROM a").text,
              "i=9223372036854775807 r=0.10000000000000001 t='tide' b=blob3 nil=null ");
    CHECK_STR(run("SELECT '' AS e, x'' AS b").text, "e='' b=blob0 ");

    CASE("named parameters, in any order");
    struct sqlfile_value w[] = {{.kind = SQLFILE_INT, .i = 2},
                                {.kind = SQLFILE_TEXT, .s = STR("one")}};
    struct str names[] = {STR(":two"), STR("@one")};
    CHECK_STR(run_with("SELECT @one AS a, :two AS b, @one AS c", w, names, 2, 10).text,
              "a='one' b=2 c='one' ");

    CASE("errors carry SQLite's text");
    r = run("SELEC 1");
    CHECK_INT(r.code, ERR_ARG);
    CHECK(strstr(r.text, "syntax error") != NULL);
    CHECK_INT(run("SELECT * FROM missing").code, ERR_ARG);
    CHECK_INT(run("INSERT INTO b(x) VALUES(1)").last_id, 1);
    r = run("INSERT INTO b(x) VALUES(1)");
    CHECK_INT(r.code, ERR_ARG);
    CHECK(strstr(r.text, "UNIQUE") != NULL);
    CHECK_INT(run("").code, ERR_ARG);
    CHECK_INT(run("SELECT ?").code, ERR_ARG);
    CHECK_INT(run_with("SELECT 1", w, NULL, 1, 10).code, ERR_ARG);
    CHECK_INT(run_with("SELECT ?; SELECT 2", w, NULL, 1, 10).code, ERR_ARG);
    struct str wrong[] = {STR(":two"), STR(":three")}, twice[] = {STR(":two"), STR(":two")},
               mixed[] = {STR(":two"), {0}};
    CHECK_INT(run_with("SELECT :one, :two", w, wrong, 2, 10).code, ERR_ARG);
    CHECK_INT(run_with("SELECT :one, :two", w, twice, 2, 10).code, ERR_ARG);
    CHECK_INT(run_with("SELECT :one, :two", w, mixed, 2, 10).code, ERR_ARG);

    CASE("several statements stop at the first wrong one; changes are summed");
    CHECK_INT(run("INSERT INTO b(x) VALUES(5); SELEC; INSERT INTO b(x) VALUES(6)").code, ERR_ARG);
    CHECK_STR(run("SELECT count(*) AS n FROM b").text, "n=2 ");
    CHECK_INT(run("INSERT INTO b(x) VALUES(7); INSERT INTO b(x) VALUES(8),(9)").changes, 3);
    CHECK_INT(run("SELECT * FROM b").changes, 0);

    CASE("the limit of rows");
    CHECK_INT(run_with("SELECT x FROM b", NULL, NULL, 0, 4).code, ERR_LIMIT);
    CHECK_STR(run_with("SELECT x FROM b", NULL, NULL, 0, 5).text, "x=1 x=5 x=7 x=8 x=9 ");
    CHECK_INT(run("SELECT zeroblob(70000000)").code, ERR_LIMIT);
}

static void order_and_close(void)
{
    CASE("statements of a file run in order, a transaction spans several");
    enum { N = 60 };
    static struct reply r[N + 1];
    places = 0;
    CHECK_INT(run("CREATE TABLE c(id INTEGER PRIMARY KEY, v)").code, 0);
    places = 0;
    for (int i = 0; i < N; i++) {
        struct sqlfile_value v = {.kind = SQLFILE_INT, .i = i};
        CHECK_INT(sqlfile_exec(f,
                               i == 0       ? STR("BEGIN")
                               : i == N - 1 ? STR("COMMIT")
                                            : STR("INSERT INTO c(v) VALUES(?)"),
                               &v, NULL, i > 0 && i < N - 1, 0, on_reply, &r[i]),
                  0);
    }
    while (!r[N - 1].place) {
        loop_turn(l, -1);
    }
    for (int i = 0; i < N; i++) {
        CHECK_INT(r[i].place, i + 1);
        CHECK_INT(r[i].code, 0);
    }
    CHECK_STR(run("SELECT count(*) AS n, sum(id=v) AS same FROM c").text, "n=58 same=58 ");

    CASE("closing: what runs and what waits is answered closed, at once and in order; the long one "
         "is stopped");
    memset(r, 0, sizeof r);
    places = 0;
    CHECK_INT(sqlfile_exec(f,
                           STR("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) "
                               "SELECT max(i) FROM n"),
                           NULL, NULL, 0, 0, on_reply, &r[0]),
              0);
    for (int i = 1; i < 5; i++) {
        CHECK_INT(sqlfile_exec(f, STR("DELETE FROM c"), NULL, NULL, 0, 0, on_reply, &r[i]), 0);
    }
    sqlfile_close(f);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(r[i].place, i + 1);
        CHECK_INT(r[i].code, ERR_CLOSED);
    }
    while (loop_turn(l, -1)) {
    }
    struct err e = {0};
    CHECK_INT(sqlfile_open(l, db_path, &f, &e), 0);
    CHECK_STR(run("SELECT count(*) AS n FROM c").text, "n=58 ");
}

static void close_inside(void *ud, const struct sqlfile_result *r)
{
    CHECK_INT(r->err.code, 0);
    *(bool *)ud = true;
    sqlfile_close(f);
}

static void refusals(void)
{
    CASE("closing in an answer");
    bool closed = false;
    struct reply r = {0};
    places = 0;
    CHECK_INT(sqlfile_exec(f, STR("SELECT 1"), NULL, NULL, 0, 0, close_inside, &closed), 0);
    CHECK_INT(sqlfile_exec(f, STR("SELECT 1"), NULL, NULL, 0, 0, on_reply, &r), 0);
    while (loop_turn(l, -1)) {
    }
    CHECK(closed);
    CHECK_INT(r.code, ERR_CLOSED);

    CASE("moonloop's own file is refused, so is what is no database; a missing folder at open");
    char other[200];
    snprintf(other, sizeof other, "%s/own.db", folder);
    struct store_opts o = options(false);
    o.path = other;
    store_close(must_open(&o));
    struct err e = {0};
    CHECK_INT(sqlfile_open(l, other, &f, &e), 0);
    r = run("SELECT 1");
    CHECK_INT(r.code, ERR_ARG);
    CHECK(strstr(r.text, "own file") != NULL);
    sqlfile_close(f);
    FILE *text = fopen(other, "w");
    CHECK(text != NULL);
    fprintf(text, "%s",
            "a text that is long enough to be taken for a database, but is none, not even a little "
            "one");
    fclose(text);
    CHECK_INT(sqlfile_open(l, other, &f, &e), 0);
    CHECK_INT(run("SELECT 1").code, ERR_CORRUPT);
    sqlfile_close(f);
    CHECK_INT(sqlfile_open(l, "/nonexistent-folder/a.db", &f, &e), ERR_IO);
    CHECK(strstr(e.text, "/nonexistent-folder/a.db") != NULL);
}

static void out_of_memory(void)
{
    CASE("the n-th allocation fails: an error, never a crash or a leak");
    int good = 0, bad = 0;
    for (long n = 1; n < 400; n++) {
        struct err e = {0};
        struct reply r = {0};
        struct sqlfile_value v = {.kind = SQLFILE_TEXT, .s = STR("text")};
        mem_fail_at(n, n % 3 == 0);
        f = NULL;
        int code = sqlfile_open(l, db_path, &f, &e);
        if (!code) {
            code = sqlfile_exec(f, STR("SELECT ?, count(*) FROM c"), &v, NULL, 1, 0, on_reply, &r);
        }
        while (!code && !r.place) {
            loop_turn(l, -1);
        }
        mem_fail_at(0, false);
        code = code ? code : r.code;
        CHECK(code == 0 || code == ERR_NOMEM);
        good += code == 0;
        bad += code != 0;
        sqlfile_close(f);
    }
    CHECK(good > 0 && bad > 10);
}

int main(void)
{
    make_folder();
    struct err e = {0};
    CHECK_INT(loop_open(&clock_system, &l, &e), 0);
    CHECK_INT(sqlfile_open(l, db_path, &f, &e), 0);
    statements();
    order_and_close();
    refusals();
    out_of_memory();
    loop_close(l);
    drop_folder();
    return CHECK_DONE();
}
