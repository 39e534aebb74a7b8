/* JSON texts as trees in memory, without a Lua state: what schemas are made of and check, and what
 * tokens and settings are read as. Keeps true: a key occurs once in an object (a text where it
 * occurs twice is refused: two readers would see two values, RFC 7493 2.3), nesting is bounded. */
#ifndef ML_JSON_TREE_H
#define ML_JSON_TREE_H
#include "base/buf.h"
#include "base/mem.h"

#define JSON_DEPTH_MAX 100

enum json_kind {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,
    JSON_DOUBLE,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};
struct json {
    uint8_t kind;
    uint8_t flags;  /* of who walks the tree (schemas) */
    uint16_t word;  /* the same: the keyword that this member is */
    uint32_t n;     /* elements or members */
    struct str key; /* of a member; absent in an array and at the root */
    union {
        bool b;
        int64_t i;
        double d;
        struct str s;
        struct json *first; /* of the elements or members, in the text's order */
    } v;
    struct json **sorted; /* members by key, when there are many */
    struct json *next;
    const void *aux; /* of who walks the tree */
};

/* Where trees and schemas are put: an arena, or a block of known size. `used` says how large a
 * block would have been enough. */
struct json_mem {
    struct arena *arena; /* NULL: the block */
    char *block;
    size_t size, used;
    bool failed; /* the block was too small, or the arena is out of memory */
};
void *json_mem_take(struct json_mem *m, size_t n); /* zeroed, 8-byte aligned, or NULL (sticky) */

/* Reads a whole text. Texts of the tree are slices of `text` where they have no escapes, so `text`
 * must outlive the tree. ERR_PROTO (with the byte), ERR_LIMIT (depth), ERR_NOMEM. */
int json_parse(struct str text, struct json_mem *m, struct json **out, struct err *e);

/* A member by its key, or NULL (also when v is no object). */
struct json *json_find(const struct json *v, struct str key);
static inline struct json *json_get(const struct json *v, const char *key)
{
    return json_find(v, str_of(key));
}
/* A member that is a string; absent otherwise. */
struct str json_get_str(const struct json *v, const char *key);
bool json_is_number(const struct json *v);
double json_double(const struct json *v); /* of a number */
/* As JSON Schema compares: 1 and 1.0 are equal, members have no order. Each compared value counts
 * one step off *steps; at 0 the answer is false. */
bool json_equal(const struct json *a, const struct json *b, uint64_t *steps);
/* Compares two numbers exactly: <0, 0, >0. */
int json_compare(const struct json *a, const struct json *b);
/* Appends the tree as JSON text, members in the tree's order. */
void json_write(const struct json *v, struct buf *out);

#endif
