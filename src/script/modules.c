/* require and chunks' environments. Keeps true: a module is run once per state, its body cannot
 * wait; strict chunks see the real globals, whose metatable raises on an undefined name; all others
 * see them through a proxy that reads nil. A native module in a run is a stand-in that raises when
 * it is used. */
#include "script/sandbox_impl.h"

/* ---- globals ---- */
static int undefined_global(lua_State *L)
{
    if (lua_type(L, 2) != LUA_TSTRING) {
        lua_pushnil(L);
        return 1;
    }
    return luaL_error(L, "undefined global '%s' (a misspelt name, or a missing local?)",
                      lua_tostring(L, 2));
}

static int lax_index(lua_State *L)
{
    lua_pushglobaltable(L);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    return 1;
}

static int lax_newindex(lua_State *L)
{
    lua_pushglobaltable(L);
    lua_insert(L, 2);
    lua_rawset(L, 2);
    return 0;
}

static int lax_pairs(lua_State *L)
{
    lua_getglobal(L, "pairs");
    lua_pushglobaltable(L);
    lua_call(L, 1, 3);
    return 3;
}

static void open_globals(lua_State *L)
{
    static const luaL_Reg lax[] = {
        {"__index", lax_index}, {"__newindex", lax_newindex}, {"__pairs", lax_pairs}, {NULL, NULL}};
    lua_pushglobaltable(L);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, undefined_global);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);

    lua_createtable(L, 0, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
    luaL_newlib(L, lax);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_lax_env);
}

void sandbox_set_env(lua_State *L, bool strict)
{
    if (strict)
        lua_pushglobaltable(L);
    else
        lua_rawgetp(L, LUA_REGISTRYINDEX, &key_lax_env);
    if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
}

/* What moonloop's own Lua modules see as globals: the functions themselves, so that a script that
 * replaces or clears its builtins changes nothing in ml.all. */
static void open_own_env(lua_State *L)
{
    static const char *const base[] = {"error",    "getmetatable", "ipairs",       "math",
                                       "next",     "pairs",        "pcall",        "rawget",
                                       "require",  "select",       "setmetatable", "string",
                                       "tonumber", "tostring",     "type",         NULL};
    static const char *const tables[] = {"concat", "insert", "pack", "remove", "unpack", NULL};
    lua_createtable(L, 0, 16);
    for (const char *const *n = base; *n; n++) {
        lua_getglobal(L, *n);
        lua_setfield(L, -2, *n);
    }
    lua_createtable(L, 0, 5);
    lua_getglobal(L, LUA_TABLIBNAME);
    for (const char *const *n = tables; *n; n++) {
        lua_getfield(L, -1, *n);
        lua_setfield(L, -3, *n);
    }
    lua_pop(L, 1);
    lua_setfield(L, -2, LUA_TABLIBNAME);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_own_env);
}

/* ---- loading text ---- */
int sandbox_load(struct sandbox *sb, lua_State *co, struct str text, struct str chunk_name,
                 bool strict, struct err *e)
{
    char name[300];
    snprintf(name, sizeof name, STR_FMT, STR_ARG(chunk_name));
    if (!lua_checkstack(co, 4)) return err_set(e, ERR_NOMEM, "out of memory");
    int status = luaL_loadbufferx(co, text.p ? text.p : "", text.n, name, "t");
    if (status == LUA_OK) {
        sandbox_set_env(co, strict);
        return 0;
    }
    int code = status == LUA_ERRMEM ? ERR_NOMEM : ERR_SCRIPT;
    const char *why = lua_tostring(co, -1);
    err_set(e, code, "%s", why ? why : "cannot load");
    lua_pop(co, 1);
    if (status == LUA_ERRMEM) sb->limit = LIMIT_MEMORY;
    return code;
}

void sandbox_set_module_env(lua_State *co, const struct bundle_module *m)
{
    sandbox_set_env(co, m->strict);
    if (sandbox_of(co)->kind != SANDBOX_RUN || !builtin_find(str_of(m->name))) return;
    lua_rawgetp(co, LUA_REGISTRYINDEX, &key_own_env);
    if (!lua_setupvalue(co, -2, 1)) lua_pop(co, 1);
}

int sandbox_load_code(lua_State *co, const struct bundle_module *m)
{
    int status = luaL_loadbufferx(co, m->code, m->code_n, m->chunk, "b");
    if (status == LUA_OK) sandbox_set_module_env(co, m);
    return status;
}

void sandbox_set_loader(struct sandbox *sb, sandbox_module_fn fn, void *ud)
{
    impl_of(sb)->loader = fn;
    impl_of(sb)->loader_ud = ud;
}

/* package.loaded. Lua's own messages (tracebacks, "bad argument to ...") name a function by the
 * first place in the registry's table at which they meet it, in the order of its hash: another one
 * in each process. So a run keeps its modules elsewhere, and there they find none. */
static const char key_loaded;

static void push_loaded(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key_loaded) == LUA_TTABLE) return;
    lua_pop(L, 1);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}

static void hide_loaded(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_loaded);
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}

static int preload(lua_State *L)
{
    const char *name = lua_touserdata(L, 1);
    push_loaded(L);
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, name);
    return 0;
}

void sandbox_preload(struct sandbox *sb, const char *name)
{
    lua_State *L = sb->L;
    union {
        const char *in;
        void *out;
    } cast = {.in = name};
    lua_pushcfunction(L, preload);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, cast.out);
    lua_insert(L, -2);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        sb->limit = LIMIT_MEMORY;
        lua_pop(L, 1);
    }
}

/* ---- stand-ins ---- */
static int stand_in_used(lua_State *L)
{
    return luaL_error(
        L, "module '%s' is native and cannot be used in a workflow: use it inside an activity",
        lua_tostring(L, lua_upvalueindex(1)));
}

static void push_stand_in(lua_State *L, const char *name)
{
    static const char *const events[] = {"__index", "__newindex", "__call"};
    lua_newtable(L);
    lua_createtable(L, 0, 4);
    for (size_t i = 0; i < 3; i++) {
        lua_pushstring(L, name);
        lua_pushcclosure(L, stand_in_used, 1);
        lua_setfield(L, -2, events[i]);
    }
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

/* ---- require; stack: 1 name, 2 loaded ---- */
static int body(lua_State *L)
{
    lua_call(L, 1, 1);
    return 1;
}

int sandbox_call_module(lua_State *L, const char *name)
{
    struct sandbox *sb = sandbox_of(L);
    /* no continuation: a module body cannot wait */
    lua_pushcfunction(L, body);
    lua_insert(L, -2);
    lua_pushstring(L, name);
    lua_pushboolean(L, 0);
    lua_setfield(L, 3, name);
    int status = lua_pcall(L, 2, 1, 0);
    lua_pushnil(L);
    lua_setfield(L, 3, name);
    if (status != LUA_OK) {
        if (sandbox_is_memory(sb, L, status)) sb->limit = LIMIT_MEMORY;
        return sb->limit != LIMIT_NONE ? sandbox_stop(L) : lua_error(L);
    }
    lua_getfield(L, 2, name); /* the body may have set it itself */
    if (!lua_isnil(L, -2))
        lua_pop(L, 1);
    else if (!lua_isnil(L, -1))
        lua_remove(L, -2);
    else {
        lua_pop(L, 2);
        lua_pushboolean(L, 1);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, name);
    return 1;
}

static int stock_require(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key_stock_require) != LUA_TFUNCTION)
        return luaL_error(L, "module '%s' is native and cannot be loaded here", lua_tostring(L, 1));
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static void load_text(lua_State *L, struct str text, struct str chunk, bool strict)
{
    struct err e = {0};
    int code = sandbox_load(sandbox_of(L), L, text, chunk, strict, &e);
    if (code == ERR_NOMEM)
        sandbox_stop(L);
    else if (code)
        luaL_error(L, "error loading module '%s': %s", lua_tostring(L, 1), e.text);
}

static int from_loader(lua_State *L, struct str name)
{
    struct sandbox_impl *im = impl_of(sandbox_of(L));
    struct str text = {NULL, 0}, chunk = {NULL, 0};
    struct err e = {0};
    bool strict = false, native = false;
    int code = im->loader ? im->loader(im->loader_ud, name, &text, &chunk, &strict, &native, &e)
                          : err_set(&e, ERR_NOTFOUND, "there is nowhere to look for it");
    if (code) return luaL_error(L, "module '%s' not found: %s", name.p, e.text);
    if (!native) {
        load_text(L, text, chunk, strict);
        return sandbox_call_module(L, name.p);
    }
    if (sandbox_of(L)->kind == SANDBOX_HOST) return stock_require(L);
    push_stand_in(L, name.p);
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, name.p);
    return 1;
}

static int lib_require(lua_State *L)
{
    struct sandbox_impl *im = impl_of(sandbox_of(L));
    struct str name;
    name.p = luaL_checklstring(L, 1, &name.n);
    if (strlen(name.p) != name.n || name.n > 200) return luaL_argerror(L, 1, "not a module name");
    lua_settop(L, 1);
    push_loaded(L);
    if (lua_getfield(L, 2, name.p) != LUA_TNIL) return 1;
    lua_pop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1)); /* 3: what is being loaded */
    if (lua_getfield(L, 3, name.p) != LUA_TNIL)
        return luaL_error(L, "module '%s' requires itself (a loop of modules)", name.p);
    lua_pop(L, 1);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE); /* 4 */
    if (lua_getfield(L, 4, name.p) == LUA_TFUNCTION) return sandbox_call_module(L, name.p);
    lua_pop(L, 1);
    if (im->bundle && sandbox_push_bundled(L, im->bundle, name) == 0)
        return sandbox_call_module(L, name.p);
    const struct builtin_module *b =
        sandbox_of(L)->kind == SANDBOX_HOST ? builtin_find(name) : NULL;
    if (b) {
        char chunk[256];
        snprintf(chunk, sizeof chunk, "@%s.lua", b->name);
        for (char *p = chunk; *p && strcmp(p, ".lua") != 0; p++)
            if (*p == '.') *p = '/';
        load_text(L, str_make(b->text, b->n), str_of(chunk), false);
        return sandbox_call_module(L, name.p);
    }
    return from_loader(L, name);
}

void sandbox_open_modules(lua_State *L, struct sandbox *sb)
{
    if (sb->kind == SANDBOX_RUN) {
        lua_createtable(L, 0, 5);
        luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
        lua_pushvalue(L, -2);
        lua_setfield(L, -2, LUA_LOADLIBNAME);
        lua_setfield(L, -2, "loaded");
        luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
        lua_setfield(L, -2, "preload");
        lua_pushliteral(L, "");
        lua_setfield(L, -2, "path");
        lua_pushliteral(L, "");
        lua_setfield(L, -2, "cpath");
        lua_pushliteral(L, "/\n;\n?\n!\n-\n");
        lua_setfield(L, -2, "config");
        lua_setglobal(L, LUA_LOADLIBNAME);
    }
    if (sb->kind == SANDBOX_RUN) hide_loaded(L);
    lua_newtable(L);
    lua_pushcclosure(L, lib_require, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "moonloop.require"); /* for builtin_load_name */
    lua_setglobal(L, "require");
    if (sb->kind == SANDBOX_RUN) open_own_env(L);
    open_globals(L);
}
