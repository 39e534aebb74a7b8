/* The watchdog: a thread that looks five times a second at the slice being run and interrupts it
 * after ten looks. Counting looks instead of reading a clock keeps a stopped process or a sleeping
 * machine from blocking a run. Keeps true: the run it interrupts is open, because the loop's thread
 * takes the lock to end the slice before it may close the run. */
#include "worker/worker_internal.h"
#include <errno.h>
#include <time.h>

#define TICK_NS (200 * NS_PER_MS)
#define TICKS_MAX 10
#define TICKS_IDLE 5 /* looks without a slice before the thread sleeps until the next one */

static void *watch(void *ud)
{
    struct w_watchdog *d = ud;
    int idle = 0;
    pthread_mutex_lock(&d->lock);
    while (!d->quit) {
        if (!d->armed) {
            pthread_cond_wait(&d->wake, &d->lock);
            idle = 0;
            continue;
        }
        int64_t until = clock_mono(&clock_system) + TICK_NS;
        struct timespec ts = {.tv_sec = (time_t)(until / NS_PER_S),
                              .tv_nsec = (long)(until % NS_PER_S)};
        if (pthread_cond_timedwait(&d->wake, &d->lock, &ts) != ETIMEDOUT) continue;
        idle = d->run ? 0 : idle + 1;
        if (idle >= TICKS_IDLE) d->armed = false;
        if (d->run && ++d->ticks >= TICKS_MAX) wf_interrupt(d->run);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

int w_dog_start(struct worker *w)
{
    struct w_watchdog *d = &w->dog;
    pthread_condattr_t attr;
    if (!w->o.watchdog) return 0;
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&d->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&d->thread, NULL, watch, d)) {
        pthread_cond_destroy(&d->wake);
        pthread_mutex_destroy(&d->lock);
        return ERR_IO;
    }
    d->on = true;
    return 0;
}

void w_dog_stop(struct worker *w)
{
    struct w_watchdog *d = &w->dog;
    if (!d->on) return;
    pthread_mutex_lock(&d->lock);
    d->quit = true;
    d->run = NULL;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->lock);
    d->on = false;
}

void w_dog_watch(struct worker *w, struct wf_run *r)
{
    struct w_watchdog *d = &w->dog;
    if (!d->on) return;
    pthread_mutex_lock(&d->lock);
    d->run = r;
    d->ticks = 0;
    if (r && !d->armed) {
        d->armed = true;
        pthread_cond_signal(&d->wake);
    }
    pthread_mutex_unlock(&d->lock);
}
