/* See bridge.h. A message going out is an empty struct of its type whose unknown fields are the
 * record's fields: protobuf-c packs unknown fields as they are, so nothing is decoded to be encoded
 * again. Messages coming in are split at the top level: records are decoded straight from the
 * received bytes, the rest goes to protobuf-c. */
#include "temporal/bridge.h"
#include "base/buf.h"
#include "base/clock.h"
#include <assert.h>

enum { RECORD_MAX = 64 << 20 }; /* an encoded record; the channel's own limit is far below */

static bool take_varint(struct str *in, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; in->n && shift < 64; shift += 7) {
        unsigned char c = (unsigned char)*in->p++;
        in->n--;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

bool bridge_take(struct str *in, struct bridge_field *f)
{
    struct str from = *in;
    uint64_t key, n = 0;
    if (!take_varint(in, &key) || key >> 3 == 0 || key >> 3 > 0x1fffffff) return false;
    *f = (struct bridge_field){
        (uint32_t)(key >> 3), (unsigned)(key & 7), {NULL, 0}, from, from.n - in->n};
    const char *value = in->p;
    if (f->wire == BRIDGE_VARINT) {
        if (!take_varint(in, &n)) return false;
        n = 0;
    } else if (f->wire == BRIDGE_BYTES) {
        if (!take_varint(in, &n)) return false;
        value = in->p;
    } else if (f->wire == BRIDGE_64 || f->wire == BRIDGE_32) {
        n = f->wire == BRIDGE_64 ? 8 : 4;
    } else {
        return false;
    }
    if (n > in->n) return false;
    in->p += n;
    in->n -= (size_t)n;
    f->value = (struct str){value, (size_t)(in->p - value)};
    f->whole.n = from.n - in->n;
    return true;
}

static size_t count_fields(struct str in)
{
    size_t n = 0;
    for (struct bridge_field f; in.n && bridge_take(&in, &f);)
        n++;
    return n;
}

/* ---- going out ---- */
static bool text_fits(const struct rec *r)
{
    for (const struct rec_field *f = r->first; f; f = f->next) {
        if (f->kind == REC_STR && str_utf8_valid(f->v.s) != f->v.s.n) return false;
        if (f->kind == REC_MSG && f->v.m && !text_fits(f->v.m)) return false;
    }
    return true;
}

static struct str text_mended(struct arena *a, struct str s, bool no_nul)
{
    static const char mark[] = "\xef\xbf\xbd";
    struct buf b;
    buf_init(&b, s.n * 3 + 1);
    while (s.n) {
        size_t ok = str_utf8_valid(s);
        const char *nul = no_nul && ok ? memchr(s.p, 0, ok) : NULL;
        if (nul) ok = (size_t)(nul - s.p);
        buf_put(&b, s.p, ok);
        s.p += ok;
        s.n -= ok;
        if (!s.n) break;
        buf_put(&b, mark, sizeof mark - 1);
        s.p++;
        s.n--;
    }
    if (b.code) a->failed = true;
    struct str out = arena_str(a, buf_str(&b));
    buf_free(&b);
    return out;
}

static void mend_text(struct arena *a, struct rec *r)
{
    for (struct rec_field *f = r->first; f; f = f->next) {
        if (f->kind == REC_STR && str_utf8_valid(f->v.s) != f->v.s.n)
            f->v.s = text_mended(a, f->v.s, false);
        if (f->kind == REC_MSG && f->v.m) mend_text(a, f->v.m);
    }
}

void *bridge_alloc(struct arena *a, const ProtobufCMessageDescriptor *d)
{
    static _Thread_local _Alignas(16) char scratch[1024];
    void *m = arena_alloc(a, d->sizeof_message);
    assert(d->sizeof_message <= sizeof scratch);
    if (!m) m = scratch;
    protobuf_c_message_init(d, m);
    return m;
}

void *bridge_array(struct arena *a, size_t n)
{
    return arena_alloc(a, n * sizeof(void *));
}

void *bridge_message(struct arena *a, const ProtobufCMessageDescriptor *d, const struct rec *r)
{
    if (!r) return NULL;
    if (!text_fits(r)) {
        struct rec *copy = rec_clone(a, r);
        if (!copy) return NULL;
        mend_text(a, copy);
        r = copy;
    }
    struct buf b;
    buf_init(&b, RECORD_MAX);
    if (rec_encode(r, &b)) a->failed = true;
    struct str in = arena_str(a, buf_str(&b));
    buf_free(&b);
    size_t n = count_fields(in);
    ProtobufCMessage *m = bridge_alloc(a, d);
    ProtobufCMessageUnknownField *u = n ? arena_alloc(a, n * sizeof *u) : NULL;
    if (arena_failed(a)) return NULL;
    m->n_unknown_fields = (unsigned)n;
    m->unknown_fields = u;
    for (struct bridge_field f; in.n && bridge_take(&in, &f); u++) {
        u->tag = f.tag;
        u->wire_type = (ProtobufCWireType)f.wire;
        u->len = f.whole.n - f.head;
        u->data = (uint8_t *)(uintptr_t)(f.whole.p + f.head);
    }
    return m;
}

char *bridge_text(struct arena *a, struct str s)
{
    if (!s.n) return (char *)(uintptr_t)protobuf_c_empty_string;
    bool fits = str_utf8_valid(s) == s.n && !memchr(s.p, 0, s.n);
    struct str copy = fits ? arena_str(a, s) : text_mended(a, s, true);
    return copy.p ? (char *)(uintptr_t)copy.p : (char *)(uintptr_t)protobuf_c_empty_string;
}

ProtobufCBinaryData bridge_bytes(struct arena *a, struct str s)
{
    struct str copy = s.n ? arena_str(a, s) : (struct str){NULL, 0};
    return (ProtobufCBinaryData){copy.n, (uint8_t *)(uintptr_t)copy.p};
}

PbGoogle__Duration *bridge_duration(struct arena *a, int64_t ns)
{
    PbGoogle__Duration *d = ns ? bridge_new(a, PbGoogle__Duration, pb_google__duration) : NULL;
    if (!d) return NULL;
    d->seconds = ns / NS_PER_S;
    d->nanos = (int32_t)(ns % NS_PER_S);
    return d;
}

PbGoogle__Timestamp *bridge_timestamp(struct arena *a, int64_t ns)
{
    PbGoogle__Timestamp *t = ns ? bridge_new(a, PbGoogle__Timestamp, pb_google__timestamp) : NULL;
    if (!t) return NULL;
    t->seconds = ns / NS_PER_S;
    t->nanos = (int32_t)(ns % NS_PER_S);
    if (t->nanos < 0) {
        t->nanos += (int32_t)NS_PER_S;
        t->seconds--;
    }
    return t;
}

struct str bridge_pack(struct arena *a, const void *message)
{
    if (!message || arena_failed(a)) return (struct str){NULL, 0};
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *p = arena_alloc(a, n ? n : 1);
    if (!p) return (struct str){NULL, 0};
    protobuf_c_message_pack(message, p);
    return str_make(p, n);
}

/* ---- coming in ---- */
static void *arena_unpack_alloc(void *a, size_t n)
{
    return arena_alloc(a, n);
}

static void arena_unpack_free(void *a, void *p)
{
    (void)a;
    (void)p;
}

static int check_shape(const ProtobufCMessageDescriptor *d, struct str in, int depth, struct err *e)
{
    if (depth > REC_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "a message nests deeper than %d levels (at %s)", REC_DEPTH_MAX,
                       d->short_name);
    for (struct bridge_field f; in.n;) {
        if (!bridge_take(&in, &f))
            return err_set(e, ERR_PROTO, "%s: the bytes are not a protobuf message", d->short_name);
        if (f.wire != BRIDGE_BYTES) continue;
        const ProtobufCFieldDescriptor *fd = protobuf_c_message_descriptor_get_field(d, f.tag);
        if (!fd || fd->type != PROTOBUF_C_TYPE_MESSAGE) continue;
        int rc = check_shape(fd->descriptor, f.value, depth + 1, e);
        if (rc) return rc;
    }
    return 0;
}

static struct bridge_part *part_of(struct bridge_part *parts, size_t n,
                                   const struct bridge_field *f)
{
    for (size_t i = 0; i < n && f->wire == BRIDGE_BYTES; i++)
        if (parts[i].tag == f->tag) return &parts[i];
    return NULL;
}

/* Room for each part's elements, and the bytes that are left for protobuf-c. */
static int split(struct arena *a, const ProtobufCMessageDescriptor *d, struct str bytes,
                 struct bridge_part *parts, size_t n, struct str *rest, struct err *e)
{
    size_t taken = 0;
    struct str in = bytes;
    struct bridge_field f;
    for (size_t i = 0; i < n; i++)
        parts[i].n = 0;
    while (in.n) {
        if (!bridge_take(&in, &f))
            return err_set(e, ERR_PROTO, "%s: the bytes are not a protobuf message", d->short_name);
        struct bridge_part *part = part_of(parts, n, &f);
        if (!part) continue;
        part->n++;
        taken += f.whole.n;
    }
    for (size_t i = 0; i < n; i++) {
        if (parts[i].type)
            parts[i].recs = arena_alloc(a, parts[i].n * sizeof *parts[i].recs + 1);
        else
            parts[i].raw = arena_alloc(a, parts[i].n * sizeof *parts[i].raw + 1);
        parts[i].n = 0;
    }
    char *to = taken ? arena_alloc(a, bytes.n - taken + 1) : NULL;
    if (arena_failed(a)) return err_set(e, ERR_NOMEM, "out of memory for a reply");
    *rest = taken ? (struct str){to, 0} : bytes;
    for (in = bytes; in.n && bridge_take(&in, &f);) {
        struct bridge_part *part = part_of(parts, n, &f);
        if (!part && taken) {
            memcpy(to + rest->n, f.whole.p, f.whole.n);
            rest->n += f.whole.n;
        }
        if (!part) continue;
        if (!part->type) {
            part->raw[part->n++] = f.value;
            continue;
        }
        int rc = rec_decode(a, part->type, f.value, &part->recs[part->n++], e);
        if (rc) return rc;
    }
    return 0;
}

int bridge_read(struct arena *a, const ProtobufCMessageDescriptor *d, struct str bytes,
                struct bridge_part *parts, size_t n, void *out, struct err *e)
{
    struct str rest;
    int rc = split(a, d, bytes, parts, n, &rest, e);
    if (!rc) rc = check_shape(d, rest, 1, e);
    if (rc) return rc;
    ProtobufCAllocator alloc = {arena_unpack_alloc, arena_unpack_free, a};
    ProtobufCMessage *m = protobuf_c_message_unpack(d, &alloc, rest.n, (const uint8_t *)rest.p);
    if (arena_failed(a)) return err_set(e, ERR_NOMEM, "out of memory for a reply");
    if (!m) return err_set(e, ERR_PROTO, "%s: a member has the wrong type", d->short_name);
    *(ProtobufCMessage **)out = m;
    return 0;
}

int bridge_record(struct arena *a, const void *message, const struct rec_type *t, struct rec **out,
                  struct err *e)
{
    if (!message) {
        *out = NULL;
        return 0;
    }
    struct str bytes = bridge_pack(a, message);
    if (!bytes.p) return err_set(e, ERR_NOMEM, "out of memory for a record");
    return rec_decode(a, t, bytes, out, e);
}

struct str bridge_str(const ProtobufCBinaryData *b)
{
    return str_make(b->data, b->len);
}

static int64_t clamp_ns(int64_t seconds, int32_t nanos)
{
    if (seconds > INT64_MAX / NS_PER_S - 1) return INT64_MAX;
    if (seconds < INT64_MIN / NS_PER_S + 1) return INT64_MIN;
    return seconds * NS_PER_S + nanos;
}

int64_t bridge_ns(const PbGoogle__Timestamp *t)
{
    return t ? clamp_ns(t->seconds, t->nanos) : 0;
}

int64_t bridge_duration_ns(const PbGoogle__Duration *d)
{
    return d ? clamp_ns(d->seconds, d->nanos) : 0;
}
