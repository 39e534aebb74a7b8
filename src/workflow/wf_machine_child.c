/* Child workflows, and signals and cancel requests to other workflows.
 *
 * A child has two futures (start, result). Cancelling it before its command was sent withdraws the
 * command; afterwards a RequestCancelExternalWorkflowExecution goes out as an operation of its own,
 * whose answers only the type CANCEL_WAIT_REQUESTED looks at. Late events of children that were
 * resolved here are swallowed. */
#include "workflow/wf_machine.h"

#define A(r) (&(r)->machines->cmds->arena)

/* ---- children ---- */
static struct rec *child_failure(struct wf_run *r, struct wf_op *op, int retry_state,
                                 struct rec *cause)
{
    return failure_child(A(r), op->op_id, op->run_id, op->name, op->event_id, op->started_event_id,
                         retry_state, cause);
}

static void child_fail(struct wf_run *r, struct wf_op *op, int retry_state, struct rec *cause,
                       bool canceled)
{
    struct rec *f = child_failure(r, op, retry_state, cause);
    if (op->started) wf_future_fail(r, op->started, f, canceled); /* ignored when it has started */
    if (op->future) wf_future_fail(r, op->future, f, canceled);
    wf_op_finish(r, op);
}

static void child_canceled(struct wf_run *r, struct wf_op *op, struct rec *details)
{
    child_fail(r, op, RETRY_STATE_CANCEL_REQUESTED,
               failure_canceled(A(r), STR("child workflow canceled"), details), true);
}

static void child_timeouts(struct rec *at, const struct wf_child_opts *o)
{
    if (o->execution_timeout_ns)
        rec_set_int(at, T(cmd_start_child_workflow_execution, workflow_execution_timeout),
                    o->execution_timeout_ns);
    if (o->run_timeout_ns)
        rec_set_int(at, T(cmd_start_child_workflow_execution, workflow_run_timeout),
                    o->run_timeout_ns);
    if (o->task_timeout_ns)
        rec_set_int(at, T(cmd_start_child_workflow_execution, workflow_task_timeout),
                    o->task_timeout_ns);
}

static int child_command(struct wf_run *r, struct wf_op *op, const struct wf_child_opts *o)
{
    struct rec *at;
    struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION, op, &at);
    if (!c) return ERR_LIMIT;
    op->cmd = c;
    struct rec *input = o->input ? rec_clone(A(r), o->input) : NULL;
    rec_set_copy(at, T(cmd_start_child_workflow_execution, workflow_id), op->op_id);
    rec_set_copy(rec_sub(at, T(cmd_start_child_workflow_execution, workflow_type)),
                 T(workflow_type, name), op->name);
    struct rec *queue = rec_sub(at, T(cmd_start_child_workflow_execution, task_queue));
    rec_set_copy(queue, T(task_queue, name), o->task_queue.n ? o->task_queue : r->info.task_queue);
    rec_set_int(queue, T(task_queue, kind), TASK_QUEUE_KIND_NORMAL);
    rec_set_msg(at, T(cmd_start_child_workflow_execution, input), input);
    child_timeouts(at, o);
    rec_set_int(at, T(cmd_start_child_workflow_execution, parent_close_policy),
                o->parent_close_policy ? o->parent_close_policy : PARENT_CLOSE_POLICY_TERMINATE);
    rec_set_int(at, T(cmd_start_child_workflow_execution, workflow_id_reuse_policy),
                o->id_reuse_policy);
    rec_set_copy(at, T(cmd_start_child_workflow_execution, cron_schedule), o->cron);
    if (o->retry_policy)
        rec_set_msg(at, T(cmd_start_child_workflow_execution, retry_policy),
                    rec_clone(A(r), o->retry_policy));
    if (o->memo)
        rec_set_msg(at, T(cmd_start_child_workflow_execution, memo), rec_clone(A(r), o->memo));
    if (o->search_attributes)
        rec_set_msg(at, T(cmd_start_child_workflow_execution, search_attributes),
                    rec_clone(A(r), o->search_attributes));
    rec_set_msg(at, T(cmd_start_child_workflow_execution, header), wf_header_for_child(r, A(r)));
    wf_summary(r, c, o->summary);
    wf_cmd_identity(r, c, op->op_id, op->name, input);
    return 0;
}

static bool child_id_open(struct wf_run *r, struct str id)
{
    for (struct wf_op *op = r->machines->first_op; op; op = op->next) {
        if (op->kind == OP_CHILD && op->state != OP_DONE && str_eq(op->op_id, id)) return true;
    }
    return false;
}

int wf_op_child(struct wf_run *r, const struct wf_child_opts *o, uint64_t started, uint64_t result,
                struct str *id, struct err *e)
{
    int rc = wf_op_guard(r, e);
    if (rc) return rc;
    if (!wf_payloads_fit(r, o->input, "the input of a child workflow", e)) return ERR_LIMIT;
    if (o->workflow_id.n && child_id_open(r, o->workflow_id))
        return err_set(e, ERR_EXISTS, "a child with the id \"" STR_FMT "\" is open",
                       STR_ARG(o->workflow_id));
    struct wf_op *op = wf_op_new(r, OP_CHILD, result, e);
    if (!op) return ERR_NOMEM;
    struct wf_future *f = started ? wf_future_get(r, started) : NULL;
    if (f) f->op = op->id;
    op->started = started;
    op->cancel = o->cancel;
    op->name = arena_str(&r->keep, o->workflow_type);
    if (o->workflow_id.n) {
        op->op_id = arena_str(&r->keep, o->workflow_id);
    } else {
        char uuid[37];
        rng_uuid(&r->machines->id_rng, uuid);
        op->op_id = arena_str(&r->keep, str_of(uuid));
    }
    if (child_command(r, op, o)) rc = err_set(e, ERR_LIMIT, "cannot start one more child workflow");
    if (rc)
        wf_op_finish(r, op);
    else
        *id = op->op_id;
    return rc;
}

static bool child_request_cancel(struct wf_run *r, struct wf_op *child, struct str reason)
{
    struct wf_op *op = wf_op_new(r, OP_CHILD_CANCEL, 0, NULL);
    if (!op) return false;
    op->op_id = child->op_id;
    op->where = child->where;
    op->peer = child;
    wf_op_ref(child);
    op->waits_requested = child->cancel == CANCEL_WAIT_REQUESTED;
    struct rec *at;
    struct wf_cmd *c =
        wf_cmd_new(r, COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION, op, &at);
    if (!c) {
        wf_op_finish(r, op);
        return false;
    }
    op->cmd = c;
    rec_set_copy(at, T(cmd_request_cancel_external_workflow_execution, workflow_id), child->op_id);
    rec_set_copy(at, T(cmd_request_cancel_external_workflow_execution, run_id), child->run_id);
    rec_set_int(at, T(cmd_request_cancel_external_workflow_execution, child_workflow_only), 1);
    rec_set_copy(at, T(cmd_request_cancel_external_workflow_execution, reason), reason);
    wf_cmd_identity(r, c, child->op_id, (struct str){NULL, 0}, NULL);
    return true;
}

void wf_child_cancel(struct wf_run *r, struct wf_op *op, struct str reason)
{
    if (op->cmd) {
        wf_cmd_drop(r, op->cmd);
    } else if (op->cancel != CANCEL_ABANDON) {
        if (!child_request_cancel(r, op, reason)) return;
        if (op->cancel != CANCEL_TRY) {
            op->state = OP_CANCELING;
            return;
        }
    }
    child_canceled(r, op, NULL);
}

static bool child_started(struct wf_run *r, struct wf_op *op, const struct rec *ev)
{
    const struct rec *at = event_attrs(ev);
    op->started_event_id = event_id(ev);
    op->run_id = arena_str(
        &r->keep, rec_str(rec_msg(at, T(ev_child_workflow_execution_started, workflow_execution)),
                          T(workflow_execution, run_id)));
    if (op->state == OP_DONE || !op->started) return false;
    struct buf b;
    buf_init(&b, 4096);
    buf_put_json(&b, op->run_id);
    wf_future_ok(r, op->started, payloads_of_json(A(r), arena_str(A(r), buf_str(&b))));
    buf_free(&b);
    return true;
}

static void child_start_failed(struct wf_run *r, struct wf_op *op, const struct rec *at)
{
    int64_t cause = rec_int(at, T(ev_start_child_workflow_execution_failed, cause));
    struct rec *why;
    if (cause == START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS)
        why =
            failure_app(A(r), STR("WorkflowExecutionAlreadyStarted"),
                        arena_printf(A(r), "a workflow with the id \"" STR_FMT "\" exists already",
                                     STR_ARG(op->op_id)),
                        true, NULL, NULL);
    else
        why = failure_app(A(r), STR("ChildWorkflowStartFailed"),
                          STR("the child workflow could not be started"), true, NULL, NULL);
    child_fail(r, op, RETRY_STATE_NON_RETRYABLE_FAILURE, why, false);
}

static int64_t child_initiated_id(const struct rec *ev, const struct rec *at)
{
    switch (event_type(ev)) {
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
        return rec_int(at, T(ev_start_child_workflow_execution_failed, initiated_event_id));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
        return rec_int(at, T(ev_child_workflow_execution_started, initiated_event_id));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
        return rec_int(at, T(ev_child_workflow_execution_completed, initiated_event_id));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
        return rec_int(at, T(ev_child_workflow_execution_failed, initiated_event_id));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
        return rec_int(at, T(ev_child_workflow_execution_canceled, initiated_event_id));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
        return rec_int(at, T(ev_child_workflow_execution_timed_out, initiated_event_id));
    default:
        return rec_int(at, T(ev_child_workflow_execution_terminated, initiated_event_id));
    }
}

static void child_closed(struct wf_run *r, struct wf_op *op, const struct rec *ev)
{
    const struct rec *at = event_attrs(ev);
    switch (event_type(ev)) {
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
        wf_future_ok(r, op->future, rec_msg(at, T(ev_child_workflow_execution_completed, result)));
        break;
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED: {
        struct rec *cause = rec_msg(at, T(ev_child_workflow_execution_failed, failure));
        child_fail(r, op, (int)rec_int(at, T(ev_child_workflow_execution_failed, retry_state)),
                   cause, failure_is_canceled(cause));
        break;
    }
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
        child_canceled(r, op, rec_msg(at, T(ev_child_workflow_execution_canceled, details)));
        break;
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
        child_fail(r, op, (int)rec_int(at, T(ev_child_workflow_execution_timed_out, retry_state)),
                   failure_timeout(A(r), TIMEOUT_TYPE_START_TO_CLOSE,
                                   STR("child workflow timed out"), NULL, NULL),
                   false);
        break;
    default: {
        struct rec *why = rec_new(A(r), &rec_type_failure);
        rec_set_str(why, T(failure, message), STR("child workflow terminated"));
        rec_sub(why, T(failure, terminated_failure_info));
        child_fail(r, op, RETRY_STATE_NON_RETRYABLE_FAILURE, why, false);
    }
    }
}

static void unknown_event(struct wf_run *r, const struct rec *ev, const char *what)
{
    wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR, "NonDeterminism",
                  "history and script differ at event %lld (%s): no such %s is open",
                  (long long)event_id(ev), event_name(event_type(ev)), what);
}

bool wf_event_child(struct wf_run *r, const struct rec *ev)
{
    const struct rec *at = event_attrs(ev);
    int64_t initiated = child_initiated_id(ev, at);
    struct wf_op *op = wf_event_op(r, initiated, OP_CHILD);
    if (!op) {
        unknown_event(r, ev, "child workflow");
        return false;
    }
    int type = event_type(ev);
    if (type == EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED) return child_started(r, op, ev);
    bool told = op->state != OP_DONE;
    if (told && type == EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED)
        child_start_failed(r, op, at);
    else if (told)
        child_closed(r, op, ev);
    wf_op_finish(r, op);
    wf_event_unbind(r, initiated);
    return told;
}

/* ---- signals and cancel requests to other workflows ---- */
int wf_op_signal_external(struct wf_run *r, struct str workflow_id, struct str run_id,
                          bool child_only, struct str name, const struct rec *input,
                          uint64_t future, struct err *e)
{
    int rc = wf_op_guard(r, e);
    if (rc) return rc;
    if (!wf_payloads_fit(r, input, "the input of a signal", e)) return ERR_LIMIT;
    struct wf_op *op = wf_op_new(r, OP_SIGNAL, future, e);
    if (!op) return ERR_NOMEM;
    op->op_id = arena_str(&r->keep, workflow_id);
    op->name = arena_str(&r->keep, name);
    struct rec *at;
    struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, op, &at);
    if (!c) {
        wf_op_finish(r, op);
        return err_set(e, ERR_LIMIT, "cannot send one more signal");
    }
    op->cmd = c;
    struct rec *copy = input ? rec_clone(A(r), input) : NULL;
    struct rec *execution = rec_sub(at, T(cmd_signal_external_workflow_execution, execution));
    rec_set_copy(execution, T(workflow_execution, workflow_id), workflow_id);
    rec_set_copy(execution, T(workflow_execution, run_id), run_id);
    rec_set_copy(at, T(cmd_signal_external_workflow_execution, signal_name), name);
    rec_set_msg(at, T(cmd_signal_external_workflow_execution, input), copy);
    rec_set_int(at, T(cmd_signal_external_workflow_execution, child_workflow_only), child_only);
    wf_cmd_identity(r, c, workflow_id, name, copy);
    return 0;
}

int wf_op_cancel_external(struct wf_run *r, struct str workflow_id, struct str run_id,
                          bool child_only, struct str reason, uint64_t future, struct err *e)
{
    int rc = wf_op_guard(r, e);
    if (rc) return rc;
    struct wf_op *op = wf_op_new(r, OP_CANCEL, future, e);
    if (!op) return ERR_NOMEM;
    op->op_id = arena_str(&r->keep, workflow_id);
    struct rec *at;
    struct wf_cmd *c =
        wf_cmd_new(r, COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION, op, &at);
    if (!c) {
        wf_op_finish(r, op);
        return err_set(e, ERR_LIMIT, "cannot send one more cancel request");
    }
    op->cmd = c;
    rec_set_int(at, T(cmd_request_cancel_external_workflow_execution, child_workflow_only),
                child_only);
    rec_set_copy(at, T(cmd_request_cancel_external_workflow_execution, workflow_id), workflow_id);
    rec_set_copy(at, T(cmd_request_cancel_external_workflow_execution, run_id), run_id);
    rec_set_copy(at, T(cmd_request_cancel_external_workflow_execution, reason), reason);
    wf_cmd_identity(r, c, workflow_id, (struct str){NULL, 0}, NULL);
    return 0;
}

/* What was sent cannot be taken back: only an unsent one is withdrawn. */
void wf_external_cancel(struct wf_run *r, struct wf_op *op)
{
    if (!op->cmd) return;
    wf_cmd_drop(r, op->cmd);
    wf_future_fail(r, op->future, failure_canceled(A(r), STR("canceled before it was sent"), NULL),
                   true);
    wf_op_finish(r, op);
}

static int64_t external_initiated_id(const struct rec *ev, const struct rec *at, int64_t *cause)
{
    *cause = 0;
    switch (event_type(ev)) {
    case EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED:
        return rec_int(at, T(ev_external_workflow_execution_signaled, initiated_event_id));
    case EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
        *cause = rec_int(at, T(ev_signal_external_workflow_execution_failed, cause));
        return rec_int(at, T(ev_signal_external_workflow_execution_failed, initiated_event_id));
    case EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
        return rec_int(at, T(ev_external_workflow_execution_cancel_requested, initiated_event_id));
    default:
        *cause = rec_int(at, T(ev_request_cancel_external_workflow_execution_failed, cause));
        return rec_int(at,
                       T(ev_request_cancel_external_workflow_execution_failed, initiated_event_id));
    }
}

static struct rec *external_failure(struct wf_run *r, struct wf_op *op, int64_t cause)
{
    /* both enums agree on 1 (no such workflow) and 2 (no such namespace) */
    if (cause == SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_SIGNAL_COUNT_LIMIT_EXCEEDED)
        return failure_app(A(r), STR("SignalCountLimitExceeded"),
                           arena_printf(A(r), "workflow \"" STR_FMT "\" takes no more signals",
                                        STR_ARG(op->op_id)),
                           true, NULL, NULL);
    if (cause == SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND)
        return failure_app(A(r), STR("NamespaceNotFound"), STR("there is no such namespace"), true,
                           NULL, NULL);
    return failure_app(
        A(r), STR("ExternalWorkflowNotFound"),
        arena_printf(A(r), "there is no open workflow \"" STR_FMT "\"", STR_ARG(op->op_id)), true,
        NULL, NULL);
}

static bool child_cancel_answered(struct wf_run *r, struct wf_op *op, bool failed)
{
    struct wf_op *child = op->peer;
    bool told = op->waits_requested && !failed && child && child->state == OP_CANCELING;
    if (told) child_canceled(r, child, NULL);
    return told; /* a child that was not there has closed: its own event tells */
}

bool wf_event_external(struct wf_run *r, const struct rec *ev)
{
    int64_t cause, initiated = external_initiated_id(ev, event_attrs(ev), &cause);
    struct wf_op *op = map_get(&r->machines->by_event, map_i64(&initiated));
    if (!op || (op->kind != OP_SIGNAL && op->kind != OP_CANCEL && op->kind != OP_CHILD_CANCEL)) {
        unknown_event(r, ev, "request to another workflow");
        return false;
    }
    int type = event_type(ev);
    bool failed = type == EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED ||
                  type == EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED;
    bool told = op->state != OP_DONE;
    if (op->kind == OP_CHILD_CANCEL)
        told = child_cancel_answered(r, op, failed);
    else if (failed)
        wf_future_fail(r, op->future, external_failure(r, op, cause), false);
    else
        wf_future_ok(r, op->future, NULL);
    wf_op_finish(r, op);
    wf_event_unbind(r, initiated);
    return told;
}
