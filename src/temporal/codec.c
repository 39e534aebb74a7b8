/* Walks a message by its descriptor and sends each payload through the codec (codec.h). Lengths
 * change, so a message that holds one is written anew; everything else is copied as it is, with
 * what the descriptors do not know. */
#include "temporal/codec.h"
#include "history/event.h"
#include "history/json_scan.h"
#include "temporal/proto/details.pb-c.h"
#include "temporal/proto/failure.pb-c.h"
#include "temporal/proto/google_rpc.pb-c.h"
#include "temporal/proto/history.pb-c.h"
#include "temporal/proto/update.pb-c.h"
#include "temporal/proto/workflowservice.pb-c.h"

#define MESSAGE_MAX ((size_t)64 << 20)
enum { FAILURE_MESSAGE = 1, FAILURE_STACK = 3, FAILURE_ENCODED = 20 };
enum { ANY_URL = 1, ANY_VALUE = 2 };

struct walk {
    const struct codec *c; /* NULL: only failures of others are read */
    bool encode, lenient;
    struct arena *a; /* for the walk's own texts */
    struct err *e;
};

/* An entry of a header: official SDKs leave headers as they are unless they are told otherwise, so
 * only what we put there is ours to encode; others' goes on to children as it came. */
static bool ours(struct str entry)
{
    for (struct bridge_field f; entry.n && bridge_take(&entry, &f);)
        if (f.tag == 1) return f.wire == BRIDGE_BYTES && str_eqz(f.value, "moonloop");
    return false;
}

static int walk_message(struct walk *w, const ProtobufCMessageDescriptor *d, struct str in,
                        struct buf *out, int depth);
static int walk_value(struct walk *w, const ProtobufCMessageDescriptor *d, struct str in,
                      struct buf *out, int depth);

/* ---- writing fields ---- */
static void put_varint(struct buf *b, uint64_t v)
{
    for (; v > 0x7f; v >>= 7)
        buf_putc(b, (char)(v | 0x80));
    buf_putc(b, (char)v);
}

static void put_bytes(struct buf *b, uint32_t tag, struct str s)
{
    put_varint(b, (uint64_t)tag << 3 | BRIDGE_BYTES);
    put_varint(b, s.n);
    buf_putstr(b, s);
}

static int full(struct walk *w, const struct buf *b)
{
    if (!b->code) return 0;
    return err_set(w->e, b->code,
                   b->code == ERR_NOMEM ? "out of memory for a payload" : "a message is too large");
}

/* ---- payloads ---- */
static int put_payload(struct walk *w, struct str in, struct buf *out)
{
    if (!w->c) return buf_putstr(out, in);
    size_t at = out->n;
    struct err why = {0};
    int rc =
        w->encode ? w->c->encode(w->c->ud, in, out, &why) : w->c->decode(w->c->ud, in, out, &why);
    if (!rc) return full(w, out);
    if (out->n > at) out->n = at;
    if (w->lenient && rc != ERR_NOMEM) return buf_putstr(out, in);
    if (w->e) *w->e = why;
    return rc;
}

/* ---- failures: message and stack trace as one payload ---- */
static int put_attributes(struct walk *w, struct str message, struct str stack, struct buf *out)
{
    struct buf json, plain;
    buf_init(&json, MESSAGE_MAX);
    buf_init(&plain, MESSAGE_MAX);
    buf_puts(&json, "{\"message\":");
    buf_put_json(&json, message.p ? message : STR(""));
    buf_puts(&json, ",\"stack_trace\":");
    buf_put_json(&json, stack.p ? stack : STR(""));
    buf_putc(&json, '}');
    struct rec *p = payload_new(w->a, PAYLOAD_JSON, buf_str(&json));
    int rc = p ? rec_encode(p, &plain) : ERR_NOMEM;
    if (!rc) rc = json.code;
    if (rc) err_set(w->e, rc, "out of memory for a failure");
    struct buf sealed;
    buf_init(&sealed, MESSAGE_MAX);
    if (!rc) rc = put_payload(w, buf_str(&plain), &sealed);
    if (!rc) {
        put_bytes(out, FAILURE_MESSAGE, STR(CODEC_HIDDEN));
        put_bytes(out, FAILURE_ENCODED, buf_str(&sealed));
    }
    buf_free(&sealed);
    buf_free(&plain);
    buf_free(&json);
    return rc;
}

static int read_member(struct json *j, struct str *out, bool *seen)
{
    struct str s;
    bool copied;
    if (json_peek(j) != '"') return json_skip(j);
    if (json_string(j, &s, &copied)) return j->code;
    *out = s;
    *seen = true;
    return 0;
}

/* {"message": ..., "stack_trace": ...}; false for anything else. */
static bool read_attributes(struct walk *w, struct str payload, struct str *message,
                            struct str *stack)
{
    struct rec *p;
    struct json j;
    struct err e;
    struct str key, copy = arena_str(w->a, payload);
    bool first = true, known = false, other = false;
    if (!copy.p || rec_decode(w->a, &rec_type_payload, copy, &p, NULL)) return false;
    if (!str_eqz(payload_encoding(p), PAYLOAD_JSON)) return false;
    *message = *stack = (struct str){NULL, 0};
    json_init(&j, w->a, payload_data(p), &e);
    json_enter(&j, '{');
    while (json_member(&j, &first, &key))
        if (str_eqz(key, "message"))
            read_member(&j, message, &known);
        else if (str_eqz(key, "stack_trace"))
            read_member(&j, stack, &other);
        else
            json_skip(&j);
    json_end(&j);
    return j.code == 0 && known;
}

/* The payload of the attributes as it came stays when it is none that we can read. */
static int open_attributes(struct walk *w, struct str sealed, struct str message, struct str stack,
                           struct buf *out)
{
    struct buf plain;
    struct str inner_message, inner_stack;
    buf_init(&plain, MESSAGE_MAX);
    int rc = put_payload(w, sealed, &plain);
    bool known = !rc && read_attributes(w, buf_str(&plain), &inner_message, &inner_stack);
    if (known) message = inner_message, stack = inner_stack;
    if (!rc && message.n) put_bytes(out, FAILURE_MESSAGE, message);
    if (!rc && stack.n) put_bytes(out, FAILURE_STACK, stack);
    if (!rc && !known) put_bytes(out, FAILURE_ENCODED, buf_str(&plain));
    buf_free(&plain);
    return rc;
}

static int walk_failure(struct walk *w, struct str in, struct buf *out, int depth)
{
    struct str message = {NULL, 0}, stack = {NULL, 0}, sealed = {NULL, 0};
    struct bridge_field f;
    for (struct str s = in; s.n;) {
        if (!bridge_take(&s, &f)) return err_set(w->e, ERR_PROTO, "a failure is not a message");
        if (f.wire != BRIDGE_BYTES) continue;
        if (f.tag == FAILURE_MESSAGE) message = f.value;
        if (f.tag == FAILURE_STACK) stack = f.value;
        if (f.tag == FAILURE_ENCODED) sealed = f.value;
    }
    bool seal = w->encode && !sealed.p && codec_hides(w->c);
    bool open = !w->encode && sealed.p;
    if (!seal && !open) return walk_message(w, &pb_failure__failure__descriptor, in, out, depth);
    struct buf rest; /* the other members, gathered */
    buf_init(&rest, MESSAGE_MAX);
    for (struct str s = in; s.n && bridge_take(&s, &f);)
        if (f.tag != FAILURE_MESSAGE && f.tag != FAILURE_STACK && f.tag != FAILURE_ENCODED)
            buf_putstr(&rest, f.whole);
    int rc = full(w, &rest);
    if (!rc)
        rc = seal ? put_attributes(w, message, stack, out)
                  : open_attributes(w, sealed, message, stack, out);
    if (!rc) rc = walk_message(w, &pb_failure__failure__descriptor, buf_str(&rest), out, depth);
    buf_free(&rest);
    return rc;
}

/* ---- messages in an Any ---- */
static const ProtobufCMessageDescriptor *any_kind(struct str url)
{
    static const ProtobufCMessageDescriptor *const kinds[] = {
        &pb_update__request__descriptor,
        &pb_update__acceptance__descriptor,
        &pb_update__rejection__descriptor,
        &pb_update__response__descriptor,
        &pb_update__outcome__descriptor,
        &pb_failure__failure__descriptor,
        &pb_common__payload__descriptor,
        &pb_common__payloads__descriptor,
        &pb_details__query_failed_failure__descriptor,
        &pb_details__multi_operation_execution_failure__descriptor};
    size_t i = url.n;
    while (i > 0 && url.p[i - 1] != '/')
        i--;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (str_eqz(str_make(url.p + i, url.n - i), kinds[k]->name)) return kinds[k];
    return NULL;
}

static int walk_any(struct walk *w, struct str in, struct buf *out, int depth)
{
    struct bridge_field f;
    struct str url = {NULL, 0}, value = {NULL, 0};
    for (struct str s = in; s.n && bridge_take(&s, &f);) {
        if (f.wire == BRIDGE_BYTES && f.tag == ANY_URL) url = f.value;
        if (f.wire == BRIDGE_BYTES && f.tag == ANY_VALUE) value = f.value;
    }
    const ProtobufCMessageDescriptor *d = url.n ? any_kind(url) : NULL;
    if (!d) return buf_putstr(out, in);
    struct buf body;
    buf_init(&body, MESSAGE_MAX);
    int rc = walk_value(w, d, value, &body, depth + 1);
    put_bytes(out, ANY_URL, url);
    if (!rc) put_bytes(out, ANY_VALUE, buf_str(&body));
    buf_free(&body);
    return rc;
}

/* ---- messages ---- */
static int walk_value(struct walk *w, const ProtobufCMessageDescriptor *d, struct str in,
                      struct buf *out, int depth)
{
    return d == &pb_common__payload__descriptor    ? put_payload(w, in, out)
           : d == &pb_failure__failure__descriptor ? walk_failure(w, in, out, depth)
           : d == &pb_google__any__descriptor      ? walk_any(w, in, out, depth)
                                                   : walk_message(w, d, in, out, depth);
}

static int walk_field(struct walk *w, const ProtobufCMessageDescriptor *d,
                      const struct bridge_field *f, struct buf *out, int depth)
{
    struct buf body;
    buf_init(&body, MESSAGE_MAX);
    int rc = walk_value(w, d, f->value, &body, depth);
    if (!rc) rc = full(w, &body);
    if (!rc) put_bytes(out, f->tag, buf_str(&body));
    buf_free(&body);
    return rc;
}

static int walk_message(struct walk *w, const ProtobufCMessageDescriptor *d, struct str in,
                        struct buf *out, int depth)
{
    if (depth > REC_DEPTH_MAX)
        return err_set(w->e, ERR_LIMIT, "a message nests deeper than %d levels (at %s)",
                       REC_DEPTH_MAX, d->short_name);
    for (struct bridge_field f; in.n;) {
        if (!bridge_take(&in, &f))
            return err_set(w->e, ERR_PROTO, "%s: the bytes are not a protobuf message",
                           d->short_name);
        const ProtobufCFieldDescriptor *fd =
            f.wire == BRIDGE_BYTES ? protobuf_c_message_descriptor_get_field(d, f.tag) : NULL;
        bool inside = fd && fd->type == PROTOBUF_C_TYPE_MESSAGE &&
                      fd->descriptor != &pb_common__search_attributes__descriptor &&
                      (d != &pb_common__header__descriptor || ours(f.value));
        int rc =
            inside ? walk_field(w, fd->descriptor, &f, out, depth + 1) : buf_putstr(out, f.whole);
        if (rc) return out->code ? full(w, out) : rc;
    }
    return full(w, out);
}

/* The members of the outermost message; raw parts pass. */
static int walk_top(struct walk *w, const ProtobufCMessageDescriptor *d, struct str in,
                    const struct bridge_part *parts, size_t n, struct buf *out)
{
    for (struct bridge_field f; in.n;) {
        bool raw = false;
        struct str rest = in;
        if (!bridge_take(&rest, &f))
            return err_set(w->e, ERR_PROTO, "%s: the bytes are not a protobuf message",
                           d->short_name);
        for (size_t i = 0; i < n; i++)
            raw = raw || (parts[i].tag == f.tag && !parts[i].type);
        int rc = raw ? buf_putstr(out, f.whole) : walk_message(w, d, f.whole, out, 1);
        if (rc) return out->code ? full(w, out) : rc;
        in = rest;
    }
    return full(w, out);
}

static int run(struct walk *w, struct arena *a, const ProtobufCMessageDescriptor *d, struct str in,
               const struct bridge_part *parts, size_t n, struct str *out)
{
    struct arena own;
    struct buf b;
    arena_init(&own, 0);
    buf_init(&b, MESSAGE_MAX);
    w->a = &own;
    int rc = walk_top(w, d, in, parts, n, &b);
    if (!rc && arena_failed(&own)) rc = ERR_NOMEM;
    struct str copy = rc ? (struct str){NULL, 0} : arena_str(a, buf_str(&b));
    if (!rc && !copy.p) rc = ERR_NOMEM;
    if (rc == ERR_NOMEM) err_set(w->e, rc, "out of memory for a payload");
    if (!rc) *out = copy;
    buf_free(&b);
    arena_free(&own);
    return rc;
}

int codec_encode(const struct codec *c, struct arena *a, const ProtobufCMessageDescriptor *d,
                 struct str in, struct str *out, struct err *e)
{
    struct walk w = {.c = c, .encode = true, .e = e};
    *out = in;
    return c && in.n ? run(&w, a, d, in, NULL, 0, out) : 0;
}

static bool holds(struct str s, const char *what)
{
    const size_t n = strlen(what);
    for (const char *p = s.p, *end = s.p + s.n; s.n >= n && (size_t)(end - p) >= n; p++) {
        p = memchr(p, what[0], (size_t)(end - p) - n + 1);
        if (!p) return false;
        if (memcmp(p, what, n) == 0) return true;
    }
    return false;
}

/* Without a codec only what bears the mark of an encoded failure is worth a walk. */
int codec_decode(const struct codec *c, struct arena *a, const ProtobufCMessageDescriptor *d,
                 struct str in, const struct bridge_part *parts, size_t n, struct str *out,
                 struct err *e)
{
    struct walk w = {.c = c, .e = e};
    w.lenient = d == &pb__list_workflow_executions_response__descriptor ||
                d == &pb__describe_workflow_execution_response__descriptor ||
                d == &pb__list_schedules_response__descriptor;
    *out = in;
    return c || holds(in, CODEC_HIDDEN) ? run(&w, a, d, in, parts, n, out) : 0;
}

int codec_decode_task(const struct codec *c, struct arena *a, const ProtobufCMessageDescriptor *d,
                      struct str in, struct str *out, struct err *e)
{
    if (!c && holds(in, CODEC_ENCRYPTED)) c = &codec_no_keys;
    return codec_decode(c, a, d, in, NULL, 0, out, e);
}

int codec_open_events(const struct codec *c, struct arena *a, struct rec **events, size_t n,
                      struct err *e)
{
    struct buf b;
    int rc = 0;
    buf_init(&b, MESSAGE_MAX);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct str out;
        buf_reset(&b);
        rc = rec_encode(events[i], &b);
        if (rc) {
            err_set(e, rc, "it does not fit in memory");
        } else {
            struct str in = buf_str(&b);
            rc = codec_decode_task(c, a, &pb_history__history_event__descriptor, in, &out, e);
            if (rc == 0 && out.p != in.p)
                rc = rec_decode(a, &rec_type_history_event, out, &events[i], e);
        }
        if (rc) err_prefix(e, "event %lld", (long long)event_id(events[i]));
    }
    buf_free(&b);
    return rc;
}
