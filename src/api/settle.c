/* Reservations end with their run: settled when it ends well, released when it does not. The run's
 * end is waited for at the engine, and after a restart for all reservations that are open, so that
 * one whose run ended while nobody looked (or is gone) is closed then. */
#include "api/api_internal.h"
#include "base/fault.h"

struct watch {
    struct api *a; /* NULL: closed meanwhile */
    struct str reservation;
};

static void watch_drop(struct watch *w)
{
    if (w->a) map_del(&w->a->watched, w->reservation);
    mem_free((void *)(uintptr_t)w->reservation.p);
    mem_free(w);
}

static void on_closed(void *ud, const struct store_answer *x)
{
    struct watch *w = ud;
    if (w->a && x->kind == STORE_STORAGE)
        log_printf(w->a->log, LOG_ERROR,
                   "the reservation " STR_FMT
                   " could not be closed, the next start will try again: %s",
                   STR_ARG(w->reservation), x->err.text);
    watch_drop(w); /* a guard that failed: it is closed already */
}

static void on_result(void *ud, const struct backend_reply *r)
{
    struct watch *w = ud;
    struct api *a = w->a;
    bool gone = r->err.code == ERR_NOTFOUND;
    if (!a || (r->err.code && !gone)) { /* open still, as far as one can tell */
        watch_drop(w);
        return;
    }
    struct store_batch *b = store_batch_new(a->store);
    if (!b) {
        watch_drop(w);
        return;
    }
    FAULT("api.settle");
    api_ledger_close(b, w->reservation, !gone && r->status == RUN_COMPLETED, api_now(a));
    store_submit(a->store, b, on_closed, w);
}

void api_watch(struct api *a, struct str reservation, struct str workflow_id, struct str run_id)
{
    struct watch *w = mem_zalloc(sizeof *w);
    char *id = w ? str_dup(reservation) : NULL;
    if (!id || map_set(&a->watched, reservation, w)) {
        log_printf(a->log, LOG_WARN, "out of memory: a reservation is closed by the next start");
        mem_free(id);
        mem_free(w);
        return;
    }
    *w = (struct watch){a, str_make(id, reservation.n)};
    struct backend_target t = {workflow_id, run_id};
    a->b->ops->result(a->b, &t, true, on_result, w);
}

void api_watch_free(struct api *a)
{
    for (struct map_entry *x = a->watched.first; x; x = x->next)
        ((struct watch *)x->value)->a = NULL; /* the engine answers them when it closes */
}

int api_reconcile(struct api *a, struct err *e)
{
    struct store_read *r = NULL;
    int rc = api_uniques_load(a, e);
    if (rc) return rc;
    struct store_batch *b = store_batch_new(a->store);
    if (b) { /* answers that are old enough */
        store_batch_add(b, "DELETE FROM api_idempotency WHERE at < ?", "i",
                        api_now(a) - API_KEEP_NS);
        store_batch_add(b, "DELETE FROM api_rates WHERE empty_at < ?", "i", api_now(a));
        store_submit(a->store, b, NULL, NULL);
    }
    rc = a->outbox ? api_outbox_resume(a, e) : 0;
    if (rc) return rc;
    rc = store_read_open(a->store, &r, e,
                         "SELECT id, workflow_id FROM api_reservations WHERE state = 'open' AND "
                         "workflow_id NOT IN (SELECT workflow_id FROM api_outbox WHERE state = "
                         "'waiting')",
                         "");
    while (rc == 0 && (rc = store_read_next(r)) == 1) {
        api_watch(a, store_read_str(r, 0), store_read_str(r, 1), (struct str){NULL, 0});
        rc = 0;
    }
    store_read_close(r);
    return rc < 0 ? (e->code ? e->code : err_set(e, rc, "the reservations could not be read")) : 0;
}
