/* Reports of checks: see schema.h. */
#include "json/schema_report.h"
#include "json/text.h"

#define REPORT_BYTES_MAX (1u << 20)

void schema_report_init(struct schema_report *r)
{
    memset(r, 0, sizeof *r);
    arena_init(&r->arena, REPORT_BYTES_MAX);
    r->tail = &r->first;
}

void schema_report_free(struct schema_report *r)
{
    arena_free(&r->arena);
    r->first = NULL;
    r->tail = &r->first;
    r->n = 0;
}

static int add(struct schema_report *r, struct str pointer, struct str rule, struct str message)
{
    if (r->n >= SCHEMA_ERRORS_MAX) {
        r->more = true;
        return 0;
    }
    struct schema_error *error = arena_alloc(&r->arena, sizeof *error);
    if (!error) return ERR_NOMEM;
    error->pointer = arena_str(&r->arena, pointer);
    error->rule = arena_str(&r->arena, rule);
    error->message = arena_str(&r->arena, message);
    if (arena_failed(&r->arena)) return ERR_NOMEM;
    *r->tail = error;
    r->tail = &error->next;
    r->n++;
    return 0;
}

int schema_report_add(struct schema_report *r, struct str pointer, const char *rule,
                      const char *message)
{
    return add(r, pointer.p ? pointer : STR(""), str_of(rule), str_of(message));
}

static void put_pointer(const struct spot *at, struct buf *out)
{
    if (!at) return;
    put_pointer(at->up, out);
    buf_putc(out, '/');
    if (!at->key.p) {
        buf_printf(out, "%zu", at->index);
        return;
    }
    for (size_t i = 0; i < at->key.n; i++) {
        char c = at->key.p[i];
        if (c == '~')
            buf_puts(out, "~0");
        else if (c == '/')
            buf_puts(out, "~1");
        else
            buf_putc(out, c);
    }
}

bool report_limit(struct checker *c, int code, const char *what)
{
    if (!c->code) c->code = err_set(c->e, code, "the check of a value %s", what);
    return false;
}

bool report_bad(struct checker *c, const struct spot *at, enum schema_word rule, const char *fmt,
                ...)
{
    struct buf pointer, message;
    va_list args;
    if (!c->report || c->code) return false;
    if (c->report->n >= SCHEMA_ERRORS_MAX) {
        c->report->more = true;
        return false;
    }
    buf_init(&pointer, 8192);
    buf_init(&message, 4096);
    put_pointer(at, &pointer);
    va_start(args, fmt);
    buf_vprintf(&message, fmt, args);
    va_end(args);
    /* a cut text may end within a character */
    struct str p = buf_str(&pointer), m = buf_str(&message);
    p.n = str_utf8_valid(p);
    m.n = str_utf8_valid(m);
    if (pointer.code == ERR_NOMEM || message.code == ERR_NOMEM ||
        add(c->report, p, str_of(schema_word_name(rule)), m))
        report_limit(c, ERR_NOMEM, "ran out of memory");
    buf_free(&pointer);
    buf_free(&message);
    return false;
}

void report_value(const struct json *v, struct buf *out)
{
    struct buf text;
    buf_init(&text, 400);
    json_write(v, &text);
    size_t n = text.n;
    if (n > 60) {
        n = 57;
        while (n > 0 && ((unsigned char)text.p[n] & 0xC0) == 0x80)
            n--;
    }
    buf_put(out, text.p ? text.p : "", n);
    if (n < text.n || text.code) buf_puts(out, "...");
    buf_free(&text);
}

void schema_report_json(const struct schema_report *r, struct buf *out)
{
    buf_putc(out, '[');
    for (const struct schema_error *e = r->first; e; e = e->next) {
        buf_puts(out, "{\"message\":");
        json_put_string(out, e->message);
        buf_puts(out, ",\"pointer\":");
        json_put_string(out, e->pointer);
        buf_puts(out, ",\"rule\":");
        json_put_string(out, e->rule);
        buf_puts(out, e->next ? "}," : "}");
    }
    buf_putc(out, ']');
}
