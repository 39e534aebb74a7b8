/* Bearer tokens: "ml_ID_SECRET". The file holds the SHA-256 of the whole token; it is found by its
 * ID and compared in constant time, so that the time of an answer tells nothing of the rest. Who
 * has a token is the principal "key:ID". */
#include "api/api_internal.h"
#include "base/hash.h"
#include <stdio.h>
#include <strings.h>

#define ID_BYTES 8
#define SECRET_BYTES 32
#define NAME_MAX_BYTES 200

struct str api_key_of(struct str principal)
{
    struct str prefix = STR("key:");
    if (!str_starts(principal, prefix)) return (struct str){NULL, 0};
    return str_make(principal.p + prefix.n, principal.n - prefix.n);
}

bool api_counted(struct str principal)
{
    return principal.n > 0 && !str_eqz(principal, "local");
}

/* One word of a list that is separated by blanks; false at its end. */
static bool next_word(struct str *list, struct str *word)
{
    while (list->n && *list->p == ' ')
        *list = str_make(list->p + 1, list->n - 1);
    size_t n = 0;
    while (n < list->n && list->p[n] != ' ')
        n++;
    *word = str_make(list->p, n);
    *list = str_make(list->p + n, list->n - n);
    return n > 0;
}

bool api_scopes_hold(struct str have, struct str need, struct str *missing)
{
    struct str word, mine;
    while (next_word(&need, &word)) {
        struct str left = have;
        bool found = false;
        while (!found && next_word(&left, &mine))
            found = str_eq(mine, word) || str_eqz(mine, "*");
        if (found) continue;
        *missing = word;
        return false;
    }
    return true;
}

bool api_principal_stands(struct api *a, struct str name)
{
    struct str id = api_key_of(name);
    struct store_read *r = NULL;
    if (!id.p) return true;
    bool stands = store_read_open(a->store, &r, NULL,
                                  "SELECT 1 FROM api_keys WHERE id = ? AND revoked_at IS NULL", "s",
                                  id) == 0 &&
                  store_read_next(r) == 1;
    store_read_close(r);
    return stands;
}

static int refuse(enum problem_kind *kind, const char **why, const char *w)
{
    *kind = PROBLEM_UNAUTHORIZED;
    *why = w;
    return ERR_ARG;
}

static int look_up(struct api *a, struct str id, const uint8_t digest[SHA256_BYTES],
                   struct arena *ar, struct api_principal *out, enum problem_kind *kind,
                   const char **why)
{
    static const uint8_t none[SHA256_BYTES];
    struct store_read *r = NULL;
    struct err e = {0};
    int rc = store_read_open(a->store, &r, &e,
                             "SELECT hash, scopes, rate, revoked_at FROM api_keys WHERE id = ?",
                             "s", id);
    int got = rc ? rc : store_read_next(r);
    struct str hash = got == 1 ? store_read_str(r, 0) : (struct str){NULL, 0};
    bool same =
        hash_equal_ct(digest, hash.n == SHA256_BYTES ? (const void *)hash.p : none, SHA256_BYTES);
    int status = 0;
    if (got < 0) {
        status = ERR_IO;
        *kind = PROBLEM_UNAVAILABLE;
        *why = "the token cannot be looked up now";
    } else if (got != 1 || !same) {
        status = refuse(kind, why, "the token is not known");
    } else if (!store_read_null(r, 3)) {
        status = refuse(kind, why, "the token was revoked");
    } else {
        out->name = arena_printf(ar, "key:" STR_FMT, STR_ARG(id));
        out->scopes = arena_str(ar, store_read_str(r, 1));
        if (api_rate_parse(store_read_str(r, 2), &out->rate, &e)) out->rate = (struct api_rate){0};
    }
    store_read_close(r);
    return status;
}

int api_token_check(struct api *a, struct str authorization, struct arena *ar,
                    struct api_principal *out, enum problem_kind *kind, const char **why)
{
    uint8_t digest[SHA256_BYTES];
    struct str t = authorization;
    *out = (struct api_principal){{"", 0}, {"", 0}, {0}};
    if (!t.n) return refuse(kind, why, "a bearer token is needed: Authorization: Bearer TOKEN");
    if (t.n < 7 || strncasecmp(t.p, "bearer ", 7) != 0)
        return refuse(kind, why, "Authorization must be: Bearer TOKEN");
    t = str_make(t.p + 7, t.n - 7);
    while (t.n && *t.p == ' ')
        t = str_make(t.p + 1, t.n - 1);
    hash_sha256(t, digest);
    struct str prefix = STR("ml_");
    const char *end =
        str_starts(t, prefix) && t.n < 200 ? memchr(t.p + prefix.n, '_', t.n - prefix.n) : NULL;
    if (!end) return refuse(kind, why, "the token is not known");
    struct str id = str_make(t.p + prefix.n, (size_t)(end - t.p) - prefix.n);
    return look_up(a, id, digest, ar, out, kind, why);
}

/* ---- what people do ---- */
struct token_job {
    struct api *a;
    api_done_fn fn;
    void *ud;
    struct buf out;
    char none[80]; /* what a failed guard means */
};

static void on_written(void *ud, const struct store_answer *x)
{
    struct token_job *j = ud;
    if (x->kind == STORE_GUARD)
        j->fn(j->ud, ERR_NOTFOUND, str_of(j->none));
    else if (x->kind == STORE_STORAGE)
        j->fn(j->ud, x->err.code, str_of(x->err.text));
    else
        j->fn(j->ud, j->out.code, buf_str(&j->out));
    buf_free(&j->out);
    mem_free(j);
}

static struct token_job *job_new(struct api *a, api_done_fn fn, void *ud, const char *none)
{
    struct token_job *j = mem_zalloc(sizeof *j);
    if (!j) return NULL;
    *j = (struct token_job){.a = a, .fn = fn, .ud = ud};
    snprintf(j->none, sizeof j->none, "%s", none);
    buf_init(&j->out, 4096);
    return j;
}

static int no_memory(struct token_job *j, struct err *e)
{
    mem_free(j);
    return err_set(e, ERR_NOMEM, "out of memory");
}

static bool scopes_ok(struct str scopes)
{
    for (size_t i = 0; i < scopes.n; i++)
        if ((unsigned char)scopes.p[i] < ' ' || (unsigned char)scopes.p[i] > '~' ||
            scopes.p[i] == '"' || scopes.p[i] == '\\')
            return false;
    return scopes.n <= 2000;
}

static void url_base64(struct buf *out, const void *p, size_t n)
{
    size_t from = out->n;
    buf_put_base64(out, str_make(p, n));
    while (out->n > from && out->p[out->n - 1] == '=')
        out->p[--out->n] = 0;
    for (size_t i = from; i < out->n; i++)
        out->p[i] = out->p[i] == '+' ? '-' : out->p[i] == '/' ? '_' : out->p[i];
}

int api_token_create(struct api *a, struct str name, struct str scopes, struct str rate,
                     int64_t credits, api_done_fn fn, void *ud, struct err *e)
{
    uint8_t bytes[ID_BYTES + SECRET_BYTES], digest[SHA256_BYTES];
    char id[2 * ID_BYTES + 1];
    struct api_rate parsed;
    if (name.n > NAME_MAX_BYTES)
        return err_set(e, ERR_ARG, "a name has at most %d bytes", NAME_MAX_BYTES);
    if (!scopes_ok(scopes))
        return err_set(e, ERR_ARG, "scopes are words of plain characters, separated by blanks");
    if (credits < 0) return err_set(e, ERR_ARG, "a new token cannot have less than 0 credits");
    int rc = api_rate_parse(rate, &parsed, e);
    if (rc == 0 && entropy_fill(a->entropy, bytes, sizeof bytes))
        rc = err_set(e, ERR_IO, "the system gives no randomness");
    if (rc) return rc;
    struct token_job *j = job_new(a, fn, ud, "there is a token with this id");
    struct store_batch *b = j ? store_batch_new(a->store) : NULL;
    if (!b) return no_memory(j, e);
    int64_t now = api_now(a);
    hex_encode(bytes, ID_BYTES, id);
    struct buf token;
    buf_init(&token, 200);
    buf_printf(&token, "ml_%s_", id);
    url_base64(&token, bytes + ID_BYTES, SECRET_BYTES);
    hash_sha256(buf_str(&token), digest);
    buf_printf(&j->out, "{\"id\":\"%s\",\"token\":\"%s\"}", id, token.code ? "" : token.p);
    j->out.code = token.code ? token.code : j->out.code;
    memset(bytes, 0, sizeof bytes);
    buf_free(&token);
    store_batch_guard(b,
                      "INSERT INTO api_keys(id, hash, name, scopes, rate, created_at) VALUES(?, ?, "
                      "?, ?, ?, ?)",
                      "zbsssi", id, str_make(digest, sizeof digest), name,
                      scopes.p ? scopes : STR(""), rate.n ? rate : (struct str){NULL, 0}, now);
    char who[40];
    snprintf(who, sizeof who, "key:%s", id);
    if (credits) api_ledger_grant(b, str_of(who), credits, now);
    struct buf detail;
    buf_init(&detail, 8192);
    buf_puts(&detail, "{\"scopes\":");
    buf_put_json(&detail, scopes);
    buf_printf(&detail, ",\"credits\":%lld}", (long long)credits);
    api_audit_add(b, now, STR("local"), "token.create", str_of(id), buf_str(&detail));
    buf_free(&detail);
    store_submit(a->store, b, on_written, j);
    return 0;
}

int api_token_revoke(struct api *a, struct str id, api_done_fn fn, void *ud, struct err *e)
{
    struct token_job *j = job_new(a, fn, ud, "there is no such token, or it was revoked before");
    struct store_batch *b = j ? store_batch_new(a->store) : NULL;
    if (!b) return no_memory(j, e);
    int64_t now = api_now(a);
    buf_puts(&j->out, "{\"ok\":true}");
    store_batch_guard(b, "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",
                      "is", now, id);
    api_audit_add(b, now, STR("local"), "token.revoke", id, (struct str){NULL, 0});
    store_submit(a->store, b, on_written, j);
    return 0;
}

int api_token_credits(struct api *a, struct str id, int64_t amount, api_done_fn fn, void *ud,
                      struct err *e)
{
    struct arena ar;
    arena_init(&ar, 0);
    bool whole = memchr(id.p ? id.p : "", ':', id.n) != NULL;
    struct str who = whole ? arena_str(&ar, id) : arena_printf(&ar, "key:" STR_FMT, STR_ARG(id));
    struct token_job *j = NULL;
    int rc = 0;
    if (amount == 0 || amount > INT64_C(1000000000000) || amount < -INT64_C(1000000000000))
        rc = err_set(e, ERR_ARG, "credits are a number that is not 0, up to 10^12");
    else if (!api_principal_stands(a, who))
        rc = err_set(e, ERR_NOTFOUND, "there is no such token, or it was revoked");
    if (rc) goto out;
    j = job_new(a, fn, ud, "it has fewer credits than that which are free");
    struct store_batch *b = j && !arena_failed(&ar) ? store_batch_new(a->store) : NULL;
    if (!b) {
        rc = no_memory(j, e);
        goto out;
    }
    int64_t now = api_now(a);
    if (amount > 0)
        api_ledger_grant(b, who, amount, now);
    else
        api_ledger_take_back(b, who, -amount, now);
    struct str detail = arena_printf(&ar, "{\"amount\":%lld}", (long long)amount);
    api_audit_add(b, now, STR("local"), "credits", who, detail);
    buf_puts(&j->out, "{\"ok\":true}");
    store_submit(a->store, b, on_written, j);
out:
    arena_free(&ar);
    return rc;
}

static void put_time(struct buf *out, const char *name, struct store_read *r, int col)
{
    char iso[TIME_ISO_MAX];
    if (store_read_null(r, col)) return;
    time_format_iso(store_read_i64(r, col), iso);
    buf_printf(out, ",\"%s\":\"%s\"", name, iso);
}

int api_token_list(struct api *a, struct buf *out, struct err *e)
{
    struct store_read *r = NULL;
    int rc = store_read_open(
        a->store, &r, e,
        "SELECT id, name, scopes, rate, created_at, revoked_at, (SELECT balance FROM api_accounts "
        "WHERE account = 'credit:key:' || id), (SELECT balance FROM api_accounts WHERE account = "
        "'held:key:' || id) FROM api_keys ORDER BY created_at, id",
        "");
    bool first = true;
    buf_putc(out, '[');
    while (rc == 0 && (rc = store_read_next(r)) == 1) {
        buf_puts(out, first ? "{\"id\":" : ",{\"id\":");
        buf_put_json(out, store_read_str(r, 0));
        static const char *const texts[] = {"name", "scopes", "rate"};
        for (int i = 0; i < 3; i++) {
            if (store_read_null(r, i + 1)) continue;
            buf_printf(out, ",\"%s\":", texts[i]);
            buf_put_json(out, store_read_str(r, i + 1));
        }
        put_time(out, "createdAt", r, 4);
        put_time(out, "revokedAt", r, 5);
        buf_printf(out, ",\"credits\":%lld,\"held\":%lld}", (long long)store_read_i64(r, 6),
                   (long long)store_read_i64(r, 7));
        first = false;
        rc = 0;
    }
    store_read_close(r);
    buf_putc(out, ']');
    if (rc < 0) return e->code ? e->code : err_set(e, rc, "the tokens could not be read");
    return out->code ? err_set(e, out->code, "the list does not fit") : 0;
}
