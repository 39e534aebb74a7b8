/* Messages to a run: signals (handlers and channels), updates and queries.
 *
 * A signal goes to its handler, else to a coroutine that waits on the channel of its name, else
 * into that channel's buffer; a handler that is registered later drains the buffer. An update whose
 * handler is not there when everything has run is rejected. Handlers start in the order in which
 * their messages arrived, whenever they were registered. */
#include "base/log.h"
#include "workflow/wf_script.h"

#define CHANNEL_CLASS "moonloop.channel"

/* ---- handlers ---- */

struct handler *handler_find(struct wf_script *s, enum handler_kind kind, struct str name)
{
    for (struct handler *h = s->signals; h; h = h->next) {
        if (h->kind == kind && str_eq(h->name, name)) return h;
    }
    return NULL;
}

void handlers_list(struct wf_script *s, enum handler_kind kind, struct buf *out)
{
    for (struct handler *h = s->signals; h; h = h->next) {
        if (h->kind != kind) continue;
        if (out->n) buf_puts(out, ", ");
        buf_putstr(out, h->name);
    }
}

#define NAMES_MAX 10000 /* channels, and handlers, of one run */

/* Registers (or replaces) the function at fn; validator 0: none. */
static struct handler *handler_set(lua_State *L, enum handler_kind kind, struct str name, int fn,
                                   int validator, const char *fname)
{
    struct wf_run *r = run_of(L);
    struct wf_script *s = r->script;
    if (!name.n) luaL_error(L, "%s: the name is empty", fname);
    if (str_starts(name, STR("__")))
        luaL_error(L, "%s: names that begin with \"__\" are reserved", fname);
    struct handler *h = handler_find(s, kind, name);
    if (!h) {
        struct str kept = script_text(r, name);
        h = mem_zalloc(sizeof *h);
        if (!h) {
            api_nomem(L);
            return NULL;
        }
        h->kind = kind;
        h->name = kept;
        h->fn_ref = h->validator_ref = LUA_NOREF;
        struct handler **at = &s->signals;
        int n = 0;
        for (; *at; n++)
            at = &(*at)->next;
        if (n >= NAMES_MAX) {
            mem_free(h);
            luaL_error(L, "%s: the run has %d handlers already", fname, NAMES_MAX);
        }
        *at = h;
    }
    luaL_unref(L, LUA_REGISTRYINDEX, h->fn_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, h->validator_ref);
    h->fn_ref = h->validator_ref = LUA_NOREF;
    lua_pushvalue(L, fn);
    h->fn_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (validator) {
        lua_pushvalue(L, validator);
        h->validator_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    return h;
}

/* ---- signals ---- */

static struct channel *channel_get(struct wf_run *r, struct str name)
{
    struct wf_script *s = r->script;
    struct channel *c = map_get(&s->channels, name);
    if (c) return c;
    c = mem_zalloc(sizeof *c);
    if (!c || map_set(&s->channels, name, c)) {
        mem_free(c);
        return NULL;
    }
    c->name = script_text(r, name);
    return c;
}

/* For the script: raises when there are too many, or no memory. */
static struct channel *channel_named(lua_State *L, struct str name, const char *fname)
{
    struct wf_run *r = run_of(L);
    struct wf_script *s = r->script;
    if (s->channels.n >= NAMES_MAX && !map_get(&s->channels, name))
        luaL_error(L,
                   "%s: the run has %d channels already: use one channel and tell its messages "
                   "apart by their values",
                   fname, NAMES_MAX);
    struct channel *c = channel_get(r, name);
    if (!c) api_nomem(L);
    return c;
}

static void buffered_free(struct buffered *b)
{
    arena_free(&b->arena);
    mem_free(b);
}

static struct buffered *channel_take(struct wf_run *r, struct channel *c)
{
    struct buffered *b = c->first;
    if (!b) return NULL;
    c->first = b->next;
    if (!c->first) c->last = NULL;
    c->n--;
    r->unread_signals--;
    return b;
}

/* Makes the handler's coroutine; pushes and pops on L. In a protected context. */
static void signal_task(lua_State *L, struct wf_run *r, const struct handler *h,
                        const struct rec *input, uint64_t arrival)
{
    struct err e = {0};
    int n = 0;
    luaL_checkstack(L, PAYLOAD_VALUES_MAX + 8, "too many values");
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->fn_ref);
    if (value_push_payloads(L, input, &n, &e) != 0) {
        if (e.code == ERR_NOMEM) api_nomem(L);
        lua_pop(L, 1);
        api_warn(r, LOG_WARN,
                 arena_printf(&r->out_arena, "signal " STR_FMT " was dropped: %s", STR_ARG(h->name),
                              e.text));
        return;
    }
    struct task *t = task_new(r, TASK_SIGNAL, NULL, L, n);
    if (!t) {
        api_nomem(L);
        return;
    }
    t->name = h->name;
    t->arrival = arrival;
    task_ready(t);
}

struct signal {
    struct wf_run *r;
    const struct handler *h;
    const struct rec *input;
    uint64_t arrival;
};

static int signal_protected(lua_State *L)
{
    struct signal *g = lua_touserdata(L, 1);
    signal_task(L, g->r, g->h, g->input, g->arrival);
    return 0;
}

static bool protect(struct wf_run *r, lua_CFunction fn, void *ud)
{
    enum sandbox_status st = script_protect(r, fn, ud);
    if (st == SANDBOX_DONE) return true;
    if (st == SANDBOX_ERROR) lua_pop(r->sandbox.L, 1);
    r->sandbox.limit = LIMIT_MEMORY;
    script_limit(r);
    return false;
}

/* An engine refuses signals before so many wait. If one did not, the task fails and the signals
 * stay in the history; a history that went on without them (of an older version) is replayed as it
 * was.
 */
static void channel_full(struct wf_run *r, struct str name)
{
    if (r->replaying)
        api_warn(r, LOG_WARN,
                 arena_printf(&r->out_arena,
                              "signal " STR_FMT " was dropped: %d are waiting already",
                              STR_ARG(name), BUFFERED_SIGNALS_MAX));
    else
        wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                      "TooManySignals",
                      "more than %d signals " STR_FMT
                      " wait and nobody has received them: receive them as they come, or "
                      "register a handler (ml.on_signal)",
                      BUFFERED_SIGNALS_MAX, STR_ARG(name));
}

void script_signal(struct wf_run *r, struct str name, const struct rec *input, struct str identity)
{
    (void)identity;
    struct wf_script *s = r->script;
    struct handler *h = handler_find(s, HANDLER_SIGNAL, name);
    uint64_t arrival = ++s->arrivals;
    if (h) {
        struct signal g = {r, h, input, arrival};
        protect(r, signal_protected, &g);
        return;
    }
    struct channel *c = channel_get(r, name);
    if (c && c->waiting) {
        wf_future_ok(r, c->waiting->id, input);
        return;
    }
    if (c && c->n >= BUFFERED_SIGNALS_MAX) {
        channel_full(r, name);
        return;
    }
    struct buffered *b = c ? mem_zalloc(sizeof *b) : NULL;
    if (!b) {
        script_limit(r);
        return;
    }
    arena_init(&b->arena, 0);
    b->input = input ? rec_clone(&b->arena, input) : NULL;
    b->arrival = arrival;
    s->nomem = s->nomem || arena_failed(&b->arena);
    if (c->last)
        c->last->next = b;
    else
        c->first = b;
    c->last = b;
    c->n++;
    r->unread_signals++;
}

static int ml_on_signal(lua_State *L)
{
    struct wf_run *r = api_act(L, "ml.on_signal");
    struct str name = api_str(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    struct handler *h = handler_set(L, HANDLER_SIGNAL, name, 2, 0, "ml.on_signal");
    struct channel *c = channel_named(L, name, "ml.on_signal");
    while (c->first) { /* taken from the list after the coroutine exists: raising loses nothing */
        signal_task(L, r, h, c->first->input, c->first->arrival);
        buffered_free(channel_take(r, c));
    }
    return 0;
}

/* ---- channels ---- */

static int ml_channel(lua_State *L)
{
    api_read(L, "ml.channel");
    struct channel *c = channel_named(L, api_str(L, 1), "ml.channel");
    struct channel **u = lua_newuserdatauv(L, sizeof *u, 0);
    *u = c;
    luaL_setmetatable(L, CHANNEL_CLASS);
    return 1;
}

static struct channel *check_channel(lua_State *L)
{
    return *(struct channel **)luaL_checkudata(L, 1, CHANNEL_CLASS);
}

/* true and the values of the oldest buffered signal; the stack holds nothing else. */
static int give_buffered(lua_State *L, struct channel *c)
{
    lua_settop(L, 0);
    lua_pushboolean(L, 1);
    int n = api_push_payloads(L, c->first->input);
    buffered_free(channel_take(run_of(L), c));
    return n + 1;
}

/* The stack: 1 channel, 2 its future's id, 3 timer's id (0: none). */
static int receive_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    struct wf_run *r = run_of(L);
    uint64_t ids[2] = {(uint64_t)lua_tointeger(L, 2), (uint64_t)lua_tointeger(L, 3)};
    api_waited(L, ids, 2);
    struct future_box *b = future_box_get(r, ids[0]);
    bool got = b && b->f.state == FUTURE_OK;
    if (ids[1]) {
        wf_op_cancel(r, ids[1], STR("a message came"));
        wf_future_release(r, ids[1]);
    }
    lua_settop(L, 0);
    lua_pushboolean(L, got);
    if (got) return api_outcome(L, ids[0], true) + 1;
    wf_future_release(r, ids[0]);
    return 1;
}

/* How long to wait from the options {timeout} or {till} at idx: -1 for ever. */
static int64_t receive_limit(lua_State *L, struct wf_run *r, int idx, bool *till)
{
    static const char fname[] = "channel:receive";
    int64_t ns = -1;
    if (lua_isnoneornil(L, idx)) return -1;
    api_check_options(L, idx, "receive", fname);
    luaL_checktype(L, idx, LUA_TTABLE);
    if (api_opt_duration(L, idx, "timeout", fname, &ns)) return ns < 0 ? 0 : ns;
    *till = lua_getfield(L, idx, "till") != LUA_TNIL;
    if (!*till) {
        lua_pop(L, 1);
        return -1;
    }
    ns = time_minus(api_check_time(L, lua_gettop(L), fname), r->now_ns);
    lua_pop(L, 1);
    return ns < 0 ? 0 : ns;
}

static int channel_receive(lua_State *L)
{
    struct wf_run *r = api_act(L, "channel:receive");
    struct channel *c = check_channel(L);
    bool till = false;
    int64_t limit = receive_limit(L, r, 2, &till);
    lua_settop(L, 1);
    api_checkpoint(L);
    if (c->first) return give_buffered(L, c);
    if (limit == 0) {
        lua_pushboolean(L, 0);
        return 1;
    }
    uint64_t ids[2] = {0, 0};
    if (limit > 0) {
        struct future_box *t = api_future(L, WF_PENDING_TIMER, c->name);
        struct err e = {0};
        ids[1] = t->id;
        if (wf_op_timer(r, limit, till, (struct str){0}, ids[1], &e) != 0) {
            wf_future_fail(r, ids[1], NULL, false);
            wf_future_release(r, ids[1]);
            return api_error(L, &e, "channel:receive");
        }
    }
    struct future_box *b = api_future(L, WF_PENDING_SIGNAL, c->name);
    ids[0] = b->id;
    b->channel = c;
    struct future_box **at = &c->waiting;
    while (*at)
        at = &(*at)->chan_next;
    *at = b;
    lua_pushinteger(L, (lua_Integer)ids[0]);
    lua_pushinteger(L, (lua_Integer)ids[1]);
    return api_wait(L, ids, ids[1] ? 2 : 1, false, 0, receive_k);
}

static int channel_try(lua_State *L)
{
    api_act(L, "channel:try");
    struct channel *c = check_channel(L);
    if (c->first) return give_buffered(L, c);
    lua_pushboolean(L, 0);
    return 1;
}

/* ---- updates ---- */

static void update_task(lua_State *L, struct wf_run *r, const struct handler *h,
                        const struct pending_update *u)
{
    struct err e = {0};
    int n = 0;
    luaL_checkstack(L, 2 * PAYLOAD_VALUES_MAX + 8, "too many values");
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->fn_ref);
    int fn = lua_gettop(L);
    if (value_push_payloads(L, u->input, &n, &e) != 0) {
        if (e.code == ERR_NOMEM) api_nomem(L);
        lua_settop(L, fn - 1);
        struct rec *f = failure_app(&r->out_arena, STR("BadArguments"),
                                    arena_printf(&r->out_arena, "%s", e.text), true, NULL, NULL);
        if (wf_op_update_reject(r, u->id, f, &e) != 0) luaL_error(L, "%s", e.text);
        return;
    }
    int args_ref = LUA_NOREF, validator_ref = LUA_NOREF;
    if (u->run_validator && h->validator_ref != LUA_NOREF) {
        lua_createtable(L, n, 1);
        for (int i = 1; i <= n; i++) {
            lua_pushvalue(L, fn + i);
            lua_rawseti(L, -2, i);
        }
        lua_pushinteger(L, n);
        lua_setfield(L, -2, "n");
        args_ref = luaL_ref(L, LUA_REGISTRYINDEX);
        lua_rawgeti(L, LUA_REGISTRYINDEX, h->validator_ref);
        validator_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    struct str id = api_keep(r, L, u->id);
    struct task *t = task_new(r, TASK_UPDATE, NULL, L, n);
    if (!t) {
        api_nomem(L);
        return;
    }
    t->name = h->name;
    t->update_id = id;
    t->arrival = u->arrival;
    t->args_ref = args_ref;
    t->validator_ref = validator_ref;
    t->to_accept = true;
    task_ready(t);
}

struct update {
    struct wf_run *r;
    const struct handler *h;
    const struct pending_update *u;
};

static int update_protected(lua_State *L)
{
    struct update *g = lua_touserdata(L, 1);
    update_task(L, g->r, g->h, g->u);
    return 0;
}

static void pending_free(struct pending_update *u)
{
    arena_free(&u->arena);
    mem_free(u);
}

static void pending_take(struct wf_script *s, struct pending_update *u)
{
    struct pending_update **at = &s->updates;
    struct pending_update *before = NULL;
    while (*at != u)
        before = *at, at = &(*at)->next;
    *at = u->next;
    if (s->updates_last == u) s->updates_last = before;
}

void script_update(struct wf_run *r, struct str update_id, struct str name, const struct rec *input,
                   bool run_validator)
{
    struct wf_script *s = r->script;
    struct pending_update now = {.id = update_id,
                                 .name = name,
                                 .input = input,
                                 .run_validator = run_validator,
                                 .arrival = ++s->arrivals};
    struct handler *h = handler_find(s, HANDLER_UPDATE, name);
    if (h) {
        struct update g = {r, h, &now};
        protect(r, update_protected, &g);
        return;
    }
    struct pending_update *u = mem_zalloc(sizeof *u);
    if (!u) {
        script_limit(r);
        return;
    }
    *u = now;
    arena_init(&u->arena, 0);
    u->id = arena_str(&u->arena, update_id);
    u->name = arena_str(&u->arena, name);
    u->input = input ? rec_clone(&u->arena, input) : NULL;
    s->nomem = s->nomem || arena_failed(&u->arena);
    if (s->updates_last)
        s->updates_last->next = u;
    else
        s->updates = u;
    s->updates_last = u;
}

void updates_reject_unknown(struct wf_run *r)
{
    struct wf_script *s = r->script;
    while (s->updates && !script_failed(r)) {
        struct pending_update *u = s->updates;
        struct err e = {0};
        buf_reset(&s->scratch);
        handlers_list(s, HANDLER_UPDATE, &s->scratch);
        struct str known = s->scratch.n ? buf_str(&s->scratch) : STR("none");
        struct rec *f = failure_app(
            &r->out_arena, STR("UnknownUpdate"),
            arena_printf(&r->out_arena, "unknown update \"" STR_FMT "\"; this run knows: " STR_FMT,
                         STR_ARG(u->name), STR_ARG(known)),
            true, NULL, NULL);
        if (wf_op_update_reject(r, u->id, f, &e) != 0)
            wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                          "LuaError", "%s", e.text);
        pending_take(s, u);
        pending_free(u);
    }
}

/* ml.update(name, handler, {validator = fn}); the options may also stand before the handler. */
static int ml_update(lua_State *L)
{
    struct wf_run *r = api_act(L, "ml.update");
    struct wf_script *s = r->script;
    struct str name = api_str(L, 1);
    lua_settop(L, 3);
    if (lua_istable(L, 2) && lua_isfunction(L, 3)) lua_insert(L, 2);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    int validator = 0;
    if (!lua_isnil(L, 3)) {
        api_check_options(L, 3, "update", "ml.update");
        luaL_checktype(L, 3, LUA_TTABLE);
        if (lua_getfield(L, 3, "validator") != LUA_TNIL) {
            luaL_argcheck(L, lua_isfunction(L, 4), 3, "validator is a function");
            validator = 4;
        }
    }
    struct handler *h = handler_set(L, HANDLER_UPDATE, name, 2, validator, "ml.update");
    for (struct pending_update *u = s->updates, *next; u; u = next) {
        next = u->next;
        if (!str_eq(u->name, h->name)) continue;
        update_task(L, r, h, u);
        pending_take(s, u);
        pending_free(u);
    }
    return 0;
}

/* ---- __stack_trace ---- */

struct trace {
    struct wf_run *r;
    struct buf *out;
};

static const char *task_title(const struct task *t)
{
    switch (t->kind) {
    case TASK_MAIN:
        return "main";
    case TASK_SIGNAL:
        return "signal";
    case TASK_UPDATE:
        return "update";
    case TASK_SPAWN:
        return "spawned";
    }
    return "?";
}

static int trace_all(lua_State *L)
{
    struct trace *tr = lua_touserdata(L, 1);
    for (struct task *t = tr->r->script->tasks; t; t = t->next) {
        buf_printf(tr->out, "%scoroutine %llu (%s", tr->out->n ? "\n" : "",
                   (unsigned long long)t->serial, task_title(t));
        if (t->name.n) buf_printf(tr->out, " " STR_FMT, STR_ARG(t->name));
        buf_puts(tr->out, ")");
        if (t->state == TASK_WAITING && t->where.n)
            buf_printf(tr->out, " waits at " STR_FMT, STR_ARG(t->where));
        buf_puts(tr->out, "\n");
        luaL_traceback(L, t->co, NULL, 0);
        size_t n;
        const char *text = lua_tolstring(L, -1, &n);
        buf_put(tr->out, text, n);
        buf_puts(tr->out, "\n");
        lua_pop(L, 1);
    }
    return 0;
}

struct str script_stack_trace(struct wf_run *r)
{
    struct buf b;
    buf_init(&b, 256 * 1024);
    struct trace tr = {.r = r, .out = &b};
    struct lua_State *L = r->sandbox.L;
    lua_pushcfunction(L, trace_all);
    lua_pushlightuserdata(L, &tr);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1); /* what was gathered so far is still told */
    struct str text = arena_str(&r->out_arena, buf_str(&b));
    buf_free(&b);
    return text.p ? text : STR("");
}

/* ---- queries ---- */

static int ml_query(lua_State *L)
{
    api_act(L, "ml.query");
    struct str name = api_str(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    handler_set(L, HANDLER_QUERY, name, 2, 0, "ml.query");
    return 0;
}

static void query_failed(struct wf_run *r, struct wf_query_result *out, const char *type,
                         struct str text)
{
    out->ok = false;
    out->message = text;
    out->failure = failure_app(&r->out_arena, str_of(type), text, true, NULL, NULL);
}

/* `__temporal_workflow_metadata`: what the run is and which messages it takes. */
static void query_metadata(struct wf_run *r, struct wf_query_result *out)
{
    static const char *const lists[] = {"queryDefinitions", "signalDefinitions",
                                        "updateDefinitions"};
    static const enum handler_kind kinds[] = {HANDLER_QUERY, HANDLER_SIGNAL, HANDLER_UPDATE};
    struct wf_script *s = r->script;
    struct buf b;
    buf_init(&b, 1024 * 1024);
    buf_puts(&b, "{\"definition\":{");
    for (int i = 0; i < 3; i++) {
        bool first = true;
        buf_printf(&b, "\"%s\":[", lists[i]);
        for (struct handler *h = s->signals; h; h = h->next) {
            if (h->kind != kinds[i]) continue;
            buf_puts(&b, first ? "{\"name\":" : ",{\"name\":");
            buf_put_json(&b, h->name);
            buf_puts(&b, "}");
            first = false;
        }
        buf_puts(&b, "],");
    }
    buf_puts(&b, "\"type\":");
    buf_put_json(&b, s->main_def ? s->main_def->name : STR(""));
    buf_puts(&b, "}}");
    struct rec *p =
        payload_new(&r->out_arena, "json/protobuf", arena_str(&r->out_arena, buf_str(&b)));
    rec_map_set_str(p, T(payload, metadata), STR("messageType"),
                    STR("temporal.api.sdk.v1.WorkflowMetadata"));
    struct rec *all = rec_new(&r->out_arena, &rec_type_payloads);
    payloads_add(all, p);
    out->result = all;
    out->ok = b.code == 0;
    buf_free(&b);
}

static void query_stack(struct wf_run *r, struct wf_query_result *out)
{
    struct buf b;
    buf_init(&b, 1024 * 1024);
    buf_put_json(&b, script_stack_trace(r));
    out->result = payloads_of_json(&r->out_arena, arena_str(&r->out_arena, buf_str(&b)));
    out->ok = true;
    buf_free(&b);
}

struct query {
    struct wf_run *r;
    const struct handler *h;
    const struct rec *args;
    struct wf_query_result *out;
};

static int query_protected(lua_State *L)
{
    struct query *g = lua_touserdata(L, 1);
    struct wf_run *r = g->r;
    struct err e = {0};
    struct rec *result = NULL;
    int n = 0;
    luaL_checkstack(L, PAYLOAD_VALUES_MAX + 8, "too many values");
    lua_rawgeti(L, LUA_REGISTRYINDEX, g->h->fn_ref);
    if (value_push_payloads(L, g->args, &n, &e) != 0) {
        query_failed(r, g->out, "BadArguments", arena_printf(&r->out_arena, "%s", e.text));
        return 0;
    }
    enum sandbox_status st = script_call(r, L, CONTEXT_QUERY, n, 1);
    if (st == SANDBOX_ERROR) {
        struct rec *f = NULL;
        bool was_failure;
        if (failure_from_lua(L, -1, &r->out_arena, sandbox_traceback(&r->sandbox), &f,
                             &was_failure) == 0) {
            g->out->failure = f;
            g->out->message = rec_str(f, T(failure, message));
        }
    } else if (st != SANDBOX_DONE) {
        query_failed(r, g->out, "Limit",
                     STR("the query used up its limit of instructions or memory"));
    } else if (value_to_payloads(L, lua_gettop(L), 1, &r->out_arena, &result, "result", &e) != 0) {
        query_failed(r, g->out, "LuaError", arena_printf(&r->out_arena, "the query's %s", e.text));
    } else {
        g->out->ok = true;
        g->out->result = result;
    }
    return 0;
}

void script_query(struct wf_run *r, const struct wf_query *q, struct wf_query_result *out)
{
    struct wf_script *s = r->script;
    memset(out, 0, sizeof *out);
    out->id = arena_str(&r->out_arena, q->id);
    if (str_eqz(q->type, "__stack_trace")) {
        query_stack(r, out);
        return;
    }
    if (str_eqz(q->type, "__temporal_workflow_metadata")) {
        query_metadata(r, out);
        return;
    }
    struct handler *h = handler_find(s, HANDLER_QUERY, q->type);
    if (!h) {
        buf_reset(&s->scratch);
        handlers_list(s, HANDLER_QUERY, &s->scratch);
        if (s->scratch.n) buf_puts(&s->scratch, ", ");
        query_failed(r, out, "UnknownQuery",
                     arena_printf(&r->out_arena,
                                  "unknown query \"" STR_FMT "\"; this run knows: " STR_FMT
                                  "__stack_trace",
                                  STR_ARG(q->type), STR_ARG(buf_str(&s->scratch))));
        return;
    }
    struct query g = {r, h, q->args, out};
    lua_State *L = r->sandbox.L;
    lua_pushcfunction(L, query_protected);
    lua_pushlightuserdata(L, &g);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        lua_pop(L, 1);
        query_failed(r, out, "Limit", STR("the query used up its limit of memory"));
    }
    if (r->sandbox.limit == LIMIT_NONE) return;
    r->sandbox.limit = LIMIT_NONE; /* a query fails alone: what it left is thrown away */
    lua_gc(L, LUA_GCCOLLECT);
}

void messages_free(struct wf_run *r)
{
    struct wf_script *s = r->script;
    while (s->signals) {
        struct handler *h = s->signals;
        s->signals = h->next;
        mem_free(h);
    }
    for (struct future_box *b = s->futures; b; b = b->next)
        b->channel = NULL;
    for (struct map_entry *x = s->channels.first; x; x = x->next) {
        struct channel *c = x->value;
        while (c->first)
            buffered_free(channel_take(r, c));
        mem_free(c);
    }
    map_free(&s->channels);
    while (s->updates) {
        struct pending_update *u = s->updates;
        s->updates = u->next;
        pending_free(u);
    }
}

void api_open_message(lua_State *L)
{
    static const luaL_Reg channel[] = {
        {"receive", channel_receive}, {"try", channel_try}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"channel", ml_channel},
                                         {"on_signal", ml_on_signal},
                                         {"query", ml_query},
                                         {"update", ml_update},
                                         {NULL, NULL}};
    api_class(L, "channel", channel, NULL);
    luaL_setfuncs(L, functions, 0);
}
