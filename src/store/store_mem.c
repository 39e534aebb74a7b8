/* SQLite's memory comes from base/mem.h: set once a process, before SQLite starts. SQLite asks for
 * the size of a block, so each has its size in front (8 bytes: SQLite wants no more alignment than
 * that). A host that has started SQLite before us keeps its own allocator; nothing else changes
 * then. */
#include "store/store_internal.h"

static void *sq_malloc(int n)
{
    if (n <= 0) {
        return NULL;
    }
    int64_t *p = mem_alloc((size_t)n + 8);
    if (!p) {
        return NULL;
    }
    *p = n;
    return p + 1;
}

static void sq_free(void *p)
{
    if (p) {
        mem_free((int64_t *)p - 1);
    }
}

static void *sq_realloc(void *p, int n)
{
    int64_t *q = mem_realloc((int64_t *)p - 1, (size_t)n + 8);
    if (!q) {
        return NULL;
    }
    *q = n;
    return q + 1;
}

static int sq_size(void *p)
{
    return p ? (int)((int64_t *)p)[-1] : 0;
}

static int sq_roundup(int n)
{
    return (n + 7) & ~7;
}

static int sq_init(void *ud)
{
    (void)ud;
    return SQLITE_OK;
}

static void sq_shutdown(void *ud)
{
    (void)ud;
}

static void configure(void)
{
    static const sqlite3_mem_methods methods = {sq_malloc,  sq_free, sq_realloc,  sq_size,
                                                sq_roundup, sq_init, sq_shutdown, NULL};
    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* statistics cost a lock in every allocation */
    sqlite3_initialize();
}

void store_sqlite_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure);
}

const char *store_sqlite_version(void)
{
    return sqlite3_libversion();
}
