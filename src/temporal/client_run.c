/* One request, one answer: signal, query, cancel, terminate, reset, delete. */
#include "temporal/client_internal.h"

static struct call *call_for(struct backend *b, const struct backend_target *t, const char *what,
                             backend_reply_fn fn, void *ud)
{
    return call_new(temporal_of(b), fn, ud, what, t->workflow_id);
}

void client_signal(struct backend *b, const struct backend_target *t, struct str request_id,
                   struct str name, const struct rec *input, const struct rec *header,
                   struct str identity, backend_reply_fn fn, void *ud)
{
    struct call *c = call_for(b, t, "signal workflow", fn, ud);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__SignalWorkflowExecutionRequest *q =
        bridge_new(a, Pb__SignalWorkflowExecutionRequest, pb__signal_workflow_execution_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->workflow_execution = call_execution(a, t);
    q->signal_name = bridge_text(a, name);
    q->input = call_payloads(a, input);
    q->identity = bridge_text(a, identity.n ? identity : str_of(c->t->identity));
    q->request_id = call_request_id(c, a, request_id);
    q->header = bridge_message(a, &pb_common__header__descriptor, header);
    call_send(c, METHOD("SignalWorkflowExecution"), q, call_read_nothing);
}

/* ---- query ---- */
static int read_query(struct call *c, struct str bytes, struct err *e)
{
    struct bridge_part result = {.tag = 1, .type = &rec_type_payloads};
    Pb__QueryWorkflowResponse *m;
    int rc = call_read(c, &pb__query_workflow_response__descriptor, bytes, &result, 1, &m, e);
    if (rc) return rc;
    struct backend_reply r = {.result = result.n ? result.recs[0] : NULL};
    call_reply(c, &r);
    return 0;
}

static bool query_refused(struct call *c, const struct status *s)
{
    if (s->detail != DETAIL_QUERY_FAILED) return false;
    struct backend_reply r = {.failure = s->failure};
    struct str words = rec_str(s->failure, T(failure, message)); /* decoded, if it was hidden */
    if (!str_eqz(s->message, CODEC_HIDDEN) || !words.n) words = s->message;
    err_set(&r.err, ERR_FAILED, STR_FMT, STR_ARG(words)); /* the handler's own words */
    call_reply(c, &r);
    return true;
}

void client_query(struct backend *b, const struct backend_target *t, struct str type,
                  const struct rec *args, backend_reply_fn fn, void *ud)
{
    struct call *c = call_for(b, t, "query workflow", fn, ud);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__QueryWorkflowRequest *q =
        bridge_new(a, Pb__QueryWorkflowRequest, pb__query_workflow_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->execution = call_execution(a, t);
    PbQuery__WorkflowQuery *query = bridge_new(a, PbQuery__WorkflowQuery, pb_query__workflow_query);
    query->query_type = bridge_text(a, type);
    query->query_args = call_payloads(a, args);
    q->query = query;
    q->query_reject_condition = PB__QUERY_REJECT_CONDITION__QUERY_REJECT_CONDITION_NONE;
    c->refused = query_refused;
    call_send(c, METHOD("QueryWorkflow"), q, read_query);
}

/* ---- ends ---- */
void client_cancel(struct backend *b, const struct backend_target *t, struct str request_id,
                   struct str reason, backend_reply_fn fn, void *ud)
{
    struct call *c = call_for(b, t, "cancel workflow", fn, ud);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__RequestCancelWorkflowExecutionRequest *q =
        bridge_new(a, Pb__RequestCancelWorkflowExecutionRequest,
                   pb__request_cancel_workflow_execution_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->workflow_execution = call_execution(a, t);
    q->identity = bridge_text(a, str_of(c->t->identity));
    q->request_id = call_request_id(c, a, request_id);
    q->reason = bridge_text(a, reason);
    call_send(c, METHOD("RequestCancelWorkflowExecution"), q, call_read_nothing);
}

void client_terminate(struct backend *b, const struct backend_target *t, struct str reason,
                      backend_reply_fn fn, void *ud)
{
    struct call *c = call_for(b, t, "terminate workflow", fn, ud);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__TerminateWorkflowExecutionRequest *q = bridge_new(a, Pb__TerminateWorkflowExecutionRequest,
                                                          pb__terminate_workflow_execution_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->workflow_execution = call_execution(a, t);
    q->identity = bridge_text(a, str_of(c->t->identity));
    q->reason = bridge_text(a, reason);
    call_send(c, METHOD("TerminateWorkflowExecution"), q, call_read_nothing);
}

void client_delete(struct backend *b, const struct backend_target *t, backend_reply_fn fn, void *ud)
{
    struct call *c = call_for(b, t, "delete workflow", fn, ud);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__DeleteWorkflowExecutionRequest *q =
        bridge_new(a, Pb__DeleteWorkflowExecutionRequest, pb__delete_workflow_execution_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->workflow_execution = call_execution(a, t);
    call_send(c, METHOD("DeleteWorkflowExecution"), q, call_read_nothing);
}

static int read_reset(struct call *c, struct str bytes, struct err *e)
{
    Pb__ResetWorkflowExecutionResponse *m;
    int rc =
        call_read(c, &pb__reset_workflow_execution_response__descriptor, bytes, NULL, 0, &m, e);
    if (rc) return rc;
    struct backend_reply r = {.run_id = str_of(m->run_id)};
    call_reply(c, &r);
    return 0;
}

void client_reset(struct backend *b, const struct backend_target *t, int64_t event_id,
                  struct str request_id, struct str reason, backend_reply_fn fn, void *ud)
{
    struct call *c = call_for(b, t, "reset workflow", fn, ud);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__ResetWorkflowExecutionRequest *q =
        bridge_new(a, Pb__ResetWorkflowExecutionRequest, pb__reset_workflow_execution_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->workflow_execution = call_execution(a, t);
    q->reason = bridge_text(a, reason);
    q->workflow_task_finish_event_id = event_id;
    q->request_id = call_request_id(c, a, request_id);
    q->identity = bridge_text(a, str_of(c->t->identity));
    if (event_id > 0)
        call_send(c, METHOD("ResetWorkflowExecution"), q, read_reset);
    else
        call_fail_later(c, ERR_ARG,
                        "reset needs the id of a WorkflowTaskCompleted or WorkflowTaskStarted "
                        "event to go back to");
}
