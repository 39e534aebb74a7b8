/* Histories: fetching one whole, as JSON, replaying one against a script, and answering a query by
 * replay when no script of the run is loaded. */
#include "base/mem.h"
#include "host/host_internal.h"

/* ---- all pages into the arena of the call ---- */
static void fetch_page(struct hcall *c, struct history *x, struct str page);

static void on_page(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    struct history *x = c->state;
    struct err e = r->err;
    for (size_t i = 0; i < r->n_events && !e.code; i++) {
        if (x->n == x->cap) {
            size_t cap = x->cap ? x->cap * 2 : 128;
            bool over = cap > HOST_HISTORY_EVENTS_MAX * 2;
            struct rec **p = over ? NULL : arena_alloc(&c->arena, cap * sizeof *p);
            if (!p) {
                err_set(&e, over ? ERR_LIMIT : ERR_NOMEM, "the history does not fit in memory");
                break;
            }
            if (x->n) memcpy(p, x->events, x->n * sizeof *p);
            x->events = p;
            x->cap = cap;
        }
        x->events[x->n++] = rec_clone(&c->arena, r->events[i]);
        if (arena_failed(&c->arena)) err_set(&e, ERR_NOMEM, "the history does not fit in memory");
    }
    if (!e.code && r->next_page.n && !x->first_page_only)
        fetch_page(c, x, r->next_page);
    else
        x->then(c, x, &e);
}

static void fetch_page(struct hcall *c, struct history *x, struct str page)
{
    c->h->b->ops->fetch_history(c->h->b, &x->target, true, page, on_page, c);
}

/* `then` gets the history as the call's state; it must end with history_drop. */
void history_fetch(struct hcall *c, struct str workflow_id, struct str run_id, bool first_page_only,
                   void (*then)(struct hcall *c, struct history *x, const struct err *e))
{
    struct history *x = arena_alloc(&c->arena, sizeof *x);
    if (!x) {
        hcall_fail(c, ERR_NOMEM, "out of memory reading a history");
        return;
    }
    x->target =
        (struct backend_target){arena_str(&c->arena, workflow_id), arena_str(&c->arena, run_id)};
    x->then = then;
    x->first_page_only = first_page_only;
    x->outer = c->state;
    c->state = x;
    fetch_page(c, x, (struct str){0});
}

void history_drop(struct hcall *c, struct history *x)
{
    c->state = x->outer;
}

/* ---- history ---- */
static void got_history(struct hcall *c, struct history *x, const struct err *e)
{
    struct buf json;
    buf_init(&json, HOST_JSON_MAX);
    int rc = e->code ? e->code : history_to_json(x->events, x->n, &json, true);
    history_drop(c, x);
    if (e->code) {
        hcall_fail_err(c, e);
    } else if (rc) {
        hcall_fail(c, rc, "the history does not fit in memory");
    } else {
        ml_reply r = {.json = json.p};
        hcall_reply(c, &r);
    }
    buf_free(&json);
}

int verb_history_run(struct hcall *c, struct err *e)
{
    if (!arg_view(c->args, "id").n) return err_set(e, ERR_ARG, "history: id is missing");
    history_fetch(c, arg_view(c->args, "id"), arg_view(c->args, "runId"), false, got_history);
    return 0;
}

/* ---- replay: of a file, on a script; needs no engine ---- */
static int replay_now(struct hcall *c, struct buf *report, struct err *e)
{
    struct bundle *b = NULL;
    struct rec **events = NULL;
    size_t n = 0;
    struct wf_limits limits = {.memory_bytes = c->h->cfg.run_memory_bytes,
                               .instructions = c->h->cfg.run_instructions};
    const char *script = arg_str(c->args, "script");
    int rc = bundle_build(script, NULL, 0, &b, e);
    if (rc) return rc;
    rc = history_from_json(&c->arena, arg_view(c->args, "history"), &events, &n, e);
    if (rc == 0)
        rc = remote_open_events(c->h, arg_view(c->args, "codecKeys"), &c->arena, events, n, e);
    if (rc)
        err_prefix(e, "the history");
    else
        rc = worker_replay(b, events, n, &limits, report, e);
    bundle_unref(b);
    return rc;
}

static void replay_posted(void *ud)
{
    struct hcall *c = ud;
    struct buf report;
    struct err e = {0};
    buf_init(&report, 16u << 20);
    int rc = replay_now(c, &report, &e);
    ml_reply r = {.code = rc, .text = e.text, .json = report.n ? report.p : NULL};
    hcall_reply(c, &r);
    buf_free(&report);
}

int verb_replay_run(struct hcall *c, struct err *e)
{
    if (!arg_str(c->args, "history") || !arg_str(c->args, "script"))
        return err_set(e, ERR_ARG, "replay: a history and a script are needed");
    hcall_post(c, replay_posted);
    return 0;
}

/* ---- query ---- */
static void query_answered(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    struct buf json, failure;
    buf_init(&json, HOST_JSON_MAX);
    buf_init(&failure, HOST_JSON_MAX);
    ml_reply out = {.code = r->err.code, .text = r->err.text};
    if (r->failure && failure_json(r->failure, &failure) == 0) out.failure_json = failure.p;
    if (!r->err.code && payload_json(r->result, &json) == 0) out.json = json.p;
    hcall_reply(c, &out);
    buf_free(&json);
    buf_free(&failure);
}

static void offline_answer(void *ud, const struct wf_query_result *q)
{
    struct hcall *c = ud;
    struct backend_reply r = {.result = q->result, .failure = q->failure};
    if (c->refused != mem_refused()) {
        r = (struct backend_reply){0};
        err_set(&r.err, ERR_NOMEM, "out of memory");
    } else if (!q->ok) {
        struct str m = q->message.n ? q->message : rec_str(q->failure, T(failure, message));
        err_set(&r.err, ERR_FAILED, STR_FMT, STR_ARG(m));
    }
    query_answered(ud, &r);
}

/* The text of the last completed task; before the first one the text it was started with. */
static struct str digest_of(const struct history *x, struct str started_with)
{
    struct str d = started_with;
    for (size_t i = 0; i < x->n; i++) {
        if (event_type(x->events[i]) != EVENT_TYPE_WORKFLOW_TASK_COMPLETED) continue;
        struct str b = rec_str(
            rec_msg(event_attrs(x->events[i]), T(ev_workflow_task_completed, worker_version)),
            T(worker_version_stamp, build_id));
        if (b.n) d = b;
    }
    return d;
}

static void offline_query(struct hcall *c, struct history *x, const struct err *fetch_error)
{
    struct err e = *fetch_error;
    struct bundle *b = NULL;
    struct rec *args = NULL;
    struct wf_limits limits = {.memory_bytes = c->h->cfg.run_memory_bytes,
                               .instructions = c->h->cfg.run_instructions};
    struct str *digest = x->outer;
    int rc = e.code;
    if (rc == 0) rc = worker_bundle(c->h->worker, digest_of(x, *digest), &b, &e);
    if (rc == 0) rc = payloads_of_args(&c->arena, arg_view(c->args, "args"), &args, &e);
    history_drop(c, x);
    c->refused = mem_refused();
    if (rc == 0)
        rc = worker_query(b, x->events, x->n, arg_view(c->args, "name"), args, &limits,
                          offline_answer, c, &e);
    if (b) bundle_unref(b);
    if (rc) hcall_fail_err(c, &e);
}

/* A run of a loaded script is asked through the engine, the others by replaying their own text. */
static void described(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    struct err e = r->err;
    struct rec *args = NULL;
    cJSON *j = e.code ? NULL : cJSON_ParseWithLength(r->json.p, r->json.n);
    if (!e.code && !j) err_set(&e, ERR_NOMEM, "out of memory");
    const char *type = arg_str(j, "type");
    struct backend_target t = {arg_view(c->args, "id"), arg_view(c->args, "runId")};
    bool live = type && worker_knows_workflow(c->h->worker, str_of(type));
    if (!e.code && live && payloads_of_args(&c->arena, arg_view(c->args, "args"), &args, &e) == 0) {
        c->h->b->ops->query(c->h->b, &t, arg_view(c->args, "name"), args, query_answered, c);
    } else if (!e.code) {
        struct str *digest = arena_alloc(&c->arena, sizeof *digest);
        if (digest) *digest = arena_str(&c->arena, arg_view(j, "bundle"));
        c->state = digest;
        if (digest)
            history_fetch(c, t.workflow_id, t.run_id, false, offline_query);
        else
            err_set(&e, ERR_NOMEM, "out of memory");
    }
    cJSON_Delete(j);
    if (e.code) hcall_fail_err(c, &e);
}

int verb_query_run(struct hcall *c, struct err *e)
{
    struct backend_target t = {arg_view(c->args, "id"), arg_view(c->args, "runId")};
    struct rec *args = NULL;
    if (!t.workflow_id.n || !arg_view(c->args, "name").n)
        return err_set(e, ERR_ARG, "query: a run and a name are needed");
    if (!c->h->remote) {
        c->h->b->ops->describe(c->h->b, &t, described, c);
        return 0;
    }
    int rc = payloads_of_args(&c->arena, arg_view(c->args, "args"), &args, e);
    if (!rc) c->h->b->ops->query(c->h->b, &t, arg_view(c->args, "name"), args, query_answered, c);
    return rc;
}
