/* GET /v1/approvals: what waits for a person's decision, over all runs (lua/moonloop/approve.lua).
 * Each run that may have an item is asked, one after another, and nothing is held meanwhile. */
#include "base/mem.h"
#include "host/serve.h"
#include "json/tree.h"
#include <stdio.h>
#include <string.h>

#define QUERY "moonloop.approvals"
#define WAITS "approval of " /* how such a wait is named */

struct gathering { /* outlives the request */
    struct host_http *x;
    uint64_t id;
    struct arena arena; /* of the list */
    const struct json *row;
    struct buf out;
};

static void gathering_free(void *ud)
{
    struct gathering *g = ud;
    arena_free(&g->arena);
    buf_free(&g->out);
    mem_free(g);
}

/* The request, or NULL when nobody waits any more: then g is gone. */
static struct host_request *waiting(struct gathering *g)
{
    struct host_request *r = serve_find(g->x, g->id);
    if (r && !r->done && !r->gone && g->x->server) return r;
    gathering_free(g);
    return NULL;
}

/* A file says of each run what it waits for; of a server's runs it is not known. */
static bool may_wait(const struct json *row)
{
    const struct json *pending = json_get(row, "pending");
    if (!pending || pending->kind != JSON_ARRAY) return true;
    for (const struct json *p = pending->v.first; p; p = p->next)
        if (str_starts(json_get_str(p, "name"), STR(WAITS))) return true;
    return false;
}

static void add_items(struct gathering *g, const struct json *items)
{
    for (const struct json *i = items->v.first; i; i = i->next) {
        struct buf one;
        buf_init(&one, HOST_FRAME_MAX);
        json_write(i, &one); /* an object with members */
        if (one.n > 2 && one.p[0] == '{' && !one.code) {
            buf_puts(&g->out, g->out.n > 1 ? ",{\"workflowId\":" : "{\"workflowId\":");
            buf_put_json(&g->out, json_get_str(g->row, "workflowId"));
            buf_puts(&g->out, ",\"runId\":");
            buf_put_json(&g->out, json_get_str(g->row, "runId"));
            buf_putc(&g->out, ',');
            buf_put(&g->out, one.p + 1, one.n - 1);
        }
        buf_free(&one);
    }
}

static void ask_next(struct gathering *g);

static void on_items(void *ud, const ml_reply *m)
{
    struct gathering *g = ud;
    if (!waiting(g)) return;
    struct arena a;
    struct json_mem mem = {.arena = &a};
    struct json *items = NULL;
    struct err e = {0};
    arena_init(&a, HOST_FRAME_MAX);
    if (!m->code && m->json && json_parse(str_of(m->json), &mem, &items, &e) == 0 &&
        items->kind == JSON_ARRAY)
        add_items(g, items);
    arena_free(&a);
    g->row = g->row->next;
    ask_next(g);
}

static void ask_next(struct gathering *g)
{
    struct host_request *r = waiting(g);
    if (!r) return;
    while (g->row && !may_wait(g->row))
        g->row = g->row->next;
    if (!g->row) {
        buf_putc(&g->out, ']');
        if (g->out.code)
            serve_problem(r, PROBLEM_UNAVAILABLE, "the list does not fit in memory");
        else
            serve_json(r, 200, buf_str(&g->out));
        gathering_free(g);
        return;
    }
    cJSON *args = cJSON_CreateObject();
    struct str id = json_get_str(g->row, "workflowId"), copy = arena_str(&g->arena, id);
    arg_add(args, "id", copy.p ? copy.p : "");
    arg_add(args, "name", QUERY);
    arg_add(args, "args", "[]");
    if (host_verb_owned(g->x->h, "query", args, on_items, g, gathering_free) == 0) return;
    serve_problem(r, PROBLEM_UNAVAILABLE, "the runs cannot be asked now");
    gathering_free(g);
}

static void on_list(void *ud, const ml_reply *m)
{
    struct gathering *g = ud;
    struct host_request *r = waiting(g);
    struct json_mem mem = {.arena = &g->arena};
    struct json *list = NULL;
    struct err e = {0};
    if (!r) return;
    struct str copy = arena_str(&g->arena, str_of(m->json ? m->json : "[]"));
    if (m->code || !copy.p || json_parse(copy, &mem, &list, &e) < 0) {
        serve_problem(r, PROBLEM_UNAVAILABLE, m->code ? m->text : "the runs cannot be listed now");
        gathering_free(g);
        return;
    }
    const struct json *rows = list->kind == JSON_ARRAY ? list : json_get(list, "runs");
    g->row = rows && rows->kind == JSON_ARRAY ? rows->v.first : NULL;
    ask_next(g);
}

void serve_approvals(struct host_request *r)
{
    struct gathering *g = mem_zalloc(sizeof *g);
    cJSON *args = g ? cJSON_CreateObject() : NULL;
    if (g) {
        g->x = r->x;
        g->id = r->id;
        arena_init(&g->arena, HOST_JSON_MAX);
        buf_init(&g->out, HOST_FRAME_MAX);
        buf_putc(&g->out, '[');
        arg_add(args, "filter", "{\"status\":\"Running\",\"limit\":10000}");
        if (host_verb_owned(r->x->h, "list", args, on_list, g, gathering_free) == 0) return;
        gathering_free(g);
    }
    serve_problem(r, PROBLEM_UNAVAILABLE, "the runs cannot be listed now");
}
