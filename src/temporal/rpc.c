/* See rpc.h. */
#include "temporal/rpc.h"
#include "base/map.h"
#include "base/mem.h"
#include "temporal/grpc.h"
#include <assert.h>

#define FIRST_NS (100 * NS_PER_MS)
#define MOST_NS (5 * NS_PER_S)
#define POLL_FIRST_NS (200 * NS_PER_MS)
#define POLL_MOST_NS (10 * NS_PER_S)
#define THROTTLE_FIRST_NS (1 * NS_PER_S)
#define THROTTLE_MOST_NS (10 * NS_PER_S)
#define POLL_GRACE_NS (60 * NS_PER_S)

struct rpc_one {
    struct rpc *r;
    struct rpc_one *prev, *next;
    uint64_t id, call; /* call: of the channel, 0 while it waits */
    struct arena arena;
    struct str path, request;
    struct rpc_options o;
    rpc_fn fn;
    void *ud;
    struct loop_timer *timer; /* made for the first wait */
    int tries, throttled;
    int64_t first_ns;
};
struct rpc {
    struct loop *loop;
    struct channel *channel;
    struct idmap ids;
    struct rpc_one *first;
    struct rng rng;
    int in_fn;
};

/* ---- policy ---- */

static bool polls(enum rpc_class class)
{
    return class == RPC_POLL || class == RPC_LONG;
}

static bool contains(struct str s, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, what, n) == 0) return true;
    return false;
}

bool rpc_retryable(enum rpc_class class, const struct channel_reply *r, int64_t first_ns)
{
    if (r->code == STATUS_OK || class == RPC_ONCE) return false;
    if (r->hopeless) return class == RPC_POLL;
    switch (r->code) {
    case STATUS_RESOURCE_EXHAUSTED:
        return !contains(r->message, "message larger than max");
    case STATUS_DATA_LOSS:
    case STATUS_INTERNAL:
    case STATUS_UNKNOWN:
    case STATUS_ABORTED:
    case STATUS_OUT_OF_RANGE:
    case STATUS_UNAVAILABLE:
        return true;
    case STATUS_CANCELLED:
    case STATUS_DEADLINE_EXCEEDED:
        return polls(class);
    default:
        return class == RPC_POLL && first_ns < POLL_GRACE_NS;
    }
}

static int64_t backoff(int64_t first, double factor, int64_t most, int n)
{
    double wait = (double)first;
    for (int i = 1; i < n && wait < (double)most; i++)
        wait *= factor;
    return wait < (double)most ? (int64_t)wait : most;
}

static int64_t next_wait(struct rpc_one *p, int code)
{
    bool poll = polls(p->o.class);
    int64_t wait = poll ? backoff(POLL_FIRST_NS, 2, POLL_MOST_NS, p->tries)
                        : backoff(FIRST_NS, 1.7, MOST_NS, p->tries);
    if (code == STATUS_RESOURCE_EXHAUSTED) {
        int64_t throttle = backoff(THROTTLE_FIRST_NS, 2, THROTTLE_MOST_NS, ++p->throttled);
        if (throttle > wait) wait = throttle;
    }
    return (int64_t)((double)wait * (0.8 + 0.4 * rng_unit(&p->r->rng)));
}

/* ---- one call ---- */

static void free_one(struct rpc_one *p)
{
    if (p->prev)
        p->prev->next = p->next;
    else if (p->r->first == p)
        p->r->first = p->next;
    if (p->next) p->next->prev = p->prev;
    if (p->id) idmap_del(&p->r->ids, p->id);
    loop_timer_close(p->timer);
    arena_free(&p->arena);
    mem_free(p);
}

static void end(struct rpc_one *p, const struct channel_reply *reply)
{
    struct rpc *r = p->r;
    struct rpc_reply out = {*reply, p->tries};
    idmap_del(&r->ids, p->id); /* stale before the owner hears of it */
    p->id = 0;
    r->in_fn++;
    p->fn(p->ud, &out);
    r->in_fn--;
    free_one(p);
}

static void on_reply(void *ud, const struct channel_reply *reply);

static int send_one(struct rpc_one *p, struct err *e)
{
    int64_t timeout = p->o.timeout_ns     ? p->o.timeout_ns
                      : polls(p->o.class) ? RPC_POLL_TIMEOUT_NS
                                          : RPC_TIMEOUT_NS;
    const struct channel_call_options o = {.lane = polls(p->o.class) ? CHANNEL_POLL : CHANNEL_CALL,
                                           .deadline_ns =
                                               clock_mono(loop_clock(p->r->loop)) + timeout,
                                           .ns = p->o.ns,
                                           .headers = p->o.headers,
                                           .n_headers = p->o.n_headers};
    return channel_call(p->r->channel, p->path.p, p->request, &o, on_reply, p, &p->call, e);
}

static void on_timer(void *ud)
{
    struct rpc_one *p = ud;
    struct err e;
    p->tries++;
    int rc = send_one(p, &e);
    if (rc == 0) return;
    const struct channel_reply local = {.code = STATUS_RESOURCE_EXHAUSTED,
                                        .message = str_of(e.text),
                                        .body = STR(""),
                                        .transport = true};
    end(p, &local);
}

/* Is the call to end, for all the time that it has taken? */
static bool enough(const struct rpc_one *p, const struct channel_reply *reply, int64_t until)
{
    struct channel_counts n;
    channel_count(p->r->channel, &n);
    if (p->o.class == RPC_POLL) return false;
    if (reply->transport && !n.ups && until > RPC_FIRST_NS) return true;
    return !polls(p->o.class) && (p->tries >= RPC_TRIES || until > RPC_RETRY_NS);
}

static void on_reply(void *ud, const struct channel_reply *reply)
{
    struct rpc_one *p = ud;
    p->call = 0;
    int64_t gone = clock_mono(loop_clock(p->r->loop)) - p->first_ns;
    bool more = rpc_retryable(p->o.class, reply, gone);
    int64_t wait = more ? next_wait(p, reply->code) : 0;
    if (more && enough(p, reply, gone + wait)) more = false;
    if (more && !p->timer && loop_timer_open(p->r->loop, on_timer, p, &p->timer)) more = false;
    if (!more) {
        end(p, reply);
        return;
    }
    loop_timer_start(p->timer, wait);
    if (p->o.on_retry) {
        struct rpc *r = p->r;
        r->in_fn++;
        p->o.on_retry(p->ud, reply, p->tries, wait); /* may cancel it */
        r->in_fn--;
    }
}

static int copy_one(struct rpc_one *p, const char *path, struct str request,
                    const struct rpc_options *o)
{
    struct arena *a = &p->arena;
    p->path = arena_str(a, str_of(path));
    p->request = request.n ? arena_str(a, request) : STR("");
    p->o = *o;
    if (o->ns.n) p->o.ns = arena_str(a, o->ns);
    struct channel_header *h = o->n_headers ? arena_alloc(a, o->n_headers * sizeof *h) : NULL;
    for (size_t i = 0; i < o->n_headers && h; i++)
        h[i] = (struct channel_header){arena_str(a, o->headers[i].name),
                                       o->headers[i].value.n ? arena_str(a, o->headers[i].value)
                                                             : STR("")};
    p->o.headers = h;
    return arena_failed(a) ? ERR_NOMEM : 0;
}

int rpc_call(struct rpc *r, const char *path, struct str request, const struct rpc_options *o,
             rpc_fn fn, void *ud, uint64_t *id, struct err *e)
{
    if (request.n > RPC_MESSAGE_MAX)
        return err_set(e, ERR_LIMIT,
                       "the request has %zu bytes, a server takes at most %zu: keep large values "
                       "in a store and pass their names",
                       request.n, RPC_MESSAGE_MAX);
    struct rpc_one *p = mem_zalloc(sizeof *p);
    if (!p) return err_set(e, ERR_NOMEM, "out of memory for a request");
    p->r = r;
    p->fn = fn;
    p->ud = ud;
    p->tries = 1;
    p->first_ns = clock_mono(loop_clock(r->loop));
    arena_init(&p->arena, 0);
    int rc = copy_one(p, path, request, o);
    if (rc == 0) {
        p->id = idmap_add(&r->ids, p);
        if (!p->id) rc = ERR_NOMEM;
    }
    if (rc)
        err_set(e, rc, "out of memory for a request");
    else
        rc = send_one(p, e);
    if (rc) {
        free_one(p);
        return rc;
    }
    p->next = r->first;
    if (p->next) p->next->prev = p;
    r->first = p;
    *id = p->id;
    return 0;
}

void rpc_cancel(struct rpc *r, uint64_t id)
{
    struct rpc_one *p = idmap_get(&r->ids, id);
    if (!p) return;
    if (p->call) channel_cancel(r->channel, p->call);
    free_one(p);
}

size_t rpc_open_calls(const struct rpc *r)
{
    size_t n = 0;
    for (const struct rpc_one *p = r->first; p; p = p->next)
        n++;
    return n;
}

/* ---- opening and closing ---- */

int rpc_open(struct loop *l, struct channel *c, const struct entropy *entropy, struct rpc **out,
             struct err *e)
{
    unsigned char seed[32];
    if (entropy_fill(entropy ? entropy : &entropy_system, seed, sizeof seed))
        return err_set(e, ERR_IO, "no random numbers for the channel");
    struct rpc *r = mem_zalloc(sizeof *r);
    if (!r) return err_set(e, ERR_NOMEM, "out of memory for the channel");
    r->loop = l;
    r->channel = c;
    idmap_init(&r->ids);
    rng_seed(&r->rng, str_make(seed, sizeof seed));
    *out = r;
    return 0;
}

void rpc_close(struct rpc *r)
{
    if (!r) return;
    assert(!r->in_fn);
    while (r->first) {
        struct rpc_one *p = r->first;
        if (p->call) channel_cancel(r->channel, p->call);
        free_one(p);
    }
    idmap_free(&r->ids);
    mem_free(r);
}
