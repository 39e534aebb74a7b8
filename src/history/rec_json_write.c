/* Records to protobuf's JSON mapping, as Temporal's tools write it: lowerCamelCase names, enum
 * values by name, 64-bit numbers as strings, bytes in base64, times in RFC 3339, maps as objects,
 * an Any with its message spelled out. Unknown fields have no JSON form and are left out. */
#include "base/clock.h"
#include "history/rec_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct writer {
    struct buf *b;
    bool pretty;
    int indent;
    int depth;
};

static void line(struct writer *w)
{
    if (!w->pretty) return;
    static const char spaces[] = "                                ";
    buf_putc(w->b, '\n');
    for (size_t left = (size_t)w->indent * 2; left > 0;) {
        size_t n = left < sizeof spaces - 1 ? left : sizeof spaces - 1;
        buf_put(w->b, spaces, n);
        left -= n;
    }
}

static void open_list(struct writer *w, char c)
{
    buf_putc(w->b, c);
    w->indent++;
}

/* In front of every element but the first a comma. */
static void next(struct writer *w, bool *first)
{
    if (!*first) buf_putc(w->b, ',');
    *first = false;
    line(w);
}

static void close_list(struct writer *w, char c, bool empty)
{
    w->indent--;
    if (!empty) line(w);
    buf_putc(w->b, c);
}

static void colon(struct writer *w)
{
    buf_puts(w->b, w->pretty ? ": " : ":");
}

static void name(struct writer *w, bool *first, const char *z)
{
    next(w, first);
    buf_putc(w->b, '"');
    buf_puts(w->b, z);
    buf_putc(w->b, '"');
    colon(w);
}

/* The shortest text that reads back as the same number. */
static void put_double(struct buf *b, double v, bool is_float)
{
    char text[40];
    if (isnan(v) || isinf(v)) {
        buf_puts(b, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    for (int digits = is_float ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        double back =
            strtod(text, NULL); /* before the point is put in, in whatever locale it was written */
        if (is_float ? (float)back == (float)v : back == v) break;
    }
    for (char *p = text; *p; p++) {
        if (!strchr("0123456789+-e", *p)) *p = '.';
    }
    buf_puts(b, text);
}

static void put_duration(struct buf *b, int64_t ns)
{
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    unsigned frac = (unsigned)(left % (uint64_t)NS_PER_S);
    buf_printf(b, "\"%s%llu", ns < 0 ? "-" : "", (unsigned long long)(left / (uint64_t)NS_PER_S));
    if (frac && frac % 1000000 == 0)
        buf_printf(b, ".%03u", frac / 1000000);
    else if (frac && frac % 1000 == 0)
        buf_printf(b, ".%06u", frac / 1000);
    else if (frac)
        buf_printf(b, ".%09u", frac);
    buf_puts(b, "s\"");
}

static void put_record(struct writer *w, const struct rec *r);

static void put_value(struct writer *w, const struct rec_field *f)
{
    struct buf *b = w->b;
    char text[TIME_ISO_MAX];
    const char *z;
    switch (f->kind) {
    case REC_INT:
        buf_printf(b, f->ft->flags & REC_WIDE ? "\"%lld\"" : "%lld", (long long)f->v.i);
        break;
    case REC_BOOL:
        buf_puts(b, f->v.i ? "true" : "false");
        break;
    case REC_ENUM:
        z = rec_enum_name(f->ft->enums, (int)f->v.i);
        if (z)
            buf_printf(b, "\"%s\"", z);
        else
            buf_printf(b, "%lld", (long long)f->v.i);
        break;
    case REC_DOUBLE:
    case REC_FLOAT:
        put_double(b, f->v.d, f->kind == REC_FLOAT);
        break;
    case REC_STR:
        buf_put_json(b, f->v.s);
        break;
    case REC_BYTES:
        buf_putc(b, '"');
        buf_put_base64(b, f->v.s);
        buf_putc(b, '"');
        break;
    case REC_MSG:
        put_record(w, f->v.m);
        break;
    case REC_TIME:
        time_format_iso(f->v.i, text);
        buf_printf(b, "\"%s\"", text);
        break;
    case REC_DURATION:
        put_duration(b, f->v.i);
        break;
    default:
        break;
    }
}

static void put_entry(struct writer *w, bool *first, const struct rec *entry)
{
    const struct rec_field_type *vt = rec_field_type_of(entry->type, 2);
    const struct rec_field *value = rec_each(entry, 2, NULL);
    next(w, first);
    buf_put_json(w->b, rec_str(entry, 1));
    colon(w);
    w->depth++; /* the entry is a message too */
    if (value)
        put_value(w, value);
    else
        buf_puts(w->b, vt->kind == REC_MSG ? "{}" : "\"\"");
    w->depth--;
}

/* All values of the repeated field or map whose first one is f. */
static void put_repeated(struct writer *w, const struct rec_field *f)
{
    const struct rec_field_type *ft = f->ft;
    bool map = ft->flags & REC_MAP, first = true;
    open_list(w, map ? '{' : '[');
    for (; f && !w->b->code; f = f->next) {
        if (f->ft != ft) continue;
        if (map) {
            put_entry(w, &first, f->v.m);
        } else {
            next(w, &first);
            put_value(w, f);
        }
    }
    close_list(w, map ? '}' : ']', first);
}

static void put_members(struct writer *w, const struct rec *r, bool *first)
{
    struct rec_done done = {0};
    for (const struct rec_field *f = r->first; f && !w->b->code; f = f->next) {
        if (!f->ft) continue;
        bool repeated = f->ft->flags & (REC_REPEATED | REC_MAP);
        if (repeated ? rec_done_mark(&done, rec_field_index(r, f)) : rec_field_is_default(f))
            continue;
        name(w, first, f->ft->json);
        if (repeated)
            put_repeated(w, f);
        else
            put_value(w, f);
    }
}

/* {"@type": url, members of the message}; of a message that we do not know, or cannot read, its
 * bytes. */
static void put_any(struct writer *w, const struct rec *any, bool *first)
{
    struct str url = rec_str(any, T(any, type_url)), value = rec_str(any, T(any, value));
    const struct rec_type *t = rec_type_of_url(url);
    struct arena scratch;
    struct rec *m = NULL;
    arena_init(&scratch, 0);
    if (url.n) {
        name(w, first, "@type");
        buf_put_json(w->b, url);
    }
    int rc = t ? rec_decode(&scratch, t, value, &m, NULL) : ERR_PROTO;
    if (rc == ERR_NOMEM && !w->b->code) w->b->code = ERR_NOMEM;
    if (rc == 0) {
        put_members(w, m, first);
    } else if (value.n) {
        name(w, first, "value");
        buf_putc(w->b, '"');
        buf_put_base64(w->b, value);
        buf_putc(w->b, '"');
    }
    arena_free(&scratch);
}

static void put_record(struct writer *w, const struct rec *r)
{
    bool first = true;
    if (w->depth > REC_DEPTH_MAX && !w->b->code) w->b->code = ERR_LIMIT;
    if (w->b->code) return;
    w->depth++;
    open_list(w, '{');
    if (r->type == &rec_type_any)
        put_any(w, r, &first);
    else
        put_members(w, r, &first);
    close_list(w, '}', first);
    w->depth--;
}

int rec_to_json(const struct rec *r, struct buf *out, bool pretty)
{
    if (!r) return out->code ? out->code : ERR_NOMEM;
    if (arena_failed(r->arena) && !out->code) return ERR_NOMEM;
    struct writer w = {out, pretty, 0, 0};
    put_record(&w, r);
    return out->code;
}
