/* What C library functions cost. The count hook never looks while C runs, so each of these charges
 * the work that its arguments ask for before the stock function does it, and refuses ranges that no
 * honest script has. Keeps true: with the instruction limit of a run, no loop over these functions
 * takes many times longer than a loop over nothing. Opened by sandbox_lib.c.
 *
 * Each is a closure over the stock function and calls it in place, so it sees the same stack and
 * its errors carry the right name. */
#include "script/sandbox_impl.h"

#define LOOP_MAX 10000000 /* elements that one call may touch */
#define FREE_BYTES 64     /* shorter texts cost what the call costs */

static int stock(lua_State *L)
{
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* Bytes of work at so many bytes an instruction. */
static void charge_bytes(lua_State *L, size_t n, size_t per)
{
    if (n > FREE_BYTES) sandbox_charge(L, n / per);
}

static size_t len_of(lua_State *L, int idx)
{
    return lua_type(L, idx) == LUA_TSTRING ? lua_rawlen(L, idx) : 0;
}

static void bound(lua_State *L, lua_Integer first, lua_Integer last, const char *what)
{
    if (last < first) return;
    uint64_t n = (uint64_t)last - (uint64_t)first + 1;
    if (n == 0 || n > LOOP_MAX) luaL_error(L, "%s: more than %d elements", what, LOOP_MAX);
    sandbox_charge(L, n);
}

/* ---- strings ---- */
static int lib_rep(lua_State *L)
{
    size_t n, sep = 0;
    luaL_checklstring(L, 1, &n);
    luaL_optlstring(L, 3, "", &sep);
    luaL_checkinteger(L, 2);
    if (n == 0 && sep == 0) { /* the stock loop would turn 2^62 times over nothing */
        lua_pushliteral(L, "");
        return 1;
    }
    return stock(L);
}

static int lib_whole(lua_State *L) /* upper, lower, reverse */
{
    charge_bytes(L, len_of(L, 1), 16);
    return stock(L);
}

/* How many bytes of the text at 1 lie between the positions at 2 and 3, as the manual counts. */
static size_t span(lua_State *L, lua_Integer from_default, bool to_end)
{
    lua_Integer n = (lua_Integer)len_of(L, 1), from = from_default, to;
    if (lua_isinteger(L, 2)) from = lua_tointeger(L, 2);
    to = to_end ? n : from;
    if (lua_isinteger(L, 3)) to = lua_tointeger(L, 3);
    if (from < 0) from = from < -n ? 1 : n + from + 1;
    if (to < 0) to = to < -n ? 0 : n + to + 1;
    if (from < 1) from = 1;
    if (to > n) to = n;
    return to < from ? 0 : (size_t)(to - from) + 1;
}

static int lib_byte(lua_State *L) /* and utf8.codepoint */
{
    charge_bytes(L, span(L, 1, false), 1);
    return stock(L);
}

static int lib_utf8_len(lua_State *L)
{
    charge_bytes(L, span(L, 1, true), 4);
    return stock(L);
}

static int lib_utf8_offset(lua_State *L)
{
    lua_Integer n = lua_tointeger(L, 2);
    uint64_t steps = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    size_t most = len_of(L, 1);
    charge_bytes(L, steps < most ? (size_t)steps : most, 4);
    return stock(L);
}

static int lib_utf8_codes(lua_State *L)
{
    charge_bytes(L, len_of(L, 1), 64); /* a walk in which one step may skip all of it */
    return stock(L);
}

static int lib_char(lua_State *L) /* and utf8.char, table.pack */
{
    sandbox_charge(L, (uint64_t)lua_gettop(L) / 4);
    return stock(L);
}

static int lib_pack(lua_State *L) /* pack, unpack, packsize: each letter of the format is work */
{
    charge_bytes(L, len_of(L, 1), 1);
    return stock(L);
}

static int lib_tonumber(lua_State *L)
{
    charge_bytes(L, len_of(L, 1), 4);
    return stock(L);
}

/* ---- tables: the length is asked once, a __len may answer differently each time ---- */
static int lib_move(lua_State *L)
{
    bound(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3), "table.move");
    return stock(L);
}

static int lib_insert(lua_State *L)
{
    if (lua_gettop(L) != 3 || !lua_istable(L, 1)) return stock(L);
    lua_Unsigned end = (lua_Unsigned)luaL_len(L, 1) + 1;
    lua_Integer at = luaL_checkinteger(L, 2);
    luaL_argcheck(L, (lua_Unsigned)at - 1u < end, 2, "position out of bounds");
    bound(L, at, (lua_Integer)(end - 1), "table.insert");
    for (lua_Integer i = (lua_Integer)end; i > at; i--) {
        lua_geti(L, 1, i - 1);
        lua_seti(L, 1, i);
    }
    lua_seti(L, 1, at);
    return 0;
}

static int lib_remove(lua_State *L)
{
    if (lua_gettop(L) < 2 || !lua_istable(L, 1)) return stock(L);
    lua_Integer size = luaL_len(L, 1), at = luaL_checkinteger(L, 2);
    if (at != size)
        luaL_argcheck(L, (lua_Unsigned)at - 1u <= (lua_Unsigned)size, 2, "position out of bounds");
    bound(L, at, size, "table.remove");
    lua_settop(L, 2);
    lua_geti(L, 1, at);
    for (; at < size; at++) {
        lua_geti(L, 1, at + 1);
        lua_seti(L, 1, at);
    }
    lua_pushnil(L);
    lua_seti(L, 1, at);
    return 1;
}

struct range {
    lua_Integer first, last;
};
/* The optional range of the table at 1 that begins at argument `arg`. */
static struct range range_at(lua_State *L, int arg)
{
    struct range r;
    r.first = luaL_optinteger(L, arg, 1);
    r.last = lua_isnoneornil(L, arg + 1) ? luaL_len(L, 1) : luaL_checkinteger(L, arg + 1);
    return r;
}

/* The stock function with the range spelled out, so that it does not ask for the length again. */
static int stock_over(lua_State *L, int arg, struct range r, const char *what)
{
    bound(L, r.first, r.last, what);
    lua_settop(L, arg - 1);
    lua_pushinteger(L, r.first);
    lua_pushinteger(L, r.last);
    return stock(L);
}

static int lib_concat(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    return stock_over(L, 3, range_at(L, 3), "table.concat");
}

static int lib_unpack(lua_State *L)
{
    struct range r = range_at(L, 2);
    if (r.last >= r.first && (uint64_t)r.last - (uint64_t)r.first >= 1000000)
        return luaL_error(L, "too many results to unpack");
    return stock_over(L, 2, r, "table.unpack");
}

static int lib_select(lua_State *L)
{
    sandbox_charge(L, 1 + (uint64_t)lua_gettop(L) / 16);
    return stock(L);
}

static int lib_error(lua_State *L) /* a far level costs a walk to it */
{
    lua_Integer level = lua_tointeger(L, 2);
    if (level > 200) sandbox_charge(L, level > 200000 ? 200000 : (uint64_t)level);
    return stock(L);
}

/* ---- values and the collector ---- */
static int charge_value(lua_State *L) /* JSON text and ml.bytes */
{
    sandbox_charge(L, (uint64_t)lua_tointeger(L, 1) / 2);
    return 0;
}

/* Of a host state: a full collection looks at all that is there. */
static int host_collectgarbage(lua_State *L)
{
    const char *what = luaL_optstring(L, 1, "collect");
    if (strcmp(what, "count") != 0 && strcmp(what, "isrunning") != 0)
        sandbox_charge(L, sandbox_of(L)->mem_used / 64);
    return stock(L);
}

/* ---- opening ---- */
static void guard_all(lua_State *L, const char *library, const luaL_Reg *list)
{
    lua_getglobal(L, library);
    for (; list->name; list++)
        sandbox_guard(L, list->name, list->func);
    lua_pop(L, 1);
}

void sandbox_open_costs(lua_State *L, struct sandbox *sb)
{
    static const luaL_Reg strings[] = {
        {"rep", lib_rep},       {"upper", lib_whole}, {"lower", lib_whole}, {"reverse", lib_whole},
        {"byte", lib_byte},     {"char", lib_char},   {"pack", lib_pack},   {"unpack", lib_pack},
        {"packsize", lib_pack}, {NULL, NULL}};
    static const luaL_Reg utf8[] = {{"len", lib_utf8_len},       {"codepoint", lib_byte},
                                    {"offset", lib_utf8_offset}, {"codes", lib_utf8_codes},
                                    {"char", lib_char},          {NULL, NULL}};
    static const luaL_Reg tables[] = {{"move", lib_move},
                                      {"insert", lib_insert},
                                      {"remove", lib_remove},
                                      {"concat", lib_concat},
                                      {"unpack", lib_unpack},
                                      {"pack", lib_char},
                                      {NULL, NULL}};
    static const luaL_Reg base[] = {
        {"select", lib_select}, {"error", lib_error}, {"tonumber", lib_tonumber}, {NULL, NULL}};
    guard_all(L, LUA_STRLIBNAME, strings);
    guard_all(L, LUA_UTF8LIBNAME, utf8);
    guard_all(L, LUA_TABLIBNAME, tables);
    guard_all(L, LUA_GNAME, base);
    if (sb->kind == SANDBOX_HOST) {
        lua_pushglobaltable(L);
        sandbox_guard(L, "collectgarbage", host_collectgarbage);
        lua_pop(L, 1);
    }
    value_set_charge(L, charge_value);
}
