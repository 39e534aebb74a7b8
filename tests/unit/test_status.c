/* Each way in which the service refuses becomes a typed status and an error that says what to do.
 */
#include "check.h"
#include "temporal/bridge.h"
#include "temporal/proto/details.pb-c.h"
#include "temporal/proto/google_rpc.pb-c.h"
#include "temporal/status.h"

static struct arena arena;
static const struct str ns = {"shop", 4};

static PbGoogle__Any *any(const ProtobufCMessageDescriptor *d, const void *m)
{
    PbGoogle__Any *any = bridge_new(&arena, PbGoogle__Any, pb_google__any);
    any->type_url = bridge_text(&arena, arena_printf(&arena, "type.googleapis.com/%s", d->name));
    any->value = bridge_bytes(&arena, bridge_pack(&arena, m));
    return any;
}

/* A status with one detail, as a server would send it, read. */
static struct status status_with(int code, const char *message, PbGoogle__Any *detail)
{
    PbRpc__Status *m = bridge_new(&arena, PbRpc__Status, pb_rpc__status);
    m->code = code;
    m->message = bridge_text(&arena, str_of(message));
    m->n_details = detail ? 1 : 0;
    m->details = bridge_array(&arena, 1);
    m->details[0] = detail;
    struct status s;
    CHECK_INT(status_read(&arena, code, str_of(message), bridge_pack(&arena, m), &s), 0);
    return s;
}

static void says(const struct status *s, int code, const char *words)
{
    struct err e = {0};
    CHECK_INT(status_err(s, "start workflow w-1", ns, &e), code);
    if (code) CHECK(strncmp(e.text, "start workflow w-1: ", 20) == 0);
    if (code && !strstr(e.text, words)) fprintf(stderr, "%s\n", e.text);
    if (code) CHECK(strstr(e.text, words));
}

#define DETAIL(Type, prefix)                                                                       \
    PbDetails__##Type d;                                                                           \
    pb_details__##prefix##__init(&d);                                                              \
    const ProtobufCMessageDescriptor *type = &pb_details__##prefix##__descriptor

static void test_details(void)
{
    CASE("details");
    {
        DETAIL(WorkflowExecutionAlreadyStartedFailure, workflow_execution_already_started_failure);
        d.run_id = (char *)(uintptr_t) "run-9";
        d.start_request_id = (char *)(uintptr_t) "req-1";
        struct status s = status_with(STATUS_ALREADY_EXISTS, "exists", any(type, &d));
        CHECK(s.detail == DETAIL_ALREADY_STARTED && str_eqz(s.run_id, "run-9") &&
              str_eqz(s.request_id, "req-1"));
        says(&s, ERR_EXISTS, "run-9");
    }
    {
        DETAIL(NamespaceNotFoundFailure, namespace_not_found_failure);
        d.namespace_ = (char *)(uintptr_t) "nowhere";
        struct status s = status_with(STATUS_NOT_FOUND, "x", any(type, &d));
        CHECK(s.detail == DETAIL_NAMESPACE_NOT_FOUND);
        says(&s, ERR_NOTFOUND, "temporal operator namespace create nowhere");
    }
    {
        DETAIL(NamespaceInvalidStateFailure, namespace_invalid_state_failure);
        d.state = PB__NAMESPACE_STATE__NAMESPACE_STATE_DELETED;
        struct status s = status_with(STATUS_FAILED_PRECONDITION, "x", any(type, &d));
        says(&s, ERR_ARG, "\"shop\" is DELETED");
    }
    {
        DETAIL(ResourceExhaustedFailure, resource_exhausted_failure);
        d.cause = PB__RESOURCE_EXHAUSTED_CAUSE__RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW;
        d.scope = PB__RESOURCE_EXHAUSTED_SCOPE__RESOURCE_EXHAUSTED_SCOPE_NAMESPACE;
        struct status s = status_with(STATUS_RESOURCE_EXHAUSTED, "busy", any(type, &d));
        CHECK(s.cause == (int)d.cause && s.scope == (int)d.scope);
        says(&s, ERR_LIMIT, "BUSY_WORKFLOW");
        d.cause = (Pb__ResourceExhaustedCause)9999;
        s = status_with(STATUS_RESOURCE_EXHAUSTED, "busy", any(type, &d));
        says(&s, ERR_LIMIT, "unknown");
    }
    {
        DETAIL(ServerVersionNotSupportedFailure, server_version_not_supported_failure);
        d.server_version = (char *)(uintptr_t) "1.2.3";
        d.client_supported_server_versions = (char *)(uintptr_t) ">=9.0.0";
        struct status s = status_with(STATUS_FAILED_PRECONDITION, "x", any(type, &d));
        says(&s, ERR_UNSUPPORTED, "version 1.2.3, this program needs >=9.0.0");
    }
    {
        DETAIL(PermissionDeniedFailure, permission_denied_failure);
        d.reason = (char *)(uintptr_t) "read only";
        struct status s = status_with(STATUS_PERMISSION_DENIED, "x", any(type, &d));
        says(&s, ERR_ARG, "permission denied: read only");
    }
    {
        DETAIL(QueryFailedFailure, query_failed_failure);
        PbFailure__Failure f = PB_FAILURE__FAILURE__INIT;
        f.message = (char *)(uintptr_t) "no such thing";
        d.failure = &f;
        struct status s = status_with(STATUS_INVALID_ARGUMENT, "no such thing", any(type, &d));
        CHECK(str_eqz(rec_str(s.failure, T(failure, message)), "no such thing"));
        says(&s, ERR_FAILED, "no such thing");
    }
    arena_free(&arena);
}

static void test_multi(void)
{
    CASE("an update with start: the operation to blame");
    DETAIL(MultiOperationExecutionFailure, multi_operation_execution_failure);
    PbDetails__WorkflowExecutionAlreadyStartedFailure started;
    pb_details__workflow_execution_already_started_failure__init(&started);
    started.run_id = (char *)(uintptr_t) "run-3";
    PbFailure__MultiOperationExecutionAborted aborted;
    pb_failure__multi_operation_execution_aborted__init(&aborted);
    PbDetails__MultiOperationExecutionFailure__OperationStatus op[2], *ops[2] = {&op[0], &op[1]};
    PbGoogle__Any *details[2];
    for (int i = 0; i < 2; i++) {
        pb_details__multi_operation_execution_failure__operation_status__init(&op[i]);
        op[i].n_details = 1;
        op[i].details = &details[i];
    }
    op[0].code = STATUS_ABORTED;
    details[0] = any(&pb_failure__multi_operation_execution_aborted__descriptor, &aborted);
    op[1].code = STATUS_ALREADY_EXISTS;
    details[1] = any(&pb_details__workflow_execution_already_started_failure__descriptor, &started);
    d.n_statuses = 2;
    d.statuses = ops;
    struct status s = status_with(STATUS_ALREADY_EXISTS, "multi", any(type, &d));
    CHECK(s.n_operations == 2 && s.operations[0].detail == DETAIL_OPERATION_ABORTED);
    CHECK(status_blamed(&s) == &s.operations[1]);
    says(&s, ERR_EXISTS, "run-3");
    /* operations of operations are not looked at, however deep a server nests them */
    for (int depth = 0; depth < 100; depth++) {
        op[0].code = STATUS_ABORTED;
        details[0] = any(type, &d);
    }
    s = status_with(STATUS_ABORTED, "multi", any(type, &d));
    CHECK(s.n_operations == 2 && s.operations[0].n_operations == 0);
    arena_free(&arena);
}

static void test_codes(void)
{
    CASE("codes without a detail");
    static const struct {
        int code, err;
        const char *words;
    } table[] = {{STATUS_OK, 0, ""},
                 {STATUS_CANCELLED, ERR_CANCELED, "why"},
                 {STATUS_INVALID_ARGUMENT, ERR_ARG, "why"},
                 {STATUS_DEADLINE_EXCEEDED, ERR_TIMEOUT, "worker"},
                 {STATUS_NOT_FOUND, ERR_NOTFOUND, "why"},
                 {STATUS_PERMISSION_DENIED, ERR_ARG, "namespace \"shop\""},
                 {STATUS_UNAUTHENTICATED, ERR_ARG, "--api-key"},
                 {STATUS_UNIMPLEMENTED, ERR_UNSUPPORTED, "too old"},
                 {STATUS_UNAVAILABLE, ERR_IO, "not to be reached"},
                 {STATUS_RESOURCE_EXHAUSTED, ERR_LIMIT, "too much to do"},
                 {77, ERR_IO, "why"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct status s;
        CHECK_INT(status_read(&arena, table[i].code, STR("why"), (struct str){NULL, 0}, &s), 0);
        says(&s, table[i].err, table[i].words);
    }
    struct status s;
    CHECK_INT(status_read(&arena, STATUS_RESOURCE_EXHAUSTED,
                          STR("grpc: received message larger than max (5000000 vs. 4194304)"),
                          (struct str){NULL, 0}, &s),
              0);
    says(&s, ERR_LIMIT, "4 MiB");
    CHECK_INT(status_read(&arena, STATUS_INTERNAL, STR(""), (struct str){NULL, 0}, &s), 0);
    says(&s, ERR_IO, "no reason");
    /* junk for details: code and message stand */
    CHECK_INT(status_read(&arena, STATUS_NOT_FOUND, STR("gone"), STR("\xff\xff\xff"), &s), 0);
    says(&s, ERR_NOTFOUND, "gone");
    CHECK(s.detail == DETAIL_NONE);
    PbGoogle__Any unknown = PB_GOOGLE__ANY__INIT;
    unknown.type_url = (char *)(uintptr_t) "type.googleapis.com/not.known";
    s = status_with(STATUS_NOT_FOUND, "gone", &unknown);
    CHECK(s.detail == DETAIL_NONE);
    unknown.type_url =
        (char *)(uintptr_t) "type.googleapis.com/temporal.api.errordetails.v1.NotFoundFailure";
    unknown.value = (ProtobufCBinaryData){2, (uint8_t *)(uintptr_t) "\xff\xff"};
    s = status_with(STATUS_NOT_FOUND, "gone", &unknown);
    CHECK(s.detail == DETAIL_NONE);
    arena_free(&arena);
}

int main(void)
{
    test_details();
    test_multi();
    test_codes();
    return CHECK_DONE();
}
