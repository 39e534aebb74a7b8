/* pairs and next of a run: a defined order whatever the table's memory looks like. Keys ascend:
 * numbers, strings by bytes, false, true, then one object at most. pairs walks a snapshot of the
 * keys; next(t) of an empty table is one look, a step of next takes its successor from a small
 * cache of snapshots. */
#include "script/sandbox_impl.h"
#include <math.h>

#define CACHE_SLOTS 8
static const char key_cache;

/* Order of two keys on the stack; both are of kinds that have one. */
static int rank(lua_State *L, int idx)
{
    switch (lua_type(L, idx)) {
    case LUA_TNUMBER:
        return 0;
    case LUA_TSTRING:
        return 1;
    case LUA_TBOOLEAN:
        return 2;
    default:
        return 3;
    }
}

static bool key_less(lua_State *L, int a, int b)
{
    int ra = rank(L, a), rb = rank(L, b);
    if (ra != rb) return ra < rb;
    if (ra == 0) return lua_compare(L, a, b, LUA_OPLT);
    if (ra == 1) {
        struct str x, y;
        x.p = lua_tolstring(L, a, &x.n);
        y.p = lua_tolstring(L, b, &y.n);
        return str_cmp(x, y) < 0;
    }
    return ra == 2 && !lua_toboolean(L, a) && lua_toboolean(L, b);
}

/* A key as C data: strings are alive as long as the table holds them, and nothing runs while the
 * sort does. */
struct key {
    int rank;
    bool is_int;
    lua_Integer i;
    double d;
    struct str s;
};

static int num_cmp(const struct key *a, const struct key *b)
{
    if (a->is_int && b->is_int) return a->i < b->i ? -1 : a->i > b->i;
    if (!a->is_int && !b->is_int) return a->d < b->d ? -1 : a->d > b->d;
    if (!a->is_int) return -num_cmp(b, a);
    /* whole number against float: a float key is never whole, unless it is outside 64 bits */
    if (b->d >= 0x1p63) return -1;
    if (b->d < -0x1p63) return 1;
    return a->i <= (lua_Integer)floor(b->d) ? -1 : 1;
}

static int key_cmp(const struct key *a, const struct key *b)
{
    if (a->rank != b->rank) return a->rank - b->rank;
    switch (a->rank) {
    case 0:
        return num_cmp(a, b);
    case 1:
        return str_cmp(a->s, b->s);
    default:
        return a->i < b->i ? -1 : a->i > b->i;
    }
}

static void sift(struct key *a, size_t i, size_t n)
{
    struct key v = a[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && key_cmp(&a[child], &a[child + 1]) < 0) child++;
        if (key_cmp(&v, &a[child]) >= 0) break;
        a[i] = a[child];
    }
    a[i] = v;
}

static void sort_keys(struct key *a, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(a, i, n);
    for (size_t i = n; i-- > 1;) {
        struct key t = a[0];
        a[0] = a[i];
        a[i] = t;
        sift(a, 0, i);
    }
}

/* Reads the key at -2 into k; an object key is kept at stack index `object` (one only). */
static void read_key(lua_State *L, struct key *k, int object)
{
    *k = (struct key){.rank = rank(L, -2)};
    if (k->rank == 0) {
        k->is_int = lua_isinteger(L, -2);
        k->i = k->is_int ? lua_tointeger(L, -2) : 0;
        k->d = lua_tonumber(L, -2);
    } else if (k->rank == 1) {
        k->s.p = lua_tolstring(L, -2, &k->s.n);
    } else if (k->rank == 2) {
        k->i = lua_toboolean(L, -2);
    } else {
        if (!lua_isnil(L, object))
            luaL_error(
                L,
                "pairs: a table with more than one %s as a key has no defined order in a workflow; "
                "use names or numbers as keys",
                luaL_typename(L, -2));
        lua_pushvalue(L, -2);
        lua_replace(L, object);
    }
}

/* Pushes the keys of the table at t in order: a table, or the number n when they are 1..n. */
static void push_keys(lua_State *L, int t)
{
    size_t n = 0;
    bool list = true;
    luaL_checkstack(L, 8, NULL);
    lua_pushnil(L);
    int object = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1)) {
        n++;
        list = list && lua_isinteger(L, -2) && lua_tointeger(L, -2) == (lua_Integer)n;
    }
    sandbox_charge(L, n);
    if (list) {
        lua_pushinteger(L, (lua_Integer)n);
        lua_replace(L, object);
        return;
    }
    struct key *keys = lua_newuserdatauv(L, n * sizeof *keys, 0);
    size_t i = 0;
    for (lua_pushnil(L); i < n && lua_next(L, t); lua_pop(L, 1))
        read_key(L, &keys[i++], object);
    lua_settop(L, object + 1);
    sort_keys(keys, n);
    lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
    for (i = 0; i < n; i++) {
        const struct key *k = &keys[i];
        if (k->rank == 0 && k->is_int)
            lua_pushinteger(L, k->i);
        else if (k->rank == 0)
            lua_pushnumber(L, k->d);
        else if (k->rank == 1)
            lua_pushlstring(L, k->s.p, k->s.n);
        else if (k->rank == 2)
            lua_pushboolean(L, (int)k->i);
        else
            lua_pushvalue(L, object);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_replace(L, object);
    lua_settop(L, object);
}

/* From place `at` of the keys at index `keys`: pushes key and value of the next one that is still
 * there. Returns its place, 0 at the end. */
static lua_Integer next_present(lua_State *L, int t, int keys, lua_Integer at)
{
    bool list = lua_isinteger(L, keys);
    lua_Integer n = list ? lua_tointeger(L, keys) : (lua_Integer)lua_rawlen(L, keys);
    while (++at <= n) {
        if (list)
            lua_pushinteger(L, at);
        else
            lua_rawgeti(L, keys, at);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, t) != LUA_TNIL) return at;
        lua_pop(L, 2);
    }
    return 0;
}

/* upvalues: keys, place */
static int pairs_step(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer at = next_present(L, 1, lua_upvalueindex(1), lua_tointeger(L, lua_upvalueindex(2)));
    lua_pushinteger(L, at ? at : LUA_MAXINTEGER - 1);
    lua_replace(L, lua_upvalueindex(2));
    if (!at) lua_pushnil(L);
    return at ? 2 : 1;
}

static int meta_pairs_done(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 3;
}

static int run_pairs(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_insert(L, 1);
        lua_callk(L, 1, 3, 0, meta_pairs_done);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    push_keys(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, pairs_step, 2);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* ---- next ---- */
/* Place of the key at index 2 in the keys at index `keys`; 0 when it is not there. */
static lua_Integer place_of(lua_State *L, int keys)
{
    if (lua_isinteger(L, keys)) {
        lua_Integer k = lua_type(L, 2) == LUA_TNUMBER ? lua_tointeger(L, 2) : 0;
        return k >= 1 && k <= lua_tointeger(L, keys) ? k : 0;
    }
    lua_Integer low = 1, high = (lua_Integer)lua_rawlen(L, keys);
    while (low <= high) {
        lua_Integer mid = low + (high - low) / 2;
        lua_rawgeti(L, keys, mid);
        int at = lua_gettop(L);
        bool same = lua_rawequal(L, at, 2), less = !same && key_less(L, at, 2);
        lua_pop(L, 1);
        if (same) return mid;
        if (less)
            low = mid + 1;
        else
            high = mid - 1;
    }
    return 0;
}

/* The first key in order, by one walk over the table. */
static int next_first(lua_State *L)
{
    lua_Integer n = 0;
    lua_settop(L, 1);
    lua_pushnil(L);
    if (!lua_next(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    lua_pop(L, 1);
    lua_pushvalue(L, 2); /* 3: the walk's key; 2: the smallest so far */
    int objects = rank(L, 2) == 3;
    while (lua_next(L, 1)) {
        lua_pop(L, 1);
        n++;
        objects += rank(L, 3) == 3;
        if (objects > 1)
            return luaL_error(L, "next: a table with more than one object as a key has no defined "
                                 "order in a workflow");
        if (key_less(L, 3, 2)) {
            lua_pushvalue(L, 3);
            lua_replace(L, 2);
        }
    }
    sandbox_charge(L, 2 * (uint64_t)n);
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    lua_rawget(L, 1);
    return 2;
}

/* cache: {[2i+1] = table, [2i+2] = keys, n = slot to use next}; the tables in it are held until
 * they are pushed out. */
static int run_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) return next_first(L);
    luaL_checkstack(L, 10, NULL);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_cache); /* 3 */
    for (int i = 0; i < CACHE_SLOTS; i++) {
        lua_rawgeti(L, 3, 2 * i + 1);
        bool same = lua_rawequal(L, -1, 1);
        lua_pop(L, 1);
        if (!same) continue;
        lua_rawgeti(L, 3, 2 * i + 2); /* 4 */
        lua_Integer at = place_of(L, 4);
        if (at) {
            at = next_present(L, 1, 4, at);
            if (!at) { /* the walk is over: let the table go */
                lua_pushnil(L);
                lua_rawseti(L, 3, 2 * i + 1);
                lua_pushnil(L);
            }
            return at ? 2 : 1;
        }
        lua_pushnil(L);
        lua_rawseti(L, 3, 2 * i + 1);
        lua_settop(L, 3);
        break;
    }
    push_keys(L, 1); /* 4 */
    lua_Integer at = place_of(L, 4);
    if (!at) return luaL_error(L, "next: the key is not in the table");
    lua_rawgeti(L, 3, 0);
    lua_Integer slot = lua_tointeger(L, -1) % CACHE_SLOTS;
    lua_pushinteger(L, slot + 1);
    lua_rawseti(L, 3, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, 3, 2 * slot + 1);
    lua_pushvalue(L, 4);
    lua_rawseti(L, 3, 2 * slot + 2);
    lua_settop(L, 4);
    at = next_present(L, 1, 4, at);
    if (!at) lua_pushnil(L);
    return at ? 2 : 1;
}

void sandbox_open_pairs(lua_State *L)
{
    lua_createtable(L, 2 * CACHE_SLOTS, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_cache);
    lua_pushcfunction(L, run_pairs);
    lua_setglobal(L, "pairs");
    lua_pushcfunction(L, run_next);
    lua_setglobal(L, "next");
}
