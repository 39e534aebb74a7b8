/* See settings.h. */
#include "temporal/settings.h"
#include "temporal/codec.h"
#include "temporal/grpc.h"
#include "temporal/profile.h"
#include <openssl/crypto.h>

#define DEFAULT_ADDRESS "localhost:7233"
#define META "TEMPORAL_GRPC_META_"
#define METADATA_MAX 100

struct str settings_variable(char *const *env, const char *name)
{
    size_t n = strlen(name);
    for (; env && *env; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=' && (*env)[n + 1])
            return str_of(*env + n + 1);
    return (struct str){NULL, 0};
}

static struct str keep(struct settings *s, struct str v)
{
    return v.n ? arena_str(&s->arena, v) : (struct str){NULL, 0};
}

/* The flag, else the variable, else what the profile says. */
static struct str pick(struct settings *s, struct str flag, char *const *env, const char *name,
                       struct str profile)
{
    struct str v = settings_variable(env, name);
    return keep(s, flag.n ? flag : v.n ? v : profile);
}

static int read_bool(char *const *env, const char *name, int *out, struct err *e)
{
    static const char *const words[2][4] = {{"false", "0", "no", "off"},
                                            {"true", "1", "yes", "on"}};
    struct str v = settings_variable(env, name);
    if (!v.n) return 0;
    for (int yes = 0; yes < 2; yes++)
        for (int i = 0; i < 4; i++)
            if (v.n == strlen(words[yes][i]) && strncasecmp(v.p, words[yes][i], v.n) == 0) {
                *out = yes;
                return 0;
            }
    return err_set(e, ERR_ARG, "%s is '" STR_FMT "', which is neither true nor false", name,
                   STR_ARG(v));
}

/* A file and the same as text: one of them. A flag is a file and beats both; *file and *data come
 * with what the profile says, which either variable beats. */
static int read_pem(struct settings *s, struct str flag, char *const *env, const char *path_name,
                    const char *data_name, struct str *file, struct str *data, struct err *e)
{
    struct str path = settings_variable(env, path_name), text = settings_variable(env, data_name);
    if (!flag.n && !path.n && !text.n) return 0;
    *data = (struct str){NULL, 0};
    if (flag.n) {
        *file = keep(s, flag);
        return 0;
    }
    if (path.n && text.n)
        return err_set(e, ERR_ARG, "%s and %s are both set: leave one of them out", path_name,
                       data_name);
    *file = keep(s, path);
    *data = keep(s, text);
    return 0;
}

/* ---- metadata ---- */
enum meta_from { META_ENV, META_PROFILE, META_FLAG };

static int add_metadata(struct settings *s, struct channel_header *h, size_t *n, struct str name,
                        struct str value, enum meta_from from, struct err *e)
{
    char lower[257];
    if (name.n >= sizeof lower) return err_set(e, ERR_ARG, "a metadata name is too long");
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (from != META_FLAG && c == '_') c = '-';
        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    struct str small = str_make(lower, name.n);
    const char *wrong = grpc_header_name_wrong(small);
    if (!wrong) wrong = grpc_header_value_wrong(small, value);
    if (wrong)
        return err_set(e, ERR_ARG, "%s" STR_FMT ": %s",
                       from == META_ENV       ? META
                       : from == META_PROFILE ? "grpc_meta of the profile: "
                                              : "metadata ",
                       STR_ARG(name), wrong);
    for (size_t i = 0; i < *n; i++)
        if (str_eq(h[i].name, small)) {
            if (from == META_FLAG) h[i].value = value.n ? keep(s, value) : STR("");
            return 0; /* the first stays: the environment, then the profile; flags win */
        }
    if (*n == METADATA_MAX)
        return err_set(e, ERR_LIMIT, "more than %d metadata headers", METADATA_MAX);
    bool none = !value.n && from == META_ENV; /* what the profile says is not sent */
    h[(*n)++] = (struct channel_header){keep(s, small), none      ? (struct str){NULL, 0}
                                                        : value.n ? keep(s, value)
                                                                  : STR("")};
    return 0;
}

static int read_metadata(struct settings *s, const struct settings_flags *f, char *const *env,
                         const struct profile *p, struct err *e)
{
    struct channel_header *h = arena_alloc(&s->arena, METADATA_MAX * sizeof *h);
    size_t n = 0, meta = strlen(META);
    int rc = h ? 0 : err_set(e, ERR_NOMEM, "out of memory for the settings");
    for (; rc == 0 && env && *env; env++) {
        const char *eq = strchr(*env, '=');
        if (!eq || strncmp(*env, META, meta) != 0) continue;
        rc = add_metadata(s, h, &n, str_make(*env + meta, (size_t)(eq - *env) - meta),
                          str_of(eq + 1), META_ENV, e);
    }
    for (size_t i = 0; rc == 0 && i < p->n_meta; i++)
        rc = add_metadata(s, h, &n, p->meta[2 * i], p->meta[2 * i + 1], META_PROFILE, e);
    for (size_t i = 0; rc == 0 && i < f->n_metadata; i++) {
        struct str m = f->metadata[i];
        const char *eq = m.n ? memchr(m.p, '=', m.n) : NULL;
        if (!eq) return err_set(e, ERR_ARG, "a metadata header must be given as name=value");
        size_t name = (size_t)(eq - m.p);
        rc = add_metadata(s, h, &n, str_make(m.p, name), str_make(eq + 1, m.n - name - 1),
                          META_FLAG, e);
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (h[i].value.p) h[kept++] = h[i];
    s->channel.headers = h;
    s->channel.n_headers = kept;
    return rc;
}

/* ---- the rest ---- */

static void read_proxy(struct settings *s, const struct settings_flags *f)
{
    struct str p = f->proxy;
    struct channel_options *o = &s->channel;
    const char *at = NULL;
    for (size_t i = 0; i < p.n; i++)
        if (p.p[i] == '@') at = p.p + i;
    if (at) {
        struct str user = str_make(p.p, (size_t)(at - p.p));
        const char *colon = memchr(user.p, ':', user.n);
        if (colon) {
            o->proxy_password = keep(s, str_make(colon + 1, user.n - (size_t)(colon + 1 - user.p)));
            user.n = (size_t)(colon - user.p);
        }
        o->proxy_user = keep(s, user);
        p = str_make(at + 1, p.n - (size_t)(at + 1 - p.p));
    }
    o->proxy = keep(s, p);
}

static int read_codec(struct settings *s, const struct settings_flags *f, char *const *env,
                      struct err *e)
{
    struct str path = {NULL, 0}, text = {NULL, 0}, failures;
    struct buf b;
    int rc = read_pem(s, f->codec_keys_file, env, "MOONLOOP_CODEC_KEYS_FILE", "MOONLOOP_CODEC_KEYS",
                      &path, &text, e);
    failures = settings_variable(env, "MOONLOOP_CODEC_FAILURES");
    if (!rc && failures.n && !str_eqz(failures, "plain") && !str_eqz(failures, "encoded"))
        rc = err_set(e, ERR_ARG, "MOONLOOP_CODEC_FAILURES is neither plain nor encoded");
    s->codec_plain_failures = str_eqz(failures, "plain");
    s->codec_keys = text;
    if (rc || !path.n) return rc;
    rc = codec_keys_read(path.p, &b, e);
    if (rc) return rc;
    s->codec_keys = b.n ? keep(s, buf_str(&b)) : STR("#");
    codec_wipe(&b);
    return 0;
}

static int read_all(struct settings *s, const struct settings_flags *f, char *const *env,
                    struct err *e)
{
    struct channel_options *o = &s->channel;
    struct profile p;
    int rc = profile_read(&s->arena, env, &p, e);
    if (rc) return rc;
    o->ca_file = p.ca_file, o->ca_data = p.ca_data;
    o->cert_file = p.cert_file, o->cert_data = p.cert_data;
    o->key_file = p.key_file, o->key_data = p.key_data;
    rc = read_bool(env, "TEMPORAL_TLS", &p.tls, e);
    if (rc == 0)
        rc = read_bool(env, "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", &p.no_host_verification, e);
    if (rc == 0)
        rc = read_pem(s, f->ca_file, env, "TEMPORAL_TLS_SERVER_CA_CERT_PATH",
                      "TEMPORAL_TLS_SERVER_CA_CERT_DATA", &o->ca_file, &o->ca_data, e);
    if (rc == 0)
        rc = read_pem(s, f->cert_file, env, "TEMPORAL_TLS_CLIENT_CERT_PATH",
                      "TEMPORAL_TLS_CLIENT_CERT_DATA", &o->cert_file, &o->cert_data, e);
    if (rc == 0)
        rc = read_pem(s, f->key_file, env, "TEMPORAL_TLS_CLIENT_KEY_PATH",
                      "TEMPORAL_TLS_CLIENT_KEY_DATA", &o->key_file, &o->key_data, e);
    if (rc) return rc;
    o->tls = f->tls != CHANNEL_TLS_AUTO ? f->tls
             : p.tls < 0                ? CHANNEL_TLS_AUTO
             : p.tls                    ? CHANNEL_TLS_ON
                                        : CHANNEL_TLS_OFF;
    o->no_host_verification = f->no_host_verification || p.no_host_verification == 1;
    o->address = pick(s, f->address, env, "TEMPORAL_ADDRESS", p.address);
    if (!o->address.n) o->address = STR(DEFAULT_ADDRESS);
    o->api_key = pick(s, f->api_key, env, "TEMPORAL_API_KEY", p.api_key);
    o->server_name = pick(s, f->server_name, env, "TEMPORAL_TLS_SERVER_NAME", p.server_name);
    s->ns = pick(s, f->ns, env, "TEMPORAL_NAMESPACE", p.ns);
    if (!s->ns.n) s->ns = STR("default");
    read_proxy(s, f);
    rc = read_codec(s, f, env, e);
    if (rc) return rc;
    return read_metadata(s, f, env, &p, e);
}

/* What was read, or nothing of it. */
static int hand_out(struct settings *s, int rc, struct settings *out, struct err *e)
{
    if (rc == 0 && arena_failed(&s->arena))
        rc = err_set(e, ERR_NOMEM, "out of memory for the settings");
    if (rc)
        settings_free(s);
    else
        *out = *s;
    return rc;
}

int settings_read(const struct settings_flags *f, char *const *env, struct settings *out,
                  struct err *e)
{
    struct settings s = {0};
    arena_init(&s.arena, 0);
    return hand_out(&s, read_all(&s, f, env, e), out, e);
}

int settings_read_codec(struct str keys_file, char *const *env, struct settings *out, struct err *e)
{
    const struct settings_flags f = {.codec_keys_file = keys_file};
    struct settings s = {0};
    arena_init(&s.arena, 0);
    return hand_out(&s, read_codec(&s, &f, env, e), out, e);
}

void settings_free(struct settings *s)
{
    char *keys = (char *)(uintptr_t)s->codec_keys.p; /* ours: a copy in the arena */
    if (keys && s->codec_keys.n > 1) OPENSSL_cleanse(keys, s->codec_keys.n);
    arena_free(&s->arena);
    memset(s, 0, sizeof *s);
}
