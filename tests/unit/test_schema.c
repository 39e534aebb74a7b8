/* Schemas: the shorthand, definition errors, what a check says, its bounds; patterns and formats
 * beyond what the official suite (test_json_suite) asks. */
#include "check.h"
#include "json/regex.h"
#include "json/schema.h"
#include <time.h>

static void shorthand(void)
{
    static const struct {
        const char *in, *out;
    } good[] = {
        {"\"string\"", "{\"type\":\"string\"}"},
        {"\"string<=280\"", "{\"maxLength\":280,\"type\":\"string\"}"},
        {"\"string >= 1 <= 5\"", "{\"maxLength\":5,\"minLength\":1,\"type\":\"string\"}"},
        {"\"string=3\"", "{\"maxLength\":3,\"minLength\":3,\"type\":\"string\"}"},
        {"\"integer>=1\"", "{\"minimum\":1,\"type\":\"integer\"}"},
        {"\"number>0<=1.5\"", "{\"exclusiveMinimum\":0,\"maximum\":1.5,\"type\":\"number\"}"},
        {"\"number>=-3\"", "{\"minimum\":-3,\"type\":\"number\"}"},
        {"\"boolean\"", "{\"type\":\"boolean\"}"},
        {"\"any\"", "{}"},
        {"\"any -- what you like\"", "{\"description\":\"what you like\"}"},
        {"\"object\"", "{\"type\":\"object\"}"},
        {"\"datetime\"", "{\"format\":\"date-time\",\"type\":\"string\"}"},
        {"\"date\"", "{\"format\":\"date\",\"type\":\"string\"}"},
        {"\"time\"", "{\"format\":\"time\",\"type\":\"string\"}"},
        {"\"email\"", "{\"format\":\"email\",\"type\":\"string\"}"},
        {"\"uuid\"", "{\"format\":\"uuid\",\"type\":\"string\"}"},
        {"\"url\"", "{\"format\":\"uri\",\"pattern\":\"^[Hh][Tt][Tt][Pp][Ss]?://\",\"type\":"
                    "\"string\"}"},
        {"\"string<=5[]<=3\"", "{\"items\":{\"maxLength\":5,\"type\":\"string\"},\"maxItems\":3,"
                               "\"type\":\"array\"}"},
        {"\"integer[][]\"", "{\"items\":{\"items\":{\"type\":\"integer\"},\"type\":\"array\"},"
                            "\"type\":\"array\"}"},
        {"\"string|null\"", "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}"},
        {"\"string -- its name\"", "{\"description\":\"its name\",\"type\":\"string\"}"},
        {"[\"x\",\"linkedin\"]", "{\"enum\":[\"x\",\"linkedin\"],\"type\":\"string\"}"},
        {"[1,2]", "{\"enum\":[1,2],\"type\":\"integer\"}"},
        {"[\"a\",null]", "{\"enum\":[\"a\",null]}"},
        {"[{\"sku\":\"string\"}]",
         "{\"items\":{\"additionalProperties\":false,\"properties\":{\"sku\":{\"type\":\"string\"}}"
         ",\"required\":[\"sku\"],\"type\":\"object\"},\"type\":\"array\"}"},
        {"{}", "{\"additionalProperties\":false,\"properties\":{},\"type\":\"object\"}"},
        {"{\"a\":\"string\",\"b\":\"string?\",\"c?\":[\"x\"],\"d\":\"date? -- when\"}",
         "{\"additionalProperties\":false,\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{"
         "\"type\":\"string\"},\"c\":{\"enum\":[\"x\"],\"type\":\"string\"},\"d\":{\"description\":"
         "\"when\",\"format\":\"date\",\"type\":\"string\"}},\"required\":[\"a\"],\"type\":"
         "\"object\"}"},
        {"{\"a\":{\"\\u0001schema\":\"{\\\"type\\\":\\\"null\\\"}\"}}",
         "{\"additionalProperties\":false,\"properties\":{\"a\":{\"type\":\"null\"}},\"required\":["
         "\"a\"],\"type\":\"object\"}"},
    };
    static const struct {
        const char *in, *says;
    } bad[] = {
        {"{\"caption\":\"strng<=280\"}", "caption: unknown type \"strng\"; there are string"},
        {"{\"a\":{\"b\":\"string<=x\"}}", "a.b: a number must follow"},
        {"{\"a\":\"string<5\"}", "a: a length is bounded by <=, >= or ="},
        {"{\"a\":\"string<=1.5\"}", "a: a length is a whole number"},
        {"{\"a\":\"boolean>=1\"}", "a: boolean has no bounds"},
        {"{\"a\":\"string<=1<=2\"}", "a: says the same bound twice"},
        {"{\"a\":\"string foo\"}", "a: \"foo\" is not understood"},
        {"{\"a\":\"\"}", "a: unknown type \"\""},
        {"{\"a\":\"string|\"}", "a: unknown type \"\""},
        {"{\"a\":5}", "a: must be a type as a text"},
        {"{\"a\":[]}", "a: an empty list"},
        {"{\"a\":[\"x\",{}]}", "a: a list is either values"},
        {"{\"a\":\"string[][][][][]\"}", "a: lists within lists"},
        {"{\"a?\":\"string\",\"a\":\"string\"}", "a: is there twice"},
        {"true", "must be a type as a text"},
    };
    struct err e;
    struct buf out;
    buf_init(&out, 1 << 16);
    CASE("the shorthand gives these schemas, and each can be defined");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct arena a;
        struct schema s;
        arena_init(&a, 0);
        struct json_mem m = {.arena = &a};
        buf_reset(&out);
        e.text[0] = 0;
        if (schema_from_short(str_of(good[i].in), &out, &e)) CHECK_STR(e.text, good[i].in);
        CHECK_STR(out.p, good[i].out);
        CHECK_INT(schema_compile(buf_str(&out), SCHEMA_STRICT, &m, &s, &e), 0);
        arena_free(&a);
    }
    CASE("what is wrong in it is told with the place");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf_reset(&out);
        CHECK_INT(schema_from_short(str_of(bad[i].in), &out, &e), ERR_ARG);
        if (!strstr(e.text, bad[i].says)) CHECK_STR(e.text, bad[i].says);
    }
    CASE("a message of a chat");
    buf_reset(&out);
    CHECK_INT(schema_from_short(STR("\"message[]\""), &out, &e), 0);
    CHECK(strstr(out.p, "\"assistant\"") != NULL);
    buf_free(&out);
}

static void definitions(void)
{
    static const struct {
        const char *in, *says;
        int code;
    } bad[] = {
        {"{\"maxlength\":3}",
         "schema at #: unknown keyword \"maxlength\" (did you mean \"maxLength\"?)", ERR_ARG},
        {"{\"properties\":{\"a\":{\"wibble\":3}}}", "schema at #/properties/a: unknown keyword",
         ERR_ARG},
        {"{\"type\":\"strin\"}", "schema at #/type: must be string", ERR_ARG},
        {"{\"type\":[]}", "schema at #/type: must be", ERR_ARG},
        {"{\"maxLength\":-1}", "schema at #/maxLength: must be a whole number", ERR_ARG},
        {"{\"multipleOf\":0}", "must be above 0", ERR_ARG},
        {"{\"minimum\":\"1\"}", "must be a number", ERR_ARG},
        {"{\"required\":[\"a\",\"a\"]}", "names \"a\" twice", ERR_ARG},
        {"{\"required\":true}", "must be a list of texts", ERR_ARG},
        {"{\"anyOf\":[]}", "must be a list of one or more schemas", ERR_ARG},
        {"{\"anyOf\":[3]}", "schema at #/anyOf/0: must be a schema", ERR_ARG},
        {"{\"items\":[{}]}", "prefixItems", ERR_ARG},
        {"{\"format\":\"datetime\"}", "unknown format \"datetime\"; known: date-time", ERR_ARG},
        {"{\"pattern\":\"(a\"}", "schema at #/pattern: pattern: ')' missing", ERR_ARG},
        {"{\"pattern\":\"(?=a)\"}", "look-around, which is not supported", ERR_ARG},
        {"{\"patternProperties\":{\"[\":true}}", "']' missing", ERR_ARG},
        {"{\"$ref\":\"#/$defs/nope\"}", "leads nowhere", ERR_ARG},
        {"{\"$ref\":\"https://example.com/s\"}", "leads nowhere", ERR_ARG},
        {"{\"unevaluatedProperties\":false}", "is not supported", ERR_ARG},
        {"[]", "must be a schema", ERR_ARG},
        {"{", "schema: JSON:", ERR_PROTO},
    };
    struct err e;
    struct schema s;
    CASE("a definition that is wrong is refused, with its place");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct arena a;
        arena_init(&a, 0);
        struct json_mem m = {.arena = &a};
        CHECK_INT(schema_compile(str_of(bad[i].in), SCHEMA_STRICT, &m, &s, &e), bad[i].code);
        if (!strstr(e.text, bad[i].says)) CHECK_STR(e.text, bad[i].says);
        arena_free(&a);
    }
    CASE("notes are taken, also of one's own; a lenient definition takes what is unknown");
    static const char *const fine[] = {
        "{\"title\":\"t\",\"description\":\"d\",\"default\":1,\"examples\":[1],\"deprecated\":true,"
        "\"$comment\":\"c\",\"$schema\":\"x\",\"$id\":\"y\",\"x-order\":1,\"readOnly\":true}",
        "{\"wibble\":1,\"format\":\"color\",\"pattern\":\"(?=a)\",\"unevaluatedItems\":false}"};
    for (int i = 0; i < 2; i++) {
        struct arena a;
        arena_init(&a, 0);
        struct json_mem m = {.arena = &a};
        CHECK_INT(schema_compile(str_of(fine[i]), i ? SCHEMA_LENIENT : SCHEMA_STRICT, &m, &s, &e),
                  0);
        arena_free(&a);
    }
}

/* The errors of a value as JSON, or "[]" */
static int errors_of(const char *schema, const char *value, struct buf *out)
{
    struct arena a;
    struct schema s;
    struct schema_report r;
    struct err e = {0};
    arena_init(&a, 0);
    struct json_mem m = {.arena = &a};
    if (schema_compile(str_of(schema), SCHEMA_STRICT, &m, &s, &e)) CHECK_STR(e.text, "");
    schema_report_init(&r);
    int code = schema_check_text(&s, str_of(value), &r, &e);
    buf_reset(out);
    if (code)
        buf_puts(out, e.text);
    else
        schema_report_json(&r, out);
    schema_report_free(&r);
    arena_free(&a);
    return code;
}

static void says(void)
{
    static const char post[] =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"platform\","
        "\"caption\"],"
        "\"properties\":{\"platform\":{\"enum\":[\"x\",\"linkedin\"]},\"caption\":{\"type\":"
        "\"string\",\"maxLength\":5},\"at\":{\"type\":\"string\",\"format\":\"date-time\"},"
        "\"tags\":"
        "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"},"
        "\"uniqueItems\":true},\"n\":{\"type\":[\"integer\",\"null\"],\"minimum\":1}}}";
#define E(pointer, rule, message)                                                                  \
    "{\"message\":\"" message "\",\"pointer\":\"" pointer "\",\"rule\":\"" rule "\"}"
    static const struct {
        const char *schema, *value, *errors;
    } cases[] = {
        {post, "{\"platform\":\"x\",\"caption\":\"h\xc3\xa9llo\",\"n\":2.0}", "[]"},
        {post, "[]", "[" E("", "type", "must be object, is array") "]"},
        {post, "{\"platform\":\"fb\"}",
         "[" E("/caption", "required", "is missing") "," E(
             "/platform", "enum", "must be one of \\\"x\\\", \\\"linkedin\\\"") "]"},
        {post, "{\"platform\":\"x\",\"caption\":\"h\xc3\xa9lloo\",\"cap\":1}",
         "[" E("/cap", "additionalProperties",
               "is not known here; known: platform, caption, at, tags, n") "," E("/caption",
                                                                                 "maxLength",
                                                                                 "must have at "
                                                                                 "most 5 "
                                                                                 "characters, "
                                                                                 "has 6") "]"},
        {post,
         "{\"platform\":\"x\",\"caption\":\"\",\"at\":\"tomorrow\",\"tags\":[\"a\",\"B\",\"a\"]"
         ","
         "\"n\":1.5}",
         "[" E("/at", "format", "must be in the format date-time (2026-07-01T09:30:00Z)") "," E(
             "/tags/1", "pattern",
             "must match the pattern ^[a-z]+$") "," E("/tags", "uniqueItems",
                                                      "elements 0 and 2 are the "
                                                      "same") "," E("/n", "type",
                                                                    "must be "
                                                                    "integer or "
                                                                    "null, is "
                                                                    "number") "]"},
        {"{\"properties\":{\"a/b~c\":{\"type\":\"null\"}}}", "{\"a/b~c\":1}",
         "[" E("/a~1b~0c", "type", "must be null, is number") "]"},
        {"{\"anyOf\":[{\"type\":\"string\"},{\"properties\":{\"k\":{\"const\":\"v\"}},\"type\":"
         "\"object\"}]}",
         "{\"k\":1}",
         "[" E(
             "", "anyOf",
             "fits none of 2 forms: (1) must be string, is object, (2) /k must be \\\"v\\\"") "]"},
        {"{\"oneOf\":[{\"minimum\":1},{\"maximum\":5}]}", "3",
         "[" E("", "oneOf", "fits forms 1 and 2, must fit exactly one") "]"},
        {"{\"if\":{\"properties\":{\"t\":{\"const\":1}}},\"then\":{\"required\":[\"u\"]},"
         "\"else\":"
         "{\"required\":[\"v\"]}}",
         "{\"t\":2}", "[" E("/v", "required", "is missing") "]"},
        {"{\"$defs\":{\"node\":{\"properties\":{\"next\":{\"$ref\":\"#/$defs/node\"}},"
         "\"additionalProperties\":false}},\"$ref\":\"#/$defs/node\"}",
         "{\"next\":{\"next\":{\"nxt\":1}}}",
         "[" E("/next/next/nxt", "additionalProperties", "is not known here; known: next") "]"},
        {"{\"not\":{\"type\":\"null\"}}", "null",
         "[" E("", "not", "has a form that is not allowed") "]"},
        {"{\"minimum\":9007199254740993}", "9007199254740992",
         "[" E("", "minimum", "must be at least 9007199254740993") "]"},
        {"{}", "{\"a\":1,\"a\":2}",
         "[" E("", "json", "JSON: the key \\\"a\\\" occurs twice in one object") "]"},
        {"{}", "nope", "[" E("", "json", "JSON: an unexpected character at byte 0") "]"},
    };
    struct buf out;
    buf_init(&out, 1 << 16);
    CASE("errors name the place, the rule and what would be right");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_INT(errors_of(cases[i].schema, cases[i].value, &out), 0);
        CHECK_STR(out.p, cases[i].errors);
    }
    CASE("errors are counted up to a bound");
    char value[1000] = "[";
    for (int i = 0; i < 100; i++)
        strcat(value, i ? ",1" : "1");
    strcat(value, "]");
    CHECK_INT(errors_of("{\"items\":{\"type\":\"string\"}}", value, &out), 0);
    int n = 0;
    for (const char *p = out.p; (p = strstr(p, "pointer")); p++)
        n++;
    CHECK_INT(n, SCHEMA_ERRORS_MAX);
    buf_free(&out);
}

static void bounded(void)
{
    struct buf out, value;
    buf_init(&out, 1 << 16);
    buf_init(&value, 8 << 20);
    CASE("a $ref that leads in a circle ends");
    CHECK_INT(errors_of("{\"$ref\":\"#\"}", "1", &out), ERR_LIMIT);
    CHECK_STR(out.p, "the check of a value went too deep");
    CASE("forms within forms without end are bounded in steps");
    buf_puts(&value, "");
    for (int i = 0; i < 90; i++)
        buf_putc(&value, '[');
    buf_puts(&value, "1");
    for (int i = 0; i < 90; i++)
        buf_putc(&value, ']');
    clock_t from = clock();
    CHECK_INT(errors_of("{\"anyOf\":[{\"items\":{\"$ref\":\"#\"},\"type\":\"array\"},{\"items\":{"
                        "\"$ref\":\"#\"},\"type\":\"array\",\"minItems\":1}]}",
                        value.p, &out),
              ERR_LIMIT);
    CHECK_STR(out.p, "the check of a value took too many steps");
    CHECK(clock() - from < 20 * CLOCKS_PER_SEC);
    CASE("many different elements, told apart in less than quadratic time");
    buf_reset(&value);
    buf_putc(&value, '[');
    for (int i = 0; i < 100000; i++)
        buf_printf(&value, "%s%d", i ? "," : "", i);
    buf_putc(&value, ']');
    CHECK_INT(errors_of("{\"uniqueItems\":true}", value.p, &out), 0);
    CHECK_STR(out.p, "[]");
    buf_free(&out);
    buf_free(&value);
}

static void patterns(void)
{
    static const struct {
        const char *pattern, *text;
        int found;
    } cases[] = {
        {"", "", 1},
        {"a", "xay", 1},
        {"^a", "xa", 0},
        {"a$", "ab", 0},
        {"^$", "", 1},
        {"^$", "a", 0},
        {"^(a|bc)*$", "abcbca", 1},
        {"^(a|bc)*$", "abcb", 0},
        {"^a{3}$", "aaa", 1},
        {"^a{3}$", "aa", 0},
        {"^a{2,}$", "a", 0},
        {"^a{2,}$", "aaaa", 1},
        {"^a{1,2}$", "aaa", 0},
        {"^a{0,2}b$", "b", 1},
        {"^a{0,2}b$", "aab", 1},
        {"^a{0,2}b$", "aaab", 0},
        {"^(ab){2}$", "abab", 1},
        {"^x{,2}$", "x{,2}", 1},
        {"^[^a-c]$", "b", 0},
        {"^[^a-c]$", "d", 1},
        {"^[a\\-z]$", "-", 1},
        {"^[-a]$", "-", 1},
        {"^[\\d_]+$", "12_3", 1},
        {"^[\\D]$", "1", 0},
        {"^\\w+$", "h\xc3\xa9", 0},
        {"^.$", "\xf0\x9f\x98\x80", 1},
        {"^.$", "\n", 0},
        {"^\\s$", "\xe2\x80\xa8", 1},
        {"\\bcat\\b", "a cat!", 1},
        {"\\bcat\\b", "concat", 0},
        {"^\\u00e9$", "\xc3\xa9", 1},
        {"^\\ud83d\\ude00$", "\xf0\x9f\x98\x80", 1},
        {"^\\u{1F600}$", "\xf0\x9f\x98\x80", 1},
        {"^(?:a|b)+?$", "abab", 1},
        {"^(?<y>\\d{4})-\\d\\d$", "2026-07", 1},
        {"^a|b$", "xb", 1},
        {"^a|b$", "xbx", 0},
        {"a||b", "", 1},
        {"(a*)*b", "aaac", 0},
        {"(|a)+$", "aaa", 1},
        {"[]", "a", 0},
        {"[^]", "a", 1},
        {"^[\\]]$", "]", 1},
        {"^\\/$", "/", 1},
        {"^\\cJ$", "\n", 1},
    };
    static const char *const bad[] = {"(",          ")",
                                      "[a",         "a**",
                                      "*a",         "(?!a)",
                                      "(?<=a)b",    "\\1",
                                      "\\k<a>",     "\\p{L}",
                                      "\\",         "\\x1",
                                      "a{2,1}",     "[z-a]",

                                      "\\y",        "(a{1000}){1000}",
                                      "\\u{110000}"};
    struct err e;
    uint32_t scratch[6 * REGEX_INSNS_MAX + 16];
    CASE("patterns that are taken");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct regex *r;
        struct arena a;
        uint64_t steps = 100000;
        arena_init(&a, 0);
        struct json_mem m = {.arena = &a};
        if (regex_compile(str_of(cases[i].pattern), &m, &r, &e))
            CHECK_STR(e.text, cases[i].pattern);
        if (regex_search(r, str_of(cases[i].text), scratch, &steps) != cases[i].found)
            CHECK_STR(cases[i].text, cases[i].pattern);
        arena_free(&a);
    }
    CASE("patterns that are refused");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct regex *r;
        struct arena a;
        arena_init(&a, 0);
        struct json_mem m = {.arena = &a};
        int code = regex_compile(str_of(bad[i]), &m, &r, &e);
        if (code != ERR_ARG && code != ERR_LIMIT) CHECK_STR("taken", bad[i]);
        arena_free(&a);
    }
    CASE("what breaks a matcher that goes back takes linear time");
    static const char *const evil[] = {"^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(.*)*x",
                                       "a?a?a?a?a?a?a?a?aaaaaaaa$"};
    char text[20001];
    memset(text, 'a', 20000);
    text[20000] = '!';
    for (size_t i = 0; i < sizeof evil / sizeof *evil; i++) {
        const struct regex *r;
        struct arena a;
        uint64_t steps = 2000000;
        arena_init(&a, 0);
        struct json_mem m = {.arena = &a};
        CHECK_INT(regex_compile(str_of(evil[i]), &m, &r, &e), 0);
        CHECK_INT(regex_search(r, str_make(text, 20001), scratch, &steps), 0);
        steps = 100;
        CHECK_INT(regex_search(r, str_make(text, 20001), scratch, &steps), ERR_LIMIT);
        arena_free(&a);
    }
}

int main(void)
{
    shorthand();
    definitions();
    says();
    bounded();
    patterns();
    CHECK_INT(mem_live_count(), 0);
    return CHECK_DONE();
}
