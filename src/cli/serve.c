/* moonloop serve: routes, worker and engine in one process, until a signal; then nothing new is
 * accepted, what runs is finished, and the rest stays for the next start. */
#include "cli/cli.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_NS 10000000000LL /* what runs when the signal comes has so long */
#define WATCH_MS 300
#define WATCH_DEPTH 4
#define PORT_DEFAULT 8080

/* ---- --watch ---- */

/* A number that changes when a Lua file of the folder does. */
static uint64_t look_at(const char *folder, int depth)
{
    uint64_t sum = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        char path[4096];
        struct stat st;
        size_t n = strlen(e->d_name);
        int len = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] == '.' || len < 0 || (size_t)len >= sizeof path || stat(path, &st))
            continue;
        if (S_ISDIR(st.st_mode) && depth > 0) sum += look_at(path, depth - 1);
        if (n < 5 || strcmp(e->d_name + n - 4, ".lua") != 0) continue;
        uint64_t one = (uint64_t)st.st_mtim.tv_sec * 1000000007u + (uint64_t)st.st_mtim.tv_nsec +
                       (uint64_t)st.st_size * 31u + (uint64_t)st.st_ino;
        sum += one * 0x9E3779B97F4A7C15u;
    }
    if (d) closedir(d);
    return sum;
}

static uint64_t look(char **scripts, int n)
{
    uint64_t sum = 0;
    for (int i = 0; i < n; i++) {
        char folder[4096] = ".";
        const char *slash = strrchr(scripts[i], '/');
        if (slash)
            snprintf(folder, sizeof folder, "%.*s", (int)(slash - scripts[i] + 1), scripts[i]);
        sum = sum * 31 + look_at(folder, WATCH_DEPTH);
    }
    return sum;
}

struct serve {
    struct cli *c;
    char **scripts;
    int n;
    bool watch, drained;
    int left;
    uint64_t seen;
    long long looked_ms;
};

static long long now_ms(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void on_reloaded(void *ud, const ml_load_result *r)
{
    struct serve *s = ud;
    if (r->code)
        cli_note(s->c, "not reloaded, the text before goes on: %s", r->text);
    else
        cli_note(s->c, "reloaded");
}

static void look_for_changes(struct serve *s)
{
    long long now = now_ms();
    if (now - s->looked_ms < WATCH_MS && now >= s->looked_ms) return;
    s->looked_ms = now;
    uint64_t sum = look(s->scripts, s->n);
    if (sum == s->seen) return;
    s->seen = sum;
    for (int i = 0; i < s->n; i++)
        if (ml_load(s->c->host, s->scripts[i], NULL, 0, on_reloaded, s) < 0)
            cli_note(s->c, "not reloaded: %s", ml_error(s->c->host));
}

/* As ml_run, with a look at the files from time to time. */
static int run_watching(struct serve *s)
{
    while (!cli_stop_signal()) {
        int more = ml_step(s->c->host, 10000000);
        if (more < 0) return more;
        look_for_changes(s);
        int64_t wait = ml_wait_ns(s->c->host);
        int ms = more                                     ? 0
                 : wait < 0 || wait / 1000000 >= WATCH_MS ? WATCH_MS
                                                          : (int)(wait / 1000000);
        struct pollfd fd = {.fd = ml_wait_fd(s->c->host), .events = POLLIN};
        if (ms && poll(&fd, 1, ms) < 0 && errno != EINTR) return ML_E_IO;
    }
    return 0;
}

/* ---- serving ---- */

static int until_stopped(void *ud)
{
    (void)ud;
    return !cli_stop_signal();
}

static int until_drained(void *ud)
{
    return !((const struct serve *)ud)->drained;
}

static void on_drained(void *ud, int left)
{
    struct serve *s = ud;
    s->drained = true;
    s->left = left;
    ml_stop(s->c->host);
}

static void tell_address(struct cli *c, const ml_http_options *o, int port)
{
    const char *at = o->address ? o->address : "127.0.0.1",
               *scheme = o->cert_file ? "https" : "http";
    bool six = strchr(at, ':') != NULL;
    if (c->json)
        printf("{\"url\":\"%s://%s%s%s:%d\",\"port\":%d}\n", scheme, six ? "[" : "", at,
               six ? "]" : "", port, port);
    else
        printf("serving on %s://%s%s%s:%d\n", scheme, six ? "[" : "", at, six ? "]" : "", port);
    fflush(stdout);
}

static int serve(struct serve *s, const ml_http_options *o)
{
    struct cli *c = s->c;
    int port = 0, rc = ml_http_open(c->host, o, &port);
    if (rc < 0) return cli_fail(c, cli_code_exit(rc), "%s", ml_error(c->host));
    tell_address(c, o, port);
    s->seen = s->watch ? look(s->scripts, s->n) : 0;
    rc = s->watch ? run_watching(s) : ml_run(c->host, until_stopped, NULL);
    if (rc < 0) return cli_fail(c, cli_code_exit(rc), "%s", ml_error(c->host));
    cli_note(c, "stopping: what runs is finished first; a second signal ends at once");
    rc = ml_http_drain(c->host, DRAIN_NS, on_drained, s);
    while (rc == 0 && !s->drained)
        rc = ml_run(c->host, until_drained, s);
    if (rc < 0) return cli_fail(c, cli_code_exit(rc), "%s", ml_error(c->host));
    if (s->left) cli_note(c, "%d requests were not answered in time", s->left);
    return EXIT_OK;
}

static int read_port(struct cli *c, const char *text, int *port)
{
    char *end = NULL;
    long n = text ? strtol(text, &end, 10) : PORT_DEFAULT;
    if (text && (!*text || *end || n < 0 || n > 65535))
        return cli_fail(c, EXIT_USAGE, "--port is a number from 0 (a free one) to 65535, not '%s'",
                        text);
    *port = (int)n;
    return 0;
}

/* Each connection is a descriptor: as many as the system allows. */
static void raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= r.rlim_max) return;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

int verb_serve(struct cli *c, int argc, char **argv)
{
    struct serve s = {.c = c, .scripts = argv};
    ml_http_options o = {0};
    const char *port = NULL;
    const struct cli_opt opts[] = {
        {"--port", "N", "where to listen; 0: a free port (default: 8080)", &port, NULL},
        {"--host", "ADDR", "address to listen on (default: 127.0.0.1, this machine only)",
         &o.address, NULL},
        {"--tls-cert", "FILE", "serve HTTPS with this certificate (PEM)", &o.cert_file, NULL},
        {"--tls-key", "FILE", "its key (PEM)", &o.key_file, NULL},
        {"--watch", NULL, "load the scripts again when a Lua file beside them changes", NULL,
         &s.watch},
        {"--durability", "full|fast", "what a commit survives: a power cut, or a killed process",
         &c->durability, NULL},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"SCRIPT", "...", NULL};
    s.n = cli_parse(c, argc, argv, opts, pos, NULL);
    if (s.n < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    int code = read_port(c, port, &o.port);
    for (int i = 0; i < s.n && code == 0; i++)
        if (access(argv[i], R_OK) != 0) code = cli_fail(c, EXIT_USAGE, "no script %s", argv[i]);
    if (code == 0 && !o.cert_file != !o.key_file)
        code = cli_fail(c, EXIT_USAGE, "--tls-cert and --tls-key belong together");
    if (code) return code;
    if (c->temporal.address && !c->temporal.task_queue) c->temporal.task_queue = "default";
    c->temporal.worker = true;
    c->blocked_shown = true;
    raise_descriptors();
    code = cli_open(c, ML_DRIVE_ALL | (c->temporal.address && c->db ? ML_BOUNDARY : 0));
    if (code) return code;
    cli_signals_begin(c);
    for (int i = 0; i < s.n && code == 0 && !cli_stop_signal(); i++)
        code = cli_load_served(c, argv[i], argv[i], "no route, no workflow and no activity");
    if (code == 0 && ml_serve(c->host) < 0)
        code = cli_fail(c, EXIT_ENGINE, "%s", ml_error(c->host));
    if (code == 0 && !cli_stop_signal()) code = serve(&s, &o);
    cli_signals_end();
    cli_close(c);
    return code;
}
