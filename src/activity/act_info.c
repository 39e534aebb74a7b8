/* What an activity says about itself: ml.info, heartbeats, logs, failures, completion later, uuid
 * and random. */
#include "activity/act_internal.h"

static void set_str(lua_State *L, const char *key, struct str s)
{
    if (!s.p) return;
    lua_pushlstring(L, s.p, s.n);
    lua_setfield(L, -2, key);
}

static void set_time(lua_State *L, const char *key, int64_t ns)
{
    if (ns <= 0) return;
    act_push_time(L, ns);
    lua_setfield(L, -2, key);
}

static struct act_call_state *activity(lua_State *L, const char *fname)
{
    struct act_call_state *c = act_current(L);
    if (!c || c->kind != CALL_ACTIVITY)
        act_misuse(L, "%s belongs to an activity; there is none here", fname);
    return c;
}

static int ml_info(lua_State *L)
{
    struct act_call_state *c = act_current(L);
    lua_newtable(L);
    if (!c || c->kind != CALL_ACTIVITY) {
        set_str(L, "kind",
                c && c->kind == CALL_SETUP     ? STR("setup")
                : c && c->kind == CALL_REQUEST ? STR("request")
                                               : STR("program"));
        set_str(L, "script", str_of(act_host_of(L)->path));
        return 1;
    }
    const struct act_call *i = &c->info;
    set_str(L, "kind", i->local ? STR("local_activity") : STR("activity"));
    set_str(L, "activity_id", i->activity_id);
    set_str(L, "activity_type", i->activity_type);
    set_str(L, "workflow_id", i->workflow_id);
    set_str(L, "run_id", i->run_id);
    set_str(L, "workflow_type", i->workflow_type);
    set_str(L, "task_queue", i->task_queue);
    set_str(L, "idempotency_key", i->idempotency_key);
    lua_pushinteger(L, i->attempt);
    lua_setfield(L, -2, "attempt");
    lua_pushboolean(L, i->local);
    lua_setfield(L, -2, "is_local");
    set_time(L, "scheduled_at", i->scheduled_ns);
    set_time(L, "started_at", i->started_ns);
    if (i->started_ns > 0 && i->start_to_close_ns > 0)
        set_time(L, "deadline", i->started_ns + i->start_to_close_ns);
    if (i->heartbeat_ns > 0) {
        lua_pushnumber(L, (double)i->heartbeat_ns / 1e9);
        lua_setfield(L, -2, "heartbeat_timeout");
    }
    if (i->heartbeat_details) {
        struct err e = {0};
        int n = 0;
        luaL_checkstack(L, 10 + (int)rec_count(i->heartbeat_details, T(payloads, payloads)), NULL);
        if (value_push_payloads(L, i->heartbeat_details, &n, &e) < 0)
            return act_misuse(L, "ml.info: heartbeat details: %s", e.text);
        if (n > 1) {
            lua_createtable(L, n, 0);
            lua_insert(L, -n - 1);
            for (int k = n; k > 0; k--)
                lua_rawseti(L, -k - 1, k);
            value_set_list(L, -1);
        }
        if (n > 0) lua_setfield(L, -2, "heartbeat_details");
    }
    return 1;
}

static int ml_heartbeat(lua_State *L)
{
    struct act_call_state *c = activity(L, "ml.heartbeat");
    int n = lua_gettop(L);
    if (n > ACT_NO_RESULTS) return act_misuse(L, "ml.heartbeat: too many details");
    for (int i = 1; i <= n; i++)
        if (act_resolve_handles(L, i)) lua_replace(L, i);
    act_call_beat(c, L, 1, n);
    return 0;
}

/* ---- log ---- */

static int log_any(lua_State *L, int level, const char *fname)
{
    struct act_host *h = act_host_of(L);
    struct act_call_state *c = act_current(L);
    struct str text, fields = {NULL, 0};
    luaL_checkany(L, 1);
    lua_settop(L, 2);
    text.p = value_push_text(L, 1, &text.n);
    if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
    lua_newtable(L);
    int all = lua_gettop(L);
    if (lua_istable(L, 2))
        for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
            lua_pushvalue(L, -2);
            if (act_is_secret(L, -2) || act_is_env(L, -2))
                value_push_text(L, -2, NULL);
            else
                lua_pushvalue(L, -2);
            lua_rawset(L, all);
        }
    if (c && c->kind == CALL_ACTIVITY) {
        lua_pushvalue(L, all);
        set_str(L, "activity", c->info.activity_type);
        set_str(L, "workflow_id", c->info.workflow_id);
        lua_pushinteger(L, c->info.attempt);
        lua_setfield(L, -2, "attempt");
        lua_pop(L, 1);
    }
    struct buf *b = act_buf(L, 1u << 20);
    struct err e = {0};
    if (value_encode(L, all, b, "fields", &e) < 0) return act_misuse(L, "%s: %s", fname, e.text);
    if (b->n > 2) fields = buf_str(b);
    log_write(h->env.log, level, text, fields);
    return 0;
}
static int log_debug(lua_State *L)
{
    return log_any(L, LOG_DEBUG, "ml.log.debug");
}
static int log_info(lua_State *L)
{
    return log_any(L, LOG_INFO, "ml.log.info");
}
static int log_warn(lua_State *L)
{
    return log_any(L, LOG_WARN, "ml.log.warn");
}
static int log_error(lua_State *L)
{
    return log_any(L, LOG_ERROR, "ml.log.error");
}

static int ml_fail(lua_State *L)
{
    return failure_raise(L);
}

/* ---- completion by token ---- */

static int ml_complete_later(lua_State *L)
{
    struct act_call_state *c = activity(L, "ml.complete_later");
    if (c->info.local || !c->info.token.n)
        return act_misuse(
            L,
            "ml.complete_later: this activity has no token (a local activity ends where it runs)");
    c->async_completion = true;
    lua_pushlstring(L, c->info.token.p, c->info.token.n);
    return 1;
}

static int request_push(lua_State *L, struct act_op *op)
{
    struct act_request *r = (struct act_request *)op;
    if (r->code == 0) return 0;
    struct err e = {.code = r->code};
    err_set(&e, r->code, STR_FMT, STR_ARG(buf_str(&r->answer)));
    if (r->code == ERR_STALE)
        return act_fail(L, "NotFound", false,
                        "ml.complete: the activity is not waiting any more: %s", e.text);
    return act_fail_err(L, "ml.complete", &e);
}

static int send_request(lua_State *L, struct buf *json)
{
    if (!act_host_of(L)->env.request) return act_misuse(L, "ml.complete: there is no engine here");
    return act_ask_host(L, STR("complete_activity"), json, request_push);
}

/* ml.complete(token, value): `json` holds the value's JSON text. */
static int ml_complete(lua_State *L)
{
    struct str token = act_check_str(L, 1);
    act_act(L, "ml.complete");
    lua_settop(L, 2);
    struct buf *value = act_buf(L, VALUE_BYTES_MAX), *json = act_buf(L, 2 * VALUE_BYTES_MAX);
    if (lua_isnil(L, 2))
        buf_puts(value, "null");
    else
        act_encode(L, 2, value, "value");
    buf_puts(json, "{\"token\":");
    buf_put_json(json, token);
    buf_puts(json, ",\"json\":");
    buf_put_json(json, buf_str(value));
    if (buf_putc(json, '}') < 0) return act_misuse(L, "ml.complete: the value is too large");
    return send_request(L, json);
}

/* ml.complete_failed(token, failure | message, options as ml.fail): `failure` holds {type, message,
 * retryable, details} as JSON text. */
static int ml_complete_failed(lua_State *L)
{
    struct str token = act_check_str(L, 1);
    act_act(L, "ml.complete_failed");
    lua_settop(L, 3);
    lua_newtable(L);
    static const char *const fields[] = {"type", "message", "retryable", "details"};
    for (size_t i = 0; i < 4; i++) {
        lua_pushnil(L);
        if (lua_istable(L, 2))
            lua_getfield(L, 2, fields[i]);
        else if (lua_istable(L, 3))
            lua_getfield(L, 3, fields[i]);
        else
            lua_pushnil(L);
        if (i == 1 && !lua_istable(L, 2)) {
            lua_pop(L, 1);
            value_push_text(L, 2, NULL);
        }
        if (i == 0 && lua_isnil(L, -1)) {
            lua_pop(L, 1);
            lua_pushliteral(L, "Failure");
        }
        lua_setfield(L, 4, fields[i]);
        lua_pop(L, 1);
    }
    struct buf *value = act_buf(L, 1u << 20), *json = act_buf(L, 4u << 20);
    act_encode(L, 4, value, "failure");
    buf_puts(json, "{\"token\":");
    buf_put_json(json, token);
    buf_puts(json, ",\"failure\":");
    buf_put_json(json, buf_str(value));
    if (buf_putc(json, '}') < 0)
        return act_misuse(L, "ml.complete_failed: the failure is too large");
    return send_request(L, json);
}

/* ---- chance ---- */

static int ml_uuid(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    char text[37];
    if (uuid_v7(h->env.entropy, clock_wall(h->env.clock), text) < 0)
        return act_misuse(L, "ml.uuid: there is no randomness");
    lua_pushstring(L, text);
    return 1;
}

static int ml_random(lua_State *L)
{
    struct rng *r = &act_host_of(L)->rng;
    lua_Integer low = 1, high;
    if (lua_gettop(L) == 0) {
        lua_pushnumber(L, rng_unit(r));
        return 1;
    }
    if (lua_gettop(L) == 1)
        high = luaL_checkinteger(L, 1);
    else
        low = luaL_checkinteger(L, 1), high = luaL_checkinteger(L, 2);
    luaL_argcheck(L, low <= high, lua_gettop(L), "the interval is empty");
    uint64_t span = (uint64_t)high - (uint64_t)low;
    uint64_t v = span == UINT64_MAX ? rng_next(r) : rng_below(r, span + 1);
    lua_pushinteger(L, (lua_Integer)((uint64_t)low + v));
    return 1;
}

static int ml_now(lua_State *L)
{
    act_push_time(L, act_now(act_host_of(L)));
    return 1;
}

void act_open_info(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"info", ml_info},         {"heartbeat", ml_heartbeat},
        {"fail", ml_fail},         {"complete_later", ml_complete_later},
        {"complete", ml_complete}, {"complete_failed", ml_complete_failed},
        {"uuid", ml_uuid},         {"random", ml_random},
        {"now", ml_now},           {NULL, NULL}};
    static const luaL_Reg log[] = {{"debug", log_debug},
                                   {"info", log_info},
                                   {"warn", log_warn},
                                   {"error", log_error},
                                   {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    luaL_newlib(L, log);
    lua_setfield(L, -2, "log");
}
