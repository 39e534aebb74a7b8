/* The shorthand of ml.schema: see schema.h, and lua/README.md for its grammar. Members are written
 * in the order of their names, as the canonical form has them. */
#include "json/schema.h"
#include "json/text.h"
#include <stdio.h>

#define LISTS_MAX 4 /* "string[][][][]" */

struct place {
    const struct place *up;
    struct str name;
};
/* "<=280" and the like: bounds by kind. */
struct bounds {
    struct str at_least, at_most, above, below;
};
struct word {
    struct str name; /* "string" */
    struct bounds bounds[LISTS_MAX + 1];
    int lists; /* how many [] */
};
struct writer {
    struct buf *out;
    struct err *e;
    int depth;
};
static int write_value(struct writer *w, const struct json *v, const struct place *at);

static void put_place(const struct place *at, char *out, size_t max, size_t *n)
{
    if (!at) return;
    put_place(at->up, out, max, n);
    if (*n + at->name.n + 2 >= max) return;
    if (*n) out[(*n)++] = '.';
    memcpy(out + *n, at->name.p, at->name.n);
    *n += at->name.n;
}

static int bad(struct writer *w, const struct place *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int bad(struct writer *w, const struct place *at, const char *fmt, ...)
{
    char path[300], text[400];
    size_t n = 0;
    va_list args;
    put_place(at, path, sizeof path - 1, &n);
    path[n] = 0;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return err_set(w->e, ERR_ARG, "%s%s%s", path, n ? ": " : "", text);
}

static bool take(struct str *s, const char *text)
{
    struct str t = str_of(text);
    if (!str_starts(*s, t)) return false;
    s->p += t.n;
    s->n -= t.n;
    return true;
}

static void skip_blanks(struct str *s)
{
    while (take(s, " "))
        continue;
}

static struct str take_while(struct str *s, const char *set)
{
    size_t n = 0;
    while (n < s->n && s->p[n] && strchr(set, s->p[n]))
        n++;
    struct str head = str_make(s->p, n);
    s->p += n;
    s->n -= n;
    return head;
}

static bool take_number(struct str *s, struct str *out)
{
    struct json_in in = {s->p, s->p + s->n, s->p, NULL};
    struct json_number number;
    skip_blanks(s);
    in.p = s->p;
    if (s->n == 0 || !strchr("-0123456789", *s->p) || json_scan_number(&in, &number)) return false;
    *out = str_make(s->p, (size_t)(in.p - s->p));
    s->n -= out->n;
    s->p += out->n;
    return true;
}

/* Any number of <=N >=N <N >N =N. */
static int read_bounds(struct writer *w, struct str *s, struct bounds *b, const struct place *at)
{
    for (;;) {
        struct str *to[2] = {NULL, NULL};
        skip_blanks(s);
        if (take(s, "<="))
            to[0] = &b->at_most;
        else if (take(s, ">="))
            to[0] = &b->at_least;
        else if (take(s, "<"))
            to[0] = &b->below;
        else if (take(s, ">"))
            to[0] = &b->above;
        else if (take(s, "=")) {
            to[0] = &b->at_most;
            to[1] = &b->at_least;
        } else {
            return 0;
        }
        for (int i = 0; i < 2 && to[i]; i++)
            if (to[i]->p) return bad(w, at, "says the same bound twice");
        if (!take_number(s, to[0])) return bad(w, at, "a number must follow <=, >=, <, > or =");
        if (to[1]) *to[1] = *to[0];
    }
}

static int read_word(struct writer *w, struct str *s, struct word *word, const struct place *at)
{
    int code;
    memset(word, 0, sizeof *word);
    skip_blanks(s);
    word->name = take_while(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    if ((code = read_bounds(w, s, &word->bounds[0], at))) return code;
    while (take(s, "[]")) {
        if (word->lists == LISTS_MAX)
            return bad(w, at, "lists within lists, more than %d deep", LISTS_MAX);
        if ((code = read_bounds(w, s, &word->bounds[++word->lists], at))) return code;
    }
    return 0;
}

/* A count: of characters or elements. */
static int put_count(struct writer *w, const char *most, const char *least, const struct bounds *b,
                     const struct place *at)
{
    const struct str *both[2] = {&b->at_most, &b->at_least};
    const char *names[2] = {most, least};
    if (b->above.p || b->below.p) return bad(w, at, "a length is bounded by <=, >= or =");
    for (int i = 0; i < 2; i++) {
        if (!both[i]->p) continue;
        for (size_t k = 0; k < both[i]->n; k++)
            if (both[i]->p[k] < '0' || both[i]->p[k] > '9')
                return bad(w, at, "a length is a whole number, 0 or more");
        buf_printf(w->out, "\"%s\":%.*s,", names[i], STR_ARG(*both[i]));
    }
    return 0;
}

static int put_range(struct writer *w, const struct bounds *b)
{
    const struct str *all[4] = {&b->below, &b->above, &b->at_most, &b->at_least};
    static const char *const names[4] = {"exclusiveMaximum", "exclusiveMinimum", "maximum",
                                         "minimum"};
    for (int i = 0; i < 4; i++)
        if (all[i]->p) buf_printf(w->out, "\"%s\":%.*s,", names[i], STR_ARG(*all[i]));
    return 0;
}

static bool any_bound(const struct bounds *b)
{
    return b->at_least.p || b->at_most.p || b->above.p || b->below.p;
}

/* The members of what has one form, with the brace behind them. "message" is one of a chat: what
 * models' APIs call the messages. */
static const struct {
    const char *name, *members;
} fixed[] = {
    {"boolean", "\"type\":\"boolean\"}"},
    {"object", "\"type\":\"object\"}"},
    {"any", "}"},
    {"null", "\"type\":\"null\"}"},
    {"datetime", "\"format\":\"date-time\",\"type\":\"string\"}"},
    {"date", "\"format\":\"date\",\"type\":\"string\"}"},
    {"time", "\"format\":\"time\",\"type\":\"string\"}"},
    {"email", "\"format\":\"email\",\"type\":\"string\"}"},
    {"uuid", "\"format\":\"uuid\",\"type\":\"string\"}"},
    {"url", "\"format\":\"uri\",\"pattern\":\"^[Hh][Tt][Tt][Pp][Ss]?://\",\"type\":\"string\"}"},
    {"uri", "\"format\":\"uri\",\"type\":\"string\"}"},
    {"message",
     "\"properties\":{\"content\":{\"anyOf\":[{\"type\":\"string\"},{\"items\":{\"properties\":{"
     "\"type\":{\"type\":\"string\"}},\"required\":[\"type\"],\"type\":\"object\"},\"type\":"
     "\"array\"},{\"type\":\"null\"}]},\"role\":{\"enum\":[\"user\",\"assistant\",\"system\","
     "\"tool\"]}},\"required\":[\"role\"],\"type\":\"object\"}"},
};

static int unknown(struct writer *w, struct str name, const struct place *at)
{
    return bad(w, at,
               "unknown type \"%.*s\"; there are string, integer, number, boolean, object, any, "
               "null, datetime, date, time, url, uri, email, uuid, message, each with [] for a "
               "list and ? where it may be absent",
               (int)(name.n > 60 ? 60 : name.n), name.p ? name.p : "");
}

/* The members of the word's own type, with the closing brace. */
static int put_type(struct writer *w, const struct word *word, const struct place *at)
{
    const struct bounds *b = &word->bounds[0];
    int code;
    if (str_eqz(word->name, "string")) {
        if ((code = put_count(w, "maxLength", "minLength", b, at))) return code;
        return buf_puts(w->out, "\"type\":\"string\"}");
    }
    if (str_eqz(word->name, "integer") || str_eqz(word->name, "number")) {
        put_range(w, b);
        return buf_printf(w->out, "\"type\":\"%.*s\"}", STR_ARG(word->name));
    }
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (str_eqz(word->name, fixed[i].name)) {
            if (any_bound(b))
                return bad(w, at, "%s has no bounds (string, integer, number and lists have)",
                           fixed[i].name);
            return buf_puts(w->out, fixed[i].members);
        }
    return unknown(w, word->name, at);
}

/* The brace of the outermost schema is open already. */
static int put_word(struct writer *w, const struct word *word, const struct place *at)
{
    int code;
    for (int i = word->lists; i > 0; i--)
        buf_puts(w->out, "\"items\":{");
    if ((code = put_type(w, word, at))) return code;
    for (int i = 1; i <= word->lists; i++) {
        buf_putc(w->out, ',');
        if ((code = put_count(w, "maxItems", "minItems", &word->bounds[i], at))) return code;
        buf_puts(w->out, "\"type\":\"array\"}");
    }
    return w->out->code;
}

/* Splits " -- description" and the "?" off the end. */
static void split_text(struct str *s, struct str *description, bool *optional)
{
    *description = (struct str){NULL, 0};
    for (size_t i = 0; i + 4 <= s->n; i++)
        if (memcmp(s->p + i, " -- ", 4) == 0) {
            *description = str_make(s->p + i + 4, s->n - i - 4);
            s->n = i;
            break;
        }
    while (s->n > 0 && s->p[s->n - 1] == ' ')
        s->n--;
    *optional = s->n > 0 && s->p[s->n - 1] == '?';
    if (*optional) s->n--;
}

static int write_text(struct writer *w, struct str s, const struct place *at)
{
    struct str description;
    struct word word;
    bool optional, several;
    int code;
    split_text(&s, &description, &optional);
    several = s.n > 0 && memchr(s.p, '|', s.n);
    buf_putc(w->out, '{');
    if (several) buf_puts(w->out, "\"anyOf\":[");
    if (!several && description.p) {
        buf_puts(w->out, "\"description\":");
        json_put_string(w->out, description);
        buf_putc(w->out, ',');
    }
    do {
        if (several) buf_putc(w->out, '{');
        if ((code = read_word(w, &s, &word, at)) || (code = put_word(w, &word, at))) return code;
        skip_blanks(&s);
        if (s.n > 0 && *s.p != '|')
            return bad(w, at, "\"%.*s\" is not understood", (int)(s.n > 60 ? 60 : s.n), s.p);
        if (s.n > 0) buf_putc(w->out, ',');
    } while (take(&s, "|"));
    if (!several) {
        /* "any" has no members: the comma behind a description goes */
        char *p = w->out->p;
        if (p && w->out->n > 2 && p[w->out->n - 2] == ',') {
            p[w->out->n - 2] = '}';
            p[--w->out->n] = 0;
        }
        return w->out->code;
    }
    buf_putc(w->out, ']');
    if (description.p) {
        buf_puts(w->out, ",\"description\":");
        json_put_string(w->out, description);
    }
    return buf_putc(w->out, '}');
}

static int write_list(struct writer *w, const struct json *v, const struct place *at)
{
    const struct json *first = v->v.first;
    unsigned kinds = 0;
    int code;
    if (v->n == 0) return bad(w, at, "an empty list of values allows nothing");
    if (v->n == 1 && (first->kind == JSON_OBJECT || first->kind == JSON_ARRAY)) {
        buf_puts(w->out, "{\"items\":");
        if ((code = write_value(w, first, at))) return code;
        return buf_puts(w->out, ",\"type\":\"array\"}");
    }
    buf_puts(w->out, "{\"enum\":[");
    for (const struct json *m = first; m; m = m->next) {
        if (m->kind == JSON_OBJECT || m->kind == JSON_ARRAY)
            return bad(w, at,
                       "a list is either values to choose from, or one table: the form of each "
                       "element");
        kinds |= 1u << m->kind;
        json_write(m, w->out);
        if (m->next) buf_putc(w->out, ',');
    }
    buf_putc(w->out, ']');
    if (kinds == 1u << JSON_STRING) buf_puts(w->out, ",\"type\":\"string\"");
    if (kinds == 1u << JSON_INT) buf_puts(w->out, ",\"type\":\"integer\"");
    return buf_putc(w->out, '}');
}

/* A schema made before, within the shorthand. */
static bool is_raw(const struct json *v)
{
    return v->kind == JSON_OBJECT && v->n == 1 && str_eqz(v->v.first->key, SCHEMA_SHORT_RAW) &&
           v->v.first->kind == JSON_STRING;
}

/* The property's name without its "?"; *optional by the name or by the text's end. */
static struct str property_name(const struct json *m, bool *optional)
{
    struct str name = m->key, text, description;
    *optional = name.n > 1 && name.p[name.n - 1] == '?';
    if (*optional) {
        name.n--;
    } else if (m->kind == JSON_STRING) {
        text = m->v.s;
        split_text(&text, &description, optional);
    }
    return name;
}

static int write_object(struct writer *w, const struct json *v, const struct place *at)
{
    bool optional, some = false;
    int code;
    buf_puts(w->out, "{\"additionalProperties\":false,\"properties\":{");
    for (const struct json *m = v->v.first; m; m = m->next) {
        struct str name = property_name(m, &optional);
        struct place below = {at, name};
        if (optional && name.n < m->key.n && json_find(v, name))
            return bad(w, &below, "is there twice, with and without ?");
        json_put_string(w->out, name);
        buf_putc(w->out, ':');
        if ((code = write_value(w, m, &below))) return code;
        if (m->next) buf_putc(w->out, ',');
    }
    buf_putc(w->out, '}');
    for (const struct json *m = v->v.first; m; m = m->next) {
        struct str name = property_name(m, &optional);
        if (optional) continue;
        buf_puts(w->out, some ? "," : ",\"required\":[");
        json_put_string(w->out, name);
        some = true;
    }
    if (some) buf_putc(w->out, ']');
    return buf_puts(w->out, ",\"type\":\"object\"}");
}

static int write_value(struct writer *w, const struct json *v, const struct place *at)
{
    int code;
    if (w->depth >= 50) return bad(w, at, "nested too deeply");
    w->depth++;
    if (v->kind == JSON_STRING)
        code = write_text(w, v->v.s, at);
    else if (v->kind == JSON_ARRAY)
        code = write_list(w, v, at);
    else if (is_raw(v))
        code = buf_putstr(w->out, v->v.first->v.s);
    else if (v->kind == JSON_OBJECT)
        code = write_object(w, v, at);
    else
        code = bad(w, at,
                   "must be a type as a text, a list of allowed values, a table of properties or "
                   "a schema");
    w->depth--;
    return code;
}

int schema_from_short(struct str json, struct buf *out, struct err *e)
{
    struct arena a;
    struct json *v = NULL;
    struct writer w = {out, e, 0};
    arena_init(&a, 0);
    struct json_mem m = {.arena = &a};
    int code = json_parse(json, &m, &v, e);
    if (!code) code = write_value(&w, v, NULL);
    if (!code && out->code) code = out->code;
    if (code && code == out->code)
        err_set(e, code, code == ERR_NOMEM ? "out of memory" : "the schema is too large");
    arena_free(&a);
    return code;
}
