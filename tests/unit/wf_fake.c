/* See wf_fake.h. */
#include "wf_fake.h"
#include "check.h"
#include "wf_prove.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

fake_prog fake_program;
int fake_slices;
const char *fake_reject;

struct fake *fake_of(struct wf_run *r)
{
    return (struct fake *)r->script;
}
void fake_log(struct fake *f, const char *fmt, ...)
{
    size_t n = strlen(f->log);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->log + n, sizeof f->log - n, fmt, ap);
    va_end(ap);
}

/* ---- the contract of the script side ---- */
int script_open(struct wf_run *r, struct err *e)
{
    (void)e;
    struct fake *f = mem_zalloc(sizeof *f);
    f->prog = fake_program;
    f->slices_left = fake_slices;
    r->script = &f->base;
    return 0;
}
void script_close(struct wf_run *r)
{
    mem_free(r->script);
    r->script = NULL;
}
int script_start(struct wf_run *r, struct str type, const struct rec *input, struct err *e)
{
    (void)input;
    if (!str_eqz(type, "wf"))
        return err_set(e, ERR_NOTFOUND, "no workflow \"" STR_FMT "\" is defined; known: wf",
                       STR_ARG(type));
    fake_of(r)->started = true;
    fake_log(fake_of(r), "start ");
    return 0;
}
void script_signal(struct wf_run *r, struct str name, const struct rec *input, struct str identity)
{
    (void)input;
    (void)identity;
    fake_log(fake_of(r), "S:" STR_FMT " ", STR_ARG(name));
    fake_of(r)->n[0]++;
}
void script_update(struct wf_run *r, struct str id, struct str name, const struct rec *input,
                   bool validate)
{
    (void)input;
    struct fake *f = fake_of(r);
    struct err e;
    fake_log(f, "U:" STR_FMT "%s ", STR_ARG(name), validate ? "?" : "");
    if (validate && fake_reject && str_eqz(name, fake_reject)) {
        struct arena a;
        arena_init(&a, 0);
        int rc = wf_op_update_reject(
            r, id, failure_app(&a, STR("Rejected"), STR("no"), true, NULL, NULL), &e);
        assert(rc == 0);
        arena_free(&a);
        return;
    }
    if (wf_op_update_accept(r, id, &e)) return;
    snprintf(f->update_buf, sizeof f->update_buf, STR_FMT, STR_ARG(id));
    f->update = f->update_buf;
}
void script_cancel(struct wf_run *r, struct str cause)
{
    fake_log(fake_of(r), "C:" STR_FMT " ", STR_ARG(cause));
    fake_of(r)->n[1]++;
}
enum sandbox_status script_run(struct wf_run *r)
{
    struct fake *f = fake_of(r);
    if (f->slices_left-- > 0) return SANDBOX_SLICE;
    f->slices_left = fake_slices;
    f->runs++;
    if (f->started && f->prog) f->prog(r, f);
    return r->task_failure ? SANDBOX_ERROR : SANDBOX_BLOCKED;
}
void script_query(struct wf_run *r, const struct wf_query *q, struct wf_query_result *out)
{
    if (str_eqz(q->type, "log")) {
        out->ok = true;
        out->result =
            payloads_of_json(&r->out_arena, arena_printf(&r->out_arena, "\"%s\"", fake_of(r)->log));
    } else {
        out->message = STR("unknown query");
    }
}
void script_reseed(struct wf_run *r, struct str run_id)
{
    fake_log(fake_of(r), "reseed:" STR_FMT " ", STR_ARG(run_id));
}
int script_definitions(struct bundle *b,
                       void (*each)(void *ud, const char *kind, struct str name,
                                    struct str options_json),
                       void *ud, struct err *e)
{
    (void)b;
    (void)e;
    each(ud, "workflow", STR("wf"), STR("{}"));
    return 0;
}
struct bundle *bundle_ref(struct bundle *b)
{
    return b;
}
void bundle_unref(struct bundle *b)
{
    (void)b;
}
void sandbox_budget_reset(struct sandbox *sb, uint64_t max)
{
    sb->instructions = 0;
    sb->instructions_max = max;
}

/* ---- futures; they live in r->keep ---- */
struct wf_future *wf_future_new(struct wf_run *r, enum wf_pending_kind kind)
{
    struct wf_future *f = arena_alloc(&r->keep, sizeof *f);
    f->kind = kind;
    f->id = idmap_add(&r->futures, f);
    return f;
}
struct wf_future *wf_future_get(struct wf_run *r, uint64_t id)
{
    return idmap_get(&r->futures, id);
}
void wf_future_ok(struct wf_run *r, uint64_t id, const struct rec *payloads)
{
    struct wf_future *f = wf_future_get(r, id);
    if (!f || f->state != FUTURE_PENDING) return;
    f->state = FUTURE_OK;
    f->result = payloads ? rec_clone(&r->keep, payloads) : NULL;
}
void wf_future_fail(struct wf_run *r, uint64_t id, const struct rec *failure, bool canceled)
{
    struct wf_future *f = wf_future_get(r, id);
    if (!f || f->state != FUTURE_PENDING) return;
    f->state = FUTURE_FAILED;
    f->canceled = canceled;
    f->failure = rec_clone(&r->keep, failure);
}

/* ---- for programs ---- */
uint64_t fut(struct wf_run *r, const char *where)
{
    struct wf_future *f = wf_future_new(r, WF_PENDING_TIMER);
    f->where = arena_str(&r->keep, str_of(where));
    return f->id;
}
bool settled(struct wf_run *r, uint64_t id)
{
    return wf_future_get(r, id)->state != FUTURE_PENDING;
}
bool is_ok(struct wf_run *r, uint64_t id)
{
    return wf_future_get(r, id)->state == FUTURE_OK;
}
bool is_canceled(struct wf_run *r, uint64_t id)
{
    return wf_future_get(r, id)->state == FUTURE_FAILED && wf_future_get(r, id)->canceled;
}
uint64_t timer(struct wf_run *r, int64_t seconds, const char *where)
{
    struct err e;
    uint64_t id = fut(r, where);
    wf_op_timer(r, seconds * NS_PER_S, false, (struct str){NULL, 0}, id, &e);
    return id;
}
static uint64_t act(struct wf_run *r, const char *type, const char *input, enum wf_cancel_type how,
                    bool is_local, const char *where)
{
    struct err e;
    struct arena a;
    arena_init(&a, 0);
    uint64_t id = fut(r, where);
    struct wf_activity_opts o = {.type = str_of(type),
                                 .input = input ? payloads_of_json(&a, str_of(input)) : NULL,
                                 .start_to_close_ns = NS_PER_S,
                                 .cancel = how,
                                 .local = is_local};
    wf_op_activity(r, &o, id, &e);
    arena_free(&a);
    return id;
}
uint64_t activity(struct wf_run *r, const char *type, const char *input, enum wf_cancel_type how,
                  const char *where)
{
    return act(r, type, input, how, false, where);
}
uint64_t local(struct wf_run *r, const char *type, enum wf_cancel_type how, const char *where)
{
    return act(r, type, NULL, how, true, where);
}
uint64_t child(struct wf_run *r, const char *id, enum wf_cancel_type how, uint64_t *started,
               const char *where)
{
    struct err e;
    struct str got;
    *started = fut(r, where);
    uint64_t result = fut(r, where);
    struct wf_child_opts o = {
        .workflow_type = STR("kid"), .workflow_id = str_of(id), .cancel = how};
    wf_op_child(r, &o, *started, result, &got, &e);
    return result;
}
void cancel(struct wf_run *r, uint64_t id)
{
    wf_op_cancel(r, id, STR("because"));
}
void complete(struct wf_run *r)
{
    struct err e;
    wf_op_complete(r, NULL, &e);
}

/* ---- runs ---- */
const char *current_digest;
bool codec;

struct wf_run *open_run(void *program)
{
    fake_prog p = (fake_prog)program;
    struct wf_run *r = NULL;
    struct err e = {0};
    struct wf_info info = {.namespace_ = STR("default"),
                           .workflow_id = STR("wf-1"),
                           .run_id = STR("run-1"),
                           .task_queue = STR("queue"),
                           .current_digest = current_digest,
                           .codec = codec};
    fake_program = p;
    CHECK_INT(wf_open(NULL, &info, &r, &e), 0);
    return r;
}

/* With slices of every kind: the fake says SLICE as often as fake_slices tells. */
void check_history_of(const char *name, struct hist *h, fake_prog p)
{
    CASE(name);
    prove_name = name;
    for (fake_slices = 0; fake_slices < 3; fake_slices++)
        prove_history(h, open_run, (void *)p, 0);
    fake_slices = 0;
}
