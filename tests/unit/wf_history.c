/* See wf_history.h. */
#include "wf_history.h"
#include <assert.h>
#include <stdio.h>

void h_init(struct hist *h)
{
    memset(h, 0, sizeof *h);
    arena_init(&h->a, 0);
    h->now = H_EPOCH;
}
void h_free(struct hist *h)
{
    arena_free(&h->a);
    h->n = 0;
}
struct rec *h_add(struct hist *h, int type, struct rec **attrs)
{
    assert(h->n < H_MAX);
    struct rec *ev = event_new(&h->a, (int64_t)h->n + 1, h->now, type, attrs);
    h->ev[h->n++] = ev;
    return ev;
}
struct rec *h_json(struct hist *h, const char *json)
{
    return json ? payloads_of_json(&h->a, str_of(json)) : NULL;
}
static int64_t last(struct hist *h)
{
    return (int64_t)h->n;
}
static struct rec *add(struct hist *h, int type)
{
    struct rec *at = NULL;
    h_add(h, type, &at);
    return at;
}

int64_t h_begin(struct hist *h, const char *type, const char *input)
{
    struct rec *at = add(h, EVENT_TYPE_WORKFLOW_EXECUTION_STARTED);
    rec_set_str(rec_sub(at, T(ev_workflow_execution_started, workflow_type)),
                T(workflow_type, name), str_of(type));
    rec_set_str(rec_sub(at, T(ev_workflow_execution_started, task_queue)), T(task_queue, name),
                STR("queue"));
    rec_set_msg(at, T(ev_workflow_execution_started, input), h_json(h, input));
    rec_set_str(at, T(ev_workflow_execution_started, original_execution_run_id), STR("run-1"));
    rec_set_str(at, T(ev_workflow_execution_started, workflow_id), STR("wf-1"));
    rec_set_int(at, T(ev_workflow_execution_started, workflow_task_timeout), 10 * NS_PER_S);
    rec_set_int(at, T(ev_workflow_execution_started, attempt), 1);
    return last(h);
}
int64_t h_task(struct hist *h)
{
    h->now += NS_PER_S;
    add(h, EVENT_TYPE_WORKFLOW_TASK_SCHEDULED);
    h->scheduled = last(h);
    struct rec *at = add(h, EVENT_TYPE_WORKFLOW_TASK_STARTED);
    rec_set_int(at, T(ev_workflow_task_started, scheduled_event_id), h->scheduled);
    rec_set_int(at, T(ev_workflow_task_started, history_size_bytes), 100 * last(h));
    return h->started = last(h);
}
int64_t h_done(struct hist *h)
{
    struct rec *at = add(h, EVENT_TYPE_WORKFLOW_TASK_COMPLETED);
    rec_set_int(at, T(ev_workflow_task_completed, scheduled_event_id), h->scheduled);
    rec_set_int(at, T(ev_workflow_task_completed, started_event_id), h->started);
    if (h->digest)
        rec_set_str(rec_sub(at, T(ev_workflow_task_completed, worker_version)),
                    T(worker_version_stamp, build_id), str_of(h->digest));
    return last(h);
}
int64_t h_full(struct hist *h)
{
    h_task(h);
    return h_done(h);
}
int64_t h_task_failed(struct hist *h, int cause, const char *new_run_id)
{
    struct rec *at = add(h, EVENT_TYPE_WORKFLOW_TASK_FAILED);
    rec_set_int(at, T(ev_workflow_task_failed, scheduled_event_id), h->scheduled);
    rec_set_int(at, T(ev_workflow_task_failed, started_event_id), h->started);
    rec_set_int(at, T(ev_workflow_task_failed, cause), cause);
    rec_set_str(at, T(ev_workflow_task_failed, new_run_id), str_of(new_run_id));
    return last(h);
}
int64_t h_task_timed_out(struct hist *h)
{
    struct rec *at = add(h, EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT);
    rec_set_int(at, T(ev_workflow_task_timed_out, started_event_id), h->started);
    return last(h);
}
int64_t h_timer(struct hist *h, const char *id)
{
    struct rec *at = add(h, EVENT_TYPE_TIMER_STARTED);
    rec_set_str(at, T(ev_timer_started, timer_id), str_of(id));
    return last(h);
}
int64_t h_timer_fired(struct hist *h, int64_t started, const char *id)
{
    struct rec *at = add(h, EVENT_TYPE_TIMER_FIRED);
    rec_set_str(at, T(ev_timer_fired, timer_id), str_of(id));
    rec_set_int(at, T(ev_timer_fired, started_event_id), started);
    return last(h);
}
int64_t h_timer_canceled(struct hist *h, int64_t started, const char *id)
{
    struct rec *at = add(h, EVENT_TYPE_TIMER_CANCELED);
    rec_set_str(at, T(ev_timer_canceled, timer_id), str_of(id));
    rec_set_int(at, T(ev_timer_canceled, started_event_id), started);
    return last(h);
}
int64_t h_activity(struct hist *h, const char *id, const char *type, const char *input)
{
    struct rec *at = add(h, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED);
    rec_set_str(at, T(ev_activity_task_scheduled, activity_id), str_of(id));
    rec_set_str(rec_sub(at, T(ev_activity_task_scheduled, activity_type)), T(activity_type, name),
                str_of(type));
    rec_set_msg(at, T(ev_activity_task_scheduled, input), h_json(h, input));
    return last(h);
}
int64_t h_activity_cancel(struct hist *h, int64_t scheduled)
{
    struct rec *at = add(h, EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED);
    rec_set_int(at, T(ev_activity_task_cancel_requested, scheduled_event_id), scheduled);
    return last(h);
}
static int64_t activity_started(struct hist *h, int64_t scheduled)
{
    struct rec *at = add(h, EVENT_TYPE_ACTIVITY_TASK_STARTED);
    rec_set_int(at, T(ev_activity_task_started, scheduled_event_id), scheduled);
    return last(h);
}
int64_t h_activity_completed(struct hist *h, int64_t scheduled, const char *result)
{
    int64_t started = activity_started(h, scheduled);
    struct rec *at = add(h, EVENT_TYPE_ACTIVITY_TASK_COMPLETED);
    rec_set_int(at, T(ev_activity_task_completed, scheduled_event_id), scheduled);
    rec_set_int(at, T(ev_activity_task_completed, started_event_id), started);
    rec_set_msg(at, T(ev_activity_task_completed, result), h_json(h, result));
    return last(h);
}
int64_t h_activity_failed(struct hist *h, int64_t scheduled, const char *type, const char *message)
{
    int64_t started = activity_started(h, scheduled);
    struct rec *at = add(h, EVENT_TYPE_ACTIVITY_TASK_FAILED);
    rec_set_int(at, T(ev_activity_task_failed, scheduled_event_id), scheduled);
    rec_set_int(at, T(ev_activity_task_failed, started_event_id), started);
    rec_set_msg(at, T(ev_activity_task_failed, failure),
                failure_app(&h->a, str_of(type), str_of(message), true, NULL, NULL));
    return last(h);
}
int64_t h_activity_timed_out(struct hist *h, int64_t scheduled)
{
    struct rec *at = add(h, EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT);
    rec_set_int(at, T(ev_activity_task_timed_out, scheduled_event_id), scheduled);
    rec_set_msg(at, T(ev_activity_task_timed_out, failure),
                failure_timeout(&h->a, TIMEOUT_TYPE_SCHEDULE_TO_START, STR("late"), NULL, NULL));
    return last(h);
}
int64_t h_activity_canceled(struct hist *h, int64_t scheduled)
{
    struct rec *at = add(h, EVENT_TYPE_ACTIVITY_TASK_CANCELED);
    rec_set_int(at, T(ev_activity_task_canceled, scheduled_event_id), scheduled);
    return last(h);
}
int64_t h_signal(struct hist *h, const char *name, const char *input)
{
    struct rec *at = add(h, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED);
    rec_set_str(at, T(ev_workflow_execution_signaled, signal_name), str_of(name));
    rec_set_msg(at, T(ev_workflow_execution_signaled, input), h_json(h, input));
    return last(h);
}
int64_t h_cancel_requested(struct hist *h)
{
    struct rec *at = add(h, EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED);
    rec_set_str(at, T(ev_workflow_execution_cancel_requested, cause), STR("enough"));
    return last(h);
}
int64_t h_child(struct hist *h, const char *id, const char *type)
{
    struct rec *at = add(h, EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED);
    rec_set_str(at, T(ev_start_child_workflow_execution_initiated, workflow_id), str_of(id));
    rec_set_str(rec_sub(at, T(ev_start_child_workflow_execution_initiated, workflow_type)),
                T(workflow_type, name), str_of(type));
    return last(h);
}
int64_t h_child_started(struct hist *h, int64_t initiated, const char *id, const char *run_id)
{
    struct rec *at = add(h, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED);
    rec_set_int(at, T(ev_child_workflow_execution_started, initiated_event_id), initiated);
    struct rec *x = rec_sub(at, T(ev_child_workflow_execution_started, workflow_execution));
    rec_set_str(x, T(workflow_execution, workflow_id), str_of(id));
    rec_set_str(x, T(workflow_execution, run_id), str_of(run_id));
    return last(h);
}
int64_t h_child_start_failed(struct hist *h, int64_t initiated)
{
    struct rec *at = add(h, EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED);
    rec_set_int(at, T(ev_start_child_workflow_execution_failed, initiated_event_id), initiated);
    rec_set_int(at, T(ev_start_child_workflow_execution_failed, cause),
                START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS);
    return last(h);
}
int64_t h_child_completed(struct hist *h, int64_t initiated, const char *result)
{
    struct rec *at = add(h, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED);
    rec_set_int(at, T(ev_child_workflow_execution_completed, initiated_event_id), initiated);
    rec_set_msg(at, T(ev_child_workflow_execution_completed, result), h_json(h, result));
    return last(h);
}
int64_t h_child_failed(struct hist *h, int64_t initiated)
{
    struct rec *at = add(h, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED);
    rec_set_int(at, T(ev_child_workflow_execution_failed, initiated_event_id), initiated);
    rec_set_msg(at, T(ev_child_workflow_execution_failed, failure),
                failure_app(&h->a, STR("Bad"), STR("no"), true, NULL, NULL));
    return last(h);
}
int64_t h_child_canceled(struct hist *h, int64_t initiated)
{
    struct rec *at = add(h, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED);
    rec_set_int(at, T(ev_child_workflow_execution_canceled, initiated_event_id), initiated);
    return last(h);
}
int64_t h_child_terminated(struct hist *h, int64_t initiated)
{
    struct rec *at = add(h, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED);
    rec_set_int(at, T(ev_child_workflow_execution_terminated, initiated_event_id), initiated);
    return last(h);
}
int64_t h_cancel_external(struct hist *h, const char *workflow_id)
{
    struct rec *at = add(h, EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED);
    rec_set_str(
        rec_sub(at, T(ev_request_cancel_external_workflow_execution_initiated, workflow_execution)),
        T(workflow_execution, workflow_id), str_of(workflow_id));
    return last(h);
}
int64_t h_external_canceled(struct hist *h, int64_t initiated)
{
    struct rec *at = add(h, EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED);
    rec_set_int(at, T(ev_external_workflow_execution_cancel_requested, initiated_event_id),
                initiated);
    return last(h);
}
int64_t h_signal_external(struct hist *h, const char *workflow_id, const char *name)
{
    struct rec *at = add(h, EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED);
    rec_set_str(rec_sub(at, T(ev_signal_external_workflow_execution_initiated, workflow_execution)),
                T(workflow_execution, workflow_id), str_of(workflow_id));
    rec_set_str(at, T(ev_signal_external_workflow_execution_initiated, signal_name), str_of(name));
    return last(h);
}
int64_t h_external_signaled(struct hist *h, int64_t initiated)
{
    struct rec *at = add(h, EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED);
    rec_set_int(at, T(ev_external_workflow_execution_signaled, initiated_event_id), initiated);
    return last(h);
}
int64_t h_signal_external_failed(struct hist *h, int64_t initiated)
{
    struct rec *at = add(h, EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED);
    rec_set_int(at, T(ev_signal_external_workflow_execution_failed, initiated_event_id), initiated);
    rec_set_int(
        at, T(ev_signal_external_workflow_execution_failed, cause),
        SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND);
    return last(h);
}
static struct rec *marker(struct hist *h, const char *name)
{
    struct rec *at = add(h, EVENT_TYPE_MARKER_RECORDED);
    rec_set_str(at, T(ev_marker_recorded, marker_name), str_of(name));
    return at;
}
static void detail(struct hist *h, struct rec *at, const char *key, struct str json)
{
    payloads_add(rec_map_set(at, T(ev_marker_recorded, details), str_of(key)),
                 payload_new(&h->a, PAYLOAD_JSON, json));
}
int64_t h_patch(struct hist *h, const char *id, bool deprecated, bool upsert)
{
    struct rec *at = marker(h, "core_patch");
    detail(h, at, "patch-data",
           arena_printf(&h->a, "{\"deprecated\":%s,\"id\":\"%s\"}", deprecated ? "true" : "false",
                        id));
    if (upsert) {
        at = add(h, EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES);
        struct rec *entry =
            rec_add(rec_sub(at, T(ev_upsert_workflow_search_attributes, search_attributes)),
                    T(search_attributes, indexed_fields));
        rec_set_str(entry, T(search_attributes_indexed_fields_entry, key),
                    STR("TemporalChangeVersion"));
        rec_set_msg(entry, T(search_attributes_indexed_fields_entry, value),
                    payload_new(&h->a, PAYLOAD_JSON, STR("[]")));
    }
    return last(h);
}
int64_t h_local(struct hist *h, int seq, const char *type, const char *result, const char *failure,
                int backoff_s)
{
    struct rec *at = marker(h, "core_local_activity");
    char backoff[64] = "null";
    if (backoff_s) snprintf(backoff, sizeof backoff, "{\"seconds\":%d,\"nanos\":0}", backoff_s);
    detail(h, at, "data",
           arena_printf(&h->a,
                        "{\"seq\":%d,\"attempt\":1,\"activity_id\":\"%d\",\"activity_type\":\"%s\","
                        "\"backoff\":%s,"
                        "\"complete_time\":{\"seconds\":%lld,\"nanos\":500}}",
                        seq, seq, type, backoff, (long long)(h->now / NS_PER_S)));
    if (failure)
        rec_set_msg(at, T(ev_marker_recorded, failure),
                    strcmp(failure, "canceled")
                        ? failure_app(&h->a, STR("Oops"), str_of(failure), true, NULL, NULL)
                        : failure_canceled(&h->a, STR("canceled"), NULL));
    else
        detail(h, at, "result", str_of(result));
    return last(h);
}
int64_t h_side_effect(struct hist *h, int id, const char *json)
{
    struct rec *at = marker(h, "SideEffect");
    detail(h, at, "side-effect-id", arena_printf(&h->a, "%d", id));
    detail(h, at, "data", str_of(json));
    return last(h);
}
static struct rec *request(struct hist *h, const char *id, const char *name, const char *args)
{
    struct rec *q = rec_new(&h->a, &rec_type_update_request);
    rec_set_str(rec_sub(q, T(update_request, meta)), T(update_meta, update_id), str_of(id));
    rec_set_str(rec_sub(q, T(update_request, input)), T(update_input, name), str_of(name));
    rec_set_msg(rec_sub(q, T(update_request, input)), T(update_input, args), h_json(h, args));
    return q;
}
int64_t h_update_accepted(struct hist *h, const char *id, const char *name, const char *args)
{
    struct rec *at = add(h, EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED);
    rec_set_str(at, T(ev_workflow_execution_update_accepted, protocol_instance_id), str_of(id));
    rec_set_str(at, T(ev_workflow_execution_update_accepted, accepted_request_message_id),
                arena_printf(&h->a, "%s/request", id));
    rec_set_int(at, T(ev_workflow_execution_update_accepted, accepted_request_sequencing_event_id),
                h->scheduled);
    if (name)
        rec_set_msg(at, T(ev_workflow_execution_update_accepted, accepted_request),
                    request(h, id, name, args));
    return last(h);
}
int64_t h_update_completed(struct hist *h, const char *id, int64_t accepted)
{
    struct rec *at = add(h, EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED);
    rec_set_str(rec_sub(at, T(ev_workflow_execution_update_completed, meta)),
                T(update_meta, update_id), str_of(id));
    rec_set_int(at, T(ev_workflow_execution_update_completed, accepted_event_id), accepted);
    return last(h);
}
int64_t h_end(struct hist *h, int type)
{
    add(h, type);
    return last(h);
}
struct rec *h_update_message(struct hist *h, const char *id, const char *name, const char *args)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    rec_encode(request(h, id, name, args), &b);
    struct rec *m = rec_new(&h->a, &rec_type_protocol_message);
    rec_set_str(m, T(protocol_message, id), arena_printf(&h->a, "%s/request", id));
    rec_set_str(m, T(protocol_message, protocol_instance_id), arena_printf(&h->a, "%s", id));
    rec_set_int(m, T(protocol_message, event_id), h->scheduled);
    struct rec *any = rec_sub(m, T(protocol_message, body));
    rec_set_str(any, T(any, type_url), STR("type.googleapis.com/temporal.api.update.v1.Request"));
    rec_set_copy(any, T(any, value), buf_str(&b));
    buf_free(&b);
    return m;
}
