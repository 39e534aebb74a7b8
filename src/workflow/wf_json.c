/* Reads and edits the small JSON objects that markers and the `moonloop` header carry, without a
 * Lua state. It keeps to the top level: members are found by key, values are raw slices. A text
 * that is no object has no members. */
#include "base/buf.h"
#include "workflow/wf_machine.h"
#include <stdlib.h>

struct scan {
    const char *p, *end;
};

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool skip_string(struct scan *s, struct str *raw)
{
    const char *from = s->p;
    if (s->p >= s->end || *s->p != '"') return false;
    for (s->p++; s->p < s->end; s->p++) {
        if (*s->p == '\\') {
            s->p++;
        } else if (*s->p == '"') {
            s->p++;
            *raw = str_make(from, (size_t)(s->p - from));
            return true;
        }
    }
    return false;
}

static bool skip_value(struct scan *s, struct str *raw)
{
    skip_space(s);
    const char *from = s->p;
    if (s->p < s->end && *s->p == '"') return skip_string(s, raw);
    int depth = 0;
    while (s->p < s->end) {
        char c = *s->p;
        struct str ignored;
        if (c == '"') {
            if (!skip_string(s, &ignored)) return false;
            continue;
        }
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) break;
            depth--;
        } else if (depth == 0 && (c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r')) {
            break;
        }
        s->p++;
    }
    *raw = str_make(from, (size_t)(s->p - from));
    return raw->n > 0 && depth == 0;
}

/* The next member of an object; `s` stands behind '{' or a former member. */
static bool next_member(struct scan *s, struct str *key, struct str *value)
{
    skip_space(s);
    if (s->p < s->end && *s->p == ',') s->p++;
    skip_space(s);
    if (!skip_string(s, key)) return false;
    skip_space(s);
    if (s->p >= s->end || *s->p != ':') return false;
    s->p++;
    return skip_value(s, value);
}

static bool open_object(struct str object, struct scan *s)
{
    *s = (struct scan){object.p, object.p ? object.p + object.n : object.p};
    skip_space(s);
    if (s->p >= s->end || *s->p != '{') return false;
    s->p++;
    return true;
}

static bool key_is(struct str raw, const char *key)
{
    return raw.n >= 2 && str_eqz(str_make(raw.p + 1, raw.n - 2), key);
}

/* The raw value of a top-level member (strings with their quotes). */
bool wf_json_get(struct str object, const char *key, struct str *raw)
{
    struct scan s;
    struct str k, v;
    if (!open_object(object, &s)) return false;
    while (next_member(&s, &k, &v)) {
        if (key_is(k, key)) {
            *raw = v;
            return true;
        }
    }
    return false;
}

static unsigned hex4(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                            : 0;
        v = v * 16 + d;
    }
    return v;
}

static char *put_utf8(char *o, unsigned c)
{
    if (c < 0x80) {
        *o++ = (char)c;
    } else if (c < 0x800) {
        *o++ = (char)(0xc0 | (c >> 6));
        *o++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *o++ = (char)(0xe0 | (c >> 12));
        *o++ = (char)(0x80 | ((c >> 6) & 0x3f));
        *o++ = (char)(0x80 | (c & 0x3f));
    } else {
        *o++ = (char)(0xf0 | (c >> 18));
        *o++ = (char)(0x80 | ((c >> 12) & 0x3f));
        *o++ = (char)(0x80 | ((c >> 6) & 0x3f));
        *o++ = (char)(0x80 | (c & 0x3f));
    }
    return o;
}

static const char *put_escape(const char *p, const char *end, char **o)
{
    if (*p == 'u' && end - p >= 5) {
        unsigned c = hex4(p + 1);
        p += 5;
        if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
            c = 0x10000 + ((c - 0xd800) << 10) + (hex4(p + 2) - 0xdc00);
            p += 6;
        }
        *o = put_utf8(*o, c);
        return p;
    }
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *at = strchr(from, *p);
    *(*o)++ = at && *p ? to[at - from] : *p;
    return p + 1;
}

/* The text of a raw JSON string, in `a`; absent when `raw` is no string. */
struct str wf_json_string(struct arena *a, struct str raw)
{
    if (raw.n < 2 || raw.p[0] != '"') return (struct str){NULL, 0};
    char *out = arena_alloc(a, raw.n + 1), *o = out;
    if (!out) return (struct str){NULL, 0};
    const char *p = raw.p + 1, *end = raw.p + raw.n - 1;
    while (p < end) {
        if (*p == '\\' && p + 1 < end)
            p = put_escape(p + 1, end, &o);
        else
            *o++ = *p++;
    }
    return str_make(out, (size_t)(o - out));
}

int64_t wf_json_int(struct str raw, int64_t dflt)
{
    char z[32];
    if (raw.n == 0 || raw.n >= sizeof z) return dflt;
    memcpy(z, raw.p, raw.n);
    z[raw.n] = 0;
    char *end;
    long long v = strtoll(z, &end, 10);
    return *end ? dflt : (int64_t)v;
}

/* A copy of the object without one member; "{}" when nothing else is there. */
struct str wf_json_without(struct arena *a, struct str object, const char *key)
{
    struct buf b;
    struct scan s;
    struct str k, v;
    buf_init(&b, 1u << 20);
    buf_putc(&b, '{');
    if (open_object(object, &s)) {
        while (next_member(&s, &k, &v)) {
            if (key_is(k, key)) continue;
            if (b.n > 1) buf_putc(&b, ',');
            buf_putstr(&b, k);
            buf_putc(&b, ':');
            buf_putstr(&b, v);
        }
    }
    buf_putc(&b, '}');
    struct str out = b.code ? (struct str){NULL, 0} : arena_str(a, buf_str(&b));
    buf_free(&b);
    return out;
}

/* A copy of the object with a text member set, members kept sorted when they were. */
struct str wf_json_with(struct arena *a, struct str object, const char *key, struct str value)
{
    struct buf b;
    struct scan s;
    struct str k, v;
    bool done = false;
    buf_init(&b, 1u << 20);
    buf_putc(&b, '{');
    if (!open_object(object, &s)) s = (struct scan){NULL, NULL};
    for (;;) {
        bool more = s.p && next_member(&s, &k, &v);
        if (!done && (!more || str_cmp(str_make(k.p + 1, k.n - 2), str_of(key)) >= 0)) {
            buf_puts(&b, b.n > 1 ? "," : "");
            buf_put_json(&b, str_of(key));
            buf_putc(&b, ':');
            buf_put_json(&b, value);
            done = true;
        }
        if (!more) break;
        if (key_is(k, key)) continue;
        buf_puts(&b, b.n > 1 ? "," : "");
        buf_putstr(&b, k);
        buf_putc(&b, ':');
        buf_putstr(&b, v);
    }
    buf_putc(&b, '}');
    struct str out = b.code ? (struct str){NULL, 0} : arena_str(a, buf_str(&b));
    buf_free(&b);
    return out;
}
