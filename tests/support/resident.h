/* How much memory of this process is resident, and garbage that only a tidying gives back: small
 * things freed with others between them that stay. */
#ifndef ML_TESTS_RESIDENT_H
#define ML_TESTS_RESIDENT_H
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

/* Sanitizers have heaps of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RESIDENT_IS_TOLD 0
#else
#define RESIDENT_IS_TOLD 1
#endif
#define GARBAGE_BYTES ((size_t)20 << 20)

static inline size_t resident_bytes(void)
{
    unsigned long all = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lu %lu", &all, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return pages * 4096;
}

/* Returns what has to be freed in the end. */
static inline void *garbage_make(void)
{
    enum { N = 20 << 10 };
    static void *all[N];
    for (int i = 0; i < N; i++) {
        all[i] = mem_alloc(1000);
        if (all[i]) memset(all[i], 1, 1000);
    }
    void *last = mem_alloc(1000); /* or the top of the heap would be given back at once */
    for (int i = 0; i < N; i++)
        mem_free(all[i]);
    return last;
}
#endif
