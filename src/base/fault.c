/* Fault points. The list is compiled in, so a test can walk it and kill the process at every one; a
 * name that is not in fault_points.def is a mistake of the program and stops a test build at once.
 */
#include "base/fault.h"

#include "base/str.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

bool fault_armed;
static bool counting;

static struct fault_point {
    const char *name;
    atomic_long left; /* hits until the process is stopped; 0: never */
    atomic_long hits; /* when they are counted */
} points[] = {
#define POINT(name) {#name, 0, 0},
#include "base/fault_points.def"
#undef POINT
    {NULL, 0, 0},
};

static struct fault_point *point_of(struct str name)
{
    for (struct fault_point *p = points; p->name; p++) {
        if (str_eqz(name, p->name)) return p;
    }
#ifdef ML_TESTING
    fprintf(stderr, "fault point " STR_FMT " is not in fault_points.def\n", STR_ARG(name));
    abort();
#endif
    return NULL;
}

#ifdef ML_TESTING
static void tell_hits(void)
{
    for (struct fault_point *p = points; p->name; p++)
        fprintf(stderr, "fault point %s %ld\n", p->name, atomic_load(&p->hits));
}
#endif

/* Takes "name:k,name:k"; what cannot be read is passed over outside test builds. "count" says at
 * exit how often each point was hit (test builds). */
void fault_init(void)
{
    const char *at = getenv("ML_FAULTS");
    if (!at || !*at) return;
    fault_armed = true;
#ifdef ML_TESTING
    if (strcmp(at, "count") == 0) {
        if (!counting) atexit(tell_hits);
        counting = true;
        return;
    }
#endif
    while (*at) {
        size_t n = strcspn(at, ":,");
        struct fault_point *p = point_of(str_make(at, n));
        long k = 1;
        at += n;
        if (*at == ':') {
            char *end;
            k = strtol(at + 1, &end, 10);
            at = end;
        }
        if (p) atomic_store(&p->left, k > 0 ? k : 0);
        at += strcspn(at, ",");
        if (*at == ',') at++;
    }
}

void fault_hit(const char *name)
{
    struct fault_point *p = point_of(str_of(name));
    if (p && counting) atomic_fetch_add(&p->hits, 1);
    if (!p || atomic_load(&p->left) <= 0) return;
    if (atomic_fetch_sub(&p->left, 1) == 1) raise(SIGKILL);
}

void fault_list(void (*each)(void *ud, const char *name), void *ud)
{
    for (const struct fault_point *p = points; p->name; p++)
        each(ud, p->name);
}
