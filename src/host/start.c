/* Starting and going on. The rules of `resume` (as `moonloop run` uses it): without an id the one
 * open run of the same entry, workflow and input goes on, none is a new run, several are listed;
 * with an id an open run goes on, a closed one's result stands, and another input than the one it
 * was started with is refused. */
#include "base/mem.h"
#include "host/host_internal.h"
#include "temporal/client.h"
#include <stdio.h>
#include <stdlib.h>

struct start {
    struct str type, queue, id, run_id;
    char digest[SHA256_HEX], input_digest[SHA256_HEX];
    char *entry; /* real path, in the arena */
    struct rec *input;
    const char *status; /* of an existing run */
};

/* ---- which workflow ---- */
struct choice {
    ml_host *h;
    const char *script;
    const char *wanted;
    struct buf names;
    size_t n;
    char only[512];
    char script_of[4096];
    bool found;
};

static bool same_file(const char *a, const char *b)
{
    char ra[4096], rb[4096];
    return strcmp(a, b) == 0 || (realpath(a, ra) && realpath(b, rb) && strcmp(ra, rb) == 0);
}

static void base_name(const char *path, char *out, size_t n)
{
    const char *slash = strrchr(path, '/');
    snprintf(out, n, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(out, '.');
    if (dot) *dot = 0;
}

static void look(void *ud, const struct act_definition *d, const char *path, const char *digest)
{
    struct choice *x = ud;
    char base[512];
    (void)digest;
    if (strcmp(d->kind, "workflow") != 0 || (x->script && !same_file(x->script, path))) return;
    if (str_starts(d->name, STR("moonloop.")) && !(x->wanted && str_eqz(d->name, x->wanted)))
        return; /* an agent that is a tool: started by name only */
    buf_printf(&x->names, "%s" STR_FMT, x->n++ ? ", " : "", STR_ARG(d->name));
    base_name(path, base, sizeof base);
    bool named = x->wanted ? str_eqz(d->name, x->wanted) : str_eqz(d->name, base);
    if (named || x->n == 1) snprintf(x->only, sizeof x->only, STR_FMT, STR_ARG(d->name));
    if (named) x->found = true;
}

/* On a server any worker may have the workflow: no script is needed to name it. */
static int choose_remote(struct hcall *c, struct start *s, struct err *e)
{
    struct str digest, path, queue = {NULL, 0};
    s->type = arg_view(c->args, "workflow");
    if (c->h->worker && worker_knows_workflow(c->h->worker, s->type))
        worker_find_workflow(c->h->worker, s->type, &digest, &path, &queue, NULL, e);
    s->queue = queue.n ? arena_str(&c->arena, queue) : str_of(c->h->task_queue);
    return s->type.n ? 0 : err_set(e, ERR_ARG, "start: name a workflow or give a script");
}

static int choose(struct hcall *c, struct start *s, struct err *e)
{
    if (c->h->remote && !arg_str(c->args, "script")) return choose_remote(c, s, e);
    struct choice x = {
        .h = c->h, .script = arg_str(c->args, "script"), .wanted = arg_str(c->args, "workflow")};
    int rc = 0;
    buf_init(&x.names, 4096);
    if (c->h->worker) worker_definitions(c->h->worker, look, &x);
    const char *where = x.script ? x.script : "the loaded scripts";
    if (x.n == 0)
        rc = err_set(e, ERR_NOTFOUND, "%s defines no workflow%s", where,
                     x.script ? " (if it serves tools or routes, use `serve`)" : "");
    else if (x.wanted && !x.found)
        rc = err_set(e, ERR_NOTFOUND, "%s defines no workflow '%s'; it has: %s", where, x.wanted,
                     x.names.p);
    else if (!x.found && x.n > 1)
        rc =
            err_set(e, ERR_ARG, "%s defines several workflows: %s. Choose one with --workflow NAME",
                    where, x.names.p);
    buf_free(&x.names);
    if (rc) return rc;
    struct str digest, path, queue;
    s->type = arena_str(&c->arena, str_of(x.only));
    rc = worker_find_workflow(c->h->worker, s->type, &digest, &path, &queue, NULL, e);
    if (rc) return rc;
    char real[4096];
    snprintf(s->digest, sizeof s->digest, STR_FMT, STR_ARG(digest));
    s->queue = arena_str(&c->arena, queue);
    struct str p = arena_str(&c->arena, realpath(path.p, real) ? str_of(real) : path);
    s->entry = (char *)(uintptr_t)p.p;
    return p.p ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

/* ---- the text goes into the file before the start does ---- */
static int put_bundle(ml_host *h, const struct bundle *b, struct err *e)
{
    struct str *texts = mem_zalloc((b->n_modules + 1) * sizeof *texts);
    const char **shas = mem_zalloc((b->n_modules + 1) * sizeof *shas);
    int rc = texts && shas ? 0 : err_set(e, ERR_NOMEM, "out of memory storing the script");
    for (size_t i = 0; rc == 0 && i < b->n_modules; i++) {
        texts[i] = str_make(b->modules[i].text, b->modules[i].text_n);
        shas[i] = b->modules[i].sha;
    }
    if (rc == 0)
        rc = h->b->ops->bundle_put(h->b, b->digest, str_make(b->json, b->json_n), texts, shas,
                                   b->n_modules, e);
    mem_free(texts);
    mem_free(shas);
    return rc;
}

int host_put_bundle(ml_host *h, struct str digest, struct err *e)
{
    static char put;
    struct bundle *b = NULL;
    if (map_get(&h->bundles_put, digest)) return 0;
    int rc = worker_bundle(h->worker, digest, &b, e);
    if (rc) return rc;
    rc = put_bundle(h, b, e);
    bundle_unref(b);
    if (rc == 0)
        map_set(&h->bundles_put, digest,
                &put); /* without memory it is put again next time, which is harmless */
    return rc;
}

/* ---- replies ---- */
static void reply_existing(struct hcall *c, const char *status, const char *text)
{
    struct start *s = c->state;
    ml_reply r = {.workflow_id = s->id.p,
                  .run_id = s->run_id.p,
                  .status = status,
                  .text = text,
                  .existing = 1};
    hcall_reply(c, &r);
}

static void on_mended(struct hcall *c, bool goes_on, const char *text)
{
    reply_existing(c, goes_on ? "Running" : "Blocked", goes_on ? "" : text);
}

/* ERR_NOMEM: it is recorded, but not driven from here; who asks again with the same id gets that.
 */
static int drive_tree(ml_host *h, struct str tree, struct err *e)
{
    int rc = tree.n ? engine_drive_tree(h->engine, tree) : 0;
    if (rc) return err_set(e, rc, "out of memory: the run is recorded, but not driven; ask again");
    h->n_driven++;
    return 0;
}

static int drive(struct hcall *c, struct str tree, struct err *e)
{
    struct start *s = c->state;
    if (arg_bool(c->args, "drive") && c->h->remote && remote_follow(c->h, s->id))
        return err_set(e, ERR_NOMEM,
                       "out of memory: the run goes on, but its progress is not shown");
    if (!arg_bool(c->args, "drive") || !tree.n || !c->h->engine) return 0;
    return drive_tree(c->h, tree, e);
}

/* What an engine tells of a run. */
static cJSON *described(const struct backend_reply *r, struct err *e)
{
    cJSON *j = r->err.code ? NULL : cJSON_ParseWithLength(r->json.p, r->json.n);
    *e = r->err;
    if (!j && !e->code) err_set(e, ERR_NOMEM, "out of memory");
    return j;
}

/* An open run goes on; a blocked one is tried on the text on disk first. (A server gives a failing
 * task again by itself, with the text that is here now.) */
static void on_open_described(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    struct start *s = c->state;
    struct err e;
    cJSON *j = described(r, &e);
    struct str tree = arg_view(j, "tree");
    if (e.code || drive(c, tree.n ? tree : s->run_id, &e))
        hcall_fail_err(c, &e);
    else if (arg_bool(j, "blocked") && !c->h->remote)
        mend_run(c, s->id, s->run_id, s->type, on_mended);
    else
        reply_existing(c, "Running", "");
    cJSON_Delete(j);
}

static void go_on(struct hcall *c)
{
    struct start *s = c->state;
    struct backend_target t = {s->id, (struct str){0}};
    c->h->b->ops->describe(c->h->b, &t, on_open_described, c);
}

/* ---- a new run ---- */
static int enum_of(const char *v, const char *const *names, int n, const char *what, struct err *e)
{
    for (int i = 0; v && i < n; i++)
        if (strcmp(v, names[i]) == 0) return i;
    if (v)
        err_set(e, ERR_ARG, "start: %s '%s' is not known; use %s, %s or %s", what, v, names[0],
                names[1], names[2]);
    return 0;
}

static struct rec *retry_of(struct arena *a, const cJSON *j, struct err *e)
{
    struct rec *r = rec_new(a, &rec_type_retry_policy);
    const cJSON *b = cJSON_GetObjectItemCaseSensitive(j, "backoff"),
                *n = cJSON_GetObjectItemCaseSensitive(j, "maxAttempts"), *t;
    if (b && !cJSON_IsNull(b) &&
        !(cJSON_IsNumber(b) && b->valuedouble >= 1 && b->valuedouble <= 1000))
        err_set(e, ERR_ARG, "retry.backoff must be a number from 1 to 1000");
    if (n && !cJSON_IsNull(n) &&
        !(cJSON_IsNumber(n) && n->valuedouble >= 0 && n->valuedouble <= INT32_MAX))
        err_set(e, ERR_ARG, "retry.maxAttempts must be a whole number, 0 (no limit) or more");
    if (e->code) return r;
    rec_set_int(r, T(retry_policy, maximum_attempts), arg_i64(j, "maxAttempts"));
    rec_set_int(r, T(retry_policy, initial_interval),
                duration_of(cJSON_GetObjectItemCaseSensitive(j, "initial"), e, "retry.initial"));
    rec_set_int(r, T(retry_policy, maximum_interval),
                duration_of(cJSON_GetObjectItemCaseSensitive(j, "max"), e, "retry.max"));
    rec_set_double(r, T(retry_policy, backoff_coefficient),
                   cJSON_IsNumber(b) ? b->valuedouble : 2.0);
    cJSON_ArrayForEach(t,
                       cJSON_GetObjectItemCaseSensitive(j, "nonRetryable")) if (cJSON_IsString(t))
        rec_add_str(r, T(retry_policy, non_retryable_error_types),
                    arena_str(a, str_of(t->valuestring)));
    retry_settle(r);
    return r;
}

static struct rec *json_payload(struct arena *a, const char *text)
{
    cJSON *j = cJSON_CreateString(text);
    char *json = cJSON_PrintUnformatted(j);
    struct rec *p = payload_new(a, PAYLOAD_JSON, arena_str(a, str_of(json)));
    cJSON_free(json);
    cJSON_Delete(j);
    return p;
}

/* What only a Temporal server knows. */
static int read_remote_options(struct hcall *c, const cJSON *j, struct backend_start *b,
                               struct err *e)
{
    struct arena *a = &c->arena;
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(j, "version"),
                *priority = cJSON_GetObjectItemCaseSensitive(j, "priority");
    const char *summary = arg_str(j, "summary"), *details = arg_str(j, "details");
    b->task_timeout_ns =
        duration_of(cJSON_GetObjectItemCaseSensitive(j, "taskTimeout"), e, "taskTimeout");
    if (summary || details) {
        struct rec *m = rec_new(a, &rec_type_user_metadata);
        if (summary) rec_set_msg(m, T(user_metadata, summary), json_payload(a, summary));
        if (details) rec_set_msg(m, T(user_metadata, details), json_payload(a, details));
        b->user_metadata = m;
    }
    if (cJSON_IsObject(priority)) {
        struct rec *p = rec_new(a, &rec_type_priority);
        const cJSON *weight = cJSON_GetObjectItemCaseSensitive(priority, "weight");
        rec_set_int(p, T(priority, priority_key), arg_i64(priority, "key"));
        rec_set_copy(p, T(priority, fairness_key), arg_view(priority, "fairnessKey"));
        if (cJSON_IsNumber(weight))
            rec_set_double(p, T(priority, fairness_weight), weight->valuedouble);
        b->priority = p;
    }
    if (!version || cJSON_IsNull(version)) return e->code;
    if (!c->h->remote)
        return err_set(e, ERR_UNSUPPORTED, "start: versions of deployments need a Temporal server");
    struct rec *o = rec_new(a, &rec_type_versioning_override);
    if (cJSON_IsString(version) && strcmp(version->valuestring, "auto_upgrade") == 0) {
        rec_set_int(o, T(versioning_override, auto_upgrade), 1);
    } else if (arg_str(version, "deployment") && arg_str(version, "build")) {
        struct rec *pin = rec_sub(o, T(versioning_override, pinned));
        struct rec *v = rec_sub(pin, T(versioning_override_pinned_override, version));
        rec_set_int(pin, T(versioning_override_pinned_override, behavior),
                    PINNED_OVERRIDE_BEHAVIOR_PINNED);
        rec_set_copy(v, T(worker_deployment_version, deployment_name),
                     arg_view(version, "deployment"));
        rec_set_copy(v, T(worker_deployment_version, build_id), arg_view(version, "build"));
    } else {
        return err_set(e, ERR_ARG,
                       "start: version is {deployment, build} or the text \"auto_upgrade\"");
    }
    b->versioning_override = o;
    return e->code;
}

static int read_options(struct hcall *c, struct backend_start *b, struct err *e)
{
    static const char *const conflict[] = {"fail", "use_existing", "terminate"}, *const reuse[] = {
                                                                                     "allow",
                                                                                     "failed_only",
                                                                                     "reject"};
    const char *text = arg_str(c->args, "options");
    if (!text) return 0;
    cJSON *j = arg_object(text, "start: the options", e);
    if (!j) return e->code;
    const cJSON *signal = cJSON_GetObjectItemCaseSensitive(j, "signal");
    struct rec *signal_input = NULL;
    if (arg_str(signal, "name")) {
        b->signal_name = arena_str(&c->arena, arg_view(signal, "name"));
        payloads_of_value(&c->arena, arg_str(signal, "input"), &signal_input, e);
        b->signal_input = signal_input;
    }
    const cJSON *memo = cJSON_GetObjectItemCaseSensitive(j, "memo"),
                *sa = cJSON_GetObjectItemCaseSensitive(j, "searchAttributes"),
                *retry = cJSON_GetObjectItemCaseSensitive(j, "retry");
    if (arg_str(j, "taskQueue")) b->task_queue = arena_str(&c->arena, arg_view(j, "taskQueue"));
    const cJSON *cron = cJSON_GetObjectItemCaseSensitive(j, "cron");
    if (cron && !cJSON_IsNull(cron) && !cJSON_IsString(cron))
        err_set(e, ERR_ARG, "cron must be a text such as \"0 9 * * 1-5\"");
    if (arg_str(j, "cron")) b->cron = arena_str(&c->arena, arg_view(j, "cron"));
    if (cJSON_IsObject(memo))
        b->memo = payload_map(&c->arena, &rec_type_memo, T(memo, fields), memo);
    if (cJSON_IsObject(sa))
        b->search_attributes = payload_map(&c->arena, &rec_type_search_attributes,
                                           T(search_attributes, indexed_fields), sa);
    if (cJSON_IsObject(retry)) b->retry_policy = retry_of(&c->arena, retry, e);
    b->execution_timeout_ns =
        duration_of(cJSON_GetObjectItemCaseSensitive(j, "executionTimeout"), e, "executionTimeout");
    b->run_timeout_ns =
        duration_of(cJSON_GetObjectItemCaseSensitive(j, "runTimeout"), e, "runTimeout");
    b->start_delay_ns =
        duration_of(cJSON_GetObjectItemCaseSensitive(j, "startDelay"), e, "startDelay");
    b->on_open = (enum backend_id_conflict)enum_of(arg_str(j, "idConflictPolicy"), conflict, 3,
                                                   "idConflictPolicy", e);
    b->on_closed =
        (enum backend_id_reuse)enum_of(arg_str(j, "idReusePolicy"), reuse, 3, "idReusePolicy", e);
    read_remote_options(c, j, b, e);
    cJSON_Delete(j);
    return e->code;
}

static void on_started(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    struct start *s = c->state;
    ml_host *h = c->h;
    if (r->err.code) {
        hcall_fail_err(c, &r->err);
        return;
    }
    struct err e;
    s->run_id = arena_str(&c->arena, r->run_id);
    int rc = s->run_id.p ? drive(c, r->run_id, &e) : err_set(&e, ERR_NOMEM, "out of memory");
    if (rc) {
        hcall_fail_err(c, &e);
        return;
    }
    ml_reply out = {.workflow_id = s->id.p,
                    .run_id = s->run_id.p,
                    .status = "Running",
                    .existing = r->existing};
    if (!h->drive_all && !arg_bool(c->args, "drive") && !h->remote)
        out.text = "recorded; it is run by `moonloop run` or a process that drives this file";
    hcall_reply(c, &out);
}

static int start_updated(struct hcall *c, const struct backend_start *b, struct err *e)
{
    struct rec *args = NULL;
    if (!c->h->remote)
        return err_set(e, ERR_UNSUPPORTED,
                       "an update with its start in one request needs a Temporal server");
    int rc = payloads_of_args(&c->arena, arg_view(c->args, "args"), &args, e);
    if (!rc)
        client_update_with_start(c->h->b, b, arg_view(c->args, "updateId"),
                                 arg_view(c->args, "updateName"), args, UPDATE_COMPLETED,
                                 host_answer_update, c);
    return rc;
}

static int start_new(struct hcall *c, struct err *e)
{
    struct start *s = c->state;
    struct str request = arg_view(c->args, "requestId");
    if (!s->id.n) { /* made from the request, so that the same request sent to a second owner means
                       the same run */
        uint8_t sum[SHA256_BYTES];
        char hex[13], made[37];
        if (!request.n && uuid_v7(&entropy_system, clock_wall(&c->h->clock), made) == 0)
            request = arena_str(&c->arena, str_of(made));
        hash_sha256(request, sum);
        hex_encode(sum, 6, hex);
        s->id = arena_printf(&c->arena, STR_FMT "-%s", STR_ARG(s->type), hex);
    }
    int rc = c->h->remote ? 0 : host_put_bundle(c->h, str_of(s->digest), e);
    if (rc) return rc;
    struct backend_start b = {.request_id = request,
                              .workflow_id = s->id,
                              .workflow_type = s->type,
                              .task_queue = s->queue,
                              .input = s->input,
                              .bundle_digest = str_of(s->digest),
                              .entry = str_of(s->entry),
                              .identity = str_of(c->h->identity)};
    rc = read_options(c, &b, e);
    if (rc) return rc;
    if (arena_failed(&c->arena)) return err_set(e, ERR_NOMEM, "out of memory");
    if (arg_bool(c->args, "drive") && c->h->remote && remote_follow(c->h, s->id))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (arg_str(c->args, "updateName")) return start_updated(c, &b, e);
    c->h->b->ops->start(c->h->b, &b, on_started, c);
    return 0;
}

/* ---- resuming ---- */
struct found {
    struct hcall *c;
    struct buf ids;
    size_t n;
};

static void on_found(void *ud, struct str workflow_id, struct str run_id)
{
    struct found *f = ud;
    struct start *s = f->c->state;
    if (f->n++ == 0) {
        s->id = arena_str(&f->c->arena, workflow_id);
        s->run_id = arena_str(&f->c->arena, run_id);
    }
    buf_printf(&f->ids, "%s" STR_FMT, f->n > 1 ? ", " : "", STR_ARG(workflow_id));
}

static int resume_unnamed(struct hcall *c, struct err *e)
{
    struct start *s = c->state;
    struct found f = {.c = c};
    buf_init(&f.ids, 2048);
    int rc = engine_find_open(c->h->engine, str_of(s->entry), s->type, str_of(s->input_digest),
                              on_found, &f, e);
    if (rc == 0 && f.n > 1)
        rc = err_set(e, ERR_ARG,
                     "several runs of " STR_FMT
                     " with this input are open: %s. Choose one with --id ID",
                     STR_ARG(s->type), f.ids.p ? f.ids.p : "");
    buf_free(&f.ids);
    if (rc) return rc;
    if (f.n == 1) {
        go_on(c);
        return 0;
    }
    return start_new(c, e);
}

static void on_closed_result(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    struct start *s = c->state;
    if (r->err.code) {
        hcall_fail_err(c, &r->err);
        return;
    }
    if (r->status == RUN_RUNNING) { /* the chain went on */
        go_on(c);
        return;
    }
    struct buf json, failure;
    buf_init(&json, HOST_JSON_MAX);
    buf_init(&failure, HOST_JSON_MAX);
    ml_reply out = {.workflow_id = s->id.p,
                    .run_id = s->run_id.p,
                    .status = status_name(r->status),
                    .existing = 1};
    if (r->failure && failure_json(r->failure, &failure) == 0) out.failure_json = failure.p;
    if (r->status == RUN_COMPLETED && payload_json(r->result, &json) == 0) out.json = json.p;
    hcall_reply(c, &out);
    buf_free(&json);
    buf_free(&failure);
}

/* The first event of the chain tells what the id was started with. */
static void on_first_event(struct hcall *c, struct history *x, const struct err *fetch_error)
{
    struct err e = *fetch_error;
    const struct rec *attrs = x->n ? event_attrs(x->events[0]) : NULL;
    struct rec *input = rec_msg(attrs, T(ev_workflow_execution_started, input));
    struct str type = rec_str(rec_msg(attrs, T(ev_workflow_execution_started, workflow_type)),
                              T(workflow_type, name));
    uint8_t sum[SHA256_BYTES];
    char hex[SHA256_HEX];
    history_drop(c, x);
    struct start *s = c->state;
    payloads_digest(input, sum);
    hex_encode(sum, sizeof sum, hex);
    if (!e.code && !str_eq(type, s->type))
        err_set(&e, ERR_EXISTS,
                "the id '" STR_FMT "' is a run of workflow " STR_FMT ", not of " STR_FMT
                "; use another --id",
                STR_ARG(s->id), STR_ARG(type), STR_ARG(s->type));
    if (!e.code && strcmp(hex, s->input_digest) != 0)
        err_set(&e, ERR_EXISTS,
                "the run '" STR_FMT "' was started with another input; use the same input to go on "
                "with it, or another --id for a new one",
                STR_ARG(s->id));
    if (e.code) {
        hcall_fail_err(c, &e);
    } else if (s->status) {
        struct backend_target t = {s->id, (struct str){0}};
        c->h->b->ops->result(c->h->b, &t, false, on_closed_result, c);
    } else {
        go_on(c);
    }
}

static void on_named_described(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    struct start *s = c->state;
    struct err e = r->err;
    if (e.code == ERR_NOTFOUND) {
        e = (struct err){0};
        if (start_new(c, &e)) hcall_fail_err(c, &e);
        return;
    }
    cJSON *j = described(r, &e);
    const char *status = arg_str(j, "status");
    struct str first = arg_view(j, "firstRunId");
    bool open = status && strcmp(status, "Running") == 0;
    s->run_id = arena_str(&c->arena, r->run_id.n ? r->run_id : arg_view(j, "runId"));
    s->status = open ? NULL : arena_str(&c->arena, str_of(status)).p;
    if (!e.code && arena_failed(&c->arena)) err_set(&e, ERR_NOMEM, "out of memory");
    if (e.code) {
        hcall_fail_err(c, &e);
        cJSON_Delete(j);
        return;
    }
    history_fetch(c, s->id, first.n ? first : s->run_id, true, on_first_event);
    cJSON_Delete(j);
}

int verb_start_run(struct hcall *c, struct err *e)
{
    uint8_t sum[SHA256_BYTES];
    struct start *s = arena_alloc(&c->arena, sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "out of memory");
    c->state = s;
    int rc = choose(c, s, e);
    if (rc == 0) rc = payloads_of_value(&c->arena, arg_str(c->args, "input"), &s->input, e);
    if (rc) return rc;
    payloads_digest(s->input, sum);
    hex_encode(sum, sizeof sum, s->input_digest);
    s->id = arg_view(c->args, "id");
    if (!arg_bool(c->args, "resume") || (c->h->remote && !s->id.n)) return start_new(c, e);
    if (!s->id.n) return resume_unnamed(c, e);
    struct backend_target t = {s->id, (struct str){0}};
    c->h->b->ops->describe(c->h->b, &t, on_named_described, c);
    return 0;
}

/* ---- drive ---- */
static void on_drive_described(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    struct err e;
    cJSON *j = described(r, &e);
    struct str tree = arg_view(j, "tree");
    int rc = e.code ? e.code : drive_tree(c->h, tree.n ? tree : r->run_id, &e);
    cJSON_Delete(j);
    ml_reply out = {0};
    if (rc)
        hcall_fail_err(c, &e);
    else
        hcall_reply(c, &out);
}

int verb_drive_run(struct hcall *c, struct err *e)
{
    struct backend_target t = {arg_view(c->args, "id"), (struct str){0}};
    if (!t.workflow_id.n) return err_set(e, ERR_ARG, "drive: id is missing");
    if (!c->h->engine) return err_set(e, ERR_UNSUPPORTED, "a server's workers drive its runs");
    c->h->b->ops->describe(c->h->b, &t, on_drive_described, c);
    return 0;
}

void ml_drive(ml_host *h, const char *workflow_id)
{
    cJSON *a = cJSON_CreateObject();
    if (workflow_id) {
        arg_add(a, "id", workflow_id);
        host_verb(h, "drive", a, NULL, NULL);
        return;
    }
    cJSON_Delete(a);
    h->drive_all = true;
    if (h->engine) {
        engine_drive_all(h->engine);
        mend_all(h);
    }
}
