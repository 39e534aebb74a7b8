/* Timers and activities: StartTimer/CancelTimer, ScheduleActivityTask/RequestCancelActivityTask and
 * the events that answer them. A cancelled operation whose command was not sent leaves no trace but
 * its number. */
#include "workflow/wf_machine.h"

/* ---- timers ---- */
int wf_timer_start(struct wf_run *r, struct wf_op *op, int64_t duration_ns, struct str summary,
                   struct err *e)
{
    struct wf_machines *m = r->machines;
    struct rec *attrs;
    op->op_id = arena_printf(&r->keep, "%llu", (unsigned long long)++m->next_timer);
    op->name = arena_str(&r->keep, summary);
    op->due_ns = time_plus(r->now_ns, duration_ns);
    struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_START_TIMER, op, &attrs);
    if (!c) return err_set(e, ERR_LIMIT, "cannot start one more timer");
    op->cmd = c;
    rec_set_copy(attrs, T(cmd_start_timer, timer_id), op->op_id);
    rec_set_int(attrs, T(cmd_start_timer, start_to_fire_timeout), duration_ns);
    wf_summary(r, c, summary);
    wf_cmd_identity(r, c, op->op_id, (struct str){NULL, 0}, NULL);
    return 0;
}

/* A timer of no time resolves at once and takes no number: the engine is never asked for it. */
int wf_op_timer(struct wf_run *r, int64_t duration_ns, bool till, struct str summary,
                uint64_t future, struct err *e)
{
    int rc = wf_op_guard(r, e);
    if (rc) return rc;
    if (duration_ns <= 0) {
        wf_future_ok(r, future, NULL);
        return 0;
    }
    struct wf_op *op = wf_op_new(r, OP_TIMER, future, e);
    if (!op) return ERR_NOMEM;
    op->till = till;
    rc = wf_timer_start(r, op, duration_ns, summary, e);
    if (rc) wf_op_finish(r, op);
    return rc;
}

void wf_timer_cancel(struct wf_run *r, struct wf_op *op)
{
    struct rec *attrs;
    if (op->cmd) {
        wf_cmd_drop(r, op->cmd);
    } else {
        struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_CANCEL_TIMER, op, &attrs);
        if (!c) return;
        rec_set_copy(attrs, T(cmd_cancel_timer, timer_id), op->op_id);
        wf_cmd_identity(r, c, op->op_id, (struct str){NULL, 0}, NULL);
    }
    uint64_t future = op->future;
    if (future)
        wf_future_fail(r, future,
                       failure_canceled(&r->machines->cmds->arena, STR("timer canceled"), NULL),
                       true);
    wf_op_finish(r, op);
}

static void nondet_event(struct wf_run *r, const struct rec *ev, const char *what)
{
    wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR, "NonDeterminism",
                  "history and script differ at event %lld (%s): %s", (long long)event_id(ev),
                  event_name(event_type(ev)), what);
}

bool wf_event_timer(struct wf_run *r, const struct rec *ev)
{
    const struct rec *at = event_attrs(ev);
    int64_t started = rec_int(at, T(ev_timer_fired, started_event_id));
    struct wf_op *op = wf_event_op(r, started, OP_TIMER);
    if (!op) {
        nondet_event(r, ev, "no such timer is open");
        return false;
    }
    if (!str_eq(op->op_id, rec_str(at, T(ev_timer_fired, timer_id)))) {
        nondet_event(r, ev, "the timer that was started there has another id");
        return false;
    }
    bool told = op->state == OP_OPEN;
    if (told && op->future) wf_future_ok(r, op->future, NULL);
    struct wf_op *local = told ? op->peer : NULL;
    if (local && local->state == OP_OPEN) wf_local_backoff_over(r, local);
    wf_op_finish(r, op);
    wf_event_unbind(r, started);
    return told;
}

/* ---- activities ---- */
static bool id_is_open(struct wf_run *r, enum wf_op_kind kind, struct str id)
{
    for (struct wf_op *op = r->machines->first_op; op; op = op->next) {
        if (op->kind == kind && op->state != OP_DONE && str_eq(op->op_id, id)) return true;
    }
    return false;
}

static int activity_id(struct wf_run *r, struct wf_op *op, struct str given, struct err *e)
{
    struct wf_machines *m = r->machines;
    if (given.n) {
        m->own_ids = true;
        if (id_is_open(r, OP_ACTIVITY, given))
            return err_set(e, ERR_EXISTS, "an activity with the id \"" STR_FMT "\" is open",
                           STR_ARG(given));
        op->op_id = arena_str(&r->keep, given);
        m->next_activity++;
        return 0;
    }
    struct str id;
    do
        id = arena_printf(&r->keep, "%llu", (unsigned long long)++m->next_activity);
    while (m->own_ids && id.p && id_is_open(r, OP_ACTIVITY, id));
    op->op_id = id;
    return id.p ? 0 : ERR_NOMEM;
}

static int activity_command(struct wf_run *r, struct wf_op *op, const struct wf_activity_opts *o)
{
    struct arena *a = &r->machines->cmds->arena;
    struct rec *at;
    struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, op, &at);
    if (!c) return ERR_LIMIT;
    op->cmd = c;
    struct rec *input = o->input ? rec_clone(a, o->input) : NULL;
    rec_set_copy(at, T(cmd_schedule_activity_task, activity_id), op->op_id);
    rec_set_copy(rec_sub(at, T(cmd_schedule_activity_task, activity_type)), T(activity_type, name),
                 o->type);
    struct rec *queue = rec_sub(at, T(cmd_schedule_activity_task, task_queue));
    rec_set_copy(queue, T(task_queue, name), o->task_queue.n ? o->task_queue : r->info.task_queue);
    rec_set_int(queue, T(task_queue, kind), TASK_QUEUE_KIND_NORMAL);
    rec_set_msg(at, T(cmd_schedule_activity_task, input), input);
    rec_set_msg(at, T(cmd_schedule_activity_task, header), wf_header_for_activity(r, a));
    if (o->schedule_to_close_ns)
        rec_set_int(at, T(cmd_schedule_activity_task, schedule_to_close_timeout),
                    o->schedule_to_close_ns);
    if (o->schedule_to_start_ns)
        rec_set_int(at, T(cmd_schedule_activity_task, schedule_to_start_timeout),
                    o->schedule_to_start_ns);
    if (o->start_to_close_ns)
        rec_set_int(at, T(cmd_schedule_activity_task, start_to_close_timeout),
                    o->start_to_close_ns);
    if (o->heartbeat_ns)
        rec_set_int(at, T(cmd_schedule_activity_task, heartbeat_timeout), o->heartbeat_ns);
    if (o->retry_policy)
        rec_set_msg(at, T(cmd_schedule_activity_task, retry_policy), rec_clone(a, o->retry_policy));
    wf_summary(r, c, o->summary);
    wf_cmd_identity(r, c, op->op_id, o->type, input);
    return 0;
}

int wf_op_activity(struct wf_run *r, const struct wf_activity_opts *o, uint64_t future,
                   struct err *e)
{
    int rc = wf_op_guard(r, e);
    if (rc) return rc;
    if (!wf_payloads_fit(r, o->input, "the input of an activity", e)) return ERR_LIMIT;
    if (o->local) return wf_local_start(r, o, future, e);
    struct wf_op *op = wf_op_new(r, OP_ACTIVITY, future, e);
    if (!op) return ERR_NOMEM;
    op->cancel = o->cancel;
    op->name = arena_str(&r->keep, o->type);
    rc = activity_id(r, op, o->id, e);
    if (!rc && activity_command(r, op, o))
        rc = err_set(e, ERR_LIMIT, "cannot schedule one more activity");
    if (rc) wf_op_finish(r, op);
    return rc;
}

static struct rec *activity_failure(struct wf_run *r, struct wf_op *op, int retry_state,
                                    struct str identity, struct rec *cause)
{
    return failure_activity(&r->machines->cmds->arena, op->event_id, op->started_event_id, op->name,
                            op->op_id, retry_state, identity, cause);
}

static void activity_canceled(struct wf_run *r, struct wf_op *op, struct rec *details,
                              struct str identity)
{
    struct rec *cause =
        failure_canceled(&r->machines->cmds->arena, STR("activity canceled"), details);
    wf_future_fail(r, op->future,
                   activity_failure(r, op, RETRY_STATE_CANCEL_REQUESTED, identity, cause), true);
}

void wf_activity_cancel(struct wf_run *r, struct wf_op *op)
{
    struct rec *attrs;
    if (op->cmd) {
        wf_cmd_drop(r, op->cmd);
    } else if (op->cancel != CANCEL_ABANDON) {
        struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK, op, &attrs);
        if (!c) return;
        rec_set_int(attrs, T(cmd_request_cancel_activity_task, scheduled_event_id), op->event_id);
        wf_cmd_identity(r, c, op->op_id, op->name, NULL);
        if (op->cancel == CANCEL_WAIT) {
            op->state = OP_CANCELING;
            return;
        }
    }
    activity_canceled(r, op, NULL, (struct str){NULL, 0});
    wf_op_finish(r, op);
}

static void activity_closed(struct wf_run *r, struct wf_op *op, const struct rec *ev)
{
    struct arena *a = &r->machines->cmds->arena;
    const struct rec *at = event_attrs(ev);
    switch (event_type(ev)) {
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        wf_future_ok(r, op->future, rec_msg(at, T(ev_activity_task_completed, result)));
        break;
    case EVENT_TYPE_ACTIVITY_TASK_FAILED: {
        struct rec *cause = rec_msg(at, T(ev_activity_task_failed, failure));
        wf_future_fail(r, op->future,
                       activity_failure(r, op,
                                        (int)rec_int(at, T(ev_activity_task_failed, retry_state)),
                                        rec_str(at, T(ev_activity_task_failed, identity)), cause),
                       failure_is_canceled(cause));
        break;
    }
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: {
        struct rec *cause = rec_msg(at, T(ev_activity_task_timed_out, failure));
        if (!cause)
            cause = failure_timeout(a, TIMEOUT_TYPE_START_TO_CLOSE, STR("activity timed out"), NULL,
                                    NULL);
        wf_future_fail(
            r, op->future,
            activity_failure(r, op, (int)rec_int(at, T(ev_activity_task_timed_out, retry_state)),
                             (struct str){NULL, 0}, cause),
            false);
        break;
    }
    default:
        activity_canceled(r, op, rec_msg(at, T(ev_activity_task_canceled, details)),
                          rec_str(at, T(ev_activity_task_canceled, identity)));
    }
}

/* The scheduled event's id is at another field number in each of the closing events. */
static int64_t activity_scheduled_id(const struct rec *ev, const struct rec *at, int64_t *started)
{
    switch (event_type(ev)) {
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        *started = rec_int(at, T(ev_activity_task_completed, started_event_id));
        return rec_int(at, T(ev_activity_task_completed, scheduled_event_id));
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
        *started = rec_int(at, T(ev_activity_task_failed, started_event_id));
        return rec_int(at, T(ev_activity_task_failed, scheduled_event_id));
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        *started = rec_int(at, T(ev_activity_task_timed_out, started_event_id));
        return rec_int(at, T(ev_activity_task_timed_out, scheduled_event_id));
    default:
        *started = rec_int(at, T(ev_activity_task_canceled, started_event_id));
        return rec_int(at, T(ev_activity_task_canceled, scheduled_event_id));
    }
}

bool wf_event_activity(struct wf_run *r, const struct rec *ev)
{
    const struct rec *at = event_attrs(ev);
    if (event_type(ev) == EVENT_TYPE_ACTIVITY_TASK_STARTED) return false;
    int64_t started = 0, scheduled = activity_scheduled_id(ev, at, &started);
    struct wf_op *op = wf_event_op(r, scheduled, OP_ACTIVITY);
    if (!op) {
        nondet_event(r, ev, "no such activity is open");
        return false;
    }
    bool told = op->state != OP_DONE;
    op->started_event_id = started;
    if (told) {
        activity_closed(r, op, ev);
        wf_op_finish(r, op);
    }
    wf_event_unbind(r, scheduled);
    return told;
}
