/* Text forms of bytes: JSON strings, base64, hex. */
#include "base/buf.h"

static const char hex_digits[] = "0123456789abcdef";
static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The escape of a byte that may not stand in a JSON string; 0 bytes: it may. */
static size_t json_escape(unsigned char c, char out[6])
{
    static const char short_from[] = "\"\\\b\f\n\r\t", short_to[] = "\"\\bfnrt";
    if (c >= 0x20 && c != '"' && c != '\\') return 0;
    out[0] = '\\';
    const char *at = c ? memchr(short_from, c, sizeof short_from - 1) : NULL;
    if (at) {
        out[1] = short_to[at - short_from];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex_digits[c >> 4];
    out[5] = hex_digits[c & 15];
    return 6;
}

/* Valid UTF-8, escaped where JSON asks for it. */
static void put_json_valid(struct buf *b, struct str s)
{
    size_t from = 0;
    char esc[6];
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        size_t n = json_escape(c, esc);
        buf_put(b, s.p + from, i - from);
        buf_put(b, esc, n);
        from = i + 1;
    }
    buf_put(b, s.p + from, s.n - from);
}

int buf_put_json(struct buf *b, struct str s)
{
    buf_putc(b, '"');
    while (s.n > 0 && !b->code) {
        size_t ok = str_utf8_valid(s);
        if (ok) put_json_valid(b, str_make(s.p, ok));
        if (ok == s.n) break;
        buf_put(b, "\xEF\xBF\xBD", 3);
        s = str_make(s.p + ok + 1, s.n - ok - 1);
    }
    return buf_putc(b, '"');
}

int buf_put_base64(struct buf *b, struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    for (; s.n - i >= 3 && !b->code; i += 3) {
        unsigned v = (unsigned)p[i] << 16 | (unsigned)p[i + 1] << 8 | p[i + 2];
        char four[4] = {b64_digits[v >> 18], b64_digits[v >> 12 & 63], b64_digits[v >> 6 & 63],
                        b64_digits[v & 63]};
        buf_put(b, four, 4);
    }
    if (s.n - i == 1 && !b->code) {
        unsigned v = (unsigned)p[i] << 16;
        char four[4] = {b64_digits[v >> 18], b64_digits[v >> 12 & 63], '=', '='};
        buf_put(b, four, 4);
    } else if (s.n - i == 2 && !b->code) {
        unsigned v = (unsigned)p[i] << 16 | (unsigned)p[i + 1] << 8;
        char four[4] = {b64_digits[v >> 18], b64_digits[v >> 12 & 63], b64_digits[v >> 6 & 63],
                        '='};
        buf_put(b, four, 4);
    }
    return b->code;
}

static int b64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62; /* the URL alphabet is taken too */
    if (c == '/' || c == '_') return 63;
    return -1;
}

int base64_decode_to(struct str in, char *out, size_t *n)
{
    size_t pad = 0;
    while (in.n > 0 && pad < 2 && in.p[in.n - 1] == '=') {
        in.n--;
        pad++;
    }
    if (in.n % 4 == 1 || (pad && (in.n + pad) % 4 != 0)) return ERR_PROTO;
    unsigned v = 0, bits = 0;
    char *to = out;
    for (size_t i = 0; i < in.n; i++) {
        int d = b64_value(in.p[i]);
        if (d < 0) return ERR_PROTO;
        v = (v << 6 | (unsigned)d) & 0xFFFF;
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        *to++ = (char)(unsigned char)(v >> bits & 0xFF);
    }
    *n = (size_t)(to - out);
    return 0;
}

int base64_decode(struct str in, struct buf *out)
{
    char part[768 + 3];
    while (in.n > 0) { /* whole groups of four, so that only the last part may be padded */
        size_t take = in.n > 1024 ? 1024 : in.n, n = 0;
        if (take < in.n && in.p[take - 1] == '=') return ERR_PROTO;
        int rc = base64_decode_to(str_make(in.p, take), part, &n);
        if (!rc) rc = buf_put(out, part, n);
        if (rc) return rc;
        in = str_make(in.p + take, in.n - take);
    }
    return out->code;
}

void hex_encode(const void *p, size_t n, char *out)
{
    const unsigned char *s = p;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = hex_digits[s[i] >> 4];
        out[2 * i + 1] = hex_digits[s[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int hex_decode(struct str in, void *out, size_t n)
{
    if (in.n / 2 != n || in.n % 2) return ERR_ARG;
    for (size_t i = 0; i < in.n; i++) {
        if (hex_value(in.p[i]) < 0) return ERR_ARG;
    }
    unsigned char *to = out;
    for (size_t i = 0; i < n; i++) {
        to[i] = (unsigned char)(hex_value(in.p[2 * i]) << 4 | hex_value(in.p[2 * i + 1]));
    }
    return 0;
}
