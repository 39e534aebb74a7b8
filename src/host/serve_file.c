/* Files of a folder, as api:static serves them. Keeps true: no path leads out of the folder,
 * neither by its text nor by a link in it; hidden files are not there. */
#include "host/serve.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void not_found(struct host_request *r)
{
    serve_problem(r, PROBLEM_NOT_FOUND, "there is no such file");
}

/* Opens one step of a path below `at`, which it closes. */
static int step(int at, struct str name, int flags)
{
    char z[256];
    int fd = -1;
    bool ok = name.n > 0 && name.n < sizeof z && name.p[0] != '.' && !memchr(name.p, 0, name.n) &&
              !memchr(name.p, '\\', name.n);
    if (ok) {
        snprintf(z, sizeof z, STR_FMT, STR_ARG(name));
        fd = openat(at, z, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags);
    }
    close(at);
    return fd;
}

/* The script's folder, and the one of the route in it. */
static int open_folder(const struct act_route *route)
{
    char path[4096];
    const char *slash = strrchr(route->path, '/');
    int n = route->folder.p[0] == '/' || !slash
                ? snprintf(path, sizeof path, STR_FMT, STR_ARG(route->folder))
                : snprintf(path, sizeof path, "%.*s/" STR_FMT, (int)(slash - route->path),
                           route->path, STR_ARG(route->folder));
    if (n < 0 || (size_t)n >= sizeof path) return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_below(int at, struct str path, struct stat *st)
{
    struct str last = STR("index.html");
    while (at >= 0 && path.n) {
        const char *slash = memchr(path.p, '/', path.n);
        struct str name = slash ? str_make(path.p, (size_t)(slash - path.p)) : path;
        at = step(at, name, slash ? O_DIRECTORY : 0);
        if (!slash) break;
        path = str_make(slash + 1, path.n - (size_t)(slash + 1 - path.p));
        if (!path.n) at = at < 0 ? at : step(at, last, 0);
    }
    if (at >= 0 && (fstat(at, st) < 0 || !S_ISREG(st->st_mode))) {
        close(at);
        at = -1;
    }
    return at;
}

static const char *type_of(struct str path)
{
    static const char *const types[][2] = {{"html", "text/html; charset=utf-8"},
                                           {"css", "text/css; charset=utf-8"},
                                           {"js", "text/javascript; charset=utf-8"},
                                           {"mjs", "text/javascript; charset=utf-8"},
                                           {"json", "application/json"},
                                           {"txt", "text/plain; charset=utf-8"},
                                           {"md", "text/markdown; charset=utf-8"},
                                           {"svg", "image/svg+xml"},
                                           {"png", "image/png"},
                                           {"jpg", "image/jpeg"},
                                           {"jpeg", "image/jpeg"},
                                           {"gif", "image/gif"},
                                           {"webp", "image/webp"},
                                           {"ico", "image/vnd.microsoft.icon"},
                                           {"pdf", "application/pdf"},
                                           {"wasm", "application/wasm"},
                                           {"woff2", "font/woff2"},
                                           {"mp3", "audio/mpeg"},
                                           {"mp4", "video/mp4"},
                                           {"csv", "text/csv; charset=utf-8"},
                                           {"xml", "application/xml"},
                                           {"webmanifest", "application/manifest+json"}};
    size_t i = path.n;
    while (i > 0 && path.p[i - 1] != '.' && path.p[i - 1] != '/')
        i--;
    struct str end = i > 0 && path.p[i - 1] == '.' ? str_make(path.p + i, path.n - i) : STR("");
    if (!path.n || path.p[path.n - 1] == '/') return types[0][1];
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        if (str_eqz(end, types[k][0])) return types[k][1];
    return "application/octet-stream";
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7) */
static void put_date(int64_t ns, char out[40])
{
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct time_fields f;
    time_fields_utc(ns, &f);
    snprintf(out, 40, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * f.wday, f.day,
             months + 3 * (f.month - 1), f.year, f.hour, f.min, f.sec);
}

static bool unchanged(const struct http_incoming *in, const char *tag, const char *date)
{
    struct str none = http_incoming_header(in, "if-none-match");
    struct str since = http_incoming_header(in, "if-modified-since");
    if (none.p) return str_eqz(none, "*") || memmem(none.p, none.n, tag, strlen(tag)) != NULL;
    return since.p && str_eqz(since, date);
}

void serve_file(struct host_request *r, const struct http_incoming *in,
                const struct act_route *route, struct str path)
{
    struct stat st = {0};
    int folder = open_folder(route), fd = -1;
    char tag[60], date[40];
    if (folder < 0)
        log_printf(&r->x->h->log, LOG_ERROR, "the folder " STR_FMT " of %s cannot be opened",
                   STR_ARG(route->folder), route->path);
    else
        fd = open_below(folder, path.n ? path : STR("index.html"), &st);
    if (fd < 0) {
        not_found(r);
        return;
    }
    int64_t changed = (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
    snprintf(tag, sizeof tag, "\"%llx-%llx\"", (unsigned long long)changed,
             (unsigned long long)st.st_size);
    put_date(changed, date);
    struct http_header headers[] = {
        {.name = STR("Content-Type"), .value = str_of(type_of(path))},
        {.name = STR("ETag"), .value = str_of(tag)},
        {.name = STR("Last-Modified"), .value = str_of(date)},
        {.name = STR("X-Content-Type-Options"), .value = STR("nosniff")},
        {.name = STR("Cache-Control"), .value = STR("no-cache")}};
    struct http_answer a = {.status = 200, .headers = headers, .n_headers = 5};
    if (unchanged(in, tag, date)) {
        a.status = 304;
        close(fd);
    } else {
        a.file = fd;
        a.file_size = (uint64_t)st.st_size;
    }
    serve_answer(r, &a);
}
