/* Regular expressions of JSON Schema's `pattern`: the part of ECMA-262 (u flag) that is regular,
 * matched in time that grows with the text's length times the pattern's, whatever the pattern (a
 * set of threads walks the text once; no backtracking).
 *
 * Taken: characters, `.`, classes `[a-z]` `[^...]`, `\d \D \w \W \s \S`, `\t \n \v \f \r \0 \cX
 * \xHH \uHHHH \u{H...}`, escaped punctuation, groups `(...)` `(?:...)` `(?<name>...)`, `|`, `* + ?
 * {n} {n,} {n,m}` (also lazy: what matches is the same), `^ $ \b \B`. Refused, with the reason:
 * look-around, back-references, `\p{...}`. A search: `^` and `$` pin it to the text's ends. */
#ifndef ML_JSON_REGEX_H
#define ML_JSON_REGEX_H
#include "json/tree.h"

#define REGEX_INSNS_MAX 5000 /* instructions, with counted repetitions written out */
#define REGEX_RANGES_MAX 4000
#define REGEX_GROUPS_MAX 100 /* nested */

enum regex_op {
    REGEX_CHAR,     /* x: a code point */
    REGEX_ANY,      /* all but line ends */
    REGEX_SET,      /* one of ranges [x, x + y) */
    REGEX_NOT_SET,  /* none of them */
    REGEX_SPLIT,    /* go on at +x and at +y */
    REGEX_JUMP,     /* go on at +x */
    REGEX_OPEN_END, /* only while compiling: a jump to the end of the group */
    REGEX_BEGIN,
    REGEX_END,
    REGEX_WORD, /* \b */
    REGEX_NOT_WORD,
    REGEX_MATCH
};
struct regex_insn {
    int32_t op, x, y;
};
struct regex_range {
    uint32_t from, to;
};
struct regex {
    const struct regex_insn *insns;
    const struct regex_range *ranges;
    uint32_t n_insns, n_ranges;
};
/* The code point at *p, which moves behind it. Pattern and text are UTF-8 (who hands them in has
 * looked). */
static inline uint32_t regex_char(const char **at)
{
    const unsigned char *p = (const unsigned char *)*at;
    uint32_t v = *p;
    int more = v < 0x80 ? 0 : v < 0xE0 ? 1 : v < 0xF0 ? 2 : 3;
    if (more) v &= 0x3Fu >> more;
    for (int i = 1; i <= more; i++)
        v = v << 6 | (p[i] & 0x3F);
    *at += more + 1;
    return v;
}
/* Into `m`. ERR_ARG with what is wrong and where in the pattern, ERR_LIMIT, ERR_NOMEM. */
int regex_compile(struct str pattern, struct json_mem *m, const struct regex **out, struct err *e);
/* How many uint32_t of scratch a search needs. */
size_t regex_scratch(const struct regex *r);
/* 1 when the pattern occurs in the text, 0 when not. Steps are taken off *steps; ERR_LIMIT at 0. */
int regex_search(const struct regex *r, struct str text, uint32_t *scratch, uint64_t *steps);

#endif
