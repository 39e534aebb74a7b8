/* Results and histories. A result is the last event of the last run of a chain: the server holds
 * the request until a run closes, and what goes on in its place is waited for in turn. */
#include "temporal/client_internal.h"

#define CHAIN_MAX 100000
#define ANSWERS_EMPTY_MAX 1000 /* empty pages in a row when nothing is waited for */

struct result {
    struct backend_target target;
    int hops, empty;
};

static void ask_close_event(struct call *c, struct str page);
static int read_current(struct call *c, struct str bytes, struct err *e);

static enum backend_run_status status_of(const struct rec *ev)
{
    switch (event_type(ev)) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return RUN_COMPLETED;
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return RUN_FAILED;
    case EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        return RUN_CANCELED;
    case EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
        return RUN_TERMINATED;
    case EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        return RUN_TIMED_OUT;
    case EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        return RUN_CONTINUED_AS_NEW;
    default:
        return RUN_RUNNING;
    }
}

static void answer_end(struct call *c, const struct rec *ev)
{
    struct result *x = c->state;
    struct backend_reply r = {.run_id = x->target.run_id, .status = status_of(ev)};
    outcome_read(call_arena(c), ev, &r.result, &r.failure);
    call_reply(c, &r);
}

static void answer_open(struct call *c)
{
    struct result *x = c->state;
    struct backend_reply r = {.run_id = x->target.run_id, .status = RUN_RUNNING};
    call_reply(c, &r);
}

static int read_close_event(struct call *c, struct str bytes, struct err *e)
{
    struct result *x = c->state;
    struct bridge_part history = {.tag = 1, .type = &rec_type_history};
    Pb__GetWorkflowExecutionHistoryResponse *m;
    int rc = call_read(c, &pb__get_workflow_execution_history_response__descriptor, bytes, &history,
                       1, &m, e);
    if (rc) return rc;
    const struct rec *last = NULL;
    for (const struct rec_field *f = NULL;
         history.n && (f = rec_each(history.recs[0], T(history, events), f));)
        last = f->v.m;
    if (last && event_is_terminal(event_type(last))) {
        struct str next = outcome_next_run(last);
        if (!next.n) {
            answer_end(c, last);
            return 0;
        }
        if (++x->hops > CHAIN_MAX) return err_set(e, ERR_LIMIT, "the chain of runs is too long");
        x->target.run_id = arena_str(&c->arena, next);
        if (c->wait)
            ask_close_event(c, (struct str){NULL, 0});
        else
            client_describe_send(c, &x->target, read_current);
    } else if (c->wait || (!last && m->next_page_token.len && ++x->empty < ANSWERS_EMPTY_MAX)) {
        ask_close_event(c, bridge_str(&m->next_page_token));
    } else {
        answer_open(c);
    }
    return 0;
}

/* A wait is not over because one request of it was too long on its way. */
static bool wait_refused(struct call *c, const struct status *s)
{
    if (!c->wait || s->code != STATUS_DEADLINE_EXCEEDED) return false;
    ask_close_event(c, (struct str){NULL, 0});
    return true;
}

static void ask_close_event(struct call *c, struct str page)
{
    struct result *x = c->state;
    struct arena *a = call_turn(c);
    Pb__GetWorkflowExecutionHistoryRequest *q = bridge_new(
        a, Pb__GetWorkflowExecutionHistoryRequest, pb__get_workflow_execution_history_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->execution = call_execution(a, &x->target);
    q->next_page_token = bridge_bytes(a, page);
    q->wait_new_event = c->wait;
    q->history_event_filter_type =
        PB__HISTORY_EVENT_FILTER_TYPE__HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT;
    q->skip_archival = true;
    c->long_poll = c->wait;
    c->refused = wait_refused;
    call_send(c, METHOD("GetWorkflowExecutionHistory"), q, read_close_event);
}

/* The current run of the id is named first: a run that takes the id later is not what was asked
 * for. When nothing is waited for, an open run ends it: asked for its last event the server waits
 * for twenty seconds, whatever it was told. */
static int read_current(struct call *c, struct str bytes, struct err *e)
{
    struct result *x = c->state;
    Pb__DescribeWorkflowExecutionResponse *m;
    int rc =
        call_read(c, &pb__describe_workflow_execution_response__descriptor, bytes, NULL, 0, &m, e);
    if (rc) return rc;
    if (m->workflow_execution_info && m->workflow_execution_info->execution)
        x->target.run_id =
            arena_str(&c->arena, str_of(m->workflow_execution_info->execution->run_id));
    if (!c->wait && m->workflow_execution_info &&
        m->workflow_execution_info->status ==
            PB__WORKFLOW_EXECUTION_STATUS__WORKFLOW_EXECUTION_STATUS_RUNNING)
        answer_open(c);
    else
        ask_close_event(c, (struct str){NULL, 0});
    return 0;
}

void client_result(struct backend *b, const struct backend_target *t, bool wait,
                   backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "result of workflow", t->workflow_id);
    struct result *x = c ? arena_alloc(&c->arena, sizeof *x) : NULL;
    if (!c) return;
    if (!x) {
        call_fail_later(c, ERR_NOMEM, "out of memory");
        return;
    }
    c->state = x;
    c->wait = wait;
    x->target = call_keep(c, t);
    if (wait && t->run_id.n)
        ask_close_event(c, (struct str){NULL, 0});
    else
        client_describe_send(c, t, read_current);
}

/* ---- histories ---- */
static int read_history(struct call *c, struct str bytes, struct err *e)
{
    struct bridge_part history = {.tag = 1, .type = &rec_type_history};
    Pb__GetWorkflowExecutionHistoryResponse *m;
    int rc = call_read(c, &pb__get_workflow_execution_history_response__descriptor, bytes, &history,
                       1, &m, e);
    if (rc) return rc;
    struct arena *a = call_arena(c);
    const struct rec *h = history.n ? history.recs[0] : NULL;
    struct rec **events = arena_alloc(a, rec_count(h, T(history, events)) * sizeof *events + 1);
    struct backend_reply r = {.events = events};
    for (const struct rec_field *f = NULL; events && (f = rec_each(h, T(history, events), f));)
        events[r.n_events++] = f->v.m;
    r.next_page = client_page_out(a, &m->next_page_token);
    if (arena_failed(a)) return err_set(e, ERR_NOMEM, "out of memory");
    call_reply(c, &r);
    return 0;
}

void client_history(struct backend *b, const struct backend_target *t, bool resolve_all,
                    struct str page, backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "history of workflow", t->workflow_id);
    (void)resolve_all; /* a server keeps no payload by reference */
    if (!c) return;
    struct arena *a = call_turn(c);
    Pb__GetWorkflowExecutionHistoryRequest *q = bridge_new(
        a, Pb__GetWorkflowExecutionHistoryRequest, pb__get_workflow_execution_history_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->execution = call_execution(a, t);
    q->skip_archival = true;
    if (client_page_in(a, page, &q->next_page_token))
        call_fail_later(c, ERR_ARG, "the page is not one that an earlier answer named");
    else
        call_send(c, METHOD("GetWorkflowExecutionHistory"), q, read_history);
}
