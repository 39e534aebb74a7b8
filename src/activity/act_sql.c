/* ml.store.sql(path): SQL on the user's own SQLite file, parameters only, off the loop. One
 * connection for each file. */
#include "activity/act_internal.h"
#include "store/sqlfile.h"

#include <stdlib.h>

#define ROWS_MAX 100000

struct sql_op {
    struct act_op op;
    struct act_link *link;
    struct arena arena;
    struct sqlfile_result r;
    bool rows;
    const char *fname;
};

void act_sqlfiles_close(struct act_host *h)
{
    for (struct map_entry *en = h->sqlfiles.first; en; en = en->next)
        sqlfile_close(en->value);
}

/* Copies the result: it is borrowed for the call only. */
static void on_result(void *ud, const struct sqlfile_result *r)
{
    struct act_link *l = ud;
    struct sql_op *o = (struct sql_op *)l->op;
    mem_free(l);
    if (!o) return;
    o->link = NULL;
    struct arena *a = &o->arena;
    o->r = *r;
    size_t n = r->columns * r->rows;
    o->r.names = arena_alloc(a, (r->columns + 1) * sizeof *r->names);
    o->r.values = arena_alloc(a, (n + 1) * sizeof *r->values);
    for (size_t i = 0; i < r->columns && o->r.names; i++)
        o->r.names[i] = arena_str(a, r->names[i]);
    for (size_t i = 0; i < n && o->r.values; i++) {
        o->r.values[i] = r->values[i];
        if (r->values[i].s.n) o->r.values[i].s = arena_str(a, r->values[i].s);
    }
    if (arena_failed(a)) err_set(&o->r.err, ERR_NOMEM, "no memory for the rows");
    act_op_done(&o->op);
}

static void cut(struct act_op *op)
{
    struct sql_op *o = (struct sql_op *)op;
    if (o->link) o->link->op = NULL;
    o->link = NULL;
}

static void release(struct act_op *op)
{
    cut(op);
    arena_free(&((struct sql_op *)op)->arena);
}

static void push_value(lua_State *L, const struct sqlfile_value *v)
{
    switch (v->kind) {
    case SQLFILE_INT:
        lua_pushinteger(L, v->i);
        break;
    case SQLFILE_REAL:
        lua_pushnumber(L, v->d);
        break;
    case SQLFILE_TEXT:
        lua_pushlstring(L, v->s.p ? v->s.p : "", v->s.n);
        break;
    case SQLFILE_BLOB:
        value_push_bytes(L, v->s);
        break;
    default:
        lua_pushnil(L);
        break;
    }
}

static int push_result(lua_State *L, struct act_op *op)
{
    struct sql_op *o = (struct sql_op *)op;
    const struct sqlfile_result *r = &o->r;
    if (r->err.code == ERR_ARG)
        return act_fail(L, "SqlError", false, "%s: %s", o->fname, r->err.text);
    if (r->err.code) return act_fail_err(L, o->fname, &r->err);
    if (!o->rows) {
        lua_createtable(L, 0, 2);
        lua_pushinteger(L, r->changes);
        lua_setfield(L, -2, "changes");
        lua_pushinteger(L, r->last_id);
        lua_setfield(L, -2, "last_id");
        return 1;
    }
    lua_createtable(L, (int)r->rows, 0);
    value_set_list(L, -1);
    for (size_t i = 0; i < r->rows; i++) {
        lua_createtable(L, 0, (int)r->columns);
        for (size_t k = 0; k < r->columns; k++) {
            lua_pushlstring(L, r->names[k].p, r->names[k].n);
            push_value(L, &r->values[i * r->columns + k]);
            lua_rawset(L, -3);
        }
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    release(op);
    return 1;
}

/* One parameter from the stack top. */
static struct sqlfile_value parameter(lua_State *L, struct arena *a, const char *fname)
{
    struct sqlfile_value v = {.kind = SQLFILE_NULL};
    struct str s;
    if (lua_isnil(L, -1) || value_is_null(L, -1)) return v;
    if (lua_isboolean(L, -1)) {
        v.kind = SQLFILE_INT;
        v.i = lua_toboolean(L, -1);
    } else if (lua_isinteger(L, -1)) {
        v.kind = SQLFILE_INT;
        v.i = lua_tointeger(L, -1);
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
        v.kind = SQLFILE_REAL;
        v.d = lua_tonumber(L, -1);
    } else if (value_to_bytes(L, -1, &s)) {
        v.kind = SQLFILE_BLOB;
        v.s = arena_str(a, s);
    } else if (act_to_str(L, -1, &s)) {
        v.kind = SQLFILE_TEXT;
        v.s = s.n ? arena_str(a, s) : STR("");
    } else {
        act_misuse(L,
                   "%s: a parameter is a %s; use numbers, texts, booleans, ml.bytes or ml.null "
                   "(ml.json.encode for tables)",
                   fname, luaL_typename(L, -1));
    }
    return v;
}

static size_t parameters(lua_State *L, struct arena *a, const char *fname,
                         struct sqlfile_value **values, struct str **names)
{
    *values = NULL;
    *names = NULL;
    if (lua_isnoneornil(L, 3)) return 0;
    luaL_checktype(L, 3, LUA_TTABLE);
    size_t n = lua_rawlen(L, 3), all = 0;
    for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
        if (n > 0 && !lua_isinteger(L, -2))
            act_misuse(L, "%s: parameters are a list or a table of names, not both", fname);
        if (n == 0 && lua_type(L, -2) != LUA_TSTRING)
            act_misuse(L, "%s: the list of parameters has a hole: use ml.null", fname);
        all++;
    }
    if (n > 0 && all != n)
        act_misuse(L, "%s: the list of parameters has a hole: use ml.null", fname);
    *values = arena_alloc(a, (all + 1) * sizeof **values);
    if (n == 0) *names = arena_alloc(a, (all + 1) * sizeof **names);
    if (arena_failed(a)) act_misuse(L, "out of memory");
    size_t i = 0;
    if (n > 0) {
        for (; i < n; i++) {
            lua_rawgeti(L, 3, (lua_Integer)i + 1);
            (*values)[i] = parameter(L, a, fname);
            lua_pop(L, 1);
        }
        return n;
    }
    for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1), i++) {
        const char *name = lua_tostring(L, -2);
        (*names)[i] = strchr(":@$", name[0]) && name[0] ? arena_str(a, str_of(name))
                                                        : arena_printf(a, ":%s", name);
        (*values)[i] = parameter(L, a, fname);
    }
    return all;
}

static int run(lua_State *L, bool rows, const char *fname)
{
    struct sqlfile **box = luaL_checkudata(L, 1, "moonloop.sql");
    struct str sql;
    struct err e = {0};
    act_act(L, fname);
    if (!*box) return act_misuse(L, "%s: the file was closed", fname);
    lua_settop(L, 3);
    sql.p = luaL_checklstring(L, 2, &sql.n);
    struct arena *a = act_arena(L, 64u << 20);
    struct sqlfile_value *values;
    struct str *names;
    size_t n = parameters(L, a, fname, &values, &names);
    if (arena_failed(a)) return act_misuse(L, "%s: the parameters are too large", fname);
    struct sql_op *o = act_op_new(L, sizeof *o, cut, push_result, release);
    arena_init(&o->arena, 0);
    o->rows = rows;
    o->fname = fname;
    o->link = act_link_new(&o->op);
    if (!o->link) return act_misuse(L, "out of memory");
    o->op.done = false;
    int code = sqlfile_exec(*box, sql, values, names, n, ROWS_MAX, on_result, o->link);
    if (code < 0) {
        mem_free(o->link);
        o->link = NULL;
        o->op.done = true;
        err_set(&e, code, "the statement could not be queued (%s)", err_name(code));
        return act_fail_err(L, fname, &e);
    }
    return act_op_wait(L, o);
}

static int sql_exec(lua_State *L)
{
    return run(L, false, "sql:exec");
}

static int sql_query(lua_State *L)
{
    return run(L, true, "sql:query");
}

/* Ends this use of the file; its connection is shared by all uses and stays with the script. */
static int sql_close(lua_State *L)
{
    struct sqlfile **box = luaL_checkudata(L, 1, "moonloop.sql");
    *box = NULL;
    return 0;
}

static int store_sql(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    struct err e = {0};
    act_act(L, "ml.store.sql");
    if (lua_istable(L, 1)) lua_remove(L, 1); /* ml.store:sql(path) */
    struct str path = act_check_str(L, 1);
    if (!path.n || memchr(path.p, 0, path.n)) return act_misuse(L, "ml.store.sql: not a path");
    char *z = str_dup(path);
    if (!z) return act_misuse(L, "out of memory");
    struct sqlfile *f = map_get(&h->sqlfiles, path);
    int code = 0;
    if (!f) {
        z[path.n] = 0;
        code = sqlfile_open(h->env.loop, z, &f, &e);
        if (code == 0 && map_set(&h->sqlfiles, path, f) < 0) {
            sqlfile_close(f);
            code = err_set(&e, ERR_NOMEM, "out of memory");
        }
    }
    mem_free(z);
    if (code < 0) return act_fail_err(L, "ml.store.sql", &e);
    struct sqlfile **box = lua_newuserdatauv(L, sizeof f, 0);
    *box = f;
    luaL_setmetatable(L, "moonloop.sql");
    return 1;
}

void act_open_sql(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"exec", sql_exec}, {"query", sql_query}, {"close", sql_close}, {NULL, NULL}};
    int top = lua_gettop(L);
    luaL_newmetatable(L, "moonloop.sql");
    lua_pushliteral(L, "sql");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_settop(L, top);
    lua_getfield(L, top, "store");
    lua_pushcfunction(L, store_sql);
    lua_setfield(L, -2, "sql");
    lua_settop(L, top);
}
