/* Histories: fetching one whole, as JSON, replaying one against a script; and queries. */
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
            struct rec **p = cap > HOST_HISTORY_EVENTS_MAX * 2 ? NULL : arena_alloc(&c->arena, cap * sizeof *p);
            if (!p) {
                err_set(&e, ERR_LIMIT, "the history does not fit in memory");
                break;
            }
            if (x->n) memcpy(p, x->events, x->n * sizeof *p);
            x->events = p;
            x->cap = cap;
        }
        x->events[x->n++] = rec_clone(&c->arena, r->events[i]);
        if (arena_failed(&c->arena)) err_set(&e, ERR_NOMEM, "the history does not fit in memory");
    }
    if (!e.code && r->next_page.n && !x->first_page_only) fetch_page(c, x, r->next_page);
    else x->then(c, x, &e);
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
    x->target = (struct backend_target){arena_str(&c->arena, workflow_id), arena_str(&c->arena, run_id)};
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
    struct wf_limits limits = {.memory_bytes = c->h->cfg.run_memory_bytes, .instructions = c->h->cfg.run_instructions};
    const char *script = arg_str(c->args, "script");
    int rc = bundle_build(script, NULL, 0, &b, e);
    if (rc) return rc;
    rc = history_from_json(&c->arena, arg_view(c->args, "history"), &events, &n, e);
    if (rc) err_prefix(e, "the history");
    else rc = worker_replay(b, events, n, &limits, report, e);
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
    if (!arg_str(c->args, "history") || !arg_str(c->args, "script")) return err_set(e, ERR_ARG, "replay: a history and a script are needed");
    return loop_post(c->h->loop, replay_posted, c) ? err_set(e, ERR_NOMEM, "out of memory") : 0;
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

/* The engine asks the worker; a run of a script that is not loaded is answered by replaying its own text. */
int verb_query_run(struct hcall *c, struct err *e)
{
    struct rec *args = NULL;
    struct backend_target t = {arg_view(c->args, "id"), arg_view(c->args, "runId")};
    if (!t.workflow_id.n || !arg_view(c->args, "name").n) return err_set(e, ERR_ARG, "query: a run and a name are needed");
    int rc = payloads_of_args(&c->arena, arg_view(c->args, "args"), &args, e);
    if (rc == 0) c->h->b->ops->query(c->h->b, &t, arg_view(c->args, "name"), args, query_answered, c);
    return rc;
}
