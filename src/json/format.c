/* Checks of text formats: see format.h. Each walks the text once. */
#include "json/format.h"

static const char *const names[FORMAT_COUNT] = {"",    "date-time", "date", "time", "email",
                                                "uri", "uuid",      "ipv4", "ipv6", "hostname"};

enum json_format format_find(struct str name)
{
    for (int i = 1; i < FORMAT_COUNT; i++)
        if (str_eqz(name, names[i])) return (enum json_format)i;
    return FORMAT_NONE;
}

const char *format_name(enum json_format f)
{
    return names[f];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

/* Takes n digits off the front; -1 when they are not there. */
static int take_digits(struct str *s, size_t n)
{
    int v = 0;
    if (s->n < n) return -1;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s->p[i])) return -1;
        v = v * 10 + (s->p[i] - '0');
    }
    s->p += n;
    s->n -= n;
    return v;
}

static bool take(struct str *s, const char *set)
{
    if (s->n == 0 || !is_one_of(*s->p, set)) return false;
    s->p++;
    s->n--;
    return true;
}

static bool take_date(struct str *s)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;
    if ((year = take_digits(s, 4)) < 0 || !take(s, "-") || (month = take_digits(s, 2)) < 1 ||
        month > 12 || !take(s, "-") || (day = take_digits(s, 2)) < 1 || day > days[month - 1])
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return !(month == 2 && day == 29 && !leap);
}

static bool take_time(struct str *s)
{
    int hour, minute, second, off = 0;
    if ((hour = take_digits(s, 2)) < 0 || hour > 23 || !take(s, ":") ||
        (minute = take_digits(s, 2)) < 0 || minute > 59 || !take(s, ":") ||
        (second = take_digits(s, 2)) < 0 || second > 60)
        return false;
    if (take(s, ".")) {
        if (take_digits(s, 1) < 0) return false;
        while (take_digits(s, 1) >= 0)
            continue;
    }
    if (!take(s, "zZ")) {
        bool minus = s->n > 0 && *s->p == '-';
        int h, m;
        if (!take(s, "+-") || (h = take_digits(s, 2)) < 0 || h > 23 || !take(s, ":") ||
            (m = take_digits(s, 2)) < 0 || m > 59)
            return false;
        off = (h * 60 + m) * (minus ? -1 : 1);
    }
    if (second < 60) return true;
    return ((hour * 60 + minute - off) % 1440 + 1440) % 1440 == 23 * 60 + 59; /* UTC 23:59:60 */
}

static bool is_hostname(struct str s)
{
    size_t label = 0;
    if (s.n == 0 || s.n > 253) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '.') {
            if (label == 0 || s.p[i - 1] == '-') return false;
            label = 0;
            continue;
        }
        if (!is_alpha(c) && !is_digit(c) && !(c == '-' && label > 0)) return false;
        if (++label > 63) return false;
    }
    return label > 0 && s.p[s.n - 1] != '-';
}

static bool is_ipv4(struct str s)
{
    for (int i = 0; i < 4; i++) {
        size_t n = 0;
        int v = 0;
        if (i && !take(&s, ".")) return false;
        for (; n < 3 && s.n > 0 && is_digit(*s.p); n++)
            v = v * 10 + take_digits(&s, 1);
        if (n == 0 || v > 255 || (n > 1 && v < (n == 2 ? 10 : 100))) return false;
    }
    return s.n == 0;
}

static bool is_ipv6(struct str s)
{
    int groups = 0;
    bool gap = false;
    size_t i = 0;
    if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':') {
        gap = true;
        i = 2;
    }
    while (i < s.n) {
        size_t from = i;
        while (i < s.n && is_hex(s.p[i]))
            i++;
        if (i < s.n && s.p[i] == '.') {
            groups += 2;
            return is_ipv4(str_make(s.p + from, s.n - from)) && (gap ? groups < 8 : groups == 8);
        }
        if (i == from || i - from > 4) return false;
        groups++;
        if (i == s.n) break;
        if (s.p[i++] != ':') return false;
        if (i == s.n) return false;
        if (s.p[i] == ':') {
            if (gap) return false;
            gap = true;
            i++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

static bool is_atom(char c)
{
    return is_alpha(c) || is_digit(c) || is_one_of(c, "!#$%&'*+-/=?^_`{|}~");
}

static bool is_email(struct str s)
{
    size_t i = 0;
    if (s.n > 0 && s.p[0] == '"') {
        for (i = 1; i < s.n && s.p[i] != '"'; i++) {
            if (s.p[i] == '\\') i++;
            if (i >= s.n || s.p[i] < ' ' || s.p[i] > '~') return false;
        }
        i++;
    } else {
        for (; i < s.n && s.p[i] != '@'; i++) {
            bool dot = s.p[i] == '.' && i > 0 && s.p[i - 1] != '.';
            if (!is_atom(s.p[i]) && !dot) return false;
        }
        if (i == 0 || s.p[i - 1] == '.') return false;
    }
    if (i > 64 || i + 1 >= s.n || s.p[i] != '@') return false;
    struct str domain = str_make(s.p + i + 1, s.n - i - 1);
    if (domain.p[0] != '[') return is_hostname(domain);
    if (domain.n < 3 || domain.p[domain.n - 1] != ']') return false;
    domain = str_make(domain.p + 1, domain.n - 2);
    if (!str_starts(domain, STR("IPv6:"))) return is_ipv4(domain);
    return is_ipv6(str_make(domain.p + 5, domain.n - 5));
}

/* Characters of a part of a URI: unreserved, percent-encoded, sub-delims and `also`. */
static bool is_uri_part(struct str s, const char *also)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2])) return false;
            i += 2;
        } else if (!is_alpha(c) && !is_digit(c) && !is_one_of(c, "-._~!$&'()*+,;=") &&
                   !is_one_of(c, also)) {
            return false;
        }
    }
    return true;
}

static struct str until(struct str *s, const char *set)
{
    size_t i = 0;
    while (i < s->n && !is_one_of(s->p[i], set))
        i++;
    struct str head = str_make(s->p, i);
    s->p += i;
    s->n -= i;
    return head;
}

static bool is_authority(struct str s)
{
    const char *user_end = memchr(s.p, '@', s.n);
    if (user_end) {
        size_t n = (size_t)(user_end - s.p);
        if (!is_uri_part(str_make(s.p, n), ":")) return false;
        s = str_make(s.p + n + 1, s.n - n - 1);
    }
    if (s.n > 0 && s.p[0] == '[') {
        const char *end = memchr(s.p, ']', s.n);
        if (!end) return false;
        struct str ip = str_make(s.p + 1, (size_t)(end - s.p) - 1);
        bool future = ip.n > 1 && (ip.p[0] | 0x20) == 'v';
        if (future ? !is_uri_part(ip, ":") : !is_ipv6(ip)) return false;
        s = str_make(end + 1, s.n - ip.n - 2);
    } else if (!is_uri_part(until(&s, ":"), "")) {
        return false;
    }
    if (s.n == 0) return true;
    if (!take(&s, ":")) return false;
    while (take_digits(&s, 1) >= 0)
        continue;
    return s.n == 0;
}

static bool is_uri(struct str s)
{
    if (s.n == 0 || !is_alpha(s.p[0])) return false;
    struct str scheme = until(&s, ":");
    for (size_t i = 0; i < scheme.n; i++)
        if (!is_alpha(scheme.p[i]) && !is_digit(scheme.p[i]) && !is_one_of(scheme.p[i], "+-."))
            return false;
    if (!take(&s, ":")) return false;
    struct str rest = until(&s, "?#");
    if (rest.n >= 2 && rest.p[0] == '/' && rest.p[1] == '/') {
        rest.p += 2;
        rest.n -= 2;
        if (!is_authority(until(&rest, "/"))) return false;
    }
    if (!is_uri_part(rest, ":@/")) return false;
    if (s.n > 0 && *s.p == '?' && !is_uri_part(until(&s, "#"), ":@/?")) return false;
    return s.n == 0 || (take(&s, "#") && is_uri_part(s, ":@/?"));
}

static bool is_uuid(struct str s)
{
    if (s.n != 36) return false;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.p[i] != '-' : !is_hex(s.p[i])) return false;
    }
    return true;
}

bool format_holds(enum json_format f, struct str s)
{
    if (!s.p) s = STR("");
    switch (f) {
    case FORMAT_DATE_TIME:
        return take_date(&s) && take(&s, "tT") && take_time(&s) && s.n == 0;
    case FORMAT_DATE:
        return take_date(&s) && s.n == 0;
    case FORMAT_TIME:
        return take_time(&s) && s.n == 0;
    case FORMAT_EMAIL:
        return is_email(s);
    case FORMAT_URI:
        return is_uri(s);
    case FORMAT_UUID:
        return is_uuid(s);
    case FORMAT_IPV4:
        return is_ipv4(s);
    case FORMAT_IPV6:
        return is_ipv6(s);
    case FORMAT_HOSTNAME:
        return is_hostname(s);
    default:
        return true;
    }
}
