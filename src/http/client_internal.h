/* Shared by client.c (the multi handle and the loop) and transfer.c (one request's easy handle). */
#ifndef ML_HTTP_CLIENT_INTERNAL_H
#define ML_HTTP_CLIENT_INTERNAL_H
#include "base/map.h"
#include "base/mem.h"
#include "http/client.h"
#include "http/curl_lib.h"

struct http_client {
    struct loop *loop;
    CURLM *multi; /* NULL: the last one was abandoned, the next request makes another */
    long connections_max;
    struct loop_timer *timer;   /* curl's time-outs */
    struct loop_timer *deliver; /* callbacks that could not be made in place */
    struct idmap ids;
    struct http_transfer *first, *last;         /* all */
    struct http_transfer *due_first, *due_last; /* something to tell */
    size_t n;
    char *ca_file;
    bool delivering, in_curl;
};

struct http_transfer {
    struct http_client *c;
    uint64_t id;
    struct http_transfer *prev, *next, *due_next;
    bool due, running, streaming, following, ended, told_response, told_done, paused, discard;
    bool begun;   /* the final response's headers are in */
    bool in_head; /* between a status line and the blank line */
    CURL *easy;
    struct curl_slist *list;
    struct arena arena; /* the request's copy */
    struct http_request req;
    struct http_header *headers; /* the request's, own copy */
    char *url;                   /* current, owned */
    struct str method;
    struct str body;
    bool cross_origin; /* a redirect left the first origin: secrets stay home */
    int redirects_left;
    int64_t due_ns; /* monotonic: end of the total time-out */
    struct http_events ev;
    void *ud;
    /* response */
    struct buf head; /* name NUL value NUL ... */
    size_t n_head;
    struct buf data;
    size_t received;
    size_t limit;
    bool over_limit, head_over;
    bool guard_off;      /* the current URL's host is allowed by its name */
    const char *blocked; /* what the guard said of the last address */
    bool refused;        /* a part of the body was not taken: the transfer fails */
    int status;
    struct http_failure failure;
    struct http_header *out_headers;
    char curl_text[CURL_ERROR_SIZE];
};

/* Sets the easy handle up for the current url, method and body. 0, ERR_ARG, ERR_NOMEM. */
int transfer_prepare(struct http_transfer *t, struct err *e);
/* Takes a finished request: true when a redirect was prepared and the handle shall be added again.
 */
bool transfer_finish(struct http_transfer *t, CURLcode code);
int transfer_copy(struct http_transfer *t, const struct http_request *r, struct err *e);
void transfer_fail(struct http_transfer *t, const char *type, bool retryable, const char *text);
void transfer_response(struct http_transfer *t, struct http_response *out);
void transfer_free(struct http_transfer *t);
void client_due(struct http_transfer *t); /* tell its owner at the next chance */

#endif
