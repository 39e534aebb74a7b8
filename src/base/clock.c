/* The only file that asks the system for time. */
#include "base/clock.h"

#include <pthread.h>
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

struct clock_thread clock_thread_self(void)
{
    clockid_t id;
    if (pthread_getcpuclockid(pthread_self(), &id)) id = CLOCK_THREAD_CPUTIME_ID;
    return (struct clock_thread){id};
}

int64_t clock_thread_ns(struct clock_thread t)
{
    return read_clock((clockid_t)t.id);
}

const struct clock clock_system = {system_wall, system_mono, NULL};
