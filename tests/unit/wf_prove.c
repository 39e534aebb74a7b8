/* See wf_prove.h. */
#include "wf_prove.h"
#include "check.h"

uint64_t prove_budget;
const char *prove_name = ""; /* the running case, for failures seen here */

/* ---- one language for events and commands ---- */
static void put(char *out, size_t n, int type, struct str id)
{
    snprintf(out, n, "%s%s" STR_FMT, event_name(type), id.n ? " " : "", STR_ARG(id));
}
static struct str marker_id(const struct rec *details_owner, int tag, struct str name, char *buf,
                            size_t n)
{
    const char *key = str_eqz(name, "core_patch")   ? "patch-data"
                      : str_eqz(name, "SideEffect") ? "side-effect-id"
                                                    : "data";
    struct str d =
        payload_data(rec_msg(rec_map_get(details_owner, tag, str_of(key)), T(payloads, payloads)));
    const char *mark = str_eqz(name, "core_patch")   ? "\"id\":"
                       : str_eqz(name, "SideEffect") ? ""
                                                     : "\"seq\":";
    char *z = str_dup(d), *at = strstr(z, mark);
    at = at ? at + strlen(mark) : z;
    snprintf(buf, n, STR_FMT ":%.*s", STR_ARG(name), (int)strcspn(at, ",}"), at);
    mem_free(z);
    return str_of(buf);
}
void text_of_event(const struct rec *ev, char *out, size_t n)
{
    const struct rec *at = event_attrs(ev);
    char buf[256];
    struct str id = {NULL, 0};
    switch (event_type(ev)) {
    case EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        id = rec_str(at, T(ev_activity_task_scheduled, activity_id));
        break;
    case EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED:
        snprintf(buf, sizeof buf, "%lld",
                 (long long)rec_int(at, T(ev_activity_task_cancel_requested, scheduled_event_id)));
        id = str_of(buf);
        break;
    case EVENT_TYPE_TIMER_STARTED:
        id = rec_str(at, T(ev_timer_started, timer_id));
        break;
    case EVENT_TYPE_TIMER_CANCELED:
        id = rec_str(at, T(ev_timer_canceled, timer_id));
        break;
    case EVENT_TYPE_MARKER_RECORDED:
        id = marker_id(at, T(ev_marker_recorded, details),
                       rec_str(at, T(ev_marker_recorded, marker_name)), buf, sizeof buf);
        break;
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
        id = rec_str(at, T(ev_start_child_workflow_execution_initiated, workflow_id));
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
        id = rec_str(at, T(ev_workflow_execution_update_accepted, protocol_instance_id));
        snprintf(out, n, "Update " STR_FMT "/accept", STR_ARG(id));
        return;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
        id = rec_str(rec_msg(at, T(ev_workflow_execution_update_completed, meta)),
                     T(update_meta, update_id));
        snprintf(out, n, "Update " STR_FMT "/complete", STR_ARG(id));
        return;
    default:
        break;
    }
    put(out, n, event_type(ev), id);
}
void text_of_command(const struct rec *c, char *out, size_t n)
{
    const struct rec *at = command_attrs(c);
    char buf[256];
    struct str id = {NULL, 0};
    switch (command_type(c)) {
    case COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
        id = rec_str(at, T(cmd_schedule_activity_task, activity_id));
        break;
    case COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK:
        snprintf(buf, sizeof buf, "%lld",
                 (long long)rec_int(at, T(cmd_request_cancel_activity_task, scheduled_event_id)));
        id = str_of(buf);
        break;
    case COMMAND_TYPE_START_TIMER:
        id = rec_str(at, T(cmd_start_timer, timer_id));
        break;
    case COMMAND_TYPE_CANCEL_TIMER:
        id = rec_str(at, T(cmd_cancel_timer, timer_id));
        break;
    case COMMAND_TYPE_RECORD_MARKER:
        id = marker_id(at, T(cmd_record_marker, details),
                       rec_str(at, T(cmd_record_marker, marker_name)), buf, sizeof buf);
        break;
    case COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION:
        id = rec_str(at, T(cmd_start_child_workflow_execution, workflow_id));
        break;
    case COMMAND_TYPE_PROTOCOL_MESSAGE:
        snprintf(out, n, "Update " STR_FMT,
                 STR_ARG(rec_str(at, T(cmd_protocol_message, message_id))));
        return;
    default:
        break;
    }
    put(out, n, command_event_type(command_type(c)), id);
}
void text_of_commands(const struct wf_out *o, char *out, size_t n)
{
    out[0] = 0;
    for (size_t i = 0; i < o->n_commands; i++) {
        size_t at = strlen(out);
        snprintf(out + at, n - at, "%s", i ? ", " : "");
        at = strlen(out);
        text_of_command(o->commands[i], out + at, n - at);
    }
}

const struct wf_out *go(struct wf_run *r, const struct wf_task *t)
{
    const struct wf_out *out = NULL;
    struct err e = {0};
    int rc = wf_activate(r, t, (struct wf_budget){prove_budget}, &out, &e);
    if (rc) fprintf(stderr, "wf_activate: %s\n", e.text);
    CHECK_INT(rc, 0);
    for (int i = 0; out->status == WF_MORE; i++) {
        CHECK(i < 10000000);
        CHECK_INT(wf_activate(r, NULL, (struct wf_budget){prove_budget}, &out, &e), 0);
    }
    return out;
}

const struct rec *const *events(const struct hist *h, size_t from)
{
    return (const struct rec *const *)(h->ev + from);
}

const struct wf_out *replay(struct wf_run *r, const struct hist *h)
{
    struct wf_task t = {.events = events(h, 0), .n_events = h->n, .whole = true};
    return go(r, &t);
}

/* A live task that ends with event number `upto`; `from` is the index of its first event. */
const struct wf_out *live_with(struct wf_run *r, const struct hist *h, size_t from, int64_t upto,
                               struct rec **messages, size_t n_messages)
{
    struct wf_task t = {.events = events(h, from),
                        .n_events = (size_t)upto - from,
                        .whole = from == 0,
                        .started_id = upto,
                        .messages = (const struct rec *const *)messages,
                        .n_messages = n_messages,
                        .wall_ns = h->now};
    return go(r, &t);
}
const struct wf_out *live(struct wf_run *r, const struct hist *h, size_t from, int64_t upto)
{
    return live_with(r, h, from, upto, NULL, 0);
}

void check_commands(const struct wf_out *o, const char *want)
{
    char got[2000];
    if (o->status == WF_FAIL_TASK)
        fprintf(stderr, "task failed: " STR_FMT "\n",
                STR_ARG(rec_str(o->failure, T(failure, message))));
    text_of_commands(o, got, sizeof got);
    CHECK_STR(got, want);
}

void check_failure(const struct wf_out *o, const char *want)
{
    CHECK_INT(o->status, WF_FAIL_TASK);
    char got[2000];
    snprintf(got, sizeof got, STR_FMT, STR_ARG(rec_str(o->failure, T(failure, message))));
    CHECK_STR(got, want);
}

/* ---- the generic proof ---- */
static size_t next_start(const struct hist *h, size_t i)
{
    for (; i + 1 < h->n; i++) {
        if (event_type(h->ev[i]) == EVENT_TYPE_WORKFLOW_TASK_STARTED &&
            event_type(h->ev[i + 1]) == EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
            return i;
    }
    return h->n;
}

static void recorded(const struct hist *h, size_t start, char *out, size_t n)
{
    out[0] = 0;
    for (size_t i = start + 2; i < h->n && event_type(h->ev[i]) != EVENT_TYPE_WORKFLOW_TASK_STARTED;
         i++) {
        if (!event_is_command(event_type(h->ev[i]))) continue;
        size_t at = strlen(out);
        snprintf(out + at, n - at, "%s", at ? ", " : "");
        at = strlen(out);
        text_of_event(h->ev[i], out + at, n - at);
    }
}

static size_t messages_of(struct hist *h, size_t start, struct rec **out)
{
    size_t n = 0;
    for (size_t i = start + 2; i < h->n && event_type(h->ev[i]) != EVENT_TYPE_WORKFLOW_TASK_STARTED;
         i++) {
        const struct rec *at = event_attrs(h->ev[i]);
        if (event_type(h->ev[i]) != EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED) continue;
        char id[64], name[64];
        const struct rec *q =
            rec_msg(at, T(ev_workflow_execution_update_accepted, accepted_request));
        snprintf(
            id, sizeof id, STR_FMT,
            STR_ARG(rec_str(at, T(ev_workflow_execution_update_accepted, protocol_instance_id))));
        snprintf(name, sizeof name, STR_FMT,
                 STR_ARG(rec_str(rec_msg(q, T(update_request, input)), T(update_input, name))));
        h->scheduled = event_id(h->ev[start]) - 1;
        out[n++] = h_update_message(h, id, arena_str(&h->a, str_of(name)).p, NULL);
    }
    return n;
}

/* Answers local activities as the history recorded them; false: none was answered in this task (a
 * heartbeat). */
static bool answer_local(struct wf_run *r, const struct hist *h, size_t start, size_t *k)
{
    for (size_t i = start + 2 + *k;
         i < h->n && event_type(h->ev[i]) != EVENT_TYPE_WORKFLOW_TASK_STARTED; i++) {
        const struct rec *at = event_attrs(h->ev[i]);
        *k = i - start - 1;
        if (event_type(h->ev[i]) != EVENT_TYPE_MARKER_RECORDED ||
            !str_eqz(rec_str(at, T(ev_marker_recorded, marker_name)), "core_local_activity"))
            continue;
        char text[300];
        text_of_event(h->ev[i], text, sizeof text);
        struct wf_local_result res = {
            .attempt = 1,
            .result = rec_map_get(at, T(ev_marker_recorded, details), STR("result")),
            .failure = rec_msg(at, T(ev_marker_recorded, failure)),
            .complete_ns = h->now};
        struct str d = payload_data(rec_msg(
            rec_map_get(at, T(ev_marker_recorded, details), STR("data")), T(payloads, payloads)));
        char z[500];
        snprintf(z, sizeof z, STR_FMT, STR_ARG(d));
        const char *b = strstr(z, "\"backoff\":{\"seconds\":");
        res.backoff_ns = b ? atoll(b + 21) * NS_PER_S : 0;
        CHECK_INT(wf_local_resolve(r, (uint32_t)atoi(strrchr(text, ':') + 1), &res), 0);
        return true;
    }
    return false;
}

static void one_task(struct wf_run *r, struct hist *h, size_t from, size_t start)
{
    struct rec *messages[16];
    char want[2000];
    size_t n = messages_of(h, start, messages), k = 0;
    const struct wf_out *o = live_with(r, h, from, (int64_t)start + 1, messages, n);
    while (o->status == WF_WAIT_LOCAL && answer_local(r, h, start, &k))
        o = go(r, NULL);
    recorded(h, start, want, sizeof want);
    check_commands(o, want);
    CHECK(o->status == WF_DONE || o->status == WF_WAIT_LOCAL);
    CHECK_INT(o->n_flags, o->status == WF_DONE && next_start(h, 0) == start ? 1 : o->n_flags);
    if (o->status == WF_WAIT_LOCAL)
        wf_flushed(r);
    else
        CHECK(o->task_has_result);
}

void prove_history(struct hist *h, prove_open open, void *ud, uint64_t budget)
{
    prove_budget = budget;
    CASE(prove_name);
    struct wf_run *r = open(ud);
    const struct wf_out *o = replay(r, h);
    if (o->status == WF_FAIL_TASK)
        fprintf(stderr, "replay: " STR_FMT "\n" STR_FMT "\n",
                STR_ARG(rec_str(o->failure, T(failure, message))),
                STR_ARG(rec_str(o->failure, T(failure, stack_trace))));
    CHECK_INT(o->status, WF_DONE);
    CHECK(!o->task_has_result);
    CHECK_INT(o->n_commands, 0);
    CHECK_INT(o->n_drift, 0);
    CHECK_INT(o->n_logs, 0);
    wf_close(r);
    struct wf_run *kept = open(ud);
    size_t from = 0;
    for (size_t i = next_start(h, 0); i < h->n; i = next_start(h, i + 1)) {
        r = open(ud);
        one_task(r, h, 0, i);
        wf_close(r);
        one_task(kept, h, from, i);
        CHECK_INT(wf_last_event(kept), (int64_t)i + 1);
        from = i + 1;
    }
    wf_close(kept);
    prove_budget = 0;
}
