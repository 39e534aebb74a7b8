/* What was done at the boundary, one row an act, each with the hash of itself and of the row
 * before: who changes, removes or inserts one breaks the chain from there on. The hash is made by
 * the writer, in the order of the commits (ml_sha256 of the store). The newest row's hash is kept
 * beside the chain, so that rows cut off at its end are missed too. */
#include "api/api_internal.h"
#include "base/hash.h"

#define HASHED "prev, n, at, principal, action, subject, detail"

void api_audit_add(struct store_batch *b, int64_t now, struct str principal, const char *action,
                   struct str subject, struct str detail_json)
{
    store_batch_add(
        b,
        "INSERT INTO api_audit(n, at, principal, action, subject, detail, prev, hash) SELECT n + "
        "1, ?1, ?2, ?3, ?4, ?5, hash, ml_sha256(hash, n + 1, ?1, ?2, ?3, ?4, ?5) FROM "
        "api_audit_head WHERE one = 1",
        "iszss", now, principal, action, subject, detail_json.n ? detail_json : STR("{}"));
}

int api_audit_list(struct api *a, int64_t after, int64_t limit, struct buf *out, struct err *e)
{
    struct store_read *r = NULL;
    int rc = store_read_open(a->store, &r, e,
                             "SELECT n, at, principal, action, subject, detail, hash FROM "
                             "api_audit WHERE n > ? ORDER BY n LIMIT ?",
                             "ii", after, limit > 0 ? limit : 1000);
    buf_putc(out, '[');
    bool first = true;
    while (rc == 0 && (rc = store_read_next(r)) == 1) {
        char iso[TIME_ISO_MAX];
        time_format_iso(store_read_i64(r, 1), iso);
        buf_printf(out, "%s{\"n\":%lld,\"at\":\"%s\",\"principal\":", first ? "" : ",",
                   (long long)store_read_i64(r, 0), iso);
        buf_put_json(out, store_read_str(r, 2));
        buf_puts(out, ",\"action\":");
        buf_put_json(out, store_read_str(r, 3));
        buf_puts(out, ",\"subject\":");
        buf_put_json(out, store_read_str(r, 4));
        buf_puts(out, ",\"detail\":");
        buf_putstr(out, store_read_str(r, 5));
        buf_puts(out, ",\"hash\":");
        buf_put_json(out, store_read_str(r, 6));
        buf_putc(out, '}');
        first = false;
        rc = 0;
    }
    store_read_close(r);
    buf_putc(out, ']');
    if (rc < 0) return e->code ? e->code : err_set(e, rc, "the audit rows could not be read");
    return out->code ? err_set(e, out->code, "too many audit rows for one answer: use --limit") : 0;
}

static void broken(struct buf *out, int64_t row, const char *why)
{
    buf_printf(out, "{\"ok\":false,\"row\":%lld,\"why\":\"%s\"}", (long long)row, why);
}

int api_audit_verify(struct api *a, struct buf *out, bool *ok, struct err *e)
{
    struct store_read *r = NULL;
    char last[SHA256_HEX] = "";
    int64_t n = 0;
    const char *why = NULL;
    int got = 0;
    int rc = store_read_open(
        a->store, &r, e, "SELECT n, prev, hash, ml_sha256(" HASHED ") FROM api_audit ORDER BY n",
        "");
    while (rc == 0 && !why && (got = store_read_next(r)) == 1) {
        struct str hash = store_read_str(r, 2);
        n++;
        if (store_read_i64(r, 0) != n)
            why = "a row is missing here";
        else if (!str_eqz(store_read_str(r, 1), last))
            why = "it does not follow from the row before";
        else if (!str_eq(hash, store_read_str(r, 3)) || hash.n >= sizeof last)
            why = "its content is not what was written";
        else
            memcpy(last, hash.p, hash.n + 1);
    }
    store_read_close(r);
    r = NULL;
    if (rc == 0 && got >= 0 && !why)
        rc = store_read_open(a->store, &r, e, "SELECT n, hash FROM api_audit_head WHERE one = 1",
                             "");
    if (rc == 0 && got >= 0 && !why) {
        got = store_read_next(r);
        if (got == 0 || (got == 1 && store_read_i64(r, 0) != n)) {
            n++;
            why = "rows are missing at the end";
        } else if (got == 1 && !str_eqz(store_read_str(r, 1), last)) {
            why = "it is not the row that was written last";
        }
    }
    store_read_close(r);
    if (rc) return rc;
    if (got < 0) return err_set(e, got, "the audit rows could not be read");
    *ok = why == NULL;
    if (why)
        broken(out, n, why);
    else
        buf_printf(out, "{\"ok\":true,\"rows\":%lld,\"head\":\"%s\"}", (long long)n, last);
    return 0;
}
