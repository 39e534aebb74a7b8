/* moonloop show: a run's timeline for people; with --json its history as Temporal's tools write it.
 */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

/* The attribute object of an event: the one member that ends in EventAttributes. */
static const cJSON *attributes(const cJSON *event)
{
    const cJSON *m;
    cJSON_ArrayForEach(m, event)
    {
        size_t n = strlen(m->string);
        if (n > 15 && strcmp(m->string + n - 15, "EventAttributes") == 0) return m;
    }
    return NULL;
}

static const char *sub(const cJSON *o, const char *a, const char *b)
{
    const cJSON *x = cJSON_GetObjectItem(o, a);
    if (b) x = cJSON_GetObjectItem(x, b);
    const char *s = cJSON_GetStringValue(x);
    return s ? s : "";
}

/* "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED" -> "ActivityTaskScheduled". */
static void pascal(const char *enum_name, char *out, size_t cap)
{
    const char *p = strncmp(enum_name, "EVENT_TYPE_", 11) == 0 ? enum_name + 11 : enum_name;
    bool up = true;
    size_t n = 0;
    for (; *p && n + 1 < cap; p++) {
        if (*p == '_') {
            up = true;
            continue;
        }
        out[n++] = (char)(up || *p < 'A' || *p > 'Z' ? *p : *p + 32);
        up = false;
    }
    out[n] = 0;
}

static const char *detail(const cJSON *a, const cJSON *scheduled)
{
    static const char *const keys[][2] = {{"activityType", "name"},    {"workflowType", "name"},
                                          {"signalName", NULL},        {"timerId", NULL},
                                          {"markerName", NULL},        {"workflowId", NULL},
                                          {"startToFireTimeout", NULL}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *s = sub(a, keys[i][0], keys[i][1]);
        if (*s) return s;
    }
    const char *s = sub(scheduled, "activityType", "name");
    return *s ? s : sub(scheduled, "workflowType", "name");
}

/* Base64 as text for people: control bytes become blanks, what does not fit "...". */
static void from_base64(const char *b, char *out, size_t cap)
{
    static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    unsigned bits = 0, have = 0;
    for (; *b && *b != '=' && n + 4 < cap; b++) {
        const char *at = strchr(abc, *b);
        if (!at) break;
        bits = (bits << 6) | (unsigned)(at - abc);
        have += 6;
        if (have >= 8) {
            have -= 8;
            unsigned char ch = (unsigned char)(bits >> have);
            out[n++] = ch < 32 ? ' ' : (char)ch;
        }
    }
    if (*b && *b != '=') n += (size_t)snprintf(out + n, cap - n, "...");
    out[n < cap ? n : cap - 1] = 0;
}

/* The first payload's text, shortened; of bytes, what they are. */
static void payload_text(const cJSON *a, const char *key, char *out, size_t cap)
{
    char encoding[60] = "";
    out[0] = 0;
    const cJSON *p =
        cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetObjectItem(a, key), "payloads"), 0);
    const char *data = cJSON_GetStringValue(cJSON_GetObjectItem(p, "data"));
    from_base64(sub(p, "metadata", "encoding"), encoding, sizeof encoding);
    if (!data) return;
    if (strncmp(encoding, "json/", 5) == 0)
        from_base64(data, out, cap);
    else
        snprintf(out, cap, "<%s>", encoding);
}

static void print_event(struct cli *c, const cJSON *events, const cJSON *e)
{
    char type[80], text[100];
    pascal(sub(e, "eventType", NULL), type, sizeof type);
    const char *word = progress_word(type);
    if (!*word) return;
    const cJSON *a = attributes(e);
    const char *ref = sub(a, "scheduledEventId", NULL);
    if (!*ref) ref = sub(a, "initiatedEventId", NULL);
    const cJSON *scheduled = *ref ? attributes(cJSON_GetArrayItem(events, atoi(ref) - 1)) : NULL;
    payload_text(a, cJSON_HasObjectItem(a, "result") ? "result" : "input", text, sizeof text);
    const char *message = sub(a, "failure", "message");
    const cJSON *cause = cJSON_GetObjectItem(cJSON_GetObjectItem(a, "failure"), "cause");
    bool bad = strstr(type, "Failed") || strstr(type, "TimedOut");
    const char *id = sub(e, "eventId", NULL);
    printf("%-20.19s %4s  %s%s%s %s%s%s%s%s%s\n", sub(e, "eventTime", NULL), id,
           c->color ? (bad ? "\033[31m" : "\033[1m") : "", word, c->color ? "\033[0m" : "",
           detail(a, scheduled), *text ? "  " : "", text, *message ? "  " : "", message,
           cause ? ": " : "");
    if (cause)
        printf("%27s%s: %s\n", "", sub(cause, "applicationFailureInfo", "type"),
               sub(cause, "message", NULL));
}

static int print_timeline(struct cli *c, const char *id, const char *history, const char *about)
{
    cJSON *h = cJSON_Parse(history), *d = about ? cJSON_Parse(about) : NULL;
    const cJSON *e, *events = cJSON_GetObjectItem(h, "events"), *p;
    if (!events)
        return cJSON_Delete(h), cJSON_Delete(d),
               cli_fail(c, EXIT_ENGINE, "the history could not be read");
    bool blocked = cJSON_IsTrue(cJSON_GetObjectItem(d, "blocked"));
    printf("%s  %s  %s\n", id, sub(d, "type", NULL), blocked ? "Blocked" : sub(d, "status", NULL));
    cJSON_ArrayForEach(e, events) print_event(c, events, e);
    cJSON_ArrayForEach(p, cJSON_GetObjectItem(d, "pending"))
    {
        const char *where = sub(p, "where", NULL);
        printf("%-20s       waits for %s %s%s%s\n", "now", sub(p, "kind", NULL),
               sub(p, "name", NULL), *where ? " at " : "", where);
    }
    const char *reason = sub(d, "blockedReason", NULL);
    if (*reason) printf("blocked: %s\n", reason);
    cJSON_Delete(h);
    cJSON_Delete(d);
    return EXIT_OK;
}

int verb_show(struct cli *c, int argc, char **argv)
{
    const char *run = NULL;
    const struct cli_opt opts[] = {
        {"--run", "RUN", "that run of the id only (default: the newest)", &run, NULL},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"ID", NULL};
    if (cli_parse(c, argc, argv, opts, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    struct cli_reply h = {0}, d = {0};
    int code = cli_open(c, ML_ATTACH | ML_READ_ONLY);
    if (code == 0) code = cli_await(c, ml_history(c->host, argv[0], run, cli_on_reply, &h), &h);
    if (code == 0 && c->json) printf("%s\n", h.json ? h.json : "{}");
    if (code == 0 && !c->json) {
        code = cli_await(c, ml_describe(c->host, argv[0], run, cli_on_reply, &d), &d);
        if (code == 0) code = print_timeline(c, argv[0], h.json ? h.json : "", d.json);
    }
    cli_close(c);
    cli_reply_free(&h);
    cli_reply_free(&d);
    return code;
}
