/* Frames on a Unix socket: a 4-byte big-endian length and that many bytes of JSON, 16 MiB at most.
 * Keeps true: nothing is freed under a callback's feet, and a peer that breaks the protocol or
 * reads too slowly is let go. */
#include "base/mem.h"
#include "host/host_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void want(struct conn *c)
{
    loop_io_want(c->io, LOOP_READ | (c->out.n > c->out_at ? LOOP_WRITE : 0));
}

static void destroy(struct conn *c)
{
    if (c->io) loop_io_close(c->io);
    if (c->fd >= 0) close(c->fd);
    buf_free(&c->in);
    buf_free(&c->out);
    mem_free(c);
}

void conn_free(struct conn *c)
{
    c->on_closed = NULL;
    c->on_frame = NULL;
    c->dead = true;
    if (!c->busy) destroy(c);
}

static int flush_out(struct conn *c)
{
    while (c->out_at < c->out.n) {
        ssize_t n =
            send(c->fd, c->out.p + c->out_at, c->out.n - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
        if (n <= 0) return ERR_CLOSED;
        c->out_at += (size_t)n;
    }
    buf_reset(&c->out);
    c->out_at = 0;
    return 0;
}

/* A peer of another version gets to know why it is let go. */
static void tell_version(struct conn *c)
{
    char text[120];
    cJSON *f = cJSON_CreateObject();
    snprintf(text, sizeof text,
             "the owner of the file speaks version %d of the protocol: use the same moonloop",
             HOST_PROTOCOL);
    if (f && !cJSON_AddStringToObject(f, "error", text)) f->type = cJSON_Invalid;
    if (conn_send(c, f) == 0) flush_out(c); /* the connection ends before the next turn */
}

/* Hands out whole frames; what is left stays at the front. */
static int take_frames(struct conn *c)
{
    size_t at = 0;
    while (!c->dead && c->in.n - at >= 4) {
        const uint8_t *p = (const uint8_t *)c->in.p + at;
        size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (n > HOST_FRAME_MAX) return ERR_PROTO;
        if (c->in.n - at - 4 < n) break;
        cJSON *j = cJSON_ParseWithLength(c->in.p + at + 4, n);
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, "v");
        if (!cJSON_IsNumber(v) || v->valueint != HOST_PROTOCOL) {
            if (cJSON_IsNumber(v)) tell_version(c);
            cJSON_Delete(j);
            return ERR_PROTO;
        }
        if (c->on_frame) c->on_frame(c->ud, j);
        cJSON_Delete(j);
        at += 4 + n;
    }
    if (at && !c->dead) {
        memmove(c->in.p, c->in.p + at, c->in.n - at);
        c->in.n -= at;
    }
    return 0;
}

static int read_in(struct conn *c)
{
    char chunk[65536];
    for (int i = 0; i < 16; i++) {
        ssize_t n = recv(c->fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
        if (n <= 0) return ERR_CLOSED;
        if (buf_put(&c->in, chunk, (size_t)n)) return ERR_LIMIT;
        int rc = take_frames(c);
        if (rc || c->dead) return rc;
    }
    return 0;
}

static void on_io(void *ud, int events, int error)
{
    struct conn *c = ud;
    int rc = error ? ERR_IO : 0;
    c->busy = true;
    if (rc == 0 && (events & LOOP_READ)) rc = read_in(c);
    if (rc == 0 && !c->dead && (events & LOOP_WRITE)) rc = flush_out(c);
    if (rc == 0 && !c->dead) want(c);
    if (rc && !c->dead) {
        c->dead = true;
        if (c->on_closed) c->on_closed(c->ud);
    }
    c->busy = false;
    if (c->dead) destroy(c);
}

int conn_new(struct loop *l, int fd, conn_frame_fn on_frame, conn_closed_fn on_closed, void *ud,
             struct conn **out)
{
    struct conn *c = mem_zalloc(sizeof *c);
    if (!c) return ERR_NOMEM;
    *c = (struct conn){.loop = l, .fd = fd, .on_frame = on_frame, .on_closed = on_closed, .ud = ud};
    buf_init(&c->in, HOST_FRAME_MAX + 4 + 65536);
    buf_init(&c->out, HOST_OUT_MAX);
    int rc = loop_io_open(l, fd, on_io, c, &c->io);
    if (rc) {
        mem_free(c);
        return rc;
    }
    want(c);
    *out = c;
    return 0;
}

void conn_hang_up(struct conn *c)
{
    shutdown(c->fd, SHUT_RDWR); /* the next turn reads the end */
}

int conn_send(struct conn *c, cJSON *frame)
{
    int rc = frame ? 0 : ERR_NOMEM;
    if (rc == 0 && !cJSON_AddNumberToObject(frame, "v", HOST_PROTOCOL)) rc = ERR_NOMEM;
    char *text = rc == 0 ? cJSON_PrintUnformatted(frame) : NULL;
    size_t n = text ? strlen(text) : 0;
    cJSON_Delete(frame);
    if (rc == 0 && !text) rc = ERR_NOMEM;
    if (rc == 0 && n > HOST_FRAME_MAX) rc = ERR_LIMIT;
    if (rc == 0 && c->dead) rc = ERR_CLOSED;
    if (rc == 0) {
        uint8_t head[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
        if (c->out_at > c->out.n / 2) { /* sent already: not counted as waiting */
            memmove(c->out.p, c->out.p + c->out_at, c->out.n - c->out_at);
            c->out.n -= c->out_at;
            c->out_at = 0;
        }
        size_t before = c->out.n;
        buf_put(&c->out, head, 4);
        rc = buf_put(&c->out, text, n);
        if (rc) { /* a peer that does not read: what it has not got yet stays whole frames */
            c->out.n = before;
            c->out.code = 0;
            rc = rc == ERR_LIMIT ? ERR_BUSY : rc;
        } else if (!c->busy) {
            if (flush_out(c) == 0) want(c); /* a broken connection is noticed by the next read */
        }
    }
    cJSON_free(text);
    return rc;
}
