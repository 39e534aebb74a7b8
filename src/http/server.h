/* Incoming HTTP/1.1 on the loop: libmicrohttpd without threads, its epoll descriptor watched by the
 * loop.
 *
 * A request is shown once, whole, and never inside a callback of the library; it has an id and is
 * answered later, at once or piece by piece. What breaks HTTP's rules, or could be read in two
 * ways, is refused and its connection closed; nobody is shown its body. Knows nothing of who
 * answers. */
#ifndef ML_HTTP_SERVER_H
#define ML_HTTP_SERVER_H
#include "base/buf.h"
#include "base/loop.h"
#include "http/client.h"

#define HTTP_SERVER_CONNECTIONS 12000         /* open at once; others wait to be accepted */
#define HTTP_SERVER_HEAD_MAX (16u << 10)      /* request line and headers; 431 and 414 above */
#define HTTP_SERVER_HEADERS_MAX 100           /* header lines; 431 above */
#define HTTP_SERVER_BODY_MAX (1u << 20)       /* of one request; 413 above */
#define HTTP_SERVER_BODIES_MAX (256u << 20)   /* of all that are being read; 503 above */
#define HTTP_SERVER_STREAM_MAX (64u << 10)    /* that wait for a slow reader of one stream */
#define HTTP_SERVER_HEAD_TIME (10 * NS_PER_S) /* from a connection's begin to a whole head */
#define HTTP_SERVER_IDLE_TIME                                                                      \
    (60 * NS_PER_S) /* between requests of a connection; without progress of an answer */
#define HTTP_SERVER_BODY_TIME (60 * NS_PER_S) /* from a request's head to the end of its body */

struct http_server;
struct http_server_opts {
    const char *address;              /* "127.0.0.1", "::1", "0.0.0.0"; NULL: 127.0.0.1 */
    int port;                         /* 0: a free one */
    const char *cert_file, *key_file; /* PEM; both or none */
    size_t connections_max, head_max, headers_max, body_max, bodies_max,
        stream_max;                                   /* 0: as above; head_max at most 48 KiB */
    int64_t head_time_ns, idle_time_ns, body_time_ns; /* 0: as above; whole seconds for idle */
};

/* A request; all slices are its own and live until its on_end. */
struct http_incoming {
    uint64_t id;
    struct str method; /* "GET" */
    struct str path;   /* as it was sent, percent escapes and all; begins with '/', or "*" */
    struct str query;  /* behind the '?', as it was sent; absent when there is none */
    struct str host;   /* the Host header; empty when HTTP/1.0 gave none */
    const struct http_header *headers; /* names in lower case, in the order they came */
    size_t n_headers;
    struct str body;
    struct str remote; /* "127.0.0.1:40000", "[::1]:40000" */
    bool tls;
};
struct http_answer {
    int status;                        /* 200 ... 599 */
    const struct http_header *headers; /* not Content-Length, Transfer-Encoding, Connection, Date:
                                          ERR_ARG */
    size_t n_headers;
    struct str body; /* copied; not for a stream */
    int file; /* > 0: the body is what this descriptor of a regular file has, from its begin; taken
                 over, whatever comes of it. Not for a stream */
    uint64_t file_size;
    bool close; /* the connection ends with this answer */
};
struct http_server_events {
    /* The head is in, the body is not: may lower or raise this request's body limit. May be NULL.
     * Must not call the server. */
    void (*on_head)(void *ud, const struct http_incoming *head, size_t *body_max);
    void (*on_request)(void *ud, const struct http_incoming *r);
    /* Streams: half of the buffer is free again after a push found it full. May be NULL. */
    void (*on_room)(void *ud, uint64_t id);
    /* Once for each on_request, the last that is heard of the id. complete: the answer was sent to
     * its end; else the peer left, was too slow, or the server closed. */
    void (*on_end)(void *ud, uint64_t id, bool complete);
};

int http_server_open(struct loop *l, const struct http_server_opts *o,
                     const struct http_server_events *ev, void *ud, struct http_server **out,
                     struct err *e);
int http_server_port(const struct http_server *s);
/* Stops accepting; answers end their connections, idle ones are closed. fn is called once, when no
 * connection is left or the time is over (then `left` requests have no answer yet). */
void http_server_drain(struct http_server *s, int64_t time_ns, void (*fn)(void *ud, size_t left),
                       void *ud);
/* Ends all connections and frees; no callback any more. Not from inside a callback of its own. */
void http_server_close(struct http_server *s);

/* Answers, each at any time between on_request and on_end. ERR_STALE: the request has ended, or has
 * its answer. ERR_ARG: a status or a header that cannot be sent. */
int http_server_answer(struct http_server *s, uint64_t id, const struct http_answer *a,
                       struct err *e);
/* The head of a streamed answer goes out; its body follows by push (HTTP/1.0: until close). */
int http_server_stream(struct http_server *s, uint64_t id, const struct http_answer *head,
                       struct err *e);
/* Takes all of `bytes` or nothing. ERR_BUSY: the reader is behind, on_room tells when to go on.
 * ERR_LIMIT: larger than the buffer. What nobody asked the body of (HEAD) is dropped. */
int http_server_push(struct http_server *s, uint64_t id, struct str bytes);
/* The stream's end; with complete false the connection is cut, so that the reader notices. */
int http_server_finish(struct http_server *s, uint64_t id, bool complete);

struct http_server_counts {
    size_t connections, requests; /* open now; shown and not ended */
    uint64_t accepted, answered, refused;
    size_t body_bytes; /* held now */
};
void http_server_counts(const struct http_server *s, struct http_server_counts *out);

/* ---- server-sent events ---- */
/* Appends one event; event and id may be absent. Data of several lines is several data fields. A
 * line break in event or id, or a NUL in id: ERR_ARG, nothing is written. */
int http_sse_event(struct buf *out, struct str event, struct str data, struct str id);
void http_sse_comment(struct buf *out, struct str text); /* keep-alive; of one line */
/* The first header with this lower-case name; absent when there is none. */
struct str http_incoming_header(const struct http_incoming *r, const char *name);

#endif
