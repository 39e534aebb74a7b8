/* Verbs that go beyond the port: completing activities by id on both engines; schedules,
 * deployments, namespace and search attributes on a Temporal server only. */
#include "base/mem.h"
#include "host/host_internal.h"
#include "temporal/client.h"

static int need_remote(const struct hcall *c, const char *argument, struct err *e)
{
    if (!c->h->remote)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s needs a Temporal server: the embedded engine has none", c->verb->name);
    const char *v = argument ? arg_str(c->args, argument) : "";
    return !argument || (v && *v)
               ? 0
               : err_set(e, ERR_ARG, "%s: %s is missing", c->verb->name, argument);
}

/* ---- activities by id ---- */
static int run_complete_by_id(struct hcall *c, struct err *e)
{
    struct backend_activity_completion done;
    struct backend_target t = {arg_view(c->args, "id"), arg_view(c->args, "runId")};
    struct str activity = arg_view(c->args, "activity");
    if (!t.workflow_id.n || !activity.n)
        return err_set(e, ERR_ARG, "complete_by_id: id and activity are needed");
    int rc = host_completion_of(c, &done, e);
    if (!rc)
        c->h->b->ops->complete_activity_by_id(c->h->b, &t, activity, &done, host_answer_completed,
                                              c);
    return rc;
}

static void on_beat(void *ud, const struct backend_answer *a)
{
    static const char *const why[] = {[BACKEND_CANCEL_REQUESTED] = "\"canceled\"",
                                      [BACKEND_CANCEL_PAUSED] = "\"paused\"",
                                      [BACKEND_CANCEL_RESET] = "\"reset\""};
    if (a->kind != BACKEND_OK || !a->cancel_requested ||
        a->cancel_reason >= sizeof why / sizeof *why) {
        host_answer_completed(ud, a);
        return;
    }
    ml_reply r = {.json = why[a->cancel_reason]};
    hcall_reply(ud, &r);
}

static int run_heartbeat_by_id(struct hcall *c, struct err *e)
{
    struct backend_target t = {arg_view(c->args, "id"), arg_view(c->args, "runId")};
    struct str activity = arg_view(c->args, "activity");
    struct rec *details = NULL;
    if (!t.workflow_id.n || !activity.n)
        return err_set(e, ERR_ARG, "heartbeat_by_id: id and activity are needed");
    int rc = payloads_of_value(&c->arena, arg_str(c->args, "details"), &details, e);
    if (!rc) c->h->b->ops->heartbeat_by_id(c->h->b, &t, activity, details, on_beat, c);
    return rc;
}

/* ---- schedules: options of scripts become the records of Temporal's API ---- */
static const struct {
    const char *name;
    int policy;
} overlaps[] = {{"skip", SCHEDULE_OVERLAP_POLICY_SKIP},
                {"buffer_one", SCHEDULE_OVERLAP_POLICY_BUFFER_ONE},
                {"buffer_all", SCHEDULE_OVERLAP_POLICY_BUFFER_ALL},
                {"cancel_other", SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER},
                {"terminate_other", SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER},
                {"allow_all", SCHEDULE_OVERLAP_POLICY_ALLOW_ALL}};

static const cJSON *item(const cJSON *j, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
    return cJSON_IsNull(v) ? NULL : v;
}

static struct str text_item(struct arena *a, const cJSON *j, const char *key)
{
    const char *z = cJSON_GetStringValue(item(j, key));
    return z ? arena_str(a, str_of(z)) : (struct str){NULL, 0};
}

/* A time as ISO text; 0 when it is not there. */
static int64_t time_item(const cJSON *j, const char *key, struct err *e)
{
    int64_t ns = 0;
    const char *z = cJSON_GetStringValue(item(j, key));
    int rc = z ? time_parse_iso(str_of(z), &ns) : 0;
    if (rc)
        err_set(e, ERR_ARG, "%s must be %s, not \"%s\"", key,
                rc == ERR_LIMIT ? "a time from " TIME_RANGE
                                : "a time such as \"2026-03-01T09:00:00Z\"",
                z);
    return ns;
}

static void set_interval(struct arena *a, const cJSON *j, struct rec *spec, struct err *e)
{
    struct rec *i = rec_add(spec, T(schedule_spec, interval));
    (void)a;
    rec_set_int(i, T(interval_spec, interval), duration_of(item(j, "every"), e, "every"));
    rec_set_int(i, T(interval_spec, phase), duration_of(item(j, "offset"), e, "offset"));
}

/* When: what is named replaces all of it; bounds, jitter and zone stay unless they are named. */
static int apply_spec(struct arena *a, const cJSON *j, struct rec *schedule, struct err *e)
{
    struct rec *old = rec_msg(schedule, T(schedule, spec)), *spec = old;
    const cJSON *cron = item(j, "cron"), *raw = item(j, "spec"), *line;
    if (raw) {
        char *z = cJSON_PrintUnformatted(raw);
        int rc = rec_from_json(a, &rec_type_schedule_spec, arena_str(a, str_of(z)), &spec, e);
        cJSON_free(z);
        if (rc) return err_prefix(e, "spec");
    } else if (item(j, "every") || cron) {
        spec = rec_new(a, &rec_type_schedule_spec);
        rec_set_str(spec, T(schedule_spec, timezone_name),
                    rec_str(old, T(schedule_spec, timezone_name)));
        rec_set_int(spec, T(schedule_spec, jitter), rec_int(old, T(schedule_spec, jitter)));
    }
    if (!spec) spec = rec_new(a, &rec_type_schedule_spec);
    if (item(j, "every")) set_interval(a, j, spec, e);
    cJSON_ArrayForEach(line, cron) if (cJSON_IsString(line))
        rec_add_str(spec, T(schedule_spec, cron_string), arena_str(a, str_of(line->valuestring)));
    if (item(j, "timezone"))
        rec_set_str(spec, T(schedule_spec, timezone_name), text_item(a, j, "timezone"));
    if (item(j, "jitter"))
        rec_set_int(spec, T(schedule_spec, jitter), duration_of(item(j, "jitter"), e, "jitter"));
    if (item(j, "startAt"))
        rec_set_int(spec, T(schedule_spec, start_time), time_item(j, "startAt", e));
    if (item(j, "endAt")) rec_set_int(spec, T(schedule_spec, end_time), time_item(j, "endAt", e));
    rec_set_msg(schedule, T(schedule, spec), spec);
    return e->code;
}

static int apply_action(struct hcall *c, struct arena *a, const cJSON *j, struct rec *schedule,
                        struct err *e)
{
    struct rec *input = NULL, *action = rec_sub(schedule, T(schedule, action));
    struct rec *w = rec_sub(action, T(schedule_action, start_workflow));
    const char *text = arg_str(j, "input");
    struct str id = text_item(a, j, "workflowId");
    if (item(j, "workflow"))
        rec_set_str(rec_sub(w, T(new_workflow_execution_info, workflow_type)),
                    T(workflow_type, name), text_item(a, j, "workflow"));
    if (!rec_has(w, T(new_workflow_execution_info, workflow_type)))
        return err_set(e, ERR_ARG, "a schedule needs a workflow");
    struct rec *queue = rec_sub(w, T(new_workflow_execution_info, task_queue));
    if (item(j, "taskQueue") || !rec_str(queue, T(task_queue, name)).n)
        rec_set_copy(queue, T(task_queue, name),
                     item(j, "taskQueue") ? arg_view(j, "taskQueue") : str_of(c->h->task_queue));
    if (!id.n && !rec_str(w, T(new_workflow_execution_info, workflow_id)).n)
        id = arena_str(a, arg_view(c->args, "id"));
    if (id.n) rec_set_str(w, T(new_workflow_execution_info, workflow_id), id);
    if (text && payloads_of_value(a, text, &input, e)) return e->code;
    if (text) rec_set_msg(w, T(new_workflow_execution_info, input), input);
    if (cJSON_IsObject(item(j, "memo")))
        rec_set_msg(w, T(new_workflow_execution_info, memo),
                    payload_map(a, &rec_type_memo, T(memo, fields), item(j, "memo")));
    return 0;
}

static int apply_rest(struct arena *a, const cJSON *j, struct rec *schedule, struct err *e)
{
    struct rec *policies = rec_sub(schedule, T(schedule, policies));
    struct rec *state = rec_sub(schedule, T(schedule, state));
    const char *overlap = arg_str(j, "overlap");
    int policy = 0;
    for (size_t i = 0; overlap && i < sizeof overlaps / sizeof *overlaps; i++)
        if (strcmp(overlap, overlaps[i].name) == 0) policy = overlaps[i].policy;
    if (overlap && !policy) return err_set(e, ERR_ARG, "overlap '%s' is not known", overlap);
    if (overlap) rec_set_int(policies, T(schedule_policies, overlap_policy), policy);
    if (item(j, "catchup"))
        rec_set_int(policies, T(schedule_policies, catchup_window),
                    duration_of(item(j, "catchup"), e, "catchup"));
    if (item(j, "pauseOnFailure"))
        rec_set_int(policies, T(schedule_policies, pause_on_failure),
                    arg_bool(j, "pauseOnFailure"));
    if (item(j, "paused")) rec_set_int(state, T(schedule_state, paused), arg_bool(j, "paused"));
    if (item(j, "note")) rec_set_str(state, T(schedule_state, notes), text_item(a, j, "note"));
    if (item(j, "remaining")) {
        rec_set_int(state, T(schedule_state, limited_actions), 1);
        rec_set_int(state, T(schedule_state, remaining_actions), arg_i64(j, "remaining"));
    }
    return e->code;
}

static int apply(void *ud, struct arena *a, struct rec *schedule, struct err *e)
{
    struct hcall *c = ud;
    cJSON *j = cJSON_Parse(arg_str(c->args, "options") ? arg_str(c->args, "options") : "{}");
    int rc = cJSON_IsObject(j) ? 0 : err_set(e, ERR_ARG, "the options are not a JSON object");
    if (!rc) rc = apply_spec(a, j, schedule, e);
    if (!rc) rc = apply_action(c, a, j, schedule, e);
    if (!rc) rc = apply_rest(a, j, schedule, e);
    if (!rc && arena_failed(a)) rc = err_set(e, ERR_NOMEM, "out of memory");
    cJSON_Delete(j);
    return rc;
}

static int run_schedule_create(struct hcall *c, struct err *e)
{
    struct rec *schedule = rec_new(&c->arena, &rec_type_schedule);
    int rc = need_remote(c, "id", e);
    if (!rc) rc = apply(c, &c->arena, schedule, e);
    if (!rc)
        client_schedule_create(c->h->b, arg_view(c->args, "id"), schedule, NULL, NULL, NULL,
                               arg_view(c->args, "requestId"), host_answer_plain, c);
    return rc;
}

static int run_schedule_update(struct hcall *c, struct err *e)
{
    int rc = need_remote(c, "id", e);
    if (!rc)
        client_schedule_update(c->h->b, arg_view(c->args, "id"), apply, c, host_answer_plain, c);
    return rc;
}

static int run_schedule_patch(struct hcall *c, struct err *e)
{
    struct rec *patch = NULL;
    int rc = need_remote(c, "id", e);
    if (!rc)
        rc = rec_from_json(&c->arena, &rec_type_schedule_patch, arg_view(c->args, "patch"), &patch,
                           e);
    if (!rc)
        client_schedule_patch(c->h->b, arg_view(c->args, "id"), patch,
                              arg_view(c->args, "requestId"), host_answer_plain, c);
    return rc;
}

static int run_schedule_describe(struct hcall *c, struct err *e)
{
    int rc = need_remote(c, "id", e);
    if (!rc) client_schedule_describe(c->h->b, arg_view(c->args, "id"), host_answer_plain, c);
    return rc;
}

static int run_schedule_delete(struct hcall *c, struct err *e)
{
    int rc = need_remote(c, "id", e);
    if (!rc) client_schedule_delete(c->h->b, arg_view(c->args, "id"), host_answer_plain, c);
    return rc;
}

static int run_schedule_list(struct hcall *c, struct err *e)
{
    int rc = need_remote(c, NULL, e);
    if (!rc)
        client_schedule_list(c->h->b, arg_view(c->args, "query"), 0, arg_view(c->args, "page"),
                             host_answer_plain, c);
    return rc;
}

/* ---- the cluster ---- */
static int run_deployment_describe(struct hcall *c, struct err *e)
{
    int rc = need_remote(c, "name", e);
    if (!rc) client_deployment_describe(c->h->b, arg_view(c->args, "name"), host_answer_plain, c);
    return rc;
}

static int run_deployment_list(struct hcall *c, struct err *e)
{
    int rc = need_remote(c, NULL, e);
    if (!rc) client_deployment_list(c->h->b, arg_view(c->args, "page"), host_answer_plain, c);
    return rc;
}

static int run_deployment_set_current(struct hcall *c, struct err *e)
{
    int rc = need_remote(c, "name", e);
    if (!rc)
        client_deployment_set_current(c->h->b, arg_view(c->args, "name"),
                                      arg_view(c->args, "build"), arg_bool(c->args, "force"),
                                      host_answer_plain, c);
    return rc;
}

static int run_namespace(struct hcall *c, struct err *e)
{
    int rc = need_remote(c, NULL, e);
    if (!rc) client_namespace_describe(c->h->b, host_answer_plain, c);
    return rc;
}

static int run_attributes(struct hcall *c, struct err *e)
{
    int rc = need_remote(c, NULL, e);
    if (!rc) client_attributes_list(c->h->b, host_answer_plain, c);
    return rc;
}

static int run_attributes_add(struct hcall *c, struct err *e)
{
    int rc = need_remote(c, "name", e);
    if (!rc)
        client_attributes_add(c->h->b, arg_view(c->args, "name"), arg_view(c->args, "type"),
                              host_answer_plain, c);
    return rc;
}

static const struct verb verbs[] = {
    {"complete_by_id", run_complete_by_id, false, false},
    {"schedule_create", run_schedule_create, false, false},
    {"schedule_describe", run_schedule_describe, false, false},
    {"schedule_update", run_schedule_update, false, false},
    {"schedule_patch", run_schedule_patch, false, false},
    {"schedule_delete", run_schedule_delete, false, false},
    {"heartbeat_by_id", run_heartbeat_by_id, false, false},
    {"schedule_list", run_schedule_list, false, false},
    {"deployment_describe", run_deployment_describe, false, false},
    {"deployment_list", run_deployment_list, false, false},
    {"deployment_set_current", run_deployment_set_current, false, false},
    {"namespace", run_namespace, false, false},
    {"attributes", run_attributes, false, false},
    {"attributes_add", run_attributes_add, false, false}};

const struct verb *verb_find_cluster(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
    return NULL;
}
