/* The answers to workflow tasks. */
#include "temporal/worker_half.h"
#include <stdio.h>

static void drop_task(struct call *c)
{
    struct tw_task *k = c->state;
    c->state = NULL;
    if (k) tw_task_free(k);
}

/* A call that answers a task; the task is freed with it. NULL: fn was or will be told. */
static struct call *answer_of(struct temporal *t, struct str token, const char *what,
                              backend_answer_fn fn, void *ud, struct tw_task **k)
{
    *k = map_get(&t->worker->tasks, token);
    struct call *c = call_new_answer(t, fn, ud, what, *k ? (*k)->workflow_id : (struct str){0});
    if (!c) {
        if (*k) tw_task_free(*k);
        return NULL;
    }
    if (!*k || (*k)->answering) {
        call_fail_later(c, ERR_NOTFOUND, "the task is gone");
        return NULL;
    }
    (*k)->answering = true;
    c->state = *k;
    c->dropped = drop_task;
    return c;
}

static struct rec *app_failure(struct arena *a, const char *type, const char *message)
{
    return failure_app(a, str_of(type), str_of(message), false, NULL, NULL);
}

/* ---- failing ---- */
/* `ours`: words of the worker itself, which hold nothing of the run's and are for whoever looks,
 * with or without keys. */
static struct str pack_failed(struct call *c, Pb__RespondWorkflowTaskFailedRequest *q,
                              const struct rec *failure, bool ours)
{
    struct arena *a = call_arena(c);
    struct err e = {0};
    q->failure = bridge_message(a, &pb_failure__failure__descriptor, failure);
    struct str bytes = ours ? bridge_pack(a, q) : call_pack(c->t, a, q, &e);
    if (!e.code) return bytes;
    failure = app_failure(a, "CodecFailed", e.text);
    q->failure = bridge_message(a, &pb_failure__failure__descriptor, failure);
    return bridge_pack(a, q);
}

static bool send_failed(struct call *c, struct tw_task *k, int cause, const struct rec *failure,
                        bool ours)
{
    struct arena *a = call_turn(c);
    Pb__RespondWorkflowTaskFailedRequest *q = bridge_new(a, Pb__RespondWorkflowTaskFailedRequest,
                                                         pb__respond_workflow_task_failed_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->identity = bridge_text(a, str_of(c->t->identity));
    q->task_token = bridge_bytes(a, k->raw);
    q->cause = (Pb__WorkflowTaskFailedCause)cause;
    q->deployment_options = tw_deployment(a, k->w, k->q->build);
    struct str bytes = pack_failed(c, q, failure, ours);
    bool fits = bytes.n <= RPC_MESSAGE_MAX;
    if (!fits) { /* the reason itself is too long to be sent */
        struct rec *small = app_failure(a, "FailureTooLarge", "the failure is larger than 4 MiB");
        bytes = pack_failed(c, q, small, true);
    }
    call_send_bytes(c, METHOD("RespondWorkflowTaskFailed"), bytes, call_read_nothing);
    return fits;
}

/* A query task has no failure: the question is answered with an error. */
static void send_query_failed(struct call *c, struct tw_task *k, const char *why)
{
    struct arena *a = call_turn(c);
    Pb__RespondQueryTaskCompletedRequest *q = bridge_new(a, Pb__RespondQueryTaskCompletedRequest,
                                                         pb__respond_query_task_completed_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->task_token = bridge_bytes(a, k->raw);
    q->completed_type = PB__QUERY_RESULT_TYPE__QUERY_RESULT_TYPE_FAILED;
    q->error_message = bridge_text(a, str_of(why));
    call_send(c, METHOD("RespondQueryTaskCompleted"), q, call_read_nothing);
}

/* Only the first failure of a task is told: the server backs off by the time-outs of the later
 * ones. */
void tw_fail_workflow(struct backend *b, struct str token, int cause, const struct rec *failure,
                      bool limit, struct str pending_json, backend_answer_fn fn, void *ud)
{
    struct tw_task *k;
    struct call *c = answer_of(temporal_of(b), token, "fail a task of workflow", fn, ud, &k);
    (void)limit, (void)pending_json;
    if (!c) return;
    if (k->attempt > 1)
        call_done_later(c);
    else
        send_failed(c, k, cause, failure, false);
}

static void nobody(void *ud, const struct backend_answer *a)
{
    (void)ud;
    (void)a;
}

void tw_task_give_back(struct tw_task *k, int cause, const char *why)
{
    struct temporal *t = k->w->t;
    struct tw_task *same;
    bool query = k->started_id == 0;
    if (k->paging) { /* its pages are of no use any more */
        k->paging = false;
        t->wire.cancel(t->wire.ud, k->rpc);
    }
    struct call *c = answer_of(t, k->key, "give back a task of workflow", nobody, NULL, &same);
    if (!c) return;
    if (query) {
        send_query_failed(c, same, why);
    } else if (same->attempt > 1) {
        call_done_later(c);
    } else {
        struct arena a;
        arena_init(&a, 0);
        send_failed(c, same, cause, app_failure(&a, "WorkerError", why), true);
        arena_free(&a);
    }
}

/* ---- completing ---- */
/* What came with an answer: it outlives the call, so it is copied. */
struct inline_tasks {
    char *p[1 + TW_EAGER_MAX];
    size_t n[1 + TW_EAGER_MAX];
};

static void keep_inline(struct inline_tasks *in, size_t at, struct str bytes)
{
    in->p[at] = bytes.n ? mem_dup(bytes.p, bytes.n) : NULL; /* without memory: its time-out */
    in->n[at] = in->p[at] ? bytes.n : 0;
}

static void take_inline(struct tw *w, struct tw_queue *q, struct inline_tasks *in)
{
    w->hold++;
    for (size_t i = 0; i < 1 + TW_EAGER_MAX; i++) {
        struct str bytes = str_make(in->p[i], in->n[i]);
        if (bytes.n && i == 0) tw_take_workflow(w, q, TW_STICKY, bytes);
        if (bytes.n && i > 0) tw_take_activity(w, q, bytes);
        mem_free(in->p[i]);
    }
    w->hold--;
    tw_pump(w);
}

static int read_completed(struct call *c, struct str bytes, struct err *e)
{
    struct tw_task *k = c->state;
    struct tw *w = k->w;
    struct tw_queue *q = k->q;
    struct bridge_part parts[] = {{.tag = 1}, {.tag = 2}};
    struct inline_tasks in = {0};
    Pb__RespondWorkflowTaskCompletedResponse *m;
    int rc = call_read(c, &pb__respond_workflow_task_completed_response__descriptor, bytes, parts,
                       2, &m, e);
    if (rc) return rc;
    if (parts[0].n) keep_inline(&in, 0, parts[0].raw[0]);
    for (size_t i = 0; i < parts[1].n && i < TW_EAGER_MAX; i++)
        keep_inline(&in, 1 + i, parts[1].raw[i]);
    struct backend_answer a = {.kind = BACKEND_OK};
    if (m->reset_history_event_id > 0) {
        a.kind = BACKEND_DISCARDED;
        a.rollback_id = m->reset_history_event_id;
    }
    w->hold++; /* the slot that the answer frees is for the next task */
    call_answer(c, &a);
    w->hold--;
    take_inline(w, q, &in);
    return 0;
}

static bool says(struct str s, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, what, n) == 0) return true;
    return false;
}

static bool completed_refused(struct call *c, const struct status *s)
{
    struct backend_answer a = {.kind = BACKEND_STALE};
    if (tw_pages_again(c, s)) return true;
    if (s->code == STATUS_INVALID_ARGUMENT && says(s->message, "UnhandledCommand")) {
        a.kind = BACKEND_UNHANDLED_COMMAND;
    } else if (s->code == STATUS_INVALID_ARGUMENT) {
        status_err(s, c->doing, str_of(c->t->ns), &a.err);
        log_printf(c->t->log, LOG_ERROR, "the server refused what the run wants: %s", a.err.text);
    } else if (s->code != STATUS_NOT_FOUND) {
        return false;
    }
    call_answer(c, &a);
    return true;
}

static PbTaskqueue__StickyExecutionAttributes *sticky(struct arena *a, const struct tw_queue *q)
{
    PbTaskqueue__StickyExecutionAttributes *s = bridge_new(
        a, PbTaskqueue__StickyExecutionAttributes, pb_taskqueue__sticky_execution_attributes);
    s->worker_task_queue = tw_task_queue(a, q, true);
    s->schedule_to_start_timeout = bridge_duration(a, TW_STICKY_TIMEOUT_NS);
    return s;
}

static void put_sdk(struct arena *a, Pb__RespondWorkflowTaskCompletedRequest *q,
                    const struct tw_task *k, const struct backend_workflow_completion *c)
{
    if (!k->w->sdk_metadata || (!c->n_flags && !k->first)) return;
    PbSdk__WorkflowTaskCompletedMetadata *m = bridge_new(a, PbSdk__WorkflowTaskCompletedMetadata,
                                                         pb_sdk__workflow_task_completed_metadata);
    if (k->first) {
        m->sdk_name = bridge_text(a, STR(TW_SDK_NAME));
        m->sdk_version = bridge_text(a, STR(ML_PROJECT_VERSION));
    }
    q->sdk_metadata = m;
    uint32_t *flags = c->n_flags ? arena_alloc(a, c->n_flags * sizeof *flags) : NULL;
    if (!flags) return;
    memcpy(flags, c->flags, c->n_flags * sizeof *flags);
    m->lang_used_flags = flags;
    m->n_lang_used_flags = c->n_flags;
}

static PbQuery__WorkflowQueryResult *query_result(struct arena *a, const struct tw *w,
                                                  const struct backend_query_result *r)
{
    PbQuery__WorkflowQueryResult *m =
        bridge_new(a, PbQuery__WorkflowQueryResult, pb_query__workflow_query_result);
    bool large = r->ok && tw_size_sent(w, r->result) > w->blob_max;
    bool hidden = r->failure && codec_hides(w->t->codec);
    bool ok = r->ok && !large;
    m->result_type = ok ? PB__QUERY_RESULT_TYPE__QUERY_RESULT_TYPE_ANSWERED
                        : PB__QUERY_RESULT_TYPE__QUERY_RESULT_TYPE_FAILED;
    if (ok) m->answer = call_payloads(a, r->result);
    if (!ok)
        m->error_message =
            bridge_text(a, large    ? STR("the answer is larger than the namespace takes")
                           : hidden ? STR(CODEC_HIDDEN)
                                    : r->message);
    if (!r->ok) m->failure = bridge_message(a, &pb_failure__failure__descriptor, r->failure);
    return m;
}

static void put_queries(struct arena *a, Pb__RespondWorkflowTaskCompletedRequest *q,
                        const struct tw *w, const struct backend_workflow_completion *c)
{
    q->query_results = bridge_array(a, c->n_query_results);
    if (!q->query_results) return;
    for (size_t i = 0; i < c->n_query_results; i++) {
        Pb__RespondWorkflowTaskCompletedRequest__QueryResultsEntry *entry =
            bridge_new(a, Pb__RespondWorkflowTaskCompletedRequest__QueryResultsEntry,
                       pb__respond_workflow_task_completed_request__query_results_entry);
        entry->key = bridge_text(a, c->query_results[i].id);
        entry->value = query_result(a, w, &c->query_results[i]);
        q->query_results[q->n_query_results++] = entry;
    }
}

static struct rec *shallow(struct arena *a, const struct rec *r)
{
    struct rec *copy = rec_new(a, r->type);
    for (const struct rec_field *f = r->first; f && copy; f = f->next) {
        struct rec_field *g = arena_alloc(a, sizeof *g);
        if (!g) return NULL;
        *g = *f;
        g->next = NULL;
        if (copy->last)
            copy->last->next = g;
        else
            copy->first = g;
        copy->last = g;
    }
    return copy;
}

/* An activity that this worker can run at once comes back with the answer, if there is a slot. */
static const struct rec *eager(struct arena *a, struct tw_task *k, const struct rec *command)
{
    struct tw *w = k->w;
    if (command_type(command) != COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK || !k->q->activities ||
        w->stopping || k->eager == TW_EAGER_MAX || w->activity_slots <= w->open[TW_ACTIVITY])
        return command;
    const struct rec *attrs = command_attrs(command);
    struct str queue =
        rec_str(rec_msg(attrs, T(cmd_schedule_activity_task, task_queue)), T(task_queue, name));
    if (queue.n && !str_eqz(queue, k->q->name)) return command;
    struct rec *c = shallow(a, command), *want = shallow(a, attrs);
    if (!c || !want) return command;
    rec_set_int(want, T(cmd_schedule_activity_task, request_eager_execution), 1);
    rec_set_msg(c, T(command, schedule_activity_task_command_attributes), want);
    k->eager++;
    w->activity_slots--;
    return c;
}

/* The text that made the commands: what a rebuild needs, and the build id that a worker without a
 * deployment is found by. */
static void put_stamp(struct arena *a, Pb__RespondWorkflowTaskCompletedRequest *q,
                      const struct backend_workflow_completion *c)
{
    if (!c->bundle_digest.n) return;
    PbCommon__WorkerVersionStamp *m =
        bridge_new(a, PbCommon__WorkerVersionStamp, pb_common__worker_version_stamp);
    m->build_id = bridge_text(a, c->bundle_digest);
    q->worker_version_stamp = m;
}

static Pb__VersioningBehavior behavior(const struct tw *w,
                                       const struct backend_workflow_completion *c)
{
    enum backend_versioning v = c->versioning ? c->versioning : w->versioning;
    return v == VERSIONING_AUTO_UPGRADE ? PB__VERSIONING_BEHAVIOR__VERSIONING_BEHAVIOR_AUTO_UPGRADE
                                        : PB__VERSIONING_BEHAVIOR__VERSIONING_BEHAVIOR_PINNED;
}

static Pb__RespondWorkflowTaskCompletedRequest *
completed_request(struct arena *a, struct tw_task *k, const struct backend_workflow_completion *c)
{
    struct temporal *t = k->w->t;
    Pb__RespondWorkflowTaskCompletedRequest *q = bridge_new(
        a, Pb__RespondWorkflowTaskCompletedRequest, pb__respond_workflow_task_completed_request);
    q->namespace_ = bridge_text(a, str_of(t->ns));
    q->identity = bridge_text(a, str_of(t->identity));
    q->task_token = bridge_bytes(a, k->raw);
    q->commands = bridge_array(a, c->n_commands);
    for (size_t i = 0; q->commands && i < c->n_commands; i++)
        q->commands[q->n_commands++] =
            bridge_message(a, &pb_command__command__descriptor, eager(a, k, c->commands[i]));
    q->messages = bridge_array(a, c->n_messages);
    for (size_t i = 0; q->messages && i < c->n_messages; i++)
        q->messages[q->n_messages++] =
            bridge_message(a, &pb_protocol__message__descriptor, c->messages[i]);
    put_queries(a, q, k->w, c);
    put_sdk(a, q, k, c);
    q->sticky_attributes = sticky(a, k->q);
    q->return_new_workflow_task = !k->w->stopping;
    q->force_create_new_workflow_task = c->force_new_task;
    Pb__RespondWorkflowTaskCompletedRequest__Capabilities *can =
        bridge_new(a, Pb__RespondWorkflowTaskCompletedRequest__Capabilities,
                   pb__respond_workflow_task_completed_request__capabilities);
    can->discard_speculative_workflow_task_with_events = true;
    q->capabilities = can;
    q->worker_instance_key = bridge_text(a, str_of(k->w->key));
    q->deployment_options = tw_deployment(a, k->w, k->q->build);
    if (q->deployment_options) q->versioning_behavior = behavior(k->w, c);
    put_stamp(a, q, c);
    if (c->local_attempts > 0) {
        PbCommon__MeteringMetadata *m =
            bridge_new(a, PbCommon__MeteringMetadata, pb_common__metering_metadata);
        m->nonfirst_local_activity_execution_attempts = (uint32_t)c->local_attempts;
        q->metering_metadata = m;
    }
    return q;
}

/* What is sent is measured: a codec changes the size. */
static int check_sizes(struct arena *a, const struct tw *w, struct str bytes,
                       const struct backend_workflow_completion *c, struct err *e)
{
    struct bridge_part commands = {.tag = 2, .type = &rec_type_command};
    void *m;
    if (!bytes.p || !w->t->codec) return tw_commands_fit(w, c->commands, c->n_commands, e);
    int rc = bridge_read(a, &pb__respond_workflow_task_completed_request__descriptor, bytes,
                         &commands, 1, &m, e);
    return rc ? rc : tw_commands_fit(w, commands.recs, commands.n, e);
}

/* The answer of a task that failed here, for its size or its codec: the worker evicts the run, and
 * the server gives the task again. */
static int read_unsent(struct call *c, struct str bytes, struct err *e)
{
    const struct backend_answer a = {.kind = BACKEND_STALE};
    (void)bytes;
    (void)e;
    call_answer(c, &a);
    return 0;
}

static void fail_unsent(struct call *c, struct tw_task *k, const struct err *why)
{
    bool large = why->code == ERR_LIMIT;
    struct temporal *t = c->t;
    log_printf(t->log, LOG_ERROR, "workflow " STR_FMT ": %s", STR_ARG(k->workflow_id), why->text);
    if (k->attempt > 1) {
        call_fail_later(c, ERR_NOTFOUND, "%s", why->text);
        return;
    }
    struct arena a;
    arena_init(&a, 0);
    send_failed(c, k,
                large ? WORKFLOW_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE
                      : WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                app_failure(&a, large ? "PayloadsTooLarge" : "CodecFailed", why->text), true);
    c->read = read_unsent;
    arena_free(&a);
}

void tw_complete_workflow(struct backend *b, struct str token,
                          const struct backend_workflow_completion *done, backend_answer_fn fn,
                          void *ud)
{
    struct tw_task *k;
    struct err e = {0};
    struct call *c = answer_of(temporal_of(b), token, "complete a task of workflow", fn, ud, &k);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__RespondWorkflowTaskCompletedRequest *q = completed_request(a, k, done);
    struct str bytes = call_pack(c->t, a, q, &e);
    size_t most = k->w->completion_pages ? (size_t)k->w->completion_max : RPC_MESSAGE_MAX;
    if (!e.code && check_sizes(a, k->w, bytes, done, &e) == 0 && bytes.n > RPC_MESSAGE_MAX &&
        (bytes.n > most || tw_pages_make(c, k, q, &e) == ERR_LIMIT))
        err_set(&e, ERR_LIMIT,
                "the commands of one task have %zu bytes, a server takes at most %zu: keep "
                "large values in a store and pass their names",
                bytes.n, most);
    if (e.code) {
        fail_unsent(c, k, &e);
        return;
    }
    c->refused = completed_refused;
    if (k->pages.n)
        tw_pages_send(c, k, read_completed);
    else
        call_send_bytes(c, METHOD("RespondWorkflowTaskCompleted"), bytes, read_completed);
}

/* ---- queries alone ---- */
void tw_complete_query(struct backend *b, struct str token, const struct backend_query_result *r,
                       backend_answer_fn fn, void *ud)
{
    struct tw_task *k;
    struct call *c = answer_of(temporal_of(b), token, "answer a query of workflow", fn, ud, &k);
    if (!c) return;
    struct arena *a = call_turn(c);
    const PbQuery__WorkflowQueryResult *m = query_result(a, k->w, r);
    Pb__RespondQueryTaskCompletedRequest *q = bridge_new(a, Pb__RespondQueryTaskCompletedRequest,
                                                         pb__respond_query_task_completed_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->task_token = bridge_bytes(a, k->raw);
    q->completed_type = m->result_type;
    q->query_result = m->answer;
    q->error_message = m->error_message;
    q->failure = m->failure;
    call_send(c, METHOD("RespondQueryTaskCompleted"), q, call_read_nothing);
}
