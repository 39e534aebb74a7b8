/* Files without stopping the loop: each request runs in the thread pool and answers on the loop. */
#ifndef ML_OS_FILES_H
#define ML_OS_FILES_H
#include "base/buf.h"
#include "base/loop.h"

#define FILES_READ_MAX (64u << 20) /* default limit of one read */
#define FILES_LIST_MAX 100000

enum files_kind {
    FILES_READ,
    FILES_WRITE,
    FILES_APPEND,
    FILES_LIST,
    FILES_STAT,
    FILES_MKDIR,
    FILES_REMOVE,
    FILES_RENAME,
    FILES_COPY,
    FILES_TEMP_DIR /* path: a prefix for its name */
};
struct files_request {
    enum files_kind kind;
    struct str path, to;
    struct str data;  /* WRITE, APPEND */
    bool atomic;      /* WRITE: beside, synced, then renamed */
    bool recursive;   /* MKDIR: parents too (existing is fine); REMOVE: what is in it (missing is
                         fine) */
    size_t max_bytes; /* READ; 0: FILES_READ_MAX */
};
struct files_result {
    struct err err;  /* ERR_NOTFOUND, ERR_EXISTS, ERR_FULL, ERR_LIMIT, ERR_ARG, ERR_IO, ERR_NOMEM
                        with path and reason */
    struct str data; /* READ: content; TEMP_DIR: its path; LIST: in byte order of the names a kind
                        ('d', 'f', 'l' link, 'o'), the name, a NUL */
    bool is_dir, is_file, is_link;
    int64_t size, modified_ns;
    int mode;
};
struct files_op;
typedef void (*files_fn)(
    void *ud, const struct files_result *r); /* r borrowed for the call; the op is gone with it */
/* The request is copied. ERR_ARG for an empty path or one with a NUL. */
int files_start(struct loop *l, const struct files_request *r, files_fn fn, void *ud,
                struct files_op **out, struct err *e);
void files_forget(struct files_op *op); /* no callback; what has begun is done nevertheless */

#endif
