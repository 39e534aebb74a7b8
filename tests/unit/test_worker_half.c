/* The worker half of the port on a wire of ours: which polls are open, what tasks become, what is
 * answered. */
#include "base/mem.h"
#include "check.h"
#include "temporal/proto/details.pb-c.h"
#include "temporal/proto/google_rpc.pb-c.h"
#include "temporal/worker_half.h"

/* ---- the wire ---- */
struct sent {
    char path[100];
    struct buf request;
    rpc_fn fn;
    void *ud;
    uint64_t id;
    struct sent *next;
};
static struct sent *wire_first;
static uint64_t wire_ids;

static int wire_send(void *ud, const char *path, struct str request, const struct rpc_options *o,
                     rpc_fn fn, void *fn_ud, uint64_t *id, struct err *e)
{
    (void)ud;
    CHECK_STR(o->ns.p, "ns");
    if (request.n > RPC_MESSAGE_MAX) return err_set(e, ERR_LIMIT, "too large");
    struct sent *s = calloc(1, sizeof *s);
    snprintf(s->path, sizeof s->path, "%s", strrchr(path, '/') + 1);
    s->request = (struct buf){malloc(request.n + 1), request.n, request.n, request.n, 0};
    memcpy(s->request.p, request.p, request.n);
    s->fn = fn;
    s->ud = fn_ud;
    s->id = *id = ++wire_ids;
    struct sent **at = &wire_first;
    while (*at)
        at = &(*at)->next;
    *at = s;
    return 0;
}

static struct sent *wire_take(struct sent **at)
{
    struct sent *s = *at;
    *at = s->next;
    return s;
}

static void sent_free(struct sent *s)
{
    free(s->request.p);
    free(s);
}

static void wire_cancel(void *ud, uint64_t id)
{
    (void)ud;
    for (struct sent **at = &wire_first; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            sent_free(wire_take(at));
            return;
        }
    CHECK(false);
}

static int waiting(const char *path)
{
    int n = 0;
    for (struct sent *s = wire_first; s; s = s->next)
        n += strcmp(s->path, path) == 0;
    return n;
}

static struct sent *find(const char *path)
{
    struct sent **at = &wire_first;
    while (*at && strcmp((*at)->path, path) != 0)
        at = &(*at)->next;
    if (!*at) fprintf(stderr, "no %s is out\n", path);
    CHECK(*at);
    return wire_take(at);
}

/* Answers the oldest request of that name. */
static void answer_with(const char *path, int code, const char *message, struct str body,
                        struct str details)
{
    struct sent *s = find(path);
    const struct rpc_reply r = {
        .r = {.code = code, .message = str_of(message), .body = body, .details = details},
        .tries = 1};
    s->fn(s->ud, &r);
    sent_free(s);
}

static void answer(const char *path, int code, const char *message, struct str body)
{
    answer_with(path, code, message, body, (struct str){NULL, 0});
}

/* ---- what the worker sees ---- */
static struct loop *loop;
static struct backend *b;
static struct temporal *t;
static struct arena scratch;
static struct backend_task *tasks[20];
static int n_tasks, n_cancels;
static enum backend_cancel_reason cancel_why;

static void on_task(void *ud, struct backend_task *k)
{
    (void)ud;
    CHECK(n_tasks < 20);
    tasks[n_tasks++] = k;
}
static void on_cancel(void *ud, struct str token, enum backend_cancel_reason why)
{
    (void)ud;
    CHECK(token.n);
    n_cancels++;
    cancel_why = why;
}
static void on_nothing(void *ud, struct str run)
{
    (void)ud, (void)run;
}
static void on_change(void *ud)
{
    (void)ud;
}
static const struct backend_sink sink = {NULL, on_task, on_task, on_cancel, on_nothing, on_change};

static struct backend_task *task_pop(void)
{
    CHECK(n_tasks > 0);
    struct backend_task *k = tasks[0];
    memmove(tasks, tasks + 1, (size_t)--n_tasks * sizeof *tasks);
    return k;
}
static void task_drop(struct backend_task *k)
{
    struct arena a = k->arena;
    arena_free(&a);
}

struct got {
    int n;
    struct backend_answer a;
};
static void on_answer(void *ud, const struct backend_answer *a)
{
    struct got *g = ud;
    g->n++;
    g->a = *a;
}
static void turn(void)
{
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 0);
}

/* ---- replies ---- */
static struct str pack(const void *m)
{
    struct str s = bridge_pack(&scratch, m);
    CHECK(s.p);
    return s;
}

static struct rec *event(struct rec *history, int64_t id, int type)
{
    struct rec *ev = event_new(&scratch, id, NS_PER_S, type, NULL);
    rec_add_msg(history, T(history, events), ev);
    return ev;
}

/* Events from..to; the last is the task's start. */
static struct rec *history(int64_t from, int64_t to)
{
    struct rec *h = rec_new(&scratch, &rec_type_history);
    for (int64_t i = from; i <= to; i++)
        event(h, i,
              i == 1 ? EVENT_TYPE_WORKFLOW_EXECUTION_STARTED : EVENT_TYPE_WORKFLOW_TASK_STARTED);
    return h;
}

struct wft {
    const char *token, *page;
    int attempt;
    int64_t previous, started;
    struct rec *history;
    bool legacy;
};
static struct str workflow_task(struct wft k)
{
    Pb__PollWorkflowTaskQueueResponse *m = bridge_new(&scratch, Pb__PollWorkflowTaskQueueResponse,
                                                      pb__poll_workflow_task_queue_response);
    m->task_token = bridge_bytes(&scratch, str_of(k.token));
    m->workflow_execution =
        bridge_new(&scratch, PbCommon__WorkflowExecution, pb_common__workflow_execution);
    m->workflow_execution->workflow_id = bridge_text(&scratch, STR("wf"));
    m->workflow_execution->run_id = bridge_text(&scratch, STR("run"));
    m->workflow_type = bridge_new(&scratch, PbCommon__WorkflowType, pb_common__workflow_type);
    m->workflow_type->name = bridge_text(&scratch, STR("type"));
    m->attempt = k.attempt ? k.attempt : 1;
    m->previous_started_event_id = k.previous;
    m->started_event_id = k.started;
    m->history = bridge_message(&scratch, &pb_history__history__descriptor, k.history);
    if (k.page) m->next_page_token = bridge_bytes(&scratch, str_of(k.page));
    if (k.legacy) {
        m->query = bridge_new(&scratch, PbQuery__WorkflowQuery, pb_query__workflow_query);
        m->query->query_type = bridge_text(&scratch, STR("size"));
    }
    return pack(m);
}

static struct str activity_task(const char *token, int64_t heartbeat_ns)
{
    Pb__PollActivityTaskQueueResponse *m = bridge_new(&scratch, Pb__PollActivityTaskQueueResponse,
                                                      pb__poll_activity_task_queue_response);
    m->task_token = bridge_bytes(&scratch, str_of(token));
    m->activity_id = bridge_text(&scratch, STR("5"));
    m->activity_type = bridge_new(&scratch, PbCommon__ActivityType, pb_common__activity_type);
    m->activity_type->name = bridge_text(&scratch, STR("act"));
    m->attempt = 1;
    m->heartbeat_timeout = bridge_duration(&scratch, heartbeat_ns);
    m->start_to_close_timeout = bridge_duration(&scratch, 60 * NS_PER_S);
    return pack(m);
}

static struct str page(struct rec *h, const char *next)
{
    Pb__GetWorkflowExecutionHistoryResponse *m =
        bridge_new(&scratch, Pb__GetWorkflowExecutionHistoryResponse,
                   pb__get_workflow_execution_history_response);
    m->history = h ? bridge_message(&scratch, &pb_history__history__descriptor, h) : NULL;
    if (next) m->next_page_token = bridge_bytes(&scratch, str_of(next));
    return pack(m);
}

static struct str beat(bool cancel, bool paused)
{
    Pb__RecordActivityTaskHeartbeatResponse *m =
        bridge_new(&scratch, Pb__RecordActivityTaskHeartbeatResponse,
                   pb__record_activity_task_heartbeat_response);
    m->cancel_requested = cancel;
    m->activity_paused = paused;
    return pack(m);
}

/* What the oldest request of that name says; it stays out. */
static void *request(const char *path, const ProtobufCMessageDescriptor *d)
{
    struct sent *s = wire_first;
    while (s && strcmp(s->path, path) != 0)
        s = s->next;
    if (!s) fprintf(stderr, "no %s is out\n", path);
    CHECK(s);
    void *m;
    struct err e;
    struct str copy = arena_str(&scratch, buf_str(&s->request));
    CHECK_INT(bridge_read(&scratch, d, copy, NULL, 0, &m, &e), 0);
    return m;
}

/* ---- opening ---- */
static struct str deployment; /* absent: not versioned */
static int kept_build(void *ud, struct str of, struct str build, struct buf *digest, struct err *e)
{
    (void)ud;
    CHECK(str_eqz(of, "shop"));
    if (!str_eqz(build, "kept")) return err_set(e, ERR_NOTFOUND, "no such build");
    return buf_putstr(digest, STR("text-of-kept"));
}
static const struct temporal_keeper keeper = {.build = kept_build};

static void up(int workflow_slots, int activity_slots)
{
    struct err e;
    struct settings s;
    const struct settings_flags f = {.address = STR("127.0.0.1:1"), .ns = STR("ns")};
    arena_init(&scratch, 0);
    CHECK_INT(settings_read(&f, NULL, &s, &e), 0);
    const struct temporal_options o = {.loop = loop,
                                       .settings = &s,
                                       .identity = STR("me"),
                                       .deployment = deployment,
                                       .keeper = deployment.n ? &keeper : NULL};
    CHECK_INT(temporal_open(&o, &b, &e), 0);
    settings_free(&s);
    t = temporal_of(b);
    t->wire = (struct wire){wire_send, wire_cancel, NULL};
    const struct str names[] = {STR("type"), STR("act")};
    const struct backend_served served = {STR("q"), &names[0], 1, &names[1], 1};
    CHECK_INT(b->ops->serve(b, &sink, &served, 1), 0);
    b->ops->offer(b, workflow_slots, activity_slots);
    CHECK_INT(waiting("PollWorkflowTaskQueue") + waiting("PollActivityTaskQueue"), 0);
    Pb__GetSystemInfoResponse *i =
        bridge_new(&scratch, Pb__GetSystemInfoResponse, pb__get_system_info_response);
    i->capabilities = bridge_new(&scratch, Pb__GetSystemInfoResponse__Capabilities,
                                 pb__get_system_info_response__capabilities);
    i->capabilities->sdk_metadata = i->capabilities->activity_failure_include_heartbeat = true;
    answer("GetSystemInfo", 0, "", pack(i));
    answer(
        "DescribeNamespace", 0, "",
        pack(bridge_new(&scratch, Pb__DescribeNamespaceResponse, pb__describe_namespace_response)));
}

static void on_shut(void *ud)
{
    *(bool *)ud = true;
}

static void down(void)
{
    bool shut = false;
    b->ops->serve(b, &sink, NULL, 0);
    while (waiting("ShutdownWorker"))
        answer("ShutdownWorker", STATUS_UNIMPLEMENTED, "what?", STR(""));
    CHECK_INT(waiting("PollWorkflowTaskQueue") + waiting("PollActivityTaskQueue"), 0);
    b->ops->shutdown(b, on_shut, &shut);
    while (wire_first) /* what is given back */
        answer(wire_first->path, STATUS_NOT_FOUND, "gone", STR(""));
    while (!shut)
        loop_turn(loop, -1);
    temporal_close(b);
    while (n_tasks)
        task_drop(task_pop());
    CHECK(!wire_first);
    arena_free(&scratch);
    turn();
}

static void test_slots(void)
{
    CASE("no polls without slots");
    up(0, 0);
    CHECK(!wire_first);
    CASE("slots before polls, and one of each kind of workflow poll");
    b->ops->offer(b, 1, 2);
    CHECK_INT(waiting("PollWorkflowTaskQueue"), 2);
    CHECK_INT(waiting("PollActivityTaskQueue"), 2);
    Pb__PollWorkflowTaskQueueRequest *q =
        request("PollWorkflowTaskQueue", &pb__poll_workflow_task_queue_request__descriptor);
    CHECK(strcmp(q->task_queue->name, "q") == 0 && strcmp(q->identity, "me") == 0 &&
          *q->worker_instance_key);
    CASE("an empty poll is asked again, a task takes its slot");
    answer("PollWorkflowTaskQueue", 0, "", STR(""));
    CHECK_INT(waiting("PollWorkflowTaskQueue"), 2);
    answer("PollWorkflowTaskQueue", 0, "",
           workflow_task((struct wft){.token = "t1", .started = 3, .history = history(1, 3)}));
    CHECK_INT(n_tasks, 1);
    CHECK_INT(waiting("PollWorkflowTaskQueue"), 1);
    b->ops->offer(b, 20, 0);
    CHECK_INT(waiting("PollWorkflowTaskQueue"), 6);
    CASE("a poll that is refused for good is asked again later");
    answer("PollActivityTaskQueue", STATUS_PERMISSION_DENIED, "no", STR(""));
    CHECK_INT(waiting("PollActivityTaskQueue"), 1);
    down();
}

static void complete(struct backend_task *k, struct got *g, struct rec *const *commands, size_t n)
{
    const struct backend_workflow_completion c = {.commands = commands, .n_commands = n};
    *g = (struct got){0};
    b->ops->complete_workflow(b, k->token, &c, on_answer, g);
    CHECK_INT(g->n, 0);
}

static struct backend_task *give(struct wft k)
{
    answer("PollWorkflowTaskQueue", 0, "", workflow_task(k));
    return task_pop();
}

static void test_tasks(void)
{
    struct got g;
    up(50, 0);
    CASE("a whole task and its completion");
    struct backend_task *k =
        give((struct wft){.token = "t1", .started = 3, .history = history(1, 3)});
    CHECK(k->whole && k->n_events == 3 && k->started_id == 3 && k->attempt == 1 &&
          !k->legacy_query);
    CHECK(str_eqz(k->workflow_id, "wf") && str_eqz(k->run_id, "run") &&
          str_eqz(k->workflow_type, "type"));
    CHECK(str_eqz(k->task_queue, "q"));
    complete(k, &g, NULL, 0);
    Pb__RespondWorkflowTaskCompletedRequest *q = request(
        "RespondWorkflowTaskCompleted", &pb__respond_workflow_task_completed_request__descriptor);
    CHECK(q->task_token.len == 2 && memcmp(q->task_token.data, "t1", 2) == 0);
    CHECK(q->return_new_workflow_task &&
          q->capabilities->discard_speculative_workflow_task_with_events);
    CHECK_STR(q->sticky_attributes->worker_task_queue->normal_name, "q");
    CHECK_STR(q->sdk_metadata->sdk_name, "moonloop");

    CASE("the next task comes with the answer");
    Pb__RespondWorkflowTaskCompletedResponse *r =
        bridge_new(&scratch, Pb__RespondWorkflowTaskCompletedResponse,
                   pb__respond_workflow_task_completed_response);
    struct str inner = workflow_task(
        (struct wft){.token = "t2", .previous = 3, .started = 6, .history = history(4, 6)});
    CHECK_INT(bridge_read(&scratch, &pb__poll_workflow_task_queue_response__descriptor, inner, NULL,
                          0, &r->workflow_task, NULL),
              0);
    answer("RespondWorkflowTaskCompleted", 0, "", pack(r));
    CHECK(g.n == 1 && g.a.kind == BACKEND_OK);
    task_drop(k);
    k = task_pop();
    CHECK(!k->whole && k->n_events == 3 && event_id(k->events[0]) == 4 &&
          k->previous_started_id == 3);

    CASE("what the server does not take");
    static const struct {
        int code;
        const char *message;
        enum backend_answer_kind kind;
    } refusals[] = {{STATUS_NOT_FOUND, "gone", BACKEND_STALE},
                    {STATUS_INVALID_ARGUMENT, "UnhandledCommand", BACKEND_UNHANDLED_COMMAND},
                    {STATUS_INVALID_ARGUMENT, "bad attributes", BACKEND_STALE},
                    {STATUS_UNAVAILABLE, "later", BACKEND_STORAGE}};
    for (size_t i = 0; i < 4; i++) {
        complete(k, &g, NULL, 0);
        answer("RespondWorkflowTaskCompleted", refusals[i].code, refusals[i].message, STR(""));
        CHECK(g.n == 1 && g.a.kind == refusals[i].kind);
        complete(k, &g, NULL, 0); /* again: the task is gone */
        turn();
        CHECK(g.n == 1 && g.a.kind == BACKEND_STALE);
        task_drop(k);
        k = give((struct wft){.token = "t3", .started = 3, .history = history(1, 3)});
    }
    CASE("a discarded speculative task");
    r = bridge_new(&scratch, Pb__RespondWorkflowTaskCompletedResponse,
                   pb__respond_workflow_task_completed_response);
    r->reset_history_event_id = 20;
    complete(k, &g, NULL, 0);
    answer("RespondWorkflowTaskCompleted", 0, "", pack(r));
    CHECK(g.n == 1 && g.a.kind == BACKEND_DISCARDED && g.a.rollback_id == 20);
    task_drop(k);

    CASE("failing: the first attempt is told, later ones are not");
    struct rec *f = failure_app(&scratch, STR("LuaError"), STR("x"), false, NULL, NULL);
    for (int attempt = 1; attempt < 3; attempt++) {
        k = give((struct wft){
            .token = "t4", .attempt = attempt, .started = 3, .history = history(1, 3)});
        g = (struct got){0};
        b->ops->fail_workflow(b, k->token, WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR, f,
                              false, (struct str){0}, on_answer, &g);
        CHECK_INT(waiting("RespondWorkflowTaskFailed"), attempt == 1);
        if (attempt == 1) answer("RespondWorkflowTaskFailed", 0, "", STR(""));
        turn();
        CHECK(g.n == 1 && g.a.kind == BACKEND_OK);
        task_drop(k);
    }
    CASE("a payload above the limit fails the task with its cause");
    char *big = mem_zalloc(3u << 20);
    struct rec *attrs,
        *command = command_new(&scratch, COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, &attrs);
    payloads_add(rec_sub(attrs, T(cmd_schedule_activity_task, input)),
                 payload_new(&scratch, PAYLOAD_JSON, str_make(big, 3u << 20)));
    k = give((struct wft){.token = "t5", .started = 3, .history = history(1, 3)});
    complete(k, &g, &command, 1);
    Pb__RespondWorkflowTaskFailedRequest *failed =
        request("RespondWorkflowTaskFailed", &pb__respond_workflow_task_failed_request__descriptor);
    CHECK_INT(failed->cause, WORKFLOW_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE);
    answer("RespondWorkflowTaskFailed", 0, "", STR(""));
    CHECK(g.n == 1 && g.a.kind == BACKEND_STALE);
    mem_free(big);
    task_drop(k);

    CASE("a query alone");
    k = give((struct wft){.token = "t6", .previous = 3, .legacy = true});
    CHECK(k->legacy_query && k->n_queries == 1 && k->n_events == 0 &&
          str_eqz(k->queries[0].type, "size"));
    const struct backend_query_result result = {.ok = true,
                                                .result = payloads_of_json(&scratch, STR("1"))};
    g = (struct got){0};
    b->ops->complete_query(b, k->token, &result, on_answer, &g);
    answer("RespondQueryTaskCompleted", 0, "", STR(""));
    CHECK(g.n == 1 && g.a.kind == BACKEND_OK);
    task_drop(k);
    down();
}

static void test_eager(void)
{
    struct got g;
    up(50, 4);
    CASE("activities of this queue come back with the answer, as far as there are slots");
    struct backend_task *k =
        give((struct wft){.token = "e1", .started = 3, .history = history(1, 3)});
    struct rec *attrs, *commands[5];
    for (int i = 0; i < 5; i++) {
        commands[i] = command_new(&scratch, COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, &attrs);
        rec_set_str(rec_sub(attrs, T(cmd_schedule_activity_task, task_queue)), T(task_queue, name),
                    i == 0 ? STR("elsewhere") : STR("q"));
    }
    CHECK_INT(waiting("PollActivityTaskQueue"), 4);
    complete(k, &g, commands, 2); /* all slots wait behind polls */
    Pb__RespondWorkflowTaskCompletedRequest *q = request(
        "RespondWorkflowTaskCompleted", &pb__respond_workflow_task_completed_request__descriptor);
    CHECK(!q->commands[1]->schedule_activity_task_command_attributes->request_eager_execution);
    answer("RespondWorkflowTaskCompleted", 0, "", STR(""));
    task_drop(k);
    b->ops->offer(b, 0, 3); /* one for the fifth poll */
    k = give((struct wft){.token = "e2", .started = 3, .history = history(1, 3)});
    complete(k, &g, commands, 5);
    q = request("RespondWorkflowTaskCompleted",
                &pb__respond_workflow_task_completed_request__descriptor);
    for (int i = 0; i < 5; i++)
        CHECK_INT(
            q->commands[i]->schedule_activity_task_command_attributes->request_eager_execution,
            i == 1 || i == 2);
    CHECK(!rec_has(
        attrs, T(cmd_schedule_activity_task, request_eager_execution))); /* the run's own stay */
    Pb__RespondWorkflowTaskCompletedResponse *r =
        bridge_new(&scratch, Pb__RespondWorkflowTaskCompletedResponse,
                   pb__respond_workflow_task_completed_response);
    Pb__PollActivityTaskQueueResponse *act;
    CHECK_INT(bridge_read(&scratch, &pb__poll_activity_task_queue_response__descriptor,
                          activity_task("x1", 0), NULL, 0, &act, NULL),
              0);
    r->activity_tasks = &act;
    r->n_activity_tasks = 1;
    answer("RespondWorkflowTaskCompleted", 0, "", pack(r));
    task_drop(k);
    k = task_pop();
    CHECK(k->kind == BACKEND_ACTIVITY_TASK && t->worker->activity_slots == 6);
    task_drop(k);
    down();
}

/* ---- a completion in pages ---- */
#define LARGE ((size_t)1200 << 10)

/* What the page that is out has; then the server takes it, or loses all. */
static size_t page_out(int number, bool last)
{
    Pb__RespondWorkflowTaskCompletedRequest *q = request(
        "RespondWorkflowTaskCompleted", &pb__respond_workflow_task_completed_request__descriptor);
    CHECK_INT(waiting("RespondWorkflowTaskCompleted"), 1);
    CHECK(q->page_number == number && q->intermediate_page == !last);
    CHECK((q->sticky_attributes != NULL) == last && q->task_token.len == 2);
    return q->n_commands;
}

static struct str buffer_lost(void)
{
    PbDetails__WorkflowTaskCompletionBufferLostFailure *lost =
        bridge_new(&scratch, PbDetails__WorkflowTaskCompletionBufferLostFailure,
                   pb_details__workflow_task_completion_buffer_lost_failure);
    PbGoogle__Any *any = bridge_new(&scratch, PbGoogle__Any, pb_google__any);
    any->type_url = bridge_text(
        &scratch, STR("type.googleapis.com/"
                      "temporal.api.errordetails.v1.WorkflowTaskCompletionBufferLostFailure"));
    any->value = bridge_bytes(&scratch, pack(lost));
    PbRpc__Status *m = bridge_new(&scratch, PbRpc__Status, pb_rpc__status);
    m->code = STATUS_ABORTED;
    m->details = &any;
    m->n_details = 1;
    return pack(m);
}

static struct backend_task *complete_large(struct got *g, const char *token, size_t n)
{
    struct rec *attrs, *commands[60];
    char *big = mem_zalloc(LARGE);
    for (size_t i = 0; i < n; i++) {
        commands[i] = command_new(&scratch, COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, &attrs);
        payloads_add(rec_sub(attrs, T(cmd_schedule_activity_task, input)),
                     payload_new(&scratch, PAYLOAD_JSON, str_make(big, LARGE)));
    }
    struct backend_task *k =
        give((struct wft){.token = token, .started = 3, .history = history(1, 3)});
    complete(k, g, commands, n);
    mem_free(big);
    return k;
}

static void test_large(void)
{
    struct got g;
    CASE("pages of commands, one after the other, the rest with the last");
    up(5, 0);
    t->worker->completion_pages = true;
    struct backend_task *k = complete_large(&g, "l1", 5);
    CHECK_INT(page_out(0, false), 2);
    answer("RespondWorkflowTaskCompleted", 0, "", STR(""));
    CHECK_INT(page_out(1, false), 2);
    CASE("pages that the server lost are sent again, from the first");
    answer_with("RespondWorkflowTaskCompleted", STATUS_ABORTED, "lost", STR(""), buffer_lost());
    CHECK_INT(page_out(0, false), 2);
    answer("RespondWorkflowTaskCompleted", 0, "", STR(""));
    answer("RespondWorkflowTaskCompleted", 0, "", STR(""));
    CHECK_INT(page_out(2, true), 1);
    CHECK_INT(g.n, 0);
    answer("RespondWorkflowTaskCompleted", 0, "", STR(""));
    CHECK(g.n == 1 && g.a.kind == BACKEND_OK);
    task_drop(k);
    CASE("not for ever");
    k = complete_large(&g, "l2", 4);
    for (int i = 0; i <= TW_PAGES_AGAIN; i++) {
        CHECK_INT(page_out(0, false), 2);
        answer_with("RespondWorkflowTaskCompleted", STATUS_ABORTED, "lost", STR(""), buffer_lost());
    }
    CHECK(g.n == 1 && g.a.kind == BACKEND_STORAGE);
    task_drop(k);
    CASE("more than all pages may have, or a server without pages: the task fails");
    for (int i = 0; i < 2; i++) {
        t->worker->completion_pages = i == 0;
        k = complete_large(&g, i ? "l4" : "l3", i ? 4 : 40);
        CHECK_INT(waiting("RespondWorkflowTaskCompleted"), 0);
        answer("RespondWorkflowTaskFailed", 0, "", STR(""));
        CHECK(g.n == 1 && g.a.kind == BACKEND_STALE);
        task_drop(k);
    }
    down();
}

/* ---- versions ---- */
static struct str described(const char *const builds[][2], size_t n)
{
    typedef PbDeployment__WorkerDeploymentInfo__WorkerDeploymentVersionSummary Summary;
    Pb__DescribeWorkerDeploymentResponse *m = bridge_new(
        &scratch, Pb__DescribeWorkerDeploymentResponse, pb__describe_worker_deployment_response);
    PbDeployment__WorkerDeploymentInfo *info = bridge_new(
        &scratch, PbDeployment__WorkerDeploymentInfo, pb_deployment__worker_deployment_info);
    m->worker_deployment_info = info;
    info->version_summaries = bridge_array(&scratch, n);
    for (size_t i = 0; i < n; i++) {
        Summary *s =
            bridge_new(&scratch, Summary,
                       pb_deployment__worker_deployment_info__worker_deployment_version_summary);
        s->deployment_version = bridge_new(&scratch, PbDeployment__WorkerDeploymentVersion,
                                           pb_deployment__worker_deployment_version);
        s->deployment_version->build_id = bridge_text(&scratch, str_of(builds[i][0]));
        s->status =
            *builds[i][1] == 'D'
                ? PB__WORKER_DEPLOYMENT_VERSION_STATUS__WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING
                : PB__WORKER_DEPLOYMENT_VERSION_STATUS__WORKER_DEPLOYMENT_VERSION_STATUS_INACTIVE;
        info->version_summaries[info->n_version_summaries++] = s;
    }
    return pack(m);
}

/* Polls of that build that are out; each says its deployment. */
static int polls_of(const char *build)
{
    int n = 0;
    for (struct sent *s = wire_first; s; s = s->next) {
        Pb__PollWorkflowTaskQueueRequest *q;
        struct err e;
        struct str copy = arena_str(&scratch, buf_str(&s->request));
        if (strcmp(s->path, "PollWorkflowTaskQueue") != 0) continue;
        CHECK_INT(bridge_read(&scratch, &pb__poll_workflow_task_queue_request__descriptor, copy,
                              NULL, 0, &q, &e),
                  0);
        CHECK(q->deployment_options &&
              strcmp(q->deployment_options->deployment_name, "shop") == 0 &&
              q->deployment_options->worker_versioning_mode ==
                  PB__WORKER_VERSIONING_MODE__WORKER_VERSIONING_MODE_VERSIONED);
        n += strcmp(q->deployment_options->build_id, build) == 0;
    }
    return n;
}

static void test_versions(void)
{
    struct got g = {0};
    CASE("a deployment without a build polls when the build is named");
    deployment = STR("shop");
    up(100, 10);
    CHECK_INT(waiting("PollWorkflowTaskQueue") + waiting("PollActivityTaskQueue"), 0);
    CHECK_INT(temporal_set_build(b, STR("own")), 0);
    CHECK_INT(temporal_set_build(b, STR("other")), 0);
    CHECK(str_eqz(temporal_build(b), "own"));
    int own = polls_of("own");
    CHECK(own > 1 && own == waiting("PollWorkflowTaskQueue"));
    CASE("earlier builds that have runs and are kept are polled for, too");
    const char *const builds[][2] = {
        {"own", "D"}, {"kept", "D"}, {"unknown", "D"}, {"drained", "no"}};
    answer("DescribeWorkerDeployment", 0, "", described(builds, 4));
    CHECK(polls_of("own") == own && polls_of("kept") > 1);
    CHECK_INT(polls_of("own") + polls_of("kept"), waiting("PollWorkflowTaskQueue"));
    CASE("tasks and attempts say their build, completions the text and the behaviour");
    struct backend_task *k =
        give((struct wft){.token = "v1", .started = 3, .history = history(1, 3)});
    CHECK(str_eqz(k->build, "own") && !k->build_text.n);
    const struct backend_workflow_completion done = {.bundle_digest = STR("digest"),
                                                     .versioning = VERSIONING_AUTO_UPGRADE};
    b->ops->complete_workflow(b, k->token, &done, on_answer, &g);
    Pb__RespondWorkflowTaskCompletedRequest *q = request(
        "RespondWorkflowTaskCompleted", &pb__respond_workflow_task_completed_request__descriptor);
    CHECK_STR(q->worker_version_stamp->build_id, "digest");
    CHECK_STR(q->deployment_options->build_id, "own");
    CHECK(!q->worker_version_stamp->use_versioning &&
          q->versioning_behavior == PB__VERSIONING_BEHAVIOR__VERSIONING_BEHAVIOR_AUTO_UPGRADE);
    answer("RespondWorkflowTaskCompleted", 0, "", STR(""));
    task_drop(k);
    answer("PollActivityTaskQueue", 0, "", activity_task("v2", 0));
    k = task_pop();
    const struct backend_activity_completion c = {.kind = ACT_COMPLETED};
    b->ops->complete_activity(b, k->token, &c, on_answer, &g);
    Pb__RespondActivityTaskCompletedRequest *r = request(
        "RespondActivityTaskCompleted", &pb__respond_activity_task_completed_request__descriptor);
    CHECK_STR(r->deployment_options->build_id, "own");
    answer("RespondActivityTaskCompleted", 0, "", STR(""));
    task_drop(k);
    CASE("a build whose runs have ended is left");
    tw_builds_ask(t->worker);
    const char *const later[][2] = {{"own", "D"}, {"kept", "no"}};
    answer("DescribeWorkerDeployment", 0, "", described(later, 2));
    CHECK_INT(polls_of("kept"), 0);
    CHECK_INT(polls_of("own"), waiting("PollWorkflowTaskQueue"));
    down();
    deployment = (struct str){NULL, 0};
}

static void test_pages(void)
{
    up(50, 0);
    CASE("pages: empty ones, repeated events, and what lies behind the task");
    answer("PollWorkflowTaskQueue", 0, "",
           workflow_task(
               (struct wft){.token = "p1", .page = "a", .started = 9, .history = history(1, 3)}));
    CHECK_INT(n_tasks, 0);
    Pb__GetWorkflowExecutionHistoryRequest *q = request(
        "GetWorkflowExecutionHistory", &pb__get_workflow_execution_history_request__descriptor);
    CHECK_STR(q->execution->run_id, "run");
    answer("GetWorkflowExecutionHistory", 0, "", page(NULL, "b"));
    answer("GetWorkflowExecutionHistory", 0, "", page(history(2, 6), "c"));
    answer("GetWorkflowExecutionHistory", 0, "", page(history(7, 12), NULL));
    struct backend_task *k = task_pop();
    CHECK_INT(k->n_events, 9);
    for (size_t i = 0; i < 9; i++)
        CHECK_INT(event_id(k->events[i]), i + 1);
    b->ops->release(b, k->token, NULL);
    task_drop(k);

    CASE("a gap, and an end before the task's own start, fail the task");
    for (int i = 0; i < 2; i++) {
        answer("PollWorkflowTaskQueue", 0, "",
               workflow_task((struct wft){
                   .token = "p2", .page = "a", .started = 9, .history = history(1, 3)}));
        answer("GetWorkflowExecutionHistory", 0, "", page(i ? history(4, 5) : history(5, 9), NULL));
        CHECK_INT(n_tasks, 0);
        answer("RespondWorkflowTaskFailed", 0, "", STR(""));
    }
    CASE("a run that is gone meanwhile");
    answer("PollWorkflowTaskQueue", 0, "",
           workflow_task(
               (struct wft){.token = "p3", .page = "a", .started = 9, .history = history(1, 3)}));
    answer("GetWorkflowExecutionHistory", STATUS_NOT_FOUND, "gone", STR(""));
    CHECK_INT(n_tasks, 0);
    CASE("closing while a page is out");
    answer("PollWorkflowTaskQueue", 0, "",
           workflow_task(
               (struct wft){.token = "p4", .page = "a", .started = 9, .history = history(1, 3)}));
    CASE("bytes that are no task");
    answer("PollWorkflowTaskQueue", 0, "", STR("\xFF\xFF\xFF"));
    CHECK_INT(n_tasks, 0);
    down();
}

static struct backend_task *give_activity(const char *token, int64_t heartbeat_ns)
{
    answer("PollActivityTaskQueue", 0, "", activity_task(token, heartbeat_ns));
    return task_pop();
}

static void test_activities(void)
{
    struct got g = {0}, h = {0};
    up(0, 50);
    struct rec *one = payloads_of_json(&scratch, STR("1"));
    struct rec *two = payloads_of_json(&scratch, STR("2")),
               *three = payloads_of_json(&scratch, STR("3"));
    struct rec *f = failure_app(&scratch, STR("X"), STR("x"), false, NULL, NULL);
    CASE(
        "heartbeats: one goes out, later ones wait with the newest details, and ride on a failure");
    struct backend_task *k = give_activity("a1", 10 * NS_PER_S);
    CHECK(str_eqz(k->activity_type, "act") && k->idempotency_key.n == 32 &&
          k->heartbeat_ns == 10 * NS_PER_S);
    b->ops->heartbeat(b, k->token, one, on_answer, &g);
    b->ops->heartbeat(b, k->token, two, on_answer, &h);
    b->ops->heartbeat(b, k->token, three, on_answer, &h);
    turn();
    CHECK_INT(waiting("RecordActivityTaskHeartbeat"), 1);
    CHECK_INT(h.n, 2);
    answer("RecordActivityTaskHeartbeat", 0, "", beat(false, false));
    CHECK(g.n == 1 && !g.a.cancel_requested);
    struct backend_activity_completion c = {.kind = ACT_FAILED, .failure = f};
    b->ops->complete_activity(b, k->token, &c, on_answer, &g);
    Pb__RespondActivityTaskFailedRequest *q =
        request("RespondActivityTaskFailed", &pb__respond_activity_task_failed_request__descriptor);
    CHECK(q->last_heartbeat_details && q->last_heartbeat_details->payloads[0]->data.data[0] == '3');
    answer("RespondActivityTaskFailed", 0, "", STR(""));
    CHECK(g.n == 2 && g.a.kind == BACKEND_OK);
    task_drop(k);

    CASE("a heartbeat that is still on its way rides on the failure too");
    k = give_activity("a1b", 10 * NS_PER_S);
    b->ops->heartbeat(b, k->token, one, on_answer, &h);
    b->ops->complete_activity(b, k->token, &c, on_answer, &g);
    q = request("RespondActivityTaskFailed", &pb__respond_activity_task_failed_request__descriptor);
    CHECK(q->last_heartbeat_details && q->last_heartbeat_details->payloads[0]->data.data[0] == '1');
    answer("RespondActivityTaskFailed", 0, "", STR(""));
    answer("RecordActivityTaskHeartbeat", STATUS_NOT_FOUND, "gone", STR(""));
    task_drop(k);
    g.n = 2;

    CASE("the timer sends the last one, and a cancellation reaches the worker once");
    k = give_activity("a2", 50 * NS_PER_MS);
    b->ops->heartbeat(b, k->token, one, on_answer, &g);
    answer("RecordActivityTaskHeartbeat", 0, "", beat(false, false));
    b->ops->heartbeat(b, k->token, two, on_answer, &g);
    while (!waiting("RecordActivityTaskHeartbeat"))
        loop_turn(loop, -1);
    answer("RecordActivityTaskHeartbeat", 0, "", beat(true, false));
    CHECK(n_cancels == 1 && cancel_why == BACKEND_CANCEL_REQUESTED);
    b->ops->heartbeat(b, k->token, three, on_answer, &h);
    while (!waiting("RecordActivityTaskHeartbeat"))
        loop_turn(loop, -1);
    answer("RecordActivityTaskHeartbeat", 0, "", beat(true, false));
    CHECK_INT(n_cancels, 1);
    CASE("an attempt that was asked to stop ends as cancelled");
    c = (struct backend_activity_completion){.kind = ACT_CANCELED};
    b->ops->complete_activity(b, k->token, &c, on_answer, &g);
    answer("RespondActivityTaskCanceled", 0, "", STR(""));
    task_drop(k);
    CASE("one that was not, or was paused, ends as failed");
    k = give_activity("a3", 10 * NS_PER_S);
    b->ops->complete_activity(b, k->token, &c, on_answer, &g);
    answer("RespondActivityTaskFailed", 0, "", STR(""));
    task_drop(k);
    k = give_activity("a4", 10 * NS_PER_S);
    g = (struct got){0};
    b->ops->heartbeat(b, k->token, one, on_answer, &g);
    answer("RecordActivityTaskHeartbeat", 0, "", beat(false, true));
    CHECK(g.a.cancel_requested && g.a.cancel_reason == BACKEND_CANCEL_PAUSED);
    b->ops->complete_activity(b, k->token, &c, on_answer, &g);
    answer("RespondActivityTaskFailed", 0, "", STR(""));
    task_drop(k);
    CASE("one that is gone needs no answer; later words of it are the server's to refuse");
    k = give_activity("a5", 10 * NS_PER_S);
    b->ops->heartbeat(b, k->token, one, on_answer, &g);
    answer("RecordActivityTaskHeartbeat", STATUS_NOT_FOUND, "gone", STR(""));
    CHECK_INT(g.a.kind, BACKEND_STALE);
    CHECK(!t->worker->all_acts);
    task_drop(k);
    CASE("left open for somebody else");
    k = give_activity("a6", 10 * NS_PER_S);
    c = (struct backend_activity_completion){.kind = ACT_ASYNC};
    g = (struct got){0};
    b->ops->complete_activity(b, k->token, &c, on_answer, &g);
    turn();
    CHECK(g.n == 1 && !t->worker->all_acts && !waiting("RespondActivityTaskCompleted"));
    c = (struct backend_activity_completion){.kind = ACT_COMPLETED, .result = one};
    b->ops->complete_activity(b, k->token, &c, on_answer, &g);
    answer("RespondActivityTaskCompleted", 0, "", STR(""));
    CHECK_INT(g.n, 2);
    task_drop(k);
    CASE("what still runs at the end is given back");
    k = give_activity("a7", 10 * NS_PER_S);
    bool shut = false;
    b->ops->shutdown(b, on_shut, &shut);
    q = request("RespondActivityTaskFailed", &pb__respond_activity_task_failed_request__descriptor);
    CHECK_STR(q->failure->application_failure_info->type, "WorkerShutdown");
    CHECK(!q->failure->application_failure_info->non_retryable);
    task_drop(k);
    while (wire_first)
        answer(wire_first->path, 0, "", STR(""));
    while (!shut)
        loop_turn(loop, -1);
    temporal_close(b);
    arena_free(&scratch);
    turn();
}

/* Every allocation of a task's life fails once: nothing is lost but the task, and who waits for an
 * answer gets one. */
static void test_memory(void)
{
    CASE("each allocation fails once");
    long failed = 0;
    for (long n = 1;; n++) {
        struct got g = {0}, h = {0};
        up(50, 50);
        struct str wft = workflow_task(
            (struct wft){.token = "m1", .page = "a", .started = 5, .history = history(1, 3)});
        struct str rest = page(history(4, 5), NULL), act = activity_task("m2", NS_PER_S),
                   beats = beat(false, false);
        struct rec *details = payloads_of_json(&scratch, STR("1"));
        long before = mem_alloc_count();
        mem_fail_at(n, false);
        answer("PollWorkflowTaskQueue", 0, "", wft);
        if (waiting("GetWorkflowExecutionHistory"))
            answer("GetWorkflowExecutionHistory", 0, "", rest);
        answer("PollActivityTaskQueue", 0, "", act);
        int asked = 0, beaten = 0;
        for (int i = 0; i < n_tasks; i++) {
            if (tasks[i]->kind == BACKEND_WORKFLOW_TASK) {
                const struct backend_workflow_completion c = {0};
                asked++;
                b->ops->complete_workflow(b, tasks[i]->token, &c, on_answer, &g);
                if (waiting("RespondWorkflowTaskCompleted"))
                    answer("RespondWorkflowTaskCompleted", 0, "", STR(""));
            } else {
                const struct backend_activity_completion c = {.kind = ACT_COMPLETED,
                                                              .result = details};
                asked++, beaten += 2;
                b->ops->heartbeat(b, tasks[i]->token, details, on_answer, &h);
                b->ops->heartbeat(b, tasks[i]->token, details, on_answer, &h);
                if (waiting("RecordActivityTaskHeartbeat"))
                    answer("RecordActivityTaskHeartbeat", 0, "", beats);
                b->ops->complete_activity(b, tasks[i]->token, &c, on_answer, &g);
                if (waiting("RespondActivityTaskCompleted"))
                    answer("RespondActivityTaskCompleted", 0, "", STR(""));
            }
        }
        long used = mem_alloc_count() - before;
        mem_fail_at(0, false);
        turn();
        CHECK_INT(g.n, asked);
        CHECK_INT(h.n, beaten);
        failed += n_tasks < 2;
        down();
        if (n > used) break;
    }
    CHECK(failed > 5);
}

int main(void)
{
    struct err e;
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    test_slots();
    test_tasks();
    test_eager();
    test_large();
    test_versions();
    test_pages();
    test_activities();
    test_memory();
    loop_close(loop);
    return CHECK_DONE();
}
