/* Tables in insertion order, and ids that stay stale. */
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "check.h"

static int things[4096];

static void test_order(void)
{
    CASE("map keeps insertion order");
    struct map m;
    map_init(&m);
    CHECK(map_get(&m, STR("a")) == NULL && map_del(&m, STR("a")) == NULL);
    for (int64_t i = 0; i < 4096; i++)
        CHECK_INT(map_set(&m, map_i64(&i), &things[i]), 0);
    for (int64_t i = 0; i < 4096; i += 3)
        CHECK(map_del(&m, map_i64(&i)) == &things[i]);
    int64_t again = 300;
    CHECK_INT(map_set(&m, map_i64(&again), &things[300]), 0); /* goes to the end */
    again = 1;
    CHECK_INT(map_set(&m, map_i64(&again), &things[2]), 0); /* stays where it was */
    int64_t want = 1;
    size_t n = 0;
    for (struct map_entry *e = m.first; e; e = e->next, n++) {
        int64_t key;
        memcpy(&key, e->key.p, sizeof key);
        if (e == m.last) {
            CHECK_INT(key, 300);
            break;
        }
        CHECK_INT(key, want);
        CHECK(e->value == &things[key == 1 ? 2 : key]);
        want += want % 3 == 2 ? 2 : 1;
    }
    CHECK_INT(n + 1, m.n);
    map_free(&m);
    CHECK(m.n == 0 && m.first == NULL);
    CHECK_INT(map_set(&m, STR("text"), &things[0]), 0);
    CHECK(map_get(&m, STR("text")) == &things[0] && map_get(&m, STR("tex")) == NULL &&
          map_get(&m, STR("")) == NULL);
    CHECK_INT(map_set(&m, STR(""), &things[1]), 0);
    CHECK(map_get(&m, STR("")) == &things[1]);
    CHECK(map_del(&m, STR("text")) == &things[0] && map_del(&m, STR("text")) == NULL && m.n == 1);
    map_free(&m);
}

static void test_map_failure(void)
{
    CASE("map without memory");
    struct map m;
    map_init(&m);
    for (int64_t i = 0; i < 64; i++) {
        mem_fail_at(1, true);
        int rc = map_set(&m, map_i64(&i), &things[i]);
        mem_fail_at(0, false);
        CHECK_INT(rc, ERR_NOMEM);
        mem_fail_at(2, false); /* the second one of growing and adding */
        rc = map_set(&m, map_i64(&i), &things[i]);
        mem_fail_at(0, false);
        if (rc) CHECK_INT(map_set(&m, map_i64(&i), &things[i]), 0);
        CHECK_INT(m.n, i + 1);
        for (int64_t k = 0; k <= i; k++)
            CHECK(map_get(&m, map_i64(&k)) == &things[k]);
    }
    map_free(&m);
}

static void test_ids(void)
{
    CASE("ids are stale once freed");
    struct idmap m;
    idmap_init(&m);
    CHECK(idmap_get(&m, 0) == NULL && idmap_get(&m, 1) == NULL &&
          idmap_del(&m, UINT64_C(1) << 32 | 1) == NULL);
    uint64_t a = idmap_add(&m, &things[0]);
    CHECK(a != 0 && idmap_get(&m, a) == &things[0]);
    CHECK(idmap_del(&m, a) == &things[0] && idmap_get(&m, a) == NULL && idmap_del(&m, a) == NULL);
    uint64_t b = idmap_add(&m, &things[1]);
    CHECK(b != a && (uint32_t)b == (uint32_t)a && idmap_get(&m, a) == NULL &&
          idmap_get(&m, b) == &things[1]);
    static uint64_t live[4096], dead[20000];
    size_t n_live = 0, n_dead = 0;
    struct rng r;
    rng_seed(&r, STR("ids"));
    while (n_dead < 20000) {
        if (n_live < 4096 && (n_live == 0 || rng_below(&r, 100) < 52)) {
            live[n_live] = idmap_add(&m, &things[n_live]);
            CHECK(live[n_live] != 0);
            n_live++;
        } else {
            n_live--;
            CHECK(idmap_del(&m, live[n_live]) == &things[n_live]);
            dead[n_dead++] = live[n_live];
        }
    }
    for (size_t i = 0; i < n_live; i++)
        CHECK(idmap_get(&m, live[i]) == &things[i]);
    for (size_t i = 0; i < n_dead; i++)
        CHECK(idmap_get(&m, dead[i]) == NULL);
    idmap_free(&m);
    mem_fail_at(1, false);
    CHECK(idmap_add(&m, &things[0]) == 0);
    mem_fail_at(0, false);
    CHECK(idmap_add(&m, &things[0]) != 0);
    idmap_free(&m);
}

int main(void)
{
    test_order();
    test_map_failure();
    test_ids();
    return CHECK_DONE();
}
