/* The fuzz target of server replies (fuzz/fuzz_messages.c), fed mutations of good replies: bytes
 * changed, cut, doubled, by a seed that is printed.
 *
 *   test_message_bytes [SEED [ROUNDS]] */
#include "base/rng.h"
#include "check.h"
#include "history/event.h"
#include "temporal/bridge.h"
#include "temporal/proto/details.pb-c.h"
#include "temporal/proto/google_rpc.pb-c.h"
#include "temporal/proto/workflowservice.pb-c.h"

#define BYTES_MAX 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct arena arena;

static struct str sample_history(void)
{
    struct rec *h = rec_new(&arena, &rec_type_history);
    for (int type = 1; type <= 60; type++) {
        struct rec *attrs = NULL;
        rec_add_msg(h, T(history, events), event_new(&arena, type, type, type, &attrs));
    }
    struct rec *attrs,
        *failed = event_new(&arena, 61, 1, EVENT_TYPE_WORKFLOW_EXECUTION_FAILED, &attrs);
    rec_set_msg(attrs, T(ev_workflow_execution_failed, failure),
                failure_app(&arena, STR("Bad"), STR("no"), true,
                            payloads_of_json(&arena, STR("[1,2]")),
                            failure_canceled(&arena, STR("x"), NULL)));
    rec_add_msg(h, T(history, events), failed);
    return bridge_pack(&arena, bridge_message(&arena, &pb_history__history__descriptor, h));
}

static struct str sample_task(struct str history)
{
    Pb__PollWorkflowTaskQueueResponse *m = bridge_new(&arena, Pb__PollWorkflowTaskQueueResponse,
                                                      pb__poll_workflow_task_queue_response);
    struct err e;
    m->task_token = bridge_bytes(&arena, STR("token"));
    CHECK_INT(
        bridge_read(&arena, &pb_history__history__descriptor, history, NULL, 0, &m->history, &e),
        0);
    m->query = bridge_new(&arena, PbQuery__WorkflowQuery, pb_query__workflow_query);
    m->query->query_type = bridge_text(&arena, STR("state"));
    return bridge_pack(&arena, m);
}

static struct str sample_status(void)
{
    PbDetails__WorkflowExecutionAlreadyStartedFailure d;
    pb_details__workflow_execution_already_started_failure__init(&d);
    d.run_id = bridge_text(&arena, STR("run"));
    PbRpc__Status *s = bridge_new(&arena, PbRpc__Status, pb_rpc__status);
    s->n_details = 1;
    s->details = bridge_array(&arena, 1);
    s->details[0] = bridge_new(&arena, PbGoogle__Any, pb_google__any);
    s->details[0]->type_url = bridge_text(
        &arena, STR("type.googleapis.com/"
                    "temporal.api.errordetails.v1.WorkflowExecutionAlreadyStartedFailure"));
    s->details[0]->value = bridge_bytes(&arena, bridge_pack(&arena, &d));
    return bridge_pack(&arena, s);
}

static size_t mutate(struct rng *r, const struct str from, uint8_t *to)
{
    size_t n = from.n < BYTES_MAX / 2 ? from.n : BYTES_MAX / 2;
    memcpy(to, from.p, n);
    for (uint64_t changes = 1 + rng_below(r, 4); changes && n; changes--) {
        size_t at = rng_below(r, n), most = n - at;
        switch (rng_below(r, 5)) {
        case 0:
            to[at] = (uint8_t)rng_below(r, 256);
            break;
        case 1:
            to[at] ^= (uint8_t)(1u << rng_below(r, 8));
            break;
        case 2:
            n = at;
            break;
        case 3: /* a piece twice */
            if (n + most > BYTES_MAX) break;
            memmove(to + at + most, to + at, most);
            n += most;
            break;
        default: /* a piece away */
            memmove(to + at, to + at + most / 2, most - most / 2);
            n -= most / 2;
            break;
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    const char *seed = argc > 1 ? argv[1] : "replies";
    long rounds = argc > 2 ? atol(argv[2]) : 20000;
    struct rng r;
    static uint8_t bytes[BYTES_MAX + 1];
    struct str history = sample_history();
    const struct str good[] = {sample_task(history), history, sample_status()};
    CASE("mutated replies");
    printf("seed %s, %ld rounds\n", seed, rounds);
    rng_seed(&r, str_of(seed));
    for (int kind = 0; kind < 3; kind++) { /* the good ones too */
        CHECK(good[kind].n > 0 && good[kind].n < BYTES_MAX / 2);
        bytes[0] = (uint8_t)kind;
        memcpy(bytes + 1, good[kind].p, good[kind].n);
        LLVMFuzzerTestOneInput(bytes, good[kind].n + 1);
    }
    for (long i = 0; i < rounds; i++) {
        int kind = (int)rng_below(&r, 3);
        bytes[0] = (uint8_t)kind;
        LLVMFuzzerTestOneInput(bytes, mutate(&r, good[kind], bytes + 1) + 1);
    }
    arena_free(&arena);
    return CHECK_DONE();
}
