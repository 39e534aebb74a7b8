/* Compares what the script asked for in a batch with the command events that its completed task
 * recorded.
 *
 * Strict: count, order, kind, name and id. Arguments are compared by digest, never where a codec is
 * set: a difference is an error when the task was completed on the bundle that runs now, and listed
 * as drift otherwise. Results and failures are never compared. Matching also binds operations to
 * the ids of their events. Called once per completed task, live and on replay. */
#include "workflow/wf_machine.h"

static struct str name_of(const struct rec *holder)
{
    return rec_str(holder, T(workflow_type, name)); /* activity_type.name is field 1, too */
}

static void marker_identity(struct arena *a, const struct rec *at, struct wf_identity *out)
{
    out->name = rec_str(at, T(ev_marker_recorded, marker_name));
    if (str_eqz(out->name, WF_MARKER_PATCH))
        out->id = wf_marker_patch_id(a, at, &out->deprecated);
    else if (str_eqz(out->name, WF_MARKER_LOCAL))
        out->id = wf_marker_local_id(a, at);
    else if (str_eqz(out->name, WF_MARKER_SIDE_EFFECT))
        out->id = wf_marker_data(at, "side-effect-id");
}

static void identity_of(struct wf_run *r, const struct rec *ev, struct wf_identity *out)
{
    struct arena *a = &r->machines->look_arena;
    const struct rec *at = event_attrs(ev);
    *out = (struct wf_identity){0};
    switch (event_type(ev)) {
    case EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        out->id = rec_str(at, T(ev_activity_task_scheduled, activity_id));
        out->name = rec_str(rec_msg(at, T(ev_activity_task_scheduled, activity_type)),
                            T(activity_type, name));
        out->args = rec_msg(at, T(ev_activity_task_scheduled, input));
        break;
    case EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: {
        int64_t scheduled = rec_int(at, T(ev_activity_task_cancel_requested, scheduled_event_id));
        struct wf_op *op = wf_event_op(r, scheduled, OP_ACTIVITY);
        out->id = op ? op->op_id : arena_printf(a, "event %lld", (long long)scheduled);
        out->name = op ? op->name : out->name;
        break;
    }
    case EVENT_TYPE_TIMER_STARTED:
        out->id = rec_str(at, T(ev_timer_started, timer_id));
        break;
    case EVENT_TYPE_TIMER_CANCELED:
        out->id = rec_str(at, T(ev_timer_canceled, timer_id));
        break;
    case EVENT_TYPE_MARKER_RECORDED:
        marker_identity(a, at, out);
        break;
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
        out->id = rec_str(at, T(ev_start_child_workflow_execution_initiated, workflow_id));
        out->name =
            name_of(rec_msg(at, T(ev_start_child_workflow_execution_initiated, workflow_type)));
        out->args = rec_msg(at, T(ev_start_child_workflow_execution_initiated, input));
        break;
    case EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
        out->id = rec_str(
            rec_msg(at, T(ev_signal_external_workflow_execution_initiated, workflow_execution)),
            T(workflow_execution, workflow_id));
        out->name = rec_str(at, T(ev_signal_external_workflow_execution_initiated, signal_name));
        out->args = rec_msg(at, T(ev_signal_external_workflow_execution_initiated, input));
        break;
    case EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
        out->id = rec_str(rec_msg(at, T(ev_request_cancel_external_workflow_execution_initiated,
                                        workflow_execution)),
                          T(workflow_execution, workflow_id));
        break;
    case EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
        if (wf_is_change_version(
                rec_msg(at, T(ev_upsert_workflow_search_attributes, search_attributes))))
            out->name = STR(WF_CHANGE_VERSION);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
        out->id = rec_str(at, T(ev_workflow_execution_update_accepted, protocol_instance_id));
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
        out->id = rec_str(rec_msg(at, T(ev_workflow_execution_update_completed, meta)),
                          T(update_meta, update_id));
        break;
    default:
        break;
    }
}

static struct str describe(struct arena *a, const char *kind, struct str id, struct str name)
{
    struct str n = name.n ? arena_printf(a, " \"" STR_FMT "\"", STR_ARG(name)) : STR("");
    struct str i = id.n ? arena_printf(a, " (id " STR_FMT ")", STR_ARG(id)) : STR("");
    return arena_printf(a, "%s" STR_FMT STR_FMT, kind, STR_ARG(n), STR_ARG(i));
}

static const char *command_kind(const struct wf_cmd *c)
{
    if (c->type != COMMAND_TYPE_PROTOCOL_MESSAGE) return command_name(c->type);
    return c->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED ? "AcceptUpdate"
                                                                          : "CompleteUpdate";
}

static struct str command_text(struct wf_run *r, const struct wf_cmd *c)
{
    struct arena *a = &r->machines->look_arena;
    struct str what = describe(a, command_kind(c), c->id, c->name);
    struct str where = c->where.n ? c->where : c->op ? c->op->where : c->where;
    return where.n ? arena_printf(a, STR_FMT " at " STR_FMT, STR_ARG(what), STR_ARG(where)) : what;
}

static struct str event_text(struct wf_run *r, const struct rec *ev)
{
    struct wf_identity id;
    identity_of(r, ev, &id);
    return describe(&r->machines->look_arena, event_name(event_type(ev)), id.id, id.name);
}

/* A server writes ContinuedAsNew for cron and retried runs, whatever the run asked for. */
static bool kinds_match(const struct wf_cmd *c, const struct rec *ev)
{
    int type = event_type(ev);
    if (c->event_type == type) return true;
    if (type != EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW || !command_is_terminal(c->type))
        return false;
    int64_t by = rec_int(event_attrs(ev), T(ev_workflow_execution_continued_as_new, initiator));
    return by == CONTINUE_AS_NEW_INITIATOR_RETRY || by == CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE;
}

static void differ(struct wf_run *r, const struct rec *ev, const struct wf_cmd *c,
                   int64_t completed_id)
{
    int cause = WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR;
    if (ev && c) {
        wf_task_failf(r, cause, "NonDeterminism",
                      "history and script differ at event %lld: recorded " STR_FMT
                      ", but the script now asks for " STR_FMT,
                      (long long)event_id(ev), STR_ARG(event_text(r, ev)),
                      STR_ARG(command_text(r, c)));
    } else if (ev) {
        struct str at = r->n_pending ? r->pending[0].where : (struct str){NULL, 0};
        wf_task_failf(r, cause, "NonDeterminism",
                      "history and script differ at event %lld: recorded " STR_FMT
                      ", but the script no longer asks for it%s" STR_FMT,
                      (long long)event_id(ev), STR_ARG(event_text(r, ev)),
                      at.n ? "; it waits at " : "", STR_ARG(at));
    } else {
        wf_task_failf(r, cause, "NonDeterminism",
                      "history and script differ after event %lld (WorkflowTaskCompleted): the "
                      "script now asks for " STR_FMT ", which was not recorded",
                      (long long)completed_id, STR_ARG(command_text(r, c)));
    }
}

static void add_drift(struct wf_run *r, const struct rec *ev, struct str text)
{
    struct wf_machines *m = r->machines;
    if (m->n_drift == m->cap_drift) {
        size_t cap = m->cap_drift ? m->cap_drift * 2 : 8;
        struct wf_drift *d = arena_alloc(&r->out_arena, cap * sizeof *d);
        if (!d) return;
        if (m->n_drift) memcpy(d, m->drift, m->n_drift * sizeof *d);
        m->drift = d;
        m->cap_drift = cap;
    }
    m->drift[m->n_drift++] = (struct wf_drift){event_id(ev), arena_str(&r->out_arena, text)};
}

/* False: an error was raised. */
static bool arguments_match(struct wf_run *r, const struct wf_cmd *c, const struct rec *ev,
                            const struct rec *args)
{
    struct wf_machines *m = r->machines;
    if (r->info.codec || m->expected->live ||
        (c->type != COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK &&
         c->type != COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION &&
         c->type != COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION))
        return true;
    if (payloads_same(args, c->args)) return true;
    struct str text = command_text(r, c);
    if (m->digest_same) {
        wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR, "NonDeterminism",
                      "history and script differ at event %lld: recorded " STR_FMT
                      ", but the script now asks for " STR_FMT " with other arguments",
                      (long long)event_id(ev), STR_ARG(event_text(r, ev)), STR_ARG(text));
        return false;
    }
    add_drift(r, ev,
              arena_printf(&m->look_arena,
                           "event %lld recorded " STR_FMT " with other arguments than " STR_FMT
                           " has now",
                           (long long)event_id(ev), STR_ARG(event_text(r, ev)), STR_ARG(text)));
    return true;
}

static int bind(struct wf_run *r, struct wf_cmd *c, const struct rec *ev)
{
    switch (c->type) {
    case COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
    case COMMAND_TYPE_START_TIMER:
    case COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION:
    case COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION:
    case COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION:
        return c->op ? wf_event_bind(r, event_id(ev), c->op) : 0;
    case COMMAND_TYPE_CANCEL_TIMER:
        if (c->op) wf_event_unbind(r, c->op->event_id);
        return 0;
    default:
        return 0;
    }
}

static struct wf_cmd *next_live(struct wf_cmds *set, struct wf_cmd *c)
{
    if (c && c == set->terminal) return NULL;
    for (c = c ? c->next : set->first; c && c->dropped; c = c->next)
        ;
    return c ? c : set->terminal;
}

/* 0 or ERR_NOMEM; a difference is a failed task. Uses up m->expected. */
int wf_compare(struct wf_run *r, const struct rec *const *events, size_t n, int64_t completed_id)
{
    struct wf_machines *m = r->machines;
    struct wf_cmd *c = next_live(m->expected, NULL);
    bool skip_upsert = false;
    size_t i = 0;
    int rc = 0;
    while (!r->task_failure && !rc && (i < n || c)) {
        const struct rec *ev = i < n ? events[i] : NULL;
        struct wf_identity id = {0};
        if (ev) identity_of(r, ev, &id);
        bool same =
            ev && c && kinds_match(c, ev) && str_eq(c->id, id.id) && str_eq(c->name, id.name);
        if (same) {
            skip_upsert = false;
            if (arguments_match(r, c, ev, id.args)) rc = bind(r, c, ev);
            c = next_live(m->expected, c);
            i++;
        } else if (ev && (id.deprecated || (skip_upsert && str_eqz(id.name, WF_CHANGE_VERSION)))) {
            skip_upsert = id.deprecated; /* nobody asks any more, and nobody has to */
            i++;
        } else if (c && c->optional && !m->expected->live) {
            c = next_live(m->expected, c);
        } else {
            differ(r, ev, c, completed_id);
        }
    }
    if (!r->task_failure) wf_cmds_reset(r, m->expected);
    return rc;
}
