/* Operations and commands: how they are made, found by event id, withdrawn and freed. See
 * wf_machine.h for what is kept true; called by the state machines, the comparison and the
 * activation loop. */
#include "workflow/wf_machine.h"

int wf_nomem(struct wf_run *r, struct err *e)
{
    (void)r;
    return err_set(e, ERR_NOMEM, "out of memory");
}

/* ---- operations ---- */
struct wf_op *wf_op_new(struct wf_run *r, enum wf_op_kind kind, uint64_t future, struct err *e)
{
    struct wf_machines *m = r->machines;
    struct wf_op *op = mem_zalloc(sizeof *op);
    if (!op) {
        wf_nomem(r, e);
        return NULL;
    }
    op->kind = kind;
    op->future = future;
    op->refs = 1;
    struct wf_future *f = future ? wf_future_get(r, future) : NULL;
    if (f) {
        op->id = idmap_add(&m->ops, op);
        if (!op->id) {
            mem_free(op);
            wf_nomem(r, e);
            return NULL;
        }
        f->op = op->id;
        op->where = f->where;
    }
    if (op->where.n == 0) op->where = arena_str(&r->keep, r->op_where);
    op->prev = m->last_op;
    *(m->last_op ? &m->last_op->next : &m->first_op) = op;
    m->last_op = op;
    return op;
}

void wf_op_ref(struct wf_op *op)
{
    op->refs++;
}

void wf_op_unref(struct wf_run *r, struct wf_op *op)
{
    while (op && --op->refs == 0) {
        struct wf_machines *m = r->machines;
        struct wf_op *peer = op->peer;
        *(op->prev ? &op->prev->next : &m->first_op) = op->next;
        *(op->next ? &op->next->prev : &m->last_op) = op->prev;
        if (op->id) idmap_del(&m->ops, op->id);
        wf_local_free(op->local);
        mem_free(op);
        op = peer;
    }
}

void wf_op_finish(struct wf_run *r, struct wf_op *op)
{
    if (op->state == OP_DONE) return;
    op->state = OP_DONE;
    if (op->id) idmap_del(&r->machines->ops, op->id);
    op->id = 0;
    wf_op_unref(r, op);
}

int wf_event_bind(struct wf_run *r, int64_t id, struct wf_op *op)
{
    if (map_set(&r->machines->by_event, map_i64(&id), op)) return ERR_NOMEM;
    op->event_id = id;
    wf_op_ref(op);
    return 0;
}

struct wf_op *wf_event_op(struct wf_run *r, int64_t id, enum wf_op_kind kind)
{
    struct wf_op *op = map_get(&r->machines->by_event, map_i64(&id));
    return op && op->kind == kind ? op : NULL;
}

void wf_event_unbind(struct wf_run *r, int64_t id)
{
    struct wf_op *op = map_del(&r->machines->by_event, map_i64(&id));
    if (op) wf_op_unref(r, op);
}

int wf_op_guard(struct wf_run *r, struct err *e)
{
    struct wf_machines *m = r->machines;
    if (r->read_only)
        return err_set(
            e, ERR_ARG,
            "a query or validator only looks: it cannot start, cancel or change anything");
    if (m->phase == PHASE_BROKEN || r->closed) return err_set(e, ERR_CLOSED, "the run is over");
    if (m->phase != PHASE_RUN && m->phase != PHASE_NEXT && m->phase != PHASE_SETTLED)
        return err_set(e, ERR_ARG, "durable calls belong inside a workflow function");
    if (r->task_failure) return err_set(e, ERR_CANCELED, "the workflow task has failed already");
    return 0;
}

bool wf_payloads_fit(struct wf_run *r, const struct rec *payloads, const char *what, struct err *e)
{
    size_t max = r->info.limits.payload_bytes;
    const struct rec_field *f = NULL;
    while (payloads && (f = rec_each(payloads, T(payloads, payloads), f))) {
        size_t n = payload_data(f->v.m).n;
        if (n <= max) continue;
        err_set(e, ERR_LIMIT, "%s is %zu bytes, the limit of one payload is %zu", what, n, max);
        wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE, "PayloadTooLarge",
                      "%s is %zu bytes, the limit of one payload is %zu", what, n, max);
        r->task_limit = true;
        return false;
    }
    return true;
}

/* ---- commands ---- */
static struct wf_cmd *cmd_append(struct wf_run *r, int type, struct wf_op *op)
{
    struct wf_machines *m = r->machines;
    struct wf_cmds *set = m->cmds;
    if (set->n >= r->info.limits.commands) {
        wf_task_failf(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                      "TooManyCommands", "more than %zu commands in one workflow task",
                      r->info.limits.commands);
        r->task_limit = true;
        return NULL;
    }
    struct wf_cmd *c = arena_alloc(&set->arena, sizeof *c);
    if (!c) return NULL;
    c->type = type;
    c->event_type = command_event_type(type);
    c->op = op;
    c->where = op && op->where.n ? op->where : arena_str(&set->arena, r->op_where);
    if (op) wf_op_ref(op);
    set->n++;
    if (command_is_terminal(type)) {
        set->terminal = c;
    } else {
        *(set->last ? &set->last->next : &set->first) = c;
        set->last = c;
    }
    return c;
}

struct wf_cmd *wf_cmd_new(struct wf_run *r, int type, struct wf_op *op, struct rec **attrs)
{
    struct wf_cmd *c = cmd_append(r, type, op);
    if (c) c->rec = command_new(&r->machines->cmds->arena, type, attrs);
    return c && c->rec ? c : NULL;
}

void wf_command_add(struct wf_run *r, struct rec *command)
{
    struct wf_cmd *c = cmd_append(r, command_type(command), NULL);
    if (c) c->rec = rec_clone(&r->machines->cmds->arena, command);
}

void wf_cmd_identity(struct wf_run *r, struct wf_cmd *c, struct str id, struct str name,
                     const struct rec *args)
{
    struct arena *a = &r->machines->cmds->arena;
    c->id = arena_str(a, id);
    c->name = arena_str(a, name);
    c->args = args;
}

void wf_summary(struct wf_run *r, struct wf_cmd *c, struct str summary)
{
    if (summary.n == 0) return;
    struct arena *a = &r->machines->cmds->arena;
    struct buf b;
    buf_init(&b, 64u << 10);
    if (buf_put_json(&b, summary) == 0) {
        struct rec *meta = rec_sub(c->rec, T(command, user_metadata));
        rec_set_msg(meta, T(user_metadata, summary),
                    payload_new(a, PAYLOAD_JSON, arena_str(a, buf_str(&b))));
    }
    buf_free(&b);
}

void wf_cmd_drop(struct wf_run *r, struct wf_cmd *c)
{
    if (c->dropped) return;
    c->dropped = true;
    struct wf_op *op = c->op;
    c->op = NULL;
    if (op && op->cmd == c) op->cmd = NULL;
    if (op) wf_op_unref(r, op);
}

static void cmd_release(struct wf_run *r, struct wf_cmd *c)
{
    struct wf_op *op = c->op;
    c->op = NULL;
    if (op && op->cmd == c) op->cmd = NULL;
    if (op) wf_op_unref(r, op);
}

void wf_cmds_reset(struct wf_run *r, struct wf_cmds *set)
{
    for (struct wf_cmd *c = set->first; c; c = c->next)
        cmd_release(r, c);
    if (set->terminal) cmd_release(r, set->terminal);
    arena_free(&set->arena);
    set->first = set->last = set->terminal = NULL;
    set->n = 0;
    set->live = false;
}

/* What was collected is sent (or was, on replay): from now on it is compared, not withdrawn. */
void wf_cmds_turn(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    struct wf_cmds *sent = m->cmds;
    wf_cmds_reset(r, m->expected);
    for (struct wf_cmd *c = sent->first; c; c = c->next) {
        if (c->op && c->op->cmd == c) c->op->cmd = NULL;
    }
    m->cmds = m->expected;
    m->expected = sent;
}

/* ---- what both kinds of callers ask ---- */
void wf_op_cancel(struct wf_run *r, uint64_t future, struct str reason)
{
    struct wf_future *f = wf_future_get(r, future);
    struct wf_op *op = f && f->op ? idmap_get(&r->machines->ops, f->op) : NULL;
    if (!op || op->state != OP_OPEN || wf_op_guard(r, NULL)) return;
    switch (op->kind) {
    case OP_TIMER:
        wf_timer_cancel(r, op);
        break;
    case OP_ACTIVITY:
        wf_activity_cancel(r, op);
        break;
    case OP_LOCAL:
        wf_local_cancel(r, op);
        break;
    case OP_CHILD:
        wf_child_cancel(r, op, reason);
        break;
    case OP_SIGNAL:
    case OP_CANCEL:
        wf_external_cancel(r, op);
        break;
    case OP_CHILD_CANCEL:
        break;
    }
}

bool wf_op_describe(struct wf_run *r, uint64_t future, struct wf_pending *out)
{
    static const enum wf_pending_kind kinds[] = {
        [OP_TIMER] = WF_PENDING_TIMER,          [OP_ACTIVITY] = WF_PENDING_ACTIVITY,
        [OP_LOCAL] = WF_PENDING_LOCAL,          [OP_CHILD] = WF_PENDING_CHILD,
        [OP_SIGNAL] = WF_PENDING_EXTERNAL,      [OP_CANCEL] = WF_PENDING_EXTERNAL,
        [OP_CHILD_CANCEL] = WF_PENDING_EXTERNAL};
    struct wf_future *f = wf_future_get(r, future);
    struct wf_op *op = f && f->op ? idmap_get(&r->machines->ops, f->op) : NULL;
    if (!op) return false;
    *out = (struct wf_pending){.kind = kinds[op->kind],
                               .id = op->op_id,
                               .name = op->name,
                               .where = op->where,
                               .due_ns = op->due_ns};
    if (op->local && op->local->backoff) out->due_ns = op->local->backoff->due_ns;
    return true;
}
