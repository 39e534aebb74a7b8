/* Routes of patterns: comparing, and undoing escapes. */
#include "http/route.h"

void http_router_init(struct http_router *r)
{
    *r = (struct http_router){0};
}

void http_router_free(struct http_router *r)
{
    mem_free(r->routes);
    *r = (struct http_router){0};
}

/* Cuts the next segment off a path that begins with '/'. */
static bool next_segment(struct str *path, struct str *segment)
{
    if (!path->n) return false;
    size_t i = 1;
    while (i < path->n && path->p[i] != '/')
        i++;
    *segment = str_make(path->p + 1, i - 1);
    *path = str_make(path->p + i, path->n - i);
    return true;
}

static bool is_param(struct str s)
{
    return s.n > 2 && s.p[0] == '{' && s.p[s.n - 1] == '}';
}

static bool is_rest(struct str s)
{
    return s.n > 5 && is_param(s) && memcmp(s.p + s.n - 4, "...", 3) == 0;
}

static struct str name_of(struct str s)
{
    return str_make(s.p + 1, s.n - 2 - (is_rest(s) ? 3 : 0));
}

static int check_pattern(struct str pattern, struct err *e)
{
    struct str rest = pattern, s, names[HTTP_ROUTE_PARAMS_MAX];
    size_t n = 0;
    if (!pattern.n || pattern.p[0] != '/') return err_set(e, ERR_ARG, "a path begins with '/'");
    while (next_segment(&rest, &s)) {
        for (size_t i = 0; i < s.n; i++) {
            unsigned char c = (unsigned char)s.p[i];
            if (c <= 0x20 || c >= 0x7F || strchr("?#%\\\"<>", c))
                return err_set(e, ERR_ARG, "a path has no '%c' (%02x); it is written unescaped", c,
                               c);
        }
        if (!is_param(s)) {
            if (s.n && (memchr(s.p, '{', s.n) || memchr(s.p, '}', s.n)))
                return err_set(e, ERR_ARG, "a parameter is a whole segment: /{id}");
            continue;
        }
        if (is_rest(s) && rest.n)
            return err_set(e, ERR_ARG, "{name...} takes all that is left, so it is the last one");
        struct str name = name_of(s);
        for (size_t i = 0; i < name.n; i++)
            if (!(name.p[i] == '_' || (name.p[i] >= 'a' && name.p[i] <= 'z') ||
                  (name.p[i] >= 'A' && name.p[i] <= 'Z') ||
                  (i && name.p[i] >= '0' && name.p[i] <= '9')))
                return err_set(e, ERR_ARG, "a parameter's name is made of letters, digits and _");
        for (size_t i = 0; i < n; i++)
            if (str_eq(names[i], name))
                return err_set(e, ERR_ARG, "two parameters have the same name");
        if (n == HTTP_ROUTE_PARAMS_MAX)
            return err_set(e, ERR_ARG, "more than %d parameters", HTTP_ROUTE_PARAMS_MAX);
        names[n++] = name;
    }
    return 0;
}

/* The same paths, whatever their parameters are called. */
static bool same_paths(struct str a, struct str b)
{
    struct str x, y;
    for (;;) {
        bool more_a = next_segment(&a, &x), more_b = next_segment(&b, &y);
        if (more_a != more_b) return false;
        if (!more_a) return true;
        if (is_rest(x) != is_rest(y) || is_param(x) != is_param(y)) return false;
        if (!is_param(x) && !str_eq(x, y)) return false;
    }
}

int http_router_add(struct http_router *r, struct str method, struct str pattern, void *value,
                    struct err *e)
{
    int code = check_pattern(pattern, e);
    if (code < 0) return code;
    for (size_t i = 0; i < method.n; i++)
        if (method.p[i] < 'A' || method.p[i] > 'Z')
            return err_set(e, ERR_ARG, "a method is written in capitals: GET");
    if (!method.n || method.n > 20)
        return err_set(e, ERR_ARG, "a method is written in capitals: GET");
    for (size_t i = 0; i < r->n; i++)
        if (str_eq(r->routes[i].method, method) && same_paths(r->routes[i].pattern, pattern))
            return err_set(e, ERR_EXISTS, STR_FMT " " STR_FMT " is there already, as " STR_FMT,
                           STR_ARG(method), STR_ARG(pattern), STR_ARG(r->routes[i].pattern));
    if (r->n == HTTP_ROUTES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d routes", HTTP_ROUTES_MAX);
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 16;
        struct http_route *more = mem_realloc(r->routes, cap * sizeof *more);
        if (!more) return err_set(e, ERR_NOMEM, "no memory for a route");
        r->routes = more;
        r->cap = cap;
    }
    r->routes[r->n++] = (struct http_route){method, pattern, value};
    return 0;
}

/* ---- finding ---- */

static int digit(char c)
{
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

/* The literal segment, as a path may write it. */
static bool literal_eq(struct str literal, struct str s)
{
    size_t k = 0;
    for (size_t i = 0; i < s.n; i++, k++) {
        char c = s.p[i];
        if (c == '%' && i + 2 < s.n) {
            c = (char)(digit(s.p[i + 1]) * 16 + digit(s.p[i + 2]));
            i += 2;
        }
        if (k >= literal.n || literal.p[k] != c) return false;
    }
    return k == literal.n;
}

static bool fits(struct str pattern, struct str path)
{
    struct str x, y;
    for (;;) {
        bool more = next_segment(&pattern, &x);
        if (more && is_rest(x)) return path.n > 0;
        if (more != next_segment(&path, &y)) return false;
        if (!more) return true;
        if (is_param(x) ? !y.n : !literal_eq(x, y)) return false;
    }
}

/* Both fit the same path: whether a says more of it than b. */
static bool closer(struct str a, struct str b)
{
    struct str x, y;
    while (next_segment(&a, &x) && next_segment(&b, &y)) {
        int rank_x = is_rest(x)    ? 0
                     : is_param(x) ? 1
                                   : 2,
            rank_y = is_rest(y)    ? 0
                     : is_param(y) ? 1
                                   : 2;
        if (rank_x != rank_y) return rank_x > rank_y;
    }
    return false;
}

/* Paths with "." and ".." are for no route: who walks upwards wants something else. */
static bool has_dots(struct str path)
{
    static const struct {
        const char *p;
    } dots[] = {{"."}, {".."}};
    struct str s;
    while (next_segment(&path, &s))
        for (size_t i = 0; i < 2; i++)
            if (literal_eq(str_of(dots[i].p), s)) return true;
    return false;
}

struct str http_unescape(struct arena *a, struct str s, bool form)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    if (!out) return (struct str){NULL, 0};
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && i + 2 < s.n) {
            out[n++] = (char)(digit(s.p[i + 1]) * 16 + digit(s.p[i + 2]));
            i += 2;
        } else {
            out[n++] = form && s.p[i] == '+' ? ' ' : s.p[i];
        }
    }
    return str_make(out, n);
}

static int take_params(struct arena *a, struct http_route_match *m, struct str path)
{
    struct str pattern = m->route->pattern, x, y = {NULL, 0};
    while (next_segment(&pattern, &x)) {
        struct str value = str_make(path.p + 1, path.n ? path.n - 1 : 0); /* of a rest */
        if (!is_rest(x)) {
            next_segment(&path, &y);
            value = y;
        }
        if (!is_param(x)) continue;
        m->params[m->n_params].name = name_of(x);
        m->params[m->n_params].value = http_unescape(a, value, false);
        if (!m->params[m->n_params++].value.p) return ERR_NOMEM;
    }
    return 0;
}

int http_router_find(const struct http_router *r, struct str method, struct str path,
                     struct arena *a, struct http_route_match *m)
{
    const struct http_route *best = NULL, *best_get = NULL;
    bool head = str_eqz(method, "HEAD"), any = false;
    *m = (struct http_route_match){0};
    buf_init(&m->allow, 1000);
    if (!path.n || path.p[0] != '/' || has_dots(path)) return ERR_NOTFOUND;
    for (size_t i = 0; i < r->n; i++) {
        const struct http_route *x = &r->routes[i];
        if (!fits(x->pattern, path)) continue;
        any = true;
        const struct http_route **to = str_eq(x->method, method)           ? &best
                                       : head && str_eqz(x->method, "GET") ? &best_get
                                                                           : NULL;
        if (to && (!*to || closer(x->pattern, (*to)->pattern))) *to = x;
    }
    m->head = head && !best && best_get;
    m->route = best ? best : best_get;
    if (m->route) return take_params(a, m, path);
    if (!any) return ERR_NOTFOUND;
    for (size_t i = 0; i < r->n; i++) {
        const struct http_route *x = &r->routes[i];
        bool there = !fits(x->pattern, path), get = str_eqz(x->method, "GET");
        for (size_t k = 0; k < i && !there; k++)
            there = str_eq(r->routes[k].method, x->method) && fits(r->routes[k].pattern, path);
        if (!there)
            buf_printf(&m->allow, "%s" STR_FMT "%s", m->allow.n ? ", " : "", STR_ARG(x->method),
                       get ? ", HEAD" : "");
    }
    return m->allow.code == ERR_NOMEM ? ERR_NOMEM : ERR_GUARD;
}

bool http_query_next(struct str *rest, struct str *name, struct str *value)
{
    while (rest->n && rest->p[0] == '&')
        *rest = str_make(rest->p + 1, rest->n - 1);
    if (!rest->n) return false;
    size_t n = 0;
    while (n < rest->n && rest->p[n] != '&')
        n++;
    const char *eq = memchr(rest->p, '=', n);
    *name = str_make(rest->p, eq ? (size_t)(eq - rest->p) : n);
    *value = eq ? str_make(eq + 1, n - (size_t)(eq + 1 - rest->p)) : (struct str){"", 0};
    *rest = str_make(rest->p + n, rest->n - n);
    return true;
}
