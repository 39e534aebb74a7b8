/* The store without faults: order, groups, guards, joins, reads, migrations, refusals, copies. */
#include "store_helpers.h"
#include <fcntl.h>
#include <sys/stat.h>

static const char ins_t[] = "INSERT INTO t(id,part,text) VALUES(?,?,?)";
static const char ins_u[] = "INSERT INTO u(k,n) VALUES(?,?)";
static const char inc_u[] = "UPDATE u SET n=n+1 WHERE k=?";
static const char has_u[] = "SELECT 1 FROM u WHERE k=? AND n>=?";

static void put_t(struct store_batch *b, int64_t id, const char *text)
{
    store_batch_add(b, ins_t, "iiz", id, INT64_C(0), text);
}

static void order(bool threaded)
{
    CASE(threaded ? "answers come in order of submission (threaded)"
                  : "answers come in order of submission");
    struct store_opts o = options(threaded);
    struct store *s = must_open(&o);
    static struct note notes[1000];
    memset(notes, 0, sizeof notes);
    note_place = 0;
    CHECK(store_idle(s));
    for (int i = 0; i < 1000; i++) {
        struct store_batch *b = store_batch_new(s);
        put_t(b, i, "x");
        if (i % 7 == 3) {
            store_batch_guard(b, inc_u, "z",
                              "nobody"); /* fails: everything of this one is undone */
        }
        store_submit(s, b, on_note, &notes[i]);
        CHECK_INT(notes[i].place, 0); /* never inside the call */
        if (i % 100 == 50) {
            store_drain(s);
        }
    }
    CHECK(!store_idle(s));
    store_flush(s);
    CHECK(store_idle(s));
    int64_t rows = 0;
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(notes[i].place, i + 1);
        CHECK_INT(notes[i].kind, i % 7 == 3 ? STORE_GUARD : STORE_DURABLE);
        rows += i % 7 != 3;
    }
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), rows);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t WHERE id%7=3"), 0);

    CASE("what is queued at close is applied and answered; the log is gone after a clean close");
    struct note last = {0};
    struct store_batch *b = store_batch_new(s);
    put_t(b, 5000, "last");
    store_submit(s, b, on_note, &last);
    store_close(s);
    CHECK_INT(last.kind, STORE_DURABLE);
    CHECK(last.place > 0);
    char wal[200];
    snprintf(wal, sizeof wal, "%s-wal", db_path);
    CHECK(access(wal, F_OK) != 0);
    struct stat st;
    CHECK_INT(stat(db_path, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    s = must_open(&o);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), rows + 1);
    struct err e = {0};
    CHECK_INT(store_check(s, &e), 0);
    CHECK(store_file_bytes(s) >= 8192);
    store_close(s);
    empty_folder();
}

static void guards(void)
{
    CASE("guards: first, second, by constraint; only the failing batch of a group is undone");
    struct store_opts o = options(false);
    struct store *s = must_open(&o);
    struct note n[8] = {0};
    note_place = 0;
    struct store_batch *b = store_batch_new(s);
    store_batch_add(b, ins_u, "zi", "a", INT64_C(1));
    store_submit(s, b, on_note, &n[0]);

    b = store_batch_new(s); /* first guard fails */
    store_batch_guard(b, has_u, "zi", "a", INT64_C(5));
    put_t(b, 1, "no");
    store_submit(s, b, on_note, &n[1]);

    b = store_batch_new(s); /* second guard fails, after changes */
    store_batch_guard(b, inc_u, "z", "a");
    put_t(b, 2, "no");
    store_batch_guard(b, inc_u, "z", "missing");
    store_submit(s, b, on_note, &n[2]);

    b = store_batch_new(s); /* a guard by constraint */
    store_batch_guard(b, ins_u, "zi", "a", INT64_C(9));
    put_t(b, 3, "no");
    store_submit(s, b, on_note, &n[3]);

    b = store_batch_new(s); /* holds: sees what the batches before it in the group did */
    store_batch_guard(b, has_u, "zi", "a", INT64_C(1));
    store_batch_guard(b, inc_u, "z", "a");
    put_t(b, 4, "yes");
    store_submit(s, b, on_note, &n[4]);

    b = store_batch_new(s); /* a guard as the last statement of a batch, failing */
    put_t(b, 5, "no");
    store_batch_guard(b, has_u, "zi", "a", INT64_C(3));
    store_submit(s, b, on_note, &n[5]);
    store_drain(s);
    int kinds[] = {STORE_DURABLE, STORE_GUARD,   STORE_GUARD,
                   STORE_GUARD,   STORE_DURABLE, STORE_GUARD};
    int which[] = {0, 0, 1, 0, 0, 0};
    for (int i = 0; i < 6; i++) {
        CHECK_INT(n[i].place, i + 1);
        CHECK_INT(n[i].kind, kinds[i]);
        CHECK_INT(n[i].guard, which[i]);
    }
    CHECK_INT(n[4].changes, 1);
    CHECK_INT(must_read_i64(s, "SELECT group_concat(id) FROM t"), 4);
    CHECK_INT(must_read_i64(s, "SELECT n FROM u WHERE k='a'"), 2);

    CASE("a lone batch with a failing second guard is undone");
    b = store_batch_new(s);
    store_batch_guard(b, inc_u, "z", "a");
    store_batch_guard(b, inc_u, "z", "missing");
    memset(n, 0, sizeof n);
    store_submit(s, b, on_note, &n[0]);
    store_drain(s);
    CHECK_INT(n[0].kind, STORE_GUARD);
    CHECK_INT(n[0].guard, 1);
    CHECK_INT(must_read_i64(s, "SELECT n FROM u WHERE k='a'"), 2);
    store_close(s);
    empty_folder();
}

static void wrong_statements(void)
{
    CASE("a wrong statement fails its own batch, in order; the others of the group are applied");
    struct store_opts o = options(false);
    struct store *s = must_open(&o);
    struct note n[6] = {0};
    note_place = 0;
    for (int i = 0; i < 6; i++) {
        struct store_batch *b = store_batch_new(s);
        put_t(b, i, "x");
        if (i == 1) {
            store_batch_add(b, "INSERT INTO nowhere VALUES(1)", "");
        } else if (i == 3) {
            put_t(b, i, "twice");
        } else if (i == 4) {
            store_batch_add(b, ins_t, "i", INT64_C(40)); /* two values are missing */
        }
        store_submit(s, b, on_note, &n[i]);
    }
    store_drain(s);
    for (int i = 0; i < 6; i++) {
        bool bad = i == 1 || i == 3 || i == 4;
        CHECK_INT(n[i].place, i + 1);
        CHECK_INT(n[i].kind, bad ? STORE_STORAGE : STORE_DURABLE);
        CHECK_INT(n[i].code, bad ? ERR_FAILED : 0);
    }
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 3);

    CASE("a batch that could not be built is answered in its turn and not applied");
    memset(n, 0, sizeof n);
    note_place = 0;
    for (int i = 0; i < 3; i++) {
        struct store_batch *b = store_batch_new(s);
        if (i == 1) {
            mem_fail_at(1, false);
        }
        char large[3000];
        memset(large, 'x', sizeof large);
        store_batch_add(b, ins_t, "iis", INT64_C(100) + i, INT64_C(0),
                        str_make(large, sizeof large));
        for (int k = 0; k < 10 && i == 1; k++) { /* beyond what a used batch kept */
            store_batch_add(b, ins_t, "iis", INT64_C(200) + k, INT64_C(0),
                            str_make(large, sizeof large));
        }
        mem_fail_at(0, false);
        store_submit(s, b, on_note, &n[i]);
    }
    store_drain(s);
    CHECK_INT(n[0].kind, STORE_DURABLE);
    CHECK_INT(n[1].kind, STORE_STORAGE);
    CHECK_INT(n[1].code, ERR_NOMEM);
    CHECK_INT(n[1].place, 2);
    CHECK_INT(n[2].kind, STORE_DURABLE);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t WHERE id>=100"), 2);
    store_close(s);
    empty_folder();
}

static void joins_and_values(void)
{
    CASE("joined batches act as one, guards counted through");
    struct store_opts o = options(true);
    struct store *s = must_open(&o);
    struct note n[3] = {0};
    struct store_batch *a = store_batch_new(s), *b = store_batch_new(s);
    store_batch_guard(a, "SELECT 1", "");
    put_t(a, 1, "a");
    put_t(b, 2, "b");
    store_batch_guard(b, inc_u, "z", "missing");
    store_batch_join(a, b);
    store_submit(s, a, on_note, &n[0]);
    store_flush(s);
    CHECK_INT(n[0].kind, STORE_GUARD);
    CHECK_INT(n[0].guard, 1);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 0);

    CASE("values of every kind come back as they were, also copies of what is gone");
    char *text = mem_alloc(5);
    memcpy(text, "t\0xt!", 5);
    a = store_batch_new(s);
    store_batch_add(a, "CREATE TABLE v(a,b,c,d,e,f,g)", "");
    b = store_batch_new(s);
    store_batch_add(b, "INSERT INTO v VALUES(?,?,?,?,?,?,?)", "isbzndb", INT64_MIN,
                    str_make(text, 5), STR(""), "z", 0.1, (struct str){NULL, 0});
    memset(text, 'X', 5);
    mem_free(text);
    store_batch_join(a, b);
    store_submit(s, a, on_note, &n[1]);
    store_flush(s);
    CHECK_INT(n[1].kind, STORE_DURABLE);
    struct store_read *r, *again;
    struct err e = {0};
    static const char all[] = "SELECT a,b,c,d,e,f,g,? FROM v";
    CHECK_INT(store_read_open(s, &r, &e, all, "s", STR("given")), 0);
    CHECK_INT(store_read_next(r), 1);
    CHECK(store_read_i64(r, 0) == INT64_MIN);
    CHECK(str_eq(store_read_str(r, 1), str_make("t\0xt!", 5)));
    CHECK(store_read_str(r, 2).p != NULL && store_read_str(r, 2).n == 0);
    CHECK(str_eqz(store_read_str(r, 3), "z"));
    CHECK(store_read_null(r, 4) && !store_read_str(r, 4).p);
    CHECK(store_read_double(r, 5) == 0.1);
    CHECK(store_read_null(r, 6));
    CHECK(str_eqz(store_read_str(r, 7), "given"));
    CASE("the same statement is read twice at once");
    CHECK_INT(store_read_open(s, &again, &e, all, "s", STR("other")), 0);
    CHECK_INT(store_read_next(again), 1);
    CHECK(str_eqz(store_read_str(again, 7), "other"));
    CHECK(str_eqz(store_read_str(r, 7), "given"));
    CHECK_INT(store_read_next(r), 0);
    store_read_close(r);
    store_read_close(again);
    CHECK_INT(store_read_open(s, &r, &e, "SELECT nothing FROM v", ""), ERR_FAILED);
    CHECK_INT(store_read_open(s, &r, &e, all, ""), ERR_ARG);
    store_close(s);
    empty_folder();
}

static int woken;
static void on_wake(void *ud)
{
    (void)ud;
    __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
}

struct chain {
    struct store *s;
    int left;
};
static void on_chain(void *ud, const struct store_answer *a)
{
    struct chain *c = ud;
    CHECK_INT(a->kind, STORE_DURABLE);
    if (--c->left > 0) {
        struct store_batch *b = store_batch_new(c->s);
        put_t(b, c->left, "chain");
        store_submit(c->s, b, on_chain, c);
    }
}

static void chained(void)
{
    CASE("answers that submit the next batch; a long run is checkpointed on the way");
    struct store_opts o = options(true);
    o.wake = on_wake;
    o.fast = true;
    struct store *s = must_open(&o);
    struct chain c = {s, 200};
    struct store_batch *b = store_batch_new(s);
    put_t(b, 1000, "x");
    store_submit(s, b, on_chain, &c);
    while (c.left > 0) {
        store_flush(s);
    }
    CHECK(__atomic_load_n(&woken, __ATOMIC_SEQ_CST) > 0);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 200);
    char large[20000];
    memset(large, 'y', sizeof large);
    for (int i = 0; i < 1000; i++) { /* 20 MB through the log */
        b = store_batch_new(s);
        store_batch_add(b, "INSERT OR REPLACE INTO t(id,part,text) VALUES(?,0,?)", "is",
                        (int64_t)(i % 100), str_make(large, sizeof large));
        store_submit(s, b, NULL, NULL);
        if (i % 10 == 0) {
            store_flush(s);
        }
    }
    store_flush(s);
    CHECK(store_file_bytes(s) < 14000000);
    store_close(s);
    empty_folder();
}

/* ---- refusals ---- */

static char *slurp(const char *path, size_t *n)
{
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    struct stat st;
    CHECK_INT(fstat(fd, &st), 0);
    *n = (size_t)st.st_size;
    char *p = malloc(*n + 1);
    CHECK(p && read(fd, p, *n) == (ssize_t)*n);
    close(fd);
    return p;
}

static void spill(const char *path, const char *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, p, n) == (ssize_t)n);
    close(fd);
}

static void must_refuse(int code, const char *word)
{
    size_t n, m;
    char *before = slurp(db_path, &n);
    for (int read_only = 0; read_only < 2; read_only++) {
        struct store_opts o = options(true);
        struct store *s = NULL;
        struct err e = {0};
        o.read_only = read_only != 0;
        CHECK_INT(store_open(&o, &s, &e), code);
        CHECK_INT(e.code, code);
        if (!strstr(e.text, word)) {
            fprintf(stderr, "said: %s\n", e.text);
        }
        CHECK(strstr(e.text, db_path) != NULL);
        CHECK(strstr(e.text, word) != NULL);
        CHECK(s == NULL);
    }
    char *after = slurp(db_path, &m);
    CHECK(n == m && memcmp(before, after, n) == 0);
    free(before);
    free(after);
}

static void refusals(void)
{
    CASE("damaged files are refused and left as they are");
    struct store_opts o = options(false);
    struct store *s = must_open(&o);
    for (int i = 0; i < 400; i++) {
        struct store_batch *b = store_batch_new(s);
        put_t(b, i,
              "a text that fills some pages of the file so that there is something to damage");
        store_submit(s, b, NULL, NULL);
    }
    store_close(s);
    size_t n;
    char *good = slurp(db_path, &n), *bad = malloc(n);
    CHECK(bad && n >= 8 * 4096);
    for (size_t cut = 1; cut < n; cut += cut < 600 ? 97 : 3001) { /* truncated */
        spill(db_path, good, cut);
        must_refuse(ERR_CORRUPT, "damaged");
    }
    for (size_t at = 0; at < 100;
         at++) { /* each byte of the header turned over: refused, or it was of no meaning */
        memcpy(bad, good, n);
        bad[at] = (char)~bad[at];
        spill(db_path, bad, n);
        struct err e = {0};
        s = NULL;
        int rc = store_open(&o, &s, &e);
        if (rc == 0) {
            CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 400);
            CHECK_INT(store_check(s, &e), 0);
            store_close(s);
        } else {
            CHECK(rc == ERR_CORRUPT || rc == ERR_NEWER || rc == ERR_IO);
            size_t m;
            char *after = slurp(db_path, &m);
            CHECK(m == n && memcmp(after, bad, n) == 0);
            free(after);
        }
        empty_folder();
    }
    for (size_t page = 0; page < n / 4096; page++) { /* a page of rubbish */
        memcpy(bad, good, n);
        for (size_t i = 0; i < 4096; i++) {
            bad[page * 4096 + i] = (char)(i * 131 + page * 7 + 3);
        }
        spill(db_path, bad, n);
        must_refuse(ERR_CORRUPT, "damaged");
    }
    spill(db_path, "not a database, but somebody's letter, and long enough to be looked at\n", 72);
    must_refuse(ERR_CORRUPT, "damaged");
    CASE("an empty file is a new one; a folder and a missing folder are not");
    empty_folder();
    spill(db_path, "", 0);
    store_close(must_open(&o));
    struct err e = {0};
    s = NULL;
    o.path = folder;
    CHECK_INT(store_open(&o, &s, &e), ERR_IO);
    o.path = "/nonexistent-folder/x.db";
    CHECK_INT(store_open(&o, &s, &e), ERR_IO);
    CHECK(strstr(e.text, "No such file") != NULL);
    free(good);
    free(bad);
    empty_folder();
}

/* Lays the files down as they were, opens, and says how it went; a refusal must leave both as they
 * are. */
static int try_with_log(const char *db, size_t n, const char *wal, size_t n_wal)
{
    char wal_path[200];
    struct store_opts o = options(false);
    struct store *s = NULL;
    struct err e = {0};
    snprintf(wal_path, sizeof wal_path, "%s-wal", db_path);
    empty_folder();
    spill(db_path, db, n);
    spill(wal_path, wal, n_wal);
    int rc = store_open(&o, &s, &e);
    if (rc == 0) {
        store_close(s);
        return 0;
    }
    size_t m, m_wal;
    char *db_after = slurp(db_path, &m), *wal_after = slurp(wal_path, &m_wal);
    CHECK(m == n && memcmp(db, db_after, n) == 0);
    CHECK(m_wal == n_wal && memcmp(wal, wal_after, n_wal) == 0);
    free(db_after);
    free(wal_after);
    return rc;
}

static void refusals_with_a_log(void)
{
    CASE("a damaged file with the log of a killed process: refused, and the log is not written "
         "into it");
    struct store_opts o = options(false);
    struct store *s = must_open(&o);
    for (int i = 0; i < 400; i++) {
        struct store_batch *b = store_batch_new(s);
        put_t(b, i,
              "a text that fills some pages of the file so that there is something to damage");
        store_submit(s, b, NULL, NULL);
    }
    store_close(s);
    s = must_open(&o);
    struct store_batch *b = store_batch_new(s);
    put_t(b, 1000, "only in the log");
    store_submit(s, b, NULL, NULL);
    store_flush(s);
    char wal_path[200];
    size_t n, n_wal;
    snprintf(wal_path, sizeof wal_path, "%s-wal", db_path);
    char *db = slurp(db_path, &n), *wal = slurp(wal_path, &n_wal); /* as a kill would leave them */
    CHECK(n_wal > 4096);
    store_close(s);
    CHECK_INT(try_with_log(db, n, wal, n_wal), 0);
    int refused = 0;
    for (size_t page = 0; page < n / 4096; page++) {
        char *bad = malloc(n);
        CHECK(bad != NULL);
        memcpy(bad, db, n);
        memset(bad + page * 4096, 0x5a, 4096);
        int rc = try_with_log(bad, n, wal, n_wal);
        CHECK(rc == 0 || rc == ERR_CORRUPT); /* 0: the log holds that page */
        refused += rc != 0;
        free(bad);
    }
    CHECK(refused > 0);
    CHECK_INT(try_with_log("", 0, wal, n_wal), ERR_CORRUPT);
    free(db);
    free(wal);
    empty_folder();
}

static void versions(void)
{
    CASE("an older file is brought up step by step, a newer one refused with the version it needs");
    struct store_opts o = options(false);
    o.n_migrations = 1;
    struct store *s = must_open(&o);
    struct store_batch *b = store_batch_new(s);
    put_t(b, 1, "old");
    store_submit(s, b, NULL, NULL);
    store_close(s);
    o.n_migrations = 2;
    s = must_open(&o);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 1);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM u"), 0);
    b = store_batch_new(s);
    store_batch_add(b, "UPDATE store_meta SET value='7.8.9' WHERE key='needs'", "");
    store_submit(s, b, NULL, NULL);
    store_flush(s);
    b = store_batch_new(s);
    store_batch_add(b, "PRAGMA user_version=3", "");
    store_submit(s, b, NULL, NULL);
    store_close(s);
    must_refuse(ERR_NEWER, "7.8.9");

    CASE("a schema step that fails changes nothing");
    empty_folder();
    static const struct store_migration broken[] = {{1, "CREATE TABLE t(id);"},
                                                    {2, "CREATE TABLE w(id); CREATE TABLE t(id);"}};
    o.migrations = broken;
    o.n_migrations = 1;
    store_close(must_open(&o));
    o.n_migrations = 2;
    struct err e = {0};
    s = NULL;
    CHECK_INT(store_open(&o, &s, &e), ERR_FAILED);
    o.n_migrations = 1;
    s = must_open(&o);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM sqlite_schema WHERE name='w'"), 0);
    CASE("a second look while it is open: read only, and it writes nothing");
    o.read_only = true;
    struct store *look = must_open(&o);
    CHECK_INT(must_read_i64(look, "SELECT count(*) FROM t"), 0);
    struct note note = {0};
    store_submit(look, store_batch_new(look), on_note, &note);
    store_flush(look);
    CHECK_INT(note.code, ERR_UNSUPPORTED);
    store_close(look);
    store_close(s);
    empty_folder();
}

static void copies(void)
{
    CASE("an in-memory store is copied to a file and loaded back; the copy opens as an ordinary "
         "one");
    struct store_opts o = options(false), m = o;
    m.path = ":memory:";
    m.threaded = true; /* has no meaning there */
    struct store *s = must_open(&m);
    struct store_batch *b = store_batch_new(s);
    put_t(b, 1, "kept");
    store_submit(s, b, NULL, NULL);
    struct err e = {0};
    CHECK_INT(store_load_from(s, db_path, &e), ERR_BUSY);
    store_drain(s);
    CHECK_INT(store_copy_to(s, db_path, &e), 0);
    CHECK_INT(store_copy_to(s, db_path, &e), 0); /* over the first */
    CHECK_INT(store_copy_to(s, "/nonexistent-folder/x.db", &e), ERR_IO);
    b = store_batch_new(s);
    put_t(b, 2, "lost");
    store_submit(s, b, NULL, NULL);
    store_drain(s);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 2);
    CHECK(store_file_bytes(s) > 0);
    CHECK_INT(store_load_from(s, "/nonexistent-folder/x.db", &e), ERR_IO);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 2);
    CHECK_INT(store_load_from(s, db_path, &e), 0);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 1);
    b = store_batch_new(s);
    put_t(b, 3, "goes on");
    struct note n = {0};
    store_submit(s, b, on_note, &n);
    store_close(s);
    CHECK_INT(n.kind, STORE_DURABLE);
    o.threaded = true;
    s = must_open(&o);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 1);
    CHECK_INT(store_load_from(s, db_path, &e), ERR_UNSUPPORTED);

    CASE("a copy of an open file is a whole one, and nothing is left beside it");
    char copy[200];
    snprintf(copy, sizeof copy, "%s/copy.db", folder);
    for (int64_t i = 10; i < 60; i++) {
        b = store_batch_new(s);
        put_t(b, i, "more");
        store_submit(s, b, NULL, NULL);
    }
    store_flush(s);
    CHECK_INT(store_copy_to(s, copy, &e), 0);
    store_close(s);
    o.path = copy;
    s = must_open(&o);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 51);
    store_close(s);
    struct stat st;
    CHECK_INT(stat(copy, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    int files = 0;
    DIR *d = opendir(folder);
    for (struct dirent *f; (f = readdir(d));) {
        files += f->d_name[0] != '.';
    }
    closedir(d);
    CHECK_INT(files, 2);
    empty_folder();
}

int main(void)
{
    make_folder();
    order(false);
    order(true);
    guards();
    wrong_statements();
    joins_and_values();
    chained();
    refusals();
    refusals_with_a_log();
    versions();
    copies();
    drop_folder();
    return CHECK_DONE();
}
