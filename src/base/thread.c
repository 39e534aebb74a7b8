/* See thread.h. The new thread inherits the mask, so no signal can land on it before its first
 * instruction. */
#include "base/thread.h"

#include <signal.h>

int thread_start(pthread_t *out, void *(*fn)(void *ud), void *ud)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(out, NULL, fn, ud);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}
