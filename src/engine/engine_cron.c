/* Cron schedules of runs, in UTC: five fields (minute hour day month weekday; lists, ranges,
 * steps), @hourly, @daily,
 * @weekly, @monthly, @yearly and "@every 90s". Pure. */
#include "engine/engine_internal.h"

struct cron {
    uint64_t set[5];
    bool any_day, any_weekday;
    int64_t every_ns;
};

static const struct {
    int low, high;
} range[5] = {{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 7}};

static int number(const char **p, const char *end, int *out)
{
    int v = 0, digits = 0;
    while (*p < end && **p >= '0' && **p <= '9' && digits < 4) {
        v = v * 10 + (*(*p)++ - '0');
        digits++;
    }
    *out = v;
    return digits ? 0 : ERR_ARG;
}

/* One field: comma-separated items of star, N or N-M, each with an optional /STEP. */
static int field(struct str s, int i, uint64_t *set, bool *any)
{
    const char *p = s.p, *end = s.p + s.n;
    *set = 0;
    *any = false;
    while (p < end) {
        int from = range[i].low, to = range[i].high, step = 1;
        bool one = false;
        if (*p == '*' || *p == '?') {
            p++;
            *any = true;
        } else {
            if (number(&p, end, &from)) {
                return ERR_ARG;
            }
            to = from;
            one = true;
            if (p < end && *p == '-') {
                p++;
                one = false;
                if (number(&p, end, &to)) {
                    return ERR_ARG;
                }
            }
        }
        if (p < end && *p == '/') {
            p++;
            if (number(&p, end, &step) || step == 0) {
                return ERR_ARG;
            }
            to = one ? range[i].high : to; /* N/STEP has no end of its own */
        }
        if (from < range[i].low || to > range[i].high || from > to) {
            return ERR_ARG;
        }
        for (int v = from; v <= to; v += step) {
            *set |= UINT64_C(1) << (i == 4 && v == 7 ? 0 : v);
        }
        if (p < end && *p++ != ',') {
            return ERR_ARG;
        }
    }
    return *set ? 0 : ERR_ARG;
}

static int parse(struct str s, struct cron *c)
{
    static const struct {
        const char *name, *fields;
    } names[] = {{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
                 {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
                 {"@annually", "0 0 1 1 *"}};
    memset(c, 0, sizeof *c);
    if (str_starts(s, STR("@every "))) {
        return duration_parse(str_make(s.p + 7, s.n - 7), &c->every_ns) || c->every_ns < NS_PER_S
                   ? ERR_ARG
                   : 0;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        s = str_eqz(s, names[i].name) ? str_of(names[i].fields) : s;
    }
    size_t at = 0;
    bool any[5] = {false};
    for (int i = 0; i < 5; i++) {
        while (at < s.n && s.p[at] == ' ') {
            at++;
        }
        size_t from = at;
        while (at < s.n && s.p[at] != ' ') {
            at++;
        }
        if (from == at || field(str_make(s.p + from, at - from), i, &c->set[i], &any[i])) {
            return ERR_ARG;
        }
    }
    while (at < s.n && s.p[at] == ' ') {
        at++;
    }
    c->any_day = any[2];
    c->any_weekday = any[4];
    return at == s.n ? 0 : ERR_ARG;
}

static bool day_matches(const struct cron *c, const struct time_fields *f)
{
    bool day = (c->set[2] >> f->day) & 1, weekday = (c->set[4] >> f->wday) & 1;
    bool both = !c->any_day &&
                !c->any_weekday; /* as everywhere: either of two restricted fields is enough */
    return ((c->set[3] >> f->month) & 1) && (both ? day || weekday : day && weekday);
}

/* The first moment after `after_ns`, or -1 when there is none within ten years or before the end of
 * time. */
int64_t eng_cron_next(struct str spec, int64_t after_ns)
{
    struct cron c;
    if (parse(spec, &c)) {
        return -1;
    }
    if (c.every_ns) {
        return after_ns > INT64_MAX - c.every_ns ? -1 : after_ns + c.every_ns;
    }
    const int64_t minute = 60 * NS_PER_S, longest = INT64_C(3660) * 86400 * NS_PER_S;
    if (after_ns > INT64_MAX - longest - 86400 * NS_PER_S || after_ns < INT64_MIN + minute) {
        return -1;
    }
    struct time_fields f;
    int64_t into = (after_ns % minute + minute) % minute;
    int64_t t = after_ns - into + minute, end = after_ns + longest;
    while (t < end) {
        time_fields_utc(t, &f);
        if (!day_matches(&c, &f)) {
            t += ((int64_t)(23 - f.hour) * 60 + (60 - f.min)) * 60 * NS_PER_S;
        } else if (!((c.set[1] >> f.hour) & 1)) {
            t += (int64_t)(60 - f.min) * 60 * NS_PER_S;
        } else if (!((c.set[0] >> f.min) & 1)) {
            t += 60 * NS_PER_S;
        } else {
            return t;
        }
    }
    return -1;
}

int eng_cron_check(struct str spec, struct err *e)
{
    struct cron c;
    if (parse(spec, &c))
        return err_set(
            e, ERR_ARG,
            "\"%.*s\" is not a cron schedule: write minute hour day month weekday, all in "
            "UTC, or @every 90s (from 1s to 100 years)",
            STR_ARG(spec));
    if (eng_cron_next(spec, 0) < 0)
        return err_set(e, ERR_ARG,
                       "the cron schedule \"%.*s\" never comes: its months have no such day",
                       STR_ARG(spec));
    return 0;
}
