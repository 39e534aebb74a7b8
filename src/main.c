/* The moonloop command: argv -> the verb's function -> exit code. */
#include "cli/cli.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A core file holds no memory, only where each thread stood: in memory are the environment, tokens
 * and headers. Programs that are run inherit it. MOONLOOP_CORE=full leaves it as the system has it.
 * 0x10: the first pages of ELF files (core(5), "Controlling which mappings are written"). */
static void leave_memory_out_of_cores(void)
{
    const char *want = getenv("MOONLOOP_CORE");
    int fd = want && strcmp(want, "full") == 0
                 ? -1
                 : open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return; /* no such thing here */
    if (write(fd, "0x10\n", 5) != 5)
        fprintf(stderr, "moonloop: a core file would hold what is in memory\n");
    close(fd);
}

int main(int argc, char **argv)
{
    leave_memory_out_of_cores();
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
