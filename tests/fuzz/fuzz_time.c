/* Times, durations and cron schedules as text. Keeps true: what is accepted comes back from its own
 * written form; a schedule's next time lies after the moment it was asked about. The first byte
 * chooses; a schedule is asked about the moment in the next eight. */
#include "engine/engine_internal.h"
#include "fuzz.h"

static void times(struct str s)
{
    char iso[TIME_ISO_MAX];
    int64_t ns = 0, again = 0, secs = 0;
    int32_t nanos = 0;
    int wide = time_parse_iso_wide(s, &secs, &nanos);
    if (wide == 0) FUZZ_CHECK(nanos >= 0 && nanos < NS_PER_S);
    if (time_parse_iso(s, &ns)) return;
    FUZZ_CHECK(wide == 0);
    int n = time_format_iso(ns, iso);
    FUZZ_CHECK(n > 0 && n < TIME_ISO_MAX && iso[n] == 0);
    FUZZ_CHECK(time_parse_iso(str_of(iso), &again) == 0);
    FUZZ_CHECK(again == ns);
    struct time_fields f;
    time_fields_utc(ns, &f);
    FUZZ_CHECK(time_from_fields(&f) == ns);
}

static void durations(struct str s)
{
    char text[TIME_ISO_MAX];
    int64_t ns = 0, again = 0;
    if (duration_parse(s, &ns)) return;
    int n = duration_format(ns, text);
    FUZZ_CHECK(n > 0 && n < TIME_ISO_MAX && text[n] == 0);
    FUZZ_CHECK(duration_parse(str_of(text), &again) == 0);
    FUZZ_CHECK(again == ns);
}

static void cron(struct str s)
{
    struct err e = {0};
    int64_t after = 0;
    if (s.n < sizeof after) return;
    memcpy(&after, s.p, sizeof after);
    s = str_make(s.p + sizeof after, s.n - sizeof after);
    int rc = eng_cron_check(s, &e);
    FUZZ_CHECK(rc == 0 || e.text[0]);
    int64_t next = eng_cron_next(s, after);
    if (rc) return;
    FUZZ_CHECK(next == -1 || next > after);
    if (next == -1 || s.p[0] == '@') return;
    int64_t same = eng_cron_next(s, next - 1); /* -1: too near the end of time */
    FUZZ_CHECK(same == next || same == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_in in = {data, n};
    unsigned which = fuzz_byte(&in) % 3;
    if (which == 0) times(fuzz_rest(&in));
    if (which == 1) durations(fuzz_rest(&in));
    if (which == 2) cron(fuzz_rest(&in));
    return 0;
}
