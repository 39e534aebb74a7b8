/* Randomness: one file asks the system for it; everything else is handed a port or a seed. */
#ifndef ML_BASE_RNG_H
#define ML_BASE_RNG_H
#include "base/str.h"

/* A source of unpredictable bytes; tests hand in a seeded one. */
struct entropy {
    int (*fill)(void *ud, void *p, size_t n); /* 0 or ERR_IO */
    void *ud;
};
extern const struct entropy entropy_system;
static inline int entropy_fill(const struct entropy *e, void *p, size_t n)
{
    return e->fill(e->ud, p, n);
}
int uuid_v7(const struct entropy *e, int64_t wall_ns, char out[37]);

/* Deterministic generator (xoshiro256**), seeded by SHA-256 of a text; the mapping never changes.
 */
struct rng {
    uint64_t s[4];
};
void rng_seed(struct rng *r, struct str seed);
uint64_t rng_next(struct rng *r);
double rng_unit(struct rng *r);                /* [0, 1), 53 bits */
uint64_t rng_below(struct rng *r, uint64_t n); /* [0, n), unbiased; n > 0 */
void rng_uuid(struct rng *r, char out[37]);    /* version 4 form */

#endif
