/* Replay: local activities and side effects, differences between history and script, queries, rule
 * B, bounds. */
#include "check.h"
#include "wf_fake.h"
#include "wf_prove.h"

#define DIGEST_A "aaaa"

static void p_one_timer(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = timer(r, 60, "flow.lua:1");
    AWAIT(settled(r, f->v[0]))
    complete(r);
    PROG_END
}

/* ---- local activities and side effects ---- */
static void p_locals(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = local(r, "one", CANCEL_TRY, "flow.lua:1");
    f->v[1] = local(r, "two", CANCEL_TRY, "flow.lua:2");
    AWAIT(settled(r, f->v[0]) || settled(r, f->v[1]))
    CHECK(!settled(r, f->v[0]) || !settled(r, f->v[1])); /* one resolution per activation */
    fake_log(f, is_ok(r, f->v[0]) ? "one " : "two ");
    AWAIT(settled(r, f->v[0]) && settled(r, f->v[1]))
    f->v[2] = timer(r, 3, "flow.lua:3");
    AWAIT(settled(r, f->v[2]))
    complete(r);
    PROG_END
}
static void test_locals(void)
{
    for (int swap = 0; swap < 2; swap++) {
        struct hist h;
        CASE("local activities in one task, both orders");
        h_init(&h);
        h_begin(&h, "wf", NULL);
        h_full(&h);
        h_local(&h, swap ? 2 : 1, swap ? "two" : "one", "1", NULL, 0);
        h_local(&h, swap ? 1 : 2, swap ? "one" : "two", "1", NULL, 0);
        int64_t t = h_timer(&h, "1");
        h_timer_fired(&h, t, "1");
        h_full(&h);
        h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
        check_history(&h, p_locals);
        struct wf_run *r = open_run((void *)p_locals);
        replay(r, &h);
        CHECK_STR(fake_of(r)->log, swap ? "start two " : "start one ");
        wf_close(r);
        h_free(&h);
    }
    struct hist h;
    CASE("local activities over heartbeats, an empty task between");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_full(&h);
    h_full(&h);
    h_local(&h, 2, "two", "1", NULL, 0);
    h_full(&h);
    h_local(&h, 1, "one", "1", NULL, 0);
    int64_t t = h_timer(&h, "1");
    h_timer_fired(&h, t, "1");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_locals);
    h_free(&h);
}

static void p_backoff(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = local(r, "one", CANCEL_TRY, "flow.lua:1");
    AWAIT(settled(r, f->v[0]) || f->n[0])
    if (f->n[0]) cancel(r, f->v[0]);
    CHECK(f->n[0] ? is_canceled(r, f->v[0]) : is_ok(r, f->v[0]));
    complete(r);
    PROG_END
}
static void test_backoff(void)
{
    struct hist h;
    CASE("a long back-off is a durable timer, then a new number");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_local(&h, 1, "one", NULL, "try later", 90);
    int64_t t = h_timer(&h, "1");
    h_timer_fired(&h, t, "1");
    h_full(&h);
    h_local(&h, 2, "one", "1", NULL, 0);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_backoff);
    h_free(&h);
    CASE("cancelled while it backs off");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_local(&h, 1, "one", NULL, "try later", 90);
    t = h_timer(&h, "1");
    h_signal(&h, "stop", NULL);
    h_full(&h);
    h_timer_canceled(&h, t, "1");
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_backoff);
    h_free(&h);
}

static void p_local_cancel(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = local(r, "one", CANCEL_TRY, "flow.lua:1");
    f->v[1] = local(r, "two", CANCEL_TRY, "flow.lua:2");
    AWAIT(settled(r, f->v[0]))
    cancel(r, f->v[1]);
    CHECK(is_canceled(r, f->v[1]));
    f->v[2] = timer(r, 3, "flow.lua:3");
    AWAIT(settled(r, f->v[2]))
    complete(r);
    PROG_END
}
static void test_local_cancel(void)
{
    struct hist h;
    CASE("a cancelled local activity writes its marker at once");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_local(&h, 1, "one", "1", NULL, 0);
    h_local(&h, 2, "two", NULL, "canceled", 0);
    int64_t t = h_timer(&h, "1");
    h_timer_fired(&h, t, "1");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_local_cancel);
    struct wf_run *r = open_run((void *)p_local_cancel);
    const struct wf_out *o = live(r, &h, 0, 3);
    CHECK_INT(o->status, WF_WAIT_LOCAL);
    CHECK_INT(o->n_locals, 2);
    CHECK(str_eqz(o->locals[1].activity_type, "two"));
    CHECK_INT(
        wf_local_resolve(r, 1, &(struct wf_local_result){.attempt = 1, .complete_ns = h.now + 77}),
        0);
    o = go(r, NULL);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(o->n_locals, 0);
    CHECK_INT(o->n_local_cancels, 1);
    CHECK_INT(o->local_cancels[0], 2);
    CHECK_INT(r->now_ns, h.now + 77);
    CHECK_INT(wf_local_resolve(r, 2, &(struct wf_local_result){.attempt = 1}),
              0); /* late: ignored */
    wf_close(r);
    h_free(&h);
}

static void p_side_effect(struct wf_run *r, struct fake *f)
{
    struct err e;
    const struct rec *p = NULL;
    struct arena a;
    PROG_BEGIN
    f->n[3] = wf_op_side_effect_recorded(r, &p, &e);
    if (f->n[3] == 0) {
        arena_init(&a, 0);
        wf_op_side_effect_record(r, payloads_of_json(&a, STR("9")), &e);
        arena_free(&a);
    } else {
        CHECK(str_eqz(payload_data(rec_msg(p, T(payloads, payloads))), "9"));
    }
    f->v[0] = timer(r, 1, "flow.lua:1");
    AWAIT(settled(r, f->v[0]))
    complete(r);
    PROG_END
}
static void test_side_effect(void)
{
    struct hist h;
    CASE("side effects run once");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_side_effect(&h, 1, "9");
    int64_t t = h_timer(&h, "1");
    h_timer_fired(&h, t, "1");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_side_effect);
    struct wf_run *r = open_run((void *)p_side_effect);
    replay(r, &h);
    CHECK_INT(fake_of(r)->n[3], 1);
    wf_close(r);
    h_free(&h);
}

/* ---- differences ---- */
static void p_activity_b(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = activity(r, "other", "2", CANCEL_TRY, "flow.lua:7");
    AWAIT(settled(r, f->v[0]))
    complete(r);
    PROG_END
}
static void p_nothing(struct wf_run *r, struct fake *f)
{
    struct wf_pending p = {.kind = WF_PENDING_SIGNAL, .where = STR("flow.lua:9")};
    PROG_BEGIN
    wf_pending_add(r, &p);
    AWAIT(f->n[0] > 99)
    PROG_END
}
static void p_two(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = activity(r, "act", "1", CANCEL_TRY, "flow.lua:1");
    f->v[1] = timer(r, 1, "flow.lua:2");
    AWAIT(settled(r, f->v[0]))
    complete(r);
    PROG_END
}
static void p_other_input(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = activity(r, "act", "2", CANCEL_TRY, "flow.lua:1");
    AWAIT(settled(r, f->v[0]))
    complete(r);
    PROG_END
}
static void p_fails(struct wf_run *r, struct fake *f)
{
    struct err e;
    PROG_BEGIN
    f->v[0] = activity(r, "act", "1", CANCEL_TRY, "flow.lua:1");
    AWAIT(settled(r, f->v[0]))
    wf_op_fail(r, NULL, &e);
    PROG_END
}
static void replay_fails(struct hist *h, fake_prog p, const char *want)
{
    struct wf_run *r = open_run((void *)p);
    const struct wf_out *o = replay(r, h);
    check_failure(o, want);
    CHECK_INT(o->fail_cause, WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR);
    struct err e = {0};
    const struct wf_out *again;
    CHECK_INT(wf_activate(r, NULL, (struct wf_budget){0}, &again, &e), ERR_CLOSED);
    wf_close(r);
}
static void test_differences(void)
{
    struct hist h;
    CASE("every kind of difference names event, both sides and the line");
    h_init(&h);
    h.digest = DIGEST_A;
    h_begin(&h, "wf", NULL);
    h_full(&h);
    int64_t s = h_activity(&h, "1", "act", "1");
    h_activity_completed(&h, s, "1");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    replay_fails(&h, p_one_timer,
                 "history and script differ at event 5: recorded ActivityTaskScheduled \"act\" (id "
                 "1), but the script now "
                 "asks for StartTimer (id 1) at flow.lua:1");
    replay_fails(&h, p_activity_b,
                 "history and script differ at event 5: recorded ActivityTaskScheduled \"act\" (id "
                 "1), but the script now "
                 "asks for ScheduleActivityTask \"other\" (id 1) at flow.lua:7");
    replay_fails(&h, p_nothing,
                 "history and script differ at event 5: recorded ActivityTaskScheduled \"act\" (id "
                 "1), but the script no "
                 "longer asks for it; it waits at flow.lua:9");
    replay_fails(&h, p_two,
                 "history and script differ after event 4 (WorkflowTaskCompleted): the script now "
                 "asks for StartTimer "
                 "(id 1) at flow.lua:2, which was not recorded");
    replay_fails(&h, p_fails,
                 "history and script differ at event 11: recorded WorkflowExecutionCompleted, but "
                 "the script now asks for "
                 "FailWorkflowExecution");
    CASE("arguments: an error on the same bundle, drift on another, nothing with a codec");
    current_digest = DIGEST_A;
    replay_fails(&h, p_other_input,
                 "history and script differ at event 5: recorded ActivityTaskScheduled \"act\" (id "
                 "1), but the script now "
                 "asks for ScheduleActivityTask \"act\" (id 1) at flow.lua:1 with other arguments");
    current_digest = "bbbb";
    struct wf_run *r = open_run((void *)p_other_input);
    const struct wf_out *o = replay(r, &h);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(o->n_drift, 1);
    CHECK_INT(o->drift[0].event_id, 5);
    wf_close(r);
    current_digest = DIGEST_A;
    codec = true;
    r = open_run((void *)p_other_input);
    o = replay(r, &h);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(o->n_drift, 0);
    wf_close(r);
    codec = false;
    current_digest = NULL;
    h_free(&h);
    CASE("a timer that fires under another id, and answers to nothing");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    int64_t t = h_timer(&h, "1");
    h_timer_fired(&h, t, "2");
    h_full(&h);
    replay_fails(&h, p_one_timer,
                 "history and script differ at event 6 (TimerFired): the timer that was started "
                 "there has another id");
    h_free(&h);
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_timer(&h, "1");
    h_activity_completed(&h, 3, "1");
    h_full(&h);
    replay_fails(
        &h, p_one_timer,
        "history and script differ at event 7 (ActivityTaskCompleted): no such activity is open");
    h_free(&h);
    CASE("an accepted update without a handler, a local activity of another type");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_local(&h, 1, "uno", "1", NULL, 0);
    h_local(&h, 2, "two", "1", NULL, 0);
    replay_fails(&h, p_locals,
                 "history and script differ at event 5: recorded MarkerRecorded "
                 "\"core_local_activity\" (id 1, type \"uno\"), "
                 "but the script now asks for local activity \"one\" at flow.lua:1");
    replay_fails(&h, p_one_timer,
                 "history and script differ at event 5: recorded MarkerRecorded "
                 "\"core_local_activity\" (id 1, type \"uno\"), "
                 "but the script has no such local activity open");
    h_free(&h);
}

static void test_unknown(void)
{
    struct hist h;
    CASE("unknown workflow type, unknown events");
    h_init(&h);
    h_begin(&h, "nope", NULL);
    h_task(&h);
    struct wf_run *r = open_run((void *)p_one_timer);
    const struct wf_out *o = live(r, &h, 0, 3);
    check_failure(o, "no workflow \"nope\" is defined; known: wf");
    CHECK_INT(o->fail_cause, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE);
    wf_close(r);
    h_free(&h);
    for (int ignore = 0; ignore < 2; ignore++) {
        h_init(&h);
        h_begin(&h, "wf", NULL);
        struct rec *ev = h_add(&h, 999, NULL);
        rec_set_int(ev, T(history_event, worker_may_ignore), ignore);
        h_task(&h);
        r = open_run((void *)p_one_timer);
        o = live(r, &h, 0, 4);
        CHECK_INT(o->status, ignore ? WF_DONE : WF_FAIL_TASK);
        wf_close(r);
        h_free(&h);
    }
}

/* ---- queries, partial histories, splitting ---- */
static void test_queries(void)
{
    struct hist h;
    CASE("queries on an open run, on a closed one, with a task, and on one that never ran");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    int64_t t = h_timer(&h, "1");
    h_timer_fired(&h, t, "1");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    struct wf_query q[2] = {{STR("q1"), STR("log"), NULL}, {STR("q2"), STR("what"), NULL}};
    struct wf_task task = {
        .events = events(&h, 0), .n_events = h.n, .whole = true, .queries = q, .n_queries = 2};
    struct wf_run *r = open_run((void *)p_one_timer);
    const struct wf_out *o = go(r, &task);
    CHECK_INT(o->n_query_results, 2);
    CHECK(o->query_results[0].ok && str_eqz(o->query_results[0].id, "q1"));
    CHECK(!o->query_results[1].ok && !o->task_has_result && o->closed);
    wf_close(r);
    r = open_run((void *)p_one_timer);
    task.n_events = 3;
    task.started_id = 3;
    o = go(r, &task);
    CHECK_INT(o->n_query_results, 2);
    check_commands(o, "TimerStarted 1");
    struct wf_task only = {.queries = q, .n_queries = 1};
    o = go(r, &only); /* the run is kept; its commands are not answered yet */
    CHECK_INT(o->n_query_results, 1);
    CHECK_INT(o->n_commands, 0);
    o = live(r, &h, 3, 8);
    check_commands(o, "WorkflowExecutionCompleted");
    wf_close(r);
    r = open_run((void *)p_one_timer);
    task.n_events = 1;
    task.started_id = 0;
    o = go(r, &task);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(r->now_ns, H_EPOCH);
    wf_close(r);
    CASE("a query that replays more than the last task, then goes on");
    r = open_run((void *)p_one_timer);
    task.n_events = 6; /* with the commands of task 1 and an event behind them */
    o = go(r, &task);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(wf_last_event(r), 3);
    o = live(r, &h, 3, 8);
    check_commands(o, "WorkflowExecutionCompleted");
    wf_close(r);
    CASE("events that the run has taken in already are skipped");
    r = open_run((void *)p_one_timer);
    live(r, &h, 0, 3);
    o = live(r, &h, 0, 8);
    check_commands(o, "WorkflowExecutionCompleted");
    CHECK_INT(fake_of(r)->runs, 2);
    wf_close(r);
    CASE("bad events are refused");
    r = open_run((void *)p_one_timer);
    struct err e = {0};
    struct wf_task bad = {.events = events(&h, 3), .n_events = 5, .started_id = 8};
    CHECK_INT(wf_activate(r, &bad, (struct wf_budget){0}, &o, &e), ERR_PROTO);
    bad = (struct wf_task){.events = events(&h, 0), .n_events = 5, .started_id = 8, .whole = true};
    CHECK_INT(wf_activate(r, &bad, (struct wf_budget){0}, &o, &e), ERR_PROTO);
    CHECK_INT(wf_activate(r, NULL, (struct wf_budget){0}, &o, &e), ERR_ARG);
    wf_close(r);
    h_free(&h);
}

struct split {
    char text[500];
};
static void on_split(void *ud, size_t from, size_t to, bool completed)
{
    struct split *s = ud;
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof s->text - n, "%zu-%zu%s ", from + 1, to, completed ? "" : "*");
}
static void check_split(struct hist *h, const char *want)
{
    struct split s = {""};
    struct err e;
    CHECK_INT(wf_split(events(h, 0), h->n, on_split, &s, &e), 0);
    CHECK_STR(s.text, want);
    h_free(h);
}
static void test_split(void)
{
    struct hist h;
    CASE("rule B on odd shapes");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    check_split(&h, "1-1* ");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_task(&h);
    check_split(&h, "1-3* ");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    check_split(&h, "1-3 4-4* ");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_task(&h);
    h_task_timed_out(&h);
    h_task(&h);
    h_task_failed(&h, WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, NULL);
    h_full(&h);
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT);
    check_split(&h, "1-9 10-12 13-14* ");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_task(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED);
    check_split(&h, "1-3 4-7* ");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h.ev[3] = event_new(&h.a, 9, h.now, EVENT_TYPE_WORKFLOW_TASK_COMPLETED, NULL);
    struct split s = {""};
    struct err e;
    CHECK_INT(wf_split(events(&h, 0), h.n, on_split, &s, &e), ERR_PROTO);
    h_free(&h);
}

/* ---- limits, long replays ---- */
static void p_many(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    for (f->n[4] = 0; f->n[4] < 20; f->n[4]++)
        f->v[0] = timer(r, 1, "flow.lua:1");
    PROG_END
}
static void p_loop(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    for (f->n[4] = 0; f->n[4] < 500; f->n[4]++) {
        f->v[0] = timer(r, 1, "flow.lua:1");
        AWAIT(settled(r, f->v[0]))
    }
    complete(r);
    PROG_END
}
static void test_bounds(void)
{
    struct hist h;
    CASE("a limit on commands fails the task");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_task(&h);
    struct wf_run *r = NULL;
    struct err e = {0};
    struct wf_info info = {.workflow_id = STR("w"),
                           .run_id = STR("r"),
                           .task_queue = STR("q"),
                           .limits = {.commands = 5}};
    fake_program = p_many;
    CHECK_INT(wf_open(NULL, &info, &r, &e), 0);
    const struct wf_out *o = live(r, &h, 0, 3);
    check_failure(o, "more than 5 commands in one workflow task");
    CHECK(o->limit);
    wf_close(r);
    h_free(&h);
    CASE("a long replay is done a bounded number of batches at a time");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    for (int i = 1; i <= 500; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        const char *z = arena_str(&h.a, str_of(id)).p;
        h_timer_fired(&h, h_timer(&h, z), z);
        h_full(&h);
    }
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    r = open_run((void *)p_loop);
    struct wf_task t = {.events = events(&h, 0), .n_events = h.n, .whole = true};
    int calls = 1;
    CHECK_INT(wf_activate(r, &t, (struct wf_budget){0}, &o, &e), 0);
    for (; o->status == WF_MORE; calls++)
        CHECK_INT(wf_activate(r, NULL, (struct wf_budget){0}, &o, &e), 0);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(calls, 8);
    CHECK(o->closed);
    CHECK_INT(wf_last_event(r), h.n - 2);
    CHECK(wf_memory(r) > 0);
    wf_close(r);
    h_free(&h);
}

int main(void)
{
    test_locals();
    test_backoff();
    test_local_cancel();
    test_side_effect();
    test_differences();
    test_unknown();
    test_queries();
    test_split();
    test_bounds();
    return CHECK_DONE();
}
