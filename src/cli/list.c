/* moonloop list and count: the runs of a file or a server, newest first. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

static const char *text_of(const cJSON *o, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItem(o, key));
    return s ? s : "";
}

static void print_rows(struct cli *c, const char *json)
{
    cJSON *j = cJSON_Parse(json);
    const cJSON *row, *rows = cJSON_IsArray(j) ? j : cJSON_GetObjectItem(j, "runs");
    int n = 0;
    cJSON_ArrayForEach(row, rows)
    {
        if (n++ == 0)
            printf("%-11s %-20s %-36s %-20s %s\n", "STATUS", "TYPE", "ID", "STARTED", "WAITS FOR");
        bool blocked = cJSON_IsTrue(cJSON_GetObjectItem(row, "blocked"));
        char started[32];
        snprintf(started, sizeof started, "%.19s", text_of(row, "startTime"));
        const cJSON *p = cJSON_GetArrayItem(cJSON_GetObjectItem(row, "pending"), 0);
        printf("%-11s %-20.40s %-36s %-20s %s%s%s\n", blocked ? "Blocked" : text_of(row, "status"),
               text_of(row, "type"), text_of(row, "workflowId"), started,
               *text_of(row, "waitsFor") ? text_of(row, "waitsFor") : text_of(p, "kind"),
               p && *text_of(p, "name") ? " " : "",
               *text_of(row, "waitsFor") ? "" : text_of(p, "name"));
    }
    if (n == 0) cli_note(c, "no runs in %s", cli_where(c));
    cJSON_Delete(j);
}

struct filter {
    const char *status, *type, *prefix, *query, *limit;
};

#define FILTER_OPTS(f)                                                                             \
    {"--status", "S", "Running, Blocked, Completed, Failed, Canceled, Terminated, TimedOut",       \
     &(f).status, NULL},                                                                           \
        {"--type", "T", "workflow type", &(f).type, NULL},                                         \
        {"--id-prefix", "P", "ids that begin so", &(f).prefix, NULL},                              \
    {                                                                                              \
        "--query", "Q", "a query of the Temporal server (with --temporal)", &(f).query, NULL       \
    }

/* As JSON; cJSON_free() it. NULL after a message. */
static char *filter_json(struct cli *c, const struct filter *f)
{
    if (f->query && !c->temporal.address)
        return cli_fail(c, 0, "--query needs a Temporal server (--temporal ADDR)"), NULL;
    cJSON *j = cJSON_CreateObject();
    if (f->status) cJSON_AddStringToObject(j, "status", f->status);
    if (f->type) cJSON_AddStringToObject(j, "type", f->type);
    if (f->prefix) cJSON_AddStringToObject(j, "idPrefix", f->prefix);
    if (f->query) cJSON_AddStringToObject(j, "query", f->query);
    int most = f->limit ? atoi(f->limit) : 100;
    cJSON_AddNumberToObject(j, "limit", most > 0 ? most : 100);
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    return text;
}

static void print_counts(const char *json)
{
    cJSON *j = cJSON_Parse(json);
    const cJSON *n;
    cJSON_ArrayForEach(n, cJSON_GetObjectItem(j, "byStatus"))
        printf("%-15s %.0f\n", n->string, n->valuedouble);
    n = cJSON_GetObjectItem(j, "blocked");
    if (cJSON_IsNumber(n) && n->valuedouble > 0) printf("%-15s %.0f\n", "blocked", n->valuedouble);
    n = cJSON_GetObjectItem(j, "count");
    printf("%-15s %.0f\n", "all", cJSON_IsNumber(n) ? n->valuedouble : 0);
    cJSON_Delete(j);
}

static int ask_runs(struct cli *c, const struct filter *f, bool count)
{
    char *filter = filter_json(c, f);
    if (!filter) return EXIT_USAGE;
    struct cli_reply r = {0};
    int code = cli_open(c, ML_ATTACH | ML_READ_ONLY);
    if (code == 0)
        code = cli_await(c, (count ? ml_count : ml_list)(c->host, filter, cli_on_reply, &r), &r);
    if (code == 0 && c->json)
        printf("%s\n", r.json);
    else if (code == 0 && count)
        print_counts(r.json);
    else if (code == 0)
        print_rows(c, r.json);
    cJSON_free(filter);
    cli_close(c);
    cli_reply_free(&r);
    return code;
}

int verb_list(struct cli *c, int argc, char **argv)
{
    struct filter f = {0};
    const struct cli_opt opts[] = {
        FILTER_OPTS(f),
        {"--limit", "N", "at most so many (default 100)", &f.limit, NULL},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {NULL};
    if (cli_parse(c, argc, argv, opts, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    return ask_runs(c, &f, false);
}

int verb_count(struct cli *c, int argc, char **argv)
{
    struct filter f = {0};
    const struct cli_opt opts[] = {FILTER_OPTS(f), {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {NULL};
    if (cli_parse(c, argc, argv, opts, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    return ask_runs(c, &f, true);
}
