/* ml.store: the durable key-value store in moonloop's own file. Reads see what is committed; a write waits for its commit. */
#include "activity/act_internal.h"
#include "store/kv.h"

#define KEY_MAX 1024
#define LIST_MAX 10000

struct store_op {
    struct act_op op;
    struct act_link *link;
    struct store_answer answer;
    const char *fname;
    bool existed_matters;
};

static void on_answer(void *ud, const struct store_answer *a)
{
    struct act_link *l = ud;
    struct store_op *o = (struct store_op *)l->op;
    mem_free(l);
    if (!o) return;
    o->link = NULL;
    o->answer = *a;
    act_op_done(&o->op);
}

static void cut(struct act_op *op)
{
    struct store_op *o = (struct store_op *)op;
    if (o->link) o->link->op = NULL;
    o->link = NULL;
}

static int push_answer(lua_State *L, struct act_op *op)
{
    struct store_op *o = (struct store_op *)op;
    if (o->answer.kind == STORE_STORAGE) return act_fail_err(L, o->fname, &o->answer.err);
    lua_pushboolean(L, o->answer.kind == STORE_DURABLE && (!o->existed_matters || o->answer.changes > 0));
    return 1;
}

static struct store_op *new_op(lua_State *L, const char *fname)
{
    struct store_op *o = act_op_new(L, sizeof *o, cut, push_answer, cut);
    o->fname = fname;
    o->link = act_link_new(&o->op);
    if (!o->link) act_misuse(L, "out of memory");
    return o;
}

/* Upvalues: 1 the namespace, 2 its table; ns.get(k) and ns:get(k) are the same. */
static struct store *enter(lua_State *L, const char *fname, struct str *ns)
{
    struct act_host *h = act_host_of(L);
    act_act(L, fname);
    if (!h->env.store) act_misuse(L, "%s: there is no database here", fname);
    if (lua_rawequal(L, 1, lua_upvalueindex(2))) lua_remove(L, 1);
    ns->p = lua_tolstring(L, lua_upvalueindex(1), &ns->n);
    return h->env.store;
}

static struct str check_key(lua_State *L, int idx, const char *fname)
{
    struct str key = act_check_str(L, idx);
    if (key.n == 0 || key.n > KEY_MAX) act_misuse(L, "%s: a key has 1 to %d bytes", fname, KEY_MAX);
    return key;
}

static int store_get(lua_State *L)
{
    struct str ns;
    struct store *s = enter(L, "ml.store.get", &ns);
    struct err e = {0};
    int64_t version = 0;
    bool found = false;
    struct str key = check_key(L, 1, "ml.store.get");
    struct buf *b = act_buf(L, VALUE_BYTES_MAX * 2);
    struct arena *a = act_arena(L, 0);
    if (kv_get(s, ns, key, act_now(act_host_of(L)), b, &version, &found, &e) < 0) return act_fail_err(L, "ml.store.get", &e);
    if (!found) {
        lua_pushnil(L);
        lua_pushinteger(L, 0);
        return 2;
    }
    struct rec *p = NULL;
    if (rec_decode(a, &rec_type_payload, buf_str(b), &p, &e) < 0 || value_push_payload(L, p, &e) < 0) return act_misuse(L, "ml.store.get: %s", e.text);
    lua_pushinteger(L, version);
    return 2;
}

static int write_value(lua_State *L, const char *fname, struct store *s, struct str ns, struct str key, int value, int64_t expect, int64_t ttl_ns)
{
    struct err e = {0};
    struct rec *p = NULL;
    struct act_host *h = act_host_of(L);
    struct buf *b = act_buf(L, VALUE_BYTES_MAX * 2);
    struct arena *a = act_arena(L, 0);
    if (lua_isnoneornil(L, value)) return act_misuse(L, "%s: the value is nil; use ml.store.delete", fname);
    if (act_resolve_handles(L, value)) lua_replace(L, value);
    if (value_to_payload(L, value, a, &p, "value", &e) < 0) return act_misuse(L, "%s: %s", fname, e.text);
    if (rec_encode(p, b) < 0) return act_misuse(L, "%s: the value is too large", fname);
    int64_t now = act_now(h);
    struct store_op *o = new_op(L, fname);
    o->op.done = false;
    kv_set(s, ns, key, buf_str(b), expect, ttl_ns > 0 ? now + ttl_ns : 0, now, on_answer, o->link);
    return act_op_wait(L, o);
}

/* set(key, value, {ttl, if_version, if_absent}): false when the expectation failed. */
static int store_set(lua_State *L)
{
    struct str ns;
    struct store *s = enter(L, "ml.store.set", &ns);
    int64_t ttl = 0, expect = -1;
    lua_settop(L, 3);
    struct str key = check_key(L, 1, "ml.store.set");
    if (!lua_isnil(L, 3)) {
        api_check_options(L, 3, "store_set", "ml.store.set");
        api_opt_duration(L, 3, "ttl", "ml.store.set", &ttl);
        if (lua_getfield(L, 3, "if_version") != LUA_TNIL) expect = luaL_checkinteger(L, -1);
        if (api_opt_bool(L, 3, "if_absent", false)) expect = 0;
        lua_settop(L, 3);
    }
    return write_value(L, "ml.store.set", s, ns, key, 2, expect, ttl);
}

/* cas(key, version, value, {ttl}): writes when the key is at this version (0: not there); tells whether. */
static int store_cas(lua_State *L)
{
    struct str ns;
    struct store *s = enter(L, "ml.store.cas", &ns);
    int64_t ttl = 0;
    lua_settop(L, 4);
    struct str key = check_key(L, 1, "ml.store.cas");
    lua_Integer version = lua_isnil(L, 2) ? 0 : luaL_checkinteger(L, 2);
    luaL_argcheck(L, version >= 0, 2, "a version as ml.store.get gives it");
    if (!lua_isnil(L, 4)) {
        api_check_options(L, 4, "store_set", "ml.store.cas");
        api_opt_duration(L, 4, "ttl", "ml.store.cas", &ttl);
    }
    return write_value(L, "ml.store.cas", s, ns, key, 3, version, ttl);
}

static int store_delete(lua_State *L)
{
    struct str ns;
    struct store *s = enter(L, "ml.store.delete", &ns);
    lua_settop(L, 2);
    struct str key = check_key(L, 1, "ml.store.delete");
    int64_t expect = lua_isnil(L, 2) ? -1 : luaL_checkinteger(L, 2);
    struct store_op *o = new_op(L, "ml.store.delete");
    o->existed_matters = true;
    o->op.done = false;
    kv_delete(s, ns, key, expect, act_now(act_host_of(L)), on_answer, o->link);
    return act_op_wait(L, o);
}

static void each_key(void *ud, struct str key, int64_t version)
{
    struct buf *b = ud;
    (void)version;
    buf_put(b, &key.n, sizeof key.n);
    buf_putstr(b, key);
}

/* list(prefix, {limit, after}): keys in byte order. */
static int store_list(lua_State *L)
{
    struct str ns, prefix = STR(""), after = {NULL, 0};
    struct store *s = enter(L, "ml.store.list", &ns);
    struct err e = {0};
    lua_Integer limit = 1000, n = 0;
    lua_settop(L, 2);
    if (!lua_isnil(L, 1)) prefix = act_check_str(L, 1);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        if (lua_getfield(L, 2, "limit") != LUA_TNIL) limit = luaL_checkinteger(L, -1);
        api_opt_str(L, 2, "after", &after);
        luaL_argcheck(L, limit > 0 && limit <= LIST_MAX, 2, "limit is 1 to 10000");
    }
    struct buf *b = act_buf(L, 64u << 20);
    if (kv_list(s, ns, prefix, after, (int)limit, act_now(act_host_of(L)), each_key, b, &e) < 0) return act_fail_err(L, "ml.store.list", &e);
    if (b->code < 0) return act_misuse(L, "ml.store.list: out of memory");
    lua_newtable(L);
    value_set_list(L, -1);
    for (size_t at = 0; at + sizeof(size_t) <= b->n;) {
        size_t len;
        memcpy(&len, b->p + at, sizeof len);
        at += sizeof len;
        lua_pushlstring(L, b->p + at, len);
        lua_rawseti(L, -2, ++n);
        at += len;
    }
    return 1;
}

static void push_namespace(lua_State *L, struct str ns);

static int store_namespace(lua_State *L)
{
    if (lua_rawequal(L, 1, lua_upvalueindex(2))) lua_remove(L, 1);
    struct str ns = act_check_str(L, 1);
    if (ns.n == 0 || ns.n > 200) return act_misuse(L, "ml.store.namespace: a name has 1 to 200 bytes");
    push_namespace(L, ns);
    return 1;
}

static void push_namespace(lua_State *L, struct str ns)
{
    static const luaL_Reg functions[] = {{"get", store_get}, {"set", store_set}, {"cas", store_cas}, {"delete", store_delete},
                                         {"list", store_list}, {"namespace", store_namespace}, {NULL, NULL}};
    lua_newtable(L);
    lua_pushlstring(L, ns.p, ns.n);
    lua_pushvalue(L, -2);
    luaL_setfuncs(L, functions, 2); /* pops the two */
}

void act_open_store(lua_State *L)
{
    push_namespace(L, STR("default"));
    lua_setfield(L, -2, "store");
}
