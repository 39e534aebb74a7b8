/* Options, opening, replies, exit codes: what the verbs share. */
#include "cli/cli.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void usage(struct cli *c, const struct cli_opt *opts)
{
    const struct cli_verb *v = cli_find(c->verb);
    printf("usage: moonloop %s\n\n%s\n\n", v ? v->usage : c->verb, v ? v->help : "");
    for (const struct cli_opt *o = opts; o && o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        printf("  %-22s %s\n", left, o->help);
    }
    printf("  %-22s %s\n", "--db FILE", "database (default: MOONLOOP_DB, else ./moonloop.db)");
    printf("  %-22s %s\n", "--json", "output for programs");
    printf("  %-22s %s\n", "--quiet", "no progress");
    if (v && v->temporal) cli_temporal_usage();
}

/* The option's slot for `arg` ("--name" or "--name=value"); inline_value gets what follows '='. */
static const struct cli_opt *find_opt(const struct cli_opt *opts, const char *arg,
                                      const char **inline_value)
{
    const char *eq = strchr(arg, '=');
    size_t n = eq ? (size_t)(eq - arg) : strlen(arg);
    *inline_value = eq ? eq + 1 : NULL;
    for (const struct cli_opt *o = opts; o && o->name; o++)
        if (strlen(o->name) == n && strncmp(o->name, arg, n) == 0) return o;
    return NULL;
}

static int parse_one(struct cli *c, const struct cli_opt *opts, int argc, char **argv, int *i)
{
    const struct cli_opt common[] = {{"--db", "FILE", "", &c->db, NULL},
                                     {"--json", NULL, "", NULL, &c->json},
                                     {"--quiet", NULL, "", NULL, &c->quiet},
                                     {"--help", NULL, "", NULL, &c->help},
                                     {NULL, NULL, NULL, NULL, NULL}};
    const char *value;
    const struct cli_opt *o = find_opt(opts, argv[*i], &value);
    if (!o) o = find_opt(common, argv[*i], &value);
    if (!o) o = find_opt(cli_temporal_opts(c), argv[*i], &value);
    if (!o)
        return cli_fail(c, -1, "unknown option %s. `moonloop help %s` lists them", argv[*i],
                        c->verb);
    if (!o->arg) {
        if (value) return cli_fail(c, -1, "%s takes no value", o->name);
        *o->flag = true;
        return 0;
    }
    if (!value) {
        if (*i + 1 >= argc)
            return cli_fail(c, -1, "%s needs a value: %s %s", o->name, o->name, o->arg);
        value = argv[++*i];
    }
    *o->value = value;
    return strcmp(o->name, "--grpc-meta") == 0 ? cli_temporal_metadata(c, value) : 0;
}

static int check_temporal(struct cli *c)
{
    const struct cli_temporal *t = &c->temporal;
    const struct cli_verb *v = cli_find(c->verb);
    bool beside = t->name_space || t->task_queue || t->api_key || t->ca || t->cert || t->key ||
                  t->server_name || t->proxy || t->tls || t->no_tls || t->no_verify ||
                  t->n_metadata || t->codec_keys;
    if (!t->address && beside)
        return cli_fail(c, -1, "options of a Temporal server need --temporal ADDR");
    if (t->address && !(v && v->temporal))
        return cli_fail(c, -1, "`moonloop %s` works on a file; --temporal is not for it", c->verb);
    if (t->address && c->db && strcmp(c->verb, "serve") != 0)
        return cli_fail(c, -1, "--db names a file and --temporal a server: choose one");
    if (t->tls && t->no_tls) return cli_fail(c, -1, "--tls and --no-tls exclude each other");
    return 0;
}

int cli_parse(struct cli *c, int argc, char **argv, const struct cli_opt *opts,
              const char *const *positional, int *rest)
{
    int n = 0, end = argc, most = 0, least = 0;
    bool open_ended = false;
    for (const char *const *p = positional; *p; p++) {
        if (strcmp(*p, "...") == 0) {
            open_ended = true;
            continue;
        }
        most++;
        if ((*p)[0] != '[') least++;
    }
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            end = i + 1;
            break;
        }
        if (argv[i][0] == '-' && argv[i][1] == 'h' && !argv[i][2]) {
            c->help = true;
        } else if (argv[i][0] == '-' && argv[i][1] == '-') {
            if (parse_one(c, opts, argc, argv, &i) < 0) return -1;
        } else {
            argv[n++] = argv[i];
        }
    }
    if (rest) *rest = end;
    if (c->help) return usage(c, opts), -1;
    if (check_temporal(c)) return -1;
    if (n < least)
        return cli_fail(c, -1, "%s is missing. Usage: moonloop %s", positional[n],
                        cli_find(c->verb)->usage);
    if (n > most && !open_ended)
        return cli_fail(c, -1, "'%s' is one argument too many. Usage: moonloop %s", argv[most],
                        cli_find(c->verb)->usage);
    return n;
}

int cli_fail(struct cli *c, int code, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->json) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "error", text);
        char *s = cJSON_PrintUnformatted(o);
        fprintf(stderr, "%s\n", s ? s : "{}");
        cJSON_free(s);
        cJSON_Delete(o);
    } else {
        fprintf(stderr, "%smoonloop%s%s: %s%s\n", c->color ? "\033[31m" : "", *c->verb ? " " : "",
                c->verb, c->color ? "\033[0m" : "", text);
    }
    return code;
}

void cli_note(struct cli *c, const char *fmt, ...)
{
    if (c->quiet || c->json) return;
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* MOONLOOP_LOG=debug|info|warn|error: the least level that is shown; info when it says nothing
 * else. */
static int least_level(const char *const names[4])
{
    const char *env = getenv("MOONLOOP_LOG");
    for (int i = 0; env && i < 4; i++)
        if (strcmp(env, names[i]) == 0) return i;
    return 1;
}

/* What a log line says may come from anybody, a caller of a route for one: it must neither look
 * like a line of its own nor speak to the terminal. */
static void put_log_text(const char *text)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '\n')
            fputs(p[1] ? "\n    " : "\n", stderr);
        else if ((c < 0x20 && c != '\t') || c == 0x7F)
            fprintf(stderr, "\\x%02x", c);
        else
            fputc(c, stderr);
    }
}

static void on_log(void *ud, int level, const char *text, const char *fields)
{
    struct cli *c = ud;
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (c->quiet || level < least_level(names)) return;
    progress_end(c);
    if (c->json) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "log", names[level & 3]);
        cJSON_AddStringToObject(o, "text", text);
        if (fields) cJSON_AddItemToObject(o, "fields", cJSON_CreateRaw(fields));
        char *s = cJSON_PrintUnformatted(o);
        fprintf(stderr, "%s\n", s ? s : "{}");
        cJSON_free(s);
        cJSON_Delete(o);
        return;
    }
    fprintf(stderr, "%s%s%s%s ", c->color ? (level > 1 ? "\033[33m" : "\033[36m") : "", "log ",
            names[level & 3], c->color ? "\033[0m" : "");
    put_log_text(text);
    fprintf(stderr, "%s%s\n", fields ? " " : "", fields ? fields : "");
}

static int parse_modes(struct cli *c, ml_config *cfg)
{
    if (c->clock) {
        if (strcmp(c->clock, "real") == 0)
            cfg->clock = ML_CLOCK_REAL;
        else if (strcmp(c->clock, "virtual") == 0)
            cfg->clock = ML_CLOCK_VIRTUAL;
        else
            return cli_fail(c, EXIT_USAGE, "--clock is real or virtual, not '%s'", c->clock);
    }
    if (c->durability) {
        if (strcmp(c->durability, "full") == 0)
            cfg->durability = ML_DURABILITY_FULL;
        else if (strcmp(c->durability, "fast") == 0)
            cfg->durability = ML_DURABILITY_FAST;
        else
            return cli_fail(c, EXIT_USAGE, "--durability is full or fast, not '%s'", c->durability);
    }
    if (c->until) {
        cfg->until_ns = ml_parse_time(c->until);
        if (cfg->until_ns <= 0)
            return cli_fail(c, EXIT_USAGE,
                            "--until takes a time after 1970 and before 2262-04-11, such as "
                            "2026-03-01T09:00:00Z, not '%s'",
                            c->until);
    }
    return 0;
}

int cli_open(struct cli *c, unsigned flags)
{
    ml_config cfg;
    ml_temporal temporal;
    ml_config_init(&cfg);
    const char *env = getenv("MOONLOOP_DB");
    cfg.path = c->db ? c->db : env && *env ? env : "moonloop.db";
    c->db = cfg.path;
    cfg.flags = flags;
    cfg.log = on_log;
    cfg.log_ud = c;
    cfg.event = progress_event;
    cfg.event_ud = c;
    cfg.stdio = 1;
    if (c->temporal.address) cli_temporal_config(c, &cfg, &temporal);
    int rc = parse_modes(c, &cfg);
    if (rc) return rc;
    rc = ml_open(&cfg, &c->host);
    if (rc) return cli_fail(c, cli_code_exit(rc), "%s", ml_open_error());
    return 0;
}

void cli_close(struct cli *c)
{
    progress_end(c);
    if (c->host) ml_close(c->host);
    c->host = NULL;
    cli_forget_blocked(c);
}

static char *dup_or_null(const char *s)
{
    return s ? strdup(s) : NULL;
}

void cli_on_reply(void *ud, const ml_reply *r)
{
    struct cli_reply *out = ud;
    cli_reply_free(out);
    out->done = true;
    out->code = r->code;
    out->existing = r->existing;
    out->text = dup_or_null(r->text);
    out->workflow_id = dup_or_null(r->workflow_id);
    out->run_id = dup_or_null(r->run_id);
    out->status = dup_or_null(r->status);
    out->json = dup_or_null(r->json);
    out->failure = dup_or_null(r->failure_json);
}

void cli_reply_free(struct cli_reply *r)
{
    free(r->text);
    free(r->workflow_id);
    free(r->run_id);
    free(r->status);
    free(r->json);
    free(r->failure);
    memset(r, 0, sizeof *r);
}

static int still_waiting(void *ud)
{
    const struct cli_reply *r = ud;
    return !r->done;
}

int cli_wait(struct cli *c, int rc, struct cli_reply *r)
{
    return rc == 0 && !r->done ? ml_run(c->host, still_waiting, r) : rc;
}

int cli_await(struct cli *c, int rc, struct cli_reply *r)
{
    rc = cli_wait(c, rc, r);
    if (rc < 0) return cli_fail(c, cli_code_exit(rc), "%s", ml_error(c->host));
    if (!r->done) return cli_fail(c, EXIT_SIGINT, "stopped before the answer came");
    if (r->code)
        return cli_fail(c, cli_code_exit(r->code), "%s",
                        r->text && *r->text ? r->text : "it did not work");
    return 0;
}

int cli_code_exit(int code)
{
    switch (code) {
    case ML_OK:
        return EXIT_OK;
    case ML_E_ARG:
    case ML_E_NOTFOUND:
    case ML_E_EXISTS:
    case ML_E_SCRIPT:
    case ML_E_UNSUPPORTED:
    case ML_E_LIMIT: /* a value that is too large, too many of something */
        return EXIT_USAGE;
    case ML_E_FAILED:
    case ML_E_NONDETERMINISM:
        return EXIT_FAILED;
    case ML_E_CANCELED:
        return EXIT_CANCELED;
    case ML_E_TIMEOUT:
        return EXIT_TIMEOUT;
    default:
        return EXIT_ENGINE;
    }
}

int cli_status_exit(const char *status)
{
    static const struct {
        const char *name;
        int code;
    } table[] = {
        {"Completed", EXIT_OK},        {"Failed", EXIT_FAILED},    {"Canceled", EXIT_CANCELED},
        {"Terminated", EXIT_CANCELED}, {"TimedOut", EXIT_TIMEOUT}, {"Running", EXIT_WAITING},
        {"Blocked", EXIT_WAITING},     {"Paused", EXIT_WAITING},
    };
    for (size_t i = 0; status && i < sizeof table / sizeof *table; i++)
        if (strcmp(status, table[i].name) == 0) return table[i].code;
    return EXIT_ENGINE;
}

static char *read_all(FILE *f)
{
    size_t cap = 65536, n = 0;
    char *p = malloc(cap + 1);
    while (p) {
        n += fread(p + n, 1, cap - n, f);
        if (n < cap) break;
        char *q = cap < (64u << 20) ? realloc(p, cap * 2 + 1) : NULL;
        if (!q) free(p);
        p = q;
        cap *= 2;
    }
    if (p) p[n] = 0;
    return p;
}

char *cli_json_arg(struct cli *c, const char *what, const char *arg)
{
    char *text = NULL;
    if (strcmp(arg, "-") == 0) {
        text = read_all(stdin);
    } else if (arg[0] == '@') {
        FILE *f = fopen(arg + 1, "rb");
        if (!f)
            return cli_fail(c, 0, "%s: cannot read %s: %s", what, arg + 1, strerror(errno)), NULL;
        text = read_all(f);
        fclose(f);
    } else {
        text = strdup(arg);
    }
    if (!text) return cli_fail(c, 0, "%s: too large, or out of memory", what), NULL;
    const char *end = NULL;
    cJSON *j = cJSON_ParseWithOpts(text, &end, 1);
    if (!j) {
        cli_fail(c, 0,
                 "%s is not JSON: error at character %ld, near '%.20s'. Quote strings: '\"text\"'",
                 what, end ? (long)(end - text) + 1 : 1L, end ? end : text);
        free(text);
        return NULL;
    }
    cJSON_Delete(j);
    return text;
}

void cli_print_failure(struct cli *c, const char *failure_json)
{
    cJSON *f = failure_json ? cJSON_Parse(failure_json) : NULL;
    int depth = 0;
    for (const cJSON *i = f; cJSON_IsObject(i) && depth < 20;
         i = cJSON_GetObjectItem(i, "cause"), depth++) {
        const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(i, "type"));
        const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(i, "message"));
        fprintf(stderr, "%s%s%s%s: %s\n", c->color ? "\033[31m" : "", depth ? "  caused by " : "",
                type ? type : "failure", c->color ? "\033[0m" : "", message ? message : "");
        const char *trace = cJSON_GetStringValue(cJSON_GetObjectItem(i, "stackTrace"));
        if (trace && *trace) fprintf(stderr, "%s\n", trace);
    }
    cJSON_Delete(f);
}

int cli_print_outcome(struct cli *c, const struct cli_reply *r)
{
    int code = cli_status_exit(r->status);
    if (code == EXIT_OK) {
        printf("%s\n", r->json ? r->json : "null");
        return fflush(stdout) ? EXIT_ENGINE : EXIT_OK;
    }
    if (c->json) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "status", r->status ? r->status : "");
        cJSON_AddStringToObject(o, "workflowId", r->workflow_id ? r->workflow_id : "");
        cJSON_AddItemToObject(o, "failure", cJSON_CreateRaw(r->failure ? r->failure : "null"));
        char *s = cJSON_PrintUnformatted(o);
        fprintf(stderr, "%s\n", s ? s : "{}");
        cJSON_free(s);
        cJSON_Delete(o);
        return code;
    }
    cli_fail(c, 0, "%s is %s", r->workflow_id ? r->workflow_id : "the run",
             r->status ? r->status : "in an unknown state");
    if (r->failure) cli_print_failure(c, r->failure);
    return code;
}
