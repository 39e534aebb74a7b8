/* The smallest unit-test frame: CHECK aborts with file and line, CASE names what runs. A test
 * program is a main() that calls its cases and ends with CHECK_DONE(), which prints "N passed, 0
 * failed". */
#ifndef ML_TESTS_CHECK_H
#define ML_TESTS_CHECK_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_cases __attribute__((unused)); /* a file of helpers has no cases */
static const char *check_case = "";

#define CASE(name) (check_cases++, check_case = (name))
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: [%s] failed: %s\n", __FILE__, __LINE__, check_case, #cond);    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_INT(got, want)                                                                       \
    do {                                                                                           \
        long long g_ = (long long)(got), w_ = (long long)(want);                                   \
        if (g_ != w_) {                                                                            \
            fprintf(stderr, "%s:%d: [%s] %s is %lld, not %lld\n", __FILE__, __LINE__, check_case,  \
                    #got, g_, w_);                                                                 \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        const char *g_ = (got), *w_ = (want);                                                      \
        if (!g_ || strcmp(g_, w_) != 0) {                                                          \
            fprintf(stderr, "%s:%d: [%s] %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__,          \
                    check_case, #got, g_ ? g_ : "(null)", w_);                                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_DONE() (printf("%d passed, 0 failed\n", check_cases), 0)

#endif
