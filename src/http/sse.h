/* Server-sent events out of a byte stream that may be split anywhere. */
#ifndef ML_HTTP_SSE_H
#define ML_HTTP_SSE_H
#include "base/buf.h"

#define SSE_EVENT_MAX (8u << 20)
struct sse_event {
    struct str event /* "message" when none */, data, id /* the last one given */;
    int64_t retry_ms; /* -1: none */
};
struct sse {
    struct buf line, data, event, id;
    int64_t retry_ms;
    bool after_cr, has_data, begun;
    void (*fn)(void *ud, const struct sse_event *ev); /* slices borrowed for the call */
    void *ud;
};
void sse_init(struct sse *s, void (*fn)(void *ud, const struct sse_event *ev), void *ud);
void sse_free(struct sse *s);
/* 0, ERR_LIMIT (an event over SSE_EVENT_MAX), ERR_NOMEM. An event without its final blank line is
 * dropped, as the standard says. */
int sse_feed(struct sse *s, struct str bytes);

#endif
