/* Values between Lua, JSON and payload records: round trips, canonical text, error paths, failures
 * with causes. */
#include "script_runner.h"

static void round_trips(lua_State *L)
{
    static const char *const same[] = {"null",
                                       "true",
                                       "0",
                                       "-1",
                                       "9223372036854775807",
                                       "-9223372036854775808",
                                       "1.0",
                                       "0.1",
                                       "1e+300",
                                       "-0.0",
                                       "5e-324",
                                       "\"\"",
                                       "\"a\\\"\\\\\\n\\u0001/\"",
                                       "\"\xc3\xa9\xf0\x9f\x98\x80\"",
                                       "[]",
                                       "{}",
                                       "[[],{},[1,2.5,null]]",
                                       "{\"a\":{\"b\":[{\"c\":null}]},\"z\":1}",
                                       "{\"\":1,\"A\":2,\"a\":3,\"\xc3\xa9\":4}"};
    static const struct {
        const char *in, *out;
    } canonical[] = {{" { \"b\" : 1 , \"a\" : [ 1 , 2 ] } ", "{\"a\":[1,2],\"b\":1}"},
                     {"1.50", "1.5"},
                     {"1E2", "100.0"},
                     {"18446744073709551616", "1.8446744073709552e+19"},
                     {"\"\\u00e9\\ud83d\\ude00\\/\"", "\"\xc3\xa9\xf0\x9f\x98\x80/\""},
                     {"{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}"},
                     {"{\"b\":{\"d\":1,\"c\":2},\"a\":{\"y\":1,\"x\":2}}",
                      "{\"a\":{\"x\":2,\"y\":1},\"b\":{\"c\":2,\"d\":1}}"}};
    struct err e;
    struct buf a, b;
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    CASE("what is read is written the same, and is its own canonical form");
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        buf_reset(&a);
        CHECK_INT(value_decode(L, str_of(same[i]), &e), 0);
        CHECK_INT(value_encode(L, -1, &a, "value", &e), 0);
        CHECK_STR(a.p, same[i]);
        buf_reset(&b);
        CHECK_INT(value_canonical(str_of(same[i]), &b, &e), 0);
        CHECK_STR(b.p, same[i]);
        lua_settop(L, 0);
    }
    CASE("both ways to the canonical form agree");
    for (size_t i = 0; i < sizeof canonical / sizeof *canonical; i++) {
        buf_reset(&a);
        buf_reset(&b);
        CHECK_INT(value_decode(L, str_of(canonical[i].in), &e), 0);
        CHECK_INT(value_encode(L, -1, &a, "value", &e), 0);
        CHECK_STR(a.p, canonical[i].out);
        CHECK_INT(value_canonical(str_of(canonical[i].in), &b, &e), 0);
        CHECK_STR(b.p, canonical[i].out);
        lua_settop(L, 0);
    }
    buf_free(&a);
    buf_free(&b);
}

static void bad_json(lua_State *L)
{
    static const char *const bad[] = {
        "",         " ",    "nul",     "01",       "1.",          "-",           "+1",
        ".5",       "1e",   "\"",      "\"\\x\"",  "\"\\ud800\"", "\"\\udc00\"", "\"\x01\"",
        "\"\xff\"", "[1,]", "[1 2]",   "{\"a\"}",  "{a:1}",       "{\"a\":1,}",  "1 2",
        "1e999",    "[",    "{\"a\":", "\"\\u12\""};
    struct err e;
    struct buf b;
    char deep[300];
    buf_init(&b, 1000);
    CASE("junk is refused with its place and leaves nothing behind");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(value_decode(L, str_of(bad[i]), &e), ERR_PROTO);
        CHECK(strstr(e.text, "at byte") != NULL);
        CHECK_INT(lua_gettop(L), 0);
        CHECK_INT(value_canonical(str_of(bad[i]), &b, &e), ERR_PROTO);
        CHECK_INT(b.n, 0);
    }
    CASE("depth");
    memset(deep, '[', 101);
    memset(deep + 101, ']', 101);
    deep[202] = 0;
    CHECK_INT(value_decode(L, str_of(deep), &e), ERR_LIMIT);
    CHECK_INT(value_canonical(str_of(deep), &b, &e), ERR_LIMIT);
    buf_reset(&b);
    CHECK_INT(value_decode(L, str_make(deep + 1, 200), &e), 0);
    CHECK_INT(value_encode(L, -1, &b, "v", &e), 0);
    lua_settop(L, 0);
    buf_free(&b);
}

static void encode_errors(lua_State *L)
{
    static const struct {
        const char *lua, *text;
    } bad[] = {
        {"return {items={1,2,{f=print}}}", "result.items[3].f: a function cannot be JSON"},
        {"return {a={['b c']=0/0}}", "result.a[\"b c\"]: not-a-number cannot be JSON"},
        {"return 1/0", "result: an infinite number cannot be JSON"},
        {"return {1,nil,3}",
         "result: a list with holes cannot be JSON (ml.null stands for a missing element)"},
        {"return {x={1,2,n=2}}",
         "result.x: has the text key \"n\" beside number keys: a list or an object, not both"},
        {"return {[1.5]=1}", "result: a number as a key cannot be JSON"},
        {"return {[true]=1}", "result: a boolean as a key cannot be JSON"},
        {"return {s='\\xff'}",
         "result.s: text is not UTF-8 (byte 1); binary data goes in ml.bytes"},
        {"return {[-1]=1}",
         "result: a list with holes cannot be JSON (ml.null stands for a missing element)"},
    };
    struct err e;
    struct buf b;
    buf_init(&b, 1 << 20);
    CASE("a value that cannot be JSON is named by its path");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(luaL_dostring(L, bad[i].lua), LUA_OK);
        CHECK_INT(value_encode(L, -1, &b, "result", &e), ERR_ARG);
        CHECK_STR(e.text, bad[i].text);
        lua_settop(L, 0);
    }
    CASE("a cycle ends at the depth limit; metamethods are not run");
    CHECK_INT(luaL_dostring(L, "local t={} t.t=t return t"), LUA_OK);
    CHECK_INT(value_encode(L, -1, &b, "result", &e), ERR_LIMIT);
    buf_reset(&b);
    CHECK_INT(luaL_dostring(L, "return setmetatable({a=1},{__index=function() error('x') "
                               "end,__pairs=error,__len=error})"),
              LUA_OK);
    CHECK_INT(value_encode(L, -1, &b, "result", &e), 0);
    CHECK_STR(b.p, "{\"a\":1}");
    lua_settop(L, 0);
    buf_free(&b);
}

static void payloads(lua_State *L)
{
    struct arena a;
    struct err e;
    struct rec *all = NULL, *one = NULL;
    struct str s;
    int n = 0;
    arena_init(&a, 0);
    CASE("nil, bytes and JSON have their encodings");
    lua_pushnil(L);
    value_push_bytes(L, str_make("\0\xff", 2));
    CHECK_INT(luaL_dostring(L, "return {b=1,a=2}"), LUA_OK);
    CHECK_INT(value_to_payloads(L, 1, 3, &a, &all, "args", &e), 0);
    lua_settop(L, 0);
    CHECK_INT(value_push_payloads(L, all, &n, &e), 0);
    CHECK_INT(n, 3);
    CHECK(lua_isnil(L, 1));
    CHECK(value_to_bytes(L, 2, &s) && s.n == 2 && memcmp(s.p, "\0\xff", 2) == 0);
    CHECK(lua_istable(L, 3) && !value_to_bytes(L, 3, &s));
    CHECK_INT(value_to_payload(L, 3, &a, &one, "x", &e), 0);
    CHECK(str_eqz(payload_data(one), "{\"a\":2,\"b\":1}") &&
          str_eqz(payload_encoding(one), PAYLOAD_JSON));
    lua_settop(L, 0);
    CASE("an unknown encoding is bytes; damaged JSON pushes nothing");
    CHECK_INT(value_push_payload(L, payload_new(&a, "binary/other", STR("zz")), &e), 0);
    CHECK(value_to_bytes(L, -1, &s) && str_eqz(s, "zz"));
    lua_settop(L, 0);
    CHECK_INT(value_push_payload(L, payload_new(&a, PAYLOAD_JSON, STR("{")), &e), ERR_PROTO);
    CHECK_INT(lua_gettop(L), 0);
    CHECK_INT(value_to_payloads(L, 1, 0, &a, &all, "args", &e), 0);
    CHECK(all == NULL);
    arena_free(&a);
}

static void failures(lua_State *L)
{
    struct arena a;
    struct rec *back = NULL, *details;
    bool was = false;
    arena_init(&a, 0);
    CASE("a nested failure survives being pushed and raised again");
    details = payloads_of_json(&a, STR("{\"k\":[1,2]}"));
    struct rec *app = failure_app(&a, STR("AssetMissing"), STR("gone"), true, details,
                                  failure_app(&a, STR("Inner"), STR("why"), false, NULL, NULL));
    struct rec *f = failure_activity(&a, 5, 6, STR("verify"), STR("1"),
                                     RETRY_STATE_NON_RETRYABLE_FAILURE, STR("me"), app);
    failure_push(L, f);
    CHECK(failure_is(L, -1));
    lua_getfield(L, -1, "cause");
    lua_getfield(L, -1, "type");
    CHECK_STR(lua_tostring(L, -1), "AssetMissing");
    lua_getfield(L, -2, "retryable");
    CHECK(!lua_toboolean(L, -1));
    lua_settop(L, 1);
    CHECK_INT(failure_from_lua(L, 1, &a, STR("tb"), &back, &was), 0);
    CHECK(was && str_eqz(failure_type(back), "ActivityFailure"));
    struct rec *cause = rec_msg(back, T(failure, cause)),
               *info = rec_msg(cause, T(failure, application_failure_info));
    CHECK_INT(rec_int(rec_msg(back, T(failure, activity_failure_info)),
                      T(activity_failure_info, scheduled_event_id)),
              5);
    CHECK_INT(rec_int(rec_msg(back, T(failure, activity_failure_info)),
                      T(activity_failure_info, retry_state)),
              RETRY_STATE_NON_RETRYABLE_FAILURE);
    CHECK(str_eqz(rec_str(cause, T(failure, message)), "gone") &&
          rec_int(info, T(application_failure_info, non_retryable)));
    CHECK(str_eqz(payload_data(rec_msg(rec_msg(info, T(application_failure_info, details)),
                                       T(payloads, payloads))),
                  "{\"k\":[1,2]}"));
    CHECK(str_eqz(failure_type(rec_msg(cause, T(failure, cause))), "Inner"));
    luaL_getmetafield(L, 1, "__tostring");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    CHECK(strstr(lua_tostring(L, -1), "AssetMissing: gone; caused by Inner: why") != NULL);
    lua_settop(L, 0);
    CASE("any other error value becomes a LuaError with printable text");
    static const struct {
        const char *lua, *text;
    } plain[] = {{"return 'a\\0b\\xffc\\n'", "a\\x00b\\xffc\n"},
                 {"return nil", "nil"},
                 {"return {message='m'}", "m"},
                 {"return {a=1}", "{\"a\":1}"},
                 {"return setmetatable({},{__tostring=function() return 'T' end})", "T"},
                 {"return setmetatable({},{__tostring=function() error('x') end})",
                  "an error whose text could not be made"},
                 {"return 42", "42"}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        CHECK_INT(luaL_dostring(L, plain[i].lua), LUA_OK);
        CHECK_INT(failure_from_lua(L, -1, &a, (struct str){NULL, 0}, &back, &was), 0);
        CHECK(!was && str_eqz(failure_type(back), "LuaError"));
        CHECK_STR(arena_str(&a, rec_str(back, T(failure, message))).p, plain[i].text);
        lua_settop(L, 0);
    }
    CHECK_INT(luaL_dostring(L, "return ('x'):rep(100000)"), LUA_OK);
    CHECK_INT(failure_from_lua(L, -1, &a, (struct str){NULL, 0}, &back, &was), 0);
    CHECK(rec_str(back, T(failure, message)).n < 9000);
    lua_settop(L, 0);
    CASE("ml.fail");
    lua_register(L, "fail", failure_raise);
    CHECK_INT(
        luaL_dostring(
            L,
            "local ok,e=pcall(fail,'m',{type='T',retryable=false,details={1},cause='c'}) return e"),
        LUA_OK);
    CHECK(failure_is(L, -1));
    CHECK_INT(failure_from_lua(L, -1, &a, (struct str){NULL, 0}, &back, &was), 0);
    CHECK(str_eqz(failure_type(back), "T") &&
          str_eqz(failure_type(rec_msg(back, T(failure, cause))), "LuaError"));
    CHECK_INT(luaL_dostring(L, "return select(2,pcall(fail,'m',{retryabel=false}))"), LUA_OK);
    CHECK_STR(lua_tostring(L, -1),
              "ml.fail: unknown option 'retryabel' (did you mean 'retryable'?)");
    lua_settop(L, 0);
    arena_free(&a);
}

static int check_activity(lua_State *L)
{
    api_check_options(L, 1, "activity", "ml.activity");
    return 0;
}

static void options(lua_State *L)
{
    static const struct {
        const char *lua, *text;
    } bad[] = {
        {"check{retires=1}", "ml.activity: unknown option 'retires' (did you mean 'retry'?)"},
        {"check{timeout={}}", "ml.activity: option 'timeout' must be a duration such as \"90s\", "
                              "or seconds, not a table"},
        {"check{timeout='soon'}", "ml.activity: option 'timeout' must be a duration such as "
                                  "\"90s\", or seconds, not \"soon\""},
        {"check{cancel='maybe'}",
         "ml.activity: option 'cancel' must be one of try|wait|abandon, not \"maybe\""},
        {"check{retry={max_attempt=1}}",
         "ml.activity: unknown option 'max_attempt' (did you mean 'max_attempts'?)"},
        {"check{1}", "ml.activity: options have names, not numbers as keys"},
        {"check(5)", "ml.activity: options are a table, not a number"}};
    struct arena a;
    arena_init(&a, 0);
    CASE("options are checked by name and type");
    lua_register(L, "check", check_activity);
    CHECK_INT(
        luaL_dostring(L, "check() check(nil) "
                         "check{timeout='20s',heartbeat=1.5,retry={max_attempts=8,initial='1s',"
                         "backoff=2,max='5m',non_retryable={'X'}},cancel='wait',task_queue='q'}"),
        LUA_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(luaL_dostring(L, bad[i].lua) != LUA_OK);
        const char *colon = strstr(lua_tostring(L, -1), "ml.activity");
        CHECK_STR(colon, bad[i].text);
        lua_settop(L, 0);
    }
    CHECK_INT(
        luaL_dostring(
            L, "return {max_attempts=8,initial='1s',backoff=2,max='5m',non_retryable={'X','Y'}}"),
        LUA_OK);
    struct rec *r = api_check_retry(L, 1, &a, "ml.activity");
    CHECK_INT(lua_gettop(L), 1);
    CHECK_INT(rec_int(r, T(retry_policy, maximum_interval)), 300 * NS_PER_S);
    CHECK_INT(rec_count(r, T(retry_policy, non_retryable_error_types)), 2);
    lua_settop(L, 0);
    arena_free(&a);
}

int main(void)
{
    struct runner r;
    runner_open(&r, SANDBOX_HOST, 0);
    round_trips(r.sb.L);
    bad_json(r.sb.L);
    encode_errors(r.sb.L);
    payloads(r.sb.L);
    failures(r.sb.L);
    options(r.sb.L);
    CASE("what scripts call");
    CHECK_STR(runner_run(&r,
                         "local ml=require'moonloop' local j=ml.json.encode return j{}, "
                         "j(ml.list{}), j{a=ml.null,b=1.0}, tostring(ml.bytes'x'), "
                         "#ml.json.decode'[1,2]', (select(2,pcall(j,print)))",
                         RUNNER_SLICE_ALL),
              "{},[],{\"a\":null,\"b\":1.0},x,2,ml.json.encode: value: a function cannot be JSON");
    runner_close(&r);
    return CHECK_DONE();
}
