/* The problems of the boundary (RFC 9457): one table, so that each has one type, status and title
 * wherever it is found. A problem is application/problem+json. */
#ifndef ML_HTTP_PROBLEM_H
#define ML_HTTP_PROBLEM_H
#include "base/buf.h"

#define HTTP_PROBLEM_JSON "application/problem+json"
#define HTTP_PROBLEM_URN "urn:moonloop:problem:"

/* X(name in C, word of the type, status, title) */
#define PROBLEMS(X)                                                                                \
    X(BAD_REQUEST, "bad-request", 400, "The request cannot be read")                               \
    X(BAD_JSON, "bad-json", 400, "The body is not JSON")                                           \
    X(INVALID_BODY, "invalid-body", 422, "The body does not fit its schema")                       \
    X(INVALID_QUERY, "invalid-query", 422, "The query does not fit its schema")                    \
    X(UNAUTHORIZED, "unauthorized", 401, "A valid token is needed")                                \
    X(BAD_SIGNATURE, "bad-signature", 401, "The signature does not hold")                          \
    X(OUT_OF_CREDIT, "out-of-credit", 402, "The credits do not cover this")                        \
    X(FORBIDDEN, "forbidden", 403, "The token does not allow this")                                \
    X(NOT_FOUND, "not-found", 404, "There is no such thing")                                       \
    X(METHOD_NOT_ALLOWED, "method-not-allowed", 405, "This method is not offered here")            \
    X(TIMEOUT, "timeout", 504, "It took longer than it may")                                       \
    X(CONFLICT, "conflict", 409, "It contradicts what is there")                                   \
    X(KEY_REUSED, "idempotency-key-reused", 409, "The key was used for another body")              \
    X(VERSION_CHANGED, "version-changed", 409, "The row was changed by another")                   \
    X(GONE, "gone", 410, "It is not there any more")                                               \
    X(TOO_LARGE, "too-large", 413, "The body is too large")                                        \
    X(MEDIA_TYPE, "media-type", 415, "This kind of body is not taken here")                        \
    X(RATE_LIMITED, "rate-limited", 429, "Too many requests")                                      \
    X(INTERNAL, "internal", 500, "It could not be handled")                                        \
    X(UPSTREAM, "upstream", 502, "What it depends on failed")                                      \
    X(UNAVAILABLE, "unavailable", 503, "It cannot be served now")

enum problem_kind {
#define PROBLEM_ENUM(id, word, status, title) PROBLEM_##id,
    PROBLEMS(PROBLEM_ENUM)
#undef PROBLEM_ENUM
        PROBLEM_COUNT
};
struct problem_error {
    struct str pointer, rule, message;
};
struct problem {
    enum problem_kind kind;
    struct str detail;   /* for people: what, where, what to do; absent: none */
    struct str instance; /* a URI of this occurrence; absent: none */
    const struct problem_error *errors;
    size_t n_errors;
    struct str errors_json; /* or the list as JSON (schema_report_json); absent: none */
    int64_t retry_after_s;  /* goes into the text too, as retryAfter; 0: none */
};
int problem_status(enum problem_kind k);
const char *problem_title(enum problem_kind k);
const char *problem_type(enum problem_kind k); /* the whole URN */
/* PROBLEM_COUNT when no kind has the word ("rate-limited", or the whole URN). */
enum problem_kind problem_find(struct str word);
/* Appends the JSON object, members in the order of their names. */
void problem_write(const struct problem *p, struct buf *out);

#endif
