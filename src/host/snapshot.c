/* Snapshots: a consistent copy of the file, or of the engine in memory, and going back to one. */
#include "base/mem.h"
#include "host/host_internal.h"
#include <sys/stat.h>

/* The copy takes a name away from what has it: the file that this host goes on writing to must keep
 * its own. */
static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int ml_save(ml_host *h, const char *path)
{
    struct err e = {0};
    if (!path || !*path) return err_set(&h->last, ERR_ARG, "save: a path is missing");
    if (host_gone(h)) return ERR_CLOSED;
    if (!h->store)
        return err_set(&h->last, ERR_UNSUPPORTED, "save: %s",
                       h->remote ? "a host on a Temporal server has no file"
                                 : "another process owns the file; copy it there");
    if (!h->snapshot && same_file(path, h->path))
        return err_set(&h->last, ERR_ARG, "save: %s is the file itself; name another", path);
    store_flush(h->store);
    int rc = store_copy_to(h->store, path, &e);
    return rc ? host_fail(h, &e) : ML_OK;
}

int ml_restore(ml_host *h, const char *path)
{
    struct err e = {0};
    if (!path || !*path) return err_set(&h->last, ERR_ARG, "restore: a path is missing");
    if (!h->snapshot)
        return err_set(&h->last, ERR_UNSUPPORTED,
                       "restore: only a host of durability SNAPSHOT can go back to a snapshot");
    if (host_gone(h)) return ERR_CLOSED;
    if (h->in_callback)
        return err_set(&h->last, ERR_BUSY,
                       "restore: not from inside an answer or an event; use ml_post");
    if (worker_busy(h->worker))
        return err_set(
            &h->last, ERR_BUSY,
            "restore: tasks or activities are in hand; step until ml_idle_state is not 1");
    int rc = host_reopen_engine(h, path, &e);
    return rc ? host_fail(h, &e) : ML_OK;
}
