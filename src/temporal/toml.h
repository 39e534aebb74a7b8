/* TOML as far as the profiles of Temporal's tools need it (settings.h): tables, dotted and quoted
 * keys, strings in all four forms, booleans, inline tables. Numbers, dates and lists are passed
 * over: no setting is one. Lists of tables ([[x]]) are refused. Written after toml.io's v1.0.0. */
#ifndef ML_TEMPORAL_TOML_H
#define ML_TEMPORAL_TOML_H
#include "base/err.h"
#include "base/str.h"

#define TOML_KEYS 8 /* parts of a key, its table's included */

enum toml_type { TOML_TABLE, TOML_STRING, TOML_BOOL, TOML_OTHER };
/* A table's head ([a.b], or a = {) or one value in it. */
struct toml_item {
    const struct str *keys;
    size_t n_keys;
    enum toml_type type;
    struct str text; /* of a string, without escapes; NUL-terminated, holds no other NUL */
    bool yes;        /* of a boolean */
    int line;        /* where it stands, from 1 */
};
/* Anything but 0 ends the reading and is its outcome. What the item holds is gone afterwards. */
typedef int (*toml_fn)(void *ud, const struct toml_item *item, struct err *e);

/* ERR_ARG with "line N: " and what is wrong there, without any value of the text; ERR_NOMEM; what
 * fn returned. A key that stands there twice is wrong, as is text that is not UTF-8. */
int toml_read(struct str text, toml_fn fn, void *ud, struct err *e);

#endif
