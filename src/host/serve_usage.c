/* GET /v1/usage: what models were asked, read from the runs' histories (results of the activity
 * moonloop.model, lua/moonloop/agent_define.lua), one run after another, nothing held meanwhile. */
#include "base/mem.h"
#include "host/serve.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL "moonloop.model"

/* How an answer's usage names its numbers, and how the sums are named. */
static const char *const numbers[][2] = {{"input", "input"},
                                         {"cached", "cached"},
                                         {"output", "output"},
                                         {"reasoning", "reasoning"},
                                         {"nano_usd", "nanoUsd"}};

struct reckoning { /* outlives the request */
    struct host_http *x;
    uint64_t id;
    cJSON *runs, *row; /* the list, and the run that is asked now */
    cJSON *sums;       /* {total, run, model, tool, key, nextPage} */
    bool failed;       /* no memory */
};

static void reckoning_free(void *ud)
{
    struct reckoning *g = ud;
    cJSON_Delete(g->runs);
    cJSON_Delete(g->sums);
    mem_free(g);
}

static struct host_request *waiting(struct reckoning *g)
{
    struct host_request *r = serve_find(g->x, g->id);
    if (r && !r->done && !r->gone && g->x->server) return r;
    reckoning_free(g);
    return NULL;
}

static cJSON *get(const cJSON *of, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(of, name);
}

static const char *text_of(const cJSON *of, const char *name)
{
    const char *text = cJSON_GetStringValue(get(of, name));
    return text ? text : "";
}

/* {payloads: [{data}]} or {data}, as JSON; NULL when it is something else, or encrypted. */
static cJSON *opened(const cJSON *payloads)
{
    const cJSON *list = get(payloads, "payloads");
    const char *data = text_of(list ? cJSON_GetArrayItem(list, 0) : payloads, "data");
    struct buf b;
    buf_init(&b, HOST_FRAME_MAX);
    cJSON *value = base64_decode(str_of(data), &b) == 0 ? cJSON_ParseWithLength(b.p, b.n) : NULL;
    buf_free(&b);
    return value;
}

static void more(cJSON *sum, const char *name, double by)
{
    cJSON *n = get(sum, name);
    if (n)
        cJSON_SetNumberValue(n, n->valuedouble + by);
    else
        cJSON_AddNumberToObject(sum, name, by);
}

/* One call of a model (with its usage) or of a tool (without) is added to a sum. */
static void count(cJSON *sum, const cJSON *usage)
{
    more(sum, "calls", 1);
    for (size_t i = 0; usage && i < sizeof numbers / sizeof *numbers; i++) {
        const cJSON *n = get(usage, numbers[i][0]);
        more(sum, numbers[i][1], cJSON_IsNumber(n) ? n->valuedouble : 0);
    }
}

/* The same in the group's item of that name: of runs the newest, for they come one after another.
 */
static void count_in(struct reckoning *g, const char *by, const char *member, const char *name,
                     const char *workflow_id, const cJSON *usage)
{
    cJSON *group = get(g->sums, by), *sum = NULL;
    if (workflow_id)
        sum =
            group && group->child ? group->child->prev : NULL; /* cJSON: the first's is the last */
    else
        cJSON_ArrayForEach(sum, group) if (strcmp(text_of(sum, member), name) == 0) break;
    if (!sum || strcmp(text_of(sum, member), name) != 0) {
        sum = cJSON_CreateObject();
        cJSON_AddStringToObject(sum, member, name);
        if (workflow_id) cJSON_AddStringToObject(sum, "workflowId", workflow_id);
        if (!group || !sum || !cJSON_AddItemToArray(group, sum)) {
            cJSON_Delete(sum);
            g->failed = true;
            return;
        }
    }
    count(sum, usage);
}

/* What the run's start says of who asked for it; a run that nobody's key started is "local". */
static char *key_of(const cJSON *events)
{
    const cJSON *start =
        get(events ? events->child : NULL, "workflowExecutionStartedEventAttributes");
    cJSON *head = opened(get(get(get(start, "header"), "fields"), "moonloop"));
    const char *name = text_of(head, "principal");
    char *copy = str_dup(str_of(*name ? name : "local"));
    cJSON_Delete(head);
    return copy;
}

static void add_tools(struct reckoning *g, const cJSON *answer)
{
    const cJSON *call;
    cJSON_ArrayForEach(call, get(get(answer, "message"), "tool_calls"))
        count_in(g, "tool", "tool", text_of(call, "name"), NULL, NULL);
}

static void add_answer(struct reckoning *g, const cJSON *done, const char *key)
{
    cJSON *answer = opened(get(done, "result"));
    const cJSON *usage = get(answer, "usage");
    char model[256];
    snprintf(model, sizeof model, "%s:%s", text_of(answer, "provider"), text_of(answer, "model"));
    if (cJSON_IsObject(usage)) {
        count(get(g->sums, "total"), usage);
        count_in(g, "run", "runId", text_of(g->row, "runId"), text_of(g->row, "workflowId"), usage);
        count_in(g, "model", "model", model, NULL, usage);
        count_in(g, "key", "key", key, NULL, usage);
        add_tools(g, answer);
    }
    cJSON_Delete(answer);
}

static void add_history(struct reckoning *g, const cJSON *events)
{
    size_t n = (size_t)cJSON_GetArraySize(events), seen = 0;
    const cJSON **at = mem_zalloc((n + 1) * sizeof *at), *e; /* event ids count from 1 */
    char *key = key_of(events);
    for (e = at && key && events ? events->child : NULL; e; e = e->next) {
        at[seen++] = e;
        const cJSON *done = get(e, "activityTaskCompletedEventAttributes");
        size_t id = strtoul(text_of(done, "scheduledEventId"), NULL, 10);
        const cJSON *from = id && id <= seen ? at[id - 1] : NULL;
        const cJSON *what = get(get(from, "activityTaskScheduledEventAttributes"), "activityType");
        if (strcmp(text_of(what, "name"), MODEL) == 0) add_answer(g, done, key);
    }
    if (!at || !key) g->failed = true;
    mem_free(at);
    mem_free(key);
}

static void answer(struct reckoning *g, struct host_request *r)
{
    char *text = g->failed ? NULL : cJSON_PrintUnformatted(g->sums);
    if (text)
        serve_json(r, 200, str_of(text));
    else
        serve_problem(r, PROBLEM_UNAVAILABLE, "out of memory: ask for fewer runs, with ?limit=");
    cJSON_free(text);
    reckoning_free(g);
}

static void ask_next(struct reckoning *g);

static void on_history(void *ud, const ml_reply *m)
{
    struct reckoning *g = ud;
    struct host_request *r = waiting(g);
    if (!r) return;
    if (m->code && m->code != ML_E_NOTFOUND) { /* deleted meanwhile: there is nothing to add */
        serve_problem(r, PROBLEM_UNAVAILABLE, m->text);
        reckoning_free(g);
        return;
    }
    cJSON *history = m->json ? cJSON_Parse(m->json) : NULL;
    if (history)
        add_history(g, get(history, "events"));
    else if (!m->code)
        g->failed = true;
    cJSON_Delete(history);
    g->row = g->row->next;
    ask_next(g);
}

static void ask_next(struct reckoning *g)
{
    struct host_request *r = waiting(g);
    if (!r) return;
    if (!g->row || g->failed) {
        answer(g, r);
        return;
    }
    cJSON *args = cJSON_CreateObject();
    arg_add(args, "id", text_of(g->row, "workflowId"));
    arg_add(args, "runId", text_of(g->row, "runId"));
    if (host_verb_owned(g->x->h, "history", args, on_history, g, reckoning_free) == 0) return;
    serve_problem(r, PROBLEM_UNAVAILABLE, "the runs cannot be read now");
    reckoning_free(g);
}

static void on_list(void *ud, const ml_reply *m)
{
    struct reckoning *g = ud;
    struct host_request *r = waiting(g);
    if (!r) return;
    g->runs = m->json && !m->code ? cJSON_Parse(m->json) : NULL;
    if (!g->runs) {
        serve_verb_problem(r, m);
        reckoning_free(g);
        return;
    }
    const cJSON *rows = cJSON_IsArray(g->runs) ? g->runs : get(g->runs, "runs");
    const char *next = m->next_page && *m->next_page ? m->next_page : text_of(g->runs, "nextPage");
    if (*next) cJSON_AddStringToObject(g->sums, "nextPage", next);
    g->row = rows ? rows->child : NULL;
    ask_next(g);
}

void serve_usage(struct host_request *r, const char *filter)
{
    static const char *const groups[] = {"run", "model", "tool", "key"};
    struct reckoning *g = mem_zalloc(sizeof *g);
    cJSON *args = g ? cJSON_CreateObject() : NULL;
    if (g) {
        g->x = r->x;
        g->id = r->id;
        g->sums = cJSON_CreateObject();
        cJSON *total = cJSON_AddObjectToObject(g->sums, "total");
        cJSON_AddNumberToObject(total, "calls", 0);
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            cJSON_AddNumberToObject(total, numbers[i][1], 0);
        for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
            cJSON_AddArrayToObject(g->sums, groups[i]);
        arg_add(args, "filter", filter);
        if (host_verb_owned(r->x->h, "list", args, on_list, g, reckoning_free) == 0) return;
        reckoning_free(g);
    }
    serve_problem(r, PROBLEM_UNAVAILABLE, "the runs cannot be listed now");
}
