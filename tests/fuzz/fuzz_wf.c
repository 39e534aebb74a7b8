/* See fuzz_wf.h. */
#include "fuzz_wf.h"
#include "base/mem.h"

static struct bundle *bundle;

static struct bundle_module *entry(void)
{
    struct err e = {0};
    if (!bundle) {
        int rc = bundle_build(ML_SOURCE_DIR "/examples/01_hello.lua", NULL, 0, &bundle, &e);
        if (rc) fprintf(stderr, "%s\n", e.text);
        FUZZ_CHECK(rc == 0);
    }
    const struct bundle_module *m = bundle_find(bundle, str_of(bundle->entry));
    FUZZ_CHECK(m);
    return &bundle->modules[m - bundle->modules];
}

struct bundle *fuzz_bundle(struct str text)
{
    struct bundle_module *m = entry();
    mem_free(m->text);
    mem_free(m->code);
    m->code = NULL;
    m->code_n = 0;
    m->text = str_dup(text);
    m->text_n = text.n;
    FUZZ_CHECK(m->text);
    return bundle;
}

struct str fuzz_workflow_name(struct str text)
{
    struct str word = STR("ml.workflow(\"");
    for (size_t i = 0; i + word.n < text.n; i++) {
        struct str at = str_make(text.p + i, text.n - i);
        if (!str_starts(at, word)) continue;
        at = str_make(at.p + word.n, at.n - word.n);
        const char *end = memchr(at.p, '"', at.n);
        if (end && end > at.p) return str_make(at.p, (size_t)(end - at.p));
    }
    return STR("wf");
}

struct wf_run *fuzz_open(struct bundle *b, struct str workflow_id)
{
    struct wf_info info = {.namespace_ = STR("default"),
                           .workflow_id = workflow_id,
                           .run_id = STR("run-1"),
                           .task_queue = STR("queue"),
                           .current_digest = b->digest,
                           .limits = {.memory_bytes = FUZZ_MEMORY,
                                      .instructions = FUZZ_INSTRUCTIONS,
                                      .commands = 200,
                                      .payload_bytes = 1 << 20}};
    struct wf_run *r = NULL;
    struct err e = {0};
    int rc = wf_open(b, &info, &r, &e);
    FUZZ_CHECK((rc == 0) == (r != NULL));
    FUZZ_CHECK(rc == 0 || e.text[0]);
    return r;
}

void fuzz_out_init(struct fuzz_out *out)
{
    *out = (struct fuzz_out){0};
    buf_init(&out->text, 1 << 26);
}
void fuzz_out_free(struct fuzz_out *out)
{
    buf_free(&out->text);
}

static void put_record(struct buf *b, const char *what, const struct rec *r)
{
    if (!r) return;
    buf_printf(b, "%s ", what);
    FUZZ_CHECK(rec_to_json(r, b, false) == 0);
    buf_putc(b, '\n');
}

static void take(struct fuzz_out *out, const struct wf_out *o)
{
    struct buf *b = &out->text;
    out->status = o->status;
    out->limit = out->limit || o->limit;
    out->closed = o->closed;
    buf_printf(b, "status %d cause %d result %d closed %d\n", (int)o->status, o->fail_cause,
               o->task_has_result, o->closed);
    for (size_t i = 0; i < o->n_commands; i++)
        put_record(b, command_name(command_type(o->commands[i])), o->commands[i]);
    for (size_t i = 0; i < o->n_messages; i++)
        put_record(b, "message", o->messages[i]);
    for (size_t i = 0; i < o->n_query_results; i++) {
        const struct wf_query_result *q = &o->query_results[i];
        buf_printf(b, "query " STR_FMT " %d " STR_FMT "\n", STR_ARG(q->id), q->ok,
                   STR_ARG(q->message));
        put_record(b, "answer", q->result);
    }
    for (size_t i = 0; i < o->n_pending; i++)
        buf_printf(b, "pending %d " STR_FMT " " STR_FMT "\n", (int)o->pending[i].kind,
                   STR_ARG(o->pending[i].id), STR_ARG(o->pending[i].name));
    put_record(b, "failure", o->failure);
}

static const struct wf_out *slices(struct wf_run *r, const struct wf_task *t, uint64_t slice,
                                   struct fuzz_out *out)
{
    const struct wf_out *o = NULL;
    struct err e = {0};
    struct wf_budget budget = {slice};
    out->rc = wf_activate(r, t, budget, &o, &e);
    for (uint64_t i = 0; out->rc == 0 && o->status == WF_MORE; i++) {
        FUZZ_CHECK(i < 4 * FUZZ_INSTRUCTIONS / slice + 1000); /* it ends */
        out->rc = wf_activate(r, NULL, budget, &o, &e);
    }
    if (out->rc) {
        FUZZ_CHECK(e.text[0]);
        buf_printf(&out->text, "refused %d %s\n", out->rc, e.text);
        return NULL;
    }
    return o;
}

const struct wf_out *fuzz_task(struct wf_run *r, const struct wf_task *t, uint64_t slice,
                               size_t locals, struct fuzz_out *out)
{
    uint32_t open[64];
    size_t n_open = 0;
    const struct wf_out *o = slices(r, t, slice, out);
    while (o && o->status == WF_WAIT_LOCAL) {
        for (size_t i = 0; i < o->n_locals && n_open < 64; i++) {
            buf_printf(&out->text, "local " STR_FMT "\n", STR_ARG(o->locals[i].activity_type));
            open[n_open++] = o->locals[i].seq;
        }
        if (n_open == 0 || locals-- == 0) return o;
        struct arena a;
        arena_init(&a, 0);
        struct wf_local_result res = {
            .result = payloads_of_json(&a, STR("7")), .attempt = 1, .complete_ns = H_EPOCH + 1};
        FUZZ_CHECK(wf_local_resolve(r, open[--n_open], &res) == 0);
        arena_free(&a);
        o = slices(r, NULL, slice, out);
    }
    if (o) take(out, o);
    return o;
}

void fuzz_out_compare(const struct fuzz_out *a, const struct fuzz_out *b)
{
    if (getenv("FUZZ_SHOW")) fprintf(stderr, STR_FMT, STR_ARG(buf_str(&a->text)));
    if (a->limit || b->limit) return;
    FUZZ_CHECK(a->rc == b->rc);
    FUZZ_SAME(buf_str(&a->text), buf_str(&b->text));
}
