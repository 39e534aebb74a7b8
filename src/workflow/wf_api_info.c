/* What a workflow can know and say without waiting: ml.info, logs, chance from the run's seed, memo
 * and search attributes, handles of the environment (never resolved in a run), and plain values:
 * null, list, bytes, json, time. */
#include "base/log.h"
#include "workflow/wf_script.h"

#define HANDLE_CLASS "moonloop.environment"
#define STREAM_CLASS "moonloop.random"

/* ---- ml.info ---- */

static void set_duration(lua_State *L, const char *key, int64_t ns)
{
    char text[TIME_ISO_MAX];
    if (ns <= 0) return;
    int n = duration_format(ns, text);
    lua_pushlstring(L, text, (size_t)n);
    lua_setfield(L, -2, key);
}

static void set_int(lua_State *L, const char *key, int64_t v)
{
    lua_pushinteger(L, v);
    lua_setfield(L, -2, key);
}

static void set_bool(lua_State *L, const char *key, bool v)
{
    lua_pushboolean(L, v);
    lua_setfield(L, -2, key);
}

static void set_time(lua_State *L, const char *key, int64_t ns)
{
    api_push_time(L, ns);
    lua_setfield(L, -2, key);
}

static void set_execution(lua_State *L, const char *key, const struct rec *x)
{
    if (!x || !rec_str(x, T(workflow_execution, workflow_id)).n) return;
    lua_createtable(L, 0, 2);
    api_set_str(L, "workflow_id", rec_str(x, T(workflow_execution, workflow_id)));
    api_set_str(L, "run_id", rec_str(x, T(workflow_execution, run_id)));
    lua_setfield(L, -2, key);
}

/* Pushes a copy of the run's table of memo or search attributes, made from the start's record when
 * first used. */
static void push_values(lua_State *L, int *ref, const struct rec *map, int tag, int key_tag,
                        int value_tag)
{
    struct err e = {0};
    if (*ref == LUA_NOREF) {
        lua_newtable(L);
        for (const struct rec_field *f = rec_each(map, tag, NULL); f; f = rec_each(map, tag, f)) {
            struct str key = rec_str(f->v.m, key_tag);
            lua_pushlstring(L, key.p ? key.p : "", key.n);
            if (value_push_payload(L, rec_msg(f->v.m, value_tag), &e) != 0) lua_pushnil(L);
            lua_rawset(L, -3);
        }
        *ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, *ref);
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, -3);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_remove(L, -2);
}

static void push_memo(lua_State *L, struct wf_run *r)
{
    push_values(L, &r->script->memo_ref,
                rec_msg(r->started, T(ev_workflow_execution_started, memo)), T(memo, fields),
                T(memo_fields_entry, key), T(memo_fields_entry, value));
}

static void push_search(lua_State *L, struct wf_run *r)
{
    push_values(L, &r->script->search_ref,
                rec_msg(r->started, T(ev_workflow_execution_started, search_attributes)),
                T(search_attributes, indexed_fields),
                T(search_attributes_indexed_fields_entry, key),
                T(search_attributes_indexed_fields_entry, value));
}

static void info_start(lua_State *L, const struct wf_run *r)
{
    const struct rec *st = r->started;
    struct err e = {0};
    int n = 0;
    int64_t attempt = rec_int(st, T(ev_workflow_execution_started, attempt));
    set_int(L, "attempt", attempt > 0 ? attempt : 1);
    api_set_str(L, "first_run_id",
                rec_str(st, T(ev_workflow_execution_started, first_execution_run_id)));
    api_set_str(L, "original_run_id",
                rec_str(st, T(ev_workflow_execution_started, original_execution_run_id)));
    api_set_str(L, "continued_run_id",
                rec_str(st, T(ev_workflow_execution_started, continued_execution_run_id)));
    api_set_str(L, "cron", rec_str(st, T(ev_workflow_execution_started, cron_schedule)));
    set_execution(L, "parent",
                  rec_msg(st, T(ev_workflow_execution_started, parent_workflow_execution)));
    set_execution(L, "root",
                  rec_msg(st, T(ev_workflow_execution_started, root_workflow_execution)));
    lua_createtable(L, 0, 3);
    set_duration(L, "execution",
                 rec_int(st, T(ev_workflow_execution_started, workflow_execution_timeout)));
    set_duration(L, "run", rec_int(st, T(ev_workflow_execution_started, workflow_run_timeout)));
    set_duration(L, "task", rec_int(st, T(ev_workflow_execution_started, workflow_task_timeout)));
    lua_setfield(L, -2, "timeouts");
    const struct rec *last = rec_msg(st, T(ev_workflow_execution_started, last_completion_result));
    int top = lua_gettop(L);
    luaL_checkstack(L, PAYLOAD_VALUES_MAX + 8, "too many values");
    if (last && value_push_payloads(L, last, &n, &e) == 0 && n > 0) {
        lua_pushvalue(L, top + 1);
        lua_setfield(L, top, "last_result");
    }
    lua_settop(L, top);
    const struct rec *failure = rec_msg(st, T(ev_workflow_execution_started, continued_failure));
    if (failure) {
        failure_push(L, failure);
        lua_setfield(L, -2, "last_failure");
    }
}

/* A new table each time, with what is true now. Times are ISO strings, durations like "90s", absent
 * ones nil. */
static int ml_info(lua_State *L)
{
    struct wf_run *r = api_read(L, "ml.info");
    struct wf_script *s = r->script;
    lua_createtable(L, 0, 24);
    api_set_str(L, "namespace", r->info.namespace_);
    api_set_str(L, "workflow_id", r->info.workflow_id);
    api_set_str(L, "run_id", r->info.run_id);
    api_set_str(L, "task_queue", r->info.task_queue);
    if (s->main_def) api_set_str(L, "workflow_type", s->main_def->name);
    set_time(L, "start_time", s->start_ns);
    set_time(L, "chain_start", r->chain_start_ns);
    set_int(L, "history_length", r->history_length);
    set_int(L, "history_bytes", r->history_bytes);
    set_bool(L, "continue_as_new_suggested", r->continue_as_new_suggested);
    set_bool(L, "replaying", r->replaying);
    set_bool(L, "cancel_requested", r->cancel_requested);
    info_start(L, r);
    push_memo(L, r);
    lua_setfield(L, -2, "memo");
    push_search(L, r);
    lua_setfield(L, -2, "search_attributes");
    for (const struct task *t = s->running; t; t = t->parent) {
        if (t->kind == TASK_UPDATE) {
            api_set_str(L, "update_id", t->update_id);
            api_set_str(L, "update", t->name);
        }
    }
    return 1;
}

/* ---- logs ---- */

static int log_line(lua_State *L, int level)
{
    struct wf_run *r = run_of(L);
    struct wf_script *s = r->script;
    struct err e = {0};
    struct str fields = {0};
    size_t n;
    luaL_checkany(L, 1);
    lua_settop(L, 2);
    const char *p = value_push_text(L, 1, &n);
    if (s->context == CONTEXT_TOP || r->replaying) return 0;
    if (!lua_isnoneornil(L, 2)) {
        buf_reset(&s->scratch);
        if (value_encode(L, 2, &s->scratch, "fields", &e) !=
            0) { /* a log line never fails a workflow */
            s->nomem = s->nomem || e.code == ERR_NOMEM;
            buf_reset(&s->scratch);
            buf_puts(&s->scratch, "{\"fields_error\":");
            buf_put_json(&s->scratch, str_of(e.text));
            buf_puts(&s->scratch, "}");
        }
        fields = buf_str(&s->scratch);
    }
    sandbox_charge(L, 16 + (n + fields.n) / 16);
    wf_log_add(r, level, str_make(p, n), fields);
    return 0;
}

static int log_debug(lua_State *L)
{
    return log_line(L, LOG_DEBUG);
}
static int log_info(lua_State *L)
{
    return log_line(L, LOG_INFO);
}
static int log_warn(lua_State *L)
{
    return log_line(L, LOG_WARN);
}
static int log_error(lua_State *L)
{
    return log_line(L, LOG_ERROR);
}

/* ---- chance ---- */

/* Chance of the run; inside ml.side_effect that of the task. Queries, validators and predicates may
 * not draw. */
static struct rng *chance(lua_State *L, const char *fname)
{
    struct wf_run *r = run_of(L);
    if (r->script->context == CONTEXT_SIDE_EFFECT) return &r->script->chance;
    return &api_act(L, fname)->rng;
}

/* (), (n) or (a, b), as math.random. */
static int draw(lua_State *L, struct rng *g, int first)
{
    lua_Integer low = 1, high;
    if (lua_isnoneornil(L, first)) {
        lua_pushnumber(L, rng_unit(g));
        return 1;
    }
    if (lua_isnoneornil(L, first + 1)) {
        high = luaL_checkinteger(L, first);
    } else {
        low = luaL_checkinteger(L, first);
        high = luaL_checkinteger(L, first + 1);
    }
    luaL_argcheck(L, low <= high, first, "interval is empty");
    uint64_t span = (uint64_t)high - (uint64_t)low + 1;
    uint64_t v = span ? rng_below(g, span) : rng_next(g);
    lua_pushinteger(L, (lua_Integer)((uint64_t)low + v));
    return 1;
}

static int push_uuid(lua_State *L, struct rng *g)
{
    char text[37];
    rng_uuid(g, text);
    lua_pushstring(L, text);
    return 1;
}

static int ml_uuid(lua_State *L)
{
    sandbox_charge(L, 60);
    return push_uuid(L, chance(L, "ml.uuid"));
}

#define STREAMS_MAX 1000

static struct stream *stream_get(lua_State *L, struct wf_run *r, struct str name)
{
    struct wf_script *s = r->script;
    struct stream **at = &s->streams;
    int n = 0;
    for (; *at && !str_eq((*at)->name, name); n++)
        at = &(*at)->next;
    if (*at) return *at;
    if (n >= STREAMS_MAX)
        luaL_error(L, "ml.random: the run has %d named streams already", STREAMS_MAX);
    struct str kept = script_text(r, name);
    struct str seed =
        arena_printf(&r->out_arena, STR_FMT "/" STR_FMT, STR_ARG(s->seed), STR_ARG(name));
    struct stream *st = mem_zalloc(sizeof *st);
    if (!st) {
        api_nomem(L);
        return NULL;
    }
    st->name = kept;
    rng_seed(&st->rng, seed);
    return *at = st;
}

/* ml.random(), ml.random(n), ml.random(a, b); ml.random("name") is a stream of its own, so that
 * library code that draws more or less does not move the numbers of others. */
static int ml_random(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TSTRING) return draw(L, chance(L, "ml.random"), 1);
    struct wf_run *r = api_read(L, "ml.random");
    struct stream *st = stream_get(L, r, api_str(L, 1));
    struct stream **u = lua_newuserdatauv(L, sizeof *u, 0);
    *u = st;
    luaL_setmetatable(L, STREAM_CLASS);
    return 1;
}

static struct rng *check_stream(lua_State *L, const char *fname)
{
    struct stream *st = *(struct stream **)luaL_checkudata(L, 1, STREAM_CLASS);
    api_act(L, fname);
    return &st->rng;
}

static int stream_call(lua_State *L)
{
    return draw(L, check_stream(L, "random"), 2);
}

static int stream_uuid(lua_State *L)
{
    return push_uuid(L, check_stream(L, "random:uuid"));
}

/* ---- memo and search attributes ---- */

/* Puts the table at 1 over the run's table; ml.null removes. */
static void merge_values(lua_State *L, int ref)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    for (lua_pushnil(L); lua_next(L, 1);) {
        if (value_is_null(L, -1)) {
            lua_pop(L, 1);
            lua_pushnil(L);
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_pop(L, 1);
}

/* ml.memo() reads, ml.memo{...} changes the named fields. */
static int ml_memo(lua_State *L)
{
    struct err e = {0};
    if (lua_isnoneornil(L, 1)) {
        push_memo(L, api_read(L, "ml.memo"));
        return 1;
    }
    struct wf_run *r = api_act(L, "ml.memo");
    sandbox_charge(L, 100);
    struct rec *m = api_map_payloads(L, 1, &rec_type_memo, T(memo, fields), false, "ml.memo");
    push_memo(L, r);
    if (wf_op_memo(r, m, &e) != 0) return api_error(L, &e, "ml.memo");
    merge_values(L, r->script->memo_ref);
    return 0;
}

static int ml_search_attributes(lua_State *L)
{
    struct err e = {0};
    if (lua_isnoneornil(L, 1)) {
        push_search(L, api_read(L, "ml.search_attributes"));
        return 1;
    }
    struct wf_run *r = api_act(L, "ml.search_attributes");
    sandbox_charge(L, 100);
    struct rec *m =
        api_map_payloads(L, 1, &rec_type_search_attributes, T(search_attributes, indexed_fields),
                         true, "ml.search_attributes");
    push_search(L, r);
    if (wf_op_search_attributes(r, m, &e) != 0) return api_error(L, &e, "ml.search_attributes");
    merge_values(L, r->script->search_ref);
    return 0;
}

/* ---- handles of the environment ---- */

static int new_handle(lua_State *L, const char *kind)
{
    luaL_checkstring(L, 1);
    lua_newuserdatauv(L, 1, 2);
    lua_pushfstring(L, "ml.%s(\"%s\")", kind, lua_tostring(L, 1));
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, HANDLE_CLASS);
    return 1;
}

static int ml_env(lua_State *L)
{
    return new_handle(L, "env");
}
static int ml_secret(lua_State *L)
{
    return new_handle(L, "secret");
}

static const char *handle_text(lua_State *L, int idx)
{
    lua_getiuservalue(L, idx, 1);
    return lua_isstring(L, -1) ? lua_tostring(L, -1) : "ml.oauth2{...}";
}

static int handle_tostring(lua_State *L)
{
    luaL_checkudata(L, 1, HANDLE_CLASS);
    lua_pushstring(L, handle_text(L, 1));
    return 1;
}

static int handle_resolve(lua_State *L)
{
    int idx = luaL_testudata(L, 1, HANDLE_CLASS) ? 1 : 2;
    return luaL_error(L,
                      "%s has no value in a workflow: no run depends on the environment; use it "
                      "inside an ml.activity",
                      handle_text(L, idx));
}

/* ---- time: pure arithmetic on ISO strings ---- */

static int time_parse(lua_State *L)
{
    lua_pushinteger(L, api_check_time(L, 1, "ml.time.parse"));
    return 1;
}

static int time_format(lua_State *L)
{
    api_push_time(L, api_check_time(L, 1, "ml.time.format"));
    return 1;
}

static int time_add(lua_State *L)
{
    int64_t t = api_check_time(L, 1, "ml.time.add"), d = api_check_duration(L, 2, "ml.time.add"),
            sum;
    if (__builtin_add_overflow(t, d, &sum))
        return luaL_error(L, "ml.time.add: the sum is outside " TIME_RANGE);
    api_push_time(L, sum);
    return 1;
}

/* Seconds from b to a. */
static int time_diff(lua_State *L)
{
    int64_t a = api_check_time(L, 1, "ml.time.diff"), b = api_check_time(L, 2, "ml.time.diff");
    lua_pushnumber(L, ((double)a - (double)b) / 1e9);
    return 1;
}

static int time_duration(lua_State *L)
{
    lua_pushnumber(L, (double)api_check_duration(L, 1, "ml.time.duration") / 1e9);
    return 1;
}

static int time_fields(lua_State *L)
{
    struct time_fields f;
    time_fields_utc(api_check_time(L, 1, "ml.time.fields"), &f);
    lua_createtable(L, 0, 9);
    set_int(L, "year", f.year);
    set_int(L, "month", f.month);
    set_int(L, "day", f.day);
    set_int(L, "hour", f.hour);
    set_int(L, "min", f.min);
    set_int(L, "sec", f.sec);
    set_int(L, "wday", f.wday + 1); /* as os.date: 1 is Sunday */
    set_int(L, "yday", f.yday + 1);
    set_int(L, "ns", f.ns);
    return 1;
}

static int time_now(lua_State *L)
{
    struct wf_run *r = api_read(L, "ml.time.now");
    api_push_time(L, r->script->context == CONTEXT_SIDE_EFFECT ? r->wall_ns : r->now_ns);
    return 1;
}

/* ---- the table ---- */

void api_open_values(lua_State *L)
{
    static const luaL_Reg time[] = {{"parse", time_parse},       {"format", time_format},
                                    {"add", time_add},           {"diff", time_diff},
                                    {"duration", time_duration}, {"fields", time_fields},
                                    {"now", time_now},           {NULL, NULL}};
    value_install(L, -1);
    luaL_newlib(L, time);
    lua_setfield(L, -2, "time");
}

void api_open_info(lua_State *L)
{
    static const luaL_Reg functions[] = {{"info", ml_info},
                                         {"uuid", ml_uuid},
                                         {"random", ml_random},
                                         {"memo", ml_memo},
                                         {"search_attributes", ml_search_attributes},
                                         {"env", ml_env},
                                         {"secret", ml_secret},
                                         {NULL, NULL}};
    static const luaL_Reg log[] = {{"debug", log_debug},
                                   {"info", log_info},
                                   {"warn", log_warn},
                                   {"error", log_error},
                                   {NULL, NULL}};
    static const luaL_Reg none[] = {{NULL, NULL}};
    static const luaL_Reg handle[] = {{"__tostring", handle_tostring},
                                      {"__index", handle_resolve},
                                      {"__newindex", handle_resolve},
                                      {"__concat", handle_resolve},
                                      {"__len", handle_resolve},
                                      {"__call", handle_resolve},
                                      {"__add", handle_resolve},
                                      {"__sub", handle_resolve},
                                      {"__mul", handle_resolve},
                                      {"__div", handle_resolve},
                                      {"__mod", handle_resolve},
                                      {"__unm", handle_resolve},
                                      {"__lt", handle_resolve},
                                      {"__le", handle_resolve},
                                      {NULL, NULL}};
    static const luaL_Reg stream[] = {{"uuid", stream_uuid}, {NULL, NULL}};
    static const luaL_Reg stream_meta[] = {{"__call", stream_call}, {NULL, NULL}};
    api_class(L, "environment", none, handle);
    api_class(L, "random", stream, stream_meta);
    luaL_setfuncs(L, functions, 0);
    luaL_newlib(L, log);
    lua_setfield(L, -2, "log");
}
