/* Coroutines on the loop: the ready queue, waiting, cancellation. Keeps true: a coroutine is in the
 * ready queue at most once; a cancellation is delivered once, at the point where the coroutine
 * waits; Lua runs only below act_step. */
#include "activity/act_internal.h"

#include <stdio.h>

/* ---- ready queue ---- */

void act_wake(struct act_host *h)
{
    if (h->ready_fn) h->ready_fn(h->ready_ud);
    /* a turn of the loop that waits without bound polls after its timers have run: end that wait */
    if (!h->in_step) loop_wake(h->env.loop);
}

static void enqueue(struct act_co **first, struct act_co **last, struct act_co *co)
{
    co->queued = true;
    co->ready_next = NULL;
    if (*last)
        (*last)->ready_next = co;
    else
        *first = co;
    *last = co;
}

static void dequeue(struct act_co **first, struct act_co **last, struct act_co *co)
{
    struct act_co *prev = NULL;
    for (struct act_co **at = first; *at; prev = *at, at = &(*at)->ready_next) {
        if (*at != co) continue;
        *at = co->ready_next;
        if (*last == co) *last = prev;
        co->queued = false;
        return;
    }
}

void act_co_ready(struct act_co *co)
{
    if (co->queued) return;
    struct act_host *h = co->call->h;
    co->blocked = false;
    if (co->st->setups_left > 0 &&
        (co->call->kind == CALL_ACTIVITY || co->call->kind == CALL_REQUEST)) {
        enqueue(&co->st->held_first, &co->st->held_last, co);
        return;
    }
    bool first = h->ready_first == NULL;
    enqueue(&h->ready_first, &h->ready_last, co);
    if (first) act_wake(h);
}

bool act_ready(const struct act_host *h)
{
    return h->ready_first != NULL || (h->load_done && !h->load_told);
}

void act_on_ready(struct act_host *h, void (*fn)(void *ud), void *ud)
{
    h->ready_fn = fn;
    h->ready_ud = ud;
}

/* ---- coroutines ---- */

struct act_co *act_co_new(struct act_call_state *call, struct act_state *st)
{
    struct act_co *co = mem_zalloc(sizeof *co);
    if (!co) return NULL;
    co->future_ref = LUA_NOREF;
    co->call = call;
    co->st = st;
    co->co = sandbox_coroutine(&st->sb);
    co->id = co->co ? idmap_add(&call->h->cos, co) : 0;
    if (!co->id) {
        if (co->co) sandbox_release(&st->sb, co->co);
        mem_free(co);
        return NULL;
    }
    co->next = call->cos;
    if (co->next) co->next->prev = co;
    call->cos = co;
    call->n_co++;
    st->n_co++;
    return co;
}

void act_co_free(struct act_co *co)
{
    struct act_host *h = co->call->h;
    struct act_state *st = co->st;
    if (co->queued) {
        dequeue(&h->ready_first, &h->ready_last, co);
        if (co->queued) dequeue(&st->held_first, &st->held_last, co);
    }
    if (co->op) {
        struct act_op *op = co->op;
        co->op = NULL;
        op->co = 0;
        if (!op->done && op->abort) op->abort(op);
        op->done = true;
    }
    if (co->prev)
        co->prev->next = co->next;
    else
        co->call->cos = co->next;
    if (co->next) co->next->prev = co->prev;
    co->call->n_co--;
    idmap_del(&h->cos, co->id);
    if (co->future_ref != LUA_NOREF) luaL_unref(st->sb.L, LUA_REGISTRYINDEX, co->future_ref);
    sandbox_release(&st->sb, co->co);
    st->n_co--;
    mem_free(co);
}

void act_co_cancel(struct act_co *co, const char *why)
{
    if (co->canceled || co->cancel_pending) return;
    snprintf(co->why, sizeof co->why, "%s", why);
    co->cancel_pending = true;
    if (!co->blocked || !co->op || co->op->steady) return;
    struct act_op *op = co->op;
    if (!op->done && op->abort) op->abort(op);
    op->done = true;
    co->cancel_pending = false;
    co->canceled = co->deliver = true;
    act_co_ready(co);
}

int act_raise_canceled(lua_State *L, const char *why)
{
    struct act_host *h = act_host_of(L);
    failure_push(L, failure_canceled(&h->scratch, arena_str(&h->scratch, str_of(why)), NULL));
    return sandbox_raise_unwinding(L);
}

/* ---- ops ---- */

static int op_gc(lua_State *L)
{
    struct act_op *op = lua_touserdata(L, 1);
    struct act_co *co = op->co ? idmap_get(&op->h->cos, op->co) : NULL;
    if (co && co->op == op) co->op = NULL;
    op->co = 0;
    if (!op->done && op->abort) op->abort(op);
    op->done = true;
    if (op->release) op->release(op);
    op->release = NULL;
    return 0;
}

void *act_op_new(lua_State *L, size_t size, void (*abort)(struct act_op *),
                 int (*push)(lua_State *, struct act_op *), void (*release)(struct act_op *))
{
    luaL_checkstack(L, 20, NULL);
    struct act_op *op = lua_newuserdatauv(L, size, 1);
    memset(op, 0, size);
    op->h = act_host_of(L);
    op->done = true; /* until something is under way */
    if (luaL_newmetatable(L, "moonloop.op")) {
        lua_pushcfunction(L, op_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    op->abort = abort;
    op->push = push;
    op->release = release;
    return op;
}

static int op_k(lua_State *L, int status, lua_KContext ctx)
{
    struct act_op *op = (struct act_op *)ctx;
    struct act_co *co = act_host_of(L)->current;
    (void)status;
    if (co->deliver) {
        co->deliver = false;
        co->op = NULL;
        op->co = 0;
        return act_raise_canceled(L, co->why);
    }
    if (!op->done) return sandbox_block(L, ctx, op_k);
    co->op = NULL;
    op->co = 0;
    return op->push(L, op);
}

int act_op_wait(lua_State *L, void *userdata)
{
    struct act_op *op = userdata;
    struct act_co *co = op->h->current;
    if (co->cancel_pending && !op->steady && !co->canceled) {
        co->cancel_pending = false;
        co->canceled = true;
        if (!op->done && op->abort) op->abort(op);
        op->done = true;
        return act_raise_canceled(L, co->why);
    }
    if (op->done) return op->push(L, op);
    co->op = op;
    op->co = co->id;
    return sandbox_block(L, (lua_KContext)op, op_k);
}

void act_op_done(struct act_op *op)
{
    if (op->done) return;
    op->done = true;
    struct act_co *co = op->co ? idmap_get(&op->h->cos, op->co) : NULL;
    if (co && co->op == op && co->blocked) act_co_ready(co);
}

struct act_link *act_link_new(struct act_op *op)
{
    struct act_link *l = mem_alloc(sizeof *l);
    if (l) l->op = op;
    return l;
}

/* ---- running ---- */

static void run_co(struct act_host *h, struct act_co *co)
{
    struct sandbox *sb = &co->st->sb;
    int nres = 0;
    if (sb->mem_used > sb->mem_max / 2) lua_gc(sb->L, LUA_GCSTEP, 0);
    arena_free(&h->scratch);
    h->current = co;
    sb->scope = &co->scope;
    sb->slice_left = ACT_SLICE;
    h->slice_ns = clock_mono(h->env.clock);
    h->stuck_ns = 0;
    int nargs = co->nargs;
    co->nargs = 0;
    enum sandbox_status status = sandbox_resume(sb, co->co, nargs, &nres);
    sb->scope = NULL;
    h->current = NULL;
    if (status == SANDBOX_SLICE) {
        act_co_ready(co);
    } else if (status == SANDBOX_BLOCKED) {
        co->blocked = true;
        if (co->op && co->op->done) act_co_ready(co);
    } else {
        act_call_co_ended(co->call, co, status, nres);
    }
}

static void tell_load(struct act_host *h)
{
    if (!h->load_done || h->load_told) return;
    h->load_told = true;
    if (h->load_fn) h->load_fn(h->load_ud, &h->load_result);
}

static void reap_states(struct act_host *h)
{
    for (struct act_state **at = &h->states; *at;) {
        struct act_state *st = *at;
        if (!st->draining || st->n_co > 0) {
            at = &st->next;
            continue;
        }
        *at = st->next;
        act_state_close(st);
    }
}

bool act_step(struct act_host *h, int64_t budget_ns)
{
    int64_t end = clock_mono(h->env.clock) + budget_ns;
    if (h->in_step) return act_ready(h);
    h->in_step = true;
    while (h->ready_first && !h->closing) {
        struct act_co *co = h->ready_first;
        h->ready_first = co->ready_next;
        if (!h->ready_first) h->ready_last = NULL;
        co->queued = false;
        run_co(h, co);
        if (clock_mono(h->env.clock) >= end) break;
    }
    if (!h->closing) tell_load(h);
    h->in_step = false;
    if (h->closing) {
        h->closing = false;
        act_close(h);
        return false;
    }
    reap_states(h);
    return act_ready(h);
}
