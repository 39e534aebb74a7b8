/* ml.client: one request to the host that waits for its answer; the names are
 * lua/moonloop/client.lua, loaded when one of them is first used. */
#include "activity/act_internal.h"

#define ANSWER_MAX ((size_t)64 << 20)

static void on_answer(void *ud, int code, struct str json)
{
    struct act_link *l = ud;
    struct act_request *r = (struct act_request *)l->op;
    mem_free(l);
    if (!r) return;
    r->link = NULL;
    r->code = code;
    buf_putstr(&r->answer, json);
    act_op_done(&r->op);
}

static void request_abort(struct act_op *op)
{
    struct act_request *r = (struct act_request *)op;
    if (r->link) r->link->op = NULL;
    r->link = NULL;
}

static void request_release(struct act_op *op)
{
    request_abort(op);
    buf_free(&((struct act_request *)op)->answer);
}

int act_ask_host(lua_State *L, struct str verb, struct buf *json,
                 int (*push)(lua_State *L, struct act_op *op))
{
    struct act_host *h = act_host_of(L);
    struct act_request *r = act_op_new(L, sizeof *r, request_abort, push, request_release);
    buf_init(&r->answer, ANSWER_MAX);
    r->link = act_link_new(&r->op);
    if (!r->link) return act_misuse(L, "out of memory");
    r->op.done = false;
    h->env.request(h->env.ud, verb, buf_str(json), on_answer, r->link);
    return act_op_wait(L, r);
}

static int client_push(lua_State *L, struct act_op *op)
{
    struct act_request *r = (struct act_request *)op;
    struct err e = {0};
    int code = r->answer.code ? err_set(&e, r->answer.code, "the answer is too large")
               : r->code      ? err_set(&e, r->code, STR_FMT, STR_ARG(buf_str(&r->answer)))
                              : value_decode(L, buf_str(&r->answer), &e);
    return code ? act_fail_err(L, "ml.client", &e) : 1;
}

/* core.client_request(name, verb, args): a table as client.lua describes it. */
static int client_request(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    const char *name = luaL_checkstring(L, 1);
    struct str verb = act_check_str(L, 2);
    act_act(L, name);
    lua_settop(L, 3);
    if (!h->env.request) return act_misuse(L, "%s: there is no engine here", name);
    struct buf *json = act_buf(L, 2 * VALUE_BYTES_MAX);
    act_encode(L, 3, json, "options");
    lua_pushliteral(L, "client.");
    lua_pushlstring(L, verb.p, verb.n);
    lua_concat(L, 2);
    struct str asked = act_check_str(L, -1);
    return act_ask_host(L, asked, json, client_push);
}

static int host_push(lua_State *L, struct act_op *op)
{
    struct act_request *r = (struct act_request *)op;
    struct err e = {0};
    int code = r->answer.code ? err_set(&e, r->answer.code, "the answer is too large")
               : r->code      ? err_set(&e, r->code, STR_FMT, STR_ARG(buf_str(&r->answer)))
                              : value_decode(L, buf_str(&r->answer), &e);
    return code ? act_fail_err(L, "the boundary", &e) : 1;
}

/* core.host_request(name, verb, args): what the host answers, as a value. */
static int host_request(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    const char *name = luaL_checkstring(L, 1);
    struct str verb = act_check_str(L, 2);
    act_act(L, name);
    lua_settop(L, 3);
    if (!h->env.request) return act_misuse(L, "%s: there is no host here", name);
    struct buf *json = act_buf(L, 2 * VALUE_BYTES_MAX);
    act_encode(L, 3, json, "arguments");
    return act_ask_host(L, verb, json, host_push);
}

/* core.caller(): for whom the activity acts, as the JSON of the header; nil: nobody was let in. */
static int caller(lua_State *L)
{
    struct act_call_state *c = act_current(L);
    const struct rec *p = c && c->kind == CALL_ACTIVITY
                              ? rec_map_get(c->info.header, T(header, fields), STR("moonloop"))
                              : NULL;
    struct str json = payload_data(p);
    if (!json.p) return 0;
    lua_pushlstring(L, json.p, json.n);
    return 1;
}

/* core.add_intent(json): written with the activity's completion. False where there is none. */
static int add_intent(lua_State *L)
{
    struct act_call_state *c = act_current(L);
    struct str json;
    json.p = luaL_checklstring(L, 1, &json.n);
    bool ok = c && c->kind == CALL_ACTIVITY && !c->info.local;
    if (ok) {
        buf_putc(&c->intents, c->intents.n ? ',' : '[');
        buf_putstr(&c->intents, json);
    }
    lua_pushboolean(L, ok);
    return 1;
}

/* A class: its metatable in the registry, with an empty table of methods that the prelude fills. */
static int new_object(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    luaL_setmetatable(L, lua_tostring(L, lua_upvalueindex(1)));
    return 1;
}

static void open_class(lua_State *L, const char *class, const char *maker, int core)
{
    luaL_newmetatable(L, class);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_newtable(L);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushstring(L, class);
    lua_pushcclosure(L, new_object, 1);
    lua_setfield(L, core, maker);
}

static const char prelude[] =
    "local ml, runs, schedules, updates = ...\n"
    "local function stub(to, part, names)\n"
    "  for name in names:gmatch('%S+') do\n"
    "    to[name] = function(...) return require('moonloop.client')[part][name](...) end\n"
    "  end\n"
    "end\n"
    "ml.client = {}\n"
    "stub(ml.client, 'client', 'start update_with_start run list count complete_activity "
    "heartbeat_activity schedule schedules deployment deployments set_current_version namespace "
    "search_attributes "
    "add_search_attribute')\n"
    "stub(runs, 'run', 'signal query update start_update get_update result describe history cancel "
    "terminate reset delete')\n"
    "stub(updates, 'update', 'result')\n"
    "stub(schedules, 'schedule', 'describe update pause unpause trigger backfill delete')\n";

/* The table of ml is on top; moonloop.core is there (act_open_flow). */
void act_open_client(lua_State *L)
{
    static const luaL_Reg functions[] = {{"client_request", client_request},
                                         {"host_request", host_request},
                                         {"caller", caller},
                                         {"add_intent", add_intent},
                                         {NULL, NULL}};
    int ml = lua_gettop(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "moonloop.core");
    int core = lua_gettop(L);
    luaL_setfuncs(L, functions, 0);
    open_class(L, "moonloop.run", "new_run", core);
    open_class(L, "moonloop.schedule", "new_schedule", core);
    open_class(L, "moonloop.update", "new_update", core);
    if (luaL_loadbufferx(L, prelude, strlen(prelude), "=moonloop", "t") != LUA_OK) lua_error(L);
    lua_pushvalue(L, ml);
    luaL_getmetatable(L, "moonloop.run");
    lua_getfield(L, -1, "__index");
    lua_remove(L, -2);
    luaL_getmetatable(L, "moonloop.schedule");
    lua_getfield(L, -1, "__index");
    lua_remove(L, -2);
    luaL_getmetatable(L, "moonloop.update");
    lua_getfield(L, -1, "__index");
    lua_remove(L, -2);
    lua_call(L, 4, 0);
    lua_settop(L, ml);
}
