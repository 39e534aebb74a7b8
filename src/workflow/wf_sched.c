/* The coroutines of a run: who runs next, what ends them, and what their end means for the run.
 *
 * Handlers run first, by the arrival of their messages, then the ready queue, first in first out;
 * after each step the conditions of ml.await are checked in the order in which they were
 * registered. A slice that ends in the middle of a step changes none of that: the same coroutine
 * goes on first. Called by the machines through script_run and by the bindings. */
#include "base/log.h"
#include "workflow/wf_script.h"

struct wf_run *run_of(lua_State *L)
{
    return sandbox_of(L)->ud;
}

enum sandbox_status script_protect(struct wf_run *r, lua_CFunction fn, void *ud)
{
    lua_State *L = r->sandbox.L;
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, ud);
    int rc = lua_pcall(L, 1, LUA_MULTRET, 0);
    if (rc == LUA_OK) return SANDBOX_DONE;
    if (!sandbox_is_memory(&r->sandbox, L, rc)) return SANDBOX_ERROR;
    lua_pop(L, 1);
    r->sandbox.limit = LIMIT_MEMORY;
    script_limit(r);
    return SANDBOX_LIMIT;
}

void script_limit(struct wf_run *r)
{
    int cause = WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE;
    r->task_limit = true;
    switch (r->sandbox.limit) {
    case LIMIT_INSTRUCTIONS:
        wf_task_failf(r, cause, "InstructionLimit",
                      "the script used more than %llu instructions in one activation: move long "
                      "work into an ml.activity, "
                      "or wait (ml.sleep) in the loop",
                      (unsigned long long)r->sandbox.instructions_max);
        break;
    case LIMIT_INTERRUPTED:
        wf_task_failf(r, cause, "Interrupted",
                      "the script ran too long without waiting and was stopped");
        break;
    case LIMIT_NONE:
    case LIMIT_MEMORY:
        wf_task_failf(r, cause, "MemoryLimit",
                      "the run needs more than its %zu bytes of memory: keep large data in "
                      "activities and pass references",
                      r->sandbox.mem_max);
        break;
    }
    if (r->task_failure) return;
    r->task_failure = r->script->memory_failure; /* there was not even room to say so */
    r->task_fail_cause = cause;
}

/* ---- coroutines ---- */

struct task *task_new(struct wf_run *r, enum task_kind kind, struct task *parent, lua_State *L,
                      int nargs)
{
    struct wf_script *s = r->script;
    struct task *t = mem_zalloc(sizeof *t);
    lua_State *co = t ? sandbox_coroutine(&r->sandbox) : NULL;
    if (!co || !lua_checkstack(co, nargs + 8)) {
        if (co) sandbox_release(&r->sandbox, co);
        mem_free(t);
        lua_pop(L, nargs + 1);
        return NULL;
    }
    lua_xmove(L, co, nargs + 1);
    t->r = r;
    t->co = co;
    t->kind = kind;
    t->nargs = nargs;
    t->parent = parent;
    t->serial = ++s->serial;
    if (kind == TASK_MAIN || kind == TASK_UPDATE) t->defined = api_defined(r, co);
    t->validator_ref = t->args_ref = LUA_NOREF;
    for (int i = 0; i < WAIT_MAX; i++)
        t->waits[i].task = t;
    t->prev = s->tasks_last;
    if (s->tasks_last)
        s->tasks_last->next = t;
    else
        s->tasks = t;
    s->tasks_last = t;
    return t;
}

static void task_free(struct task *t)
{
    struct wf_script *s = t->r->script;
    for (int i = 0; i < WAIT_MAX; i++)
        waiter_detach(&t->waits[i]);
    while (t->owned)
        future_disown(t->owned);
    lua_State *L = t->r->sandbox.L;
    if (L) {
        luaL_unref(L, LUA_REGISTRYINDEX, t->validator_ref);
        luaL_unref(L, LUA_REGISTRYINDEX, t->args_ref);
        sandbox_release(&t->r->sandbox, t->co);
    }
    if (t->prev)
        t->prev->next = t->next;
    else
        s->tasks = t->next;
    if (t->next)
        t->next->prev = t->prev;
    else
        s->tasks_last = t->prev;
    if (s->main == t) s->main = NULL;
    mem_free(t);
}

static void fifo_put(struct task_fifo *q, struct task *t)
{
    t->ready_next = NULL;
    if (q->last)
        q->last->ready_next = t;
    else
        q->first = t;
    q->last = t;
}

static struct task *fifo_take(struct task_fifo *q)
{
    struct task *t = q->first;
    if (!t) return NULL;
    q->first = t->ready_next;
    if (!q->first) q->last = NULL;
    t->ready_next = NULL;
    return t;
}

/* Handlers start in the order of their messages, whenever they were registered. */
static void handler_put(struct task_fifo *q, struct task *t)
{
    struct task **at = &q->first;
    while (*at && (*at)->arrival <= t->arrival)
        at = &(*at)->ready_next;
    t->ready_next = *at;
    *at = t;
    if (!t->ready_next) q->last = t;
}

void task_ready(struct task *t)
{
    struct wf_script *s = t->r->script;
    t->state = TASK_READY;
    if (t->arrival) {
        handler_put(&s->handlers, t);
    } else {
        fifo_put(&s->ready, t);
    }
}

void task_wake(struct task *t)
{
    if (t->state != TASK_WAITING) return;
    task_ready(t);
}

/* A cancelled operation that still has to answer keeps its waiter; everything else lets go at once.
 */
bool task_keeps_waiting(const struct task *t)
{
    for (int i = 0; i < WAIT_MAX; i++) {
        const struct wf_future *f = t->waits[i].future;
        if (!f || f->state != FUTURE_PENDING) continue;
        const struct future_box *b = (const struct future_box *)(const void *)f;
        if (b->owner != t) continue;
        if (f->kind == WF_PENDING_ACTIVITY || f->kind == WF_PENDING_LOCAL ||
            f->kind == WF_PENDING_CHILD || f->kind == PENDING_SPAWN)
            return true;
    }
    return false;
}

/* The cancellation reaches the coroutine: what belongs to its scope is cancelled in the order in
 * which it was made. */
void task_deliver(struct task *t)
{
    struct wf_run *r = t->r;
    bool waiting = t->state == TASK_WAITING;
    t->cancel_pending = false;
    t->canceled = true;
    t->cancel_raise = true;
    size_t n = 0;
    for (struct future_box *b = t->owned; b; b = b->owner_next)
        n++;
    uint64_t *ids = arena_alloc(&r->out_arena, (n + 1) * sizeof *ids);
    if (!ids) {
        script_limit(r);
        return;
    }
    n = 0;
    for (struct future_box *b = t->owned; b; b = b->owner_next)
        ids[n++] = b->id;
    for (size_t i = 0; i < n; i++) {
        struct future_box *b = future_box_get(r, ids[i]);
        if (b) future_cancel(b, t->cancel_reason);
    }
    if (waiting && !task_keeps_waiting(t)) task_wake(t);
}

void task_cancel(struct task *t, struct str reason)
{
    if (t->state == TASK_ENDED || t->cancel_pending || t->canceled) return;
    t->cancel_pending = true;
    t->cancel_reason = script_text(t->r, reason);
    if (t->state == TASK_WAITING && !t->shielded_wait) task_deliver(t);
}

/* ---- what an end means ---- */

/* A plain Lua error (or a result that cannot be recorded): blocks the run, or fails it with
 * on_error = "fail". */
static void plain_error(struct wf_run *r, const struct rec *failure)
{
    struct wf_script *s = r->script;
    struct err e = {0};
    if (r->terminal) {
        api_warn(r, LOG_WARN,
                 arena_printf(&r->out_arena, "after the workflow had ended: " STR_FMT,
                              STR_ARG(rec_str(failure, T(failure, message)))));
        return;
    }
    if (s->main_def && s->main_def->on_error_fail) {
        if (wf_op_fail(r, failure, &e) != 0)
            wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                          "LuaError", "%s", e.text);
        return;
    }
    wf_task_fail(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, failure);
}

static void op_failed(struct wf_run *r, const struct err *e)
{
    wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, "LuaError", "%s",
                  e->text);
}

/* The error value on top of the coroutine as a record, with the traceback of a spawned coroutine it
 * came from. */
static struct rec *error_record(struct task *t, bool *was_failure)
{
    struct wf_run *r = t->r;
    struct wf_script *s = r->script;
    struct str trace = sandbox_traceback(&r->sandbox);
    struct rec *f = NULL;
    if (failure_from_lua(t->co, -1, &r->out_arena, trace, &f, was_failure) != 0 || !f) {
        if (r->sandbox.limit != LIMIT_NONE) script_limit(r);
        *was_failure = false;
        return failure_app(&r->out_arena, STR("LuaError"), STR("the error could not be recorded"),
                           false, NULL, NULL);
    }
    if (r->sandbox.limit != LIMIT_NONE) script_limit(r); /* reached while its text was made */
    struct str message = rec_str(f, T(failure, message));
    if (!*was_failure && s->spawn_error.p && str_eq(s->spawn_error, message))
        rec_set_str(f, T(failure, stack_trace),
                    arena_printf(&r->out_arena,
                                 STR_FMT "\nraised in a spawned coroutine:\n" STR_FMT,
                                 STR_ARG(trace), STR_ARG(s->spawn_trace)));
    return f;
}

/* A coroutine failed by a plain error, and nobody ever asked for its outcome. */
static const struct rec *lost_failure(struct wf_script *s)
{
    for (struct future_box *b = s->futures; b; b = b->next) {
        if (b->f.kind == PENDING_SPAWN && b->f.state == FUTURE_FAILED && b->plain && !b->observed)
            return b->f.failure;
    }
    return NULL;
}

static void main_done(struct task *t, int nres)
{
    struct wf_run *r = t->r;
    struct err e = {0};
    struct rec *result = NULL;
    const struct rec *lost = lost_failure(r->script);
    if (lost) {
        plain_error(r, rec_clone(&r->out_arena, lost));
        return;
    }
    int first = lua_gettop(t->co) - nres + 1;
    if (value_to_payloads(t->co, first, nres, &r->out_arena, &result, "result", &e) != 0) {
        struct rec *f = failure_app(&r->out_arena, STR("LuaError"),
                                    arena_printf(&r->out_arena, "the workflow's %s", e.text), false,
                                    NULL, NULL);
        plain_error(r, f);
        return;
    }
    if (wf_op_complete(r, result, &e) != 0) op_failed(r, &e);
}

/* Main and signal handlers. */
static void root_failed(struct task *t)
{
    struct wf_run *r = t->r;
    struct err e = {0};
    int rc = 0;
    bool was_failure = false;
    if (t->scope.unwinding) {
        if (!t->continued && t->kind == TASK_MAIN) rc = wf_op_canceled(r, NULL, &e);
        if (rc != 0) op_failed(r, &e);
        return;
    }
    struct rec *f = error_record(t, &was_failure);
    if (!was_failure) {
        plain_error(r, f);
        return;
    }
    if (failure_is_canceled(f) && r->cancel_requested)
        rc = wf_op_canceled(r, NULL, &e);
    else
        rc = wf_op_fail(r, f, &e);
    if (rc != 0) op_failed(r, &e);
}

static void update_ended(struct task *t, bool ok, int nres)
{
    struct wf_run *r = t->r;
    struct err e = {0};
    struct rec *result = NULL, *f = NULL;
    if (ok) {
        int first = lua_gettop(t->co) - nres + 1;
        if (value_to_payloads(t->co, first, nres, &r->out_arena, &result, "result", &e) != 0) {
            plain_error(r, failure_app(&r->out_arena, STR("LuaError"),
                                       arena_printf(&r->out_arena, "update " STR_FMT ": %s",
                                                    STR_ARG(t->name), e.text),
                                       false, NULL, NULL));
            return;
        }
    } else if (t->scope.unwinding) {
        f = failure_canceled(&r->out_arena, STR("the update was canceled"), NULL);
    } else {
        bool was_failure = false;
        f = error_record(t, &was_failure);
        bool fails = r->script->main_def && r->script->main_def->on_error_fail;
        if (!was_failure && !fails) {
            plain_error(r, f);
            return;
        }
    }
    if (wf_op_update_complete(r, t->update_id, result, f, &e) != 0) op_failed(r, &e);
}

struct spawn_end {
    struct task *t;
    struct future_box *b;
    int nres;
    bool ok;
    struct str trace;
};

static int keep_outcome(lua_State *L)
{
    struct spawn_end *end = lua_touserdata(L, 1);
    lua_State *co = end->t->co;
    luaL_checkstack(L, end->nres + 8, "too many results");
    if (!end->ok) {
        lua_xmove(co, L, 1);
        future_fail_value(end->t->r, end->b, L, end->trace);
        return 0;
    }
    lua_createtable(L, end->nres, 1);
    for (int i = 1; i <= end->nres; i++) {
        lua_pushvalue(co, lua_gettop(co) - end->nres + i);
        lua_xmove(co, L, 1);
        lua_rawseti(L, -2, i);
    }
    lua_pushinteger(L, end->nres);
    lua_setfield(L, -2, "n");
    end->b->f.lua_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void spawn_ended(struct task *t, bool ok, int nres)
{
    struct wf_run *r = t->r;
    struct future_box *b = future_box_get(r, t->future);
    if (!b) return;
    b->child = NULL;
    if (!ok && t->scope.unwinding) {
        struct str why = t->cancel_reason.n ? t->cancel_reason : STR("canceled");
        wf_future_fail(r, b->id, failure_canceled(&r->out_arena, why, NULL), true);
        return;
    }
    bool was_failure = true;
    struct rec *f = ok ? NULL : error_record(t, &was_failure);
    struct spawn_end end = {.t = t,
                            .b = b,
                            .nres = nres,
                            .ok = ok,
                            .trace = ok ? (struct str){0} : rec_str(f, T(failure, stack_trace))};
    enum sandbox_status st = script_protect(r, keep_outcome, &end);
    if (st == SANDBOX_ERROR) lua_pop(r->sandbox.L, 1);
    if (st != SANDBOX_DONE) {
        script_limit(r);
        return;
    }
    if (ok) {
        wf_future_ok(r, b->id, NULL);
        return;
    }
    b->plain = !was_failure;
    if (!b->f.waiters && !b->internal && !b->observed)
        api_warn(r, LOG_WARN,
                 arena_printf(&r->out_arena,
                              "a spawned coroutine failed while nothing waits for it: " STR_FMT,
                              STR_ARG(rec_str(f, T(failure, message)))));
    wf_future_fail(r, b->id, f, failure_is_canceled(f));
}

/* What it leaves behind goes to the scope around it. */
static void task_bequeath(struct task *t)
{
    struct wf_script *s = t->r->script;
    struct task *heir = t->parent ? t->parent : s->main;
    if (heir == t || (heir && heir->state == TASK_ENDED)) heir = NULL;
    for (struct task *c = s->tasks; c; c = c->next) {
        if (c->parent == t) c->parent = heir;
    }
    while (t->owned) {
        struct future_box *b = t->owned;
        future_disown(b);
        if (heir) future_own(b, heir);
    }
}

static void cancel_leftovers(struct task *t)
{
    struct wf_run *r = t->r;
    int running = 0;
    for (struct future_box *b = t->owned; b; b = b->owner_next)
        running += b->child && b->child->kind == TASK_SPAWN;
    if (running && !t->scope.unwinding)
        api_warn(r, LOG_WARN,
                 arena_printf(&r->out_arena,
                              "the workflow ended while %d spawned coroutine%s still ran: canceled",
                              running, running == 1 ? "" : "s"));
    for (struct task *c = r->script->tasks; c; c = c->next) {
        if (c->kind == TASK_UPDATE && c->state != TASK_ENDED)
            api_warn(r, LOG_WARN,
                     arena_printf(&r->out_arena,
                                  "the workflow ended while update " STR_FMT " still ran",
                                  STR_ARG(c->name)));
    }
    for (struct future_box *b = t->owned, *next; b; b = next) {
        next = b->owner_next;
        if (b->f.kind == WF_PENDING_CHILD) future_disown(b); /* parent_close decides about them */
    }
    t->cancel_reason = STR("the workflow ended");
    task_deliver(t);
    t->cancel_raise = false;
}

static void task_ended(struct task *t, bool ok, int nres)
{
    struct wf_run *r = t->r;
    t->state = TASK_ENDED;
    for (int i = 0; i < WAIT_MAX; i++)
        waiter_detach(&t->waits[i]);
    switch (t->kind) {
    case TASK_MAIN:
        if (ok)
            main_done(t, nres);
        else
            root_failed(t);
        break;
    case TASK_SIGNAL:
        if (!ok) root_failed(t);
        break;
    case TASK_UPDATE:
        update_ended(t, ok, nres);
        break;
    case TASK_SPAWN:
        spawn_ended(t, ok, nres);
        break;
    }
    if (!script_failed(r)) {
        if (t->kind == TASK_MAIN) cancel_leftovers(t);
        task_bequeath(t);
    }
    task_free(t);
}

/* ---- running ---- */

struct validate {
    struct task *t;
    bool ok;
    const struct rec *failure;
};

static int validate_call(lua_State *L)
{
    struct validate *v = lua_touserdata(L, 1);
    struct task *t = v->t;
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->validator_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->args_ref);
    lua_getfield(L, -1, "n");
    int n = (int)lua_tointeger(L, -1), args = lua_gettop(L) - 1;
    lua_pop(L, 1);
    luaL_checkstack(L, n + 4, "too many arguments");
    for (int i = 1; i <= n; i++)
        lua_rawgeti(L, args, i);
    lua_remove(L, args);
    enum sandbox_status st = script_call(t->r, L, CONTEXT_VALIDATOR, n, 0);
    v->ok = st == SANDBOX_DONE;
    if (st == SANDBOX_ERROR) {
        struct rec *f = NULL;
        bool was_failure;
        if (failure_from_lua(L, -1, &t->r->out_arena, (struct str){0}, &f, &was_failure) != 0)
            script_limit(t->r);
        v->failure = f;
    }
    return 0;
}

/* The first step of an update: validator, then acceptance. False: it was rejected and the coroutine
 * is gone. */
static bool update_begins(struct task *t)
{
    struct wf_run *r = t->r;
    struct err e = {0};
    t->to_accept = false;
    if (t->validator_ref != LUA_NOREF) {
        struct validate v = {.t = t};
        enum sandbox_status st = script_protect(r, validate_call, &v);
        if (st == SANDBOX_ERROR) lua_pop(r->sandbox.L, 1);
        if (st != SANDBOX_DONE || script_failed(r)) {
            script_limit(r);
            return false;
        }
        if (!v.ok) {
            if (wf_op_update_reject(r, t->update_id, v.failure, &e) != 0) op_failed(r, &e);
            task_free(t);
            return false;
        }
    }
    if (wf_op_update_accept(r, t->update_id, &e) != 0) {
        op_failed(r, &e);
        return false;
    }
    return true;
}

static enum sandbox_status task_step(struct task *t)
{
    struct wf_run *r = t->r;
    struct wf_script *s = r->script;
    if (t->to_accept && !update_begins(t)) return SANDBOX_BLOCKED;
    int nres = 0, nargs = t->nargs;
    t->nargs = 0;
    t->state = TASK_RUNNING;
    s->running = t;
    s->context = CONTEXT_TASK;
    r->sandbox.scope = &t->scope;
    enum sandbox_status st = sandbox_resume(&r->sandbox, t->co, nargs, &nres);
    r->sandbox.scope = NULL;
    s->context = CONTEXT_TOP;
    s->running = NULL;
    r->op_where = st == SANDBOX_BLOCKED ? (struct str){0} : t->defined; /* of an end */
    switch (st) {
    case SANDBOX_SLICE:
        s->sliced = t;
        return st;
    case SANDBOX_BLOCKED:
        t->state = TASK_WAITING;
        break;
    case SANDBOX_LIMIT:
        script_limit(r);
        return st;
    case SANDBOX_DONE:
    case SANDBOX_ERROR:
        break;
    }
    if (t == s->main) s->main_stepped = true;
    if (st != SANDBOX_BLOCKED) task_ended(t, st == SANDBOX_DONE, nres);
    return SANDBOX_BLOCKED;
}

static void report_pending(struct wf_run *r)
{
    r->n_pending = 0;
    for (struct future_box *b = r->script->futures; b; b = b->next) {
        if (b->f.state != FUTURE_PENDING || b->f.kind == PENDING_SPAWN || b->internal) continue;
        struct wf_pending p = {.kind = b->f.kind, .name = b->f.name, .where = b->f.where};
        struct wf_pending known = p;
        if (wf_op_describe(r, b->id, &known)) p = known;
        wf_pending_add(r, &p);
    }
}

/* A step that could not keep something must not be believed: its commands are thrown away with the
 * task. */
static void memory_check(struct wf_run *r)
{
    if (!r->script->nomem && !arena_failed(&r->keep) && !arena_failed(&r->out_arena)) return;
    r->sandbox.limit = LIMIT_MEMORY;
    script_limit(r);
}

/* An activation that came for new updates only: those that are rejected leave no event, so nothing
 * else may move before one is accepted. False: none was. */
static bool updates_first(struct wf_run *r)
{
    struct wf_script *s = r->script;
    struct task *t;
    r->only_updates = false;
    while (!script_failed(r) && (t = fifo_take(&s->handlers))) {
        if (t->to_accept && !update_begins(t)) continue;
        t->ready_next = s->handlers.first;
        s->handlers.first = t;
        if (!s->handlers.last) s->handlers.last = t;
        return true;
    }
    if (s->updates && !script_failed(r)) updates_reject_unknown(r);
    return script_failed(r);
}

enum sandbox_status script_run(struct wf_run *r)
{
    struct wf_script *s = r->script;
    memory_check(r);
    if (r->only_updates && !updates_first(r)) {
        memory_check(r);
        if (script_failed(r)) return r->task_limit ? SANDBOX_LIMIT : SANDBOX_ERROR;
        report_pending(r);
        return SANDBOX_BLOCKED;
    }
    if (!s->sliced && !script_failed(r)) conditions_check(r);
    while (!script_failed(r)) {
        struct task *t = s->sliced;
        s->sliced = NULL;
        if (!t && (t = fifo_take(&s->handlers)))
            t->arrival = 0; /* only its start goes by arrival */
        if (!t) t = fifo_take(&s->ready);
        if (t) {
            if (task_step(t) == SANDBOX_SLICE) return SANDBOX_SLICE;
            if (!script_failed(r)) conditions_check(r);
            memory_check(r);
        } else if (s->updates && (s->main_stepped || !s->main)) {
            updates_reject_unknown(r);
            memory_check(r);
        } else {
            break;
        }
    }
    if (script_failed(r)) return r->task_limit ? SANDBOX_LIMIT : SANDBOX_ERROR;
    report_pending(r);
    return s->main ? SANDBOX_BLOCKED : SANDBOX_DONE;
}

enum sandbox_status script_call(struct wf_run *r, lua_State *L, enum script_context c, int nargs,
                                int nres)
{
    static const char *const texts[] = {
        [CONTEXT_QUERY] = "a query only reads: it cannot wait",
        [CONTEXT_VALIDATOR] = "a validator only reads: it cannot wait",
        [CONTEXT_PREDICATE] = "the predicate of ml.await only reads: it cannot wait",
        [CONTEXT_SIDE_EFFECT] = "ml.side_effect cannot wait: use an ml.local_activity",
    };
    struct wf_script *s = r->script;
    struct sandbox *sb = &r->sandbox;
    struct sandbox_scope scope = {false}, *outer_scope = sb->scope;
    enum script_context outer = s->context;
    bool forbidden = sb->blocking_forbidden, read_only = r->read_only, aside = sb->aside;
    const char *text = sb->forbidden_text;
    uint64_t (*random)(void *) = sb->random;
    s->context = c;
    sb->blocking_forbidden = true;
    sb->aside = true;
    sb->forbidden_text = texts[c];
    sb->scope = &scope;
    r->read_only = true;
    if (c != CONTEXT_SIDE_EFFECT) sb->random = NULL;
    enum sandbox_status st = sandbox_call(sb, L, nargs, nres);
    sb->random = random;
    sb->scope = outer_scope;
    sb->blocking_forbidden = forbidden;
    sb->aside = aside;
    sb->forbidden_text = text;
    r->read_only = read_only;
    s->context = outer;
    if (st == SANDBOX_LIMIT && c != CONTEXT_QUERY) script_limit(r);
    return st;
}

/* ---- what the machines ask for ---- */

struct start {
    struct wf_run *r;
    const struct def *d;
    const struct rec *input;
    struct err *e;
    int code;
};

static int start_main(lua_State *L)
{
    struct start *a = lua_touserdata(L, 1);
    struct wf_script *s = a->r->script;
    int n = 0;
    luaL_checkstack(L, PAYLOAD_VALUES_MAX + 8, "too many arguments");
    lua_rawgeti(L, LUA_REGISTRYINDEX, a->d->fn_ref);
    a->code = value_push_payloads(L, a->input, &n, a->e);
    if (a->code != 0) return 0;
    s->main = task_new(a->r, TASK_MAIN, NULL, L, n);
    if (!s->main) a->code = err_set(a->e, ERR_NOMEM, "out of memory");
    return 0;
}

int script_start(struct wf_run *r, struct str workflow_type, const struct rec *input, struct err *e)
{
    struct wf_script *s = r->script;
    const struct def *d = api_find_def(s, DEF_WORKFLOW, workflow_type);
    if (!d) {
        buf_reset(&s->scratch);
        for (size_t i = 0; i < s->n_defs; i++) {
            if (s->defs[i].kind != DEF_WORKFLOW) continue;
            if (s->scratch.n) buf_puts(&s->scratch, ", ");
            buf_putstr(&s->scratch, s->defs[i].name);
        }
        return err_set(e, ERR_NOTFOUND,
                       "workflow \"" STR_FMT "\" is not defined by %s; it defines: " STR_FMT,
                       STR_ARG(workflow_type), r->bundle->entry ? r->bundle->entry : "the script",
                       STR_ARG(s->scratch.n ? buf_str(&s->scratch) : STR("none")));
    }
    s->main_def = d;
    s->started = true;
    s->start_ns = r->now_ns;
    if (!s->seed.p) {
        struct str seed =
            rec_str(r->started, T(ev_workflow_execution_started, original_execution_run_id));
        s->seed = arena_str(&r->keep, seed.n ? seed : r->info.run_id);
    }
    struct start a = {.r = r, .d = d, .input = input, .e = e};
    enum sandbox_status st = script_protect(r, start_main, &a);
    if (st == SANDBOX_ERROR) lua_pop(r->sandbox.L, 1);
    if (st != SANDBOX_DONE)
        return err_set(e, ERR_NOMEM, "out of memory while starting the workflow");
    if (a.code != 0) return a.code;
    task_ready(s->main);
    return 0;
}

void script_cancel(struct wf_run *r, struct str cause)
{
    struct wf_script *s = r->script;
    if (s->main) task_cancel(s->main, cause.n ? cause : STR("the run was asked to cancel"));
}

void script_reseed(struct wf_run *r, struct str run_id)
{
    struct wf_script *s = r->script;
    s->seed = arena_str(&r->keep, run_id);
    rng_seed(&r->rng, run_id);
    for (struct stream *st = s->streams; st; st = st->next)
        rng_seed(&st->rng, arena_printf(&r->out_arena, STR_FMT "/" STR_FMT, STR_ARG(s->seed),
                                        STR_ARG(st->name)));
}

void script_close(struct wf_run *r)
{
    struct wf_script *s = r->script;
    if (!s) return;
    if (s->opened) sandbox_close(&r->sandbox);
    r->sandbox.L = NULL;
    while (s->tasks)
        task_free(s->tasks);
    messages_free(r);
    futures_free(r);
    while (s->streams) {
        struct stream *st = s->streams;
        s->streams = st->next;
        mem_free(st);
    }
    mem_free(s->defs);
    map_free(&s->texts);
    buf_free(&s->scratch);
    arena_free(&s->spawn_arena);
    mem_free(s);
    r->script = NULL;
}
