/* ml.process.run: programs with an argument list. Keeps true: what the script has not read stays
 * bounded (the program's output pauses), and a program that nobody waits for any more is killed
 * with its group. */
#include "activity/act_internal.h"
#include "os/process.h"

#include <stdio.h>

#define QUEUE_MAX (1u << 20) /* unread output before the program is paused */

struct running {
    struct act_host *h;
    struct process *p;
    struct act_op *reader;
    struct buf out[2];
    bool exited;
    struct process_result r;
};

struct process_op {
    struct act_op op;
    struct running *p;
    bool wait_exit;
};

static void wake(struct running *p)
{
    if (p->reader) act_op_done(p->reader);
}

static void on_output(void *ud, int stream, struct str text)
{
    struct running *p = ud;
    buf_putstr(&p->out[stream - 1], text);
    if (p->out[0].n + p->out[1].n > QUEUE_MAX) process_pause(p->p, true);
    if (p->reader && !((struct process_op *)p->reader)->wait_exit) wake(p);
}

static void on_exit_(void *ud, const struct process_result *r)
{
    struct running *p = ud;
    p->exited = true;
    p->r = *r;
    wake(p);
}

static void end(struct running *p)
{
    if (p->p) process_close(p->p);
    p->p = NULL;
}

static int running_gc(lua_State *L)
{
    struct running *p = lua_touserdata(L, 1);
    end(p);
    buf_free(&p->out[0]);
    buf_free(&p->out[1]);
    return 0;
}

/* ---- waiting ---- */

static void op_unlink(struct act_op *op)
{
    struct process_op *o = (struct process_op *)op;
    if (o->p && o->p->reader == op) o->p->reader = NULL;
}

static int wait_again(lua_State *L, struct process_op *o)
{
    o->p->reader = &o->op;
    o->op.done = false;
    return act_op_wait(L, o);
}

/* "stdout" | "stderr", text; nothing at the end. */
static int push_output(lua_State *L, struct act_op *op)
{
    static const char *const names[] = {"stdout", "stderr"};
    struct process_op *o = (struct process_op *)op;
    struct running *p = o->p;
    op_unlink(op);
    for (int i = 0; i < 2; i++) {
        if (!p->out[i].n) continue;
        lua_pushstring(L, names[i]);
        lua_pushlstring(L, p->out[i].p, p->out[i].n);
        buf_reset(&p->out[i]);
        if (p->p && p->out[1 - i].n == 0) process_pause(p->p, false);
        return 2;
    }
    if (!p->exited) return wait_again(L, o);
    return 0;
}

static int push_exit(lua_State *L, struct act_op *op)
{
    struct process_op *o = (struct process_op *)op;
    struct running *p = o->p;
    op_unlink(op);
    if (!p->exited) return wait_again(L, o);
    end(p);
    if (p->r.err.code == ERR_LIMIT)
        return act_fail(L, "TooLarge", false, "ml.process: %s", p->r.err.text);
    if (p->r.err.code == ERR_TIMEOUT)
        return act_fail(L, "Timeout", true, "ml.process: %s", p->r.err.text);
    if (p->r.err.code) return act_fail_err(L, "ml.process", &p->r.err);
    lua_pushinteger(L, p->r.exit_code);
    lua_pushinteger(L, p->r.signal);
    return 2;
}

static int wait_for(lua_State *L, bool exit)
{
    struct running *p = luaL_checkudata(L, 1, "moonloop.process");
    if (p->reader) return act_misuse(L, "another coroutine waits for this program");
    if (exit && p->p) process_pause(p->p, false);
    struct process_op *o =
        act_op_new(L, sizeof *o, op_unlink, exit ? push_exit : push_output, op_unlink);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    o->p = p;
    o->wait_exit = exit;
    return act_op_wait(L, o);
}

static int core_read(lua_State *L)
{
    return wait_for(L, false);
}

static int core_wait(lua_State *L)
{
    return wait_for(L, true);
}

/* core.process.write(p, text): false when the program takes nothing any more. */
static int core_write(lua_State *L)
{
    struct running *p = luaL_checkudata(L, 1, "moonloop.process");
    struct str s = act_check_str(L, 2);
    int code = p->p ? process_write(p->p, s) : ERR_CLOSED;
    if (code && code != ERR_CLOSED)
        return act_misuse(L, "ml.process: the program does not read what it is sent");
    lua_pushboolean(L, code == 0);
    return 1;
}

/* core.process.close(p): ends it. */
static int core_close(lua_State *L)
{
    end(luaL_checkudata(L, 1, "moonloop.process"));
    return 0;
}

/* ---- starting ---- */

static struct str text(lua_State *L, struct arena *a, const char *what)
{
    struct str s;
    lua_pushvalue(L, -1);
    if (lua_isboolean(L, -1) || !act_to_str(L, -1, &s))
        act_misuse(L, "ml.process: %s is a %s, not a text", what, luaL_typename(L, -2));
    s = s.n ? arena_str(a, s) : STR("");
    lua_pop(L, 1);
    return s;
}

/* The command: the list itself, or its field args (or cmd, for a program without arguments). */
static void arguments(lua_State *L, struct arena *a, struct process_options *o)
{
    int t = 1;
    if (lua_getfield(L, 1, "args") == LUA_TTABLE) t = lua_gettop(L);
    size_t n = lua_rawlen(L, t);
    if (n == 0 || n > PROCESS_ARGS_MAX)
        act_misuse(L, "ml.process: give the program and its arguments as a list: {\"ls\", \"-l\"}");
    struct str *args = arena_alloc(a, n * sizeof *args);
    for (size_t i = 0; args && i < n; i++) {
        lua_rawgeti(L, t, (lua_Integer)i + 1);
        args[i] = text(L, a, "an argument");
        lua_pop(L, 1);
    }
    o->args = args;
    o->n_args = n;
    lua_settop(L, 2);
}

static void environment(lua_State *L, struct arena *a, struct process_options *o)
{
    if (lua_getfield(L, 1, "env") == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    luaL_checktype(L, -1, LUA_TTABLE);
    int t = lua_gettop(L);
    size_t n = 0, i = 0;
    for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1))
        n++;
    struct str *env = arena_alloc(a, (n + 1) * sizeof *env);
    for (lua_pushnil(L); env && lua_next(L, t); lua_pop(L, 1)) {
        struct str value;
        if (lua_type(L, -2) != LUA_TSTRING)
            act_misuse(L, "ml.process: the names of env are strings");
        if (act_is_secret(L, -1)) { /* a program is handed its credentials by the environment */
            struct buf *b = act_buf(L, 1u << 20);
            act_secret_value(L, -2, b);
            value = arena_str(a, buf_str(b));
            lua_pop(L, 1);
        } else {
            value = text(L, a, "a value of env");
        }
        env[i++] = arena_printf(a, "%s=" STR_FMT, lua_tostring(L, -2), STR_ARG(value));
    }
    o->env = env;
    o->n_env = i;
    lua_settop(L, 2);
}

static void check_names(lua_State *L)
{
    static const char *const names[] = {"args",    "cwd",        "env",       "env_clear", "stdin",
                                        "timeout", "max_output", "on_stdout", "on_stderr", "check"};
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) continue;
        size_t i = 0, n = sizeof names / sizeof names[0];
        while (i < n && strcmp(names[i], lua_tostring(L, -2)) != 0)
            i++;
        if (i == n) act_misuse(L, "ml.process: unknown option '%s'", lua_tostring(L, -2));
    }
}

static int start(lua_State *L, bool hold)
{
    struct process_options o = {0};
    struct err e = {0};
    o.hold_input = hold;
    act_act(L, "ml.process.run");
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    check_names(L);
    struct arena *a = act_arena(L, 128u << 20);
    arguments(L, a, &o);
    environment(L, a, &o);
    if (lua_getfield(L, 1, "cwd") != LUA_TNIL) o.cwd = text(L, a, "cwd");
    if (lua_getfield(L, 1, "stdin") != LUA_TNIL) o.input = text(L, a, "stdin");
    if (lua_getfield(L, 1, "max_output") != LUA_TNIL) {
        if (luaL_checkinteger(L, -1) <= 0)
            return act_misuse(L, "ml.process: option 'max_output' is a positive integer");
        o.max_bytes = (size_t)lua_tointeger(L, -1);
    }
    lua_settop(L, 2); /* the table, the arena */
    o.env_clear = api_opt_bool(L, 1, "env_clear", false);
    api_opt_duration(L, 1, "timeout", "ml.process.run", &o.timeout_ns);
    if (arena_failed(a)) return act_misuse(L, "ml.process: the arguments are too large");
    struct running *p = lua_newuserdatauv(L, sizeof *p, 0);
    memset(p, 0, sizeof *p);
    p->h = act_host_of(L);
    for (int i = 0; i < 2; i++)
        buf_init(&p->out[i], (o.max_bytes ? o.max_bytes : PROCESS_OUTPUT_MAX) + (64u << 10));
    luaL_setmetatable(L, "moonloop.process");
    if (process_start(p->h->env.loop, &o, on_output, on_exit_, p, &p->p, &e) < 0) {
        p->p = NULL;
        if (e.code == ERR_NOTFOUND) return act_fail(L, "NotFound", false, "ml.process: %s", e.text);
        return act_fail_err(L, "ml.process", &e);
    }
    return 1;
}

static int core_start(lua_State *L)
{
    return start(L, false);
}

static int core_talk(lua_State *L)
{
    return start(L, true);
}

/* core.process = {start, read, write, close}: programs that are talked to; moonloop.core is on
 * top. */
void act_open_process_core(lua_State *L)
{
    static const luaL_Reg functions[] = {{"start", core_talk},
                                         {"read", core_read},
                                         {"write", core_write},
                                         {"close", core_close},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    lua_setfield(L, -2, "process");
}

static const char process_lua[] =
    "local ml, core = ...\n"
    "local start, read, wait = core.start, core.read, core.wait\n"
    "local result = core.result\n"
    "result.__index = {}\n"
    "function result.__index:ok()\n"
    "  if self.code == 0 then return self end\n"
    "  local how = self.signal ~= 0 and 'was ended by signal ' .. self.signal or 'ended with code "
    "' .. self.code\n"
    "  local text = self.stderr or ''\n"
    "  if #text > 500 then text = '...' .. text:sub(-500) end\n"
    "  ml.fail(self.program .. ' ' .. how .. (text ~= '' and ': ' .. text or ''), {\n"
    "    type = 'ProcessFailed', details = { code = self.code, signal = self.signal } })\n"
    "end\n"
    "ml.process = {}\n"
    "function ml.process.run(o)\n"
    "  local p = start(o)\n"
    "  local on = { stdout = o.on_stdout, stderr = o.on_stderr }\n"
    "  local parts = { stdout = {}, stderr = {} }\n"
    "  for stream, text in function() return read(p) end do\n"
    "    if on[stream] then on[stream](text) else parts[stream][#parts[stream] + 1] = text end\n"
    "  end\n"
    "  local code, signal = wait(p)\n"
    "  local res = setmetatable({ code = code, signal = signal, program = tostring((o.args or "
    "o)[1]),\n"
    "    stdout = table.concat(parts.stdout), stderr = table.concat(parts.stderr) }, result)\n"
    "  if o.check then res:ok() end\n"
    "  return res\n"
    "end\n";

void act_open_process(lua_State *L)
{
    static const luaL_Reg core[] = {
        {"start", core_start}, {"read", core_read}, {"wait", core_wait}, {NULL, NULL}};
    int ml = lua_gettop(L);
    luaL_newmetatable(L, "moonloop.process");
    lua_pushcfunction(L, running_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "process");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_settop(L, ml);
    if (luaL_loadbufferx(L, process_lua, strlen(process_lua), "=moonloop", "t") != LUA_OK)
        lua_error(L);
    lua_pushvalue(L, ml);
    luaL_newlib(L, core);
    luaL_newmetatable(L, "moonloop.result");
    lua_setfield(L, -2, "result");
    lua_call(L, 2, 0);
    lua_settop(L, ml);
}
