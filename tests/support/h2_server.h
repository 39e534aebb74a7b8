/* A gRPC server for the tests of the channel, on the test's own loop: what it does with a call is
 * in the call's path, so that every odd thing a peer may do can be asked for.
 *
 *   /t/echo          the message back; the request's headers stay in `seen`
 *   /t/hold          nothing until h2_release (then an empty message)
 *   /t/status        trailers only: status 5, an escaped message that ends with a blank, details
 *   /t/rst/N         RST_STREAM with error N            /t/refuse/N   the first N with
 * REFUSED_STREAM /t/notrailers    a whole message, no trailers       /t/half       half a message,
 * no trailers /t/nothing       headers, no message, no trailers   /t/ok-empty   status 0 without a
 * message /t/two /t/gzip   two messages; a compressed one     /t/large/N    a message of N bytes
 *   /t/http/N        HTTP status N with a page          /t/html       HTTP 200 with a page
 *   /t/early         status 8 before the body is read   /t/headers    more than 1 MiB of headers
 *   /t/goaway        GOAWAY that lets this call end     /t/goaway0    GOAWAY as if it had not come
 *   /t/fail/N        the first N with status 14         /t/code/N     status N, always
 *   /t/close         the connection is closed           /t/mute       no answer, ever */
#ifndef ML_TESTS_H2_SERVER_H
#define ML_TESTS_H2_SERVER_H
#include "base/buf.h"
#include "base/loop.h"

struct h2_server;
struct h2_options {
    bool no_settings, no_pings; /* says nothing first; never answers a ping */
    bool no_reading;            /* takes no byte */
    uint32_t streams;           /* SETTINGS_MAX_CONCURRENT_STREAMS; 0: not sent */
    uint32_t window;            /* of a stream, for what the client sends; 0: 64 KiB */
    size_t step;                /* bytes of one write; 0: as many as there are */
    const char *says;           /* these bytes first, and no HTTP/2 */
    size_t n_says;
};
struct h2_server *h2_open(struct loop *l, const struct h2_options *o, int *port);
void h2_close(struct h2_server *s);
void h2_release(struct h2_server *s); /* answers what is held */
void h2_goaway_all(struct h2_server *s);

struct h2_state {
    struct buf body;   /* of the last request, with gRPC's frame around it */
    struct buf seen;   /* "name: value\n" of the last request */
    int calls, held;   /* requests that came, and that are held */
    int connections;   /* accepted so far */
    int open;          /* now */
    int most_streams;  /* at once on one connection */
    int pings, resets; /* that came */
    int goaways;       /* of clients */
};
struct h2_state *h2_state(struct h2_server *s);

#endif
