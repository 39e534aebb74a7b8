/* One request from its first line to its end, as the library calls for it. Keeps true: nothing of
 * the owner's runs here but on_head, which only looks; a request is shown when it is whole, and its
 * connection then rests until there is an answer. */
#include "http/server_internal.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SWALLOW_MAX ((size_t)1 << 20) /* of a body that is refused already */

static void put_remote(struct request *r, struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char text[64] = "";
    char host[INET6_ADDRSTRLEN] = "";
    if (i && i->client_addr && i->client_addr->sa_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)i->client_addr;
        http_address_text(AF_INET, &a->sin_addr, host, sizeof host);
        snprintf(text, sizeof text, "%s:%d", host, ntohs(a->sin_port));
    } else if (i && i->client_addr && i->client_addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)(const void *)i->client_addr;
        http_address_text(AF_INET6, &a->sin6_addr, host, sizeof host);
        snprintf(text, sizeof text, "[%s]:%d", host, ntohs(a->sin6_port));
    }
    r->in.remote = arena_str(&r->arena, str_of(text));
}

/* The library would cut the query into arguments, each with some 70 bytes of the connection's pool:
 * one of a few hundred would end the connection without an answer. It gets an empty one; the bytes
 * are its own, and our copy is made. */
static void hide_query(const char *uri)
{
    char *mark = (char *)(uintptr_t)strchr(uri, '?');
    if (mark) mark[1] = 0; /* behind a '?' at the end this is what stands there */
}

void *server_on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
    struct http_server *s = cls;
    struct request *r = mem_zalloc(sizeof *r);
    if (!r) return NULL;
    r->s = s;
    r->conn = conn;
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    r->link = i ? i->socket_context : NULL;
    arena_init(&r->arena, 1u << 20);
    r->raw_uri = uri;
    r->target = arena_str(&r->arena, str_of(uri ? uri : ""));
    if (uri) hide_query(uri);
    r->in.tls = s->cert != NULL;
    r->body_max = s->o.body_max;
    put_remote(r, conn);
    buf_init(&r->out, s->o.stream_max);
    if (arena_failed(&r->arena)) {
        r->refuse = 503;
        r->why = "there is no memory for this request";
    }
    r->next = s->active;
    if (r->next) r->next->prev = r;
    s->active = r;
    return r;
}

void server_request_free(struct request *r)
{
    r->s->counts.body_bytes -= r->body_counted;
    if (r->response) MHD_destroy_response(r->response);
    buf_free(&r->body);
    buf_free(&r->out);
    arena_free(&r->arena);
    mem_free(r);
}

static mhd_result refuse_now(struct request *r)
{
    struct MHD_Response *p = server_problem(r->refuse, r->why);
    r->s->counts.refused++;
    if (!p) return MHD_NO;
    mhd_result rc = MHD_queue_response(r->conn, (unsigned)r->refuse, p);
    MHD_destroy_response(p);
    r->answered = true;
    return rc;
}

static void give_back_body(struct request *r)
{
    r->s->counts.body_bytes -= r->body_counted;
    r->body_counted = 0;
    buf_free(&r->body);
}

/* A piece of the body. What is refused already is read on for a while, so that the peer, which is
 * still writing, gets to its answer. */
static mhd_result take_body(struct request *r, const char *p, size_t n)
{
    struct http_server *s = r->s;
    r->body_started = true;
    r->in.body.n += n; /* counts while it is read */
    if (!r->refuse && (r->over || r->in.body.n > r->body_max)) {
        r->refuse = 413;
        r->why = "the body is larger than this resource takes";
        give_back_body(r);
    }
    if (!r->refuse && s->counts.body_bytes + n > s->o.bodies_max) {
        r->refuse = 503;
        r->why = "too many large requests are being read; try again later";
        give_back_body(r);
    }
    if (r->refuse) return r->in.body.n > r->body_max + SWALLOW_MAX ? MHD_NO : MHD_YES;
    if (buf_put(&r->body, p, n) < 0) {
        r->refuse = 503;
        r->why = "there is no memory for this request";
        give_back_body(r);
        return MHD_YES;
    }
    r->body_counted += n;
    s->counts.body_bytes += n;
    return MHD_YES;
}

static mhd_result show(struct request *r)
{
    struct http_server *s = r->s;
    if (r->chunked) server_check_trailers(r);
    if (r->over && !r->refuse) {
        r->refuse = 413;
        r->why = "the body is larger than this resource takes";
    }
    if (!r->refuse && !(r->in.id = idmap_add(&s->ids, r))) {
        r->refuse = 503;
        r->why = "there is no memory for this request";
    }
    if (r->refuse) return refuse_now(r);
    r->in.body = buf_str(&r->body);
    r->shown = true;
    s->counts.requests++;
    s->counts.accepted++;
    if (s->shown_last)
        s->shown_last->next_shown = r;
    else
        s->shown_first = r;
    s->shown_last = r;
    if (r->link) server_state(r->link, LINK_BUSY);
    r->suspended = true;
    MHD_suspend_connection(r->conn);
    return MHD_YES;
}

mhd_result server_on_request(void *cls, struct MHD_Connection *conn, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_n, void **con_cls)
{
    struct request *r = *con_cls;
    (void)cls;
    (void)conn;
    (void)url;
    if (!r || r->killed || r->s->closing) return MHD_NO;
    if (r->answered && !r->response) return MHD_YES; /* it was refused */
    if (!r->head_seen) {
        r->head_seen = true;
        if (r->link) server_state(r->link, LINK_BODY);
        server_check_head(r, method, version);
        buf_init(&r->body, r->body_max ? r->body_max : 1);
        return r->refuse && !(r->over && r->refuse == 0) ? refuse_now(r) : MHD_YES;
    }
    if (*upload_n) {
        size_t n = *upload_n;
        *upload_n = 0;
        return take_body(r, upload, n);
    }
    if (!r->shown) return show(r);
    if (!r->response) { /* woken for nothing */
        r->suspended = true;
        MHD_suspend_connection(r->conn);
        return MHD_YES;
    }
    mhd_result rc = MHD_queue_response(r->conn, (unsigned)r->status, r->response);
    MHD_destroy_response(r->response);
    r->response = NULL;
    return rc;
}

void server_on_completed(void *cls, struct MHD_Connection *conn, void **con_cls,
                         enum MHD_RequestTerminationCode toe)
{
    struct http_server *s = cls;
    struct request *r = *con_cls;
    (void)conn;
    if (!r) return;
    *con_cls = NULL;
    r->conn = NULL;
    r->suspended = false;
    r->complete = toe == MHD_REQUEST_TERMINATED_COMPLETED_OK && r->answered && !r->killed &&
                  (!r->stream || (r->finished && !r->cut) || r->no_body);
    if (r->link) {
        r->link->used = true;
        server_state(r->link, LINK_HEAD);
        r->link = NULL;
    }
    if (r->prev)
        r->prev->next = r->next;
    else
        s->active = r->next;
    if (r->next) r->next->prev = r->prev;
    if (r->in.id) idmap_del(&s->ids, r->in.id);
    if (r->shown) s->counts.requests--;
    r->prev = NULL;
    r->ended = true;
    r->next = s->ended;
    s->ended = r;
}

void server_on_connection(void *cls, struct MHD_Connection *conn, void **socket_context,
                          enum MHD_ConnectionNotificationCode toe)
{
    struct http_server *s = cls;
    struct link *l = *socket_context;
    if (toe == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *i =
            MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
        l = mem_zalloc(sizeof *l);
        if (!l) { /* without its clock it may not stay */
            if (i) shutdown(i->connect_fd, SHUT_RDWR);
            return;
        }
        l->s = s;
        l->fd = i ? i->connect_fd : -1;
        l->since_ns = clock_mono(loop_clock(s->loop));
        l->next = s->links;
        if (l->next) l->next->prev = l;
        s->links = l;
        s->counts.connections++;
        *socket_context = l;
        return;
    }
    if (!l) return;
    *socket_context = NULL;
    if (l->prev)
        l->prev->next = l->next;
    else
        s->links = l->next;
    if (l->next) l->next->prev = l->prev;
    s->counts.connections--;
    mem_free(l);
}

void server_state(struct link *l, enum link_state state)
{
    l->state = state;
    l->since_ns = clock_mono(loop_clock(l->s->loop));
}

void server_resume(struct request *r)
{
    if (!r->suspended || !r->conn) return;
    r->suspended = false;
    r->s->resumed = true;
    MHD_resume_connection(r->conn);
    server_wake(r->s);
}

void server_kill(struct request *r)
{
    if (r->killed || !r->conn) return;
    r->killed = true;
    if (r->link) shutdown(r->link->fd, SHUT_RDWR);
    server_resume(r);
}
