/* Events, commands, payloads, failures, retries, and batches of events. */
#include "base/clock.h"
#include "check.h"
#include "sample.h"

static struct arena arena;

static void test_events(void)
{
    CASE("events");
    int with = 0, without = 0, commands = 0, terminal = 0;
    for (size_t i = 0; i < rec_enum_event_type.n; i++) {
        int type = rec_enum_event_type.values[i].number;
        struct rec *attrs, *ev = event_new(&arena, 3, 44, type, &attrs);
        CHECK(event_id(ev) == 3 && event_time(ev) == 44 && event_type(ev) == type &&
              event_attrs(ev) == attrs);
        if (type == 0) continue;
        /* the name is the enum's in the Pascal form, the attributes' message is named after it */
        char pascal[100], want[120], *p = pascal;
        const char *z = rec_enum_event_type.values[i].name + strlen("EVENT_TYPE");
        for (; *z; z++) {
            if (*z == '_')
                *p++ = *++z;
            else
                *p++ = (char)(*z + 32);
        }
        *p = '\0';
        CHECK_STR(event_name(type), pascal);
        snprintf(want, sizeof want, "%sEventAttributes", pascal);
        if (attrs) CHECK_STR(attrs->type->name, want);
        attrs ? with++ : without++;
        commands += event_is_command(type);
        terminal += event_is_terminal(type);
        CHECK(!event_is_command(type) || !event_is_ignorable(ev));
    }
    CHECK(with == 59 && without == 1 && commands == 19 && terminal == 6);
    CHECK_STR(event_name(0), "Unknown");
    CHECK_STR(event_name(-5), "Unknown");
    CHECK_STR(event_name(100000), "Unknown");
    CHECK(!event_is_command(100000) && !event_is_terminal(-1) && !event_attrs(NULL));
    CHECK(event_is_command(EVENT_TYPE_MARKER_RECORDED) &&
          !event_is_command(EVENT_TYPE_TIMER_FIRED));
    struct rec *ev = rec_new(&arena, &rec_type_history_event);
    rec_set_int(ev, T(history_event, event_type), 4000);
    CHECK(!event_is_ignorable(ev));
    rec_set_int(ev, T(history_event, worker_may_ignore), 1);
    CHECK(event_is_ignorable(ev));
    CHECK(event_is_ignorable(event_new(&arena, 1, 1, EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED, NULL)));
    CHECK(!event_is_ignorable(
        event_new(&arena, 1, 1, EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED_EXTERNALLY, NULL)));
    arena_free(&arena);
}

static void test_commands(void)
{
    CASE("commands");
    int with = 0, terminal = 0, recorded = 0;
    for (size_t i = 0; i < rec_enum_command_type.n; i++) {
        int type = rec_enum_command_type.values[i].number;
        struct rec *attrs, *c = command_new(&arena, type, &attrs);
        CHECK(command_type(c) == type && command_attrs(c) == attrs);
        with += attrs != NULL;
        terminal += command_is_terminal(type);
        int event = command_event_type(type);
        recorded += event != 0;
        if (event) CHECK(event_is_command(event));
        CHECK(event_is_terminal(event) == command_is_terminal(type));
    }
    CHECK(with == 17 && terminal == 4 && recorded == 16);
    CHECK_STR(command_name(COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK), "ScheduleActivityTask");
    CHECK_INT(command_event_type(COMMAND_TYPE_PROTOCOL_MESSAGE), 0);
    CHECK_INT(command_event_type(COMMAND_TYPE_START_TIMER), EVENT_TYPE_TIMER_STARTED);
    CHECK_STR(command_name(99), "Unknown");
    arena_free(&arena);
}

static bool digests_equal(const struct rec *a, const struct rec *b)
{
    uint8_t x[32], y[32];
    payloads_digest(a, x);
    payloads_digest(b, y);
    bool same = memcmp(x, y, 32) == 0;
    CHECK_INT(payloads_same(a, b), same);
    CHECK_INT(payloads_same(b, a), same);
    return same;
}

static void test_payloads(void)
{
    CASE("payloads");
    struct rec *p = payload_new(&arena, PAYLOAD_JSON, STR("[1]"));
    CHECK(str_eqz(payload_encoding(p), PAYLOAD_JSON) && str_eqz(payload_data(p), "[1]"));
    CHECK(!payload_encoding(rec_new(&arena, &rec_type_payload)).p && !payload_encoding(NULL).p);
    struct rec *one = payloads_of_json(&arena, STR("[1]")),
               *none = rec_new(&arena, &rec_type_payloads);
    CHECK_INT(rec_count(one, T(payloads, payloads)), 1);
    CHECK(digests_equal(NULL, none) && !digests_equal(one, none));
    struct rec *two = rec_new(&arena, &rec_type_payloads),
               *other = rec_new(&arena, &rec_type_payloads);
    payloads_add(two, p);
    payloads_add(two, payload_new(&arena, PAYLOAD_PLAIN, STR("")));
    CHECK(!digests_equal(one, two));
    payloads_add(other, payload_new(&arena, PAYLOAD_PLAIN, STR("[1]")));
    CHECK(!digests_equal(one, other)); /* the encoding counts */
    /* a reference to "[1]" */
    struct rec *refs = rec_new(&arena, &rec_type_payloads),
               *ref = payload_new(&arena, PAYLOAD_REF, STR("ref text"));
    rec_map_set_str(ref, T(payload, metadata), STR("of"), STR(PAYLOAD_JSON));
    rec_map_set_str(ref, T(payload, metadata), STR("digest"),
                    STR("fd58e2b0c3cf4ca10f3fd0e0d0ee5e9d5e1a1b7e4c2a0000000000000000beef"));
    payloads_add(refs, ref);
    CHECK(!digests_equal(one, refs));
    rec_map_set_str(ref, T(payload, metadata), STR("digest"),
                    STR("080a9ed428559ef602668b4c00f114f1a11c3f6b02a435f0bdc154578e4d7f22"));
    CHECK(digests_equal(one, refs));
    arena_free(&arena);
}

static void test_failures(void)
{
    CASE("failures");
    struct rec *app = failure_app(&arena, STR("AssetMissing"), STR("gone"), false, NULL, NULL);
    CHECK(str_eqz(failure_type(app), "AssetMissing") && failure_retryable(app, NULL) &&
          !failure_is_canceled(app));
    CHECK(!failure_retryable(failure_app(&arena, STR("X"), STR("m"), true, NULL, NULL), NULL));
    CHECK(str_eqz(failure_type(failure_app(&arena, STR(""), STR("m"), false, NULL, NULL)),
                  "ApplicationFailure"));
    struct rec *policy = rec_new(&arena, &rec_type_retry_policy);
    rec_add_str(policy, T(retry_policy, non_retryable_error_types), STR("Other"));
    CHECK(failure_retryable(app, policy));
    rec_add_str(policy, T(retry_policy, non_retryable_error_types), STR("AssetMissing"));
    CHECK(!failure_retryable(app, policy));
    struct rec *slow =
        failure_timeout(&arena, TIMEOUT_TYPE_START_TO_CLOSE, STR("slow"), NULL, NULL);
    CHECK(str_eqz(failure_type(slow), "Timeout") && failure_retryable(slow, policy));
    CHECK(failure_retryable(failure_timeout(&arena, TIMEOUT_TYPE_HEARTBEAT, STR(""), NULL, NULL),
                            NULL));
    CHECK(!failure_retryable(
        failure_timeout(&arena, TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, STR(""), NULL, NULL), NULL));
    CHECK(!failure_retryable(
        failure_timeout(&arena, TIMEOUT_TYPE_SCHEDULE_TO_START, STR(""), NULL, NULL), NULL));
    rec_add_str(policy, T(retry_policy, non_retryable_error_types),
                STR("TemporalTimeout:StartToClose"));
    CHECK(!failure_retryable(slow, policy));
    policy = rec_new(&arena, &rec_type_retry_policy);
    rec_add_str(policy, T(retry_policy, non_retryable_error_types), STR("Timeout"));
    CHECK(!failure_retryable(slow, policy));
    struct rec *cancel = failure_canceled(&arena, STR("stop"), NULL);
    CHECK(failure_is_canceled(cancel) && str_eqz(failure_type(cancel), "Canceled") &&
          !failure_retryable(cancel, NULL));
    struct rec *act = failure_activity(&arena, 5, 6, STR("A"), STR("1"),
                                       RETRY_STATE_CANCEL_REQUESTED, STR("w"), cancel);
    struct rec *child =
        failure_child(&arena, STR("w"), STR("r"), STR("T"), 7, 8, RETRY_STATE_TIMEOUT, act);
    CHECK(failure_is_canceled(act) && failure_is_canceled(child));
    CHECK(str_eqz(failure_type(act), "ActivityFailure") &&
          str_eqz(failure_type(child), "ChildWorkflowFailure"));
    CHECK(!failure_is_canceled(failure_app(&arena, STR("X"), STR("m"), false, NULL, cancel)));
    CHECK(!failure_is_canceled(
              failure_activity(&arena, 5, 6, STR("A"), STR("1"), 0, STR("w"), app)) &&
          !failure_is_canceled(NULL));
    arena_free(&arena);
}

static void test_settle(void)
{
    static const int64_t cases[][4] = {
        /* initial, max, then initial, max; in ms */
        {0, 0, 0, 0},       {0, 200, 200, 200}, /* the default of 1 s is too long */
        {0, 5000, 0, 5000}, {3000, 1000, 1000, 1000}, {3000, 0, 3000, 0}, {1000, 1000, 1000, 1000}};
    CASE("a first wait longer than the longest");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a;
        arena_init(&a, 0);
        struct rec *r = rec_new(&a, &rec_type_retry_policy);
        rec_set_int(r, T(retry_policy, initial_interval), cases[i][0] * NS_PER_MS);
        rec_set_int(r, T(retry_policy, maximum_interval), cases[i][1] * NS_PER_MS);
        int64_t second = retry_delay(r, 2, 0), ninth = retry_delay(r, 9, 0);
        retry_settle(r);
        CHECK_INT(rec_int(r, T(retry_policy, initial_interval)), cases[i][2] * NS_PER_MS);
        CHECK_INT(rec_int(r, T(retry_policy, maximum_interval)), cases[i][3] * NS_PER_MS);
        CHECK_INT(retry_delay(r, 2, 0), second); /* the delays are the same */
        CHECK_INT(retry_delay(r, 9, 0), ninth);
        arena_free(&a);
    }
}

static void test_retry(void)
{
    CASE("retry delays");
    CHECK_INT(retry_delay(NULL, 2, 0), NS_PER_S);
    CHECK_INT(retry_delay(NULL, 3, 0), 2 * NS_PER_S);
    CHECK_INT(retry_delay(NULL, 8, 0), 64 * NS_PER_S);
    CHECK_INT(retry_delay(NULL, 9, 0), 100 * NS_PER_S);
    CHECK_INT(retry_delay(NULL, INT32_MAX, 0), 100 * NS_PER_S);
    CHECK_INT(retry_delay(NULL, 5, 77), 77);
    struct rec *p = rec_new(&arena, &rec_type_retry_policy);
    rec_set_int(p, T(retry_policy, maximum_attempts), 3);
    CHECK_INT(retry_delay(p, 3, 0), 2 * NS_PER_S);
    CHECK_INT(retry_delay(p, 4, 0), -1);
    CHECK_INT(retry_delay(p, 4, 77), -1);
    rec_set_int(p, T(retry_policy, maximum_attempts), 1);
    CHECK_INT(retry_delay(p, 2, 0), -1);
    rec_set_int(p, T(retry_policy, maximum_attempts), 0);
    rec_set_int(p, T(retry_policy, maximum_interval), 500);
    CHECK_INT(retry_delay(p, 2, 0), 500);
    rec_set_int(p, T(retry_policy, initial_interval), INT64_MAX);
    rec_set_int(p, T(retry_policy, maximum_interval), 0);
    rec_set_double(p, T(retry_policy, backoff_coefficient), 1e308);
    for (int n = 2; n < 10; n++)
        CHECK(retry_delay(p, n, 0) == INT64_MAX);
    CHECK(retry_delay(p, INT32_MAX, 0) == INT64_MAX);
    rec_set_double(p, T(retry_policy, backoff_coefficient), 1);
    CHECK(retry_delay(p, 1000, 0) == INT64_MAX);
    rec_set_int(p, T(retry_policy, initial_interval), 7);
    CHECK_INT(retry_delay(p, 1000000, 0), 7);
    rec_set_double(p, T(retry_policy, backoff_coefficient), (double)__builtin_nanf(""));
    CHECK_INT(retry_delay(p, 3, 0), 14);
    int64_t last = 0;
    rec_set_double(p, T(retry_policy, backoff_coefficient), 1.5);
    rec_set_int(p, T(retry_policy, initial_interval), NS_PER_S);
    rec_set_int(p, T(retry_policy, maximum_interval), INT64_MAX);
    for (int n = 2; n < 200; n++) {
        int64_t d = retry_delay(p, n, 0);
        CHECK(d >= last && d > 0);
        last = d;
    }
    arena_free(&arena);
}

static void fill(struct rec **events, size_t n)
{
    struct rng r;
    rng_seed(&r, STR("events"));
    for (size_t i = 0; i < n; i++) {
        struct rec *attrs;
        int type = rec_enum_event_type.values[1 + i % (rec_enum_event_type.n - 1)].number;
        events[i] = event_new(&arena, (int64_t)i + 1, (int64_t)i * NS_PER_S, type, &attrs);
        if (attrs) *attrs = *sample_record(&arena, attrs->type, &r, 2);
    }
}

static void check_same(struct rec **a, struct rec **b, size_t n)
{
    struct buf x, y;
    buf_init(&x, 1 << 26);
    buf_init(&y, 1 << 26);
    CHECK(history_blob_encode(a, n, &x) == 0 && history_blob_encode(b, n, &y) == 0);
    CHECK(str_eq(buf_str(&x), buf_str(&y)));
    buf_free(&x);
    buf_free(&y);
}

static void test_blobs(void)
{
    CASE("batches of events");
    struct rec *events[300], **back = NULL;
    size_t n = 0;
    struct err e = {0};
    struct buf b;
    buf_init(&b, 1 << 26);
    fill(events, 300);
    CHECK_INT(history_blob_encode(events, 300, &b), 0);
    CHECK_INT(b.p[0], HISTORY_BLOB_VERSION);
    CHECK_INT(history_blob_decode(&arena, buf_str(&b), &back, &n, &e), 0);
    CHECK_INT(n, 300);
    check_same(events, back, n);
    CHECK_INT(history_blob_decode(&arena, str_make(b.p, b.n - 1), &back, &n, &e), ERR_CORRUPT);
    CHECK_INT(e.code, ERR_CORRUPT);
    b.p[0] = HISTORY_BLOB_VERSION + 1;
    CHECK_INT(history_blob_decode(&arena, buf_str(&b), &back, &n, &e), ERR_NEWER);
    b.p[0] = 0;
    CHECK_INT(history_blob_decode(&arena, buf_str(&b), &back, &n, NULL), ERR_CORRUPT);
    CHECK_INT(history_blob_decode(&arena, STR(""), &back, &n, &e), ERR_CORRUPT);
    buf_reset(&b);
    CHECK_INT(history_blob_encode(NULL, 0, &b), 0);
    CHECK_INT(history_blob_decode(&arena, buf_str(&b), &back, &n, &e), 0);
    CHECK_INT(n, 0);
    buf_reset(&b);
    CHECK_INT(history_blob_encode((struct rec *[]){NULL}, 1, &b),
              ERR_NOMEM); /* one that could not be made */
    buf_free(&b);
    buf_init(&b, 100);
    CHECK_INT(history_blob_encode(events, 300, &b), ERR_LIMIT);
    buf_free(&b);
    arena_free(&arena);
}

static void test_json(void)
{
    CASE("histories as JSON");
    struct rec *events[120], **back = NULL;
    size_t n = 0;
    struct err e = {0};
    struct buf b, wrapped;
    buf_init(&b, 1 << 26);
    buf_init(&wrapped, 1 << 26);
    fill(events, 120);
    for (int pretty = 0; pretty < 2; pretty++) {
        buf_reset(&b);
        CHECK_INT(history_to_json(events, 120, &b, pretty), 0);
        CHECK_INT(history_from_json(&arena, buf_str(&b), &back, &n, &e), 0);
        CHECK_INT(n, 120);
        check_same(events, back, n);
        buf_reset(&wrapped);
        buf_printf(&wrapped, " [%s ]\n", b.p);
        CHECK_INT(history_from_json(&arena, buf_str(&wrapped), &back, &n, &e), 0);
        CHECK_INT(n, 120);
        const char *list = strchr(b.p, '[');
        struct str bare = str_make(list, (size_t)(strrchr(b.p, ']') + 1 - list));
        CHECK_INT(history_from_json(&arena, bare, &back, &n, &e), 0);
        CHECK_INT(n, 120);
        check_same(events, back, n);
        buf_reset(&wrapped);
        buf_printf(&wrapped, "[%s,%s]", b.p, b.p);
        CHECK_INT(history_from_json(&arena, buf_str(&wrapped), &back, &n, &e), ERR_ARG);
    }
    static const char *const none[] = {"{\"events\":[]}", "[]", "[{\"events\":[]}]", "{}"};
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(history_from_json(&arena, str_of(none[i]), &back, &n, &e), 0);
        CHECK_INT(n, 0);
    }
    static const char *const wrong[] = {"",
                                        "5",
                                        "\"x\"",
                                        "[5]",
                                        "[[]]",
                                        "{\"events\":{}}",
                                        "{\"events\":[]}]",
                                        "[{\"events\":[]}",
                                        "[{}",
                                        "{\"events\":[null]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        e.text[0] = '\0';
        CHECK_INT(history_from_json(&arena, str_of(wrong[i]), &back, &n, &e), ERR_PROTO);
        CHECK(e.text[0] != '\0');
    }
    buf_reset(&b);
    CHECK_INT(history_to_json(NULL, 0, &b, false), 0);
    CHECK_STR(b.p, "{\"events\":[]}");
    buf_free(&b);
    buf_free(&wrapped);
    arena_free(&arena);
}

static void test_no_memory(void)
{
    CASE("building without memory");
    int failures = 0;
    for (long n = 1;; n++) {
        struct arena a;
        struct buf b, c;
        struct rec *attrs, **back;
        size_t count;
        arena_init(&a, 0);
        buf_init(&b, 1 << 20);
        buf_init(&c, 1 << 20);
        mem_fail_at(n, true);
        struct rec *ev = event_new(&a, 1, 2, EVENT_TYPE_ACTIVITY_TASK_FAILED, &attrs);
        char *much = arena_alloc(&a, 5000);
        rec_set_msg(attrs, T(ev_activity_task_failed, failure),
                    failure_activity(&a, 1, 2, STR("t"), STR("i"), 1, STR("w"),
                                     failure_app(&a, STR("T"), STR("m"), true,
                                                 payloads_of_json(&a, STR("1")), NULL)));
        int rc = history_blob_encode(&ev, 1, &b);
        if (!rc) rc = history_blob_decode(&a, buf_str(&b), &back, &count, NULL);
        if (!rc) rc = history_to_json(back, count, &c, true);
        mem_fail_at(0, false);
        CHECK(rc == 0 || rc == ERR_NOMEM);
        CHECK(rc != 0 || (much && !arena_failed(&a)));
        buf_free(&b);
        buf_free(&c);
        arena_free(&a);
        if (rc == 0) break;
        failures++;
    }
    CHECK(failures > 3);
}

int main(void)
{
    test_settle();
    arena_init(&arena, 0);
    test_events();
    test_commands();
    test_payloads();
    test_failures();
    test_retry();
    test_blobs();
    test_json();
    test_no_memory();
    return CHECK_DONE();
}
