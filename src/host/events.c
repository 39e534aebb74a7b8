/* What became durable, told to the host program and to clients on the socket. Activity events get
 * their activity's type from the scheduled event, which is remembered while the activity is open.
 */
#include "base/mem.h"
#include "host/host_internal.h"
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 10000

void host_event(ml_host *h, const ml_event *ev)
{
    if (h->closing) return;
    h->in_callback++;
    if (h->cfg.event) h->cfg.event(h->cfg.event_ud, ev);
    h->in_callback--;
    if (h->server) server_event(h->server, ev);
}

void host_say(ml_host *h, enum ml_event_kind kind, const char *workflow_id, const char *text)
{
    ml_event ev = {.kind = kind,
                   .workflow_id = workflow_id ? workflow_id : "",
                   .run_id = "",
                   .type = "",
                   .name = "",
                   .text = text ? text : "",
                   .time_ns = h->engine ? engine_now(h->engine) : clock_wall(&h->clock)};
    host_event(h, &ev);
}

static size_t name_key(char *out, size_t n, struct str run_id, int64_t id)
{
    int len = snprintf(out, n, STR_FMT ":%lld", STR_ARG(run_id), (long long)id);
    return len > 0 && (size_t)len < n ? (size_t)len : 0;
}

/* The name, and behind its NUL the activity's id. */
static void remember(ml_host *h, struct str run_id, int64_t id, struct str name, struct str step)
{
    char key[128];
    size_t n = name_key(key, sizeof key, run_id, id);
    if (!n || h->activity_names.n >= NAMES_MAX) return; /* then progress shows no name */
    char *copy = mem_zalloc(name.n + step.n + 2);
    if (copy && name.n) memcpy(copy, name.p, name.n);
    if (copy && step.n) memcpy(copy + name.n + 1, step.p, step.n);
    char *old = map_get(&h->activity_names, str_make(key, n));
    if (copy && map_set(&h->activity_names, str_make(key, n), copy))
        mem_free(copy);
    else if (copy)
        mem_free(old); /* scheduled again, after going back to a snapshot */
}

static const char *recall(ml_host *h, struct str run_id, int64_t id)
{
    char key[128];
    size_t n = name_key(key, sizeof key, run_id, id);
    return n ? map_get(&h->activity_names, str_make(key, n)) : NULL;
}

static void forget(ml_host *h, struct str run_id, int64_t id)
{
    char key[128];
    size_t n = name_key(key, sizeof key, run_id, id);
    if (n) mem_free(map_del(&h->activity_names, str_make(key, n)));
}

void events_free(ml_host *h)
{
    for (struct map_entry *en = h->activity_names.first; en; en = en->next)
        mem_free(en->value);
    map_free(&h->activity_names);
    map_init(&h->activity_names);
}

/* The scheduled event an activity's event belongs to; 0 for other events. */
int64_t events_scheduled(const struct rec *ev, const struct rec *a)
{
    switch (event_type(ev)) {
    case EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        return event_id(ev);
    case EVENT_TYPE_ACTIVITY_TASK_STARTED:
        return rec_int(a, T(ev_activity_task_started, scheduled_event_id));
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        return rec_int(a, T(ev_activity_task_completed, scheduled_event_id));
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
        return rec_int(a, T(ev_activity_task_failed, scheduled_event_id));
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        return rec_int(a, T(ev_activity_task_timed_out, scheduled_event_id));
    case EVENT_TYPE_ACTIVITY_TASK_CANCELED:
        return rec_int(a, T(ev_activity_task_canceled, scheduled_event_id));
    case EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED:
        return rec_int(a, T(ev_activity_task_cancel_requested, scheduled_event_id));
    default:
        return 0;
    }
}

static struct str plain_name(const struct rec *ev, const struct rec *a)
{
    switch (event_type(ev)) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
        return rec_str(rec_msg(a, T(ev_workflow_execution_started, workflow_type)),
                       T(workflow_type, name));
    case EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        return rec_str(a, T(ev_workflow_execution_signaled, signal_name));
    case EVENT_TYPE_TIMER_STARTED:
        return rec_str(a, T(ev_timer_started, timer_id));
    case EVENT_TYPE_TIMER_FIRED:
        return rec_str(a, T(ev_timer_fired, timer_id));
    case EVENT_TYPE_TIMER_CANCELED:
        return rec_str(a, T(ev_timer_canceled, timer_id));
    case EVENT_TYPE_MARKER_RECORDED:
        return rec_str(a, T(ev_marker_recorded, marker_name));
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
        return rec_str(rec_msg(a, T(ev_start_child_workflow_execution_initiated, workflow_type)),
                       T(workflow_type, name));
    default:
        return (struct str){0};
    }
}

static bool closes_activity(int type)
{
    return type == EVENT_TYPE_ACTIVITY_TASK_COMPLETED || type == EVENT_TYPE_ACTIVITY_TASK_FAILED ||
           type == EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT || type == EVENT_TYPE_ACTIVITY_TASK_CANCELED;
}

/* The name that an activity's event is told with; others find it in themselves. */
static const char *name_of(ml_host *h, struct str run_id, const struct rec *ev, char buf[256])
{
    const struct rec *a = event_attrs(ev);
    int64_t scheduled = events_scheduled(ev, a);
    const char *known = scheduled ? recall(h, run_id, scheduled) : NULL;
    if (known) return known;
    snprintf(buf, 256, STR_FMT, STR_ARG(scheduled ? STR("") : plain_name(ev, a)));
    return buf;
}

const char *events_name(ml_host *h, struct str run_id, const struct rec *ev, char out[256])
{
    if (event_type(ev) == EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) {
        struct str type =
            rec_str(rec_msg(event_attrs(ev), T(ev_activity_task_scheduled, activity_type)),
                    T(activity_type, name));
        snprintf(out, 256, STR_FMT, STR_ARG(type));
        return out;
    }
    return name_of(h, run_id, ev, out);
}

const char *events_step(ml_host *h, struct str run_id, const struct rec *ev)
{
    if (!closes_activity(event_type(ev))) return NULL;
    const char *known = recall(h, run_id, events_scheduled(ev, event_attrs(ev)));
    return known ? known + strlen(known) + 1 : NULL;
}

static void note_scheduled(ml_host *h, struct str run_id, const struct rec *ev)
{
    remember(h, run_id, event_id(ev),
             rec_str(rec_msg(event_attrs(ev), T(ev_activity_task_scheduled, activity_type)),
                     T(activity_type, name)),
             rec_str(event_attrs(ev), T(ev_activity_task_scheduled, activity_id)));
}

static void tell(ml_host *h, const char *workflow_id, const char *run, struct str run_id,
                 const struct rec *ev)
{
    int type = event_type(ev);
    char name[256];
    ml_event out = {.kind = ML_EVENT_HISTORY,
                    .workflow_id = workflow_id,
                    .run_id = run,
                    .type = event_name(type),
                    .name = name_of(h, run_id, ev, name),
                    .text = "",
                    .event_id = event_id(ev),
                    .time_ns = event_time(ev)};
    if (type == EVENT_TYPE_ACTIVITY_TASK_STARTED)
        out.attempt = (int)rec_int(event_attrs(ev), T(ev_activity_task_started, attempt));
    host_event(h, &out);
}

void host_on_commit(void *ud, struct str workflow_id, struct str run_id, struct rec *const *events,
                    size_t n)
{
    ml_host *h = ud;
    if (!h->cfg.event && !h->server && !h->serving) return;
    bool heard = h->cfg.event || (h->server && server_listened(h->server));
    char *id = heard ? str_dup(workflow_id) : NULL, *run = heard ? str_dup(run_id) : NULL;
    for (size_t i = 0; i < n; i++)
        if (event_type(events[i]) == EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
            note_scheduled(h, run_id, events[i]);
    follow_commit(h, run_id, events, n);
    for (size_t i = 0; i < n; i++) {
        int type = event_type(events[i]);
        if (id && run) tell(h, id, run, run_id, events[i]);
        if (closes_activity(type))
            forget(h, run_id, events_scheduled(events[i], event_attrs(events[i])));
    }
    mem_free(id);
    mem_free(run);
}
