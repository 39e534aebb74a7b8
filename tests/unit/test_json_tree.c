/* Trees of JSON texts: what is read, what is refused, lookup, equality, a block of known size. */
#include "check.h"
#include "json/tree.h"

static void reads(void)
{
    static const char *const same[] = {"null",
                                       "true",
                                       "[]",
                                       "{}",
                                       "9223372036854775807",
                                       "1.0",
                                       "\"a\\\"\\n\xc3\xa9\"",
                                       "{\"b\":[1,{\"c\":null}],\"a\":false}"};
    struct err e = {0};
    struct buf b;
    buf_init(&b, 1 << 16);
    CASE("what is read is written the same, in its order");
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct arena a;
        struct json *v;
        arena_init(&a, 0);
        struct json_mem m = {.arena = &a};
        CHECK_INT(json_parse(str_of(same[i]), &m, &v, &e), 0);
        buf_reset(&b);
        json_write(v, &b);
        CHECK_STR(b.p, same[i]);
        arena_free(&a);
    }
    buf_free(&b);
}

static void refuses(void)
{
    static const struct {
        const char *text, *says;
        int code;
    } bad[] = {{"", "ends too early", ERR_PROTO},
               {"[1,]", "unexpected character", ERR_PROTO},
               {"{\"a\":1,}", "a key in quotes", ERR_PROTO},
               {"{\"a\" 1}", "':' expected", ERR_PROTO},
               {"1 2", "something after the value", ERR_PROTO},
               {"{\"a\":1,\"a\":2}", "\"a\" occurs twice", ERR_PROTO},
               {"{\"a\":1,\"\\u0061\":2}", "\"a\" occurs twice", ERR_PROTO},
               {"{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"b\":2}",
                "\"b\" occurs twice", ERR_PROTO}};
    struct err e = {0};
    CASE("what is no JSON, and a key that is there twice");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct arena a;
        struct json *v;
        arena_init(&a, 0);
        struct json_mem m = {.arena = &a};
        CHECK_INT(json_parse(str_of(bad[i].text), &m, &v, &e), bad[i].code);
        if (!strstr(e.text, bad[i].says)) CHECK_STR(e.text, bad[i].says);
        arena_free(&a);
    }
    char deep[300];
    struct arena a;
    struct json *v;
    arena_init(&a, 0);
    struct json_mem m = {.arena = &a};
    memset(deep, '[', 101);
    memset(deep + 101, ']', 101);
    CASE("depth");
    CHECK_INT(json_parse(str_make(deep, 202), &m, &v, &e), ERR_LIMIT);
    CHECK_INT(json_parse(str_make(deep + 1, 200), &m, &v, &e), 0);
    CASE("memory");
    mem_fail_at(1, true);
    struct arena b;
    arena_init(&b, 0);
    m = (struct json_mem){.arena = &b};
    CHECK_INT(json_parse(STR("[1]"), &m, &v, &e), ERR_NOMEM);
    mem_fail_at(0, false);
    arena_free(&a);
    arena_free(&b);
}

static const struct json *of(struct arena *a, const char *text)
{
    struct json *v;
    struct err e = {0};
    struct json_mem m = {.arena = a};
    CHECK_INT(json_parse(str_of(text), &m, &v, &e), 0);
    return v;
}

static void finds(void)
{
    struct arena a;
    char text[4000], key[16];
    size_t n = 0;
    arena_init(&a, 0);
    CASE("a member among many, and among few");
    for (int i = 0; i < 200; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%c\"k%d\":%d", i ? ',' : '{',
                              i * 7919 % 200, i);
    snprintf(text + n, sizeof text - n, "}");
    const struct json *many = of(&a, text);
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%d", i * 7919 % 200);
        CHECK_INT(json_get(many, key)->v.i, i);
    }
    CHECK(!json_get(many, "k200") && !json_get(many, "") && !json_get(NULL, "a"));
    const struct json *few = of(&a, "{\"a\":1,\"b\":\"x\"}");
    CHECK(str_eqz(json_get_str(few, "b"), "x"));
    CHECK(json_get_str(few, "a").p == NULL && json_get_str(few, "c").p == NULL);
    arena_free(&a);
}

static void compares(void)
{
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {{"1", "1.0", true},
                 {"9007199254740993", "9007199254740992.0", false},
                 {"0", "false", false},
                 {"\"1\"", "1", false},
                 {"{\"a\":1,\"b\":[2]}", "{\"b\":[2.0],\"a\":1}", true},
                 {"{\"a\":1}", "{\"a\":1,\"b\":1}", false},
                 {"[1,2]", "[2,1]", false},
                 {"null", "null", true}};
    static const struct {
        const char *a, *b;
        int order;
    } orders[] = {{"1", "2", -1},
                  {"1", "1.5", -1},
                  {"-1", "-1.5", 1},
                  {"9223372036854775807", "9223372036854775808", -1},
                  {"-9223372036854775808", "-9223372036854775809", 0}, /* read as the float */
                  {"1e300", "1", 1},
                  {"2.5", "2.5", 0}};
    struct arena a;
    arena_init(&a, 0);
    CASE("equality and order");
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        uint64_t steps = 1000;
        CHECK_INT(json_equal(of(&a, pairs[i].a), of(&a, pairs[i].b), &steps), pairs[i].same);
        CHECK_INT(json_equal(of(&a, pairs[i].b), of(&a, pairs[i].a), &steps), pairs[i].same);
    }
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        CHECK_INT(json_compare(of(&a, orders[i].a), of(&a, orders[i].b)), orders[i].order);
        CHECK_INT(json_compare(of(&a, orders[i].b), of(&a, orders[i].a)), -orders[i].order);
    }
    CASE("equality stops when its steps are spent");
    uint64_t steps = 2;
    CHECK(!json_equal(of(&a, "[1,1,1]"), of(&a, "[1,1,1]"), &steps));
    CHECK_INT(steps, 0);
    arena_free(&a);
}

static void blocks(void)
{
    static const char text[] = "{\"a\":[1,2,\"x\\ny\"],\"b\":{}}";
    struct arena a;
    struct json *v;
    struct err e = {0};
    char *block;
    CASE("a block of the size that an arena took is enough, one of less is not");
    arena_init(&a, 0);
    struct json_mem m = {.arena = &a};
    CHECK_INT(json_parse(str_of(text), &m, &v, &e), 0);
    block = mem_alloc(m.used);
    struct json_mem exact = {.block = block, .size = m.used};
    CHECK_INT(json_parse(str_of(text), &exact, &v, &e), 0);
    CHECK_INT(exact.used, m.used);
    struct json_mem less = {.block = block, .size = m.used - 8};
    CHECK_INT(json_parse(str_of(text), &less, &v, &e), ERR_NOMEM);
    mem_free(block);
    arena_free(&a);
}

int main(void)
{
    reads();
    refuses();
    finds();
    compares();
    blocks();
    CHECK_INT(mem_live_count(), 0);
    return CHECK_DONE();
}
