/* What is known of each event and command type: its name, where its attributes are, what it means
 * for a run. */
#include "history/event.h"

enum { COMMAND = 1, TERMINAL = 2, SKIPPABLE = 4 };

struct kind {
    const char *name;
    uint16_t attrs; /* tag of the attribute message, 0: none */
    uint8_t flags;
    uint8_t event; /* of a command: the event type that records it */
};

/* clang-format off */
#define EV(type, pascal, field, flags) \
    [EVENT_TYPE_##type] = {pascal, TAG_history_event__##field##_event_attributes, flags, 0},
#define EV_BARE(type, pascal, flags) [EVENT_TYPE_##type] = {pascal, 0, flags, 0},
static const struct kind events[] = {
    EV(WORKFLOW_EXECUTION_STARTED, "WorkflowExecutionStarted", workflow_execution_started, 0)
    EV(WORKFLOW_EXECUTION_COMPLETED, "WorkflowExecutionCompleted", workflow_execution_completed,
       COMMAND | TERMINAL)
    EV(WORKFLOW_EXECUTION_FAILED, "WorkflowExecutionFailed", workflow_execution_failed,
       COMMAND | TERMINAL)
    EV(WORKFLOW_EXECUTION_TIMED_OUT, "WorkflowExecutionTimedOut", workflow_execution_timed_out,
       TERMINAL)
    EV(WORKFLOW_TASK_SCHEDULED, "WorkflowTaskScheduled", workflow_task_scheduled, 0)
    EV(WORKFLOW_TASK_STARTED, "WorkflowTaskStarted", workflow_task_started, 0)
    EV(WORKFLOW_TASK_COMPLETED, "WorkflowTaskCompleted", workflow_task_completed, 0)
    EV(WORKFLOW_TASK_TIMED_OUT, "WorkflowTaskTimedOut", workflow_task_timed_out, 0)
    EV(WORKFLOW_TASK_FAILED, "WorkflowTaskFailed", workflow_task_failed, 0)
    EV(ACTIVITY_TASK_SCHEDULED, "ActivityTaskScheduled", activity_task_scheduled, COMMAND)
    EV(ACTIVITY_TASK_STARTED, "ActivityTaskStarted", activity_task_started, 0)
    EV(ACTIVITY_TASK_COMPLETED, "ActivityTaskCompleted", activity_task_completed, 0)
    EV(ACTIVITY_TASK_FAILED, "ActivityTaskFailed", activity_task_failed, 0)
    EV(ACTIVITY_TASK_TIMED_OUT, "ActivityTaskTimedOut", activity_task_timed_out, 0)
    EV(ACTIVITY_TASK_CANCEL_REQUESTED, "ActivityTaskCancelRequested",
       activity_task_cancel_requested, COMMAND)
    EV(ACTIVITY_TASK_CANCELED, "ActivityTaskCanceled", activity_task_canceled, 0)
    EV(TIMER_STARTED, "TimerStarted", timer_started, COMMAND)
    EV(TIMER_FIRED, "TimerFired", timer_fired, 0)
    EV(TIMER_CANCELED, "TimerCanceled", timer_canceled, COMMAND)
    EV(WORKFLOW_EXECUTION_CANCEL_REQUESTED, "WorkflowExecutionCancelRequested",
       workflow_execution_cancel_requested, 0)
    EV(WORKFLOW_EXECUTION_CANCELED, "WorkflowExecutionCanceled", workflow_execution_canceled,
       COMMAND | TERMINAL)
    EV(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
       "RequestCancelExternalWorkflowExecutionInitiated",
       request_cancel_external_workflow_execution_initiated, COMMAND)
    EV(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
       "RequestCancelExternalWorkflowExecutionFailed",
       request_cancel_external_workflow_execution_failed, 0)
    EV(EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED, "ExternalWorkflowExecutionCancelRequested",
       external_workflow_execution_cancel_requested, 0)
    EV(MARKER_RECORDED, "MarkerRecorded", marker_recorded, COMMAND)
    EV(WORKFLOW_EXECUTION_SIGNALED, "WorkflowExecutionSignaled", workflow_execution_signaled, 0)
    EV(WORKFLOW_EXECUTION_TERMINATED, "WorkflowExecutionTerminated",
       workflow_execution_terminated, TERMINAL)
    EV(WORKFLOW_EXECUTION_CONTINUED_AS_NEW, "WorkflowExecutionContinuedAsNew",
       workflow_execution_continued_as_new, COMMAND | TERMINAL)
    EV(START_CHILD_WORKFLOW_EXECUTION_INITIATED, "StartChildWorkflowExecutionInitiated",
       start_child_workflow_execution_initiated, COMMAND)
    EV(START_CHILD_WORKFLOW_EXECUTION_FAILED, "StartChildWorkflowExecutionFailed",
       start_child_workflow_execution_failed, 0)
    EV(CHILD_WORKFLOW_EXECUTION_STARTED, "ChildWorkflowExecutionStarted",
       child_workflow_execution_started, 0)
    EV(CHILD_WORKFLOW_EXECUTION_COMPLETED, "ChildWorkflowExecutionCompleted",
       child_workflow_execution_completed, 0)
    EV(CHILD_WORKFLOW_EXECUTION_FAILED, "ChildWorkflowExecutionFailed",
       child_workflow_execution_failed, 0)
    EV(CHILD_WORKFLOW_EXECUTION_CANCELED, "ChildWorkflowExecutionCanceled",
       child_workflow_execution_canceled, 0)
    EV(CHILD_WORKFLOW_EXECUTION_TIMED_OUT, "ChildWorkflowExecutionTimedOut",
       child_workflow_execution_timed_out, 0)
    EV(CHILD_WORKFLOW_EXECUTION_TERMINATED, "ChildWorkflowExecutionTerminated",
       child_workflow_execution_terminated, 0)
    EV(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, "SignalExternalWorkflowExecutionInitiated",
       signal_external_workflow_execution_initiated, COMMAND)
    EV(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, "SignalExternalWorkflowExecutionFailed",
       signal_external_workflow_execution_failed, 0)
    EV(EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, "ExternalWorkflowExecutionSignaled",
       external_workflow_execution_signaled, 0)
    EV(UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, "UpsertWorkflowSearchAttributes",
       upsert_workflow_search_attributes, COMMAND)
    EV(WORKFLOW_EXECUTION_UPDATE_ADMITTED, "WorkflowExecutionUpdateAdmitted",
       workflow_execution_update_admitted, 0)
    EV(WORKFLOW_EXECUTION_UPDATE_ACCEPTED, "WorkflowExecutionUpdateAccepted",
       workflow_execution_update_accepted, COMMAND)
    EV(WORKFLOW_EXECUTION_UPDATE_REJECTED, "WorkflowExecutionUpdateRejected",
       workflow_execution_update_rejected, COMMAND)
    EV(WORKFLOW_EXECUTION_UPDATE_COMPLETED, "WorkflowExecutionUpdateCompleted",
       workflow_execution_update_completed, COMMAND)
    EV(WORKFLOW_PROPERTIES_MODIFIED_EXTERNALLY, "WorkflowPropertiesModifiedExternally",
       workflow_properties_modified_externally, 0)
    EV(ACTIVITY_PROPERTIES_MODIFIED_EXTERNALLY, "ActivityPropertiesModifiedExternally",
       activity_properties_modified_externally, 0)
    EV(WORKFLOW_PROPERTIES_MODIFIED, "WorkflowPropertiesModified", workflow_properties_modified,
       COMMAND)
    EV(NEXUS_OPERATION_SCHEDULED, "NexusOperationScheduled", nexus_operation_scheduled, COMMAND)
    EV(NEXUS_OPERATION_STARTED, "NexusOperationStarted", nexus_operation_started, 0)
    EV(NEXUS_OPERATION_COMPLETED, "NexusOperationCompleted", nexus_operation_completed, 0)
    EV(NEXUS_OPERATION_FAILED, "NexusOperationFailed", nexus_operation_failed, 0)
    EV(NEXUS_OPERATION_CANCELED, "NexusOperationCanceled", nexus_operation_canceled, 0)
    EV(NEXUS_OPERATION_TIMED_OUT, "NexusOperationTimedOut", nexus_operation_timed_out, 0)
    EV(NEXUS_OPERATION_CANCEL_REQUESTED, "NexusOperationCancelRequested", nexus_operation_cancel_requested, COMMAND)
    EV(WORKFLOW_EXECUTION_OPTIONS_UPDATED, "WorkflowExecutionOptionsUpdated",
       workflow_execution_options_updated, SKIPPABLE)
    EV(NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED, "NexusOperationCancelRequestCompleted", nexus_operation_cancel_request_completed, 0)
    EV(NEXUS_OPERATION_CANCEL_REQUEST_FAILED, "NexusOperationCancelRequestFailed", nexus_operation_cancel_request_failed, 0)
    EV(WORKFLOW_EXECUTION_PAUSED, "WorkflowExecutionPaused", workflow_execution_paused, SKIPPABLE)
    EV(WORKFLOW_EXECUTION_UNPAUSED, "WorkflowExecutionUnpaused", workflow_execution_unpaused, SKIPPABLE)
    EV_BARE(WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED,
       "WorkflowExecutionTimeSkippingTransitioned", SKIPPABLE)
};

#define CMD(type, pascal, field, flags, event) \
    [COMMAND_TYPE_##type] = {pascal, TAG_command__##field##_command_attributes, flags, \
                             EVENT_TYPE_##event},
static const struct kind commands[] = {
    CMD(SCHEDULE_ACTIVITY_TASK, "ScheduleActivityTask", schedule_activity_task, 0,
       ACTIVITY_TASK_SCHEDULED)
    CMD(REQUEST_CANCEL_ACTIVITY_TASK, "RequestCancelActivityTask", request_cancel_activity_task,
       0, ACTIVITY_TASK_CANCEL_REQUESTED)
    CMD(START_TIMER, "StartTimer", start_timer, 0, TIMER_STARTED)
    CMD(COMPLETE_WORKFLOW_EXECUTION, "CompleteWorkflowExecution", complete_workflow_execution,
       TERMINAL, WORKFLOW_EXECUTION_COMPLETED)
    CMD(FAIL_WORKFLOW_EXECUTION, "FailWorkflowExecution", fail_workflow_execution, TERMINAL,
       WORKFLOW_EXECUTION_FAILED)
    CMD(CANCEL_TIMER, "CancelTimer", cancel_timer, 0, TIMER_CANCELED)
    CMD(CANCEL_WORKFLOW_EXECUTION, "CancelWorkflowExecution", cancel_workflow_execution, TERMINAL,
       WORKFLOW_EXECUTION_CANCELED)
    CMD(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION, "RequestCancelExternalWorkflowExecution",
       request_cancel_external_workflow_execution, 0,
       REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED)
    CMD(RECORD_MARKER, "RecordMarker", record_marker, 0, MARKER_RECORDED)
    CMD(CONTINUE_AS_NEW_WORKFLOW_EXECUTION, "ContinueAsNewWorkflowExecution",
       continue_as_new_workflow_execution, TERMINAL, WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
    CMD(START_CHILD_WORKFLOW_EXECUTION, "StartChildWorkflowExecution",
       start_child_workflow_execution, 0, START_CHILD_WORKFLOW_EXECUTION_INITIATED)
    CMD(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, "SignalExternalWorkflowExecution",
       signal_external_workflow_execution, 0, SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED)
    CMD(UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, "UpsertWorkflowSearchAttributes",
       upsert_workflow_search_attributes, 0, UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
    CMD(PROTOCOL_MESSAGE, "ProtocolMessage", protocol_message, 0, UNSPECIFIED)
    CMD(MODIFY_WORKFLOW_PROPERTIES, "ModifyWorkflowProperties", modify_workflow_properties, 0,
       WORKFLOW_PROPERTIES_MODIFIED)
    CMD(SCHEDULE_NEXUS_OPERATION, "ScheduleNexusOperation", schedule_nexus_operation, 0, NEXUS_OPERATION_SCHEDULED)
    CMD(REQUEST_CANCEL_NEXUS_OPERATION, "RequestCancelNexusOperation", request_cancel_nexus_operation, 0, NEXUS_OPERATION_CANCEL_REQUESTED)
};
/* clang-format on */

static const struct kind *event_kind(int type)
{
    static const struct kind none;
    if (type <= 0 || (size_t)type >= sizeof events / sizeof *events) return &none;
    return &events[type];
}

static const struct kind *command_kind(int type)
{
    static const struct kind none;
    if (type <= 0 || (size_t)type >= sizeof commands / sizeof *commands) return &none;
    return &commands[type];
}

struct rec *event_new(struct arena *a, int64_t id, int64_t time_ns, int type, struct rec **attrs)
{
    const struct kind *k = event_kind(type);
    struct rec *ev = rec_new(a, &rec_type_history_event), *m = NULL;
    rec_set_int(ev, T(history_event, event_id), id);
    rec_set_int(ev, T(history_event, event_time), time_ns);
    rec_set_int(ev, T(history_event, event_type), type);
    if (k->attrs) m = rec_sub(ev, k->attrs);
    if (attrs) *attrs = m;
    return ev;
}

const struct rec *event_attrs(const struct rec *ev)
{
    const struct kind *k = event_kind(event_type(ev));
    return k->attrs ? rec_msg(ev, k->attrs) : NULL;
}

const char *event_name(int type)
{
    const char *name = event_kind(type)->name;
    return name ? name : "Unknown";
}

bool event_is_command(int type)
{
    return event_kind(type)->flags & COMMAND;
}

bool event_is_terminal(int type)
{
    return event_kind(type)->flags & TERMINAL;
}

bool event_is_ignorable(const struct rec *ev)
{
    return rec_int(ev, T(history_event, worker_may_ignore)) ||
           event_kind(event_type(ev))->flags & SKIPPABLE;
}

struct rec *command_new(struct arena *a, int type, struct rec **attrs)
{
    const struct kind *k = command_kind(type);
    struct rec *c = rec_new(a, &rec_type_command), *m = NULL;
    rec_set_int(c, T(command, command_type), type);
    if (k->attrs) m = rec_sub(c, k->attrs);
    if (attrs) *attrs = m;
    return c;
}

const struct rec *command_attrs(const struct rec *c)
{
    const struct kind *k = command_kind(command_type(c));
    return k->attrs ? rec_msg(c, k->attrs) : NULL;
}

const char *command_name(int type)
{
    const char *name = command_kind(type)->name;
    return name ? name : "Unknown";
}

int command_event_type(int command_type)
{
    return command_kind(command_type)->event;
}

bool command_is_terminal(int type)
{
    return command_kind(type)->flags & TERMINAL;
}
