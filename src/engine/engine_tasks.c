/* Matching: what the worker serves, how many slots it has, which runs and activities wait for one,
 * and the tasks themselves. A workflow task is pushed before its commit (the worker's answer
 * usually joins it); an activity only after. */
#include "engine/engine_internal.h"

void backend_task_free(struct backend_task *t)
{
    if (t) {
        struct arena a = t->arena; /* the task lives in it */
        arena_free(&a);
    }
}

static struct backend_task *task_new(struct engine *g, struct run *r, enum backend_task_kind kind)
{
    struct arena a;
    arena_init(&a, 0);
    struct backend_task *k = arena_alloc(&a, sizeof *k);
    if (!k) {
        arena_free(&a);
        return NULL;
    }
    k->arena = a;
    k->kind = kind;
    k->workflow_id = arena_str(&k->arena, r->workflow_id);
    k->run_id = arena_str(&k->arena, r->run_id);
    k->workflow_type = arena_str(&k->arena, r->type);
    k->wall_ns = engine_now(g);
    return k;
}

/* ---- served types ---- */
static void served_free(struct served *list)
{
    while (list) {
        struct served *s = list;
        list = s->next;
        map_free(&s->workflows);
        map_free(&s->activities);
        mem_free((void *)(uintptr_t)s->queue.p);
        mem_free(s);
    }
}

void eng_served_free(struct engine *g)
{
    served_free(g->served);
    g->served = NULL;
}

bool eng_serves(struct engine *g, struct str queue, struct str type, bool activity)
{
    for (const struct served *s = g->has_sink ? g->served : NULL; s; s = s->next) {
        if (str_eq(s->queue, queue) && map_get(activity ? &s->activities : &s->workflows, type)) {
            return true;
        }
    }
    return false;
}

static bool add_served(struct served **list, const struct backend_served *q)
{
    struct served *s = mem_zalloc(sizeof *s);
    char *name = s ? str_dup(q->task_queue) : NULL;
    if (!name) {
        mem_free(s);
        return false;
    }
    s->queue = str_of(name);
    map_init(&s->workflows);
    map_init(&s->activities);
    s->next = *list;
    *list = s;
    bool ok = true;
    for (size_t i = 0; i < q->n_workflow_types; i++) {
        ok = map_set(&s->workflows, q->workflow_types[i], s) == 0 && ok;
    }
    for (size_t i = 0; i < q->n_activity_types; i++) {
        ok = map_set(&s->activities, q->activity_types[i], s) == 0 && ok;
    }
    return ok;
}

static void list_free(struct ready_list *l)
{
    while (l->first) {
        struct ready *x = l->first;
        l->first = x->next;
        mem_free(x);
    }
    memset(l, 0, sizeof *l);
}

void eng_ready_free(struct engine *g)
{
    list_free(&g->ready_wft);
    list_free(&g->ready_act);
    list_free(&g->unserved);
}

/* NULL: out of memory; the run is looked at again after the wait. */
struct ready *eng_ready_add(struct engine *g, struct ready_list *l, int64_t row, int64_t id)
{
    struct ready *x = mem_zalloc(sizeof *x);
    if (!x) {
        eng_broken(g, row);
        eng_starved(g);
        return NULL;
    }
    x->row = row;
    x->id = id;
    if (l->last) {
        l->last->next = x;
    } else {
        l->first = x;
    }
    l->last = x;
    l->n++;
    return x;
}

/* Its workflow task or queries wait there; once. */
void eng_ready_run(struct run *r, struct ready_list *l)
{
    if (!r->ready) {
        r->ready = eng_ready_add(r->g, l, r->row, 0);
    }
}

/* It waits no more: nobody shall read it from the file for that. */
void eng_ready_drop(struct run *r)
{
    if (r->ready) {
        r->ready->row = 0;
        r->ready = NULL;
    }
}

static struct ready pop(struct ready_list *l)
{
    struct ready *x = l->first, copy = *x;
    l->first = x->next;
    l->last = l->first ? l->last : NULL;
    l->n--;
    mem_free(x);
    return copy;
}

int eng_serve(struct engine *g, const struct backend_sink *sink, const struct backend_served *q,
              size_t n)
{
    struct served *list = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!add_served(&list, &q[i])) {
            served_free(list);
            return ERR_NOMEM;
        }
    }
    eng_served_free(g);
    g->served = list;
    g->has_sink = sink != NULL;
    if (sink) {
        g->sink = *sink;
    }
    while (g->unserved.first) {
        struct ready x = pop(&g->unserved);
        struct run *r = x.id ? NULL : map_get(&g->runs, map_i64(&x.row));
        struct ready *now =
            x.row ? eng_ready_add(g, x.id ? &g->ready_act : &g->ready_wft, x.row, x.id) : NULL;
        if (r) {
            r->ready = now;
        }
    }
    eng_kick(g);
    return 0;
}

/* The worker gives a task back, or its outcome could not be kept: it is looked at after the wait.
 */
void eng_release(struct engine *g, struct str token, const struct err *why)
{
    struct str run_id = {NULL, 0};
    int64_t id = 0, nonce = 0;
    struct out *o = map_get(&g->out, token);
    if (token.n > 2 && token.p[0] == 'q') {
        eng_query_failed(g, token, why);
        return;
    }
    struct run *r = token.n > 2 && eng_token_parse(token, &run_id, &id, &nonce) == 0
                        ? map_get(&g->by_run_id, run_id)
                        : NULL;
    if (o && token.p[0] == 'a') {
        o->lost = true;
    } else if (r && r->wft_out && r->started == id && r->nonce == (uint64_t)nonce) {
        r->task_lost = true;
    } else {
        return;
    }
    g->shaken = true;
    eng_sick(g, why);
}

/* An attempt that the worker could not begin is given out again as it is. */
void eng_release_attempt(struct engine *g, struct str token, const struct err *why)
{
    struct out *o = map_get(&g->out, token);
    struct run *r = o ? map_get(&g->runs, map_i64(&o->row)) : NULL;
    struct pend *p = r ? eng_pend(r, PEND_ACTIVITY, o->id) : NULL;
    if (p && p->state == AT_RUNNING && p->attempt == o->attempt) {
        p->unpushed = true;
        mem_free(map_del(&g->out, token));
        g->shaken = true;
        eng_sick(g, why);
    }
}

/* Gives free slots to what waits longest. Returns whether something moved. */
bool eng_ready_pump(struct engine *g)
{
    bool moved = false;
    size_t n = g->ready_act.n < g->slots_act ? g->ready_act.n : g->slots_act;
    while (n-- > 0 && g->ready_act.first && !g->sick_until) {
        struct msg *m = eng_msg(g, M_ACT_SLOT);
        if (!m) {
            break;
        }
        struct ready x = pop(&g->ready_act);
        m->row = x.row;
        m->id = x.id;
        eng_dispatch(g, m);
        moved = true;
    }
    n = g->ready_wft.n < g->slots_wft ? g->ready_wft.n : g->slots_wft;
    while (n > 0 && g->ready_wft.first && !g->sick_until) {
        if (!g->ready_wft.first->row) {
            pop(&g->ready_wft);
            continue;
        }
        struct msg *m = eng_msg(g, M_WFT_TRY);
        if (!m) {
            break;
        }
        struct ready x = pop(&g->ready_wft);
        n--;
        struct run *loaded = map_get(&g->runs, map_i64(&x.row));
        if (loaded) {
            loaded->ready = NULL;
        }
        m->row = x.row;
        eng_dispatch(g, m);
        moved = true;
    }
    return moved;
}

/* ---- workflow tasks ---- */
static struct rec *started_event(struct txn *t)
{
    struct run *r = t->run;
    struct rec *a = NULL;
    char id[ENG_UUID];
    eng_uuid(t->g, id);
    r->started = r->next_id;
    struct rec *ev = eng_event(t, EVENT_TYPE_WORKFLOW_TASK_STARTED, &a);
    rec_set_int(a, T(ev_workflow_task_started, scheduled_event_id), r->sched);
    rec_set_str(a, T(ev_workflow_task_started, identity), str_of(t->g->identity));
    rec_set_copy(a, T(ev_workflow_task_started, request_id), str_of(id));
    rec_set_int(a, T(ev_workflow_task_started, history_size_bytes), r->bytes);
    bool many = r->next_id > ENG_SUGGEST_EVENTS, large = r->bytes >= ENG_SUGGEST_BYTES;
    if (many || large) {
        rec_set_int(a, T(ev_workflow_task_started, suggest_continue_as_new), 1);
        if (large) {
            rec_add_int(a, T(ev_workflow_task_started, suggest_continue_as_new_reasons),
                        SUGGEST_CONTINUE_AS_NEW_REASON_HISTORY_SIZE_TOO_LARGE);
        }
        if (many) {
            rec_add_int(a, T(ev_workflow_task_started, suggest_continue_as_new_reasons),
                        SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_HISTORY_EVENTS);
        }
    }
    return ev;
}

static int add_events(struct engine *g, struct backend_task *k, const struct chunk *c, int64_t from,
                      int64_t to, size_t *cap, struct err *e)
{
    for (size_t i = 0; i < c->n; i++) {
        int64_t id = event_id(c->events[i]);
        if (id < from || id > to) {
            continue;
        }
        if (k->n_events == *cap) {
            size_t more = *cap ? *cap * 2 : 32;
            struct rec **all = arena_alloc(&k->arena, more * sizeof *all);
            if (!all) {
                return err_set(e, ERR_NOMEM, "out of memory");
            }
            if (k->n_events) {
                memcpy(all, k->events, k->n_events * sizeof *all);
            }
            k->events = all;
            *cap = more;
        }
        struct rec *ev = rec_clone(&k->arena, c->events[i]);
        int rc = eng_resolve_event(g, &k->arena, ev, false, e);
        if (rc) {
            return rc;
        }
        k->events[k->n_events++] = ev;
    }
    return 0;
}

static void attach_queries(struct run *r, struct backend_task *k)
{
    size_t n = 0;
    for (struct query *q = r->queries; q; q = q->next) {
        n += !q->sent;
    }
    k->queries = n ? arena_alloc(&k->arena, n * sizeof *k->queries) : NULL;
    for (struct query *q = k->queries ? r->queries : NULL; q; q = q->next) {
        if (!q->sent) {
            q->sent = q->attached = true;
            k->queries[k->n_queries++] = (struct backend_query){
                arena_str(&k->arena, str_of(q->id)), arena_str(&k->arena, q->type),
                q->args ? rec_clone(&k->arena, q->args) : NULL};
        }
    }
}

static struct backend_task *workflow_task(struct run *r, struct err *e)
{
    struct engine *g = r->g;
    unsigned long refused = mem_refused();
    struct backend_task *k = task_new(g, r, BACKEND_WORKFLOW_TASK);
    if (!k) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    k->token = arena_printf(&k->arena, "w:%.*s:%lld:%llu", STR_ARG(r->run_id),
                            (long long)r->started, (unsigned long long)r->nonce);
    k->task_queue = arena_str(&k->arena, r->queue);
    k->attempt = r->retrying ? 2 : 1;
    k->whole = r->done == 0 && r->seen == 0;
    k->previous_started_id = r->done;
    k->started_id = r->started;
    const char *bundle = r->retrying && r->retry_bundle[0] ? r->retry_bundle : r->bundle;
    k->bundle_digest = bundle[0] ? arena_str(&k->arena, str_of(bundle)) : (struct str){NULL, 0};
    k->task_timeout_ns = 10 * NS_PER_S;
    int64_t from = (r->seen > r->done ? r->seen : r->done) + 1;
    size_t cap = 0;
    int rc = 0;
    for (const struct chunk *c = r->chunks; c && !rc; c = c->next) {
        rc = add_events(g, k, c, from, r->started, &cap, e);
    }
    rc = rc ? rc : r->txn ? add_events(g, k, r->txn->chunk, from, r->started, &cap, e) : 0;
    if (rc == 0) {
        eng_updates_send(r, k);
        attach_queries(r, k);
    }
    if (refused != mem_refused()) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
    }
    if (rc) {
        backend_task_free(k);
        return NULL;
    }
    return k;
}

/* Starts and pushes the run's workflow task when there is one and the worker has a slot; else it
 * waits its turn. */
bool eng_wft_maybe_start(struct run *r)
{
    struct engine *g = r->g;
    bool spec =
        !r->sched &&
        (r->retrying || (eng_updates_waiting(r) && !r->blocked && !eng_pend(r, PEND_DELAY, 0)));
    if (r->status != RUN_RUNNING || r->wft_out || (!r->sched && !spec) ||
        (r->blocked && !r->retrying) || !eng_driven(g, r) || g->shutting ||
        (r->txn && (r->txn->submitted || r->txn->completed))) {
        return false;
    }
    if (!eng_serves(g, r->queue, r->type, false)) {
        eng_ready_run(r, &g->unserved);
        return false;
    }
    if (!g->slots_wft) {
        eng_ready_run(r, &g->ready_wft);
        return false;
    }
    struct err e = {0};
    struct txn *t = NULL;
    int rc = eng_run_recent(r, &e);
    if (!rc && !r->started) {
        t = eng_txn(r);
        rc = t ? 0 : err_set(&e, ERR_NOMEM, "out of memory");
        if (!rc && spec && !eng_start_speculative(t)) {
            return false;
        }
    }
    if (!rc && !r->started) {
        started_event(t);
        r->transient = r->speculative && r->retrying;
    }
    r->nonce = ++g->counter;
    struct backend_task *k = rc ? NULL : workflow_task(r, &e);
    if (!k) {
        eng_queries_unsent(r);
        eng_updates_unsent(r);
        eng_broken(g, r->row);
        eng_sick(g, &e);
        if (t) {
            t->failed = true; /* the transition ends as a failed one, and is decided again */
        }
        return false;
    }
    eng_ready_drop(r);
    r->wft_out = true;
    g->wfts_out++;
    g->slots_wft--;
    if (t) {
        t->pushed = true;
        t->pushed_mono = eng_mono(g);
    }
    FAULT("engine.dispatch");
    g->sink.on_workflow_task(g->sink.ud, k);
    return true;
}

/* ---- activities ---- */
bool eng_take_activity_slot(struct engine *g, struct run *r, struct pend *p)
{
    if (!eng_driven(g, r) || !g->slots_act || g->shutting ||
        !eng_serves(g, p->queue, p->type, true)) {
        return false;
    }
    g->slots_act--;
    return true;
}

static struct backend_task *activity_task(struct engine *g, struct run *r, struct pend *p,
                                          struct err *e)
{
    unsigned long refused = mem_refused();
    struct backend_task *k = task_new(g, r, BACKEND_ACTIVITY_TASK);
    if (!k) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    struct arena *a = &k->arena;
    struct buf token;
    buf_init(&token, 200);
    eng_token_activity(r, p, &token);
    k->token = arena_str(a, buf_str(&token));
    buf_free(&token);
    k->task_queue = arena_str(a, p->queue);
    k->attempt = p->attempt;
    k->activity_id = arena_str(a, p->name);
    k->activity_type = arena_str(a, p->type);
    char hex[SHA256_HEX];
    struct str key = arena_printf(a, "%.*s/%.*s", STR_ARG(r->run_id), STR_ARG(p->name));
    hash_sha256_hex(key, hex);
    k->idempotency_key = arena_str(a, str_make(hex, 32));
    struct rec *input = rec_msg(p->attrs, T(ev_activity_task_scheduled, input));
    struct rec *header = rec_msg(p->attrs, T(ev_activity_task_scheduled, header));
    struct rec *copy = input ? rec_clone(a, input) : NULL, *details = NULL;
    int rc = copy ? eng_resolve(g, a, copy, true, e) : 0;
    k->input = copy;
    k->header = header ? rec_clone(a, header) : NULL;
    if (!rc && p->details.n) {
        rc = rec_decode(a, &rec_type_payloads, arena_str(a, eng_bytes(&p->details)), &details, e);
        k->heartbeat_details = details;
    }
    k->scheduled_ns = p->first_at;
    k->started_ns = p->at;
    k->start_to_close_ns = rec_int(p->attrs, T(ev_activity_task_scheduled, start_to_close_timeout));
    k->schedule_to_close_ns =
        rec_int(p->attrs, T(ev_activity_task_scheduled, schedule_to_close_timeout));
    k->heartbeat_ns = rec_int(p->attrs, T(ev_activity_task_scheduled, heartbeat_timeout));
    if (refused != mem_refused()) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
    }
    if (rc) {
        backend_task_free(k);
        return NULL;
    }
    return k;
}

/* The attempt is durable: give it to the worker. When that cannot be done now, it is as soon as it
 * can (eng_run_arm). */
void eng_push_activity(struct engine *g, struct run *r, int64_t id)
{
    struct pend *p = r->status == RUN_RUNNING ? eng_pend(r, PEND_ACTIVITY, id) : NULL;
    if (!p || p->state != AT_RUNNING || p->epoch != g->epoch) {
        g->slots_act++;
        return;
    }
    struct err e = {0};
    struct backend_task *k = activity_task(g, r, p, &e);
    struct out *o = k ? mem_zalloc(sizeof *o) : NULL;
    p->unpushed = !o || map_set(&g->out, k->token, o);
    if (p->unpushed) {
        mem_free(o);
        backend_task_free(k);
        g->slots_act++;
        g->shaken = true;
        if (!e.code) {
            err_set(&e, ERR_NOMEM, "out of memory");
        }
        eng_sick(g, &e);
        return;
    }
    *o = (struct out){r->row, id, p->attempt, false};
    int64_t due = 0;
    if (k->start_to_close_ns > 0) {
        due = p->t_start + k->start_to_close_ns;
    }
    if (k->heartbeat_ns > 0 && (!due || p->t_start + k->heartbeat_ns < due)) {
        due = p->t_start + k->heartbeat_ns;
    }
    if (due) {
        eng_attempt_arm(g, r->row, id, p->attempt, due);
    }
    g->sink.on_activity_task(g->sink.ud, k);
}
