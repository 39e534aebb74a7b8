/* The machines of the replayer without Lua: programs in C play the script (wf_fake.h), histories are made by hand.
 * check_history takes a closed or open history and a program and proves, with and without slices, that (1) replaying it
 * finds no difference, (2) every prefix that ends in a task which was completed gives exactly the commands that were
 * recorded, on a fresh run and on one that is kept over all tasks. */
#include "check.h"
#include "wf_fake.h"

#define DIGEST_A "aaaa"
static const char *current_digest;
static bool codec;

static struct wf_run *open_run(fake_prog p)
{
    struct wf_run *r = NULL;
    struct err e = {0};
    struct wf_info info = {.namespace_ = STR("default"), .workflow_id = STR("wf-1"), .run_id = STR("run-1"),
                           .task_queue = STR("queue"), .current_digest = current_digest, .codec = codec};
    fake_program = p;
    CHECK_INT(wf_open(NULL, &info, &r, &e), 0);
    return r;
}

static const struct wf_out *go(struct wf_run *r, const struct wf_task *t)
{
    const struct wf_out *out = NULL;
    struct err e = {0};
    int rc = wf_activate(r, t, (struct wf_budget){0}, &out, &e);
    if (rc)
        fprintf(stderr, "wf_activate: %s\n", e.text);
    CHECK_INT(rc, 0);
    for (int i = 0; out->status == WF_MORE; i++) {
        CHECK(i < 100000);
        CHECK_INT(wf_activate(r, NULL, (struct wf_budget){1}, &out, &e), 0);
    }
    return out;
}

static const struct rec *const *events(const struct hist *h, size_t from)
{
    return (const struct rec *const *)(h->ev + from);
}

static const struct wf_out *replay(struct wf_run *r, const struct hist *h)
{
    struct wf_task t = {.events = events(h, 0), .n_events = h->n, .whole = true};
    return go(r, &t);
}

/* A live task that ends with event number `upto`; `from` is the index of its first event. */
static const struct wf_out *live_with(struct wf_run *r, const struct hist *h, size_t from, int64_t upto,
                                      struct rec **messages, size_t n_messages)
{
    struct wf_task t = {.events = events(h, from), .n_events = (size_t)upto - from, .whole = from == 0,
                        .started_id = upto, .messages = (const struct rec *const *)messages, .n_messages = n_messages,
                        .wall_ns = h->now};
    return go(r, &t);
}
static const struct wf_out *live(struct wf_run *r, const struct hist *h, size_t from, int64_t upto)
{
    return live_with(r, h, from, upto, NULL, 0);
}

static void check_commands(const struct wf_out *o, const char *want)
{
    char got[2000];
    if (o->status == WF_FAIL_TASK)
        fprintf(stderr, "task failed: " STR_FMT "\n", STR_ARG(rec_str(o->failure, T(failure, message))));
    text_of_commands(o, got, sizeof got);
    CHECK_STR(got, want);
}

static void check_failure(const struct wf_out *o, const char *want)
{
    CHECK_INT(o->status, WF_FAIL_TASK);
    char got[2000];
    snprintf(got, sizeof got, STR_FMT, STR_ARG(rec_str(o->failure, T(failure, message))));
    CHECK_STR(got, want);
}

/* ---- the generic proof ---- */
static size_t next_start(const struct hist *h, size_t i)
{
    for (; i + 1 < h->n; i++) {
        if (event_type(h->ev[i]) == EVENT_TYPE_WORKFLOW_TASK_STARTED &&
            event_type(h->ev[i + 1]) == EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
            return i;
    }
    return h->n;
}

static void recorded(const struct hist *h, size_t start, char *out, size_t n)
{
    out[0] = 0;
    for (size_t i = start + 2; i < h->n && event_type(h->ev[i]) != EVENT_TYPE_WORKFLOW_TASK_STARTED; i++) {
        if (!event_is_command(event_type(h->ev[i])))
            continue;
        size_t at = strlen(out);
        snprintf(out + at, n - at, "%s", at ? ", " : "");
        at = strlen(out);
        text_of_event(h->ev[i], out + at, n - at);
    }
}

static size_t messages_of(struct hist *h, size_t start, struct rec **out)
{
    size_t n = 0;
    for (size_t i = start + 2; i < h->n && event_type(h->ev[i]) != EVENT_TYPE_WORKFLOW_TASK_STARTED; i++) {
        const struct rec *at = event_attrs(h->ev[i]);
        if (event_type(h->ev[i]) != EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
            continue;
        char id[64], name[64];
        const struct rec *q = rec_msg(at, T(ev_workflow_execution_update_accepted, accepted_request));
        snprintf(id, sizeof id, STR_FMT, STR_ARG(rec_str(at, T(ev_workflow_execution_update_accepted, protocol_instance_id))));
        snprintf(name, sizeof name, STR_FMT, STR_ARG(rec_str(rec_msg(q, T(update_request, input)), T(update_input, name))));
        h->scheduled = event_id(h->ev[start]) - 1;
        out[n++] = h_update_message(h, id, arena_str(&h->a, str_of(name)).p, NULL);
    }
    return n;
}

/* Answers local activities as the history recorded them; false: none was answered in this task (a heartbeat). */
static bool answer_local(struct wf_run *r, const struct hist *h, size_t start, size_t *k)
{
    for (size_t i = start + 2 + *k; i < h->n && event_type(h->ev[i]) != EVENT_TYPE_WORKFLOW_TASK_STARTED; i++) {
        const struct rec *at = event_attrs(h->ev[i]);
        *k = i - start - 1;
        if (event_type(h->ev[i]) != EVENT_TYPE_MARKER_RECORDED ||
            !str_eqz(rec_str(at, T(ev_marker_recorded, marker_name)), "core_local_activity"))
            continue;
        char text[300];
        text_of_event(h->ev[i], text, sizeof text);
        struct wf_local_result res = {.attempt = 1,
                                      .result = rec_map_get(at, T(ev_marker_recorded, details), STR("result")),
                                      .failure = rec_msg(at, T(ev_marker_recorded, failure)),
                                      .complete_ns = h->now};
        struct str d = payload_data(rec_msg(rec_map_get(at, T(ev_marker_recorded, details), STR("data")), T(payloads, payloads)));
        char z[500];
        snprintf(z, sizeof z, STR_FMT, STR_ARG(d));
        const char *b = strstr(z, "\"backoff\":{\"seconds\":");
        res.backoff_ns = b ? atoll(b + 21) * NS_PER_S : 0;
        CHECK_INT(wf_local_resolve(r, (uint32_t)atoi(strrchr(text, ':') + 1), &res), 0);
        return true;
    }
    return false;
}

static void one_task(struct wf_run *r, struct hist *h, size_t from, size_t start)
{
    struct rec *messages[16];
    char want[2000];
    size_t n = messages_of(h, start, messages), k = 0;
    const struct wf_out *o = live_with(r, h, from, (int64_t)start + 1, messages, n);
    while (o->status == WF_WAIT_LOCAL && answer_local(r, h, start, &k))
        o = go(r, NULL);
    recorded(h, start, want, sizeof want);
    check_commands(o, want);
    CHECK(o->status == WF_DONE || o->status == WF_WAIT_LOCAL);
    CHECK_INT(o->n_flags, o->status == WF_DONE && next_start(h, 0) == start ? 1 : o->n_flags);
    if (o->status == WF_WAIT_LOCAL)
        wf_flushed(r);
    else
        CHECK(o->task_has_result);
}

static void check_history(struct hist *h, fake_prog p)
{
    for (fake_slices = 0; fake_slices < 3; fake_slices++) {
        struct wf_run *r = open_run(p);
        const struct wf_out *o = replay(r, h);
        if (o->status == WF_FAIL_TASK)
            fprintf(stderr, "replay: " STR_FMT "\n", STR_ARG(rec_str(o->failure, T(failure, message))));
        CHECK_INT(o->status, WF_DONE);
        CHECK(!o->task_has_result);
        CHECK_INT(o->n_commands, 0);
        CHECK_INT(o->n_drift, 0);
        wf_close(r);
        struct wf_run *kept = open_run(p);
        size_t from = 0;
        for (size_t i = next_start(h, 0); i < h->n; i = next_start(h, i + 1)) {
            r = open_run(p);
            one_task(r, h, 0, i);
            wf_close(r);
            one_task(kept, h, from, i);
            CHECK_INT(wf_last_event(kept), (int64_t)i + 1);
            from = i + 1;
        }
        wf_close(kept);
    }
    fake_slices = 0;
}

/* ---- programs and their histories ---- */
static void p_one_timer(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = timer(r, 60, "flow.lua:1");
    AWAIT(settled(r, f->v[0]))
    complete(r);
    PROG_END
}
static void test_timers(void)
{
    struct hist h;
    CASE("single timer");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    int64_t t = h_timer(&h, "1");
    h_timer_fired(&h, t, "1");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_one_timer);
    h_free(&h);
}

static void p_parallel(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = timer(r, 60, "flow.lua:1");
    f->v[1] = timer(r, 10, "flow.lua:2");
    AWAIT(settled(r, f->v[1]))
    cancel(r, f->v[0]);
    cancel(r, f->v[0]);
    CHECK(is_canceled(r, f->v[0]));
    f->v[2] = timer(r, 5, "flow.lua:3"); /* withdrawn: it keeps its number */
    cancel(r, f->v[2]);
    f->v[3] = timer(r, 5, "flow.lua:4");
    AWAIT(settled(r, f->v[3]))
    complete(r);
    PROG_END
}
static void test_parallel_timers(void)
{
    struct hist h;
    CASE("parallel timers, cancel, lazy cancel");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    int64_t a = h_timer(&h, "1"), b = h_timer(&h, "2");
    h_timer_fired(&h, b, "2");
    h_full(&h);
    h_timer_canceled(&h, a, "1");
    int64_t d = h_timer(&h, "4");
    h_timer_fired(&h, d, "4");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_parallel);
    h_free(&h);
}

static enum wf_cancel_type how;
static int outcome; /* 0 ok, 1 failed, 2 canceled */
static void p_activity(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = activity(r, "act", "1", how, "flow.lua:1");
    AWAIT(settled(r, f->v[0]))
    CHECK(outcome == 0 ? is_ok(r, f->v[0]) : outcome == 2 ? is_canceled(r, f->v[0]) : !is_ok(r, f->v[0]));
    complete(r);
    PROG_END
}
static void test_activity_outcomes(void)
{
    for (int kind = 0; kind < 3; kind++) {
        struct hist h;
        CASE("activity completes, fails, times out");
        h_init(&h);
        h_begin(&h, "wf", NULL);
        h_full(&h);
        int64_t s = h_activity(&h, "1", "act", "1");
        outcome = kind ? 1 : 0;
        if (kind == 0)
            h_activity_completed(&h, s, "42");
        else if (kind == 1)
            h_activity_failed(&h, s, "Boom", "bad");
        else
            h_activity_timed_out(&h, s);
        h_full(&h);
        h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
        check_history(&h, p_activity);
        h_free(&h);
    }
}

/* An activity is cancelled by a signal; what comes after is told by a second signal that ends the run. */
static void p_cancel_activity(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = activity(r, "act", "1", how, "flow.lua:1");
    AWAIT(f->n[0] > 0)
    cancel(r, f->v[0]);
    cancel(r, f->v[0]);
    CHECK(how == CANCEL_WAIT ? !settled(r, f->v[0]) : is_canceled(r, f->v[0]));
    AWAIT(settled(r, f->v[0]))
    if (how == CANCEL_WAIT)
        CHECK(outcome == 0 ? is_ok(r, f->v[0]) : is_canceled(r, f->v[0]));
    AWAIT(f->n[0] > 1)
    complete(r);
    PROG_END
}
static void test_activity_cancel(void)
{
    for (int type = CANCEL_TRY; type <= CANCEL_ABANDON; type++) {
        for (int end = 0; end < 4; end++) {
            struct hist h;
            CASE("activity cancel: every type, every late event");
            how = (enum wf_cancel_type)type;
            outcome = end == 0 ? 0 : 2;
            if (how == CANCEL_WAIT && (end == 1 || end == 2))
                continue; /* failures in place of a cancel are ordinary failures, tested above */
            h_init(&h);
            h_begin(&h, "wf", NULL);
            h_full(&h);
            int64_t s = h_activity(&h, "1", "act", "1");
            h_signal(&h, "stop", NULL);
            h_full(&h);
            if (how != CANCEL_ABANDON)
                h_activity_cancel(&h, s);
            if (end == 0)
                h_activity_completed(&h, s, "1");
            else if (end == 1)
                h_activity_failed(&h, s, "x", "y");
            else if (end == 2)
                h_activity_timed_out(&h, s);
            else
                h_activity_canceled(&h, s);
            h_full(&h);
            h_signal(&h, "end", NULL);
            h_full(&h);
            h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
            check_history(&h, p_cancel_activity);
            h_free(&h);
        }
    }
}

static void p_cancel_unsent(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = activity(r, "act", "1", CANCEL_WAIT, "flow.lua:1");
    cancel(r, f->v[0]);
    CHECK(is_canceled(r, f->v[0]));
    f->v[1] = child(r, "kid-0", CANCEL_WAIT, &f->v[2], "flow.lua:2");
    cancel(r, f->v[1]);
    CHECK(is_canceled(r, f->v[1]) && is_canceled(r, f->v[2]));
    f->v[3] = activity(r, "act", "1", CANCEL_TRY, "flow.lua:3");
    AWAIT(settled(r, f->v[3]))
    complete(r);
    PROG_END
}
static void test_lazy(void)
{
    struct hist h;
    CASE("cancel before sent removes the command, not the number");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    int64_t s = h_activity(&h, "2", "act", "1");
    h_activity_completed(&h, s, "1");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_cancel_unsent);
    h_free(&h);
}

/* ---- children ---- */
static void p_child(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[1] = child(r, "kid-1", CANCEL_TRY, &f->v[0], "flow.lua:1");
    AWAIT(settled(r, f->v[0]))
    AWAIT(settled(r, f->v[1]))
    CHECK(outcome == 0 ? is_ok(r, f->v[1]) : outcome == 2 ? is_canceled(r, f->v[1]) : !is_ok(r, f->v[1]));
    complete(r);
    PROG_END
}
static void test_child_outcomes(void)
{
    for (int kind = 0; kind < 5; kind++) {
        struct hist h;
        CASE("child completes, fails, is cancelled, terminated, cannot start");
        h_init(&h);
        h_begin(&h, "wf", NULL);
        h_full(&h);
        int64_t c = h_child(&h, "kid-1", "kid");
        outcome = kind == 0 ? 0 : kind == 2 ? 2 : 1;
        if (kind < 4) {
            h_child_started(&h, c, "kid-1", "run-k");
            h_full(&h);
        }
        if (kind == 0)
            h_child_completed(&h, c, "7");
        else if (kind == 1)
            h_child_failed(&h, c);
        else if (kind == 2)
            h_child_canceled(&h, c);
        else if (kind == 3)
            h_child_terminated(&h, c);
        else
            h_child_start_failed(&h, c);
        h_full(&h);
        h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
        check_history(&h, p_child);
        h_free(&h);
    }
}

static bool cancel_early; /* between Initiated and Started */
static void p_child_cancel(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[1] = child(r, "kid-1", how, &f->v[0], "flow.lua:1");
    AWAIT(f->n[0] > 0)
    cancel(r, f->v[1]);
    cancel(r, f->v[1]);
    CHECK(how == CANCEL_TRY || how == CANCEL_ABANDON ? is_canceled(r, f->v[1]) : !settled(r, f->v[1]));
    AWAIT(settled(r, f->v[1]))
    CHECK(is_canceled(r, f->v[1]));
    f->v[2] = timer(r, 5, "flow.lua:2"); /* shows in which task it was told */
    AWAIT(settled(r, f->v[2]))
    complete(r);
    PROG_END
}
static void test_child_cancel(void)
{
    for (int type = CANCEL_TRY; type <= CANCEL_WAIT_REQUESTED; type++) {
        for (int early = 0; early < 2; early++) {
            struct hist h;
            CASE("child cancel: every type, before and after its start");
            how = (enum wf_cancel_type)type;
            cancel_early = early;
            h_init(&h);
            h_begin(&h, "wf", NULL);
            h_full(&h);
            int64_t c = h_child(&h, "kid-1", "kid"), x = 0, t = 0;
            if (!early)
                h_child_started(&h, c, "kid-1", "run-k");
            h_signal(&h, "stop", NULL);
            h_full(&h);
            bool now = how == CANCEL_TRY || how == CANCEL_ABANDON;
            if (how != CANCEL_ABANDON)
                x = h_cancel_external(&h, "kid-1");
            if (now)
                t = h_timer(&h, "1");
            if (early)
                h_child_started(&h, c, "kid-1", "run-k");
            if (x)
                h_external_canceled(&h, x);
            h_full(&h);
            if (how == CANCEL_WAIT_REQUESTED)
                t = h_timer(&h, "1");
            h_child_canceled(&h, c);
            h_full(&h);
            if (how == CANCEL_WAIT)
                t = h_timer(&h, "1");
            h_timer_fired(&h, t, "1");
            h_full(&h);
            h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
            check_history(&h, p_child_cancel);
            h_free(&h);
        }
    }
}

static void p_external(struct wf_run *r, struct fake *f)
{
    struct err e;
    PROG_BEGIN
    f->v[0] = fut(r, "flow.lua:1");
    wf_op_signal_external(r, STR("other"), (struct str){NULL, 0}, false, STR("hi"), NULL, f->v[0], &e);
    f->v[1] = fut(r, "flow.lua:2");
    wf_op_cancel_external(r, STR("other"), (struct str){NULL, 0}, STR("r"), f->v[1], &e);
    AWAIT(settled(r, f->v[0]) && settled(r, f->v[1]))
    CHECK(!is_ok(r, f->v[0]) && is_ok(r, f->v[1]));
    CHECK(str_eqz(failure_type(wf_future_get(r, f->v[0])->failure), "ExternalWorkflowNotFound"));
    complete(r);
    PROG_END
}
static void test_external(void)
{
    struct hist h;
    CASE("signal and cancel of another workflow");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    int64_t s = h_signal_external(&h, "other", "hi"), c = h_cancel_external(&h, "other");
    h_signal_external_failed(&h, s);
    h_external_canceled(&h, c);
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_external);
    h_free(&h);
}

/* ---- order of jobs ---- */
static void p_three_signals(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = timer(r, 1, "flow.lua:1");
    AWAIT(settled(r, f->v[0]) && f->n[0] == 3)
    complete(r);
    PROG_END
}
static void test_order(void)
{
    struct hist h;
    CASE("signals and updates first, in their order, then the rest");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_signal(&h, "early", NULL);
    h_full(&h);
    int64_t t = h_timer(&h, "1");
    h_timer_fired(&h, t, "1");
    h_cancel_requested(&h);
    h_signal(&h, "a", NULL);
    h_signal(&h, "b", NULL);
    h_cancel_requested(&h);
    int64_t live_at = h_full(&h);
    h_update_accepted(&h, "u1", "upd", NULL);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_three_signals);
    struct wf_run *r = open_run(p_three_signals);
    replay(r, &h);
    CHECK_STR(fake_of(r)->log, "start S:early S:a S:b U:upd C:enough ");
    wf_close(r);
    struct rec *m[1] = {h_update_message(&h, "u1", "upd", NULL)};
    r = open_run(p_three_signals);
    const struct wf_out *o = live_with(r, &h, 0, live_at - 1, m, 1);
    CHECK_STR(fake_of(r)->log, "start S:early S:a S:b U:upd? C:enough ");
    CHECK_INT(o->n_messages, 1);
    CHECK(o->closed);
    wf_close(r);
    h_free(&h);
}

/* ---- updates ---- */
static void p_update(struct wf_run *r, struct fake *f)
{
    struct err e;
    PROG_BEGIN
    f->v[1] = timer(r, 100, "flow.lua:1");
    AWAIT(f->update)
    f->v[0] = timer(r, 1, "flow.lua:2");
    AWAIT(settled(r, f->v[0]))
    CHECK_INT(wf_op_update_complete(r, str_of(f->update), NULL, NULL, &e), 0);
    CHECK_INT(wf_op_update_complete(r, str_of(f->update), NULL, NULL, &e), ERR_NOTFOUND);
    complete(r);
    PROG_END
}
static void test_updates(void)
{
    struct hist h;
    CASE("update accepted and completed later");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_timer(&h, "1");
    int64_t at = h_task(&h);
    h_done(&h);
    int64_t acc = h_update_accepted(&h, "u1", "upd", "5");
    int64_t t = h_timer(&h, "2");
    h_timer_fired(&h, t, "2");
    h_full(&h);
    h_update_completed(&h, "u1", acc);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_update);

    CASE("rejected update: a message, no command, and the task can be rolled back");
    struct wf_run *r = open_run(p_update);
    CHECK_INT(live(r, &h, 0, 3)->status, WF_DONE);
    fake_reject = "upd";
    h.scheduled = at - 1;
    struct rec *m[1] = {h_update_message(&h, "u1", "upd", "5")};
    int64_t now = r->now_ns;
    const struct wf_out *o = live_with(r, &h, 3, at, m, 1);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(o->n_commands, 0);
    CHECK_INT(o->n_messages, 1);
    CHECK(str_eqz(rec_str(o->messages[0], T(protocol_message, id)), "u1/reject"));
    CHECK(r->now_ns > now);
    wf_rollback(r, 3);
    CHECK_INT(wf_last_event(r), 3);
    CHECK_INT(r->now_ns, now);
    fake_reject = NULL;
    o = live_with(r, &h, 3, at, m, 1); /* the same event ids come again, whole */
    check_commands(o, "Update u1/accept, TimerStarted 2");
    wf_close(r);
    r = open_run(p_update);
    live(r, &h, 0, 3);
    fake_reject = "upd";
    live_with(r, &h, 3, at, m, 1);
    wf_rollback(r, 3);
    fake_reject = NULL;
    o = live_with(r, &h, (size_t)at - 2, at, m, 1); /* or from their WorkflowTaskScheduled on */
    check_commands(o, "Update u1/accept, TimerStarted 2");
    o = live(r, &h, (size_t)at, at + 6);
    check_commands(o, "Update u1/complete, WorkflowExecutionCompleted");
    wf_close(r);
    h_free(&h);
}

/* ---- patches ---- */
static int asks; /* 0 nothing, 1 patched, 2 deprecate */
static void p_patch(struct wf_run *r, struct fake *f)
{
    struct err e;
    PROG_BEGIN
    if (asks)
        f->n[2] = wf_op_patched(r, STR("fix"), asks == 2, &e);
    if (asks)
        CHECK_INT(wf_op_patched(r, STR("fix"), false, &e), f->n[2]);
    f->v[0] = timer(r, 1, "flow.lua:1");
    AWAIT(settled(r, f->v[0]))
    complete(r);
    PROG_END
}
static void test_patches(void)
{
    CASE("patches: recorded none/plain/deprecated/with upsert x asked none/patched/deprecated");
    for (int rec = 0; rec < 4; rec++) {
        for (asks = 0; asks < 3; asks++) {
            struct hist h;
            h_init(&h);
            h_begin(&h, "wf", NULL);
            h_full(&h);
            if (rec)
                h_patch(&h, "fix", rec == 2, rec == 3);
            int64_t t = h_timer(&h, "1");
            h_timer_fired(&h, t, "1");
            h_full(&h);
            h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
            struct wf_run *r = open_run(p_patch);
            const struct wf_out *o = replay(r, &h);
            bool bad = asks == 0 && (rec == 1 || rec == 3);
            CHECK_INT(o->status, bad ? WF_FAIL_TASK : WF_DONE);
            if (asks)
                CHECK_INT(fake_of(r)->n[2], rec != 0);
            wf_close(r);
            r = open_run(p_patch);
            o = live(r, &h, 0, 3);
            check_commands(o, asks ? "MarkerRecorded core_patch:\"fix\", UpsertWorkflowSearchAttributes, TimerStarted 1"
                                   : "TimerStarted 1");
            if (asks)
                CHECK_INT(fake_of(r)->n[2], 1);
            wf_close(r);
            h_free(&h);
        }
    }
    asks = 1;
    struct hist h;
    CASE("patch with upsert replays and continues");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_patch(&h, "fix", false, true);
    int64_t t = h_timer(&h, "1");
    h_timer_fired(&h, t, "1");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_patch);
    h_free(&h);
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
        struct wf_run *r = open_run(p_locals);
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
    if (f->n[0])
        cancel(r, f->v[0]);
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
    struct wf_run *r = open_run(p_local_cancel);
    const struct wf_out *o = live(r, &h, 0, 3);
    CHECK_INT(o->status, WF_WAIT_LOCAL);
    CHECK_INT(o->n_locals, 2);
    CHECK(str_eqz(o->locals[1].activity_type, "two"));
    CHECK_INT(wf_local_resolve(r, 1, &(struct wf_local_result){.attempt = 1, .complete_ns = h.now + 77}), 0);
    o = go(r, NULL);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(o->n_locals, 0);
    CHECK_INT(o->n_local_cancels, 1);
    CHECK_INT(o->local_cancels[0], 2);
    CHECK_INT(r->now_ns, h.now + 77);
    CHECK_INT(wf_local_resolve(r, 2, &(struct wf_local_result){.attempt = 1}), 0); /* late: ignored */
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
    struct wf_run *r = open_run(p_side_effect);
    replay(r, &h);
    CHECK_INT(fake_of(r)->n[3], 1);
    wf_close(r);
    h_free(&h);
}

/* ---- failed tasks, retries, empty tasks ---- */
static void p_signal_end(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = timer(r, 1, "flow.lua:1");
    AWAIT(settled(r, f->v[0]))
    complete(r);
    PROG_END
}
static void test_folded(void)
{
    struct hist h;
    CASE("failed, timed-out and retried tasks fold into the next; empty tasks run nothing");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_task(&h);
    h_task_timed_out(&h);
    h_task(&h);
    h_task_failed(&h, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, NULL);
    h_signal(&h, "x", NULL);
    h_full(&h);
    int64_t t = h_timer(&h, "1");
    h_full(&h);
    h_full(&h);
    h_timer_fired(&h, t, "1");
    h_task(&h);
    h_task_failed(&h, WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, NULL);
    h_signal(&h, "y", NULL);
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_signal_end);
    struct wf_run *r = open_run(p_signal_end);
    replay(r, &h);
    CHECK_INT(fake_of(r)->runs, 2); /* the two empty tasks ran nothing */
    CHECK_STR(fake_of(r)->log, "start S:x S:y ");
    wf_close(r);
    h_free(&h);
    CASE("a reset reseeds");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    t = h_timer(&h, "1");
    h_task(&h);
    h_task_failed(&h, WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW, "run-2");
    h_timer_fired(&h, t, "1");
    h_full(&h);
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    check_history(&h, p_signal_end);
    r = open_run(p_signal_end);
    replay(r, &h);
    CHECK_STR(fake_of(r)->log, "start reseed:run-2 ");
    wf_close(r);
    h_free(&h);
}

/* ---- the end ---- */
static void p_continue(struct wf_run *r, struct fake *f)
{
    struct err e;
    struct wf_can_opts o = {0};
    PROG_BEGIN
    CHECK_INT(wf_op_continue_as_new(r, &o, &e), 0);
    complete(r); /* the first one wins */
    f->v[0] = timer(r, 5, "flow.lua:1");
    PROG_END
}
static void test_continue(void)
{
    struct hist h;
    CASE("continue as new carries what was not given; other commands go before it");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    struct rec *at = (struct rec *)(uintptr_t)event_attrs(h.ev[0]);
    rec_set_int(at, T(ev_workflow_execution_started, workflow_run_timeout), 5 * NS_PER_S);
    rec_set_int(rec_sub(at, T(ev_workflow_execution_started, retry_policy)), T(retry_policy, maximum_attempts), 3);
    struct rec *header = rec_sub(at, T(ev_workflow_execution_started, header));
    struct rec *entry = rec_add(header, T(header, fields));
    rec_set_str(entry, T(header_fields_entry, key), STR("moonloop"));
    rec_set_msg(entry, T(header_fields_entry, value),
                payload_new(&h.a, PAYLOAD_JSON, STR("{\"chain_start\":\"2026-01-01T00:00:00Z\",\"principal\":\"bob\"}")));
    entry = rec_add(rec_sub(at, T(ev_workflow_execution_started, memo)), T(memo, fields));
    rec_set_str(entry, T(memo_fields_entry, key), STR("note"));
    rec_set_msg(entry, T(memo_fields_entry, value), payload_new(&h.a, PAYLOAD_JSON, STR("1")));
    h_full(&h);
    h_timer(&h, "1");
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW);
    check_history(&h, p_continue);
    struct wf_run *r = open_run(p_continue);
    const struct wf_out *o = live(r, &h, 0, 3);
    check_commands(o, "TimerStarted 1, WorkflowExecutionContinuedAsNew");
    CHECK(o->closed);
    const struct rec *c = command_attrs(o->commands[1]);
    CHECK(str_eqz(rec_str(rec_msg(c, T(cmd_continue_as_new_workflow_execution, workflow_type)), T(workflow_type, name)), "wf"));
    CHECK_INT(rec_int(c, T(cmd_continue_as_new_workflow_execution, workflow_run_timeout)), 5 * NS_PER_S);
    CHECK_INT(rec_int(c, T(cmd_continue_as_new_workflow_execution, workflow_task_timeout)), 10 * NS_PER_S);
    CHECK_INT(rec_int(rec_msg(c, T(cmd_continue_as_new_workflow_execution, retry_policy)), T(retry_policy, maximum_attempts)), 3);
    CHECK(rec_map_get(rec_msg(c, T(cmd_continue_as_new_workflow_execution, memo)), T(memo, fields), STR("note")));
    struct str json = payload_data(rec_map_get(rec_msg(c, T(cmd_continue_as_new_workflow_execution, header)), T(header, fields), STR("moonloop")));
    CHECK(str_eqz(json, "{\"chain_start\":\"2026-01-01T00:00:00Z\",\"principal\":\"bob\"}"));
    CHECK(str_eqz(r->chain_start_iso, "2026-01-01T00:00:00Z"));
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
    struct wf_run *r = open_run(p);
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
                 "history and script differ at event 5: recorded ActivityTaskScheduled \"act\" (id 1), but the script now "
                 "asks for StartTimer (id 1) at flow.lua:1");
    replay_fails(&h, p_activity_b,
                 "history and script differ at event 5: recorded ActivityTaskScheduled \"act\" (id 1), but the script now "
                 "asks for ScheduleActivityTask \"other\" (id 1) at flow.lua:7");
    replay_fails(&h, p_nothing,
                 "history and script differ at event 5: recorded ActivityTaskScheduled \"act\" (id 1), but the script no "
                 "longer asks for it; it waits at flow.lua:9");
    replay_fails(&h, p_two,
                 "history and script differ after event 4 (WorkflowTaskCompleted): the script now asks for StartTimer "
                 "(id 1) at flow.lua:2, which was not recorded");
    replay_fails(&h, p_fails,
                 "history and script differ at event 11: recorded WorkflowExecutionCompleted, but the script now asks for "
                 "FailWorkflowExecution");
    CASE("arguments: an error on the same bundle, drift on another, nothing with a codec");
    current_digest = DIGEST_A;
    replay_fails(&h, p_other_input,
                 "history and script differ at event 5: recorded ActivityTaskScheduled \"act\" (id 1), but the script now "
                 "asks for ScheduleActivityTask \"act\" (id 1) at flow.lua:1 with other arguments");
    current_digest = "bbbb";
    struct wf_run *r = open_run(p_other_input);
    const struct wf_out *o = replay(r, &h);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(o->n_drift, 1);
    CHECK_INT(o->drift[0].event_id, 5);
    wf_close(r);
    current_digest = DIGEST_A;
    codec = true;
    r = open_run(p_other_input);
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
                 "history and script differ at event 6 (TimerFired): the timer that was started there has another id");
    h_free(&h);
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_timer(&h, "1");
    h_activity_completed(&h, 3, "1");
    h_full(&h);
    replay_fails(&h, p_one_timer,
                 "history and script differ at event 7 (ActivityTaskCompleted): no such activity is open");
    h_free(&h);
    CASE("an accepted update without a handler, a local activity of another type");
    h_init(&h);
    h_begin(&h, "wf", NULL);
    h_full(&h);
    h_local(&h, 1, "uno", "1", NULL, 0);
    h_local(&h, 2, "two", "1", NULL, 0);
    replay_fails(&h, p_locals,
                 "history and script differ at event 5: recorded MarkerRecorded \"core_local_activity\" (id 1, type \"uno\"), "
                 "but the script now asks for local activity \"one\" at flow.lua:1");
    replay_fails(&h, p_one_timer,
                 "history and script differ at event 5: recorded MarkerRecorded \"core_local_activity\" (id 1, type \"uno\"), "
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
    struct wf_run *r = open_run(p_one_timer);
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
        r = open_run(p_one_timer);
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
    struct wf_task task = {.events = events(&h, 0), .n_events = h.n, .whole = true, .queries = q, .n_queries = 2};
    struct wf_run *r = open_run(p_one_timer);
    const struct wf_out *o = go(r, &task);
    CHECK_INT(o->n_query_results, 2);
    CHECK(o->query_results[0].ok && str_eqz(o->query_results[0].id, "q1"));
    CHECK(!o->query_results[1].ok && !o->task_has_result && o->closed);
    wf_close(r);
    r = open_run(p_one_timer);
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
    r = open_run(p_one_timer);
    task.n_events = 1;
    task.started_id = 0;
    o = go(r, &task);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(r->now_ns, H_EPOCH);
    wf_close(r);
    CASE("a query that replays more than the last task, then goes on");
    r = open_run(p_one_timer);
    task.n_events = 6; /* with the commands of task 1 and an event behind them */
    o = go(r, &task);
    CHECK_INT(o->status, WF_DONE);
    CHECK_INT(wf_last_event(r), 3);
    o = live(r, &h, 3, 8);
    check_commands(o, "WorkflowExecutionCompleted");
    wf_close(r);
    CASE("bad events are refused");
    r = open_run(p_one_timer);
    struct err e = {0};
    struct wf_task bad = {.events = events(&h, 3), .n_events = 5, .started_id = 8};
    CHECK_INT(wf_activate(r, &bad, (struct wf_budget){0}, &o, &e), ERR_PROTO);
    bad = (struct wf_task){.events = events(&h, 0), .n_events = 5, .started_id = 8, .whole = true};
    CHECK_INT(wf_activate(r, &bad, (struct wf_budget){0}, &o, &e), ERR_PROTO);
    CHECK_INT(wf_activate(r, NULL, (struct wf_budget){0}, &o, &e), ERR_ARG);
    wf_close(r);
    h_free(&h);
}

struct split { char text[500]; };
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
    struct wf_info info = {.workflow_id = STR("w"), .run_id = STR("r"), .task_queue = STR("q"), .limits = {.commands = 5}};
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
    r = open_run(p_loop);
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
    test_timers();
    test_parallel_timers();
    test_activity_outcomes();
    test_activity_cancel();
    test_lazy();
    test_child_outcomes();
    test_child_cancel();
    test_external();
    test_order();
    test_updates();
    test_patches();
    test_locals();
    test_backoff();
    test_local_cancel();
    test_side_effect();
    test_folded();
    test_continue();
    test_differences();
    test_unknown();
    test_queries();
    test_split();
    test_bounds();
    return CHECK_DONE();
}
