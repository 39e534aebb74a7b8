/* moonloop run: load the script, start or go on, drive until the result is there; or run a plain
 * script. On a server this process is a worker of the script's task queues meanwhile. */
#include "cli/cli.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Returns -1 when definitions are loaded and a workflow can be started, else the exit code. */
static int load(struct cli *c, const char *script, int argc, char **argv)
{
    struct cli_loaded l;
    int code = cli_load(c, script, (const char *const *)argv, (size_t)argc, &l);
    if (code != 0) {
        /* said already */
    } else if (!l.done) {
        code = 128 + (cli_stop_signal() ? cli_stop_signal() : SIGINT);
    } else if (l.code) {
        fprintf(stderr, "%s\n", l.text);
        code = l.exit_code ? l.exit_code : EXIT_FAILED;
    } else {
        code = l.is_program ? l.exit_code : -1;
    }
    cli_loaded_free(&l);
    return code;
}

struct watch {
    struct cli *c;
    struct cli_reply *r;
    bool virtual_clock, blocked;
    const char *id;
};

static void on_described(void *ud, const ml_reply *r)
{
    struct watch *w = ud;
    if (r->status && strcmp(r->status, "Blocked") == 0) w->blocked = true;
}

static int go_on(void *ud)
{
    struct watch *w = ud;
    if (w->r->done || cli_stop_signal()) return 0;
    if (ml_attached(w->c->host)) return 1;
    /* A server gives a failing task again and again; here, as on a file, it ends the command. */
    if (w->c->temporal.address) return !w->c->blocked;
    if (ml_idle_state(w->c->host) != 0) return 1;
    /* Nothing can go on by itself. A blocked run ends the command; one that waits for a message
     * does so in virtual time only. */
    ml_describe(w->c->host, w->id, NULL, on_described, w);
    for (int i = 0; i < 100 && ml_step(w->c->host, 1000000) > 0; i++) {
    }
    if (w->r->done) return 0;
    if (ml_idle_state(w->c->host) != 0) return 1;
    return !(w->blocked || w->virtual_clock);
}

static void say_blocked(const char *id, const char *reason)
{
    fprintf(stderr,
            "%s is blocked; nothing is lost:\n%s\nMend the script and run it again: it goes on "
            "where it stopped. "
            "Or end it: moonloop terminate %s\n",
            id, reason, id);
}

/* On a server the command that goes on names the run. */
static void say_blocked_there(struct cli *c, const char *id, const char *script)
{
    fprintf(stderr,
            "%s is blocked; nothing is lost:\n%s\nMend the script and go on, with the same "
            "input: moonloop run %s --id %s --temporal %s. Or end it: moonloop terminate %s "
            "--temporal %s\n",
            id, c->blocked, script, id, c->temporal.address, id, c->temporal.address);
}

static void say_pending(struct cli *c, const char *id)
{
    struct cli_reply d = {0};
    if (cli_await(c, ml_describe(c->host, id, NULL, cli_on_reply, &d), &d)) return;
    cJSON *j = d.json ? cJSON_Parse(d.json) : NULL;
    const cJSON *p;
    const char *reason = cJSON_GetStringValue(cJSON_GetObjectItem(j, "blockedReason"));
    const char *waits = cJSON_GetStringValue(cJSON_GetObjectItem(j, "waitsFor"));
    if (reason)
        say_blocked(id, reason);
    else
        fprintf(stderr, "%s waits, and nothing is due:\n", id);
    if (waits) fprintf(stderr, "  %s\n", waits);
    cJSON_ArrayForEach(p, cJSON_GetObjectItem(j, "pending"))
    {
        const char *kind = cJSON_GetStringValue(cJSON_GetObjectItem(p, "kind"));
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(p, "name"));
        const char *where = cJSON_GetStringValue(cJSON_GetObjectItem(p, "where"));
        if (reason) continue;
        fprintf(stderr, "  %s %s%s%s\n", kind ? kind : "", name ? name : "", where ? " at " : "",
                where ? where : "");
        if (kind && strcmp(kind, "signal") == 0 && name)
            fprintf(stderr, "  send it: moonloop signal %s %s '{}' --db %s\n", id, name, c->db);
    }
    cJSON_Delete(j);
    cli_reply_free(&d);
}

static void say_open(struct cli *c, const char *id)
{
    struct cli_reply l = {0};
    if (c->quiet || ml_list(c->host, "{\"status\":\"Running\",\"limit\":20}", cli_on_reply, &l))
        return;
    if (cli_await(c, 0, &l) == 0 && l.json) {
        cJSON *j = cJSON_Parse(l.json);
        const cJSON *r, *rows = cJSON_IsArray(j) ? j : cJSON_GetObjectItem(j, "runs");
        cJSON_ArrayForEach(r, rows)
        {
            const char *other = cJSON_GetStringValue(cJSON_GetObjectItem(r, "workflowId"));
            if (other && strcmp(other, id) != 0) cli_note(c, "still open in %s: %s", c->db, other);
        }
        cJSON_Delete(j);
    }
    cli_reply_free(&l);
}

static int drive(struct cli *c, const char *id, const char *script, bool wait_all)
{
    struct cli_reply r = {0};
    struct watch w = {
        .c = c, .r = &r, .id = id, .virtual_clock = ml_clock_mode(c->host) == ML_CLOCK_VIRTUAL};
    c->driven = id;
    if (c->blocked_id && strcmp(c->blocked_id, id) != 0) cli_forget_blocked(c);
    int rc = ml_result(c->host, id, NULL, 1, cli_on_reply, &r);
    if (rc == 0) rc = ml_run(c->host, go_on, &w);
    progress_end(c);
    int code;
    if (rc < 0) {
        code = cli_fail(c, cli_code_exit(rc), "%s", ml_error(c->host));
    } else if (r.done && r.code) {
        code = cli_fail(c, cli_code_exit(r.code), "%s", r.text);
    } else if (r.done) {
        if (wait_all && !cli_stop_signal()) ml_run(c->host, NULL, NULL);
        code = cli_print_outcome(c, &r);
        if (!cli_stop_signal() && !c->temporal.address) say_open(c, id);
    } else if (cli_stop_signal()) {
        cli_note(c, "stopped; nothing is lost. Go on with: moonloop run %s --id %s %s %s", script,
                 id, c->temporal.address ? "--temporal" : "--db",
                 c->temporal.address ? c->temporal.address : c->db);
        code = 128 + cli_stop_signal();
    } else if (c->blocked && c->temporal.address) {
        say_blocked_there(c, id, script);
        code = EXIT_WAITING;
    } else {
        say_pending(c, id);
        code = EXIT_WAITING;
    }
    cli_reply_free(&r);
    cli_forget_blocked(c);
    c->driven = NULL;
    return code;
}

/* What belongs to a file alone. */
static int check_server(struct cli *c, bool wait_all)
{
    const char *odd = c->clock        ? "--clock"
                      : c->until      ? "--until"
                      : c->durability ? "--durability"
                      : wait_all      ? "--wait-all"
                                      : NULL;
    if (!odd || !c->temporal.address) return 0;
    return cli_fail(c, EXIT_USAGE, "%s is for runs in a file, not for those of a server", odd);
}

int verb_run(struct cli *c, int argc, char **argv)
{
    const char *workflow = NULL, *input = NULL, *id = NULL;
    bool wait_all = false;
    const struct cli_opt opts[] = {
        {"--workflow", "NAME", "which workflow, when the script defines several", &workflow, NULL},
        {"--input", "JSON|@FILE|-", "its input", &input, NULL},
        {"--id", "ID", "the run's id; an open one goes on, of a closed one the result is printed",
         &id, NULL},
        {"--clock", "real|virtual", "virtual: timers fire as soon as nothing else is going on",
         &c->clock, NULL},
        {"--until", "TIME", "with --clock virtual: do not go past this time", &c->until, NULL},
        {"--durability", "full|fast", "fast: survives a killed process, not a power cut",
         &c->durability, NULL},
        {"--wait-all", NULL, "go on until all runs it started have ended", NULL, &wait_all},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"SCRIPT", NULL};
    int rest;
    if (cli_parse(c, argc, argv, opts, pos, &rest) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    const char *script = argv[0];
    if (access(script, R_OK) != 0) return cli_fail(c, EXIT_USAGE, "no script %s", script);
    char *json = input ? cli_json_arg(c, "--input", input) : NULL;
    if (input && !json) return EXIT_USAGE;

    int code = check_server(c, wait_all);
    if (code) return free(json), code;
    c->temporal.worker = true; /* a server's runs are worked on by this process, too */
    code = cli_open(c, ML_ATTACH);
    if (code) return free(json), code;
    cli_signals_begin(c);
    progress_begin(c);
    code = load(c, script, argc - rest, argv + rest);
    if (code < 0) {
        struct cli_reply r = {0};
        ml_start_options o = {.workflow = workflow,
                              .script = script,
                              .id = id,
                              .input_json = json,
                              .resume = 1,
                              .drive = 1};
        code = cli_await(c, ml_start(c->host, &o, cli_on_reply, &r), &r);
        if (code == 0) {
            if (!id) cli_note(c, "run %s%s", r.workflow_id, r.existing ? " goes on" : "");
            code = drive(c, r.workflow_id, script, wait_all);
        }
        cli_reply_free(&r);
    }
    cli_signals_end();
    cli_close(c);
    free(json);
    return code;
}
