/* moonloop worker: serve a task queue of a Temporal server with the workflows and activities of
 * scripts, until a signal; then in order: what runs gets a moment, the rest goes to other workers.
 */
#include "cli/cli.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ml_host *stop_host;
static volatile sig_atomic_t stop_signal;

static void on_stop(int sig)
{
    if (stop_signal) _exit(128 + sig); /* the second one does not wait */
    stop_signal = sig;
    if (stop_host) ml_stop(stop_host);
}

struct loaded {
    bool done;
    int code, is_program;
    char *text;
};

static void on_loaded(void *ud, const ml_load_result *r)
{
    struct loaded *l = ud;
    l->done = true;
    l->code = r->code;
    l->is_program = r->is_program;
    l->text = strdup(r->text ? r->text : "");
}

static int until_loaded(void *ud)
{
    const struct loaded *l = ud;
    return !l->done && !stop_signal;
}

static int until_stopped(void *ud)
{
    (void)ud;
    return !stop_signal;
}

static int load(struct cli *c, const char *script)
{
    struct loaded l = {0};
    int code = EXIT_OK;
    int rc = ml_load(c->host, script, NULL, 0, on_loaded, &l);
    if (rc == 0) rc = ml_run(c->host, until_loaded, &l);
    if (rc < 0)
        code = cli_fail(c, cli_code_exit(rc), "%s", ml_error(c->host));
    else if (l.done && l.code)
        code = cli_fail(c, cli_code_exit(l.code), "%s", l.text);
    else if (l.done && l.is_program)
        code = cli_fail(c, EXIT_USAGE, "%s defines no workflow and no activity", script);
    free(l.text);
    return code;
}

/* The first question, so that a wrong address or namespace is an answer and not a log line. */
static int reach(struct cli *c)
{
    struct cli_reply r = {0};
    int code = cli_await(c, ml_list(c->host, "{\"limit\":1}", cli_on_reply, &r), &r);
    cli_reply_free(&r);
    return code;
}

int verb_worker(struct cli *c, int argc, char **argv)
{
    const struct cli_opt opts[] = {
        {"--deployment", "NAME", "worker deployment that this process belongs to",
         &c->temporal.deployment, NULL},
        {"--build-id", "ID", "its build; runs stay on the build they began on",
         &c->temporal.build_id, NULL},
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
    c->temporal.worker = true;
    int code = cli_open(c, 0);
    if (code) return code;
    stop_host = c->host;
    struct sigaction sa = {.sa_handler = on_stop};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    code = reach(c);
    for (int i = 0; i < n && code == 0 && !stop_signal; i++)
        code = load(c, argv[i]);
    if (code == 0 && !stop_signal) {
        cli_note(c, "serving task queue %s of %s",
                 c->temporal.task_queue ? c->temporal.task_queue : "default", cli_where(c));
        int rc = ml_run(c->host, until_stopped, NULL);
        if (rc < 0) code = cli_fail(c, cli_code_exit(rc), "%s", ml_error(c->host));
    }
    if (code == 0 && stop_signal) cli_note(c, "stopping; a second signal ends at once");
    stop_host = NULL;
    cli_close(c);
    return code;
}
