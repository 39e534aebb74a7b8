/* Named fault points: a test build can stop the process dead at the k-th hit of a point
 * (environment ML_FAULTS="name:k", k from 1), to prove that every gap between two effects is
 * survivable. ML_FAULTS=count says on stderr at exit how often each point was hit. Without
 * ML_FAULTS in the environment at fault_init a point costs one predictable branch. */
#ifndef ML_BASE_FAULT_H
#define ML_BASE_FAULT_H
#include <stdbool.h>

extern bool fault_armed;
void fault_init(void);            /* reads ML_FAULTS once */
void fault_hit(const char *name); /* raise(SIGKILL) at the named hit */
void fault_list(void (*each)(void *ud, const char *name),
                void *ud); /* every point compiled in (fault_points.def) */
#define FAULT(name)                                                                                \
    do {                                                                                           \
        if (fault_armed) fault_hit(name);                                                          \
    } while (0)

#endif
