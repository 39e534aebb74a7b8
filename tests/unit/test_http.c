/* The HTTP client against a real server on 127.0.0.1. */
#include "base/mem.h"
#include "check.h"
#include "http/client.h"
#include "http_server.h"

static struct loop *loop;
static struct http_client *client;
static struct test_server server;

struct got {
    bool done, begun;
    uint64_t id;
    int status;
    struct buf body, head, url;
    struct http_failure failure;
};

static void on_done(void *ud, const struct http_response *r)
{
    struct got *g = ud;
    g->done = true;
    g->status = r->status;
    g->failure = r->failure;
    buf_putstr(&g->body, r->body);
    buf_putstr(&g->url, r->url);
    for (size_t i = 0; i < r->n_headers; i++)
        buf_printf(&g->head, STR_FMT ": " STR_FMT "\n", STR_ARG(r->headers[i].name),
                   STR_ARG(r->headers[i].value));
}
static void on_response(void *ud, const struct http_response *r)
{
    struct got *g = ud;
    g->begun = true;
    g->status = r->status;
}
static void on_data(void *ud)
{
    struct got *g = ud;
    http_read(client, g->id, &g->body);
}
static const struct http_events plain = {.on_done = on_done};
static const struct http_events streaming = {
    .on_response = on_response, .on_data = on_data, .on_done = on_done};

static struct http_request get(char url[256], const char *path)
{
    snprintf(url, 256, "http://127.0.0.1:%d%s", server.port, path);
    return (struct http_request){.method = STR("GET"), .url = str_of(url), .redirects = -1};
}

static void got_init(struct got *g)
{
    memset(g, 0, sizeof *g);
    buf_init(&g->body, 64u << 20);
    buf_init(&g->head, 1 << 20);
    buf_init(&g->url, 1 << 20);
}
static void got_free(struct got *g)
{
    buf_free(&g->body);
    buf_free(&g->head);
    buf_free(&g->url);
}

static void run(const struct http_request *r, struct got *g)
{
    struct err e = {0};
    got_init(g);
    if (http_start(client, r, r->stream ? &streaming : &plain, g, &g->id, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        CHECK(false);
    }
    while (!g->done)
        loop_turn(loop, -1);
    if (r->stream) {
        http_read(client, g->id, &g->body);
        http_cancel(client, g->id);
    }
}

static bool has(const struct buf *b, const char *text)
{
    return b->p && strstr(b->p, text) != NULL;
}

static void test_plain(void)
{
    char url[256];
    struct got g;
    CASE("get with query and headers");
    struct http_request r = get(url, "/echo?a=1#frag");
    struct http_header h[] = {{STR("X-One"), STR("1"), false}, {STR("X-Empty"), STR(""), false}};
    struct buf q;
    buf_init(&q, 1000);
    http_query_add(&q, STR("name with"), STR("a&b=c/\xC3\xA9"));
    r.query = buf_str(&q);
    r.headers = h;
    r.n_headers = 2;
    run(&r, &g);
    CHECK_INT(g.status, 200);
    CHECK(has(&g.body, "\"/echo?a=1&name%20with=a%26b%3Dc%2F%C3%A9\""));
    CHECK(has(&g.body, "\"x-one\": \"1\"") && has(&g.body, "\"x-empty\": \"\""));
    CHECK(has(&g.head, "content-type: application/json\n"));
    got_free(&g);
    buf_free(&q);

    CASE("post, put, delete and head");
    r = get(url, "/echo");
    r.method = STR("POST");
    r.body = STR("a body");
    run(&r, &g);
    CHECK(has(&g.body, "\"method\": \"POST\"") && has(&g.body, "\"body\": \"a body\"") &&
          !has(&g.body, "content-type"));
    got_free(&g);
    r.method = STR("PUT");
    r.body = (struct str){NULL, 0};
    run(&r, &g);
    CHECK(has(&g.body, "\"method\": \"PUT\"") && has(&g.body, "\"content-length\": \"0\""));
    got_free(&g);
    r.method = STR("DELETE");
    run(&r, &g);
    CHECK(has(&g.body, "\"method\": \"DELETE\""));
    got_free(&g);
    r = get(url, "/status/204");
    r.method = STR("HEAD");
    run(&r, &g);
    CHECK_INT(g.status, 204);
    CHECK_INT(g.body.n, 0);
    CHECK(has(&g.head, "x-test: a\nx-test: b\n"));
    got_free(&g);
}

static void test_refused(void)
{
    char url[256];
    uint64_t id;
    struct err e;
    CASE("what could split a request is refused");
    struct http_request r = get(url, "/echo");
    const struct str bad[] = {STR("a\r\nX: y"), STR("a\nb"), STR("a\rb"), STR("a\0b"), STR("\x7F")};
    for (size_t i = 0; i < 5; i++) {
        struct http_header h = {STR("X"), bad[i], false};
        r.headers = &h;
        r.n_headers = 1;
        CHECK_INT(http_start(client, &r, &plain, NULL, &id, &e), ERR_ARG);
        h = (struct http_header){bad[i], STR("x"), false};
        CHECK_INT(http_start(client, &r, &plain, NULL, &id, &e), ERR_ARG);
    }
    r.n_headers = 0;
    r.method = STR("GET /x");
    CHECK_INT(http_start(client, &r, &plain, NULL, &id, &e), ERR_ARG);
    r.method = STR("GET");
    const char *urls[] = {"file:///etc/passwd",
                          "gopher://127.0.0.1/",
                          "http://127.0.0.1/a b",
                          "http://127.0.0.1/\r\nX: y",
                          "",
                          "ftp://x/"};
    for (size_t i = 0; i < 6; i++) {
        r.url = str_of(urls[i]);
        CHECK_INT(http_start(client, &r, &plain, NULL, &id, &e), ERR_ARG);
    }
    CHECK_INT(http_active(client), 0);
}

static void test_redirects(void)
{
    char url[256], path[600];
    struct got g;
    CASE("five redirects are followed, the sixth is not");
    struct http_request r = get(url, "/redirect/5");
    run(&r, &g);
    CHECK_INT(g.status, 200);
    CHECK(has(&g.url, "/echo"));
    got_free(&g);
    r = get(url, "/redirect/6");
    run(&r, &g);
    CHECK_STR(g.failure.type, "TooManyRedirects");
    CHECK(!g.failure.retryable);
    got_free(&g);
    r.redirects = 0;
    run(&r, &g);
    CHECK_INT(g.status, 302);
    got_free(&g);

    CASE("302 turns a post into a get, 307 keeps it");
    r = get(url, "/redirect/1");
    r.method = STR("POST");
    r.body = STR("data");
    run(&r, &g);
    CHECK(has(&g.body, "\"method\": \"GET\"") && has(&g.body, "\"body\": \"\""));
    got_free(&g);
    r = get(url, "/redirect/1?code=307");
    r.method = STR("POST");
    r.body = STR("data");
    run(&r, &g);
    CHECK(has(&g.body, "\"method\": \"POST\"") && has(&g.body, "\"body\": \"data\""));
    got_free(&g);

    CASE("secrets go to the same origin only");
    struct test_server other = test_server_start(NULL, NULL);
    struct http_header h[] = {{STR("Authorization"), STR("Bearer canary"), false},
                              {STR("X-Key"), STR("canary"), true},
                              {STR("X-Open"), STR("yes"), false}};
    r = get(url, "/redirect/2");
    r.headers = h;
    r.n_headers = 3;
    run(&r, &g);
    CHECK(has(&g.body, "Bearer canary") && has(&g.body, "\"x-key\": \"canary\""));
    got_free(&g);
    snprintf(
        path, sizeof path,
        "/redirect-to/302?url=http://127.0.0.1:%d/redirect-to/302?url=http://127.0.0.1:%d/echo",
        other.port, server.port);
    r = get(url, path);
    r.headers = h;
    r.n_headers = 3;
    run(&r, &g);
    CHECK_INT(g.status, 200);
    CHECK(!has(&g.body, "canary") && has(&g.body, "\"x-open\": \"yes\""));
    got_free(&g);
    test_server_stop(&other);

    CASE("a redirect to another protocol is refused");
    r = get(url, "/redirect-to/302?url=file:///etc/passwd");
    run(&r, &g);
    CHECK_STR(g.failure.type, "BadResponse");
    got_free(&g);
}

static void expect_failure(const char *path, int64_t timeout_ns, size_t max, const char *type,
                           bool retryable)
{
    char url[256];
    struct got g;
    struct http_request r = get(url, path);
    r.timeout_ns = timeout_ns;
    r.max_bytes = max;
    run(&r, &g);
    CHECK(g.failure.type != NULL);
    CHECK_STR(g.failure.type, type);
    CHECK_INT(g.failure.retryable, retryable);
    CHECK(!strstr(g.failure.text, "?"));
    got_free(&g);
}

static void test_failures(void)
{
    char url[256];
    struct got g;
    CASE("typed failures");
    expect_failure("/slow/30?q=1", 50 * NS_PER_MS, 0, "Timeout", true);
    expect_failure("/truncated", 0, 0, "Connection", true);
    expect_failure("/drop", 0, 0, "Connection", true);
    expect_failure("/big/5000", 0, 4999, "TooLarge", false);
    expect_failure("/big-chunked/500000", 0, 400000, "TooLarge", false);
    CASE("a small gzip body that unpacks past the limit");
    expect_failure("/gzip/1000000", 0, 999999, "TooLarge", false);
    struct http_request r = get(url, "/gzip/1000000");
    r.max_bytes = 1000000;
    run(&r, &g);
    CHECK_INT(g.body.n, 1000000);
    got_free(&g);
    CASE("nobody listens");
    struct test_server gone = test_server_start(NULL, NULL);
    test_server_stop(&gone);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", gone.port);
    r = (struct http_request){.method = STR("GET"), .url = str_of(url), .redirects = -1};
    run(&r, &g);
    CHECK_STR(g.failure.type, "Connect");
    CHECK(g.failure.retryable);
    got_free(&g);
}

static void test_streams(void)
{
    char url[256];
    struct got g;
    CASE("a stream is read as it comes");
    struct http_request r = get(url, "/chunked/3");
    r.stream = true;
    run(&r, &g);
    CHECK_STR(g.body.p, "part 0\npart 1\npart 2\n");
    CHECK(g.begun);
    got_free(&g);
    CASE("a slow reader pauses the sender and loses nothing");
    r = get(url, "/big-chunked/6553600");
    r.stream = true;
    struct err e;
    got_init(&g);
    struct http_events lazy = {.on_response = on_response, .on_done = on_done};
    CHECK_INT(http_start(client, &r, &lazy, &g, &g.id, &e), 0);
    while (!g.begun)
        loop_turn(loop, -1);
    for (int i = 0; i < 50; i++)
        loop_turn(loop, NS_PER_MS);
    CHECK(!g.done);
    while (!g.done) {
        CHECK(http_read(client, g.id, &g.body) <= (long)HTTP_STREAM_BUFFER + 65536);
        loop_turn(loop, NS_PER_MS);
    }
    http_read(client, g.id, &g.body);
    http_cancel(client, g.id);
    CHECK_INT(g.body.n, 6553600);
    CHECK(g.failure.type == NULL);
    got_free(&g);
    CASE("a stream follows redirects and hides their bodies");
    r = get(url, "/redirect-to/302?url=/chunked/1");
    r.stream = true;
    run(&r, &g);
    CHECK_STR(g.body.p, "part 0\n");
    got_free(&g);
    CASE("a stream that hangs ends by its time-out; a cancelled one tells nothing");
    r = get(url, "/hang");
    r.stream = true;
    r.timeout_ns = 100 * NS_PER_MS;
    run(&r, &g);
    CHECK_STR(g.failure.type, "Timeout");
    CHECK_STR(g.body.p, "first");
    got_free(&g);
    got_init(&g);
    r.timeout_ns = 0;
    CHECK_INT(http_start(client, &r, &streaming, &g, &g.id, &e), 0);
    while (g.body.n == 0)
        loop_turn(loop, -1);
    http_cancel(client, g.id);
    for (int i = 0; i < 20; i++)
        loop_turn(loop, NS_PER_MS);
    CHECK(!g.done);
    CHECK_INT(http_read(client, g.id, &g.body), ERR_STALE);
    got_free(&g);
}

static void test_many(void)
{
    char url[256];
    enum { N = 300 };
    static struct got all[N];
    CASE("many at once");
    struct http_request r = get(url, "/echo");
    struct err e;
    for (int i = 0; i < N; i++) {
        got_init(&all[i]);
        CHECK_INT(http_start(client, &r, &plain, &all[i], &all[i].id, &e), 0);
        if (i % 10 == 9) http_cancel(client, all[i].id);
    }
    while (http_active(client))
        loop_turn(loop, -1);
    for (int i = 0; i < N; i++) {
        CHECK_INT(all[i].done, i % 10 != 9);
        CHECK_INT(all[i].status, i % 10 != 9 ? 200 : 0);
        got_free(&all[i]);
    }
    CASE("connections are used again");
    struct got a, b;
    run(&r, &a);
    run(&r, &b);
    CHECK_STR(strstr(a.body.p, "\"port\""), strstr(b.body.p, "\"port\""));
    got_free(&a);
    got_free(&b);
}

static void test_tls(void)
{
    char folder[] = "/tmp/ml-http-XXXXXX", cert[64], key[64], url[256];
    struct got g;
    CHECK(mkdtemp(folder) != NULL);
    test_server_certificate(folder);
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    struct test_server tls = test_server_start(cert, key);
    CASE("an unknown certificate is refused");
    snprintf(url, sizeof url, "https://127.0.0.1:%d/echo", tls.port);
    struct http_request r = {.method = STR("GET"), .url = str_of(url), .redirects = -1};
    run(&r, &g);
    CHECK_STR(g.failure.type, "Tls");
    CHECK(!g.failure.retryable);
    got_free(&g);
    CASE("with its authority it is accepted, for its own name only");
    r.ca_file = cert;
    run(&r, &g);
    CHECK_INT(g.status, 200);
    got_free(&g);
    snprintf(url, sizeof url, "https://localhost:%d/echo", tls.port);
    r.url = str_of(url);
    run(&r, &g);
    CHECK_STR(g.failure.type, "Tls");
    got_free(&g);
    test_server_stop(&tls);
    unlink(cert);
    unlink(key);
    rmdir(folder);
}

static void test_encode(void)
{
    CASE("origins, redaction, multipart");
    CHECK(http_same_origin("http://a.example/x", "HTTP://A.example:80/y"));
    CHECK(!http_same_origin("http://a.example/", "https://a.example/"));
    CHECK(!http_same_origin("http://a.example/", "http://a.example:81/"));
    CHECK(!http_same_origin("http://a.example/", "http://b.example/"));
    struct buf b;
    struct err e;
    buf_init(&b, 1000);
    http_url_redacted(&b, STR("https://user:canary@h.example/p/q?key=canary#f"));
    CHECK_STR(b.p, "https://h.example/p/q");
    buf_reset(&b);
    struct http_part p = {STR("a\"\r\nb"), STR("value"), STR("f.txt"), STR("text/plain")};
    CHECK_INT(http_multipart_add(&b, STR("XX"), &p, &e), 0);
    http_multipart_end(&b, STR("XX"));
    CHECK_STR(b.p, "--XX\r\nContent-Disposition: form-data; name=\"a%22%0D%0Ab\"; "
                   "filename=\"f.txt\"\r\nContent-Type: "
                   "text/plain\r\n\r\nvalue\r\n--XX--\r\n");
    p.content_type = STR("a\r\nb");
    CHECK_INT(http_multipart_add(&b, STR("XX"), &p, &e), ERR_ARG);
    buf_free(&b);
}

int main(void)
{
    struct err e = {0};
    server = test_server_start(NULL, NULL);
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    CHECK_INT(http_client_open(loop, NULL, &client, &e), 0);
    test_encode();
    test_plain();
    test_refused();
    test_redirects();
    test_failures();
    test_streams();
    test_many();
    test_tls();
    http_client_close(client);
    loop_close(loop);
    test_server_stop(&server);
    return CHECK_DONE();
}
