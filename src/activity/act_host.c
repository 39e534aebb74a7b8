/* One entry script: opening, its top, set-up functions, definitions, the bundle; a fresh state
 * after one ran out of memory. Keeps true: the top either defines or acts; the load is told once,
 * from act_step; the text that was loaded first is the text of every later state of this host. */
#include "activity/act_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SCRIPT_MAX ((size_t)16 << 20)

/* ---- files ---- */

/* A script's text, owned. Loading happens before anything waits for the loop, so it reads in place.
 */
static int read_text(const char *path, char **text, size_t *n, struct err *e)
{
    char chunk[65536];
    struct buf b;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC), code = 0;
    if (fd < 0)
        return err_set(e, ERR_NOTFOUND, "%s: there is no such file (or it cannot be read)", path);
    buf_init(&b, SCRIPT_MAX);
    while (code == 0 && (got = read(fd, chunk, sizeof chunk)) > 0)
        code = buf_put(&b, chunk, (size_t)got);
    close(fd);
    if (got < 0)
        code = err_set(e, ERR_NOTFOUND, "%s: it cannot be read (is it a folder?)", path);
    else if (code < 0)
        err_set(e, code, "%s: larger than 16 MiB, or no memory", path);
    if (code == 0 && !(*text = buf_take(&b, n)))
        code = err_set(e, ERR_NOMEM, "%s: no memory", path);
    buf_free(&b);
    return code;
}

static struct act_module *module_find(struct act_host *h, struct str name)
{
    struct act_module *m = h->modules;
    while (m && !str_eqz(name, m->name))
        m = m->next;
    return m;
}

static void module_free(struct act_module *m)
{
    if (!m) return;
    mem_free(m->name);
    mem_free(m->chunk);
    mem_free(m->text);
    mem_free(m);
}

/* "lib/x.lua" relative to the entry's folder when it lies there. */
static char *chunk_of(const struct act_host *h, const char *path)
{
    const char *slash = strrchr(h->path, '/');
    size_t folder = slash ? (size_t)(slash - h->path) + 1 : 0;
    if (folder && strncmp(path, h->path, folder) == 0)
        path += folder;
    else if (!folder && strncmp(path, "./", 2) == 0)
        path += 2;
    size_t n = strlen(path) + 2;
    char *out = mem_alloc(n);
    if (out) snprintf(out, n, "@%s", path);
    return out;
}

static int load_module(void *ud, struct str name, struct str *text, struct str *chunk, bool *strict,
                       bool *native, struct err *e)
{
    struct act_host *h = ((struct act_state *)ud)->h;
    struct act_module *m = module_find(h, name);
    char *path = NULL;
    int code = 0;
    if (!m) {
        m = mem_zalloc(sizeof *m);
        if (!m || !(m->name = str_dup(name))) code = err_set(e, ERR_NOMEM, "no memory");
        if (code == 0) code = bundle_resolve(h->path, name, &path, &m->strict, &m->native, e);
        if (code == 0 && !m->native) code = read_text(path, &m->text, &m->text_n, e);
        if (code == 0 && !(m->chunk = chunk_of(h, path))) code = err_set(e, ERR_NOMEM, "no memory");
        mem_free(path);
        if (code < 0) {
            module_free(m);
            return code;
        }
        m->next = h->modules;
        h->modules = m;
    }
    *text = str_make(m->text, m->text_n);
    *chunk = str_of(m->chunk);
    *strict = m->strict;
    *native = m->native;
    return 0;
}

/* ---- states ---- */

static int64_t hook_now(void *ud)
{
    return act_now(((struct act_state *)ud)->h);
}

static uint64_t hook_random(void *ud)
{
    return rng_next(&((struct act_state *)ud)->h->rng);
}

/* Slices end by time too: there are instructions that take milliseconds. */
static bool hook_too_long(void *ud, bool stuck)
{
    struct act_host *h = ((struct act_state *)ud)->h;
    int64_t ran = clock_mono(h->env.clock) - h->slice_ns;
    if (!stuck || ran < ACT_SLICE_NS) return ran > ACT_SLICE_NS;
    int64_t used = clock_thread_ns(clock_thread_self());
    if (!h->stuck_ns) h->stuck_ns = used;
    return used - h->stuck_ns > ACT_STUCK_NS;
}

static void hook_print(void *ud, struct str line)
{
    struct act_host *h = ((struct act_state *)ud)->h;
    bool program = h->mode == MODE_PROGRAM || (h->mode == MODE_UNDECIDED && h->allow_program);
    if (program &&
        h->env.stdio) { /* a plain script's output is the process's, in order with its io.write */
        fwrite(line.p, 1, line.n, stdout);
        fputc('\n', stdout);
        fflush(stdout);
        return;
    }
    if (h->env.print)
        h->env.print(h->env.ud, line);
    else
        log_write(h->env.log, LOG_INFO, line, (struct str){NULL, 0});
}

int64_t act_now(struct act_host *h)
{
    return h->env.now_ns ? h->env.now_ns(h->env.ud) : clock_wall(h->env.clock);
}

int act_state_open(struct act_host *h, struct act_state **out, struct err *e)
{
    struct act_state *st = mem_zalloc(sizeof *st);
    if (!st) return err_set(e, ERR_NOMEM, "no memory for a Lua state");
    st->h = h;
    st->sb.mem_max = h->env.memory_max ? h->env.memory_max : ACT_MEMORY;
    st->sb.ud = st;
    st->sb.now_ns = hook_now;
    st->sb.random = hook_random;
    st->sb.print = hook_print;
    st->sb.too_long = hook_too_long;
    st->sb.slice_left = UINT64_MAX / 4;
    int code = sandbox_open(&st->sb, SANDBOX_HOST, e);
    if (code < 0) {
        mem_free(st);
        return code;
    }
    sandbox_set_loader(&st->sb, load_module, st);
    lua_pushcfunction(st->sb.L, act_open_table);
    enum sandbox_status status = sandbox_call(&st->sb, st->sb.L, 0, 0);
    if (status != SANDBOX_DONE) {
        const char *text = status == SANDBOX_ERROR ? lua_tostring(st->sb.L, -1) : NULL;
        code = err_set(e, text ? ERR_SCRIPT : ERR_NOMEM, "%s",
                       text ? text : "no memory for a Lua state");
        sandbox_close(&st->sb);
        mem_free(st);
        return code;
    }
    st->next = h->states;
    h->states = st;
    *out = st;
    return 0;
}

void act_state_close(struct act_state *st)
{
    struct act_host *h = st->h;
    for (struct act_call_state *c = h->first_call, *next; c; c = next) {
        next = c->next;
        if (c->st == st) act_call_free(c);
    }
    if (h->st == st) h->st = NULL;
    sandbox_close(&st->sb);
    mem_free(st);
}

void act_state_out_of_memory(struct act_state *st)
{
    struct act_host *h = st->h;
    if (st->loading || h->mode == MODE_PROGRAM || h->st != st) return;
    log_printf(h->env.log, LOG_WARN,
               "%s: a coroutine ran out of memory; new calls get a fresh state", h->path);
    st->draining = true;
    h->st = NULL;
}

/* ---- loading ---- */

static int push_args(lua_State *L)
{
    struct act_host *h = lua_touserdata(L, 1);
    lua_createtable(L, (int)h->n_args, 1);
    lua_pushstring(L, h->path);
    lua_rawseti(L, -2, 0);
    for (size_t i = 0; i < h->n_args; i++) {
        lua_pushstring(L, h->args[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushglobaltable(L);
    lua_pushliteral(L, "arg");
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    return 0;
}

/* The coroutine of the top, its chunk pushed. */
static int load_top(struct act_host *h, struct act_state *st, struct act_call_state **out,
                    struct err *e)
{
    const char *slash = strrchr(h->path, '/');
    char chunk[300];
    snprintf(chunk, sizeof chunk, "@%s", slash ? slash + 1 : h->path);
    struct act_call_state *c = act_call_new(h, st, CALL_LOAD);
    struct act_co *co = c ? act_co_new(c, st) : NULL;
    if (!co) {
        if (c) act_call_free(c);
        return err_set(e, ERR_NOMEM, "no memory to load %s", h->path);
    }
    c->main_id = co->id;
    st->loading = true;
    struct str text = str_make(h->text, h->text_n);
    if (text.n && text.p[0] == '#') { /* a first line for the shell, its line break kept */
        size_t i = 0;
        while (i < text.n && text.p[i] != '\n')
            i++;
        text = str_make(text.p + i, text.n - i);
    }
    int code = sandbox_load(&st->sb, co->co, text, str_of(chunk), true, e);
    if (code == 0 && h->allow_program) {
        lua_pushcfunction(st->sb.L, push_args);
        lua_pushlightuserdata(st->sb.L, h);
        if (sandbox_call(&st->sb, st->sb.L, 1, 0) != SANDBOX_DONE)
            code = err_set(e, ERR_NOMEM, "no memory for the arguments");
        for (size_t i = 0; code == 0 && i < h->n_args && i < 200; i++) {
            if (!lua_checkstack(co->co, 5)) break;
            lua_pushstring(co->co, h->args[i]);
            co->nargs++;
        }
    }
    if (code < 0) {
        act_call_free(c);
        return code;
    }
    *out = c;
    return 0;
}

static void load_finished(struct act_host *h, int code)
{
    struct act_load_result *r = &h->load_result;
    h->load_done = true;
    r->kind = h->mode == MODE_DEFINITIONS ? ACT_LOAD_DEFINITIONS : ACT_LOAD_PROGRAM;
    r->exit_code = code;
    if (r->err.code && !code) r->exit_code = 1;
    act_wake(h);
}

void act_error_text(struct act_state *st, lua_State *co, struct err *e, bool trace)
{
    struct arena a;
    struct rec *f = NULL;
    bool was_failure = false;
    arena_init(&a, 1u << 20);
    if (failure_from_lua(co, -1, &a, (struct str){NULL, 0}, &f, &was_failure) < 0 || !f) {
        err_set(e, ERR_NOMEM, "no memory for the error");
    } else {
        struct str m = rec_str(f, T(failure, message)), type = failure_type(f),
                   t = sandbox_traceback(&st->sb);
        if (was_failure)
            err_set(e, ERR_SCRIPT, STR_FMT ": " STR_FMT, STR_ARG(type), STR_ARG(m));
        else
            err_set(e, ERR_SCRIPT, STR_FMT "%s" STR_FMT, STR_ARG(m), trace && t.n ? "\n" : "",
                    STR_ARG(trace ? t : STR("")));
    }
    arena_free(&a);
}

static void warn_captured(struct act_state *st);

static int start_setups(struct act_host *h, struct act_state *st, struct err *e)
{
    lua_State *L = st->sb.L;
    lua_getfield(L, LUA_REGISTRYINDEX, "moonloop.setups");
    int n = (int)lua_rawlen(L, -1), code = 0;
    for (int i = 1; i <= n && code == 0; i++) {
        struct act_call_state *c = act_call_new(h, st, CALL_SETUP);
        struct act_co *co = c ? act_co_new(c, st) : NULL;
        if (!co || !lua_checkstack(co->co, 5)) {
            if (c) act_call_free(c);
            code = err_set(e, ERR_NOMEM, "no memory for ml.setup");
            break;
        }
        lua_rawgeti(L, -1, i);
        lua_xmove(L, co->co, 1);
        c->main_id = co->id;
        st->setups_left++;
        act_co_ready(co);
    }
    lua_pop(L, 1);
    return code;
}

static void release_held(struct act_state *st)
{
    struct act_co *co = st->held_first;
    st->held_first = st->held_last = NULL;
    while (co) {
        struct act_co *next = co->ready_next;
        co->queued = false;
        act_co_ready(co);
        co = next;
    }
}

/* The top has ended (or called os.exit). */
void act_load_ended(struct act_call_state *c, bool exited, int exit_code)
{
    struct act_host *h = c->h;
    struct act_state *st = c->st;
    struct err e = c->error;
    st->loading = false;
    st->sealed = true;
    act_call_free(c);
    if (st != h->st || h->load_done) return; /* a reload looks at its own error */
    h->load_result.err = e;
    /* It has done nothing yet: when it speaks of moonloop it is a faulty script, else a program
     * that failed. */
    if (h->mode == MODE_UNDECIDED && e.code && memmem(h->text, h->text_n, "moonloop", 8) &&
        h->text[0] != '#')
        h->mode = MODE_DEFINITIONS;
    if (h->mode == MODE_UNDECIDED && !exited && !e.code && !h->allow_program) {
        err_set(&h->load_result.err, ERR_SCRIPT,
                "%s defines nothing: a script for this command defines workflows or activities at "
                "its top",
                h->path);
    }
    if (h->mode == MODE_DEFINITIONS && !e.code) {
        warn_captured(st);
        if (start_setups(h, st, &h->load_result.err) == 0 && st->setups_left > 0) return;
    }
    load_finished(h, exit_code);
}

void act_setup_ended(struct act_call_state *c)
{
    struct act_host *h = c->h;
    struct act_state *st = c->st;
    struct err e = c->error;
    act_call_free(c);
    st->setups_left--;
    if (e.code) {
        err_prefix(&e, "ml.setup");
        if (h->load_done)
            log_printf(h->env.log, LOG_ERROR, "%s", e.text);
        else if (!h->load_result.err.code)
            h->load_result.err = e;
    }
    if (st->setups_left > 0) return;
    release_held(st);
    if (!h->load_done) load_finished(h, 0);
}

/* A fresh state from the kept text, for calls after one ran out of memory. The top only defines, so
 * it never waits. */
int act_state_reload(struct act_host *h, struct err *e)
{
    struct act_state *st = NULL;
    struct act_call_state *c = NULL;
    if (h->mode != MODE_DEFINITIONS) return err_set(e, ERR_CLOSED, "%s is not loaded", h->path);
    int code = act_state_open(h, &st, e), nres = 0;
    if (code == 0) code = load_top(h, st, &c, e);
    if (code < 0) goto out;
    struct act_co *co = idmap_get(&h->cos, c->main_id), *before = h->current;
    enum sandbox_status status;
    int nargs = co->nargs;
    h->current = co;
    st->sb.scope = &co->scope;
    do {
        st->sb.slice_left = UINT64_MAX / 4;
        status = sandbox_resume(&st->sb, co->co, nargs, &nres);
        nargs = 0;
    } while (status == SANDBOX_SLICE);
    st->sb.scope = NULL;
    h->current = before;
    if (status == SANDBOX_ERROR)
        act_error_text(st, co->co, e, false);
    else if (status != SANDBOX_DONE)
        err_set(e, ERR_LIMIT, "%s: not enough memory", h->path);
    code = status == SANDBOX_DONE ? 0 : e->code;
    act_call_free(c);
    st->loading = false;
    st->sealed = true;
    if (code < 0) goto out;
    h->st = st;
    code = start_setups(h, st, e);
    if (code == 0) return 0;
    h->st = NULL;
out:
    if (st) st->draining = true; /* closed by the next step */
    return code;
}

int act_open(const struct act_env *env, const char *path, bool allow_program,
             const char *const *args, size_t n_args, act_load_fn fn, void *ud,
             struct act_host **out, struct err *e)
{
    struct act_host *h = mem_zalloc(sizeof *h);
    struct act_call_state *c = NULL;
    uint64_t seed[4] = {0};
    if (!h) return err_set(e, ERR_NOMEM, "no memory to load %s", path);
    h->env = *env;
    h->allow_program = allow_program;
    h->load_fn = fn;
    h->load_ud = ud;
    arena_init(&h->defs_arena, 0);
    arena_init(&h->scratch, 0);
    idmap_init(&h->cos);
    idmap_init(&h->calls);
    map_init(&h->sqlfiles);
    http_router_init(&h->router);
    entropy_fill(env->entropy, seed, sizeof seed);
    rng_seed(&h->rng, str_make(seed, sizeof seed));
    h->path = str_dup(str_of(path));
    h->args = mem_zalloc((n_args + 1) * sizeof *h->args);
    int code = h->path && h->args ? 0 : err_set(e, ERR_NOMEM, "no memory to load %s", path);
    for (size_t i = 0; code == 0 && i < n_args; i++, h->n_args++)
        if (!(h->args[i] = str_dup(str_of(args[i]))))
            code = err_set(e, ERR_NOMEM, "no memory to load %s", path);
    if (code == 0) code = act_state_open(h, &h->st, e);
    if (code < 0) {
        act_close(h);
        return code;
    }
    struct err *le = &h->load_result.err;
    if (read_text(path, &h->text, &h->text_n, le) < 0 || load_top(h, h->st, &c, le) < 0) {
        h->mode = MODE_DEFINITIONS; /* what failed to load is not a program that has run */
        load_finished(h, 0);
    } else {
        act_co_ready(idmap_get(&h->cos, c->main_id));
    }
    *out = h;
    return 0;
}

void act_close(struct act_host *h)
{
    if (!h) return;
    if (h->in_step) { /* a callback closes: done when the step returns */
        h->closing = true;
        return;
    }
    h->ready_fn = NULL;
    while (h->first_call)
        act_call_free(h->first_call);
    while (h->states) {
        struct act_state *st = h->states;
        h->states = st->next;
        act_state_close(st);
    }
    act_sqlfiles_close(h);
    act_tokens_free(h);
    http_guard_free(h->guard);
    map_free(&h->sqlfiles);
    http_router_free(&h->router);
    idmap_free(&h->cos);
    idmap_free(&h->calls);
    arena_free(&h->defs_arena);
    arena_free(&h->scratch);
    while (h->modules) {
        struct act_module *m = h->modules;
        h->modules = m->next;
        module_free(m);
    }
    for (size_t i = 0; i < h->n_args; i++)
        mem_free(h->args[i]);
    mem_free(h->args);
    mem_free(h->defs);
    mem_free(h->text);
    mem_free(h->path);
    mem_free(h);
}

/* ---- what was loaded ---- */

size_t act_definitions(const struct act_host *h, const struct act_definition **out)
{
    *out = h->defs;
    return h->n_defs;
}

const char *act_path(const struct act_host *h)
{
    return h->path;
}

struct bundle *act_bundle(struct act_host *h)
{
    if (h->mode != MODE_DEFINITIONS) return NULL;
    size_t n = 0, i = 0;
    struct bundle *b = NULL;
    struct err e = {0};
    for (struct act_module *m = h->modules; m; m = m->next)
        n++;
    const char **names = mem_alloc((n + 1) * sizeof *names);
    if (!names) return NULL;
    for (struct act_module *m = h->modules; m; m = m->next)
        names[i++] = m->name;
    if (bundle_build(h->path, names, n, &b, &e) < 0) {
        log_printf(h->env.log, LOG_ERROR, "%s: %s", h->path, e.text);
        b = NULL;
    }
    mem_free(names);
    return b;
}

/* ---- a table seen by workflows and activities ---- */

#define CAPTURE_DEPTH 4

/* Adds the plain tables that the function on top captures to the table at `to`: table -> name. */
static void captured(lua_State *L, int to, int depth)
{
    int fn = lua_gettop(L);
    luaL_checkstack(L, 10, NULL);
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, fn, i)) != NULL; i++) {
        if (lua_istable(L, -1) && strcmp(name, "_ENV") != 0 && !lua_getmetatable(L, -1)) {
            lua_pushvalue(L, -1);
            lua_pushstring(L, *name ? name : "?");
            lua_rawset(L, to);
        } else if (lua_istable(L, -2)) {
            lua_pop(L, 1); /* the metatable */
        } else if (depth > 0 && lua_isfunction(L, -1) && !lua_iscfunction(L, -1)) {
            captured(L, to, depth - 1);
        }
        lua_settop(L, fn);
    }
}

static void capture_all(lua_State *L, const char *registry, int to)
{
    lua_getfield(L, LUA_REGISTRYINDEX, registry);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (lua_isfunction(L, -1) && !lua_iscfunction(L, -1)) captured(L, to, CAPTURE_DEPTH);
    lua_pop(L, 1);
}

static int find_captured(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    lua_settop(L, 0);
    lua_newtable(L);
    lua_newtable(L);
    capture_all(L, "moonloop.workflows", 1);
    capture_all(L, "moonloop.functions", 2);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    for (lua_pushnil(L); lua_next(L, 3); lua_settop(L, 4)) { /* modules are meant to be in both */
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, 1);
    }
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        if (lua_rawget(L, 2) != LUA_TNIL)
            log_printf(
                h->env.log, LOG_WARN,
                "%s: the table '%s' is used by a workflow and by an activity: each has its own "
                "copy, "
                "so a change in one is not seen in the other; pass values as arguments and results",
                h->path, lua_tostring(L, -2));
        lua_pop(L, 1);
    }
    return 0;
}

static void warn_captured(struct act_state *st)
{
    lua_pushcfunction(st->sb.L, find_captured);
    sandbox_call(&st->sb, st->sb.L, 0, 0);
    lua_settop(st->sb.L, 0);
}
