/* See api_coverage.h. */
#include "api_coverage.h"
#include "base/mem.h"
#include "check.h"
#include <ctype.h>
#include <lauxlib.h>
#include <lualib.h>

#define ITEMS_MAX 400
struct item {
    char set[32]; /* of an option; "": a name */
    char name[48];
    bool seen, mattered, text_is_enough;
};
struct api_coverage {
    struct item items[ITEMS_MAX];
    size_t n;
};

/* The calls whose last argument is a table of options, by set. */
static const struct {
    const char *set, *call;
} calls[] = {{"workflow", "ml.workflow("},
             {"activity", "ml.activity("},
             {"activity", "activity_try:with"},
             {"activity", "activity_wait:with"},
             {"activity", "activity_leave:with"},
             {"local_activity", "ml.local_activity("},
             {"local_activity", "activity_near:with"},
             {"local_activity", "activity_hold:with"},
             {"local_activity", "activity_drop:with"},
             {"child", "ml.child("},
             {"external", "ml.external("},
             {"continue_as_new", "ml.continue_as_new("},
             {"fail", "ml.fail("},
             {"await", "ml.await("},
             {"receive", "channel:receive"},
             {"sleep", "ml.sleep("},
             {"sleep", "ml.every("},
             {"update", "ml.update("},
             {"retry", "retry ="}};

/* Not to be seen in what a run gives out. */
static const struct {
    const char *set, *name, *why;
} in_text[] = {{"", "ml.setup", "runs where activities run"},
               {"", "ml.null", "a value, not a function"},
               {"workflow", "*", "of the start of a run: the engine's, not the run's"},
               {"activity", "description", "for lists of tools"},
               {"activity", "input", "for lists of tools"},
               {"local_activity", "description", "for lists of tools"},
               {"local_activity", "input", "for lists of tools"},
               {"local_activity", "timeout", "told to the worker, not to the history"},
               {"local_activity", "schedule_to_close", "told to the worker, not to the history"},
               {"local_activity", "retry_threshold", "told to the worker, not to the history"},
               {"local_activity", "retry", "told to the worker, not to the history"},
               {"local_activity", "summary", "shown with nothing: it has no event"},
               {"continue_as_new", "task_queue", "the run's own, so that any engine serves it"},
               {"update", "description", "for lists of tools"}};

/* What is written in Lua over the other names and needs a model, a person or a server to be of use:
 * its own specs run it in workflows and replay those. */
static const char *const elsewhere[] = {
    "ml.tool",    "tool:",  "ml.agent", "agent:",     "ml.api",     "api:",       "ml.model",
    "ml.approve", "ml.mcp", "mcp:",     "ml.migrate", "ml.webhook", "ml.promise", "promise:"};

static bool is_elsewhere(const char *name)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        size_t n = strlen(elsewhere[i]);
        bool prefix = elsewhere[i][n - 1] == ':';
        if (strncmp(name, elsewhere[i], n) == 0 && (prefix || name[n] == 0)) return true;
    }
    return false;
}

static void add(struct api_coverage *c, const char *set, const char *name)
{
    CHECK(c->n < ITEMS_MAX);
    struct item *x = &c->items[c->n++];
    snprintf(x->set, sizeof x->set, "%s", set);
    snprintf(x->name, sizeof x->name, "%s", name);
    for (size_t i = 0; i < sizeof in_text / sizeof *in_text; i++)
        x->text_is_enough |=
            strcmp(in_text[i].set, set) == 0 &&
            (strcmp(in_text[i].name, name) == 0 || strcmp(in_text[i].name, "*") == 0);
}

/* Calls each of the chunk's pairs; both lists are data. */
static const char lister[] =
    "local dir, name, option = ...\n"
    "for _, e in ipairs(assert(loadfile(dir .. '/names.lua'))(dir)) do\n"
    "  for _, w in ipairs(e.where) do\n"
    "    if w == 'workflow' or (w == 'top' and #e.where == 1) then name(e.name) break end\n"
    "  end\n"
    "end\n"
    "local sets = assert(loadfile(dir .. '/options.lua'))()\n"
    "for set, list in pairs(sets) do for o in pairs(list) do option(set, o) end end\n";

static int add_name(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    if (!is_elsewhere(name)) add(lua_touserdata(L, lua_upvalueindex(1)), "", name);
    return 0;
}

static int add_option(lua_State *L)
{
    const char *set = luaL_checkstring(L, 1);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (strcmp(calls[i].set, set)) continue;
        add(lua_touserdata(L, lua_upvalueindex(1)), set, luaL_checkstring(L, 2));
        break;
    }
    return 0;
}

struct api_coverage *api_coverage_new(const char *source_dir)
{
    struct api_coverage *c = mem_zalloc(sizeof *c);
    lua_State *L = luaL_newstate();
    CHECK(c && L);
    luaL_openlibs(L);
    CHECK(luaL_loadstring(L, lister) == LUA_OK);
    lua_pushfstring(L, "%s/lua/api", source_dir);
    lua_pushlightuserdata(L, c);
    lua_pushcclosure(L, add_name, 1);
    lua_pushlightuserdata(L, c);
    lua_pushcclosure(L, add_option, 1);
    if (lua_pcall(L, 3, 0, 0)) fprintf(stderr, "%s\n", lua_tostring(L, -1));
    lua_close(L);
    CHECK(c->n > 100);
    return c;
}

void api_coverage_free(struct api_coverage *c)
{
    mem_free(c);
}

static bool word(char ch)
{
    return isalnum((unsigned char)ch) || ch == '_';
}

/* "ml.sleep" as a whole word; "future:await" also behind a variable of the class ("future2"). */
static bool uses(const char *text, const char *name)
{
    const char *colon = strchr(name, ':'), *at = text;
    const char *find = colon ? colon : name;
    size_t n = strlen(find);
    while ((at = strstr(at, find)) != NULL) {
        const char *from = at;
        at += n;
        if (word(*at)) continue;
        if (!colon) return true;
        while (from > text && word(from[-1]))
            from--;
        if (strncmp(from, name, (size_t)(colon - name)) == 0) return true;
    }
    /* a call's result used at once: ml.child(...):start(o) */
    return colon && strncmp(name, "child:", 6) == 0 && strstr(text, find);
}

/* The end of what begins at `p`: behind the bracket that closes the first one, or at its line's
 * end. */
static const char *extent(const char *p)
{
    int depth = 0;
    for (; *p; p++) {
        if (strchr("({[", *p)) depth++;
        if (strchr(")}]", *p) && --depth <= 0) return p + 1;
    }
    return p;
}

/* Where the option stands in a call of its set, behind `from`; its length with its comma. */
static const char *find_option(const char *text, const char *from, const struct item *x,
                               size_t *length)
{
    char key[60];
    int key_n = snprintf(key, sizeof key, "%s = ", x->name);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (strcmp(calls[i].set, x->set)) continue;
        const char *call = text;
        while ((call = strstr(call, calls[i].call)) != NULL) {
            const char *end = extent(call), *at = call;
            call += strlen(calls[i].call);
            while ((at = strstr(at + 1, key)) != NULL && at < end) {
                if (at <= from || word(at[-1]) || at[-1] == '.') continue;
                const char *p = at + key_n;
                for (int depth = 0; *p; p++) {
                    if (strchr("({[", *p)) depth++;
                    if (strchr(")}]", *p) && depth-- == 0) break;
                    if (*p == ',' && depth == 0) {
                        p++;
                        break;
                    }
                }
                *length = (size_t)(p - at);
                return at;
            }
        }
    }
    return NULL;
}

/* Whether the program, done again in this way, gives something else than it gave live. */
static bool differs(const struct sim *s, const struct replay_how *how)
{
    struct err e = {0};
    struct wf_run *r = replay_open(how, &e);
    bool other = !r;
    for (size_t i = 0; i < s->n_tasks && !other; i++) {
        const struct task *t = &s->tasks[i];
        const struct wf_out *o = NULL;
        struct outcome out;
        outcome_init(&out);
        other = !replay_task(s, how, r, t, false, &out, &o) || outcome_differs(&t->out, &out) ||
                (o->status == WF_WAIT_LOCAL) != t->heartbeat;
        outcome_free(&out);
        if (!other && t->heartbeat) wf_flushed(r);
    }
    if (r) wf_close(r);
    return other;
}

static void look_at_name(struct item *x, const struct sim *s)
{
    const char *text = buf_str(&s->program->lua).p;
    if (!uses(text, x->name)) return;
    x->seen = true;
    if (x->text_is_enough) return;
    struct replay_how how = sim_how(s);
    how.noop = str_of(x->name);
    x->mattered = differs(s, &how);
}

static void look_at_option(struct item *x, const struct sim *s)
{
    struct str lua = buf_str(&s->program->lua);
    size_t length;
    const char *at = lua.p - 1;
    while (!x->mattered && (at = find_option(lua.p, at, x, &length)) != NULL) {
        x->seen = true;
        if (x->text_is_enough) return;
        struct buf without;
        struct err e = {0};
        buf_init(&without, 1u << 20);
        buf_put(&without, lua.p, (size_t)(at - lua.p));
        buf_puts(&without, at + length);
        struct replay_how how = sim_how(s);
        how.bundle = sim_bundle(s, buf_str(&without), &e);
        if (how.bundle) {
            x->mattered = differs(s, &how);
            bundle_unref(how.bundle);
        }
        buf_free(&without);
    }
}

void api_coverage_look(struct api_coverage *c, const struct sim *s)
{
    for (size_t i = 0; i < c->n; i++) {
        struct item *x = &c->items[i];
        if (x->mattered || (x->seen && x->text_is_enough)) continue;
        if (x->set[0])
            look_at_option(x, s);
        else
            look_at_name(x, s);
    }
}

size_t api_coverage_report(const struct api_coverage *c)
{
    size_t names = 0, missing = 0, by_text = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct item *x = &c->items[i];
        names += !x->set[0];
        by_text += x->text_is_enough;
        if (x->mattered || (x->seen && x->text_is_enough)) continue;
        missing++;
        printf("%s %s %s\n", x->set[0] ? x->set : "name", x->name,
               x->seen ? "did not matter" : "did not occur");
    }
    printf("%zu names and %zu options of the workflow API: %zu did not matter (%zu need only "
           "occur)\n",
           names, c->n - names, missing, by_text);
    return missing;
}
