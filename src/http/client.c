/* The multi handle on the loop. Keeps true: curl is never called from inside a curl callback (its
 * callbacks only note what happened and start timers), and owners are told only from
 * client_deliver, when curl is not on the stack. */
#include "client_internal.h"

#include <assert.h>
#include <pthread.h>

static pthread_mutex_t global_lock = PTHREAD_MUTEX_INITIALIZER;
static bool global_done;

static void *curl_malloc_(size_t n)
{
    return mem_alloc(n);
}
static void curl_free_(void *p)
{
    mem_free(p);
}
static void *curl_realloc_(void *p, size_t n)
{
    return mem_realloc(p, n ? n : 1);
}
static char *curl_strdup_(const char *z)
{
    return mem_dup(z, strlen(z) + 1);
}
static void *curl_calloc_(size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size) return NULL;
    return mem_zalloc(n * size);
}

/* Once a process; again when it failed. */
static CURLcode global_init(void)
{
    CURLcode code = CURLE_OK;
    pthread_mutex_lock(&global_lock);
    if (!global_done)
        code = curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc_, curl_free_, curl_realloc_,
                                    curl_strdup_, curl_calloc_);
    global_done = code == CURLE_OK;
    pthread_mutex_unlock(&global_lock);
    return code;
}

const char *http_library_version(struct err *e)
{
    return curl_lib_load(e) ? NULL : curl_version();
}

/* ---- telling owners ---- */

void client_due(struct http_transfer *t)
{
    if (t->due) return;
    t->due = true;
    t->due_next = NULL;
    struct http_client *c = t->c;
    if (c->due_last) {
        c->due_last->due_next = t;
    } else {
        c->due_first = t;
    }
    c->due_last = t;
    loop_timer_start(c->deliver, 0);
}

static struct http_transfer *due_pop(struct http_client *c)
{
    struct http_transfer *t = c->due_first;
    if (!t) return NULL;
    c->due_first = t->due_next;
    if (!c->due_first) c->due_last = NULL;
    t->due = false;
    return t;
}

static void unlink_transfer(struct http_transfer *t)
{
    struct http_client *c = t->c;
    if (t->due) {
        struct http_transfer **at = &c->due_first, *prev = NULL;
        while (*at != t) {
            prev = *at;
            at = &(*at)->due_next;
        }
        *at = t->due_next;
        if (c->due_last == t) c->due_last = prev;
    }
    if (t->prev)
        t->prev->next = t->next;
    else
        c->first = t->next;
    if (t->next)
        t->next->prev = t->prev;
    else
        c->last = t->prev;
    if (t->running) curl_multi_remove_handle(c->multi, t->easy);
    idmap_del(&c->ids, t->id);
    c->n--;
    transfer_free(t);
}

/* One transfer's news, in order; it may be cancelled by any of the calls. */
static void tell(struct http_client *c, struct http_transfer *t)
{
    uint64_t id = t->id;
    struct http_response r;
    if (t->streaming && t->begun && !t->told_response && !t->failure.type) {
        t->told_response = true;
        if (t->ev.on_response) {
            transfer_response(t, &r);
            r.body = STR("");
            t->ev.on_response(t->ud, &r);
            if (!idmap_get(&c->ids, id)) return;
        }
    }
    if (t->streaming && t->told_response && t->data.n && t->ev.on_data) {
        t->ev.on_data(t->ud);
        if (!idmap_get(&c->ids, id)) return;
    }
    if (!t->ended || t->told_done) return;
    t->told_done = true;
    transfer_response(t, &r);
    if (t->streaming) r.body = STR("");
    t->ev.on_done(t->ud, &r);
    if (!t->streaming && idmap_get(&c->ids, id)) unlink_transfer(t);
}

static void client_deliver(struct http_client *c)
{
    if (c->delivering || c->in_curl || !c->due_first) return;
    c->delivering = true;
    /* Only those that are due now: what callbacks add waits for the next turn, so one owner cannot
     * starve the loop. */
    struct http_transfer *end = c->due_last;
    uint64_t end_id = end ? end->id : 0;
    for (struct http_transfer *t; (t = due_pop(c)) != NULL;) {
        bool stop = t->id == end_id;
        tell(c, t);
        if (stop || !idmap_get(&c->ids, end_id)) break;
    }
    if (c->due_first) loop_timer_start(c->deliver, 0);
    c->delivering = false;
    /* A turn that waits without bound polls after its timers have run: what was told from a timer
     * must end that wait. */
    loop_wake(c->loop);
}

static void on_deliver(void *ud)
{
    client_deliver(ud);
}

/* ---- curl's side ---- */

static void take_finished(struct http_client *c)
{
    int left = 0;
    for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left)) != NULL;) {
        if (m->msg != CURLMSG_DONE) continue;
        struct http_transfer *t = NULL;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        curl_multi_remove_handle(c->multi, t->easy);
        t->running = false;
        if (transfer_finish(t, code)) {
            if (curl_multi_add_handle(c->multi, t->easy) == CURLM_OK) {
                t->running = true;
                continue;
            }
            transfer_fail(t, "OutOfMemory", true, "no memory for the redirected request");
        }
        t->ended = true;
        client_due(t);
    }
}

/* curl could not go on (no memory for its tables, or for a watch of ours): which transfers it still
 * knows is not told, and a handle whose callback has failed refuses everything from then on. So all
 * that run fail, and the next request gets a new handle. */
static void abandon(struct http_client *c)
{
    for (struct http_transfer *t = c->first; t; t = t->next) {
        if (!t->running) continue;
        curl_multi_remove_handle(c->multi, t->easy);
        t->running = false;
        transfer_fail(t, "OutOfMemory", true, "no memory for the request");
        t->ended = true;
        client_due(t);
    }
    curl_multi_cleanup(c->multi);
    c->multi = NULL;
    loop_timer_stop(c->timer);
}

static void drive(struct http_client *c, curl_socket_t fd, int mask)
{
    int running = 0;
    if (!c->multi) return;
    c->in_curl = true;
    CURLMcode code = curl_multi_socket_action(c->multi, fd, mask, &running);
    take_finished(c);
    if (code != CURLM_OK) abandon(c);
    c->in_curl = false;
    client_deliver(c);
}

static void on_timer(void *ud)
{
    drive(ud, CURL_SOCKET_TIMEOUT, 0);
}

struct watch {
    struct http_client *c;
    curl_socket_t fd;
    struct loop_io *io;
};

static void on_io(void *ud, int events, int error)
{
    struct watch *w = ud;
    int mask = (events & LOOP_READ ? CURL_CSELECT_IN : 0) |
               (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0) | (error ? CURL_CSELECT_ERR : 0);
    drive(w->c, w->fd, mask);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *of_socket)
{
    struct http_client *c = ud;
    struct watch *w = of_socket;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            loop_io_close(w->io);
            mem_free(w);
            curl_multi_assign(c->multi, fd, NULL);
        }
        return 0;
    }
    if (!w) {
        w = mem_zalloc(sizeof *w);
        if (!w) return -1;
        w->c = c;
        w->fd = fd;
        if (loop_io_open(c->loop, fd, on_io, w, &w->io) < 0) {
            mem_free(w);
            return -1;
        }
        curl_multi_assign(c->multi, fd, w);
    }
    loop_io_want(w->io,
                 (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0));
    return 0;
}

static int on_curl_timer(CURLM *multi, long ms, void *ud)
{
    struct http_client *c = ud;
    (void)multi;
    if (ms < 0) {
        loop_timer_stop(c->timer);
    } else {
        loop_timer_start(c->timer, (int64_t)ms * NS_PER_MS);
    }
    return 0;
}

static bool open_multi(struct http_client *c)
{
    c->multi = curl_multi_init();
    if (!c->multi) return false;
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, c->connections_max);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 64L);
    return true;
}

/* ---- the public side ---- */

int http_client_open(struct loop *l, const struct http_client_opts *o, struct http_client **out,
                     struct err *e)
{
    int rc = curl_lib_load(e);
    if (rc) return rc;
    CURLcode code = global_init();
    if (code != CURLE_OK)
        return err_set(e, code == CURLE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_IO,
                       "libcurl could not be initialised (%d)", (int)code);
    struct http_client *c = mem_zalloc(sizeof *c);
    if (!c) return err_set(e, ERR_NOMEM, "no memory for the HTTP client");
    c->loop = l;
    c->connections_max = (long)(o && o->connections_max ? o->connections_max : 512);
    idmap_init(&c->ids);
    if (o && o->ca_file && !(c->ca_file = str_dup(str_of(o->ca_file)))) goto out;
    if (!open_multi(c) || loop_timer_open(l, on_timer, c, &c->timer) < 0 ||
        loop_timer_open(l, on_deliver, c, &c->deliver) < 0)
        goto out;
    *out = c;
    return 0;
out:
    http_client_close(c);
    return err_set(e, ERR_NOMEM, "no memory for the HTTP client");
}

void http_client_close(struct http_client *c)
{
    if (!c) return;
    assert(!c->delivering && !c->in_curl);
    while (c->first)
        unlink_transfer(c->first);
    if (c->multi) curl_multi_cleanup(c->multi);
    if (c->timer) loop_timer_close(c->timer);
    if (c->deliver) loop_timer_close(c->deliver);
    idmap_free(&c->ids);
    mem_free(c->ca_file);
    mem_free(c);
}

int http_start(struct http_client *c, const struct http_request *r, const struct http_events *ev,
               void *ud, uint64_t *id, struct err *e)
{
    struct http_transfer *t = mem_zalloc(sizeof *t);
    if (!t) return err_set(e, ERR_NOMEM, "no memory for a request");
    t->c = c;
    t->ev = *ev;
    t->ud = ud;
    int code = transfer_copy(t, r, e);
    if (code == 0) code = transfer_prepare(t, e);
    if (code == 0 && (t->id = idmap_add(&c->ids, t)) == 0)
        code = err_set(e, ERR_NOMEM, "no memory for a request");
    if (code == 0 &&
        ((!c->multi && !open_multi(c)) || curl_multi_add_handle(c->multi, t->easy) != CURLM_OK)) {
        idmap_del(&c->ids, t->id);
        code = err_set(e, ERR_NOMEM, "no memory for a request");
    }
    if (code < 0) {
        transfer_free(t);
        return code;
    }
    t->running = true;
    t->prev = c->last;
    if (c->last)
        c->last->next = t;
    else
        c->first = t;
    c->last = t;
    c->n++;
    *id = t->id;
    return 0;
}

void http_cancel(struct http_client *c, uint64_t id)
{
    struct http_transfer *t = idmap_get(&c->ids, id);
    if (t) unlink_transfer(t);
}

/* curl does not end a transfer whose callback refused what had waited while it was paused. */
static void end_failed(struct http_transfer *t, CURLcode code)
{
    curl_multi_remove_handle(t->c->multi, t->easy);
    t->running = false;
    transfer_finish(t, code);
    t->ended = true;
    client_due(t);
}

long http_read(struct http_client *c, uint64_t id, struct buf *out)
{
    struct http_transfer *t = idmap_get(&c->ids, id);
    if (!t) return ERR_STALE;
    size_t n = t->data.n;
    if (n) {
        int code = buf_putstr(out, buf_str(&t->data));
        if (code < 0) return code;
        buf_reset(&t->data);
    }
    if (t->paused && t->running) {
        t->paused = false;
        CURLcode code = curl_easy_pause(t->easy, CURLPAUSE_CONT);
        if (code != CURLE_OK) end_failed(t, code);
    }
    return (long)n;
}

size_t http_active(const struct http_client *c)
{
    return c ? c->n : 0;
}
