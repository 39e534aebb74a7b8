/* Threads of the library. Each is begun here, so that none takes the host program's signals. */
#ifndef ML_BASE_THREAD_H
#define ML_BASE_THREAD_H
#include <pthread.h>

/* Begins a thread on which all signals are blocked: they are the host's. 0 or an errno, as
 * pthread_create. */
int thread_start(pthread_t *out, void *(*fn)(void *ud), void *ud);

#endif
