/* See toml.h. One pass; keys and strings live in an arena until the end. */
#include "temporal/toml.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"

#define DEPTH_MAX 16 /* of lists and inline tables */
#define TEXT_MAX ((size_t)1 << 20)

struct toml {
    const char *p, *end;
    int line, depth;
    struct arena a;
    struct buf b;    /* the string at hand; a path */
    struct map seen; /* paths; `value` or `table` */
    toml_fn fn;
    void *ud;
    struct err *e;
    struct str keys[TOML_KEYS];
    size_t n_keys;
};

static char value, table; /* what a path in `seen` is */

static int wrong(struct toml *t, const char *what)
{
    return err_set(t->e, ERR_ARG, "line %d: %s", t->line, what);
}

static int no_memory(struct toml *t)
{
    return err_set(t->e, ERR_NOMEM, "out of memory");
}

/* ---- characters ---- */
static char peek(const struct toml *t, size_t i)
{
    return (size_t)(t->end - t->p) > i ? t->p[i] : '\0';
}

static size_t newline(const struct toml *t)
{
    return peek(t, 0) == '\n' ? 1 : peek(t, 0) == '\r' && peek(t, 1) == '\n' ? 2 : 0;
}

static void next_line(struct toml *t)
{
    t->p += newline(t);
    t->line++;
}

static void blanks(struct toml *t)
{
    while (peek(t, 0) == ' ' || peek(t, 0) == '\t')
        t->p++;
}

static bool control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static int comment(struct toml *t)
{
    if (peek(t, 0) != '#') return 0;
    for (; t->p < t->end && !newline(t); t->p++)
        if (control(*t->p)) return wrong(t, "a control character");
    return 0;
}

/* Nothing but a comment may follow on the line. */
static int line_end(struct toml *t)
{
    blanks(t);
    int rc = comment(t);
    if (rc) return rc;
    if (t->p == t->end) return 0;
    if (!newline(t)) return wrong(t, "the line should end here");
    next_line(t);
    return 0;
}

/* Blanks, comments and ends of lines, in lists. */
static int space(struct toml *t)
{
    int rc = 0;
    for (blanks(t); !rc && (newline(t) || peek(t, 0) == '#'); blanks(t))
        if (newline(t))
            next_line(t);
        else
            rc = comment(t);
    return rc;
}

/* ---- strings ---- */
static int put_utf8(struct toml *t, uint32_t c)
{
    char s[4];
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return wrong(t, "an escape that is no character");
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        s[i] = (char)(0x80 | (c & 0x3f));
    s[0] = (char)(first[n] | c);
    return buf_put(&t->b, s, n);
}

static int hex_escape(struct toml *t, int digits)
{
    uint32_t c = 0;
    for (; digits; digits--, t->p++) {
        char d = peek(t, 0);
        int v = d >= '0' && d <= '9'   ? d - '0'
                : d >= 'a' && d <= 'f' ? d - 'a' + 10
                : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                       : -1;
        if (v < 0) return wrong(t, "an escape with a digit that is not hexadecimal");
        c = c << 4 | (uint32_t)v;
    }
    return put_utf8(t, c);
}

/* At the backslash. */
static int escape(struct toml *t, bool multi)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    char c = peek(t, 1);
    const char *at = c ? strchr(from, c) : NULL;
    t->p++;
    if (at) {
        t->p++;
        return buf_putc(&t->b, to[at - from]);
    }
    if (c == 'u' || c == 'U') {
        t->p++;
        return hex_escape(t, c == 'u' ? 4 : 8);
    }
    const char *here = t->p;
    blanks(t);
    if (!multi || !newline(t)) {
        t->p = here;
        return wrong(t,
                     "an unknown escape in a string (in '...' backslashes stand for themselves)");
    }
    while (newline(t)) {
        next_line(t);
        blanks(t);
    }
    return 0;
}

/* At the three quotes that end it, of up to five: the first ones belong to the text. */
static bool multi_end(struct toml *t, char q)
{
    if (peek(t, 1) != q || peek(t, 2) != q) return false;
    for (int i = 0; i < 2 && peek(t, 3) == q; i++, t->p++)
        buf_putc(&t->b, q);
    t->p += 3;
    return true;
}

static int string(struct toml *t, bool may_be_multi, struct str *out)
{
    char q = *t->p;
    bool multi = may_be_multi && peek(t, 1) == q && peek(t, 2) == q;
    int begun = t->line, rc = 0;
    t->p += multi ? 3 : 1;
    if (multi && newline(t)) next_line(t);
    buf_reset(&t->b);
    for (;;) {
        char c = peek(t, 0);
        if (t->p == t->end || (!multi && newline(t))) {
            t->line = begun;
            return wrong(t, "a string that does not end");
        }
        if (c == q && (!multi || multi_end(t, q))) {
            t->p += multi ? 0 : 1;
            break;
        }
        if (newline(t)) {
            next_line(t);
            rc = buf_putc(&t->b, '\n');
        } else if (c == '\\' && q == '"')
            rc = escape(t, multi);
        else if (control(c))
            return wrong(t, "a control character in a string");
        else {
            rc = buf_putc(&t->b, c);
            t->p++;
        }
        if (rc) return rc == ERR_ARG ? rc : no_memory(t);
    }
    *out = arena_str(&t->a, t->b.n ? buf_str(&t->b) : STR(""));
    return out->p ? 0 : no_memory(t);
}

/* ---- keys ---- */
static bool bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* One or more parts with points between, behind those that are there. */
static int key(struct toml *t)
{
    for (;;) {
        struct str k = {t->p, 0};
        blanks(t);
        k.p = t->p;
        int rc = 0;
        if (peek(t, 0) == '"' || peek(t, 0) == '\'')
            rc = string(t, false, &k);
        else
            for (; bare(peek(t, 0)); t->p++)
                k.n++;
        if (rc) return rc;
        if (!k.n && k.p == t->p) return wrong(t, "here should be a key");
        if (t->n_keys == TOML_KEYS) return wrong(t, "a key of too many parts");
        t->keys[t->n_keys++] = k;
        blanks(t);
        if (peek(t, 0) != '.') return 0;
        t->p++;
    }
}

/* The first `n` parts as one text that no other path has. */
static int path(struct toml *t, size_t n)
{
    buf_reset(&t->b);
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        rc = buf_printf(&t->b, "%zu:", t->keys[i].n);
        if (!rc && t->keys[i].n) rc = buf_putstr(&t->b, t->keys[i]);
    }
    return rc ? no_memory(t) : 0;
}

/* Each path is one thing, and only once; what lies above it is no value. */
static int note(struct toml *t, char *what)
{
    for (size_t n = 1; n <= t->n_keys; n++) {
        int rc = path(t, n);
        if (rc) return rc;
        char *was = map_get(&t->seen, buf_str(&t->b));
        if (was && (n == t->n_keys || was == &value)) return wrong(t, "this is there already");
    }
    return map_set(&t->seen, buf_str(&t->b), what) ? no_memory(t) : 0;
}

static int give(struct toml *t, enum toml_type type, struct str text, bool yes, int line)
{
    const struct toml_item item = {t->keys, t->n_keys, type, text, yes, line};
    return t->fn(t->ud, &item, t->e);
}

/* ---- values ---- */
static int any(struct toml *t, bool inside);

static int word(struct toml *t, bool inside, int line)
{
    struct str w = {t->p, 0};
    for (char c = peek(t, 0); bare(c) || c == '+' || c == '.' || c == ':'; c = peek(t, 0))
        t->p++, w.n++;
    if (!w.n) return wrong(t, "here should be a value");
    bool yes = str_eqz(w, "true");
    if (!yes && !str_eqz(w, "false") && !(*w.p >= '0' && *w.p <= '9') && *w.p != '+' &&
        *w.p != '-' && !str_eqz(w, "inf") && !str_eqz(w, "nan"))
        return wrong(t, "a value that is no string in quotes, no boolean and no number");
    if (inside) return 0;
    bool boolean = yes || str_eqz(w, "false");
    return give(t, boolean ? TOML_BOOL : TOML_OTHER, (struct str){NULL, 0}, yes, line);
}

static int list(struct toml *t)
{
    t->p++;
    for (;;) {
        int rc = space(t);
        if (rc) return rc;
        if (peek(t, 0) == ']') break;
        rc = any(t, true);
        if (!rc) rc = space(t);
        if (rc) return rc;
        if (peek(t, 0) == ']') break;
        if (peek(t, 0) != ',') return wrong(t, "a list needs a comma here, or its end");
        t->p++;
    }
    t->p++;
    return 0;
}

static int pair(struct toml *t, bool inside)
{
    size_t outer = t->n_keys;
    int rc = key(t);
    if (rc) return rc;
    if (peek(t, 0) != '=') return wrong(t, "here should be = and a value");
    t->p++;
    blanks(t);
    if (!inside) rc = note(t, &value);
    if (!rc) rc = any(t, inside);
    t->n_keys = outer;
    return rc;
}

static int inline_table(struct toml *t, bool inside)
{
    int rc = inside ? 0 : give(t, TOML_TABLE, (struct str){NULL, 0}, false, t->line);
    if (!rc && !inside) { /* its keys lie below a path that is a value by now */
        rc = path(t, t->n_keys);
        if (!rc && map_set(&t->seen, buf_str(&t->b), &table)) rc = no_memory(t);
    }
    t->p++;
    blanks(t);
    if (!rc && peek(t, 0) == '}') {
        t->p++;
        return 0;
    }
    while (!rc) {
        rc = pair(t, inside);
        if (rc) break;
        blanks(t);
        char c = peek(t, 0);
        if (c != ',' && c != '}') return wrong(t, "an inline table needs a comma here, or its end");
        t->p++;
        if (c == '}') break;
    }
    return rc;
}

/* A value. `inside` a list: nobody is told of it. */
static int any(struct toml *t, bool inside)
{
    struct str text;
    int line = t->line, rc;
    char c = peek(t, 0);
    if (c == '"' || c == '\'') {
        rc = string(t, true, &text);
        return rc || inside ? rc : give(t, TOML_STRING, text, false, line);
    }
    if (c != '[' && c != '{') return word(t, inside, line);
    if (t->depth == DEPTH_MAX) return wrong(t, "lists and tables in each other, too deep");
    t->depth++;
    rc = c == '[' ? list(t) : inline_table(t, inside);
    t->depth--;
    if (!rc && c == '[' && !inside) rc = give(t, TOML_OTHER, (struct str){NULL, 0}, false, line);
    return rc;
}

static int head(struct toml *t)
{
    t->p++;
    if (peek(t, 0) == '[') return wrong(t, "lists of tables ([[...]]) are not read here");
    t->n_keys = 0;
    int rc = key(t);
    if (rc) return rc;
    if (peek(t, 0) != ']') return wrong(t, "the head of a table should end with ]");
    t->p++;
    rc = note(t, &table);
    return rc ? rc : give(t, TOML_TABLE, (struct str){NULL, 0}, false, t->line);
}

static int read_lines(struct toml *t)
{
    int rc = 0;
    while (!rc && t->p < t->end) {
        blanks(t);
        char c = peek(t, 0);
        if (c == '[')
            rc = head(t);
        else if (t->p < t->end && c != '#' && !newline(t))
            rc = pair(t, false);
        if (!rc) rc = line_end(t);
    }
    return rc;
}

int toml_read(struct str text, toml_fn fn, void *ud, struct err *e)
{
    struct toml t = {.p = text.p, .end = text.p + text.n, .line = 1, .fn = fn, .ud = ud, .e = e};
    if (!text.n) return 0;
    if (text.n > TEXT_MAX) return err_set(e, ERR_LIMIT, "it is larger than %zu bytes", TEXT_MAX);
    size_t good = str_utf8_valid(text);
    if (good < text.n) {
        for (size_t i = 0; i < good; i++)
            t.line += text.p[i] == '\n';
        return wrong(&t, "this is not UTF-8");
    }
    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0) t.p += 3;
    arena_init(&t.a, 0);
    buf_init(&t.b, TEXT_MAX + 100);
    map_init(&t.seen);
    int rc = read_lines(&t);
    map_free(&t.seen);
    buf_free(&t.b);
    arena_free(&t.a);
    return rc;
}
