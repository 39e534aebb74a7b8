/* The table of libcurl's functions that are used. */
#include "http/curl_lib.h"
#include "http/lazy_lib.h"

#ifndef ML_CURL_SONAME
#define ML_CURL_SONAME "libcurl.so.4" /* the name of curl's ABI since 7.16 */
#endif

struct curl_lib curl_lib;

static const struct lazy_fn functions[] = {
#define X(name) {"curl_" #name, offsetof(struct curl_lib, name)},
    CURL_LIB_FUNCTIONS(X)
#undef X
};
static struct lazy_lib lib = {.what = "HTTP needs libcurl",
                              .soname = ML_CURL_SONAME,
                              .package = "libcurl4",
                              .fns = functions,
                              .n = sizeof functions / sizeof *functions,
                              .table = &curl_lib};

int curl_lib_load(struct err *e)
{
    return lazy_load(&lib, e);
}
