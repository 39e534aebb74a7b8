/* Random workflow programs that use the whole workflow API.
 *
 * A program is two texts that any engine can be given; nothing here knows which one it will be:
 *  - `lua`: a whole script file. Workflow "wf" is the one to start, with `input`. The file holds
 *    what else it needs: activities with bodies, the child workflow "kid". Every wait of it is
 *    bounded, so a run ends without any message from outside, also on an engine in real time.
 *  - `messages`: what comes from outside, in order: signals, updates, queries, at most one
 *    cancellation. `after` is the pause before a message, in the program's unit of time; an engine
 *    may send it at any other moment, and may find that the run is closed already: every message
 *    may be lost without harm.
 * Every statement folds what it saw into one number, and that number is the argument of the next
 * command, so that any difference in order shows in the commands' bytes.
 *
 * The seam: tests/replay/replay_engine.c drives a program against a made-up engine;
 * `random_program --seed S --program N --out DIR` writes it as two files for a real one.
 * On a Temporal server, register the search attributes MoonGrade (Int) and MoonLabel (Keyword). */
#ifndef ML_TESTS_RANDOM_PROGRAM_H
#define ML_TESTS_RANDOM_PROGRAM_H
#include "base/buf.h"
#include "base/rng.h"

#define RANDOM_MESSAGES_MAX 24
#define RANDOM_WORKFLOW "wf"

enum random_message_kind { MESSAGE_SIGNAL, MESSAGE_UPDATE, MESSAGE_QUERY, MESSAGE_CANCEL };
struct random_message {
    enum random_message_kind kind;
    int after;        /* units since the message before it */
    const char *name; /* of the signal, update or query; "" for a cancellation. Static */
    int value;        /* the one argument */
};
struct random_program {
    uint64_t seed, number;
    struct buf lua;
    char input[48]; /* JSON */
    struct random_message messages[RANDOM_MESSAGES_MAX];
    size_t n_messages;
};
void random_program_init(struct random_program *p);
void random_program_free(struct random_program *p);

/* Program `number` of `seed`: the same one everywhere. unit: seconds that one unit of time takes,
 * as a Lua number ("1", "0.05"). */
void random_program_make(struct random_program *p, uint64_t seed, uint64_t number,
                         const char *unit);
/* The messages as JSON: {seed, program, workflow, input, unit, messages: [{after, kind, name, args,
 * id}]}; kind is signal, update, query or cancel, id is an update's id. */
void random_program_json(const struct random_program *p, const char *unit, struct buf *out);

/* A random single statement; what mutants put into a program. Lines of `lua` that are one whole
 * statement end in RANDOM_LEAF. */
#define RANDOM_LEAF " --@\n"
void random_program_leaf(struct rng *g, struct buf *out);

#endif
