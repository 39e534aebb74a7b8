/* moonloop doctor: is the file sound, do the libraries have known defects, what is open or blocked?
 */
#include "cli/cli.h"
#include <string.h>

int verb_doctor(struct cli *c, int argc, char **argv)
{
    static const char *const pos[] = {NULL};
    if (cli_parse(c, argc, argv, NULL, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    struct cli_reply r = {0};
    int code = cli_open(c, ML_ATTACH | ML_READ_ONLY);
    if (code == 0) code = cli_await(c, ml_doctor(c->host, cli_on_reply, &r), &r);
    if (code == 0) {
        cJSON *j = r.json ? cJSON_Parse(r.json) : NULL;
        const cJSON *check;
        if (c->json) printf("%s\n", r.json ? r.json : "{}");
        cJSON_ArrayForEach(check, cJSON_GetObjectItem(j, "checks"))
        {
            bool ok = cJSON_IsTrue(cJSON_GetObjectItem(check, "ok")),
                 warn = cJSON_IsTrue(cJSON_GetObjectItem(check, "warning"));
            const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(check, "name")),
                       *text = cJSON_GetStringValue(cJSON_GetObjectItem(check, "text"));
            if (!ok) code = EXIT_ENGINE;
            if (!c->json)
                printf("%-5s %-20s %s\n",
                       !ok    ? "BAD"
                       : warn ? "warn"
                              : "ok",
                       name ? name : "", text ? text : "");
        }
        cJSON_Delete(j);
    }
    cli_close(c);
    cli_reply_free(&r);
    return code;
}
