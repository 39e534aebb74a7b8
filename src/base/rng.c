/* Randomness. The only file that asks the system for it; the deterministic generator (xoshiro256**)
 * depends on its seed text alone, for ever, because histories are replayed against it. */
#include "base/rng.h"

#include "base/err.h"
#include "base/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

static int system_fill(void *ud, void *p, size_t n)
{
    (void)ud;
    char *to = p;
    while (n > 0) {
        ssize_t got = getrandom(to, n, 0);
        if (got < 0) {
            if (errno == EINTR) continue;
            return ERR_IO;
        }
        to += got;
        n -= (size_t)got;
    }
    return 0;
}

const struct entropy entropy_system = {system_fill, NULL};

static void uuid_text(uint8_t b[16], int version, char out[37])
{
    b[6] = (uint8_t)((b[6] & 0x0F) | version << 4);
    b[8] = (uint8_t)((b[8] & 0x3F) | 0x80);
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
        *out++ = hex[b[i] >> 4];
        *out++ = hex[b[i] & 15];
    }
    *out = '\0';
}

int uuid_v7(const struct entropy *e, int64_t wall_ns, char out[37])
{
    uint8_t b[16];
    int rc = entropy_fill(e, b, sizeof b);
    if (rc) return rc;
    uint64_t ms = wall_ns > 0 ? (uint64_t)wall_ns / 1000000 : 0;
    for (int i = 0; i < 6; i++)
        b[i] = (uint8_t)(ms >> (40 - 8 * i));
    uuid_text(b, 7, out);
    return 0;
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

void rng_seed(struct rng *r, struct str seed)
{
    uint8_t h[SHA256_BYTES];
    hash_sha256(seed, h);
    uint64_t any = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t v = 0;
        for (int j = 7; j >= 0; j--)
            v = v << 8 | h[8 * i + j];
        r->s[i] = v;
        any |= v;
    }
    if (!any) r->s[0] = 1; /* the one state that does not move */
}

uint64_t rng_next(struct rng *r)
{
    uint64_t result = rotl(r->s[1] * 5, 7) * 9;
    uint64_t t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rotl(r->s[3], 45);
    return result;
}

double rng_unit(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1.0p-53;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    assert(n > 0);
    uint64_t skip = (0 - n) % n; /* 2^64 mod n: the numbers that would make some results likelier */
    uint64_t v;
    do {
        v = rng_next(r);
    } while (v < skip);
    return v % n;
}

void rng_uuid(struct rng *r, char out[37])
{
    uint8_t b[16];
    for (int i = 0; i < 2; i++) {
        uint64_t v = rng_next(r);
        for (int j = 0; j < 8; j++)
            b[8 * i + j] = (uint8_t)(v >> (56 - 8 * j));
    }
    uuid_text(b, 4, out);
}
