/* Checks a token: see jwt.h. The order is: form, header, signature; only then the claims are
 * read. */
#include "base/clock.h"
#include "base/hash.h"
#include "http/jwt_internal.h"
#include <math.h>
#include <openssl/err.h>

int jwt_base64(struct str text, struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t left = text.n % 4;
    if (text.n == 0 || left == 1) return ERR_PROTO;
    for (size_t i = 0; i < text.n; i++)
        if (!text.p[i] || !strchr(digits, text.p[i])) return ERR_PROTO;
    if (left) { /* two texts must not stand for the same bytes */
        size_t last = (size_t)(strchr(digits, text.p[text.n - 1]) - digits);
        if (last & (left == 2 ? 15 : 3)) return ERR_PROTO;
    }
    return base64_decode(text, out);
}

struct token {
    struct str header, claims, signature, signed_part;
};

static bool split(struct str token, struct token *t)
{
    const char *one = token.n ? memchr(token.p, '.', token.n) : NULL;
    const char *two = one ? memchr(one + 1, '.', (size_t)(token.p + token.n - one - 1)) : NULL;
    if (!two || memchr(two + 1, '.', (size_t)(token.p + token.n - two - 1))) return false;
    t->header = str_make(token.p, (size_t)(one - token.p));
    t->claims = str_make(one + 1, (size_t)(two - one - 1));
    t->signature = str_make(two + 1, (size_t)(token.p + token.n - two - 1));
    t->signed_part = str_make(token.p, (size_t)(two - token.p));
    return true;
}

static int refuse(struct err *e, const char *why)
{
    return err_set(e, ERR_ARG, "token: %s", why);
}

/* A part of the token as a JSON object. A name that occurs twice is refused by json_parse. */
static int read_part(struct str part, struct arena *a, struct json **out, struct err *e)
{
    struct buf b;
    struct err bad = {0};
    buf_init(&b, JWT_BYTES_MAX);
    int code = jwt_base64(part, &b);
    if (code == ERR_NOMEM) {
        buf_free(&b);
        return err_set(e, ERR_NOMEM, "token: out of memory");
    }
    if (code) {
        buf_free(&b);
        return refuse(e, "a part is not base64url");
    }
    struct str text = arena_str(a, buf_str(&b));
    buf_free(&b);
    if (!text.p) return err_set(e, ERR_NOMEM, "token: out of memory");
    struct json_mem m = {.arena = a};
    code = json_parse(text, &m, out, &bad);
    if (code == ERR_NOMEM) return err_set(e, ERR_NOMEM, "token: out of memory");
    if (code) return err_set(e, ERR_ARG, "token: %s", bad.text);
    return (*out)->kind == JSON_OBJECT ? 0 : refuse(e, "a part is not a JSON object");
}

static bool same_nocase(struct str s, const char *z)
{
    size_t n = strlen(z);
    if (s.n != n) return false;
    for (size_t i = 0; i < n; i++) {
        char c = s.p[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != z[i]) return false;
    }
    return true;
}

static int check_header(enum jwt_alg wanted, const struct json *header, struct str *kid,
                        struct err *e)
{
    struct str alg = json_get_str(header, "alg"), typ = json_get_str(header, "typ");
    const struct json *t = json_get(header, "typ"), *k = json_get(header, "kid");
    if (!str_eqz(alg, wanted == JWT_RS256 ? "RS256" : "HS256"))
        return refuse(e, "its algorithm is not the one that is configured");
    if (json_get(header, "crit")) return refuse(e, "it has extensions that must be understood");
    if (t && !same_nocase(typ, "jwt") && !same_nocase(typ, "at+jwt") &&
        !same_nocase(typ, "application/at+jwt"))
        return refuse(e, "it is of another type");
    if (k && k->kind != JSON_STRING) return refuse(e, "kid is not a text");
    *kid = json_get_str(header, "kid");
    return 0;
}

static bool holds(enum jwt_alg alg, const struct jwt_key *key, struct str text, struct str sig)
{
    if (alg == JWT_HS256) {
        uint8_t mac[SHA256_BYTES];
        hash_hmac_sha256(str_make(key->secret, key->secret_n), text, mac);
        return sig.n == sizeof mac && hash_equal_ct(mac, sig.p, sizeof mac);
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key->rsa) == 1 &&
              EVP_DigestVerify(ctx, (const unsigned char *)sig.p, sig.n,
                               (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

static int check_signature(const struct jwt_keys *k, const struct token *t, struct str kid,
                           struct err *e)
{
    struct buf sig;
    bool named = false, ok = false;
    buf_init(&sig, JWT_BYTES_MAX);
    int code = jwt_base64(t->signature, &sig);
    for (size_t i = 0; i < k->n && kid.p; i++)
        named = named || (k->keys[i].kid && str_eqz(kid, k->keys[i].kid));
    for (size_t i = 0; i < k->n && !code && !ok; i++) {
        const struct jwt_key *key = &k->keys[i];
        bool fits = named ? key->kid && str_eqz(kid, key->kid) : !key->kid || !kid.p;
        ok = fits && holds(k->alg, key, t->signed_part, buf_str(&sig));
    }
    buf_free(&sig);
    if (code == ERR_NOMEM) return err_set(e, code, "token: out of memory");
    return ok ? 0 : refuse(e, "its signature does not hold");
}

/* A NumericDate; *present false when there is none. */
static int read_time(const struct json *claims, const char *name, double *out, bool *present,
                     struct err *e)
{
    const struct json *v = json_get(claims, name);
    *present = v != NULL;
    if (!v) return 0;
    if (!json_is_number(v) || !isfinite(json_double(v)) || fabs(json_double(v)) > 1e15)
        return err_set(e, ERR_ARG, "token: %s is not a time", name);
    *out = json_double(v);
    return 0;
}

static int check_times(const struct jwt_policy *p, const struct json *claims, int64_t now_ns,
                       int64_t *expires_s, struct err *e)
{
    double now = (double)now_ns / 1e9, exp = 0, nbf = 0, iat = 0;
    double leeway = p->leeway_s < 0 ? JWT_LEEWAY_S : (double)p->leeway_s;
    bool has_exp, has_nbf, has_iat;
    int code;
    if ((code = read_time(claims, "exp", &exp, &has_exp, e)) ||
        (code = read_time(claims, "nbf", &nbf, &has_nbf, e)) ||
        (code = read_time(claims, "iat", &iat, &has_iat, e)))
        return code;
    if (!has_exp && !p->no_exp) return refuse(e, "it has no end (exp)");
    if (has_exp && now >= exp + leeway) return refuse(e, "it has expired");
    if (has_nbf && now < nbf - leeway) return refuse(e, "it is not valid yet (nbf)");
    if (has_iat && now < iat - leeway) return refuse(e, "it is from the future (iat)");
    *expires_s = has_exp ? (int64_t)exp : 0;
    return 0;
}

static bool is_for(const struct json *aud, struct str audience)
{
    if (!aud) return false;
    if (aud->kind == JSON_STRING) return str_eq(aud->v.s, audience);
    if (aud->kind != JSON_ARRAY) return false;
    for (const struct json *m = aud->v.first; m; m = m->next)
        if (m->kind == JSON_STRING && str_eq(m->v.s, audience)) return true;
    return false;
}

/* One scope or several separated by blanks: the characters of RFC 6749 3.3. */
static bool add_scopes(struct buf *out, struct str s)
{
    bool gap = true;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == ' ') {
            gap = true;
            continue;
        }
        if (c < 0x21 || c > 0x7E || c == '"' || c == '\\') return false;
        if (gap && out->n) buf_putc(out, ' ');
        gap = false;
        buf_putc(out, (char)c);
    }
    return true;
}

static int read_scopes(const struct json *claims, struct arena *a, struct str *out, struct err *e)
{
    static const char *const names[] = {"scope", "scp"};
    struct buf b;
    bool ok = true;
    buf_init(&b, 2 * JWT_BYTES_MAX);
    for (int i = 0; i < 2; i++) {
        const struct json *v = json_get(claims, names[i]);
        if (!v) continue;
        if (v->kind == JSON_STRING) {
            ok = add_scopes(&b, v->v.s) && ok;
        } else if (v->kind == JSON_ARRAY) {
            for (const struct json *m = v->v.first; m; m = m->next)
                ok = m->kind == JSON_STRING && add_scopes(&b, m->v.s) && ok;
        } else {
            ok = false;
        }
    }
    *out = arena_str(a, buf_str(&b));
    buf_free(&b);
    if (!out->p) return err_set(e, ERR_NOMEM, "token: out of memory");
    return ok ? 0 : refuse(e, "its scopes are not texts of scopes");
}

static int check_claims(const struct jwt_policy *p, const struct json *claims, int64_t now_ns,
                        struct arena *a, struct jwt_claims *out, struct err *e)
{
    static const char *const texts[] = {"sub", "iss", "jti"};
    int code;
    for (int i = 0; i < 3; i++) {
        const struct json *v = json_get(claims, texts[i]);
        if (v && v->kind != JSON_STRING)
            return err_set(e, ERR_ARG, "token: %s is not a text", texts[i]);
    }
    if ((code = check_times(p, claims, now_ns, &out->expires_s, e))) return code;
    out->subject = json_get_str(claims, "sub");
    out->issuer = json_get_str(claims, "iss");
    out->id = json_get_str(claims, "jti");
    if (p->issuer.p && !(out->issuer.p && str_eq(out->issuer, p->issuer)))
        return refuse(e, "it is from another issuer");
    if (p->audience.p && !is_for(json_get(claims, "aud"), p->audience))
        return refuse(e, "it is for another audience");
    out->all = claims;
    return read_scopes(claims, a, &out->scopes, e);
}

int jwt_verify(const struct jwt_keys *k, const struct jwt_policy *p, struct str token,
               int64_t now_ns, struct arena *a, struct jwt_claims *out, struct err *e)
{
    struct token t;
    struct json *header = NULL, *claims = NULL;
    struct jwt_claims got = {0};
    int code;
    if (token.n > JWT_BYTES_MAX) return refuse(e, "it is too large");
    if (!split(token, &t)) return refuse(e, "it does not have three parts");
    if ((code = read_part(t.header, a, &header, e)) ||
        (code = check_header(k->alg, header, &got.kid, e)) ||
        (code = check_signature(k, &t, got.kid, e)) ||
        (code = read_part(t.claims, a, &claims, e)) ||
        (code = check_claims(p, claims, now_ns, a, &got, e)))
        return code;
    *out = got;
    return 0;
}
