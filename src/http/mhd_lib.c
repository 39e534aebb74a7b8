/* The table of libmicrohttpd's functions that are used. */
#include "http/mhd_lib.h"
#include "http/lazy_lib.h"

#ifndef ML_MHD_SONAME
#define ML_MHD_SONAME "libmicrohttpd.so.12" /* the name of its ABI since 0.9.30 */
#endif

struct mhd_lib mhd_lib;

static const struct lazy_fn functions[] = {
#define X(name) {"MHD_" #name, offsetof(struct mhd_lib, name)},
    MHD_LIB_FUNCTIONS(X)
#undef X
};
static struct lazy_lib lib = {.what = "serving HTTP needs libmicrohttpd",
                              .soname = ML_MHD_SONAME,
                              .package = "libmicrohttpd12",
                              .fns = functions,
                              .n = sizeof functions / sizeof *functions,
                              .table = &mhd_lib};

int mhd_lib_load(struct err *e)
{
    return lazy_load(&lib, e);
}
