/* Who listens to which run. Keeps true: history is read from the engine, from where a listener
 * stands on, so one that comes back, also after a restart, misses nothing; what an attempt says is
 * kept in memory until its step has ended, and its step's result is history. A listener that is
 * behind is left alone until its buffer has room. */
#include "host/follow.h"
#include "base/mem.h"
#include <stdio.h>

#define EVENT_MAX ((size_t)48 << 10) /* a larger one goes without its result */
#define POLL_NS NS_PER_S /* how often a server's run is asked for, whose commits are not seen */

/* ---- what is kept ---- */

static void step_clear(struct host_http *x, struct step *s)
{
    while (s->first) {
        struct piece *p = s->first;
        s->first = p->next;
        mem_free(p);
    }
    x->said -= s->bytes;
    s->bytes = 0;
    s->last = NULL;
}

static void run_drop(struct host_http *x, struct run_stream *run)
{
    while (run->steps) {
        struct step *s = run->steps;
        run->steps = s->next;
        step_clear(x, s);
        mem_free(s->id);
        mem_free(s);
    }
    if (run->prev)
        run->prev->next = run->next;
    else
        x->runs = run->next;
    if (run->next)
        run->next->prev = run->prev;
    else
        x->runs_last = run->prev;
    map_del(&x->by_run, str_of(run->run_id));
    mem_free(run->run_id);
    mem_free(run);
}

static void run_used(struct host_http *x, struct run_stream *run)
{
    if (x->runs_last == run) return;
    if (run->prev)
        run->prev->next = run->next;
    else if (x->runs == run)
        x->runs = run->next;
    if (run->next) run->next->prev = run->prev;
    run->next = NULL;
    run->prev = x->runs_last;
    if (run->prev)
        run->prev->next = run;
    else
        x->runs = run;
    x->runs_last = run;
}

static struct run_stream *run_of(struct host_http *x, struct str run_id)
{
    struct run_stream *run = map_get(&x->by_run, run_id);
    if (!run) {
        run = mem_zalloc(sizeof *run);
        if (!run || !(run->run_id = str_dup(run_id)) || map_set(&x->by_run, run_id, run) < 0) {
            if (run) mem_free(run->run_id);
            mem_free(run);
            return NULL;
        }
    }
    run_used(x, run);
    return run;
}

/* Nothing waits for what is kept of it. */
static void run_rest(struct host_http *x, struct run_stream *run)
{
    if (!run->listeners && !run->steps) run_drop(x, run);
}

static void step_end(struct host_http *x, struct run_stream *run, const char *id)
{
    for (struct step **at = &run->steps; id && *at; at = &(*at)->next) {
        struct step *s = *at;
        if (strcmp(s->id, id) != 0) continue;
        *at = s->next;
        step_clear(x, s);
        mem_free(s->id);
        mem_free(s);
        return;
    }
}

static struct step *step_of(struct run_stream *run, struct str id)
{
    for (struct step *s = run->steps; s; s = s->next)
        if (str_eqz(id, s->id)) return s;
    struct step *s = mem_zalloc(sizeof *s);
    if (!s || !(s->id = str_dup(id))) {
        mem_free(s);
        return NULL;
    }
    s->next = run->steps;
    run->steps = s;
    return s;
}

/* ---- listeners ---- */

static struct cursor *cursor_of(struct listener *l, const struct step *s)
{
    for (size_t i = 0; i < l->n_cursors; i++)
        if (strcmp(l->cursors[i].step, s->id) == 0) return &l->cursors[i];
    if (l->n_cursors == FOLLOW_CURSORS) { /* the oldest is of a step that ended long ago */
        mem_free(l->cursors[0].step);
        memmove(l->cursors, l->cursors + 1, (FOLLOW_CURSORS - 1) * sizeof *l->cursors);
        l->n_cursors--;
    }
    char *id = str_dup(str_of(s->id));
    if (!id) return NULL;
    l->cursors[l->n_cursors] = (struct cursor){.step = id};
    return &l->cursors[l->n_cursors++];
}

static void forget_cursors(struct listener *l)
{
    for (size_t i = 0; i < l->n_cursors; i++)
        mem_free(l->cursors[i].step);
    l->n_cursors = 0;
}

static void leave_run(struct listener *l)
{
    struct host_http *x = l->r->x;
    if (!l->run) return;
    for (struct listener **at = &l->run->listeners; *at; at = &(*at)->next)
        if (*at == l) {
            *at = l->next;
            break;
        }
    run_rest(x, l->run);
    l->run = NULL;
}

static bool join_run(struct listener *l, struct str run_id)
{
    struct run_stream *run = run_of(l->r->x, run_id);
    if (!run) return false;
    l->run = run;
    l->next = run->listeners;
    run->listeners = l;
    return true;
}

void follow_free(struct listener *l)
{
    if (!l) return;
    leave_run(l);
    forget_cursors(l);
    mem_free(l->workflow_id);
    mem_free(l);
}

/* False: it cannot take it now; on_room tells when. */
static bool push(struct listener *l, const struct buf *text)
{
    struct host_http *x = l->r->x;
    int code = text->code ? text->code : http_server_push(x->server, l->r->id, buf_str(text));
    if (code == 0) {
        l->r->pushed_ns = clock_mono(&x->h->clock);
        return true;
    }
    l->behind = true;
    return false;
}

static void end(struct listener *l, bool complete)
{
    l->r->done = true;
    http_server_finish(l->r->x->server, l->r->id, complete);
}

/* What attempts have said since the listener heard last. */
static void send_pieces(struct listener *l)
{
    for (struct step *s = l->run->steps; s && !l->behind; s = s->next) {
        struct cursor *c = cursor_of(l, s);
        struct buf b;
        if (!c) return;
        buf_init(&b, HOST_JSON_MAX);
        if (c->attempt != s->attempt) {
            follow_restarted(&b, l, s);
            if (s->attempt > 1 && !push(l, &b)) {
                buf_free(&b);
                return;
            }
            *c = (struct cursor){c->step, s->attempt, 0};
        }
        for (struct piece *p = s->first; p && !l->behind; p = p->next) {
            if (p->n <= c->n) continue;
            buf_reset(&b);
            follow_piece(&b, l, s, p);
            if (push(l, &b)) c->n = p->n;
        }
        buf_free(&b);
    }
}

/* In a turn of its own, for all commits until then. */
static void look(struct listener *l)
{
    l->dirty = true;
    if (!l->fetching && !l->behind) loop_timer_start(l->r->x->look, 0);
}

static void fetch(struct listener *l, struct str page);

struct fetching { /* outlives its listener */
    struct host_http *x;
    uint64_t id;
};

static struct listener *listener_of(struct fetching *f)
{
    struct host_request *r = serve_find(f->x, f->id);
    return r && !r->done && !r->gone && f->x->server ? r->listener : NULL;
}

/* The names of activities by their scheduled events, while a page is told. */
static const char *name_in(ml_host *h, const struct run_stream *run, const struct rec *ev,
                           char out[256])
{
    return events_name(h, str_of(run->run_id), ev, out);
}

/* False: the listener is behind, or has left this run. */
static bool tell_event(struct listener *l, const struct rec *ev)
{
    struct buf b;
    char name[256];
    bool told, ok = true, last = event_is_terminal(event_type(ev));
    buf_init(&b, HOST_JSON_MAX);
    told = follow_event(&b, ev, l->run->run_id, name_in(l->r->x->h, l->run, ev, name), true);
    if (told && b.n > EVENT_MAX) {
        buf_reset(&b);
        follow_event(&b, ev, l->run->run_id, name_in(l->r->x->h, l->run, ev, name), false);
    }
    if (last) {
        buf_reset(&b);
        follow_end(&b, ev, l->run->run_id);
    }
    if (told || last) ok = push(l, &b);
    buf_free(&b);
    if (!ok) return false;
    l->event = event_id(ev);
    if (!last) return true;
    struct str next = outcome_next_run(ev);
    struct arena a;
    arena_init(&a, 4096);
    next = next.n ? arena_str(&a, next) : next;
    leave_run(l);
    forget_cursors(l);
    l->event = 0;
    if (next.n && join_run(l, next))
        look(l);
    else
        end(l, true);
    arena_free(&a);
    return false;
}

static void on_history(void *ud, const struct backend_reply *m)
{
    struct fetching *f = ud;
    struct listener *l = listener_of(f);
    if (!l) {
        mem_free(f);
        return;
    }
    l->fetching = false;
    if (m->err.code) {
        mem_free(f);
        end(l, false); /* it comes back with the id that it has */
        return;
    }
    bool on = true;
    for (size_t i = 0; i < m->n_events && on; i++)
        if (event_id(m->events[i]) > l->event) on = tell_event(l, m->events[i]);
    mem_free(f);
    if (l->r->done || !l->run || l->behind) return;
    if (on && m->next_page.n)
        fetch(l, m->next_page);
    else if (l->dirty)
        fetch(l, (struct str){NULL, 0});
    else
        send_pieces(l);
}

/* Page NULL: from where the listener stands, on an engine whose pages are named by events. */
static void fetch(struct listener *l, struct str page)
{
    struct host_http *x = l->r->x;
    ml_host *h = x->h;
    char from[24];
    struct fetching *f = mem_zalloc(sizeof *f);
    if (!f) return; /* the next commit, or the next turn of the clock, tries again */
    *f = (struct fetching){x, l->r->id};
    l->fetching = true;
    l->dirty = false;
    if (!page.n && h->engine && l->event) {
        snprintf(from, sizeof from, "%lld", (long long)l->event);
        page = str_of(from);
    }
    struct backend_target t = {str_of(l->workflow_id), str_of(l->run->run_id)};
    h->b->ops->fetch_history(h->b, &t, true, page, on_history, f);
}

void follow_look(void *ud)
{
    struct host_http *x = ud;
    for (struct host_request *r = x->requests, *next; r; r = next) {
        struct listener *l = r->listener;
        next = r->next;
        if (!l || !l->dirty || !l->run || l->fetching || l->behind || r->done || r->gone) continue;
        fetch(l, (struct str){NULL, 0});
    }
}

void follow_room(struct host_request *r)
{
    struct listener *l = r->listener;
    l->behind = false;
    look(l);
}

/* ---- beginning ---- */

/* The listener stands where its Last-Event-ID says. */
static void take_place(struct listener *l, const struct follow_place *at)
{
    l->event = at->event;
    if (!at->step.n) return;
    char *id = str_dup(at->step);
    if (!id) return;
    l->cursors[0] = (struct cursor){id, (int)at->attempt, (uint64_t)at->n};
    l->n_cursors = 1;
}

static void on_described(void *ud, const struct backend_reply *m)
{
    struct fetching *f = ud;
    struct host_http *x = f->x;
    struct listener *l = listener_of(f);
    struct err e = {0};
    mem_free(f);
    if (!l) return;
    struct http_answer a = {.status = 200, .headers = l->headers, .n_headers = l->n_headers};
    if (m->err.code == ERR_NOTFOUND) {
        serve_problem(l->r, PROBLEM_NOT_FOUND, m->err.text);
    } else if (m->err.code) {
        serve_problem(l->r, PROBLEM_UNAVAILABLE, m->err.text);
    } else if (!join_run(l, m->run_id) || http_server_stream(x->server, l->r->id, &a, &e) < 0) {
        serve_problem(l->r, PROBLEM_UNAVAILABLE, "out of memory");
    } else {
        serve_events_begin(l->r);
        fetch(l, (struct str){NULL, 0});
        if (!x->h->engine && !x->polling) loop_timer_start(x->poll, POLL_NS);
        x->polling = x->polling || !x->h->engine;
    }
}

int serve_follow(struct host_request *r, struct str workflow_id, struct str run_id, struct str last,
                 const struct http_header *also, size_t n_also)
{
    static const struct http_header own[] = {
        {.name = STR("Content-Type"), .value = STR("text/event-stream")},
        {.name = STR("Cache-Control"), .value = STR("no-cache")}};
    struct listener *l = mem_zalloc(sizeof *l);
    struct fetching *f = l ? mem_zalloc(sizeof *f) : NULL;
    struct follow_place at = {0};
    bool back = last.n && follow_read_id(last, &at);
    struct http_header *headers = arena_alloc(&r->arena, (2 + n_also) * sizeof *headers);
    if (f) l->workflow_id = str_dup(workflow_id);
    if (!f || !l->workflow_id || !headers) {
        if (l) mem_free(l->workflow_id);
        mem_free(l);
        mem_free(f);
        return ERR_NOMEM;
    }
    memcpy(headers, own, sizeof own);
    for (size_t i = 0; i < n_also; i++)
        headers[2 + i] = (struct http_header){.name = arena_str(&r->arena, also[i].name),
                                              .value = arena_str(&r->arena, also[i].value)};
    l->headers = headers;
    l->n_headers = 2 + n_also;
    l->r = r;
    r->listener = l;
    if (back) take_place(l, &at);
    *f = (struct fetching){r->x, r->id};
    struct backend_target t = {workflow_id, back ? at.run_id : run_id};
    r->x->h->b->ops->describe(r->x->h->b, &t, on_described, f);
    return 0;
}

/* ---- what happens ---- */

void follow_commit(ml_host *h, struct str run_id, struct rec *const *events, size_t n)
{
    struct host_http *x = h->serving;
    struct run_stream *run = x ? map_get(&x->by_run, run_id) : NULL;
    if (!run) return;
    bool closed = false;
    for (size_t i = 0; i < n; i++) {
        const char *step = events_step(h, run_id, events[i]);
        if (step) step_end(x, run, step);
        closed = closed || event_is_terminal(event_type(events[i]));
    }
    while (closed && run->steps) {
        struct step *s = run->steps;
        step_end(x, run, s->id);
    }
    for (struct listener *l = run->listeners, *next; l; l = next) {
        next = l->next;
        look(l);
    }
    run_rest(x, run);
}

static void make_room(struct host_http *x)
{
    for (struct run_stream *run = x->runs, *next; run && x->said > FOLLOW_BYTES; run = next) {
        next = run->next;
        for (struct step *s = run->steps; s; s = s->next)
            step_clear(x, s);
    }
}

void follow_progress(void *ud, const struct act_call *call, struct str json)
{
    ml_host *h = ud;
    struct host_http *x = h->serving;
    if (!x || !x->server || json.n > EVENT_MAX) return;
    struct run_stream *run = run_of(x, call->run_id);
    struct step *s = run ? step_of(run, call->activity_id) : NULL;
    struct piece *p = s ? mem_alloc(sizeof *p + json.n) : NULL;
    if (!p || call->attempt < s->attempt) { /* it may be dropped: the result is recorded */
        mem_free(p);
        return;
    }
    if (call->attempt > s->attempt) {
        step_clear(x, s);
        s->attempt = call->attempt;
        s->n = 0;
    }
    *p = (struct piece){.n = ++s->n, .len = json.n};
    memcpy(p->text, json.p, json.n);
    if (s->last)
        s->last->next = p;
    else
        s->first = p;
    s->last = p;
    s->bytes += sizeof *p + json.n;
    x->said += sizeof *p + json.n;
    while (s->bytes > FOLLOW_STEP_BYTES && s->first != s->last) {
        struct piece *old = s->first;
        s->first = old->next;
        s->bytes -= sizeof *old + old->len;
        x->said -= sizeof *old + old->len;
        mem_free(old);
    }
    make_room(x);
    for (struct listener *l = run->listeners; l; l = l->next)
        if (!l->fetching && !l->behind && !l->r->done && l->event) send_pieces(l);
}

/* Runs of a server: their commits are not seen here. */
void follow_poll(void *ud)
{
    struct host_http *x = ud;
    x->polling = false;
    for (struct host_request *r = x->requests, *next; r; r = next) {
        next = r->next;
        if (!r->listener || !r->listener->run || r->done || r->gone) continue;
        look(r->listener);
        x->polling = true;
    }
    if (x->polling) loop_timer_start(x->poll, POLL_NS);
}

void follow_drop(struct host_http *x)
{
    while (x->runs)
        run_drop(x, x->runs);
}
