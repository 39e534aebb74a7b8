/* Payloads through a codec: which of a message's members are changed, the form of AES-256-GCM, keys
 * and their rotation, failures' attributes, and what is told when a payload cannot be opened. */
#include "base/mem.h"
#include "check.h"
#include "history/event.h"
#include "temporal/codec.h"
#include "temporal/proto/failure.pb-c.h"
#include "temporal/proto/history.pb-c.h"
#include "temporal/proto/workflowservice.pb-c.h"
#include <sys/stat.h>
#include <unistd.h>

#define K1 "a2V5LW9uZS1rZXktb25lLWtleS1vbmUta2V5LW9uZSE="
#define K2 "a2V5LXR3by1rZXktdHdvLWtleS10d28ta2V5LXR3byE="

static struct arena arena;

static struct codec keys_of(const char *text)
{
    struct codec_keys *k;
    struct err e = {0};
    int rc = codec_keys_open(str_of(text), NULL, &k, &e);
    if (rc) fprintf(stderr, "%s\n", e.text);
    CHECK_INT(rc, 0);
    return codec_keys_codec(k);
}

static bool holds(struct str s, const char *what)
{
    for (size_t n = strlen(what), i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, what, n) == 0) return true;
    return false;
}

static struct str wire(const struct rec *r)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    CHECK_INT(rec_encode(r, &b), 0);
    struct str s = arena_str(&arena, buf_str(&b));
    buf_free(&b);
    return s;
}

static struct rec *read_back(const struct rec_type *t, struct str bytes)
{
    struct rec *r;
    CHECK_INT(rec_decode(&arena, t, bytes, &r, NULL), 0);
    return r;
}

/* ---- a start request ---- */
static struct str start_request(void)
{
    Pb__StartWorkflowExecutionRequest *q =
        bridge_new(&arena, Pb__StartWorkflowExecutionRequest, pb__start_workflow_execution_request);
    struct rec *memo = rec_new(&arena, &rec_type_memo);
    struct rec *header = rec_new(&arena, &rec_type_header);
    struct rec *attributes = rec_new(&arena, &rec_type_search_attributes);
    struct rec *said = rec_new(&arena, &rec_type_user_metadata);
    rec_set_str(rec_map_set(memo, T(memo, fields), STR("m")), T(payload, data), STR("SECRET-MEMO"));
    rec_set_str(rec_map_set(header, T(header, fields), STR("moonloop")), T(payload, data),
                STR("SECRET-HEADER"));
    rec_set_str(rec_map_set(header, T(header, fields), STR("trace")), T(payload, data),
                STR("\"theirs\""));
    rec_set_str(rec_map_set(attributes, T(search_attributes, indexed_fields), STR("s")),
                T(payload, data), STR("\"open\""));
    rec_set_msg(said, T(user_metadata, summary),
                payload_new(&arena, PAYLOAD_JSON, STR("\"SECRET-SUMMARY\"")));
    q->workflow_id = bridge_text(&arena, STR("order-7"));
    q->input = bridge_message(&arena, &pb_common__payloads__descriptor,
                              payloads_of_json(&arena, STR("\"SECRET-INPUT\"")));
    q->memo = bridge_message(&arena, &pb_common__memo__descriptor, memo);
    q->header = bridge_message(&arena, &pb_common__header__descriptor, header);
    q->search_attributes =
        bridge_message(&arena, &pb_common__search_attributes__descriptor, attributes);
    q->user_metadata = bridge_message(&arena, &pb_sdk__user_metadata__descriptor, said);
    return bridge_pack(&arena, q);
}

static void test_request(void)
{
    CASE("every payload of a request is encrypted, search attributes and others' headers are not");
    const ProtobufCMessageDescriptor *d = &pb__start_workflow_execution_request__descriptor;
    struct codec c = keys_of("first " K1 "\n");
    struct str plain = start_request(), sealed, again;
    struct err e = {0};
    CHECK(holds(plain, "SECRET-MEMO") && holds(plain, "SECRET-SUMMARY"));
    CHECK_INT(codec_encode(&c, &arena, d, plain, &sealed, &e), 0);
    CHECK(!holds(sealed, "SECRET"));
    CHECK(holds(sealed, "\"open\"") && holds(sealed, "order-7") && holds(sealed, "\"theirs\""));
    CHECK_INT(codec_decode(&c, &arena, d, sealed, NULL, 0, &again, &e), 0);
    CHECK(str_eq(plain, again));
    CASE("the nonce differs each time");
    struct str other;
    CHECK_INT(codec_encode(&c, &arena, d, plain, &other, &e), 0);
    CHECK(!str_eq(sealed, other));
    CASE("payloads of before the codec pass");
    CHECK_INT(codec_decode(&c, &arena, d, plain, NULL, 0, &again, &e), 0);
    CHECK(str_eq(plain, again));
    CASE("without a codec nothing is touched");
    CHECK_INT(codec_encode(NULL, &arena, d, plain, &again, &e), 0);
    CHECK(again.p == plain.p);
    codec_keys_close(c.ud);
}

static void test_form(void)
{
    CASE("the form of the official samples: encoding, key id, nonce + ciphertext + tag");
    struct codec c = keys_of("first " K1 "\nsecond " K2);
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 20);
    struct str in = wire(payload_new(&arena, PAYLOAD_JSON, STR("123")));
    CHECK_INT(c.encode(c.ud, in, &out, &e), 0);
    struct rec *p = read_back(&rec_type_payload, arena_str(&arena, buf_str(&out)));
    CHECK(str_eqz(payload_encoding(p), "binary/encrypted"));
    CHECK(str_eqz(rec_map_get_str(p, T(payload, metadata), STR("encryption-key-id")), "first"));
    CHECK_INT(rec_count(p, T(payload, metadata)), 2);
    CHECK_INT(payload_data(p).n, 12 + in.n + 16);
    buf_reset(&out);
    CASE("a changed payload is refused");
    struct str data = payload_data(p);
    ((char *)(uintptr_t)data.p)[14] ^= 1;
    CHECK_INT(c.decode(c.ud, wire(p), &out, &e), ERR_PROTO);
    CHECK(strstr(e.text, "\"first\"") && out.n == 0);
    CASE("one that is cut off is refused");
    rec_set_str(p, T(payload, data), str_make(data.p, 20));
    CHECK_INT(c.decode(c.ud, wire(p), &out, &e), ERR_PROTO);
    CHECK(strstr(e.text, "cut off"));
    buf_free(&out);
    codec_keys_close(c.ud);
}

static void test_rotation(void)
{
    CASE("the first key encrypts, all decrypt, an unknown one is named");
    const ProtobufCMessageDescriptor *d = &pb__start_workflow_execution_request__descriptor;
    struct codec old = keys_of("# keys\n\n  old\t" K1 "  # since May\r\n");
    struct codec both = keys_of("new " K2 "\nold " K1 "\n"), fresh = keys_of("new " K2);
    struct str plain = start_request(), sealed, again = {NULL, 0};
    struct err e = {0};
    CHECK_INT(codec_encode(&old, &arena, d, plain, &sealed, &e), 0);
    CHECK_INT(codec_decode(&both, &arena, d, sealed, NULL, 0, &again, &e), 0);
    CHECK(str_eq(plain, again));
    CHECK_INT(codec_decode(&fresh, &arena, d, sealed, NULL, 0, &again, &e), ERR_NOTFOUND);
    CHECK(strstr(e.text, "\"old\"") && !strstr(e.text, K1) && !strstr(e.text, K2));
    CHECK_INT(codec_encode(&both, &arena, d, plain, &sealed, &e), 0);
    CHECK_INT(codec_decode(&fresh, &arena, d, sealed, NULL, 0, &again, &e), 0);
    CASE("another key under the same id is told as such");
    struct codec wrong = keys_of("new " K1);
    CHECK_INT(codec_decode(&wrong, &arena, d, sealed, NULL, 0, &again, &e), ERR_PROTO);
    CHECK(strstr(e.text, "does not fit its key \"new\""));
    codec_keys_close(old.ud);
    codec_keys_close(both.ud);
    codec_keys_close(fresh.ud);
    codec_keys_close(wrong.ud);
}

static void test_lenient(void)
{
    CASE("a list keeps the memo that it cannot open");
    struct codec mine = keys_of("mine " K1), theirs = keys_of("theirs " K2);
    Pb__ListWorkflowExecutionsResponse *m = bridge_new(&arena, Pb__ListWorkflowExecutionsResponse,
                                                       pb__list_workflow_executions_response);
    PbWorkflow__WorkflowExecutionInfo *i =
        bridge_new(&arena, PbWorkflow__WorkflowExecutionInfo, pb_workflow__workflow_execution_info);
    struct rec *memo = rec_new(&arena, &rec_type_memo);
    rec_set_str(rec_map_set(memo, T(memo, fields), STR("m")), T(payload, data), STR("SECRET"));
    i->memo = bridge_message(&arena, &pb_common__memo__descriptor, memo);
    m->executions = bridge_array(&arena, 1);
    m->executions[m->n_executions++] = i;
    const ProtobufCMessageDescriptor *d = &pb__list_workflow_executions_response__descriptor;
    struct str sealed, out;
    struct err e = {0};
    CHECK_INT(codec_encode(&theirs, &arena, d, bridge_pack(&arena, m), &sealed, &e), 0);
    CHECK_INT(codec_decode(&mine, &arena, d, sealed, NULL, 0, &out, &e), 0);
    CHECK(str_eq(sealed, out));
    codec_keys_close(mine.ud);
    codec_keys_close(theirs.ud);
}

/* ---- failures ---- */
static struct rec *sample_failure(void)
{
    struct rec *cause = failure_app(&arena, STR("Inner"), STR("SECRET-CAUSE"), false, NULL, NULL);
    struct rec *f = failure_app(&arena, STR("Outer"), STR("SECRET \"quoted\""), true,
                                payloads_of_json(&arena, STR("\"SECRET-DETAIL\"")), cause);
    rec_set_str(f, T(failure, stack_trace), STR("SECRET\n\tat line 3"));
    return f;
}

static struct str in_request(const struct rec *failure)
{
    Pb__RespondActivityTaskFailedRequest *q = bridge_new(
        &arena, Pb__RespondActivityTaskFailedRequest, pb__respond_activity_task_failed_request);
    q->failure = bridge_message(&arena, &pb_failure__failure__descriptor, failure);
    return bridge_pack(&arena, q);
}

static struct rec *failure_in(struct str bytes)
{
    Pb__RespondActivityTaskFailedRequest *q;
    struct bridge_part part = {.tag = 2, .type = &rec_type_failure};
    CHECK_INT(bridge_read(&arena, &pb__respond_activity_task_failed_request__descriptor, bytes,
                          &part, 1, &q, NULL),
              0);
    CHECK_INT(part.n, 1);
    return part.recs[0];
}

static void check_sample(const struct rec *f)
{
    CHECK(str_eqz(rec_str(f, T(failure, message)), "SECRET \"quoted\""));
    CHECK(str_eqz(rec_str(f, T(failure, stack_trace)), "SECRET\n\tat line 3"));
    CHECK(str_eqz(rec_str(rec_msg(f, T(failure, cause)), T(failure, message)), "SECRET-CAUSE"));
    CHECK(str_eqz(failure_type(f), "Outer"));
    CHECK(!rec_has(f, T(failure, encoded_attributes)));
}

static void test_failures(void)
{
    CASE("a failure's message, stack trace, details and causes are encrypted");
    const ProtobufCMessageDescriptor *d = &pb__respond_activity_task_failed_request__descriptor;
    struct codec c = keys_of("k " K1);
    struct str plain = in_request(sample_failure()), sealed, back;
    struct err e = {0};
    CHECK_INT(codec_encode(&c, &arena, d, plain, &sealed, &e), 0);
    CHECK(!holds(sealed, "SECRET"));
    const struct rec *f = failure_in(sealed);
    CHECK(str_eqz(rec_str(f, T(failure, message)), CODEC_HIDDEN));
    CHECK_INT(rec_str(f, T(failure, stack_trace)).n, 0);
    CHECK(rec_has(rec_msg(f, T(failure, cause)), T(failure, encoded_attributes)));
    CHECK(str_eqz(failure_type(f), "Outer")); /* what retries go by stays readable */
    CHECK_INT(codec_decode(&c, &arena, d, sealed, NULL, 0, &back, &e), 0);
    check_sample(failure_in(back));
    CASE("plain_failures leaves the message, not the details");
    c.plain_failures = true;
    CHECK_INT(codec_encode(&c, &arena, d, plain, &sealed, &e), 0);
    CHECK(holds(sealed, "SECRET-CAUSE") && !holds(sealed, "SECRET-DETAIL"));
    codec_keys_close(c.ud);
    CASE("encoded attributes of others are read without a codec");
    struct rec *other = rec_new(&arena, &rec_type_failure);
    rec_set_str(other, T(failure, message), STR("Encoded failure"));
    rec_set_msg(
        other, T(failure, encoded_attributes),
        payload_new(&arena, PAYLOAD_JSON,
                    STR("{\"more\":[1],\"message\":\"theirs \\u00e9\",\"stack_trace\":\"at\"}")));
    CHECK_INT(codec_decode(NULL, &arena, d, in_request(other), NULL, 0, &back, &e), 0);
    f = failure_in(back);
    CHECK(str_eqz(rec_str(f, T(failure, message)), "theirs \xc3\xa9"));
    CHECK(str_eqz(rec_str(f, T(failure, stack_trace)), "at"));
    CASE("attributes in a form that is not known stay as they are");
    rec_set_msg(other, T(failure, encoded_attributes), payload_new(&arena, "x/y", STR("??")));
    struct str bytes = in_request(other);
    CHECK_INT(codec_decode(NULL, &arena, d, bytes, NULL, 0, &back, &e), 0);
    f = failure_in(back);
    CHECK(str_eqz(rec_str(f, T(failure, message)), "Encoded failure"));
    CHECK(rec_has(f, T(failure, encoded_attributes)));
}

/* ---- messages in an Any ---- */
static void test_any(void)
{
    CASE("the messages of updates are encrypted in their envelope");
    struct codec c = keys_of("k " K1);
    struct rec *response = rec_new(&arena, &rec_type_update_response);
    struct rec *outcome = rec_sub(response, T(update_response, outcome));
    rec_set_msg(outcome, T(update_outcome, success),
                payloads_of_json(&arena, STR("\"SECRET-ANSWER\"")));
    struct rec *m = rec_new(&arena, &rec_type_protocol_message);
    struct rec *any = rec_sub(m, T(protocol_message, body));
    rec_set_str(any, T(any, type_url), STR("type.googleapis.com/temporal.api.update.v1.Response"));
    rec_set_str(any, T(any, value), wire(response));
    Pb__RespondWorkflowTaskCompletedRequest *q =
        bridge_new(&arena, Pb__RespondWorkflowTaskCompletedRequest,
                   pb__respond_workflow_task_completed_request);
    q->messages = bridge_array(&arena, 1);
    q->messages[q->n_messages++] = bridge_message(&arena, &pb_protocol__message__descriptor, m);
    const ProtobufCMessageDescriptor *d = &pb__respond_workflow_task_completed_request__descriptor;
    struct str plain = bridge_pack(&arena, q), sealed, back;
    struct err e = {0};
    CHECK(holds(plain, "SECRET-ANSWER"));
    CHECK_INT(codec_encode(&c, &arena, d, plain, &sealed, &e), 0);
    CHECK(!holds(sealed, "SECRET") && holds(sealed, "update.v1.Response"));
    CHECK_INT(codec_decode(&c, &arena, d, sealed, NULL, 0, &back, &e), 0);
    CHECK(str_eq(plain, back));
    codec_keys_close(c.ud);
}

static void test_raw_parts(void)
{
    CASE("a raw part is left for whoever reads it");
    struct codec c = keys_of("k " K1);
    Pb__StartWorkflowExecutionResponse *m = bridge_new(&arena, Pb__StartWorkflowExecutionResponse,
                                                       pb__start_workflow_execution_response);
    struct str plain = in_request(sample_failure()), sealed, out;
    struct err e = {0};
    (void)plain;
    m->run_id = bridge_text(&arena, STR("r"));
    m->eager_workflow_task = bridge_new(&arena, Pb__PollWorkflowTaskQueueResponse,
                                        pb__poll_workflow_task_queue_response);
    m->eager_workflow_task->query =
        bridge_new(&arena, PbQuery__WorkflowQuery, pb_query__workflow_query);
    m->eager_workflow_task->query->query_args = bridge_message(
        &arena, &pb_common__payloads__descriptor, payloads_of_json(&arena, STR("\"SECRET\"")));
    const ProtobufCMessageDescriptor *d = &pb__start_workflow_execution_response__descriptor;
    CHECK_INT(codec_encode(&c, &arena, d, bridge_pack(&arena, m), &sealed, &e), 0);
    CHECK(!holds(sealed, "SECRET"));
    const struct bridge_part raw = {.tag = 2};
    CHECK_INT(codec_decode(&c, &arena, d, sealed, &raw, 1, &out, &e), 0);
    CHECK(str_eq(sealed, out));
    CHECK_INT(codec_decode(&c, &arena, d, sealed, NULL, 0, &out, &e), 0);
    CHECK(holds(out, "SECRET"));
    codec_keys_close(c.ud);
}

/* ---- keys ---- */
static void refused(const char *text, const char *says)
{
    struct codec_keys *k;
    struct err e = {0};
    CHECK_INT(codec_keys_open(str_of(text), NULL, &k, &e), ERR_ARG);
    if (!strstr(e.text, says)) fprintf(stderr, "%s\n", e.text);
    CHECK(strstr(e.text, says));
    CHECK(!strstr(e.text, "a2V5"));
}

static void test_keys(void)
{
    CASE("keys that cannot be used are told by their line, never by their content");
    refused("", "no key");
    refused("# nothing\n\n", "no key");
    refused("a " K1 "\nb a2V5\n", "line 2: the key must be 32 bytes");
    refused("a2V5LWl0c2VsZg==\n", "line 1: a line holds an id and a key");
    refused("a " K1 " b\n", "line 1: a line holds an id and a key");
    refused("a " K1 "\na " K2 "\n", "line 2: this id was there already");
    refused("a ????\n", "line 1: the key must be 32 bytes");
}

static void test_file(void)
{
    CASE("a file of keys must be its owner's alone");
    char path[] = "/tmp/ml-codec-XXXXXX";
    struct buf text;
    struct err e = {0};
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, "a " K1, sizeof "a " K1 - 1), sizeof "a " K1 - 1);
    CHECK_INT(codec_keys_read(path, &text, &e), 0);
    CHECK(str_eqz(buf_str(&text), "a " K1));
    codec_wipe(&text);
    CHECK_INT(fchmod(fd, 0640), 0);
    CHECK_INT(codec_keys_read(path, &text, &e), ERR_ARG);
    CHECK(strstr(e.text, "mode 640") && strstr(e.text, "chmod 600") && !strstr(e.text, "a2V5"));
    close(fd);
    unlink(path);
    e = (struct err){0};
    CHECK_INT(codec_keys_read(path, &text, &e), ERR_IO);
    CHECK(strstr(e.text, path));
}

static void test_memory(void)
{
    CASE("each allocation may fail");
    const ProtobufCMessageDescriptor *d = &pb__respond_activity_task_failed_request__descriptor;
    struct codec c = keys_of("k " K1);
    struct str plain = in_request(sample_failure());
    for (long n = 1, rc = 1; rc; n++) {
        struct arena a;
        struct str sealed, back;
        struct err e = {0};
        arena_init(&a, 0);
        CHECK(n < 1000);
        mem_fail_at(n, false);
        rc = codec_encode(&c, &a, d, plain, &sealed, &e);
        if (!rc) rc = codec_decode(&c, &a, d, sealed, NULL, 0, &back, &e);
        mem_fail_at(0, false);
        if (!rc) check_sample(failure_in(arena_str(&arena, back)));
        if (rc) CHECK_INT(rc, ERR_NOMEM);
        arena_free(&a);
    }
    codec_keys_close(c.ud);
}

int main(void)
{
    arena_init(&arena, 0);
    test_request();
    test_form();
    test_rotation();
    test_lenient();
    test_failures();
    test_any();
    test_raw_parts();
    test_keys();
    test_file();
    test_memory();
    arena_free(&arena);
    CHECK_INT(mem_live_count(), 0);
    return CHECK_DONE();
}
