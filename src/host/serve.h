/* Inside of serving HTTP: what serve.c and serve_file.c share. */
#ifndef ML_HOST_SERVE_H
#define ML_HOST_SERVE_H
#include "host/host_internal.h"

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
    int64_t pushed_ns;
};
struct host_http {
    ml_host *h;
    struct http_server *server; /* NULL: stopped */
    struct http_router router;  /* of struct served in the arena */
    struct arena arena;
    bool stale, draining, alive_runs;
    struct map by_id;
    struct host_request *requests;
    struct loop_timer *alive;
    void (*drain_fn)(void *ud, int left);
    void *drain_ud;
};
void serve_answer(struct host_request *r, const struct http_answer *a);
void serve_problem(struct host_request *r, int status, const char *type, const char *title,
                   const char *detail, struct str allow);
/* serve_file.c: a file of the route's folder; `path` is unescaped. */
void serve_file(struct host_request *r, const struct http_incoming *in,
                const struct act_route *route, struct str path);

#endif
