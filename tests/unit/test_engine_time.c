/* The engine and time: wall clocks that jump, limits of times and delays, a year of timers with a
 * restart each day. Durable timers are due by the wall clock (they outlive the process), time-outs
 * of attempts by the monotonic one: a jump of the wall moves the former only.
 *
 *   test_engine_time [--timers N] [--seed S]      timers of the simulated year, default 4,000 */
#include "engine_fake.h"

#define HOUR (3600 * NS_PER_S)
#define DAY (24 * HOUR)
#define JUMP_S 1 /* a jump of the wall is noticed within */

/* Real turns for so long. */
static void turns(struct fake *f, int64_t ns)
{
    int64_t end = clock_mono(&clock_system) + ns;
    while (clock_mono(&clock_system) < end)
        fake_turn(f);
}

static int fired(struct fake *f, const char *id)
{
    history(f, id, NULL);
    return count_events(hist.events, hist.n, EVENT_TYPE_TIMER_FIRED);
}

/* Three timers: in 30 minutes, in an hour, in two days. */
static void three_timers(struct fake *f, const struct backend_task *t, struct rec *const *e,
                         size_t n, struct plan *p)
{
    (void)f;
    (void)t;
    if (!count_events(e, n, EVENT_TYPE_TIMER_STARTED)) {
        add_timer(p, "1", HOUR / 2);
        add_timer(p, "2", HOUR);
        add_timer(p, "3", 2 * DAY);
    } else if (count_events(e, n, EVENT_TYPE_TIMER_FIRED) == 3) {
        add_complete(p, "3");
    }
}

static void test_forward(void)
{
    struct fake f;
    CASE("the wall jumps forward: what is due by it fires within a second, once, in order");
    fake_init(&f, "forward");
    f.workflow = three_timers;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    CHECK_INT(fired(&f, "w"), 0);
    f.wall_offset += HOUR - 10 * NS_PER_S; /* one hour, less ten seconds */
    turns(&f, JUMP_S * NS_PER_S + 500 * NS_PER_MS);
    CHECK_INT(fired(&f, "w"), 1);
    f.wall_offset += DAY;
    turns(&f, JUMP_S * NS_PER_S + 500 * NS_PER_MS);
    CHECK_INT(fired(&f, "w"), 2);
    CHECK_INT(result(&f, "w"), RUN_RUNNING);
    f.wall_offset += DAY;
    turns(&f, JUMP_S * NS_PER_S + 500 * NS_PER_MS);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    CHECK_INT(fired(&f, "w"), 3); /* none twice */
    fake_remove(&f);
}

static void test_back(int64_t back, const char *name)
{
    struct fake f;
    CASE(name);
    fake_init(&f, "back");
    f.workflow = three_timers;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    f.wall_offset -= back;
    turns(&f, 1200 * NS_PER_MS);
    CHECK_INT(fired(&f, "w"), 0); /* none early */
    start(&f, "later", "flow");   /* a run that begins in the past has its own due times */
    settle(&f, false);
    f.wall_offset += HOUR / 2 + NS_PER_S;
    turns(&f, 1500 * NS_PER_MS);
    CHECK_INT(fired(&f, "w"), 0);
    CHECK_INT(fired(&f, "later"), 1);
    fake_reopen(&f); /* a restart under the wrong clock loses nothing */
    settle(&f, false);
    CHECK_INT(fired(&f, "w"), 0);
    CHECK_INT(fired(&f, "later"), 1);
    f.wall_offset += back; /* the clock is right again */
    turns(&f, 1500 * NS_PER_MS);
    CHECK_INT(fired(&f, "w"), 1);
    f.wall_offset += 3 * DAY;
    turns(&f, 1500 * NS_PER_MS);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    CHECK_INT(result(&f, "later"), RUN_COMPLETED);
    CHECK_INT(fired(&f, "w"), 3);
    fake_remove(&f);
}

/* A task that takes 4 s of the wall: a timer of 10 s, one till 10 s and one till 2 s after the task
 * began. */
static int64_t slow_began;

static void slow_task(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                      struct plan *p)
{
    if (!count_events(e, n, EVENT_TYPE_TIMER_STARTED)) {
        slow_began = t->wall_ns;
        f->wall_offset += 4 * NS_PER_S;
        add_timer(p, "1", 10 * NS_PER_S);
        add_timer_till(p, "2", slow_began, slow_began + 10 * NS_PER_S);
        add_timer_till(p, "3", slow_began, slow_began + 2 * NS_PER_S);
    } else if (count_events(e, n, EVENT_TYPE_TIMER_FIRED) == 3) {
        add_complete(p, "3");
    }
}

static void test_till(void)
{
    struct fake f;
    CASE("a timer till a time is due then, however long the task took; a duration counts from its "
         "end");
    fake_init(&f, "till");
    f.workflow = slow_task;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    CHECK_INT(fired(&f, "w"), 1); /* 3 was over when it was asked for */
    for (size_t i = 0, k = 0; i < hist.n; i++) {
        const struct rec *ev = hist.events[i], *a = event_attrs(ev);
        if (event_type(ev) != EVENT_TYPE_TIMER_STARTED) continue;
        int64_t d = rec_int(a, T(ev_timer_started, start_to_fire_timeout));
        int64_t from_began = event_time(ev) + d - slow_began;
        k++;
        CHECK(k != 1 || (d == 10 * NS_PER_S && from_began >= 14 * NS_PER_S));
        CHECK(k != 2 || from_began == 10 * NS_PER_S);
        CHECK(k != 3 || (d == 1 && from_began >= 4 * NS_PER_S));
    }
    f.wall_offset += 6 * NS_PER_S; /* 10 s after the beginning */
    turns(&f, JUMP_S * NS_PER_S + 500 * NS_PER_MS);
    CHECK_INT(fired(&f, "w"), 2);
    fake_reopen(&f); /* as the file has it */
    f.wall_offset += 4 * NS_PER_S;
    turns(&f, JUMP_S * NS_PER_S + 500 * NS_PER_MS);
    CHECK_INT(fired(&f, "w"), 3);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    fake_remove(&f);
}

/* One activity that is held, with a time-out of 2 s and one attempt. */
static void one_activity(struct fake *f, const struct backend_task *t, struct rec *const *e,
                         size_t n, struct plan *p)
{
    (void)f;
    (void)t;
    if (!count_events(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED))
        add_retry(p, add_activity(p, "1", "act", 2 * NS_PER_S, NULL), NS_PER_MS, 1);
    else if (count_events(e, n, EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT))
        add_complete(p, "\"timed out\"");
}
static enum act_reply hold(struct fake *f, const struct backend_task *t)
{
    (void)f;
    (void)t;
    return REPLY_HOLD;
}

static void test_attempts(void)
{
    struct fake f;
    CASE("time-outs of attempts count real time, whatever the wall does");
    fake_init(&f, "attempts");
    f.workflow = one_activity;
    f.activity = hold;
    fake_open(&f);
    start(&f, "w", "flow");
    turns(&f, 300 * NS_PER_MS);
    CHECK_INT(f.n_held, 1);
    f.wall_offset += DAY;
    turns(&f, 300 * NS_PER_MS);
    f.wall_offset -= 2 * DAY;
    turns(&f, 300 * NS_PER_MS);
    CHECK_INT(result(&f, "w"), RUN_RUNNING);
    for (int i = 0; i < 20000 && result(&f, "w") == RUN_RUNNING; i++)
        fake_turn(&f);
    CHECK_STR(got.text, "\"timed out\"");
    history(&f, "w", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT), 1);
    fake_remove(&f);
}

/* ---- a clock that is slewed, a machine that sleeps ---- */
static int64_t slew_due[3];

/* Timers of 400, 800 and 1,200 ms and an activity of 2 s that is held. */
static void slewed_flow(struct fake *f, const struct backend_task *t, struct rec *const *e,
                        size_t n, struct plan *p)
{
    (void)f;
    (void)t;
    if (!count_events(e, n, EVENT_TYPE_TIMER_STARTED)) {
        for (int i = 0; i < 3; i++)
            add_timer(p, i == 0 ? "1" : i == 1 ? "2" : "3", (i + 1) * 400 * NS_PER_MS);
        add_retry(p, add_activity(p, "a", "act", 2 * NS_PER_S, NULL), NS_PER_MS, 1);
    } else if (count_events(e, n, EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT)) {
        add_complete(p, "\"timed out\"");
    }
}

/* A clock that is corrected little by little goes faster or slower than time for a while. */
static void test_slew(int64_t permille, const char *name)
{
    struct fake f;
    CASE(name);
    fake_init(&f, "slew");
    f.workflow = slewed_flow;
    f.activity = hold;
    f.slew_permille = permille;
    f.slew_from = clock_mono(&clock_system);
    fake_open(&f);
    int64_t began = clock_mono(&clock_system);
    start(&f, "w", "flow");
    for (int i = 0; i < 100000 && result(&f, "w") == RUN_RUNNING; i++)
        fake_turn(&f);
    int64_t took = clock_mono(&clock_system) - began;
    CHECK_STR(got.text, "\"timed out\"");
    CHECK(took >= 2 * NS_PER_S && took < 3 * NS_PER_S); /* real seconds, not the wall's */
    history(&f, "w", NULL);
    int seen = 0;
    for (size_t i = 0; i < hist.n; i++) {
        const struct rec *ev = hist.events[i], *a = event_attrs(ev);
        if (event_type(ev) == EVENT_TYPE_TIMER_STARTED)
            slew_due[atoi(rec_str(a, T(ev_timer_started, timer_id)).p) - 1] =
                event_time(ev) + rec_int(a, T(ev_timer_started, start_to_fire_timeout));
        if (event_type(ev) != EVENT_TYPE_TIMER_FIRED) continue;
        int k = atoi(rec_str(a, T(ev_timer_fired, timer_id)).p) - 1;
        int64_t late = event_time(ev) - slew_due[k];
        CHECK_INT(k, seen++);                          /* in order, each once */
        CHECK(late >= 0 && late <= JUMP_S * NS_PER_S); /* by the wall, never early */
    }
    CHECK_INT(seen, 3);
    fake_remove(&f);
}

static void either(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                   struct plan *p)
{
    (str_eqz(t->workflow_id, "attempt") ? slewed_flow : three_timers)(f, t, e, n, p);
}

/* While a machine is suspended the monotonic clock stands still and the wall goes on: what was due
 * meanwhile fires within a second of waking; an attempt has lost nothing of its time. */
static void test_suspend(void)
{
    struct fake f;
    CASE("a suspended machine: timers fire on waking, once and in order; attempts keep their time");
    fake_init(&f, "suspend");
    f.workflow = either;
    f.activity = hold;
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    int64_t began = clock_mono(&clock_system);
    start(&f, "attempt", "flow");
    turns(&f, 200 * NS_PER_MS);
    CHECK_INT(f.n_held, 1);
    CHECK_INT(fired(&f, "attempt"), 0);
    f.wall_offset += 8 * HOUR; /* the lid was closed for the night */
    turns(&f, JUMP_S * NS_PER_S + 300 * NS_PER_MS);
    CHECK_INT(fired(&f, "w"), 2);
    CHECK_INT(fired(&f, "attempt"), 3);
    CHECK(clock_mono(&clock_system) - began < 2 * NS_PER_S);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT), 0);
    for (int i = 0; i < 100000 && result(&f, "attempt") == RUN_RUNNING; i++)
        fake_turn(&f);
    CHECK_STR(got.text, "\"timed out\"");
    CHECK(clock_mono(&clock_system) - began >= 2 * NS_PER_S);
    CHECK_INT(fired(&f, "w"), 2); /* the third is due in two days, and no other came twice */
    CHECK_INT(result(&f, "w"), RUN_RUNNING);
    fake_remove(&f);
}

/* ---- limits ---- */
static int64_t asked_delay;
static void one_timer(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                      struct plan *p)
{
    (void)f;
    (void)t;
    if (count_events(e, n, EVENT_TYPE_TIMER_FIRED))
        add_complete(p, "\"fired\"");
    else if (!count_events(e, n, EVENT_TYPE_TIMER_STARTED))
        add_timer(p, "1", asked_delay);
}

static void test_limits(void)
{
    static const struct {
        const char *name;
        int64_t delay;
        int fires; /* at once */
    } all[] = {{"no delay", 0, 1},
               {"2^31 - 1 ms", INT64_C(2147483647) * NS_PER_MS, 0},
               {"2^31 ms", INT64_C(2147483648) * NS_PER_MS, 0},
               {"2^32 s", INT64_C(4294967296) * NS_PER_S, 0},
               {"100 years", 36525 * DAY, 0},
               {"the largest there is: due at the end of time, not before it began", INT64_MAX, 0}};
    struct fake f;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CASE(all[i].name);
        fake_init(&f, "limits");
        f.workflow = one_timer;
        asked_delay = all[i].delay;
        fake_open(&f);
        start(&f, "w", "flow");
        turns(&f, 50 * NS_PER_MS);
        CHECK_INT(fired(&f, "w"), all[i].fires);
        fake_reopen(&f);
        turns(&f, 50 * NS_PER_MS);
        CHECK_INT(fired(&f, "w"), all[i].fires);
        CHECK_INT(result(&f, "w"), all[i].fires ? RUN_COMPLETED : RUN_RUNNING);
        fake_remove(&f);
    }
    CASE("before and after January 2038 in one run");
    fake_init(&f, "limits");
    f.workflow = three_timers;
    f.wall_offset = INT64_C(2147483647) * NS_PER_S - HOUR * 3 / 4 - clock_wall(&clock_system);
    fake_open(&f);
    start(&f, "w", "flow");
    settle(&f, false);
    f.wall_offset += HOUR / 2 + NS_PER_S;
    turns(&f, 1500 * NS_PER_MS);
    CHECK_INT(fired(&f, "w"), 1);
    fake_reopen(&f);
    f.wall_offset += HOUR / 2;
    turns(&f, 1500 * NS_PER_MS);
    CHECK_INT(fired(&f, "w"), 2);
    CHECK(event_time(hist.events[hist.n - 1]) > INT64_C(2147483647) * NS_PER_S);
    f.wall_offset += 2 * DAY;
    turns(&f, 1500 * NS_PER_MS);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    fake_remove(&f);
}

/* ---- a year ---- */
#define TIMERS_A_RUN 20
#define DOWN (10 * 60 * NS_PER_S) /* the process is away for ten minutes each midnight */
static uint64_t seed = 20260401;
static int64_t year_wall; /* stands still but for us */

static int64_t year_clock(void *ud)
{
    (void)ud;
    return year_wall;
}

/* The k-th delay of a run: whole minutes of the year, so that many are due together. */
static int64_t delay_of(struct str id, int k)
{
    uint64_t x = seed ^ (uint64_t)strtoull(id.p + 1, NULL, 10) * 0x9E3779B97F4A7C15u;
    for (int i = 0; i <= k; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return (int64_t)(x % (364 * 24 * 60)) * 60 * NS_PER_S;
}

static void year_flow(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                      struct plan *p)
{
    (void)f;
    if (!count_events(e, n, EVENT_TYPE_TIMER_STARTED)) {
        for (int i = 0; i < TIMERS_A_RUN; i++) {
            char id[16], name[32];
            snprintf(id, sizeof id, "%d", i + 1);
            snprintf(name, sizeof name, "%.*s", STR_ARG(t->workflow_id));
            add_timer(p, id, delay_of(str_of(name), i));
        }
    } else if (count_events(e, n, EVENT_TYPE_TIMER_FIRED) == TIMERS_A_RUN) {
        add_complete(p, "true");
    }
}

/* One run: each timer fired once, in the order of (due, id), on time or at the end of an outage. */
static int64_t check_year(struct fake *f, const char *id, int64_t began)
{
    int64_t due[TIMERS_A_RUN + 1] = {0}, latest = 0, last_due = 0;
    int64_t last_id = 0;
    int seen = 0;
    history(f, id, NULL);
    for (size_t i = 0; i < hist.n; i++) {
        const struct rec *ev = hist.events[i], *a = event_attrs(ev);
        if (event_type(ev) == EVENT_TYPE_TIMER_STARTED) {
            int k = atoi(rec_str(a, T(ev_timer_started, timer_id)).p);
            due[k] = event_time(ev) + rec_int(a, T(ev_timer_started, start_to_fire_timeout));
        } else if (event_type(ev) == EVENT_TYPE_TIMER_FIRED) {
            int k = atoi(rec_str(a, T(ev_timer_fired, timer_id)).p);
            int64_t late = event_time(ev) - due[k], midnight;
            CHECK(due[k] > 0);
            CHECK(late >= 0);
            CHECK(due[k] > last_due || (due[k] == last_due && k > last_id));
            last_due = due[k];
            last_id = k;
            midnight = (due[k] - began) / DAY * DAY + began;
            if (due[k] - midnight <= DOWN) late -= midnight + DOWN - due[k];
            latest = late > latest ? late : latest;
            due[k] = 0;
            seen++;
        }
    }
    CHECK_INT(seen, TIMERS_A_RUN);
    CHECK_INT(event_type(hist.events[hist.n - 1]), EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    return latest;
}

static void test_year(int timers)
{
    struct fake f;
    int runs = timers / TIMERS_A_RUN, restarts = 0;
    char id[32];
    CASE("a year of timers with a restart each day: each fires once, on time, in order");
    fake_init(&f, "year");
    f.no_cache = true;
    f.fast = true; /* what is shown here is time, not the disk */
    f.timers_in_memory = 1000;
    f.runs_in_memory = 500;
    f.workflow = year_flow;
    int64_t began = INT64_C(1767225600) * NS_PER_S, day_end = began + DAY,
            from = clock_mono(&clock_system);
    year_wall = began;
    f.mode = ENGINE_CLOCK_HOST;
    f.wall = year_clock;
    fake_open(&f);
    for (int i = 0; i < runs; i++) {
        snprintf(id, sizeof id, "w%d", i);
        start(&f, id, "flow");
    }
    while (restarts < 366) {
        int64_t due = 0;
        fake_turn(&f);
        int act = f.n_tasks ? 1 : engine_activity(f.engine, &due);
        f.worked = true; /* the next turn waits for nothing: time is ours */
        if (act == 1) continue;
        if (act == 2 && due < day_end) {
            year_wall = due > year_wall ? due : year_wall;
            engine_advance(f.engine);
            continue;
        }
        year_wall = day_end + DOWN;
        day_end += DAY;
        restarts++;
        fake_reopen(&f);
    }
    int64_t latest = 0;
    for (int i = 0; i < runs; i++) {
        snprintf(id, sizeof id, "w%d", i);
        int64_t late = check_year(&f, id, began);
        latest = late > latest ? late : latest;
    }
    CHECK(latest <= NS_PER_MS);
    printf("%d timers over a year, %d restarts: each fired once, at most %.3f ms late; %.1f s\n",
           runs * TIMERS_A_RUN, restarts, (double)latest / 1e6,
           (double)(clock_mono(&clock_system) - from) / 1e9);
    fake_remove(&f);
}

int main(int argc, char **argv)
{
    int timers = 4000;
    bool only_year = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--timers") == 0) timers = atoi(argv[i + 1]), only_year = true;
        if (strcmp(argv[i], "--seed") == 0) seed = strtoull(argv[i + 1], NULL, 10);
    }
    if (!only_year) {
        test_forward();
        test_back(DAY, "the wall jumps back a day: no timer fires early, none is lost");
        test_back(HOUR, "the wall jumps back an hour");
        test_back(INT64_C(55) * 365 * DAY, "the wall jumps back to the seventies");
        test_till();
        test_attempts();
        test_slew(100, "a wall that gains a tenth: timers by the wall, attempts by real time");
        test_slew(-100, "a wall that loses a tenth");
        test_suspend();
        test_limits();
    }
    printf("seed %llu\n", (unsigned long long)seed);
    test_year(timers);
    clear(&got);
    clear(&hist);
    return CHECK_DONE();
}
