/* Workflow tasks as the server gives them, made into the port's. Keeps true: what is pushed has
 * all events that the server holds for it, with consecutive ids, ending with the task's own start.
 */
#include "temporal/worker_half.h"
#include <stdio.h>

#define EVENTS_MAX 1000000
#define UNHANDLED WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE

void tw_task_free(struct tw_task *k)
{
    struct tw *w = k->w;
    if (k->paging) w->t->wire.cancel(w->t->wire.ud, k->rpc);
    w->activity_slots += k->eager;
    if (k->prev)
        k->prev->next = k->next;
    else
        w->all_tasks = k->next;
    if (k->next) k->next->prev = k->prev;
    if (map_get(&w->tasks, k->key) == k) map_del(&w->tasks, k->key);
    if (k->t) {
        struct arena a = k->t->arena; /* the task lives in it */
        arena_free(&a);
    }
    arena_free(&k->arena);
    mem_free(k);
}

void tw_tasks_free(struct tw *w)
{
    while (w->all_tasks)
        tw_task_free(w->all_tasks);
}

/* ---- events ---- */
static int add_event(struct tw_task *k, struct rec *ev)
{
    struct backend_task *t = k->t;
    if (t->n_events == k->cap) {
        size_t cap = k->cap ? k->cap * 2 : 64;
        if (cap > EVENTS_MAX * 2) return ERR_LIMIT;
        struct rec **more = arena_alloc(&t->arena, cap * sizeof *more);
        if (!more) return ERR_NOMEM;
        if (t->n_events) memcpy(more, t->events, t->n_events * sizeof *more);
        t->events = more;
        k->cap = cap;
    }
    t->events[t->n_events++] = ev;
    return 0;
}

/* Pages may repeat what came already; what lies behind the task's own start belongs to later
 * tasks. */
static int add_events(struct tw_task *k, const struct rec *history, struct err *e)
{
    struct backend_task *t = k->t;
    bool real = k->started_id > 0 && !t->legacy_query;
    for (const struct rec_field *f = NULL; (f = rec_each(history, T(history, events), f));) {
        int64_t id = event_id(f->v.m);
        int64_t last = t->n_events ? event_id(t->events[t->n_events - 1]) : id - 1;
        if (id <= last || (real && id > k->started_id)) continue;
        if (id != last + 1)
            return err_set(e, ERR_CORRUPT, "the history goes from event %lld to %lld",
                           (long long)last, (long long)id);
        int rc = add_event(k, f->v.m);
        if (rc) return err_set(e, rc, "the history does not fit in memory");
    }
    return 0;
}

/* The time-out of the task stands in the event that scheduled it. */
static int64_t task_timeout(const struct backend_task *t)
{
    for (size_t i = t->n_events; i > 0; i--)
        if (event_type(t->events[i - 1]) == EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
            return rec_int(event_attrs(t->events[i - 1]),
                           T(ev_workflow_task_scheduled, start_to_close_timeout));
    return 0;
}

/* ---- pushing ---- */
static void push(struct tw_task *k)
{
    struct tw *w = k->w;
    struct backend_task *t = k->t;
    int64_t last = t->n_events ? event_id(t->events[t->n_events - 1]) : 0;
    if (k->started_id > 0 && !t->legacy_query && last < k->started_id) {
        char why[200];
        snprintf(why, sizeof why,
                 "the server's history ends with event %lld, before the task's own event %lld",
                 (long long)last, (long long)k->started_id);
        tw_task_give_back(k, UNHANDLED, why);
        return;
    }
    if (w->stopping || !w->has_sink) {
        tw_task_give_back(k, UNHANDLED, "the worker stops");
        return;
    }
    t->whole = t->n_events && event_id(t->events[0]) == 1;
    t->wall_ns = clock_wall(loop_clock(w->t->loop));
    t->task_timeout_ns = task_timeout(t);
    k->t = NULL;
    w->workflow_slots--;
    w->sink.on_workflow_task(w->sink.ud, t);
}

static void drop(struct tw_task *k, const struct err *e)
{
    log_printf(k->w->t->log, LOG_ERROR, "workflow task of " STR_FMT " dropped: %s",
               STR_ARG(k->workflow_id), e->text);
    tw_task_free(k);
}

/* ---- pages ---- */
static int ask_page(struct tw_task *k, struct str page, struct err *e);

/* The task fails, the run stays as it is and is tried again. */
static void refuse(struct tw_task *k, const struct err *e)
{
    log_printf(k->w->t->log, LOG_ERROR, "workflow " STR_FMT ": its task fails: %s",
               STR_ARG(k->workflow_id), e->text);
    tw_task_give_back(k, UNHANDLED, e->text);
}

static int take_page(struct tw_task *k, struct str body, struct err *e)
{
    struct arena *a = &k->t->arena;
    struct str copy = body.n ? arena_str(a, body) : STR("");
    struct bridge_part history = {.tag = 1, .type = &rec_type_history};
    Pb__GetWorkflowExecutionHistoryResponse *m;
    if (!copy.p) return err_set(e, ERR_NOMEM, "out of memory for a history");
    int rc =
        codec_decode_task(k->w->t->codec, a,
                          &pb__get_workflow_execution_history_response__descriptor, copy, &copy, e);
    if (rc && rc != ERR_NOMEM) e->code = rc = ERR_CORRUPT; /* the task fails, the run stays */
    if (!rc)
        rc = bridge_read(a, &pb__get_workflow_execution_history_response__descriptor, copy,
                         &history, 1, &m, e);
    if (rc == 0 && history.n) rc = add_events(k, history.recs[0], e);
    if (rc) return rc;
    struct backend_task *t = k->t;
    bool enough = k->started_id > 0 && !t->legacy_query && t->n_events &&
                  event_id(t->events[t->n_events - 1]) >= k->started_id;
    if (m->next_page_token.len && !enough) return ask_page(k, bridge_str(&m->next_page_token), e);
    return 0;
}

static void on_page(void *ud, const struct rpc_reply *r)
{
    struct tw_task *k = ud;
    struct tw *w = k->w;
    struct err e = {0};
    k->paging = false;
    if (r->r.code == STATUS_OK) {
        take_page(k, r->r.body, &e);
    } else {
        struct status s;
        err_set(&e, ERR_NOMEM, "out of memory");
        if (!status_read(&k->arena, r->r.code, r->r.message, r->r.details, &s))
            status_err(&s, "read a history", str_of(w->t->ns), &e);
    }
    if (e.code == ERR_CORRUPT)
        refuse(k, &e);
    else if (e.code)
        drop(k, &e); /* given again after its time-out */
    else if (!k->paging)
        push(k);
    tw_pump(w);
}

static int ask_page(struct tw_task *k, struct str page, struct err *e)
{
    struct tw *w = k->w;
    struct arena a;
    arena_init(&a, 0);
    const struct backend_target target = {k->workflow_id, k->run_id};
    Pb__GetWorkflowExecutionHistoryRequest *q = bridge_new(
        &a, Pb__GetWorkflowExecutionHistoryRequest, pb__get_workflow_execution_history_request);
    q->namespace_ = bridge_text(&a, str_of(w->t->ns));
    q->execution = call_execution(&a, &target);
    q->next_page_token = bridge_bytes(&a, page);
    struct str bytes = bridge_pack(&a, q);
    const struct rpc_options o = {.class = RPC_CALL, .ns = str_of(w->t->ns)};
    int rc = bytes.p ? w->t->wire.send(w->t->wire.ud, METHOD("GetWorkflowExecutionHistory"), bytes,
                                       &o, on_page, k, &k->rpc, e)
                     : err_set(e, ERR_NOMEM, "out of memory for a history");
    arena_free(&a);
    k->paging = rc == 0;
    return rc;
}

/* ---- taking one ---- */
static int take_query(struct arena *a, const PbQuery__WorkflowQuery *q, struct str id,
                      struct backend_query *out, struct err *e)
{
    struct rec *args = NULL;
    int rc = bridge_record(a, q->query_args, &rec_type_payloads, &args, e);
    *out = (struct backend_query){id, str_of(q->query_type), args};
    return rc;
}

static int take_queries(struct backend_task *t, const Pb__PollWorkflowTaskQueueResponse *m,
                        struct err *e)
{
    struct arena *a = &t->arena;
    size_t n = m->query ? 1 : m->n_queries;
    if (!n) return 0;
    t->queries = arena_alloc(a, n * sizeof *t->queries);
    if (!t->queries) return err_set(e, ERR_NOMEM, "out of memory for a query");
    t->n_queries = n;
    if (m->query) {
        t->legacy_query = true;
        return take_query(a, m->query, STR("legacy"), &t->queries[0], e);
    }
    for (size_t i = 0; i < n; i++) {
        int rc = take_query(a, m->queries[i]->value, str_of(m->queries[i]->key), &t->queries[i], e);
        if (rc) return rc;
    }
    return 0;
}

static struct backend_task *task_new(void)
{
    struct arena a;
    arena_init(&a, 0);
    struct backend_task *t = arena_alloc(&a, sizeof *t);
    if (t) t->arena = a;
    return t;
}

/* Everything but the events. */
static int fill(struct tw_task *k, const Pb__PollWorkflowTaskQueueResponse *m, struct err *e)
{
    struct backend_task *t = k->t;
    t->kind = BACKEND_WORKFLOW_TASK;
    t->token = arena_str(&t->arena, k->key);
    t->workflow_id = arena_str(&t->arena, k->workflow_id);
    t->run_id = arena_str(&t->arena, k->run_id);
    t->workflow_type = arena_str(&t->arena, k->workflow_type);
    t->task_queue = arena_str(&t->arena, str_of(k->q->name));
    t->attempt = k->attempt;
    if (k->q->build) t->build = arena_str(&t->arena, str_of(k->q->build));
    if (k->q->build_text) t->build_text = arena_str(&t->arena, str_of(k->q->build_text));
    t->previous_started_id = m->previous_started_event_id;
    t->started_id = m->started_event_id;
    return take_queries(t, m, e);
}

static int name_task(struct tw_task *k, const Pb__PollWorkflowTaskQueueResponse *m)
{
    struct arena *a = &k->arena;
    struct buf key;
    buf_init(&key, 16u << 10);
    buf_put_base64(&key, bridge_str(&m->task_token));
    k->key = key.code ? (struct str){NULL, 0} : arena_str(a, buf_str(&key));
    buf_free(&key);
    k->raw = arena_str(a, bridge_str(&m->task_token));
    const PbCommon__WorkflowExecution *x = m->workflow_execution;
    k->workflow_id = arena_str(a, str_of(x ? x->workflow_id : ""));
    k->run_id = arena_str(a, str_of(x ? x->run_id : ""));
    k->workflow_type = arena_str(a, str_of(m->workflow_type ? m->workflow_type->name : ""));
    k->attempt = m->attempt > 0 ? m->attempt : 1;
    k->started_id = m->started_event_id;
    k->first = m->previous_started_event_id == 0;
    if (!k->key.p || arena_failed(a)) return ERR_NOMEM;
    return map_set(&k->w->tasks, k->key, k);
}

/* A task that comes again under its token (it never does, but a server may be odd) would leave the
 * older one without an owner. */
static int take(struct tw_task *k, enum tw_kind kind, struct str bytes, bool *empty, struct err *e)
{
    struct arena *a = &k->t->arena;
    struct str copy = arena_str(a, bytes);
    struct bridge_part parts[] = {{.tag = 8, .type = &rec_type_history},
                                  {.tag = 15, .type = &rec_type_protocol_message}};
    Pb__PollWorkflowTaskQueueResponse *m;
    struct err closed = {0}; /* what cannot be decoded: told when the task has a name */
    if (!copy.p) return err_set(e, ERR_NOMEM, "out of memory for a workflow task");
    codec_decode_task(k->w->t->codec, a, &pb__poll_workflow_task_queue_response__descriptor, copy,
                      &copy, &closed);
    int rc =
        bridge_read(a, &pb__poll_workflow_task_queue_response__descriptor, copy, parts, 2, &m, e);
    if (rc) return rc;
    if (m->poller_scaling_decision)
        tw_scale(k->q, kind, m->poller_scaling_decision->poll_request_delta_suggestion);
    *empty = m->task_token.len == 0;
    if (*empty) return 0;
    if (name_task(k, m)) return err_set(e, ERR_NOMEM, "out of memory for a workflow task");
    if (closed.code)
        return err_set(e, closed.code == ERR_NOMEM ? ERR_NOMEM : ERR_CORRUPT, "%s", closed.text);
    rc = fill(k, m, e);
    k->t->messages = parts[1].recs;
    k->t->n_messages = parts[1].n;
    if (rc == 0 && parts[0].n) rc = add_events(k, parts[0].recs[0], e);
    if (rc == 0 && arena_failed(a)) rc = err_set(e, ERR_NOMEM, "out of memory for a workflow task");
    if (rc == 0 && m->next_page_token.len) rc = ask_page(k, bridge_str(&m->next_page_token), e);
    return rc;
}

bool tw_take_workflow(struct tw *w, struct tw_queue *q, enum tw_kind kind, struct str bytes)
{
    struct err e = {0};
    if (!bytes.n) return false;
    struct tw_task *k = mem_zalloc(sizeof *k);
    struct backend_task *t = k ? task_new() : NULL;
    if (!t) {
        mem_free(k);
        log_printf(w->t->log, LOG_ERROR, "out of memory: a workflow task waits for its time-out");
        return true;
    }
    k->w = w;
    k->q = q;
    k->t = t;
    arena_init(&k->arena, 0);
    k->next = w->all_tasks;
    if (k->next) k->next->prev = k;
    w->all_tasks = k;
    bool empty = false;
    int rc = take(k, kind, bytes, &empty, &e);
    if (empty) {
        tw_task_free(k);
        return false;
    }
    if (rc == ERR_CORRUPT)
        refuse(k, &e);
    else if (rc)
        drop(k, &e);
    else if (!k->paging)
        push(k);
    return true;
}
