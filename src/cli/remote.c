/* --temporal and the options beside it. */
#include "cli/cli.h"
#include <string.h>

static const struct {
    const char *left, *help;
} lines[] = {
    {"--temporal ADDR",
     "runs are on this Temporal server, not in a file (\"\": TEMPORAL_ADDRESS, or the profile's)"},
    {"--namespace NS", "namespace there (default: TEMPORAL_NAMESPACE, else default)"},
    {"--task-queue Q", "task queue of what is started (default: default)"},
    {"--api-key KEY", "API key (better: TEMPORAL_API_KEY)"},
    {"--tls, --no-tls", "with or without TLS (default: with it when a key or certificate is set)"},
    {"--tls-ca FILE", "certificates that the server's is checked against"},
    {"--tls-cert FILE", "the client's certificate, and --tls-key FILE its key"},
    {"--tls-server-name NAME", "name that the server's certificate must bear"},
    {"--tls-no-verify", "take any certificate: for experiments"},
    {"--proxy ADDR", "[user:password@]host:port of an HTTP CONNECT proxy"},
    {"--codec-keys FILE", "encrypt payloads: lines `id base64-key`, the first encrypts"},
    {"--grpc-meta NAME=VALUE", "sent with every request; may be given again"},
};

void cli_temporal_usage(void)
{
    printf("\n");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        printf("  %-22s %s\n", lines[i].left, lines[i].help);
}

const struct cli_opt *cli_temporal_opts(struct cli *c)
{
    static struct cli_opt opts[15];
    struct cli_temporal *t = &c->temporal;
    const struct cli_opt all[] = {
        {"--temporal", "ADDR", "", &t->address, NULL},
        {"--namespace", "NS", "", &t->name_space, NULL},
        {"--task-queue", "Q", "", &t->task_queue, NULL},
        {"--api-key", "KEY", "", &t->api_key, NULL},
        {"--tls", NULL, "", NULL, &t->tls},
        {"--no-tls", NULL, "", NULL, &t->no_tls},
        {"--tls-ca", "FILE", "", &t->ca, NULL},
        {"--tls-cert", "FILE", "", &t->cert, NULL},
        {"--tls-key", "FILE", "", &t->key, NULL},
        {"--tls-server-name", "NAME", "", &t->server_name, NULL},
        {"--tls-no-verify", NULL, "", NULL, &t->no_verify},
        {"--proxy", "ADDR", "", &t->proxy, NULL},
        {"--codec-keys", "FILE", "", &t->codec_keys, NULL},
        {"--grpc-meta", "NAME=VALUE", "", &t->metadata[t->n_metadata], NULL},
        {NULL, NULL, NULL, NULL, NULL}};
    memcpy(opts, all, sizeof opts);
    return opts;
}

int cli_temporal_metadata(struct cli *c, const char *value)
{
    struct cli_temporal *t = &c->temporal;
    if (!strchr(value, '='))
        return cli_fail(c, -1, "--grpc-meta takes NAME=VALUE, not '%s'", value);
    if (t->n_metadata == CLI_METADATA_MAX)
        return cli_fail(c, -1, "--grpc-meta can be given %d times", CLI_METADATA_MAX);
    t->n_metadata++;
    return 0;
}

const char *cli_where(const struct cli *c)
{
    if (!c->temporal.address) return c->db;
    return *c->temporal.address ? c->temporal.address
                                : "the server of TEMPORAL_ADDRESS or the profile";
}

void cli_temporal_config(struct cli *c, ml_config *cfg, ml_temporal *t)
{
    const struct cli_temporal *o = &c->temporal;
    *t = (ml_temporal){.address = o->address,
                       .name_space = o->name_space,
                       .api_key = o->api_key,
                       .ca_file = o->ca,
                       .cert_file = o->cert,
                       .key_file = o->key,
                       .server_name = o->server_name,
                       .proxy = o->proxy,
                       .codec_keys_file = o->codec_keys,
                       .deployment = o->deployment,
                       .build_id = o->build_id,
                       .auto_upgrade = o->versioning && strcmp(o->versioning, "auto_upgrade") == 0,
                       .bundles = o->bundles,
                       .tls = o->no_tls ? -1 : o->tls,
                       .no_host_verification = o->no_verify,
                       .metadata = o->metadata};
    cfg->temporal = t;
    cfg->task_queue = o->task_queue;
    if (!o->worker) cfg->flags |= ML_CLIENT;
}
