/* Spelling of JSON: see text.h. Independent of the process locale. */
#include "json/text.h"
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int json_text_fail(struct json_in *in, const char *what)
{
    return err_set(in->e, ERR_PROTO, "JSON: %s at byte %zu", what, (size_t)(in->p - in->begin));
}

void json_blanks(struct json_in *in)
{
    while (in->p < in->end && (*in->p == ' ' || *in->p == '\t' || *in->p == '\n' || *in->p == '\r'))
        in->p++;
}

static int hex4(const char *p, const char *end, unsigned *out)
{
    unsigned v = 0;
    if (end - p < 4) return ERR_PROTO;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned d;
        if (c >= '0' && c <= '9')
            d = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            d = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            d = (unsigned)(c - 'A') + 10;
        else
            return ERR_PROTO;
        v = v << 4 | d;
    }
    *out = v;
    return 0;
}

static size_t utf8_put(unsigned c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* One escape at p ('\\'): its length in the text, and its bytes in out[4]. 0 when it is bad. */
static size_t escape(const char *p, const char *end, char *out, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    unsigned a, b;
    if (end - p < 2) return 0;
    if (p[1] != 'u') {
        const char *at = p[1] ? strchr(from, p[1]) : NULL;
        if (!at) return 0;
        out[0] = to[at - from];
        *n = 1;
        return 2;
    }
    if (hex4(p + 2, end, &a) || (a >= 0xDC00 && a < 0xE000)) return 0;
    if (a < 0xD800 || a > 0xDBFF) {
        *n = utf8_put(a, out);
        return 6;
    }
    if (end - p < 12 || p[6] != '\\' || p[7] != 'u' || hex4(p + 8, end, &b) || b < 0xDC00 ||
        b > 0xDFFF)
        return 0;
    *n = utf8_put(0x10000 + ((a - 0xD800) << 10) + (b - 0xDC00), out);
    return 12;
}

int json_scan_string(struct json_in *in, struct str *raw, size_t *decoded)
{
    const char *start = ++in->p;
    size_t n = 0;
    while (in->p < in->end && *in->p != '"') {
        if ((unsigned char)*in->p < 0x20) return json_text_fail(in, "a control byte in a string");
        if (*in->p == '\\') {
            char bytes[4];
            size_t k = 0, used = escape(in->p, in->end, bytes, &k);
            if (!used) return json_text_fail(in, "a bad escape or a lone surrogate");
            in->p += used;
            n += k;
        } else {
            in->p++;
            n++;
        }
    }
    if (in->p >= in->end) return json_text_fail(in, "a string without an end");
    *raw = str_make(start, (size_t)(in->p - start));
    size_t ok = str_utf8_valid(*raw);
    if (ok != raw->n) {
        in->p = start + ok;
        return json_text_fail(in, "text that is not UTF-8");
    }
    in->p++;
    *decoded = n;
    return 0;
}

void json_unescape(struct str raw, char *out)
{
    const char *p = raw.p, *end = raw.p + raw.n;
    while (p < end) {
        if (*p == '\\') {
            char bytes[4];
            size_t n = 0;
            p += escape(p, end, bytes, &n);
            memcpy(out, bytes, n);
            out += n;
        } else {
            *out++ = *p++;
        }
    }
}

static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale;
static void c_locale_make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static bool digits(struct json_in *in)
{
    const char *from = in->p;
    while (in->p < in->end && *in->p >= '0' && *in->p <= '9')
        in->p++;
    return in->p > from;
}

static int number_value(struct json_in *in, const char *from, bool is_int, struct json_number *out)
{
    char text[64];
    size_t n = (size_t)(in->p - from);
    if (is_int && n <= 20) {
        char *end;
        errno = 0;
        memcpy(text, from, n);
        text[n] = 0;
        long long v = strtoll(text, &end, 10);
        if (errno == 0 && !(v == 0 && text[0] == '-')) {
            *out = (struct json_number){true, v, 0};
            return 0;
        }
    }
    /* -0 and whole numbers outside 64 bits become floats. strtod needs an end: a digit string
     * longer than 1,000 is not a number anybody wrote. */
    char long_text[1024];
    if (n >= sizeof long_text) {
        in->p = from;
        return json_text_fail(in, "a number that is too long");
    }
    memcpy(long_text, from, n);
    long_text[n] = 0;
    pthread_once(&c_locale_once, c_locale_make);
    double d = c_locale ? strtod_l(long_text, NULL, c_locale) : strtod(long_text, NULL);
    if (!isfinite(d)) {
        in->p = from;
        return json_text_fail(in, "a number out of range");
    }
    *out = (struct json_number){false, 0, d};
    return 0;
}

int json_scan_number(struct json_in *in, struct json_number *out)
{
    const char *from = in->p;
    bool is_int = true;
    if (*in->p == '-') in->p++;
    if (in->p < in->end && *in->p == '0')
        in->p++;
    else if (!digits(in))
        return json_text_fail(in, "a bad number");
    if (in->p < in->end && *in->p == '.') {
        in->p++;
        is_int = false;
        if (!digits(in)) return json_text_fail(in, "a bad number");
    }
    if (in->p < in->end && (*in->p == 'e' || *in->p == 'E')) {
        in->p++;
        is_int = false;
        if (in->p < in->end && (*in->p == '+' || *in->p == '-')) in->p++;
        if (!digits(in)) return json_text_fail(in, "a bad number");
    }
    return number_value(in, from, is_int, out);
}

int json_scan_word(struct json_in *in)
{
    static const struct {
        const char *text;
        size_t n;
    } words[] = {{"null", 4}, {"false", 5}, {"true", 4}};
    size_t left = (size_t)(in->end - in->p);
    for (int i = 0; i < 3; i++)
        if (left >= words[i].n && memcmp(in->p, words[i].text, words[i].n) == 0) {
            in->p += words[i].n;
            return i;
        }
    return json_text_fail(in, left ? "an unexpected character" : "the text ends too early");
}

void json_put_string(struct buf *out, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    size_t from = 0;
    buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        char esc[6] = {'\\', 0, '0', '0', 0, 0};
        size_t n = 2;
        switch (c) {
        case '"':
        case '\\':
            esc[1] = (char)c;
            break;
        case '\b':
            esc[1] = 'b';
            break;
        case '\f':
            esc[1] = 'f';
            break;
        case '\n':
            esc[1] = 'n';
            break;
        case '\r':
            esc[1] = 'r';
            break;
        case '\t':
            esc[1] = 't';
            break;
        default:
            esc[1] = 'u';
            esc[4] = hex[c >> 4];
            esc[5] = hex[c & 15];
            n = 6;
        }
        buf_put(out, s.p + from, i - from);
        buf_put(out, esc, n);
        from = i + 1;
    }
    buf_put(out, s.p + from, s.n - from);
    buf_putc(out, '"');
}

void json_put_double(struct buf *out, double d)
{
    char text[40];
    /* 15 digits always come back as written; the smallest numbers have fewer to begin with */
    for (int digits_n = fabs(d) < 1e-300 ? 1 : 15; digits_n <= 17; digits_n++) {
        snprintf(text, sizeof text - 3, "%.*g", digits_n, d);
        if (strtod(text, NULL) == d) break;
    }
    bool plain = true;
    for (char *p = text; *p; p++) {
        if (*p == ',') *p = '.';
        if (*p != '-' && (*p < '0' || *p > '9')) plain = false;
    }
    buf_puts(out, text);
    if (plain) buf_puts(out, ".0");
}

static void sift(struct str *a, size_t i, size_t n)
{
    struct str v = a[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && str_cmp(a[child], a[child + 1]) < 0) child++;
        if (str_cmp(v, a[child]) >= 0) break;
        a[i] = a[child];
    }
    a[i] = v;
}

void json_sort_keys(struct str *a, size_t n)
{
    bool sorted = true;
    for (size_t i = 1; sorted && i < n; i++)
        sorted = str_cmp(a[i - 1], a[i]) <= 0;
    if (sorted) return;
    for (size_t i = n / 2; i-- > 0;)
        sift(a, i, n);
    for (size_t i = n; i-- > 1;) {
        struct str t = a[0];
        a[0] = a[i];
        a[i] = t;
        sift(a, 0, i);
    }
}
