/* The keywords: one table for definition and check. Private to the json room. */
#ifndef ML_JSON_SCHEMA_WORDS_H
#define ML_JSON_SCHEMA_WORDS_H
#include "json/schema.h"

/* What a keyword's value must be. */
enum word_kind {
    TAKES_ANY,
    TAKES_TEXT,
    TAKES_BOOL,
    TAKES_SCHEMA,
    TAKES_SCHEMAS,    /* a list of one or more */
    TAKES_SCHEMA_MAP, /* an object of schemas */
    TAKES_PATTERN_MAP,
    TAKES_COUNT, /* a whole number from 0 on */
    TAKES_NUMBER,
    TAKES_POSITIVE,
    TAKES_TEXTS,     /* a list of different texts */
    TAKES_TEXTS_MAP, /* an object of them */
    TAKES_LIST,
    TAKES_TYPE,
    TAKES_PATTERN,
    TAKES_FORMAT,
    TAKES_REF,
    TAKES_REFUSED /* known, and not supported: what it would mean is not checked */
};
/* X(name in C, keyword, what it takes) */
#define SCHEMA_WORDS(X)                                                                            \
    X(TYPE, "type", TAKES_TYPE)                                                                    \
    X(ENUM, "enum", TAKES_LIST)                                                                    \
    X(CONST, "const", TAKES_ANY)                                                                   \
    X(PROPERTIES, "properties", TAKES_SCHEMA_MAP)                                                  \
    X(PATTERN_PROPERTIES, "patternProperties", TAKES_PATTERN_MAP)                                  \
    X(ADDITIONAL, "additionalProperties", TAKES_SCHEMA)                                            \
    X(PROPERTY_NAMES, "propertyNames", TAKES_SCHEMA)                                               \
    X(REQUIRED, "required", TAKES_TEXTS)                                                           \
    X(DEPENDENT_REQUIRED, "dependentRequired", TAKES_TEXTS_MAP)                                    \
    X(DEPENDENT_SCHEMAS, "dependentSchemas", TAKES_SCHEMA_MAP)                                     \
    X(MIN_PROPERTIES, "minProperties", TAKES_COUNT)                                                \
    X(MAX_PROPERTIES, "maxProperties", TAKES_COUNT)                                                \
    X(ITEMS, "items", TAKES_SCHEMA)                                                                \
    X(PREFIX_ITEMS, "prefixItems", TAKES_SCHEMAS)                                                  \
    X(CONTAINS, "contains", TAKES_SCHEMA)                                                          \
    X(MIN_CONTAINS, "minContains", TAKES_COUNT)                                                    \
    X(MAX_CONTAINS, "maxContains", TAKES_COUNT)                                                    \
    X(MIN_ITEMS, "minItems", TAKES_COUNT)                                                          \
    X(MAX_ITEMS, "maxItems", TAKES_COUNT)                                                          \
    X(UNIQUE_ITEMS, "uniqueItems", TAKES_BOOL)                                                     \
    X(MIN_LENGTH, "minLength", TAKES_COUNT)                                                        \
    X(MAX_LENGTH, "maxLength", TAKES_COUNT)                                                        \
    X(PATTERN, "pattern", TAKES_PATTERN)                                                           \
    X(FORMAT, "format", TAKES_FORMAT)                                                              \
    X(MINIMUM, "minimum", TAKES_NUMBER)                                                            \
    X(MAXIMUM, "maximum", TAKES_NUMBER)                                                            \
    X(EXCLUSIVE_MINIMUM, "exclusiveMinimum", TAKES_NUMBER)                                         \
    X(EXCLUSIVE_MAXIMUM, "exclusiveMaximum", TAKES_NUMBER)                                         \
    X(MULTIPLE_OF, "multipleOf", TAKES_POSITIVE)                                                   \
    X(ALL_OF, "allOf", TAKES_SCHEMAS)                                                              \
    X(ANY_OF, "anyOf", TAKES_SCHEMAS)                                                              \
    X(ONE_OF, "oneOf", TAKES_SCHEMAS)                                                              \
    X(NOT, "not", TAKES_SCHEMA)                                                                    \
    X(IF, "if", TAKES_SCHEMA)                                                                      \
    X(THEN, "then", TAKES_SCHEMA)                                                                  \
    X(ELSE, "else", TAKES_SCHEMA)                                                                  \
    X(REF, "$ref", TAKES_REF)                                                                      \
    X(DEFS, "$defs", TAKES_SCHEMA_MAP)                                                             \
    X(DEFINITIONS, "definitions", TAKES_SCHEMA_MAP)                                                \
    X(SCHEMA, "$schema", TAKES_TEXT)                                                               \
    X(ID, "$id", TAKES_TEXT)                                                                       \
    X(COMMENT, "$comment", TAKES_TEXT)                                                             \
    X(TITLE, "title", TAKES_TEXT)                                                                  \
    X(DESCRIPTION, "description", TAKES_TEXT)                                                      \
    X(DEFAULT, "default", TAKES_ANY)                                                               \
    X(EXAMPLES, "examples", TAKES_LIST)                                                            \
    X(DEPRECATED, "deprecated", TAKES_BOOL)                                                        \
    X(READ_ONLY, "readOnly", TAKES_BOOL)                                                           \
    X(WRITE_ONLY, "writeOnly", TAKES_BOOL)                                                         \
    X(CONTENT_ENCODING, "contentEncoding", TAKES_TEXT)                                             \
    X(CONTENT_TYPE, "contentMediaType", TAKES_TEXT)                                                \
    X(CONTENT_SCHEMA, "contentSchema", TAKES_ANY)                                                  \
    X(UNEVALUATED_ITEMS, "unevaluatedItems", TAKES_REFUSED)                                        \
    X(UNEVALUATED_PROPERTIES, "unevaluatedProperties", TAKES_REFUSED)                              \
    X(DYNAMIC_REF, "$dynamicRef", TAKES_REFUSED)                                                   \
    X(DYNAMIC_ANCHOR, "$dynamicAnchor", TAKES_REFUSED)                                             \
    X(ANCHOR, "$anchor", TAKES_REFUSED)                                                            \
    X(VOCABULARY, "$vocabulary", TAKES_REFUSED)                                                    \
    X(ADDITIONAL_ITEMS, "additionalItems", TAKES_REFUSED)                                          \
    X(DEPENDENCIES, "dependencies", TAKES_REFUSED)

enum schema_word {
    WORD_NONE,
#define SCHEMA_WORD_ENUM(id, name, takes) WORD_##id,
    SCHEMA_WORDS(SCHEMA_WORD_ENUM)
#undef SCHEMA_WORD_ENUM
        WORD_COUNT
};
/* Bits of `type`, in aux of the member. */
enum {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_NUMBER = 8,
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64
};
#define NODE_IS_SCHEMA 1 /* flags of a node that was looked at as a schema */

enum schema_word schema_word_find(struct str name);
const char *schema_word_name(enum schema_word w);
enum word_kind schema_word_takes(enum schema_word w);
/* The keyword that a wrong one was probably meant to be, or NULL. */
const char *schema_word_near(struct str name);
/* 0 when it is no type. */
unsigned schema_type_find(struct str name);
const char *schema_type_name(unsigned bit);
/* A schema's member with this keyword, or NULL. */
const struct json *schema_word_of(const struct json *schema, enum schema_word w);

#endif
