/* The moonloop command: argv -> the verb's function -> exit code. */
#include "cli/cli.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct cli c = {.verb = ""};
    const char *no_color = getenv("NO_COLOR");
    c.color = isatty(STDERR_FILENO) && !(no_color && *no_color);
    if (argc < 2) return verb_help(&c, 0, argv + argc), EXIT_USAGE;
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    if (strcmp(name, "--version") == 0) name = "version";
    const struct cli_verb *v = cli_find(name);
    if (!v)
        return cli_fail(
            &c, EXIT_USAGE,
            "no verb '%s'. `moonloop help` lists them; to run a script: moonloop run %s", name,
            name);
    c.verb = v->name;
    int code = v->run(&c, argc - 2, argv + 2);
    if ((fflush(stdout) || ferror(stdout)) && code == EXIT_OK) /* what was asked for is not there */
        return cli_fail(&c, EXIT_ENGINE, "the output could not be written");
    return code;
}
