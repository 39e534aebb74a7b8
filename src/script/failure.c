/* Failure records <-> Lua tables, nested as Temporal nests them. Keeps true: pushing a record and
 * encoding the table again gives the same kind of failure with the same causes; any other error
 * value becomes an application failure "LuaError". */
#include "base/mem.h"
#include "script/sandbox.h"
#include "script/value.h"
#include <lauxlib.h>

#define CAUSES_MAX 20
#define TEXT_MAX (8 * 1024)

static const char key_failure;

enum kind { APPLICATION, TIMEOUT, CANCELED, TERMINATED, SERVER, RESET, ACTIVITY, CHILD, N_KINDS };
static const char *const kind_names[N_KINDS] = {"application", "timeout", "canceled", "terminated",
                                                "server",      "reset",   "activity", "child"};
static const int kind_tags[N_KINDS] = {
    T(failure, application_failure_info), T(failure, timeout_failure_info),
    T(failure, canceled_failure_info),    T(failure, terminated_failure_info),
    T(failure, server_failure_info),      T(failure, reset_workflow_failure_info),
    T(failure, activity_failure_info),    T(failure, child_workflow_execution_failure_info)};
static const char *const timeout_names[] = {"", "start_to_close", "schedule_to_start",
                                            "schedule_to_close", "heartbeat"};
static const char *const retry_names[] = {"",
                                          "in_progress",
                                          "non_retryable_failure",
                                          "timeout",
                                          "maximum_attempts_reached",
                                          "retry_policy_not_set",
                                          "internal_server_error",
                                          "cancel_requested"};

/* ---- the metatable ---- */
static int failure_tostring(lua_State *L)
{
    luaL_Buffer b;
    lua_settop(L, 1);
    luaL_buffinit(L, &b);
    lua_pushvalue(
        L, 1); /* keeps the walk's place below the buffer's reach: index 2 is replaced in place */
    lua_insert(L, 2);
    for (int i = 0; i < CAUSES_MAX && lua_type(L, 2) == LUA_TTABLE; i++) {
        if (i > 0) luaL_addstring(&b, "; caused by ");
        lua_pushliteral(L, "type");
        if (lua_rawget(L, 2) == LUA_TSTRING) {
            luaL_addvalue(&b);
            luaL_addstring(&b, ": ");
        } else {
            lua_pop(L, 1);
        }
        lua_pushliteral(L, "message");
        if (lua_rawget(L, 2) == LUA_TSTRING)
            luaL_addvalue(&b);
        else
            lua_pop(L, 1);
        lua_pushliteral(L, "cause");
        lua_rawget(L, 2);
        lua_replace(L, 2);
    }
    luaL_pushresult(&b);
    return 1;
}

static void set_metatable(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key_failure) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_createtable(L, 0, 3);
        lua_pushcfunction(L, failure_tostring);
        lua_setfield(L, -2, "__tostring");
        lua_pushliteral(L, "failure");
        lua_setfield(L, -2, "__name");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key_failure);
    }
    lua_setmetatable(L, -2);
}

bool failure_is(lua_State *L, int idx)
{
    if (lua_type(L, idx) != LUA_TTABLE || !lua_getmetatable(L, idx)) return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_failure);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* ---- record -> table ---- */
static void set_str(lua_State *L, const char *name, struct str s)
{
    if (!s.p || !s.n) return;
    lua_pushlstring(L, s.p, s.n);
    lua_setfield(L, -2, name);
}

static void set_int(lua_State *L, const char *name, int64_t v)
{
    if (!v) return;
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}

static void set_word(lua_State *L, const char *name, const char *const *words, size_t n, int64_t v)
{
    if (v > 0 && (size_t)v < n) set_str(L, name, str_of(words[v]));
}

/* One value as itself, several as a list; what cannot be decoded as ml.bytes. */
static void set_details(lua_State *L, const char *name, const struct rec *payloads)
{
    const struct rec_field *f = NULL;
    lua_Integer n = 0;
    size_t count = rec_count(payloads, T(payloads, payloads));
    if (count == 0) return;
    if (count > 1) {
        lua_newtable(L);
        value_set_list(L, -1);
    }
    while ((f = rec_each(payloads, T(payloads, payloads), f))) {
        struct err e;
        if (value_push_payload(L, f->v.m, &e)) value_push_bytes(L, payload_data(f->v.m));
        if (count == 1) break;
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            value_push_null(L);
        }
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, -2, name);
}

static enum kind kind_of(const struct rec *f)
{
    for (int i = 0; i < N_KINDS; i++)
        if (rec_has(f, kind_tags[i])) return (enum kind)i;
    return APPLICATION;
}

static void push_info(lua_State *L, enum kind kind, const struct rec *i)
{
    const struct rec *we;
    switch (kind) {
    case APPLICATION:
        set_details(L, "details", rec_msg(i, T(application_failure_info, details)));
        if (rec_int(i, T(application_failure_info, next_retry_delay)) > 0) {
            lua_pushnumber(L,
                           (double)rec_int(i, T(application_failure_info, next_retry_delay)) / 1e9);
            lua_setfield(L, -2, "retry_after");
        }
        break;
    case TIMEOUT:
        set_word(L, "timeout_type", timeout_names, 5,
                 rec_int(i, T(timeout_failure_info, timeout_type)));
        set_details(L, "details", rec_msg(i, T(timeout_failure_info, last_heartbeat_details)));
        break;
    case CANCELED:
        set_details(L, "details", rec_msg(i, T(canceled_failure_info, details)));
        break;
    case RESET:
        set_details(L, "details",
                    rec_msg(i, T(reset_workflow_failure_info, last_heartbeat_details)));
        break;
    case ACTIVITY:
        set_str(
            L, "activity_type",
            rec_str(rec_msg(i, T(activity_failure_info, activity_type)), T(activity_type, name)));
        set_str(L, "activity_id", rec_str(i, T(activity_failure_info, activity_id)));
        set_str(L, "identity", rec_str(i, T(activity_failure_info, identity)));
        set_int(L, "scheduled_event_id", rec_int(i, T(activity_failure_info, scheduled_event_id)));
        set_int(L, "started_event_id", rec_int(i, T(activity_failure_info, started_event_id)));
        set_word(L, "retry_state", retry_names, 8,
                 rec_int(i, T(activity_failure_info, retry_state)));
        break;
    case CHILD:
        we = rec_msg(i, T(child_workflow_execution_failure_info, workflow_execution));
        set_str(L, "workflow_id", rec_str(we, T(workflow_execution, workflow_id)));
        set_str(L, "run_id", rec_str(we, T(workflow_execution, run_id)));
        set_str(L, "workflow_type",
                rec_str(rec_msg(i, T(child_workflow_execution_failure_info, workflow_type)),
                        T(workflow_type, name)));
        set_int(L, "initiated_event_id",
                rec_int(i, T(child_workflow_execution_failure_info, initiated_event_id)));
        set_int(L, "started_event_id",
                rec_int(i, T(child_workflow_execution_failure_info, started_event_id)));
        set_word(L, "retry_state", retry_names, 8,
                 rec_int(i, T(child_workflow_execution_failure_info, retry_state)));
        break;
    default:
        break;
    }
}

static void push_failure(lua_State *L, const struct rec *f, int depth)
{
    enum kind kind = kind_of(f);
    const struct rec *cause = rec_msg(f, T(failure, cause));
    luaL_checkstack(L, 12, NULL);
    lua_createtable(L, 0, 6);
    set_str(L, "type", failure_type(f));
    lua_pushlstring(L, rec_str(f, T(failure, message)).p ? rec_str(f, T(failure, message)).p : "",
                    rec_str(f, T(failure, message)).n);
    lua_setfield(L, -2, "message");
    lua_pushboolean(L, failure_retryable(f, NULL));
    lua_setfield(L, -2, "retryable");
    set_str(L, "kind", str_of(kind_names[kind]));
    set_str(L, "stack", rec_str(f, T(failure, stack_trace)));
    set_str(L, "source", rec_str(f, T(failure, source)));
    push_info(L, kind, rec_msg(f, kind_tags[kind]));
    if (cause && depth < CAUSES_MAX) {
        push_failure(L, cause, depth + 1);
        lua_setfield(L, -2, "cause");
    }
    set_metatable(L);
}

void failure_push(lua_State *L, const struct rec *failure)
{
    push_failure(L, failure, 0);
}

/* ---- table -> record (under lua_pcall) ---- */
struct build {
    struct arena *a;
    struct str stack;
    struct rec *out;
    bool was_failure;
};

/* Text that may stand in a history: valid UTF-8, no control bytes but line ends and tabs, 8 KiB at
 * most. */
static struct str clean(struct arena *a, struct str s)
{
    struct buf b;
    buf_init(&b, TEXT_MAX * 4 + 64);
    for (size_t i = 0; i < s.n && b.n < TEXT_MAX;) {
        size_t left = s.n - i, ok;
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c < 0x7f) {
            buf_putc(&b, s.p[i++]);
            continue;
        }
        ok = c >= 0x80 ? str_utf8_valid(str_make(s.p + i, left > 4 ? 4 : left)) : 0;
        if (ok > 0) { /* one character */
            size_t n = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
            buf_put(&b, s.p + i, n);
            i += n;
        } else if (c == '\n' || c == '\t') {
            buf_putc(&b, s.p[i++]);
        } else {
            buf_printf(&b, "\\x%02x", c);
            i++;
        }
    }
    if (b.n >= TEXT_MAX) buf_puts(&b, "...");
    if (b.code) a->failed = true;
    struct str out = arena_str(a, buf_str(&b));
    buf_free(&b);
    return out;
}

static struct str get_str(lua_State *L, struct arena *a, int t, const char *name)
{
    struct str s = {NULL, 0};
    lua_pushstring(L, name);
    if (lua_rawget(L, t) == LUA_TSTRING) {
        size_t n;
        const char *p = lua_tolstring(L, -1, &n);
        s = clean(a, str_make(p, n));
    }
    lua_pop(L, 1);
    return s;
}

static int64_t get_int(lua_State *L, int t, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, t);
    int64_t v = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
    lua_pop(L, 1);
    return v;
}

static int64_t get_word(lua_State *L, struct arena *a, int t, const char *name,
                        const char *const *words, int n)
{
    struct str s = get_str(L, a, t, name);
    for (int i = 1; s.p && i < n; i++)
        if (str_eqz(s, words[i])) return i;
    return 0;
}

static struct rec *get_details(lua_State *L, struct arena *a, int t)
{
    struct rec *out = NULL;
    struct err e;
    lua_pushliteral(L, "details");
    if (lua_rawget(L, t) != LUA_TNIL && value_to_payloads(L, -1, 1, a, &out, "details", &e)) {
        lua_pushfstring(L, "details left out: %s", e.text);
        if (value_to_payloads(L, -1, 1, a, &out, "details", &e)) out = NULL;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return out;
}

static bool get_bool(lua_State *L, int t, const char *name, bool dflt)
{
    lua_pushstring(L, name);
    bool v = lua_rawget(L, t) == LUA_TBOOLEAN ? lua_toboolean(L, -1) : dflt;
    lua_pop(L, 1);
    return v;
}

static void build_application(lua_State *L, struct arena *a, int t, struct rec *i)
{
    rec_set_str(i, T(application_failure_info, type), get_str(L, a, t, "type"));
    rec_set_int(i, T(application_failure_info, non_retryable), !get_bool(L, t, "retryable", true));
    rec_set_msg(i, T(application_failure_info, details), get_details(L, a, t));
    lua_pushliteral(L, "retry_after");
    if (lua_rawget(L, t) == LUA_TNUMBER) {
        double s = lua_tonumber(L, -1);
        if (s > 0 && s < 3e9)
            rec_set_int(i, T(application_failure_info, next_retry_delay), (int64_t)(s * 1e9));
    }
    lua_pop(L, 1);
}

static void build_info(lua_State *L, struct arena *a, int t, enum kind kind, struct rec *i)
{
    struct rec *we;
    switch (kind) {
    case APPLICATION:
        build_application(L, a, t, i);
        break;
    case TIMEOUT:
        rec_set_int(i, T(timeout_failure_info, timeout_type),
                    get_word(L, a, t, "timeout_type", timeout_names, 5));
        rec_set_msg(i, T(timeout_failure_info, last_heartbeat_details), get_details(L, a, t));
        break;
    case CANCELED:
        rec_set_msg(i, T(canceled_failure_info, details), get_details(L, a, t));
        break;
    case SERVER:
        rec_set_int(i, T(server_failure_info, non_retryable), !get_bool(L, t, "retryable", true));
        break;
    case RESET:
        rec_set_msg(i, T(reset_workflow_failure_info, last_heartbeat_details),
                    get_details(L, a, t));
        break;
    case ACTIVITY:
        rec_set_str(rec_sub(i, T(activity_failure_info, activity_type)), T(activity_type, name),
                    get_str(L, a, t, "activity_type"));
        rec_set_str(i, T(activity_failure_info, activity_id), get_str(L, a, t, "activity_id"));
        rec_set_str(i, T(activity_failure_info, identity), get_str(L, a, t, "identity"));
        rec_set_int(i, T(activity_failure_info, scheduled_event_id),
                    get_int(L, t, "scheduled_event_id"));
        rec_set_int(i, T(activity_failure_info, started_event_id),
                    get_int(L, t, "started_event_id"));
        rec_set_int(i, T(activity_failure_info, retry_state),
                    get_word(L, a, t, "retry_state", retry_names, 8));
        break;
    case CHILD:
        we = rec_sub(i, T(child_workflow_execution_failure_info, workflow_execution));
        rec_set_str(we, T(workflow_execution, workflow_id), get_str(L, a, t, "workflow_id"));
        rec_set_str(we, T(workflow_execution, run_id), get_str(L, a, t, "run_id"));
        rec_set_str(rec_sub(i, T(child_workflow_execution_failure_info, workflow_type)),
                    T(workflow_type, name), get_str(L, a, t, "workflow_type"));
        rec_set_int(i, T(child_workflow_execution_failure_info, initiated_event_id),
                    get_int(L, t, "initiated_event_id"));
        rec_set_int(i, T(child_workflow_execution_failure_info, started_event_id),
                    get_int(L, t, "started_event_id"));
        rec_set_int(i, T(child_workflow_execution_failure_info, retry_state),
                    get_word(L, a, t, "retry_state", retry_names, 8));
        break;
    default:
        break;
    }
}

static struct rec *build_any(lua_State *L, struct build *b, int idx, int depth);

static struct rec *build_table(lua_State *L, struct build *b, int t, int depth)
{
    struct arena *a = b->a;
    struct rec *f = rec_new(a, &rec_type_failure);
    struct str name = get_str(L, a, t, "kind"), stack = get_str(L, a, t, "stack"),
               source = get_str(L, a, t, "source");
    enum kind kind = APPLICATION;
    for (int i = 0; i < N_KINDS; i++)
        if (str_eqz(name, kind_names[i])) kind = (enum kind)i;
    rec_set_str(f, T(failure, message), get_str(L, a, t, "message"));
    rec_set_str(f, T(failure, source), source.p ? source : STR("moonloop"));
    if (stack.p) rec_set_str(f, T(failure, stack_trace), stack);
    build_info(L, a, t, kind, rec_sub(f, kind_tags[kind]));
    lua_pushliteral(L, "cause");
    if (lua_rawget(L, t) != LUA_TNIL && depth < CAUSES_MAX)
        rec_set_msg(f, T(failure, cause), build_any(L, b, lua_gettop(L), depth + 1));
    lua_pop(L, 1);
    return f;
}

/* The text of a plain error value on the stack top of what is left there. */
static struct str error_text(lua_State *L, struct arena *a, int idx)
{
    struct str s = {NULL, 0};
    if (lua_type(L, idx) == LUA_TTABLE && !luaL_getmetafield(L, idx, "__tostring")) {
        s = get_str(L, a, idx, "message");
        if (s.p) return s;
        struct buf b;
        struct err e;
        buf_init(&b, TEXT_MAX);
        if (value_encode(L, idx, &b, "error", &e) == 0) s = clean(a, buf_str(&b));
        buf_free(&b);
        if (s.p) return s;
        return arena_str(a, STR("an error that is a table"));
    }
    size_t n;
    const char *p = value_push_text(L, idx, &n);
    s = clean(a, str_make(p, n));
    lua_pop(L, 1);
    return s;
}

/* {type = ..., message = ...}: a cause may be written down as a failure is. */
static bool reads_as_failure(lua_State *L, int idx)
{
    if (!lua_istable(L, idx)) return false;
    if (lua_getmetatable(L, idx)) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushliteral(L, "type");
    bool typed = lua_rawget(L, idx) == LUA_TSTRING;
    lua_pushliteral(L, "message");
    bool told = lua_rawget(L, idx) == LUA_TSTRING;
    lua_pop(L, 2);
    return typed && told;
}

static struct rec *build_any(lua_State *L, struct build *b, int idx, int depth)
{
    luaL_checkstack(L, 8, NULL);
    if (failure_is(L, idx) || (depth > 0 && reads_as_failure(L, idx)))
        return build_table(L, b, idx, depth);
    struct str text = lua_isnil(L, idx) ? arena_str(b->a, STR("nil")) : error_text(L, b->a, idx);
    struct rec *f = failure_app(b->a, STR("LuaError"), text, false, NULL, NULL);
    rec_set_str(f, T(failure, source), STR("moonloop"));
    return f;
}

static int protected_build(lua_State *L)
{
    struct build *b = lua_touserdata(L, 1);
    b->was_failure = failure_is(L, 2);
    b->out = build_any(L, b, 2, 0);
    return 0;
}

int failure_from_lua(lua_State *L, int idx, struct arena *a, struct str stack_trace,
                     struct rec **out, bool *was_failure)
{
    struct build b = {.a = a, .stack = stack_trace};
    if (!lua_checkstack(L, 5)) return ERR_NOMEM;
    idx = lua_absindex(L, idx);
    lua_pushcfunction(L, protected_build);
    lua_pushlightuserdata(L, &b);
    lua_pushvalue(L, idx);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        /* a __tostring that raises, or no memory: the failure still says that there was an error */
        lua_pop(L, 1);
        b.out = failure_app(a, STR("LuaError"), STR("an error whose text could not be made"), false,
                            NULL, NULL);
    }
    if (b.out && stack_trace.n && !rec_has(b.out, T(failure, stack_trace)))
        rec_set_str(b.out, T(failure, stack_trace), clean(a, stack_trace));
    if (!b.out || arena_failed(a)) return ERR_NOMEM;
    *out = b.out;
    if (was_failure) *was_failure = b.was_failure;
    return 0;
}

/* ---- ml.fail ---- */
int failure_raise(lua_State *L)
{
    luaL_checkany(L, 1);
    api_check_options(L, 2, "fail", "ml.fail");
    lua_settop(L, 2);
    if (failure_is(L, 1) && lua_isnil(L, 2)) {
        lua_settop(L, 1);
        return lua_error(L);
    }
    value_push_text(L, 1, NULL);
    lua_replace(L, 1);
    lua_createtable(L, 0, 6);
    lua_pushvalue(L, 1);
    lua_setfield(L, 3, "message");
    lua_pushliteral(L, "application");
    lua_setfield(L, 3, "kind");
    lua_pushliteral(L, "Failure");
    lua_setfield(L, 3, "type");
    lua_pushboolean(L, 1);
    lua_setfield(L, 3, "retryable");
    if (lua_istable(L, 2)) {
        static const char *const fields[] = {"type", "retryable", "details", "cause"};
        for (size_t i = 0; i < 4; i++)
            if (lua_getfield(L, 2, fields[i]) != LUA_TNIL)
                lua_setfield(L, 3, fields[i]);
            else
                lua_pop(L, 1);
        int64_t ns;
        if (api_opt_duration(L, 2, "retry_after", "ml.fail", &ns)) {
            lua_pushnumber(L, (double)ns / 1e9);
            lua_setfield(L, 3, "retry_after");
        }
    }
    set_metatable(L);
    return lua_error(L);
}
