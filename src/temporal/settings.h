/* How to reach a server: from flags and from the environment variables of the official tools. Flags
 * win. Secrets (API key, private key, password) are never in a message. */
#ifndef ML_TEMPORAL_SETTINGS_H
#define ML_TEMPORAL_SETTINGS_H
#include "base/mem.h"
#include "temporal/channel.h"

/* Absent strings: not given on the command line. */
struct settings_flags {
    struct str address, ns, api_key, identity;
    enum channel_tls tls;
    struct str ca_file, cert_file, key_file, server_name;
    bool no_host_verification;
    struct str proxy;           /* [user:password@]host:port */
    const struct str *metadata; /* "name=value" each */
    size_t n_metadata;
};
struct settings {
    struct channel_options channel; /* its strings live in the arena */
    struct str ns;                  /* "default" when nothing says otherwise */
    struct arena arena;
};
/* `environ_` is a NULL-terminated list of NAME=VALUE, as the process has it. ERR_ARG with the name
 * of the setting that cannot be used. */
int settings_read(const struct settings_flags *f, const char *const *environ_, struct settings *out,
                  struct err *e);
void settings_free(struct settings *s);

#endif
