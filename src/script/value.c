/* Value types of every state (null, bytes, list) and values <-> payload records. Keeps true: the
 * metatables are locked, and are found by addresses of this file, so a script cannot make a
 * userdata that passes for one of ours. */
#include "script/value.h"
#include "base/mem.h"
#include "script/schema_lib.h"
#include <lauxlib.h>
#include <stdio.h>

static const char key_list, key_bytes, key_charge, key_text;

#define CHARGE_FREE 64 /* bytes of work that are part of the call */
struct bytes {
    size_t n;
    char data[];
};

void value_set_charge(lua_State *L, lua_CFunction f)
{
    lua_pushcfunction(L, f);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_charge);
}

void value_set_text(lua_State *L, lua_CFunction f)
{
    lua_pushcfunction(L, f);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_text);
}

const char *value_push_text(lua_State *L, int idx, size_t *n)
{
    idx = lua_absindex(L, idx);
    luaL_checkstack(L, 4, NULL);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key_text) != LUA_TFUNCTION) {
        lua_pop(L, 1);
        return luaL_tolstring(L, idx, n);
    }
    lua_pushvalue(L, idx);
    lua_call(L, 1, 1);
    return lua_tolstring(L, -1, n);
}

static void charge(lua_State *L, size_t n)
{
    if (n <= CHARGE_FREE) return;
    luaL_checkstack(L, 4, NULL);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key_charge) == LUA_TFUNCTION) {
        lua_pushinteger(L, (lua_Integer)n);
        lua_call(L, 1, 0);
    } else {
        lua_pop(L, 1);
    }
}

/* ---- null ---- */
static int null_tostring(lua_State *L)
{
    lua_pushliteral(L, "null");
    return 1;
}

static int null_index(lua_State *L)
{
    return luaL_error(L, "attempt to index null (compare with ml.null first)");
}

void value_push_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
}

bool value_is_null(lua_State *L, int idx)
{
    return lua_islightuserdata(L, idx) && lua_touserdata(L, idx) == NULL;
}

/* ---- bytes ---- */
static struct bytes *to_bytes(lua_State *L, int idx)
{
    struct bytes *b = lua_type(L, idx) == LUA_TUSERDATA ? lua_touserdata(L, idx) : NULL;
    if (!b || !lua_getmetatable(L, idx)) return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_bytes);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? b : NULL;
}

void value_push_bytes(lua_State *L, struct str s)
{
    struct bytes *b = lua_newuserdatauv(L, sizeof *b + s.n, 0);
    b->n = s.n;
    if (s.n) memcpy(b->data, s.p, s.n);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_bytes);
    lua_setmetatable(L, -2);
}

bool value_to_bytes(lua_State *L, int idx, struct str *out)
{
    struct bytes *b = to_bytes(L, idx);
    if (b) *out = str_make(b->data, b->n);
    return b != NULL;
}

static struct bytes *check_bytes(lua_State *L, int idx)
{
    struct bytes *b = to_bytes(L, idx);
    if (!b) luaL_typeerror(L, idx, "bytes");
    return b;
}

static int bytes_tostring(lua_State *L)
{
    struct bytes *b = check_bytes(L, 1);
    lua_pushlstring(L, b->data, b->n);
    return 1;
}

static int bytes_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_bytes(L, 1)->n);
    return 1;
}

static int bytes_eq(lua_State *L)
{
    struct bytes *a = to_bytes(L, 1), *b = to_bytes(L, 2);
    if (a && b) charge(L, a->n / 32);
    lua_pushboolean(L, a && b && a->n == b->n && memcmp(a->data, b->data, a->n) == 0);
    return 1;
}

/* ---- lists ---- */
void value_set_list(lua_State *L, int idx)
{
    idx = lua_absindex(L, idx);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_list);
    lua_setmetatable(L, idx);
}

bool value_is_list(lua_State *L, int idx)
{
    if (lua_type(L, idx) != LUA_TTABLE || !lua_getmetatable(L, idx)) return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_list);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* ---- opening ---- */
static void metatable(lua_State *L, const char *name, const luaL_Reg *functions)
{
    lua_newtable(L);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_setfuncs(L, functions, 0);
}

void value_open(lua_State *L)
{
    static const luaL_Reg null_functions[] = {
        {"__tostring", null_tostring}, {"__index", null_index}, {NULL, NULL}};
    static const luaL_Reg bytes_functions[] = {
        {"__tostring", bytes_tostring}, {"__len", bytes_len}, {"__eq", bytes_eq}, {NULL, NULL}};
    static const luaL_Reg list_functions[] = {{NULL, NULL}};
    value_push_null(L);
    metatable(L, "null", null_functions);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    metatable(L, "bytes", bytes_functions);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_bytes);
    metatable(L, "list", list_functions);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_list);
}

/* ---- what scripts call ---- */
static int api_list(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (lua_getmetatable(L, 1)) {
        if (!value_is_list(L, 1))
            return luaL_error(L, "ml.list: the table has a metatable already");
        lua_pop(L, 1);
    }
    value_set_list(L, 1);
    return 1;
}

static int api_bytes(lua_State *L)
{
    struct str s;
    s.p = luaL_checklstring(L, 1, &s.n);
    value_push_bytes(L, s);
    return 1;
}

static int buf_gc(lua_State *L)
{
    buf_free(lua_touserdata(L, 1));
    return 0;
}

struct buf *value_push_buffer(lua_State *L, size_t max)
{
    struct buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    buf_init(b, max);
    if (luaL_newmetatable(L, "moonloop.buffer")) {
        lua_pushcfunction(L, buf_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return b;
}

/* The value at 1 as JSON text. */
static int push_json(lua_State *L, bool pretty, const char *fname)
{
    struct err e = {0};
    /* the buffer is the state's own, so an error while pushing the result leaks nothing */
    struct buf *b = value_push_buffer(L, VALUE_BYTES_MAX + 1024);
    int code = (pretty ? value_encode_pretty : value_encode)(L, 1, b, "value", &e);
    charge(L, b->n);
    if (code) return luaL_error(L, "%s: %s", fname, e.text);
    lua_pushlstring(L, b->p ? b->p : "", b->n);
    buf_free(b);
    return 1;
}

static int api_encode(lua_State *L)
{
    bool pretty = false;
    luaL_checkany(L, 1);
    if (!lua_isnoneornil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        lua_getfield(L, 2, "indent");
        pretty = lua_toboolean(L, -1);
    }
    return push_json(L, pretty, "ml.json.encode");
}

static int api_pretty(lua_State *L)
{
    luaL_checkany(L, 1);
    return push_json(L, true, "ml.json.pretty");
}

static int api_decode(lua_State *L)
{
    struct err e = {0};
    struct str text;
    if (!value_to_bytes(L, 1, &text)) text.p = luaL_checklstring(L, 1, &text.n);
    charge(L, text.n);
    if (value_decode(L, text, &e)) return luaL_error(L, "ml.json.decode: %s", e.text);
    return 1;
}

void value_install(lua_State *L, int idx)
{
    static const luaL_Reg functions[] = {{"list", api_list}, {"bytes", api_bytes}, {NULL, NULL}};
    static const luaL_Reg json[] = {
        {"encode", api_encode}, {"decode", api_decode}, {"pretty", api_pretty}, {NULL, NULL}};
    idx = lua_absindex(L, idx);
    value_push_null(L);
    lua_setfield(L, idx, "null");
    luaL_newlib(L, json);
    lua_setfield(L, idx, "json");
    lua_pushvalue(L, idx);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
    schema_install(L, idx);
}

/* ---- payloads ---- */
int value_to_payload(lua_State *L, int idx, struct arena *a, struct rec **out, const char *root,
                     struct err *e)
{
    struct str bytes;
    struct rec *p;
    if (lua_isnoneornil(L, idx)) {
        p = payload_new(a, PAYLOAD_NULL, (struct str){NULL, 0});
    } else if (value_to_bytes(L, idx, &bytes)) {
        if (bytes.n > VALUE_BYTES_MAX)
            return err_set(e, ERR_LIMIT, "%s: larger than 32 MiB", root ? root : "value");
        p = payload_new(a, PAYLOAD_PLAIN, arena_str(a, bytes));
    } else {
        struct buf b;
        buf_init(&b, VALUE_BYTES_MAX + 1024);
        int code = value_encode(L, idx, &b, root, e);
        if (code) {
            buf_free(&b);
            return code;
        }
        p = payload_new(a, PAYLOAD_JSON, arena_str(a, buf_str(&b)));
        buf_free(&b);
    }
    if (!p || arena_failed(a))
        return err_set(e, ERR_NOMEM, "%s: out of memory", root ? root : "value");
    *out = p;
    return 0;
}

int value_push_payload(lua_State *L, const struct rec *payload, struct err *e)
{
    struct str encoding = payload_encoding(payload), data = payload_data(payload);
    if (!lua_checkstack(L, 5)) return err_set(e, ERR_NOMEM, "payload: out of memory");
    if (!payload || str_eqz(encoding, PAYLOAD_NULL)) {
        lua_pushnil(L);
        return 0;
    }
    if (str_eqz(encoding, PAYLOAD_JSON) || str_eqz(encoding, "json/protobuf"))
        return value_decode(L, data, e);
    value_push_bytes(L, data);
    return 0;
}

int value_to_payloads(lua_State *L, int first, int n, struct arena *a, struct rec **out,
                      const char *root, struct err *e)
{
    struct rec *all = NULL;
    if (n > 0) {
        first = lua_absindex(L, first);
        all = rec_new(a, &rec_type_payloads);
    }
    for (int i = 0; i < n; i++) {
        struct rec *one = NULL;
        char name[80];
        if (n > 1) snprintf(name, sizeof name, "%.60s %d", root ? root : "value", i + 1);
        int code = value_to_payload(L, first + i, a, &one, n > 1 ? name : root, e);
        if (code) return code;
        payloads_add(all, one);
    }
    if (arena_failed(a)) return err_set(e, ERR_NOMEM, "%s: out of memory", root ? root : "value");
    *out = all;
    return 0;
}

int value_push_payloads(lua_State *L, const struct rec *payloads, int *n, struct err *e)
{
    const struct rec_field *f = NULL;
    int top = lua_gettop(L), count = 0;
    while ((f = rec_each(payloads, T(payloads, payloads), f))) {
        int code = value_push_payload(L, f->v.m, e);
        if (code) {
            lua_settop(L, top);
            return code;
        }
        count++;
    }
    *n = count;
    return 0;
}
