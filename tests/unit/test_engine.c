/* The engine's main road: start, tasks, activities, timers, signals, one commit a step, and going
 * on after a reopening. */
#include "engine/engine_internal.h"
#include "engine_fake.h"

/* Three activities in a row, then a timer, then the end. */
static void steps(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                  struct plan *p)
{
    (void)f;
    (void)t;
    int done = count_events(e, n, EVENT_TYPE_ACTIVITY_TASK_COMPLETED),
        scheduled = count_events(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED);
    if (scheduled < 3 && done == scheduled) {
        char id[16];
        snprintf(id, sizeof id, "%d", scheduled + 1);
        add_activity(p, id, "act", 10 * NS_PER_S, payloads_of_json(p->a, STR("[1,2]")));
    } else if (done == 3 && !count_events(e, n, EVENT_TYPE_TIMER_STARTED)) {
        add_timer(p, "1", 5 * NS_PER_MS);
    } else if (count_events(e, n, EVENT_TYPE_TIMER_FIRED)) {
        add_complete(p, "\"done\"");
    }
}

static void test_steps(bool threaded)
{
    struct fake f;
    CASE(threaded ? "steps, writer thread" : "steps");
    fake_init(&f, "steps");
    f.threaded = threaded;
    f.workflow = steps;
    fake_open(&f);
    start(&f, "w", "flow");
    int before = f.commits;
    settle(&f, true);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    CHECK_STR(got.text, "\"done\"");
    history(&f, "w", NULL);
    static const int want[] = {1, 5, 6,  7,  10, 11, 12, 5, 6,  7,  10, 11, 12, 5,
                               6, 7, 10, 11, 12, 5,  6,  7, 17, 18, 5,  6,  7,  2};
    CHECK_INT(hist.n, sizeof want / sizeof want[0]);
    for (size_t i = 0; i < hist.n; i++)
        CHECK_INT(event_type(hist.events[i]), want[i]);
    CHECK_INT(f.commits - before,
              4); /* the start was one; each result with its task, and the timer, one more */
    CHECK_INT(f.activity_tasks, 3);
    CHECK_INT(f.closed, 1);
    CHECK_STR(f.input_seen, "[1,2]");
    fake_remove(&f);
}

/* Each of its tasks, workflow's and activities', is given back once before it is taken. */
static void gives_back(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                       struct plan *p)
{
    steps(f, t, e, n, p);
    f->give_back = 1;
}
static enum act_reply give_next_back(struct fake *f, const struct backend_task *t)
{
    CHECK_INT(t->attempt, 1);
    f->give_back = 1;
    return REPLY_OK;
}

static void test_given_back(void)
{
    struct fake f;
    CASE("tasks that the worker gives back come again as they were, and leave no trace");
    fake_init(&f, "givenback");
    f.workflow = gives_back;
    f.activity = give_next_back;
    f.give_back = 1;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, true);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    history(&f, "w", NULL);
    CHECK_INT(hist.n, 28);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_WORKFLOW_TASK_FAILED), 0);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_ACTIVITY_TASK_STARTED), 3);
    CHECK_INT(f.activity_tasks, 3);
    fake_remove(&f);
}

/* One activity with a retry policy. */
static int max_attempts;
static int64_t start_to_close, heartbeat, to_close, to_start;
static void one_activity(struct fake *f, const struct backend_task *t, struct rec *const *e,
                         size_t n, struct plan *p)
{
    (void)f;
    (void)t;
    if (!count_events(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)) {
        struct rec *a = add_activity(p, "1", "act", start_to_close, NULL);
        rec_set_int(a, T(cmd_schedule_activity_task, heartbeat_timeout), heartbeat);
        rec_set_int(a, T(cmd_schedule_activity_task, schedule_to_close_timeout), to_close);
        rec_set_int(a, T(cmd_schedule_activity_task, schedule_to_start_timeout), to_start);
        add_retry(p, a, 2 * NS_PER_MS, max_attempts);
    } else if (count_events(e, n, EVENT_TYPE_ACTIVITY_TASK_COMPLETED)) {
        add_complete(p, "true");
    } else if (count_events(e, n, EVENT_TYPE_ACTIVITY_TASK_FAILED) ||
               count_events(e, n, EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT)) {
        add_fail(p, "Gave up", false);
    }
}
static void defaults(void)
{
    max_attempts = 3;
    start_to_close = 10 * NS_PER_S;
    heartbeat = to_close = to_start = 0;
}
static enum act_reply fail_twice(struct fake *f, const struct backend_task *t)
{
    (void)f;
    return t->attempt < 3 ? REPLY_FAIL : REPLY_OK;
}
static enum act_reply fail_always(struct fake *f, const struct backend_task *t)
{
    (void)f;
    (void)t;
    return REPLY_FAIL;
}
static enum act_reply fail_hard(struct fake *f, const struct backend_task *t)
{
    (void)f;
    (void)t;
    return REPLY_FAIL_HARD;
}
static enum act_reply hold(struct fake *f, const struct backend_task *t)
{
    (void)f;
    (void)t;
    return REPLY_HOLD;
}

static const struct rec *attrs_of(int type)
{
    int64_t id = find_event(hist.events, hist.n, type, 1);
    CHECK(id > 0);
    return event_attrs(hist.events[id - 1]);
}

static void test_retry(void)
{
    struct fake f;
    CASE("retry until it works");
    fake_init(&f, "retry");
    defaults();
    f.workflow = one_activity;
    f.activity = fail_twice;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, true);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    history(&f, "w", NULL);
    CHECK_INT(f.activity_tasks, 3);
    CHECK_INT(
        rec_int(attrs_of(EVENT_TYPE_ACTIVITY_TASK_STARTED), T(ev_activity_task_started, attempt)),
        3);
    CHECK(rec_msg(attrs_of(EVENT_TYPE_ACTIVITY_TASK_STARTED),
                  T(ev_activity_task_started, last_failure)) != NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_ACTIVITY_TASK_STARTED), 1);

    CASE("attempts run out");
    f.activity = fail_always;
    start(&f, "x", "flow");
    settle(&f, true);
    CHECK_INT(result(&f, "x"), RUN_FAILED);
    history(&f, "x", NULL);
    CHECK_INT(
        rec_int(attrs_of(EVENT_TYPE_ACTIVITY_TASK_FAILED), T(ev_activity_task_failed, retry_state)),
        RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED);

    CASE("a failure that must not be retried");
    f.activity = fail_hard;
    f.activity_tasks = 0;
    start(&f, "y", "flow");
    settle(&f, true);
    CHECK_INT(result(&f, "y"), RUN_FAILED);
    CHECK_INT(f.activity_tasks, 1);
    history(&f, "y", NULL);
    CHECK_INT(
        rec_int(attrs_of(EVENT_TYPE_ACTIVITY_TASK_FAILED), T(ev_activity_task_failed, retry_state)),
        RETRY_STATE_NON_RETRYABLE_FAILURE);
    fake_remove(&f);
}

static void run_until_closed(struct fake *f, const char *id)
{
    for (int i = 0; i < 3000 && result(f, id) == RUN_RUNNING; i++)
        fake_turn(f);
}

static void test_timeouts(void)
{
    static const struct {
        const char *name;
        int type;
    } cases[] = {{"start-to-close", TIMEOUT_TYPE_START_TO_CLOSE},
                 {"heartbeat", TIMEOUT_TYPE_HEARTBEAT},
                 {"schedule-to-close", TIMEOUT_TYPE_SCHEDULE_TO_CLOSE},
                 {"schedule-to-start", TIMEOUT_TYPE_SCHEDULE_TO_START}};
    for (size_t i = 0; i < 4; i++) {
        struct fake f;
        CASE(cases[i].name);
        fake_init(&f, "timeouts");
        defaults();
        max_attempts = 1;
        start_to_close = i == 0 ? 15 * NS_PER_MS : 10 * NS_PER_S;
        heartbeat = i == 1 ? 15 * NS_PER_MS : 0;
        to_close = i == 2 ? 15 * NS_PER_MS : 0;
        to_start = i == 3 ? 15 * NS_PER_MS : 0;
        f.workflow = one_activity;
        f.activity = hold;
        fake_open(&f);
        if (i == 3) f.b->ops->offer(f.b, 0, 0);
        if (i == 3) { /* nobody serves it */
            struct backend_sink sink = {.ud = &f,
                                        .on_workflow_task = on_wft,
                                        .on_activity_task = on_act,
                                        .on_activity_cancel = on_cancel,
                                        .on_run_closed = on_closed};
            struct backend_served q = {STR("default"), workflow_types, 4, NULL, 0};
            f.b->ops->serve(f.b, &sink, &q, 1);
        }
        start(&f, "w", "flow");
        run_until_closed(&f, "w");
        CHECK_INT(result(&f, "w"), RUN_FAILED);
        history(&f, "w", NULL);
        const struct rec *failure = rec_msg(attrs_of(EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT),
                                            T(ev_activity_task_timed_out, failure));
        CHECK_INT(rec_int(rec_msg(failure, T(failure, timeout_failure_info)),
                          T(timeout_failure_info, timeout_type)),
                  cases[i].type);
        CHECK_INT(f.cancels, i == 3 ? 0 : 1);
        if (i != 3) CHECK_INT(f.last_cancel, BACKEND_CANCEL_TIMED_OUT);
        if (f.n_held) { /* the late answer is stale */
            struct backend_task *t = f.held[--f.n_held];
            f.answers = 0;
            finish_activity(&f, t, REPLY_OK);
            for (int k = 0; k < 100 && !f.answers; k++)
                fake_turn(&f);
            CHECK_INT(f.last_answer.kind, BACKEND_STALE);
        }
        fake_remove(&f);
    }
}

/* Waits for signals a and b, then ends. */
static void two_signals(struct fake *f, const struct backend_task *t, struct rec *const *e,
                        size_t n, struct plan *p)
{
    (void)f;
    (void)t;
    if (count_events(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) >= 2) add_complete(p, "2");
}

static void test_signals(void)
{
    struct fake f;
    CASE("signals");
    fake_init(&f, "signals");
    f.workflow = two_signals;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    sig(&f, "w", "a", "r1");
    CHECK_INT(got.err.code, 0);
    sig(&f, "w", "a", "r1"); /* the same request again */
    CHECK_INT(got.err.code, 0);
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_RUNNING);
    fake_reopen(&f);
    sig(&f, "w", "a", "r1");
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_RUNNING);
    sig(&f, "w", "b", "r2");
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    history(&f, "w", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED), 2);
    sig(&f, "w", "c", "r3");
    CHECK_INT(got.err.code, ERR_NOTFOUND);
    sig(&f, "nobody", "c", "r3");
    CHECK_INT(got.err.code, ERR_NOTFOUND);
    fake_remove(&f);
}

/* Ends when 10,000 signals came. */
static void ten_thousand(struct fake *f, const struct backend_task *t, struct rec *const *e,
                         size_t n, struct plan *p)
{
    (void)f;
    (void)t;
    if (count_events(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) >= ENG_SIGNALS_MAX)
        add_timer(p, "1", INT64_C(3600) * NS_PER_S);
}

static void test_signal_flood(void)
{
    struct fake f;
    char id[32];
    CASE("a flood of signals that nobody receives: refused from 10,000 on, also after a restart");
    fake_init(&f, "flood");
    f.workflow = ten_thousand;
    f.no_worker = f.fast = true;
    fake_open(&f);
    start(&f, "w", "flow");
    for (int i = 0; i < ENG_SIGNALS_MAX; i++) {
        snprintf(id, sizeof id, "s%d", i);
        sig(&f, "w", "x", id);
        if (got.err.code) break;
    }
    CHECK_INT(got.err.code, 0);
    sig(&f, "w", "x", "one more");
    CHECK_INT(got.err.code, ERR_LIMIT);
    sig(&f, "w", "x", "s17"); /* was taken before: nothing new */
    CHECK_INT(got.err.code, 0);
    fake_reopen(&f);
    sig(&f, "w", "y", "one more");
    CHECK_INT(got.err.code, ERR_LIMIT);
    CHECK(strstr(got.err.text, "\"w\" has 10000 signals"));
    history(&f, "w", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED),
              ENG_SIGNALS_MAX);
    f.no_worker = false; /* its task says that none waits any more */
    fake_reopen(&f);
    settle(&f, false);
    sig(&f, "w", "x", "one more");
    CHECK_INT(got.err.code, 0);
    fake_remove(&f);
}

/* Ends at its first task, unless a signal came. */
static void hasty(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                  struct plan *p)
{
    (void)f;
    (void)t;
    add_complete(p, count_events(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) == 2
                        ? "\"saw both\""
                        : "\"saw none\"");
}

static void test_buffered(bool reopen)
{
    struct fake f;
    CASE(reopen ? "unhandled command after a reopening" : "unhandled command");
    fake_init(&f, "buffered");
    f.workflow = hasty;
    f.hold_workflows = true;
    fake_open(&f);
    start(&f, "w", "flow");
    for (int i = 0; i < 100 && !f.n_held; i++)
        fake_turn(&f);
    CHECK_INT(f.n_held, 1);
    sig(&f, "w", "one", "");
    sig(&f, "w", "two", "");
    history(&f, "w", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED),
              0); /* they wait */
    CHECK_INT(last_type(), EVENT_TYPE_WORKFLOW_TASK_STARTED);
    if (reopen) {
        fake_reopen(&f);
        for (int i = 0; i < 100 && !f.n_held; i++)
            fake_turn(&f);
        CHECK_INT(f.n_held, 1);
    }
    f.answers = 0;
    f.hold_workflows = false;
    struct backend_task *t = f.held[--f.n_held];
    struct rec *a;
    struct plan p = {0};
    struct arena arena;
    arena_init(&arena, 0);
    p.a = &arena;
    (void)a;
    add_complete(&p, "\"too early\"");
    struct backend_workflow_completion c = {.commands = p.commands, .n_commands = p.n};
    f.b->ops->complete_workflow(f.b, t->token, &c, on_answer_, &f);
    backend_task_free(t);
    arena_free(&arena);
    for (int i = 0; i < 100 && !f.answers; i++)
        loop_turn(f.loop, NS_PER_MS);
    CHECK_INT(f.last_answer.kind, BACKEND_UNHANDLED_COMMAND);
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    CHECK_STR(got.text, "\"saw both\"");
    history(&f, "w", NULL);
    static const int want[] = {1, 5, 6, 9, 26, 26, 5, 6, 7, 2};
    CHECK_INT(hist.n, 10);
    for (size_t i = 0; i < hist.n; i++)
        CHECK_INT(event_type(hist.events[i]), want[i]);
    fake_remove(&f);
}

/* Two activities that nobody takes; a signal makes it cancel the second. */
static void cancels_late(struct fake *f, const struct backend_task *t, struct rec *const *e,
                         size_t n, struct plan *p)
{
    (void)f;
    (void)t;
    if (!count_events(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)) {
        for (int i = 0; i < 2; i++) {
            struct rec *a = add_activity(p, i ? "2" : "1", "act", 10 * NS_PER_S, NULL);
            rec_set_int(a, T(cmd_schedule_activity_task, schedule_to_start_timeout),
                        (i ? 60 : 3600) * NS_PER_S);
            rec_set_copy(rec_sub(a, T(cmd_schedule_activity_task, task_queue)), T(task_queue, name),
                         STR("away"));
        }
    } else if (count_events(e, n, EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT)) {
        add_complete(p, "\"timed out\"");
    } else {
        struct rec *a;
        add_command(p, COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK, &a);
        rec_set_int(a, T(cmd_request_cancel_activity_task, scheduled_event_id),
                    find_event(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, 2));
    }
}

static void test_cancel_late(void)
{
    struct fake f;
    CASE("cancelling an activity whose time-out waits for the end of this task");
    fake_init(&f, "late");
    f.workflow = cancels_late;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    f.hold_workflows = true;
    sig(&f, "w", "stop", "");
    for (int i = 0; i < 100 && !f.n_held; i++)
        fake_turn(&f);
    CHECK_INT(f.n_held, 1);
    f.wall_offset += 61 * NS_PER_S; /* the engine looks for jumps once a second */
    for (int64_t end = clock_mono(&clock_system) + 1500 * NS_PER_MS;
         clock_mono(&clock_system) < end;)
        fake_turn(&f);
    f.hold_workflows = false;
    do_workflow(&f, f.held[--f.n_held]);
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    CHECK_STR(got.text, "\"timed out\"");
    history(&f, "w", NULL);
    static const int want[] = {1, 5, 6, 7, 10, 10, 26, 5, 6, 7, 15, 14, 5, 6, 7, 2};
    CHECK_INT(hist.n, sizeof want / sizeof *want);
    for (size_t i = 0; i < hist.n; i++)
        CHECK_INT(event_type(hist.events[i]), want[i]);
    fake_remove(&f);
}

static void many_timers(struct fake *f, const struct backend_task *t, struct rec *const *e,
                        size_t n, struct plan *p)
{
    (void)f;
    (void)t;
    if (!count_events(e, n, EVENT_TYPE_TIMER_STARTED)) {
        for (int i = 0; i < 1000; i++) {
            char id[16];
            snprintf(id, sizeof id, "%d", i + 1);
            add_timer(p, id, NS_PER_S * 3600 + (i % 7) * NS_PER_MS);
        }
    } else if (count_events(e, n, EVENT_TYPE_TIMER_FIRED) == 1000) {
        add_complete(p, "1000");
    }
}

static void test_timers(void)
{
    struct fake f;
    CASE("1,000 timers due while the process was down");
    fake_init(&f, "timers");
    f.timers_in_memory = 64;
    f.workflow = many_timers;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_RUNNING);
    f.wall_offset += 1800 * NS_PER_S;
    fake_reopen(&f);
    settle(&f, false);
    history(&f, "w", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_TIMER_FIRED), 0); /* none early */
    f.wall_offset += 1801 * NS_PER_S;
    fake_reopen(&f);
    settle(&f, true);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    history(&f, "w", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_TIMER_FIRED), 1000);
    fake_remove(&f);
}

int main(void)
{
    test_steps(false);
    test_steps(true);
    test_given_back();
    test_retry();
    test_timeouts();
    test_signals();
    test_signal_flood();
    test_buffered(false);
    test_buffered(true);
    test_cancel_late();
    test_timers();
    clear(&got);
    clear(&hist);
    return CHECK_DONE();
}
