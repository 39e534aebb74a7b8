/* See h2_server.h. */
#include "h2_server.h"
#include "base/mem.h"
#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct peer;
struct stream {
    struct peer *peer;
    struct stream *next;
    int32_t id;
    char path[200];
    struct buf body, out; /* out: the reply's DATA */
    size_t sent;
    char trailers[100];
    bool held, end; /* end: END_STREAM with the last DATA */
};
struct peer {
    struct h2_server *s;
    struct peer *next;
    uv_tcp_t tcp;
    uv_timer_t stepper;
    nghttp2_session *h2;
    struct stream *streams;
    struct buf out;
    size_t written;
    int n_streams, handles;
    bool closing, writing;
    uv_write_t write;
    char in[65536];
};
struct h2_server {
    struct loop *loop;
    struct h2_options o;
    uv_tcp_t tcp;
    struct peer *peers;
    struct h2_state state;
    int refused, peers_left;
    bool closing, tcp_open;
};

struct h2_state *h2_state(struct h2_server *s)
{
    return &s->state;
}

/* ---- closing ---- */

static void free_server(struct h2_server *s)
{
    if (!s->closing || s->tcp_open || s->peers_left) return;
    buf_free(&s->state.seen);
    buf_free(&s->state.body);
    free(s);
}

static void free_stream(struct stream *x)
{
    buf_free(&x->body);
    buf_free(&x->out);
    free(x);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct peer *p = h->data;
    if (--p->handles) return;
    struct h2_server *s = p->s;
    nghttp2_session_del(p->h2);
    while (p->streams) {
        struct stream *x = p->streams;
        p->streams = x->next;
        free_stream(x);
    }
    buf_free(&p->out);
    free(p);
    s->peers_left--;
    free_server(s);
}

static void close_peer(struct peer *p)
{
    if (p->closing) return;
    p->closing = true;
    p->s->state.open--;
    struct peer **at = &p->s->peers;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    uv_close((uv_handle_t *)&p->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&p->stepper, on_handle_closed);
}

static void on_server_closed(uv_handle_t *h)
{
    struct h2_server *s = h->data;
    s->tcp_open = false;
    free_server(s);
}

void h2_close(struct h2_server *s)
{
    s->closing = true;
    while (s->peers)
        close_peer(s->peers);
    uv_close((uv_handle_t *)&s->tcp, on_server_closed);
}

/* ---- writing ---- */

static void pump(struct peer *p);

static void on_step(uv_timer_t *t)
{
    uv_stop(t->loop);
    pump(t->data);
}

static void on_write(uv_write_t *w, int status)
{
    struct peer *p = w->data;
    p->writing = false;
    if (p->closing || status < 0) return;
    if (p->s->o.step)
        uv_timer_start(&p->stepper, on_step, 0, 0); /* so that the client sees each step alone */
    else
        pump(p);
}

static void pump(struct peer *p)
{
    if (p->closing || p->writing) return;
    if (p->written == p->out.n) {
        buf_reset(&p->out);
        p->written = 0;
        while (p->h2 && p->out.n < 65536) {
            const uint8_t *b;
            ssize_t n = nghttp2_session_mem_send(p->h2, &b);
            assert(n >= 0);
            if (n == 0) break;
            buf_put(&p->out, b, (size_t)n);
        }
    }
    size_t n = p->out.n - p->written;
    if (n == 0) {
        if (p->h2 && !nghttp2_session_want_read(p->h2) && !nghttp2_session_want_write(p->h2))
            close_peer(p);
        return;
    }
    if (p->s->o.step && n > p->s->o.step) n = p->s->o.step;
    uv_buf_t b = uv_buf_init(p->out.p + p->written, (unsigned)n);
    p->written += n;
    p->writing = true;
    p->write.data = p;
    if (uv_write(&p->write, (uv_stream_t *)&p->tcp, &b, 1, on_write) != 0) p->writing = false;
}

/* ---- replies ---- */

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static ssize_t on_out(nghttp2_session *h2, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                      nghttp2_data_source *source, void *ud)
{
    struct stream *x = source->ptr;
    (void)ud;
    size_t n = x->out.n - x->sent < room ? x->out.n - x->sent : room;
    if (n) memcpy(to, x->out.p + x->sent, n);
    x->sent += n;
    if (x->sent == x->out.n) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (!x->end) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_nv t[] = {nv("grpc-status", x->trailers)};
            nghttp2_submit_trailer(h2, id, t, 1);
        }
    }
    return (ssize_t)n;
}

static void frame(struct stream *x, int flag, const void *p, size_t n, size_t claimed)
{
    unsigned char head[5] = {(unsigned char)flag, (unsigned char)(claimed >> 24),
                             (unsigned char)(claimed >> 16), (unsigned char)(claimed >> 8),
                             (unsigned char)claimed};
    buf_put(&x->out, head, 5);
    buf_put(&x->out, p, n);
}

static void headers(struct stream *x, const char *status, const char *type, bool end)
{
    nghttp2_nv h[] = {nv(":status", status), nv("content-type", type)};
    nghttp2_data_provider d = {.source = {.ptr = x}, .read_callback = on_out};
    x->end = end;
    nghttp2_submit_response(x->peer->h2, x->id, h, 2, &d);
}

static void reply(struct stream *x, int status)
{
    snprintf(x->trailers, sizeof x->trailers, "%d", status);
    headers(x, "200", "application/grpc", false);
}

static void only_trailers(struct stream *x)
{
    nghttp2_nv h[] = {nv(":status", "200"), nv("content-type", "application/grpc"),
                      nv("grpc-status", "5"), nv("grpc-message", "no%20such%C3%A9 100% %zz "),
                      nv("grpc-status-details-bin", "CAUSAWE")};
    nghttp2_submit_response(x->peer->h2, x->id, h, 5, NULL);
}

static void many_headers(struct stream *x)
{
    char *value = malloc(15001);
    memset(value, 'x', 15000);
    value[15000] = '\0';
    for (int i = 0; i < 80; i++) { /* as informational answers, each within HPACK's own limits */
        nghttp2_nv h[] = {nv(":status", "103"), nv("x-a", value)};
        nghttp2_submit_headers(x->peer->h2, NGHTTP2_FLAG_NONE, x->id, NULL, h, 2, NULL);
    }
    free(value);
    frame(x, 0, "", 0, 0);
    reply(x, 0);
}

static int number(const char *path)
{
    return atoi(strrchr(path, '/') + 1);
}

static bool is(const struct stream *x, const char *what)
{
    size_t n = strlen(what);
    return strncmp(x->path, "/t/", 3) == 0 && strncmp(x->path + 3, what, n) == 0 &&
           (x->path[3 + n] == '\0' || x->path[3 + n] == '/');
}

static void answer_messages(struct stream *x)
{
    if (is(x, "echo")) {
        frame(x, 0, x->body.n > 5 ? x->body.p + 5 : "", x->body.n > 5 ? x->body.n - 5 : 0,
              x->body.n > 5 ? x->body.n - 5 : 0);
        reply(x, 0);
    } else if (is(x, "notrailers")) {
        frame(x, 0, "task", 4, 4);
        headers(x, "200", "application/grpc", true);
    } else if (is(x, "half")) {
        frame(x, 0, "ta", 2, 4);
        headers(x, "200", "application/grpc", true);
    } else if (is(x, "nothing")) {
        headers(x, "200", "application/grpc", true);
    } else if (is(x, "ok-empty")) {
        reply(x, 0);
    } else if (is(x, "two")) {
        frame(x, 0, "a", 1, 1);
        frame(x, 0, "b", 1, 1);
        reply(x, 0);
    } else if (is(x, "gzip")) {
        frame(x, 1, "a", 1, 1);
        reply(x, 0);
    } else if (is(x, "large")) {
        size_t n = (size_t)number(x->path);
        char *p = calloc(1, n);
        frame(x, 0, p, n, n);
        free(p);
        reply(x, 0);
    }
}

static void answer(struct stream *x)
{
    struct peer *p = x->peer;
    struct h2_server *s = p->s;
    buf_reset(&s->state.body);
    buf_putstr(&s->state.body, buf_str(&x->body));
    answer_messages(x);
    if (is(x, "hold")) {
        x->held = true;
        s->state.held++;
    } else if (is(x, "status")) {
        only_trailers(x);
    } else if (is(x, "rst")) {
        nghttp2_submit_rst_stream(p->h2, 0, x->id, (uint32_t)number(x->path));
    } else if (is(x, "refuse")) {
        if (s->refused++ < number(x->path)) {
            nghttp2_submit_rst_stream(p->h2, 0, x->id, NGHTTP2_REFUSED_STREAM);
        } else {
            frame(x, 0, "", 0, 0);
            reply(x, 0);
        }
    } else if (is(x, "code") || (is(x, "fail") && s->refused++ < number(x->path))) {
        reply(x, is(x, "code") ? number(x->path) : 14);
    } else if (is(x, "fail")) {
        frame(x, 0, "", 0, 0);
        reply(x, 0);
    } else if (is(x, "http") || is(x, "html")) {
        buf_puts(&x->out, "<html>a page</html>");
        headers(x, is(x, "html") ? "200" : strrchr(x->path, '/') + 1, "text/html", true);
    } else if (is(x, "headers")) {
        many_headers(x);
    } else if (is(x, "goaway")) {
        nghttp2_submit_goaway(p->h2, 0, x->id, 0, (const uint8_t *)"max_age", 7);
        frame(x, 0, "last", 4, 4);
        reply(x, 0);
    } else if (is(x, "goaway0")) {
        if (s->refused++ == 0) {
            nghttp2_submit_goaway(p->h2, 0, x->id - 2 > 0 ? x->id - 2 : 0, 0, NULL, 0);
        } else {
            frame(x, 0, "", 0, 0);
            reply(x, 0);
        }
    } else if (is(x, "close")) {
        close_peer(p);
    }
}

void h2_release(struct h2_server *s)
{
    for (struct peer *p = s->peers; p; p = p->next) {
        for (struct stream *x = p->streams; x; x = x->next) {
            if (!x->held) continue;
            x->held = false;
            s->state.held--;
            frame(x, 0, "", 0, 0);
            reply(x, 0);
        }
        pump(p);
    }
}

void h2_goaway_all(struct h2_server *s)
{
    for (struct peer *p = s->peers; p; p = p->next) {
        nghttp2_submit_goaway(p->h2, 0, nghttp2_session_get_last_proc_stream_id(p->h2), 0, NULL, 0);
        pump(p);
    }
}

/* ---- requests ---- */

static int on_begin(nghttp2_session *h2, const nghttp2_frame *f, void *ud)
{
    struct peer *p = ud;
    if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    struct stream *x = calloc(1, sizeof *x);
    x->peer = p;
    x->id = f->hd.stream_id;
    buf_init(&x->body, 64u << 20);
    buf_init(&x->out, 64u << 20);
    x->next = p->streams;
    p->streams = x;
    nghttp2_session_set_stream_user_data(h2, x->id, x);
    if (++p->n_streams > p->s->state.most_streams) p->s->state.most_streams = p->n_streams;
    buf_reset(&p->s->state.seen);
    return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name, size_t nn,
                     const uint8_t *value, size_t nvalue, uint8_t flags, void *ud)
{
    struct peer *p = ud;
    (void)flags;
    struct stream *x = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);
    if (!x) return 0;
    buf_printf(&p->s->state.seen, "%.*s: %.*s\n", (int)nn, (const char *)name, (int)nvalue,
               (const char *)value);
    if (nn == 5 && memcmp(name, ":path", 5) == 0)
        snprintf(x->path, sizeof x->path, "%.*s", (int)nvalue, (const char *)value);
    return 0;
}

static int on_chunk(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *b, size_t n,
                    void *ud)
{
    (void)flags;
    (void)ud;
    struct stream *x = nghttp2_session_get_stream_user_data(h2, id);
    if (x) buf_put(&x->body, b, n);
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *ud)
{
    struct peer *p = ud;
    struct stream *x =
        f->hd.stream_id ? nghttp2_session_get_stream_user_data(h2, f->hd.stream_id) : NULL;
    if (f->hd.type == NGHTTP2_PING && !(f->hd.flags & NGHTTP2_FLAG_ACK)) p->s->state.pings++;
    if (f->hd.type == NGHTTP2_RST_STREAM) p->s->state.resets++;
    if (f->hd.type == NGHTTP2_GOAWAY) p->s->state.goaways++;
    if (x && f->hd.type == NGHTTP2_HEADERS && is(x, "early")) {
        reply(x, 8);
        return 0;
    }
    if (x && (f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
        f->hd.flags & NGHTTP2_FLAG_END_STREAM && !is(x, "early")) {
        p->s->state.calls++;
        answer(x);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t id, uint32_t error, void *ud)
{
    struct peer *p = ud;
    (void)h2;
    (void)error;
    for (struct stream **at = &p->streams; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            struct stream *x = *at;
            *at = x->next;
            if (x->held) p->s->state.held--;
            p->n_streams--;
            free_stream(x);
            break;
        }
    return 0;
}

/* Swallowed pings: their acknowledgement is never sent. */
static int on_before_send(nghttp2_session *h2, const nghttp2_frame *f, void *ud)
{
    struct peer *p = ud;
    (void)h2;
    bool ack = f->hd.type == NGHTTP2_PING && f->hd.flags & NGHTTP2_FLAG_ACK;
    bool first = f->hd.type == NGHTTP2_SETTINGS;
    return (ack && p->s->o.no_pings) || (first && p->s->o.no_settings) ? NGHTTP2_ERR_CANCEL : 0;
}

/* ---- connections ---- */

static void on_alloc(uv_handle_t *h, size_t want, uv_buf_t *b)
{
    struct peer *p = h->data;
    (void)want;
    *b = uv_buf_init(p->in, sizeof p->in);
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *b)
{
    struct peer *p = h->data;
    if (p->closing || n == 0) return;
    if (n < 0 ||
        (p->h2 && nghttp2_session_mem_recv(p->h2, (const uint8_t *)b->base, (size_t)n) < 0)) {
        close_peer(p);
        return;
    }
    pump(p);
}

static void start_h2(struct peer *p)
{
    const struct h2_options *o = &p->s->o;
    nghttp2_session_callbacks *cb;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_before_frame_send_callback(cb, on_before_send);
    nghttp2_option *option;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_http_messaging(option, 1); /* this server may be odd */
    nghttp2_session_server_new2(&p->h2, cb, p, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_settings_entry set[2];
    size_t n = 0;
    if (o->streams)
        set[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->streams};
    if (o->window)
        set[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->window};
    nghttp2_submit_settings(p->h2, 0, set, n);
}

static void on_connection(uv_stream_t *h, int status)
{
    struct h2_server *s = h->data;
    if (status < 0) return;
    struct peer *p = calloc(1, sizeof *p);
    p->s = s;
    p->handles = 2;
    buf_init(&p->out, 1u << 20);
    uv_tcp_init(loop_uv(s->loop), &p->tcp);
    uv_timer_init(loop_uv(s->loop), &p->stepper);
    p->tcp.data = p->stepper.data = p;
    p->next = s->peers;
    s->peers = p;
    s->peers_left++;
    s->state.connections++;
    s->state.open++;
    uv_accept(h, (uv_stream_t *)&p->tcp);
    uv_tcp_nodelay(&p->tcp, 1);
    if (s->o.says)
        buf_put(&p->out, s->o.says, s->o.n_says);
    else
        start_h2(p);
    if (!s->o.no_reading) uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read);
    pump(p);
}

struct h2_server *h2_open(struct loop *l, const struct h2_options *o, int *port)
{
    struct h2_server *s = calloc(1, sizeof *s);
    s->loop = l;
    if (o) s->o = *o;
    buf_init(&s->state.seen, 1u << 20);
    buf_init(&s->state.body, 16u << 20);
    struct sockaddr_in at;
    uv_ip4_addr("127.0.0.1", *port, &at);
    uv_tcp_init(loop_uv(l), &s->tcp);
    s->tcp.data = s;
    s->tcp_open = true;
    if (uv_tcp_bind(&s->tcp, (const struct sockaddr *)&at, 0) ||
        uv_listen((uv_stream_t *)&s->tcp, 64, on_connection)) {
        fprintf(stderr, "h2_open: cannot listen\n");
        exit(1);
    }
    int n = sizeof at;
    uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&at, &n);
    *port = (at.sin_port >> 8 | (at.sin_port & 0xFF) << 8) & 0xFFFF;
    return s;
}
