/* Times and durations as text and as calendar fields. Arithmetic is done in 128 bits or checked, so
 * that no input, however far out, overflows; what does not fit int64 nanoseconds (years 1677 to
 * 2262) is refused. */
#include "base/clock.h"
#include "base/err.h"

#include <stdio.h>

#define DAY_S INT64_C(86400)
#define DURATION_MAX_NS (DURATION_MAX_S * NS_PER_S)

/* Days since 1970-01-01 of a date; the month may be out of range by any amount of a 64-bit year. */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    m -= 1;
    y += m / 12;
    m %= 12;
    if (m < 0) {
        m += 12;
        y--;
    }
    m += 1;
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468 + d - 1;
}

static void civil_from_days(int64_t days, struct time_fields *out)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    out->day = (int)(doy - (153 * mp + 2) / 5 + 1);
    out->month = (int)(mp < 10 ? mp + 3 : mp - 9);
    out->year = (int)(yoe + era * 400 + (out->month <= 2));
    out->wday = (int)(((days + 4) % 7 + 7) % 7);
    out->yday = (int)(days - days_from_civil(out->year, 1, 1));
}

void time_fields_utc(int64_t ns, struct time_fields *out)
{
    int64_t secs = ns / NS_PER_S, frac = ns % NS_PER_S;
    if (frac < 0) {
        frac += NS_PER_S;
        secs--;
    }
    int64_t days = secs / DAY_S, rest = secs % DAY_S;
    if (rest < 0) {
        rest += DAY_S;
        days--;
    }
    civil_from_days(days, out);
    out->hour = (int)(rest / 3600);
    out->min = (int)(rest / 60 % 60);
    out->sec = (int)(rest % 60);
    out->ns = frac;
}

int64_t time_from_fields(const struct time_fields *f)
{
    __int128 secs = (__int128)days_from_civil(f->year, f->month, f->day) * DAY_S +
                    (__int128)f->hour * 3600 + (__int128)f->min * 60 + f->sec;
    __int128 ns = secs * NS_PER_S + f->ns;
    if (ns > INT64_MAX) return INT64_MAX;
    if (ns < INT64_MIN) return INT64_MIN;
    return (int64_t)ns;
}

/* ".5", ".500", ...: as many of 3, 6 or 9 digits as needed; nothing for 0. */
static int put_fraction(int64_t ns, char *out, size_t size)
{
    if (ns == 0) return snprintf(out, size, "%s", "");
    if (ns % 1000000 == 0) return snprintf(out, size, ".%03d", (int)(ns / 1000000));
    if (ns % 1000 == 0) return snprintf(out, size, ".%06d", (int)(ns / 1000));
    return snprintf(out, size, ".%09d", (int)ns);
}

int time_format_iso(int64_t ns, char out[TIME_ISO_MAX])
{
    struct time_fields f;
    time_fields_utc(ns, &f);
    char frac[24];
    put_fraction(f.ns, frac, sizeof frac);
    return snprintf(out, TIME_ISO_MAX, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", f.year % 10000, f.month,
                    f.day, f.hour, f.min, f.sec, frac);
}

/* Exactly `n` digits at *p. */
static bool take_digits(struct str *s, int n, int *out)
{
    int v = 0;
    if (s->n < (size_t)n) return false;
    for (int i = 0; i < n; i++) {
        char c = s->p[i];
        if (c < '0' || c > '9') return false;
        v = v * 10 + (c - '0');
    }
    s->p += n;
    s->n -= (size_t)n;
    *out = v;
    return true;
}

static bool take_char(struct str *s, const char *any)
{
    if (s->n == 0 || s->p[0] == '\0' || !strchr(any, s->p[0])) return false;
    s->p++;
    s->n--;
    return true;
}

/* Digits behind a point as nanoseconds; further digits are cut off. */
static bool take_fraction(struct str *s, int32_t *ns)
{
    int32_t v = 0, unit = 100000000;
    size_t n = 0;
    while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
        v += (s->p[0] - '0') * unit;
        unit /= 10;
        s->p++;
        s->n--;
        n++;
    }
    *ns = v;
    return n > 0;
}

static bool take_zone(struct str *s, int *offset_s)
{
    *offset_s = 0;
    if (s->n == 0 || take_char(s, "Zz")) return true;
    int sign = s->p[0] == '-' ? -1 : 1, h = 0, m = 0;
    if (!take_char(s, "+-") || !take_digits(s, 2, &h)) return false;
    if (s->n > 0 && (take_char(s, ":"), !take_digits(s, 2, &m))) return false;
    if (h > 23 || m > 59) return false;
    *offset_s = sign * (h * 3600 + m * 60);
    return true;
}

static int days_in_month(int y, int m)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m == 2 && leap ? 29 : days[m - 1];
}

int time_parse_iso_wide(struct str s, int64_t *secs, int32_t *nanos)
{
    int y = 0, mo = 0, d = 0, h = 0, mi = 0, sec = 0, offset = 0;
    int32_t frac = 0;
    if (!take_digits(&s, 4, &y) || !take_char(&s, "-") || !take_digits(&s, 2, &mo) ||
        !take_char(&s, "-") || !take_digits(&s, 2, &d)) {
        return ERR_ARG;
    }
    if (mo < 1 || mo > 12 || d < 1 || d > days_in_month(y, mo)) return ERR_ARG;
    if (s.n > 0) {
        if (!take_char(&s, "Tt ") || !take_digits(&s, 2, &h) || !take_char(&s, ":") ||
            !take_digits(&s, 2, &mi)) {
            return ERR_ARG;
        }
        if (take_char(&s, ":")) {
            if (!take_digits(&s, 2, &sec)) return ERR_ARG;
            if (take_char(&s, ".,") && !take_fraction(&s, &frac)) return ERR_ARG;
        }
        if (!take_zone(&s, &offset) || s.n > 0) return ERR_ARG;
    }
    if (h > 23 || mi > 59 || sec > 59) return ERR_ARG;
    *secs = days_from_civil(y, mo, d) * DAY_S + h * 3600 + mi * 60 + sec - offset;
    *nanos = frac;
    return 0;
}

/* Would it be a time, but for a minus before its year or a year of more than four digits? */
static bool far_year(struct str s)
{
    int64_t secs;
    int32_t nanos;
    size_t digits = 0;
    bool minus = take_char(&s, "-");
    if (!minus) take_char(&s, "+");
    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    if (digits < 4 || (digits == 4 && !minus)) return false;
    return time_parse_iso_wide(str_make(s.p + digits - 4, s.n - digits + 4), &secs, &nanos) == 0;
}

int time_parse_iso(struct str s, int64_t *ns)
{
    int64_t secs = 0;
    int32_t nanos = 0;
    int rc = time_parse_iso_wide(s, &secs, &nanos);
    if (rc) return far_year(s) ? ERR_LIMIT : rc;
    __int128 v = (__int128)secs * NS_PER_S + nanos;
    if (v > INT64_MAX || v < INT64_MIN) return ERR_LIMIT;
    *ns = (int64_t)v;
    return 0;
}

static const struct unit {
    const char *name;
    int64_t ns;
} units[] = {
    /* largest first; they must come in this order in a text */
    {"w", 7 * DAY_S *NS_PER_S},
    {"d", DAY_S *NS_PER_S},
    {"h", 3600 * NS_PER_S},
    {"m", 60 * NS_PER_S},
    {"s", NS_PER_S},
    {"ms", NS_PER_MS},
    {"us", 1000},
    {"ns", 1},
};
#define UNITS (sizeof units / sizeof *units)

/* The unit at the front of s, by its whole word; UNITS when there is none. */
static size_t take_unit(struct str *s)
{
    size_t n = 0;
    while (n < s->n && s->p[n] >= 'a' && s->p[n] <= 'z')
        n++;
    for (size_t i = 0; i < UNITS; i++) {
        if (!str_eqz(str_make(s->p, n), units[i].name)) continue;
        s->p += n;
        s->n -= n;
        return i;
    }
    return UNITS;
}

int duration_parse(struct str s, int64_t *ns)
{
    __int128 total = 0;
    size_t next_unit = 0;
    if (s.n == 0) return ERR_ARG;
    bool past = false; /* past the limit; the rest is still checked for form */
    while (s.n > 0) {
        int64_t whole = 0;
        int32_t frac = 0;
        size_t digits = 0;
        for (; s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9'; s.p++, s.n--, digits++) {
            if (whole > DURATION_MAX_NS / 10)
                past = true;
            else
                whole = whole * 10 + (s.p[0] - '0');
        }
        if (digits == 0) return ERR_ARG;
        if (take_char(&s, ".") && !take_fraction(&s, &frac)) return ERR_ARG;
        size_t u = take_unit(&s);
        if (u == UNITS || u < next_unit) return ERR_ARG;
        next_unit = u + 1;
        total += (__int128)whole * units[u].ns + (__int128)frac * units[u].ns / NS_PER_S;
        if (total > DURATION_MAX_NS) past = true;
    }
    if (past) return ERR_LIMIT;
    *ns = (int64_t)total;
    return 0;
}

int duration_format(int64_t ns, char out[TIME_ISO_MAX])
{
    size_t n = 0;
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (ns < 0) out[n++] = '-';
    if (left == 0) return snprintf(out, TIME_ISO_MAX, "0s");
    size_t i = 1;
    if (left % (uint64_t)units[0].ns == 0) i = 0;
    for (; i < UNITS && left > 0; i++) {
        uint64_t unit = (uint64_t)units[i].ns;
        if (left < unit) continue;
        if (unit == (uint64_t)NS_PER_S && left % unit != 0) { /* 1.5s, not 1s500ms */
            char frac[24];
            int f = snprintf(frac, sizeof frac, "%09d", (int)(left % unit));
            while (f > 0 && frac[f - 1] == '0')
                frac[--f] = '\0';
            return (int)n + snprintf(out + n, TIME_ISO_MAX - n, "%d.%ss", (int)(left / unit), frac);
        }
        if (unit < (uint64_t)NS_PER_S && left % unit != 0) continue; /* 1500us, not 1ms500us */
        n += (size_t)snprintf(out + n, TIME_ISO_MAX - n, "%llu%s",
                              (unsigned long long)(left / unit), units[i].name);
        left %= unit;
    }
    return (int)n;
}
