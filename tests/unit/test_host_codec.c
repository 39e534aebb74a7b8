/* A program's own codec (ml_codec) between a server's messages and the host. */
#include "check.h"
#include "host/host_internal.h"
#include "temporal/codec.h"
#include "temporal/proto/workflowservice.pb-c.h"

static ml_host host;
static struct arena arena;

/* Turns every byte around behind a marker, in two pieces. */
static int turn_around(void *ud, const void *payload, size_t n, ml_put_fn put, void *to)
{
    (*(int *)ud)++;
    if (n > 200) {
        put(to, "too long for me", 15);
        return 1;
    }
    put(to, "\x12", 1); /* Payload.data */
    char rest[202] = {(char)(n + 1), '~'};
    for (size_t i = 0; i < n; i++)
        rest[2 + i] = (char)~((const char *)payload)[i];
    put(to, rest, n + 2);
    return 0;
}

static int turn_back(void *ud, const void *payload, size_t n, ml_put_fn put, void *to)
{
    const char *p = payload;
    (void)ud;
    bool ours = n > 2 && p[0] == 0x12 && p[2] == '~';
    for (size_t i = ours ? 3 : 0; i < n; i++) {
        char c = ours ? (char)~p[i] : p[i];
        put(to, &c, 1);
    }
    return 0;
}

static bool holds(struct str s, const char *what)
{
    for (size_t n = strlen(what), i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, what, n) == 0) return true;
    return false;
}

static struct str signal_of(const char *json)
{
    Pb__SignalWorkflowExecutionRequest *q = bridge_new(&arena, Pb__SignalWorkflowExecutionRequest,
                                                       pb__signal_workflow_execution_request);
    q->input = bridge_message(&arena, &pb_common__payloads__descriptor,
                              payloads_of_json(&arena, str_of(json)));
    return bridge_pack(&arena, q);
}

int main(void)
{
    const ProtobufCMessageDescriptor *d = &pb__signal_workflow_execution_request__descriptor;
    int calls = 0;
    const ml_codec given = {.encode = turn_around, .decode = turn_back, .ud = &calls};
    struct codec c;
    struct err e = {0};
    struct str out, back;
    char large[300] = "";
    arena_init(&arena, 0);
    CASE("no codec");
    CHECK(host_codec(&host, NULL, &c) == NULL);
    CASE("both ways, also what it did not make");
    CHECK(host_codec(&host, &given, &c) == &c && !c.plain_failures);
    struct str in = signal_of("\"SECRET\"");
    CHECK_INT(codec_encode(&c, &arena, d, in, &out, &e), 0);
    CHECK(calls == 1 && !str_eq(in, out) && !holds(out, "SECRET"));
    CHECK_INT(codec_decode(&c, &arena, d, out, NULL, 0, &back, &e), 0);
    CHECK(str_eq(in, back));
    CHECK_INT(codec_decode(&c, &arena, d, in, NULL, 0, &back, &e), 0);
    CHECK(str_eq(in, back));
    CASE("its refusal is an error with its words, and nothing is sent");
    memset(large, '1', sizeof large - 1);
    CHECK_INT(codec_encode(&c, &arena, d, signal_of(large), &out, &e), ERR_FAILED);
    CHECK(strstr(e.text, "could not encode a payload: too long for me"));
    arena_free(&arena);
    return CHECK_DONE();
}
