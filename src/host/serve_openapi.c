/* /openapi.json: the routes of the scripts that are loaded and the operating ones, as OpenAPI 3.1
 * has them. */
#include "base/mem.h"
#include "host/serve.h"
#include <stdio.h>
#include <string.h>

/* "/files/{path...}" as OpenAPI writes it: "/files/{path}". */
static struct str plain_path(struct arena *a, struct str pattern)
{
    const char *dots = memmem(pattern.p, pattern.n, "...}", 4);
    if (!dots) return arena_str(a, pattern);
    return arena_printf(a, "%.*s}", (int)(dots - pattern.p), pattern.p);
}

static bool add(cJSON *to, const char *key, cJSON *item)
{
    if (to && item && cJSON_AddItemToObject(to, key, item)) return true;
    cJSON_Delete(item);
    return false;
}

static void add_parameters(cJSON *op, struct arena *a, struct str pattern)
{
    cJSON *list = NULL;
    for (size_t i = 0; i < pattern.n; i++) {
        if (pattern.p[i] != '{') continue;
        size_t n = i + 1;
        while (n < pattern.n && pattern.p[n] != '}' && pattern.p[n] != '.')
            n++;
        struct str name = arena_str(a, str_make(pattern.p + i + 1, n - i - 1));
        if (!list && !add(op, "parameters", list = cJSON_CreateArray())) return;
        cJSON *p = cJSON_CreateObject(), *schema = cJSON_CreateObject();
        cJSON_AddStringToObject(p, "name", name.p ? name.p : "");
        cJSON_AddStringToObject(p, "in", "path");
        cJSON_AddTrueToObject(p, "required");
        cJSON_AddStringToObject(schema, "type", "string");
        add(p, "schema", schema);
        if (!cJSON_AddItemToArray(list, p)) cJSON_Delete(p);
        i = n;
    }
}

/* {content: {TYPE: {schema: ...}}} */
static cJSON *content(const char *type, cJSON *schema)
{
    cJSON *outer = cJSON_CreateObject(), *kinds = cJSON_CreateObject(), *one = cJSON_CreateObject();
    add(one, "schema", schema);
    add(kinds, type, one);
    add(outer, "content", kinds);
    return outer;
}

static void add_route(cJSON *paths, struct arena *a, const struct http_route *route,
                      const struct act_route *r)
{
    char method[24];
    size_t n = 0;
    for (; n < route->method.n && n + 1 < sizeof method; n++)
        method[n] = (char)(route->method.p[n] - 'A' + 'a');
    method[n] = 0;
    struct str path = plain_path(a, route->pattern);
    cJSON *doc = cJSON_ParseWithLength(r->doc.p, r->doc.n);
    cJSON *at = path.p ? cJSON_GetObjectItemCaseSensitive(paths, path.p) : NULL;
    if (path.p && !at && !add(paths, path.p, at = cJSON_CreateObject())) at = NULL;
    cJSON *op = cJSON_CreateObject(), *answers = cJSON_CreateObject();
    const char *summary = arg_str(doc, "summary"), *text = arg_str(doc, "description");
    if (summary) cJSON_AddStringToObject(op, "summary", summary);
    if (text && *text) cJSON_AddStringToObject(op, "description", text);
    add_parameters(op, a, route->pattern);
    cJSON *input = cJSON_DetachItemFromObjectCaseSensitive(doc, "input");
    bool body = strcmp(method, "get") != 0 && strcmp(method, "delete") != 0;
    if (input && body)
        add(op, "requestBody", content("application/json", input));
    else
        cJSON_Delete(input);
    cJSON *output = cJSON_DetachItemFromObjectCaseSensitive(doc, "output");
    cJSON *good = output ? content("application/json", output) : cJSON_CreateObject();
    cJSON_AddStringToObject(good, "description", "the answer");
    add(answers, "200", good);
    cJSON *bad = content(HTTP_PROBLEM_JSON, cJSON_CreateObject());
    cJSON_AddStringToObject(bad, "description", "a problem (RFC 9457)");
    add(answers, "default", bad);
    add(op, "responses", answers);
    if (cJSON_GetObjectItemCaseSensitive(at, method)) /* a script's own comes first */
        cJSON_Delete(op);
    else
        add(at, method, op);
    cJSON_Delete(doc);
}

void serve_openapi(struct host_request *r)
{
    struct host_http *x = r->x;
    cJSON *all = cJSON_CreateObject(), *info = cJSON_CreateObject(), *paths = cJSON_CreateObject();
    cJSON_AddStringToObject(all, "openapi", "3.1.0");
    cJSON_AddStringToObject(info, "title", "moonloop");
    cJSON_AddStringToObject(info, "version", ml_version());
    add(all, "info", info);
    for (size_t i = 0; i < x->router.n; i++) {
        const struct served *s = x->router.routes[i].value;
        if (s->route->doc.p) add_route(paths, &r->arena, &x->router.routes[i], s->route);
    }
    static const struct act_route operating = {
        .doc = STR("{\"summary\":\"operating\",\"description\":\"Needs the scope operate, or a "
                   "program of the same machine; below /v1/resume the URL's signature.\"}")};
    for (size_t i = 0; i < x->ops.n; i++)
        add_route(paths, &r->arena, &x->ops.routes[i], &operating);
    add(all, "paths", paths);
    char *text = cJSON_PrintUnformatted(all);
    cJSON_Delete(all);
    if (text)
        serve_json(r, 200, str_of(text));
    else
        serve_problem(r, PROBLEM_UNAVAILABLE, "out of memory");
    cJSON_free(text);
}
