/* The flow of a workflow: time, conditions, spawned coroutines, time limits, shields, recorded
 * values and patches, and the ways to end. ml.all, ml.race and ml.saga are written in Lua
 * (lua/moonloop/flow.lua) over spawn and core.settle. */
#include "base/log.h"
#include "workflow/wf_script.h"

/* ---- time ---- */

static uint64_t start_timer(lua_State *L, int64_t ns, bool till, struct str summary,
                            const char *fname)
{
    struct wf_run *r = run_of(L);
    struct future_box *b = api_future(L, WF_PENDING_TIMER, summary);
    struct err e = {0};
    uint64_t id = b->id;
    if (wf_op_timer(r, ns, till, summary, id, &e) != 0) {
        wf_future_fail(r, id, NULL, false);
        wf_future_release(r, id);
        api_error(L, &e, fname);
    }
    return id;
}

/* Waits for ns; a duration of 0 or less needs no command. An options table {summary} may be at idx.
 */
static int sleep_for(lua_State *L, int64_t ns, bool till, int idx, const char *fname)
{
    struct str summary = {0}, s;
    if (!lua_isnoneornil(L, idx)) {
        api_check_options(L, idx, "sleep", fname);
        if (api_opt_str(L, idx, "summary", &s)) summary = api_out(L, s);
    }
    api_checkpoint(L);
    if (ns <= 0) return 0;
    return api_await_op(L, start_timer(L, ns, till, summary, fname));
}

static int ml_sleep(lua_State *L)
{
    api_act(L, "ml.sleep");
    bool none = lua_type(L, 1) == LUA_TNUMBER && lua_tonumber(L, 1) <= 0;
    return sleep_for(L, none ? 0 : api_check_duration(L, 1, "ml.sleep"), false, 2, "ml.sleep");
}

static int ml_sleep_until(lua_State *L)
{
    struct wf_run *r = api_act(L, "ml.sleep_until");
    int64_t due = api_check_time(L, 1, "ml.sleep_until");
    return sleep_for(L, time_minus(due, r->now_ns), true, 2, "ml.sleep_until");
}

/* To the next multiple of the period since the chain of runs began. */
static int ml_every(lua_State *L)
{
    struct wf_run *r = api_act(L, "ml.every");
    int64_t period = api_check_duration(L, 1, "ml.every");
    if (period <= 0) return luaL_error(L, "ml.every: the period must be longer than 0");
    int64_t since = time_minus(r->now_ns, r->chain_start_ns);
    if (since < 0)
        return sleep_for(L, time_plus(time_minus(0, since), period), true, 2, "ml.every");
    return sleep_for(L, period - since % period, true, 2, "ml.every");
}

static int ml_now(lua_State *L)
{
    struct wf_run *r = api_read(L, "ml.now");
    api_push_time(L, r->script->context == CONTEXT_SIDE_EFFECT ? r->wall_ns : r->now_ns);
    return 1;
}

/* ---- conditions ---- */

static void cond_add(struct wf_run *r, struct future_box *b)
{
    struct wf_script *s = r->script;
    b->is_cond = true;
    b->cond_prev = s->conds_last;
    b->cond_next = NULL;
    if (s->conds_last)
        s->conds_last->cond_next = b;
    else
        s->conds = b;
    s->conds_last = b;
}

/* The stack: 1 predicate, 2 condition's id, 3 timer's id (0: none). */
static int ml_await_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    struct wf_run *r = run_of(L);
    uint64_t ids[2] = {(uint64_t)lua_tointeger(L, 2), (uint64_t)lua_tointeger(L, 3)};
    api_waited(L, ids, 2);
    struct future_box *b = future_box_get(r, ids[0]);
    bool met = b && b->f.state != FUTURE_PENDING;
    if (ids[1]) {
        wf_op_cancel(r, ids[1], STR("the condition was met"));
        wf_future_release(r, ids[1]);
    }
    if (met && b->f.state == FUTURE_FAILED) return api_outcome(L, ids[0], true);
    wf_future_release(r, ids[0]);
    lua_pushboolean(L, met);
    return 1;
}

/* How long to wait: a duration, or options {timeout} or {till}, {summary}; -1 for ever. */
static int64_t await_limit(lua_State *L, struct wf_run *r, int idx, struct str *summary, bool *till)
{
    static const char fname[] = "ml.await";
    int64_t ns = -1;
    if (lua_isnoneornil(L, idx)) return -1;
    if (!lua_istable(L, idx)) {
        ns = api_check_duration(L, idx, fname);
        return ns < 0 ? 0 : ns;
    }
    api_check_options(L, idx, "await", fname);
    struct str s;
    if (api_opt_str(L, idx, "summary", &s)) *summary = api_out(L, s);
    if (api_opt_duration(L, idx, "timeout", fname, &ns)) return ns < 0 ? 0 : ns;
    *till = lua_getfield(L, idx, "till") != LUA_TNIL;
    if (*till) {
        ns = time_minus(api_check_time(L, lua_gettop(L), fname), r->now_ns);
        if (ns < 0) ns = 0;
    }
    lua_pop(L, 1);
    return ns;
}

static int ml_await(lua_State *L)
{
    struct wf_run *r = api_act(L, "ml.await");
    luaL_checktype(L, 1, LUA_TFUNCTION);
    struct str summary = {0};
    bool till = false;
    int64_t limit = await_limit(L, r, 2, &summary, &till);
    lua_settop(L, 1);
    api_checkpoint(L);
    lua_pushvalue(L, 1);
    enum sandbox_status st = script_call(r, L, CONTEXT_PREDICATE, 0, 1);
    if (st != SANDBOX_DONE) return lua_error(L);
    bool now = lua_toboolean(L, -1);
    lua_settop(L, 1);
    if (now || limit == 0) {
        lua_pushboolean(L, now);
        return 1;
    }
    struct future_box *b = api_future(L, WF_PENDING_CONDITION, script_text(r, summary));
    uint64_t ids[2] = {b->id, 0};
    lua_pushvalue(L, 1);
    b->predicate_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    cond_add(r, b);
    if (limit > 0) ids[1] = start_timer(L, limit, till, summary, "ml.await");
    lua_pushinteger(L, (lua_Integer)ids[0]);
    lua_pushinteger(L, (lua_Integer)ids[1]);
    return api_wait(L, ids, ids[1] ? 2 : 1, false, 0, ml_await_k);
}

/* core.settle(futures, mode): waits until all are done or one failed ("failed"), one is done
 * ("any"), or all are ("all"). The index of the first done one (any) or first failed one (failed),
 * or nil. */
static int settle_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    uint64_t id = (uint64_t)ctx;
    api_waited(L, &id, 1);
    struct wf_run *r = run_of(L);
    struct settle *g = lua_touserdata(L, 2);
    if (id) wf_future_release(r, id);
    for (size_t i = 0; i < g->n && g->mode != SETTLE_ALL; i++) {
        struct future_box *b = future_box_get(r, g->ids[i]);
        if (!b || b->f.state == FUTURE_PENDING) continue;
        if (g->mode == SETTLE_ALL_OR_FAILED && b->f.state != FUTURE_FAILED) continue;
        lua_pushinteger(L, (lua_Integer)i + 1);
        return 1;
    }
    lua_pushnil(L);
    return 1;
}

static int core_settle(lua_State *L)
{
    static const char *const modes[] = {"failed", "any", "all", NULL};
    struct wf_run *r = api_act(L, "core.settle");
    luaL_checktype(L, 1, LUA_TTABLE);
    int mode = luaL_checkoption(L, 2, NULL, modes);
    size_t n = lua_rawlen(L, 1);
    lua_settop(L, 1);
    struct settle *g = lua_newuserdatauv(L, sizeof *g + n * sizeof g->ids[0], 0);
    g->mode = (enum settle_mode)mode;
    g->n = n;
    bool done = true, any = false, failed = false;
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        struct future_box *b = api_check_future(L, -1);
        b->observed = true;
        g->ids[i] = b->id;
        if (b->f.state == FUTURE_PENDING)
            done = false;
        else
            any = true;
        if (b->f.state == FUTURE_FAILED) failed = true;
        lua_pop(L, 1);
    }
    api_checkpoint(L);
    if (done || (any && g->mode == SETTLE_ANY) || (failed && g->mode == SETTLE_ALL_OR_FAILED))
        return settle_k(L, LUA_OK, 0);
    struct future_box *b = api_future(L, WF_PENDING_CONDITION, (struct str){0});
    b->internal = true; /* what it waits for is reported itself */
    b->settle = g;
    cond_add(r, b);
    return api_wait(L, &b->id, 1, false, (lua_KContext)b->id, settle_k);
}

/* ---- coroutines ---- */

/* Spawns the function and nargs on top of the stack (popped); the future's id. */
static uint64_t spawn(lua_State *L, int nargs, const char *fname)
{
    struct wf_run *r = run_of(L);
    struct future_box *b = api_future(L, PENDING_SPAWN, (struct str){0});
    struct task *t = task_new(r, TASK_SPAWN, r->script->running, L, nargs);
    if (!t) {
        wf_future_fail(r, b->id, NULL, false);
        wf_future_release(r, b->id);
        (void)fname;
        api_nomem(L);
        return 0;
    }
    b->child = t;
    t->future = b->id;
    t->continued = false;
    task_ready(t);
    return b->id;
}

static void check_callable(lua_State *L, int idx)
{
    if (lua_isfunction(L, idx)) return;
    if (luaL_getmetafield(L, idx, "__call") != LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    luaL_argerror(L, idx, "a function expected");
}

static int ml_spawn(lua_State *L)
{
    api_act(L, "ml.spawn");
    check_callable(L, 1);
    api_push_future(L, spawn(L, lua_gettop(L) - 1, "ml.spawn"));
    return 1;
}

/* The stack: 1 coroutine's id, 2 timer's id, 3 whether the time is over. */
static int timeout_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    struct wf_run *r = run_of(L);
    uint64_t ids[2] = {(uint64_t)lua_tointeger(L, 1), (uint64_t)lua_tointeger(L, 2)};
    struct task *t = r->script->running;
    bool over = lua_toboolean(L, 3);
    if (t->cancel_raise && ids[1]) wf_op_cancel(r, ids[1], STR("canceled"));
    api_waited(L, ids, 2);
    struct future_box *b = future_box_get(r, ids[0]);
    if (b &&
        b->f.state == FUTURE_PENDING) { /* the time is over: end the coroutine, and wait for that */
        future_cancel(b, STR("the time is over"));
        lua_pushboolean(L, 1);
        lua_replace(L, 3);
        return api_wait(L, ids, 1, false, 0, timeout_k);
    }
    if (ids[1]) {
        wf_op_cancel(r, ids[1], STR("it was done in time"));
        wf_future_release(r, ids[1]);
    }
    lua_settop(L, 0);
    if (b && over && b->f.state == FUTURE_FAILED && b->f.canceled && b->f.lua_ref == LUA_NOREF) {
        wf_future_release(r, ids[0]);
        lua_pushboolean(L, 0);
        return 1;
    }
    lua_pushboolean(L, 1);
    return api_outcome(L, ids[0], true) + 1;
}

static int ml_timeout(lua_State *L)
{
    api_act(L, "ml.timeout");
    int64_t ns = api_check_duration(L, 1, "ml.timeout");
    check_callable(L, 2);
    if (ns < 0) ns = 0;
    api_checkpoint(L);
    uint64_t ids[2] = {0, 0};
    ids[0] = spawn(L, lua_gettop(L) - 2, "ml.timeout");
    ids[1] = ns > 0 ? start_timer(L, ns, false, (struct str){0}, "ml.timeout") : 0;
    lua_settop(L, 0);
    lua_pushinteger(L, (lua_Integer)ids[0]);
    lua_pushinteger(L, (lua_Integer)ids[1]);
    lua_pushboolean(L, 0);
    return api_wait(L, ids, 2, false, 0, timeout_k); /* no timer: over at once */
}

static int shield_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    api_waited(L, NULL, 0);
    lua_settop(L, 0);
    return api_outcome(L, (uint64_t)ctx, true);
}

/* The body runs in a scope that no cancellation reaches; what was asked meanwhile is delivered
 * after it. */
static int ml_shield(lua_State *L)
{
    struct wf_run *r = api_act(L, "ml.shield");
    check_callable(L, 1);
    uint64_t id = spawn(L, lua_gettop(L) - 1, "ml.shield");
    struct future_box *b = future_box_get(r, id);
    future_disown(b); /* its coroutine is not cancelled with this one */
    b->internal = true;
    return api_wait(L, &id, 1, true, (lua_KContext)id, shield_k);
}

static int ml_cancel_requested(lua_State *L)
{
    struct wf_run *r = api_read(L, "ml.cancel_requested");
    bool asked = r->cancel_requested;
    for (const struct task *t = r->script->running; t; t = t->parent)
        asked = asked || t->cancel_pending || t->canceled;
    lua_pushboolean(L, asked);
    return 1;
}

/* ---- recorded values and patches ---- */

/* A side effect draws from the task's chance and its own number in the run, and from nothing else:
 * the same task done again, on a kept run or on a fresh one, draws the same. */
static const char *entropy_hex(struct wf_run *r)
{
    char *hex = arena_alloc(&r->out_arena, 2 * sizeof r->entropy + 1);
    if (!hex) return "";
    hex_encode(r->entropy, sizeof r->entropy, hex);
    return hex;
}

/* An error out of it has no place in history, and the next try may go another way: it cannot be
 * caught, the task fails. */
static int side_effect_failed(lua_State *L, struct wf_run *r, enum sandbox_status st)
{
    struct rec *f = NULL;
    bool was_failure;
    if (st == SANDBOX_ERROR) {
        if (failure_from_lua(L, -1, &r->out_arena, sandbox_traceback(&r->sandbox), &f,
                             &was_failure) != 0)
            return api_nomem(L);
        wf_task_fail(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, f);
    }
    return lua_error(L);
}

static int ml_side_effect(lua_State *L)
{
    struct wf_run *r = api_act(L, "ml.side_effect");
    struct err e = {0};
    const struct rec *known = NULL;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    uint64_t number = ++r->script->side_effects;
    int rc = wf_op_side_effect_recorded(r, &known, &e);
    if (rc < 0) return api_error(L, &e, "ml.side_effect");
    if (rc == 1) {
        lua_settop(L, 0);
        return api_push_payloads(L, known);
    }
    rng_seed(&r->script->chance,
             arena_printf(&r->out_arena, "%llu/%s", (unsigned long long)number, entropy_hex(r)));
    int args = lua_gettop(L) - 1;
    enum sandbox_status st = script_call(r, L, CONTEXT_SIDE_EFFECT, args, LUA_MULTRET);
    if (st != SANDBOX_DONE) return side_effect_failed(L, r, st);
    int n = lua_gettop(L);
    struct rec *made = NULL;
    if (n > PAYLOAD_VALUES_MAX)
        err_set(&e, ERR_LIMIT, "ml.side_effect's result: more than %d values", PAYLOAD_VALUES_MAX);
    else if (n > 0)
        value_to_payloads(L, 1, n, &r->out_arena, &made, "ml.side_effect's result", &e);
    if (e.code == ERR_NOMEM) return api_nomem(L);
    if (e.code != 0) {
        lua_pushstring(L, e.text);
        return side_effect_failed(L, r, SANDBOX_ERROR);
    }
    if (wf_op_side_effect_record(r, made, &e) != 0) return api_error(L, &e, "ml.side_effect");
    lua_settop(L, 0); /* what is given is what was recorded, as on replay */
    return api_push_payloads(L, made);
}

static int patch(lua_State *L, bool deprecated, const char *fname)
{
    struct wf_run *r = api_act(L, fname);
    struct err e = {0};
    bool on = wf_op_patched(r, script_text(r, api_str(L, 1)), deprecated, &e);
    if (e.code != 0) return api_error(L, &e, fname);
    lua_pushboolean(L, on);
    return 1;
}

static int ml_patched(lua_State *L)
{
    return patch(L, false, "ml.patched");
}

static int ml_deprecate_patch(lua_State *L)
{
    patch(L, true, "ml.deprecate_patch");
    return 0;
}

/* ---- endings ---- */

static bool in_update(const struct task *t)
{
    for (; t; t = t->parent) {
        if (t->kind == TASK_UPDATE) return true;
    }
    return false;
}

static int ml_continue_as_new(lua_State *L)
{
    static const char fname[] = "ml.continue_as_new";
    struct wf_run *r = api_act(L, fname);
    struct wf_script *s = r->script;
    struct wf_can_opts o = {0};
    struct str v;
    struct err e = {0};
    if (in_update(s->running))
        return luaL_error(
            L, "%s: not in an update handler: set a flag that the main function looks at", fname);
    lua_settop(L, 2);
    o.input = api_payloads(L, 1, lua_isnil(L, 1) ? 0 : 1, "input");
    if (!lua_isnil(L, 2)) {
        api_check_options(L, 2, "continue_as_new", fname);
        if (api_opt_str(L, 2, "workflow", &v)) o.workflow_type = api_out(L, v);
        if (api_opt_str(L, 2, "task_queue", &v)) o.task_queue = api_out(L, v);
        api_opt_duration(L, 2, "run_timeout", fname, &o.run_timeout_ns);
        api_opt_duration(L, 2, "task_timeout", fname, &o.task_timeout_ns);
        if (lua_getfield(L, 2, "retry") != LUA_TNIL)
            o.retry_policy = api_check_retry(L, -1, &r->out_arena, fname);
        if (lua_getfield(L, 2, "memo") != LUA_TNIL)
            o.memo = api_map_payloads(L, -1, &rec_type_memo, T(memo, fields), false, fname);
        if (lua_getfield(L, 2, "search_attributes") != LUA_TNIL)
            o.search_attributes =
                api_map_payloads(L, -1, &rec_type_search_attributes,
                                 T(search_attributes, indexed_fields), true, fname);
    }
    if (wf_op_continue_as_new(r, &o, &e) != 0) return api_error(L, &e, fname);
    s->running->continued = true;
    if (s->main && s->main != s->running)
        task_cancel(s->main, STR("the workflow continues as new"));
    failure_push(L, failure_app(&r->out_arena, STR("ContinueAsNew"),
                                STR("the workflow continues as new"), true, NULL, NULL));
    return sandbox_raise_unwinding(L);
}

static int ml_fail(lua_State *L)
{
    return failure_raise(L);
}

static int core_warn(lua_State *L)
{
    size_t n;
    const char *p = luaL_checklstring(L, 1, &n);
    api_warn(run_of(L), LOG_WARN, str_make(p, n));
    return 0;
}

static int core_is_future(lua_State *L)
{
    lua_pushboolean(L, luaL_testudata(L, 1, "moonloop.future") != NULL);
    return 1;
}

void api_open_flow(lua_State *L)
{
    static const luaL_Reg functions[] = {{"sleep", ml_sleep},
                                         {"sleep_until", ml_sleep_until},
                                         {"every", ml_every},
                                         {"now", ml_now},
                                         {"await", ml_await},
                                         {"spawn", ml_spawn},
                                         {"timeout", ml_timeout},
                                         {"shield", ml_shield},
                                         {"cancel_requested", ml_cancel_requested},
                                         {"side_effect", ml_side_effect},
                                         {"patched", ml_patched},
                                         {"deprecate_patch", ml_deprecate_patch},
                                         {"continue_as_new", ml_continue_as_new},
                                         {"fail", ml_fail},
                                         {NULL, NULL}};
    /* for lua/moonloop: its own references, so that a replaced public name never changes
     * what it does */
    static const luaL_Reg core[] = {{"settle", core_settle},
                                    {"spawn", ml_spawn},
                                    {"shield", ml_shield},
                                    {"warn", core_warn},
                                    {"is_future", core_is_future},
                                    {"activity", core_activity},
                                    {"workflow", core_workflow},
                                    {"host_activity", core_host_activity},
                                    {"defining", core_defining},
                                    {"define_tool", core_define_tool},
                                    {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    luaL_newlib(L, core);
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "in_run");
    lua_getfield(L, -2, "list");
    lua_setfield(L, -2, "list");
    api_open_core(L);
    sandbox_preload(&run_of(L)->sandbox, "moonloop.core");
}
