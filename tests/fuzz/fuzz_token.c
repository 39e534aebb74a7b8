/* What callers bring before anybody knows them: tokens (JWT), signatures of webhooks, resume URLs.
 * Keeps true: nothing that was not signed with the key is taken, and a reason is told. */
#include "base/clock.h"
#include "fuzz.h"
#include "http/jwt.h"
#include "http/webhook.h"

static const struct str key = STR("0123456789abcdef0123456789abcdef");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str in = str_make(data, n), rest = in, none = {NULL, 0};
    struct jwt_keys *k = NULL;
    struct jwt_policy p = {.issuer = STR("i")};
    struct jwt_claims claims;
    struct err e = {0};
    struct arena a;
    struct buf b;
    if (jwt_keys_new(JWT_HS256, &k)) return 0;
    FUZZ_CHECK(jwt_keys_add_secret(k, none, key, &e) == 0);
    arena_init(&a, 16u << 20);
    FUZZ_CHECK(jwt_verify(k, &p, in, 1000 * NS_PER_S, &a, &claims, &e) != 0);
    FUZZ_CHECK(e.text[0] != 0);
    arena_free(&a);
    jwt_keys_free(k);
    if (jwt_keys_new(JWT_RS256, &k)) return 0;
    jwt_keys_add_jwks(k, in, &e);
    jwt_keys_add_pem(k, none, in, &e);
    jwt_keys_free(k);
    /* three headers and a body, in lines */
    struct str part[3] = {none, none, none};
    for (int i = 0; i < 3; i++) {
        const char *end = rest.n ? memchr(rest.p, '\n', rest.n) : NULL;
        if (!end) break;
        part[i] = str_make(rest.p, (size_t)(end - rest.p));
        rest = str_make(end + 1, rest.n - part[i].n - 1);
    }
    struct webhook_headers h = {part[0], part[1], part[2]};
    FUZZ_CHECK(webhook_verify(&key, 1, &h, rest, 1614265330 * NS_PER_S, 0, &e) != 0);
    FUZZ_CHECK(webhook_verify_github(&key, 1, part[0], rest, &e) != 0);
    FUZZ_CHECK(resume_verify(&key, 1, part[0], part[1], part[2], 0, &e) != 0);
    buf_init(&b, 1 << 20);
    webhook_secret_read(in, &b, &e);
    buf_free(&b);
    return 0;
}
