/* Sleeps of activities. The server's clock is the world's: a timer each. */
#include "temporal/worker_half.h"

struct tw_sleep {
    struct tw *w;
    struct tw_sleep *prev, *next;
    struct loop_timer *timer;
    void (*fn)(void *ud);
    void *ud;
    uint64_t id;
    int64_t due_ns;
};

#define LONGEST_NS (INT64_C(3600) * NS_PER_S) /* then the clock is read again */

static void sleep_free(struct tw_sleep *s)
{
    if (s->prev)
        s->prev->next = s->next;
    else
        s->w->sleeps = s->next;
    if (s->next) s->next->prev = s->prev;
    idmap_del(&s->w->sleep_ids, s->id);
    loop_timer_close(s->timer);
    mem_free(s);
}

static void arm(struct tw_sleep *s)
{
    int64_t left = s->due_ns - clock_wall(loop_clock(s->w->t->loop));
    loop_timer_start(s->timer, left < 0 ? 0 : left > LONGEST_NS ? LONGEST_NS : left);
}

static void on_timer(void *ud)
{
    struct tw_sleep *s = ud;
    if (clock_wall(loop_clock(s->w->t->loop)) < s->due_ns) {
        arm(s);
        return;
    }
    void (*fn)(void *) = s->fn;
    void *fn_ud = s->ud;
    sleep_free(s);
    fn(fn_ud);
}

void tw_sleep_until(struct backend *b, int64_t due_ns, bool idle, void (*fn)(void *ud), void *ud,
                    uint64_t *id)
{
    (void)idle; /* a server's time is real */
    struct temporal *t = temporal_of(b);
    struct tw *w = t->worker;
    struct tw_sleep *s = mem_zalloc(sizeof *s);
    *id = 0;
    if (s) s->id = idmap_add(&w->sleep_ids, s);
    if (!s || !s->id || loop_timer_open(t->loop, on_timer, s, &s->timer)) {
        if (s && s->id) idmap_del(&w->sleep_ids, s->id);
        mem_free(s);
        loop_post(t->loop, fn, ud); /* the call goes on and meets the shortage itself */
        return;
    }
    s->w = w;
    s->fn = fn;
    s->ud = ud;
    s->due_ns = due_ns;
    s->next = w->sleeps;
    if (s->next) s->next->prev = s;
    w->sleeps = s;
    arm(s);
    *id = s->id;
}

void tw_sleep_cancel(struct backend *b, uint64_t id)
{
    struct tw_sleep *s = idmap_get(&temporal_of(b)->worker->sleep_ids, id);
    if (s) sleep_free(s);
}

void tw_sleeps_free(struct tw *w)
{
    while (w->sleeps)
        sleep_free(w->sleeps);
}
