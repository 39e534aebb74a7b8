/* Schemas in Lua: see schema_lib.h. Keeps true: whatever holds memory of malloc's while Lua is
 * called is a userdata of the state (value_push_buffer). */
#include "script/schema_lib.h"
#include "script/sandbox.h"
#include <lauxlib.h>

#define CLASS "moonloop.schema"
#define SHORT_DEPTH_MAX 60
#define STEPS_PER_CHARGE 4 /* of a check, for one instruction */

const struct schema *schema_at(lua_State *L, int idx)
{
    struct schema *s = lua_type(L, idx) == LUA_TUSERDATA ? lua_touserdata(L, idx) : NULL;
    if (!s || !lua_checkstack(L, 3) || !lua_getmetatable(L, idx)) return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, CLASS);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? s : NULL;
}

static const struct schema *check_schema(lua_State *L, int idx)
{
    const struct schema *s = schema_at(L, idx);
    if (!s) luaL_typeerror(L, idx, "schema");
    return s;
}

void schema_push(lua_State *L, struct str text, enum schema_mode mode, const char *name)
{
    struct arena a;
    struct schema s;
    struct err e = {0};
    sandbox_charge(L, text.n);
    /* once to see that it is right and how large it gets, once where it stays */
    arena_init(&a, 0);
    struct json_mem m = {.arena = &a};
    int code = schema_compile(text, mode, &m, &s, &e);
    arena_free(&a);
    if (code) luaL_error(L, "%s: %s", name, e.text);
    struct schema *out = lua_newuserdatauv(L, sizeof *out + m.used, 0);
    struct json_mem block = {.block = (char *)(out + 1), .size = m.used};
    if (schema_compile(text, mode, &block, out, &e)) luaL_error(L, "%s: %s", name, e.text);
    lua_rawgetp(L, LUA_REGISTRYINDEX, CLASS);
    lua_setmetatable(L, -2);
}

/* Pushes a copy of the shorthand in which schemas stand as their texts. */
static void copy_short(lua_State *L, int idx, int depth)
{
    const struct schema *s = schema_at(L, idx);
    luaL_checkstack(L, 6, "ml.schema: nested too deeply");
    if (s) {
        lua_createtable(L, 0, 1);
        lua_pushlstring(L, s->text.p, s->text.n);
        lua_setfield(L, -2, SCHEMA_SHORT_RAW);
        return;
    }
    if (lua_type(L, idx) != LUA_TTABLE) {
        lua_pushvalue(L, idx);
        return;
    }
    if (depth > SHORT_DEPTH_MAX) luaL_error(L, "ml.schema: nested too deeply");
    lua_newtable(L);
    if (value_is_list(L, idx)) value_set_list(L, -1);
    for (lua_pushnil(L); lua_next(L, idx);) {
        lua_pushvalue(L, -2);
        copy_short(L, lua_absindex(L, -2), depth + 1);
        lua_rawset(L, -5);
        lua_pop(L, 1);
    }
}

static struct buf *push_json(lua_State *L, int idx, const char *name)
{
    struct err e = {0};
    struct buf *b = value_push_buffer(L, SCHEMA_BYTES_MAX);
    if (value_encode(L, idx, b, "schema", &e)) luaL_error(L, "%s: %s", name, e.text);
    return b;
}

static int ml_schema(lua_State *L)
{
    struct err e = {0};
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    if (schema_at(L, 1)) return 1;
    copy_short(L, 1, 0);
    struct buf *b = push_json(L, 2, "ml.schema");
    struct buf *text = value_push_buffer(L, SCHEMA_BYTES_MAX);
    struct buf *canonical = value_push_buffer(L, SCHEMA_BYTES_MAX);
    if (schema_from_short(buf_str(b), text, &e) || value_canonical(buf_str(text), canonical, &e))
        return luaL_error(L, "ml.schema: %s", e.text);
    schema_push(L, buf_str(canonical), SCHEMA_STRICT, "ml.schema");
    return 1;
}

static int ml_json_schema(lua_State *L)
{
    struct err e = {0};
    struct str text;
    luaL_checkany(L, 1);
    api_check_options(L, 2, "json_schema", "ml.json_schema");
    lua_settop(L, 2);
    if (schema_at(L, 1)) {
        lua_settop(L, 1);
        return 1;
    }
    bool lenient = lua_istable(L, 2) && api_opt_bool(L, 2, "lenient", false);
    struct buf *canonical = value_push_buffer(L, SCHEMA_BYTES_MAX);
    if (lua_type(L, 1) == LUA_TSTRING)
        text.p = lua_tolstring(L, 1, &text.n);
    else
        text = buf_str(push_json(L, 1, "ml.json_schema"));
    if (value_canonical(text, canonical, &e)) return luaL_error(L, "ml.json_schema: %s", e.text);
    schema_push(L, buf_str(canonical), lenient ? SCHEMA_LENIENT : SCHEMA_STRICT, "ml.json_schema");
    return 1;
}

static int schema_json(lua_State *L)
{
    const struct schema *s = check_schema(L, 1);
    lua_pushlstring(L, s->text.p, s->text.n);
    return 1;
}

/* The check of the text in b; its errors as JSON are in b after it. *n says how many. */
static int check_into(const struct schema *s, struct buf *b, int code, struct err *e, size_t *n,
                      uint64_t *steps)
{
    struct schema_report r;
    schema_report_init(&r);
    if (code == 0)
        code = schema_check_text(s, buf_str(b), &r, e);
    else if (code != ERR_NOMEM)
        code = schema_report_add(&r, STR(""), "json", e->text);
    buf_reset(b);
    if (!code && r.n) {
        schema_report_json(&r, b);
        code = b->code;
    }
    *n = r.n;
    *steps = r.steps;
    schema_report_free(&r);
    return code;
}

static int schema_validate(lua_State *L)
{
    const struct schema *s = check_schema(L, 1);
    struct err e = {0};
    size_t n = 0;
    uint64_t steps = 0;
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    struct buf *b = value_push_buffer(L, SCHEMA_INSTANCE_MAX);
    int code = check_into(s, b, value_encode(L, 2, b, "value", &e), &e, &n, &steps);
    sandbox_charge(L, steps / STEPS_PER_CHARGE);
    if (code) return luaL_error(L, "schema:validate: %s", e.text[0] ? e.text : err_name(code));
    if (n == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    if (value_decode(L, buf_str(b), &e)) return luaL_error(L, "schema:validate: %s", e.text);
    buf_free(b);
    return 2;
}

void schema_install(lua_State *L, int idx)
{
    static const luaL_Reg functions[] = {
        {"schema", ml_schema}, {"json_schema", ml_json_schema}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"json", schema_json}, {"validate", schema_validate}, {NULL, NULL}};
    idx = lua_absindex(L, idx);
    luaL_newmetatable(L, CLASS);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, CLASS);
    lua_pushliteral(L, "schema");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushcfunction(L, schema_json);
    lua_setfield(L, -2, "__tostring");
    luaL_newlib(L, methods);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "moonloop.classes");
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "schema");
    lua_pop(L, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushvalue(L, idx);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
