/* The one allocator: every room, Lua, cJSON, SQLite, curl and uv allocate through here, so that a
 * host can supply its own and a test can make the n-th allocation fail. Process-wide; set before
 * anything is opened. */
#ifndef ML_BASE_MEM_H
#define ML_BASE_MEM_H
#include "base/str.h"

/* p NULL: allocate n bytes. n 0: free p, return NULL. Otherwise resize. Must be safe from several
 * threads. */
typedef void *(*mem_hook_fn)(void *ud, void *p, size_t n);

void mem_set_hook(mem_hook_fn fn, void *ud); /* NULL restores realloc/free */
bool mem_is_ours(void);                      /* a hook or the test port: not plain realloc/free */
void *mem_alloc(size_t n);                   /* owned or NULL; n 0 is treated as 1 */
void *mem_zalloc(size_t n);                  /* zeroed */
void *mem_realloc(void *p, size_t n);        /* n > 0; NULL leaves p as it was */
void mem_free(void *p);                      /* NULL is fine */
void *mem_dup(const void *p, size_t n);      /* owned copy or NULL */

/* How many allocations of this thread were refused so far. What a stretch of work came to while it
 * grew may be incomplete: who can, throws it away and does it again later. */
unsigned long mem_refused(void);

/* Gives memory that was freed back to the system, where that is worth its time: called when nothing
 * is to be done. Not with a hook (whose memory it is, knows better), and not in a large process. */
void mem_tidy(void);

/* Test port: the n-th allocation from now fails (once, or from then on). 0 turns it off. */
void mem_fail_at(long n, bool from_then_on);
void mem_on_fail(void (*fn)(void)); /* called where the first one fails */
long mem_alloc_count(void);         /* allocations and resizes asked for since the start */
long mem_live_count(void);          /* allocations that are not freed */

/* An arena: many small things freed at once. Allocation failure is sticky: calls return a usable
 * zeroed scratch object or NULL as documented, and arena_failed() tells at the end; check it before
 * trusting content. */
struct arena_block;
struct arena {
    struct arena_block *head;
    size_t used;
    size_t max; /* bytes, 0 = 1 GiB */
    bool failed;
};
void arena_init(struct arena *a, size_t max);
void arena_free(struct arena *a); /* frees all; the arena may be used again */
/* What `from` holds belongs to `to` from now on, where it is; `from` is empty after. More than
 * `to` may hold: failed (sticky), nothing is lost before it is freed. */
void arena_adopt(struct arena *to, struct arena *from);
void *arena_alloc(struct arena *a,
                  size_t n);                 /* zeroed, 16-byte aligned; NULL on failure (sticky) */
void *arena_take(struct arena *a, size_t n); /* the same, not cleared */
struct str arena_str(struct arena *a,
                     struct str s); /* copy with a NUL behind it; {NULL,0} on failure or absent */
struct str arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline bool arena_failed(const struct arena *a)
{
    return a->failed;
}

#endif
