/* What may be written into a request: header checks, percent encoding, forms, origins. Pure. Called
 * by client.c and by the bindings that build requests. */
#include "http/client.h"
#include "http/curl_lib.h"

static bool unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

bool http_header_name_ok(struct str name)
{
    if (name.n == 0 || name.n > 256) return false;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        bool token = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
        if (!token) return false;
    }
    return true;
}

bool http_header_value_ok(struct str value)
{
    if (value.n > HTTP_HEADERS_MAX) return false;
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F) return false;
    }
    return true;
}

void http_percent(struct buf *out, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (unreserved(c)) {
            buf_putc(out, (char)c);
        } else {
            char three[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_put(out, three, 3);
        }
    }
}

void http_query_add(struct buf *out, struct str name, struct str value)
{
    if (out->n) buf_putc(out, '&');
    http_percent(out, name);
    buf_putc(out, '=');
    http_percent(out, value);
}

/* A quoted parameter of a part's header: quotes and line breaks become percent escapes, as browsers
 * send them. */
static void put_quoted(struct buf *out, struct str s)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"') {
            buf_puts(out, "%22");
        } else if (s.p[i] == '\r') {
            buf_puts(out, "%0D");
        } else if (s.p[i] == '\n') {
            buf_puts(out, "%0A");
        } else {
            buf_putc(out, s.p[i]);
        }
    }
    buf_putc(out, '"');
}

int http_multipart_add(struct buf *out, struct str boundary, const struct http_part *p,
                       struct err *e)
{
    if (p->name.n == 0) return err_set(e, ERR_ARG, "a multipart field needs a name");
    if (p->content_type.n && !http_header_value_ok(p->content_type))
        return err_set(e, ERR_ARG, "the content type of part '" STR_FMT "' has a control character",
                       STR_ARG(p->name));
    buf_printf(out, "--" STR_FMT "\r\nContent-Disposition: form-data; name=", STR_ARG(boundary));
    put_quoted(out, p->name);
    if (p->filename.p) {
        buf_puts(out, "; filename=");
        put_quoted(out, p->filename);
    }
    if (p->content_type.n) {
        buf_printf(out, "\r\nContent-Type: " STR_FMT, STR_ARG(p->content_type));
    } else if (p->filename.p) {
        buf_puts(out, "\r\nContent-Type: application/octet-stream");
    }
    buf_puts(out, "\r\n\r\n");
    buf_putstr(out, p->value);
    buf_puts(out, "\r\n");
    return out->code < 0 ? err_set(e, out->code, "the multipart body is too large") : 0;
}

void http_multipart_end(struct buf *out, struct str boundary)
{
    buf_printf(out, "--" STR_FMT "--\r\n", STR_ARG(boundary));
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part, unsigned flags)
{
    char *x = NULL, *y = NULL;
    bool same = curl_url_get(a, part, &x, flags) == CURLUE_OK &&
                curl_url_get(b, part, &y, flags) == CURLUE_OK && strcasecmp(x, y) == 0;
    curl_free(x);
    curl_free(y);
    return same;
}

bool http_same_origin(const char *a, const char *b)
{
    struct err e;
    if (curl_lib_load(&e)) return false;
    CURLU *x = curl_url(), *y = curl_url();
    bool same = x && y && curl_url_set(x, CURLUPART_URL, a, 0) == CURLUE_OK &&
                curl_url_set(y, CURLUPART_URL, b, 0) == CURLUE_OK &&
                same_part(x, y, CURLUPART_SCHEME, 0) && same_part(x, y, CURLUPART_HOST, 0) &&
                same_part(x, y, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    curl_url_cleanup(x);
    curl_url_cleanup(y);
    return same;
}

/* Behind the last '@' of host[:port], or its end when what stands there is no port: then it is a
 * part of a password with one of / ? # in it. */
static size_t behind_user(struct str url, size_t host)
{
    size_t from = host, colon = 0, i = host;
    bool port = true;
    for (; i < url.n && !strchr("/?#", url.p[i]); i++) {
        if (url.p[i] == '@') from = i + 1;
        if (url.p[i] == '@' || url.p[i] == '[') colon = 0;
        if (url.p[i] == ']' || (!colon && url.p[i] == ':')) {
            colon = i + 1;
            port = true;
        } else if (colon && url.p[i] != ':' && (url.p[i] < '0' || url.p[i] > '9')) {
            port = false;
        }
    }
    return colon && !port ? url.n : from;
}

void http_url_redacted(struct buf *out, struct str url)
{
    size_t n = 0, host = 0;
    for (size_t i = 0; !host && i + 2 < url.n && !strchr("?#", url.p[i]); i++)
        if (memcmp(url.p + i, "://", 3) == 0) host = i + 3;
    size_t from = behind_user(url, host);
    for (n = from; n < url.n && url.p[n] != '?' && url.p[n] != '#';)
        n++;
    buf_put(out, url.p, host);
    buf_put(out, url.p + from, n - from);
}
