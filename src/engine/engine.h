/* The embedded durable engine: the backend port on one SQLite file. See ../README.md and DESIGN 4.
 * It never asks for time or chance: both are ports. One transition of a run is one commit; effects
 * wait for it. */
#ifndef ML_ENGINE_ENGINE_H
#define ML_ENGINE_ENGINE_H
#include "backend.h"
#include "base/loop.h"
#include "base/rng.h"
#include "store/store.h"

struct engine;
enum engine_clock {
    ENGINE_CLOCK_FILE /* what the file says, real for a new one */,
    ENGINE_CLOCK_REAL,
    ENGINE_CLOCK_VIRTUAL,
    ENGINE_CLOCK_HOST
};
struct engine_opts {
    struct loop *loop;
    struct store *store;       /* opened with engine_migrations; owned by the caller */
    const struct clock *clock; /* the system's, a test's or the host's */
    const struct entropy *entropy;
    const struct log *log;
    enum engine_clock clock_mode; /* another one than the file's is ERR_ARG */
    int64_t until_ns;             /* virtual: never jump past this; 0: no bound */
    struct str identity;          /* "pid@host" */
    int timers_in_memory;         /* 0: 4096 */
    size_t runs_in_memory;        /* mutable states cached, 0: 1000 */
    int64_t payload_ref_bytes;    /* larger payloads are stored once by content; 0: 4096 */
    int64_t sleep_far_ns;  /* runs that sleep longer are put out of memory; 0: 10 s, and never
                              under a virtual clock */
    int64_t sick_first_ns; /* wait after a failed commit, doubled by each; 0: 100 ms */
};
extern const struct store_migration engine_migrations[]; /* includes kv_schema_sql as one step */
extern const size_t engine_migrations_n;

/* Opens on the store: a new owner epoch, attempts of dead epochs fail as WorkerLost, due timers
 * fire when driven. */
int engine_open(const struct engine_opts *o, struct engine **out, struct err *e);
void engine_close(struct engine *g); /* after backend shutdown */
struct backend *engine_backend(struct engine *g);

/* Which runs are driven: all (default none until one of these is called), or those of the given
 * tree (run id of its root), additive. Others are only listed. */
void engine_drive_all(struct engine *g);
int engine_drive_tree(struct engine *g, struct str tree);
/* Is anything of the driven trees in progress: 0 nothing can happen any more without a message from
 * outside, 1 work in flight, 2 waiting for a timer (due in *due_ns). Virtual time: call
 * engine_advance when it says 2 and nothing else is going on. */
int engine_activity(struct engine *g, int64_t *due_ns);
/* When it says 2 and nothing else is going on: forgets the next due times whose timers were
 * cancelled or whose runs have closed, so that nobody waits for them. */
void engine_forget_stale(struct engine *g);
/* Virtual and host clocks: moves time to the next due thing of the driven runs (virtual) and fires
 * it. Returns false when there is none or it lies past until. */
bool engine_advance(struct engine *g);
int64_t engine_now(struct engine *g);
enum engine_clock engine_clock_mode(const struct engine *g);
/* The root (tree) of the open runs matching, for `run` without an id: same entry, workflow type and
 * input digest. each: workflow id, run id. */
int engine_find_open(struct engine *g, struct str entry, struct str workflow_type,
                     struct str input_digest_hex,
                     void (*each)(void *ud, struct str workflow_id, struct str run_id), void *ud,
                     struct err *e);
/* Events as they become durable, for progress: called after the commit, in order, on the loop's
 * thread. */
void engine_on_commit(struct engine *g,
                      void (*fn)(void *ud, struct str workflow_id, struct str run_id,
                                 struct rec *const *events, size_t n),
                      void *ud);
/* Facts for doctor, as JSON: schema version, clock mode, counts by status, open activities, blocked
 * runs, file bytes, owner epoch. */
int engine_doctor(struct engine *g, struct buf *json, struct err *e);
size_t engine_cached_runs(const struct engine *g);

#endif
