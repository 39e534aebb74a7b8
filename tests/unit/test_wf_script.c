/* The script half of the replayer over a machines half made of stubs: every operation asked for is
 * logged, and the steps of a case resolve it. Each case runs with large slices and with slices of
 * one instruction, and must give the same log. */
#include "check.h"
#include "script/bundle.h"
#include "workflow/wf_internal.h"
#include <unistd.h>

#define OPS_MAX 2000
struct op {
    uint64_t future;
    enum wf_cancel_type cancel;
    const char *type;
};
static struct op ops[OPS_MAX];
static size_t n_ops;
static struct buf oplog;
static bool verbose, patched_answer = true;
static struct buf recorded[16];
static size_t n_recorded, next_recorded, known_recorded;
static const char *noop_name;
static struct wf_limits limits;

/* ---- the stubs ---- */

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
    va_list ap;
    if (oplog.n) buf_puts(&oplog, " ");
    va_start(ap, fmt);
    buf_vprintf(&oplog, fmt, ap);
    va_end(ap);
}

static const char *text_of(const struct rec *payloads)
{
    static struct buf b[4];
    static int at;
    struct buf *x = &b[at++ & 3];
    if (!x->max) buf_init(x, 1 << 20);
    buf_reset(x);
    buf_puts(x, "");
    for (const struct rec_field *f = rec_each(payloads, T(payloads, payloads), NULL); f;
         f = rec_each(payloads, T(payloads, payloads), f)) {
        struct str enc = payload_encoding(f->v.m);
        if (x->n) buf_puts(x, ",");
        if (str_eqz(enc, PAYLOAD_NULL))
            buf_puts(x, "nil");
        else
            buf_putstr(x, payload_data(f->v.m));
    }
    buf_putc(x, '\0');
    return x->p;
}

static size_t op_new(struct wf_run *r, uint64_t future, enum wf_cancel_type cancel,
                     const char *type)
{
    CHECK(n_ops + 1 < OPS_MAX);
    ops[++n_ops] = (struct op){future, cancel, type};
    if (future) wf_future_get(r, future)->op = n_ops;
    return n_ops;
}

#define READ_ONLY()                                                                                \
    if (r->read_only) return err_set(e, ERR_ARG, "read-only")

int wf_op_activity(struct wf_run *r, const struct wf_activity_opts *o, uint64_t future,
                   struct err *e)
{
    READ_ONLY();
    CHECK(o->start_to_close_ns > 0 || o->schedule_to_close_ns > 0);
    size_t n = op_new(r, future, o->cancel, "act");
    say("%s#%zu(" STR_FMT "%s%s)", o->local ? "local" : "act", n, STR_ARG(o->type),
        o->input ? "," : "", text_of(o->input));
    if (verbose)
        say("{%lld,%lld,%lld,%lld," STR_FMT "," STR_FMT ",%d," STR_FMT ",%lld}",
            (long long)(o->start_to_close_ns / 1000000000),
            (long long)(o->schedule_to_close_ns / 1000000000),
            (long long)(o->schedule_to_start_ns / 1000000000),
            (long long)(o->heartbeat_ns / 1000000000), STR_ARG(o->task_queue), STR_ARG(o->id),
            o->cancel, STR_ARG(o->summary),
            (long long)rec_int(o->retry_policy, T(retry_policy, maximum_attempts)));
    return 0;
}
int wf_op_timer(struct wf_run *r, int64_t ns, bool till, struct str summary, uint64_t future,
                struct err *e)
{
    READ_ONLY();
    char d[TIME_ISO_MAX];
    duration_format(ns, d);
    size_t n = op_new(r, future, CANCEL_TRY, "timer");
    say("%s#%zu(%s%s" STR_FMT ")", till ? "till" : "timer", n, d, summary.n ? "," : "",
        STR_ARG(summary));
    return 0;
}
int wf_op_child(struct wf_run *r, const struct wf_child_opts *o, uint64_t started, uint64_t result,
                struct str *id, struct err *e)
{
    READ_ONLY();
    size_t n = op_new(r, started, o->cancel, "started");
    op_new(r, result, o->cancel, "child");
    *id = arena_printf(&r->keep, "child-%zu", n);
    if (o->workflow_id.n) *id = arena_str(&r->keep, o->workflow_id);
    say("child#%zu(" STR_FMT "%s%s)", n, STR_ARG(o->workflow_type), o->input ? "," : "",
        text_of(o->input));
    if (verbose)
        say("{" STR_FMT ",%d,%d,%lld," STR_FMT ",memo=%zu,sa=%zu}", STR_ARG(*id),
            o->parent_close_policy, o->id_reuse_policy, (long long)(o->run_timeout_ns / 1000000000),
            STR_ARG(o->task_queue), rec_count(o->memo, T(memo, fields)),
            rec_count(o->search_attributes, T(search_attributes, indexed_fields)));
    return 0;
}
int wf_op_signal_external(struct wf_run *r, struct str id, struct str run, bool child_only,
                          struct str name, const struct rec *input, uint64_t future, struct err *e)
{
    READ_ONLY();
    size_t n = op_new(r, future, CANCEL_TRY, "external");
    say("sig#%zu(%s" STR_FMT "/" STR_FMT "," STR_FMT ",%s)", n, child_only ? "child " : "",
        STR_ARG(id), STR_ARG(run), STR_ARG(name), text_of(input));
    return 0;
}
int wf_op_cancel_external(struct wf_run *r, struct str id, struct str run, bool child_only,
                          struct str reason, uint64_t future, struct err *e)
{
    READ_ONLY();
    size_t n = op_new(r, future, CANCEL_TRY, "external");
    say("cancelext#%zu(%s" STR_FMT "/" STR_FMT "," STR_FMT ")", n, child_only ? "child " : "",
        STR_ARG(id), STR_ARG(run), STR_ARG(reason));
    return 0;
}
static void say_map(const char *what, const struct rec *m, int tag, int key, int value)
{
    struct buf b;
    buf_init(&b, 10000);
    for (const struct rec_field *f = rec_each(m, tag, NULL); f; f = rec_each(m, tag, f)) {
        struct rec *p = rec_msg(f->v.m, value);
        buf_printf(&b, "%s" STR_FMT "=" STR_FMT ":" STR_FMT, b.n ? "," : "",
                   STR_ARG(rec_str(f->v.m, key)), STR_ARG(payload_data(p)),
                   STR_ARG(rec_map_get_str(p, T(payload, metadata), STR("type"))));
    }
    say("%s(%s)", what, b.n ? b.p : "");
    buf_free(&b);
}
int wf_op_search_attributes(struct wf_run *r, struct rec *m, struct err *e)
{
    READ_ONLY();
    say_map("search", m, T(search_attributes, indexed_fields),
            T(search_attributes_indexed_fields_entry, key),
            T(search_attributes_indexed_fields_entry, value));
    return 0;
}
int wf_op_memo(struct wf_run *r, struct rec *m, struct err *e)
{
    READ_ONLY();
    say_map("memo", m, T(memo, fields), T(memo_fields_entry, key), T(memo_fields_entry, value));
    return 0;
}
bool wf_op_patched(struct wf_run *r, struct str id, bool deprecated, struct err *e)
{
    if (r->read_only) {
        err_set(e, ERR_ARG, "read-only");
        return false;
    }
    say("%s(" STR_FMT ")", deprecated ? "unpatch" : "patch", STR_ARG(id));
    return patched_answer;
}
int wf_op_side_effect_recorded(struct wf_run *r, const struct rec **payloads, struct err *e)
{
    READ_ONLY();
    if (next_recorded >= known_recorded) return 0;
    struct rec *all = NULL;
    CHECK_INT(
        rec_decode(&r->out_arena, &rec_type_payloads, buf_str(&recorded[next_recorded++]), &all, e),
        0);
    *payloads = all;
    return 1;
}
int wf_op_side_effect_record(struct wf_run *r, const struct rec *payloads, struct err *e)
{
    READ_ONLY();
    CHECK(n_recorded < 16);
    buf_init(&recorded[n_recorded], 1 << 20);
    if (payloads) rec_encode(payloads, &recorded[n_recorded]);
    n_recorded++;
    say("side(%s)", text_of(payloads));
    return 0;
}
void wf_op_cancel(struct wf_run *r, uint64_t future, struct str reason)
{
    struct wf_future *f = wf_future_get(r, future);
    if (!f || f->state != FUTURE_PENDING || !f->op) return;
    struct op *o = &ops[f->op];
    if (strcmp(o->type, "external") == 0) return;
    say("cancel#%llu", (unsigned long long)f->op);
    if (o->cancel == CANCEL_WAIT) return;
    wf_future_fail(r, future, failure_canceled(&r->out_arena, reason, NULL), true);
}
static bool terminal(struct wf_run *r)
{
    bool was = r->terminal;
    r->terminal = true;
    return was;
}
int wf_op_complete(struct wf_run *r, const struct rec *result, struct err *e)
{
    READ_ONLY();
    if (!terminal(r)) say("complete(%s)", text_of(result));
    return 0;
}
static void say_failure(const char *what, const char *id, const struct rec *f)
{
    struct str type = failure_type(f);
    say("%s(%s%s" STR_FMT ": " STR_FMT "%s)", what, id, *id ? "," : "", STR_ARG(type),
        STR_ARG(rec_str(f, T(failure, message))), rec_msg(f, T(failure, cause)) ? " + cause" : "");
}
int wf_op_fail(struct wf_run *r, const struct rec *failure, struct err *e)
{
    READ_ONLY();
    if (!terminal(r)) say_failure("fail", "", failure);
    return 0;
}
int wf_op_canceled(struct wf_run *r, const struct rec *details, struct err *e)
{
    (void)details;
    READ_ONLY();
    if (!terminal(r)) say("canceled");
    return 0;
}
int wf_op_continue_as_new(struct wf_run *r, const struct wf_can_opts *o, struct err *e)
{
    READ_ONLY();
    if (!terminal(r)) say("continue(%s" STR_FMT ")", text_of(o->input), STR_ARG(o->workflow_type));
    return 0;
}
static const char *z(struct str s)
{
    static char text[4][100];
    static int at;
    char *p = text[at++ & 3];
    snprintf(p, 100, STR_FMT, STR_ARG(s));
    return p;
}
int wf_op_update_accept(struct wf_run *r, struct str id, struct err *e)
{
    READ_ONLY();
    say("accept(%s)", z(id));
    return 0;
}
int wf_op_update_reject(struct wf_run *r, struct str id, const struct rec *f, struct err *e)
{
    READ_ONLY();
    say_failure("reject", z(id), f);
    return 0;
}
int wf_op_update_complete(struct wf_run *r, struct str id, const struct rec *result,
                          const struct rec *f, struct err *e)
{
    READ_ONLY();
    if (f)
        say_failure("updfail", z(id), f);
    else
        say("upd(%s,%s)", z(id), text_of(result));
    return 0;
}
bool wf_op_describe(struct wf_run *r, uint64_t future, struct wf_pending *out)
{
    (void)r, (void)future, (void)out;
    return false;
}
void wf_log_add(struct wf_run *r, int level, struct str text, struct str fields)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    if (!r->replaying)
        say("%s(" STR_FMT "%s" STR_FMT ")", levels[level], STR_ARG(text), fields.n ? " " : "",
            STR_ARG(fields));
}
static char pending_text[4000];
void wf_pending_add(struct wf_run *r, const struct wf_pending *p)
{
    static const char *const kinds[] = {"timer",    "activity", "local",    "child",
                                        "external", "signal",   "condition"};
    size_t n = r->n_pending++ ? strlen(pending_text) : 0;
    snprintf(pending_text + n, sizeof pending_text - n, "%s%s %s@%s", n ? "; " : "", kinds[p->kind],
             z(p->name), z(p->where));
}
void wf_task_fail(struct wf_run *r, int cause, const struct rec *failure)
{
    if (r->task_failure) return;
    r->task_failure = failure;
    r->task_fail_cause = cause;
    say_failure("taskfail", "", failure);
}
void wf_task_failf(struct wf_run *r, int cause, const char *type, const char *fmt, ...)
{
    char text[500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    wf_task_fail(r, cause,
                 failure_app(&r->out_arena, str_of(type), arena_printf(&r->out_arena, "%s", text),
                             false, NULL, NULL));
}

/* ---- a run ---- */

static char dir[64];

static struct bundle *bundle_of(const char *text)
{
    char path[100];
    struct err e = {0};
    struct bundle *b = NULL;
    snprintf(path, sizeof path, "%s/app.lua", dir);
    FILE *f = fopen(path, "w");
    CHECK(f);
    fputs(text, f);
    fclose(f);
    int rc = bundle_build(path, NULL, 0, &b, &e);
    if (rc != 0) fprintf(stderr, "%s\n", e.text);
    CHECK_INT(rc, 0);
    return b;
}

static const char prefix[] =
    "local ml = require 'moonloop'\n"
    "local a = ml.activity('a', { timeout = '1m' }, function() end)\n"
    "local b = ml.activity('b', { timeout = '1m', cancel = 'wait' })\n"
    "local l = ml.local_activity('l', { timeout = '5s' }, function() end)\n"
    "local function main(fn) ml.workflow('w', fn) end\n";

static struct wf_run *run_of_bundle(struct bundle *b, struct err *e)
{
    struct wf_run *r = calloc(1, sizeof *r);
    CHECK(r);
    arena_init(&r->keep, 0);
    arena_init(&r->out_arena, 0);
    idmap_init(&r->futures);
    r->bundle = bundle_ref(b);
    r->info.namespace_ = STR("default");
    r->info.workflow_id = STR("wf-1");
    r->info.run_id = STR("run-1");
    r->info.task_queue = STR("default");
    r->info.limits = limits;
    if (noop_name) r->info.noop_name = str_of(noop_name);
    r->now_ns = r->chain_start_ns = INT64_C(1767225600) * NS_PER_S; /* 2026-01-01T00:00:00Z */
    r->wall_ns = r->now_ns + 5 * NS_PER_S;
    r->history_length = 3;
    rng_seed(&r->rng, STR("run-1"));
    struct rec *st = rec_new(&r->keep, &rec_type_ev_workflow_execution_started);
    rec_set_int(st, T(ev_workflow_execution_started, attempt), 2);
    rec_set_int(st, T(ev_workflow_execution_started, workflow_run_timeout), 90 * NS_PER_S);
    rec_set_str(st, T(ev_workflow_execution_started, original_execution_run_id), STR("run-1"));
    r->started = st;
    if (script_open(r, e) != 0) {
        bundle_unref(b);
        arena_free(&r->keep);
        arena_free(&r->out_arena);
        free(r);
        return NULL;
    }
    sandbox_budget_reset(&r->sandbox, limits.instructions ? limits.instructions : 200000000);
    return r;
}

static void run_free(struct wf_run *r)
{
    bundle_unref(r->bundle);
    script_close(r);
    arena_free(&r->keep);
    arena_free(&r->out_arena);
    free(r);
}

static struct wf_run *run_new(const char *script, struct err *e)
{
    static char text[20000];
    snprintf(text, sizeof text, "%s%s", prefix, script);
    struct bundle *b = bundle_of(text);
    struct wf_run *r = run_of_bundle(b, e);
    bundle_unref(b);
    return r;
}

static uint64_t slice;
static enum sandbox_status settle(struct wf_run *r)
{
    enum sandbox_status st;
    long turns = 0;
    do {
        r->sandbox.slice_left = slice;
        st = script_run(r);
        CHECK(++turns < 5000000);
    } while (st == SANDBOX_SLICE);
    return st;
}

static struct rec *json_payloads(struct wf_run *r, const char *json)
{
    return *json ? payloads_of_json(&r->out_arena, arena_str(&r->out_arena, str_of(json))) : NULL;
}

static void query(struct wf_run *r, const char *name, const char *json)
{
    struct wf_query q = {.id = STR("q"), .type = str_of(name), .args = json_payloads(r, json)};
    struct wf_query_result out;
    script_query(r, &q, &out);
    if (out.ok)
        say("query(%s)", text_of(out.result));
    else
        say("queryfail(" STR_FMT ")", STR_ARG(out.message));
}

/* One step: ok:N:JSON fail:N:TYPE sig:NAME:JSON upd:ID:NAME:JSON cancel q:NAME:JSON now:SECONDS
 * pending */
static void step(struct wf_run *r, char *s)
{
    char *part[4] = {s, (char *)"", (char *)"", (char *)""};
    int max = strncmp(s, "upd:", 4) == 0 || strncmp(s, "rep:", 4) == 0 ? 4 : 3;
    for (int i = 1; i < max; i++) {
        char *c = strchr(part[i - 1], ':');
        if (!c) break;
        *c = '\0';
        part[i] = c + 1;
    }
    size_t n = (size_t)atoi(part[1]);
    if (strcmp(s, "ok") == 0) {
        CHECK(n > 0 && n <= n_ops);
        wf_future_ok(r, ops[n].future, json_payloads(r, part[2]));
    } else if (strcmp(s, "fail") == 0) {
        CHECK(n > 0 && n <= n_ops);
        struct rec *cause = failure_app(&r->out_arena, arena_str(&r->out_arena, str_of(part[2])),
                                        STR("it broke"), false, NULL, NULL);
        wf_future_fail(
            r, ops[n].future,
            failure_activity(&r->out_arena, 5, 6, STR("a"), STR("1"), 0, STR("me"), cause), false);
    } else if (strcmp(s, "canceled") == 0) {
        wf_future_fail(r, ops[n].future, failure_canceled(&r->out_arena, STR("done"), NULL), true);
    } else if (strcmp(s, "sig") == 0) {
        script_signal(r, str_of(part[1]), json_payloads(r, part[2]), STR("me"));
    } else if (strcmp(s, "upd") == 0) {
        script_update(r, str_of(part[1]), str_of(part[2]), json_payloads(r, part[3]), true);
    } else if (strcmp(s, "rep") == 0) {
        script_update(r, str_of(part[1]), str_of(part[2]), json_payloads(r, part[3]), false);
    } else if (strcmp(s, "cancel") == 0) {
        r->cancel_requested = true;
        script_cancel(r, STR("asked"));
    } else if (strcmp(s, "now") == 0) {
        r->now_ns += (int64_t)n * NS_PER_S;
    } else if (strcmp(s, "q") == 0) {
        query(r, part[1], part[2]);
    } else if (strcmp(s, "pending") == 0) {
        say("pending[%s]", r->n_pending ? pending_text : "");
    } else if (strcmp(s, "gc") == 0) {
        lua_gc(r->sandbox.L, LUA_GCCOLLECT);
    } else {
        fprintf(stderr, "step \"%s\"?\n", s);
        CHECK(0);
    }
}

/* Steps are separated by blanks; the coroutines run before the first one (unless it is @) and after
 * each that does not begin with +. */
static void play(const char *script, const char *steps, uint64_t slice_size)
{
    char copy[2000];
    struct err e = {0};
    buf_reset(&oplog);
    n_ops = 0;
    slice = slice_size;
    struct wf_run *r = run_new(script, &e);
    if (!r) {
        say("open(%s)", e.text);
        return;
    }
    if (script_start(r, STR("w"), json_payloads(r, "{\"x\":1}"), &e) != 0) say("start(%s)", e.text);
    snprintf(copy, sizeof copy, "%s", steps);
    char *save = NULL, *s = strtok_r(copy, " ", &save);
    if (!s || *s != '@')
        settle(r);
    else
        s = strtok_r(NULL, " ", &save);
    for (; s && !r->task_failure; s = strtok_r(NULL, " ", &save)) {
        bool more = *s == '+';
        step(r, more ? s + 1 : s);
        if (!more) settle(r);
    }
    run_free(r);
}

static void want(const char *name, const char *script, const char *steps, const char *log)
{
    CASE(name);
    play(script, steps, 100000);
    CHECK_STR(oplog.p ? oplog.p : "", log);
    play(script, steps, 1);
    CHECK_STR(oplog.p ? oplog.p : "", log);
}

#include "test_wf_script_cases.h"

int main(void)
{
    strcpy(dir, "/tmp/wf_script_XXXXXX");
    CHECK(mkdtemp(dir));
    buf_init(&oplog, 1 << 20);
    cases();
    char path[100];
    snprintf(path, sizeof path, "%s/app.lua", dir);
    unlink(path);
    rmdir(dir);
    return CHECK_DONE();
}
