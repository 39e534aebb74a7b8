/* The faulty file system of the tests, over SQLite's default one. Writes go through at once; for
 * each 512-byte block the content of the last sync is kept with a mask of the bytes written since,
 * so that losing power can keep, drop or garble every unsynced block by itself. Bytes that were not
 * written are never touched (SQLite relies on that). Creating and deleting files counts as durable
 * at once. All state is under one lock: several connections and threads use it. Its own memory is
 * plain: what is counted and made to fail is the program's. */
#ifdef ML_TESTING
#include "store/vfs_fault.h"
#include "base/rng.h"
#include "store/store_internal.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512
#define BUCKETS 1024

struct block {
    struct block *next;
    int64_t at; /* offset in the file */
    unsigned char before[BLOCK];
    unsigned char written[BLOCK / 8];
};
struct disk_file {
    struct disk_file *next;
    char *path;
    int64_t size, synced_size;
    struct block *blocks[BUCKETS];
};
struct fault_file {
    sqlite3_file base;
    struct disk_file *disk; /* NULL: a temporary file, not watched */
    sqlite3_file *real;     /* behind this struct */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    sqlite3_vfs *real;
    struct disk_file *files;
    long io_count, io_at, sync_count, power_at;
    bool io_forever, dead, hit, lost_sync;
    int64_t quota, most;
    uint64_t seed;
} g = {.quota = -1};

/* ---- what is known of each file ---- */

static struct disk_file *disk_of(const char *path, bool make)
{
    for (struct disk_file *d = g.files; d; d = d->next) {
        if (strcmp(d->path, path) == 0) {
            return d;
        }
    }
    struct disk_file *d = make ? calloc(1, sizeof *d) : NULL;
    if (!d) {
        return NULL;
    }
    d->path = strdup(path);
    if (!d->path) {
        free(d);
        return NULL;
    }
    struct stat st;
    d->size = d->synced_size = stat(path, &st) == 0 ? st.st_size : 0;
    d->next = g.files;
    g.files = d;
    return d;
}

static void forget_blocks(struct disk_file *d)
{
    for (int i = 0; i < BUCKETS; i++) {
        while (d->blocks[i]) {
            struct block *next = d->blocks[i]->next;
            free(d->blocks[i]);
            d->blocks[i] = next;
        }
    }
}

/* The record of the block at `at`, made from what the file holds now. */
static struct block *block_of(struct disk_file *d, sqlite3_file *real, int64_t at)
{
    struct block **head = &d->blocks[(at / BLOCK) % BUCKETS];
    for (struct block *b = *head; b; b = b->next) {
        if (b->at == at) {
            return b;
        }
    }
    struct block *b = calloc(1, sizeof *b);
    if (!b) {
        return NULL;
    }
    b->at = at;
    real->pMethods->xRead(real, b->before, BLOCK, at); /* a short read leaves zeros */
    b->next = *head;
    *head = b;
    return b;
}

static bool note_written(struct disk_file *d, sqlite3_file *real, int64_t at, int64_t n)
{
    for (int64_t pos = at; pos < at + n; pos++) {
        struct block *b = block_of(d, real, pos - pos % BLOCK);
        if (!b) {
            return false;
        }
        do {
            b->written[pos % BLOCK / 8] |= (unsigned char)(1u << (pos % 8));
        } while (pos % BLOCK != BLOCK - 1 && ++pos < at + n);
    }
    return true;
}

/* ---- losing power ---- */

static void lose_block(int fd, const struct block *b, struct rng *r, int64_t size)
{
    enum { KEEP, DROP, GARBLE };
    uint64_t fate = rng_below(r, 3);
    for (int i = 0; i < BLOCK && fate != KEEP; i++) {
        if (!(b->written[i / 8] >> (i % 8) & 1) || b->at + i >= size) {
            continue;
        }
        unsigned char c = fate == DROP ? b->before[i] : (unsigned char)rng_next(r);
        if (pwrite(fd, &c, 1, b->at + i) != 1) {
            return;
        }
    }
}

static void lose_file(struct disk_file *d, struct rng *r)
{
    int fd = open(d->path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return; /* deleted */
    }
    bool resize_lost = rng_below(r, 2) == 0 && d->size != d->synced_size;
    int64_t size = resize_lost ? d->synced_size : d->size;
    if (ftruncate(fd, size) == 0) {
        for (int i = 0; i < BUCKETS; i++) {
            for (struct block *b = d->blocks[i]; b; b = b->next) {
                if (resize_lost &&
                    b->at + BLOCK > d->size) { /* the lost end of a shortened file comes back */
                    int64_t n = b->at + BLOCK > size ? size - b->at : BLOCK;
                    if (n > 0 && pwrite(fd, b->before, (size_t)n, b->at) != n) {
                        break;
                    }
                } else {
                    lose_block(fd, b, r, size);
                }
            }
        }
    }
    close(fd); /* drops this process's locks on the file; nothing of this process reaches it any
                  more */
}

static void lose_power(void)
{
    struct rng r;
    char seed[32];
    int n = snprintf(seed, sizeof seed, "power %llu", (unsigned long long)g.seed);
    rng_seed(&r, str_make(seed, (size_t)n));
    for (struct disk_file *d = g.files; d; d = d->next) {
        lose_file(d, &r);
    }
    g.dead = g.hit = true;
}

/* A kernel that could not write pages back may forget them: each block is kept or as it was before.
 * Through SQLite's own handle, because closing another one would drop this process's locks. */
static void lose_unsynced(struct disk_file *d, sqlite3_file *real)
{
    struct rng r;
    char seed[32];
    int n = snprintf(seed, sizeof seed, "sync %llu", (unsigned long long)g.seed);
    rng_seed(&r, str_make(seed, (size_t)n));
    for (int i = 0; i < BUCKETS; i++) {
        for (struct block *b = d->blocks[i]; b; b = b->next) {
            int64_t left = d->size - b->at;
            if (rng_below(&r, 2) && left > 0) {
                real->pMethods->xWrite(real, b->before, left < BLOCK ? (int)left : BLOCK, b->at);
            }
        }
    }
    forget_blocks(d);
    d->synced_size = d->size;
    g.hit = true;
}

/* Counts one call; true: it is to fail. */
static bool io_fails(void)
{
    g.io_count++;
    bool fails =
        g.dead || (g.io_at > 0 && (g.io_forever ? g.io_count >= g.io_at : g.io_count == g.io_at));
    g.hit = g.hit || fails;
    return fails;
}

static bool counted(void)
{
    pthread_mutex_lock(&lock);
    bool fails = io_fails();
    pthread_mutex_unlock(&lock);
    return fails;
}

static int64_t used_bytes(void)
{
    int64_t n = 0;
    for (struct disk_file *d = g.files; d; d = d->next) {
        n += d->size;
    }
    return n;
}

/* ---- a file ---- */

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct fault_file *)f)->real;
}

static int ff_close(sqlite3_file *f)
{
    sqlite3_file *real = real_of(f);
    return real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int ff_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    if (counted()) {
        memset(p, 0, (size_t)n);
        return SQLITE_IOERR_READ;
    }
    return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int ff_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    struct disk_file *d = ((struct fault_file *)f)->disk;
    sqlite3_file *real = real_of(f);
    int rc = SQLITE_OK;
    pthread_mutex_lock(&lock);
    int64_t growth = d && at + n > d->size ? at + n - d->size : 0;
    if (io_fails()) {
        rc = SQLITE_IOERR_WRITE;
    } else if (g.quota >= 0 && growth > 0 && used_bytes() + growth > g.quota) {
        g.hit = true;
        rc = SQLITE_FULL;
    } else if (d && g.power_at && !note_written(d, real, at, n)) {
        rc = SQLITE_IOERR_NOMEM;
    } else {
        rc = real->pMethods->xWrite(real, p, n, at);
        if (!rc && d) {
            d->size += growth;
        }
        int64_t used = rc ? 0 : used_bytes();
        g.most = used > g.most ? used : g.most;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

static int ff_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct disk_file *d = ((struct fault_file *)f)->disk;
    sqlite3_file *real = real_of(f);
    int rc = SQLITE_OK;
    pthread_mutex_lock(&lock);
    if (io_fails()) {
        rc = SQLITE_IOERR_TRUNCATE;
    } else if (d && g.power_at && size < d->size && !note_written(d, real, size, d->size - size)) {
        rc = SQLITE_IOERR_NOMEM;
    } else {
        rc = real->pMethods->xTruncate(real, size);
        if (!rc && d) {
            d->size = size;
        }
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

static int ff_sync(sqlite3_file *f, int flags)
{
    struct disk_file *d = ((struct fault_file *)f)->disk;
    sqlite3_file *real = real_of(f);
    int rc = SQLITE_OK;
    pthread_mutex_lock(&lock);
    g.sync_count++;
    if (io_fails()) {
        rc = SQLITE_IOERR_FSYNC;
    } else if (g.power_at && g.sync_count == g.power_at && g.lost_sync) {
        if (d) {
            lose_unsynced(d, real);
        }
        rc = SQLITE_IOERR_FSYNC;
    } else if (g.power_at && g.sync_count == g.power_at) {
        lose_power();
        rc = SQLITE_IOERR_FSYNC;
    } else {
        /* What happens to this machine's disk is not what is tested: the real sync is left out. */
        (void)real;
        (void)flags;
        if (d) {
            forget_blocks(d);
            d->synced_size = d->size;
        }
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

static int ff_size(sqlite3_file *f, sqlite3_int64 *out)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), out);
}

static int ff_lock(sqlite3_file *f, int level)
{
    return counted() ? SQLITE_IOERR_LOCK : real_of(f)->pMethods->xLock(real_of(f), level);
}

static int ff_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int ff_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int ff_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int ff_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int ff_traits(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int ff_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    if (counted()) {
        *out = NULL;
        return SQLITE_IOERR_SHMMAP;
    }
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}

static int ff_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    if ((flags & SQLITE_SHM_LOCK) && counted()) {
        return SQLITE_IOERR_SHMLOCK;
    }
    return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void ff_shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int ff_shm_unmap(sqlite3_file *f, int remove)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 2,
    .xClose = ff_close,
    .xRead = ff_read,
    .xWrite = ff_write,
    .xTruncate = ff_truncate,
    .xSync = ff_sync,
    .xFileSize = ff_size,
    .xLock = ff_lock,
    .xUnlock = ff_unlock,
    .xCheckReservedLock = ff_reserved,
    .xFileControl = ff_control,
    .xSectorSize = ff_sector,
    .xDeviceCharacteristics = ff_traits,
    .xShmMap = ff_shm_map,
    .xShmLock = ff_shm_lock,
    .xShmBarrier = ff_shm_barrier,
    .xShmUnmap = ff_shm_unmap,
};

/* ---- the file system ---- */

static int fv_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    struct fault_file *ff = (struct fault_file *)f;
    (void)v;
    f->pMethods = NULL;
    ff->real = (sqlite3_file *)(ff + 1);
    ff->disk = NULL;
    if (counted()) {
        return SQLITE_CANTOPEN;
    }
    int rc = g.real->xOpen(g.real, name, ff->real, flags, out_flags);
    if (rc) {
        return rc;
    }
    pthread_mutex_lock(&lock);
    ff->disk = name ? disk_of(name, true) : NULL;
    pthread_mutex_unlock(&lock);
    if (name && !ff->disk) {
        ff->real->pMethods->xClose(ff->real);
        return SQLITE_NOMEM;
    }
    f->pMethods = &file_methods;
    return SQLITE_OK;
}

static int fv_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
    (void)v;
    pthread_mutex_lock(&lock);
    int rc = io_fails() ? SQLITE_IOERR_DELETE : g.real->xDelete(g.real, name, sync_dir);
    struct disk_file *d = rc ? NULL : disk_of(name, false);
    if (d) {
        forget_blocks(d);
        d->size = d->synced_size = 0;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

static int fv_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
    (void)v;
    return g.real->xAccess(g.real, name, flags, out);
}

static int fv_full_path(sqlite3_vfs *v, const char *name, int n, char *out)
{
    (void)v;
    return g.real->xFullPathname(g.real, name, n, out);
}

static int fv_random(sqlite3_vfs *v, int n, char *out)
{
    (void)v;
    return g.real->xRandomness(g.real, n, out);
}

static int fv_sleep(sqlite3_vfs *v, int us)
{
    (void)v;
    return g.real->xSleep(g.real, us);
}

static int fv_time(sqlite3_vfs *v, sqlite3_int64 *out)
{
    (void)v;
    return g.real->xCurrentTimeInt64(g.real, out);
}

static int fv_error(sqlite3_vfs *v, int n, char *out)
{
    (void)v;
    return g.real->xGetLastError(g.real, n, out);
}

int vfs_fault_register(void)
{
    static sqlite3_vfs vfs = {
        .iVersion = 2,
        .zName = "moonloop-fault",
        .xOpen = fv_open,
        .xDelete = fv_delete,
        .xAccess = fv_access,
        .xFullPathname = fv_full_path,
        .xRandomness = fv_random,
        .xSleep = fv_sleep,
        .xGetLastError = fv_error,
        .xCurrentTimeInt64 = fv_time,
    };
    store_sqlite_once();
    if (g.real) {
        return 0;
    }
    g.real = sqlite3_vfs_find(NULL);
    if (!g.real) {
        return ERR_IO;
    }
    vfs.szOsFile = (int)sizeof(struct fault_file) + g.real->szOsFile;
    vfs.mxPathname = g.real->mxPathname;
    return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? 0 : ERR_NOMEM;
}

void vfs_fault_reset(void)
{
    pthread_mutex_lock(&lock);
    for (struct disk_file *d = g.files; d; d = d->next) { /* the records stay: a file may be open */
        struct stat st;
        forget_blocks(d);
        d->size = d->synced_size = stat(d->path, &st) == 0 ? st.st_size : 0;
    }
    g.io_count = g.io_at = g.sync_count = g.power_at = 0;
    g.io_forever = g.dead = g.hit = false;
    g.quota = -1;
    g.most = 0;
    pthread_mutex_unlock(&lock);
}

void vfs_fault_io(long nth, bool from_then_on)
{
    pthread_mutex_lock(&lock);
    g.io_count = 0;
    g.io_at = nth;
    g.io_forever = from_then_on;
    g.hit = false;
    pthread_mutex_unlock(&lock);
}

void vfs_fault_quota(int64_t bytes)
{
    pthread_mutex_lock(&lock);
    g.quota = bytes;
    g.hit = false;
    pthread_mutex_unlock(&lock);
}

void vfs_fault_power(long nth_sync, uint64_t seed)
{
    pthread_mutex_lock(&lock);
    g.sync_count = 0;
    g.power_at = nth_sync;
    g.lost_sync = false;
    g.seed = seed;
    g.hit = false;
    pthread_mutex_unlock(&lock);
}

void vfs_fault_lost_sync(long nth_sync, uint64_t seed)
{
    vfs_fault_power(nth_sync, seed);
    pthread_mutex_lock(&lock);
    g.lost_sync = true;
    pthread_mutex_unlock(&lock);
}

long vfs_fault_io_count(void)
{
    pthread_mutex_lock(&lock);
    long n = g.io_count;
    pthread_mutex_unlock(&lock);
    return n;
}

long vfs_fault_sync_count(void)
{
    pthread_mutex_lock(&lock);
    long n = g.sync_count;
    pthread_mutex_unlock(&lock);
    return n;
}

int64_t vfs_fault_most_bytes(void)
{
    pthread_mutex_lock(&lock);
    int64_t n = g.most;
    pthread_mutex_unlock(&lock);
    return n;
}

bool vfs_fault_hit(void)
{
    pthread_mutex_lock(&lock);
    bool hit = g.hit;
    pthread_mutex_unlock(&lock);
    return hit;
}
#else
typedef int vfs_fault_is_for_tests_only;
#endif
