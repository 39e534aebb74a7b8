/* Any history against any script. Keeps true: the replayer answers, and answers the same however it
 * is interrupted. Input: a byte of flags, a byte that sizes the slices, the script up to a zero
 * byte, the history as stored. The mutator works on events rather than on their bytes. */
#include "base/mem.h"
#include "base/rng.h"
#include "fuzz_wf.h"

#define EVENTS_MAX 300
enum {
    LIVE = 1,    /* up to the last start of a task, which is to be done now */
    QUERY = 2,   /* and a query */
    UPDATE = 4,  /* and an update */
    RENUMBER = 8 /* the mutator leaves ids in order */
};

struct input {
    uint8_t flags, slice;
    struct str script, blob;
};
static bool split(const uint8_t *data, size_t n, struct input *out)
{
    if (n < 3) return false;
    const uint8_t *zero = memchr(data + 2, 0, n - 2);
    if (!zero) return false;
    *out = (struct input){data[0], data[1], str_make(data + 2, (size_t)(zero - data) - 2),
                          str_make(zero + 1, n - (size_t)(zero - data) - 1)};
    return true;
}

/* ---- replaying ---- */
static void run(const struct input *in, struct bundle *b, struct rec *const *events, size_t n,
                uint64_t slice, struct fuzz_out *out)
{
    static const struct wf_query queries[] = {{.id = STR("q"), .type = STR("state")},
                                              {.id = STR("o"), .type = STR("o")}};
    struct arena a;
    struct rec *message;
    struct hist h;
    struct wf_task t = {.events = (const struct rec *const *)events,
                        .n_events = n,
                        .whole = true,
                        .wall_ns = H_EPOCH};
    struct str id = rec_str(event_attrs(events[0]), T(ev_workflow_execution_started, workflow_id));
    bool begins = event_type(events[0]) == EVENT_TYPE_WORKFLOW_EXECUTION_STARTED;
    struct wf_run *r = fuzz_open(b, begins && id.n ? id : STR("wf-1"));
    fuzz_out_init(out);
    if (!r) return;
    h_init(&h);
    arena_init(&a, 0);
    message = h_update_message(&h, "u", "budget", "[20]");
    if (in->flags & LIVE) t.started_id = event_id(events[n - 1]);
    if (in->flags & QUERY) {
        t.queries = queries;
        t.n_queries = 2;
    }
    if (in->flags & UPDATE && in->flags & LIVE) {
        t.messages = (const struct rec *const *)&message;
        t.n_messages = 1;
    }
    fuzz_task(r, &t, slice, 20, out);
    wf_close(r);
    h_free(&h);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in;
    struct arena a;
    struct rec **events = NULL;
    size_t n = 0;
    if (!split(data, size, &in)) return 0;
    arena_init(&a, 1 << 28);
    if (history_blob_decode(&a, in.blob, &events, &n, NULL) == 0 && n > 0 && n <= EVENTS_MAX) {
        if (in.flags & LIVE) {
            size_t live = n;
            while (live && event_type(events[live - 1]) != EVENT_TYPE_WORKFLOW_TASK_STARTED)
                live--;
            n = live ? live : n;
        }
        struct fuzz_out one, two;
        struct bundle *b = fuzz_bundle(in.script);
        run(&in, b, events, n, 30 + 40 * (uint64_t)in.slice, &one);
        run(&in, b, events, n, FUZZ_INSTRUCTIONS, &two);
        fuzz_out_compare(&one, &two);
        fuzz_out_free(&one);
        fuzz_out_free(&two);
    }
    arena_free(&a);
    return 0;
}

/* ---- mutating ---- */
struct mutation {
    struct rng r;
    struct arena a;
    struct rec *ev[EVENTS_MAX];
    size_t n;
};

/* A field somewhere in the record, each with the same chance; the count of fields seen. */
static size_t pick_field(struct mutation *m, struct rec *r, size_t seen, struct rec_field **out)
{
    for (struct rec_field *f = r->first; f; f = f->next) {
        if (rng_below(&m->r, ++seen) == 0) *out = f;
        if (f->kind == REC_MSG && f->v.m) seen = pick_field(m, f->v.m, seen, out);
    }
    return seen;
}

static struct rec *pick_event(struct mutation *m)
{
    return m->ev[rng_below(&m->r, m->n)];
}

static void change_field(struct mutation *m)
{
    static const int64_t ints[] = {0, 1, 2, -1, 5, 7, INT64_MAX, INT64_MIN, 1000000000, 255};
    struct rec_field *f = NULL, *other = NULL;
    pick_field(m, pick_event(m), 0, &f);
    pick_field(m, pick_event(m), 0, &other);
    if (!f) return;
    if (f->kind == REC_STR || f->kind == REC_BYTES) {
        if (other && (other->kind == REC_STR || other->kind == REC_BYTES) && rng_below(&m->r, 2)) {
            f->v.s = other->v.s;
            return;
        }
        size_t max = f->v.s.n + 16;
        uint8_t *p = arena_alloc(&m->a, max);
        if (!p) return;
        if (f->v.s.n) memcpy(p, f->v.s.p, f->v.s.n);
        f->v.s = str_make(p, LLVMFuzzerMutate(p, f->v.s.n, max));
    } else if (f->kind == REC_MSG) {
        if (other && other->ft == f->ft) f->v.m = rec_clone(&m->a, other->v.m);
    } else if (f->kind != REC_DOUBLE && f->kind != REC_FLOAT && f->kind != REC_UNKNOWN) {
        if (rng_below(&m->r, 2))
            f->v.i = ints[rng_below(&m->r, sizeof ints / sizeof *ints)];
        else
            f->v.i = (int64_t)((uint64_t)f->v.i + (rng_below(&m->r, 2) ? 1 : UINT64_MAX));
    }
}

static void drop_field(struct mutation *m)
{
    struct rec_field *f = NULL;
    struct rec *ev = pick_event(m);
    pick_field(m, ev, 0, &f);
    if (f && f->kind == REC_MSG && f->v.m)
        f->v.m->first = f->v.m->last = NULL;
    else if (f && (f->kind == REC_STR || f->kind == REC_BYTES))
        f->v.s = STR("");
}

static void insert(struct mutation *m, size_t at, struct rec *ev)
{
    if (m->n == EVENTS_MAX || !ev) return;
    memmove(m->ev + at + 1, m->ev + at, (m->n - at) * sizeof *m->ev);
    m->ev[at] = ev;
    m->n++;
}

static void change_events(struct mutation *m)
{
    size_t at = rng_below(&m->r, m->n), to = rng_below(&m->r, m->n);
    struct rec *ev = m->ev[at], *attrs = NULL;
    switch (rng_below(&m->r, 8)) {
    case 0: /* away with it */
        if (m->n > 1) memmove(m->ev + at, m->ev + at + 1, (--m->n - at) * sizeof *m->ev);
        break;
    case 1: /* once more, elsewhere */
        insert(m, to, rec_clone(&m->a, ev));
        break;
    case 2: /* the other way round */
        m->ev[at] = m->ev[to];
        m->ev[to] = ev;
        break;
    case 3: /* cut off */
        m->n = at + 1;
        break;
    case 4: /* of another kind, with nothing in it */
        ev = event_new(&m->a, event_id(ev), event_time(ev), (int)rng_below(&m->r, 60), &attrs);
        insert(m, at, ev);
        break;
    default:
        for (uint64_t i = 1 + rng_below(&m->r, 4); i; i--) {
            if (rng_below(&m->r, 6))
                change_field(m);
            else
                drop_field(m);
        }
    }
}

static size_t put(struct mutation *m, const struct input *in, uint8_t *data, size_t n, size_t max)
{
    struct buf out;
    buf_init(&out, max);
    buf_putc(&out, (char)in->flags);
    buf_putc(&out, (char)in->slice);
    buf_putstr(&out, in->script);
    buf_putc(&out, 0);
    for (size_t i = 0; i < m->n && in->flags & RENUMBER; i++)
        rec_set_int(m->ev[i], T(history_event, event_id), (int64_t)i + 1);
    history_blob_encode(m->ev, m->n, &out);
    if (out.code == 0 && !arena_failed(&m->a)) {
        memcpy(data, out.p, out.n);
        n = out.n;
    }
    buf_free(&out);
    return n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed)
{
    static struct mutation m;
    struct input in;
    struct rec **events = NULL;
    size_t n_events = 0;
    rng_seed(&m.r, str_make(&seed, sizeof seed));
    if (!split(data, n, &in) || rng_below(&m.r, 16) == 0) return LLVMFuzzerMutate(data, n, max);
    arena_init(&m.a, 1 << 28);
    struct str copy = arena_str(&m.a, in.blob);
    if (copy.p && history_blob_decode(&m.a, copy, &events, &n_events, NULL) == 0 && n_events &&
        n_events <= EVENTS_MAX) {
        memcpy(m.ev, events, n_events * sizeof *events);
        m.n = n_events;
        in.script = arena_str(&m.a, in.script);
        if (rng_below(&m.r, 8) == 0) in.flags = (uint8_t)rng_below(&m.r, 16);
        if (rng_below(&m.r, 8) == 0) in.slice = (uint8_t)rng_below(&m.r, 256);
        for (uint64_t i = 1 + rng_below(&m.r, 3); i; i--)
            change_events(&m);
        n = put(&m, &in, data, n, max);
    } else {
        n = LLVMFuzzerMutate(data, n, max);
    }
    arena_free(&m.a);
    return n;
}
