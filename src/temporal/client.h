/* What a Temporal server offers to clients beyond the port (backend.h). All are asked of the
 * backend that temporal_open makes, and answered as the port's requests are: later, once. */
#ifndef ML_TEMPORAL_CLIENT_H
#define ML_TEMPORAL_CLIENT_H
#include "backend.h"

/* ---- update with start ---- */
/* Starts the workflow (or uses the open run, by s->on_open) and updates it in one request; asking
 * again with the same request id and update id is harmless. Answer as update's, with run_id. */
void client_update_with_start(struct backend *b, const struct backend_start *s,
                              struct str update_id, struct str name, const struct rec *args,
                              enum backend_update_stage wait, backend_reply_fn fn, void *ud);

/* ---- schedules: records in and JSON out, both in Temporal's own form (schedule.v1) ---- */
/* `schedule` is a rec_type_schedule, `patch` a rec_type_schedule_patch (may be NULL: what to do at
 * once). */
void client_schedule_create(struct backend *b, struct str id, const struct rec *schedule,
                            const struct rec *patch, const struct rec *memo,
                            const struct rec *search_attributes, struct str request_id,
                            backend_reply_fn fn, void *ud);
/* json: {scheduleId, schedule, info, memo, searchAttributes} */
void client_schedule_describe(struct backend *b, struct str id, backend_reply_fn fn, void *ud);
/* Reads the schedule, lets `edit` change it (0, or its error ends the request) and writes it back;
 * when somebody else changed it in between, all of it is done again. `done` gets ud when edit is
 * not called any more; may be NULL. */
typedef int (*client_edit_fn)(void *ud, struct arena *a, struct rec *schedule, struct err *e);
void client_schedule_update(struct backend *b, struct str id, client_edit_fn edit, void *edit_ud,
                            backend_reply_fn fn, void *ud);
/* Pause, unpause, trigger, backfill: as `patch` says. */
void client_schedule_patch(struct backend *b, struct str id, const struct rec *patch,
                           struct str request_id, backend_reply_fn fn, void *ud);
void client_schedule_delete(struct backend *b, struct str id, backend_reply_fn fn, void *ud);
/* json: an array of {scheduleId, memo, searchAttributes, info}; next_page when there are more. */
void client_schedule_list(struct backend *b, struct str query, int limit, struct str page,
                          backend_reply_fn fn, void *ud);

/* ---- worker deployments, namespace, search attributes: JSON out, in Temporal's own form ---- */
void client_deployment_describe(struct backend *b, struct str name, backend_reply_fn fn, void *ud);
void client_deployment_list(struct backend *b, struct str page, backend_reply_fn fn, void *ud);
/* New and auto-upgrading runs go to this build from now on; an empty build id: to unversioned
 * workers. `force`: also when the build has no pollers, or misses task queues of the current one.
 */
void client_deployment_set_current(struct backend *b, struct str name, struct str build_id,
                                   bool force, backend_reply_fn fn, void *ud);
void client_namespace_describe(struct backend *b, backend_reply_fn fn, void *ud);
/* json: {"Name": "Keyword", ...}, the custom ones and those of the system */
void client_attributes_list(struct backend *b, backend_reply_fn fn, void *ud);
/* `type`: Keyword, KeywordList, Text, Int, Double, Bool, Datetime */
void client_attributes_add(struct backend *b, struct str name, struct str type, backend_reply_fn fn,
                           void *ud);

#endif
