/* The channel against a server that does whatever a call's path asks for
 * (tests/support/h2_server.h). */
#include "base/mem.h"
#include "check.h"
#include "h2_server.h"
#include "temporal/channel.h"
#include "temporal/status.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;
static struct channel *channel;
static struct h2_server *server;
static int port;

struct got {
    bool done;
    int order; /* of the ends */
    uint64_t id;
    struct channel_reply r;
    struct buf text, details, body;
};
static int ends;

static void on_reply(void *ud, const struct channel_reply *r)
{
    struct got *g = ud;
    CHECK(!g->done);
    g->done = true;
    g->order = ++ends;
    g->r = *r;
    buf_putstr(&g->text, r->message);
    buf_putstr(&g->details, r->details);
    buf_putstr(&g->body, r->body);
}

static void got_init(struct got *g)
{
    memset(g, 0, sizeof *g);
    buf_init(&g->text, 1u << 20);
    buf_init(&g->details, 1u << 20);
    buf_init(&g->body, 64u << 20);
}
static void got_free(struct got *g)
{
    buf_free(&g->text);
    buf_free(&g->details);
    buf_free(&g->body);
}

static void up(const struct h2_options *s, const struct channel_options *c)
{
    struct err e;
    char address[40];
    struct channel_options o = c ? *c : (struct channel_options){0};
    port = 0;
    server = h2_open(loop, s, &port);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    o.address = str_of(address);
    if (channel_open(loop, &o, &channel, &e)) {
        fprintf(stderr, "%s\n", e.text);
        CHECK(false);
    }
}

static void down(void)
{
    channel_close(channel);
    h2_close(server);
    while (loop_turn(loop, 0)) /* everything is let go of */
        ;
}

static void start_with(struct got *g, const char *path, struct str message,
                       const struct channel_call_options *o)
{
    struct err e;
    got_init(g);
    if (channel_call(channel, path, message, o, on_reply, g, &g->id, &e)) {
        fprintf(stderr, "%s\n", e.text);
        CHECK(false);
    }
    CHECK(!g->done);
}

static void start(struct got *g, const char *path, enum channel_lane lane)
{
    const struct channel_call_options o = {.lane = lane};
    start_with(g, path, STR("hello"), &o);
}

static void wait_for(struct got *g)
{
    while (!g->done)
        loop_turn(loop, -1);
}

static void run(struct got *g, const char *path)
{
    start(g, path, CHANNEL_CALL);
    wait_for(g);
}

static void turns(int64_t ms)
{
    int64_t end = clock_mono(&clock_system) + ms * NS_PER_MS;
    for (int64_t now; (now = clock_mono(&clock_system)) < end;)
        loop_turn(loop, end - now);
}

static struct channel_counts counts(void)
{
    struct channel_counts n;
    channel_count(channel, &n);
    return n;
}

static bool has(const struct buf *b, const char *what)
{
    return b->p && strstr(b->p, what);
}

/* One call, its code, and a word of its message. */
static void expect(const char *path, int code, const char *word)
{
    struct got g;
    run(&g, path);
    if (g.r.code != code || (word && !has(&g.text, word)))
        fprintf(stderr, "%s: %d %s\n", path, g.r.code, g.text.p);
    CHECK_INT(g.r.code, code);
    CHECK(!word || has(&g.text, word));
    got_free(&g);
}

static void test_plain(void)
{
    struct got g;
    up(NULL, NULL);
    CASE("a call and its headers");
    const struct channel_header h[] = {{STR("x-one"), STR("1")},
                                       {STR("x-two-bin"), STR("\0\1\2\3")}};
    const struct channel_call_options o = {.ns = STR("my-ns"),
                                           .headers = h,
                                           .n_headers = 2,
                                           .deadline_ns = clock_mono(&clock_system) + 5 * NS_PER_S};
    start_with(&g, "/t/echo", STR("hello"), &o);
    wait_for(&g);
    CHECK_INT(g.r.code, 0);
    CHECK_STR(g.body.p, "hello");
    CHECK(!g.r.transport);
    const struct buf *seen = &h2_state(server)->seen;
    CHECK(has(seen, ":method: POST\n:scheme: http\n:authority: 127.0.0.1:"));
    CHECK(has(seen, "content-type: application/grpc\nte: trailers\ngrpc-timeout: "));
    CHECK(has(seen, "temporal-namespace: my-ns\n") && has(seen, "client-name: moonloop\n"));
    CHECK(has(seen, "client-version: 0.") && has(seen, "x-one: 1\n"));
    CHECK(has(seen, "x-two-bin: AAECAw\n") && !has(seen, "authorization"));
    got_free(&g);

    CASE("an empty message; many calls at once on one connection");
    const struct channel_call_options plain = {0};
    start_with(&g, "/t/echo", (struct str){NULL, 0}, &plain);
    wait_for(&g);
    CHECK(g.r.code == 0 && g.body.n == 0);
    got_free(&g);
    struct got many[100];
    for (int i = 0; i < 100; i++)
        start(&many[i], "/t/echo", CHANNEL_CALL);
    for (int i = 0; i < 100; i++) {
        wait_for(&many[i]);
        CHECK_STR(many[i].body.p, "hello");
        got_free(&many[i]);
    }
    CHECK_INT(h2_state(server)->connections, 1);
    CHECK_INT(counts().connects, 1);
    CHECK_INT(counts().calls, 0);
    CHECK_INT(counts().streams, 0);

    CASE("4 MiB there and back");
    char *big = mem_alloc(4u << 20);
    for (size_t i = 0; i < 4u << 20; i++)
        big[i] = (char)(i * 7 + i / 251);
    start_with(&g, "/t/echo", str_make(big, 4u << 20), &plain);
    wait_for(&g);
    CHECK(g.r.code == 0 && g.body.n == 4u << 20 && memcmp(g.body.p, big, g.body.n) == 0);
    got_free(&g);
    mem_free(big);
    down();
}

static void test_replies(void)
{
    struct got g;
    const struct channel_options o = {.reply_max = 1000};
    up(NULL, &o);
    CASE("a status with message and details");
    run(&g, "/t/status");
    CHECK_INT(g.r.code, STATUS_NOT_FOUND);
    CHECK_STR(g.text.p, "no such\xC3\xA9 100% %zz ");
    CHECK(g.details.n == 5 && memcmp(g.details.p, "\x08\x05\x12\x01\x61", 4) == 0);
    CHECK(!g.r.transport);
    got_free(&g);

    CASE("no grpc-status: a whole message is good, anything less is not");
    run(&g, "/t/notrailers");
    CHECK(g.r.code == 0 && strcmp(g.body.p, "task") == 0);
    got_free(&g);
    expect("/t/half", STATUS_UNAVAILABLE, "ended the reply early");
    expect("/t/nothing", STATUS_UNAVAILABLE, "ended the reply early");
    expect("/t/ok-empty", STATUS_INTERNAL, "without a whole message");

    CASE("messages that are none, or too many, or too large");
    expect("/t/two", STATUS_INTERNAL, "more than one message");
    expect("/t/gzip", STATUS_INTERNAL, "compressed");
    expect("/t/large/1000", 0, NULL);
    expect("/t/large/1001", STATUS_RESOURCE_EXHAUSTED, "1001 bytes, more than the limit of 1000");
    expect("/t/headers", STATUS_RESOURCE_EXHAUSTED, "headers of the reply are larger");

    CASE("pages of proxies");
    expect("/t/http/503", STATUS_UNAVAILABLE, "HTTP status 503");
    expect("/t/http/404", STATUS_UNIMPLEMENTED, "HTTP status 404");
    expect("/t/http/401", STATUS_UNAUTHENTICATED, "HTTP status 401");
    expect("/t/html", STATUS_UNKNOWN, "does not answer in gRPC");

    CASE("resets");
    expect("/t/rst/2", STATUS_INTERNAL, "reset the stream");
    expect("/t/rst/8", STATUS_UNAVAILABLE, "reset the stream");
    expect("/t/rst/11", STATUS_RESOURCE_EXHAUSTED, "reset the stream");
    run(&g, "/t/rst/8");
    CHECK(g.r.transport && !g.r.unsent && !g.r.hopeless);
    got_free(&g);
    CHECK_INT(counts().connects, 1); /* none of all this cost the connection */

    CASE("refused streams are sent again, but not for ever");
    expect("/t/refuse/2", 0, NULL);
    down();
    up(NULL, NULL);
    run(&g, "/t/refuse/100");
    CHECK_INT(g.r.code, STATUS_UNAVAILABLE);
    CHECK(g.r.unsent);
    CHECK_INT(h2_state(server)->calls, 4);
    got_free(&g);
    down();
}

static void test_split(void)
{
    CASE("every byte of the server alone");
    const struct h2_options s = {.step = 1};
    up(&s, NULL);
    struct got g[3];
    start(&g[0], "/t/echo", CHANNEL_CALL);
    start(&g[1], "/t/status", CHANNEL_CALL);
    start(&g[2], "/t/goaway", CHANNEL_POLL);
    for (int i = 0; i < 3; i++)
        wait_for(&g[i]);
    CHECK_STR(g[0].body.p, "hello");
    CHECK_INT(g[1].r.code, 5);
    CHECK_STR(g[2].body.p, "last");
    for (int i = 0; i < 3; i++)
        got_free(&g[i]);
    down();
}

static void test_early(void)
{
    CASE("a status before the request is taken ends the upload");
    const struct h2_options s = {.window = 1000};
    up(&s, NULL);
    char big[100000] = {0};
    struct got g;
    const struct channel_call_options o = {0};
    start_with(&g, "/t/early", str_make(big, sizeof big), &o);
    wait_for(&g);
    CHECK_INT(g.r.code, 8);
    got_free(&g);
    expect("/t/echo", 0, NULL);
    CHECK_INT(counts().connects, 1);
    down();
}

static void test_lanes(void)
{
    struct got polls[3], call;
    CASE("a call does not wait behind polls");
    up(NULL, NULL);
    for (int i = 0; i < 3; i++)
        start(&polls[i], "/t/hold", CHANNEL_POLL);
    while (h2_state(server)->held < 3)
        loop_turn(loop, -1);
    CHECK_INT(h2_state(server)->connections, 1);
    run(&call, "/t/echo");
    CHECK_INT(h2_state(server)->connections, 2);
    CHECK_INT(h2_state(server)->held, 3);
    got_free(&call);
    h2_release(server);
    for (int i = 0; i < 3; i++) {
        wait_for(&polls[i]);
        CHECK_INT(polls[i].r.code, 0);
        got_free(&polls[i]);
    }
    down();

    CASE("one stream at a time: calls wait in order, polls get more connections");
    const struct h2_options s = {.streams = 1};
    up(&s, NULL);
    struct got calls[20];
    for (int i = 0; i < 20; i++)
        start(&calls[i], "/t/echo", CHANNEL_CALL);
    ends = 0;
    for (int i = 0; i < 20; i++) {
        wait_for(&calls[i]);
        CHECK(calls[i].r.code == 0 && calls[i].order == i + 1);
        got_free(&calls[i]);
    }
    CHECK_INT(h2_state(server)->connections, 1);
    CHECK_INT(h2_state(server)->most_streams, 1);
    for (int i = 0; i < 3; i++)
        start(&polls[i], "/t/hold", CHANNEL_POLL);
    while (h2_state(server)->held < 3)
        loop_turn(loop, -1);
    CHECK_INT(h2_state(server)->connections, 4);
    h2_release(server);
    for (int i = 0; i < 3; i++) {
        wait_for(&polls[i]);
        got_free(&polls[i]);
    }
    down();
}

static void test_goaway(void)
{
    struct got g, polls[5];
    CASE("GOAWAY in the midst of polls: they end well, new calls go to a new connection");
    up(NULL, NULL);
    for (int i = 0; i < 5; i++)
        start(&polls[i], "/t/hold", CHANNEL_POLL);
    while (h2_state(server)->held < 5)
        loop_turn(loop, -1);
    h2_goaway_all(server);
    start(&g, "/t/hold", CHANNEL_POLL);
    while (h2_state(server)->held < 6)
        loop_turn(loop, -1);
    CHECK_INT(h2_state(server)->connections, 2);
    CHECK_INT(h2_state(server)->open, 2);
    h2_release(server);
    for (int i = 0; i < 5; i++) {
        wait_for(&polls[i]);
        CHECK_INT(polls[i].r.code, 0);
        got_free(&polls[i]);
    }
    wait_for(&g);
    CHECK_INT(g.r.code, 0);
    got_free(&g);
    while (h2_state(server)->open > 1) /* the old one is let go of */
        loop_turn(loop, -1);

    CASE("GOAWAY with the reply itself, again and again");
    for (int i = 0; i < 20; i++) {
        run(&g, "/t/goaway");
        CHECK(g.r.code == 0 && strcmp(g.body.p, "last") == 0);
        got_free(&g);
    }
    down();

    CASE("what a GOAWAY leaves out is sent again");
    up(NULL, NULL);
    expect("/t/goaway0", 0, NULL);
    CHECK_INT(h2_state(server)->calls, 2);
    CHECK_INT(h2_state(server)->connections, 2);
    down();
}

static void test_broken(void)
{
    struct got g, held;
    CASE("a connection that breaks ends its calls, and the next call has a new one");
    up(NULL, NULL);
    start(&held, "/t/hold", CHANNEL_CALL);
    while (!h2_state(server)->held)
        loop_turn(loop, -1);
    run(&g, "/t/close");
    CHECK_INT(g.r.code, STATUS_UNAVAILABLE);
    CHECK(g.r.transport && !g.r.unsent);
    got_free(&g);
    wait_for(&held);
    CHECK_INT(held.r.code, STATUS_UNAVAILABLE);
    got_free(&held);
    expect("/t/echo", 0, NULL);
    CHECK_INT(counts().connects, 2);
    down();

    CASE("half-open: pings that nobody answers end the calls");
    const struct h2_options deaf = {.no_pings = true};
    const struct channel_options quick = {.ping_ns = 50 * NS_PER_MS,
                                          .ping_timeout_ns = 50 * NS_PER_MS};
    up(&deaf, &quick);
    run(&g, "/t/mute");
    CHECK_INT(g.r.code, STATUS_UNAVAILABLE);
    CHECK(has(&g.text, "no answer to a ping") && g.r.transport);
    CHECK(h2_state(server)->pings >= 1);
    got_free(&g);
    down();

    CASE("answered pings keep a silent connection, also without calls");
    up(NULL, &quick);
    expect("/t/echo", 0, NULL);
    turns(400);
    CHECK(h2_state(server)->pings >= 2);
    expect("/t/echo", 0, NULL);
    CHECK_INT(counts().connects, 1);
    down();
}

static void test_peers_that_are_none(void)
{
    struct got g;
    const struct channel_options quick = {.connect_timeout_ns = 200 * NS_PER_MS};
    CASE("no SETTINGS, no reading: the connection's time-out, and what it was doing");
    const struct h2_options mute = {.no_settings = true},
                            deaf = {.no_reading = true, .no_settings = true};
    up(&mute, &quick);
    run(&g, "/t/echo");
    CHECK_INT(g.r.code, STATUS_UNAVAILABLE);
    CHECK(has(&g.text, "first HTTP/2 frame") && g.r.unsent && g.r.transport);
    CHECK_INT(h2_state(server)->calls, 0);
    got_free(&g);
    down();
    up(&deaf, &quick);
    expect("/t/echo", STATUS_UNAVAILABLE, "first HTTP/2 frame");
    down();

    CASE("HTTP/1, TLS and noise");
    const struct h2_options http = {.says = "HTTP/1.1 400 Bad Request\r\n\r\n", .n_says = 28};
    up(&http, NULL);
    run(&g, "/t/echo");
    CHECK(g.r.code == STATUS_UNAVAILABLE && g.r.hopeless && has(&g.text, "answers in HTTP/1"));
    got_free(&g);
    down();
    const struct h2_options tls = {.says = "\x15\x03\x01\x00\x02\x02\x46", .n_says = 7};
    up(&tls, NULL);
    run(&g, "/t/echo");
    CHECK(g.r.hopeless && has(&g.text, "wants TLS") && has(&g.text, "TEMPORAL_TLS"));
    got_free(&g);
    down();
    const struct h2_options noise = {.says = "220 mail.example ESMTP\r\n", .n_says = 24};
    up(&noise, NULL);
    run(&g, "/t/echo");
    CHECK(g.r.hopeless && has(&g.text, "not HTTP/2"));
    got_free(&g);
    down();

    CASE("nobody there: says where and what to do; later somebody is");
    up(NULL, NULL);
    h2_close(server);
    turns(20);
    run(&g, "/t/echo");
    CHECK_INT(g.r.code, STATUS_UNAVAILABLE);
    CHECK(has(&g.text, "cannot reach 127.0.0.1 port") && has(&g.text, "TEMPORAL_ADDRESS"));
    CHECK(g.r.unsent && !g.r.hopeless);
    got_free(&g);
    server = h2_open(loop, NULL, &port);
    expect("/t/echo", 0, NULL); /* waits for the back-off */
    down();

    CASE("a name that does not exist");
    struct err e;
    const struct channel_options o = {.address = STR("no-such-host.invalid:1")};
    CHECK_INT(channel_open(loop, &o, &channel, &e), 0);
    server = h2_open(loop, NULL, &port);
    expect("/t/echo", STATUS_UNAVAILABLE, "cannot be resolved");
    down();
}

static void test_deadlines(void)
{
    struct got g;
    up(NULL, NULL);
    CASE("the local clock ends a call, and resets its stream");
    int64_t now = clock_mono(&clock_system);
    const struct channel_call_options o = {.deadline_ns = now + 60 * NS_PER_MS};
    start_with(&g, "/t/mute", STR("x"), &o);
    wait_for(&g);
    CHECK_INT(g.r.code, STATUS_DEADLINE_EXCEEDED);
    CHECK(clock_mono(&clock_system) >= o.deadline_ns);
    CHECK(has(&g.text, "did not answer in time") && !g.r.unsent);
    got_free(&g);
    while (!h2_state(server)->resets)
        loop_turn(loop, -1);

    CASE("a deadline that is over; a later call with an earlier deadline");
    const struct channel_call_options past = {.deadline_ns = now - NS_PER_S};
    start_with(&g, "/t/echo", STR("x"), &past);
    wait_for(&g);
    CHECK_INT(g.r.code, STATUS_DEADLINE_EXCEEDED);
    got_free(&g);
    struct got late;
    now = clock_mono(&clock_system);
    const struct channel_call_options slow = {.deadline_ns = now + 60 * NS_PER_S},
                                      fast = {.deadline_ns = now + 50 * NS_PER_MS};
    start_with(&late, "/t/mute", STR("x"), &slow);
    turns(5);
    start_with(&g, "/t/mute", STR("x"), &fast);
    wait_for(&g);
    CHECK(!late.done);

    CASE("cancelled: no callback, the stream is reset, the id is stale");
    int resets = h2_state(server)->resets;
    CHECK_INT(counts().streams, 1);
    channel_cancel(channel, late.id);
    channel_cancel(channel, late.id);
    channel_cancel(channel, 0);
    while (h2_state(server)->resets == resets)
        loop_turn(loop, -1);
    CHECK(!late.done);
    got_free(&g);
    got_free(&late);
    start(&late, "/t/echo", CHANNEL_CALL); /* before it has a stream */
    channel_cancel(channel, late.id);
    expect("/t/echo", 0, NULL);
    CHECK(!late.done);
    CHECK_INT(counts().calls, 0);
    CHECK_INT(counts().streams, 0);
    got_free(&late);
    down();

    CASE("waiting for a connection counts too, and the reason is told");
    up(NULL, NULL);
    h2_close(server);
    turns(20);
    expect("/t/echo", STATUS_UNAVAILABLE, NULL);
    expect("/t/echo", STATUS_UNAVAILABLE, NULL);
    expect("/t/echo", STATUS_UNAVAILABLE, NULL); /* the back-off is now 800 ms */
    const struct channel_call_options soon = {.deadline_ns =
                                                  clock_mono(&clock_system) + 30 * NS_PER_MS};
    start_with(&g, "/t/echo", STR("x"), &soon);
    wait_for(&g);
    CHECK_INT(g.r.code, STATUS_DEADLINE_EXCEEDED);
    CHECK(has(&g.text, "cannot reach") && g.r.unsent);
    got_free(&g);
    server = h2_open(loop, NULL, &port);
    down();
}

static void refused(struct channel_options o, const char *word)
{
    struct channel *c;
    struct err e;
    if (!o.address.p) o.address = STR("127.0.0.1:1");
    CHECK_INT(channel_open(loop, &o, &c, &e), ERR_ARG);
    if (!strstr(e.text, word)) fprintf(stderr, "%s\n", e.text);
    CHECK(strstr(e.text, word));
    CHECK(!strstr(e.text, "s3cret"));
}

static void test_options(void)
{
    struct err e;
    struct got g;
    CASE("addresses");
    const struct str bad[] = {STR(""),
                              STR(":7233"),
                              STR("host:"),
                              STR("host:0"),
                              STR("host:65536"),
                              STR("http://host:7233"),
                              STR("host:7233/x"),
                              STR("[::1"),
                              STR("[::1]7233"),
                              STR("a b:1"),
                              STR("host\n:1"),
                              STR("ho\0st:1")};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct channel *c;
        const struct channel_options o = {.address = bad[i]};
        CHECK_INT(channel_open(loop, &o, &c, &e), ERR_ARG);
        CHECK(strstr(e.text, "host:port"));
    }
    const char *const good[][2] = {{"example", "example:7233 (without TLS)"},
                                   {"[::1]:80", "[::1]:80 (without TLS)"},
                                   {"::1", "[::1]:7233 (without TLS)"},
                                   {"a.b:1", "a.b:1 (without TLS)"}};
    for (size_t i = 0; i < 4; i++) {
        struct channel *c;
        const struct channel_options o = {.address = str_of(good[i][0])};
        CHECK_INT(channel_open(loop, &o, &c, &e), 0);
        CHECK_STR(channel_target(c), good[i][1]);
        channel_close(c);
    }

    CASE("headers that could split a request, in options and in calls");
    const struct channel_header evil = {STR("x"), STR("a\r\ns3cret: b")},
                                forged = {STR(":path"), STR("/x")};
    refused((struct channel_options){.headers = &evil, .n_headers = 1}, "header 'x'");
    refused((struct channel_options){.headers = &forged, .n_headers = 1}, "':path'");
    refused((struct channel_options){.api_key = STR("s3cret\nx")}, "API key");
    refused((struct channel_options){.client_name = STR("a\nb")}, "client-name");
    refused((struct channel_options){.proxy = STR("http://p:1")}, "the proxy");
    refused((struct channel_options){.proxy = STR("p:1"), .proxy_user = STR("a:b")}, "colon");
    up(NULL, NULL);
    uint64_t id;
    struct channel_call_options o = {.headers = &evil, .n_headers = 1};
    CHECK_INT(channel_call(channel, "/t/echo", STR(""), &o, on_reply, NULL, &id, &e), ERR_ARG);
    o.headers = &forged;
    CHECK_INT(channel_call(channel, "/t/echo", STR(""), &o, on_reply, NULL, &id, &e), ERR_ARG);
    o = (struct channel_call_options){.ns = STR("a\r\nb")};
    CHECK_INT(channel_call(channel, "/t/echo", STR(""), &o, on_reply, NULL, &id, &e), ERR_ARG);
    o = (struct channel_call_options){0};
    CHECK_INT(channel_call(channel, "/t/a b", STR(""), &o, on_reply, NULL, &id, &e), ERR_ARG);
    CHECK_INT(channel_call(channel, "t/echo", STR(""), &o, on_reply, NULL, &id, &e), ERR_ARG);
    CHECK_INT(counts().calls, 0);
    down();

    CASE("the user's headers win over ours, the call's over the channel's");
    const struct channel_header own[] = {{STR("authorization"), STR("Basic abc")},
                                         {STR("client-name"), STR("mine")},
                                         {STR("x-a"), STR("1")}};
    const struct channel_options with = {
        .headers = own, .n_headers = 3, .api_key = STR("key"), .tls = CHANNEL_TLS_OFF};
    up(NULL, &with);
    const struct channel_header over = {STR("x-a"), STR("2")};
    o = (struct channel_call_options){.headers = &over, .n_headers = 1};
    start_with(&g, "/t/echo", STR(""), &o);
    wait_for(&g);
    const struct buf *seen = &h2_state(server)->seen;
    CHECK(has(seen, "authorization: Basic abc\n") && !has(seen, "Bearer"));
    CHECK(has(seen, "client-name: mine\n") && !has(seen, "client-name: moonloop"));
    CHECK(has(seen, "x-a: 2\n") && !has(seen, "x-a: 1\n"));
    got_free(&g);
    down();
    const struct channel_options key = {.api_key = STR("the-key"), .tls = CHANNEL_TLS_OFF};
    up(NULL, &key);
    expect("/t/echo", 0, NULL);
    CHECK(has(&h2_state(server)->seen, "authorization: Bearer the-key\n"));
    down();
}

/* ---- callbacks that do things ---- */
struct again {
    int left;
    uint64_t other;
    struct got unheard;
};
static void on_again(void *ud, const struct channel_reply *r)
{
    struct again *a = ud;
    struct err e;
    uint64_t id;
    const struct channel_call_options o = {0};
    CHECK_INT(r->code, 0);
    channel_cancel(channel, a->other);
    if (--a->left == 0) return;
    CHECK_INT(channel_call(channel, "/t/echo", STR("x"), &o, on_again, a, &id, &e), 0);
    start(&a->unheard, "/t/echo", CHANNEL_CALL); /* answered after the other: cancelled by it */
    a->other = a->unheard.id;
}

static void test_reentry(void)
{
    CASE("callbacks start and cancel calls");
    struct again a = {.left = 50};
    struct err e;
    uint64_t id;
    const struct channel_call_options o = {0};
    up(NULL, NULL);
    CHECK_INT(channel_call(channel, "/t/echo", STR("x"), &o, on_again, &a, &id, &e), 0);
    while (a.left)
        loop_turn(loop, -1);
    CHECK(!a.unheard.done);
    CHECK_INT(counts().calls, 0);

    CASE("closing with everything open: no callback, a good-bye on the wire");
    struct got g[4];
    start(&g[0], "/t/hold", CHANNEL_POLL);
    start(&g[1], "/t/hold", CHANNEL_CALL);
    while (h2_state(server)->held < 2)
        loop_turn(loop, -1);
    start(&g[2], "/t/echo", CHANNEL_CALL);
    channel_close(channel);
    while (h2_state(server)->open)
        loop_turn(loop, -1);
    CHECK_INT(h2_state(server)->goaways, 2);
    for (int i = 0; i < 3; i++) {
        CHECK(!g[i].done);
        got_free(&g[i]);
    }

    CASE("closing while the name is resolved, and while it connects");
    const struct channel_options nowhere = {.address = STR("localhost:1")};
    for (int turn = 0; turn < 3; turn++) {
        CHECK_INT(channel_open(loop, &nowhere, &channel, &e), 0);
        start(&g[0], "/t/echo", CHANNEL_CALL);
        for (int i = 0; i < turn; i++)
            loop_turn(loop, 0);
        channel_close(channel);
        got_free(&g[0]); /* a slow machine has its answer by now */
    }
    h2_close(server);
    while (loop_turn(loop, 0))
        ;
}

/* ---- memory ---- */

/* A server in a process of its own, so that only the client's allocations fail. */
static int serve_apart(pid_t *pid)
{
    int p[2], at = 0;
    CHECK(pipe(p) == 0);
    *pid = fork();
    CHECK(*pid >= 0);
    if (*pid == 0) {
        struct loop *l;
        struct err e;
        alarm(300); /* never stays behind */
        close(p[0]);
        if (loop_open(&clock_system, &l, &e)) _exit(1);
        h2_open(l, NULL, &at);
        if (write(p[1], &at, sizeof at) != sizeof at) _exit(1);
        while (getppid() != 1)
            loop_turn(l, NS_PER_S);
        _exit(0);
    }
    close(p[1]);
    CHECK(read(p[0], &at, sizeof at) == sizeof at);
    close(p[0]);
    return at;
}

/* Everything once with the n-th allocation failing: it ends, with an answer or an error. */
static bool one_round(const char *address)
{
    struct err e;
    struct loop *l;
    struct channel *c;
    struct got g[2];
    const struct channel_options o = {.address = str_of(address)};
    const struct channel_call_options call = {.deadline_ns =
                                                  clock_mono(&clock_system) + 20 * NS_PER_S};
    bool good = true;
    if (loop_open(&clock_system, &l, &e)) return false;
    if (channel_open(l, &o, &c, &e)) {
        CHECK_INT(e.code, ERR_NOMEM);
        loop_close(l);
        return false;
    }
    for (int i = 0; i < 2; i++) {
        const char *path = i ? "/t/status" : "/t/echo";
        got_init(&g[i]);
        int rc = channel_call(c, path, STR("hello"), &call, on_reply, &g[i], &g[i].id, &e);
        CHECK(rc == 0 || rc == ERR_NOMEM);
        if (rc) g[i].done = true, good = false;
    }
    while (!g[0].done || !g[1].done)
        loop_turn(l, 20 * NS_PER_S);
    for (int i = 0; i < 2; i++) {
        good =
            good && g[i].r.code == (i ? STATUS_NOT_FOUND : 0) && !g[i].text.code && !g[i].body.code;
        got_free(&g[i]);
    }
    channel_close(c);
    loop_close(l);
    return good;
}

static void test_memory(void)
{
    CASE("each allocation fails once");
    char address[40];
    pid_t pid;
    snprintf(address, sizeof address, "127.0.0.1:%d", serve_apart(&pid));
    long from = mem_alloc_count();
    CHECK(one_round(address));
    long all = mem_alloc_count() - from, bad = 0;
    CHECK(all > 50);
    for (long n = 1; n <= all; n++) {
        mem_fail_at(n, false);
        bad += !one_round(address);
        mem_fail_at(0, false);
        CHECK(one_round(address));
    }
    CHECK(bad > 20);
    CHECK(kill(pid, SIGTERM) == 0);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

/* ---- threads ---- */

/* In a process that can have no thread: an address is reached, a name is an error that says why,
 * and the process lives. */
static void without_threads(void)
{
    struct rlimit none = {0, 0};
    struct err e;
    struct got g;
    alarm(60);
    if (geteuid() == 0)
        CHECK(setgid(65534) == 0 && setuid(65534) == 0); /* root has no such limit */
    CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    up(NULL, NULL);
    expect("/t/echo", 0, NULL);
    channel_close(channel);
    char address[40];
    snprintf(address, sizeof address, "localhost:%d", port);
    const struct channel_options o = {.address = str_of(address)};
    CHECK_INT(channel_open(loop, &o, &channel, &e), 0);
    run(&g, "/t/echo");
    CHECK_INT(g.r.code, STATUS_UNAVAILABLE);
    CHECK(has(&g.text, "the host name localhost cannot be looked up: no thread"));
    got_free(&g);
    down();
    loop_close(loop);
}

static void test_without_threads(void)
{
    int status = 0;
    CASE("no thread can be made: addresses work, names are an error, the process lives");
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        without_threads();
        _exit(0); /* a check that fails has ended it with 1 */
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (WIFSIGNALED(status)) fprintf(stderr, "it ended by signal %d\n", WTERMSIG(status));
}

int main(void)
{
    struct err e;
    mem_set_hook(NULL, NULL);
    test_memory(); /* first: it forks */
    test_without_threads();
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    test_plain();
    test_replies();
    test_split();
    test_early();
    test_lanes();
    test_goaway();
    test_broken();
    test_peers_that_are_none();
    test_deadlines();
    test_options();
    test_reentry();
    loop_close(loop);
    return CHECK_DONE();
}
