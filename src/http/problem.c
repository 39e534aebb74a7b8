/* Problems as JSON: see problem.h. */
#include "http/problem.h"

static const struct {
    const char *type, *word;
    int status;
    const char *title;
} kinds[PROBLEM_COUNT] = {
#define PROBLEM_ROW(id, word, status, title) {HTTP_PROBLEM_URN word, word, status, title},
    PROBLEMS(PROBLEM_ROW)
#undef PROBLEM_ROW
};

int problem_status(enum problem_kind k)
{
    return kinds[k].status;
}

const char *problem_title(enum problem_kind k)
{
    return kinds[k].title;
}

const char *problem_type(enum problem_kind k)
{
    return kinds[k].type;
}

enum problem_kind problem_find(struct str word)
{
    for (int i = 0; i < PROBLEM_COUNT; i++)
        if (str_eqz(word, kinds[i].type) || str_eqz(word, kinds[i].word))
            return (enum problem_kind)i;
    return PROBLEM_COUNT;
}

static void put_errors(const struct problem *p, struct buf *out)
{
    buf_puts(out, "\"errors\":[");
    for (size_t i = 0; i < p->n_errors; i++) {
        buf_puts(out, i ? ",{\"message\":" : "{\"message\":");
        buf_put_json(out, p->errors[i].message);
        buf_puts(out, ",\"pointer\":");
        buf_put_json(out, p->errors[i].pointer);
        buf_puts(out, ",\"rule\":");
        buf_put_json(out, p->errors[i].rule);
        buf_putc(out, '}');
    }
    buf_puts(out, "],");
}

void problem_write(const struct problem *p, struct buf *out)
{
    buf_putc(out, '{');
    if (p->detail.p) {
        buf_puts(out, "\"detail\":");
        buf_put_json(out, p->detail);
        buf_putc(out, ',');
    }
    if (p->errors_json.p)
        buf_printf(out, "\"errors\":" STR_FMT ",", STR_ARG(p->errors_json));
    else if (p->n_errors)
        put_errors(p, out);
    if (p->instance.p) {
        buf_puts(out, "\"instance\":");
        buf_put_json(out, p->instance);
        buf_putc(out, ',');
    }
    if (p->retry_after_s) buf_printf(out, "\"retryAfter\":%lld,", (long long)p->retry_after_s);
    buf_printf(out, "\"status\":%d,\"title\":\"%s\",\"type\":\"%s\"}", kinds[p->kind].status,
               kinds[p->kind].title, kinds[p->kind].type);
}
