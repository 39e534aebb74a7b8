/* The library through its public header alone: small scripts in temporary folders. */
#include "host_helpers.h"
#include "resident.h"
#include <fcntl.h>
#include <pthread.h>

static void hello(void)
{
    fresh("hello: the result is the value alone; nothing goes to stdout",
          "ml.workflow('hello', function(who) return 'hello ' .. who end)");
    int keep = dup(1), fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    fflush(stdout);
    dup2(fd, 1);
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    load_script(h);
    start(h, "h1", "\"world\"");
    CHECK_INT(rep.code, 0);
    CHECK_STR(rep.status, "Running");
    ASK(h, ml_result(h, "h1", NULL, 1, on_reply, &rep));
    CHECK_STR(rep.json, "\"hello world\"");
    CHECK_STR(rep.status, "Completed");
    CHECK(strstr(events, "WorkflowExecutionStarted:hello") &&
          strstr(events, "WorkflowExecutionCompleted"));
    CHECK_INT(ml_run(h, NULL, NULL), 0); /* nothing is open */
    ml_close(h);
    fflush(stdout);
    CHECK_INT(lseek(fd, 0, SEEK_END), 0);
    dup2(keep, 1);
    close(keep);
    close(fd);
    wipe();
}

static const char loop_script[] =
    "local add = ml.activity('add', {timeout='5s'}, function(a, b) return a + b end)\n"
    "local flaky = ml.activity('flaky', {timeout='5s', retry={initial='10ms', max_attempts=5}}, "
    "function() if ml.info().attempt < 3 then error('not yet') end return ml.info().attempt end)\n"
    "ml.workflow('loop', function(n)\n"
    "  local s = 0\n"
    "  for i = 1, n do s = add(s, i); ml.sleep('1d') end\n"
    "  return { sum = s, tries = flaky() }\n"
    "end)\n";

static void activities(void)
{
    fresh("activities, retries and days of virtual time", loop_script);
    time_t t0 = time(NULL);
    ml_host *h = open_host(ML_CLOCK_VIRTUAL, 0);
    load_script(h);
    start(h, "l", "4");
    ASK(h, ml_result(h, "l", NULL, 1, on_reply, &rep));
    CHECK_STR(rep.json, "{\"sum\":10,\"tries\":3}");
    CHECK(time(NULL) - t0 < 60);
    CHECK(strstr(events, "ActivityTaskCompleted:add"));
    ASK(h, ml_history(h, "l", NULL, on_reply, &rep));
    CHECK(rep.json && strstr(rep.json, "EVENT_TYPE_TIMER_FIRED"));
    char *history = strdup(rep.json);
    ASK(h, ml_replay(h, history, script_path, on_reply, &rep));
    if (rep.code) fprintf(stderr, "replay: %s\n", rep.text);
    CHECK_INT(rep.code, 0);
    CHECK(strstr(rep.json, "\"ok\":true"));
    script("local sub = ml.activity('sub', {timeout='5s'}, function(a, b) return a - b "
           "end)\nml.workflow('loop', function(n) return sub(1, 2) end)\n");
    ASK(h, ml_replay(h, history, script_path, on_reply, &rep));
    CHECK_INT(rep.code, ML_E_NONDETERMINISM);
    CHECK(strstr(rep.json, "\"ok\":false") && strstr(rep.text, "sub") && strstr(rep.text, "add"));
    free(history);
    ml_close(h);
    wipe();
}

static const char talk_script[] =
    "ml.workflow('talk', function()\n"
    "  local sum = 0\n"
    "  ml.query('sum', function() return sum end)\n"
    "  ml.update('add', function(n) if n < 0 then ml.fail('negative', {type='Negative'}) end sum = "
    "sum + n return sum end)\n"
    "  local ch = ml.channel('word')\n"
    "  local ok, word = ch:receive()\n"
    "  return word .. sum\n"
    "end)\n";

static void talking(void)
{
    fresh("signals, queries, updates", talk_script);
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    load_script(h);
    start(h, "t", NULL);
    ASK(h, ml_update(h, "t", NULL, "add", "[4]", NULL, 1, on_reply, &rep));
    CHECK_INT(rep.code, 0);
    CHECK_STR(rep.json, "4");
    ASK(h, ml_query(h, "t", NULL, "sum", "[]", on_reply, &rep));
    CHECK_STR(rep.json, "4");
    ASK(h, ml_update(h, "t", NULL, "add", "[-1]", NULL, 1, on_reply, &rep));
    CHECK_INT(rep.code, ML_E_FAILED);
    CHECK(rep.failure && strstr(rep.failure, "negative"));
    ASK(h, ml_query(h, "t", NULL, "nothing", "[]", on_reply, &rep));
    CHECK(rep.code < 0);
    ASK(h, ml_signal(h, "nobody", NULL, "word", "1", NULL, on_reply, &rep));
    CHECK_INT(rep.code, ML_E_NOTFOUND);
    ASK(h, ml_describe(h, "t", NULL, on_reply, &rep));
    CHECK_INT(rep.code, 0);
    CHECK(strstr(rep.json, "word"));
    CHECK_INT(ml_run(h, NULL, NULL), 1); /* waits for a message */
    ASK(h, ml_signal(h, "t", NULL, "word", "\"w\"", NULL, on_reply, &rep));
    CHECK_INT(rep.code, 0);
    ASK(h, ml_result(h, "t", NULL, 1, on_reply, &rep));
    CHECK_STR(rep.json, "\"w4\"");
    ASK(h, ml_query(h, "t", NULL, "sum", "[]", on_reply, &rep)); /* of a closed run */
    CHECK_STR(rep.json, "4");
    ASK(h, ml_list(h, "{\"status\":\"Completed\"}", on_reply, &rep));
    CHECK(strstr(rep.json, "\"t\""));
    ASK(h, ml_doctor(h, on_reply, &rep));
    CHECK_INT(rep.code, 0);
    CHECK(strstr(rep.json, "SQLite") && strstr(rep.json, "integrity"));
    ml_close(h);
    wipe();
}

static void unowned(void)
{
    fresh("without anybody who runs it a start and a signal are recorded, and a query replays",
          talk_script);
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    load_script(h);
    ml_start_options o = {.id = "t"};
    ASK(h, ml_start(h, &o, on_reply, &rep));
    CHECK_INT(rep.code, 0);
    CHECK(*rep.text);
    ml_close(h);
    h = open_host(ML_CLOCK_FILE, 0); /* no script loaded */
    ASK(h, ml_signal(h, "t", NULL, "word", "\"x\"", NULL, on_reply, &rep));
    CHECK_INT(rep.code, 0);
    CHECK(*rep.text);
    ASK(h, ml_query(h, "t", NULL, "sum", "[]", on_reply,
                    &rep)); /* it has not begun: nothing is registered yet */
    CHECK_INT(rep.code, ML_E_FAILED);
    ml_close(h);
    h = open_host(ML_CLOCK_FILE, ML_DRIVE_ALL);
    load_script(h);
    ASK(h, ml_update(h, "t", NULL, "add", "[3]", NULL, 1, on_reply, &rep));
    ASK(h, ml_result(h, "t", NULL, 1, on_reply, &rep));
    CHECK(rep.json);
    ml_close(h);
    h = open_host(ML_CLOCK_FILE, 0);
    ASK(h, ml_query(h, "t", NULL, "sum", "[]", on_reply, &rep));
    if (rep.code) fprintf(stderr, "query: %s\n", rep.text);
    CHECK_INT(rep.code, 0);
    CHECK(strcmp(rep.json, "3") == 0 ||
          strcmp(rep.json, "0") == 0); /* the update came before or after the signal */
    ml_close(h);
    wipe();
}

static void ends(void)
{
    fresh("cancel, terminate, fail",
          "ml.workflow('w', function(how) if how == 'fail' then ml.fail('no', {type='Nope', "
          "retryable=false}) end ml.sleep('1d') return 1 end)");
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    load_script(h);
    start(h, "c", NULL);
    ASK(h, ml_cancel(h, "c", NULL, "enough", on_reply, &rep));
    CHECK_INT(rep.code, 0);
    ASK(h, ml_result(h, "c", NULL, 1, on_reply, &rep));
    CHECK_STR(rep.status, "Canceled");
    start(h, "k", NULL);
    ASK(h, ml_terminate(h, "k", NULL, "enough", on_reply, &rep));
    ASK(h, ml_result(h, "k", NULL, 1, on_reply, &rep));
    CHECK_STR(rep.status, "Terminated");
    start(h, "f", "\"fail\"");
    ASK(h, ml_result(h, "f", NULL, 1, on_reply, &rep));
    CHECK_STR(rep.status, "Failed");
    CHECK(rep.failure && strstr(rep.failure, "\"type\":\"Nope\"") &&
          strstr(rep.failure, "\"retryable\":false"));
    ml_close(h);
    wipe();
}

static void mended(void)
{
    fresh("a blocked run goes on with the mended script",
          "local one = ml.activity('one', {timeout='5s'}, function() return 1 "
          "end)\nml.workflow('w', function() local a = one() return nothing.x + a end)");
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    load_script(h);
    start(h, "b", NULL);
    CHECK_INT(ml_run(h, NULL, NULL), 1);
    CHECK(event_counts[ML_EVENT_BLOCKED] > 0);
    ASK(h, ml_describe(h, "b", NULL, on_reply, &rep));
    CHECK_STR(rep.status, "Blocked");
    CHECK(strstr(rep.json, "s.lua:3"));
    ml_close(h);
    script("local two = ml.activity('two', {timeout='5s'}, function() return 1 "
           "end)\nml.workflow('w', function() return two() end)");
    h = open_host(ML_CLOCK_FILE, 0);
    load_script(h);
    start(h, "b", NULL);
    CHECK_STR(rep.status, "Blocked");
    CHECK(strstr(rep.text, "one") && strstr(rep.text, "two"));
    ml_close(h);
    script("local one = ml.activity('one', {timeout='5s'}, function() return 1 "
           "end)\nml.workflow('w', function() local a = one() return 41 + a end)");
    h = open_host(ML_CLOCK_FILE, 0);
    load_script(h);
    start(h, "b", NULL);
    CHECK_INT(rep.existing, 1);
    CHECK_STR(rep.status, "Running");
    ASK(h, ml_result(h, "b", NULL, 1, on_reply, &rep));
    CHECK_STR(rep.json, "42");
    ml_close(h);
    wipe();
}

static void resume(void)
{
    fresh("the rules of going on",
          "ml.workflow('w', function(x) ml.channel('go'):receive() return x end)");
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    char first[200];
    load_script(h);
    start(h, NULL, "{\"a\":1, \"b\":2}");
    CHECK_INT(rep.code, 0);
    CHECK_INT(rep.existing, 0);
    snprintf(first, sizeof first, "%s", rep.id);
    start(h, NULL, "{\"b\":2,\"a\":1}"); /* the same input, written otherwise */
    CHECK_STR(rep.id, first);
    CHECK_INT(rep.existing, 1);
    start(h, NULL, "{\"a\":2}");
    CHECK(strcmp(rep.id, first) != 0);
    ml_start_options again = {.input_json = "{\"a\":1,\"b\":2}"};
    ASK(h, ml_start(h, &again, on_reply, &rep)); /* without resume: another run */
    CHECK(strcmp(rep.id, first) != 0);
    start(h, NULL, "{\"a\":1,\"b\":2}");
    CHECK_INT(rep.code, ML_E_ARG);
    CHECK(strstr(rep.text, first));
    start(h, first, "{\"a\":3}");
    CHECK_INT(rep.code, ML_E_EXISTS);
    ASK(h, ml_signal(h, first, NULL, "go", "1", NULL, on_reply, &rep));
    ASK(h, ml_result(h, first, NULL, 1, on_reply, &rep));
    start(h, first, "{\"a\":1,\"b\":2}");
    CHECK_INT(rep.existing, 1);
    CHECK_STR(rep.status, "Completed");
    CHECK_STR(rep.json, "{\"a\":1,\"b\":2}");
    ml_start_options none = {.workflow = "v"};
    ASK(h, ml_start(h, &none, on_reply, &rep));
    CHECK_INT(rep.code, ML_E_NOTFOUND);
    CHECK(strstr(rep.text, "w"));
    ml_close(h);
    wipe();
}

static void walk(void *ud, ml_host *h, uint64_t call, const char *args)
{
    (*(int *)ud)++;
    CHECK_STR(args, "[{\"x\":9007199254740993}]");
    CHECK_INT(ml_activity_done(h, call, "{\"x\":9007199254740993}", NULL, 0), 0);
    CHECK(ml_activity_done(h, call, "1", NULL, 0) < 0);
}

static void c_activity(void)
{
    int n = 0;
    fresh("an activity in C; integers of 64 bits pass",
          "local walk = ml.activity('walk', {timeout='5s'})\nml.workflow('w', function(p) return "
          "walk(p) end)");
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    CHECK_INT(ml_register_activity(h, "walk", walk, &n), 0);
    CHECK_INT(ml_register_activity(h, "walk", walk, &n), ML_E_EXISTS);
    load_script(h);
    start(h, "c", "{\"x\":9007199254740993}");
    ASK(h, ml_result(h, "c", NULL, 1, on_reply, &rep));
    CHECK_STR(rep.json, "{\"x\":9007199254740993}");
    CHECK_INT(n, 1);
    ml_close(h);
    wipe();
}

/* The types of a history's events, in order. */
static void types_of(const char *json, char *out, size_t n)
{
    out[0] = 0;
    for (const char *p = json; (p = strstr(p, "EVENT_TYPE_")) != NULL; p++) {
        size_t len = strcspn(p, "\"");
        size_t at = strlen(out);
        snprintf(out + at, n - at, "%.*s ", (int)len, p);
    }
}

static void evicting(void)
{
    static char plain[20000], got[20000];
    static const char *const set[][2] = {
        {"ML_CACHE_RUNS", "0"}, {"ML_CACHE_RUNS", "1"}, {"ML_EVICT_ALWAYS", "1"}};
    for (int i = 0; i < 3; i++) {
        fresh("eviction never changes a history", loop_script);
        setenv(set[i][0], set[i][1], 1);
        ml_host *h = open_host(ML_CLOCK_VIRTUAL, 0);
        load_script(h);
        start(h, "l", "3");
        ASK(h, ml_result(h, "l", NULL, 1, on_reply, &rep));
        CHECK_STR(rep.json, "{\"sum\":6,\"tries\":3}");
        ASK(h, ml_history(h, "l", NULL, on_reply, &rep));
        types_of(rep.json, i ? got : plain, sizeof got);
        if (i) CHECK_STR(got, plain);
        ml_close(h);
        unsetenv(set[i][0]);
        wipe();
    }
}

static int64_t game_now = 1700000000000000000;
static int64_t game_clock(void *ud)
{
    (void)ud;
    return game_now;
}

static void snapshots(void)
{
    fresh("a snapshot is saved, gone back to, and opened by another host",
          "ml.workflow('w', function() local n = 0 ml.query('n', function() return n end) while n "
          "< 5 do ml.sleep('1s') n = n + 1 end return n end)");
    char snap[200];
    snprintf(snap, sizeof snap, "%s/snap", dir);
    ml_config c = config(ML_CLOCK_HOST);
    c.path = NULL;
    c.durability = ML_DURABILITY_SNAPSHOT;
    c.flags = ML_NO_THREADS | ML_DRIVE_ALL;
    c.wall_ns = game_clock;
    ml_host *h = open_with(&c);
    load_script(h);
    start(h, "g", NULL);
    for (int i = 0; i < 25; i++, game_now += 100000000)
        CHECK(ml_step(h, 1000000) >= 0);
    ASK(h, ml_query(h, "g", NULL, "n", "[]", on_reply, &rep));
    CHECK_STR(rep.json, "2");
    CHECK_INT(ml_save(h, snap), 0);
    for (int i = 0; i < 20; i++, game_now += 100000000)
        CHECK(ml_step(h, 1000000) >= 0);
    ASK(h, ml_query(h, "g", NULL, "n", "[]", on_reply, &rep));
    CHECK_STR(rep.json, "4");
    game_now -= 2000000000;
    if (ml_restore(h, snap)) fprintf(stderr, "restore: %s\n", ml_error(h));
    CHECK_INT(ml_restore(h, snap), 0);
    ASK(h, ml_query(h, "g", NULL, "n", "[]", on_reply, &rep));
    CHECK_STR(rep.json, "2");
    ml_close(h);
    c.path = snap;
    h = open_with(&c);
    load_script(h);
    reply_reset(&rep);
    CHECK_INT(ml_result(h, "g", NULL, 1, on_reply, &rep), 0);
    for (int i = 0; i < 100 && !rep.done; i++, game_now += 100000000)
        CHECK(ml_step(h, 1000000) >= 0);
    CHECK_STR(rep.json, "5");
    ml_close(h);
    wipe();
}

static long allocs;
static void *counting(void *ud, void *p, size_t n)
{
    (void)ud;
    __atomic_add_fetch(&allocs, 1, __ATOMIC_RELAXED);
    if (n) return realloc(p, n);
    free(p);
    return NULL;
}

static int posted;
static void on_post(void *ud)
{
    posted++;
    ml_stop(ud);
}
static void *poster(void *ud)
{
    CHECK_INT(ml_post(ud, on_post, ud), 0);
    return NULL;
}
static int forever(void *ud)
{
    (void)ud;
    return 1;
}
static int working(void *h)
{
    return ml_idle_state(h) == 1;
}

static void embedding(void)
{
    fresh("the allocator hook, a post from another thread, stop",
          "ml.workflow('w', function() ml.sleep('1d') end)");
    ml_set_allocator(counting, NULL);
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    load_script(h);
    start(h, "p", NULL);
    CHECK(__atomic_load_n(&allocs, __ATOMIC_RELAXED) > 100);
    pthread_t t;
    CHECK_INT(pthread_create(&t, NULL, poster, h), 0);
    CHECK_INT(ml_run(h, forever, NULL), 0);
    pthread_join(t, NULL);
    CHECK_INT(posted, 1);
    CHECK(ml_wait_fd(h) >= 0);
    CHECK_INT(ml_run(h, working, h), 0);
    CHECK_INT(ml_idle_state(h), 2);
    ml_close(h);
    ml_set_allocator(NULL, NULL);
    wipe();
}

/* What is posted to a host that is being closed runs inside ml_close, before the engine is shut and
 * after it is gone. */
static int late, late_answers;
static void on_late_load(void *ud, const ml_load_result *r)
{
    (void)ud;
    (void)r;
    late_answers++;
}
static void on_late_reply(void *ud, const ml_reply *r)
{
    (void)ud;
    (void)r;
    late_answers++;
}
static void on_late(void *ud)
{
    ml_host *h = ud;
    ml_start_options o = {.workflow = "w"};
    if (++late > 20) return;
    CHECK_INT(ml_load(h, script_path, NULL, 0, on_late_load, NULL), ML_E_CLOSED);
    CHECK_STR(ml_error(h), "the host is closing");
    CHECK_INT(ml_start(h, &o, on_late_reply, NULL), ML_E_CLOSED);
    CHECK_INT(ml_save(h, "/nonexistent/x.db"), ML_E_CLOSED);
    int rc = ml_restore(h, "/nonexistent/x.db");
    CHECK(rc == ML_E_CLOSED || rc == ML_E_UNSUPPORTED);
    CHECK_INT(ml_step(h, 0), ML_E_CLOSED);
    CHECK_INT(ml_run(h, NULL, NULL), ML_E_CLOSED);
    CHECK_INT(ml_activity_done(h, 1, "1", NULL, 0) < 0, 1);
    ml_drive(h, NULL);
    ml_drive(h, "a");
    CHECK_INT(ml_post(h, on_late, h), 0);
}

static void closing(void)
{
    ml_config c = config(ML_CLOCK_VIRTUAL);
    for (int i = 0; i < 3; i++) {
        fresh("a posted function calls a host that is being closed",
              "ml.workflow('w', function() ml.sleep('1d') end)");
        c.flags = i == 1 ? ML_NO_THREADS : 0;
        if (i == 2) {
            c.durability = ML_DURABILITY_SNAPSHOT;
            c.path = NULL;
        }
        ml_host *h = open_with(&c);
        load_script(h);
        start(h, "a", NULL);
        late = late_answers = 0;
        CHECK_INT(ml_post(h, on_late, h), 0);
        ml_close(h);
        CHECK_INT(late, 21);
        CHECK_INT(late_answers, 0);
        wipe();
    }
}

/* Steps for so long, as a program does that embeds the library. */
static void steps(ml_host *h, int64_t ms)
{
    struct timespec nap = {0, 10000000};
    for (int64_t left = ms; left > 0; left -= 10) {
        ml_step(h, 0);
        nanosleep(&nap, NULL);
    }
}

/* Within two seconds, or later on a machine that is busy. */
static bool gives_back(ml_host *h, size_t before)
{
    for (int i = 0; i < 300 && resident_bytes() + GARBAGE_BYTES / 2 >= before; i++)
        steps(h, 100);
    return resident_bytes() + GARBAGE_BYTES / 2 < before;
}

static void quiet(void)
{
    if (!RESIDENT_IS_TOLD || getenv("MOONLOOP_VALGRIND")) return;
    fresh("a host that has had nothing to do for a while gives back what was freed",
          "ml.workflow('w', function() ml.sleep('1d') end)");
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    load_script(h);
    start(h, "q", NULL);
    CHECK_INT(ml_run(h, working, h), 0);
    void *last = garbage_make();
    CHECK(gives_back(h, resident_bytes()));
    mem_free(last);
    last = garbage_make();
    size_t before = resident_bytes();
    steps(h, 2500); /* it had nothing to do since: it does not look again */
    CHECK(resident_bytes() + GARBAGE_BYTES / 2 > before);
    start(h, "q2", NULL);
    CHECK(gives_back(h, before));
    mem_free(last);
    ml_close(h);
    wipe();
}

static void programs(void)
{
    fresh("a plain script runs with its arguments and its exit code",
          "print('plain', arg[1])\nos.exit(7)");
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    const char *args[] = {"x"};
    loaded = (struct load){0};
    CHECK_INT(ml_load(h, script_path, args, 1, on_load, &loaded), 0);
    CHECK_INT(ml_run(h, not_loaded, &loaded), 0);
    CHECK(loaded.program);
    CHECK_INT(loaded.exit_code, 7);
    CHECK(strstr(said, "plain"));
    loaded = (struct load){0};
    CHECK_INT(ml_load(h, script_path, NULL, 0, on_load, &loaded), 0);
    CHECK_INT(ml_run(h, not_loaded, &loaded), 0);
    CHECK_INT(loaded.code, ML_E_SCRIPT);
    CHECK(strstr(loaded.text, ":2"));
    script("ml.workflow('w' function() end)");
    loaded = (struct load){0};
    CHECK_INT(ml_load(h, script_path, NULL, 0, on_load, &loaded), 0);
    CHECK_INT(ml_run(h, not_loaded, &loaded), 0);
    CHECK_INT(loaded.code, ML_E_SCRIPT);
    ml_close(h);
    wipe();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } all[] = {{"hello", hello},         {"activities", activities},
               {"talking", talking},     {"unowned", unowned},
               {"ends", ends},           {"mended", mended},
               {"resume", resume},       {"c_activity", c_activity},
               {"evicting", evicting},   {"snapshots", snapshots},
               {"embedding", embedding}, {"closing", closing},
               {"quiet", quiet},         {"programs", programs}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (argc < 2 || strcmp(argv[1], all[i].name) == 0) all[i].fn();
    reply_reset(&rep);
    return CHECK_DONE();
}
