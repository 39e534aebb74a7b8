/* Cases at the edges of the replayer: what must not leak from one task into the next, from a query
 * into the run, or from a live task into what a replay sees. Real scripts, histories made by hand.
 */
#include "check.h"
#include "script/bundle.h"
#include "wf_prove.h"
#include <unistd.h>

static char dir[64];
static const char prefix[] = "local ml = require 'moonloop'\n"
                             "local a = ml.activity('a', { timeout = '1m' }, function() end)\n";

static struct bundle *bundle_of(const char *body)
{
    char path[100];
    struct err e = {0};
    struct bundle *b = NULL;
    snprintf(path, sizeof path, "%s/app.lua", dir);
    FILE *f = fopen(path, "w");
    CHECK(f);
    fprintf(f, "%sml.workflow('wf', function(input)\n%s\nend)\n", prefix, body);
    fclose(f);
    int rc = bundle_build(path, NULL, 0, &b, &e);
    if (rc) fprintf(stderr, "%s\n", e.text);
    CHECK_INT(rc, 0);
    return b;
}

static struct wf_run *open_limited(struct bundle *b, uint64_t instructions)
{
    struct wf_run *r = NULL;
    struct err e = {0};
    struct wf_info info = {.namespace_ = STR("default"),
                           .workflow_id = STR("wf-1"),
                           .run_id = STR("run-1"),
                           .task_queue = STR("queue"),
                           .current_digest = b->digest,
                           .limits = {.instructions = instructions}};
    int rc = wf_open(b, &info, &r, &e);
    if (rc) fprintf(stderr, "%s\n", e.text);
    CHECK_INT(rc, 0);
    return r;
}
static struct wf_run *open_run(void *bundle)
{
    return open_limited(bundle, 0);
}

static void begin(struct hist *h)
{
    h_init(h);
    h_begin(h, "wf", NULL);
    h_full(h);
}

static void check_history(struct hist *h, const char *body)
{
    prove_name = check_case;
    struct bundle *b = bundle_of(body);
    for (uint64_t budget = 0; budget < 2; budget++)
        prove_history(h, open_run, b, budget);
    bundle_unref(b);
    h_free(h);
}

static const struct wf_out *with_query(struct wf_run *r, struct hist *h, size_t from, int64_t upto,
                                       const char *name)
{
    struct wf_query q = {STR("q"), str_of(name), NULL};
    struct wf_task t = {.events = events(h, from),
                        .n_events = (size_t)upto - from,
                        .whole = from == 0,
                        .started_id = upto,
                        .queries = &q,
                        .n_queries = 1};
    return go(r, &t);
}

static void test_query_limits(void)
{
    struct hist h;
    static const char *const names[] = {"loop", "grow"};
    for (int i = 0; i < 2; i++) {
        CASE("a query at its limit fails alone");
        begin(&h);
        struct bundle *b = bundle_of(
            "ml.query('loop', function() while true do end end)\n"
            "ml.query('grow', function() local s = 'x' while true do s = s .. s end end)\n"
            "ml.query('n', function() return 4 end)\nml.sleep(1) a(1)");
        struct wf_run *r = open_limited(b, 100000);
        const struct wf_out *o = with_query(r, &h, 0, 3, names[i]);
        check_commands(o, "TimerStarted 1");
        CHECK_INT(o->status, WF_DONE);
        CHECK_INT(o->n_query_results, 1);
        CHECK(!o->query_results[0].ok);
        h_timer_fired(&h, h_timer(&h, "1"), "1");
        h_task(&h);
        o = with_query(r, &h, 3, (int64_t)h.n, "n");
        check_commands(o, "ActivityTaskScheduled 1");
        CHECK(o->query_results[0].ok);
        wf_close(r);
        bundle_unref(b);
        h_free(&h);
    }
}

/* A new task that would have to drop a signal fails instead; a history of an older version that
 * went on without it is replayed as it was. */
static void test_signals_full(void)
{
    struct hist h;
    CASE("more than 10,000 signals wait: a new task fails, a history that went on is replayed");
    begin(&h);
    struct bundle *b = bundle_of("ml.sleep(1) local c, n = ml.channel('x'), 0\n"
                                 "while c:try() do n = n + 1 end assert(n == 10000) a(n)");
    struct wf_run *r = open_run(b);
    check_commands(live(r, &h, 0, 3), "TimerStarted 1");
    int64_t timer = h_timer(&h, "1");
    for (int i = 0; i < 10001; i++)
        h_signal(&h, "x", NULL);
    h_timer_fired(&h, timer, "1");
    h_task(&h);
    check_failure(live(r, &h, 3, (int64_t)h.n),
                  "more than 10000 signals x wait and nobody has received them: receive them as "
                  "they come, or register a handler (ml.on_signal)");
    wf_close(r);
    h_done(&h);
    int64_t act = h_activity(&h, "1", "a", "[10000]");
    h_activity_completed(&h, act, NULL);
    h_task(&h);
    r = open_run(b);
    check_commands(live(r, &h, 0, (int64_t)h.n), "WorkflowExecutionCompleted");
    wf_close(r);
    bundle_unref(b);
    h_free(&h);
}

static void test_spawn_error(void)
{
    struct hist h;
    CASE("what a spawned coroutine raised is not looked at after its task");
    begin(&h);
    struct bundle *b = bundle_of("local f = ml.spawn(function() error('one', 0) end)\n"
                                 "pcall(f.await, f) ml.sleep(1) error('one', 0)");
    struct wf_run *r = open_run(b);
    check_commands(live(r, &h, 0, 3), "TimerStarted 1");
    h_timer_fired(&h, h_timer(&h, "1"), "1");
    h_task(&h);
    check_failure(live(r, &h, 3, (int64_t)h.n), "one");
    wf_close(r);
    bundle_unref(b);
    h_free(&h);
}

static void test_children_left(void)
{
    struct hist h;
    CASE("the end of a run leaves its children to their parent_close policy");
    begin(&h);
    int64_t c = h_child(&h, "kid-1", "kid");
    h_child_started(&h, c, "kid-1", "run-k");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h,
                  "local k = ml.child('kid', { id = 'kid-1', parent_close = 'abandon' }):start()");
    CASE("also when it continues as new");
    begin(&h);
    c = h_child(&h, "kid-1", "kid");
    h_child_started(&h, c, "kid-1", "run-k");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW);
    check_history(&h,
                  "local k = ml.child('kid', { id = 'kid-1', parent_close = 'abandon' }):start()\n"
                  "ml.continue_as_new(1)");
    CASE("and a child that was started in the last task is started");
    begin(&h);
    h_child(&h, "kid-1", "kid");
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, "ml.child('kid', { id = 'kid-1', parent_close = 'abandon' }):async()");
}

static void test_side_effect_error(void)
{
    struct hist h;
    CASE("an error inside a side effect is not recorded, so nothing may go on with it");
    begin(&h);
    struct bundle *b = bundle_of("pcall(ml.side_effect, function() error('no', 0) end) a(1)");
    struct wf_run *r = open_run(b);
    const struct wf_out *o = live(r, &h, 0, 3);
    CHECK_INT(o->status, WF_FAIL_TASK);
    CHECK(str_eqz(rec_str(o->failure, T(failure, message)), "no"));
    wf_close(r);
    bundle_unref(b);
    h_free(&h);
}

static struct rec *admitted(struct hist *h, const char *id)
{
    struct rec *at = NULL, *request;
    struct err e;
    struct str bytes = rec_str(
        rec_msg(h_update_message(h, id, "up", "2"), T(protocol_message, body)), T(any, value));
    h_add(h, EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED, &at);
    CHECK_INT(rec_decode(&h->a, &rec_type_update_request, bytes, &request, &e), 0);
    rec_set_msg(at, T(ev_workflow_execution_update_admitted, request), request);
    return at;
}

static void test_admitted(void)
{
    struct hist h;
    CASE("an admitted update keeps its place among signals when it is replayed");
    struct bundle *b = bundle_of("local o = '' ml.on_signal('s', function() o = o .. 's' end)\n"
                                 "ml.update('up', function() o = o .. 'u' end)\n"
                                 "ml.await(function() return #o == 2 end) a(o)");
    begin(&h);
    h_signal(&h, "s", NULL);
    admitted(&h, "u1");
    h_task(&h);
    struct wf_run *r = open_run(b);
    const struct wf_out *o = live(r, &h, 0, (int64_t)h.n);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(o->n_messages, 2);
    struct rec *accept = NULL, *at = NULL;
    struct err e;
    CHECK_INT(rec_decode(&h.a, &rec_type_update_acceptance,
                         rec_str(rec_msg(o->messages[0], T(protocol_message, body)), T(any, value)),
                         &accept, &e),
              0);
    int64_t seq = rec_int(accept, T(update_acceptance, accepted_request_sequencing_event_id));
    const struct rec *input = NULL;
    for (size_t i = 0; i < o->n_commands; i++)
        if (command_type(o->commands[i]) == COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK)
            input = rec_msg(command_attrs(o->commands[i]), T(cmd_schedule_activity_task, input));
    CHECK(str_eqz(payload_data(rec_msg(input, T(payloads, payloads))), "\"su\""));
    wf_close(r);
    h.digest = b->digest;
    h_done(&h);
    h_update_accepted(&h, "u1", NULL, NULL);
    rec_set_int((struct rec *)(uintptr_t)event_attrs(h.ev[h.n - 1]),
                T(ev_workflow_execution_update_accepted, accepted_request_sequencing_event_id),
                seq);
    h_update_completed(&h, "u1", (int64_t)h.n);
    (void)at;
    h_activity(&h, "1", "a", "\"su\"");
    r = open_run(b);
    o = replay(r, &h);
    if (o->status == WF_FAIL_TASK)
        fprintf(stderr, STR_FMT "\n", STR_ARG(rec_str(o->failure, T(failure, message))));
    CHECK_INT(o->status, WF_DONE);
    wf_close(r);
    bundle_unref(b);
    h_free(&h);
}

static void test_names(void)
{
    struct hist h;
    CASE("a query that shows an object does not rename those of the run");
    struct bundle *b =
        bundle_of("local t, u = {}, {} ml.query('t', function() return tostring(t) end)\n"
                  "ml.sleep(1) a(tostring(u) .. tostring(t))");
    struct buf text[2];
    for (int i = 0; i < 2; i++) {
        begin(&h);
        struct wf_run *r = open_run(b);
        if (i)
            with_query(r, &h, 0, 3, "t");
        else
            live(r, &h, 0, 3);
        h_timer_fired(&h, h_timer(&h, "1"), "1");
        h_task(&h);
        const struct wf_out *o = live(r, &h, 3, (int64_t)h.n);
        check_commands(o, "ActivityTaskScheduled 1");
        buf_init(&text[i], 100000);
        CHECK_INT(rec_encode(o->commands[0], &text[i]), 0);
        wf_close(r);
        h_free(&h);
    }
    CHECK(str_eq(buf_str(&text[0]), buf_str(&text[1])));
    buf_free(&text[0]);
    buf_free(&text[1]);
    bundle_unref(b);
}

static void test_chance(void)
{
    struct hist h;
    CASE("neither a query nor a side effect draws from the chance of the run");
    struct bundle *b = bundle_of(
        "ml.query('seed', function() pcall(math.randomseed, 2) pcall(math.random) return 1 end)\n"
        "math.randomseed(5) ml.side_effect(function() math.random(9) return 1 end)\n"
        "ml.sleep(1) a(math.random(1000000))");
    struct buf text[3];
    for (int i = 0; i < 3; i++) {
        begin(&h);
        h_side_effect(&h, 1, "1");
        struct wf_run *r = open_run(b);
        if (i == 1) live(r, &h, 0, 3);
        if (i == 2) with_query(r, &h, 0, 3, "seed");
        h_timer_fired(&h, h_timer(&h, "1"), "1");
        h_task(&h);
        const struct wf_out *o = live(r, &h, i ? 3 : 0, (int64_t)h.n);
        check_commands(o, "ActivityTaskScheduled 1");
        buf_init(&text[i], 100000);
        CHECK_INT(rec_encode(o->commands[0], &text[i]), 0);
        wf_close(r);
        h_free(&h);
    }
    for (int i = 1; i < 3; i++)
        CHECK(str_eq(buf_str(&text[0]), buf_str(&text[i])));
    for (int i = 0; i < 3; i++)
        buf_free(&text[i]);
    bundle_unref(b);
}

static void test_rejected(void)
{
    struct hist h;
    CASE("a task with nothing but a rejected update moves nothing, however late it is");
    struct bundle *b =
        bundle_of("ml.update('up', function() end, { validator = function() error('no') end })\n"
                  "local till = ml.time.add(ml.now(), '1s') ml.await(function() return ml.now() >= "
                  "till end) a(1)");
    begin(&h);
    struct wf_run *r = open_run(b);
    check_commands(live(r, &h, 0, 3), "");
    h_task(&h);
    h_task_timed_out(&h);
    h_task(&h);
    struct rec *m = h_update_message(&h, "u1", "up", NULL);
    const struct wf_out *o = live_with(r, &h, 3, (int64_t)h.n, &m, 1);
    CHECK_INT(o->n_messages, 1);
    check_commands(o, "");
    wf_close(r);
    bundle_unref(b);
    h_free(&h);
}

static void test_cancel_order(void)
{
    struct hist h;
    CASE("a cancel request does not cancel what an event behind it has closed");
    begin(&h);
    int64_t s = h_activity(&h, "1", "a", "1"), t = h_timer(&h, "1");
    h_cancel_requested(&h);
    h_timer_fired(&h, t, "1");
    h_activity_completed(&h, s, "1");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED);
    check_history(&h, "local f = a:async(1) ml.sleep(1) f:await() ml.sleep(1)");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } all[] = {{"query", test_query_limits},
               {"spawn", test_spawn_error},
               {"full", test_signals_full},
               {"children", test_children_left},
               {"side", test_side_effect_error},
               {"admitted", test_admitted},
               {"names", test_names},
               {"rejected", test_rejected},
               {"cancel", test_cancel_order},
               {"chance", test_chance}};
    snprintf(dir, sizeof dir, "/tmp/ml-test-review-XXXXXX");
    CHECK(mkdtemp(dir));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (argc < 2 || strcmp(argv[1], all[i].name) == 0) all[i].fn();
    char path[100];
    snprintf(path, sizeof path, "%s/app.lua", dir);
    unlink(path);
    rmdir(dir);
    return CHECK_DONE();
}
