/* The bytes of JSON: strings, numbers and blanks, for the codec of values (with a Lua state) and
 * for trees and the canonical form (without one). Keeps true: what is written
 * here is the only canonical spelling. */
#ifndef ML_JSON_TEXT_H
#define ML_JSON_TEXT_H
#include "base/buf.h"

/* Where a reader stands. Errors name the byte offset. */
struct json_in {
    const char *p, *end, *begin;
    struct err *e;
};
struct json_number {
    bool is_int;
    int64_t i;
    double d;
};
int json_text_fail(struct json_in *in, const char *what); /* ERR_PROTO "... at byte N" */
void json_blanks(struct json_in *in);
/* At '"': the raw text between the quotes, checked (UTF-8, escapes, no control bytes), and the
 * length it decodes to. */
int json_scan_string(struct json_in *in, struct str *raw, size_t *decoded);
/* Decodes checked raw text; `out` has room for the length that json_scan_string told. */
void json_unescape(struct str raw, char *out);
int json_scan_number(struct json_in *in, struct json_number *out);
/* At a letter: 0 for null, 1 for false, 2 for true, or a negative code. */
int json_scan_word(struct json_in *in);

void json_put_string(struct buf *out, struct str s); /* s is valid UTF-8 */
void json_put_double(struct buf *out,
                     double d); /* finite; shortest text that reads back the same, with ".0" */
/* Sorts byte strings ascending in place. */
void json_sort_keys(struct str *keys, size_t n);

#endif
