/* Finds libcurl and its functions. */
#include "http/curl_lib.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#ifndef ML_CURL_SONAME
#define ML_CURL_SONAME "libcurl.so.4" /* the name of curl's ABI since 7.16 */
#endif

struct curl_lib curl_lib;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;

static const struct {
    const char *name;
    size_t at;
} functions[] = {
#define X(name) {"curl_" #name, offsetof(struct curl_lib, name)},
    CURL_LIB_FUNCTIONS(X)
#undef X
};

static int load(struct err *e)
{
    struct curl_lib found;
    void *so = dlopen(ML_CURL_SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!so)
        return err_set(e, ERR_IO, "HTTP needs libcurl: %s (Debian: apt install libcurl4)",
                       dlerror());
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *f = dlsym(so, functions[i].name);
        if (!f) {
            dlclose(so);
            return err_set(e, ERR_IO, "HTTP needs libcurl 7.88 or newer: %s has no %s",
                           ML_CURL_SONAME, functions[i].name);
        }
        memcpy((char *)&found + functions[i].at, &f, sizeof f);
    }
    curl_lib = found; /* never unloaded: transfers may be open until the end */
    return 0;
}

int curl_lib_load(struct err *e)
{
    pthread_mutex_lock(&lock);
    int rc = loaded ? 0 : load(e);
    loaded = rc == 0;
    pthread_mutex_unlock(&lock);
    return rc;
}
