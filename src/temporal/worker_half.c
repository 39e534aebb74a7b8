/* Serving and its end: queues, slots, what the server can do, shutdown (worker_half.h). */
#include "temporal/worker_half.h"
#include <stdio.h>

/* ---- what the server can do ---- */
static void on_checked(void *ud, const struct backend_reply *r)
{
    struct tw *w = ud;
    w->asked = r->err.code ? TW_UNASKED : TW_KNOWN;
    if (w->stopping) return;
    if (r->err.code) {
        log_printf(w->t->log, LOG_ERROR, "%s; asking again in %lld s", r->err.text,
                   (long long)(TW_RETRY_NS / NS_PER_S));
        loop_timer_start(w->timer, TW_RETRY_NS);
        return;
    }
    tw_builds_ask(w);
    tw_pump(w);
}

static int read_namespace(struct call *c, struct str bytes, struct err *e)
{
    Pb__DescribeNamespaceResponse *m;
    struct tw *w = c->ud;
    int rc = call_read(c, &pb__describe_namespace_response__descriptor, bytes, NULL, 0, &m, e);
    if (rc) return rc;
    const PbNamespace__NamespaceInfo *i = m->namespace_info;
    if (i && i->capabilities) {
        w->polls_end = i->capabilities->worker_poll_complete_on_shutdown;
        w->completion_pages = i->capabilities->workflow_task_completion_pagination;
    }
    if (i && i->limits && i->limits->workflow_task_completion_size_limit_error > 0)
        w->completion_max = i->limits->workflow_task_completion_size_limit_error;
    if (i && i->limits && i->limits->blob_size_limit_error > 0)
        w->blob_max = i->limits->blob_size_limit_error;
    if (i && i->limits && i->limits->memo_size_limit_error > 0)
        w->memo_max = i->limits->memo_size_limit_error;
    call_done(c);
    return 0;
}

static void ask_namespace(struct call *c)
{
    struct arena *a = call_turn(c);
    Pb__DescribeNamespaceRequest *q =
        bridge_new(a, Pb__DescribeNamespaceRequest, pb__describe_namespace_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    c->refused = NULL;
    call_send(c, METHOD("DescribeNamespace"), q, read_namespace);
}

static int read_system(struct call *c, struct str bytes, struct err *e)
{
    Pb__GetSystemInfoResponse *m;
    struct tw *w = c->ud;
    int rc = call_read(c, &pb__get_system_info_response__descriptor, bytes, NULL, 0, &m, e);
    if (rc) return rc;
    if (m->capabilities) {
        w->sdk_metadata = m->capabilities->sdk_metadata;
        w->eager_start = m->capabilities->eager_workflow_start;
        w->failure_heartbeat = m->capabilities->activity_failure_include_heartbeat;
    }
    ask_namespace(c);
    return 0;
}

/* Very old servers do not know the question: they can do none of it. */
static bool system_refused(struct call *c, const struct status *s)
{
    if (s->code != STATUS_UNIMPLEMENTED) return false;
    ask_namespace(c);
    return true;
}

/* What the server can do, and whether the namespace is there; polls are opened when it is known.
 */
static void ask(struct tw *w)
{
    struct call *c =
        call_new(w->t, on_checked, w, "reach the server", str_of(channel_target(w->t->channel)));
    if (!c) return; /* on_checked was told */
    w->asked = TW_ASKING;
    c->refused = system_refused;
    struct arena *a = call_turn(c);
    call_send(c, METHOD("GetSystemInfo"),
              bridge_new(a, Pb__GetSystemInfoRequest, pb__get_system_info_request), read_system);
}

/* ---- serving ---- */
struct tw_queue *tw_queue_new(struct tw *w, struct str name, const char *build)
{
    struct tw_queue *q = mem_zalloc(sizeof *q);
    char sticky[400];
    if (!q) return NULL;
    snprintf(sticky, sizeof sticky, "%.200s-%s-%zu", w->t->identity, w->key, w->n_queues);
    q->name = str_dup(name);
    q->sticky = str_dup(str_of(sticky));
    q->build = build;
    if (!q->name || !q->sticky) {
        mem_free(q->name);
        mem_free(q->sticky);
        mem_free(q);
        return NULL;
    }
    /* normal to sticky as 1 to 4: a run has one first task and many later ones */
    q->want[TW_NORMAL] = 1 + TW_POLLS / 5;
    q->want[TW_STICKY] = TW_POLLS - 1;
    q->want[TW_ACTIVITY] = TW_POLLS;
    struct tw_queue **at = &w->queues;
    while (*at)
        at = &(*at)->next;
    *at = q;
    w->n_queues++;
    return q;
}

/* The queue of the worker's own build. */
static struct tw_queue *queue_get(struct tw *w, struct str name)
{
    for (struct tw_queue *q = w->queues; q; q = q->next)
        if (str_eqz(name, q->name) && q->build == w->build) return q;
    return tw_queue_new(w, name, w->build);
}

static void on_shutdown_said(void *ud, const struct rpc_reply *r)
{
    struct tw *w = ud;
    (void)r; /* a server that does not know it, or is gone, needs no second word */
    w->saying--;
}

/* The server gives tasks of this worker's runs to others from now on, and ends its polls. */
static void say_shutdown(struct tw *w, const struct tw_queue *q)
{
    struct arena a;
    struct err e;
    uint64_t id;
    arena_init(&a, 0);
    Pb__ShutdownWorkerRequest *m =
        bridge_new(&a, Pb__ShutdownWorkerRequest, pb__shutdown_worker_request);
    Pb__TaskQueueType types[2] = {PB__TASK_QUEUE_TYPE__TASK_QUEUE_TYPE_WORKFLOW,
                                  PB__TASK_QUEUE_TYPE__TASK_QUEUE_TYPE_ACTIVITY};
    m->namespace_ = bridge_text(&a, str_of(w->t->ns));
    m->identity = bridge_text(&a, str_of(w->t->identity));
    m->reason = bridge_text(&a, STR("the worker stops"));
    m->worker_instance_key = bridge_text(&a, str_of(w->key));
    m->sticky_task_queue = bridge_text(&a, str_of(q->sticky));
    m->task_queue = bridge_text(&a, str_of(q->name));
    m->task_queue_types = types;
    m->n_task_queue_types = 2;
    const struct rpc_options o = {
        .class = RPC_ONCE, .timeout_ns = TW_END_NS, .ns = str_of(w->t->ns)};
    struct str bytes = bridge_pack(&a, m);
    if (bytes.p && w->t->wire.send(w->t->wire.ud, METHOD("ShutdownWorker"), bytes, &o,
                                   on_shutdown_said, w, &id, &e) == 0)
        w->saying++;
    arena_free(&a);
}

static void stop_serving(struct tw *w)
{
    if (w->stopping) return;
    w->stopping = true;
    for (const struct tw_queue *q = w->queues; q; q = q->next)
        if (w->asked == TW_KNOWN && (q->workflows || q->activities)) say_shutdown(w, q);
    if (!w->polls_end) tw_polls_cancel(w, NULL);
}

/* ---- runs that left the cache ---- */
/* All queues are there before anything of what was served is changed. */
static int queues_get(struct tw *w, const struct backend_served *queues, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!queue_get(w, queues[i].task_queue)) return ERR_NOMEM;
    return 0;
}

int tw_serve(struct backend *b, const struct backend_sink *sink,
             const struct backend_served *queues, size_t n)
{
    struct tw *w = temporal_of(b)->worker;
    if (w->off) return 0;
    if (queues_get(w, queues, n)) return ERR_NOMEM;
    w->sink = *sink;
    w->has_sink = true;
    if (n == 0) {
        stop_serving(w);
        return 0;
    }
    bool any = false;
    w->stopping = false;
    for (struct tw_queue *q = w->queues; q; q = q->next)
        q->workflows = q->activities = false;
    for (size_t i = 0; i < n; i++) {
        struct tw_queue *q = queue_get(w, queues[i].task_queue);
        q->workflows = queues[i].n_workflow_types > 0;
        q->activities = queues[i].n_activity_types > 0;
        any = any || q->workflows || q->activities;
    }
    for (struct tw_queue *q = w->queues; q; q = q->next)
        if (q->build == w->build) tw_polls_cancel(w, q); /* what is not served any more */
    tw_builds_apply(w);
    if (any && w->asked == TW_UNASKED)
        ask(w);
    else
        tw_pump(w);
    return 0;
}

struct tw_queue *tw_eager_reserve(struct tw *w, struct str queue)
{
    int open = w->open[TW_NORMAL] + w->open[TW_STICKY];
    bool ready = w->asked == TW_KNOWN && w->eager_start && (w->build || !w->deployment) &&
                 !w->paused && !w->stopping;
    if (!ready || w->workflow_slots <= open) return NULL;
    struct tw_queue *q = w->queues;
    while (q && !(q->workflows && str_eqz(queue, q->name)))
        q = q->next;
    if (q) w->workflow_slots--;
    return q;
}

void tw_eager_take(struct tw *w, struct tw_queue *q, struct str task)
{
    w->workflow_slots++;
    w->hold++;
    if (task.n) tw_take_workflow(w, q, TW_NORMAL, task);
    w->hold--;
    tw_pump(w);
}

void tw_offer(struct backend *b, int workflow_slots, int activity_slots)
{
    struct tw *w = temporal_of(b)->worker;
    w->workflow_slots += workflow_slots;
    w->activity_slots += activity_slots;
    tw_pump(w);
}

/* A workflow task that nobody answers comes again after its time-out; an attempt may have none. */
void tw_release(struct backend *b, struct str token, const struct err *why)
{
    struct tw *w = temporal_of(b)->worker;
    struct tw_task *k = map_get(&w->tasks, token);
    struct tw_act *a = map_get(&w->acts, token);
    (void)why;
    if (k && !k->answering) tw_task_free(k);
    if (a) tw_act_give_back(a);
}

/* ---- the end ---- */
static bool answers_open(const struct tw *w)
{
    for (const struct call *c = w->t->calls; c; c = c->next)
        if (c->answer) return true;
    return false;
}

static void end_turn(struct tw *w)
{
    bool late = clock_mono(loop_clock(w->t->loop)) >= w->end_ns;
    if (!late && (w->polls || w->saying || answers_open(w))) {
        loop_timer_start(w->timer, 20 * NS_PER_MS);
        return;
    }
    tw_polls_cancel(w, NULL);
    void (*fn)(void *) = w->ended;
    w->ended = NULL;
    if (fn) fn(w->ended_ud);
}

static void on_timer(void *ud)
{
    struct tw *w = ud;
    if (w->ending) {
        end_turn(w);
        return;
    }
    w->paused = false;
    if (w->asked == TW_UNASKED && w->queues && !w->stopping)
        ask(w);
    else
        tw_pump(w);
}

void tw_shutdown(struct tw *w, void (*fn)(void *ud), void *ud)
{
    stop_serving(w);
    w->has_sink = false;
    w->ending = true;
    w->ended = fn;
    w->ended_ud = ud;
    w->end_ns = clock_mono(loop_clock(w->t->loop)) + TW_END_NS;
    tw_sleeps_free(w);
    while (w->all_acts)
        tw_act_give_back(w->all_acts);
    for (struct tw_task *k = w->all_tasks, *next; k; k = next) {
        next = k->next;
        if (!k->answering)
            tw_task_give_back(k, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                              "the worker stopped");
    }
    loop_timer_start(w->timer, 0);
}

static int take_version(struct tw *w, const struct temporal_options *o, struct err *e)
{
    if (o->build_id.n && !o->deployment.n)
        return err_set(e, ERR_ARG,
                       "a build id belongs to a worker deployment: name it (--deployment)");
    w->versioning = o->versioning;
    if (!o->deployment.n) return 0;
    w->deployment = str_dup(o->deployment);
    if (o->build_id.n) w->build = str_dup(o->build_id);
    return w->deployment && (w->build || !o->build_id.n) ? 0
                                                         : err_set(e, ERR_NOMEM, "out of memory");
}

int temporal_set_build(struct backend *b, struct str build)
{
    struct tw *w = temporal_of(b)->worker;
    if (!w->deployment || w->build) return 0;
    w->build = str_dup(build);
    if (!w->build) return ERR_NOMEM;
    for (struct tw_queue *q = w->queues; q; q = q->next)
        q->build = w->build;
    tw_builds_ask(w);
    tw_pump(w);
    return 0;
}

struct str temporal_build(const struct backend *b)
{
    const struct tw *w = ((const struct temporal *)b)->worker;
    return str_of(w->build);
}

int tw_open(struct temporal *t, const struct temporal_options *o, struct err *e)
{
    struct tw *w = mem_zalloc(sizeof *w);
    if (!w) return err_set(e, ERR_NOMEM, "out of memory opening a connection");
    w->t = t;
    w->off = o->client_only;
    w->blob_max = w->memo_max = TW_BLOB_MAX;
    w->completion_max = TW_COMPLETION_MAX;
    map_init(&w->tasks);
    map_init(&w->acts);
    idmap_init(&w->sleep_ids);
    t->worker = w;
    if (take_version(w, o, e)) return e ? e->code : ERR_ARG;
    if (tw_builds_open(w)) return err_set(e, ERR_NOMEM, "out of memory opening a connection");
    if (uuid_v7(t->entropy, clock_wall(loop_clock(t->loop)), w->key))
        return err_set(e, ERR_IO, "no random numbers for the worker");
    if (loop_timer_open(t->loop, on_timer, w, &w->timer))
        return err_set(e, ERR_NOMEM, "out of memory opening a connection");
    return 0;
}

void tw_close(struct temporal *t)
{
    struct tw *w = t->worker;
    if (!w) return;
    w->stopping = true;
    tw_polls_cancel(w, NULL);
    tw_sleeps_free(w);
    tw_tasks_free(w);
    while (w->all_acts)
        tw_act_free(w->all_acts);
    while (w->queues) {
        struct tw_queue *q = w->queues;
        w->queues = q->next;
        mem_free(q->name);
        mem_free(q->sticky);
        mem_free(q);
    }
    tw_builds_free(w);
    loop_timer_close(w->timer);
    mem_free(w->deployment);
    mem_free(w->build);
    map_free(&w->tasks);
    map_free(&w->acts);
    idmap_free(&w->sleep_ids);
    mem_free(w);
    t->worker = NULL;
}
