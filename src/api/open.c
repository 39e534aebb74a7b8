/* Opening and closing the boundary, and the answers that it makes itself. */
#include "api/api_internal.h"
#include <stdarg.h>
#include <stdio.h>

int api_open(const struct api_opts *o, struct api **out, struct err *e)
{
    struct api *a = mem_zalloc(sizeof *a);
    char *identity = a ? str_dup(o->identity.p ? o->identity : STR("")) : NULL;
    if (!identity) {
        mem_free(a);
        return err_set(e, ERR_NOMEM, "out of memory opening the boundary");
    }
    *a = (struct api){.store = o->store,
                      .b = o->backend,
                      .clock = o->clock,
                      .entropy = o->entropy,
                      .log = o->log,
                      .workflow = o->workflow,
                      .ud = o->ud,
                      .identity = identity,
                      .outbox = o->outbox};
    idmap_init(&a->calls);
    map_init(&a->open);
    map_init(&a->claims);
    map_init(&a->buckets);
    map_init(&a->shapes);
    map_init(&a->watched);
    map_init(&a->uniques);
    map_init(&a->sending);
    *out = a;
    return 0;
}

void api_close(struct api *a)
{
    if (!a) return;
    a->closing = true;
    while (a->open.first)
        api_call_problem(a->open.first->value, PROBLEM_UNAVAILABLE, "the server is stopping");
    api_watch_free(a);
    api_outbox_free(a);
    for (struct map_entry *x = a->buckets.first; x; x = x->next)
        mem_free(x->value);
    for (struct map_entry *x = a->shapes.first; x; x = x->next)
        mem_free(x->value);
    map_free(&a->open);
    map_free(&a->claims);
    map_free(&a->buckets);
    map_free(&a->shapes);
    map_free(&a->watched);
    map_free(&a->uniques);
    map_free(&a->sending);
    idmap_free(&a->calls);
    mem_free(a->identity);
    mem_free(a);
}

/* ---- problems ---- */
static void tell(api_answer_fn fn, void *ud, enum problem_kind kind, int64_t retry_after_s,
                 const char *fmt, va_list ap)
{
    char detail[1200];
    struct buf b;
    vsnprintf(detail, sizeof detail, fmt, ap);
    if (kind == PROBLEM_UNAVAILABLE && !retry_after_s) retry_after_s = 1;
    struct problem p = {.kind = kind, .detail = str_of(detail), .retry_after_s = retry_after_s};
    buf_init(&b, 8192);
    problem_write(&p, &b);
    struct api_answer x = {.status = problem_status(kind),
                           .body = buf_str(&b),
                           .problem = true,
                           .type = str_of(problem_type(kind)),
                           .retry_after_s = retry_after_s};
    x.type =
        str_make(x.type.p + sizeof HTTP_PROBLEM_URN - 1, x.type.n - (sizeof HTTP_PROBLEM_URN - 1));
    if (fn) fn(ud, &x);
    buf_free(&b);
}

void api_answer_problem(api_answer_fn fn, void *ud, enum problem_kind kind, int64_t retry_after_s,
                        const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tell(fn, ud, kind, retry_after_s, fmt, ap);
    va_end(ap);
}

static void answer_call(void *ud, const struct api_answer *x)
{
    api_call_answer(ud, x);
}

void api_call_problem(struct api_call *c, enum problem_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tell(answer_call, c, kind, c->retry_after_s, fmt, ap);
    va_end(ap);
}
