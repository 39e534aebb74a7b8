/* Memory of one Lua state. A state makes and frees thousands of small things and then goes as a
 * whole: these come from pages of its own, so that neither costs a walk through malloc and a state
 * that ends leaves no holes behind. Larger things come from mem.h one by one. */
#ifndef ML_SCRIPT_SLAB_H
#define ML_SCRIPT_SLAB_H
#include "base/mem.h"

#define SLAB_ALIGN 16
#define SLAB_LARGEST 512 /* bytes of a thing from a page */

struct slab {
    void *free[SLAB_LARGEST / SLAB_ALIGN + 1]; /* by size in units of SLAB_ALIGN */
    struct slab_page *pages;
    char *at, *end;   /* what is left of the newest page */
    size_t bytes;     /* of all pages */
    size_t pages_max; /* most bytes of pages, 0: no limit. What was freed is used again for
                       * things of its size only, so pages may grow past what is in use */
    bool closing;     /* freeing is put off until slab_close */
};

/* p absent, or a thing of `old` bytes of this slab. NULL when there is no memory (never for a
 * smaller size: then p itself). */
void *slab_realloc(struct slab *s, void *p, size_t old, size_t n);
void slab_free(struct slab *s, void *p, size_t n);
void slab_close(struct slab *s); /* gives back all pages; large things were freed one by one */

#endif
