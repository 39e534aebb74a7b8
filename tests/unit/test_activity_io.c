/* The bindings of activities against real things: an HTTP server, files, programs, the store; and
 * secrets that stay secret. */
#include "activity_bench.h"
#include "http_server.h"
#include "store/kv.h"

#define ML "local ml = require 'moonloop'\n"

static struct test_server server;

static const char http_script[] =
    ML "local base = ml.env 'ML_TEST_URL'\n"
       "local function act(name, fn) ml.activity(name, fn) end\n"
       "act('get', function() local res = ml.http.get(base .. '/echo', { query = { b = 2, a = { 'x "
       "y', true } }, headers = { ['X-One'] = 1 } })\n"
       "  local j = res:ok():json() return { res.status, res.headers['content-type'], j.path, "
       "j.headers['x-one'] } end)\n"
       "act('json', function() local j = ml.http.post(base .. '/echo', { json = { n = "
       "9007199254740993, s = base .. '', l = ml.list {} } }):json()\n"
       "  return { j.headers['content-type'], (j.body:gsub('http://[%d.:]*', 'URL')) } end)\n"
       "act('form', function() local j = ml.http.put(base .. '/echo', { form = { b = 'x&y', a = 1 "
       "} }):json() return { j.method, j.headers['content-type'], j.body } end)\n"
       "act('multipart', function() local j = ml.http.post(base .. '/echo', { multipart = { { name "
       "= 'f', value = 'data', filename = 'a.txt' } } }):json()\n"
       "  return { j.headers['content-type']:match '^multipart/form%-data; "
       "boundary=moonloop%-%x+$' ~= nil, j.body:find('filename=\"a.txt\"', 1, true) ~= nil } end)\n"
       "act('status', function(n) local res = ml.http.get(base .. '/status/' .. n) res:ok() return "
       "res.status end)\n"
       "act('flaky', function(k) return ml.http.get(base .. '/flaky/' .. k):ok():json() end)\n"
       "act('not_json', function() return ml.http.get(base .. '/status/200'):json() end)\n"
       "act('inject', function() ml.http.get(base .. '/echo', { headers = { X = 'a\\r\\nY: b' } }) "
       "end)\n"
       "act('scheme', function() ml.http.get('file:///etc/passwd') end)\n"
       "act('unknown', function() ml.http.get(base .. '/echo', { timout = 1 }) end)\n"
       "act('refused', function() ml.http.get('http://127.0.0.1:1/') end)\n"
       "act('late', function() ml.http.get(base .. '/slow/30', { timeout = 0.05 }) end)\n"
       "act('big', function() ml.http.get(base .. '/big/1000', { max_bytes = 999 }) end)\n"
       "act('no_follow', function() return ml.http.get(base .. '/redirect/1', { follow = false "
       "}).status end)\n"
       "act('chunks', function() local n, all = 0, '' for c in ml.http.get(base .. '/chunked/3', { "
       "stream = true }):chunks() do n, all = n + 1, all .. c end return all end)\n"
       "act('stream_status', function() ml.http.get(base .. '/status/503', { stream = true }):ok() "
       "end)\n"
       "act('cut', function() local all = '' for c in ml.http.get(base .. '/truncated', { stream = "
       "true }):chunks() do all = all .. c end return all end)\n"
       "act('sse', function(split) local all = {} for ev in ml.http.get(base .. '/sse', { sse = "
       "true, query = { split = split } }):events() do\n"
       "    all[#all + 1] = ev.event .. '|' .. ev.data .. '|' .. (ev.id or '') end return "
       "table.concat(all, ';') end)\n"
       "act('first_chunk', function() for c in ml.http.get(base .. '/hang', { stream = true "
       "}):chunks() do return c end end)\n"
       "act('hang', function() for c in ml.http.get(base .. '/hang', { stream = true }):chunks() "
       "do end end)\n"
       "act('slow', function() ml.http.get(base .. '/slow/30') end)\n"
       "act('delay', function(i) return ml.http.get(base .. '/delay/0.05').status + i end)\n"
       "act('bearer', function() return ml.http.get(base .. '/echo', { auth = ml.secret "
       "'ML_TEST_SECRET' }):json().headers.authorization == 'Bearer s3cret-canary' end)\n"
       "act('basic', function() return ml.http.get(base .. '/echo', { auth = { basic = { user = "
       "'u', password = 'p' } } }):json().headers.authorization end)\n"
       "act('key', function() return ml.http.get(base .. '/echo', { auth = { header = 'X-Key', "
       "value = ml.secret 'ML_TEST_SECRET' } }):json().headers['x-key'] == 's3cret-canary' end)\n"
       "local login = ml.oauth2 { token_url = ml.env 'ML_TEST_TOKEN_URL', client_id = 'me', "
       "client_secret = ml.secret 'ML_TEST_SECRET' }\n"
       "act('oauth', function() return ml.http.get(base .. '/echo', { auth = login "
       "}):json().headers.authorization end)\n"
       "act('oauth_401', function() return ml.http.get(base .. '/status/401', { auth = login "
       "}).status end)\n"
       "act('oauth_bad', function() ml.http.get(base .. '/echo', { auth = ml.oauth2 { token_url = "
       "base .. '/token', client_secret = 'wrong' } }) end)\n"
       "act('tls', function(a) return ml.http.get(a.url, { ca = a.ca }).status end)\n"
       "act('wide', function() local f = {} for i = 1, 100000 do f[('k%06d'):format(i * 7919 % "
       "100003)] = 'v' end\n"
       "  local b = ml.http.post(base .. '/echo', { form = f }):json().body return { #b, b:sub(1, "
       "23) } end)\n";

static void test_http(void)
{
    CASE("requests");
    struct act_host *h = bench_load(http_script);
    EXPECT(h, "get", NULL, "[200,\"application/json\",\"/echo?a=x%20y&a=true&b=2\",\"1\"]");
    EXPECT(h, "json", NULL,
           "[\"application/"
           "json\",\"{\\\"l\\\":[],\\\"n\\\":9007199254740993,\\\"s\\\":\\\"URL\\\"}\"]");
    EXPECT(h, "form", NULL, "[\"PUT\",\"application/x-www-form-urlencoded\",\"a=1&b=x%26y\"]");
    EXPECT(h, "wide", NULL, "[999999,\"k000001=v&k000002=v&k00\"]"); /* sorted, in no time */
    EXPECT(h, "multipart", NULL, "[true,true]");
    EXPECT(h, "no_follow", NULL, "302");
    CASE("statuses as failures");
    static const struct {
        const char *status;
        bool retryable;
    } statuses[] = {{"400", false}, {"401", false}, {"404", false}, {"408", true},
                    {"425", true},  {"429", true},  {"500", true},  {"503", true}};
    struct outcome o;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        bench_run(h, "status", statuses[i].status, &o);
        CHECK(strncmp(o.text.p, "HttpError: GET http://127.0.0.1:", 32) == 0 &&
              strstr(o.text.p, statuses[i].status));
        CHECK_INT(o.retryable, statuses[i].retryable);
        CHECK_INT(o.delay_ns, 0);
        outcome_free(&o);
    }
    EXPECT(h, "status", "200", "200");
    for (int i = 0; i < 2; i++) {
        bench_run(h, "flaky", "\"k\"", &o);
        CHECK_INT(o.delay_ns, 7 * NS_PER_S);
        CHECK(o.retryable);
        outcome_free(&o);
    }
    EXPECT(h, "flaky", "\"k\"", "{\"ok\":true}");
    CASE("typed failures");
    EXPECT(h, "not_json", NULL, "BadResponse: http://127.0.0.1");
    EXPECT(h, "inject", NULL, "BadRequest: ml.http.get: the value of header 'X' has a line break");
    EXPECT(h, "scheme", NULL, "BadRequest: ml.http.get: only http:// and https://");
    EXPECT(h, "unknown", NULL, "LuaError: script.lua:16: ml.http.get: unknown option 'timout'");
    EXPECT(h, "refused", NULL, "Connect: GET http://127.0.0.1:1/");
    EXPECT(h, "late", NULL, "Timeout: GET");
    EXPECT(h, "big", NULL, "TooLarge: GET");
    CASE("streams");
    EXPECT(h, "chunks", NULL, "\"part 0\\npart 1\\npart 2\\n\"");
    EXPECT(h, "stream_status", NULL, "HttpError: GET");
    EXPECT(h, "cut", NULL, "Connection: GET");
    EXPECT(h, "first_chunk", NULL, "\"first\"");
    char split[8];
    for (int i = 1; i < 100; i++) {
        snprintf(split, sizeof split, "%d", i);
        EXPECT(h, "sse", split, "\"tick|one\\ntwo|7;message|{\\\"n\\\": 2}|7;message|last|7\"");
    }
    CASE("cancelled while it waits for HTTP");
    static const char *const waits[] = {"slow", "hang"};
    for (int i = 0; i < 2; i++) {
        struct act_call c = {0};
        uint64_t id = bench_start(h, &c, waits[i], NULL, &o);
        for (int k = 0; k < 5; k++)
            bench_turn(h);
        act_cancel(h, id, BACKEND_CANCEL_REQUESTED);
        while (!o.done)
            bench_turn(h);
        CHECK_INT(o.kind, ACT_CANCELED);
        outcome_free(&o);
    }
    CASE("a thousand requests at once");
    enum { MANY = 1000 };
    static struct outcome all[MANY];
    char json[20];
    struct act_call c = {0};
    for (int i = 0; i < MANY; i++) {
        snprintf(json, sizeof json, "%d", i);
        bench_start(h, &c, "delay", json, &all[i]);
    }
    while (act_running(h))
        bench_turn(h);
    for (int i = 0; i < MANY; i++) {
        if (all[i].kind == ACT_FAILED) fprintf(stderr, "%s\n", all[i].text.p);
        CHECK_INT(atoi(all[i].text.p), 200 + i);
        outcome_free(&all[i]);
    }
    CASE("auth");
    EXPECT(h, "bearer", NULL, "true");
    EXPECT(h, "basic", NULL, "\"Basic dTpw\"");
    EXPECT(h, "key", NULL, "true");
    int n = 0;
    do { /* each stands in the queue before those that the token's answer wakes */
        bench_start(h, &c, "oauth", NULL, &all[n++]);
        loop_turn(bench_loop, NS_PER_MS);
        act_step(h, 5 * NS_PER_MS);
    } while (!all[0].done && n < MANY);
    while (act_running(h))
        bench_turn(h);
    for (int i = 0; i < n; i++) { /* one token request for all */
        CHECK_STR(all[i].text.p, "\"Bearer token-1\"");
        outcome_free(&all[i]);
    }
    EXPECT(h, "oauth_401", NULL, "401");
    EXPECT(h, "oauth", NULL, "\"Bearer token-2\"");
    EXPECT(h, "oauth_bad", NULL, "AuthError: ml.oauth2: the token request was answered with 401");
    act_close(h);
}

static void test_tls(void)
{
    char cert[100], key[100], args[300];
    test_server_certificate(bench_folder);
    snprintf(cert, sizeof cert, "%s/cert.pem", bench_folder);
    snprintf(key, sizeof key, "%s/key.pem", bench_folder);
    struct test_server tls = test_server_start(cert, key);
    struct act_host *h = bench_load(http_script);
    CASE("an unknown certificate is refused, with its authority it is accepted");
    snprintf(args, sizeof args, "{\"url\":\"https://127.0.0.1:%d/echo\"}", tls.port);
    struct outcome o;
    bench_run(h, "tls", args, &o);
    CHECK(strncmp(o.text.p, "Tls: ", 5) == 0 && !o.retryable);
    outcome_free(&o);
    snprintf(args, sizeof args, "{\"url\":\"https://127.0.0.1:%d/echo\",\"ca\":\"%s\"}", tls.port,
             cert);
    EXPECT(h, "tls", args, "200");
    act_close(h);
    test_server_stop(&tls);
}

static void test_secrets(void)
{
    CASE("a secret prints as its name and goes nowhere else");
    struct act_host *h = bench_load(
        ML
        "local s = ml.secret 'ML_TEST_SECRET'\n"
        "local function act(name, fn) ml.activity(name, fn) end\n"
        "act('prints', function() print(s, tostring(s), ('%s'):format(s)) ml.log.info('log', { "
        "secret = s }) return tostring(s) end)\n"
        "act('concat', function() return 'x' .. s end)\n"
        "act('upper', function() return s:upper() end)\n"
        "act('returns', function() return { deep = { s } } end)\n"
        "act('json', function() return ml.json.encode { k = s } end)\n"
        "act('sends', function() ml.http.post('http://127.0.0.1:1/', { json = { k = s } }) end)\n"
        "act('query', function() ml.http.get('http://127.0.0.1:1/', { query = { k = s } }) end)\n"
        "act('beat', function() ml.heartbeat(s) end)\n"
        "act('fails', function() ml.fail('no', { details = { s } }) end)\n"
        "act('raises', function() error(s) end)\n"
        "act('missing', function() ml.http.get('http://127.0.0.1:1/', { auth = ml.secret "
        "'ML_TEST_NONE' }) end)\n"
        "act('exists', function() return { s:exists(), (ml.secret 'ML_TEST_NONE'):exists() } end)\n"
        "act('hmac', function() return ml.crypto.hmac_sha256(s, 'text') == "
        "ml.crypto.hmac_sha256('s3cret' .. '-canary', 'text') end)\n"
        "act('equal', function() return { ml.crypto.equal(s, 's3cret' .. '-canary'), "
        "ml.crypto.equal(s, 'other') } end)\n");
    static const char *const each[] = {"prints", "concat", "upper", "returns", "json",   "sends",
                                       "query",  "beat",   "fails", "raises",  "missing"};
    EXPECT(h, "prints", NULL, "\"secret ML_TEST_SECRET\"");
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        struct outcome o;
        bench_run(h, each[i], NULL, &o);
        if (i > 0) CHECK_INT(o.kind, ACT_FAILED);
        CHECK(!strstr(o.text.p, "canary"));
        CHECK(!o.stack.p || !strstr(o.stack.p, "canary"));
        outcome_free(&o);
    }
    CHECK(!strstr(bench_log.p, "canary") && !strstr(bench_print.p, "canary"));
    CHECK(strstr(bench_log.p, "secret ML_TEST_SECRET") &&
          strstr(bench_print.p, "secret ML_TEST_SECRET"));
    EXPECT(h, "concat", NULL,
           "LuaError: script.lua:5: the secret ML_TEST_SECRET cannot be used as a text");
    EXPECT(h, "returns", NULL, "BadResult: result.deep[1]");
    EXPECT(h, "missing", NULL, "MissingSecret: ");
    EXPECT(h, "exists", NULL, "[true,false]");
    EXPECT(h, "hmac", NULL, "true");
    EXPECT(h, "equal", NULL, "[true,false]");
    act_close(h);
    CASE("an env handle behaves as its text");
    h = bench_load(ML
                   "local e, d = ml.env 'ML_TEST_WORD', ml.env('ML_TEST_NONE', 'dflt')\n"
                   "ml.activity('uses', function() return { e .. '!', '<' .. e, e:upper(), #e, e < "
                   "'z', tostring(e), d .. '', e:sub(2, 3), e == ml.env 'ML_TEST_WORD' } end)\n"
                   "ml.activity('missing', function() return ml.env 'ML_TEST_NONE' .. '' end)\n");
    EXPECT(h, "uses", NULL, "[\"word!\",\"<word\",\"WORD\",4,true,\"word\",\"dflt\",\"or\",true]");
    EXPECT(h, "missing", NULL, "MissingEnv: ");
    act_close(h);
    CHECK(strstr(bench_load_fails(
                     ML "ml.activity('a', function() end)\nlocal x = ml.env 'ML_TEST_WORD' .. 'x'"),
                 "reading ml.env") != NULL);
}

static void test_files_and_programs(void)
{
    CASE("files");
    struct act_host *h = bench_load(
        ML
        "local function act(name, fn) ml.activity(name, fn) end\n"
        "act('files', function() local d = ml.fs.temp_dir() local f = d .. '/a/b.txt' "
        "ml.fs.mkdir(d .. '/a')\n"
        "  ml.fs.write(f, 'one', { atomic = true }) ml.fs.append(f, ' two') ml.fs.copy(f, d .. "
        "'/a/c.txt') ml.fs.rename(d .. '/a/c.txt', d .. '/a/a.txt')\n"
        "  local s = ml.fs.stat(f) local l = ml.fs.list(d .. '/a')\n"
        "  local r = { ml.fs.read(f), { l[1].name, l[1].type, l[2].name, #l }, s.size, s.type, "
        "ml.fs.exists(f), ml.fs.exists(d .. '/no') }\n"
        "  ml.fs.remove(d, { recursive = true }) r[7] = ml.fs.stat(d) == nil return r end)\n"
        "act('missing', function() ml.fs.read('/nonexistent/file') end)\n"
        "act('run', function() local r = ml.process.run { 'sh', '-c', 'cat; echo $A; echo e >&2; "
        "exit 3', stdin = 'in', env = { A = 'b' } }\n"
        "  return { r.code, r.stdout, r.stderr } end)\n"
        "act('ok', function() return ml.process.run { 'echo', 'a b', 1 }:ok().stdout end)\n"
        "act('not_ok', function() ml.process.run { 'sh', '-c', 'echo why >&2; exit 4' }:ok() end)\n"
        "act('no_program', function() ml.process.run { 'ml-no-such-program' } end)\n"
        "act('timeout', function() ml.process.run { 'sleep', '60', timeout = 0.05 } end)\n"
        "act('output', function() local seen = {} ml.process.run { 'sh', '-c', 'echo a; echo b "
        ">&2', on_stdout = function(t) seen.stdout = t end, on_stderr = function(t) seen.stderr = "
        "t end } return seen end)\n"
        "act('killed', function() return ml.list { ml.timeout(0.05, ml.process.run, { 'cat', "
        "'/dev/zero', max_output = 1 << 40, on_stdout = function() end }) } end)\n"
        "act('too_much', function() ml.process.run { 'cat', '/dev/zero', max_output = 100000 } "
        "end)\n"
        "act('paths', function() local f = ml.fs return { f.dirname('/a/b/c.txt'), "
        "f.basename('/a/b/c.txt'), f.dirname('x'), f.dirname('/x'), f.basename('/a/b/'), "
        "f.basename('/') } end)\n"
        "act('unknown', function() ml.process.run { 'true', tiemout = 1 } end)\n"
        "act('pipe', function() return #ml.process.run { 'cat', stdin = ('x'):rep(2000000) "
        "}:ok().stdout end)\n");
    EXPECT(h, "files", NULL,
           "[\"one two\",[\"a.txt\",\"file\",\"b.txt\",2],7,\"file\",true,false,true]");
    EXPECT(h, "missing", NULL, "NotFound: ml.fs.read: /nonexistent/file: No such file");
    CASE("programs");
    EXPECT(h, "run", NULL, "[3,\"inb\\n\",\"e\\n\"]");
    EXPECT(h, "ok", NULL, "\"a b 1\\n\"");
    EXPECT(h, "not_ok", NULL, "ProcessFailed: sh ended with code 4: why");
    EXPECT(h, "no_program", NULL, "NotFound: ml.process: no program 'ml-no-such-program'");
    EXPECT(h, "timeout", NULL, "Timeout: ml.process");
    EXPECT(h, "output", NULL, "{\"stderr\":\"b\\n\",\"stdout\":\"a\\n\"}");
    EXPECT(h, "killed", NULL, "[false]");
    EXPECT(h, "too_much", NULL, "TooLarge: ml.process");
    EXPECT(h, "paths", NULL, "[\"/a/b\",\"c.txt\",\".\",\"/\",\"b\",\"/\"]");
    EXPECT(h, "unknown", NULL, "LuaError: script.lua:19: ml.process: unknown option 'tiemout'");
    EXPECT(h, "pipe", NULL, "2000000");
    act_close(h);
}

static void test_store(void)
{
    struct store_migration m = {1, kv_schema_sql};
    struct store_opts so = {.path = ":memory:", .migrations = &m, .n_migrations = 1};
    struct err e = {0};
    CHECK_INT(store_open(&so, &bench_env.store, &e), 0);
    CASE("the store");
    char script[3000], path[100];
    snprintf(path, sizeof path, "%s/user.db", bench_folder);
    snprintf(
        script, sizeof script,
        ML
        "local kv = ml.store.namespace('n')\n"
        "ml.activity('kv', function() local one, two = ml.store.set('m', 'k', { a = 1 }), "
        "ml.store.set('m', 'k', { a = 2 }) kv:set('k', 'other')\n"
        "  local v, n = ml.store.get('m', 'k') return { v, n, one, two, kv:get('k'), "
        "kv:delete('k'), kv.delete('k'), kv:get('k') == nil } end)\n"
        "ml.activity('cas', function() local r = { kv:cas('c', 0, 1), kv:cas('c', 0, 2), "
        "kv:cas('c', 1, 3), (kv:get('c')) } return r end)\n"
        "ml.activity('race', function() local fs = {} for i = 1, 10 do fs[i] = function() return "
        "kv:set('r', i) end end\n"
        "  local r = ml.all(fs) table.sort(r) return r end)\n"
        "ml.activity('ttl', function() kv:set('t', 1, { ttl = 0.01 }) local a = kv:get('t') "
        "ml.sleep(0.03) return { a, kv:get('t') == nil, kv:set('t', 2) } end)\n"
        "ml.activity('list', function() for _, k in ipairs { 'a1', 'a2', 'b1' } do kv:set('l/' .. "
        "k, true) end\n"
        "  return { kv:list { prefix = 'l/a' }, ml.store.list('n', { prefix = 'l/', limit = 1, "
        "after = 'l/a1' }) } end)\n"
        "ml.activity('nothing', function() ml.store.set('m', 'k', nil) end)\n"
        "ml.activity('sql', function() local db = ml.store.sql('%s')\n"
        "  db:exec('create table t(a integer primary key, b, c blob)')\n"
        "  local r = db:exec('insert into t(b, c) values(?, ?)', { \"it's\", ml.bytes('x\\0y') })\n"
        "  db:exec('insert into t(b) values(:b)', { b = ml.null })\n"
        "  local rows = db:query('select a, b, length(c) as n from t order by a') db:close() "
        "return { r.last_id, rows, (pcall(db.query, db, 'select 1')) } end)\n"
        "ml.activity('sql_error', function() ml.store.sql('%s'):query('selec 1') end)\n",
        path, path);
    struct act_host *h = bench_load(script);
    EXPECT(h, "kv", NULL, "[{\"a\":2},2,1,2,\"other\",true,false,true]");
    EXPECT(h, "cas", NULL, "[true,false,true,3]");
    EXPECT(h, "race", NULL, "[1,2,3,4,5,6,7,8,9,10]"); /* each got a version of its own */
    EXPECT(h, "ttl", NULL, "[1,true,1]");
    EXPECT(h, "list", NULL, "[[\"l/a1\",\"l/a2\"],[\"l/a2\"]]");
    EXPECT(h, "nothing", NULL, "LuaError: script.lua:11: ml.store.set: the value is nil");
    EXPECT(h, "sql", NULL, "[1,[{\"a\":1,\"b\":\"it's\",\"n\":3},{\"a\":2}],false]");
    EXPECT(h, "sql_error", NULL, "SqlError: sql:query: ");
    act_close(h);
    store_close(bench_env.store);
    bench_env.store = NULL;
}

static void test_small_things(void)
{
    CASE("crypto, time, json");
    struct act_host *h = bench_load(
        ML "ml.activity('crypto', function() local c = ml.crypto return { c.sha256('abc'):sub(1, "
           "8), #c.sha256('abc', 'raw'), c.base64_encode('hi'), c.base64_decode('aGk='),\n"
           "  c.hex('\\1\\255'), #c.random(16), #c.uuid(), c.equal('a', 'a'), c.equal('a', 'b') } "
           "end)\n"
           "ml.activity('time', function() local t = ml.time return { "
           "t.parse('2026-03-01T09:00:00Z'), t.format(0), t.add('2026-03-01', '1d'),\n"
           "  t.diff('2026-03-02', '2026-03-01'), t.duration('90s'), t.fields('2026-03-01').month "
           "} end)\n"
           "ml.activity('json', function() return { ml.json.encode({ 1, ml.null }), "
           "ml.json.decode('{\"a\":[]}'), ml.json.pretty({ a = 1 }) } end)\n"
           "ml.activity('random', function() local r = ml.random(1, 6) return r >= 1 and r <= 6 "
           "and #ml.uuid() == 36 end)\n");
    EXPECT(h, "crypto", NULL, "[\"ba7816bf\",32,\"aGk=\",\"hi\",\"01ff\",16,36,true,false]");
    EXPECT(
        h, "time", NULL,
        "[1772355600000000000,\"1970-01-01T00:00:00Z\",\"2026-03-02T00:00:00Z\",86400.0,90.0,3]");
    EXPECT(h, "json", NULL, "[\"[1,null]\",{\"a\":[]},\"{\\n  \\\"a\\\": 1\\n}\"]");
    EXPECT(h, "random", NULL, "true");
    act_close(h);
    CASE("modules beside the script, and the bundle");
    bench_file("helper.lua", "local M = {} function M.twice(n) return n * 2 end return M");
    h = bench_load(ML "local helper = require 'helper'\nml.activity('twice', function(n) return "
                      "helper.twice(n) end)\nml.workflow('w', function() end)");
    EXPECT(h, "twice", "21", "42");
    struct bundle *b = act_bundle(h);
    CHECK(b != NULL && bundle_find(b, STR("helper")) != NULL &&
          bundle_find(b, STR("script")) != NULL);
    bundle_unref(b);
    act_close(h);
}

/* In an activity a native module is what it is in Lua, and the bundle names it. */
static void test_native(void)
{
    CASE("native modules");
    setenv("LUA_CPATH_5_4", ML_TEST_NATIVE "/?.so", 1);
    struct act_host *h =
        bench_load(ML "local native = require 'native_sum'\n"
                      "ml.activity('sum', function(n) return native.sum(n, 1) end)\n"
                      "ml.activity('same', function() return require 'native_sum' == native end)\n"
                      "ml.activity('fails', function() native.fail() end)\n"
                      "ml.activity('wrong', function() native.sum('x', 1) end)\n"
                      "ml.activity('none', function() return (pcall(require, 'native_none')) end)\n"
                      "ml.workflow('w', function() end)");
    EXPECT(h, "sum", "41", "42");
    EXPECT(h, "same", NULL, "true");
    EXPECT(h, "fails", NULL, "LuaError: script.lua:5: native failure");
    EXPECT(h, "wrong", NULL, "LuaError: script.lua:6: bad argument #1 to 'sum'");
    EXPECT(h, "none", NULL, "false");
    struct bundle *b = act_bundle(h);
    CHECK(b != NULL && b->n_native == 1 && strcmp(b->native[0], "native_sum") == 0);
    bundle_unref(b);
    act_close(h);
    unsetenv("LUA_CPATH_5_4");
}

int main(void)
{
    char url[100];
    server = test_server_start(NULL, NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", server.port);
    setenv("ML_TEST_URL", url, 1);
    strcat(url, "/token");
    setenv("ML_TEST_TOKEN_URL", url, 1);
    setenv("ML_TEST_SECRET", "s3cret-canary", 1);
    setenv("ML_TEST_WORD", "word", 1);
    unsetenv("ML_TEST_NONE");
    bench_open();
    test_small_things();
    test_files_and_programs();
    test_store();
    test_secrets();
    test_http();
    test_tls();
    test_native();
    bench_close();
    test_server_stop(&server);
    return CHECK_DONE();
}
