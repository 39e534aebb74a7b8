/* signal, query, update, cancel, terminate, delete, result, reset: one request, one answer. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

/* The JSON arguments as one array text; NULL after a message. */
static char *json_array(struct cli *c, int n, char **args)
{
    size_t cap = 3;
    char *out = malloc(cap);
    if (out) strcpy(out, "[");
    for (int i = 0; out && i < n; i++) {
        char *one = cli_json_arg(c, "argument", args[i]);
        if (!one) return free(out), NULL;
        cap += strlen(one) + 1;
        char *grown = realloc(out, cap);
        if (grown) {
            out = grown;
            if (i) strcat(out, ",");
            strcat(out, one);
        }
        free(one);
    }
    if (out) strcat(out, "]");
    return out;
}

/* Ends a verb that prints a JSON value. */
static int finish(struct cli *c, int code, struct cli_reply *r, bool value)
{
    if (code == 0 && value) printf("%s\n", r->json ? r->json : "null");
    if (code == 0 && !value && c->json) printf("{\"ok\":true}\n");
    if (code == 0 && r->text && *r->text) cli_note(c, "%s", r->text);
    if (code != 0 && r->failure) cli_print_failure(c, r->failure);
    cli_close(c);
    cli_reply_free(r);
    return code;
}

int verb_signal(struct cli *c, int argc, char **argv)
{
    const char *run = NULL;
    const struct cli_opt opts[] = {{"--run", "RUN", "that run of the id only", &run, NULL},
                                   {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"ID", "NAME", "[JSON]", NULL};
    int n = cli_parse(c, argc, argv, opts, pos, NULL);
    if (n < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    char *json = n > 2 ? cli_json_arg(c, "the signal's value", argv[2]) : NULL;
    if (n > 2 && !json) return EXIT_USAGE;
    struct cli_reply r = {0};
    int code = cli_open(c, ML_ATTACH);
    if (code == 0)
        code = cli_await(c, ml_signal(c->host, argv[0], run, argv[1], json, NULL, cli_on_reply, &r),
                         &r);
    free(json);
    if (code == 0 && !(r.text && *r.text))
        cli_note(c, "signal %s recorded for %s", argv[1], argv[0]);
    return finish(c, code, &r, false);
}

int verb_query(struct cli *c, int argc, char **argv)
{
    const char *run = NULL;
    const struct cli_opt opts[] = {{"--run", "RUN", "that run of the id only", &run, NULL},
                                   {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"ID", "NAME", "...", NULL};
    int n = cli_parse(c, argc, argv, opts, pos, NULL);
    if (n < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    char *args = json_array(c, n - 2, argv + 2);
    if (!args) return EXIT_USAGE;
    struct cli_reply r = {0};
    int code = cli_open(c, ML_ATTACH);
    if (code == 0)
        code = cli_await(c, ml_query(c->host, argv[0], run, argv[1], args, cli_on_reply, &r), &r);
    free(args);
    return finish(c, code, &r, true);
}

int verb_update(struct cli *c, int argc, char **argv)
{
    const char *run = NULL, *update_id = NULL;
    bool no_wait = false;
    const struct cli_opt opts[] = {
        {"--run", "RUN", "that run of the id only", &run, NULL},
        {"--update-id", "ID", "the same id twice runs once; without NAME: its result", &update_id,
         NULL},
        {"--accepted", NULL, "return when it is accepted, not when it is done", NULL, &no_wait},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"ID", "[NAME]", "...", NULL};
    int n = cli_parse(c, argc, argv, opts, pos, NULL);
    if (n < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    if (n == 1 && !update_id)
        return cli_fail(c, EXIT_USAGE, "NAME is missing. Usage: moonloop %s",
                        cli_find("update")->usage);
    char *args = json_array(c, n > 2 ? n - 2 : 0, argv + 2);
    if (!args) return EXIT_USAGE;
    struct cli_reply r = {0};
    int code = cli_open(c, ML_ATTACH);
    if (code == 0)
        code = cli_await(c,
                         ml_update(c->host, argv[0], run, n > 1 ? argv[1] : "", args, update_id,
                                   !no_wait, cli_on_reply, &r),
                         &r);
    free(args);
    return finish(c, code, &r, true);
}

static int end_run(struct cli *c, int argc, char **argv, bool terminate)
{
    const char *run = NULL, *reason = NULL;
    const struct cli_opt opts[] = {{"--run", "RUN", "that run of the id only", &run, NULL},
                                   {"--reason", "TEXT", "kept in the history", &reason, NULL},
                                   {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"ID", NULL};
    if (cli_parse(c, argc, argv, opts, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    struct cli_reply r = {0};
    int code = cli_open(c, ML_ATTACH);
    if (code == 0)
        code = cli_await(c,
                         (terminate ? ml_terminate : ml_cancel)(
                             c->host, argv[0], run, reason ? reason : "", cli_on_reply, &r),
                         &r);
    if (code == 0 && !(r.text && *r.text))
        cli_note(c, "%s: %s", argv[0], terminate ? "terminated" : "cancel requested");
    return finish(c, code, &r, false);
}

int verb_cancel(struct cli *c, int argc, char **argv)
{
    return end_run(c, argc, argv, false);
}

int verb_terminate(struct cli *c, int argc, char **argv)
{
    return end_run(c, argc, argv, true);
}

int verb_delete(struct cli *c, int argc, char **argv)
{
    const char *run = NULL;
    const struct cli_opt opts[] = {{"--run", "RUN", "that run of the id only", &run, NULL},
                                   {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"ID", NULL};
    if (cli_parse(c, argc, argv, opts, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    struct cli_reply r = {0};
    int code = cli_open(c, ML_ATTACH);
    if (code == 0) code = cli_await(c, ml_delete(c->host, argv[0], run, cli_on_reply, &r), &r);
    if (code == 0) cli_note(c, "%s: deleted", argv[0]);
    return finish(c, code, &r, false);
}

int verb_result(struct cli *c, int argc, char **argv)
{
    const char *run = NULL;
    bool wait = false;
    const struct cli_opt opts[] = {{"--run", "RUN", "that run of the id only", &run, NULL},
                                   {"--wait", NULL, "wait for the end", NULL, &wait},
                                   {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"ID", NULL};
    if (cli_parse(c, argc, argv, opts, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    struct cli_reply r = {0};
    int code = cli_open(c, ML_ATTACH);
    if (code == 0 && wait && !ml_attached(c->host) && !c->temporal.address) {
        cli_note(c, "no process runs %s: only what is there already can be printed", c->db);
        wait = false;
    }
    if (code == 0)
        code = cli_await(c, ml_result(c->host, argv[0], run, wait, cli_on_reply, &r), &r);
    if (code == 0) {
        code = cli_status_exit(r.status);
        if (code == EXIT_WAITING)
            cli_note(c, "%s is still open (%s)", argv[0], r.status ? r.status : "Running");
        else
            code = cli_print_outcome(c, &r);
    }
    cli_close(c);
    cli_reply_free(&r);
    return code;
}

int verb_reset(struct cli *c, int argc, char **argv)
{
    const char *run = NULL, *reason = NULL, *event = NULL;
    const struct cli_opt opts[] = {
        {"--event", "N", "the WorkflowTaskCompleted or WorkflowTaskStarted event to go back to",
         &event, NULL},
        {"--run", "RUN", "that run of the id only", &run, NULL},
        {"--reason", "TEXT", "kept in the history", &reason, NULL},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"ID", NULL};
    if (cli_parse(c, argc, argv, opts, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    char *end = NULL;
    long long id = event ? strtoll(event, &end, 10) : 0;
    if (!event || *end || id < 1)
        return cli_fail(c, EXIT_USAGE, "--event N is missing: `moonloop show %s` lists the events",
                        argv[0]);
    struct cli_reply r = {0};
    int code = cli_open(c, ML_ATTACH);
    if (code == 0)
        code = cli_await(
            c, ml_reset(c->host, argv[0], run, id, reason ? reason : "", cli_on_reply, &r), &r);
    if (code == 0)
        printf(c->json ? "{\"ok\":true,\"runId\":\"%s\"}\n" : "%s\n", r.run_id ? r.run_id : "");
    if (code == 0) c->json = false; /* said */
    return finish(c, code, &r, false);
}
