/* The channel and its retries against a real server: start-up calls, a bad namespace, and polls
 * through a GOAWAY every few seconds, of which not one task may be lost. */
#include "base/clock.h"
#include "check.h"
#include "temporal/bridge.h"
#include "temporal/proto/workflowservice.pb-c.h"
#include "temporal/rpc.h"
#include "temporal/status.h"
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVICE "/temporal.api.workflowservice.v1.WorkflowService/"
enum { POLLERS = 20 };

static struct loop *loop;
static struct channel *channel;
static struct rpc *rpc;

/* ---- requests ---- */
static uint64_t call(const char *method, const void *request, struct arena *a,
                     const struct rpc_options *o, rpc_fn fn, void *ud)
{
    struct err e;
    uint64_t id;
    struct str bytes = bridge_pack(a, request);
    CHECK(bytes.p);
    if (rpc_call(rpc, method, bytes, o, fn, ud, &id, &e)) {
        fprintf(stderr, "%s\n", e.text);
        CHECK(false);
    }
    return id;
}

struct got {
    bool done;
    int code;
    struct buf text, details, body;
};
static void on_reply(void *ud, const struct rpc_reply *r)
{
    struct got *g = ud;
    g->done = true;
    g->code = r->r.code;
    buf_putstr(&g->text, r->r.message);
    buf_putstr(&g->details, r->r.details);
    buf_putstr(&g->body, r->r.body);
}
static struct got run(const char *method, const void *request, struct arena *a)
{
    struct got g = {0};
    const struct rpc_options o = {.ns = STR("default")};
    buf_init(&g.text, 1u << 20);
    buf_init(&g.details, 1u << 20);
    buf_init(&g.body, 1u << 20);
    call(method, request, a, &o, on_reply, &g);
    while (!g.done)
        loop_turn(loop, -1);
    return g;
}
static void got_free(struct got *g)
{
    buf_free(&g->text);
    buf_free(&g->details);
    buf_free(&g->body);
}

static void up(const char *address)
{
    struct err e;
    const struct channel_options o = {.address = str_of(address)};
    CHECK_INT(channel_open(loop, &o, &channel, &e), 0);
    CHECK_INT(rpc_open(loop, channel, NULL, &rpc, &e), 0);
}
static void down(void)
{
    rpc_close(rpc);
    channel_close(channel);
}

static void test_start_up(void)
{
    struct arena a;
    arena_init(&a, 0);
    CASE("GetSystemInfo");
    struct got g = run(SERVICE "GetSystemInfo",
                       bridge_new(&a, Pb__GetSystemInfoRequest, pb__get_system_info_request), &a);
    CHECK_INT(g.code, 0);
    Pb__GetSystemInfoResponse *info;
    CHECK_INT(bridge_read(&a, &pb__get_system_info_response__descriptor, buf_str(&g.body), NULL, 0,
                          &info, NULL),
              0);
    printf("server %s\n", info->server_version);
    CHECK(info->server_version[0] && info->capabilities && info->capabilities->sdk_metadata);
    got_free(&g);

    CASE("DescribeNamespace, and one that is missing");
    Pb__DescribeNamespaceRequest *d =
        bridge_new(&a, Pb__DescribeNamespaceRequest, pb__describe_namespace_request);
    d->namespace_ = bridge_text(&a, STR("default"));
    g = run(SERVICE "DescribeNamespace", d, &a);
    CHECK_INT(g.code, 0);
    Pb__DescribeNamespaceResponse *ns;
    CHECK_INT(bridge_read(&a, &pb__describe_namespace_response__descriptor, buf_str(&g.body), NULL,
                          0, &ns, NULL),
              0);
    CHECK_STR(ns->namespace_info->name, "default");
    got_free(&g);
    d->namespace_ = bridge_text(&a, STR("no-such-namespace"));
    g = run(SERVICE "DescribeNamespace", d, &a);
    struct status s;
    CHECK_INT(g.code, STATUS_NOT_FOUND);
    CHECK_INT(status_read(&a, g.code, buf_str(&g.text), buf_str(&g.details), &s), 0);
    CHECK_INT(s.detail, DETAIL_NAMESPACE_NOT_FOUND);
    got_free(&g);

    CASE("a method that does not exist");
    g = run(SERVICE "NoSuchMethod", d, &a);
    CHECK_INT(g.code, STATUS_UNIMPLEMENTED);
    got_free(&g);
    arena_free(&a);
}

/* ---- a worker of the simplest kind ---- */
struct storm {
    char queue[60];
    struct loop_timer *timer;
    int started, answered, tasks, completed, retries, failures, later;
    int64_t end_ns;
    int polls;
};
static void poll(struct storm *s);

static void on_retry(void *ud, const struct channel_reply *r, int tries, int64_t wait_ns)
{
    struct storm *s = ud;
    (void)wait_ns;
    s->retries++;
    fprintf(stderr, "try %d: %d " STR_FMT "\n", tries, r->code, STR_ARG(r->message));
}

static void on_completed(void *ud, const struct rpc_reply *r)
{
    struct storm *s = ud;
    if (r->r.code) {
        fprintf(stderr, "completion: %d " STR_FMT "\n", r->r.code, STR_ARG(r->r.message));
        s->failures++;
    }
    s->completed++;
}

static void complete(struct storm *s, const Pb__PollWorkflowTaskQueueResponse *task)
{
    struct arena a;
    arena_init(&a, 0);
    Pb__RespondWorkflowTaskCompletedRequest *q = bridge_new(
        &a, Pb__RespondWorkflowTaskCompletedRequest, pb__respond_workflow_task_completed_request);
    PbCommand__Command *c = bridge_new(&a, PbCommand__Command, pb_command__command);
    c->command_type = PB__COMMAND_TYPE__COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION;
    c->attributes_case =
        PB_COMMAND__COMMAND__ATTRIBUTES_COMPLETE_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES;
    c->complete_workflow_execution_command_attributes =
        bridge_new(&a, PbCommand__CompleteWorkflowExecutionCommandAttributes,
                   pb_command__complete_workflow_execution_command_attributes);
    q->commands = bridge_array(&a, 1);
    q->commands[0] = c;
    q->n_commands = 1;
    q->task_token = task->task_token;
    q->namespace_ = bridge_text(&a, STR("default"));
    q->identity = bridge_text(&a, STR("test"));
    const struct rpc_options o = {.ns = STR("default"), .on_retry = on_retry};
    call(SERVICE "RespondWorkflowTaskCompleted", q, &a, &o, on_completed, s);
    arena_free(&a);
}

static void on_polled(void *ud, const struct rpc_reply *r)
{
    struct storm *s = ud;
    struct arena a;
    s->polls--;
    CHECK_INT(r->r.code, 0);
    Pb__PollWorkflowTaskQueueResponse *task;
    arena_init(&a, 0);
    CHECK_INT(bridge_read(&a, &pb__poll_workflow_task_queue_response__descriptor, r->r.body, NULL,
                          0, &task, NULL),
              0);
    if (task->task_token.len) {
        s->tasks++;
        s->later += task->attempt > 1; /* an earlier attempt went to a poll that was lost */
        complete(s, task);
    }
    arena_free(&a);
    poll(s);
}

static void poll(struct storm *s)
{
    struct arena a;
    arena_init(&a, 0);
    Pb__PollWorkflowTaskQueueRequest *q =
        bridge_new(&a, Pb__PollWorkflowTaskQueueRequest, pb__poll_workflow_task_queue_request);
    q->namespace_ = bridge_text(&a, STR("default"));
    q->task_queue = bridge_new(&a, PbTaskqueue__TaskQueue, pb_taskqueue__task_queue);
    q->task_queue->name = bridge_text(&a, str_of(s->queue));
    q->identity = bridge_text(&a, STR("test"));
    const struct rpc_options o = {.class = RPC_POLL, .ns = STR("default"), .on_retry = on_retry};
    call(SERVICE "PollWorkflowTaskQueue", q, &a, &o, on_polled, s);
    s->polls++;
    arena_free(&a);
}

static void on_started(void *ud, const struct rpc_reply *r)
{
    struct storm *s = ud;
    if (r->r.code) {
        fprintf(stderr, "start: %d " STR_FMT "\n", r->r.code, STR_ARG(r->r.message));
        s->failures++;
    }
    s->answered++;
}

static void start_one(void *ud)
{
    struct storm *s = ud;
    struct arena a;
    char id[100];
    if (clock_mono(&clock_system) >= s->end_ns) return;
    loop_timer_start(s->timer, 50 * NS_PER_MS);
    arena_init(&a, 0);
    snprintf(id, sizeof id, "%s-%d", s->queue, s->started++);
    Pb__StartWorkflowExecutionRequest *q =
        bridge_new(&a, Pb__StartWorkflowExecutionRequest, pb__start_workflow_execution_request);
    q->namespace_ = bridge_text(&a, STR("default"));
    q->workflow_id = q->request_id = bridge_text(&a, str_of(id));
    q->workflow_type = bridge_new(&a, PbCommon__WorkflowType, pb_common__workflow_type);
    q->workflow_type->name = bridge_text(&a, STR("nothing"));
    q->task_queue = bridge_new(&a, PbTaskqueue__TaskQueue, pb_taskqueue__task_queue);
    q->task_queue->name = bridge_text(&a, str_of(s->queue));
    const struct rpc_options o = {.ns = STR("default"), .on_retry = on_retry};
    call(SERVICE "StartWorkflowExecution", q, &a, &o, on_started, s);
    arena_free(&a);
}

static void test_goaway(int seconds)
{
    struct storm s = {.end_ns = clock_mono(&clock_system) + seconds * NS_PER_S};
    CASE("20 polls through a GOAWAY every three seconds lose nothing");
    snprintf(s.queue, sizeof s.queue, "goaway-%d", (int)getpid());
    CHECK_INT(loop_timer_open(loop, start_one, &s, &s.timer), 0);
    for (int i = 0; i < POLLERS; i++)
        poll(&s);
    start_one(&s);
    int64_t limit = s.end_ns + 120 * NS_PER_S;
    while (clock_mono(&clock_system) < limit && (clock_mono(&clock_system) < s.end_ns ||
                                                 s.answered < s.started || s.completed < s.started))
        loop_turn(loop, NS_PER_S);
    struct channel_counts n;
    channel_count(channel, &n);
    printf("%d s: %d workflows started, %d tasks, %d completed, %d tasks of a later attempt, "
           "%d retries, %d failures, %llu connections\n",
           seconds, s.started, s.tasks, s.completed, s.later, s.retries, s.failures,
           (unsigned long long)n.connects);
    CHECK_INT(s.completed, s.started);
    CHECK_INT(s.tasks, s.started);
    CHECK_INT(s.later, 0);
    CHECK_INT(s.failures, 0);
    CHECK_INT(s.polls, POLLERS);
    CHECK((int)n.connects >= seconds / 3); /* the server did send them */
    loop_timer_close(s.timer);
}

/* A server of our own for one test; it ends with the pipe. */
static pid_t own_server(char *address, size_t room, int *in)
{
    int to[2], from[2];
    CHECK(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execl(ML_TEST_TEMPORAL_SERVER, ML_TEST_TEMPORAL_SERVER, "run", "--dynamic-config-value",
              "frontend.keepAliveMaxConnectionAge=\"3s\"", (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    *in = to[1];
    FILE *f = fdopen(from[0], "r");
    CHECK(f && fgets(address, (int)room, f));
    fclose(f);
    address[strcspn(address, "\n")] = '\0';
    return pid;
}

int main(int argc, char **argv)
{
    struct err e;
    char address[100];
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    FILE *f = fopen(getenv("MOONLOOP_TEMPORAL") ? getenv("MOONLOOP_TEMPORAL") : "", "r");
    if (!f || !fgets(address, sizeof address, f)) {
        fprintf(stderr, "MOONLOOP_TEMPORAL must name the file with the server's address\n");
        return 1;
    }
    fclose(f);
    address[strcspn(address, "\n")] = '\0';
    up(address);
    test_start_up();
    down();
    int in;
    pid_t pid = own_server(address, sizeof address, &in);
    up(address);
    test_goaway(argc > 1 ? atoi(argv[1]) : 30);
    down();
    close(in);
    CHECK(waitpid(pid, NULL, 0) == pid);
    loop_close(loop);
    return CHECK_DONE();
}
