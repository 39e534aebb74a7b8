/* What a failed call of the service means: the google.rpc.Status of grpc-status-details-bin and the
 * temporal.api.errordetails.v1 message in it, as one typed struct, and as an error for people that
 * says what to do. */
#ifndef ML_TEMPORAL_STATUS_H
#define ML_TEMPORAL_STATUS_H
#include "base/err.h"
#include "history/rec.h"

/* gRPC's status codes. */
enum status_code {
    STATUS_OK,
    STATUS_CANCELLED,
    STATUS_UNKNOWN,
    STATUS_INVALID_ARGUMENT,
    STATUS_DEADLINE_EXCEEDED,
    STATUS_NOT_FOUND,
    STATUS_ALREADY_EXISTS,
    STATUS_PERMISSION_DENIED,
    STATUS_RESOURCE_EXHAUSTED,
    STATUS_FAILED_PRECONDITION,
    STATUS_ABORTED,
    STATUS_OUT_OF_RANGE,
    STATUS_UNIMPLEMENTED,
    STATUS_INTERNAL,
    STATUS_UNAVAILABLE,
    STATUS_DATA_LOSS,
    STATUS_UNAUTHENTICATED
};
enum status_detail {
    DETAIL_NONE, /* no detail, or one of a kind that we do not know */
    DETAIL_ALREADY_STARTED,
    DETAIL_NAMESPACE_NOT_FOUND,
    DETAIL_NAMESPACE_INVALID_STATE,
    DETAIL_NAMESPACE_NOT_ACTIVE,
    DETAIL_NAMESPACE_UNAVAILABLE,
    DETAIL_QUERY_FAILED,
    DETAIL_RESOURCE_EXHAUSTED,
    DETAIL_MULTI_OPERATION,
    DETAIL_OPERATION_ABORTED, /* of one operation: another one of the same request failed */
    DETAIL_PERMISSION_DENIED,
    DETAIL_SERVER_VERSION,
    DETAIL_CLIENT_VERSION,
    DETAIL_WORKFLOW_NOT_READY,
    DETAIL_CANCEL_REQUESTED,
    DETAIL_BUFFER_LOST, /* pages of a workflow task's completion: send all again */
    DETAIL_SYSTEM_WORKFLOW,
    DETAIL_NOT_FOUND
};
struct status {
    int code;           /* enum status_code, or what a newer server says */
    struct str message; /* the server's text */
    enum status_detail detail;
    struct str run_id, request_id; /* already started: that run, and the request that started it */
    struct str name;   /* the namespace; the server's version; the reason of a denied permission */
    struct str wanted; /* the versions that the other side supports */
    int state;         /* of the namespace */
    int cause, scope;  /* resource exhausted: PB__RESOURCE_EXHAUSTED_CAUSE__... */
    struct rec *failure;       /* query failed; NULL when the server gives none */
    struct status *operations; /* multi-operation: one each, in the order of the request */
    size_t n_operations;
};
/* Fills *out (in the arena) from what a call answered: `details` is the decoded value of
 * grpc-status-details-bin or absent. Bad details leave DETAIL_NONE: the code and the message stand.
 * ERR_NOMEM only. */
int status_read(struct arena *a, int code, struct str message, struct str details,
                struct status *out);
/* An error of base/err.h: `doing` is what was asked ("start workflow order-7"), `ns` the namespace
 * it was asked in. Returns its code; 0 for STATUS_OK. */
int status_err(const struct status *s, const char *doing, struct str ns, struct err *e);
/* The operation of a multi-operation that is to blame; s itself otherwise. */
const struct status *status_blamed(const struct status *s);

#endif
