/* The hash table and the ids with generations. Entries are chained per slot and linked in insertion
 * order; the table doubles when it is as full as it has slots. */
#include "base/map.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

#include <assert.h>

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_free(struct map *m)
{
    struct map_entry *e = m->first;
    while (e) {
        struct map_entry *next = e->next;
        mem_free(e);
        e = next;
    }
    mem_free(m->slots);
    map_init(m);
}

static struct map_entry **slot_of(const struct map *m, struct str key)
{
    uint64_t h = hash_fnv(key);
    return &m->slots[(h ^ h >> 32) & (m->cap - 1)];
}

/* Where the pointer to key's entry is (or would be, at the end of its chain). The table has slots.
 */
static struct map_entry **find(const struct map *m, struct str key)
{
    struct map_entry **at = slot_of(m, key);
    while (*at && !str_eq((*at)->key, key))
        at = &(*at)->chain;
    return at;
}

void *map_get(const struct map *m, struct str key)
{
    if (m->n == 0) return NULL;
    struct map_entry *e = *find(m, key);
    return e ? e->value : NULL;
}

static int grow(struct map *m)
{
    size_t cap = m->cap ? m->cap * 2 : 8;
    struct map_entry **slots = mem_zalloc(cap * sizeof *slots);
    if (!slots) return ERR_NOMEM;
    mem_free(m->slots);
    m->slots = slots;
    m->cap = cap;
    for (struct map_entry *e = m->first; e; e = e->next) {
        struct map_entry **at = slot_of(m, e->key);
        e->chain = *at;
        *at = e;
    }
    return 0;
}

int map_set(struct map *m, struct str key, void *value)
{
    if (m->n >= m->cap && (!m->cap || !*find(m, key))) {
        int rc = grow(m);
        if (rc) return rc;
    }
    struct map_entry **at = find(m, key);
    if (*at) {
        (*at)->value = value;
        return 0;
    }
    struct map_entry *e = mem_alloc(sizeof *e + key.n + 1);
    if (!e) return ERR_NOMEM;
    char *copy = (char *)(e + 1);
    if (key.n) memcpy(copy, key.p, key.n);
    copy[key.n] = '\0';
    *e = (struct map_entry){.key = {copy, key.n}, .value = value, .prev = m->last};
    if (m->last)
        m->last->next = e;
    else
        m->first = e;
    m->last = e;
    *at = e;
    m->n++;
    return 0;
}

void *map_del(struct map *m, struct str key)
{
    if (m->n == 0) return NULL;
    struct map_entry **at = find(m, key), *e = *at;
    if (!e) return NULL;
    void *value = e->value;
    *at = e->chain;
    if (e->prev)
        e->prev->next = e->next;
    else
        m->first = e->next;
    if (e->next)
        e->next->prev = e->prev;
    else
        m->last = e->prev;
    m->n--;
    mem_free(e);
    return value;
}

/* ---- ids: the slot's number + 1 below, its generation above ---- */

struct idmap_slot {
    void *p;             /* NULL: free */
    uint32_t generation; /* of the id that is, or will be, given out */
    uint32_t next_free;  /* number + 1; 0: the last */
};

void idmap_init(struct idmap *m)
{
    *m = (struct idmap){0};
}

void idmap_free(struct idmap *m)
{
    mem_free(m->slots);
    idmap_init(m);
}

uint64_t idmap_add(struct idmap *m, void *p)
{
    assert(p);
    if (!m->free_head && m->n == m->cap) {
        if (m->cap > UINT32_MAX / 4) return 0;
        uint32_t cap = m->cap ? m->cap * 2 : 8;
        struct idmap_slot *slots = mem_realloc(m->slots, cap * sizeof *slots);
        if (!slots) return 0;
        m->slots = slots;
        m->cap = cap;
    }
    uint32_t i;
    if (m->free_head) {
        i = m->free_head - 1;
        m->free_head = m->slots[i].next_free;
    } else {
        i = m->n++;
        m->slots[i].generation = 1;
    }
    m->slots[i].p = p;
    return (uint64_t)m->slots[i].generation << 32 | (i + 1);
}

static struct idmap_slot *slot_by_id(const struct idmap *m, uint64_t id)
{
    uint32_t i = (uint32_t)id;
    if (i == 0 || i > m->n) return NULL;
    struct idmap_slot *s = &m->slots[i - 1];
    return s->p && s->generation == id >> 32 ? s : NULL;
}

void *idmap_get(const struct idmap *m, uint64_t id)
{
    struct idmap_slot *s = slot_by_id(m, id);
    return s ? s->p : NULL;
}

void *idmap_del(struct idmap *m, uint64_t id)
{
    struct idmap_slot *s = slot_by_id(m, id);
    if (!s) return NULL;
    void *p = s->p;
    s->p = NULL;
    if (++s->generation != 0) { /* a slot that has used up its generations is given out no more */
        s->next_free = m->free_head;
        m->free_head = (uint32_t)id;
    }
    return p;
}
