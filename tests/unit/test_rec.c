/* Records and their wire form: every message there and back, damaged input, missing memory. */
#include "check.h"
#include "sample.h"

static struct buf encoded(const struct rec *r)
{
    struct buf b;
    buf_init(&b, 1 << 24);
    CHECK_INT(rec_encode(r, &b), 0);
    return b;
}

static bool same(const struct buf *a, const struct buf *b)
{
    return str_eq(buf_str(a), buf_str(b));
}

static void test_build(void)
{
    CASE("build and read");
    struct arena a;
    arena_init(&a, 0);
    struct rec *p = rec_new(&a, &rec_type_retry_policy);
    CHECK(!rec_has(p, T(retry_policy, maximum_attempts)) &&
          rec_int(p, T(retry_policy, maximum_attempts)) == 0);
    rec_set_int(p, T(retry_policy, maximum_attempts), 5);
    rec_set_double(p, T(retry_policy, backoff_coefficient), 1.5);
    rec_add_str(p, T(retry_policy, non_retryable_error_types), STR("A"));
    rec_add_str(p, T(retry_policy, non_retryable_error_types), STR("B"));
    rec_set_int(p, T(retry_policy, initial_interval), 3);
    CHECK_INT(rec_int(p, T(retry_policy, maximum_attempts)), 5);
    CHECK_INT(rec_count(p, T(retry_policy, non_retryable_error_types)), 2);
    const struct rec_field *f = rec_each(p, T(retry_policy, non_retryable_error_types), NULL);
    CHECK(str_eqz(f->v.s, "A"));
    f = rec_each(p, T(retry_policy, non_retryable_error_types), f);
    CHECK(str_eqz(f->v.s, "B") && !rec_each(p, T(retry_policy, non_retryable_error_types), f));
    rec_set_int(p, T(retry_policy, initial_interval),
                0); /* the last one goes; the list's end must hold */
    rec_set_int(p, T(retry_policy, maximum_attempts), 0);
    CHECK(!rec_has(p, T(retry_policy, initial_interval)));
    rec_set_int(p, T(retry_policy, maximum_interval), 9);
    CHECK(p->last->tag == T(retry_policy, maximum_interval) && !p->last->next);
    rec_set_double(p, T(retry_policy, backoff_coefficient), 0);
    CHECK(!rec_has(p, T(retry_policy, backoff_coefficient)));

    struct rec *ev = rec_new(&a, &rec_type_history_event);
    rec_set_int(ev, T(history_event, event_time), 0);
    CHECK(rec_has(ev, T(history_event, event_time))); /* 1970 is a time */
    rec_set_int(ev, T(history_event, worker_may_ignore), 17);
    CHECK_INT(rec_int(ev, T(history_event, worker_may_ignore)), 1);
    CHECK(rec_sub(ev, T(history_event, user_metadata)) ==
          rec_sub(ev, T(history_event, user_metadata)));

    struct rec *memo = rec_new(&a, &rec_type_memo);
    struct rec *v = rec_map_set(memo, T(memo, fields), STR("k"));
    rec_set_str(v, T(payload, data), STR("1"));
    CHECK(rec_map_get(memo, T(memo, fields), STR("k")) == v &&
          !rec_map_get(memo, T(memo, fields), STR("x")));
    v = rec_map_set(memo, T(memo, fields), STR("k"));
    CHECK_INT(rec_count(memo, T(memo, fields)), 1);
    rec_map_set_str(v, T(payload, metadata), STR("e"), STR(""));
    CHECK(rec_map_get_str(v, T(payload, metadata), STR("e")).p &&
          !rec_map_get_str(v, T(payload, metadata), STR("f")).p);

    CHECK(!rec_has(NULL, 1) && !rec_int(NULL, 1) && !rec_str(NULL, 1).p && !rec_msg(NULL, 1) &&
          !rec_count(NULL, 1));
    rec_set_int(NULL, 1, 1);
    rec_set_str(NULL, 1, STR("x"));
    CHECK(!rec_sub(NULL, 1) && !rec_map_set(NULL, 1, STR("x")) && !rec_clone(&a, NULL));
    CHECK_STR(rec_enum_name(&rec_enum_event_type, EVENT_TYPE_TIMER_FIRED),
              "EVENT_TYPE_TIMER_FIRED");
    CHECK_STR(rec_enum_name(&rec_enum_event_type, EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED),
              "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED");
    CHECK(!rec_enum_name(&rec_enum_event_type, 9999) && !rec_enum_name(&rec_enum_event_type, -1));
    arena_free(&a);
}

static void test_round_trips(void)
{
    CASE("every message through the wire form");
    struct rng r;
    rng_seed(&r, STR("wire"));
    for (size_t i = 0; i < SAMPLE_TYPES * 5; i++) {
        struct arena a;
        arena_init(&a, 0);
        struct rec *in = sample_record(&a, sample_types[i % SAMPLE_TYPES], &r, 0), *out = NULL,
                   *copy;
        struct buf first = encoded(in);
        CHECK(first.n > 0);
        struct err e = {0};
        CHECK_INT(rec_decode(&a, in->type, buf_str(&first), &out, &e), 0);
        struct buf second = encoded(out);
        CHECK(same(&first, &second));
        copy = rec_clone(&a, out);
        memset(first.p, 0xEE, first.n); /* what the clone kept is its own */
        struct buf third = encoded(copy);
        CHECK(same(&second, &third));
        buf_free(&first);
        buf_free(&second);
        buf_free(&third);
        arena_free(&a);
    }
}

static struct rec *decoded(struct arena *a, const struct rec_type *t, struct str bytes)
{
    struct rec *r = NULL;
    struct err e = {0};
    CHECK_INT(rec_decode(a, t, bytes, &r, &e), 0);
    return r;
}

static bool encodes_to(const struct rec *r, struct str want)
{
    struct buf b = encoded(r);
    bool ok = str_eq(buf_str(&b), want);
    buf_free(&b);
    return ok;
}
#define check_again(r, want) CHECK(encodes_to(r, want))

static void test_forms(void)
{
    CASE("wire forms");
    struct arena a;
    arena_init(&a, 0);
    /* field 1 twice: the last counts; a zero is not written again */
    struct rec *r = decoded(&a, &rec_type_retry_policy, STR("\x20\x05\x20\x07"));
    CHECK_INT(rec_int(r, T(retry_policy, maximum_attempts)), 7);
    r = decoded(&a, &rec_type_retry_policy, STR("\x20\x05\x20\x00"));
    CHECK(!rec_has(r, T(retry_policy, maximum_attempts)));
    check_again(r, STR(""));
    /* a member of a oneof keeps its zero */
    r = decoded(&a, &rec_type_protocol_message, STR("\x18\x00"));
    CHECK(rec_has(r, T(protocol_message, event_id)) &&
          !rec_has(r, T(protocol_message, command_index)));
    check_again(r, STR("\x18\x00"));
    /* repeated numbers packed, unpacked and mixed; written packed */
    const struct rec_type *flags = &rec_type_workflow_task_completed_metadata;
    r = decoded(&a, flags, STR("\x0a\x02\x01\x02\x08\x03\x0a\x02\xac\x02"));
    CHECK_INT(rec_count(r, 1), 4);
    check_again(r, STR("\x0a\x05\x01\x02\x03\xac\x02"));
    /* a message in two parts is one */
    r = decoded(&a, &rec_type_payloads, STR("\x0a\x03\x12\x01x"));
    CHECK(str_eqz(payload_data(rec_msg(r, 1)), "x"));
    r = decoded(&a, &rec_type_user_metadata, STR("\x0a\x03\x12\x01x\x0a\x03\x12\x01y"));
    CHECK(str_eqz(payload_data(rec_msg(r, 1)), "y") && rec_count(r, 1) == 1);
    /* the parts of a map entry in any order, or missing; of equal keys the last */
    r = decoded(&a, &rec_type_payload,
                STR("\x0a\x06\x12\x01v\x0a\x01k\x0a\x03\x0a\x01z\x0a\x06\x0a\x01k\x12\x01w"));
    CHECK(str_eqz(rec_map_get_str(r, 1, STR("k")), "w") && rec_map_get_str(r, 1, STR("z")).p);
    check_again(decoded(&a, &rec_type_payload, STR("\x0a\x03\x0a\x01z")),
                STR("\x0a\x05\x0a\x01z\x12\x00"));
    /* times: negative ones count nanos forward, durations have one sign; out of range goes to the
     * nearest */
    r = rec_new(&a, &rec_type_history_event);
    rec_set_int(r, T(history_event, event_time), -1);
    check_again(
        r, STR("\x12\x11\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\xff\x93\xeb\xdc\x03"));
    r = rec_new(&a, &rec_type_retry_policy);
    rec_set_int(r, T(retry_policy, initial_interval), -1);
    check_again(r, STR("\x0a\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    r = decoded(&a, &rec_type_retry_policy, STR("\x0a\x00")); /* there, and zero */
    CHECK(rec_has(r, T(retry_policy, initial_interval)) &&
          rec_int(r, T(retry_policy, initial_interval)) == 0);
    check_again(r, STR("\x0a\x00"));
    r = decoded(&a, &rec_type_retry_policy,
                STR("\x0a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f"));
    CHECK(rec_int(r, T(retry_policy, initial_interval)) == INT64_MAX);
    r = decoded(&a, &rec_type_history_event,
                STR("\x12\x0b\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01")); /* year 1 */
    CHECK(rec_int(r, T(history_event, event_time)) == INT64_MIN);
    arena_free(&a);
}

static void test_unknown(void)
{
    CASE("unknown fields stay");
    struct arena a;
    arena_init(&a, 0);
    /* field 99 as varint, 64-bit, bytes, group (with a group inside) and 32-bit; field 2 with a
     * wrong type */
    struct str in = STR("\x98\x06\x05\x99\x06"
                        "12345678"
                        "\x9a\x06\x02hi\x9b\x06\x08\x01\x13\x14\x9c\x06\x9d\x06"
                        "1234"
                        "\x10\x07\x12\x01"
                        "d");
    struct rec *r = decoded(&a, &rec_type_payload, in);
    CHECK(str_eqz(payload_data(r), "d"));
    check_again(r, in);
    check_again(rec_clone(&a, r), in);
    CHECK(rec_has(r, 2) && !rec_has(r, 99) && rec_count(r, 99) == 0);
    rec_set_str(r, T(payload, data), STR("")); /* takes away the known one only */
    check_again(r, str_make(in.p, in.n - 3));
    static const struct str wrong[] = {
        STR("\x98\x06"),
        STR("\x99\x06"
            "1234567"),
        STR("\x9a\x06\x05hi"),
        STR("\x9b\x06\x08\x01"),
        STR("\x9b\x06\xa4\x06"),
        STR("\x9c\x06"),
        STR("\x9e\x06"),
        STR("\x00\x01"),
        STR("\x80"),
        STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        STR("\x12\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
        STR("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err e = {0};
        struct rec *out = NULL;
        CHECK_INT(rec_decode(&a, &rec_type_payload, wrong[i], &out, &e), ERR_PROTO);
        CHECK(!out && e.code == ERR_PROTO && e.text[0]);
    }
    arena_free(&a);
}

/* Failures, one the cause of the next. */
static struct rec *chain(struct arena *a, int n)
{
    struct rec *f = NULL;
    while (n--)
        f = failure_app(a, STR("T"), STR("m"), false, NULL, f);
    return f;
}

static void test_depth(void)
{
    CASE("nesting is limited");
    struct arena a;
    arena_init(&a, 0);
    struct buf b;
    buf_init(&b, 1 << 24);
    CHECK_INT(rec_encode(chain(&a, REC_DEPTH_MAX), &b), 0);
    CHECK(decoded(&a, &rec_type_failure, buf_str(&b)) != NULL);
    buf_reset(&b);
    CHECK_INT(rec_encode(chain(&a, REC_DEPTH_MAX + 2), &b), ERR_LIMIT);
    buf_reset(&b);
    CHECK_INT(rec_to_json(chain(&a, REC_DEPTH_MAX + 2), &b, false), ERR_LIMIT);
    /* bytes nested far deeper, written by hand */
    struct buf in;
    buf_init(&in, 1 << 20);
    for (int i = 0; i < 300; i++) {
        struct buf outer;
        buf_init(&outer, 1 << 20);
        buf_putc(&outer, 0x22);
        for (size_t n = in.n;; n >>= 7) {
            buf_putc(&outer, (char)(unsigned char)(n >= 0x80 ? n | 0x80 : n));
            if (n < 0x80) break;
        }
        buf_putstr(&outer, buf_str(&in));
        buf_free(&in);
        in = outer;
    }
    struct rec *r = NULL;
    CHECK_INT(rec_decode(&a, &rec_type_failure, buf_str(&in), &r, NULL), ERR_LIMIT);
    /* a message in endless parts */
    buf_reset(&in);
    for (int i = 0; i < 100000; i++)
        buf_put(&in, "\x0a\x00", 2);
    CHECK_INT(rec_decode(&a, &rec_type_user_metadata, buf_str(&in), &r, NULL), ERR_LIMIT);
    buf_free(&in);
    buf_free(&b);
    arena_free(&a);
}

static void test_damage(void)
{
    CASE("damaged and random bytes");
    struct rng r;
    struct arena a;
    rng_seed(&r, STR("damage"));
    arena_init(&a, 1 << 24);
    for (size_t i = 0; i < SAMPLE_TYPES; i++) {
        struct rec *in = sample_record(&a, sample_types[i], &r, 1), *out;
        struct buf b = encoded(in);
        for (size_t k = 0; k < 200; k++) {
            size_t n = rng_below(&r, b.n + 1);
            char *copy = malloc(n + 1); /* exactly as long, so that reading on is found */
            memcpy(copy, b.p, n);
            for (uint64_t hits = k % 4; hits && n; hits--)
                copy[rng_below(&r, n)] = (char)rng_below(&r, 256);
            char *tight = malloc(n ? n : 1);
            memcpy(tight, copy, n);
            free(copy);
            struct arena scratch;
            struct buf again;
            arena_init(&scratch, 1 << 24);
            buf_init(&again, 1 << 24);
            if (rec_decode(&scratch, in->type, str_make(tight, n), &out, NULL) == 0) {
                CHECK_INT(rec_encode(out, &again), 0);
                buf_reset(&again);
                CHECK_INT(rec_to_json(out, &again, k & 1), 0);
            }
            buf_free(&again);
            arena_free(&scratch);
            free(tight);
        }
        buf_free(&b);
        arena_free(&a);
    }
    for (int k = 0; k < 20000; k++) {
        char junk[64];
        size_t n = rng_below(&r, sizeof junk);
        for (size_t i = 0; i < n; i++)
            junk[i] = (char)rng_below(&r, k & 1 ? 256 : 24);
        struct rec *out;
        if (rec_decode(&a, sample_types[(size_t)k % SAMPLE_TYPES], str_make(junk, n), &out, NULL) ==
            0) {
            struct buf b = encoded(out);
            buf_free(&b);
        }
        arena_free(&a);
    }
}

static void test_no_memory(void)
{
    CASE("every allocation fails once");
    struct arena keep;
    struct rng r;
    arena_init(&keep, 0);
    rng_seed(&r, STR("memory"));
    struct rec *in = sample_record(&keep, &rec_type_ev_workflow_execution_started, &r, 0);
    struct buf wire = encoded(in), json;
    buf_init(&json, 1 << 24);
    CHECK_INT(rec_to_json(in, &json, false), 0);
    int failures = 0;
    for (long n = 1;; n++) {
        struct arena a;
        struct buf b, c;
        struct rec *x = NULL, *y = NULL;
        arena_init(&a, 0);
        buf_init(&b, 1 << 24);
        buf_init(&c, 1 << 24);
        mem_fail_at(n, false);
        int rc = rec_decode(&a, in->type, buf_str(&wire), &x, NULL);
        if (!rc) rc = rec_encode(x, &b);
        if (!rc) rc = rec_from_json(&a, in->type, buf_str(&json), &y, NULL);
        if (!rc) rc = rec_to_json(y, &c, false);
        if (!rc && !rec_clone(&a, y)) rc = ERR_NOMEM;
        mem_fail_at(0, false);
        CHECK(rc == 0 || rc == ERR_NOMEM);
        if (rc == 0) CHECK(same(&b, &wire) && same(&c, &json));
        buf_free(&b);
        buf_free(&c);
        arena_free(&a);
        if (rc == 0) break;
        failures++;
    }
    CHECK(failures > 5);
    buf_free(&wire);
    buf_free(&json);
    arena_free(&keep);
}

int main(void)
{
    test_build();
    test_round_trips();
    test_forms();
    test_unknown();
    test_depth();
    test_damage();
    test_no_memory();
    return CHECK_DONE();
}
