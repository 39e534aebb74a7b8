/* Server-sent events. Keeps true: wherever the bytes are cut, the events are the same. The first
 * byte seeds the cuts of long inputs. */
#include "base/rng.h"
#include "fuzz.h"
#include "http/sse.h"

static void take(void *ud, const struct sse_event *ev)
{
    struct buf *b = ud;
    buf_put_json(b, ev->event);
    buf_put_json(b, ev->data);
    buf_put_json(b, ev->id);
    buf_printf(b, "%lld %zu %zu\n", (long long)ev->retry_ms, ev->event.n, ev->data.n);
    FUZZ_CHECK(ev->event.n > 0);
}

struct parse {
    struct sse s;
    struct buf out;
    int rc;
};
static void begin(struct parse *p)
{
    buf_init(&p->out, 1 << 24);
    sse_init(&p->s, take, &p->out);
    p->rc = 0;
}
static void feed(struct parse *p, const uint8_t *from, size_t n)
{
    if (p->rc == 0) p->rc = sse_feed(&p->s, str_make(from, n));
}
static void end(struct parse *p)
{
    sse_free(&p->s);
    buf_free(&p->out);
}

static void compare(const struct parse *whole, struct parse *p)
{
    FUZZ_CHECK(whole->rc == p->rc);
    FUZZ_SAME(buf_str(&whole->out), buf_str(&p->out));
    end(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct parse whole, p;
    struct rng r;
    if (n == 0) return 0;
    rng_seed(&r, str_make(data, 1));
    data++;
    n--;
    begin(&whole);
    feed(&whole, data, n);
    begin(&p);
    for (size_t i = 0; i < n; i++)
        feed(&p, data + i, 1);
    compare(&whole, &p);
    for (size_t i = 0; i < 200 && i <= n; i++) {
        size_t at = n <= 200 ? i : rng_below(&r, n + 1);
        begin(&p);
        feed(&p, data, at);
        feed(&p, data + at, n - at);
        compare(&whole, &p);
    }
    end(&whole);
    return 0;
}
