/* See keep.h. */
#include "os/keep.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LONGEST 4096
#define NAME_LONGEST 200

static bool good_name(const char *name)
{
    size_t n = strlen(name);
    if (!n || n > NAME_LONGEST || name[0] == '.') return false;
    for (size_t i = 0; i < n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", name[i]))
            return false;
    return true;
}

static int failed(const char *what, const char *path, struct err *e)
{
    int code = errno == ENOENT ? ERR_NOTFOUND : errno == ENOSPC ? ERR_FULL : ERR_IO;
    return err_set(e, code, "%s %s: %s", what, path, strerror(errno));
}

/* folder/name, or folder/.name.PID.n for a piece that is being written. */
static int path_of(char out[PATH_LONGEST], const char *folder, const char *name, bool temporary,
                   struct err *e)
{
    static atomic_uint next;
    if (!good_name(name)) return err_set(e, ERR_ARG, "'%s' is no name of a piece", name);
    int n = temporary ? snprintf(out, PATH_LONGEST, "%s/.%s.%ld.%u", folder, name, (long)getpid(),
                                 atomic_fetch_add(&next, 1))
                      : snprintf(out, PATH_LONGEST, "%s/%s", folder, name);
    return n < PATH_LONGEST ? 0 : err_set(e, ERR_LIMIT, "the path of %s is too long", folder);
}

int keep_folder(const char *folder, struct err *e)
{
    char path[PATH_LONGEST];
    int n = snprintf(path, sizeof path, "%s", folder);
    if (n <= 0 || n >= PATH_LONGEST) return err_set(e, ERR_ARG, "a folder is missing");
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/') continue;
        char c = *p;
        *p = 0;
        if (mkdir(path, 0700) && errno != EEXIST) return failed("cannot make", path, e);
        if (!c) break;
        *p = c;
    }
    struct stat st;
    if (stat(path, &st)) return failed("cannot use", path, e);
    return S_ISDIR(st.st_mode) ? 0 : err_set(e, ERR_IO, "%s is not a folder", path);
}

static int write_all(int fd, struct str bytes)
{
    for (size_t at = 0; at < bytes.n;) {
        ssize_t n = write(fd, bytes.p + at, bytes.n - at);
        if (n < 0 && errno != EINTR) return -1;
        if (n > 0) at += (size_t)n;
    }
    return fsync(fd);
}

static int sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0) close(fd);
    return rc;
}

int keep_put(const char *folder, const char *name, struct str bytes, struct err *e)
{
    char path[PATH_LONGEST], beside[PATH_LONGEST];
    int rc = path_of(path, folder, name, false, e);
    if (!rc) rc = path_of(beside, folder, name, true, e);
    if (rc || access(path, F_OK) == 0) return rc;
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return failed("cannot write", beside, e);
    if (write_all(fd, bytes)) rc = failed("cannot write", beside, e);
    if (close(fd) && !rc) rc = failed("cannot write", beside, e);
    if (!rc && rename(beside, path)) rc = failed("cannot write", path, e);
    if (!rc && sync_folder(folder)) rc = failed("cannot write", folder, e);
    if (rc) unlink(beside);
    return rc;
}

int keep_get(const char *folder, const char *name, struct buf *out, struct err *e)
{
    char path[PATH_LONGEST], piece[16384];
    int rc = path_of(path, folder, name, false, e);
    if (rc) return rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return failed("cannot read", path, e);
    for (ssize_t n; !rc && (n = read(fd, piece, sizeof piece)) != 0;) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            rc = failed("cannot read", path, e);
        else if (buf_put(out, piece, (size_t)n))
            rc = err_set(e, out->code, "reading %s: %s", path, err_name(out->code));
    }
    close(fd);
    return rc;
}
