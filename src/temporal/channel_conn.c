/* One connection of the channel: name, TCP, proxy, TLS, the first SETTINGS, calls, the end. Keeps
 * true: a connection that dies only says so (state CONN_DEAD, why); it is buried by channel_turn,
 * when nothing of it is on the stack. */
#include "temporal/channel_internal.h"
#include <stdio.h>

#define PROXY_ANSWER_MAX (16u << 10)

void conn_die(struct chan_conn *k, bool hopeless, const struct err *why)
{
    if (k->state == CONN_DEAD) return;
    k->state = CONN_DEAD;
    k->why = *why;
    k->hopeless = hopeless;
    if (k->goaway[0]) {
        size_t n = strlen(k->why.text);
        snprintf(k->why.text + n, sizeof k->why.text - n, " (it said: %s)", k->goaway);
    }
    channel_kick(k->c);
}

bool conn_is_opening(const struct chan_conn *k)
{
    return k->state < CONN_UP;
}

bool conn_has_room(const struct chan_conn *k)
{
    return k->state == CONN_UP && k->streams < k->streams_max &&
           nghttp2_session_check_request_allowed(k->h2);
}

void channel_conn_free(struct chan_conn *k)
{
    nghttp2_session_del(k->h2);
    tls_close(k->tls);
    sock_close(k->sock);
    loop_timer_close(k->timer);
    buf_free(&k->answer);
    buf_free(&k->plain);
    mem_free(k);
}

/* ---- writing ---- */

/* The bytes of TLS that wait, if the socket can take them. */
static void flush_tls(struct chan_conn *k)
{
    struct err e;
    if (sock_writing(k->sock)) return;
    if (tls_out(k->tls, sock_out(k->sock))) {
        err_set(&e, ERR_NOMEM, "out of memory for TLS");
        conn_die(k, false, &e);
        return;
    }
    sock_send(k->sock);
}

static int put_frames(struct chan_conn *k, size_t *put, struct err *e)
{
    struct buf *out = sock_out(k->sock);
    for (*put = 0; *put < CHANNEL_WRITE_MAX;) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(k->h2, &p);
        if (n == 0) break;
        if (n < 0)
            return err_set(e, n == NGHTTP2_ERR_NOMEM ? ERR_NOMEM : ERR_PROTO, "HTTP/2 failed: %s",
                           nghttp2_strerror((int)n));
        *put += (size_t)n;
        if (k->tls) {
            int rc = tls_put(k->tls, p, (size_t)n, e);
            if (rc) return rc;
        } else if (buf_put(out, p, (size_t)n)) {
            return err_set(e, ERR_NOMEM, "out of memory for what is to be sent");
        }
    }
    return 0;
}

/* Drained, or nghttp2 found that the peer breaks the protocol, said so and will do no more. */
static void die_when_over(struct chan_conn *k)
{
    struct err e;
    if (k->state == CONN_DEAD || sock_writing(k->sock) || nghttp2_session_want_read(k->h2) ||
        nghttp2_session_want_write(k->h2))
        return;
    if (k->state == CONN_DRAINING)
        err_set(&e, ERR_IO, "the server closed the connection");
    else if (k->state == CONN_SETTINGS)
        err_set(&e, ERR_PROTO,
                "what it sends is not HTTP/2: is the address that of the gRPC frontend?");
    else
        err_set(&e, ERR_PROTO, "what the server sends breaks HTTP/2");
    conn_die(k, k->state == CONN_SETTINGS, &e);
}

void conn_flush(struct chan_conn *k)
{
    struct err e;
    size_t put = 1;
    if (!k->h2 || k->state == CONN_DEAD) return;
    if (k->state == CONN_DRAINING && !k->streams)
        nghttp2_session_terminate_session(k->h2, NGHTTP2_NO_ERROR);
    while (put && k->state != CONN_DEAD && !sock_writing(k->sock)) {
        if (put_frames(k, &put, &e)) {
            conn_die(k, false, &e);
            return;
        }
        if (k->tls)
            flush_tls(k);
        else
            sock_send(k->sock);
    }
    die_when_over(k);
}

/* ---- the steps up ---- */

static void start_http2(struct chan_conn *k)
{
    struct err e;
    k->state = CONN_SETTINGS;
    if (stream_session(k, &e)) {
        conn_die(k, false, &e);
        return;
    }
    channel_kick(k->c); /* what nghttp2 has to say first */
}

static void start_tls(struct chan_conn *k)
{
    struct tls_options o;
    struct err e;
    if (!k->c->tls) {
        start_http2(k);
        return;
    }
    k->state = CONN_TLS;
    options_tls(k->c, &o);
    int rc = tls_open(&o, &k->tls, &e);
    if (rc)
        conn_die(k, rc != ERR_NOMEM, &e);
    else
        flush_tls(k);
}

static void on_open(void *ud)
{
    struct chan_conn *k = ud;
    if (!k->c->proxy_host) {
        start_tls(k);
    } else {
        struct err e;
        k->state = CONN_PROXY;
        if (buf_putstr(sock_out(k->sock), k->c->proxy_request)) {
            err_set(&e, ERR_NOMEM, "out of memory for the proxy's request");
            conn_die(k, false, &e);
        }
        sock_send(k->sock);
    }
    channel_turn(k->c);
}

/* ---- the proxy's answer ---- */

static void proxy_refused(struct chan_conn *k, int status)
{
    struct err e;
    const char *proxy = k->c->proxy_host;
    bool hopeless = status < 500;
    if (status == 407)
        err_set(&e, ERR_PROTO,
                "the proxy %s:%d does not let us through (407): give its user and password, as in "
                "user:password@%s:%d",
                proxy, k->c->proxy_port, proxy, k->c->proxy_port);
    else if (status)
        err_set(&e, ERR_PROTO, "the proxy %s:%d refused to connect to %s with HTTP status %d",
                proxy, k->c->proxy_port, k->c->authority, status);
    else
        err_set(&e, ERR_PROTO, "%s:%d does not answer as an HTTP proxy: is its address right?",
                proxy, k->c->proxy_port);
    conn_die(k, hopeless, &e);
}

static void take_frames(struct chan_conn *k, const char *p, size_t n);

/* Behind the answer's end there may be the server's first frames, which it need not wait for us to
 * send; over TLS it speaks only after us, and bytes there are refused. */
static void take_answer(struct chan_conn *k, const char *p, size_t n)
{
    if (buf_put(&k->answer, p, n)) {
        proxy_refused(k, 0);
        return;
    }
    const char *text = k->answer.p, *end = strstr(text, "\r\n\r\n");
    bool http = strncmp(text, "HTTP/1.", k->answer.n < 7 ? k->answer.n : 7) == 0;
    if (http && !end) return;
    int status = 0;
    if (http && k->answer.n > 12 && text[8] == ' ')
        for (int i = 9; i < 12 && status >= 0; i++)
            status = text[i] >= '0' && text[i] <= '9' ? status * 10 + (text[i] - '0') : -1;
    size_t more = end ? k->answer.n - (size_t)(end + 4 - text) : 0;
    if (status < 200 || status > 299 || (more && k->c->tls))
        proxy_refused(k, status > 299 ? status : 0);
    else
        start_tls(k);
    if (more && k->h2 && k->state != CONN_DEAD) take_frames(k, end + 4, more);
    buf_free(&k->answer);
}

/* ---- reading ---- */

/* What a peer that is no gRPC server says first, as far as it can be recognised. */
static bool not_http2(struct chan_conn *k, const char *p, size_t n)
{
    struct err e;
    if (k->state != CONN_SETTINGS || k->tls) return false;
    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
        err_set(&e, ERR_PROTO,
                "it answers in HTTP/1, not gRPC: is the port that of the gRPC frontend (usually "
                "%d)?",
                CHANNEL_DEFAULT_PORT);
    else if (n >= 2 && p[0] == 0x15 && p[1] == 0x03)
        err_set(&e, ERR_PROTO, "it wants TLS: switch it on (--tls or TEMPORAL_TLS=true)");
    else
        return false;
    conn_die(k, true, &e);
    return true;
}

static void take_frames(struct chan_conn *k, const char *p, size_t n)
{
    struct err e;
    if (!n || not_http2(k, p, n)) return;
    ssize_t rc = nghttp2_session_mem_recv(k->h2, (const uint8_t *)p, n);
    if (rc >= 0) return;
    if (rc == NGHTTP2_ERR_NOMEM)
        err_set(&e, ERR_NOMEM, "out of memory for what was received");
    else
        err_set(&e, ERR_PROTO, "what it sends is not HTTP/2 (%s)", nghttp2_strerror((int)rc));
    conn_die(k, false, &e);
}

static void take_tls(struct chan_conn *k, const char *p, size_t n)
{
    struct err e;
    bool closed = false, hopeless = false;
    buf_reset(&k->plain);
    int rc = tls_feed(k->tls, p, n, &k->plain, &closed, &hopeless, &e);
    if (k->state == CONN_TLS && tls_ready(k->tls)) start_http2(k);
    if (k->h2 && k->state != CONN_DEAD) take_frames(k, k->plain.p, k->plain.n);
    if (rc) {
        flush_tls(k); /* the alert */
        conn_die(k, hopeless && !k->was_up, &e);
    } else if (closed) {
        err_set(&e, ERR_IO, "the server closed the connection");
        conn_die(k, false, &e);
    } else if (k->state == CONN_TLS) {
        flush_tls(k);
    }
}

static void on_data(void *ud, const char *p, size_t n)
{
    struct chan_conn *k = ud;
    if (k->state == CONN_DEAD) return;
    k->heard_ns = channel_now(k->c);
    k->pinged_ns = 0;
    if (k->state == CONN_PROXY)
        take_answer(k, p, n);
    else if (k->tls)
        take_tls(k, p, n);
    else if (k->h2)
        take_frames(k, p, n);
    channel_turn(k->c);
}

static void on_written(void *ud)
{
    struct chan_conn *k = ud;
    if (k->tls && k->state != CONN_DEAD) flush_tls(k);
    channel_turn(k->c);
}

static void on_down(void *ud, const struct err *why)
{
    struct chan_conn *k = ud;
    struct err e = *why;
    if (k->c->proxy_host && k->state <= CONN_PROXY)
        err_prefix(&e, "the proxy");
    else if (k->state == CONN_SOCKET)
        err_set(&e, why->code,
                "%s: is the server running, and is the address right (--temporal or "
                "TEMPORAL_ADDRESS)?",
                why->text);
    else if (k->state == CONN_TLS)
        err_set(&e, why->code,
                "%s during the TLS handshake: is TLS on at that port, and does the server want a "
                "client certificate?",
                why->text);
    else if (k->state == CONN_SETTINGS && !k->tls)
        err_set(&e, why->code, "%s before it said anything: does that port want TLS?", why->text);
    conn_die(k, false, &e);
    channel_turn(k->c);
}

/* ---- time ---- */

static const char *doing(const struct chan_conn *k)
{
    switch (k->state) {
    case CONN_SOCKET:
        return sock_doing(k->sock);
    case CONN_PROXY:
        return "waiting for the proxy";
    case CONN_TLS:
        return "waiting for the TLS handshake";
    default:
        return "waiting for the server's first HTTP/2 frame";
    }
}

static void on_timer(void *ud)
{
    struct chan_conn *k = ud;
    struct channel *c = k->c;
    struct err e;
    int64_t now = channel_now(c);
    if (k->state == CONN_DEAD) return;
    if (conn_is_opening(k)) {
        err_set(&e, ERR_TIMEOUT, "not connected after %lld s, still %s: is the address right?",
                (long long)(c->o.connect_timeout_ns / NS_PER_S), doing(k));
        conn_die(k, false, &e);
    } else if (k->pinged_ns && now - k->pinged_ns >= c->o.ping_timeout_ns) {
        err_set(&e, ERR_TIMEOUT, "the connection is dead: no answer to a ping within %lld ms",
                (long long)(c->o.ping_timeout_ns / NS_PER_MS));
        conn_die(k, false, &e);
    } else if (k->pinged_ns) {
        loop_timer_start(k->timer, c->o.ping_timeout_ns - (now - k->pinged_ns));
    } else if (now - k->heard_ns >= c->o.ping_ns) {
        k->pinged_ns = now;
        nghttp2_submit_ping(k->h2, NGHTTP2_FLAG_NONE, NULL);
        loop_timer_start(k->timer, c->o.ping_timeout_ns);
    } else {
        loop_timer_start(k->timer, c->o.ping_ns - (now - k->heard_ns));
    }
    channel_turn(c);
}

/* ---- opening ---- */

int channel_conn_open(struct channel *c, enum channel_lane lane, struct err *e)
{
    static const struct sock_events ev = {on_open, on_data, on_written, on_down};
    struct chan_conn *k = mem_zalloc(sizeof *k);
    if (!k) return err_set(e, ERR_NOMEM, "out of memory for a connection");
    k->c = c;
    k->lane = lane;
    k->streams_max = 0;
    buf_init(&k->answer, PROXY_ANSWER_MAX);
    buf_init(&k->plain, 1u << 20);
    int rc = loop_timer_open(c->loop, on_timer, k, &k->timer);
    if (rc) err_set(e, rc, "out of memory for a connection");
    if (rc == 0)
        rc = sock_open(c->loop, c->proxy_host ? c->proxy_host : c->host,
                       c->proxy_host ? c->proxy_port : c->port, &ev, k, &k->sock, e);
    if (rc) {
        channel_conn_free(k);
        return rc;
    }
    loop_timer_start(k->timer, c->o.connect_timeout_ns);
    k->heard_ns = channel_now(c);
    k->next = c->conns;
    if (k->next) k->next->prev = k;
    c->conns = k;
    c->connects++;
    return 0;
}
