/* Loading a script and ending by a signal: what the verbs share that run something for a while. */
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

void cli_signals_begin(struct cli *c)
{
    stop_host = c->host;
    struct sigaction sa = {.sa_handler = on_stop};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
}

void cli_signals_end(void)
{
    stop_host = NULL;
}

int cli_stop_signal(void)
{
    return (int)stop_signal;
}

static void on_loaded(void *ud, const ml_load_result *r)
{
    struct cli_loaded *l = ud;
    l->done = true;
    l->code = r->code;
    l->is_program = r->is_program;
    l->exit_code = r->exit_code;
    l->text = strdup(r->text ? r->text : "");
}

static int until_loaded(void *ud)
{
    const struct cli_loaded *l = ud;
    return !l->done && !stop_signal;
}

int cli_load(struct cli *c, const char *script, const char *const *args, size_t argc,
             struct cli_loaded *l)
{
    *l = (struct cli_loaded){0};
    int rc = ml_load(c->host, script, args, argc, on_loaded, l);
    if (rc == 0) rc = ml_run(c->host, until_loaded, l);
    if (rc < 0) return cli_fail(c, cli_code_exit(rc), "%s", ml_error(c->host));
    if (!l->done || !l->code || (l->is_program && args)) return 0;
    return cli_fail(c, cli_code_exit(l->code), "%s", l->text);
}

void cli_loaded_free(struct cli_loaded *l)
{
    free(l->text);
}

int cli_load_served(struct cli *c, const char *path, const char *name, const char *lacks)
{
    struct cli_loaded l;
    int code = cli_load(c, path, NULL, 0, &l);
    if (code == 0 && l.is_program) code = cli_fail(c, EXIT_USAGE, "%s defines %s", name, lacks);
    cli_loaded_free(&l);
    return code;
}
