/* Looking: describe, list, count. The JSON has the members that the embedded engine gives
 * (engine/engine_read.c), so that verbs and scripts read both alike; what a server knows besides
 * (memo, search attributes) is added. */
#include "base/buf.h"
#include "temporal/client_internal.h"

#define JSON_MAX ((size_t)64 << 20)
#define WAITING_NS (5 * NS_PER_S) /* a workflow task that no worker took for so long is told of */
#define PROBLEMS "TemporalReportedProblems"

/* ---- JSON ---- */
static void put_key(struct buf *b, const char *key)
{
    if (b->n && b->p[b->n - 1] != '{' && b->p[b->n - 1] != '[') buf_putc(b, ',');
    buf_printf(b, "\"%s\":", key);
}

static void put_text(struct buf *b, const char *key, const char *z)
{
    put_key(b, key);
    buf_put_json(b, str_of(z));
}

static void put_text_if(struct buf *b, const char *key, const char *z)
{
    if (*z) put_text(b, key, z);
}

static void put_i64(struct buf *b, const char *key, int64_t v)
{
    put_key(b, key);
    buf_printf(b, "%lld", (long long)v);
}

static void put_time(struct buf *b, const char *key, const PbGoogle__Timestamp *t)
{
    char iso[TIME_ISO_MAX];
    if (!bridge_ns(t)) return;
    time_format_iso(bridge_ns(t), iso);
    put_text(b, key, iso);
}

static struct str encoding_of(const PbCommon__Payload *p)
{
    for (size_t i = 0; p && i < p->n_metadata; i++)
        if (strcmp(p->metadata[i]->key, "encoding") == 0) return bridge_str(&p->metadata[i]->value);
    return (struct str){NULL, 0};
}

/* JSON as it is; other encodings as {"encoding": ..., "data": base64}. */
static void put_payload(struct buf *b, const PbCommon__Payload *p)
{
    struct str encoding = encoding_of(p);
    if (str_eqz(encoding, PAYLOAD_JSON) && p->data.len) {
        buf_putstr(b, bridge_str(&p->data));
    } else if (!p || !p->data.len) {
        buf_puts(b, "null");
    } else {
        buf_puts(b, "{\"encoding\":");
        buf_put_json(b, encoding);
        buf_puts(b, ",\"data\":\"");
        buf_put_base64(b, bridge_str(&p->data));
        buf_puts(b, "\"}");
    }
}

static void put_memo(struct buf *b, const PbCommon__Memo *m)
{
    if (!m || !m->n_fields) return;
    put_key(b, "memo");
    for (size_t i = 0; i < m->n_fields; i++) {
        buf_putc(b, i ? ',' : '{');
        buf_put_json(b, str_of(m->fields[i]->key));
        buf_putc(b, ':');
        put_payload(b, m->fields[i]->value);
    }
    buf_putc(b, '}');
}

static const PbCommon__Payload *attribute(const PbCommon__SearchAttributes *s, const char *name)
{
    for (size_t i = 0; s && i < s->n_indexed_fields; i++)
        if (strcmp(s->indexed_fields[i]->key, name) == 0) return s->indexed_fields[i]->value;
    return NULL;
}

static void put_attributes(struct buf *b, const PbCommon__SearchAttributes *s)
{
    if (!s || !s->n_indexed_fields) return;
    put_key(b, "searchAttributes");
    for (size_t i = 0; i < s->n_indexed_fields; i++) {
        buf_putc(b, i ? ',' : '{');
        buf_put_json(b, str_of(s->indexed_fields[i]->key));
        buf_putc(b, ':');
        put_payload(b, s->indexed_fields[i]->value);
    }
    buf_putc(b, '}');
}

/* ---- one run ---- */
/* The members of a run's object, without its braces. */
void client_put_run(struct buf *b, const PbWorkflow__WorkflowExecutionInfo *i)
{
    const PbWorkflow__WorkflowExecutionVersioningInfo *v = i->versioning_info;
    put_text(b, "workflowId", i->execution ? i->execution->workflow_id : "");
    put_text(b, "runId", i->execution ? i->execution->run_id : "");
    put_text(b, "type", i->type ? i->type->name : "");
    put_text(b, "status", outcome_status_name((int)i->status));
    put_text(b, "taskQueue", i->task_queue);
    put_time(b, "startTime", i->start_time);
    put_time(b, "closeTime", i->close_time);
    put_i64(b, "historyLength", i->history_length);
    put_i64(b, "historyBytes", i->history_size_bytes);
    put_text(b, "entry", "");
    put_text(b, "tree", i->root_execution ? i->root_execution->run_id : "");
    put_text(b, "firstRunId", i->first_run_id);
    put_text(b, "inputDigest", "");
    if (v && v->deployment_version) put_text_if(b, "bundle", v->deployment_version->build_id);
    if (i->parent_execution && *i->parent_execution->workflow_id) {
        put_text(b, "parentId", i->parent_execution->workflow_id);
        put_text(b, "parentRunId", i->parent_execution->run_id);
    }
    put_memo(b, i->memo);
    put_attributes(b, i->search_attributes);
}

static void put_blocked(struct buf *b, const PbCommon__Payload *problems, int attempt)
{
    if (!problems && attempt < 2) return;
    put_key(b, "blocked");
    buf_puts(b, "true");
    put_key(b, "blockedReason");
    struct buf text;
    buf_init(&text, 4096);
    buf_puts(&text, "its workflow task fails");
    if (attempt > 1) buf_printf(&text, " (attempt %d)", attempt);
    if (problems) {
        buf_puts(&text, ": ");
        put_payload(&text, problems);
    }
    buf_puts(&text, "; the newest WorkflowTaskFailed event of its history says why");
    buf_put_json(b, buf_str(&text));
    buf_free(&text);
}

static const char *activity_state(const PbWorkflow__PendingActivityInfo *p)
{
    switch (p->state) {
    case PB__PENDING_ACTIVITY_STATE__PENDING_ACTIVITY_STATE_SCHEDULED:
        return p->attempt > 1 ? "backoff" : "waiting";
    case PB__PENDING_ACTIVITY_STATE__PENDING_ACTIVITY_STATE_PAUSED:
    case PB__PENDING_ACTIVITY_STATE__PENDING_ACTIVITY_STATE_PAUSE_REQUESTED:
        return "paused";
    default:
        return "running";
    }
}

static void put_open(struct buf *b, const Pb__DescribeWorkflowExecutionResponse *m)
{
    put_key(b, "open");
    buf_putc(b, '[');
    for (size_t i = 0; i < m->n_pending_activities; i++) {
        const PbWorkflow__PendingActivityInfo *p = m->pending_activities[i];
        buf_puts(b, i ? ",{" : "{");
        put_text(b, "kind", "activity");
        put_text(b, "id", p->activity_id);
        put_text(b, "type", p->activity_type ? p->activity_type->name : "");
        put_text(b, "state", activity_state(p));
        put_i64(b, "attempt", p->attempt);
        if (p->last_failure) put_text(b, "lastFailure", p->last_failure->message);
        put_text_if(b, "worker", p->last_worker_identity);
        put_time(b, "due", p->next_attempt_schedule_time);
        buf_putc(b, '}');
    }
    for (size_t i = 0; i < m->n_pending_children; i++) {
        const PbWorkflow__PendingChildExecutionInfo *p = m->pending_children[i];
        buf_puts(b, i || m->n_pending_activities ? ",{" : "{");
        put_text(b, "kind", "child");
        put_i64(b, "eventId", p->initiated_id);
        put_text(b, "id", p->workflow_id);
        put_text(b, "type", p->workflow_type_name);
        put_text_if(b, "runId", p->run_id);
        buf_putc(b, '}');
    }
    buf_putc(b, ']');
}

/* What the run waits for, as far as the server knows: timers and signals are not told of. */
static void put_pending(struct buf *b, const Pb__DescribeWorkflowExecutionResponse *m)
{
    put_key(b, "pending");
    buf_putc(b, '[');
    for (size_t i = 0; i < m->n_pending_activities; i++) {
        const PbCommon__ActivityType *type = m->pending_activities[i]->activity_type;
        buf_puts(b, i ? ",{" : "{");
        put_text(b, "kind", "activity");
        put_text(b, "name", type ? type->name : "");
        buf_putc(b, '}');
    }
    for (size_t i = 0; i < m->n_pending_children; i++) {
        buf_puts(b, i || m->n_pending_activities ? ",{" : "{");
        put_text(b, "kind", "child");
        put_text(b, "name", m->pending_children[i]->workflow_type_name);
        buf_putc(b, '}');
    }
    buf_putc(b, ']');
}

static void put_waits_for(struct call *c, struct buf *b,
                          const Pb__DescribeWorkflowExecutionResponse *m)
{
    const PbWorkflow__PendingWorkflowTaskInfo *p = m->pending_workflow_task;
    bool waits =
        p && p->state == PB__PENDING_WORKFLOW_TASK_STATE__PENDING_WORKFLOW_TASK_STATE_SCHEDULED;
    int64_t now = clock_wall(loop_clock(c->t->loop));
    if (!waits || p->attempt > 1 || now - bridge_ns(p->scheduled_time) < WAITING_NS) return;
    struct buf text;
    buf_init(&text, 8192);
    buf_printf(&text, "no worker takes its task from queue %s",
               m->workflow_execution_info->task_queue);
    put_key(b, "waitsFor");
    buf_put_json(b, buf_str(&text));
    buf_free(&text);
}

static int read_describe(struct call *c, struct str bytes, struct err *e)
{
    Pb__DescribeWorkflowExecutionResponse *m;
    int rc =
        call_read(c, &pb__describe_workflow_execution_response__descriptor, bytes, NULL, 0, &m, e);
    if (rc) return rc;
    const PbWorkflow__WorkflowExecutionInfo *i = m->workflow_execution_info;
    if (!i || !i->execution) return err_set(e, ERR_PROTO, "the server told of no run");
    struct buf b;
    buf_init(&b, JSON_MAX);
    buf_putc(&b, '{');
    client_put_run(&b, i);
    put_pending(&b, m);
    if (i->status == PB__WORKFLOW_EXECUTION_STATUS__WORKFLOW_EXECUTION_STATUS_RUNNING) {
        put_blocked(&b, attribute(i->search_attributes, PROBLEMS),
                    m->pending_workflow_task ? m->pending_workflow_task->attempt : 0);
        put_open(&b, m);
        put_waits_for(c, &b, m);
    }
    buf_putc(&b, '}');
    struct backend_reply r = {.run_id = str_of(i->execution->run_id),
                              .status = (enum backend_run_status)i->status,
                              .json = buf_str(&b)};
    if (b.code) err_set(&r.err, b.code, "%s: the description is too long", c->doing);
    call_reply(c, &r);
    buf_free(&b);
    return 0;
}

void client_describe_send(struct call *c, const struct backend_target *t, call_read_fn read)
{
    struct arena *a = call_turn(c);
    Pb__DescribeWorkflowExecutionRequest *q = bridge_new(a, Pb__DescribeWorkflowExecutionRequest,
                                                         pb__describe_workflow_execution_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->execution = call_execution(a, t);
    call_send(c, METHOD("DescribeWorkflowExecution"), q, read);
}

void client_describe(struct backend *b, const struct backend_target *t, backend_reply_fn fn,
                     void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "describe workflow", t->workflow_id);
    if (c) client_describe_send(c, t, read_describe);
}

/* ---- pages: a server's token is bytes, ours is text ---- */
struct str client_page_out(struct arena *a, const ProtobufCBinaryData *token)
{
    if (!token->len) return (struct str){NULL, 0};
    struct buf b;
    buf_init(&b, token->len * 2 + 4);
    buf_put_base64(&b, bridge_str(token));
    if (b.code) a->failed = true;
    struct str out = arena_str(a, buf_str(&b));
    buf_free(&b);
    return out;
}

int client_page_in(struct arena *a, struct str page, ProtobufCBinaryData *token)
{
    struct buf b;
    buf_init(&b, page.n + 4);
    int rc = base64_decode(page, &b);
    if (!rc) *token = bridge_bytes(a, buf_str(&b));
    buf_free(&b);
    return rc;
}
