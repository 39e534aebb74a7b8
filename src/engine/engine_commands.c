/* A completed (or failed) workflow task: every command was found good (engine_checks.c), then each
 * becomes its event, rows and effects. A command that cannot be carried out fails the task and
 * blocks the run, as nothing was applied yet. */
#include "engine/engine_internal.h"

#define CAUSE(x) WORKFLOW_TASK_FAILED_CAUSE_##x

static struct str sub_name(const struct rec *a, int tag, int name_tag)
{
    return rec_str(rec_msg(a, tag), name_tag);
}

/* ---- carrying out ---- */
static void schedule_activity(struct txn *t, const struct rec *a, int64_t completed, struct rec *ev,
                              struct rec *to)
{
    struct run *r = t->run;
    static const struct {
        int from, to;
    } same[] = {
        {T(cmd_schedule_activity_task, activity_type),
         T(ev_activity_task_scheduled, activity_type)},
        {T(cmd_schedule_activity_task, header), T(ev_activity_task_scheduled, header)},
        {T(cmd_schedule_activity_task, input), T(ev_activity_task_scheduled, input)},
        {T(cmd_schedule_activity_task, retry_policy), T(ev_activity_task_scheduled, retry_policy)},
        {T(cmd_schedule_activity_task, priority), T(ev_activity_task_scheduled, priority)},
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        rec_set_msg(to, same[i].to, rec_msg(a, same[i].from));
    }
    rec_set_str(to, T(ev_activity_task_scheduled, activity_id),
                rec_str(a, T(cmd_schedule_activity_task, activity_id)));
    struct str queue = sub_name(a, T(cmd_schedule_activity_task, task_queue), T(task_queue, name));
    struct rec *q = rec_sub(to, T(ev_activity_task_scheduled, task_queue));
    rec_set_str(q, T(task_queue, name), queue.n ? queue : r->queue);
    rec_set_int(q, T(task_queue, kind), TASK_QUEUE_KIND_NORMAL);
    int64_t close = rec_int(a, T(cmd_schedule_activity_task, schedule_to_close_timeout));
    int64_t start = rec_int(a, T(cmd_schedule_activity_task, start_to_close_timeout));
    start = start <= 0 || (close > 0 && start > close) ? close : start;
    rec_set_int(to, T(ev_activity_task_scheduled, schedule_to_close_timeout), close);
    rec_set_int(to, T(ev_activity_task_scheduled, start_to_close_timeout), start);
    rec_set_int(to, T(ev_activity_task_scheduled, schedule_to_start_timeout),
                rec_int(a, T(cmd_schedule_activity_task, schedule_to_start_timeout)));
    rec_set_int(to, T(ev_activity_task_scheduled, heartbeat_timeout),
                rec_int(a, T(cmd_schedule_activity_task, heartbeat_timeout)));
    rec_set_int(to, T(ev_activity_task_scheduled, workflow_task_completed_event_id), completed);
    struct pend *p = eng_pend_new(r, PEND_ACTIVITY, event_id(ev));
    if (!p) {
        t->failed = true;
        return;
    }
    p->attrs = rec_clone(&p->arena, to);
    p->name = rec_str(p->attrs, T(ev_activity_task_scheduled, activity_id));
    p->type =
        sub_name(p->attrs, T(ev_activity_task_scheduled, activity_type), T(activity_type, name));
    p->queue = sub_name(p->attrs, T(ev_activity_task_scheduled, task_queue), T(task_queue, name));
    t->failed = t->failed || arena_failed(&p->arena);
    eng_activity_schedule(t, p);
}

/* due: the time that the script named, 0 when it named none. The event's duration is then what is
 * left of it, so that the two give the time at which the timer fires. */
static void start_timer(struct txn *t, const struct rec *a, int64_t due, int64_t completed,
                        struct rec *ev, struct rec *to)
{
    int64_t d = rec_int(a, T(cmd_start_timer, start_to_fire_timeout));
    if (due) {
        d = due > t->now ? time_minus(due, t->now) : 1;
    }
    rec_set_str(to, T(ev_timer_started, timer_id), rec_str(a, T(cmd_start_timer, timer_id)));
    rec_set_int(to, T(ev_timer_started, start_to_fire_timeout), d);
    rec_set_int(to, T(ev_timer_started, workflow_task_completed_event_id), completed);
    struct pend *p = eng_pend_new(t->run, PEND_TIMER, event_id(ev));
    if (!p) {
        t->failed = true;
        return;
    }
    p->name = arena_str(&p->arena, rec_str(a, T(cmd_start_timer, timer_id)));
    p->first_at = t->now;
    p->due = d > INT64_MAX - t->now ? INT64_MAX : t->now + d;
    eng_pend_write(t, p);
    eng_arm(t, PEND_TIMER, p->id, p->due);
}

static void cancel_timer(struct txn *t, const struct rec *a, int64_t completed, struct rec *to)
{
    struct run *r = t->run;
    struct str id = rec_str(a, T(cmd_cancel_timer, timer_id));
    struct pend *p = eng_pend_named(r, PEND_TIMER, id),
                *fired = p ? NULL : eng_buffered_fired(r, id);
    int64_t started = p ? p->id : 0;
    rec_set_str(to, T(ev_timer_canceled, timer_id), id);
    rec_set_int(to, T(ev_timer_canceled, workflow_task_completed_event_id), completed);
    rec_set_str(to, T(ev_timer_canceled, identity), str_of(t->g->identity));
    if (p) {
        eng_pend_delete(t, p);
    } else if (fired) { /* it fired while the task was out: the worker never sees it */
        started = rec_int(event_attrs(fired->event), T(ev_timer_fired, started_event_id));
        if (fired->stored) {
            eng_pend_delete(t, fired);
        } else {
            eng_pend_drop(r, fired);
        }
        r->n_buffered--;
    }
    rec_set_int(to, T(ev_timer_canceled, started_event_id), started);
}

static struct pend *open_out(struct txn *t, int kind, struct rec *ev, struct str name,
                             struct str extra)
{
    struct pend *p = eng_pend_new(t->run, kind, event_id(ev));
    if (!p) {
        t->failed = true;
        return NULL;
    }
    p->name = arena_str(&p->arena, name);
    p->extra = arena_str(&p->arena, extra);
    p->first_at = t->now;
    return p;
}

static void start_child(struct txn *t, const struct rec *a, int64_t completed, struct rec *ev,
                        struct rec *to)
{
    struct run *r = t->run;
#define SAME(field)                                                                                \
    {                                                                                              \
        T(cmd_start_child_workflow_execution, field),                                              \
            T(ev_start_child_workflow_execution_initiated, field)                                  \
    }
    static const struct {
        int from, to;
    } msgs[] = {SAME(workflow_type),     SAME(input),   SAME(retry_policy), SAME(memo),
                SAME(search_attributes), SAME(priority)};
    static const struct {
        int from, to;
    } strs[] = {SAME(workflow_id), SAME(control), SAME(cron_schedule)};
    static const struct {
        int from, to;
    } ints[] = {SAME(workflow_execution_timeout), SAME(workflow_run_timeout),
                SAME(workflow_task_timeout), SAME(parent_close_policy),
                SAME(workflow_id_reuse_policy)};
#undef SAME
    for (size_t i = 0; i < sizeof msgs / sizeof msgs[0]; i++) {
        rec_set_msg(to, msgs[i].to, rec_msg(a, msgs[i].from));
    }
    for (size_t i = 0; i < sizeof strs / sizeof strs[0]; i++) {
        rec_set_str(to, strs[i].to, rec_str(a, strs[i].from));
    }
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
        rec_set_int(to, ints[i].to, rec_int(a, ints[i].from));
    }
    struct str queue =
        sub_name(a, T(cmd_start_child_workflow_execution, task_queue), T(task_queue, name));
    rec_set_str(rec_sub(to, T(ev_start_child_workflow_execution_initiated, task_queue)),
                T(task_queue, name), queue.n ? queue : r->queue);
    rec_set_int(rec_sub(to, T(ev_start_child_workflow_execution_initiated, task_queue)),
                T(task_queue, kind), TASK_QUEUE_KIND_NORMAL);
    rec_set_str(to, T(ev_start_child_workflow_execution_initiated, namespace), STR("default"));
    rec_set_int(to,
                T(ev_start_child_workflow_execution_initiated, workflow_task_completed_event_id),
                completed);
    struct rec *mine = NULL;
    eng_started_attrs(r, &t->chunk->arena, &mine, NULL);
    struct rec *header = rec_msg(a, T(cmd_start_child_workflow_execution, header));
    header =
        header ? rec_clone(&t->chunk->arena, header) : rec_new(&t->chunk->arena, &rec_type_header);
    struct rec *moon = rec_map_get(rec_msg(mine, T(ev_workflow_execution_started, header)),
                                   T(header, fields), STR("moonloop"));
    if (moon && !rec_map_get(header, T(header, fields), STR("moonloop"))) {
        struct rec *copy = rec_map_set(header, T(header, fields), STR("moonloop"));
        struct rec *from = rec_clone(&t->chunk->arena, moon);
        for (const struct rec_field *f = rec_each(from, T(payload, metadata), NULL); f;
             f = rec_each(from, T(payload, metadata), f)) {
            rec_add_msg(copy, T(payload, metadata), f->v.m);
        }
        rec_set_str(copy, T(payload, data), payload_data(from));
    }
    rec_set_msg(to, T(ev_start_child_workflow_execution_initiated, header), header);
    char run_id[ENG_UUID];
    eng_uuid(t->g, run_id);
    struct str id = rec_str(to, T(ev_start_child_workflow_execution_initiated, workflow_id));
    struct pend *p = open_out(t, PEND_CHILD, ev, id, str_of(run_id));
    if (!p) {
        return;
    }
    p->type = arena_str(&p->arena,
                        sub_name(to, T(ev_start_child_workflow_execution_initiated, workflow_type),
                                 T(workflow_type, name)));
    p->state =
        (int)rec_int(to, T(ev_start_child_workflow_execution_initiated, parent_close_policy));
    eng_pend_write(t, p);
    eng_cross(t, X_START_CHILD, id, p->extra, p->id, false, ev);
}

static void signal_external(struct txn *t, const struct rec *a, int64_t completed, struct rec *ev,
                            struct rec *to)
{
    const struct rec *x = rec_msg(a, T(cmd_signal_external_workflow_execution, execution));
    rec_set_int(
        to, T(ev_signal_external_workflow_execution_initiated, workflow_task_completed_event_id),
        completed);
    rec_set_str(to, T(ev_signal_external_workflow_execution_initiated, namespace), STR("default"));
    rec_set_msg(to, T(ev_signal_external_workflow_execution_initiated, workflow_execution),
                (struct rec *)x);
    rec_set_str(to, T(ev_signal_external_workflow_execution_initiated, signal_name),
                rec_str(a, T(cmd_signal_external_workflow_execution, signal_name)));
    rec_set_msg(to, T(ev_signal_external_workflow_execution_initiated, input),
                rec_msg(a, T(cmd_signal_external_workflow_execution, input)));
    rec_set_str(to, T(ev_signal_external_workflow_execution_initiated, control),
                rec_str(a, T(cmd_signal_external_workflow_execution, control)));
    rec_set_msg(to, T(ev_signal_external_workflow_execution_initiated, header),
                rec_msg(a, T(cmd_signal_external_workflow_execution, header)));
    bool child = rec_int(a, T(cmd_signal_external_workflow_execution, child_workflow_only)) != 0;
    rec_set_int(to, T(ev_signal_external_workflow_execution_initiated, child_workflow_only), child);
    struct str id = rec_str(x, T(workflow_execution, workflow_id)),
               run = rec_str(x, T(workflow_execution, run_id));
    struct pend *p = open_out(t, PEND_SIGNAL_OUT, ev, id, run);
    if (p) {
        eng_pend_write(t, p);
        eng_cross(t, X_SIGNAL, id, run, p->id, child, ev);
    }
}

static void cancel_external(struct txn *t, const struct rec *a, int64_t completed, struct rec *ev,
                            struct rec *to)
{
    struct str id = rec_str(a, T(cmd_request_cancel_external_workflow_execution, workflow_id));
    struct str run = rec_str(a, T(cmd_request_cancel_external_workflow_execution, run_id));
    struct rec *x =
        rec_sub(to, T(ev_request_cancel_external_workflow_execution_initiated, workflow_execution));
    rec_set_str(x, T(workflow_execution, workflow_id), id);
    rec_set_str(x, T(workflow_execution, run_id), run);
    rec_set_int(to,
                T(ev_request_cancel_external_workflow_execution_initiated,
                  workflow_task_completed_event_id),
                completed);
    rec_set_str(to, T(ev_request_cancel_external_workflow_execution_initiated, namespace),
                STR("default"));
    rec_set_str(to, T(ev_request_cancel_external_workflow_execution_initiated, control),
                rec_str(a, T(cmd_request_cancel_external_workflow_execution, control)));
    rec_set_str(to, T(ev_request_cancel_external_workflow_execution_initiated, reason),
                rec_str(a, T(cmd_request_cancel_external_workflow_execution, reason)));
    bool child =
        rec_int(a, T(cmd_request_cancel_external_workflow_execution, child_workflow_only)) != 0;
    rec_set_int(to, T(ev_request_cancel_external_workflow_execution_initiated, child_workflow_only),
                child);
    struct pend *p = open_out(t, PEND_CANCEL_OUT, ev, id, run);
    if (p) {
        eng_pend_write(t, p);
        eng_cross(t, X_CANCEL, id, run, p->id, child, ev);
    }
}

static void cancel_activity(struct txn *t, const struct rec *a, int64_t completed, struct rec *ev,
                            struct rec *to)
{
    int64_t id = rec_int(a, T(cmd_request_cancel_activity_task, scheduled_event_id));
    rec_set_int(to, T(ev_activity_task_cancel_requested, scheduled_event_id), id);
    rec_set_int(to, T(ev_activity_task_cancel_requested, workflow_task_completed_event_id),
                completed);
    struct pend *p = eng_pend(t->run, PEND_ACTIVITY, id);
    if (p && !p->cancel_id) {
        p->cancel_id = event_id(ev);
        if (p->state == AT_RUNNING || p->state == AT_ASYNC) {
            eng_activity_cancel(t, p);
        }
    }
}

/* Merges a map of payloads into the run's stored one; an empty payload takes the key away. */
static void merge(struct txn *t, struct bytes *stored, const struct rec_type *type, int map_tag,
                  int key_tag, int value_tag, const struct rec *more)
{
    struct arena *a = &t->chunk->arena;
    struct rec *old = NULL, *all = rec_new(a, type);
    rec_decode(a, type, arena_str(a, eng_bytes(stored)), &old, NULL);
    for (int pass = 0; pass < 2; pass++) {
        const struct rec *from = pass ? more : old;
        for (const struct rec_field *f = rec_each(from, map_tag, NULL); f;
             f = rec_each(from, map_tag, f)) {
            struct str key = rec_str(f->v.m, key_tag);
            struct rec *value = rec_msg(f->v.m, value_tag);
            bool drop = !payload_data(value).n || str_eqz(payload_data(value), "null") ||
                        str_eqz(payload_encoding(value), PAYLOAD_NULL);
            if ((pass == 0 && rec_map_get(more, map_tag, key)) || drop) {
                continue;
            }
            rec_add_msg(all, map_tag, f->v.m);
        }
    }
    struct buf b;
    buf_init(&b, ENG_BLOB_MAX);
    if (rec_encode(all, &b) || !eng_bytes_set(stored, buf_str(&b))) {
        t->failed = true;
    }
    buf_free(&b);
    t->run_dirty = true;
}

static void close_completed(struct txn *t, const struct rec *a, int64_t completed, struct rec *ev,
                            struct rec *to)
{
    char next[ENG_UUID] = "";
    int state = 0;
    rec_set_msg(to, T(ev_workflow_execution_completed, result),
                rec_msg(a, T(cmd_complete_workflow_execution, result)));
    rec_set_int(to, T(ev_workflow_execution_completed, workflow_task_completed_event_id),
                completed);
    if (eng_after_close(t, RUN_COMPLETED, rec_msg(a, T(cmd_complete_workflow_execution, result)),
                        NULL, &state, next)) {
        rec_set_copy(to, T(ev_workflow_execution_completed, new_execution_run_id), str_of(next));
    }
    eng_close_run(t, RUN_COMPLETED, ev);
}

static void close_failed(struct txn *t, const struct rec *a, int64_t completed, struct rec *ev,
                         struct rec *to)
{
    char next[ENG_UUID] = "";
    int state = RETRY_STATE_RETRY_POLICY_NOT_SET;
    struct rec *failure = rec_msg(a, T(cmd_fail_workflow_execution, failure));
    rec_set_msg(to, T(ev_workflow_execution_failed, failure), failure);
    rec_set_int(to, T(ev_workflow_execution_failed, workflow_task_completed_event_id), completed);
    if (eng_after_close(t, RUN_FAILED, NULL, failure, &state, next)) {
        rec_set_copy(to, T(ev_workflow_execution_failed, new_execution_run_id), str_of(next));
    }
    rec_set_int(to, T(ev_workflow_execution_failed, retry_state), state);
    eng_close_run(t, RUN_FAILED, ev);
}

static void close_continued(struct txn *t, const struct rec *a, int64_t completed, struct rec *ev,
                            struct rec *to)
{
    struct run *r = t->run;
#define SAME(field)                                                                                \
    {                                                                                              \
        T(cmd_continue_as_new_workflow_execution, field),                                          \
            T(ev_workflow_execution_continued_as_new, field)                                       \
    }
    static const struct {
        int from, to;
    } msgs[] = {
        SAME(workflow_type),          SAME(task_queue), SAME(input), SAME(failure),
        SAME(last_completion_result), SAME(header),     SAME(memo),  SAME(search_attributes)};
    static const struct {
        int from, to;
    } ints[] = {SAME(workflow_run_timeout), SAME(workflow_task_timeout),
                SAME(backoff_start_interval)};
#undef SAME
    for (size_t i = 0; i < sizeof msgs / sizeof msgs[0]; i++) {
        rec_set_msg(to, msgs[i].to, rec_msg(a, msgs[i].from));
    }
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
        rec_set_int(to, ints[i].to, rec_int(a, ints[i].from));
    }
    struct rec *type = rec_sub(to, T(ev_workflow_execution_continued_as_new, workflow_type));
    if (!rec_str(type, T(workflow_type, name)).n) {
        rec_set_str(type, T(workflow_type, name), r->type);
    }
    struct rec *queue = rec_sub(to, T(ev_workflow_execution_continued_as_new, task_queue));
    if (!rec_str(queue, T(task_queue, name)).n) {
        rec_set_str(queue, T(task_queue, name), r->queue);
    }
    rec_set_int(to, T(ev_workflow_execution_continued_as_new, initiator),
                CONTINUE_AS_NEW_INITIATOR_WORKFLOW);
    rec_set_int(to, T(ev_workflow_execution_continued_as_new, workflow_task_completed_event_id),
                completed);
    struct next_run n = {
        .initiator = CONTINUE_AS_NEW_INITIATOR_WORKFLOW,
        .attempt = 1,
        .cron = r->cron,
        .backoff = rec_int(a, T(cmd_continue_as_new_workflow_execution, backoff_start_interval)),
        .input = rec_msg(a, T(cmd_continue_as_new_workflow_execution, input)),
        .header = rec_msg(a, T(cmd_continue_as_new_workflow_execution, header)),
        .memo = rec_msg(a, T(cmd_continue_as_new_workflow_execution, memo)),
        .search = rec_msg(a, T(cmd_continue_as_new_workflow_execution, search_attributes)),
        .retry = rec_msg(a, T(cmd_continue_as_new_workflow_execution, retry_policy)),
        .type = rec_str(type, T(workflow_type, name)),
        .queue = rec_str(queue, T(task_queue, name)),
        .run_timeout = rec_int(a, T(cmd_continue_as_new_workflow_execution, workflow_run_timeout)),
        .task_timeout =
            rec_int(a, T(cmd_continue_as_new_workflow_execution, workflow_task_timeout))};
    char next[ENG_UUID] = "";
    if (eng_continue_run(t, &n, next)) {
        t->failed = true;
    }
    rec_set_copy(to, T(ev_workflow_execution_continued_as_new, new_execution_run_id), str_of(next));
    eng_close_run(t, RUN_CONTINUED_AS_NEW, ev);
}

static void record_marker(const struct rec *a, int64_t completed, struct rec *to)
{
    rec_set_str(to, T(ev_marker_recorded, marker_name),
                rec_str(a, T(cmd_record_marker, marker_name)));
    for (const struct rec_field *f = rec_each(a, T(cmd_record_marker, details), NULL); f;
         f = rec_each(a, T(cmd_record_marker, details), f)) {
        struct rec *entry = rec_add(to, T(ev_marker_recorded, details));
        rec_set_str(entry, T(marker_recorded_event_attributes_details_entry, key),
                    rec_str(f->v.m, T(record_marker_command_attributes_details_entry, key)));
        rec_set_msg(entry, T(marker_recorded_event_attributes_details_entry, value),
                    rec_msg(f->v.m, T(record_marker_command_attributes_details_entry, value)));
    }
    rec_set_msg(to, T(ev_marker_recorded, header), rec_msg(a, T(cmd_record_marker, header)));
    rec_set_msg(to, T(ev_marker_recorded, failure), rec_msg(a, T(cmd_record_marker, failure)));
    rec_set_int(to, T(ev_marker_recorded, workflow_task_completed_event_id), completed);
}

static void upsert_search(struct txn *t, const struct rec *a, int64_t completed, struct rec *to)
{
    struct rec *more = rec_msg(a, T(cmd_upsert_workflow_search_attributes, search_attributes));
    rec_set_msg(to, T(ev_upsert_workflow_search_attributes, search_attributes), more);
    rec_set_int(to, T(ev_upsert_workflow_search_attributes, workflow_task_completed_event_id),
                completed);
    merge(t, &t->run->search, &rec_type_search_attributes, T(search_attributes, indexed_fields),
          T(search_attributes_indexed_fields_entry, key),
          T(search_attributes_indexed_fields_entry, value), more);
}

/* The i-th command of a completed task. */
static void carry_out(struct txn *t, struct msg *m, size_t i, int64_t completed)
{
    struct rec *cmd = m->commands[i];
    const struct rec *a = command_attrs(cmd);
    int type = command_type(cmd);
    if (type == COMMAND_TYPE_PROTOCOL_MESSAGE) {
        eng_update_command(t, m, rec_str(a, T(cmd_protocol_message, message_id)));
        return;
    }
    struct rec *to = NULL, *ev = eng_event(t, command_event_type(type), &to);
    rec_set_msg(ev, T(history_event, user_metadata), rec_msg(cmd, T(command, user_metadata)));
    switch (type) {
    case COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
        schedule_activity(t, a, completed, ev, to);
        break;
    case COMMAND_TYPE_START_TIMER:
        start_timer(t, a, m->dues ? m->dues[i] : 0, completed, ev, to);
        break;
    case COMMAND_TYPE_CANCEL_TIMER:
        cancel_timer(t, a, completed, to);
        break;
    case COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK:
        cancel_activity(t, a, completed, ev, to);
        break;
    case COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION:
        start_child(t, a, completed, ev, to);
        break;
    case COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION:
        signal_external(t, a, completed, ev, to);
        break;
    case COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION:
        cancel_external(t, a, completed, ev, to);
        break;
    case COMMAND_TYPE_RECORD_MARKER:
        record_marker(a, completed, to);
        break;
    case COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
        upsert_search(t, a, completed, to);
        break;
    case COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES: {
        struct rec *more = rec_msg(a, T(cmd_modify_workflow_properties, upserted_memo));
        rec_set_msg(to, T(ev_workflow_properties_modified, upserted_memo), more);
        rec_set_int(to, T(ev_workflow_properties_modified, workflow_task_completed_event_id),
                    completed);
        merge(t, &t->run->memo, &rec_type_memo, T(memo, fields), T(memo_fields_entry, key),
              T(memo_fields_entry, value), more);
        break;
    }
    case COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION:
        close_completed(t, a, completed, ev, to);
        break;
    case COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION:
        close_failed(t, a, completed, ev, to);
        break;
    case COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION:
        rec_set_msg(to, T(ev_workflow_execution_canceled, details),
                    rec_msg(a, T(cmd_cancel_workflow_execution, details)));
        rec_set_int(to, T(ev_workflow_execution_canceled, workflow_task_completed_event_id),
                    completed);
        eng_close_run(t, RUN_CANCELED, ev);
        break;
    case COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION:
        close_continued(t, a, completed, ev, to);
        break;
    default:
        break;
    }
}

/* ---- the completion ---- */
static bool stale(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    if (r->status == RUN_RUNNING && r->wft_out && r->nonce == m->nonce && r->started == m->id) {
        return false;
    }
    eng_answer(t, m, BACKEND_STALE);
    return true;
}

static int64_t completed_event(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    struct rec *a = NULL, *ev = eng_event(t, EVENT_TYPE_WORKFLOW_TASK_COMPLETED, &a);
    rec_set_int(a, T(ev_workflow_task_completed, scheduled_event_id), r->sched);
    rec_set_int(a, T(ev_workflow_task_completed, started_event_id), r->started);
    rec_set_str(a, T(ev_workflow_task_completed, identity), str_of(t->g->identity));
    if (m->digest.n) {
        rec_set_str(rec_sub(a, T(ev_workflow_task_completed, worker_version)),
                    T(worker_version_stamp, build_id), m->digest);
    }
    struct rec *sdk = m->n_flags ? rec_sub(a, T(ev_workflow_task_completed, sdk_metadata)) : NULL;
    for (size_t i = 0; i < m->n_flags; i++) {
        rec_add_int(sdk, T(workflow_task_completed_metadata, lang_used_flags), m->flags[i]);
    }
    if (m->number > 0) {
        rec_set_int(rec_sub(a, T(ev_workflow_task_completed, metering_metadata)),
                    T(metering_metadata, nonfirst_local_activity_execution_attempts), m->number);
    }
    return event_id(ev);
}

static void adopt_bundle(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    if (m->digest.n && m->digest.n < sizeof r->bundle && !str_eqz(m->digest, r->bundle)) {
        memset(r->bundle, 0, sizeof r->bundle);
        memcpy(r->bundle, m->digest.p, m->digest.n);
        t->run_dirty = true;
    }
    if (r->blocked) {
        mem_free(r->blocked);
        r->blocked = NULL;
        t->run_dirty = true;
    }
}

/* A terminal command while events wait: the task fails and a new one brings the events. */
static bool unhandled(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    if (!m->n_commands || !command_is_terminal(command_type(m->commands[m->n_commands - 1])) ||
        !r->n_buffered) {
        return false;
    }
    struct rec *a = NULL;
    eng_event(t, EVENT_TYPE_WORKFLOW_TASK_FAILED, &a);
    rec_set_int(a, T(ev_workflow_task_failed, scheduled_event_id), r->sched);
    rec_set_int(a, T(ev_workflow_task_failed, started_event_id), r->started);
    rec_set_int(a, T(ev_workflow_task_failed, cause), CAUSE(UNHANDLED_COMMAND));
    rec_set_str(a, T(ev_workflow_task_failed, identity), str_of(t->g->identity));
    eng_task_over(t);
    eng_updates_unsent(r);
    eng_flush_buffered(t);
    r->want_wft = true;
    eng_answer(t, m, BACKEND_UNHANDLED_COMMAND);
    return true;
}

static void refuse(struct txn *t, struct msg *m, int cause, const struct err *why)
{
    struct rec *f = failure_app(&t->chunk->arena, STR("BadCommand"),
                                arena_str(&t->chunk->arena, str_of(why->text)), true, NULL, NULL);
    eng_block(t, cause, f, false);
    if (m->answer) {
        struct effect *x = eng_effect(t, FX_ANSWER);
        x->m = m;
        x->answer_fn = m->answer;
        x->ud = m->ud;
        x->answer.kind = BACKEND_STALE;
        x->answer.err = *why;
    }
}

static void set_waits(struct run *r, struct msg *m)
{
    mem_free(r->waits);
    r->waits = m->text.n ? str_dup(m->text) : NULL;
}

/* Nothing but rejected updates came of a speculative task: it leaves no trace. */
static bool discarded(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    if (!r->speculative || r->transient || m->n_commands || m->flag || r->n_buffered ||
        t->statements || t->run_dirty || t->chunk->n != t->spec_events + 2 ||
        !eng_updates_all_rejected(r, m)) {
        return false;
    }
    eng_updates_reject(t, m);
    int64_t back = r->sched - 1;
    eng_discard_speculative(t);
    eng_task_over(t);
    r->seen = back;
    eng_queries_answer(t, m);
    t->completed = true;
    if (m->answer) {
        struct effect *f = eng_effect(t, FX_ANSWER);
        f->m = m;
        f->answer_fn = m->answer;
        f->ud = m->ud;
        f->answer.kind = BACKEND_DISCARDED;
        f->answer.rollback_id = back;
    }
    return true;
}

void eng_apply_wft_done(struct txn *t, struct msg *m)
{
    struct run *r = t->run;
    t->g->progress_mono = eng_mono(t->g);
    if (stale(t, m) || unhandled(t, m) || discarded(t, m)) {
        return;
    }
    int cause = 0;
    struct err why;
    if (!eng_check_commands(t, m, &cause, &why)) {
        refuse(t, m, cause, &why);
        return;
    }
    eng_updates_reject(t, m);
    adopt_bundle(t, m);
    set_waits(r, m);
    r->unread = m->unread;
    int64_t completed = completed_event(t, m);
    r->done = r->started;
    r->seen = 0;
    eng_task_over(t);
    t->completed = true;
    for (size_t i = 0; i < m->n_commands && !t->failed; i++) {
        carry_out(t, m, i, completed);
    }
    for (struct map_entry *e = r->status == RUN_RUNNING ? r->pends.first : NULL; e;) {
        struct pend *p = e->value;
        e = e->next;
        if (p->kind == PEND_ACTIVITY && p->cancel_id &&
            (p->state == AT_WAITING || p->state == AT_BACKOFF)) {
            eng_activity_cancel(t, p);
        }
    }
    eng_queries_answer(t, m);
    eng_answer(t, m, BACKEND_OK);
    r->sleeps = r->status == RUN_RUNNING && !m->flag && !r->n_buffered && m->number2 &&
                eng_far(r, m->number2);
    if (m->answer && !t->failed) {
        t->fx_last->answer.sleeps = r->sleeps;
    }
    if (r->status == RUN_RUNNING) {
        eng_flush_buffered(t);
        r->want_wft = r->want_wft || m->flag;
    }
}

void eng_apply_wft_failed(struct txn *t, struct msg *m)
{
    t->g->progress_mono = eng_mono(t->g);
    if (stale(t, m)) {
        return;
    }
    eng_answer(t, m, BACKEND_OK);
    set_waits(t->run, m);
    eng_block(t, m->sub, m->rec, m->flag);
    t->completed = true;
}
