/* The machines of the replayer without Lua: programs in C play the script (wf_fake.h), histories
 * are made by hand. check_history takes a closed or open history and a program and proves, with and
 * without slices, that (1) replaying it finds no difference, (2) every prefix that ends in a task
 * which was completed gives exactly the commands that were recorded, on a fresh run and on one that
 * is kept over all tasks. */
#include "check.h"
#include "wf_fake.h"
#include "wf_prove.h"

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
    CHECK(outcome == 0   ? is_ok(r, f->v[0])
          : outcome == 2 ? is_canceled(r, f->v[0])
                         : !is_ok(r, f->v[0]));
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

/* An activity is cancelled by a signal; what comes after is told by a second signal that ends the
 * run. */
static void p_cancel_activity(struct wf_run *r, struct fake *f)
{
    PROG_BEGIN
    f->v[0] = activity(r, "act", "1", how, "flow.lua:1");
    AWAIT(f->n[0] > 0)
    cancel(r, f->v[0]);
    cancel(r, f->v[0]);
    CHECK(how == CANCEL_WAIT ? !settled(r, f->v[0]) : is_canceled(r, f->v[0]));
    AWAIT(settled(r, f->v[0]))
    if (how == CANCEL_WAIT) CHECK(outcome == 0 ? is_ok(r, f->v[0]) : is_canceled(r, f->v[0]));
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
            if (how != CANCEL_ABANDON) h_activity_cancel(&h, s);
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
    CHECK(outcome == 0   ? is_ok(r, f->v[1])
          : outcome == 2 ? is_canceled(r, f->v[1])
                         : !is_ok(r, f->v[1]));
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
    CHECK(how == CANCEL_TRY || how == CANCEL_ABANDON ? is_canceled(r, f->v[1])
                                                     : !settled(r, f->v[1]));
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
            if (!early) h_child_started(&h, c, "kid-1", "run-k");
            h_signal(&h, "stop", NULL);
            h_full(&h);
            bool now = how == CANCEL_TRY || how == CANCEL_ABANDON;
            if (how != CANCEL_ABANDON) x = h_cancel_external(&h, "kid-1");
            if (now) t = h_timer(&h, "1");
            if (early) h_child_started(&h, c, "kid-1", "run-k");
            if (x) h_external_canceled(&h, x);
            h_full(&h);
            if (how == CANCEL_WAIT_REQUESTED) t = h_timer(&h, "1");
            h_child_canceled(&h, c);
            h_full(&h);
            if (how == CANCEL_WAIT) t = h_timer(&h, "1");
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
    wf_op_signal_external(r, STR("other"), (struct str){NULL, 0}, false, STR("hi"), NULL, f->v[0],
                          &e);
    f->v[1] = fut(r, "flow.lua:2");
    wf_op_cancel_external(r, STR("other"), (struct str){NULL, 0}, false, STR("r"), f->v[1], &e);
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
    struct wf_run *r = open_run((void *)p_three_signals);
    replay(r, &h);
    CHECK_STR(fake_of(r)->log, "start S:early S:a S:b U:upd C:enough ");
    wf_close(r);
    struct rec *m[1] = {h_update_message(&h, "u1", "upd", NULL)};
    r = open_run((void *)p_three_signals);
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
    struct wf_run *r = open_run((void *)p_update);
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
    r = open_run((void *)p_update);
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
    if (asks) f->n[2] = wf_op_patched(r, STR("fix"), asks == 2, &e);
    if (asks) CHECK_INT(wf_op_patched(r, STR("fix"), false, &e), f->n[2]);
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
            if (rec) h_patch(&h, "fix", rec == 2, rec == 3);
            int64_t t = h_timer(&h, "1");
            h_timer_fired(&h, t, "1");
            h_full(&h);
            h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
            struct wf_run *r = open_run((void *)p_patch);
            const struct wf_out *o = replay(r, &h);
            bool bad = asks == 0 && (rec == 1 || rec == 3);
            CHECK_INT(o->status, bad ? WF_FAIL_TASK : WF_DONE);
            if (asks) CHECK_INT(fake_of(r)->n[2], rec != 0);
            wf_close(r);
            r = open_run((void *)p_patch);
            o = live(r, &h, 0, 3);
            check_commands(o, asks ? "MarkerRecorded core_patch:\"fix\", "
                                     "UpsertWorkflowSearchAttributes, TimerStarted 1"
                                   : "TimerStarted 1");
            if (asks) CHECK_INT(fake_of(r)->n[2], 1);
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
    struct wf_run *r = open_run((void *)p_signal_end);
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
    r = open_run((void *)p_signal_end);
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
    rec_set_int(rec_sub(at, T(ev_workflow_execution_started, retry_policy)),
                T(retry_policy, maximum_attempts), 3);
    struct rec *header = rec_sub(at, T(ev_workflow_execution_started, header));
    struct rec *entry = rec_add(header, T(header, fields));
    rec_set_str(entry, T(header_fields_entry, key), STR("moonloop"));
    rec_set_msg(
        entry, T(header_fields_entry, value),
        payload_new(&h.a, PAYLOAD_JSON,
                    STR("{\"chain_start\":\"2026-01-01T00:00:00Z\",\"principal\":\"bob\"}")));
    entry = rec_add(rec_sub(at, T(ev_workflow_execution_started, memo)), T(memo, fields));
    rec_set_str(entry, T(memo_fields_entry, key), STR("note"));
    rec_set_msg(entry, T(memo_fields_entry, value), payload_new(&h.a, PAYLOAD_JSON, STR("1")));
    h_full(&h);
    h_timer(&h, "1");
    h_end(&h, EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW);
    check_history(&h, p_continue);
    struct wf_run *r = open_run((void *)p_continue);
    const struct wf_out *o = live(r, &h, 0, 3);
    check_commands(o, "TimerStarted 1, WorkflowExecutionContinuedAsNew");
    CHECK(o->closed);
    const struct rec *c = command_attrs(o->commands[1]);
    CHECK(str_eqz(rec_str(rec_msg(c, T(cmd_continue_as_new_workflow_execution, workflow_type)),
                          T(workflow_type, name)),
                  "wf"));
    CHECK_INT(rec_int(c, T(cmd_continue_as_new_workflow_execution, workflow_run_timeout)),
              5 * NS_PER_S);
    CHECK_INT(rec_int(c, T(cmd_continue_as_new_workflow_execution, workflow_task_timeout)),
              10 * NS_PER_S);
    CHECK_INT(rec_int(rec_msg(c, T(cmd_continue_as_new_workflow_execution, retry_policy)),
                      T(retry_policy, maximum_attempts)),
              3);
    CHECK(rec_map_get(rec_msg(c, T(cmd_continue_as_new_workflow_execution, memo)), T(memo, fields),
                      STR("note")));
    struct str json =
        payload_data(rec_map_get(rec_msg(c, T(cmd_continue_as_new_workflow_execution, header)),
                                 T(header, fields), STR("moonloop")));
    CHECK(str_eqz(json, "{\"chain_start\":\"2026-01-01T00:00:00Z\",\"principal\":\"bob\"}"));
    CHECK(str_eqz(r->chain_start_iso, "2026-01-01T00:00:00Z"));
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
    test_folded();
    test_continue();
    return CHECK_DONE();
}
