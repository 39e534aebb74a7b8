/* Futures: what coroutines wait for. A future is made by a binding, resolved once (by the machines,
 * or here for coroutines, channels and conditions), and freed when it is resolved and nothing can
 * ask for it any more. Its Lua object holds only the id. While it is pending it belongs to the
 * scope of the coroutine that made it, which cancels it with itself. */
#include "workflow/wf_script.h"

#define FUTURE_CLASS "moonloop.future"

struct wf_future *wf_future_get(struct wf_run *r, uint64_t id)
{
    return id ? idmap_get(&r->futures, id) : NULL;
}

struct future_box *future_box_get(struct wf_run *r, uint64_t id)
{
    struct wf_future *f = wf_future_get(r, id);
    return f ? box_of(f) : NULL;
}

struct wf_future *wf_future_new(struct wf_run *r, enum wf_pending_kind kind)
{
    struct wf_script *s = r->script;
    struct future_box *b = mem_zalloc(sizeof *b);
    if (!b) return NULL;
    b->id = b->f.id = idmap_add(&r->futures, b);
    if (!b->id) {
        mem_free(b);
        return NULL;
    }
    b->r = r;
    b->f.kind = kind;
    b->f.lua_ref = LUA_NOREF;
    b->predicate_ref = LUA_NOREF;
    arena_init(&b->arena, 0);
    b->prev = s->futures_last;
    if (s->futures_last)
        s->futures_last->next = b;
    else
        s->futures = b;
    s->futures_last = b;
    if (s->running) future_own(b, s->running);
    return &b->f;
}

void future_own(struct future_box *b, struct task *t)
{
    b->owner = t;
    b->owner_next = NULL;
    b->owner_prev = t->owned_last;
    if (t->owned_last)
        t->owned_last->owner_next = b;
    else
        t->owned = b;
    t->owned_last = b;
}

void future_disown(struct future_box *b)
{
    struct task *t = b->owner;
    if (!t) return;
    if (b->owner_prev)
        b->owner_prev->owner_next = b->owner_next;
    else
        t->owned = b->owner_next;
    if (b->owner_next)
        b->owner_next->owner_prev = b->owner_prev;
    else
        t->owned_last = b->owner_prev;
    b->owner = NULL;
    b->owner_prev = b->owner_next = NULL;
}

static void cond_remove(struct future_box *b)
{
    struct wf_script *s = b->r->script;
    if (!b->is_cond) return;
    b->is_cond = false;
    b->settle = NULL;
    if (b->cond_prev)
        b->cond_prev->cond_next = b->cond_next;
    else
        s->conds = b->cond_next;
    if (b->cond_next)
        b->cond_next->cond_prev = b->cond_prev;
    else
        s->conds_last = b->cond_prev;
}

static void channel_leave(struct future_box *b)
{
    if (!b->channel) return;
    struct future_box **at = &b->channel->waiting;
    while (*at && *at != b)
        at = &(*at)->chan_next;
    if (*at) *at = b->chan_next;
    b->channel = NULL;
}

static void box_free(struct future_box *b)
{
    struct wf_run *r = b->r;
    struct wf_script *s = r->script;
    cond_remove(b);
    channel_leave(b);
    future_disown(b);
    if (r->sandbox.L) {
        luaL_unref(r->sandbox.L, LUA_REGISTRYINDEX, b->f.lua_ref);
        luaL_unref(r->sandbox.L, LUA_REGISTRYINDEX, b->predicate_ref);
    }
    if (b->prev)
        b->prev->next = b->next;
    else
        s->futures = b->next;
    if (b->next)
        b->next->prev = b->prev;
    else
        s->futures_last = b->prev;
    idmap_del(&r->futures, b->id);
    arena_free(&b->arena);
    mem_free(b);
}

/* A coroutine's plain failure is kept until the run's end has looked at it. */
static bool box_done(const struct future_box *b)
{
    return b->collected && b->f.state != FUTURE_PENDING && !b->f.waiters &&
           (!b->plain || b->observed);
}

void wf_future_release(struct wf_run *r, uint64_t id)
{
    struct future_box *b = future_box_get(r, id);
    if (!b) return;
    b->collected = true;
    if (b->is_cond || b->channel) { /* nothing resolves it later: its wait is over */
        box_free(b);
        return;
    }
    if (box_done(b)) box_free(b);
}

void futures_free(struct wf_run *r)
{
    while (r->script->futures)
        box_free(r->script->futures);
    idmap_free(&r->futures);
}

void waiter_detach(struct wf_waiter *w)
{
    struct wf_future *f = w->future;
    if (!f) return;
    struct future_box *b = box_of(f);
    if (w->prev)
        w->prev->next = w->next;
    else
        f->waiters = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        b->last_waiter = w->prev;
    w->future = NULL;
    w->prev = w->next = NULL;
}

void future_resolved(struct future_box *b)
{
    cond_remove(b);
    channel_leave(b);
    future_disown(b);
    while (b->f.waiters) {
        struct wf_waiter *w = b->f.waiters;
        waiter_detach(w);
        task_wake(w->task);
    }
    if (box_done(b)) box_free(b);
}

static const struct rec *box_copy(struct future_box *b, const struct rec *rec)
{
    if (!rec) return NULL;
    const struct rec *copy = rec_clone(&b->arena, rec);
    if (!copy || arena_failed(&b->arena)) {
        b->r->sandbox.limit = LIMIT_MEMORY;
        script_limit(b->r);
    }
    return copy;
}

void wf_future_ok(struct wf_run *r, uint64_t id, const struct rec *payloads)
{
    struct future_box *b = future_box_get(r, id);
    if (!b || b->f.state != FUTURE_PENDING) return;
    b->f.result = box_copy(b, payloads);
    b->f.state = FUTURE_OK;
    future_resolved(b);
}

void wf_future_fail(struct wf_run *r, uint64_t id, const struct rec *failure, bool canceled)
{
    struct future_box *b = future_box_get(r, id);
    if (!b || b->f.state != FUTURE_PENDING) return;
    b->f.failure = box_copy(b, failure);
    b->f.state = FUTURE_FAILED;
    b->f.canceled = canceled;
    future_resolved(b);
}

void future_cancel(struct future_box *b, struct str reason)
{
    if (b->f.state != FUTURE_PENDING || b->is_cond || b->channel) return;
    if (b->f.kind == PENDING_SPAWN) {
        if (b->child) task_cancel(b->child, reason);
        return;
    }
    wf_op_cancel(b->r, b->id, reason);
}

void future_fail_value(struct wf_run *r, struct future_box *b, lua_State *L, struct str traceback)
{
    (void)r;
    lua_createtable(L, 2, 0);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
    lua_pushlstring(L, traceback.p ? traceback.p : "", traceback.n);
    lua_rawseti(L, -2, 2);
    b->f.lua_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* ---- conditions ---- */

static bool settled(struct wf_run *r, const struct settle *g)
{
    size_t done = 0;
    for (size_t i = 0; i < g->n; i++) {
        const struct future_box *b = future_box_get(r, g->ids[i]);
        if (b && b->f.state == FUTURE_PENDING) continue;
        done++;
        if (g->mode == SETTLE_ANY ||
            (g->mode == SETTLE_ALL_OR_FAILED && b && b->f.state == FUTURE_FAILED))
            return true;
    }
    return done == g->n;
}

struct check {
    struct future_box *b;
    int result; /* 1 true, 0 false, -1 failed */
};

static int check_predicate(lua_State *L)
{
    struct check *c = lua_touserdata(L, 1);
    struct wf_run *r = c->b->r;
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->b->predicate_ref);
    enum sandbox_status st = script_call(r, L, CONTEXT_PREDICATE, 0, 1);
    if (st == SANDBOX_LIMIT) return 0;
    if (st == SANDBOX_ERROR) {
        lua_pushvalue(L, -1);
        future_fail_value(r, c->b, L, sandbox_traceback(&r->sandbox));
        c->result = -1;
        return 0;
    }
    c->result = lua_toboolean(L, -1);
    return 0;
}

static void condition_check(struct future_box *b)
{
    struct wf_run *r = b->r;
    if (b->settle) {
        if (settled(r, b->settle)) wf_future_ok(r, b->id, NULL);
        return;
    }
    struct check c = {.b = b};
    enum sandbox_status st = script_protect(r, check_predicate, &c);
    if (st == SANDBOX_ERROR) lua_pop(r->sandbox.L, 1);
    if (st != SANDBOX_DONE || script_failed(r)) {
        script_limit(r);
        return;
    }
    if (c.result > 0) {
        wf_future_ok(r, b->id, NULL);
    } else if (c.result < 0) {
        b->f.state = FUTURE_FAILED;
        future_resolved(b);
    }
}

void conditions_check(struct wf_run *r)
{
    struct future_box *b = r->script->conds;
    while (b && !script_failed(r)) {
        struct future_box *next = b->cond_next;
        condition_check(b);
        b = next;
    }
}

/* ---- for bindings ---- */

struct future_box *api_future(lua_State *L, enum wf_pending_kind kind, struct str name)
{
    struct wf_run *r = run_of(L);
    struct str where = api_where(L), kept = script_text(r, name);
    struct wf_future *f = wf_future_new(r, kind);
    if (!f) {
        api_nomem(L);
        return NULL;
    }
    f->where = where;
    f->name = kept;
    return box_of(f);
}

void api_push_future(lua_State *L, uint64_t id)
{
    uint64_t *u = lua_newuserdatauv(L, sizeof *u, 0);
    *u = id;
    luaL_setmetatable(L, FUTURE_CLASS);
}

struct future_box *api_check_future(lua_State *L, int idx)
{
    uint64_t *u = luaL_checkudata(L, idx, FUTURE_CLASS);
    struct future_box *b = future_box_get(run_of(L), *u);
    if (!b) luaL_error(L, "the future is gone");
    return b;
}

void api_checkpoint(lua_State *L)
{
    struct wf_run *r = run_of(L);
    struct task *t = r->script->running;
    if (t->cancel_pending) task_deliver(t);
    api_waited(L, NULL, 0);
}

void api_waited(lua_State *L, const uint64_t *ids, int n)
{
    struct wf_run *r = run_of(L);
    struct task *t = r->script->running;
    for (int i = 0; i < WAIT_MAX; i++)
        waiter_detach(&t->waits[i]);
    t->shielded_wait = false;
    if (!t->cancel_raise) return;
    t->cancel_raise = false;
    for (int i = 0; i < n; i++) {
        if (ids[i]) wf_future_release(r, ids[i]);
    }
    struct str why = t->cancel_reason.n ? t->cancel_reason : STR("canceled");
    failure_push(L, failure_canceled(&r->out_arena, why, NULL));
    sandbox_raise_unwinding(L);
}

int api_wait(lua_State *L, const uint64_t *ids, int n, bool shielded, lua_KContext ctx,
             lua_KFunction k)
{
    struct wf_run *r = run_of(L);
    struct task *t = r->script->running;
    for (int i = 0; i < WAIT_MAX; i++)
        waiter_detach(&t->waits[i]);
    t->shielded_wait = shielded;
    bool resolved = false;
    for (int i = 0; i < n; i++) {
        struct future_box *b = future_box_get(r, ids[i]);
        if (!b || b->f.state != FUTURE_PENDING) {
            resolved = true;
            continue;
        }
        struct wf_waiter *w = &t->waits[i];
        w->future = &b->f;
        w->prev = b->last_waiter;
        w->next = NULL;
        if (b->last_waiter)
            b->last_waiter->next = w;
        else
            b->f.waiters = w;
        b->last_waiter = w;
    }
    if (!shielded && t->cancel_pending) task_deliver(t);
    if (resolved || (t->cancel_raise && !task_keeps_waiting(t))) return k(L, LUA_OK, ctx);
    t->where = api_where(L);
    return sandbox_block(L, ctx, k);
}

static int raise_value(lua_State *L, struct wf_run *r, struct future_box *b)
{
    struct wf_script *s = r->script;
    lua_rawgeti(L, LUA_REGISTRYINDEX, b->f.lua_ref);
    lua_rawgeti(L, -1, 2);
    size_t n;
    const char *trace = lua_tolstring(L, -1, &n);
    (void)r;
    arena_free(&s->spawn_arena);
    s->spawn_trace = arena_str(&s->spawn_arena, str_make(trace, n));
    s->spawn_error = arena_str(&s->spawn_arena, rec_str(b->f.failure, T(failure, message)));
    if (arena_failed(&s->spawn_arena)) s->nomem = true;
    lua_rawgeti(L, -2, 1);
    return 0;
}

int api_outcome(lua_State *L, uint64_t id, bool release)
{
    struct wf_run *r = run_of(L);
    struct future_box *b = future_box_get(r, id);
    if (!b) return luaL_error(L, "the future is gone");
    int base = lua_gettop(L);
    b->observed = true;
    if (b->f.state == FUTURE_FAILED) {
        if (b->f.lua_ref != LUA_NOREF)
            raise_value(L, r, b);
        else
            failure_push(L, b->f.failure);
        if (release) wf_future_release(r, id);
        return lua_error(L);
    }
    if (b->f.lua_ref != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, b->f.lua_ref);
        lua_getfield(L, -1, "n");
        int n = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
        luaL_checkstack(L, n + 4, "too many results");
        for (int i = 1; i <= n; i++)
            lua_rawgeti(L, base + 1, i);
        lua_remove(L, base + 1);
    } else {
        api_push_payloads(L, b->f.result);
    }
    if (release) wf_future_release(r, id);
    return lua_gettop(L) - base;
}

static int await_op_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    uint64_t id = (uint64_t)ctx;
    api_waited(L, &id, 1);
    lua_settop(L, 0);
    return api_outcome(L, id, true);
}

int api_await_op(lua_State *L, uint64_t id)
{
    return api_wait(L, &id, 1, false, (lua_KContext)id, await_op_k);
}

/* ---- methods ---- */

static int await_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    api_waited(L, NULL, 0);
    return api_outcome(L, (uint64_t)ctx, false);
}

static int future_await(lua_State *L)
{
    api_act(L, "future:await");
    struct future_box *b = api_check_future(L, 1);
    lua_settop(L, 1);
    b->observed = true;
    if (b->child && b->child == run_of(L)->script->running)
        return luaL_error(L, "a coroutine cannot wait for itself");
    return api_wait(L, &b->id, 1, false, (lua_KContext)b->id, await_k);
}

static int future_done(lua_State *L)
{
    api_read(L, "future:done");
    struct future_box *b = api_check_future(L, 1);
    lua_pushboolean(L, b->f.state != FUTURE_PENDING);
    return 1;
}

static int future_cancel_(lua_State *L)
{
    api_act(L, "future:cancel");
    struct future_box *b = api_check_future(L, 1);
    b->observed = true;
    struct str reason = lua_isnoneornil(L, 2) ? STR("canceled") : api_str(L, 2);
    future_cancel(b, reason);
    return 0;
}

static int future_tostring(lua_State *L)
{
    uint64_t *u = luaL_checkudata(L, 1, FUTURE_CLASS);
    struct future_box *b = future_box_get(run_of(L), *u);
    static const char *const states[] = {"pending", "done", "failed"};
    lua_pushfstring(L, "future (%s)", b ? states[b->f.state] : "gone");
    return 1;
}

static int future_gc(lua_State *L)
{
    uint64_t *u = lua_touserdata(L, 1);
    struct wf_run *r = run_of(L);
    if (u && r && r->script) wf_future_release(r, *u);
    return 0;
}

void future_register(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"await", future_await}, {"done", future_done}, {"cancel", future_cancel_}, {NULL, NULL}};
    static const luaL_Reg meta[] = {
        {"__tostring", future_tostring}, {"__gc", future_gc}, {NULL, NULL}};
    api_class(L, "future", methods, meta);
}
