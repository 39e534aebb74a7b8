/* Heartbeats, throttled: the first is sent at once, then one per interval with the newest details,
 * also when the code says nothing more. What the server answers (cancel, reset, pause) reaches the
 * worker once. */
#include "temporal/worker_half.h"

#define INTERVAL_MAX_NS (60 * NS_PER_S)
#define INTERVAL_NS (30 * NS_PER_S) /* without a heartbeat time-out */

struct beat {
    struct tw *w;
    char *key;
    size_t n_key;
    backend_answer_fn fn; /* of the call that sent it; NULL: the timer did */
    void *ud;
};

static void on_timer(void *ud);

void tw_beat_open(struct tw_act *a, int64_t timeout)
{
    a->interval_ns = timeout <= 0 ? INTERVAL_NS : timeout / 10 * 8;
    if (a->interval_ns > INTERVAL_MAX_NS) a->interval_ns = INTERVAL_MAX_NS;
    if (loop_timer_open(a->w->t->loop, on_timer, a, &a->beat_timer)) a->beat_timer = NULL;
}

const struct rec *tw_beat_rest(struct tw_act *a, struct arena *arena)
{
    struct rec *r = NULL;
    if (!(a->pending || a->beating) || a->details.code) return NULL;
    struct str bytes = arena_str(arena, buf_str(&a->details));
    if (!bytes.p || rec_decode(arena, &rec_type_payloads, bytes, &r, NULL)) return NULL;
    return r;
}

/* ---- sending ---- */
static void on_answer(void *ud, const struct backend_answer *answer)
{
    struct beat *b = ud;
    struct backend_answer out = *answer;
    struct tw_act *a = map_get(&b->w->acts, str_make(b->key, b->n_key));
    bool gone = answer->kind == BACKEND_STALE, told = a && a->told;
    if (a) a->beating = false;
    if (answer->cancel_requested && told) out.cancel_requested = false; /* once is enough */
    if (b->fn) {
        if (a && answer->cancel_requested && !told) {
            a->told = true;
            a->why = answer->cancel_reason;
        }
        b->fn(b->ud, &out); /* the caller acts on it; the attempt may end in here */
        a = map_get(&b->w->acts, str_make(b->key, b->n_key));
        if (a && gone) tw_act_free(a);
    } else if (a && gone) {
        tw_act_tell(a, BACKEND_CANCEL_GONE);
    } else if (a && out.cancel_requested) {
        tw_act_tell(a, answer->cancel_reason);
    }
    mem_free(b->key);
    mem_free(b);
}

static void send_beat(struct tw_act *a, const struct rec *details, backend_answer_fn fn, void *ud)
{
    struct beat *b = mem_zalloc(sizeof *b);
    char *key = b ? str_dup(a->key) : NULL;
    if (!key) {
        mem_free(b);
        const struct backend_answer none = {.kind = BACKEND_STORAGE};
        if (fn) fn(ud, &none);
        return;
    }
    *b = (struct beat){a->w, key, a->key.n, fn, ud};
    a->beating = true;
    a->throttled = a->beat_timer != NULL;
    if (a->beat_timer) loop_timer_start(a->beat_timer, a->interval_ns);
    client_heartbeat(&a->w->t->b, a->key, details, on_answer, b);
}

static void on_timer(void *ud)
{
    struct tw_act *a = ud;
    struct arena arena;
    a->throttled = false;
    if (!a->pending) return;
    if (a->beating) { /* the server is slow: the newest details wait for its answer */
        a->throttled = true;
        loop_timer_start(a->beat_timer, a->interval_ns);
        return;
    }
    arena_init(&arena, 0);
    const struct rec *details = tw_beat_rest(a, &arena);
    a->pending = false;
    send_beat(a, details, NULL, NULL);
    arena_free(&arena);
}

void tw_heartbeat(struct backend *b, struct str token, const struct rec *details,
                  backend_answer_fn fn, void *ud)
{
    struct temporal *t = temporal_of(b);
    struct tw_act *a = map_get(&t->worker->acts, token);
    if (!a) {
        client_heartbeat(b, token, details, fn, ud);
        return;
    }
    if (tw_size_sent(t->worker, details) > t->worker->blob_max) {
        struct call *c = call_new_answer(t, fn, ud, "heartbeat of an activity", (struct str){0});
        log_printf(t->log, LOG_ERROR,
                   "the details of a heartbeat are larger than the %lld bytes "
                   "that the namespace takes; they were not sent",
                   (long long)t->worker->blob_max);
        if (c) call_fail_later(c, ERR_LIMIT, "the details are too large");
        return;
    }
    buf_reset(&a->details);
    if (details) rec_encode(details, &a->details);
    if (!a->throttled && !a->beating) {
        a->pending = false;
        send_beat(a, details, fn, ud);
        return;
    }
    a->pending = true;
    struct call *c = call_new_answer(t, fn, ud, "heartbeat of an activity", (struct str){0});
    if (c) call_done_later(c);
}
