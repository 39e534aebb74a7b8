/* What every payload goes through on its way to a server and back, on both halves: a request is
 * encoded as a whole when it is packed, a reply decoded as a whole before it is read, so no file
 * that builds or reads a message can leave one out. Search attributes stay as they are: the server
 * reads them. So do headers of others, as in the official SDKs; the entry `moonloop` is encoded.
 * Failures' messages and stack traces travel in an encoded payload too (the field
 * encoded_attributes, as the official SDKs write it); those of others are read with or without a
 * codec.
 *
 * Keeps true: keys and what they decrypt never stand in a log, an error or a history. */
#ifndef ML_TEMPORAL_CODEC_H
#define ML_TEMPORAL_CODEC_H
#include "base/buf.h"
#include "base/rng.h"
#include "temporal/bridge.h"

/* `in` and what is put into `out` are whole Payload messages (temporal.api.common.v1) in protobuf's
 * wire format. 0, or an error that says what to do. decode must pass on what it did not make, byte
 * for byte: histories hold payloads of before the codec. */
#define CODEC_HIDDEN "Encoded failure" /* in the place of a message that is encoded */
struct codec {
    int (*encode)(void *ud, struct str in, struct buf *out, struct err *e);
    int (*decode)(void *ud, struct str in, struct buf *out, struct err *e);
    void *ud;
    bool plain_failures; /* messages and stack traces go out as they are */
};

static inline bool codec_hides(const struct codec *c)
{
    return c && !c->plain_failures;
}
/* The message `in`, of descriptor d, with its payloads encoded. *out is `in` itself when nothing
 * was changed, else of the arena. c may be NULL. */
int codec_encode(const struct codec *c, struct arena *a, const ProtobufCMessageDescriptor *d,
                 struct str in, struct str *out, struct err *e);
/* The other way. Raw parts (bridge_read's) are left alone: they are decoded when they are read.
 * Lists and descriptions keep what cannot be decoded; of anything else it is the error. */
int codec_decode(const struct codec *c, struct arena *a, const ProtobufCMessageDescriptor *d,
                 struct str in, const struct bridge_part *parts, size_t n, struct str *out,
                 struct err *e);

/* A worker's tasks: the same, and without a codec an encrypted payload is an error, for a run must
 * not go on with bytes that it cannot read. */
int codec_decode_task(const struct codec *c, struct arena *a, const ProtobufCMessageDescriptor *d,
                      struct str in, struct str *out, struct err *e);

/* The events of a history that was written to a file, as codec_decode_task has them: each that held
 * something encoded is replaced. The error names the event. */
int codec_open_events(const struct codec *c, struct arena *a, struct rec **events, size_t n,
                      struct err *e);

/* ---- AES-256-GCM ---- */
#define CODEC_ENCRYPTED "binary/encrypted"
/* Keys as text: a line each, `id base64-of-32-bytes`; # begins a comment. The first encrypts, all
 * decrypt. A payload becomes {encoding: binary/encrypted, encryption-key-id: id}, data = nonce (12
 * bytes), ciphertext, tag (16) of the whole Payload. ERR_ARG names the line, never its content. */
struct codec_keys;
extern const struct codec codec_no_keys; /* knows encrypted payloads and opens none */
int codec_keys_open(struct str text, const struct entropy *entropy, struct codec_keys **out,
                    struct err *e);
struct codec codec_keys_codec(struct codec_keys *k); /* borrows k */
void codec_keys_close(struct codec_keys *k);         /* wipes them; NULL is fine */
/* The text of a file that nobody but its owner may read (ERR_ARG otherwise). The caller wipes it
 * with codec_wipe. */
int codec_keys_read(const char *path, struct buf *text, struct err *e);
void codec_wipe(struct buf *b); /* and frees it */

#endif
