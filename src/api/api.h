/* The boundary: what stands between a caller and work that is accepted. Who calls (tokens, scopes),
 * how often (rates), for how much (credits), the same thing once (idempotency keys), and what was
 * done (the audit chain), together with the caller's rows, in the one transaction that starts the
 * workflow.
 *
 * Called on the loop's thread by the host (routes, tools, verbs). A callback may come inside the
 * call. Strings given to a call are borrowed for the call, those given to a callback for the
 * callback. Nothing here knows Lua: values are JSON text. */
#ifndef ML_API_API_H
#define ML_API_API_H
#include "backend.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "store/store.h"

extern const char api_schema_sql[]; /* goes into a migration */

struct api;

/* Where a workflow is started: found by the host in what is loaded. */
struct api_workflow {
    struct str digest, entry, task_queue;
};
struct api_opts {
    struct store *store;
    struct backend *backend;
    const struct clock *clock;
    const struct entropy *entropy;
    const struct log *log;
    /* 0, or ERR_NOTFOUND with the types that there are. What it gives lives until the next call. */
    int (*workflow)(void *ud, struct str type, struct api_workflow *out, struct err *e);
    void *ud;
    struct str identity;
    bool
        outbox; /* the backend cannot take a batch: it starts by the dispatcher, after the commit */
};
int api_open(const struct api_opts *o, struct api **out, struct err *e);
void api_close(struct api *a); /* before the store; calls that are open are answered 503 */
/* Closes reservations whose run has ended while nobody looked: once, when the engine is open. */
int api_reconcile(struct api *a, struct err *e);

/* ---- answers ---- */
/* An answer on its way out: a status of HTTP, and bytes. A problem is application/problem+json (RFC
 * 9457) of http/problem.h. */
struct api_answer {
    int status;
    struct str body;
    bool problem;
    struct str type;         /* of a problem: its word, "out-of-credit" */
    int64_t retry_after_s;   /* 429 and 503; 0: absent */
    bool replayed;           /* an answer given before, to the same key */
    struct str content_type; /* what the handler said; absent: JSON, or a problem */
};
typedef void (*api_answer_fn)(void *ud, const struct api_answer *x);
/* ---- one call through the boundary ---- */
struct api_request {
    struct str route;         /* "POST /posts", "tool schedule_post": part of keys and rates */
    struct str authorization; /* the header's value; absent: none was sent */
    struct str principal;     /* known already ("local", a run's, a JWT's): no token is asked for */
    struct str scopes;        /* of that principal, separated by spaces */
    bool auth;                /* a principal is needed */
    struct str scope;         /* what it needs, separated by spaces; absent: nothing */
    struct str rate;          /* "30/min"; absent: the token's own, if it has one */
    int64_t cost;             /* credits that are reserved when it is accepted */
    struct str key;           /* the idempotency key; absent: none */
    struct str body;          /* what the key stands for: its digest is kept */
};
struct api_entry {
    uint64_t call;                   /* 0: `answer` is the answer already */
    const struct api_answer *answer; /* refused, or given before to the same key */
    struct str principal, scopes;    /* "" and "": nobody */
};
typedef void (*api_entry_fn)(void *ud, const struct api_entry *x);
/* ERR_ARG for options that make no sense (a rate that is none): then fn is not called. */
int api_enter(struct api *a, const struct api_request *r, api_entry_fn fn, void *ud, struct err *e);

/* What a handler wants to be done. */
enum api_intent_kind { API_INSERT, API_UPDATE, API_DELETE };
struct api_intent {
    enum api_intent_kind kind;
    struct str table, id;
    struct str row;     /* JSON object: the row, or what changes in it (RFC 7396) */
    int64_t if_version; /* update, delete: 0: any */
};
struct api_accept {
    struct str workflow, id, entity;
    struct str input; /* JSON; absent: no argument */
    struct str tree;  /* the tree of runs that it belongs to; absent: its own */
};
struct api_outcome {
    const struct api_accept *accept; /* NULL: no run is started */
    bool commit;                     /* intents may be written without a run */
    const struct api_intent *intents;
    size_t n_intents;
    int status; /* of the answer, when all holds */
    struct str body, content_type;
};
/* Ends the call: commits what the outcome says in one transaction and answers; the answer is a
 * problem when a guard failed. Intents without accept or commit are 500 and logged. Stale calls are
 * answered 503. */
void api_leave(struct api *a, uint64_t call, const struct api_outcome *o, api_answer_fn fn,
               void *ud);
/* The handler has failed: the key is free again, who waits for it gets this answer. */
void api_fail(struct api *a, uint64_t call, const struct api_answer *x);

/* ---- rows ---- */
/* Names of tables and fields: a letter or _, then letters, digits and _, 63 at most. */
bool api_name_ok(struct str name);
/* One row as JSON with its id, or ERR_NOTFOUND. */
int api_row_get(struct api *a, struct str table, struct str id, struct buf *out, int64_t *version,
                struct err *e);
struct api_where {
    struct str field;
    struct str json; /* a scalar as JSON text */
    struct str op;   /* "=", "<>", "<", "<=", ">", ">=" */
};
struct api_query {
    struct str table;
    const struct api_where *where;
    size_t n_where; /* 8 at most */
    struct str order;
    bool descending;
    int64_t limit;    /* 1..1000; 0: 100 */
    struct str after; /* an id: with no order, the rows after it */
};
/* A JSON array of rows, committed ones. */
int api_row_query(struct api *a, const struct api_query *q, struct buf *out, struct err *e);
/* Adds the intents to a batch, each a guard; for the commit that completes an activity. */
int api_intents_add(struct api *a, struct store_batch *b, const struct api_intent *intents,
                    size_t n, struct err *e);
/* From now on the fields are unique together in the table; a row that lacks one is like no other.
 * ERR_FAILED in the answer: there are rows that break it. */
int api_unique(struct api *a, struct str table, const struct str *fields, size_t n,
               store_answer_fn fn, void *ud, struct err *e);

/* ---- what people do: verbs ---- */
typedef void (*api_done_fn)(void *ud, int code, struct str json_or_text);
/* {id, token}: the only time that the token is seen. rate may be absent. */
int api_token_create(struct api *a, struct str name, struct str scopes, struct str rate,
                     int64_t credits, api_done_fn fn, void *ud, struct err *e);
int api_token_list(struct api *a, struct buf *out, struct err *e);
int api_token_revoke(struct api *a, struct str id, api_done_fn fn, void *ud, struct err *e);
/* Adds credits to a principal ("key:ID", or the id of a key). Negative takes back what is there. */
int api_token_credits(struct api *a, struct str id, int64_t amount, api_done_fn fn, void *ud,
                      struct err *e);
int api_audit_list(struct api *a, int64_t after, int64_t limit, struct buf *out, struct err *e);
/* {ok, rows, head} or {ok: false, row, why}: the first row that does not hold. */
int api_audit_verify(struct api *a, struct buf *out, bool *ok, struct err *e);
/* {ok, entries, reservations, ...} or {ok: false, why}: all sums against the entries. */
int api_ledger_verify(struct api *a, struct buf *out, bool *ok, struct err *e);

#endif
