/* The client half of the port as a program, for tests: one JSON request a line on standard input,
 * one JSON answer a line on standard output, in the order of the requests' ends.
 *
 *   client_driver ADDRESS NAMESPACE
 *   {"n":1,"op":"signal","id":"w-1","name":"go","input":[1]}   ->   {"n":1,"code":0,...} */
#include "base/mem.h"
#include "history/event.h"
#include "history/json_scan.h"
#include "temporal/client.h"
#include "temporal/temporal.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct loop *loop;
static struct backend *b;
static struct arena arena;
static int open_requests;
static bool input_over;

/* ---- arguments ---- */
static const char *text(const cJSON *j, const char *key)
{
    const char *z = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, key));
    return z ? z : "";
}

static struct str view(const cJSON *j, const char *key)
{
    const char *z = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, key));
    return arena_str(&arena, str_of(z));
}

static int64_t number(const cJSON *j, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
    return cJSON_IsNumber(v) ? (int64_t)v->valuedouble : 0;
}

static struct rec *payload_of(const cJSON *v)
{
    char *z = cJSON_PrintUnformatted(v);
    struct rec *p = payload_new(&arena, PAYLOAD_JSON, arena_str(&arena, str_of(z)));
    cJSON_free(z);
    return p;
}

/* A list of values as payloads; NULL when absent. */
static struct rec *payloads(const cJSON *j, const char *key)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(j, key), *v;
    if (!cJSON_IsArray(list)) return NULL;
    struct rec *out = rec_new(&arena, &rec_type_payloads);
    cJSON_ArrayForEach(v, list) payloads_add(out, payload_of(v));
    return out;
}

static struct rec *payload_map(const struct rec_type *t, const cJSON *j, const char *key)
{
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(j, key), *v;
    if (!cJSON_IsObject(o)) return NULL;
    struct rec *out = rec_new(&arena, t);
    cJSON_ArrayForEach(v, o)
    {
        struct rec *p = rec_map_set(out, 1, arena_str(&arena, str_of(v->string))),
                   *from = payload_of(v);
        rec_map_set_str(p, T(payload, metadata), STR("encoding"), STR(PAYLOAD_JSON));
        rec_set_str(p, T(payload, data), payload_data(from));
    }
    return out;
}

/* A record in Temporal's JSON form. */
static struct rec *record(const struct rec_type *t, const cJSON *j, const char *key)
{
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(j, key);
    if (!cJSON_IsObject(o)) return NULL;
    char *z = cJSON_PrintUnformatted(o);
    struct rec *out = NULL;
    struct err e = {0};
    if (rec_from_json(&arena, t, arena_str(&arena, str_of(z)), &out, &e)) {
        fprintf(stderr, "%s: %s\n", key, e.text);
        exit(2);
    }
    cJSON_free(z);
    return out;
}

/* ---- answers ---- */
static void put_record(struct buf *o, const char *key, const struct rec *r)
{
    if (!r) return;
    buf_printf(o, ",\"%s\":", key);
    rec_to_json(r, o, false);
}

static void put_values(struct buf *o, const struct rec *result)
{
    bool first = true;
    if (!result) return;
    buf_puts(o, ",\"result\":[");
    for (const struct rec_field *f = NULL; (f = rec_each(result, T(payloads, payloads), f));) {
        struct str data = payload_data(f->v.m);
        buf_puts(o, first ? "" : ",");
        buf_putstr(o, str_eqz(payload_encoding(f->v.m), PAYLOAD_JSON) ? data : STR("null"));
        first = false;
    }
    buf_putc(o, ']');
}

static void say(struct buf *o)
{
    buf_puts(o, "}\n");
    fwrite(o->p, 1, o->n, stdout);
    fflush(stdout);
    buf_free(o);
    open_requests--;
}

static void put_error(struct buf *o, const void *ud, const struct err *e)
{
    buf_init(o, 256u << 20);
    buf_printf(o, "{\"n\":%d,\"code\":%d,\"text\":", (int)(intptr_t)ud, e->code);
    buf_put_json(o, str_of(e->text));
}

static void on_reply(void *ud, const struct backend_reply *r)
{
    struct buf o;
    put_error(&o, ud, &r->err);
    buf_puts(&o, ",\"runId\":");
    buf_put_json(&o, r->run_id.p ? r->run_id : STR(""));
    buf_printf(&o, ",\"existing\":%s,\"status\":\"%s\"", r->existing ? "true" : "false",
               r->status ? outcome_status_name((int)r->status) : "");
    put_values(&o, r->result);
    put_record(&o, "failure", r->failure);
    if (r->json.n) buf_printf(&o, ",\"json\":" STR_FMT, STR_ARG(r->json));
    if (r->events) {
        buf_puts(&o, ",\"history\":");
        history_to_json(r->events, r->n_events, &o, false);
    }
    if (r->next_page.n) {
        buf_puts(&o, ",\"page\":");
        buf_put_json(&o, r->next_page);
    }
    say(&o);
}

static void on_answer(void *ud, const struct backend_answer *a)
{
    struct buf o;
    put_error(&o, ud, &a->err);
    buf_printf(&o, ",\"kind\":%d,\"cancel\":%s,\"reason\":%d", (int)a->kind,
               a->cancel_requested ? "true" : "false", (int)a->cancel_reason);
    say(&o);
}

/* ---- requests ---- */
static struct backend_start start_of(const cJSON *j)
{
    return (struct backend_start){
        .request_id = view(j, "requestId"),
        .workflow_id = view(j, "id"),
        .workflow_type = view(j, "type"),
        .task_queue = view(j, "queue"),
        .input = payloads(j, "input"),
        .memo = payload_map(&rec_type_memo, j, "memo"),
        .search_attributes = payload_map(&rec_type_search_attributes, j, "attributes"),
        .retry_policy = record(&rec_type_retry_policy, j, "retry"),
        .user_metadata = record(&rec_type_user_metadata, j, "userMetadata"),
        .priority = record(&rec_type_priority, j, "priority"),
        .versioning_override = record(&rec_type_versioning_override, j, "versioning"),
        .execution_timeout_ns = number(j, "executionTimeoutMs") * NS_PER_MS,
        .run_timeout_ns = number(j, "runTimeoutMs") * NS_PER_MS,
        .task_timeout_ns = number(j, "taskTimeoutMs") * NS_PER_MS,
        .start_delay_ns = number(j, "startDelayMs") * NS_PER_MS,
        .cron = view(j, "cron"),
        .on_open = (enum backend_id_conflict)number(j, "onOpen"),
        .on_closed = (enum backend_id_reuse)number(j, "onClosed"),
        .signal_name = view(j, "signal"),
        .signal_input = payloads(j, "signalInput")};
}

static enum backend_update_stage stage_of(const cJSON *j)
{
    return cJSON_IsTrue(cJSON_GetObjectItem(j, "wait")) ? UPDATE_COMPLETED : UPDATE_ACCEPTED;
}

static bool run_op(const char *op, const cJSON *j, void *n)
{
    struct backend_target t = {view(j, "id"), view(j, "runId")};
    struct str rid = view(j, "requestId"), name = view(j, "name"), reason = view(j, "reason");
    if (strcmp(op, "start") == 0) {
        struct backend_start s = start_of(j);
        b->ops->start(b, &s, on_reply, n);
    } else if (strcmp(op, "signal") == 0) {
        b->ops->signal(b, &t, rid, name, payloads(j, "input"), NULL, (struct str){0}, on_reply, n);
    } else if (strcmp(op, "query") == 0) {
        b->ops->query(b, &t, name, payloads(j, "args"), on_reply, n);
    } else if (strcmp(op, "update") == 0) {
        b->ops->update(b, &t, view(j, "updateId"), name, payloads(j, "args"), stage_of(j), on_reply,
                       n);
    } else if (strcmp(op, "update_with_start") == 0) {
        struct backend_start s = start_of(j);
        client_update_with_start(b, &s, view(j, "updateId"), name, payloads(j, "args"), stage_of(j),
                                 on_reply, n);
    } else if (strcmp(op, "cancel") == 0) {
        b->ops->cancel(b, &t, rid, reason, on_reply, n);
    } else if (strcmp(op, "terminate") == 0) {
        b->ops->terminate(b, &t, reason, on_reply, n);
    } else if (strcmp(op, "reset") == 0) {
        b->ops->reset(b, &t, number(j, "event"), rid, reason, on_reply, n);
    } else if (strcmp(op, "delete") == 0) {
        b->ops->delete_run(b, &t, on_reply, n);
    } else if (strcmp(op, "result") == 0) {
        b->ops->result(b, &t, cJSON_IsTrue(cJSON_GetObjectItem(j, "wait")), on_reply, n);
    } else if (strcmp(op, "describe") == 0) {
        b->ops->describe(b, &t, on_reply, n);
    } else if (strcmp(op, "list") == 0 || strcmp(op, "count") == 0) {
        char *filter = cJSON_PrintUnformatted(cJSON_GetObjectItem(j, "filter"));
        (op[0] == 'l' ? b->ops->list : b->ops->count)(b, arena_str(&arena, str_of(filter)),
                                                      on_reply, n);
        cJSON_free(filter);
    } else if (strcmp(op, "history") == 0) {
        b->ops->fetch_history(b, &t, true, view(j, "page"), on_reply, n);
    } else {
        return false;
    }
    return true;
}

static struct backend_activity_completion completion_of(const cJSON *j)
{
    const char *kind = text(j, "kind");
    struct backend_activity_completion c = {.kind = ACT_COMPLETED};
    c.result = payloads(j, "result");
    c.details = payloads(j, "details");
    if (strcmp(kind, "failed") == 0) {
        c.kind = ACT_FAILED;
        c.failure = failure_app(&arena, STR("Outside"), view(j, "message"), true, NULL, NULL);
    } else if (strcmp(kind, "canceled") == 0) {
        c.kind = ACT_CANCELED;
    }
    return c;
}

static bool run_activity_op(const char *op, const cJSON *j, void *n)
{
    struct backend_target t = {view(j, "id"), view(j, "runId")};
    struct str token = view(j, "token"), activity = view(j, "activity");
    struct backend_activity_completion c = completion_of(j);
    if (strcmp(op, "complete") == 0 && token.n)
        b->ops->complete_activity(b, token, &c, on_answer, n);
    else if (strcmp(op, "complete") == 0)
        b->ops->complete_activity_by_id(b, &t, activity, &c, on_answer, n);
    else if (strcmp(op, "heartbeat") == 0 && token.n)
        b->ops->heartbeat(b, token, payloads(j, "details"), on_answer, n);
    else if (strcmp(op, "heartbeat") == 0)
        b->ops->heartbeat_by_id(b, &t, activity, payloads(j, "details"), on_answer, n);
    else
        return false;
    return true;
}

/* Sets the schedule's note; with "slow" another writer's change comes in between the first time. */
struct note {
    char *text;
    int n;
};
static int set_note(void *ud, struct arena *a, struct rec *schedule, struct err *e)
{
    struct note *x = ud;
    (void)e;
    rec_set_str(rec_sub(schedule, T(schedule, state)), T(schedule_state, notes),
                arena_str(a, str_of(x->text)));
    x->n++;
    return 0;
}

static bool run_schedule_op(const char *op, const cJSON *j, void *n)
{
    struct str id = view(j, "id");
    static struct note note;
    if (strcmp(op, "schedule_create") == 0) {
        client_schedule_create(b, id, record(&rec_type_schedule, j, "schedule"),
                               record(&rec_type_schedule_patch, j, "patch"),
                               payload_map(&rec_type_memo, j, "memo"), NULL, view(j, "requestId"),
                               on_reply, n);
    } else if (strcmp(op, "schedule_describe") == 0) {
        client_schedule_describe(b, id, on_reply, n);
    } else if (strcmp(op, "schedule_list") == 0) {
        client_schedule_list(b, view(j, "query"), (int)number(j, "limit"), view(j, "page"),
                             on_reply, n);
    } else if (strcmp(op, "schedule_update") == 0) {
        note.text = (char *)(uintptr_t)view(j, "note").p;
        client_schedule_update(b, id, set_note, &note, on_reply, n);
    } else if (strcmp(op, "schedule_patch") == 0) {
        client_schedule_patch(b, id, record(&rec_type_schedule_patch, j, "patch"),
                              view(j, "requestId"), on_reply, n);
    } else if (strcmp(op, "schedule_delete") == 0) {
        client_schedule_delete(b, id, on_reply, n);
    } else {
        return false;
    }
    return true;
}

static bool run_operator_op(const char *op, const cJSON *j, void *n)
{
    if (strcmp(op, "deployment_describe") == 0)
        client_deployment_describe(b, view(j, "name"), on_reply, n);
    else if (strcmp(op, "deployment_list") == 0)
        client_deployment_list(b, view(j, "page"), on_reply, n);
    else if (strcmp(op, "deployment_set_current") == 0)
        client_deployment_set_current(b, view(j, "name"), view(j, "build"),
                                      cJSON_IsTrue(cJSON_GetObjectItem(j, "force")), on_reply, n);
    else if (strcmp(op, "namespace") == 0)
        client_namespace_describe(b, on_reply, n);
    else if (strcmp(op, "attributes") == 0)
        client_attributes_list(b, on_reply, n);
    else if (strcmp(op, "attributes_add") == 0)
        client_attributes_add(b, view(j, "name"), view(j, "type"), on_reply, n);
    else
        return false;
    return true;
}

static void run_line(const char *line, size_t n)
{
    cJSON *j = cJSON_ParseWithLength(line, n);
    const char *op = text(j, "op");
    void *ud = (void *)(intptr_t)number(j, "n");
    open_requests++;
    if (!run_op(op, j, ud) && !run_activity_op(op, j, ud) && !run_schedule_op(op, j, ud) &&
        !run_operator_op(op, j, ud)) {
        fprintf(stderr, "no request \"%s\"\n", op);
        exit(2);
    }
    cJSON_Delete(j);
}

static void on_input(void *ud, int events, int error)
{
    static struct buf in = {.max = 16u << 20};
    char chunk[65536];
    (void)ud, (void)events, (void)error;
    ssize_t n = read(0, chunk, sizeof chunk);
    if (n <= 0) {
        input_over = true;
        return;
    }
    buf_put(&in, chunk, (size_t)n);
    for (char *end; in.n && (end = memchr(in.p, '\n', in.n));) {
        size_t line = (size_t)(end - in.p);
        run_line(in.p, line);
        memmove(in.p, end + 1, in.n - line - 1);
        in.n -= line + 1;
    }
}

static void on_shut(void *ud)
{
    *(bool *)ud = true;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct settings s;
    struct loop_io *io;
    bool shut = false;
    if (argc < 3) return 2;
    struct settings_flags flags = {.address = str_of(argv[1]), .ns = str_of(argv[2])};
    char *const none[] = {NULL};
    if (settings_read(&flags, none, &s, &e) || loop_open(&clock_system, &loop, &e) ||
        temporal_open(&(struct temporal_options){.loop = loop,
                                                 .settings = &s,
                                                 .identity = STR("client_driver"),
                                                 .client_only = true},
                      &b, &e)) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    settings_free(&s);
    loop_io_open(loop, 0, on_input, NULL, &io);
    loop_io_want(io, LOOP_READ);
    while (!input_over)
        loop_turn(loop, -1);
    loop_io_close(io);
    b->ops->shutdown(b, on_shut, &shut);
    while (!shut)
        loop_turn(loop, -1);
    temporal_close(b);
    loop_close(loop);
    arena_free(&arena);
    return open_requests == 0 ? 0 : 1;
}
