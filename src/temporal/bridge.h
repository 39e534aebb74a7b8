/* Between records (src/history) and protobuf-c messages: both have protobuf's wire format with
 * Temporal's field numbers, so one crosses over by bytes, whole and with what neither side knows.
 *
 * Everything made here lives in an arena and is freed with it; nothing is ever freed alone. Out of
 * memory is sticky in the arena (arena_failed), and the functions answer NULL or ERR_NOMEM.
 *
 * Going out, text that is not UTF-8 has its bad bytes replaced by U+FFFD: the server refuses a
 * whole request for one such byte, and a script's error message may hold any bytes. Coming in,
 * nesting deeper than REC_DEPTH_MAX is refused before protobuf-c, which recurses without a bound,
 * sees it. */
#ifndef ML_TEMPORAL_BRIDGE_H
#define ML_TEMPORAL_BRIDGE_H
#include "base/err.h"
#include "history/rec.h"
#include "temporal/proto/google_protobuf.pb-c.h"

/* ---- going out ---- */
/* A message of type d that packs to what the record encodes to. Its members cannot be read; it is
 * for putting into a request. NULL for a NULL record. Copies all it needs. */
void *bridge_message(struct arena *a, const ProtobufCMessageDescriptor *d, const struct rec *r);
/* Copies with a NUL behind: for `string` members (a NUL inside becomes U+FFFD too) and `bytes`. */
char *bridge_text(struct arena *a, struct str s);
ProtobufCBinaryData bridge_bytes(struct arena *a, struct str s);
PbGoogle__Duration *bridge_duration(struct arena *a, int64_t ns);   /* NULL for 0 */
PbGoogle__Timestamp *bridge_timestamp(struct arena *a, int64_t ns); /* NULL for 0 */
/* A message in the arena, initialised: bridge_new(a, PbCommon__WorkflowType,
 * pb_common__workflow_type). Never NULL: a failed arena gives scratch memory, and bridge_pack then
 * answers absent, so that a request is written without a check for each message. All scratch is the
 * same memory: fill a message through its own pointer, never through the message that holds it. */
void *bridge_alloc(struct arena *a, const ProtobufCMessageDescriptor *d);
#define bridge_new(a, Type, prefix) ((Type *)bridge_alloc((a), &prefix##__descriptor))
/* An array of n pointers for a repeated member; NULL when the arena failed. */
void *bridge_array(struct arena *a, size_t n);
/* The wire form. {NULL, 0} when the arena failed; {"", 0} for an empty message. */
struct str bridge_pack(struct arena *a, const void *message);

/* ---- the wire format ---- */
enum { BRIDGE_VARINT = 0, BRIDGE_64 = 1, BRIDGE_BYTES = 2, BRIDGE_32 = 5 };
struct bridge_field {
    uint32_t tag;
    unsigned wire;
    struct str value; /* BRIDGE_BYTES: the content */
    struct str whole; /* with tag (and length) */
    size_t head;      /* bytes of the tag */
};
/* Takes one field from the front. False: cut off or not protobuf. */
bool bridge_take(struct str *in, struct bridge_field *f);

/* ---- coming in ---- */
/* A member of a message that is wanted as records (or as raw bytes), not as protobuf-c's structs:
 * it is taken out of the bytes before they are unpacked. */
struct bridge_part {
    uint32_t tag;
    const struct rec_type *type; /* NULL: raw */
    struct rec **recs;           /* out: every element, in order */
    struct str *raw;             /* out: the same for a raw part */
    size_t n;                    /* out */
};
/* Decodes `bytes`, which the results borrow (they must live as long as the arena: arena_str first
 * when they do not). *out is a struct of d without the parts' members. 0, ERR_PROTO (with what and
 * where), ERR_LIMIT (depth), ERR_NOMEM. */
int bridge_read(struct arena *a, const ProtobufCMessageDescriptor *d, struct str bytes,
                struct bridge_part *parts, size_t n, void *out, struct err *e);
/* The record of an unpacked message; NULL for a NULL message. */
int bridge_record(struct arena *a, const void *message, const struct rec_type *t, struct rec **out,
                  struct err *e);
struct str bridge_str(const ProtobufCBinaryData *b); /* borrowed */
int64_t bridge_ns(const PbGoogle__Timestamp *t);     /* 0 for NULL; cut off at int64's ends */
int64_t bridge_duration_ns(const PbGoogle__Duration *d);

#endif
