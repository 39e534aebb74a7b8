/* Starting: start, signal-with-start, and the start half of update-with-start. */
#include "base/mem.h"
#include "temporal/client_internal.h"
#include "temporal/worker_half.h"

static Pb__WorkflowIdReusePolicy reuse_of(const struct backend_start *s)
{
    static const Pb__WorkflowIdReusePolicy by[] = {
        [ID_REUSE_ALLOW] = PB__WORKFLOW_ID_REUSE_POLICY__WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
        [ID_REUSE_FAILED_ONLY] =
            PB__WORKFLOW_ID_REUSE_POLICY__WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
        [ID_REUSE_REJECT] =
            PB__WORKFLOW_ID_REUSE_POLICY__WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE};
    return by[s->on_closed];
}

static Pb__WorkflowIdConflictPolicy conflict_of(const struct backend_start *s)
{
    static const Pb__WorkflowIdConflictPolicy by[] = {
        [ID_CONFLICT_FAIL] = PB__WORKFLOW_ID_CONFLICT_POLICY__WORKFLOW_ID_CONFLICT_POLICY_FAIL,
        [ID_CONFLICT_USE_EXISTING] =
            PB__WORKFLOW_ID_CONFLICT_POLICY__WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
        [ID_CONFLICT_TERMINATE] =
            PB__WORKFLOW_ID_CONFLICT_POLICY__WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING};
    return by[s->on_open];
}

static PbTaskqueue__TaskQueue *queue_of(struct arena *a, struct str name)
{
    PbTaskqueue__TaskQueue *q = bridge_new(a, PbTaskqueue__TaskQueue, pb_taskqueue__task_queue);
    q->name = bridge_text(a, name);
    q->kind = PB__TASK_QUEUE_KIND__TASK_QUEUE_KIND_NORMAL;
    return q;
}

static PbCommon__WorkflowType *type_of(struct arena *a, struct str name)
{
    PbCommon__WorkflowType *w = bridge_new(a, PbCommon__WorkflowType, pb_common__workflow_type);
    w->name = bridge_text(a, name);
    return w;
}

/* The members that both requests have under the same names. */
#define FILL_START(q, c, a, s)                                                                     \
    do {                                                                                           \
        struct str who = (s)->identity.n ? (s)->identity : str_of((c)->t->identity);               \
        (q)->namespace_ = bridge_text(a, str_of((c)->t->ns));                                      \
        (q)->workflow_id = bridge_text(a, (s)->workflow_id);                                       \
        (q)->workflow_type = type_of(a, (s)->workflow_type);                                       \
        (q)->task_queue = queue_of(a, (s)->task_queue);                                            \
        (q)->input = call_payloads(a, (s)->input);                                                 \
        (q)->workflow_execution_timeout = bridge_duration(a, (s)->execution_timeout_ns);           \
        (q)->workflow_run_timeout = bridge_duration(a, (s)->run_timeout_ns);                       \
        (q)->workflow_task_timeout = bridge_duration(a, (s)->task_timeout_ns);                     \
        (q)->identity = bridge_text(a, who);                                                       \
        (q)->request_id = call_request_id(c, a, (s)->request_id);                                  \
        (q)->workflow_id_reuse_policy = reuse_of(s);                                               \
        (q)->retry_policy =                                                                        \
            bridge_message(a, &pb_common__retry_policy__descriptor, (s)->retry_policy);            \
        (q)->cron_schedule = bridge_text(a, (s)->cron);                                            \
        (q)->memo = bridge_message(a, &pb_common__memo__descriptor, (s)->memo);                    \
        (q)->search_attributes =                                                                   \
            bridge_message(a, &pb_common__search_attributes__descriptor, (s)->search_attributes);  \
        (q)->header = bridge_message(a, &pb_common__header__descriptor, (s)->header);              \
        (q)->workflow_start_delay = bridge_duration(a, (s)->start_delay_ns);                       \
        (q)->workflow_id_conflict_policy = conflict_of(s);                                         \
        (q)->user_metadata =                                                                       \
            bridge_message(a, &pb_sdk__user_metadata__descriptor, (s)->user_metadata);             \
        (q)->versioning_override = bridge_message(                                                 \
            a, &pb_workflow__versioning_override__descriptor, (s)->versioning_override);           \
        (q)->priority = bridge_message(a, &pb_common__priority__descriptor, (s)->priority);        \
    } while (0)

Pb__StartWorkflowExecutionRequest *client_start_request(struct call *c, struct arena *a,
                                                        const struct backend_start *s)
{
    Pb__StartWorkflowExecutionRequest *q =
        bridge_new(a, Pb__StartWorkflowExecutionRequest, pb__start_workflow_execution_request);
    FILL_START(q, c, a, s);
    return q;
}

static Pb__SignalWithStartWorkflowExecutionRequest *signal_request(struct call *c, struct arena *a,
                                                                   const struct backend_start *s)
{
    Pb__SignalWithStartWorkflowExecutionRequest *q =
        bridge_new(a, Pb__SignalWithStartWorkflowExecutionRequest,
                   pb__signal_with_start_workflow_execution_request);
    FILL_START(q, c, a, s);
    if (s->on_open == ID_CONFLICT_FAIL) /* signals what is open: the server knows no other way */
        q->workflow_id_conflict_policy =
            PB__WORKFLOW_ID_CONFLICT_POLICY__WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
    q->signal_name = bridge_text(a, s->signal_name);
    q->signal_input = call_payloads(a, s->signal_input);
    return q;
}

/* A reserved slot is given back when the start brings no task. */
static void start_dropped(struct call *c)
{
    struct tw_queue *q = c->state;
    if (q) tw_eager_take(c->t->worker, q, (struct str){NULL, 0});
}

static int read_started(struct call *c, struct str bytes, struct err *e)
{
    struct bridge_part eager = {.tag = 2};
    Pb__StartWorkflowExecutionResponse *m;
    int rc =
        call_read(c, &pb__start_workflow_execution_response__descriptor, bytes, &eager, 1, &m, e);
    if (rc) return rc;
    struct tw *w = c->t->worker;
    struct tw_queue *q = c->state;
    struct str task = q && eager.n ? eager.raw[0] : (struct str){NULL, 0};
    char *copy = task.n ? mem_dup(task.p, task.n) : NULL; /* outlives the call */
    if (copy) c->state = NULL;
    struct backend_reply r = {.run_id = str_of(m->run_id), .existing = !m->started};
    call_reply(c, &r);
    if (copy) tw_eager_take(w, q, str_make(copy, task.n));
    mem_free(copy);
    return 0;
}

/* Started here and served here: the server may send the first task with the answer. */
static Pb__StartWorkflowExecutionRequest *start_request(struct call *c, struct arena *a,
                                                        const struct backend_start *s)
{
    Pb__StartWorkflowExecutionRequest *q = client_start_request(c, a, s);
    bool at_once = !s->cron.n && !s->start_delay_ns && !s->versioning_override;
    c->state = at_once && c->t->worker ? tw_eager_reserve(c->t->worker, s->task_queue) : NULL;
    c->dropped = start_dropped;
    q->request_eager_execution = c->state != NULL;
    if (c->state)
        q->eager_worker_deployment_options =
            tw_deployment(a, c->t->worker, ((const struct tw_queue *)c->state)->build);
    return q;
}

static int read_signaled(struct call *c, struct str bytes, struct err *e)
{
    Pb__SignalWithStartWorkflowExecutionResponse *m;
    int rc = call_read(c, &pb__signal_with_start_workflow_execution_response__descriptor, bytes,
                       NULL, 0, &m, e);
    if (rc) return rc;
    struct backend_reply r = {.run_id = str_of(m->run_id), .existing = !m->started};
    call_reply(c, &r);
    return 0;
}

/* The run that has the id is told with the error. */
bool client_start_refused(struct call *c, const struct status *s)
{
    const struct status *b = status_blamed(s);
    if (b->detail != DETAIL_ALREADY_STARTED) return false;
    struct backend_reply r = {.run_id = b->run_id};
    status_err(s, c->doing, str_of(c->t->ns), &r.err);
    call_reply(c, &r);
    return true;
}

void client_start(struct backend *b, const struct backend_start *s, backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "start workflow", s->workflow_id);
    if (!c) return;
    struct arena *a = call_turn(c);
    c->refused = client_start_refused;
    if (s->batch)
        call_fail_later(c, ERR_UNSUPPORTED,
                        "a Temporal server cannot commit a batch together with a start");
    else if (s->signal_name.n)
        call_send(c, METHOD("SignalWithStartWorkflowExecution"), signal_request(c, a, s),
                  read_signaled);
    else
        call_send(c, METHOD("StartWorkflowExecution"), start_request(c, a, s), read_started);
}
