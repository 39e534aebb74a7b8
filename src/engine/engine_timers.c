/* Near timers: a heap of due times on the engine's clock, loaded in chunks from the pending rows;
 * attempts' own clocks; the sleeps of activities. An entry that is out of date fires nothing: who
 * takes the message looks again. It only delays what waits for the end; see engine_forget_stale.
 * All rows due at or before g->horizon (of driven runs) are in the heap; later ones are on disk. */
#include "engine/engine_internal.h"

static bool less(const struct heap_entry *a, const struct heap_entry *b)
{
    if (a->due != b->due) {
        return a->due < b->due;
    }
    return a->row != b->row ? a->row < b->row : a->id < b->id;
}

void eng_heap_free(struct heap *h)
{
    mem_free(h->e);
    memset(h, 0, sizeof *h);
}

int eng_heap_push(struct heap *h, struct heap_entry e)
{
    if (h->n == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 64;
        struct heap_entry *all = mem_realloc(h->e, cap * sizeof *all);
        if (!all) {
            return ERR_NOMEM;
        }
        h->e = all;
        h->cap = cap;
    }
    size_t i = h->n++;
    while (i > 0 && less(&e, &h->e[(i - 1) / 2])) {
        h->e[i] = h->e[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->e[i] = e;
    return 0;
}

struct heap_entry eng_heap_pop(struct heap *h)
{
    struct heap_entry top = h->e[0], last = h->e[--h->n];
    size_t i = 0;
    while (2 * i + 1 < h->n) {
        size_t c = 2 * i + 1;
        c += c + 1 < h->n && less(&h->e[c + 1], &h->e[c]);
        if (!less(&h->e[c], &last)) {
            break;
        }
        h->e[i] = h->e[c];
        i = c;
    }
    if (h->n) {
        h->e[i] = last;
    }
    return top;
}

/* Forgets what is in memory; the next look loads again. */
void eng_timers_reset(struct engine *g)
{
    g->wall.n = 0;
    g->horizon = INT64_MIN;
}

static int by_due(const void *a, const void *b)
{
    return less(a, b) ? -1 : less(b, a) ? 1 : 0;
}

/* Too many in memory: the far ones go back to being rows only. */
static void shrink(struct engine *g)
{
    qsort(g->wall.e, g->wall.n, sizeof *g->wall.e, by_due); /* a sorted array is a heap */
    size_t n = g->timers_max;
    while (n < g->wall.n && g->wall.e[n].due == g->wall.e[n - 1].due) {
        n++;
    }
    if (n < g->wall.n) {
        g->wall.n = n;
        g->horizon = g->wall.e[n - 1].due;
    }
}

void eng_timer_arm(struct engine *g, int kind, int64_t row, int64_t id, int64_t due)
{
    if (due <= g->horizon && g->wall.n >= 2 * g->timers_max) {
        shrink(g);
    }
    if (due > g->horizon) {
        return;
    }
    FAULT("engine.timer.arm");
    if (eng_heap_push(&g->wall, (struct heap_entry){due, row, id, kind, 0})) {
        eng_timers_reset(g);
    }
}

void eng_attempt_arm(struct engine *g, int64_t row, int64_t id, int attempt, int64_t due)
{
    if (eng_heap_push(&g->attempts, (struct heap_entry){due, row, id, PEND_ACTIVITY, attempt})) {
        eng_starved(g); /* eng_run_arm does it again */
    }
}

/* Loads the next chunk of due times behind the horizon. */
int eng_timers_load(struct engine *g, struct err *e)
{
    if (g->horizon == INT64_MAX || (!g->drive_all && !g->trees.n)) {
        return 0;
    }
    struct store_read *q = NULL;
    int rc = store_read_open(
        g->store, &q, e,
        "SELECT p.due, p.run, p.kind, p.id, r.tree FROM pending p JOIN runs r USING (run)"
        " WHERE p.due > ? ORDER BY p.due, p.run, p.kind, p.id",
        "i", g->horizon);
    size_t n = 0;
    int64_t last = g->horizon;
    while (rc == 0 && (rc = store_read_next(q)) == 1) {
        int64_t due = store_read_i64(q, 0);
        if (n >= g->timers_max && due != last) {
            break;
        }
        last = due;
        rc = 0;
        if (!g->drive_all && !map_get(&g->trees, store_read_str(q, 4))) {
            continue;
        }
        struct heap_entry x = {due, store_read_i64(q, 1), store_read_i64(q, 3),
                               (int)store_read_i64(q, 2), 0};
        rc = eng_heap_push(&g->wall, x);
        n++;
    }
    store_read_close(q);
    if (rc < 0) {
        return e->code ? rc : err_set(e, rc, "timers could not be loaded");
    }
    g->horizon = rc == 1 ? last : INT64_MAX;
    return 0;
}

static bool fire_sleeps(struct engine *g, struct heap *h, int64_t now)
{
    bool fired = false;
    while (h->n && h->e[0].due <= now) {
        struct heap_entry x = eng_heap_pop(h);
        uint64_t id = (uint64_t)x.id;
        struct sleeper *s = map_del(&g->sleepers, str_make(&id, sizeof id));
        if (s) {
            fired = true;
            g->n_idle -= s->idle;
            s->fn(s->ud);
            mem_free(s);
        }
    }
    return fired;
}

/* Turns what is due into messages. Returns whether anything was. */
bool eng_timers_fire(struct engine *g)
{
    struct err e = {0};
    if (!g->wall.n && g->horizon != INT64_MAX && eng_timers_load(g, &e)) {
        eng_sick(g, &e);
        return false;
    }
    int64_t now = engine_now(g), attempt_now = eng_attempt_now(g);
    bool fired = fire_sleeps(g, &g->sleeps, now);
    fired = fire_sleeps(g, &g->limits, attempt_now) || fired;
    while (g->wall.n && g->wall.e[0].due <= now) {
        struct msg *m = eng_msg(g, M_TIMER);
        if (!m) {
            return fired;
        }
        struct heap_entry x = eng_heap_pop(&g->wall);
        FAULT("engine.timer");
        m->row = x.row;
        m->id = x.id;
        m->sub = x.kind;
        m->retry = true;
        eng_post(g, m);
        fired = true;
    }
    while (g->attempts.n && g->attempts.e[0].due <= attempt_now) {
        struct msg *m = eng_msg(g, M_TICK);
        if (!m) {
            return fired;
        }
        struct heap_entry x = eng_heap_pop(&g->attempts);
        m->row = x.row;
        m->id = x.id;
        m->attempt = x.attempt;
        m->retry = true;
        eng_post(g, m);
        fired = true;
    }
    return fired;
}

/* An attempt's clock entry is only of interest while that attempt runs. */
static bool attempt_lives(struct engine *g, const struct heap_entry *x)
{
    struct run *r = map_get(&g->runs, map_i64(&x->row));
    struct pend *p = r ? eng_pend(r, PEND_ACTIVITY, x->id) : NULL;
    return p && p->attempt == x->attempt && (p->state == AT_RUNNING || p->state == AT_ASYNC);
}

void engine_forget_stale(struct engine *g)
{
    while (g->wall.n) {
        const struct heap_entry *x = &g->wall.e[0];
        struct store_read *q = NULL;
        struct err e = {0};
        int rc = store_read_open(
            g->store, &q, &e,
            "SELECT 1 FROM pending WHERE due = ? AND run = ? AND kind = ? AND id = ?", "iiii",
            x->due, x->row, (int64_t)x->kind, x->id);
        rc = rc ? rc : store_read_next(q);
        store_read_close(q);
        if (rc != 0) { /* it is there, or nobody knows */
            return;
        }
        eng_heap_pop(&g->wall);
    }
}

/* How long until something is due that counts real time and jumps: INT64_MAX when nothing is. */
int64_t eng_attempts_wait(struct engine *g)
{
    int64_t due = g->attempts.n ? g->attempts.e[0].due : INT64_MAX;
    if (g->limits.n && g->limits.e[0].due < due) {
        due = g->limits.e[0].due;
    }
    return due == INT64_MAX ? due : due - eng_attempt_now(g);
}

/* Those that were cancelled go from the top. */
static void drop_cancelled(struct engine *g, struct heap *h)
{
    while (h->n) {
        uint64_t id = (uint64_t)h->e[0].id;
        if (map_get(&g->sleepers, str_make(&id, sizeof id))) {
            break;
        }
        eng_heap_pop(h);
    }
}

/* Engine time of the next due thing, -1 when there is none. */
int64_t eng_timers_next(struct engine *g)
{
    struct err e = {0};
    if (!g->wall.n && g->horizon != INT64_MAX && eng_timers_load(g, &e)) {
        eng_sick(g, &e);
        return -1;
    }
    int64_t next = g->wall.n ? g->wall.e[0].due : -1;
    drop_cancelled(g, &g->sleeps);
    drop_cancelled(g, &g->limits);
    if (g->sleeps.n && (next < 0 || g->sleeps.e[0].due < next)) {
        next = g->sleeps.e[0].due;
    }
    while (g->attempts.n && !attempt_lives(g, &g->attempts.e[0])) {
        eng_heap_pop(&g->attempts);
    }
    int64_t wait = eng_attempts_wait(g);
    if (wait != INT64_MAX) {
        int64_t at = engine_now(g) + (wait > 0 ? wait : 0);
        next = next < 0 || at < next ? at : next;
    }
    return next;
}
