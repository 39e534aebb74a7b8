/* moonloop worker: serve a task queue of a Temporal server with the workflows and activities of
 * scripts, until a signal; then in order: what runs gets a moment, the rest goes to other workers.
 * SIGUSR1 asks what it holds. */
#include "cli/cli.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int until_stopped(void *ud)
{
    (void)ud;
    return !cli_stop_signal();
}

static void say_serving(struct cli *c)
{
    cli_note(c, "serving task queue %s of %s", c->temporal.task_queue, cli_where(c));
    if (!c->json || c->quiet) return;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "serving", c->temporal.task_queue);
    cJSON_AddStringToObject(o, "of", cli_where(c));
    char *s = cJSON_PrintUnformatted(o);
    fprintf(stderr, "%s\n", s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(o);
}

/* ---- SIGUSR1: what the worker holds ---- */
static ml_host *asked_host;
static volatile sig_atomic_t asked;

static void on_asked(int sig)
{
    (void)sig;
    asked = 1;
    if (asked_host) ml_stop(asked_host);
}

static void say_json(const ml_holdings *m)
{
    const struct {
        const char *name;
        uint64_t n;
    } all[] = {{"runs", m->runs},
               {"runBytes", m->run_bytes},
               {"tasks", m->tasks},
               {"activities", m->activities},
               {"localActivities", m->locals},
               {"coroutines", m->coroutines},
               {"workflowSlots", m->workflow_slots},
               {"activitySlots", m->activity_slots},
               {"polls", m->polls},
               {"requests", m->requests},
               {"streams", m->streams},
               {"connections", m->connections},
               {"tasksEnded", m->tasks_ended},
               {"attemptsEnded", m->attempts_ended}};
    fputs("{\"holds\":{", stderr);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        fprintf(stderr, "%s\"%s\":%llu", i ? "," : "", all[i].name, (unsigned long long)all[i].n);
    fputs("}}\n", stderr);
}

/* Asked for, so --quiet does not silence it. */
static void say_holdings(struct cli *c)
{
    ml_holdings m;
    ml_holds(c->host, &m);
    progress_end(c);
    if (c->json) {
        say_json(&m);
        return;
    }
    fprintf(stderr,
            "holds %zu runs (%zu kB), %zu workflow tasks, %zu activities, %zu local activities, "
            "%zu coroutines; free slots: %zu for workflow tasks, %zu for activities; at the "
            "server: %zu polls, %zu requests, %zu streams on %zu connections; ended so far: %llu "
            "workflow tasks, %llu attempts\n",
            m.runs, m.run_bytes / 1000, m.tasks, m.activities, m.locals, m.coroutines,
            m.workflow_slots, m.activity_slots, m.polls, m.requests, m.streams, m.connections,
            (unsigned long long)m.tasks_ended, (unsigned long long)m.attempts_ended);
}

static int serve(struct cli *c)
{
    int rc = 0;
    asked_host = c->host;
    while (rc == 0 && !cli_stop_signal()) {
        if (asked) {
            asked = 0;
            say_holdings(c);
        }
        rc = ml_run(c->host, until_stopped, NULL);
    }
    asked_host = NULL;
    return rc < 0 ? cli_fail(c, cli_code_exit(rc), "%s", ml_error(c->host)) : 0;
}

/* The first question, so that a wrong address or namespace is an answer and not a log line. */
static int reach(struct cli *c)
{
    struct cli_reply r = {0};
    int code = cli_await(c, ml_list(c->host, "{\"limit\":1}", cli_on_reply, &r), &r);
    cli_reply_free(&r);
    return code;
}

/* Where texts are kept by default; NULL: there is no place. */
static const char *keep_in(char out[4096])
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = state && *state ? snprintf(out, 4096, "%s/moonloop/bundles", state)
            : home && *home ? snprintf(out, 4096, "%s/.local/state/moonloop/bundles", home)
                            : -1;
    return n > 0 && n < 4096 ? out : NULL;
}

int verb_worker(struct cli *c, int argc, char **argv)
{
    const struct cli_opt opts[] = {
        {"--deployment", "NAME", "worker deployment that this process belongs to",
         &c->temporal.deployment, NULL},
        {"--build-id", "ID", "its build; default: the digest of the scripts' text",
         &c->temporal.build_id, NULL},
        {"--versioning", "pinned|auto_upgrade",
         "runs stay on the build they began on (default), or not; ml.workflow may say it itself",
         &c->temporal.versioning, NULL},
        {"--bundles", "FOLDER",
         "keeps the scripts' texts for pinned runs (default: below XDG_STATE_HOME; \"\": none)",
         &c->temporal.bundles, NULL},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"SCRIPT", "...", NULL};
    int n = cli_parse(c, argc, argv, opts, pos, NULL);
    if (n < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    if (!c->temporal.address)
        return cli_fail(c, EXIT_USAGE,
                        "a worker serves a Temporal server: give its address (--temporal ADDR). "
                        "Without a server, `moonloop run` runs workflows by itself");
    for (int i = 0; i < n; i++)
        if (access(argv[i], R_OK) != 0) return cli_fail(c, EXIT_USAGE, "no script %s", argv[i]);
    if (c->temporal.versioning && strcmp(c->temporal.versioning, "pinned") != 0 &&
        strcmp(c->temporal.versioning, "auto_upgrade") != 0)
        return cli_fail(c, EXIT_USAGE, "--versioning is pinned or auto_upgrade, not '%s'",
                        c->temporal.versioning);
    char bundles[4096];
    if (!c->temporal.bundles && c->temporal.deployment) c->temporal.bundles = keep_in(bundles);
    if (!c->temporal.task_queue) c->temporal.task_queue = "default"; /* served in any case */
    c->temporal.worker = c->blocked_shown = true;
    int code = cli_open(c, 0);
    if (code) return code;
    cli_signals_begin(c);
    signal(SIGUSR1, on_asked);
    code = reach(c);
    for (int i = 0; i < n && code == 0 && !cli_stop_signal(); i++)
        code = cli_load_served(c, argv[i], argv[i], "no workflow and no activity");
    if (code == 0 && ml_serve(c->host) < 0)
        code = cli_fail(c, EXIT_ENGINE, "%s", ml_error(c->host));
    if (code == 0 && !cli_stop_signal()) {
        say_serving(c);
        code = serve(c);
    }
    if (code == 0 && cli_stop_signal()) cli_note(c, "stopping; a second signal ends at once");
    cli_signals_end();
    cli_close(c);
    return code;
}
