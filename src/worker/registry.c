/* What the loaded scripts define. Keeps true: a name is defined by one script only (the newest
 * state of a file replaces the older one, which ends with its last call), and the engine always
 * knows the queues and types that are served now. */
#include "base/mem.h"
#include "worker/worker_internal.h"
#include <stdlib.h>

#define SERVE_AGAIN_NS (20 * NS_PER_MS)

/* ---- hooks handed to each activity state: they find the worker through the script ---- */
static void hook_sleep_wake(void *ud);
struct w_sleep {
    struct worker *w;
    void (*fn)(void *ud);
    void *ud;
    uint64_t backend_id, id;
    bool idle;
    struct w_sleep *prev, *next;
};

static void sleep_free(struct w_sleep *x)
{
    if (x->prev)
        x->prev->next = x->next;
    else
        x->w->sleeps = x->next;
    if (x->next) x->next->prev = x->prev;
    idmap_del(&x->w->sleep_ids, x->id);
    if (x->idle) x->w->n_sleeping--;
    mem_free(x);
}

static void hook_sleep_until(void *ud, int64_t due_ns, bool idle, void (*fn)(void *ud), void *fn_ud,
                             uint64_t *id)
{
    struct w_script *s = ud;
    struct w_sleep *x = mem_zalloc(sizeof *x);
    uint64_t slot = x ? idmap_add(&s->w->sleep_ids, x) : 0;
    *id = 0;
    if (!slot) {
        mem_free(x);
        return;
    }
    *x = (struct w_sleep){
        .w = s->w, .fn = fn, .ud = fn_ud, .id = slot, .idle = idle, .next = s->w->sleeps};
    if (x->next) x->next->prev = x;
    s->w->sleeps = x;
    if (idle) s->w->n_sleeping++;
    s->w->b->ops->sleep_until(s->w->b, due_ns, idle, hook_sleep_wake, x, &x->backend_id);
    if (x->backend_id)
        *id = slot;
    else
        sleep_free(x);
}

static void hook_sleep_wake(void *ud)
{
    struct w_sleep *x = ud;
    struct worker *w = x->w;
    void (*fn)(void *) = x->fn;
    void *fn_ud = x->ud;
    sleep_free(x);
    fn(fn_ud);
    w_ready(w);
}

static void hook_sleep_cancel(void *ud, uint64_t id)
{
    struct w_script *s = ud;
    struct w_sleep *x = idmap_get(&s->w->sleep_ids, id);
    if (!x) return;
    s->w->b->ops->sleep_cancel(s->w->b, x->backend_id);
    sleep_free(x);
}

/* Forgets all sleeps: the engine that kept them is being replaced or closed. */
void w_sleeps_drop(struct worker *w)
{
    while (w->sleeps) {
        w->b->ops->sleep_cancel(w->b, w->sleeps->backend_id);
        sleep_free(w->sleeps);
    }
}

static int64_t hook_now(void *ud)
{
    struct w_script *s = ud;
    return s->w->b->ops->now_ns(s->w->b);
}

static void hook_heartbeat(void *ud, uint64_t call, const struct rec *details)
{
    struct w_script *s = ud;
    int64_t key = (int64_t)call;
    struct w_call *c = map_get(&s->calls, map_i64(&key));
    if (c) w_call_heartbeat(c, details);
}

static void hook_request(void *ud, struct str verb, struct str json,
                         void (*fn)(void *, int, struct str), void *fn_ud)
{
    struct w_script *s = ud;
    s->w->o.env.request(s->w->o.env.ud, verb, json, fn, fn_ud);
}

static void hook_print(void *ud, struct str line)
{
    struct w_script *s = ud;
    s->w->o.env.print(s->w->o.env.ud, line);
}

static void hook_progress(void *ud, const struct act_call *call, struct str json)
{
    struct w_script *s = ud;
    s->w->o.env.progress(s->w->o.env.ud, call, json);
}

static void script_env(struct w_script *s)
{
    s->env = s->w->o.env;
    s->env.ud = s;
    s->env.sleep_until = hook_sleep_until;
    s->env.sleep_cancel = hook_sleep_cancel;
    s->env.now_ns = hook_now;
    s->env.heartbeat = hook_heartbeat;
    s->env.request = s->w->o.env.request ? hook_request : NULL;
    s->env.print = s->w->o.env.print ? hook_print : NULL;
    s->env.progress = s->w->o.env.progress ? hook_progress : NULL;
}

/* ---- loading ---- */
static void script_free(struct w_script *s)
{
    if (s->act) act_close(s->act);
    if (s->bundle) bundle_unref(s->bundle);
    map_free(&s->calls);
    mem_free(s->path);
    mem_free(s->real);
    mem_free(s);
}

static bool same_space(const char *a, const char *b)
{
    bool wa = strcmp(a, "workflow") == 0, wb = strcmp(b, "workflow") == 0;
    return wa == wb;
}

static bool same_file(const struct w_script *a, const struct w_script *b)
{
    return strcmp(a->real, b->real) == 0;
}

/* moonloop's own activities ("moonloop.model") are defined by every script that has agents. */
static bool own_name(struct str name)
{
    return str_starts(name, STR("moonloop."));
}

/* Another file's definition of the same name, or of a C activity. */
static int find_conflict(struct worker *w, const struct w_script *s, struct err *e)
{
    const struct act_definition *mine, *theirs;
    size_t n = act_definitions(s->act, &mine);
    for (size_t i = 0; i < n; i++) {
        if (!mine[i].has_function || own_name(mine[i].name)) continue;
        if (strcmp(mine[i].kind, "workflow") != 0 && w_find_c(w, mine[i].name))
            return err_set(e, ERR_EXISTS,
                           "%s:%d: activity '" STR_FMT
                           "' is registered by the host program already; rename one of them",
                           s->path, mine[i].line, STR_ARG(mine[i].name));
        for (struct w_script *o = w->scripts; o; o = o->next) {
            if (o == s || o->loading || o->failed || o->retired || same_file(o, s)) continue;
            size_t m = act_definitions(o->act, &theirs);
            for (size_t j = 0; j < m; j++)
                if (theirs[j].has_function && str_eq(mine[i].name, theirs[j].name) &&
                    same_space(mine[i].kind, theirs[j].kind))
                    return err_set(e, ERR_EXISTS,
                                   "%s '" STR_FMT "' is defined in %s:%d and in %s:%d; rename one "
                                   "of them, or load one of the scripts only",
                                   mine[i].kind, STR_ARG(mine[i].name), o->path, theirs[j].line,
                                   s->path, mine[i].line);
        }
    }
    return 0;
}

/* Another file's route for the same requests. */
static int find_route_conflict(struct worker *w, const struct w_script *s, struct err *e)
{
    struct http_router all;
    int code = 0;
    http_router_init(&all);
    for (struct w_script *o = w->scripts; o && code == 0; o = o->next) {
        if (o == s || o->loading || o->failed || o->retired || same_file(o, s)) continue;
        const struct http_router *r = act_routes(o->act);
        for (size_t i = 0; i < r->n && code == 0; i++)
            code = http_router_add(&all, r->routes[i].method, r->routes[i].pattern, NULL, e);
    }
    const struct http_router *mine = act_routes(s->act);
    for (size_t i = 0; i < mine->n && code == 0; i++)
        code = http_router_add(&all, mine->routes[i].method, mine->routes[i].pattern, NULL, e);
    if (code == ERR_EXISTS) err_prefix(e, "%s: another script has the route", s->path);
    http_router_free(&all);
    return code;
}

static void on_loaded(void *ud, const struct act_load_result *r)
{
    struct w_script *s = ud;
    struct worker *w = s->w;
    struct act_load_result res = *r;
    s->loading = false;
    if (res.err.code || res.kind == ACT_LOAD_PROGRAM) {
        s->failed = true;
    } else if (find_conflict(w, s, &res.err) || find_route_conflict(w, s, &res.err)) {
        s->failed = true;
    } else if ((s->bundle = act_bundle(s->act)) == NULL || w_serve(w)) {
        err_set(&res.err, ERR_NOMEM, "out of memory loading %s", s->path);
        s->failed = true;
    } else {
        bool older = false;
        for (struct w_script *o = w->scripts; o; o = o->next) {
            if (o == s || o->loading || !same_file(o, s)) continue;
            o->retired = true;
            older = true;
        }
        if (older) w_serve(w); /* without what the older text alone defined */
    }
    if (s->fn) s->fn(s->ud, &res, s->path);
    w_ready(w);
}

static void on_act_ready(void *ud)
{
    struct w_script *s = ud;
    w_ready(s->w);
}

int worker_load(struct worker *w, const char *path, bool allow_program, const char *const *args,
                size_t n_args, worker_load_fn fn, void *ud, struct err *e)
{
    int rc = 0;
    if (w->stopping)
        return err_set(e, ERR_CLOSED, "the worker is stopping: %s is not loaded", path);
    struct w_script *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "out of memory loading %s", path);
    map_init(&s->calls);
    s->w = w;
    s->fn = fn;
    s->ud = ud;
    char real[4096];
    s->path = str_dup(str_of(path));
    s->real = str_dup(str_of(realpath(path, real) ? real : path));
    if (!s->path || !s->real) {
        rc = err_set(e, ERR_NOMEM, "out of memory loading %s", path);
        goto out;
    }
    script_env(s);
    s->loading = true;
    rc = act_open(&s->env, path, allow_program, args, n_args, on_loaded, s, &s->act, e);
    if (rc) goto out;
    act_on_ready(s->act, on_act_ready, s);
    struct w_script **at = &w->scripts;
    while (*at)
        at = &(*at)->next;
    *at = s;
    w_ready(w);
    return 0;
out:
    script_free(s);
    return rc;
}

bool w_step_scripts(struct worker *w, int64_t budget_ns)
{
    bool more = false;
    for (struct w_script *s = w->scripts; s; s = s->next)
        if (s->act && act_ready(s->act) && act_step(s->act, budget_ns)) more = true;
    return more;
}

void w_reap_scripts(struct worker *w)
{
    for (struct w_script **at = &w->scripts; *at;) {
        struct w_script *s = *at;
        if ((s->failed || s->retired) && act_running(s->act) == 0 && s->calls.n == 0) {
            *at = s->next;
            script_free(s);
        } else {
            at = &s->next;
        }
    }
}

void w_close_scripts(struct worker *w)
{
    while (w->scripts) {
        struct w_script *s = w->scripts;
        w->scripts = s->next;
        script_free(s);
    }
}

/* ---- looking up ---- */
static bool usable(const struct w_script *s)
{
    return !s->loading && !s->failed && !s->retired;
}

static const struct act_definition *find_in(const struct w_script *s, struct str name,
                                            bool workflow, bool with_function)
{
    const struct act_definition *d;
    size_t n = act_definitions(s->act, &d);
    for (size_t i = 0; i < n; i++)
        if (str_eq(d[i].name, name) && (strcmp(d[i].kind, "workflow") == 0) == workflow &&
            (d[i].has_function || !with_function))
            return &d[i];
    return NULL;
}

struct w_script *w_find_activity(struct worker *w, struct str type, struct str workflow_type)
{
    struct w_script *found = NULL;
    bool own = own_name(type); /* one of ours belongs to the script that defines the workflow */
    for (struct w_script *s = w->scripts; s; s = s->next) {
        if (!usable(s) || !find_in(s, type, false, true)) continue;
        if (!own || find_in(s, workflow_type, true, false)) return s;
        if (!found) found = s;
    }
    return found;
}

const struct w_c_activity *w_find_c(struct worker *w, struct str type)
{
    for (size_t i = 0; i < w->n_c_acts; i++)
        if (str_eqz(type, w->c_acts[i].name)) return &w->c_acts[i];
    return NULL;
}

void worker_definitions(struct worker *w,
                        void (*each)(void *ud, const struct act_definition *d, const char *path,
                                     const char *digest),
                        void *ud)
{
    const struct act_definition *d;
    for (struct w_script *s = w->scripts; s; s = s->next) {
        if (!usable(s)) continue;
        size_t n = act_definitions(s->act, &d);
        for (size_t i = 0; i < n; i++)
            each(ud, &d[i], s->path, s->bundle ? s->bundle->digest : "");
    }
}

struct act_host *worker_script(struct worker *w, struct str path)
{
    for (struct w_script *s = w->scripts; s; s = s->next)
        if (usable(s) && (str_eqz(path, s->path) || (s->real && str_eqz(path, s->real))))
            return s->act;
    return NULL;
}

void worker_routes(struct worker *w,
                   void (*each)(void *ud, struct act_host *act, const struct http_route *route),
                   void *ud)
{
    for (struct w_script *s = w->scripts; s; s = s->next) {
        const struct http_router *r = usable(s) ? act_routes(s->act) : NULL;
        for (size_t i = 0; r && i < r->n; i++)
            each(ud, s->act, &r->routes[i]);
    }
}

static int not_found(struct worker *w, struct str type, struct err *e)
{
    struct buf known;
    const struct act_definition *d;
    buf_init(&known, 500);
    for (struct w_script *s = w->scripts; s; s = s->next) {
        size_t n = usable(s) ? act_definitions(s->act, &d) : 0;
        for (size_t i = 0; i < n; i++)
            if (strcmp(d[i].kind, "workflow") == 0)
                buf_printf(&known, "%s" STR_FMT, known.n ? ", " : "", STR_ARG(d[i].name));
    }
    if (known.n)
        err_set(e, ERR_NOTFOUND, "no workflow '" STR_FMT "' in the loaded scripts; they define: %s",
                STR_ARG(type), known.p);
    else
        err_set(e, ERR_NOTFOUND, "no workflow '" STR_FMT "': the loaded scripts define none",
                STR_ARG(type));
    buf_free(&known);
    return ERR_NOTFOUND;
}

int worker_find_workflow(struct worker *w, struct str type, struct str *digest, struct str *path,
                         struct str *task_queue, struct str *options_json, struct err *e)
{
    for (struct w_script *s = w->scripts; s; s = s->next) {
        const struct act_definition *d = usable(s) ? find_in(s, type, true, false) : NULL;
        if (!d) continue;
        if (digest) *digest = str_of(s->bundle->digest);
        if (path) *path = str_of(s->path);
        if (task_queue) *task_queue = d->task_queue.n ? d->task_queue : str_of(w->task_queue);
        if (options_json) *options_json = d->options_json;
        return 0;
    }
    return not_found(w, type, e);
}

enum backend_versioning w_versioning(const struct worker *w, struct str type)
{
    for (const struct w_script *s = w->scripts; s; s = s->next) {
        const struct act_definition *d = usable(s) ? find_in(s, type, true, false) : NULL;
        if (d && str_eqz(d->versioning, "pinned")) return VERSIONING_PINNED;
        if (d && str_eqz(d->versioning, "auto_upgrade")) return VERSIONING_AUTO_UPGRADE;
    }
    return VERSIONING_DEFAULT;
}

bool worker_knows_workflow(const struct worker *w, struct str type)
{
    for (const struct w_script *s = w->scripts; s; s = s->next)
        if (usable(s) && find_in(s, type, true, false)) return true;
    return false;
}

/* ---- C activities ---- */
int worker_register_c(struct worker *w, const struct worker_c_activity *a, struct err *e)
{
    struct str name = str_of(a->name);
    if (!name.n || !a->fn)
        return err_set(e, ERR_ARG, "an activity in C needs a name and a function");
    if (w_find_c(w, name))
        return err_set(e, ERR_EXISTS, "activity '%s' is registered already", a->name);
    struct w_script *s = w_find_activity(w, name, (struct str){NULL, 0});
    if (s)
        return err_set(e, ERR_EXISTS, "activity '%s' is defined in %s already; rename one of them",
                       a->name, s->path);
    struct w_c_activity *grown = mem_realloc(w->c_acts, (w->n_c_acts + 1) * sizeof *grown);
    if (!grown) return err_set(e, ERR_NOMEM, "out of memory registering activity '%s'", a->name);
    w->c_acts = grown;
    struct w_c_activity *c = &grown[w->n_c_acts];
    *c = (struct w_c_activity){.name = str_dup(name),
                               .task_queue = a->task_queue ? str_dup(str_of(a->task_queue)) : NULL,
                               .if_named = a->if_named,
                               .fn = a->fn,
                               .ud = a->ud};
    if (!c->name || (a->task_queue && !c->task_queue)) {
        mem_free(c->name);
        mem_free(c->task_queue);
        return err_set(e, ERR_NOMEM, "out of memory registering activity '%s'", a->name);
    }
    w->n_c_acts++;
    if (w_serve(w)) {
        w->n_c_acts--;
        mem_free(c->name);
        mem_free(c->task_queue);
        return err_set(e, ERR_NOMEM, "out of memory registering activity '%s'", a->name);
    }
    return 0;
}

/* ---- what the engine may push: every queue serves every type, so that an activity runs where its
 * workflow runs ---- */
struct names {
    struct str *p;
    size_t n, cap;
    bool failed;
};
static void names_add(struct names *l, struct str s)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->p[i], s)) return;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16;
        struct str *p = mem_realloc(l->p, cap * sizeof *p);
        if (!p) {
            l->failed = true;
            return;
        }
        l->p = p;
        l->cap = cap;
    }
    l->p[l->n++] = s;
}

static bool text_has(const struct bundle *b, const char *word)
{
    for (size_t i = 0; b && i < b->n_modules; i++) {
        const struct bundle_module *m = &b->modules[i];
        bool ours = strncmp(m->name, "moonloop.", 9) == 0;
        if (!ours && memmem(m->text, m->text_n, word, strlen(word))) return true;
    }
    return false;
}

static bool named(const struct worker *w, const char *word)
{
    for (const struct w_script *s = w->scripts; s; s = s->next)
        if (usable(s) && text_has(s->bundle, word)) return true;
    return false;
}

static void collect(struct worker *w, struct names *queues, struct names *wfs, struct names *acts)
{
    const struct act_definition *d;
    bool wanted = !w->o.queue_if_used;
    for (struct w_script *s = w->scripts; s; s = s->next) {
        size_t n = usable(s) ? act_definitions(s->act, &d) : 0;
        for (size_t i = 0; i < n; i++) {
            bool wf = strcmp(d[i].kind, "workflow") == 0;
            if (!d[i].has_function && !wf) continue; /* another worker runs it */
            if (d[i].task_queue.n) names_add(queues, d[i].task_queue);
            if (wf && !d[i].task_queue.n) wanted = true;
            if (wf)
                names_add(wfs, d[i].name);
            else if (strcmp(d[i].kind, "local_activity") != 0) /* activities, and tools as such */
                names_add(acts, d[i].name);
        }
    }
    for (size_t i = 0; i < w->n_c_acts; i++) {
        if (w->c_acts[i].if_named && !named(w, w->c_acts[i].if_named)) continue;
        names_add(acts, str_of(w->c_acts[i].name));
        if (w->c_acts[i].task_queue) names_add(queues, str_of(w->c_acts[i].task_queue));
    }
    if (wanted || !wfs->n) names_add(queues, str_of(w->task_queue));
}

int w_serve(struct worker *w)
{
    struct names queues = {0}, wfs = {0}, acts = {0};
    struct backend_served *served = NULL;
    int rc = 0;
    if (w->stopping) return 0;
    collect(w, &queues, &wfs, &acts);
    served = mem_zalloc((queues.n + 1) * sizeof *served);
    if (!served || queues.failed || wfs.failed || acts.failed) {
        rc = ERR_NOMEM;
        goto out;
    }
    for (size_t i = 0; i < queues.n; i++)
        served[i] = (struct backend_served){.task_queue = queues.p[i],
                                            .workflow_types = wfs.p,
                                            .n_workflow_types = wfs.n,
                                            .activity_types = acts.p,
                                            .n_activity_types = acts.n};
    rc = w->b->ops->serve(w->b, &w->sink, served, queues.n);
    if (!rc && !w->offered) {
        w->offered = true;
        w->b->ops->offer(w->b, w->o.workflow_slots, w->o.activity_slots);
    }
out:
    mem_free(served);
    mem_free(queues.p);
    mem_free(wfs.p);
    mem_free(acts.p);
    if (rc) { /* what was served still is; again soon */
        log_printf(w->o.log, LOG_ERROR,
                   "out of memory: the list of served workflows and activities is not renewed yet");
        loop_timer_start(w->serve_timer, SERVE_AGAIN_NS);
    }
    return rc;
}
