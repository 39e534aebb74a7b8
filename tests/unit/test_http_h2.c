/* The HTTP client over TLS with HTTP/2 (nghttpx in front of the test server), and through a proxy
 * that takes CONNECT: many requests share a connection, a paused stream holds up no other, and what
 * the environment says about proxies counts only when a request asks for it. */
#include "base/mem.h"
#include "check.h"
#include "http/client.h"
#include "http_server.h"
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>

static struct loop *loop;
static struct http_client *client;
static struct test_server server;
static char folder[] = "/tmp/ml-h2-XXXXXX", cert[64], key[64];
static int front_pid, front_port;

struct got {
    bool done, begun;
    uint64_t id;
    int status;
    struct buf body;
    struct http_failure failure;
};

static void on_done(void *ud, const struct http_response *r)
{
    struct got *g = ud;
    CHECK(!g->done);
    g->done = true;
    g->status = r->status;
    g->failure = r->failure;
    buf_putstr(&g->body, r->body);
}

static void on_response(void *ud, const struct http_response *r)
{
    struct got *g = ud;
    g->begun = true;
    g->status = r->status;
}
static const struct http_events events = {.on_response = on_response, .on_done = on_done};

static struct http_request get(char url[256], const char *path)
{
    snprintf(url, 256, "https://127.0.0.1:%d%s", front_port, path);
    return (struct http_request){
        .method = STR("GET"), .url = str_of(url), .redirects = -1, .ca_file = cert};
}

static void begin(struct got *g, const struct http_request *r)
{
    struct err e = {0};
    memset(g, 0, sizeof *g);
    buf_init(&g->body, 64u << 20);
    if (http_start(client, r, &events, g, &g->id, &e) < 0) fprintf(stderr, "%s\n", e.text);
    CHECK(g->id);
}

static void finish(struct got *g)
{
    while (!g->done)
        loop_turn(loop, -1);
    if (g->failure.type) fprintf(stderr, "%s: %s\n", g->failure.type, g->failure.text);
}

static bool has(const struct buf *b, const char *text)
{
    return b->p && strstr(b->p, text) != NULL;
}

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_INT(bind(fd, (struct sockaddr *)&a, n), 0);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static bool listens(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return yes;
}

static void front_start(void)
{
    char front[64], back[64], log[80];
    front_port = free_port();
    snprintf(front, sizeof front, "-f127.0.0.1,%d", front_port);
    snprintf(back, sizeof back, "-b127.0.0.1,%d", server.port);
    snprintf(log, sizeof log, "--errorlog-file=%s/log", folder);
    front_pid = fork();
    if (front_pid == 0) {
        execl(ML_TEST_NGHTTPX, "nghttpx", "--conf=/dev/null", "--workers=1", "--no-ocsp",
              "--add-request-header=X-Front: h2", log, front, back, key, cert, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && !listens(front_port); i++)
        usleep(20000);
    CHECK(listens(front_port));
}

static void front_stop(void)
{
    kill(front_pid, SIGKILL);
    waitpid(front_pid, NULL, 0);
}

static void test_shared(void)
{
    enum { N = 50 };
    static struct got all[N];
    char url[256];
    CASE("requests one after another and at once");
    struct http_request r = get(url, "/echo");
    for (int i = 0; i < 3; i++) {
        struct got g;
        begin(&g, &r);
        finish(&g);
        CHECK_INT(g.status, 200);
        CHECK(has(&g.body, "\"x-front\": \"h2\"") && has(&g.body, "\"via\": \"2 nghttpx\""));
        buf_free(&g.body);
    }
    for (int i = 0; i < N; i++) {
        begin(&all[i], &r);
        if (i % 5 == 4) http_cancel(client, all[i].id);
    }
    for (int i = 0; i < N; i++) {
        if (i % 5 != 4) finish(&all[i]);
        CHECK_INT(all[i].status, i % 5 != 4 ? 200 : 0);
        buf_free(&all[i].body);
    }
    CHECK_INT(http_active(client), 0);
    CASE("a body is sent, a redirect followed, a missing page told");
    struct got g;
    struct buf body;
    buf_init(&body, 1u << 20);
    for (int i = 0; i < 300000; i++)
        buf_putc(&body, (char)('a' + i % 26));
    r.method = STR("POST");
    r.body = buf_str(&body);
    begin(&g, &r);
    finish(&g);
    CHECK_INT(g.status, 200);
    CHECK(has(&g.body, body.p));
    buf_free(&g.body);
    buf_free(&body);
    r = get(url, "/redirect/2");
    begin(&g, &r);
    finish(&g);
    CHECK_INT(g.status, 200);
    CHECK(has(&g.body, "\"path\": \"/echo\""));
    buf_free(&g.body);
    r = get(url, "/status/404");
    begin(&g, &r);
    finish(&g);
    CHECK_INT(g.status, 404);
    buf_free(&g.body);
}

static void test_paused(void)
{
    char url[256], other[256];
    struct got g, h;
    CASE("a paused stream holds up no other request and loses nothing");
    struct http_request r = get(url, "/big-chunked/3000000"), q = get(other, "/echo");
    r.stream = true;
    begin(&g, &r);
    while (!g.begun && !g.done)
        loop_turn(loop, -1);
    for (int i = 0; i < 20; i++)
        loop_turn(loop, NS_PER_MS);
    CHECK(!g.done);
    begin(&h, &q);
    finish(&h);
    CHECK_INT(h.status, 200);
    CHECK(!g.done);
    while (!g.done) {
        CHECK(http_read(client, g.id, &g.body) <= (long)HTTP_STREAM_BUFFER + 65536);
        loop_turn(loop, NS_PER_MS);
    }
    http_read(client, g.id, &g.body);
    http_cancel(client, g.id);
    CHECK(!g.failure.type);
    CHECK_INT(g.body.n, 3000000);
    bool whole = true;
    for (size_t i = 0; i < g.body.n; i++)
        whole = whole && g.body.p[i] == 'z';
    CHECK(whole);
    buf_free(&g.body);
    buf_free(&h.body);
    CASE("a stream that is let go in the middle leaves the connection usable");
    begin(&g, &r);
    while (!g.begun)
        loop_turn(loop, -1);
    http_cancel(client, g.id);
    begin(&h, &q);
    finish(&h);
    CHECK_INT(h.status, 200);
    buf_free(&g.body);
    buf_free(&h.body);
}

static void test_server_gone(void)
{
    char url[256];
    struct got a, b;
    CASE("when the server goes, all that wait are told, and it may come again");
    struct http_request r = get(url, "/slow/30");
    begin(&a, &r);
    begin(&b, &r);
    for (int i = 0; i < 50; i++)
        loop_turn(loop, NS_PER_MS);
    front_stop();
    finish(&a);
    finish(&b);
    CHECK(a.failure.type && a.failure.retryable);
    CHECK(b.failure.type && b.failure.retryable);
    buf_free(&a.body);
    buf_free(&b.body);
    front_start();
    r = get(url, "/echo");
    begin(&a, &r);
    finish(&a);
    CHECK_INT(a.status, 200);
    buf_free(&a.body);
}

/* ---- proxies ---- */
struct proxy {
    int pid, port, in;
};

static struct proxy proxy_start(const char *secret, const char *option, const char *value)
{
    struct proxy p = {0};
    int to[2], from[2];
    CHECK_INT(pipe2(to, O_CLOEXEC), 0);
    CHECK_INT(pipe2(from, O_CLOEXEC), 0);
    p.pid = fork();
    if (p.pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execlp("python3", "python3", ML_TEST_CONNECT_PROXY, secret, option, value, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    p.in = to[1];
    FILE *f = fdopen(from[0], "r");
    CHECK(f && fscanf(f, "%d", &p.port) == 1);
    fclose(f);
    return p;
}

static void proxy_stop(struct proxy *p)
{
    close(p->in);
    waitpid(p->pid, NULL, 0);
}

/* A name that only the proxy knows: it goes to 127.0.0.1 whatever the name is. */
static void through(struct got *g, bool ask)
{
    char url[256];
    struct http_request r = get(url, "/");
    snprintf(url, sizeof url, "https://127.0.0.2:%d/echo", front_port);
    r.url = str_of(url);
    r.proxy_from_env = ask;
    r.timeout_ns = 20 * NS_PER_S;
    begin(g, &r);
    finish(g);
}

static void env_proxy(const char *user, int port)
{
    char value[120];
    snprintf(value, sizeof value, "http://%s127.0.0.1:%d", user, port);
    CHECK_INT(setenv("https_proxy", value, 1), 0);
}

static void test_proxies(void)
{
    struct got g;
    CASE("a proxy of the environment counts when it is asked for");
    struct proxy p = proxy_start("user:canary", NULL, NULL);
    env_proxy("user:canary@", p.port);
    through(&g, true);
    CHECK_INT(g.status, 200);
    CHECK(has(&g.body, "\"host\": \"127.0.0.2:"));
    CHECK(!has(&g.body, "canary"));
    buf_free(&g.body);
    through(&g, false); /* the front listens on another address */
    CHECK_STR(g.failure.type, "Connect");
    buf_free(&g.body);
    CASE("a host of no_proxy is asked directly");
    CHECK_INT(setenv("no_proxy", "127.0.0.2", 1), 0);
    through(&g, true);
    CHECK_STR(g.failure.type, "Connect");
    buf_free(&g.body);
    CHECK_INT(unsetenv("no_proxy"), 0);
    CASE("a wrong password is told, and no password is");
    env_proxy("user:false-canary@", p.port);
    through(&g, true);
    CHECK(g.failure.type && strstr(g.failure.text, "407") != NULL);
    CHECK(strstr(g.failure.text, "canary") == NULL);
    buf_free(&g.body);
    proxy_stop(&p);
    CASE("a proxy that refuses, and one that is not there");
    p = proxy_start("--status", "503", NULL);
    env_proxy("", p.port);
    through(&g, true);
    CHECK(g.failure.type && g.failure.retryable && strstr(g.failure.text, "503") != NULL);
    buf_free(&g.body);
    proxy_stop(&p);
    through(&g, true);
    CHECK_STR(g.failure.type, "Connect");
    buf_free(&g.body);
    CHECK_INT(unsetenv("https_proxy"), 0);
}

int main(void)
{
    struct err e = {0};
    char log[80];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    snprintf(log, sizeof log, "%s/log", folder);
    test_server_certificate_for(folder, "IP:127.0.0.1,IP:127.0.0.2");
    server = test_server_start(NULL, NULL);
    front_start();
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    CHECK_INT(http_client_open(loop, NULL, &client, &e), 0);
    test_shared();
    test_paused();
    test_server_gone();
    test_proxies();
    http_client_close(client);
    loop_close(loop);
    front_stop();
    test_server_stop(&server);
    unlink(cert);
    unlink(key);
    unlink(log);
    rmdir(folder);
    return CHECK_DONE();
}
