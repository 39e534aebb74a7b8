/* Checks a value: see schema.h. The schema's tree is read as it is; what does not apply to the
 * value's kind holds. Errors are collected unless only the answer counts (within anyOf, not, if).
 */
#include "json/format.h"
#include "json/schema_report.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool check(struct checker *c, const struct json *schema, const struct json *v,
                  const struct spot *at);

static bool spend(struct checker *c, uint64_t n)
{
    if (c->steps < n) return report_limit(c, ERR_LIMIT, "took too many steps");
    c->steps -= n;
    return true;
}

/* Does it fit, without a word about it? */
static bool fits(struct checker *c, const struct json *schema, const struct json *v,
                 const struct spot *at)
{
    struct schema_report *report = c->report;
    c->report = NULL;
    bool ok = check(c, schema, v, at);
    c->report = report;
    return ok;
}

static bool is_whole(const struct json *v)
{
    return v->kind == JSON_INT || (v->kind == JSON_DOUBLE && v->v.d == trunc(v->v.d));
}

static unsigned types_of(const struct json *v)
{
    switch (v->kind) {
    case JSON_NULL:
        return TYPE_NULL;
    case JSON_BOOL:
        return TYPE_BOOLEAN;
    case JSON_INT:
    case JSON_DOUBLE:
        return TYPE_NUMBER | (is_whole(v) ? TYPE_INTEGER : 0);
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    default:
        return TYPE_OBJECT;
    }
}

static bool check_type(struct checker *c, const struct json *word, const struct json *v,
                       const struct spot *at)
{
    unsigned wanted = (unsigned)(uintptr_t)word->aux, is = types_of(v);
    char text[120] = "";
    size_t n = 0;
    if (wanted & is) return true;
    for (unsigned i = 1; i <= 7; i++) { /* null comes last */
        unsigned bit = 1u << i % 7;
        if (wanted & bit)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " or " : "",
                                  schema_type_name(bit));
    }
    is &= is & TYPE_NUMBER ? TYPE_NUMBER : ~0u;
    return report_bad(c, at, WORD_TYPE, "must be %s, is %s", text, schema_type_name(is));
}

static bool check_enum(struct checker *c, const struct json *word, const struct json *v,
                       const struct spot *at)
{
    struct buf list;
    for (const struct json *m = word->v.first; m; m = m->next) {
        if (json_equal(m, v, &c->steps)) return true;
        if (!spend(c, 1)) return false;
    }
    if (!c->report) return false;
    buf_init(&list, 600);
    for (const struct json *m = word->v.first; m && !list.code; m = m->next) {
        report_value(m, &list);
        if (m->next) buf_puts(&list, ", ");
    }
    report_bad(c, at, WORD_ENUM, "must be one of %s%s", list.p ? list.p : "(nothing)",
               list.code ? "..." : "");
    buf_free(&list);
    return false;
}

static bool check_const(struct checker *c, const struct json *word, const struct json *v,
                        const struct spot *at)
{
    struct buf text;
    if (json_equal(word, v, &c->steps)) return true;
    if (!spend(c, 1) || !c->report) return false;
    buf_init(&text, 600);
    report_value(word, &text);
    report_bad(c, at, WORD_CONST, "must be %s", text.p ? text.p : "");
    buf_free(&text);
    return false;
}

/* ---- numbers ---- */
static bool is_multiple(const struct json *v, const struct json *of)
{
    if (v->kind == JSON_INT && of->kind == JSON_INT) return v->v.i % of->v.i == 0;
    double a = json_double(v), b = json_double(of), q = a / b;
    if (isinf(q)) return fmod(a, b) == 0;
    /* 0.0075 is a multiple of 0.0001, although neither can be written in binary */
    return fabs(q - nearbyint(q)) <= 4 * DBL_EPSILON * fmax(1, fabs(q));
}

static bool check_number(struct checker *c, const struct json *word, const struct json *v,
                         const struct spot *at)
{
    static const char *const says[] = {"at least", "at most", "above", "below", "a multiple of"};
    int what = word->word - WORD_MINIMUM, order;
    bool ok;
    struct buf limit;
    if (word->word == WORD_MULTIPLE_OF) {
        ok = is_multiple(v, word);
    } else {
        order = json_compare(v, word);
        ok = what == 0 ? order >= 0 : what == 1 ? order <= 0 : what == 2 ? order > 0 : order < 0;
    }
    if (ok) return true;
    buf_init(&limit, 100);
    report_value(word, &limit);
    report_bad(c, at, (enum schema_word)word->word, "must be %s %s", says[what],
               limit.p ? limit.p : "");
    buf_free(&limit);
    return false;
}

/* ---- texts ---- */
static size_t characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

static bool matches(struct checker *c, const struct regex *r, struct str s)
{
    if (!r) return true; /* a pattern from elsewhere that is not supported */
    if (!c->scratch) {
        c->scratch = arena_take(c->arena, c->s->regex_scratch * sizeof(uint32_t));
        if (!c->scratch) return report_limit(c, ERR_NOMEM, "ran out of memory");
    }
    int found = regex_search(r, s, c->scratch, &c->steps);
    if (found < 0) return report_limit(c, ERR_LIMIT, "took too many steps");
    return found == 1;
}

static bool check_text(struct checker *c, const struct json *word, const struct json *v,
                       const struct spot *at)
{
    enum schema_word w = (enum schema_word)word->word;
    enum json_format f;
    size_t n;
    if (!spend(c, 1 + v->v.s.n / 16)) return false;
    switch (w) {
    case WORD_MIN_LENGTH:
        n = characters(v->v.s);
        if ((double)n >= json_double(word)) return true;
        return report_bad(c, at, w, "must have at least %.0f character%s, has %zu",
                          json_double(word), json_double(word) == 1 ? "" : "s", n);
    case WORD_MAX_LENGTH:
        n = characters(v->v.s);
        if ((double)n <= json_double(word)) return true;
        return report_bad(c, at, w, "must have at most %.0f character%s, has %zu",
                          json_double(word), json_double(word) == 1 ? "" : "s", n);
    case WORD_PATTERN:
        if (matches(c, word->aux, v->v.s)) return true;
        return report_bad(c, at, w, "must match the pattern %.*s",
                          (int)(word->v.s.n > 200 ? 200 : word->v.s.n), word->v.s.p);
    default:
        f = (enum json_format)(uintptr_t)word->aux;
        if (format_holds(f, v->v.s)) return true;
        return report_bad(c, at, w, "must be in the format %s%s", format_name(f),
                          f == FORMAT_DATE_TIME ? " (2026-07-01T09:30:00Z)"
                          : f == FORMAT_DATE    ? " (2026-07-01)"
                          : f == FORMAT_URI     ? " (with its scheme, as in https://...)"
                                                : "");
    }
}

/* ---- arrays ---- */
static uint64_t hash_of(const struct json *v)
{
    uint64_t h = v->kind;
    switch (v->kind) {
    case JSON_INT:
    case JSON_DOUBLE: { /* 1 and 1.0 are one */
        double d = json_double(v);
        if (d == 0) d = 0;
        memcpy(&h, &d, sizeof h);
        return h * 0x9E3779B97F4A7C15u;
    }
    case JSON_BOOL:
        return h * 31 + v->v.b;
    case JSON_STRING:
        for (size_t i = 0; i < v->v.s.n; i++)
            h = (h ^ (unsigned char)v->v.s.p[i]) * 0x100000001B3u;
        return h;
    case JSON_ARRAY:
        for (const struct json *m = v->v.first; m; m = m->next)
            h = h * 0x9E3779B97F4A7C15u + hash_of(m);
        return h;
    case JSON_OBJECT:
        for (const struct json *m = v->v.first; m; m = m->next) {
            uint64_t k = hash_of(m);
            for (size_t i = 0; i < m->key.n; i++)
                k = (k ^ (unsigned char)m->key.p[i]) * 0x100000001B3u;
            h += k;
        }
        return h;
    default:
        return h;
    }
}

struct hashed {
    uint64_t hash;
    const struct json *v;
    size_t index;
};
static int by_hash(const void *pa, const void *pb)
{
    const struct hashed *a = pa, *b = pb;
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static bool check_unique(struct checker *c, const struct json *v, const struct spot *at)
{
    if (v->n < 2) return true;
    struct hashed *all = arena_take(c->arena, v->n * sizeof *all);
    size_t i = 0;
    if (!all) return report_limit(c, ERR_NOMEM, "ran out of memory");
    if (!spend(c, 8 * (uint64_t)v->n)) return false;
    for (const struct json *m = v->v.first; m; m = m->next, i++)
        all[i] = (struct hashed){hash_of(m), m, i};
    qsort(all, v->n, sizeof *all, by_hash);
    for (i = 0; i < v->n; i++)
        for (size_t j = i + 1; j < v->n && all[j].hash == all[i].hash; j++) {
            if (json_equal(all[i].v, all[j].v, &c->steps))
                return report_bad(c, at, WORD_UNIQUE_ITEMS, "elements %zu and %zu are the same",
                                  all[i].index, all[j].index);
            if (!spend(c, 1)) return false;
        }
    return true;
}

static bool check_items(struct checker *c, const struct json *schema, const struct json *word,
                        const struct json *v, const struct spot *at)
{
    const struct json *prefix = schema_word_of(schema, WORD_PREFIX_ITEMS);
    const struct json *m = v->v.first;
    bool ok = true;
    size_t i = 0;
    for (const struct json *p = prefix ? prefix->v.first : NULL; p && m; p = p->next, i++) {
        struct spot below = {at, {NULL, 0}, i};
        if (word->word == WORD_PREFIX_ITEMS) ok = check(c, p, m, &below) && ok;
        m = m->next;
    }
    if (word->word == WORD_PREFIX_ITEMS) return ok;
    for (; m; m = m->next, i++) {
        struct spot below = {at, {NULL, 0}, i};
        ok = check(c, word, m, &below) && ok;
        if (!ok && (!c->report || c->code)) return false;
    }
    return ok;
}

static bool check_contains(struct checker *c, const struct json *schema, const struct json *word,
                           const struct json *v, const struct spot *at)
{
    const struct json *least = schema_word_of(schema, WORD_MIN_CONTAINS);
    const struct json *most = schema_word_of(schema, WORD_MAX_CONTAINS);
    double n = 0, min = least ? json_double(least) : 1;
    for (const struct json *m = v->v.first; m; m = m->next)
        n += fits(c, word, m, at);
    if (n < min)
        return report_bad(c, at, least ? WORD_MIN_CONTAINS : WORD_CONTAINS,
                          "must contain at least %.0f element%s of the wanted form, has %.0f", min,
                          min == 1 ? "" : "s", n);
    if (most && n > json_double(most))
        return report_bad(c, at, WORD_MAX_CONTAINS,
                          "must contain at most %.0f elements of the form, has %.0f",
                          json_double(most), n);
    return true;
}

static bool check_count(struct checker *c, const struct json *word, const struct json *v,
                        const struct spot *at)
{
    enum schema_word w = (enum schema_word)word->word;
    bool least = w == WORD_MIN_ITEMS || w == WORD_MIN_PROPERTIES;
    const char *of = v->kind == JSON_ARRAY ? "element" : "member";
    double limit = json_double(word);
    if (least ? v->n >= limit : v->n <= limit) return true;
    return report_bad(c, at, w, "must have at %s %.0f %s%s, has %u", least ? "least" : "most",
                      limit, of, limit == 1 ? "" : "s", v->n);
}

static bool check_array(struct checker *c, const struct json *schema, const struct json *word,
                        const struct json *v, const struct spot *at)
{
    switch (word->word) {
    case WORD_ITEMS:
    case WORD_PREFIX_ITEMS:
        return check_items(c, schema, word, v, at);
    case WORD_CONTAINS:
        return check_contains(c, schema, word, v, at);
    case WORD_UNIQUE_ITEMS:
        return !word->v.b || check_unique(c, v, at);
    default:
        return check_count(c, word, v, at);
    }
}

/* ---- objects ---- */
static bool check_properties(struct checker *c, const struct json *word, const struct json *v,
                             const struct spot *at)
{
    bool ok = true;
    for (const struct json *p = word->v.first; p; p = p->next) {
        const struct json *m = json_find(v, p->key);
        struct spot below = {at, p->key, 0};
        if (!spend(c, 1)) return false;
        if (m) ok = check(c, p, m, &below) && ok;
        if (!ok && (!c->report || c->code)) return false;
    }
    return ok;
}

static bool check_patterns(struct checker *c, const struct json *word, const struct json *v,
                           const struct spot *at)
{
    bool ok = true;
    for (const struct json *p = word->v.first; p; p = p->next)
        for (const struct json *m = v->v.first; m; m = m->next) {
            struct spot below = {at, m->key, 0};
            if (p->aux && matches(c, p->aux, m->key)) ok = check(c, p, m, &below) && ok;
            if (c->code) return false;
        }
    return ok;
}

/* Is the member spoken for by properties or patternProperties? */
static bool is_known(struct checker *c, const struct json *properties, const struct json *patterns,
                     struct str key)
{
    if (properties && json_find(properties, key)) return true;
    for (const struct json *p = patterns ? patterns->v.first : NULL; p; p = p->next)
        if (matches(c, p->aux, key)) return true;
    return false;
}

static bool unknown_member(struct checker *c, const struct json *properties, const struct spot *at)
{
    struct buf known;
    if (!c->report) return false;
    buf_init(&known, 300);
    for (const struct json *p = properties ? properties->v.first : NULL; p && !known.code;
         p = p->next) {
        buf_putstr(&known, p->key);
        if (p->next) buf_puts(&known, ", ");
    }
    report_bad(c, at, WORD_ADDITIONAL, "is not known here%s%s%s", known.n ? "; known: " : "",
               known.p ? known.p : "", known.code ? "..." : "");
    buf_free(&known);
    return false;
}

static bool check_additional(struct checker *c, const struct json *schema, const struct json *word,
                             const struct json *v, const struct spot *at)
{
    const struct json *properties = schema_word_of(schema, WORD_PROPERTIES);
    const struct json *patterns = schema_word_of(schema, WORD_PATTERN_PROPERTIES);
    bool ok = true, none = word->kind == JSON_BOOL && !word->v.b;
    for (const struct json *m = v->v.first; m; m = m->next) {
        struct spot below = {at, m->key, 0};
        if (!spend(c, 1)) return false;
        if (is_known(c, properties, patterns, m->key)) continue;
        ok = (none ? unknown_member(c, properties, &below) : check(c, word, m, &below)) && ok;
        if (!ok && (!c->report || c->code)) return false;
    }
    return ok;
}

static bool check_required(struct checker *c, const struct json *names, enum schema_word rule,
                           struct str because, const struct json *v, const struct spot *at)
{
    bool ok = true;
    for (const struct json *n = names->v.first; n; n = n->next) {
        struct spot below = {at, n->v.s, 0};
        if (!spend(c, 1)) return false;
        if (json_find(v, n->v.s)) continue;
        ok = because.p
                 ? report_bad(c, &below, rule, "is missing; \"%.*s\" needs it", STR_ARG(because))
                 : report_bad(c, &below, rule, "is missing");
        if (!c->report) return false;
    }
    return ok;
}

static bool check_names(struct checker *c, const struct json *word, const struct json *v,
                        const struct spot *at)
{
    bool ok = true;
    for (const struct json *m = v->v.first; m; m = m->next) {
        struct json name = {.kind = JSON_STRING, .v.s = m->key};
        struct spot below = {at, m->key, 0};
        if (!fits(c, word, &name, &below))
            ok = report_bad(c, &below, WORD_PROPERTY_NAMES, "is no name that is allowed here");
        if (c->code) return false;
    }
    return ok;
}

static bool check_object(struct checker *c, const struct json *schema, const struct json *word,
                         const struct json *v, const struct spot *at)
{
    bool ok = true;
    switch (word->word) {
    case WORD_PROPERTIES:
        return check_properties(c, word, v, at);
    case WORD_PATTERN_PROPERTIES:
        return check_patterns(c, word, v, at);
    case WORD_ADDITIONAL:
        return check_additional(c, schema, word, v, at);
    case WORD_REQUIRED:
        return check_required(c, word, WORD_REQUIRED, (struct str){NULL, 0}, v, at);
    case WORD_PROPERTY_NAMES:
        return check_names(c, word, v, at);
    case WORD_DEPENDENT_REQUIRED:
        for (const struct json *d = word->v.first; d; d = d->next)
            if (json_find(v, d->key))
                ok = check_required(c, d, WORD_DEPENDENT_REQUIRED, d->key, v, at) && ok;
        return ok;
    case WORD_DEPENDENT_SCHEMAS:
        for (const struct json *d = word->v.first; d; d = d->next)
            if (json_find(v, d->key)) ok = check(c, d, v, at) && ok;
        return ok;
    default:
        return check_count(c, word, v, at);
    }
}

/* ---- combinations ---- */
static bool none_fits(struct checker *c, const struct json *word, const struct json *v,
                      const struct spot *at)
{
    /* what each form says first, so that the sender can choose one */
    struct schema_report *report = c->report, one;
    struct buf text;
    int i = 1;
    if (!report || c->code) return false;
    buf_init(&text, 1000);
    for (const struct json *s = word->v.first; s && i <= 4 && !c->code; s = s->next, i++) {
        schema_report_init(&one);
        c->report = &one;
        check(c, s, v, NULL);
        const struct schema_error *e = one.first;
        if (e)
            buf_printf(&text, "%s(%d) %.*s%s%.*s", i > 1 ? ", " : "", i,
                       (int)(e->pointer.n > 100 ? 100 : e->pointer.n), e->pointer.p,
                       e->pointer.n ? " " : "", (int)(e->message.n > 200 ? 200 : e->message.n),
                       e->message.p);
        schema_report_free(&one);
    }
    c->report = report;
    report_bad(c, at, (enum schema_word)word->word, "fits none of %u forms: %s%s", word->n,
               text.p ? text.p : "", word->n > 4 ? ", ..." : "");
    buf_free(&text);
    return false;
}

static bool check_forms(struct checker *c, const struct json *word, const struct json *v,
                        const struct spot *at)
{
    int first = 0, second = 0, i = 1;
    for (const struct json *s = word->v.first; s; s = s->next, i++) {
        if (!fits(c, s, v, at)) {
            if (c->code) return false;
            continue;
        }
        if (word->word == WORD_ANY_OF) return true;
        if (!first)
            first = i;
        else if (!second)
            second = i;
    }
    if (!first) return none_fits(c, word, v, at);
    if (!second) return true;
    return report_bad(c, at, WORD_ONE_OF, "fits forms %d and %d, must fit exactly one", first,
                      second);
}

static bool check_if(struct checker *c, const struct json *schema, const struct json *word,
                     const struct json *v, const struct spot *at)
{
    bool holds = fits(c, word, v, at);
    const struct json *next = schema_word_of(schema, holds ? WORD_THEN : WORD_ELSE);
    if (c->code) return false;
    return !next || check(c, next, v, at);
}

static bool check_combined(struct checker *c, const struct json *schema, const struct json *word,
                           const struct json *v, const struct spot *at)
{
    bool ok = true;
    switch (word->word) {
    case WORD_ALL_OF:
        for (const struct json *s = word->v.first; s && !c->code; s = s->next)
            ok = check(c, s, v, at) && ok;
        return ok;
    case WORD_NOT:
        if (!fits(c, word, v, at)) return true;
        return report_bad(c, at, WORD_NOT, "has a form that is not allowed");
    case WORD_IF:
        return check_if(c, schema, word, v, at);
    case WORD_REF:
        return check(c, word->aux, v, at);
    default:
        return check_forms(c, word, v, at);
    }
}

/* By the order of the table of keywords: each group stands together there. */
static bool check_word(struct checker *c, const struct json *schema, const struct json *word,
                       const struct json *v, const struct spot *at)
{
    int w = word->word;
    if (w == WORD_ENUM) return check_enum(c, word, v, at);
    if (w == WORD_CONST) return check_const(c, word, v, at);
    if (w == WORD_MIN_CONTAINS || w == WORD_MAX_CONTAINS) return true; /* told by contains */
    if (w >= WORD_PROPERTIES && w <= WORD_MAX_PROPERTIES)
        return v->kind != JSON_OBJECT || check_object(c, schema, word, v, at);
    if (w >= WORD_ITEMS && w <= WORD_UNIQUE_ITEMS)
        return v->kind != JSON_ARRAY || check_array(c, schema, word, v, at);
    if (w >= WORD_MIN_LENGTH && w <= WORD_FORMAT)
        return v->kind != JSON_STRING || check_text(c, word, v, at);
    if (w >= WORD_MINIMUM && w <= WORD_MULTIPLE_OF)
        return !json_is_number(v) || check_number(c, word, v, at);
    if ((w >= WORD_ALL_OF && w <= WORD_IF) || w == WORD_REF)
        return check_combined(c, schema, word, v, at);
    return true; /* type was looked at, the rest are notes */
}

static bool check(struct checker *c, const struct json *schema, const struct json *v,
                  const struct spot *at)
{
    bool ok = true;
    if (c->code || !spend(c, 1)) return false;
    if (schema->kind == JSON_BOOL)
        return schema->v.b || report_bad(c, at, WORD_NOT, "is not allowed here");
    if (++c->depth > SCHEMA_DEPTH_MAX) return report_limit(c, ERR_LIMIT, "went too deep");
    const struct json *type = schema_word_of(schema, WORD_TYPE);
    if (type && !check_type(c, type, v, at)) {
        ok = false; /* the rest would only say it again */
    } else {
        for (const struct json *m = schema->v.first; m && !c->code; m = m->next) {
            if (m->word && !check_word(c, schema, m, v, at)) ok = false;
            if (!ok && !c->report) break;
        }
    }
    c->depth--;
    return ok && !c->code;
}

int schema_check(const struct schema *s, const struct json *value, struct schema_report *r,
                 struct err *e)
{
    struct arena a;
    arena_init(&a, 0);
    struct checker c = {.s = s, .report = r, .arena = &a, .steps = SCHEMA_STEPS_MAX, .e = e};
    check(&c, s->root, value, NULL);
    r->steps = SCHEMA_STEPS_MAX - c.steps;
    if (!c.code && arena_failed(&r->arena)) report_limit(&c, ERR_NOMEM, "ran out of memory");
    arena_free(&a);
    return c.code;
}

int schema_check_text(const struct schema *s, struct str json, struct schema_report *r,
                      struct err *e)
{
    struct arena a;
    struct json *v = NULL;
    struct err bad = {0};
    if (json.n > SCHEMA_INSTANCE_MAX)
        return err_set(e, ERR_LIMIT, "the value is larger than %u bytes", SCHEMA_INSTANCE_MAX);
    arena_init(&a, 0);
    struct json_mem m = {.arena = &a};
    int code = json_parse(json, &m, &v, &bad);
    if (code == ERR_NOMEM)
        err_set(e, code, "%s", bad.text);
    else if (code)
        code = schema_report_add(r, STR(""), "json", bad.text);
    else
        code = schema_check(s, v, r, e);
    arena_free(&a);
    return code;
}
