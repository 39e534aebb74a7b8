/* A blocked run is tried on the text on disk: its history is replayed there, and when it matches
 * the run goes on with it; otherwise the event and the line are told. Once per run or load, never
 * in a loop. */
#include "base/mem.h"
#include "host/host_internal.h"
#include <stdio.h>

struct mend {
    mend_fn then;
    struct str id, run_id, type, digest;
    void *outer;
    bool goes_on;
    char text[1000];
};

static void finish(struct hcall *c, bool goes_on, const char *text)
{
    struct mend *m = c->state;
    mend_fn then = m->then;
    if (!goes_on) host_say(c->h, ML_EVENT_BLOCKED, m->id.p, text);
    c->state = m->outer;
    then(c, goes_on, text);
}

static void on_retried(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    finish(c, r->err.code == 0, r->err.text);
}

static void got_history(struct hcall *c, struct history *x, const struct err *fetch_error)
{
    struct err e = *fetch_error;
    struct bundle *b = NULL;
    struct buf report;
    struct wf_limits limits = {.memory_bytes = c->h->cfg.run_memory_bytes,
                               .instructions = c->h->cfg.run_instructions};
    struct mend *m = x->outer;
    buf_init(&report, 16u << 20);
    int rc = e.code;
    if (rc == 0) rc = worker_bundle(c->h->worker, m->digest, &b, &e);
    if (rc == 0) rc = worker_replay(b, x->events, x->n, &limits, &report, &e);
    if (rc) err_prefix(&e, "still blocked, the script on disk does not match what was recorded");
    if (rc == 0) rc = host_put_bundle(c->h, m->digest, &e);
    buf_free(&report);
    if (b) bundle_unref(b);
    history_drop(c, x);
    if (rc)
        finish(c, false, e.text);
    else
        c->h->b->ops->retry_blocked(c->h->b, m->run_id, m->digest, on_retried, c);
}

void mend_run(struct hcall *c, struct str workflow_id, struct str run_id, struct str type,
              mend_fn then)
{
    struct err e = {0};
    struct str digest;
    struct mend *m = arena_alloc(&c->arena, sizeof *m);
    if (!m || worker_find_workflow(c->h->worker, type, &digest, NULL, NULL, NULL, &e)) {
        then(c, false, m ? e.text : "out of memory");
        return;
    }
    *m = (struct mend){.then = then,
                       .id = arena_str(&c->arena, workflow_id),
                       .run_id = arena_str(&c->arena, run_id),
                       .type = arena_str(&c->arena, type),
                       .digest = arena_str(&c->arena, digest),
                       .outer = c->state};
    c->state = m;
    history_fetch(c, m->id, m->run_id, false, got_history);
}

/* ---- all of them, when everything is driven ---- */
static int no_verb(struct hcall *c, struct err *e)
{
    (void)c;
    return err_set(e, ERR_ARG, "not a verb");
}
static const struct verb mend_verb = {"mend", no_verb, true, false};

static void one_done(struct hcall *c, bool goes_on, const char *text)
{
    ml_reply r = {.code = goes_on ? 0 : ML_E_FAILED, .text = text};
    hcall_reply(c, &r);
}

static void on_listed(void *ud, const struct backend_reply *r)
{
    struct hcall *c = ud;
    const cJSON *row;
    cJSON *j = r->err.code ? NULL : cJSON_ParseWithLength(r->json.p, r->json.n);
    cJSON_ArrayForEach(row, j)
    {
        struct str id = arg_view(row, "workflowId"), run = arg_view(row, "runId"),
                   type = arg_view(row, "type");
        if (!arg_bool(row, "blocked") || !worker_knows_workflow(c->h->worker, type)) continue;
        struct hcall *one = hcall_new(c->h, &mend_verb, cJSON_CreateObject(), NULL, NULL);
        if (one) mend_run(one, id, run, type, one_done);
    }
    cJSON_Delete(j);
    ml_reply out = {0};
    hcall_reply(c, &out);
}

void mend_all(ml_host *h)
{
    struct hcall *c = hcall_new(h, &mend_verb, cJSON_CreateObject(), NULL, NULL);
    if (c) h->b->ops->list(h->b, STR("{\"status\":\"Blocked\",\"limit\":1000}"), on_listed, c);
}
