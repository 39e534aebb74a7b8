/* A profile: the part of the settings that Temporal's tools keep in a TOML file, so that
 * `temporal --profile prod`, programs with an official SDK and moonloop reach the same server.
 * Keys as in go.temporal.io/sdk/contrib/envconfig; a codec server named there is not used, as SDKs
 * do not by default. */
#ifndef ML_TEMPORAL_PROFILE_H
#define ML_TEMPORAL_PROFILE_H
#include "base/err.h"
#include "base/mem.h"

#define PROFILE_META 100 /* entries of grpc_meta */

/* Absent strings: it says nothing of that. All live in the arena. */
struct profile {
    struct str address, ns, api_key, server_name;
    struct str ca_file, ca_data, cert_file, cert_data, key_file, key_data;
    int tls;                  /* 1 and 0 as it says, -1: nothing */
    int no_host_verification; /* the same */
    struct str *meta;         /* name and value, one after the other; as they stand there */
    size_t n_meta;
};

/* The profile that `env` chooses: TEMPORAL_PROFILE (default: "default") of the file
 * TEMPORAL_CONFIG_FILE (default: temporalio/temporal.toml below XDG_CONFIG_HOME or HOME/.config).
 * What is chosen by name must be there; without such variables nothing has to. ERR_ARG with the
 * file, and the line where there is one; ERR_IO; ERR_NOMEM. */
int profile_read(struct arena *a, char *const *env, struct profile *out, struct err *e);
/* The same of a text. *found: it has this profile. *known: the profiles that it has, with commas.
 */
int profile_parse(struct arena *a, struct str text, struct str name, struct profile *out,
                  bool *found, struct str *known, struct err *e);

#endif
