/* Shared by files.c and files_work.c. */
#ifndef ML_OS_FILES_INTERNAL_H
#define ML_OS_FILES_INTERNAL_H
#include "base/mem.h"
#include "os/files.h"

struct files_op {
    struct files_request req; /* slices in the arena, paths end with a NUL */
    struct arena arena;
    struct files_result result;
    struct buf data;
    files_fn fn; /* NULL: forgotten */
    void *ud;
};
void files_do(struct files_op *op); /* in the thread pool: touches nothing but op */

#endif
