/* Activities completed from outside their worker: by the task's token or by workflow and activity
 * id. A token is text (base64 of the server's bytes), so that it travels in JSON. */
#include "base/buf.h"
#include "temporal/client_internal.h"
#include "temporal/worker_half.h"

static int token_bytes(struct arena *a, struct str text, ProtobufCBinaryData *out)
{
    struct buf b;
    buf_init(&b, text.n + 4);
    int rc = text.n ? base64_decode(text, &b) : ERR_PROTO;
    if (!rc) *out = bridge_bytes(a, buf_str(&b));
    buf_free(&b);
    return rc;
}

/* The three answers differ in one member and share the rest; `by_id` or by token. */
#define SET_WHO(q)                                                                                 \
    ((q)->namespace_ = bridge_text(a, str_of(c->t->ns)),                                           \
     (q)->identity = bridge_text(a, str_of(c->t->identity)))
#define SET_IDS(q)                                                                                 \
    (SET_WHO(q), (q)->workflow_id = bridge_text(a, t->workflow_id),                                \
     (q)->run_id = bridge_text(a, t->run_id), (q)->activity_id = bridge_text(a, id))
#define SET_TOKEN(q) (SET_WHO(q), (q)->task_token = token, (q)->deployment_options = deployment)

static void complete_by_token(struct call *c, struct arena *a, ProtobufCBinaryData token,
                              const char *build, const struct backend_activity_completion *done)
{
    PbDeployment__WorkerDeploymentOptions *deployment = tw_deployment(a, c->t->worker, build);
    if (done->kind == ACT_COMPLETED) {
        Pb__RespondActivityTaskCompletedRequest *q =
            bridge_new(a, Pb__RespondActivityTaskCompletedRequest,
                       pb__respond_activity_task_completed_request);
        SET_TOKEN(q);
        q->result = call_payloads(a, done->result);
        call_send(c, METHOD("RespondActivityTaskCompleted"), q, call_read_nothing);
    } else if (done->kind == ACT_FAILED) {
        Pb__RespondActivityTaskFailedRequest *q = bridge_new(
            a, Pb__RespondActivityTaskFailedRequest, pb__respond_activity_task_failed_request);
        SET_TOKEN(q);
        q->failure = bridge_message(a, &pb_failure__failure__descriptor, done->failure);
        q->last_heartbeat_details = call_payloads(a, done->details);
        call_send(c, METHOD("RespondActivityTaskFailed"), q, call_read_nothing);
    } else {
        Pb__RespondActivityTaskCanceledRequest *q = bridge_new(
            a, Pb__RespondActivityTaskCanceledRequest, pb__respond_activity_task_canceled_request);
        SET_TOKEN(q);
        q->details = call_payloads(a, done->details);
        call_send(c, METHOD("RespondActivityTaskCanceled"), q, call_read_nothing);
    }
}

static void complete_by_id(struct call *c, struct arena *a, const struct backend_target *t,
                           struct str id, const struct backend_activity_completion *done)
{
    if (done->kind == ACT_COMPLETED) {
        Pb__RespondActivityTaskCompletedByIdRequest *q =
            bridge_new(a, Pb__RespondActivityTaskCompletedByIdRequest,
                       pb__respond_activity_task_completed_by_id_request);
        SET_IDS(q);
        q->result = call_payloads(a, done->result);
        call_send(c, METHOD("RespondActivityTaskCompletedById"), q, call_read_nothing);
    } else if (done->kind == ACT_FAILED) {
        Pb__RespondActivityTaskFailedByIdRequest *q =
            bridge_new(a, Pb__RespondActivityTaskFailedByIdRequest,
                       pb__respond_activity_task_failed_by_id_request);
        SET_IDS(q);
        q->failure = bridge_message(a, &pb_failure__failure__descriptor, done->failure);
        q->last_heartbeat_details = call_payloads(a, done->details);
        call_send(c, METHOD("RespondActivityTaskFailedById"), q, call_read_nothing);
    } else {
        Pb__RespondActivityTaskCanceledByIdRequest *q =
            bridge_new(a, Pb__RespondActivityTaskCanceledByIdRequest,
                       pb__respond_activity_task_canceled_by_id_request);
        SET_IDS(q);
        q->details = call_payloads(a, done->details);
        call_send(c, METHOD("RespondActivityTaskCanceledById"), q, call_read_nothing);
    }
}

void client_complete_attempt(struct backend *b, struct str token, const char *build,
                             const struct backend_activity_completion *done, backend_answer_fn fn,
                             void *ud)
{
    struct call *c =
        call_new_answer(temporal_of(b), fn, ud, "complete an activity", (struct str){NULL, 0});
    ProtobufCBinaryData bytes;
    if (!c) return;
    struct arena *a = call_turn(c);
    if (token_bytes(a, token, &bytes))
        call_fail_later(c, ERR_ARG, "the token is not one that an activity was given");
    else
        complete_by_token(c, a, bytes, build, done);
}

void client_complete_activity(struct backend *b, struct str token,
                              const struct backend_activity_completion *done, backend_answer_fn fn,
                              void *ud)
{
    client_complete_attempt(b, token, NULL, done, fn, ud);
}

void client_complete_activity_by_id(struct backend *b, const struct backend_target *t,
                                    struct str activity_id,
                                    const struct backend_activity_completion *done,
                                    backend_answer_fn fn, void *ud)
{
    struct call *c = call_new_answer(temporal_of(b), fn, ud, "complete activity", activity_id);
    if (c) complete_by_id(c, call_turn(c), t, activity_id, done);
}

/* ---- heartbeats ---- */
static void answer_beat(struct call *c, bool cancel, bool paused, bool reset)
{
    struct backend_answer a = {.kind = BACKEND_OK, .cancel_requested = cancel || paused || reset};
    a.cancel_reason = cancel  ? BACKEND_CANCEL_REQUESTED
                      : reset ? BACKEND_CANCEL_RESET
                              : BACKEND_CANCEL_PAUSED;
    call_answer(c, &a);
}

static int read_beat(struct call *c, struct str bytes, struct err *e)
{
    Pb__RecordActivityTaskHeartbeatResponse *m;
    int rc = call_read(c, &pb__record_activity_task_heartbeat_response__descriptor, bytes, NULL, 0,
                       &m, e);
    if (!rc) answer_beat(c, m->cancel_requested, m->activity_paused, m->activity_reset);
    return rc;
}

void client_heartbeat(struct backend *b, struct str token, const struct rec *details,
                      backend_answer_fn fn, void *ud)
{
    struct call *c =
        call_new_answer(temporal_of(b), fn, ud, "heartbeat of an activity", (struct str){NULL, 0});
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__RecordActivityTaskHeartbeatRequest *q = bridge_new(
        a, Pb__RecordActivityTaskHeartbeatRequest, pb__record_activity_task_heartbeat_request);
    SET_WHO(q);
    q->details = call_payloads(a, details);
    if (token_bytes(a, token, &q->task_token))
        call_fail_later(c, ERR_ARG, "the token is not one that an activity was given");
    else
        call_send(c, METHOD("RecordActivityTaskHeartbeat"), q, read_beat);
}

/* The reply has the same form as the one by token. */
void client_heartbeat_by_id(struct backend *b, const struct backend_target *t, struct str id,
                            const struct rec *details, backend_answer_fn fn, void *ud)
{
    struct call *c = call_new_answer(temporal_of(b), fn, ud, "heartbeat of activity", id);
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__RecordActivityTaskHeartbeatByIdRequest *q =
        bridge_new(a, Pb__RecordActivityTaskHeartbeatByIdRequest,
                   pb__record_activity_task_heartbeat_by_id_request);
    SET_IDS(q);
    q->details = call_payloads(a, details);
    call_send(c, METHOD("RecordActivityTaskHeartbeatById"), q, read_beat);
}
