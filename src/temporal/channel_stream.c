/* A call's stream, as nghttp2 tells of it. The callbacks only write down what came; calls end from
 * on_stream_close (or with their connection) and owners are told by channel_turn. A stream whose
 * call was cancelled has no call any more: what still comes for it is dropped. */
#include "temporal/channel_internal.h"
#include <stdio.h>

/* ---- what comes ---- */

static struct chan_call *call_of(nghttp2_session *h2, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(h2, stream);
}

static void spoil(struct chan_call *call, const struct err *e)
{
    if (!call->broken.code) call->broken = *e;
}

static void take_header(struct chan_call *call, struct str name, struct str value)
{
    call->header_bytes += name.n + value.n + 32;
    if (call->header_bytes > CHANNEL_HEADERS_MAX) {
        struct err e;
        err_set(&e, ERR_LIMIT, "the headers of the reply are larger than 1 MiB");
        spoil(call, &e);
        return;
    }
    if (str_eqz(name, ":status")) {
        call->http_status = grpc_status_parse(value); /* three digits */
    } else if (str_eqz(name, "content-type")) {
        call->bad_type = !str_starts(value, STR("application/grpc"));
    } else if (str_eqz(name, "grpc-status")) {
        call->grpc_status = grpc_status_parse(value);
    } else if (str_eqz(name, "grpc-message")) {
        buf_reset(&call->text);
        grpc_percent_decode(value, &call->text);
    } else if (str_eqz(name, "grpc-status-details-bin")) {
        buf_reset(&call->details);
        if (base64_decode(value, &call->details)) buf_reset(&call->details);
    }
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name,
                     size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags, void *ud)
{
    (void)flags;
    (void)ud;
    struct chan_call *call = f->hd.type == NGHTTP2_HEADERS ? call_of(h2, f->hd.stream_id) : NULL;
    if (call) take_header(call, str_make(name, n_name), str_make(value, n_value));
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *p, size_t n,
                   void *ud)
{
    (void)flags;
    (void)ud;
    struct chan_call *call = call_of(h2, stream);
    if (!call || call->broken.code) return 0;
    struct err e;
    if (call->http_status != 200 || call->bad_type) return 0; /* some page of some proxy */
    if (grpc_reader_feed(&call->reader, p, n, &e)) {
        spoil(call, &e);
        nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    }
    return 0;
}

/* A server may answer before it has taken the whole request, and then takes no more of it. */
static void stop_sending(nghttp2_session *h2, int32_t stream)
{
    struct chan_call *call = call_of(h2, stream);
    if (call && call->sent_at < GRPC_FRAME_HEAD + call->message.n)
        nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, stream, NGHTTP2_NO_ERROR);
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *ud)
{
    struct chan_conn *k = ud;
    if ((f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
        f->hd.flags & NGHTTP2_FLAG_END_STREAM)
        stop_sending(h2, f->hd.stream_id);
    if (f->hd.type == NGHTTP2_SETTINGS && !(f->hd.flags & NGHTTP2_FLAG_ACK)) {
        k->streams_max =
            nghttp2_session_get_remote_settings(h2, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
        if (k->state == CONN_SETTINGS) {
            k->state = CONN_UP;
            k->was_up = true;
            k->c->ups++;
            k->c->lanes[k->lane].fails = 0;
            loop_timer_start(k->timer, k->c->o.ping_ns);
        }
    } else if (f->hd.type == NGHTTP2_GOAWAY) {
        if (k->state == CONN_UP || k->state == CONN_SETTINGS) k->state = CONN_DRAINING;
        size_t n = f->goaway.opaque_data_len;
        if (n >= sizeof k->goaway) n = sizeof k->goaway - 1;
        for (size_t i = 0; i < n; i++) {
            uint8_t b = f->goaway.opaque_data[i];
            k->goaway[i] = b >= 0x20 && b < 0x7F ? (char)b : '?';
        }
        k->goaway[n] = '\0';
    }
    return 0;
}

static int on_frame_sent(nghttp2_session *h2, const nghttp2_frame *f, void *ud)
{
    (void)ud;
    struct chan_call *call = f->hd.type == NGHTTP2_HEADERS ? call_of(h2, f->hd.stream_id) : NULL;
    if (call) call->headers_sent = true;
    return 0;
}

static void part(struct chan_call *call)
{
    chan_list_remove(call);
    call->conn = NULL;
    call->stream = 0;
}

/* The server's word for it that it did nothing: the stream can simply be sent again. */
static bool again(struct chan_call *call)
{
    if (call->http_status >= 0 || call->resends >= CHANNEL_RESENDS) return false;
    call->resends++;
    part(call);
    chan_again(call);
    return true;
}

static bool has_reply(const struct chan_call *call)
{
    return call->grpc_status >= 0 || call->broken.code || call->http_status > 0;
}

static int on_close(nghttp2_session *h2, int32_t stream, uint32_t error, void *ud)
{
    struct chan_conn *k = ud;
    struct chan_call *call = call_of(h2, stream);
    if (k->streams) k->streams--;
    if (!call) return 0;
    bool untouched = error == NGHTTP2_REFUSED_STREAM || !call->headers_sent;
    if (untouched && again(call)) return 0;
    part(call);
    if (call->grpc_status >= 0 || call->broken.code || grpc_reader_complete(&call->reader) ||
        (has_reply(call) && error == NGHTTP2_NO_ERROR)) {
        chan_end_reply(call);
        return 0;
    }
    bool late = call->deadline_ns && channel_now(call->c) >= call->deadline_ns;
    chan_end(call, late ? STATUS_DEADLINE_EXCEEDED : grpc_status_of_reset(error), false,
             "%s reset the stream before the reply was complete (%s%s%s)", channel_target(call->c),
             nghttp2_http2_strerror(error), k->goaway[0] ? ", " : "", k->goaway);
    call->reply.unsent = untouched;
    return 0;
}

void stream_lost(struct chan_call *call)
{
    struct chan_conn *k = call->conn;
    if (!call->headers_sent && again(call)) return;
    part(call);
    if (call->grpc_status >= 0 || call->broken.code || grpc_reader_complete(&call->reader)) {
        chan_end_reply(call);
        return;
    }
    bool unsent = !call->headers_sent;
    chan_end(call, k->why.code == ERR_NOMEM ? STATUS_RESOURCE_EXHAUSTED : STATUS_UNAVAILABLE,
             k->hopeless, "%s: %s", channel_target(call->c), k->why.text);
    call->reply.unsent = unsent;
}

/* ---- what goes ---- */

static ssize_t on_read(nghttp2_session *h2, int32_t stream, uint8_t *to, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *ud)
{
    (void)source;
    (void)ud;
    struct chan_call *call = call_of(h2, stream);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* cancelled: nothing to read any more */
    unsigned char head[GRPC_FRAME_HEAD];
    size_t done = 0, all = GRPC_FRAME_HEAD + call->message.n;
    grpc_frame_head(head, call->message.n);
    while (done < room && call->sent_at < GRPC_FRAME_HEAD)
        to[done++] = head[call->sent_at++];
    size_t n = all - call->sent_at < room - done ? all - call->sent_at : room - done;
    if (n) memcpy(to + done, call->message.p + (call->sent_at - GRPC_FRAME_HEAD), n);
    call->sent_at += n;
    if (call->sent_at == all) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)(done + n);
}

static nghttp2_nv pair(struct str name, struct str value, bool secret)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n,
                        value.n, secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
}

static bool own_header(const struct chan_call *call, struct str name)
{
    for (size_t i = 0; i < call->n_headers; i++)
        if (str_eq(call->headers[i].name, name)) return true;
    return false;
}

/* Binary values travel in base64, without padding as other gRPC clients write it. */
static struct str wire_value(struct arena *a, const struct channel_header *h)
{
    if (!grpc_header_is_binary(h->name)) return h->value;
    struct buf b;
    buf_init(&b, 64u << 10);
    buf_put_base64(&b, h->value);
    while (b.n && b.p[b.n - 1] == '=')
        b.n--;
    struct str s = b.code ? (struct str){NULL, 0} : arena_str(a, buf_str(&b));
    buf_free(&b);
    return s;
}

static size_t add_headers(struct arena *a, nghttp2_nv *nv, size_t n, const struct channel_header *h,
                          size_t n_h, const struct chan_call *over)
{
    for (size_t i = 0; i < n_h; i++) {
        if (over && own_header(over, h[i].name)) continue; /* the call's wins */
        struct str v = wire_value(a, &h[i]);
        if (!v.p) a->failed = true;
        nv[n++] = pair(h[i].name, v, str_eqz(h[i].name, "authorization"));
    }
    return n;
}

static int submit(struct chan_conn *k, struct chan_call *call, struct arena *a)
{
    struct channel *c = k->c;
    char timeout[GRPC_TIMEOUT_MAX];
    nghttp2_nv *nv = arena_alloc(a, (9 + c->n_headers + call->n_headers) * sizeof *nv);
    if (!nv) return ERR_NOMEM;
    size_t n = 0;
    nv[n++] = pair(STR(":method"), STR("POST"), false);
    nv[n++] = pair(STR(":scheme"), c->tls ? STR("https") : STR("http"), false);
    nv[n++] = pair(STR(":authority"), str_of(c->authority), false);
    nv[n++] = pair(STR(":path"), call->path, false);
    nv[n++] = pair(STR("content-type"), STR("application/grpc"), false);
    nv[n++] = pair(STR("te"), STR("trailers"), false);
    if (call->deadline_ns) {
        grpc_timeout(call->deadline_ns - channel_now(c), timeout);
        nv[n++] = pair(STR("grpc-timeout"), str_of(timeout), false);
    }
    struct channel_header ns = {STR("temporal-namespace"), call->ns};
    if (call->ns.n) {
        bool users = own_header(call, ns.name);
        for (size_t i = 0; i < c->n_headers && !users; i++)
            users = str_eq(c->headers[i].name, ns.name);
        if (!users) n = add_headers(a, nv, n, &ns, 1, NULL);
    }
    n = add_headers(a, nv, n, c->headers, c->n_headers, call);
    n = add_headers(a, nv, n, call->headers, call->n_headers, NULL);
    if (arena_failed(a)) return ERR_NOMEM;
    nghttp2_data_provider body = {.read_callback = on_read};
    int32_t id = nghttp2_submit_request(k->h2, NULL, nv, n, &body, call);
    if (id == NGHTTP2_ERR_NOMEM) return ERR_NOMEM;
    if (id < 0) return ERR_CLOSED;
    call->stream = id;
    return 0;
}

int stream_open(struct chan_conn *k, struct chan_call *call)
{
    struct arena a;
    arena_init(&a, 0);
    call->sent_at = 0;
    call->headers_sent = false;
    int rc = submit(k, call, &a);
    arena_free(&a);
    if (rc) return rc;
    k->streams++;
    call->conn = k;
    chan_list_add(&k->calls, call);
    return 0;
}

void stream_drop(struct chan_call *call)
{
    struct chan_conn *k = call->conn;
    if (!k) return;
    nghttp2_session_set_stream_user_data(k->h2, call->stream, NULL);
    nghttp2_submit_rst_stream(k->h2, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
    part(call);
}

/* ---- the session ---- */

static void *h2_malloc(size_t n, void *ud)
{
    (void)ud;
    return mem_alloc(n);
}
static void h2_free(void *p, void *ud)
{
    (void)ud;
    mem_free(p);
}
static void *h2_calloc(size_t n, size_t size, void *ud)
{
    (void)ud;
    return size && n > SIZE_MAX / size ? NULL : mem_zalloc(n * size);
}
static void *h2_realloc(void *p, size_t n, void *ud)
{
    (void)ud;
    return mem_realloc(p, n ? n : 1);
}

int stream_session(struct chan_conn *k, struct err *e)
{
    nghttp2_mem mem = {NULL, h2_malloc, h2_free, h2_calloc, h2_realloc};
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *option = NULL;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, CHANNEL_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, CHANNEL_HEADERS_MAX}};
    int rc = nghttp2_session_callbacks_new(&cb);
    if (rc == 0) rc = nghttp2_option_new(&option);
    if (rc == 0) {
        /* a message that ends with a blank is a good grpc-message */
        nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option, 1);
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
        nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
        rc = nghttp2_session_client_new3(&k->h2, cb, k, option, &mem);
    }
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(option);
    if (rc == 0)
        rc = nghttp2_submit_settings(k->h2, NGHTTP2_FLAG_NONE, settings,
                                     sizeof settings / sizeof settings[0]);
    if (rc == 0)
        rc = nghttp2_session_set_local_window_size(k->h2, NGHTTP2_FLAG_NONE, 0, CHANNEL_WINDOW);
    return rc ? err_set(e, ERR_NOMEM, "out of memory for a connection") : 0;
}
