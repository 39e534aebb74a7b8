/* The cases of test_wf_script.c: script, steps, and the log of operations they must give. */

static void basics(void)
{
    want("result", "main(function(i) return i.x + 1 end)", "", "complete(2)");
    want("no result", "main(function() end)", "", "complete()");
    want("results", "main(function() return nil, 'a', {b = true} end)", "",
         "complete(nil,\"a\",{\"b\":true})");
    want("activity", "main(function(i) return a(i, 'k') .. '!' end)", "ok:1:\"done\"",
         "act#1(a,{\"x\":1},\"k\") complete(\"done!\")");
    want("local activity", "main(function(i) return l(7) end)", "ok:1:8",
         "local#1(l,7) complete(8)");
    want("async",
         "main(function() local f, g = a:async(1), b:async(2) return g:done(), g:await() + "
         "f:await(), f:done() end)",
         "ok:1:10 ok:2:20", "act#1(a,1) act#2(b,2) complete(false,30,true)");
    verbose = true;
    want("with",
         "main(function() a:with{ heartbeat = '9s', task_queue = 'gpu', id = 'one', summary = 's', "
         "retry = { max_attempts = 3 } }(1) end)",
         "ok:1:1", "act#1(a,1) {60,0,0,9,gpu,one,0,s,3} complete()");
    want("with keeps the first",
         "local a2 = a:with{ timeout = '2s' } main(function() a2() a() end)", "ok:1 ok:2",
         "act#1(a) {2,0,0,0,,,0,,0} act#2(a) {60,0,0,0,,,0,,0} complete()");
    want("a timeout is needed", "local c = ml.activity 'c' main(function() c() end)", "",
         "taskfail(LuaError: app.lua:6: c: an activity needs a timeout (of one attempt) or "
         "schedule_to_close: ml.activity(name, { timeout = "
         "\"1m\" }, ...))");
    verbose = false;
    want("sleep",
         "main(function() ml.sleep('90s') ml.sleep(0) ml.sleep(-1) ml.sleep(2.5, { summary = 'nap' "
         "}) end)",
         "ok:1 ok:2", "timer#1(1m30s) timer#2(2.5s,nap) complete()");
    want("sleep_until",
         "main(function() ml.sleep_until('2026-01-01T00:01:00Z') ml.sleep_until('2025-01-01') end)",
         "ok:1", "till#1(1m) complete()");
    want("every", "main(function() for i = 1, 2 do ml.every('1h') end end)",
         "+now:3700 ok:1 +now:3 ok:2", "till#1(1h) till#2(58m20s) complete()");
    want(
        "now",
        "main(function() local t = ml.now() ml.sleep(1) return t, ml.now(), ml.time.add(t, '1d'), "
        "ml.time.diff(ml.now(), t) end)",
        "+now:1 ok:1",
        "timer#1(1s) "
        "complete(\"2026-01-01T00:00:00Z\",\"2026-01-01T00:00:01Z\",\"2026-01-02T00:00:00Z\",1.0)");
    want("info",
         "main(function() local i = ml.info() return i.workflow_id, i.run_id, i.workflow_type, "
         "i.task_queue, i.attempt, i.start_time, "
         "i.chain_start, i.history_length, i.continue_as_new_suggested, i.replaying, i.parent, "
         "i.timeouts end)",
         "",
         "complete(\"wf-1\",\"run-1\",\"w\",\"default\",2,\"2026-01-01T00:00:00Z\",\"2026-01-01T00:"
         "00:00Z\",3,false,false,nil,"
         "{\"run\":\"1m30s\"})");
    want("log",
         "main(function() ml.log.debug('d') ml.log.info('i', { b = 1, a = 'x' }) ml.log.warn('w') "
         "ml.log.error('e', print) end)",
         "",
         "debug(d) info(i {\"a\":\"x\",\"b\":1}) warn(w) error(e {\"fields_error\":\"fields: a "
         "function cannot be JSON\"}) complete()");
    want("chance",
         "main(function() local u = ml.uuid() local s, t = ml.random('x'), ml.random('x') local n "
         "= ml.random(1, 6) "
         "return #u, ml.uuid() ~= u, s() ~= t(), n >= 1 and n <= 6, ml.random() < 1, ml.random(1), "
         "#s:uuid() end)",
         "", "complete(36,true,true,true,true,1,36)");
    want("values",
         "main(function() return ml.list{}, {}, ml.null, ml.json.encode{ 1, 2 }, "
         "ml.json.decode('[1.0,2]')[1], tostring(ml.bytes('ab')) end)",
         "", "complete([],{},null,\"[1,2]\",1.0,\"ab\")");
    want("handles",
         "local k = ml.secret 'KEY' main(function() return tostring(k), pcall(function() return k "
         ".. 'x' end) end)",
         "",
         "complete(\"ml.secret(\\\"KEY\\\")\",false,\"app.lua:6: ml.secret(\\\"KEY\\\") has no "
         "value in a workflow: no run depends on the "
         "environment; use it inside an ml.activity\")");
    want("env",
         "local k = ml.env('KEY', 'x') main(function() return tostring(k), (pcall(function() "
         "return k:upper() end)) end)",
         "", "complete(\"ml.env(\\\"KEY\\\")\",false)");
}

static void records(void)
{
    want("side effect",
         "main(function() local v = ml.side_effect(function(n) return { n = n, t = ml.now() } end, "
         "4) return v.n, v.t end)",
         "", "side({\"n\":4,\"t\":\"2026-01-01T00:00:05Z\"}) complete(4,\"2026-01-01T00:00:05Z\")");
    want("side effect cannot wait", /* and what fails in one cannot be caught */
         "main(function() ml.side_effect(function() ml.sleep(1) end) end)", "",
         "taskfail(LuaError: app.lua:6: ml.sleep: ml.side_effect only computes a value: act "
         "outside of it)");
    known_recorded = 1;
    for (size_t i = 0; i < n_recorded; i++)
        buf_free(&recorded[i]);
    n_recorded = 0;
    buf_init(&recorded[0], 1000);
    struct arena a;
    arena_init(&a, 0);
    rec_encode(payloads_of_json(&a, STR("\"old\"")), &recorded[0]);
    CASE("side effect recorded");
    next_recorded = 0;
    play("main(function() return ml.side_effect(function() error 'never' end) end)", "", 1000);
    CHECK_STR(oplog.p, "complete(\"old\")");
    known_recorded = 0;
    buf_free(&recorded[0]);
    arena_free(&a);
    want("patched", "main(function() ml.deprecate_patch('old') return ml.patched('new') end)", "",
         "unpatch(old) patch(new) complete(true)");
    want("memo",
         "main(function() ml.memo{ b = 1, a = 'x' } ml.memo{ b = ml.null } return ml.memo(), "
         "ml.info().memo end)",
         "", "memo(a=\"x\":,b=1:) memo(b=:) complete({\"a\":\"x\"},{\"a\":\"x\"})");
    want("search attributes",
         "main(function() ml.search_attributes{ S = 'x', I = 1, D = 1.5, B = true, L = ml.list{ "
         "'a' }, T = '2026-01-01T00:00:00Z' } "
         "return ml.search_attributes().I end)",
         "",
         "search(B=true:Bool,D=1.5:Double,I=1:Int,L=[\"a\"]:KeywordList,S=\"x\":Keyword,T=\"2026-"
         "01-01T00:00:00Z\":Datetime) complete(1)");
    want("continue as new",
         "main(function(i) pcall(ml.continue_as_new, { x = i.x + 1 }) ml.sleep(1) end)", "",
         "continue({\"x\":2})");
    want("continue as new, options",
         "main(function(i) ml.continue_as_new(nil, { workflow = 'v2' }) end)", "", "continue(v2)");
    want("continue in a signal handler",
         "main(function() ml.on_signal('s', function() ml.continue_as_new(1) end) ml.sleep(9) end)",
         "sig:s", "timer#1(9s) continue(1) cancel#1");
    want("continue in an update",
         "main(function() ml.update('u', function() return (pcall(ml.continue_as_new, 1)) end) "
         "ml.sleep(9) end)",
         "upd:1:u", "timer#1(9s) accept(1) upd(1,false)");
}

static void children(void)
{
    want("child", "main(function() return ml.child('c', { id = 'k' })(1, 2) end)",
         "ok:1:\"r1\" ok:2:5", "child#1(c,1,2) complete(5)");
    want("child async", "main(function() local f = ml.child('c'):async() return f:await() end)",
         "+ok:1:\"r1\" ok:2:5", "child#1(c) complete(5)");
    want("child handle",
         "main(function() local h = ml.child('c'):start(1) h:signal('go', 3) h:cancel() return "
         "h.id, h.run_id, pcall(h.result, h) end)",
         "ok:1:\"r1\" ok:3",
         "child#1(c,1) sig#3(child child-1/,go,3) cancel#2 "
         "complete(\"child-1\",\"r1\",false,{\"kind\":\"canceled\",\"message\":\"canceled by the "
         "parent\",\"retryable\":false,\"type\":\"Canceled\"})");
    want("child start fails",
         "main(function() return pcall(function() ml.child('c'):start() end) and 1 or 2 end)",
         "+fail:1:X fail:2:X", "child#1(c) complete(2)");
    verbose = true;
    want("child options",
         "main(function() ml.child('c', { id = 'k', parent_close = 'abandon', id_reuse = 'reject', "
         "run_timeout = '5s', task_queue = 'q', "
         "memo = { a = 1 }, search_attributes = { S = 'x' } })() end)",
         "+ok:1 ok:2", "child#1(c) {k,2,3,5,q,memo=1,sa=1} complete()");
    verbose = false;
    want("external",
         "main(function() local x = ml.external('o', 'r') x:signal('s', 1) x:cancel('why') end)",
         "ok:1 ok:2", "sig#1(o/r,s,1) cancelext#2(o/r,why) complete()");
    want("external fails", "main(function() ml.external('o'):signal('s') end)", "fail:1:NotFound",
         "sig#1(o/,s,) fail(ActivityFailure: activity error + cause)");
}

static void flow(void)
{
    want("spawn",
         "main(function() local f = ml.spawn(function(x) return a(x), 2 end, 7) return f:await() "
         "end)",
         "ok:1:1", "act#1(a,7) complete(1,2)");
    want("spawn an activity", "main(function() return ml.spawn(a, 7):await() end)", "ok:1:1",
         "act#1(a,7) complete(1)");
    want("await",
         "main(function() local n = 0 ml.spawn(function() ml.sleep(1) n = 1 ml.sleep(1) n = 2 end) "
         "return ml.await(function() return n == 2 end), n end)",
         "ok:1 ok:2", "timer#1(1s) timer#2(1s) complete(true,2)");
    want("await at once",
         "main(function() return ml.await(function() return true end), ml.await(function() end, 0) "
         "end)",
         "", "complete(true,false)");
    want("await timeout", "main(function() return ml.await(function() end, '5s') end)", "ok:1",
         "timer#1(5s) complete(false)");
    want("await in time",
         "main(function() local n ml.on_signal('s', function(v) n = v end) return "
         "ml.await(function() return n end, '5s'), n end)",
         "sig:s:3", "timer#1(5s) cancel#1 complete(true,3)");
    want("predicate fails",
         "main(function() local n = false ml.spawn(function() n = true end) return pcall(ml.await, "
         "function() if n then error 'bad' end end) end)",
         "", "complete(false,\"app.lua:6: bad\")");
    want("predicate waits",
         "main(function() return pcall(ml.await, function() ml.sleep(1) end) end)", "",
         "complete(false,\"app.lua:6: ml.sleep: the predicate of ml.await only reads the state of "
         "the run\")");
    want("conditions in order",
         "main(function() local n, t = 0, ml.list{} for i = 1, 3 do ml.spawn(function() "
         "ml.await(function() return n > 0 end) t[#t + 1] = i end) end "
         "ml.sleep(1) n = 1 ml.await(function() return #t == 3 end) return t end)",
         "ok:1", "timer#1(1s) complete([1,2,3])");
    want("all",
         "main(function() local r, n = ml.all{ a:async(1), function() return b(2) end, function() "
         "end } return r[1], r[2], r[3], n end)",
         "ok:2:22 ok:1:11", "act#1(a,1) act#2(b,2) complete(11,22,nil,3)");
    want("all nothing", "main(function() return ml.all{} end)", "", "complete([],0)");
    want("all fails",
         "main(function() ml.all{ a:async(1), function() ml.sleep(5) end, function() b(1) end } "
         "end)",
         "fail:1:X canceled:3",
         "act#1(a,1) timer#2(5s) act#3(b,1) cancel#2 cancel#3 fail(ActivityFailure: activity error "
         "+ cause)");
    want("all, plain error",
         "main(function() ml.all{ function() ml.sleep(5) end, function() error 'oops' end } end)",
         "", "timer#1(5s) cancel#1 taskfail(LuaError: app.lua:6: oops)");
    want("race",
         "main(function() return ml.race{ function() ml.sleep(5) end, function() return a(1), 'x' "
         "end } end)",
         "ok:2:9", "timer#1(5s) act#2(a,1) cancel#1 complete(2,9,\"x\")");
    want("race waits for losers",
         "main(function() return (ml.race{ function() a(1) end, ml.spawn(b, 2) }) end)",
         "ok:2:9 canceled:1", "act#1(b,2) act#2(a,1) cancel#1 complete(1)");
    want("race fails",
         "main(function() return pcall(ml.race, { a:async(1), a:async(2) }) == false end)",
         "fail:2:X", "act#1(a,1) act#2(a,2) cancel#1 complete(true)");
    want("timeout in time",
         "main(function() return ml.timeout('5s', function(x) return a(x), 'x' end, 3) end)",
         "ok:2:9", "timer#1(5s) act#2(a,3) cancel#1 complete(true,9,\"x\")");
    want("timeout over", "main(function() return ml.timeout('5s', function() a(1) end), 'on' end)",
         "ok:1", "timer#1(5s) act#2(a,1) cancel#2 complete(false,\"on\")");
    want("timeout, failure", "main(function() return ml.timeout('5s', function() a(1) end) end)",
         "fail:2:X",
         "timer#1(5s) act#2(a,1) cancel#1 fail(ActivityFailure: activity error + cause)");
    want("timeout waits", "main(function() return ml.timeout('5s', function() b(1) end) end)",
         "ok:1 ok:2:3", "timer#1(5s) act#2(b,1) cancel#2 complete(false)");
    want("timeout cannot be swallowed",
         "main(function() return ml.timeout('5s', function() pcall(a, 1) pcall(a, 2) return 1 end) "
         "end)",
         "ok:1", "timer#1(5s) act#2(a,1) cancel#2 complete(false)");
    want("shield", "main(function() return ml.shield(function(x) return a(x) end, 1) end)",
         "ok:1:2", "act#1(a,1) complete(2)");
    want("saga done",
         "main(function() return ml.saga(function(s) s:compensate(a, 1) return b(2) end) end)",
         "ok:1:5", "act#1(b,2) complete(5)");
    want("saga fails",
         "main(function() ml.saga(function(s) s:compensate(a, 'one') s:compensate(a, 'two') b(2) "
         "end) end)",
         "fail:1:X ok:2 ok:3",
         "act#1(b,2) act#2(a,\"two\") act#3(a,\"one\") fail(ActivityFailure: activity error + "
         "cause)");
    want("saga, compensation fails",
         "main(function() ml.saga(function(s) s:compensate(a, 'one') s:compensate(function() "
         "ml.fail('no') end) ml.fail('first', { type = 'F' }) end) end)",
         "ok:1",
         "warn(a compensation of ml.saga failed: Failure: no) act#1(a,\"one\") fail(F: first)");
    want("spawned at the end",
         "main(function() ml.spawn(function() a(1) end) ml.sleep(1) return 1 end)", "ok:1",
         "timer#1(1s) act#2(a,1) complete(1) warn(the workflow ended while 1 spawned coroutine "
         "still ran: canceled) cancel#2");
    want("cancel a future",
         "main(function() local f = ml.spawn(function() local g <close> = setmetatable({}, { "
         "__close = function() a('clean') end }) ml.sleep(5) end) "
         "ml.sleep(1) f:cancel() local ok, e = pcall(f.await, f) return ok, e.type end)",
         "ok:1 ok:3",
         "timer#1(1s) timer#2(5s) cancel#2 act#3(a,\"clean\") complete(false,\"Canceled\")");
    want("cancel an activity",
         "main(function() local f = a:async(1) f:cancel() local ok, e = pcall(f.await, f) return "
         "ok, e.type end)",
         "", "act#1(a,1) cancel#1 complete(false,\"Canceled\")");
    want("user coroutines",
         "main(function() local c = coroutine.wrap(function() for i = 1, 2 do "
         "coroutine.yield(a(i)) end end) return c() + c() end)",
         "ok:1:1 ok:2:2", "act#1(a,1) act#2(a,2) complete(3)");
    want("collected futures",
         "main(function() a:async(1) ml.sleep(1) collectgarbage() ml.sleep(2) end)",
         "+gc ok:2 gc ok:1 gc ok:3", "act#1(a,1) timer#2(1s) timer#3(2s) complete()");
    want("pending",
         "main(function() a:async(1) ml.spawn(function() ml.channel('go'):receive() end) "
         "ml.await(function() end) end)",
         "pending",
         "act#1(a,1) pending[activity a@app.lua:6; condition @app.lua:6; signal go@app.lua:6]");
}

#define GUARD "local g <close> = setmetatable({}, { __close = function() a('clean') end }) "

static void cancellation(void)
{
    want("cancel at sleep", "main(function() ml.sleep(9) end)", "cancel",
         "timer#1(9s) cancel#1 canceled");
    want("cancel with its start", "main(function() a(1) end)", "@ cancel pending",
         "canceled pending[]");
    want("cancel in pcall", "main(function() while true do pcall(ml.sleep, 9) end end)", "cancel",
         "timer#1(9s) cancel#1 canceled");
    want("cancel closes, blocking", "main(function() " GUARD "ml.sleep(9) end)", "cancel ok:2",
         "timer#1(9s) cancel#1 act#2(a,\"clean\") canceled");
    want("cancel closes, pcall there works",
         "main(function() local g <close> = setmetatable({}, { __close = function() "
         "ml.log.info(tostring(pcall(a, 1))) end }) ml.sleep(9) end)",
         "cancel fail:2:X", "timer#1(9s) cancel#1 act#2(a,1) info(false) canceled");
    want("cancel, a waiting activity", "main(function() b(1) end)", "cancel canceled:1",
         "act#1(b,1) cancel#1 canceled");
    want("cancel, an abandoned wait", "main(function() local f = a:async(1) f:await() end)",
         "cancel", "act#1(a,1) cancel#1 canceled");
    want("cancel in shield",
         "main(function() local v = ml.shield(function() ml.sleep(9) return ml.cancel_requested() "
         "end) a(v) end)",
         "cancel ok:1", "timer#1(9s) canceled");
    want("shielded value completes",
         "main(function() return ml.shield(function() ml.sleep(9) return 7 end) end)",
         "cancel ok:1", "timer#1(9s) complete(7)");
    want("cancel in saga",
         "main(function() ml.saga(function(s) s:compensate(a, 'undo') ml.sleep(9) end) end)",
         "cancel ok:2", "timer#1(9s) cancel#1 act#2(a,\"undo\") canceled");
    want("cancel in a user coroutine",
         "main(function() local c = coroutine.wrap(function() ml.sleep(9) end) pcall(c) a(1) end)",
         "cancel", "timer#1(9s) cancel#1 canceled");
    want("cancel in resume",
         "main(function() local c = coroutine.create(function() ml.sleep(9) end) "
         "coroutine.resume(c) a(1) end)",
         "cancel", "timer#1(9s) cancel#1 canceled");
    want("cancel in all",
         "main(function() ml.all{ a:async(1), function() " GUARD "ml.sleep(9) end } end)",
         "cancel ok:3", "act#1(a,1) timer#2(9s) cancel#1 cancel#2 act#3(a,\"clean\") canceled");
    want("cancel in race",
         "main(function() ml.race{ function() ml.sleep(9) end, function() a(1) end } end)",
         "cancel", "timer#1(9s) act#2(a,1) cancel#1 cancel#2 canceled");
    want("cancel in timeout", "main(function() pcall(ml.timeout, '9s', function() a(1) end) end)",
         "cancel", "timer#1(9s) act#2(a,1) cancel#2 cancel#1 canceled");
    want("cancel at await", "main(function() ml.await(function() end, '9s') end)", "cancel",
         "timer#1(9s) cancel#1 canceled");
    want("cancel at receive", "main(function() ml.channel('c'):receive() end)", "cancel",
         "canceled");
    want("cancel at a child", "main(function() ml.child('c')() end)", "ok:1 cancel",
         "child#1(c) cancel#2 canceled");
    want("cancel in xpcall", "main(function() xpcall(ml.sleep, function(e) return e end, 9) end)",
         "cancel", "timer#1(9s) cancel#1 canceled");
    want("an error while unwinding",
         "main(function() local g <close> = setmetatable({}, { __close = function() error 'x' end "
         "}) ml.sleep(9) end)",
         "cancel", "timer#1(9s) cancel#1 canceled");
    want("asked while working", "main(function() a(1) return ml.cancel_requested() end)",
         "+ok:1 cancel", "act#1(a,1) complete(true)");
    want("a handler is not cancelled",
         "main(function() ml.on_signal('s', function() ml.sleep(3) a(1) end) ml.sleep(9) end)",
         "sig:s cancel", "timer#1(9s) timer#2(3s) cancel#1 canceled");
}

static void messages(void)
{
    want("channel",
         "main(function() local c = ml.channel('c') local ok, v, w = c:receive() return ok, v, w, "
         "c:try() end)",
         "sig:c:5", "complete(true,5,nil,false)");
    want("channel buffers in order",
         "main(function() ml.sleep(1) local c, t = ml.channel('c'), ml.list{} for i = 1, 2 do "
         "local _, v = c:receive() t[i] = v end return t end)",
         "+sig:c:1 +sig:d:9 sig:c:2 ok:1", "timer#1(1s) complete([1,2])");
    want("channel timeout", "main(function() return ml.channel('c'):receive{ timeout = '5s' } end)",
         "ok:1 sig:c:1", "timer#1(5s) complete(false)");
    want("channel till",
         "main(function() return ml.channel('c'):receive{ till = '2026-01-01T00:00:10Z' } end)",
         "sig:c:1", "till#1(10s) cancel#1 complete(true,1)");
    want("channel till past",
         "main(function() return ml.channel('c'):receive{ till = '2020-01-01T00:00:10Z' } end)", "",
         "complete(false)");
    want("two receivers",
         "main(function() local t = ml.list{} for i = 1, 2 do ml.spawn(function() local _, v = "
         "ml.channel('c'):receive() t[#t + 1] = i * 10 + v end) end "
         "ml.await(function() return #t == 2 end) return t end)",
         "+sig:c:1 sig:c:2", "complete([11,22])");
    want("handler drains",
         "main(function() local t = ml.list{} ml.sleep(1) ml.on_signal('s', function(v) t[#t + 1] "
         "= v end) ml.await(function() return #t == 3 end) return t end)",
         "+sig:s:1 sig:s:2 ok:1 sig:s:3", "timer#1(1s) complete([1,2,3])");
    want("handlers before main goes on",
         "main(function() local n = 0 ml.on_signal('s', function(v) n = v end) ml.sleep(1) return "
         "n end)",
         "+ok:1 sig:s:4", "timer#1(1s) complete(4)");
    want("signal before the first step",
         "main(function() local n = 0 ml.on_signal('s', function(v) n = v end) ml.sleep(1) return "
         "n end)",
         "@ sig:s:4 pending ok:1", "timer#1(1s) pending[timer @app.lua:6] complete(4)");
    want("handlers by arrival",
         "main(function() local t = ml.list{} ml.update('u', function(v) t[#t + 1] = v end) "
         "ml.on_signal('s', function(v) t[#t + 1] = v end) ml.sleep(1) return t end)",
         "+sig:s:1 +upd:1:u:2 sig:s:3 pending ok:1",
         "timer#1(1s) accept(1) upd(1,) pending[timer @app.lua:6] complete([1,2,3])");
    want("a failing handler",
         "main(function() ml.on_signal('s', function() ml.fail('no', { type = 'T' }) end) "
         "ml.sleep(1) end)",
         "sig:s", "timer#1(1s) fail(T: no)");
    want("a broken handler",
         "main(function() ml.on_signal('s', function() local x = nil; x() end) ml.sleep(1) end)",
         "sig:s",
         "timer#1(1s) taskfail(LuaError: app.lua:6: attempt to call a nil value (local 'x'))");
    want("update",
         "main(function() local n = 0 ml.update('add', function(v) n = n + v return a(n) end) "
         "ml.sleep(1) return n end)",
         "upd:1:add:2 ok:2:9 ok:1", "timer#1(1s) accept(1) act#2(a,2) upd(1,9) complete(2)");
    want("validator",
         "main(function() ml.update('add', function(v) return v end, { validator = function(v) if "
         "v < 0 then error('negative', 0) end end }) ml.sleep(1) end)",
         "upd:1:add:-2 upd:2:add:3 rep:3:add:-5",
         "timer#1(1s) reject(1,LuaError: negative) accept(2) upd(2,3) accept(3) upd(3,-5)");
    want("validator only reads",
         "main(function() ml.update('u', function(v) return v end, { validator = function(v) a(1) "
         "end }) ml.sleep(1) end)",
         "upd:1:u:2",
         "timer#1(1s) reject(1,LuaError: app.lua:6: a: a validator only reads the state of the "
         "run: act in the update's handler)");
    want("unknown update", "main(function() ml.update('u', print) ml.sleep(1) end)", "upd:1:x:2",
         "timer#1(1s) reject(1,UnknownUpdate: unknown update \"x\"; this run knows: u)");
    want("update fails",
         "main(function() ml.update('u', function() ml.fail('no', { type = 'T' }) end) ml.sleep(1) "
         "end)",
         "upd:1:u:2", "timer#1(1s) accept(1) updfail(1,T: no)");
    want("update breaks",
         "main(function() ml.update('u', function() error 'x' end) ml.sleep(1) end)", "upd:1:u:2",
         "timer#1(1s) accept(1) taskfail(LuaError: app.lua:6: x)");
    want("update with the start",
         "main(function() ml.update('u', function(v) return v end) ml.sleep(1) end)",
         "@ upd:1:u:2 pending", "timer#1(1s) accept(1) upd(1,2) pending[timer @app.lua:6]");
    want("query",
         "main(function() local s = 'x' ml.query('state', function(p) return s .. p end) "
         "ml.sleep(1) end)",
         "q:state:\"y\"", "timer#1(1s) query(\"xy\")");
    want("unknown query", "main(function() ml.query('state', print) ml.sleep(1) end)", "q:nope",
         "timer#1(1s) queryfail(unknown query \"nope\"; this run knows: state, __stack_trace)");
    want("query only reads",
         "main(function() ml.query('q', function() a(1) end) ml.query('r', function() return "
         "math.random() end) ml.query('s', ml.uuid) ml.sleep(1) end)",
         "q:s q:q",
         "timer#1(1s) queryfail(ml.uuid: a query only reads the state of the run) "
         "queryfail(app.lua:6: a: a query only reads the "
         "state of the run)");
    want("query fails",
         "main(function() ml.query('q', function() error('bad', 0) end) ml.query('f', function() "
         "return print end) ml.sleep(1) end)",
         "q:q q:f ok:1",
         "timer#1(1s) queryfail(bad) queryfail(the query's result: a function cannot be JSON) "
         "complete()");
    want("metadata",
         "main(function() ml.query('q', print) ml.on_signal('s', print) ml.sleep(1) end)",
         "q:__temporal_workflow_metadata",
         "timer#1(1s) "
         "query({\"definition\":{\"queryDefinitions\":[{\"name\":\"q\"}],\"signalDefinitions\":[{"
         "\"name\":\"s\"}],\"updateDefinitions\":[],"
         "\"type\":\"w\"}})");
}

static void errors(void)
{
    want("typo", "main(function() ml.sleeep(1) end)", "",
         "taskfail(LuaError: app.lua:6: attempt to call a nil value (field 'sleeep'))");
    want("ml.fail",
         "main(function() ml.fail('asset is gone', { type = 'AssetMissing', retryable = false }) "
         "end)",
         "", "fail(AssetMissing: asset is gone)");
    want("activity's failure", "main(function() a(1) end)", "fail:1:X",
         "act#1(a,1) fail(ActivityFailure: activity error + cause)");
    want("caught failure",
         "main(function() local ok, e = pcall(a, 1) return ok, e.type, e.cause.type, "
         "e.cause.message end)",
         "fail:1:X", "act#1(a,1) complete(false,\"ActivityFailure\",\"X\",\"it broke\")");
    want("raised again", "main(function() local ok, e = pcall(a, 1) error(e) end)", "fail:1:X",
         "act#1(a,1) fail(ActivityFailure: activity error + cause)");
    want("on_error", "ml.workflow('w', { on_error = 'fail' }, function() error 'x' end)", "",
         "fail(LuaError: app.lua:6: x)");
    want("result not JSON", "main(function() return { items = ml.list{ 1, { f = print } } } end)",
         "", "taskfail(LuaError: the workflow's result.items[2].f: a function cannot be JSON)");
    want("argument not JSON", "main(function() a{ f = print } end)", "",
         "taskfail(LuaError: app.lua:6: arguments.f: a function cannot be JSON)");
    want("spawned error raised", "main(function() ml.spawn(function() error 'x' end):await() end)",
         "", "taskfail(LuaError: app.lua:6: x)");
    want("spawned error lost",
         "main(function() ml.spawn(function() error 'x' end) ml.sleep(1) return 1 end)", "ok:1",
         "timer#1(1s) warn(a spawned coroutine failed while nothing waits for it: app.lua:6: x) "
         "taskfail(LuaError: app.lua:6: x)");
    want("I/O", "main(function() ml.http.get('x') end)", "",
         "taskfail(LuaError: app.lua:6: ml.http.get is I/O; a workflow never does I/O; put it into "
         "an ml.activity and call that)");
    want("more I/O",
         "main(function() for _, n in ipairs{ 'store', 'process', 'fs', 'crypto' } do if "
         "pcall(ml[n].run) then return n end end return pcall(ml.heartbeat) end)",
         "",
         "complete(false,\"ml.heartbeat belongs to an activity; a workflow has no attempts; put it "
         "into an ml.activity and call that\")");
    want("inline", "main(function() a:inline(1) end)", "",
         "taskfail(LuaError: app.lua:6: a:inline(...) would run its body here, and a workflow "
         "never does I/O; call it as a(...), which is durable)");
    want("defining inside", "main(function() ml.activity('x', print) end)", "",
         "taskfail(LuaError: app.lua:6: ml.activity: definitions belong to the top of the file, "
         "not inside a function)");
    want("acting at the top", "ml.sleep(1) main(print)", "",
         "open(app.lua:6: ml.sleep: the top of a file defines, it does not act: call it inside an "
         "ml.workflow function)");
    want("defined twice", "main(print) main(print)", "",
         "open(app.lua:5: ml.workflow: \"w\" is defined twice)");
    want("unknown workflow", "ml.workflow('v', print)", "",
         "start(workflow \"w\" is not defined by app; it defines: v)");
    want("waiting in tostring",
         "main(function() return tostring(setmetatable({}, { __tostring = function() ml.sleep(1) "
         "return 'x' end })) end)",
         "",
         "timer#1(1s) taskfail(LuaError: app.lua:6: cannot wait here: Lua cannot pause inside a "
         "metamethod such as __tostring, or while a module is "
         "being loaded; wait before, and use the result here)");
    want("unknown option", "main(function() a:with{ retires = 1 }() end)", "",
         "taskfail(LuaError: app.lua:6: activity:with: unknown option 'retires' (did you mean "
         "'retry'?))");
    limits.instructions = 20000;
    want("instruction limit", "main(function() pcall(function() while true do end end) end)", "",
         "taskfail(InstructionLimit: the script used more than 20000 instructions in one "
         "activation: move long work into an ml.activity, or wait "
         "(ml.sleep) in the loop)");
    limits.instructions = 0;
    limits.memory_bytes = 2u << 20;
    want("memory limit",
         "main(function() local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end end)", "",
         "taskfail(MemoryLimit: the run needs more than its 2097152 bytes of memory: keep large "
         "data in activities and pass references)");
    limits.memory_bytes = 0;
}

static void mutants(void)
{
    noop_name = "ml.sleep";
    want("no-op of ml.sleep", "main(function() ml.sleep(1) return 1 end)", "", "complete(1)");
    noop_name = "future:await";
    want("no-op of future:await", "main(function() return a:async(1):await() end)", "",
         "act#1(a,1) complete() cancel#1");
    noop_name = "channel:receive";
    want("no-op of channel:receive", "main(function() return (ml.channel('c'):receive()) end)", "",
         "complete(nil)");
    noop_name = "ml.log.info";
    want("no-op of ml.log.info", "main(function() ml.log.info('x') ml.log.warn('y') end)", "",
         "warn(y) complete()");
    noop_name = "ml.all";
    want("no-op of ml.all",
         "main(function() return (ml.all{}), (ml.race{ function() return 1 end }) end)", "",
         "complete(nil,1)");
    noop_name = "saga:compensate";
    want("no-op of saga:compensate",
         "main(function() ml.saga(function(s) s:compensate(a, 1) ml.fail('x', { type = 'T' }) end) "
         "end)",
         "", "fail(T: x)");
    noop_name = NULL;
}

static void definition(void *ud, const char *kind, struct str name, struct str options)
{
    (void)ud;
    say("%s:" STR_FMT STR_FMT, kind, STR_ARG(name), STR_ARG(options));
}

static void definitions(void)
{
    CASE("definitions");
    struct err e = {0};
    struct bundle *b = bundle_of("local ml = require 'moonloop'\nml.setup(function() "
                                 "end)\nml.activity('a', { retry = { max_attempts = 2 } }, print)\n"
                                 "ml.activity('r', { timeout = 5 })\nml.local_activity('l', "
                                 "print)\nml.workflow('w', { task_queue = 'q' }, print)\n");
    buf_reset(&oplog);
    CHECK_INT(script_definitions(b, definition, NULL, &e), 0);
    CHECK_STR(
        oplog.p,
        "activity:a{\"retry\":{\"max_attempts\":2}} activity:r{\"remote\":true,\"timeout\":5} "
        "local_activity:l{} workflow:w{\"task_queue\":\"q\"}");
    bundle_unref(b);
    b = bundle_of("local x = = 1");
    CHECK_INT(script_definitions(b, definition, NULL, &e), ERR_SCRIPT);
    CHECK(strstr(e.text, "app.lua:1"));
    bundle_unref(b);
}

static void traces(void)
{
    CASE("stack trace and its text in a failure");
    struct err e = {0};
    n_ops = 0;
    slice = 100000;
    struct wf_run *r = run_new("local function deep() ml.sleep(1) local x x() end main(function() "
                               "ml.spawn(function() a(1) end) deep() end)",
                               &e);
    CHECK(r);
    CHECK_INT(script_start(r, STR("w"), NULL, &e), 0);
    CHECK_INT(settle(r), SANDBOX_BLOCKED);
    struct str text = script_stack_trace(r);
    CHECK(strstr(text.p, "(main) waits at app.lua:6"));
    CHECK(strstr(text.p, "'deep'"));
    CHECK(strstr(text.p, "(spawned) waits at app.lua:6"));
    wf_future_ok(r, ops[1].future, NULL);
    CHECK_INT(settle(r), SANDBOX_ERROR);
    CHECK(strstr(rec_str(r->task_failure, T(failure, stack_trace)).p, "deep"));
    CHECK_INT(r->task_fail_cause, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE);
    run_free(r);
}

/* Every allocation fails once: each time the log is whole, or the run could not be opened, or its
 * task fails. No script can catch it, so nothing goes on with half a step. */
static long without_memory(struct bundle *b, long at, bool *told)
{
    static const char *const steps[] = {"sig:s:5",  "upd:1:u:7", "upd:2:nope:7", "ok:1:1",
                                        "fail:3:X", "sig:c:2",   "cancel",       "ok:7:1"};
    struct err e = {0};
    n_ops = 0;
    slice = 100000;
    buf_reset(&oplog);
    long before = mem_alloc_count();
    mem_fail_at(at, false);
    struct wf_run *r = run_of_bundle(b, &e);
    *told = !r || script_start(r, STR("w"), NULL, &e) != 0;
    if (!*told) settle(r);
    for (size_t i = 0; !*told && i < sizeof steps / sizeof *steps; i++) {
        char copy[40];
        snprintf(copy, sizeof copy, "%s", steps[i]);
        if ((copy[0] == 'o' || copy[0] == 'f') && n_ops < (size_t)atoi(strchr(copy, ':') + 1))
            break;
        step(r, copy);
        settle(r);
        *told = r->task_failure || r->task_limit;
    }
    long used = mem_alloc_count() - before;
    mem_fail_at(0, false);
    if (r) run_free(r);
    return used;
}

static void memory(void)
{
    CASE("every allocation fails once");
    static char text[4000];
    bool told;
    snprintf(text, sizeof text, "%s%s", prefix,
             "main(function() ml.on_signal('s', function(v) ml.sleep(v) end) ml.update('u', "
             "function(v) return v end, { validator = function() end }) "
             "a(1) ml.log.info('x', { a = 1 }) pcall(ml.all, { a:async(2), function() ml.sleep(9) "
             "end }) ml.channel('c'):receive{ timeout = '9s' } "
             "ml.saga(function(s) s:compensate(a, 1) ml.timeout('5s', function() "
             "ml.await(function() end) end) end) end)");
    struct bundle *b = bundle_of(text);
    long n = without_memory(b, 0, &told);
    char *whole = str_dup(buf_str(&oplog));
    CHECK(!told && strstr(whole, "canceled"));
    for (long i = 1; i <= n; i++) {
        without_memory(b, i, &told);
        if (!told) CHECK_STR(oplog.p ? oplog.p : "", whole);
    }
    mem_free(whole);
    bundle_unref(b);
}

static void cases(void)
{
    basics();
    records();
    children();
    flow();
    cancellation();
    messages();
    errors();
    mutants();
    definitions();
    traces();
    memory();
}
