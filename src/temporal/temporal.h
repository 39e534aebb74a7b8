/* The port (backend.h) on a Temporal server: client half and worker half over one channel. */
#ifndef ML_TEMPORAL_TEMPORAL_H
#define ML_TEMPORAL_TEMPORAL_H
#include "backend.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/rng.h"
#include "temporal/settings.h"

struct temporal_options {
    struct loop *loop;
    const struct settings *settings; /* borrowed during temporal_open */
    struct str identity;             /* of this process in histories: "pid@host" */
    const struct entropy *entropy;   /* NULL: the system's */
    const struct log *log;           /* NULL: dropped */
    /* Worker versioning: both or neither. Runs are pinned to the build that they began on. */
    struct str deployment, build_id;
    bool client_only; /* asks only: serve and offer do nothing */
};
/* Checks the settings (ERR_ARG, ERR_IO); the server is connected to when something is asked of it.
 * Tokens of tasks and activities are text (base64 of the server's bytes). */
int temporal_open(const struct temporal_options *o, struct backend **out, struct err *e);
struct str temporal_namespace(const struct backend *b); /* borrowed */
/* After the port's shutdown has said that it is done (it answers open requests with ERR_CLOSED). */
void temporal_close(struct backend *b);

#endif
