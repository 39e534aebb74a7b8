/* Random programs against an engine that answers in seeded random order.
 *
 * Each program is driven live on one run that is kept. Afterwards every task is done again: on a
 * fresh run that replays the history up to that task (what an eviction before each task does), and
 * in slices of one instruction. Commands, and what a query sees, must be the same bytes.
 * Usage: test_replay_random [programs [first seed]]; a failure prints the seed and leaves the
 * script's text on stderr. */
#include "../unit/wf_history.h"
#include "check.h"
#include "random_program.h"
#include "script/bundle.h"
#include "workflow/workflow.h"
#include <unistd.h>

#define TASKS_MAX 60
#define OPEN_MAX 400
#define ANSWERS_MAX 64

struct answer {
    uint32_t seq;
    struct wf_local_result res;
};
struct task {
    size_t from, upto; /* events [from, upto) are new to a kept run */
    struct rec *message;
    struct answer answers[ANSWERS_MAX];
    size_t n_answers;
    bool heartbeat;
    struct buf commands, query;
};
enum open_kind { TIMER, ACTIVITY, CHILD, EXTERNAL_SIGNAL, EXTERNAL_CANCEL };
struct open {
    enum open_kind kind;
    int64_t event;
    const char *id;
    bool canceled, started;
};
struct sim {
    uint64_t seed;
    struct rng g;
    struct hist h;
    struct bundle *bundle;
    struct buf text;
    struct open open[OPEN_MAX];
    size_t n_open;
    struct task tasks[TASKS_MAX];
    size_t n_tasks;
    uint32_t locals[ANSWERS_MAX];
    bool local_canceled[ANSWERS_MAX];
    size_t n_locals;
    int updates;
    int64_t accepted[400];
    bool closed, cancel_sent;
};
static struct sim *sim;
static char dir[64];

static void fail(const char *what)
{
    fprintf(stderr, "seed %llu: %s\n" STR_FMT "\n", (unsigned long long)sim->seed, what,
            STR_ARG(buf_str(&sim->text)));
    exit(1);
}
static void task_failed(const struct wf_out *o)
{
    fprintf(stderr, STR_FMT "\n" STR_FMT "\n", STR_ARG(rec_str(o->failure, T(failure, message))),
            STR_ARG(rec_str(o->failure, T(failure, stack_trace))));
    fail("the task failed");
}
static bool chance(unsigned percent)
{
    return rng_below(&sim->g, 100) < percent;
}

static struct wf_run *open_run(void)
{
    struct wf_run *r = NULL;
    struct err e = {0};
    struct wf_info info = {.namespace_ = STR("default"),
                           .workflow_id = STR("wf-1"),
                           .run_id = STR("run-1"),
                           .task_queue = STR("queue"),
                           .current_digest = sim->bundle->digest};
    if (wf_open(sim->bundle, &info, &r, &e)) fail(e.text);
    return r;
}

/* ---- one task on one run ---- */
static const struct wf_out *step(struct wf_run *r, const struct wf_task *t, uint64_t budget)
{
    const struct wf_out *o = NULL;
    struct err e = {0};
    do {
        if (wf_activate(r, t, (struct wf_budget){budget}, &o, &e)) fail(e.text);
        t = NULL;
    } while (o->status == WF_MORE);
    if (o->status == WF_FAIL_TASK) task_failed(o);
    return o;
}

static const struct wf_out *begin(struct wf_run *r, const struct task *t, bool whole,
                                  uint64_t budget)
{
    static const struct wf_query query = {.id = STR("q"), .type = STR("o")};
    size_t from = whole ? 0 : t->from;
    struct wf_task w = {.events = (const struct rec *const *)(sim->h.ev + from),
                        .n_events = t->upto - from,
                        .whole = from == 0,
                        .started_id = (int64_t)t->upto,
                        .messages = (const struct rec *const *)&t->message,
                        .n_messages = t->message ? 1 : 0,
                        .queries = &query,
                        .n_queries = 1,
                        .wall_ns = 1};
    return step(r, &w, budget);
}

static void outcome(const struct wf_out *o, struct buf *commands, struct buf *query)
{
    buf_init(commands, 16u << 20);
    buf_init(query, 1u << 20);
    for (size_t i = 0; i < o->n_commands; i++)
        if (rec_encode(o->commands[i], commands)) fail("a command cannot be encoded");
    if (o->n_query_results != 1 || !o->query_results[0].ok) fail("the query failed");
    if (rec_encode(o->query_results[0].result, query)) fail("a result cannot be encoded");
}

/* The same task again; what comes out must be the same. */
static void again(struct wf_run *r, struct task *t, bool whole, uint64_t budget, const char *how)
{
    const struct wf_out *o = begin(r, t, whole, budget);
    for (size_t i = 0; o->status == WF_WAIT_LOCAL && i < t->n_answers; i++) {
        if (wf_local_resolve(r, t->answers[i].seq, &t->answers[i].res)) fail("resolve");
        o = step(r, NULL, budget);
    }
    struct buf commands, query;
    outcome(o, &commands, &query);
    char text[200];
    snprintf(text, sizeof text, "%s differs at task %zu (event %zu)", how,
             (size_t)(t - sim->tasks) + 1, t->upto);
    if ((o->status == WF_WAIT_LOCAL) != t->heartbeat) fail(text);
    if (!str_eq(buf_str(&commands), buf_str(&t->commands))) fail(text);
    if (!str_eq(buf_str(&query), buf_str(&t->query))) {
        fprintf(stderr, STR_FMT " / " STR_FMT "\n", STR_ARG(buf_str(&query)),
                STR_ARG(buf_str(&t->query)));
        fail(text);
    }
    buf_free(&commands);
    buf_free(&query);
    if (t->heartbeat) wf_flushed(r);
}

/* ---- local activities of the live run ---- */
static void take_locals(const struct wf_out *o)
{
    for (size_t i = 0; i < o->n_locals; i++) {
        CHECK(sim->n_locals < ANSWERS_MAX);
        sim->local_canceled[sim->n_locals] = false;
        sim->locals[sim->n_locals++] = o->locals[i].seq;
    }
    for (size_t i = 0; i < o->n_local_cancels; i++) {
        for (size_t k = 0; k < sim->n_locals; k++)
            if (sim->locals[k] == o->local_cancels[i]) sim->local_canceled[k] = true;
    }
}

static void answer_one(struct wf_run *r, struct task *t)
{
    struct sim *s = sim;
    size_t k = rng_below(&s->g, s->n_locals);
    CHECK(t->n_answers < ANSWERS_MAX);
    struct answer *x = &t->answers[t->n_answers++];
    *x = (struct answer){s->locals[k],
                         {.attempt = 1, .complete_ns = s->h.now + (int64_t)t->n_answers}};
    if (s->local_canceled[k] && chance(80)) {
        x->res.canceled = true;
    } else if (chance(30)) {
        x->res.failure = failure_app(&s->h.a, STR("Local"), STR("no"), true, NULL, NULL);
        x->res.backoff_ns = chance(40) ? 90 * NS_PER_S : 0;
        x->res.original_schedule_ns = s->h.now;
    } else {
        x->res.result = h_json(&s->h, "4");
    }
    s->n_locals--;
    s->locals[k] = s->locals[s->n_locals];
    s->local_canceled[k] = s->local_canceled[s->n_locals];
    if (wf_local_resolve(r, x->seq, &x->res)) fail("resolve");
}

/* ---- commands become events ---- */
static void opened(enum open_kind kind, int64_t event, struct str id)
{
    CHECK(sim->n_open < OPEN_MAX);
    sim->open[sim->n_open++] =
        (struct open){.kind = kind, .event = event, .id = arena_str(&sim->h.a, id).p};
}
static struct open *find_open(enum open_kind kind, int64_t event, struct str id)
{
    for (size_t i = 0; i < sim->n_open; i++) {
        struct open *x = &sim->open[i];
        if (x->kind == kind && (event ? x->event == event : str_eqz(id, x->id))) return x;
    }
    return NULL;
}
static void closed(struct open *x)
{
    *x = sim->open[--sim->n_open];
}

static void marker_event(const struct rec *c)
{
    struct arena *a = &sim->h.a;
    struct rec *at = NULL;
    h_add(&sim->h, EVENT_TYPE_MARKER_RECORDED, &at);
    rec_set_copy(at, T(ev_marker_recorded, marker_name),
                 rec_str(c, T(cmd_record_marker, marker_name)));
    static const char *const keys[] = {"patch-data", "side-effect-id", "data", "result"};
    for (size_t i = 0; i < 4; i++) {
        const struct rec *from = rec_map_get(c, T(cmd_record_marker, details), str_of(keys[i]));
        if (!from) continue;
        struct rec *to = rec_map_set(at, T(ev_marker_recorded, details), str_of(keys[i]));
        const struct rec_field *f = NULL;
        while ((f = rec_each(from, T(payloads, payloads), f)))
            payloads_add(to, rec_clone(a, f->v.m));
    }
    const struct rec *failure = rec_msg(c, T(cmd_record_marker, failure));
    if (failure) rec_set_msg(at, T(ev_marker_recorded, failure), rec_clone(a, failure));
}

static void update_event(const struct rec *c)
{
    char id[40];
    struct str m = rec_str(c, T(cmd_protocol_message, message_id));
    snprintf(id, sizeof id, STR_FMT, STR_ARG(m));
    char *slash = strchr(id, '/');
    CHECK(slash);
    bool accept = strcmp(slash, "/accept") == 0;
    *slash = 0;
    int n = atoi(id + 1);
    char args[20];
    snprintf(args, sizeof args, "%d", n);
    const char *z = arena_str(&sim->h.a, str_of(id)).p;
    if (accept)
        sim->accepted[n] =
            h_update_accepted(&sim->h, z, "up", arena_str(&sim->h.a, str_of(args)).p);
    else
        h_update_completed(&sim->h, z, sim->accepted[n]);
}

static void request_event(int type, const struct rec *c)
{
    struct hist *h = &sim->h;
    struct str id;
    struct rec *at = NULL;
    if (type == COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION) {
        id = rec_str(c, T(cmd_request_cancel_external_workflow_execution, workflow_id));
        const char *z = arena_str(&h->a, id).p;
        struct open *child = find_open(CHILD, 0, id);
        if (child) child->canceled = true;
        opened(EXTERNAL_CANCEL, h_cancel_external(h, z), id);
        return;
    }
    h_add(h, EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, &at);
    id = rec_str(rec_msg(c, T(cmd_signal_external_workflow_execution, execution)),
                 T(workflow_execution, workflow_id));
    rec_set_copy(
        rec_sub(at, T(ev_signal_external_workflow_execution_initiated, workflow_execution)),
        T(workflow_execution, workflow_id), id);
    rec_set_copy(at, T(ev_signal_external_workflow_execution_initiated, signal_name),
                 rec_str(c, T(cmd_signal_external_workflow_execution, signal_name)));
    rec_set_msg(at, T(ev_signal_external_workflow_execution_initiated, input),
                rec_clone(&h->a, rec_msg(c, T(cmd_signal_external_workflow_execution, input))));
    opened(EXTERNAL_SIGNAL, (int64_t)h->n, id);
}

static void start_event(int type, const struct rec *c)
{
    struct hist *h = &sim->h;
    struct rec *at = NULL;
    h_add(h, command_event_type(type), &at);
    if (type == COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK) {
        struct str id = rec_str(c, T(cmd_schedule_activity_task, activity_id));
        rec_set_copy(at, T(ev_activity_task_scheduled, activity_id), id);
        rec_set_msg(at, T(ev_activity_task_scheduled, activity_type),
                    rec_clone(&h->a, rec_msg(c, T(cmd_schedule_activity_task, activity_type))));
        rec_set_msg(at, T(ev_activity_task_scheduled, input),
                    rec_clone(&h->a, rec_msg(c, T(cmd_schedule_activity_task, input))));
        opened(ACTIVITY, (int64_t)h->n, id);
        return;
    }
    struct str id = rec_str(c, T(cmd_start_child_workflow_execution, workflow_id));
    rec_set_copy(at, T(ev_start_child_workflow_execution_initiated, workflow_id), id);
    rec_set_msg(at, T(ev_start_child_workflow_execution_initiated, workflow_type),
                rec_clone(&h->a, rec_msg(c, T(cmd_start_child_workflow_execution, workflow_type))));
    rec_set_msg(at, T(ev_start_child_workflow_execution_initiated, input),
                rec_clone(&h->a, rec_msg(c, T(cmd_start_child_workflow_execution, input))));
    opened(CHILD, (int64_t)h->n, id);
}

static void record_command(const struct rec *command)
{
    struct hist *h = &sim->h;
    int type = command_type(command);
    const struct rec *c = command_attrs(command);
    struct str id;
    struct open *x;
    struct rec *at = NULL;
    switch (type) {
    case COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
    case COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION:
        start_event(type, c);
        break;
    case COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK: {
        int64_t scheduled = rec_int(c, T(cmd_request_cancel_activity_task, scheduled_event_id));
        h_activity_cancel(h, scheduled);
        if (!scheduled) fail("an activity was cancelled by event 0");
        if ((x = find_open(ACTIVITY, scheduled, STR("")))) x->canceled = true;
        break;
    }
    case COMMAND_TYPE_START_TIMER:
        id = arena_str(&h->a, rec_str(c, T(cmd_start_timer, timer_id)));
        opened(TIMER, h_timer(h, id.p), id);
        break;
    case COMMAND_TYPE_CANCEL_TIMER:
        id = arena_str(&h->a, rec_str(c, T(cmd_cancel_timer, timer_id)));
        x = find_open(TIMER, 0, id);
        if (!x) fail("a timer that is not open was cancelled");
        h_timer_canceled(h, x->event, id.p);
        closed(x);
        break;
    case COMMAND_TYPE_RECORD_MARKER:
        marker_event(c);
        break;
    case COMMAND_TYPE_PROTOCOL_MESSAGE:
        update_event(c);
        break;
    case COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION:
    case COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION:
        request_event(type, c);
        break;
    case COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
        h_add(h, EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, &at);
        rec_set_msg(at, T(ev_upsert_workflow_search_attributes, search_attributes),
                    rec_clone(&h->a, rec_msg(c, T(cmd_upsert_workflow_search_attributes,
                                                  search_attributes))));
        break;
    default:
        h_add(h, command_event_type(type), NULL);
        if (command_is_terminal(type)) sim->closed = true;
    }
}

/* ---- what happens in the world ---- */
static void child_happens(struct open *x)
{
    struct hist *h = &sim->h;
    if (!x->started && chance(15)) {
        h_child_start_failed(h, x->event);
        closed(x);
    } else if (!x->started) {
        x->started = true;
        h_child_started(h, x->event, x->id, "run-k");
    } else {
        if (x->canceled && chance(60))
            h_child_canceled(h, x->event);
        else if (chance(70))
            h_child_completed(h, x->event, "8");
        else if (chance(50))
            h_child_failed(h, x->event);
        else
            h_child_terminated(h, x->event);
        closed(x);
    }
}

static void activity_happens(struct open *x)
{
    struct hist *h = &sim->h;
    if (x->canceled && chance(60))
        h_activity_canceled(h, x->event);
    else if (chance(70))
        h_activity_completed(h, x->event, "3");
    else if (chance(60))
        h_activity_failed(h, x->event, "Boom", "bad");
    else
        h_activity_timed_out(h, x->event);
    closed(x);
}

static void something_happens(void)
{
    struct hist *h = &sim->h;
    if (sim->n_open == 0 || chance(20)) {
        if (chance(4) && !sim->cancel_sent) {
            h_cancel_requested(h);
            sim->cancel_sent = true;
        } else {
            h_signal(h, chance(50) ? "inc" : "ch", chance(50) ? "2" : "3");
        }
        return;
    }
    struct open *x = &sim->open[rng_below(&sim->g, sim->n_open)];
    switch (x->kind) {
    case TIMER:
        h_timer_fired(h, x->event, x->id);
        closed(x);
        break;
    case ACTIVITY:
        activity_happens(x);
        break;
    case CHILD:
        child_happens(x);
        break;
    case EXTERNAL_SIGNAL:
        if (chance(70))
            h_external_signaled(h, x->event);
        else
            h_signal_external_failed(h, x->event);
        closed(x);
        break;
    case EXTERNAL_CANCEL:
        h_external_canceled(h, x->event);
        closed(x);
        break;
    }
}

static struct rec *new_update(bool rejected)
{
    char id[20], args[20];
    int n = ++sim->updates;
    while ((n % 3 == 0) != rejected)
        n = ++sim->updates;
    CHECK(n < 400);
    snprintf(id, sizeof id, "u%d", n);
    snprintf(args, sizeof args, "%d", n);
    return h_update_message(&sim->h, id, "up", args);
}

/* A task in which one update is rejected, and which the engine then discards. */
static void discarded(struct wf_run *r)
{
    struct hist *h = &sim->h;
    struct hist was = *h;
    size_t n = h->n;
    int64_t before = wf_last_event(r);
    h_task(h);
    struct task t = {.from = (size_t)before, .upto = h->n, .message = new_update(true)};
    const struct wf_out *o = begin(r, &t, false, 0);
    if (o->status == WF_DONE) {
        if (o->n_commands) fail("a rejected update made commands");
        wf_rollback(r, before);
        h->n = n;
        h->now = was.now;
        h->scheduled = was.scheduled;
        h->started = was.started;
    } else {
        fail("a task without local activities waits for one");
    }
}

/* ---- one program ---- */
static void live_task(struct wf_run *r)
{
    struct sim *s = sim;
    struct task *t = &s->tasks[s->n_tasks++];
    t->from = (size_t)wf_last_event(r);
    while (chance(15)) {
        h_task(&s->h);
        h_task_timed_out(&s->h);
        if (chance(50)) something_happens();
    }
    h_task(&s->h);
    t->upto = s->h.n;
    if (chance(15)) t->message = new_update(chance(30));
    if (s->n_locals && chance(30)) answer_one(r, t);
    const struct wf_out *o = begin(r, t, false, 0);
    take_locals(o);
    while (o->status == WF_WAIT_LOCAL) {
        if (chance(20) || s->n_locals == 0) {
            t->heartbeat = true;
            break;
        }
        answer_one(r, t);
        if (s->n_locals && chance(30)) answer_one(r, t);
        o = step(r, NULL, 0);
        take_locals(o);
    }
    outcome(o, &t->commands, &t->query);
    h_done(&s->h);
    for (size_t i = 0; i < o->n_commands; i++)
        record_command(o->commands[i]);
    if (t->heartbeat) wf_flushed(r);
}

static void drive(void)
{
    struct wf_run *r = open_run();
    h_begin(&sim->h, "wf", NULL);
    while (!sim->closed && sim->n_tasks < TASKS_MAX && sim->h.n < H_MAX - 400) {
        live_task(r);
        if (sim->closed) break;
        if (sim->n_locals == 0 && chance(10) && !sim->tasks[sim->n_tasks - 1].heartbeat)
            discarded(r);
        if (chance(90))
            for (uint64_t n = 1 + rng_below(&sim->g, 3); n; n--)
                something_happens();
    }
    wf_close(r);
}

static void check_all(void)
{
    struct wf_run *kept = open_run();
    for (size_t i = 0; i < sim->n_tasks; i++) {
        struct wf_run *r = open_run();
        again(r, &sim->tasks[i], true, 0, "a fresh run");
        wf_close(r);
        if (i % 5 == sim->seed % 5) {
            r = open_run();
            again(r, &sim->tasks[i], true, 1, "a fresh run in slices of one");
            wf_close(r);
        }
        again(kept, &sim->tasks[i], false, 1, "a kept run in slices of one");
    }
    wf_close(kept);
    struct wf_run *r = open_run();
    struct wf_task whole = {
        .events = (const struct rec *const *)sim->h.ev, .n_events = sim->h.n, .whole = true};
    const struct wf_out *o = step(r, &whole, 0);
    if (o->status != WF_DONE || o->n_commands || o->n_drift) fail("the replay of it all differs");
    if (o->closed != sim->closed) fail("the replay of it all ends differently");
    wf_close(r);
}

static void one_program(uint64_t seed)
{
    struct sim *s = sim;
    char name[40], path[100];
    struct err e = {0};
    memset(s, 0, sizeof *s);
    s->seed = seed;
    int n = snprintf(name, sizeof name, "program %llu", (unsigned long long)seed);
    rng_seed(&s->g, str_make(name, (size_t)n));
    buf_init(&s->text, 1u << 20);
    random_program(&s->g, &s->text);
    snprintf(path, sizeof path, "%s/app.lua", dir);
    FILE *f = fopen(path, "w");
    CHECK(f);
    fwrite(s->text.p, 1, s->text.n, f);
    fclose(f);
    if (bundle_build(path, NULL, 0, &s->bundle, &e)) fail(e.text);
    h_init(&s->h);
    s->h.digest = s->bundle->digest;
    drive();
    check_all();
    for (size_t i = 0; i < s->n_tasks; i++) {
        buf_free(&s->tasks[i].commands);
        buf_free(&s->tasks[i].query);
    }
    bundle_unref(s->bundle);
    buf_free(&s->text);
    h_free(&s->h);
}

int main(int argc, char **argv)
{
    int programs = argc > 1 ? atoi(argv[1]) : 100;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    size_t tasks = 0, ended = 0;
    snprintf(dir, sizeof dir, "/tmp/ml-test-random-XXXXXX");
    CHECK(mkdtemp(dir));
    sim = mem_zalloc(sizeof *sim);
    CHECK(sim);
    printf("%d programs, seeds from %llu\n", programs, (unsigned long long)first);
    for (int i = 0; i < programs; i++) {
        CASE("random program");
        one_program(first + (uint64_t)i);
        tasks += sim->n_tasks;
        ended += sim->closed;
    }
    printf("%zu tasks, %zu programs ended\n", tasks, ended);
    char path[100];
    snprintf(path, sizeof path, "%s/app.lua", dir);
    unlink(path);
    rmdir(dir);
    mem_free(sim);
    return CHECK_DONE();
}
