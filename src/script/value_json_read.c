/* JSON text -> Lua value, and JSON text -> canonical text without a Lua state. One grammar
 * (json/text.c), two outputs. The Lua side holds no memory of ours while it calls Lua. */
#include "base/mem.h"
#include "script/value.h"
#include "json/text.h"
#include <lauxlib.h>

static int read_value(lua_State *L, struct json_in *in, int depth);

static int too_deep(struct json_in *in)
{
    return err_set(in->e, ERR_LIMIT, "JSON: nested deeper than 100 levels at byte %zu",
                   (size_t)(in->p - in->begin));
}

static int read_string(lua_State *L, struct json_in *in)
{
    struct str raw;
    size_t n;
    int code = json_scan_string(in, &raw, &n);
    if (code) return code;
    if (n == raw.n && !memchr(raw.p, '\\', raw.n)) {
        lua_pushlstring(L, raw.p, raw.n);
        return 0;
    }
    luaL_Buffer b;
    json_unescape(raw, luaL_buffinitsize(L, &b, n));
    luaL_pushresultsize(&b, n);
    return 0;
}

/* After an element: 1 when another follows, 0 at the end, negative on junk. */
static int more(struct json_in *in, char close)
{
    json_blanks(in);
    if (in->p < in->end && *in->p == ',') {
        in->p++;
        return 1;
    }
    if (in->p < in->end && *in->p == close) {
        in->p++;
        return 0;
    }
    return json_text_fail(in, close == ']' ? "',' or ']' expected" : "',' or '}' expected");
}

static int read_list(lua_State *L, struct json_in *in, int depth)
{
    lua_Integer n = 0;
    int code;
    lua_newtable(L);
    value_set_list(L, -1);
    in->p++;
    json_blanks(in);
    if (in->p < in->end && *in->p == ']') {
        in->p++;
        return 0;
    }
    do {
        if ((code = read_value(L, in, depth))) return code;
        lua_rawseti(L, -2, ++n);
        code = more(in, ']');
    } while (code == 1);
    return code;
}

static int at_key(struct json_in *in)
{
    json_blanks(in);
    return in->p < in->end && *in->p == '"' ? 0 : json_text_fail(in, "a key in quotes expected");
}

static int at_colon(struct json_in *in)
{
    json_blanks(in);
    if (in->p >= in->end || *in->p != ':') return json_text_fail(in, "':' expected");
    in->p++;
    return 0;
}

static int read_object(lua_State *L, struct json_in *in, int depth)
{
    int code;
    lua_newtable(L);
    in->p++;
    json_blanks(in);
    if (in->p < in->end && *in->p == '}') {
        in->p++;
        return 0;
    }
    do {
        if ((code = at_key(in)) || (code = read_string(L, in)) || (code = at_colon(in)) ||
            (code = read_value(L, in, depth)))
            return code;
        lua_rawset(L, -3);
        code = more(in, '}');
    } while (code == 1);
    return code;
}

static int read_value(lua_State *L, struct json_in *in, int depth)
{
    struct json_number number;
    int code;
    json_blanks(in);
    char c = in->p < in->end ? *in->p : 0;
    if (!lua_checkstack(L, 6)) return err_set(in->e, ERR_NOMEM, "JSON: out of memory");
    if (c == '{' || c == '[') {
        if (depth >= VALUE_DEPTH_MAX) return too_deep(in);
        return c == '{' ? read_object(L, in, depth + 1) : read_list(L, in, depth + 1);
    }
    if (c == '"') return read_string(L, in);
    if (c == '-' || (c >= '0' && c <= '9')) {
        if ((code = json_scan_number(in, &number))) return code;
        if (number.is_int)
            lua_pushinteger(L, number.i);
        else
            lua_pushnumber(L, number.d);
        return 0;
    }
    if ((code = json_scan_word(in)) < 0) return code;
    if (code == 0)
        value_push_null(L);
    else
        lua_pushboolean(L, code == 2);
    return 0;
}

static int start_reading(struct json_in *in, struct str json, struct err *e)
{
    if (!json.p) json.p = "";
    *in = (struct json_in){json.p, json.p + json.n, json.p, e};
    if (json.n > VALUE_BYTES_MAX) return err_set(e, ERR_LIMIT, "JSON: larger than 32 MiB");
    return 0;
}

static int at_end(struct json_in *in)
{
    json_blanks(in);
    return in->p == in->end ? 0 : json_text_fail(in, "something follows the value");
}

int value_decode(lua_State *L, struct str json, struct err *e)
{
    struct json_in in;
    int top = lua_gettop(L), code = start_reading(&in, json, e);
    if (code == 0) code = read_value(L, &in, 0);
    if (code == 0) code = at_end(&in);
    if (code) lua_settop(L, top);
    return code;
}

/* ---- canonical form ---- */
struct entry {
    size_t key, key_n; /* decoded key in `names` */
    size_t from, n;    /* the whole member `"key":value` in the output */
    size_t order;      /* of two equal keys the later one counts */
};
struct canon {
    struct json_in in;
    struct buf *out;
    struct buf names;
    struct entry *entries; /* a stack: each object sorts its own part */
    size_t n, cap;
};
static int canon_value(struct canon *c, int depth);

static int entry_cmp(const struct canon *c, const struct entry *a, const struct entry *b)
{
    int r =
        str_cmp(str_make(c->names.p + a->key, a->key_n), str_make(c->names.p + b->key, b->key_n));
    if (r) return r;
    return a->order < b->order ? -1 : a->order > b->order;
}

static void sift(const struct canon *c, struct entry *a, size_t i, size_t n)
{
    struct entry v = a[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && entry_cmp(c, &a[child], &a[child + 1]) < 0) child++;
        if (entry_cmp(c, &v, &a[child]) >= 0) break;
        a[i] = a[child];
    }
    a[i] = v;
}

static void entries_sort(const struct canon *c, struct entry *a, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(c, a, i, n);
    for (size_t i = n; i-- > 1;) {
        struct entry t = a[0];
        a[0] = a[i];
        a[i] = t;
        sift(c, a, 0, i);
    }
}

/* Puts the members written since `start` into the order of their keys; of equal keys the last one
 * stays. */
static int reorder(struct canon *c, size_t start, size_t base)
{
    struct entry *a = c->entries + base;
    size_t n = c->n - base, size = c->out->n - start;
    bool sorted = true;
    for (size_t i = 1; sorted && i < n; i++)
        sorted = str_cmp(str_make(c->names.p + a[i - 1].key, a[i - 1].key_n),
                         str_make(c->names.p + a[i].key, a[i].key_n)) < 0;
    if (sorted) return 0;
    char *copy = mem_dup(c->out->p + start, size);
    if (!copy) return err_set(c->in.e, ERR_NOMEM, "JSON: out of memory");
    entries_sort(c, a, n);
    c->out->n = start;
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && a[i].key_n == a[i + 1].key_n &&
            memcmp(c->names.p + a[i].key, c->names.p + a[i + 1].key, a[i].key_n) == 0)
            continue;
        if (!first) buf_putc(c->out, ',');
        first = false;
        buf_put(c->out, copy + (a[i].from - start), a[i].n);
    }
    mem_free(copy);
    return 0;
}

static int canon_string(struct canon *c, struct str *name)
{
    struct str raw;
    size_t n, from = c->names.n;
    int code = json_scan_string(&c->in, &raw, &n);
    if (code) return code;
    if (buf_put(&c->names, raw.p, raw.n)) /* room: decoded text is never longer than raw text */
        return err_set(c->in.e, ERR_NOMEM, "JSON: out of memory");
    if (raw.n) json_unescape(raw, c->names.p + from);
    c->names.n = from + n;
    json_put_string(c->out, str_make(c->names.p ? c->names.p + from : "", n));
    if (name)
        *name = (struct str){NULL, from};
    else
        c->names.n = from;
    return 0;
}

static int canon_member(struct canon *c, int depth)
{
    size_t from = c->out->n, key, slot;
    struct str name;
    int code;
    if ((code = at_key(&c->in)) || (code = canon_string(c, &name)) || (code = at_colon(&c->in)))
        return code;
    key = name.n;
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 16;
        struct entry *p = mem_realloc(c->entries, cap * sizeof *p);
        if (!p) return err_set(c->in.e, ERR_NOMEM, "JSON: out of memory");
        c->entries = p;
        c->cap = cap;
    }
    slot = c->n++;
    c->entries[slot] = (struct entry){key, c->names.n - key, from, 0, slot};
    buf_putc(c->out, ':');
    if ((code = canon_value(c, depth))) return code;
    c->entries[slot].n = c->out->n - from;
    return 0;
}

static int canon_object(struct canon *c, int depth)
{
    size_t base = c->n, names = c->names.n, start;
    int code;
    buf_putc(c->out, '{');
    start = c->out->n;
    c->in.p++;
    json_blanks(&c->in);
    if (c->in.p < c->in.end && *c->in.p == '}') {
        c->in.p++;
        buf_putc(c->out, '}');
        return 0;
    }
    for (;;) {
        if ((code = canon_member(c, depth))) return code;
        if ((code = more(&c->in, '}')) <= 0) break;
        buf_putc(c->out, ',');
    }
    if (code == 0 && c->out->code == 0) code = reorder(c, start, base);
    c->n = base;
    c->names.n = names;
    buf_putc(c->out, '}');
    return code;
}

static int canon_list(struct canon *c, int depth)
{
    int code;
    buf_putc(c->out, '[');
    c->in.p++;
    json_blanks(&c->in);
    if (c->in.p < c->in.end && *c->in.p == ']') {
        c->in.p++;
        buf_putc(c->out, ']');
        return 0;
    }
    for (;;) {
        if ((code = canon_value(c, depth))) return code;
        if ((code = more(&c->in, ']')) <= 0) break;
        buf_putc(c->out, ',');
    }
    buf_putc(c->out, ']');
    return code;
}

static int canon_value(struct canon *c, int depth)
{
    static const char *const words[] = {"null", "false", "true"};
    struct json_number number;
    int code;
    json_blanks(&c->in);
    if (c->out->code)
        return err_set(c->in.e, c->out->code, "JSON: %s",
                       c->out->code == ERR_NOMEM ? "out of memory" : "too large");
    char ch = c->in.p < c->in.end ? *c->in.p : 0;
    if (ch == '{' || ch == '[') {
        if (depth >= VALUE_DEPTH_MAX) return too_deep(&c->in);
        return ch == '{' ? canon_object(c, depth + 1) : canon_list(c, depth + 1);
    }
    if (ch == '"') return canon_string(c, NULL);
    if (ch == '-' || (ch >= '0' && ch <= '9')) {
        if ((code = json_scan_number(&c->in, &number))) return code;
        if (number.is_int)
            buf_printf(c->out, "%lld", (long long)number.i);
        else
            json_put_double(c->out, number.d);
        return 0;
    }
    if ((code = json_scan_word(&c->in)) >= 0) {
        buf_puts(c->out, words[code]);
        code = 0;
    }
    return code;
}

int value_canonical(struct str json, struct buf *out, struct err *e)
{
    struct canon c = {.out = out};
    size_t start = out->n;
    int code = start_reading(&c.in, json, e);
    buf_init(&c.names, VALUE_BYTES_MAX + 1);
    if (code == 0) code = canon_value(&c, 0);
    if (code == 0) code = at_end(&c.in);
    if (code == 0 && out->code)
        code = err_set(e, out->code, "JSON: %s",
                       out->code == ERR_NOMEM ? "out of memory" : "too large");
    if (code && !out->code) {
        out->n = start;
        if (out->p) out->p[start] = 0;
    }
    buf_free(&c.names);
    mem_free(c.entries);
    return code;
}
