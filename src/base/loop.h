/* The event loop as the rooms see it (libuv underneath): timers, descriptors, work off the loop,
 * posts from other threads. One loop belongs to one thread; only loop_post may be called from
 * another. Closing is asynchronous inside and complete when loop_close returns: it runs the loop
 * empty and asserts uv_loop_close() == 0. */
#ifndef ML_BASE_LOOP_H
#define ML_BASE_LOOP_H
#include "base/clock.h"
#include "base/err.h"

struct loop;
struct loop_timer;
struct loop_io;

int loop_open(const struct clock *clock, struct loop **out, struct err *e);
void loop_close(struct loop *l);           /* every timer and io must have been closed before */
struct uv_loop_s *loop_uv(struct loop *l); /* for os/ and http/ */
const struct clock *loop_clock(const struct loop *l);
/* Runs what is due; waits at most `wait_ns` for something (0: no wait, -1: until something
 * happens). Returns whether anything is still active. */
bool loop_turn(struct loop *l, int64_t wait_ns);
/* The descriptor that becomes readable when the loop has work, for hosts with a loop of their own.
 */
int loop_fd(struct loop *l);
/* Nanoseconds until the next timer (-1: none). */
int64_t loop_next_timer_ns(struct loop *l);

typedef void (*loop_fn)(void *ud);
int loop_timer_open(struct loop *l, loop_fn fn, void *ud, struct loop_timer **out);
void loop_timer_start(
    struct loop_timer *t,
    int64_t delay_ns); /* one shot; restarts a running one; ms resolution, never early */
void loop_timer_stop(struct loop_timer *t);
void loop_timer_close(struct loop_timer *t); /* no call after this */

enum { LOOP_READ = 1, LOOP_WRITE = 2 };
typedef void (*loop_io_fn)(void *ud, int events, int error);
int loop_io_open(struct loop *l, int fd, loop_io_fn fn, void *ud,
                 struct loop_io **out);            /* fd stays the caller's */
void loop_io_want(struct loop_io *io, int events); /* 0 stops */
void loop_io_close(struct loop_io *io);            /* before the fd is closed */

/* Runs `work` in the thread pool, then `done` on the loop (status ERR_CANCELED when the loop closes
 * first). 0, or ERR_NOMEM, ERR_IO (no threads for the pool), ERR_CLOSED. */
int loop_work(struct loop *l, void (*work)(void *ud), void (*done)(void *ud, int status), void *ud);
/* Runs fn on the loop thread in the next turn; safe from any thread. 0 or ERR_NOMEM / ERR_CLOSED.
 */
int loop_post(struct loop *l, loop_fn fn, void *ud);
/* The same in the caller's memory, for what must arrive also without any: *p stays until fn runs,
 * which may free it or post it again. 0 or ERR_CLOSED. */
struct loop_post {
    loop_fn fn;
    void *ud;
    struct loop_post *next;
    bool ours; /* of loop_post: freed when run */
};
int loop_post_in(struct loop *l, struct loop_post *p, loop_fn fn, void *ud);
void loop_wake(struct loop *l); /* ends the wait of a turn; on the loop's thread */

#endif
