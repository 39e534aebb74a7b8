/* Inside of the boundary. One thread, the loop's. A call lives from api_enter to its answer; a
 * claim is a key that somebody works on, with those who wait for the same answer. */
#ifndef ML_API_INTERNAL_H
#define ML_API_INTERNAL_H
#include "api/api.h"
#include "base/map.h"
#include "base/mem.h"
#include "http/problem.h"

#define API_BODY_MAX ((size_t)16 << 20)
#define API_KEY_MAX 255 /* of an idempotency key, as others have it */
#define API_KEEP_NS (INT64_C(7) * 24 * 3600 * NS_PER_S) /* how long answers are kept */
#define API_BUCKETS_MAX 100000
#define API_SHAPES_MAX 2000 /* texts of queries that are kept */

/* "30/min": at most n in a period, refilled evenly (a token bucket, kept as one time). */
struct api_rate {
    int64_t n;           /* 0: none */
    int64_t interval_ns; /* period / n */
    int64_t period_ns;
};
int api_rate_parse(struct str text, struct api_rate *out, struct err *e);

/* ---- who calls ---- */
struct api_principal {
    struct str name, scopes; /* in the arena of who asked */
    struct api_rate rate;    /* the token's own */
};
/* 0, or a code, with the problem and *why for people. */
int api_token_check(struct api *a, struct str authorization, struct arena *ar,
                    struct api_principal *out, enum problem_kind *kind, const char **why);
/* Whether a principal's key stands: true for those that have none. */
bool api_principal_stands(struct api *a, struct str name);
struct str api_key_of(struct str principal); /* the id of "key:ID"; absent: not a key's */
bool api_scopes_hold(struct str have, struct str need, struct str *missing);
bool api_counted(struct str principal); /* rates and credits hold for it */

/* ---- guards: what failed when the batch did ---- */
enum api_guard { GUARD_KEY, GUARD_TOKEN, GUARD_RATE, GUARD_CREDIT, GUARD_ROW, GUARD_ID };
struct api_guards {
    uint8_t kinds[520];
    size_t n;
};

struct api_call {
    uint64_t id;
    struct api *a;
    struct arena arena;
    struct str route, principal, scopes, key, bucket;
    uint8_t digest[32];
    struct api_rate rate;
    int64_t retry_after_s; /* of a refusal */
    int64_t cost, tat_ns;  /* of the bucket, when this call is counted */
    struct api_claim *claim;
    struct api_guards guards;
    /* while it commits */
    struct str body, content_type, workflow_id, reservation, run_id;
    int status;
    api_answer_fn fn;
    void *ud;
};
struct api_waiter {
    struct api_waiter *next;
    struct arena arena; /* principal and scopes */
    struct str principal, scopes;
    api_entry_fn fn;
    void *ud;
};
struct api_claim {
    struct str name; /* the map's key */
    uint8_t digest[32];
    struct api_waiter *first, *last;
};
struct api {
    struct store *store;
    struct backend *b;
    const struct clock *clock;
    const struct entropy *entropy;
    const struct log *log;
    int (*workflow)(void *ud, struct str type, struct api_workflow *out, struct err *e);
    void *ud;
    char *identity;
    struct idmap calls;
    struct map open;    /* call -> call: those that are not answered */
    struct map claims;  /* principal, route, key -> struct api_claim */
    struct map buckets; /* principal, route -> int64_t *: time at which the bucket is empty */
    struct map shapes;  /* texts of statements that are made of names; kept for the store */
    struct map uniques; /* tables with fields that are unique */
    struct map watched; /* reservation -> struct watch: its run's end is waited for */
    struct map sending; /* workflow id -> struct sending (outbox.c) */
    bool closing, outbox;
};
static inline int64_t api_now(const struct api *a)
{
    return clock_wall(a->clock);
}
/* The text, kept for as long as the store lives; NULL: too many, or no memory. */
const char *api_shape(struct api *a, struct str sql);

/* ---- rates ---- */
struct str api_bucket_name(struct arena *ar, struct str principal, struct str route);
/* Counts a request against the bucket: 0 and the bucket's new time, or how long to wait (ns). */
int api_rate_take(struct api *a, struct str bucket, const struct api_rate *r, int64_t now,
                  int64_t *tat_ns, int64_t *wait_ns, struct err *e);
/* The same at the commit: a guard. */
void api_rate_add(struct store_batch *b, struct str bucket, const struct api_rate *r, int64_t now,
                  int64_t tat_ns, bool guard);

/* ---- the ledger ---- */
#define LEDGER_ISSUED "issued"
int64_t api_balance(struct api *a, struct str principal);
void api_ledger_grant(struct store_batch *b, struct str principal, int64_t amount, int64_t now);
/* One guard: the balance covers it. */
void api_ledger_take_back(struct store_batch *b, struct str principal, int64_t amount, int64_t now);
void api_ledger_reserve(struct store_batch *b, struct str principal, struct str id, int64_t amount,
                        struct str workflow_id, int64_t now);
/* One guard: it is open still. */
void api_ledger_close(struct store_batch *b, struct str id, bool settle, int64_t now);

/* ---- the audit chain ---- */
void api_audit_add(struct store_batch *b, int64_t now, struct str principal, const char *action,
                   struct str subject, struct str detail_json);

/* ---- rows ---- */
int api_uniques_load(struct api *a, struct err *e);
int api_intents_guard(struct api *a, struct store_batch *b, const struct api_intent *intents,
                      size_t n, struct api_guards *g, struct err *e);

/* ---- the outbox ---- */
/* One guard: the workflow's id is not used. */
void api_outbox_add(struct store_batch *b, const struct api_call *c, const struct api_accept *x,
                    struct str queue, struct str request, struct str header_json, int64_t now);
void api_outbox_send(struct api *a, struct str workflow_id); /* its row is durable */
int api_outbox_resume(struct api *a, struct err *e);
void api_outbox_free(struct api *a);

/* ---- settling ---- */
void api_watch(struct api *a, struct str reservation, struct str workflow_id, struct str run_id);
void api_watch_free(struct api *a);

/* ---- answers ---- */
void api_answer_problem(api_answer_fn fn, void *ud, enum problem_kind kind, int64_t retry_after_s,
                        const char *fmt, ...) __attribute__((format(printf, 5, 6)));
struct api_call *api_call_of(struct api *a, uint64_t id);
void api_call_free(struct api_call *c);
void api_call_answer(struct api_call *c, const struct api_answer *x); /* frees it */
void api_call_problem(struct api_call *c, enum problem_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
