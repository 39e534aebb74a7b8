/* Histories as JSON: what `moonloop replay HISTORY.json` reads. Keeps true: any text is read or
 * refused with a reason; what was read is written to JSON that reads back to the same events, and
 * stored it stays the same too. The input is the text. */
#include "fuzz.h"
#include "history/event.h"

static void stored(struct rec *const *events, size_t n, struct buf *out)
{
    buf_init(out, 1 << 26);
    FUZZ_CHECK(history_blob_encode(events, n, out) == 0);
}

static void written(struct rec *const *events, size_t n, bool pretty, struct buf *out)
{
    buf_init(out, 1 << 26);
    FUZZ_CHECK(history_to_json(events, n, out, pretty) == 0);
}

/* The events as stored, decoded again: the same JSON. */
static void through_store(struct arena *a, struct rec *const *events, size_t n)
{
    struct rec **again = NULL;
    size_t m = 0;
    struct err e = {0};
    struct buf blob, one, two;
    stored(events, n, &blob);
    int rc = history_blob_decode(a, buf_str(&blob), &again, &m, &e);
    if (rc) fprintf(stderr, "%s\n", e.text);
    FUZZ_CHECK(rc == 0 && m == n);
    written(events, n, false, &one);
    written(again, m, false, &two);
    FUZZ_SAME(buf_str(&one), buf_str(&two));
    buf_free(&blob);
    buf_free(&one);
    buf_free(&two);
}

/* The events as JSON, read again: the same bytes in the store. */
static void through_json(struct arena *a, struct rec *const *events, size_t n, bool pretty)
{
    struct rec **again = NULL;
    size_t m = 0;
    struct err e = {0};
    struct buf text, one, two;
    written(events, n, pretty, &text);
    int rc = history_from_json(a, buf_str(&text), &again, &m, &e);
    if (rc) fprintf(stderr, "%s\n" STR_FMT "\n", e.text, STR_ARG(buf_str(&text)));
    FUZZ_CHECK(rc == 0 && m == n);
    stored(events, n, &one);
    stored(again, m, &two);
    FUZZ_SAME(buf_str(&one), buf_str(&two));
    buf_free(&text);
    buf_free(&one);
    buf_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct rec **events = NULL;
    size_t n = 0;
    struct err e = {0};
    arena_init(&a, 1 << 28);
    int rc = history_from_json(&a, str_make(data, size), &events, &n, &e);
    FUZZ_CHECK(rc == 0 || (rc == e.code && e.text[0]));
    if (rc == 0) {
        through_store(&a, events, n);
        through_json(&a, events, n, size % 2);
    }
    arena_free(&a);
    return 0;
}
