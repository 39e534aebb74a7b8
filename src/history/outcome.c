/* What a run's last event says: how it ended, and which run goes on in its place. */
#include "history/event.h"

struct str outcome_next_run(const struct rec *ev)
{
    const struct rec *a = event_attrs(ev);
    switch (event_type(ev)) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return rec_str(a, T(ev_workflow_execution_completed, new_execution_run_id));
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return rec_str(a, T(ev_workflow_execution_failed, new_execution_run_id));
    case EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        return rec_str(a, T(ev_workflow_execution_timed_out, new_execution_run_id));
    case EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        return rec_str(a, T(ev_workflow_execution_continued_as_new, new_execution_run_id));
    default:
        return (struct str){NULL, 0};
    }
}

void outcome_read(struct arena *a, const struct rec *ev, const struct rec **result,
                  const struct rec **failure)
{
    const struct rec *at = event_attrs(ev);
    switch (event_type(ev)) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        *result = rec_msg(at, T(ev_workflow_execution_completed, result));
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        *failure = rec_msg(at, T(ev_workflow_execution_failed, failure));
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        *failure = failure_canceled(a, STR("the workflow was cancelled"),
                                    rec_msg(at, T(ev_workflow_execution_canceled, details)));
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        *failure = failure_timeout(a, TIMEOUT_TYPE_START_TO_CLOSE, STR("the workflow timed out"),
                                   NULL, NULL);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: {
        struct rec *f = rec_new(a, &rec_type_failure);
        struct str reason = rec_str(at, T(ev_workflow_execution_terminated, reason));
        rec_set_str(f, T(failure, message), reason.n ? reason : STR("the workflow was terminated"));
        rec_sub(f, T(failure, terminated_failure_info));
        *failure = f;
        break;
    }
    default:
        break;
    }
}

const char *outcome_status_name(int status)
{
    static const char *const names[OUTCOME_STATUSES] = {"Unknown",        "Running",  "Completed",
                                                        "Failed",         "Canceled", "Terminated",
                                                        "ContinuedAsNew", "TimedOut"};
    return status > 0 && status < OUTCOME_STATUSES ? names[status] : names[0];
}
