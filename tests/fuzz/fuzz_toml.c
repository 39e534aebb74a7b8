/* The configuration file of Temporal's tools. Keeps true: what is wrong is told with its line; what
 * is read, written plainly (each value with its whole key), is read as the same. */
#include "fuzz.h"
#include "temporal/profile.h"
#include "temporal/toml.h"

static void put_quoted(struct buf *b, struct str s)
{
    buf_putc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            buf_printf(b, "\\u%04X", c);
        else
            buf_putc(b, (char)c);
    }
    buf_putc(b, '"');
}

static int on_item(void *ud, const struct toml_item *it, struct err *e)
{
    struct buf *b = ud;
    (void)e;
    FUZZ_CHECK(it->n_keys >= 1 && it->n_keys <= TOML_KEYS && it->line >= 1);
    if (it->type == TOML_TABLE || it->type == TOML_OTHER) return 0;
    for (size_t i = 0; i < it->n_keys; i++) {
        if (i) buf_putc(b, '.');
        put_quoted(b, it->keys[i]);
    }
    buf_puts(b, " = ");
    if (it->type == TOML_BOOL)
        buf_puts(b, it->yes ? "true" : "false");
    else {
        FUZZ_CHECK(strlen(it->text.p) == it->text.n);
        put_quoted(b, it->text);
    }
    buf_putc(b, '\n');
    return 0;
}

static void plain(struct str text)
{
    struct err e = {0};
    struct buf once, again;
    buf_init(&once, 1 << 24);
    buf_init(&again, 1 << 24);
    int rc = toml_read(text, on_item, &once, &e);
    FUZZ_CHECK(rc == 0 || (rc == ERR_ARG && strncmp(e.text, "line ", 5) == 0));
    if (rc == 0 && once.n) {
        FUZZ_CHECK(toml_read(buf_str(&once), on_item, &again, &e) == 0);
        FUZZ_SAME(buf_str(&once), buf_str(&again));
    }
    buf_free(&once);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str text = str_make(n ? (const char *)data : "", n), known;
    struct arena a;
    struct profile p;
    struct err e = {0};
    bool found = false;
    plain(text);
    arena_init(&a, 0);
    int rc = profile_parse(&a, text, STR("a"), &p, &found, &known, &e);
    FUZZ_CHECK(rc == 0 || (e.text[0] && known.p));
    if (rc == 0 && found) FUZZ_CHECK(known.n && p.tls >= -1 && p.tls <= 1);
    arena_free(&a);
    return 0;
}
