/* moonloop approvals: what waits for a person's decision (lua/moonloop/approve.lua), and to decide
 * it. An item is named ID#N: the run's workflow id and the item's number in it; the number may be
 * left out where one item waits. Deciding sends the digest of what was looked at; the run refuses
 * another one. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

#define QUERY "moonloop.approvals"
#define DECIDE "moonloop.decide"
#define WAITS "approval of " /* how such a wait is named */

static const char *text_of(const cJSON *o, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItem(o, key));
    return s ? s : "";
}

/* The pending items of a run, an array to delete; NULL when it has none, or cannot be asked. */
static cJSON *items_of(struct cli *c, const char *id, struct cli_reply *r)
{
    *r = (struct cli_reply){0};
    int rc = cli_wait(c, ml_query(c->host, id, NULL, QUERY, "[]", cli_on_reply, r), r);
    cJSON *items = rc >= 0 && r->done && r->code == 0 && r->json ? cJSON_Parse(r->json) : NULL;
    if (!cJSON_IsArray(items)) {
        cJSON_Delete(items);
        return NULL;
    }
    return items;
}

/* A file says of each run what it waits for; of a server's runs it is not known. */
static bool may_wait(const cJSON *row)
{
    const cJSON *one, *pending = cJSON_GetObjectItem(row, "pending");
    if (!cJSON_IsArray(pending)) return true;
    cJSON_ArrayForEach(one, pending)
    {
        if (strncmp(text_of(one, "name"), WAITS, strlen(WAITS)) == 0) return true;
    }
    return false;
}

static int collect(struct cli *c, cJSON *all)
{
    struct cli_reply r = {0}, q = {0};
    int code = cli_await(
        c, ml_list(c->host, "{\"status\":\"Running\",\"limit\":10000}", cli_on_reply, &r), &r);
    cJSON *j = code == 0 ? cJSON_Parse(r.json) : NULL;
    const cJSON *row, *rows = cJSON_IsArray(j) ? j : cJSON_GetObjectItem(j, "runs");
    cJSON_ArrayForEach(row, rows)
    {
        const char *id = text_of(row, "workflowId");
        if (!may_wait(row)) continue;
        cJSON *items = items_of(c, id, &q);
        while (cJSON_GetArraySize(items) > 0) {
            cJSON *item = cJSON_DetachItemFromArray(items, 0);
            char name[600];
            snprintf(name, sizeof name, "%s#%s", id, text_of(item, "id"));
            cJSON_ReplaceItemInObject(item, "id", cJSON_CreateString(name));
            cJSON_AddStringToObject(item, "workflowId", id);
            cJSON_AddStringToObject(item, "runId", text_of(row, "runId"));
            cJSON_AddItemToArray(all, item);
        }
        cJSON_Delete(items);
        cli_reply_free(&q);
    }
    cJSON_Delete(j);
    cli_reply_free(&r);
    return code;
}

static void print_items(struct cli *c, const cJSON *all)
{
    const cJSON *item;
    int n = 0;
    cJSON_ArrayForEach(item, all)
    {
        char *args = cJSON_PrintUnformatted(cJSON_GetObjectItem(item, "args"));
        if (n++ == 0)
            printf("%-28s %-6s %-20s %-20s %s\n", "ID", "KIND", "NAME", "TILL", "ARGUMENTS");
        printf("%-28s %-6s %-20.40s %-20.19s %.200s\n", text_of(item, "id"), text_of(item, "kind"),
               text_of(item, "name"), text_of(item, "deadline"), args ? args : "");
        cJSON_free(args);
    }
    if (n == 0) cli_note(c, "nothing waits for a decision in %s", cli_where(c));
}

static int list_items(struct cli *c)
{
    cJSON *all = cJSON_CreateArray();
    int code = cli_open(c, ML_ATTACH);
    if (code == 0) code = collect(c, all);
    if (code == 0 && c->json) {
        char *text = cJSON_PrintUnformatted(all);
        printf("%s\n", text ? text : "[]");
        cJSON_free(text);
    } else if (code == 0) {
        print_items(c, all);
    }
    cli_close(c);
    cJSON_Delete(all);
    return code;
}

struct decision {
    const char *what, *reason, *by, *digest;
    char *args; /* JSON, for edit */
};

/* Finds the item that `name` (ID or ID#N) means; id gets the workflow id. */
static int find_item(struct cli *c, const char *name, char *id, size_t size, cJSON **out)
{
    struct cli_reply r;
    const char *number = strrchr(name, '#');
    snprintf(id, size, "%.*s", number ? (int)(number - name) : (int)strlen(name), name);
    cJSON *one, *found = NULL, *items = items_of(c, id, &r);
    if (!items) {
        bool none = r.code == 0 || (r.text && strstr(r.text, QUERY));
        int code = none ? cli_fail(c, EXIT_FAILED, "%s waits for no decision", id)
                        : cli_fail(c, r.code ? cli_code_exit(r.code) : EXIT_FAILED, "%s",
                                   r.text ? r.text : "the run could not be asked");
        cli_reply_free(&r);
        return code;
    }
    cli_reply_free(&r);
    int n = cJSON_GetArraySize(items);
    cJSON_ArrayForEach(one, items)
    {
        if (number ? strcmp(text_of(one, "id"), number + 1) == 0 : n == 1) found = one;
    }
    if (found) *out = cJSON_DetachItemViaPointer(items, found);
    cJSON_Delete(items);
    if (found) return 0;
    if (n == 0) return cli_fail(c, EXIT_FAILED, "%s waits for no decision", id);
    if (!number && n > 1)
        return cli_fail(c, EXIT_USAGE,
                        "%s waits for %d decisions: name one as %s#N (see `moonloop approvals`)",
                        id, n, id);
    return cli_fail(c, EXIT_FAILED, "%s waits for no such decision; it may be decided already",
                    name);
}

static int send(struct cli *c, const char *id, const cJSON *item, const struct decision *d)
{
    struct cli_reply r = {0};
    const char *digest = text_of(item, "digest");
    if (d->digest && strcmp(d->digest, digest) != 0)
        return cli_fail(c, EXIT_FAILED,
                        "the arguments are not those of digest %.12s... any more: look again",
                        d->digest);
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "id", text_of(item, "id"));
    cJSON_AddStringToObject(j, "decision", d->what);
    cJSON_AddStringToObject(j, "digest", digest);
    if (d->by) cJSON_AddStringToObject(j, "by", d->by);
    if (d->reason) cJSON_AddStringToObject(j, "reason", d->reason);
    if (d->args) cJSON_AddRawToObject(j, "args", d->args);
    char *json = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    if (!json) return cli_fail(c, EXIT_ENGINE, "out of memory");
    int code = cli_await(c, ml_signal(c->host, id, NULL, DECIDE, json, NULL, cli_on_reply, &r), &r);
    cJSON_free(json);
    if (code == 0 && c->json)
        printf("{\"decision\":\"%s\",\"digest\":\"%s\",\"ok\":true}\n", d->what, digest);
    else if (code == 0)
        cli_note(c, "%s of %s (%s) is recorded%s%s", d->what, text_of(item, "name"), id,
                 r.text && *r.text ? "; " : "", r.text ? r.text : "");
    cli_reply_free(&r);
    return code;
}

static int decide(struct cli *c, const char *name, const struct decision *d)
{
    char id[512];
    cJSON *item = NULL;
    int code = cli_open(c, ML_ATTACH);
    if (code == 0) code = find_item(c, name, id, sizeof id, &item);
    if (code == 0) code = send(c, id, item, d);
    cJSON_Delete(item);
    cli_close(c);
    return code;
}

int verb_approvals(struct cli *c, int argc, char **argv)
{
    struct decision d = {0};
    const struct cli_opt opts[] = {
        {"--reason", "TEXT", "why; a rejected call's model and caller are told", &d.reason, NULL},
        {"--by", "NAME", "who decides; $USER", &d.by, NULL},
        {"--digest", "HEX", "of the arguments that were looked at: others are refused", &d.digest,
         NULL},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"[list|approve|reject|edit]", "[ID]", "[JSON]", NULL};
    int n = cli_parse(c, argc, argv, opts, pos, NULL);
    if (n < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    d.what = n > 0 ? argv[0] : "list";
    if (strcmp(d.what, "list") == 0)
        return n > 1 ? cli_fail(c, EXIT_USAGE, "list takes no ID") : list_items(c);
    bool edit = strcmp(d.what, "edit") == 0;
    if (!edit && strcmp(d.what, "approve") != 0 && strcmp(d.what, "reject") != 0)
        return cli_fail(c, EXIT_USAGE, "'%s' is none of list, approve, reject, edit", d.what);
    if (n != (edit ? 3 : 2))
        return cli_fail(c, EXIT_USAGE,
                        edit ? "edit takes an ID and the new arguments as JSON"
                             : "%s takes an ID (see `moonloop approvals`)",
                        d.what);
    if (edit && !(d.args = cli_json_arg(c, "the new arguments", argv[2]))) return EXIT_USAGE;
    if (!d.by) d.by = getenv("USER");
    int code = decide(c, argv[1], &d);
    free(d.args);
    return code;
}
