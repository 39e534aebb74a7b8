/* The key-value part: versions, compare-and-set, time to live, listing, out of memory. */
#include "store/kv.h"
#include "store_helpers.h"

static struct store *s;

static struct note set(const char *ns, const char *key, const char *value, int64_t expect,
                       int64_t expires, int64_t now)
{
    struct note n = {0};
    kv_set(s, str_of(ns), str_of(key), str_of(value), expect, expires, now, on_note, &n);
    CHECK_INT(n.place, 0);
    store_flush(s);
    return n;
}

static struct note del(const char *key, int64_t expect, int64_t now)
{
    struct note n = {0};
    kv_delete(s, STR("n"), str_of(key), expect, now, on_note, &n);
    store_flush(s);
    return n;
}

/* The version, or 0 when there is none; the value must be as given. */
static int64_t get(const char *ns, const char *key, const char *value, int64_t now)
{
    struct buf b;
    struct err e = {0};
    int64_t version = -7;
    bool found = false;
    buf_init(&b, 1000);
    CHECK_INT(kv_get(s, str_of(ns), str_of(key), now, &b, &version, &found, &e), 0);
    if (found) {
        CHECK(str_eqz(buf_str(&b), value));
    } else {
        CHECK_INT(version, -7);
    }
    buf_free(&b);
    return found ? version : 0;
}

static void collect(void *ud, struct str key, int64_t version)
{
    char *out = ud;
    snprintf(out + strlen(out), 200 - strlen(out), STR_FMT "%lld ", STR_ARG(key),
             (long long)version);
}

static const char *list(const char *prefix, const char *after, int limit, int64_t now)
{
    static char out[200];
    struct err e = {0};
    out[0] = 0;
    CHECK_INT(kv_list(s, STR("n"), str_of(prefix), str_of(after), limit, now, collect, out, &e), 0);
    return out;
}

int main(void)
{
    struct store_migration step = {1, kv_schema_sql};
    struct store_opts o = {.path = ":memory:", .migrations = &step, .n_migrations = 1};
    s = must_open(&o);

    CASE("set, get, versions from 1, namespaces apart, empty values");
    CHECK_INT(get("n", "a", "", 0), 0);
    CHECK_INT(set("n", "a", "1", -1, 0, 0).kind, STORE_DURABLE);
    CHECK_INT(get("n", "a", "1", 0), 1);
    set("n", "a", "2", -1, 0, 0);
    CHECK_INT(get("n", "a", "2", 0), 2);
    CHECK_INT(get("m", "a", "", 0), 0);
    set("m", "a", "", -1, 0, 0);
    CHECK_INT(get("m", "a", "", 0), 1);
    CHECK_INT(get("n", "a", "2", 0), 2);

    CASE("compare and set, and delete");
    CHECK_INT(set("n", "a", "x", 0, 0, 0).kind, STORE_GUARD);
    CHECK_INT(set("n", "a", "x", 1, 0, 0).kind, STORE_GUARD);
    CHECK_INT(set("n", "a", "3", 2, 0, 0).kind, STORE_DURABLE);
    CHECK_INT(get("n", "a", "3", 0), 3);
    CHECK_INT(set("n", "b", "x", 1, 0, 0).kind, STORE_GUARD);
    CHECK_INT(set("n", "b", "1", 0, 0, 0).kind, STORE_DURABLE);
    CHECK_INT(del("b", 0, 0).kind, STORE_GUARD);
    CHECK_INT(del("c", 0, 0).kind, STORE_DURABLE);
    CHECK_INT(del("b", 2, 0).kind, STORE_GUARD);
    CHECK_INT(get("n", "b", "1", 0), 1);
    CHECK_INT(del("b", 1, 0).kind, STORE_DURABLE);
    CHECK_INT(get("n", "b", "", 0), 0);
    struct note n = del("a", -1, 0);
    CHECK_INT(n.changes, 1);
    n = del("a", -1, 0);
    CHECK_INT(n.kind, STORE_DURABLE);
    CHECK_INT(n.changes, 0);

    CASE("time to live: expired is missing for everybody, and begins anew");
    set("n", "t", "1", -1, 100, 50);
    set("n", "t", "2", -1, 100, 50);
    CHECK_INT(get("n", "t", "2", 99), 2);
    CHECK_INT(get("n", "t", "", 100), 0);
    CHECK_INT(set("n", "t", "x", 2, 0, 100).kind, STORE_GUARD);
    CHECK_INT(set("n", "t", "3", 0, 200, 100).kind, STORE_DURABLE);
    CHECK_INT(get("n", "t", "3", 150), 1);
    set("n", "t", "4", -1, 0, 200);
    CHECK_INT(get("n", "t", "4", 1000), 1);
    set("n", "gone", "1", -1, 300, 200);
    CHECK_INT(del("gone", 0, 300).kind, STORE_DURABLE);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM kv"), 3);
    kv_sweep(s, 299);
    store_flush(s);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM kv"), 3);
    kv_sweep(s, 300);
    store_flush(s);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM kv"), 2);
    del("t", -1, 0);

    CASE("list: prefix, order of bytes, after, limit, without the expired");
    const char *keys[] = {"p/b", "p/a", "p/\xff", "p", "q", "p/c", "o"};
    for (int i = 0; i < 7; i++) {
        set("n", keys[i], "v", -1, i == 5 ? 10 : 0, 0);
    }
    CHECK_STR(list("p/", NULL, 10, 0), "p/a1 p/b1 p/c1 p/\xff"
                                       "1 ");
    CHECK_STR(list("p/", NULL, 10, 10), "p/a1 p/b1 p/\xff"
                                        "1 ");
    CHECK_STR(list("p/", "p/a", 1, 0), "p/b1 ");
    CHECK_STR(list("p/", "a", 1, 0), "p/a1 ");
    CHECK_STR(list("p/", "z", 5, 0), "");
    CHECK_STR(list("", NULL, 3, 0), "o1 p1 p/a1 ");
    CHECK_STR(list(NULL, "p/\xff", 3, 0), "q1 ");

    CASE("a value past the reader's limit");
    char large[2000];
    memset(large, 'l', sizeof large);
    large[1999] = 0;
    set("n", "large", large, -1, 0, 0);
    struct buf b;
    struct err e = {0};
    int64_t version;
    bool found;
    buf_init(&b, 1000);
    CHECK_INT(kv_get(s, STR("n"), STR("large"), 0, &b, &version, &found, &e), ERR_LIMIT);
    buf_free(&b);

    CASE("out of memory is answered, later, and nothing is written");
    struct note lost[4] = {0};
    for (int i = 0; i < 4; i++) {
        struct store_batch *keep[4] = {NULL};
        for (int k = 0; k < i; k++) {
            keep[k] = store_batch_new(s); /* so that there may be none to use again */
        }
        mem_fail_at(1, true);
        kv_set(s, STR("n"), STR("oom"), str_of(large), -1, 0, 0, on_note, &lost[i]);
        mem_fail_at(0, false);
        CHECK_INT(lost[i].place, 0);
        store_flush(s);
        for (int k = 0; k < i; k++) {
            store_batch_free(keep[k]);
        }
        CHECK(lost[i].place > 0);
        CHECK(lost[i].kind == STORE_DURABLE || lost[i].code == ERR_NOMEM);
    }
    CHECK_INT(lost[3].code, ERR_NOMEM);
    store_close(s);
    return CHECK_DONE();
}
