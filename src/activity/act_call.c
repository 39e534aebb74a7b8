/* One attempt of an activity from start to outcome: its arguments, time-outs, heartbeats,
 * cancellation, failure. Keeps true: the done callback is called exactly once, when the main
 * function and everything it spawned have ended (or were ended by force after a time-out's grace),
 * never while Lua is on the C stack. */
#include "activity/act_internal.h"

#include <stdio.h>

/* ---- making and freeing ---- */

struct act_call_state *act_call_new(struct act_host *h, struct act_state *st, enum call_kind kind)
{
    struct act_call_state *c = mem_zalloc(sizeof *c);
    if (!c) return NULL;
    c->h = h;
    c->st = st;
    c->kind = kind;
    arena_init(&c->arena, 0);
    buf_init(&c->intents, (size_t)32 << 20);
    arena_init(&c->beat_arenas[0], 0);
    arena_init(&c->beat_arenas[1], 0);
    c->next = h->first_call;
    if (c->next) c->next->prev = c;
    h->first_call = c;
    return c;
}

void act_call_free(struct act_call_state *c)
{
    struct act_host *h = c->h;
    while (c->cos)
        act_co_free(c->cos);
    if (c->prev)
        c->prev->next = c->next;
    else
        h->first_call = c->next;
    if (c->next) c->next->prev = c->prev;
    if (c->id) {
        idmap_del(&h->calls, c->id);
        h->n_running--;
    }
    if (c->timer) loop_timer_close(c->timer);
    arena_free(&c->arena);
    buf_free(&c->intents);
    arena_free(&c->beat_arenas[0]);
    arena_free(&c->beat_arenas[1]);
    mem_free(c);
}

/* ---- time-outs and heartbeats ---- */

void act_call_set_timer(struct act_call_state *c)
{
    int64_t due = 0, all[] = {c->due_ns, c->beat_due_ns, c->send_due_ns, c->grace_ns};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i] && (!due || all[i] < due)) due = all[i];
    if (!c->timer) return;
    if (!due) {
        loop_timer_stop(c->timer);
        return;
    }
    int64_t left = due - clock_mono(c->h->env.clock);
    loop_timer_start(c->timer, left > 0 ? left : 0);
}

static void send_beat(struct act_call_state *c, int64_t now)
{
    const struct rec *details = c->unsent;
    struct arena keep = c->beat_arenas[0];
    c->beat_arenas[0] = c->beat_arenas[1];
    c->beat_arenas[1] = keep;
    c->unsent = NULL;
    c->has_unsent = false;
    c->send_due_ns = 0;
    c->sent_ns = now;
    c->ever_sent = true;
    if (c->h->env.heartbeat) c->h->env.heartbeat(c->h->env.ud, c->id, details);
}

static void timed_out(struct act_call_state *c, int type)
{
    c->due_ns = c->beat_due_ns = 0;
    if (c->cancel_requested && c->reason != BACKEND_CANCEL_TIMED_OUT) {
        c->reason = BACKEND_CANCEL_TIMED_OUT; /* the clean-up after a cancellation took too long */
        c->timeout_type = type;
        if (!c->grace_ns) c->grace_ns = clock_mono(c->h->env.clock) + ACT_GRACE;
        return;
    }
    c->timeout_type = type;
    act_call_cancel(c, BACKEND_CANCEL_TIMED_OUT);
}

static void on_timer(void *ud)
{
    struct act_call_state *c = ud;
    int64_t now = clock_mono(c->h->env.clock);
    if (c->send_due_ns && now >= c->send_due_ns) send_beat(c, now);
    if (c->due_ns && now >= c->due_ns)
        timed_out(c, TIMEOUT_TYPE_START_TO_CLOSE);
    else if (c->beat_due_ns && now >= c->beat_due_ns)
        timed_out(c, TIMEOUT_TYPE_HEARTBEAT);
    if (c->grace_ns && now >= c->grace_ns) {
        act_call_force_end(c);
        return;
    }
    act_call_set_timer(c);
}

int act_call_open_timer(struct act_call_state *c)
{
    return loop_timer_open(c->h->env.loop, on_timer, c, &c->timer);
}

static int64_t beat_interval(const struct act_call_state *c)
{
    int64_t most = 60 * NS_PER_S;
    if (c->info.heartbeat_ns <= 0) return 30 * NS_PER_S;
    int64_t part = c->info.heartbeat_ns / 10 * 8;
    return part < most ? part : most;
}

/* Takes the details (n values from `first` on). The first heartbeat goes out at once, later ones
 * when the interval is over, the latest details winning. Raises for details that cannot be encoded.
 */
void act_call_beat(struct act_call_state *c, lua_State *L, int first, int n)
{
    struct err e = {0};
    struct rec *details = NULL;
    int64_t now = clock_mono(c->h->env.clock);
    arena_free(&c->beat_arenas[0]);
    c->unsent = NULL;
    if (value_to_payloads(L, first, n, &c->beat_arenas[0], &details, "details", &e) < 0)
        act_misuse(L, "ml.heartbeat: %s", e.text);
    c->unsent = details;
    c->has_unsent = true;
    if (c->info.heartbeat_ns > 0) c->beat_due_ns = now + c->info.heartbeat_ns;
    if (c->cancel_requested) c->beat_due_ns = 0;
    if (!c->ever_sent || now - c->sent_ns >= beat_interval(c))
        send_beat(c, now);
    else
        c->send_due_ns = c->sent_ns + beat_interval(c);
    act_call_set_timer(c);
}

/* ---- starting ---- */

static int copy_info(struct act_call_state *c, const struct act_call *s)
{
    struct arena *a = &c->arena;
    c->info = *s;
    c->info.activity_type = arena_str(a, s->activity_type);
    c->info.workflow_id = arena_str(a, s->workflow_id);
    c->info.run_id = arena_str(a, s->run_id);
    c->info.workflow_type = arena_str(a, s->workflow_type);
    c->info.task_queue = arena_str(a, s->task_queue);
    c->info.activity_id = arena_str(a, s->activity_id);
    c->info.idempotency_key = arena_str(a, s->idempotency_key);
    c->info.token = arena_str(a, s->token);
    c->info.input = NULL;
    c->info.heartbeat_details = s->heartbeat_details ? rec_clone(a, s->heartbeat_details) : NULL;
    c->info.header = s->header ? rec_clone(a, s->header) : NULL;
    return arena_failed(a) ? ERR_NOMEM : 0;
}

static const struct act_definition *find(const struct act_host *h, const struct act_call *s,
                                         struct err *e)
{
    struct buf known;
    buf_init(&known, 700);
    const struct act_definition *found = NULL;
    for (size_t i = 0; i < h->n_defs && !found; i++) {
        const struct act_definition *d = &h->defs[i];
        if (strcmp(d->kind, "workflow") == 0 || !d->has_function) continue;
        if (str_eq(d->name, s->activity_type))
            found = d;
        else
            buf_printf(&known, "%s" STR_FMT, known.n ? ", " : "", STR_ARG(d->name));
    }
    if (!found)
        err_set(e, ERR_NOTFOUND, "%s has no activity '" STR_FMT "' (it has: %s)", h->path,
                STR_ARG(s->activity_type), known.n ? known.p : "none");
    buf_free(&known);
    return found;
}

struct push {
    const struct act_definition *d;
    const struct rec *input;
    lua_State *to;
    int nargs;
    struct err e;
};

/* Pushes the activity's function and its arguments; moved to the coroutine by the caller. */
static int push_call(lua_State *L)
{
    struct push *p = lua_touserdata(L, 1);
    lua_settop(L, 0);
    luaL_checkstack(L, 30 + (int)rec_count(p->input, T(payloads, payloads)), "too many arguments");
    lua_getfield(L, LUA_REGISTRYINDEX, "moonloop.functions");
    lua_pushlstring(L, p->d->name.p, p->d->name.n);
    lua_rawget(L, 1);
    lua_remove(L, 1);
    if (value_push_payloads(L, p->input, &p->nargs, &p->e) < 0)
        return act_misuse(L, "the arguments: %s", p->e.text);
    luaL_checkstack(p->to, p->nargs + 10, "too many arguments");
    lua_xmove(L, p->to, p->nargs + 1);
    return 0;
}

int act_start(struct act_host *h, const struct act_call *s, act_done_fn fn, void *ud, uint64_t *id,
              struct err *e)
{
    const struct act_definition *d = find(h, s, e);
    int code = d ? 0 : ERR_NOTFOUND;
    if (code == 0 && !h->st) code = act_state_reload(h, e);
    if (code < 0) return code;
    struct act_state *st = h->st;
    struct act_call_state *c = act_call_new(h, st, CALL_ACTIVITY);
    struct act_co *co = c ? act_co_new(c, st) : NULL;
    if (!co || copy_info(c, s) < 0 || act_call_open_timer(c) < 0) goto nomem;
    struct push p = {.d = d, .input = s->input, .to = co->co};
    lua_pushcfunction(st->sb.L, push_call);
    lua_pushlightuserdata(st->sb.L, &p);
    enum sandbox_status status = sandbox_call(&st->sb, st->sb.L, 1, 0);
    if (status != SANDBOX_DONE) {
        const char *text = status == SANDBOX_ERROR ? lua_tostring(st->sb.L, -1) : NULL;
        code =
            err_set(e, status == SANDBOX_LIMIT ? ERR_NOMEM : ERR_ARG, "activity '" STR_FMT "': %s",
                    STR_ARG(s->activity_type), text ? text : "out of memory");
        lua_settop(st->sb.L, 0);
        act_call_free(c);
        return code;
    }
    c->id = idmap_add(&h->calls, c);
    if (!c->id) goto nomem;
    h->n_running++;
    c->fn = fn;
    c->ud = ud;
    c->main_id = co->id;
    co->nargs = p.nargs;
    int64_t now = clock_mono(h->env.clock);
    if (s->start_to_close_ns > 0) c->due_ns = now + s->start_to_close_ns;
    if (s->heartbeat_ns > 0) c->beat_due_ns = now + s->heartbeat_ns;
    act_call_set_timer(c);
    act_co_ready(co);
    *id = c->id;
    return 0;
nomem:
    if (c) act_call_free(c);
    return err_set(e, ERR_NOMEM, "no memory to start activity '" STR_FMT "'",
                   STR_ARG(s->activity_type));
}

size_t act_running(const struct act_host *h)
{
    return h->n_running;
}

/* ---- cancelling ---- */

static const char *reason_text(const struct act_call_state *c)
{
    if (c->kind == CALL_REQUEST)
        return c->reason == BACKEND_CANCEL_TIMED_OUT  ? "the request took longer than its timeout"
               : c->reason == BACKEND_CANCEL_SHUTDOWN ? "the server is stopping"
                                                      : "the peer has left";
    switch (c->reason) {
    case BACKEND_CANCEL_REQUESTED:
        return "the activity was cancelled";
    case BACKEND_CANCEL_PAUSED:
        return "the activity was paused";
    case BACKEND_CANCEL_RESET:
        return "the activity was reset";
    case BACKEND_CANCEL_SHUTDOWN:
        return "the worker is stopping";
    case BACKEND_CANCEL_TIMED_OUT:
        return c->timeout_type == TIMEOUT_TYPE_HEARTBEAT
                   ? "the activity sent no heartbeat in time"
                   : "the activity ran longer than its timeout";
    default:
        return "the activity is not wanted any more";
    }
}

void act_call_cancel(struct act_call_state *c, enum backend_cancel_reason why)
{
    bool limited = why == BACKEND_CANCEL_TIMED_OUT || why == BACKEND_CANCEL_GONE ||
                   why == BACKEND_CANCEL_SHUTDOWN;
    if (limited && !c->grace_ns) c->grace_ns = clock_mono(c->h->env.clock) + ACT_GRACE;
    if (!c->cancel_requested) {
        c->cancel_requested = true;
        c->reason = why;
        if (why == BACKEND_CANCEL_TIMED_OUT && !c->timeout_type)
            c->timeout_type = TIMEOUT_TYPE_START_TO_CLOSE;
        c->beat_due_ns = 0;
        struct act_co *main = idmap_get(&c->h->cos, c->main_id);
        if (main) act_co_cancel(main, reason_text(c));
        if (c->kind == CALL_REQUEST) act_serve_canceled(c);
    }
    act_call_set_timer(c);
}

void act_cancel(struct act_host *h, uint64_t id, enum backend_cancel_reason why)
{
    struct act_call_state *c = idmap_get(&h->calls, id);
    if (c) act_call_cancel(c, why);
}

/* ---- the outcome ---- */

static struct rec *app(struct act_call_state *c, const char *type, const char *text, bool final)
{
    return failure_app(&c->arena, str_of(type), str_of(text), final, NULL, NULL);
}

static void fail(struct act_call_state *c, struct rec *failure)
{
    c->outcome.kind = ACT_FAILED;
    c->outcome.result = NULL;
    c->outcome.failure = failure;
}

static void canceled_outcome(struct act_call_state *c)
{
    struct str text = str_of(reason_text(c));
    switch (c->reason) {
    case BACKEND_CANCEL_SHUTDOWN:
        fail(c, app(c, "WorkerShutdown", text.p, false));
        break;
    case BACKEND_CANCEL_PAUSED:
        fail(c, app(c, "ActivityPaused", text.p, false));
        break;
    case BACKEND_CANCEL_RESET:
        fail(c, app(c, "ActivityReset", text.p, false));
        break;
    case BACKEND_CANCEL_TIMED_OUT:
        fail(c, failure_timeout(&c->arena, c->timeout_type, text, NULL, NULL));
        c->outcome.timed_out = true;
        break;
    default:
        c->outcome.kind = ACT_CANCELED;
        c->outcome.failure = failure_canceled(&c->arena, text, NULL);
        break;
    }
}

static void encode_result(struct act_call_state *c, lua_State *co, int nres)
{
    struct err e = {0};
    struct rec *result = NULL;
    int code = 0;
    if (nres > ACT_NO_RESULTS)
        code = err_set(&e, ERR_ARG, "the activity returned more than %d values", ACT_NO_RESULTS);
    if (code == 0)
        code = value_to_payloads(co, lua_gettop(co) - nres + 1, nres, &c->arena, &result, "result",
                                 &e);
    if (code == ERR_NOMEM) {
        fail(c, app(c, "OutOfMemory", e.text, false));
    } else if (code < 0) {
        fail(c, failure_app(&c->arena, STR("BadResult"), arena_str(&c->arena, str_of(e.text)), true,
                            NULL, NULL));
    } else {
        c->outcome.kind = ACT_COMPLETED;
        c->outcome.result = result;
    }
}

static void error_outcome(struct act_call_state *c, struct act_co *co)
{
    struct rec *f = NULL;
    bool was_failure = false;
    if (co->scope.unwinding && c->cancel_requested) {
        canceled_outcome(c);
        return;
    }
    if (failure_from_lua(co->co, -1, &c->arena, sandbox_traceback(&co->st->sb), &f, &was_failure) <
            0 ||
        !f) {
        fail(c, app(c, "OutOfMemory", "no memory for the failure", false));
        return;
    }
    fail(c, f);
    c->outcome.next_retry_delay_ns = rec_int(rec_msg(f, T(failure, application_failure_info)),
                                             T(application_failure_info, next_retry_delay));
}

static const char stuck_text[] = "it computed for more than 3 s where it cannot be paused: in a "
                                 "metamethod such as __tostring, or "
                                 "in the body of a module";

static void limit_outcome(struct act_call_state *c, struct act_state *st)
{
    if (st->sb.limit == LIMIT_MEMORY)
        fail(c, app(c, "OutOfMemory", "the activity needed more memory than its state may have",
                    false));
    else
        fail(c, app(c, "ActivityLimit", stuck_text, false));
}

static void complete(struct act_call_state *c)
{
    act_done_fn fn = c->fn;
    void *ud = c->ud;
    uint64_t id = c->id;
    if (arena_failed(&c->arena)) {
        static const struct backend_activity_completion none = {.kind = ACT_FAILED};
        c->outcome = none; /* no memory even for saying so */
    }
    if (c->intents.n && c->outcome.kind == ACT_COMPLETED) {
        buf_putc(&c->intents, ']');
        c->outcome.intents = buf_str(&c->intents);
        if (c->intents.code)
            fail(c, app(c, "OutOfMemory", "no memory for what the activity wants to write", false));
    }
    if (c->has_unsent && c->outcome.kind == ACT_FAILED) c->outcome.details = c->unsent;
    if (c->has_unsent && c->outcome.kind == ACT_CANCELED && c->h->env.heartbeat)
        c->h->env.heartbeat(c->h->env.ud, id, c->unsent);
    idmap_del(&c->h->calls, id); /* stale for the callback already */
    c->id = 0;
    c->h->n_running--;
    fn(ud, id, &c->outcome);
    act_call_free(c);
}

void act_call_force_end(struct act_call_state *c)
{
    while (c->cos)
        act_co_free(c->cos);
    if (c->kind == CALL_REQUEST) {
        act_serve_complete(c);
        return;
    }
    if (!c->main_done) canceled_outcome(c);
    complete(c);
}

static void cancel_rest(struct act_call_state *c)
{
    for (struct act_co *co = c->cos, *next; co; co = next) {
        next = co->next;
        if (!co->apart) act_co_cancel(co, "the activity's function has ended");
    }
}

/* A coroutine of the call has ended: settles its future, or makes the call's outcome; completes the
 * call with the last one. */
void act_call_co_ended(struct act_call_state *c, struct act_co *co, enum sandbox_status status,
                       int nres)
{
    struct act_state *st = co->st;
    bool main = co->id == c->main_id, oom = status == SANDBOX_LIMIT && st->sb.limit == LIMIT_MEMORY;
    int exit_code = 0;
    bool exited =
        status == SANDBOX_ERROR && c->kind == CALL_LOAD && sandbox_exit_code(&st->sb, &exit_code);
    if (main) {
        c->main_done = true;
        if (c->kind == CALL_REQUEST) {
            act_serve_ended(c, co, status, nres);
        } else if (c->kind != CALL_ACTIVITY) {
            if (status == SANDBOX_ERROR && !exited)
                act_error_text(st, co->co, &c->error,
                               c->h->mode == MODE_PROGRAM || c->kind == CALL_SETUP);
            else if (status == SANDBOX_LIMIT)
                err_set(&c->error, ERR_LIMIT, "%s: %s", c->h->path,
                        st->sb.limit == LIMIT_MEMORY ? "not enough memory" : stuck_text);
        } else if (status == SANDBOX_DONE && c->async_completion) {
            c->outcome.kind = ACT_ASYNC;
        } else if (status == SANDBOX_DONE) {
            encode_result(c, co->co, nres);
        } else if (status == SANDBOX_ERROR) {
            error_outcome(c, co);
        } else {
            limit_outcome(c, st);
        }
    } else if (!exited) {
        act_future_settle(co, status, nres);
    }
    act_co_free(co);
    if (oom) act_state_out_of_memory(st);
    if (exited) {
        while (c->cos)
            act_co_free(c->cos);
        act_load_ended(c, true, exit_code);
        return;
    }
    if (!main) act_settles_check(c);
    if (!c->main_done) return;
    if (c->n_co > 0) {
        cancel_rest(c);
        return;
    }
    if (c->kind == CALL_ACTIVITY)
        complete(c);
    else if (c->kind == CALL_REQUEST)
        act_serve_complete(c);
    else if (c->kind == CALL_LOAD)
        act_load_ended(c, false, c->error.code ? 1 : 0);
    else
        act_setup_ended(c);
}
