/* See random_program.h. A small grammar, bounded in depth and length: blocks of statements, some of
 * which hold blocks. Variables are named after the class of what they hold ("future", "handle"), by
 * which a test finds the methods that were used. */
#include "random_program.h"
#include <stdio.h>

/* Definitions, what kids do, and the first lines of the workflow. */
static const char head[] =
    "local function T(n) return n * unit end -- a duration of n units\n"
    "local function body(x)\n"
    "  x = math.type(x) == 'integer' and x or 0\n"
    "  if x % 7 == 0 then ml.fail('bad', { type = 'Boom', retryable = false, details = x }) end\n"
    "  if x % 7 == 1 and ml.info().attempt == 1 then error('once more') end\n"
    "  if x % 7 == 2 then ml.heartbeat(x) ml.sleep(T(1)) end\n"
    "  return x % 5\n"
    "end\n"
    "ml.setup(function() end)\n"
    "local activity_try = ml.activity('try', { timeout = '1m', heartbeat = '30s',\n"
    "  retry = { initial = T(1), backoff = 1.5, max = T(3), max_attempts = 3,\n"
    "  non_retryable = { 'Boom' } }, description = 'one of three' }, body)\n"
    "local activity_wait = ml.activity('wait', { schedule_to_close = '1m', cancel = 'wait',\n"
    "  input = { 'integer' } }, body)\n"
    "local activity_leave = ml.activity('leave', { timeout = '1m', cancel = 'abandon' }, body)\n"
    "local activity_away = ml.activity('away', { timeout = '1m', schedule_to_start = T(2),\n"
    "  task_queue = 'nobody' })\n"
    "local activity_near = ml.local_activity('near', { timeout = '5s' }, body)\n"
    "local activity_hold = ml.local_activity('hold', { timeout = '5s', cancel = 'wait',\n"
    "  retry = { initial = T(1), max_attempts = 2 }, retry_threshold = T(2) }, body)\n"
    "local activity_drop = ml.local_activity('drop', { schedule_to_close = '9s',\n"
    "  cancel = 'abandon', description = 'left alone', input = { 'integer' } }, body)\n"
    "ml.workflow('kid', { run_timeout = '5m' }, function(n)\n"
    "  n = math.type(n) == 'integer' and n or 0\n"
    "  local got = ml.channel('x'):receive { timeout = T(1 + n % 3) }\n"
    "  if n % 5 == 0 then ml.fail('the kid fails', { type = 'Kid', details = n }) end\n"
    "  if n % 7 == 0 then ml.continue_as_new(n + 1) end\n"
    "  return got and 1 or n\n"
    "end)\n";

static const char main_head[] =
    "local o = input.o\n"
    "local ids = 0\n"
    "local function id() ids = ids + 1 return ml.info().workflow_id .. '/' .. ids end\n"
    "local function put(x)\n"
    "  local s = type(x) == 'table' and ml.json.encode(x) or tostring(x)\n"
    "  for i = 1, #s do o = (o * 31 + s:byte(i)) % 1000003 end\n"
    "end\n"
    "local function try(f, ...)\n"
    "  local ok, e = pcall(f, ...)\n"
    "  put(ok) put(type(e) == 'table' and e.message or e)\n"
    "  if not ok and type(e) == 'table' then\n"
    "    put(e.type) put(e.retryable) put(e.retry_after) put(e.cause and e.cause.type)\n"
    "  end\n"
    "end\n"
    "ml.query('o', function() return o .. tostring({}) end)\n"
    "ml.on_signal('inc', function(v) put(v) if v % 2 == 0 then try(activity_try, o) end end)\n"
    "ml.update('up', function(v)\n"
    "  put(v) put(ml.info().update) put(ml.info().update_id)\n"
    "  if v % 2 == 0 then try(activity_try, o) end\n"
    "  if v % 5 == 0 then ml.fail('no such luck') end\n"
    "  return o\n"
    "end, { description = 'changes o', validator = function(v)\n"
    "  if v % 3 == 0 then error('no' .. tostring({})) end\n"
    "end })\n";

static void block(struct rng *g, struct buf *out, int depth);

static int below(struct rng *g, int n)
{
    return (int)rng_below(g, (uint64_t)n);
}

#define PICK(g, list) ((list)[below(g, (int)(sizeof(list) / sizeof *(list)))])

static const char *activity(struct rng *g)
{
    static const char *const names[] = {"activity_try",   "activity_try",  "activity_wait",
                                        "activity_leave", "activity_away", "activity_near",
                                        "activity_near",  "activity_hold", "activity_drop"};
    return PICK(g, names);
}

static void remote_options(struct rng *g, struct buf *out)
{
    static const char *const options[] = {"cancel = 'wait'",
                                          "cancel = 'abandon'",
                                          "cancel = 'try'",
                                          "timeout = T(9)",
                                          "schedule_to_close = T(9)",
                                          "schedule_to_start = T(3)",
                                          "heartbeat = T(5)",
                                          "summary = 'step ' .. o",
                                          "id = id()",
                                          "task_queue = ml.info().task_queue",
                                          "retry = { max_attempts = 1 }",
                                          "retry = { initial = T(1), max_attempts = 2 }",
                                          "retry = { backoff = 3, max = T(4), max_attempts = 3 }",
                                          "retry = { non_retryable = { 'Boom', 'Kid' } }"};
    buf_printf(out, "{ %s }", PICK(g, options));
}

static void local_options(struct rng *g, struct buf *out)
{
    static const char *const options[] = {"cancel = 'wait'",
                                          "cancel = 'abandon'",
                                          "timeout = T(3)",
                                          "summary = 'quick ' .. o",
                                          "schedule_to_close = T(4)",
                                          "retry_threshold = T(1)",
                                          "retry = { max_attempts = 2, initial = T(1) }"};
    buf_printf(out, "{ %s }", PICK(g, options));
}

/* An expression that is an activity, sometimes with options of the call. */
static void callee(struct rng *g, struct buf *out)
{
    static const char *const remote[] = {"activity_try", "activity_wait", "activity_leave"};
    static const char *const local[] = {"activity_near", "activity_hold", "activity_drop"};
    switch (below(g, 4)) {
    case 0:
        buf_printf(out, "%s:with", PICK(g, remote));
        remote_options(g, out);
        break;
    case 1:
        buf_printf(out, "%s:with", PICK(g, local));
        local_options(g, out);
        break;
    default:
        buf_puts(out, activity(g));
    }
}

static void child(struct rng *g, struct buf *out)
{
    static const char *const options[] = {"cancel = 'wait'",
                                          "cancel = 'wait_requested'",
                                          "cancel = 'abandon'",
                                          "cancel = 'try'",
                                          "parent_close = 'abandon'",
                                          "parent_close = 'cancel'",
                                          "parent_close = 'terminate'",
                                          "id = id()",
                                          "id = id(), id_reuse = 'reject'",
                                          "id = id(), id_reuse = 'allow_failed_only'",
                                          "id_reuse = 'terminate'",
                                          "task_queue = ml.info().task_queue",
                                          "execution_timeout = '10m'",
                                          "run_timeout = '4m'",
                                          "task_timeout = '20s'",
                                          "retry = { max_attempts = 2, initial = T(1) }",
                                          "memo = { why = o }",
                                          "search_attributes = { MoonGrade = o }",
                                          "summary = 'kid ' .. o"};
    if (below(g, 4) == 0)
        buf_puts(out, "ml.child('kid')");
    else if (below(g, 2))
        buf_printf(out, "ml.child('kid', { %s })", PICK(g, options));
    else
        buf_printf(out, "ml.child('kid', { %s, %s })", options[below(g, 4)],
                   options[11 + below(g, 8)]);
}

/* An expression that is a future. */
static void operation(struct rng *g, struct buf *out)
{
    if (below(g, 4) == 0) {
        buf_puts(out, "(function() local child = ");
        child(g, out);
        buf_puts(out, " return child:async(o) end)()");
    } else {
        callee(g, out);
        buf_puts(out, ":async(o)");
    }
}

static void member(struct rng *g, struct buf *out, int depth)
{
    if (below(g, 3) == 0) {
        operation(g, out);
        buf_puts(out, ",\n");
        return;
    }
    buf_puts(out, "function()\n");
    block(g, out, depth - 1);
    buf_puts(out, "return o end,\n");
}

static void group(struct rng *g, struct buf *out, int depth, const char *name)
{
    buf_printf(out, "try(function() local r, n = %s{\n", name);
    for (int n = 1 + below(g, 3); n; n--)
        member(g, out, depth);
    buf_puts(out, "} put(type(r)) put(r) put(n) end)\n");
}

static void future(struct rng *g, struct buf *out, int depth)
{
    buf_puts(out, "do local future = ");
    if (below(g, 2)) {
        buf_puts(out, "ml.spawn(function(...) put(select('#', ...))\n");
        block(g, out, depth - 1);
        buf_puts(out, "return o, 'two' end, o, nil)\n");
    } else {
        operation(g, out);
        buf_puts(out, "\n");
    }
    block(g, out, depth - 1);
    switch (below(g, 4)) {
    case 0:
        buf_puts(out, "future:cancel()\n");
        break;
    case 1:
        buf_puts(out, "future:cancel('no more of it')\n");
        break;
    case 2:
        buf_puts(out, "put(future:done())\n");
    }
    if (below(g, 4)) buf_puts(out, "try(function() put(future:await()) end)\n");
    if (below(g, 4) == 0)
        buf_puts(out, "put(future:done()) try(function() return select(2, future:await()) end)\n");
    buf_puts(out, "end\n");
}

static void scope(struct rng *g, struct buf *out, int depth)
{
    static const char *const opens[] = {
        "try(ml.shield, function()\n",
        "try(ml.shield, function(...) put(select('#', ...))\n",
        "try(ml.timeout, T(5), function()\n",
        "try(ml.timeout, T(1), function()\n",
        "try(ml.saga, function(saga) saga:compensate(activity_try, 'undo')\n",
        "try(ml.saga, function(saga) saga:compensate(function(v) put(v) ml.sleep(T(1)) end, o)\n",
        "try(function() local x <close> = setmetatable({}, { __close = function(_, e) "
        "put(e == nil) try(activity_try, o) end })\n",
        "try(coroutine.wrap(function()\n",
        "try(function() local t = { 3, 1, 2 } table.sort(t, function(a, b) ml.sleep(T(1)) return a "
        "< b end) put(t)\n",
        "try(xpcall, function()\n"};
    static const char *const closes[] = {
        "", "", "", ", o", "", "", "", ")", "", ", function(e) put(type(e)) return 'handled' end"};
    static const char *const fails[] = {
        "if o % 2 == 0 then ml.fail('odd') end\n",
        "if o % 2 == 0 then ml.fail('odd', { type = 'Odd', retryable = false, details = { o } }) "
        "end\n",
        "if o % 2 == 0 then ml.fail('late', { retry_after = T(1), cause = { type = 'Root', message "
        "= 'root' } }) end\n",
        "if o % 2 == 0 then error({ o }) end\n",
        "do local ok, e = pcall(activity_try, 7) if not ok then ml.fail(e) end end\n",
        "put(ml.cancel_requested())\n"};
    int kind = below(g, (int)(sizeof opens / sizeof *opens));
    /* ml.timeout(d, fn, ...) and ml.shield(fn, ...) hand arguments on */
    buf_puts(out, opens[kind]);
    block(g, out, depth - 1);
    if (below(g, 2) == 0) buf_puts(out, PICK(g, fails));
    buf_printf(out, "end%s)\n", kind == 1 ? ", o, nil" : closes[kind]);
}

/* ---- statements that are one line ---- */
static void waits(struct rng *g, struct buf *out)
{
    int n = below(g, 4);
    switch (below(g, 13)) {
    case 0:
        buf_printf(out, "ml.sleep(T(%d))", n);
        break;
    case 1:
        buf_printf(out, "ml.sleep(T(%d), { summary = 'nap' })", n + 1);
        break;
    case 2:
        buf_printf(out, "ml.sleep_until(ml.time.add(ml.now(), T(%d)))", n);
        break;
    case 3:
        buf_printf(out, "ml.every(T(%d), { summary = 'beat' }) put(ml.now())", n + 1);
        break;
    case 4:
        buf_printf(out, "put(ml.await(function() return o %% 3 == %d end, T(%d)))", n % 3, n + 1);
        break;
    case 5:
        buf_printf(out,
                   "put(ml.await(function() return o %% 3 == %d end, { timeout = T(%d), summary = "
                   "'until' }))",
                   n % 3, n + 1);
        break;
    case 6:
        buf_printf(out,
                   "put(ml.await(function() return o %% 3 == %d end, { till = "
                   "ml.time.add(ml.now(), T(%d)) }))",
                   n % 3, n);
        break;
    case 7:
        buf_printf(out,
                   "do local channel = ml.channel('ch') local ok, v = channel:receive { timeout = "
                   "T(%d) } put(ok) put(v) end",
                   n + 1);
        break;
    case 8:
        buf_printf(out,
                   "do local channel = ml.channel('ch') put(select('#', channel:receive { till = "
                   "ml.time.add(ml.now(), T(%d)) })) end",
                   n);
        break;
    case 9:
        buf_printf(out,
                   "put(ml.timeout(T(%d), function() local channel = ml.channel('ch') return "
                   "select(2, channel:receive()) end))",
                   n + 1);
        break;
    case 10:
        buf_puts(out, "do local channel = ml.channel('ch') local ok, v = channel:try() put(ok) "
                      "put(v) end");
        break;
    case 11:
        buf_puts(out, "for v in coroutine.wrap(function() for i = 1, 2 do ml.sleep(T(1)) "
                      "coroutine.yield(i) end end) do put(v) end");
        break;
    default:
        buf_puts(out, "put((('ab'):gsub('.', function(c) ml.sleep(T(1)) return c:upper() end)))");
    }
}

static void others(struct rng *g, struct buf *out)
{
    switch (below(g, 10)) {
    case 0:
        buf_puts(out, "try(function() local handle = ");
        child(g, out);
        buf_puts(out, ":start(o) put(handle.id) put(handle.run_id) handle:signal('x', o) "
                      "put(handle:result()) end)");
        break;
    case 1:
        buf_puts(out, "try(function() local child = ");
        child(g, out);
        buf_puts(out, " local handle = child:start(o) handle:cancel('enough') "
                      "put(handle:result()) end)");
        break;
    case 2:
        buf_puts(out, "try(function() local child = ml.child('kid', { cron = '0 0 1 1 *', "
                      "cancel = 'try' }) local handle = child:start(o) handle:cancel() end)");
        break;
    case 3:
        buf_puts(out, "try(function() local child = ");
        child(g, out);
        buf_puts(out, " put(child(o)) end)");
        break;
    case 4:
        buf_puts(out, "try(function() local external = ml.external('nobody') "
                      "external:signal('x', o, nil) end)");
        break;
    case 5:
        buf_puts(out, "try(function() local external = ml.external('nobody', { reason = 'over' }) "
                      "external:cancel() end)");
        break;
    case 6:
        buf_puts(out, "try(function() local child = ml.child('kid', { parent_close = 'abandon' }) "
                      "local handle = child:start(o) local external = ml.external(handle.id, "
                      "handle.run_id) external:signal('x', 1) external:cancel('by hand') end)");
        break;
    case 7:
        buf_puts(out, "try(function() local child = ml.child('kid', { task_queue = 'nobody', "
                      "cancel = 'abandon' }) local handle = child:start(o) handle:cancel() end)");
        break;
    case 8:
        buf_puts(out, "try(function() local external = ml.external('nobody', { child_only = true "
                      "}) external:signal('x') end)");
        break;
    default:
        buf_puts(out, "try(function() local external = ml.external('nobody', { run_id = "
                      "'00000000-0000-4000-8000-000000000000' }) external:signal('x') end)");
    }
}

static void recorded(struct rng *g, struct buf *out)
{
    int n = below(g, 5);
    switch (below(g, 9)) {
    case 0:
        buf_puts(out, "put(ml.side_effect(function(v) return ml.random() < 2 and v, #ml.uuid() "
                      "end, o))");
        break;
    case 1:
        buf_puts(out, "put(ml.side_effect(function() return ml.random(1000), ml.now() end))");
        break;
    case 2:
    case 3:
        buf_printf(out, "put(ml.patched('p%d'))", n);
        break;
    case 4:
        buf_printf(out, "ml.deprecate_patch('d%d')", n);
        break;
    case 5:
        buf_printf(out, "ml.memo { o = o, step = %d } put(ml.memo())", n);
        break;
    case 6:
        buf_puts(out, "put(ml.memo()) ml.memo { step = ml.null }");
        break;
    case 7:
        buf_printf(out,
                   "ml.search_attributes { MoonGrade = o %% 10, MoonLabel = 'l%d' } "
                   "put(ml.search_attributes())",
                   n);
        break;
    default:
        buf_puts(out, "ml.search_attributes { MoonLabel = ml.null } put(ml.search_attributes())");
    }
}

static void values(struct rng *g, struct buf *out)
{
    static const char *const lines[] = {
        "put(ml.random(100)) put(ml.random(5, 9)) put(ml.uuid())",
        "put(ml.random()) put(math.random(7)) put(tostring({}))",
        "do local random = ml.random('lib') put(random(9)) put(random:uuid()) end",
        "do local i = ml.info() put(i.history_length) put(i.history_bytes) put(i.start_time) "
        "put(i.continue_as_new_suggested) end",
        "do local i = ml.info() put(i.workflow_type) put(i.attempt) put(i.timeouts) put(i.memo) "
        "put(i.search_attributes) put(i.cancel_requested) end",
        "put(ml.now()) put(ml.time.now()) put(ml.time.fields(ml.now()))",
        "put(ml.time.diff(ml.now(), ml.info().start_time)) put(ml.time.duration('90s'))",
        "put(ml.time.format(ml.time.parse(ml.now()) + 1))",
        "ml.log.debug('at', { o = o }) ml.log.info('at ' .. o)",
        "ml.log.warn('at', { o = o }) ml.log.error(o)",
        "put(ml.json.decode(ml.json.encode { o, ml.null, { a = ml.list {} } }))",
        "put(ml.json.pretty({ o = ml.null })) put(#ml.json.pretty(ml.list { o }))",
        "try(activity_try, ml.bytes('\\0\\1'), ml.list {}, ml.null, 1.0, { o = o })",
        "put(tostring(ml.env('HOME', 'x'))) put(tostring(ml.secret 'KEY')) "
        "put(tostring(ml.oauth2 { token_url = 'http://127.0.0.1/', client_id = 'c' }))",
        "put(ml.cancel_requested()) put(#ml.bytes('abc'))",
        "do local schema = ml.schema { n = 'integer>=0' } put(schema:validate({ n = o })) "
        "put(schema:json()) end",
        "do local schema = ml.json_schema { type = 'object', required = { 'n' } } "
        "put(schema:validate({ o = o })) end",
        "ml.on_signal('late', function(v) put(v) ml.sleep(T(1)) put('late') end)",
        "ml.query('late', function(v) return { o = o, v = v } end)",
        "ml.update('late', function(v) ml.sleep(T(1)) put(v) return ml.now() end)",
        "for k, v in pairs { o, b = 2, a = 1, [true] = 3 } do put(k) put(v) end put(os.time())"};
    buf_puts(out, PICK(g, lines));
}

static void leaf(struct rng *g, struct buf *out)
{
    switch (below(g, 12)) {
    case 0:
    case 1:
    case 2:
        waits(g, out);
        break;
    case 3:
    case 4:
        others(g, out);
        break;
    case 5:
    case 6:
        recorded(g, out);
        break;
    case 7:
    case 8:
        values(g, out);
        break;
    default:
        buf_puts(out, "try(");
        callee(g, out);
        buf_puts(out, ", o)");
    }
    buf_puts(out, RANDOM_LEAF);
}

void random_program_leaf(struct rng *g, struct buf *out)
{
    leaf(g, out);
}

static void block(struct rng *g, struct buf *out, int depth)
{
    for (int n = 1 + below(g, 3); n; n--) {
        int kind = depth > 0 ? below(g, 8) : 7;
        if (kind == 0)
            group(g, out, depth, "ml.all");
        else if (kind == 1)
            group(g, out, depth, "ml.race");
        else if (kind == 2)
            scope(g, out, depth);
        else if (kind <= 4)
            future(g, out, depth);
        else
            leaf(g, out);
    }
}

static void ending(struct rng *g, struct buf *out)
{
    static const char *const options[] = {
        "",
        ", { workflow = 'kid' }",
        ", { task_queue = ml.info().task_queue }",
        ", { run_timeout = '9m', task_timeout = '30s' }",
        ", { retry = { max_attempts = 2, non_retryable = { 'Root' } } }",
        ", { memo = { o = o }, search_attributes = { MoonGrade = o % 10 } }"};
    switch (below(g, 8)) {
    case 0:
        buf_puts(out, "ml.fail('end' .. o, { type = 'End', details = o, retryable = false, "
                      "retry_after = T(2) })\n");
        break;
    case 1:
        buf_puts(out, "error('the end')\n"); /* on_error is "fail" */
        break;
    case 2:
    case 3:
        buf_printf(out,
                   "if input.left > 0 then ml.continue_as_new({ o = o, left = input.left - 1 }%s) "
                   "end\nreturn { o = o }\n",
                   PICK(g, options));
        break;
    case 4:
        buf_puts(out, "return ml.shield(function() try(activity_try, o) return o end)\n");
        break;
    default:
        buf_puts(out, "return o\n");
    }
}

static void outside(struct random_program *p, struct rng *g)
{
    static const struct random_message kinds[] = {
        {MESSAGE_SIGNAL, 0, "inc", 0},  {MESSAGE_SIGNAL, 0, "inc", 0},
        {MESSAGE_SIGNAL, 0, "ch", 0},   {MESSAGE_SIGNAL, 0, "ch", 0},
        {MESSAGE_SIGNAL, 0, "late", 0}, {MESSAGE_UPDATE, 0, "up", 0},
        {MESSAGE_UPDATE, 0, "up", 0},   {MESSAGE_UPDATE, 0, "up", 0},
        {MESSAGE_UPDATE, 0, "late", 0}, {MESSAGE_UPDATE, 0, "none", 0},
        {MESSAGE_QUERY, 0, "o", 0},     {MESSAGE_QUERY, 0, "late", 0}};
    p->n_messages = (size_t)below(g, RANDOM_MESSAGES_MAX);
    for (size_t i = 0; i < p->n_messages; i++) {
        p->messages[i] = PICK(g, kinds);
        p->messages[i].after = below(g, 3);
        p->messages[i].value = below(g, 30);
    }
    if (p->n_messages && below(g, 4) == 0)
        p->messages[below(g, (int)p->n_messages)] =
            (struct random_message){MESSAGE_CANCEL, below(g, 5), "", 0};
}

void random_program_init(struct random_program *p)
{
    memset(p, 0, sizeof *p);
    buf_init(&p->lua, 1u << 20);
}

void random_program_free(struct random_program *p)
{
    buf_free(&p->lua);
}

void random_program_make(struct random_program *p, uint64_t seed, uint64_t number, const char *unit)
{
    struct rng g;
    char name[80];
    int n = snprintf(name, sizeof name, "program %llu of %llu", (unsigned long long)number,
                     (unsigned long long)seed);
    rng_seed(&g, str_make(name, (size_t)n));
    p->seed = seed;
    p->number = number;
    buf_reset(&p->lua);
    buf_printf(&p->lua,
               "-- program %llu of seed %llu\nlocal ml = require 'moonloop'\n"
               "local unit = %s -- seconds\n",
               (unsigned long long)number, (unsigned long long)seed, unit);
    buf_puts(&p->lua, head);
    buf_printf(&p->lua,
               "ml.workflow('" RANDOM_WORKFLOW "', { on_error = 'fail', %s }, function(input)\n",
               below(&g, 2) ? "task_timeout = '10s', run_timeout = '30m', versioning = 'pinned'"
                            : "execution_timeout = '1h', description = 'random', input = {}");
    buf_puts(&p->lua, main_head);
    for (int i = 0; i < 3; i++)
        block(&g, &p->lua, 3);
    ending(&g, &p->lua);
    buf_puts(&p->lua, "end)\n");
    snprintf(p->input, sizeof p->input, "{\"left\":%d,\"o\":%d}", below(&g, 3), below(&g, 1000));
    outside(p, &g);
}

void random_program_json(const struct random_program *p, const char *unit, struct buf *out)
{
    static const char *const kinds[] = {"signal", "update", "query", "cancel"};
    buf_printf(out,
               "{\"seed\":%llu,\"program\":%llu,\"workflow\":\"" RANDOM_WORKFLOW
               "\",\"input\":%s,\"unit\":%s,\"messages\":[",
               (unsigned long long)p->seed, (unsigned long long)p->number, p->input, unit);
    for (size_t i = 0; i < p->n_messages; i++) {
        const struct random_message *m = &p->messages[i];
        buf_printf(out, "%s\n{\"after\":%d,\"kind\":\"%s\"", i ? "," : "", m->after,
                   kinds[m->kind]);
        if (m->kind != MESSAGE_CANCEL)
            buf_printf(out, ",\"name\":\"%s\",\"args\":[%d]", m->name, m->value);
        if (m->kind == MESSAGE_UPDATE) buf_printf(out, ",\"id\":\"u%zu\"", i);
        buf_puts(out, "}");
    }
    buf_puts(out, "]}\n");
}
