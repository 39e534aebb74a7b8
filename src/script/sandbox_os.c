/* os, io and files. A run gets os.time, date, clock and difftime from its port, in UTC (and, as all
 * that a run does, in the C locale), and nothing else; a host state has the real libraries, with
 * the port's time as "now", text-only loadfile and dofile, and an os.exit that ends the script
 * instead of the process. */
#include "script/sandbox_impl.h"
#include <stdlib.h>
#include <time.h>

static int64_t now_of(lua_State *L)
{
    struct sandbox *sb = sandbox_of(L);
    if (!sb->now_ns) luaL_error(L, "there is no time here");
    return sb->now_ns(sb->ud);
}

static int64_t floor_s(int64_t ns)
{
    return ns / NS_PER_S - (ns % NS_PER_S < 0);
}

static int field(lua_State *L, const char *name, int dflt)
{
    int is_int, type = lua_getfield(L, 1, name);
    lua_Integer v = lua_tointegerx(L, -1, &is_int);
    if (!is_int && type != LUA_TNIL) return luaL_error(L, "field '%s' is not an integer", name);
    if (type == LUA_TNIL) {
        if (dflt < 0) return luaL_error(L, "field '%s' missing in date table", name);
        v = dflt;
    }
    if (v < -1000000 || v > 1000000) return luaL_error(L, "field '%s' is out-of-bound", name);
    lua_pop(L, 1);
    return (int)v;
}

static void set_field(lua_State *L, const char *name, int v)
{
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}

static void set_fields(lua_State *L, const struct time_fields *f)
{
    set_field(L, "year", f->year);
    set_field(L, "month", f->month);
    set_field(L, "day", f->day);
    set_field(L, "hour", f->hour);
    set_field(L, "min", f->min);
    set_field(L, "sec", f->sec);
    set_field(L, "wday", f->wday + 1);
    set_field(L, "yday", f->yday);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "isdst");
}

static int run_time(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_pushinteger(L, floor_s(now_of(L)));
        return 1;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    struct time_fields f = {.year = field(L, "year", -1),
                            .month = field(L, "month", -1),
                            .day = field(L, "day", -1),
                            .hour = field(L, "hour", 12),
                            .min = field(L, "min", 0),
                            .sec = field(L, "sec", 0)};
    if (f.year < 1700 || f.year > 2260)
        return luaL_error(L, "time result cannot be represented in this installation");
    int64_t ns = time_from_fields(&f);
    time_fields_utc(ns, &f);
    lua_settop(L, 1);
    set_fields(L, &f);
    lua_pushinteger(L, floor_s(ns));
    return 1;
}

static int run_date(lua_State *L)
{
    const char *format = luaL_optstring(L, 1, "%c");
    int64_t s = lua_isnoneornil(L, 2) ? floor_s(now_of(L)) : luaL_checkinteger(L, 2);
    struct time_fields f;
    luaL_argcheck(L, s > -9000000000 && s < 9000000000, 2, "time out-of-bounds");
    time_fields_utc(s * NS_PER_S, &f);
    if (*format == '!') format++;
    if (strncmp(format, "*t", 2) == 0) {
        lua_createtable(L, 0, 9);
        set_fields(L, &f);
        return 1;
    }
    struct tm tm = {.tm_year = f.year - 1900,
                    .tm_mon = f.month - 1,
                    .tm_mday = f.day,
                    .tm_hour = f.hour,
                    .tm_min = f.min,
                    .tm_sec = f.sec,
                    .tm_wday = f.wday,
                    .tm_yday = f.yday > 0 ? f.yday - 1 : 0,
                    .tm_zone = "UTC"};
    static const char allowed[] = "aAbBcdDeFgGhHIjmMnprRStTuUVwWxXyYzZC%";
    luaL_Buffer b;
    size_t fields = 0;
    luaL_buffinit(L, &b);
    for (const char *p = format; *p; p++) {
        if (*p != '%') {
            luaL_addchar(&b, *p);
            continue;
        }
        fields++;
        char spec[3] = {'%', *++p, 0}, text[128];
        if (!*p || !strchr(allowed, *p))
            return luaL_argerror(L, 1,
                                 lua_pushfstring(L, "invalid conversion specifier '%s'", spec));
        size_t n = strftime(text, sizeof text, spec, &tm);
        luaL_addlstring(&b, text, n);
    }
    luaL_pushresult(&b);
    sandbox_charge(L, 100 * fields);
    return 1;
}

static int run_clock(lua_State *L)
{
    lua_pushnumber(L, (double)now_of(L) / 1e9);
    return 1;
}

static int os_difftime(lua_State *L)
{
    lua_pushnumber(L, luaL_checknumber(L, 1) - luaL_optnumber(L, 2, 0));
    return 1;
}

/* ---- host ---- */
static int call_stock(lua_State *L)
{
    int n = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

static int host_time(lua_State *L)
{
    struct sandbox *sb = sandbox_of(L);
    if (!lua_isnoneornil(L, 1) || !sb->now_ns) return call_stock(L);
    lua_pushinteger(L, floor_s(sb->now_ns(sb->ud)));
    return 1;
}

static int host_date(lua_State *L)
{
    struct sandbox *sb = sandbox_of(L);
    if (lua_isnoneornil(L, 2) && sb->now_ns) {
        lua_settop(L, 1);
        if (lua_isnil(L, 1)) {
            lua_pushliteral(L, "%c");
            lua_replace(L, 1);
        }
        lua_pushinteger(L, floor_s(sb->now_ns(sb->ud)));
    }
    return call_stock(L);
}

static int host_exit(lua_State *L)
{
    struct sandbox_impl *im = impl_of(sandbox_of(L));
    if (lua_isboolean(L, 1))
        im->exit_code = lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE;
    else
        im->exit_code = (int)luaL_optinteger(L, 1, EXIT_SUCCESS);
    im->exiting = true;
    return sandbox_stop(L);
}

static int host_loadfile(lua_State *L)
{
    const char *path = luaL_optstring(L, 1, NULL);
    bool env = !lua_isnone(L, 3);
    if (luaL_loadfilex(L, path, "t") != LUA_OK) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (!env) {
        sandbox_set_env(L, false);
        return 1;
    }
    lua_pushvalue(L, 3);
    if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
    return 1;
}

static int dofile_done(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L) - 1;
}

static int host_dofile(lua_State *L)
{
    const char *path = luaL_optstring(L, 1, NULL);
    lua_settop(L, 1);
    if (luaL_loadfilex(L, path, "t") != LUA_OK) return lua_error(L);
    sandbox_set_env(L, false);
    lua_callk(L, 0, LUA_MULTRET, 0, dofile_done);
    return dofile_done(L, 0, 0);
}

void sandbox_open_os(lua_State *L, struct sandbox *sb)
{
    static const luaL_Reg run[] = {{"time", run_time},
                                   {"date", run_date},
                                   {"clock", run_clock},
                                   {"difftime", os_difftime},
                                   {NULL, NULL}};
    if (sb->kind == SANDBOX_RUN) {
        luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
        luaL_newlib(L, run);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, LUA_OSLIBNAME);
        lua_setglobal(L, LUA_OSLIBNAME);
        lua_pop(L, 1);
        return;
    }
    luaL_requiref(L, LUA_IOLIBNAME, luaopen_io, 1);
    luaL_requiref(L, LUA_LOADLIBNAME, luaopen_package, 1);
    lua_getglobal(L, "require");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_stock_require);
    luaL_requiref(L, LUA_OSLIBNAME, luaopen_os, 1);
    sandbox_guard(L, "time", host_time);
    sandbox_guard(L, "date", host_date);
    lua_pushcfunction(L, host_exit);
    lua_setfield(L, -2, "exit");
    lua_pop(L, 3);
    lua_pushcfunction(L, host_loadfile);
    lua_setglobal(L, "loadfile");
    lua_pushcfunction(L, host_dofile);
    lua_setglobal(L, "dofile");
}
