/* What gRPC puts on top of HTTP/2, as pure functions: the frame around a message, time-outs,
 * metadata, and what a status, an HTTP status or a stream's reset means. */
#ifndef ML_TEMPORAL_GRPC_H
#define ML_TEMPORAL_GRPC_H
#include "base/buf.h"
#include "temporal/status.h"

#define GRPC_FRAME_HEAD 5
void grpc_frame_head(unsigned char out[GRPC_FRAME_HEAD], size_t n);

/* The one message of a unary reply, as its bytes come. */
struct grpc_reader {
    unsigned char head[GRPC_FRAME_HEAD];
    size_t n_head; /* bytes of the head that are in */
    size_t want;   /* length of the message, from the head */
    struct buf body;
};
void grpc_reader_init(struct grpc_reader *r, size_t max);
void grpc_reader_free(struct grpc_reader *r); /* may be used again */
/* 0; ERR_LIMIT: the message is larger than max; ERR_PROTO: compressed (never asked for) or a second
 * message; ERR_NOMEM. The text says so. */
int grpc_reader_feed(struct grpc_reader *r, const void *p, size_t n, struct err *e);
bool grpc_reader_complete(const struct grpc_reader *r); /* exactly one whole message */

#define GRPC_TIMEOUT_MAX 12
/* "1500m": at most 8 digits and a unit, rounded up so that the server's clock never ends before
 * ours. */
void grpc_timeout(int64_t ns, char out[GRPC_TIMEOUT_MAX]);
/* %XX become bytes; what is not a good escape stays as it is. Appends. */
void grpc_percent_decode(struct str s, struct buf *out);
int grpc_status_parse(struct str s); /* STATUS_UNKNOWN for what is no number */
int grpc_status_of_http(int status); /* of an answer without grpc-status */
/* A stream's end by RST_STREAM or a broken connection, without any word of the service: CANCELLED,
 * REFUSED and the like are breaks of the transport and become UNAVAILABLE. */
int grpc_status_of_reset(uint32_t h2_error);
const char *grpc_status_name(int code); /* "UNAVAILABLE"; "code 77" becomes "UNKNOWN" */

/* Metadata of callers. A name: lower-case letters, digits and -_. ; not one that the transport
 * writes itself (content-type, te, grpc-...). A value: printable ASCII without blanks at the ends;
 * any bytes for a name in "-bin". NULL, or what is wrong with it. */
const char *grpc_header_name_wrong(struct str name);
const char *grpc_header_value_wrong(struct str name, struct str value);
bool grpc_header_is_binary(struct str name);

#endif
