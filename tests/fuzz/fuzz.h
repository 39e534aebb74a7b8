/* What every fuzz target stands on: reading choices out of the input, and checks that stop the
 * process with the place. A target is one function, LLVMFuzzerTestOneInput, that must come back for
 * any bytes. Under clang it is linked with libFuzzer, which searches (scripts/fuzz); in every other
 * build with corpus.c, which feeds it the files of its corpus. */
#ifndef ML_TESTS_FUZZ_H
#define ML_TESTS_FUZZ_H
#include "base/buf.h"
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv); /* optional */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed); /* optional */
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max); /* libFuzzer's own mutations */

#define FUZZ_CHECK(cond)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
/* Two texts that must be the same. */
#define FUZZ_SAME(a, b)                                                                            \
    do {                                                                                           \
        struct str a_ = (a), b_ = (b);                                                             \
        if (!str_eq(a_, b_)) {                                                                     \
            fprintf(stderr, "%s:%d: differ:\n  " STR_FMT "\n  " STR_FMT "\n", __FILE__, __LINE__,  \
                    STR_ARG(a_), STR_ARG(b_));                                                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The input as a sequence of choices; zeros when it is used up. */
struct fuzz_in {
    const uint8_t *p;
    size_t n;
};
static inline unsigned fuzz_byte(struct fuzz_in *in)
{
    if (in->n == 0) return 0;
    in->n--;
    return *in->p++;
}
static inline struct str fuzz_rest(const struct fuzz_in *in)
{
    return str_make(in->n ? (const char *)in->p : "", in->n);
}

#endif
