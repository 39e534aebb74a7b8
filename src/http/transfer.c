/* One request: its checked copy, the easy handle, what curl's callbacks collect, redirects and the
 * kind of failure. Redirects are followed here and not by curl, so that secrets never go to another
 * origin. Called by client.c. */
#include "client_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int transfer_copy(struct http_transfer *t, const struct http_request *r, struct err *e)
{
    arena_init(&t->arena, HTTP_REQUEST_MAX + (4u << 20));
    buf_init(&t->head, HTTP_HEADERS_MAX);
    t->req = *r;
    t->streaming = r->stream;
    t->redirects_left = r->redirects < 0 ? HTTP_REDIRECTS : r->redirects;
    t->limit = r->max_bytes ? r->max_bytes : r->stream ? SIZE_MAX : HTTP_BODY_MAX;
    int64_t total = r->timeout_ns > 0 ? r->timeout_ns : (r->stream ? 600 : 60) * NS_PER_S;
    t->due_ns = clock_mono(loop_clock(t->c->loop)) + total;
    buf_init(&t->data, r->stream ? HTTP_STREAM_BUFFER + (64u << 10) : t->limit);
    if (!http_header_name_ok(r->method) || r->method.n > 32)
        return err_set(e, ERR_ARG, "'" STR_FMT "' is not an HTTP method", STR_ARG(r->method));
    if (r->body.n > HTTP_REQUEST_MAX)
        return err_set(e, ERR_LIMIT, "the request body is larger than 64 MiB");
    if (r->n_headers > HTTP_HEADER_COUNT_MAX)
        return err_set(e, ERR_LIMIT, "more than 500 request headers");
    for (size_t i = 0; i < r->url.n; i++)
        if ((unsigned char)r->url.p[i] <= 0x20 || r->url.p[i] == 0x7F)
            return err_set(e, ERR_ARG, "the URL has a blank or control character (byte %zu)",
                           i + 1);
    t->headers = arena_alloc(&t->arena, (r->n_headers + 1) * sizeof *t->headers);
    for (size_t i = 0; t->headers && i < r->n_headers; i++) {
        const struct http_header *h = &r->headers[i];
        if (!http_header_name_ok(h->name))
            return err_set(e, ERR_ARG, "header name '" STR_FMT "' is not valid", STR_ARG(h->name));
        if (!http_header_value_ok(h->value))
            return err_set(e, ERR_ARG,
                           "the value of header '" STR_FMT
                           "' has a line break or control character",
                           STR_ARG(h->name));
        t->headers[i] = (struct http_header){arena_str(&t->arena, h->name),
                                             arena_str(&t->arena, h->value), h->secret};
        if (h->value.n == 0) t->headers[i].value = STR("");
    }
    t->req.headers = t->headers;
    t->method = arena_str(&t->arena, r->method);
    t->body = r->body.p ? arena_str(&t->arena, str_make(r->body.p, r->body.n)) : r->body;
    if (r->body.p && r->body.n == 0) t->body = STR("");
    t->req.ca_file = r->ca_file ? arena_str(&t->arena, str_of(r->ca_file)).p : NULL;
    struct buf url;
    buf_init(&url, 1u << 20);
    const char *hash = r->url.n ? memchr(r->url.p, '#', r->url.n) : NULL;
    struct str base = hash ? str_make(r->url.p, (size_t)(hash - r->url.p)) : r->url;
    buf_putstr(&url, base);
    if (r->query.n) {
        buf_putc(&url, base.n && memchr(base.p, '?', base.n) ? '&' : '?');
        buf_putstr(&url, r->query);
    }
    int code = url.code;
    t->url = buf_take(&url, NULL);
    buf_free(&url);
    if (code == ERR_LIMIT) return err_set(e, ERR_LIMIT, "the URL is longer than 1 MiB");
    if (code < 0 || !t->url || arena_failed(&t->arena))
        return err_set(e, ERR_NOMEM, "no memory for a request");
    return 0;
}

void transfer_free(struct http_transfer *t)
{
    if (t->easy) curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->list);
    buf_free(&t->head);
    buf_free(&t->data);
    mem_free(t->url);
    mem_free(t->out_headers);
    arena_free(&t->arena);
    mem_free(t);
}

static bool is_secret(const struct http_header *h)
{
    static const char *const names[] = {"authorization", "cookie", "proxy-authorization"};
    if (h->secret) return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (h->name.n == strlen(names[i]) && strncasecmp(h->name.p, names[i], h->name.n) == 0)
            return true;
    return false;
}

static bool named(const struct http_header *h, const char *name)
{
    return h->name.n == strlen(name) && strncasecmp(h->name.p, name, h->name.n) == 0;
}

static int add_line(struct http_transfer *t, const char *line)
{
    struct curl_slist *l = curl_slist_append(t->list, line);
    if (!l) return ERR_NOMEM;
    t->list = l;
    return 0;
}

static int set_headers(struct http_transfer *t)
{
    bool has_type = false;
    struct buf line;
    buf_init(&line, HTTP_HEADERS_MAX + 1024);
    curl_slist_free_all(t->list);
    t->list = NULL;
    int code = add_line(t, "Expect:");
    for (size_t i = 0; code == 0 && i < t->req.n_headers; i++) {
        const struct http_header *h = &t->headers[i];
        if (t->cross_origin && is_secret(h)) continue;
        if (named(h, "content-length") || named(h, "transfer-encoding"))
            continue; /* the body decides */
        if (!t->body.p && named(h, "content-type")) continue;
        if (named(h, "content-type")) has_type = true;
        buf_reset(&line);
        buf_putstr(&line, h->name);
        buf_puts(&line, h->value.n ? ": " : ";");
        buf_putstr(&line, h->value);
        code = line.code < 0 ? line.code : add_line(t, line.p);
    }
    if (code == 0 && t->body.p && !has_type) code = add_line(t, "Content-Type:");
    buf_free(&line);
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->list);
    return code;
}

/* ---- curl's callbacks: they note and return ---- */

static size_t on_header(char *p, size_t size, size_t n, void *ud)
{
    struct http_transfer *t = ud;
    n *= size;
    struct str l = str_make(p, n);
    while (l.n && (l.p[l.n - 1] == '\n' || l.p[l.n - 1] == '\r'))
        l.n--;
    if (t->begun) return n;                                        /* trailers */
    if (!t->in_head && l.n >= 5 && memcmp(l.p, "HTTP/", 5) == 0) { /* also after a 1xx */
        t->in_head = true;
        buf_reset(&t->head);
        t->n_head = 0;
        return n;
    }
    if (l.n == 0) t->in_head = false;
    const char *colon = l.n ? memchr(l.p, ':', l.n) : NULL;
    if (!colon) return n;
    struct str name = str_make(l.p, (size_t)(colon - l.p));
    if (memchr(name.p, 0, name.n)) return n; /* no name; a NUL ends one in `head` */
    struct str value = str_make(colon + 1, l.n - name.n - 1);
    while (value.n && (value.p[0] == ' ' || value.p[0] == '\t'))
        value = str_make(value.p + 1, value.n - 1);
    while (value.n && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
        value.n--;
    for (size_t i = 0; i < name.n; i++)
        buf_putc(&t->head,
                 (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]));
    buf_putc(&t->head, 0);
    for (size_t i = 0; i < value.n; i++)
        buf_putc(&t->head, value.p[i] ? value.p[i] : ' ');
    if (buf_putc(&t->head, 0) < 0 || ++t->n_head > HTTP_HEADER_COUNT_MAX) {
        t->head_over = t->head.code != ERR_NOMEM; /* for want of memory it may go well again */
        return 0;
    }
    return n;
}

static struct str header_get(const struct http_transfer *t, const char *name)
{
    const char *p = t->head.p, *end = p ? p + t->head.n : p;
    while (p < end) {
        const char *value = p + strlen(p) + 1;
        if (strcmp(p, name) == 0) return str_of(value);
        p = value + strlen(value) + 1;
    }
    return (struct str){NULL, 0};
}

static bool is_redirect(const struct http_transfer *t)
{
    bool code = t->status == 301 || t->status == 302 || t->status == 303 || t->status == 307 ||
                t->status == 308;
    return code && t->req.redirects != 0 && header_get(t, "location").n > 0;
}

static void begin_body(struct http_transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->status = (int)status;
    t->discard = is_redirect(t);
    t->begun = !t->discard;
    if (t->begun && t->streaming) client_due(t);
}

static size_t on_body(char *p, size_t size, size_t n, void *ud)
{
    struct http_transfer *t = ud;
    n *= size;
    if (t->refused) return 0; /* said before, while the stream was paused */
    if (!t->begun && !t->discard) begin_body(t);
    if (t->streaming && !t->discard && t->data.n && t->data.n + n > HTTP_STREAM_BUFFER) {
        t->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (n > t->limit - t->received) {
        t->over_limit = t->refused = true;
        return 0;
    }
    t->received += n;
    if (t->discard) return n;
    if (buf_put(&t->data, p, n) < 0) {
        t->over_limit = t->data.code == ERR_LIMIT;
        t->refused = true;
        return 0;
    }
    if (t->streaming) client_due(t);
    return n;
}

/* ---- set-up ---- */

static void set_method(struct http_transfer *t)
{
    CURL *h = t->easy;
    bool head = str_eqz(t->method, "HEAD");
    if (t->body.p && !head) {
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.n);
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, t->body.n ? t->body.p : "");
        curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, t->method.p);
    } else if (head) {
        curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
    } else if (str_eqz(t->method, "POST") || str_eqz(t->method, "PUT") ||
               str_eqz(t->method, "PATCH")) {
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0); /* Content-Length: 0 */
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, "");
        curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, t->method.p);
        add_line(t, "Content-Type:");
        curl_easy_setopt(h, CURLOPT_HTTPHEADER, t->list);
    } else {
        curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, str_eqz(t->method, "GET") ? NULL : t->method.p);
    }
}

static long ms_of(int64_t ns, int64_t dflt_ns)
{
    if (ns <= 0) ns = dflt_ns;
    int64_t ms = (ns + NS_PER_MS - 1) / NS_PER_MS;
    return (long)(ms > INT32_MAX ? INT32_MAX : ms);
}

static bool guarded(const struct http_transfer *t)
{
    return t->req.guard && !t->guard_off;
}

/* A program that is started meanwhile does not inherit the connection. */
static curl_socket_t on_open(void *ud, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct http_transfer *t = ud;
    (void)purpose;
    if (guarded(t)) {
        const char *what = http_guard_refuses(t->req.guard, &a->addr);
        if (what) {
            t->blocked = what;
            return CURL_SOCKET_BAD;
        }
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* Before the request goes out: a connection that was opened for another request has not passed
 * on_open for this one. */
static int on_connected(void *ud, char *ip, char *local, int port, int local_port)
{
    struct http_transfer *t = ud;
    struct sockaddr_storage a = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&a;
    (void)local, (void)local_port;
    if (!guarded(t)) return CURL_PREREQFUNC_OK;
    if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
    } else if (inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
    }
    const char *what = http_guard_refuses(t->req.guard, (struct sockaddr *)&a);
    if (what) t->blocked = what;
    return what ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* Asks the guard about the current URL's host as curl reads it. */
static int set_guard(struct http_transfer *t, struct err *e)
{
    char *host = NULL, *port = NULL;
    t->guard_off = false;
    t->blocked = NULL;
    if (!t->req.guard) return 0;
    if (t->req.proxy_from_env)
        return err_set(e, ERR_ARG, "a guarded request cannot use the environment's proxy");
    CURLU *u = curl_url();
    if (u && curl_url_set(u, CURLUPART_URL, t->url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        t->guard_off = http_guard_names(t->req.guard, str_of(host), atoi(port));
    if (host) curl_free(host);
    if (port) curl_free(port);
    curl_url_cleanup(u);
    curl_easy_setopt(t->easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(t->easy, CURLOPT_PREREQDATA, t);
    return 0;
}

int transfer_prepare(struct http_transfer *t, struct err *e)
{
    if (strncasecmp(t->url, "http://", 7) != 0 && strncasecmp(t->url, "https://", 8) != 0)
        return err_set(e, ERR_ARG, "only http:// and https:// URLs can be requested");
    if (!t->easy) t->easy = curl_easy_init();
    if (!t->easy) return err_set(e, ERR_NOMEM, "no memory for a request");
    CURL *h = t->easy;
    curl_easy_reset(h);
    CURLcode bad = curl_easy_setopt(h, CURLOPT_URL, t->url);
    curl_easy_setopt(h, CURLOPT_PRIVATE, t);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, t->curl_text);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(h, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    curl_easy_setopt(h, CURLOPT_USERAGENT, "moonloop/0.1");
    curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 2L);
    const char *ca = t->req.ca_file ? t->req.ca_file : t->c->ca_file;
    if (ca) {
        curl_easy_setopt(h, CURLOPT_CAINFO, ca);
        curl_easy_setopt(h, CURLOPT_CAPATH, NULL);
    }
    if (!t->req.proxy_from_env) curl_easy_setopt(h, CURLOPT_PROXY, "");
    curl_easy_setopt(h, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, ms_of(t->req.connect_timeout_ns, 10 * NS_PER_S));
    int64_t left = t->due_ns - clock_mono(loop_clock(t->c->loop));
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, ms_of(left, NS_PER_MS)); /* redirects share one total */
    curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
    if (t->limit < HTTP_REQUEST_MAX)
        curl_easy_setopt(h, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->limit);
    int code = set_guard(t, e);
    if (code < 0) return code;
    code = bad ? ERR_NOMEM : set_headers(t);
    if (code < 0) return err_set(e, code, "the request's headers could not be set");
    set_method(t);
    return 0;
}

/* ---- the end ---- */

void transfer_fail(struct http_transfer *t, const char *type, bool retryable, const char *text)
{
    t->failure.type = type;
    t->failure.retryable = retryable;
    struct buf where;
    buf_init(&where, 4096);
    http_url_redacted(&where, str_of(t->url));
    struct str at = str_make(buf_str(&where).p, where.n > 160 ? 160 : where.n);
    at.n = str_utf8_valid(at); /* whole characters */
    snprintf(t->failure.text, sizeof t->failure.text, STR_FMT " " STR_FMT ": %.200s",
             STR_ARG(t->method), STR_ARG(at), text);
    buf_free(&where);
}

static void fail_by_code(struct http_transfer *t, CURLcode code)
{
    const char *text = t->curl_text[0] ? t->curl_text : curl_easy_strerror(code);
    if (t->head_over) {
        transfer_fail(t, "TooLarge", false,
                      "the response's headers are larger than 256 KiB or more than 500");
        return;
    }
    if (t->over_limit || code == CURLE_FILESIZE_EXCEEDED) {
        transfer_fail(t, "TooLarge", false,
                      "the response is larger than its limit (option max_bytes)");
        return;
    }
    if (t->blocked && (code == CURLE_COULDNT_CONNECT || code == CURLE_ABORTED_BY_CALLBACK)) {
        char why[160];
        snprintf(why, sizeof why, "the host is at %s, which this request may not reach",
                 t->blocked);
        transfer_fail(t, "AddressBlocked", false, why);
        return;
    }
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        transfer_fail(t, "Timeout", true, text);
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        transfer_fail(t, "Connect", true, text);
        break;
    case CURLE_SSL_CONNECT_ERROR:
        transfer_fail(t, "Tls", true, text);
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
        transfer_fail(t, "Tls", false, text);
        break;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        transfer_fail(t, "BadUrl", false, text);
        break;
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WEIRD_SERVER_REPLY:
        transfer_fail(t, "BadResponse", true, text);
        break;
    case CURLE_OUT_OF_MEMORY:
        transfer_fail(t, "OutOfMemory", true, text);
        break;
    default:
        transfer_fail(t, "Connection", true, text);
        break;
    }
}

/* The URL that Location names, seen from the current one; NULL when it is none. Owned (curl_free).
 */
static char *target_url(const struct http_transfer *t)
{
    CURLU *u = curl_url();
    char *next = NULL;
    struct str where = header_get(t, "location");
    if (u && curl_url_set(u, CURLUPART_URL, t->url, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, where.p, CURLU_URLENCODE) == CURLUE_OK) {
        curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
        if (curl_url_get(u, CURLUPART_URL, &next, 0) != CURLUE_OK) next = NULL;
    }
    curl_url_cleanup(u);
    return next;
}

static bool follow(struct http_transfer *t)
{
    if (t->redirects_left == 0) {
        transfer_fail(t, "TooManyRedirects", false, "more redirects than allowed (option follow)");
        return false;
    }
    t->redirects_left--;
    char *next = target_url(t);
    if (!next || (strncasecmp(next, "http://", 7) != 0 && strncasecmp(next, "https://", 8) != 0)) {
        curl_free(next);
        transfer_fail(t, "BadResponse", false,
                      "redirected to something that is not an http or https URL");
        return false;
    }
    if (!http_same_origin(t->url, next)) t->cross_origin = true;
    char *own = mem_dup(next, strlen(next) + 1);
    curl_free(next);
    if (!own) {
        transfer_fail(t, "OutOfMemory", true, "no memory for a redirect");
        return false;
    }
    mem_free(t->url);
    t->url = own;
    bool head = str_eqz(t->method, "HEAD");
    bool to_get =
        t->status == 303 || ((t->status == 301 || t->status == 302) && str_eqz(t->method, "POST"));
    if (to_get && !head) {
        t->method = STR("GET");
        t->body = (struct str){NULL, 0};
    }
    buf_reset(&t->head);
    buf_reset(&t->data);
    t->n_head = 0;
    t->received = 0;
    t->begun = t->discard = t->paused = t->in_head = false;
    struct err e = {0};
    if (transfer_prepare(t, &e) < 0) {
        transfer_fail(t, "BadUrl", false, e.text);
        return false;
    }
    return true;
}

/* What a callback refused while curl took up a paused stream is not curl's result. */
static CURLcode result_of(const struct http_transfer *t, CURLcode code)
{
    if (code != CURLE_OK || !t->refused) return code;
    return t->over_limit ? CURLE_WRITE_ERROR : CURLE_OUT_OF_MEMORY;
}

bool transfer_finish(struct http_transfer *t, CURLcode code)
{
    code = result_of(t, code);
    if (code != CURLE_OK) {
        fail_by_code(t, code);
        return false;
    }
    if (!t->begun && !t->discard) begin_body(t);
    if (t->discard) return follow(t);
    return false;
}

void transfer_response(struct http_transfer *t, struct http_response *out)
{
    memset(out, 0, sizeof *out);
    out->status = t->status;
    out->url = str_of(t->url);
    out->body = buf_str(&t->data);
    mem_free(t->out_headers);
    t->out_headers = mem_alloc((t->n_head + 1) * sizeof *t->out_headers);
    if (!t->out_headers) {
        if (!t->failure.type) transfer_fail(t, "OutOfMemory", true, "no memory for the response");
    } else {
        const char *p = t->head.p, *end = p ? p + t->head.n : p;
        size_t n = 0;
        while (p < end && n < t->n_head) {
            const char *value = p + strlen(p) + 1;
            t->out_headers[n++] = (struct http_header){str_of(p), str_of(value), false};
            p = value + strlen(value) + 1;
        }
        out->headers = t->out_headers;
        out->n_headers = n;
    }
    out->failure = t->failure;
}
