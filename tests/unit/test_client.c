/* The client half over a fake wire: what is sent again, polled for and followed, what JSON comes
 * out, and that each request is answered once, never inside the call that asks. */
#include "base/loop.h"
#include "check.h"
#include "temporal/client_internal.h"
#include "temporal/proto/operatorservice.pb-c.h"

/* ---- the fake server: answers in the order of its list ---- */
struct answer {
    const char *method; /* the end of the path that is expected */
    int code;
    const void *message; /* packed when code is 0 */
    const char *text;
};
struct request {
    char path[120];
    struct str bytes;
    struct answer a;
    rpc_fn fn;
    void *ud;
    bool canceled, long_poll;
};
static struct loop *loop;
static struct temporal t;
static struct arena arena;
static struct answer script[32];
static size_t n_script, n_sent;
static struct request sent[32];
static struct backend_reply got;
static struct err got_err;
static char got_json[8192], got_run[64], got_page[64];
static int answers;
static bool inside;

static void deliver(void *ud)
{
    struct request *q = ud;
    if (q->canceled) return;
    struct rpc_reply r = {.tries = 1};
    r.r.code = q->a.code;
    r.r.message = str_of(q->a.text);
    r.r.body = q->a.message ? bridge_pack(&arena, q->a.message) : (struct str){NULL, 0};
    q->fn(q->ud, &r);
}

static int fake_send(void *ud, const char *path, struct str request, const struct rpc_options *o,
                     rpc_fn fn, void *fn_ud, uint64_t *id, struct err *e)
{
    (void)ud;
    if (n_sent >= n_script) return err_set(e, ERR_IO, "nobody expected %s", path);
    struct request *q = &sent[n_sent];
    *q = (struct request){.bytes = arena_str(&arena, request),
                          .a = script[n_sent],
                          .fn = fn,
                          .ud = fn_ud,
                          .long_poll = o->class == RPC_LONG};
    snprintf(q->path, sizeof q->path, "%s", path);
    size_t n = strlen(path), m = strlen(q->a.method);
    CHECK(n > m && strcmp(path + n - m, q->a.method) == 0);
    CHECK(str_eqz(o->ns, "shop"));
    *id = ++n_sent;
    if (q->a.code >= 0 && loop_post(loop, deliver, q)) return err_set(e, ERR_NOMEM, "no memory");
    return 0;
}

static void fake_cancel(void *ud, uint64_t id)
{
    (void)ud;
    sent[id - 1].canceled = true;
}

static void expect(const char *method, int code, const void *message, const char *text)
{
    script[n_script++] = (struct answer){method, code, message, text};
}

static void begin(const char *name)
{
    CASE(name);

    n_script = n_sent = 0;
    answers = 0;
    memset(&got, 0, sizeof got);
    t.closing = false;
}

static void on_reply(void *ud, const struct backend_reply *r)
{
    (void)ud;
    CHECK(!inside);
    answers++;
    got = *r;
    got_err = r->err;
    got.result = r->result ? rec_clone(&arena, r->result) : NULL;
    got.failure = r->failure ? rec_clone(&arena, r->failure) : NULL;
    snprintf(got_json, sizeof got_json, STR_FMT, STR_ARG(r->json));
    snprintf(got_run, sizeof got_run, STR_FMT, STR_ARG(r->run_id));
    snprintf(got_page, sizeof got_page, STR_FMT, STR_ARG(r->next_page));
}

static void settle(void)
{
    inside = false;
    for (int i = 0; i < 100 && !answers; i++)
        loop_turn(loop, 0);
    CHECK_INT(answers, 1);
    CHECK(!t.calls);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    CHECK_INT(answers, 1);
    CHECK_INT(n_sent, n_script);
}

#define NEW(Type, prefix) bridge_new(&arena, Type, prefix)
static const struct backend_target target = {{"order-7", 7}, {NULL, 0}};

/* ---- start ---- */
static void test_start(void)
{
    begin("start");
    Pb__StartWorkflowExecutionResponse *m =
        NEW(Pb__StartWorkflowExecutionResponse, pb__start_workflow_execution_response);
    m->run_id = bridge_text(&arena, STR("run-1"));
    m->started = true;
    expect("/StartWorkflowExecution", 0, m, NULL);
    struct rec *retry = rec_new(&arena, &rec_type_retry_policy);
    rec_set_int(retry, T(retry_policy, maximum_attempts), 4);
    struct rec *priority = rec_new(&arena, &rec_type_priority);
    rec_set_int(priority, T(priority, priority_key), 2);
    struct backend_start s = {.workflow_id = STR("order-7"),
                              .workflow_type = STR("order"),
                              .task_queue = STR("q"),
                              .input = payloads_of_json(&arena, STR("[1]")),
                              .retry_policy = retry,
                              .priority = priority,
                              .run_timeout_ns = 90 * NS_PER_S,
                              .cron = STR("* * * * *"),
                              .on_open = ID_CONFLICT_USE_EXISTING,
                              .on_closed = ID_REUSE_FAILED_ONLY};
    inside = true;
    client_start(&t.b, &s, on_reply, NULL);
    settle();
    CHECK(got_err.code == 0 && !got.existing);
    CHECK_STR(got_run, "run-1");
    Pb__StartWorkflowExecutionRequest *q;
    CHECK_INT(bridge_read(&arena, &pb__start_workflow_execution_request__descriptor, sent[0].bytes,
                          NULL, 0, &q, &got_err),
              0);
    CHECK_STR(q->namespace_, "shop");
    CHECK_STR(q->identity, "me");
    CHECK_STR(q->workflow_type->name, "order");
    CHECK_STR(q->task_queue->name, "q");
    CHECK_STR(q->cron_schedule, "* * * * *");
    CHECK(strlen(q->request_id) == 36 && q->retry_policy->maximum_attempts == 4);
    CHECK(q->priority->priority_key == 2 && q->workflow_run_timeout->seconds == 90);
    CHECK_INT(q->workflow_id_reuse_policy, 2);
    CHECK_INT(q->workflow_id_conflict_policy, 2);
    CHECK(str_eqz(bridge_str(&q->input->payloads[0]->data), "[1]"));

    begin("start of an id that is taken");
    expect("/StartWorkflowExecution", STATUS_ALREADY_EXISTS, NULL, "taken");
    client_start(&t.b, &s, on_reply, NULL);
    settle();
    CHECK_INT(got_err.code, ERR_EXISTS);

    begin("a batch is refused");
    s.batch = (struct store_batch *)(uintptr_t)8;
    inside = true;
    client_start(&t.b, &s, on_reply, NULL);
    settle();
    CHECK_INT(got_err.code, ERR_UNSUPPORTED);
}

/* ---- updates ---- */
static Pb__UpdateWorkflowExecutionResponse *update_answer(int stage, bool outcome)
{
    Pb__UpdateWorkflowExecutionResponse *m =
        NEW(Pb__UpdateWorkflowExecutionResponse, pb__update_workflow_execution_response);
    m->update_ref = NEW(PbUpdate__UpdateRef, pb_update__update_ref);
    m->update_ref->workflow_execution =
        NEW(PbCommon__WorkflowExecution, pb_common__workflow_execution);
    m->update_ref->workflow_execution->run_id = bridge_text(&arena, STR("run-5"));
    m->stage = (Pb__UpdateWorkflowExecutionLifecycleStage)stage;
    if (!outcome) return m;
    struct rec *o = rec_new(&arena, &rec_type_update_outcome);
    rec_set_msg(o, T(update_outcome, success), payloads_of_json(&arena, STR("42")));
    m->outcome = bridge_message(&arena, &pb_update__outcome__descriptor, o);
    return m;
}

static void check_result(const char *json)
{
    const struct rec *p = rec_msg(got.result, T(payloads, payloads));
    CHECK(str_eqz(rec_str(p, T(payload, data)), json));
}

static void test_update(void)
{
    begin("an update that is slow to be accepted and slow to end");
    Pb__PollWorkflowExecutionUpdateResponse *empty =
        NEW(Pb__PollWorkflowExecutionUpdateResponse, pb__poll_workflow_execution_update_response);
    Pb__PollWorkflowExecutionUpdateResponse *done =
        NEW(Pb__PollWorkflowExecutionUpdateResponse, pb__poll_workflow_execution_update_response);
    done->outcome = update_answer(3, true)->outcome;
    expect("/UpdateWorkflowExecution", 0, update_answer(1, false), NULL);
    expect("/UpdateWorkflowExecution", 0, update_answer(2, false), NULL);
    expect("/PollWorkflowExecutionUpdate", 0, empty, NULL);
    expect("/PollWorkflowExecutionUpdate", 0, done, NULL);
    inside = true;
    client_update(&t.b, &target, STR("u-1"), STR("add"), payloads_of_json(&arena, STR("1")),
                  UPDATE_COMPLETED, on_reply, NULL);
    settle();
    CHECK_INT(got_err.code, 0);
    CHECK_STR(got_run, "run-5");
    check_result("42");
    CHECK(str_eq(sent[0].bytes, sent[1].bytes) && sent[0].long_poll && sent[2].long_poll);
    Pb__PollWorkflowExecutionUpdateRequest *q;
    CHECK_INT(bridge_read(&arena, &pb__poll_workflow_execution_update_request__descriptor,
                          sent[2].bytes, NULL, 0, &q, &got_err),
              0);
    CHECK_STR(q->update_ref->update_id, "u-1");
    CHECK_STR(q->update_ref->workflow_execution->run_id, "run-5");

    begin("an update that only has to be accepted");
    expect("/UpdateWorkflowExecution", 0, update_answer(2, false), NULL);
    client_update(&t.b, &target, STR("u-1"), STR("add"), NULL, UPDATE_ACCEPTED, on_reply, NULL);
    settle();
    CHECK(!got.result && !got.failure && got_err.code == 0);

    begin("an update with start");
    Pb__ExecuteMultiOperationResponse *m =
        NEW(Pb__ExecuteMultiOperationResponse, pb__execute_multi_operation_response);
    m->n_responses = 2;
    m->responses = bridge_array(&arena, 2);
    for (int i = 0; i < 2; i++)
        m->responses[i] = NEW(Pb__ExecuteMultiOperationResponse__Response,
                              pb__execute_multi_operation_response__response);
    m->responses[1]->response_case =
        PB__EXECUTE_MULTI_OPERATION_RESPONSE__RESPONSE__RESPONSE_UPDATE_WORKFLOW;
    m->responses[1]->update_workflow = update_answer(3, true);
    Pb__ExecuteMultiOperationResponse *early =
        NEW(Pb__ExecuteMultiOperationResponse, pb__execute_multi_operation_response);
    *early = *m;
    early->responses = bridge_array(&arena, 2);
    early->responses[0] = m->responses[0];
    early->responses[1] = NEW(Pb__ExecuteMultiOperationResponse__Response,
                              pb__execute_multi_operation_response__response);
    early->responses[1]->response_case =
        PB__EXECUTE_MULTI_OPERATION_RESPONSE__RESPONSE__RESPONSE_UPDATE_WORKFLOW;
    early->responses[1]->update_workflow = update_answer(1, false);
    expect("/ExecuteMultiOperation", 0, early, NULL);
    expect("/ExecuteMultiOperation", 0, m, NULL);
    struct backend_start s = {.workflow_id = STR("order-7"), .workflow_type = STR("order")};
    client_update_with_start(&t.b, &s, STR("u-2"), STR("add"), NULL, UPDATE_COMPLETED, on_reply,
                             NULL);
    settle();
    check_result("42");
    CHECK(str_eq(sent[0].bytes, sent[1].bytes));

    begin("a multi-operation without an update's answer");
    m->n_responses = 1;
    expect("/ExecuteMultiOperation", 0, m, NULL);
    client_update_with_start(&t.b, &s, STR("u-2"), STR("add"), NULL, UPDATE_COMPLETED, on_reply,
                             NULL);
    settle();
    CHECK_INT(got_err.code, ERR_PROTO);
}

/* ---- results ---- */
static Pb__GetWorkflowExecutionHistoryResponse *page(int type, const char *next_run,
                                                     const char *token)
{
    Pb__GetWorkflowExecutionHistoryResponse *m =
        NEW(Pb__GetWorkflowExecutionHistoryResponse, pb__get_workflow_execution_history_response);
    m->next_page_token = bridge_bytes(&arena, str_of(token));
    if (!type) return m;
    struct rec *attrs, *ev = event_new(&arena, 9, 1, type, &attrs);
    if (type == EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
        rec_set_msg(attrs, T(ev_workflow_execution_completed, result),
                    payloads_of_json(&arena, STR("\"done\"")));
    if (type == EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
        rec_set_str(attrs, T(ev_workflow_execution_continued_as_new, new_execution_run_id),
                    str_of(next_run));
    m->history = NEW(PbHistory__History, pb_history__history);
    m->history->n_events = 1;
    m->history->events = bridge_array(&arena, 1);
    m->history->events[0] = bridge_message(&arena, &pb_history__history_event__descriptor, ev);
    return m;
}

static Pb__DescribeWorkflowExecutionResponse *description(void)
{
    Pb__DescribeWorkflowExecutionResponse *m =
        NEW(Pb__DescribeWorkflowExecutionResponse, pb__describe_workflow_execution_response);
    PbWorkflow__WorkflowExecutionInfo *i =
        NEW(PbWorkflow__WorkflowExecutionInfo, pb_workflow__workflow_execution_info);
    m->workflow_execution_info = i;
    i->execution = NEW(PbCommon__WorkflowExecution, pb_common__workflow_execution);
    i->execution->workflow_id = bridge_text(&arena, STR("order-7"));
    i->execution->run_id = bridge_text(&arena, STR("run-1"));
    i->type = NEW(PbCommon__WorkflowType, pb_common__workflow_type);
    i->type->name = bridge_text(&arena, STR("or\"der"));
    i->status = PB__WORKFLOW_EXECUTION_STATUS__WORKFLOW_EXECUTION_STATUS_RUNNING;
    i->task_queue = bridge_text(&arena, STR("q"));
    i->start_time = bridge_timestamp(&arena, INT64_C(1700000000000000000));
    struct rec *memo = rec_new(&arena, &rec_type_memo);
    struct rec *note = rec_map_set(memo, T(memo, fields), STR("note"));
    rec_set_str(note, T(payload, data), STR("{\"a\":1}"));
    rec_map_set_str(note, T(payload, metadata), STR("encoding"), STR(PAYLOAD_JSON));
    i->memo = bridge_message(&arena, &pb_common__memo__descriptor, memo);
    return m;
}

static void run_of(size_t i, char out[64])
{
    Pb__GetWorkflowExecutionHistoryRequest *q;
    CHECK_INT(bridge_read(&arena, &pb__get_workflow_execution_history_request__descriptor,
                          sent[i].bytes, NULL, 0, &q, &got_err),
              0);
    snprintf(out, 64, "%s/" STR_FMT "/%d", q->execution->run_id,
             STR_ARG(bridge_str(&q->next_page_token)), q->wait_new_event);
}

static void test_result(void)
{
    char run[64];
    begin("a result is waited for along the chain of runs");
    expect("/DescribeWorkflowExecution", 0, description(), NULL);
    expect("/GetWorkflowExecutionHistory", 0, page(0, NULL, "p1"), NULL);
    expect("/GetWorkflowExecutionHistory", 0,
           page(EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, "run-2", NULL), NULL);
    expect("/GetWorkflowExecutionHistory", 0, page(0, NULL, NULL), NULL);
    expect("/GetWorkflowExecutionHistory", 0,
           page(EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, NULL, NULL), NULL);
    inside = true;
    client_result(&t.b, &target, true, on_reply, NULL);
    settle();
    CHECK(got_err.code == 0 && got.status == RUN_COMPLETED);
    CHECK_STR(got_run, "run-2");
    check_result("\"done\"");
    run_of(1, run);
    CHECK_STR(run, "run-1//1");
    run_of(2, run);
    CHECK_STR(run, "run-1/p1/1");
    run_of(3, run);
    CHECK_STR(run, "run-2//1");

    begin("a result that is not waited for: an open run is told at once, also at a chain's end");
    expect("/DescribeWorkflowExecution", 0, description(), NULL);
    client_result(&t.b, &target, false, on_reply, NULL);
    settle();
    CHECK(got_err.code == 0 && got.status == RUN_RUNNING);
    CHECK_STR(got_run, "run-1");
    begin("the same, of a run that went on as another");
    Pb__DescribeWorkflowExecutionResponse *old = description(), *now = description();
    old->workflow_execution_info->status =
        PB__WORKFLOW_EXECUTION_STATUS__WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW;
    now->workflow_execution_info->execution->run_id = bridge_text(&arena, STR("run-2"));
    expect("/DescribeWorkflowExecution", 0, old, NULL);
    expect("/GetWorkflowExecutionHistory", 0,
           page(EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, "run-2", NULL), NULL);
    expect("/DescribeWorkflowExecution", 0, now, NULL);
    client_result(&t.b, &target, false, on_reply, NULL);
    settle();
    CHECK(got_err.code == 0 && got.status == RUN_RUNNING);
    CHECK_STR(got_run, "run-2");

    begin("a result of a run that was terminated");
    struct backend_target named = {STR("order-7"), STR("run-8")};
    expect("/GetWorkflowExecutionHistory", 0,
           page(EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, NULL, NULL), NULL);
    client_result(&t.b, &named, true, on_reply, NULL);
    settle();
    CHECK(got.status == RUN_TERMINATED && str_eqz(failure_type(got.failure), "Terminated"));
}

/* ---- reading ---- */
static void test_read(void)
{
    begin("describe");
    Pb__DescribeWorkflowExecutionResponse *m = description();
    m->n_pending_activities = 1;
    m->pending_activities = bridge_array(&arena, 1);
    m->pending_activities[0] =
        NEW(PbWorkflow__PendingActivityInfo, pb_workflow__pending_activity_info);
    m->pending_activities[0]->activity_id = bridge_text(&arena, STR("3"));
    m->pending_activities[0]->activity_type = NEW(PbCommon__ActivityType, pb_common__activity_type);
    m->pending_activities[0]->activity_type->name = bridge_text(&arena, STR("charge"));
    m->pending_activities[0]->attempt = 2;
    m->pending_activities[0]->state = PB__PENDING_ACTIVITY_STATE__PENDING_ACTIVITY_STATE_SCHEDULED;
    expect("/DescribeWorkflowExecution", 0, m, NULL);
    client_describe(&t.b, &target, on_reply, NULL);
    settle();
    CHECK_STR(got_json,
              "{\"workflowId\":\"order-7\",\"runId\":\"run-1\",\"type\":\"or\\\"der\","
              "\"status\":\"Running\",\"taskQueue\":\"q\",\"startTime\":\"2023-11-14T22:13:20Z\","
              "\"historyLength\":0,\"historyBytes\":0,\"entry\":\"\",\"tree\":\"\","
              "\"firstRunId\":\"\",\"inputDigest\":\"\",\"memo\":{\"note\":{\"a\":1}},"
              "\"pending\":[{\"kind\":\"activity\",\"name\":\"charge\"}],\"open\":[{\"kind\":"
              "\"activity\",\"id\":\"3\",\"type\":\"charge\",\"state\":\"backoff\","
              "\"attempt\":2}]}");

    begin("list: pages until the limit, the filter as a query");
    Pb__ListWorkflowExecutionsResponse *l[2];
    for (int i = 0; i < 2; i++) {
        l[i] = NEW(Pb__ListWorkflowExecutionsResponse, pb__list_workflow_executions_response);
        l[i]->n_executions = 2;
        l[i]->executions = bridge_array(&arena, 2);
        for (int k = 0; k < 2; k++)
            l[i]->executions[k] = description()->workflow_execution_info;
        l[i]->next_page_token = bridge_bytes(&arena, i ? STR("t\0two") : STR("t\0one"));
    }
    expect("/ListWorkflowExecutions", 0, l[0], NULL);
    expect("/ListWorkflowExecutions", 0, l[1], NULL);
    client_list(&t.b,
                STR("{\"status\":\"blocked\",\"type\":\"it's\",\"id_prefix\":\"a\\\\b\","
                    "\"query\":\"X = 1 OR Y = 2\",\"limit\":3}"),
                on_reply, NULL);
    settle();
    CHECK_INT(got_err.code, 0);
    CHECK_STR(got_page, "dAB0d28=");
    Pb__ListWorkflowExecutionsRequest *q;
    CHECK_INT(bridge_read(&arena, &pb__list_workflow_executions_request__descriptor, sent[1].bytes,
                          NULL, 0, &q, &got_err),
              0);
    CHECK_STR(q->query, "ExecutionStatus = 'Running' AND TemporalReportedProblems IS NOT NULL AND "
                        "WorkflowType = 'it\\'s' AND WorkflowId STARTS_WITH 'a\\\\b' AND (X = 1 OR "
                        "Y = 2)");
    CHECK(str_eq(bridge_str(&q->next_page_token), STR("t\0one")) && q->page_size == 1);

    begin("list: bad filters");
    client_list(&t.b, STR("{\"status\":\"odd\"}"), on_reply, NULL);
    settle();
    CHECK_INT(got_err.code, ERR_ARG);
    begin("list: no JSON");
    inside = true;
    client_list(&t.b, STR("{\"status\":"), on_reply, NULL);
    settle();
    CHECK(got_err.code);
    begin("list: a page of another kind");
    client_list(&t.b, STR("{\"page\":\"!!\"}"), on_reply, NULL);
    settle();
    CHECK_INT(got_err.code, ERR_ARG);

    begin("count");
    Pb__CountWorkflowExecutionsResponse *n[2];
    for (int i = 0; i < 2; i++)
        n[i] = NEW(Pb__CountWorkflowExecutionsResponse, pb__count_workflow_executions_response);
    n[0]->count = 5;
    n[1]->count = 2;
    n[0]->n_groups = 1;
    n[0]->groups = bridge_array(&arena, 1);
    n[0]->groups[0] = NEW(Pb__CountWorkflowExecutionsResponse__AggregationGroup,
                          pb__count_workflow_executions_response__aggregation_group);
    n[0]->groups[0]->count = 5;
    n[0]->groups[0]->n_group_values = 1;
    n[0]->groups[0]->group_values = bridge_array(&arena, 1);
    n[0]->groups[0]->group_values[0] =
        bridge_message(&arena, &pb_common__payload__descriptor,
                       payload_new(&arena, PAYLOAD_JSON, STR("\"Running\"")));
    expect("/CountWorkflowExecutions", 0, n[0], NULL);
    expect("/CountWorkflowExecutions", 0, n[1], NULL);
    client_count(&t.b, (struct str){NULL, 0}, on_reply, NULL);
    settle();
    CHECK_STR(got_json, "{\"byStatus\":{\"Running\":5},\"blocked\":2,\"count\":5}");
    begin("count on a server without reported problems");
    expect("/CountWorkflowExecutions", 0,
           NEW(Pb__CountWorkflowExecutionsResponse, pb__count_workflow_executions_response), NULL);
    expect("/CountWorkflowExecutions", STATUS_INVALID_ARGUMENT, NULL, "no such attribute");
    client_count(&t.b, STR("{\"type\":\"x\"}"), on_reply, NULL);
    settle();
    CHECK_STR(got_json, "{\"byStatus\":{},\"blocked\":0,\"count\":0}");
}

/* ---- schedules ---- */
static int edits;
static int pause_it(void *ud, struct arena *a, struct rec *schedule, struct err *e)
{
    (void)a;
    edits++;
    if (ud) return err_set(e, ERR_ARG, "not like this");
    rec_set_int(rec_sub(schedule, T(schedule, state)), T(schedule_state, paused), 1);
    return 0;
}

static void test_schedule(void)
{
    begin("a schedule's update is done again when somebody was faster");
    Pb__DescribeScheduleResponse *m =
        NEW(Pb__DescribeScheduleResponse, pb__describe_schedule_response);
    m->schedule = NEW(PbSchedule__Schedule, pb_schedule__schedule);
    m->conflict_token = bridge_bytes(&arena, STR("tok"));
    expect("/DescribeSchedule", 0, m, NULL);
    expect("/UpdateSchedule", STATUS_FAILED_PRECONDITION, NULL, "mismatched conflict token");
    expect("/DescribeSchedule", 0, m, NULL);
    expect("/UpdateSchedule", 0, NEW(Pb__UpdateScheduleResponse, pb__update_schedule_response),
           NULL);
    edits = 0;
    client_schedule_update(&t.b, STR("daily"), pause_it, NULL, on_reply, NULL);
    settle();
    CHECK(got_err.code == 0 && edits == 2);
    Pb__UpdateScheduleRequest *q;
    CHECK_INT(bridge_read(&arena, &pb__update_schedule_request__descriptor, sent[3].bytes, NULL, 0,
                          &q, &got_err),
              0);
    CHECK(q->schedule->state->paused && str_eqz(bridge_str(&q->conflict_token), "tok"));

    begin("another refusal ends it");
    expect("/DescribeSchedule", 0, m, NULL);
    expect("/UpdateSchedule", STATUS_FAILED_PRECONDITION, NULL, "something else");
    m->schedule = NEW(PbSchedule__Schedule, pb_schedule__schedule);
    client_schedule_update(&t.b, STR("daily"), pause_it, NULL, on_reply, NULL);
    settle();
    CHECK_INT(got_err.code, ERR_ARG);

    begin("an edit may refuse");
    Pb__DescribeScheduleResponse *again =
        NEW(Pb__DescribeScheduleResponse, pb__describe_schedule_response);
    again->schedule = NEW(PbSchedule__Schedule, pb_schedule__schedule);
    expect("/DescribeSchedule", 0, again, NULL);
    client_schedule_update(&t.b, STR("daily"), pause_it, &edits, on_reply, NULL);
    settle();
    CHECK(got_err.code == ERR_ARG && strcmp(got_err.text, "not like this") == 0);
}

/* ---- activities ---- */
static struct backend_answer answer;
static void on_answer(void *ud, const struct backend_answer *a)
{
    (void)ud;
    CHECK(!inside);
    answers++;
    answer = *a;
}

static void test_activity(void)
{
    begin("a heartbeat from outside is told to stop");
    Pb__RecordActivityTaskHeartbeatResponse *m =
        NEW(Pb__RecordActivityTaskHeartbeatResponse, pb__record_activity_task_heartbeat_response);
    m->activity_paused = true;
    expect("/RecordActivityTaskHeartbeat", 0, m, NULL);
    client_heartbeat(&t.b, STR("dAB0d28="), NULL, on_answer, NULL);
    settle();
    CHECK(answer.kind == BACKEND_OK && answer.cancel_requested &&
          answer.cancel_reason == BACKEND_CANCEL_PAUSED);
    begin("a completion of what is gone");
    expect("/RespondActivityTaskCompletedById", STATUS_NOT_FOUND, NULL, "gone");
    struct backend_activity_completion done = {.kind = ACT_COMPLETED};
    client_complete_activity_by_id(&t.b, &target, STR("3"), &done, on_answer, NULL);
    settle();
    CHECK(answer.kind == BACKEND_STALE && answer.err.code == ERR_NOTFOUND);
    begin("a token that is none");
    inside = true;
    client_complete_activity(&t.b, STR("?"), &done, on_answer, NULL);
    settle();
    CHECK_INT(answer.err.code, ERR_ARG);
}

/* ---- ends ---- */
static void test_bad_replies(void)
{
    begin("an answer that is no protobuf");
    PbCommon__Payloads *junk = NEW(PbCommon__Payloads, pb_common__payloads);
    ProtobufCMessageUnknownField u = {.tag = 1,
                                      .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                      .len = 3,
                                      .data = (uint8_t *)(uintptr_t) "\x02\xff\xff"};
    junk->base.n_unknown_fields = 1;
    junk->base.unknown_fields = &u;
    expect("/QueryWorkflow", 0, junk, NULL);
    client_query(&t.b, &target, STR("state"), NULL, on_reply, NULL);
    settle();
    CHECK_INT(got_err.code, ERR_PROTO);
    CHECK(strstr(got_err.text, "query workflow order-7"));

    begin("closing answers what is open");
    expect("/QueryWorkflow", -1, NULL, NULL);
    client_query(&t.b, &target, STR("state"), NULL, on_reply, NULL);
    struct err e;
    err_set(&e, ERR_CLOSED, "closing");
    inside = true;
    calls_close(&t, &e);
    settle();
    CHECK(got_err.code == ERR_CLOSED && sent[0].canceled);

    begin("and nothing is sent after it");
    t.closing = true;
    inside = true;
    client_query(&t.b, &target, STR("state"), NULL, on_reply, NULL);
    settle();
    CHECK_INT(got_err.code, ERR_CLOSED);

    begin("every allocation may fail");
    struct backend_start s = {.workflow_id = STR("order-7"),
                              .workflow_type = STR("order"),
                              .input = payloads_of_json(&arena, STR("[1]"))};
    for (long at = 1; at < 200; at++) {
        n_script = n_sent = 0;
        answers = 0;
        arena.failed = false; /* the fake's own memory failed too */
        expect("/StartWorkflowExecution", 0,
               NEW(Pb__StartWorkflowExecutionResponse, pb__start_workflow_execution_response),
               NULL);
        mem_fail_at(at, true);
        client_start(&t.b, &s, on_reply, NULL);
        mem_fail_at(0, false);
        for (int i = 0; i < 10; i++)
            loop_turn(loop, 0);
        CHECK_INT(answers, 1);
        CHECK(got_err.code == 0 || got_err.code == ERR_NOMEM);
        CHECK(!t.calls);
        if (!got_err.code) break;
        CHECK(at < 199);
    }
}

int main(void)
{
    struct err e;
    char ns[] = "shop", me[] = "me";
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    t.loop = loop;
    t.entropy = &entropy_system;
    t.ns = ns;
    t.identity = me;
    t.wire = (struct wire){fake_send, fake_cancel, NULL};
    test_start();
    test_update();
    test_result();
    test_read();
    test_schedule();
    test_activity();
    test_bad_replies();
    arena_free(&arena);
    loop_close(loop);
    return CHECK_DONE();
}
