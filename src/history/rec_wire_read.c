/* Protobuf's wire format to records. Reads any bytes: every length is checked against what is left,
 * nesting is limited, the work is linear in the input. A field that is not in the table, or comes
 * with another wire type than the table says, is kept as raw bytes. */
#include "base/clock.h"
#include "history/rec_internal.h"

enum {
    WIRE_VARINT = 0,
    WIRE_64 = 1,
    WIRE_BYTES = 2,
    WIRE_GROUP = 3,
    WIRE_GROUP_END = 4,
    WIRE_32 = 5
};

struct reader {
    const unsigned char *p, *end;
};

/* A single message may come in parts, which are merged. Nobody writes it so, and every part costs a
 * walk over the earlier ones, so there is a limit. */
#define PARTS_MAX 100

struct decoder {
    struct arena *arena;
    struct err *err;
    int parts;
};

static int bad(struct decoder *d, const struct rec_type *t, const char *what)
{
    return err_set(d->err, ERR_PROTO, "%s: %s", t->name, what);
}

static bool take_varint(struct reader *in, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && in->p < in->end; shift += 7) {
        unsigned char c = *in->p++;
        v |= (uint64_t)(c & 0x7F) << shift;
        if (!(c & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

static bool take_fixed(struct reader *in, size_t n, uint64_t *out)
{
    if ((size_t)(in->end - in->p) < n) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)in->p[i] << (8 * i);
    in->p += n;
    *out = v;
    return true;
}

static bool take_bytes(struct reader *in, struct str *out)
{
    uint64_t n;
    if (!take_varint(in, &n) || n > (uint64_t)(in->end - in->p)) return false;
    *out = str_make(in->p, (size_t)n);
    in->p += n;
    return true;
}

static bool take_tag(struct reader *in, uint32_t *tag, unsigned *wire)
{
    uint64_t v;
    if (!take_varint(in, &v) || v > UINT32_MAX || v >> 3 == 0) return false;
    *tag = (uint32_t)(v >> 3);
    *wire = (unsigned)(v & 7);
    return true;
}

/* Passes over a value whose tag was taken; groups are passed over to their matching end. */
static bool skip_value(struct reader *in, uint32_t tag, unsigned wire)
{
    uint32_t open[REC_DEPTH_MAX];
    size_t depth = 0;
    uint64_t v;
    struct str s;
    for (;;) {
        switch (wire) {
        case WIRE_VARINT:
            if (!take_varint(in, &v)) return false;
            break;
        case WIRE_64:
            if (!take_fixed(in, 8, &v)) return false;
            break;
        case WIRE_32:
            if (!take_fixed(in, 4, &v)) return false;
            break;
        case WIRE_BYTES:
            if (!take_bytes(in, &s)) return false;
            break;
        case WIRE_GROUP:
            if (depth == REC_DEPTH_MAX) return false;
            open[depth++] = tag;
            break;
        case WIRE_GROUP_END:
            if (depth == 0 || open[--depth] != tag) return false;
            break;
        default:
            return false;
        }
        if (depth == 0) return true;
        if (!take_tag(in, &tag, &wire)) return false;
    }
}

static unsigned wire_of(uint8_t kind)
{
    switch (kind) {
    case REC_INT:
    case REC_BOOL:
    case REC_ENUM:
        return WIRE_VARINT;
    case REC_DOUBLE:
        return WIRE_64;
    case REC_FLOAT:
        return WIRE_32;
    default:
        return WIRE_BYTES;
    }
}

static int64_t int_of(uint8_t kind, uint64_t v)
{
    if (kind == REC_BOOL) return v != 0;
    if (kind == REC_ENUM) return (int32_t)(uint32_t)v;
    return (int64_t)v;
}

/* Timestamp or Duration; what does not fit int64 nanoseconds is brought to the nearest that does.
 */
static bool time_of(struct str body, int64_t *ns)
{
    struct reader in = {(const unsigned char *)body.p, (const unsigned char *)body.p + body.n};
    int64_t part[2] = {0, 0};
    while (in.p < in.end) {
        uint32_t tag;
        unsigned wire;
        uint64_t v;
        if (!take_tag(&in, &tag, &wire)) return false;
        if (tag <= 2 && wire == WIRE_VARINT) {
            if (!take_varint(&in, &v)) return false;
            part[tag - 1] = tag == 2 ? (int32_t)(uint32_t)v : (int64_t)v;
        } else if (!skip_value(&in, tag, wire)) {
            return false;
        }
    }
    __int128 total = (__int128)part[0] * NS_PER_S + part[1];
    *ns = total > INT64_MAX ? INT64_MAX : total < INT64_MIN ? INT64_MIN : (int64_t)total;
    return true;
}

static int decode_body(struct decoder *d, struct rec *r, struct str bytes, int depth);

static int take_packed(struct decoder *d, struct rec *r, const struct rec_field_type *ft,
                       struct str s)
{
    struct reader in = {(const unsigned char *)s.p, (const unsigned char *)s.p + s.n};
    while (in.p < in.end) {
        uint64_t v;
        if (!take_varint(&in, &v)) return bad(d, r->type, "a packed list is cut off");
        struct rec_field *f = rec_append(r, ft);
        if (!f) return err_set(d->err, ERR_NOMEM, "%s: out of memory", r->type->name);
        f->v.i = int_of(ft->kind, v);
    }
    return 0;
}

/* One value of a known field with its own wire type. `f` has the earlier value, or none. */
static int take_known(struct decoder *d, struct rec *r, struct rec_field *f, struct reader *in,
                      int depth)
{
    uint64_t v = 0;
    struct str s = {NULL, 0};
    unsigned wire = wire_of(f->kind);
    bool ok = wire == WIRE_VARINT  ? take_varint(in, &v)
              : wire == WIRE_BYTES ? take_bytes(in, &s)
                                   : take_fixed(in, wire == WIRE_64 ? 8 : 4, &v);
    if (!ok) return bad(d, r->type, "a value is cut off");
    switch (f->kind) {
    case REC_DOUBLE:
        memcpy(&f->v.d, &v, sizeof f->v.d);
        return 0;
    case REC_FLOAT: {
        uint32_t bits = (uint32_t)v;
        float x;
        memcpy(&x, &bits, sizeof x);
        f->v.d = (double)x;
        return 0;
    }
    case REC_STR:
    case REC_BYTES:
        f->v.s = s;
        return 0;
    case REC_TIME:
    case REC_DURATION:
        return time_of(s, &f->v.i) ? 0 : bad(d, r->type, "a time is not well-formed");
    case REC_MSG:
        if (f->v.m && ++d->parts > PARTS_MAX) {
            return err_set(d->err, ERR_LIMIT, "%s: a message in too many parts", r->type->name);
        }
        if (!f->v.m) f->v.m = rec_new(d->arena, f->ft->type);
        if (!f->v.m) return err_set(d->err, ERR_NOMEM, "%s: out of memory", r->type->name);
        return decode_body(d, f->v.m, s, depth + 1);
    default:
        f->v.i = int_of(f->kind, v);
        return 0;
    }
}

static int take_unknown(struct decoder *d, struct rec *r, struct reader *in,
                        const unsigned char *from, uint32_t tag, unsigned wire)
{
    if (!skip_value(in, tag, wire)) return bad(d, r->type, "an unknown field is cut off");
    struct rec_field *f = rec_append(r, NULL);
    if (!f) return err_set(d->err, ERR_NOMEM, "%s: out of memory", r->type->name);
    f->tag = tag;
    f->v.s = str_make(from, (size_t)(in->p - from));
    return 0;
}

static int decode_body(struct decoder *d, struct rec *r, struct str bytes, int depth)
{
    if (depth > REC_DEPTH_MAX) {
        return err_set(d->err, ERR_LIMIT, "%s: nested deeper than %d", r->type->name,
                       REC_DEPTH_MAX);
    }
    struct reader in = {(const unsigned char *)bytes.p, (const unsigned char *)bytes.p + bytes.n};
    const struct rec_type *t = r->type;
    struct rec_field *single[REC_FIELDS_MAX] = {
        NULL}; /* so that a repeated single value costs no search */
    for (const struct rec_field *f = r->first; f;
         f = f->next) { /* only when a message comes in parts */
        if (f->ft) single[rec_field_index(r, f)] = (struct rec_field *)(uintptr_t)f;
    }
    size_t next = 0;
    int rc = 0;
    while (!rc && in.p < in.end) {
        const unsigned char *from = in.p;
        uint32_t tag;
        unsigned wire;
        if (!take_tag(&in, &tag, &wire)) return bad(d, t, "a tag is not well-formed");
        size_t i = 0; /* fields mostly come in the order of the table */
        for (; i < t->n && t->fields[(next + i) % t->n].tag != tag; i++) {
        }
        if (i == t->n) {
            rc = take_unknown(d, r, &in, from, tag, wire);
            continue;
        }
        size_t at = (next + i) % t->n;
        next = at + 1;
        const struct rec_field_type *ft = &t->fields[at];
        bool repeated = ft->flags & (REC_REPEATED | REC_MAP);
        if (repeated && wire == WIRE_BYTES && wire_of(ft->kind) == WIRE_VARINT) {
            struct str s;
            rc = take_bytes(&in, &s) ? take_packed(d, r, ft, s) : bad(d, t, "a value is cut off");
        } else if (wire != wire_of(ft->kind)) {
            rc = take_unknown(d, r, &in, from, tag, wire);
        } else {
            struct rec_field *f = repeated ? NULL : single[at];
            if (!f) f = rec_append(r, ft);
            if (!f) return err_set(d->err, ERR_NOMEM, "%s: out of memory", t->name);
            single[at] = f;
            rc = take_known(d, r, f, &in, depth);
        }
    }
    return rc;
}

int rec_decode(struct arena *a, const struct rec_type *t, struct str bytes, struct rec **out,
               struct err *e)
{
    struct decoder d = {a, e, 0};
    struct rec *r = rec_new(a, t);
    if (!r) return err_set(e, ERR_NOMEM, "%s: out of memory", t->name);
    int rc = decode_body(&d, r, bytes.p ? bytes : STR(""), 0);
    if (!rc) *out = r;
    return rc;
}
