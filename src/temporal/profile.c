/* See profile.h. */
#include "temporal/profile.h"
#include "base/buf.h"
#include "temporal/settings.h"
#include "temporal/toml.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#define FILE_MAX ((size_t)1 << 20)

/* ---- one profile of a text ---- */
struct reading {
    struct arena *a;
    struct str name;
    struct profile *out;
    bool found;
    struct buf known;
};

#define TEXT(table, key, field)                                                                    \
    {                                                                                              \
        table, key, TOML_STRING, offsetof(struct profile, field)                                   \
    }
static const struct field {
    const char *table, *key; /* table NULL: of the profile itself */
    enum toml_type type;
    size_t at;
} fields[] = {
    TEXT(NULL, "address", address),
    TEXT(NULL, "namespace", ns),
    TEXT(NULL, "api_key", api_key),
    {"tls", "disabled", TOML_BOOL, offsetof(struct profile, tls)},
    TEXT("tls", "client_cert_path", cert_file),
    TEXT("tls", "client_cert_data", cert_data),
    TEXT("tls", "client_key_path", key_file),
    TEXT("tls", "client_key_data", key_data),
    TEXT("tls", "server_ca_cert_path", ca_file),
    TEXT("tls", "server_ca_cert_data", ca_data),
    TEXT("tls", "server_name", server_name),
    {"tls", "disable_host_verification", TOML_BOOL, offsetof(struct profile, no_host_verification)},
};
#define N_FIELDS (sizeof fields / sizeof *fields)

static int unknown(const struct toml_item *it, const char *table, struct err *e)
{
    char known[400] = "";
    size_t n = 0;
    for (size_t i = 0; i < N_FIELDS; i++)
        if (table ? fields[i].table != NULL : fields[i].table == NULL)
            n += (size_t)snprintf(known + n, sizeof known - n, "%s, ", fields[i].key);
    return err_set(e, ERR_ARG, "line %d: %s has no setting '" STR_FMT "'; there is %s%s", it->line,
                   table ? "tls" : "a profile", STR_ARG(it->keys[it->n_keys - 1]), known,
                   table ? "no other" : "tls, grpc_meta, codec");
}

static int set_field(struct reading *r, const struct toml_item *it, const char *table,
                     struct str key, struct err *e)
{
    const struct field *f = NULL;
    for (size_t i = 0; i < N_FIELDS && !f; i++)
        if ((table ? fields[i].table != NULL : fields[i].table == NULL) &&
            str_eqz(key, fields[i].key))
            f = fields + i;
    if (!f) return unknown(it, table, e);
    if (it->type != f->type)
        return err_set(e, ERR_ARG, "line %d: %s must be %s", it->line, f->key,
                       f->type == TOML_BOOL ? "true or false" : "a string");
    void *at = (char *)r->out + f->at;
    if (f->type == TOML_STRING)
        *(struct str *)at = it->text.n ? arena_str(r->a, it->text) : (struct str){NULL, 0};
    else if (f->at == offsetof(struct profile, tls))
        r->out->tls = !it->yes;
    else
        *(int *)at = it->yes;
    return 0;
}

static int set_meta(struct reading *r, const struct toml_item *it, struct err *e)
{
    struct profile *p = r->out;
    if (it->type != TOML_STRING)
        return err_set(e, ERR_ARG, "line %d: grpc_meta holds strings only", it->line);
    if (!p->meta) p->meta = arena_alloc(r->a, 2 * PROFILE_META * sizeof *p->meta);
    if (p->n_meta == PROFILE_META)
        return err_set(e, ERR_LIMIT, "line %d: more than %d entries of grpc_meta", it->line,
                       PROFILE_META);
    if (!p->meta) return err_set(e, ERR_NOMEM, "out of memory for the profile");
    p->meta[2 * p->n_meta] = arena_str(r->a, it->keys[it->n_keys - 1]);
    p->meta[2 * p->n_meta++ + 1] = arena_str(r->a, it->text);
    return 0;
}

/* A name that was not there yet. */
static void add_known(struct reading *r, struct str name)
{
    struct buf *b = &r->known;
    char quoted[260];
    int n = snprintf(quoted, sizeof quoted, "\"" STR_FMT "\"", STR_ARG(name));
    if (n >= (int)sizeof quoted || (b->n && memmem(b->p, b->n, quoted, (size_t)n))) return;
    buf_printf(b, "%s%s", b->n ? ", " : "", quoted);
}

static int on_item(void *ud, const struct toml_item *it, struct err *e)
{
    struct reading *r = ud;
    const struct str *k = it->keys;
    bool is_table = it->type == TOML_TABLE;
    if (!str_eqz(k[0], "profile")) return 0; /* another tool's */
    if (it->n_keys < 3 && !is_table)
        return err_set(e, ERR_ARG, "line %d: profiles are tables, like [profile.default]",
                       it->line);
    if (it->n_keys == 1) return 0;
    add_known(r, k[1]);
    if (!str_eq(k[1], r->name)) return 0;
    r->found = true;
    if (it->n_keys == 2) return 0;
    bool tls = str_eqz(k[2], "tls");
    if (str_eqz(k[2], "codec")) return 0;
    if (tls || str_eqz(k[2], "grpc_meta")) {
        if (is_table != (it->n_keys == 3) || it->n_keys > 4)
            return err_set(e, ERR_ARG, "line %d: " STR_FMT " is a table of values", it->line,
                           STR_ARG(k[2]));
        if (tls && r->out->tls < 0) r->out->tls = 1; /* a table without `disabled` turns it on */
        return is_table ? 0 : tls ? set_field(r, it, "tls", k[3], e) : set_meta(r, it, e);
    }
    if (is_table || it->n_keys > 3) return unknown(it, NULL, e);
    return set_field(r, it, NULL, k[2], e);
}

static int both(const struct profile *p, struct err *e)
{
    const struct str pairs[][2] = {
        {p->ca_file, p->ca_data}, {p->cert_file, p->cert_data}, {p->key_file, p->key_data}};
    static const char *const names[] = {"server_ca_cert", "client_cert", "client_key"};
    for (int i = 0; i < 3; i++)
        if (pairs[i][0].n && pairs[i][1].n)
            return err_set(e, ERR_ARG, "%s_path and %s_data are both set: leave one of them out",
                           names[i], names[i]);
    return 0;
}

int profile_parse(struct arena *a, struct str text, struct str name, struct profile *out,
                  bool *found, struct str *known, struct err *e)
{
    struct profile p = {.tls = -1, .no_host_verification = -1};
    struct reading r = {.a = a, .name = name, .out = &p};
    buf_init(&r.known, FILE_MAX);
    int rc = toml_read(text, on_item, &r, e);
    if (!rc) rc = both(&p, e);
    *known = r.known.n ? arena_str(a, buf_str(&r.known)) : STR("none");
    buf_free(&r.known);
    if (rc) return rc;
    if (arena_failed(a)) return err_set(e, ERR_NOMEM, "out of memory for the profile");
    *out = p;
    *found = r.found;
    return 0;
}

/* ---- the file ---- */
static struct str default_path(struct arena *a, char *const *env)
{
    struct str config = settings_variable(env, "XDG_CONFIG_HOME"),
               home = settings_variable(env, "HOME");
    if (config.n && *config.p == '/')
        return arena_printf(a, STR_FMT "/temporalio/temporal.toml", STR_ARG(config));
    if (!home.n) return (struct str){NULL, 0};
    return arena_printf(a, STR_FMT "/.config/temporalio/temporal.toml", STR_ARG(home));
}

static int cannot_read(struct str path, struct err *e)
{
    return err_set(e, ERR_IO, "the configuration file " STR_FMT " cannot be read: %s",
                   STR_ARG(path), strerror(errno));
}

/* *there false: no such file. */
static int read_file(struct str path, struct buf *out, bool *there, struct err *e)
{
    char block[4096];
    size_t n;
    FILE *f = fopen(path.p, "rbe");
    *there = f || (errno != ENOENT && errno != ENOTDIR);
    if (!f) return *there ? cannot_read(path, e) : 0;
    int rc = 0;
    errno = 0;
    while (!rc && (n = fread(block, 1, sizeof block, f)) > 0)
        rc = buf_put(out, block, n);
    if (!rc && ferror(f)) rc = cannot_read(path, e);
    if (rc == ERR_LIMIT)
        err_set(e, rc, "the configuration file " STR_FMT " is larger than %zu bytes", STR_ARG(path),
                FILE_MAX);
    if (rc == ERR_NOMEM) err_set(e, rc, "out of memory for the settings");
    fclose(f);
    return rc;
}

int profile_read(struct arena *a, char *const *env, struct profile *out, struct err *e)
{
    struct str file = settings_variable(env, "TEMPORAL_CONFIG_FILE"),
               name = settings_variable(env, "TEMPORAL_PROFILE"), known;
    struct str path = file.n ? arena_str(a, file) : default_path(a, env);
    struct buf text;
    bool there = false, found = false;
    *out = (struct profile){.tls = -1, .no_host_verification = -1};
    if (arena_failed(a)) return err_set(e, ERR_NOMEM, "out of memory for the settings");
    buf_init(&text, FILE_MAX);
    int rc = path.n ? read_file(path, &text, &there, e) : 0;
    if (!rc && !there && file.n)
        rc = err_set(e, ERR_ARG, "TEMPORAL_CONFIG_FILE names " STR_FMT ", which is not there",
                     STR_ARG(path));
    else if (!rc && !there && name.n)
        rc = err_set(e, ERR_ARG,
                     "TEMPORAL_PROFILE is set, but there is no file with profiles: " STR_FMT
                     " (TEMPORAL_CONFIG_FILE names another)",
                     STR_ARG(path));
    else if (!rc && there) {
        rc = profile_parse(a, buf_str(&text), name.n ? name : STR("default"), out, &found, &known,
                           e);
        if (rc) err_prefix(e, "the configuration file " STR_FMT, STR_ARG(path));
        if (!rc && !found && name.n)
            rc = err_set(e, ERR_ARG,
                         "TEMPORAL_PROFILE is '" STR_FMT "'; the profiles in " STR_FMT
                         " are: " STR_FMT,
                         STR_ARG(name), STR_ARG(path), STR_ARG(known));
    }
    buf_free(&text);
    return rc;
}
