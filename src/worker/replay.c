/* Replaying without an engine: a history against a text, and a query of a run whose script is not
 * loaded. */
#include "base/mem.h"
#include "worker/worker_internal.h"
#include <stdlib.h>

static const char *pending_name(enum wf_pending_kind k)
{
    switch (k) {
    case WF_PENDING_TIMER:
        return "timer";
    case WF_PENDING_ACTIVITY:
        return "activity";
    case WF_PENDING_LOCAL:
        return "localActivity";
    case WF_PENDING_CHILD:
        return "child";
    case WF_PENDING_EXTERNAL:
        return "external";
    case WF_PENDING_SIGNAL:
        return "signal";
    case WF_PENDING_CONDITION:
        return "condition";
    }
    return "unknown";
}

static void put_member(struct buf *out, const char *name, struct str v)
{
    if (!v.n) return;
    buf_puts(out, ",\"");
    buf_puts(out, name);
    buf_puts(out, "\":");
    buf_put_json(out, v);
}

int worker_pending_json(const struct wf_pending *p, size_t n, struct buf *out)
{
    char iso[TIME_ISO_MAX];
    buf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, i ? ",{\"kind\":\"" : "{\"kind\":\"");
        buf_puts(out, pending_name(p[i].kind));
        buf_putc(out, '"');
        put_member(out, "name", p[i].name);
        put_member(out, "id", p[i].id);
        put_member(out, "where", p[i].where);
        if (p[i].due_ns && time_format_iso(p[i].due_ns, iso) > 0)
            put_member(out, "due", str_of(iso));
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
    return out->code;
}

static void info_of(struct wf_info *info, const struct bundle *b, struct rec *const *events,
                    const struct wf_limits *limits)
{
    const struct rec *started = event_attrs(events[0]);
    struct str id = rec_str(started, T(ev_workflow_execution_started, workflow_id));
    struct str run = rec_str(started, T(ev_workflow_execution_started, original_execution_run_id));
    *info = (struct wf_info){
        .namespace_ = STR("default"),
        .workflow_id = id.n ? id : STR("replay"),
        .run_id = run.n ? run : STR("replay"),
        .task_queue = rec_str(rec_msg(started, T(ev_workflow_execution_started, task_queue)),
                              T(task_queue, name)),
        .current_digest = b->digest};
    if (limits) info->limits = *limits;
}

static int run_to_end(struct wf_run *r, const struct wf_task *task, const struct wf_out **out,
                      struct err *e)
{
    int rc = wf_activate(r, task, (struct wf_budget){W_SLICE}, out, e);
    while (rc == 0 && (*out)->status == WF_MORE)
        rc = wf_activate(r, NULL, (struct wf_budget){W_SLICE}, out, e);
    return rc;
}

static void count_batch(void *ud, size_t from, size_t to, bool completed)
{
    (void)from;
    (void)to;
    if (completed) (*(size_t *)ud)++;
}

/* The event that a non-determinism report names: "... event 12 ...". */
static long long event_of(struct str message)
{
    for (size_t i = 0; i + 6 < message.n; i++)
        if (memcmp(message.p + i, "event ", 6) == 0 && message.p[i + 6] >= '0' &&
            message.p[i + 6] <= '9')
            return strtoll(message.p + i + 6, NULL, 10);
    return 0;
}

static void put_drift(struct buf *report, const struct wf_out *out)
{
    buf_puts(report, ",\"drift\":[");
    for (size_t i = 0; out && i < out->n_drift; i++) {
        buf_printf(report, "%s{\"event\":%lld,\"text\":", i ? "," : "",
                   (long long)out->drift[i].event_id);
        buf_put_json(report, out->drift[i].text);
        buf_putc(report, '}');
    }
    buf_putc(report, ']');
}

int worker_replay(struct bundle *b, struct rec *const *events, size_t n,
                  const struct wf_limits *limits, struct buf *report, struct err *e)
{
    struct wf_run *r = NULL;
    const struct wf_out *out = NULL;
    struct wf_info info;
    size_t batches = 0;
    if (!n || event_id(events[0]) != 1)
        return err_set(e, ERR_PROTO, "a history must begin with event 1 (it has %zu events)", n);
    int rc = wf_split((const struct rec *const *)events, n, count_batch, &batches, e);
    if (rc) return rc;
    info_of(&info, b, events, limits);
    rc = wf_open(b, &info, &r, e);
    if (rc) return rc;
    struct wf_task task = {
        .events = (const struct rec *const *)events, .n_events = n, .whole = true};
    rc = run_to_end(r, &task, &out, e);
    if (rc) goto out;
    if (out->status == WF_FAIL_TASK) {
        struct str m = rec_str(out->failure, T(failure, message));
        bool nondet = out->fail_cause == WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR;
        long long at = event_of(m);
        rc = err_set(e, nondet ? ERR_NONDET : ERR_SCRIPT, STR_FMT, STR_ARG(m));
        buf_printf(report, "{\"ok\":false,\"events\":%zu,\"batches\":%zu,\"error\":", n, batches);
        buf_put_json(report, m);
        if (at) buf_printf(report, ",\"event\":%lld", at);
    } else {
        buf_printf(report, "{\"ok\":true,\"events\":%zu,\"batches\":%zu", n, batches);
    }
    put_drift(report, out);
    buf_putc(report, '}');
    if (report->code) rc = err_set(e, report->code, "the replay's report does not fit in memory");
out:
    wf_close(r);
    return rc;
}

int worker_query(struct bundle *b, struct rec *const *events, size_t n, struct str type,
                 const struct rec *args, const struct wf_limits *limits, worker_query_fn fn,
                 void *ud, struct err *e)
{
    struct wf_run *r = NULL;
    const struct wf_out *out = NULL;
    struct wf_info info;
    if (!n || event_id(events[0]) != 1)
        return err_set(e, ERR_PROTO, "a history must begin with event 1 (it has %zu events)", n);
    info_of(&info, b, events, limits);
    int rc = wf_open(b, &info, &r, e);
    if (rc) return rc;
    struct wf_query q = {.id = STR("1"), .type = type, .args = args};
    struct wf_task task = {.events = (const struct rec *const *)events,
                           .n_events = n,
                           .whole = true,
                           .queries = &q,
                           .n_queries = 1};
    rc = run_to_end(r, &task, &out, e);
    if (rc) goto out;
    if (out->status == WF_FAIL_TASK)
        rc = err_set(e,
                     out->fail_cause == WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
                         ? ERR_NONDET
                         : ERR_SCRIPT,
                     STR_FMT, STR_ARG(rec_str(out->failure, T(failure, message))));
    else if (!out->n_query_results)
        rc = err_set(e, ERR_FAILED, "the run gave no answer to the query");
    else
        fn(ud, &out->query_results[0]);
out:
    wf_close(r);
    return rc;
}
