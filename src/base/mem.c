/* The one allocator. Every allocation of the process passes mem_realloc(), so that a host's hook
 * sees all of them and the test port can make any one fail. Safe from several threads; the hook is
 * set before they start. */
#include "base/mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Thread_local unsigned long refused;
static mem_hook_fn hook;
static void *hook_ud;

void mem_set_hook(mem_hook_fn fn, void *ud)
{
    hook = fn;
    hook_ud = ud;
}

unsigned long mem_refused(void)
{
    return refused;
}

bool mem_is_ours(void)
{
#ifdef ML_TESTING
    return true;
#else
    return hook != NULL;
#endif
}

#ifdef ML_TESTING
static atomic_long count;   /* allocations asked for since the start */
static atomic_long live;    /* allocations that are not freed */
static atomic_long fail_at; /* the count that fails; 0: none */
static atomic_bool fail_on; /* and all after it */

void mem_fail_at(long n, bool from_then_on)
{
    atomic_store(&fail_at, 0);
    atomic_store(&fail_on, from_then_on);
    if (n > 0) atomic_store(&fail_at, atomic_load(&count) + n);
}

static void (*on_fail)(void);

void mem_on_fail(void (*fn)(void))
{
    on_fail = fn;
}

long mem_alloc_count(void)
{
    return atomic_load(&count);
}

long mem_live_count(void)
{
    return atomic_load(&live);
}

static void count_live(long by)
{
    atomic_fetch_add_explicit(&live, by, memory_order_relaxed);
}

static bool must_fail(void)
{
    long now = atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) + 1;
    long at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    if (at == 0 || now < at) return false;
    if (now == at && on_fail) on_fail();
    return now == at || atomic_load_explicit(&fail_on, memory_order_relaxed);
}
#else
void mem_fail_at(long n, bool from_then_on)
{
    (void)n;
    (void)from_then_on;
}

void mem_on_fail(void (*fn)(void))
{
    (void)fn;
}

long mem_alloc_count(void)
{
    return 0;
}

long mem_live_count(void)
{
    return 0;
}

static void count_live(long by)
{
    (void)by;
}

static bool must_fail(void)
{
    return false;
}
#endif

void *mem_realloc(void *p, size_t n)
{
    if (n == 0) n = 1;
    void *q = n > PTRDIFF_MAX || must_fail() ? NULL : hook ? hook(hook_ud, p, n) : realloc(p, n);
    if (!q) refused++;
    if (!p && q) count_live(1);
    return q;
}

/* ---- giving back ---- */
#define TIDY_GROWN ((size_t)4 << 20)     /* more resident and unused than after the last time */
#define TIDY_LARGEST ((size_t)256 << 20) /* heaps beyond belong to somebody else's work */

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
/* Bytes resident beside those in use on the heap: the program itself, and what was freed. */
static size_t unused(const struct mallinfo2 *m)
{
    unsigned long all = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%lu %lu", &all, &pages) != 2) pages = 0;
    if (f) fclose(f);
    size_t bytes = pages * (size_t)sysconf(_SC_PAGESIZE);
    return bytes > m->uordblks ? bytes - m->uordblks : 0;
}

void mem_tidy(void)
{
    static atomic_size_t left; /* what could not be given back */
    if (hook) return;
    struct mallinfo2 m = mallinfo2();
    if (m.arena > TIDY_LARGEST || unused(&m) < atomic_load(&left) + TIDY_GROWN) return;
    malloc_trim(0);
    m = mallinfo2();
    atomic_store(&left, unused(&m));
}
#else
void mem_tidy(void) {}
#endif

void *mem_alloc(size_t n)
{
    return mem_realloc(NULL, n);
}

void *mem_zalloc(size_t n)
{
    void *p = mem_alloc(n);
    if (p) memset(p, 0, n ? n : 1);
    return p;
}

void mem_free(void *p)
{
    if (!p) return;
    count_live(-1);
    if (hook) {
        hook(hook_ud, p, 0);
        return;
    }
    free(p);
}

void *mem_dup(const void *p, size_t n)
{
    void *q = mem_alloc(n);
    if (q && n) memcpy(q, p, n);
    return q;
}
