/* ml.http: requests from option tables, responses as tables, typed failures. What is sent is
 * checked by http/client.c. */
#include "activity/act_http.h"

#include <stdio.h>
#include <stdlib.h>

struct http_client *act_http_client(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    struct err e = {0};
    if (!h->env.http) act_misuse(L, "ml.http is not available here");
    if (!*h->env.http && http_client_open(h->env.loop, NULL, h->env.http, &e) < 0)
        act_misuse(L, "ml.http: %s", e.text);
    return *h->env.http;
}

int act_http_raise(lua_State *L, const struct http_failure *f)
{
    return act_fail(L, f->type, f->retryable, "%s", f->text);
}

/* ---- the response ---- */

void act_push_headers(lua_State *L, const struct http_header *h, size_t n, bool request)
{
    lua_createtable(L, 0, (int)n);
    for (; n; n--, h++) {
        lua_pushlstring(L, h->name.p, h->name.n);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) == LUA_TSTRING) {
            lua_pushstring(L, request && str_eqz(h->name, "cookie") ? "; " : ", ");
            lua_pushlstring(L, h->value.p, h->value.n);
            lua_concat(L, 3);
        } else {
            lua_pop(L, 1);
            lua_pushlstring(L, h->value.p, h->value.n);
        }
        lua_rawset(L, -3);
    }
}

void act_push_response(lua_State *L, const struct http_response *r, struct str method, bool stream)
{
    lua_createtable(L, 0, 6);
    lua_pushinteger(L, r->status);
    lua_setfield(L, -2, "status");
    act_push_headers(L, r->headers, r->n_headers, false);
    lua_setfield(L, -2, "headers");
    if (!stream) {
        lua_pushlstring(L, r->body.p, r->body.n);
        lua_setfield(L, -2, "body");
    }
    lua_pushlstring(L, r->url.p, r->url.n);
    lua_setfield(L, -2, "url");
    lua_pushlstring(L, method.p, method.n);
    lua_setfield(L, -2, "method");
    luaL_setmetatable(L, "moonloop.response");
}

static struct str field(lua_State *L, const char *key)
{
    struct str s = {NULL, 0};
    lua_getfield(L, 1, key);
    if (lua_isstring(L, -1)) s.p = lua_tolstring(L, -1, &s.n);
    lua_pop(L, 1); /* kept by the table */
    return s;
}

/* Seconds of Retry-After: a number, or a date. */
static double retry_after(lua_State *L)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    double s = 0;
    lua_getfield(L, 1, "headers");
    if (lua_istable(L, -1) && lua_getfield(L, -1, "retry-after") == LUA_TSTRING) {
        const char *text = lua_tostring(L, -1);
        char month[4] = "";
        struct time_fields f = {0};
        char *end;
        s = strtod(text, &end);
        if (end == text && sscanf(text, "%*3s, %d %3s %d %d:%d:%d", &f.day, month, &f.year, &f.hour,
                                  &f.min, &f.sec) == 6) {
            const char *at = strstr(months, month);
            f.month = at ? (int)(at - months) / 3 + 1 : 1;
            s = ((double)time_from_fields(&f) - (double)act_now(act_host_of(L))) / 1e9;
        }
    }
    return s > 0 && s < 86400 * 365.0 ? s : 0;
}

/* res:ok(): the response itself when its status is below 400. */
static int response_ok(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "status");
    int status = (int)lua_tointeger(L, -1);
    lua_settop(L, 1);
    if (status < 400) return 1;
    bool retryable = status == 408 || status == 425 || status == 429 || status >= 500;
    struct str method = field(L, "method"), body = field(L, "body");
    struct buf *where = act_buf(L, 4096);
    http_url_redacted(where, field(L, "url"));
    size_t shown = body.n > 300 ? 300 : body.n;
    struct str text = arena_printf(&h->scratch, STR_FMT " %s answered %d%s" STR_FMT,
                                   STR_ARG(method), where->p ? where->p : "", status,
                                   shown ? ": " : "", STR_ARG(str_make(body.p, shown)));
    double after = retryable ? retry_after(L) : 0;
    failure_push(L, failure_app(&h->scratch, STR("HttpError"), text, !retryable, NULL, NULL));
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, status);
    lua_setfield(L, -2, "status");
    if (body.n && str_utf8_valid(body) == body.n) {
        lua_pushlstring(L, body.p, body.n > 2000 ? str_utf8_valid(str_make(body.p, 2000)) : body.n);
        lua_setfield(L, -2, "body");
    }
    lua_setfield(L, -2, "details");
    if (after > 0) {
        lua_pushnumber(L, after);
        lua_setfield(L, -2, "retry_after");
    }
    lua_getfield(L, 1, "stream");
    if (lua_isuserdata(L, -1)) { /* nobody will read it */
        lua_getfield(L, 1, "close");
        lua_pushvalue(L, 1);
        lua_call(L, 1, 0);
    }
    lua_pop(L, 1);
    return lua_error(L);
}

static int response_json(lua_State *L)
{
    struct err e = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    struct str body = field(L, "body");
    if (!body.p)
        return act_misuse(L, "res:json(): a streamed response has no body; use res:chunks()");
    if (value_decode(L, body, &e) == 0) return 1;
    struct buf *where = act_buf(L, 4096);
    http_url_redacted(where, field(L, "url"));
    return act_fail(L, "BadResponse", true, "%s did not answer JSON: %s", where->p ? where->p : "",
                    e.text);
}

/* ---- the request ---- */

struct build {
    lua_State *L;
    struct arena *a;
    const char *fname;
    int options; /* index of the table, 0: none */
    struct http_header *headers;
    size_t n, cap;
    struct http_request r;
    bool sse;
};

static struct str keep(struct build *b, struct str s)
{
    struct str copy = arena_str(b->a, s);
    if (!copy.p && s.p) act_misuse(b->L, "%s: the request is too large", b->fname);
    return copy;
}

static void add_header(struct build *b, struct str name, struct str value, bool secret)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 16;
        struct http_header *more = arena_alloc(b->a, cap * sizeof *more);
        if (!more) act_misuse(b->L, "out of memory");
        if (b->n) memcpy(more, b->headers, b->n * sizeof *more);
        b->headers = more;
        b->cap = cap;
    }
    b->headers[b->n++] = (struct http_header){name, value.n ? value : STR(""), secret};
}

static bool has_header(const struct build *b, const char *name)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->headers[i].name.n == strlen(name) &&
            strncasecmp(b->headers[i].name.p, name, b->headers[i].name.n) == 0)
            return true;
    return false;
}

/* Text of the value on top (strings, numbers, booleans, handles), kept. *secret: it was one. */
static struct str text_of(struct build *b, const char *what, bool *secret)
{
    lua_State *L = b->L;
    struct str s = {NULL, 0};
    *secret = act_is_secret(L, -1);
    if (*secret) {
        struct buf *v = act_buf(L, 1u << 20);
        act_secret_value(L, -2, v);
        s = keep(b, v->n ? buf_str(v) : STR(""));
        lua_pop(L, 1);
        return s;
    }
    if (lua_isboolean(L, -1)) return lua_toboolean(L, -1) ? STR("true") : STR("false");
    if (lua_isinteger(L, -1))
        return keep(b, arena_printf(b->a, "%lld", (long long)lua_tointeger(L, -1)));
    lua_pushvalue(L, -1);
    if (!act_to_str(L, -1, &s))
        act_misuse(L, "%s: %s is a %s, not a text", b->fname, what, luaL_typename(L, -1));
    s = s.n ? keep(b, s) : STR("");
    lua_pop(L, 1);
    return s;
}

static int by_bytes(const void *a, const void *b)
{
    const struct str *x = a, *y = b;
    int order = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* Calls each(name, text) for the table on top in the order of its keys; lists give a name several
 * times. */
static void each_pair(struct build *b, const char *what,
                      void (*each)(struct build *b, struct str name, struct str value, bool secret,
                                   void *ud),
                      void *ud)
{
    lua_State *L = b->L;
    int t = lua_gettop(L);
    luaL_checkstack(L, 20, NULL);
    size_t n = 0, at = 0;
    for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1), n++)
        if (lua_type(L, -2) != LUA_TSTRING)
            act_misuse(L, "%s: the names of %s are strings", b->fname, what);
    struct str *names = arena_alloc(b->a, (n + 1) * sizeof *names);
    if (!names) act_misuse(L, "%s: the request is too large", b->fname);
    for (lua_pushnil(L); at < n && lua_next(L, t); lua_pop(L, 1), at++)
        names[at].p = lua_tolstring(L, -2, &names[at].n); /* the table keeps it */
    lua_settop(L, t);
    qsort(names, at, sizeof *names, by_bytes);
    for (size_t i = 0; i < at; i++) {
        bool secret;
        struct str name = keep(b, names[i]);
        lua_pushlstring(L, names[i].p, names[i].n);
        lua_gettable(L, t);
        if (lua_istable(L, -1)) {
            lua_Integer len = (lua_Integer)lua_rawlen(L, -1);
            for (lua_Integer k = 1; k <= len; k++) {
                lua_rawgeti(L, -1, k);
                struct str v = text_of(b, name.p, &secret);
                each(b, name, v, secret, ud);
                lua_pop(L, 1);
            }
        } else {
            struct str v = text_of(b, name.p, &secret);
            each(b, name, v, secret, ud);
        }
        lua_settop(L, t);
    }
}

static void each_header(struct build *b, struct str name, struct str value, bool secret, void *ud)
{
    (void)ud;
    add_header(b, name, value, secret);
}

static void each_query(struct build *b, struct str name, struct str value, bool secret, void *ud)
{
    if (secret)
        act_misuse(b->L, "%s: a secret does not belong into a URL (%s): use a header", b->fname,
                   name.p);
    http_query_add(ud, name, value);
}

static void each_form(struct build *b, struct str name, struct str value, bool secret, void *ud)
{
    (void)b;
    (void)secret;
    http_query_add(ud, name, value);
}

/* Pushes an option; false (nothing pushed) when absent. */
static bool option(struct build *b, const char *key)
{
    if (b->options && lua_getfield(b->L, b->options, key) != LUA_TNIL) return true;
    if (b->options) lua_pop(b->L, 1);
    return false;
}

static void want_table(struct build *b, const char *key)
{
    if (!lua_istable(b->L, -1)) act_misuse(b->L, "%s: option '%s' is a table", b->fname, key);
}

/* The option as a buffer's text of name=value pairs; absent when the option is. */
static struct str pairs_option(struct build *b, const char *key,
                               void (*each)(struct build *, struct str, struct str, bool, void *))
{
    struct str out = {NULL, 0};
    if (!option(b, key)) return out;
    want_table(b, key);
    struct buf *q = act_buf(b->L, HTTP_REQUEST_MAX);
    lua_insert(b->L, -2);
    each_pair(b, key, each, q);
    out = keep(b, q->n ? buf_str(q) : STR(""));
    if (!out.p) out = STR("");
    lua_pop(b->L, 2);
    return out;
}

static void multipart(struct build *b)
{
    lua_State *L = b->L;
    struct err e = {0};
    uint8_t chance[16];
    char hex[33];
    int t = lua_gettop(L);
    want_table(b, "multipart");
    entropy_fill(act_host_of(L)->env.entropy, chance, sizeof chance);
    hex_encode(chance, sizeof chance, hex);
    struct str boundary = arena_printf(b->a, "moonloop-%s", hex);
    struct buf *out = act_buf(L, HTTP_REQUEST_MAX);
    lua_Integer n = (lua_Integer)lua_rawlen(L, t);
    for (lua_Integer i = 1; i <= n; i++) {
        static const char *const names[] = {"name", "value", "filename", "content_type"};
        struct str f[4] = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
        bool secret;
        if (lua_rawgeti(L, t, i) != LUA_TTABLE)
            act_misuse(
                L, "%s: a part of multipart is a table {name=, value=, filename=, content_type=}",
                b->fname);
        for (int k = 0; k < 4; k++) {
            if (lua_getfield(L, -1, names[k]) != LUA_TNIL) f[k] = text_of(b, names[k], &secret);
            lua_pop(L, 1);
        }
        struct http_part p = {f[0], f[1].p ? f[1] : STR(""), f[2], f[3]};
        if (http_multipart_add(out, boundary, &p, &e) < 0)
            act_misuse(L, "%s: %s", b->fname, e.text);
        lua_pop(L, 1);
    }
    http_multipart_end(out, boundary);
    if (out->code < 0) act_misuse(L, "%s: the multipart body is larger than 64 MiB", b->fname);
    b->r.body = keep(b, buf_str(out));
    if (!has_header(b, "content-type"))
        add_header(b, STR("Content-Type"),
                   arena_printf(b->a, "multipart/form-data; boundary=" STR_FMT, STR_ARG(boundary)),
                   false);
    lua_settop(L, t);
}

static void set_body(struct build *b)
{
    lua_State *L = b->L;
    int given = 0;
    struct str form = pairs_option(b, "form", each_form);
    if (form.p) {
        given++;
        b->r.body = form;
        if (!has_header(b, "content-type"))
            add_header(b, STR("Content-Type"), STR("application/x-www-form-urlencoded"), false);
    }
    if (option(b, "json")) {
        given++;
        struct buf *j = act_buf(L, HTTP_REQUEST_MAX);
        act_encode(L, -2, j, "json");
        b->r.body = keep(b, buf_str(j));
        if (!has_header(b, "content-type"))
            add_header(b, STR("Content-Type"), STR("application/json"), false);
        if (!has_header(b, "accept")) add_header(b, STR("Accept"), STR("application/json"), false);
        lua_pop(L, 2);
    }
    if (option(b, "multipart")) {
        given++;
        multipart(b);
        lua_pop(L, 1);
    }
    if (option(b, "body")) {
        given++;
        struct str s;
        if (!act_to_str(L, -1, &s))
            act_misuse(L, "%s: option 'body' is a text or ml.bytes", b->fname);
        b->r.body = s.n ? keep(b, s) : STR("");
        lua_pop(L, 1);
    }
    if (given > 1)
        act_misuse(L, "%s: only one of json, form, multipart and body can be sent", b->fname);
}

static void set_basic(struct build *b)
{
    lua_State *L = b->L;
    struct buf *plain = act_buf(L, 1u << 20), *text = act_buf(L, 2u << 20);
    int v = lua_gettop(L) - 2;
    bool secret;
    if (lua_istable(L, v)) {
        static const char *const names[] = {"user", "password"};
        for (int i = 0; i < 2; i++) {
            if (lua_getfield(L, v, names[i]) == LUA_TNIL)
                act_misuse(L, "%s: auth.basic needs user and password", b->fname);
            struct str s = text_of(b, names[i], &secret);
            if (i) buf_putc(plain, ':');
            buf_putstr(plain, s);
            lua_pop(L, 1);
        }
    } else {
        lua_pushvalue(L, v);
        buf_putstr(plain, text_of(b, "auth.basic", &secret));
        lua_pop(L, 1);
    }
    buf_puts(text, "Basic ");
    buf_put_base64(text, buf_str(plain));
    add_header(b, STR("Authorization"), keep(b, buf_str(text)), true);
    lua_pop(L, 2);
}

static void bearer(struct build *b, struct str value)
{
    struct str text = arena_printf(b->a, "Bearer " STR_FMT, STR_ARG(value));
    if (!text.p) act_misuse(b->L, "out of memory");
    add_header(b, STR("Authorization"), text, true);
}

/* auth = ml.secret | {basic =} | {header =, value =} | ml.oauth2{}. */
static void set_auth(struct build *b)
{
    lua_State *L = b->L;
    bool secret;
    if (!option(b, "auth")) return;
    int v = lua_gettop(L);
    if (act_is_oauth(L, v)) {
        struct buf *t = act_buf(L, 1u << 20);
        act_oauth_value(L, v, t);
        bearer(b, buf_str(t));
    } else if (act_is_secret(L, v) || act_is_env(L, v)) {
        bearer(b, text_of(b, "auth", &secret));
    } else if (lua_istable(L, v) && lua_getfield(L, v, "basic") != LUA_TNIL) {
        set_basic(b);
    } else if (lua_istable(L, v)) {
        lua_settop(L, v);
        if (lua_getfield(L, v, "header") == LUA_TNIL || lua_getfield(L, v, "value") == LUA_TNIL)
            act_misuse(L,
                       "%s: auth is ml.secret \"NAME\", {basic = ...}, {header = ..., value = ...} "
                       "or ml.oauth2{...}",
                       b->fname);
        struct str value = text_of(b, "auth.value", &secret);
        lua_pop(L, 1);
        add_header(b, text_of(b, "auth.header", &secret), value, true);
    } else {
        act_misuse(L,
                   "%s: auth is ml.secret \"NAME\", {basic = ...}, {header = ..., value = ...} or "
                   "ml.oauth2{...}",
                   b->fname);
    }
    lua_settop(L, v - 1);
}

static void check_names(lua_State *L, int t, const char *fname)
{
    static const char *const names[] = {"headers",         "query",  "json",      "form",
                                        "multipart",       "body",   "auth",      "timeout",
                                        "connect_timeout", "follow", "redirects", "max_bytes",
                                        "stream",          "sse",    "proxy",     "ca",
                                        "idempotency_key", "guard"};
    for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        size_t i = 0, n = sizeof names / sizeof names[0];
        while (i < n && strcmp(names[i], key) != 0)
            i++;
        if (i == n) act_misuse(L, "%s: unknown option '%s'", fname, key);
    }
}

static void set_limits(struct build *b)
{
    lua_State *L = b->L;
    struct http_request *r = &b->r;
    struct str s;
    r->redirects = -1;
    if (!b->options) {
        r->guard = act_guard(L, -1);
        return;
    }
    api_opt_duration(L, b->options, "timeout", b->fname, &r->timeout_ns);
    api_opt_duration(L, b->options, "connect_timeout", b->fname, &r->connect_timeout_ns);
    if (option(b, "follow") || option(b, "redirects")) {
        if (lua_isboolean(L, -1))
            r->redirects = lua_toboolean(L, -1) ? -1 : 0;
        else if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 0 && lua_tointeger(L, -1) <= 50)
            r->redirects = (int)lua_tointeger(L, -1);
        else
            act_misuse(L, "%s: option 'follow' is a boolean or a number up to 50", b->fname);
        lua_pop(L, 1);
    }
    if (option(b, "max_bytes")) {
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) <= 0)
            act_misuse(L, "%s: option 'max_bytes' is a positive integer", b->fname);
        r->max_bytes = (size_t)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    if (option(b, "proxy")) {
        r->proxy_from_env = lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    if (option(b, "ca")) {
        if (!act_to_str(L, -1, &s))
            act_misuse(L, "%s: option 'ca' is the path of a PEM file", b->fname);
        r->ca_file = keep(b, s).p;
        lua_pop(L, 1);
    }
    int guard = -1;
    if (option(b, "guard")) {
        if (!lua_isboolean(L, -1)) act_misuse(L, "%s: option 'guard' is a boolean", b->fname);
        guard = lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    r->guard = act_guard(L, guard);
    b->sse = api_opt_bool(L, b->options, "sse", false);
    r->stream = b->sse || api_opt_bool(L, b->options, "stream", false);
}

/* ---- waiting ---- */

struct http_op {
    struct act_op op;
    struct http_client *client;
    uint64_t id;
    struct str method;
    struct arena arena;
    struct http_response r;
};

static void on_done(void *ud, const struct http_response *r)
{
    struct http_op *o = ud;
    struct arena *a = &o->arena;
    o->id = 0;
    o->r = *r;
    struct http_header *headers = arena_alloc(a, (r->n_headers + 1) * sizeof *headers);
    for (size_t i = 0; headers && i < r->n_headers; i++)
        headers[i] = (struct http_header){arena_str(a, r->headers[i].name),
                                          arena_str(a, r->headers[i].value), false};
    o->r.headers = headers;
    o->r.body = r->body.n ? arena_str(a, r->body) : STR("");
    o->r.url = arena_str(a, r->url);
    if (arena_failed(a)) {
        o->r.failure.type = "OutOfMemory";
        o->r.failure.retryable = true;
        snprintf(o->r.failure.text, sizeof o->r.failure.text, "no memory for the response");
    }
    act_op_done(&o->op);
}

static void http_abort(struct act_op *op)
{
    struct http_op *o = (struct http_op *)op;
    if (o->id) http_cancel(o->client, o->id);
    o->id = 0;
}

static void http_release(struct act_op *op)
{
    arena_free(&((struct http_op *)op)->arena);
}

static int http_push(lua_State *L, struct act_op *op)
{
    struct http_op *o = (struct http_op *)op;
    if (o->r.failure.type) return act_http_raise(L, &o->r.failure);
    act_push_response(L, &o->r, o->method, false);
    http_release(op);
    return 1;
}

/* core.request(fname, method, url, [options]) */
static int core_request(lua_State *L)
{
    static const struct http_events events = {.on_done = on_done};
    struct err e = {0};
    const char *fname = luaL_checkstring(L, 1);
    lua_settop(L, 4);
    act_act(L, fname);
    struct build b = {.L = L, .fname = fname};
    if (!lua_isnil(L, 4)) {
        luaL_checktype(L, 4, LUA_TTABLE);
        check_names(L, 4, fname);
        b.options = 4;
    }
    b.a = act_arena(L, HTTP_REQUEST_MAX * 3);
    b.r.method = act_check_str(L, 2);
    b.r.url = act_check_str(L, 3);
    b.r.query = pairs_option(&b, "query", each_query);
    if (option(&b, "headers")) {
        want_table(&b, "headers");
        each_pair(&b, "headers", each_header, NULL);
        lua_pop(L, 1);
    }
    set_auth(&b);
    if (option(&b, "idempotency_key")) {
        bool secret;
        add_header(&b, STR("Idempotency-Key"), text_of(&b, "idempotency_key", &secret), false);
        lua_pop(L, 1);
    }
    set_body(&b);
    set_limits(&b);
    if (b.sse && !has_header(&b, "accept"))
        add_header(&b, STR("Accept"), STR("text/event-stream"), false);
    b.r.headers = b.headers;
    b.r.n_headers = b.n;
    if (b.r.stream) return act_stream_start(L, &b.r);
    struct http_client *client = act_http_client(L);
    struct http_op *o = act_op_new(L, sizeof *o, http_abort, http_push, http_release);
    o->client = client;
    arena_init(&o->arena, 0);
    o->method = arena_str(&o->arena, b.r.method);
    if (http_start(client, &b.r, &events, o, &o->id, &e) < 0) {
        if (e.code == ERR_ARG) return act_fail(L, "BadRequest", false, "%s: %s", fname, e.text);
        return act_fail_err(L, fname, &e);
    }
    o->op.done = false;
    return act_op_wait(L, o);
}

static const char http_lua[] =
    "local ml, core = ...\n"
    "local request = core.request\n"
    "local function send(fname, method, url, o)\n"
    "  local auth = type(o) == 'table' and o.auth\n"
    "  if not core.is_oauth(auth) then return request(fname, method, url, o) end\n"
    "  core.oauth_token(auth)\n"
    "  local res = request(fname, method, url, o)\n"
    "  if res.status ~= 401 then return res end\n"
    "  if res.stream then res:close() end\n"
    "  core.oauth_forget(auth)\n"
    "  core.oauth_token(auth)\n"
    "  return request(fname, method, url, o)\n"
    "end\n"
    "ml.http = { request = function(method, url, o) return send('ml.http.request', method, url, o) "
    "end }\n"
    "for _, name in ipairs { 'get', 'post', 'put', 'patch', 'delete', 'head' } do\n"
    "  local fname, method = 'ml.http.' .. name, name:upper()\n"
    "  ml.http[name] = function(url, o) return send(fname, method, url, o) end\n"
    "end\n"
    "core.request = nil\n";

void act_open_http(lua_State *L)
{
    static const luaL_Reg core[] = {{"request", core_request}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"ok", response_ok}, {"json", response_json}, {NULL, NULL}};
    int ml = lua_gettop(L);
    luaL_newmetatable(L, "moonloop.response");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_settop(L, ml);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "moonloop.http_core");
    luaL_setfuncs(L, core, 0);
    act_open_oauth(L);
    act_open_stream(L);
    lua_settop(L, ml + 1);
    if (luaL_loadbufferx(L, http_lua, strlen(http_lua), "=moonloop", "t") != LUA_OK) lua_error(L);
    lua_pushvalue(L, ml);
    lua_pushvalue(L, ml + 1);
    lua_call(L, 2, 0);
    lua_settop(L, ml);
}
