/* Random workflow scripts: every statement folds what it saw into one number, and that number is
 * the argument of the next command, so any difference in order shows in the commands' bytes. */
#ifndef ML_TESTS_RANDOM_PROGRAM_H
#define ML_TESTS_RANDOM_PROGRAM_H
#include "base/buf.h"
#include "base/rng.h"

/* A whole file that defines the workflow "wf". */
void random_program(struct rng *g, struct buf *out);

#endif
