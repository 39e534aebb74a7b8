/* The loop: timers in order and never early, descriptors, work and posts from other threads,
 * closing with all of it busy. */
#include "base/loop.h"
#include "base/mem.h"
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

static char trail[256];

static void mark(void *ud)
{
    size_t n = strlen(trail);
    trail[n] = *(const char *)ud;
    trail[n + 1] = 0;
}

static struct loop *open_loop(void)
{
    struct loop *l = NULL;
    struct err e = {0};
    CHECK_INT(loop_open(&clock_system, &l, &e), 0);
    trail[0] = 0;
    return l;
}

static void timers(void)
{
    CASE("timers fire in due order, one shot, restart and stop");
    struct loop *l = open_loop();
    struct loop_timer *a, *b, *c;
    CHECK_INT(loop_timer_open(l, mark, "a", &a), 0);
    CHECK_INT(loop_timer_open(l, mark, "b", &b), 0);
    CHECK_INT(loop_timer_open(l, mark, "c", &c), 0);
    CHECK_INT(loop_next_timer_ns(l), -1);
    loop_timer_start(a, 30 * NS_PER_MS);
    loop_timer_start(b, 300 * NS_PER_MS);
    loop_timer_start(c, 5 * NS_PER_MS);
    int64_t next = loop_next_timer_ns(l);
    CHECK(next >= 0 && next <= 6 * NS_PER_MS);
    loop_timer_stop(c);
    loop_timer_start(a, 5 * NS_PER_MS);
    while (loop_turn(l, -1)) {
    }
    CHECK_STR(trail, "ab");
    loop_timer_close(a);
    loop_timer_close(b);
    loop_timer_start(c, 0);
    loop_timer_close(c); /* no call after this */
    loop_close(l);
    CHECK_STR(trail, "ab");

    CASE("a timer is never early, by the clock that the rooms use");
    l = open_loop();
    CHECK_INT(loop_timer_open(l, mark, "x", &a), 0);
    for (int i = 0; i < 40; i++) {
        int64_t delay = 100000 + i * 77777;
        trail[0] = 0;
        int64_t t0 = clock_mono(&clock_system);
        loop_timer_start(a, delay);
        while (!trail[0]) {
            loop_turn(l, -1);
        }
        CHECK(clock_mono(&clock_system) - t0 >= delay);
    }
    CASE("a turn without anything due ends by its wait, and not before");
    int64_t t0 = clock_mono(&clock_system);
    CHECK(!loop_turn(l, 3 * NS_PER_MS));
    CHECK(clock_mono(&clock_system) - t0 >= 3 * NS_PER_MS);
    CHECK(!loop_turn(l, 0));
    loop_timer_close(a);
    loop_close(l);
}

struct pipe_end {
    struct loop_io *io;
    int fd, seen, error, hits;
};

static void on_ready(void *ud, int events, int error)
{
    struct pipe_end *p = ud;
    p->seen |= events;
    p->error = error;
    p->hits++;
    if (events & LOOP_READ) {
        char c;
        CHECK_INT(read(p->fd, &c, 1), 1);
    }
    if (events & LOOP_WRITE) {
        loop_io_want(p->io, 0);
    }
}

static void descriptors(void)
{
    CASE("descriptors: readable, writable, stopped, closed");
    struct loop *l = open_loop();
    int fd[2];
    CHECK_INT(pipe(fd), 0);
    struct pipe_end r = {.fd = fd[0]}, w = {.fd = fd[1]};
    CHECK_INT(loop_io_open(l, fd[0], on_ready, &r, &r.io), 0);
    CHECK_INT(loop_io_open(l, fd[1], on_ready, &w, &w.io), 0);
    loop_io_want(r.io, LOOP_READ);
    loop_io_want(w.io, LOOP_WRITE);
    loop_turn(l, 0);
    CHECK_INT(w.seen, LOOP_WRITE);
    CHECK_INT(r.hits, 0);
    CHECK_INT(write(fd[1], "z", 1), 1);
    loop_turn(l, -1);
    CHECK_INT(r.seen, LOOP_READ);
    CHECK_INT(w.hits, 1);

    CASE("a host's own poll sees the loop's work");
    int lfd = loop_fd(l);
    loop_turn(l, 0);
    struct pollfd p = {.fd = lfd, .events = POLLIN};
    CHECK_INT(poll(&p, 1, 0), 0);
    CHECK_INT(write(fd[1], "z", 1), 1);
    CHECK_INT(poll(&p, 1, 1000), 1);
    loop_turn(l, 0);
    CHECK_INT(r.hits, 2);
    CHECK_INT(loop_post(l, mark, "p"), 0);
    CHECK_INT(poll(&p, 1, 1000), 1);
    loop_turn(l, 0);
    CHECK_STR(trail, "p");
    loop_io_close(r.io);
    loop_io_close(w.io);
    close(fd[0]);
    close(fd[1]);
    loop_close(l);
}

enum { POSTERS = 3, POSTS = 500 };
struct poster {
    struct loop *l;
    int next;
    int got;
};
struct one_post {
    struct poster *from;
    int n;
};
static struct one_post posts[POSTERS][POSTS];

static void on_post(void *ud)
{
    struct one_post *p = ud;
    CHECK_INT(p->n, p->from->got);
    p->from->got++;
}

static void *poster_main(void *ud)
{
    struct poster *p = ud;
    for (int i = 0; i < POSTS; i++) {
        struct one_post *one = &posts[p->next][i];
        *one = (struct one_post){p, i};
        if (loop_post(p->l, on_post, one)) {
            abort();
        }
    }
    return NULL;
}

static void posting(void)
{
    CASE("posts of several threads arrive, each thread's in order");
    struct loop *l = open_loop();
    struct poster p[POSTERS];
    pthread_t t[POSTERS];
    for (int i = 0; i < POSTERS; i++) {
        p[i] = (struct poster){.l = l, .next = i};
        CHECK_INT(pthread_create(&t[i], NULL, poster_main, &p[i]), 0);
    }
    while (p[0].got + p[1].got + p[2].got < POSTERS * POSTS) {
        loop_turn(l, -1);
    }
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(t[i], NULL);
    }
    CASE("a post that was not run yet runs at close");
    CHECK_INT(loop_post(l, mark, "q"), 0);
    CHECK_STR(trail, "");
    loop_close(l);
    CHECK_STR(trail, "q");
}

static pthread_t loop_thread;
static int worked, done_ok, done_cancelled;
static sem_t started, gate;

static void work_plain(void *ud)
{
    (void)ud;
    if (pthread_equal(pthread_self(), loop_thread)) {
        abort();
    }
    __atomic_fetch_add(&worked, 1, __ATOMIC_SEQ_CST);
}

static void work_blocks(void *ud)
{
    sem_post(&started);
    sem_wait(&gate);
    work_plain(ud);
}

static void on_done(void *ud, int status)
{
    (void)ud;
    CHECK(pthread_equal(pthread_self(), loop_thread));
    if (status == 0) {
        done_ok++;
    } else {
        CHECK_INT(status, ERR_CANCELED);
        done_cancelled++;
    }
}

static void *open_gate(void *ud)
{
    for (int i = 0; i < *(int *)ud; i++) {
        sem_post(&gate);
    }
    return NULL;
}

static void working(void)
{
    CASE("work runs off the loop, its end on the loop");
    struct loop *l = open_loop();
    loop_thread = pthread_self();
    for (int i = 0; i < 20; i++) {
        CHECK_INT(loop_work(l, work_plain, on_done, NULL), 0);
    }
    while (loop_turn(l, -1)) {
    }
    CHECK_INT(worked, 20);
    CHECK_INT(done_ok, 20);

    CASE("closing: running work is waited for, waiting work is cancelled, each is answered once");
    sem_init(&started, 0, 0);
    sem_init(&gate, 0, 0);
    worked = done_ok = 0;
    int all = 40;
    for (int i = 0; i < all; i++) {
        CHECK_INT(loop_work(l, work_blocks, on_done, NULL), 0);
    }
    sem_wait(&started);
    pthread_t t;
    CHECK_INT(pthread_create(&t, NULL, open_gate, &all), 0);
    loop_close(l);
    pthread_join(t, NULL);
    CHECK_INT(done_ok, worked);
    CHECK(done_ok >= 1);
    CHECK_INT(done_ok + done_cancelled, all);
}

static void out_of_memory(void)
{
    CASE("every allocation may fail: an error or success, never a crash or a leak");
    for (long n = 1; n < 40; n++) {
        for (int forever = 0; forever < 2; forever++) {
            struct loop *l = NULL;
            struct err e = {0};
            mem_fail_at(n, forever != 0);
            int rc = loop_open(&clock_system, &l, &e);
            if (rc == 0) {
                struct loop_timer *t = NULL;
                if (loop_timer_open(l, mark, "t", &t) == 0) {
                    loop_timer_start(t, 0);
                }
                int fd[2];
                CHECK_INT(pipe(fd), 0);
                struct loop_io *io = NULL;
                struct pipe_end r = {.fd = fd[0]};
                if (loop_io_open(l, fd[0], on_ready, &r, &io) == 0) {
                    loop_io_want(io, LOOP_READ);
                }
                int posted = loop_post(l, mark, "p");
                CHECK(posted == 0 || posted == ERR_NOMEM);
                loop_turn(l, 0);
                loop_timer_close(t);
                loop_io_close(io);
                close(fd[0]);
                close(fd[1]);
                loop_close(l);
                trail[0] = 0;
            } else {
                CHECK_INT(rc, ERR_NOMEM);
                CHECK_INT(e.code, ERR_NOMEM);
            }
            mem_fail_at(0, false);
        }
    }
}

static void turn_after_timer(void)
{
    CASE("a turn in which a timer fired does not wait for the next one");
    for (int64_t wait = -1; wait < 2 * NS_PER_S; wait += NS_PER_S) {
        struct loop *l = open_loop();
        struct loop_timer *now, *later;
        CHECK_INT(loop_timer_open(l, mark, "n", &now), 0);
        CHECK_INT(loop_timer_open(l, mark, "l", &later), 0);
        loop_timer_start(now, NS_PER_MS);
        loop_timer_start(later, 300 * NS_PER_MS);
        int64_t t0 = clock_mono(&clock_system);
        while (clock_mono(&clock_system) - t0 < 3 * NS_PER_MS) {
        }
        CHECK(loop_turn(l, wait));
        CHECK_STR(trail, "n");
        loop_timer_close(now);
        loop_timer_close(later);
        loop_close(l);
    }
}

int main(void)
{
    timers();
    turn_after_timer();
    descriptors();
    posting();
    working();
    out_of_memory();
    return CHECK_DONE();
}
