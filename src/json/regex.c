/* Compiles a pattern: see regex.h. Jumps are relative, so a piece of code can be moved (to put a
 * split before it) and copied (for {n,m}) as it is. */
#include "json/regex.h"

struct compiler {
    const char *p, *end, *begin;
    struct regex_insn *insns;
    struct regex_range *ranges;
    size_t n, n_ranges;
    int depth;
    struct err *e;
};

static int fail(struct compiler *c, const char *what)
{
    return err_set(c->e, ERR_ARG, "pattern: %s at character %zu", what,
                   (size_t)(c->p - c->begin) + 1);
}

static int too_large(struct compiler *c)
{
    return err_set(c->e, ERR_LIMIT, "pattern: too large (%d steps when written out)",
                   REGEX_INSNS_MAX);
}

static int emit(struct compiler *c, int op, int32_t x, int32_t y)
{
    if (c->n >= REGEX_INSNS_MAX) return too_large(c);
    c->insns[c->n++] = (struct regex_insn){op, x, y};
    return 0;
}

/* Makes room for one instruction before `at`. */
static int insert(struct compiler *c, size_t at, int op, int32_t x, int32_t y)
{
    if (c->n >= REGEX_INSNS_MAX) return too_large(c);
    memmove(c->insns + at + 1, c->insns + at, (c->n - at) * sizeof *c->insns);
    c->n++;
    c->insns[at] = (struct regex_insn){op, x, y};
    return 0;
}

static bool at(const struct compiler *c, char ch)
{
    return c->p < c->end && *c->p == ch;
}

static int add_range(struct compiler *c, uint32_t from, uint32_t to)
{
    if (c->n_ranges >= REGEX_RANGES_MAX) return too_large(c);
    c->ranges[c->n_ranges++] = (struct regex_range){from, to};
    return 0;
}

/* ECMA-262 22.2.2.9 (digits, word characters), 12.2 and 12.3 (white space, line ends). */
static const struct regex_range digit[] = {{'0', '9'}},
                                word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                                space[] = {{9, 13},          {' ', ' '},       {0xA0, 0xA0},
                                           {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029},
                                           {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
                                           {0xFEFF, 0xFEFF}};

/* Is `letter` one of d D w W s S? Then its ranges are added. 1 yes, 0 no, or an error. */
static int add_class(struct compiler *c, char letter)
{
    const struct regex_range *set = digit;
    size_t n = 1;
    int code;
    char lower = (char)(letter | 0x20);
    if (lower == 'w') {
        set = word;
        n = sizeof word / sizeof *word;
    } else if (lower == 's') {
        set = space;
        n = sizeof space / sizeof *space;
    } else if (lower != 'd') {
        return 0;
    }
    if (letter == lower) {
        for (size_t i = 0; i < n; i++)
            if ((code = add_range(c, set[i].from, set[i].to))) return code;
        return 1;
    }
    uint32_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (set[i].from > from && (code = add_range(c, from, set[i].from - 1))) return code;
        from = set[i].to + 1;
    }
    code = add_range(c, from, 0x10FFFF);
    return code ? code : 1;
}

static int hex(struct compiler *c, size_t digits, uint32_t *out)
{
    uint32_t v = 0;
    bool braces = digits == 4 && at(c, '{');
    size_t n = 0;
    if (braces) {
        c->p++;
        digits = 6;
    }
    for (; n < digits && c->p < c->end; n++, c->p++) {
        char ch = *c->p;
        if (ch >= '0' && ch <= '9')
            v = v << 4 | (uint32_t)(ch - '0');
        else if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f')
            v = v << 4 | (uint32_t)((ch | 0x20) - 'a' + 10);
        else
            break;
    }
    if (n == 0 || (!braces && n < digits) || v > 0x10FFFF) return fail(c, "a bad hex escape");
    if (braces && !at(c, '}')) return fail(c, "'}' expected");
    if (braces) c->p++;
    *out = v;
    return 0;
}

/* Behind a backslash: one character. */
static int escaped_char(struct compiler *c, uint32_t *out)
{
    static const char from[] = "tnvfr", to[] = "\t\n\v\f\r";
    if (c->p >= c->end) return fail(c, "a backslash at the end");
    char ch = *c->p;
    const char *known = strchr(from, ch);
    uint32_t low;
    int code;
    if (ch && known) {
        c->p++;
        *out = (uint32_t)to[known - from];
        return 0;
    }
    if (ch == 'x' || ch == 'u') {
        c->p++;
        if ((code = hex(c, ch == 'x' ? 2 : 4, out))) return code;
        if (ch == 'u' && *out >= 0xD800 && *out < 0xDC00 && c->end - c->p > 1 && c->p[0] == '\\' &&
            c->p[1] == 'u') {
            c->p += 2;
            if ((code = hex(c, 4, &low))) return code;
            *out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
        }
        return 0;
    }
    if (ch == 'c' && c->end - c->p > 1 && (c->p[1] | 0x20) >= 'a' && (c->p[1] | 0x20) <= 'z') {
        *out = (uint32_t)c->p[1] % 32;
        c->p += 2;
        return 0;
    }
    if (ch == '0' && !(c->end - c->p > 1 && c->p[1] >= '0' && c->p[1] <= '9')) {
        c->p++;
        *out = 0;
        return 0;
    }
    if (ch >= '0' && ch <= '9') return fail(c, "a back-reference, which is not supported,");
    if (ch == 'k') return fail(c, "a back-reference, which is not supported,");
    if (ch == 'p' || ch == 'P') return fail(c, "\\p{...}, which is not supported (use ranges),");
    if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')) return fail(c, "an unknown escape");
    *out = regex_char(&c->p);
    return 0;
}

/* One end of a range in [...]; *is_class when it was \d and the like (its ranges are added). */
static int class_atom(struct compiler *c, uint32_t *out, bool *is_class)
{
    *is_class = false;
    if (!at(c, '\\')) {
        *out = regex_char(&c->p);
        return 0;
    }
    c->p++;
    if (c->p < c->end) {
        int code = add_class(c, *c->p);
        if (code < 0) return code;
        if (code) {
            c->p++;
            *is_class = true;
            return 0;
        }
        if (*c->p == 'b') {
            c->p++;
            *out = '\b';
            return 0;
        }
    }
    return escaped_char(c, out);
}

static int char_class(struct compiler *c)
{
    size_t first = c->n_ranges;
    bool negative = false, is_class = false, to_class = false;
    int code;
    if (at(c, '^')) {
        negative = true;
        c->p++;
    }
    while (!at(c, ']')) {
        uint32_t from = 0, to;
        if (c->p >= c->end) return fail(c, "']' missing");
        if ((code = class_atom(c, &from, &is_class))) return code;
        if (is_class) continue;
        to = from;
        if (at(c, '-') && c->end - c->p > 1 && c->p[1] != ']') {
            c->p++;
            if ((code = class_atom(c, &to, &to_class))) return code;
            if (to_class || to < from) return fail(c, "a bad range before here");
        }
        if ((code = add_range(c, from, to))) return code;
    }
    c->p++;
    return emit(c, negative ? REGEX_NOT_SET : REGEX_SET, (int32_t)first,
                (int32_t)(c->n_ranges - first));
}

static int alternatives(struct compiler *c);

static int group(struct compiler *c)
{
    int code;
    if (at(c, '?')) {
        bool named = c->end - c->p > 2 && c->p[1] == '<' && c->p[2] != '=' && c->p[2] != '!';
        if (c->end - c->p > 1 && c->p[1] == ':') {
            c->p += 2;
        } else if (named) {
            while (c->p < c->end && *c->p != '>')
                c->p++;
            if (c->p < c->end) c->p++;
        } else {
            return fail(c, "look-around, which is not supported,");
        }
    }
    if (++c->depth > REGEX_GROUPS_MAX) return fail(c, "groups nested too deeply");
    if ((code = alternatives(c))) return code;
    c->depth--;
    if (!at(c, ')')) return fail(c, "')' missing");
    c->p++;
    return 0;
}

static int escape(struct compiler *c)
{
    uint32_t ch;
    size_t first = c->n_ranges;
    int code;
    if (c->p < c->end) {
        if ((code = add_class(c, *c->p)) < 0) return code;
        if (code) {
            c->p++;
            return emit(c, REGEX_SET, (int32_t)first, (int32_t)(c->n_ranges - first));
        }
        if (*c->p == 'b' || *c->p == 'B')
            return emit(c, *c->p++ == 'b' ? REGEX_WORD : REGEX_NOT_WORD, 0, 0);
    }
    if ((code = escaped_char(c, &ch))) return code;
    return emit(c, REGEX_CHAR, (int32_t)ch, 0);
}

static int atom(struct compiler *c)
{
    char ch = *c->p;
    switch (ch) {
    case '(':
        c->p++;
        return group(c);
    case '[':
        c->p++;
        return char_class(c);
    case '\\':
        c->p++;
        return escape(c);
    case '.':
        c->p++;
        return emit(c, REGEX_ANY, 0, 0);
    case '^':
        c->p++;
        return emit(c, REGEX_BEGIN, 0, 0);
    case '$':
        c->p++;
        return emit(c, REGEX_END, 0, 0);
    case '*':
    case '+':
    case '?':
        return fail(c, "nothing to repeat");
    default:
        return emit(c, REGEX_CHAR, (int32_t)regex_char(&c->p), 0);
    }
}

/* "{n}", "{n,}", "{n,m}": true and behind it, or false (then '{' is a character). */
static bool counts(struct compiler *c, long *min, long *max)
{
    const char *p = c->p + 1;
    long v[2] = {0, -1};
    int i = 0;
    bool digits = false;
    for (; p < c->end && *p != '}'; p++) {
        if (*p == ',' && i == 0 && digits) {
            i = 1;
            digits = false;
        } else if (*p >= '0' && *p <= '9') {
            if (v[i] < 0) v[i] = 0;
            if (v[i] < 1000000) v[i] = v[i] * 10 + (*p - '0');
            digits = true;
        } else {
            return false;
        }
    }
    if (p >= c->end || (i == 0 && !digits)) return false;
    *min = v[0];
    *max = i == 0 ? v[0] : v[1];
    c->p = p + 1;
    return true;
}

static int copy(struct compiler *c, size_t from, size_t len)
{
    if (c->n + len > REGEX_INSNS_MAX) return too_large(c);
    memcpy(c->insns + c->n, c->insns + from, len * sizeof *c->insns);
    c->n += len;
    return 0;
}

/* The piece from `from` on is repeated min to max times (max -1: without end). Its one copy stays
 * at `from`; copies follow it, and the first is taken away again when min is 0. */
static int repeat(struct compiler *c, size_t from, long min, long max)
{
    size_t len = c->n - from;
    int32_t l = (int32_t)len;
    int code = 0;
    if (max >= 0 && max < min) return fail(c, "a repetition whose end is before its begin,");
    if (len == 0) return 0;
    if (max == 0) {
        c->n = from;
        return 0;
    }
    if (min == 0) { /* x* and x?, then the rest of x{0,m} behind it */
        if ((code = insert(c, from, REGEX_SPLIT, 1, max < 0 ? l + 2 : l + 1))) return code;
        if (max < 0) return emit(c, REGEX_JUMP, -(l + 1), 0);
        for (long i = 1; i < max && !code; i++)
            code = copy(c, from, len + 1);
        return code;
    }
    for (long i = 1; i < min && !code; i++)
        code = copy(c, from, len);
    if (code) return code;
    if (max < 0) return emit(c, REGEX_SPLIT, -l, 1);
    for (long i = min; i < max && !code; i++)
        if (!(code = emit(c, REGEX_SPLIT, 1, l + 1))) code = copy(c, from, len);
    return code;
}

static int sequence(struct compiler *c)
{
    int code;
    while (c->p < c->end && *c->p != '|' && *c->p != ')') {
        size_t from = c->n;
        long min = -1, max = -1;
        if ((code = atom(c))) return code;
        if (at(c, '*') || at(c, '+') || at(c, '?')) {
            min = *c->p == '+';
            max = *c->p == '?' ? 1 : -1;
            c->p++;
        } else if (!at(c, '{') || !counts(c, &min, &max)) {
            continue;
        }
        if (at(c, '?')) c->p++;
        if ((code = repeat(c, from, min, max))) return code;
        if (at(c, '*') || at(c, '+') || at(c, '?')) return fail(c, "nothing to repeat");
    }
    return 0;
}

static int alternatives(struct compiler *c)
{
    size_t first = c->n, from = c->n;
    int code;
    while (!(code = sequence(c)) && at(c, '|')) {
        c->p++;
        if ((code = insert(c, from, REGEX_SPLIT, 1, (int32_t)(c->n - from) + 2)) ||
            (code = emit(c, REGEX_OPEN_END, 0, 0)))
            return code;
        from = c->n;
    }
    for (size_t i = first; i < c->n && !code; i++)
        if (c->insns[i].op == REGEX_OPEN_END)
            c->insns[i] = (struct regex_insn){REGEX_JUMP, (int32_t)(c->n - i), 0};
    return code;
}

static int keep(struct compiler *c, struct json_mem *m, const struct regex **out)
{
    size_t insns = c->n * sizeof *c->insns, ranges = c->n_ranges * sizeof *c->ranges;
    struct regex *r = json_mem_take(m, sizeof *r);
    void *i = json_mem_take(m, insns), *s = json_mem_take(m, ranges + 1);
    if (!r || !i || !s) return err_set(c->e, ERR_NOMEM, "pattern: out of memory");
    memcpy(i, c->insns, insns);
    memcpy(s, c->ranges, ranges);
    *r = (struct regex){i, s, (uint32_t)c->n, (uint32_t)c->n_ranges};
    *out = r;
    return 0;
}

int regex_compile(struct str pattern, struct json_mem *m, const struct regex **out, struct err *e)
{
    struct compiler c = {.p = pattern.p, .end = pattern.p + pattern.n, .begin = pattern.p, .e = e};
    c.insns = mem_alloc((REGEX_INSNS_MAX + 1) * sizeof *c.insns);
    c.ranges = mem_alloc(REGEX_RANGES_MAX * sizeof *c.ranges);
    int code = c.insns && c.ranges ? 0 : err_set(e, ERR_NOMEM, "pattern: out of memory");
    if (!code) code = alternatives(&c);
    if (!code && c.p < c.end) code = fail(&c, "')' without '('");
    if (!code) {
        c.insns[c.n++] = (struct regex_insn){REGEX_MATCH, 0, 0};
        code = keep(&c, m, out);
    }
    mem_free(c.insns);
    mem_free(c.ranges);
    return code;
}
