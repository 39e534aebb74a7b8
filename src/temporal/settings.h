/* How to reach a server: from flags and from the environment variables of the official tools
 * (TEMPORAL_ADDRESS, _NAMESPACE, _API_KEY, _TLS, _TLS_CLIENT_CERT_PATH and _DATA,
 * _TLS_CLIENT_KEY_PATH and _DATA, _TLS_SERVER_CA_CERT_PATH and _DATA, _TLS_SERVER_NAME,
 * _TLS_DISABLE_HOST_VERIFICATION, _GRPC_META_*), and from a profile of their configuration file
 * (profile.h). Flags beat variables, and these the profile. Codec keys come from a file (the flag,
 * or MOONLOOP_CODEC_KEYS_FILE) or as text (MOONLOOP_CODEC_KEYS); MOONLOOP_CODEC_FAILURES=plain
 * leaves failures' messages readable. Secrets (API key, keys, password, metadata) are never in a
 * message. */
#ifndef ML_TEMPORAL_SETTINGS_H
#define ML_TEMPORAL_SETTINGS_H
#include "base/mem.h"
#include "temporal/channel.h"

/* Absent strings: not given on the command line. */
struct settings_flags {
    struct str address, ns, api_key;
    enum channel_tls tls;
    struct str ca_file, cert_file, key_file, server_name;
    bool no_host_verification;
    struct str codec_keys_file;
    struct str proxy;           /* [user:password@]host:port */
    const struct str *metadata; /* "name=value" each; names in any case */
    size_t n_metadata;
};
struct settings {
    struct channel_options channel; /* its strings live in the arena */
    struct str ns;                  /* "default" when nothing says otherwise */
    struct str
        codec_keys; /* the text of the keys (codec.h), wiped by settings_free; absent: none */
    bool codec_plain_failures;
    struct arena arena;
};
/* `env` is a NULL-terminated list of NAME=VALUE, as the process has it; empty values count as not
 * set. ERR_ARG with the name of the setting that cannot be used, ERR_NOMEM; *out is freed then. */
int settings_read(const struct settings_flags *f, char *const *env, struct settings *out,
                  struct err *e);
/* The codec's part alone, for what asks no server: keys of this file, else of the environment. */
int settings_read_codec(struct str keys_file, char *const *env, struct settings *out,
                        struct err *e);
void settings_free(struct settings *s);
/* The value of a variable; absent when it is not set, or empty. */
struct str settings_variable(char *const *env, const char *name);

#endif
