/* moonloop replay HISTORY.json SCRIPT: does the script, as it is now, make the commands that the
 * history holds? */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

int verb_replay(struct cli *c, int argc, char **argv)
{
    static const char *const pos[] = {"HISTORY.json", "SCRIPT", NULL};
    if (cli_parse(c, argc, argv, NULL, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
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
        int rc = ml_replay(c->host, history, argv[1], cli_on_reply, &r);
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
