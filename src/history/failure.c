/* Failures: making them, and what they mean for a retry. */
#include "history/event.h"

static struct rec *failure_new(struct arena *a, struct str message, struct rec *cause)
{
    struct rec *f = rec_new(a, &rec_type_failure);
    rec_set_str(f, T(failure, message), message);
    rec_set_msg(f, T(failure, cause), cause);
    return f;
}

struct rec *failure_app(struct arena *a, struct str type, struct str message, bool non_retryable,
                        struct rec *details, struct rec *cause)
{
    struct rec *f = failure_new(a, message, cause);
    struct rec *info = rec_sub(f, T(failure, application_failure_info));
    rec_set_str(info, T(application_failure_info, type), type);
    rec_set_int(info, T(application_failure_info, non_retryable), non_retryable);
    rec_set_msg(info, T(application_failure_info, details), details);
    return f;
}

struct rec *failure_timeout(struct arena *a, int timeout_type, struct str message,
                            struct rec *last_heartbeat, struct rec *cause)
{
    struct rec *f = failure_new(a, message, cause);
    struct rec *info = rec_sub(f, T(failure, timeout_failure_info));
    rec_set_int(info, T(timeout_failure_info, timeout_type), timeout_type);
    rec_set_msg(info, T(timeout_failure_info, last_heartbeat_details), last_heartbeat);
    return f;
}

struct rec *failure_canceled(struct arena *a, struct str message, struct rec *details)
{
    struct rec *f = failure_new(a, message, NULL);
    struct rec *info = rec_sub(f, T(failure, canceled_failure_info));
    rec_set_msg(info, T(canceled_failure_info, details), details);
    return f;
}

struct rec *failure_activity(struct arena *a, int64_t scheduled_id, int64_t started_id,
                             struct str activity_type, struct str activity_id, int retry_state,
                             struct str identity, struct rec *cause)
{
    struct rec *f = failure_new(a, STR("activity error"), cause);
    struct rec *info = rec_sub(f, T(failure, activity_failure_info));
    rec_set_int(info, T(activity_failure_info, scheduled_event_id), scheduled_id);
    rec_set_int(info, T(activity_failure_info, started_event_id), started_id);
    rec_set_str(info, T(activity_failure_info, identity), identity);
    struct rec *type = rec_sub(info, T(activity_failure_info, activity_type));
    rec_set_str(type, T(activity_type, name), activity_type);
    rec_set_str(info, T(activity_failure_info, activity_id), activity_id);
    rec_set_int(info, T(activity_failure_info, retry_state), retry_state);
    return f;
}

struct rec *failure_child(struct arena *a, struct str workflow_id, struct str run_id,
                          struct str workflow_type, int64_t initiated_id, int64_t started_id,
                          int retry_state, struct rec *cause)
{
    struct rec *f = failure_new(a, STR("child workflow execution error"), cause);
    struct rec *info = rec_sub(f, T(failure, child_workflow_execution_failure_info));
    struct rec *we = rec_sub(info, T(child_workflow_execution_failure_info, workflow_execution));
    rec_set_str(we, T(workflow_execution, workflow_id), workflow_id);
    rec_set_str(we, T(workflow_execution, run_id), run_id);
    struct rec *type = rec_sub(info, T(child_workflow_execution_failure_info, workflow_type));
    rec_set_str(type, T(workflow_type, name), workflow_type);
    rec_set_int(info, T(child_workflow_execution_failure_info, initiated_event_id), initiated_id);
    rec_set_int(info, T(child_workflow_execution_failure_info, started_event_id), started_id);
    rec_set_int(info, T(child_workflow_execution_failure_info, retry_state), retry_state);
    return f;
}

bool failure_is_canceled(const struct rec *f)
{
    for (int depth = 0; f && depth < REC_DEPTH_MAX; depth++) {
        if (rec_has(f, T(failure, canceled_failure_info))) return true;
        if (!rec_has(f, T(failure, activity_failure_info)) &&
            !rec_has(f, T(failure, child_workflow_execution_failure_info))) {
            return false;
        }
        f = rec_msg(f, T(failure, cause));
    }
    return false;
}

struct str failure_type(const struct rec *f)
{
    static const struct {
        int tag;
        struct str name;
    } kinds[] = {
        {T(failure, timeout_failure_info), STR("Timeout")},
        {T(failure, canceled_failure_info), STR("Canceled")},
        {T(failure, terminated_failure_info), STR("Terminated")},
        {T(failure, server_failure_info), STR("ServerFailure")},
        {T(failure, reset_workflow_failure_info), STR("ResetWorkflow")},
        {T(failure, activity_failure_info), STR("ActivityFailure")},
        {T(failure, child_workflow_execution_failure_info), STR("ChildWorkflowFailure")},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (rec_has(f, kinds[i].tag)) return kinds[i].name;
    }
    const struct rec *app = rec_msg(f, T(failure, application_failure_info));
    struct str type = rec_str(app, T(application_failure_info, type));
    return type.n ? type : STR("ApplicationFailure");
}

static struct str timeout_name(int type)
{
    switch (type) {
    case TIMEOUT_TYPE_START_TO_CLOSE:
        return STR("TemporalTimeout:StartToClose");
    case TIMEOUT_TYPE_SCHEDULE_TO_START:
        return STR("TemporalTimeout:ScheduleToStart");
    case TIMEOUT_TYPE_SCHEDULE_TO_CLOSE:
        return STR("TemporalTimeout:ScheduleToClose");
    case TIMEOUT_TYPE_HEARTBEAT:
        return STR("TemporalTimeout:Heartbeat");
    default:
        return STR("TemporalTimeout:Unspecified");
    }
}

static bool listed(const struct rec *policy, struct str type)
{
    const struct rec_field *f = NULL;
    while ((f = rec_each(policy, T(retry_policy, non_retryable_error_types), f))) {
        if (str_eq(f->v.s, type)) return true;
    }
    return false;
}

bool failure_retryable(const struct rec *f, const struct rec *retry_policy)
{
    if (rec_has(f, T(failure, canceled_failure_info)) ||
        rec_has(f, T(failure, terminated_failure_info))) {
        return false;
    }
    const struct rec *timeout = rec_msg(f, T(failure, timeout_failure_info));
    if (timeout) {
        int type = (int)rec_int(timeout, T(timeout_failure_info, timeout_type));
        if (type != TIMEOUT_TYPE_START_TO_CLOSE && type != TIMEOUT_TYPE_HEARTBEAT) return false;
        if (listed(retry_policy, timeout_name(type))) return false;
    }
    const struct rec *app = rec_msg(f, T(failure, application_failure_info));
    const struct rec *server = rec_msg(f, T(failure, server_failure_info));
    if (rec_int(app, T(application_failure_info, non_retryable)) ||
        rec_int(server, T(server_failure_info, non_retryable))) {
        return false;
    }
    return !listed(retry_policy, failure_type(f));
}
