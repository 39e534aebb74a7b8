/* Cached runs and bundles. Keeps true: a run whose task is in hand, or whose local activities wait
 * for the next task of a heartbeat, is never evicted by the limits; a run is closed only here. */
#include "base/mem.h"
#include "worker/worker_internal.h"
#include <stdlib.h>

static void lru_unlink(struct w_run *r)
{
    struct worker *w = r->w;
    if (r->prev)
        r->prev->next = r->next;
    else
        w->lru_first = r->next;
    if (r->next)
        r->next->prev = r->prev;
    else
        w->lru_last = r->prev;
    r->prev = r->next = NULL;
}

static void lru_append(struct w_run *r)
{
    struct worker *w = r->w;
    r->prev = w->lru_last;
    r->next = NULL;
    if (w->lru_last)
        w->lru_last->next = r;
    else
        w->lru_first = r;
    w->lru_last = r;
}

struct w_run *w_run_get(struct worker *w, struct str run_id)
{
    return map_get(&w->runs, run_id);
}

void w_run_touch(struct w_run *r)
{
    size_t m = r->wf ? wf_memory(r->wf) : 0;
    r->w->bytes = r->w->bytes - r->memory + m;
    r->memory = m;
    lru_unlink(r);
    lru_append(r);
}

void w_run_evict(struct w_run *r)
{
    struct worker *w = r->w;
    w_locals_drop(r);
    lru_unlink(r);
    w->bytes -= r->memory;
    w->n_runs--;
    map_del(&w->runs, str_of(r->run_id));
    if (r->wf) wf_close(r->wf);
    mem_free(r->run_id);
    mem_free(r->workflow_id);
    mem_free(r);
}

bool w_run_evictable(const struct w_run *r)
{
    return !r->task && !r->parked && !r->locals && !r->done_first;
}

void w_cache_trim(struct worker *w)
{
    size_t max_runs = w_or(w->o.cache_runs, W_CACHE_RUNS),
           max_bytes = w_or(w->o.cache_bytes, W_CACHE_BYTES);
    for (struct w_run *r = w->lru_first, *next; r && (w->n_runs > max_runs || w->bytes > max_bytes);
         r = next) {
        next = r->next;
        if (w_run_evictable(r)) w_run_evict(r);
    }
}

int w_run_open(struct worker *w, const struct backend_task *t, struct bundle *b, struct w_run **out,
               struct err *e)
{
    int rc = 0;
    struct w_run *r = mem_zalloc(sizeof *r);
    if (!r) return err_set(e, ERR_NOMEM, "out of memory opening run " STR_FMT, STR_ARG(t->run_id));
    r->w = w;
    r->done_last = &r->done_first;
    memcpy(r->digest, b->digest, sizeof r->digest);
    r->run_id = str_dup(t->run_id);
    r->workflow_id = str_dup(t->workflow_id);
    struct wf_info info = {.namespace_ = str_of(w->name_space),
                           .workflow_id = t->workflow_id,
                           .run_id = t->run_id,
                           .task_queue = t->task_queue,
                           .limits = w->o.limits,
                           .current_digest = r->digest,
                           .noop_name = w->o.noop_name};
    if (!r->run_id || !r->workflow_id) {
        rc = err_set(e, ERR_NOMEM, "out of memory opening run " STR_FMT, STR_ARG(t->run_id));
        goto out;
    }
    rc = wf_open(b, &info, &r->wf, e);
    if (rc) goto out;
    if (map_set(&w->runs, t->run_id, r)) {
        rc = err_set(e, ERR_NOMEM, "out of memory opening run " STR_FMT, STR_ARG(t->run_id));
        goto out;
    }
    w->n_runs++;
    lru_append(r);
    *out = r;
    return 0;
out:
    if (r->wf) wf_close(r->wf);
    mem_free(r->run_id);
    mem_free(r->workflow_id);
    mem_free(r);
    return rc;
}

/* ---- bundles ---- */
struct text_source {
    struct worker *w;
    struct buf text;
    struct err err;
};

static int text_of(void *ud, const char *sha, struct str *text)
{
    struct text_source *s = ud;
    buf_reset(&s->text);
    int rc = s->w->b->ops->text_get(s->w->b, sha, &s->text, &s->err);
    if (rc == 0) rc = s->text.code;
    if (rc == 0) *text = buf_str(&s->text);
    return rc;
}

static struct bundle *cached_bundle(struct worker *w, struct str digest)
{
    for (struct w_script *s = w->scripts; s; s = s->next)
        if (s->bundle && str_eqz(digest, s->bundle->digest)) return bundle_ref(s->bundle);
    for (size_t i = 0; i < w->n_bundles; i++) {
        if (!str_eqz(digest, w->bundles[i].b->digest)) continue;
        w->bundles[i].used = ++w->bundle_clock;
        return bundle_ref(w->bundles[i].b);
    }
    return NULL;
}

static void keep_bundle(struct worker *w, struct bundle *b)
{
    size_t at = 0;
    if (w->n_bundles < W_BUNDLES_MAX) {
        at = w->n_bundles++;
    } else {
        for (size_t i = 1; i < w->n_bundles; i++)
            if (w->bundles[i].used < w->bundles[at].used) at = i;
        bundle_unref(w->bundles[at].b);
    }
    w->bundles[at] = (struct w_bundle){bundle_ref(b), ++w->bundle_clock};
}

int worker_bundle(struct worker *w, struct str digest, struct bundle **out, struct err *e)
{
    struct text_source src = {.w = w};
    struct buf json;
    struct bundle *b = cached_bundle(w, digest);
    if (b) {
        *out = b;
        return 0;
    }
    buf_init(&json, (size_t)16 << 20);
    buf_init(&src.text, (size_t)32 << 20);
    int rc = w->b->ops->bundle_get(w->b, digest, &json, e);
    if (rc == 0 && json.code)
        rc = err_set(e, json.code, "reading bundle " STR_FMT ": %s", STR_ARG(digest),
                     err_name(json.code));
    if (rc) {
        err_prefix(e, "the text this run was started with (" STR_FMT ") cannot be read",
                   STR_ARG(digest));
        goto out;
    }
    rc = bundle_parse(buf_str(&json), text_of, &src, &b, e);
    if (rc) {
        err_prefix(e, "the text this run was started with cannot be rebuilt%s%s",
                   src.err.code ? ": " : "", src.err.code ? src.err.text : "");
        goto out;
    }
    keep_bundle(w, b);
    *out = b;
out:
    buf_free(&src.text);
    buf_free(&json);
    return rc;
}

void w_bundles_drop(struct worker *w)
{
    for (size_t i = 0; i < w->n_bundles; i++)
        bundle_unref(w->bundles[i].b);
    w->n_bundles = 0;
}

size_t worker_cached_runs(const struct worker *w)
{
    return w->n_runs;
}
