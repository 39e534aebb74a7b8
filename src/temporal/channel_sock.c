/* See channel_sock.h. What this file keeps true: one attempt at a time, and each is closed before
 * the next begins, so that one handle serves all; the memory stays until the look-up and the
 * handles are done. A name is looked up by the loop's own threads (libuv's pool ends the process
 * when it cannot have threads); an address needs none. */
#include "temporal/channel_sock.h"
#include "base/mem.h"
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <uv.h>

/* How long one address may take while there are others. */
#define ADDRESS_NS (2500 * NS_PER_MS)

struct sock {
    struct loop *loop;
    const struct sock_events *ev;
    void *ud;
    char host[256];
    char service[8];
    int port;
    int look_up_rc, look_up_errno; /* the thread's until it is done, as is `found` */
    struct loop_post post;
    uv_tcp_t tcp;
    uv_connect_t connecting;
    uv_write_t write;
    struct loop_timer *timer; /* of one address; also tells what failed inside a call */
    struct addrinfo *found, *next;
    struct buf out;
    struct err why;
    bool resolving, tcp_open, tcp_closing, up, writing, down, closing;
    char in[SOCK_READ_MAX];
};

static void try_next(struct sock *s);

/* ---- the end ---- */

static void free_when_done(struct sock *s)
{
    if (!s->closing || s->resolving || s->tcp_open) return;
    if (s->found) freeaddrinfo(s->found);
    buf_free(&s->out);
    mem_free(s);
}

static void on_tcp_closed(uv_handle_t *h)
{
    struct sock *s = h->data;
    s->tcp_open = s->tcp_closing = false;
    if (s->closing)
        free_when_done(s);
    else
        try_next(s);
}

static void close_tcp(struct sock *s)
{
    if (!s->tcp_open || s->tcp_closing) return;
    s->tcp_closing = true;
    uv_close((uv_handle_t *)&s->tcp, on_tcp_closed);
}

void sock_close(struct sock *s)
{
    if (!s || s->closing) return;
    s->closing = true;
    loop_timer_close(s->timer);
    close_tcp(s);
    free_when_done(s);
}

static void go_down(struct sock *s)
{
    if (s->down || s->closing) return;
    s->down = true;
    s->ev->on_down(s->ud, &s->why);
}

/* ---- reading and writing ---- */

static void on_alloc(uv_handle_t *h, size_t want, uv_buf_t *b)
{
    struct sock *s = h->data;
    (void)want;
    *b = uv_buf_init(s->in, sizeof s->in);
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *b)
{
    struct sock *s = h->data;
    if (s->closing || s->down || n == 0) return;
    if (n > 0) {
        s->ev->on_data(s->ud, b->base, (size_t)n);
        return;
    }
    if (n == UV_EOF)
        err_set(&s->why, ERR_IO, "%s port %d closed the connection", s->host, s->port);
    else
        err_set(&s->why, n == UV_ENOMEM ? ERR_NOMEM : ERR_IO, "%s port %d: %s", s->host, s->port,
                uv_strerror((int)n));
    go_down(s);
}

static void write_failed(struct sock *s, int rc)
{
    err_set(&s->why, rc == UV_ENOMEM ? ERR_NOMEM : ERR_IO, "%s port %d: cannot write: %s", s->host,
            s->port, uv_strerror(rc));
}

static void on_write(uv_write_t *w, int status)
{
    struct sock *s = w->data;
    if (s->closing || s->down) return;
    s->writing = false;
    if (status < 0) {
        write_failed(s, status);
        go_down(s);
        return;
    }
    buf_reset(&s->out);
    s->ev->on_written(s->ud);
}

struct buf *sock_out(struct sock *s)
{
    return &s->out;
}

bool sock_writing(const struct sock *s)
{
    return s->writing;
}

void sock_send(struct sock *s)
{
    if (s->writing || s->down || s->closing || !s->out.n) return;
    uv_buf_t b = uv_buf_init(s->out.p, (unsigned)s->out.n);
    int rc = uv_try_write((uv_stream_t *)&s->tcp, &b, 1);
    if (rc >= 0 && (size_t)rc == s->out.n) {
        buf_reset(&s->out);
        return;
    }
    s->writing = true; /* also when it failed: nothing is added any more */
    if (rc >= 0 || rc == UV_EAGAIN) {
        size_t done = rc > 0 ? (size_t)rc : 0;
        b = uv_buf_init(s->out.p + done, (unsigned)(s->out.n - done));
        s->write.data = s;
        rc = uv_write(&s->write, (uv_stream_t *)&s->tcp, &b, 1, on_write);
    }
    if (rc < 0) {
        write_failed(s, rc);
        loop_timer_start(s->timer, 0);
    }
}

/* ---- getting connected ---- */

const char *sock_doing(const struct sock *s)
{
    return s->resolving ? "resolving the name" : "connecting";
}

static void on_connect(uv_connect_t *c, int status)
{
    struct sock *s = c->data;
    if (s->closing || s->tcp_closing) return; /* its time was over */
    loop_timer_stop(s->timer);
    if (status < 0) {
        err_set(&s->why, ERR_IO, "cannot reach %s port %d: %s", s->host, s->port,
                uv_strerror(status));
        close_tcp(s);
        return;
    }
    uv_tcp_nodelay(&s->tcp, 1);
    int rc = uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
    if (rc < 0) {
        err_set(&s->why, ERR_IO, "%s port %d: cannot read: %s", s->host, s->port, uv_strerror(rc));
        go_down(s);
        return;
    }
    s->up = true;
    s->ev->on_open(s->ud);
}

static void try_next(struct sock *s)
{
    while (s->next) {
        const struct addrinfo *a = s->next;
        s->next = a->ai_next;
        int rc = uv_tcp_init(loop_uv(s->loop), &s->tcp);
        if (rc == 0) {
            s->tcp.data = s->connecting.data = s;
            s->tcp_open = true;
            rc = uv_tcp_connect(&s->connecting, &s->tcp, a->ai_addr, on_connect);
            if (rc == 0) {
                if (s->next) loop_timer_start(s->timer, ADDRESS_NS);
                return;
            }
        }
        err_set(&s->why, rc == UV_ENOMEM ? ERR_NOMEM : ERR_IO, "cannot reach %s port %d: %s",
                s->host, s->port, uv_strerror(rc));
        if (s->tcp_open) {
            close_tcp(s); /* and on */
            return;
        }
    }
    if (!s->why.code) err_set(&s->why, ERR_IO, "%s has no address", s->host);
    go_down(s);
}

static void on_timer(void *ud)
{
    struct sock *s = ud;
    if (s->up || !s->tcp_open) { /* what failed inside a call is told */
        go_down(s);
        return;
    }
    err_set(&s->why, ERR_IO, "cannot reach %s port %d: no answer", s->host, s->port);
    close_tcp(s);
}

static int look_up(struct sock *s, int flags)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    s->look_up_rc = getaddrinfo(s->host, s->service, &hints, &s->found);
    s->look_up_errno = errno;
    return s->look_up_rc;
}

/* On a thread of the loop. */
static void look_up_name(void *ud)
{
    struct sock *s = ud;
    if (look_up(s, 0)) s->found = NULL;
}

static void on_resolved(void *ud)
{
    struct sock *s = ud;
    s->resolving = false;
    s->next = s->found;
    if (s->closing) {
        free_when_done(s);
        return;
    }
    if (s->look_up_rc) {
        err_set(&s->why, s->look_up_rc == EAI_MEMORY ? ERR_NOMEM : ERR_IO,
                "the host name %s cannot be resolved: %s", s->host,
                s->look_up_rc == EAI_SYSTEM ? strerror(s->look_up_errno)
                                            : gai_strerror(s->look_up_rc));
        go_down(s);
        return;
    }
    try_next(s);
}

static void on_name(void *ud, int status)
{
    struct sock *s = ud;
    if (status) s->look_up_rc = EAI_AGAIN; /* the loop closes: nobody asks any more */
    on_resolved(s);
}

/* The answer comes in a later turn, also of an address. */
static int begin_look_up(struct sock *s, struct err *e)
{
    int rc = look_up(s, AI_NUMERICHOST) == 0 ? loop_post_in(s->loop, &s->post, on_resolved, s)
                                             : loop_work(s->loop, look_up_name, on_name, s);
    if (rc == ERR_IO)
        return err_set(e, rc, "the host name %s cannot be looked up: no thread can be had for it",
                       s->host);
    return rc ? err_set(e, rc, "the host name %s cannot be looked up: out of memory", s->host) : 0;
}

int sock_open(struct loop *l, const char *host, int port, const struct sock_events *ev, void *ud,
              struct sock **out, struct err *e)
{
    struct sock *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "out of memory for a connection");
    s->loop = l;
    s->ev = ev;
    s->ud = ud;
    s->port = port;
    snprintf(s->host, sizeof s->host, "%s", host);
    snprintf(s->service, sizeof s->service, "%d", port);
    buf_init(&s->out, SOCK_OUT_MAX);
    if (loop_timer_open(l, on_timer, s, &s->timer)) {
        mem_free(s);
        return err_set(e, ERR_NOMEM, "out of memory for a connection");
    }
    int rc = begin_look_up(s, e);
    if (rc) {
        s->closing = true;
        loop_timer_close(s->timer);
        free_when_done(s);
        return rc;
    }
    s->resolving = true;
    *out = s;
    return 0;
}
