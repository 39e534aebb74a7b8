/* Loading scripts, plain programs of attached hosts, activities in C. */
#include "base/mem.h"
#include "host/host_internal.h"
#include "http/client.h"
#include <stdlib.h>

/* ---- what activity states get ---- */
static void env_print(void *ud, struct str line)
{
    ml_host *h = ud;
    char *text = str_dup(line);
    if (text) host_say(h, ML_EVENT_PRINT, "", text);
    mem_free(text);
}

struct env_request {
    void (*fn)(void *ud, int code, struct str json);
    void *ud;
};

static void env_answered(void *ud, const ml_reply *r)
{
    struct env_request *q = ud;
    q->fn(q->ud, r->code, str_of(r->code ? r->text : r->json ? r->json : "null"));
    mem_free(q);
}

/* ml.client gets all of a reply, as one JSON object. */
static void client_answered(void *ud, const ml_reply *r)
{
    struct env_request *q = ud;
    struct buf b;
    buf_init(&b, HOST_JSON_MAX);
    buf_printf(&b, "{\"code\":%d,\"existing\":%s", r->code, r->existing ? "true" : "false");
    const char *const texts[][2] = {{"text", r->text},
                                    {"workflowId", r->workflow_id},
                                    {"runId", r->run_id},
                                    {"nextPage", r->next_page},
                                    {"status", r->status}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!texts[i][1] || !*texts[i][1]) continue;
        buf_printf(&b, ",\"%s\":", texts[i][0]);
        buf_put_json(&b, str_of(texts[i][1]));
    }
    if (r->json) buf_printf(&b, ",\"json\":%s", r->json);
    if (r->failure_json) buf_printf(&b, ",\"failure\":%s", r->failure_json);
    buf_putc(&b, '}');
    q->fn(q->ud, b.code, b.code ? STR("the answer does not fit in memory") : buf_str(&b));
    buf_free(&b);
    mem_free(q);
}

/* A request of a script to the host is a verb with JSON arguments ("complete_activity" {token, json
 * | failure}); as "client.VERB" it is one of ml.client. */
static void env_request(void *ud, struct str verb, struct str json,
                        void (*fn)(void *, int, struct str), void *fn_ud)
{
    ml_host *h = ud;
    char name[64] = "";
    unsigned long refused = mem_refused();
    cJSON *args = cJSON_ParseWithLength(json.p, json.n);
    struct env_request *q = mem_zalloc(sizeof *q);
    static const char prefix[] = "client.";
    bool client = str_starts(verb, STR("client."));
    if (client) verb = str_make(verb.p + sizeof prefix - 1, verb.n - (sizeof prefix - 1));
    if (verb.n < sizeof name) memcpy(name, verb.p, verb.n);
    if (q) *q = (struct env_request){fn, fn_ud};
    if (!q || !args ||
        host_verb_owned(h, name, args, client ? client_answered : env_answered, q, mem_free)) {
        if (!args || !q) cJSON_Delete(args);
        mem_free(q);
        if (refused != mem_refused())
            fn(fn_ud, ERR_NOMEM, STR("out of memory"));
        else
            fn(fn_ud, ERR_ARG, STR("the host cannot do that"));
    }
}

void host_act_env(ml_host *h, struct act_env *env)
{
    *env = (struct act_env){.loop = h->loop,
                            .clock = &h->clock,
                            .entropy = &entropy_system,
                            .log = &h->log,
                            .http = &h->http,
                            .store = h->remote ? NULL : h->store,
                            .request = env_request,
                            .print = env_print,
                            .progress = follow_progress,
                            .ud = h,
                            .stdio = h->cfg.stdio != 0};
}

/* ---- answers ---- */
static void add_definition(void *ud, const struct act_definition *d, const char *path,
                           const char *digest)
{
    struct {
        const char *path;
        cJSON *list;
    } *x = ud;
    (void)digest;
    if (x->path && strcmp(path, x->path) != 0) return;
    cJSON *o = cJSON_CreateObject();
    char *name = str_dup(d->name), *queue = d->task_queue.n ? str_dup(d->task_queue) : NULL;
    arg_add(o, "kind", d->kind);
    arg_add(o, "name", name);
    arg_add(o, "taskQueue", queue);
    cJSON_AddNumberToObject(o, "line", d->line);
    if (!cJSON_AddItemToArray(x->list, o)) cJSON_Delete(o);
    mem_free(name);
    mem_free(queue);
}

static void load_free(struct hload *l)
{
    if (l->prev)
        l->prev->next = l->next;
    else
        l->h->loads = l->next;
    if (l->next) l->next->prev = l->prev;
    mem_free(l);
}

void host_loads_free(ml_host *h)
{
    while (h->loads)
        load_free(h->loads);
}

static void on_loaded(void *ud, const struct act_load_result *r, const char *path)
{
    struct hload *l = ud;
    ml_host *h = l->h;
    unsigned long refused = mem_refused();
    struct {
        const char *path;
        cJSON *list;
    } x = {path, cJSON_CreateArray()};
    bool program = r->kind == ACT_LOAD_PROGRAM;
    if (!r->err.code && !program) worker_definitions(h->worker, add_definition, &x);
    char *json = cJSON_PrintUnformatted(x.list);
    cJSON_Delete(x.list);
    ml_load_result out = {.code = r->err.code,
                          .is_program = program,
                          .exit_code = r->exit_code,
                          .text = r->err.text,
                          .definitions_json = json ? json : "[]"};
    if (!out.code && refused != mem_refused()) { /* it is loaded: to do it again is harmless */
        out.code = ML_E_NOMEM;
        out.text = "out of memory";
        out.definitions_json = "[]";
    }
    struct err kept = {0};
    serve_routes_changed(h);
    if (!r->err.code && !program && keeper_keep(h, &kept))
        log_printf(&h->log, LOG_WARN, "the text of %s is not kept: %s", path, kept.text);
    if (!r->err.code && !program && h->drive_all) mend_all(h);
    if (l->fn && !h->closing) l->fn(l->ud, &out);
    cJSON_free(json);
    load_free(l);
}

static int load_here(ml_host *h, const char *path, const char *const *args, size_t argc,
                     ml_load_fn fn, void *ud, struct err *e)
{
    struct hload *l = mem_zalloc(sizeof *l);
    if (!l) return err_set(e, ERR_NOMEM, "out of memory loading %s", path);
    *l = (struct hload){.h = h, .fn = fn, .ud = ud, .next = h->loads};
    if (l->next) l->next->prev = l;
    h->loads = l;
    int rc = worker_load(h->worker, path, args != NULL, args, argc, on_loaded, l, e);
    if (rc) load_free(l);
    return rc;
}

int ml_load(ml_host *h, const char *path, const char *const *program_args, size_t argc,
            ml_load_fn fn, void *ud)
{
    struct err e = {0};
    if (!path || !*path) return err_set(&h->last, ERR_ARG, "load: a path is missing");
    if (h->attach) return attach_load(h, path, program_args, argc, fn, ud);
    if (host_gone(h)) return ERR_CLOSED;
    int rc = h->remote ? remote_worker(h, &e) : 0;
    if (!rc) rc = load_here(h, path, program_args, argc, fn, ud, &e);
    return rc ? host_fail(h, &e) : ML_OK;
}

/* ---- the verb: a client on the socket asks ---- */
static void verb_loaded(void *ud, const ml_load_result *r)
{
    struct hcall *c = ud;
    ml_reply out = {.code = r->code, .text = r->text, .json = r->definitions_json};
    hcall_reply(c, &out);
}

int verb_load_run(struct hcall *c, struct err *e)
{
    const char *path = arg_str(c->args, "path");
    if (!path) return err_set(e, ERR_ARG, "load: a path is missing");
    return load_here(c->h, path, NULL, 0, verb_loaded, c, e);
}

/* ---- activities in C ---- */
static int c_activity_call(void *ud, uint64_t call, struct str input)
{
    struct c_activity *a = ud;
    char *json = str_dup(input);
    if (!json) return ERR_NOMEM;
    a->fn(a->ud, a->h, call, json);
    mem_free(json);
    return 0;
}

static int register_one(ml_host *h, struct c_activity *a, struct err *e)
{
    struct worker_c_activity w = {.name = a->name, .fn = c_activity_call, .ud = a};
    return worker_register_c(h->worker, &w, e);
}

void host_register_all(ml_host *h, struct err *e)
{
    if (resume_register(h, e)) log_printf(&h->log, LOG_ERROR, "%s", e->text);
    for (struct c_activity *a = h->c_acts; a; a = a->next)
        if (register_one(h, a, e)) log_printf(&h->log, LOG_ERROR, "%s", e->text);
    *e = (struct err){0};
}

int ml_register_activity(ml_host *h, const char *name, ml_activity_fn fn, void *ud)
{
    struct err e = {0};
    if (!name || !*name || !fn)
        return err_set(&h->last, ERR_ARG, "an activity in C needs a name and a function");
    struct c_activity *a = mem_zalloc(sizeof *a);
    char *copy = a ? str_dup(str_of(name)) : NULL;
    if (!copy) {
        mem_free(a);
        return err_set(&h->last, ERR_NOMEM, "out of memory registering activity '%s'", name);
    }
    *a = (struct c_activity){h, copy, fn, ud, h->c_acts};
    int rc = h->worker ? register_one(h, a, &e) : 0;
    if (rc) {
        mem_free(copy);
        mem_free(a);
        return host_fail(h, &e);
    }
    h->c_acts = a;
    return ML_OK;
}

static int done_failed(ml_host *h, int rc)
{
    return err_set(&h->last, rc, "%s",
                   rc == ERR_NOMEM
                       ? "out of memory: the call is still open, answer it again"
                       : "the call is gone: it was answered before, or its attempt has ended");
}

int ml_activity_done(ml_host *h, uint64_t call, const char *json, const char *failure_type,
                     int retryable)
{
    struct buf canon;
    struct err e = {0};
    int rc;
    if (!h->worker) return err_set(&h->last, ERR_CLOSED, "this host runs no activities");
    if (failure_type) {
        rc = worker_c_done(h->worker, call, ERR_FAILED, (struct str){0}, str_of(failure_type),
                           str_of(json ? json : ""), !retryable);
        return rc ? done_failed(h, rc) : ML_OK;
    }
    buf_init(&canon, 32u << 20);
    rc = json && *json ? value_canonical(str_of(json), &canon, &e) : 0;
    if (rc) {
        err_prefix(&e, "the activity's result is not JSON");
        host_fail(h, &e);
    } else if ((rc = worker_c_done(h->worker, call, 0, buf_str(&canon), (struct str){0},
                                   (struct str){0}, false)) != 0) {
        done_failed(h, rc);
    }
    buf_free(&canon);
    return rc;
}

/* ---- plain programs of an attached host: they need no engine ---- */
static void program_loaded(void *ud, const struct act_load_result *r)
{
    struct program *p = ud;
    bool program = r->kind == ACT_LOAD_PROGRAM;
    p->done = true;
    ml_load_result out = {.code = r->err.code,
                          .is_program = program,
                          .exit_code = r->exit_code,
                          .text = r->err.text,
                          .definitions_json = "[]"};
    if (p->fn && !p->h->closing) p->fn(p->ud, &out);
}

int program_start(ml_host *h, const char *path, const char *const *args, size_t argc, ml_load_fn fn,
                  void *ud, struct err *e)
{
    struct program *p = mem_zalloc(sizeof *p);
    if (!p) return err_set(e, ERR_NOMEM, "out of memory loading %s", path);
    p->h = h;
    p->fn = fn;
    p->ud = ud;
    host_act_env(h, &p->env);
    int rc = act_open(&p->env, path, true, args, argc, program_loaded, p, &p->act, e);
    if (rc) {
        mem_free(p);
        return rc;
    }
    p->next = h->programs;
    h->programs = p;
    return 0;
}

void program_step(ml_host *h, int64_t budget_ns, bool *more)
{
    for (struct program **at = &h->programs; *at;) {
        struct program *p = *at;
        if (act_ready(p->act) && act_step(p->act, budget_ns)) *more = true;
        if (p->done) {
            *at = p->next;
            act_close(p->act);
            mem_free(p);
        } else {
            at = &p->next;
        }
    }
}

void programs_free(ml_host *h)
{
    while (h->programs) {
        struct program *p = h->programs;
        h->programs = p->next;
        act_close(p->act);
        mem_free(p);
    }
}
