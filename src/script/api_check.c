/* Argument checks of bindings by the generated options table. Everything here raises for the
 * script; nothing is kept. */
#include "base/hash.h"
#include "script/api_table.h"
#include "script/sandbox_impl.h"
#include "script/value.h"
#include <math.h>

static const struct api_option *options_of(const char *name)
{
    for (const struct api_options *o = api_options_table; o->name; o++)
        if (strcmp(o->name, name) == 0) return o->options;
    return NULL;
}

/* Edit distance of two short names. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], na = strlen(a), nb = strlen(b);
    if (na > 60 || nb > 60) return 99;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[nb];
}

static const char *nearest(const struct api_option *options, const char *key)
{
    const char *best = NULL;
    size_t best_d = strlen(key) / 2 + 1;
    for (; options->name; options++) {
        size_t d = distance(key, options->name);
        if (d < best_d) {
            best_d = d;
            best = options->name;
        }
    }
    return best;
}

/* ml.env, ml.secret and the like stand for a text. */
static bool is_handle(lua_State *L, int idx)
{
    if (lua_type(L, idx) != LUA_TUSERDATA && lua_type(L, idx) != LUA_TTABLE) return false;
    if (luaL_getmetafield(L, idx, "__name") == LUA_TNIL) return false;
    lua_pop(L, 1);
    return true;
}

static bool in_enum(const char *list, struct str s)
{
    while (*list) {
        size_t n = strcspn(list, "|");
        if (str_eq(str_make(list, n), s)) return true;
        list += n + (list[n] == '|');
    }
    return false;
}

#define WANT_DURATION "a duration such as \"90s\", or seconds"
#define WANT_TIME "a time such as \"2026-03-01T09:00:00Z\", or integer nanoseconds"

/* Reads a duration; NULL, or what the value must be and is not. */
static const char *to_duration(lua_State *L, int idx, int64_t *ns)
{
    struct str s;
    if (lua_type(L, idx) == LUA_TNUMBER) {
        double v = lua_tonumber(L, idx);
        if (v < 0) return "a duration of 0 or longer";
        if (v > (double)DURATION_MAX_S) return "a duration of at most 100 years";
        if (isnan(v)) return WANT_DURATION;
        *ns = lua_isinteger(L, idx) ? (int64_t)lua_tointeger(L, idx) * NS_PER_S
                                    : (int64_t)llround(v * 1e9);
        return NULL;
    }
    if (lua_type(L, idx) != LUA_TSTRING) return WANT_DURATION;
    s.p = lua_tolstring(L, idx, &s.n);
    int rc = duration_parse(s, ns);
    return rc == ERR_LIMIT ? "a duration of at most 100 years" : rc ? WANT_DURATION : NULL;
}

/* Reads a time; NULL, or what the value must be and is not. */
static const char *to_time(lua_State *L, int idx, int64_t *ns)
{
    struct str s;
    if (lua_isinteger(L, idx)) {
        *ns = lua_tointeger(L, idx);
        return NULL;
    }
    if (lua_type(L, idx) != LUA_TSTRING) return WANT_TIME;
    s.p = lua_tolstring(L, idx, &s.n);
    int rc = time_parse_iso(s, ns);
    return rc == ERR_LIMIT ? "a time from " TIME_RANGE : rc ? WANT_TIME : NULL;
}

/* The value at idx as an error shows it; pushes nothing. */
static const char *shown(lua_State *L, int idx, char *out, size_t size)
{
    if (lua_type(L, idx) == LUA_TSTRING)
        snprintf(out, size, "\"%.100s\"", lua_tostring(L, idx));
    else if (lua_isinteger(L, idx))
        snprintf(out, size, "%lld", (long long)lua_tointeger(L, idx));
    else if (lua_type(L, idx) != LUA_TNUMBER)
        snprintf(out, size, "a %s", luaL_typename(L, idx));
    else if (isnan(lua_tonumber(L, idx)))
        snprintf(out, size, "not-a-number");
    else
        snprintf(out, size, "%.14g", lua_tonumber(L, idx));
    return out;
}

static void check_table(lua_State *L, int idx, const char *options_name, const char *function_name,
                        int depth);

/* Is the value at idx of this type? Otherwise *want says what is. */
static bool is_type(lua_State *L, int idx, const char *type, const char **want,
                    const char *function_name, int depth)
{
    int64_t ns;
    struct str s;
    int t = lua_type(L, idx);
    *want = type;
    if (strcmp(type, "any") == 0) return true;
    if (strcmp(type, "string") == 0) return t == LUA_TSTRING || is_handle(L, idx);
    if (strcmp(type, "integer") == 0)
        return lua_isinteger(L, idx) ||
               (t == LUA_TNUMBER && lua_tonumber(L, idx) == floor(lua_tonumber(L, idx)));
    if (strcmp(type, "number") == 0) return t == LUA_TNUMBER;
    if (strcmp(type, "boolean") == 0) return t == LUA_TBOOLEAN;
    if (strcmp(type, "table") == 0 || strcmp(type, "list") == 0) return t == LUA_TTABLE;
    if (strcmp(type, "function") == 0) return t == LUA_TFUNCTION;
    if (strcmp(type, "duration") == 0) {
        *want = to_duration(L, idx, &ns);
        return !*want;
    }
    if (strcmp(type, "time") == 0) {
        *want = to_time(L, idx, &ns);
        return !*want;
    }
    if (strncmp(type, "enum:", 5) == 0) {
        *want = lua_pushfstring(L, "one of %s", type + 5);
        lua_insert(L, idx); /* below the value: stays alive until the caller pops both */
        idx++;
        if (t != LUA_TSTRING) return false;
        s.p = lua_tolstring(L, idx, &s.n);
        return in_enum(type + 5, s);
    }
    if (strncmp(type, "options:", 8) == 0) {
        *want = "table";
        if (t != LUA_TTABLE) return false;
        check_table(L, idx, type + 8, function_name, depth + 1);
    }
    return true;
}

static void check_one(lua_State *L, const struct api_option *all, const char *function_name,
                      int depth)
{
    const struct api_option *o = all;
    if (lua_type(L, -2) != LUA_TSTRING)
        luaL_error(L, "%s: options have names, not %ss as keys", function_name,
                   luaL_typename(L, -2));
    const char *key = lua_tostring(L, -2), *want;
    while (o->name && strcmp(o->name, key) != 0)
        o++;
    if (!o->name) {
        const char *near = nearest(all, key);
        if (near)
            luaL_error(L, "%s: unknown option '%s' (did you mean '%s'?)", function_name, key, near);
        luaL_error(L, "%s: unknown option '%s'", function_name, key);
    }
    if (!is_type(L, lua_gettop(L), o->type, &want, function_name, depth)) {
        char value[128];
        luaL_error(L, "%s: option '%s' must be %s, not %s", function_name, key, want,
                   shown(L, -1, value, sizeof value));
    }
}

static void check_table(lua_State *L, int idx, const char *options_name, const char *function_name,
                        int depth)
{
    const struct api_option *all = options_of(options_name);
    if (!all || depth > 4)
        luaL_error(L, "%s: there are no options named '%s'", function_name, options_name);
    idx = lua_absindex(L, idx);
    luaL_checkstack(L, 8, NULL);
    lua_pushnil(L);
    int top = lua_gettop(L);
    while (lua_next(L, idx)) {
        check_one(L, all, function_name, depth);
        lua_settop(L, top); /* the key, and above it nothing of the check */
    }
}

void api_check_options(lua_State *L, int idx, const char *options_name, const char *function_name)
{
    if (lua_isnoneornil(L, idx)) return;
    if (lua_type(L, idx) != LUA_TTABLE)
        luaL_error(L, "%s: options are a table, not a %s", function_name, luaL_typename(L, idx));
    check_table(L, idx, options_name, function_name, 0);
}

static int64_t duration_or_raise(lua_State *L, int idx, const char *function_name, const char *what)
{
    int64_t ns = 0;
    char value[128];
    const char *want = to_duration(L, idx, &ns);
    if (want)
        luaL_error(L, "%s: %s must be %s, not %s", function_name, what, want,
                   shown(L, idx, value, sizeof value));
    return ns;
}

int64_t api_check_duration(lua_State *L, int idx, const char *function_name)
{
    return duration_or_raise(L, idx, function_name, "the argument");
}

int64_t api_check_time(lua_State *L, int idx, const char *function_name)
{
    int64_t ns = 0;
    char value[128];
    const char *want = to_time(L, idx, &ns);
    if (want)
        luaL_error(L, "%s: the argument must be %s, not %s", function_name, want,
                   shown(L, idx, value, sizeof value));
    return ns;
}

static int raw_field(lua_State *L, int table_idx, const char *key)
{
    if (lua_type(L, table_idx) != LUA_TTABLE) {
        lua_pushnil(L);
        return LUA_TNIL;
    }
    table_idx = lua_absindex(L, table_idx);
    lua_pushstring(L, key);
    return lua_rawget(L, table_idx);
}

bool api_opt_duration(lua_State *L, int table_idx, const char *key, const char *function_name,
                      int64_t *ns)
{
    bool there = raw_field(L, table_idx, key) != LUA_TNIL;
    if (there) {
        char what[80];
        snprintf(what, sizeof what, "option '%.60s'", key);
        *ns = duration_or_raise(L, lua_gettop(L), function_name, what);
    }
    lua_pop(L, 1);
    return there;
}

bool api_opt_bool(lua_State *L, int table_idx, const char *key, bool dflt)
{
    bool v = raw_field(L, table_idx, key) == LUA_TNIL ? dflt : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

bool api_opt_bytes(lua_State *L, int table_idx, const char *key, struct str *out)
{
    bool there = raw_field(L, table_idx, key) == LUA_TSTRING;
    if (there) out->p = lua_tolstring(L, -1, &out->n);
    lua_pop(L, 1);
    return there;
}

bool api_opt_str(lua_State *L, int table_idx, const char *key, struct str *out)
{
    bool there = api_opt_bytes(L, table_idx, key, out);
    if (there && str_utf8_valid(*out) != out->n)
        luaL_error(L, "option '%s' is not UTF-8 text", key);
    return there;
}

struct rec *api_check_retry(lua_State *L, int idx, struct arena *a, const char *function_name)
{
    int64_t ns;
    struct rec *r;
    if (lua_isnoneornil(L, idx)) return NULL;
    int top = lua_gettop(L);
    idx = lua_absindex(L, idx);
    api_check_options(L, idx, "retry", function_name);
    r = rec_new(a, &rec_type_retry_policy);
    if (api_opt_duration(L, idx, "initial", function_name, &ns))
        rec_set_int(r, T(retry_policy, initial_interval), ns);
    if (api_opt_duration(L, idx, "max", function_name, &ns))
        rec_set_int(r, T(retry_policy, maximum_interval), ns);
    if (raw_field(L, idx, "backoff") == LUA_TNUMBER) {
        double d = lua_tonumber(L, -1);
        if (!(d >= 1 && d <= 1000))
            luaL_error(L, "%s: option 'backoff' must be from 1 to 1000", function_name);
        rec_set_double(r, T(retry_policy, backoff_coefficient), d);
    }
    lua_pop(L, 1);
    if (raw_field(L, idx, "max_attempts") == LUA_TNUMBER) {
        lua_Integer n = lua_tointeger(L, -1);
        if (n < 0 || n > INT32_MAX)
            luaL_error(L, "%s: option 'max_attempts' must be 0 (no limit) or more", function_name);
        rec_set_int(r, T(retry_policy, maximum_attempts), n);
    }
    lua_pop(L, 1);
    if (raw_field(L, idx, "non_retryable") == LUA_TTABLE)
        for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
            struct str s;
            if (lua_type(L, -1) != LUA_TSTRING)
                luaL_error(L, "%s: option 'non_retryable' is a list of failure types (texts)",
                           function_name);
            s.p = lua_tolstring(L, -1, &s.n);
            rec_add_str(r, T(retry_policy, non_retryable_error_types), arena_str(a, s));
            lua_pop(L, 1);
        }
    retry_settle(r);
    lua_settop(L, top);
    return r;
}

static int core_check_options(lua_State *L)
{
    api_check_options(L, 1, luaL_checkstring(L, 2), luaL_checkstring(L, 3));
    return 0;
}

static int core_seconds(lua_State *L)
{
    lua_pushnumber(L, (double)api_check_duration(L, 1, "a duration") / 1e9);
    return 1;
}

/* core.class_name(value): what its metatable calls it ("moonloop.tool"), also where scripts do not
 * see the metatable; nil when it is plain. */
static int core_class_name(lua_State *L)
{
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__name") != LUA_TSTRING) lua_pushnil(L);
    return 1;
}

/* core.digest(value): the SHA-256 of its JSON (keys are sorted there), 64 hex digits. */
static int core_digest(lua_State *L)
{
    char hex[SHA256_HEX];
    struct err e = {0};
    struct buf *b = value_push_buffer(L, VALUE_BYTES_MAX);
    if (value_encode(L, 1, b, "value", &e) != 0) return luaL_error(L, "%s", e.text);
    hash_sha256_hex(buf_str(b), hex);
    lua_pushstring(L, hex);
    return 1;
}

void api_open_core(lua_State *L)
{
    static const luaL_Reg functions[] = {{"check_options", core_check_options},
                                         {"seconds", core_seconds},
                                         {"class_name", core_class_name},
                                         {"digest", core_digest},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
