/* Addresses that requests may reach: see guard.h. The networks are those of the IANA registries of
 * special-purpose addresses (RFC 6890 and what changed it; read 2026-11), and addresses at which
 * clouds hand out credentials. */
#include "http/guard.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>

struct ip { /* IPv4 as ::ffff:a.b.c.d */
    uint8_t b[16];
};
struct entry {
    char *host; /* NULL: a network */
    struct ip ip;
    int bits, port; /* port 0: every one */
};
struct http_guard {
    struct entry *entries;
    size_t n, cap;
};
static const struct {
    const char *net;
    int bits;
    const char *what;
} refused[] = {
    {"0.0.0.0", 8, "an address of this network"},
    {"10.0.0.0", 8, "a private address"},
    {"100.64.0.0", 10, "an address behind a carrier's NAT"},
    {"127.0.0.0", 8, "a loopback address"},
    {"168.63.129.16", 32, "a cloud's metadata address"},
    {"169.254.0.0", 16, "a link-local address"},
    {"172.16.0.0", 12, "a private address"},
    {"192.0.0.0", 24, "a reserved address"},
    {"192.0.2.0", 24, "an address for documentation"},
    {"192.88.99.0", 24, "a reserved address"},
    {"192.168.0.0", 16, "a private address"},
    {"198.18.0.0", 15, "an address for benchmarks"},
    {"198.51.100.0", 24, "an address for documentation"},
    {"203.0.113.0", 24, "an address for documentation"},
    {"224.0.0.0", 4, "a multicast address"},
    {"240.0.0.0", 4, "a reserved address"},
    {"::", 128, "an unspecified address"},
    {"::1", 128, "a loopback address"},
    {"fc00::", 7, "a private address"},
    {"fe80::", 10, "a link-local address"},
    {"fec0::", 10, "a private address"},
    {"ff00::", 8, "a multicast address"},
    {"2001::", 23, "a reserved address"}, /* Teredo, ORCHID and their like */
    {"2001:db8::", 32, "an address for documentation"},
    {"2002::", 16, "a 6to4 address"}, /* it holds an IPv4 address of any kind */
    {"3fff::", 20, "an address for documentation"},
};

int http_guard_new(struct http_guard **out)
{
    *out = mem_zalloc(sizeof **out);
    return *out ? 0 : ERR_NOMEM;
}

void http_guard_free(struct http_guard *g)
{
    if (!g) return;
    for (size_t i = 0; i < g->n; i++)
        mem_free(g->entries[i].host);
    mem_free(g->entries);
    mem_free(g);
}

static struct ip of_v4(const void *four)
{
    struct ip ip = {{0}};
    ip.b[10] = ip.b[11] = 0xFF;
    memcpy(ip.b + 12, four, 4);
    return ip;
}

static bool is_v4(const struct ip *ip)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    return memcmp(ip->b, mapped, 12) == 0;
}

/* "1.2.3.4" or "::1"; false when it is neither. */
static bool parse(const char *text, struct ip *out)
{
    uint8_t four[4];
    if (inet_pton(AF_INET, text, four) == 1) {
        *out = of_v4(four);
        return true;
    }
    return inet_pton(AF_INET6, text, out->b) == 1;
}

static bool within(const struct ip *ip, const struct ip *net, int bits)
{
    int whole = bits / 8, rest = bits % 8;
    if (memcmp(ip->b, net->b, (size_t)whole) != 0) return false;
    return rest == 0 || ((ip->b[whole] ^ net->b[whole]) >> (8 - rest)) == 0;
}

static bool allowed(const struct http_guard *g, const struct ip *ip, int port)
{
    for (size_t i = 0; g && i < g->n; i++) {
        const struct entry *x = &g->entries[i];
        if (!x->host && (!x->port || x->port == port) && within(ip, &x->ip, x->bits)) return true;
    }
    return false;
}

static const char *kind_of(const struct ip *ip)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct ip net;
        parse(refused[i].net, &net);
        int bits = refused[i].bits + (is_v4(&net) ? 96 : 0);
        if (within(ip, &net, bits)) return refused[i].what;
    }
    /* IPv6 is given out from 2000::/3 only */
    return is_v4(ip) || (ip->b[0] & 0xE0) == 0x20 ? NULL : "not a public address";
}

const char *http_guard_refuses(const struct http_guard *g, const struct sockaddr *a)
{
    static const uint8_t nat64[12] = {0, 0x64, 0xFF, 0x9B}; /* 64:ff9b::/96, RFC 6052 */
    struct ip ip;
    int port;
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof in);
        ip = of_v4(&in.sin_addr);
        port = ntohs(in.sin_port);
    } else if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, a, sizeof in);
        memcpy(ip.b, &in.sin6_addr, 16);
        port = ntohs(in.sin6_port);
    } else {
        return "not an internet address";
    }
    if (memcmp(ip.b, nat64, 12) == 0) ip = of_v4(ip.b + 12);
    return allowed(g, &ip, port) ? NULL : kind_of(&ip);
}

/* The name without a dot at its end, and without the brackets of an IPv6 address. */
static struct str plain_host(struct str host)
{
    if (host.n > 1 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        return str_make(host.p + 1, host.n - 2);
    if (host.n > 1 && host.p[host.n - 1] == '.') host.n--;
    return host;
}

bool http_guard_names(const struct http_guard *g, struct str host, int port)
{
    host = plain_host(host);
    for (size_t i = 0; g && i < g->n; i++) {
        const struct entry *x = &g->entries[i];
        if (x->host && (!x->port || x->port == port) && strlen(x->host) == host.n &&
            strncasecmp(x->host, host.p, host.n) == 0)
            return true;
    }
    return false;
}

static int add(struct http_guard *g, const struct entry *new, struct err *e)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct entry *x = &g->entries[i];
        bool same = x->port == new->port && !x->host == !new->host;
        if (same && (x->host ? strcasecmp(x->host, new->host) == 0
                             : x->bits == new->bits &&memcmp(&x->ip, &new->ip, 16) == 0))
            return 0;
    }
    if (g->n >= HTTP_GUARD_ENTRIES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d allowed addresses", HTTP_GUARD_ENTRIES_MAX);
    if (g->n == g->cap) {
        size_t cap = g->cap ? 2 * g->cap : 8;
        struct entry *more = mem_realloc(g->entries, cap * sizeof *more);
        if (!more) return err_set(e, ERR_NOMEM, "allowed addresses: out of memory");
        g->entries = more;
        g->cap = cap;
    }
    struct entry kept = *new;
    if (new->host && !(kept.host = str_dup(str_of(new->host))))
        return err_set(e, ERR_NOMEM, "allowed addresses: out of memory");
    g->entries[g->n++] = kept;
    return 0;
}

static bool read_number(const char *text, int most, int *out)
{
    int v = 0;
    if (!*text || strlen(text) > 5) return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return false;
        v = v * 10 + (*text - '0');
    }
    *out = v;
    return v <= most;
}

/* A name's last label is no number: that would be an address in an odd spelling. */
static bool host_ok(const char *host)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char digits[] = "0123456789";
    size_t n = strlen(host);
    char last[260] = "";
    if (n == 0 || n > 253 || host[0] == '.') return false;
    for (size_t i = 0; i < n; i++)
        if (!strchr(letters, host[i]) && !strchr(digits, host[i]) && !strchr("-._", host[i]))
            return false;
    snprintf(last, sizeof last, "%s", host);
    if (last[n - 1] == '.') last[n - 1] = 0;
    const char *dot = strrchr(last, '.'), *label = dot ? dot + 1 : last;
    if (label[0] == '0' && (label[1] == 'x' || label[1] == 'X')) return false;
    return strspn(label, digits) != strlen(label);
}

static int bad(struct str entry, struct err *e)
{
    return err_set(e, ERR_ARG,
                   "\"%.*s\" is no network (10.0.0.0/8), address or host, with or without a port",
                   (int)(entry.n > 100 ? 100 : entry.n), entry.p ? entry.p : "");
}

int http_guard_allow(struct http_guard *g, struct str entry, struct err *e)
{
    char text[300];
    struct entry x = {.bits = 128};
    if (entry.n == 0 || entry.n >= sizeof text || memchr(entry.p, 0, entry.n)) return bad(entry, e);
    memcpy(text, entry.p, entry.n);
    text[entry.n] = 0;
    char *host = text, *slash = strchr(text, '/'), *port = NULL;
    if (slash) *slash = 0;
    if (slash || parse(text, &x.ip)) {
        int most = 128;
        if (!parse(text, &x.ip)) return bad(entry, e);
        if (is_v4(&x.ip)) most = 32;
        if (slash) {
            if (!read_number(slash + 1, most, &x.bits)) return bad(entry, e);
            if (most == 32) x.bits += 96;
        }
        return add(g, &x, e);
    }
    if (*text == '[') {
        char *end = strchr(text, ']');
        if (!end) return bad(entry, e);
        *end = 0;
        host = text + 1;
        port = end[1] == ':' ? end + 2 : end[1] ? NULL : "";
        if (!port || !parse(host, &x.ip)) return bad(entry, e);
    } else if ((port = strchr(text, ':')) != NULL) {
        *port++ = 0;
    }
    if (port && *port && (!read_number(port, 65535, &x.port) || x.port == 0)) return bad(entry, e);
    if (port && !*port && *text != '[') return bad(entry, e);
    if (parse(host, &x.ip)) return add(g, &x, e);
    if (!host_ok(host)) return bad(entry, e);
    size_t n = strlen(host);
    if (host[n - 1] == '.') host[n - 1] = 0;
    x.host = host;
    return add(g, &x, e);
}
