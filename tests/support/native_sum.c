/* A native Lua module for the tests of `require`: native_sum.sum(a, b) and native_sum.fail(). */
#include <lauxlib.h>
#include <lua.h>

__attribute__((visibility("default"))) int luaopen_native_sum(lua_State *L);

static int sum(lua_State *L)
{
    lua_pushinteger(L, luaL_checkinteger(L, 1) + luaL_checkinteger(L, 2));
    return 1;
}

static int fail(lua_State *L)
{
    return luaL_error(L, "native failure");
}

int luaopen_native_sum(lua_State *L)
{
    static const luaL_Reg functions[] = {{"sum", sum}, {"fail", fail}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
