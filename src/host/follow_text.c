/* What listeners of a run read. Keeps true: an event's id says where a listener stands that has
 * read it, so it is enough to go on from. */
#include "base/mem.h"
#include "host/follow.h"
#include <stdio.h>

static void put(struct buf *b, const char *key, struct str text)
{
    if (!text.n) return;
    buf_printf(b, ",\"%s\":", key);
    buf_put_json(b, text);
}

static void finish(struct buf *out, const char *event, struct buf *data, const char *id)
{
    if (data->code)
        out->code = data->code;
    else
        http_sse_event(out, str_of(event), buf_str(data), str_of(id));
    buf_free(data);
}

static const struct rec *result_of(const struct rec *ev)
{
    const struct rec *a = event_attrs(ev);
    switch (event_type(ev)) {
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        return rec_msg(a, T(ev_activity_task_completed, result));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
        return rec_msg(a, T(ev_child_workflow_execution_completed, result));
    case EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        return rec_msg(a, T(ev_workflow_execution_signaled, input));
    default:
        return NULL;
    }
}

static const struct rec *failure_of(const struct rec *ev)
{
    const struct rec *a = event_attrs(ev);
    switch (event_type(ev)) {
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
        return rec_msg(a, T(ev_activity_task_failed, failure));
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        return rec_msg(a, T(ev_activity_task_timed_out, failure));
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
        return rec_msg(a, T(ev_child_workflow_execution_failed, failure));
    default:
        return NULL;
    }
}

/* The steps of the engine itself, which say nothing of the run. */
static bool untold(int type)
{
    return type == EVENT_TYPE_WORKFLOW_TASK_SCHEDULED || type == EVENT_TYPE_WORKFLOW_TASK_STARTED ||
           type == EVENT_TYPE_WORKFLOW_TASK_COMPLETED || type == EVENT_TYPE_WORKFLOW_TASK_FAILED ||
           type == EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT;
}

bool follow_event(struct buf *out, const struct rec *ev, const char *run_id, const char *name,
                  bool whole)
{
    const struct rec *a = event_attrs(ev), *result = whole ? result_of(ev) : NULL,
                     *failure = whole ? failure_of(ev) : NULL;
    int type = event_type(ev);
    char iso[TIME_ISO_MAX], id[120];
    struct buf b;
    if (untold(type)) return false;
    buf_init(&b, HOST_JSON_MAX);
    time_format_iso(event_time(ev), iso);
    buf_printf(&b, "{\"eventId\":%lld,\"type\":\"%s\",\"time\":\"%s\"", (long long)event_id(ev),
               event_name(type), iso);
    put(&b, "name", str_of(name));
    if (type == EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
        put(&b, "step", rec_str(a, T(ev_activity_task_scheduled, activity_id)));
    if (type == EVENT_TYPE_ACTIVITY_TASK_STARTED)
        buf_printf(&b, ",\"attempt\":%lld",
                   (long long)rec_int(a, T(ev_activity_task_started, attempt)));
    int64_t scheduled = events_scheduled(ev, a);
    if (scheduled && scheduled != event_id(ev))
        buf_printf(&b, ",\"scheduledEventId\":%lld", (long long)scheduled);
    if (result) {
        buf_printf(&b,
                   ",\"%s\":", type == EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED ? "input" : "result");
        payload_json(result, &b);
    }
    if (failure) {
        buf_puts(&b, ",\"failure\":");
        failure_json(failure, &b);
    }
    if (!whole) buf_puts(&b, ",\"large\":true");
    buf_putc(&b, '}');
    snprintf(id, sizeof id, "%s/%lld", run_id, (long long)event_id(ev));
    finish(out, "history", &b, id);
    return true;
}

void follow_end(struct buf *out, const struct rec *ev, const char *run_id)
{
    struct arena a;
    const struct rec *result = NULL, *failure = NULL;
    struct str next = outcome_next_run(ev);
    struct buf b;
    char id[120];
    const char *name = event_name(event_type(ev)); /* "WorkflowExecutionCompleted" */
    static const char prefix[] = "WorkflowExecution";
    if (strncmp(name, prefix, sizeof prefix - 1) == 0) name += sizeof prefix - 1;
    arena_init(&a, 16u << 20);
    outcome_read(&a, ev, &result, &failure);
    buf_init(&b, HOST_JSON_MAX);
    buf_printf(&b, "{\"status\":\"%s\"", name);
    put(&b, "nextRunId", next);
    if (result && !next.n) {
        buf_puts(&b, ",\"result\":");
        payload_json(result, &b);
    }
    if (failure) {
        buf_puts(&b, ",\"failure\":");
        failure_json(failure, &b);
    }
    buf_putc(&b, '}');
    snprintf(id, sizeof id, "%s/%lld", run_id, (long long)event_id(ev));
    finish(out, next.n ? "continued" : "end", &b, id);
    arena_free(&a);
}

static void place(char *out, size_t n, const struct listener *l, const struct step *s, uint64_t at)
{
    snprintf(out, n, "%s/%lld/%d/%llu/%s", l->run->run_id, (long long)l->event, s->attempt,
             (unsigned long long)at, s->id);
}

void follow_piece(struct buf *out, const struct listener *l, const struct step *s,
                  const struct piece *p)
{
    struct buf b;
    char id[400];
    buf_init(&b, HOST_JSON_MAX);
    buf_puts(&b, "{\"step\":");
    buf_put_json(&b, str_of(s->id));
    buf_printf(&b, ",\"attempt\":%d,\"n\":%llu,\"data\":%.*s}", s->attempt,
               (unsigned long long)p->n, (int)p->len, p->text);
    place(id, sizeof id, l, s, p->n);
    finish(out, "progress", &b, id);
}

void follow_restarted(struct buf *out, const struct listener *l, const struct step *s)
{
    struct buf b;
    char id[400];
    buf_init(&b, 4000);
    buf_puts(&b, "{\"step\":");
    buf_put_json(&b, str_of(s->id));
    buf_printf(&b, ",\"attempt\":%d}", s->attempt);
    place(id, sizeof id, l, s, 0);
    finish(out, "restarted", &b, id);
}

static bool number(struct str *rest, int64_t *out)
{
    size_t i = 0;
    *out = 0;
    for (; i < rest->n && rest->p[i] >= '0' && rest->p[i] <= '9' && i < 18; i++)
        *out = *out * 10 + (rest->p[i] - '0');
    if (i == 0 || (i < rest->n && rest->p[i] != '/')) return false;
    *rest = i < rest->n ? str_make(rest->p + i + 1, rest->n - i - 1) : (struct str){NULL, 0};
    return true;
}

bool follow_read_id(struct str id, struct follow_place *out)
{
    const char *slash = id.n ? memchr(id.p, '/', id.n) : NULL;
    *out = (struct follow_place){0};
    if (!slash) return false;
    out->run_id = str_make(id.p, (size_t)(slash - id.p));
    struct str rest = str_make(slash + 1, id.n - out->run_id.n - 1);
    if (!out->run_id.n || out->run_id.n > 64 || !number(&rest, &out->event)) return false;
    if (!rest.n) return true;
    if (!number(&rest, &out->attempt) || !number(&rest, &out->n) || !rest.n) return false;
    out->step = rest;
    return true;
}
