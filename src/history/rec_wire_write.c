/* Records to protobuf's wire format. Values are written in the order of the list; proto3 defaults
 * are left out, repeated numbers are packed, a map entry always has both its members, unknown
 * fields are copied as they came. */
#include "base/clock.h"
#include "history/rec_internal.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void put_varint(struct buf *b, uint64_t v)
{
    char out[10];
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (char)(unsigned char)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (char)v;
    buf_put(b, out, n);
}

static void put_tag(struct buf *b, uint32_t tag, unsigned wire)
{
    put_varint(b, (uint64_t)tag << 3 | wire);
}

static void put_fixed(struct buf *b, uint64_t v, size_t n)
{
    char out[8];
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(unsigned char)(v >> (8 * i));
    buf_put(b, out, n);
}

static void put_bytes(struct buf *b, uint32_t tag, struct str s)
{
    put_tag(b, tag, WIRE_BYTES);
    put_varint(b, s.n);
    buf_putstr(b, s);
}

/* A length goes in front of a body whose size is known when it is written: one byte is kept free,
 * and the body is moved when it needs more. Returns where the body starts. */
static size_t body_begin(struct buf *b, uint32_t tag)
{
    put_tag(b, tag, WIRE_BYTES);
    buf_putc(b, 0);
    return b->n;
}

static void body_end(struct buf *b, size_t from)
{
    if (b->code) return;
    size_t n = b->n - from, more = 0;
    for (uint64_t v = n; v >= 0x80; v >>= 7)
        more++;
    static const char zeros[10];
    if (more && (buf_put(b, zeros, more), b->code)) return;
    if (more) memmove(b->p + from + more, b->p + from, n);
    unsigned char *at = (unsigned char *)b->p + from - 1;
    uint64_t v = n;
    for (; v >= 0x80; v >>= 7)
        *at++ = (unsigned char)(v | 0x80);
    *at = (unsigned char)v;
}

/* Timestamp and Duration: {1 seconds, 2 nanos}. A time before 1970 counts nanos forward, a duration
 * has one sign. */
static void put_time(struct buf *b, uint32_t tag, int64_t ns, bool is_time)
{
    int64_t secs = ns / NS_PER_S, nanos = ns % NS_PER_S;
    if (is_time && nanos < 0) {
        nanos += NS_PER_S;
        secs--;
    }
    size_t from = body_begin(b, tag);
    if (secs) {
        put_tag(b, 1, WIRE_VARINT);
        put_varint(b, (uint64_t)secs);
    }
    if (nanos) {
        put_tag(b, 2, WIRE_VARINT);
        put_varint(b, (uint64_t)nanos);
    }
    body_end(b, from);
}

static void put_body(struct buf *b, const struct rec *r, int depth);
static void put_entry(struct buf *b, const struct rec *entry, int depth);

static void put_value(struct buf *b, const struct rec_field *f, int depth)
{
    switch (f->kind) {
    case REC_INT:
    case REC_BOOL:
    case REC_ENUM:
        put_tag(b, f->tag, WIRE_VARINT);
        put_varint(b, (uint64_t)f->v.i);
        break;
    case REC_DOUBLE: {
        uint64_t bits;
        memcpy(&bits, &f->v.d, sizeof bits);
        put_tag(b, f->tag, WIRE_64);
        put_fixed(b, bits, 8);
        break;
    }
    case REC_FLOAT: {
        float v = (float)f->v.d;
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        put_tag(b, f->tag, WIRE_32);
        put_fixed(b, bits, 4);
        break;
    }
    case REC_STR:
    case REC_BYTES:
        put_bytes(b, f->tag, f->v.s);
        break;
    case REC_MSG:
        if (f->ft->flags & REC_MAP) {
            size_t from = body_begin(b, f->tag);
            put_entry(b, f->v.m, depth + 1);
            body_end(b, from);
        } else {
            rec_put_message(b, f->tag, f->v.m, depth + 1);
        }
        break;
    case REC_TIME:
    case REC_DURATION:
        put_time(b, f->tag, f->v.i, f->kind == REC_TIME);
        break;
    default:
        buf_putstr(b, f->v.s); /* unknown: its tag is part of it */
        break;
    }
}

static void put_packed(struct buf *b, const struct rec_field *f)
{
    const struct rec_field_type *ft = f->ft;
    size_t from = body_begin(b, ft->tag);
    for (; f; f = f->next) {
        if (f->ft == ft) put_varint(b, (uint64_t)f->v.i);
    }
    body_end(b, from);
}

static void put_entry(struct buf *b, const struct rec *entry, int depth)
{
    const struct rec_field_type *vt = rec_field_type_of(entry->type, 2);
    struct str key = rec_str(entry, 1);
    put_bytes(b, 1, key);
    if (rec_has(entry, 2)) {
        put_value(b, rec_each(entry, 2, NULL), depth);
    } else if (vt->kind == REC_MSG || vt->kind == REC_STR || vt->kind == REC_BYTES) {
        put_bytes(b, 2, STR(""));
    }
}

static void put_body(struct buf *b, const struct rec *r, int depth)
{
    struct rec_done done = {0};
    if (depth > REC_DEPTH_MAX && !b->code) b->code = ERR_LIMIT;
    for (const struct rec_field *f = r->first; f && !b->code; f = f->next) {
        bool repeated = f->ft && f->ft->flags & (REC_REPEATED | REC_MAP);
        if (repeated && f->kind <= REC_ENUM) {
            if (!rec_done_mark(&done, rec_field_index(r, f))) put_packed(b, f);
        } else if (repeated || !f->ft || !rec_field_is_default(f)) {
            put_value(b, f, depth);
        }
    }
}

void rec_put_message(struct buf *out, uint32_t tag, const struct rec *m, int depth)
{
    size_t from = body_begin(out, tag);
    put_body(out, m, depth);
    body_end(out, from);
}

int rec_encode(const struct rec *r, struct buf *out)
{
    if (!r) return out->code ? out->code : ERR_NOMEM;
    if (arena_failed(r->arena) && !out->code) return ERR_NOMEM;
    put_body(out, r, 0);
    return out->code;
}
