/* Which calls are tried again, when, and with which bytes. */
#include "base/mem.h"
#include "check.h"
#include "h2_server.h"
#include "temporal/rpc.h"
#include "temporal/status.h"

static struct loop *loop;
static struct channel *channel;
static struct rpc *rpc;
static struct h2_server *server;
static int port;

struct got {
    bool done;
    int code, tries, waits;
    int64_t wait[40];
    int stop_after; /* waits; 0: never */
    uint64_t id;
};

static void on_reply(void *ud, const struct rpc_reply *r)
{
    struct got *g = ud;
    CHECK(!g->done);
    g->done = true;
    g->code = r->r.code;
    g->tries = r->tries;
}

static void on_retry(void *ud, const struct channel_reply *r, int tries, int64_t wait_ns)
{
    struct got *g = ud;
    CHECK(r->code != 0 && tries == g->waits + 1 && g->waits < 40);
    g->wait[g->waits++] = wait_ns;
    if (g->waits == g->stop_after) {
        rpc_cancel(rpc, g->id);
        g->done = true;
    }
}

static void start(struct got *g, const char *path, struct rpc_options o)
{
    struct err e;
    int stop = g->stop_after;
    char body[] = "the same bytes";
    memset(g, 0, sizeof *g);
    g->stop_after = stop;
    o.on_retry = on_retry;
    CHECK_INT(rpc_call(rpc, path, str_of(body), &o, on_reply, g, &g->id, &e), 0);
    memset(body, 'x', sizeof body); /* copied */
}

static void run(struct got *g, const char *path, struct rpc_options o)
{
    start(g, path, o);
    while (!g->done)
        loop_turn(loop, -1);
}

/* Within a fifth of what the policy says. */
static void check_wait(int64_t got, int64_t want_ms)
{
    if (got < want_ms * NS_PER_MS * 8 / 10 || got > want_ms * NS_PER_MS * 12 / 10)
        fprintf(stderr, "%lld ms instead of %lld\n", (long long)(got / NS_PER_MS),
                (long long)want_ms);
    CHECK(got >= want_ms * NS_PER_MS * 8 / 10 && got <= want_ms * NS_PER_MS * 12 / 10);
}

/* On a channel of its own, whose port nobody listens on. */
static void nobody(void)
{
    struct rpc *all = rpc;
    struct channel *other = NULL;
    struct err e;
    struct got g = {0};
    const struct channel_options o = {.address = STR("127.0.0.1:1")};
    CHECK_INT(channel_open(loop, &o, &other, &e), 0);
    CHECK_INT(rpc_open(loop, other, NULL, &rpc, &e), 0);
    const enum rpc_class classes[] = {RPC_CALL, RPC_LONG};
    struct channel_counts counts;
    uint64_t tries = 0;
    for (size_t i = 0; i < 2; i++) {
        int64_t waited = 0;
        run(&g, "/t/code/0", (struct rpc_options){.class = classes[i]});
        CHECK_INT(g.code, STATUS_UNAVAILABLE);
        for (int k = 0; k < g.waits; k++)
            waited += g.wait[k];
        tries += (uint64_t)g.tries;
        CHECK(g.tries > 1 && waited <= RPC_FIRST_NS);
    }
    channel_count(other, &counts);
    CHECK(counts.connects == tries && counts.ups == 0); /* one connection a try */
    start(&g, "/t/code/0", (struct rpc_options){.class = RPC_POLL});
    for (int64_t until = clock_mono(&clock_system) + 2 * RPC_FIRST_NS;
         clock_mono(&clock_system) < until || g.waits < 2;)
        loop_turn(loop, 20 * NS_PER_MS);
    CHECK(!g.done);
    CHECK_INT(rpc_open_calls(rpc), 1); /* also while it waits for another try */
    rpc_cancel(rpc, g.id);
    CHECK_INT(rpc_open_calls(rpc), 0);
    rpc_close(rpc);
    channel_close(other);
    rpc = all;
}

static bool retried(enum rpc_class class, int code, const char *message, int64_t age)
{
    const struct channel_reply r = {.code = code, .message = str_of(message)};
    return rpc_retryable(class, &r, age);
}

static void test_policy(void)
{
    CASE("codes");
    for (int code = 0; code <= 17; code++) {
        bool normal = code == STATUS_UNKNOWN || code == STATUS_RESOURCE_EXHAUSTED ||
                      code == STATUS_ABORTED || code == STATUS_OUT_OF_RANGE ||
                      code == STATUS_INTERNAL || code == STATUS_UNAVAILABLE ||
                      code == STATUS_DATA_LOSS;
        bool held = normal || code == STATUS_CANCELLED || code == STATUS_DEADLINE_EXCEEDED;
        CHECK(retried(RPC_CALL, code, "x", 0) == normal);
        CHECK(retried(RPC_LONG, code, "x", 0) == held);
        CHECK(retried(RPC_POLL, code, "x", 0) == (code != 0));
        CHECK(retried(RPC_POLL, code, "x", 61 * NS_PER_S) == held);
        CHECK(!retried(RPC_ONCE, code, "x", 0));
    }
    CASE("a message that is too large is final");
    const char *large = "grpc: received message larger than max (5 vs. 4)";
    CHECK(!retried(RPC_CALL, STATUS_RESOURCE_EXHAUSTED, large, 0));
    CHECK(!retried(RPC_POLL, STATUS_RESOURCE_EXHAUSTED, large, 0));
    CASE("a setting that is wrong: told at once, but a worker's poll waits for its mending");
    const struct channel_reply r = {
        .code = STATUS_UNAVAILABLE, .transport = true, .hopeless = true};
    CHECK(!rpc_retryable(RPC_CALL, &r, 0) && !rpc_retryable(RPC_LONG, &r, 0));
    CHECK(rpc_retryable(RPC_POLL, &r, 100 * NS_PER_S));
}

static void test_tries(void)
{
    struct got g = {0};
    struct err e;
    CASE("fails three times, with the same bytes each time");
    run(&g, "/t/fail/3", (struct rpc_options){0});
    CHECK_INT(g.code, 0);
    CHECK_INT(g.tries, 4);
    CHECK_INT(h2_state(server)->calls, 4);
    check_wait(g.wait[0], 100);
    check_wait(g.wait[1], 170);
    check_wait(g.wait[2], 289);
    CHECK(memcmp(h2_state(server)->body.p, "\0\0\0\0\16the same bytes", 19) == 0);

    CASE("not again");
    run(&g, "/t/code/3", (struct rpc_options){0});
    CHECK(g.code == STATUS_INVALID_ARGUMENT && g.tries == 1);
    run(&g, "/t/code/14", (struct rpc_options){.class = RPC_ONCE});
    CHECK(g.code == STATUS_UNAVAILABLE && g.tries == 1);

    CASE("polls wait longer and longer, and can be cancelled while they wait");
    g.stop_after = 3;
    run(&g, "/t/code/1", (struct rpc_options){.class = RPC_POLL});
    check_wait(g.wait[0], 200);
    check_wait(g.wait[1], 400);
    check_wait(g.wait[2], 800);
    CASE("a busy server gets more time");
    g.stop_after = 2;
    run(&g, "/t/code/8", (struct rpc_options){.class = RPC_CALL});
    check_wait(g.wait[0], 1000);
    check_wait(g.wait[1], 2000);
    CASE("a poll's deadline is the end of one try");
    g.stop_after = 2;
    run(&g, "/t/mute", (struct rpc_options){.class = RPC_POLL, .timeout_ns = 30 * NS_PER_MS});
    CHECK_INT(g.waits, 2);
    g.stop_after = 0;
    run(&g, "/t/mute", (struct rpc_options){.class = RPC_CALL, .timeout_ns = 30 * NS_PER_MS});
    CHECK(g.code == STATUS_DEADLINE_EXCEEDED && g.tries == 1);

    CASE("ten seconds in all");
    int64_t before = clock_mono(&clock_system), waited = 0;
    run(&g, "/t/code/14", (struct rpc_options){0});
    CHECK_INT(g.code, STATUS_UNAVAILABLE);
    for (int i = 0; i < g.waits; i++)
        waited += g.wait[i];
    CHECK(waited <= RPC_RETRY_NS && g.tries == g.waits + 1 && g.tries >= 7 && g.tries <= RPC_TRIES);
    CHECK(clock_mono(&clock_system) - before >= waited);

    CASE("a server that was never there: told soon, but not to a worker's poll");
    nobody();

    CASE("cancelled in the midst of a try; a stale id; a request that is too large");
    start(&g, "/t/mute", (struct rpc_options){0});
    loop_turn(loop, 0);
    rpc_cancel(rpc, g.id);
    rpc_cancel(rpc, g.id);
    char *big = mem_zalloc(RPC_MESSAGE_MAX + 1);
    const struct rpc_options o = {0};
    uint64_t id;
    CHECK_INT(
        rpc_call(rpc, "/t/echo", str_make(big, RPC_MESSAGE_MAX + 1), &o, on_reply, &g, &id, &e),
        ERR_LIMIT);
    CHECK(strstr(e.text, "4194304"));
    mem_free(big);
    CHECK(!g.done);
}

int main(void)
{
    struct err e;
    char address[40];
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    server = h2_open(loop, NULL, &port);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    const struct channel_options o = {.address = str_of(address)};
    CHECK_INT(channel_open(loop, &o, &channel, &e), 0);
    CHECK_INT(rpc_open(loop, channel, NULL, &rpc, &e), 0);
    test_policy();
    test_tries();
    struct got open = {0};
    start(&open, "/t/mute", (struct rpc_options){.class = RPC_POLL});
    loop_turn(loop, 0);
    rpc_close(rpc);
    channel_close(channel);
    h2_close(server);
    loop_close(loop);
    CHECK(!open.done);
    return CHECK_DONE();
}
