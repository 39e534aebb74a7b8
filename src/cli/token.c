/* moonloop token and audit: who may call, and what was done. */
#include "cli/cli.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const cJSON *o, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItem(o, key));
    return s ? s : "";
}

static double number_of(const cJSON *o, const char *key)
{
    const cJSON *n = cJSON_GetObjectItem(o, key);
    return cJSON_IsNumber(n) ? n->valuedouble : 0;
}

/* A whole number; "+5" too. False after a message. */
static bool number_arg(struct cli *c, const char *what, const char *text, long long *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (*text && !*end && !errno && *out > -1000000000001LL && *out < 1000000000001LL) return true;
    cli_fail(c, 0, "%s is a whole number up to 10^12, not '%s'", what, text);
    return false;
}

/* Takes args. The reply's JSON is in *r. */
static int ask(struct cli *c, const char *verb, cJSON *args, unsigned flags, struct cli_reply *r)
{
    char *json = cJSON_PrintUnformatted(args);
    cJSON_Delete(args);
    if (!json) return cli_fail(c, EXIT_ENGINE, "out of memory");
    int code = cli_open(c, ML_ATTACH | flags);
    if (code == 0) code = cli_await(c, ml_ask(c->host, verb, json, cli_on_reply, r), r);
    cJSON_free(json);
    cli_close(c);
    return code;
}

/* ---- token ---- */
static int token_create(struct cli *c, const char *name, const char *scopes, const char *rate,
                        long long credits)
{
    struct cli_reply r = {0};
    cJSON *a = cJSON_CreateObject();
    char *words = scopes ? strdup(scopes) : NULL;
    for (char *p = words; p && *p; p++)
        if (*p == ',') *p = ' ';
    if (name) cJSON_AddStringToObject(a, "name", name);
    if (words) cJSON_AddStringToObject(a, "scopes", words);
    if (rate) cJSON_AddStringToObject(a, "rate", rate);
    cJSON_AddNumberToObject(a, "credits", (double)credits);
    free(words);
    int code = ask(c, "token_create", a, 0, &r);
    if (code == 0 && c->json) {
        printf("%s\n", r.json);
    } else if (code == 0) {
        cJSON *j = cJSON_Parse(r.json);
        printf("%s\n", text_of(j, "token"));
        cli_note(c, "token %s: it is shown this once", text_of(j, "id"));
        cJSON_Delete(j);
    }
    cli_reply_free(&r);
    return code;
}

static int token_list(struct cli *c)
{
    struct cli_reply r = {0};
    int code = ask(c, "token_list", cJSON_CreateObject(), ML_READ_ONLY, &r);
    if (code == 0 && c->json) {
        printf("%s\n", r.json);
    } else if (code == 0) {
        cJSON *j = cJSON_Parse(r.json);
        const cJSON *t;
        if (cJSON_GetArraySize(j))
            printf("%-18s %-8s %10s %10s %-10s %-20s %s\n", "ID", "STATE", "CREDITS", "HELD",
                   "RATE", "NAME", "SCOPES");
        else
            cli_note(c, "no tokens in %s", cli_where(c));
        cJSON_ArrayForEach(t, j) printf(
            "%-18s %-8s %10.0f %10.0f %-10s %-20.40s %s\n", text_of(t, "id"),
            *text_of(t, "revokedAt") ? "revoked" : "good", number_of(t, "credits"),
            number_of(t, "held"), text_of(t, "rate"), text_of(t, "name"), text_of(t, "scopes"));
        cJSON_Delete(j);
    }
    cli_reply_free(&r);
    return code;
}

static int token_change(struct cli *c, const char *verb, const char *id, const char *amount)
{
    struct cli_reply r = {0};
    long long n = 0;
    if (amount && !number_arg(c, "the amount", amount, &n)) return EXIT_USAGE;
    cJSON *a = cJSON_CreateObject();
    cJSON_AddStringToObject(a, "id", id);
    if (amount) cJSON_AddNumberToObject(a, "amount", (double)n);
    int code = ask(c, verb, a, 0, &r);
    if (code == 0 && c->json) printf("{\"ok\":true}\n");
    if (code == 0 && amount)
        cli_note(c, "%s: %+lld credits", id, n);
    else if (code == 0)
        cli_note(c, "%s: revoked", id);
    cli_reply_free(&r);
    return code;
}

int verb_token(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *scopes = NULL, *rate = NULL, *credits = NULL;
    long long n = 0;
    const struct cli_opt opts[] = {
        {"--scope", "WORDS", "create: what it may do, separated by commas or blanks; * is all",
         &scopes, NULL},
        {"--rate", "RATE", "create: how often it may call: 30/min", &rate, NULL},
        {"--credits", "N", "create: credits to begin with", &credits, NULL},
        {"--name", "TEXT", "create: for people", &name, NULL},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"create|list|revoke|credits", "[ID]", "[+N]", NULL};
    int got = cli_parse(c, argc, argv, opts, pos, NULL);
    if (got < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    bool create = strcmp(argv[0], "create") == 0;
    if (!create && (name || scopes || rate || credits))
        return cli_fail(c, EXIT_USAGE, "those options belong to token create");
    if (credits && !number_arg(c, "--credits", credits, &n)) return EXIT_USAGE;
    if (create && got == 1) return token_create(c, name, scopes, rate, n);
    if (strcmp(argv[0], "list") == 0 && got == 1) return token_list(c);
    if (strcmp(argv[0], "revoke") == 0 && got == 2)
        return token_change(c, "token_revoke", argv[1], NULL);
    if (strcmp(argv[0], "credits") == 0 && got == 3)
        return token_change(c, "token_credits", argv[1], argv[2]);
    return cli_fail(c, EXIT_USAGE,
                    "token create [--scope WORDS] [--rate 30/min] [--credits N] [--name TEXT], "
                    "token list, token revoke ID, or token credits ID +N");
}

/* ---- audit ---- */
static int audit_list(struct cli *c, long long after, long long limit)
{
    struct cli_reply r = {0};
    cJSON *a = cJSON_CreateObject();
    cJSON_AddNumberToObject(a, "after", (double)after);
    cJSON_AddNumberToObject(a, "limit", (double)limit);
    int code = ask(c, "audit_list", a, ML_READ_ONLY, &r);
    if (code == 0 && c->json) {
        printf("%s\n", r.json);
    } else if (code == 0) {
        cJSON *j = cJSON_Parse(r.json);
        const cJSON *t;
        cJSON_ArrayForEach(t, j)
            printf("%6.0f %.19s %-24s %-14s %s\n", number_of(t, "n"), text_of(t, "at"),
                   text_of(t, "principal"), text_of(t, "action"), text_of(t, "subject"));
        if (!cJSON_GetArraySize(j)) cli_note(c, "no audit rows in %s", cli_where(c));
        cJSON_Delete(j);
    }
    cli_reply_free(&r);
    return code;
}

static int audit_verify(struct cli *c)
{
    struct cli_reply r = {0};
    int code = ask(c, "audit_verify", cJSON_CreateObject(), ML_READ_ONLY, &r);
    if (code) {
        cli_reply_free(&r);
        return code;
    }
    cJSON *j = cJSON_Parse(r.json);
    const cJSON *audit = cJSON_GetObjectItem(j, "audit"),
                *ledger = cJSON_GetObjectItem(j, "ledger");
    bool ok = cJSON_IsTrue(cJSON_GetObjectItem(j, "ok"));
    if (c->json)
        printf("%s\n", r.json);
    else if (ok)
        printf("audit: %.0f rows, the chain holds; ledger: %.0f entries, it balances\n",
               number_of(audit, "rows"), number_of(ledger, "entries"));
    if (!c->json && !cJSON_IsTrue(cJSON_GetObjectItem(audit, "ok")))
        fprintf(stderr, "audit row %.0f: %s\n", number_of(audit, "row"), text_of(audit, "why"));
    if (!c->json && !cJSON_IsTrue(cJSON_GetObjectItem(ledger, "ok")))
        fprintf(stderr, "ledger: %s\n", text_of(ledger, "why"));
    cJSON_Delete(j);
    cli_reply_free(&r);
    return ok ? EXIT_OK : EXIT_FAILED;
}

int verb_audit(struct cli *c, int argc, char **argv)
{
    const char *after = NULL, *limit = NULL;
    long long from = 0, most = 100;
    const struct cli_opt opts[] = {
        {"--after", "N", "list: the rows after this one", &after, NULL},
        {"--limit", "N", "list: at most so many (default 100)", &limit, NULL},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"verify|list", NULL};
    if (cli_parse(c, argc, argv, opts, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    if ((after && !number_arg(c, "--after", after, &from)) ||
        (limit && !number_arg(c, "--limit", limit, &most)))
        return EXIT_USAGE;
    if (strcmp(argv[0], "verify") == 0) return audit_verify(c);
    if (strcmp(argv[0], "list") == 0) return audit_list(c, from, most);
    return cli_fail(c, EXIT_USAGE, "audit verify, or audit list; not '%s'", argv[0]);
}
