/* Queries: with the workflow task that is about to be sent, else as a task of their own. They wait
 * in memory only. */
#include "engine/engine_internal.h"

void eng_query_free(struct query *q)
{
    arena_free(&q->arena);
    mem_free(q);
}

void eng_queries_fail(struct run *r, int code, const char *text)
{
    while (r->queries) {
        struct query *q = r->queries;
        r->queries = q->next;
        r->g->queries_n--;
        struct backend_reply reply = {.run_id = r->run_id, .guard = -1};
        err_set(&reply.err, code, "%s", text);
        q->fn(q->ud, &reply);
        eng_query_free(q);
    }
}

/* The task that carried them is over without an answer for them. */
void eng_queries_unsent(struct run *r)
{
    for (struct query *q = r->queries; q; q = q->next) {
        if (q->attached) {
            q->sent = q->attached = false;
        }
    }
}

/* One query as a task of its own. NULL: out of memory. */
static struct backend_task *query_task(struct run *r, const struct query *q)
{
    struct arena a;
    arena_init(&a, 0);
    struct backend_task *k = arena_alloc(&a, sizeof *k);
    if (!k) {
        return NULL;
    }
    k->arena = a;
    k->kind = BACKEND_WORKFLOW_TASK;
    k->workflow_id = arena_str(&k->arena, r->workflow_id);
    k->run_id = arena_str(&k->arena, r->run_id);
    k->workflow_type = arena_str(&k->arena, r->type);
    k->task_queue = arena_str(&k->arena, r->queue);
    k->token = arena_printf(&k->arena, "q:%lld:%s", (long long)r->row, q->id);
    k->attempt = 1;
    k->previous_started_id = r->done;
    k->legacy_query = true;
    k->bundle_digest =
        r->bundle[0] ? arena_str(&k->arena, str_of(r->bundle)) : (struct str){NULL, 0};
    k->wall_ns = engine_now(r->g);
    k->queries = arena_alloc(&k->arena, sizeof *k->queries);
    if (k->queries) {
        *k->queries = (struct backend_query){arena_str(&k->arena, str_of(q->id)),
                                             arena_str(&k->arena, q->type),
                                             q->args ? rec_clone(&k->arena, q->args) : NULL};
        k->n_queries = 1;
    }
    if (arena_failed(&k->arena)) {
        backend_task_free(k);
        return NULL;
    }
    return k;
}

static struct query *first_unsent(struct run *r)
{
    struct query *q = r->queries;
    while (q && q->sent) {
        q = q->next;
    }
    return q;
}

/* Sends what waits as tasks of their own, when no workflow task is out or due. Returns whether one
 * was sent. A worker may refuse a task while it is given to it: its query is gone then. */
bool eng_queries_start(struct run *r)
{
    struct engine *g = r->g;
    bool task_due = r->status == RUN_RUNNING && r->sched && !r->blocked && eng_driven(g, r);
    if (r->wft_out || task_due || g->shutting || r->txn) {
        return false;
    }
    bool sent = false;
    for (struct query *q; (q = first_unsent(r)) != NULL;) {
        if (!g->slots_wft) {
            eng_ready_run(r, &g->ready_wft);
            break;
        }
        struct backend_task *k = query_task(r, q);
        if (!k) {
            eng_starved(g);
            break;
        }
        q->sent = sent = true;
        g->slots_wft--;
        g->sink.on_workflow_task(g->sink.ud, k);
    }
    return sent;
}

static void answer(struct txn *t, struct run *r, struct backend_query_result *x)
{
    for (struct query **at = &r->queries; *at; at = &(*at)->next) {
        struct query *q = *at;
        if (!str_eqz(x->id, q->id)) {
            continue;
        }
        struct effect *f = eng_effect(t, FX_REPLY);
        if (t->failed) {
            return; /* it is told of that */
        }
        f->reply_fn = q->fn;
        f->ud = q->ud;
        f->reply.run_id = r->run_id;
        f->reply.status = (enum backend_run_status)r->status;
        f->reply.guard = -1;
        f->reply.result = x->result;
        f->reply.failure = x->failure;
        if (!x->ok) {
            struct str text = x->message.n ? x->message : rec_str(x->failure, T(failure, message));
            err_set(&f->reply.err, ERR_FAILED, "%.*s", STR_ARG(text));
        }
        *at = q->next;
        t->g->queries_n--;
        eng_query_free(q);
        return;
    }
}

/* The query of a task of its own came back: "q:ROW:ID". */
void eng_query_failed(struct engine *g, struct str token, const struct err *why)
{
    const char *end = token.p + token.n,
               *colon = token.n > 2 ? memchr(token.p + 2, ':', token.n - 2) : NULL;
    int64_t row = colon ? strtoll(token.p + 2, NULL, 10) : 0;
    struct run *r = colon ? map_get(&g->runs, map_i64(&row)) : NULL;
    for (struct query **at = r ? &r->queries : NULL; at && *at; at = &(*at)->next) {
        struct query *q = *at;
        if (str_eqz(str_make(colon + 1, (size_t)(end - colon - 1)), q->id)) {
            struct backend_reply reply = {.run_id = r->run_id, .guard = -1, .err = *why};
            *at = q->next;
            g->queries_n--;
            q->fn(q->ud, &reply);
            eng_query_free(q);
            return;
        }
    }
}

/* Answers that came with a completed workflow task: told after its commit. */
void eng_queries_answer(struct txn *t, struct msg *m)
{
    for (size_t i = 0; i < m->n_results; i++) {
        answer(t, t->run, &m->results[i]);
    }
}

void eng_apply_query_done(struct txn *t, struct msg *m)
{
    eng_queries_answer(t, m);
    eng_answer(t, m, BACKEND_OK);
}
