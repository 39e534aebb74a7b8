/* Unary gRPC over HTTP/2 on the loop: nghttp2 for frames, OpenSSL for TLS, libuv for sockets.
 *
 * A call is started, answered once by a callback on the loop (never inside channel_call) and named
 * by an id that goes stale when it has ended. Connections are made when a call needs one, and again
 * (with a back-off) when they break; calls of the lane CALL and of the lane POLL never share a
 * connection, so a completion does not wait behind polls. What a server closes in an orderly way
 * (GOAWAY) costs nothing: open streams finish on the old connection, and a stream that the server
 * says it never looked at is sent again on a new one. The channel does not retry anything else;
 * rpc.h does. Callbacks may start and cancel calls freely. */
#ifndef ML_TEMPORAL_CHANNEL_H
#define ML_TEMPORAL_CHANNEL_H
#include "base/loop.h"
#include "base/rng.h"
#include "base/str.h"

#define CHANNEL_REPLY_MAX ((size_t)128 << 20) /* of a reply's message, as in the official SDKs */
#define CHANNEL_HEADERS_MAX ((size_t)1 << 20) /* of a reply's headers and trailers */
#define CHANNEL_PING_NS (30 * NS_PER_S) /* nothing heard for so long: ask; servers want >= 10 s */
#define CHANNEL_PING_TIMEOUT_NS (15 * NS_PER_S)
#define CHANNEL_CONNECT_TIMEOUT_NS (10 * NS_PER_S)
#define CHANNEL_DEFAULT_PORT 7233

enum channel_tls {
    CHANNEL_TLS_AUTO, /* on when an API key or anything of TLS is set */
    CHANNEL_TLS_ON,
    CHANNEL_TLS_OFF
};
struct channel_header {
    struct str name, value; /* name in lower case; the value of a name in "-bin" is raw bytes */
};
/* Strings are borrowed during channel_open; absent ones mean "not set". */
struct channel_options {
    struct str address; /* host:port, [v6]:port; without a port CHANNEL_DEFAULT_PORT */
    enum channel_tls tls;
    struct str ca_file, ca_data;          /* PEM; replaces the system's certificates */
    struct str cert_file, cert_data;      /* PEM; the client's certificate and what signed it */
    struct str key_file, key_data;        /* PEM, not encrypted */
    struct str server_name;               /* that the certificate must bear; absent: the host */
    bool no_host_verification;            /* any certificate will do: for experiments */
    struct str api_key;                   /* sent as authorization: Bearer */
    const struct channel_header *headers; /* with every call; win over the channel's own */
    size_t n_headers;
    struct str proxy; /* host:port of a proxy that takes HTTP CONNECT */
    struct str proxy_user, proxy_password;
    struct str client_name, client_version;               /* absent: moonloop and its version */
    int64_t connect_timeout_ns, ping_ns, ping_timeout_ns; /* 0: the defaults above */
    size_t reply_max;                                     /* 0: CHANNEL_REPLY_MAX */
    const struct entropy *entropy;                        /* NULL: entropy_system */
};

struct channel;
/* Checks the options and loads the certificates; connects to nothing yet. ERR_ARG (what is wrong
 * and which setting says so), ERR_IO (a file), ERR_NOMEM. */
int channel_open(struct loop *l, const struct channel_options *o, struct channel **out,
                 struct err *e);
/* Drops all calls (no callbacks) and connections. Memory goes when the loop has let go of its
 * handles. Not from inside a callback of its own. */
void channel_close(struct channel *c);

enum channel_lane { CHANNEL_CALL, CHANNEL_POLL };
struct channel_call_options {
    enum channel_lane lane;
    int64_t deadline_ns;                  /* monotonic time of the loop's clock; 0: none */
    struct str ns;                        /* the header temporal-namespace; absent: none */
    const struct channel_header *headers; /* win over the channel's */
    size_t n_headers;
};
struct channel_reply {  /* borrowed for the callback */
    int code;           /* enum status_code (status.h) */
    struct str message; /* for people: the server's, percent-decoded, or the channel's own */
    struct str details; /* bytes of grpc-status-details-bin; absent: none */
    struct str body;    /* the message; "" unless code is 0 */
    bool transport;     /* no server said this: the connection could not be made, or broke */
    bool hopeless;      /* with transport: a setting is wrong (certificate, proxy, not gRPC), so the
                           same call will fail again */
    bool unsent;        /* with transport: it never left; no server can have acted on it */
};
typedef void (*channel_fn)(void *ud, const struct channel_reply *r);

/* Starts POST `path` ("/package.Service/Method") with one message, which is borrowed until the call
 * ends. ERR_ARG: a path or header that cannot be sent, ERR_LIMIT, ERR_NOMEM. */
int channel_call(struct channel *c, const char *path, struct str message,
                 const struct channel_call_options *o, channel_fn fn, void *ud, uint64_t *id,
                 struct err *e);
/* No callback after this; the stream is reset. A stale id does nothing. */
void channel_cancel(struct channel *c, uint64_t id);
/* What is open, for tests and progress displays. */
struct channel_counts {
    size_t calls, waiting; /* started and not ended; of these without a stream yet */
    size_t connections;    /* that can take or finish calls */
    size_t streams;        /* open on them, those of cancelled calls too */
    uint64_t connects;     /* tried since channel_open */
    uint64_t ups;          /* of these came up */
};
void channel_count(const struct channel *c, struct channel_counts *out);
/* "frontend.example:7233 (TLS)", for messages. */
const char *channel_target(const struct channel *c);

#endif
