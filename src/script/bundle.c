/* Bundles: built from files, rebuilt from their stored form, installed in run states. Keeps true:
 * the digest is the SHA-256 of the JSON bytes, the JSON names every text by its hash, and all that
 * decides how a run reads its modules is in it. */
#include "base/mem.h"
#include "script/sandbox_impl.h"
#include "json/text.h"

#define JSON_BYTES_MAX (1u << 20)
#define CODE_BYTES_MAX (64u << 20)
#define MODULES_MAX 2000

struct builder {
    struct bundle *b;
    const char *entry_path;
    struct err *e;
    int code;
};

/* ---- life ---- */
struct bundle *bundle_ref(struct bundle *b)
{
    b->refs++;
    return b;
}

void bundle_unref(struct bundle *b)
{
    if (!b || --b->refs > 0) return;
    for (size_t i = 0; i < b->n_modules; i++) {
        mem_free(b->modules[i].name);
        mem_free(b->modules[i].chunk);
        mem_free(b->modules[i].text);
        mem_free(b->modules[i].code);
    }
    for (size_t i = 0; i < b->n_native; i++)
        mem_free(b->native[i]);
    mem_free(b->modules);
    mem_free(b->native);
    mem_free(b->entry);
    mem_free(b->json);
    mem_free(b);
}

static struct bundle *bundle_new(void)
{
    struct bundle *b = mem_zalloc(sizeof *b);
    if (b) b->refs = 1;
    return b;
}

const struct bundle_module *bundle_find(const struct bundle *b, struct str name)
{
    size_t low = 0, high = b->n_modules;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int r = str_cmp(str_of(b->modules[mid].name), name);
        if (r == 0) return &b->modules[mid];
        if (r < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static bool is_native(const struct bundle *b, struct str name)
{
    for (size_t i = 0; i < b->n_native; i++)
        if (str_eqz(name, b->native[i])) return true;
    return false;
}

/* "@lib/util.lua" for "lib.util": relative to the entry's folder, whatever machine it is read on.
 */
static char *chunk_of(struct str name)
{
    char *p = mem_alloc(name.n + 6);
    if (!p) return NULL;
    p[0] = '@';
    for (size_t i = 0; i < name.n; i++)
        p[i + 1] = name.p[i] == '.' ? '/' : name.p[i];
    memcpy(p + 1 + name.n, ".lua", 5);
    return p;
}

/* Adds a module in its place. Takes text (also on failure). */
static int add_module(struct bundle *b, struct str name, char *text, size_t n, bool strict,
                      struct err *e)
{
    struct bundle_module m = {.text = text, .text_n = n, .strict = strict};
    size_t at = 0;
    if (b->n_modules >= MODULES_MAX) {
        mem_free(text);
        return err_set(e, ERR_LIMIT, "more than %d modules", MODULES_MAX);
    }
    struct bundle_module *all = mem_realloc(b->modules, (b->n_modules + 1) * sizeof *all);
    if (all) b->modules = all;
    m.name = all ? str_dup(name) : NULL;
    m.chunk = m.name ? chunk_of(name) : NULL;
    if (!m.chunk) {
        mem_free(m.name);
        mem_free(text);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    hash_sha256_hex(str_make(text, n), m.sha);
    while (at < b->n_modules && str_cmp(str_of(b->modules[at].name), name) < 0)
        at++;
    memmove(&b->modules[at + 1], &b->modules[at], (b->n_modules - at) * sizeof *all);
    b->modules[at] = m;
    b->n_modules++;
    return 0;
}

static int add_native(struct bundle *b, struct str name, struct err *e)
{
    size_t at = 0;
    if (is_native(b, name)) return 0;
    char **all = mem_realloc(b->native, (b->n_native + 1) * sizeof *all);
    if (all) b->native = all;
    char *copy = all ? str_dup(name) : NULL;
    if (!copy) return err_set(e, ERR_NOMEM, "out of memory");
    while (at < b->n_native && str_cmp(str_of(all[at]), name) < 0)
        at++;
    memmove(&all[at + 1], &all[at], (b->n_native - at) * sizeof *all);
    all[at] = copy;
    b->n_native++;
    return 0;
}

/* ---- building ---- */
static bool comes_with_us(struct str name)
{
    static const char *const known[] = {"moonloop", "string",    "table", "math",
                                        "utf8",     "coroutine", "os",    "io",
                                        "debug",    "package",   "_G"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eqz(name, known[i])) return true;
    return str_starts(name, STR("moonloop."));
}

static void add_required(void *ud, struct str name)
{
    struct builder *w = ud;
    char *path = NULL, *text = NULL;
    size_t n;
    bool strict, native;
    struct err e = {0};
    if (w->code || comes_with_us(name) || bundle_find(w->b, name) || is_native(w->b, name)) return;
    int code = bundle_resolve(w->entry_path, name, &path, &strict, &native, &e);
    if (code == ERR_NOTFOUND)
        return; /* it may stand in a pcall; the run says so when it is reached */
    if (code == 0 && native)
        code = add_native(w->b, name, &e);
    else if (code == 0 && (code = bundle_read_text(path, &text, &n, &e)) == 0)
        code = add_module(w->b, name, text, n, strict, &e);
    mem_free(path);
    if (code) {
        w->code = err_set(w->e, code, "module '" STR_FMT "': %s", STR_ARG(name), e.text);
        return;
    }
    if (!native) /* the text moves to no other place: it is owned by pointer */
        bundle_scan_requires(str_make(text, n), add_required, w);
}

static void put_names(struct buf *j, const char *key, const struct bundle *b)
{
    bool first = true;
    for (size_t i = 0; i < b->n_modules; i++) {
        const struct bundle_module *m = &b->modules[i];
        if (m->strict || str_starts(str_of(m->name), STR("moonloop."))) continue;
        if (first)
            buf_printf(j, "\"%s\":[", key);
        else
            buf_putc(j, ',');
        json_put_string(j, str_of(m->name));
        first = false;
    }
    if (!first) buf_puts(j, "],");
}

static int make_json(struct bundle *b, struct err *e)
{
    struct buf j;
    buf_init(&j, JSON_BYTES_MAX);
    buf_printf(&j, "{\"api\":%d,\"entry\":", BUNDLE_API);
    json_put_string(&j, str_of(b->entry));
    buf_printf(&j, ",\"format\":%d,", BUNDLE_FORMAT);
    put_names(&j, "lax", b);
    buf_puts(&j, "\"modules\":{");
    for (size_t i = 0; i < b->n_modules; i++) {
        if (i > 0) buf_putc(&j, ',');
        json_put_string(&j, str_of(b->modules[i].name));
        buf_printf(&j, ":\"%s\"", b->modules[i].sha);
    }
    buf_puts(&j, "},\"native\":[");
    for (size_t i = 0; i < b->n_native; i++) {
        if (i > 0) buf_putc(&j, ',');
        json_put_string(&j, str_of(b->native[i]));
    }
    buf_puts(&j, "]}");
    int code = j.code;
    if (code == 0) {
        b->json = buf_take(&j, &b->json_n);
        if (!b->json) code = ERR_NOMEM;
    }
    buf_free(&j);
    if (code)
        return err_set(e, code, "bundle: %s",
                       code == ERR_NOMEM ? "out of memory" : "too many modules");
    hash_sha256_hex(str_make(b->json, b->json_n), b->digest);
    return 0;
}

static int add_builtins(struct bundle *b, struct err *e)
{
    for (const struct builtin_module *m = builtin_modules; m->name; m++) {
        if (!m->run_side) continue;
        char *text = mem_dup(m->text, m->n + 1);
        int code = text ? add_module(b, str_of(m->name), text, m->n, false, e)
                        : err_set(e, ERR_NOMEM, "out of memory");
        if (code) return code;
    }
    return 0;
}

static struct str entry_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct str s = str_of(slash ? slash + 1 : path);
    if (s.n > 4 && memcmp(s.p + s.n - 4, ".lua", 4) == 0) s.n -= 4;
    return s;
}

int bundle_build(const char *entry_path, const char *const *loaded, size_t n_loaded,
                 struct bundle **out, struct err *e)
{
    struct builder w = {.b = bundle_new(), .entry_path = entry_path, .e = e};
    char *text = NULL;
    size_t n = 0;
    struct str name = entry_name(entry_path);
    if (!w.b) return err_set(e, ERR_NOMEM, "bundle: out of memory");
    int code = bundle_read_text(entry_path, &text, &n, e);
    if (code) goto out;
    w.b->entry = str_dup(name);
    if (!w.b->entry) {
        mem_free(text);
        code = err_set(e, ERR_NOMEM, "bundle: out of memory");
        goto out;
    }
    if ((code = add_module(w.b, name, text, n, true, e)) || (code = add_builtins(w.b, e))) goto out;
    bundle_scan_requires(str_make(text, n), add_required, &w);
    for (size_t i = 0; i < n_loaded; i++)
        add_required(&w, str_of(loaded[i]));
    code = w.code ? w.code : make_json(w.b, e);
out:
    if (code)
        bundle_unref(w.b);
    else
        *out = w.b;
    return code;
}

/* ---- the stored form ---- */
struct parser {
    struct json_in in;
    struct bundle *b;
    bundle_text_fn text_of;
    void *ud;
    struct buf word; /* a decoded string */
    int64_t format;
};

static int punct(struct parser *p, char c)
{
    json_blanks(&p->in);
    if (p->in.p >= p->in.end || *p->in.p != c)
        return json_text_fail(&p->in, "a bundle is not in its form");
    p->in.p++;
    return 0;
}

static bool peek(struct parser *p, char c)
{
    json_blanks(&p->in);
    return p->in.p < p->in.end && *p->in.p == c;
}

static int string(struct parser *p)
{
    struct str raw;
    size_t n;
    if (!peek(p, '"')) return json_text_fail(&p->in, "a bundle is not in its form");
    int code = json_scan_string(&p->in, &raw, &n);
    if (code) return code;
    buf_reset(&p->word);
    if (buf_put(&p->word, raw.p, raw.n) || buf_putc(&p->word, 0))
        return err_set(p->in.e, ERR_NOMEM, "bundle: out of memory");
    json_unescape(raw, p->word.p);
    p->word.p[n] = 0;
    p->word.n = n;
    return 0;
}

static int parse_modules(struct parser *p)
{
    int code = punct(p, '{');
    while (code == 0 && !peek(p, '}')) {
        struct str text = {NULL, 0};
        char *name, sha[SHA256_HEX];
        if ((code = string(p))) return code;
        if (!(name = str_dup(buf_str(&p->word))))
            return err_set(p->in.e, ERR_NOMEM, "bundle: out of memory");
        if ((code = punct(p, ':')) == 0 && (code = string(p)) == 0 &&
            (code = p->text_of(p->ud, p->word.p, &text)))
            err_set(p->in.e, code, "bundle: the text of module '%s' is missing", name);
        if (code == 0) {
            char *copy = NULL;
            hash_sha256_hex(text, sha);
            if (strcmp(sha, p->word.p) != 0)
                code = err_set(p->in.e, ERR_CORRUPT, "bundle: the text of module '%s' is damaged",
                               name);
            else if (!(copy = mem_alloc(text.n + 1)))
                code = err_set(p->in.e, ERR_NOMEM, "bundle: out of memory");
            else {
                if (text.n) memcpy(copy, text.p, text.n);
                copy[text.n] = 0;
                code = add_module(p->b, str_of(name), copy, text.n,
                                  !str_starts(str_of(name), STR("moonloop.")), p->in.e);
            }
        }
        mem_free(name);
        if (code == 0 && !peek(p, '}')) code = punct(p, ',');
    }
    return code ? code : punct(p, '}');
}

/* "native" and "lax": lists of names. Lax ones come before the modules, so they are kept in
 * `native` order by the caller. */
static int parse_names(struct parser *p, int (*each)(struct parser *p))
{
    int code = punct(p, '[');
    while (code == 0 && !peek(p, ']')) {
        if ((code = string(p)) || (code = each(p))) return code;
        if (!peek(p, ']')) code = punct(p, ',');
    }
    return code ? code : punct(p, ']');
}

static int each_native(struct parser *p)
{
    return add_native(p->b, buf_str(&p->word), p->in.e);
}

static int each_lax(struct parser *p)
{
    for (size_t i = 0; i < p->b->n_modules; i++)
        if (str_eqz(buf_str(&p->word), p->b->modules[i].name)) p->b->modules[i].strict = false;
    return 0;
}

static int skip_name(struct parser *p)
{
    (void)p;
    return 0;
}

static int parse_member(struct parser *p, const char **lax)
{
    struct json_number number;
    int code = string(p);
    if (code || (code = punct(p, ':'))) return code;
    if (strcmp(p->word.p, "api") == 0 || strcmp(p->word.p, "format") == 0) {
        bool format = p->word.p[0] == 'f';
        json_blanks(&p->in);
        if ((code = json_scan_number(&p->in, &number))) return code;
        if (!number.is_int || number.i > (format ? BUNDLE_FORMAT : BUNDLE_API))
            return err_set(p->in.e, ERR_NEWER, "bundle: made by a newer moonloop");
        return 0;
    }
    if (strcmp(p->word.p, "entry") == 0) {
        if ((code = string(p))) return code;
        mem_free(p->b->entry);
        p->b->entry = str_dup(buf_str(&p->word));
        return p->b->entry ? 0 : err_set(p->in.e, ERR_NOMEM, "bundle: out of memory");
    }
    if (strcmp(p->word.p, "modules") == 0) return parse_modules(p);
    if (strcmp(p->word.p, "native") == 0) return parse_names(p, each_native);
    if (strcmp(p->word.p, "lax") == 0) {
        *lax = p->in.p; /* read again when the modules are known */
        return parse_names(p, skip_name);
    }
    return json_text_fail(&p->in, "a bundle has an unknown member");
}

static int parse(struct parser *p)
{
    const char *lax = NULL;
    int code = punct(p, '{');
    while (code == 0 && !peek(p, '}')) {
        if ((code = parse_member(p, &lax)) == 0 && !peek(p, '}')) code = punct(p, ',');
    }
    if (code == 0) code = punct(p, '}');
    json_blanks(&p->in);
    if (code == 0 && p->in.p != p->in.end)
        code = json_text_fail(&p->in, "a bundle is not in its form");
    if (code == 0 && lax) {
        p->in.p = lax;
        code = parse_names(p, each_lax);
    }
    if (code == 0 && (!p->b->entry || !bundle_find(p->b, str_of(p->b->entry))))
        code = err_set(p->in.e, ERR_PROTO, "bundle: the entry is missing");
    return code;
}

int bundle_parse(struct str json, bundle_text_fn text_of, void *ud, struct bundle **out,
                 struct err *e)
{
    struct parser p = {.in = {json.p, json.p + json.n, json.p, e},
                       .b = bundle_new(),
                       .text_of = text_of,
                       .ud = ud};
    int code = ERR_NOMEM;
    buf_init(&p.word, JSON_BYTES_MAX);
    if (p.b && json.p && (code = parse(&p)) == 0) {
        p.b->json = str_dup(json);
        p.b->json_n = json.n;
        code = p.b->json ? 0 : ERR_NOMEM;
    }
    if (code == ERR_NOMEM) err_set(e, code, "bundle: out of memory");
    buf_free(&p.word);
    if (code) {
        bundle_unref(p.b);
        return code;
    }
    hash_sha256_hex(json, p.b->digest);
    *out = p.b;
    return 0;
}

/* ---- in a run ---- */
static int dump(lua_State *L, const void *p, size_t n, void *ud)
{
    (void)L;
    return buf_put(ud, p, n);
}

/* Pushes the module's main function; the first time it makes the bytecode that later states load.
 */
int bundle_compile(struct bundle_module *m, lua_State *L, struct err *e)
{
    if (m->code && sandbox_load_code(L, m) == LUA_OK) return 0;
    if (m->code) lua_pop(L, 1); /* out of memory: the text load below says so */
    int code = sandbox_load(sandbox_of(L), L, str_make(m->text, m->text_n), str_of(m->chunk),
                            m->strict, e);
    if (code == 0) sandbox_set_module_env(L, m);
    if (code || m->code) return code;
    struct buf b;
    buf_init(&b, CODE_BYTES_MAX);
    if (lua_dump(L, dump, &b, 0) == 0 && b.code == 0) m->code = buf_take(&b, &m->code_n);
    buf_free(&b);
    return 0;
}

int sandbox_push_bundled(lua_State *L, struct bundle *b, struct str name)
{
    struct err e = {0};
    const struct bundle_module *found = bundle_find(b, name);
    if (!found) return ERR_NOTFOUND;
    int code = bundle_compile(&b->modules[found - b->modules], L, &e);
    if (code == ERR_NOMEM)
        sandbox_stop(L);
    else if (code)
        luaL_error(L, "error loading module '%s': %s", name.p, e.text);
    return 0;
}

static int not_in_bundle(void *ud, struct str name, struct str *text, struct str *chunk,
                         bool *strict, bool *native, struct err *e)
{
    (void)text;
    (void)chunk;
    (void)strict;
    if (is_native(ud, name)) {
        *native = true;
        return 0;
    }
    return err_set(e, ERR_NOTFOUND,
                   "it is not among the texts that this run was started with (those loaded at the "
                   "top and those "
                   "named by a literal require)");
}

int bundle_install(struct bundle *b, struct sandbox *sb, lua_State *co, struct err *e)
{
    struct sandbox_impl *im = impl_of(sb);
    const struct bundle_module *entry = bundle_find(b, str_of(b->entry));
    if (!entry) return err_set(e, ERR_ARG, "bundle: the entry is missing");
    bundle_ref(b);
    bundle_unref(im->bundle);
    im->bundle = b;
    sandbox_set_loader(sb, not_in_bundle, b);
    return bundle_compile(&b->modules[entry - b->modules], co, e);
}
