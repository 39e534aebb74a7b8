/* Routes: which pattern a path is for, its parameters, the methods there are. */
#include "check.h"
#include "http/route.h"

static struct http_router router;
static struct arena arena;

static int add(const char *method, const char *pattern)
{
    struct err e = {0};
    return http_router_add(&router, str_of(method), str_of(pattern), (void *)(uintptr_t)pattern,
                           &e);
}

/* "pattern name=value ..." or the code or "allow: ..." */
static const char *find(const char *method, const char *path)
{
    static char out[500];
    struct http_route_match m;
    int code = http_router_find(&router, str_of(method), str_of(path), &arena, &m);
    struct buf b;
    buf_init(&b, sizeof out - 1);
    if (code == ERR_GUARD)
        buf_printf(&b, "allow: %s", m.allow.p);
    else if (code < 0)
        buf_puts(&b, err_name(code));
    else
        buf_printf(&b, "%s" STR_FMT " " STR_FMT, m.head ? "(head) " : "", STR_ARG(m.route->method),
                   STR_ARG(m.route->pattern));
    for (size_t i = 0; code == 0 && i < m.n_params; i++)
        buf_printf(&b, " " STR_FMT "=" STR_FMT, STR_ARG(m.params[i].name),
                   STR_ARG(m.params[i].value));
    snprintf(out, sizeof out, "%s", b.p ? b.p : "");
    buf_free(&b);
    buf_free(&m.allow);
    return out;
}

static void finds(void)
{
    CASE("the closest pattern, its parameters, the methods that there are");
    static const char *const routes[][2] = {{"GET", "/"},
                                            {"GET", "/posts"},
                                            {"POST", "/posts"},
                                            {"GET", "/posts/{id}"},
                                            {"DELETE", "/posts/{id}"},
                                            {"GET", "/posts/new"},
                                            {"GET", "/a/{x}/c/{y}"},
                                            {"GET", "/a/b/{rest...}"},
                                            {"GET", "/files/{path...}"},
                                            {"OPTIONS", "/posts"},
                                            {"HEAD", "/h"},
                                            {"GET", "/h"},
                                            {"GET", "/end/"}};
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        CHECK_INT(add(routes[i][0], routes[i][1]), 0);
    static const char *const table[][3] = {
        {"GET", "/", "GET /"},
        {"GET", "/posts", "GET /posts"},
        {"GET", "/posts/", "not found"},
        {"GET", "/end", "not found"},
        {"GET", "/end/", "GET /end/"},
        {"GET", "/posts/7", "GET /posts/{id} id=7"},
        {"GET", "/posts/new", "GET /posts/new"},
        {"GET", "/posts/n%65w", "GET /posts/new"},
        {"GET", "/posts/a%2Fb%20c", "GET /posts/{id} id=a/b c"},
        {"GET", "/posts/a+b", "GET /posts/{id} id=a+b"},
        {"GET", "/posts/7/8", "not found"},
        {"GET", "//posts", "not found"},
        {"GET", "/a/b/c/d", "GET /a/b/{rest...} rest=c/d"},
        {"GET", "/a/z/c/d", "GET /a/{x}/c/{y} x=z y=d"},
        {"GET", "/a/b/", "GET /a/b/{rest...} rest="},
        {"GET", "/files/a/b.txt", "GET /files/{path...} path=a/b.txt"},
        {"GET", "/files/../x", "not found"},
        {"GET", "/files/%2e%2E/x", "not found"},
        {"GET", "/files/./x", "not found"},
        {"GET", "/files/..x", "GET /files/{path...} path=..x"},
        {"HEAD", "/posts/7", "(head) GET /posts/{id} id=7"},
        {"HEAD", "/h", "HEAD /h"},
        {"PUT", "/posts/7", "allow: GET, HEAD, DELETE"},
        {"PATCH", "/posts", "allow: GET, HEAD, POST, OPTIONS"},
        {"GET", "*", "not found"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        CHECK_STR(find(table[i][0], table[i][1]), table[i][2]);
    CHECK_INT(add("GET", "/posts/{other}"), ERR_EXISTS);
    CHECK_INT(add("PUT", "/posts/{other}"), 0);
    http_router_free(&router);
}

static void refuses(void)
{
    CASE("patterns that are none");
    static const char *const wrong[] = {"",         "posts",     "/a b",   "/a?b", "/%41",
                                        "/x{id}",   "/{id}x",    "/{i d}", "/{}",  "/{9}",
                                        "/{a}/{a}", "/{a...}/b", "/{...}", "/a#b"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_INT(add("GET", wrong[i]), ERR_ARG);
    CHECK_INT(add("get", "/"), ERR_ARG);
    CHECK_INT(add("", "/"), ERR_ARG);
    http_router_free(&router);
}

static void queries(void)
{
    CASE("name=value pairs");
    struct str rest = STR("a=1&&b=x%20y+z&c&=d&e=f=g&"), name, value;
    static const char *const want[][2] = {
        {"a", "1"}, {"b", "x y z"}, {"c", ""}, {"", "d"}, {"e", "f=g"}};
    size_t n = 0;
    while (http_query_next(&rest, &name, &value)) {
        CHECK(n < 5);
        CHECK(str_eqz(http_unescape(&arena, name, true), want[n][0]));
        CHECK(str_eqz(http_unescape(&arena, value, true), want[n][1]));
        n++;
    }
    CHECK_INT(n, 5);
}

int main(void)
{
    arena_init(&arena, 0);
    http_router_init(&router);
    finds();
    refuses();
    queries();
    arena_free(&arena);
    return CHECK_DONE();
}
