/* Child workflows and other runs: ml.child(name, options) is a callable that starts a child and
 * waits for its result;
 * `:async` gives its future, `:start` waits for the start and gives a handle. ml.external(id, run)
 * signals and cancels a run that is not ours. */
#include "workflow/wf_script.h"

#define CHILD_CLASS "moonloop.child"
#define HANDLE_CLASS "moonloop.handle"
#define EXTERNAL_CLASS "moonloop.external"

struct child {
    struct str name;
};
struct child_handle {
    struct str id, run_id;
    uint64_t result;
};
struct external {
    struct str id, run_id, reason;
    bool child_only;
};

static int ml_child(lua_State *L)
{
    struct wf_run *r = run_of(L);
    struct str name = api_str(L, 1);
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        lua_newtable(L);
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    api_check_options(L, 2, "child", "ml.child");
    struct str kept = script_text(r, name);
    struct child *c = lua_newuserdatauv(L, sizeof *c, 1);
    c->name = kept;
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, CHILD_CLASS);
    return 1;
}

static int named(lua_State *L, int t, const char *key, const char *const *names, const int *values,
                 int n)
{
    struct str s;
    if (!api_opt_str(L, t, key, &s)) return 0;
    for (int i = 0; i < n; i++) {
        if (str_eqz(s, names[i])) return values[i];
    }
    lua_pushliteral(L, "");
    for (int i = 0; i < n; i++) {
        lua_pushfstring(L, "%s%s\"%s\"", lua_tostring(L, -1), i ? ", " : "", names[i]);
        lua_replace(L, -2);
    }
    return luaL_error(L, "ml.child: %s is one of %s", key, lua_tostring(L, -1));
}

static void read_options(lua_State *L, int t, struct wf_child_opts *o)
{
    static const char *const close_names[] = {"terminate", "abandon", "cancel"};
    static const int close_values[] = {PARENT_CLOSE_POLICY_TERMINATE, PARENT_CLOSE_POLICY_ABANDON,
                                       PARENT_CLOSE_POLICY_REQUEST_CANCEL};
    static const char *const reuse_names[] = {"allow", "allow_failed_only", "reject", "terminate"};
    static const int reuse_values[] = {WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
                                       WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
                                       WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
                                       WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING};
    struct wf_run *r = run_of(L);
    struct str s;
    const char *fname = "ml.child";
    if (api_opt_str(L, t, "id", &s)) o->workflow_id = api_out(L, s);
    if (api_opt_str(L, t, "task_queue", &s)) o->task_queue = api_out(L, s);
    if (api_opt_str(L, t, "cron", &s)) o->cron = api_out(L, s);
    if (api_opt_str(L, t, "summary", &s)) o->summary = api_out(L, s);
    api_opt_duration(L, t, "execution_timeout", fname, &o->execution_timeout_ns);
    api_opt_duration(L, t, "run_timeout", fname, &o->run_timeout_ns);
    api_opt_duration(L, t, "task_timeout", fname, &o->task_timeout_ns);
    o->parent_close_policy = named(L, t, "parent_close", close_names, close_values, 3);
    o->id_reuse_policy = named(L, t, "id_reuse", reuse_names, reuse_values, 4);
    o->cancel = api_check_cancel(L, t, fname, true);
    lua_getfield(L, t, "retry");
    if (!lua_isnil(L, -1)) o->retry_policy = api_check_retry(L, -1, &r->out_arena, fname);
    lua_pop(L, 1);
    if (lua_getfield(L, t, "memo") != LUA_TNIL)
        o->memo = api_map_payloads(L, -1, &rec_type_memo, T(memo, fields), false, fname);
    lua_pop(L, 1);
    if (lua_getfield(L, t, "search_attributes") != LUA_TNIL)
        o->search_attributes = api_map_payloads(L, -1, &rec_type_search_attributes,
                                                T(search_attributes, indexed_fields), true, fname);
    lua_pop(L, 1);
}

/* Starts the child with the arguments from 2 on. */
static void start(lua_State *L, uint64_t *started, uint64_t *result, struct str *id)
{
    struct child *c = luaL_checkudata(L, 1, CHILD_CLASS);
    struct wf_run *r = api_act(L, "ml.child");
    api_checkpoint(L);
    struct wf_child_opts o = {.workflow_type = c->name};
    o.input = api_payloads(L, 2, lua_gettop(L) - 1, "arguments");
    lua_getiuservalue(L, 1, 1);
    read_options(L, lua_gettop(L), &o);
    lua_pop(L, 1);
    struct future_box *bs = api_future(L, WF_PENDING_CHILD, c->name);
    bs->internal = true; /* the result stands for the child in reports */
    *started = bs->id;
    struct future_box *br = api_future(L, WF_PENDING_CHILD, c->name);
    *result = br->id;
    struct err e = {0};
    if (wf_op_child(r, &o, *started, *result, id, &e) == 0) return;
    wf_future_fail(r, *started, NULL, false);
    wf_future_fail(r, *result, NULL, false);
    wf_future_release(r, *started);
    wf_future_release(r, *result);
    api_error(L, &e, "ml.child");
}

static int child_call(lua_State *L)
{
    uint64_t started, result;
    struct str id;
    start(L, &started, &result, &id);
    wf_future_release(run_of(L), started);
    return api_await_op(L, result);
}

static int child_async(lua_State *L)
{
    uint64_t started, result;
    struct str id;
    start(L, &started, &result, &id);
    wf_future_release(run_of(L), started);
    api_push_future(L, result);
    return 1;
}

static int start_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    uint64_t started = (uint64_t)ctx;
    api_waited(L, &started, 1);
    struct child_handle *h = lua_touserdata(L, 1);
    lua_settop(L, 1);
    api_outcome(L, started, true);
    struct wf_run *r = run_of(L);
    if (lua_isstring(L, 2)) h->run_id = script_text(r, api_str(L, 2));
    lua_settop(L, 1);
    return 1;
}

static int child_start(lua_State *L)
{
    uint64_t started;
    struct child_handle h = {0};
    start(L, &started, &h.result, &h.id);
    struct child_handle *u = lua_newuserdatauv(L, sizeof *u, 1);
    *u = h;
    luaL_setmetatable(L, HANDLE_CLASS);
    api_push_future(L, h.result); /* the handle keeps the result's future alive */
    lua_setiuservalue(L, -2, 1);
    lua_insert(L, 1);
    lua_settop(L, 1);
    return api_wait(L, &started, 1, false, (lua_KContext)started, start_k);
}

/* ---- the handle ---- */

static struct child_handle *check_handle(lua_State *L)
{
    return luaL_checkudata(L, 1, HANDLE_CLASS);
}

static int handle_result_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    api_waited(L, NULL, 0);
    return api_outcome(L, (uint64_t)ctx, false);
}

static int handle_result(lua_State *L)
{
    struct child_handle *h = check_handle(L);
    api_act(L, "handle:result");
    lua_settop(L, 1);
    return api_wait(L, &h->result, 1, false, (lua_KContext)h->result, handle_result_k);
}

static int send_signal(lua_State *L, struct str id, struct str run_id, bool child,
                       const char *fname)
{
    struct wf_run *r = api_act(L, fname);
    api_checkpoint(L);
    struct str name = api_out(L, api_str(L, 2));
    struct rec *input = api_payloads(L, 3, lua_gettop(L) - 2, "arguments");
    struct future_box *b = api_future(L, WF_PENDING_EXTERNAL, id);
    struct err e = {0};
    uint64_t future = b->id;
    if (wf_op_signal_external(r, id, run_id, child, name, input, future, &e) != 0) {
        wf_future_fail(r, future, NULL, false);
        wf_future_release(r, future);
        return api_error(L, &e, fname);
    }
    return api_await_op(L, future);
}

static int handle_signal(lua_State *L)
{
    struct child_handle *h = check_handle(L);
    return send_signal(L, h->id, (struct str){0}, true, "handle:signal");
}

static int handle_cancel(lua_State *L)
{
    struct child_handle *h = check_handle(L);
    struct wf_run *r = api_act(L, "handle:cancel");
    struct future_box *b = future_box_get(r, h->result);
    if (b)
        future_cancel(b, lua_isnoneornil(L, 2) ? STR("canceled by the parent")
                                               : api_out(L, api_str(L, 2)));
    return 0;
}

static int handle_index(lua_State *L)
{
    struct child_handle *h = check_handle(L);
    struct str key = api_str(L, 2), v = {0};
    if (str_eqz(key, "id"))
        v = h->id;
    else if (str_eqz(key, "run_id"))
        v = h->run_id;
    if (v.p) {
        lua_pushlstring(L, v.p, v.n);
        return 1;
    }
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

/* ---- other runs ---- */

static int ml_external(lua_State *L)
{
    struct wf_run *r = api_read(L, "ml.external");
    struct str id = script_text(r, api_str(L, 1));
    struct str run = {0}, reason = {0}, v;
    bool child_only = false;
    if (lua_istable(L, 2)) {
        api_check_options(L, 2, "external", "ml.external");
        if (api_opt_str(L, 2, "run_id", &v)) run = script_text(r, v);
        if (api_opt_str(L, 2, "reason", &v)) reason = script_text(r, v);
        lua_getfield(L, 2, "child_only");
        child_only = lua_toboolean(L, -1);
    } else if (!lua_isnoneornil(L, 2)) {
        run = script_text(r, api_str(L, 2));
    }
    struct external *x = lua_newuserdatauv(L, sizeof *x, 0);
    *x = (struct external){id, run, reason, child_only};
    luaL_setmetatable(L, EXTERNAL_CLASS);
    return 1;
}

static int external_signal(lua_State *L)
{
    struct external *x = luaL_checkudata(L, 1, EXTERNAL_CLASS);
    return send_signal(L, x->id, x->run_id, x->child_only, "external:signal");
}

static int external_cancel(lua_State *L)
{
    struct external *x = luaL_checkudata(L, 1, EXTERNAL_CLASS);
    struct wf_run *r = api_act(L, "external:cancel");
    api_checkpoint(L);
    struct str reason = !lua_isnoneornil(L, 2) ? api_out(L, api_str(L, 2))
                        : x->reason.n          ? x->reason
                                               : STR("canceled by another workflow");
    struct future_box *b = api_future(L, WF_PENDING_EXTERNAL, x->id);
    struct err e = {0};
    uint64_t future = b->id;
    if (wf_op_cancel_external(r, x->id, x->run_id, x->child_only, reason, future, &e) != 0) {
        wf_future_fail(r, future, NULL, false);
        wf_future_release(r, future);
        return api_error(L, &e, "external:cancel");
    }
    return api_await_op(L, future);
}

void api_open_child(lua_State *L)
{
    static const luaL_Reg child[] = {{"async", child_async}, {"start", child_start}, {NULL, NULL}};
    static const luaL_Reg child_meta[] = {{"__call", child_call}, {NULL, NULL}};
    static const luaL_Reg handle[] = {{"result", handle_result},
                                      {"signal", handle_signal},
                                      {"cancel", handle_cancel},
                                      {NULL, NULL}};
    static const luaL_Reg handle_meta[] = {{"__index", handle_index}, {NULL, NULL}};
    static const luaL_Reg external[] = {
        {"signal", external_signal}, {"cancel", external_cancel}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"child", ml_child}, {"external", ml_external}, {NULL, NULL}};
    api_class(L, "child", child, child_meta);
    api_class(L, "handle", handle, handle_meta);
    api_class(L, "external", external, NULL);
    luaL_getmetatable(L, HANDLE_CLASS);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "moonloop.classes");
    lua_getfield(L, -1, "handle");
    lua_pushcclosure(L, handle_index, 1);
    lua_setfield(L, -3, "__index");
    lua_pop(L, 2);
    luaL_setfuncs(L, functions, 0);
}
