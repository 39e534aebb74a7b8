/* Which requests of ml.http go through the guard of outgoing addresses (http/guard.h): those of a
 * request's handler and of a tool, where somebody else may have chosen the URL, unless the script
 * says otherwise. What the operator names is allowed: the networks and hosts in
 * MOONLOOP_HTTP_ALLOW, and the hosts of URLs that ml.env gives. */
#include "activity/act_http.h"
#include <stdlib.h>

#define ALLOW "MOONLOOP_HTTP_ALLOW"

static bool is_tool(const struct act_host *h, struct str type)
{
    for (size_t i = 0; i < h->n_defs; i++)
        if (str_eq(h->defs[i].name, type) && strcmp(h->defs[i].kind, "tool") == 0) return true;
    return false;
}

/* Does somebody else choose what this call asks for? */
static bool is_exposed(lua_State *L)
{
    const struct act_call_state *c = act_current(L);
    if (!c) return false;
    if (c->kind == CALL_REQUEST) return true;
    return c->kind == CALL_ACTIVITY && is_tool(act_host_of(L), c->info.activity_type);
}

/* The host's guard, made when first needed. NULL: no memory. */
static struct http_guard *guard_of(lua_State *L)
{
    struct act_host *h = act_host_of(L);
    const char *list = getenv(ALLOW);
    struct err e = {0};
    if (h->guard || http_guard_new(&h->guard) < 0) return h->guard;
    while (list && *list) {
        size_t skip = strspn(list, ", "), n = strcspn(list + skip, ", ");
        if (n && http_guard_allow(h->guard, str_make(list + skip, n), &e) < 0) {
            http_guard_free(h->guard);
            h->guard = NULL;
            act_misuse(L, ALLOW ": %s", e.text);
        }
        list += skip + n;
    }
    return h->guard;
}

void act_guard_learn(lua_State *L, const char *url)
{
    struct err e = {0};
    size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
    if (!scheme) return;
    url += scheme;
    size_t n = strcspn(url, "/?#");
    const char *user = memchr(url, '@', n);
    if (user) {
        n -= (size_t)(user + 1 - url);
        url = user + 1;
    }
    char entry[300];
    bool port = n > 0 && memchr(url, ':', n) && (url[0] != '[' || url[n - 1] != ']');
    if (n == 0 || n + 6 > sizeof entry) return;
    snprintf(entry, sizeof entry, "%.*s%s", (int)n, url, port ? "" : scheme == 8 ? ":443" : ":80");
    struct http_guard *g = guard_of(L);
    /* what cannot be an entry is not allowed; the request then says so */
    if (g) http_guard_allow(g, str_of(entry), &e);
}

const struct http_guard *act_guard(lua_State *L, int given)
{
    if (given < 0 ? !is_exposed(L) : !given) return NULL;
    struct http_guard *g = guard_of(L);
    if (!g) act_misuse(L, "out of memory");
    return g;
}
