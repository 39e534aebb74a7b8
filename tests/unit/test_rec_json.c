/* The JSON form of records: every message there and back, the mapping's rules, and text that is not
 * JSON. */
#include "check.h"
#include "sample.h"

static struct arena arena;
static struct buf out;

static const char *json_of(const struct rec *r, bool pretty)
{
    buf_reset(&out);
    CHECK_INT(rec_to_json(r, &out, pretty), 0);
    return out.p;
}

static struct rec *of_json(const struct rec_type *t, const char *text)
{
    struct rec *r = NULL;
    struct err e = {0};
    int rc = rec_from_json(&arena, t, str_of(text), &r, &e);
    if (rc) fprintf(stderr, "%s\n", e.text);
    CHECK_INT(rc, 0);
    return r;
}

static int json_error(const struct rec_type *t, struct str text)
{
    struct rec *r = NULL;
    struct err e = {0};
    int rc = rec_from_json(&arena, t, text, &r, &e);
    CHECK(rc == 0 || (!r && e.code == rc && e.text[0]));
    return rc;
}

static void test_round_trips(void)
{
    CASE("every message through JSON");
    struct rng r;
    rng_seed(&r, STR("json"));
    for (size_t i = 0; i < SAMPLE_TYPES * 5; i++) {
        struct rec *in = sample_record(&arena, sample_types[i % SAMPLE_TYPES], &r, 0);
        struct buf first, second;
        buf_init(&first, 1 << 24);
        buf_init(&second, 1 << 24);
        CHECK_INT(rec_encode(in, &first), 0);
        struct rec *back = of_json(in->type, json_of(in, i & 1));
        CHECK_INT(rec_encode(back, &second), 0);
        CHECK(str_eq(buf_str(&first), buf_str(&second)));
        buf_free(&first);
        buf_free(&second);
        arena_free(&arena);
    }
}

static void test_writing(void)
{
    CASE("what is written");
    struct rec *a,
        *ev = event_new(&arena, 5, INT64_C(1772355600500000000), EVENT_TYPE_TIMER_STARTED, &a);
    rec_set_str(a, T(ev_timer_started, timer_id), STR("t\"1"));
    rec_set_int(a, T(ev_timer_started, start_to_fire_timeout), INT64_C(1500000000));
    CHECK_STR(json_of(ev, false), "{\"eventId\":\"5\",\"eventTime\":\"2026-03-01T09:00:00.500Z\","
                                  "\"eventType\":\"EVENT_TYPE_TIMER_STARTED\","
                                  "\"timerStartedEventAttributes\":{\"timerId\":\"t\\\"1\","
                                  "\"startToFireTimeout\":\"1.500s\"}}");
    CHECK_STR(json_of(a, true),
              "{\n  \"timerId\": \"t\\\"1\",\n  \"startToFireTimeout\": \"1.500s\"\n}");
    struct rec *p = payload_new(&arena, PAYLOAD_JSON, STR("{}"));
    CHECK_STR(json_of(p, false),
              "{\"metadata\":{\"encoding\":\"anNvbi9wbGFpbg==\"},\"data\":\"e30=\"}");
    CHECK_STR(json_of(rec_new(&arena, &rec_type_payload), true), "{}");
    struct rec *q = rec_new(&arena, &rec_type_retry_policy);
    rec_set_double(q, T(retry_policy, backoff_coefficient), 2);
    rec_set_int(q, T(retry_policy, maximum_attempts), 3);
    rec_add_str(q, T(retry_policy, non_retryable_error_types), STR("A"));
    rec_set_int(q, T(retry_policy, initial_interval), -1);
    rec_add_str(q, T(retry_policy, non_retryable_error_types),
                STR("B")); /* gathered with the first */
    CHECK_STR(json_of(q, false),
              "{\"backoffCoefficient\":2,\"maximumAttempts\":3,"
              "\"nonRetryableErrorTypes\":[\"A\",\"B\"],\"initialInterval\":\"-0.000000001s\"}");
    rec_set_double(q, T(retry_policy, backoff_coefficient), 0.1);
    CHECK(strstr(json_of(q, false), "\"backoffCoefficient\":0.1,"));
    rec_set_double(q, T(retry_policy, backoff_coefficient), 1.0 / 3);
    CHECK(strstr(json_of(q, false), "\"backoffCoefficient\":0.3333333333333333,"));
    rec_set_double(q, T(retry_policy, backoff_coefficient), (double)__builtin_inff());
    CHECK(strstr(json_of(q, false), "\"backoffCoefficient\":\"Infinity\","));
    struct rec *pr = rec_new(&arena, &rec_type_priority);
    rec_set_double(pr, T(priority, fairness_weight), 0.1);
    CHECK_STR(json_of(pr, false), "{\"fairnessWeight\":0.1}");
    ev = rec_new(&arena, &rec_type_history_event);
    rec_set_int(ev, T(history_event, event_type), 777); /* a type of the future */
    CHECK_STR(json_of(ev, false), "{\"eventType\":777}");
    arena_free(&arena);
}

static void test_reading(void)
{
    CASE("what is accepted");
    const struct rec_type *ev = &rec_type_history_event, *rp = &rec_type_retry_policy;
    struct rec *r;
    static const char *const types[] = {"\"EVENT_TYPE_ACTIVITY_TASK_SCHEDULED\"",
                                        "\"ActivityTaskScheduled\"", "10",
                                        "\"ActivityTaskScheduled\""};
    for (size_t i = 0; i < 4; i++) {
        r = of_json(ev, arena_printf(&arena, "{\"eventType\": %s}", types[i]).p);
        CHECK_INT(event_type(r), EVENT_TYPE_ACTIVITY_TASK_SCHEDULED);
    }
    r = of_json(
        ev, "{\"eventType\":\"EVENT_TYPE_OF_THE_FUTURE\",\"workerMayIgnore\":true,\"event_id\":7}");
    CHECK(!rec_has(r, T(history_event, event_type)) && event_is_ignorable(r) && event_id(r) == 7);
    CHECK_INT(event_type(of_json(ev, "{\"eventType\":\"Timer\"}")), 0);
    CHECK_INT(event_id(of_json(ev, "{\"eventId\":\"-9223372036854775808\"}")), INT64_MIN);
    CHECK_INT(event_id(of_json(ev, "{\"eventId\":9223372036854775807}")), INT64_MAX);
    CHECK_INT(event_id(of_json(ev, "{\"eventId\":1e3}")), 1000);
    CHECK_INT(event_id(of_json(ev, "\xEF\xBB\xBF {\"eventId\" : \"12.0\" } \n")), 12);
    CHECK(!rec_has(of_json(ev, "{\"eventId\":\"0\",\"eventTime\":null}"),
                   T(history_event, event_id)));
    CHECK(rec_int(of_json(ev, "{\"eventTime\":\"2026-03-01T10:00:00.25+01:00\"}"),
                  T(history_event, event_time)) == INT64_C(1772355600250000000));
    CHECK(rec_int(of_json(ev, "{\"eventTime\":\"0001-01-01T00:00:00Z\"}"),
                  T(history_event, event_time)) == INT64_MIN);
    r = of_json(rp, "{\"other\":{\"a\":[1,2,{\"b\":null}],\"c\":true},\"initialInterval\":\"0s\","
                    "\"maximumInterval\":\"-1.000000001s\","
                    "\"backoffCoefficient\":\"NaN\",\"nonRetryableErrorTypes\":[\"\","
                    "\"\\u00e9\\ud83d\\ude00\\/\\n\"]}");
    CHECK(rec_has(r, T(retry_policy, initial_interval)) &&
          rec_int(r, T(retry_policy, initial_interval)) == 0);
    CHECK_INT(rec_int(r, T(retry_policy, maximum_interval)), -1000000001);
    CHECK(rec_double(r, T(retry_policy, backoff_coefficient)) !=
          rec_double(r, T(retry_policy, backoff_coefficient)));
    const struct rec_field *f = rec_each(r, T(retry_policy, non_retryable_error_types), NULL);
    CHECK(f->v.s.n == 0 && str_eqz(f->next->v.s, "\xc3\xa9\xf0\x9f\x98\x80/\n"));
    r = of_json(rp, "{\"maximumInterval\":\"999999999999s\"}"); /* brought to what fits */
    CHECK(rec_int(r, T(retry_policy, maximum_interval)) == INT64_MAX);
    r = of_json(&rec_type_payload,
                "{\"metadata\":{\"a\":\"\",\"b\":\"_-8\"},\"data\":\"\\u0065w==\"}");
    CHECK(rec_map_get_str(r, 1, STR("a")).p &&
          str_eqz(rec_map_get_str(r, 1, STR("b")), "\xff\xef") && str_eqz(payload_data(r), "{"));
    arena_free(&arena);
}

static void test_refusing(void)
{
    CASE("what is refused");
    const struct rec_type *ev = &rec_type_history_event;
    static const char *const wrong[] = {
        "",
        "x",
        "[]",
        "1",
        "\"\"",
        "null x",
        "{",
        "{}x",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":NaN}",
        "{\"a\":tru}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":[}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{/**/}",
        "{\"eventId\":\"1\",\"eventId\":\"2\"}",
        "{\"eventId\":\"1\",\"event_id\":\"2\"}",
        "{\"eventId\":\"9223372036854775808\"}",
        "{\"eventId\":1.5}",
        "{\"eventId\":\"x\"}",
        "{\"eventId\":\"\"}",
        "{\"eventId\":true}",
        "{\"eventId\":[]}",
        "{\"eventId\":\" 1\"}",
        "{\"eventId\":1e40}",
        "{\"eventTime\":5}",
        "{\"eventTime\":\"yesterday\"}",
        "{\"eventType\":1e12}",
        "{\"eventType\":{}}",
        "{\"workerMayIgnore\":1}",
        "{\"workerMayIgnore\":\"true\"}",
        "{\"timerStartedEventAttributes\":[]}",
        "{\"timerStartedEventAttributes\":\"x\"}",
        "{\"timerStartedEventAttributes\":{\"startToFireTimeout\":\"1\"}}",
        "{\"timerStartedEventAttributes\":{\"startToFireTimeout\":\"s\"}}",
        "{\"timerStartedEventAttributes\":{\"startToFireTimeout\":\"1.s\"}}",
        "{\"timerStartedEventAttributes\":{\"startToFireTimeout\":\"1.0000000001s\"}}",
        "{\"timerStartedEventAttributes\":{\"timerId\":5}}",
        "{\"userMetadata\":{\"summary\":{\"data\":\"?\"}}}",
        "{\"userMetadata\":{\"summary\":{\"metadata\":{\"a\":null}}}}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int rc = json_error(ev, str_of(wrong[i]));
        if (rc != ERR_PROTO) fprintf(stderr, "%d: %s\n", rc, wrong[i]);
        CHECK_INT(rc, ERR_PROTO);
    }
    CHECK_INT(json_error(ev, STR("{\"a\":\"\0\"}")), ERR_PROTO);
    struct err e = {0};
    struct rec *r;
    rec_from_json(&arena, ev, STR("{\n  \"eventId\": \"x\"}"), &r, &e);
    CHECK(strstr(e.text, "line 2") && strstr(e.text, "HistoryEvent.eventId"));
    struct buf b;
    buf_init(&b, 1 << 24);
    buf_puts(&b, "{\"a\":");
    for (int i = 0; i < 1000000; i++)
        buf_putc(&b, '[');
    CHECK_INT(json_error(ev, buf_str(&b)), ERR_LIMIT);
    buf_reset(&b);
    for (int i = 0; i < 1000; i++)
        buf_puts(&b, "{\"cause\":");
    CHECK_INT(json_error(&rec_type_failure, buf_str(&b)), ERR_LIMIT);
    buf_reset(&b);
    for (int i = 0; i < 100000; i++)
        buf_puts(&b, "{\"@type\":\"x/temporal.api.failure.v1.Failure\",\"cause\":");
    CHECK(json_error(&rec_type_any, buf_str(&b)) == ERR_LIMIT);
    buf_free(&b);
    arena_free(&arena);
}

static void test_any(void)
{
    CASE("messages within an Any");
    struct rec *req = rec_new(&arena, &rec_type_update_request), *back;
    rec_set_str(rec_sub(req, T(update_request, meta)), T(update_meta, update_id), STR("u1"));
    struct buf wire;
    buf_init(&wire, 1 << 20);
    CHECK_INT(rec_encode(req, &wire), 0);
    struct rec *m = rec_new(&arena, &rec_type_protocol_message),
               *any = rec_sub(m, T(protocol_message, body));
    rec_set_str(any, T(any, type_url), STR("type.googleapis.com/temporal.api.update.v1.Request"));
    rec_set_copy(any, T(any, value), buf_str(&wire));
    CHECK_STR(json_of(m, false),
              "{\"body\":{\"@type\":\"type.googleapis.com/"
              "temporal.api.update.v1.Request\",\"meta\":{\"updateId\":\"u1\"}}}");
    back = of_json(m->type, out.p);
    CHECK(str_eq(rec_str(rec_msg(back, T(protocol_message, body)), T(any, value)), buf_str(&wire)));
    /* the type may come last */
    back = of_json(&rec_type_any, "{\"meta\":{\"updateId\":\"u1\"},\"@type\":\"type.googleapis.com/"
                                  "temporal.api.update.v1.Request\"}");
    CHECK(str_eq(rec_str(back, T(any, value)), buf_str(&wire)));
    /* a type that we do not know, and bytes that are not of the type, stay bytes */
    static const char *const raw[] = {
        "{\"@type\":\"x/y.Z\",\"value\":\"AQI=\"}",
        "{\"@type\":\"x/temporal.api.update.v1.Request\",\"value\":\"/w==\"}",
        "{\"@type\":\"x/temporal.api.update.v1.Request\"}", "{}"};
    for (size_t i = 0; i < 4; i++) {
        back = of_json(&rec_type_any, raw[i]);
        CHECK_STR(json_of(back, false), raw[i]);
    }
    CHECK_INT(json_error(&rec_type_any,
                         STR("{\"@type\":\"x/temporal.api.update.v1.Request\",\"meta\":5}")),
              ERR_PROTO);
    buf_free(&wire);
    arena_free(&arena);
}

static void test_damage(void)
{
    CASE("damaged text");
    struct rng r;
    rng_seed(&r, STR("text damage"));
    static const char bits[] = "{}[]\",:\\u0d8nteE+-.1\n ";
    for (int round = 0; round < 60; round++) {
        struct rec *in = sample_record(&arena, sample_types[rng_below(&r, SAMPLE_TYPES)], &r, 1);
        struct str text = arena_str(&arena, str_of(json_of(in, round & 1)));
        for (int k = 0; k < 100; k++) {
            size_t n = k % 3 ? text.n : rng_below(&r, text.n + 1);
            char *copy = malloc(n ? n : 1);
            memcpy(copy, text.p, n);
            for (uint64_t hits = k % 3 ? 1 + rng_below(&r, 3) : 0; hits && n; hits--) {
                copy[rng_below(&r, n)] =
                    k & 1 ? bits[rng_below(&r, sizeof bits - 1)] : (char)rng_below(&r, 256);
            }
            struct arena scratch;
            struct rec *back;
            arena_init(&scratch, 1 << 24);
            if (rec_from_json(&scratch, in->type, str_make(copy, n), &back, NULL) == 0) {
                buf_reset(&out);
                CHECK_INT(rec_to_json(back, &out, false), 0);
            }
            arena_free(&scratch);
            free(copy);
        }
        arena_free(&arena);
    }
}

int main(void)
{
    arena_init(&arena, 0);
    buf_init(&out, 1 << 24);
    test_round_trips();
    test_writing();
    test_reading();
    test_refusing();
    test_any();
    test_damage();
    buf_free(&out);
    arena_free(&arena);
    return CHECK_DONE();
}
