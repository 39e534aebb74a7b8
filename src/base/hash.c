/* Hashes. libcrypto's SHA-256 is used through the calls that neither allocate nor fail, so that
 * these cannot. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include "base/buf.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

void hash_sha256_parts(const struct str *parts, size_t n, uint8_t out[SHA256_BYTES])
{
    SHA256_CTX c;
    SHA256_Init(&c);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n) SHA256_Update(&c, parts[i].p, parts[i].n);
    }
    SHA256_Final(out, &c);
}

void hash_sha256(struct str s, uint8_t out[SHA256_BYTES])
{
    hash_sha256_parts(&s, 1, out);
}

void hash_sha256_hex(struct str s, char out[SHA256_HEX])
{
    uint8_t h[SHA256_BYTES];
    hash_sha256(s, h);
    hex_encode(h, sizeof h, out);
}

void hash_hmac_sha256(struct str key, struct str s, uint8_t out[SHA256_BYTES])
{
    uint8_t k[64] = {0}, inner[64], outer[64], h[SHA256_BYTES];
    if (key.n > sizeof k)
        hash_sha256(key, k);
    else if (key.n)
        memcpy(k, key.p, key.n);
    for (size_t i = 0; i < sizeof k; i++) {
        inner[i] = k[i] ^ 0x36;
        outer[i] = k[i] ^ 0x5C;
    }
    hash_sha256_parts((struct str[]){str_make(inner, sizeof inner), s}, 2, h);
    hash_sha256_parts((struct str[]){str_make(outer, sizeof outer), str_make(h, sizeof h)}, 2, out);
    OPENSSL_cleanse(k, sizeof k);
    OPENSSL_cleanse(inner, sizeof inner);
    OPENSSL_cleanse(outer, sizeof outer);
}

uint64_t hash_fnv(struct str s)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < s.n; i++) {
        h ^= (unsigned char)s.p[i];
        h *= UINT64_C(1099511628211);
    }
    return h;
}

bool hash_equal_ct(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}
