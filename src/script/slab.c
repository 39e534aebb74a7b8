/* Pages are cut from front to back; what is freed goes on the list of its size. A large thing is a
 * page too, but on no list: when it must become small and there is no memory for a copy, it is put
 * there and stays where it is. Used by the sandbox only, on the loop's thread. Under the address
 * sanitizer each thing is large, so that running over its end is found. */
#include "script/slab.h"

#include <stddef.h>
#include <string.h>

#define PAGE_FIRST (8u << 10)
#define PAGE_LARGEST (64u << 10)

struct slab_page {
    struct slab_page *next;
    _Alignas(SLAB_ALIGN) char data[];
};

#if defined(__SANITIZE_ADDRESS__)
enum { PLAIN = 1 };
#else
enum { PLAIN = 0 };
#endif

static bool is_small(size_t n)
{
    return !PLAIN && n <= SLAB_LARGEST;
}

static size_t units(size_t n)
{
    return (n + SLAB_ALIGN - 1) / SLAB_ALIGN;
}

static void put_back(struct slab *s, void *p, size_t u)
{
    *(void **)p = s->free[u];
    s->free[u] = p;
}

/* A page for at least one thing of any size; the rest of the page before it stays in use. */
static bool more(struct slab *s)
{
    size_t cap = s->bytes / 4 < PAGE_FIRST ? PAGE_FIRST : s->bytes / 4;
    if (cap > PAGE_LARGEST) {
        cap = PAGE_LARGEST;
    }
    cap = (cap - 32 - sizeof(struct slab_page)) & ~(size_t)(SLAB_ALIGN - 1); /* malloc's own word */
    if (s->pages_max && cap > s->pages_max - s->bytes) {
        return false;
    }
    struct slab_page *page = mem_alloc(sizeof *page + cap);
    if (!page) {
        return false;
    }
    size_t left = (size_t)(s->end - s->at) / SLAB_ALIGN;
    if (left) {
        put_back(s, s->at, left);
    }
    page->next = s->pages;
    s->pages = page;
    s->at = page->data;
    s->end = page->data + cap;
    s->bytes += cap;
    return true;
}

static void *take(struct slab *s, size_t n)
{
    size_t u = units(n);
    void *p = s->free[u];
    if (p) {
        s->free[u] = *(void **)p;
        return p;
    }
    if ((size_t)(s->end - s->at) < u * SLAB_ALIGN && !more(s)) {
        return NULL;
    }
    p = s->at;
    s->at += u * SLAB_ALIGN;
    return p;
}

static void *data_of(struct slab_page *page)
{
    return page ? page->data : NULL;
}

static struct slab_page *page_of(void *p)
{
    return (struct slab_page *)((char *)p - offsetof(struct slab_page, data));
}

static void *make_large(size_t n)
{
    return n < SIZE_MAX - sizeof(struct slab_page)
               ? data_of(mem_alloc(sizeof(struct slab_page) + n))
               : NULL;
}

void slab_free(struct slab *s, void *p, size_t n)
{
    if (!p) {
        return;
    }
    if (!is_small(n)) {
        mem_free(page_of(p));
    } else if (!s->closing) {
        put_back(s, p, units(n));
    }
}

void *slab_realloc(struct slab *s, void *p, size_t old, size_t n)
{
    bool small = is_small(n), was_small = p && is_small(old);
    if (p && !was_small && !small) {
        void *q = n < SIZE_MAX - sizeof(struct slab_page)
                      ? data_of(mem_realloc(page_of(p), sizeof(struct slab_page) + n))
                      : NULL;
        return q ? q : n <= old ? p : NULL;
    }
    if (was_small && small && units(old) == units(n)) {
        return p;
    }
    void *q = small ? take(s, n) : make_large(n);
    if (!q && p && n <= old) {
        if (!was_small) {
            page_of(p)->next = s->pages;
            s->pages = page_of(p);
        }
        return p;
    }
    if (!q) {
        return NULL;
    }
    if (p) {
        memcpy(q, p, old < n ? old : n);
        slab_free(s, p, old);
    }
    return q;
}

void slab_close(struct slab *s)
{
    while (s->pages) {
        struct slab_page *next = s->pages->next;
        mem_free(s->pages);
        s->pages = next;
    }
    *s = (struct slab){.pages_max = s->pages_max};
}
