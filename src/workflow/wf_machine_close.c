/* How a run ends, and what it carries along: terminal commands, continue-as-new, search attributes,
 * memo, and the `moonloop` header that children and continuations inherit. */
#include "workflow/wf_machine.h"

#define A(r) (&(r)->machines->cmds->arena)
#define HEADER_NAME "moonloop"

/* ---- the header ---- */
static struct str header_json(const struct wf_run *r)
{
    const struct rec *h = rec_msg(r->started, T(ev_workflow_execution_started, header));
    return payload_data(rec_map_get(h, T(header, fields), STR(HEADER_NAME)));
}

static struct rec *header_copy(struct wf_run *r, struct arena *a, struct str ours)
{
    const struct rec *from = rec_msg(r->started, T(ev_workflow_execution_started, header));
    struct rec *to = rec_new(a, &rec_type_header);
    const struct rec_field *f = NULL;
    while ((f = rec_each(from, T(header, fields), f))) {
        struct str key = rec_str(f->v.m, T(header_fields_entry, key));
        if (str_eqz(key, HEADER_NAME)) continue;
        struct rec *entry = rec_add(to, T(header, fields));
        rec_set_copy(entry, T(header_fields_entry, key), key);
        rec_set_msg(entry, T(header_fields_entry, value),
                    rec_clone(a, rec_msg(f->v.m, T(header_fields_entry, value))));
    }
    if (ours.n) {
        struct rec *entry = rec_add(to, T(header, fields));
        rec_set_str(entry, T(header_fields_entry, key), STR(HEADER_NAME));
        rec_set_msg(entry, T(header_fields_entry, value), payload_new(a, PAYLOAD_JSON, ours));
    }
    return rec_count(to, T(header, fields)) ? to : NULL;
}

/* A child begins a chain of its own, under the principal of its parent. */
struct rec *wf_header_for_child(struct wf_run *r, struct arena *a)
{
    struct str json = header_json(r);
    return header_copy(r, a, json.n ? wf_json_without(a, json, "chain_start") : json);
}

/* An activity acts for the run's principal, where somebody was let in by the boundary: only then
 * its command has a header. */
struct rec *wf_header_for_activity(struct wf_run *r, struct arena *a)
{
    struct str json = header_json(r), who;
    if (!json.n || !wf_json_get(json, "principal", &who) || str_eqz(who, "\"local\"")) return NULL;
    struct rec *to = rec_new(a, &rec_type_header);
    struct rec *entry = rec_add(to, T(header, fields));
    rec_set_str(entry, T(header_fields_entry, key), STR(HEADER_NAME));
    rec_set_msg(entry, T(header_fields_entry, value), payload_new(a, PAYLOAD_JSON, json));
    return to;
}

static struct rec *header_for_continuation(struct wf_run *r, struct arena *a)
{
    return header_copy(r, a, wf_json_with(a, header_json(r), "chain_start", r->chain_start_iso));
}

/* ---- search attributes and memo ---- */
void wf_merge_search_attributes(struct wf_run *r, const struct rec *sa)
{
    struct wf_machines *m = r->machines;
    const struct rec_field *f = NULL;
    while ((f = rec_each(sa, T(search_attributes, indexed_fields), f))) {
        struct str key = rec_str(f->v.m, T(search_attributes_indexed_fields_entry, key));
        struct rec *value = rec_msg(f->v.m, T(search_attributes_indexed_fields_entry, value));
        if (str_eqz(key, WF_CHANGE_VERSION) || str_eqz(key, "BuildIds"))
            continue; /* facts about this run: the next one decides for itself */
        if (!m->search_attributes)
            m->search_attributes = rec_new(&r->keep, &rec_type_search_attributes);
        struct rec *old =
            rec_map_get(m->search_attributes, T(search_attributes, indexed_fields), key);
        struct rec *copy = value ? rec_clone(&r->keep, value) : NULL;
        if (old && copy) {
            *old = *copy;
        } else if (copy) {
            struct rec *entry = rec_add(m->search_attributes, T(search_attributes, indexed_fields));
            rec_set_copy(entry, T(search_attributes_indexed_fields_entry, key), key);
            rec_set_msg(entry, T(search_attributes_indexed_fields_entry, value), copy);
        }
    }
}

void wf_merge_memo(struct wf_run *r, const struct rec *memo)
{
    struct wf_machines *m = r->machines;
    const struct rec_field *f = NULL;
    while ((f = rec_each(memo, T(memo, fields), f))) {
        struct str key = rec_str(f->v.m, T(memo_fields_entry, key));
        struct rec *value = rec_msg(f->v.m, T(memo_fields_entry, value));
        if (!m->memo) m->memo = rec_new(&r->keep, &rec_type_memo);
        struct rec *old = rec_map_get(m->memo, T(memo, fields), key);
        struct rec *copy = value ? rec_clone(&r->keep, value) : NULL;
        if (old && copy) {
            *old = *copy;
        } else if (copy) {
            struct rec *entry = rec_add(m->memo, T(memo, fields));
            rec_set_copy(entry, T(memo_fields_entry, key), key);
            rec_set_msg(entry, T(memo_fields_entry, value), copy);
        }
    }
}

int wf_op_search_attributes(struct wf_run *r, struct rec *search_attributes, struct err *e)
{
    int rc = wf_op_guard(r, e);
    if (rc) return rc;
    if (rec_count(search_attributes, T(search_attributes, indexed_fields)) == 0) return 0;
    struct rec *at;
    struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, NULL, &at);
    if (!c) return err_set(e, ERR_LIMIT, "cannot change search attributes once more");
    rec_set_msg(at, T(cmd_upsert_workflow_search_attributes, search_attributes),
                rec_clone(A(r), search_attributes));
    wf_merge_search_attributes(r, search_attributes);
    return 0;
}

int wf_op_memo(struct wf_run *r, struct rec *memo, struct err *e)
{
    int rc = wf_op_guard(r, e);
    if (rc) return rc;
    if (rec_count(memo, T(memo, fields)) == 0) return 0;
    struct rec *at;
    struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES, NULL, &at);
    if (!c) return err_set(e, ERR_LIMIT, "cannot change the memo once more");
    rec_set_msg(at, T(cmd_modify_workflow_properties, upserted_memo), rec_clone(A(r), memo));
    wf_merge_memo(r, memo);
    return 0;
}

/* ---- the end: the first one wins ---- */
static int terminal(struct wf_run *r, int type, struct rec **attrs, struct err *e)
{
    int rc = wf_op_guard(r, e);
    if (rc) return rc;
    *attrs = NULL;
    if (r->terminal) return 0;
    if (!wf_cmd_new(r, type, NULL, attrs))
        return err_set(e, ERR_LIMIT, "cannot end the run: too many commands");
    r->terminal = true;
    return 0;
}

int wf_op_complete(struct wf_run *r, const struct rec *result, struct err *e)
{
    struct rec *at;
    if (!wf_payloads_fit(r, result, "the result of the workflow", e)) return ERR_LIMIT;
    int rc = terminal(r, COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, &at, e);
    if (!rc && at && result)
        rec_set_msg(at, T(cmd_complete_workflow_execution, result), rec_clone(A(r), result));
    return rc;
}

int wf_op_fail(struct wf_run *r, const struct rec *failure, struct err *e)
{
    struct rec *at;
    int rc = terminal(r, COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION, &at, e);
    if (!rc && at && failure)
        rec_set_msg(at, T(cmd_fail_workflow_execution, failure), rec_clone(A(r), failure));
    return rc;
}

int wf_op_canceled(struct wf_run *r, const struct rec *details, struct err *e)
{
    struct rec *at;
    int rc = terminal(r, COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION, &at, e);
    if (!rc && at && details)
        rec_set_msg(at, T(cmd_cancel_workflow_execution, details), rec_clone(A(r), details));
    return rc;
}

static void inherit_msg(struct wf_run *r, struct rec *at, int tag, const struct rec *given,
                        const struct rec *old)
{
    const struct rec *from = given ? given : old;
    if (from) rec_set_msg(at, tag, rec_clone(A(r), from));
}

static void inherit_time(struct rec *at, int tag, int64_t given, int64_t old)
{
    int64_t v = given ? given : old;
    if (v) rec_set_int(at, tag, v);
}

int wf_op_continue_as_new(struct wf_run *r, const struct wf_can_opts *o, struct err *e)
{
    struct wf_machines *m = r->machines;
    const struct rec *s = r->started;
    struct rec *at;
    if (!wf_payloads_fit(r, o->input, "the input of the next run", e)) return ERR_LIMIT;
    int rc = terminal(r, COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION, &at, e);
    if (rc || !at) return rc;
    struct str type = rec_str(rec_msg(s, T(ev_workflow_execution_started, workflow_type)),
                              T(workflow_type, name));
    struct str queue =
        rec_str(rec_msg(s, T(ev_workflow_execution_started, task_queue)), T(task_queue, name));
    rec_set_copy(rec_sub(at, T(cmd_continue_as_new_workflow_execution, workflow_type)),
                 T(workflow_type, name), o->workflow_type.n ? o->workflow_type : type);
    struct rec *q = rec_sub(at, T(cmd_continue_as_new_workflow_execution, task_queue));
    rec_set_copy(q, T(task_queue, name),
                 o->task_queue.n ? o->task_queue
                 : queue.n       ? queue
                                 : r->info.task_queue);
    rec_set_int(q, T(task_queue, kind), TASK_QUEUE_KIND_NORMAL);
    if (o->input)
        rec_set_msg(at, T(cmd_continue_as_new_workflow_execution, input),
                    rec_clone(A(r), o->input));
    inherit_time(at, T(cmd_continue_as_new_workflow_execution, workflow_run_timeout),
                 o->run_timeout_ns,
                 rec_int(s, T(ev_workflow_execution_started, workflow_run_timeout)));
    inherit_time(at, T(cmd_continue_as_new_workflow_execution, workflow_task_timeout),
                 o->task_timeout_ns,
                 rec_int(s, T(ev_workflow_execution_started, workflow_task_timeout)));
    inherit_msg(r, at, T(cmd_continue_as_new_workflow_execution, retry_policy), o->retry_policy,
                rec_msg(s, T(ev_workflow_execution_started, retry_policy)));
    inherit_msg(r, at, T(cmd_continue_as_new_workflow_execution, memo), o->memo, m->memo);
    inherit_msg(r, at, T(cmd_continue_as_new_workflow_execution, search_attributes),
                o->search_attributes, m->search_attributes);
    rec_set_int(at, T(cmd_continue_as_new_workflow_execution, initiator),
                CONTINUE_AS_NEW_INITIATOR_WORKFLOW);
    rec_set_msg(at, T(cmd_continue_as_new_workflow_execution, header),
                header_for_continuation(r, A(r)));
    return 0;
}
