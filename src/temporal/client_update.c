/* Updates. The server holds a request for twenty seconds at most and then says how far it came: not
 * even accepted, and it is asked again with the same update id; accepted but not done, and its
 * outcome is polled for. */
#include "temporal/client_internal.h"

struct update {
    struct backend_target target;
    struct str id;
    const char *method; /* of the first request, which may be sent again */
    struct str bytes;
    bool wait;  /* until it is done */
    bool multi; /* started in the same request: the answer has both */
};

static PbUpdate__WaitPolicy *wait_policy(struct arena *a, bool completed)
{
    PbUpdate__WaitPolicy *w = bridge_new(a, PbUpdate__WaitPolicy, pb_update__wait_policy);
    w->lifecycle_stage =
        completed
            ? PB__UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE__UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
            : PB__UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE__UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED;
    return w;
}

static Pb__UpdateWorkflowExecutionRequest *update_request(struct call *c, struct arena *a,
                                                          const struct update *u, struct str name,
                                                          const struct rec *args)
{
    Pb__UpdateWorkflowExecutionRequest *q =
        bridge_new(a, Pb__UpdateWorkflowExecutionRequest, pb__update_workflow_execution_request);
    PbUpdate__Request *r = bridge_new(a, PbUpdate__Request, pb_update__request);
    PbUpdate__Meta *meta = bridge_new(a, PbUpdate__Meta, pb_update__meta);
    PbUpdate__Input *input = bridge_new(a, PbUpdate__Input, pb_update__input);
    meta->update_id = bridge_text(a, u->id);
    meta->identity = bridge_text(a, str_of(c->t->identity));
    input->name = bridge_text(a, name);
    input->args = call_payloads(a, args);
    r->meta = meta;
    r->input = input;
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->workflow_execution = call_execution(a, &u->target);
    q->wait_policy = wait_policy(a, u->wait);
    q->request = r;
    return q;
}

static void answer_outcome(struct call *c, const struct rec *outcome, struct str run_id)
{
    struct backend_reply r = {.run_id = run_id,
                              .result = rec_msg(outcome, T(update_outcome, success)),
                              .failure = rec_msg(outcome, T(update_outcome, failure))};
    call_reply(c, &r);
}

static int read_multi(struct call *c, struct str bytes, struct err *e);

static int read_polled(struct call *c, struct str bytes, struct err *e);

static void poll_outcome(struct call *c)
{
    struct update *u = c->state;
    struct arena *a = call_turn(c);
    Pb__PollWorkflowExecutionUpdateRequest *q = bridge_new(
        a, Pb__PollWorkflowExecutionUpdateRequest, pb__poll_workflow_execution_update_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    PbUpdate__UpdateRef *ref = bridge_new(a, PbUpdate__UpdateRef, pb_update__update_ref);
    ref->workflow_execution = call_execution(a, &u->target);
    ref->update_id = bridge_text(a, u->id);
    q->update_ref = ref;
    q->identity = bridge_text(a, str_of(c->t->identity));
    q->wait_policy = wait_policy(a, true);
    call_send(c, METHOD("PollWorkflowExecutionUpdate"), q, read_polled);
}

static int read_polled(struct call *c, struct str bytes, struct err *e)
{
    struct update *u = c->state;
    struct bridge_part outcome = {.tag = 1, .type = &rec_type_update_outcome};
    Pb__PollWorkflowExecutionUpdateResponse *m;
    int rc = call_read(c, &pb__poll_workflow_execution_update_response__descriptor, bytes, &outcome,
                       1, &m, e);
    if (rc) return rc;
    if (outcome.n)
        answer_outcome(c, outcome.recs[0], u->target.run_id);
    else
        poll_outcome(c);
    return 0;
}

static int read_update(struct call *c, struct str bytes, struct err *e)
{
    struct update *u = c->state;
    struct bridge_part outcome = {.tag = 2, .type = &rec_type_update_outcome};
    Pb__UpdateWorkflowExecutionResponse *m;
    int rc = call_read(c, &pb__update_workflow_execution_response__descriptor, bytes, &outcome, 1,
                       &m, e);
    if (rc) return rc;
    if (m->update_ref && m->update_ref->workflow_execution)
        u->target.run_id = arena_str(&c->arena, str_of(m->update_ref->workflow_execution->run_id));
    bool accepted =
        m->stage >=
        PB__UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE__UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED;
    if (outcome.n) {
        answer_outcome(c, outcome.recs[0], u->target.run_id);
    } else if (!accepted) {
        call_turn(c);
        call_send_bytes(c, u->method, u->bytes, u->multi ? read_multi : read_update);
    } else if (u->wait) {
        poll_outcome(c);
    } else {
        struct backend_reply r = {.run_id = u->target.run_id};
        call_reply(c, &r);
    }
    return 0;
}

/* A multi-operation's answer holds the start's and the update's. */
static int read_multi(struct call *c, struct str bytes, struct err *e)
{
    struct bridge_part responses = {.tag = 1};
    void *m;
    int rc = call_read(c, &pb__execute_multi_operation_response__descriptor, bytes, &responses, 1,
                       &m, e);
    if (rc) return rc;
    struct bridge_part update = {.tag = 2};
    for (size_t i = 0; i < responses.n && !update.n; i++)
        rc = rc ? rc
                : call_read(c, &pb__execute_multi_operation_response__response__descriptor,
                            responses.raw[i], &update, 1, &m, e);
    if (rc) return rc;
    if (!update.n) return err_set(e, ERR_PROTO, "the server answered without the update's answer");
    return read_update(c, update.raw[0], e);
}

static struct update *new_update(struct call *c, const struct backend_target *t, struct str id,
                                 enum backend_update_stage wait)
{
    struct update *u = arena_alloc(&c->arena, sizeof *u);
    if (!u) return NULL;
    u->target = call_keep(c, t);
    u->id = arena_str(&c->arena, str_of(call_request_id(c, call_arena(c), id)));
    u->wait = wait == UPDATE_COMPLETED;
    c->state = u;
    c->long_poll = true;
    return u;
}

static void send_first(struct call *c, const char *method, const void *request, call_read_fn read)
{
    struct update *u = c->state;
    u->method = method;
    struct err e = {0};
    u->bytes = arena_str(&c->arena, call_pack(c->t, call_arena(c), request, &e));
    if (e.code)
        call_fail_later(c, e.code, "%s", e.text);
    else
        call_send_bytes(c, method, u->bytes, read);
}

void client_update(struct backend *b, const struct backend_target *t, struct str update_id,
                   struct str name, const struct rec *args, enum backend_update_stage wait,
                   backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "update workflow", t->workflow_id);
    if (!c) return;
    struct arena *a = call_turn(c);
    struct update *u = new_update(c, t, update_id, wait);
    if (u && !name.n && update_id.n)
        poll_outcome(c);
    else if (u)
        send_first(c, METHOD("UpdateWorkflowExecution"), update_request(c, a, u, name, args),
                   read_update);
    else
        call_fail_later(c, ERR_NOMEM, "out of memory");
}

void client_update_with_start(struct backend *b, const struct backend_start *s,
                              struct str update_id, struct str name, const struct rec *args,
                              enum backend_update_stage wait, backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "start and update workflow", s->workflow_id);
    if (!c) return;
    struct arena *a = call_turn(c);
    struct backend_target t = {s->workflow_id, {NULL, 0}};
    struct update *u = new_update(c, &t, update_id, wait);
    Pb__ExecuteMultiOperationRequest *q =
        bridge_new(a, Pb__ExecuteMultiOperationRequest, pb__execute_multi_operation_request);
    q->operations = bridge_array(a, 2);
    if (!u || !q->operations) {
        call_fail_later(c, ERR_NOMEM, "out of memory");
        return;
    }
    for (q->n_operations = 0; q->n_operations < 2; q->n_operations++)
        q->operations[q->n_operations] = bridge_new(a, Pb__ExecuteMultiOperationRequest__Operation,
                                                    pb__execute_multi_operation_request__operation);
    q->operations[0]->operation_case =
        PB__EXECUTE_MULTI_OPERATION_REQUEST__OPERATION__OPERATION_START_WORKFLOW;
    q->operations[0]->start_workflow = client_start_request(c, a, s);
    q->operations[1]->operation_case =
        PB__EXECUTE_MULTI_OPERATION_REQUEST__OPERATION__OPERATION_UPDATE_WORKFLOW;
    q->operations[1]->update_workflow = update_request(c, a, u, name, args);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    c->refused = client_start_refused;
    u->multi = true;
    send_first(c, METHOD("ExecuteMultiOperation"), q, read_multi);
}
