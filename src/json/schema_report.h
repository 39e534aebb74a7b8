/* How a check says what does not fit. Private to the json room. */
#ifndef ML_JSON_SCHEMA_REPORT_H
#define ML_JSON_SCHEMA_REPORT_H
#include "json/regex.h"
#include "json/schema_words.h"

/* Where the check stands in the value. */
struct spot {
    const struct spot *up;
    struct str key; /* absent: the index */
    size_t index;
};
struct checker {
    const struct schema *s;
    struct schema_report *report; /* NULL: only whether it fits is asked for */
    uint32_t *scratch;
    struct arena *arena;
    uint64_t steps;
    int depth, code; /* the first limit that was met */
    struct err *e;
};
/* Says that the value at `at` breaks the rule. Returns false. */
bool report_bad(struct checker *c, const struct spot *at, enum schema_word rule, const char *fmt,
                ...) __attribute__((format(printf, 4, 5)));
/* Appends a value as people should see it: JSON, cut at about 60 characters. */
void report_value(const struct json *v, struct buf *out);
/* Ends the check: the value is neither good nor bad. Returns false. */
bool report_limit(struct checker *c, int code, const char *what);

#endif
