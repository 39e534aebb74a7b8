/* Which route a request is for. A pattern is literal segments, {name} for one segment, and
 * {name...} at the end for all that is left. The more literal one wins, segment by segment. Pure.
 */
#ifndef ML_HTTP_ROUTE_H
#define ML_HTTP_ROUTE_H
#include "base/buf.h"
#include "base/mem.h"

#define HTTP_ROUTE_PARAMS_MAX 16
#define HTTP_ROUTES_MAX 2000

struct http_route {
    struct str method; /* "GET" */
    struct str pattern;
    void *value;
};
struct http_router {
    struct http_route *routes;
    size_t n, cap;
};
struct http_route_match {
    const struct http_route *route;
    struct {
        struct str name, value; /* percent escapes undone, in the arena */
    } params[HTTP_ROUTE_PARAMS_MAX];
    size_t n_params;
    bool head;        /* HEAD, answered by the route of GET */
    struct buf allow; /* when only the method does not fit: "GET, HEAD, POST"; free it */
};
void http_router_init(struct http_router *r);
void http_router_free(struct http_router *r);
/* The strings are borrowed. ERR_ARG: a pattern or method that is none (the text says why);
 * ERR_EXISTS: such a route is there; ERR_LIMIT, ERR_NOMEM. */
int http_router_add(struct http_router *r, struct str method, struct str pattern, void *value,
                    struct err *e);
/* 0; ERR_NOTFOUND: no route has this path; ERR_GUARD: one has, for other methods (m->allow);
 * ERR_ARG: a path with empty escapes or dot segments; ERR_NOMEM. */
int http_router_find(const struct http_router *r, struct str method, struct str path,
                     struct arena *a, struct http_route_match *m);
/* Undoes percent escapes (and '+' as a blank with `form`) into the arena. {NULL, 0}: out of memory.
 */
struct str http_unescape(struct arena *a, struct str s, bool form);
/* Takes name=value pairs apart; false at the end. Slices of *rest, still escaped. */
bool http_query_next(struct str *rest, struct str *name, struct str *value);

#endif
