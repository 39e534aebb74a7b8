/* Answers: whole ones, and streams that are fed from outside through a bounded buffer. */
#include "http/problem.h"
#include "http/server_internal.h"

#include <stdio.h>
#include <unistd.h>

#define STREAM_BLOCK 2048 /* of the library's own buffer, for HTTP/1.0 only */

static void free_body(void *p)
{
    mem_free(p);
}

static enum problem_kind kind_of(int status)
{
    return status == 413   ? PROBLEM_TOO_LARGE
           : status == 503 ? PROBLEM_UNAVAILABLE
           : status == 400 ? PROBLEM_BAD_REQUEST
                           : PROBLEM_COUNT;
}

/* A refusal of this layer, as problem details (RFC 9457). NULL: no memory, then the connection
 * closes without a word. */
struct MHD_Response *server_problem(int status, const char *why)
{
    struct buf b;
    struct problem p = {.kind = kind_of(status), .detail = str_of(why ? why : "")};
    buf_init(&b, 2000);
    if (p.kind != PROBLEM_COUNT) {
        problem_write(&p, &b);
    } else {
        buf_puts(&b, "{\"detail\":");
        buf_put_json(&b, p.detail);
        buf_printf(&b, ",\"status\":%d,\"title\":\"%s\",\"type\":\"about:blank\"}", status,
                   status == 417 ? "Expectation Failed" : "Request Header Fields Too Large");
    }
    size_t n = 0;
    char *text = b.code ? NULL : buf_take(&b, &n);
    buf_free(&b);
    if (!text) return NULL;
    struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback(n, text, free_body);
    if (!r) {
        mem_free(text);
        return NULL;
    }
    MHD_add_response_header(r, "Content-Type", HTTP_PROBLEM_JSON);
    MHD_add_response_header(r, "Connection", "close");
    return r;
}

static bool ours(struct str name)
{
    static const char *const names[] = {"content-length", "transfer-encoding", "connection", "date",
                                        "keep-alive",     "upgrade",           "trailer"};
    char low[20];
    if (name.n >= sizeof low) return false;
    for (size_t i = 0; i < name.n; i++)
        low[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] - 'A' + 'a' : name.p[i]);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eqz(str_make(low, name.n), names[i])) return true;
    return false;
}

static int add_headers(struct request *r, struct MHD_Response *m, const struct http_answer *a,
                       struct err *e)
{
    for (size_t i = 0; i < a->n_headers; i++) {
        struct str name = a->headers[i].name, value = a->headers[i].value;
        if (!http_header_name_ok(name) || !value.n || !http_header_value_ok(value))
            return err_set(e, ERR_ARG, "the header '%.60s' of the answer cannot be sent",
                           name.p ? name.p : "");
        if (ours(name))
            return err_set(e, ERR_ARG, "the header '%.60s' is set by the server itself", name.p);
        struct arena *keep = &r->arena;
        struct str n = arena_str(keep, name), v = arena_str(keep, value);
        if (arena_failed(keep)) return err_set(e, ERR_NOMEM, "no memory for an answer");
        if (MHD_add_response_header(m, n.p, v.p) != MHD_YES)
            return err_set(e, ERR_NOMEM, "no memory for the header '%.60s'", name.p);
    }
    /* Where a chunked body's lines are read leniently, nothing that stands behind it is read. */
    if ((a->close || r->chunked || r->s->draining) &&
        MHD_add_response_header(m, "Connection", "close") != MHD_YES)
        return err_set(e, ERR_NOMEM, "no memory for an answer");
    return 0;
}

static struct request *to_answer(struct http_server *s, uint64_t id, const struct http_answer *a,
                                 int *code, struct err *e)
{
    struct request *r = idmap_get(&s->ids, id);
    if (!r || r->answered || r->killed || !r->conn) {
        *code = err_set(e, ERR_STALE, "the request has its answer, or has ended");
        return NULL;
    }
    if (a->status < 200 || a->status > 599) {
        *code = err_set(e, ERR_ARG, "%d is not the status of an answer (200 to 599)", a->status);
        return NULL;
    }
    return r;
}

static int go(struct request *r, struct MHD_Response *m, const struct http_answer *a, struct err *e)
{
    int code = add_headers(r, m, a, e);
    if (code < 0) {
        MHD_destroy_response(m);
        return code;
    }
    r->response = m;
    r->status = a->status;
    r->answered = true;
    r->s->counts.answered++;
    server_resume(r);
    return 0;
}

/* A file is read while it is sent: however many slow readers it has, it takes no memory. */
static int answer_file(struct http_server *s, uint64_t id, const struct http_answer *a,
                       struct err *e)
{
    int code = 0;
    struct request *r = to_answer(s, id, a, &code, e);
    struct MHD_Response *m = r ? MHD_create_response_from_fd64(a->file_size, a->file) : NULL;
    if (!m) close(a->file);
    if (!r) return code;
    return m ? go(r, m, a, e) : err_set(e, ERR_NOMEM, "no memory for an answer");
}

int http_server_answer(struct http_server *s, uint64_t id, const struct http_answer *a,
                       struct err *e)
{
    int code = 0;
    if (a->file > 0) return answer_file(s, id, a, e);
    struct request *r = to_answer(s, id, a, &code, e);
    if (!r) return code;
    char *body = mem_dup(a->body.p ? a->body.p : "", a->body.n);
    struct MHD_Response *m =
        body ? MHD_create_response_from_buffer_with_free_callback(a->body.n, body, free_body)
             : NULL;
    if (!m) {
        mem_free(body);
        return err_set(e, ERR_NOMEM, "no memory for an answer");
    }
    return go(r, m, a, e);
}

/* ---- streams ---- */

static ssize_t read_stream(void *cls, uint64_t pos, char *to, size_t max)
{
    struct request *r = cls;
    size_t left = r->out.n - r->out_at;
    (void)pos;
    if (r->killed || (r->finished && r->cut)) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (left) {
        size_t n = left < max ? left : max;
        memcpy(to, r->out.p + r->out_at, n);
        r->out_at += n;
        if (r->out_at == r->out.n) {
            if (r->out.cap > 4096) /* a listener that rests keeps little */
                buf_free(&r->out);
            else
                buf_reset(&r->out);
            r->out_at = 0;
        }
        if (r->want_room && !r->room_due && r->out.n - r->out_at <= r->out.max / 2) {
            r->room_due = true;
            r->next_room = r->s->room;
            r->s->room = r;
        }
        return (ssize_t)n;
    }
    if (r->finished) return MHD_CONTENT_READER_END_OF_STREAM;
    r->suspended = true;
    MHD_suspend_connection(r->conn);
    return 0;
}

int http_server_stream(struct http_server *s, uint64_t id, const struct http_answer *head,
                       struct err *e)
{
    int code = 0;
    struct request *r = to_answer(s, id, head, &code, e);
    if (!r) return code;
    struct MHD_Response *m =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, r, NULL);
    if (!m) return err_set(e, ERR_NOMEM, "no memory for an answer");
    r->stream = true;
    r->no_body = str_eqz(r->in.method, "HEAD") || head->status == 204 || head->status == 304;
    code = go(r, m, head, e);
    if (code < 0) r->stream = false;
    return code;
}

int http_server_push(struct http_server *s, uint64_t id, struct str bytes)
{
    struct request *r = idmap_get(&s->ids, id);
    if (!r || !r->stream || r->finished || r->killed) return ERR_STALE;
    if (bytes.n > r->out.max) return ERR_LIMIT;
    if (!bytes.n || r->no_body) return 0;
    if (r->out.n - r->out_at + bytes.n > r->out.max) {
        r->want_room = true;
        return ERR_BUSY;
    }
    if (r->out_at) {
        memmove(r->out.p, r->out.p + r->out_at, r->out.n - r->out_at);
        r->out.n -= r->out_at;
        r->out_at = 0;
    }
    if (buf_putstr(&r->out, bytes) < 0) {
        r->out.code = 0; /* what was there still goes out */
        return ERR_NOMEM;
    }
    if (!r->response) server_resume(r);
    return 0;
}

int http_server_finish(struct http_server *s, uint64_t id, bool complete)
{
    struct request *r = idmap_get(&s->ids, id);
    if (!r || !r->stream || r->finished) return ERR_STALE;
    r->finished = true;
    r->cut = !complete;
    if (!r->response) server_resume(r);
    return 0;
}

/* ---- server-sent events ---- */

static bool one_line(struct str s)
{
    return !s.n || (!memchr(s.p, '\n', s.n) && !memchr(s.p, '\r', s.n));
}

int http_sse_event(struct buf *out, struct str event, struct str data, struct str id)
{
    if (!one_line(event) || !one_line(id) || (id.n && memchr(id.p, 0, id.n))) return ERR_ARG;
    if (id.p) buf_printf(out, "id: " STR_FMT "\n", STR_ARG(id));
    if (event.n) buf_printf(out, "event: " STR_FMT "\n", STR_ARG(event));
    for (size_t from = 0; from <= data.n;) { /* CR LF, LF and CR end a line alike */
        size_t to = from;
        while (to < data.n && data.p[to] != '\n' && data.p[to] != '\r')
            to++;
        buf_puts(out, "data: ");
        buf_put(out, data.p ? data.p + from : "", to - from);
        buf_putc(out, '\n');
        from = to + (to + 1 < data.n && data.p[to] == '\r' && data.p[to + 1] == '\n' ? 2 : 1);
    }
    buf_putc(out, '\n');
    return out->code;
}

void http_sse_comment(struct buf *out, struct str text)
{
    if (one_line(text)) buf_printf(out, ": " STR_FMT "\n\n", STR_ARG(text));
}
