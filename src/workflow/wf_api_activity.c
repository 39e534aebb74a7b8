/* Activities as a workflow sees them: a callable of the definition that schedules and waits.
 * `act(...)` waits, `act:async(...)` gives a future, `act:with{...}` is the same activity with
 * other options for some calls. */
#include "workflow/wf_script.h"

#define ACTIVITY_CLASS "moonloop.activity"

struct activity {
    struct str name;
    bool local;
};

/* Pushes the callable for the definition; its options table is kept as the user value. */
static void push_activity(lua_State *L, struct str name, bool local, int options)
{
    options = lua_absindex(L, options);
    struct activity *a = lua_newuserdatauv(L, sizeof *a, 1);
    *a = (struct activity){name, local};
    lua_pushvalue(L, options);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, ACTIVITY_CLASS);
}

int api_new_activity(lua_State *L, const struct def *d)
{
    push_activity(L, d->name, d->kind == DEF_LOCAL_ACTIVITY, 2);
    return 1;
}

static struct activity *check_activity(lua_State *L)
{
    return luaL_checkudata(L, 1, ACTIVITY_CLASS);
}

enum wf_cancel_type api_check_cancel(lua_State *L, int options, const char *fname, bool child)
{
    struct str s;
    if (!api_opt_str(L, options, "cancel", &s) || str_eqz(s, "try")) return CANCEL_TRY;
    if (str_eqz(s, "wait")) return CANCEL_WAIT;
    if (str_eqz(s, "abandon")) return CANCEL_ABANDON;
    if (child && str_eqz(s, "wait_requested")) return CANCEL_WAIT_REQUESTED;
    luaL_error(L, "%s: cancel is \"try\", \"wait\"%s or \"abandon\"", fname,
               child ? ", \"wait_requested\"" : "");
    return CANCEL_TRY;
}

static void read_options(lua_State *L, int t, struct wf_activity_opts *o, const char *fname)
{
    struct wf_run *r = run_of(L);
    struct str s;
    api_opt_duration(L, t, "timeout", fname, &o->start_to_close_ns);
    api_opt_duration(L, t, "schedule_to_close", fname, &o->schedule_to_close_ns);
    if (o->start_to_close_ns <= 0 && o->schedule_to_close_ns <= 0)
        luaL_error(L,
                   "%s: an activity needs a timeout (of one attempt) or schedule_to_close: "
                   "ml.activity(name, { timeout = \"1m\" }, ...)",
                   fname);
    if (o->local) {
        api_opt_duration(L, t, "retry_threshold", fname, &o->retry_threshold_ns);
    } else {
        api_opt_duration(L, t, "schedule_to_start", fname, &o->schedule_to_start_ns);
        api_opt_duration(L, t, "heartbeat", fname, &o->heartbeat_ns);
        if (api_opt_str(L, t, "task_queue", &s)) o->task_queue = api_out(L, s);
    }
    if (api_opt_str(L, t, "id", &s)) o->id = api_out(L, s);
    if (api_opt_str(L, t, "summary", &s)) o->summary = api_out(L, s);
    o->cancel = api_check_cancel(L, t, fname, false);
    lua_getfield(L, t, "retry");
    if (!lua_isnil(L, -1)) o->retry_policy = api_check_retry(L, -1, &r->out_arena, fname);
    lua_pop(L, 1);
}

/* Schedules with the arguments from 2 on; the future's id. */
static uint64_t schedule(lua_State *L)
{
    struct activity *a = check_activity(L);
    const char *name = lua_pushfstring(L, "%s", a->name.p);
    lua_insert(L, 1); /* keeps the name alive; the activity is at 2 */
    struct wf_run *r = api_act(L, name);
    api_checkpoint(L);
    struct wf_activity_opts o = {.type = a->name, .local = a->local};
    int n = lua_gettop(L) - 2;
    o.input = api_payloads(L, 3, n, "arguments");
    lua_getiuservalue(L, 2, 1);
    read_options(L, lua_gettop(L), &o, name);
    lua_pop(L, 1);
    struct future_box *b =
        api_future(L, a->local ? WF_PENDING_LOCAL : WF_PENDING_ACTIVITY, a->name);
    struct err e = {0};
    uint64_t id = b->id;
    if (wf_op_activity(r, &o, id, &e) != 0) {
        future_disown(b);
        wf_future_fail(r, id, NULL, false);
        wf_future_release(r, id);
        api_error(L, &e, name);
    }
    return id;
}

static int activity_call(lua_State *L)
{
    return api_await_op(L, schedule(L));
}

static int activity_async(lua_State *L)
{
    api_push_future(L, schedule(L));
    return 1;
}

static int activity_with(lua_State *L)
{
    struct activity *a = check_activity(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    api_check_options(L, 2, a->local ? "local_activity" : "activity", "activity:with");
    lua_settop(L, 2);
    lua_newtable(L);
    lua_getiuservalue(L, 1, 1);
    for (int from = 4; from >= 2; from -= 2) {
        for (lua_pushnil(L); lua_next(L, from);) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, 3);
        }
    }
    push_activity(L, a->name, a->local, 3);
    return 1;
}

static int activity_inline(lua_State *L)
{
    struct activity *a = check_activity(L);
    return luaL_error(L,
                      "%s:inline(...) would run its body here, and a workflow never does I/O; call "
                      "it as %s(...), which is durable",
                      a->name.p, a->name.p);
}

static int activity_tostring(lua_State *L)
{
    struct activity *a = check_activity(L);
    lua_pushfstring(L, "%s %s", a->local ? "local activity" : "activity", a->name.p);
    return 1;
}

void api_open_activity(lua_State *L)
{
    static const luaL_Reg methods[] = {{"async", activity_async},
                                       {"with", activity_with},
                                       {"inline", activity_inline},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {
        {"__call", activity_call}, {"__tostring", activity_tostring}, {NULL, NULL}};
    api_class(L, "activity", methods, meta);
}
