/* Borrowed byte slices. A struct str never owns; {NULL, 0} is "absent", {"", 0} is empty. */
#ifndef ML_BASE_STR_H
#define ML_BASE_STR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
#define STR_FMT "%.*s"
#define STR_ARG(s) ((int)(s).n), ((s).p ? (s).p : "")

static inline struct str str_of(const char *z)
{
    return z ? (struct str){z, strlen(z)} : (struct str){NULL, 0};
}
static inline struct str str_make(const void *p, size_t n)
{
    return (struct str){(const char *)p, n};
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_eqz(struct str a, const char *z)
{
    return str_eq(a, str_of(z));
}
/* Byte order: <0, 0, >0. */
int str_cmp(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
/* Length of the valid UTF-8 prefix of s; equal to s.n when all of it is valid (no surrogates, no
 * overlong forms). */
size_t str_utf8_valid(struct str s);
/* An owned NUL-terminated copy (mem_free it), or NULL when out of memory. */
char *str_dup(struct str s);

#endif
