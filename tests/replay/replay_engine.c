/* See replay_engine.h: the live run, its commands as events, and what happens in the world. */
#include "replay_engine.h"
#include "base/mem.h"
#include "check.h"
#include <unistd.h>

static bool chance(struct sim *s, unsigned percent)
{
    return rng_below(&s->g, 100) < percent;
}

/* ---- local activities of the live run ---- */
static void take_locals(struct sim *s, const struct wf_out *o)
{
    for (size_t i = 0; i < o->n_locals; i++) {
        CHECK(s->n_locals < ANSWERS_MAX);
        s->local_canceled[s->n_locals] = false;
        s->locals[s->n_locals++] = o->locals[i].seq;
    }
    for (size_t i = 0; i < o->n_local_cancels; i++) {
        for (size_t k = 0; k < s->n_locals; k++)
            if (s->locals[k] == o->local_cancels[i]) s->local_canceled[k] = true;
    }
}

static void answer_one(struct sim *s, struct wf_run *r, struct task *t)
{
    size_t k = rng_below(&s->g, s->n_locals);
    CHECK(t->n_answers < ANSWERS_MAX);
    struct answer *x = &t->answers[t->n_answers++];
    *x = (struct answer){
        s->locals[k],
        {.attempt = 1 + (int)rng_below(&s->g, 3), .complete_ns = s->h.now + (int64_t)t->n_answers}};
    if (s->local_canceled[k] && chance(s, 80)) {
        x->res.canceled = true;
    } else if (chance(s, 30)) {
        x->res.failure = failure_app(&s->h.a, STR("Local"), STR("no"), chance(s, 50), NULL, NULL);
        x->res.backoff_ns = chance(s, 40) ? 90 * NS_PER_S : 0;
        x->res.original_schedule_ns = s->h.now;
    } else {
        x->res.result = h_json(&s->h, chance(s, 50) ? "4" : "{\"a\":[null,1.0]}");
    }
    s->n_locals--;
    s->locals[k] = s->locals[s->n_locals];
    s->local_canceled[k] = s->local_canceled[s->n_locals];
    if (wf_local_resolve(r, x->seq, &x->res)) sim_fail(s, "resolve");
}

/* ---- commands become events ---- */
static void opened(struct sim *s, enum open_kind kind, int64_t event, struct str id)
{
    CHECK(s->n_open < OPEN_MAX);
    s->open[s->n_open++] =
        (struct open){.kind = kind, .event = event, .id = arena_str(&s->h.a, id).p};
}
static struct open *find_open(struct sim *s, enum open_kind kind, int64_t event, struct str id)
{
    for (size_t i = 0; i < s->n_open; i++) {
        struct open *x = &s->open[i];
        if (x->kind == kind && (event ? x->event == event : str_eqz(id, x->id))) return x;
    }
    return NULL;
}
static void closed(struct sim *s, struct open *x)
{
    *x = s->open[--s->n_open];
}

static void marker_event(struct sim *s, const struct rec *c)
{
    struct arena *a = &s->h.a;
    struct rec *at = NULL;
    h_add(&s->h, EVENT_TYPE_MARKER_RECORDED, &at);
    rec_set_copy(at, T(ev_marker_recorded, marker_name),
                 rec_str(c, T(cmd_record_marker, marker_name)));
    static const char *const keys[] = {"patch-data", "side-effect-id", "data", "result"};
    for (size_t i = 0; i < 4; i++) {
        const struct rec *from = rec_map_get(c, T(cmd_record_marker, details), str_of(keys[i]));
        if (!from) continue;
        struct rec *to = rec_map_set(at, T(ev_marker_recorded, details), str_of(keys[i]));
        const struct rec_field *f = NULL;
        while ((f = rec_each(from, T(payloads, payloads), f)))
            payloads_add(to, rec_clone(a, f->v.m));
    }
    const struct rec *failure = rec_msg(c, T(cmd_record_marker, failure));
    if (failure) rec_set_msg(at, T(ev_marker_recorded, failure), rec_clone(a, failure));
}

/* Message ids are "u<index>/accept" and "u<index>/complete". */
static void update_event(struct sim *s, const struct rec *c)
{
    char id[40], args[20];
    struct str m = rec_str(c, T(cmd_protocol_message, message_id));
    snprintf(id, sizeof id, STR_FMT, STR_ARG(m));
    char *slash = strchr(id, '/');
    CHECK(slash);
    bool accept = strcmp(slash, "/accept") == 0;
    *slash = 0;
    int n = atoi(id + 1);
    CHECK(n >= 0 && n < RANDOM_MESSAGES_MAX);
    const struct random_message *from = &s->program->messages[n];
    snprintf(args, sizeof args, "%d", from->value);
    const char *z = arena_str(&s->h.a, str_of(id)).p;
    if (accept)
        s->accepted[n] =
            h_update_accepted(&s->h, z, from->name, arena_str(&s->h.a, str_of(args)).p);
    else
        h_update_completed(&s->h, z, s->accepted[n]);
}

static void request_event(struct sim *s, int type, const struct rec *c)
{
    struct hist *h = &s->h;
    struct str id;
    struct rec *at = NULL;
    if (type == COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION) {
        id = rec_str(c, T(cmd_request_cancel_external_workflow_execution, workflow_id));
        const char *z = arena_str(&h->a, id).p;
        struct open *child = find_open(s, OPEN_CHILD, 0, id);
        if (child) child->canceled = true;
        opened(s, OPEN_CANCEL, h_cancel_external(h, z), id);
        return;
    }
    h_add(h, EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, &at);
    id = rec_str(rec_msg(c, T(cmd_signal_external_workflow_execution, execution)),
                 T(workflow_execution, workflow_id));
    rec_set_copy(
        rec_sub(at, T(ev_signal_external_workflow_execution_initiated, workflow_execution)),
        T(workflow_execution, workflow_id), id);
    rec_set_copy(at, T(ev_signal_external_workflow_execution_initiated, signal_name),
                 rec_str(c, T(cmd_signal_external_workflow_execution, signal_name)));
    rec_set_msg(at, T(ev_signal_external_workflow_execution_initiated, input),
                rec_clone(&h->a, rec_msg(c, T(cmd_signal_external_workflow_execution, input))));
    opened(s, OPEN_SIGNAL, (int64_t)h->n, id);
}

static void start_event(struct sim *s, int type, const struct rec *c)
{
    struct hist *h = &s->h;
    struct rec *at = NULL;
    h_add(h, command_event_type(type), &at);
    if (type == COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK) {
        struct str id = rec_str(c, T(cmd_schedule_activity_task, activity_id));
        rec_set_copy(at, T(ev_activity_task_scheduled, activity_id), id);
        rec_set_msg(at, T(ev_activity_task_scheduled, activity_type),
                    rec_clone(&h->a, rec_msg(c, T(cmd_schedule_activity_task, activity_type))));
        rec_set_msg(at, T(ev_activity_task_scheduled, input),
                    rec_clone(&h->a, rec_msg(c, T(cmd_schedule_activity_task, input))));
        opened(s, OPEN_ACTIVITY, (int64_t)h->n, id);
        return;
    }
    struct str id = rec_str(c, T(cmd_start_child_workflow_execution, workflow_id));
    rec_set_copy(at, T(ev_start_child_workflow_execution_initiated, workflow_id), id);
    rec_set_msg(at, T(ev_start_child_workflow_execution_initiated, workflow_type),
                rec_clone(&h->a, rec_msg(c, T(cmd_start_child_workflow_execution, workflow_type))));
    rec_set_msg(at, T(ev_start_child_workflow_execution_initiated, input),
                rec_clone(&h->a, rec_msg(c, T(cmd_start_child_workflow_execution, input))));
    opened(s, OPEN_CHILD, (int64_t)h->n, id);
}

static void cancel_event(struct sim *s, int type, const struct rec *c)
{
    struct hist *h = &s->h;
    struct open *x;
    if (type == COMMAND_TYPE_CANCEL_TIMER) {
        struct str id = arena_str(&h->a, rec_str(c, T(cmd_cancel_timer, timer_id)));
        x = find_open(s, OPEN_TIMER, 0, id);
        if (!x) sim_fail(s, "a timer that is not open was cancelled");
        h_timer_canceled(h, x->event, id.p);
        closed(s, x);
        return;
    }
    int64_t scheduled = rec_int(c, T(cmd_request_cancel_activity_task, scheduled_event_id));
    h_activity_cancel(h, scheduled);
    x = find_open(s, OPEN_ACTIVITY, scheduled, STR(""));
    if (!scheduled || !x) sim_fail(s, "an activity that is not open was cancelled");
    x->canceled = true;
}

static void record_command(struct sim *s, const struct rec *command)
{
    struct hist *h = &s->h;
    int type = command_type(command);
    const struct rec *c = command_attrs(command);
    struct str id;
    struct rec *at = NULL;
    switch (type) {
    case COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
    case COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION:
        start_event(s, type, c);
        break;
    case COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK:
    case COMMAND_TYPE_CANCEL_TIMER:
        cancel_event(s, type, c);
        break;
    case COMMAND_TYPE_START_TIMER:
        id = arena_str(&h->a, rec_str(c, T(cmd_start_timer, timer_id)));
        if (find_open(s, OPEN_TIMER, 0, id)) sim_fail(s, "a timer's id was used twice");
        opened(s, OPEN_TIMER, h_timer(h, id.p), id);
        break;
    case COMMAND_TYPE_RECORD_MARKER:
        marker_event(s, c);
        break;
    case COMMAND_TYPE_PROTOCOL_MESSAGE:
        update_event(s, c);
        break;
    case COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION:
    case COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION:
        request_event(s, type, c);
        break;
    case COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
        h_add(h, EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, &at);
        rec_set_msg(at, T(ev_upsert_workflow_search_attributes, search_attributes),
                    rec_clone(&h->a, rec_msg(c, T(cmd_upsert_workflow_search_attributes,
                                                  search_attributes))));
        break;
    default:
        h_add(h, command_event_type(type), NULL);
        if (command_is_terminal(type)) s->closed = true;
    }
}

/* ---- what happens in the world ---- */
static void child_happens(struct sim *s, struct open *x)
{
    struct hist *h = &s->h;
    if (!x->started && chance(s, 15)) {
        h_child_start_failed(h, x->event);
        closed(s, x);
    } else if (!x->started) {
        x->started = true;
        h_child_started(h, x->event, x->id, "run-k");
    } else {
        if (x->canceled && chance(s, 60))
            h_child_canceled(h, x->event);
        else if (chance(s, 70))
            h_child_completed(h, x->event, "8");
        else if (chance(s, 50))
            h_child_failed(h, x->event);
        else
            h_child_terminated(h, x->event);
        closed(s, x);
    }
}

static void activity_happens(struct sim *s, struct open *x)
{
    struct hist *h = &s->h;
    if (x->canceled && chance(s, 60))
        h_activity_canceled(h, x->event);
    else if (chance(s, 70))
        h_activity_completed(h, x->event, chance(s, 80) ? "3" : "{\"a\":null,\"b\":[1,\"x\"]}");
    else if (chance(s, 60))
        h_activity_failed(h, x->event, chance(s, 50) ? "Boom" : "Odd", "bad");
    else
        h_activity_timed_out(h, x->event);
    closed(s, x);
}

static void open_happens(struct sim *s, struct open *x)
{
    struct hist *h = &s->h;
    switch (x->kind) {
    case OPEN_TIMER:
        h_timer_fired(h, x->event, x->id);
        closed(s, x);
        break;
    case OPEN_ACTIVITY:
        activity_happens(s, x);
        break;
    case OPEN_CHILD:
        child_happens(s, x);
        break;
    case OPEN_SIGNAL:
        if (chance(s, 70))
            h_external_signaled(h, x->event);
        else
            h_signal_external_failed(h, x->event);
        closed(s, x);
        break;
    case OPEN_CANCEL:
        h_external_canceled(h, x->event);
        closed(s, x);
        break;
    }
}

/* The next message, when it is one that becomes an event. */
static bool message_event(struct sim *s)
{
    if (s->next_message == s->program->n_messages) return false;
    const struct random_message *m = &s->program->messages[s->next_message];
    char value[20];
    if (m->kind != MESSAGE_SIGNAL && m->kind != MESSAGE_CANCEL) return false;
    snprintf(value, sizeof value, "%d", m->value);
    if (m->kind == MESSAGE_CANCEL)
        h_cancel_requested(&s->h);
    else
        h_signal(&s->h, m->name, arena_str(&s->h.a, str_of(value)).p);
    s->next_message++;
    return true;
}

static void something_happens(struct sim *s)
{
    if (chance(s, 25) && message_event(s)) return;
    if (s->n_open)
        open_happens(s, &s->open[rng_below(&s->g, s->n_open)]);
    else
        message_event(s);
}

static const struct random_message *next_of(struct sim *s, enum random_message_kind kind)
{
    if (s->next_message == s->program->n_messages) return NULL;
    const struct random_message *m = &s->program->messages[s->next_message];
    return m->kind == kind ? m : NULL;
}

static struct rec *new_update(struct sim *s)
{
    const struct random_message *m = next_of(s, MESSAGE_UPDATE);
    char id[20], args[20];
    if (!m) return NULL;
    snprintf(id, sizeof id, "u%zu", s->next_message++);
    snprintf(args, sizeof args, "%d", m->value);
    return h_update_message(&s->h, arena_str(&s->h.a, str_of(id)).p, m->name,
                            arena_str(&s->h.a, str_of(args)).p);
}

/* ---- the live run ---- */
static void evict(struct sim *s, struct wf_run **r)
{
    struct replay_how how = sim_how(s);
    struct err e = {0};
    wf_close(*r);
    *r = replay_open(&how, &e);
    if (!*r) sim_fail(s, e.text);
    s->n_locals = 0;
    s->evictions++;
}

static const struct wf_out *live_step(struct sim *s, struct wf_run *r, const struct wf_task *t,
                                      struct outcome *out)
{
    const struct wf_out *o = NULL;
    struct err e = {0};
    do {
        uint64_t budget = chance(s, 50) ? 0 : 1 + rng_below(&s->g, 3000);
        if (wf_activate(r, t, (struct wf_budget){budget}, &o, &e)) sim_fail(s, e.text);
        t = NULL;
    } while (o->status == WF_MORE);
    if (o->status == WF_FAIL_TASK) {
        fprintf(stderr, STR_FMT "\n" STR_FMT "\n",
                STR_ARG(rec_str(o->failure, T(failure, message))),
                STR_ARG(rec_str(o->failure, T(failure, stack_trace))));
        sim_fail(s, "the task failed");
    }
    outcome_logs(out, o);
    take_locals(s, o);
    return o;
}

/* A query that is asked once, live: what it does must leave no trace in what comes later. */
static void ask(struct sim *s, struct wf_run *r)
{
    const struct random_message *m = next_of(s, MESSAGE_QUERY);
    const struct wf_out *o = NULL;
    struct err e = {0};
    char value[20];
    if (!m) return;
    s->next_message++;
    snprintf(value, sizeof value, "%d", m->value);
    struct wf_query q = {.id = STR("1"),
                         .type = str_of(m->name),
                         .args = h_json(&s->h, arena_str(&s->h.a, str_of(value)).p)};
    struct wf_task t = {.queries = &q, .n_queries = 1, .wall_ns = 1};
    if (wf_activate(r, &t, (struct wf_budget){0}, &o, &e)) sim_fail(s, e.text);
    while (o->status == WF_MORE)
        if (wf_activate(r, NULL, (struct wf_budget){0}, &o, &e)) sim_fail(s, e.text);
    if (o->status != WF_DONE || o->n_query_results != 1 || o->n_commands || o->task_has_result)
        sim_fail(s, "a query did more than answer");
}

/* Tasks that came to nothing before the one that is done. */
static void lost_tasks(struct sim *s)
{
    while (chance(s, 15)) {
        h_task(&s->h);
        if (chance(s, 15))
            h_task_failed(&s->h, WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW, "run-2");
        else if (chance(s, 30))
            h_task_failed(&s->h, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, "");
        else
            h_task_timed_out(&s->h);
        if (chance(s, 50)) something_happens(s);
    }
}

/* Only a rejected update came of the task and nothing happened since the one before: the engine
 * forgets it. */
static bool may_discard(const struct sim *s, const struct task *t, const struct wf_out *o)
{
    if (!t->message || t->from == 0 || o->status != WF_DONE || o->n_commands || !o->n_messages ||
        t->n_answers)
        return false;
    for (size_t i = t->from; i < t->upto; i++) {
        int type = event_type(s->h.ev[i]);
        if (type != EVENT_TYPE_WORKFLOW_TASK_COMPLETED && !event_is_command(type) &&
            i + 2 < t->upto)
            return false;
    }
    return true;
}

static void rollback(struct sim *s, struct wf_run *r, const struct hist *was, int64_t before)
{
    struct task *t = &s->tasks[s->n_tasks - 1];
    wf_rollback(r, before);
    s->h.n = was->n;
    s->h.now = was->now;
    s->h.scheduled = was->scheduled;
    s->h.started = was->started;
    outcome_free(&t->out);
    s->n_tasks--;
    s->discarded++;
}

/* The engine refuses the completion, because something happened meanwhile: nothing of the task is
 * recorded, and the run is evicted. */
static void refuse(struct sim *s, struct wf_run **r, const struct task *t)
{
    if (t->message) s->next_message--;
    h_task_failed(&s->h, WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, "");
    something_happens(s);
    outcome_free(&s->tasks[--s->n_tasks].out);
    evict(s, r);
    s->refused = true;
}

static void keep(struct sim *s, struct task *t, const struct wf_out *o)
{
    t->commands = arena_alloc(&s->h.a, (o->n_commands + 1) * sizeof *t->commands);
    CHECK(t->commands);
    t->n_commands = o->n_commands;
    for (size_t i = 0; i < o->n_commands; i++)
        t->commands[i] = rec_clone(&s->h.a, o->commands[i]);
}

static void live_task(struct sim *s, struct wf_run **r)
{
    struct task *t = &s->tasks[s->n_tasks++];
    struct hist was = s->h;
    bool fresh = wf_last_event(*r) == 0;
    int64_t before = wf_last_event(*r);
    *t = (struct task){.from = s->n_tasks > 1 ? t[-1].upto : 0};
    outcome_init(&t->out);
    lost_tasks(s);
    h_task(&s->h);
    t->upto = s->h.n;
    if (chance(s, 40)) t->message = new_update(s);
    if (s->n_locals && chance(s, 30)) answer_one(s, *r, t);
    t->wall_ns = s->h.now + (int64_t)rng_below(&s->g, 1000);
    for (size_t i = 0; i < sizeof t->entropy; i++)
        t->entropy[i] = (uint8_t)rng_below(&s->g, 256);
    struct wf_task w = replay_wf_task(s, t, (size_t)before);
    const struct wf_out *o = live_step(s, *r, &w, &t->out);
    while (o->status == WF_WAIT_LOCAL) {
        if (chance(s, 20) || s->n_locals == 0) {
            t->heartbeat = true;
            break;
        }
        answer_one(s, *r, t);
        if (s->n_locals && chance(s, 30)) answer_one(s, *r, t);
        o = live_step(s, *r, NULL, &t->out);
    }
    outcome_take(&t->out, o);
    if (!fresh && may_discard(s, t, o) && chance(s, 70)) {
        rollback(s, *r, &was, before);
        return;
    }
    if (o->status == WF_DONE && chance(s, 4)) {
        refuse(s, r, t);
        return;
    }
    keep(s, t, o);
    h_done(&s->h);
    for (size_t i = 0; i < t->n_commands; i++)
        record_command(s, t->commands[i]);
    if (t->heartbeat) wf_flushed(*r);
}

static void drive(struct sim *s)
{
    struct replay_how how = sim_how(s);
    struct err e = {0};
    struct wf_run *r = replay_open(&how, &e);
    if (!r) sim_fail(s, e.text);
    h_begin(&s->h, RANDOM_WORKFLOW, s->program->input);
    while (!s->closed && s->n_tasks < TASKS_MAX && s->h.n < H_MAX - 600) {
        live_task(s, &r);
        if (s->closed) break;
        bool done = !s->n_tasks || !s->tasks[s->n_tasks - 1].heartbeat;
        if (done && s->n_tasks && wf_last_event(r)) ask(s, r);
        if (chance(s, 10)) evict(s, &r);
        if (chance(s, 90))
            for (uint64_t n = 1 + rng_below(&s->g, 3); n; n--)
                something_happens(s);
    }
    wf_close(r);
}

struct bundle *sim_bundle(const struct sim *s, struct str lua, struct err *e)
{
    char path[200];
    struct bundle *b = NULL;
    snprintf(path, sizeof path, "%s/app.lua", s->dir);
    FILE *f = fopen(path, "w");
    CHECK(f);
    CHECK(fwrite(lua.p, 1, lua.n, f) == lua.n);
    CHECK(fclose(f) == 0);
    int rc = bundle_build(path, NULL, 0, &b, e);
    unlink(path);
    return rc ? NULL : b;
}

void sim_run(struct sim *s, const struct random_program *p, const char *dir)
{
    struct err e = {0};
    char name[80];
    memset(s, 0, sizeof *s);
    s->program = p;
    s->dir = dir;
    int n = snprintf(name, sizeof name, "engine of program %llu of %llu",
                     (unsigned long long)p->number, (unsigned long long)p->seed);
    rng_seed(&s->g, str_make(name, (size_t)n));
    s->bundle = sim_bundle(s, buf_str(&p->lua), &e);
    if (!s->bundle) sim_fail(s, e.text);
    h_init(&s->h);
    s->h.digest = s->bundle->digest;
    drive(s);
}

void sim_free(struct sim *s)
{
    for (size_t i = 0; i < s->n_tasks; i++)
        outcome_free(&s->tasks[i].out);
    bundle_unref(s->bundle);
    h_free(&s->h);
}
