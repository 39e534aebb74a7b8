/* The "moonloop" table of a host state: definitions, what decides between program and definitions,
 * guards on io and os, names that work in a workflow only. The bindings themselves lie in act_*.c,
 * one subject each. */
#include "activity/act_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- shared by the bindings ---- */

void act_where(lua_State *L, char *out, size_t n)
{
    struct buf b;
    buf_init(&b, 512);
    sandbox_where(L, &b);
    snprintf(out, n, "%s", b.p ? b.p : "?");
    buf_free(&b);
}

void act_act(lua_State *L, const char *name)
{
    struct act_host *h = act_host_of(L);
    struct act_co *co = h->current;
    if (!co || co->call->kind != CALL_LOAD || !co->st->loading) return;
    if (h->load_done || h->mode == MODE_DEFINITIONS) {
        act_misuse(L,
                   "%s: the top of a file defines, it does not act (first definition: %s); put it "
                   "into an activity, or into "
                   "ml.setup(function() ... end)",
                   name, h->def_where);
    }
    if (h->mode == MODE_PROGRAM) return;
    act_where(L, h->act_where, sizeof h->act_where);
    snprintf(h->act_name, sizeof h->act_name, "%s", name);
    if (!h->allow_program)
        act_misuse(L,
                   "%s: this script acts at its top, so it is a plain program: run it with "
                   "'moonloop run', or put this into an "
                   "activity or into ml.setup",
                   name);
    h->mode = MODE_PROGRAM;
}

int act_misuse(lua_State *L, const char *fmt, ...)
{
    char where[200];
    va_list ap;
    act_where(L, where, sizeof where);
    lua_pushfstring(L, "%s: ", where);
    va_start(ap, fmt);
    char text[1200];
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    lua_pushstring(L, text);
    lua_concat(L, 2);
    return lua_error(L);
}

int act_fail(lua_State *L, const char *type, bool retryable, const char *fmt, ...)
{
    struct act_host *h = act_host_of(L);
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    failure_push(L, failure_app(&h->scratch, arena_str(&h->scratch, str_of(type)),
                                arena_str(&h->scratch, str_of(text)), !retryable, NULL, NULL));
    return lua_error(L);
}

int act_fail_err(lua_State *L, const char *fname, const struct err *e)
{
    switch (e->code) {
    case ERR_NOTFOUND:
        return act_fail(L, "NotFound", true, "%s: %s", fname, e->text);
    case ERR_EXISTS:
        return act_fail(L, "Exists", false, "%s: %s", fname, e->text);
    case ERR_LIMIT:
        return act_fail(L, "TooLarge", false, "%s: %s", fname, e->text);
    case ERR_TIMEOUT:
        return act_fail(L, "Timeout", true, "%s: %s", fname, e->text);
    case ERR_NOMEM:
        return act_fail(L, "OutOfMemory", true, "%s: %s", fname, e->text);
    case ERR_ARG:
        return act_misuse(L, "%s: %s", fname, e->text);
    case ERR_UNSUPPORTED:
        return act_fail(L, "Unsupported", false, "%s: %s", fname, e->text);
    default:
        return act_fail(L, "IoError", true, "%s: %s", fname, e->text);
    }
}

void act_push_time(lua_State *L, int64_t ns)
{
    char text[TIME_ISO_MAX];
    int n = time_format_iso(ns, text);
    lua_pushlstring(L, text, (size_t)n);
}

static int buf_gc(lua_State *L)
{
    buf_free(lua_touserdata(L, 1));
    return 0;
}

struct buf *act_buf(lua_State *L, size_t max)
{
    struct buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    buf_init(b, max);
    if (luaL_newmetatable(L, "moonloop.act.buf")) {
        lua_pushcfunction(L, buf_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return b;
}

static int arena_gc(lua_State *L)
{
    arena_free(lua_touserdata(L, 1));
    return 0;
}

struct arena *act_arena(lua_State *L, size_t max)
{
    struct arena *a = lua_newuserdatauv(L, sizeof *a, 0);
    arena_init(a, max);
    if (luaL_newmetatable(L, "moonloop.act.arena")) {
        lua_pushcfunction(L, arena_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return a;
}

/* ---- definitions ---- */

static struct act_definition *add_definition(lua_State *L, struct act_host *h, const char *kind,
                                             struct str name, const char *fname)
{
    bool workflow = strcmp(kind, "workflow") == 0;
    for (size_t i = 0; i < h->n_defs; i++)
        if ((strcmp(h->defs[i].kind, "workflow") == 0) == workflow && str_eq(h->defs[i].name, name))
            act_misuse(L, "%s: \"%s\" is defined twice (first at line %d)", fname, name.p,
                       h->defs[i].line);
    if (h->n_defs == h->cap_defs) {
        size_t cap = h->cap_defs ? h->cap_defs * 2 : 8;
        struct act_definition *more = mem_realloc(h->defs, cap * sizeof *more);
        if (!more) act_misuse(L, "out of memory");
        h->defs = more;
        h->cap_defs = cap;
    }
    struct act_definition *d = &h->defs[h->n_defs];
    memset(d, 0, sizeof *d);
    d->kind = kind;
    d->name = arena_str(&h->defs_arena, name);
    if (!d->name.p) act_misuse(L, "out of memory");
    return d;
}

/* The options as JSON text, functions left out (they stay with the script). */
static struct str options_json(lua_State *L, struct act_host *h, int idx, const char *fname)
{
    struct err e = {0};
    lua_newtable(L);
    int copy = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (lua_isfunction(L, -1)) continue;
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, copy);
    }
    struct buf *b = act_buf(L, 1u << 20);
    if (value_encode(L, copy, b, "options", &e) < 0) act_misuse(L, "%s: %s", fname, e.text);
    struct str out = arena_str(&h->defs_arena, buf_str(b));
    if (!out.p) act_misuse(L, "out of memory");
    lua_pop(L, 2);
    return out;
}

static void may_define(lua_State *L, const char *fname)
{
    struct act_host *h = act_host_of(L);
    struct act_co *co = h->current;
    if (!co || co->call->kind != CALL_LOAD || !co->st->loading || co->id != co->call->main_id)
        act_misuse(L, "%s: definitions belong to the top of the file, not inside a function",
                   fname);
    if (h->mode == MODE_PROGRAM)
        act_misuse(L,
                   "%s: a definition after an act: %s calls %s, which makes this a plain program; "
                   "put that into an activity, or "
                   "into ml.setup(function() ... end)",
                   fname, h->act_where, h->act_name);
    if (h->mode == MODE_UNDECIDED) {
        h->mode = MODE_DEFINITIONS;
        act_where(L, h->def_where, sizeof h->def_where);
    }
}

static int line_of_caller(lua_State *L)
{
    char where[200];
    act_where(L, where, sizeof where);
    const char *colon = strrchr(where, ':');
    return colon ? atoi(colon + 1) : 0;
}

static const char OWN[] = "moonloop"; /* defines one of moonloop's own */

/* Reads (name, [options], [function]): options and function end up at 2 and 3, kept under the name
 * in the registry. */
static void define(lua_State *L, const char *kind, const char *fname, bool needs_function)
{
    struct act_host *h = act_host_of(L);
    struct str name, queue, versioning;
    bool workflow = strcmp(kind, "workflow") == 0;
    may_define(L, fname);
    name.p = luaL_checklstring(L, 1, &name.n);
    if (!name.n) act_misuse(L, "%s: the name is empty", fname);
    if (fname != OWN && str_starts(name, STR("moonloop.")))
        act_misuse(L, "%s: names that begin with \"moonloop.\" are reserved", fname);
    lua_settop(L, 3);
    if (lua_isfunction(L, 2) && lua_isnil(L, 3)) lua_insert(L, 2);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    luaL_argcheck(L, lua_istable(L, 2), 2, "a table of options or a function expected");
    luaL_argcheck(L, lua_isfunction(L, 3) || (!needs_function && lua_isnil(L, 3)), 3,
                  "a function expected");
    api_check_options(L, 2, kind, fname);
    if (!h->load_done) {
        struct act_definition *d = add_definition(L, h, kind, name, fname);
        d->options_json = options_json(L, h, 2, fname);
        if (api_opt_str(L, 2, "task_queue", &queue))
            d->task_queue = arena_str(&h->defs_arena, queue);
        if (workflow && api_opt_str(L, 2, "versioning", &versioning))
            d->versioning = arena_str(&h->defs_arena, versioning);
        d->has_function = lua_isfunction(L, 3);
        d->line = line_of_caller(L);
        h->n_defs++;
    }
    luaL_getsubtable(L, LUA_REGISTRYINDEX, workflow ? "moonloop.workflows" : "moonloop.functions");
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 3);
    lua_rawset(L, -3);
    lua_settop(L, 3);
}

static int ml_workflow(lua_State *L)
{
    define(L, "workflow", "ml.workflow", true);
    return 0;
}

/* An activity as scripts hold it: a userdata with name and function. */
static int new_activity(lua_State *L)
{
    lua_newuserdatauv(L, 1, 2);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, 3);
    lua_setiuservalue(L, -2, 2);
    luaL_setmetatable(L, "moonloop.activity");
    return 1;
}

static int ml_activity(lua_State *L)
{
    define(L, "activity", "ml.activity", false);
    return new_activity(L);
}

static int ml_local_activity(lua_State *L)
{
    define(L, "local_activity", "ml.local_activity", true);
    return new_activity(L);
}

/* core.activity(name, options, fn): one of moonloop's own, with a reserved name. */
static int core_activity(lua_State *L)
{
    define(L, "activity", OWN, false);
    return new_activity(L);
}

/* core.workflow(name, options, fn): likewise. */
static int core_workflow(lua_State *L)
{
    define(L, "workflow", OWN, true);
    return 0;
}

/* core.defining(fname): raises where nothing may be defined any more. */
static int core_defining(lua_State *L)
{
    may_define(L, luaL_checkstring(L, 1));
    return 0;
}

/* core.define_tool(name, options, fn), for lua/moonloop/tool.lua. */
static int core_define_tool(lua_State *L)
{
    define(L, "tool", "ml.tool", true);
    return new_activity(L);
}

static int ml_setup(lua_State *L)
{
    may_define(L, "ml.setup");
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "moonloop.setups");
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    return 0;
}

static const char *activity_name(lua_State *L)
{
    luaL_checkudata(L, 1, "moonloop.activity");
    lua_getiuservalue(L, 1, 1);
    return lua_tostring(L, -1);
}

static int activity_lost(lua_State *L)
{
    const char *name = activity_name(L);
    return act_misuse(L,
                      "calling the activity '%s' here: durability would be lost silently; use "
                      "%s:inline(...) to run its function "
                      "as a part of this one",
                      name, name);
}

static int inline_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L) - 1;
}

static int activity_inline(lua_State *L)
{
    const char *name = activity_name(L);
    struct act_host *h = act_host_of(L);
    struct act_co *co = h->current;
    if (co && co->call->kind == CALL_LOAD) act_act(L, "activity:inline");
    if (lua_getiuservalue(L, 1, 2) != LUA_TFUNCTION)
        return act_misuse(L, "activity '%s' has no function here: another worker runs it", name);
    lua_remove(L, -2);
    lua_insert(L, 2);
    lua_callk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, inline_k);
    return inline_k(L, LUA_OK, 0);
}

/* ---- workflow-only names ---- */

static int workflow_only(lua_State *L)
{
    return act_misuse(L, "ml.%s works in a workflow only: %s", lua_tostring(L, lua_upvalueindex(1)),
                      lua_tostring(L, lua_upvalueindex(2)));
}

static void add_workflow_only(lua_State *L)
{
    static const char *const list[][2] = {
        {"channel", "let the workflow receive, and pass what came to the activity"},
        {"on_signal", "define it inside the ml.workflow function"},
        {"query", "define it inside the ml.workflow function"},
        {"update", "define it inside the ml.workflow function"},
        {"await",
         "here nothing changes but by your own waiting calls; use ml.spawn and future:await()"},
        {"every", "use ml.sleep here (it is not durable), or loop in the workflow"},
        {"child", "start children from the workflow"},
        {"approve",
         "a person's decision may take days; ask from the workflow, and pass what was decided"},
        {"promise", "whoever resolves it may take days; wait for it in the workflow"},
        {"external", "signal and cancel other runs from a workflow"},
        {"side_effect", "an activity may simply call the function"},
        {"patched", "activities always run the newest text"},
        {"deprecate_patch", "activities always run the newest text"},
        {"continue_as_new", "return from the activity and continue in the workflow"},
        {"search_attributes", "set them from the workflow"},
        {"memo", "set it from the workflow"},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        lua_pushstring(L, list[i][0]);
        lua_pushstring(L, list[i][1]);
        lua_pushcclosure(L, workflow_only, 2);
        lua_setfield(L, -2, list[i][0]);
    }
}

/* ---- io and os ---- */

/* Upvalues: 1 the stock function, 2 its name. */
static int guarded(lua_State *L)
{
    act_act(L, lua_tostring(L, lua_upvalueindex(2)));
    int n = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

/* io.write where the process's output is not the script's: to the host's print. */
static int io_write(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    act_act(L, "io.write");
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        luaL_checkstring(L, i);
        lua_pushvalue(L, i);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    struct str text;
    text.p = lua_tolstring(L, -1, &text.n);
    while (text.n && text.p[text.n - 1] == '\n')
        text.n--;
    if (h->env.print)
        h->env.print(h->env.ud, text);
    else
        log_write(h->env.log, LOG_INFO, text, (struct str){NULL, 0});
    return 0;
}

static int os_exit(lua_State *L)
{
    struct act_call_state *c = act_current(L);
    act_act(L, "os.exit");
    if (!c || c->kind != CALL_LOAD)
        return act_misuse(L, "os.exit ends a program; an activity returns, or calls ml.fail");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 0);
    return 0;
}

static void guard_all(lua_State *L, int t, const char *prefix, const char *const *names)
{
    for (; *names; names++) {
        if (lua_getfield(L, t, *names) != LUA_TFUNCTION) {
            lua_pop(L, 1);
            continue;
        }
        lua_pushfstring(L, "%s%s", prefix, *names);
        lua_pushcclosure(L, guarded, 2);
        lua_setfield(L, t, *names);
    }
}

static void guard_libraries(lua_State *L)
{
    static const char *const io[] = {"open",  "popen",  "read",    "write", "lines",
                                     "input", "output", "tmpfile", "close", NULL};
    static const char *const file[] = {"write", "read", "lines", "seek", "flush", "setvbuf", NULL};
    static const char *const os[] = {"execute", "remove", "rename", "tmpname", NULL};
    int top = lua_gettop(L);
    lua_getglobal(L, "io");
    guard_all(L, top + 1, "io.", io);
    if (!act_host_of(L)->env.stdio) {
        lua_pushcfunction(L, io_write);
        lua_setfield(L, top + 1, "write");
    }
    if (luaL_getmetatable(L, LUA_FILEHANDLE) == LUA_TTABLE &&
        lua_getfield(L, -1, "__index") == LUA_TTABLE)
        guard_all(L, lua_gettop(L), "file:", file);
    lua_settop(L, top);
    lua_getglobal(L, "os");
    guard_all(L, top + 1, "os.", os);
    lua_getfield(L, top + 1, "exit");
    lua_pushcclosure(L, os_exit, 1);
    lua_setfield(L, top + 1, "exit");
    lua_settop(L, top);
}

/* ---- the table ---- */

#ifdef ML_TESTING
static int nothing(lua_State *L)
{
    (void)L;
    return 0;
}

/* Pushes the table of methods of a class ("response"); false (nothing pushed) when there is none.
 */
static bool push_methods(lua_State *L, const char *class, size_t n)
{
    lua_pushliteral(L, "moonloop.");
    lua_pushlstring(L, class, n);
    lua_concat(L, 2);
    if (lua_gettable(L, LUA_REGISTRYINDEX) == LUA_TTABLE) {
        static const char *const fields[] = {"__methods", "__index"};
        for (int i = 0; i < 2; i++) {
            if (lua_getfield(L, -1, fields[i]) == LUA_TTABLE) {
                lua_remove(L, -2);
                return true;
            }
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    return false;
}

/* ML_NOOP="ml.fs.read" or "response:ok" makes that name a function that does nothing, to prove that
 * its tests notice. The table of ml is at 1. */
static void noop(lua_State *L)
{
    const char *name = getenv("ML_NOOP"), *colon = name ? strchr(name, ':') : NULL, *dot;
    int top = lua_gettop(L);
    bool found = false;
    if (!name || !*name) return;
    if (colon) {
        found = push_methods(L, name, (size_t)(colon - name));
        name = colon + 1;
    } else if (strncmp(name, "ml.", 3) == 0) {
        lua_pushvalue(L, 1);
        found = true;
        for (name += 3; found && (dot = strchr(name, '.')) != NULL; name = dot + 1) {
            lua_pushlstring(L, name, (size_t)(dot - name));
            found = lua_rawget(L, -2) == LUA_TTABLE;
        }
    }
    if (found) {
        lua_pushstring(L, name);
        if (lua_rawget(L, -2) == LUA_TFUNCTION) {
            lua_pushcfunction(L, nothing);
            lua_setfield(L, -3, name);
        }
    }
    lua_settop(L, top);
}
#endif

static void add_class(lua_State *L, const char *name)
{
    lua_pushfstring(L, "moonloop.%s", name);
    if (lua_rawget(L, LUA_REGISTRYINDEX) == LUA_TNIL) {
        lua_pushfstring(L, "moonloop.%s", name);
        lua_createtable(L, 0, 1);
        lua_pushvalue(L, -4);
        lua_setfield(L, -2, "__index");
        lua_rawset(L, LUA_REGISTRYINDEX);
    }
}

/* __index of the table: names that are written in Lua are loaded when one of them is first used. */
static int ml_index(lua_State *L)
{
    if (!builtin_load_name(L, false, add_class))
        return act_misuse(L, "ml has no '%s'", luaL_tolstring(L, 2, NULL));
#ifdef ML_TESTING
    noop(L);
#endif
    lua_rawget(L, 1);
    return 1;
}

/* core.definitions(): {kind, name, options (JSON)} of all that the script defines. */
static int core_definitions(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    lua_createtable(L, (int)h->n_defs, 0);
    for (size_t i = 0; i < h->n_defs; i++) {
        const struct act_definition *d = &h->defs[i];
        struct str options = d->options_json.p ? d->options_json : STR("{}");
        lua_createtable(L, 0, 3);
        lua_pushstring(L, d->kind);
        lua_setfield(L, -2, "kind");
        lua_pushlstring(L, d->name.p, d->name.n);
        lua_setfield(L, -2, "name");
        lua_pushlstring(L, options.p, options.n);
        lua_setfield(L, -2, "options");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* What lua/moonloop defines with; the table of ml is on top, moonloop.core is there. */
static void open_core(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"activity", core_activity},       {"workflow", core_workflow},
        {"defining", core_defining},       {"define_tool", core_define_tool},
        {"definitions", core_definitions}, {NULL, NULL}};
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "moonloop.core");
    luaL_setfuncs(L, functions, 0);
    api_open_core(L);
    act_open_serve(L);
    act_open_process_core(L);
    act_open_webhook(L);
    lua_pop(L, 2);
}

int act_open_table(lua_State *L)
{
    static const luaL_Reg functions[] = {{"workflow", ml_workflow},
                                         {"activity", ml_activity},
                                         {"local_activity", ml_local_activity},
                                         {"setup", ml_setup},
                                         {NULL, NULL}};
    static const luaL_Reg activity[] = {{"inline", activity_inline},
                                        {"async", activity_lost},
                                        {"with", activity_lost},
                                        {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__call", activity_lost}, {NULL, NULL}};
    lua_settop(L, 0);
    luaL_checkstack(L, 40, NULL);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "moonloop.workflows");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "moonloop.functions");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "moonloop.setups");
    luaL_newmetatable(L, "moonloop.activity");
    luaL_setfuncs(L, meta, 0);
    lua_pushliteral(L, "activity");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_newlib(L, activity);
    lua_setfield(L, -2, "__index");
    lua_settop(L, 0);
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    value_install(L, 1);
    act_open_handles(L);
    act_open_info(L);
    act_open_time(L);
    act_open_crypto(L);
    act_open_http(L);
    act_open_store(L);
    act_open_sql(L);
    act_open_process(L);
    act_open_fs(L);
    act_open_flow(L);
    act_open_client(L);
    open_core(L);
    act_open_jwt(L);
    add_workflow_only(L);
    guard_libraries(L);
#ifdef ML_TESTING
    noop(L);
#endif
    lua_newtable(L);
    lua_pushcfunction(L, ml_index);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, 1);
    lua_settop(L, 1);
    sandbox_preload(&act_state_of(L)->sb, "moonloop");
    return 0;
}
