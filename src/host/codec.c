/* A program's own codec (moonloop.h) as the room temporal wants it. */
#include "temporal/codec.h"
#include "host/host_internal.h"
#include <stdio.h>

static void put(void *to, const void *p, size_t n)
{
    buf_put(to, p, n);
}

static int through(int (*fn)(void *, const void *, size_t, ml_put_fn, void *), void *ud,
                   const char *what, struct str in, struct buf *out, struct err *e)
{
    struct buf own; /* the reason of a refusal must not end up in a message */
    buf_init(&own, out->max);
    int rc = 0;
    if (fn(ud, in.p, in.n, put, &own)) {
        struct str why = buf_str(&own);
        if (why.n > 500) why.n = 500;
        rc = err_set(e, ERR_FAILED, "the codec could not %s a payload: " STR_FMT, what,
                     STR_ARG(why));
    } else if (own.code) {
        rc = err_set(e, own.code, "what the codec made of a payload is too large");
    } else if (buf_putstr(out, buf_str(&own))) {
        rc = err_set(e, out->code, "out of memory for a payload");
    }
    buf_free(&own);
    return rc;
}

static int encode(void *ud, struct str in, struct buf *out, struct err *e)
{
    const ml_codec *c = ud;
    return through(c->encode, c->ud, "encode", in, out, e);
}

static int decode(void *ud, struct str in, struct buf *out, struct err *e)
{
    const ml_codec *c = ud;
    return through(c->decode, c->ud, "decode", in, out, e);
}

const struct codec *host_codec(ml_host *h, const ml_codec *given, struct codec *out)
{
    if (!given) return NULL;
    h->codec = *given;
    *out = (struct codec){encode, decode, &h->codec, given->plain_failures != 0};
    return out;
}
