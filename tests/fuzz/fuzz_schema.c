/* Schemas: a schema's text, a NUL, a value's text; without a NUL the shorthand. Keeps true: reading
 * a schema again takes as much memory and a block of that size is enough, what is published is what
 * was read, a check ends within its steps and says the same again, and its report is JSON. */
#include "fuzz.h"
#include "json/schema.h"

static void check(const struct schema *s, struct str value)
{
    struct buf said[2];
    int code[2];
    for (int i = 0; i < 2; i++) {
        struct schema_report r;
        struct err e = {0};
        buf_init(&said[i], 4u << 20);
        schema_report_init(&r);
        code[i] = schema_check_text(s, value, &r, &e);
        if (code[i] == 0) schema_report_json(&r, &said[i]);
        FUZZ_CHECK(code[i] || r.n <= SCHEMA_ERRORS_MAX);
        FUZZ_CHECK(r.steps <= SCHEMA_STEPS_MAX);
        schema_report_free(&r);
    }
    FUZZ_CHECK(code[0] == code[1]);
    FUZZ_SAME(buf_str(&said[0]), buf_str(&said[1]));
    if (code[0] == 0) {
        struct arena a;
        struct json *v;
        struct err e = {0};
        arena_init(&a, 0);
        struct json_mem m = {.arena = &a};
        FUZZ_CHECK(json_parse(buf_str(&said[0]), &m, &v, &e) == 0);
        arena_free(&a);
    }
    buf_free(&said[0]);
    buf_free(&said[1]);
}

static void define(struct str text, enum schema_mode mode, struct str value)
{
    struct arena a;
    struct schema s, again;
    struct err e = {0};
    arena_init(&a, 0);
    struct json_mem m = {.arena = &a};
    int code = schema_compile(text, mode, &m, &s, &e);
    if (code == 0) {
        char *block = mem_alloc(m.used);
        struct json_mem exact = {.block = block, .size = m.used};
        FUZZ_CHECK(schema_compile(text, mode, &exact, &again, &e) == 0);
        FUZZ_CHECK(exact.used == m.used);
        FUZZ_SAME(again.text, text);
        check(&again, value);
        mem_free(block);
    } else {
        FUZZ_CHECK(e.text[0] != 0);
    }
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *gap = n ? memchr(data, 0, n) : NULL;
    if (gap) {
        struct str text = str_make(data, (size_t)(gap - data));
        struct str value = str_make(gap + 1, n - text.n - 1);
        define(text, SCHEMA_STRICT, value);
        define(text, SCHEMA_LENIENT, value);
        return 0;
    }
    struct buf out;
    struct err e = {0};
    buf_init(&out, SCHEMA_BYTES_MAX);
    /* whatever the shorthand gives can be defined */
    if (schema_from_short(str_make(data, n), &out, &e) == 0) {
        struct arena a;
        struct schema s;
        arena_init(&a, 0);
        struct json_mem m = {.arena = &a};
        int code = schema_compile(buf_str(&out), SCHEMA_STRICT, &m, &s, &e);
        bool raw = n && memmem(data, n, "u0001schema", 11) != NULL; /* taken as it is */
        FUZZ_CHECK(code == 0 || raw || code == ERR_LIMIT);
        arena_free(&a);
    }
    buf_free(&out);
    return 0;
}
