/* Stored events. Keeps true: any bytes are decoded or refused; what was decoded is
 * encoded in one form, which decodes to itself; its JSON reads back to the same JSON. The first
 * byte chooses: a batch as stored, a single message. */
#include "fuzz.h"
#include "history/event.h"

static void encode(const struct rec *r, struct buf *out)
{
    buf_init(out, 1 << 26);
    FUZZ_CHECK(rec_encode(r, out) == 0);
}

/* Everything that asks an event something. */
static void ask(struct arena *a, const struct rec *ev)
{
    const struct rec *result = NULL, *failure = NULL;
    uint8_t digest[32];
    event_attrs(ev);
    FUZZ_CHECK(event_name(event_type(ev)) != NULL);
    event_is_ignorable(ev);
    outcome_read(a, ev, &result, &failure);
    outcome_next_run(ev);
    payloads_digest(result, digest);
    failure_is_canceled(failure);
    failure_retryable(failure, NULL);
    failure_type(failure);
    FUZZ_CHECK(retry_delay(rec_msg(event_attrs(ev), T(ev_activity_task_scheduled, retry_policy)),
                           2 + (int)(event_id(ev) & 63), 0) >= -1);
}

/* JSON of a record that was read from bytes. It is made of what JSON can say, so the second time it
 * is the same. */
static void through_json(const struct rec *r, bool pretty)
{
    struct arena a;
    struct buf one, two;
    struct rec *again = NULL;
    struct err e = {0};
    arena_init(&a, 1 << 28);
    buf_init(&one, 1 << 26);
    buf_init(&two, 1 << 26);
    int rc = rec_to_json(r, &one, pretty);
    FUZZ_CHECK(rc == 0 || rc == ERR_LIMIT);
    if (rc == 0) {
        rc = rec_from_json(&a, r->type, buf_str(&one), &again, &e);
        if (rc) fprintf(stderr, "%s\n" STR_FMT "\n", e.text, STR_ARG(buf_str(&one)));
        FUZZ_CHECK(rc == 0);
        FUZZ_CHECK(rec_to_json(again, &two, pretty) == 0);
        FUZZ_SAME(buf_str(&one), buf_str(&two));
    }
    buf_free(&one);
    buf_free(&two);
    arena_free(&a);
}

static void message(const struct rec_type *t, struct str bytes)
{
    struct arena a;
    struct rec *r = NULL, *again = NULL;
    struct err e = {0};
    arena_init(&a, 1 << 28);
    int rc = rec_decode(&a, t, bytes, &r, &e);
    FUZZ_CHECK(rc == 0 || (rc == e.code && e.text[0]));
    if (rc == 0) {
        struct buf one, two;
        encode(r, &one);
        FUZZ_CHECK(rec_decode(&a, t, buf_str(&one), &again, &e) == 0);
        encode(again, &two);
        FUZZ_SAME(buf_str(&one), buf_str(&two));
        buf_reset(&two);
        FUZZ_CHECK(rec_encode(rec_clone(&a, r), &two) == 0);
        FUZZ_SAME(buf_str(&one), buf_str(&two));
        buf_free(&one);
        buf_free(&two);
        through_json(r, false);
    }
    arena_free(&a);
}

static void batch(struct str blob)
{
    struct arena a;
    struct rec **events = NULL;
    size_t n = 0, m = 0;
    struct err e = {0};
    arena_init(&a, 1 << 28);
    int rc = history_blob_decode(&a, blob, &events, &n, &e);
    FUZZ_CHECK(rc == 0 || (rc == e.code && e.text[0]));
    if (rc == 0) {
        struct buf one, two;
        struct rec **again = NULL;
        buf_init(&one, 1 << 26);
        buf_init(&two, 1 << 26);
        FUZZ_CHECK(history_blob_encode(events, n, &one) == 0);
        FUZZ_CHECK(history_blob_decode(&a, buf_str(&one), &again, &m, &e) == 0);
        FUZZ_CHECK(m == n);
        FUZZ_CHECK(history_blob_encode(again, m, &two) == 0);
        FUZZ_SAME(buf_str(&one), buf_str(&two));
        buf_free(&one);
        buf_free(&two);
        for (size_t i = 0; i < n; i++) {
            ask(&a, events[i]);
            through_json(events[i], i & 1);
        }
    }
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct rec_type *const types[] = {
        &rec_type_payload,       &rec_type_payloads,
        &rec_type_failure,       &rec_type_command,
        &rec_type_history_event, &rec_type_protocol_message,
        &rec_type_retry_policy,  &rec_type_any};
    struct fuzz_in in = {data, n};
    unsigned which = fuzz_byte(&in);
    if (which == 'b')
        batch(fuzz_rest(&in));
    else
        message(types[which % (sizeof types / sizeof *types)], fuzz_rest(&in));
    return 0;
}
