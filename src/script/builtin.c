/* Looks up the Lua modules that are part of the program (builtin_table.c, made by
 * scripts/gen_tables.lua). */
#include "script/bundle.h"

const struct builtin_module *builtin_find(struct str name)
{
    for (const struct builtin_module *m = builtin_modules; m->name; m++)
        if (str_eqz(name, m->name)) return m;
    return NULL;
}

static const char *home_of(const char *key, bool run_side)
{
    for (const struct builtin_name *n = builtin_names; n->name; n++)
        if (strcmp(n->name, key) == 0 && (n->run_side || !run_side)) return n->module;
    return NULL;
}

bool builtin_load_name(lua_State *L, bool run_side, void (*add_class)(lua_State *L, const char *))
{
    const char *module =
        lua_type(L, 2) == LUA_TSTRING ? home_of(lua_tostring(L, 2), run_side) : NULL;
    if (!module) return false;
    int top = lua_gettop(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "moonloop.require");
    lua_pushstring(L, module);
    lua_call(L, 1, 1);
    for (const struct builtin_name *n = builtin_names; n->name; n++) {
        if (strcmp(n->module, module) != 0) continue;
        lua_pushstring(L, n->name);
        if (lua_rawget(L, 1) == LUA_TNIL) {
            lua_pushstring(L, n->name);
            lua_getfield(L, top + 1, n->name);
            lua_rawset(L, 1);
        }
        lua_settop(L, top + 1);
    }
    if (lua_getfield(L, top + 1, "classes") == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, top + 2); lua_settop(L, top + 3))
            add_class(L, lua_tostring(L, top + 3));
    lua_settop(L, top);
    return true;
}
