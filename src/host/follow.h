/* Listeners of runs: what becomes history and what activities say meanwhile, over server-sent
 * events. Inside of serving HTTP. */
#ifndef ML_HOST_FOLLOW_H
#define ML_HOST_FOLLOW_H
#include "host/serve.h"

#define FOLLOW_STEP_BYTES ((size_t)256 << 10) /* kept of what one attempt says; the oldest goes */
#define FOLLOW_BYTES ((size_t)64 << 20)       /* of all */
#define FOLLOW_CURSORS 32                     /* steps under way that a listener is told of */

struct piece { /* of what an attempt says */
    struct piece *next;
    uint64_t n; /* from 1 */
    size_t len;
    char text[];
};
struct step { /* an activity that is under way */
    struct step *next;
    char *id;
    int attempt;
    uint64_t n; /* of the last piece */
    struct piece *first, *last;
    size_t bytes;
};
struct run_stream {
    struct run_stream *prev, *next; /* least recently used first */
    char *run_id;
    struct step *steps;
    struct listener *listeners;
};
struct cursor {
    char *step;
    int attempt;
    uint64_t n;
};
struct listener {
    struct listener *next; /* of the run */
    struct host_request *r;
    struct run_stream *run;
    char *workflow_id;
    int64_t event; /* the last that was sent, or passed over */
    bool fetching, dirty, behind, begun;
    struct cursor cursors[FOLLOW_CURSORS];
    size_t n_cursors;
    struct http_header *headers; /* of the answer, in the request's arena */
    size_t n_headers;
};
/* follow_text.c: one event as text; false: listeners are not told of it. `whole`: with result and
 * failure. */
bool follow_event(struct buf *out, const struct rec *ev, const char *run_id, const char *name,
                  bool whole);
void follow_end(struct buf *out, const struct rec *ev, const char *run_id);
void follow_piece(struct buf *out, const struct listener *l, const struct step *s,
                  const struct piece *p);
void follow_restarted(struct buf *out, const struct listener *l, const struct step *s);
/* Reads an id that follow_* wrote: RUN/EVENT or RUN/EVENT/ATTEMPT/N/STEP. False: it is none. */
struct follow_place {
    struct str run_id, step;
    int64_t event, attempt, n;
};
bool follow_read_id(struct str id, struct follow_place *out);

#endif
