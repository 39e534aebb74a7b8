/* Batches: statements and values copied into one buffer, so that the writer thread touches nothing
 * of its caller's and building one costs no allocation per value. Finished batches are kept and
 * used again. Owner's thread only, but for batch_bind and batch_answer, which the writer calls on
 * batches that it holds. */
#include "base/fault.h"
#include "store/store_internal.h"
#include <assert.h>
#include <stdio.h>

static size_t pad8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

struct store_batch *store_batch_new(struct store *s)
{
    struct store_batch *b = s->pool;
    if (b) {
        s->pool = b->next;
        s->n_pool--;
        b->next = NULL;
        return b;
    }
    b = mem_zalloc(sizeof *b);
    if (b) {
        b->store = s;
    }
    return b;
}

static void clear(struct store_batch *b)
{
    b->next = NULL;
    b->fn = NULL;
    b->ud = NULL;
    b->n = 0;
    b->ops = b->guards = b->last_guard = 0;
    b->code = 0;
    b->kind = STORE_DURABLE;
    b->guard = 0;
    b->err_code = 0;
    b->changes = 0;
    b->why[0] = 0;
}

void store_batch_free(struct store_batch *b)
{
    if (!b) {
        return;
    }
    struct store *s = b->store;
    clear(b);
    if (b->reserved) {
        b->next = s->reserve;
        s->reserve = b;
        return;
    }
    if (s->n_pool < STORE_POOL_MAX) {
        if (b->cap > STORE_POOL_BYTES_MAX) {
            mem_free(b->p);
            b->p = NULL;
            b->cap = 0;
        }
        b->next = s->pool;
        s->pool = b;
        s->n_pool++;
        return;
    }
    mem_free(b->p);
    mem_free(b);
}

/* Room for n more bytes, n a multiple of 8; NULL sets the sticky code. */
static void *room(struct store_batch *b, size_t n)
{
    if (b->code) {
        return NULL;
    }
    if (n > STORE_BATCH_BYTES_MAX - b->n) {
        b->code = ERR_LIMIT;
        return NULL;
    }
    if (b->n + n > b->cap) {
        size_t cap = b->cap ? b->cap : 512;
        while (cap < b->n + n) {
            cap *= 2;
        }
        char *p = mem_realloc(b->p, cap);
        if (!p) {
            b->code = ERR_NOMEM;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    void *at = b->p + b->n;
    b->n += n;
    return at;
}

static void put_bytes(struct store_batch *b, uint32_t kind, struct str s)
{
    if (s.n > STORE_BATCH_BYTES_MAX) {
        b->code = b->code ? b->code : ERR_LIMIT;
        return;
    }
    struct batch_value *v = room(b, sizeof *v + pad8(s.n));
    if (v) {
        *v = (struct batch_value){.kind = s.p ? kind : VALUE_NULL, .n = (uint32_t)s.n};
        if (s.n) {
            memcpy(v + 1, s.p, s.n);
        }
    }
}

static void put_number(struct store_batch *b, struct batch_value value)
{
    struct batch_value *v = room(b, sizeof *v);
    if (v) {
        *v = value;
    }
}

static void add(struct store_batch *b, bool guard, const char *sql, const char *types, va_list ap)
{
    struct batch_op *op = room(b, sizeof *op);
    if (!op) {
        return;
    }
    *op = (struct batch_op){sql, (uint32_t)strlen(types), guard};
    for (const char *t = types; *t; t++) {
        switch (*t) {
        case 'i':
            put_number(b, (struct batch_value){.kind = VALUE_INT, .v.i = va_arg(ap, int64_t)});
            break;
        case 'd':
            put_number(b, (struct batch_value){.kind = VALUE_REAL, .v.d = va_arg(ap, double)});
            break;
        case 's':
            put_bytes(b, VALUE_TEXT, va_arg(ap, struct str));
            break;
        case 'b':
            put_bytes(b, VALUE_BLOB, va_arg(ap, struct str));
            break;
        case 'z':
            put_bytes(b, VALUE_TEXT, str_of(va_arg(ap, const char *)));
            break;
        case 'n':
            put_number(b, (struct batch_value){.kind = VALUE_NULL});
            break;
        default:
            b->code = ERR_ARG;
            return;
        }
    }
    if (guard) {
        b->guards++;
        b->last_guard = b->ops;
    }
    b->ops++;
}

void store_batch_add(struct store_batch *b, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    add(b, false, sql, types, ap);
    va_end(ap);
}

void store_batch_guard(struct store_batch *b, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    add(b, true, sql, types, ap);
    va_end(ap);
}

void store_batch_append(struct store_batch *b, const struct store_batch *from)
{
    assert(from != b && from->store == b->store);
    if (from->code && !b->code) {
        b->code = from->code;
    }
    void *at = from->n ? room(b, from->n) : NULL;
    if (at) {
        memcpy(at, from->p, from->n);
        if (from->guards) {
            b->guards += from->guards;
            b->last_guard = b->ops + from->last_guard;
        }
        b->ops += from->ops;
    }
}

void store_batch_join(struct store_batch *b, struct store_batch *from)
{
    if (from) {
        store_batch_append(b, from);
        store_batch_free(from);
    }
}

int batch_bind(sqlite3_stmt *st, uint32_t n_values, const char **at)
{
    int rc = SQLITE_OK;
    const char *p = *at;
    for (uint32_t i = 0; i < n_values; i++) {
        const struct batch_value *v = (const void *)p;
        const char *bytes = (const char *)(v + 1);
        int col = (int)i + 1, got = SQLITE_OK;
        p += sizeof *v;
        switch (v->kind) {
        case VALUE_INT:
            got = sqlite3_bind_int64(st, col, v->v.i);
            break;
        case VALUE_REAL:
            got = sqlite3_bind_double(st, col, v->v.d);
            break;
        case VALUE_TEXT:
            got = sqlite3_bind_text(st, col, bytes, (int)v->n, SQLITE_STATIC);
            p += pad8(v->n);
            break;
        case VALUE_BLOB:
            got = sqlite3_bind_blob(st, col, bytes, (int)v->n, SQLITE_STATIC);
            p += pad8(v->n);
            break;
        default:
            got = sqlite3_bind_null(st, col);
            break;
        }
        rc = rc ? rc : got;
    }
    *at = p;
    return rc;
}

static int bind_str(sqlite3_stmt *st, int col, struct str s, bool text)
{
    if (!s.p) {
        return sqlite3_bind_null(st, col);
    }
    if (s.n > STORE_BATCH_BYTES_MAX) {
        return SQLITE_TOOBIG;
    }
    return text ? sqlite3_bind_text(st, col, s.p, (int)s.n, SQLITE_TRANSIENT)
                : sqlite3_bind_blob(st, col, s.p, (int)s.n, SQLITE_TRANSIENT);
}

int values_bind(sqlite3_stmt *st, const char *types, va_list ap)
{
    int rc = SQLITE_OK, col = 1;
    for (const char *t = types; *t && !rc; t++, col++) {
        switch (*t) {
        case 'i':
            rc = sqlite3_bind_int64(st, col, va_arg(ap, int64_t));
            break;
        case 'd':
            rc = sqlite3_bind_double(st, col, va_arg(ap, double));
            break;
        case 's':
            rc = bind_str(st, col, va_arg(ap, struct str), true);
            break;
        case 'b':
            rc = bind_str(st, col, va_arg(ap, struct str), false);
            break;
        case 'z':
            rc = bind_str(st, col, str_of(va_arg(ap, const char *)), true);
            break;
        case 'n':
            rc = sqlite3_bind_null(st, col);
            break;
        default:
            return SQLITE_MISUSE;
        }
    }
    return rc;
}

void batch_answer(struct store_batch *b, enum store_answer_kind kind, int code, const char *why)
{
    b->kind = kind;
    b->err_code = code;
    snprintf(b->why, sizeof b->why, "%s", why ? why : "");
}

/* ---- the queue, as the owner sees it ---- */

void queue_put(struct queue *q, struct store_batch *b)
{
    b->next = NULL;
    if (q->last) {
        q->last->next = b;
    } else {
        q->first = b;
    }
    q->last = b;
}

void queue_join(struct queue *q, struct queue *from)
{
    if (!from->first) {
        return;
    }
    if (q->last) {
        q->last->next = from->first;
    } else {
        q->first = from->first;
    }
    q->last = from->last;
    from->first = from->last = NULL;
}

void store_submit(struct store *s, struct store_batch *b, store_answer_fn fn, void *ud)
{
    assert(b->store == s);
    b->fn = fn;
    b->ud = ud;
    s->n_submitted++;
    bool refused = s->closing || s->read_only;
    if (refused) {
        batch_answer(b, STORE_STORAGE, s->closing ? ERR_CLOSED : ERR_UNSUPPORTED,
                     s->closing ? "the store is closing" : "the store was opened for reading only");
    }
    if (!s->threaded) {
        queue_put(refused ? &s->done : &s->pending, b);
        s->n_done += refused;
        return;
    }
    pthread_mutex_lock(&s->lock);
    bool lone = s->n_submitted - s->n_answered == 1; /* more are worth a thread beside the owner */
    bool signal = !refused && s->sleeping && !(s->held && lone);
    if (signal) {
        s->sleeping = false;
    }
    queue_put(refused ? &s->done : &s->pending, b);
    s->n_done += refused;
    pthread_mutex_unlock(&s->lock);
    if (signal) {
        pthread_cond_signal(&s->work);
    }
}

bool store_submit_failed(struct store *s, int code, store_answer_fn fn, void *ud)
{
    struct store_batch *b = s->reserve;
    if (!b) {
        return false;
    }
    s->reserve = b->next;
    b->next = NULL;
    b->code = code;
    store_submit(s, b, fn, ud);
    return true;
}

static void deliver(struct store *s, struct store_batch *b)
{
    store_answer_fn fn = b->fn;
    void *ud = b->ud;
    struct store_answer a;
    a.kind = b->kind;
    a.guard = b->guard;
    a.changes = b->changes;
    a.err.code = b->err_code;
    snprintf(a.err.text, sizeof a.err.text, "%s", b->why);
    if (b->kind == STORE_STORAGE && s->log) {
        log_printf(s->log, LOG_ERROR, "storage: %s: %s", err_name(b->err_code), b->why);
    }
    store_batch_free(b); /* before the call: the answer may submit the next one into it */
    s->n_answered++;
    if (fn) {
        fn(ud, &a);
    }
}

void store_drain(struct store *s)
{
    if (s->threaded) {
        pthread_mutex_lock(&s->lock);
        queue_join(&s->ready, &s->done);
        pthread_mutex_unlock(&s->lock);
    } else {
        queue_join(&s->ready, &s->done);
        struct store_batch *group = s->pending.first;
        if (group) {
            struct queue taken = s->pending;
            s->pending.first = s->pending.last = NULL;
            writer_apply(s, group);
            for (struct store_batch *b = group; b; b = b->next) {
                s->n_done++;
            }
            queue_join(&s->ready, &taken);
            writer_tidy(s, false);
        }
    }
    while (s->ready.first) { /* an answer may drain again: then nothing is left here */
        struct store_batch *b = s->ready.first;
        s->ready.first = b->next;
        if (!b->next) {
            s->ready.last = NULL;
        }
        FAULT("store.answer");
        deliver(s, b);
    }
}

bool store_idle(const struct store *s)
{
    return s->n_submitted == s->n_answered;
}

int64_t store_submitted(const struct store *s)
{
    return s->n_submitted;
}

void store_flush(struct store *s)
{
    int64_t upto = s->n_submitted;
    store_kick(s);
    while (s->n_answered < upto) {
        if (s->threaded) {
            pthread_mutex_lock(&s->lock);
            while (s->n_done < upto) {
                pthread_cond_wait(&s->done_cond, &s->lock);
            }
            pthread_mutex_unlock(&s->lock);
        }
        store_drain(s);
    }
}
