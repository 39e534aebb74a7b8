/* See random_program.h. A small grammar, bounded in depth and length. */
#include "random_program.h"

static const char head[] =
    "local ml = require 'moonloop'\n"
    "local a = ml.activity('a', { timeout = '1m' })\n"
    "local b = ml.activity('b', { timeout = '1m', cancel = 'wait' })\n"
    "local c = ml.activity('c', { timeout = '1m', cancel = 'abandon' })\n"
    "local l = ml.local_activity('l', { timeout = '5s' }, function() end)\n"
    "local m = ml.local_activity('m', { timeout = '5s', cancel = 'wait' }, function() end)\n"
    "local k = ml.child('kid', { parent_close = 'abandon' })\n"
    "ml.workflow('wf', function()\n"
    "local o = 1\n"
    "local function put(x)\n"
    "  local n = 0\n"
    "  if math.type(x) == 'integer' then n = x\n"
    "  elseif type(x) == 'string' then for i = 1, #x do n = n * 7 + x:byte(i) end\n"
    "  elseif x then n = 5 end\n"
    "  o = (o * 31 + n) % 1000003\n"
    "end\n"
    "local function try(f, ...)\n"
    "  local ok, e = pcall(f, ...)\n"
    "  if ok then put(1) put(e) else put(2) put(type(e) == 'table' and e.message or e) end\n"
    "end\n"
    "ml.query('o', function() return o .. tostring({}) end)\n"
    "ml.on_signal('inc', function(v) put(v) if v % 2 == 0 then try(a, o) end end)\n"
    "ml.update('up', function(v) put(v) if v % 2 == 0 then try(a, o) end return o end,\n"
    "  { validator = function(v) if v % 3 == 0 then error('no' .. tostring({})) end end })\n";

static void block(struct rng *g, struct buf *out, int depth);

static const char *callee(struct rng *g)
{
    static const char *const names[] = {"a", "b", "c", "l", "m", "k"};
    return names[rng_below(g, 6)];
}

static void member(struct rng *g, struct buf *out, int depth)
{
    if (rng_below(g, 3) == 0) {
        buf_printf(out, "%s:async(o),", callee(g));
        return;
    }
    buf_puts(out, "function()\n");
    block(g, out, depth - 1);
    buf_puts(out, "return o end,");
}

static void group(struct rng *g, struct buf *out, int depth, const char *name)
{
    buf_printf(out, "try(function() local r = %s{ ", name);
    for (uint64_t n = 1 + rng_below(g, 3); n; n--)
        member(g, out, depth);
    buf_puts(out, " } put(r) put(tostring(r)) end)\n");
}

static void future(struct rng *g, struct buf *out, int depth)
{
    bool coroutine = rng_below(g, 2) == 0;
    buf_puts(out, "do local f = ");
    if (coroutine) {
        buf_puts(out, "ml.spawn(function()\n");
        block(g, out, depth - 1);
        buf_puts(out, "end)\n");
    } else {
        buf_printf(out, "%s:async(o)\n", callee(g));
    }
    block(g, out, depth - 1);
    if (rng_below(g, 2) == 0) buf_puts(out, "f:cancel()\n");
    if (rng_below(g, 4)) buf_puts(out, "try(f.await, f)\n");
    buf_puts(out, "end\n");
}

static void scope(struct rng *g, struct buf *out, int depth)
{
    static const char *const opens[] = {"try(ml.shield, function()\n",
                                        "try(ml.timeout, 5, function()\n",
                                        "try(ml.saga, function(s) s:compensate(a, 'undo')\n",
                                        "try(function() local x <close> = setmetatable({}, { "
                                        "__close = function() try(a, o) end })\n"};
    buf_puts(out, opens[rng_below(g, 4)]);
    block(g, out, depth - 1);
    if (rng_below(g, 3) == 0) buf_puts(out, "if o % 2 == 0 then ml.fail('odd') end\n");
    buf_puts(out, "end)\n");
}

static void leaf(struct rng *g, struct buf *out)
{
    int n = (int)rng_below(g, 5);
    switch (rng_below(g, 12)) {
    case 0:
        buf_printf(out, "ml.sleep(%d)\n", n);
        break;
    case 1:
        buf_puts(out, "put(ml.side_effect(function() return #tostring({}) end))\n");
        break;
    case 2:
        buf_printf(out, "put(ml.%s('p%d'))\n", n ? "patched" : "deprecate_patch", n);
        break;
    case 3:
        buf_printf(out,
                   "do local ok, v = ml.channel('ch'):receive{ timeout = %d } put(ok) put(v) "
                   "end\n",
                   n + 1);
        break;
    case 4:
        buf_printf(out, "put(ml.await(function() return o %% 3 == %d end, %d))\n", n % 3, n + 1);
        break;
    case 5:
        buf_puts(out, "put(ml.random(100)) put(ml.uuid()) put(tostring({}))\n");
        break;
    case 6:
        buf_puts(out, "ml.memo{ o = o }\n");
        break;
    case 7:
        buf_puts(out, "try(function() local h = k:start(o) h:signal('x', o) put(h.run_id) "
                      "put(h:result()) end)\n");
        break;
    case 8:
        buf_printf(out, "try(function() local e = ml.external('other') e:%s end)\n",
                   n < 3 ? "signal('x', o)" : "cancel()");
        break;
    case 9:
        buf_printf(out, "put(ml.now()) put(ml.info().history_length)\n");
        break;
    default:
        buf_printf(out, "try(%s, o)\n", callee(g));
    }
}

static void block(struct rng *g, struct buf *out, int depth)
{
    for (uint64_t n = 1 + rng_below(g, 3); n; n--) {
        uint64_t kind = depth > 0 ? rng_below(g, 8) : 7;
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

void random_program(struct rng *g, struct buf *out)
{
    buf_reset(out);
    buf_puts(out, head);
    for (int i = 0; i < 3; i++)
        block(g, out, 3);
    static const char *const ends[] = {"return o", "ml.continue_as_new(o)", "ml.fail('end' .. o)"};
    buf_printf(out, "%s\nend)\n", ends[rng_below(g, 5) < 3 ? 0 : 1 + rng_below(g, 2)]);
}
