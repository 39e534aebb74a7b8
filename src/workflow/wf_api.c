/* The "moonloop" table of a run: opening the state, definitions at the top of a file, and what all
 * bindings share.
 *
 * A run's state loads the bundle's entry once; its top may only define. Then the registry is
 * sealed. Everything that would be I/O exists as a stand-in that raises and names the fix.
 * Names that are written in Lua (lua/moonloop) are loaded when one of them is first used. */
#include "base/locale.h"
#include "base/log.h"
#include "workflow/wf_script.h"
#include <limits.h>

#define CLASSES "moonloop.classes"
#define MEMORY_DEFAULT (64u << 20)
#define INSTRUCTIONS_DEFAULT 200000000u

/* ---- shared by the bindings ---- */

int api_error(lua_State *L, const struct err *e, const char *name)
{
    if (e->code == ERR_NOMEM) return api_nomem(L);
    return luaL_error(L, "%s: %s", name, e->text);
}

int api_nomem(lua_State *L)
{
    struct sandbox *sb = sandbox_of(L);
    if (sb->limit == LIMIT_NONE) sb->limit = LIMIT_MEMORY;
    return luaL_error(L, "not enough memory");
}

static const char *context_text(enum script_context c)
{
    switch (c) {
    case CONTEXT_TOP:
        return "the top of a file defines, it does not act: call it inside an ml.workflow function";
    case CONTEXT_QUERY:
        return "a query only reads the state of the run";
    case CONTEXT_VALIDATOR:
        return "a validator only reads the state of the run: act in the update's handler";
    case CONTEXT_PREDICATE:
        return "the predicate of ml.await only reads the state of the run";
    case CONTEXT_SIDE_EFFECT:
        return "ml.side_effect only computes a value: act outside of it";
    case CONTEXT_TASK:
        break;
    }
    return NULL;
}

struct wf_run *api_act(lua_State *L, const char *name)
{
    struct wf_run *r = run_of(L);
    const char *why = context_text(r->script->context);
    if (why) luaL_error(L, "%s: %s", name, why);
    r->op_where = api_where(L);
    return r;
}

struct wf_run *api_read(lua_State *L, const char *name)
{
    struct wf_run *r = run_of(L);
    if (r->script->context == CONTEXT_TOP) luaL_error(L, "%s: %s", name, context_text(CONTEXT_TOP));
    return r;
}

struct str api_defined(struct wf_run *r, lua_State *co)
{
    lua_Debug ar;
    lua_pushvalue(co, 1);
    lua_getinfo(co, ">S", &ar);
    if (ar.linedefined <= 0) return (struct str){0};
    return arena_printf(&r->keep, "%s:%d", ar.short_src, ar.linedefined);
}

struct str api_where(lua_State *L)
{
    struct wf_run *r = run_of(L);
    buf_reset(&r->script->scratch);
    sandbox_where(L, &r->script->scratch);
    if (r->script->scratch.code == ERR_NOMEM) r->script->nomem = true;
    return script_text(r, buf_str(&r->script->scratch));
}

struct str api_str(lua_State *L, int idx)
{
    size_t n;
    const char *p = luaL_checklstring(L, idx, &n);
    struct str s = str_make(p, n);
    if (str_utf8_valid(s) != n) luaL_argerror(L, idx, "not UTF-8 text");
    return s;
}

#define TEXT_COST 128 /* of its place in the table */

struct str script_text(struct wf_run *r, struct str t)
{
    struct wf_script *s = r->script;
    if (!t.p) return t;
    const char *known = map_get(&s->texts, t);
    if (known) return (struct str){known, t.n};
    struct sandbox *sb = &r->sandbox;
    size_t cost = t.n + TEXT_COST;
    if (sb->mem_max && (cost > sb->mem_max || sb->mem_used > sb->mem_max - cost)) {
        s->nomem = true;
        return (struct str){"", 0};
    }
    sb->mem_used += cost; /* kept as long as the run is open, so it counts as the script's memory */
    struct str kept = arena_str(&r->keep, t);
    if (!kept.p || map_set(&s->texts, kept, (void *)(uintptr_t)kept.p) != 0) s->nomem = true;
    return kept;
}

static struct str copied(lua_State *L, struct str from, struct str copy)
{
    if (from.p && !copy.p) api_nomem(L);
    return copy;
}

struct str api_keep(struct wf_run *r, lua_State *L, struct str s)
{
    return copied(L, s, arena_str(&r->keep, s));
}

struct str api_out(lua_State *L, struct str s)
{
    return copied(L, s, arena_str(&run_of(L)->out_arena, s));
}

void api_push_time(lua_State *L, int64_t ns)
{
    char text[TIME_ISO_MAX];
    int n = time_format_iso(ns, text);
    lua_pushlstring(L, text, (size_t)n);
}

void api_set_str(lua_State *L, const char *key, struct str s)
{
    if (!s.p || !s.n) return;
    lua_pushlstring(L, s.p, s.n);
    lua_setfield(L, -2, key);
}

struct rec *api_payloads(lua_State *L, int first, int n, const char *root)
{
    struct wf_run *r = run_of(L);
    struct err e = {0};
    struct rec *out = NULL;
    if (n > PAYLOAD_VALUES_MAX) luaL_error(L, "%s: more than %d values", root, PAYLOAD_VALUES_MAX);
    if (n > 0 && value_to_payloads(L, first, n, &r->out_arena, &out, root, &e) != 0) {
        if (e.code == ERR_NOMEM) api_nomem(L);
        luaL_error(L, "%s", e.text);
    }
    return out;
}

int api_push_payloads(lua_State *L, const struct rec *payloads)
{
    struct err e = {0};
    int n = 0;
    luaL_checkstack(L, PAYLOAD_VALUES_MAX + 8, "too many values");
    if (value_push_payloads(L, payloads, &n, &e) != 0)
        return e.code == ERR_NOMEM ? api_nomem(L) : luaL_error(L, "%s", e.text);
    return n;
}

static struct str attribute_type(lua_State *L, int idx)
{
    switch (lua_type(L, idx)) {
    case LUA_TBOOLEAN:
        return STR("Bool");
    case LUA_TNUMBER:
        return lua_isinteger(L, idx) ? STR("Int") : STR("Double");
    case LUA_TTABLE:
        return STR("KeywordList");
    case LUA_TSTRING: {
        int64_t ns;
        size_t n;
        const char *p = lua_tolstring(L, idx, &n);
        return n >= 20 && time_parse_iso(str_make(p, n), &ns) == 0 ? STR("Datetime")
                                                                   : STR("Keyword");
    }
    default:
        return STR("");
    }
}

/* The table at idx as a map message name -> payload, in key order. typed: with the metadata of
 * search attributes. */
struct rec *api_map_payloads(lua_State *L, int idx, const struct rec_type *type, int tag,
                             bool typed, const char *name)
{
    struct wf_run *r = run_of(L);
    struct err e = {0};
    idx = lua_absindex(L, idx);
    luaL_checktype(L, idx, LUA_TTABLE);
    struct rec *map = rec_new(&r->out_arena, type);
    /* keys sorted, so that the record never depends on the order of a table */
    lua_createtable(L, 0, 0);
    int keys = lua_gettop(L);
    lua_Integer n = 0;
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "%s: names are strings", name);
        lua_Integer at = ++n;
        for (; at > 1; at--) {
            lua_rawgeti(L, keys, at - 1);
            if (!lua_compare(L, -3, -1, LUA_OPLT)) {
                lua_pop(L, 1);
                break;
            }
            lua_rawseti(L, keys, at);
        }
        lua_pushvalue(L, -2);
        lua_rawseti(L, keys, at);
    }
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, keys, i);
        struct str key = api_out(L, api_str(L, -1));
        lua_pushvalue(L, -1);
        lua_rawget(L, idx);
        struct rec *p = NULL;
        bool unset = value_is_null(L, -1);
        if (unset) lua_pushnil(L);
        if (value_to_payload(L, -1, &r->out_arena, &p, key.p, &e) != 0) api_error(L, &e, name);
        if (typed && !unset)
            rec_map_set_str(p, T(payload, metadata), STR("type"), attribute_type(L, -1));
        struct rec *slot = rec_map_set(map, tag, key);
        struct rec *copy = rec_clone(&r->out_arena, p);
        if (slot && copy) {
            slot->first = copy->first;
            slot->last = copy->last;
        }
        lua_settop(L, keys);
    }
    lua_pop(L, 1);
    return map;
}

void api_class(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *meta)
{
    lua_pushfstring(L, "moonloop.%s", name);
    luaL_newmetatable(L, lua_tostring(L, -1));
    if (meta) luaL_setfuncs(L, meta, 0);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    int n = 0;
    while (methods[n].name)
        n++;
    lua_createtable(L, 0, n);
    luaL_setfuncs(L, methods, 0);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, CLASSES);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
    if (lua_getfield(L, -2, "__index") == LUA_TNIL) {
        lua_pop(L, 1);
        lua_setfield(L, -2, "__index");
    } else {
        lua_pop(L, 2); /* an __index of its own looks into the class */
    }
    lua_pop(L, 2);
}

void api_warn(struct wf_run *r, int level, struct str text)
{
    if (text.p) wf_log_add(r, level, text, (struct str){0});
}

const struct def *api_find_def(struct wf_script *s, enum def_kind kind, struct str name)
{
    for (size_t i = 0; i < s->n_defs; i++) {
        if (s->defs[i].kind == kind && str_eq(s->defs[i].name, name)) return &s->defs[i];
    }
    return NULL;
}

/* ---- definitions ---- */

/* Reads (name, [options], [function]); the options table and the function end up at 2 and 3. */
static void may_define(lua_State *L, const char *fname)
{
    if (run_of(L)->script->sealed)
        luaL_error(L, "%s: definitions belong to the top of the file, not inside a function",
                   fname);
}

static struct str check_name(lua_State *L, const char *fname)
{
    struct str name = api_str(L, 1);
    if (!name.n) luaL_error(L, "%s: the name is empty", fname);
    if (str_starts(name, STR("moonloop.")))
        luaL_error(L, "%s: names that begin with \"moonloop.\" are reserved", fname);
    return name;
}

static struct def *define(lua_State *L, enum def_kind kind, struct str name, const char *options,
                          const char *fname, bool needs_function)
{
    struct wf_run *r = run_of(L);
    struct wf_script *s = r->script;
    may_define(L, fname);
    lua_settop(L, 3);
    if (lua_isfunction(L, 2) && lua_isnil(L, 3)) lua_insert(L, 2);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    luaL_argcheck(L, lua_istable(L, 2), 2, "a table of options or a function expected");
    luaL_argcheck(L, lua_isfunction(L, 3) || (!needs_function && lua_isnil(L, 3)), 3,
                  "a function expected");
    api_check_options(L, 2, options, fname);
    for (size_t i = 0; i < s->n_defs; i++) {
        bool same_space = (s->defs[i].kind == DEF_WORKFLOW) == (kind == DEF_WORKFLOW);
        if (same_space && str_eq(s->defs[i].name, name))
            luaL_error(L, "%s: \"%s\" is defined twice", fname, name.p);
    }
    if (s->n_defs == s->cap_defs) {
        size_t cap = s->cap_defs ? s->cap_defs * 2 : 8;
        struct def *defs = mem_realloc(s->defs, cap * sizeof *defs);
        if (!defs) api_nomem(L);
        s->defs = defs;
        s->cap_defs = cap;
    }
    struct def d = {
        .kind = kind, .name = api_keep(r, L, name), .has_function = lua_isfunction(L, 3)};
    lua_pushvalue(L, 3);
    d.fn_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, 2);
    d.options_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    s->defs[s->n_defs] = d;
    return &s->defs[s->n_defs++];
}

/* core.host_activity(name, options): one that the host itself brings, whatever the script defines;
 * not a definition, so a run may name it at any time. */
int core_host_activity(lua_State *L)
{
    struct def d = {.kind = DEF_ACTIVITY, .name = api_keep(run_of(L), L, api_str(L, 1))};
    luaL_checktype(L, 2, LUA_TTABLE);
    api_check_options(L, 2, "activity", d.name.p);
    return api_new_activity(L, &d);
}

/* core.workflow(name, options, fn): one of moonloop's own, with a reserved name. */
int core_workflow(lua_State *L)
{
    define(L, DEF_WORKFLOW, api_str(L, 1), "workflow", lua_tostring(L, 1), true);
    return 0;
}

static int ml_workflow(lua_State *L)
{
    struct def *d =
        define(L, DEF_WORKFLOW, check_name(L, "ml.workflow"), "workflow", "ml.workflow", true);
    struct str on_error;
    if (api_opt_str(L, 2, "on_error", &on_error)) {
        d->on_error_fail = str_eqz(on_error, "fail");
        if (!d->on_error_fail && !str_eqz(on_error, "block"))
            return luaL_error(L, "ml.workflow: on_error is \"block\" or \"fail\"");
    }
    return 0;
}

static int ml_activity(lua_State *L)
{
    struct str name = check_name(L, "ml.activity");
    return api_new_activity(L, define(L, DEF_ACTIVITY, name, "activity", "ml.activity", false));
}

static int ml_local_activity(lua_State *L)
{
    struct str name = check_name(L, "ml.local_activity");
    return api_new_activity(
        L, define(L, DEF_LOCAL_ACTIVITY, name, "local_activity", "ml.local_activity", true));
}

/* core.activity(name, options): one of moonloop's own, with a reserved name. */
int core_activity(lua_State *L)
{
    return api_new_activity(
        L, define(L, DEF_ACTIVITY, api_str(L, 1), "activity", lua_tostring(L, 1), false));
}

/* core.define_tool(name, options, fn): the activity that a tool is in a run. */
int core_define_tool(lua_State *L)
{
    struct str name = check_name(L, "ml.tool");
    return api_new_activity(L, define(L, DEF_ACTIVITY, name, "activity", "ml.tool", true));
}

/* core.defining(fname): raises where nothing may be defined any more. */
int core_defining(lua_State *L)
{
    may_define(L, luaL_checkstring(L, 1));
    return 0;
}

static int ml_setup(lua_State *L)
{
    may_define(L, "ml.setup");
    luaL_checktype(L, 1, LUA_TFUNCTION);
    return 0; /* it runs only where activities run */
}

/* ---- stand-ins ---- */

static int standin_raise(lua_State *L)
{
    return luaL_error(L, "%s %s; put it into an ml.activity and call that",
                      lua_tostring(L, lua_upvalueindex(1)), lua_tostring(L, lua_upvalueindex(2)));
}

static int standin_index(lua_State *L)
{
    lua_pushfstring(L, "%s.%s", lua_tostring(L, lua_upvalueindex(1)), value_push_text(L, 2, NULL));
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushcclosure(L, standin_raise, 2);
    return 1;
}

static int oauth2_handle(lua_State *L)
{
    lua_newuserdatauv(L, 1, 0);
    luaL_setmetatable(L, "moonloop.environment");
    return 1;
}

void api_open_standins(lua_State *L)
{
    static const struct {
        const char *name, *why;
        bool function;
    } list[] = {
        {"http", "is I/O; a workflow never does I/O", false},
        {"store", "is I/O; a workflow never does I/O", false},
        {"process", "is I/O; a workflow never does I/O", false},
        {"fs", "is I/O; a workflow never does I/O", false},
        {"client", "asks about other runs, which is I/O; a workflow has children and ml.external",
         false},
        {"llm", "is I/O; a workflow never does I/O (an ml.agent's calls are recorded)", false},
        {"db", "is I/O; a workflow never does I/O", false},
        {"crypto", "is not part of a workflow (ml.uuid and ml.random are)", false},
        {"heartbeat", "belongs to an activity; a workflow has no attempts", true},
        {"complete_later", "belongs to an activity", true},
        {"accept", "is what a durable tool or a handler returns", true},
        {"commit", "is what a handler returns", true},
        {"complete", "is I/O; a workflow never does I/O", true},
        {"complete_failed", "is I/O; a workflow never does I/O", true},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (!list[i].function) {
            lua_newtable(L);
            lua_newtable(L);
        }
        lua_pushfstring(L, "ml.%s", list[i].name);
        lua_pushstring(L, list[i].why);
        if (list[i].function) {
            lua_pushcclosure(L, standin_raise, 2);
        } else {
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_pushcclosure(L, standin_raise, 2);
            lua_setfield(L, -4, "__call");
            lua_pushcclosure(L, standin_index, 2);
            lua_setfield(L, -2, "__index");
            lua_pushboolean(L, 0);
            lua_setfield(L, -2, "__metatable");
            lua_setmetatable(L, -2);
        }
        lua_setfield(L, -2, list[i].name);
    }
    lua_pushcfunction(L, oauth2_handle);
    lua_setfield(L, -2, "oauth2");
}

/* ---- the table ---- */

#ifdef ML_TESTING
static int nothing(lua_State *L)
{
    (void)L;
    return 0;
}

/* Replaces what `name` ("ml.log.info", "future:await") names by a function that does nothing. ml's
 * table is at idx. */
static void noop(lua_State *L, int idx, struct str name)
{
    if (!name.n) return;
    int top = lua_gettop(L);
    idx = lua_absindex(L, idx);
    const char *colon = memchr(name.p, ':', name.n);
    if (colon) {
        luaL_getsubtable(L, LUA_REGISTRYINDEX, CLASSES);
        lua_pushlstring(L, name.p, (size_t)(colon - name.p));
        if (lua_rawget(L, -2) == LUA_TTABLE) {
            lua_pushlstring(L, colon + 1, name.n - (size_t)(colon + 1 - name.p));
            lua_pushcfunction(L, nothing);
            lua_rawset(L, -3);
        }
    } else if (str_starts(name, STR("ml."))) {
        lua_pushvalue(L, idx);
        const char *p = name.p + 3, *end = name.p + name.n, *dot;
        while ((dot = memchr(p, '.', (size_t)(end - p))) != NULL) {
            lua_pushlstring(L, p, (size_t)(dot - p));
            if (lua_rawget(L, -2) != LUA_TTABLE) break;
            p = dot + 1;
        }
        if (!dot) {
            lua_pushlstring(L, p, (size_t)(end - p));
            lua_pushcfunction(L, nothing);
            lua_rawset(L, -3);
        }
    }
    lua_settop(L, top);
}
#endif

static void add_class(lua_State *L, const char *name)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, CLASSES);
    lua_insert(L, -2);
    lua_setfield(L, -2, name);
}

/* __index of the table: names that are written in Lua are loaded when one of them is first used. */
static int ml_index(lua_State *L)
{
    if (!builtin_load_name(L, true, add_class)) return 0;
#ifdef ML_TESTING
    noop(L, 1, run_of(L)->info.noop_name);
#endif
    lua_rawget(L, 1);
    return 1;
}

#define API_NAMES 100 /* about as many as the table gets, so that it need not grow on the way */

static int open_table(lua_State *L)
{
    static const luaL_Reg functions[] = {{"workflow", ml_workflow},
                                         {"activity", ml_activity},
                                         {"local_activity", ml_local_activity},
                                         {"setup", ml_setup},
                                         {NULL, NULL}};
    struct wf_run *r = lua_touserdata(L, 1);
    lua_settop(L, 0);
    luaL_checkstack(L, 30, NULL);
    future_register(L);
    lua_createtable(L, 0, API_NAMES);
    luaL_setfuncs(L, functions, 0);
    api_open_values(L);
    api_open_activity(L);
    api_open_child(L);
    api_open_flow(L);
    api_open_message(L);
    api_open_info(L);
    api_open_standins(L);
#ifdef ML_TESTING
    noop(L, 1, r->info.noop_name);
#endif
    lua_newtable(L);
    lua_pushcfunction(L, ml_index);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, 1);
    sandbox_preload(&r->sandbox, "moonloop");
    return 0;
}

static void print_line(void *ud, struct str line)
{
    struct wf_run *r = ud;
    if (r->script->context != CONTEXT_TOP) api_warn(r, LOG_INFO, line);
}

static int64_t script_now(void *ud)
{
    struct wf_run *r = ud;
    return r->script->context == CONTEXT_SIDE_EFFECT ? r->wall_ns : r->now_ns;
}

static uint64_t script_random(void *ud)
{
    struct wf_run *r = ud;
    return rng_next(r->script->context == CONTEXT_SIDE_EFFECT ? &r->script->chance : &r->rng);
}

/* The text of what a coroutine of the top raised, with its traceback. */
static int top_failed(struct wf_run *r, lua_State *co, struct err *e)
{
    struct rec *f = NULL;
    bool was_failure;
    struct str trace = sandbox_traceback(&r->sandbox);
    if (failure_from_lua(co, -1, &r->out_arena, trace, &f, &was_failure) != 0)
        return err_set(e, ERR_SCRIPT, "the script could not be loaded");
    return err_set(e, ERR_SCRIPT, STR_FMT, STR_ARG(rec_str(f, T(failure, message))));
}

static int load_top(struct wf_run *r, struct err *e)
{
    struct sandbox *sb = &r->sandbox;
    int rc = 0, nres = 0;
    enum sandbox_status st;
    struct sandbox_scope scope = {false};
    lua_State *co = sandbox_coroutine(sb);
    if (!co) return err_set(e, ERR_NOMEM, "out of memory");
    rc = bundle_install(r->bundle, sb, co, e);
    if (rc != 0) goto out;
    sandbox_budget_reset(sb, r->info.limits.instructions ? r->info.limits.instructions
                                                         : INSTRUCTIONS_DEFAULT);
    sb->blocking_forbidden = true;
    sb->forbidden_text = "the top of a file defines, it does not act: it cannot wait";
    sb->scope = &scope;
    do {
        sb->slice_left = UINT64_MAX / 4;
        st = sandbox_resume(sb, co, 0, &nres);
    } while (st == SANDBOX_SLICE);
    sb->slice_left = 0;
    sb->scope = NULL;
    sb->blocking_forbidden = false;
    if (st == SANDBOX_ERROR)
        rc = top_failed(r, co, e);
    else if (st == SANDBOX_LIMIT)
        rc = err_set(e, ERR_LIMIT,
                     "the top of the file used up its limit of instructions or memory");
    else if (st != SANDBOX_DONE)
        rc = err_set(e, ERR_SCRIPT, "the top of the file waited: it defines, it does not act");
out:
    sandbox_release(sb, co);
    return rc;
}

int script_open(struct wf_run *r, struct err *e)
{
    struct sandbox *sb = &r->sandbox;
    struct wf_script *s = mem_zalloc(sizeof *s);
    int rc = 0;
    if (!s) return err_set(e, ERR_NOMEM, "out of memory");
    void *locale = locale_c_enter();
    r->script = s;
    s->r = r;
    s->memo_ref = s->search_ref = LUA_NOREF;
    buf_init(&s->scratch, 64 * 1024);
    map_init(&s->texts);
    map_init(&s->channels);
    s->memory_failure = failure_app(&r->keep, STR("MemoryLimit"),
                                    STR("there was no memory left to go on"), false, NULL, NULL);
    if (arena_failed(&r->keep)) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
        goto out;
    }
    sb->mem_max = r->info.limits.memory_bytes ? r->info.limits.memory_bytes : MEMORY_DEFAULT;
    sb->instructions_max =
        r->info.limits.instructions ? r->info.limits.instructions : INSTRUCTIONS_DEFAULT;
    sb->slice_left = UINT64_MAX / 4;
    sb->ud = r;
    sb->print = print_line;
    rc = sandbox_open(sb, SANDBOX_RUN, e);
    if (rc != 0) goto out;
    s->opened = true;
    switch (script_protect(r, open_table, r)) {
    case SANDBOX_DONE:
        break;
    case SANDBOX_ERROR:
        rc = top_failed(r, sb->L, e);
        break;
    case SANDBOX_LIMIT:
    case SANDBOX_BLOCKED:
    case SANDBOX_SLICE:
        rc = err_set(e, ERR_LIMIT, "out of memory while opening the run");
        break;
    }
    if (rc == 0) rc = load_top(r, e);
    if (rc != 0) goto out;
    s->sealed = true;
    sb->now_ns = script_now;
    sb->random = script_random;
out:
    locale_c_leave(locale);
    if (rc != 0) script_close(r);
    return rc;
}

/* ---- registrations without a run ---- */

struct listing {
    struct wf_run *r;
    const struct def *d;
    struct buf json;
    int rc;
    struct err *e;
};

static int options_json(lua_State *L)
{
    struct listing *l = lua_touserdata(L, 1);
    lua_newtable(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, l->d->options_ref);
    for (lua_pushnil(L); lua_next(L, -2);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, 2);
    }
    lua_pop(L, 1);
    if (!l->d->has_function) {
        lua_pushboolean(L, 1);
        lua_setfield(L, 2, "remote");
    }
    l->rc = value_encode(L, 2, &l->json, "options", l->e);
    return 0;
}

int script_definitions(struct bundle *b,
                       void (*each)(void *ud, const char *kind, struct str name,
                                    struct str options),
                       void *ud, struct err *e)
{
    static const char *const kinds[] = {"workflow", "activity", "local_activity"};
    struct wf_run *r = mem_zalloc(sizeof *r);
    if (!r) return err_set(e, ERR_NOMEM, "out of memory");
    r->bundle = b;
    r->replaying = true;
    arena_init(&r->keep, 0);
    arena_init(&r->out_arena, 0);
    idmap_init(&r->futures);
    struct listing l = {.r = r, .e = e};
    buf_init(&l.json, 1024 * 1024);
    int rc = script_open(r, e);
    for (size_t i = 0; rc == 0 && i < r->script->n_defs; i++) {
        buf_reset(&l.json);
        l.d = &r->script->defs[i];
        if (script_protect(r, options_json, &l) != SANDBOX_DONE)
            rc = err_set(e, ERR_NOMEM, "out of memory");
        else
            rc = l.rc;
        if (rc == 0) each(ud, kinds[l.d->kind], l.d->name, buf_str(&l.json));
    }
    script_close(r);
    buf_free(&l.json);
    arena_free(&r->out_arena);
    arena_free(&r->keep);
    mem_free(r);
    return rc;
}
