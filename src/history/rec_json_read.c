/* Protobuf's JSON mapping to records. Strict in JSON, liberal in the mapping where Temporal's tools
 * differ: names in either form, enum values as EVENT_TYPE_X_Y, XY or a number, numbers as text.
 * Unknown members and enum names that a newer tool may write are passed over. */
#include "base/clock.h"
#include "history/json_scan.h"
#include "history/rec_internal.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

struct place { /* of the value being read, for error texts */
    const struct rec_type *type;
    const struct rec_field_type *ft;
};

static int bad(struct json *j, const struct place *at, const char *what)
{
    return json_fail(j, ERR_PROTO, "%s.%s: %s", at->type->name, at->ft->json, what);
}

static int nomem(struct json *j)
{
    return json_fail(j, ERR_NOMEM, "out of memory");
}

/* ---- scalars ---- */

static bool whole_number(struct str s, int64_t *out)
{
    bool minus = s.n > 0 && s.p[0] == '-';
    size_t i = minus;
    uint64_t v = 0, max = (uint64_t)INT64_MAX + minus;
    if (i == s.n || s.n - i > 19) return false;
    for (; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    if (v > max) return false;
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* A number's text, in the "C" locale whatever the process has set. */
static bool real_number(struct str s, double *out)
{
    char text[400], *end;
    if (s.n == 0 || s.n >= sizeof text) return false;
    char point = *localeconv()->decimal_point;
    for (size_t i = 0; i < s.n; i++) {
        if (!s.p[i] || !strchr("0123456789+-.eE", s.p[i])) return false;
        text[i] = s.p[i] == '.' ? point : s.p[i];
    }
    text[s.n] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && !isinf(*out);
}

/* A number, bare or as a string. */
static int number_text(struct json *j, struct str *s)
{
    return json_peek(j) == '"' ? json_string(j, s, NULL) : json_number(j, s);
}

static int read_int(struct json *j, const struct place *at, int64_t *out)
{
    struct str s;
    double d;
    if (number_text(j, &s)) return j->code;
    if (whole_number(s, out)) return 0;
    /* 1e3 and 2.0 are whole numbers too */
    if (!real_number(s, &d) || d != floor(d) || fabs(d) > 9007199254740992.0) {
        return bad(j, at, "not a 64-bit whole number");
    }
    *out = (int64_t)d;
    return 0;
}

static int read_double(struct json *j, const struct place *at, double *out)
{
    struct str s;
    if (number_text(j, &s)) return j->code;
    if (str_eq(s, STR("NaN")))
        *out = (double)NAN;
    else if (str_eq(s, STR("Infinity")))
        *out = HUGE_VAL;
    else if (str_eq(s, STR("-Infinity")))
        *out = -HUGE_VAL;
    else if (!real_number(s, out))
        return bad(j, at, "not a number");
    if (at->ft->kind == REC_FLOAT) *out = (double)(float)*out;
    return 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Whether `s` is the value's name behind the enum's prefix in the Pascal form:
 * ActivityTaskScheduled. */
static bool pascal_equal(const struct rec_enum *e, const char *value, struct str s)
{
    value += strlen(e->name) + 1;
    for (size_t i = 0; i < s.n; i++, value++) {
        if (*value == '_') value++;
        if (!*value || lower(*value) != lower(s.p[i])) return false;
    }
    return *value == '\0';
}

/* *known false: a name that the table does not have. */
static int read_enum(struct json *j, const struct place *at, int64_t *out, bool *known)
{
    const struct rec_enum *e = at->ft->enums;
    struct str s;
    *known = true;
    if (json_peek(j) != '"') {
        if (read_int(j, at, out)) return j->code;
        return *out < INT32_MIN || *out > INT32_MAX ? bad(j, at, "not an enum value") : 0;
    }
    if (json_string(j, &s, NULL)) return j->code;
    for (size_t i = 0; i < e->n; i++) {
        if (str_eqz(s, e->values[i].name) || pascal_equal(e, e->values[i].name, s)) {
            *out = e->values[i].number;
            return 0;
        }
    }
    *known = false;
    return 0;
}

static int64_t clamp(__int128 v)
{
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

static int read_time(struct json *j, const struct place *at, int64_t *out)
{
    struct str s;
    int64_t secs;
    int32_t nanos;
    if (json_string(j, &s, NULL)) return j->code;
    if (time_parse_iso_wide(s, &secs, &nanos)) return bad(j, at, "not a time");
    *out = clamp((__int128)secs * NS_PER_S + nanos);
    return 0;
}

/* "10s", "-1.500s" */
static int read_duration(struct json *j, const struct place *at, int64_t *out)
{
    struct str s;
    if (json_string(j, &s, NULL)) return j->code;
    bool minus = s.n > 0 && s.p[0] == '-';
    size_t i = minus, whole = 0, part = 0;
    __int128 v = 0;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9' && whole < 12; i++, whole++)
        v = v * 10 + (s.p[i] - '0');
    v *= NS_PER_S;
    if (i < s.n && s.p[i] == '.') {
        int64_t unit = NS_PER_S / 10;
        for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9' && part < 9; i++, part++) {
            v += (s.p[i] - '0') * unit;
            unit /= 10;
        }
        if (part == 0) return bad(j, at, "not a duration");
    }
    if (whole == 0 || i + 1 != s.n || s.p[i] != 's') return bad(j, at, "not a duration");
    *out = clamp(minus ? -v : v);
    return 0;
}

static int read_text(struct json *j, struct str *out)
{
    struct str s;
    bool copied = false;
    if (json_string(j, &s, &copied)) return j->code;
    if (!copied) s = arena_str(j->arena, s);
    if (!s.p) return nomem(j);
    *out = s;
    return 0;
}

static int read_bytes(struct json *j, const struct place *at, struct str *out)
{
    struct str s;
    size_t n = 0;
    if (json_string(j, &s, NULL)) return j->code;
    char *to = arena_alloc(j->arena, s.n / 4 * 3 + 3);
    if (!to) return nomem(j);
    if (base64_decode_to(s, to, &n)) return bad(j, at, "not base64");
    *out = str_make(to, n);
    return 0;
}

/* ---- messages ---- */

static int read_record(struct json *j, struct rec *r, int depth);

/* One value into f. *keep false: it is to be left out. */
static int read_value(struct json *j, const struct place *at, struct rec_field *f, bool *keep,
                      int depth)
{
    *keep = true;
    switch (f->kind) {
    case REC_INT:
        return read_int(j, at, &f->v.i);
    case REC_BOOL:
        f->v.i = json_peek(j) == 't';
        return json_word(j, f->v.i ? "true" : "false");
    case REC_ENUM:
        return read_enum(j, at, &f->v.i, keep);
    case REC_DOUBLE:
    case REC_FLOAT:
        return read_double(j, at, &f->v.d);
    case REC_STR:
        return read_text(j, &f->v.s);
    case REC_BYTES:
        return read_bytes(j, at, &f->v.s);
    case REC_TIME:
        return read_time(j, at, &f->v.i);
    case REC_DURATION:
        return read_duration(j, at, &f->v.i);
    default:
        f->v.m = rec_new(j->arena, f->ft->type);
        return f->v.m ? read_record(j, f->v.m, depth + 1) : nomem(j);
    }
}

static int append_value(struct json *j, struct rec *r, const struct rec_field_type *ft, int depth)
{
    struct place at = {r->type, ft};
    struct rec_field value = {.ft = ft, .tag = ft->tag, .kind = ft->kind};
    bool keep;
    if (read_value(j, &at, &value, &keep, depth)) return j->code;
    bool repeated = ft->flags & REC_REPEATED;
    if (!keep || (!repeated && rec_field_is_default(&value))) return 0;
    struct rec_field *f = rec_append(r, ft);
    if (!f) return nomem(j);
    f->v = value.v;
    return 0;
}

static int read_map(struct json *j, struct rec *r, const struct rec_field_type *ft, int depth)
{
    bool first = true;
    struct str key;
    const struct rec_field_type *vt = rec_field_type_of(ft->type, 2);
    if (json_enter(j, '{')) return j->code;
    while (json_member(j, &first, &key)) {
        struct rec *entry = rec_new(j->arena, ft->type);
        struct rec_field *f = entry ? rec_append(r, ft) : NULL;
        if (!f) return nomem(j);
        f->v.m = entry;
        rec_set_copy(entry, 1, key);
        if (append_value(j, entry, vt, depth + 1)) return j->code;
    }
    return j->code;
}

static int read_field(struct json *j, struct rec *r, const struct rec_field_type *ft, int depth)
{
    if (json_peek(j) == 'n') return json_word(j, "null");
    if (ft->flags & REC_MAP) return read_map(j, r, ft, depth);
    if (!(ft->flags & REC_REPEATED)) return append_value(j, r, ft, depth);
    bool first = true;
    if (json_enter(j, '[')) return j->code;
    while (json_element(j, &first)) {
        if (append_value(j, r, ft, depth)) return j->code;
    }
    return j->code;
}

static bool is_name(const char *z, struct str key)
{
    return strncmp(z, key.p, key.n) == 0 && z[key.n] == '\0';
}

static int read_members(struct json *j, struct rec *r, int depth)
{
    const struct rec_type *t = r->type;
    struct rec_done done = {0};
    bool first = true;
    struct str key;
    size_t from = 0; /* members mostly come in the order of the table */
    if (json_enter(j, '{')) return j->code;
    while (json_member(j, &first, &key)) {
        size_t i = 0, at = 0;
        for (; i < t->n; i++) {
            at = (from + i) % t->n;
            if (is_name(t->fields[at].json, key) || is_name(t->fields[at].name, key)) break;
        }
        if (i == t->n) {
            json_skip(j);
            continue;
        }
        from = at + 1;
        struct place here = {t, &t->fields[at]};
        if (rec_done_mark(&done, at)) return bad(j, &here, "given twice");
        read_field(j, r, &t->fields[at], depth);
    }
    return j->code;
}

/* Looks through an Any without moving: its type, and whether its bytes are given raw. */
static int scan_any(struct json *j, struct str *url, bool *raw)
{
    struct json ahead = *j;
    bool first = true;
    struct str key;
    *raw = false;
    if (json_enter(&ahead, '{')) goto out;
    while (json_member(&ahead, &first, &key)) {
        if (str_eq(key, STR("@type"))) {
            json_string(&ahead, url, NULL);
        } else {
            if (str_eq(key, STR("value")) && json_peek(&ahead) == '"') *raw = true;
            json_skip(&ahead);
        }
    }
out:
    if (ahead.code) j->code = ahead.code;
    return j->code;
}

static int read_any(struct json *j, struct rec *any, int depth)
{
    struct str url = {NULL, 0};
    bool raw;
    if (scan_any(j, &url, &raw)) return j->code;
    const struct rec_type *t = raw ? NULL : rec_type_of_url(url);
    if (!t) return read_members(j, any, depth);
    struct rec *m = rec_new(j->arena, t);
    if (!m) return nomem(j);
    if (read_members(j, m, depth + 1)) return j->code;
    struct buf wire;
    buf_init(&wire, SIZE_MAX / 2);
    int rc = rec_encode(m, &wire);
    if (rc == 0) {
        rec_set_copy(any, T(any, type_url), url);
        rec_set_copy(any, T(any, value), buf_str(&wire));
        if (arena_failed(j->arena)) rc = ERR_NOMEM;
    }
    buf_free(&wire);
    return rc ? json_fail(j, rc, "the message of an Any cannot be kept") : 0;
}

static int read_record(struct json *j, struct rec *r, int depth)
{
    if (depth > REC_DEPTH_MAX) {
        return json_fail(j, ERR_LIMIT, "%s: nested deeper than %d", r->type->name, REC_DEPTH_MAX);
    }
    return r->type == &rec_type_any ? read_any(j, r, depth) : read_members(j, r, depth);
}

struct rec *rec_read_json(struct json *j, const struct rec_type *t)
{
    struct rec *r = rec_new(j->arena, t);
    if (!r)
        nomem(j);
    else
        read_record(j, r, 0);
    return j->code ? NULL : r;
}

int rec_from_json(struct arena *a, const struct rec_type *t, struct str text, struct rec **out,
                  struct err *e)
{
    struct json j;
    json_init(&j, a, text, e);
    struct rec *r = rec_read_json(&j, t);
    if (!j.code) json_end(&j);
    if (!j.code && arena_failed(a)) nomem(&j);
    if (!j.code) *out = r;
    return j.code;
}
