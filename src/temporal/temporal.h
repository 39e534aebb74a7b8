/* The port (backend.h) on a Temporal server: client half and worker half over one channel. */
#ifndef ML_TEMPORAL_TEMPORAL_H
#define ML_TEMPORAL_TEMPORAL_H
#include "backend.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/rng.h"
#include "temporal/codec.h"
#include "temporal/settings.h"

/* Keeps the text of bundles, which a server does not. The functions are those of the port. */
struct temporal_keeper {
    int (*put)(void *ud, const char *digest, struct str json, const struct str *texts,
               const char *const *shas, size_t n, struct err *e);
    int (*get)(void *ud, struct str digest, struct buf *json, struct err *e);
    int (*text)(void *ud, const char *sha, struct buf *text, struct err *e);
    /* The digest of the one bundle of a build that was served from here once, or nothing when it
     * has several. ERR_NOTFOUND. May be NULL. */
    int (*build)(void *ud, struct str deployment, struct str build, struct buf *digest,
                 struct err *e);
    void *ud;
};
struct temporal_options {
    struct loop *loop;
    const struct settings *settings; /* borrowed during temporal_open */
    struct str identity;             /* of this process in histories: "pid@host" */
    const struct entropy *entropy;   /* NULL: the system's */
    const struct log *log;           /* NULL: dropped */
    /* Worker versioning. A deployment without a build id polls when temporal_set_build has named
     * one. `versioning` is that of runs whose workflow does not say; default: pinned. */
    struct str deployment, build_id;
    enum backend_versioning versioning;
    const struct temporal_keeper *keeper; /* copied; NULL: no text is kept */
    const struct codec *codec;            /* copied; NULL: the settings' keys, if any */
    bool client_only;                     /* asks only: serve and offer do nothing */
};
/* Checks the settings (ERR_ARG, ERR_IO); the server is connected to when something is asked of it.
 * Tokens of tasks and activities are text (base64 of the server's bytes). */
int temporal_open(const struct temporal_options *o, struct backend **out, struct err *e);
/* The build of a deployment that was opened without one; later calls change nothing. ERR_NOMEM. */
int temporal_set_build(struct backend *b, struct str build);
struct str temporal_build(const struct backend *b);     /* borrowed; absent: none (yet) */
struct str temporal_namespace(const struct backend *b); /* borrowed */
/* What payloads go through; NULL: they go as they are. */
const struct codec *temporal_codec(const struct backend *b);
/* What it holds now. Slots are free ones; a poll that is open takes none. */
struct temporal_usage {
    size_t workflow_slots, activity_slots;
    size_t polls, requests;      /* open; a request is any other call of the service */
    size_t streams, connections; /* of HTTP/2 */
};
void temporal_usage(const struct backend *b, struct temporal_usage *out);
/* After the port's shutdown has said that it is done (it answers open requests with ERR_CLOSED). */
void temporal_close(struct backend *b);

#endif
