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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena a;
    if (n < 1) return 0;
    arena_init(&a, (size_t)256 << 20);
    struct str bytes = arena_str(&a, str_make(data + 1, n - 1));
    if (n == 1) bytes = STR("");
    switch (data[0] % 3) {
    case 0:
        read_task(&a, bytes);
        break;
    case 1:
        read_history(&a, bytes);
        break;
    default:
        read_status(&a, bytes);
        break;
    }
    arena_free(&a);
    return 0;
}
