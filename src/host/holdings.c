/* What a host holds: the worker's part and that of the connection to a server. */
#include "host/host_internal.h"
#include "temporal/temporal.h"

void ml_holds(ml_host *h, ml_holdings *out)
{
    struct worker_usage u = {0};
    struct temporal_usage t = {0};
    if (h->worker) worker_usage(h->worker, &u);
    if (h->remote) temporal_usage(h->remote, &t);
    *out = (ml_holdings){.runs = u.runs,
                         .run_bytes = u.run_bytes,
                         .tasks = u.tasks,
                         .activities = u.activities,
                         .locals = u.locals,
                         .coroutines = u.coroutines,
                         .tasks_ended = u.tasks_ended,
                         .attempts_ended = u.attempts_ended,
                         .workflow_slots = t.workflow_slots,
                         .activity_slots = t.activity_slots,
                         .polls = t.polls,
                         .requests = t.requests,
                         .streams = t.streams,
                         .connections = t.connections};
}
