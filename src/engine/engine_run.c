/* Runs in memory: making, finding, forgetting, and their pending things. A run is loaded from its
 * rows on demand (engine_load.c), kept in a least-recently-used list, and may be dropped whenever
 * nothing holds it (run_pinned). */
#include "engine/engine_internal.h"

struct pend_key {
    int64_t kind, id;
};

struct pend *eng_pend(struct run *r, int kind, int64_t id)
{
    struct pend_key k = {kind, id};
    return map_get(&r->pends, str_make(&k, sizeof k));
}

struct pend *eng_pend_named(struct run *r, int kind, struct str name)
{
    for (struct map_entry *e = r->pends.first; e; e = e->next) {
        struct pend *p = e->value;
        if (p->kind == kind && str_eq(p->name, name)) {
            return p;
        }
    }
    return NULL;
}

/* A new pending thing, entered; NULL out of memory. The caller fills it and writes its row
 * (eng_pend_write). There is never one already: where it seems so, the events of this transition
 * got no memory for their ids, and all of it will be thrown away. */
struct pend *eng_pend_new(struct run *r, int kind, int64_t id)
{
    struct pend_key k = {kind, id};
    struct pend *p = map_get(&r->pends, str_make(&k, sizeof k)) ? NULL : mem_zalloc(sizeof *p);
    if (!p) {
        return NULL;
    }
    p->kind = kind;
    p->id = id;
    arena_init(&p->arena, 0);
    if (map_set(&r->pends, str_make(&k, sizeof k), p)) {
        mem_free(p);
        return NULL;
    }
    return p;
}

static void pend_free(struct pend *p)
{
    arena_free(&p->arena);
    mem_free(p->failure.p);
    mem_free(p->details.p);
    mem_free(p);
}

void eng_pend_drop(struct run *r, struct pend *p)
{
    struct pend_key k = {p->kind, p->id};
    map_del(&r->pends, str_make(&k, sizeof k));
    pend_free(p);
}

size_t eng_pend_count(struct run *r, int kind)
{
    size_t n = 0;
    for (struct map_entry *e = r->pends.first; e; e = e->next) {
        n += ((struct pend *)e->value)->kind == kind;
    }
    return n;
}

bool eng_bytes_set(struct bytes *b, struct str s)
{
    char *p = s.n ? mem_dup(s.p, s.n) : NULL;
    if (s.n && !p) {
        return false;
    }
    mem_free(b->p);
    *b = (struct bytes){p, s.n};
    return true;
}

void eng_chunk_free(struct chunk *c)
{
    if (!c) {
        return;
    }
    for (struct msg *m = c->adopted; m;) {
        struct msg *next = m->next;
        eng_msg_free(m);
        m = next;
    }
    arena_free(&c->arena);
    mem_free(c->events);
    mem_free(c);
}

/* Frees the chunks whose events the worker has answered for. */
void eng_run_trim(struct run *r)
{
    while (r->chunks) {
        struct chunk *c = r->chunks;
        if (c->n && event_id(c->events[c->n - 1]) > r->done) {
            r->recent_first = event_id(c->events[0]);
            return;
        }
        r->chunks = c->next;
        eng_chunk_free(c);
    }
    r->chunks_last = NULL;
    r->recent_first = r->next_id;
}

/* A run object with nothing but its identity; not entered into the tables yet. */
struct run *eng_run_new(struct engine *g, int64_t row, struct str workflow_id, struct str run_id)
{
    struct run *r = mem_zalloc(sizeof *r);
    if (!r) {
        return NULL;
    }
    r->g = g;
    r->row = row;
    arena_init(&r->arena, 0);
    map_init(&r->pends);
    r->workflow_id = arena_str(&r->arena, workflow_id);
    r->run_id = arena_str(&r->arena, run_id);
    r->status = RUN_RUNNING;
    r->next_id = r->recent_first = 1;
    r->next_buffered = 1;
    r->attempt_of_run = 1;
    if (arena_failed(&r->arena)) {
        eng_run_free(r);
        return NULL;
    }
    return r;
}

static void lru_unlink(struct engine *g, struct run *r)
{
    if (r->lru_prev) {
        r->lru_prev->lru_next = r->lru_next;
    } else if (g->lru_first == r) {
        g->lru_first = r->lru_next;
    }
    if (r->lru_next) {
        r->lru_next->lru_prev = r->lru_prev;
    } else if (g->lru_last == r) {
        g->lru_last = r->lru_prev;
    }
    r->lru_prev = r->lru_next = NULL;
}

void eng_run_touch(struct engine *g, struct run *r)
{
    r->touched = g->turns;
    if (g->lru_last == r) {
        return;
    }
    lru_unlink(g, r);
    r->lru_prev = g->lru_last;
    if (g->lru_last) {
        g->lru_last->lru_next = r;
    } else {
        g->lru_first = r;
    }
    g->lru_last = r;
}

int eng_run_enter(struct engine *g, struct run *r)
{
    struct run *other = map_get(&g->by_wid, r->workflow_id);
    if (map_set(&g->runs, map_i64(&r->row), r) || map_set(&g->by_run_id, r->run_id, r) ||
        ((!other || other->row < r->row) && map_set(&g->by_wid, r->workflow_id, r))) {
        map_del(&g->runs, map_i64(&r->row));
        map_del(&g->by_run_id, r->run_id);
        return ERR_NOMEM;
    }
    eng_run_touch(g, r);
    return 0;
}

/* Frees the object; whoever waits on it must have been answered. */
void eng_run_free(struct run *r)
{
    if (!r) {
        return;
    }
    while (r->pends.first) {
        eng_pend_drop(r, r->pends.first->value);
    }
    map_free(&r->pends);
    eng_queries_fail(r, ERR_CLOSED, "the engine is closing");
    eng_updates_fail(r, ERR_CLOSED, "the engine is closing");
    while (r->chunks) {
        struct chunk *c = r->chunks;
        r->chunks = c->next;
        eng_chunk_free(c);
    }
    while (r->inbox) {
        struct msg *m = r->inbox;
        r->inbox = m->next;
        eng_msg_free(m);
    }
    mem_free(r->blocked);
    mem_free(r->waits);
    mem_free(r->memo.p);
    mem_free(r->search.p);
    arena_free(&r->arena);
    mem_free(r);
}

/* Takes the run out of the tables and frees it. */
void eng_run_forget(struct engine *g, struct run *r)
{
    map_del(&g->runs, map_i64(&r->row));
    map_del(&g->by_run_id, r->run_id);
    if (map_get(&g->by_wid, r->workflow_id) == r) {
        map_del(&g->by_wid, r->workflow_id);
    }
    lru_unlink(g, r);
    if (r->status != RUN_RUNNING || r->gone) {
        eng_ready_drop(r);
    }
    if (r->wft_out) {
        g->wfts_out--;
    }
    eng_run_free(r);
}

static bool run_pinned(const struct run *r)
{
    if (r->txn || r->inbox || r->wft_out || r->queries || r->updates) {
        return true;
    }
    for (struct map_entry *e = r->pends.first; e; e = e->next) {
        const struct pend *p = e->value;
        if (p->kind == PEND_ACTIVITY && (p->state == AT_RUNNING || p->state == AT_ASYNC)) {
            return true;
        }
    }
    return false;
}

/* Whether a run that sleeps till then does so for long: so long that reading its history again and
 * replaying it (some 10 us an event) is next to nothing beside it. */
bool eng_far(const struct run *r, int64_t due)
{
    struct engine *g = r->g;
    int64_t far = g->far_ns;
    if (!far) {
        if (g->mode == ENGINE_CLOCK_VIRTUAL) {
            return false;
        }
        far = ENG_FAR_NS;
    }
    return time_minus(due, engine_now(g)) >= far + far / 1000 * r->next_id;
}

size_t engine_cached_runs(const struct engine *g)
{
    return g->runs.n;
}

/* Of the runs that this turn used, those that sleep for long are forgotten; and of all, those used
 * least when there are too many. */
void eng_run_shrink(struct engine *g)
{
    for (struct run *r = g->lru_last, *before; r && r->touched == g->turns; r = before) {
        before = r->lru_prev;
        if (r->sleeps && !r->sched && !r->want_wft && !run_pinned(r)) {
            eng_run_forget(g, r);
        }
    }
    g->turns++;
    struct run *r = g->lru_first;
    while (g->runs.n > g->runs_max && r) {
        struct run *next = r->lru_next;
        if (!run_pinned(r)) {
            eng_run_forget(g, r);
        }
        r = next;
    }
}

/* What must be taken up again of a run that was just loaded, or is driven from now on. Doing it
 * twice is harmless. */
void eng_run_arm(struct run *r, bool at_open)
{
    struct engine *g = r->g;
    if (r->status != RUN_RUNNING || !eng_driven(g, r)) {
        return;
    }
    if (r->sched && !r->wft_out && !r->blocked) {
        eng_ready_run(r, &g->ready_wft);
    }
    int64_t now = eng_attempt_now(g), wall = engine_now(g);
    for (struct map_entry *e = r->pends.first; e; e = e->next) {
        struct pend *p = e->value;
        if (p->kind != PEND_ACTIVITY) {
            continue;
        }
        if (p->state == AT_WAITING) {
            eng_ready_add(g, &g->ready_act, r->row, p->id);
        } else if (p->state == AT_RUNNING && p->epoch != g->epoch) {
            struct msg *m = eng_msg(g, M_ACT_LOST);
            if (m) {
                m->row = r->row;
                m->id = p->id;
                m->attempt = p->attempt;
                eng_post(g, m);
            }
        } else if ((p->state == AT_RUNNING || p->state == AT_ASYNC) && at_open) {
            int64_t spent = wall > p->at ? wall - p->at : 0;
            p->t_start = p->t_beat = now - spent;
            p->unpushed = p->state == AT_RUNNING && !eng_attempt_out(r, p);
            eng_attempt_arm(g, r->row, p->id, p->attempt, now);
        }
        if (p->unpushed) {
            g->slots_act -= g->slots_act > 0;
            eng_push_activity(g, r, p->id);
        }
    }
}
