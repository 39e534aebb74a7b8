/* Updates: admitted in memory, sent with a workflow task, accepted and completed as events,
 * rejected without a trace. Who waits for one is kept in memory; the outcome of a finished one is
 * found again by its id. */
#include "engine/engine_internal.h"

static const char type_url[] = "type.googleapis.com/temporal.api.update.v1.Request";

static struct update *find(const struct run *r, struct str id)
{
    for (struct update *u = r->updates; u; u = u->next) {
        if (str_eq(u->id, id)) {
            return u;
        }
    }
    return NULL;
}

static void update_free(struct run *r, struct update *u)
{
    for (struct update **at = &r->updates; *at; at = &(*at)->next) {
        if (*at == u) {
            *at = u->next;
            break;
        }
    }
    while (u->waiters) {
        struct waiter *w = u->waiters;
        u->waiters = w->next;
        mem_free(w);
    }
    arena_free(&u->arena);
    mem_free(u);
}

static struct update *update_new(struct run *r, struct str id, int state)
{
    struct update *u = mem_zalloc(sizeof *u);
    if (!u) {
        return NULL;
    }
    arena_init(&u->arena, 0);
    u->id = arena_str(&u->arena, id);
    u->state = state;
    struct update **at = &r->updates;
    while (*at) {
        at = &(*at)->next;
    }
    *at = u;
    return u;
}

static bool wait_for(struct update *u, struct msg *m)
{
    struct waiter *w = mem_zalloc(sizeof *w);
    if (!w) {
        return false;
    }
    *w = (struct waiter){u->waiters, m->reply, m->ud, (enum backend_update_stage)m->sub};
    u->waiters = w;
    m->told = true;
    return true;
}

static void outcome_reply(struct effect *f, const struct rec *outcome)
{
    struct rec *failure = rec_msg(outcome, T(update_outcome, failure));
    if (failure) {
        f->reply.failure = failure;
        err_set(&f->reply.err, ERR_FAILED, "%.*s", STR_ARG(rec_str(failure, T(failure, message))));
    } else {
        f->reply.result = rec_msg(outcome, T(update_outcome, success));
    }
}

/* An event of the run, wherever it is: in this transition, in memory or in the file. */
static const struct rec *event_find(struct txn *t, int64_t id, struct err *e)
{
    const struct chunk *lists[2] = {t->run->chunks, t->chunk};
    for (int i = 0; i < 2; i++) {
        for (const struct chunk *c = lists[i]; c; c = i ? NULL : c->next) {
            for (size_t k = 0; k < c->n; k++) {
                if (event_id(c->events[k]) == id) {
                    return c->events[k];
                }
            }
        }
    }
    struct rec *ev = NULL;
    if (eng_event_load(t->g, t->run->row, id, &t->chunk->arena, &ev, e) ||
        eng_resolve_event(t->g, &t->chunk->arena, ev, true, e)) {
        return NULL;
    }
    return ev;
}

static void finished(struct txn *t, struct msg *m, const struct pend *p)
{
    struct err e = {0};
    const struct rec *ev = event_find(t, p->at, &e);
    struct effect *f = eng_reply(t, m, ev ? 0 : e.code, e.text);
    f->reply.run_id = t->run->run_id;
    if (ev) {
        outcome_reply(f,
                      rec_msg(event_attrs(ev), T(ev_workflow_execution_update_completed, outcome)));
    }
}

static void admit(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    size_t open = eng_pend_count(r, PEND_UPDATE), total = open + eng_pend_count(r, PEND_UPDATED);
    for (struct update *u = r->updates; u; u = u->next) {
        open += u->state != UP_ACCEPTED;
    }
    if (open >= ENG_UPDATES_OPEN || total >= ENG_UPDATES_TOTAL) {
        eng_reply(t, m, ERR_LIMIT, "too many updates of this run");
        return;
    }
    if (r->blocked) {
        eng_reply(t, m, ERR_FAILED, "the run is blocked");
        return;
    }
    struct update *u = update_new(r, m->request_id, UP_ADMITTED);
    if (!u || !wait_for(u, m)) {
        if (u) {
            update_free(r, u);
        }
        t->failed = true;
        return;
    }
    u->request = rec_new(&u->arena, &rec_type_update_request);
    struct rec *meta = rec_sub(u->request, T(update_request, meta)),
               *input = rec_sub(u->request, T(update_request, input));
    rec_set_str(meta, T(update_meta, update_id), u->id);
    rec_set_copy(meta, T(update_meta, identity), m->identity);
    rec_set_copy(input, T(update_input, name), m->name);
    rec_set_msg(input, T(update_input, args), m->rec ? rec_clone(&u->arena, m->rec) : NULL);
    if (arena_failed(&u->arena)) {
        t->failed = true;
    }
}

bool eng_update_done(struct txn *t, const struct msg *m)
{
    return eng_pend_named(t->run, PEND_UPDATED, m->request_id) != NULL;
}

void eng_apply_update(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    struct pend *done = eng_pend_named(r, PEND_UPDATED, m->request_id),
                *open = eng_pend_named(r, PEND_UPDATE, m->request_id);
    struct update *u = find(r, m->request_id);
    if (done) {
        finished(t, m, done);
    } else if (open && m->sub == UPDATE_ACCEPTED) {
        eng_reply(t, m, 0, "")->reply.run_id = r->run_id;
    } else if (open || u) {
        u = u ? u : update_new(r, m->request_id, UP_ACCEPTED);
        if (!u || !wait_for(u, m)) {
            t->failed = true;
        }
    } else if (!m->name.n) {
        struct buf b;
        buf_init(&b, 2000);
        buf_printf(&b, "workflow \"%.*s\" has no update with the id %.*s", STR_ARG(r->workflow_id),
                   STR_ARG(m->request_id));
        eng_reply(t, m, ERR_NOTFOUND, buf_str(&b).p);
        buf_free(&b);
    } else {
        admit(t, m);
    }
}

bool eng_updates_waiting(const struct run *r)
{
    for (const struct update *u = r->updates; u; u = u->next) {
        if (u->state == UP_ADMITTED) {
            return true;
        }
    }
    return false;
}

/* Puts the requests that wait into a task. */
void eng_updates_send(struct run *r, struct backend_task *k)
{
    size_t n = 0;
    for (struct update *u = r->updates; u; u = u->next) {
        n += u->state == UP_ADMITTED;
    }
    k->messages = n ? arena_alloc(&k->arena, n * sizeof *k->messages) : NULL;
    for (struct update *u = k->messages ? r->updates : NULL; u; u = u->next) {
        if (u->state != UP_ADMITTED) {
            continue;
        }
        struct rec *m = rec_new(&k->arena, &rec_type_protocol_message);
        struct buf b;
        buf_init(&b, ENG_BLOB_MAX);
        rec_encode(u->request, &b);
        rec_set_str(m, T(protocol_message, id),
                    arena_printf(&k->arena, "%.*s/request", STR_ARG(u->id)));
        rec_set_copy(m, T(protocol_message, protocol_instance_id), u->id);
        rec_set_int(m, T(protocol_message, event_id), r->started - 1);
        struct rec *body = rec_sub(m, T(protocol_message, body));
        rec_set_str(body, T(any, type_url), STR(type_url));
        rec_set_copy(body, T(any, value), buf_str(&b));
        buf_free(&b);
        k->messages[k->n_messages++] = m;
        u->state = UP_SENT;
    }
}

/* ---- answers of the workflow ---- */
static bool ends_with(struct str s, const char *z)
{
    struct str x = str_of(z);
    return s.n >= x.n && memcmp(s.p + s.n - x.n, x.p, x.n) == 0;
}

static const struct rec *message_by_id(const struct msg *m, struct str id)
{
    for (size_t i = 0; i < m->n_messages; i++) {
        if (str_eq(rec_str(m->messages[i], T(protocol_message, id)), id)) {
            return m->messages[i];
        }
    }
    return NULL;
}

static struct str url_of(const struct rec *message)
{
    return rec_str(rec_msg(message, T(protocol_message, body)), T(any, type_url));
}

bool eng_update_message_ok(const struct msg *m, struct str message_id)
{
    const struct rec *x = message_by_id(m, message_id);
    return x && (ends_with(url_of(x), ".Acceptance") || ends_with(url_of(x), ".Response"));
}

static void tell(struct txn *t, struct update *u, bool only_accepted, const struct rec *outcome)
{
    for (struct waiter **at = &u->waiters; *at;) {
        struct waiter *w = *at;
        if (only_accepted && w->stage != UPDATE_ACCEPTED) {
            at = &w->next;
            continue;
        }
        struct effect *f = eng_effect(t, FX_REPLY);
        if (t->failed) {
            return; /* they are told of that */
        }
        f->reply_fn = w->fn;
        f->ud = w->ud;
        f->reply.run_id = t->run->run_id;
        f->reply.guard = -1;
        if (outcome) {
            outcome_reply(f, outcome);
        }
        *at = w->next;
        mem_free(w);
    }
}

/* In a transition that fails it stays, with those who wait for it. */
static void end_update(struct txn *t, struct update *u)
{
    if (!t->failed) {
        update_free(t->run, u);
    }
}

static void accepted(struct txn *t, const struct rec *message, struct rec *body)
{
    struct run *r = t->run;
    struct str id = rec_str(message, T(protocol_message, protocol_instance_id));
    struct update *u = find(r, id);
    struct rec *a = NULL, *ev = eng_event(t, EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED, &a);
    struct rec *request = rec_msg(body, T(update_acceptance, accepted_request));
    struct str request_message = rec_str(body, T(update_acceptance, accepted_request_message_id));
    rec_set_str(a, T(ev_workflow_execution_update_accepted, protocol_instance_id), id);
    rec_set_str(a, T(ev_workflow_execution_update_accepted, accepted_request_message_id),
                request_message.n ? request_message
                                  : arena_printf(&t->chunk->arena, "%.*s/request", STR_ARG(id)));
    int64_t sequencing = rec_int(body, T(update_acceptance, accepted_request_sequencing_event_id));
    rec_set_int(a, T(ev_workflow_execution_update_accepted, accepted_request_sequencing_event_id),
                sequencing ? sequencing : r->done - 1);
    rec_set_msg(a, T(ev_workflow_execution_update_accepted, accepted_request),
                request ? request
                : u     ? rec_clone(&t->chunk->arena, u->request)
                        : NULL);
    struct pend *p = eng_pend_new(r, PEND_UPDATE, event_id(ev));
    if (!p) {
        t->failed = true;
        return;
    }
    p->name = arena_str(&p->arena, id);
    p->first_at = t->now;
    eng_pend_write(t, p);
    if (u) {
        u->state = UP_ACCEPTED;
        tell(t, u, true, NULL);
    }
}

static void completed(struct txn *t, const struct rec *message, struct rec *body)
{
    struct run *r = t->run;
    struct str id = rec_str(rec_msg(body, T(update_response, meta)), T(update_meta, update_id));
    id = id.n ? id : rec_str(message, T(protocol_message, protocol_instance_id));
    struct pend *open = eng_pend_named(r, PEND_UPDATE, id);
    if (!open) {
        return;
    }
    int64_t accepted_id = open->id;
    struct rec *outcome = rec_msg(body, T(update_response, outcome));
    struct rec *a = NULL, *ev = eng_event(t, EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED, &a);
    rec_set_str(rec_sub(a, T(ev_workflow_execution_update_completed, meta)),
                T(update_meta, update_id), id);
    rec_set_int(a, T(ev_workflow_execution_update_completed, accepted_event_id), accepted_id);
    rec_set_msg(a, T(ev_workflow_execution_update_completed, outcome), outcome);
    struct pend *p = eng_pend_new(r, PEND_UPDATED, accepted_id);
    if (!p) {
        t->failed = true;
        return;
    }
    p->name = arena_str(&p->arena, id);
    p->at = event_id(ev);
    p->first_at = open->first_at;
    eng_pend_delete(t, open);
    eng_pend_write(t, p);
    struct update *u = find(r, id);
    if (u) {
        tell(t, u, false, outcome);
        end_update(t, u);
    }
}

/* A protocol-message command: the place of an acceptance or response among the events. */
void eng_update_command(struct txn *t, struct msg *m, struct str message_id)
{
    const struct rec *x = message_by_id(m, message_id);
    bool accept = x && ends_with(url_of(x), ".Acceptance");
    struct rec *body = NULL;
    struct str value = rec_str(rec_msg(x, T(protocol_message, body)), T(any, value));
    if (!x || rec_decode(&t->chunk->arena,
                         accept ? &rec_type_update_acceptance : &rec_type_update_response, value,
                         &body, NULL)) {
        t->failed = t->failed || x != NULL;
        return;
    }
    if (accept) {
        accepted(t, x, body);
    } else {
        completed(t, x, body);
    }
}

bool eng_updates_all_rejected(const struct run *r, const struct msg *m)
{
    size_t sent = 0, rejected = 0;
    for (const struct update *u = r->updates; u; u = u->next) {
        sent += u->state == UP_SENT;
    }
    for (size_t i = 0; i < m->n_messages; i++) {
        if (!ends_with(url_of(m->messages[i]), ".Rejection")) {
            return false;
        }
        rejected++;
    }
    return sent > 0 && rejected == sent;
}

/* Answers the updates that the workflow rejected, and those that it left without any answer. */
void eng_updates_reject(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    for (size_t i = 0; i < m->n_messages; i++) {
        const struct rec *x = m->messages[i];
        struct update *u = ends_with(url_of(x), ".Rejection")
                               ? find(r, rec_str(x, T(protocol_message, protocol_instance_id)))
                               : NULL;
        struct rec *body = NULL;
        if (!u || rec_decode(&t->chunk->arena, &rec_type_update_rejection,
                             rec_str(rec_msg(x, T(protocol_message, body)), T(any, value)), &body,
                             NULL)) {
            continue;
        }
        struct rec *outcome = rec_new(&t->chunk->arena, &rec_type_update_outcome);
        struct rec *failure = rec_msg(body, T(update_rejection, failure));
        rec_set_msg(outcome, T(update_outcome, failure),
                    failure ? failure
                            : failure_app(&t->chunk->arena, STR("Rejected"),
                                          STR("the update was rejected"), true, NULL, NULL));
        tell(t, u, false, outcome);
        end_update(t, u);
    }
    for (struct update *u = r->updates; u;) {
        struct update *next = u->next;
        bool answered = false;
        for (size_t i = 0; i < m->n_messages; i++) {
            answered =
                answered ||
                str_eq(rec_str(m->messages[i], T(protocol_message, protocol_instance_id)), u->id);
        }
        if (u->state == UP_SENT && !answered) {
            struct rec *outcome = rec_new(&t->chunk->arena, &rec_type_update_outcome);
            rec_set_msg(outcome, T(update_outcome, failure),
                        failure_app(&t->chunk->arena, STR("UnprocessedUpdate"),
                                    STR("the workflow did not answer the update"), true, NULL,
                                    NULL));
            tell(t, u, false, outcome);
            end_update(t, u);
        }
        u = next;
    }
}

/* The task that carried them failed: they go with the next one. */
void eng_updates_unsent(struct run *r)
{
    for (struct update *u = r->updates; u; u = u->next) {
        u->state = u->state == UP_SENT ? UP_ADMITTED : u->state;
    }
}

/* Answers everybody who waits for an update of the run, at once. */
void eng_updates_fail(struct run *r, int code, const char *text)
{
    while (r->updates) {
        struct update *u = r->updates;
        for (struct waiter *w = u->waiters; w; w = w->next) {
            struct backend_reply reply = {.run_id = r->run_id, .guard = -1};
            err_set(&reply.err, code, "%s", text);
            w->fn(w->ud, &reply);
        }
        update_free(r, u);
    }
}

/* The run closed: who waits is told after the commit. */
void eng_updates_closed(struct txn *t)
{
    while (t->run->updates) {
        struct update *u = t->run->updates;
        while (u->waiters) {
            struct effect *f = eng_effect(t, FX_REPLY);
            struct waiter *w = u->waiters;
            if (t->failed) {
                return;
            }
            f->reply_fn = w->fn;
            f->ud = w->ud;
            f->reply.guard = -1;
            f->reply.run_id = t->run->run_id;
            err_set(&f->reply.err, u->state == UP_ACCEPTED ? ERR_FAILED : ERR_NOTFOUND,
                    "the run closed before the update was done");
            u->waiters = w->next;
            mem_free(w);
        }
        update_free(t->run, u);
    }
}
