/* Times and durations as text, at and beyond their edges. */
#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "check.h"

static int64_t iso(const char *z)
{
    int64_t ns = -12345;
    CHECK_INT(time_parse_iso(str_of(z), &ns), 0);
    return ns;
}

static int iso_error(const char *z)
{
    int64_t ns = 77;
    int rc = time_parse_iso(str_of(z), &ns);
    CHECK(rc == 0 || ns == 77);
    return rc;
}

static const char *text(int64_t ns)
{
    static char out[TIME_ISO_MAX];
    CHECK_INT(time_format_iso(ns, out), strlen(out));
    return out;
}

static void test_iso(void)
{
    CASE("iso times");
    CHECK_STR(text(0), "1970-01-01T00:00:00Z");
    CHECK_STR(text(1), "1970-01-01T00:00:00.000000001Z");
    CHECK_STR(text(-1), "1969-12-31T23:59:59.999999999Z");
    CHECK_STR(text(1500000000), "1970-01-01T00:00:01.500Z");
    CHECK_STR(text(1500001000), "1970-01-01T00:00:01.500001Z");
    CHECK_STR(text(INT64_MAX), "2262-04-11T23:47:16.854775807Z");
    CHECK_STR(text(INT64_MIN), "1677-09-21T00:12:43.145224192Z");
    CHECK_INT(iso("2262-04-11T23:47:16.854775807Z"), INT64_MAX);
    CHECK(iso("1677-09-21T00:12:43.145224192Z") == INT64_MIN);
    CHECK_INT(iso_error("2262-04-11T23:47:16.854775808Z"), ERR_LIMIT);
    CHECK_INT(iso_error("1677-09-21T00:12:43.145224191Z"), ERR_LIMIT);
    CHECK_INT(iso_error("9999-12-31T23:59:59Z"), ERR_LIMIT);
    CHECK_INT(iso_error("0000-01-01"), ERR_LIMIT);
    CHECK_INT(iso("2026-03-01"), INT64_C(1772323200) * NS_PER_S);
    CHECK_INT(iso("2026-03-01T09:00"), iso("2026-03-01T09:00:00Z"));
    CHECK_INT(iso("2026-03-01 09:00:00"), iso("2026-03-01T09:00:00Z"));
    CHECK_INT(iso("2026-03-01T09:00:00+01:30"), iso("2026-03-01T07:30:00Z"));
    CHECK_INT(iso("2026-03-01T09:00:00-0130"), iso("2026-03-01T10:30:00Z"));
    CHECK_INT(iso("2026-03-01T09:00:00+02"), iso("2026-03-01T07:00:00Z"));
    CHECK_INT(iso("2026-03-01t09:00:00,5z"), iso("2026-03-01T09:00:00.500Z"));
    CHECK_INT(iso("1970-01-01T00:00:00.1234567891Z"), 123456789); /* cut, not rounded */
    CHECK_INT(iso("2024-02-29"), iso("2024-03-01") - 86400 * NS_PER_S);
    static const char *const wrong[] = {
        "",
        "2026",
        "2026-3-1",
        "2026-13-01",
        "2026-00-10",
        "2026-02-29",
        "1900-02-29",
        "2026-04-31",
        "2026-03-01T",
        "2026-03-01T9:00",
        "2026-03-01T24:00:00Z",
        "2026-03-01T09:60:00Z",
        "2026-03-01T09:00:60Z",
        "2026-03-01T09:00:00.Z",
        "2026-03-01T09:00:00Zx",
        "2026-03-01T09:00:00+24:00",
        "2026-03-01T09:00:00+1",
        "2026-03-01T09:00:00+01:",
        "+2026-03-01",
        " 2026-03-01",
        "2026-03-01 ",
        "2026/03/01",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_INT(iso_error(wrong[i]), ERR_ARG);
    CHECK_INT(time_parse_iso(STR("2026-03-01\0"), &(int64_t){0}), ERR_ARG);
    /* times that are well written, but outside what int64 nanoseconds hold */
    static const char *const far[] = {"9999-12-31T00:00:00Z",          "10000-01-01", "-0001-01-01",
                                      "+12026-01-01T00:00Z",           "1677-09-20",  "2262-04-12",
                                      "123456789012345678901234-02-28"};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        CHECK_INT(time_parse_iso(str_of(far[i]), &(int64_t){0}), ERR_LIMIT);
    static const char *const none[] = {"10000-13-01", "-2026", "--2026-01-01", "2026-1-1", "-"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK_INT(time_parse_iso(str_of(none[i]), &(int64_t){0}), ERR_ARG);
    struct rng r;
    rng_seed(&r, STR("iso"));
    for (int i = 0; i < 20000; i++) {
        int64_t ns = (int64_t)rng_next(&r);
        if (i % 3 == 0) ns = ns / NS_PER_S * NS_PER_S;
        if (i % 3 == 1) ns = ns / NS_PER_MS * NS_PER_MS;
        CHECK(iso(text(ns)) == ns);
    }
    int64_t secs = 0;
    int32_t nanos = 0;
    CHECK_INT(time_parse_iso_wide(STR("0001-01-01T00:00:00Z"), &secs, &nanos), 0);
    CHECK_INT(secs, INT64_C(-62135596800));
}

static void test_fields(void)
{
    CASE("calendar fields");
    struct time_fields f;
    time_fields_utc(iso("2024-02-29T23:59:58.25Z"), &f);
    CHECK(f.year == 2024 && f.month == 2 && f.day == 29 && f.hour == 23 && f.min == 59 &&
          f.sec == 58);
    CHECK(f.ns == 250000000 && f.wday == 4 && f.yday == 59);
    time_fields_utc(-1, &f);
    CHECK(f.year == 1969 && f.month == 12 && f.day == 31 && f.wday == 3 && f.yday == 364 &&
          f.ns == 999999999);
    struct rng r;
    rng_seed(&r, STR("fields"));
    for (int i = 0; i < 20000; i++) {
        int64_t ns = (int64_t)rng_next(&r);
        time_fields_utc(ns, &f);
        CHECK(time_from_fields(&f) == ns);
    }
    f = (struct time_fields){
        .year = 2026, .month = 14, .day = 0, .hour = 25, .min = -1, .sec = 3600};
    CHECK_INT(time_from_fields(&f), iso("2027-02-01T01:59:00Z"));
    f = (struct time_fields){.year = 2026, .month = -11, .day = 1};
    CHECK_INT(time_from_fields(&f), iso("2025-01-01"));
    f = (struct time_fields){
        .year = INT32_MAX, .month = INT32_MAX, .day = INT32_MAX, .ns = INT64_MAX};
    CHECK(time_from_fields(&f) == INT64_MAX);
    f = (struct time_fields){
        .year = INT32_MIN, .month = INT32_MIN, .day = INT32_MIN, .hour = INT32_MIN};
    CHECK(time_from_fields(&f) == INT64_MIN);
}

static int64_t span(const char *z)
{
    int64_t ns = -1;
    CHECK_INT(duration_parse(str_of(z), &ns), 0);
    return ns;
}

static void test_duration(void)
{
    CASE("durations");
    CHECK_INT(span("90s"), 90 * NS_PER_S);
    CHECK_INT(span("2h"), 7200 * NS_PER_S);
    CHECK_INT(span("1d"), 86400 * NS_PER_S);
    CHECK_INT(span("2w"), 14 * 86400 * NS_PER_S);
    CHECK_INT(span("500ms"), 500 * NS_PER_MS);
    CHECK_INT(span("1h30m"), 5400 * NS_PER_S);
    CHECK_INT(span("1.5s"), 1500 * NS_PER_MS);
    CHECK_INT(span("0.5h"), 1800 * NS_PER_S);
    CHECK_INT(span("250us"), 250000);
    CHECK_INT(span("10ns"), 10);
    CHECK_INT(span("0s"), 0);
    CHECK_INT(span("876600h"), INT64_C(3155760000) * NS_PER_S);
    static const char *const wrong[] = {"",     "s",
                                        "1",    "-1s",
                                        "+1s",  "1 s",
                                        " 1s",  "1s ",
                                        "1x",   "1.s",
                                        ".5s",  "1s1s",
                                        "1m1h", "1e3s",
                                        "1sm",  "1S",
                                        "s1",   "1h30",
                                        "0x1s", "1..5s",
                                        "--",   "999999999999999999999999"};
    int64_t ns = 77;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_INT(duration_parse(str_of(wrong[i]), &ns), ERR_ARG);
    }
    CHECK_INT(duration_parse(STR("876601h"), &ns), ERR_LIMIT);
    CHECK_INT(duration_parse(STR("99999999999999999999999999999999999999999w"), &ns), ERR_LIMIT);
    CHECK_INT(duration_parse(STR("99999999999999999999999999999999999999999w1q"), &ns), ERR_ARG);
    CHECK_INT(duration_parse(STR("9223372036854775807w9223372036854775807d"), &ns), ERR_LIMIT);
    CHECK_INT(ns, 77);
    static const char *const exact[] = {"0s",    "1h30m",        "1m30s", "1.5s",   "2w",
                                        "10d",   "1d1h",         "250us", "1500us", "10ns",
                                        "999ms", "1.000000001s", "1h1ms"};
    char out[TIME_ISO_MAX];
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        CHECK_INT(duration_format(span(exact[i]), out), strlen(exact[i]));
        CHECK_STR(out, exact[i]);
    }
    duration_format(span("90s"), out);
    CHECK_STR(out, "1m30s");
    duration_format(span("60.25s"), out);
    CHECK_STR(out, "1m250ms");
    duration_format(-1500 * NS_PER_MS, out);
    CHECK_STR(out, "-1.5s");
    CHECK(duration_format(INT64_MIN, out) < TIME_ISO_MAX && out[0] == '-');
    struct rng r;
    rng_seed(&r, STR("durations"));
    for (int i = 0; i < 20000; i++) {
        int64_t v = (int64_t)(rng_below(&r, (uint64_t)3155760000 * NS_PER_S) >> rng_below(&r, 62));
        CHECK_INT(duration_format(v, out), strlen(out));
        CHECK_INT(span(out), v);
    }
}

static void test_clock(void)
{
    CASE("system clock");
    int64_t a = clock_mono(&clock_system), b = clock_mono(&clock_system);
    CHECK(b >= a && clock_wall(&clock_system) > iso("2020-01-01"));
}

int main(void)
{
    test_iso();
    test_fields();
    test_duration();
    test_clock();
    return CHECK_DONE();
}
