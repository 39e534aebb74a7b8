/* See call.h. */
#include "temporal/call.h"
#include "temporal/proto/google_rpc.pb-c.h"
#include <stdarg.h>
#include <stdio.h>

/* Without memory for a call nothing can be answered later: it is answered here. */
static void no_memory(backend_reply_fn fn, backend_answer_fn answer, void *ud)
{
    struct backend_reply r = {.guard = -1};
    struct backend_answer a = {.kind = BACKEND_STORAGE};
    err_set(&r.err, ERR_NOMEM, "out of memory for a request");
    a.err = r.err;
    if (fn) fn(ud, &r);
    if (answer) answer(ud, &a);
}

static struct call *make(struct temporal *t, backend_reply_fn fn, backend_answer_fn answer,
                         void *ud, const char *what, struct str id)
{
    struct call *c = mem_zalloc(sizeof *c);
    if (!c) {
        no_memory(fn, answer, ud);
        return NULL;
    }
    c->t = t;
    c->fn = fn;
    c->answer = answer;
    c->ud = ud;
    snprintf(c->doing, sizeof c->doing, "%s%s" STR_FMT, what, id.n ? " " : "", STR_ARG(id));
    arena_init(&c->arena, 0);
    arena_init(&c->turns[0], 0);
    arena_init(&c->turns[1], 0);
    c->next = t->calls;
    if (c->next) c->next->prev = c;
    t->calls = c;
    return c;
}

struct call *call_new(struct temporal *t, backend_reply_fn fn, void *ud, const char *what,
                      struct str id)
{
    return make(t, fn, NULL, ud, what, id);
}

struct call *call_new_answer(struct temporal *t, backend_answer_fn fn, void *ud, const char *what,
                             struct str id)
{
    return make(t, NULL, fn, ud, what, id);
}

static void unlink_call(struct call *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        c->t->calls = c->next;
    if (c->next) c->next->prev = c->prev;
    c->prev = c->next = NULL;
}

static void free_call(struct call *c)
{
    if (c->dropped) c->dropped(c);
    arena_free(&c->arena);
    arena_free(&c->turns[0]);
    arena_free(&c->turns[1]);
    mem_free(c);
}

struct arena *call_turn(struct call *c)
{
    c->turn = !c->turn;
    arena_free(&c->turns[c->turn]);
    return &c->turns[c->turn];
}

/* ---- the end ---- */
static void tell(struct call *c, struct backend_reply *r)
{
    r->guard = -1;
    if (c->fn) c->fn(c->ud, r);
    if (!c->answer) return;
    struct backend_answer a = {.kind = !r->err.code                  ? BACKEND_OK
                                       : r->err.code == ERR_NOTFOUND ? BACKEND_STALE
                                                                     : BACKEND_STORAGE,
                               .err = r->err};
    c->answer(c->ud, &a);
}

void call_reply(struct call *c, struct backend_reply *r)
{
    unlink_call(c);
    tell(c, r);
    free_call(c);
}

void call_answer(struct call *c, const struct backend_answer *a)
{
    unlink_call(c);
    c->answer(c->ud, a);
    free_call(c);
}

void call_done(struct call *c)
{
    struct backend_reply r = {0};
    call_reply(c, &r);
}

void call_fail(struct call *c, const struct err *e)
{
    struct backend_reply r = {.err = *e};
    call_reply(c, &r);
}

static void fail_posted(void *ud)
{
    struct call *c = ud;
    struct err e = c->err;
    call_fail(c, &e);
}

static void fail_err_later(struct call *c, const struct err *e)
{
    c->err = *e;
    c->failing = true;
    if (loop_post(c->t->loop, fail_posted, c)) fail_posted(c); /* no memory to wait */
}

void call_fail_later(struct call *c, int code, const char *fmt, ...)
{
    struct err e = {.code = code};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e.text, sizeof e.text, fmt, ap);
    va_end(ap);
    err_prefix(&e, "%s", c->doing);
    fail_err_later(c, &e);
}

void call_done_later(struct call *c)
{
    const struct err fine = {0};
    fail_err_later(c, &fine);
}

void calls_close(struct temporal *t, const struct err *e)
{
    for (struct call *c = t->calls, *next; c; c = next) {
        next = c->next;
        if (c->failing) continue; /* its answer is posted */
        if (c->out) t->wire.cancel(t->wire.ud, c->id);
        c->out = false;
        fail_err_later(c, e);
    }
}

/* ---- sending ---- */
static void on_reply(void *ud, const struct rpc_reply *reply)
{
    struct call *c = ud;
    const struct channel_reply *r = &reply->r;
    struct err e = {0};
    c->out = false;
    struct arena *a = call_arena(c);
    if (r->code == STATUS_OK) {
        struct str bytes = r->body.n ? arena_str(a, r->body) : STR("");
        if (!bytes.p)
            err_set(&e, ERR_NOMEM, "%s: out of memory for the answer", c->doing);
        else if (c->read(c, bytes, &e) == 0)
            return;
        else
            err_prefix(&e, "%s: the answer cannot be read", c->doing);
        call_fail(c, &e);
        return;
    }
    struct status s;
    struct str details = r->details;
    if (details.n &&
        codec_decode(c->t->codec, a, &pb_rpc__status__descriptor, details, NULL, 0, &details, &e)) {
        err_prefix(&e, "%s: the failure cannot be read", c->doing);
        call_fail(c, &e);
        return;
    }
    if (status_read(a, r->code, r->message, details, &s)) {
        err_set(&e, ERR_NOMEM, "%s: out of memory for the answer", c->doing);
        call_fail(c, &e);
        return;
    }
    if (c->refused && c->refused(c, &s)) return;
    status_err(&s, c->doing, str_of(c->t->ns), &e);
    call_fail(c, &e);
}

/* The first try that failed is told, so that nobody waits without knowing what for. */
static void on_retry(void *ud, const struct channel_reply *r, int tries, int64_t wait_ns)
{
    struct call *c = ud;
    (void)wait_ns;
    if (tries == 1 && c->t->log)
        log_printf(c->t->log, LOG_WARN, "%s: " STR_FMT "; trying again", c->doing,
                   STR_ARG(r->message));
}

void call_send(struct call *c, const char *method, const void *request, call_read_fn read)
{
    struct err e = {0};
    struct str bytes = call_pack(c->t, call_arena(c), request, &e);
    if (e.code)
        call_fail_later(c, e.code, "%s", e.text);
    else
        call_send_bytes(c, method, bytes, read);
}

void call_send_bytes(struct call *c, const char *method, struct str bytes, call_read_fn read)
{
    c->read = read;
    if (!bytes.p || arena_failed(&c->arena)) {
        call_fail_later(c, ERR_NOMEM, "out of memory for the request");
        return;
    }
    struct rpc_options o = {
        .class = c->long_poll ? RPC_LONG : RPC_CALL, .ns = str_of(c->t->ns), .on_retry = on_retry};
    struct wire *w = &c->t->wire;
    struct err e = {0};
    int rc = c->t->closing ? err_set(&e, ERR_CLOSED, "the connection is closed")
                           : w->send(w->ud, method, bytes, &o, on_reply, c, &c->id, &e);
    c->out = rc == 0;
    if (rc) call_fail_later(c, rc, "%s", e.text);
}

struct str call_pack(const struct temporal *t, struct arena *a, const void *request, struct err *e)
{
    struct str bytes = bridge_pack(a, request), out;
    const ProtobufCMessage *m = request;
    if (!bytes.p) return bytes;
    int rc = codec_encode(t->codec, a, m->descriptor, bytes, &out, e);
    return rc ? (struct str){NULL, 0} : out;
}

int call_unpack(const struct temporal *t, struct arena *a, const ProtobufCMessageDescriptor *d,
                struct str bytes, struct bridge_part *parts, size_t n, void *out, struct err *e)
{
    int rc = codec_decode(t->codec, a, d, bytes, parts, n, &bytes, e);
    return rc ? rc : bridge_read(a, d, bytes, parts, n, out, e);
}

int call_read(struct call *c, const ProtobufCMessageDescriptor *d, struct str bytes,
              struct bridge_part *parts, size_t n, void *out, struct err *e)
{
    return call_unpack(c->t, call_arena(c), d, bytes, parts, n, out, e);
}

int call_read_nothing(struct call *c, struct str bytes, struct err *e)
{
    (void)bytes;
    (void)e;
    call_done(c);
    return 0;
}

/* ---- pieces of requests ---- */
PbCommon__WorkflowExecution *call_execution(struct arena *a, const struct backend_target *target)
{
    PbCommon__WorkflowExecution *x =
        bridge_new(a, PbCommon__WorkflowExecution, pb_common__workflow_execution);
    x->workflow_id = bridge_text(a, target->workflow_id);
    x->run_id = bridge_text(a, target->run_id);
    return x;
}

PbCommon__Payloads *call_payloads(struct arena *a, const struct rec *payloads)
{
    return bridge_message(a, &pb_common__payloads__descriptor, payloads);
}

char *call_request_id(struct call *c, struct arena *a, struct str given)
{
    char made[37];
    if (given.n) return bridge_text(a, given);
    int64_t wall = clock_wall(loop_clock(c->t->loop));
    if (uuid_v7(c->t->entropy, wall, made)) made[0] = '\0';
    return bridge_text(a, str_of(made));
}

struct backend_target call_keep(struct call *c, const struct backend_target *target)
{
    return (struct backend_target){arena_str(&c->arena, target->workflow_id),
                                   arena_str(&c->arena, target->run_id)};
}
