/* Opening and closing, in one visible order. Opening: loop, lock, store, engine, worker, socket.
 * Closing: socket, worker (its attempts are told), engine (they are recorded as WorkerShutdown),
 * HTTP, store, lock, loop. Called by the embedding program. */
#include "api/api.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/mem.h"
#include "host/host_internal.h"
#include "http/client.h"
#include "temporal/temporal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CLOSE_WAIT_NS (20 * NS_PER_S)
#define ATTACH_TRIES 100

static _Thread_local char open_error[1000];

void ml_config_init(ml_config *c)
{
    *c = (ml_config){0};
}
void ml_set_allocator(ml_alloc_fn fn, void *ud)
{
    mem_set_hook(fn, ud);
}
const char *ml_open_error(void)
{
    return open_error;
}
const char *ml_error(const ml_host *h)
{
    return h ? h->last.text : open_error;
}
const char *ml_version(void)
{
    return "0.1.0";
}
int ml_attached(const ml_host *h)
{
    return h->attach != NULL;
}

int64_t ml_parse_time(const char *iso)
{
    int64_t ns = 0;
    return iso && time_parse_iso(str_of(iso), &ns) == 0 ? ns : 0;
}

int host_fail(ml_host *h, const struct err *e)
{
    h->last = *e;
    return e->code;
}

int host_gone(ml_host *h)
{
    if (h->closing) return err_set(&h->last, ERR_CLOSED, "the host is closing");
    if (!h->gone.code) return 0;
    return err_set(&h->last, ERR_CLOSED, "%s", h->gone.text);
}

void host_give_up(ml_host *h, const struct err *e)
{
    const char *what = h->path ? h->path : "the snapshot";
    err_set(&h->gone, e->code, "cannot go on with %s: %s", what, e->text);
    owner_unlock(h);
}

/* ---- ports ---- */
static int64_t host_wall(void *ud)
{
    ml_host *h = ud;
    return h->cfg.wall_ns ? h->cfg.wall_ns(h->cfg.clock_ud) : clock_wall(&clock_system);
}

static int64_t host_mono(void *ud)
{
    ml_host *h = ud;
    return h->cfg.mono_ns ? h->cfg.mono_ns(h->cfg.clock_ud) : clock_mono(&clock_system);
}

static void host_log(void *ud, int level, struct str text, struct str fields)
{
    ml_host *h = ud;
    if (!h->cfg.log) return;
    char *t = str_dup(text), *f = fields.n ? str_dup(fields) : NULL;
    if (t) h->cfg.log(h->cfg.log_ud, level, t, f);
    mem_free(t);
    mem_free(f);
}

static void on_drain(void *ud)
{
    ml_host *h = ud;
    atomic_store(&h->drain_posted, false);
    if (h->store) store_drain(h->store);
}

void host_store_wake(void *ud)
{
    ml_host *h = ud;
    if (!atomic_exchange(&h->drain_posted, true) && loop_post_in(h->loop, &h->drain, on_drain, h))
        atomic_store(&h->drain_posted, false);
}

static void on_stop(void *ud, int events, int error)
{
    ml_host *h = ud;
    uint64_t n;
    (void)events;
    (void)error;
    if (read(h->stop_fd, &n, sizeof n) < 0) return; /* somebody else's wake-up */
}

void ml_stop(ml_host *h)
{
    uint64_t one = 1;
    int saved = errno;
    h->stop = 1;
    if (write(h->stop_fd, &one, sizeof one) < 0)
        h->stop = 1; /* the counter is full: it wakes anyway */
    errno = saved;
}

/* ---- the engine and what stands on it ---- */
static enum engine_clock clock_of(enum ml_clock c)
{
    switch (c) {
    case ML_CLOCK_REAL:
        return ENGINE_CLOCK_REAL;
    case ML_CLOCK_VIRTUAL:
        return ENGINE_CLOCK_VIRTUAL;
    case ML_CLOCK_HOST:
        return ENGINE_CLOCK_HOST;
    case ML_CLOCK_FILE:
        break;
    }
    return ENGINE_CLOCK_FILE;
}

static void on_script_error(void *ud, struct str workflow_id, struct str text)
{
    ml_host *h = ud;
    char *id = str_dup(workflow_id), *t = str_dup(text);
    if (id && t) host_say(h, ML_EVENT_BLOCKED, id, t);
    mem_free(id);
    mem_free(t);
}

/* The steps of all rooms, in the order in which they came. */
static size_t migrations(ml_host *h)
{
    size_t n = engine_migrations_n;
    memcpy(h->migrations, engine_migrations, n * sizeof *h->migrations);
    h->migrations[n] = (struct store_migration){(int)n + 1, api_schema_sql};
    return n + 1;
}

static int open_store(ml_host *h, struct store **out, struct err *e)
{
    bool threaded = !h->snapshot && !(h->cfg.flags & ML_NO_THREADS);
    struct store_opts o = {.path = h->snapshot ? ":memory:" : h->path,
                           .fast = h->cfg.durability != ML_DURABILITY_FULL,
                           .threaded = threaded,
                           .n_migrations = migrations(h),
                           .migrations = h->migrations,
                           .wake = host_store_wake,
                           .wake_ud = h,
                           .log = &h->log};
    return store_open(&o, out, e);
}

static int engine_on(ml_host *h, struct store *s, struct engine **out, struct err *e)
{
    struct engine_opts o = {.loop = h->loop,
                            .store = s,
                            .clock = &h->clock,
                            .entropy = &entropy_system,
                            .log = &h->log,
                            .clock_mode = clock_of(h->cfg.clock),
                            .until_ns = h->cfg.until_ns,
                            .identity = str_of(h->identity)};
#ifdef ML_TESTING
    const char *timers = getenv("ML_TIMERS_IN_MEMORY");
    if (timers && *timers) o.timers_in_memory = (int)strtol(timers, NULL, 10);
    const char *sick = getenv("ML_SICK_MS");
    if (sick && *sick) o.sick_first_ns = (int64_t)strtol(sick, NULL, 10) * NS_PER_MS;
    const char *far = getenv("ML_SLEEP_FAR_MS");
    if (far && *far) o.sleep_far_ns = (int64_t)strtol(far, NULL, 10) * NS_PER_MS;
#endif
    return engine_open(&o, out, e);
}

static int open_engine(ml_host *h, struct err *e)
{
    int rc = engine_on(h, h->store, &h->engine, e);
    if (rc) return rc;
    h->b = engine_backend(h->engine);
    rc = host_open_api(h, e);
    if (rc) return rc;
    engine_on_commit(h->engine, host_on_commit, h);
    if (h->drive_all) engine_drive_all(h->engine);
    return 0;
}

int host_open_worker(ml_host *h, struct err *e)
{
    struct worker_opts o = {.backend = h->b,
                            .loop = h->loop,
                            .log = &h->log,
                            .task_queue = str_of(h->task_queue),
                            .queue_if_used = h->remote && h->queue_unnamed,
                            .name_space =
                                h->remote ? temporal_namespace(h->remote) : (struct str){NULL, 0},
                            .cache_runs = h->cfg.cache_runs,
                            .activity_slots = (int)h->cfg.activity_slots,
                            .watchdog = !(h->cfg.flags & ML_NO_THREADS),
                            .on_script_error = on_script_error,
                            .intents = host_intents_batch,
                            .on_task_events = h->remote ? remote_events : NULL,
                            .ud = h};
    o.limits.memory_bytes = h->cfg.run_memory_bytes;
    o.limits.instructions = h->cfg.run_instructions;
#ifdef ML_TESTING
    const char *noop = getenv("ML_NOOP"), *cache = getenv("ML_CACHE_RUNS"),
               *evict = getenv("ML_EVICT_ALWAYS");
    if (noop && *noop) o.noop_name = str_of(noop);
    if (cache && *cache) o.cache_runs = (size_t)strtoul(cache, NULL, 10);
    o.evict_always = evict && *evict == '1';
#endif
    host_act_env(h, &o.env);
    return worker_open(&o, &h->worker, e);
}

int host_open_engine(ml_host *h, struct err *e)
{
    int rc = 0;
    h->store_wake_off = false;
    if ((rc = open_store(h, &h->store, e)) != 0) goto out;
    if (h->snapshot && h->path && (rc = store_load_from(h->store, h->path, e)) != 0) goto out;
    if ((rc = open_engine(h, e)) != 0) goto out;
    if ((rc = host_open_worker(h, e)) != 0) goto out;
    host_register_all(h, e);
    if (!h->snapshot && !h->read_only) {
        struct err why = {0};
        if (server_open(
                h, &h->server,
                &why)) /* other processes then cannot reach this one; its own work is not harmed */
            log_printf(&h->log, LOG_WARN, "no socket for other processes: %s", why.text);
    }
out:
    if (rc) host_close_engine(h, false);
    return rc;
}

static void on_worker_stopped(void *ud)
{
    ((ml_host *)ud)->stopped = true;
}
static void on_engine_shut(void *ud)
{
    ((ml_host *)ud)->shut = true;
}

/* Turns the loop until the flag is set, for a bounded time. */
void host_turn_until(ml_host *h, const bool *flag)
{
    int64_t end = clock_mono(&clock_system) + CLOSE_WAIT_NS;
    while (!*flag && clock_mono(&clock_system) < end) {
        if (h->store) store_drain(h->store);
        bool more = h->worker && worker_step(h->worker, 5 * NS_PER_MS);
        if (!*flag) loop_turn(h->loop, more ? 0 : 20 * NS_PER_MS);
    }
}

void host_close_engine(ml_host *h, bool orderly)
{
    if (h->server) server_close(h->server);
    h->server = NULL;
    if (orderly && h->worker) {
        h->stopped = false;
        worker_stop(h->worker, on_worker_stopped, h);
        host_turn_until(h, &h->stopped);
    }
    if (orderly && h->engine) {
        h->shut = false;
        h->b->ops->shutdown(h->b, on_engine_shut, h);
        host_turn_until(h, &h->shut);
    }
    if (h->worker) worker_close(h->worker);
    h->worker = NULL;
    host_close_api(h);
    if (h->engine) engine_close(h->engine);
    h->engine = NULL;
    h->b = NULL;
    if (h->store) store_close(h->store);
    h->store = NULL;
    map_free(&h->bundles_put);
    map_init(&h->bundles_put);
}

/* ---- opening ---- */
static void nap(void)
{
    usleep(20000);
}

/* The lock, or a connection to who has it. Between the two a process may be opening or closing: try
 * again for two seconds. */
static int own_or_attach(ml_host *h, struct err *e)
{
    bool attach = (h->cfg.flags & (ML_ATTACH | ML_READ_ONLY)) != 0;
    for (int i = 0; i < ATTACH_TRIES; i++) {
        int rc = owner_lock(h, e);
        if (rc != ERR_BUSY) return rc;
        if (!attach) return rc;
        struct err why = {0};
        rc = attach_open(h, &h->attach, &why);
        if (rc == 0) {
            *e = (struct err){0};
            return 0;
        }
        if (rc != ERR_BUSY) {
            *e = why;
            return rc;
        }
        nap();
    }
    return err_set(e, ERR_BUSY,
                   "%s is in use by another process that does not answer on its socket", h->path);
}

static int copy_config(ml_host *h, const ml_config *c, struct err *e)
{
    char host[128] = "?", text[200];
    h->cfg = *c;
    h->snapshot = c->durability == ML_DURABILITY_SNAPSHOT;
    h->drive_all = (c->flags & ML_DRIVE_ALL) != 0;
    h->read_only = (c->flags & ML_READ_ONLY) != 0;
    const char *path = c->path ? c->path : h->snapshot ? NULL : "moonloop.db";
    if (gethostname(host, sizeof host - 1)) host[0] = '?';
    snprintf(text, sizeof text, "%ld@%s", (long)getpid(), host);
    h->identity = str_dup(str_of(text));
    h->path = !path ? NULL : h->snapshot ? str_dup(str_of(path)) : owner_real_path(path);
    h->queue_unnamed = !c->task_queue;
    h->task_queue = str_dup(str_of(c->task_queue ? c->task_queue : "default"));
    if (!h->identity || !h->task_queue || (path && !h->path))
        return err_set(e, ERR_NOMEM, "out of memory opening a host");
    h->cfg.path = h->path;
    h->cfg.task_queue = h->task_queue;
    if (c->clock == ML_CLOCK_HOST && !c->wall_ns)
        return err_set(e, ERR_ARG, "the host clock needs wall_ns");
    if (h->read_only && !c->temporal && path && access(path, F_OK) != 0)
        return err_set(e, ERR_NOTFOUND, "no database %s", path);
    h->clock = (struct clock){host_wall, host_mono, h};
    h->log = (struct log){c->log ? host_log : NULL, h, LOG_DEBUG};
    return 0;
}

static void *cjson_malloc(size_t n)
{
    return mem_alloc(n);
}
static void cjson_free(void *p)
{
    mem_free(p);
}

/* The boundary's file beside a Temporal server. */
static int open_boundary(ml_host *h, struct err *e)
{
    int rc = owner_lock(h, e);
    if (!rc) rc = open_store(h, &h->store, e);
    if (!rc) rc = host_open_api(h, e);
    struct err why = {0};
    if (!rc && server_open(h, &h->server, &why))
        log_printf(&h->log, LOG_WARN, "no socket for other processes: %s", why.text);
    return rc;
}

static int host_init(ml_host *h, const ml_config *c, struct err *e)
{
    int rc = copy_config(h, c, e);
    if (rc) return rc;
    rc = loop_open(&h->clock, &h->loop, e);
    if (rc) return rc;
    if (loop_timer_open(h->loop, host_quiet, h, &h->quiet))
        return err_set(e, ERR_NOMEM, "out of memory opening a host");
    h->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (h->stop_fd < 0) return err_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    rc = loop_io_open(h->loop, h->stop_fd, on_stop, h, &h->stop_io);
    if (rc) return err_set(e, rc, "the stop descriptor cannot be watched");
    loop_io_want(h->stop_io, LOOP_READ);
    if (c->temporal) {
        rc = remote_open(h, e);
        return rc || !(c->flags & ML_BOUNDARY) ? rc : open_boundary(h, e);
    }
    if (!h->snapshot && (rc = own_or_attach(h, e)) != 0) return rc;
    if (h->attach) {
        host_say(h, ML_EVENT_ATTACHED, "", "another process owns the file: this one talks to it");
        return 0;
    }
    return host_open_engine(h, e);
}

int ml_open(const ml_config *c, ml_host **out)
{
    struct err e = {0};
    cJSON_Hooks hooks = {cjson_malloc, cjson_free};
    fault_init();
    cJSON_InitHooks(&hooks);
    ml_host *h = mem_zalloc(sizeof *h);
    if (!h) {
        snprintf(open_error, sizeof open_error, "out of memory opening a host");
        return ML_E_NOMEM;
    }
    h->stop_fd = h->lock_fd = -1;
    h->open_count = -1;
    map_init(&h->bundles_put);
    map_init(&h->activity_names);
    int rc = host_init(h, c, &e);
    h->cfg.temporal = NULL; /* was borrowed */
    if (rc) {
        snprintf(open_error, sizeof open_error, "%s", e.text);
        ml_close(h);
        return rc;
    }
    *out = h;
    return ML_OK;
}

void ml_close(ml_host *h)
{
    if (!h) return;
    h->closing = true;
    if (h->attach) attach_close(h->attach);
    attach_free_list(h->drives);
    programs_free(h);
    serve_stop(h->serving);
    if (h->remote && h->server) server_close(h->server);
    if (h->remote) h->server = NULL;
    remote_close_worker(h);
    if (h->remote) host_close_api(h);
    remote_close(h, true);
    host_close_engine(h, true);
    serve_free(h->serving);
    h->serving = NULL;
    host_mcp_free(h);
    if (h->http) http_client_close(h->http);
    owner_unlock(h);
    if (h->stop_io) loop_io_close(h->stop_io);
    if (h->quiet) loop_timer_close(h->quiet);
    h->quiet = NULL;
    if (h->loop)
        loop_close(
            h->loop); /* runs what was posted: it may still answer (to nobody) and free calls */
    while (h->calls)
        hcall_free(h->calls);
    host_loads_free(h);
    if (h->stop_fd >= 0) close(h->stop_fd);
    events_free(h);
    while (h->c_acts) {
        struct c_activity *a = h->c_acts;
        h->c_acts = a->next;
        mem_free(a->name);
        mem_free(a);
    }
    map_free(&h->bundles_put);
    mem_free(h->identity);
    mem_free(h->path);
    mem_free(h->bundles);
    mem_free(h->deployment);
    mem_free(h->followed.id);
    mem_free(h->followed.run);
    mem_free(h->task_queue);
    mem_free(h);
}

/* An engine opens on the snapshot: its version, its clock and its rows are looked at. */
static int try_snapshot(ml_host *h, const char *snapshot, struct err *e)
{
    struct store *s = NULL;
    struct engine *g = NULL;
    int rc = open_store(h, &s, e);
    if (rc == 0) rc = store_load_from(s, snapshot, e);
    if (rc == 0) rc = engine_on(h, s, &g, e);
    engine_close(g);
    store_close(s);
    return rc;
}

/* The content is replaced under the worker, whose scripts and activities stay. The old engine goes
 * first: it stands on the content it knows. A snapshot that cannot be used changes nothing. */
int host_reopen_engine(ml_host *h, const char *snapshot, struct err *e)
{
    int rc = try_snapshot(h, snapshot, e);
    if (rc) return rc;
    store_flush(h->store);
    store_drain(h->store);
    worker_unbind(h->worker);
    host_close_api(h);
    engine_close(h->engine);
    h->engine = NULL;
    h->b = NULL;
    struct err gone;
    err_set(&gone, ERR_CLOSED, "another snapshot was loaded");
    host_fail_calls(h, &gone); /* the engine that would have answered is closed */
    rc = store_load_from(h->store, snapshot, e);
    struct err why = {0};
    if (open_engine(h, &why)) { /* no memory */
        if (!rc) *e = why;
        host_close_engine(h, false);
        host_give_up(h, e);
        return e->code;
    }
    map_free(&h->bundles_put);
    map_init(&h->bundles_put);
    worker_rebind(h->worker, h->b);
    return rc;
}
