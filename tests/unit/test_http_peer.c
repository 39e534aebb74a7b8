/* The HTTP client against a peer that says exactly what a test wants, byte for byte. */
#include "base/mem.h"
#include "check.h"
#include "http/client.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loop *loop;
static struct http_client *client;

/* ---- the peer: answers one connection with the given bytes ---- */
struct peer {
    int fd, port;
    bool hold; /* the connection stays open after the answer */
    const char *bytes;
    size_t n;
    pthread_t thread;
};

static void *peer_run(void *ud)
{
    struct peer *p = ud;
    int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
    char request[65536];
    size_t got = 0;
    while (fd >= 0 && got < sizeof request - 1) {
        ssize_t k = recv(fd, request + got, sizeof request - 1 - got, 0);
        if (k <= 0) break;
        got += (size_t)k;
        request[got] = 0;
        if (strstr(request, "\r\n\r\n")) break;
    }
    for (size_t at = 0; fd >= 0 && at < p->n;) {
        ssize_t k = send(fd, p->bytes + at, p->n - at, MSG_NOSIGNAL);
        if (k <= 0) break;
        at += (size_t)k;
    }
    if (fd < 0) return NULL;
    if (!p->hold) shutdown(fd, SHUT_WR);
    while (recv(fd, request, sizeof request, 0) > 0)
        continue;
    close(fd);
    return NULL;
}

static void peer_start(struct peer *p, const void *bytes, size_t n, bool hold)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    *p = (struct peer){.bytes = bytes, .n = n, .hold = hold};
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(p->fd >= 0);
    CHECK_INT(bind(p->fd, (struct sockaddr *)&a, size), 0);
    CHECK_INT(listen(p->fd, 16), 0);
    CHECK_INT(getsockname(p->fd, (struct sockaddr *)&a, &size), 0);
    p->port = ntohs(a.sin_port);
    CHECK_INT(pthread_create(&p->thread, NULL, peer_run, p), 0);
}

static void peer_end(struct peer *p)
{
    pthread_join(p->thread, NULL);
    close(p->fd);
}

/* ---- one request ---- */
struct got {
    bool done, begun;
    uint64_t id;
    int status;
    struct buf body, head;
    struct http_failure failure;
};

static void on_response(void *ud, const struct http_response *r)
{
    struct got *g = ud;
    g->begun = true;
    g->status = r->status;
}

static void on_done(void *ud, const struct http_response *r)
{
    struct got *g = ud;
    CHECK(!g->done);
    g->done = true;
    g->status = r->status;
    g->failure = r->failure;
    buf_putstr(&g->body, r->body);
    for (size_t i = 0; i < r->n_headers; i++)
        buf_printf(&g->head, STR_FMT "=" STR_FMT "\n", STR_ARG(r->headers[i].name),
                   STR_ARG(r->headers[i].value));
}
static const struct http_events events = {.on_response = on_response, .on_done = on_done};

static void begin(struct got *g, const struct http_request *r)
{
    struct err e = {0};
    memset(g, 0, sizeof *g);
    buf_init(&g->body, 64u << 20);
    buf_init(&g->head, 1u << 20);
    CHECK_INT(http_start(client, r, &events, g, &g->id, &e), 0);
}

static void end(struct got *g)
{
    buf_free(&g->body);
    buf_free(&g->head);
}

static struct http_request get(char url[300], int port, const char *path)
{
    snprintf(url, 300, "http://127.0.0.1:%d%s", port, path);
    return (struct http_request){.method = STR("GET"), .url = str_of(url), .redirects = -1};
}

/* The piece that waited while the stream was paused is over the limit, and what follows it is not:
 * the stream must not go on with a hole. */
static void test_paused_over_limit(void)
{
    enum { BODY = 270000, STEP = 997 };
    char url[300];
    struct buf bytes;
    CASE("a paused stream that runs over its limit fails");
    buf_init(&bytes, 1u << 20);
    buf_printf(&bytes, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", BODY);
    for (int i = 0; i < BODY; i++)
        buf_putc(&bytes, (char)('a' + i % 26));
    buf_puts(&bytes, "\r\n0\r\n\r\n");
    for (size_t limit = BODY - 7 * STEP; limit < BODY; limit += STEP) {
        struct peer p;
        struct got g;
        peer_start(&p, bytes.p, bytes.n, false);
        struct http_request r = get(url, p.port, "/");
        r.stream = true;
        r.max_bytes = limit;
        begin(&g, &r);
        while (!g.begun)
            loop_turn(loop, -1);
        for (int i = 0; i < 20 && !g.done; i++)
            loop_turn(loop, NS_PER_MS);
        while (!g.done) {
            http_read(client, g.id, &g.body);
            loop_turn(loop, NS_PER_MS);
        }
        http_read(client, g.id, &g.body);
        http_cancel(client, g.id);
        CHECK(g.failure.type != NULL);
        if (g.failure.type) CHECK_STR(g.failure.type, "TooLarge");
        CHECK(g.body.n <= limit);
        bool whole = true;
        for (size_t i = 0; i < g.body.n; i++)
            whole = whole && g.body.p[i] == (char)('a' + i % 26);
        CHECK(whole);
        end(&g);
        peer_end(&p);
    }
    buf_free(&bytes);
}

/* A program that a script starts must not get the connections. */
static void test_close_on_exec(void)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "5\r\nfirst\r\n";
    char url[300];
    struct peer p;
    struct got g;
    CASE("connections are closed on exec");
    peer_start(&p, answer, sizeof answer - 1, true);
    struct http_request r = get(url, p.port, "/");
    r.stream = true;
    begin(&g, &r);
    while (!g.begun)
        loop_turn(loop, -1);
    int connections = 0;
    DIR *d = opendir("/proc/self/fd");
    CHECK(d);
    for (struct dirent *f = readdir(d); f; f = readdir(d)) {
        struct sockaddr_in a;
        socklen_t n = sizeof a;
        int fd = (int)strtol(f->d_name, NULL, 10);
        if (f->d_name[0] == '.' || getpeername(fd, (struct sockaddr *)&a, &n) != 0) continue;
        if (a.sin_family != AF_INET || ntohs(a.sin_port) != p.port) continue;
        connections++;
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    closedir(d);
    CHECK_INT(connections, 1);
    http_cancel(client, g.id);
    end(&g);
    http_client_close(client); /* the peer waits for the end of the connection */
    client = NULL;
    struct err e;
    CHECK_INT(http_client_open(loop, NULL, &client, &e), 0);
    peer_end(&p);
}

/* Either the response is refused or its headers are those that are in it. */
static void test_odd_headers(void)
{
    static const char nul[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\na\0b: c\r\nX-One: 1\r\n\r\nok";
    static const char status[] = "HTTP/1.1 200 OK\r\nX-One: 1\r\nHTTP/odd: line\r\n"
                                 "Content-Length: 2\r\n\r\nok";
    struct {
        const char *p;
        size_t n;
    } cases[] = {{nul, sizeof nul - 1}, {status, sizeof status - 1}};
    CASE("a header that looks like something else hides none");
    for (size_t i = 0; i < 2; i++) {
        char url[300];
        struct peer p;
        struct got g;
        peer_start(&p, cases[i].p, cases[i].n, false);
        struct http_request r = get(url, p.port, "/");
        begin(&g, &r);
        while (!g.done)
            loop_turn(loop, -1);
        if (!g.failure.type) {
            CHECK(strstr(g.head.p ? g.head.p : "", "x-one=1\n") != NULL);
            CHECK(strstr(g.head.p ? g.head.p : "", "content-length=2\n") != NULL);
        }
        end(&g);
        http_client_close(client);
        client = NULL;
        struct err e;
        CHECK_INT(http_client_open(loop, NULL, &client, &e), 0);
        peer_end(&p);
    }
}

static void test_messages(void)
{
    static const char *const secret[] = {
        "http://user:canary@h.example/p",  "http://user:can/ary@h.example/p",
        "http://user:can?ary@h.example/p", "http://user:can#ary@h.example/p",
        "http://canary/x@h.example:1/p?a", "user:canary@h.example/p",
    };
    CASE("no password is shown, however it is written");
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++) {
        struct buf b;
        buf_init(&b, 1000);
        http_url_redacted(&b, str_of(secret[i]));
        if (i != 4) CHECK(strstr(b.p ? b.p : "", "can") == NULL);
        buf_free(&b);
    }
    struct buf b;
    buf_init(&b, 1000);
    http_url_redacted(&b, STR("https://h.example:8443/@name/p?q"));
    CHECK_STR(b.p, "https://h.example:8443/@name/p");
    buf_reset(&b);
    http_url_redacted(&b, STR("http://[::1]:80/p"));
    CHECK_STR(b.p, "http://[::1]:80/p");
    buf_free(&b);

    CASE("a text cut short stays UTF-8");
    char url[300];
    for (int shift = 0; shift < 2; shift++) {
        struct got g;
        struct buf path;
        buf_init(&path, 1000);
        buf_puts(&path, shift ? "/x" : "/");
        for (int i = 0; i < 120; i++)
            buf_puts(&path, "\xC3\xA9");
        struct http_request r = get(url, 1, path.p);
        begin(&g, &r);
        while (!g.done)
            loop_turn(loop, -1);
        CHECK_STR(g.failure.type, "Connect");
        CHECK_INT(str_utf8_valid(str_of(g.failure.text)), strlen(g.failure.text));
        end(&g);
        buf_free(&path);
    }
}

int main(void)
{
    struct err e = {0};
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    CHECK_INT(http_client_open(loop, NULL, &client, &e), 0);
    test_paused_over_limit();
    test_close_on_exec();
    test_odd_headers();
    test_messages();
    http_client_close(client);
    loop_close(loop);
    return CHECK_DONE();
}
