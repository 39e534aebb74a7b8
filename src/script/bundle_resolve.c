/* Where a module of an entry script lies, and what a text requires literally. Called when a bundle
 * is built and by the loader of host states, so both find the same file. */
#include "base/mem.h"
#include "script/bundle.h"
#include <errno.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TEXT_BYTES_MAX (8u << 20)
#define PATH_BYTES_MAX 4096

int bundle_read_text(const char *path, char **text, size_t *n, struct err *e)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f)
        return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_NOTFOUND : ERR_IO, "%s: %s",
                       path, strerror(errno));
    char *p = NULL;
    int code = 0;
    size_t size = 0;
    if (fstat(fileno(f), &st) || !S_ISREG(st.st_mode))
        code = err_set(e, ERR_IO, "%s: not a file", path);
    else if (st.st_size > TEXT_BYTES_MAX)
        code = err_set(e, ERR_LIMIT, "%s: larger than 8 MiB", path);
    else if (!(p = mem_alloc((size_t)st.st_size + 1)))
        code = err_set(e, ERR_NOMEM, "%s: out of memory", path);
    if (code == 0) {
        size = fread(p, 1, (size_t)st.st_size, f);
        if (ferror(f)) code = err_set(e, ERR_IO, "%s: cannot be read", path);
    }
    fclose(f);
    if (code) {
        mem_free(p);
        return code;
    }
    p[size] = 0;
    *text = p;
    *n = size;
    return 0;
}

/* ---- resolving ---- */
struct search {
    struct str name;
    struct buf path; /* the candidate */
    struct buf tried;
};

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Puts `pattern` with '?' replaced by the name (dots as slashes) after `folder`; true when that
 * file exists. */
static bool candidate(struct search *s, struct str folder, struct str pattern)
{
    buf_reset(&s->path);
    if (folder.n) {
        buf_putstr(&s->path, folder);
        buf_putc(&s->path, '/');
    }
    for (size_t i = 0; i < pattern.n; i++) {
        if (pattern.p[i] != '?') {
            buf_putc(&s->path, pattern.p[i]);
            continue;
        }
        for (size_t k = 0; k < s->name.n; k++)
            buf_putc(&s->path, s->name.p[k] == '.' ? '/' : s->name.p[k]);
    }
    if (s->path.code || !s->path.p) return false;
    if (is_file(s->path.p)) return true;
    buf_printf(&s->tried, "%s%s", s->tried.n ? ", " : "", s->path.p);
    return false;
}

static bool search_list(struct search *s, const char *list)
{
    while (*list) {
        size_t n = strcspn(list, ";");
        if (n && candidate(s, (struct str){NULL, 0}, str_make(list, n))) return true;
        list += n + (list[n] == ';');
    }
    return false;
}

/* package.path as Lua makes it: the environment, with ";;" standing for the default. */
static bool search_env(struct search *s, const char *versioned, const char *plain, const char *dflt)
{
    const char *list = getenv(versioned);
    if (!list) list = getenv(plain);
    if (!list) return search_list(s, dflt);
    return search_list(s, list) || (strstr(list, ";;") && search_list(s, dflt));
}

static bool good_name(struct str name)
{
    if (name.n == 0 || name.n > 200 || name.p[0] == '.' || name.p[name.n - 1] == '.') return false;
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] < 0x20 || name.p[i] == '\\' ||
            (name.p[i] == '.' && name.p[i + 1 < name.n ? i + 1 : i] == '.' && i + 1 < name.n))
            return false;
    return name.p[0] != '/';
}

int bundle_resolve(const char *entry_path, struct str name, char **path, bool *strict, bool *native,
                   struct err *e)
{
    struct search s = {.name = name};
    const char *slash = strrchr(entry_path, '/');
    struct str folder =
        slash ? str_make(entry_path, slash == entry_path ? 1 : (size_t)(slash - entry_path))
              : STR(".");
    int code = 0;
    bool beside, c_library = false;
    if (!good_name(name)) return err_set(e, ERR_NOTFOUND, "not a module name");
    buf_init(&s.path, PATH_BYTES_MAX);
    buf_init(&s.tried, 16 * 1024);
    beside = candidate(&s, folder, STR("?.lua")) || candidate(&s, folder, STR("?/init.lua"));
    if (!beside && !search_env(&s, "LUA_PATH_5_4", "LUA_PATH", LUA_PATH_DEFAULT)) {
        c_library = search_env(&s, "LUA_CPATH_5_4", "LUA_CPATH", LUA_CPATH_DEFAULT);
        if (!c_library)
            code = err_set(e, ERR_NOTFOUND, "tried %.800s", s.tried.p ? s.tried.p : "nothing");
    }
    if (code == 0) {
        char *found = str_dup(buf_str(&s.path));
        if (found) {
            *path = found;
            *strict = beside;
            *native = c_library;
        } else {
            code = err_set(e, ERR_NOMEM, "out of memory");
        }
    }
    buf_free(&s.path);
    buf_free(&s.tried);
    return code;
}

/* ---- literal require calls ---- */
/* At '[': the length of a long bracket's opening ("[==["), 0 when it is none. */
static size_t long_open(const char *p, const char *end)
{
    const char *q = p + 1;
    while (q < end && *q == '=')
        q++;
    return q < end && *q == '[' ? (size_t)(q - p) + 1 : 0;
}

/* After an opening of n bytes at p: where the content ends; *after is behind the closing bracket.
 */
static const char *long_close(const char *p, const char *end, size_t n, const char **after)
{
    for (const char *q = p + n; q + n <= end; q++) {
        if (*q != ']' || q[n - 1] != ']') continue;
        size_t i = 1;
        while (i < n - 1 && q[i] == '=')
            i++;
        if (i == n - 1) {
            *after = q + n;
            return q;
        }
    }
    *after = end;
    return end;
}

static const char *short_close(const char *p, const char *end)
{
    char quote = *p++;
    while (p < end && *p != quote && *p != '\n')
        p += *p == '\\' && p + 1 < end ? 2 : 1;
    return p < end ? p : end;
}

/* Behind a string at p (content in *s), or p itself when none begins there. */
static const char *string_at(const char *p, const char *end, struct str *s)
{
    const char *after = p, *close;
    *s = (struct str){NULL, 0};
    if (p < end && (*p == '"' || *p == '\'')) {
        close = short_close(p, end);
        *s = str_make(p + 1, (size_t)(close - p - 1));
        return close < end ? close + 1 : end;
    }
    size_t n = p < end && *p == '[' ? long_open(p, end) : 0;
    if (n) {
        close = long_close(p, end, n, &after);
        if (close < p + n) close = p + n < end ? p + n : end;
        *s = str_make(p + n, close > p + n ? (size_t)(close - p) - n : 0);
    }
    return after;
}

static bool name_byte(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const char *blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || (*p >= '\t' && *p <= '\r')))
        p++;
    return p;
}

static const char *comment(const char *p, const char *end)
{
    const char *after = end;
    p += 2;
    size_t n = p < end && *p == '[' ? long_open(p, end) : 0;
    if (n) {
        long_close(p, end, n, &after);
        return after;
    }
    while (p < end && *p != '\n')
        p++;
    return p;
}

void bundle_scan_requires(struct str text, void (*each)(void *ud, struct str name), void *ud)
{
    const char *p = text.p, *end = text.p + text.n, *q;
    char before = 0; /* the last byte that was not blank */
    struct str s;
    while (p < end) {
        if (*p == '-' && p + 1 < end && p[1] == '-') {
            p = comment(p, end);
            continue;
        }
        q = string_at(p, end, &s);
        if (q > p) {
            p = q;
            before = '"';
            continue;
        }
        if (!name_byte(*p)) {
            if (*p != ' ' && !(*p >= '\t' && *p <= '\r')) before = *p;
            p++;
            continue;
        }
        const char *word = p;
        while (p < end && name_byte(*p))
            p++;
        bool require =
            p - word == 7 && memcmp(word, "require", 7) == 0 && before != '.' && before != ':';
        before = 'a';
        if (!require) continue;
        q = blanks(p, end);
        if (q < end && *q == '(') q = blanks(q + 1, end);
        if (string_at(q, end, &s) > q && s.n) each(ud, s);
    }
}
