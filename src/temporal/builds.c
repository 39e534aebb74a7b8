/* Earlier builds of the worker's deployment: those that still have runs and whose texts are kept
 * here are polled for beside the worker's own, so that pinned runs go on when their workers are
 * gone. Each has queues of its own (worker_half.h), with the same names. The server is asked which
 * builds those are when the worker begins, and again from time to time. */
#include "temporal/worker_half.h"

static struct tw_queue *queue_of(struct tw *w, const char *name, const struct tw_build *b)
{
    for (struct tw_queue *q = w->queues; q; q = q->next)
        if (q->build == b->id && strcmp(q->name, name) == 0) return q;
    struct tw_queue *q = tw_queue_new(w, str_of(name), b->id);
    if (q) q->build_text = b->text;
    return q;
}

/* The queues of earlier builds serve what those of the own build serve. */
void tw_builds_apply(struct tw *w)
{
    for (struct tw_queue *q = w->queues; q; q = q->next)
        if (q->build && q->build != w->build) q->workflows = q->activities = false;
    for (const struct tw_build *b = w->builds; b; b = b->next)
        for (struct tw_queue *own = w->queues; own && b->open; own = own->next) {
            if (own->build != w->build || (!own->workflows && !own->activities)) continue;
            struct tw_queue *q = queue_of(w, own->name, b);
            if (!q) continue; /* without memory: when the builds are asked for again */
            q->workflows = own->workflows;
            q->activities = own->activities;
        }
    for (struct tw_queue *q = w->queues; q; q = q->next)
        if (q->build != w->build) tw_polls_cancel(w, q);
}

static struct tw_build *build_of(struct tw *w, const char *id)
{
    const struct temporal_keeper *keeper = &w->t->keeper;
    struct buf text;
    struct err e;
    for (struct tw_build *b = w->builds; b; b = b->next)
        if (strcmp(b->id, id) == 0) return b;
    buf_init(&text, 200);
    int rc = keeper->build(keeper->ud, str_of(w->deployment), str_of(id), &text, &e);
    struct tw_build *b = rc || text.code ? NULL : mem_zalloc(sizeof *b);
    if (b) {
        b->id = str_dup(str_of(id));
        b->text = str_dup(text.n ? buf_str(&text) : str_of(id)); /* an id names no text */
    }
    buf_free(&text);
    if (!b || !b->id || !b->text) {
        if (b) mem_free(b->id);
        if (b) mem_free(b->text);
        mem_free(b);
        return NULL;
    }
    b->next = w->builds;
    w->builds = b;
    log_printf(w->t->log, LOG_INFO, "serving runs of build %s, too", id);
    return b;
}

static bool has_runs(Pb__WorkerDeploymentVersionStatus s)
{
    return s == PB__WORKER_DEPLOYMENT_VERSION_STATUS__WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT ||
           s == PB__WORKER_DEPLOYMENT_VERSION_STATUS__WORKER_DEPLOYMENT_VERSION_STATUS_RAMPING ||
           s == PB__WORKER_DEPLOYMENT_VERSION_STATUS__WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING;
}

static int read_builds(struct call *c, struct str bytes, struct err *e)
{
    Pb__DescribeWorkerDeploymentResponse *m;
    struct tw *w = c->ud;
    int rc =
        call_read(c, &pb__describe_worker_deployment_response__descriptor, bytes, NULL, 0, &m, e);
    if (rc) return rc;
    const PbDeployment__WorkerDeploymentInfo *info = m->worker_deployment_info;
    for (struct tw_build *b = w->builds; b; b = b->next)
        b->open = false;
    for (size_t i = 0; info && i < info->n_version_summaries; i++) {
        const PbDeployment__WorkerDeploymentInfo__WorkerDeploymentVersionSummary *s =
            info->version_summaries[i];
        const char *id = s->deployment_version ? s->deployment_version->build_id : "";
        if (!*id || strcmp(id, w->build) == 0 || !has_runs(s->status)) continue;
        struct tw_build *b = build_of(w, id);
        if (b) b->open = true;
    }
    call_done(c);
    return 0;
}

/* A deployment that the server does not know yet has no earlier builds; all else comes again. */
static void on_asked(void *ud, const struct backend_reply *r)
{
    struct tw *w = ud;
    w->builds_asked = false;
    if (w->stopping || w->ending) return;
    if (!r->err.code) {
        tw_builds_apply(w);
        tw_pump(w);
    }
    loop_timer_start(w->builds_timer, TW_BUILDS_NS);
}

void tw_builds_ask(void *ud)
{
    struct tw *w = ud;
    if (!w->builds_timer || w->builds_asked || w->asked != TW_KNOWN || !w->build || w->stopping ||
        w->ending)
        return;
    struct call *c =
        call_new(w->t, on_asked, w, "describe worker deployment", str_of(w->deployment));
    if (!c) return;
    w->builds_asked = true;
    struct arena *a = call_turn(c);
    Pb__DescribeWorkerDeploymentRequest *q =
        bridge_new(a, Pb__DescribeWorkerDeploymentRequest, pb__describe_worker_deployment_request);
    q->namespace_ = bridge_text(a, str_of(w->t->ns));
    q->deployment_name = bridge_text(a, str_of(w->deployment));
    call_send(c, METHOD("DescribeWorkerDeployment"), q, read_builds);
}

int tw_builds_open(struct tw *w)
{
    if (!w->deployment || !w->t->keeper.build) return 0;
    return loop_timer_open(w->t->loop, tw_builds_ask, w, &w->builds_timer);
}

void tw_builds_free(struct tw *w)
{
    if (w->builds_timer) loop_timer_close(w->builds_timer);
    while (w->builds) {
        struct tw_build *b = w->builds;
        w->builds = b->next;
        mem_free(b->id);
        mem_free(b->text);
        mem_free(b);
    }
}
