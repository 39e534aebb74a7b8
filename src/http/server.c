/* The server as a whole: opening, the loop, time-outs, peers that left, draining, closing. Keeps
 * true: the library runs in server_pump alone, and the owner is told after it has returned. */
#include "http/server_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PUMP_TURNS 16
#define TICK_NS (250 * NS_PER_MS)
#define POOL_EXTRA (8u << 10) /* beside the head: its index, the answer's head */
#define PEM_MAX (1u << 20)

/* ---- turns ---- */

static void tell(struct http_server *s)
{
    while (s->shown_first || s->room || s->ended) {
        struct request *r;
        if ((r = s->shown_first) != NULL) {
            s->shown_first = r->next_shown;
            if (!s->shown_first) s->shown_last = NULL;
            s->ev.on_request(s->ud, &r->in);
        } else if ((r = s->room) != NULL) {
            s->room = r->next_room;
            r->want_room = r->room_due = false;
            if (!r->ended && s->ev.on_room) s->ev.on_room(s->ud, r->in.id);
        } else {
            r = s->ended;
            s->ended = r->next;
            if (r->shown && s->ev.on_end) s->ev.on_end(s->ud, r->in.id, r->complete);
            server_request_free(r);
        }
    }
}

static bool more(struct http_server *s)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    return s->resumed || (MHD_get_timeout(s->daemon, &ms) == MHD_YES && ms == 0);
}

static void look_drained(struct http_server *s)
{
    if (!s->draining || s->drained) return;
    bool late = clock_mono(loop_clock(s->loop)) >= s->drain_due_ns;
    if (s->links && !late) return;
    s->drained = true;
    s->drain_fn(s->drain_ud, s->counts.requests);
}

static void server_pump(struct http_server *s)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    bool again = true;
    if (s->pumping || s->closing) return;
    s->pumping = true;
    for (int i = 0; i < PUMP_TURNS && again; i++) {
        s->resumed = false;
        MHD_run(s->daemon);
        tell(s);
        again = more(s);
    }
    s->pumping = false;
    if (again) {
        server_wake(s);
    } else if (MHD_get_timeout(s->daemon, &ms) == MHD_YES) {
        loop_timer_start(s->timer, (int64_t)ms * NS_PER_MS);
    } else {
        loop_timer_stop(s->timer);
    }
    if (s->links && !s->tick_runs) {
        s->tick_runs = true;
        loop_timer_start(s->tick, TICK_NS);
    }
    look_drained(s);
}

static void on_post(void *ud)
{
    struct http_server *s = ud;
    s->posted = false;
    if (s->closed)
        mem_free(s);
    else
        server_pump(s);
}

void server_wake(struct http_server *s)
{
    if (s->pumping || s->posted || s->closing) return;
    s->posted = loop_post_in(s->loop, &s->post, on_post, s) == 0;
}

static void on_io(void *ud, int events, int error)
{
    (void)events;
    (void)error;
    server_pump(ud);
}

static void on_timer(void *ud)
{
    server_pump(ud);
}

/* ---- what takes too long, and who has left ---- */

static void end_late(struct http_server *s, int64_t now)
{
    for (struct link *l = s->links; l; l = l->next) {
        int64_t most = l->state == LINK_BODY   ? s->o.body_time_ns
                       : l->state == LINK_BUSY ? 0
                       : l->used               ? s->o.idle_time_ns
                                               : s->o.head_time_ns;
        if (most && now - l->since_ns > most) shutdown(l->fd, SHUT_RDWR);
    }
}

static void end_idle(struct http_server *s)
{
    for (struct link *l = s->links; l; l = l->next)
        if (l->state == LINK_HEAD) shutdown(l->fd, SHUT_RDWR);
}

/* The library does not watch a connection that rests until its answer is there, so this does. A
 * peer that closed its sending half counts as gone: it cannot be told from one that left. */
static void look_for_gone(struct http_server *s)
{
    size_t n = 0, i = 0;
    for (struct request *r = s->active; r; r = r->next)
        n += r->suspended && r->shown && r->link;
    struct pollfd *fds = n ? mem_alloc(n * sizeof *fds) : NULL;
    if (!fds) return;
    for (struct request *r = s->active; r; r = r->next)
        if (r->suspended && r->shown && r->link)
            fds[i++] = (struct pollfd){.fd = r->link->fd, .events = POLLRDHUP};
    int found = poll(fds, (nfds_t)n, 0);
    i = 0;
    for (struct request *r = s->active; r && found > 0; r = r->next) {
        if (!(r->suspended && r->shown && r->link)) continue;
        if (fds[i].fd == r->link->fd && fds[i].revents) server_kill(r);
        i++;
    }
    mem_free(fds);
}

static void on_tick(void *ud)
{
    struct http_server *s = ud;
    int64_t now = clock_mono(loop_clock(s->loop));
    s->tick_runs = false;
    look_for_gone(s);
    if (s->draining) end_idle(s);
    if (now - s->looked_ns >= NS_PER_S) {
        s->looked_ns = now;
        end_late(s, now);
    }
    server_pump(s);
}

/* ---- opening ---- */

static int read_pem(const char *path, char **out, struct err *e)
{
    char chunk[8192];
    struct buf b;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC), code = 0;
    if (fd < 0) return err_set(e, ERR_ARG, "%s cannot be read", path);
    buf_init(&b, PEM_MAX);
    while (code == 0 && (got = read(fd, chunk, sizeof chunk)) > 0)
        code = buf_put(&b, chunk, (size_t)got);
    close(fd);
    if (got < 0 || code < 0 || !b.n || memchr(b.p, 0, b.n))
        code = err_set(e, ERR_ARG, "%s is not a PEM file", path);
    if (code == 0 && !(*out = buf_take(&b, &(size_t){0})))
        code = err_set(e, ERR_NOMEM, "no memory");
    buf_free(&b);
    return code;
}

const char *http_address_text(int family, const void *address, char *out, size_t n)
{
    return inet_ntop(family, address, out, (socklen_t)n);
}

static int open_socket(struct http_server *s, struct err *e)
{
    const char *at = s->o.address ? s->o.address : "127.0.0.1";
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->o.port)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)s->o.port)};
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } got;
    socklen_t n = sizeof got;
    int one = 1, fd = -1, rc = -1;
    if (strcmp(at, "localhost") == 0) at = "127.0.0.1";
    if (inet_pton(AF_INET, at, &a4.sin_addr) == 1) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (fd >= 0) rc = bind(fd, (struct sockaddr *)&a4, sizeof a4);
    } else if (inet_pton(AF_INET6, at, &a6.sin6_addr) == 1) {
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (fd >= 0) rc = bind(fd, (struct sockaddr *)&a6, sizeof a6);
    } else {
        return err_set(e, ERR_ARG,
                       "'%s' is not an address of this machine (an IPv4 or IPv6 address)", at);
    }
    if (rc == 0) rc = listen(fd, 1024);
    if (rc == 0) rc = getsockname(fd, &got.any, &n);
    if (rc != 0) {
        err_set(e, ERR_IO, "cannot listen on %s port %d: %s", at, s->o.port, strerror(errno));
        if (fd >= 0) close(fd);
        return ERR_IO;
    }
    s->port = ntohs(got.any.sa_family == AF_INET ? got.v4.sin_port : got.v6.sin6_port);
    s->listen_fd = fd;
    return 0;
}

/* The target is looked at as it was sent. */
static size_t leave_escaped(void *cls, struct MHD_Connection *conn, char *s)
{
    (void)cls;
    (void)conn;
    return strlen(s);
}

static int start(struct http_server *s, struct err *e)
{
    int rc = mhd_lib_load(e);
    if (rc) return rc;
    struct MHD_OptionItem more_options[8];
    int n = 0;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    if (s->cert) {
        flags |= MHD_USE_TLS;
        more_options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, s->cert};
        more_options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, s->key};
        more_options[n++] = (struct MHD_OptionItem){
            MHD_OPTION_HTTPS_PRIORITIES, 0, (char *)(uintptr_t) "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"};
    }
#if MHD_VERSION >= 0x00097701 /* from there on the library itself can be strict */
    more_options[n++] = (struct MHD_OptionItem){MHD_OPTION_CLIENT_DISCIPLINE_LVL, 2, NULL};
#else
    more_options[n++] = (struct MHD_OptionItem){MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL};
#endif
    more_options[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, server_on_request, s, MHD_OPTION_LISTEN_SOCKET, s->listen_fd,
        MHD_OPTION_URI_LOG_CALLBACK, server_on_uri, s, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped,
        s, MHD_OPTION_NOTIFY_COMPLETED, server_on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
        server_on_connection, s, MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->o.connections_max,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, s->o.head_max + POOL_EXTRA,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)((s->o.idle_time_ns + NS_PER_S - 1) / NS_PER_S),
        MHD_OPTION_ARRAY, more_options, MHD_OPTION_END);
    if (!s->daemon)
        return err_set(e, s->cert ? ERR_ARG : ERR_IO, "the HTTP server does not start%s",
                       s->cert ? ": certificate and key do not belong together, or are not PEM"
                               : "");
    const union MHD_DaemonInfo *i = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!i) return err_set(e, ERR_UNSUPPORTED, "this libmicrohttpd has no epoll");
    return loop_io_open(s->loop, i->epoll_fd, on_io, s, &s->io);
}

static void defaults(struct http_server_opts *o)
{
    if (!o->connections_max) o->connections_max = HTTP_SERVER_CONNECTIONS;
    if (!o->head_max) o->head_max = HTTP_SERVER_HEAD_MAX;
    if (o->head_max > (48u << 10)) o->head_max = 48u << 10;
    if (!o->headers_max) o->headers_max = HTTP_SERVER_HEADERS_MAX;
    if (!o->body_max) o->body_max = HTTP_SERVER_BODY_MAX;
    if (!o->bodies_max) o->bodies_max = HTTP_SERVER_BODIES_MAX;
    if (!o->stream_max) o->stream_max = HTTP_SERVER_STREAM_MAX;
    if (!o->head_time_ns) o->head_time_ns = HTTP_SERVER_HEAD_TIME;
    if (!o->idle_time_ns) o->idle_time_ns = HTTP_SERVER_IDLE_TIME;
    if (!o->body_time_ns) o->body_time_ns = HTTP_SERVER_BODY_TIME;
}

int http_server_open(struct loop *l, const struct http_server_opts *o,
                     const struct http_server_events *ev, void *ud, struct http_server **out,
                     struct err *e)
{
    struct http_server *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "no memory for the HTTP server");
    s->loop = l;
    s->o = *o;
    s->ev = *ev;
    s->ud = ud;
    s->listen_fd = -1;
    idmap_init(&s->ids);
    defaults(&s->o);
    int code = 0;
    if (!o->cert_file != !o->key_file)
        code = err_set(e, ERR_ARG, "TLS needs both a certificate and its key");
    if (code == 0 && o->cert_file) code = read_pem(o->cert_file, &s->cert, e);
    if (code == 0 && o->key_file) code = read_pem(o->key_file, &s->key, e);
    if (code == 0) code = open_socket(s, e);
    if (code == 0) code = loop_timer_open(l, on_timer, s, &s->timer);
    if (code == 0) code = loop_timer_open(l, on_tick, s, &s->tick);
    if (code == 0) code = start(s, e);
    if (code < 0) {
        if (e && !e->code) err_set(e, code, "no memory for the HTTP server");
        http_server_close(s);
        return code;
    }
    loop_io_want(s->io, LOOP_READ);
    *out = s;
    return 0;
}

int http_server_port(const struct http_server *s)
{
    return s->port;
}

void http_server_counts(const struct http_server *s, struct http_server_counts *out)
{
    *out = s->counts;
}

/* ---- ending ---- */

void http_server_drain(struct http_server *s, int64_t time_ns, void (*fn)(void *ud, size_t left),
                       void *ud)
{
    s->draining = true;
    s->drained = false;
    s->drain_fn = fn;
    s->drain_ud = ud;
    s->drain_due_ns = time_plus(clock_mono(loop_clock(s->loop)), time_ns);
    if (s->listen_fd >= 0 && MHD_quiesce_daemon(s->daemon) >= 0) {
        close(s->listen_fd);
        s->listen_fd = -1;
    }
    end_idle(s);
    s->tick_runs = true;
    loop_timer_start(s->tick, 0);
}

void http_server_close(struct http_server *s)
{
    if (!s) return;
    if (s->daemon) { /* the library may not be stopped while connections rest */
        for (struct request *r = s->active; r; r = r->next) {
            r->killed = true;
            if (r->suspended) MHD_resume_connection(r->conn);
            r->suspended = false;
        }
        s->closing = true;
        if (s->io) loop_io_close(s->io);
        MHD_run(s->daemon);
        for (struct request *r = s->active; r; r = r->next)
            if (r->suspended && r->conn) MHD_resume_connection(r->conn);
        MHD_stop_daemon(s->daemon);
        while (s->ended) {
            struct request *r = s->ended;
            s->ended = r->next;
            server_request_free(r);
        }
    } else if (s->listen_fd >= 0) {
        close(s->listen_fd);
    }
    if (s->timer) loop_timer_close(s->timer);
    if (s->tick) loop_timer_close(s->tick);
    idmap_free(&s->ids);
    mem_free(s->cert);
    if (s->key) memset(s->key, 0, strlen(s->key));
    mem_free(s->key);
    s->closed = true;
    if (!s->posted) mem_free(s);
}
