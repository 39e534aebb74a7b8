/* Inside of serving HTTP: what serve.c and serve_file.c share. */
#ifndef ML_HOST_SERVE_H
#define ML_HOST_SERVE_H
#include "host/host_internal.h"
#include "http/problem.h"

struct served { /* a route of a script */
    struct act_host *act;
    const struct act_route *route;
};
struct host_request {
    struct host_http *x;
    struct host_request *prev, *next;
    uint64_t id;          /* of the server */
    struct act_host *act; /* NULL: no handler runs for it */
    uint64_t call;
    bool gone; /* the server has ended it */
    bool done; /* this side has answered it */
    bool streaming, events;
    bool behind; /* the reader is: of what the handler sends, a part may have gone out */
    int64_t pushed_ns;
    struct arena arena; /* of operating routes */
    const struct serve_op *op;
    const char *wait_id, *wait_run; /* of the result that is waited for */
    int64_t wait_until_ns, ask_ns;
    struct listener *listener; /* of a run's events; NULL: none */
};
struct host_http {
    ml_host *h;
    struct http_server *server; /* NULL: stopped */
    struct http_router router;  /* of struct served in the arena */
    struct arena arena;
    struct http_router ops; /* of struct serve_op */
    bool stale, draining, alive_runs, asking;
    char base[300]; /* the address that others reach it by, where it is known */
    bool loopback;  /* it is reached from this machine only */
    struct map by_id;
    struct host_request *requests;
    struct loop_timer *alive, *ask, *poll, *look;
    struct map by_run; /* run id -> struct run_stream */
    struct run_stream *runs, *runs_last;
    size_t said; /* bytes of what attempts have said */
    bool polling;
    void (*drain_fn)(void *ud, int left);
    void *drain_ud;
};
void serve_answer(struct host_request *r, const struct http_answer *a);
void serve_problem(struct host_request *r, enum problem_kind kind, const char *detail);
struct host_request *serve_find(struct host_http *x, uint64_t id); /* NULL: it has ended */
/* serve_verbs.c: operating routes. */
int serve_ops_open(struct host_http *x, struct err *e);
bool serve_loopback(const char *address);
void serve_ask_again(void *ud);
/* 1: it was one of these; 0: none of them; ERR_GUARD: one with other methods (m->allow). */
int serve_op(struct host_request *r, const struct http_incoming *in, struct arena *a,
             struct http_route_match *m);
void serve_json(struct host_request *r, int status, struct str json);
/* follow.c: the request becomes a listener of the run. ERR_NOMEM: it is as it was. */
int serve_follow(struct host_request *r, struct str workflow_id, struct str run_id, struct str last,
                 const struct http_header *also, size_t n_also);
void serve_events_begin(struct host_request *r); /* its stream of events is kept alive */
void follow_room(struct host_request *r);
void follow_free(struct listener *l);
void follow_poll(void *ud);
void follow_look(void *ud);
void follow_drop(struct host_http *x);
void serve_verb_problem(struct host_request *r, const ml_reply *m); /* what a verb refused */
/* serve_approvals.c */
void serve_approvals(struct host_request *r);
/* resume.c: what the request to a promise's URL (its token, and whether it rejects) says to the
 * run, as arguments of the verb "update"; NULL: the request has its problem. */
cJSON *resume_args(struct host_request *r, const struct http_incoming *in, struct str token,
                   bool reject, struct arena *a);
/* serve_usage.c */
void serve_usage(struct host_request *r, const char *filter);
/* serve_openapi.c */
void serve_openapi(struct host_request *r);
/* serve_file.c: a file of the route's folder; `path` is unescaped. */
void serve_file(struct host_request *r, const struct http_incoming *in,
                const struct act_route *route, struct str path);

#endif
