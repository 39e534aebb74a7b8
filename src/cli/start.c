/* moonloop start: start a workflow and return; the owner of the file runs it, else the next `run`
 * or `serve`. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

int verb_start(struct cli *c, int argc, char **argv)
{
    const char *workflow = NULL, *input = NULL, *id = NULL, *options = NULL;
    const struct cli_opt opts[] = {
        {"--workflow", "NAME", "which workflow, when the script defines several", &workflow, NULL},
        {"--input", "JSON|@FILE|-", "its input", &input, NULL},
        {"--id", "ID", "the run's id (default: a new one)", &id, NULL},
        {"--options", "JSON",
         "memo, searchAttributes, cron, startDelay, executionTimeout, retry ...", &options, NULL},
        {"--clock", "real|virtual", "the file's clock, when it is new", &c->clock, NULL},
        {NULL, NULL, NULL, NULL, NULL}};
    static const char *const pos[] = {"[SCRIPT]", NULL};
    int n = cli_parse(c, argc, argv, opts, pos, NULL);
    if (n < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    const char *script = n > 0 ? argv[0] : NULL;
    if (!script && !c->temporal.address)
        return cli_fail(c, EXIT_USAGE, "SCRIPT is missing. Usage: moonloop %s",
                        cli_find(c->verb)->usage);
    if (!script && !workflow)
        return cli_fail(c, EXIT_USAGE, "name a workflow (--workflow NAME) or give a script");
    char *json = input ? cli_json_arg(c, "--input", input) : NULL;
    char *options_json = options ? cli_json_arg(c, "--options", options) : NULL;
    int code = (input && !json) || (options && !options_json) ? EXIT_USAGE : cli_open(c, ML_ATTACH);
    struct cli_loaded l = {0};
    struct cli_reply r = {0};
    if (code == 0 && script) code = cli_load(c, script, NULL, 0, &l);
    if (code == 0) {
        ml_start_options o = {.workflow = workflow,
                              .script = script,
                              .id = id,
                              .input_json = json,
                              .options_json = options_json};
        code = cli_await(c, ml_start(c->host, &o, cli_on_reply, &r), &r);
    }
    if (code == 0) {
        if (c->json)
            printf("{\"workflowId\":\"%s\",\"runId\":\"%s\",\"existing\":%s}\n", r.workflow_id,
                   r.run_id ? r.run_id : "", r.existing ? "true" : "false");
        else
            printf("%s\n", r.workflow_id);
        if (r.text && *r.text) cli_note(c, "%s", r.text);
    }
    cli_close(c);
    cli_reply_free(&r);
    cli_loaded_free(&l);
    free(json);
    free(options_json);
    return code;
}
