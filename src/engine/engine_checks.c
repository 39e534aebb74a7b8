/* Is every command of a completed workflow task one that can be carried out? Looked at before
 * anything is applied, so that a bad one leaves nothing behind. Pure. */
#include "engine/engine_internal.h"

#define CAUSE(x) WORKFLOW_TASK_FAILED_CAUSE_##x

struct check {
    struct txn *t;
    struct msg *m;
    size_t activities, children, signals, cancels;
    int cause;
    struct err err;
};

static struct str sub_name(const struct rec *a, int tag, int name_tag)
{
    return rec_str(rec_msg(a, tag), name_tag);
}

static bool bad(struct check *c, int cause, const char *text)
{
    c->cause = cause;
    err_set(&c->err, ERR_ARG, "%s", text);
    return false;
}

static bool name_ok(struct str s)
{
    return s.n > 0 && s.n <= ENG_ID_MAX;
}

/* Is a timer or activity of that id open, or started by an earlier command of this completion? */
static bool id_taken(struct check *c, size_t upto, int kind, struct str id)
{
    if (eng_pend_named(c->t->run, kind, id)) {
        return true;
    }
    if (c->m->n_commands > 200 && upto > 200) {
        upto = upto < 400 ? upto : 400; /* bounded work; ids are counters in practice */
    }
    int type = kind == PEND_TIMER ? COMMAND_TYPE_START_TIMER : COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK;
    for (size_t i = 0; i < upto; i++) {
        const struct rec *o = c->m->commands[i];
        if (command_type(o) != type) {
            continue;
        }
        const struct rec *a = command_attrs(o);
        struct str other = kind == PEND_TIMER
                               ? rec_str(a, T(cmd_start_timer, timer_id))
                               : rec_str(a, T(cmd_schedule_activity_task, activity_id));
        if (str_eq(other, id)) {
            return true;
        }
    }
    return false;
}

static bool canceled_before(struct check *c, size_t upto, struct str timer)
{
    for (size_t i = 0; i < upto; i++) {
        const struct rec *o = c->m->commands[i];
        if (command_type(o) == COMMAND_TYPE_CANCEL_TIMER &&
            str_eq(rec_str(command_attrs(o), T(cmd_cancel_timer, timer_id)), timer)) {
            return true;
        }
    }
    return false;
}

static bool check_activity(struct check *c, size_t i, const struct rec *a)
{
    struct str id = rec_str(a, T(cmd_schedule_activity_task, activity_id));
    if (!name_ok(id) || !name_ok(sub_name(a, T(cmd_schedule_activity_task, activity_type),
                                          T(activity_type, name)))) {
        return bad(c, CAUSE(BAD_SCHEDULE_ACTIVITY_ATTRIBUTES),
                   "an activity needs an id and a type of 1 to 1000 bytes");
    }
    if (rec_int(a, T(cmd_schedule_activity_task, start_to_close_timeout)) <= 0 &&
        rec_int(a, T(cmd_schedule_activity_task, schedule_to_close_timeout)) <= 0) {
        return bad(c, CAUSE(BAD_SCHEDULE_ACTIVITY_ATTRIBUTES),
                   "an activity needs a start-to-close or schedule-to-close time-out");
    }
    if (id_taken(c, i, PEND_ACTIVITY, id)) {
        return bad(c, CAUSE(SCHEDULE_ACTIVITY_DUPLICATE_ID),
                   "an activity of that id is open already");
    }
    if (++c->activities > ENG_PENDING_MAX) {
        return bad(c, CAUSE(PENDING_ACTIVITIES_LIMIT_EXCEEDED), "more than 2000 open activities");
    }
    return true;
}

static bool check_timer(struct check *c, size_t i, const struct rec *a)
{
    struct str id = rec_str(a, T(cmd_start_timer, timer_id));
    if (!name_ok(id) || rec_int(a, T(cmd_start_timer, start_to_fire_timeout)) < 0) {
        return bad(c, CAUSE(BAD_START_TIMER_ATTRIBUTES),
                   "a timer needs an id of 1 to 1000 bytes and a duration that is not negative");
    }
    if (id_taken(c, i, PEND_TIMER, id) && !canceled_before(c, i, id)) {
        return bad(c, CAUSE(START_TIMER_DUPLICATE_ID), "a timer of that id is open already");
    }
    return true;
}

struct pend *eng_buffered_fired(struct run *r, struct str timer)
{
    for (struct map_entry *e = r->n_buffered ? r->pends.first : NULL; e; e = e->next) {
        struct pend *p = e->value;
        if (p->kind == PEND_BUFFERED && event_type(p->event) == EVENT_TYPE_TIMER_FIRED &&
            str_eq(rec_str(event_attrs(p->event), T(ev_timer_fired, timer_id)), timer)) {
            return p;
        }
    }
    return NULL;
}

/* Whether an event that closes the activity, or the start of its attempt (which its close follows
 * at once), waits for the end of this task: the script could not know of it. An activity that
 * nobody took ends without a start. */
static bool buffered_close(struct run *r, int64_t scheduled)
{
    for (struct map_entry *e = r->n_buffered ? r->pends.first : NULL; e; e = e->next) {
        const struct pend *p = e->value;
        if (p->kind == PEND_BUFFERED && eng_activity_of(p->event) == scheduled) {
            return true;
        }
    }
    return false;
}

static bool check_cancel_timer(struct check *c, size_t i, const struct rec *a)
{
    struct str id = rec_str(a, T(cmd_cancel_timer, timer_id));
    if (!name_ok(id) || (!id_taken(c, i, PEND_TIMER, id) && !eng_buffered_fired(c->t->run, id))) {
        return bad(c, CAUSE(BAD_CANCEL_TIMER_ATTRIBUTES), "no timer of that id is open");
    }
    return true;
}

static bool check_child(struct check *c, const struct rec *a)
{
    if (!name_ok(rec_str(a, T(cmd_start_child_workflow_execution, workflow_id))) ||
        !name_ok(sub_name(a, T(cmd_start_child_workflow_execution, workflow_type),
                          T(workflow_type, name)))) {
        return bad(c, CAUSE(BAD_START_CHILD_EXECUTION_ATTRIBUTES),
                   "a child needs a workflow id and a type of 1 to 1000 bytes");
    }
    struct str cron = rec_str(a, T(cmd_start_child_workflow_execution, cron_schedule));
    struct err e;
    if (cron.n && eng_cron_check(cron, &e)) {
        return bad(c, CAUSE(BAD_START_CHILD_EXECUTION_ATTRIBUTES), e.text);
    }
    if (++c->children > ENG_PENDING_MAX) {
        return bad(c, CAUSE(PENDING_CHILD_WORKFLOWS_LIMIT_EXCEEDED),
                   "more than 2000 open children");
    }
    return true;
}

static bool check_one(struct check *c, size_t i)
{
    const struct rec *cmd = c->m->commands[i], *a = command_attrs(cmd);
    int type = command_type(cmd);
    if (command_is_terminal(type) && i + 1 < c->m->n_commands) {
        return bad(c, CAUSE(UNHANDLED_COMMAND), "a command that closes the run must be the last");
    }
    switch (type) {
    case COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
        return check_activity(c, i, a);
    case COMMAND_TYPE_START_TIMER:
        return check_timer(c, i, a);
    case COMMAND_TYPE_CANCEL_TIMER:
        return check_cancel_timer(c, i, a);
    case COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK: {
        int64_t id = rec_int(a, T(cmd_request_cancel_activity_task, scheduled_event_id));
        return eng_pend(c->t->run, PEND_ACTIVITY, id) || buffered_close(c->t->run, id) ||
               bad(c, CAUSE(BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES),
                   "no activity is open that was scheduled by that event");
    }
    case COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION:
        return check_child(c, a);
    case COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION:
        if (!name_ok(rec_str(a, T(cmd_signal_external_workflow_execution, signal_name))) ||
            !name_ok(sub_name(a, T(cmd_signal_external_workflow_execution, execution),
                              T(workflow_execution, workflow_id)))) {
            return bad(c, CAUSE(BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES),
                       "a signal needs a workflow id and a name of 1 to 1000 bytes");
        }
        return ++c->signals <= ENG_PENDING_MAX || bad(c, CAUSE(PENDING_SIGNALS_LIMIT_EXCEEDED),
                                                      "more than 2000 open signals to other runs");
    case COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION:
        if (!name_ok(rec_str(a, T(cmd_request_cancel_external_workflow_execution, workflow_id)))) {
            return bad(c, CAUSE(BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES),
                       "a cancellation needs a workflow id of 1 to 1000 bytes");
        }
        return ++c->cancels <= ENG_PENDING_MAX ||
               bad(c, CAUSE(PENDING_REQUEST_CANCEL_LIMIT_EXCEEDED),
                   "more than 2000 open cancellations of other runs");
    case COMMAND_TYPE_RECORD_MARKER:
        return name_ok(rec_str(a, T(cmd_record_marker, marker_name))) ||
               bad(c, CAUSE(BAD_RECORD_MARKER_ATTRIBUTES), "a marker needs a name");
    case COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION:
        return rec_msg(a, T(cmd_fail_workflow_execution, failure)) ||
               bad(c, CAUSE(BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES), "a failure is missing");
    case COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION:
    case COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION:
    case COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION:
    case COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
    case COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES:
        return true;
    case COMMAND_TYPE_PROTOCOL_MESSAGE:
        return eng_update_message_ok(c->m, rec_str(a, T(cmd_protocol_message, message_id))) ||
               bad(c, CAUSE(BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE),
                   "an update's answer is missing or of an unknown kind");
    default:
        return bad(c, CAUSE(UNHANDLED_COMMAND),
                   "a command of a kind that this engine does not know");
    }
}

/* Looks at all commands of the completion; false with the task's failure cause and a text at the
 * first bad one. */
bool eng_check_commands(struct txn *t, struct msg *m, int *cause, struct err *why)
{
    struct run *r = t->run;
    struct check c = {.t = t,
                      .m = m,
                      .activities = eng_pend_count(r, PEND_ACTIVITY),
                      .children = eng_pend_count(r, PEND_CHILD),
                      .signals = eng_pend_count(r, PEND_SIGNAL_OUT),
                      .cancels = eng_pend_count(r, PEND_CANCEL_OUT)};
    for (size_t i = 0; i < m->n_commands; i++) {
        if (!check_one(&c, i)) {
            *cause = c.cause;
            *why = c.err;
            return false;
        }
    }
    return true;
}
