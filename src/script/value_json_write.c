/* Lua value -> JSON text. Raw access only, so no metamethod of a script runs; the walk is under
 * lua_pcall, so running out of memory comes back as a code. Called through value_encode. */
#include "base/mem.h"
#include "script/schema_lib.h"
#include "script/value.h"
#include "json/text.h"
#include <lauxlib.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct step {
    struct str key; /* absent: an index */
    lua_Integer index;
};
struct writer {
    lua_State *L;
    struct buf *out;
    struct err *e;
    const char *root;
    size_t start;
    bool pretty;
    int depth, code;
    struct str *keys; /* a stack: each level sorts its own part */
    size_t n_keys, cap_keys;
    struct step path[VALUE_DEPTH_MAX + 1]; /* set as far as `depth` */
};
static int write_value(struct writer *w, int idx);

static bool is_name(struct str s)
{
    if (s.n == 0 || s.n > 60) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9')) return false;
    }
    return true;
}

/* "result.items[3]["a b"]", cut when it grows long. */
static void path_text(const struct writer *w, int depth, char *out, size_t max)
{
    size_t n = (size_t)snprintf(out, max, "%s", w->root ? w->root : "value");
    for (int i = 0; i < depth && n < max; i++) {
        const struct step *s = &w->path[i];
        int r;
        if (n > 300) {
            r = snprintf(out + n, max - n, "...");
            i = depth;
        } else if (!s->key.p) {
            r = snprintf(out + n, max - n, "[%lld]", (long long)s->index);
        } else if (is_name(s->key)) {
            r = snprintf(out + n, max - n, ".%.*s", STR_ARG(s->key));
        } else {
            char shown[41];
            size_t k = s->key.n > 40 ? 40 : s->key.n;
            for (size_t j = 0; j < k; j++)
                shown[j] = s->key.p[j] >= 0x20 && s->key.p[j] < 0x7f ? s->key.p[j] : '?';
            shown[k] = 0;
            r = snprintf(out + n, max - n, "[\"%s\"]", shown);
        }
        n += (size_t)r;
    }
}

static int bad(struct writer *w, int code, const char *what)
{
    char path[512];
    path_text(w, w->depth, path, sizeof path);
    return w->code = err_set(w->e, code, "%s: %s", path, what);
}

static int write_string(struct writer *w, struct str s, bool key)
{
    char text[160];
    size_t ok = str_utf8_valid(s);
    if (ok != s.n) {
        snprintf(text, sizeof text, "%s is not UTF-8 (byte %zu); binary data goes in ml.bytes",
                 key ? "a key" : "text", ok + 1);
        return bad(w, ERR_ARG, text);
    }
    json_put_string(w->out, s);
    return 0;
}

static void newline(struct writer *w)
{
    if (!w->pretty) return;
    buf_putc(w->out, '\n');
    for (int i = 0; i < w->depth; i++)
        buf_puts(w->out, "  ");
}

static int check_room(struct writer *w)
{
    if (w->out->code)
        return bad(w, w->out->code,
                   w->out->code == ERR_NOMEM ? "out of memory" : "is larger than 32 MiB as JSON");
    if (w->out->n - w->start > VALUE_BYTES_MAX)
        return bad(w, ERR_LIMIT, "is larger than 32 MiB as JSON");
    return 0;
}

static int write_list(struct writer *w, int t, lua_Integer n)
{
    buf_putc(w->out, '[');
    w->path[w->depth++] = (struct step){0};
    for (lua_Integer i = 1; i <= n; i++) {
        w->path[w->depth - 1] = (struct step){{NULL, 0}, i};
        if (i > 1) buf_putc(w->out, ',');
        newline(w);
        lua_rawgeti(w->L, t, i);
        if (write_value(w, lua_gettop(w->L))) return w->code;
        lua_pop(w->L, 1);
    }
    w->depth--;
    newline(w);
    buf_putc(w->out, ']');
    return 0;
}

static int write_object(struct writer *w, int t, size_t base)
{
    size_t n = w->n_keys - base;
    json_sort_keys(w->keys + base, n);
    buf_putc(w->out, '{');
    w->path[w->depth++] = (struct step){0};
    for (size_t i = 0; i < n; i++) {
        struct str key = w->keys[base + i];
        w->path[w->depth - 1] = (struct step){key, 0};
        if (i > 0) buf_putc(w->out, ',');
        newline(w);
        if (write_string(w, key, true)) return w->code;
        buf_puts(w->out, w->pretty ? ": " : ":");
        lua_pushlstring(w->L, key.p, key.n);
        lua_rawget(w->L, t);
        if (write_value(w, lua_gettop(w->L))) return w->code;
        lua_pop(w->L, 1);
    }
    w->depth--;
    newline(w);
    buf_putc(w->out, '}');
    return 0;
}

static int add_key(struct writer *w, struct str key)
{
    if (w->n_keys == w->cap_keys) {
        size_t cap = w->cap_keys ? w->cap_keys * 2 : 16;
        struct str *keys = mem_realloc(w->keys, cap * sizeof *keys);
        if (!keys) return bad(w, ERR_NOMEM, "out of memory");
        w->keys = keys;
        w->cap_keys = cap;
    }
    w->keys[w->n_keys++] = key;
    return 0;
}

/* Looks at every key once: text keys onto the key stack, *ints and *max of the whole ones. */
static int look_at_keys(struct writer *w, int t, lua_Integer *ints, lua_Integer *max)
{
    lua_State *L = w->L;
    size_t base = w->n_keys;
    for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1)) {
        int kind = lua_type(L, -2);
        if (kind == LUA_TSTRING) {
            struct str key;
            key.p = lua_tolstring(L, -2, &key.n);
            if (add_key(w, key)) return w->code;
        } else if (lua_isinteger(L, -2)) {
            lua_Integer i = lua_tointeger(L, -2);
            if (i > *max) *max = i;
            if (i < 1) *max = LUA_MAXINTEGER;
            ++*ints;
        } else {
            char text[120];
            snprintf(text, sizeof text, "a %s as a key cannot be JSON", luaL_typename(L, -2));
            return bad(w, ERR_ARG, text);
        }
        if (*ints > 0 && w->n_keys > base) {
            char text[200];
            struct str key = w->keys[base];
            snprintf(text, sizeof text,
                     "has the text key \"%.*s\" beside number keys: a list or an object, not both",
                     (int)(key.n > 60 ? 60 : key.n), key.p);
            return bad(w, ERR_ARG, text);
        }
    }
    return 0;
}

static int write_table(struct writer *w, int t)
{
    lua_Integer ints = 0, max = 0;
    size_t base = w->n_keys;
    int code;
    if (w->depth >= VALUE_DEPTH_MAX)
        return bad(w, ERR_LIMIT, "is nested deeper than 100 levels (or contains itself)");
    luaL_checkstack(w->L, 4, NULL);
    if (look_at_keys(w, t, &ints, &max)) return w->code;
    bool list = value_is_list(w->L, t);
    if (list && w->n_keys > base) {
        char text[160];
        struct str key = w->keys[base];
        snprintf(text, sizeof text, "a list cannot have the text key \"%.*s\"",
                 (int)(key.n > 60 ? 60 : key.n), key.p);
        return bad(w, ERR_ARG, text);
    }
    if (ints > 0 && max != ints)
        return bad(w, ERR_ARG,
                   "a list with holes cannot be JSON (ml.null stands for a missing element)");
    if (ints == 0 && w->n_keys == base) {
        buf_puts(w->out, list ? "[]" : "{}");
        return 0;
    }
    code = ints > 0 ? write_list(w, t, ints) : write_object(w, t, base);
    w->n_keys = base;
    return code;
}

static int write_other(struct writer *w, int idx)
{
    char text[160];
    const char *name = luaL_typename(w->L, idx);
    struct str bytes;
    const struct schema *schema = schema_at(w->L, idx);
    if (schema) return buf_putstr(w->out, schema->text);
    if (value_to_bytes(w->L, idx, &bytes))
        return bad(w, ERR_ARG,
                   "ml.bytes inside a value cannot be JSON: pass it as a value of its own, or as "
                   "base64 text");
    if (lua_getmetatable(w->L, idx)) {
        lua_pushliteral(w->L, "__name");
        if (lua_rawget(w->L, -2) == LUA_TSTRING) name = lua_tostring(w->L, -1);
        lua_pop(w->L, 2);
    }
    snprintf(text, sizeof text, "a %.60s cannot be JSON", name);
    return bad(w, ERR_ARG, text);
}

static int write_value(struct writer *w, int idx)
{
    lua_State *L = w->L;
    struct str s;
    if (check_room(w)) return w->code;
    switch (lua_type(L, idx)) {
    case LUA_TNIL:
        buf_puts(w->out, "null");
        return 0;
    case LUA_TBOOLEAN:
        buf_puts(w->out, lua_toboolean(L, idx) ? "true" : "false");
        return 0;
    case LUA_TNUMBER:
        if (lua_isinteger(L, idx)) {
            buf_printf(w->out, "%lld", (long long)lua_tointeger(L, idx));
            return 0;
        }
        if (!isfinite(lua_tonumber(L, idx)))
            return bad(w, ERR_ARG,
                       isnan(lua_tonumber(L, idx)) ? "not-a-number cannot be JSON"
                                                   : "an infinite number cannot be JSON");
        json_put_double(w->out, lua_tonumber(L, idx));
        return 0;
    case LUA_TSTRING:
        s.p = lua_tolstring(L, idx, &s.n);
        return write_string(w, s, false);
    case LUA_TTABLE:
        return write_table(w, idx);
    default:
        if (value_is_null(L, idx)) {
            buf_puts(w->out, "null");
            return 0;
        }
        return write_other(w, idx);
    }
}

static int protected_write(lua_State *L)
{
    struct writer *w = lua_touserdata(L, 1);
    w->L = L;
    if (write_value(w, 2) == 0) check_room(w);
    return 0;
}

static int encode(lua_State *L, int idx, struct buf *out, const char *root, bool pretty,
                  struct err *e)
{
    struct writer *w = mem_alloc(sizeof *w);
    int code;
    if (!w || !lua_checkstack(L, 5)) {
        mem_free(w);
        return err_set(e, ERR_NOMEM, "%s: out of memory", root ? root : "value");
    }
    memset(w, 0, offsetof(struct writer, path));
    w->out = out;
    w->e = e;
    w->root = root;
    w->start = out->n;
    w->pretty = pretty;
    idx = lua_absindex(L, idx);
    lua_pushcfunction(L, protected_write);
    lua_pushlightuserdata(L, w);
    lua_pushvalue(L, idx);
    int status = lua_pcall(L, 2, 0, 0);
    if (status == LUA_OK) {
        code = w->code;
    } else {
        code = status == LUA_ERRMEM ? ERR_NOMEM : ERR_LIMIT;
        err_set(e, code, "%s: %s", root ? root : "value",
                status == LUA_ERRMEM ? "out of memory" : "nested calls are too deep");
        lua_pop(L, 1);
    }
    mem_free(w->keys);
    mem_free(w);
    return code;
}

int value_encode(lua_State *L, int idx, struct buf *out, const char *root, struct err *e)
{
    return encode(L, idx, out, root, false, e);
}

int value_encode_pretty(lua_State *L, int idx, struct buf *out, const char *root, struct err *e)
{
    return encode(L, idx, out, root, true, e);
}
