/* Inside of the HTTP server: what its files share.
 *
 * link     one connection: when it began to wait, what it waits for
 * request  one request, made by its first line and freed when the library has ended it and on_end
 *          was told. Lists: active (all), shown (whole, to be told), ended (to be told and freed).
 *
 * Callbacks of the library only fill these in; server_pump tells the owner afterwards. */
#ifndef ML_HTTP_SERVER_INTERNAL_H
#define ML_HTTP_SERVER_INTERNAL_H
#include "base/map.h"
#include "base/mem.h"
#include "http/mhd_lib.h"
#include "http/server.h"

#if MHD_VERSION >= 0x00097002
typedef enum MHD_Result mhd_result;
#else
typedef int mhd_result;
#endif

enum link_state { LINK_HEAD, LINK_BODY, LINK_BUSY };

struct link {
    struct link *prev, *next;
    struct http_server *s;
    int fd;
    bool used; /* had a request */
    enum link_state state;
    int64_t since_ns; /* when it came into this state */
};

struct request {
    struct request *prev, *next; /* active, then ended */
    struct request *next_shown, *next_room;
    struct http_server *s;
    struct MHD_Connection *conn; /* NULL: ended */
    struct link *link;
    struct http_incoming in;
    struct arena arena;
    struct str target;              /* as it was sent */
    const char *raw_uri, *raw_last; /* where the target and the last header's name lie */
    struct buf body;
    size_t body_max, body_counted;
    int refuse; /* status; 0: fine */
    const char *why;
    bool head_seen, body_started, chunked, over, shown, suspended, answered, killed, ended,
        complete;
    int status;
    struct MHD_Response *response;
    /* streams */
    bool stream, finished, cut, want_room, room_due, no_body;
    struct buf out;
    size_t out_at;
};

struct http_server {
    struct loop *loop;
    struct http_server_opts o;
    struct http_server_events ev;
    void *ud;
    struct MHD_Daemon *daemon;
    struct loop_io *io;
    struct loop_timer *timer, *tick; /* the library's time-outs; ours */
    bool tick_runs, posted, pumping, resumed, closing, closed, draining, drained;
    struct loop_post post;
    int port, listen_fd;
    char *cert, *key;
    struct link *links;
    struct request *active, *ended, *shown_first, *shown_last, *room;
    struct idmap ids;
    struct http_server_counts counts;
    int64_t drain_due_ns;
    void (*drain_fn)(void *ud, size_t left);
    void *drain_ud;
    int64_t looked_ns; /* last look for peers that left */
};

/* server_check.c */
/* What may follow from the head as it lies in memory: fills in r->in, or sets r->refuse and
 * r->why. */
void server_check_head(struct request *r, const char *method, const char *version);
bool server_check_trailers(struct request *r);
/* server_request.c */
void *server_on_uri(void *cls, const char *uri, struct MHD_Connection *conn);
mhd_result server_on_request(void *cls, struct MHD_Connection *conn, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_n, void **con_cls);
void server_on_completed(void *cls, struct MHD_Connection *conn, void **con_cls,
                         enum MHD_RequestTerminationCode toe);
void server_on_connection(void *cls, struct MHD_Connection *conn, void **socket_context,
                          enum MHD_ConnectionNotificationCode toe);
void server_request_free(struct request *r);
void server_resume(struct request *r);
void server_kill(struct request *r); /* its connection ends */
/* server_answer.c */
struct MHD_Response *server_problem(int status, const char *why);
/* server.c */
const char *http_address_text(int family, const void *address, char *out, size_t n);
void server_wake(struct http_server *s);
void server_state(struct link *l, enum link_state state);

#endif
