/* TLS and mTLS through nghttpx in front of the test server, with certificates made here; and HTTP
 * CONNECT proxies. */
#include "base/mem.h"
#include "check.h"
#include "h2_server.h"
#include "temporal/channel.h"
#include "temporal/status.h"
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;
static struct h2_server *server;
static int port; /* of the server without TLS */
static char folder[] = "/tmp/moonloop-tls-XXXXXX";

static const char *in(const char *name)
{
    static char paths[64][200];
    static int at;
    at = (at + 1) % 64;
    snprintf(paths[at], sizeof paths[at], "%s/%s", folder, name);
    return paths[at];
}

static void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *fmt, ...)
{
    char cmd[2000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cmd, sizeof cmd, fmt, ap);
    va_end(ap);
    if (system(cmd) != 0) {
        fprintf(stderr, "failed: %s\n", cmd);
        exit(1);
    }
}

/* Two authorities (ca, other), a server's certificate for localhost and two clients'. */
static void certificates(void)
{
    const char *const sign[][3] = {{"server", "ca", "DNS:localhost"},
                                   {"client", "ca", "DNS:client"},
                                   {"stranger", "other", "DNS:stranger"}};
    CHECK(mkdtemp(folder));
    for (int i = 0; i < 2; i++) {
        const char *ca = i ? "other" : "ca";
        shell("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
              "-days 2 "
              "-subj '/CN=%s' -keyout %s.key -out %s.pem >/dev/null 2>&1",
              folder, ca, ca, ca);
    }
    for (int i = 0; i < 3; i++)
        shell("cd %s && openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "
              "'/CN=%s' "
              "-keyout %s.key -out %s.csr >/dev/null 2>&1 && echo 'subjectAltName=%s' >%s.ext && "
              "openssl x509 -req "
              "-in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 2 -extfile %s.ext -out "
              "%s.pem >/dev/null 2>&1",
              folder, sign[i][0], sign[i][0], sign[i][0], sign[i][2], sign[i][0], sign[i][0],
              sign[i][1], sign[i][1], sign[i][0], sign[i][0]);
    shell("cd %s && openssl pkey -in client.key -aes128 -passout pass:x -out locked.key "
          "2>/dev/null && echo nothing >empty.pem",
          folder);
}

/* ---- processes in front of the server ---- */
struct front {
    pid_t pid;
    int port, in;
};

static int free_port(void)
{
    int at = 0;
    struct h2_server *s = h2_open(loop, NULL, &at);
    h2_close(s);
    loop_turn(loop, 0);
    return at;
}

/* True when somebody listens; the test server is served meanwhile. */
static bool answers(int at)
{
    char path[100];
    snprintf(path, sizeof path, "exec 3<>/dev/tcp/127.0.0.1/%d", at);
    char cmd[200];
    snprintf(cmd, sizeof cmd, "bash -c '%s' 2>/dev/null", path);
    return system(cmd) == 0;
}

static struct front nghttpx(bool client_certificates)
{
    struct front f = {.port = free_port()};
    char listen[60], back[60], ca[260];
    snprintf(listen, sizeof listen, "--frontend=127.0.0.1,%d", f.port);
    snprintf(back, sizeof back, "--backend=127.0.0.1,%d;;proto=h2", port);
    snprintf(ca, sizeof ca, "--verify-client-cacert=%s", in("ca.pem"));
    f.pid = fork();
    if (f.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        int log = open(in("nghttpx.log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        dup2(log, 2);
        execlp("nghttpx", "nghttpx", "--conf=/dev/null", listen, back, "--workers=1", "--no-ocsp",
               "--log-level=FATAL", "--single-process", in("server.key"), in("server.pem"),
               client_certificates ? "--verify-client" : (char *)NULL, ca, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; !answers(f.port); i++) {
        CHECK(i < 600 && waitpid(f.pid, NULL, WNOHANG) == 0);
        usleep(50000);
    }
    return f;
}

static struct front proxy(const char *a, const char *b, const char *c)
{
    struct front f = {0};
    int to[2], from[2];
    CHECK(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
    f.pid = fork();
    if (f.pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execlp("python3", "python3", ML_TEST_CONNECT_PROXY, a, b, c, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    f.in = to[1];
    FILE *p = fdopen(from[0], "r");
    CHECK(p && fscanf(p, "%d", &f.port) == 1);
    fclose(p);
    return f;
}

static void stop(struct front *f)
{
    if (f->in)
        close(f->in);
    else
        kill(f->pid, SIGTERM);
    CHECK(waitpid(f->pid, NULL, 0) == f->pid);
}

/* ---- calls ---- */
struct got {
    bool done;
    struct channel_reply r;
    char text[800];
};
static void on_reply(void *ud, const struct channel_reply *r)
{
    struct got *g = ud;
    g->done = true;
    g->r = *r;
    snprintf(g->text, sizeof g->text, STR_FMT, STR_ARG(r->message));
}

static struct got call(struct channel *c)
{
    struct got g = {0};
    struct err e;
    uint64_t id;
    const struct channel_call_options o = {.deadline_ns =
                                               clock_mono(&clock_system) + 30 * NS_PER_S};
    CHECK_INT(channel_call(c, "/t/echo", STR("hello"), &o, on_reply, &g, &id, &e), 0);
    while (!g.done)
        loop_turn(loop, -1);
    return g;
}

static void expect(const char *host, int at, struct channel_options o, int code, bool hopeless,
                   const char *word, const char *second)
{
    struct channel *c;
    struct err e;
    char address[100];
    snprintf(address, sizeof address, "%s:%d", host, at);
    o.address = str_of(address);
    if (channel_open(loop, &o, &c, &e)) {
        fprintf(stderr, "%s\n", e.text);
        CHECK(false);
    }
    struct got g = call(c);
    if (g.r.code != code || !strstr(g.text, word) || !strstr(g.text, second) ||
        g.r.hopeless != hopeless)
        fprintf(stderr, "code %d: %s\n", g.r.code, g.text);
    CHECK_INT(g.r.code, code);
    CHECK(strstr(g.text, word) && strstr(g.text, second));
    CHECK(g.r.hopeless == hopeless && (code == 0 || g.r.unsent));
    channel_close(c);
}

static void refused(struct channel_options o, int code, const char *word, const char *second)
{
    struct channel *c;
    struct err e;
    o.address = STR("localhost:1");
    CHECK_INT(channel_open(loop, &o, &c, &e), code);
    if (!strstr(e.text, word) || !strstr(e.text, second)) fprintf(stderr, "%s\n", e.text);
    CHECK(strstr(e.text, word) && strstr(e.text, second));
}

static char *slurp(const char *path)
{
    static char text[2][8192];
    static int at;
    at = !at;
    FILE *f = fopen(path, "r");
    CHECK(f);
    size_t n = fread(text[at], 1, sizeof text[at] - 1, f);
    text[at][n] = '\0';
    fclose(f);
    return text[at];
}

static void test_files(void)
{
    CASE("certificates that cannot be used say which and why");
    struct str ca = str_of(in("ca.pem")), cert = str_of(in("client.pem")),
               key = str_of(in("client.key"));
    struct str none = str_of(in("none.pem")), empty = str_of(in("empty.pem"));
    refused((struct channel_options){.ca_file = none}, ERR_IO, "CA certificate cannot be read",
            "none.pem");
    refused((struct channel_options){.ca_file = empty}, ERR_ARG, "CA certificate", "PEM");
    refused((struct channel_options){.ca_data = STR("x")}, ERR_ARG, "CA certificate", "PEM");
    refused((struct channel_options){.ca_file = ca, .cert_file = cert}, ERR_ARG, "without its key",
            "--tls-key");
    refused((struct channel_options){.ca_file = ca, .key_file = key}, ERR_ARG,
            "without its certificate", "--tls-cert");
    refused((struct channel_options){.cert_file = empty, .key_file = key}, ERR_ARG,
            "client certificate", "empty.pem");
    refused((struct channel_options){.cert_file = cert, .key_file = empty}, ERR_ARG, "client key",
            "private key in PEM");
    refused((struct channel_options){.cert_file = cert, .key_file = str_of(in("server.key"))},
            ERR_ARG, "client key", "the key of the client certificate");
    refused((struct channel_options){.cert_file = cert, .key_file = str_of(in("locked.key"))},
            ERR_ARG, "is encrypted", "openssl pkey");
    refused((struct channel_options){.cert_file = cert, .key_file = none}, ERR_IO,
            "client key cannot be read", "none");
}

static void test_tls(void)
{
    struct front f = nghttpx(false);
    struct str ca = str_of(in("ca.pem")), other = str_of(in("other.pem"));
    CASE("TLS: the right authority, as a file and as text");
    expect("localhost", f.port, (struct channel_options){.ca_file = ca}, 0, false, "", "");
    expect("localhost", f.port, (struct channel_options){.ca_data = str_of(slurp(in("ca.pem")))}, 0,
           false, "", "");
    CASE("an API key means TLS");
    expect("localhost", f.port, (struct channel_options){.ca_file = ca, .api_key = STR("k")}, 0,
           false, "", "");
    CHECK(strstr(h2_state(server)->seen.p, "authorization: Bearer k\n"));
    CASE("wrong authority, none, wrong name");
    expect("localhost", f.port, (struct channel_options){.ca_file = other}, STATUS_UNAVAILABLE,
           true, "not trusted", "--tls-ca");
    expect("localhost", f.port, (struct channel_options){.tls = CHANNEL_TLS_ON}, STATUS_UNAVAILABLE,
           true, "not trusted", "TEMPORAL_TLS_SERVER_CA_CERT_PATH");
    expect("127.0.0.1", f.port, (struct channel_options){.ca_file = ca}, STATUS_UNAVAILABLE, true,
           "another name than '127.0.0.1'", "--tls-server-name");
    expect("localhost", f.port,
           (struct channel_options){.ca_file = ca, .server_name = STR("elsewhere")},
           STATUS_UNAVAILABLE, true, "another name than 'elsewhere'", "TEMPORAL_TLS_SERVER_NAME");
    CASE("the name can be given, and verification switched off");
    expect("127.0.0.1", f.port,
           (struct channel_options){.ca_file = ca, .server_name = STR("localhost")}, 0, false, "",
           "");
    expect("127.0.0.1", f.port, (struct channel_options){.no_host_verification = true}, 0, false,
           "", "");
    CASE("TLS against a server without, and the reverse");
    expect("127.0.0.1", port, (struct channel_options){.tls = CHANNEL_TLS_ON}, STATUS_UNAVAILABLE,
           true, "does not answer in TLS", "TEMPORAL_TLS=false");
    expect("127.0.0.1", f.port, (struct channel_options){0}, STATUS_UNAVAILABLE, false, "TLS", "");
    CASE("a client certificate that nobody asks for is no harm");
    expect("localhost", f.port,
           (struct channel_options){.ca_file = ca,
                                    .cert_file = str_of(in("client.pem")),
                                    .key_file = str_of(in("client.key"))},
           0, false, "", "");
    stop(&f);
}

static void test_mtls(void)
{
    struct front f = nghttpx(true);
    struct channel_options o = {.ca_file = str_of(in("ca.pem")),
                                .cert_file = str_of(in("client.pem")),
                                .key_file = str_of(in("client.key"))};
    CASE("mTLS, from files and from text");
    expect("localhost", f.port, o, 0, false, "", "");
    struct channel_options data = {.ca_file = o.ca_file,
                                   .cert_data = str_of(slurp(in("client.pem"))),
                                   .key_data = str_of(slurp(in("client.key")))};
    expect("localhost", f.port, data, 0, false, "", "");
    CASE("no certificate, a stranger's");
    expect("localhost", f.port, (struct channel_options){.ca_file = o.ca_file}, STATUS_UNAVAILABLE,
           true, "wants a client certificate", "--tls-cert and --tls-key");
    o.cert_file = str_of(in("stranger.pem"));
    o.key_file = str_of(in("stranger.key"));
    expect("localhost", f.port, o, STATUS_UNAVAILABLE, true, "refused the TLS connection",
           "check the client certificate");
    CASE("a renewed certificate is used with the next connection");
    shell("cd %s && cp stranger.pem now.pem && cp stranger.key now.key", folder);
    o.cert_file = str_of(in("now.pem"));
    o.key_file = str_of(in("now.key"));
    char address[40];
    struct channel *c;
    struct err e;
    snprintf(address, sizeof address, "localhost:%d", f.port);
    o.address = str_of(address);
    CHECK_INT(channel_open(loop, &o, &c, &e), 0);
    CHECK_INT(call(c).r.code, STATUS_UNAVAILABLE);
    shell("cd %s && cp client.pem now.pem && cp client.key now.key", folder);
    CHECK_INT(call(c).r.code, 0);
    channel_close(c);
    stop(&f);
}

static void test_proxy(void)
{
    CASE("a proxy, its answer in one piece and byte by byte");
    struct front p = proxy(NULL, NULL, NULL), slow = proxy("--dribble", NULL, NULL);
    char at[40], slow_at[40];
    snprintf(at, sizeof at, "127.0.0.1:%d", p.port);
    snprintf(slow_at, sizeof slow_at, "127.0.0.1:%d", slow.port);
    expect("somewhere.invalid", port, (struct channel_options){.proxy = str_of(at)}, 0, false, "",
           "");
    CHECK(strstr(h2_state(server)->seen.p, ":authority: somewhere.invalid:"));
    expect("somewhere.invalid", port, (struct channel_options){.proxy = str_of(slow_at)}, 0, false,
           "", "");
    CASE("a proxy whose answer comes in one piece with the server's first frames");
    struct front glue = proxy("--glue", NULL, NULL);
    char glue_at[40];
    snprintf(glue_at, sizeof glue_at, "127.0.0.1:%d", glue.port);
    expect("somewhere.invalid", port, (struct channel_options){.proxy = str_of(glue_at)}, 0, false,
           "", "");
    stop(&glue);
    CASE("TLS through a proxy");
    struct front f = nghttpx(false);
    expect("localhost", f.port,
           (struct channel_options){.proxy = str_of(at), .ca_file = str_of(in("ca.pem"))}, 0, false,
           "", "");
    stop(&f);
    stop(&p);
    stop(&slow);

    CASE("a proxy that wants a password");
    p = proxy("user:pa:ss", NULL, NULL);
    snprintf(at, sizeof at, "127.0.0.1:%d", p.port);
    struct channel_options o = {.proxy = str_of(at)};
    expect("somewhere.invalid", port, o, STATUS_UNAVAILABLE, true, "(407)", "user:password@");
    o.proxy_user = STR("user");
    o.proxy_password = STR("wrong");
    expect("somewhere.invalid", port, o, STATUS_UNAVAILABLE, true, "(407)", "user:password@");
    o.proxy_password = STR("pa:ss");
    expect("somewhere.invalid", port, o, 0, false, "", "");
    stop(&p);

    CASE("a proxy that refuses, that fails, that is none, that is not there");
    p = proxy("--status", "403", NULL);
    snprintf(at, sizeof at, "127.0.0.1:%d", p.port);
    o = (struct channel_options){.proxy = str_of(at)};
    expect("somewhere.invalid", port, o, STATUS_UNAVAILABLE, true, "refused to connect", "403");
    stop(&p);
    expect("somewhere.invalid", port, o, STATUS_UNAVAILABLE, false, "the proxy: cannot reach", "");
    p = proxy("--status", "502", NULL);
    snprintf(at, sizeof at, "127.0.0.1:%d", p.port);
    expect("somewhere.invalid", port, o, STATUS_UNAVAILABLE, false, "refused to connect", "502");
    stop(&p);
    snprintf(at, sizeof at, "127.0.0.1:%d", port);
    expect("somewhere.invalid", port, o, STATUS_UNAVAILABLE, true,
           "does not answer as an HTTP proxy", at);
}

int main(void)
{
    struct err e;
    signal(SIGPIPE, SIG_IGN);
    certificates();
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    server = h2_open(loop, NULL, &port);
    test_files();
    test_tls();
    test_mtls();
    test_proxy();
    h2_close(server);
    loop_close(loop);
    shell("rm -r %s", folder);
    return CHECK_DONE();
}
