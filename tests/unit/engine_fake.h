/* A worker in C for the engine's tests: no Lua. A workflow is a function of its whole history (so
 * it may be killed and run again anywhere), an activity a function of its task. Every history that
 * passes through is checked against the grammar (check_history). */
#ifndef ML_TESTS_ENGINE_FAKE_H
#define ML_TESTS_ENGINE_FAKE_H
#include "base/fault.h"
#include "check.h"
#include "engine/engine.h"
#include "store/vfs_fault.h"
#include <unistd.h>

#define MAX_HELD 64
struct fake;
struct plan { /* what a workflow answers */
    struct arena *a;
    struct rec *commands[4096];
    int64_t dues[4096]; /* of timers till a named time, else 0 */
    int64_t sleeps_till;
    size_t n;
    struct rec *messages[16];
    size_t n_messages;
    bool fail, force;
    const char *pending;
};
typedef void (*workflow_fn)(struct fake *f, const struct backend_task *t, struct rec *const *events,
                            size_t n, struct plan *p);
enum act_reply { REPLY_OK, REPLY_FAIL, REPLY_FAIL_HARD, REPLY_HOLD, REPLY_ASYNC };
typedef enum act_reply (*activity_fn)(struct fake *f, const struct backend_task *t);

struct cached {
    char run_id[64];
    struct arena a;
    struct rec *events[12000];
    size_t n;
};
struct fake {
    bool no_cache;
    struct cached *cache[64];
    struct loop *loop;
    struct loop_timer *ticker; /* a turn of the loop never waits longer than this */
    struct store *store;
    struct engine *engine;
    struct backend *b;
    char path[200];
    const char *vfs;
    bool threaded, hold_workflows, no_worker, fast;
    enum engine_clock mode;
    int64_t wall_offset;
    int64_t slew_permille,
        slew_from;             /* the wall gains so much since that moment of the monotonic clock */
    int64_t (*wall)(void *ud); /* NULL: the system's plus wall_offset */
    int slots_wft, slots_act, timers_in_memory;
    size_t runs_in_memory;
    workflow_fn workflow;
    activity_fn activity;
    struct backend_task *tasks[MAX_HELD * 64];
    size_t n_tasks;
    struct backend_task *held[MAX_HELD];
    size_t n_held;
    struct backend_answer last_answer;
    int answers;
    int workflow_tasks, activity_tasks, query_tasks, closed, whole_tasks, cancels;
    enum backend_cancel_reason last_cancel;
    char last_cancel_token[200];
    int give_back; /* so many tasks are not taken but given back */
    int commits;
    size_t committed_events;
    char input_seen[100000];
    char key_seen[64];
    bool worked;
};

static int64_t fake_wall(void *ud)
{
    const struct fake *f = ud;
    return clock_wall(&clock_system) + f->wall_offset +
           (clock_mono(&clock_system) - f->slew_from) / 1000 * f->slew_permille;
}
static int64_t fake_mono(void *ud)
{
    (void)ud;
    return clock_mono(&clock_system);
}
static struct clock fake_clock;
static void fake_log(void *ud, int level, struct str text, struct str fields)
{
    (void)ud;
    (void)fields;
    if (getenv("VERBOSE")) fprintf(stderr, "log %d: %.*s\n", level, STR_ARG(text));
}
static struct log fake_logger = {fake_log, NULL, 0};

static bool given_back(struct fake *f, struct backend_task *t, int workflow_slots)
{
    struct err why;
    if (!f->give_back) return false;
    f->give_back--;
    err_set(&why, ERR_NOMEM, "out of memory");
    f->b->ops->release(f->b, t->token, &why);
    f->b->ops->offer(f->b, workflow_slots, !workflow_slots);
    backend_task_free(t);
    return true;
}

static void on_wft(void *ud, struct backend_task *t)
{
    struct fake *f = ud;
    if (given_back(f, t, 1)) return;
    f->workflow_tasks += !t->legacy_query;
    f->query_tasks += t->legacy_query;
    f->whole_tasks += t->whole;
    f->slots_wft--;
    CHECK(f->n_tasks < MAX_HELD * 64);
    f->tasks[f->n_tasks++] = t;
}
static void on_act(void *ud, struct backend_task *t)
{
    struct fake *f = ud;
    if (given_back(f, t, 0)) return;
    f->activity_tasks++;
    CHECK(f->n_tasks < MAX_HELD * 64);
    f->tasks[f->n_tasks++] = t;
}
static void on_cancel(void *ud, struct str token, enum backend_cancel_reason why)
{
    struct fake *f = ud;
    f->cancels++;
    f->last_cancel = why;
    snprintf(f->last_cancel_token, sizeof f->last_cancel_token, "%.*s", STR_ARG(token));
}
static void on_closed(void *ud, struct str run_id)
{
    (void)run_id;
    ((struct fake *)ud)->closed++;
}
static void on_commit(void *ud, struct str w, struct str r, struct rec *const *e, size_t n)
{
    struct fake *f = ud;
    (void)w;
    (void)r;
    (void)e;
    f->commits++;
    if (getenv("VERBOSE")) {
        fprintf(stderr, "commit %.3f:", (double)clock_mono(&clock_system) / 1e6);
        for (size_t i = 0; i < n; i++)
            fprintf(stderr, " %s", event_name(event_type(e[i])));
        fprintf(stderr, "\n");
    }
    f->committed_events += n;
}

static const struct str workflow_types[] = {{"flow", 4}, {"child", 5}, {"parent", 6}, {"loop", 4}};
static const struct str activity_types[] = {{"act", 3}, {"other", 5}};

static void fake_serve(struct fake *f)
{
    struct backend_sink sink = {.ud = f,
                                .on_workflow_task = on_wft,
                                .on_activity_task = on_act,
                                .on_activity_cancel = on_cancel,
                                .on_run_closed = on_closed};
    struct backend_served q = {STR("default"), workflow_types, 4, activity_types, 1};
    f->b->ops->serve(f->b, &sink, &q, 1);
    f->b->ops->offer(f->b, f->slots_wft, f->slots_act);
}

static void on_tick(void *ud)
{
    loop_timer_start(((struct fake *)ud)->ticker, NS_PER_MS);
}
static void on_drain(void *ud)
{
    struct fake *f = ud;
    if (f->store) store_drain(f->store);
}
static void on_wake(void *ud)
{
    struct fake *f = ud;
    loop_post(f->loop, on_drain, f);
}

#ifndef FAKE_MIGRATIONS
#define FAKE_MIGRATIONS engine_migrations
#define FAKE_MIGRATIONS_N engine_migrations_n
#endif
static void fake_open(struct fake *f)
{
    struct err e = {0};
    fake_clock = (struct clock){f->wall ? f->wall : fake_wall, fake_mono, f};
    struct store_opts so = {.path = f->path,
                            .vfs = f->vfs,
                            .threaded = f->threaded,
                            .fast = f->fast,
                            .migrations = FAKE_MIGRATIONS,
                            .n_migrations = FAKE_MIGRATIONS_N,
                            .log = &fake_logger,
                            .wake = f->threaded ? on_wake : NULL,
                            .wake_ud = f};
    if (loop_open(&fake_clock, &f->loop, &e) || store_open(&so, &f->store, &e)) {
        fprintf(stderr, "open: %s\n", e.text);
        exit(1);
    }
    CHECK_INT(loop_timer_open(f->loop, on_tick, f, &f->ticker), 0);
    on_tick(f);
    struct engine_opts eo = {.loop = f->loop,
                             .store = f->store,
                             .clock = &fake_clock,
                             .entropy = &entropy_system,
                             .log = &fake_logger,
                             .clock_mode = f->mode,
                             .identity = STR("test@host"),
                             .timers_in_memory = f->timers_in_memory,
                             .runs_in_memory = f->runs_in_memory};
    if (engine_open(&eo, &f->engine, &e)) {
        fprintf(stderr, "engine: %s\n", e.text);
        exit(1);
    }
    f->b = engine_backend(f->engine);
    engine_on_commit(f->engine, on_commit, f);
    f->slots_wft = f->slots_wft ? f->slots_wft : 100;
    f->slots_act = f->slots_act ? f->slots_act : 1000;
    if (!f->no_worker) fake_serve(f);
    engine_drive_all(f->engine);
}

static inline void drop_cache(struct fake *f)
{
    for (int i = 0; i < 64; i++) {
        if (f->cache[i]) arena_free(&f->cache[i]->a);
        free(f->cache[i]);
        f->cache[i] = NULL;
    }
}

/* The engine is dropped as if the process had died (but for what the store was given). */
static void fake_close(struct fake *f)
{
    for (size_t i = 0; i < f->n_tasks; i++)
        backend_task_free(f->tasks[i]);
    for (size_t i = 0; i < f->n_held; i++)
        backend_task_free(f->held[i]);
    f->n_tasks = f->n_held = 0;
    drop_cache(f);
    engine_close(f->engine);
    store_close(f->store);
    f->store = NULL;
    loop_timer_close(f->ticker);
    loop_close(f->loop);
    f->slots_wft = f->slots_act = 0;
}

static inline void fake_reopen(struct fake *f)
{
    fake_close(f);
    fake_open(f);
}

static void fake_init(struct fake *f, const char *name)
{
    memset(f, 0, sizeof *f);
    snprintf(f->path, sizeof f->path, "/tmp/ml-engine-%d-%s.db", (int)getpid(), name);
    f->mode = ENGINE_CLOCK_REAL;
}

static void fake_remove(struct fake *f)
{
    char p[260];
    fake_close(f);
    const char *ends[] = {"", "-wal", "-shm", "-journal"};
    for (int i = 0; i < 4; i++) {
        snprintf(p, sizeof p, "%s%s", f->path, ends[i]);
        unlink(p);
    }
}

/* ---- grammar ---- */
static inline int64_t find_event(struct rec *const *e, size_t n, int type, int nth)
{
    for (size_t i = 0; i < n; i++)
        if (event_type(e[i]) == type && --nth == 0) return event_id(e[i]);
    return 0;
}
static inline int count_events(struct rec *const *e, size_t n, int type)
{
    int c = 0;
    for (size_t i = 0; i < n; i++)
        c += event_type(e[i]) == type;
    return c;
}

static void bad_history(struct rec *const *e, size_t n, size_t at, const char *why)
{
    fprintf(stderr, "[%s] history: %s at %zu\n", check_case, why, at + 1);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "  %lld %s\n", (long long)event_id(e[i]), event_name(event_type(e[i])));
    exit(1);
}

/* Gapless ids, one start, at most one end and nothing behind it, tasks in order, every close names
 * what was opened and only once. */
static void check_history(struct rec *const *e, size_t n)
{
    int task = 0; /* 0 none, 1 scheduled, 2 started */
    bool commands = false;
    static unsigned char closed[200000];
    memset(closed, 0, sizeof closed);
    if (!n || event_type(e[0]) != EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
        bad_history(e, n, 0, "no start");
    for (size_t i = 0; i < n; i++) {
        int type = event_type(e[i]);
        const struct rec *a = event_attrs(e[i]);
        int64_t opened = 0, started = 0;
        if (event_id(e[i]) != (int64_t)i + 1) bad_history(e, n, i, "a gap in the ids");
        if (i && type == EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
            bad_history(e, n, i, "a second start");
        if (event_is_terminal(type) && i + 1 != n) bad_history(e, n, i, "something behind the end");
        if (event_is_command(type) && !event_is_terminal(type) && !commands)
            bad_history(e, n, i, "a command event not behind a completed task");
        switch (type) {
        case EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
            if (task != 0) bad_history(e, n, i, "a task scheduled twice");
            task = 1;
            break;
        case EVENT_TYPE_WORKFLOW_TASK_STARTED:
            if (task != 1) bad_history(e, n, i, "a task started out of order");
            task = 2;
            break;
        case EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
        case EVENT_TYPE_WORKFLOW_TASK_FAILED:
            if (task != 2) bad_history(e, n, i, "a task ended out of order");
            task = 0;
            break;
        case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            opened = rec_int(a, T(ev_activity_task_completed, scheduled_event_id));
            started = rec_int(a, T(ev_activity_task_completed, started_event_id));
            break;
        case EVENT_TYPE_ACTIVITY_TASK_FAILED:
            opened = rec_int(a, T(ev_activity_task_failed, scheduled_event_id));
            started = rec_int(a, T(ev_activity_task_failed, started_event_id));
            break;
        case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
            opened = rec_int(a, T(ev_activity_task_timed_out, scheduled_event_id));
            break;
        case EVENT_TYPE_ACTIVITY_TASK_CANCELED:
            opened = rec_int(a, T(ev_activity_task_canceled, scheduled_event_id));
            break;
        case EVENT_TYPE_TIMER_FIRED:
            opened = rec_int(a, T(ev_timer_fired, started_event_id));
            break;
        case EVENT_TYPE_TIMER_CANCELED:
            opened = rec_int(a, T(ev_timer_canceled, started_event_id));
            break;
        case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
            opened = rec_int(a, T(ev_child_workflow_execution_completed, initiated_event_id));
            started = rec_int(a, T(ev_child_workflow_execution_completed, started_event_id));
            break;
        case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
            opened = rec_int(a, T(ev_child_workflow_execution_failed, initiated_event_id));
            started = rec_int(a, T(ev_child_workflow_execution_failed, started_event_id));
            break;
        default:
            break;
        }
        if (opened) {
            if (opened < 1 || opened > (int64_t)i)
                bad_history(e, n, i, "closes what was never opened");
            int ot = event_type(e[opened - 1]);
            if (ot != EVENT_TYPE_ACTIVITY_TASK_SCHEDULED && ot != EVENT_TYPE_TIMER_STARTED &&
                ot != EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)
                bad_history(e, n, i, "closes an event of another kind");
            if (closed[opened]++) bad_history(e, n, i, "closes twice");
        }
        if (started) {
            if (started < 1 || started > (int64_t)i)
                bad_history(e, n, i, "a started id that is none");
            int st = event_type(e[started - 1]);
            if (st != EVENT_TYPE_ACTIVITY_TASK_STARTED &&
                st != EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
                bad_history(e, n, i, "a started id of another kind");
        } else if (type == EVENT_TYPE_ACTIVITY_TASK_COMPLETED ||
                   type == EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED)
            bad_history(e, n, i, "no started id");
        if (event_is_terminal(type) && task == 2) bad_history(e, n, i, "closed with a task out");
        commands = type == EVENT_TYPE_WORKFLOW_TASK_COMPLETED ||
                   (commands && event_is_command(type)) ||
                   (commands && type == EVENT_TYPE_ACTIVITY_TASK_CANCELED);
    }
}

/* ---- waiting for answers ---- */
struct got {
    bool done;
    struct err err;
    char run_id[64];
    bool existing;
    int status;
    char json[200000];
    char text[200000];
    char failure[2000];
    struct arena a;
    struct rec *events[100000];
    size_t n;
    char next[64];
    int guard;
};
static struct got got;
static void take(void *ud, const struct backend_reply *r)
{
    struct got *g = ud ? ud : &got;
    g->done = true;
    g->err = r->err;
    g->existing = r->existing;
    g->status = (int)r->status;
    g->guard = r->guard;
    snprintf(g->run_id, sizeof g->run_id, "%.*s", STR_ARG(r->run_id));
    snprintf(g->json, sizeof g->json, "%.*s", STR_ARG(r->json));
    snprintf(g->next, sizeof g->next, "%.*s", STR_ARG(r->next_page));
    struct str data = payload_data(rec_msg(r->result, T(payloads, payloads)));
    snprintf(g->text, sizeof g->text, "%.*s", STR_ARG(data));
    snprintf(g->failure, sizeof g->failure, "%.*s",
             STR_ARG(rec_str(r->failure, T(failure, message))));
    for (size_t i = 0; i < r->n_events; i++)
        g->events[g->n++] = rec_clone(&g->a, r->events[i]);
}

static void fake_work(struct fake *f);
static void fake_turn(struct fake *f)
{
    loop_turn(f->loop, f->worked ? 0 : NS_PER_MS);
    f->worked = f->n_tasks > 0;
    fake_work(f);
}
static void wait_got(struct fake *f, struct got *g)
{
    for (int i = 0; i < 20000 && !g->done; i++)
        fake_turn(f);
    CHECK(g->done);
}
static void clear(struct got *g)
{
    arena_free(&g->a);
    memset(g, 0, sizeof *g);
    arena_init(&g->a, 0);
}

static struct got hist;
/* The whole history of a run, checked. */
static inline void history(struct fake *f, const char *id, const char *run)
{
    clear(&hist);
    struct backend_target t = {str_of(id), str_of(run)};
    struct str page = {NULL, 0};
    char next[64];
    do {
        hist.done = false;
        f->b->ops->fetch_history(f->b, &t, true, page, take, &hist);
        wait_got(f, &hist);
        CHECK_INT(hist.err.code, 0);
        snprintf(next, sizeof next, "%s", hist.next);
        page = str_of(next);
    } while (next[0]);
    check_history(hist.events, hist.n);
}

/* ---- the worker's side ---- */
static void on_answer_(void *ud, const struct backend_answer *a)
{
    struct fake *f = ud;
    f->last_answer = *a;
    f->answers++;
}

static struct rec *add_command(struct plan *p, int type, struct rec **attrs)
{
    struct rec *c = command_new(p->a, type, attrs);
    p->commands[p->n++] = c;
    return c;
}

static inline struct rec *add_activity(struct plan *p, const char *id, const char *type,
                                       int64_t start_to_close, struct rec *input)
{
    struct rec *a;
    add_command(p, COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, &a);
    rec_set_copy(a, T(cmd_schedule_activity_task, activity_id), str_of(id));
    rec_set_copy(rec_sub(a, T(cmd_schedule_activity_task, activity_type)), T(activity_type, name),
                 str_of(type));
    rec_set_int(a, T(cmd_schedule_activity_task, start_to_close_timeout), start_to_close);
    rec_set_msg(a, T(cmd_schedule_activity_task, input), input);
    return a;
}
static inline void add_retry(struct plan *p, struct rec *act, int64_t initial, int max)
{
    (void)p;
    struct rec *r = rec_sub(act, T(cmd_schedule_activity_task, retry_policy));
    rec_set_int(r, T(retry_policy, initial_interval), initial);
    rec_set_double(r, T(retry_policy, backoff_coefficient), 1.0);
    rec_set_int(r, T(retry_policy, maximum_attempts), max);
}
static inline void add_timer(struct plan *p, const char *id, int64_t d)
{
    struct rec *a;
    add_command(p, COMMAND_TYPE_START_TIMER, &a);
    rec_set_copy(a, T(cmd_start_timer, timer_id), str_of(id));
    rec_set_int(a, T(cmd_start_timer, start_to_fire_timeout), d);
}
/* A timer till `due`, asked for at `now`. */
static inline void add_timer_till(struct plan *p, const char *id, int64_t now, int64_t due)
{
    add_timer(p, id, due - now);
    p->dues[p->n - 1] = due;
}
static inline void add_complete(struct plan *p, const char *json)
{
    struct rec *a;
    add_command(p, COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, &a);
    rec_set_msg(a, T(cmd_complete_workflow_execution, result),
                payloads_of_json(p->a, arena_str(p->a, str_of(json))));
}
static inline void add_fail(struct plan *p, const char *type, bool hard)
{
    struct rec *a;
    add_command(p, COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION, &a);
    rec_set_msg(a, T(cmd_fail_workflow_execution, failure),
                failure_app(p->a, str_of(type), STR("it failed"), hard, NULL, NULL));
}

/* The worker's cache: the run's events so far, when the task goes on where they end. */
static struct cached *cached_run(struct fake *f, struct backend_task *t)
{
    int free_slot = -1;
    for (int i = 0; i < 64; i++) {
        struct cached *c = f->cache[i];
        if (!c) free_slot = free_slot < 0 ? i : free_slot;
        if (c && str_eqz(t->run_id, c->run_id)) {
            if (t->whole) c->n = 0;
            int64_t first = event_id(t->events[0]);
            if (first > (int64_t)c->n + 1) return NULL;
            c->n = (size_t)first - 1;
            return c;
        }
    }
    if (!t->whole || free_slot < 0) return NULL;
    struct cached *c = calloc(1, sizeof *c);
    arena_init(&c->a, 0);
    snprintf(c->run_id, sizeof c->run_id, "%.*s", STR_ARG(t->run_id));
    return f->cache[free_slot] = c;
}

static void do_workflow(struct fake *f, struct backend_task *t)
{
    struct arena a;
    arena_init(&a, 0);
    struct rec **events = t->events;
    size_t n = t->n_events;
    struct backend_query_result results[16];
    for (size_t i = 0; i < t->n_queries; i++) {
        results[i] = (struct backend_query_result){
            t->queries[i].id, !str_eqz(t->queries[i].type, "bad"),
            payloads_of_json(&a, STR("\"answer\"")), NULL, STR("no such query")};
    }
    if (t->legacy_query) {
        f->b->ops->complete_query(f->b, t->token, &results[0], on_answer_, f);
        goto out;
    }
    if (t->n_events) CHECK_INT(event_id(t->events[t->n_events - 1]), t->started_id);
    struct cached *k = f->no_cache ? NULL : cached_run(f, t);
    if (k) {
        for (size_t i = 0; i < t->n_events && k->n < 12000; i++)
            k->events[k->n++] = rec_clone(&k->a, t->events[i]);
        events = k->events;
        n = k->n;
    } else if (!t->whole) {
        CHECK(t->n_events > 0);
        CHECK(event_id(t->events[0]) > t->previous_started_id);
        char id[200], run[64];
        snprintf(id, sizeof id, "%.*s", STR_ARG(t->workflow_id));
        snprintf(run, sizeof run, "%.*s", STR_ARG(t->run_id));
        static struct got h;
        clear(&h);
        struct backend_target target = {str_of(id), str_of(run)};
        char next[64] = "";
        do {
            h.done = false;
            f->b->ops->fetch_history(f->b, &target, true, str_of(next), take, &h);
            for (int i = 0; i < 5000 && !h.done; i++)
                loop_turn(f->loop, NS_PER_MS);
            CHECK(h.done);
            if (h.err.code) goto out; /* the disk is ill: the task is lost */
            snprintf(next, sizeof next, "%s", h.next);
        } while (next[0]);
        events = h.events;
        n = h.n;
        while (n && event_id(events[n - 1]) > t->started_id)
            n--;
        if (!n || event_id(events[n - 1]) != t->started_id)
            goto out; /* it was taken back meanwhile */
    }
    check_history(events, n);
    static struct plan p;
    memset(&p, 0, sizeof p);
    p.a = &a;
    f->workflow(f, t, events, n, &p);
    if (p.fail) {
        f->b->ops->fail_workflow(
            f->b, t->token, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
            failure_app(&a, STR("LuaError"), STR("flow.lua:3: boom"), false, NULL, NULL), false,
            STR(""), on_answer_, f);
        goto out;
    }
    uint32_t flag = 1;
    struct backend_workflow_completion c = {.commands = p.commands,
                                            .n_commands = p.n,
                                            .dues = p.dues,
                                            .sleeps_till = p.sleeps_till,
                                            .messages = p.messages,
                                            .n_messages = p.n_messages,
                                            .force_new_task = p.force,
                                            .query_results = results,
                                            .n_query_results = t->n_queries,
                                            .flags = &flag,
                                            .n_flags = t->whole ? 1 : 0,
                                            .bundle_digest = STR("d1"),
                                            .pending_json = str_of(p.pending)};
    f->b->ops->complete_workflow(f->b, t->token, &c, on_answer_, f);
out:
    f->slots_wft++;
    f->b->ops->offer(f->b, 1, 0);
    backend_task_free(t);
    arena_free(&a);
}

static void finish_activity(struct fake *f, struct backend_task *t, enum act_reply how)
{
    struct arena a;
    arena_init(&a, 0);
    struct backend_activity_completion c = {.kind = ACT_COMPLETED};
    if (how == REPLY_OK)
        c.result = payloads_of_json(
            &a, arena_printf(&a, "\"%.*s#%d\"", STR_ARG(t->activity_id), t->attempt));
    if (how == REPLY_FAIL || how == REPLY_FAIL_HARD) {
        c.kind = ACT_FAILED;
        c.failure = failure_app(&a, STR("Boom"), STR("boom"), how == REPLY_FAIL_HARD, NULL, NULL);
    }
    if (how == REPLY_ASYNC) c.kind = ACT_ASYNC;
    f->b->ops->complete_activity(f->b, t->token, &c, on_answer_, f);
    f->b->ops->offer(f->b, 0, 1);
    backend_task_free(t);
    arena_free(&a);
}

static void fake_work(struct fake *f)
{
    while (f->n_tasks) {
        struct backend_task *t = f->tasks[0];
        memmove(f->tasks, f->tasks + 1, --f->n_tasks * sizeof *f->tasks);
        if (t->kind == BACKEND_WORKFLOW_TASK) {
            if (f->hold_workflows && !t->legacy_query) {
                CHECK(f->n_held < MAX_HELD);
                f->held[f->n_held++] = t;
                continue;
            }
            do_workflow(f, t);
            continue;
        }
        struct str input = payload_data(rec_msg(t->input, T(payloads, payloads)));
        snprintf(f->input_seen, sizeof f->input_seen, "%.*s", STR_ARG(input));
        snprintf(f->key_seen, sizeof f->key_seen, "%.*s", STR_ARG(t->idempotency_key));
        CHECK_INT(t->idempotency_key.n, 32);
        enum act_reply how = f->activity ? f->activity(f, t) : REPLY_OK;
        if (how == REPLY_HOLD) {
            CHECK(f->n_held < MAX_HELD);
            f->held[f->n_held++] = t;
        } else {
            finish_activity(f, t, how);
        }
    }
}

/* Runs until nothing can happen without a message, a held task or (unless `timers`) a timer. */
static inline void settle(struct fake *f, bool timers)
{
    int64_t end = clock_mono(&clock_system) + 30 * NS_PER_S;
    int quiet = 0;
    while (quiet < 3) {
        int64_t due = 0;
        fake_turn(f);
        int act = engine_activity(f->engine, &due);
        if (act == 2 && timers && f->mode == ENGINE_CLOCK_VIRTUAL && !f->n_tasks) {
            engine_advance(f->engine);
            quiet = 0;
            continue;
        }
        bool idle = !f->n_tasks && (act == 0 || (act == 2 && !timers) ||
                                    (act == 1 && f->n_held > 0 && quiet < 50));
        quiet = idle ? quiet + 1 : 0;
        if (f->n_held && idle && quiet < 3) loop_turn(f->loop, 5 * NS_PER_MS);
        if (clock_mono(&clock_system) > end) {
            fprintf(stderr, "[%s] does not settle (activity %d)\n", check_case, act);
            exit(1);
        }
    }
}

static void start_full(struct fake *f, struct backend_start *s)
{
    struct arena a;
    arena_init(&a, 0);
    struct backend_start with = *s;
    if (!with.input) with.input = payloads_of_json(&a, STR("{\"n\":1}"));
    clear(&got);
    f->b->ops->start(f->b, &with, take, &got);
    wait_got(f, &got);
    arena_free(&a);
}
static inline void start(struct fake *f, const char *id, const char *type)
{
    struct backend_start s = {.workflow_id = str_of(id),
                              .workflow_type = str_of(type),
                              .task_queue = STR("default"),
                              .entry = STR("/x/flow.lua")};
    start_full(f, &s);
    CHECK_INT(got.err.code, 0);
}
static inline void sig(struct fake *f, const char *id, const char *name, const char *request)
{
    struct backend_target t = {.workflow_id = str_of(id)};
    clear(&got);
    f->b->ops->signal(f->b, &t, str_of(request), str_of(name), NULL, NULL, STR("me"), take, &got);
    wait_got(f, &got);
}
/* The result of a chain, waiting in the file's own words. */
static inline int result(struct fake *f, const char *id)
{
    struct backend_target t = {.workflow_id = str_of(id)};
    clear(&got);
    f->b->ops->result(f->b, &t, false, take, &got);
    wait_got(f, &got);
    return got.err.code ? got.err.code : got.status;
}
static inline int last_type(void)
{
    return hist.n ? event_type(hist.events[hist.n - 1]) : 0;
}
#endif
