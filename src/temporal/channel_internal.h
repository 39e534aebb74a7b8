/* What the files of the channel share: channel.c (calls, lanes, turns), channel_conn.c (one
 * connection from its name to its end), channel_stream.c (what nghttp2 says about a call's stream),
 * channel_options.c (options made into headers and names).
 *
 * How it moves: everything that happens (bytes, timers, new calls) only notes what it means and
 * ends in channel_turn, which gives waiting calls a stream, lets connections write, buries dead
 * connections and then tells owners. Nothing else calls an owner, so no owner's code runs under
 * nghttp2, OpenSSL or uv's half-done work. */
#ifndef ML_TEMPORAL_CHANNEL_INTERNAL_H
#define ML_TEMPORAL_CHANNEL_INTERNAL_H
#include "base/map.h"
#include "base/mem.h"
#include "temporal/channel.h"
#include "temporal/channel_sock.h"
#include "temporal/grpc.h"
#include "temporal/tls.h"
#include <nghttp2/nghttp2.h>

#define CHANNEL_CALLS_MAX 10000
#define CHANNEL_POLL_CONNECTIONS                                                                   \
    8 /* that take new polls, when a server allows few streams each                                \
       */
#define CHANNEL_STREAM_WINDOW (4 << 20)
#define CHANNEL_WINDOW (32 << 20)      /* of a connection */
#define CHANNEL_WRITE_MAX (256u << 10) /* given to the socket at once */
#define CHANNEL_RESENDS 3              /* of a stream that the server says it never looked at */
#define CHANNEL_BACKOFF_NS (100 * NS_PER_MS)
#define CHANNEL_BACKOFF_MAX_NS (5 * NS_PER_S)
#define CHANNEL_MESSAGE_MAX (64u << 10) /* of grpc-message */

struct chan_conn;
/* A list through a struct's own members prev and next; front first. */
struct chan_call {
    struct channel *c;
    struct chan_call *prev, *next; /* in `list` */
    struct chan_calls *list; /* the channel's waiting or finished calls, or the connection's */
    uint64_t id;
    enum channel_lane lane;
    struct arena arena;
    struct str path, ns;
    struct channel_header *headers; /* copied; of the call alone */
    size_t n_headers;
    struct str message; /* borrowed from the owner */
    size_t sent_at;     /* of frame head and message */
    int64_t deadline_ns;
    channel_fn fn;
    void *ud;
    /* its stream */
    struct chan_conn *conn;
    int32_t stream;
    bool headers_sent; /* the request's headers are on their way */
    int resends;
    /* the reply */
    int http_status, grpc_status; /* -1: none came */
    bool bad_type;                /* content-type is not gRPC's */
    size_t header_bytes;
    struct buf text, details;
    struct grpc_reader reader;
    struct err broken; /* why the reply cannot be used */
    /* the end */
    struct channel_reply reply;
    char why[700]; /* the channel's own message */
};
struct chan_calls {
    struct chan_call *first, *last;
    size_t n;
};
void chan_list_add(struct chan_calls *l,
                   struct chan_call *call); /* at the end; out of its old list */
void chan_list_push(struct chan_calls *l, struct chan_call *call); /* at the front */
void chan_list_remove(struct chan_call *call);

enum conn_state {
    CONN_SOCKET, /* resolving and connecting */
    CONN_PROXY,  /* CONNECT is sent */
    CONN_TLS,
    CONN_SETTINGS, /* waiting for the server's first frame: only then it is known to be one */
    CONN_UP,
    CONN_DRAINING, /* takes no more calls */
    CONN_DEAD      /* buried at the end of the turn */
};
struct chan_conn {
    struct channel *c;
    struct chan_conn *prev, *next;
    enum channel_lane lane;
    enum conn_state state;
    struct sock *sock;
    struct tls *tls;
    nghttp2_session *h2;
    struct loop_timer *timer;    /* until it is up: its time-out; then: pings */
    struct buf answer;           /* of the proxy */
    struct buf plain;            /* decrypted, on its way to nghttp2 */
    struct chan_calls calls;     /* with a stream here */
    size_t streams;              /* open, also those of cancelled calls */
    size_t streams_max;          /* that the server allows */
    int64_t heard_ns, pinged_ns; /* pinged 0: no ping is out */
    bool was_up;
    struct err why; /* it is dead */
    bool hopeless;
    char goaway[200]; /* what the server said with it */
};

struct chan_lane {
    struct chan_calls waiting;
    int fails;        /* connections in a row that did not come up */
    int64_t retry_ns; /* not before */
    struct err why;   /* of the last failure */
};

struct channel {
    struct loop *loop;
    struct arena arena; /* options */
    struct channel_options o;
    char *host;
    int port;
    char *proxy_host; /* NULL: none */
    int proxy_port;
    struct str proxy_request; /* CONNECT ... */
    bool tls;
    char *tls_name;
    char *authority, *target;
    struct channel_header *headers; /* that go with every call, the channel's own among them */
    size_t n_headers;
    struct idmap ids;
    struct chan_lane lanes[2];
    struct chan_conn *conns;
    struct chan_calls finished;
    struct loop_timer *timer; /* deadlines, back-offs, and turns that are due */
    int64_t timer_ns;         /* 0: off */
    struct rng rng;
    size_t n_calls;
    uint64_t connects, ups;
    bool turning, again;
};

/* ---- channel_options.c ---- */
int options_take(struct channel *c, const struct channel_options *o, struct err *e);
void options_tls(const struct channel *c, struct tls_options *out);
int options_headers_check(const struct channel_header *h, size_t n, struct err *e);
/* host and port of "host:port", "[v6]:port", "host", "v6"; the host is allocated in `a`. */
int options_address(struct arena *a, struct str text, int default_port, const char *what,
                    char **host, int *port, struct err *e);

/* ---- channel.c ---- */
void channel_turn(struct channel *c);
void channel_kick(struct channel *c); /* a turn soon */
static inline int64_t channel_now(const struct channel *c)
{
    return clock_mono(loop_clock(c->loop));
}
/* The call ends with an own message; told in this or the next turn. */
void chan_end(struct chan_call *call, int code, bool hopeless, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void chan_end_reply(struct chan_call *call); /* with what came of the server's reply */
void chan_again(struct chan_call *call);     /* gets another stream */
void chan_lane_failed(struct channel *c, enum channel_lane lane, const struct err *why,
                      bool hopeless);

/* ---- channel_conn.c ---- */
int channel_conn_open(struct channel *c, enum channel_lane lane, struct err *e);
bool conn_has_room(const struct chan_conn *k);
bool conn_is_opening(const struct chan_conn *k);
void conn_flush(struct chan_conn *k); /* lets nghttp2 write; marks it dead when that fails */
void conn_die(struct chan_conn *k, bool hopeless, const struct err *why);
void channel_conn_free(struct chan_conn *k); /* its calls must have gone */

/* ---- channel_stream.c ---- */
int stream_session(struct chan_conn *k, struct err *e); /* makes k->h2 */
/* 0; ERR_NOMEM; ERR_CLOSED: the connection takes no more streams. */
int stream_open(struct chan_conn *k, struct chan_call *call);
void stream_drop(struct chan_call *call); /* resets it and parts it from its connection */
void stream_lost(struct chan_call *call); /* the connection is dead: ends the call, or again */

#endif
