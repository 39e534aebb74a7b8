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
                      .identity = identity};
    idmap_init(&a->calls);
    map_init(&a->open);
    map_init(&a->claims);
    map_init(&a->buckets);
    map_init(&a->shapes);
    map_init(&a->watched);
    map_init(&a->uniques);
    *out = a;
    return 0;
}

void api_close(struct api *a)
{
    if (!a) return;
    a->closing = true;
    while (a->open.first)
        api_call_problem(a->open.first->value, 503, "closing", "the server is stopping");
    api_watch_free(a);
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
    idmap_free(&a->calls);
    mem_free(a->identity);
    mem_free(a);
}

/* ---- problems ---- */
const char *api_title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {{400, "Bad Request"},        {401, "Unauthorized"},
                  {402, "Payment Required"},   {403, "Forbidden"},
                  {404, "Not Found"},          {409, "Conflict"},
                  {413, "Content Too Large"},  {422, "Unprocessable Content"},
                  {429, "Too Many Requests"},  {500, "Internal Server Error"},
                  {503, "Service Unavailable"}};
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        if (titles[i].status == status) return titles[i].title;
    return "Error";
}

static void put_problem(struct buf *out, int status, const char *type, const char *title,
                        const char *fmt, va_list ap)
{
    char detail[1200];
    vsnprintf(detail, sizeof detail, fmt, ap);
    buf_puts(out, "{\"detail\":");
    buf_put_json(out, str_of(detail));
    buf_printf(out, ",\"status\":%d,\"title\":", status);
    buf_put_json(out, str_of(title));
    buf_printf(out, ",\"type\":\"urn:moonloop:problem:%s\"}", type);
}

void api_problem(struct buf *out, int status, const char *type, const char *title, const char *fmt,
                 ...)
{
    va_list ap;
    va_start(ap, fmt);
    put_problem(out, status, type, title, fmt, ap);
    va_end(ap);
}

void api_answer_problem(api_answer_fn fn, void *ud, int status, const char *type,
                        int64_t retry_after_s, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    buf_init(&b, 8192);
    va_start(ap, fmt);
    put_problem(&b, status, type, api_title(status), fmt, ap);
    va_end(ap);
    struct api_answer x = {.status = status,
                           .body = buf_str(&b),
                           .problem = true,
                           .type = str_of(type),
                           .retry_after_s = retry_after_s};
    if (fn) fn(ud, &x);
    buf_free(&b);
}

void api_call_problem(struct api_call *c, int status, const char *type, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    buf_init(&b, 8192);
    va_start(ap, fmt);
    put_problem(&b, status, type, api_title(status), fmt, ap);
    va_end(ap);
    struct api_answer x = {.status = status,
                           .body = buf_str(&b),
                           .problem = true,
                           .type = str_of(type),
                           .retry_after_s = status == 503 ? 1 : 0};
    api_call_answer(c, &x);
    buf_free(&b);
}
