/* A hash table from byte strings or 64-bit numbers to pointers, and ids with generations.
 * Iteration is in insertion order, so no order ever depends on addresses or hashes. */
#ifndef ML_BASE_MAP_H
#define ML_BASE_MAP_H
#include "base/str.h"

struct map_entry {
    struct str key;                /* copied and owned by the map */
    void *value;                   /* borrowed */
    struct map_entry *prev, *next; /* insertion order */
    struct map_entry *chain;
};
struct map {
    struct map_entry **slots;
    size_t n, cap;
    struct map_entry *first, *last;
};
void map_init(struct map *m);
void map_free(struct map *m); /* frees the table, not the values */
void *map_get(const struct map *m, struct str key);
int map_set(struct map *m, struct str key, void *value); /* 0 or ERR_NOMEM; replaces in place */
void *map_del(struct map *m, struct str key);            /* the value that was there, or NULL */
static inline struct str map_i64(const int64_t *k)
{
    return (struct str){(const char *)k, sizeof *k};
}

/* Ids instead of pointers across asynchronous gaps: an id is stale for ever once its slot is freed.
 * 0 is never an id. */
struct idmap {
    struct idmap_slot *slots;
    uint32_t n, cap, free_head;
};
void idmap_init(struct idmap *m);
void idmap_free(struct idmap *m);
uint64_t idmap_add(struct idmap *m, void *p); /* 0 when out of memory */
void *idmap_get(const struct idmap *m, uint64_t id);
void *idmap_del(struct idmap *m, uint64_t id);

#endif
