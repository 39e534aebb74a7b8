/* A strict reader of JSON text that is pulled, value by value; no tree is built. Nesting is
 * limited, strings must be valid UTF-8 without lone surrogates, and nothing is accepted that the
 * grammar does not have. Errors stick. */
#ifndef ML_HISTORY_JSON_SCAN_H
#define ML_HISTORY_JSON_SCAN_H
#include "base/err.h"
#include "base/mem.h"

#define JSON_DEPTH_MAX 400 /* arrays and objects; a record of REC_DEPTH_MAX messages has fewer */

struct json {
    const char *p, *end, *start;
    struct arena *arena; /* for strings with escapes */
    struct err *err;
    int depth;
    int code; /* the first error */
};

void json_init(struct json *j, struct arena *a, struct str text, struct err *e);
/* Sets an error with the place in the text, unless there is one; returns the code that stands. */
int json_fail(struct json *j, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The first character of the next value ('"', '{', '[', 't', 'f', 'n', '-' or a digit), 0 at the
 * end or after an error. */
char json_peek(struct json *j);
/* A slice of the text, or of the arena when it had escapes (*copied). */
int json_string(struct json *j, struct str *out, bool *copied);
int json_number(struct json *j, struct str *out); /* the raw text */
int json_word(struct json *j, const char *word);  /* "null", "true", "false" */
int json_enter(struct json *j, char open);        /* '{' or '[' */
/* Whether there is a further member, whose key is given and whose value comes next; leaves the
 * object at its end. */
bool json_member(struct json *j, bool *first, struct str *key);
bool json_element(struct json *j, bool *first);
int json_skip(struct json *j); /* any one value */
int json_end(struct json *j);  /* nothing but space may follow */

#endif
