/* Shared by jwt.c and jwt_keys.c. */
#ifndef ML_HTTP_JWT_INTERNAL_H
#define ML_HTTP_JWT_INTERNAL_H
#include "http/jwt.h"
#include <openssl/evp.h>

struct jwt_key {
    char *kid; /* NULL: none */
    char *secret;
    size_t secret_n;
    EVP_PKEY *rsa;
};
struct jwt_keys {
    enum jwt_alg alg;
    size_t n;
    struct jwt_key keys[JWT_KEYS_MAX];
};
/* base64url as RFC 7515 2 wants it: that alphabet, no padding, no bits left over. ERR_PROTO. */
int jwt_base64(struct str text, struct buf *out);

#endif
