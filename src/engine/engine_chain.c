/* Births of runs: a client's start, a child's, and the next of a chain (continue-as-new, retry of a
 * run, cron). The next of a chain is written in the commit that closes the one before. */
#include "engine/engine_internal.h"

#define S(field) T(ev_workflow_execution_started, field)

/* The started event's header: the caller's, with "moonloop" filled in when it has none. */
struct rec *eng_header(struct engine *g, struct arena *a, const struct rec *header,
                       struct str entry, struct str identity, bool own_chain_start)
{
    (void)own_chain_start;
    struct rec *h = header ? rec_clone(a, header) : rec_new(a, &rec_type_header);
    if (rec_map_get(h, T(header, fields), STR("moonloop"))) {
        return h;
    }
    char iso[TIME_ISO_MAX];
    time_format_iso(engine_now(g), iso);
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_printf(&b, "{\"chain_start\":\"%s\",\"entry\":", iso);
    buf_put_json(&b, entry.p ? entry : STR(""));
    buf_puts(&b, ",\"principal\":\"local\",\"scopes\":[],\"started_by\":");
    buf_put_json(&b, identity.n ? identity : str_of(g->identity));
    buf_putc(&b, '}');
    struct rec *p = rec_map_set(h, T(header, fields), STR("moonloop"));
    rec_map_set_str(p, T(payload, metadata), STR("encoding"), STR(PAYLOAD_JSON));
    rec_set_copy(p, T(payload, data), buf_str(&b));
    buf_free(&b);
    return h;
}

static void set_execution(struct rec *a, int tag, struct str id, struct str run)
{
    if (id.n) {
        struct rec *x = rec_sub(a, tag);
        rec_set_str(x, T(workflow_execution, workflow_id), id);
        rec_set_str(x, T(workflow_execution, run_id), run);
    }
}

static void started_attrs(struct txn *t, const struct run_spec *s, struct rec *a)
{
    struct run *r = t->run;
    rec_set_str(rec_sub(a, S(workflow_type)), T(workflow_type, name), r->type);
    rec_set_str(rec_sub(a, S(task_queue)), T(task_queue, name), r->queue);
    rec_set_int(rec_sub(a, S(task_queue)), T(task_queue, kind), TASK_QUEUE_KIND_NORMAL);
    rec_set_str(a, S(workflow_id), r->workflow_id);
    rec_set_str(a, S(identity), s->identity.n ? s->identity : str_of(t->g->identity));
    rec_set_str(a, S(original_execution_run_id),
                s->original_run_id.n ? s->original_run_id : r->run_id);
    rec_set_str(a, S(first_execution_run_id), r->first_run_id);
    rec_set_str(a, S(continued_execution_run_id), s->continued_run_id);
    rec_set_str(a, S(cron_schedule), s->cron);
    rec_set_msg(a, S(input), s->input);
    rec_set_msg(a, S(memo), s->memo);
    rec_set_msg(a, S(search_attributes), s->search);
    rec_set_msg(a, S(retry_policy), s->retry);
    rec_set_msg(a, S(continued_failure), s->failure);
    rec_set_msg(a, S(last_completion_result), s->last_result);
    rec_set_msg(a, S(header),
                eng_header(t->g, &t->chunk->arena, s->header, s->entry, s->identity, false));
    rec_set_int(a, S(workflow_execution_timeout), s->execution_timeout);
    rec_set_int(a, S(workflow_run_timeout), s->run_timeout);
    rec_set_int(a, S(workflow_task_timeout), s->task_timeout > 0 ? s->task_timeout : 10 * NS_PER_S);
    rec_set_int(a, S(first_workflow_task_backoff), s->backoff);
    rec_set_int(a, S(initiator), s->initiator);
    rec_set_int(a, S(attempt), s->attempt > 0 ? s->attempt : 1);
    if (s->expiration) {
        rec_set_int(a, S(workflow_execution_expiration_time), s->expiration);
    }
    set_execution(a, S(parent_workflow_execution), s->parent_id, s->parent_run_id);
    if (s->parent_id.n) {
        rec_set_str(a, S(parent_workflow_namespace), STR("default"));
        rec_set_int(a, S(parent_initiated_event_id), s->parent_initiated);
    }
    set_execution(a, S(root_workflow_execution), s->root_id.n ? s->root_id : r->workflow_id,
                  s->root_run_id.n ? s->root_run_id : r->run_id);
}

static void open_timer(struct txn *t, int kind, int64_t id, int64_t due)
{
    struct pend *p = eng_pend_new(t->run, kind, id);
    if (!p) {
        t->failed = true;
        return;
    }
    p->due = due;
    p->first_at = t->now;
    eng_pend_write(t, p);
    eng_arm(t, kind, id, due);
}

static void run_fields(struct run *r, const struct run_spec *s, int64_t now)
{
    struct arena *a = &r->arena;
    r->fresh = true;
    r->type = arena_str(a, s->type);
    r->queue = arena_str(a, s->queue);
    r->tree = s->tree.n ? arena_str(a, s->tree) : r->run_id;
    r->entry = arena_str(a, s->entry);
    r->cron = arena_str(a, s->cron);
    r->request_id = arena_str(a, s->request_id);
    r->first_run_id = s->first_run_id.n ? arena_str(a, s->first_run_id) : r->run_id;
    r->parent_id = arena_str(a, s->parent_id);
    r->parent_run_id = arena_str(a, s->parent_run_id);
    r->parent_initiated = s->parent_initiated;
    r->attempt_of_run = s->attempt > 0 ? s->attempt : 1;
    r->started_at = now;
    if (s->bundle.n && s->bundle.n < sizeof r->bundle) {
        memcpy(r->bundle, s->bundle.p, s->bundle.n);
    }
    uint8_t digest[32];
    payloads_digest(s->input, digest);
    hex_encode(digest, sizeof digest, r->input_digest);
}

static bool encode_to(struct bytes *to, const struct rec *r)
{
    struct buf b;
    buf_init(&b, ENG_BLOB_MAX);
    bool ok = !r || (rec_encode(r, &b) == 0 && eng_bytes_set(to, buf_str(&b)));
    buf_free(&b);
    return ok;
}

/* A new run with its first event, in an open transition. detached: not entered into the tables, it
 * is loaded after the commit. */
struct txn *eng_run_begin(struct engine *g, const struct run_spec *s, bool detached, struct err *e)
{
    int64_t now = engine_now(g);
    struct run *r = eng_run_new(g, g->next_run++, s->workflow_id, s->run_id);
    struct txn *t = NULL;
    if (r) {
        run_fields(r, s, now);
        if (encode_to(&r->memo, s->memo) && encode_to(&r->search, s->search) &&
            !arena_failed(&r->arena) && (detached || eng_run_enter(g, r) == 0)) {
            t = detached ? eng_txn_detached(r, now) : eng_txn(r);
        }
    }
    if (!t) {
        if (r && map_get(&g->runs, map_i64(&r->row))) {
            eng_run_forget(g, r);
        } else {
            eng_run_free(r);
        }
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    struct rec *a = NULL;
    eng_event(t, EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, &a);
    started_attrs(t, s, a);
    if (s->run_timeout > 0) {
        open_timer(t, PEND_RUN_TIMEOUT, 0, now + s->backoff + s->run_timeout);
    }
    if (s->expiration) {
        open_timer(t, PEND_RUN_TIMEOUT, 1, s->expiration);
    }
    if (s->backoff > 0) {
        open_timer(t, PEND_DELAY, 0, now + s->backoff);
        r->sleeps = eng_far(r, now + s->backoff);
    } else {
        r->want_wft = true;
    }
    return t;
}

/* Writes a detached new run into the commit of `t` and frees it; it is loaded and armed after the
 * commit. */
void eng_born_inside(struct txn *t, struct txn *sub)
{
    struct run *r = sub->run;
    if (r->want_wft) {
        eng_schedule_wft(sub);
    }
    eng_txn_write(sub);
    if (sub->failed || !sub->batch || !eng_batch(t)) {
        t->failed = true;
    } else {
        store_batch_join(t->batch, sub->batch);
        sub->batch = NULL;
        eng_effect(t, FX_LOAD)->row = r->row;
        for (struct map_entry *e = r->pends.first; e; e = e->next) {
            struct pend *p = e->value;
            if (p->due) {
                struct effect *f = eng_effect(t, FX_ARM);
                f->sub = p->kind;
                f->id = p->id;
                f->due = p->due;
                f->row = r->row;
            }
        }
    }
    eng_txn_free(sub);
    eng_run_free(r);
}

/* The next run of the chain, in the commit that closes this one. */
int eng_continue_run(struct txn *t, const struct next_run *n, char new_run_id[ENG_UUID])
{
    struct run *r = t->run;
    struct err e;
    struct rec *old = NULL, *memo = NULL, *search = NULL;
    struct arena *a = &t->chunk->arena;
    int rc = eng_started_attrs(r, a, &old, &e);
    if (rc) {
        return rc;
    }
    rec_decode(a, &rec_type_memo, arena_str(a, eng_bytes(&r->memo)), &memo, NULL);
    rec_decode(a, &rec_type_search_attributes, arena_str(a, eng_bytes(&r->search)), &search, NULL);
    eng_uuid(t->g, new_run_id);
    const struct rec *root = rec_msg(old, S(root_workflow_execution));
    struct rec *header = n->header ? rec_clone(a, n->header) : rec_msg(old, S(header));
    struct rec *moon = rec_map_get(rec_msg(old, S(header)), T(header, fields), STR("moonloop"));
    if (n->header && moon && !rec_map_get(header, T(header, fields), STR("moonloop"))) {
        struct rec *entry = rec_add(header, T(header, fields));
        rec_set_str(entry, T(header_fields_entry, key), STR("moonloop"));
        rec_set_msg(entry, T(header_fields_entry, value), moon);
    }
    struct run_spec s = {
        .workflow_id = r->workflow_id,
        .run_id = str_of(new_run_id),
        .type = n->type.n ? n->type : r->type,
        .queue = n->queue.n ? n->queue : r->queue,
        .tree = r->tree,
        .entry = r->entry,
        .bundle = str_of(r->bundle),
        .cron = n->cron,
        .first_run_id = r->first_run_id,
        .continued_run_id = r->run_id,
        .parent_id = r->parent_id,
        .parent_run_id = r->parent_run_id,
        .parent_initiated = r->parent_initiated,
        .root_id = rec_str(root, T(workflow_execution, workflow_id)),
        .root_run_id = rec_str(root, T(workflow_execution, run_id)),
        .input = n->input,
        .memo = n->memo ? n->memo : memo,
        .search = n->search ? n->search : search,
        .header = header,
        .retry = n->retry ? n->retry : rec_msg(old, S(retry_policy)),
        .failure = n->failure,
        .last_result = n->last_result,
        .execution_timeout = rec_int(old, S(workflow_execution_timeout)),
        .run_timeout = n->run_timeout > 0 ? n->run_timeout : rec_int(old, S(workflow_run_timeout)),
        .task_timeout =
            n->task_timeout > 0 ? n->task_timeout : rec_int(old, S(workflow_task_timeout)),
        .backoff = n->backoff,
        .expiration = rec_int(old, S(workflow_execution_expiration_time)),
        .initiator = n->initiator,
        .attempt = n->attempt,
        .identity = rec_str(old, S(identity))};
    struct txn *sub = eng_run_begin(t->g, &s, true, &e);
    if (!sub) {
        return ERR_NOMEM;
    }
    eng_born_inside(t, sub);
    return 0;
}

/* A run ends by itself: does its retry policy or cron schedule bring another one? Sets *retry_state
 * of a failure. */
bool eng_after_close(struct txn *t, int status, struct rec *result, struct rec *failure,
                     int *retry_state, char new_run_id[ENG_UUID])
{
    struct run *r = t->run;
    struct rec *old = NULL;
    struct err e;
    if (eng_started_attrs(r, &t->chunk->arena, &old, &e)) {
        t->failed = true;
        return false;
    }
    struct rec *policy = rec_msg(old, S(retry_policy)),
               *last = rec_msg(old, S(last_completion_result));
    int64_t expires = rec_int(old, S(workflow_execution_expiration_time));
    if (policy && failure && status != RUN_COMPLETED) {
        int64_t delay =
            failure_retryable(failure, policy) ? retry_delay(policy, r->attempt_of_run + 1, 0) : -1;
        *retry_state = !failure_retryable(failure, policy) ? RETRY_STATE_NON_RETRYABLE_FAILURE
                                                           : RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED;
        if (delay >= 0 && expires && t->now + delay >= expires) {
            *retry_state = RETRY_STATE_TIMEOUT;
            delay = -1;
        }
        if (delay >= 0) {
            *retry_state = RETRY_STATE_IN_PROGRESS;
            struct next_run n = {.initiator = CONTINUE_AS_NEW_INITIATOR_RETRY,
                                 .backoff = delay,
                                 .input = rec_msg(old, S(input)),
                                 .failure = failure,
                                 .last_result = last,
                                 .attempt = r->attempt_of_run + 1,
                                 .cron = r->cron};
            return eng_continue_run(t, &n, new_run_id) == 0 || (t->failed = true, false);
        }
    }
    int64_t next = r->cron.n && !r->cancel_requested ? eng_cron_next(r->cron, t->now) : -1;
    if (next < 0 || (expires && next >= expires)) {
        return false;
    }
    struct next_run n = {.initiator = CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE,
                         .backoff = next - t->now,
                         .input = rec_msg(old, S(input)),
                         .failure = failure,
                         .last_result = result ? result : last,
                         .attempt = 1,
                         .cron = r->cron};
    return eng_continue_run(t, &n, new_run_id) == 0 || (t->failed = true, false);
}

/* ---- a client's start ---- */
static void add_signal(struct txn *t, const struct backend_start *s)
{
    if (s->signal_name.n) {
        struct rec *a = NULL, *ev = eng_event_loose(t, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, &a);
        rec_set_str(a, T(ev_workflow_execution_signaled, signal_name), s->signal_name);
        rec_set_msg(a, T(ev_workflow_execution_signaled, input), (struct rec *)s->signal_input);
        rec_set_str(a, T(ev_workflow_execution_signaled, identity), s->identity);
        rec_set_str(a, T(ev_workflow_execution_signaled, request_id), s->request_id);
        eng_event_arrive(t, ev, true);
    }
}

static int check_start(const struct backend_start *s, struct err *e)
{
    if (!s->workflow_id.n || s->workflow_id.n > ENG_ID_MAX || !s->workflow_type.n ||
        s->workflow_type.n > ENG_ID_MAX || s->task_queue.n > ENG_ID_MAX ||
        s->request_id.n > ENG_ID_MAX || s->signal_name.n > ENG_ID_MAX) {
        return err_set(e, ERR_ARG, "workflow id, type and queue must be 1 to %d bytes", ENG_ID_MAX);
    }
    return s->cron.n ? eng_cron_check(s->cron, e) : 0;
}

static void start_new(struct engine *g, struct msg *m)
{
    const struct backend_start *s = m->start;
    struct err e = {0};
    char run_id[ENG_UUID];
    eng_uuid(g, run_id);
    int64_t now = engine_now(g), backoff = s->start_delay_ns;
    if (s->cron.n) {
        int64_t next = eng_cron_next(s->cron, now);
        backoff = next > now ? next - now : backoff;
    }
    struct run_spec spec = {.workflow_id = s->workflow_id,
                            .run_id = str_of(run_id),
                            .type = s->workflow_type,
                            .queue = s->task_queue.n ? s->task_queue : STR("default"),
                            .tree = s->tree,
                            .entry = s->entry,
                            .bundle = s->bundle_digest,
                            .identity = s->identity,
                            .request_id = s->request_id,
                            .cron = s->cron,
                            .input = (struct rec *)s->input,
                            .memo = (struct rec *)s->memo,
                            .search = (struct rec *)s->search_attributes,
                            .header = (struct rec *)s->header,
                            .retry = (struct rec *)s->retry_policy,
                            .execution_timeout = s->execution_timeout_ns,
                            .run_timeout = s->run_timeout_ns,
                            .task_timeout = s->task_timeout_ns,
                            .backoff = backoff,
                            .expiration =
                                s->execution_timeout_ns > 0 ? now + s->execution_timeout_ns : 0};
    struct txn *t = eng_run_begin(g, &spec, false, &e);
    if (!t) {
        eng_fail_msg(g, m, e.code, e.text);
        return;
    }
    struct run *r = t->run;
    eng_adopt(t, m);
    struct effect *f = eng_reply(t, m, 0, "");
    f->reply.run_id = r->run_id;
    f->reply.status = RUN_RUNNING;
    add_signal(t, s);
    if (m->batch) {
        t->no_push = true; /* activated only after its commit */
        if (eng_batch(t)) {
            store_batch_join(t->batch, m->batch);
            m->batch = NULL;
        }
        if (r->want_wft) {
            eng_schedule_wft(t);
        }
    }
    eng_run_pump(r);
}

static void existing(struct txn *t, struct msg *m)
{
    struct effect *f = eng_reply(t, m, 0, "");
    f->reply.run_id = t->run->run_id;
    f->reply.status = (enum backend_run_status)t->run->status;
    f->reply.existing = true;
}

/* A start meets a run of its id that is open, or not committed yet. */
void eng_apply_start(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    const struct backend_start *s = m->start;
    char text[1200];
    snprintf(text, sizeof text, "workflow \"%.*s\" is running already", STR_ARG(s->workflow_id));
    if (s->request_id.n && str_eq(s->request_id, r->request_id)) {
        existing(t, m);
        return;
    }
    if (r->status == RUN_RUNNING && s->signal_name.n && s->on_open != ID_CONFLICT_TERMINATE &&
        eng_signals_full(r)) {
        eng_refuse_signal(t, m);
        return;
    }
    if (r->status == RUN_RUNNING && s->on_open == ID_CONFLICT_USE_EXISTING) {
        existing(t, m);
        add_signal(t, s);
        return;
    }
    if (r->status == RUN_RUNNING && s->on_open == ID_CONFLICT_FAIL) {
        if (s->signal_name.n) { /* signal-with-start goes to the open run */
            existing(t, m);
            add_signal(t, s);
            return;
        }
        struct effect *f = eng_reply(t, m, ERR_EXISTS, text);
        f->reply.run_id = r->run_id;
        return;
    }
    if (r->status == RUN_RUNNING) {
        eng_force_close_task(t);
        struct rec *a = NULL, *ev = eng_event(t, EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, &a);
        rec_set_str(a, T(ev_workflow_execution_terminated, reason),
                    STR("a new run of this id was started"));
        eng_close_run(t, RUN_TERMINATED, ev);
    }
    eng_repost(t, m);
}

static bool reuse_ok(struct msg *m, const struct run *r)
{
    const struct backend_start *s = m->start;
    if (s->request_id.n && str_eq(s->request_id, r->request_id)) {
        struct backend_reply reply = {.run_id = r->run_id,
                                      .existing = true,
                                      .status = (enum backend_run_status)r->status,
                                      .guard = -1};
        m->reply(m->ud, &reply);
        eng_msg_free(m);
        return false;
    }
    bool failed = r->status == RUN_FAILED || r->status == RUN_CANCELED ||
                  r->status == RUN_TERMINATED || r->status == RUN_TIMED_OUT;
    if (s->on_closed == ID_REUSE_REJECT || (s->on_closed == ID_REUSE_FAILED_ONLY && !failed)) {
        struct backend_reply reply = {
            .run_id = r->run_id, .status = (enum backend_run_status)r->status, .guard = -1};
        err_set(&reply.err, ERR_EXISTS, "workflow \"%.*s\" has run already",
                STR_ARG(s->workflow_id));
        m->reply(m->ud, &reply);
        eng_msg_free(m);
        return false;
    }
    return true;
}

void eng_start(struct engine *g, struct msg *m)
{
    struct err e = {0};
    struct run *r = NULL;
    int rc = check_start(m->start, &e);
    rc = rc ? rc : eng_run_current(g, m->start->workflow_id, &r, &e);
    if (rc && rc != ERR_NOTFOUND) {
        eng_fail_msg(g, m, e.code, e.text);
        return;
    }
    if (r && (r->status == RUN_RUNNING || r->txn)) {
        m->row = r->row;
        m->next = NULL;
        if (r->inbox_last) {
            r->inbox_last->next = m;
        } else {
            r->inbox = m;
        }
        r->inbox_last = m;
        eng_run_pump(r);
        return;
    }
    if (!r || reuse_ok(m, r)) {
        start_new(g, m);
    }
}
