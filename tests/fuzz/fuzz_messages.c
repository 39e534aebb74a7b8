/* Replies of a server: any bytes are refused or read, never followed out of their bounds; what is
 * read as a record crosses over and back unchanged. */
#include "history/event.h"
#include "temporal/bridge.h"
#include "temporal/proto/workflowservice.pb-c.h"
#include "temporal/status.h"
#include <stdlib.h>

static void read_task(struct arena *a, struct str bytes)
{
    struct bridge_part parts[] = {{.tag = 8, .type = &rec_type_history},
                                  {.tag = 15, .type = &rec_type_protocol_message},
                                  {.tag = 14, .type = NULL}};
    void *m;
    struct err e;
    if (bridge_read(a, &pb__poll_workflow_task_queue_response__descriptor, bytes, parts, 3, &m, &e))
        return;
    if (!bridge_pack(a, m).p) abort();
}

static void read_history(struct arena *a, struct str bytes)
{
    PbHistory__History *m;
    struct rec *r, *again;
    struct err e;
    if (bridge_read(a, &pb_history__history__descriptor, bytes, NULL, 0, &m, &e)) return;
    if (bridge_record(a, m, &rec_type_history, &r, &e)) return;
    struct str out = bridge_pack(a, bridge_message(a, &pb_history__history__descriptor, r));
    if (!out.p || rec_decode(a, &rec_type_history, out, &again, &e)) abort();
    struct str twice = bridge_pack(a, bridge_message(a, &pb_history__history__descriptor, again));
    if (!str_eq(out, twice)) abort();
}

static void read_status(struct arena *a, struct str bytes)
{
    struct status s;
    struct err e;
    if (status_read(a, bytes.n ? (unsigned char)bytes.p[0] % 18 : 3, STR("text"), bytes, &s))
        abort();
    status_err(&s, "ask", STR("ns"), &e);
}

/* What a client reads: packed again it stays as it is. */
static void read_reply(struct arena *a, struct str bytes)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &pb__poll_activity_task_queue_response__descriptor,
        &pb__respond_workflow_task_completed_response__descriptor,
        &pb__describe_workflow_execution_response__descriptor,
        &pb__list_workflow_executions_response__descriptor,
        &pb__get_workflow_execution_history_response__descriptor,
        &pb__query_workflow_response__descriptor,
        &pb__update_workflow_execution_response__descriptor,
        &pb__poll_workflow_execution_update_response__descriptor,
        &pb__describe_schedule_response__descriptor,
        &pb__list_schedules_response__descriptor,
        &pb__describe_worker_deployment_response__descriptor,
        &pb__describe_namespace_response__descriptor,
        &pb__get_system_info_response__descriptor};
    void *m, *again;
    struct err e;
    const ProtobufCMessageDescriptor *d =
        types[bytes.n ? (unsigned char)bytes.p[0] % (sizeof types / sizeof *types) : 0];
    if (bytes.n) bytes = str_make(bytes.p + 1, bytes.n - 1);
    if (bridge_read(a, d, bytes, NULL, 0, &m, &e)) {
        if (!e.text[0]) abort();
        return;
    }
    struct str once = bridge_pack(a, m);
    if (!once.p || bridge_read(a, d, once, NULL, 0, &again, &e)) abort();
    if (!str_eq(once, bridge_pack(a, again))) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena a;
    if (n < 1) return 0;
    arena_init(&a, (size_t)256 << 20);
    struct str bytes = arena_str(&a, str_make(data + 1, n - 1));
    if (n == 1) bytes = STR("");
    switch (data[0] % 4) {
    case 0:
        read_task(&a, bytes);
        break;
    case 1:
        read_history(&a, bytes);
        break;
    case 2:
        read_status(&a, bytes);
        break;
    default:
        read_reply(&a, bytes);
        break;
    }
    arena_free(&a);
    return 0;
}
