/* One request of the client half: it is sent, perhaps several times (polling, paging, following a
 * chain of runs), and answered exactly once, never inside the function that asked for it.
 *
 * A call owns two arenas in turn: what a request is built in and its reply is read into lives until
 * the request after the next one is built, so a call may go on for weeks without growing. */
#ifndef ML_TEMPORAL_CALL_H
#define ML_TEMPORAL_CALL_H
#include "backend.h"
#include "temporal/bridge.h"
#include "temporal/proto/common.pb-c.h"
#include "temporal/status.h"
#include "temporal/temporal_internal.h"

struct call;
/* Takes a reply's bytes. 0: the call was answered or sent again; else it fails with e. */
typedef int (*call_read_fn)(struct call *c, struct str bytes, struct err *e);
/* Looks at a refusal first. True: it has dealt with it (answered, or sent again). */
typedef bool (*call_refused_fn)(struct call *c, const struct status *s);

struct call {
    struct temporal *t;
    struct call *prev, *next;
    struct arena arena; /* for as long as the call lives: copies of what was asked */
    struct arena turns[2];
    int turn;
    backend_reply_fn fn;
    backend_answer_fn answer; /* of completions, instead of fn */
    void *ud;
    char doing[200]; /* "start workflow order-7" */
    call_read_fn read;
    call_refused_fn refused;
    bool long_poll;                  /* the server may hold it for a minute */
    bool wait;                       /* update: until it is done; result: until the end */
    struct err err;                  /* of call_fail_later */
    void *state;                     /* of the operation, in `arena` */
    void (*dropped)(struct call *c); /* frees what state owns besides; may be NULL */
    bool out;                        /* a request is out, under `id` */
    uint64_t id;
    bool failing; /* its answer is posted */
};

/* NULL when out of memory: fn has been told. `what` and `id` make up `doing`. */
struct call *call_new(struct temporal *t, backend_reply_fn fn, void *ud, const char *what,
                      struct str id);
struct call *call_new_answer(struct temporal *t, backend_answer_fn fn, void *ud, const char *what,
                             struct str id);
/* The arena for the next request. What it held two turns ago is freed. */
struct arena *call_turn(struct call *c);
static inline struct arena *call_arena(struct call *c)
{
    return &c->turns[c->turn];
}
/* Packs and sends. `method` is "temporal.api.workflowservice.v1.WorkflowService/..." as METHOD
 * makes it. Fails the call (later) when the request does not fit. */
void call_send(struct call *c, const char *method, const void *request, call_read_fn read);
/* The same with a request packed by call_pack, which is sent before this returns. */
void call_send_bytes(struct call *c, const char *method, struct str bytes, call_read_fn read);
#define METHOD(name) ("/temporal.api.workflowservice.v1.WorkflowService/" name)
#define OPERATOR_METHOD(name) ("/temporal.api.operatorservice.v1.OperatorService/" name)
/* Packs a request, through the codec. {NULL, 0} and e when it cannot be. */
struct str call_pack(const struct temporal *t, struct arena *a, const void *request, struct err *e);
/* Reads a reply, through the codec; parts as in bridge_read. */
int call_unpack(const struct temporal *t, struct arena *a, const ProtobufCMessageDescriptor *d,
                struct str bytes, struct bridge_part *parts, size_t n, void *out, struct err *e);
/* The same into the turn's arena. */
int call_read(struct call *c, const ProtobufCMessageDescriptor *d, struct str bytes,
              struct bridge_part *parts, size_t n, void *out, struct err *e);
void call_reply(struct call *c, struct backend_reply *r);         /* answers and frees */
void call_answer(struct call *c, const struct backend_answer *a); /* the same for completions */
void call_done_later(struct call *c);
void call_done(struct call *c); /* the same with an empty, good reply */
void call_fail(struct call *c, const struct err *e);
void call_fail_later(struct call *c, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A read function for replies that say nothing. */
int call_read_nothing(struct call *c, struct str bytes, struct err *e);
/* Every open call fails with e, in the loop's next turn. */
void calls_close(struct temporal *t, const struct err *e);

/* ---- pieces of requests ---- */
PbCommon__WorkflowExecution *call_execution(struct arena *a, const struct backend_target *target);
PbCommon__Payloads *call_payloads(struct arena *a, const struct rec *payloads);
char *call_request_id(struct call *c, struct arena *a, struct str given); /* made when absent */
struct backend_target call_keep(struct call *c, const struct backend_target *target);

#endif
