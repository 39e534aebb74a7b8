/* Bundles: what is found, that the digest is stable, that a rebuilt one runs the same, and how
 * require behaves in a run. */
#include "base/mem.h"
#include "script/bundle.h"
#include "script_runner.h"
#include <sys/stat.h>
#include <unistd.h>

static char folder[100];

static void put(const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
}

static void sub(const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK_INT(mkdir(path, 0700), 0);
}

static const char *at(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

struct found {
    char names[500];
};
static void each(void *ud, struct str name)
{
    struct found *f = ud;
    size_t n = strlen(f->names);
    snprintf(f->names + n, sizeof f->names - n, STR_FMT " ", STR_ARG(name));
}

static void scanning(void)
{
    struct found f = {""};
    CASE("literal require calls are found, comments and texts are not code");
    bundle_scan_requires(
        str_of("local a=require'a' b = require \"b.c\" c=require([[d]]) require ( 'e' )\n-- "
               "require 'no'\n--[==[ require 'no' ]] ]==]"
               " s='require \"no\"' t=[[require 'no']] require(x) x.require'no' y:require'no' "
               "prerequire'no' require2'no' 'it\\'s' require[=[f]=] require"),
        each, &f);
    CHECK_STR(f.names, "a b.c d e f ");
    f.names[0] = 0;
    bundle_scan_requires(STR("--[[ open"), each, &f);
    bundle_scan_requires(STR("require '"), each, &f);
    bundle_scan_requires(STR("require [["), each, &f);
    bundle_scan_requires(STR("x = [==["), each, &f);
    bundle_scan_requires(STR("require"), each, &f);
    CHECK_STR(f.names, "");
}

static int text_of(void *ud, const char *sha, struct str *text)
{
    const struct bundle *b = ud;
    for (size_t i = 0; i < b->n_modules; i++)
        if (strcmp(b->modules[i].sha, sha) == 0) {
            *text = str_make(b->modules[i].text, b->modules[i].text_n);
            return 0;
        }
    return ERR_NOTFOUND;
}
static int no_text(void *ud, const char *sha, struct str *text)
{
    (void)ud;
    (void)sha;
    *text = STR("other");
    return 0;
}

static const char *run(struct runner *r, struct bundle *b)
{
    struct err e = {0};
    int n = 0;
    enum sandbox_status status;
    lua_State *co = sandbox_coroutine(&r->sb);
    buf_reset(&r->out);
    if (bundle_install(b, &r->sb, co, &e)) {
        buf_printf(&r->out, "install: %s", e.text);
        return r->out.p;
    }
    do {
        r->sb.slice_left = 1000;
        status = sandbox_resume(&r->sb, co, 0, &n);
    } while (status == SANDBOX_BLOCKED || status == SANDBOX_SLICE);
    if (status == SANDBOX_ERROR) buf_printf(&r->out, "error: %s", lua_tostring(co, -1));
    for (int i = 0; status == SANDBOX_DONE && i < n; i++)
        buf_printf(&r->out, "%s%s", i ? "," : "", luaL_tolstring(co, i - n - i, NULL));
    return r->out.p ? r->out.p : "";
}

static void whole(void)
{
    struct bundle *b = NULL, *again = NULL, *parsed = NULL;
    struct err e = {0};
    struct runner r;
    const char *loaded[] = {"dyn", "string", "moonloop"};
    put("main.lua", "local lib=require 'lib.util' local dyn=require('d'..'yn') local "
                    "ok,e=pcall(require,'missing') require 'pack' return "
                    "lib.v..dyn.v..tostring(ok), e:match('not found') , lib==require'lib.util'");
    put("lib/util.lua", "local deep=require 'lib.deep' return {v='u'..deep}");
    put("lib/deep.lua", "return 'deep'");
    put("dyn.lua", "return {v='dyn'}");
    put("pack/init.lua", "return true");
    CASE("entry, literal requires, what was loaded, nothing else");
    CHECK_INT(bundle_build(at("main.lua"), loaded, 3, &b, &e), 0);
    CHECK_STR(b->entry, "main");
    CHECK(bundle_find(b, STR("lib.deep")) && bundle_find(b, STR("dyn")) &&
          bundle_find(b, STR("pack")) && !bundle_find(b, STR("string")));
    CHECK(bundle_find(b, STR("lib.util"))->strict);
    CHECK_STR(bundle_find(b, STR("lib.util"))->chunk, "@lib/util.lua");
    CASE("the digest is stable, and is another when a text is");
    CHECK_INT(bundle_build(at("main.lua"), loaded, 3, &again, &e), 0);
    CHECK_STR(again->digest, b->digest);
    CHECK_STR(again->json, b->json);
    struct buf canonical;
    buf_init(&canonical, 1 << 20);
    CHECK_INT(value_canonical(str_of(b->json), &canonical, &e), 0);
    CHECK_STR(canonical.p, b->json);
    buf_free(&canonical);
    bundle_unref(again);
    put("lib/deep.lua", "return 'other'");
    CHECK_INT(bundle_build(at("main.lua"), loaded, 3, &again, &e), 0);
    CHECK(strcmp(again->digest, b->digest) != 0);
    bundle_unref(again);
    CASE("the stored form gives the same bundle; damage is seen");
    CHECK_INT(bundle_parse(str_of(b->json), text_of, b, &parsed, &e), 0);
    CHECK_STR(parsed->digest, b->digest);
    CHECK(bundle_find(parsed, STR("dyn"))->strict);
    CHECK_INT(bundle_parse(str_of(b->json), no_text, b, &again, &e), ERR_CORRUPT);
    CHECK_INT(bundle_parse(STR("{\"format\":99}"), text_of, b, &again, &e), ERR_NEWER);
    for (size_t n = 0; n < b->json_n; n++)
        CHECK(bundle_parse(str_make(b->json, n), text_of, b, &again, &e) < 0);
    CASE("a run loads its own copies, from text and then from bytecode");
    for (int i = 0; i < 3; i++) {
        runner_open(&r, SANDBOX_RUN, 0);
        CHECK_STR(run(&r, parsed), "udeepdynfalse,not found,true");
        runner_close(&r);
        CHECK(bundle_find(parsed, STR("lib.deep"))->code != NULL);
    }
    CHECK_INT(parsed->refs, 1);
    bundle_unref(parsed);
    bundle_unref(b);
}

static void errors(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"local a=require 'loop1'",
         "error: loop2.lua:1: module 'loop1' requires itself (a loop of modules)"},
        {"require 'broken'", "error: main.lua:1: error loading module 'broken': broken.lua:2: "
                             "unexpected symbol near <eof>"},
        {"require 'raises'", "error: raises.lua:1: boom"},
        {"require 'blocks'",
         "error: blocks.lua:1: cannot wait here: Lua cannot pause inside a metamethod such as "
         "__tostring, or while a module is being loaded; wait before, and use the result here"},
        {"require 'typo'",
         "error: typo.lua:1: undefined global 'pritn' (a misspelt name, or a missing local?)"},
        {"local a,b=pcall(require,'raises') return a,require('once'),require('once'),n",
         "false,1,1,1"},
        {"local n=require 'nat' return type(n),pcall(function() return n.x end)",
         "table,false,main.lua:1: module 'nat' is native and cannot be used in a workflow: use it "
         "inside an activity"},
        {"local x = = 1", "install: main.lua:1: unexpected symbol near '='"},
        {"local lax=require 'laxmod' return lax", "nil"},
        {"return require('laxmod')", "nil"},
    };
    struct err e = {0};
    put("loop1.lua", "require 'loop2'");
    put("loop2.lua", "require 'loop1'");
    put("broken.lua", "x =\n");
    put("raises.lua", "error('boom')");
    put("blocks.lua", "block()");
    put("typo.lua", "pritn()");
    put("once.lua", "n=(rawget(_G,'n') or 0)+1 return n");
    put("path/laxmod.lua", "return tostring(unknown_global)");
    put("path/nat.so", "not really");
    char path[300];
    snprintf(path, sizeof path, "%s/path/?.lua", folder);
    setenv("LUA_PATH_5_4", path, 1);
    snprintf(path, sizeof path, "%s/path/?.so", folder);
    setenv("LUA_CPATH_5_4", path, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bundle *b = NULL;
        struct runner r;
        CASE(cases[i].text);
        put("main.lua", cases[i].text);
        CHECK_INT(bundle_build(at("main.lua"), NULL, 0, &b, &e), 0);
        runner_open(&r, SANDBOX_RUN, 0);
        CHECK_STR(run(&r, b), cases[i].want);
        if (strstr(cases[i].text, "laxmod"))
            CHECK(strstr(b->json, "\"lax\":[\"laxmod\"]") &&
                  !bundle_find(b, STR("laxmod"))->strict);
        if (strstr(cases[i].text, "'nat'")) CHECK(strstr(b->json, "\"native\":[\"nat\"]") != NULL);
        struct bundle *parsed = NULL;
        CHECK_INT(bundle_parse(str_of(b->json), text_of, b, &parsed, &e), 0);
        CHECK(parsed->n_native == b->n_native);
        for (size_t m = 0; m < b->n_modules; m++)
            CHECK(parsed->modules[m].strict == b->modules[m].strict);
        bundle_unref(parsed);
        runner_close(&r);
        bundle_unref(b);
    }
    CASE("a missing entry");
    struct bundle *none = NULL;
    CHECK_INT(bundle_build(at("nowhere.lua"), NULL, 0, &none, &e), ERR_NOTFOUND);
    CHECK(none == NULL && strstr(e.text, "nowhere.lua"));
    CASE("a name that leads elsewhere is no module");
    char *p = NULL;
    bool strict, native;
    CHECK_INT(bundle_resolve(at("main.lua"), STR("..x"), &p, &strict, &native, &e), ERR_NOTFOUND);
    CHECK_INT(bundle_resolve(at("main.lua"), STR("/etc/x"), &p, &strict, &native, &e),
              ERR_NOTFOUND);
    CHECK_INT(bundle_resolve(at("main.lua"), STR("zzz"), &p, &strict, &native, &e), ERR_NOTFOUND);
    CHECK(strstr(e.text, "/zzz.lua") != NULL);
}

int main(void)
{
    snprintf(folder, sizeof folder, "/tmp/ml-bundle-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    sub("lib");
    sub("pack");
    sub("path");
    scanning();
    whole();
    errors();
    char cmd[200];
    snprintf(cmd, sizeof cmd, "rm -r '%s'", folder);
    CHECK_INT(system(cmd), 0);
    return CHECK_DONE();
}
