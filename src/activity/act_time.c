/* ml.time: arithmetic on ISO texts; every time taken is ISO or integer nanoseconds, every duration
 * a text or seconds. */
#include "activity/act_internal.h"

static int time_now(lua_State *L)
{
    act_push_time(L, act_now(act_host_of(L)));
    return 1;
}

static int time_parse(lua_State *L)
{
    lua_pushinteger(L, api_check_time(L, 1, "ml.time.parse"));
    return 1;
}

static int time_format(lua_State *L)
{
    act_push_time(L, api_check_time(L, 1, "ml.time.format"));
    return 1;
}

static int time_add(lua_State *L)
{
    int64_t t = api_check_time(L, 1, "ml.time.add"), d = api_check_duration(L, 2, "ml.time.add"),
            sum;
    if (__builtin_add_overflow(t, d, &sum))
        return act_misuse(L, "ml.time.add: the sum is outside " TIME_RANGE);
    act_push_time(L, sum);
    return 1;
}

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

static void set_int(lua_State *L, const char *key, int64_t v)
{
    lua_pushinteger(L, v);
    lua_setfield(L, -2, key);
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

void act_open_time(lua_State *L)
{
    static const luaL_Reg time[] = {{"now", time_now},       {"parse", time_parse},
                                    {"format", time_format}, {"add", time_add},
                                    {"diff", time_diff},     {"duration", time_duration},
                                    {"fields", time_fields}, {NULL, NULL}};
    luaL_newlib(L, time);
    lua_setfield(L, -2, "time");
}
