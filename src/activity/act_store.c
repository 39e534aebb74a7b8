/* ml.store: the durable key-value store in moonloop's own file. Reads see what is committed; a
 * write waits for its commit. */
#include "activity/act_internal.h"
#include "store/kv.h"

#define KEY_MAX 1024
#define LIST_MAX 10000
#define NAMESPACE_MAX 200

#define TRIES_MAX 100 /* of a set that meets other writers */

struct store_op {
    struct act_op op;
    struct act_link *link;
    struct store_answer answer;
    const char *fname;
    bool existed_matters;
    bool sent; /* the link is the store's: freed with its answer */
    /* set: slices of what stands in the frame that waits */
    struct str ns, key, value;
    int64_t ttl_ns, expect;
    int tries;
};

static void on_answer(void *ud, const struct store_answer *a)
{
    struct act_link *l = ud;
    struct store_op *o = (struct store_op *)l->op;
    mem_free(l);
    if (!o) return;
    o->link = NULL;
    o->sent = false;
    o->answer = *a;
    act_op_done(&o->op);
}

static void cut(struct act_op *op)
{
    struct store_op *o = (struct store_op *)op;
    if (o->link && o->sent)
        o->link->op = NULL;
    else
        mem_free(o->link);
    o->link = NULL;
}

static int push_answer(lua_State *L, struct act_op *op)
{
    struct store_op *o = (struct store_op *)op;
    if (o->answer.kind == STORE_STORAGE) return act_fail_err(L, o->fname, &o->answer.err);
    lua_pushboolean(L, o->answer.kind == STORE_DURABLE &&
                           (!o->existed_matters || o->answer.changes > 0));
    return 1;
}

static struct store_op *new_op(lua_State *L, const char *fname,
                               int (*push)(lua_State *, struct act_op *))
{
    struct store_op *o = act_op_new(L, sizeof *o, cut, push, cut);
    o->fname = fname;
    o->link = act_link_new(&o->op);
    if (!o->link) act_misuse(L, "out of memory");
    return o;
}

/* Upvalues: 1 the namespace (nil: it is the first argument), 2 its table; ns.get(k) and ns:get(k)
 * are the same. The namespace stands at 1 of the stack then, the other arguments behind it. */
static struct store *enter(lua_State *L, const char *fname, struct str *ns)
{
    struct act_host *h = act_host_of(L);
    act_act(L, fname);
    if (!h->env.store) act_misuse(L, "%s: there is no database here", fname);
    if (lua_isstring(L, lua_upvalueindex(1))) {
        if (lua_rawequal(L, 1, lua_upvalueindex(2))) lua_remove(L, 1);
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_insert(L, 1);
    }
    *ns = act_check_str(L, 1);
    if (ns->n == 0 || ns->n > NAMESPACE_MAX)
        act_misuse(L, "%s: a namespace has 1 to %d bytes", fname, NAMESPACE_MAX);
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
    struct str key = check_key(L, 2, "ml.store.get");
    struct buf *b = act_buf(L, VALUE_BYTES_MAX * 2);
    struct arena *a = act_arena(L, 0);
    if (kv_get(s, ns, key, act_now(act_host_of(L)), b, &version, &found, &e) < 0)
        return act_fail_err(L, "ml.store.get", &e);
    if (!found) {
        lua_pushnil(L);
        lua_pushinteger(L, 0);
        return 2;
    }
    struct rec *p = NULL;
    if (rec_decode(a, &rec_type_payload, buf_str(b), &p, &e) < 0 ||
        value_push_payload(L, p, &e) < 0)
        return act_misuse(L, "ml.store.get: %s", e.text);
    lua_pushinteger(L, version);
    return 2;
}

/* The value at idx as stored bytes, kept by a buffer in the frame. */
static struct str encode(lua_State *L, int idx, const char *fname)
{
    struct err e = {0};
    struct rec *p = NULL;
    if (lua_isnoneornil(L, idx)) act_misuse(L, "%s: the value is nil; use ml.store.delete", fname);
    if (act_resolve_handles(L, idx)) lua_replace(L, idx);
    struct buf *b = act_buf(L, VALUE_BYTES_MAX * 2);
    struct arena *a = act_arena(L, 0);
    if (value_to_payload(L, idx, a, &p, "value", &e) < 0) act_misuse(L, "%s: %s", fname, e.text);
    if (rec_encode(p, b) < 0) act_misuse(L, "%s: the value is too large", fname);
    return buf_str(b);
}

static int64_t ttl_option(lua_State *L, int idx, const char *fname)
{
    int64_t ttl = 0;
    if (lua_isnoneornil(L, idx)) return 0;
    api_check_options(L, idx, "store_set", fname);
    api_opt_duration(L, idx, "ttl", fname, &ttl);
    return ttl;
}

static int64_t expires(struct act_host *h, int64_t ttl_ns)
{
    return ttl_ns > 0 ? act_now(h) + ttl_ns : 0;
}

/* Writes over the version that is there now, so that the new one is known. */
static int try_set(lua_State *L, struct store_op *o)
{
    struct act_host *h = o->op.h;
    struct err e = {0};
    bool found = false;
    int64_t version = 0;
    struct buf *old = act_buf(L, VALUE_BYTES_MAX * 2);
    int code = kv_get(h->env.store, o->ns, o->key, act_now(h), old, &version, &found, &e);
    buf_free(old);
    lua_pop(L, 1);
    if (code < 0) return act_fail_err(L, o->fname, &e);
    if (!o->link && !(o->link = act_link_new(&o->op))) return act_misuse(L, "out of memory");
    o->expect = found ? version : 0;
    o->op.done = false;
    o->sent = true;
    kv_set(h->env.store, o->ns, o->key, o->value, o->expect, expires(h, o->ttl_ns), act_now(h),
           on_answer, o->link);
    return act_op_wait(L, o);
}

static int push_set(lua_State *L, struct act_op *op)
{
    struct store_op *o = (struct store_op *)op;
    if (o->answer.kind == STORE_STORAGE) return act_fail_err(L, o->fname, &o->answer.err);
    if (o->answer.kind == STORE_GUARD) {
        if (++o->tries >= TRIES_MAX)
            return act_fail(L, "Conflict", true, "%s: others write the key all the time", o->fname);
        return try_set(L, o);
    }
    lua_pushinteger(L, o->expect + 1);
    return 1;
}

/* set(namespace, key, value, {ttl}): the new version. */
static int store_set(lua_State *L)
{
    struct str ns;
    enter(L, "ml.store.set", &ns);
    lua_settop(L, 4);
    struct str key = check_key(L, 2, "ml.store.set");
    int64_t ttl = ttl_option(L, 4, "ml.store.set");
    struct str value = encode(L, 3, "ml.store.set");
    struct store_op *o = new_op(L, "ml.store.set", push_set);
    o->ns = ns;
    o->key = key;
    o->value = value;
    o->ttl_ns = ttl;
    return try_set(L, o);
}

/* cas(namespace, key, version, value, {ttl}): writes when the key is at this version (0: not
 * there); tells whether. */
static int store_cas(lua_State *L)
{
    struct str ns;
    struct store *s = enter(L, "ml.store.cas", &ns);
    struct act_host *h = act_host_of(L);
    lua_settop(L, 5);
    struct str key = check_key(L, 2, "ml.store.cas");
    lua_Integer version = lua_isnil(L, 3) ? 0 : luaL_checkinteger(L, 3);
    luaL_argcheck(L, version >= 0, 3, "a version as ml.store.get gives it");
    int64_t ttl = ttl_option(L, 5, "ml.store.cas");
    struct str value = encode(L, 4, "ml.store.cas");
    struct store_op *o = new_op(L, "ml.store.cas", push_answer);
    o->op.done = false;
    o->sent = true;
    kv_set(s, ns, key, value, version, expires(h, ttl), act_now(h), on_answer, o->link);
    return act_op_wait(L, o);
}

/* delete(namespace, key): whether it was there. */
static int store_delete(lua_State *L)
{
    struct str ns;
    struct store *s = enter(L, "ml.store.delete", &ns);
    lua_settop(L, 2);
    struct str key = check_key(L, 2, "ml.store.delete");
    struct store_op *o = new_op(L, "ml.store.delete", push_answer);
    o->existed_matters = true;
    o->op.done = false;
    o->sent = true;
    kv_delete(s, ns, key, -1, act_now(act_host_of(L)), on_answer, o->link);
    return act_op_wait(L, o);
}

static void each_key(void *ud, struct str key, int64_t version)
{
    struct buf *b = ud;
    (void)version;
    buf_put(b, &key.n, sizeof key.n);
    buf_putstr(b, key);
}

/* list(namespace, {prefix, limit, after}): keys in byte order. */
static int store_list(lua_State *L)
{
    struct str ns, prefix = STR(""), after = {NULL, 0};
    struct store *s = enter(L, "ml.store.list", &ns);
    struct err e = {0};
    lua_Integer limit = 1000, n = 0;
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        api_opt_bytes(L, 2, "prefix", &prefix);
        api_opt_bytes(L, 2, "after", &after);
        if (lua_getfield(L, 2, "limit") != LUA_TNIL) limit = luaL_checkinteger(L, -1);
        luaL_argcheck(L, limit > 0 && limit <= LIST_MAX, 2, "limit is 1 to 10000");
    }
    struct buf *b = act_buf(L, 64u << 20);
    if (kv_list(s, ns, prefix, after, (int)limit, act_now(act_host_of(L)), each_key, b, &e) < 0)
        return act_fail_err(L, "ml.store.list", &e);
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

static const luaL_Reg functions[] = {{"get", store_get},   {"set", store_set},
                                     {"cas", store_cas},   {"delete", store_delete},
                                     {"list", store_list}, {NULL, NULL}};

static int store_namespace(lua_State *L)
{
    struct str ns = act_check_str(L, 1);
    if (ns.n == 0 || ns.n > NAMESPACE_MAX)
        return act_misuse(L, "ml.store.namespace: a namespace has 1 to %d bytes", NAMESPACE_MAX);
    lua_newtable(L);
    lua_pushlstring(L, ns.p, ns.n);
    lua_pushvalue(L, -2);
    luaL_setfuncs(L, functions, 2); /* pops the two */
    return 1;
}

void act_open_store(lua_State *L)
{
    lua_newtable(L);
    lua_pushnil(L);
    lua_pushnil(L);
    luaL_setfuncs(L, functions, 2);
    lua_pushcfunction(L, store_namespace);
    lua_setfield(L, -2, "namespace");
    lua_setfield(L, -2, "store");
}
