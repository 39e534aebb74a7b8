/* The pull reader of JSON text; see json_scan.h for what it keeps true. */
#include "history/json_scan.h"

#include <stdarg.h>
#include <stdio.h>

void json_init(struct json *j, struct arena *a, struct str text, struct err *e)
{
    if (!text.p) text = STR("");
    *j = (struct json){text.p, text.p + text.n, text.p, a, e, 0, 0};
    if (text.n >= 3 && memcmp(text.p, "\xEF\xBB\xBF", 3) == 0)
        j->p += 3; /* some tools write a mark */
}

int json_fail(struct json *j, int code, const char *fmt, ...)
{
    if (j->code) return j->code;
    j->code = code;
    if (!j->err) return code;
    size_t line = 1, column = 1;
    for (const char *p = j->start; p < j->p; p++, column++) {
        if (*p == '\n') line++, column = 0;
    }
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(j->err, code, "JSON, line %zu, column %zu: %s", line, column, text);
}

static void space(struct json *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
        j->p++;
}

char json_peek(struct json *j)
{
    if (j->code) return 0;
    space(j);
    return j->p < j->end ? *j->p : 0;
}

static int unexpected(struct json *j, const char *wanted)
{
    if (j->p >= j->end) return json_fail(j, ERR_PROTO, "the text ends where %s should be", wanted);
    return json_fail(j, ERR_PROTO, "%s expected", wanted);
}

static bool hex4(struct json *j, const char *p, unsigned *out)
{
    unsigned v = 0;
    if (j->end - p < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                            : 16u;
        if (d == 16) return false;
        v = v << 4 | d;
    }
    *out = v;
    return true;
}

static size_t put_utf8(char *to, unsigned c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xC0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* One escape at *p (behind the backslash) to *to; never longer than its text. */
static bool unescape(struct json *j, const char **p, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    if (*p >= j->end) return false;
    char c = *(*p)++;
    const char *at = c ? memchr(from, c, sizeof from - 1) : NULL;
    if (at) {
        *(*to)++ = into[at - from];
        return true;
    }
    unsigned v, low;
    if (c != 'u' || !hex4(j, *p, &v)) return false;
    *p += 4;
    if (v >= 0xDC00 && v < 0xE000) return false;
    if (v >= 0xD800 && v < 0xDC00) {
        if (j->end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u' || !hex4(j, *p + 2, &low))
            return false;
        if (low < 0xDC00 || low >= 0xE000) return false;
        *p += 6;
        v = 0x10000 + ((v - 0xD800) << 10) + (low - 0xDC00);
    }
    *to += put_utf8(*to, v);
    return true;
}

int json_string(struct json *j, struct str *out, bool *copied)
{
    if (json_peek(j) != '"') return unexpected(j, "a string");
    const char *from = ++j->p, *p = from;
    bool escapes = false;
    while (p < j->end && *p != '"') {
        if ((unsigned char)*p < 0x20) {
            j->p = p;
            return json_fail(j, ERR_PROTO, "a control character in a string");
        }
        if (*p == '\\') {
            escapes = true;
            p++;
        }
        p++;
    }
    if (p >= j->end) return json_fail(j, ERR_PROTO, "a string has no end");
    struct str raw = str_make(from, (size_t)(p - from));
    size_t ok = str_utf8_valid(raw);
    if (ok != raw.n) {
        j->p = from + ok;
        return json_fail(j, ERR_PROTO, "a string is not valid UTF-8");
    }
    if (escapes) {
        char *to = arena_alloc(j->arena, raw.n + 1), *start = to;
        if (!to) return json_fail(j, ERR_NOMEM, "out of memory");
        const char *q = from;
        while (q < p) {
            if (*q != '\\') {
                *to++ = *q++;
                continue;
            }
            j->p = q++;
            if (!unescape(j, &q, &to)) return json_fail(j, ERR_PROTO, "a wrong escape in a string");
        }
        *to = '\0';
        raw = str_make(start, (size_t)(to - start));
    }
    j->p = p + 1;
    *out = raw;
    if (copied) *copied = escapes;
    return 0;
}

static size_t digits(const char **p, const char *end)
{
    const char *from = *p;
    while (*p < end && **p >= '0' && **p <= '9')
        ++*p;
    return (size_t)(*p - from);
}

int json_number(struct json *j, struct str *out)
{
    json_peek(j);
    if (j->code) return j->code;
    const char *p = j->p;
    if (p < j->end && *p == '-') p++;
    const char *whole = p;
    size_t n = digits(&p, j->end);
    bool ok = n == 1 || (n > 1 && *whole != '0');
    if (ok && p < j->end && *p == '.') {
        p++;
        ok = digits(&p, j->end) > 0;
    }
    if (ok && p < j->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < j->end && (*p == '+' || *p == '-')) p++;
        ok = digits(&p, j->end) > 0;
    }
    if (!ok) return unexpected(j, "a value");
    *out = str_make(j->p, (size_t)(p - j->p));
    j->p = p;
    return 0;
}

int json_word(struct json *j, const char *word)
{
    json_peek(j);
    if (j->code) return j->code;
    struct str w = str_of(word);
    if (!str_starts(str_make(j->p, (size_t)(j->end - j->p)), w)) return unexpected(j, word);
    j->p += w.n;
    return 0;
}

int json_enter(struct json *j, char open)
{
    if (json_peek(j) != open || !open) return unexpected(j, open == '{' ? "an object" : "an array");
    if (++j->depth > JSON_DEPTH_MAX)
        return json_fail(j, ERR_LIMIT, "nested deeper than %d", JSON_DEPTH_MAX);
    j->p++;
    return 0;
}

/* The comma in front of all but the first, or the end. */
static bool more(struct json *j, bool *first, char close)
{
    char c = json_peek(j);
    if (c == close) {
        j->p++;
        j->depth--;
        return false;
    }
    if (!*first) {
        if (c != ',') return unexpected(j, close == '}' ? "',' or '}'" : "',' or ']'"), false;
        j->p++;
    }
    *first = false;
    return !j->code;
}

bool json_member(struct json *j, bool *first, struct str *key)
{
    if (j->code || !more(j, first, '}')) return false;
    if (json_string(j, key, NULL)) return false;
    if (json_peek(j) != ':') return unexpected(j, "':'"), false;
    j->p++;
    return true;
}

bool json_element(struct json *j, bool *first)
{
    return !j->code && more(j, first, ']');
}

int json_skip(struct json *j)
{
    struct str s;
    bool first = true;
    switch (json_peek(j)) {
    case '"':
        return json_string(j, &s, NULL);
    case 't':
        return json_word(j, "true");
    case 'f':
        return json_word(j, "false");
    case 'n':
        return json_word(j, "null");
    case '{':
        if (json_enter(j, '{')) return j->code;
        while (json_member(j, &first, &s))
            json_skip(j);
        return j->code;
    case '[':
        if (json_enter(j, '[')) return j->code;
        while (json_element(j, &first))
            json_skip(j);
        return j->code;
    default:
        return json_number(j, &s);
    }
}

int json_end(struct json *j)
{
    json_peek(j);
    if (!j->code && j->p < j->end) json_fail(j, ERR_PROTO, "something follows the value");
    return j->code;
}
