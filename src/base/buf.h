/* A growable byte buffer with a mandatory maximum. A failed append is sticky: `code` keeps the
 * first error, later appends do nothing, so a writer checks once at the end. Content is always
 * NUL-terminated when p != NULL. */
#ifndef ML_BASE_BUF_H
#define ML_BASE_BUF_H
#include "base/err.h"
#include "base/str.h"
#include <stdarg.h>

struct buf {
    char *p;
    size_t n, cap, max;
    int code; /* 0, ERR_NOMEM or ERR_LIMIT */
};
void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);  /* leaves it initialised and empty */
void buf_reset(struct buf *b); /* keeps the memory, clears content and error */
int buf_put(struct buf *b, const void *p, size_t n);
int buf_puts(struct buf *b, const char *z);
int buf_putstr(struct buf *b, struct str s);
int buf_putc(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *fmt, va_list ap);
int buf_put_json(struct buf *b,
                 struct str s); /* as a quoted JSON string; invalid UTF-8 becomes U+FFFD */
int buf_put_base64(struct buf *b, struct str s); /* standard alphabet, padded */
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p ? b->p : "", b->n};
}
char *buf_take(struct buf *b, size_t *n); /* the owned content (never NULL unless out of memory); b
                                             is empty after, `code` stays until buf_reset */

int base64_decode(struct str in,
                  struct buf *out); /* accepts missing padding; ERR_PROTO on other junk */
int base64_decode_to(
    struct str in, char *out,
    size_t *n); /* the same into in.n / 4 * 3 + 3 bytes; may be written on failure */
void hex_encode(const void *p, size_t n, char *out /* 2n+1 */);
int hex_decode(struct str in, void *out, size_t n); /* exactly n bytes */

#endif
