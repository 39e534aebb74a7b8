/* Clocks are handed around, never asked for in place. Three kinds of time must not be mixed:
 * monotonic (timeouts), wall (due times, event times) and workflow time (from history). All are
 * int64 nanoseconds; wall is since 1970 UTC. */
#ifndef ML_BASE_CLOCK_H
#define ML_BASE_CLOCK_H
#include "base/str.h"

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

struct clock {
    int64_t (*wall_ns)(void *ud);
    int64_t (*mono_ns)(void *ud);
    void *ud;
};
extern const struct clock clock_system; /* clock.c is the only file that asks the system for time */
/* Processor time of a thread, to be read from any thread while that one lives. */
struct clock_thread {
    long long id;
};
struct clock_thread clock_thread_self(void);
int64_t clock_thread_ns(struct clock_thread t); /* 0 when it cannot be read */
static inline int64_t clock_wall(const struct clock *c)
{
    return c->wall_ns(c->ud);
}
static inline int64_t clock_mono(const struct clock *c)
{
    return c->mono_ns(c->ud);
}

/* Times and spans come from scripts and histories, at any distance: at the ends of int64 they stop.
 */
static inline int64_t time_plus(int64_t a, int64_t b)
{
    int64_t sum;
    if (!__builtin_add_overflow(a, b, &sum)) return sum;
    return b < 0 ? INT64_MIN : INT64_MAX;
}
static inline int64_t time_minus(int64_t a, int64_t b)
{
    int64_t difference;
    if (!__builtin_sub_overflow(a, b, &difference)) return difference;
    return b < 0 ? INT64_MAX : INT64_MIN;
}

#define TIME_ISO_MAX 40
/* "2026-03-01T09:00:00Z", with as many of 3, 6 or 9 fraction digits as the value needs. Returns the
 * length. */
int time_format_iso(int64_t ns, char out[TIME_ISO_MAX]);
#define TIME_RANGE "1677-09-21 to 2262-04-11" /* what int64 nanoseconds hold, for texts */
/* ISO 8601 date or date-time, with Z, an offset or (taken as UTC) none. 0, ERR_ARG, or ERR_LIMIT
 * for a time outside TIME_RANGE. */
int time_parse_iso(struct str s, int64_t *ns);
/* The same for the years 0000 to 9999: seconds since 1970 and 0..999999999 ns. */
int time_parse_iso_wide(struct str s, int64_t *secs, int32_t *nanos);
#define DURATION_MAX_S INT64_C(3155760000) /* 100 years of 365.25 days */
/* "90s", "2h", "1d", "500ms", "1h30m", "1.5s", "250us", "10ns", "2w". 0, ERR_ARG, or ERR_LIMIT past
 * 100 years. */
int duration_parse(struct str s, int64_t *ns);
/* The shortest such text ("1h30m", "0s"). Returns the length. */
int duration_format(int64_t ns, char out[TIME_ISO_MAX]);
/* Calendar fields in UTC, for os.date; month 1..12, wday 0 = Sunday, yday 0 = 1 January. */
struct time_fields {
    int year, month, day, hour, min, sec, wday, yday;
    int64_t ns;
};
void time_fields_utc(int64_t ns, struct time_fields *out);
int64_t
time_from_fields(const struct time_fields *f); /* fields out of range are normalised; saturates */

#endif
