/* The event loop over libuv. What this file keeps true: a handle's memory lives until uv has let go
 * of it (freed only in close callbacks), no callback comes after a close, posts run in the order
 * they came, and a timer is never early. Every room with something asynchronous calls it, on the
 * loop's thread; only loop_post may come from elsewhere. */
#include "base/loop.h"
#include "base/mem.h"
#include "base/thread.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

#define LOOP_DESCRIPTORS                                                                           \
    6                  /* of one loop: epoll, an eventfd, a pipe of signals, and two to spare      \
                        */
#define POOL_THREADS 4 /* of one loop, made when there is work */

struct work {
    struct loop *loop;
    void (*work)(void *ud);
    void (*done)(void *ud, int status);
    void *ud;
    struct loop_post post; /* of its end */
    struct work *next;
};

/* Threads for work off the loop. Not uv's: that one ends the process when it cannot make them. */
struct pool {
    pthread_mutex_t lock; /* over all below */
    pthread_cond_t cond;
    pthread_t threads[POOL_THREADS];
    int n, idle;
    struct work *first, *last; /* waiting */
    bool stop;
};

struct loop {
    uv_loop_t uv;
    uv_async_t async;  /* wakes the loop for posts; unreferenced except during a turn */
    uv_timer_t waiter; /* bounds the wait of a turn */
    const struct clock *clock;
    struct pool pool;
    size_t works;  /* not told to be done; the loop's thread only */
    bool embedded; /* somebody polls loop_fd(): a turn must leave every descriptor registered */
    bool closing;
    pthread_mutex_t lock; /* over the three below */
    struct loop_post *first, *last;
    bool closed;
};

struct loop_timer {
    uv_timer_t h;
    loop_fn fn;
    void *ud;
};

struct loop_io {
    uv_poll_t h;
    struct loop *loop;
    loop_io_fn fn;
    void *ud;
};

/* ---- uv's memory ----
 * uv aborts the process when it cannot grow its table of descriptors, which it does by realloc. So
 * that running out of memory stays an error and not a death, a refused realloc is served by the
 * system; a header tells who gave the block. */

enum { UV_FROM_PORT = 1, UV_FROM_SYSTEM = 2 };
struct uv_head {
    size_t from, n;
};

static void *uv_mem_malloc(size_t n)
{
    struct uv_head *h = n < SIZE_MAX - sizeof *h ? mem_alloc(n + sizeof *h) : NULL;
    if (!h) {
        return NULL;
    }
    *h = (struct uv_head){UV_FROM_PORT, n};
    return h + 1;
}

static void *uv_mem_calloc(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) {
        return NULL;
    }
    void *p = uv_mem_malloc(count * size);
    if (p) {
        memset(p, 0, count * size);
    }
    return p;
}

static void uv_mem_free(void *p)
{
    if (!p) {
        return;
    }
    struct uv_head *h = (struct uv_head *)p - 1;
    if (h->from == UV_FROM_SYSTEM) {
        free(h);
    } else {
        mem_free(h);
    }
}

static void *uv_mem_realloc(void *p, size_t n)
{
    if (!p) {
        void *fresh = uv_mem_malloc(n);
        if (fresh) {
            return fresh;
        }
    }
    if (n == 0) {
        uv_mem_free(p);
        return NULL;
    }
    if (n >= SIZE_MAX - sizeof(struct uv_head)) {
        return NULL;
    }
    struct uv_head *old = p ? (struct uv_head *)p - 1 : NULL;
    if (old && old->from == UV_FROM_PORT) {
        struct uv_head *h = mem_realloc(old, n + sizeof *h);
        if (h) {
            h->n = n;
            return h + 1;
        }
    }
    struct uv_head *h = malloc(n + sizeof *h);
    if (!h) {
        return NULL;
    }
    *h = (struct uv_head){UV_FROM_SYSTEM, n};
    if (old) {
        memcpy(h + 1, p, old->n < n ? old->n : n);
        uv_mem_free(p);
    }
    return h + 1;
}

/* A program may have loops of its own already, whose memory is plain. */
static void uv_mem_once(void)
{
    if (mem_is_ours())
        uv_replace_allocator(uv_mem_malloc, uv_mem_realloc, uv_mem_calloc, uv_mem_free);
}

/* ---- posts ---- */

static void run_posts(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct loop_post *p = l->first;
    l->first = l->last = NULL;
    pthread_mutex_unlock(&l->lock);
    while (p) {
        struct loop_post x = *p; /* its owner may let go of it, or post it again */
        if (x.ours) mem_free(p);
        x.fn(x.ud);
        p = x.next;
    }
}

static void on_async(uv_async_t *h)
{
    run_posts(h->data);
}

int loop_post_in(struct loop *l, struct loop_post *p, loop_fn fn, void *ud)
{
    pthread_mutex_lock(&l->lock);
    if (l->closed) {
        pthread_mutex_unlock(&l->lock);
        return ERR_CLOSED;
    }
    p->fn = fn;
    p->ud = ud;
    p->next = NULL;
    if (l->last) {
        l->last->next = p;
    } else {
        l->first = p;
    }
    l->last = p;
    uv_async_send(&l->async); /* under the lock: the handle cannot be closed meanwhile */
    pthread_mutex_unlock(&l->lock);
    return 0;
}

void loop_wake(struct loop *l)
{
    if (!l->closed) {
        uv_async_send(&l->async);
    }
}

int loop_post(struct loop *l, loop_fn fn, void *ud)
{
    struct loop_post *p = mem_alloc(sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->ours = true;
    int rc = loop_post_in(l, p, fn, ud);
    if (rc) {
        mem_free(p);
    }
    return rc;
}

/* ---- opening and closing ---- */

/* uv_loop_init keeps a descriptor open when a later one cannot be had (libuv 1.44): it is asked
 * only when it will get all. */
static bool descriptors_free(void)
{
    int fd[LOOP_DESCRIPTORS], n = 0;
    while (n < LOOP_DESCRIPTORS && (fd[n] = eventfd(0, EFD_CLOEXEC)) >= 0) {
        n++;
    }
    bool all = n == LOOP_DESCRIPTORS;
    while (n > 0) {
        close(fd[--n]);
    }
    return all;
}

int loop_open(const struct clock *clock, struct loop **out, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, uv_mem_once);
    if (!descriptors_free()) {
        return err_set(e, ERR_IO, "cannot make an event loop: %s", strerror(errno));
    }
    struct loop *l = mem_zalloc(sizeof *l);
    if (!l) {
        return err_set(e, ERR_NOMEM, "event loop: out of memory");
    }
    l->clock = clock;
    pthread_mutex_init(&l->lock, NULL);
    pthread_mutex_init(&l->pool.lock, NULL);
    pthread_cond_init(&l->pool.cond, NULL);
    int rc = uv_loop_init(&l->uv);
    if (rc) {
        goto out;
    }
    rc = uv_async_init(&l->uv, &l->async, on_async);
    if (rc) {
        uv_loop_close(&l->uv);
        goto out;
    }
    l->async.data = l;
    uv_unref((uv_handle_t *)&l->async);
    uv_timer_init(&l->uv, &l->waiter);
    *out = l;
    return 0;
out:
    pthread_mutex_destroy(&l->pool.lock);
    pthread_cond_destroy(&l->pool.cond);
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
    return err_set(e, rc == UV_ENOMEM ? ERR_NOMEM : ERR_IO, "cannot make an event loop: %s",
                   uv_strerror(rc));
}

static void pool_close(struct loop *l);

static void complain_open_handle(uv_handle_t *h, void *ud)
{
    bool *left = ud;
    /* a program that was killed is open until the system has told of its end: that is waited for */
    if (!uv_is_closing(h) && h->type != UV_PROCESS) {
        fprintf(stderr, "loop_close: a %s handle was left open\n",
                uv_handle_type_name(uv_handle_get_type(h)));
        *left = true;
    }
}

void loop_close(struct loop *l)
{
    if (!l) {
        return;
    }
    l->closing = true;
    pool_close(l);
    for (;;) { /* what was posted still runs; what a post posts, too */
        pthread_mutex_lock(&l->lock);
        bool more = l->first != NULL;
        l->closed = !more;
        pthread_mutex_unlock(&l->lock);
        if (!more) {
            break;
        }
        run_posts(l);
    }
    uv_close((uv_handle_t *)&l->async, NULL);
    uv_close((uv_handle_t *)&l->waiter, NULL);
    bool left = false;
    uv_walk(&l->uv, complain_open_handle, &left);
    if (left) {
        abort(); /* running on would wait for ever; a programmer's error, also in release */
    }
    uv_run(&l->uv, UV_RUN_DEFAULT);
    if (uv_loop_close(&l->uv) != 0) {
        fprintf(stderr, "loop_close: the loop is not empty\n");
        abort();
    }
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
}

struct uv_loop_s *loop_uv(struct loop *l)
{
    return &l->uv;
}

const struct clock *loop_clock(const struct loop *l)
{
    return l->clock;
}

/* ---- running ---- */

/* uv runs timers before it polls, and would then wait for the next one: a turn in which a timer
 * fired must not wait. */
static void end_wait(uv_timer_t *h)
{
    uv_stop(h->loop);
}

static void on_waiter(uv_timer_t *h)
{
    end_wait(h);
}

/* The whole milliseconds after which `delay_ns` from now has passed, counted from uv's own
 * truncated "now". */
static uint64_t uv_delay_ms(struct loop *l, int64_t delay_ns)
{
    if (delay_ns <= 0) {
        return 0;
    }
    uv_update_time(&l->uv);
    uint64_t due = uv_hrtime() + (uint64_t)delay_ns;
    uint64_t ms = due / (uint64_t)NS_PER_MS + (due % (uint64_t)NS_PER_MS != 0);
    uint64_t now = uv_now(&l->uv);
    return ms > now ? ms - now : 0;
}

bool loop_turn(struct loop *l, int64_t wait_ns)
{
    uv_ref(
        (uv_handle_t *)&l
            ->async); /* so that the turn polls, and waits for posts, even with nothing else open */
    if (wait_ns < 0) {
        uv_run(&l->uv, UV_RUN_ONCE);
    } else if (wait_ns == 0) {
        uv_run(&l->uv, UV_RUN_NOWAIT);
    } else {
        uv_timer_start(&l->waiter, on_waiter, uv_delay_ms(l, wait_ns), 0);
        uv_run(&l->uv, UV_RUN_ONCE);
        uv_timer_stop(&l->waiter);
    }
    if (l->embedded) {
        uv_run(&l->uv, UV_RUN_NOWAIT); /* uv registers new descriptors only when it polls */
    }
    uv_unref((uv_handle_t *)&l->async);
    pthread_mutex_lock(&l->lock);
    bool posts = l->first != NULL;
    pthread_mutex_unlock(&l->lock);
    return posts || l->works || uv_loop_alive(&l->uv) != 0;
}

int loop_fd(struct loop *l)
{
    l->embedded = true;
    return uv_backend_fd(&l->uv);
}

int64_t loop_next_timer_ns(struct loop *l)
{
    if (!uv_loop_alive(&l->uv)) {
        return -1; /* uv itself answers 0 here */
    }
    uv_update_time(&l->uv);
    int ms = uv_backend_timeout(&l->uv);
    return ms < 0 ? -1 : ms * NS_PER_MS;
}

/* ---- timers ---- */

static void on_timer(uv_timer_t *h)
{
    struct loop_timer *t = h->data;
    end_wait(h);
    t->fn(t->ud);
}

static void on_timer_closed(uv_handle_t *h)
{
    mem_free(h->data);
}

int loop_timer_open(struct loop *l, loop_fn fn, void *ud, struct loop_timer **out)
{
    struct loop_timer *t = mem_zalloc(sizeof *t);
    if (!t) {
        return ERR_NOMEM;
    }
    uv_timer_init(&l->uv, &t->h);
    t->h.data = t;
    t->fn = fn;
    t->ud = ud;
    *out = t;
    return 0;
}

void loop_timer_start(struct loop_timer *t, int64_t delay_ns)
{
    struct loop *l = (struct loop *)((char *)t->h.loop - offsetof(struct loop, uv));
    uv_timer_start(&t->h, on_timer, uv_delay_ms(l, delay_ns), 0);
}

void loop_timer_stop(struct loop_timer *t)
{
    uv_timer_stop(&t->h);
}

void loop_timer_close(struct loop_timer *t)
{
    if (t) {
        uv_close((uv_handle_t *)&t->h, on_timer_closed);
    }
}

/* ---- descriptors ---- */

static void on_io(uv_poll_t *h, int status, int events)
{
    struct loop_io *io = h->data;
    int seen = ((events & UV_READABLE) ? LOOP_READ : 0) | ((events & UV_WRITABLE) ? LOOP_WRITE : 0);
    io->fn(io->ud, seen, status < 0 ? ERR_IO : 0);
}

static void on_io_closed(uv_handle_t *h)
{
    mem_free(h->data);
}

int loop_io_open(struct loop *l, int fd, loop_io_fn fn, void *ud, struct loop_io **out)
{
    struct loop_io *io = mem_zalloc(sizeof *io);
    if (!io) {
        return ERR_NOMEM;
    }
    int rc = uv_poll_init(&l->uv, &io->h, fd);
    if (rc) {
        mem_free(io);
        return rc == UV_ENOMEM ? ERR_NOMEM : rc == UV_EEXIST ? ERR_EXISTS : ERR_IO;
    }
    io->h.data = io;
    io->loop = l;
    io->fn = fn;
    io->ud = ud;
    *out = io;
    return 0;
}

void loop_io_want(struct loop_io *io, int events)
{
    int want = ((events & LOOP_READ) ? UV_READABLE : 0) | ((events & LOOP_WRITE) ? UV_WRITABLE : 0);
    if (want) {
        uv_poll_start(&io->h, want, on_io);
    } else {
        uv_poll_stop(&io->h);
    }
}

void loop_io_close(struct loop_io *io)
{
    if (io) {
        uv_close((uv_handle_t *)&io->h, on_io_closed);
    }
}

/* ---- work off the loop ---- */

static void on_work_done(void *ud)
{
    struct work x = *(struct work *)ud;
    mem_free(ud);
    x.loop->works--;
    x.done(x.ud, 0);
}

static void *pool_main(void *ud)
{
    struct loop *l = ud;
    struct pool *p = &l->pool;
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        struct work *w = p->first;
        if (!w) {
            p->idle++;
            pthread_cond_wait(&p->cond, &p->lock);
            p->idle--;
            continue;
        }
        p->first = w->next;
        pthread_mutex_unlock(&p->lock);
        w->work(w->ud);
        loop_post_in(l, &w->post, on_work_done, w); /* never refused: closing waits for it */
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* One thread more when all are busy. False: there is none at all. */
static bool pool_grow(struct loop *l)
{
    struct pool *p = &l->pool;
    if (!p->idle && p->n < POOL_THREADS) {
        p->n += thread_start(&p->threads[p->n], pool_main, l) == 0;
    }
    return p->n > 0;
}

int loop_work(struct loop *l, void (*work)(void *ud), void (*done)(void *ud, int status), void *ud)
{
    if (l->closing) {
        return ERR_CLOSED;
    }
    struct work *w = mem_zalloc(sizeof *w);
    if (!w) {
        return ERR_NOMEM;
    }
    *w = (struct work){.loop = l, .work = work, .done = done, .ud = ud};
    struct pool *p = &l->pool;
    pthread_mutex_lock(&p->lock);
    if (!pool_grow(l)) {
        pthread_mutex_unlock(&p->lock);
        mem_free(w);
        return ERR_IO;
    }
    if (p->first) {
        p->last->next = w;
    } else {
        p->first = w;
    }
    p->last = w;
    l->works++;
    pthread_cond_signal(&p->cond);
    pthread_mutex_unlock(&p->lock);
    return 0;
}

/* What runs is waited for (its end is a post), what waits is cancelled. */
static void pool_close(struct loop *l)
{
    struct pool *p = &l->pool;
    pthread_mutex_lock(&p->lock);
    struct work *w = p->first;
    p->first = NULL;
    p->stop = true;
    pthread_cond_broadcast(&p->cond);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n; i++) {
        pthread_join(p->threads[i], NULL);
    }
    while (w) {
        struct work *next = w->next;
        l->works--;
        w->done(w->ud, ERR_CANCELED);
        mem_free(w);
        w = next;
    }
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->cond);
}
