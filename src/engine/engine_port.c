/* The operations of the port: each copies what it is given into a message and leaves; the engine's
 * own turn does the rest. Nothing is answered inside a call. */
#include "engine/engine_internal.h"

static struct engine *of(struct backend *b)
{
    return (struct engine *)b;
}

static struct rec *copy(struct msg *m, const struct rec *r)
{
    return r ? rec_clone(&m->arena, r) : NULL;
}

static void out_of_memory_answer(backend_answer_fn fn, void *ud)
{
    /* The one case in which a call is answered inside it: there is no memory to do it later. */
    struct backend_answer a = {.kind = BACKEND_STORAGE};
    err_set(&a.err, ERR_NOMEM, "out of memory");
    if (fn) {
        fn(ud, &a);
    }
}

static void out_of_memory_reply(backend_reply_fn fn, void *ud)
{
    struct backend_reply r = {.guard = -1};
    err_set(&r.err, ERR_NOMEM, "out of memory");
    fn(ud, &r);
}

/* false: answered, out of memory. */
static bool post(struct engine *g, struct msg *m)
{
    if (!arena_failed(&m->arena)) {
        eng_post(g, m);
        return true;
    }
    if (m->answer) {
        out_of_memory_answer(m->answer, m->ud);
    } else if (m->reply) {
        out_of_memory_reply(m->reply, m->ud);
    }
    eng_msg_free(m);
    return false;
}

static void post_outcome(struct engine *g, struct str token, struct msg *m)
{
    if (arena_failed(&m->arena)) {
        struct err e;
        err_set(&e, ERR_NOMEM, "out of memory");
        eng_release(g, token, &e);
    }
    post(g, m);
}

static void op_release(struct backend *b, struct str token, const struct err *why)
{
    if (token.n && token.p[0] == 'a') {
        eng_release_attempt(of(b), token, why);
    } else {
        eng_release(of(b), token, why);
    }
}

/* token: the task whose outcome it is. Without memory the task is as good as given back. */
static struct msg *answered(struct engine *g, int kind, struct str token, backend_answer_fn fn,
                            void *ud)
{
    struct msg *m = eng_msg(g, kind);
    if (!m) {
        struct err e;
        err_set(&e, ERR_NOMEM, "out of memory");
        eng_release(g, token, &e);
        out_of_memory_answer(fn, ud);
        return NULL;
    }
    m->answer = fn;
    m->ud = ud;
    return m;
}

static struct msg *replied(struct engine *g, int kind, const struct backend_target *t,
                           backend_reply_fn fn, void *ud)
{
    struct msg *m = eng_msg(g, kind);
    if (!m) {
        out_of_memory_reply(fn, ud);
        return NULL;
    }
    m->reply = fn;
    m->ud = ud;
    if (t) {
        m->workflow_id = arena_str(&m->arena, t->workflow_id);
        m->run_id = t->run_id.n ? arena_str(&m->arena, t->run_id) : (struct str){NULL, 0};
        m->had_run_id = t->run_id.n > 0;
    }
    return m;
}

/* ---- worker side ---- */
static int op_serve(struct backend *b, const struct backend_sink *sink,
                    const struct backend_served *queues, size_t n)
{
    return eng_serve(of(b), sink, queues, n);
}

static void op_offer(struct backend *b, int workflow_slots, int activity_slots)
{
    struct engine *g = of(b);
    g->slots_wft += workflow_slots > 0 ? (size_t)workflow_slots : 0;
    g->slots_act += activity_slots > 0 ? (size_t)activity_slots : 0;
    eng_kick(g);
}

static void copy_results(struct msg *m, const struct backend_query_result *r, size_t n)
{
    m->results = n ? arena_alloc(&m->arena, n * sizeof *m->results) : NULL;
    for (size_t i = 0; m->results && i < n; i++) {
        m->results[i] = (struct backend_query_result){arena_str(&m->arena, r[i].id), r[i].ok,
                                                      copy(m, r[i].result), copy(m, r[i].failure),
                                                      arena_str(&m->arena, r[i].message)};
        m->n_results++;
    }
}

static struct rec **copy_recs(struct msg *m, struct rec *const *from, size_t n)
{
    struct rec **to = n ? arena_alloc(&m->arena, n * sizeof *to) : NULL;
    for (size_t i = 0; to && i < n; i++) {
        to[i] = rec_clone(&m->arena, from[i]);
    }
    return to;
}

/* "w:RUN:STARTED:NONCE" into the message; a token that is none finds no run. */
static void take_token(struct msg *m, struct str token)
{
    struct str run = {NULL, 0};
    int64_t attempt = 0;
    m->run_id = STR("?");
    if (token.n > 2 && eng_token_parse(token, &run, &m->id, &attempt) == 0) {
        m->run_id = arena_str(&m->arena, run);
        m->attempt = attempt;
        m->nonce = (uint64_t)attempt;
    }
    m->had_run_id = true;
}

static void op_complete_workflow(struct backend *b, struct str token,
                                 const struct backend_workflow_completion *c, backend_answer_fn fn,
                                 void *ud)
{
    struct msg *m = answered(of(b), M_WFT_DONE, token, fn, ud);
    if (!m) {
        return;
    }
    take_token(m, token);
    m->commands = copy_recs(m, c->commands, c->n_commands);
    m->n_commands = m->commands ? c->n_commands : 0;
    m->dues =
        m->commands && c->dues ? arena_alloc(&m->arena, c->n_commands * sizeof *m->dues) : NULL;
    if (m->dues) {
        memcpy(m->dues, c->dues, c->n_commands * sizeof *m->dues);
    }
    m->messages = copy_recs(m, c->messages, c->n_messages);
    m->n_messages = m->messages ? c->n_messages : 0;
    copy_results(m, c->query_results, c->n_query_results);
    m->flags = c->n_flags ? arena_alloc(&m->arena, c->n_flags * sizeof *m->flags) : NULL;
    if (m->flags) {
        memcpy(m->flags, c->flags, c->n_flags * sizeof *m->flags);
        m->n_flags = c->n_flags;
    }
    m->digest = arena_str(&m->arena, c->bundle_digest);
    m->flag = c->force_new_task;
    m->text = arena_str(&m->arena, c->pending_json);
    m->number = c->local_attempts;
    m->number2 = c->sleeps_till;
    m->unread = (int64_t)c->unread_signals;
    post_outcome(of(b), token, m);
}

static void op_fail_workflow(struct backend *b, struct str token, int cause,
                             const struct rec *failure, bool limit, struct str pending_json,
                             backend_answer_fn fn, void *ud)
{
    struct msg *m = answered(of(b), M_WFT_FAILED, token, fn, ud);
    if (m) {
        take_token(m, token);
        m->sub = cause;
        m->rec = copy(m, failure);
        m->flag = limit;
        m->text = arena_str(&m->arena, pending_json);
        post_outcome(of(b), token, m);
    }
}

static void op_complete_query(struct backend *b, struct str token,
                              const struct backend_query_result *q, backend_answer_fn fn, void *ud)
{
    struct msg *m = answered(of(b), M_QUERY_DONE, token, fn, ud);
    if (!m) {
        return;
    }
    copy_results(m, q, 1);
    m->row = -1;
    const char *colon = token.n > 2 ? memchr(token.p + 2, ':', token.n - 2) : NULL; /* "q:ROW:ID" */
    if (colon && m->n_results) {
        m->row = strtoll(token.p + 2, NULL, 10);
        m->results[0].id =
            arena_str(&m->arena, str_make(colon + 1, (size_t)(token.p + token.n - colon - 1)));
    }
    post_outcome(of(b), token, m);
}

static void fill_activity(struct msg *m, const struct backend_activity_completion *c)
{
    m->retry = true; /* the attempt has done its work: a full disk must not lose that */
    m->sub = (int)c->kind;
    m->rec = copy(m, c->kind == ACT_FAILED ? c->failure : c->result);
    m->rec2 = copy(m, c->details);
    m->number = c->next_retry_delay_ns;
    if (c->kind == ACT_FAILED && !m->rec) {
        m->rec =
            failure_app(&m->arena, STR("Error"), STR("the activity failed"), false, NULL, NULL);
    }
}

static void op_complete_activity(struct backend *b, struct str token,
                                 const struct backend_activity_completion *c, backend_answer_fn fn,
                                 void *ud)
{
    struct msg *m = answered(of(b), M_ACT_DONE, token, fn, ud);
    if (m) {
        take_token(m, token);
        m->attempt = m->attempt ? m->attempt : -1;
        m->batch = c->batch;
        fill_activity(m, c);
        post_outcome(of(b), token, m);
    } else {
        store_batch_free(c->batch);
    }
}

static void take_activity(struct msg *m, const struct backend_target *t, struct str activity_id)
{
    m->workflow_id = arena_str(&m->arena, t->workflow_id);
    m->run_id = t->run_id.n ? arena_str(&m->arena, t->run_id) : (struct str){NULL, 0};
    m->had_run_id = t->run_id.n > 0;
    m->name = arena_str(&m->arena, activity_id);
}

static void op_complete_activity_by_id(struct backend *b, const struct backend_target *t,
                                       struct str activity_id,
                                       const struct backend_activity_completion *c,
                                       backend_answer_fn fn, void *ud)
{
    struct msg *m = answered(of(b), M_ACT_DONE, (struct str){NULL, 0}, fn, ud);
    if (m) {
        take_activity(m, t, activity_id);
        fill_activity(m, c);
        post(of(b), m);
    }
}

static void op_heartbeat(struct backend *b, struct str token, const struct rec *details,
                         backend_answer_fn fn, void *ud)
{
    struct msg *m = answered(of(b), M_HEARTBEAT, (struct str){NULL, 0}, fn, ud);
    if (m) {
        take_token(m, token);
        m->attempt = m->attempt ? m->attempt : -1;
        m->rec = copy(m, details);
        post(of(b), m);
    }
}

static void op_heartbeat_by_id(struct backend *b, const struct backend_target *t,
                               struct str activity_id, const struct rec *details,
                               backend_answer_fn fn, void *ud)
{
    struct msg *m = answered(of(b), M_HEARTBEAT, (struct str){NULL, 0}, fn, ud);
    if (m) {
        take_activity(m, t, activity_id);
        m->rec = copy(m, details);
        post(of(b), m);
    }
}

static void op_sleep_until(struct backend *b, int64_t due_ns, bool idle, void (*fn)(void *ud),
                           void *ud, uint64_t *id)
{
    struct engine *g = of(b);
    struct sleeper *s = mem_zalloc(sizeof *s);
    uint64_t key = ++g->counter;
    *id = 0;
    if (!s || map_set(&g->sleepers, str_make(&key, sizeof key), s)) {
        mem_free(s);
        return;
    }
    *s = (struct sleeper){key, fn, ud, idle};
    int64_t due = idle ? due_ns : time_plus(eng_attempt_now(g), time_minus(due_ns, engine_now(g)));
    struct heap_entry x = {due, 0, (int64_t)key, PEND_SLEEP, 0};
    if (eng_heap_push(idle ? &g->sleeps : &g->limits, x)) {
        map_del(&g->sleepers, str_make(&key, sizeof key));
        mem_free(s);
        return;
    }
    g->n_idle += idle;
    *id = key;
    eng_kick(g);
}

static void op_sleep_cancel(struct backend *b, uint64_t id)
{
    struct sleeper *s = map_del(&of(b)->sleepers, str_make(&id, sizeof id));
    if (s) of(b)->n_idle -= s->idle;
    mem_free(s);
}

static int64_t op_now_ns(struct backend *b)
{
    return engine_now(of(b));
}

static void op_fetch_history(struct backend *b, const struct backend_target *t, bool resolve_all,
                             struct str page, backend_reply_fn fn, void *ud)
{
    struct msg *m = replied(of(b), M_READ, t, fn, ud);
    if (m) {
        m->sub = READ_HISTORY;
        m->flag = resolve_all;
        m->page = arena_str(&m->arena, page);
        post(of(b), m);
    }
}

/* ---- text of bundles ---- */
static int op_bundle_put(struct backend *b, const char *digest, struct str json,
                         const struct str *texts, const char *const *shas, size_t n, struct err *e)
{
    struct store_batch *x = store_batch_new(of(b)->store);
    if (!x) {
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        store_batch_add(x, "INSERT OR IGNORE INTO texts(sha, text) VALUES(?, ?)", "zb", shas[i],
                        texts[i]);
    }
    store_batch_add(x, "INSERT OR IGNORE INTO bundles(digest, json) VALUES(?, ?)", "zb", digest,
                    json);
    store_submit(of(b)->store, x, NULL,
                 NULL); /* in order: whatever starts with it is committed later */
    return 0;
}

static int get_text(struct engine *g, const char *sql, struct str key, struct buf *out,
                    const char *what, struct err *e)
{
    for (int i = 0; i < 2; i++) {
        struct store_read *q = NULL;
        int rc = store_read_open(g->store, &q, e, sql, "s", key);
        rc = rc ? rc : store_read_next(q);
        if (rc == 1) {
            rc = buf_putstr(out, store_read_str(q, 0));
            store_read_close(q);
            return rc ? err_set(e, rc, "a %s is too large", what) : 0;
        }
        store_read_close(q);
        if (rc < 0) {
            return e && e->code ? e->code : err_set(e, rc, "a %s could not be read", what);
        }
        if (i == 0) {
            store_flush(g->store); /* it may be on its way to the file */
        }
    }
    return err_set(e, ERR_NOTFOUND, "the file has no %s %.*s", what, STR_ARG(key));
}

static int op_bundle_get(struct backend *b, struct str digest, struct buf *json, struct err *e)
{
    return get_text(of(b), "SELECT json FROM bundles WHERE digest = ?", digest, json, "bundle", e);
}

static int op_text_get(struct backend *b, const char *sha, struct buf *text, struct err *e)
{
    return get_text(of(b), "SELECT text FROM texts WHERE sha = ?", str_of(sha), text, "module text",
                    e);
}

static void op_retry_blocked(struct backend *b, struct str run_id, struct str digest,
                             backend_reply_fn fn, void *ud)
{
    struct backend_target t = {.run_id = run_id};
    struct msg *m = replied(of(b), M_RETRY_BLOCKED, &t, fn, ud);
    if (m) {
        m->digest = arena_str(&m->arena, digest);
        post(of(b), m);
    }
}

/* ---- clients ---- */
static void op_start(struct backend *b, const struct backend_start *s, backend_reply_fn fn,
                     void *ud)
{
    struct msg *m = replied(of(b), M_START, NULL, fn, ud);
    struct backend_start *c = m ? arena_alloc(&m->arena, sizeof *c) : NULL;
    if (!c) {
        store_batch_free(s->batch);
        if (m) {
            out_of_memory_reply(fn, ud);
            eng_msg_free(m);
        }
        return;
    }
    struct arena *a = &m->arena;
    *c = *s;
    m->batch = s->batch;
    c->batch = NULL;
    c->request_id = arena_str(a, s->request_id);
    c->workflow_id = arena_str(a, s->workflow_id);
    c->workflow_type = arena_str(a, s->workflow_type);
    c->task_queue = arena_str(a, s->task_queue);
    c->input = copy(m, s->input);
    c->memo = copy(m, s->memo);
    c->search_attributes = copy(m, s->search_attributes);
    c->header = copy(m, s->header);
    c->retry_policy = copy(m, s->retry_policy);
    c->cron = arena_str(a, s->cron);
    c->bundle_digest = arena_str(a, s->bundle_digest);
    c->entry = arena_str(a, s->entry);
    c->identity = arena_str(a, s->identity);
    c->tree = arena_str(a, s->tree);
    c->signal_name = arena_str(a, s->signal_name);
    c->signal_input = copy(m, s->signal_input);
    m->start = c;
    post(of(b), m);
}

static void op_signal(struct backend *b, const struct backend_target *t, struct str request_id,
                      struct str name, const struct rec *input, const struct rec *header,
                      struct str identity, backend_reply_fn fn, void *ud)
{
    struct msg *m = replied(of(b), M_SIGNAL, t, fn, ud);
    if (m) {
        m->request_id = arena_str(&m->arena, request_id);
        m->name = arena_str(&m->arena, name);
        m->rec = copy(m, input);
        m->header = copy(m, header);
        m->identity = arena_str(&m->arena, identity);
        post(of(b), m);
    }
}

static void op_query(struct backend *b, const struct backend_target *t, struct str type,
                     const struct rec *args, backend_reply_fn fn, void *ud)
{
    struct msg *m = replied(of(b), M_QUERY, t, fn, ud);
    if (m) {
        m->name = arena_str(&m->arena, type);
        m->rec = copy(m, args);
        post(of(b), m);
    }
}

static void op_update(struct backend *b, const struct backend_target *t, struct str update_id,
                      struct str name, const struct rec *args, enum backend_update_stage wait,
                      backend_reply_fn fn, void *ud)
{
    struct engine *g = of(b);
    struct msg *m = replied(g, M_UPDATE, t, fn, ud);
    if (m) {
        char id[ENG_UUID];
        if (!update_id.n) {
            eng_uuid(g, id);
        }
        m->request_id = arena_str(&m->arena, update_id.n ? update_id : str_of(id));
        m->name = arena_str(&m->arena, name);
        m->rec = copy(m, args);
        m->sub = (int)wait;
        post(g, m);
    }
}

static void op_cancel(struct backend *b, const struct backend_target *t, struct str request_id,
                      struct str reason, backend_reply_fn fn, void *ud)
{
    struct msg *m = replied(of(b), M_CANCEL, t, fn, ud);
    if (m) {
        m->request_id = arena_str(&m->arena, request_id);
        m->text = arena_str(&m->arena, reason);
        post(of(b), m);
    }
}

static void op_terminate(struct backend *b, const struct backend_target *t, struct str reason,
                         backend_reply_fn fn, void *ud)
{
    struct msg *m = replied(of(b), M_TERMINATE, t, fn, ud);
    if (m) {
        m->text = arena_str(&m->arena, reason);
        post(of(b), m);
    }
}

static void op_reset(struct backend *b, const struct backend_target *t, int64_t event_id_,
                     struct str request_id, struct str reason, backend_reply_fn fn, void *ud)
{
    struct msg *m = replied(of(b), M_RESET, t, fn, ud);
    if (m) {
        m->id = event_id_;
        m->request_id = arena_str(&m->arena, request_id);
        m->text = arena_str(&m->arena, reason);
        post(of(b), m);
    }
}

static void op_delete_run(struct backend *b, const struct backend_target *t, backend_reply_fn fn,
                          void *ud)
{
    struct msg *m = replied(of(b), M_DELETE, t, fn, ud);
    if (m) {
        post(of(b), m);
    }
}

static void looked(struct backend *b, int kind, const struct backend_target *t, struct str filter,
                   bool wait, backend_reply_fn fn, void *ud)
{
    struct msg *m = replied(of(b), M_READ, t, fn, ud);
    if (m) {
        m->sub = kind;
        m->text = arena_str(&m->arena, filter);
        m->flag = wait;
        post(of(b), m);
    }
}

static void op_describe(struct backend *b, const struct backend_target *t, backend_reply_fn fn,
                        void *ud)
{
    looked(b, READ_DESCRIBE, t, (struct str){NULL, 0}, false, fn, ud);
}

static void op_list(struct backend *b, struct str filter_json, backend_reply_fn fn, void *ud)
{
    looked(b, READ_LIST, NULL, filter_json, false, fn, ud);
}

static void op_count(struct backend *b, struct str filter_json, backend_reply_fn fn, void *ud)
{
    looked(b, READ_COUNT, NULL, filter_json, false, fn, ud);
}

static void op_result(struct backend *b, const struct backend_target *t, bool wait,
                      backend_reply_fn fn, void *ud)
{
    looked(b, READ_RESULT, t, (struct str){NULL, 0}, wait, fn, ud);
}

/* Attempts that run end as WorkerShutdown; done is called when everything is committed. */
static void op_shutdown(struct backend *b, void (*done)(void *ud), void *ud)
{
    struct engine *g = of(b);
    g->shutting = true;
    g->shut_done = done;
    g->shut_ud = ud;
    for (struct map_entry *e = g->out.first; e; e = e->next) {
        const struct out *o = e->value;
        struct msg *m = eng_msg(g, M_ACT_LOST);
        if (m) {
            m->row = o->row;
            m->id = o->id;
            m->attempt = o->attempt;
            m->sub = 1;
            m->retry = true;
            eng_post(g, m);
        }
    }
    eng_kick(g);
}

const struct backend_ops eng_ops = {
    .serve = op_serve,
    .offer = op_offer,
    .release = op_release,
    .complete_workflow = op_complete_workflow,
    .fail_workflow = op_fail_workflow,
    .complete_query = op_complete_query,
    .complete_activity = op_complete_activity,
    .complete_activity_by_id = op_complete_activity_by_id,
    .heartbeat = op_heartbeat,
    .heartbeat_by_id = op_heartbeat_by_id,
    .sleep_until = op_sleep_until,
    .sleep_cancel = op_sleep_cancel,
    .now_ns = op_now_ns,
    .fetch_history = op_fetch_history,
    .bundle_put = op_bundle_put,
    .bundle_get = op_bundle_get,
    .text_get = op_text_get,
    .retry_blocked = op_retry_blocked,
    .start = op_start,
    .signal = op_signal,
    .query = op_query,
    .update = op_update,
    .cancel = op_cancel,
    .terminate = op_terminate,
    .reset = op_reset,
    .delete_run = op_delete_run,
    .describe = op_describe,
    .list = op_list,
    .count = op_count,
    .result = op_result,
    .shutdown = op_shutdown,
};
