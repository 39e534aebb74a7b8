/* moonloop replay HISTORY.json SCRIPT: does the script, as it is now, make the commands that the
 * history holds? */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

static int replay(struct cli *c, const char *history, const char *script, const char *keys,
                  struct cli_reply *r)
{
    if (!keys) return ml_replay(c->host, history, script, cli_on_reply, r);
    cJSON *args = cJSON_CreateObject();
    cJSON_AddStringToObject(args, "history", history);
    cJSON_AddStringToObject(args, "script", script);
    cJSON_AddStringToObject(args, "codecKeys", keys);
    char *json = cJSON_PrintUnformatted(args);
    int rc = json ? ml_ask(c->host, "replay", json, cli_on_reply, r) : ML_E_NOMEM;
    cJSON_free(json);
    cJSON_Delete(args);
    return rc;
}

int verb_replay(struct cli *c, int argc, char **argv)
{
    static const char *const pos[] = {"HISTORY.json", "SCRIPT", NULL};
    const char *keys = NULL;
    const struct cli_opt opts[] = {{"--codec-keys", "FILE",
                                    "opens encrypted payloads (default: MOONLOOP_CODEC_KEYS_FILE)",
                                    &keys, NULL},
                                   {NULL, NULL, NULL, NULL, NULL}};
    if (cli_parse(c, argc, argv, opts, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    char at[4096];
    snprintf(at, sizeof at, "%s%s", strcmp(argv[0], "-") == 0 ? "" : "@", argv[0]);
    char *history = cli_json_arg(c, argv[0], at);
    if (!history) return EXIT_USAGE;
    ml_config cfg;
    ml_config_init(&cfg);
    cfg.durability = ML_DURABILITY_SNAPSHOT;
    struct cli_reply r = {0};
    int code = ml_open(&cfg, &c->host) ? cli_fail(c, EXIT_ENGINE, "%s", ml_open_error()) : 0;
    if (code == 0) {
        int rc = replay(c, history, argv[1], keys, &r);
        code = cli_await(c, rc, &r);
        cJSON *j = r.json ? cJSON_Parse(r.json) : NULL;
        if (c->json && r.json) {
            printf("%s\n", r.json);
        } else if (code == 0) {
            const cJSON *d;
            printf("replays clean: %d events\n",
                   (int)cJSON_GetNumberValue(cJSON_GetObjectItem(j, "events")));
            cJSON_ArrayForEach(d, cJSON_GetObjectItem(j, "drift"))
                printf("  drift: %s\n", cJSON_GetStringValue(cJSON_GetObjectItem(d, "text")));
        }
        cJSON_Delete(j);
    }
    cli_close(c);
    cli_reply_free(&r);
    free(history);
    return code;
}
