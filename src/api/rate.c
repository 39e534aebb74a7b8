/* Rates: a token bucket for each principal and route, kept as the one time at which all that was
 * taken is refilled (GCRA). Memory decides while the process lives, and counts every request; the
 * file keeps what was counted, each with the commit of its request, so that after a restart at most
 * the requests that were never answered are forgotten. */
#include "api/api_internal.h"

int api_rate_parse(struct str text, struct api_rate *out, struct err *e)
{
    static const struct {
        const char *name;
        int64_t s;
    } units[] = {{"s", 1},  {"sec", 1},  {"second", 1},  {"min", 60},  {"minute", 60},
                 {"m", 60}, {"h", 3600}, {"hour", 3600}, {"d", 86400}, {"day", 86400}};
    int64_t n = 0;
    size_t i = 0;
    *out = (struct api_rate){0};
    if (!text.n) return 0;
    while (i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && n < 1000000000)
        n = n * 10 + (text.p[i++] - '0');
    struct str unit = i + 1 < text.n && text.p[i] == '/' ? str_make(text.p + i + 1, text.n - i - 1)
                                                         : (struct str){NULL, 0};
    for (size_t k = 0; n >= 1 && n <= 1000000 && unit.n && k < sizeof units / sizeof *units; k++)
        if (str_eqz(unit, units[k].name)) {
            out->n = n;
            out->period_ns = units[k].s * NS_PER_S;
            out->interval_ns = out->period_ns / n;
            return 0;
        }
    return err_set(e, ERR_ARG,
                   "\"" STR_FMT "\" is no rate: \"30/min\", with s, min, h or d, and at most a "
                   "million",
                   STR_ARG(text));
}

struct str api_bucket_name(struct arena *ar, struct str principal, struct str route)
{
    return arena_printf(ar, STR_FMT "\n" STR_FMT, STR_ARG(principal), STR_ARG(route));
}

/* Buckets that are full again say nothing. */
static void sweep(struct api *a, int64_t now)
{
    for (struct map_entry *x = a->buckets.first, *next; x; x = next) {
        next = x->next;
        int64_t *tat = x->value;
        if (*tat > now) continue;
        map_del(&a->buckets, x->key);
        mem_free(tat);
    }
}

static int64_t *bucket_of(struct api *a, struct str name, int64_t now, struct err *e)
{
    int64_t *tat = map_get(&a->buckets, name);
    struct store_read *r = NULL;
    if (tat) return tat;
    if (a->buckets.n >= API_BUCKETS_MAX) sweep(a, now);
    tat = a->buckets.n < API_BUCKETS_MAX ? mem_zalloc(sizeof *tat) : NULL;
    if (!tat || map_set(&a->buckets, name, tat)) {
        mem_free(tat);
        err_set(e, ERR_LIMIT, "too many callers are counted at once");
        return NULL;
    }
    int rc = store_read_open(a->store, &r, e, "SELECT empty_at FROM api_rates WHERE bucket = ?",
                             "s", name);
    int got = rc ? rc : store_read_next(r);
    if (got == 1) *tat = store_read_i64(r, 0);
    store_read_close(r);
    if (got >= 0) return tat;
    map_del(&a->buckets, name);
    mem_free(tat);
    err_set(e, got, "the rate of a caller could not be read");
    return NULL;
}

int api_rate_take(struct api *a, struct str bucket, const struct api_rate *r, int64_t now,
                  int64_t *tat_ns, int64_t *wait_ns, struct err *e)
{
    int64_t *tat = bucket_of(a, bucket, now, e);
    if (!tat) return e->code;
    int64_t from = *tat > now ? *tat : now;
    int64_t next = from + r->interval_ns;
    *wait_ns = 0;
    if (next - now > r->period_ns) { /* also with a clock that was set back: at most a period */
        *wait_ns = next - now - r->period_ns;
        if (*wait_ns > r->period_ns) *tat = now + r->period_ns;
        return 0;
    }
    *tat = *tat_ns = next;
    return 0;
}

void api_rate_add(struct store_batch *b, struct str bucket, const struct api_rate *r, int64_t now,
                  int64_t tat_ns, bool guard)
{
    static const char sql[] =
        "INSERT INTO api_rates(bucket, empty_at) VALUES(?, ?) ON CONFLICT(bucket) DO UPDATE SET "
        "empty_at = max(empty_at, excluded.empty_at) WHERE empty_at <= ?";
    int64_t most = guard ? now + r->period_ns : INT64_MAX;
    if (guard)
        store_batch_guard(b, sql, "sii", bucket, tat_ns, most);
    else
        store_batch_add(b, sql, "sii", bucket, tat_ns, most);
}
