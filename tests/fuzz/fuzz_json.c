/* The two readers of JSON: values (with a Lua state and without) and histories' scanner. Keeps
 * true: they agree about what is JSON; what was read is written in one form, which reads back to
 * itself. */
#include "fuzz.h"
#include "history/json_scan.h"
#include "script/sandbox.h"

static struct sandbox sb;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    FUZZ_CHECK(sandbox_open(&sb, SANDBOX_HOST, NULL) == 0);
    return 0;
}

static int scan(struct str text)
{
    struct arena a;
    struct json j;
    struct err e;
    arena_init(&a, 0);
    json_init(&j, &a, text, &e);
    json_skip(&j);
    int rc = json_end(&j);
    arena_free(&a);
    return rc;
}

static void encode(lua_State *L, struct buf *out, bool pretty)
{
    struct err e = {0};
    int rc = pretty ? value_encode_pretty(L, -1, out, "value", &e)
                    : value_encode(L, -1, out, "value", &e);
    if (rc) fprintf(stderr, "%s\n", e.text);
    FUZZ_CHECK(rc == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str text = str_make(data, n);
    struct err e = {0};
    struct buf canonical, one, two;
    lua_State *L = sb.L;
    buf_init(&canonical, 1 << 24);
    buf_init(&one, 1 << 24);
    buf_init(&two, 1 << 24);
    int rc = value_decode(L, text, &e);
    FUZZ_CHECK(rc == 0 || (rc == e.code && e.text[0] && lua_gettop(L) == 0));
    FUZZ_CHECK(value_canonical(text, &canonical, &e) == rc);
    bool mark = n >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0; /* only the scanner takes one */
    int scanned = scan(text);
    if (rc == 0) FUZZ_CHECK(scanned == 0);
    /* The scanner passes over numbers without reading them. */
    if (scanned == 0 && !mark)
        FUZZ_CHECK(rc == 0 || rc == ERR_LIMIT || strstr(e.text, "a number "));
    if (rc == 0) {
        encode(L, &one, false);
        FUZZ_SAME(buf_str(&one), buf_str(&canonical));
        encode(L, &two, true);
        FUZZ_CHECK(value_decode(L, buf_str(&two), &e) == 0);
        buf_reset(&two);
        encode(L, &two, false);
        FUZZ_SAME(buf_str(&one), buf_str(&two));
        lua_settop(L, 0);
    }
    lua_gc(L, LUA_GCSTEP, 100);
    buf_free(&canonical);
    buf_free(&one);
    buf_free(&two);
    return 0;
}
