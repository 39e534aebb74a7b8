/* The smallest host: open a file, load a script, start its workflow, run until the result is there.
 *   build/examples/embed/minimal examples/01_hello.lua '{"name":"Ada"}' */
#include "moonloop.h"
#include <stdio.h>

static int done, code;

static void on_result(void *ud, const ml_reply *r)
{
    (void)ud;
    done = 1;
    code = r->code ? 1 : 0;
    printf("%s %s\n", r->status, r->json ? r->json : r->text);
}

static void on_started(void *ud, const ml_reply *r)
{
    if (r->code)
        on_result(ud, r);
    else
        ml_result(ud, r->workflow_id, NULL, 1, on_result, ud);
}

struct job {
    ml_host *host;
    const char *input;
};

static void on_loaded(void *ud, const ml_load_result *r)
{
    struct job *job = ud;
    if (r->code) {
        fprintf(stderr, "%s\n", r->text);
        done = code = 1;
        return;
    }
    ml_start_options start = {.input_json = job->input, .drive = 1};
    ml_start(job->host, &start, on_started, job->host);
}

static int go_on(void *ud)
{
    (void)ud;
    return !done;
}

int main(int argc, char **argv)
{
    ml_config config;
    struct job job = {.input = argc > 2 ? argv[2] : NULL};
    if (argc < 2) return fprintf(stderr, "usage: minimal SCRIPT [JSON]\n"), 2;
    ml_config_init(&config);
    config.durability = ML_DURABILITY_SNAPSHOT; /* in memory; leave this out for a durable file */
    if (ml_open(&config, &job.host)) return fprintf(stderr, "%s\n", ml_open_error()), 6;
    ml_load(job.host, argv[1], NULL, 0, on_loaded, &job);
    ml_run(job.host, go_on, NULL);
    ml_close(job.host);
    return code;
}
