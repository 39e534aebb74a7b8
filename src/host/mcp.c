/* Messages of the Model Context Protocol that do not come over HTTP: each is a request to the
 * script's mcp_server.lua, answered by a reply of the verb. Keeps true: a verb that is given up
 * while its request runs is not answered by it (the two find each other by number). */
#include "activity/activity.h"
#include "base/mem.h"
#include "host/host_internal.h"

#define TIMEOUT_NS (60 * NS_PER_S) /* a live tool has that long at most */

struct mcp_call {
    ml_host *h;
    struct mcp_call *next;
    uint64_t number;
    char *key; /* what mcp_cancel names it by */
    struct act_host *act;
    uint64_t id; /* of the request there */
};
static int run_mcp(struct hcall *c, struct err *e);

static void call_free(struct mcp_call *m)
{
    struct mcp_call **p = &m->h->mcp_calls;
    while (*p && *p != m)
        p = &(*p)->next;
    if (*p) *p = m->next;
    mem_free(m->key);
    mem_free(m);
}

void host_mcp_free(ml_host *h)
{
    while (h->mcp_calls)
        call_free(h->mcp_calls);
}

static struct hcall *verb_of(const struct mcp_call *m)
{
    for (struct hcall *c = m->h->calls; c; c = c->next)
        if (c->verb->run == run_mcp && c->state && !c->ending &&
            *(const uint64_t *)c->state == m->number)
            return c;
    return NULL;
}

/* Nothing of the protocol is streamed here. */
static int on_head(void *ud, const struct http_answer *a)
{
    (void)ud, (void)a;
    return ERR_UNSUPPORTED;
}

static int on_push(void *ud, struct str bytes)
{
    (void)ud, (void)bytes;
    return ERR_STALE;
}

static void on_done(void *ud, const struct http_answer *a, bool complete)
{
    struct mcp_call *m = ud;
    struct hcall *c = verb_of(m);
    (void)complete;
    call_free(m);
    if (!c) return;
    if (!a) {
        hcall_fail(c, ERR_CANCELED, "the message was given up");
    } else if (a->status >= 300) {
        hcall_fail(c, a->status == 504 ? ERR_TIMEOUT : ERR_FAILED, "%.*s",
                   (int)(a->body.n > 500 ? 500 : a->body.n), a->body.p ? a->body.p : "");
    } else {
        struct str text = a->body.n ? arena_str(&c->arena, a->body) : (struct str){NULL, 0};
        ml_reply r = {.json = text.p};
        if (a->body.n && !text.p)
            hcall_fail(c, ERR_NOMEM, "out of memory");
        else
            hcall_reply(c, &r);
    }
}

/* mcp {message, key, script}: the answer's text, null when none is due. */
static int run_mcp(struct hcall *c, struct err *e)
{
    static const struct act_route route = {.timeout_ns = TIMEOUT_NS};
    static const struct http_route_match match;
    static const struct act_request_fns fns = {on_head, on_push, on_done, NULL};
    struct http_incoming in = {.method = STR("POST"), .path = STR("(mcp)"), .remote = STR("stdio")};
    ml_host *h = c->h;
    uint64_t *number = arena_alloc(&c->arena, sizeof *number);
    struct mcp_call *m = number ? mem_zalloc(sizeof *m) : NULL;
    if (!m) return err_set(e, ERR_NOMEM, "out of memory");
    in.body = arg_view(c->args, "message");
    *m = (struct mcp_call){.h = h, .next = h->mcp_calls, .number = ++h->mcp_number};
    h->mcp_calls = m;
    *number = m->number;
    c->state = number;
    m->key = str_dup(arg_view(c->args, "key"));
    m->act = h->worker ? worker_script(h->worker, arg_view(c->args, "script")) : NULL;
    int code = !m->key   ? err_set(e, ERR_NOMEM, "out of memory")
               : !m->act ? err_set(e, ERR_NOTFOUND, "the script is not loaded")
                         : act_request_start(m->act, &route, &in, &match, &fns, m, &m->id, e);
    if (code) call_free(m);
    return code;
}

static void tell_nothing(void *ud)
{
    struct hcall *c = ud;
    ml_reply r = {0};
    hcall_reply(c, &r);
}

/* mcp_cancel {key}: the message of that key, if it is still worked on, gets no answer. */
static int run_cancel(struct hcall *c, struct err *e)
{
    struct str key = arg_view(c->args, "key");
    (void)e;
    for (struct mcp_call *m = c->h->mcp_calls; m; m = m->next)
        if (str_eqz(key, m->key)) {
            act_cancel(m->act, m->id, BACKEND_CANCEL_GONE);
            break;
        }
    hcall_post(c, tell_nothing);
    return 0;
}

static const struct verb verbs[] = {{"mcp", run_mcp, false, false},
                                    {"mcp_cancel", run_cancel, false, false}};

const struct verb *verb_find_mcp(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
    return NULL;
}
