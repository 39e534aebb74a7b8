/* The engine's life and its turn: opening with a new owner epoch, clocks, which runs are driven,
 * the queue of messages, the wait after a disk error. Called by the host; everything that happens
 * runs from `turn`, a callback of the loop. */
#include "engine/engine_internal.h"

#define SICK_FIRST (100 * NS_PER_MS)
#define SICK_LAST (5 * NS_PER_S)
#define TURN_MESSAGES 2000
#define LOOK_AGAIN NS_PER_S /* wall clocks jump: due times are looked at this often */

/* ---- clocks ---- */
int64_t eng_mono(struct engine *g)
{
    return clock_mono(g->clock);
}

int64_t engine_now(struct engine *g)
{
    return g->mode == ENGINE_CLOCK_VIRTUAL ? g->vnow : clock_wall(g->clock);
}

/* Real time, plus the jumps of virtual time: what start-to-close and heartbeat time-outs count. */
int64_t eng_attempt_now(struct engine *g)
{
    return eng_mono(g) + g->jumps;
}

enum engine_clock engine_clock_mode(const struct engine *g)
{
    return g->mode;
}

void eng_uuid(struct engine *g, char out[ENG_UUID])
{
    if (uuid_v7(g->entropy, clock_wall(g->clock), out)) { /* no entropy: ids must still differ */
        uint64_t n = ++g->counter;
        snprintf(out, ENG_UUID, "%08llx-%04llx-7000-8000-%012llx",
                 (unsigned long long)(g->epoch & 0xffffffff),
                 (unsigned long long)((n >> 48) & 0xffff),
                 (unsigned long long)(n & 0xffffffffffff));
    }
}

/* ---- messages ---- */
struct msg *eng_msg(struct engine *g, int kind)
{
    struct msg *m = mem_zalloc(sizeof *m);
    if (!m) {
        eng_starved(g);
        return NULL;
    }
    m->kind = kind;
    arena_init(&m->arena, 0);
    return m;
}

void eng_msg_free(struct msg *m)
{
    if (m) {
        store_batch_free(m->batch);
        arena_free(&m->arena);
        mem_free(m);
    }
}

void eng_post(struct engine *g, struct msg *m)
{
    m->next = NULL;
    if (g->queue_last) {
        g->queue_last->next = m;
    } else {
        g->queue = m;
    }
    g->queue_last = m;
    g->queued++;
    eng_kick(g);
}

/* Before all others: it could not be applied in its turn. */
void eng_post_front(struct engine *g, struct msg *m)
{
    m->next = g->queue;
    g->queue = m;
    if (!g->queue_last) {
        g->queue_last = m;
    }
    g->queued++;
}

/* Answers a message that cannot be applied, and frees it. */
void eng_fail_msg(struct engine *g, struct msg *m, int code, const char *text)
{
    (void)g;
    if (m->reply) {
        struct backend_reply r = {.guard = -1};
        err_set(&r.err, code, "%s", text);
        m->reply(m->ud, &r);
    } else if (m->answer) {
        struct backend_answer a = {
            .kind = code == ERR_NOTFOUND || code == ERR_CLOSED ? BACKEND_STALE : BACKEND_STORAGE};
        err_set(&a.err, code, "%s", text);
        m->answer(m->ud, &a);
    }
    eng_msg_free(m);
}

/* Gives a message to its run. */
void eng_dispatch(struct engine *g, struct msg *m)
{
    struct run *r = NULL;
    struct err e = {0};
    m->arena.failed = false; /* it came whole; what failed was this message's turn before */
    if (m->kind == M_READ) {
        eng_read(g, m);
        return;
    }
    if (m->kind == M_START) {
        eng_start(g, m);
        return;
    }
    if (m->kind == M_CROSS) {
        eng_cross_dispatch(g, m);
        return;
    }
    int rc = m->row        ? eng_run_by_row(g, m->row, &r, &e)
             : m->run_id.n ? eng_run_by_id(g, m->run_id, &r, &e)
                           : eng_run_current(g, m->workflow_id, &r, &e);
    if (rc && rc != ERR_NOTFOUND && rc != ERR_CORRUPT) {
        eng_post_front(g, m); /* not lost: read again when the disk works */
        eng_sick(g, &e);
        return;
    }
    if (rc) {
        eng_fail_msg(g, m, rc, e.text);
        return;
    }
    m->row = r->row;
    m->next = NULL;
    if (r->inbox_last) {
        r->inbox_last->next = m;
    } else {
        r->inbox = m;
    }
    r->inbox_last = m;
    eng_run_pump(r);
}

/* ---- trouble with the disk ---- */
/* Nothing is decided for a while; the wait doubles until a commit works. */
void eng_sick(struct engine *g, const struct err *e)
{
    g->sick = *e;
    if (g->sick_until) {
        return; /* others of the same group */
    }
    g->sick_backoff = g->sick_backoff ? g->sick_backoff * 2 : g->sick_first;
    g->sick_backoff = g->sick_backoff > SICK_LAST ? SICK_LAST : g->sick_backoff;
    g->sick_until = eng_mono(g) + g->sick_backoff;
    log_printf(g->log, LOG_ERROR, "engine: %s; trying again in %lld ms", e->text,
               (long long)(g->sick_backoff / NS_PER_MS));
    eng_kick(g);
}

/* Something could not be done for want of memory: it is looked for again after the wait. */
void eng_starved(struct engine *g)
{
    struct err e;
    g->shaken = true;
    err_set(&e, ERR_NOMEM, "out of memory");
    eng_sick(g, &e);
}

/* This run's memory was thrown away: it is taken up again from the file. */
void eng_broken(struct engine *g, int64_t row)
{
    if (g->n_broken == g->cap_broken) {
        size_t cap = g->cap_broken ? g->cap_broken * 2 : 16;
        int64_t *all = mem_realloc(g->broken, cap * sizeof *all);
        if (!all) {
            g->reload = true; /* all open runs are looked at, then */
            return;
        }
        g->broken = all;
        g->cap_broken = cap;
    }
    g->broken[g->n_broken++] = row;
}

static void refuse_starts(struct engine *g)
{
    struct msg *m = g->queue;
    g->queue = g->queue_last = NULL;
    g->queued = 0;
    while (m) {
        struct msg *next = m->next;
        if (m->kind == M_START) {
            eng_fail_msg(g, m, g->sick.code, g->sick.text);
        } else {
            eng_post(g, m);
        }
        m = next;
    }
}

static int take_up(struct engine *g, struct str tree, struct err *e);

static int take_up_driven(struct engine *g, struct err *e)
{
    if (g->drive_all) {
        return take_up(g, (struct str){NULL, 0}, e);
    }
    int rc = 0;
    for (struct map_entry *t = g->trees.first; t && !rc; t = t->next) {
        rc = take_up(g, t->key, e);
    }
    return rc;
}

/* What a shortage of memory left undone of a run that is in memory. */
static void revive(struct engine *g, struct run *r)
{
    if (r->task_lost && r->wft_out) {
        r->wft_out = false;
        g->wfts_out--;
        eng_queries_unsent(r);
        eng_updates_unsent(r);
    }
    r->task_lost = false;
    for (struct map_entry *e = r->pends.first; e; e = e->next) {
        const struct pend *p = e->value;
        if (p->kind == PEND_ACTIVITY && (p->state == AT_RUNNING || p->state == AT_ASYNC)) {
            eng_attempt_arm(g, r->row, p->id, p->attempt, eng_attempt_now(g));
        }
    }
    eng_run_arm(r, false);
    eng_run_pump(r); /* may be its end */
}

static void revive_all(struct engine *g)
{
    g->shaken = false;
    for (struct map_entry *e = g->out.first; e; e = e->next) {
        struct out *o = e->value;
        struct msg *m = o->lost ? eng_msg(g, M_ACT_LOST) : NULL;
        if (m) {
            m->row = o->row;
            m->id = o->id;
            m->attempt = o->attempt;
            m->sub = 2;
            m->retry = true;
            eng_post(g, m);
        }
    }
    for (struct map_entry *e = g->runs.first, *next; e; e = next) {
        next = e->next;
        revive(g, e->value);
    }
}

static int post_try(struct engine *g, int64_t row, struct err *e)
{
    struct msg *m = eng_msg(g, M_WFT_TRY);
    if (!m) {
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    m->row = row;
    eng_post(g, m);
    return 0;
}

static void heal(struct engine *g)
{
    struct err e = {0};
    g->sick_until = 0;
    eng_timers_reset(g);
    if (g->reload && take_up_driven(g, &e)) {
        eng_sick(g, &e);
        return;
    }
    g->reload = false;
    while (g->n_broken) {
        if (post_try(g, g->broken[g->n_broken - 1], &e)) {
            return;
        }
        g->n_broken--;
    }
    if (g->shaken) {
        revive_all(g);
    }
}

/* ---- the turn ---- */
void eng_kick(struct engine *g)
{
    if (!g->kicked && !g->closing) {
        g->kicked = true;
        if (!g->in_turn) {
            loop_timer_start(g->timer, 0);
        }
    }
}

static void take_answers(struct engine *g)
{
    while (g->answered) {
        struct txn *t = g->answered;
        g->answered = t->next_answered;
        eng_txn_answered(t);
    }
}

/* Only in memory so far, and nothing else came: it may wait for its worker as long as it likes. */
static bool may_wait(const struct txn *t)
{
    return t->run->speculative && !t->statements && !t->run_dirty && !t->run->n_buffered;
}

/* Commits what waited long enough for the worker's answer. Returns when to look again, -1 never. */
static int64_t check_held(struct engine *g)
{
    int64_t now = eng_mono(g), next = -1;
    bool busy = now - g->progress_mono < ENG_HOLD_NS;
    for (struct txn *t = g->held; t;) {
        struct txn *after = t->next_held;
        int64_t due = t->pushed_mono + (busy ? ENG_HOLD_BUSY_NS : ENG_HOLD_NS);
        if (may_wait(t)) {
            t = after;
            continue;
        }
        if (now >= due || g->shutting) {
            eng_txn_finish(t);
            t = g->held; /* finishing may have changed the list */
            continue;
        }
        due = t->pushed_mono + ENG_HOLD_NS > now ? t->pushed_mono + ENG_HOLD_NS : now + NS_PER_MS;
        next = next < 0 || due < next ? due : next;
        t = after;
    }
    return next;
}

static void arm(struct engine *g, int64_t held)
{
    int64_t now = eng_mono(g), wait = INT64_MAX;
    if (g->sick_until) {
        g->kicked = g->answered != NULL; /* everything else waits */
    }
    if (g->kicked || (g->queue && !g->sick_until)) {
        g->kicked = true;
        loop_timer_start(g->timer, 0);
        return;
    }
    if (held >= 0) {
        wait = held - now;
    }
    if (g->sick_until) {
        wait = g->sick_until - now < wait ? g->sick_until - now : wait;
    } else {
        if (g->mode != ENGINE_CLOCK_VIRTUAL &&
            (g->wall.n || g->sleeps.n || g->horizon != INT64_MAX)) {
            int64_t next = eng_timers_next(g), left = next < 0 ? LOOK_AGAIN : next - engine_now(g);
            left = left > LOOK_AGAIN ? LOOK_AGAIN : left;
            wait = left < wait ? left : wait;
        }
        int64_t left = eng_attempts_wait(g);
        wait = left < wait ? left : wait;
    }
    if (wait != INT64_MAX) {
        loop_timer_start(g->timer, wait > 0 ? wait : 0);
    } else {
        loop_timer_stop(g->timer);
    }
}

static void work(struct engine *g)
{
    for (int i = 0; i < TURN_MESSAGES && !g->sick_until; i++) {
        eng_timers_fire(g);
        bool moved = eng_ready_pump(g);
        struct msg *m = g->queue;
        if (!m) {
            if (!moved) {
                break;
            }
            continue;
        }
        g->queue = m->next;
        g->queue_last = g->queue ? g->queue_last : NULL;
        g->queued--;
        eng_dispatch(g, m);
    }
}

static void turn(void *ud)
{
    struct engine *g = ud;
    if (g->in_turn) {
        return;
    }
    g->in_turn = true;
    g->kicked = false;
    store_drain(g->store);
    take_answers(g);
    if (g->sick_until && eng_mono(g) >= g->sick_until) {
        heal(g);
    }
    if (g->sick_until) {
        refuse_starts(g);
    } else {
        work(g);
    }
    int64_t held = check_held(g);
    store_drain(g->store);
    eng_run_shrink(g);
    if (g->changed && g->has_sink && g->sink.on_change) {
        g->changed = false;
        g->sink.on_change(g->sink.ud);
    }
    g->in_turn = false;
    if (g->shutting && g->shut_done && !g->queue && !g->answered && !g->n_broken && !g->shaken &&
        !g->reload) {
        bool waits = false;
        for (struct map_entry *e = g->txns ? g->runs.first : NULL; e && !waits; e = e->next) {
            const struct run *r = e->value;
            waits = r->txn && !may_wait(r->txn);
        }
        if (!waits) {
            void (*done)(void *) = g->shut_done;
            g->shut_done = NULL;
            arm(g, held);
            done(g->shut_ud);
            return;
        }
    }
    arm(g, held);
}

/* ---- driving ---- */
bool eng_driven(struct engine *g, const struct run *r)
{
    return g->drive_all || map_get(&g->trees, r->tree) != NULL;
}

/* Takes up what the open runs of a tree (absent: all) have to do. */
static int take_up(struct engine *g, struct str tree, struct err *e)
{
    struct store_read *q = NULL;
    eng_timers_reset(g);
    for (struct map_entry *m = g->runs.first; m; m = m->next) {
        eng_run_arm(m->value, false);
    }
    int rc = g->loaded_messages ? 0 : eng_cross_load(g, e);
    g->loaded_messages = g->loaded_messages || rc == 0;
    rc = rc ? rc
            : store_read_open(
                  g->store, &q, e,
                  "SELECT r.run FROM runs r WHERE r.status = 1 AND (?1 IS NULL OR r.tree = ?1) AND"
                  " (EXISTS (SELECT 1 FROM pending p WHERE p.run = r.run AND p.kind = 1 AND "
                  "p.state <> 2) OR"
                  " (r.blocked IS NULL AND (SELECT sched FROM history h WHERE h.run = r.run ORDER "
                  "BY first DESC LIMIT 1) <> 0))"
                  " ORDER BY r.run",
                  "s", tree);
    while (rc == 0 && (rc = store_read_next(q)) == 1) {
        rc = post_try(g, store_read_i64(q, 0), e);
    }
    store_read_close(q);
    for (struct map_entry *m = g->runs.first; rc == 0 && m; m = m->next) {
        struct run *r = m->value; /* updates and queries wait in memory only */
        rc = (r->updates || r->queries) && eng_driven(g, r) ? post_try(g, r->row, e) : 0;
    }
    eng_kick(g);
    return rc < 0 && !e->code ? err_set(e, rc, "the open runs could not be read") : rc;
}

/* Driven from now on; when they cannot be read now, they are as soon as they can. */
static void take_up_or_later(struct engine *g, struct str tree)
{
    struct err e = {0};
    if (take_up(g, tree, &e)) {
        g->reload = true;
        eng_sick(g, &e);
    }
}

void engine_drive_all(struct engine *g)
{
    if (g->drive_all) {
        return;
    }
    g->drive_all = true;
    take_up_or_later(g, (struct str){NULL, 0});
}

int engine_drive_tree(struct engine *g, struct str tree)
{
    if (g->drive_all || map_get(&g->trees, tree)) {
        return 0;
    }
    int rc = map_set(&g->trees, tree, g);
    if (!rc) {
        take_up_or_later(g, tree);
    }
    return rc;
}

static bool live_attempt(struct engine *g)
{
    return g->out.n > g->n_idle;
}

int engine_activity(struct engine *g, int64_t *due_ns)
{
    if (g->queue || g->answered || g->txns || g->wfts_out || g->queries_n || g->sick_until ||
        g->ready_wft.n || g->ready_act.n || live_attempt(g)) {
        return 1;
    }
    int64_t next = eng_timers_next(g);
    if (next < 0) {
        return 0;
    }
    if (due_ns) {
        *due_ns = next;
    }
    return 2;
}

bool engine_advance(struct engine *g)
{
    int64_t due = 0;
    if (g->mode == ENGINE_CLOCK_REAL || engine_activity(g, &due) != 2 || due == 0 ||
        (g->until_ns && due > g->until_ns)) {
        return false;
    }
    if (g->mode == ENGINE_CLOCK_HOST && due > engine_now(g)) {
        return false;
    }
    if (g->mode == ENGINE_CLOCK_VIRTUAL && due > g->vnow) {
        g->jumps += due - g->vnow;
        g->vnow = due;
    }
    eng_timers_fire(g);
    eng_kick(g);
    return true;
}

int engine_find_open(struct engine *g, struct str entry, struct str workflow_type,
                     struct str input_digest_hex,
                     void (*each)(void *ud, struct str workflow_id, struct str run_id), void *ud,
                     struct err *e)
{
    struct store_read *q = NULL;
    int rc = store_read_open(
        g->store, &q, e,
        "SELECT r.workflow_id, r.run_id FROM runs r JOIN runs f ON f.run_id = r.first_run_id"
        " WHERE r.status = 1 AND r.parent_id IS NULL AND f.entry = ? AND f.type = ? AND "
        "f.input_digest = ? ORDER BY r.run",
        "sss", entry, workflow_type, input_digest_hex);
    while (rc == 0 && (rc = store_read_next(q)) == 1) {
        rc = 0;
        each(ud, store_read_str(q, 0), store_read_str(q, 1));
    }
    store_read_close(q);
    return rc < 0 ? err_set(e, rc, "the file could not be read") : 0;
}

void engine_on_commit(struct engine *g,
                      void (*fn)(void *ud, struct str workflow_id, struct str run_id,
                                 struct rec *const *events, size_t n),
                      void *ud)
{
    g->commit_fn = fn;
    g->commit_ud = ud;
}

/* ---- opening and closing ---- */
static int read_number(struct engine *g, const char *sql, int64_t *out, struct err *e)
{
    struct store_read *q = NULL;
    int rc = store_read_open(g->store, &q, e, sql, "");
    rc = rc ? rc : store_read_next(q);
    if (rc == 1 && !store_read_null(q, 0)) {
        *out = store_read_i64(q, 0);
    }
    store_read_close(q);
    return rc < 0 ? err_set(e, rc, "the file could not be read") : 0;
}

static void on_epoch(void *ud, const struct store_answer *a)
{
    *(struct store_answer *)ud = *a;
}

static int pick_clock(struct engine *g, enum engine_clock asked, struct err *e)
{
    int64_t stored = 0, latest = 0;
    int rc = read_number(g, "SELECT value FROM meta WHERE key = 'clock'", &stored, e);
    rc = rc ? rc
            : read_number(g, "SELECT time FROM history ORDER BY rowid DESC LIMIT 1", &latest, e);
    if (rc) {
        return rc;
    }
    if (stored && asked != ENGINE_CLOCK_FILE && (int64_t)asked != stored) {
        return err_set(
            e, ERR_ARG,
            "this file was made with the %s clock: leave --clock out, or use another file",
            stored == ENGINE_CLOCK_VIRTUAL ? "virtual"
            : stored == ENGINE_CLOCK_HOST  ? "host"
                                           : "real");
    }
    g->mode = stored                       ? (enum engine_clock)stored
              : asked == ENGINE_CLOCK_FILE ? ENGINE_CLOCK_REAL
                                           : asked;
    g->vnow = latest ? latest : clock_wall(g->clock);
    return 0;
}

static int new_epoch(struct engine *g, struct err *e)
{
    int rc = read_number(g, "SELECT value FROM meta WHERE key = 'epoch'", &g->epoch, e);
    rc = rc ? rc : read_number(g, "SELECT max(run) FROM runs", &g->next_run, e);
    rc = rc ? rc : read_number(g, "SELECT max(id) FROM messages", &g->next_message, e);
    if (rc) {
        return rc;
    }
    g->epoch++;
    g->next_run++;
    g->first_message = ++g->next_message;
    FAULT("engine.open");
    struct store_batch *b = store_batch_new(g->store);
    if (!b) {
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    struct store_answer a = {.kind = STORE_STORAGE};
    store_batch_add(b, "INSERT OR REPLACE INTO meta(key, value) VALUES('epoch', ?)", "i", g->epoch);
    store_batch_add(b, "INSERT OR REPLACE INTO meta(key, value) VALUES('clock', ?)", "i",
                    (int64_t)g->mode);
    store_submit(g->store, b, on_epoch, &a);
    store_flush(g->store);
    if (a.kind != STORE_DURABLE) {
        return err_set(e, a.err.code ? a.err.code : ERR_IO, "%s",
                       a.err.code ? a.err.text : "the file could not be written");
    }
    return 0;
}

int engine_open(const struct engine_opts *o, struct engine **out, struct err *e)
{
    struct engine *g = mem_zalloc(sizeof *g);
    if (!g) {
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    g->backend.ops = &eng_ops;
    g->loop = o->loop;
    g->store = o->store;
    g->clock = o->clock;
    g->entropy = o->entropy;
    g->log = o->log;
    g->until_ns = o->until_ns;
    g->timers_max = o->timers_in_memory > 0 ? (size_t)o->timers_in_memory : 4096;
    g->runs_max = o->runs_in_memory ? o->runs_in_memory : 1000;
    g->far_ns = o->sleep_far_ns;
    g->ref_bytes = o->payload_ref_bytes > 0 ? (size_t)o->payload_ref_bytes : 4096;
    g->sick_first = o->sick_first_ns > 0 ? o->sick_first_ns : SICK_FIRST;
    g->horizon = INT64_MIN;
    struct map *maps[] = {&g->runs,  &g->by_run_id, &g->by_wid, &g->out,
                          &g->trees, &g->sleepers,  &g->blobs};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        map_init(maps[i]);
    }
    g->identity = str_dup(o->identity.n ? o->identity : STR("moonloop"));
    int rc = g->identity ? pick_clock(g, o->clock_mode, e) : err_set(e, ERR_NOMEM, "out of memory");
    rc = rc ? rc : new_epoch(g, e);
    if (!rc && loop_timer_open(g->loop, turn, g, &g->timer)) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
    }
    if (rc) {
        mem_free(g->identity);
        mem_free(g);
        return rc;
    }
    *out = g;
    return 0;
}

struct backend *engine_backend(struct engine *g)
{
    return &g->backend;
}

static void free_values(struct map *m)
{
    for (struct map_entry *e = m->first; e; e = e->next) {
        mem_free(e->value);
    }
    map_free(m);
}

/* Who asked for something that did not come to its end is told so; the worker, which is gone by
 * now, is told nothing. */
static void close_txn(struct txn *t)
{
    bool durable = t->answered && t->store_answer.kind == STORE_DURABLE;
    for (struct effect *f = t->fx_first; f; f = f->next) {
        if (f->kind == FX_REPLY && f->reply_fn) {
            if (!durable) {
                err_set(&f->reply.err, ERR_CLOSED, "the engine is closing");
            }
            f->reply_fn(f->ud, &f->reply);
        }
    }
    t->run->txn = NULL;
    eng_txn_free(t);
}

/* Answers are waited for, what was only held in memory is dropped: a transition that was not
 * submitted never happened. */
void engine_close(struct engine *g)
{
    if (!g) {
        return;
    }
    g->closing = true;
    store_flush(g->store);
    struct err closed;
    err_set(&closed, ERR_CLOSED, "the engine is closing");
    while (g->answered) {
        struct txn *t = g->answered;
        g->answered = t->next_answered;
        close_txn(t);
    }
    while (g->runs.first) {
        struct run *r = g->runs.first->value;
        if (r->txn) {
            close_txn(r->txn);
        }
        for (struct msg *m = r->inbox; m; m = r->inbox) {
            r->inbox = m->next;
            m->answer = NULL;
            eng_fail_msg(g, m, ERR_CLOSED, closed.text);
        }
        eng_run_forget(g, r);
    }
    while (g->queue) {
        struct msg *m = g->queue;
        g->queue = m->next;
        m->answer = NULL;
        eng_fail_msg(g, m, ERR_CLOSED, closed.text);
    }
    eng_waiters_free(g);
    eng_ready_free(g);
    eng_served_free(g);
    eng_heap_free(&g->wall);
    eng_heap_free(&g->attempts);
    eng_heap_free(&g->sleeps);
    eng_heap_free(&g->limits);
    free_values(&g->out);
    free_values(&g->sleepers);
    struct map *maps[] = {&g->runs, &g->by_run_id, &g->by_wid, &g->trees, &g->blobs};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        map_free(maps[i]);
    }
    loop_timer_close(g->timer);
    mem_free(g->broken);
    mem_free(g->identity);
    mem_free(g);
}

int engine_doctor(struct engine *g, struct buf *json, struct err *e)
{
    static const char *const clocks[] = {"file", "real", "virtual", "host"};
    static const struct {
        const char *name, *sql;
    } facts[] = {
        {"running", "SELECT count(*) FROM runs WHERE status = 1"},
        {"blocked", "SELECT count(*) FROM runs WHERE blocked IS NOT NULL"},
        {"completed", "SELECT count(*) FROM runs WHERE status = 2"},
        {"failed", "SELECT count(*) FROM runs WHERE status = 3"},
        {"canceled", "SELECT count(*) FROM runs WHERE status = 4"},
        {"terminated", "SELECT count(*) FROM runs WHERE status = 5"},
        {"continuedAsNew", "SELECT count(*) FROM runs WHERE status = 6"},
        {"timedOut", "SELECT count(*) FROM runs WHERE status = 7"},
        {"openActivities", "SELECT count(*) FROM pending WHERE kind = 1"},
        {"openTimers", "SELECT count(*) FROM pending WHERE kind = 2"},
        {"undeliveredMessages", "SELECT count(*) FROM messages"},
        {"schemaVersion", "PRAGMA user_version"},
    };
    buf_printf(json, "{\"clock\":\"%s\",\"ownerEpoch\":%lld,\"fileBytes\":%lld", clocks[g->mode],
               (long long)g->epoch, (long long)store_file_bytes(g->store));
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        int64_t n = 0;
        int rc = read_number(g, facts[i].sql, &n, e);
        if (rc) {
            return rc;
        }
        buf_printf(json, ",\"%s\":%lld", facts[i].name, (long long)n);
    }
    return buf_putc(json, '}') ? err_set(e, json->code, "out of memory") : 0;
}
