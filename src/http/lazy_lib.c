/* Finds a library's functions. */
#include "http/lazy_lib.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int load(struct lazy_lib *lib, struct err *e)
{
    void *so = dlopen(lib->soname, RTLD_NOW | RTLD_LOCAL);
    if (!so)
        return err_set(e, ERR_IO, "%s: %s (Debian: apt install %s)", lib->what, dlerror(),
                       lib->package);
    for (size_t i = 0; i < lib->n; i++) {
        void *f = dlsym(so, lib->fns[i].name);
        if (!f) {
            dlclose(so);
            return err_set(e, ERR_IO, "%s: %s is too old, it has no %s (Debian: apt install %s)",
                           lib->what, lib->soname, lib->fns[i].name, lib->package);
        }
        memcpy((char *)lib->table + lib->fns[i].at, &f, sizeof f);
    }
    return 0;
}

int lazy_load(struct lazy_lib *lib, struct err *e)
{
    pthread_mutex_lock(&lock);
    int rc = lib->loaded ? 0 : load(lib, e);
    lib->loaded = rc == 0;
    pthread_mutex_unlock(&lock);
    return rc;
}
