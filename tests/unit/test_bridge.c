/* Records and protobuf-c messages cross over whole, in both directions, and bad bytes are told. */
#include "base/clock.h"
#include "check.h"
#include "history/event.h"
#include "temporal/bridge.h"
#include "temporal/proto/workflowservice.pb-c.h"

static struct arena arena;

static struct rec *sample_event(struct arena *a)
{
    struct rec *attrs;
    struct rec *ev =
        event_new(a, 7, INT64_C(1700000000123456789), EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, &attrs);
    rec_set_str(attrs, T(ev_activity_task_scheduled, activity_id), STR("1"));
    rec_set_str(rec_sub(attrs, T(ev_activity_task_scheduled, activity_type)),
                T(activity_type, name), STR("publish"));
    rec_set_msg(attrs, T(ev_activity_task_scheduled, input), payloads_of_json(a, STR("{\"n\":1}")));
    rec_set_int(attrs, T(ev_activity_task_scheduled, start_to_close_timeout), 90 * NS_PER_S + 5);
    struct rec *retry = rec_sub(attrs, T(ev_activity_task_scheduled, retry_policy));
    rec_set_double(retry, T(retry_policy, backoff_coefficient), 1.5);
    rec_add_str(retry, T(retry_policy, non_retryable_error_types), STR("Bad"));
    return ev;
}

static bool same(const struct rec *x, const struct rec *y)
{
    struct buf bx, by;
    buf_init(&bx, 1 << 20);
    buf_init(&by, 1 << 20);
    CHECK(rec_encode(x, &bx) == 0 && rec_encode(y, &by) == 0);
    bool eq = str_eq(buf_str(&bx), buf_str(&by));
    buf_free(&bx);
    buf_free(&by);
    return eq;
}

static void test_out(void)
{
    CASE("a record goes into a request");
    struct err e;
    struct rec *ev = sample_event(&arena), *back;
    PbHistory__History *h = bridge_new(&arena, PbHistory__History, pb_history__history);
    h->n_events = 2;
    h->events = bridge_array(&arena, 2);
    h->events[0] = bridge_message(&arena, &pb_history__history_event__descriptor, ev);
    h->events[1] = bridge_message(&arena, &pb_history__history_event__descriptor, ev);
    struct str bytes = bridge_pack(&arena, h);
    PbHistory__History *read;
    CHECK_INT(bridge_read(&arena, &pb_history__history__descriptor, bytes, NULL, 0, &read, &e), 0);
    CHECK(read->n_events == 2 && read->events[1]->event_id == 7);
    CHECK(bridge_ns(read->events[0]->event_time) == INT64_C(1700000000123456789));
    PbHistory__ActivityTaskScheduledEventAttributes *at =
        read->events[1]->activity_task_scheduled_event_attributes;
    CHECK_STR(at->activity_id, "1");
    CHECK_STR(at->activity_type->name, "publish");
    CHECK(bridge_duration_ns(at->start_to_close_timeout) == 90 * NS_PER_S + 5);
    CHECK(at->retry_policy->backoff_coefficient == 1.5);
    CHECK_STR(at->retry_policy->non_retryable_error_types[0], "Bad");
    CHECK(at->input->n_payloads == 1 && at->input->payloads[0]->data.len == 7);
    CHECK_INT(bridge_record(&arena, read->events[1], &rec_type_history_event, &back, &e), 0);
    CHECK(same(ev, back));
    CHECK(bridge_message(&arena, &pb_history__history_event__descriptor, NULL) == NULL);
    CHECK_INT(bridge_record(&arena, NULL, &rec_type_history_event, &back, &e), 0);
    CHECK(!back && !arena_failed(&arena));
    arena_free(&arena);
}

static void test_unknown(void)
{
    CASE("what neither side knows survives");
    struct err e;
    /* field 5000 = varint 7, and 5001 = "hi" inside a payloads message */
    static const char raw[] = "\xc0\xb8\x02\x07\xca\xb8\x02\x02hi";
    struct rec *r, *back;
    CHECK_INT(rec_decode(&arena, &rec_type_payloads, str_make(raw, sizeof raw - 1), &r, &e), 0);
    void *m = bridge_message(&arena, &pb_common__payloads__descriptor, r);
    CHECK(str_eq(bridge_pack(&arena, m), str_make(raw, sizeof raw - 1)));
    PbCommon__Payloads *p;
    CHECK_INT(bridge_read(&arena, &pb_common__payloads__descriptor, str_make(raw, sizeof raw - 1),
                          NULL, 0, &p, &e),
              0);
    CHECK_INT(bridge_record(&arena, p, &rec_type_payloads, &back, &e), 0);
    CHECK(same(r, back));
    arena_free(&arena);
}

static void test_text(void)
{
    CASE("text that is not UTF-8 is mended, a record's NUL stays");
    struct err e;
    struct rec *f = failure_app(&arena, STR("T\xff"), STR("a\xc3(b\0c"), false, NULL, NULL);
    struct rec *inner = failure_app(&arena, STR("ok"), STR("\xe2\x82"), false, NULL, f);
    struct str bytes =
        bridge_pack(&arena, bridge_message(&arena, &pb_failure__failure__descriptor, inner));
    struct rec *back;
    CHECK_INT(rec_decode(&arena, &rec_type_failure, bytes, &back, &e), 0);
    CHECK(str_eqz(rec_str(back, T(failure, message)), "\xef\xbf\xbd\xef\xbf\xbd"));
    back = rec_msg(back, T(failure, cause));
    CHECK(str_eq(rec_str(back, T(failure, message)), STR("a\xef\xbf\xbd(b\0c")));
    CHECK(str_eqz(failure_type(back), "T\xef\xbf\xbd"));
    CHECK(str_eq(rec_str(f, T(failure, message)), STR("a\xc3(b\0c")));
    CHECK_STR(bridge_text(&arena, STR("x\0y\xff")), "x\xef\xbf\xbdy\xef\xbf\xbd");
    CHECK_STR(bridge_text(&arena, (struct str){NULL, 0}), "");
    ProtobufCBinaryData d = bridge_bytes(&arena, STR("\0\xff"));
    CHECK(d.len == 2 && d.data[1] == 0xff);
    arena_free(&arena);
}

static void test_times(void)
{
    CASE("times");
    static const int64_t ns[] = {1, -1, NS_PER_S, -NS_PER_S - 1, INT64_C(1700000000123456789)};
    for (size_t i = 0; i < sizeof ns / sizeof *ns; i++) {
        CHECK(bridge_ns(bridge_timestamp(&arena, ns[i])) == ns[i]);
        CHECK(bridge_duration_ns(bridge_duration(&arena, ns[i])) == ns[i]);
        CHECK(bridge_timestamp(&arena, ns[i])->nanos >= 0);
    }
    CHECK(!bridge_timestamp(&arena, 0) && !bridge_duration(&arena, 0));
    PbGoogle__Timestamp t = PB_GOOGLE__TIMESTAMP__INIT;
    t.seconds = INT64_MAX;
    CHECK(bridge_ns(&t) == INT64_MAX);
    t.seconds = INT64_MIN;
    CHECK(bridge_ns(&t) == INT64_MIN && bridge_ns(NULL) == 0 && bridge_duration_ns(NULL) == 0);
    arena_free(&arena);
}

/* A poll's answer as a server sends it. */
static struct str sample_task(struct arena *a)
{
    Pb__PollWorkflowTaskQueueResponse *m =
        bridge_new(a, Pb__PollWorkflowTaskQueueResponse, pb__poll_workflow_task_queue_response);
    m->task_token = bridge_bytes(a, STR("token\0x"));
    m->started_event_id = 9;
    m->attempt = 2;
    m->history = bridge_new(a, PbHistory__History, pb_history__history);
    m->history->n_events = 1;
    m->history->events = bridge_array(a, 1);
    if (arena_failed(a)) return (struct str){NULL, 0};
    m->history->events[0] =
        bridge_message(a, &pb_history__history_event__descriptor, sample_event(a));
    m->n_messages = 2;
    m->messages = bridge_array(a, 2);
    for (size_t i = 0; i < 2 && m->messages; i++) {
        m->messages[i] = bridge_new(a, PbProtocol__Message, pb_protocol__message);
        m->messages[i]->id = bridge_text(a, i ? STR("m2") : STR("m1"));
    }
    m->query = bridge_new(a, PbQuery__WorkflowQuery, pb_query__workflow_query);
    m->query->query_type = bridge_text(a, STR("state"));
    return bridge_pack(a, m);
}

static void test_parts(void)
{
    CASE("parts are taken out of a reply");
    struct err e;
    struct bridge_part parts[] = {{.tag = 8, .type = &rec_type_history},
                                  {.tag = 15, .type = &rec_type_protocol_message},
                                  {.tag = 10, .type = NULL},
                                  {.tag = 14, .type = NULL}};
    Pb__PollWorkflowTaskQueueResponse *m;
    CHECK_INT(bridge_read(&arena, &pb__poll_workflow_task_queue_response__descriptor,
                          sample_task(&arena), parts, 4, &m, &e),
              0);
    CHECK(m->attempt == 2 && m->started_event_id == 9 && !m->history && !m->query);
    CHECK(str_eq(bridge_str(&m->task_token), STR("token\0x")));
    CHECK(parts[0].n == 1 && parts[1].n == 2 && parts[2].n == 1 && parts[3].n == 0);
    CHECK(same(rec_msg(parts[0].recs[0], T(history, events)), sample_event(&arena)));
    CHECK(str_eqz(rec_str(parts[1].recs[1], T(protocol_message, id)), "m2"));
    PbQuery__WorkflowQuery *q;
    CHECK_INT(bridge_read(&arena, &pb_query__workflow_query__descriptor, parts[2].raw[0], NULL, 0,
                          &q, &e),
              0);
    CHECK_STR(q->query_type, "state");
    arena_free(&arena);
}

static void test_bad(void)
{
    CASE("bad bytes");
    struct err e = {0};
    struct arena src = {0};
    struct str good = sample_task(&src);
    int refused = 0;
    for (size_t n = 0; n < good.n; n++) { /* cut off anywhere, in memory of that very size */
        struct str cut = arena_str(&arena, str_make(good.p, n));
        struct bridge_part part = {.tag = 15, .type = &rec_type_protocol_message};
        void *m;
        int rc = bridge_read(&arena, &pb__poll_workflow_task_queue_response__descriptor, cut, &part,
                             1, &m, &e);
        CHECK(rc == 0 || rc == ERR_PROTO);
        refused += rc != 0;
    }
    CHECK(refused > (int)good.n / 2);
    void *m;
    /* a wrong wire type, a group, a tag of zero, a varint without an end */
    static const struct str bad[] = {{"\x0a\x05hi", 4},
                                     {"\x0b\x0c", 2},
                                     {"\x00\x01", 2},
                                     {"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(bridge_read(&arena, &pb__poll_workflow_task_queue_response__descriptor, bad[i],
                              NULL, 0, &m, &e),
                  ERR_PROTO);
    CHECK(strstr(e.text, "PollWorkflowTaskQueueResponse"));
    arena_free(&arena);
    arena_free(&src);
}

static void test_depth(void)
{
    CASE("a reply that nests without end is refused before it is unpacked");
    struct err e = {0};
    struct buf b, c;
    buf_init(&b, 1 << 20);
    buf_init(&c, 1 << 20);
    PbFailure__Failure *m;
    int limit = 0;
    for (int depth = 1; depth <= 300; depth++) {
        int rc =
            bridge_read(&arena, &pb_failure__failure__descriptor, buf_str(&b), NULL, 0, &m, &e);
        if (rc && !limit) limit = depth;
        CHECK_INT(rc, limit ? ERR_LIMIT : 0);
        buf_reset(&c);
        buf_putstr(&c, buf_str(&b));
        buf_reset(&b);
        buf_putc(&b, 0x22); /* cause */
        if (c.n >= 128) buf_putc(&b, (char)(c.n | 0x80));
        buf_putc(&b, (char)(c.n >= 128 ? c.n >> 7 : c.n));
        buf_putstr(&b, buf_str(&c));
        arena_free(&arena);
    }
    CHECK_INT(limit, REC_DEPTH_MAX + 1);
    CHECK(strstr(e.text, "deeper"));
    buf_free(&b);
    buf_free(&c);
}

static void test_memory(void)
{
    CASE("every allocation may fail");
    for (long at = 1;; at++) {
        struct err e;
        struct arena src = {0}, a = {0};
        struct bridge_part parts[] = {{.tag = 8, .type = &rec_type_history}};
        void *m;
        mem_fail_at(at, true);
        struct str bytes = sample_task(&src);
        int rc = bytes.p ? bridge_read(&a, &pb__poll_workflow_task_queue_response__descriptor,
                                       bytes, parts, 1, &m, &e)
                         : ERR_NOMEM;
        mem_fail_at(0, false);
        CHECK(rc == 0 || rc == ERR_NOMEM);
        arena_free(&src);
        arena_free(&a);
        if (rc == 0) break;
        CHECK(at < 1000);
    }
}

int main(void)
{
    test_out();
    test_unknown();
    test_text();
    test_times();
    test_parts();
    test_bad();
    test_depth();
    test_memory();
    return CHECK_DONE();
}
