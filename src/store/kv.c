/* The key-value part: each call is one batch, its expectation a guard, so compare-and-set is
 * decided at the commit. An expired key counts as missing everywhere; sweeping only frees its
 * space. */
#include "store/kv.h"
#include "store/store_internal.h"

const char kv_schema_sql[] = "CREATE TABLE kv(ns BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT "
                             "NULL, version INTEGER NOT NULL,"
                             " expires INTEGER NOT NULL, PRIMARY KEY(ns,key)) WITHOUT ROWID;"
                             "CREATE INDEX kv_expires ON kv(expires) WHERE expires>0;";

#define LIVE " (expires=0 OR expires>?)"

/* {NULL,0} would bind null; keys and values may be empty. */
static struct str solid(struct str s)
{
    return s.p ? s : (struct str){"", 0};
}

int kv_get(struct store *s, struct str ns, struct str key, int64_t now_ns, struct buf *out,
           int64_t *version, bool *found, struct err *e)
{
    struct store_read *r = NULL;
    int code =
        store_read_open(s, &r, e, "SELECT value,version FROM kv WHERE ns=? AND key=? AND" LIVE,
                        "bbi", solid(ns), solid(key), now_ns);
    if (code) {
        return code;
    }
    int got = store_read_next(r);
    if (got < 0) {
        code = err_set(e, got, "reading a stored key failed: %s", err_name(got));
    } else if (got > 0) {
        code = buf_putstr(out, store_read_str(r, 0));
        if (code) {
            err_set(e, code, "a stored value is larger than the limit");
        } else {
            *version = store_read_i64(r, 1);
        }
    }
    if (!code) {
        *found = got > 0;
    }
    store_read_close(r);
    return code;
}

/* Out of memory: answered like any other write, from the store's reserve; when that is used up too,
 * at once. */
static void no_batch(struct store *s, store_answer_fn fn, void *ud)
{
    if (!store_submit_failed(s, ERR_NOMEM, fn, ud) && fn) {
        struct store_answer a = {.kind = STORE_STORAGE};
        err_set(&a.err, ERR_NOMEM, "out of memory");
        fn(ud, &a);
    }
}

void kv_set(struct store *s, struct str ns, struct str key, struct str value,
            int64_t expect_version, int64_t expires_ns, int64_t now_ns, store_answer_fn fn,
            void *ud)
{
    struct store_batch *b = store_batch_new(s);
    if (!b) {
        no_batch(s, fn, ud);
        return;
    }
    ns = solid(ns);
    key = solid(key);
    value = solid(value);
    if (expect_version < 0) {
        store_batch_add(
            b,
            "INSERT INTO kv(ns,key,value,version,expires) VALUES(?,?,?,1,?) ON CONFLICT(ns,key) DO "
            "UPDATE SET"
            " value=excluded.value, expires=excluded.expires,"
            " version=CASE WHEN kv.expires=0 OR kv.expires>? THEN kv.version+1 ELSE 1 END",
            "bbbii", ns, key, value, expires_ns, now_ns);
    } else if (expect_version == 0) {
        store_batch_guard(b,
                          "INSERT INTO kv(ns,key,value,version,expires) VALUES(?,?,?,1,?) ON "
                          "CONFLICT(ns,key) DO UPDATE"
                          " SET value=excluded.value, expires=excluded.expires, version=1"
                          " WHERE kv.expires>0 AND kv.expires<=?",
                          "bbbii", ns, key, value, expires_ns, now_ns);
    } else {
        store_batch_guard(b,
                          "UPDATE kv SET value=?, expires=?, version=version+1"
                          " WHERE ns=? AND key=? AND version=? AND" LIVE,
                          "bibbii", value, expires_ns, ns, key, expect_version, now_ns);
    }
    store_submit(s, b, fn, ud);
}

void kv_delete(struct store *s, struct str ns, struct str key, int64_t expect_version,
               int64_t now_ns, store_answer_fn fn, void *ud)
{
    struct store_batch *b = store_batch_new(s);
    if (!b) {
        no_batch(s, fn, ud);
        return;
    }
    ns = solid(ns);
    key = solid(key);
    if (expect_version < 0) {
        store_batch_add(b, "DELETE FROM kv WHERE ns=? AND key=? AND" LIVE, "bbi", ns, key, now_ns);
    } else if (expect_version == 0) {
        store_batch_guard(
            b, "SELECT 1 WHERE NOT EXISTS(SELECT 1 FROM kv WHERE ns=? AND key=? AND" LIVE ")",
            "bbi", ns, key, now_ns);
    } else {
        store_batch_guard(b, "DELETE FROM kv WHERE ns=? AND key=? AND version=? AND" LIVE, "bbii",
                          ns, key, expect_version, now_ns);
    }
    store_submit(s, b, fn, ud);
}

int kv_list(struct store *s, struct str ns, struct str prefix, struct str after, int limit,
            int64_t now_ns, void (*each)(void *ud, struct str key, int64_t version), void *ud,
            struct err *e)
{
    struct store_read *r = NULL;
    prefix = solid(prefix);
    /* From the prefix, or from just behind `after` when that is further; ended by the first key
     * without the prefix. */
    bool from_after = after.p && str_cmp(after, prefix) >= 0;
    int code =
        store_read_open(s, &r, e,
                        "SELECT key,version FROM kv WHERE ns=? AND key>=? AND (? OR key>?) AND" LIVE
                        " ORDER BY key",
                        "bbibi", solid(ns), from_after ? after : prefix, (int64_t)!from_after,
                        from_after ? after : prefix, now_ns);
    if (code) {
        return code;
    }
    int got = 0;
    for (int i = 0; i < limit; i++) {
        got = store_read_next(r);
        if (got <= 0) {
            break;
        }
        struct str key = store_read_str(r, 0);
        if (!str_starts(key, prefix)) {
            break;
        }
        each(ud, key, store_read_i64(r, 1));
    }
    if (got < 0) {
        code = err_set(e, got, "listing stored keys failed: %s", err_name(got));
    }
    store_read_close(r);
    return code;
}

void kv_sweep(struct store *s, int64_t now_ns)
{
    struct store_batch *b = store_batch_new(s);
    if (!b) {
        return; /* the next sweep does it */
    }
    store_batch_add(
        b,
        "DELETE FROM kv WHERE (ns,key) IN (SELECT ns,key FROM kv WHERE expires>0 AND expires<=?"
        " ORDER BY expires LIMIT 1000)",
        "i", now_ns);
    store_submit(s, b, NULL, NULL);
}
