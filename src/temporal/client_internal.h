/* What the files of the client half share. */
#ifndef ML_TEMPORAL_CLIENT_INTERNAL_H
#define ML_TEMPORAL_CLIENT_INTERNAL_H
#include "base/buf.h"
#include "history/event.h"
#include "temporal/call.h"
#include "temporal/client.h"
#include "temporal/proto/workflowservice.pb-c.h"

/* client_start.c */
Pb__StartWorkflowExecutionRequest *client_start_request(struct call *c, struct arena *a,
                                                        const struct backend_start *s);
bool client_start_refused(struct call *c, const struct status *s);
/* client_read.c */
void client_describe_send(struct call *c, const struct backend_target *t, call_read_fn read);
void client_put_run(struct buf *b, const PbWorkflow__WorkflowExecutionInfo *i);
struct str client_page_out(struct arena *a,
                           const ProtobufCBinaryData *token); /* absent: the last */
int client_page_in(struct arena *a, struct str page, ProtobufCBinaryData *token);
/* schedule.c: answers with the reply as JSON, in the form of Temporal's API. */
int client_reply_json(struct call *c, const struct rec_type *t, struct str bytes, struct err *e);

#endif
