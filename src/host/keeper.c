/* The texts that a worker of a Temporal server has served, in a folder: DIGEST.bundle, HASH.text,
 * and HASH.build with the digests of a build. Workers may share it. And the worker's own build,
 * when it has a deployment and was given none: the digest of what it has loaded. */
#include "base/mem.h"
#include "host/host_internal.h"
#include "os/keep.h"
#include "temporal/temporal.h"
#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_LENGTH 120

static void name_of(char out[NAME_MAX_LENGTH], struct str hash, const char *kind)
{
    snprintf(out, NAME_MAX_LENGTH, "%.*s.%s", (int)(hash.n > 64 ? 64 : hash.n), hash.p, kind);
}

/* The texts first: a bundle in the folder has all of them. */
static int put(void *ud, const char *digest, struct str json, const struct str *texts,
               const char *const *shas, size_t n, struct err *e)
{
    const ml_host *h = ud;
    char name[NAME_MAX_LENGTH];
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        name_of(name, str_of(shas[i]), "text");
        rc = keep_put(h->bundles, name, texts[i], e);
    }
    name_of(name, str_of(digest), "bundle");
    return rc ? rc : keep_put(h->bundles, name, json, e);
}

static int get(void *ud, struct str digest, struct buf *json, struct err *e)
{
    const ml_host *h = ud;
    char name[NAME_MAX_LENGTH], hex[SHA256_HEX];
    name_of(name, digest, "bundle");
    int rc = keep_get(h->bundles, name, json, e);
    if (rc) return rc;
    hash_sha256_hex(buf_str(json), hex);
    return str_eqz(digest, hex)
               ? 0
               : err_set(e, ERR_CORRUPT, "%s/%s is damaged: remove it", h->bundles, name);
}

static int get_text(void *ud, const char *sha, struct buf *text, struct err *e)
{
    const ml_host *h = ud;
    char name[NAME_MAX_LENGTH];
    name_of(name, str_of(sha), "text");
    return keep_get(h->bundles, name, text, e);
}

/* BUILD.build: the digests of a build's bundles, one a line, under the hash of its name. */
static void build_name(char out[NAME_MAX_LENGTH], struct str deployment, struct str build)
{
    unsigned char sum[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    const struct str parts[] = {deployment, STR("/"), build};
    hash_sha256_parts(parts, 3, sum);
    hex_encode(sum, sizeof sum, hex);
    name_of(out, str_of(hex), "build");
}

static int get_build(void *ud, struct str deployment, struct str build, struct buf *digest,
                     struct err *e)
{
    const ml_host *h = ud;
    char name[NAME_MAX_LENGTH];
    struct buf text;
    build_name(name, deployment, build);
    buf_init(&text, (size_t)1 << 20);
    int rc = keep_get(h->bundles, name, &text, e);
    if (!rc && text.n == SHA256_HEX) /* one line */
        buf_put(digest, text.p, SHA256_HEX - 1);
    buf_free(&text);
    return rc ? rc : digest->code;
}

static int put_build(const ml_host *h, struct str build, const struct str *digests, size_t n,
                     struct err *e)
{
    char name[NAME_MAX_LENGTH];
    struct buf text;
    build_name(name, str_of(h->deployment), build);
    buf_init(&text, (size_t)1 << 20);
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, STR_FMT "\n", STR_ARG(digests[i]));
    int rc = text.code ? err_set(e, text.code, "out of memory")
                       : keep_put(h->bundles, name, buf_str(&text), e);
    buf_free(&text);
    return rc;
}

int keeper_open(ml_host *h, const char *folder, struct temporal_keeper *out, struct err *e)
{
    *out = (struct temporal_keeper){put, get, get_text, get_build, h};
    int rc = keep_folder(folder, e);
    if (rc) {
        err_prefix(e, "the folder of scripts' texts (--bundles FOLDER, or \"\" for none)");
        return rc;
    }
    h->bundles = str_dup(str_of(folder));
    h->deployment = str_dup(str_of(h->cfg.temporal->deployment));
    return h->bundles && h->deployment ? 0 : err_set(e, ERR_NOMEM, "out of memory opening a host");
}

/* ---- what is loaded ---- */
#define DIGESTS_MAX 1000
struct digests {
    const char *p[DIGESTS_MAX]; /* the worker's */
    size_t n;
};

static void add_digest(void *ud, const struct act_definition *d, const char *path,
                       const char *digest)
{
    struct digests *l = ud;
    (void)d, (void)path;
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->p[i], digest) == 0) return;
    if (*digest && l->n < DIGESTS_MAX) l->p[l->n++] = digest;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void digests_of(const ml_host *h, struct digests *l)
{
    *l = (struct digests){.n = 0};
    if (h->worker) worker_definitions(h->worker, add_digest, l);
    qsort(l->p, l->n, sizeof *l->p, compare);
}

int keeper_keep(ml_host *h, struct err *e)
{
    struct digests l;
    int rc = 0;
    digests_of(h, &l);
    for (size_t i = 0; h->bundles && i < l.n && !rc; i++)
        rc = host_put_bundle(h, str_of(l.p[i]), e);
    return rc;
}

int ml_serve(ml_host *h)
{
    struct err e = {0};
    struct digests l;
    struct str parts[DIGESTS_MAX];
    unsigned char hash[SHA256_BYTES];
    char build[SHA256_HEX];
    if (!h->remote) return ML_OK;
    digests_of(h, &l);
    if (!l.n) return err_set(&h->last, ERR_ARG, "serve: no script is loaded");
    for (size_t i = 0; i < l.n; i++)
        parts[i] = str_of(l.p[i]);
    hash_sha256_parts(parts, l.n, hash);
    hex_encode(hash, sizeof hash, build);
    if (temporal_set_build(h->remote, l.n == 1 ? parts[0] : str_of(build)))
        return err_set(&h->last, ERR_NOMEM, "out of memory");
    struct str own = temporal_build(h->remote);
    if (own.n && h->bundles && put_build(h, own, parts, l.n, &e))
        log_printf(&h->log, LOG_WARN, "build " STR_FMT " is not kept: %s", STR_ARG(own), e.text);
    if (own.n)
        log_printf(&h->log, LOG_INFO,
                   "this worker is build " STR_FMT " of its deployment; new runs come to it when "
                   "that is the current version (temporal worker deployment set-current-version "
                   "--build-id " STR_FMT ")",
                   STR_ARG(own), STR_ARG(own));
    return ML_OK;
}
