/* Libraries that are loaded when they are first needed and not with the program (curl_lib.h,
 * mhd_lib.h): each stands on a dozen or more others, and most programs need neither. */
#ifndef ML_HTTP_LAZY_LIB_H
#define ML_HTTP_LAZY_LIB_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

struct lazy_fn {
    const char *name; /* in the library */
    size_t at;        /* of the pointer, in the table that is filled */
};
struct lazy_lib {
    const char *what, *soname, *package; /* "HTTP needs libcurl", its file, Debian's name for it */
    const struct lazy_fn *fns;
    size_t n;
    void *table; /* function pointers, complete after lazy_load */
    bool loaded;
};
/* Loads the library, once a process; again when it failed. From any thread. It stays loaded. 0, or
 * ERR_IO with what is missing and what to install. */
int lazy_load(struct lazy_lib *lib, struct err *e);
#endif
