/* Opens and closes the port on a Temporal server: the channel, retries over it, and the table of
 * what can be asked. */
#include "temporal/temporal.h"
#include "base/mem.h"
#include "temporal/worker_half.h"
#include <assert.h>

/* ---- the wire of the client half ---- */
static int wire_send(void *ud, const char *path, struct str request, const struct rpc_options *o,
                     rpc_fn fn, void *fn_ud, uint64_t *id, struct err *e)
{
    return rpc_call(ud, path, request, o, fn, fn_ud, id, e);
}

static void wire_cancel(void *ud, uint64_t id)
{
    rpc_cancel(ud, id);
}

/* ---- what a server has no part in ---- */
static int none_kept(struct err *e)
{
    return err_set(e, ERR_NOTFOUND,
                   "this worker keeps no earlier texts of scripts (--bundles FOLDER)");
}

static int bundle_put(struct backend *b, const char *digest, struct str json,
                      const struct str *texts, const char *const *shas, size_t n, struct err *e)
{
    const struct temporal_keeper *k = &temporal_of(b)->keeper;
    return k->put ? k->put(k->ud, digest, json, texts, shas, n, e) : 0;
}

static int bundle_get(struct backend *b, struct str digest, struct buf *json, struct err *e)
{
    const struct temporal_keeper *k = &temporal_of(b)->keeper;
    return k->get ? k->get(k->ud, digest, json, e) : none_kept(e);
}

static int text_get(struct backend *b, const char *sha, struct buf *text, struct err *e)
{
    const struct temporal_keeper *k = &temporal_of(b)->keeper;
    return k->text ? k->text(k->ud, sha, text, e) : none_kept(e);
}

static void no_retry_blocked(struct backend *b, struct str run_id, struct str digest,
                             backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "go on with run", run_id);
    (void)digest;
    if (c)
        call_fail_later(c, ERR_UNSUPPORTED, "the server tries a failing workflow task by itself");
}

static int64_t wall_now(struct backend *b)
{
    return clock_wall(loop_clock(temporal_of(b)->loop));
}

/* ---- shutdown ---- */
static void shutdown_turn(void *ud)
{
    struct temporal *t = ud;
    if (t->calls && loop_post(t->loop, shutdown_turn, t) == 0)
        return; /* answers are on their way */
    t->done(t->done_ud);
}

static void worker_ended(void *ud)
{
    struct temporal *t = ud;
    struct err e = {0};
    err_set(&e, ERR_CLOSED, "the connection to the server is closing");
    t->closing = true;
    calls_close(t, &e);
    if (loop_post(t->loop, shutdown_turn, t)) shutdown_turn(t);
}

/* The worker half first: what it gives back still has to be sent. */
static void temporal_shutdown(struct backend *b, void (*done)(void *ud), void *ud)
{
    struct temporal *t = temporal_of(b);
    t->done = done;
    t->done_ud = ud;
    tw_shutdown(t->worker, worker_ended, t);
}

static const struct backend_ops ops = {.serve = tw_serve,
                                       .offer = tw_offer,
                                       .release = tw_release,
                                       .complete_workflow = tw_complete_workflow,
                                       .fail_workflow = tw_fail_workflow,
                                       .complete_query = tw_complete_query,
                                       .complete_activity = tw_complete_activity,
                                       .complete_activity_by_id = client_complete_activity_by_id,
                                       .heartbeat = tw_heartbeat,
                                       .heartbeat_by_id = client_heartbeat_by_id,
                                       .sleep_until = tw_sleep_until,
                                       .sleep_cancel = tw_sleep_cancel,
                                       .now_ns = wall_now,
                                       .fetch_history = client_history,
                                       .bundle_put = bundle_put,
                                       .bundle_get = bundle_get,
                                       .text_get = text_get,
                                       .retry_blocked = no_retry_blocked,
                                       .start = client_start,
                                       .signal = client_signal,
                                       .query = client_query,
                                       .update = client_update,
                                       .cancel = client_cancel,
                                       .terminate = client_terminate,
                                       .reset = client_reset,
                                       .delete_run = client_delete,
                                       .describe = client_describe,
                                       .list = client_list,
                                       .count = client_count,
                                       .result = client_result,
                                       .shutdown = temporal_shutdown};

/* The host's codec, else the built-in one when there are keys. */
static int open_codec(struct temporal *t, const struct temporal_options *o, struct err *e)
{
    const struct settings *s = o->settings;
    int rc = 0;
    if (o->codec && s->codec_keys.n)
        return err_set(e, ERR_ARG,
                       "codec keys are given, and the program brings a codec: leave one out");
    if (s->codec_keys.n) rc = codec_keys_open(s->codec_keys, t->entropy, &t->keys, e);
    if (rc || (!o->codec && !t->keys)) return rc;
    t->own_codec = o->codec ? *o->codec : codec_keys_codec(t->keys);
    t->own_codec.plain_failures = t->own_codec.plain_failures || s->codec_plain_failures;
    t->codec = &t->own_codec;
    return 0;
}

int temporal_open(const struct temporal_options *o, struct backend **out, struct err *e)
{
    struct temporal *t = mem_zalloc(sizeof *t);
    if (!t) return err_set(e, ERR_NOMEM, "out of memory opening a connection");
    t->b.ops = &ops;
    t->loop = o->loop;
    t->entropy = o->entropy ? o->entropy : &entropy_system;
    t->log = o->log;
    if (o->keeper) t->keeper = *o->keeper;
    t->ns = str_dup(o->settings->ns);
    t->identity = str_dup(o->identity);
    int rc = t->ns && t->identity ? 0 : err_set(e, ERR_NOMEM, "out of memory opening a connection");
    if (!rc) rc = open_codec(t, o, e);
    if (!rc) rc = channel_open(t->loop, &o->settings->channel, &t->channel, e);
    if (!rc) rc = rpc_open(t->loop, t->channel, t->entropy, &t->rpc, e);
    t->wire = (struct wire){wire_send, wire_cancel, t->rpc};
    if (!rc) rc = tw_open(t, o, e);
    if (rc)
        temporal_close(&t->b);
    else
        *out = &t->b;
    return rc;
}

const struct codec *temporal_codec(const struct backend *b)
{
    return ((const struct temporal *)b)->codec;
}

struct str temporal_namespace(const struct backend *b)
{
    return str_of(((const struct temporal *)b)->ns);
}

void temporal_usage(const struct backend *b, struct temporal_usage *out)
{
    const struct temporal *t = (const struct temporal *)b;
    const struct tw *w = t->worker;
    struct channel_counts n;
    channel_count(t->channel, &n);
    *out = (struct temporal_usage){
        .workflow_slots = (size_t)w->workflow_slots,
        .activity_slots = (size_t)w->activity_slots,
        .polls = (size_t)(w->open[TW_NORMAL] + w->open[TW_STICKY] + w->open[TW_ACTIVITY]),
        .streams = n.streams,
        .connections = n.connections};
    size_t open = rpc_open_calls(t->rpc);
    out->requests = open > out->polls ? open - out->polls : 0;
}

void temporal_close(struct backend *b)
{
    struct temporal *t = b ? temporal_of(b) : NULL;
    if (!t) return;
    assert(!t->calls);
    tw_close(t);
    if (t->rpc) rpc_close(t->rpc);
    if (t->channel) channel_close(t->channel);
    codec_keys_close(t->keys);
    mem_free(t->ns);
    mem_free(t->identity);
    mem_free(t);
}
