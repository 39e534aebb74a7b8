/* See status.h. */
#include "temporal/status.h"
#include "temporal/bridge.h"
#include "temporal/proto/details.pb-c.h"
#include "temporal/proto/google_rpc.pb-c.h"

#define DETAILS_MAX 16 /* Any messages looked at */
#define OPERATIONS_MAX 16

static struct str text_of(const char *z)
{
    return str_of(z); /* protobuf-c's strings are never NULL */
}

/* ---- decoding ---- */
/* Each kind of detail: its message, and what is taken from it. */
static void take_already_started(struct arena *a, const void *m, struct status *s)
{
    const PbDetails__WorkflowExecutionAlreadyStartedFailure *d = m;
    (void)a;
    s->run_id = text_of(d->run_id);
    s->request_id = text_of(d->start_request_id);
}

static void take_namespace_not_found(struct arena *a, const void *m, struct status *s)
{
    (void)a;
    s->name = text_of(((const PbDetails__NamespaceNotFoundFailure *)m)->namespace_);
}

static void take_namespace_state(struct arena *a, const void *m, struct status *s)
{
    const PbDetails__NamespaceInvalidStateFailure *d = m;
    (void)a;
    s->name = text_of(d->namespace_);
    s->state = (int)d->state;
}

static void take_namespace_not_active(struct arena *a, const void *m, struct status *s)
{
    const PbDetails__NamespaceNotActiveFailure *d = m;
    (void)a;
    s->name = text_of(d->namespace_);
    s->wanted = text_of(d->active_cluster);
}

static void take_namespace_unavailable(struct arena *a, const void *m, struct status *s)
{
    (void)a;
    s->name = text_of(((const PbDetails__NamespaceUnavailableFailure *)m)->namespace_);
}

static void take_query_failed(struct arena *a, const void *m, struct status *s)
{
    const PbDetails__QueryFailedFailure *d = m;
    if (bridge_record(a, d->failure, &rec_type_failure, &s->failure, NULL)) s->failure = NULL;
}

static void take_exhausted(struct arena *a, const void *m, struct status *s)
{
    const PbDetails__ResourceExhaustedFailure *d = m;
    (void)a;
    s->cause = (int)d->cause;
    s->scope = (int)d->scope;
}

static void take_denied(struct arena *a, const void *m, struct status *s)
{
    (void)a;
    s->name = text_of(((const PbDetails__PermissionDeniedFailure *)m)->reason);
}

static void take_server_version(struct arena *a, const void *m, struct status *s)
{
    const PbDetails__ServerVersionNotSupportedFailure *d = m;
    (void)a;
    s->name = text_of(d->server_version);
    s->wanted = text_of(d->client_supported_server_versions);
}

static void take_client_version(struct arena *a, const void *m, struct status *s)
{
    const PbDetails__ClientVersionNotSupportedFailure *d = m;
    (void)a;
    s->name = text_of(d->client_version);
    s->wanted = text_of(d->supported_versions);
}

static void take_system_workflow(struct arena *a, const void *m, struct status *s)
{
    (void)a;
    s->name = text_of(((const PbDetails__SystemWorkflowFailure *)m)->workflow_error);
}

static void take_multi(struct arena *a, const void *m, struct status *s);

struct kind {
    enum status_detail detail;
    const ProtobufCMessageDescriptor *descriptor;
    void (*take)(struct arena *a, const void *m, struct status *s); /* NULL: the kind says it all */
};
static const struct kind kinds[] = {
    {DETAIL_ALREADY_STARTED, &pb_details__workflow_execution_already_started_failure__descriptor,
     take_already_started},
    {DETAIL_NAMESPACE_NOT_FOUND, &pb_details__namespace_not_found_failure__descriptor,
     take_namespace_not_found},
    {DETAIL_NAMESPACE_INVALID_STATE, &pb_details__namespace_invalid_state_failure__descriptor,
     take_namespace_state},
    {DETAIL_NAMESPACE_NOT_ACTIVE, &pb_details__namespace_not_active_failure__descriptor,
     take_namespace_not_active},
    {DETAIL_NAMESPACE_UNAVAILABLE, &pb_details__namespace_unavailable_failure__descriptor,
     take_namespace_unavailable},
    {DETAIL_QUERY_FAILED, &pb_details__query_failed_failure__descriptor, take_query_failed},
    {DETAIL_RESOURCE_EXHAUSTED, &pb_details__resource_exhausted_failure__descriptor,
     take_exhausted},
    {DETAIL_MULTI_OPERATION, &pb_details__multi_operation_execution_failure__descriptor,
     take_multi},
    {DETAIL_OPERATION_ABORTED, &pb_failure__multi_operation_execution_aborted__descriptor, NULL},
    {DETAIL_PERMISSION_DENIED, &pb_details__permission_denied_failure__descriptor, take_denied},
    {DETAIL_SERVER_VERSION, &pb_details__server_version_not_supported_failure__descriptor,
     take_server_version},
    {DETAIL_CLIENT_VERSION, &pb_details__client_version_not_supported_failure__descriptor,
     take_client_version},
    {DETAIL_WORKFLOW_NOT_READY, &pb_details__workflow_not_ready_failure__descriptor, NULL},
    {DETAIL_CANCEL_REQUESTED, &pb_details__cancellation_already_requested_failure__descriptor,
     NULL},
    {DETAIL_BUFFER_LOST, &pb_details__workflow_task_completion_buffer_lost_failure__descriptor,
     NULL},
    {DETAIL_SYSTEM_WORKFLOW, &pb_details__system_workflow_failure__descriptor,
     take_system_workflow},
    {DETAIL_NOT_FOUND, &pb_details__not_found_failure__descriptor, NULL},
};

/* `inner`: of an operation, where no further operations are looked at. */
static void take_details(struct arena *a, PbGoogle__Any **details, size_t n, bool inner,
                         struct status *s)
{
    for (size_t i = 0; i < n && i < DETAILS_MAX; i++) {
        const char *slash = strrchr(details[i]->type_url, '/');
        const char *name = slash ? slash + 1 : details[i]->type_url;
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            if (strcmp(name, kinds[k].descriptor->name) != 0) continue;
            if (inner && kinds[k].detail == DETAIL_MULTI_OPERATION) return;
            void *m;
            if (bridge_read(a, kinds[k].descriptor, bridge_str(&details[i]->value), NULL, 0, &m,
                            NULL))
                return;
            s->detail = kinds[k].detail;
            if (kinds[k].take) kinds[k].take(a, m, s);
            return;
        }
    }
}

static void take_multi(struct arena *a, const void *m, struct status *s)
{
    const PbDetails__MultiOperationExecutionFailure *d = m;
    size_t n = d->n_statuses < OPERATIONS_MAX ? d->n_statuses : OPERATIONS_MAX;
    struct status *all = arena_alloc(a, n * sizeof *all + 1);
    if (!all) return;
    for (size_t i = 0; i < n; i++) {
        all[i].code = d->statuses[i]->code;
        all[i].message = text_of(d->statuses[i]->message);
        take_details(a, d->statuses[i]->details, d->statuses[i]->n_details, true, &all[i]);
    }
    s->operations = all;
    s->n_operations = n;
}

int status_read(struct arena *a, int code, struct str message, struct str details,
                struct status *out)
{
    *out = (struct status){.code = code, .message = arena_str(a, message)};
    PbRpc__Status *m;
    struct str copy = details.n ? arena_str(a, details) : (struct str){NULL, 0};
    if (copy.n && !bridge_read(a, &pb_rpc__status__descriptor, copy, NULL, 0, &m, NULL)) {
        if (!out->message.n) out->message = text_of(m->message);
        take_details(a, m->details, m->n_details, false, out);
    }
    return arena_failed(a) ? ERR_NOMEM : 0;
}

/* ---- words ---- */
static const int err_codes[] = {[STATUS_CANCELLED] = ERR_CANCELED,
                                [STATUS_UNKNOWN] = ERR_IO,
                                [STATUS_INVALID_ARGUMENT] = ERR_ARG,
                                [STATUS_DEADLINE_EXCEEDED] = ERR_TIMEOUT,
                                [STATUS_NOT_FOUND] = ERR_NOTFOUND,
                                [STATUS_ALREADY_EXISTS] = ERR_EXISTS,
                                [STATUS_PERMISSION_DENIED] = ERR_ARG,
                                [STATUS_RESOURCE_EXHAUSTED] = ERR_LIMIT,
                                [STATUS_FAILED_PRECONDITION] = ERR_ARG,
                                [STATUS_ABORTED] = ERR_IO,
                                [STATUS_OUT_OF_RANGE] = ERR_ARG,
                                [STATUS_UNIMPLEMENTED] = ERR_UNSUPPORTED,
                                [STATUS_INTERNAL] = ERR_IO,
                                [STATUS_UNAVAILABLE] = ERR_IO,
                                [STATUS_DATA_LOSS] = ERR_CORRUPT,
                                [STATUS_UNAUTHENTICATED] = ERR_ARG};

static int code_of(int status)
{
    return status > 0 && (size_t)status < sizeof err_codes / sizeof *err_codes ? err_codes[status]
                                                                               : ERR_IO;
}

/* RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW -> BUSY_WORKFLOW */
static const char *enum_tail(const ProtobufCEnumDescriptor *d, int value, const char *prefix)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);
    size_t n = strlen(prefix);
    return !v ? "unknown" : strncmp(v->name, prefix, n) ? v->name : v->name + n;
}

static const char *exhausted_advice(int cause)
{
    switch (cause) {
    case PB__RESOURCE_EXHAUSTED_CAUSE__RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW:
        return "too much is sent to this one run at once; try again in a moment";
    case PB__RESOURCE_EXHAUSTED_CAUSE__RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT:
    case PB__RESOURCE_EXHAUSTED_CAUSE__RESOURCE_EXHAUSTED_CAUSE_APS_LIMIT:
    case PB__RESOURCE_EXHAUSTED_CAUSE__RESOURCE_EXHAUSTED_CAUSE_OPS_LIMIT:
        return "the rate limit is reached; send fewer requests, or raise the limit of the "
               "namespace";
    case PB__RESOURCE_EXHAUSTED_CAUSE__RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT:
        return "too many requests or polls are open at once; run fewer workers or pollers, or "
               "raise "
               "the limit of the namespace";
    case PB__RESOURCE_EXHAUSTED_CAUSE__RESOURCE_EXHAUSTED_CAUSE_PERSISTENCE_STORAGE_LIMIT:
        return "the storage of the namespace is full; delete closed runs or shorten its retention";
    case PB__RESOURCE_EXHAUSTED_CAUSE__RESOURCE_EXHAUSTED_CAUSE_WORKER_DEPLOYMENT_LIMITS:
        return "there are too many worker deployments or versions; delete drained versions";
    default:
        return "the server has too much to do; try again later";
    }
}

static int exhausted_err(const struct status *s, const char *doing, struct err *e)
{
    static const char larger[] = "message larger than max";
    bool too_large = false;
    for (size_t i = 0; s->message.n >= sizeof larger - 1 && i <= s->message.n - sizeof larger + 1;
         i++)
        too_large |= memcmp(s->message.p + i, larger, sizeof larger - 1) == 0;
    if (too_large)
        return err_set(e, ERR_LIMIT,
                       "%s: the message is larger than gRPC allows (4 MiB): keep large values in a "
                       "store and pass their names (" STR_FMT ")",
                       doing, STR_ARG(s->message));
    return err_set(
        e, ERR_LIMIT, "%s: %s (%s, " STR_FMT ")", doing, exhausted_advice(s->cause),
        enum_tail(&pb__resource_exhausted_cause__descriptor, s->cause, "RESOURCE_EXHAUSTED_CAUSE_"),
        STR_ARG(s->message));
}

static int detail_err(const struct status *s, const char *doing, struct str ns, struct err *e)
{
    struct str name = s->name.n ? s->name : ns;
    switch (s->detail) {
    case DETAIL_ALREADY_STARTED:
        return err_set(e, ERR_EXISTS,
                       "%s: there is a run with this id already, run id " STR_FMT
                       "; use another id, or say how to deal with it (--on-open, --on-closed)",
                       doing, STR_ARG(s->run_id));
    case DETAIL_NAMESPACE_NOT_FOUND:
        return err_set(e, ERR_NOTFOUND,
                       "%s: the server has no namespace \"" STR_FMT
                       "\"; name another with --namespace, or create it: temporal operator "
                       "namespace create " STR_FMT,
                       doing, STR_ARG(name), STR_ARG(name));
    case DETAIL_NAMESPACE_INVALID_STATE:
        return err_set(e, ERR_ARG,
                       "%s: the namespace \"" STR_FMT "\" is %s and takes no such request", doing,
                       STR_ARG(name),
                       enum_tail(&pb__namespace_state__descriptor, s->state, "NAMESPACE_STATE_"));
    case DETAIL_NAMESPACE_NOT_ACTIVE:
        return err_set(e, ERR_IO,
                       "%s: the namespace \"" STR_FMT "\" is active in cluster \"" STR_FMT
                       "\"; connect there",
                       doing, STR_ARG(name), STR_ARG(s->wanted));
    case DETAIL_QUERY_FAILED:
        return err_set(e, ERR_FAILED, "%s: " STR_FMT, doing, STR_ARG(s->message));
    case DETAIL_RESOURCE_EXHAUSTED:
        return exhausted_err(s, doing, e);
    case DETAIL_PERMISSION_DENIED:
        return err_set(e, ERR_ARG,
                       "%s: permission denied%s" STR_FMT
                       "; check the API key or the client certificate and what it may do in "
                       "namespace \"" STR_FMT "\"",
                       doing, s->name.n ? ": " : "", STR_ARG(s->name), STR_ARG(ns));
    case DETAIL_SERVER_VERSION:
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the server is version " STR_FMT ", this program needs " STR_FMT
                       "; upgrade the server",
                       doing, STR_ARG(s->name), STR_ARG(s->wanted));
    case DETAIL_CLIENT_VERSION:
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the server does not take clients of version " STR_FMT ", only " STR_FMT,
                       doing, STR_ARG(s->name), STR_ARG(s->wanted));
    case DETAIL_WORKFLOW_NOT_READY:
        return err_set(e, ERR_STALE,
                       "%s: the run is not ready for it; its worker has not answered yet, try "
                       "again (" STR_FMT ")",
                       doing, STR_ARG(s->message));
    default:
        return 0;
    }
}

static int code_err(const struct status *s, const char *doing, struct str ns, struct err *e)
{
    switch (s->code) {
    case STATUS_RESOURCE_EXHAUSTED:
        return exhausted_err(s, doing, e);
    case STATUS_PERMISSION_DENIED:
        return err_set(e, ERR_ARG,
                       "%s: permission denied; check the API key or the client certificate and "
                       "what it may do in namespace \"" STR_FMT "\" (" STR_FMT ")",
                       doing, STR_ARG(ns), STR_ARG(s->message));
    case STATUS_UNAUTHENTICATED:
        return err_set(e, ERR_ARG,
                       "%s: the server does not know who asks; give --api-key or a client "
                       "certificate (" STR_FMT ")",
                       doing, STR_ARG(s->message));
    case STATUS_UNAVAILABLE:
        return err_set(e, ERR_IO, "%s: the server is not to be reached (" STR_FMT ")", doing,
                       STR_ARG(s->message));
    case STATUS_DEADLINE_EXCEEDED:
        return err_set(e, ERR_TIMEOUT,
                       "%s: no answer in time; is a worker polling the task queue? (" STR_FMT ")",
                       doing, STR_ARG(s->message));
    case STATUS_UNIMPLEMENTED:
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the server does not know this call; it is too old, or it is no "
                       "Temporal server (" STR_FMT ")",
                       doing, STR_ARG(s->message));
    default:
        return err_set(e, code_of(s->code), "%s: " STR_FMT, doing,
                       STR_ARG(s->message.n ? s->message : STR("the server gives no reason")));
    }
}

const struct status *status_blamed(const struct status *s)
{
    for (size_t i = 0; i < s->n_operations; i++)
        if (s->operations[i].code && s->operations[i].detail != DETAIL_OPERATION_ABORTED)
            return &s->operations[i];
    return s;
}

int status_err(const struct status *s, const char *doing, struct str ns, struct err *e)
{
    if (s->code == STATUS_OK) return 0;
    s = status_blamed(s);
    int rc = detail_err(s, doing, ns, e);
    return rc ? rc : code_err(s, doing, ns, e);
}
