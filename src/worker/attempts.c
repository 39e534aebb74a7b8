/* Activity attempts, in Lua and in C, and the calls of local activities. Keeps true: each call is
 * answered to the engine at most once; an attempt that was stopped because the worker stops is left
 * to the engine, which records WorkerShutdown. */
#include "base/fault.h"
#include "base/mem.h"
#include "worker/worker_internal.h"

struct w_call *w_call_new(struct worker *w)
{
    struct w_call *c = mem_zalloc(sizeof *c);
    if (!c) return NULL;
    c->w = w;
    c->next = w->all_calls;
    if (c->next) c->next->prev = c;
    w->all_calls = c;
    return c;
}

void w_call_free(struct w_call *c)
{
    struct worker *w = c->w;
    if (c->prev)
        c->prev->next = c->next;
    else
        w->all_calls = c->next;
    if (c->next) c->next->prev = c->prev;
    if (c->id) idmap_del(&w->calls, c->id);
    if (c->t && map_get(&w->by_token, c->t->token) == c) map_del(&w->by_token, c->t->token);
    if (c->t) {
        w->n_calls--;
        backend_task_free(c->t);
    }
    mem_free(c);
    w->attempts_ended++;
}

/* ---- outcomes ---- */
static void on_completed(void *ud, const struct backend_answer *a)
{
    struct worker *w = ud;
    if (a->kind == BACKEND_STORAGE)
        log_printf(w->o.log, LOG_ERROR, "an activity's outcome could not be stored: %s",
                   a->err.text);
    w_ready(w);
}

/* The batch of what the activity wants to write; when that cannot be made it has failed. */
static void with_intents(struct w_call *c, struct backend_activity_completion *r, struct arena *a)
{
    struct worker *w = c->w;
    struct err e = {0};
    int rc = w->o.intents ? w->o.intents(w->o.ud, r->intents, &r->batch, &e)
                          : err_set(&e, ERR_UNSUPPORTED, "ml.db: there is no boundary here");
    r->intents = (struct str){NULL, 0};
    if (!rc) return;
    r->kind = ACT_FAILED;
    r->result = NULL;
    r->failure =
        failure_app(a, STR("BadWrite"), arena_str(a, str_of(e.text)), rc != ERR_NOMEM, NULL, NULL);
}

static void report(struct w_call *c, const struct backend_activity_completion *given)
{
    struct worker *w = c->w;
    struct backend_activity_completion copy = *given, *r = &copy;
    struct arena a;
    FAULT("worker.report");
    if (c->gone)
        log_printf(w->o.log, LOG_INFO,
                   "activity " STR_FMT " of " STR_FMT
                   " ended when nobody waited for it any more: its outcome is not kept",
                   STR_ARG(c->t->activity_type), STR_ARG(c->t->workflow_id));
    bool silent = c->gone || (c->shutdown && r->kind != ACT_COMPLETED);
    if (silent) return;
    arena_init(&a, 0);
    if (r->intents.n) with_intents(c, r, &a);
    w->b->ops->complete_activity(w->b, c->t->token, r, on_completed, w);
    arena_free(&a);
}

static void call_finished(struct w_call *c, const struct backend_activity_completion *r)
{
    struct worker *w = c->w;
    if (c->script) {
        int64_t key = (int64_t)c->act_id;
        map_del(&c->script->calls, map_i64(&key));
    } else {
        w->n_c_calls--;
    }
    bool local = c->t == NULL;
    if (local)
        w_local_finished(c, r);
    else
        report(c, r);
    w_call_free(c);
    if (!local && !w->stopping) w->b->ops->offer(w->b, 0, 1);
    w_stop_check(w);
    w_ready(w);
}

static void on_act_done(void *ud, uint64_t id, const struct backend_activity_completion *r)
{
    (void)id;
    call_finished(ud, r);
}

/* ---- starting ---- */
/* The arguments as a JSON array; values that are not JSON become {"encoding", "data": base64}. */
static int args_json(const struct rec *input, struct buf *out)
{
    buf_putc(out, '[');
    for (const struct rec_field *f = rec_each(input, T(payloads, payloads), NULL); f;
         f = rec_each(input, T(payloads, payloads), f)) {
        struct str enc = payload_encoding(f->v.m);
        if (out->n > 1) buf_putc(out, ',');
        if (str_eqz(enc, PAYLOAD_JSON)) {
            buf_putstr(out, payload_data(f->v.m));
        } else if (str_eqz(enc, PAYLOAD_NULL)) {
            buf_puts(out, "null");
        } else {
            buf_puts(out, "{\"encoding\":");
            buf_put_json(out, enc);
            buf_puts(out, ",\"data\":\"");
            buf_put_base64(out, payload_data(f->v.m));
            buf_puts(out, "\"}");
        }
    }
    buf_putc(out, ']');
    return out->code;
}

static int start_c(struct worker *w, const struct w_c_activity *a, const struct act_call *spec,
                   struct w_call *c, struct err *e)
{
    struct buf json;
    buf_init(&json, (size_t)64 << 20);
    int code = args_json(spec->input, &json);
    if (code) {
        buf_free(&json);
        return err_set(e, code == ERR_NOMEM ? ERR_NOMEM : ERR_LIMIT,
                       "the arguments of activity '%s' do not fit in memory", a->name);
    }
    c->id = idmap_add(&w->calls, c);
    if (!c->id) {
        buf_free(&json);
        return err_set(e, ERR_NOMEM, "out of memory starting activity '%s'", a->name);
    }
    w->n_c_calls++;
    uint64_t id = c->id; /* it may answer at once: then the call is gone */
    int rc = a->fn(a->ud, id, buf_str(&json));
    if (rc) w->n_c_calls--;
    buf_free(&json);
    return rc ? err_set(e, rc, "out of memory starting activity '%s'", a->name) : 0;
}

int w_call_start(struct worker *w, const struct act_call *spec, struct w_call *c, struct err *e)
{
    const struct w_c_activity *a = w_find_c(w, spec->activity_type);
    FAULT("worker.attempt");
    if (a) return start_c(w, a, spec, c, e);
    struct w_script *s = w_find_activity(w, spec->activity_type, spec->workflow_type);
    if (!s)
        return err_set(e, ERR_NOTFOUND,
                       "no activity '" STR_FMT "' is defined in the loaded scripts",
                       STR_ARG(spec->activity_type));
    int rc = act_start(s->act, spec, on_act_done, c, &c->act_id, e);
    if (rc) return rc;
    int64_t key = (int64_t)c->act_id;
    c->script = s;
    if (map_set(&s->calls, map_i64(&key), c))
        log_printf(w->o.log, LOG_WARN, "out of memory: heartbeats of one activity are not sent");
    w_ready(w);
    return 0;
}

/* The attempt has not begun: the engine gives it again. */
static void put_off(struct worker *w, const struct backend_task *t, const struct err *e)
{
    log_printf(w->o.log, LOG_WARN, "activity " STR_FMT " is put off: %s", STR_ARG(t->activity_type),
               e->text);
    w->b->ops->release(w->b, t->token, e);
    w->b->ops->offer(w->b, 0, 1);
}

void w_on_activity_task(void *ud, struct backend_task *t)
{
    struct worker *w = ud;
    struct err e = {0};
    struct w_call *c = w->stopping ? NULL : w_call_new(w);
    if (!c) { /* while stopping unanswered: it ends as WorkerShutdown */
        if (!w->stopping) put_off(w, t, &(struct err){.code = ERR_NOMEM, .text = "out of memory"});
        backend_task_free(t);
        return;
    }
    c->t = t;
    w->n_calls++;
    if (map_set(&w->by_token, t->token, c))
        log_printf(w->o.log, LOG_WARN, "out of memory: one activity cannot be cancelled");
    struct act_call spec = {.activity_type = t->activity_type,
                            .input = t->input,
                            .workflow_id = t->workflow_id,
                            .run_id = t->run_id,
                            .workflow_type = t->workflow_type,
                            .task_queue = t->task_queue,
                            .activity_id = t->activity_id,
                            .idempotency_key = t->idempotency_key,
                            .token = t->token,
                            .attempt = t->attempt,
                            .scheduled_ns = t->scheduled_ns,
                            .started_ns = t->started_ns,
                            .start_to_close_ns = t->start_to_close_ns,
                            .heartbeat_ns = t->heartbeat_ns,
                            .heartbeat_details = t->heartbeat_details,
                            .header = t->header};
    int rc = w_call_start(w, &spec, c, &e);
    if (rc == ERR_NOMEM) {
        put_off(w, t, &e);
        w_call_free(c);
    } else if (rc) {
        struct arena a;
        arena_init(&a, 0);
        struct str type =
            e.code == ERR_NOTFOUND ? STR("ActivityNotFound") : STR("ActivityNotStarted");
        struct backend_activity_completion r = {
            .kind = ACT_FAILED,
            .failure = failure_app(&a, type, str_of(e.text), false, NULL, NULL)};
        report(c, &r);
        arena_free(&a);
        w_call_free(c);
        w->b->ops->offer(w->b, 0, 1);
    }
}

int worker_c_done(struct worker *w, uint64_t call, int code, struct str json,
                  struct str failure_type, struct str message, bool non_retryable)
{
    struct w_call *c = idmap_get(&w->calls, call);
    struct arena a;
    if (!c) return ERR_STALE;
    arena_init(&a, 0);
    struct backend_activity_completion r = {.kind = ACT_COMPLETED};
    if (code == 0)
        r.result = json.n ? payloads_of_json(&a, json) : NULL;
    else
        r = (struct backend_activity_completion){
            .kind = ACT_FAILED,
            .failure = failure_app(&a, failure_type, message, non_retryable, NULL, NULL)};
    int rc = arena_failed(&a) ? ERR_NOMEM : 0;
    if (rc == 0) call_finished(c, &r);
    arena_free(&a);
    return rc;
}

/* ---- heartbeats and cancellation ---- */
struct beat {
    struct worker *w;
    struct str token;
};

static void on_beat(void *ud, const struct backend_answer *a)
{
    struct beat *b = ud;
    struct w_call *c = map_get(&b->w->by_token, b->token);
    if (c && a->kind == BACKEND_STALE)
        w_call_cancel(c, BACKEND_CANCEL_GONE);
    else if (c && a->cancel_requested)
        w_call_cancel(c, a->cancel_reason);
    mem_free((void *)(uintptr_t)b->token.p);
    mem_free(b);
}

void w_call_heartbeat(struct w_call *c, const struct rec *details)
{
    if (!c->t || c->gone || c->shutdown) return; /* local activities have no heartbeats */
    struct beat *b = mem_zalloc(sizeof *b);
    char *token = b ? str_dup(c->t->token) : NULL;
    if (!token) { /* the next one may get through */
        mem_free(b);
        return;
    }
    *b = (struct beat){c->w, {token, c->t->token.n}};
    c->w->b->ops->heartbeat(c->w->b, c->t->token, details, on_beat, b);
}

void w_call_cancel(struct w_call *c, enum backend_cancel_reason why)
{
    if (why == BACKEND_CANCEL_GONE) c->gone = true;
    if (why == BACKEND_CANCEL_SHUTDOWN) c->shutdown = true;
    if (c->script) act_cancel(c->script->act, c->act_id, why);
}

void w_on_activity_cancel(void *ud, struct str token, enum backend_cancel_reason why)
{
    struct worker *w = ud;
    struct w_call *c = map_get(&w->by_token, token);
    if (!c) return;
    if (why == BACKEND_CANCEL_TIMED_OUT) c->gone = true; /* the engine has recorded its end */
    w_call_cancel(c, why);
    w_ready(w);
}

void w_calls_shutdown(struct worker *w)
{
    for (struct map_entry *en = w->by_token.first, *next; en; en = next) {
        next = en->next;
        w_call_cancel(en->value, BACKEND_CANCEL_SHUTDOWN);
    }
}

/* After the activity states are closed no callback comes any more: what is left is freed without a
 * word. */
void w_calls_free_all(struct worker *w)
{
    while (w->all_calls)
        w_call_free(w->all_calls);
}
