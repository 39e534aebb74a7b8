/* What client half and worker half share. */
#ifndef ML_TEMPORAL_INTERNAL_H
#define ML_TEMPORAL_INTERNAL_H
#include "base/loop.h"
#include "base/rng.h"
#include "temporal/codec.h"
#include "temporal/rpc.h"
#include "temporal/temporal.h"

/* How a request gets to the server: rpc_call and rpc_cancel (temporal.c), or a test's fake. */
struct wire {
    int (*send)(void *ud, const char *path, struct str request, const struct rpc_options *o,
                rpc_fn fn, void *fn_ud, uint64_t *id, struct err *e);
    void (*cancel)(void *ud, uint64_t id); /* fn never comes */
    void *ud;
};

struct call;
struct temporal {
    struct backend b; /* first */
    struct loop *loop;
    const struct entropy *entropy;
    const struct log *log;
    char *ns, *identity;
    struct channel *channel;
    struct rpc *rpc;
    struct tw *worker; /* worker_half.h */
    struct temporal_keeper keeper;
    const struct codec *codec; /* NULL: payloads go as they are */
    struct codec own_codec;
    struct codec_keys *keys;
    /* client half */
    struct wire wire;
    struct call *calls;
    bool closing;           /* nothing new is sent */
    void (*done)(void *ud); /* of shutdown */
    void *done_ud;
};
static inline struct temporal *temporal_of(struct backend *b)
{
    return (struct temporal *)b;
}

/* The client half of the port. */
void client_start(struct backend *b, const struct backend_start *s, backend_reply_fn fn, void *ud);
void client_signal(struct backend *b, const struct backend_target *t, struct str request_id,
                   struct str name, const struct rec *input, const struct rec *header,
                   struct str identity, backend_reply_fn fn, void *ud);
void client_query(struct backend *b, const struct backend_target *t, struct str type,
                  const struct rec *args, backend_reply_fn fn, void *ud);
void client_update(struct backend *b, const struct backend_target *t, struct str update_id,
                   struct str name, const struct rec *args, enum backend_update_stage wait,
                   backend_reply_fn fn, void *ud);
void client_cancel(struct backend *b, const struct backend_target *t, struct str request_id,
                   struct str reason, backend_reply_fn fn, void *ud);
void client_terminate(struct backend *b, const struct backend_target *t, struct str reason,
                      backend_reply_fn fn, void *ud);
void client_reset(struct backend *b, const struct backend_target *t, int64_t event_id,
                  struct str request_id, struct str reason, backend_reply_fn fn, void *ud);
void client_delete(struct backend *b, const struct backend_target *t, backend_reply_fn fn,
                   void *ud);
void client_describe(struct backend *b, const struct backend_target *t, backend_reply_fn fn,
                     void *ud);
void client_list(struct backend *b, struct str filter_json, backend_reply_fn fn, void *ud);
void client_count(struct backend *b, struct str filter_json, backend_reply_fn fn, void *ud);
void client_result(struct backend *b, const struct backend_target *t, bool wait,
                   backend_reply_fn fn, void *ud);
void client_history(struct backend *b, const struct backend_target *t, bool resolve_all,
                    struct str page, backend_reply_fn fn, void *ud);
void client_complete_activity(struct backend *b, struct str token,
                              const struct backend_activity_completion *c, backend_answer_fn fn,
                              void *ud);
/* The same by a worker of a deployment; build NULL: by somebody else. */
void client_complete_attempt(struct backend *b, struct str token, const char *build,
                             const struct backend_activity_completion *c, backend_answer_fn fn,
                             void *ud);
void client_complete_activity_by_id(struct backend *b, const struct backend_target *t,
                                    struct str activity_id,
                                    const struct backend_activity_completion *c,
                                    backend_answer_fn fn, void *ud);
void client_heartbeat_by_id(struct backend *b, const struct backend_target *t,
                            struct str activity_id, const struct rec *details, backend_answer_fn fn,
                            void *ud);
void client_heartbeat(struct backend *b, struct str token, const struct rec *details,
                      backend_answer_fn fn, void *ud);

#endif
