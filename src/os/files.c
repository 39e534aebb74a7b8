/* File requests: the copy, the thread, the answer. What each request does to the disk is in
 * files_work.c. */
#include "files_internal.h"

static void files_free(struct files_op *op)
{
    buf_free(&op->data);
    arena_free(&op->arena);
    mem_free(op);
}

static void work(void *ud)
{
    files_do(ud);
}

static void done(void *ud, int status)
{
    struct files_op *op = ud;
    if (op->fn) {
        if (status < 0 && op->result.err.code == 0)
            err_set(&op->result.err, ERR_CANCELED, "the loop is closing");
        op->result.data = buf_str(&op->data);
        op->fn(op->ud, &op->result);
    }
    files_free(op);
}

int files_start(struct loop *l, const struct files_request *r, files_fn fn, void *ud,
                struct files_op **out, struct err *e)
{
    bool temp = r->kind == FILES_TEMP_DIR;
    bool two = r->kind == FILES_RENAME || r->kind == FILES_COPY;
    if (!temp && r->path.n == 0) return err_set(e, ERR_ARG, "the path is empty");
    if (two && r->to.n == 0) return err_set(e, ERR_ARG, "the target path is empty");
    if ((r->path.n && memchr(r->path.p, 0, r->path.n)) || (two && memchr(r->to.p, 0, r->to.n)))
        return err_set(e, ERR_ARG, "a path cannot hold a NUL byte");
    struct files_op *op = mem_zalloc(sizeof *op);
    if (!op) return err_set(e, ERR_NOMEM, "no memory for a file request");
    arena_init(&op->arena, r->data.n + r->path.n + r->to.n + (1u << 20));
    buf_init(&op->data, r->max_bytes ? r->max_bytes : FILES_READ_MAX);
    op->req = *r;
    op->req.path = r->path.n ? arena_str(&op->arena, r->path) : STR("");
    if (r->to.n) op->req.to = arena_str(&op->arena, r->to);
    op->req.data = r->data.n ? arena_str(&op->arena, r->data) : STR("");
    op->fn = fn;
    op->ud = ud;
    int code = arena_failed(&op->arena) ? ERR_NOMEM : loop_work(l, work, done, op);
    if (code < 0) {
        files_free(op);
        return err_set(e, code, "a file request could not be queued");
    }
    *out = op;
    return 0;
}

void files_forget(struct files_op *op)
{
    op->fn = NULL;
}
