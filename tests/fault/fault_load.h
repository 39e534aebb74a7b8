/* The load under faults, driven as a client of moonloop.h would: each request is asked again, with
 * the same request id, until it is acknowledged. What was acknowledged is written into a ledger
 * that outlives the process that did it, and is checked at the end. */
#ifndef ML_TESTS_FAULT_LOAD_H
#define ML_TESTS_FAULT_LOAD_H
#include "moonloop.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LEDGER_RUNS 16
#define LEDGER_EVENTS 20000
#define LEDGER_STEPS 2048
#define LOAD_POKES 4
#define SHAPE_MAX 32768

struct told {          /* an event that the host said is durable */
    int16_t run, type; /* index in runs; hash of the type's name */
    int32_t id;
};
struct ledger {
    char runs[LEDGER_RUNS][40];
    int n_runs;
    struct told told[LEDGER_EVENTS];
    int n_told;
    int acknowledged; /* requests that need not be asked again, in order */
    int n_scheduled_note, n_scheduled_once;
    atomic_int n_note;
    int note[LEDGER_STEPS], once[LEDGER_STEPS]; /* how often each C activity ran, by its argument */
    int asked_again;                            /* requests that failed and were asked again */
    int codes[32];                              /* of those, by -code */
    int reopened;                               /* opens and loads that failed */
    int refused;     /* "late" starts that were refused while the fault was there */
    atomic_bool hit; /* the fault happened */
    bool died;       /* the power went */
    bool finished;
    long allocations, calls, syncs, bytes; /* of the run without a fault */
    char result[4000];
    char shape[SHAPE_MAX];
    char why[2000];
};

struct load {
    struct ledger *ledger; /* shared with the parent */
    const char *dir, *script, *url;
    bool outside; /* files and programs too */
    int steps;
    unsigned flags; /* of ml_config */
    enum ml_clock clock;
    bool late;                 /* start one more run while the fault is there */
    bool (*faulty)(void);      /* is the fault there now? */
    bool (*happened)(void);    /* has it been there? */
    int (*expected)(int code); /* may a request fail with this code? */
};
/* Runs the load to its end in this process, with whatever fault is set. Returns 0, or 1 with
 * ledger->why. */
int load_run(const struct load *l);
/* Looks at the file after the load has ended: structure, histories against the ledger, nothing left
 * over. 0, or 1 with ledger->why. */
int load_check(const struct load *l);

#endif
