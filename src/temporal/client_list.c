/* Lists and counts. A filter {status, type, id_prefix, query, limit, page} becomes a query of the
 * server's visibility store; several pages are read until the limit is reached. */
#include "base/buf.h"
#include "history/json_scan.h"
#include "temporal/client_internal.h"
#include <stdlib.h>
#include <strings.h>

#define LIST_MAX 10000
#define LIST_DEFAULT 1000
#define PAGE_MAX 1000
#define QUERY_MAX 65536
#define JSON_MAX ((size_t)64 << 20)
#define BLOCKED "TemporalReportedProblems IS NOT NULL"

struct list {
    struct buf json;
    struct str query, page;
    int64_t limit, n;
};

/* ---- the filter ---- */
struct filter {
    struct str status, type, id_prefix, query, page;
    int64_t limit;
};

static int read_filter(struct arena *a, struct str text, struct filter *f, struct err *e)
{
    struct json j;
    struct str key, value;
    bool first = true, copied;
    *f = (struct filter){.limit = LIST_DEFAULT};
    if (!text.n) return 0;
    json_init(&j, a, text, e);
    json_enter(&j, '{');
    while (json_member(&j, &first, &key)) {
        struct str *to = str_eqz(key, "status")      ? &f->status
                         : str_eqz(key, "type")      ? &f->type
                         : str_eqz(key, "id_prefix") ? &f->id_prefix
                         : str_eqz(key, "query")     ? &f->query
                         : str_eqz(key, "page")      ? &f->page
                                                     : NULL;
        if (to && json_peek(&j) == '"') {
            json_string(&j, to, &copied);
        } else if (str_eqz(key, "limit") && json_peek(&j) != '"') {
            f->limit = json_number(&j, &value) ? LIST_DEFAULT : strtoll(value.p, NULL, 10);
        } else {
            json_skip(&j);
        }
    }
    json_end(&j);
    if (f->limit < 1 || f->limit > LIST_MAX) f->limit = LIST_DEFAULT;
    return j.code;
}

/* A string literal of the query language. */
static void put_literal(struct buf *b, struct str s)
{
    buf_putc(b, '\'');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\'' || s.p[i] == '\\') buf_putc(b, '\\');
        buf_putc(b, s.p[i]);
    }
    buf_putc(b, '\'');
}

static void put_and(struct buf *b)
{
    if (b->n) buf_puts(b, " AND ");
}

static int put_status(struct buf *b, struct str status, struct err *e)
{
    const char *name = NULL;
    bool blocked = status.n == 7 && strncasecmp(status.p, "blocked", 7) == 0;
    if (blocked || str_eqz(status, "open")) name = "Running";
    for (int i = 1; i < OUTCOME_STATUSES && !name; i++) {
        const char *z = outcome_status_name(i);
        if (strlen(z) == status.n && strncasecmp(z, status.p, status.n) == 0) name = z;
    }
    if (!name)
        return err_set(e, ERR_ARG,
                       "\"" STR_FMT "\" is no status: Running, Completed, Failed, Canceled, "
                       "Terminated, ContinuedAsNew, TimedOut or blocked",
                       STR_ARG(status));
    buf_printf(b, "ExecutionStatus = '%s'%s", name, blocked ? " AND " BLOCKED : "");
    return 0;
}

static int query_of(struct arena *a, const struct filter *f, struct str *out, struct err *e)
{
    struct buf b;
    buf_init(&b, QUERY_MAX);
    int rc = f->status.n ? put_status(&b, f->status, e) : 0;
    if (f->type.n) {
        put_and(&b);
        buf_puts(&b, "WorkflowType = ");
        put_literal(&b, f->type);
    }
    if (f->id_prefix.n) {
        put_and(&b);
        buf_puts(&b, "WorkflowId STARTS_WITH ");
        put_literal(&b, f->id_prefix);
    }
    if (f->query.n) {
        bool more = b.n > 0;
        put_and(&b);
        buf_printf(&b, more ? "(" STR_FMT ")" : STR_FMT, STR_ARG(f->query));
    }
    if (!rc && b.code) rc = err_set(e, b.code, "the query is longer than %d bytes", QUERY_MAX);
    *out = arena_str(a, buf_str(&b));
    buf_free(&b);
    return rc;
}

/* ---- list ---- */
static void ask_page(struct call *c);

static void answer_list(struct call *c, struct str next)
{
    struct list *l = c->state;
    buf_putc(&l->json, ']');
    struct backend_reply r = {.json = buf_str(&l->json), .next_page = next};
    if (l->json.code) err_set(&r.err, l->json.code, "the list is too long: use a limit");
    call_reply(c, &r);
}

static void list_dropped(struct call *c)
{
    buf_free(&((struct list *)c->state)->json);
}

static int read_page(struct call *c, struct str bytes, struct err *e)
{
    struct list *l = c->state;
    Pb__ListWorkflowExecutionsResponse *m;
    int rc =
        call_read(c, &pb__list_workflow_executions_response__descriptor, bytes, NULL, 0, &m, e);
    if (rc) return rc;
    for (size_t i = 0; i < m->n_executions; i++, l->n++) {
        buf_puts(&l->json, l->n ? ",{" : "{");
        client_put_run(&l->json, m->executions[i]);
        buf_putc(&l->json, '}');
    }
    struct str next = client_page_out(call_arena(c), &m->next_page_token);
    if (!next.n || l->n >= l->limit || l->json.code) {
        answer_list(c, next);
        return 0;
    }
    l->page = next;
    ask_page(c);
    return 0;
}

static void ask_page(struct call *c)
{
    struct list *l = c->state;
    struct arena *a = call_turn(c);
    int64_t left = l->limit - l->n;
    Pb__ListWorkflowExecutionsRequest *q =
        bridge_new(a, Pb__ListWorkflowExecutionsRequest, pb__list_workflow_executions_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->page_size = (int32_t)(left < PAGE_MAX ? left : PAGE_MAX);
    q->query = bridge_text(a, l->query);
    if (client_page_in(a, l->page, &q->next_page_token))
        call_fail_later(c, ERR_ARG, "the page is not one that an earlier answer named");
    else
        call_send(c, METHOD("ListWorkflowExecutions"), q, read_page);
}

void client_list(struct backend *b, struct str filter_json, backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "list workflows", (struct str){NULL, 0});
    struct list *l = c ? arena_alloc(&c->arena, sizeof *l) : NULL;
    struct filter f;
    struct err e = {0};
    if (!c) return;
    if (!l) {
        call_fail_later(c, ERR_NOMEM, "out of memory");
        return;
    }
    buf_init(&l->json, JSON_MAX);
    c->state = l;
    c->dropped = list_dropped;
    struct str text = arena_str(&c->arena, filter_json);
    int rc = read_filter(&c->arena, text, &f, &e);
    if (!rc) rc = query_of(&c->arena, &f, &l->query, &e);
    if (rc) {
        call_fail_later(c, rc, "%s", e.text);
        return;
    }
    l->page = f.page;
    l->limit = f.limit;
    buf_putc(&l->json, '[');
    ask_page(c);
}

/* ---- count: by status, then how many of the open ones are blocked ---- */
struct count {
    struct str query;
    struct buf by_status;
    int64_t total;
};

static void count_dropped(struct call *c)
{
    buf_free(&((struct count *)c->state)->by_status);
}

static void ask_count(struct call *c, struct str query, const char *more, call_read_fn read)
{
    struct arena *a = call_turn(c);
    Pb__CountWorkflowExecutionsRequest *q =
        bridge_new(a, Pb__CountWorkflowExecutionsRequest, pb__count_workflow_executions_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->query = bridge_text(a, arena_printf(a, STR_FMT "%s", STR_ARG(query), more));
    call_send(c, METHOD("CountWorkflowExecutions"), q, read);
}

static void answer_count(struct call *c, int64_t blocked)
{
    struct count *x = c->state;
    struct arena *a = call_arena(c);
    struct backend_reply r = {
        .json =
            arena_printf(a, "{\"byStatus\":{" STR_FMT "},\"blocked\":%lld,\"count\":%lld}",
                         STR_ARG(buf_str(&x->by_status)), (long long)blocked, (long long)x->total)};
    call_reply(c, &r);
}

static int read_blocked(struct call *c, struct str bytes, struct err *e)
{
    Pb__CountWorkflowExecutionsResponse *m;
    int rc =
        call_read(c, &pb__count_workflow_executions_response__descriptor, bytes, NULL, 0, &m, e);
    if (!rc) answer_count(c, m->count);
    return rc;
}

/* An old server has no such attribute: it knows of none that is blocked. */
static bool blocked_refused(struct call *c, const struct status *s)
{
    if (s->code != STATUS_INVALID_ARGUMENT) return false;
    answer_count(c, 0);
    return true;
}

static int read_count(struct call *c, struct str bytes, struct err *e)
{
    struct count *x = c->state;
    Pb__CountWorkflowExecutionsResponse *m;
    int rc =
        call_read(c, &pb__count_workflow_executions_response__descriptor, bytes, NULL, 0, &m, e);
    if (rc) return rc;
    x->total = m->count;
    for (size_t i = 0; i < m->n_groups; i++) { /* each value is a status as JSON text */
        if (!m->groups[i]->n_group_values) continue;
        const PbCommon__Payload *name = m->groups[i]->group_values[0];
        buf_printf(&x->by_status, "%s" STR_FMT ":%lld", i ? "," : "",
                   STR_ARG(bridge_str(&name->data)), (long long)m->groups[i]->count);
    }
    c->refused = blocked_refused;
    ask_count(c, x->query, x->query.n ? " AND " BLOCKED : BLOCKED, read_blocked);
    return 0;
}

void client_count(struct backend *b, struct str filter_json, backend_reply_fn fn, void *ud)
{
    struct call *c = call_new(temporal_of(b), fn, ud, "count workflows", (struct str){NULL, 0});
    struct count *x = c ? arena_alloc(&c->arena, sizeof *x) : NULL;
    struct filter f;
    struct err e = {0};
    if (!c) return;
    if (!x) {
        call_fail_later(c, ERR_NOMEM, "out of memory");
        return;
    }
    buf_init(&x->by_status, 65536);
    c->state = x;
    c->dropped = count_dropped;
    struct str text = arena_str(&c->arena, filter_json);
    int rc = read_filter(&c->arena, text, &f, &e);
    if (!rc) rc = query_of(&c->arena, &f, &x->query, &e);
    if (rc)
        call_fail_later(c, rc, "%s", e.text);
    else
        ask_count(c, x->query, " GROUP BY ExecutionStatus", read_count);
}
