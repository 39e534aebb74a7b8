/* Which requests are refused. The library reads leniently (0.9.75: bare line feeds, NULs, folded
 * headers, a space before the colon, two lengths, both length and transfer coding), and a proxy in
 * front may read the same bytes in another way; so whatever is not plain HTTP/1.1 is refused here.
 * Keeps true: the head that is let through lies in memory exactly as its lines say, byte by byte.
 */
#include "http/server_internal.h"

#include <stdio.h>

#define METHOD_MAX 20
#define TRAILERS_MAX 20

static bool refuse(struct request *r, int status, const char *why)
{
    r->refuse = status;
    r->why = why;
    return false;
}

static bool alnum(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool hex(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* ---- the bytes as they lie ---- */

struct lines {
    struct request *r;
    const char *at, *end; /* where the next line must begin; behind the head */
    size_t n;
    struct http_header *headers;
    bool bad;
};

/* The library cuts lines in place: a colon and both bytes of a line's end become NULs. So one NUL
 * too few is a bare line feed, one elsewhere was sent, and a line that begins anywhere else was
 * folded. */
static mhd_result count_line(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_n,
                             const char *value, size_t value_n)
{
    struct lines *x = cls;
    (void)kind;
    (void)name;
    (void)name_n;
    (void)value;
    (void)value_n;
    x->n++;
    return MHD_YES;
}

static mhd_result look_at_line(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_n,
                               const char *value, size_t value_n)
{
    struct lines *x = cls;
    (void)kind;
    bool ok = name == x->at && name_n > 0 && value && value > name + name_n &&
              value + value_n + 2 <= x->end && value[value_n] == 0 && value[value_n + 1] == 0;
    for (const char *p = ok ? name + name_n + 1 : value; ok && p < value; p++)
        ok = *p == ' ' || *p == '\t';
    if (!ok) {
        x->bad = true;
        return MHD_NO;
    }
    x->at = value + value_n + 2;
    x->r->raw_last = name;
    struct http_header *h = &x->headers[x->n++];
    while (value_n && (value[value_n - 1] == ' ' || value[value_n - 1] == '\t'))
        value_n--;
    h->name = arena_str(&x->r->arena, str_make(name, name_n));
    h->value = arena_str(&x->r->arena, str_make(value, value_n));
    if (arena_failed(&x->r->arena)) return MHD_NO;
    for (char *c = (char *)(uintptr_t)h->name.p; *c; c++) /* our own copy */
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
    return MHD_YES;
}

static bool read_lines(struct request *r, const char *method, const char *version)
{
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(r->conn, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t method_n = strlen(method), version_n = strlen(version);
    struct lines x = {.r = r};
    if (!size) return refuse(r, 400, "the request has no head");
    x.end = method + size->header_size;
    if (size->header_size > r->s->o.head_max) return refuse(r, 431, "the head is too large");
    /* One space on each side of the target, and the line ends with CR LF. */
    if (r->raw_uri != method + method_n + 1 || version != r->raw_uri + r->target.n + 1 ||
        version[version_n] != 0 || version[version_n + 1] != 0)
        return refuse(r, 400, "the request line is malformed");
    x.at = version + version_n + 2;
    MHD_get_connection_values_n(r->conn, MHD_HEADER_KIND, count_line, &x);
    if (x.n > r->s->o.headers_max) return refuse(r, 431, "there are too many headers");
    x.headers = arena_alloc(&r->arena, (x.n + 1) * sizeof *x.headers);
    if (!x.headers) return refuse(r, 503, "there is no memory for this request");
    x.n = 0;
    MHD_get_connection_values_n(r->conn, MHD_HEADER_KIND, look_at_line, &x);
    if (arena_failed(&r->arena)) return refuse(r, 503, "there is no memory for this request");
    if (x.bad || x.at + 2 != x.end || x.at[0] != 0 || x.at[1] != 0)
        return refuse(r, 400,
                      "a header line is malformed (folded, with a NUL, or not ended by CR LF)");
    r->in.headers = x.headers;
    r->in.n_headers = x.n;
    return true;
}

/* ---- the request line ---- */

static bool check_target(struct request *r)
{
    struct str t = r->target;
    for (size_t i = 0; i < t.n; i++) {
        unsigned char c = (unsigned char)t.p[i];
        if (c <= 0x20 || c >= 0x7F || c == '#' || c == '\\' || c == '"' || c == '<' || c == '>')
            return refuse(r, 400, "the target has a character that must be escaped");
        if (c != '%') continue;
        if (i + 2 >= t.n || !hex((unsigned char)t.p[i + 1]) || !hex((unsigned char)t.p[i + 2]))
            return refuse(r, 400, "the target has a broken percent escape");
        if (t.p[i + 1] == '0' && t.p[i + 2] == '0')
            return refuse(r, 400, "the target has an escaped NUL");
    }
    return true;
}

static bool starts_nocase(struct str s, const char *lower)
{
    size_t n = strlen(lower);
    if (s.n < n) return false;
    for (size_t i = 0; i < n; i++)
        if ((s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] - 'A' + 'a' : s.p[i]) != lower[i])
            return false;
    return true;
}

static bool eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++) {
        unsigned char x = (unsigned char)a.p[i], y = (unsigned char)b.p[i];
        if (x >= 'A' && x <= 'Z') x = (unsigned char)(x - 'A' + 'a');
        if (y >= 'A' && y <= 'Z') y = (unsigned char)(y - 'A' + 'a');
        if (x != y) return false;
    }
    return true;
}

/* Splits the target; one in absolute form must name the host that the Host header names. */
static bool split_target(struct request *r)
{
    struct str t = r->target;
    if (starts_nocase(t, "http://") || starts_nocase(t, "https://")) {
        size_t from = t.p[4] == ':' ? 7 : 8, i = from;
        while (i < t.n && t.p[i] != '/' && t.p[i] != '?')
            i++;
        struct str authority = str_make(t.p + from, i - from);
        if (!authority.n || memchr(authority.p, '@', authority.n) ||
            !eq_nocase(authority, r->in.host))
            return refuse(r, 400, "the target names another host than the Host header");
        t = str_make(t.p + i, t.n - i);
        if (!t.n || t.p[0] == '?') {
            t = arena_printf(&r->arena, "/" STR_FMT, STR_ARG(t));
            if (!t.p) return refuse(r, 503, "there is no memory for this request");
        }
    } else if (!str_eqz(t, "*") && (!t.n || t.p[0] != '/')) {
        return refuse(r, 400, "the target is neither a path nor a URL of this server");
    }
    if (str_eqz(t, "*") && !str_eqz(r->in.method, "OPTIONS"))
        return refuse(r, 400, "the target * is for OPTIONS");
    const char *mark = memchr(t.p, '?', t.n);
    r->in.path = mark ? str_make(t.p, (size_t)(mark - t.p)) : t;
    if (mark) r->in.query = str_make(mark + 1, t.n - (size_t)(mark + 1 - t.p));
    return true;
}

/* ---- headers ---- */

/* One header of this name: 1 and its value; none: 0; several: 2. */
static int single(const struct request *r, const char *name, struct str *value)
{
    int n = 0;
    for (size_t i = 0; i < r->in.n_headers; i++) {
        if (!str_eqz(r->in.headers[i].name, name)) continue;
        if (n++) return 2;
        *value = r->in.headers[i].value;
    }
    return n;
}

static bool host_ok(struct str v)
{
    for (size_t i = 0; i < v.n; i++)
        if (!alnum((unsigned char)v.p[i]) && (v.p[i] == 0 || !strchr("-._~%:[]", v.p[i])))
            return false;
    return v.n <= 300;
}

static bool check_host(struct request *r, bool v11)
{
    struct str v = {"", 0};
    int n = single(r, "host", &v);
    if (n > 1) return refuse(r, 400, "there are several Host headers");
    if (v11 && n == 0) return refuse(r, 400, "there is no Host header");
    if (!host_ok(v)) return refuse(r, 400, "the Host header is not a host");
    r->in.host = v;
    return true;
}

/* Where the body ends must be said once and plainly. */
static bool check_framing(struct request *r, bool v11)
{
    struct str length = {NULL, 0}, coding = {NULL, 0}, expect = {NULL, 0};
    int lengths = single(r, "content-length", &length),
        codings = single(r, "transfer-encoding", &coding);
    if (lengths && codings)
        return refuse(r, 400, "there are both Content-Length and Transfer-Encoding");
    if (lengths > 1) return refuse(r, 400, "there are several Content-Length headers");
    if (codings > 1) return refuse(r, 400, "there are several Transfer-Encoding headers");
    if (codings && !v11) return refuse(r, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (codings && !eq_nocase(coding, STR("chunked")))
        return refuse(r, 400, "the only Transfer-Encoding here is chunked");
    uint64_t n = 0;
    for (size_t i = 0; lengths && i < length.n; i++) {
        if (length.p[i] < '0' || length.p[i] > '9' || i >= 18)
            return refuse(r, 400, "Content-Length is not a plain number");
        n = n * 10 + (uint64_t)(length.p[i] - '0');
    }
    if (lengths && !length.n) return refuse(r, 400, "Content-Length is not a plain number");
    int expects = single(r, "expect", &expect);
    if (expects > 1 || (expects && !eq_nocase(expect, STR("100-continue"))))
        return refuse(r, 417, "the only expectation that is met here is 100-continue");
    r->chunked = codings != 0;
    if (n > r->body_max) r->over = true;
    if (n > r->body_max && (expects || n - r->body_max > ((uint64_t)1 << 20)))
        return refuse(r, 413, "the body is larger than this resource takes");
    return true;
}

static bool check_head(struct request *r, const char *method, const char *version)
{
    bool v11 = strcmp(version, "HTTP/1.1") == 0;
    size_t n = strlen(method);
    if (!v11 && strcmp(version, "HTTP/1.0") != 0)
        return refuse(r, 400, "the version is not HTTP/1.1 or HTTP/1.0");
    for (size_t i = 0; i < n; i++)
        if ((method[i] < 'A' || method[i] > 'Z') && method[i] != '-')
            return refuse(r, 400, "the method has a character that methods do not have");
    if (n == 0 || n > METHOD_MAX) return refuse(r, 400, "the method is empty or too long");
    if (!read_lines(r, method, version)) return false;
    r->in.method = arena_str(&r->arena, str_of(method));
    if (arena_failed(&r->arena)) return refuse(r, 503, "there is no memory for this request");
    for (size_t i = 0; i < r->in.n_headers; i++) {
        if (!http_header_name_ok(r->in.headers[i].name))
            return refuse(r, 400, "a header's name has a character that names do not have");
        if (!http_header_value_ok(r->in.headers[i].value))
            return refuse(r, 400, "a header has a control character");
    }
    if (!check_target(r) || !check_host(r, v11) || !split_target(r)) return false;
    if (r->s->ev.on_head) r->s->ev.on_head(r->s->ud, &r->in, &r->body_max);
    return check_framing(r, v11);
}

void server_check_head(struct request *r, const char *method, const char *version)
{
    if (r->refuse) return;
    check_head(r, method, version);
}

/* ---- behind a chunked body ---- */

static mhd_result look_at_trailer(void *cls, enum MHD_ValueKind kind, const char *name,
                                  size_t name_n, const char *value, size_t value_n)
{
    static const char *const never[] = {"transfer-encoding", "content-length", "host",
                                        "authorization",     "content-type",   "trailer"};
    struct lines *x = cls;
    struct str s = str_make(name, name_n);
    (void)kind;
    /* When the last line of a body comes in pieces, 0.9.75 gives the last header a second time. */
    if (name == x->r->raw_last) return MHD_YES;
    x->bad = x->bad || ++x->n > TRAILERS_MAX || !http_header_name_ok(s) ||
             !http_header_value_ok(str_make(value, value ? value_n : 0));
    for (size_t i = 0; i < sizeof never / sizeof *never && !x->bad; i++)
        x->bad = eq_nocase(s, str_of(never[i]));
    return x->bad ? MHD_NO : MHD_YES;
}

bool server_check_trailers(struct request *r)
{
    struct lines x = {.r = r};
    MHD_get_connection_values_n(r->conn, MHD_FOOTER_KIND, look_at_trailer, &x);
    return !x.bad || refuse(r, 400, "a trailer behind the body is not one that may stand there");
}

struct str http_incoming_header(const struct http_incoming *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (str_eqz(r->headers[i].name, name)) return r->headers[i].value;
    return (struct str){NULL, 0};
}
