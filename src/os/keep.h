/* A folder of pieces that never change, each under its own name (a hash, mostly). Several processes
 * may share one: a piece is written beside its place and renamed, so nobody sees half of one. */
#ifndef ML_OS_KEEP_H
#define ML_OS_KEEP_H
#include "base/buf.h"
#include "base/err.h"

/* The folder and those above it are made when they are missing, for the owner alone. ERR_IO. */
int keep_folder(const char *folder, struct err *e);
/* On the disk when it returns. A piece that is there already stays as it is. ERR_IO, ERR_ARG (a
 * name that is none: letters, digits, '-', '_' and '.', not first). */
int keep_put(const char *folder, const char *name, struct str bytes, struct err *e);
/* Appends the piece. ERR_NOTFOUND, ERR_IO, ERR_LIMIT, ERR_NOMEM (of the buffer), ERR_ARG. */
int keep_get(const char *folder, const char *name, struct buf *out, struct err *e);

#endif
