/* The activity runtime: loading, definitions and programs, calls and their outcomes, waiting,
 * cancellation, heartbeats. */
#include "activity_bench.h"

static void test_calls(void)
{
    CASE("results and failures");
    struct act_host *h = bench_load(
        "local ml = require 'moonloop'\n"
        "ml.activity('add', function(a) return { sum = a.x + a.y } end)\n"
        "ml.activity('none', function() end)\n"
        "ml.activity('many', function() return 1, nil, 'x' end)\n"
        "ml.activity('slow', function() ml.sleep(0.01) return 'slept' end)\n"
        "ml.activity('fails', function() ml.fail('gone', { type = 'AssetMissing', retryable = "
        "false }) end)\n"
        "ml.activity('later', function() ml.fail('busy', { type = 'Busy', retry_after = '7s' }) "
        "end)\n"
        "ml.activity('typo', function(a) return a.x.y.z end)\n"
        "ml.activity('bad', function() return { list = { 1, { f = print } } } end)\n"
        "ml.activity('logs', function() ml.log.warn('hello', { n = 1 }) print('a', 1) end)\n"
        "ml.activity('info', function() local i = ml.info() return { i.activity_type, i.attempt, "
        "i.kind } end)\n"
        "ml.local_activity('loc', function() return ml.info().is_local end)\n"
        "ml.workflow('wf', { task_queue = 'q' }, function() end)\n");
    EXPECT(h, "add", "{\"x\":1,\"y\":2}", "{\"sum\":3}");
    EXPECT(h, "none", NULL, "");
    EXPECT(h, "many", NULL, "1 nil \"x\"");
    EXPECT(h, "slow", NULL, "\"slept\"");
    EXPECT(h, "fails", NULL, "AssetMissing: gone");
    EXPECT(h, "info", NULL, "[\"info\",1,\"activity\"]");
    struct outcome o;
    bench_run(h, "later", NULL, &o);
    CHECK_INT(o.delay_ns, 7 * NS_PER_S);
    CHECK(o.retryable);
    outcome_free(&o);
    bench_run(h, "typo", "{}", &o);
    CHECK(strncmp(o.text.p, "LuaError: script.lua:8:", 23) == 0);
    CHECK(strstr(o.stack.p, "traceback") != NULL);
    CHECK(o.retryable);
    outcome_free(&o);
    bench_run(h, "bad", NULL, &o);
    CHECK(strstr(o.text.p, "BadResult: result.list[2].f") == o.text.p);
    CHECK(!o.retryable);
    outcome_free(&o);
    buf_reset(&bench_log);
    EXPECT(h, "logs", NULL, "");
    CHECK(strstr(bench_log.p, "warn hello") && strstr(bench_log.p, "\"n\":1") &&
          strstr(bench_log.p, "\"activity\":\"logs\""));
    CHECK_STR(bench_print.p, "a\t1\n");

    CASE("what was defined");
    const struct act_definition *d;
    CHECK_INT(act_definitions(h, &d), 12);
    CHECK_STR(d[0].kind, "activity");
    CHECK(str_eqz(d[0].name, "add") && d[0].has_function && d[0].line == 2);
    CHECK_STR(d[11].kind, "workflow");
    CHECK(str_eqz(d[11].options_json, "{\"task_queue\":\"q\"}") && str_eqz(d[11].task_queue, "q"));
    struct err e;
    struct act_call c = {.activity_type = STR("nope")};
    uint64_t id;
    CHECK_INT(act_start(h, &c, bench_on_done, NULL, &id, &e), ERR_NOTFOUND);
    CHECK(strstr(e.text, "add") != NULL);
    CHECK_INT(act_running(h), 0);
    act_close(h);
}

static void expect_load_error(const char *script, const char *part)
{
    const char *text = bench_load_fails(script);
    if (!strstr(text, part)) fprintf(stderr, "load error: %s\n  wanted: %s\n", text, part);
    CHECK(strstr(text, part) != NULL);
}

static void test_load_errors(void)
{
#define ML "local ml = require 'moonloop'\n"
    CASE("definitions that cannot be");
    expect_load_error(ML "ml.activity('a', function() end)\nml.activity('a', function() end)",
                      "script.lua:3: ml.activity: \"a\" is defined twice");
    expect_load_error(ML "ml.activity('moonloop.x', function() end)", "reserved");
    expect_load_error(ML "ml.activity('a', { retires = 3 }, function() end)",
                      "unknown option 'retires'");
    expect_load_error(ML "ml.activity('a', function() end)\nml.http.get('http://127.0.0.1/')",
                      "script.lua:3: ml.http.get: the top of a file defines");
    expect_load_error(ML "ml.sleep(0)", "script.lua:2: ml.sleep: this script acts at its top");
    expect_load_error(ML "local x = 1", "defines nothing");
    expect_load_error(ML "local x = undefined_name",
                      "script.lua:2: undefined global 'undefined_name'");
    expect_load_error("local x = = 1", "script.lua:1:");
    expect_load_error(ML "ml.activity('a', function() end)\nrequire 'nothing.here'",
                      "nothing.here");
    expect_load_error(ML "ml.setup(function() error('no luck') end)", "ml.setup");
    expect_load_error(ML "ml.workflw('a', function() end)", "script.lua:2: ml has no 'workflw'");
    struct act_host *h = bench_load_path("/nonexistent/x.lua", false, NULL, 0);
    CHECK_INT(bench_loaded.err.code, ERR_NOTFOUND);
    act_close(h);

    CASE("definitions and workflow names inside functions");
    h = bench_load(ML
                   "local other = ml.activity('other', function(x) ml.sleep(0) return x + 1 end)\n"
                   "ml.activity('defines', function() ml.activity('new', function() end) end)\n"
                   "ml.activity('calls', function() return other(1) end)\n"
                   "ml.activity('inlines', function() return other:inline(41) end)\n"
                   "ml.activity('channel', function() ml.channel('x') end)\n"
                   "ml.activity('exits', function() os.exit(3) end)\n");
    EXPECT(h, "defines", NULL,
           "LuaError: script.lua:3: ml.activity: definitions belong to the top");
    EXPECT(h, "calls", NULL,
           "LuaError: script.lua:4: calling the activity 'other' here: durability would be lost "
           "silently");
    EXPECT(h, "inlines", NULL, "42");
    EXPECT(h, "channel", NULL, "LuaError: script.lua:6: ml.channel works in a workflow only");
    EXPECT(h, "exits", NULL, "LuaError: script.lua:7: os.exit ends a program");
    act_close(h);

    CASE("set-up runs before the load is told, and may wait");
    h = bench_load(ML "local ready = false\nml.setup(function() ml.sleep(0.01) ready = true end)\n"
                      "ml.activity('ready', function() return ready end)\n");
    EXPECT(h, "ready", NULL, "true");
    act_close(h);

    CASE("a plain table captured by both kinds is warned about");
    h = bench_load(ML "local seen, fine = {}, {}\nml.activity('a', function() seen.x = 1 return "
                      "fine end)\nml.workflow('w', function() return seen.x end)\n");
    CHECK(strstr(bench_log.p, "the table 'seen'") && !strstr(bench_log.p, "'fine'"));
    act_close(h);
}

static void expect_program(const char *script, int code, const char *printed, const char *error)
{
    const char *args[] = {"one", "two words"};
    struct act_host *h = bench_load_path(bench_file("prog.lua", script), true, args, 2);
    if (bench_loaded.exit_code != code) fprintf(stderr, "%s\n", bench_loaded.err.text);
    CHECK_INT(bench_loaded.exit_code, code);
    CHECK_INT(bench_loaded.kind, ACT_LOAD_PROGRAM);
    CHECK_STR(bench_print.p ? bench_print.p : "", printed);
    if (error)
        CHECK(strstr(bench_loaded.err.text, error) != NULL);
    else
        CHECK_INT(bench_loaded.err.code, 0);
    CHECK(act_bundle(h) == NULL);
    act_close(h);
}

static void test_programs(void)
{
    CASE("plain programs");
    expect_program("print(arg[0]:match('[^/]+$'), #arg, arg[1], arg[2], ...)", 0,
                   "prog.lua\t2\tone\ttwo words\tone\ttwo words\n", NULL);
    expect_program(ML "ml.sleep(0.005) print('slept') os.exit(7)", 7, "slept\n", NULL);
    expect_program("pcall(os.exit, 4) print('never')", 4, "", NULL);
    expect_program("os.exit(true)", 0, "", NULL);
    expect_program("os.exit(false)", 1, "", NULL);
    expect_program("error('oops')", 1, "", "prog.lua:1: oops");
    expect_program(
        "local x <close> = setmetatable({}, {__close = function() print('closed') end}) error({})",
        1, "closed\n", "");
    expect_program("#!/usr/bin/env moonloop\nerror('second line')", 1, "",
                   "prog.lua:2: second line");
    expect_program(
        ML "local f = ml.spawn(function(a) ml.sleep(0.005) return a * 2 end, 21) print(f:await())",
        0, "42\n", NULL);
    expect_program("io.write('a', 1, '\\n')", 0, "a1\n", NULL);
    expect_program("print('x')", 0, "x\n", NULL);
    CASE("a definition after an act names the act");
    struct act_host *h = bench_load_path(
        bench_file("prog.lua", ML "ml.sleep(0)\nml.activity('a', function() end)"), true, NULL, 0);
    CHECK(strstr(bench_loaded.err.text,
                 "prog.lua:3: ml.activity: a definition after an act: prog.lua:2 calls ml.sleep") !=
          NULL);
    act_close(h);
    CASE("with programs allowed definitions still are definitions");
    h = bench_load_path(
        bench_file("prog.lua", ML "print('loading') ml.activity('a', function() return 1 end)"),
        true, NULL, 0);
    CHECK_INT(bench_loaded.kind, ACT_LOAD_DEFINITIONS);
    EXPECT(h, "a", NULL, "1");
    act_close(h);
}

static const char flow_script[] =
    "local ml = require 'moonloop'\n"
    "local function after(d, v) return function() ml.sleep(d) return v end end\n"
    "ml.activity('all', function() return (ml.all { after(0.01, 'a'), ml.spawn(after(0, 'b')), "
    "function() return 'c' end }) end)\n"
    "ml.activity('all_fails', function() local ended = {}\n"
    "  local ok, err = pcall(ml.all, { function() local g <close> = setmetatable({}, "
    "{__close=function() ended[1] = 'closed' end}) ml.sleep(60) end,\n"
    "    function() ml.sleep(0.002) ml.fail('first', {type='X'}) end })\n"
    "  return { ok, err.type, ended[1] } end)\n"
    "ml.activity('race', function() local i, v = ml.race { after(60, 'slow'), after(0.001, 'fast') "
    "} return { i, v } end)\n"
    "ml.activity('in_time', function() return ml.list { ml.timeout('5s', function(a) "
    "ml.sleep(0.001) return a end, 'ok') } end)\n"
    "ml.activity('too_late', function() return ml.list { ml.timeout(0.005, function() ml.sleep(60) "
    "end) } end)\n"
    "ml.activity('timeout_raises', function() ml.timeout(1, function() ml.fail('inner', "
    "{type='Inner'}) end) end)\n"
    "ml.activity('cancel', function() local f = ml.spawn(function() ml.sleep(60) end) ml.sleep(0) "
    "f:cancel()\n"
    "  local ok, err = pcall(f.await, f) return { ok, err.type, f:done() } end)\n"
    "ml.activity('saga', function() local log = ml.list {}\n"
    "  pcall(ml.saga, function(s) s:compensate(function(x) ml.sleep(0) log[#log+1] = x end, "
    "'undo1')\n"
    "    s:compensate(function() log[#log+1] = 'undo2' end) ml.fail('x') end) return log end)\n"
    "ml.activity('wraps', function() local co = coroutine.wrap(function() ml.sleep(0.001) "
    "coroutine.yield(1) ml.sleep(0.001) return 2 end)\n"
    "  return { co(), co() } end)\n"
    "ml.activity('left_over', function() ml.spawn(function() ml.sleep(60) end) return 'done' end)\n"
    "ml.activity('busy', function() local n = 0 for i = 1, 3000000 do n = n + i end return n end)\n"
    "ml.activity('until', function() ml.sleep_until(ml.now()) return #ml.now() > 10 end)\n";

static void test_flow(void)
{
    CASE("coroutines in an activity");
    struct act_host *h = bench_load(flow_script);
    EXPECT(h, "all", NULL, "[\"a\",\"b\",\"c\"]");
    EXPECT(h, "all_fails", NULL, "[false,\"X\",\"closed\"]");
    EXPECT(h, "race", NULL, "[2,\"fast\"]");
    EXPECT(h, "in_time", NULL, "[true,\"ok\"]");
    EXPECT(h, "too_late", NULL, "[false]");
    EXPECT(h, "timeout_raises", NULL, "Inner: inner");
    EXPECT(h, "cancel", NULL, "[false,\"Canceled\",true]");
    EXPECT(h, "saga", NULL, "[\"undo2\",\"undo1\"]");
    EXPECT(h, "wraps", NULL, "[1,2]");
    EXPECT(h, "left_over", NULL, "\"done\"");
    EXPECT(h, "busy", NULL, "4500001500000");
    EXPECT(h, "until", NULL, "true");
    act_close(h);

    CASE("a thousand at once share the thread");
    h = bench_load(ML "ml.activity('nap', function(i) ml.sleep(0.2) return i end)");
    static struct outcome all[1000];
    struct act_call c = {0};
    char json[20];
    int64_t start = clock_mono(&clock_system);
    for (int i = 0; i < 1000; i++) {
        snprintf(json, sizeof json, "%d", i);
        bench_start(h, &c, "nap", json, &all[i]);
    }
    CHECK_INT(act_running(h), 1000);
    while (act_running(h))
        bench_turn(h);
    CHECK(clock_mono(&clock_system) - start < 60 * NS_PER_S); /* one after the other: 200 s */
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(atoi(all[i].text.p), i);
        outcome_free(&all[i]);
    }
    act_close(h);
}

static void test_cancellation(void)
{
    CASE("a cancellation is delivered once, at the waiting point");
    struct act_host *h = bench_load(
        ML "local notes = ml.list {}\n"
           "ml.activity('notes', function() local n = notes notes = ml.list {} return n end)\n"
           "ml.activity('sleeps', function() pcall(function() ml.sleep(60) end) notes[1] = "
           "'swallowed' end)\n"
           "ml.activity('cleans', function()\n"
           "  local g <close> = setmetatable({}, { __close = function() ml.sleep(0.002) "
           "notes[#notes+1] = 'cleaned' end })\n"
           "  ml.sleep(60) end)\n"
           "ml.activity('shields', function() local v = ml.shield(function() ml.sleep(0.05) return "
           "'kept' end) return { v, ml.cancel_requested() } end)\n"
           "ml.activity('shield_then', function() ml.shield(function() ml.sleep(0.02) end) "
           "ml.sleep(60) end)\n"
           "ml.activity('awaits', function() local f = ml.spawn(function() ml.sleep(60) end) "
           "f:await() end)\n"
           "ml.activity('alls', function() ml.all { function() ml.sleep(60) end, function() "
           "ml.sleep(60) end } end)\n"
           "ml.activity('loops', function() while true do end end)\n"
           "ml.activity('polls', function() while not ml.cancel_requested() do ml.sleep(0.001) end "
           "return 'never' end)\n"
           "ml.activity('process', function() ml.process.run { 'sleep', '60' } end)\n");
    static const char *const kinds[] = {"sleeps",      "cleans", "awaits", "alls",
                                        "shield_then", "polls",  "process"};
    struct outcome o;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct act_call c = {0};
        uint64_t id = bench_start(h, &c, kinds[i], NULL, &o);
        for (int k = 0; k < 3; k++)
            bench_turn(h);
        CHECK(!o.done);
        act_cancel(h, id, BACKEND_CANCEL_REQUESTED);
        act_cancel(h, id, BACKEND_CANCEL_REQUESTED);
        while (!o.done)
            bench_turn(h);
        CHECK_INT(o.kind, ACT_CANCELED);
        outcome_free(&o);
    }
    EXPECT(h, "notes", NULL, "[\"cleaned\"]");
    struct act_call c = {0};
    uint64_t id = bench_start(h, &c, "shields", NULL, &o);
    bench_turn(h);
    act_cancel(h, id, BACKEND_CANCEL_REQUESTED);
    while (!o.done)
        bench_turn(h);
    CHECK_STR(o.text.p, "[\"kept\",true]");
    outcome_free(&o);
    CASE("a stopping worker and a reset are failures that may be tried again");
    static const struct {
        enum backend_cancel_reason why;
        const char *type;
    } reasons[] = {{BACKEND_CANCEL_SHUTDOWN, "WorkerShutdown"},
                   {BACKEND_CANCEL_PAUSED, "ActivityPaused"},
                   {BACKEND_CANCEL_RESET, "ActivityReset"}};
    for (size_t i = 0; i < 3; i++) {
        id = bench_start(h, &c, "sleeps", NULL, &o);
        bench_turn(h);
        act_cancel(h, id, reasons[i].why);
        while (!o.done)
            bench_turn(h);
        CHECK_INT(o.kind, ACT_FAILED);
        CHECK(strncmp(o.text.p, reasons[i].type, strlen(reasons[i].type)) == 0 && o.retryable);
        outcome_free(&o);
    }
    CASE("the time-out of an attempt");
    c.start_to_close_ns = 20 * NS_PER_MS;
    bench_start(h, &c, "sleeps", NULL, &o);
    while (!o.done)
        bench_turn(h);
    CHECK_INT(o.kind, ACT_FAILED);
    CHECK(strncmp(o.text.p, "Timeout: ", 9) == 0);
    outcome_free(&o);
    CASE("one that never waits is ended by force");
    bench_start(h, &c, "loops", NULL, &o);
    while (!o.done)
        bench_turn(h);
    CHECK(strncmp(o.text.p, "Timeout: ", 9) == 0);
    CHECK_INT(act_running(h), 0);
    outcome_free(&o);
    CASE("closing with calls under way");
    c.start_to_close_ns = 0;
    bench_start(h, &c, "sleeps", NULL, &o);
    struct outcome p;
    bench_start(h, &c, "process", NULL, &p);
    bench_turn(h);
    act_close(h);
    CHECK(!o.done && !p.done);
    outcome_free(&o);
    outcome_free(&p);
}

static int beats;
static char last_beat[64];

static void on_beat(void *ud, uint64_t call, const struct rec *details)
{
    (void)ud;
    (void)call;
    beats++;
    struct str s = payload_data(rec_msg(details, T(payloads, payloads)));
    snprintf(last_beat, sizeof last_beat, STR_FMT, STR_ARG(s));
}

static void test_heartbeats(void)
{
    CASE("heartbeats are throttled, the latest details win");
    bench_env.heartbeat = on_beat;
    struct act_host *h = bench_load(
        ML "ml.activity('beats', function() for i = 1, 20 do ml.heartbeat(i) ml.sleep(0.005) end "
           "ml.sleep(0.3) ml.heartbeat(99) ml.fail('x') end)\n"
           "ml.activity('silent', function() ml.sleep(60) end)\n"
           "ml.activity('resumes', function() return ml.info().heartbeat_details end)\n");
    struct outcome o;
    struct act_call c = {.heartbeat_ns = 500 * NS_PER_MS};
    bench_start(h, &c, "beats", NULL, &o);
    while (!beats)
        bench_turn(h);
    CHECK_STR(last_beat, "1");
    while (!o.done)
        bench_turn(h);
    CHECK_INT(beats, 2);
    CHECK_STR(last_beat, "20");
    CHECK_STR(o.details.p, "99");
    outcome_free(&o);
    CASE("no heartbeat in time");
    c.heartbeat_ns = 30 * NS_PER_MS;
    bench_start(h, &c, "silent", NULL, &o);
    while (!o.done)
        bench_turn(h);
    CHECK(strncmp(o.text.p, "Timeout: the activity sent no heartbeat", 39) == 0);
    outcome_free(&o);
    CASE("the details of the attempt before");
    struct arena a;
    arena_init(&a, 0);
    c = (struct act_call){.heartbeat_details = payloads_of_json(&a, STR("{\"at\":3}"))};
    bench_start(h, &c, "resumes", NULL, &o);
    arena_free(&a);
    while (!o.done)
        bench_turn(h);
    CHECK_STR(o.text.p, "{\"at\":3}");
    outcome_free(&o);
    act_close(h);
    bench_env.heartbeat = NULL;
}

static char asked[400];
static int answer_code;

static void on_request(void *ud, struct str verb, struct str json,
                       void (*fn)(void *ud, int code, struct str json), void *fn_ud)
{
    (void)ud;
    snprintf(asked, sizeof asked, STR_FMT " " STR_FMT, STR_ARG(verb), STR_ARG(json));
    fn(fn_ud, answer_code, STR("text"));
}

static void test_async(void)
{
    CASE("completion later, by token");
    bench_env.request = on_request;
    struct act_host *h = bench_load(
        ML "local token\nml.activity('later', function() token = ml.complete_later() return "
           "'ignored' end)\n"
           "ml.activity('finish', function() ml.complete(token, { a = 1 }) return token end)\n"
           "ml.activity('break', function() ml.complete_failed('T', 'bad', { type = 'Broken', "
           "retryable = false }) end)\n"
           "ml.local_activity('cannot', function() ml.complete_later() end)\n");
    struct outcome o;
    struct act_call c = {.token = STR("tok\"1")};
    bench_start(h, &c, "later", NULL, &o);
    while (!o.done)
        bench_turn(h);
    CHECK_INT(o.kind, ACT_ASYNC);
    outcome_free(&o);
    EXPECT(h, "finish", NULL, "\"tok\\\"1\"");
    CHECK_STR(asked, "complete_activity {\"token\":\"tok\\\"1\",\"json\":\"{\\\"a\\\":1}\"}");
    EXPECT(h, "break", NULL, "");
    CHECK(strstr(asked, "\"failure\":\"{\\\"message\\\":\\\"bad\\\",\\\"retryable\\\":false,"
                        "\\\"type\\\":\\\"Broken\\\"}\"") != NULL);
    answer_code = ERR_STALE;
    EXPECT(h, "finish", NULL, "NotFound: ml.complete");
    answer_code = 0;
    EXPECT(h, "cannot", NULL,
           "LuaError: script.lua:6: ml.complete_later: this activity has no token");
    act_close(h);
    bench_env.request = NULL;
}

static void test_memory(void)
{
    CASE("out of memory fails the one that asked; later calls get a fresh state");
    bench_env.memory_max = 8u << 20;
    struct act_host *h =
        bench_load(ML "local n = 0\nml.setup(function() n = 100 end)\n"
                      "ml.activity('greedy', function() local t = {} while true do t[#t+1] = "
                      "('x'):rep(1000) .. #t end end)\n"
                      "ml.activity('count', function() n = n + 1 return n end)\n"
                      "ml.activity('nap', function() ml.sleep(0.1) n = n + 1 return n end)\n");
    struct outcome o, nap;
    struct act_call c = {0};
    EXPECT(h, "count", NULL, "101");
    bench_start(h, &c, "nap", NULL, &nap);
    bench_turn(h);
    bench_run(h, "greedy", NULL, &o);
    CHECK(strncmp(o.text.p, "OutOfMemory: ", 13) == 0 && o.retryable);
    outcome_free(&o);
    EXPECT(h, "count", NULL, "101");
    while (!nap.done)
        bench_turn(h);
    CHECK_STR(nap.text.p, "102");
    outcome_free(&nap);
    EXPECT(h, "count", NULL, "102");
    act_close(h);
    bench_env.memory_max = 0;
}

int main(void)
{
    bench_open();
    test_calls();
    test_load_errors();
    test_programs();
    test_flow();
    test_cancellation();
    test_heartbeats();
    test_async();
    test_memory();
    bench_close();
    return CHECK_DONE();
}
