/* The growable buffer. An append happens whole or not at all, the first error stays, and the
 * content is NUL-terminated behind its n bytes (the NUL counts towards neither n nor max). */
#include "base/buf.h"

#include "base/mem.h"

#include <stdio.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
    mem_free(b->p);
    buf_init(b, b->max);
}

void buf_reset(struct buf *b)
{
    b->n = 0;
    b->code = 0;
    if (b->p) b->p[0] = '\0';
}

/* Makes room for n more bytes and the NUL. */
static int reserve(struct buf *b, size_t n)
{
    if (b->code) return b->code;
    if (n > b->max || b->n > b->max - n) return b->code = ERR_LIMIT;
    size_t need = b->n + n + 1;
    if (need <= b->cap) return 0;
    size_t cap = b->cap < 64 ? need <= 64 ? 64 : 256 : b->cap * 2;
    if (cap < need) cap = need;
    if (cap > b->max && b->max < SIZE_MAX) cap = b->max + 1;
    char *p = mem_realloc(b->p, cap);
    if (!p) return b->code = ERR_NOMEM;
    b->p = p;
    b->cap = cap;
    return 0;
}

int buf_put(struct buf *b, const void *p, size_t n)
{
    int rc = reserve(b, n);
    if (rc) return rc;
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
    return 0;
}

int buf_puts(struct buf *b, const char *z)
{
    return buf_put(b, z, strlen(z));
}

int buf_putstr(struct buf *b, struct str s)
{
    return buf_put(b, s.p, s.n);
}

int buf_putc(struct buf *b, char c)
{
    if (!b->code && b->n + 1 < b->cap && b->n < b->max) {
        b->p[b->n++] = c;
        b->p[b->n] = '\0';
        return 0;
    }
    return buf_put(b, &c, 1);
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    char small[200]; /* most fit: formatted once */
    if (b->code) return b->code;
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    int rc = n < 0                      ? (b->code = ERR_LIMIT)
             : (size_t)n < sizeof small ? buf_put(b, small, (size_t)n)
                                        : reserve(b, (size_t)n);
    if (!rc && (size_t)n >= sizeof small) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    return rc;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return rc;
}

char *buf_take(struct buf *b, size_t *n)
{
    char *p = b->p;
    if (!p) {
        p = mem_alloc(1);
        if (!p) return NULL;
        p[0] = '\0';
    }
    if (n) *n = b->n;
    b->p = NULL;
    b->n = b->cap = 0;
    return p;
}
