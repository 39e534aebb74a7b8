/* The HTTP server against raw bytes: what is refused and what is not, every valid request cut
 * anywhere, bodies, streams, slow and leaving peers, draining. */
#include "base/mem.h"
#include "base/rng.h"
#include "check.h"
#include "http/server.h"
#include "resident.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
static struct http_server *server;
static int shown, ended, ended_complete, rooms;
static uint64_t last_id;
static char seen[4096]; /* of the last request */
static enum { ECHO, HOLD, STREAM, LATER } how;
static size_t head_limit;

static void describe(const struct http_incoming *r)
{
    struct buf b;
    buf_init(&b, sizeof seen - 1);
    buf_printf(&b, STR_FMT " " STR_FMT " ", STR_ARG(r->method), STR_ARG(r->path));
    if (r->query.p) buf_printf(&b, "?" STR_FMT " ", STR_ARG(r->query));
    for (size_t i = 0; i < r->n_headers; i++)
        buf_printf(&b, "[" STR_FMT "=" STR_FMT "]", STR_ARG(r->headers[i].name),
                   STR_ARG(r->headers[i].value));
    buf_printf(&b, " " STR_FMT, STR_ARG(r->body));
    snprintf(seen, sizeof seen, "%s", b.p ? b.p : "");
    buf_free(&b);
}

static void on_head(void *ud, const struct http_incoming *head, size_t *body_max)
{
    (void)ud;
    (void)head;
    if (head_limit) *body_max = head_limit;
}

static void on_request(void *ud, const struct http_incoming *r)
{
    struct err e = {0};
    (void)ud;
    shown++;
    last_id = r->id;
    describe(r);
    const struct http_header h[] = {{.name = STR("X-Seen"), .value = STR("yes")}};
    struct http_answer a = {.status = 200, .headers = h, .n_headers = 1, .body = str_of(seen)};
    int code = how == ECHO ? http_server_answer(server, r->id, &a, &e) : 0;
    if (code == ERR_NOMEM)
        code = http_server_answer(server, r->id, &a, &e); /* it may be asked again */
    CHECK_INT(code, 0);
    a.body = (struct str){NULL, 0};
    if (how == STREAM) CHECK_INT(http_server_stream(server, r->id, &a, &e), 0);
}

static void on_room(void *ud, uint64_t id)
{
    (void)ud;
    (void)id;
    rooms++;
}

static void on_end(void *ud, uint64_t id, bool complete)
{
    (void)ud;
    CHECK(id != 0);
    ended++;
    ended_complete += complete;
}

static const struct http_server_events events = {on_head, on_request, on_room, on_end};

static void begin(struct http_server_opts o)
{
    struct err e = {0};
    shown = ended = ended_complete = rooms = 0;
    how = ECHO;
    head_limit = 0;
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    CHECK_INT(http_server_open(loop, &o, &events, NULL, &server, &e), 0);
    CHECK(http_server_port(server) > 0);
}

static void finish(void)
{
    http_server_close(server);
    loop_close(loop);
}

static void turns(int ms)
{
    int64_t end = clock_mono(&clock_system) + ms * NS_PER_MS;
    while (clock_mono(&clock_system) < end)
        loop_turn(loop, NS_PER_MS);
}

/* ---- the peer ---- */

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)http_server_port(server))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    CHECK(fd >= 0);
    CHECK_INT(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void say(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k < 0 && errno != EAGAIN) return; /* the server has had enough */
        if (k > 0) {
            p += k;
            n -= (size_t)k;
        }
        loop_turn(loop, 0);
    }
}

#define SAY(fd, text) say(fd, text, sizeof(text) - 1)
static char heard[1 << 20];
static size_t heard_n;
static bool heard_end;

/* Reads until the text is there, the peer ends, or the time is over. */
static void hear(int fd, const char *until, int ms)
{
    int64_t end = clock_mono(&clock_system) + ms * NS_PER_MS;
    heard_n = 0;
    heard[0] = 0;
    heard_end = false;
    while (clock_mono(&clock_system) < end && !(until && strstr(heard, until))) {
        ssize_t k = recv(fd, heard + heard_n, sizeof heard - 1 - heard_n, 0);
        if (k == 0 || (k < 0 && errno != EAGAIN)) {
            heard_end = true;
            return;
        }
        if (k > 0) {
            heard_n += (size_t)k;
            heard[heard_n] = 0;
        } else {
            loop_turn(loop, NS_PER_MS);
        }
    }
}

static int status(void)
{
    return strncmp(heard, "HTTP/1.1 ", 9) == 0 ? atoi(heard + 9) : 0;
}

/* ---- what is refused ---- */

#define H "GET / HTTP/1.1\r\nHost: a\r\n"
#define P "POST /p HTTP/1.1\r\nHost: a\r\n"
struct bad {
    const char *bytes;
    size_t n;
    int status; /* 0: closed without an answer is fine too */
};
#define BAD(text, code)                                                                            \
    {                                                                                              \
        text, sizeof(text) - 1, code                                                               \
    }

static const struct bad bad[] = {
    /* both, several and odd lengths */
    BAD(P "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400),
    BAD(P "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    BAD(P "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    BAD(P "Content-Length: 3, 3\r\n\r\nabc", 400),
    BAD(P "Content-Length: +3\r\n\r\nabc", 400),
    BAD(P "Content-Length: -3\r\n\r\nabc", 400),
    BAD(P "Content-Length: 0x3\r\n\r\nabc", 400),
    BAD(P "Content-Length: 3 3\r\n\r\nabc", 400),
    BAD(P "Content-Length: 3.0\r\n\r\nabc", 400),
    BAD(P "Content-Length: abc\r\n\r\nabc", 400),
    BAD(P "Content-Length: \r\n\r\n", 400),
    BAD(P "Content-Length:\r\n\r\n", 400),
    BAD(P "Content-Length: \xef\xbc\x93\r\n\r\nabc", 400),
    BAD(P "Content-Length: 18446744073709551617\r\n\r\nabc", 0),
    BAD(P "Content-Length: 99999999999999999999999\r\n\r\nabc", 0),
    BAD(P "Content-Length: 999999999999999999\r\n\r\nabc", 413),
    BAD(P "Content-Length : 3\r\n\r\nabc", 400),
    BAD(P "Content-Length\t: 3\r\n\r\nabc", 400),
    BAD(P "Content-Length: 3\r\n Content-Length: 4\r\n\r\nabc", 400),
    /* transfer codings */
    BAD(P "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: identity\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n0\r\n\r\n",
        400),
    BAD(P "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    BAD(P " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    BAD("POST /p HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    /* chunks */
    BAD(P "Transfer-Encoding: chunked\r\n\r\nx\r\nabc\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n0\r\n\r\n", 0),
    BAD(P "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", 0),
    BAD(P "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nTransfer-Encoding: x\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nHost: b\r\n\r\n", 400),
    BAD(P "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA b: c\r\n\r\n", 400),
    /* line ends, NULs, folds, control characters */
    BAD("GET / HTTP/1.1\nHost: a\n\n", 400),
    BAD("GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    BAD("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    BAD("GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    BAD(H "X: y\nContent-Length: 3\r\n\r\nabc", 400),
    BAD(H "X: y\rZ: w\r\n\r\n", 400),
    BAD(H "X: y\r\rZ: w\r\n\r\n", 400),
    BAD(H "X: a\0b\r\n\r\n", 400),
    BAD(H "X: a\0\0b: c\r\n\r\n", 400),
    BAD(H "X: a\0\0Y\0c\r\n\r\n", 400),
    BAD(H "X\0Y: a\r\n\r\n", 400),
    BAD(H "X: a\x01\r\n\r\n", 400),
    BAD(H "X: a\x7f\r\n\r\n", 400),
    BAD(H "X: a\x1b[0m\r\n\r\n", 400),
    BAD(H "X: a\r\n b\r\n\r\n", 400),
    BAD(H "X: a\r\n\tb\r\n\r\n", 400),
    BAD(H " X: a\r\n\r\n", 400),
    BAD("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    /* header names */
    BAD(H "X : a\r\n\r\n", 400),
    BAD(H "X Y: a\r\n\r\n", 400),
    BAD(H "X\t: a\r\n\r\n", 400),
    BAD(H ": a\r\n\r\n", 400),
    BAD(H "no colon\r\n\r\n", 400),
    BAD(H "X(: a\r\n\r\n", 400),
    BAD(H "X@: a\r\n\r\n", 400),
    BAD(H "\xc3\xa9: a\r\n\r\n", 400),
    BAD(H "\"X\": a\r\n\r\n", 400),
    /* hosts */
    BAD("GET / HTTP/1.1\r\n\r\n", 400),
    BAD("GET / HTTP/1.1\r\nX: y\r\n\r\n", 400),
    BAD("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    BAD("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    BAD("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    BAD("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    BAD("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    BAD("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
    BAD("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET http://x@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400),
    /* request lines */
    BAD("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    BAD("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 0),
    BAD("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    BAD("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    BAD("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 0),
    BAD(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    BAD("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    BAD("get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("G{T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GETGETGETGETGETGETGETGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET /\0x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET /% HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET /?a=%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    BAD("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 0),
    BAD("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 0),
    BAD("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 0),
    BAD("GET / http/1.1\r\nHost: a\r\n\r\n", 0),
    BAD("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 0),
    BAD("GET / HTTP/1\r\nHost: a\r\n\r\n", 0),
    BAD("GET / XTTP/1.1\r\nHost: a\r\n\r\n", 0),
    BAD("GET /\r\n\r\n", 0),
    BAD("GET\r\n\r\n", 0),
    BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0),
    BAD("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 0),
    /* expectations */
    BAD(P "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417),
    BAD(P "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", 417),
};

static void refuses(void)
{
    CASE("what is not plain HTTP/1.1 is refused, its connection closed, its body shown to nobody");
    begin((struct http_server_opts){0});
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = dial();
        shown = 0;
        say(fd, bad[i].bytes, bad[i].n);
        SAY(fd, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        hear(fd, NULL, 3000);
        if (shown || !heard_end || (bad[i].status && status() != bad[i].status) ||
            (heard_n && status() < 400)) {
            fprintf(stderr, "case %zu: %s\nshown %d (%s), closed %d, answer: %.200s\n", i,
                    bad[i].bytes, shown, seen, heard_end, heard);
            CHECK(!"refused");
        }
        close(fd);
    }
    finish();
    printf("%zu malformed requests refused\n", sizeof bad / sizeof *bad);
}

/* ---- what is taken ---- */

struct good {
    const char *bytes, *seen;
};
static const struct good good[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / [host=a] "},
    {"\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x [host=a] "},
    {"GET /a%2Fb/c?x=1&y=%20+z?? HTTP/1.1\r\nHost: a:80\r\n\r\n",
     "GET /a%2Fb/c ?x=1&y=%20+z?? [host=a:80] "},
    {"GET /? HTTP/1.1\r\nHost: a\r\n\r\n", "GET / ? [host=a] "},
    {"GET http://A:8080/p?q HTTP/1.1\r\nHost: a:8080\r\n\r\n", "GET /p ?q [host=a:8080] "},
    {"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET / [host=a] "},
    {"GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n", "GET / ?x [host=a] "},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * [host=a] "},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / [host=[::1]:80] "},
    {"GET / HTTP/1.1\r\nhost:a\r\nX-Y:  b c \t\r\nZ: \xc3\xa9\r\nE:\r\n\r\n",
     "GET / [host=a][x-y=b c][z=\xc3\xa9][e=] "},
    {"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=d\r\nX: 1\r\nX: 2\r\n\r\n",
     "GET / [host=a][cookie=a=b; c=d][x=1][x=2] "},
    {"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
     "POST /p [host=a][content-length=5] hello"},
    {"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
     "POST /p [host=a][content-length=0] "},
    {"PATCH /p HTTP/1.1\r\nHost: a\r\ncontent-length: 007\r\n\r\n{\"a\":1}",
     "PATCH /p [host=a][content-length=007] {\"a\":1}"},
    {"DELETE /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\r\n",
     "DELETE /p [host=a][content-length=2] \r\n"},
    {"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n"
     "0\r\n\r\n",
     "POST /p [host=a][transfer-encoding=chunked] abcde"},
    {"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0A\r\n0123456789\r\n0\r\n"
     "X-Sum: 1\r\n\r\n",
     "POST /p [host=a][transfer-encoding=Chunked] 0123456789"},
    {"GET /old HTTP/1.0\r\n\r\n", "GET /old  "},
};

static void takes(void)
{
    CASE("every valid request is the same, however its bytes are cut");
    struct rng rng;
    rng_seed(&rng, STR("cuts"));
    begin((struct http_server_opts){0});
    size_t tries = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t n = strlen(good[i].bytes);
        for (int round = 0; round < 30; round++, tries++) {
            int fd = dial();
            shown = 0;
            seen[0] = 0;
            for (size_t at = 0; at < n;) { /* round 0 whole, 1 byte by byte, else at random */
                size_t piece = round == 0   ? n
                               : round == 1 ? 1
                                            : 1 + (size_t)(rng_next(&rng) % (1 + n / 3));
                if (piece > n - at) piece = n - at;
                say(fd, good[i].bytes + at, piece);
                at += piece;
                loop_turn(loop, 0);
                loop_turn(loop, 0);
            }
            hear(fd, "X-Seen: yes", 3000);
            if (status() != 200) fprintf(stderr, "case %zu: %s\n%s\n", i, good[i].bytes, heard);
            CHECK_INT(status(), 200);
            CHECK_INT(shown, 1);
            CHECK_STR(seen, good[i].seen);
            close(fd);
        }
    }
    finish();
    printf("%zu valid requests in %zu cuts\n", sizeof good / sizeof *good, tries);
}

/* A valid request, changed at random. */
static size_t spoil(struct rng *rng, const char *from, char *to, size_t max)
{
    static const char *const pieces[] = {"\r",
                                         "\n",
                                         "\r\n",
                                         " ",
                                         "\t",
                                         ":",
                                         ",",
                                         ";",
                                         "%00",
                                         "%",
                                         "\x80",
                                         "\x7f",
                                         "0x",
                                         "chunked",
                                         "+",
                                         "\r\n ",
                                         "Content-Length: 1\r\n",
                                         "Transfer-Encoding: chunked\r\n"};
    size_t n = strlen(from);
    memcpy(to, from, n);
    for (int k = 1 + (int)(rng_next(rng) % 5); k > 0; k--) {
        size_t at = n ? (size_t)(rng_next(rng) % n) : 0;
        const char *piece = pieces[rng_next(rng) % (sizeof pieces / sizeof *pieces)];
        size_t len = strlen(piece);
        switch (rng_next(rng) % 4) {
        case 0:
            if (n) to[at] = (char)rng_next(rng);
            break;
        case 1:
            if (n + len > max) break;
            memmove(to + at + len, to + at, n - at);
            memcpy(to + at, piece, len);
            n += len;
            break;
        case 2:
            if (!n) break;
            memmove(to + at, to + at + 1, n - at - 1);
            n--;
            break;
        default: /* a NUL, or the end */
            if (n && rng_next(rng) % 2)
                to[at] = 0;
            else
                n = at;
            break;
        }
    }
    return n;
}

static void garbage(void)
{
    CASE("requests changed at random: what is refused ends its connection, nothing breaks");
    struct rng rng;
    int rounds = getenv("ML_TEST_GARBAGE") ? atoi(getenv("ML_TEST_GARBAGE")) : 1500, refused = 0;
    const char *seed = getenv("ML_TEST_SEED") ? getenv("ML_TEST_SEED") : "garbage";
    rng_seed(&rng, str_of(seed));
    begin((struct http_server_opts){0});
    for (int i = 0; i < rounds; i++) {
        char bytes[1024];
        size_t n =
            spoil(&rng, good[rng_next(&rng) % (sizeof good / sizeof *good)].bytes, bytes, 900);
        int fd = dial();
        say(fd, bytes, n);
        SAY(fd, "\r\n\r\nGET /sentinel HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        shutdown(fd, SHUT_WR);
        hear(fd, NULL, 3000);
        CHECK(heard_end);
        const char *no = strstr(heard, "HTTP/1.1 4");
        refused += no != NULL;
        CHECK(!no || !strstr(no, "HTTP/1.1 200"));
        CHECK(seen[0] == 0 || strncmp(seen, "OPTIONS *", 9) == 0 || strstr(seen, " /"));
        close(fd);
    }
    int fd = dial();
    SAY(fd, H "\r\n");
    hear(fd, "GET / [host=a]", 3000);
    CHECK_INT(status(), 200);
    close(fd);
    CHECK(refused > rounds / 4);
    finish();
    printf("%d requests changed at random (seed %s), %d refused\n", rounds, seed, refused);
}

static void keeps_connections(void)
{
    CASE("a connection serves one request after another, also sent at once; none after a chunked "
         "one");
    begin((struct http_server_opts){0});
    int fd = dial();
    const char *two = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\n"
                      "Content-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
    say(fd, two, strlen(two));
    hear(fd, "GET /3", 3000);
    CHECK_INT(shown, 3);
    CHECK(strstr(heard, "GET /1") && strstr(heard, "POST /2"));
    CHECK_STR(seen, "GET /3 [host=a] ");
    turns(20);
    CHECK_INT(ended_complete, 3);
    const char *chunked =
        "POST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        "GET /5 HTTP/1.1\r\nHost: a\r\n\r\n";
    say(fd, chunked, strlen(chunked));
    hear(fd, NULL, 3000);
    CHECK(heard_end && strstr(heard, "Connection: close"));
    CHECK_INT(shown, 4);
    close(fd);
    finish();
}

static void head_has_no_body(void)
{
    CASE("HEAD, 204 and 304 have no body; HTTP/1.0 closes");
    begin((struct http_server_opts){0});
    int fd = dial();
    SAY(fd, "HEAD /h HTTP/1.1\r\nHost: a\r\n\r\nGET /n HTTP/1.1\r\nHost: a\r\n\r\n");
    hear(fd, "GET /n [", 3000);
    char *end = strstr(heard, "\r\n\r\n");
    CHECK(end && strncmp(end + 4, "HTTP/1.1 200", 12) == 0);
    close(fd);
    fd = dial();
    SAY(fd, "GET /n HTTP/1.0\r\n\r\n");
    hear(fd, NULL, 3000);
    CHECK(heard_end && strstr(heard, "GET /n"));
    close(fd);
    finish();
}

static void limits(void)
{
    CASE("too many headers, too long a head, too large a body");
    begin((struct http_server_opts){.body_max = 1000});
    struct buf b;
    buf_init(&b, 4u << 20);
    buf_puts(&b, H);
    for (int i = 0; i < 150; i++)
        buf_printf(&b, "X%d: y\r\n", i);
    buf_puts(&b, "\r\n");
    int fd = dial();
    say(fd, b.p, b.n);
    hear(fd, NULL, 3000);
    CHECK_INT(status(), 431);
    CHECK(heard_end && !shown);
    close(fd);
    for (int kind = 0; kind < 3; kind++) { /* a long header, a million headers, a long target */
        buf_reset(&b);
        buf_puts(&b, kind == 2 ? "GET /" : H "X: ");
        for (int i = 0; i < (kind == 1 ? 0 : 65536); i++)
            buf_putc(&b, 'a');
        for (int i = 0; i < (kind == 1 ? 200000 : 0); i++)
            buf_puts(&b, "\r\nA: b");
        buf_puts(&b, kind == 2 ? " HTTP/1.1\r\nHost: a\r\n\r\n" : "\r\n\r\n");
        fd = dial();
        say(fd, b.p, b.n);
        hear(fd, NULL, 3000);
        CHECK(heard_end && !shown);
        CHECK(status() == (kind == 2 ? 414 : 431) || !heard_n);
        close(fd);
    }
    struct {
        const char *head;
        size_t body;
        bool chunked;
    } large[] = {{P "Content-Length: 1001\r\n\r\n", 1001, false},
                 {P "Content-Length: 5000000\r\n\r\n", 0, false},
                 {P "Content-Length: 5000\r\nExpect: 100-continue\r\n\r\n", 0, false},
                 {P "Transfer-Encoding: chunked\r\n\r\n", 1001, true}};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        buf_reset(&b);
        buf_puts(&b, large[i].head);
        if (large[i].chunked) buf_printf(&b, "%zx\r\n", large[i].body);
        for (size_t k = 0; k < large[i].body; k++)
            buf_putc(&b, 'b');
        if (large[i].chunked) buf_puts(&b, "\r\n0\r\n\r\n");
        fd = dial();
        say(fd, b.p, b.n);
        hear(fd, NULL, 3000);
        CHECK_INT(status(), 413);
        CHECK(heard_end && !shown && strstr(heard, "application/problem+json"));
        CHECK(!strstr(heard, "100 Continue"));
        close(fd);
    }
    struct http_server_counts c;
    turns(10);
    http_server_counts(server, &c);
    CHECK_INT(c.body_bytes, 0);
    CHECK_INT(c.requests, 0);
    head_limit = 2000; /* the owner knows better for this one */
    buf_reset(&b);
    buf_puts(&b, P "Content-Length: 1500\r\nExpect: 100-continue\r\n\r\n");
    fd = dial();
    say(fd, b.p, b.n);
    hear(fd, "100 Continue\r\n\r\n", 3000);
    CHECK(strstr(heard, "HTTP/1.1 100 Continue") != NULL);
    buf_reset(&b);
    for (int i = 0; i < 1500; i++)
        buf_putc(&b, 'c');
    say(fd, b.p, b.n);
    hear(fd, "X-Seen", 3000);
    CHECK_INT(status(), 200);
    CHECK_INT(shown, 1);
    close(fd);
    buf_free(&b);
    finish();
}

/* ---- answers ---- */

static void answers(void)
{
    CASE("what cannot be sent is refused, an answer is given once, stale ids are told");
    struct err e = {0};
    begin((struct http_server_opts){0});
    how = HOLD;
    int fd = dial();
    SAY(fd, H "\r\n");
    while (!shown)
        loop_turn(loop, NS_PER_MS);
    const struct http_header wrong[] = {{.name = STR("A b"), .value = STR("x")},
                                        {.name = STR("A"), .value = STR("x\r\nB: c")},
                                        {.name = STR("A"), .value = STR("")},
                                        {.name = STR("Content-Length"), .value = STR("1")},
                                        {.name = STR("connection"), .value = STR("x")},
                                        {.name = STR("Transfer-Encoding"), .value = STR("x")}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct http_answer a = {.status = 200, .headers = &wrong[i], .n_headers = 1};
        CHECK_INT(http_server_answer(server, last_id, &a, &e), ERR_ARG);
    }
    struct http_answer a = {.status = 199};
    CHECK_INT(http_server_answer(server, last_id, &a, &e), ERR_ARG);
    a.status = 201;
    a.close = true;
    a.body = STR("made");
    CHECK_INT(http_server_answer(server, last_id, &a, &e), 0);
    CHECK_INT(http_server_answer(server, last_id, &a, &e), ERR_STALE);
    CHECK_INT(http_server_push(server, last_id, STR("x")), ERR_STALE);
    hear(fd, NULL, 3000);
    CHECK(heard_end && status() == 201 && strstr(heard, "Connection: close") &&
          strstr(heard, "Content-Length: 4"));
    turns(20);
    CHECK_INT(ended, 1);
    CHECK_INT(ended_complete, 1);
    CHECK_INT(http_server_answer(server, last_id, &a, &e), ERR_STALE);
    close(fd);
    finish();
}

static void streams(void)
{
    CASE("a stream: head at once, chunks, back-pressure, the end; a cut one is noticed");
    begin((struct http_server_opts){.stream_max = 10000});
    how = STREAM;
    int fd = dial();
    SAY(fd, H "\r\n");
    hear(fd, "\r\n\r\n", 3000); /* before any byte of the body */
    CHECK_INT(status(), 200);
    CHECK(strstr(heard, "Transfer-Encoding: chunked") != NULL);
    CHECK_INT(http_server_push(server, last_id, STR("one")), 0);
    hear(fd, "one\r\n", 3000);
    CHECK_STR(heard, "3\r\none\r\n");
    CHECK_INT(http_server_push(server, last_id, STR("two")), 0);
    CHECK_INT(http_server_push(server, last_id, STR("three")), 0);
    CHECK_INT(http_server_finish(server, last_id, true), 0);
    CHECK_INT(http_server_push(server, last_id, STR("four")), ERR_STALE);
    hear(fd, "0\r\n\r\n", 3000);
    CHECK_STR(heard, "8\r\ntwothree\r\n0\r\n\r\n");
    turns(10);
    CHECK_INT(ended_complete, 1);

    SAY(fd, H "\r\n"); /* the same connection: the reader stands still */
    while (shown < 2)
        loop_turn(loop, NS_PER_MS);
    char block[5000];
    memset(block, 'x', sizeof block);
    int code = 0;
    size_t pushed = 0;
    for (int i = 0; i < 10000 &&
                    (code = http_server_push(server, last_id, str_make(block, sizeof block))) == 0;
         i++) {
        pushed += sizeof block;
        loop_turn(loop, 0);
    }
    CHECK_INT(code, ERR_BUSY);
    CHECK_INT(rooms, 0);
    CHECK_INT(http_server_push(server, last_id, str_make(heard, 10001)), ERR_LIMIT);
    size_t got = 0;
    for (int i = 0; i < 3000 && !rooms; i++) {
        ssize_t k = recv(fd, heard, sizeof heard, 0);
        if (k > 0) got += (size_t)k;
        loop_turn(loop, NS_PER_MS);
    }
    CHECK_INT(rooms, 1);
    CHECK(got > 0 && pushed > sizeof block);
    CHECK_INT(http_server_finish(server, last_id, false), 0);
    hear(fd, NULL, 3000);
    CHECK(heard_end && !strstr(heard, "0\r\n\r\n"));
    turns(10);
    CHECK_INT(ended, 2);
    CHECK_INT(ended_complete, 1);
    close(fd);
    finish();
}

static void sse(void)
{
    CASE("server-sent events");
    struct buf b;
    buf_init(&b, 1000);
    CHECK_INT(http_sse_event(&b, STR("token"), STR("a\nb\r\nc\rd"), STR("1:2")), 0);
    CHECK_STR(b.p, "id: 1:2\nevent: token\ndata: a\ndata: b\ndata: c\ndata: d\n\n");
    buf_reset(&b);
    CHECK_INT(http_sse_event(&b, (struct str){0}, STR(""), (struct str){0}), 0);
    CHECK_STR(b.p, "data: \n\n");
    buf_reset(&b);
    CHECK_INT(http_sse_event(&b, STR("a\nb"), STR(""), (struct str){0}), ERR_ARG);
    CHECK_INT(http_sse_event(&b, STR("a"), STR(""), STR("x\ry")), ERR_ARG);
    CHECK_INT(http_sse_event(&b, STR("a"), STR(""), str_make("x\0y", 3)), ERR_ARG);
    CHECK_INT(b.n, 0);
    http_sse_comment(&b, STR("alive"));
    CHECK_STR(b.p, ": alive\n\n");
    buf_free(&b);
}

/* ---- peers ---- */

static void peer_leaves(void)
{
    CASE("a peer that leaves is noticed, before its answer and within a stream");
    struct err e = {0};
    struct http_answer a = {.status = 200};
    begin((struct http_server_opts){0});
    for (int i = 0; i < 2; i++) {
        how = i ? STREAM : HOLD;
        shown = ended = ended_complete = 0;
        int fd = dial();
        SAY(fd, H "\r\n");
        while (!shown)
            loop_turn(loop, NS_PER_MS);
        turns(20);
        close(fd);
        for (int k = 0; k < 2000 && !ended; k++)
            loop_turn(loop, NS_PER_MS);
        CHECK_INT(ended, 1);
        CHECK_INT(ended_complete, 0);
        CHECK_INT(http_server_answer(server, last_id, &a, &e), ERR_STALE);
        CHECK_INT(http_server_push(server, last_id, STR("x")), ERR_STALE);
    }
    struct http_server_counts c;
    turns(10);
    http_server_counts(server, &c);
    CHECK_INT(c.connections, 0);
    finish();
}

static void slow_peers(void)
{
    CASE("a head, a body, a rest between requests and a reading that take too long end the "
         "connection");
    begin((struct http_server_opts){.head_time_ns = NS_PER_S,
                                    .body_time_ns = NS_PER_S,
                                    .idle_time_ns = 2 * NS_PER_S,
                                    .body_max = 64u << 20});
    int head = dial(), body = dial(), idle = dial(), reader = dial(), small = 4096;
    setsockopt(reader, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    SAY(idle, H "\r\n");
    hear(idle, "X-Seen", 1000);
    SAY(body, P "Content-Length: 1000\r\n\r\n");
    how = STREAM;
    SAY(reader, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while (shown < 2)
        loop_turn(loop, NS_PER_MS);
    char block[60000];
    memset(block, 'y', sizeof block);
    int64_t from = clock_mono(&clock_system);
    for (int i = 0; i < 45; i++) { /* each drips, none is still */
        SAY(head, "G");
        SAY(body, "b");
        for (int k = 0; i < 10 && k < 100; k++) { /* more than the kernel holds */
            http_server_push(server, last_id, str_make(block, sizeof block));
            loop_turn(loop, 0);
        }
        turns(100);
    }
    struct http_server_counts c;
    http_server_counts(server, &c);
    CHECK_INT(c.connections, 0);
    CHECK_INT(shown, 2);
    CHECK(clock_mono(&clock_system) - from < 20 * NS_PER_S);
    close(head);
    close(body);
    close(idle);
    close(reader);
    finish();
}

static void idle_connections(void)
{
    CASE("idle connections cost little");
    struct rlimit lim = {0};
    int want = getenv("ML_TEST_IDLE") ? atoi(getenv("ML_TEST_IDLE")) : 400;
    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    if ((rlim_t)want * 2 + 50 > lim.rlim_cur) want = (int)(lim.rlim_cur / 2) - 50;
    begin((struct http_server_opts){0});
    int *fds = calloc((size_t)want, sizeof *fds);
    int probe = dial();
    SAY(probe, H "\r\n");
    hear(probe, "X-Seen", 3000);
    long before = (long)(resident_bytes() / 1024);
    for (int i = 0; i < want; i++) {
        fds[i] = dial();
        if (i % 2) SAY(fds[i], "GET / HT"); /* half of them within a head */
        if (i % 50 == 0) turns(2);
    }
    turns(50);
    long after = (long)(resident_bytes() / 1024);
    struct http_server_counts c;
    http_server_counts(server, &c);
    CHECK_INT(c.connections, want + 1);
    SAY(probe, H "\r\n");
    hear(probe, "X-Seen", 3000);
    CHECK_INT(status(), 200);
    printf("%d idle connections: %ld KB each\n", want, (after - before) / want);
    CHECK(!RESIDENT_IS_TOLD || (after - before) / want <= 64);
    for (int i = 0; i < want; i++)
        close(fds[i]);
    close(probe);
    turns(100);
    http_server_counts(server, &c);
    CHECK_INT(c.connections, 0);
    free(fds);
    finish();
}

static void without_memory(void)
{
    CASE("each allocation fails once: the request is answered or its connection ends, the next one "
         "works");
    static const char request[] = P "Content-Length: 5\r\n\r\nhello";
    long live = mem_live_count(), n = 1, refused_at = 0;
    int lost = 0, answered = 0;
    for (; n < 200; n++) {
        begin((struct http_server_opts){0});
        int fd = dial();
        unsigned long before = mem_refused();
        mem_fail_at(n, false);
        for (size_t i = 0; i < sizeof request - 1; i++)
            say(fd, request + i, 1);
        hear(fd, "hello", 1000);
        mem_fail_at(0, false);
        if (status() == 200)
            answered++;
        else
            lost++;
        CHECK(status() == 200 || status() == 503 || heard_end);
        bool done = mem_refused() == before;
        close(fd);
        fd = dial();
        SAY(fd, H "\r\n");
        hear(fd, "GET / [host=a]", 3000);
        CHECK_INT(status(), 200);
        close(fd);
        finish();
        CHECK_INT(mem_live_count(), live);
        if (done) break;
        refused_at = n;
    }
    CHECK(refused_at >= 5 && n < 200 && lost > 0 && answered > 0);
    printf("%ld allocations refused, one after another\n", refused_at);
}

static int drained = -1;
static void on_drained(void *ud, size_t left)
{
    (void)ud;
    drained = (int)left;
}

static void drains(void)
{
    CASE("draining: nothing new, what runs is finished, the deadline ends the waiting");
    struct err e = {0};
    for (int late = 0; late < 2; late++) {
        begin((struct http_server_opts){0});
        drained = -1;
        how = HOLD;
        int busy = dial(), idle = dial();
        SAY(busy, H "\r\n");
        while (!shown)
            loop_turn(loop, NS_PER_MS);
        http_server_drain(server, late ? 300 * NS_PER_MS : 60 * NS_PER_S, on_drained, NULL);
        hear(idle, NULL, 3000);
        CHECK(heard_end);
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)http_server_port(server))};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(connect(fd, (struct sockaddr *)&a, sizeof a) < 0);
        close(fd);
        CHECK_INT(drained, -1);
        if (!late) {
            struct http_answer ok = {.status = 200, .body = STR("done")};
            CHECK_INT(http_server_answer(server, last_id, &ok, &e), 0);
            hear(busy, NULL, 3000);
            CHECK(heard_end && strstr(heard, "done") && strstr(heard, "Connection: close"));
        }
        turns(800);
        CHECK_INT(drained, late);
        close(busy);
        close(idle);
        finish();
    }
}

static void opening(void)
{
    CASE("what cannot be opened says why; closing with requests under way frees all");
    struct err e = {0};
    struct http_server *two = NULL;
    long live = mem_live_count();
    begin((struct http_server_opts){0});
    struct http_server_opts o = {.port = http_server_port(server)};
    CHECK_INT(http_server_open(loop, &o, &events, NULL, &two, &e), ERR_IO);
    CHECK(strstr(e.text, "cannot listen on 127.0.0.1") != NULL);
    o = (struct http_server_opts){.address = "example.com"};
    CHECK_INT(http_server_open(loop, &o, &events, NULL, &two, &e), ERR_ARG);
    o = (struct http_server_opts){.cert_file = "/nonexistent"};
    CHECK_INT(http_server_open(loop, &o, &events, NULL, &two, &e), ERR_ARG);
    CHECK(strstr(e.text, "both") != NULL);
    o.key_file = "/nonexistent";
    CHECK_INT(http_server_open(loop, &o, &events, NULL, &two, &e), ERR_ARG);
    how = HOLD;
    int a = dial(), b = dial(), c = dial();
    SAY(a, H "\r\n");
    how = HOLD;
    while (shown < 1)
        loop_turn(loop, NS_PER_MS);
    how = STREAM;
    SAY(b, H "\r\n");
    SAY(c, P "Content-Length: 10\r\n\r\nabc");
    turns(50);
    CHECK_INT(shown, 2);
    finish();
    close(a);
    close(b);
    close(c);
    CHECK_INT(mem_live_count(), live);
}

int main(void)
{
    opening();
    refuses();
    takes();
    garbage();
    keeps_connections();
    head_has_no_body();
    limits();
    answers();
    streams();
    sse();
    peer_leaves();
    slow_peers();
    idle_connections();
    without_memory();
    drains();
    return CHECK_DONE();
}
