/* A host on a Temporal server: the port is a connection, there is no file, no engine and no owner.
 * Scripts are loaded when somebody asks for it (to know their workflows and queues). */
#include "base/mem.h"
#include "host/host_internal.h"
#include "temporal/codec.h"
#include "temporal/temporal.h"
#include <unistd.h>

#define METADATA_MAX 64

int remote_open(ml_host *h, struct err *e)
{
    const ml_temporal *t = h->cfg.temporal;
    struct str metadata[METADATA_MAX];
    struct settings s;
    struct settings_flags f = {.address = str_of(t->address),
                               .ns = str_of(t->name_space),
                               .api_key = str_of(t->api_key),
                               .tls = t->tls > 0   ? CHANNEL_TLS_ON
                                      : t->tls < 0 ? CHANNEL_TLS_OFF
                                                   : CHANNEL_TLS_AUTO,
                               .ca_file = str_of(t->ca_file),
                               .cert_file = str_of(t->cert_file),
                               .key_file = str_of(t->key_file),
                               .server_name = str_of(t->server_name),
                               .no_host_verification = t->no_host_verification != 0,
                               .proxy = str_of(t->proxy),
                               .codec_keys_file = str_of(t->codec_keys_file),
                               .metadata = metadata};
    for (; t->metadata && t->metadata[f.n_metadata]; f.n_metadata++) {
        if (f.n_metadata == METADATA_MAX)
            return err_set(e, ERR_LIMIT, "more than %d entries of metadata", METADATA_MAX);
        metadata[f.n_metadata] = str_of(t->metadata[f.n_metadata]);
    }
    struct temporal_keeper keeper;
    bool keeps = t->bundles && *t->bundles;
    int rc = keeps ? keeper_open(h, t->bundles, &keeper, e) : 0;
    if (!rc) rc = settings_read(&f, environ, &s, e);
    if (rc) return rc;
    struct codec own;
    struct temporal_options o = {.loop = h->loop,
                                 .settings = &s,
                                 .identity = str_of(h->identity),
                                 .log = &h->log,
                                 .deployment = str_of(t->deployment),
                                 .build_id = str_of(t->build_id),
                                 .versioning =
                                     t->auto_upgrade ? VERSIONING_AUTO_UPGRADE : VERSIONING_PINNED,
                                 .codec = host_codec(h, t->codec, &own),
                                 .keeper = keeps ? &keeper : NULL,
                                 .client_only = (h->cfg.flags & (ML_CLIENT | ML_READ_ONLY)) != 0};
    rc = temporal_open(&o, &h->remote, e);
    settings_free(&s);
    if (!rc) h->b = h->remote;
    return rc;
}

/* ---- progress: a server tells of a run with its workflow tasks ---- */
int remote_follow(ml_host *h, struct str workflow_id)
{
    mem_free(h->followed.id);
    mem_free(h->followed.run);
    h->followed.run = NULL;
    h->followed.id = str_dup(workflow_id);
    return h->followed.id ? 0 : ERR_NOMEM;
}

/* A task may bring events that an earlier one brought; the last two are its own, and come again
 * when it fails. */
void remote_events(void *ud, struct str workflow_id, struct str run_id, struct rec *const *events,
                   size_t n)
{
    ml_host *h = ud;
    if (!h->followed.id || !str_eqz(workflow_id, h->followed.id)) return;
    if (!h->followed.run || !str_eqz(run_id, h->followed.run)) { /* it continued as new */
        mem_free(h->followed.run);
        h->followed.run = str_dup(run_id);
        h->followed.event_id = 0;
    }
    size_t from = 0;
    while (from < n && event_id(events[from]) <= h->followed.event_id)
        from++;
    while (n > from && event_type(events[n - 1]) != EVENT_TYPE_WORKFLOW_TASK_FAILED &&
           event_type(events[n - 1]) != EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT &&
           (event_type(events[n - 1]) == EVENT_TYPE_WORKFLOW_TASK_SCHEDULED ||
            event_type(events[n - 1]) == EVENT_TYPE_WORKFLOW_TASK_STARTED))
        n--;
    if (n == from) return;
    h->followed.event_id = event_id(events[n - 1]);
    host_on_commit(h, workflow_id, run_id, events + from, n - from);
}

int remote_worker(ml_host *h, struct err *e)
{
    if (h->worker) return 0;
    int rc = host_open_worker(h, e);
    if (!rc) host_register_all(h, e);
    return rc;
}

static void on_stopped(void *ud)
{
    ((ml_host *)ud)->stopped = true;
}

static void on_shut(void *ud)
{
    ((ml_host *)ud)->shut = true;
}

/* Attempts and handlers end before what they ask is closed. */
void remote_close_worker(ml_host *h)
{
    if (!h->remote || !h->worker || h->stopped) return;
    worker_stop(h->worker, on_stopped, h);
    host_turn_until(h, &h->stopped);
}

void remote_close(ml_host *h, bool orderly)
{
    if (!h->remote) return;
    if (orderly) remote_close_worker(h);
    h->shut = false;
    h->remote->ops->shutdown(h->remote, on_shut, h);
    host_turn_until(h, &h->shut);
    if (h->worker) worker_close(h->worker);
    h->worker = NULL;
    temporal_close(h->remote);
    h->remote = h->b = NULL;
}

/* A history in a file may hold what was encrypted for a server: opened with these keys, else with
 * the connection's codec, else with the keys of the environment. */
int remote_open_events(ml_host *h, struct str keys_file, struct arena *a, struct rec **events,
                       size_t n, struct err *e)
{
    if (h->remote && !keys_file.n)
        return codec_open_events(temporal_codec(h->remote), a, events, n, e);
    struct settings s;
    struct codec_keys *keys = NULL;
    int rc = settings_read_codec(keys_file, environ, &s, e);
    if (rc) return rc;
    if (s.codec_keys.n) rc = codec_keys_open(s.codec_keys, &entropy_system, &keys, e);
    if (rc == 0) {
        struct codec c = keys ? codec_keys_codec(keys) : codec_no_keys;
        rc = codec_open_events(keys ? &c : NULL, a, events, n, e);
    }
    codec_keys_close(keys);
    settings_free(&s);
    return rc;
}
