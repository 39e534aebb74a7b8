/* Outgoing HTTP on the loop: libcurl's multi interface driven by loop timers and descriptors.
 *
 * A transfer is started, reports by callbacks on the loop (never inside http_start, never inside a
 * curl callback) and is named by an id that goes stale when it has ended. Callbacks may start and
 * cancel transfers freely. TLS certificates are always verified; only http and https are spoken,
 * HTTP/2 over TLS only; proxies are read from the environment only when asked. The client knows
 * nothing of who asks. */
#ifndef ML_HTTP_CLIENT_H
#define ML_HTTP_CLIENT_H
#include "base/buf.h"
#include "base/loop.h"
#include "http/guard.h"

#define HTTP_BODY_MAX (32u << 20)    /* default limit of a response body, after decoding */
#define HTTP_REQUEST_MAX (64u << 20) /* of a request body */
#define HTTP_HEADERS_MAX (256u << 10)
#define HTTP_HEADER_COUNT_MAX 500
#define HTTP_REDIRECTS 5
#define HTTP_STREAM_BUFFER                                                                         \
    (256u << 10) /* a stream is paused while this much waits for its reader */

struct http_client;
struct http_client_opts {
    const char *ca_file; /* PEM file that replaces the system's certificates; NULL: the system's */
    size_t connections_max; /* open at once, others wait; 0: 512 */
};
int http_client_open(struct loop *l, const struct http_client_opts *o /* NULL: defaults */,
                     struct http_client **out, struct err *e);
/* Cancels everything (no callbacks). Not from inside a callback of its own. */
void http_client_close(struct http_client *c);

struct http_header {
    struct str name, value;
    bool secret; /* never sent to another origin after a redirect; Authorization, Cookie and
                    Proxy-Authorization always are */
};
struct http_request {
    struct str method, url;
    struct str query; /* encoded (http_query_add), appended to the URL; may be absent */
    const struct http_header *headers;
    size_t n_headers;
    struct str body;            /* absent: none */
    int64_t timeout_ns;         /* in all; 0: 60 s, a stream 10 min */
    int64_t connect_timeout_ns; /* 0: 10 s */
    int redirects;              /* followed at most; -1: HTTP_REDIRECTS */
    size_t max_bytes;           /* of the decoded body; 0: HTTP_BODY_MAX, a stream without limit */
    const char *ca_file;        /* for this request; NULL: the client's */
    bool proxy_from_env;        /* http_proxy, https_proxy, no_proxy */
    const struct http_guard
        *guard;  /* only what it lets pass; NULL: anything. Lives until the end of
                    the request. Not with a proxy: that would resolve the name */
    bool stream; /* the body is read by http_read as it comes */
};

struct http_failure {
    const char *type; /* NULL: none. "Timeout" "Connect" "Tls" "Connection" "TooLarge"
                         "TooManyRedirects" "BadUrl" "BadResponse" "AddressBlocked" "OutOfMemory" */
    char text[400];
    bool retryable;
};
struct http_response {
    struct http_failure failure;
    int status;
    const struct http_header *headers; /* names in lower case, in the order they came */
    size_t n_headers;
    struct str body; /* empty for a stream */
    struct str url;  /* of the last redirect */
};
struct http_events {
    void (*on_response)(void *ud,
                        const struct http_response *r); /* streams: status and headers are in */
    void (*on_data)(void *ud);                          /* streams: http_read has something */
    void (*on_done)(void *ud, const struct http_response *r); /* once; r borrowed for the call */
};
/* ERR_ARG: a method, URL or header that cannot be sent (the text names it), ERR_LIMIT, ERR_NOMEM.
 * The request is copied. */
int http_start(struct http_client *c, const struct http_request *r, const struct http_events *ev,
               void *ud, uint64_t *id, struct err *e);
/* No callback after this. A stream must be cancelled also after its on_done: until then what is
 * unread stays readable. */
void http_cancel(struct http_client *c, uint64_t id);
/* Moves what has arrived of a stream to the end of `out`; returns the count (0: nothing now) or a
 * negative code. */
long http_read(struct http_client *c, uint64_t id, struct buf *out);
size_t http_active(const struct http_client *c);

/* ---- encoding ---- */
bool http_header_name_ok(struct str name);
bool http_header_value_ok(struct str value);      /* no line breaks or other control bytes */
void http_percent(struct buf *out, struct str s); /* unreserved characters stay */
void http_query_add(struct buf *out, struct str name, struct str value); /* [&]name=value */
struct http_part {
    struct str name, value, filename, content_type;
}; /* filename, content_type: may be absent */
/* Appends one part of multipart/form-data; ERR_ARG for a name that cannot be quoted.
 * http_multipart_end closes it. */
int http_multipart_add(struct buf *out, struct str boundary, const struct http_part *p,
                       struct err *e);
void http_multipart_end(struct buf *out, struct str boundary);
/* Scheme, host and port of two URLs are the same. */
bool http_same_origin(const char *a, const char *b);
/* Of libcurl, which is loaded for it; NULL and why when that fails. */
const char *http_library_version(struct err *e);
/* The URL without user, query and fragment, for messages. */
void http_url_redacted(struct buf *out, struct str url);

#endif
