/* The table of verbs, and help. */
#include "cli/cli.h"
#include <string.h>

const struct cli_verb cli_verbs[] = {
    {"run", "run SCRIPT [--workflow NAME] [--input JSON|@FILE|-] [--id ID] [-- ARGS]",
     "run a workflow to its end (or go on with it), or a plain script", verb_run, true},
    {"start", "start [SCRIPT] [--workflow NAME] [--input JSON|@FILE|-] [--id ID]",
     "start a workflow and return", verb_start, true},
    {"mcp", "mcp SCRIPT",
     "offer the tools and workflows of a script to an MCP client on standard input and output",
     verb_mcp, false},
    {"serve", "serve SCRIPT... [--port N] [--host ADDR] [--watch]",
     "serve the routes of scripts over HTTP, and run their workflows", verb_serve, true},
    {"worker", "worker SCRIPT...",
     "serve a task queue of a Temporal server (--temporal). SIGUSR1: it says what it holds",
     verb_worker, true},
    {"list", "list [--status S] [--type T] [--limit N]", "list runs", verb_list, true},
    {"show", "show ID [--run RUN]", "show a run's timeline; --json: its history", verb_show, true},
    {"signal", "signal ID NAME [JSON]", "send a signal to a run", verb_signal, true},
    {"query", "query ID NAME [JSON...]", "ask a run something", verb_query, true},
    {"update", "update ID NAME [JSON...]", "call an update of a run and wait for its answer",
     verb_update, true},
    {"cancel", "cancel ID [--reason TEXT]", "ask a run to stop", verb_cancel, true},
    {"terminate", "terminate ID [--reason TEXT]", "end a run at once", verb_terminate, true},
    {"result", "result ID [--wait]", "print a run's result", verb_result, true},
    {"reset", "reset ID --event N [--reason TEXT]",
     "start a new run from an earlier point of a run's history", verb_reset, true},
    {"delete", "delete ID [--run RUN]", "remove a run and its history", verb_delete, true},
    {"count", "count [--status S] [--type T]", "how many runs there are, by status", verb_count,
     true},
    {"approvals",
     "approvals [list] | approvals approve ID | reject ID [--reason TEXT] | edit ID JSON",
     "what waits for a person's decision, and to decide it", verb_approvals, true},
    {"token", "token create|list|revoke|credits ...", "who may call the API: tokens and credits",
     verb_token, false},
    {"audit", "audit verify|list", "what was accepted: check the chain and the ledger, or list it",
     verb_audit, false},
    {"replay", "replay HISTORY.json SCRIPT", "check a history against a script", verb_replay,
     false},
    {"doctor", "doctor [--db FILE]", "check the file, the libraries and the machine", verb_doctor,
     false},
    {"completion", "completion bash|zsh|fish", "print a completion script for a shell",
     verb_completion, false},
    {"version", "version", "print versions", verb_version, false},
    {"help", "help [VERB]", "this text", verb_help, false},
    {NULL, NULL, NULL, NULL, false},
};

const struct cli_verb *cli_find(const char *name)
{
    for (const struct cli_verb *v = cli_verbs; v->name; v++)
        if (strcmp(v->name, name) == 0) return v;
    return NULL;
}

int verb_help(struct cli *c, int argc, char **argv)
{
    if (argc > 0) {
        const struct cli_verb *v = cli_find(argv[0]);
        if (!v) return cli_fail(c, EXIT_USAGE, "no verb '%s'", argv[0]);
        char help[] = "--help", *args[] = {help};
        c->verb = v->name;
        return v->run(c, 1, args);
    }
    printf("moonloop: durable agent loops and tools in Lua\n\n");
    for (const struct cli_verb *v = cli_verbs; v->name; v++)
        printf("  %-12s %s\n", v->name, v->help);
    printf(
        "\n`moonloop help VERB` tells the options of one. Database: --db FILE, else MOONLOOP_DB, "
        "else ./moonloop.db;\nmost verbs take --temporal ADDR for the runs of a Temporal server\n"
        "Exit codes: 0 completed, 1 failed, 2 usage or script error, 3 blocked or waiting, 4 "
        "cancelled or\n"
        "terminated, 5 timed out, 6 engine or storage error, 130/143 stopped by SIGINT/SIGTERM\n");
    return EXIT_OK;
}

int verb_version(struct cli *c, int argc, char **argv)
{
    static const char *const none[] = {NULL};
    if (cli_parse(c, argc, argv, NULL, none, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    if (c->json)
        printf("{\"version\":\"%s\"}\n", ml_version());
    else
        printf("moonloop %s\n", ml_version());
    return EXIT_OK;
}
