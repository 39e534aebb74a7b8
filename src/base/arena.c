/* Arenas: things freed together. Blocks double up to 64 KiB; a large thing gets a block of its own
 * behind the current one, so the room left in that is not lost. Under the address sanitizer the
 * bytes between two things are poisoned, so running over the end of one is found as it is for
 * malloc. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n) __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#define GAP 16
#else
#define POISON(p, n) ((void)0)
#define UNPOISON(p, n) ((void)0)
#define GAP 0
#endif

#define ARENA_ALIGN 16
#define ARENA_FIRST 1008 /* with the header 1 KiB */
#define ARENA_GROWN 65520
#define ARENA_MAX_DEFAULT ((size_t)1 << 30)

struct arena_block {
    struct arena_block *next;
    uint32_t cap, used;
    _Alignas(ARENA_ALIGN) char data[];
};

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){.max = max ? max : ARENA_MAX_DEFAULT};
}

void arena_free(struct arena *a)
{
    struct arena_block *b = a->head;
    while (b) {
        struct arena_block *next = b->next;
        UNPOISON(b->data, b->cap);
        mem_free(b);
        b = next;
    }
    arena_init(a, a->max);
}

void arena_adopt(struct arena *to, struct arena *from)
{
    size_t max = to->max ? to->max : ARENA_MAX_DEFAULT;
    struct arena_block *last = from->head;
    while (last && last->next)
        last = last->next;
    if (last && to->head) { /* behind the block in use, so the room left in that is not lost */
        last->next = to->head->next;
        to->head->next = from->head;
    } else if (last) {
        to->head = from->head;
    }
    to->failed = to->failed || from->failed || from->used > max || max - from->used < to->used;
    to->used += from->used;
    from->head = NULL;
    arena_init(from, from->max);
}

static struct arena_block *block_new(struct arena *a, size_t cap)
{
    struct arena_block *b = mem_alloc(sizeof *b + cap);
    if (!b) {
        a->failed = true;
        return NULL;
    }
    b->next = NULL;
    b->cap = (uint32_t)cap;
    b->used = 0;
    POISON(b->data, cap);
    return b;
}

static void *take_slow(struct arena *a, size_t n)
{
    size_t max = a->max ? a->max : ARENA_MAX_DEFAULT;
    if (a->failed) return NULL;
    if (n > max || max - n < a->used || n > UINT32_MAX - 2 * ARENA_ALIGN - GAP) {
        a->failed = true;
        return NULL;
    }
    size_t need = ((n ? n : 1) + GAP + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_block *b = a->head;
    if (!b || b->cap - b->used < need) {
        size_t cap = b ? (size_t)b->cap * 2 + ARENA_ALIGN : ARENA_FIRST;
        if (cap < ARENA_FIRST) cap = ARENA_FIRST;
        if (cap > ARENA_GROWN) cap = ARENA_GROWN;
        bool own = need > cap / 4;
        struct arena_block *fresh = block_new(a, own ? need : cap);
        if (!fresh) return NULL;
        if (b && own) { /* full at once: stays behind the block in use */
            fresh->next = b->next;
            b->next = fresh;
        } else {
            fresh->next = b;
            a->head = fresh;
        }
        b = fresh;
    }
    char *p = b->data + b->used;
    b->used += (uint32_t)need;
    a->used += n;
    UNPOISON(p, n ? n : 1);
    return p;
}

/* n bytes, not cleared. NULL on failure, which sticks. */
static inline void *take(struct arena *a, size_t n)
{
    struct arena_block *b = a->head;
    size_t need = (n + GAP + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (b && n && n < ARENA_FIRST && b->cap - b->used >= need && !a->failed &&
        a->used + n <= a->max) {
        char *p = b->data + b->used;
        b->used += (uint32_t)need;
        a->used += n;
        UNPOISON(p, n);
        return p;
    }
    return take_slow(a, n);
}

void *arena_take(struct arena *a, size_t n)
{
    return take(a, n);
}

void *arena_alloc(struct arena *a, size_t n)
{
    void *p = take(a, n);
    if (p) memset(p, 0, n ? n : 1);
    return p;
}

struct str arena_str(struct arena *a, struct str s)
{
    if (!s.p) return (struct str){NULL, 0};
    char *p = s.n < SIZE_MAX ? take(a, s.n + 1) : NULL;
    if (!p) return (struct str){NULL, 0};
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (struct str){p, s.n};
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    char small[200]; /* most fit: formatted once */
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : take(a, (size_t)n + 1);
    if (!p) {
        a->failed = true;
        return (struct str){NULL, 0};
    }
    if ((size_t)n < sizeof small) {
        memcpy(p, small, (size_t)n + 1);
        return (struct str){p, (size_t)n};
    }
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return (struct str){p, (size_t)n};
}
