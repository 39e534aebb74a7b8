/* What a file request does, in a thread of the pool. Errors name the path and the system's reason.
 */
#include "base/rng.h"
#include "files_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(struct files_op *op, const char *path)
{
    int n = errno, code = ERR_IO;
    char why[128] = "";
    const char *text = strerror_r(n, why, sizeof why);
    if (n == ENOENT || n == ENOTDIR)
        code = ERR_NOTFOUND;
    else if (n == EEXIST || n == ENOTEMPTY)
        code = ERR_EXISTS;
    else if (n == ENOSPC || n == EDQUOT)
        code = ERR_FULL;
    else if (n == ENOMEM)
        code = ERR_NOMEM;
    return err_set(&op->result.err, code, "%s: %s", path, text);
}

static int write_all(struct files_op *op, int fd, struct str s, const char *path)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(op, path);
        s = str_make(s.p + n, s.n - (size_t)n);
    }
    return 0;
}

static int do_read(struct files_op *op)
{
    const char *path = op->req.path.p;
    int fd = open(path, O_RDONLY | O_CLOEXEC), code = 0;
    if (fd < 0) return fail(op, path);
    char chunk[65536];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) code = fail(op, path);
        if (n <= 0) break;
        code = buf_put(&op->data, chunk, (size_t)n);
        if (code == ERR_LIMIT)
            err_set(&op->result.err, code, "%s: larger than %zu bytes (option max_bytes)", path,
                    op->data.max);
        else if (code < 0)
            err_set(&op->result.err, code, "%s: no memory", path);
        if (code < 0) break;
    }
    close(fd);
    return code;
}

static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[4096] = ".";
    if (slash) {
        size_t n = (size_t)(slash - path);
        if (n >= sizeof folder) return;
        memcpy(folder, n ? path : "/", n ? n : 1);
        folder[n ? n : 1] = 0;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

static int do_write(struct files_op *op, int flags);

/* A file beside path; `name` gets its name. One that will be new has the mode that the umask
 * leaves. */
static int open_beside(char *name, size_t n, const char *path, bool there)
{
    for (int i = 0; i < 16; i++) {
        uint64_t chance = 0;
        if (entropy_fill(&entropy_system, &chance, sizeof chance)) break;
        snprintf(name, n, "%s.%012llx", path, (unsigned long long)(chance >> 16));
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, there ? 0600 : 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

/* A link or a device stays what it is: it is written in place. */
static int do_write_atomic(struct files_op *op)
{
    const char *path = op->req.path.p;
    struct stat st;
    bool there = lstat(path, &st) == 0;
    if (there && !S_ISREG(st.st_mode)) return do_write(op, O_TRUNC);
    size_t n = strlen(path) + 16;
    char *name = mem_alloc(n);
    if (!name) return err_set(&op->result.err, ERR_NOMEM, "%s: no memory", path);
    int fd = open_beside(name, n, path, there), code = 0;
    if (fd < 0) {
        code = fail(op, path);
        mem_free(name);
        return code;
    }
    code = write_all(op, fd, op->req.data, path);
    if (code == 0 && there && fchmod(fd, st.st_mode & 07777) < 0) code = fail(op, path);
    if (code == 0 && fsync(fd) < 0) code = fail(op, path);
    if (close(fd) < 0 && code == 0) code = fail(op, path);
    if (code == 0 && rename(name, path) < 0) code = fail(op, path);
    if (code < 0)
        unlink(name);
    else
        sync_folder(path);
    mem_free(name);
    return code;
}

static int do_write(struct files_op *op, int flags)
{
    const char *path = op->req.path.p;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
    if (fd < 0) return fail(op, path);
    int code = write_all(op, fd, op->req.data, path);
    if (close(fd) < 0 && code == 0) code = fail(op, path);
    return code;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a + 1, *(char *const *)b + 1); /* behind the kind */
}

/* 'd', 'f', 'l' (a link) or 'o'. */
static char kind_of(DIR *d, const struct dirent *ent)
{
    struct stat st;
    unsigned char type = ent->d_type;
    if (type == DT_UNKNOWN && fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        type = S_ISDIR(st.st_mode)   ? DT_DIR
               : S_ISREG(st.st_mode) ? DT_REG
               : S_ISLNK(st.st_mode) ? DT_LNK
                                     : DT_UNKNOWN;
    return type == DT_DIR ? 'd' : type == DT_REG ? 'f' : type == DT_LNK ? 'l' : 'o';
}

static int do_list(struct files_op *op)
{
    const char *path = op->req.path.p;
    DIR *d = opendir(path);
    if (!d) return fail(op, path);
    int code = 0;
    size_t n = 0, cap = 0;
    char **names = NULL;
    for (struct dirent *ent; code == 0 && (ent = readdir(d)) != NULL;) {
        if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0) continue;
        if (n == FILES_LIST_MAX) {
            code = err_set(&op->result.err, ERR_LIMIT, "%s: more than %d entries", path,
                           FILES_LIST_MAX);
            break;
        }
        if (n == cap) {
            char **more = mem_realloc(names, (cap ? cap * 2 : 64) * sizeof *names);
            if (more) names = more;
            cap = more ? (cap ? cap * 2 : 64) : cap;
        }
        size_t len = strlen(ent->d_name);
        char *name = n < cap ? mem_alloc(len + 2) : NULL;
        if (name) {
            name[0] = kind_of(d, ent);
            memcpy(name + 1, ent->d_name, len + 1);
        }
        if (!name)
            code = err_set(&op->result.err, ERR_NOMEM, "%s: no memory", path);
        else
            names[n++] = name;
    }
    closedir(d);
    if (n) qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        if (code == 0) code = buf_put(&op->data, names[i], strlen(names[i]) + 1);
        mem_free(names[i]);
    }
    mem_free(names);
    return code < 0 && !op->result.err.code ? err_set(&op->result.err, code, "%s: no memory", path)
                                            : code;
}

static int do_stat(struct files_op *op)
{
    struct stat st;
    if (stat(op->req.path.p, &st) < 0) return fail(op, op->req.path.p);
    struct stat link;
    op->result.is_link = lstat(op->req.path.p, &link) == 0 && S_ISLNK(link.st_mode);
    op->result.is_dir = S_ISDIR(st.st_mode);
    op->result.is_file = S_ISREG(st.st_mode);
    op->result.size = (int64_t)st.st_size;
    op->result.mode = (int)(st.st_mode & 07777);
    op->result.modified_ns = (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
    return 0;
}

static int do_mkdir(struct files_op *op)
{
    const char *path = op->req.path.p;
    struct stat st;
    if (!op->req.recursive) return mkdir(path, 0777) < 0 ? fail(op, path) : 0;
    char *p = mem_dup(path, op->req.path.n + 1);
    if (!p) return err_set(&op->result.err, ERR_NOMEM, "%s: no memory", path);
    int code = 0;
    for (char *at = p + 1; code == 0; at++) {
        if (*at != '/' && *at != 0) continue;
        char keep = *at;
        *at = 0;
        if (mkdir(p, 0777) < 0 && (errno != EEXIST || stat(p, &st) < 0 || !S_ISDIR(st.st_mode)))
            code = fail(op, p);
        *at = keep;
        if (!keep) break;
    }
    mem_free(p);
    return code;
}

/* Links are removed, never followed. */
static int remove_tree(struct files_op *op, const char *path, int depth)
{
    struct stat st;
    if (lstat(path, &st) < 0) return errno == ENOENT ? 0 : fail(op, path);
    if (!S_ISDIR(st.st_mode)) return unlink(path) < 0 ? fail(op, path) : 0;
    if (depth > 200)
        return err_set(&op->result.err, ERR_LIMIT, "%s: more than 200 folders deep", path);
    DIR *d = opendir(path);
    if (!d) return fail(op, path);
    int code = 0;
    for (struct dirent *ent; code == 0 && (ent = readdir(d)) != NULL;) {
        if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0) continue;
        size_t n = strlen(path) + strlen(ent->d_name) + 2;
        char *sub = mem_alloc(n);
        if (!sub) {
            code = err_set(&op->result.err, ERR_NOMEM, "%s: no memory", path);
            break;
        }
        snprintf(sub, n, "%s/%s", path, ent->d_name);
        code = remove_tree(op, sub, depth + 1);
        mem_free(sub);
    }
    closedir(d);
    return code < 0 ? code : rmdir(path) < 0 ? fail(op, path) : 0;
}

static int do_copy(struct files_op *op)
{
    const char *from = op->req.path.p, *to = op->req.to.p;
    struct stat st, other;
    int in = open(from, O_RDONLY | O_CLOEXEC), code = 0;
    if (in < 0) return fail(op, from);
    if (fstat(in, &st) < 0 || S_ISDIR(st.st_mode)) {
        if (S_ISDIR(st.st_mode)) errno = EISDIR;
        code = fail(op, from);
        close(in);
        return code;
    }
    int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, st.st_mode & 0777);
    if (out < 0 || fstat(out, &other) < 0)
        code = fail(op, to);
    else if (other.st_dev == st.st_dev && other.st_ino == st.st_ino)
        code = err_set(&op->result.err, ERR_ARG, "%s and %s are the same file", from, to);
    else if (S_ISREG(other.st_mode) && ftruncate(out, 0) < 0)
        code = fail(op, to);
    char chunk[65536];
    while (code == 0) {
        ssize_t n = read(in, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) code = fail(op, from);
        if (n <= 0) break;
        code = write_all(op, out, str_make(chunk, (size_t)n), to);
    }
    close(in);
    if (out >= 0 && close(out) < 0 && code == 0) code = fail(op, to);
    return code;
}

static int do_temp_dir(struct files_op *op)
{
    const char *base = getenv("TMPDIR"), *prefix = op->req.path.n ? op->req.path.p : "moonloop";
    struct str t = arena_printf(&op->arena, "%s/%s-XXXXXX", base && *base ? base : "/tmp", prefix);
    if (strchr(prefix, '/'))
        return err_set(&op->result.err, ERR_ARG, "%s: the prefix of a temporary folder has a slash",
                       prefix);
    if (!t.p || buf_putstr(&op->data, t) < 0)
        return err_set(&op->result.err, ERR_NOMEM, "no memory");
    return mkdtemp(op->data.p) ? 0 : fail(op, t.p);
}

void files_do(struct files_op *op)
{
    const char *path = op->req.path.p;
    switch (op->req.kind) {
    case FILES_READ:
        do_read(op);
        break;
    case FILES_WRITE:
        if (op->req.atomic)
            do_write_atomic(op);
        else
            do_write(op, O_TRUNC);
        break;
    case FILES_APPEND:
        do_write(op, O_APPEND);
        break;
    case FILES_LIST:
        do_list(op);
        break;
    case FILES_STAT:
        do_stat(op);
        break;
    case FILES_MKDIR:
        do_mkdir(op);
        break;
    case FILES_REMOVE:
        if (op->req.recursive)
            remove_tree(op, path, 0);
        else if (remove(path) < 0)
            fail(op, path);
        break;
    case FILES_RENAME:
        if (rename(path, op->req.to.p) < 0) fail(op, path);
        break;
    case FILES_COPY:
        do_copy(op);
        break;
    case FILES_TEMP_DIR:
        do_temp_dir(op);
        break;
    }
}
