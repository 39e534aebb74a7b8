/* See grpc.h. */
#include "temporal/grpc.h"
#include "base/clock.h"
#include <nghttp2/nghttp2.h>
#include <stdio.h>

/* ---- frames ---- */

void grpc_frame_head(unsigned char out[GRPC_FRAME_HEAD], size_t n)
{
    out[0] = 0; /* not compressed */
    for (int i = 0; i < 4; i++)
        out[1 + i] = (unsigned char)(n >> (8 * (3 - i)));
}

void grpc_reader_init(struct grpc_reader *r, size_t max)
{
    memset(r, 0, sizeof *r);
    buf_init(&r->body, max);
}

void grpc_reader_free(struct grpc_reader *r)
{
    size_t max = r->body.max;
    buf_free(&r->body);
    grpc_reader_init(r, max);
}

static int head_done(struct grpc_reader *r, struct err *e)
{
    r->want = 0;
    for (int i = 1; i < GRPC_FRAME_HEAD; i++)
        r->want = r->want << 8 | r->head[i];
    if (r->head[0] != 0)
        return err_set(e, ERR_PROTO, "the reply is compressed, which was not asked for");
    if (r->want > r->body.max)
        return err_set(e, ERR_LIMIT, "the reply has %zu bytes, more than the limit of %zu", r->want,
                       r->body.max);
    return 0;
}

int grpc_reader_feed(struct grpc_reader *r, const void *p, size_t n, struct err *e)
{
    const unsigned char *at = p;
    while (n && r->n_head < GRPC_FRAME_HEAD) {
        r->head[r->n_head++] = *at++;
        n--;
        if (r->n_head == GRPC_FRAME_HEAD && head_done(r, e)) return e ? e->code : ERR_PROTO;
    }
    if (!n) return 0;
    if (n > r->want - r->body.n)
        return err_set(e, ERR_PROTO, "more than one message came as the reply");
    if (buf_put(&r->body, at, n)) return err_set(e, ERR_NOMEM, "out of memory for the reply");
    return 0;
}

bool grpc_reader_complete(const struct grpc_reader *r)
{
    return r->n_head == GRPC_FRAME_HEAD && r->body.n == r->want && !r->body.code;
}

/* ---- headers ---- */

void grpc_timeout(int64_t ns, char out[GRPC_TIMEOUT_MAX])
{
    int64_t n = ns <= 0 ? 1 : (ns - 1) / NS_PER_MS + 1;
    char unit = 'm';
    if (n > 99999999) {
        n = (n - 1) / 1000 + 1;
        unit = 'S';
    }
    if (n > 99999999) n = 99999999; /* three years */
    snprintf(out, GRPC_TIMEOUT_MAX, "%d%c", (int)n, unit);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

void grpc_percent_decode(struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        int high = s.p[i] == '%' && s.n - i > 2 ? hex(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex(s.p[i + 2]) : -1;
        if (low < 0) {
            buf_putc(out, s.p[i]);
            continue;
        }
        buf_putc(out, (char)(high << 4 | low));
        i += 2;
    }
}

int grpc_status_parse(struct str s)
{
    int code = 0;
    if (!s.n || s.n > 4) return STATUS_UNKNOWN;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return STATUS_UNKNOWN;
        code = code * 10 + (s.p[i] - '0');
    }
    return code;
}

int grpc_status_of_http(int status)
{
    switch (status) {
    case 400:
        return STATUS_INTERNAL;
    case 401:
        return STATUS_UNAUTHENTICATED;
    case 403:
        return STATUS_PERMISSION_DENIED;
    case 404:
        return STATUS_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return STATUS_UNAVAILABLE;
    default:
        return STATUS_UNKNOWN;
    }
}

int grpc_status_of_reset(uint32_t h2_error)
{
    switch (h2_error) {
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return STATUS_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return STATUS_PERMISSION_DENIED;
    case NGHTTP2_NO_ERROR:
    case NGHTTP2_CANCEL:
    case NGHTTP2_REFUSED_STREAM:
        return STATUS_UNAVAILABLE;
    default:
        return STATUS_INTERNAL;
    }
}

const char *grpc_status_name(int code)
{
    static const char *const names[] = {"OK",
                                        "CANCELLED",
                                        "UNKNOWN",
                                        "INVALID_ARGUMENT",
                                        "DEADLINE_EXCEEDED",
                                        "NOT_FOUND",
                                        "ALREADY_EXISTS",
                                        "PERMISSION_DENIED",
                                        "RESOURCE_EXHAUSTED",
                                        "FAILED_PRECONDITION",
                                        "ABORTED",
                                        "OUT_OF_RANGE",
                                        "UNIMPLEMENTED",
                                        "INTERNAL",
                                        "UNAVAILABLE",
                                        "DATA_LOSS",
                                        "UNAUTHENTICATED"};
    size_t n = sizeof names / sizeof names[0];
    return code >= 0 && (size_t)code < n ? names[code] : "UNKNOWN";
}

/* ---- metadata of callers ---- */

bool grpc_header_is_binary(struct str name)
{
    return name.n >= 4 && memcmp(name.p + name.n - 4, "-bin", 4) == 0;
}

const char *grpc_header_name_wrong(struct str name)
{
    static const char *const ours[] = {
        "content-type",      "te",      "host",       "connection",      "content-length",
        "transfer-encoding", "upgrade", "keep-alive", "proxy-connection"};
    if (!name.n) return "the name is empty";
    if (name.n > 256) return "the name is longer than 256 bytes";
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool good =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!good) return "a name has lower-case letters, digits, '-', '_' and '.' only";
    }
    if (str_starts(name, STR("grpc-"))) return "names that begin with grpc- are gRPC's own";
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (str_eqz(name, ours[i])) return "the connection writes this header itself";
    return NULL;
}

const char *grpc_header_value_wrong(struct str name, struct str value)
{
    if (value.n > 32u << 10) return "the value is longer than 32 KiB";
    if (grpc_header_is_binary(name)) return NULL;
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] < 0x20 || value.p[i] > 0x7E)
            return "the value has a line break, a control character or a byte that is not ASCII";
    if (value.n && (value.p[0] == ' ' || value.p[value.n - 1] == ' '))
        return "the value begins or ends with a blank";
    return NULL;
}
