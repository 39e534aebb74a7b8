/* Definition of schemas: the text's tree is walked once, each member gets its keyword's number, and
 * what must be made (patterns, targets of $ref) hangs on it. Afterwards the tree is only read. */
#include "json/format.h"
#include "json/regex.h"
#include "json/schema_words.h"
#include <stdio.h>

struct path {
    const struct path *up;
    struct str name;
};
struct definer {
    struct schema *s;
    struct json_mem *mem;
    enum schema_mode mode;
    struct err *e;
    int depth;
};
static int define(struct definer *d, struct json *schema, const struct path *at);

static void put_path(const struct path *at, char *out, size_t max, size_t *n)
{
    if (!at) {
        out[0] = '#';
        *n = 1;
        return;
    }
    put_path(at->up, out, max, n);
    if (*n + at->name.n + 2 >= max) return;
    out[(*n)++] = '/';
    memcpy(out + *n, at->name.p, at->name.n);
    *n += at->name.n;
}

static int bad(struct definer *d, const struct path *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int bad(struct definer *d, const struct path *at, const char *fmt, ...)
{
    char path[300], text[400];
    size_t n = 0;
    va_list args;
    put_path(at, path, sizeof path - 1, &n);
    path[n] = 0;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return err_set(d->e, ERR_ARG, "schema at %s: %s", path, text);
}

static int define_list(struct definer *d, struct json *list, const struct path *at)
{
    int i = 0, code;
    if (list->kind != JSON_ARRAY || list->n == 0)
        return bad(d, at, "must be a list of one or more schemas");
    for (struct json *m = list->v.first; m; m = m->next) {
        char name[16];
        struct path below = {at, str_make(name, (size_t)snprintf(name, sizeof name, "%d", i++))};
        if ((code = define(d, m, &below))) return code;
    }
    return 0;
}

static int pattern(struct definer *d, struct str text, const struct regex **out,
                   const struct path *at)
{
    struct err e = {0};
    int code = regex_compile(text, d->mem, out, &e);
    if (code == ERR_NOMEM) return err_set(d->e, code, "schema: out of memory");
    if (code && d->mode == SCHEMA_LENIENT) {
        *out = NULL;
        return 0;
    }
    if (code) return bad(d, at, "%s", e.text);
    size_t scratch = regex_scratch(*out);
    if (scratch > d->s->regex_scratch) d->s->regex_scratch = scratch;
    return 0;
}

static int define_map(struct definer *d, struct json *map, bool patterns, const struct path *at)
{
    int code;
    if (map->kind != JSON_OBJECT) return bad(d, at, "must be an object whose members are schemas");
    for (struct json *m = map->v.first; m; m = m->next) {
        struct path below = {at, m->key};
        const struct regex *r;
        if ((code = define(d, m, &below))) return code;
        if (!patterns) continue;
        if ((code = pattern(d, m->key, &r, &below))) return code;
        m->aux = r;
    }
    return 0;
}

static int different_texts(struct definer *d, const struct json *list, const struct path *at)
{
    if (list->kind != JSON_ARRAY) return bad(d, at, "must be a list of texts");
    for (const struct json *m = list->v.first; m; m = m->next)
        if (m->kind != JSON_STRING) return bad(d, at, "must be a list of texts");
    if (list->n > 1000) return bad(d, at, "has more than 1,000 names");
    for (const struct json *a = list->v.first; a; a = a->next)
        for (const struct json *b = a->next; b; b = b->next)
            if (str_eq(a->v.s, b->v.s))
                return bad(d, at, "names \"%.*s\" twice", (int)(a->v.s.n > 60 ? 60 : a->v.s.n),
                           a->v.s.p);
    return 0;
}

static int define_types(struct definer *d, struct json *m, const struct path *at)
{
    static const char known[] =
        "must be string, number, integer, boolean, object, array or null, or a list of them";
    uintptr_t bits = 0;
    if (m->kind == JSON_STRING) {
        bits = schema_type_find(m->v.s);
        if (!bits) return bad(d, at, "%s", known);
    } else {
        if (m->kind != JSON_ARRAY || m->n == 0) return bad(d, at, "%s", known);
        for (const struct json *t = m->v.first; t; t = t->next) {
            unsigned bit = t->kind == JSON_STRING ? schema_type_find(t->v.s) : 0;
            if (!bit) return bad(d, at, "%s", known);
            bits |= bit;
        }
    }
    m->aux = (const void *)bits;
    return 0;
}

static int define_format(struct definer *d, struct json *m, const struct path *at)
{
    if (m->kind != JSON_STRING) return bad(d, at, "must be a text");
    uintptr_t f = format_find(m->v.s);
    if (!f && d->mode == SCHEMA_STRICT)
        return bad(d, at,
                   "unknown format \"%.*s\"; known: date-time, date, time, email, uri, uuid, ipv4, "
                   "ipv6, hostname",
                   (int)(m->v.s.n > 40 ? 40 : m->v.s.n), m->v.s.p);
    m->aux = (const void *)f;
    return 0;
}

static int number(struct definer *d, const struct json *m, enum word_kind takes,
                  const struct path *at)
{
    if (!json_is_number(m)) return bad(d, at, "must be a number");
    double v = json_double(m);
    if (takes == TAKES_POSITIVE && v <= 0) return bad(d, at, "must be above 0");
    if (takes == TAKES_COUNT && (v < 0 || v > 9e15 || v != (double)(int64_t)v))
        return bad(d, at, "must be a whole number, 0 or more");
    return 0;
}

/* Whose value says more than its kind. */
static int define_special(struct definer *d, struct json *m, enum word_kind takes,
                          const struct path *at)
{
    int code;
    const struct regex *r = NULL;
    switch (takes) {
    case TAKES_TYPE:
        return define_types(d, m, at);
    case TAKES_FORMAT:
        return define_format(d, m, at);
    case TAKES_PATTERN:
        if (m->kind != JSON_STRING) return bad(d, at, "must be a text");
        code = pattern(d, m->v.s, &r, at);
        m->aux = r;
        return code;
    case TAKES_REF:
        return m->kind == JSON_STRING ? 0 : bad(d, at, "must be a text");
    case TAKES_REFUSED:
        if (d->mode == SCHEMA_STRICT) return bad(d, at, "is not supported");
        m->word = WORD_NONE;
        return 0;
    default: /* TAKES_TEXTS_MAP */
        if (m->kind != JSON_OBJECT) return bad(d, at, "must be an object of lists of texts");
        for (const struct json *list = m->v.first; list; list = list->next)
            if ((code = different_texts(d, list, at))) return code;
        return 0;
    }
}

static int define_word(struct definer *d, struct json *m, const struct path *up)
{
    struct path at = {up, m->key};
    enum word_kind takes = schema_word_takes((enum schema_word)m->word);
    switch (takes) {
    case TAKES_ANY:
        return 0;
    case TAKES_TEXT:
        return m->kind == JSON_STRING ? 0 : bad(d, &at, "must be a text");
    case TAKES_BOOL:
        return m->kind == JSON_BOOL ? 0 : bad(d, &at, "must be true or false");
    case TAKES_SCHEMA:
        if (m->kind == JSON_ARRAY && m->word == WORD_ITEMS)
            return bad(d, &at, "must be a schema (a list of them is prefixItems)");
        return define(d, m, &at);
    case TAKES_SCHEMAS:
        return define_list(d, m, &at);
    case TAKES_SCHEMA_MAP:
    case TAKES_PATTERN_MAP:
        return define_map(d, m, takes == TAKES_PATTERN_MAP, &at);
    case TAKES_COUNT:
    case TAKES_NUMBER:
    case TAKES_POSITIVE:
        return number(d, m, takes, &at);
    case TAKES_TEXTS:
        return different_texts(d, m, &at);
    case TAKES_LIST:
        return m->kind == JSON_ARRAY ? 0 : bad(d, &at, "must be a list");
    default:
        return define_special(d, m, takes, &at);
    }
}

static int unknown(struct definer *d, struct str key, const struct path *at)
{
    if (d->mode == SCHEMA_LENIENT || str_starts(key, STR("x-"))) return 0;
    const char *near = schema_word_near(key);
    return bad(d, at, "unknown keyword \"%.*s\"%s%s%s", (int)(key.n > 60 ? 60 : key.n), key.p,
               near ? " (did you mean \"" : "", near ? near : "",
               near ? "\"?)" : "; notes of your own begin with x-");
}

static int define(struct definer *d, struct json *schema, const struct path *at)
{
    int code = 0;
    if (schema->flags & NODE_IS_SCHEMA) return 0;
    schema->flags |= NODE_IS_SCHEMA;
    if (schema->kind == JSON_BOOL) return 0;
    if (schema->kind != JSON_OBJECT)
        return bad(d, at, "must be a schema: an object, true or false");
    if (++d->depth > JSON_DEPTH_MAX) return bad(d, at, "nested too deeply");
    for (struct json *m = schema->v.first; m && !code; m = m->next) {
        enum schema_word word = schema_word_find(m->key);
        m->word = (uint16_t)word;
        code = word ? define_word(d, m, at) : unknown(d, m->key, at);
    }
    d->depth--;
    return code;
}

/* One step of a JSON pointer in a URI fragment: "%25", "~0" and "~1" undone. */
static bool pointer_step(struct str step, char *out, size_t max, struct str *name)
{
    size_t n = 0;
    for (size_t i = 0; i < step.n; i++) {
        char c = step.p[i];
        if (n >= max) return false;
        if (c == '%') {
            unsigned char byte;
            if (step.n - i < 3 || hex_decode(str_make(step.p + i + 1, 2), &byte, 1)) return false;
            c = (char)byte;
            i += 2;
        }
        out[n++] = c;
    }
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (out[i] == '~') {
            if (i + 1 >= n || (out[i + 1] != '0' && out[i + 1] != '1')) return false;
            out[k++] = out[++i] == '0' ? '~' : '/';
        } else {
            out[k++] = out[i];
        }
    }
    *name = str_make(out, k);
    return true;
}

static struct json *target(struct json *root, struct str ref)
{
    struct json *v = root;
    if (ref.n == 0 || ref.p[0] != '#') return NULL;
    struct str rest = str_make(ref.p + 1, ref.n - 1);
    while (v && rest.n > 0) {
        char text[256];
        struct str name;
        size_t n = 1;
        if (rest.p[0] != '/') return NULL;
        while (n < rest.n && rest.p[n] != '/')
            n++;
        if (!pointer_step(str_make(rest.p + 1, n - 1), text, sizeof text, &name)) return NULL;
        if (v->kind == JSON_ARRAY) {
            unsigned long index = 0;
            if (name.n == 0 || name.n > 6) return NULL;
            for (size_t i = 0; i < name.n; i++) {
                if (name.p[i] < '0' || name.p[i] > '9') return NULL;
                index = index * 10 + (unsigned long)(name.p[i] - '0');
            }
            for (v = v->v.first; v && index > 0; index--)
                v = v->next;
        } else {
            v = json_find(v, name);
        }
        rest = str_make(rest.p + n, rest.n - n);
    }
    return v;
}

/* Gives each $ref its target. A target that no keyword led to becomes a schema here. */
static int resolve(struct definer *d, struct json *v)
{
    int code = 0;
    if (v->kind != JSON_OBJECT && v->kind != JSON_ARRAY) return 0;
    for (struct json *m = v->v.first; m && !code; m = m->next) {
        if (m->word == WORD_REF && (v->flags & NODE_IS_SCHEMA) && !m->aux) {
            struct json *to = target(d->s->root, m->v.s);
            if (!to)
                return err_set(d->e, ERR_ARG,
                               "schema: $ref \"%.*s\" leads nowhere (a $ref is # or a pointer into "
                               "this schema: #/$defs/NAME)",
                               (int)(m->v.s.n > 100 ? 100 : m->v.s.n), m->v.s.p);
            bool fresh = !(to->flags & NODE_IS_SCHEMA);
            struct path at = {NULL, m->v.s};
            if ((code = define(d, to, &at))) return code;
            m->aux = to;
            if (fresh && ++d->depth > JSON_DEPTH_MAX)
                return err_set(d->e, ERR_LIMIT, "schema: $ref leads on too often");
            if (fresh) code = resolve(d, to);
        } else {
            code = resolve(d, m);
        }
    }
    return code;
}

int schema_compile(struct str text, enum schema_mode mode, struct json_mem *m, struct schema *out,
                   struct err *e)
{
    struct schema s = {0};
    struct definer d = {&s, m, mode, e, 0};
    int code;
    if (text.n > SCHEMA_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "schema: larger than %u bytes", SCHEMA_BYTES_MAX);
    char *copy = json_mem_take(m, text.n + 1);
    if (!copy) return err_set(e, ERR_NOMEM, "schema: out of memory");
    if (text.n) memcpy(copy, text.p, text.n);
    s.text = str_make(copy, text.n);
    if ((code = json_parse(s.text, m, &s.root, e))) {
        err_prefix(e, "schema");
        return code;
    }
    if ((code = define(&d, s.root, NULL)) || (code = resolve(&d, s.root))) return code;
    *out = s;
    return 0;
}
