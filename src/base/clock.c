/* The only file that asks the system for time. */
#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts = {0, 0};
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t system_wall(void *ud)
{
    (void)ud;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_mono(void *ud)
{
    (void)ud;
    return read_clock(CLOCK_MONOTONIC);
}

const struct clock clock_system = {system_wall, system_mono, NULL};
