/* Attacks: each ends at the instruction or memory limit in bounded time, and nothing a script does
 * swallows the end. */
#include "base/mem.h"
#include "script_runner.h"
#include <time.h>

struct attack {
    const char *name, *text;
    int want; /* 1 memory, 2 instructions, 0: an ordinary end, -1: either */
};

static const struct attack attacks[] = {
    {"loop", "while true do end", 2},
    {"pcall loop", "while true do pcall(function() while true do end end) end", 2},
    {"xpcall loop with looping handler",
     "while true do xpcall(function() while true do end end,function() while true do end end) end",
     2},
    {"gsub callback",
     "while true do pcall(string.gsub,'x','x',function() while true do end end) end", 2},
    {"sort callback", "while true do pcall(table.sort,{1,2},function() while true do end end) end",
     2},
    {"in tostring",
     "while true do pcall(tostring,setmetatable({},{__tostring=function() while true do "
     "pcall(function() while true do end end) end end})) end",
     2},
    {"xpcall in tostring",
     "tostring(setmetatable({},{__tostring=function() while true do xpcall(function() while true "
     "do end end,function() while true do end end) end end}))",
     2},
    {"close",
     "local x<close> =setmetatable({},{__close=function() while true do end end}) error('x')", 2},
    {"close in pcall",
     "while true do pcall(function() local x<close> =setmetatable({},{__close=function() while "
     "true do pcall(error) end end}) error('x') end) end",
     2},
    {"coroutine",
     "coroutine.wrap(function() while true do pcall(function() while true do end end) end end)()",
     2},
    {"coroutine in tostring",
     "tostring(setmetatable({},{__tostring=function() while true do "
     "coroutine.resume(coroutine.create(function() while true do end end)) end end}))",
     2},
    {"ping-pong",
     "local c=coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() "
     "end",
     2},
    {"string growth", "local s='x' while true do s=s..s end", 1},
    {"string growth in pcall", "local s='x' while true do pcall(function() s=s..s end) end", 1},
    {"table growth", "local t={} while true do t[#t+1]={} end", 1},
    {"table growth in pcall",
     "local t={} while true do pcall(function() while true do t[#t+1]={} end end) end", 1},
    {"memory in coroutine",
     "local t={} while true do coroutine.resume(coroutine.create(function() while true do "
     "t[#t+1]={} end end)) end",
     1},
    {"coroutines", "local t={} for i=1,1e6 do t[i]=coroutine.create(print) end", 1},
    {"rep huge", "return pcall(string.rep,'x',1<<40)", 0},
    {"rep large", "return #string.rep('x',1<<30)", 1},
    {"rep loop", "while true do local s=('x'):rep(3e7) end", 2},
    {"rep of nothing", "for i=1,100 do string.rep('',1<<62) end return 1", 0},
    {"pattern optional", "return (('a'):rep(30)):find(('a?'):rep(30)..('a'):rep(30))", 2},
    {"pattern lazy", "return (('x'):rep(1000)):find('.-.-.-.-b')", 2},
    {"pattern in pcall",
     "while true do pcall(string.find,('a'):rep(30),('a?'):rep(30)..('a'):rep(30)) end", 2},
    {"pattern gsub", "return (('x'):rep(2000)):gsub('.-.-.-b','')", 2},
    {"pattern gmatch", "for w in (('x'):rep(3000)):gmatch('.*.*.*b') do end", 2},
    {"move huge", "return pcall(table.move,{},1,math.maxinteger-1,2)", 0},
    {"move loop",
     "local t={} for i=1,100 do t[i]=i end while true do table.move(t,1,5000000,2,{}) end", 2},
    {"insert with __len",
     "return pcall(table.insert,setmetatable({},{__len=function() return math.maxinteger-1 "
     "end}),1,1)",
     0},
    {"concat huge",
     "return pcall(table.concat,setmetatable({},{__index=function() return '' "
     "end}),'',1,math.maxinteger-1)",
     0},
    {"unpack huge", "return pcall(table.unpack,{},1,1e7)", 0},
    {"recursion", "local function f() return f()+1 end return pcall(f)", -1},
    {"recursion in gsub", "local function f() return (('x'):gsub('x',f)) end return pcall(f)", 1},
    {"deep parse", "return load(('('):rep(1e6))", 0},
    {"load loop", "while true do load(('x=1 '):rep(10000)) end", 2},
    {"error with a large text", "return pcall(error,('x'):rep(1e6))", 0},
    {"next drain",
     "local t={} for i=1,20000 do t['k'..i]=i end while next(t) do t[next(t)]=nil end", 2},
    {"index chain",
     "local t={} for i=1,1e5 do t=setmetatable({},{__index=t}) end return pcall(function() return "
     "t.x end)",
     0},
    {"select", "return select('#',table.unpack({},1,200000))", 0},
    {"format", "for i=1,1e9 do string.format('%99.99f',1e308) end", 2},
    {"tonumber", "return tonumber(('1'):rep(1e7))", 0},
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void all(uint64_t slice)
{
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        struct runner r;
        char want[20] = "";
        CASE(attacks[i].name);
        double from = seconds();
        runner_open(&r, SANDBOX_RUN, 64u << 20);
        sandbox_budget_reset(&r.sb, 10000000);
        const char *got = runner_run(&r, attacks[i].text, slice);
        if (attacks[i].want > 0) snprintf(want, sizeof want, "limit: %d", attacks[i].want);
        if (attacks[i].want > 0)
            CHECK_STR(got, want);
        else if (attacks[i].want == 0)
            CHECK(strncmp(got, "limit", 5) != 0);
        CHECK(r.sb.mem_used <= 64u << 20);
        if (getenv("ATTACK_TIMES")) printf("%6.2f s  %s\n", seconds() - from, attacks[i].name);
        CHECK(seconds() - from < 30); /* of its own processor time, with sanitizers */
        if (attacks[i].want > 0) {    /* never again */
            int n;
            lua_State *co = sandbox_coroutine(&r.sb);
            if (co) {
                lua_pushcfunction(co, runner_where);
                CHECK_INT(sandbox_resume(&r.sb, co, 0, &n), SANDBOX_LIMIT);
            }
        }
        runner_close(&r);
    }
}

static void no_room_for_stack(void)
{
    struct runner r;
    static const char *const scripts[] = {
        "pcall(table.unpack, {}, 1, 300000) return 1",
        "table.unpack({}, 1, 300000)",
        "local s = ('x'):rep(200000) pcall(string.byte, s, 1, -1) return 1",
        "local s = ('x'):rep(200000) coroutine.wrap(string.byte)(s, 1, -1)",
    };
    CASE("a stack that cannot grow for want of memory is the memory limit, not an error");
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        runner_open(&r, SANDBOX_RUN, 1 << 20);
        sandbox_budget_reset(&r.sb, 0);
        CHECK_STR(runner_run(&r, scripts[i], RUNNER_SLICE_ALL), "limit: 1");
        runner_close(&r);
    }
    CASE("asking for more than Lua's stack may hold is an error");
    runner_open(&r, SANDBOX_RUN, 0);
    sandbox_budget_reset(&r.sb, 0);
    CHECK_STR(runner_run(&r, "return pcall(table.unpack, {}, 1, 10000000)", RUNNER_SLICE_ALL),
              "false,too many results to unpack");
    runner_close(&r);
}

static void host_goes_on(void)
{
    struct runner r;
    CASE("in a host state a limit ends one coroutine, the others go on");
    runner_open(&r, SANDBOX_HOST, 0);
    sandbox_budget_reset(&r.sb, 100000);
    CHECK_STR(runner_run(&r, "while true do pcall(function() while true do end end) end", 1000),
              "limit: 2");
    sandbox_budget_reset(&r.sb, 100000);
    CHECK_STR(runner_run(&r, "return 1", 1000), "1");
    CASE("an interrupt ends the slice; the second kind ends the coroutine");
    r.sb.interrupt = 1;
    sandbox_budget_reset(&r.sb, 0);
    CHECK_STR(runner_run(&r, "local n=0 for i=1,10000 do n=n+1 end return n", RUNNER_SLICE_ALL),
              "10000");
    CHECK_INT(r.slices, 2);
    r.sb.interrupt = 2;
    CHECK_STR(runner_run(&r, "while true do end", RUNNER_SLICE_ALL), "limit: 3");
    runner_close(&r);
}

static void no_memory(void)
{
    struct err e;
    CASE("opening fails cleanly wherever memory runs out");
    for (long n = 1; n < 2000; n += 1 + n / 8) {
        struct sandbox sb = {0};
        mem_fail_at(n, true);
        int code = sandbox_open(&sb, SANDBOX_RUN, &e);
        mem_fail_at(0, false);
        CHECK(code == 0 || code == ERR_NOMEM);
        if (code == 0) {
            sandbox_close(&sb);
            break;
        }
    }
}

int main(void)
{
    all(RUNNER_SLICE_ALL);
    all(100000);
    host_goes_on();
    no_memory();
    no_room_for_stack();
    return CHECK_DONE();
}
