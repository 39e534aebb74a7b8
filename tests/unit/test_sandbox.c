/* What scripts see in a sandbox: defined orders, no addresses, blocking through everything,
 * unwinding. Every chunk runs in slices of 1, 7, 1000 and all instructions and must give the same
 * text each time. */
#include "script_runner.h"
#include <lualib.h>

struct chunk {
    const char *name, *text, *want;
};

static const struct chunk run_chunks[] = {
    {"pairs is sorted",
     "local t={b=1,a=2,[3]='x',[-1]='y',[2.5]='z',[true]=1,[false]=0} local o={} for k in pairs(t) "
     "do o[#o+1]=tostring(k) end return table.concat(o,' ')",
     "-1 2.5 3 a b false true"},
    {"pairs snapshot",
     "local t={a=1,b=2,c=3} local o='' for k,v in pairs(t) do t.b=nil t.z=1 o=o..k..v end return o",
     "a1c3"},
    {"pairs of a list", "local o='' for k,v in pairs{10,20,30} do o=o..k..'='..v..' ' end return o",
     "1=10 2=20 3=30 "},
    {"object keys raise",
     "local ok,e=pcall(pairs,{[{}]=1,[{}]=2}) return ok,e:match('defined order')",
     "false,defined order"},
    {"one object key", "local n=0 for k in pairs{[{}]=1,a=2} do n=n+1 end return n", "2"},
    {"__pairs",
     "local o='' for k in pairs(setmetatable({},{__pairs=function(t) return function(_,i) i=(i or "
     "0)+1 if i<4 then return i end end,t,nil end})) do o=o..k end return o",
     "123"},
    {"next in order",
     "local o='' local t={c=1,a=2,b=3} local k,v=next(t) while k do o=o..k k=next(t,k) end return "
     "o,next({}),next({x=1})",
     "abc,nil,x,1"},
    {"next drains",
     "local t={} for i=1,50 do t['k'..i]=i end local n=0 while next(t) do t[next(t)]=nil n=n+1 end "
     "return n",
     "50"},
    {"next nested",
     "local t,o={a=1,b=2},'' for k in next,t do for j in next,{x=1,y=2} do o=o..k..j end end "
     "return o",
     "axaybxby"},
    {"next unknown key", "return pcall(next,{},'x')", "false,next: the key is not in the table"},
    {"tostring",
     "local a,b={},{} return tostring(a),tostring(b),tostring(a),string.format('%s "
     "%5s|%p',a,b,b),tostring(print)",
     "table#1,table#2,table#1,table#1 table#2|table#2,function#3"},
    {"format", "return string.format('%5d|%-5s|%05.1f|%q|%%|%x',42,'ab',3.14159,'a\\n',255)",
     "   42|ab   |003.1|\"a\\\n\"|%|ff"},
    {"null",
     "local ml=require'moonloop' return tostring(ml.null),ml.null==ml.null,pcall(function() return "
     "ml.null.x end)",
     "null,true,false,test.lua:1: attempt to index null (compare with ml.null first)"},
    {"setmetatable",
     "local t=setmetatable({},{__mode='k'}) return "
     "getmetatable(t).__mode,pcall(setmetatable,{},{__gc=print})",
     "nil,false,setmetatable: __gc is not available (use <close> for clean-up)"},
    {"string metatable", "return getmetatable(''),('x'):upper()", "false,X"},
    {"absent",
     "local g=function(n) return rawget(_G,n) end return "
     "g'io',g'dofile',g'loadfile',os.execute,os.exit,os.getenv,string.dump,debug.sethook,debug."
     "getinfo",
     "nil,nil,nil,nil,nil,nil,nil,nil,nil"},
    {"time",
     "return os.time(),os.date('!%Y-%m-%d "
     "%H:%M:%S'),os.date('*t').hour,os.time{year=2026,month=3,day=1,hour=9},os.clock()>0",
     "1772355600,2026-03-01 09:00:00,9,1772355600,true"},
    {"random",
     "math.randomseed(42) local a=math.random(100) math.randomseed(42) local b=math.random(100) "
     "local c=math.random() return a==b,c>=0 and c<1,math.type(math.random(0))",
     "true,true,integer"},
    {"collectgarbage", "return collectgarbage('count'),collectgarbage()", "0.0,0"},
    {"undefined global", "local x=1\nreturn foo",
     "error: test.lua:2: undefined global 'foo' (a misspelt name, or a missing local?)"},
    {"set global", "x=1 return x,rawget(_G,'y')", "1,nil"},
    {"load",
     "local f=load('return ...,z') return f(1),load(function() return nil end)~=nil,load('x x')",
     "1,true,nil,[string \"x x\"]:1: syntax error near 'x'"},
    {"load env", "return load('return a','n','t',{a=5})(),load('\\27Lua'),load('return 1','x','b')",
     "5,nil,nil,attempt to load a binary chunk: only text can be loaded"},
    {"load reader",
     "local p={'return ','7'} local i=0 return load(function() i=i+1 block() return p[i] end)()",
     "7"},
    {"sort stable",
     "local t={} for i=1,40 do t[i]={i%3,i} end table.sort(t,function(a,b) return a[1]<b[1] end) "
     "local o='' for i=1,40 do o=o..t[i][2]..' ' end return o",
     "3 6 9 12 15 18 21 24 27 30 33 36 39 1 4 7 10 13 16 19 22 25 28 31 34 37 40 2 5 8 11 14 17 20 "
     "23 26 29 32 35 38 "},
    {"sort plain", "local t={5,3,9,1,7,2,8,6,4,0,11,10} table.sort(t) return table.concat(t,',')",
     "0,1,2,3,4,5,6,7,8,9,10,11"},
    {"sort bad comparator",
     "local t={} for i=1,100 do t[i]=i end table.sort(t,function() return true end) table.sort(t) "
     "return t[1],t[100],#t",
     "1,100,100"},
    {"rep", "return #string.rep('ab',1000),string.rep('',1<<40),string.rep('x',3,'-')",
     "2000,,x-x-x"},
    {"ipairs", "local o='' for i,v in ipairs{1,2,nil,4} do o=o..v end return o,pcall(ipairs)",
     "12,false,bad argument #1 to 'ipairs' (table expected, got no value)"},
    {"xpcall",
     "local ok,m=xpcall(function() error('boom',0) end,function(e) return "
     "e..':'..(debug.traceback('t'):match('test.lua:1') or '?') end) return ok,m",
     "false,boom:test.lua:1"},
    {"xpcall handler error", "return xpcall(error,function() error('again',0) end,'x')",
     "false,again"},
    {"xpcall values", "return xpcall(function(...) return select('#',...),... end,print,1,nil)",
     "true,2,1,nil"},
    {"pcall", "return pcall(error,'x',0),pcall(function() return 1,2 end)", "false,true,1,2"},
    {"print", "print('a',1,{},nil) return 1", "a\t1\ttable#1\tnil\n1"},
    {"where", "local function f() return where() end\nreturn (f())", "test.lua:1"},
    /* coroutines */
    {"coroutine",
     "local co=coroutine.create(function(a,b) local c=coroutine.yield(a+b) return c*2 end) local "
     "r={} r[1]=select(2,coroutine.resume(co,1,2)) r[2]=coroutine.status(co) "
     "r[3]=select(2,coroutine.resume(co,10)) r[4]=coroutine.status(co) "
     "r[5]=select(2,coroutine.resume(co)) return table.unpack(r)",
     "3,suspended,20,dead,cannot resume dead coroutine"},
    {"wrap iterator",
     "local o='' for v in coroutine.wrap(function() for i=1,3 do block() coroutine.yield(i) end "
     "end) do o=o..v block() end return o",
     "123"},
    {"wrap error", "return pcall(coroutine.wrap(function() error('x') end))",
     "false,test.lua:1: x"},
    {"yield outside", "return pcall(coroutine.yield,1)",
     "false,attempt to yield from outside a coroutine"},
    {"running",
     "local _,m=coroutine.running() return m,coroutine.isyieldable(),coroutine.wrap(function() "
     "return select(2,coroutine.running()) end)(),coroutine.wrap(function() return "
     "coroutine.isyieldable() end)()",
     "true,false,false,true"},
    {"close",
     "local o='' local co=coroutine.create(function() local x<close> "
     "=setmetatable({},{__close=function(_,e) block() o=o..'closed'..tostring(e) end}) "
     "pcall(coroutine.yield) o=o..'never' end) coroutine.resume(co) return "
     "coroutine.close(co),o,coroutine.status(co)",
     "true,closednil,dead"},
    {"close error",
     "local co=coroutine.create(function() local x<close> =setmetatable({},{__close=function() "
     "block() error('c',0) end}) coroutine.yield() end) coroutine.resume(co) return "
     "coroutine.close(co)",
     "false,c"},
    {"close fresh",
     "local co=coroutine.create(print) return coroutine.close(co),coroutine.status(co)",
     "true,dead"},
    {"self resume",
     "local co co=coroutine.create(function() return coroutine.resume(co) end) return "
     "coroutine.resume(co)",
     "true,false,cannot resume non-suspended coroutine"},
    {"nested yields",
     "local function gen(n) return coroutine.wrap(function() if n>0 then for v in gen(n-1) do "
     "block() coroutine.yield(v+1) end end coroutine.yield(0) end) end local o='' for v in gen(4) "
     "do o=o..v end return o",
     "43210"},
    {"deep nesting",
     "local function f(n) if n==0 then return 'end' end return coroutine.wrap(f)(n-1) end return "
     "pcall(f,60)",
     "true,end"},
    {"too deep",
     "local function f(n) local ok,e=coroutine.resume(coroutine.create(function() return f(n+1) "
     "end)) return e end return f(0)",
     "limit: 1"},
    /* blocking through everything */
    {"block in pcall in co",
     "local co=coroutine.wrap(function() local ok,v=pcall(function() return block(1)+block(2) end) "
     "coroutine.yield(v) return 'z' end) return co(),co()",
     "3,z"},
    {"block in gsub", "return (('a b c'):gsub('%a',function(x) return block(x:upper()) end))",
     "A B C"},
    {"block in gsub table",
     "return (('a b'):gsub('%a',setmetatable({},{__index=function(_,k) return block(k..k) end})))",
     "aa bb"},
    {"block in sort",
     "local t={3,1,2} table.sort(t,function(a,b) block() return a<b end) return table.concat(t)",
     "123"},
    {"block in index",
     "local t=setmetatable({},{__index=function(_,k) return block(k) end}) return t.hello..t.x",
     "hellox"},
    {"block in arithmetic",
     "local m={__add=function(a,b) return block(7) end,__lt=function() return block(true) "
     "end,__eq=function() return block(true) end,__concat=function() return block'cc' "
     "end,__len=function() return block(9) end,__call=function(_,x) return block(x) end} local "
     "a,b=setmetatable({},m),setmetatable({},m) return a+b,a<b,a==b,a..b,#a,a(5)",
     "7,true,true,cc,9,5"},
    {"block in iterator",
     "local o='' for v in function(_,i) i=(i or 0)+1 block() if i<4 then return i end end do "
     "o=o..v end return o",
     "123"},
    {"block in ipairs",
     "local o='' for i,v in ipairs(setmetatable({},{__index=function(_,i) if i<4 then return "
     "block(i*i) end end})) do o=o..v..' ' end return o",
     "1 4 9 "},
    {"block in xpcall",
     "return xpcall(function() block() error('e',0) end,function(e) return block(e..'!') end)",
     "false,e!"},
    {"block in close",
     "local o='' do local x<close> =setmetatable({},{__close=function() o=o..block('c') end}) end "
     "return o",
     "c"},
    {"block in close on error",
     "local o='' local ok,e=pcall(function() local x<close> "
     "=setmetatable({},{__close=function(_,e) o=o..block('c')..e end}) error('E',0) end) return "
     "o,ok,e",
     "cE,false,E"},
    {"all at once",
     "local t=setmetatable({},{__index=function(_,k) return (k:gsub('.',function(c) local "
     "ok,v=pcall(coroutine.wrap(function() return block(c)..block(c) end)) return v end)) end}) "
     "return t.abc",
     "aabbcc"},
    {"block in tostring",
     "local ok,e=pcall(tostring,setmetatable({},{__tostring=function() return block('x') end})) "
     "return ok,e:match('cannot wait here')",
     "false,cannot wait here"},
    /* unwinding */
    {"cancel passes pcall", "pcall(function() pcall(cancel) print('no') end) print('no')",
     "unwound: cancelled"},
    {"cancel passes all",
     "xpcall(function() coroutine.wrap(function() coroutine.resume(coroutine.create(function() "
     "('x'):gsub('x',function() pcall(cancel) end) end)) print('no') end)() end,print) print('no')",
     "unwound: cancelled"},
    {"cleanup blocks and catches",
     "local x<close> =setmetatable({},{__close=function() block() print(pcall(error,'inner',0)) "
     "print(select(2,coroutine.resume(coroutine.create(function() error('co',0) end)))) end}) "
     "pcall(cancel) print('no')",
     "false\tinner\nco\nunwound: cancelled"},
    {"close that raises",
     "pcall(function() local x<close> =setmetatable({},{__close=function() block() "
     "error('other',0) end}) cancel() end) print('no')",
     "unwound: other"},
    {"root close blocks",
     "local x<close> =setmetatable({},{__close=function() print('bye') block() print('gone') end}) "
     "error('E',0)",
     "bye\ngone\nerror: E"},
};

static const struct chunk pattern_chunks[] = {
    {"find",
     "return ('hello world'):find('o "
     "w'),('hello'):find('l+'),('a.b'):find('.',1,true),('abc'):find('b',-1),('abc'):find('',10)",
     "5,3,2,nil,nil"},
    {"find all", "return ('key = val'):find('^(%w+)%s*=%s*(%w+)$')", "1,9,key,val"},
    {"position", "return ('abc'):match('()b()')", "2,3"},
    {"classes",
     "return ('aZ5_ "
     "\\t!'):gsub('%a','L'),('x1y2'):gsub('%D',''),('FFg'):match('%x+'),('a-b'):match('[%w-]+'),('"
     "a]b'):match('[]]'),('q^'):match('[^^]'),('x'):match('[a-]')",
     "LL5_ \t!,12,FF,a-b,],q,nil"},
    {"lazy",
     "return ('<a><b>'):match('<(.-)>'),('aaa'):match('a-$'),('[[x]]'):match('%[%[(.*)%]%]')",
     "a,aaa,x"},
    {"optional", "return ('colour color'):gsub('colou?r','C'),('-5'):match('^[+-]?%d+$')",
     "C C,-5"},
    {"balance", "return ('f(a(b)c)d'):match('%b()'),('(('):match('%b()')", "(a(b)c),nil"},
    {"frontier",
     "return (('THE (quick) fox'):gsub('%f[%a]%a+',string.lower)),('hello'):find('%f[%z]')",
     "the (quick) fox,6,5"},
    {"back reference to a position", "return ('ab'):match('()%1')", "nil"},
    {"back reference", "return ('\"it\\'s\"'):match('([\"\\'])(.-)%1')", "\",it's"},
    {"gmatch",
     "local o='' for k,v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do o=o..k..v end for w in ('x "
     "y'):gmatch('%a*') do o=o..'['..w..']' end return o",
     "a1b2[x][y]"},
    {"gsub",
     "return "
     "('abc'):gsub('','-'),('abc'):gsub('%w','%0%0',2),('hello'):gsub('(l)(l)','%2%1'),('abc'):"
     "gsub('b',{b='X'}),('abc'):gsub('b',function() return false end),('a b'):gsub('^a','z')",
     "-a-b-c-,aabbc,hello,aXc,abc,z b,1"},
    {"gsub first only", "return ('aaa'):gsub('^a','b'),('abc'):gsub('b*','x')", "baa,xaxcx,3"},
    {"errors",
     "local function m(p) return (select(2,pcall(string.find,'x',p))) end return "
     "(m'['),(m'%'),(m'(x'),(m'.)'),(m'%1'),(m'%f'),(m'%b')",
     "malformed pattern (missing ']'),malformed pattern (ends with '%'),unfinished capture,invalid "
     "pattern capture,invalid capture index %1 in pattern,missing '[' after '%f' in "
     "pattern,malformed pattern (missing arguments to '%b')"},
    {"replacement errors",
     "return "
     "pcall(string.gsub,'x','x','%2'),pcall(string.gsub,'x','x','%y'),pcall(string.gsub,'x','x',"
     "function() return {} end)",
     "false,false,false,invalid replacement value (a table)"},
    {"captures",
     "return "
     "('x'):match('((((((((((((((((((((((((((((((((x))))))))))))))))))))))))))))))))'),pcall("
     "string.match,'x',('('):rep(33)..'x')",
     "x,false,too many captures"},
    {"many", "return select('#',('x'):match(('()'):rep(32)))", "32"},
    {"nul", "return ('a\\0b'):find('\\0'),('a\\0z'):find('%z'),#('a\\0b'):match('.+')", "2,2,3"},
};

static void run_all(const struct chunk *chunks, size_t n)
{
    static const uint64_t slices[] = {RUNNER_SLICE_ALL, 1000, 7, 1};
    for (size_t i = 0; i < n; i++)
        for (size_t s = 0; s < 4; s++) {
            struct runner r;
            CASE(chunks[i].name);
            runner_open(&r, SANDBOX_RUN, 64u << 20);
            CHECK_STR(runner_run(&r, chunks[i].text, slices[s]), chunks[i].want);
            CHECK(slices[s] > 1 || r.slices > 1);
            runner_close(&r);
        }
}

/* What each class takes of all bytes, by our matcher and by the library of the system. */
static void classes(void)
{
    static const char script[] =
        "local o = {} for _, form in ipairs{'%', '[%', '[^%'} do for class = 0, 255 do "
        "local c = string.char(class) "
        "if form ~= '%' or not c:find('[bf0-9]') then "
        "local p = form .. c .. (form ~= '%' and ']' or '') "
        "o[#o + 1] = '\\n' .. form .. class .. ' ' "
        "for b = 0, 255 do o[#o + 1] = string.char(b):find(p) and '1' or '0' end end end end "
        "return table.concat(o)";
    struct runner r;
    size_t n = 0;
    CASE("each class takes the bytes that stock Lua's takes");
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    CHECK_INT(luaL_dostring(L, script), LUA_OK);
    const char *want = lua_tolstring(L, -1, &n);
    CHECK(n > 100000);
    runner_open(&r, SANDBOX_RUN, 256u << 20);
    CHECK(strcmp(runner_run(&r, script, RUNNER_SLICE_ALL), want) == 0);
    runner_close(&r);
    lua_close(L);
}

static void host(void)
{
    struct runner r;
    int code = -1;
    CASE("a host state has files and the real pairs, and no finalizers");
    runner_open(&r, SANDBOX_HOST, 0);
    CHECK_STR(
        runner_run(&r,
                   "local f=io.tmpfile() f:write('x') f:seek('set') local s=f:read('a') f:close() "
                   "return s,type(os.getenv),string.dump,pcall(setmetatable,{},{__gc=print})",
                   RUNNER_SLICE_ALL),
        "x,function,nil,false,setmetatable: __gc is not available (use <close> for clean-up)");
    CHECK_STR(runner_run(&r, "return (('ab'):gsub('.',function(c) return block(c..c) end))", 1),
              "aabb");
    CHECK(r.blocks == 2);
    CASE("os.exit ends the script and nothing catches it");
    CHECK(!sandbox_exit_code(&r.sb, &code));
    CHECK(strncmp(runner_run(&r, "pcall(function() pcall(os.exit,3) print('no') end) print('no')",
                             RUNNER_SLICE_ALL),
                  "error: ", 7) == 0);
    CHECK(sandbox_exit_code(&r.sb, &code));
    CHECK_INT(code, 3);
    runner_close(&r);
}

static void read_only(void)
{
    struct runner r;
    CASE("a read-only context cannot wait, and sandbox_call never does");
    runner_open(&r, SANDBOX_RUN, 0);
    r.sb.blocking_forbidden = true;
    r.sb.forbidden_text = "not in a query";
    CHECK_STR(runner_run(&r, "return pcall(block)", RUNNER_SLICE_ALL), "false,not in a query");
    r.sb.blocking_forbidden = false;
    CHECK_INT(luaL_loadstring(r.sb.L, "local n=0 for i=1,5000 do n=n+i end return n,pcall(block)"),
              LUA_OK);
    r.sb.slice_left = 1;
    CHECK_INT(sandbox_call(&r.sb, r.sb.L, 0, 2), SANDBOX_DONE);
    CHECK_INT(lua_tointeger(r.sb.L, -2), 12502500);
    CHECK(!lua_toboolean(r.sb.L, -1));
    lua_settop(r.sb.L, 0);
    CHECK_INT(luaL_loadstring(r.sb.L, "error('E',0)"), LUA_OK);
    CHECK_INT(sandbox_call(&r.sb, r.sb.L, 0, 0), SANDBOX_ERROR);
    CHECK_STR(lua_tostring(r.sb.L, -1), "E");
    CHECK(strstr(sandbox_traceback(&r.sb).p, "stack traceback") != NULL);
    runner_close(&r);
}

/* Lua names a function by where it finds it among the loaded modules and the globals, in the order
 * of a hash that is another one in each state. */
static void names(void)
{
    static const char script[] = "aa = string.rep bb = string.rep cc = string.rep "
                                 "local ok, e = pcall(string.rep) "
                                 "local f = function() return debug.traceback() end dd = f ee = f "
                                 "local g = coroutine.wrap(function() return dd() .. '' end) "
                                 "return e, (string.gsub('x', 'x', dd)), g()";
    struct runner r;
    char first[4000] = "";
    CASE("errors and tracebacks name functions the same in every state");
    for (int i = 0; i < 50; i++) {
        runner_open(&r, SANDBOX_RUN, 32 << 20);
        const char *out = runner_run(&r, script, RUNNER_SLICE_ALL);
        CHECK(strstr(out, "bad argument #1") && strstr(out, "stack traceback"));
        if (i) CHECK_STR(out, first);
        snprintf(first, sizeof first, "%s", out);
        runner_close(&r);
    }
}

static void determinism(void)
{
    static const char script[] =
        "local t={} for i=1,200 do t['k'..(i*7919%1000)]=i end for k,v in pairs(t) do print(k,v) "
        "end "
        "print({},print,coroutine.create(print)) print(math.random(),math.random(10)) "
        "print(pcall(error,{})) "
        "local s={} for i=1,300 do s[i]={i%5,i} end table.sort(s,function(a,b) return a[1]<b[1] "
        "end) for i=1,300 do print(s[i][2],s[i]) end";
    struct runner a, b;
    CASE("the same script in two states prints the same");
    runner_open(&a, SANDBOX_RUN, 0);
    void *hole = malloc(100000);
    runner_open(&b, SANDBOX_RUN, 0);
    runner_run(&a, script, RUNNER_SLICE_ALL);
    CHECK_STR(runner_run(&b, script, 13), a.out.p);
    CHECK(a.out.n > 4000);
    free(hole);
    runner_close(&a);
    runner_close(&b);
}

static void interleaved(void)
{
    struct runner r;
    int n;
    CASE("two blocked coroutines do not disturb each other; a blocked coroutine of another cannot "
         "be resumed");
    runner_open(&r, SANDBOX_RUN, 0);
    lua_State *a = sandbox_coroutine(&r.sb), *b = sandbox_coroutine(&r.sb);
    struct err e;
    r.sb.slice_left = RUNNER_SLICE_ALL;
    CHECK_INT(sandbox_load(&r.sb, a,
                           str_of("shared=coroutine.create(function() block() error('A',0) end) "
                                  "return coroutine.resume(shared)"),
                           STR("@a.lua"), true, &e),
              0);
    CHECK_INT(sandbox_resume(&r.sb, a, 0, &n), SANDBOX_BLOCKED);
    CHECK_INT(
        sandbox_load(&r.sb, b,
                     str_of("local s=coroutine.status(shared) local ok,e=coroutine.resume(shared) "
                            "block() return s,ok,e,pcall(coroutine.close,shared)"),
                     STR("@b.lua"), true, &e),
        0);
    CHECK_INT(sandbox_resume(&r.sb, b, 0, &n), SANDBOX_BLOCKED);
    CHECK_INT(sandbox_resume(&r.sb, a, 0, &n), SANDBOX_DONE);
    CHECK_INT(n, 2);
    CHECK_STR(lua_tostring(a, -1), "A");
    CHECK_INT(sandbox_resume(&r.sb, b, 0, &n), SANDBOX_DONE);
    CHECK_STR(lua_tostring(b, -n), "normal");
    CHECK_STR(lua_tostring(b, -n + 2), "cannot resume non-suspended coroutine");
    runner_close(&r);
}

int main(void)
{
    run_all(run_chunks, sizeof run_chunks / sizeof *run_chunks);
    run_all(pattern_chunks, sizeof pattern_chunks / sizeof *pattern_chunks);
    classes();
    host();
    read_only();
    determinism();
    names();
    interleaved();
    return CHECK_DONE();
}
