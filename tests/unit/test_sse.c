/* The event-stream parser: the same events at every split, limits. */
#include "base/mem.h"
#include "check.h"
#include "http/sse.h"

static struct buf seen;

static void on_event(void *ud, const struct sse_event *ev)
{
    (void)ud;
    buf_printf(&seen, "[" STR_FMT "|" STR_FMT "|" STR_FMT "|%lld]", STR_ARG(ev->event),
               STR_ARG(ev->data), STR_ARG(ev->id), (long long)ev->retry_ms);
}

static const char text[] =
    "\xEF\xBB\xBF: comment\r\nevent: tick\r\ndata: one\r\ndata: two\r\nid: 7\r\nretry: 1500\r\n\r\n"
    "data: {\"n\": 2}\n\ndata:last\r\revent: empty\n\ndata\n\nid\ndata:  x\nunknown: y\n\ndata: "
    "lost";
static const char want[] = "[tick|one\ntwo|7|1500][message|{\"n\": "
                           "2}|7|-1][message|last|7|-1][message||7|-1][message| x||-1]";

static void feed_split(size_t a, size_t b)
{
    struct sse s;
    size_t n = sizeof text - 1;
    sse_init(&s, on_event, NULL);
    buf_reset(&seen);
    CHECK_INT(sse_feed(&s, str_make(text, a)), 0);
    CHECK_INT(sse_feed(&s, str_make(text + a, b - a)), 0);
    CHECK_INT(sse_feed(&s, str_make(text + b, n - b)), 0);
    CHECK_STR(seen.p, want);
    sse_free(&s);
}

int main(void)
{
    buf_init(&seen, 1 << 20);
    size_t n = sizeof text - 1;
    CASE("every pair of splits");
    for (size_t a = 0; a <= n; a++)
        for (size_t b = a; b <= n; b++)
            feed_split(a, b);
    CASE("an event over the limit is refused");
    struct sse s;
    sse_init(&s, on_event, NULL);
    char *big = mem_alloc(1 << 20);
    memset(big, 'x', 1 << 20);
    int code = sse_feed(&s, STR("data: "));
    for (int i = 0; i < 16 && code == 0; i++)
        code = sse_feed(&s, str_make(big, 1 << 20));
    CHECK_INT(code, ERR_LIMIT);
    sse_free(&s);
    mem_free(big);
    buf_free(&seen);
    return CHECK_DONE();
}
