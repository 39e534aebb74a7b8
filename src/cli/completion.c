/* moonloop completion SHELL: scripts made from the table of verbs. */
#include "cli/cli.h"
#include <string.h>

static void verbs_line(void)
{
    for (const struct cli_verb *v = cli_verbs; v->name; v++)
        printf("%s%s", v == cli_verbs ? "" : " ", v->name);
}

static const char options[] =
    "--db --json --quiet --help --workflow --input --id --clock --durability --until --wait-all "
    "--run --reason --status --type --limit --wait --query --temporal --namespace --task-queue "
    "--api-key --tls --tls-ca --tls-cert --tls-key --tls-server-name --proxy --codec-keys "
    "--grpc-meta --scope --rate --credits --name --after --port --host "
    "--watch --by --digest";

int verb_completion(struct cli *c, int argc, char **argv)
{
    static const char *const pos[] = {"bash|zsh|fish", NULL};
    if (cli_parse(c, argc, argv, NULL, pos, NULL) < 0) return c->help ? EXIT_OK : EXIT_USAGE;
    bool zsh = strcmp(argv[0], "zsh") == 0;
    if (zsh || strcmp(argv[0], "bash") == 0) {
        if (zsh) printf("autoload -U +X bashcompinit && bashcompinit\n");
        printf("_moonloop() {\n  local cur=\"${COMP_WORDS[COMP_CWORD]}\"\n  if [ \"$COMP_CWORD\" = "
               "1 ]; then\n    COMPREPLY=($(compgen -W \"");
        verbs_line();
        printf("\" -- \"$cur\"))\n  elif [ \"${cur#-}\" != \"$cur\" ]; then\n    "
               "COMPREPLY=($(compgen -W \"%s\" -- \"$cur\"))\n"
               "  else\n    COMPREPLY=($(compgen -f -- \"$cur\"))\n  fi\n}\ncomplete -o filenames "
               "-F _moonloop moonloop\n",
               options);
        return EXIT_OK;
    }
    if (strcmp(argv[0], "fish") == 0) {
        for (const struct cli_verb *v = cli_verbs; v->name; v++)
            printf("complete -c moonloop -n __fish_use_subcommand -a %s -d \"%s\"\n", v->name,
                   v->help);
        return EXIT_OK;
    }
    return cli_fail(c, EXIT_USAGE, "bash, zsh or fish, not '%s'", argv[0]);
}
