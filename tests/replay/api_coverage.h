/* Whether random programs use the whole workflow API, and not in vain.
 *
 * Names and options come from lua/api. A name has mattered when some program, done again with that
 * name made to do nothing, gives other commands, answers, log lines or pending lists than it gave
 * live; an option has mattered when some program without it does. What can be seen by no such
 * comparison is listed with its reason in api_coverage.c, and must occur in the text at least. */
#ifndef ML_TESTS_API_COVERAGE_H
#define ML_TESTS_API_COVERAGE_H
#include "replay_engine.h"

struct api_coverage;
struct api_coverage *api_coverage_new(const char *source_dir);
void api_coverage_free(struct api_coverage *c);
void api_coverage_look(struct api_coverage *c, const struct sim *s);
/* Prints how many there are and which did not matter; how many did not. */
size_t api_coverage_report(const struct api_coverage *c);

#endif
