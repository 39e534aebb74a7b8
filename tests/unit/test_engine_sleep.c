/* Runs that sleep for long are put out of the engine's memory as soon as that is durable, and come
 * back from the file for whatever happens to them. */
#include "engine_fake.h"

#define HOUR (3600 * NS_PER_S)
#define JUMP_S 1 /* a jump of the wall is noticed within */

static int64_t nap = HOUR; /* how long the runs sleep */
static bool tells = true;  /* whether the worker says that they do nothing else */
static int markers;        /* events beside, in the same task */

static void sleeper_flow(struct fake *f, const struct backend_task *t, struct rec *const *e,
                         size_t n, struct plan *p)
{
    (void)f;
    struct rec *a;
    int naps = count_events(e, n, EVENT_TYPE_TIMER_STARTED),
        fired = count_events(e, n, EVENT_TYPE_TIMER_FIRED);
    if (fired) {
        add_complete(p, "1");
        return;
    }
    for (int i = 0; !naps && i < markers; i++) {
        add_command(p, COMMAND_TYPE_RECORD_MARKER, &a);
        rec_set_str(a, T(cmd_record_marker, marker_name), STR("m"));
    }
    if (!naps) add_timer(p, "1", nap);
    p->sleeps_till = tells ? t->wall_ns + nap : 0;
}

static void turns(struct fake *f, int64_t ns)
{
    int64_t end = clock_mono(&clock_system) + ns;
    while (clock_mono(&clock_system) < end)
        fake_turn(f);
}

static void begin(struct fake *f, const char *name)
{
    fake_init(f, name);
    f->workflow = sleeper_flow;
    nap = HOUR;
    tells = true;
    markers = 0;
    fake_open(f);
}

/* What the engine said of the run's sleep, and how many it keeps. */
static void one(struct fake *f, const char *id, bool sleeps, size_t cached)
{
    start(f, id, "flow");
    settle(f, false);
    CHECK_INT(f->last_answer.kind, BACKEND_OK);
    CHECK_INT(f->last_answer.sleeps, sleeps);
    CHECK_INT(engine_cached_runs(f->engine), cached);
}

static void test_which(void)
{
    struct fake f;
    CASE("a run that does nothing but sleep for long is put away");
    begin(&f, "which");
    one(&f, "far", true, 0);
    CASE("one that sleeps for seconds stays");
    nap = 5 * NS_PER_S;
    one(&f, "near", false, 1);
    CASE("one that waits for something else too stays");
    nap = HOUR;
    tells = false;
    one(&f, "other", false, 2);
    CASE("the longer its history, the longer it must sleep");
    tells = true;
    nap = 14 * NS_PER_S;
    one(&f, "short", true, 2);
    markers = 1000;
    one(&f, "long", false, 3);
    fake_remove(&f);
    CASE("under a virtual clock all stay: it jumps to the end of the sleep");
    fake_init(&f, "which");
    f.mode = ENGINE_CLOCK_VIRTUAL;
    f.workflow = sleeper_flow;
    markers = 0;
    nap = HOUR;
    fake_open(&f);
    one(&f, "far", false, 1);
    settle(&f, true);
    CHECK_INT(result(&f, "far"), RUN_COMPLETED);
    fake_remove(&f);
}

static void test_wake(void)
{
    struct fake f;
    CASE("what was put away wakes in time");
    begin(&f, "wake");
    one(&f, "w", true, 0);
    f.wall_offset += HOUR - NS_PER_S * 10;
    turns(&f, JUMP_S * NS_PER_S + 200 * NS_PER_MS);
    CHECK_INT(result(&f, "w"), RUN_RUNNING);
    f.wall_offset += 10 * NS_PER_S;
    turns(&f, JUMP_S * NS_PER_S + 200 * NS_PER_MS);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    CASE("a signal finds it, and it sleeps on");
    one(&f, "s", true, 1); /* the other one, which is closed */
    sig(&f, "s", "go", "r1");
    CHECK_INT(got.err.code, 0);
    settle(&f, false);
    history(&f, "s", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED), 1);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_WORKFLOW_TASK_COMPLETED), 2);
    f.wall_offset += HOUR;
    turns(&f, JUMP_S * NS_PER_S + 200 * NS_PER_MS);
    CHECK_INT(result(&f, "s"), RUN_COMPLETED);
    CASE("and so does its end by force");
    one(&f, "t", true, 2);
    struct backend_target t = {.workflow_id = STR("t")};
    clear(&got);
    f.b->ops->terminate(f.b, &t, STR("enough"), take, &got);
    wait_got(&f, &got);
    CHECK_INT(result(&f, "t"), RUN_TERMINATED);
    fake_remove(&f);
}

static void test_delay(void)
{
    struct fake f;
    CASE("a start that is put off by long costs nothing until then");
    begin(&f, "delay");
    struct backend_start s = {.workflow_id = STR("d"),
                              .workflow_type = STR("flow"),
                              .task_queue = STR("default"),
                              .entry = STR("/x/flow.lua"),
                              .start_delay_ns = HOUR};
    start_full(&f, &s);
    CHECK_INT(got.err.code, 0);
    settle(&f, false);
    CHECK_INT(engine_cached_runs(f.engine), 0);
    f.wall_offset += HOUR;
    turns(&f, JUMP_S * NS_PER_S + 200 * NS_PER_MS);
    CHECK_INT(engine_cached_runs(f.engine), 0);
    history(&f, "d", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_TIMER_STARTED), 1);
    fake_remove(&f);
}

/* More wait for their first task than the engine keeps in memory: each is read for it once at most,
 * and none is left in memory when all sleep. */
static void test_queue(void)
{
    struct fake f;
    char id[16];
    CASE("many that wait for a slot, then sleep: none is left in memory");
    fake_init(&f, "queue");
    f.workflow = sleeper_flow;
    f.runs_in_memory = 5;
    f.slots_wft = 2;
    nap = HOUR;
    markers = 0;
    tells = true;
    fake_open(&f);
    static struct got gots[60];
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof id, "q%d", i);
        struct backend_start s = {.workflow_id = str_of(id),
                                  .workflow_type = STR("flow"),
                                  .task_queue = STR("default"),
                                  .entry = STR("/x/flow.lua")};
        clear(&gots[i]);
        f.b->ops->start(f.b, &s, take, &gots[i]);
        if (i % 3 == 2) fake_turn(&f); /* some commits come when a slot is free again */
    }
    settle(&f, false);
    for (int i = 0; i < 60; i++) {
        CHECK(gots[i].done && !gots[i].err.code);
        clear(&gots[i]);
    }
    CHECK_INT(f.answers, 60);
    CHECK_INT(engine_cached_runs(f.engine), 0);
    f.wall_offset += HOUR;
    turns(&f, JUMP_S * NS_PER_S + 500 * NS_PER_MS);
    settle(&f, false);
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof id, "q%d", i);
        CHECK_INT(result(&f, id), RUN_COMPLETED);
    }
    fake_remove(&f);
}

int main(void)
{
    test_which();
    test_wake();
    test_delay();
    test_queue();
    clear(&got);
    clear(&hist);
    return CHECK_DONE();
}
