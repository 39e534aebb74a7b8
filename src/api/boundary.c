/* Entering: who calls, may they, was this asked before, how often, can they pay; each refusal
 * typed. A key is claimed in memory before the handler runs: who comes with the same key and body
 * waits for the same answer, and a key that was answered gives that answer again, byte for byte. */
#include "api/api_internal.h"
#include "base/hash.h"

/* ---- calls ---- */
struct api_call *api_call_of(struct api *a, uint64_t id)
{
    return idmap_get(&a->calls, id);
}

void api_call_free(struct api_call *c)
{
    struct api *a = c->a;
    if (c->id) {
        idmap_del(&a->calls, c->id);
        map_del(&a->open, map_i64((const int64_t *)&c->id));
    }
    arena_free(&c->arena);
    mem_free(c);
}

static struct api_call *call_new(struct api *a)
{
    struct api_call *c = mem_zalloc(sizeof *c);
    if (!c) return NULL;
    c->a = a;
    arena_init(&c->arena, API_BODY_MAX + ((size_t)1 << 20));
    c->id = idmap_add(&a->calls, c);
    if (c->id && map_set(&a->open, map_i64((const int64_t *)&c->id), c) == 0) return c;
    api_call_free(c);
    return NULL;
}

/* Everybody who waited for the key gets the answer that its leader got. */
static void answer_waiters(struct api_waiter *w, const struct api_answer *x)
{
    while (w) {
        struct api_waiter *next = w->next;
        struct api_answer again = *x;
        again.replayed = true;
        struct api_entry entry = {.answer = &again, .principal = w->principal, .scopes = w->scopes};
        w->fn(w->ud, &entry);
        arena_free(&w->arena);
        mem_free(w);
        w = next;
    }
}

void api_call_answer(struct api_call *c, const struct api_answer *x)
{
    struct api_claim *claim = c->claim;
    api_answer_fn fn = c->fn;
    void *ud = c->ud;
    if (claim) map_del(&c->a->claims, claim->name);
    /* x may lie in the call's memory: freed last */
    int64_t id = (int64_t)c->id;
    idmap_del(&c->a->calls, c->id);
    map_del(&c->a->open, map_i64(&id));
    c->id = 0;
    if (fn) fn(ud, x);
    if (claim) {
        answer_waiters(claim->first, x);
        mem_free((void *)(uintptr_t)claim->name.p);
        mem_free(claim);
    }
    api_call_free(c);
}

/* ---- entering ---- */
struct entering {
    struct api *a;
    const struct api_request *r;
    api_entry_fn fn;
    void *ud;
    struct arena arena;
    struct api_principal who;
    struct api_rate rate;
    struct str claim; /* principal, route and key */
    uint8_t digest[SHA256_BYTES];
};

static void on_refusal(void *ud, const struct api_answer *x)
{
    struct entering *n = ud;
    struct api_entry entry = {.answer = x, .principal = n->who.name, .scopes = n->who.scopes};
    n->fn(n->ud, &entry);
}

/* 1: answered. */
static int identify(struct entering *n)
{
    const struct api_request *r = n->r;
    enum problem_kind kind = PROBLEM_UNAUTHORIZED;
    const char *why = "";
    struct str missing;
    n->who = (struct api_principal){
        r->principal.p ? r->principal : STR(""), r->scopes.p ? r->scopes : STR(""), {0}};
    if (!r->principal.n && (r->auth || r->authorization.n)) {
        if (api_token_check(n->a, r->authorization, &n->arena, &n->who, &kind, &why)) {
            api_answer_problem(on_refusal, n, kind, kind == PROBLEM_UNAVAILABLE, "%s", why);
            return 1;
        }
    } else if (!api_principal_stands(n->a, n->who.name)) {
        api_answer_problem(on_refusal, n, PROBLEM_FORBIDDEN, 0,
                           "the token that this acts for was revoked");
        return 1;
    }
    if (!str_eqz(n->who.name, "local") && !api_scopes_hold(n->who.scopes, r->scope, &missing)) {
        api_answer_problem(on_refusal, n, PROBLEM_FORBIDDEN, 0,
                           "the scope \"" STR_FMT "\" is needed", STR_ARG(missing));
        return 1;
    }
    return 0;
}

static void other_body(struct entering *n)
{
    api_answer_problem(on_refusal, n, PROBLEM_KEY_REUSED, 0,
                       "the idempotency key was used before for another request");
}

static int wait_for(struct entering *n, struct api_claim *claim)
{
    if (!hash_equal_ct(claim->digest, n->digest, SHA256_BYTES)) {
        other_body(n);
        return 1;
    }
    struct api_waiter *w = mem_zalloc(sizeof *w);
    if (!w) {
        api_answer_problem(on_refusal, n, PROBLEM_UNAVAILABLE, 1, "out of memory");
        return 1;
    }
    arena_init(&w->arena, 0);
    w->principal = arena_str(&w->arena, n->who.name);
    w->scopes = arena_str(&w->arena, n->who.scopes);
    w->fn = n->fn;
    w->ud = n->ud;
    if (claim->last)
        claim->last->next = w;
    else
        claim->first = w;
    claim->last = w;
    return 1;
}

/* 1: answered before, or by somebody who is at it; 0: this call may claim the key. */
static int recall(struct entering *n)
{
    const struct api_request *r = n->r;
    struct store_read *q = NULL;
    struct err e = {0};
    if (r->key.n > API_KEY_MAX) {
        api_answer_problem(on_refusal, n, PROBLEM_BAD_REQUEST, 0,
                           "an idempotency key has at most %d bytes", API_KEY_MAX);
        return 1;
    }
    hash_sha256(r->body.p ? r->body : STR(""), n->digest);
    n->claim = arena_printf(&n->arena, STR_FMT "\n" STR_FMT "\n" STR_FMT, STR_ARG(n->who.name),
                            STR_ARG(r->route), STR_ARG(r->key));
    struct api_claim *claim = map_get(&n->a->claims, n->claim);
    if (claim) return wait_for(n, claim);
    int rc = store_read_open(
        n->a->store, &q, &e,
        "SELECT digest, status, body, type FROM api_idempotency WHERE principal = ? "
        "AND route = ? AND key = ?",
        "sss", n->who.name, r->route, r->key);
    int got = rc ? rc : store_read_next(q);
    if (got == 1) {
        struct str digest = store_read_str(q, 0);
        if (digest.n == SHA256_BYTES && hash_equal_ct(digest.p, n->digest, SHA256_BYTES)) {
            struct api_answer x = {.status = (int)store_read_i64(q, 1),
                                   .body = store_read_str(q, 2),
                                   .content_type = store_read_str(q, 3),
                                   .replayed = true};
            on_refusal(n, &x);
        } else {
            other_body(n);
        }
    } else if (got < 0) {
        api_answer_problem(on_refusal, n, PROBLEM_UNAVAILABLE, 1, "%s",
                           e.code ? e.text : "the key could not be looked up");
    }
    store_read_close(q);
    return got != 0;
}

static int count(struct entering *n, struct api_call *c)
{
    int64_t wait = 0;
    struct err e = {0};
    const struct api_rate *rate = &c->rate;
    if (!rate->n || !api_counted(n->who.name)) {
        c->rate.n = 0;
        return 0;
    }
    c->bucket = api_bucket_name(&c->arena, n->who.name, n->r->rate.n ? n->r->route : STR("*"));
    int rc = api_rate_take(n->a, c->bucket, rate, api_now(n->a), &c->tat_ns, &wait, &e);
    if (rc) {
        api_call_problem(c, PROBLEM_UNAVAILABLE, "%s", e.text);
        return 1;
    }
    if (!wait) return 0;
    int64_t s = (wait + NS_PER_S - 1) / NS_PER_S, rate_n = rate->n;
    c->rate.n = 0;
    c->retry_after_s = s;
    api_call_problem(c, PROBLEM_RATE_LIMITED,
                     "more than %lld requests in %lld s: try again in %lld s", (long long)rate_n,
                     (long long)(rate->period_ns / NS_PER_S), (long long)s);
    return 1;
}

static void refused_entry(void *ud, const struct api_answer *x)
{
    on_refusal(ud, x);
}

/* The key is claimed; the call lives until it is answered. */
static struct api_call *claim_call(struct entering *n)
{
    struct api_call *c = call_new(n->a);
    if (!c) return NULL;
    c->route = arena_str(&c->arena, n->r->route);
    c->principal = arena_str(&c->arena, n->who.name);
    c->scopes = arena_str(&c->arena, n->who.scopes);
    c->rate = n->rate;
    c->cost = n->r->cost;
    memcpy(c->digest, n->digest, sizeof c->digest);
    if (n->r->key.n) {
        c->key = arena_str(&c->arena, n->r->key);
        struct api_claim *claim = mem_zalloc(sizeof *claim);
        char *name = claim ? str_dup(n->claim) : NULL;
        if (!name || map_set(&n->a->claims, n->claim, claim)) {
            mem_free(name);
            mem_free(claim);
            api_call_free(c);
            return NULL;
        }
        claim->name = str_make(name, n->claim.n);
        memcpy(claim->digest, n->digest, sizeof claim->digest);
        c->claim = claim;
    }
    c->fn = refused_entry;
    c->ud = n;
    return c;
}

static void admit(struct entering *n)
{
    struct api_call *c = claim_call(n);
    if (!c || arena_failed(&c->arena) || arena_failed(&n->arena)) {
        if (c)
            api_call_problem(c, PROBLEM_UNAVAILABLE, "out of memory");
        else
            api_answer_problem(on_refusal, n, PROBLEM_UNAVAILABLE, 1, "out of memory");
        return;
    }
    if (count(n, c)) return;
    if (c->cost > 0 && api_counted(c->principal) && api_balance(n->a, c->principal) < c->cost) {
        api_call_problem(c, PROBLEM_OUT_OF_CREDIT, "%lld credits are needed", (long long)c->cost);
        return;
    }
    c->fn = NULL;
    struct api_entry entry = {.call = c->id, .principal = c->principal, .scopes = c->scopes};
    n->fn(n->ud, &entry);
}

int api_enter(struct api *a, const struct api_request *r, api_entry_fn fn, void *ud, struct err *e)
{
    struct entering n = {.a = a, .r = r, .fn = fn, .ud = ud};
    int rc = api_rate_parse(r->rate, &n.rate, e);
    if (rc) return rc;
    if (r->cost < 0) return err_set(e, ERR_ARG, "a cost is 0 or more");
    arena_init(&n.arena, 0);
    if (a->closing) {
        n.who.name = n.who.scopes = STR("");
        api_answer_problem(on_refusal, &n, PROBLEM_UNAVAILABLE, 1, "the server is stopping");
    } else if (!identify(&n)) {
        if (!n.rate.n) n.rate = n.who.rate;
        if (!r->key.n || !recall(&n)) admit(&n);
    }
    arena_free(&n.arena);
    return 0;
}
