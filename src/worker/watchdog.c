/* The watchdog: a thread that looks five times a second at the slice being run and interrupts it
 * after ten looks, so that others get their turn; an activation that was seen to use more processor
 * time than any honest one is stopped for good. Keeps true: the run it interrupts is open, because
 * the loop's thread takes the lock to end the slice before it may close the run. */
#include "base/thread.h"
#include "worker/worker_internal.h"
#include <errno.h>
#include <time.h>

#define TICK_NS (200 * NS_PER_MS)
#define TICKS_MAX 10
#define ACTIVATION_MAX (3 * NS_PER_S) /* of processor time */
#define TICKS_IDLE 5 /* looks without a slice before the thread sleeps until the next one */

static void look(struct w_watchdog *d)
{
    int64_t now = clock_thread_ns(d->loop), used = d->seen_ns ? now - d->seen_ns : 0;
    uint32_t activation = wf_activations(d->run);
    d->seen_ns = now;
    if (d->spent->activation != activation)
        *d->spent = (struct w_spent){activation, 0};
    else
        d->spent->ns += used;
    if (d->spent->ns > ACTIVATION_MAX)
        wf_stop(d->run);
    else if (++d->ticks >= TICKS_MAX)
        wf_interrupt(d->run);
}

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
        if (d->run) look(d);
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
    if (thread_start(&d->thread, watch, d)) {
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

void w_dog_watch(struct worker *w, struct wf_run *r, struct w_spent *spent)
{
    struct w_watchdog *d = &w->dog;
    if (!d->on) return;
    pthread_mutex_lock(&d->lock);
    d->run = r;
    d->spent = spent;
    d->loop = clock_thread_self();
    d->seen_ns = 0;
    d->ticks = 0;
    if (r && !d->armed) {
        d->armed = true;
        pthread_cond_signal(&d->wake);
    }
    pthread_mutex_unlock(&d->lock);
}
