/* Keys of JSON Web Tokens: see jwt.h. A key's algorithm is that of its set, from its
 * configuration on. */
#include "base/hash.h"
#include "http/jwt_internal.h"
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define KEY_TEXT_MAX (256u << 10)

int jwt_keys_new(enum jwt_alg alg, struct jwt_keys **out)
{
    struct jwt_keys *k = mem_zalloc(sizeof *k);
    if (!k) return ERR_NOMEM;
    k->alg = alg;
    *out = k;
    return 0;
}

static void free_key(struct jwt_key *key)
{
    if (key->secret) OPENSSL_cleanse(key->secret, key->secret_n);
    mem_free(key->secret);
    mem_free(key->kid);
    EVP_PKEY_free(key->rsa);
}

void jwt_keys_free(struct jwt_keys *k)
{
    if (!k) return;
    for (size_t i = 0; i < k->n; i++)
        free_key(&k->keys[i]);
    mem_free(k);
}

size_t jwt_keys_count(const struct jwt_keys *k)
{
    return k->n;
}

/* Takes the key's parts, also on failure. */
static int add(struct jwt_keys *k, struct jwt_key key, struct str kid, struct err *e)
{
    int code = 0;
    if (kid.p && !(key.kid = str_dup(kid)))
        code = err_set(e, ERR_NOMEM, "a key for tokens: out of memory");
    else if (k->n >= JWT_KEYS_MAX)
        code = err_set(e, ERR_LIMIT, "more than %d keys for tokens", JWT_KEYS_MAX);
    if (code)
        free_key(&key);
    else
        k->keys[k->n++] = key;
    return code;
}

int jwt_keys_add_secret(struct jwt_keys *k, struct str kid, struct str secret, struct err *e)
{
    struct jwt_key key = {0};
    if (k->alg != JWT_HS256)
        return err_set(e, ERR_ARG, "a secret is a key for HS256; RS256 takes a public key");
    if (secret.n < JWT_SECRET_MIN)
        return err_set(e, ERR_ARG, "a secret for HS256 has %d bytes at least, this has %zu",
                       JWT_SECRET_MIN, secret.n);
    /* the classic trap: the public key of RS256 used as the secret of HS256 */
    if (str_starts(secret, STR("-----BEGIN")))
        return err_set(e, ERR_ARG, "a PEM text is no secret for HS256; did you mean RS256?");
    key.secret = mem_dup(secret.p, secret.n);
    key.secret_n = secret.n;
    if (!key.secret) return err_set(e, ERR_NOMEM, "a key for tokens: out of memory");
    return add(k, key, kid, e);
}

static int add_rsa(struct jwt_keys *k, struct str kid, EVP_PKEY *p, struct err *e)
{
    struct jwt_key key = {.rsa = p};
    if (EVP_PKEY_get_base_id(p) != EVP_PKEY_RSA) {
        free_key(&key);
        return err_set(e, ERR_ARG, "a key for RS256 is an RSA key");
    }
    if (EVP_PKEY_get_bits(p) < JWT_RSA_BITS_MIN) {
        int bits = EVP_PKEY_get_bits(p);
        free_key(&key);
        return err_set(e, ERR_ARG, "a key for RS256 has %d bits at least, this has %d",
                       JWT_RSA_BITS_MIN, bits);
    }
    return add(k, key, kid, e);
}

int jwt_keys_add_pem(struct jwt_keys *k, struct str kid, struct str pem, struct err *e)
{
    if (k->alg != JWT_RS256) return err_set(e, ERR_ARG, "a PEM file holds a key for RS256");
    if (pem.n > KEY_TEXT_MAX) return err_set(e, ERR_LIMIT, "a key for tokens is too large");
    BIO *in = BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.n);
    EVP_PKEY *p = in ? PEM_read_bio_PUBKEY(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    if (!p && (in = BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.n)) != NULL) {
        X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
        if (cert) p = X509_get_pubkey(cert);
        X509_free(cert);
        BIO_free(in);
    }
    ERR_clear_error();
    if (!p)
        return err_set(e, ERR_ARG,
                       "no public key in the PEM text (BEGIN PUBLIC KEY or BEGIN CERTIFICATE)");
    return add_rsa(k, kid, p, e);
}

static BIGNUM *number_of(struct str text)
{
    struct buf b;
    BIGNUM *n = NULL;
    buf_init(&b, 4096);
    if (jwt_base64(text, &b) == 0) n = BN_bin2bn((const unsigned char *)b.p, (int)b.n, NULL);
    buf_free(&b);
    return n;
}

static EVP_PKEY *rsa_of(const struct json *jwk)
{
    BIGNUM *n = number_of(json_get_str(jwk, "n")), *x = number_of(json_get_str(jwk, "e"));
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY_CTX *ctx = NULL;
    EVP_PKEY *p = NULL;
    if (n && x && bld && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, x) &&
        (params = OSSL_PARAM_BLD_to_param(bld)) != NULL &&
        (ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL)) != NULL &&
        EVP_PKEY_fromdata_init(ctx) == 1)
        EVP_PKEY_fromdata(ctx, &p, EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(x);
    ERR_clear_error();
    return p;
}

static int add_jwk(struct jwt_keys *k, const struct json *jwk, struct err *e)
{
    struct str use = json_get_str(jwk, "use"), alg = json_get_str(jwk, "alg");
    struct str kty = json_get_str(jwk, "kty"), kid = json_get_str(jwk, "kid");
    bool rsa = k->alg == JWT_RS256;
    if ((use.p && !str_eqz(use, "sig")) || (alg.p && !str_eqz(alg, rsa ? "RS256" : "HS256")) ||
        !str_eqz(kty, rsa ? "RSA" : "oct"))
        return 0;
    if (rsa) {
        EVP_PKEY *p = rsa_of(jwk);
        if (!p)
            return err_set(e, ERR_ARG, "an RSA key of the key set cannot be read (kid " STR_FMT ")",
                           STR_ARG(kid));
        return add_rsa(k, kid, p, e);
    }
    struct buf b;
    buf_init(&b, 4096);
    int code = jwt_base64(json_get_str(jwk, "k"), &b);
    code = code ? err_set(e, ERR_ARG, "a secret of the key set cannot be read")
                : jwt_keys_add_secret(k, kid, buf_str(&b), e);
    if (b.p) OPENSSL_cleanse(b.p, b.n);
    buf_free(&b);
    return code;
}

int jwt_keys_add_jwks(struct jwt_keys *k, struct str text, struct err *e)
{
    struct arena a;
    struct json *v = NULL;
    size_t before = k->n;
    if (text.n > KEY_TEXT_MAX) return err_set(e, ERR_LIMIT, "a key set is too large");
    arena_init(&a, 0);
    struct json_mem m = {.arena = &a};
    int code = json_parse(text, &m, &v, e);
    const struct json *keys = code ? NULL : json_get(v, "keys");
    if (!code && (!keys || keys->kind != JSON_ARRAY))
        code = err_set(e, ERR_ARG, "a key set is {\"keys\": [...]}");
    for (const struct json *jwk = code ? NULL : keys->v.first; jwk && !code; jwk = jwk->next)
        code = add_jwk(k, jwk, e);
    arena_free(&a);
    if (!code && k->n == before)
        code = err_set(e, ERR_ARG, "the key set has no key for %s",
                       k->alg == JWT_RS256 ? "RS256" : "HS256");
    return code;
}
