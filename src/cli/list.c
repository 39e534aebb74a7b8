/* moonloop list: the runs of a file, newest first. */
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
    if (n == 0) cli_note(c, "no runs in %s", c->db);
    cJSON_Delete(j);
}

int verb_list(struct cli *c, int argc, char **argv)
{
    const char *status = NULL, *type = NULL, *prefix = NULL, *limit = NULL;
    const struct cli_opt opts[] = {
        {"--status", "S", "Running, Blocked, Completed, Failed, Canceled, Terminated, TimedOut",
         &status, NULL},
        {"--type", "T", "workflow type", &type, NULL},
        {"--id-prefix", "P", "ids that begin so", &prefix, NULL},
        {"--limit", "N", "at most so many (default 100)", &limit, NULL},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {NULL};
    if (cli_parse(c, argc, argv, opts, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    cJSON *f = cJSON_CreateObject();
    if (status) cJSON_AddStringToObject(f, "status", status);
    if (type) cJSON_AddStringToObject(f, "type", type);
    if (prefix) cJSON_AddStringToObject(f, "idPrefix", prefix);
    int most = limit ? atoi(limit) : 100;
    cJSON_AddNumberToObject(f, "limit", most > 0 ? most : 100);
    char *filter = cJSON_PrintUnformatted(f);
    cJSON_Delete(f);
    struct cli_reply r = {0};
    int code = cli_open(c, ML_ATTACH | ML_READ_ONLY);
    if (code == 0) code = cli_await(c, ml_list(c->host, filter, cli_on_reply, &r), &r);
    if (code == 0 && c->json) printf("%s\n", r.json ? r.json : "[]");
    if (code == 0 && !c->json) print_rows(c, r.json ? r.json : "[]");
    cJSON_free(filter);
    cli_close(c);
    cli_reply_free(&r);
    return code;
}
