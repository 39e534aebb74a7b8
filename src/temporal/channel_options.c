/* The channel's options, checked once, and what follows from them: where to connect, what the
 * certificate must bear, the headers of every call. */
#include "temporal/channel_internal.h"
#include <stdio.h>

/* ---- addresses ---- */

static int parse_port(struct str s, int *port)
{
    int n = 0;
    if (!s.n || s.n > 5) return ERR_ARG;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return ERR_ARG;
        n = n * 10 + (s.p[i] - '0');
    }
    if (n < 1 || n > 65535) return ERR_ARG;
    *port = n;
    return 0;
}

static bool good_host(struct str s)
{
    if (!s.n || s.n > 255) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    strchr("-._:%", c);
        if (!good || c == '\0') return false;
    }
    return true;
}

int options_address(struct arena *a, struct str text, int default_port, const char *what,
                    char **host, int *port, struct err *e)
{
    struct str h = text, p = {NULL, 0};
    size_t colons = 0, last = 0;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == ':') {
            colons++;
            last = i;
        }
    if (text.n && text.p[0] == '[') {
        const char *end = memchr(text.p, ']', text.n);
        size_t n = end ? (size_t)(end - text.p) : 0;
        h = str_make(text.p + 1, n ? n - 1 : 0);
        if (n && n + 1 < text.n) {
            if (text.p[n + 1] != ':') h.n = 0;
            p = str_make(text.p + n + 2, text.n - n - 2);
        }
    } else if (colons == 1) {
        h.n = last;
        p = str_make(text.p + last + 1, text.n - last - 1);
    }
    int n = default_port;
    if (!good_host(h) || (p.p && parse_port(p, &n)) || n <= 0)
        return err_set(e, ERR_ARG,
                       "%s '" STR_FMT "' is not host:port (as in localhost:7233 or [::1]:7233, "
                       "without a scheme or path)",
                       what, STR_ARG(text));
    struct str copy = arena_str(a, h);
    if (!copy.p) return err_set(e, ERR_NOMEM, "out of memory for %s", what);
    *host = (char *)(uintptr_t)copy.p;
    *port = n;
    return 0;
}

/* ---- headers ---- */

int options_headers_check(const struct channel_header *h, size_t n, struct err *e)
{
    if (n > 100) return err_set(e, ERR_LIMIT, "more than 100 metadata headers");
    for (size_t i = 0; i < n; i++) {
        const char *wrong = grpc_header_name_wrong(h[i].name);
        if (wrong)
            return err_set(e, ERR_ARG, "metadata header '" STR_FMT "': %s", STR_ARG(h[i].name),
                           wrong);
        wrong = grpc_header_value_wrong(h[i].name, h[i].value);
        if (wrong) /* the value may be a secret */
            return err_set(e, ERR_ARG, "metadata header '" STR_FMT "': %s", STR_ARG(h[i].name),
                           wrong);
    }
    return 0;
}

static bool is_set(const struct channel *c, const char *name)
{
    for (size_t i = 0; i < c->o.n_headers; i++)
        if (str_eqz(c->o.headers[i].name, name)) return true;
    return false;
}

static void add_header(struct channel *c, const char *name, struct str value)
{
    if (is_set(c, name)) return; /* the user's wins */
    c->headers[c->n_headers++] = (struct channel_header){str_of(name), value};
}

static int take_headers(struct channel *c, const struct channel_options *o, struct err *e)
{
    struct arena *a = &c->arena;
    c->headers = arena_alloc(a, (o->n_headers + 4) * sizeof *c->headers);
    if (!c->headers) return err_set(e, ERR_NOMEM, "out of memory for the channel");
    struct str name = o->client_name.n ? arena_str(a, o->client_name) : STR("moonloop");
    struct str version =
        o->client_version.n ? arena_str(a, o->client_version) : STR(ML_PROJECT_VERSION);
    add_header(c, "client-name", name);
    add_header(c, "client-version", version);
    add_header(c, "user-agent",
               arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(name), STR_ARG(version)));
    if (o->api_key.n)
        add_header(c, "authorization", arena_printf(a, "Bearer " STR_FMT, STR_ARG(o->api_key)));
    size_t own = c->n_headers;
    for (size_t i = 0; i < o->n_headers; i++)
        c->headers[c->n_headers++] = (struct channel_header){
            arena_str(a, o->headers[i].name),
            o->headers[i].value.n ? arena_str(a, o->headers[i].value) : STR("")};
    if (arena_failed(a)) return err_set(e, ERR_NOMEM, "out of memory for the channel");
    struct err wrong;
    if (options_headers_check(c->headers, own, &wrong)) {
        bool key = o->api_key.n && grpc_header_value_wrong(STR("authorization"), o->api_key);
        return err_set(e, ERR_ARG, "%s",
                       key ? "the API key has a line break, a blank or a byte that is not ASCII"
                           : wrong.text);
    }
    return options_headers_check(o->headers, o->n_headers, e);
}

/* ---- the proxy ---- */

static int take_proxy(struct channel *c, const struct channel_options *o, struct err *e)
{
    if (!o->proxy.n) return 0;
    int rc =
        options_address(&c->arena, o->proxy, 3128, "the proxy", &c->proxy_host, &c->proxy_port, e);
    if (rc) return rc;
    struct buf b, secret;
    buf_init(&b, 16u << 10);
    buf_init(&secret, 4096);
    buf_printf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", c->authority, c->authority);
    if (o->proxy_user.n || o->proxy_password.n) {
        buf_printf(&secret, STR_FMT ":" STR_FMT, STR_ARG(o->proxy_user),
                   STR_ARG(o->proxy_password));
        buf_puts(&b, "Proxy-Authorization: Basic ");
        buf_put_base64(&b, buf_str(&secret));
        buf_puts(&b, "\r\n");
    }
    buf_puts(&b, "\r\n");
    if (secret.code == ERR_LIMIT)
        rc = err_set(e, ERR_ARG, "the proxy's user and password are longer than 4 KiB");
    else if (o->proxy_user.n && memchr(o->proxy_user.p, ':', o->proxy_user.n))
        rc = err_set(e, ERR_ARG, "the proxy's user has a colon, which HTTP cannot carry");
    else if (b.code || secret.code)
        rc = err_set(e, ERR_NOMEM, "out of memory for the channel");
    else
        c->proxy_request = arena_str(&c->arena, buf_str(&b));
    buf_free(&b);
    buf_free(&secret);
    return rc;
}

/* ---- all ---- */

void options_tls(const struct channel *c, struct tls_options *out)
{
    const struct channel_options *o = &c->o;
    *out = (struct tls_options){o->ca_file,  o->ca_data,  o->cert_file, o->cert_data,
                                o->key_file, o->key_data, c->tls_name,  o->no_host_verification};
}

static bool wants_tls(const struct channel_options *o)
{
    if (o->tls != CHANNEL_TLS_AUTO) return o->tls == CHANNEL_TLS_ON;
    return o->api_key.n || o->ca_file.n || o->ca_data.n || o->cert_file.n || o->cert_data.n ||
           o->key_file.n || o->key_data.n || o->server_name.n || o->no_host_verification;
}

static int take_strings(struct channel *c, const struct channel_options *o)
{
    c->o = *o;
    struct str *const all[] = {&c->o.ca_file,  &c->o.ca_data,  &c->o.cert_file,  &c->o.cert_data,
                               &c->o.key_file, &c->o.key_data, &c->o.server_name};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i]->n) *all[i] = arena_str(&c->arena, *all[i]);
    struct str none = {NULL, 0};
    c->o.address = c->o.api_key = c->o.proxy = c->o.proxy_user = c->o.proxy_password = none;
    c->o.client_name = c->o.client_version = none;
    if (!c->o.connect_timeout_ns) c->o.connect_timeout_ns = CHANNEL_CONNECT_TIMEOUT_NS;
    if (!c->o.ping_ns) c->o.ping_ns = CHANNEL_PING_NS;
    if (!c->o.ping_timeout_ns) c->o.ping_timeout_ns = CHANNEL_PING_TIMEOUT_NS;
    if (!c->o.reply_max) c->o.reply_max = CHANNEL_REPLY_MAX;
    if (!c->o.entropy) c->o.entropy = &entropy_system;
    return arena_failed(&c->arena) ? ERR_NOMEM : 0;
}

/* Certificates are loaded for each connection; loading them once now tells about bad ones early. */
static int try_tls(struct channel *c, struct err *e)
{
    struct tls_options t;
    struct tls *made;
    options_tls(c, &t);
    int rc = tls_open(&t, &made, e);
    if (rc == 0) tls_close(made);
    return rc;
}

int options_take(struct channel *c, const struct channel_options *o, struct err *e)
{
    struct arena *a = &c->arena;
    int rc = options_address(a, o->address, CHANNEL_DEFAULT_PORT, "the address of the server",
                             &c->host, &c->port, e);
    if (rc) return rc;
    if (take_strings(c, o)) return err_set(e, ERR_NOMEM, "out of memory for the channel");
    c->tls = wants_tls(o);
    bool v6 = strchr(c->host, ':') != NULL;
    const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";
    struct str authority = arena_printf(a, "%s%s%s:%d", open, c->host, close, c->port);
    struct str target =
        arena_printf(a, STR_FMT " (%s)", STR_ARG(authority), c->tls ? "TLS" : "without TLS");
    struct str name = arena_printf(a, "%s", c->o.server_name.n ? c->o.server_name.p : c->host);
    if (arena_failed(a)) return err_set(e, ERR_NOMEM, "out of memory for the channel");
    c->authority = (char *)(uintptr_t)authority.p;
    c->target = (char *)(uintptr_t)target.p;
    c->tls_name = (char *)(uintptr_t)name.p;
    rc = take_headers(c, o, e);
    if (rc == 0) rc = take_proxy(c, o, e);
    if (rc == 0 && c->tls) rc = try_tls(c, e);
    c->o.headers = NULL; /* borrowed; c->headers has the copies */
    c->o.n_headers = 0;
    return rc;
}
