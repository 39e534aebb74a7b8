/* A made-up engine that drives one random program live and keeps what is needed to do every task of
 * it again: the history, and of each task its messages, the answers of its local activities and all
 * that came out. Answers come in seeded random order with random outcomes; tasks time out, are
 * refused and reset; the run is evicted at random and goes on from its history.
 *
 * A program comes in as struct random_program, nothing else: another engine can be given the same.
 * A failed check prints the seed, the one command to replay and the program, and exits. */
#ifndef ML_TESTS_REPLAY_ENGINE_H
#define ML_TESTS_REPLAY_ENGINE_H
#include "../unit/wf_history.h"
#include "random_program.h"
#include "script/bundle.h"
#include "workflow/workflow.h"

#define TASKS_MAX 80
#define OPEN_MAX 600
#define ANSWERS_MAX 64

struct answer {
    uint32_t seq;
    struct wf_local_result res;
};
/* All that one task gave, as bytes. */
struct outcome {
    struct buf commands, messages, queries, logs, pending;
};
struct task {
    size_t from, upto;   /* events [from, upto) are new to a kept run; upto ends in the start */
    struct rec *message; /* one update request, or NULL */
    struct answer answers[ANSWERS_MAX];
    size_t n_answers;
    bool heartbeat;
    int64_t wall_ns; /* of the task, with its chance: for side effects */
    uint8_t entropy[32];
    struct outcome out;
    struct rec **commands; /* copies, in the history's arena */
    size_t n_commands;
};
enum open_kind { OPEN_TIMER, OPEN_ACTIVITY, OPEN_CHILD, OPEN_SIGNAL, OPEN_CANCEL };
struct open {
    enum open_kind kind;
    int64_t event;
    const char *id;
    bool canceled, started;
};
struct sim {
    const struct random_program *program;
    const char *dir; /* a folder for the script's file */
    struct rng g;
    struct hist h;
    struct bundle *bundle;
    struct open open[OPEN_MAX];
    size_t n_open;
    struct task tasks[TASKS_MAX];
    size_t n_tasks;
    uint32_t locals[ANSWERS_MAX];
    bool local_canceled[ANSWERS_MAX];
    size_t n_locals;
    size_t next_message;
    int64_t accepted[RANDOM_MESSAGES_MAX];
    bool closed, refused;
    size_t evictions, discarded;
};

void sim_run(struct sim *s, const struct random_program *p, const char *dir);
void sim_free(struct sim *s);

/* The bundle of a text, in the sim's folder; NULL and e when it cannot be loaded. */
struct bundle *sim_bundle(const struct sim *s, struct str lua, struct err *e);

/* Local activities that a run asked for, and whether it got the recorded answer after that. */
struct locals_seen {
    uint32_t seq[ANSWERS_MAX * 4];
    bool got[ANSWERS_MAX * 4];
    size_t n;
};
/* How a run is opened and stepped by those who do tasks again. */
struct replay_how {
    struct bundle *bundle;
    const char *digest; /* that the bundle is said to have */
    struct str noop;
    struct rng *slices; /* NULL: slices of `budget`; else of random sizes */
    uint64_t budget;
    struct locals_seen *seen; /* NULL: not kept */
};
struct replay_how sim_how(const struct sim *s);
struct wf_run *replay_open(const struct replay_how *how, struct err *e); /* NULL: it cannot load */
/* The task as it is handed to a run that stands at event `from`. */
struct wf_task replay_wf_task(const struct sim *s, const struct task *t, size_t from);
/* Does task t on r: its own events (whole: all up to it), its answers; into `out`. False when the
 * task fails: *o tells why. */
bool replay_task(const struct sim *s, const struct replay_how *how, struct wf_run *r,
                 const struct task *t, bool whole, struct outcome *out, const struct wf_out **o);
/* Replays events [0, n) without a live task. */
const struct wf_out *replay_closed(const struct sim *s, const struct replay_how *how,
                                   struct wf_run *r, size_t n);

void outcome_init(struct outcome *x);
void outcome_free(struct outcome *x);
void outcome_take(struct outcome *x, const struct wf_out *o); /* all but the log lines */
void outcome_logs(struct outcome *x, const struct wf_out *o); /* adds those of one call */
/* NULL when equal, else the name of what differs. */
const char *outcome_differs(const struct outcome *a, const struct outcome *b);

void sim_fail(const struct sim *s, const char *what) __attribute__((noreturn));
/* The arguments of a test program: --programs N --seed S --first N --program N; a seed is made up
 * when none is given. Prints what will be done. */
struct replay_args {
    int programs;
    uint64_t seed, first;
};
struct replay_args replay_arguments(int argc, char **argv, int programs);

#endif
