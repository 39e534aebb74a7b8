/* JSON Web Tokens (RFC 7519, 7515) that callers bring: HS256 and RS256, checked against keys and a
 * policy that are configured here. What the token says of itself chooses at most among the keys
 * that were given: never the algorithm, never a key of its own (jwk, jku, x5c, x5u are not read).
 * RFC 8725 is the list of attacks that this is written against. */
#ifndef ML_HTTP_JWT_H
#define ML_HTTP_JWT_H
#include "base/buf.h"
#include "json/tree.h"

#define JWT_BYTES_MAX 8192    /* of a token */
#define JWT_SECRET_MIN 32     /* bytes of a secret for HS256 (RFC 7518 3.2) */
#define JWT_RSA_BITS_MIN 2048 /* RFC 7518 3.3 */
#define JWT_KEYS_MAX 32       /* of one set */
#define JWT_LEEWAY_S 60       /* default */

enum jwt_alg { JWT_HS256 = 1, JWT_RS256 };

struct jwt_keys; /* a set of keys, all of one algorithm */
int jwt_keys_new(enum jwt_alg alg, struct jwt_keys **out);
void jwt_keys_free(struct jwt_keys *k); /* secrets are wiped; NULL is fine */
/* The key id may be absent: then the key is tried for every token without a match. ERR_ARG: too
 * short, of the other algorithm, unreadable; ERR_LIMIT: too many; ERR_NOMEM. */
int jwt_keys_add_secret(struct jwt_keys *k, struct str kid, struct str secret, struct err *e);
/* A public key or a certificate as PEM. A private key is refused: it has no business here. */
int jwt_keys_add_pem(struct jwt_keys *k, struct str kid, struct str pem, struct err *e);
/* A JWK set (RFC 7517). Keys of another kind, use or algorithm are left out; ERR_ARG when none is
 * left. */
int jwt_keys_add_jwks(struct jwt_keys *k, struct str json, struct err *e);
size_t jwt_keys_count(const struct jwt_keys *k);

struct jwt_policy {
    struct str issuer;   /* iss must be this; absent: not looked at */
    struct str audience; /* aud must be or hold this; absent: not looked at */
    int64_t leeway_s;    /* clocks may differ by so much; negative: JWT_LEEWAY_S */
    bool no_exp;         /* a token without an end is taken */
};
struct jwt_claims {
    struct str subject, issuer, id, kid; /* absent when the token has none */
    struct str scopes;                   /* of scope or scp, separated by single spaces; "" */
    int64_t expires_s;                   /* 0: never */
    const struct json *all;
};
/* 0 and the claims (in `a`), or ERR_ARG with the reason: for the log, not for the caller. Constant
 * time in the signature. ERR_NOMEM. */
int jwt_verify(const struct jwt_keys *k, const struct jwt_policy *p, struct str token,
               int64_t now_ns, struct arena *a, struct jwt_claims *out, struct err *e);

#endif
