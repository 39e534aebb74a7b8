/* The polls of a worker: which are open, and what becomes of what they bring. */
#include "temporal/grpc.h"
#include "temporal/worker_half.h"
#include <stdio.h>

static bool served(const struct tw_queue *q, enum tw_kind kind)
{
    return kind == TW_ACTIVITY ? q->activities : q->workflows;
}

static bool may_open(const struct tw *w, const struct tw_queue *q, enum tw_kind kind)
{
    if (!served(q, kind) || q->open[kind] >= q->want[kind]) return false;
    if (kind == TW_ACTIVITY) return w->open[kind] < w->activity_slots;
    int open = w->open[TW_NORMAL] + w->open[TW_STICKY];
    return open < w->workflow_slots || (q->open[kind] == 0 && w->workflow_slots > 0);
}

void tw_scale(struct tw_queue *q, enum tw_kind kind, int delta)
{
    int n = q->want[kind] + (delta > TW_POLLS_MAX ? TW_POLLS_MAX : delta);
    q->want[kind] = n < 1 ? 1 : n > TW_POLLS_MAX ? TW_POLLS_MAX : n;
}

static void poll_free(struct tw_poll *p)
{
    struct tw *w = p->w;
    if (p->prev)
        p->prev->next = p->next;
    else
        w->polls = p->next;
    if (p->next) p->next->prev = p->prev;
    w->open[p->kind]--;
    p->q->open[p->kind]--;
    mem_free(p);
}

static const char *kind_name(enum tw_kind kind)
{
    return kind == TW_ACTIVITY ? "activities" : "workflow tasks";
}

static void pause_polls(struct tw *w)
{
    w->paused = true;
    if (!w->ending) loop_timer_start(w->timer, TW_RETRY_NS);
}

static void on_retry(void *ud, const struct channel_reply *r, int tries, int64_t wait_ns)
{
    const struct tw_poll *p = ud;
    if (tries != 1 && tries % 10 != 0) return;
    log_printf(p->w->t->log, LOG_WARN,
               "polling task queue %s for %s: " STR_FMT " (%s); asking again in %lld ms",
               p->q->name, kind_name(p->kind), STR_ARG(r->message), grpc_status_name(r->code),
               (long long)(wait_ns / NS_PER_MS));
    if (r->code == STATUS_RESOURCE_EXHAUSTED) tw_scale(p->q, p->kind, -(p->q->want[p->kind] / 2));
}

static void poll_failed(struct tw_poll *p, const struct channel_reply *r)
{
    struct tw *w = p->w;
    struct arena a;
    struct status s;
    struct err e = {0};
    char doing[300];
    arena_init(&a, 0);
    snprintf(doing, sizeof doing, "poll task queue %s for %s", p->q->name, kind_name(p->kind));
    if (status_read(&a, r->code, r->message, r->details, &s))
        err_set(&e, ERR_NOMEM, "%s: out of memory", doing);
    else
        status_err(&s, doing, str_of(w->t->ns), &e);
    log_printf(w->t->log, LOG_ERROR, "%s; asking again in %lld s", e.text,
               (long long)(TW_RETRY_NS / NS_PER_S));
    arena_free(&a);
    pause_polls(w);
}

static void on_polled(void *ud, const struct rpc_reply *r)
{
    struct tw_poll *p = ud;
    struct tw *w = p->w;
    struct tw_queue *q = p->q;
    enum tw_kind kind = p->kind;
    if (r->r.code) poll_failed(p, &r->r);
    poll_free(p);
    if (r->r.code == STATUS_OK) {
        w->hold++;
        if (kind == TW_ACTIVITY)
            tw_take_activity(w, q, r->r.body);
        else
            tw_take_workflow(w, q, kind, r->r.body);
        w->hold--;
    }
    tw_pump(w);
}

/* ---- opening one ---- */
PbDeployment__WorkerDeploymentOptions *tw_deployment(struct arena *a, const struct tw *w,
                                                     const char *build)
{
    if (!build || !w->deployment) return NULL;
    PbDeployment__WorkerDeploymentOptions *m = bridge_new(a, PbDeployment__WorkerDeploymentOptions,
                                                          pb_deployment__worker_deployment_options);
    m->deployment_name = bridge_text(a, str_of(w->deployment));
    m->build_id = bridge_text(a, str_of(build));
    m->worker_versioning_mode = PB__WORKER_VERSIONING_MODE__WORKER_VERSIONING_MODE_VERSIONED;
    return m;
}

PbTaskqueue__TaskQueue *tw_task_queue(struct arena *a, const struct tw_queue *q, bool sticky)
{
    PbTaskqueue__TaskQueue *m = bridge_new(a, PbTaskqueue__TaskQueue, pb_taskqueue__task_queue);
    m->name = bridge_text(a, str_of(sticky ? q->sticky : q->name));
    m->kind = sticky ? PB__TASK_QUEUE_KIND__TASK_QUEUE_KIND_STICKY
                     : PB__TASK_QUEUE_KIND__TASK_QUEUE_KIND_NORMAL;
    if (sticky) m->normal_name = bridge_text(a, str_of(q->name));
    return m;
}

static const char *workflow_request(struct tw_poll *p, struct arena *a, struct str *bytes)
{
    struct tw *w = p->w;
    Pb__PollWorkflowTaskQueueRequest *q =
        bridge_new(a, Pb__PollWorkflowTaskQueueRequest, pb__poll_workflow_task_queue_request);
    q->namespace_ = bridge_text(a, str_of(w->t->ns));
    q->identity = bridge_text(a, str_of(w->t->identity));
    q->worker_instance_key = bridge_text(a, str_of(w->key));
    q->deployment_options = tw_deployment(a, w, p->q->build);
    q->task_queue = tw_task_queue(a, p->q, p->kind == TW_STICKY);
    *bytes = bridge_pack(a, q);
    return METHOD("PollWorkflowTaskQueue");
}

static const char *activity_request(struct tw_poll *p, struct arena *a, struct str *bytes)
{
    struct tw *w = p->w;
    Pb__PollActivityTaskQueueRequest *q =
        bridge_new(a, Pb__PollActivityTaskQueueRequest, pb__poll_activity_task_queue_request);
    q->namespace_ = bridge_text(a, str_of(w->t->ns));
    q->identity = bridge_text(a, str_of(w->t->identity));
    q->worker_instance_key = bridge_text(a, str_of(w->key));
    q->deployment_options = tw_deployment(a, w, p->q->build);
    q->task_queue = tw_task_queue(a, p->q, false);
    *bytes = bridge_pack(a, q);
    return METHOD("PollActivityTaskQueue");
}

static int open_poll(struct tw *w, struct tw_queue *q, enum tw_kind kind, struct err *e)
{
    struct arena a;
    struct str bytes;
    struct tw_poll *p = mem_zalloc(sizeof *p);
    if (!p) return err_set(e, ERR_NOMEM, "out of memory for a poll");
    *p = (struct tw_poll){.w = w, .q = q, .kind = kind, .next = w->polls};
    if (p->next) p->next->prev = p;
    w->polls = p;
    w->open[kind]++;
    q->open[kind]++;
    arena_init(&a, 0);
    const char *method =
        kind == TW_ACTIVITY ? activity_request(p, &a, &bytes) : workflow_request(p, &a, &bytes);
    const struct rpc_options o = {.class = RPC_POLL, .ns = str_of(w->t->ns), .on_retry = on_retry};
    struct wire *wire = &w->t->wire;
    int rc = bytes.p ? wire->send(wire->ud, method, bytes, &o, on_polled, p, &p->id, e)
                     : err_set(e, ERR_NOMEM, "out of memory for a poll");
    arena_free(&a);
    if (rc) poll_free(p);
    return rc;
}

void tw_pump(struct tw *w)
{
    struct err e = {0};
    if (w->deployment && !w->build) return;
    if (w->asked != TW_KNOWN || w->paused || w->hold || w->stopping) return;
    for (bool opened = true; opened;) { /* one of each kind and queue in turn */
        opened = false;
        for (struct tw_queue *q = w->queues; q; q = q->next)
            for (enum tw_kind kind = 0; kind < TW_KINDS; kind++) {
                if (!may_open(w, q, kind)) continue;
                if (open_poll(w, q, kind, &e)) {
                    log_printf(w->t->log, LOG_ERROR, "polling task queue %s: %s", q->name, e.text);
                    pause_polls(w);
                    return;
                }
                opened = true;
            }
    }
}

void tw_polls_cancel(struct tw *w, const struct tw_queue *q)
{
    for (struct tw_poll *p = w->polls, *next; p; p = next) {
        next = p->next;
        if (q && (p->q != q || served(q, p->kind))) continue;
        w->t->wire.cancel(w->t->wire.ud, p->id);
        poll_free(p);
    }
}
