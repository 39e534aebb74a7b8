/* Makes histories tersely, for tests of the replayer. Every function appends one event (some a few)
 * and returns the id of the last one; time goes on by a second with each workflow task. */
#ifndef ML_TESTS_WF_HISTORY_H
#define ML_TESTS_WF_HISTORY_H
#include "base/clock.h"
#include "history/event.h"

#define H_MAX 16384
#define H_EPOCH INT64_C(1772323200000000000) /* 2026-03-01T00:00:00Z */
struct hist {
    struct arena a;
    struct rec *ev[H_MAX];
    size_t n;
    int64_t now, scheduled, started;
    const char *digest; /* build id of completed tasks; NULL: none */
};
void h_init(struct hist *h);
void h_free(struct hist *h);
struct rec *h_add(struct hist *h, int type, struct rec **attrs);
struct rec *h_json(struct hist *h, const char *json); /* a `payloads` message; NULL for NULL */

int64_t h_begin(struct hist *h, const char *type, const char *input); /* WorkflowExecutionStarted */
int64_t h_task(struct hist *h);                                       /* scheduled, started */
int64_t h_done(struct hist *h); /* completed, of the last start */
int64_t h_full(struct hist *h); /* scheduled, started, completed */
int64_t h_task_failed(struct hist *h, int cause, const char *new_run_id);
int64_t h_task_timed_out(struct hist *h);
int64_t h_timer(struct hist *h, const char *id);
int64_t h_timer_fired(struct hist *h, int64_t started, const char *id);
int64_t h_timer_canceled(struct hist *h, int64_t started, const char *id);
int64_t h_activity(struct hist *h, const char *id, const char *type, const char *input);
int64_t h_activity_cancel(struct hist *h, int64_t scheduled);
int64_t h_activity_completed(struct hist *h, int64_t scheduled,
                             const char *result); /* with its ActivityTaskStarted */
int64_t h_activity_failed(struct hist *h, int64_t scheduled, const char *type, const char *message);
int64_t h_activity_timed_out(struct hist *h, int64_t scheduled);
int64_t h_activity_canceled(struct hist *h, int64_t scheduled);
int64_t h_signal(struct hist *h, const char *name, const char *input);
int64_t h_cancel_requested(struct hist *h);
int64_t h_child(struct hist *h, const char *id, const char *type);
int64_t h_child_started(struct hist *h, int64_t initiated, const char *id, const char *run_id);
int64_t h_child_start_failed(struct hist *h, int64_t initiated);
int64_t h_child_completed(struct hist *h, int64_t initiated, const char *result);
int64_t h_child_failed(struct hist *h, int64_t initiated);
int64_t h_child_canceled(struct hist *h, int64_t initiated);
int64_t h_child_terminated(struct hist *h, int64_t initiated);
int64_t h_cancel_external(struct hist *h, const char *workflow_id);
int64_t h_external_canceled(struct hist *h, int64_t initiated);
int64_t h_signal_external(struct hist *h, const char *workflow_id, const char *name);
int64_t h_external_signaled(struct hist *h, int64_t initiated);
int64_t h_signal_external_failed(struct hist *h, int64_t initiated);
int64_t h_patch(struct hist *h, const char *id, bool deprecated, bool upsert);
int64_t h_local(struct hist *h, int seq, const char *type, const char *result, const char *failure,
                int backoff_s);
int64_t h_side_effect(struct hist *h, int id, const char *json);
int64_t h_update_accepted(struct hist *h, const char *id, const char *name, const char *args);
int64_t h_update_completed(struct hist *h, const char *id, int64_t accepted);
int64_t h_end(struct hist *h, int type); /* a terminal event */
struct rec *h_update_message(struct hist *h, const char *id, const char *name, const char *args);

#endif
