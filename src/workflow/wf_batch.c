/* Cuts a history into batches: the events that one completed (or the live) workflow task handled.
 *
 * A batch ends at a WorkflowTaskStarted that is followed by its WorkflowTaskCompleted, or that is
 * the live task's. Starts that failed or timed out end nothing; their events fold into the next
 * batch. Nothing is guessed about heartbeats: a batch that brings no jobs runs no code, neither
 * live nor on replay. */
#include "workflow/wf_machine.h"

/* What became of the WorkflowTaskStarted at `i`: true when a WorkflowTaskCompleted answers it. */
static bool start_completed(const struct rec *const *events, size_t n, size_t i)
{
    for (size_t j = i + 1; j < n; j++) {
        switch (event_type(events[j])) {
        case EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            return true;
        case EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
        case EVENT_TYPE_WORKFLOW_TASK_STARTED:
        case EVENT_TYPE_WORKFLOW_TASK_FAILED:
        case EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
            return false;
        default:
            if (event_is_terminal(event_type(events[j]))) return false;
        }
    }
    return false;
}

/* The batch that begins at `at`. live_id: the WorkflowTaskStarted of the live task, 0 for none;
 * events behind it are not looked at. out->found is false when what is left is no batch (the tail).
 */
int wf_batch_next(const struct rec *const *events, size_t n, size_t at, int64_t live_id,
                  struct wf_batch *out)
{
    *out = (struct wf_batch){.from = at, .to = n};
    for (size_t i = at; i < n; i++) {
        if (event_type(events[i]) != EVENT_TYPE_WORKFLOW_TASK_STARTED) continue;
        bool live = live_id != 0 && event_id(events[i]) == live_id;
        if (live || start_completed(events, n, i)) {
            *out = (struct wf_batch){.from = at, .to = i + 1, .completed = !live, .found = true};
            return 0;
        }
    }
    return 0;
}

/* Where the command events of the batch that ends before `to` begin (behind its
 * WorkflowTaskCompleted); *end is where the next WorkflowTaskStarted is. Events of other kinds may
 * stand between. */
size_t wf_batch_lookahead(const struct rec *const *events, size_t n, size_t to, size_t *end)
{
    size_t i = to;
    while (i < n && event_type(events[i]) != EVENT_TYPE_WORKFLOW_TASK_COMPLETED &&
           event_type(events[i]) != EVENT_TYPE_WORKFLOW_TASK_STARTED)
        i++;
    if (i == n || event_type(events[i]) != EVENT_TYPE_WORKFLOW_TASK_COMPLETED) {
        *end = i;
        return i;
    }
    size_t from = ++i;
    while (i < n && event_type(events[i]) != EVENT_TYPE_WORKFLOW_TASK_STARTED)
        i++;
    *end = i;
    return from;
}

int wf_split(const struct rec *const *events, size_t n,
             void (*each)(void *ud, size_t from, size_t to, bool completed), void *ud,
             struct err *e)
{
    for (size_t i = 1; i < n; i++) {
        if (event_id(events[i]) != event_id(events[i - 1]) + 1)
            return err_set(e, ERR_PROTO, "event %lld follows event %lld",
                           (long long)event_id(events[i]), (long long)event_id(events[i - 1]));
    }
    size_t at = 0;
    while (at < n) {
        struct wf_batch b;
        wf_batch_next(events, n, at, 0, &b);
        each(ud, b.from, b.to, b.completed);
        at = b.to;
    }
    return 0;
}
