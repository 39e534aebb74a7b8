/* The matcher behind string.find, match, gmatch and gsub. Written from chapter 6.4.1 of the
 * reference manual. Keeps true: every look at a byte is a step, steps are charged every few
 * thousand, and recursion is bounded. Characters are classed as in the C locale. */
#include "script/pattern.h"
#include "script/sandbox_impl.h"

#define DEPTH_MAX 200
#define CHARGE_STEPS 4096
#define STEPS_MAX UINT64_C(200000000) /* of one match, where there is no instruction limit */

static const char *match_here(struct pattern *m, const char *s, const char *p);

static void step_n(struct pattern *m, uint64_t n)
{
    uint64_t before = m->steps / CHARGE_STEPS;
    m->steps += n;
    uint64_t blocks = m->steps / CHARGE_STEPS - before;
    if (!blocks) return;
    if (m->steps > STEPS_MAX) luaL_error(m->L, "pattern too complex: it takes too many steps");
    sandbox_charge(m->L, blocks * CHARGE_STEPS);
}

void pattern_settle(struct pattern *m)
{
    uint64_t rest = m->steps % CHARGE_STEPS;
    m->steps = 0;
    if (rest > 64) sandbox_charge(m->L, rest);
}

/* ---- one character ---- */
static bool in_class(unsigned char c, unsigned char cls)
{
    bool digit = c >= '0' && c <= '9', lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z';
    bool graph = c > 0x20 && c < 0x7f, yes;
    switch (cls | 0x20) {
    case 'a':
        yes = lower || upper;
        break;
    case 'c':
        yes = c < 0x20 || c == 0x7f;
        break;
    case 'd':
        yes = digit;
        break;
    case 'g':
        yes = graph;
        break;
    case 'l':
        yes = lower;
        break;
    case 'p':
        yes = graph && !digit && !lower && !upper;
        break;
    case 's':
        yes = c == ' ' || (c >= '\t' && c <= '\r');
        break;
    case 'u':
        yes = upper;
        break;
    case 'w':
        yes = digit || lower || upper;
        break;
    case 'x':
        yes = digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        break;
    case 'z': /* not in the manual any more, but the 5.4 library still knows it */
        yes = c == 0;
        break;
    default:
        return c == cls;
    }
    bool letter = (cls >= 'a' && cls <= 'z') || (cls >= 'A' && cls <= 'Z');
    if (!letter) return c == cls; /* punctuation whose 0x20 bit made it look like a letter */
    return cls >= 'A' && cls <= 'Z' ? !yes : yes;
}

/* Where the single-character item at p ends. */
static const char *item_end(struct pattern *m, const char *p)
{
    if (*p == '%') {
        if (p + 1 >= m->pend) luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 2;
    }
    if (*p != '[') return p + 1;
    p++;
    if (p < m->pend && *p == '^') p++;
    for (bool first = true;; first = false) {
        if (p >= m->pend) luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p == ']' && !first) return p + 1;
        if (*p == '%' && ++p >= m->pend) luaL_error(m->L, "malformed pattern (missing ']')");
        p++;
    }
}

/* Is c in the set that begins at p ('[') and ends before `after`? */
static bool in_set(unsigned char c, const char *p, const char *after)
{
    const char *last = after - 1; /* at ']' */
    bool yes = true;
    p++;
    if (*p == '^') {
        yes = false;
        p++;
    }
    while (p < last) {
        if (*p == '%') {
            if (in_class(c, (unsigned char)p[1])) return yes;
            p += 2;
        } else if (p[1] == '-' && p + 2 < last) {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2]) return yes;
            p += 3;
        } else {
            if ((unsigned char)*p == c) return yes;
            p++;
        }
    }
    return !yes;
}

static bool item_has(const char *p, const char *after, unsigned char c)
{
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, (unsigned char)p[1]);
    case '[':
        return in_set(c, p, after);
    default:
        return (unsigned char)*p == c;
    }
}

static bool one(struct pattern *m, const char *s, const char *p, const char *after)
{
    step_n(m, 1 + (*p == '[' ? (uint64_t)(after - p) / 8 : 0));
    return s < m->end && item_has(p, after, (unsigned char)*s);
}

/* ---- items that are more than a character ---- */
static const char *greedy(struct pattern *m, const char *s, const char *p, const char *after,
                          ptrdiff_t least)
{
    ptrdiff_t n = 0;
    while (one(m, s + n, p, after))
        n++;
    for (; n >= least; n--) {
        const char *e = match_here(m, s + n, after + 1);
        if (e) return e;
    }
    return NULL;
}

static const char *lazy(struct pattern *m, const char *s, const char *p, const char *after)
{
    for (;;) {
        const char *e = match_here(m, s, after + 1);
        if (e) return e;
        if (!one(m, s, p, after)) return NULL;
        s++;
    }
}

static const char *open_capture(struct pattern *m, const char *s, const char *p, ptrdiff_t kind)
{
    if (m->level >= PATTERN_CAPTURES_MAX) luaL_error(m->L, "too many captures");
    m->captures[m->level++] = (struct pattern_capture){s, kind};
    const char *e = match_here(m, s, p);
    if (!e) m->level--;
    return e;
}

static const char *close_capture(struct pattern *m, const char *s, const char *p)
{
    int i = m->level;
    while (--i >= 0 && m->captures[i].n != CAPTURE_OPEN)
        ;
    if (i < 0) luaL_error(m->L, "invalid pattern capture");
    m->captures[i].n = s - m->captures[i].start;
    const char *e = match_here(m, s, p);
    if (!e) m->captures[i].n = CAPTURE_OPEN;
    return e;
}

static const char *balanced(struct pattern *m, const char *s, const char *p)
{
    if (p + 1 >= m->pend) luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->end || *s != p[0]) return NULL;
    size_t open = 1;
    for (const char *q = s + 1; q < m->end; q++) {
        step_n(m, 1);
        if (*q == p[1]) {
            if (--open == 0) return q + 1;
        } else if (*q == p[0]) {
            open++;
        }
    }
    return NULL;
}

static const char *back_reference(struct pattern *m, const char *s, int i)
{
    if (i < 0 || i >= m->level || m->captures[i].n == CAPTURE_OPEN)
        luaL_error(m->L, "invalid capture index %%%d in pattern", i + 1);
    if (m->captures[i].n == CAPTURE_POSITION) return NULL; /* as stock Lua: a position is no text */
    size_t n = (size_t)m->captures[i].n;
    step_n(m, 1 + n / 16);
    return (size_t)(m->end - s) >= n && memcmp(m->captures[i].start, s, n) == 0 ? s + n : NULL;
}

/* *p after '%f': true when s stands at the frontier. */
static bool frontier(struct pattern *m, const char *s, const char **p)
{
    if (*p >= m->pend || **p != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
    const char *after = item_end(m, *p);
    step_n(m, 1 + (uint64_t)(after - *p) / 4);
    unsigned char before = s == m->src ? 0 : (unsigned char)s[-1],
                  at = s < m->end ? (unsigned char)*s : 0;
    bool yes = !in_set(before, *p, after) && in_set(at, *p, after);
    *p = after;
    return yes;
}

/* '%' followed by b, f or a digit. Returns 0: an ordinary item; 1: go on at *s, *p; -1: no match.
 */
static int special(struct pattern *m, const char **s, const char **p)
{
    const char *e;
    if (*p + 1 >= m->pend) return 0;
    char c = (*p)[1];
    if (c == 'b') {
        if (!(e = balanced(m, *s, *p + 2))) return -1;
        *s = e;
        *p += 4;
        return 1;
    }
    if (c == 'f') {
        *p += 2;
        return frontier(m, *s, p) ? 1 : -1;
    }
    if (c >= '0' && c <= '9') {
        if (!(e = back_reference(m, *s, c - '1'))) return -1;
        *s = e;
        *p += 2;
        return 1;
    }
    return 0;
}

static const char *match_items(struct pattern *m, const char *s, const char *p)
{
    while (p < m->pend) {
        step_n(m, 1);
        if (*p == '(')
            return p + 1 < m->pend && p[1] == ')' ? open_capture(m, s, p + 2, CAPTURE_POSITION)
                                                  : open_capture(m, s, p + 1, CAPTURE_OPEN);
        if (*p == ')') return close_capture(m, s, p + 1);
        if (*p == '$' && p + 1 == m->pend) return s == m->end ? s : NULL;
        if (*p == '%') {
            int r = special(m, &s, &p);
            if (r < 0) return NULL;
            if (r > 0) continue;
        }
        const char *after = item_end(m, p), *e;
        switch (after < m->pend ? *after : 0) {
        case '?':
            if (one(m, s, p, after) && (e = match_here(m, s + 1, after + 1))) return e;
            p = after + 1;
            break;
        case '*':
            return greedy(m, s, p, after, 0);
        case '+':
            return greedy(m, s, p, after, 1);
        case '-':
            return lazy(m, s, p, after);
        default:
            if (!one(m, s, p, after)) return NULL;
            s++;
            p = after;
        }
    }
    return s;
}

static const char *match_here(struct pattern *m, const char *s, const char *p)
{
    if (++m->depth > DEPTH_MAX) luaL_error(m->L, "pattern too complex");
    const char *e = match_items(m, s, p);
    m->depth--;
    return e;
}

const char *pattern_match(struct pattern *m, const char *s)
{
    m->level = 0;
    m->depth = 0;
    return match_here(m, s, m->pat);
}

/* ---- captures ---- */
void pattern_push(struct pattern *m, int i, const char *s, const char *e)
{
    if (i >= m->level) {
        if (i > 0) luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, s, (size_t)(e - s));
        return;
    }
    const struct pattern_capture *c = &m->captures[i];
    if (c->n == CAPTURE_OPEN) luaL_error(m->L, "unfinished capture");
    if (c->n == CAPTURE_POSITION)
        lua_pushinteger(m->L, c->start - m->src + 1);
    else
        lua_pushlstring(m->L, c->start, (size_t)c->n);
}

int pattern_push_all(struct pattern *m, const char *s, const char *e, int whole)
{
    int n = m->level == 0 && whole ? 1 : m->level;
    luaL_checkstack(m->L, n + 4, "too many captures");
    for (int i = 0; i < n; i++)
        pattern_push(m, i, s, e);
    return n;
}
