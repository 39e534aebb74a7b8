/* The one allocator. Every allocation of the process passes mem_realloc(), so that a host's hook
 * sees all of them and the test port can make any one fail. Safe from several threads; the hook is
 * set before they start. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

static mem_hook_fn hook;
static void *hook_ud;

void mem_set_hook(mem_hook_fn fn, void *ud)
{
    hook = fn;
    hook_ud = ud;
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
static atomic_long fail_at; /* the count that fails; 0: none */
static atomic_bool fail_on; /* and all after it */

void mem_fail_at(long n, bool from_then_on)
{
    atomic_store(&fail_at, 0);
    atomic_store(&fail_on, from_then_on);
    if (n > 0) atomic_store(&fail_at, atomic_load(&count) + n);
}

long mem_alloc_count(void)
{
    return atomic_load(&count);
}

static bool must_fail(void)
{
    long now = atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) + 1;
    long at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    if (at == 0 || now < at) return false;
    return now == at || atomic_load_explicit(&fail_on, memory_order_relaxed);
}
#else
void mem_fail_at(long n, bool from_then_on)
{
    (void)n;
    (void)from_then_on;
}

long mem_alloc_count(void)
{
    return 0;
}

static bool must_fail(void)
{
    return false;
}
#endif

void *mem_realloc(void *p, size_t n)
{
    if (n == 0) n = 1;
    if (n > PTRDIFF_MAX || must_fail()) return NULL;
    return hook ? hook(hook_ud, p, n) : realloc(p, n);
}

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
