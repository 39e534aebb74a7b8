/* Texts to trees: see tree.h. */
#include "json/tree.h"
#include "json/text.h"
#include <math.h>

#define FEW_MEMBERS 8

void *json_mem_take(struct json_mem *m, size_t n)
{
    void *p = NULL;
    n = (n + 7) & ~(size_t)7;
    if (m->arena) {
        p = arena_alloc(m->arena, n);
    } else if (n <= m->size - m->used) {
        p = memset(m->block + m->used, 0, n);
    }
    if (p)
        m->used += n;
    else
        m->failed = true;
    return p;
}

struct reader {
    struct json_in in;
    struct json_mem *mem;
};

static int out_of_memory(struct reader *r)
{
    return err_set(r->in.e, ERR_NOMEM, "JSON: out of memory");
}

static int read_text(struct reader *r, struct str *out)
{
    struct str raw;
    size_t n;
    int code = json_scan_string(&r->in, &raw, &n);
    if (code) return code;
    if (n != raw.n || memchr(raw.p, '\\', raw.n)) {
        char *p = json_mem_take(r->mem, n + 1);
        if (!p) return out_of_memory(r);
        json_unescape(raw, p);
        raw = str_make(p, n);
    }
    *out = raw;
    return 0;
}

static void sift(struct json **a, size_t i, size_t n)
{
    struct json *v = a[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && str_cmp(a[child]->key, a[child + 1]->key) < 0) child++;
        if (str_cmp(v->key, a[child]->key) >= 0) break;
        a[i] = a[child];
    }
    a[i] = v;
}

static void sort(struct json **a, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(a, i, n);
    for (size_t i = n; i-- > 1;) {
        struct json *t = a[0];
        a[0] = a[i];
        a[i] = t;
        sift(a, 0, i);
    }
}

static int twice(struct reader *r, struct str key)
{
    return err_set(r->in.e, ERR_PROTO, "JSON: the key \"%.*s\" occurs twice in one object",
                   (int)(key.n > 60 ? 60 : key.n), key.p);
}

/* All members are read: makes them easy to find, and refuses a key that occurs twice. */
static int close_object(struct reader *r, struct json *v)
{
    if (v->n <= FEW_MEMBERS) {
        for (struct json *a = v->v.first; a; a = a->next)
            for (struct json *b = a->next; b; b = b->next)
                if (str_eq(a->key, b->key)) return twice(r, a->key);
        return 0;
    }
    v->sorted = json_mem_take(r->mem, v->n * sizeof(struct json *));
    if (!v->sorted) return out_of_memory(r);
    size_t i = 0;
    for (struct json *m = v->v.first; m; m = m->next)
        v->sorted[i++] = m;
    sort(v->sorted, v->n);
    for (i = 1; i < v->n; i++)
        if (str_eq(v->sorted[i - 1]->key, v->sorted[i]->key)) return twice(r, v->sorted[i]->key);
    return 0;
}

static int read_value(struct reader *r, struct json **out, int depth);

static int read_key(struct reader *r, struct str *key)
{
    struct json_in *in = &r->in;
    int code;
    json_blanks(in);
    if (in->p >= in->end || *in->p != '"') return json_text_fail(in, "a key in quotes expected");
    if ((code = read_text(r, key))) return code;
    json_blanks(in);
    if (in->p >= in->end || *in->p != ':') return json_text_fail(in, "':' expected");
    in->p++;
    return 0;
}

static int read_many(struct reader *r, struct json *v, int depth)
{
    struct json_in *in = &r->in;
    bool object = v->kind == JSON_OBJECT;
    char close = object ? '}' : ']';
    struct json **tail = &v->v.first;
    int code;
    if (depth > JSON_DEPTH_MAX)
        return err_set(in->e, ERR_LIMIT, "JSON: nested deeper than %d levels at byte %zu",
                       JSON_DEPTH_MAX, (size_t)(in->p - in->begin));
    in->p++;
    json_blanks(in);
    if (in->p < in->end && *in->p == close) {
        in->p++;
        return 0;
    }
    for (;;) {
        struct str key = {NULL, 0};
        if ((object && (code = read_key(r, &key))) || (code = read_value(r, tail, depth)))
            return code;
        (*tail)->key = key;
        tail = &(*tail)->next;
        v->n++;
        json_blanks(in);
        if (in->p < in->end && *in->p == ',') {
            in->p++;
            continue;
        }
        if (in->p < in->end && *in->p == close) break;
        return json_text_fail(in, object ? "',' or '}' expected" : "',' or ']' expected");
    }
    in->p++;
    return object ? close_object(r, v) : 0;
}

static int read_value(struct reader *r, struct json **out, int depth)
{
    struct json_in *in = &r->in;
    struct json_number number;
    int code;
    struct json *v = json_mem_take(r->mem, sizeof *v);
    if (!v) return out_of_memory(r);
    json_blanks(in);
    char c = in->p < in->end ? *in->p : 0;
    if (c == '{' || c == '[') {
        v->kind = c == '{' ? JSON_OBJECT : JSON_ARRAY;
        if ((code = read_many(r, v, depth + 1))) return code;
    } else if (c == '"') {
        v->kind = JSON_STRING;
        if ((code = read_text(r, &v->v.s))) return code;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        if ((code = json_scan_number(in, &number))) return code;
        v->kind = number.is_int ? JSON_INT : JSON_DOUBLE;
        if (number.is_int)
            v->v.i = number.i;
        else
            v->v.d = number.d;
    } else {
        int word = json_scan_word(in);
        if (word < 0) return word;
        v->kind = word == 0 ? JSON_NULL : JSON_BOOL;
        v->v.b = word == 2;
    }
    *out = v;
    return 0;
}

int json_parse(struct str text, struct json_mem *m, struct json **out, struct err *e)
{
    struct reader r = {{text.p, text.p + text.n, text.p, e}, m};
    struct json *v = NULL;
    if (!text.p) r.in.p = r.in.begin = r.in.end = "";
    int code = read_value(&r, &v, 0);
    if (code) return code;
    json_blanks(&r.in);
    if (r.in.p != r.in.end) return json_text_fail(&r.in, "something after the value");
    *out = v;
    return 0;
}

struct json *json_find(const struct json *v, struct str key)
{
    if (!v || v->kind != JSON_OBJECT) return NULL;
    if (!v->sorted) {
        for (struct json *m = v->v.first; m; m = m->next)
            if (str_eq(m->key, key)) return m;
        return NULL;
    }
    size_t low = 0, high = v->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int c = str_cmp(v->sorted[mid]->key, key);
        if (c == 0) return v->sorted[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

struct str json_get_str(const struct json *v, const char *key)
{
    const struct json *m = json_get(v, key);
    return m && m->kind == JSON_STRING ? m->v.s : (struct str){NULL, 0};
}

bool json_is_number(const struct json *v)
{
    return v && (v->kind == JSON_INT || v->kind == JSON_DOUBLE);
}

double json_double(const struct json *v)
{
    return v->kind == JSON_INT ? (double)v->v.i : v->v.d;
}

/* A whole number and a float: compared without rounding the whole one. */
static int compare_mixed(int64_t i, double d)
{
    if (d >= 9223372036854775808.0) return -1;
    if (d < -9223372036854775808.0) return 1;
    double whole = trunc(d);
    int64_t w = (int64_t)whole;
    if (i != w) return i < w ? -1 : 1;
    return d > whole ? -1 : d < whole ? 1 : 0;
}

int json_compare(const struct json *a, const struct json *b)
{
    if (a->kind == JSON_INT && b->kind == JSON_INT) return a->v.i < b->v.i ? -1 : a->v.i > b->v.i;
    if (a->kind == JSON_INT) return compare_mixed(a->v.i, b->v.d);
    if (b->kind == JSON_INT) return -compare_mixed(b->v.i, a->v.d);
    return a->v.d < b->v.d ? -1 : a->v.d > b->v.d;
}

bool json_equal(const struct json *a, const struct json *b, uint64_t *steps)
{
    if (*steps == 0) return false;
    --*steps;
    if (json_is_number(a) && json_is_number(b)) return json_compare(a, b) == 0;
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        return a->v.b == b->v.b;
    case JSON_STRING:
        return str_eq(a->v.s, b->v.s);
    case JSON_ARRAY:
        if (a->n != b->n) return false;
        for (a = a->v.first, b = b->v.first; a; a = a->next, b = b->next)
            if (!json_equal(a, b, steps)) return false;
        return true;
    default:
        if (a->n != b->n) return false;
        for (a = a->v.first; a; a = a->next) {
            const struct json *m = json_find(b, a->key);
            if (!m || !json_equal(a, m, steps)) return false;
        }
        return true;
    }
}

void json_write(const struct json *v, struct buf *out)
{
    bool object = v->kind == JSON_OBJECT;
    switch (v->kind) {
    case JSON_NULL:
        buf_puts(out, "null");
        return;
    case JSON_BOOL:
        buf_puts(out, v->v.b ? "true" : "false");
        return;
    case JSON_INT:
        buf_printf(out, "%lld", (long long)v->v.i);
        return;
    case JSON_DOUBLE:
        json_put_double(out, v->v.d);
        return;
    case JSON_STRING:
        json_put_string(out, v->v.s);
        return;
    default:
        break;
    }
    buf_putc(out, object ? '{' : '[');
    for (const struct json *m = v->v.first; m; m = m->next) {
        if (object) {
            json_put_string(out, m->key);
            buf_putc(out, ':');
        }
        json_write(m, out);
        if (m->next) buf_putc(out, ',');
    }
    buf_putc(out, object ? '}' : ']');
}
