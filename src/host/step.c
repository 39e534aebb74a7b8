/* Running: what is due within a budget, waiting, stopping, and the jumps of virtual time, which
 * happen only when nothing is in flight. Called by the embedding program's thread. */
#include "base/mem.h"
#include "host/host_internal.h"

#define RUN_BUDGET_NS (10 * NS_PER_MS)
#define IDLE_PASSES 3
#define QUIET_NS NS_PER_S
#define BUDGET_MAX_NS (3600 * NS_PER_S) /* INT64_MAX is a budget too */

/* Nothing is being done right now; only then may virtual time jump. */
static bool quiet(ml_host *h)
{
    return !worker_busy(h->worker) && (!h->store || store_idle(h->store)) && !h->loads &&
           !h->programs;
}

/* Returns whether time moved and something may be ready. */
static bool advance(ml_host *h)
{
    int64_t due = 0;
    enum engine_clock mode = engine_clock_mode(h->engine);
    if (mode == ENGINE_CLOCK_HOST)
        return engine_activity(h->engine, &due) == 2 && due <= engine_now(h->engine) &&
               engine_advance(h->engine);
    if (mode != ENGINE_CLOCK_VIRTUAL || !quiet(h) || engine_activity(h->engine, &due) != 2)
        return false;
    h->at_bound = !engine_advance(h->engine);
    return !h->at_bound;
}

/* After work: when none was done for a second, what it used and freed goes back to the system. */
static void note_work(ml_host *h, bool more)
{
    struct worker_usage u = {0};
    if (h->worker) worker_usage(h->worker, &u);
    uint64_t did =
        u.tasks_ended + u.attempts_ended + (h->store ? (uint64_t)store_submitted(h->store) : 0);
    if (!more && did == h->did) return;
    h->did = did;
    h->worked = true;
    if (!h->quiet_runs && h->quiet) {
        h->quiet_runs = true;
        loop_timer_start(h->quiet, QUIET_NS);
    }
}

void host_quiet(void *ud)
{
    ml_host *h = ud;
    bool again = h->worked;
    h->worked = h->quiet_runs = false;
    if (!again) {
        mem_tidy();
        return;
    }
    h->quiet_runs = true;
    loop_timer_start(h->quiet, QUIET_NS);
}

/* Hosts without a writer thread: something waits to be written by store_drain. */
static bool writer_due(const ml_host *h)
{
    return (h->snapshot || (h->cfg.flags & ML_NO_THREADS)) && h->store && !store_idle(h->store);
}

int ml_step(ml_host *h, int64_t budget_ns)
{
    if (budget_ns > BUDGET_MAX_NS) budget_ns = BUDGET_MAX_NS;
    int64_t end = clock_mono(&h->clock) + budget_ns;
    bool more = false;
    if (h->closing) return host_gone(h);      /* asked by what was posted, inside ml_close */
    for (int idle = 0; idle < IDLE_PASSES;) { /* what one pass finds may be posted for the next */
        more = false;
        loop_turn(h->loop, 0);
        if (h->programs) program_step(h, budget_ns, &more);
        if (h->worker) {
            if (writer_due(h)) more = true;
            if (h->store) store_drain(h->store);
            if (h->store && worker_ready(h->worker)) store_kick(h->store);
            int64_t left = end - clock_mono(&h->clock);
            if (worker_step(h->worker, left > 0 ? left : 0)) more = true;
            if (!more && h->engine && advance(h)) more = true;
        }
        note_work(h, more);
        idle = more ? 0 : idle + 1;
        if (clock_mono(&h->clock) >= end) break;
    }
    return more;
}

int ml_wait_fd(ml_host *h)
{
    return loop_fd(h->loop);
}

int64_t ml_wait_ns(ml_host *h)
{
    if (writer_due(h)) return 0;
    return loop_next_timer_ns(h->loop);
}

int ml_idle_state(ml_host *h)
{
    int64_t due = 0;
    if (!h->worker || !h->engine) return 1; /* the owner, or the server, knows */
    if (!quiet(h)) return 1;
    int state = engine_activity(h->engine, &due);
    return state == 2 && h->at_bound ? 0 : state;
}

enum ml_clock ml_clock_mode(ml_host *h)
{
    if (!h->engine) return ML_CLOCK_FILE;
    switch (engine_clock_mode(h->engine)) {
    case ENGINE_CLOCK_REAL:
        return ML_CLOCK_REAL;
    case ENGINE_CLOCK_VIRTUAL:
        return ML_CLOCK_VIRTUAL;
    case ENGINE_CLOCK_HOST:
        return ML_CLOCK_HOST;
    case ENGINE_CLOCK_FILE:
        break;
    }
    return ML_CLOCK_FILE;
}

static void on_count(void *ud, const struct backend_reply *r)
{
    ml_host *h = ud;
    cJSON *j = r->err.code ? NULL : cJSON_ParseWithLength(r->json.p, r->json.n);
    const cJSON *n = cJSON_IsNumber(j) ? j : cJSON_GetObjectItemCaseSensitive(j, "count");
    h->open_count = cJSON_IsNumber(n) ? (int64_t)n->valuedouble : -1; /* -1: asked again */
    cJSON_Delete(j);
}

/* Without a condition: ended when nothing driven can go on. Returns -1 to go on, else what ml_run
 * returns. */
static int ended(ml_host *h)
{
    if (h->attach || h->remote) return h->calls || h->programs ? -1 : 0;
    int state = ml_idle_state(h);
    if (state == 2) {
        engine_forget_stale(h->engine);
        state = ml_idle_state(h);
    }
    if (state != 0) {
        h->open_count = -1;
        return -1;
    }
    if (h->open_count >= 0) return h->open_count > 0;
    if (h->open_count == -1) {
        h->open_count = -2;
        h->b->ops->count(h->b, STR("{\"status\":\"Running\"}"), on_count, h);
    }
    return -1;
}

/* Steps with the writer's thread at rest: nothing else can happen while this one waits for its
 * commit, so it makes the commit itself. Returns more than 0 when there is more to do now. */
static int step_and_commit(ml_host *h)
{
    if (h->store) store_hold(h->store, true);
    int more = ml_step(h, RUN_BUDGET_NS);
    if (!h->store || more < 0) return more;
    if (more || h->stop) {
        store_kick(h->store);
        return more;
    }
    if (ml_wait_ns(h) == 0) return 1;
    if (!store_commit(h->store)) return 0;
    store_drain(h->store);
    return 1;
}

static int run(ml_host *h, int (*while_fn)(void *ud), void *ud)
{
    h->open_count = -1;
    for (;;) {
        if (h->stop) {
            h->stop = 0;
            return 0;
        }
        int more = step_and_commit(h);
        if (more < 0) return more;
        if (while_fn && !while_fn(ud)) return 0;
        if (!h->calls && !h->programs && host_gone(h)) return ERR_CLOSED;
        if (!while_fn && !more) {
            int rc = ended(h);
            if (rc >= 0) return rc;
        }
        if (more || h->stop) continue;
        if (h->store)
            store_kick(h->store); /* the condition may have stepped too, after the commit */
        loop_turn(h->loop, ml_wait_ns(h));
    }
}

int ml_run(ml_host *h, int (*while_fn)(void *ud), void *ud)
{
    int rc = run(h, while_fn, ud);
    if (h->store) store_hold(h->store, false);
    return rc;
}

int ml_post(ml_host *h, void (*fn)(void *ud), void *ud)
{
    return loop_post(h->loop, fn, ud);
}
