/* string.find, match, gmatch and gsub over pattern.c. gsub keeps its state in Lua values, so its
 * callback may wait. */
#include "script/pattern.h"
#include "script/sandbox_impl.h"

static void prepare(struct pattern *m, lua_State *L, int s, int p, bool anchors, bool *anchored)
{
    size_t n, pn;
    m->L = L;
    m->src = lua_tolstring(L, s, &n);
    m->end = m->src + n;
    m->pat = lua_tolstring(L, p, &pn);
    m->pend = m->pat + pn;
    m->steps = 0;
    m->level = m->depth = 0;
    *anchored = anchors && pn > 0 && *m->pat == '^';
    if (*anchored) m->pat++;
}

/* A start position as the manual says: from 1, negative from the end; past the end + 1 gives false.
 */
static bool start_at(lua_State *L, int idx, size_t n, size_t *at)
{
    lua_Integer i = luaL_optinteger(L, idx, 1);
    if (i < 0) i = i < -(lua_Integer)n ? 1 : (lua_Integer)n + i + 1;
    if (i == 0) i = 1;
    *at = (size_t)i - 1;
    return *at <= n;
}

static bool has_specials(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] && strchr("^$*+?.([%-", p[i])) return true;
    return false;
}

static int find_plain(lua_State *L, const char *s, size_t n, size_t at, const char *p, size_t pn)
{
    sandbox_charge(L, (n - at) / 16);
    const char *hit = pn == 0 ? s + at : memmem(s + at, n - at, p, pn);
    if (!hit) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, hit - s + 1);
    lua_pushinteger(L, hit - s + (lua_Integer)pn);
    return 2;
}

static int find_or_match(lua_State *L, bool find)
{
    size_t n, pn, at;
    const char *s = luaL_checklstring(L, 1, &n), *p = luaL_checklstring(L, 2, &pn);
    if (!start_at(L, 3, n, &at)) {
        lua_pushnil(L);
        return 1;
    }
    if (pn > 64) sandbox_charge(L, pn);
    if (find && (lua_toboolean(L, 4) || !has_specials(p, pn)))
        return find_plain(L, s, n, at, p, pn);
    struct pattern m;
    bool anchored;
    prepare(&m, L, 1, 2, true, &anchored);
    for (const char *from = m.src + at;; from++) {
        const char *e = pattern_match(&m, from);
        if (e) {
            pattern_settle(&m);
            if (!find) return pattern_push_all(&m, from, e, 1);
            lua_pushinteger(L, from - m.src + 1);
            lua_pushinteger(L, e - m.src);
            return 2 + pattern_push_all(&m, from, e, 0);
        }
        if (anchored || from >= m.end) break;
    }
    pattern_settle(&m);
    lua_pushnil(L);
    return 1;
}

static int lib_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int lib_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* ---- gmatch; upvalues: subject, pattern, state ---- */
struct gmatch {
    size_t at;
    const char *last; /* end of the match before: an empty one there is skipped */
    bool over;
};

static int gmatch_step(lua_State *L)
{
    struct gmatch *g = lua_touserdata(L, lua_upvalueindex(3));
    struct pattern m;
    bool anchored;
    prepare(&m, L, lua_upvalueindex(1), lua_upvalueindex(2), false, &anchored);
    for (const char *from = m.src + g->at; !g->over && from <= m.end; from++) {
        const char *e = pattern_match(&m, from);
        if (e && e != g->last) {
            g->at = (size_t)(e - m.src);
            g->last = e;
            pattern_settle(&m);
            return pattern_push_all(&m, from, e, 1);
        }
    }
    g->over = true;
    pattern_settle(&m);
    return 0;
}

static int lib_gmatch(lua_State *L)
{
    size_t n, at;
    luaL_checklstring(L, 1, &n);
    luaL_checkstring(L, 2);
    bool inside = start_at(L, 3, n, &at);
    lua_settop(L, 2);
    struct gmatch *g = lua_newuserdatauv(L, sizeof *g, 0);
    *g = (struct gmatch){at, NULL, !inside};
    lua_pushcclosure(L, gmatch_step, 3);
    return 1;
}

/* ---- gsub; stack: subject, pattern, replacement, state, pieces ---- */
struct gsub {
    const char *at, *kept,
        *last; /* where to look; what is not copied yet begins here; end of the last match */
    const char *from, *to; /* the match whose replacement is being made */
    lua_Integer count, max, pieces;
    bool tried;
};

static void piece(lua_State *L, struct gsub *g) /* the value on top, popped */
{
    lua_rawseti(L, 5, ++g->pieces);
}

static void piece_text(lua_State *L, struct gsub *g, const char *from, const char *to)
{
    if (to == from) return;
    lua_pushlstring(L, from, (size_t)(to - from));
    piece(L, g);
}

/* The callback's (or table's) answer is on top. */
static void take_answer(lua_State *L, struct gsub *g)
{
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        piece_text(L, g, g->from, g->to);
    } else if (lua_isstring(L, -1)) {
        lua_tolstring(L, -1, NULL);
        piece(L, g);
    } else {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
}

/* A replacement text: %0 to %9 and %%. */
static void expand(lua_State *L, struct pattern *m, struct gsub *g)
{
    luaL_Buffer b;
    size_t n;
    const char *r = lua_tolstring(L, 3, &n), *end = r + n;
    luaL_buffinit(L, &b);
    while (r < end) {
        const char *pct = memchr(r, '%', (size_t)(end - r));
        luaL_addlstring(&b, r, (size_t)((pct ? pct : end) - r));
        if (!pct) break;
        char c = pct + 1 < end ? pct[1] : 0;
        r = pct + 2;
        if (c == '%') {
            luaL_addchar(&b, '%');
        } else if (c == '0') {
            luaL_addlstring(&b, g->from, (size_t)(g->to - g->from));
        } else if (c >= '1' && c <= '9') {
            if (c > '1' && c - '1' >= m->level)
                luaL_error(L, "invalid capture index %%%d in replacement string", c - '0');
            pattern_push(m, c - '1', g->from, g->to);
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
            luaL_addvalue(&b);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
    luaL_pushresult(&b);
    piece(L, g);
}

static int gsub_finish(lua_State *L, struct gsub *g, const char *end)
{
    luaL_Buffer b;
    if (g->count == 0) {
        lua_pushvalue(L, 1);
    } else {
        piece_text(L, g, g->kept, end);
        luaL_buffinit(L, &b);
        for (lua_Integer i = 1; i <= g->pieces; i++) {
            lua_rawgeti(L, 5, i);
            luaL_addvalue(&b);
        }
        luaL_pushresult(&b);
    }
    lua_pushinteger(L, g->count);
    return 2;
}

static int gsub_run(lua_State *L, int status, lua_KContext answered)
{
    struct gsub *g = lua_touserdata(L, 4);
    struct pattern m;
    bool anchored;
    (void)status;
    if (answered) take_answer(L, g);
    prepare(&m, L, 1, 2, true, &anchored);
    while (g->count < g->max && !(anchored && g->tried)) {
        const char *e = pattern_match(&m, g->at);
        g->tried = true;
        if (!e || e == g->last) {
            if (g->at >= m.end) break;
            g->at++;
            continue;
        }
        g->count++;
        piece_text(L, g, g->kept, g->at);
        g->from = g->at;
        g->to = g->at = g->last = g->kept = e;
        pattern_settle(&m);
        int type = lua_type(L, 3), args;
        if (type == LUA_TFUNCTION) {
            lua_pushvalue(L, 3);
            args = pattern_push_all(&m, g->from, g->to, 1);
        } else if (type == LUA_TTABLE && lua_getmetatable(L, 3)) {
            lua_pop(L, 1);
            lua_rawgetp(L, LUA_REGISTRYINDEX, &key_index_helper);
            lua_pushvalue(L, 3);
            pattern_push(&m, 0, g->from, g->to);
            args = 2;
        } else if (type == LUA_TTABLE) {
            pattern_push(&m, 0, g->from, g->to);
            lua_rawget(L, 3);
            take_answer(L, g);
            continue;
        } else {
            expand(L, &m, g);
            continue;
        }
        lua_callk(L, args, 1, 1, gsub_run);
        take_answer(L, g);
    }
    pattern_settle(&m);
    return gsub_finish(L, g, m.end);
}

static int lib_gsub(lua_State *L)
{
    size_t n;
    const char *s = luaL_checklstring(L, 1, &n);
    luaL_checkstring(L, 2);
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                         type == LUA_TTABLE,
                     3, "string/function/table");
    lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)n + 1);
    lua_settop(L, 3);
    struct gsub *g = lua_newuserdatauv(L, sizeof *g, 0);
    *g = (struct gsub){.at = s, .kept = s, .max = max};
    lua_newtable(L);
    return gsub_run(L, LUA_OK, 0);
}

void sandbox_open_patterns(lua_State *L)
{
    static const luaL_Reg functions[] = {{"find", lib_find},
                                         {"match", lib_match},
                                         {"gmatch", lib_gmatch},
                                         {"gsub", lib_gsub},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
