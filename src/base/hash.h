/* Hashes, by libcrypto. */
#ifndef ML_BASE_HASH_H
#define ML_BASE_HASH_H
#include "base/str.h"

#define SHA256_BYTES 32
#define SHA256_HEX 65 /* with the NUL */
void hash_sha256(struct str s, uint8_t out[SHA256_BYTES]);
void hash_sha256_hex(struct str s, char out[SHA256_HEX]);
/* Several parts as if joined. */
void hash_sha256_parts(const struct str *parts, size_t n, uint8_t out[SHA256_BYTES]);
void hash_hmac_sha256(struct str key, struct str s, uint8_t out[SHA256_BYTES]);
/* Not for security: 64-bit FNV-1a for tables in memory. */
uint64_t hash_fnv(struct str s);
bool hash_equal_ct(const void *a, const void *b, size_t n); /* constant time */

#endif
