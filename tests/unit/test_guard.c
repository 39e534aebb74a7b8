/* The guard of outgoing addresses: tables of addresses and of what may be allowed; then real
 * requests, by odd spellings, redirects and connections that were open already. */
#include "base/mem.h"
#include "check.h"
#include "http/client.h"
#include "http_server.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

static const char *refuses(const struct http_guard *g, const char *ip, int port)
{
    struct sockaddr_storage a = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&a;
    if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
    } else {
        CHECK(inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
    }
    return http_guard_refuses(g, (struct sockaddr *)&a);
}

static void addresses(void)
{
    static const struct {
        const char *ip, *what; /* NULL: may be reached */
    } cases[] = {
        {"0.0.0.0", "this network"},
        {"0.1.2.3", "this network"},
        {"10.0.0.1", "private"},
        {"10.255.255.255", "private"},
        {"11.0.0.0", NULL},
        {"9.255.255.255", NULL},
        {"100.63.255.255", NULL},
        {"100.64.0.0", "carrier"},
        {"100.100.100.200", "carrier"}, /* a cloud's metadata */
        {"100.127.255.255", "carrier"},
        {"100.128.0.0", NULL},
        {"127.0.0.1", "loopback"},
        {"127.255.255.254", "loopback"},
        {"128.0.0.1", NULL},
        {"168.63.129.16", "metadata"},
        {"168.63.129.17", NULL},
        {"169.253.255.255", NULL},
        {"169.254.0.1", "link-local"},
        {"169.254.169.254", "link-local"},
        {"169.254.170.2", "link-local"},
        {"169.255.0.0", NULL},
        {"172.15.255.255", NULL},
        {"172.16.0.0", "private"},
        {"172.31.255.255", "private"},
        {"172.32.0.0", NULL},
        {"192.0.0.192", "reserved"},
        {"192.0.1.0", NULL},
        {"192.0.2.1", "documentation"},
        {"192.88.99.1", "reserved"},
        {"192.167.255.255", NULL},
        {"192.168.1.1", "private"},
        {"192.169.0.0", NULL},
        {"198.17.255.255", NULL},
        {"198.18.0.1", "benchmarks"},
        {"198.19.255.255", "benchmarks"},
        {"198.20.0.0", NULL},
        {"198.51.100.7", "documentation"},
        {"203.0.113.7", "documentation"},
        {"223.255.255.255", NULL},
        {"224.0.0.1", "multicast"},
        {"239.255.255.255", "multicast"},
        {"240.0.0.1", "reserved"},
        {"255.255.255.255", "reserved"},
        {"8.8.8.8", NULL},
        {"1.1.1.1", NULL},
        {"::", "unspecified"},
        {"::1", "loopback"},
        {"::2", "not a public"},
        {"::127.0.0.1", "not a public"},
        {"::ffff:127.0.0.1", "loopback"},
        {"::ffff:10.0.0.1", "private"},
        {"::ffff:169.254.169.254", "link-local"},
        {"::ffff:0.0.0.0", "this network"},
        {"::ffff:8.8.8.8", NULL},
        {"::ffff:0:127.0.0.1", "not a public"},
        {"64:ff9b::127.0.0.1", "loopback"},
        {"64:ff9b::a9fe:a9fe", "link-local"},
        {"64:ff9b::8.8.8.8", NULL},
        {"64:ff9b:1::1", "not a public"},
        {"100::1", "not a public"},
        {"2000::1", NULL},
        {"2001::1", "reserved"},
        {"2001:10::1", "reserved"},
        {"2001:1ff:ffff::1", "reserved"},
        {"2001:200::1", NULL},
        {"2001:db8::1", "documentation"},
        {"2001:4860:4860::8888", NULL},
        {"2002:7f00:1::", "6to4"},
        {"2606:4700::1111", NULL},
        {"3fff::1", "documentation"},
        {"3fff:1000::1", NULL},
        {"4000::1", "not a public"},
        {"5f00::1", "not a public"},
        {"fc00::1", "private"},
        {"fd00:ec2::254", "private"}, /* a cloud's metadata */
        {"fe80::1", "link-local"},
        {"febf::1", "link-local"},
        {"fec0::1", "private"},
        {"ff02::1", "multicast"},
    };
    static const char *const spellings[] = {"127.1",
                                            "127.0.1",
                                            "2130706433",
                                            "0x7f000001",
                                            "0x7f.1",
                                            "0177.0.0.1",
                                            "017700000001",
                                            "0x7f.0x0.0x0.0x1",
                                            "0",
                                            "0x0",
                                            "0.0.0.0",
                                            "10.1",
                                            "192.168.257",
                                            "0xa9fea9fe",
                                            "2852039166",
                                            "0251.0376.0251.0376",
                                            "::ffff:7f00:1",
                                            "0:0:0:0:0:ffff:127.0.0.1",
                                            "fe80::1%lo"};
    CASE("every kind of address, and what stands beside it");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *what = refuses(NULL, cases[i].ip, 80);
        if (!what != !cases[i].what) CHECK_STR(what ? what : "may be reached", cases[i].ip);
        if (what && !strstr(what, cases[i].what)) CHECK_STR(what, cases[i].what);
    }
    CASE("spellings that the resolver takes");
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *list = NULL;
        if (getaddrinfo(spellings[i], NULL, &hints, &list) != 0) continue;
        if (!http_guard_refuses(NULL, list->ai_addr)) CHECK_STR("may be reached", spellings[i]);
        freeaddrinfo(list);
    }
    CASE("what is no internet address");
    struct sockaddr a = {.sa_family = AF_UNIX};
    CHECK(http_guard_refuses(NULL, &a) != NULL);
}

static void allows(void)
{
    static const char *const good[] = {"10.1.0.0/16",      "192.168.1.7", "127.0.0.1:8080",
                                       "fd00:1::/32",      "[::1]:9000",  "api.internal",
                                       "db.internal:5432", "Host_1."};
    static const char *const bad[] = {"",           "10.0.0.0/33", "10.0.0.0/", "10.0.0/8",
                                      "fd00::/129", "a b",         "host:0",    "host:65536",
                                      "host:",      "http://host", "host/8",    "127.1",
                                      "0x7f000001", "[::1",        "[::1]x",    "user@host",
                                      "host:80:80", "*",           "::1:8080/x"};
    struct err e;
    struct http_guard *g;
    CHECK_INT(http_guard_new(&g), 0);
    CASE("networks, addresses and names, with and without a port");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_INT(http_guard_allow(g, str_of(good[i]), &e), 0);
        CHECK_INT(http_guard_allow(g, str_of(good[i]), &e), 0);
    }
    CHECK(!refuses(g, "10.1.2.3", 1) && refuses(g, "10.2.0.0", 1) &&
          !refuses(g, "::ffff:10.1.0.9", 1));
    CHECK(!refuses(g, "64:ff9b::10.1.2.3", 1));
    CHECK(!refuses(g, "192.168.1.7", 1) && refuses(g, "192.168.1.8", 1));
    CHECK(!refuses(g, "127.0.0.1", 8080) && refuses(g, "127.0.0.1", 8081));
    CHECK(!refuses(g, "fd00:1::5", 1) && refuses(g, "fd00:2::5", 1));
    CHECK(!refuses(g, "::1", 9000) && refuses(g, "::1", 80));
    CHECK(http_guard_names(g, STR("API.internal"), 443) &&
          http_guard_names(g, STR("api.internal."), 1));
    CHECK(http_guard_names(g, STR("db.internal"), 5432) &&
          !http_guard_names(g, STR("db.internal"), 80));
    CHECK(!http_guard_names(g, STR("x.api.internal"), 443) &&
          !http_guard_names(g, STR("api.internal.x"), 443));
    CHECK(http_guard_names(g, STR("host_1"), 1) && !http_guard_names(NULL, STR("host_1"), 1));
    CASE("what is none");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int code = http_guard_allow(g, str_of(bad[i]), &e);
        if (code != ERR_ARG) CHECK_STR("taken", bad[i]);
    }
    CASE("no memory");
    mem_fail_at(1, true);
    CHECK_INT(http_guard_allow(g, STR("another.host"), &e), ERR_NOMEM);
    mem_fail_at(0, false);
    http_guard_free(g);
}

/* ---- real requests ---- */
static struct loop *loop;
static struct http_client *client;
static struct test_server server;
static char body[100];
struct got {
    bool done;
    int status;
    struct http_failure failure;
};

static void on_done(void *ud, const struct http_response *r)
{
    struct got *g = ud;
    g->done = true;
    g->status = r->status;
    snprintf(body, sizeof body, STR_FMT, STR_ARG(r->body));
    g->failure = r->failure;
}

/* The failure's type, or "" */
static const char *fetch(const char *url, const struct http_guard *guard, int *status)
{
    static const struct http_events events = {.on_done = on_done};
    static struct got g;
    struct http_request r = {.method = STR("GET"),
                             .url = str_of(url),
                             .redirects = -1,
                             .guard = guard,
                             .timeout_ns = 5 * NS_PER_S};
    struct err e = {0};
    uint64_t id;
    memset(&g, 0, sizeof g);
    if (http_start(client, &r, &events, &g, &id, &e) < 0) return "refused at once";
    while (!g.done)
        loop_turn(loop, -1);
    if (status) *status = g.status;
    return g.failure.type ? g.failure.type : "";
}

/* How many requests came to /pay. */
static int payments(void)
{
    char url[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/count/pay-requests", server.port);
    CHECK_STR(fetch(url, NULL, NULL), "");
    return atoi(body);
}

static void requests(void)
{
    static const char *const hosts[] = {"127.0.0.1",
                                        "localhost",
                                        "LOCALHOST",
                                        "127.1",
                                        "2130706433",
                                        "0x7f000001",
                                        "0x7f.1",
                                        "0177.0.0.1",
                                        "0",
                                        "0.0.0.0",
                                        "[::1]",
                                        "[::ffff:127.0.0.1]",
                                        "[::ffff:7f00:1]",
                                        "[::]",
                                        "user@127.0.0.1",
                                        "example.com@127.0.0.1",
                                        "localhost.",
                                        "127.0.0.1.",
                                        "127%2e0%2e0%2e1",
                                        "127\xe3\x80\x82"
                                        "0.0.1",
                                        "\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1"};
    char url[300], entry[40];
    struct http_guard *g;
    struct err e;
    int status = 0;
    CHECK_INT(http_guard_new(&g), 0);
    CASE("a guarded request by any spelling of this machine; a connection that is open already is "
         "no way in");
    snprintf(url, sizeof url, "http://127.0.0.1:%d/echo", server.port);
    CHECK_STR(fetch(url, NULL, &status), "");
    CHECK_INT(status, 200);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        snprintf(url, sizeof url, "http://%s:%d/pay", hosts[i], server.port);
        const char *type = fetch(url, g, NULL);
        if (i < 6) CHECK_STR(type, "AddressBlocked");
        if (!*type) CHECK_STR("answered", hosts[i]);
    }
    CASE("no connection is made");
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(listener, (struct sockaddr *)&here, sizeof here), 0);
    CHECK_INT(listen(listener, 5), 0);
    CHECK_INT(getsockname(listener, (struct sockaddr *)&here, &size), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(here.sin_port));
    CHECK_STR(fetch(url, g, NULL), "AddressBlocked");
    CHECK_INT(accept(listener, NULL, NULL), -1);
    close(listener);
    CASE("a port where nobody listens answers the same: it is no way to find out");
    CHECK_STR(fetch("http://127.0.0.1:1/", g, NULL), "AddressBlocked");
    CHECK_STR(fetch("http://127.0.0.1:1/", NULL, NULL), "Connect");
    CASE("nothing of it reached the server");
    static const struct http_events events = {.on_done = on_done};
    CHECK_INT(payments(), 0);
    CASE("a host that is allowed, and a redirect from it to one that is not");
    snprintf(entry, sizeof entry, "127.0.0.1:%d", server.port);
    CHECK_INT(http_guard_allow(g, str_of(entry), &e), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/status/201", server.port);
    CHECK_STR(fetch(url, g, &status), "");
    CHECK_INT(status, 201);
    http_guard_free(g);
    CHECK_INT(http_guard_new(&g), 0);
    snprintf(entry, sizeof entry, "localhost:%d", server.port);
    CHECK_INT(http_guard_allow(g, str_of(entry), &e), 0);
    snprintf(url, sizeof url, "http://localhost:%d/status/201", server.port);
    CHECK_STR(fetch(url, g, &status), "");
    snprintf(url, sizeof url, "http://localhost:%d/redirect-to/302?url=http://127.0.0.1:%d/pay",
             server.port, server.port);
    CHECK_STR(fetch(url, g, NULL), "AddressBlocked");
    CHECK_INT(payments(), 0);
    CHECK_STR(fetch(url, NULL, NULL), "");
    CHECK_INT(payments(), 1);
    CASE("schemes, and the environment's proxy");
    CHECK_STR(fetch("file:///etc/passwd", g, NULL), "refused at once");
    CHECK_STR(fetch("gopher://127.0.0.1/", g, NULL), "refused at once");
    snprintf(url, sizeof url, "http://localhost:%d/redirect-to/302?url=file:///etc/passwd",
             server.port);
    CHECK(*fetch(url, g, NULL));
    struct http_request r = {
        .method = STR("GET"), .url = STR("http://localhost/"), .guard = g, .proxy_from_env = true};
    uint64_t id;
    CHECK_INT(http_start(client, &r, &events, NULL, &id, &e), ERR_ARG);
    http_guard_free(g);
}

int main(void)
{
    struct err e;
    addresses();
    allows();
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    CHECK_INT(http_client_open(loop, NULL, &client, &e), 0);
    server = test_server_start(NULL, NULL);
    requests();
    http_client_close(client);
    test_server_stop(&server);
    loop_close(loop);
    return CHECK_DONE();
}
