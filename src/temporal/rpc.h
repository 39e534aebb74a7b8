/* Calls of the service that are tried again: one layer over the channel. The same bytes are sent
 * each time, so the request id in them stays the same and the server does the thing once.
 *
 * Which codes are worth another try, and after how long, is the official core's policy. A normal
 * call: DATA_LOSS, INTERNAL, UNKNOWN, RESOURCE_EXHAUSTED, ABORTED, OUT_OF_RANGE and UNAVAILABLE,
 * after 100 ms growing by 1.7 up to 5 s, for 10 s or 10 tries in all, each of 30 s at most. What a
 * server holds for a while (RPC_LONG, RPC_POLL): CANCELLED and DEADLINE_EXCEEDED too, after 200 ms
 * growing by 2 up to 10 s, without end; a worker's poll in its first minute after everything
 * (proxies that start up), and for ever after a transport that cannot work, since somebody may
 * mend it. RESOURCE_EXHAUSTED waits at least 1 s growing by 2 up to 10 s, and is final when the
 * message says that a message is too large. Each wait differs by up to a fifth, by chance.
 *
 * One rule is ours: until the channel's first connection has come up, all but RPC_POLL give up
 * after RPC_FIRST_NS. A server that was never there is a wrong address or a server that does not
 * run, and who asked wants to know that. */
#ifndef ML_TEMPORAL_RPC_H
#define ML_TEMPORAL_RPC_H
#include "temporal/channel.h"

#define RPC_MESSAGE_MAX ((size_t)4 << 20)   /* what a server takes; checked before sending */
#define RPC_TIMEOUT_NS (30 * NS_PER_S)      /* of one try */
#define RPC_POLL_TIMEOUT_NS (70 * NS_PER_S) /* of one try; the server answers after 60 s */
#define RPC_RETRY_NS (10 * NS_PER_S)        /* a normal call, in all its tries */
#define RPC_TRIES 10
#define RPC_FIRST_NS (1500 * NS_PER_MS) /* while no connection has ever come up */

enum rpc_class {
    RPC_CALL,
    RPC_LONG, /* held by the server for a while: results, updates */
    RPC_POLL, /* a worker's poll */
    RPC_ONCE  /* one try */
};
struct rpc_options {
    enum rpc_class class;
    int64_t timeout_ns; /* of one try; 0: by class */
    struct str ns;      /* the header temporal-namespace; absent: none */
    const struct channel_header *headers;
    size_t n_headers;
    /* Told before each wait, for logs and slots; may be NULL. */
    void (*on_retry)(void *ud, const struct channel_reply *r, int tries, int64_t wait_ns);
};
struct rpc_reply {
    struct channel_reply r; /* of the last try */
    int tries;
};
typedef void (*rpc_fn)(void *ud, const struct rpc_reply *r);

struct rpc;
int rpc_open(struct loop *l, struct channel *c, const struct entropy *entropy, struct rpc **out,
             struct err *e);   /* the channel is borrowed and must live longer */
void rpc_close(struct rpc *r); /* drops all calls: no callbacks. Not from inside one */
/* Copies the packed request. fn comes once, later. ERR_LIMIT: larger than RPC_MESSAGE_MAX (nothing
 * is sent), ERR_ARG, ERR_NOMEM. */
int rpc_call(struct rpc *r, const char *path, struct str request, const struct rpc_options *o,
             rpc_fn fn, void *ud, uint64_t *id, struct err *e);
void rpc_cancel(struct rpc *r, uint64_t id); /* fn never comes */
size_t rpc_open_calls(const struct rpc *r);  /* started and not answered */
/* Whether a code is worth another try under a class; `first_ns` is how long ago the first try
 * began. */
bool rpc_retryable(enum rpc_class class, const struct channel_reply *r, int64_t first_ns);

#endif
