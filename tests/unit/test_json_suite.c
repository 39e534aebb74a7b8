/* The official JSON-Schema-Test-Suite (draft 2020-12; scripts/test-tools takes it from the source
 * package of PyPI's jsonschema) against our check. Groups that need a part that we do not support
 * are named here with the reason; everything else must agree. Usage: test_json_suite FOLDER */
#include "check.h"
#include "json/schema.h"
#include <stdio.h>
#include <stdlib.h>

/* file, group's description (NULL: the whole file), why it is left out */
static const struct {
    const char *file, *group, *why;
} left_out[] = {
    {"anchor.json", NULL, "$anchor"},
    {"dynamicRef.json", NULL, "$dynamicRef"},
    {"refRemote.json", NULL, "$ref to other documents"},
    {"unevaluatedItems.json", NULL, "unevaluatedItems"},
    {"unevaluatedProperties.json", NULL, "unevaluatedProperties"},
    {"vocabulary.json", NULL, "$vocabulary"},
    {"format.json", NULL, "format as a note only: here it is asserted"},
    {"defs.json", "validate definition against metaschema", "$ref to the metaschema"},
    {"not.json", "collect annotations inside a 'not', even if collection is disabled",
     "unevaluatedProperties"},
    {"ref.json", "remote ref, containing refs itself", "$id and $ref to other documents"},
    {"ref.json", "Recursive references between schemas", "$id and $ref to other documents"},
    {"ref.json", "refs with relative uris and defs", "$id and $ref to other documents"},
    {"ref.json", "relative refs with absolute uris and defs", "$id and $ref to other documents"},
    {"ref.json", "$id must be resolved against nearest parent, not just immediate parent",
     "$id and $ref to other documents"},
    {"ref.json", "order of evaluation: $id and $ref", "$id and $ref to other documents"},
    {"ref.json", "order of evaluation: $id and $anchor and $ref",
     "$id and $ref to other documents"},
    {"ref.json", "simple URN base URI with $ref via the URN", "$id and $ref to other documents"},
    {"ref.json", "URN base URI with URN and JSON pointer ref", "$id and $ref to other documents"},
    {"ref.json", "URN base URI with URN and anchor ref", "$id and $ref to other documents"},
    {"ref.json", "URN ref with nested pointer ref", "$id and $ref to other documents"},
    {"ref.json", "ref to if", "$id and $ref to other documents"},
    {"ref.json", "ref to then", "$id and $ref to other documents"},
    {"ref.json", "ref to else", "$id and $ref to other documents"},
    {"ref.json", "ref with absolute-path-reference", "$id and $ref to other documents"},
    {"ref.json", "ref creates new scope when adjacent to keywords", "unevaluatedProperties"},
    {"ecmascript-regex.json", "patterns always use unicode semantics with pattern", "\\p{...}"},
    {"ecmascript-regex.json", "pattern with non-ASCII digits", "\\p{...}"},
    {"ecmascript-regex.json", "patterns always use unicode semantics with patternProperties",
     "\\p{...}"},
    {"ecmascript-regex.json", "patternProperties with non-ASCII digits", "\\p{...}"},
    {"ecmascript-regex.json", "\\a is not an ECMA 262 control escape", "$ref to the metaschema"},
    {"unknownKeyword.json", "$id inside an unknown keyword is not a real identifier", "$id"},
};
static int run, groups, out, bad;

static bool is_left_out(const char *file, struct str group)
{
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (strcmp(file, left_out[i].file) == 0 &&
            (!left_out[i].group || str_eqz(group, left_out[i].group)))
            return true;
    return false;
}

static void wrong(const char *file, struct str group, const char *what, struct str test,
                  const char *text)
{
    printf("%s: %.*s: %.*s: %s %s\n", file, STR_ARG(group), STR_ARG(test), what, text);
    bad++;
}

static void one_group(const char *file, const struct json *g)
{
    struct buf text;
    struct arena a;
    struct schema s;
    struct err e = {0};
    struct str group = json_get_str(g, "description");
    const struct json *tests = json_get(g, "tests");
    if (is_left_out(file, group)) {
        out += (int)tests->n;
        return;
    }
    groups++;
    buf_init(&text, 1 << 20);
    json_write(json_get(g, "schema"), &text);
    arena_init(&a, 0);
    struct json_mem m = {.arena = &a};
    if (schema_compile(buf_str(&text), SCHEMA_LENIENT, &m, &s, &e)) {
        wrong(file, group, "the schema:", STR(""), e.text);
        goto done;
    }
    for (const struct json *t = tests->v.first; t; t = t->next) {
        struct schema_report r;
        bool valid = json_get(t, "valid")->v.b;
        schema_report_init(&r);
        int code = schema_check(&s, json_get(t, "data"), &r, &e);
        run++;
        if (code)
            wrong(file, group, "no answer:", json_get_str(t, "description"), e.text);
        else if (valid != (r.n == 0))
            wrong(file, group, valid ? "valid, but here" : "not valid, but here fits",
                  json_get_str(t, "description"), r.n ? r.first->message.p : "");
        schema_report_free(&r);
    }
done:
    arena_free(&a);
    buf_free(&text);
}

static void one_file(const char *folder, const char *file)
{
    char path[1024];
    struct err e = {0};
    struct arena a;
    struct json *all = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = fopen(path, "rb");
    CASE(file);
    CHECK(f != NULL);
    if (!f) return;
    char *text = malloc(1 << 20);
    size_t n = fread(text, 1, 1 << 20, f);
    fclose(f);
    arena_init(&a, 0);
    struct json_mem m = {.arena = &a};
    CHECK_INT(json_parse(str_make(text, n), &m, &all, &e), 0);
    const char *base = strrchr(file, '/');
    for (const struct json *g = all ? all->v.first : NULL; g; g = g->next)
        one_group(base ? base + 1 : file, g);
    arena_free(&a);
    free(text);
}

int main(int argc, char **argv)
{
    static const char *const files[] = {"additionalProperties",
                                        "allOf",
                                        "anchor",
                                        "anyOf",
                                        "boolean_schema",
                                        "const",
                                        "contains",
                                        "content",
                                        "default",
                                        "defs",
                                        "dependentRequired",
                                        "dependentSchemas",
                                        "dynamicRef",
                                        "enum",
                                        "exclusiveMaximum",
                                        "exclusiveMinimum",
                                        "format",
                                        "if-then-else",
                                        "infinite-loop-detection",
                                        "items",
                                        "maxContains",
                                        "maxItems",
                                        "maxLength",
                                        "maxProperties",
                                        "maximum",
                                        "minContains",
                                        "minItems",
                                        "minLength",
                                        "minProperties",
                                        "minimum",
                                        "multipleOf",
                                        "not",
                                        "oneOf",
                                        "pattern",
                                        "patternProperties",
                                        "prefixItems",
                                        "properties",
                                        "propertyNames",
                                        "ref",
                                        "refRemote",
                                        "required",
                                        "type",
                                        "unevaluatedItems",
                                        "unevaluatedProperties",
                                        "uniqueItems",
                                        "vocabulary",
                                        "optional/bignum",
                                        "optional/ecmascript-regex",
                                        "optional/float-overflow",
                                        "optional/no-schema",
                                        "optional/non-bmp-regex",
                                        "optional/unknownKeyword",
                                        "optional/format/date-time",
                                        "optional/format/date",
                                        "optional/format/email",
                                        "optional/format/hostname",
                                        "optional/format/ipv4",
                                        "optional/format/ipv6",
                                        "optional/format/time",
                                        "optional/format/unknown",
                                        "optional/format/uri",
                                        "optional/format/uuid"};
    if (argc < 2) return 2;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[100];
        snprintf(name, sizeof name, "%s.json", files[i]);
        one_file(argv[1], name);
    }
    printf("%d tests in %d groups of the suite, %d left out\n", run, groups, out);
    CHECK_INT(bad, 0);
    CHECK(run > 1000);
    return CHECK_DONE();
}
