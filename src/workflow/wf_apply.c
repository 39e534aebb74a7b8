/* Takes a batch in: looks ahead, compares what the batch before it asked for, and turns events into
 * jobs in the order of TEMPORAL's activations: start, patches, reseed, signals and updates in their
 * mutual order, then everything else. Jobs only change state; the script runs afterwards. */
#include "workflow/wf_machine.h"

static int take_completed(struct wf_run *r, const struct rec *ev)
{
    struct wf_machines *m = r->machines;
    const struct rec *at = event_attrs(ev);
    const struct rec *meta = rec_msg(at, T(ev_workflow_task_completed, sdk_metadata));
    struct str digest = rec_str(rec_msg(at, T(ev_workflow_task_completed, worker_version)),
                                T(worker_version_stamp, build_id));
    struct str sdk = rec_str(meta, T(workflow_task_completed_metadata, sdk_name));
    m->completed_id = event_id(ev);
    m->any_completed = true;
    m->digest_same = digest.n && r->info.current_digest && str_eqz(digest, r->info.current_digest);
    if (sdk.n) m->foreign_sdk = arena_str(&r->keep, sdk);
    const struct rec_field *f = NULL;
    while ((f = rec_each(meta, T(workflow_task_completed_metadata, lang_used_flags), f))) {
        bool ours = m->foreign_sdk.n == 0 || str_eqz(m->foreign_sdk, "moonloop");
        if (ours && f->v.i != WF_FLAG_CHUNKING_V1)
            wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                          "UnknownFlag",
                          "event %lld was made by a newer moonloop (flag %lld): upgrade this one",
                          (long long)event_id(ev), (long long)f->v.i);
    }
    return 0;
}

/* Compares the command events in [from, to) with what was asked for, once. */
static int compare_range(struct wf_run *r, size_t from, size_t to)
{
    struct wf_machines *m = r->machines;
    const struct rec **list = arena_alloc(&m->look_arena, (to - from + 1) * sizeof *list);
    size_t n = 0;
    bool completed = false;
    int64_t last = m->matched_to;
    if (!list) return ERR_NOMEM;
    for (size_t i = from; i < to; i++) {
        const struct rec *ev = m->events[i];
        int type = event_type(ev);
        if (event_id(ev) <= m->matched_to) continue;
        if (type == EVENT_TYPE_WORKFLOW_TASK_COMPLETED) {
            take_completed(r, ev);
            completed = true;
        } else if (event_is_command(type)) {
            list[n++] = ev;
        } else {
            continue;
        }
        last = event_id(ev);
    }
    if (!completed && n == 0) return 0;
    int rc = r->task_failure ? 0 : wf_compare(r, list, n, m->completed_id);
    m->matched_to = last;
    return rc;
}

/* ---- the first job ---- */
static void take_chain_start(struct wf_run *r, int64_t start_ns)
{
    struct rec *h = rec_map_get(rec_msg(r->started, T(ev_workflow_execution_started, header)),
                                T(header, fields), STR("moonloop"));
    struct str raw, iso = {NULL, 0};
    if (wf_json_get(payload_data(h), "chain_start", &raw)) iso = wf_json_string(&r->keep, raw);
    if (iso.n && time_parse_iso(iso, &r->chain_start_ns) == 0) {
        r->chain_start_iso = iso;
        return;
    }
    char text[TIME_ISO_MAX];
    int n = time_format_iso(start_ns, text);
    r->chain_start_ns = start_ns;
    r->chain_start_iso = arena_str(&r->keep, str_make(text, (size_t)n));
}

static void reseed(struct wf_run *r, struct str run_id)
{
    rng_seed(&r->rng, run_id);
    rng_seed(&r->machines->id_rng,
             arena_printf(&r->machines->look_arena, STR_FMT ":child", STR_ARG(run_id)));
}

static void take_start(struct wf_run *r, const struct rec *ev)
{
    struct wf_machines *m = r->machines;
    r->started = rec_clone(&r->keep, event_attrs(ev));
    m->started_seen = true;
    if (r->now_ns < event_time(ev)) r->now_ns = event_time(ev);
    take_chain_start(r, event_time(ev));
    struct str run_id =
        rec_str(r->started, T(ev_workflow_execution_started, original_execution_run_id));
    reseed(r, run_id.n ? run_id : r->info.run_id);
    wf_merge_search_attributes(
        r, rec_msg(r->started, T(ev_workflow_execution_started, search_attributes)));
    wf_merge_memo(r, rec_msg(r->started, T(ev_workflow_execution_started, memo)));
}

static void start_script(struct wf_run *r)
{
    struct err e = {0};
    struct str type = rec_str(rec_msg(r->started, T(ev_workflow_execution_started, workflow_type)),
                              T(workflow_type, name));
    if (script_start(r, type, rec_msg(r->started, T(ev_workflow_execution_started, input)), &e))
        wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                      e.code == ERR_NOTFOUND ? "UnknownWorkflowType" : "StartFailed", "%s", e.text);
}

/* ---- jobs ---- */
static void unknown_event(struct wf_run *r, const struct rec *ev)
{
    wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, "UnknownEvent",
                  "event %lld (%s, type %d) is not known to this moonloop and must not be skipped: "
                  "upgrade it",
                  (long long)event_id(ev), event_name(event_type(ev)), event_type(ev));
}

static bool cancel_requested(struct wf_run *r, const struct rec *ev)
{
    if (r->cancel_requested) return false;
    r->cancel_requested = true;
    script_cancel(r, rec_str(event_attrs(ev), T(ev_workflow_execution_cancel_requested, cause)));
    return true;
}

/* Group 5: what answers an operation. The cancel request comes behind all of them: it makes
 * commands at once, and those must not name what an event of the same batch has closed. */
static bool later_job(struct wf_run *r, const struct rec *ev)
{
    int type = event_type(ev);
    switch (type) {
    case EVENT_TYPE_TIMER_FIRED:
        return wf_event_timer(r, ev);
    case EVENT_TYPE_ACTIVITY_TASK_STARTED:
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
    case EVENT_TYPE_ACTIVITY_TASK_CANCELED:
        return wf_event_activity(r, ev);
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
        return wf_event_child(r, ev);
    case EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED:
    case EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
    case EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
    case EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED:
        return wf_event_external(r, ev);
    case EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_REJECTED:
    case EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
    case EVENT_TYPE_WORKFLOW_TASK_STARTED:
    case EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
    case EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
    case EVENT_TYPE_WORKFLOW_TASK_FAILED:
        return false;
    default:
        if (!event_is_command(type) && !event_is_terminal(type) && !event_is_ignorable(ev))
            unknown_event(r, ev);
        return false;
    }
}

/* Group 4. */
static int message_job(struct wf_run *r, const struct rec *ev, bool *any, bool *fresh)
{
    const struct rec *at = event_attrs(ev);
    int rc = 0;
    wf_update_deliver_before(r, event_id(ev), any, fresh);
    if (event_type(ev) == EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) {
        script_signal(r, rec_str(at, T(ev_workflow_execution_signaled, signal_name)),
                      rec_msg(at, T(ev_workflow_execution_signaled, input)),
                      rec_str(at, T(ev_workflow_execution_signaled, identity)));
        *any = true;
    } else if (event_type(ev) == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED) {
        rc = wf_update_admit(r, ev, r->machines->batch_live);
        wf_update_deliver_before(r, event_id(ev), any, fresh);
    }
    return rc;
}

static int jobs(struct wf_run *r, const struct rec *const *events, size_t n, bool *any)
{
    struct wf_machines *m = r->machines;
    bool fresh = false;
    for (size_t i = 0; i < n; i++) {
        const struct rec *at = event_attrs(events[i]);
        if (event_id(events[i]) <= m->applied_to) continue;
        if (event_type(events[i]) == EVENT_TYPE_WORKFLOW_EXECUTION_STARTED) {
            start_script(r);
            *any = true;
        } else if (event_type(events[i]) == EVENT_TYPE_WORKFLOW_TASK_FAILED &&
                   rec_int(at, T(ev_workflow_task_failed, cause)) ==
                       WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW) {
            struct str run_id = rec_str(at, T(ev_workflow_task_failed, new_run_id));
            reseed(r, run_id);
            script_reseed(r, run_id);
        }
    }
    for (size_t i = 0; i < n && !r->task_failure; i++) {
        int rc = event_id(events[i]) > m->applied_to ? message_job(r, events[i], any, &fresh) : 0;
        if (rc) return rc;
    }
    wf_update_deliver_before(r, INT64_MAX, any, &fresh);
    for (size_t i = 0; i < n && !r->task_failure; i++) {
        if (event_id(events[i]) > m->applied_to) *any |= later_job(r, events[i]);
    }
    for (size_t i = 0; i < n && !r->task_failure; i++) {
        if (event_type(events[i]) == EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED &&
            event_id(events[i]) > m->applied_to)
            *any |= cancel_requested(r, events[i]);
    }
    r->only_updates = fresh && !*any;
    *any |= fresh;
    return 0;
}

static void take_task_start(struct wf_run *r, const struct rec *ev)
{
    const struct rec *at = event_attrs(ev);
    if (event_time(ev) > r->now_ns) r->now_ns = event_time(ev);
    r->history_length = event_id(ev);
    r->history_bytes = rec_int(at, T(ev_workflow_task_started, history_size_bytes));
    r->continue_as_new_suggested =
        rec_int(at, T(ev_workflow_task_started, suggest_continue_as_new));
}

/* Where a discarded task would have to begin again: before its WorkflowTaskScheduled. */
static int64_t before_schedule(const struct rec *const *events, size_t n)
{
    for (size_t i = n; i > 0; i--) {
        if (event_type(events[i - 1]) == EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
            return event_id(events[i - 1]) - 1;
    }
    return event_id(events[n - 1]);
}

static int look_ahead(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    size_t end = m->batch.to, from = end;
    if (m->batch.completed) from = wf_batch_lookahead(m->events, m->n_events, m->batch.to, &end);
    int rc = wf_marker_lookahead(r, m->events + from, end - from);
    for (size_t i = from; i < end && !rc; i++) {
        if (event_type(m->events[i]) == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
            rc = wf_update_from_accepted(r, m->events[i]);
    }
    return rc;
}

int wf_apply_batch(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    const struct rec *const *events = m->events + m->batch.from;
    size_t n = m->batch.to - m->batch.from;
    int rc = 0;
    m->batch_live = !m->batch.completed;
    m->batch_jobs = false;
    r->replaying = m->batch.completed;
    arena_free(&m->look_arena);
    wf_updates_free(r, false);
    if ((rc = compare_range(r, m->batch.from, m->batch.to)) || r->task_failure) return rc;
    m->tail_done = false;
    for (size_t i = 0; i < n; i++) {
        if (event_type(events[i]) == EVENT_TYPE_WORKFLOW_EXECUTION_STARTED && !m->started_seen)
            take_start(r, events[i]);
        if (event_type(events[i]) == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED)
            rc = rc ? rc : wf_update_admit(r, events[i], false);
    }
    if (rc || (rc = look_ahead(r))) return rc;
    take_task_start(r, events[n - 1]);
    m->cmds->live = m->batch_live;
    for (size_t i = 0; m->batch_live && i < m->n_messages && !rc; i++)
        rc = wf_update_from_message(r, m->messages[i]);
    if (!rc) rc = jobs(r, events, n, &m->batch_jobs);
    m->last_event = event_id(events[n - 1]);
    m->applied_to = m->batch_live ? before_schedule(events, n) : m->last_event;
    return rc;
}

/* What is left behind the last batch of a history that is only replayed: the commands of that
 * batch, and maybe the end. */
int wf_apply_tail(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    bool completed = false;
    arena_free(&m->look_arena);
    for (size_t i = m->at; i < m->n_events; i++) {
        completed |= event_type(m->events[i]) == EVENT_TYPE_WORKFLOW_TASK_COMPLETED;
        if (event_is_terminal(event_type(m->events[i]))) r->closed = true;
    }
    if (!m->started_seen && m->n_events &&
        event_type(m->events[0]) == EVENT_TYPE_WORKFLOW_EXECUTION_STARTED && r->now_ns == 0)
        r->now_ns = event_time(m->events[0]);
    return completed ? compare_range(r, m->at, m->n_events) : 0;
}
