/* The channel: calls, lanes and turns (channel_internal.h says how it moves). */
#include "temporal/channel_internal.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- lists ---- */

void chan_list_remove(struct chan_call *call)
{
    struct chan_calls *l = call->list;
    if (!l) return;
    if (call->prev)
        call->prev->next = call->next;
    else
        l->first = call->next;
    if (call->next)
        call->next->prev = call->prev;
    else
        l->last = call->prev;
    l->n--;
    call->list = NULL;
    call->prev = call->next = NULL;
}

void chan_list_add(struct chan_calls *l, struct chan_call *call)
{
    chan_list_remove(call);
    call->list = l;
    call->prev = l->last;
    if (l->last)
        l->last->next = call;
    else
        l->first = call;
    l->last = call;
    l->n++;
}

void chan_list_push(struct chan_calls *l, struct chan_call *call)
{
    chan_list_remove(call);
    call->list = l;
    call->next = l->first;
    if (l->first)
        l->first->prev = call;
    else
        l->last = call;
    l->first = call;
    l->n++;
}

/* ---- the end of calls ---- */

static void finish(struct chan_call *call)
{
    chan_list_add(&call->c->finished, call);
    channel_kick(call->c);
}

void chan_end(struct chan_call *call, int code, bool hopeless, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(call->why, sizeof call->why, fmt, ap);
    va_end(ap);
    call->reply = (struct channel_reply){.code = code,
                                         .message = str_of(call->why),
                                         .body = STR(""),
                                         .transport = true,
                                         .hopeless = hopeless};
    finish(call);
}

/* No grpc-status came, but the stream ended. */
static void end_without_status(struct chan_call *call)
{
    const char *target = channel_target(call->c);
    int http = call->http_status;
    if (http != 200) {
        int code = grpc_status_of_http(http);
        chan_end(call, code, code != STATUS_UNAVAILABLE,
                 "%s answered with HTTP status %d instead of a gRPC reply: is it the frontend?",
                 target, http);
    } else if (call->bad_type) {
        chan_end(call, STATUS_UNKNOWN, true,
                 "%s does not answer in gRPC: is the address that of the frontend?", target);
    } else {
        chan_end(call, STATUS_UNAVAILABLE, false, "%s ended the reply early", target);
    }
}

void chan_end_reply(struct chan_call *call)
{
    bool whole = grpc_reader_complete(&call->reader);
    if (call->broken.code) {
        bool proto = call->broken.code == ERR_PROTO, memory = call->broken.code == ERR_NOMEM;
        chan_end(call, proto ? STATUS_INTERNAL : STATUS_RESOURCE_EXHAUSTED, !memory, "%s: %s",
                 channel_target(call->c), call->broken.text);
        return;
    }
    /* A whole message is sent for a good end only: its status may have been lost with the stream.
     */
    if (call->grpc_status < 0 && call->http_status == 200 && !call->bad_type && whole)
        call->grpc_status = STATUS_OK;
    if (call->grpc_status < 0) {
        end_without_status(call);
        return;
    }
    if (call->grpc_status == STATUS_OK && !whole) {
        chan_end(call, STATUS_INTERNAL, false, "%s said OK without a whole message",
                 channel_target(call->c));
        return;
    }
    call->reply = (struct channel_reply){
        .code = call->grpc_status,
        .message = call->text.code ? STR("(out of memory for the server's message)")
                                   : buf_str(&call->text),
        .details = call->details.n ? buf_str(&call->details) : (struct str){NULL, 0},
        .body = call->grpc_status == STATUS_OK ? buf_str(&call->reader.body) : STR("")};
    finish(call);
}

static void forget_reply(struct chan_call *call)
{
    call->http_status = call->grpc_status = -1;
    call->bad_type = false;
    call->header_bytes = 0;
    buf_reset(&call->text);
    buf_reset(&call->details);
    grpc_reader_free(&call->reader);
    call->broken.code = 0;
}

void chan_again(struct chan_call *call)
{
    forget_reply(call);
    call->headers_sent = false;
    chan_list_push(&call->c->lanes[call->lane].waiting, call);
    channel_kick(call->c);
}

static void free_call(struct chan_call *call)
{
    struct channel *c = call->c;
    chan_list_remove(call);
    if (call->id) {
        idmap_del(&c->ids, call->id);
        c->n_calls--;
    }
    buf_free(&call->text);
    buf_free(&call->details);
    grpc_reader_free(&call->reader);
    arena_free(&call->arena);
    mem_free(call);
}

/* ---- lanes ---- */

void chan_lane_failed(struct channel *c, enum channel_lane lane, const struct err *why,
                      bool hopeless)
{
    struct chan_lane *l = &c->lanes[lane];
    int64_t wait = CHANNEL_BACKOFF_NS;
    for (int i = 0; i < l->fails && wait < CHANNEL_BACKOFF_MAX_NS; i++)
        wait *= 2;
    if (wait > CHANNEL_BACKOFF_MAX_NS) wait = CHANNEL_BACKOFF_MAX_NS;
    wait = (int64_t)((double)wait * (0.8 + 0.4 * rng_unit(&c->rng)));
    l->fails++;
    l->retry_ns = channel_now(c) + wait;
    l->why = *why;
    for (struct chan_conn *k = c->conns; k; k = k->next)
        if (k->lane == lane && (k->state == CONN_UP || conn_is_opening(k))) return;
    while (l->waiting.first) {
        chan_end(l->waiting.first, STATUS_UNAVAILABLE, hopeless, "%s: %s", c->target, why->text);
        c->finished.last->reply.unsent = true;
    }
}

/* Gives waiting calls a stream, and opens a connection when there are not enough. */
static void assign(struct channel *c, enum channel_lane lane)
{
    struct chan_lane *l = &c->lanes[lane];
    size_t opening = 0, up = 0;
    for (struct chan_conn *k = c->conns; k; k = k->next) {
        if (k->lane != lane) continue;
        if (k->state == CONN_UP && !nghttp2_session_check_request_allowed(k->h2))
            k->state = CONN_DRAINING; /* its stream ids are used up */
        while (l->waiting.first && conn_has_room(k)) {
            struct chan_call *call = l->waiting.first;
            int rc = stream_open(k, call);
            if (rc == ERR_NOMEM) {
                chan_end(call, STATUS_RESOURCE_EXHAUSTED, false, "out of memory for a call");
                call->reply.unsent = true;
            } else if (rc) {
                k->state = CONN_DRAINING;
            }
        }
        opening += conn_is_opening(k);
        up += k->state == CONN_UP;
    }
    size_t most = lane == CHANNEL_POLL ? CHANNEL_POLL_CONNECTIONS : 1;
    if (!l->waiting.n || opening || up >= most || channel_now(c) < l->retry_ns) return;
    struct err e;
    if (channel_conn_open(c, lane, &e)) chan_lane_failed(c, lane, &e, false);
}

/* ---- turns ---- */

static void bury(struct channel *c)
{
    for (struct chan_conn *k = c->conns, *next; k; k = next) {
        next = k->next;
        if (k->state != CONN_DEAD) continue;
        while (k->calls.first)
            stream_lost(k->calls.first);
        if (k->prev)
            k->prev->next = next;
        else
            c->conns = next;
        if (next) next->prev = k->prev;
        if (!k->was_up) chan_lane_failed(c, k->lane, &k->why, k->hopeless);
        channel_conn_free(k);
    }
}

static void expire(struct channel *c, struct chan_calls *l, int64_t now)
{
    for (struct chan_call *call = l->first, *next; call; call = next) {
        next = call->next;
        if (!call->deadline_ns || call->deadline_ns > now) continue;
        bool unsent = !call->headers_sent;
        const char *why = call->conn ? "" : c->lanes[call->lane].why.text;
        stream_drop(call);
        if (grpc_reader_complete(&call->reader)) {
            chan_end_reply(call);
            continue;
        }
        chan_end(call, STATUS_DEADLINE_EXCEEDED, false, "%s did not answer in time%s%s%s",
                 c->target, *why ? " (" : "", why, *why ? ")" : "");
        call->reply.unsent = unsent;
    }
}

static void earliest(const struct chan_calls *l, int64_t *at)
{
    for (const struct chan_call *call = l->first; call; call = call->next)
        if (call->deadline_ns && (!*at || call->deadline_ns < *at)) *at = call->deadline_ns;
}

/* The timer stands at the next deadline or the end of a back-off. It may ring early for a call that
 * has ended meanwhile; looking through all calls then is cheaper than at each end. */
static void arm(struct channel *c)
{
    int64_t at = 0, now = channel_now(c);
    for (int i = 0; i < 2; i++) {
        const struct chan_lane *l = &c->lanes[i];
        earliest(&l->waiting, &at);
        if (l->waiting.n && l->retry_ns > now && (!at || l->retry_ns < at)) at = l->retry_ns;
    }
    for (const struct chan_conn *k = c->conns; k; k = k->next)
        earliest(&k->calls, &at);
    c->timer_ns = at;
    if (at)
        loop_timer_start(c->timer, at > now ? at - now : 0);
    else
        loop_timer_stop(c->timer);
}

static void deliver(struct channel *c)
{
    /* only those that are there now: what owners start again must not starve the loop */
    for (size_t n = c->finished.n; n && c->finished.first; n--) {
        struct chan_call *call = c->finished.first;
        uint64_t id = call->id;
        chan_list_remove(call);
        idmap_del(&c->ids, id);
        c->n_calls--;
        call->id = 0;
        call->fn(call->ud, &call->reply);
        free_call(call);
    }
}

void channel_kick(struct channel *c)
{
    c->again = true;
    if (c->turning) return;
    c->timer_ns = 1;
    loop_timer_start(c->timer, 0);
}

static void round_of(struct channel *c)
{
    int64_t now = channel_now(c);
    if (c->timer_ns && c->timer_ns <= now) {
        for (struct chan_conn *k = c->conns; k; k = k->next)
            expire(c, &k->calls, now);
        for (int i = 0; i < 2; i++)
            expire(c, &c->lanes[i].waiting, now);
    }
    bury(c); /* first: else calls that wait for what failed get a second connection at once */
    assign(c, CHANNEL_CALL);
    assign(c, CHANNEL_POLL);
    for (struct chan_conn *k = c->conns; k; k = k->next)
        conn_flush(k);
    bury(c);
    deliver(c);
}

void channel_turn(struct channel *c)
{
    if (c->turning) {
        c->again = true;
        return;
    }
    c->turning = true;
    for (int i = 0; i < 4 && (i == 0 || c->again); i++) {
        c->again = false;
        round_of(c);
    }
    c->turning = false;
    if (c->again)
        channel_kick(c);
    else
        arm(c);
}

static void on_timer(void *ud)
{
    channel_turn(ud);
}

/* ---- calls ---- */

static bool good_path(const char *path)
{
    size_t n = strlen(path);
    if (n < 3 || n > 512 || path[0] != '/') return false;
    for (size_t i = 0; i < n; i++)
        if (path[i] <= 0x20 || path[i] > 0x7E) return false;
    return true;
}

static int copy_call(struct chan_call *call, const char *path, const struct channel_call_options *o,
                     struct err *e)
{
    struct arena *a = &call->arena;
    if (!good_path(path)) return err_set(e, ERR_ARG, "'%s' is not the path of a method", path);
    if (o->ns.n && grpc_header_value_wrong(STR("temporal-namespace"), o->ns))
        return err_set(e, ERR_ARG, "the namespace '" STR_FMT "' cannot be sent: %s", STR_ARG(o->ns),
                       grpc_header_value_wrong(STR("temporal-namespace"), o->ns));
    int rc = options_headers_check(o->headers, o->n_headers, e);
    if (rc) return rc;
    call->path = arena_str(a, str_of(path));
    if (o->ns.n) call->ns = arena_str(a, o->ns);
    if (o->n_headers) call->headers = arena_alloc(a, o->n_headers * sizeof *call->headers);
    for (size_t i = 0; i < o->n_headers && call->headers; i++)
        call->headers[i] = (struct channel_header){
            arena_str(a, o->headers[i].name),
            o->headers[i].value.n ? arena_str(a, o->headers[i].value) : STR("")};
    call->n_headers = call->headers ? o->n_headers : 0;
    return arena_failed(a) ? err_set(e, ERR_NOMEM, "out of memory for a call") : 0;
}

int channel_call(struct channel *c, const char *path, struct str message,
                 const struct channel_call_options *o, channel_fn fn, void *ud, uint64_t *id,
                 struct err *e)
{
    if (c->n_calls >= CHANNEL_CALLS_MAX)
        return err_set(e, ERR_LIMIT, "%d calls of the server are open already", CHANNEL_CALLS_MAX);
    if (message.n > UINT32_MAX) return err_set(e, ERR_LIMIT, "a message of 4 GiB cannot be sent");
    struct chan_call *call = mem_zalloc(sizeof *call);
    if (!call) return err_set(e, ERR_NOMEM, "out of memory for a call");
    call->c = c;
    call->lane = o->lane;
    call->message = message;
    call->deadline_ns = o->deadline_ns;
    call->fn = fn;
    call->ud = ud;
    arena_init(&call->arena, 0);
    buf_init(&call->text, CHANNEL_MESSAGE_MAX);
    buf_init(&call->details, CHANNEL_HEADERS_MAX);
    grpc_reader_init(&call->reader, c->o.reply_max);
    forget_reply(call);
    int rc = copy_call(call, path, o, e);
    if (rc == 0) {
        call->id = idmap_add(&c->ids, call);
        if (!call->id) rc = err_set(e, ERR_NOMEM, "out of memory for a call");
    }
    if (rc) {
        free_call(call);
        return rc;
    }
    c->n_calls++;
    chan_list_add(&c->lanes[call->lane].waiting, call);
    *id = call->id;
    channel_kick(c);
    return 0;
}

void channel_cancel(struct channel *c, uint64_t id)
{
    struct chan_call *call = idmap_get(&c->ids, id);
    if (!call) return;
    stream_drop(call);
    free_call(call);
    channel_kick(c); /* the reset is to be sent */
}

void channel_count(const struct channel *c, struct channel_counts *out)
{
    *out = (struct channel_counts){.calls = c->n_calls,
                                   .waiting = c->lanes[0].waiting.n + c->lanes[1].waiting.n,
                                   .connects = c->connects,
                                   .ups = c->ups};
    for (const struct chan_conn *k = c->conns; k; k = k->next) {
        out->connections += k->state == CONN_UP || k->state == CONN_DRAINING;
        out->streams += k->streams;
    }
}

const char *channel_target(const struct channel *c)
{
    return c->target;
}

/* ---- opening and closing ---- */

int channel_open(struct loop *l, const struct channel_options *o, struct channel **out,
                 struct err *e)
{
    unsigned char seed[32];
    struct channel *c = mem_zalloc(sizeof *c);
    if (!c) return err_set(e, ERR_NOMEM, "out of memory for the channel");
    c->loop = l;
    arena_init(&c->arena, 0);
    idmap_init(&c->ids);
    int rc = options_take(c, o, e);
    if (rc == 0 && entropy_fill(c->o.entropy, seed, sizeof seed))
        rc = err_set(e, ERR_IO, "no random numbers for the channel");
    if (rc == 0 && loop_timer_open(l, on_timer, c, &c->timer))
        rc = err_set(e, ERR_NOMEM, "out of memory for the channel");
    if (rc) {
        idmap_free(&c->ids);
        arena_free(&c->arena);
        mem_free(c);
        return rc;
    }
    rng_seed(&c->rng, str_make(seed, sizeof seed));
    *out = c;
    return 0;
}

static void drop_calls(struct chan_calls *l)
{
    while (l->first)
        free_call(l->first);
}

/* What still can be said without waiting: GOAWAY, and the end of TLS. */
static void say_goodbye(struct chan_conn *k)
{
    if (!k->h2 || k->state == CONN_DEAD || sock_writing(k->sock)) return;
    nghttp2_session_terminate_session(k->h2, NGHTTP2_NO_ERROR);
    conn_flush(k);
    if (!k->tls || sock_writing(k->sock)) return;
    tls_end(k->tls);
    if (tls_out(k->tls, sock_out(k->sock)) == 0) sock_send(k->sock);
}

void channel_close(struct channel *c)
{
    if (!c) return;
    assert(!c->turning);
    c->turning = true; /* nothing is started any more */
    for (struct chan_conn *k = c->conns, *next; k; k = next) {
        next = k->next;
        while (k->calls.first) {
            struct chan_call *call = k->calls.first;
            stream_drop(call);
            free_call(call);
        }
        say_goodbye(k);
        channel_conn_free(k);
    }
    drop_calls(&c->lanes[0].waiting);
    drop_calls(&c->lanes[1].waiting);
    drop_calls(&c->finished);
    loop_timer_close(c->timer);
    idmap_free(&c->ids);
    arena_free(&c->arena);
    mem_free(c);
}
