/* JSON Schema 2020-12, the part that tool schemas use (lua/README.md has the list): definition,
 * check, report, and the shorthand of ml.schema. Pure: no Lua, no I/O, no clock; usable in a run
 * (an agent there checks structured output) as in a handler. Every check is bounded in steps, in
 * depth (recursive $ref) and in the number of errors. */
#ifndef ML_JSON_SCHEMA_H
#define ML_JSON_SCHEMA_H
#include "json/tree.h"

#define SCHEMA_DIALECT "https://json-schema.org/draft/2020-12/schema"
#define SCHEMA_BYTES_MAX (1u << 20)     /* of a schema's text */
#define SCHEMA_STEPS_MAX 20000000       /* of one check: values visited, characters matched */
#define SCHEMA_DEPTH_MAX 300            /* schemas within schemas, $ref followed */
#define SCHEMA_ERRORS_MAX 20            /* in one report */
#define SCHEMA_INSTANCE_MAX (32u << 20) /* bytes of a checked text */

enum schema_mode {
    SCHEMA_STRICT, /* our user's own: an unknown keyword or format is an error (it would be a typo)
                    */
    SCHEMA_LENIENT /* from elsewhere (an MCP server's tool): what is not known is left out */
};
struct schema {
    struct json *root;
    struct str text; /* the schema as it is published */
    size_t regex_scratch;
};
/* Reads and checks a schema's text (that of JSON Schema) into `m`; the text is copied there too.
 * ERR_ARG "schema at #/properties/a: ...", ERR_PROTO (no JSON), ERR_LIMIT, ERR_NOMEM. Reading the
 * same text again takes the same m->used, so a block of that size is enough. */
int schema_compile(struct str text, enum schema_mode mode, struct json_mem *m, struct schema *out,
                   struct err *e);

/* What does not fit: `pointer` is a JSON pointer into the value ("/items/0/name"), `rule` the
 * keyword ("maxLength"), `message` for people and models. */
struct schema_error {
    struct str pointer, rule, message;
    struct schema_error *next;
};
struct schema_report {
    struct arena arena; /* holds the errors */
    struct schema_error *first, **tail;
    size_t n;       /* of errors; 0: the value fits */
    uint64_t steps; /* that the check took */
    bool more;      /* there were more than SCHEMA_ERRORS_MAX */
};
void schema_report_init(struct schema_report *r);
void schema_report_free(struct schema_report *r);
/* Checks a tree, or a JSON text. 0 and the report says whether it fits. A text that is no JSON is
 * an error of the report with the rule "json". ERR_LIMIT (steps, depth), ERR_NOMEM: nothing is said
 * about the value. */
int schema_check(const struct schema *s, const struct json *value, struct schema_report *r,
                 struct err *e);
int schema_check_text(const struct schema *s, struct str json, struct schema_report *r,
                      struct err *e);
/* Appends the errors as JSON: [{"message":...,"pointer":...,"rule":...}]. */
void schema_report_json(const struct schema_report *r, struct buf *out);
/* Adds one (a caller that checks more than the schema says). */
int schema_report_add(struct schema_report *r, struct str pointer, const char *rule,
                      const char *message);

/* The shorthand (JSON text of what ml.schema was given) to a schema's text. An object whose one
 * member is SCHEMA_SHORT_RAW holds a schema's text as a string: it is taken as it is. ERR_ARG
 * "caption: 'strng<=280': unknown type", ERR_PROTO, ERR_LIMIT, ERR_NOMEM. */
#define SCHEMA_SHORT_RAW "\x01schema"
int schema_from_short(struct str json, struct buf *out, struct err *e);

#endif
