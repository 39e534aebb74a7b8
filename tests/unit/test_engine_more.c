/* The rest of the engine: children, other runs, continue-as-new, cron, retried runs, updates,
 * queries, reset, blocked runs, cancellation of activities, asynchronous completion, virtual time,
 * large payloads. */
#include "engine/engine_internal.h"
#include "engine_fake.h"

static int has(struct rec *const *e, size_t n, int type)
{
    return count_events(e, n, type);
}
static const struct rec *attrs_of(int type)
{
    int64_t id = find_event(hist.events, hist.n, type, 1);
    CHECK(id > 0);
    return event_attrs(hist.events[id - 1]);
}
static enum act_reply hold(struct fake *f, const struct backend_task *t)
{
    (void)f;
    (void)t;
    return REPLY_HOLD;
}

/* ---- children ---- */
static int policy,
    child_mode; /* child_mode: 0 completes, 1 fails, 2 waits for a signal or cancellation */
static void family(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                   struct plan *p)
{
    (void)f;
    struct rec *a;
    if (str_eqz(t->workflow_type, "child")) {
        if (has(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)) {
            add_command(p, COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION, &a);
        } else if (child_mode == 1) {
            add_fail(p, "ChildBroke", false);
        } else if (child_mode == 0 || has(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)) {
            add_complete(p, "\"from child\"");
        }
        return;
    }
    if (!has(e, n, EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)) {
        add_command(p, COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION, &a);
        rec_set_str(a, T(cmd_start_child_workflow_execution, workflow_id), STR("kid"));
        rec_set_str(rec_sub(a, T(cmd_start_child_workflow_execution, workflow_type)),
                    T(workflow_type, name), STR("child"));
        rec_set_int(a, T(cmd_start_child_workflow_execution, parent_close_policy), policy);
    } else if (has(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) &&
               !has(e, n, EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED) &&
               child_mode == 2 && policy == 0) {
        add_command(p, COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, &a);
        struct rec *x = rec_sub(a, T(cmd_signal_external_workflow_execution, execution));
        rec_set_str(x, T(workflow_execution, workflow_id), STR("kid"));
        rec_set_str(a, T(cmd_signal_external_workflow_execution, signal_name), STR("go"));
        add_command(p, COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, &a);
        rec_set_str(rec_sub(a, T(cmd_signal_external_workflow_execution, execution)),
                    T(workflow_execution, workflow_id), STR("nobody"));
        rec_set_str(a, T(cmd_signal_external_workflow_execution, signal_name), STR("go"));
    } else if (has(e, n, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED)) {
        add_complete(p, "\"parent saw it\"");
    } else if (has(e, n, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED) ||
               has(e, n, EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED)) {
        add_complete(p, "\"child failed\"");
    } else if (has(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) && policy) {
        add_complete(p, "\"left\"");
    }
}

static void test_children(void)
{
    struct fake f;
    CASE("a child completes");
    fake_init(&f, "children");
    f.workflow = family;
    policy = child_mode = 0;
    fake_open(&f);
    start(&f, "p", "parent");
    settle(&f, false);
    CHECK_INT(result(&f, "p"), RUN_COMPLETED);
    CHECK_STR(got.text, "\"parent saw it\"");
    history(&f, "p", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED), 1);
    history(&f, "kid", NULL);
    const struct rec *s = event_attrs(hist.events[0]);
    CHECK(str_eqz(rec_str(rec_msg(s, T(ev_workflow_execution_started, parent_workflow_execution)),
                          T(workflow_execution, workflow_id)),
                  "p"));
    CHECK(rec_map_get(rec_msg(s, T(ev_workflow_execution_started, header)), T(header, fields),
                      STR("moonloop")) != NULL);

    CASE("a child fails");
    child_mode = 1;
    start(&f, "p2", "parent");
    settle(&f, false);
    CHECK_INT(result(&f, "p2"), RUN_COMPLETED);
    CHECK_STR(got.text, "\"child failed\"");
    history(&f, "p2", NULL);

    CASE("signals to other runs");
    child_mode = 2;
    start(&f, "p3", "parent");
    settle(&f, false);
    CHECK_INT(result(&f, "p3"), RUN_RUNNING);
    CASE("a child whose id is taken");
    start(&f, "p4", "parent");
    settle(&f, false);
    CHECK_INT(result(&f, "p4"), RUN_COMPLETED);
    CHECK_STR(got.text, "\"child failed\"");
    CASE("signals to other runs");
    fake_reopen(&f);
    sig(&f, "p3", "now", "");
    settle(&f, false);
    CHECK_INT(result(&f, "p3"), RUN_COMPLETED);
    history(&f, "p3", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED),
              1);
    CHECK_INT(
        count_events(hist.events, hist.n, EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED), 1);

    static const struct {
        int policy, status;
    } ends[] = {{PARENT_CLOSE_POLICY_TERMINATE, RUN_TERMINATED},
                {PARENT_CLOSE_POLICY_REQUEST_CANCEL, RUN_CANCELED},
                {PARENT_CLOSE_POLICY_ABANDON, RUN_RUNNING}};
    for (int i = 0; i < 3; i++) {
        CASE("parent close policy");
        policy = ends[i].policy;
        char id[16];
        snprintf(id, sizeof id, "q%d", i);
        start(&f, id, "parent");
        settle(&f, false);
        sig(&f, id, "leave", "");
        settle(&f, false);
        CHECK_INT(result(&f, id), RUN_COMPLETED);
        CHECK_INT(result(&f, "kid"), ends[i].status);
    }
    CASE("no message between runs is left over");
    struct buf b;
    struct err e = {0};
    buf_init(&b, 10000);
    CHECK_INT(engine_doctor(f.engine, &b, &e), 0);
    CHECK(strstr(b.p, "\"undeliveredMessages\":0") != NULL);
    buf_free(&b);
    fake_remove(&f);
}

/* ---- chains ---- */
static void loops(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                  struct plan *p)
{
    (void)f;
    (void)t;
    (void)n;
    const struct rec *in = rec_msg(event_attrs(e[0]), T(ev_workflow_execution_started, input));
    struct str v = payload_data(rec_msg(in, T(payloads, payloads)));
    if (v.n >= 5) {
        add_complete(p, "\"end of chain\"");
        return;
    }
    struct rec *a;
    add_command(p, COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION, &a);
    rec_set_msg(a, T(cmd_continue_as_new_workflow_execution, input),
                payloads_of_json(p->a, arena_printf(p->a, "%.*s1", STR_ARG(v))));
}

static void flaky(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                  struct plan *p)
{
    (void)f;
    (void)t;
    (void)n;
    if (rec_int(event_attrs(e[0]), T(ev_workflow_execution_started, attempt)) < 3)
        add_fail(p, "Flaky", false);
    else
        add_complete(p, "3");
}

static int cron_runs;
static void ticks(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                  struct plan *p)
{
    (void)f;
    (void)t;
    (void)n;
    (void)e;
    cron_runs++;
    add_complete(p, "\"tick\"");
}

static struct got waiting;
static void test_chain(void)
{
    struct fake f;
    struct arena a;
    CASE("continue as new, with a waiting caller");
    arena_init(&a, 0);
    fake_init(&f, "chain");
    f.workflow = loops;
    f.mode = ENGINE_CLOCK_VIRTUAL;
    fake_open(&f);
    struct backend_start s = {.workflow_id = STR("c"),
                              .workflow_type = STR("loop"),
                              .task_queue = STR("default"),
                              .input = payloads_of_json(&a, STR("1"))};
    start_full(&f, &s);
    char first[64];
    snprintf(first, sizeof first, "%s", got.run_id);
    struct backend_target target = {STR("c"), str_of(first)};
    clear(&waiting);
    f.b->ops->result(f.b, &target, true, take, &waiting);
    wait_got(&f, &waiting);
    CHECK_INT(waiting.status, RUN_COMPLETED);
    CHECK_STR(waiting.text, "\"end of chain\"");
    CHECK(strcmp(waiting.run_id, first) != 0);
    history(&f, "c", NULL);
    CHECK(str_eqz(rec_str(event_attrs(hist.events[0]),
                          T(ev_workflow_execution_started, first_execution_run_id)),
                  first));
    history(&f, "c", first);
    CHECK_INT(last_type(), EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW);

    CASE("a run that is retried");
    f.workflow = flaky;
    struct rec *retry = rec_new(&a, &rec_type_retry_policy);
    rec_set_int(retry, T(retry_policy, initial_interval), NS_PER_S);
    rec_set_int(retry, T(retry_policy, maximum_attempts), 5);
    s = (struct backend_start){.workflow_id = STR("r"),
                               .workflow_type = STR("flow"),
                               .task_queue = STR("default"),
                               .retry_policy = retry};
    start_full(&f, &s);
    settle(&f, true);
    CHECK_INT(result(&f, "r"), RUN_COMPLETED);
    history(&f, "r", NULL);
    CHECK_INT(rec_int(event_attrs(hist.events[0]), T(ev_workflow_execution_started, attempt)), 3);
    CHECK_INT(rec_int(event_attrs(hist.events[0]), T(ev_workflow_execution_started, initiator)),
              CONTINUE_AS_NEW_INITIATOR_RETRY);

    CASE("cron");
    f.workflow = ticks;
    s = (struct backend_start){.workflow_id = STR("k"),
                               .workflow_type = STR("flow"),
                               .task_queue = STR("default"),
                               .cron = STR("0 */6 * * *")};
    start_full(&f, &s);
    CHECK_INT(got.err.code, 0);
    int64_t due = 0, before = engine_now(f.engine);
    for (int i = 0; i < 4000 && cron_runs < 5; i++) {
        fake_turn(&f);
        if (engine_activity(f.engine, &due) == 2) engine_advance(f.engine);
    }
    CHECK_INT(cron_runs, 5);
    CHECK_INT(engine_now(f.engine) % (6 * 3600 * NS_PER_S), 0);
    CHECK(engine_now(f.engine) - before > 24 * 3600 * NS_PER_S);
    s.workflow_id = STR("k2");
    CHECK_INT(eng_cron_next(STR("* * * * *"), -90 * NS_PER_S), -60 * NS_PER_S);
    CHECK_INT(eng_cron_next(STR("5-5/2 * * * *"), 6 * 60 * NS_PER_S), 65 * 60 * NS_PER_S);
    CHECK_INT(eng_cron_next(STR("5/2 * * * *"), 6 * 60 * NS_PER_S), 7 * 60 * NS_PER_S);
    CHECK_INT(eng_cron_next(STR("* * * * *"), INT64_MAX - 1), -1);
    CHECK_INT(eng_cron_next(STR("* * * * *"), INT64_MIN), -1);
    CHECK_INT(eng_cron_next(STR("@every 90s"), INT64_MAX - 1), -1);
    struct err never = {0};
    CHECK_INT(eng_cron_check(STR("0 0 30 2 *"), &never), ERR_ARG);
    CHECK(strstr(never.text, "never comes"));
    CHECK_INT(eng_cron_check(STR("0 0 29 2 *"), &never), 0);
    CHECK_INT(eng_cron_check(STR("0 0 30 2 1"), &never), 0); /* the Mondays of February */
    s.cron = STR("61 * * * *");
    start_full(&f, &s);
    CHECK_INT(got.err.code, ERR_ARG);
    struct backend_target k = {.workflow_id = STR("k")};
    clear(&got);
    f.b->ops->terminate(f.b, &k, STR("enough"), take, &got);
    wait_got(&f, &got);
    arena_free(&a);
    fake_remove(&f);
}

/* ---- ids ---- */
static void idle(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                 struct plan *p)
{
    (void)f;
    (void)t;
    if (has(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)) add_complete(p, "0");
}

static void test_ids(void)
{
    struct fake f;
    CASE("id policies and request ids");
    fake_init(&f, "ids");
    f.workflow = idle;
    fake_open(&f);
    struct backend_start s = {.workflow_id = STR("w"),
                              .workflow_type = STR("flow"),
                              .task_queue = STR("default"),
                              .request_id = STR("q1")};
    start_full(&f, &s);
    CHECK_INT(got.err.code, 0);
    char run[64];
    snprintf(run, sizeof run, "%s", got.run_id);
    start_full(&f, &s);
    CHECK(got.existing && strcmp(run, got.run_id) == 0);
    s.request_id = STR("q2");
    start_full(&f, &s);
    CHECK_INT(got.err.code, ERR_EXISTS);
    s.on_open = ID_CONFLICT_USE_EXISTING;
    start_full(&f, &s);
    CHECK(got.existing && strcmp(run, got.run_id) == 0);
    s.on_open = ID_CONFLICT_TERMINATE;
    start_full(&f, &s);
    CHECK_INT(got.err.code, 0);
    CHECK(strcmp(run, got.run_id) != 0);
    settle(&f, false);
    history(&f, "w", run);
    CHECK_INT(last_type(), EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED);
    sig(&f, "w", "end", "");
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    s.on_closed = ID_REUSE_REJECT;
    s.request_id = STR("q3");
    start_full(&f, &s);
    CHECK_INT(got.err.code, ERR_EXISTS);
    s.on_closed = ID_REUSE_FAILED_ONLY;
    start_full(&f, &s);
    CHECK_INT(got.err.code, ERR_EXISTS);
    CASE("signal with start");
    s = (struct backend_start){.workflow_id = STR("s"),
                               .workflow_type = STR("flow"),
                               .task_queue = STR("default"),
                               .signal_name = STR("x")};
    start_full(&f, &s);
    settle(&f, false);
    CHECK_INT(result(&f, "s"), RUN_COMPLETED);
    history(&f, "s", NULL);
    CHECK_INT(event_type(hist.events[1]), EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED);
    CASE("list, count, describe, delete");
    clear(&got);
    f.b->ops->count(f.b, STR("{}"), take, &got);
    wait_got(&f, &got);
    CHECK(strstr(got.json, "\"count\":3") != NULL);
    clear(&got);
    f.b->ops->list(f.b, STR("{\"status\":\"Completed\",\"limit\":1}"), take, &got);
    wait_got(&f, &got);
    CHECK(strstr(got.json, "\"workflowId\":\"s\"") != NULL &&
          !strstr(got.json, "\"workflowId\":\"w\"") && got.next[0]);
    struct backend_target t = {.workflow_id = STR("s")};
    clear(&got);
    f.b->ops->delete_run(f.b, &t, take, &got);
    wait_got(&f, &got);
    CHECK_INT(got.err.code, 0);
    CHECK_INT(result(&f, "s"), ERR_NOTFOUND);
    CASE("a start with a batch and a failing guard");
    struct store_batch *b = store_batch_new(f.store);
    store_batch_guard(b, "SELECT 1 WHERE 1 = 2", "");
    s = (struct backend_start){.workflow_id = STR("g"),
                               .workflow_type = STR("flow"),
                               .task_queue = STR("default"),
                               .batch = b};
    start_full(&f, &s);
    CHECK_INT(got.err.code, ERR_GUARD);
    CHECK_INT(got.guard, 0);
    CHECK_INT(result(&f, "g"), ERR_NOTFOUND);
    b = store_batch_new(f.store);
    store_batch_guard(b, "SELECT 1", "");
    s.batch = b;
    start_full(&f, &s);
    CHECK_INT(got.err.code, 0);
    settle(&f, false);
    history(&f, "g", NULL);
    CHECK_INT(last_type(), EVENT_TYPE_WORKFLOW_TASK_COMPLETED);
    fake_remove(&f);
}

/* ---- updates, queries ---- */
static struct rec *message(struct plan *p, struct str id, const char *kind, const char *suffix,
                           struct rec *body)
{
    struct rec *m = rec_new(p->a, &rec_type_protocol_message);
    rec_set_str(m, T(protocol_message, id), arena_printf(p->a, "%.*s/%s", STR_ARG(id), suffix));
    rec_set_copy(m, T(protocol_message, protocol_instance_id), id);
    struct buf b;
    buf_init(&b, 100000);
    CHECK_INT(rec_encode(body, &b), 0);
    struct rec *any = rec_sub(m, T(protocol_message, body));
    rec_set_str(any, T(any, type_url),
                arena_printf(p->a, "type.googleapis.com/temporal.api.update.v1.%s", kind));
    rec_set_copy(any, T(any, value), buf_str(&b));
    buf_free(&b);
    p->messages[p->n_messages++] = m;
    return m;
}
static void updates(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                    struct plan *p)
{
    (void)f;
    for (size_t i = 0; i < t->n_messages; i++) {
        struct str id = rec_str(t->messages[i], T(protocol_message, protocol_instance_id));
        struct rec *request = NULL, *a;
        CHECK_INT(
            rec_decode(p->a, &rec_type_update_request,
                       rec_str(rec_msg(t->messages[i], T(protocol_message, body)), T(any, value)),
                       &request, NULL),
            0);
        struct str name =
            rec_str(rec_msg(request, T(update_request, input)), T(update_input, name));
        if (str_eqz(name, "refused")) {
            struct rec *r = rec_new(p->a, &rec_type_update_rejection);
            rec_set_msg(r, T(update_rejection, failure),
                        failure_app(p->a, STR("No"), STR("not today"), true, NULL, NULL));
            message(p, id, "Rejection", "reject", r);
            continue;
        }
        struct rec *acc = rec_new(p->a, &rec_type_update_acceptance);
        rec_set_msg(acc, T(update_acceptance, accepted_request), request);
        message(p, id, "Acceptance", "accept", acc);
        add_command(p, COMMAND_TYPE_PROTOCOL_MESSAGE, &a);
        rec_set_str(a, T(cmd_protocol_message, message_id),
                    arena_printf(p->a, "%.*s/accept", STR_ARG(id)));
        if (str_eqz(name, "slow")) add_timer(p, "9", 2 * NS_PER_MS);
        if (str_eqz(name, "slow")) continue;
        struct rec *res = rec_new(p->a, &rec_type_update_response);
        rec_set_copy(rec_sub(res, T(update_response, meta)), T(update_meta, update_id), id);
        rec_set_msg(rec_sub(res, T(update_response, outcome)), T(update_outcome, success),
                    payloads_of_json(p->a, STR("\"updated\"")));
        message(p, id, "Response", "complete", res);
        add_command(p, COMMAND_TYPE_PROTOCOL_MESSAGE, &a);
        rec_set_str(a, T(cmd_protocol_message, message_id),
                    arena_printf(p->a, "%.*s/complete", STR_ARG(id)));
    }
    if (has(e, n, EVENT_TYPE_TIMER_FIRED) &&
        has(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED) == 2 &&
        !has(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) &&
        event_type(e[n - 3]) == EVENT_TYPE_TIMER_FIRED) {
        struct rec *a;
        struct rec *res = rec_new(p->a, &rec_type_update_response);
        rec_set_str(rec_sub(res, T(update_response, meta)), T(update_meta, update_id),
                    STR("u-slow"));
        rec_set_msg(rec_sub(res, T(update_response, outcome)), T(update_outcome, failure),
                    failure_app(p->a, STR("Late"), STR("too late"), true, NULL, NULL));
        message(p, STR("u-slow"), "Response", "complete", res);
        add_command(p, COMMAND_TYPE_PROTOCOL_MESSAGE, &a);
        rec_set_str(a, T(cmd_protocol_message, message_id), STR("u-slow/complete"));
    }
    if (has(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)) add_complete(p, "1");
}
static void upd(struct fake *f, const char *id, const char *name, enum backend_update_stage stage)
{
    struct backend_target t = {.workflow_id = STR("w")};
    clear(&got);
    f->b->ops->update(f->b, &t, str_of(id), str_of(name), NULL, stage, take, &got);
    wait_got(f, &got);
}
static void ask(struct fake *f, const char *id, const char *type)
{
    struct backend_target t = {.workflow_id = str_of(id)};
    clear(&got);
    f->b->ops->query(f->b, &t, str_of(type), NULL, take, &got);
    wait_got(f, &got);
}

static void test_updates(void)
{
    struct fake f;
    CASE("updates");
    fake_init(&f, "updates");
    f.workflow = updates;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    upd(&f, "u1", "quick", UPDATE_COMPLETED);
    CHECK_INT(got.err.code, 0);
    CHECK_STR(got.text, "\"updated\"");
    history(&f, "w", NULL);
    size_t before = hist.n;
    CASE("a rejected update leaves nothing");
    upd(&f, "u2", "refused", UPDATE_COMPLETED);
    CHECK_INT(got.err.code, ERR_FAILED);
    CHECK_STR(got.failure, "not today");
    CHECK_INT(f.last_answer.kind, BACKEND_DISCARDED);
    CHECK_INT(f.last_answer.rollback_id, (long long)before);
    history(&f, "w", NULL);
    CHECK_INT(hist.n, before);
    CASE("the same update id again, also after a reopening");
    int tasks = f.workflow_tasks;
    upd(&f, "u1", "quick", UPDATE_COMPLETED);
    CHECK_STR(got.text, "\"updated\"");
    fake_reopen(&f);
    upd(&f, "u1", "quick", UPDATE_COMPLETED);
    CHECK_STR(got.text, "\"updated\"");
    CHECK_INT(f.workflow_tasks, tasks);
    CASE("accepted first, completed later with a failure");
    upd(&f, "u-slow", "slow", UPDATE_ACCEPTED);
    CHECK_INT(got.err.code, 0);
    upd(&f, "u-slow", "slow", UPDATE_COMPLETED);
    CHECK_INT(got.err.code, ERR_FAILED);
    CHECK_STR(got.failure, "too late");
    settle(&f, false);
    CASE("queries");
    ask(&f, "w", "state");
    CHECK_STR(got.text, "\"answer\"");
    ask(&f, "w", "bad");
    CHECK_INT(got.err.code, ERR_FAILED);
    CHECK_STR(got.err.text, "no such query");
    CASE("a query that comes with a workflow task");
    f.hold_workflows = true;
    sig(&f, "w", "end", "");
    for (int i = 0; i < 100 && !f.n_held; i++)
        fake_turn(&f);
    CHECK_INT(f.n_held, 1);
    struct backend_target t = {.workflow_id = STR("w")};
    clear(&waiting);
    f.b->ops->query(f.b, &t, STR("state"), NULL, take, &waiting);
    for (int i = 0; i < 10; i++)
        fake_turn(&f);
    CHECK(!waiting.done);
    f.hold_workflows = false;
    do_workflow(&f, f.held[--f.n_held]);
    wait_got(&f, &waiting);
    CHECK_STR(waiting.text, "\"answer\"");
    settle(&f, false);
    CASE("of two queries that waited the worker refuses the first at once");
    start(&f, "w2", "flow");
    settle(&f, false);
    f.hold_workflows = true;
    sig(&f, "w2", "end", "");
    for (int i = 0; i < 100 && !f.n_held; i++)
        fake_turn(&f);
    CHECK_INT(f.n_held, 1);
    struct backend_target t2 = {.workflow_id = STR("w2")};
    clear(&waiting);
    clear(&got);
    f.b->ops->query(f.b, &t2, STR("state"), NULL, take, &got);
    f.b->ops->query(f.b, &t2, STR("state"), NULL, take, &waiting);
    for (int i = 0; i < 10; i++)
        fake_turn(&f);
    CHECK(!got.done && !waiting.done);
    f.hold_workflows = false;
    f.give_back = 1;
    do_workflow(&f, f.held[--f.n_held]);
    wait_got(&f, &waiting);
    wait_got(&f, &got);
    CHECK_INT(got.err.code, ERR_NOMEM);
    CHECK_STR(waiting.text, "\"answer\"");
    settle(&f, false);
    CASE("a query on a closed run, an update on one");
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    ask(&f, "w", "state");
    CHECK_STR(got.text, "\"answer\"");
    upd(&f, "u9", "quick", UPDATE_COMPLETED);
    CHECK_INT(got.err.code, ERR_NOTFOUND);
    history(&f, "w", NULL);
    fake_remove(&f);
}

/* ---- memory ---- */
static void three_timers(struct fake *f, const struct backend_task *t, struct rec *const *e,
                         size_t n, struct plan *p)
{
    (void)f;
    (void)t;
    if (count_events(e, n, EVENT_TYPE_TIMER_STARTED) == 0) {
        add_timer(p, "a", 1000 * NS_PER_S);
        add_timer(p, "b", 1000 * NS_PER_S);
        add_timer(p, "c", 1000 * NS_PER_S);
    } else {
        add_complete(p, "1");
    }
}

static void test_refused(void)
{
    CASE("memory is refused once, anywhere in a task that starts three timers");
    bool hit = true;
    int again = 0;
    for (long n = 1; hit; n++) {
        struct fake f;
        clear(&hist);
        clear(&got);
        long live = mem_live_count();
        fake_init(&f, "refused");
        f.workflow = three_timers;
        f.fast = true;
        f.hold_workflows = true;
        fake_open(&f);
        start(&f, "w", "flow");
        for (int i = 0; i < 100 && !f.n_held; i++)
            fake_turn(&f);
        CHECK_INT(f.n_held, 1);
        f.hold_workflows = false;
        do_workflow(&f, f.held[--f.n_held]);
        long before = mem_alloc_count();
        mem_fail_at(n, false);
        loop_turn(f.loop, 0); /* the engine's part */
        hit = mem_alloc_count() - before >= n && n < 2000;
        mem_fail_at(0, false);
        settle(&f, false);
        again += f.workflow_tasks > 1;
        sig(&f, "w", "end", "");
        settle(&f, false);
        history(&f, "w", NULL);
        CHECK(count_events(hist.events, hist.n, EVENT_TYPE_TIMER_STARTED) == 3);
        clear(&hist);
        clear(&got);
        fake_remove(&f);
        CHECK_INT(mem_live_count(), live);
    }
    CHECK(again > 10);
}

/* ---- blocked ---- */
static bool broken;
static void typo(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                 struct plan *p)
{
    (void)f;
    (void)t;
    (void)e;
    (void)n;
    if (broken)
        p->fail = true;
    else
        add_complete(p, "\"mended\"");
}
static void bad_command(struct fake *f, const struct backend_task *t, struct rec *const *e,
                        size_t n, struct plan *p)
{
    (void)f;
    (void)t;
    (void)e;
    (void)n;
    add_activity(p, "1", "act", 0, NULL); /* no time-out */
}

static void test_blocked(void)
{
    struct fake f;
    CASE("a blocked run");
    fake_init(&f, "blocked");
    f.workflow = typo;
    broken = true;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    char run[64];
    snprintf(run, sizeof run, "%s", got.run_id);
    struct backend_target t = {.workflow_id = STR("w")};
    clear(&got);
    f.b->ops->describe(f.b, &t, take, &got);
    wait_got(&f, &got);
    CHECK(strstr(got.json, "\"blocked\":true") != NULL);
    CHECK(strstr(got.json, "flow.lua:3: boom") != NULL);
    history(&f, "w", NULL);
    CHECK_INT(last_type(), EVENT_TYPE_WORKFLOW_TASK_FAILED);
    size_t before = hist.n;
    int tasks = f.workflow_tasks;
    CASE("is not tried in a loop, also after a reopening");
    fake_reopen(&f);
    settle(&f, false);
    CHECK_INT(f.workflow_tasks, tasks);
    CASE("tried again in vain: nothing more is recorded");
    clear(&got);
    f.b->ops->retry_blocked(f.b, str_of(run), STR("d2"), take, &got);
    wait_got(&f, &got);
    CHECK_INT(got.err.code, 0);
    settle(&f, false);
    CHECK_INT(f.workflow_tasks, tasks + 1);
    history(&f, "w", NULL);
    CHECK_INT(hist.n, before);
    CASE("mended");
    broken = false;
    clear(&got);
    f.b->ops->retry_blocked(f.b, str_of(run), STR("d2"), take, &got);
    wait_got(&f, &got);
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    CHECK_STR(got.text, "\"mended\"");
    history(&f, "w", NULL);
    CASE("a command that cannot be carried out");
    f.workflow = bad_command;
    start(&f, "b", "flow");
    settle(&f, false);
    CHECK_INT(result(&f, "b"), RUN_RUNNING);
    history(&f, "b", NULL);
    CHECK_INT(rec_int(attrs_of(EVENT_TYPE_WORKFLOW_TASK_FAILED), T(ev_workflow_task_failed, cause)),
              WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED), 0);
    fake_remove(&f);
}

/* ---- cancellation, asynchronous completion ---- */
static bool cancels_it;
static void cancel_act(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                       struct plan *p)
{
    (void)f;
    (void)t;
    struct rec *a;
    if (!has(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)) {
        add_activity(p, "1", "act", 10 * NS_PER_S, NULL);
    } else if (has(e, n, EVENT_TYPE_ACTIVITY_TASK_CANCELED)) {
        add_complete(p, "\"canceled\"");
    } else if (has(e, n, EVENT_TYPE_ACTIVITY_TASK_COMPLETED)) {
        add_complete(p, "\"completed\"");
    } else if (cancels_it && has(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) == 1 &&
               !has(e, n, EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)) {
        add_command(p, COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK, &a);
        rec_set_int(a, T(cmd_request_cancel_activity_task, scheduled_event_id),
                    find_event(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, 1));
    }
}
static enum act_reply later(struct fake *f, const struct backend_task *t)
{
    snprintf(f->last_cancel_token, sizeof f->last_cancel_token, "%.*s", STR_ARG(t->token));
    return REPLY_ASYNC;
}
static enum act_reply fails(struct fake *f, const struct backend_task *t)
{
    (void)f;
    (void)t;
    return REPLY_FAIL;
}

static void test_cancel(void)
{
    struct fake f;
    CASE("cancelling a running activity");
    cancels_it = true;
    fake_init(&f, "cancel");
    f.workflow = cancel_act;
    f.activity = hold;
    fake_open(&f);
    start(&f, "w", "flow");
    for (int i = 0; i < 100 && !f.n_held; i++)
        fake_turn(&f);
    sig(&f, "w", "stop", "");
    for (int i = 0; i < 200 && !f.cancels; i++)
        fake_turn(&f);
    CHECK_INT(f.last_cancel, BACKEND_CANCEL_REQUESTED);
    struct backend_task *k = f.held[--f.n_held];
    f.answers = 0;
    f.b->ops->heartbeat(f.b, k->token, NULL, on_answer_, &f);
    for (int i = 0; i < 100 && !f.answers; i++)
        fake_turn(&f);
    CHECK(f.last_answer.cancel_requested);
    struct backend_activity_completion c = {.kind = ACT_CANCELED};
    f.b->ops->complete_activity(f.b, k->token, &c, on_answer_, &f);
    backend_task_free(k);
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    CHECK_STR(got.text, "\"canceled\"");
    history(&f, "w", NULL);
    CASE("cancelling one that waits to be tried again");
    f.activity = fails;
    start(&f, "x", "flow");
    for (int i = 0; i < 50; i++)
        fake_turn(&f);
    sig(&f, "x", "stop", "");
    settle(&f, false);
    CHECK_INT(result(&f, "x"), RUN_COMPLETED);
    CHECK_STR(got.text, "\"canceled\"");
    history(&f, "x", NULL);
    CASE("completed from outside by token, over a reopening");
    cancels_it = false;
    f.activity = later;
    start(&f, "y", "flow");
    settle(&f, false);
    CHECK_INT(result(&f, "y"), RUN_RUNNING);
    char token[200];
    snprintf(token, sizeof token, "%s", f.last_cancel_token);
    fake_reopen(&f);
    settle(&f, false);
    struct arena a;
    arena_init(&a, 0);
    c = (struct backend_activity_completion){.kind = ACT_COMPLETED,
                                             .result = payloads_of_json(&a, STR("7"))};
    f.b->ops->complete_activity(f.b, str_of(token), &c, on_answer_, &f);
    settle(&f, false);
    CHECK_INT(result(&f, "y"), RUN_COMPLETED);
    CHECK_INT(f.last_answer.kind, BACKEND_OK);
    history(&f, "y", NULL);
    CASE("and by id; a second time is stale");
    start(&f, "z", "flow");
    settle(&f, false);
    struct backend_target t = {.workflow_id = STR("z")};
    f.b->ops->complete_activity_by_id(f.b, &t, STR("1"), &c, on_answer_, &f);
    settle(&f, false);
    CHECK_INT(result(&f, "z"), RUN_COMPLETED);
    f.answers = 0;
    f.b->ops->complete_activity(f.b, str_of(token), &c, on_answer_, &f);
    for (int i = 0; i < 100 && !f.answers; i++)
        fake_turn(&f);
    CHECK_INT(f.last_answer.kind, BACKEND_STALE);
    arena_free(&a);
    fake_remove(&f);
}

/* ---- reset ---- */
static void two_steps(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                      struct plan *p)
{
    (void)f;
    (void)t;
    int done = has(e, n, EVENT_TYPE_ACTIVITY_TASK_COMPLETED);
    if (!has(e, n, EVENT_TYPE_TIMER_STARTED)) {
        add_timer(p, "t", NS_PER_S * 1000);
        add_activity(p, "1", "act", NS_PER_S, NULL);
    } else if (done == 1 && has(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) == 1) {
        add_activity(p, "2", "act", NS_PER_S, NULL);
    } else if (done == 2 && has(e, n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)) {
        add_complete(p, "\"both\"");
    }
}

static void test_reset(void)
{
    struct fake f;
    CASE("reset");
    fake_init(&f, "reset");
    f.workflow = two_steps;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    char old[64], key[64];
    snprintf(old, sizeof old, "%s", got.run_id);
    snprintf(key, sizeof key, "%s", f.key_seen);
    sig(&f, "w", "go", "");
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    history(&f, "w", old);
    int64_t at = find_event(hist.events, hist.n, EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 2);
    struct backend_target t = {.workflow_id = STR("w")};
    clear(&got);
    f.b->ops->reset(f.b, &t, at, STR("rq"), STR("again"), take, &got);
    wait_got(&f, &got);
    CHECK_INT(got.err.code, 0);
    CHECK(strcmp(got.run_id, old) != 0);
    char fresh[64];
    snprintf(fresh, sizeof fresh, "%s", got.run_id);
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    CHECK_STR(got.text, "\"both\"");
    history(&f, "w", fresh);
    CHECK_INT(event_type(hist.events[at - 1]), EVENT_TYPE_WORKFLOW_TASK_FAILED);
    CHECK_INT(rec_int(event_attrs(hist.events[at - 1]), T(ev_workflow_task_failed, cause)),
              WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED),
              1); /* applied again */
    CHECK(strcmp(key, f.key_seen) != 0);
    clear(&got);
    f.b->ops->reset(f.b, &t, at, STR("rq"), STR("again"), take, &got);
    wait_got(&f, &got);
    CHECK_STR(got.run_id, fresh);
    clear(&got);
    f.b->ops->reset(f.b, &t, 1, STR("rq2"), STR("again"), take, &got);
    wait_got(&f, &got);
    CHECK_INT(got.err.code, ERR_ARG);
    CASE("reset of an open run, to before its activity ended");
    start(&f, "v", "flow");
    settle(&f, false);
    t.workflow_id = STR("v");
    history(&f, "v", NULL);
    clear(&got);
    f.b->ops->reset(f.b, &t, find_event(hist.events, hist.n, EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 1),
                    STR(""), STR("again"), take, &got);
    wait_got(&f, &got);
    CHECK_INT(got.err.code, 0);
    settle(&f, false);
    sig(&f, "v", "go", "");
    settle(&f, false);
    CHECK_INT(result(&f, "v"), RUN_COMPLETED);
    history(&f, "v", NULL);
    fake_remove(&f);
}

/* ---- virtual time ---- */
static void fortnight(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                      struct plan *p)
{
    (void)f;
    (void)t;
    int timers = has(e, n, EVENT_TYPE_TIMER_STARTED), fired = has(e, n, EVENT_TYPE_TIMER_FIRED),
        acts = has(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED);
    char id[16];
    snprintf(id, sizeof id, "%d", timers + 1);
    if (acts == has(e, n, EVENT_TYPE_ACTIVITY_TASK_COMPLETED) && timers == fired) {
        if (fired == 14)
            add_complete(p, "14");
        else if (acts == fired)
            add_activity(p, id, "act", 10 * NS_PER_S, NULL);
        else
            add_timer(p, id, 86400 * NS_PER_S);
    }
}

static void test_virtual(void)
{
    struct fake f;
    CASE("two weeks");
    fake_init(&f, "virtual");
    f.mode = ENGINE_CLOCK_VIRTUAL;
    f.workflow = fortnight;
    fake_open(&f);
    start(&f, "w", "flow");
    int64_t began = clock_mono(&clock_system), t0 = engine_now(f.engine);
    for (int day = 0; day < 4; day++) {
        for (int i = 0;
             i < 300 && engine_now(f.engine) - t0 < (day * 3 + 1) * INT64_C(86400) * NS_PER_S;
             i++) {
            fake_turn(&f);
            if (!f.n_tasks) engine_advance(f.engine);
        }
        fake_reopen(&f); /* time goes on from the file */
    }
    settle(&f, true);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    CHECK(clock_mono(&clock_system) - began < 20 * NS_PER_S);
    history(&f, "w", NULL);
    CHECK_INT(event_time(hist.events[hist.n - 1]) - event_time(hist.events[0]),
              INT64_C(14) * 86400 * NS_PER_S);
    CASE("another clock than the file's");
    fake_close(&f);
    struct engine *g = NULL;
    struct err e = {0};
    f.mode = ENGINE_CLOCK_FILE;
    fake_open(&f);
    CHECK_INT(engine_clock_mode(f.engine), ENGINE_CLOCK_VIRTUAL);
    struct engine_opts eo = {.loop = f.loop,
                             .store = f.store,
                             .clock = &fake_clock,
                             .entropy = &entropy_system,
                             .log = &fake_logger,
                             .clock_mode = ENGINE_CLOCK_REAL};
    CHECK_INT(engine_open(&eo, &g, &e), ERR_ARG);
    fake_remove(&f);
}

/* ---- large payloads ---- */
static char big[60000];
static void large(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                  struct plan *p)
{
    (void)f;
    (void)t;
    int done = has(e, n, EVENT_TYPE_ACTIVITY_TASK_COMPLETED);
    if (done == 10) {
        add_complete(p, big);
        return;
    }
    if (has(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) != done) return;
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_putc(&b, '[');
    for (int i = 0; i <= done; i++)
        buf_printf(&b, "%s{\"role\": \"user\", \"text\":\"%.*s [\\\"%d\\\"]\"}", i ? ", " : "",
                   1000, big + 1, i);
    buf_putc(&b, ']');
    char id[16];
    snprintf(id, sizeof id, "%d", done + 1);
    add_activity(p, id, "act", 10 * NS_PER_S, payloads_of_json(p->a, arena_str(p->a, buf_str(&b))));
    snprintf(f->input_seen, sizeof f->input_seen, "-");
    buf_free(&b);
}

static int64_t number(struct fake *f, const char *sql)
{
    struct store_read *r = NULL;
    CHECK_INT(store_read_open(f->store, &r, NULL, sql, ""), 0);
    CHECK_INT(store_read_next(r), 1);
    int64_t v = store_read_i64(r, 0);
    store_read_close(r);
    return v;
}

static void test_payloads(void)
{
    struct fake f;
    CASE("large payloads are stored once, lists share their prefix");
    memset(big, 'x', sizeof big - 1);
    big[0] = big[50000] = '"';
    big[50001] = 0;
    fake_init(&f, "payloads");
    f.workflow = large;
    f.no_cache = true;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    CHECK_INT(strlen(got.text), 50001);
    CHECK_STR(got.text, big);
    CHECK_INT(strlen(f.input_seen) > 10000, 1);
    CHECK_INT(number(&f, "SELECT count(*) FROM blobs"), 11); /* ten messages, and the result */
    CHECK(number(&f, "SELECT sum(length(data)) FROM blobs") < 65000);
    CHECK(number(&f, "SELECT sum(length(events)) FROM history") < 20000);
    history(&f, "w", NULL);
    int64_t at = find_event(hist.events, hist.n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, 10);
    struct str in = payload_data(
        rec_msg(rec_msg(event_attrs(hist.events[at - 1]), T(ev_activity_task_scheduled, input)),
                T(payloads, payloads)));
    CHECK(str_eqz(in, f.input_seen)); /* the last activity's input, byte by byte */
    CASE("kept by reference when not asked for, with the same digest");
    uint8_t whole[32], ref[32];
    payloads_digest(rec_msg(event_attrs(hist.events[at - 1]), T(ev_activity_task_scheduled, input)),
                    whole);
    clear(&got);
    struct backend_target t = {.workflow_id = STR("w")};
    f.b->ops->fetch_history(f.b, &t, false, (struct str){NULL, 0}, take, &got);
    wait_got(&f, &got);
    const struct rec *input =
        rec_msg(event_attrs(got.events[at - 1]), T(ev_activity_task_scheduled, input));
    CHECK(str_eqz(payload_encoding(rec_msg(input, T(payloads, payloads))), PAYLOAD_REF));
    payloads_digest(input, ref);
    CHECK(memcmp(whole, ref, 32) == 0);
    fake_remove(&f);
}

/* ---- run time-outs, start delay, drive sets, not served ---- */
static void test_rest(void)
{
    struct fake f;
    CASE("run time-out and start delay");
    fake_init(&f, "rest");
    f.mode = ENGINE_CLOCK_VIRTUAL;
    f.workflow = idle;
    fake_open(&f);
    struct backend_start s = {.workflow_id = STR("w"),
                              .workflow_type = STR("flow"),
                              .task_queue = STR("default"),
                              .start_delay_ns = 3600 * NS_PER_S,
                              .run_timeout_ns = 60 * NS_PER_S};
    int64_t t0 = engine_now(f.engine);
    start_full(&f, &s);
    settle(&f, false);
    history(&f, "w", NULL);
    CHECK_INT(hist.n, 1);
    settle(&f, true);
    CHECK_INT(result(&f, "w"), RUN_TIMED_OUT);
    CHECK_INT(engine_now(f.engine) - t0, 3660 * NS_PER_S);
    CASE("a type that nobody serves waits visibly");
    s = (struct backend_start){
        .workflow_id = STR("u"), .workflow_type = STR("strange"), .task_queue = STR("default")};
    start_full(&f, &s);
    settle(&f, true);
    struct backend_target t = {.workflow_id = STR("u")};
    clear(&got);
    f.b->ops->describe(f.b, &t, take, &got);
    wait_got(&f, &got);
    CHECK(strstr(got.json,
                 "\"waitsFor\":\"no worker serves workflow type strange on queue default\"") !=
          NULL);
    CHECK_INT(engine_activity(f.engine, NULL), 0);
    CASE("worker shutdown ends attempts");
    f.workflow = cancel_act;
    f.activity = hold;
    cancels_it = false;
    start(&f, "y", "flow");
    for (int i = 0; i < 100 && !f.n_held; i++)
        fake_turn(&f);
    f.worked = false;
    bool done = false;
    void set_done(void *ud);
    f.b->ops->shutdown(f.b, set_done, &done);
    for (int i = 0; i < 200 && !done; i++)
        fake_turn(&f);
    CHECK(done);
    f.activity = NULL;
    fake_reopen(&f);
    settle(&f, true);
    CHECK_INT(result(&f, "y"), RUN_COMPLETED);
    history(&f, "y", NULL);
    const struct rec *a = attrs_of(EVENT_TYPE_ACTIVITY_TASK_STARTED);
    CHECK_INT(rec_int(a, T(ev_activity_task_started, attempt)), 2);
    CHECK(str_eqz(failure_type(rec_msg(a, T(ev_activity_task_started, last_failure))),
                  "WorkerShutdown"));
    fake_remove(&f);
}
void set_done(void *ud);
void set_done(void *ud)
{
    *(bool *)ud = true;
}

int main(void)
{
    test_children();
    test_chain();
    test_ids();
    test_updates();
    test_refused();
    test_blocked();
    test_cancel();
    test_reset();
    test_virtual();
    test_payloads();
    test_rest();
    clear(&got);
    clear(&hist);
    clear(&waiting);
    return CHECK_DONE();
}
