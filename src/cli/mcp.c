/* moonloop mcp: the script's tools and workflows for an MCP client on standard input and output,
 * one JSON message a line. Nothing else is written to standard output. What a message says is the
 * script's side's matter (mcp_server.lua); here are lines, cancellations and the end. */
#include "cli/cli.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)16 << 20)
#define OPEN_MAX 1000 /* messages that are worked on at once */
#define DRAIN_MS 5000 /* for what runs when the client has closed its side */

struct mcp;
struct message {
    struct mcp *m;
    struct message *next;
    char key[40];
    char *id; /* the request's id as JSON; NULL: a notification */
    bool canceled;
};
struct mcp {
    struct cli *c;
    const char *script;
    struct message *open;
    size_t n_open;
    unsigned long long count;
    char *line;
    size_t n, cap;
    bool skipping; /* the rest of a line that is too long */
    bool end;
};

static long long now_ms(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static FILE *out; /* what was standard output; that is standard error from then on, so that nothing
                     a script or its programs print stands between the messages */

static void say(const char *json)
{
    fprintf(out, "%s\n", json);
    fflush(out);
}

static int take_output(struct cli *c)
{
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return cli_fail(c, EXIT_ENGINE, "no standard output: %s", strerror(errno));
    return 0;
}

/* An error of the protocol that is found here; id NULL: not known. */
static void say_error(const char *id, int code, const char *text)
{
    cJSON *o = cJSON_CreateObject(), *e = cJSON_AddObjectToObject(o, "error");
    cJSON_AddNumberToObject(e, "code", code);
    cJSON_AddStringToObject(e, "message", text);
    cJSON_AddItemToObject(o, "id", id ? cJSON_Parse(id) : cJSON_CreateNull());
    cJSON_AddStringToObject(o, "jsonrpc", "2.0");
    char *text_of = cJSON_PrintUnformatted(o);
    if (text_of) say(text_of);
    cJSON_free(text_of);
    cJSON_Delete(o);
}

static void message_free(struct message *x)
{
    struct message **p = &x->m->open;
    while (*p && *p != x)
        p = &(*p)->next;
    if (*p) {
        *p = x->next;
        x->m->n_open--;
    }
    free(x->id);
    free(x);
}

static void on_answer(void *ud, const ml_reply *r)
{
    struct message *x = ud;
    if (r->code == 0 && r->json && !x->canceled) say(r->json);
    if (r->code && x->id && !x->canceled) say_error(x->id, -32603, r->text);
    message_free(x);
}

static void on_nothing(void *ud, const ml_reply *r)
{
    (void)ud, (void)r;
}

static void ask(struct mcp *m, const char *verb, const char *key, const char *text, ml_reply_fn fn,
                void *ud)
{
    cJSON *a = cJSON_CreateObject();
    cJSON_AddStringToObject(a, "key", key);
    cJSON_AddStringToObject(a, "script", m->script);
    if (text) cJSON_AddStringToObject(a, "message", text);
    char *json = cJSON_PrintUnformatted(a);
    int rc = json ? ml_ask(m->c->host, verb, json, fn, ud) : ML_E_NOMEM;
    cJSON_free(json);
    cJSON_Delete(a);
    if (rc == 0 || fn != on_answer) return;
    ml_reply failed = {.code = rc, .text = ml_error(m->c->host)};
    on_answer(ud, &failed);
}

/* notifications/cancelled: its request gets no answer any more. */
static void cancel(struct mcp *m, const cJSON *message)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(message, "params"), "requestId");
    char *text = id ? cJSON_PrintUnformatted(id) : NULL;
    for (struct message *x = m->open; x && text; x = x->next)
        if (x->id && strcmp(x->id, text) == 0 && !x->canceled) {
            x->canceled = true;
            ask(m, "mcp_cancel", x->key, NULL, on_nothing, NULL);
            break;
        }
    cJSON_free(text);
}

static void on_line(struct mcp *m, const char *text)
{
    if (text[strspn(text, " \t\r")] == 0) return;
    cJSON *j = cJSON_Parse(text);
    const cJSON *method = cJSON_GetObjectItemCaseSensitive(j, "method");
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(j, "id");
    if (cJSON_IsString(method) && strcmp(method->valuestring, "notifications/cancelled") == 0) {
        cancel(m, j);
        cJSON_Delete(j);
        return;
    }
    struct message *x = calloc(1, sizeof *x);
    char *kept = id ? cJSON_PrintUnformatted(id) : NULL;
    cJSON_Delete(j);
    if (!x || m->n_open >= OPEN_MAX) {
        say_error(kept, -32603, x ? "too many requests at once" : "out of memory");
        cJSON_free(kept);
        free(x);
        return;
    }
    x->m = m;
    x->id = kept ? strdup(kept) : NULL;
    cJSON_free(kept);
    snprintf(x->key, sizeof x->key, "%ld-%llu", (long)getpid(), ++m->count);
    x->next = m->open;
    m->open = x;
    m->n_open++;
    ask(m, "mcp", x->key, text, on_answer, x);
}

/* Takes what was read apart into lines. */
static void on_bytes(struct mcp *m, const char *p, size_t n)
{
    while (n > 0) {
        const char *end = memchr(p, '\n', n);
        size_t take = end ? (size_t)(end - p) : n;
        if (m->n + take > LINE_MAX_BYTES) m->skipping = true;
        if (!m->skipping && m->n + take + 1 > m->cap) {
            size_t cap = (m->n + take + 1) * 2;
            char *grown = realloc(m->line, cap);
            if (grown) {
                m->line = grown;
                m->cap = cap;
            }
        }
        if (m->n + take + 1 > m->cap) m->skipping = true;
        if (!m->skipping) {
            memcpy(m->line + m->n, p, take);
            m->n += take;
        }
        if (end && m->skipping) say_error(NULL, -32600, "the message is larger than 16 MiB");
        if (end && !m->skipping) {
            m->line[m->n] = 0;
            on_line(m, m->line);
        }
        if (end) {
            m->n = 0;
            m->skipping = false;
            take++;
        }
        p += take;
        n -= take;
    }
}

static void read_input(struct mcp *m)
{
    char part[65536];
    ssize_t n = read(STDIN_FILENO, part, sizeof part);
    if (n > 0)
        on_bytes(m, part, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        m->end = true;
}

/* Until the client closes its side, or a signal; then what runs has a while. */
static int loop(struct mcp *m)
{
    long long stop_at = 0;
    while (!cli_stop_signal()) {
        int more = ml_step(m->c->host, 10000000);
        if (more < 0) return cli_fail(m->c, cli_code_exit(more), "%s", ml_error(m->c->host));
        if (m->end && !stop_at) stop_at = now_ms() + DRAIN_MS;
        if (m->end && (!m->open || now_ms() > stop_at)) return EXIT_OK;
        int64_t wait = ml_wait_ns(m->c->host);
        int ms = more ? 0 : wait < 0 || wait > 500000000 ? 500 : (int)(wait / 1000000);
        struct pollfd fds[2] = {{.fd = ml_wait_fd(m->c->host), .events = POLLIN},
                                {.fd = m->end ? -1 : STDIN_FILENO, .events = POLLIN}};
        if (poll(fds, 2, ms) < 0 && errno != EINTR) return EXIT_ENGINE;
        if (fds[1].revents) read_input(m);
    }
    return EXIT_OK;
}

int verb_mcp(struct cli *c, int argc, char **argv)
{
    struct mcp m = {.c = c};
    const struct cli_opt opts[] = {{"--durability", "full|fast",
                                    "what a commit survives: a power cut, or a killed process",
                                    &c->durability, NULL},
                                   {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"SCRIPT", NULL};
    int n = cli_parse(c, argc, argv, opts, pos, NULL);
    if (n < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    char *path = realpath(argv[0], NULL);
    if (!path) return cli_fail(c, EXIT_USAGE, "no script %s", argv[0]);
    m.script = path;
    c->blocked_shown = true;
    int code = take_output(c);
    if (code == 0) code = cli_open(c, ML_ATTACH | ML_DRIVE_ALL);
    if (code == 0) {
        cli_signals_begin(c);
        code = cli_load_served(c, path, argv[0], "no tool and no workflow");
        if (code == 0 && !cli_stop_signal()) code = loop(&m);
        cli_signals_end();
        cli_close(c);
    }
    while (m.open)
        message_free(m.open);
    free(m.line);
    free(path);
    return code;
}
