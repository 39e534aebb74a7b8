/* The worker alone: replayer, activity runtime and engine are stand-ins that do what each case
 * tells them. */
#include "base/mem.h"
#include "check.h"
#include "worker/worker_internal.h"

/* ---- a stand-in of the replayer ---- */
struct wf_run {
    char run_id[64];
    int64_t last;
    int activations;
    struct wf_out out;
    struct wf_local_request local;
    struct arena a;
};
static enum wf_status plan[16]; /* what the next activations answer; DONE when empty */
static int plan_n, plan_at, opens, closes, rollbacks, flushes, resolves, interrupts;
static char trace[4096];
static struct wf_local_result last_resolved;
static char last_failure[200];
static int64_t retry_initial_ns;
static size_t memory_each = 1000;
static struct wf_pending pending[4]; /* what the runs wait for after each task */
static size_t n_pending;

static void plan_set(int n, const enum wf_status *s)
{
    memcpy(plan, s, (size_t)n * sizeof *s);
    plan_n = n;
    plan_at = 0;
}

int wf_open(struct bundle *b, const struct wf_info *info, struct wf_run **out, struct err *e)
{
    (void)b;
    (void)e;
    struct wf_run *r = calloc(1, sizeof *r);
    snprintf(r->run_id, sizeof r->run_id, STR_FMT, STR_ARG(info->run_id));
    arena_init(&r->a, 0);
    opens++;
    *out = r;
    return 0;
}

void wf_close(struct wf_run *r)
{
    closes++;
    arena_free(&r->a);
    free(r);
}

int wf_activate(struct wf_run *r, const struct wf_task *task, struct wf_budget budget,
                const struct wf_out **out, struct err *e)
{
    (void)budget;
    (void)e;
    if (task && task->n_events) {
        int64_t first = event_id(task->events[0]);
        CHECK_INT(first, task->whole ? 1 : r->last + 1);
        for (size_t i = 0; i < task->n_events; i++)
            CHECK_INT(event_id(task->events[i]), first + (int64_t)i);
        r->last = event_id(task->events[task->n_events - 1]);
    }
    r->activations++;
    strcat(trace, r->run_id);
    strcat(trace, " ");
    enum wf_status s = plan_at < plan_n ? plan[plan_at++] : WF_DONE;
    r->out = (struct wf_out){
        .status = s, .task_has_result = true, .pending = pending, .n_pending = n_pending};
    if (s == WF_FAIL_TASK) {
        r->out.fail_cause = WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE;
        r->out.failure =
            failure_app(&r->a, STR("LuaError"), STR("x.lua:3: a nil value"), false, NULL, NULL);
    }
    if (s == WF_WAIT_LOCAL && task) {
        struct rec *policy = rec_new(&r->a, &rec_type_retry_policy);
        rec_set_int(policy, T(retry_policy, initial_interval), retry_initial_ns);
        rec_set_int(policy, T(retry_policy, maximum_attempts), 3);
        r->local = (struct wf_local_request){.seq = 7,
                                             .attempt = 1,
                                             .activity_type = STR("step"),
                                             .activity_id = STR("1"),
                                             .retry_policy = policy,
                                             .retry_threshold_ns = 60 * NS_PER_S};
        r->out.locals = &r->local;
        r->out.n_locals = 1;
    }
    *out = &r->out;
    return 0;
}

int wf_local_resolve(struct wf_run *r, uint32_t seq, const struct wf_local_result *res)
{
    (void)r;
    CHECK_INT(seq, 7);
    resolves++;
    last_resolved = *res;
    snprintf(last_failure, sizeof last_failure, STR_FMT,
             STR_ARG(rec_str(res->failure, T(failure, message))));
    return 0;
}
void wf_flushed(struct wf_run *r)
{
    (void)r;
    flushes++;
}
void wf_rollback(struct wf_run *r, int64_t id)
{
    r->last = id;
    rollbacks++;
}
void wf_interrupt(struct wf_run *r)
{
    (void)r;
    interrupts++;
}
void wf_stop(struct wf_run *r)
{
    (void)r;
    interrupts++;
}
uint32_t wf_activations(const struct wf_run *r)
{
    (void)r;
    return 1;
}
size_t wf_memory(const struct wf_run *r)
{
    (void)r;
    return memory_each;
}
int64_t wf_last_event(const struct wf_run *r)
{
    return r->last;
}
int wf_split(const struct rec *const *ev, size_t n, void (*each)(void *, size_t, size_t, bool),
             void *ud, struct err *e)
{
    (void)ev;
    (void)e;
    each(ud, 0, n, true);
    return 0;
}

/* ---- bundles ---- */
static struct bundle the_bundle = {.refs = 1, .digest = "d1", .json = (char *)"{}", .json_n = 2};
struct bundle *bundle_ref(struct bundle *b)
{
    b->refs++;
    return b;
}
void bundle_unref(struct bundle *b)
{
    b->refs--;
}
int bundle_parse(struct str json, bundle_text_fn fn, void *ud, struct bundle **out, struct err *e)
{
    (void)json;
    (void)fn;
    (void)ud;
    (void)e;
    *out = bundle_ref(&the_bundle);
    return 0;
}

/* ---- a stand-in of the activity runtime ---- */
struct act_host {
    act_load_fn fn;
    void *ud;
    struct act_definition defs[4];
    size_t n;
    char path[64];
    bool answered;
    int id;
};
static struct {
    struct act_host *h;
    act_done_fn fn;
    void *ud;
    uint64_t id;
    int attempt;
    bool local;
    char type[32];
} calls[32];
static int n_calls, cancels;
static enum backend_cancel_reason last_cancel;
static const struct act_env *act_env_seen;

int act_open(const struct act_env *env, const char *path, bool prog, const char *const *args,
             size_t n_args, act_load_fn fn, void *ud, struct act_host **out, struct err *e)
{
    (void)prog;
    (void)args;
    (void)n_args;
    (void)e;
    struct act_host *h = calloc(1, sizeof *h);
    h->fn = fn;
    h->ud = ud;
    snprintf(h->path, sizeof h->path, "%s", path);
    h->defs[0] =
        (struct act_definition){"workflow", strcmp(path, "other.lua") ? STR("loop") : STR("other"),
                                STR("{}"),  {0},
                                {0},        true,
                                1};
    h->defs[1] = (struct act_definition){
        "activity", strcmp(path, "other.lua") ? STR("step") : STR("hop"), STR("{}"), {0}, {0}, true,
        2};
    h->defs[2] =
        (struct act_definition){"activity", STR("elsewhere"), STR("{}"), STR("gpu"), {0}, false, 3};
    h->n = 3;
    act_env_seen = env;
    *out = h;
    return 0;
}
void act_close(struct act_host *h)
{
    free(h);
}
const struct http_router *act_routes(const struct act_host *h)
{
    static struct http_router none;
    (void)h;
    return &none;
}

size_t act_definitions(const struct act_host *h, const struct act_definition **out)
{
    *out = h->defs;
    return h->answered ? h->n : 0;
}
struct bundle *act_bundle(struct act_host *h)
{
    (void)h;
    return bundle_ref(&the_bundle);
}
const char *act_path(const struct act_host *h)
{
    return h->path;
}
int act_start(struct act_host *h, const struct act_call *c, act_done_fn fn, void *ud, uint64_t *id,
              struct err *e)
{
    (void)e;
    calls[n_calls].h = h;
    calls[n_calls].fn = fn;
    calls[n_calls].ud = ud;
    calls[n_calls].id = (uint64_t)n_calls + 100;
    calls[n_calls].attempt = c->attempt;
    calls[n_calls].local = c->local;
    snprintf(calls[n_calls].type, sizeof calls[0].type, STR_FMT, STR_ARG(c->activity_type));
    *id = calls[n_calls++].id;
    return 0;
}
void act_cancel(struct act_host *h, uint64_t id, enum backend_cancel_reason why)
{
    (void)h;
    (void)id;
    cancels++;
    last_cancel = why;
}
size_t act_running(const struct act_host *h)
{
    (void)h;
    return 0;
}
bool act_ready(const struct act_host *h)
{
    return !h->answered;
}
bool act_step(struct act_host *h, int64_t budget)
{
    (void)budget;
    struct act_load_result r = {.kind = ACT_LOAD_DEFINITIONS};
    h->answered = true;
    h->fn(h->ud, &r);
    return false;
}
void act_on_ready(struct act_host *h, void (*fn)(void *), void *ud)
{
    (void)h;
    (void)fn;
    (void)ud;
}

static void call_ends(int i, bool ok, bool retryable, const char *message)
{
    struct arena a;
    arena_init(&a, 0);
    struct backend_activity_completion r = {.kind = ok ? ACT_COMPLETED : ACT_FAILED};
    if (!ok) r.failure = failure_app(&a, STR("Boom"), str_of(message), !retryable, NULL, NULL);
    calls[i].fn(calls[i].ud, calls[i].id, &r);
    arena_free(&a);
}

/* ---- a stand-in of the engine ---- */
static struct backend fake;
static struct {
    backend_answer_fn fn;
    void *ud;
    bool force;
} answers[32];
static int64_t said_till; /* sleeps_till of the last completion */
static int n_answers, n_failed, n_completed, offered_wf, offered_act, n_serve, n_queries,
    n_act_done, n_fetch, last_act_kind, n_beats;
static char served_queues[200], served_acts[200];
static backend_reply_fn fetch_fn;
static void *fetch_ud;

static int b_serve(struct backend *b, const struct backend_sink *s, const struct backend_served *q,
                   size_t n)
{
    (void)b;
    (void)s;
    n_serve++;
    served_queues[0] = served_acts[0] = 0;
    for (size_t i = 0; i < n; i++)
        strncat(strncat(served_queues, q[i].task_queue.p, q[i].task_queue.n), " ", 2);
    for (size_t i = 0; n && i < q[0].n_activity_types; i++)
        strncat(strncat(served_acts, q[0].activity_types[i].p, q[0].activity_types[i].n), " ", 2);
    return 0;
}
static int n_released;
static void b_release(struct backend *b, struct str token, const struct err *why)
{
    (void)b;
    CHECK(token.n > 0 && why->code);
    n_released++;
}
static void b_offer(struct backend *b, int w, int a)
{
    (void)b;
    offered_wf += w;
    offered_act += a;
}
static void keep(backend_answer_fn fn, void *ud, bool force)
{
    answers[n_answers].fn = fn;
    answers[n_answers].ud = ud;
    answers[n_answers++].force = force;
}
static void b_complete(struct backend *b, struct str t, const struct backend_workflow_completion *c,
                       backend_answer_fn fn, void *ud)
{
    (void)b;
    (void)t;
    CHECK(str_eqz(c->bundle_digest, "d1"));
    n_completed++;
    said_till = c->sleeps_till;
    keep(fn, ud, c->force_new_task);
}
static void b_fail(struct backend *b, struct str t, int cause, const struct rec *f, bool limit,
                   struct str p, backend_answer_fn fn, void *ud)
{
    (void)b;
    (void)t;
    (void)limit;
    (void)p;
    CHECK(cause != 0 && f);
    n_failed++;
    keep(fn, ud, false);
}
static void b_query(struct backend *b, struct str t, const struct backend_query_result *q,
                    backend_answer_fn fn, void *ud)
{
    (void)b;
    (void)t;
    (void)q;
    n_queries++;
    keep(fn, ud, false);
}
static void b_act(struct backend *b, struct str t, const struct backend_activity_completion *c,
                  backend_answer_fn fn, void *ud)
{
    (void)b;
    (void)t;
    (void)fn;
    (void)ud;
    last_act_kind = (int)c->kind;
    n_act_done++;
}
static void b_beat(struct backend *b, struct str t, const struct rec *d, backend_answer_fn fn,
                   void *ud)
{
    (void)b;
    (void)t;
    (void)d;
    n_beats++;
    struct backend_answer a = {.cancel_requested = true, .cancel_reason = BACKEND_CANCEL_REQUESTED};
    fn(ud, &a);
}
static void b_fetch(struct backend *b, const struct backend_target *t, bool all, struct str page,
                    backend_reply_fn fn, void *ud)
{
    (void)b;
    (void)t;
    (void)page;
    CHECK(all);
    n_fetch++;
    fetch_fn = fn;
    fetch_ud = ud;
}
static int b_bundle_get(struct backend *b, struct str d, struct buf *json, struct err *e)
{
    (void)b;
    (void)d;
    (void)e;
    buf_puts(json, "{}");
    return 0;
}
static int64_t b_now(struct backend *b)
{
    (void)b;
    return 5;
}
static const struct backend_ops ops = {.serve = b_serve,
                                       .offer = b_offer,
                                       .release = b_release,
                                       .complete_workflow = b_complete,
                                       .fail_workflow = b_fail,
                                       .complete_query = b_query,
                                       .complete_activity = b_act,
                                       .heartbeat = b_beat,
                                       .fetch_history = b_fetch,
                                       .bundle_get = b_bundle_get,
                                       .now_ns = b_now};
void backend_task_free(struct backend_task *t)
{
    struct arena a = t->arena;
    arena_free(&a);
}

/* ---- the frame ---- */
static struct loop *loop;
static struct worker *w;
static int script_errors;
static void on_error(void *ud, struct str id, struct str text)
{
    (void)ud;
    (void)id;
    (void)text;
    script_errors++;
}
static int loaded_code;
static void on_loaded(void *ud, const struct act_load_result *r, const char *path)
{
    (void)ud;
    (void)path;
    loaded_code = r->err.code;
}

static void begin(const char *name, size_t cache_runs, bool evict)
{
    static const struct log none;
    struct err e = {0};
    CASE(name);
    opens = closes = rollbacks = flushes = resolves = n_calls = cancels = n_answers = n_failed =
        n_completed = offered_wf = offered_act = 0;
    n_queries = n_act_done = n_fetch = plan_n = plan_at = script_errors = n_beats = 0;
    trace[0] = 0;
    retry_initial_ns = NS_PER_MS;
    fake.ops = &ops;
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    struct worker_opts o = {.backend = &fake,
                            .loop = loop,
                            .log = &none,
                            .cache_runs = cache_runs,
                            .evict_always = evict,
                            .on_script_error = on_error};
    o.env.clock = &clock_system;
    o.env.entropy = &entropy_system;
    CHECK_INT(worker_open(&o, &w, &e), 0);
    CHECK_INT(worker_load(w, "loop.lua", false, NULL, 0, on_loaded, NULL, &e), 0);
    while (worker_step(w, NS_PER_MS)) {
    }
}

static void end(void)
{
    worker_close(w);
    loop_close(loop);
    CHECK_INT(opens, closes);
    CHECK_INT(the_bundle.refs, 1);
}

static void push(const char *run, int64_t from, int64_t to)
{
    struct arena a;
    arena_init(&a, 0);
    struct backend_task *t = arena_alloc(&a, sizeof *t);
    t->kind = BACKEND_WORKFLOW_TASK;
    t->run_id = arena_str(&a, str_of(run));
    t->workflow_id = t->run_id;
    t->workflow_type = STR("loop");
    t->token = t->run_id;
    t->bundle_digest = STR("d1");
    t->whole = from == 1;
    t->started_id = to;
    t->n_events = (size_t)(to - from + 1);
    t->events = arena_alloc(&a, t->n_events * sizeof *t->events);
    for (int64_t i = from; i <= to; i++)
        t->events[i - from] = event_new(&a, i, i, EVENT_TYPE_WORKFLOW_TASK_STARTED, NULL);
    t->task_timeout_ns = 100 * NS_PER_MS;
    t->arena = a;
    w_on_workflow_task(w, t);
}

static void push_activity(const char *type, const char *token)
{
    struct arena a;
    arena_init(&a, 0);
    struct backend_task *t = arena_alloc(&a, sizeof *t);
    t->kind = BACKEND_ACTIVITY_TASK;
    t->activity_type = arena_str(&a, str_of(type));
    t->token = arena_str(&a, str_of(token));
    t->input = payloads_of_json(&a, STR("{\"n\":1}"));
    t->arena = a;
    w_on_activity_task(w, t);
}

static void step(void)
{
    for (int i = 0; i < 50; i++)
        worker_step(w, NS_PER_MS);
}

static void answer_last(enum backend_answer_kind kind, int64_t rollback)
{
    struct backend_answer a = {.kind = kind, .rollback_id = rollback};
    int i = --n_answers;
    answers[i].fn(answers[i].ud, &a);
}

static void turn_until(const int *n, int want)
{
    while (*n < want) {
        loop_turn(loop, 20 * NS_PER_MS);
        worker_step(w, NS_PER_MS);
    }
}

/* ---- cases ---- */
static void sticky(void)
{
    begin("a cached run takes the next task without being rebuilt", 0, false);
    CHECK_INT(offered_wf, 100);
    push("a", 1, 3);
    step();
    CHECK_INT(n_completed, 1);
    answer_last(BACKEND_OK, 0);
    CHECK_INT(offered_wf, 101);
    push("a", 4, 6);
    step();
    answer_last(BACKEND_OK, 0);
    CHECK_INT(opens, 1);
    CHECK_INT(worker_cached_runs(w), 1);
    end();
}

static void gap(void)
{
    begin("a task that does not go on where the run stands is rebuilt from the whole history", 0,
          false);
    struct arena a;
    struct rec *early[6];
    arena_init(&a, 0);
    push("a", 1, 3);
    step();
    answer_last(BACKEND_OK, 0);
    push("a", 7, 8);
    step();
    CHECK_INT(n_fetch, 1);
    CHECK_INT(closes, 1);
    CHECK(worker_busy(w));
    for (int i = 0; i < 6; i++)
        early[i] = event_new(&a, i + 1, i, EVENT_TYPE_WORKFLOW_TASK_STARTED, NULL);
    struct backend_reply r = {.events = early, .n_events = 6};
    fetch_fn(fetch_ud, &r);
    step();
    CHECK_INT(n_completed, 2);
    CHECK_INT(opens, 2);
    answer_last(BACKEND_OK, 0);
    arena_free(&a);
    end();
}

static void answers_case(void)
{
    begin("answers other than OK and DISCARDED evict; DISCARDED rolls back", 0, false);
    const enum backend_answer_kind bad[] = {BACKEND_STALE, BACKEND_UNHANDLED_COMMAND,
                                            BACKEND_STORAGE};
    for (int i = 0; i < 3; i++) {
        push("a", 1, 3);
        step();
        answer_last(bad[i], 0);
        CHECK_INT(worker_cached_runs(w), 0);
    }
    push("a", 1, 3);
    step();
    answer_last(BACKEND_DISCARDED, 1);
    CHECK_INT(rollbacks, 1);
    CHECK_INT(worker_cached_runs(w), 1);
    push("a", 2, 4);
    step();
    CHECK_INT(opens, 4);
    answer_last(BACKEND_OK, 0);
    end();
}

static void blocked(void)
{
    begin("a failed task is reported, its run thrown away and the person told", 0, false);
    plan_set(1, (enum wf_status[]){WF_FAIL_TASK});
    push("a", 1, 3);
    step();
    CHECK_INT(n_failed, 1);
    CHECK_INT(script_errors, 1);
    answer_last(BACKEND_OK, 0);
    CHECK_INT(worker_cached_runs(w), 0);
    end();
}

static void fair(void)
{
    begin("slices go round over the ready tasks", 0, false);
    plan_set(4, (enum wf_status[]){WF_MORE, WF_MORE, WF_MORE, WF_MORE});
    push("a", 1, 3);
    push("b", 1, 3);
    step();
    CHECK_STR(trace, "a b a b a b ");
    answer_last(BACKEND_OK, 0);
    answer_last(BACKEND_OK, 0);
    end();
}

static void lru(void)
{
    begin("a cache of one keeps the last run, and never drops one in hand", 1, false);
    push("a", 1, 3);
    push("b", 1, 3);
    step();
    CHECK_INT(worker_cached_runs(w), 2);
    answer_last(BACKEND_OK, 0);
    CHECK_INT(worker_cached_runs(w), 1);
    answer_last(BACKEND_OK, 0);
    CHECK_INT(worker_cached_runs(w), 1);
    CHECK_INT(closes, 1);
    end();
    begin("evict_always keeps none", 0, true);
    push("a", 1, 3);
    step();
    answer_last(BACKEND_OK, 0);
    CHECK_INT(worker_cached_runs(w), 0);
    end();
    begin("a byte limit evicts the oldest", 0, false);
    memory_each = (size_t)200 << 20;
    push("a", 1, 3);
    push("b", 1, 3);
    step();
    answer_last(BACKEND_OK, 0);
    answer_last(BACKEND_OK, 0);
    CHECK_INT(worker_cached_runs(w), 1);
    memory_each = 1000;
    end();
}

static void push_kind(const char *run, int64_t id, int type)
{
    struct arena a;
    arena_init(&a, 0);
    struct backend_task *t = arena_alloc(&a, sizeof *t);
    *t = (struct backend_task){.kind = BACKEND_WORKFLOW_TASK,
                               .run_id = arena_str(&a, str_of(run)),
                               .workflow_type = STR("loop"),
                               .bundle_digest = STR("d1"),
                               .whole = id == 1,
                               .started_id = id + 1,
                               .n_events = 2,
                               .task_timeout_ns = 100 * NS_PER_MS};
    t->workflow_id = t->token = t->run_id;
    t->events = arena_alloc(&a, 2 * sizeof *t->events);
    t->events[0] = event_new(&a, id, 1, type, NULL);
    t->events[1] = event_new(&a, id + 1, 1, EVENT_TYPE_WORKFLOW_TASK_STARTED, NULL);
    t->arena = a;
    w_on_workflow_task(w, t);
}

static void answer_sleeps(void)
{
    struct backend_answer a = {.kind = BACKEND_OK, .sleeps = true};
    int i = --n_answers;
    answers[i].fn(answers[i].ud, &a);
}

static void sleepers(void)
{
    begin("of a run that waits for timers only the first one's time is said; for nothing, none", 0,
          false);
    n_pending = 2;
    pending[0] = (struct wf_pending){.kind = WF_PENDING_TIMER, .due_ns = 900};
    pending[1] = (struct wf_pending){.kind = WF_PENDING_TIMER, .due_ns = 700};
    push("a", 1, 3);
    step();
    CHECK_INT(said_till, 700);
    answer_last(BACKEND_OK, 0);
    CHECK_INT(worker_cached_runs(w), 1); /* the engine did not say that this is long */
    n_pending = 0;
    push("a", 4, 5);
    step();
    CHECK_INT(said_till, 0);
    answer_last(BACKEND_OK, 0);
    end();
    begin("it goes from memory when the engine says that it sleeps for long, and is rebuilt", 0,
          false);
    n_pending = 2;
    push("a", 1, 3);
    step();
    answer_sleeps();
    CHECK_INT(worker_cached_runs(w), 0);
    push("a", 4, 5);
    step();
    CHECK_INT(n_fetch, 1);
    end();
    begin("a run that waits for something else too does not sleep", 0, false);
    static const enum wf_pending_kind kinds[] = {WF_PENDING_ACTIVITY, WF_PENDING_LOCAL,
                                                 WF_PENDING_CHILD,    WF_PENDING_EXTERNAL,
                                                 WF_PENDING_SIGNAL,   WF_PENDING_CONDITION};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        pending[1] = (struct wf_pending){.kind = kinds[i], .due_ns = 700};
        push(i % 2 ? "a" : "b", 1, 3);
        step();
        CHECK_INT(said_till, 0);
        answer_last(BACKEND_OK, 0);
    }
    n_pending = 1;
    end();
    begin("a run that is being talked to is not said to sleep", 0, false);
    push_kind("a", 1, EVENT_TYPE_TIMER_FIRED);
    step();
    CHECK_INT(said_till, 900);
    answer_last(BACKEND_OK, 0);
    push_kind("a", 3, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED);
    step();
    CHECK_INT(said_till, 0);
    answer_last(BACKEND_OK, 0);
    push_kind("a", 5, EVENT_TYPE_TIMER_FIRED);
    step();
    CHECK_INT(said_till, 900);
    answer_last(BACKEND_OK, 0);
    n_pending = 0;
    end();
}

static void parked(void)
{
    begin("a second task of a run waits behind the first", 0, false);
    push("a", 1, 3);
    step();
    push("a", 4, 5);
    step();
    CHECK_INT(n_completed, 1);
    answer_last(BACKEND_OK, 0);
    step();
    CHECK_INT(n_completed, 2);
    CHECK_INT(opens, 1);
    answer_last(BACKEND_OK, 0);
    end();
    begin("a run that closed while its task is in hand goes when the task ends", 0, false);
    push("a", 1, 3);
    step();
    w->sink.on_run_closed(w, STR("a"));
    CHECK_INT(worker_cached_runs(w), 1);
    answer_last(BACKEND_OK, 0);
    CHECK_INT(worker_cached_runs(w), 0);
    end();
}

static void locals(void)
{
    begin("a local activity is retried and its outcome handed to the run", 0, false);
    plan_set(1, (enum wf_status[]){WF_WAIT_LOCAL});
    push("a", 1, 3);
    step();
    CHECK_INT(n_calls, 1);
    CHECK(calls[0].local && calls[0].attempt == 1);
    call_ends(0, false, true, "first");
    turn_until(&n_calls, 2);
    CHECK_INT(calls[1].attempt, 2);
    call_ends(1, true, true, "");
    step();
    CHECK_INT(resolves, 1);
    CHECK(last_resolved.failure == NULL);
    CHECK_INT(last_resolved.attempt, 2);
    CHECK_INT(n_completed, 1);
    answer_last(BACKEND_OK, 0);
    end();
    begin("a failure that must not be retried ends it at once", 0, false);
    plan_set(1, (enum wf_status[]){WF_WAIT_LOCAL});
    push("a", 1, 3);
    step();
    call_ends(0, false, false, "never again");
    step();
    CHECK_INT(n_calls, 1);
    CHECK_STR(last_failure, "never again");
    answer_last(BACKEND_OK, 0);
    end();
    begin("a back-off past the threshold is given to the run as a timer", 0, false);
    retry_initial_ns = 120 * NS_PER_S;
    plan_set(1, (enum wf_status[]){WF_WAIT_LOCAL});
    push("a", 1, 3);
    step();
    call_ends(0, false, true, "later");
    step();
    CHECK_INT(last_resolved.backoff_ns, 120 * NS_PER_S);
    answer_last(BACKEND_OK, 0);
    end();
}

static void local_heartbeat(void)
{
    begin("a local activity that takes long is bridged by a new task", 0, false);
    plan_set(1, (enum wf_status[]){WF_WAIT_LOCAL});
    push("a", 1, 3);
    step();
    turn_until(&n_completed, 1);
    CHECK(answers[0].force);
    CHECK_INT(flushes, 1);
    call_ends(0, true, true, ""); /* between two tasks: the outcome waits */
    CHECK_INT(resolves, 0);
    answer_last(BACKEND_OK, 0);
    CHECK_INT(worker_cached_runs(w), 1);
    plan_set(2, (enum wf_status[]){WF_WAIT_LOCAL, WF_DONE});
    push("a", 4, 5);
    n_calls = 0;
    step();
    CHECK_INT(resolves, 1);
    CHECK_INT(n_completed, 2);
    answer_last(BACKEND_OK, 0);
    end();
}

static int c_activity(void *ud, uint64_t call, struct str input)
{
    CHECK(str_eqz(input, "[{\"n\":1}]"));
    *(uint64_t *)ud = call;
    return 0;
}

static void attempts(void)
{
    uint64_t call = 0;
    struct err e = {0};
    begin("activities in Lua and in C, heartbeats, cancellation", 0, false);
    CHECK_STR(served_queues, "default ");
    CHECK_STR(served_acts, "step ");
    struct worker_c_activity a = {.name = "walk", .fn = c_activity, .ud = &call};
    CHECK_INT(worker_register_c(w, &a, &e), 0);
    CHECK_INT(worker_register_c(w, &a, &e), ERR_EXISTS);
    CHECK_STR(served_acts, "step walk ");
    push_activity("step", "t1");
    CHECK(worker_busy(w));
    act_env_seen->heartbeat(act_env_seen->ud, calls[0].id, NULL);
    CHECK_INT(n_beats, 1);
    CHECK_INT(cancels, 1); /* the engine's answer asked for it */
    w_on_activity_cancel(w, STR("t1"), BACKEND_CANCEL_PAUSED);
    CHECK_INT(last_cancel, BACKEND_CANCEL_PAUSED);
    call_ends(0, true, true, "");
    CHECK_INT(n_act_done, 1);
    CHECK(!worker_busy(w));
    push_activity("walk", "t2");
    CHECK_INT(worker_c_done(w, call, 0, STR("3"), STR(""), STR(""), false), 0);
    CHECK_INT(n_act_done, 2);
    CHECK_INT(worker_c_done(w, call, 0, STR("3"), STR(""), STR(""), false), ERR_STALE);
    push_activity("nowhere", "t3");
    CHECK_INT(n_act_done, 3);
    CHECK_INT(last_act_kind, ACT_FAILED);
    push_activity("step", "t4");
    w_on_activity_cancel(w, STR("t4"), BACKEND_CANCEL_GONE);
    call_ends(1, true, true, "");
    CHECK_INT(n_act_done, 3); /* nobody wants to know any more */
    CHECK_INT(offered_act, 1000 + 4);
    end();
}

static int stops;
static void on_stopped(void *ud)
{
    (void)ud;
    stops++;
}

static void stopping(void)
{
    begin("stopping tells attempts and leaves their end to the engine", 0, false);
    push_activity("step", "t1");
    worker_stop(w, on_stopped, NULL);
    CHECK_INT(stops, 0);
    CHECK_INT(last_cancel, BACKEND_CANCEL_SHUTDOWN);
    call_ends(0, false, true, "stopped");
    CHECK_INT(n_act_done, 0);
    CHECK_INT(stops, 1);
    end();
    begin("a task that waits behind another goes when the worker stops", 0, false);
    stops = 0;
    push("a", 1, 3);
    step();
    push("a", 4, 5);
    push("a", 6, 7);
    step();
    worker_stop(w, on_stopped, NULL);
    CHECK_INT(stops, 0);
    CHECK_INT(w->n_tasks, 1);
    answer_last(BACKEND_OK, 0);
    CHECK_INT(stops, 1);
    CHECK(!w->ready_first);
    end();
}

static void registry(void)
{
    struct err e = {0};
    struct str digest, path, queue;
    begin("scripts and their names", 0, false);
    CHECK_INT(worker_find_workflow(w, STR("loop"), &digest, &path, &queue, NULL, &e), 0);
    CHECK(str_eqz(queue, "default") && str_eqz(path, "loop.lua") && str_eqz(digest, "d1"));
    CHECK_INT(worker_find_workflow(w, STR("lop"), NULL, NULL, NULL, NULL, &e), ERR_NOTFOUND);
    CHECK(strstr(e.text, "loop"));
    CHECK_INT(worker_load(w, "copy.lua", false, NULL, 0, on_loaded, NULL, &e), 0);
    step();
    CHECK_INT(loaded_code, ERR_EXISTS);
    CHECK_INT(worker_load(w, "other.lua", false, NULL, 0, on_loaded, NULL, &e), 0);
    step();
    CHECK_INT(loaded_code, 0);
    CHECK(worker_knows_workflow(w, STR("other")));
    CHECK_INT(worker_load(w, "loop.lua", false, NULL, 0, on_loaded, NULL, &e),
              0); /* the newest text of the same file */
    step();
    CHECK_INT(loaded_code, 0);
    end();
}

int main(void)
{
    sticky();
    gap();
    answers_case();
    blocked();
    fair();
    lru();
    sleepers();
    parked();
    locals();
    local_heartbeat();
    attempts();
    stopping();
    registry();
    return CHECK_DONE();
}
