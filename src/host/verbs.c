/* The verbs: each is a name and JSON arguments, run here by the engine for local callers and for
 * clients on the socket alike, or sent to the owner. Keeps true: a verb is answered once, never
 * inside the call that asked for it. */
#include "base/mem.h"
#include "host/host_internal.h"
#include <stdarg.h>
#include <stdio.h>

/* ---- arguments ---- */
const char *arg_str(const cJSON *args, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(args, name));
}
bool arg_bool(const cJSON *args, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, name));
}
struct str arg_view(const cJSON *args, const char *name)
{
    return str_of(arg_str(args, name));
}

int64_t arg_i64(const cJSON *args, const char *name)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(args, name);
    return cJSON_IsNumber(j) ? (int64_t)j->valuedouble : 0;
}

/* Owned; NULL with ERR_ARG when it is no object, ERR_NOMEM when that could not be seen. */
cJSON *arg_object(const char *text, const char *what, struct err *e)
{
    unsigned long refused = mem_refused();
    cJSON *j = cJSON_Parse(text);
    if (cJSON_IsObject(j)) return j;
    cJSON_Delete(j);
    if (refused != mem_refused())
        err_set(e, ERR_NOMEM, "out of memory");
    else
        err_set(e, ERR_ARG, "%s is not a JSON object", what);
    return NULL;
}

/* Out of memory is kept in the object's type: nothing is asked or answered with a part left out. */
void arg_add(cJSON *args, const char *name, const char *value)
{
    if (args && value && !cJSON_AddStringToObject(args, name, value)) args->type = cJSON_Invalid;
}

void arg_add_true(cJSON *args, const char *name)
{
    if (args && !cJSON_AddTrueToObject(args, name)) args->type = cJSON_Invalid;
}

/* ---- calls ---- */
struct hcall *hcall_new(ml_host *h, const struct verb *v, cJSON *args, ml_reply_fn fn, void *ud)
{
    struct hcall *c = args && !cJSON_IsInvalid(args) ? mem_zalloc(sizeof *c) : NULL;
    if (!c) {
        cJSON_Delete(args);
        return NULL;
    }
    *c = (struct hcall){.h = h, .verb = v, .args = args, .fn = fn, .ud = ud, .next = h->calls};
    arena_init(&c->arena, 0);
    if (c->next) c->next->prev = c;
    h->calls = c;
    return c;
}

void hcall_free(struct hcall *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        c->h->calls = c->next;
    if (c->next) c->next->prev = c->prev;
    if (c->drop) c->drop(c->ud);
    cJSON_Delete(c->args);
    arena_free(&c->arena);
    mem_free(c);
}

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

void hcall_reply(struct hcall *c, const ml_reply *r)
{
    ml_reply full = *r;
    full.text = or_empty(r->text);
    full.status = or_empty(r->status);
    full.workflow_id = or_empty(r->workflow_id ? r->workflow_id : arg_str(c->args, "id"));
    full.run_id = or_empty(r->run_id);
    c->ending = true;
    if (c->fn && !c->h->closing) {
        c->drop = NULL;
        c->h->in_callback++;
        c->fn(c->ud, &full);
        c->h->in_callback--;
    }
    hcall_free(c);
}

void hcall_fail(struct hcall *c, int code, const char *fmt, ...)
{
    struct err e = {.code = code};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e.text, sizeof e.text, fmt, ap);
    va_end(ap);
    hcall_fail_err(c, &e);
}

void hcall_fail_err(struct hcall *c, const struct err *e)
{
    struct err copy = *e;
    ml_reply r = {.code = copy.code ? copy.code : ML_E_IO, .text = copy.text};
    hcall_reply(c, &r);
}

static void fail_posted(void *ud)
{
    struct hcall *c = ud;
    hcall_fail_err(c, &c->err);
}

/* When the loop is closing the call is freed with the host. */
void hcall_post(struct hcall *c, void (*fn)(void *ud))
{
    if (!c->ending) c->ending = loop_post_in(c->h->loop, &c->post, fn, c) == 0;
}

void hcall_fail_later(struct hcall *c, const struct err *e)
{
    if (c->ending) return;
    c->err = *e;
    hcall_post(c, fail_posted);
}

/* Later, and not those that come meanwhile: an answer may ask again. Oldest first. */
void host_fail_calls(ml_host *h, const struct err *e)
{
    struct hcall *c = h->calls;
    while (c && c->next)
        c = c->next;
    for (; c; c = c->prev)
        hcall_fail_later(c, e);
}

void hcall_run(struct hcall *c)
{
    struct err e = {0};
    int rc = c->verb->run(c, &e);
    if (rc) {
        if (!e.code) err_set(&e, rc, "%s: %s", c->verb->name, err_name(rc));
        hcall_fail_later(c, &e);
    }
}

int host_verb(ml_host *h, const char *verb, cJSON *args, ml_reply_fn fn, void *ud)
{
    return host_verb_owned(h, verb, args, fn, ud, NULL);
}

int host_verb_owned(ml_host *h, const char *verb, cJSON *args, ml_reply_fn fn, void *ud,
                    void (*drop)(void *ud))
{
    const struct verb *v = verb_find(verb);
    if (h->closing) {
        cJSON_Delete(args);
        return err_set(&h->last, ERR_CLOSED, "the host is closing");
    }
    if (!v) {
        cJSON_Delete(args);
        return err_set(&h->last, ERR_ARG, "no verb '%s'", verb);
    }
    if (!v->local_only && host_gone(h)) {
        cJSON_Delete(args);
        return ERR_CLOSED;
    }
    struct hcall *c = hcall_new(h, v, args, fn, ud);
    if (!c) return err_set(&h->last, ERR_NOMEM, "out of memory");
    c->drop = drop;
    if (h->read_only && !h->remote && !v->looks) {
        struct err e;
        err_set(&e, ERR_UNSUPPORTED, "%s: the host was opened to look only (ML_READ_ONLY)", verb);
        hcall_fail_later(c, &e);
    } else if (h->attach && !v->local_only) {
        attach_send(h->attach, c);
    } else {
        hcall_run(c);
    }
    return ML_OK;
}

/* ---- answers of the engine ---- */
static void answer(struct hcall *c, const struct backend_reply *r, bool value)
{
    struct buf json, failure;
    char *run = r->run_id.n ? str_dup(r->run_id) : NULL;
    char *page = r->next_page.n ? str_dup(r->next_page) : NULL;
    buf_init(&json, HOST_JSON_MAX);
    buf_init(&failure, HOST_JSON_MAX);
    ml_reply out = {.code = r->err.code,
                    .text = r->err.text,
                    .run_id = run,
                    .next_page = page,
                    .existing = r->existing,
                    .status = status_name(r->status)};
    if (r->failure && failure_json(r->failure, &failure) == 0) out.failure_json = failure.p;
    if (r->json.n)
        buf_putstr(&json, r->json);
    else if (value && !r->failure && !r->err.code &&
             (r->status == 0 || r->status == RUN_COMPLETED || r->result))
        payload_json(r->result, &json);
    if (json.n) out.json = json.p;
    if (json.code || failure.code) {
        bool memory = json.code == ERR_NOMEM || failure.code == ERR_NOMEM;
        out.code = memory ? ML_E_NOMEM : ML_E_LIMIT;
        out.text = memory ? "out of memory for the answer" : "the answer is too large";
    }
    hcall_reply(c, &out);
    buf_free(&json);
    buf_free(&failure);
    mem_free(run);
    mem_free(page);
}

void host_answer_plain(void *ud, const struct backend_reply *r)
{
    answer(ud, r, false);
}
static void on_value(void *ud, const struct backend_reply *r)
{
    answer(ud, r, true);
}

/* What was recorded while nobody runs it: say so. */
static void on_recorded(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    ml_host *h = c->h;
    struct backend_reply copy = *r;
    if (!r->err.code && !h->drive_all && !h->n_driven && !h->remote)
        snprintf(copy.err.text, sizeof copy.err.text,
                 "recorded; nothing runs it now. Go on with: moonloop run SCRIPT --id %s",
                 or_empty(arg_str(c->args, "id")));
    answer(c, &copy, false);
}

void host_answer_update(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    struct backend_reply copy = *r;
    if (r->failure && !r->err.code) { /* an update that ran and failed */
        copy.err.code = ERR_FAILED;
        struct str m = rec_str(r->failure, T(failure, message));
        snprintf(copy.err.text, sizeof copy.err.text, STR_FMT, STR_ARG(m));
    }
    answer(c, &copy, true);
}

static struct backend_target target_of(const struct hcall *c)
{
    return (struct backend_target){arg_view(c->args, "id"), arg_view(c->args, "runId")};
}

static int need(const struct hcall *c, const char *name, struct err *e)
{
    const char *v = arg_str(c->args, name);
    return v && *v ? 0 : err_set(e, ERR_ARG, "%s: %s is missing", c->verb->name, name);
}

/* The request id, made when the caller has none: stable when the verb is sent again to another
 * owner. */
static struct str request_id(struct hcall *c)
{
    const char *given = arg_str(c->args, "requestId");
    return given ? str_of(given) : (struct str){0};
}

/* ---- the verbs ---- */
static int run_signal(struct hcall *c, struct err *e)
{
    struct rec *input = NULL;
    struct backend_target t = target_of(c);
    int rc = need(c, "id", e);
    if (rc == 0) rc = need(c, "name", e);
    if (rc == 0) rc = payloads_of_value(&c->arena, arg_str(c->args, "input"), &input, e);
    if (rc == 0)
        c->h->b->ops->signal(c->h->b, &t, request_id(c), arg_view(c->args, "name"), input, NULL,
                             str_of(c->h->identity), on_recorded, c);
    return rc;
}

static int run_update(struct hcall *c, struct err *e)
{
    struct rec *args = NULL;
    struct backend_target t = target_of(c);
    struct str id = arg_view(c->args, "updateId");
    int rc = need(c, "id", e);
    if (rc == 0 && !id.n) rc = need(c, "name", e); /* with the id alone: its outcome */
    if (rc == 0) rc = payloads_of_args(&c->arena, arg_view(c->args, "args"), &args, e);
    if (rc) return rc;
    c->h->b->ops->update(c->h->b, &t, id.n ? id : request_id(c), arg_view(c->args, "name"), args,
                         arg_bool(c->args, "wait") ? UPDATE_COMPLETED : UPDATE_ACCEPTED,
                         host_answer_update, c);
    return 0;
}

static int run_cancel(struct hcall *c, struct err *e)
{
    struct backend_target t = target_of(c);
    int rc = need(c, "id", e);
    if (rc == 0)
        c->h->b->ops->cancel(c->h->b, &t, request_id(c), arg_view(c->args, "reason"), on_recorded,
                             c);
    return rc;
}

static int run_terminate(struct hcall *c, struct err *e)
{
    struct backend_target t = target_of(c);
    int rc = need(c, "id", e);
    if (rc == 0)
        c->h->b->ops->terminate(c->h->b, &t, arg_view(c->args, "reason"), host_answer_plain, c);
    return rc;
}

static int run_result(struct hcall *c, struct err *e)
{
    struct backend_target t = target_of(c);
    int rc = need(c, "id", e);
    if (rc == 0) c->h->b->ops->result(c->h->b, &t, arg_bool(c->args, "wait"), on_value, c);
    return rc;
}

static int ask_filtered(struct hcall *c, bool count, struct err *e)
{
    const char *text = arg_str(c->args, "filter");
    char what[40];
    snprintf(what, sizeof what, "%s: the filter", c->verb->name);
    cJSON *f = text ? arg_object(text, what, e) : cJSON_CreateObject();
    if (!f) return e->code ? e->code : err_set(e, ERR_NOMEM, "out of memory");
    if (!c->h->remote && cJSON_HasObjectItem(f, "query")) {
        cJSON_Delete(f);
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s: a query needs a Temporal server; a file is asked by status, type and id",
            c->verb->name);
    }
    cJSON *prefix = cJSON_DetachItemFromObjectCaseSensitive(f, "idPrefix");
    bool whole = !prefix || cJSON_AddItemToObject(f, "id_prefix", prefix);
    char *out = whole ? cJSON_PrintUnformatted(f) : NULL;
    if (!whole) cJSON_Delete(prefix);
    cJSON_Delete(f);
    if (!out) return err_set(e, ERR_NOMEM, "out of memory");
    (count ? c->h->b->ops->count : c->h->b->ops->list)(c->h->b, str_of(out), host_answer_plain, c);
    cJSON_free(out);
    return 0;
}

static int run_list(struct hcall *c, struct err *e)
{
    return ask_filtered(c, false, e);
}

static int run_count(struct hcall *c, struct err *e)
{
    return ask_filtered(c, true, e);
}

static int run_delete(struct hcall *c, struct err *e)
{
    struct backend_target t = target_of(c);
    int rc = need(c, "id", e);
    if (rc == 0) c->h->b->ops->delete_run(c->h->b, &t, host_answer_plain, c);
    return rc;
}

static void on_described(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    struct backend_reply copy = *r;
    cJSON *j = r->json.n ? cJSON_ParseWithLength(r->json.p, r->json.n) : NULL;
    if (r->json.n && !j) err_set(&copy.err, ERR_NOMEM, "out of memory");
    if (arg_bool(j, "blocked") && !r->err.code) {
        char *json = str_dup(r->json), *run = str_dup(r->run_id);
        ml_reply out = {.status = "Blocked", .json = json, .run_id = run};
        hcall_reply(c, &out);
        mem_free(json);
        mem_free(run);
    } else {
        answer(c, &copy, false);
    }
    cJSON_Delete(j);
}

static int run_describe(struct hcall *c, struct err *e)
{
    struct backend_target t = target_of(c);
    int rc = need(c, "id", e);
    if (rc == 0) c->h->b->ops->describe(c->h->b, &t, on_described, c);
    return rc;
}

void host_answer_completed(void *ud, const struct backend_answer *a)
{
    struct hcall *c = ud;
    struct backend_reply r = {.err = a->err};
    if (a->kind == BACKEND_STALE && !r.err.code)
        err_set(&r.err, ERR_STALE,
                "the activity is gone: it has been answered, has timed out, or its run has ended");
    if (a->kind == BACKEND_STORAGE && !r.err.code)
        err_set(&r.err, ERR_IO, "the answer could not be stored");
    answer(c, &r, false);
}

/* {json} or {failure} of the arguments. */
int host_completion_of(struct hcall *c, struct backend_activity_completion *done, struct err *e)
{
    struct rec *result = NULL;
    const char *failure = arg_str(c->args, "failure");
    *done = (struct backend_activity_completion){.kind = ACT_COMPLETED};
    if (!failure) {
        int rc = payloads_of_value(&c->arena, arg_str(c->args, "json"), &result, e);
        done->result = result;
        return rc;
    }
    char what[60];
    snprintf(what, sizeof what, "%s: the failure", c->verb->name);
    cJSON *j = arg_object(failure, what, e);
    if (!j) return e->code;
    done->kind = ACT_FAILED;
    done->failure = failure_of_json(&c->arena, j, 0);
    cJSON_Delete(j);
    return 0;
}

static int run_complete_activity(struct hcall *c, struct err *e)
{
    struct backend_activity_completion done;
    int rc = need(c, "token", e);
    if (rc == 0) rc = host_completion_of(c, &done, e);
    if (rc == 0)
        c->h->b->ops->complete_activity(c->h->b, arg_view(c->args, "token"), &done,
                                        host_answer_completed, c);
    return rc;
}

static int run_reset(struct hcall *c, struct err *e)
{
    struct backend_target t = target_of(c);
    int rc = need(c, "id", e);
    if (rc == 0)
        c->h->b->ops->reset(c->h->b, &t, arg_i64(c->args, "eventId"), request_id(c),
                            arg_view(c->args, "reason"), host_answer_plain, c);
    return rc;
}

static const struct verb verbs[] = {
    {"start", verb_start_run, false, false},
    {"signal", run_signal, false, false},
    {"query", verb_query_run, false, true},
    {"update", run_update, false, false},
    {"cancel", run_cancel, false, false},
    {"terminate", run_terminate, false, false},
    {"result", run_result, false, true},
    {"list", run_list, false, true},
    {"describe", run_describe, false, true},
    {"history", verb_history_run, false, true},
    {"reset", run_reset, false, false},
    {"complete_activity", run_complete_activity, false, false},
    {"replay", verb_replay_run, true, true},
    {"doctor", verb_doctor_run, false, true},
    {"load", verb_load_run, false, false},
    {"drive", verb_drive_run, false, false},
    {"count", run_count, false, true},
    {"delete", run_delete, false, false},
};

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
    const struct verb *v = verb_find_boundary(name);
    if (!v) v = verb_find_mcp(name);
    return v ? v : verb_find_cluster(name);
}

/* ---- the public functions ---- */
static cJSON *target_args(const char *id, const char *run_id)
{
    cJSON *a = cJSON_CreateObject();
    arg_add(a, "id", id);
    if (run_id && *run_id) arg_add(a, "runId", run_id);
    return a;
}

static void add_request_id(ml_host *h, cJSON *a, const char *given)
{
    char made[37];
    if (given)
        arg_add(a, "requestId", given);
    else if (uuid_v7(&entropy_system, clock_wall(&h->clock), made) == 0)
        arg_add(a, "requestId", made);
}

int ml_start(ml_host *h, const ml_start_options *o, ml_reply_fn fn, void *ud)
{
    cJSON *a = cJSON_CreateObject();
    arg_add(a, "workflow", o->workflow);
    arg_add(a, "script", o->script);
    arg_add(a, "id", o->id);
    arg_add(a, "input", o->input_json);
    arg_add(a, "options", o->options_json);
    if (o->resume) arg_add_true(a, "resume");
    if (o->drive) arg_add_true(a, "drive");
    add_request_id(h, a, o->request_id);
    return host_verb(h, "start", a, fn, ud);
}

int ml_signal(ml_host *h, const char *id, const char *run_id, const char *name,
              const char *input_json, const char *req, ml_reply_fn fn, void *ud)
{
    cJSON *a = target_args(id, run_id);
    arg_add(a, "name", name);
    arg_add(a, "input", input_json);
    add_request_id(h, a, req);
    return host_verb(h, "signal", a, fn, ud);
}

int ml_query(ml_host *h, const char *id, const char *run_id, const char *name,
             const char *args_json, ml_reply_fn fn, void *ud)
{
    cJSON *a = target_args(id, run_id);
    arg_add(a, "name", name);
    arg_add(a, "args", args_json);
    return host_verb(h, "query", a, fn, ud);
}

int ml_update(ml_host *h, const char *id, const char *run_id, const char *name,
              const char *args_json, const char *update_id, int wait_completed, ml_reply_fn fn,
              void *ud)
{
    cJSON *a = target_args(id, run_id);
    arg_add(a, "name", name);
    arg_add(a, "args", args_json);
    arg_add(a, "updateId", update_id);
    if (wait_completed) arg_add_true(a, "wait");
    add_request_id(h, a, NULL);
    return host_verb(h, "update", a, fn, ud);
}

int ml_cancel(ml_host *h, const char *id, const char *run_id, const char *reason, ml_reply_fn fn,
              void *ud)
{
    cJSON *a = target_args(id, run_id);
    arg_add(a, "reason", reason);
    add_request_id(h, a, NULL);
    return host_verb(h, "cancel", a, fn, ud);
}

int ml_terminate(ml_host *h, const char *id, const char *run_id, const char *reason, ml_reply_fn fn,
                 void *ud)
{
    cJSON *a = target_args(id, run_id);
    arg_add(a, "reason", reason);
    return host_verb(h, "terminate", a, fn, ud);
}

int ml_result(ml_host *h, const char *id, const char *run_id, int wait, ml_reply_fn fn, void *ud)
{
    cJSON *a = target_args(id, run_id);
    if (wait) arg_add_true(a, "wait");
    return host_verb(h, "result", a, fn, ud);
}

int ml_list(ml_host *h, const char *filter_json, ml_reply_fn fn, void *ud)
{
    cJSON *a = cJSON_CreateObject();
    arg_add(a, "filter", filter_json);
    return host_verb(h, "list", a, fn, ud);
}

int ml_count(ml_host *h, const char *filter_json, ml_reply_fn fn, void *ud)
{
    cJSON *a = cJSON_CreateObject();
    arg_add(a, "filter", filter_json);
    return host_verb(h, "count", a, fn, ud);
}

int ml_delete(ml_host *h, const char *id, const char *run_id, ml_reply_fn fn, void *ud)
{
    return host_verb(h, "delete", target_args(id, run_id), fn, ud);
}

int ml_describe(ml_host *h, const char *id, const char *run_id, ml_reply_fn fn, void *ud)
{
    return host_verb(h, "describe", target_args(id, run_id), fn, ud);
}

int ml_history(ml_host *h, const char *id, const char *run_id, ml_reply_fn fn, void *ud)
{
    return host_verb(h, "history", target_args(id, run_id), fn, ud);
}

int ml_complete_activity(ml_host *h, const char *token, const char *json,
                         const char *failure_json_text, ml_reply_fn fn, void *ud)
{
    cJSON *a = cJSON_CreateObject();
    arg_add(a, "token", token);
    arg_add(a, "json", json);
    arg_add(a, "failure", failure_json_text);
    return host_verb(h, "complete_activity", a, fn, ud);
}

int ml_reset(ml_host *h, const char *id, const char *run_id, int64_t event_id_, const char *reason,
             ml_reply_fn fn, void *ud)
{
    cJSON *a = target_args(id, run_id);
    cJSON_AddNumberToObject(a, "eventId", (double)event_id_);
    arg_add(a, "reason", reason);
    add_request_id(h, a, NULL);
    return host_verb(h, "reset", a, fn, ud);
}

int ml_replay(ml_host *h, const char *history_json, const char *script_path, ml_reply_fn fn,
              void *ud)
{
    cJSON *a = cJSON_CreateObject();
    arg_add(a, "history", history_json);
    arg_add(a, "script", script_path);
    return host_verb(h, "replay", a, fn, ud);
}

int ml_ask(ml_host *h, const char *verb, const char *args_json, ml_reply_fn fn, void *ud)
{
    struct err e = {0};
    cJSON *a = arg_object(args_json ? args_json : "{}", "the arguments", &e);
    return a ? host_verb(h, verb, a, fn, ud) : host_fail(h, &e);
}

int ml_doctor(ml_host *h, ml_reply_fn fn, void *ud)
{
    return host_verb(h, "doctor", cJSON_CreateObject(), fn, ud);
}
