/* Who owns the file. An OFD lock on FILE.lock: it excludes two hosts of one process too, and ends
 * with its process, however that ends. The lock file stays; only the lock on it counts. */
#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "host/host_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Links and the current folder are resolved once: one file has one lock, and stays the same file.
 */
char *owner_real_path(const char *path)
{
    char real[PATH_MAX], folder[PATH_MAX];
    struct buf b;
    const char *slash = strrchr(path, '/');
    if (realpath(path, real)) return str_dup(str_of(real));
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    if (strlen(path) >= sizeof folder || !realpath(folder, real)) return str_dup(str_of(path));
    buf_init(&b, 8192);
    buf_printf(&b, "%s/%s", strcmp(real, "/") ? real : "", slash ? slash + 1 : path);
    char *out = b.code ? NULL : buf_take(&b, NULL);
    buf_free(&b);
    return out;
}

/* The lock counts only while everybody finds the same lock file. Somebody may have removed it, or
 * the file has a second name: the socket goes by the file itself. */
static bool somebody_listens(const char *db)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct err e;
    if (owner_socket_path(db, a.sun_path, false, &e)) return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool yes = connect(fd, (struct sockaddr *)&a, sizeof a) == 0 || errno == EAGAIN;
    close(fd);
    return yes;
}

int owner_lock(ml_host *h, struct err *e)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (!h->lock_path) {
        struct buf b;
        buf_init(&b, 8192);
        buf_printf(&b, "%s.lock", h->path);
        h->lock_path = b.code ? NULL : buf_take(&b, NULL);
        buf_free(&b);
        if (!h->lock_path) return err_set(e, ERR_NOMEM, "out of memory opening %s", h->path);
    }
    int fd = open(h->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return err_set(e, ERR_IO, "cannot open %s: %s", h->lock_path, strerror(errno));
    if (fcntl(fd, F_OFD_SETLK, &l) != 0) {
        int rc =
            errno == EAGAIN || errno == EACCES
                ? err_set(e, ERR_BUSY,
                          "%s is in use by another process; stop it, or use another file with --db",
                          h->path)
                : err_set(e, ERR_IO, "cannot lock %s: %s", h->lock_path, strerror(errno));
        close(fd);
        return rc;
    }
    if (somebody_listens(h->path)) {
        close(fd);
        return err_set(e, ERR_BUSY,
                       "%s is in use by another process; stop it, or use another file with --db",
                       h->path);
    }
    h->lock_fd = fd;
    return 0;
}

void owner_unlock(ml_host *h)
{
    if (h->lock_fd >= 0) close(h->lock_fd);
    h->lock_fd = -1;
    mem_free(h->lock_path);
    h->lock_path = NULL;
}

/* The folder must be ours alone: in /tmp anybody may have made it before. */
static int check_folder(const char *dir, bool make, struct err *e)
{
    struct stat st;
    if (make && mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_set(e, ERR_IO, "cannot make %s: %s", dir, strerror(errno));
    if (lstat(dir, &st) != 0) return err_set(e, ERR_BUSY, "no folder %s", dir);
    if (!S_ISDIR(st.st_mode) || st.st_uid != getuid() || (st.st_mode & 077))
        return err_set(e, ERR_IO, "%s is not a folder of this user with mode 0700; remove it", dir);
    return 0;
}

int owner_socket_path(const char *db, char out[108], bool make_folder, struct err *e)
{
    struct stat st;
    char dir[80];
    if (stat(db, &st) != 0) return err_set(e, ERR_BUSY, "no file %s yet", db);
    const char *run = getenv("XDG_RUNTIME_DIR");
    int n = run && *run == '/' ? snprintf(dir, sizeof dir, "%s/moonloop", run) : (int)sizeof dir;
    if (n >= (int)sizeof dir || (run && access(run, W_OK) != 0))
        n = snprintf(dir, sizeof dir, "/tmp/moonloop-%lu", (unsigned long)getuid());
    int rc = check_folder(dir, make_folder, e);
    if (rc) return rc;
    uint64_t id[2] = {(uint64_t)st.st_dev, (uint64_t)st.st_ino};
    uint8_t sum[SHA256_BYTES];
    char hex[17];
    hash_sha256(str_make(id, sizeof id), sum);
    hex_encode(sum, 8, hex);
    snprintf(out, 108, "%s/%s", dir, hex);
    return 0;
}
