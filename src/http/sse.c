/* The event-stream parser: lines end by LF, CR or CRLF; a blank line sends the event. Keeps nothing
 * true between events but the last id. Called by activity/ for res:events(). */
#include "http/sse.h"

void sse_init(struct sse *s, void (*fn)(void *ud, const struct sse_event *ev), void *ud)
{
    memset(s, 0, sizeof *s);
    buf_init(&s->line, SSE_EVENT_MAX);
    buf_init(&s->data, SSE_EVENT_MAX);
    buf_init(&s->event, 4096);
    buf_init(&s->id, 4096);
    s->retry_ms = -1;
    s->fn = fn;
    s->ud = ud;
}

void sse_free(struct sse *s)
{
    buf_free(&s->line);
    buf_free(&s->data);
    buf_free(&s->event);
    buf_free(&s->id);
}

static void dispatch(struct sse *s)
{
    if (s->has_data) {
        struct str data = buf_str(&s->data);
        if (data.n > 0) data.n--; /* the line feed behind the last line */
        struct sse_event ev = {.event = s->event.n ? buf_str(&s->event) : STR("message"),
                               .data = data,
                               .id = buf_str(&s->id),
                               .retry_ms = s->retry_ms};
        s->fn(s->ud, &ev);
    }
    buf_reset(&s->data);
    buf_reset(&s->event);
    s->has_data = false;
    s->retry_ms = -1;
}

static int64_t digits(struct str v)
{
    int64_t n = 0;
    if (v.n == 0 || v.n > 12) return -1;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9') return -1;
        n = n * 10 + (v.p[i] - '0');
    }
    return n;
}

static int take_line(struct sse *s)
{
    struct str l = buf_str(&s->line);
    if (!s->begun) {
        s->begun = true;
        if (l.n >= 3 && memcmp(l.p, "\xEF\xBB\xBF", 3) == 0) l = str_make(l.p + 3, l.n - 3);
    }
    if (l.n == 0) {
        dispatch(s);
        return 0;
    }
    const char *colon = memchr(l.p, ':', l.n);
    struct str name = colon ? str_make(l.p, (size_t)(colon - l.p)) : l;
    struct str value = colon ? str_make(colon + 1, l.n - name.n - 1) : STR("");
    if (value.n && value.p[0] == ' ') value = str_make(value.p + 1, value.n - 1);
    if (str_eqz(name, "data")) {
        s->has_data = true;
        buf_putstr(&s->data, value);
        return buf_putc(&s->data, '\n');
    }
    if (str_eqz(name, "event")) {
        buf_reset(&s->event);
        return buf_putstr(&s->event, value);
    }
    if (str_eqz(name, "id")) {
        if (value.n && memchr(value.p, 0, value.n)) return 0;
        buf_reset(&s->id);
        return buf_putstr(&s->id, value);
    }
    if (str_eqz(name, "retry")) {
        int64_t ms = digits(value);
        if (ms >= 0) s->retry_ms = ms;
    }
    return 0;
}

int sse_feed(struct sse *s, struct str bytes)
{
    size_t i = 0;
    while (i < bytes.n) {
        if (s->after_cr) {
            s->after_cr = false;
            if (bytes.p[i] == '\n') {
                i++;
                continue;
            }
        }
        size_t j = i;
        while (j < bytes.n && bytes.p[j] != '\n' && bytes.p[j] != '\r')
            j++;
        int code = buf_put(&s->line, bytes.p + i, j - i);
        if (code < 0) return code;
        if (j == bytes.n) return 0;
        s->after_cr = bytes.p[j] == '\r';
        code = take_line(s);
        buf_reset(&s->line);
        if (code < 0) return code;
        i = j + 1;
    }
    return 0;
}
