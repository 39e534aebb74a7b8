/* Memory of a Lua state: contents survive whatever moves, sizes change places, nothing is left. */
#include "check.h"
#include "script/slab.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static long blocks, refuse_after = -1;
static void *count(void *ud, void *p, size_t n)
{
    (void)ud;
    if (n == 0) {
        blocks -= p != NULL;
        free(p);
        return NULL;
    }
    if (refuse_after == 0) return NULL;
    if (refuse_after > 0) refuse_after--;
    void *q = realloc(p, n);
    blocks += !p && q;
    return q;
}

#define THINGS 600
struct thing {
    unsigned char *p;
    size_t n;
    unsigned char mark;
};
static struct thing things[THINGS];

static void fill(struct thing *t, size_t from)
{
    memset(t->p + from, t->mark, t->n - from);
}

static bool whole(const struct thing *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (t->p[i] != t->mark) return false;
    return true;
}

static uint32_t x = 7;
static uint32_t chance(uint32_t n)
{
    x = x * 1664525 + 1013904223;
    return (x >> 8) % n;
}

static size_t size(void)
{
    uint32_t k = chance(20);
    return k < 16 ? 1 + chance(200) : k < 19 ? 1 + chance(1200) : 1 + chance(20000);
}

static void storm(bool refusing)
{
    CASE(refusing ? "memory is refused again and again" : "things come, go and change their size");
    struct slab s = {0};
    int failed = 0;
    for (int i = 0; i < 60000; i++) {
        if (refusing) refuse_after = i % 500 < 250 ? 0 : -1;
        struct thing *t = &things[chance(THINGS)];
        if (!t->p) {
            size_t n = size();
            unsigned char *p = slab_realloc(&s, NULL, 0, n);
            failed += !p;
            if (!p) continue;
            CHECK((uintptr_t)p % SLAB_ALIGN == 0);
            *t = (struct thing){p, n, (unsigned char)i};
            fill(t, 0);
        } else if (chance(2)) {
            CHECK(whole(t, t->n));
            slab_free(&s, t->p, t->n);
            t->p = NULL;
        } else {
            size_t n = size(), old = t->n;
            unsigned char *p = slab_realloc(&s, t->p, old, n);
            CHECK(p || n > old); /* shrinking never fails */
            failed += !p;
            if (!p) {
                CHECK(whole(t, t->n));
                continue;
            }
            t->p = p;
            t->n = n;
            CHECK(whole(t, old < n ? old : n));
            if (n > old) fill(t, old);
        }
    }
    refuse_after = -1;
    CHECK(refusing ? failed > 100 : failed == 0);
    s.closing = true;
    for (int i = 0; i < THINGS; i++) {
        if (things[i].p) {
            CHECK(whole(&things[i], things[i].n));
            slab_free(&s, things[i].p, things[i].n);
        }
        things[i].p = NULL;
    }
    slab_close(&s);
    CHECK_INT(blocks, 0);
    CHECK_INT(s.bytes, 0);
}

static void bounded(void)
{
    CASE("pages end at their limit, and what was freed serves things of its size again");
    struct slab s = {.pages_max = 100000};
    void *first = NULL;
    int n = 0;
    for (void *p; n < 100000 && (p = slab_realloc(&s, NULL, 0, 32)); n++) {
        *(void **)p = first;
        first = p;
    }
#if !defined(__SANITIZE_ADDRESS__)
    CHECK(n > 2000 && n <= 100000 / 32);
    CHECK(s.bytes <= 100000);
#endif
    for (void *p = first, *next; p; p = next) {
        next = *(void **)p;
        slab_free(&s, p, 32);
    }
    size_t before = s.bytes;
    first = NULL;
    for (int i = 0; i < n; i++) {
        void *p = slab_realloc(&s, NULL, 0, 20);
        CHECK(p != NULL);
        if (!p) break;
        *(void **)p = first;
        first = p;
    }
    CHECK_INT(s.bytes, before);
    for (void *p = first, *next; p; p = next) {
        next = *(void **)p;
        slab_free(&s, p, 20);
    }
    slab_close(&s);
    CHECK_INT(blocks, 0);
}

int main(void)
{
    mem_set_hook(count, NULL);
    storm(false);
    storm(true);
    bounded();
    return CHECK_DONE();
}
