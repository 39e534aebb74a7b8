/* Words shared by both engines and the replayer: events, commands, payloads, failures, retry
 * policies. Pure. */
#ifndef ML_HISTORY_EVENT_H
#define ML_HISTORY_EVENT_H
#include "history/rec.h"

/* ---- events ---- */
/* A new event with id, time and type set; *attrs gets its (new) attribute message, NULL for types
 * without one. */
struct rec *event_new(struct arena *a, int64_t id, int64_t time_ns, int type, struct rec **attrs);
static inline int64_t event_id(const struct rec *ev)
{
    return rec_int(ev, T(history_event, event_id));
}
static inline int event_type(const struct rec *ev)
{
    return (int)rec_int(ev, T(history_event, event_type));
}
static inline int64_t event_time(const struct rec *ev)
{
    return rec_int(ev, T(history_event, event_time));
}
const struct rec *event_attrs(const struct rec *ev); /* the attribute message, or NULL */
const char *event_name(int type);                    /* "ActivityTaskScheduled"; "Unknown" */
bool event_is_command(int type);  /* made by one command: follows WorkflowTaskCompleted */
bool event_is_terminal(int type); /* closes the run */
bool event_is_ignorable(
    const struct rec *ev); /* worker_may_ignore or a type known to be skippable */

/* ---- outcomes: of the event that closes a run ---- */
/* The run that goes on in its place (continue-as-new, retry, cron); absent when none does. */
struct str outcome_next_run(const struct rec *ev);
/* The result (a `payloads` message) or the failure, made for ends that have none of their own
 * (cancelled, timed out, terminated). Left alone when there is neither. */
void outcome_read(struct arena *a, const struct rec *ev, const struct rec **result,
                  const struct rec **failure);

/* "Completed"; "Unknown" for a number that is none. Numbers as in Temporal's API, from 1. */
#define OUTCOME_STATUSES 8
const char *outcome_status_name(int status);

/* ---- commands ---- */
struct rec *command_new(struct arena *a, int type, struct rec **attrs);
static inline int command_type(const struct rec *c)
{
    return (int)rec_int(c, T(command, command_type));
}
const struct rec *command_attrs(const struct rec *c);
const char *command_name(int type); /* "ScheduleActivityTask" */
int command_event_type(
    int command_type); /* the event type that records it; 0 for a protocol message */
bool command_is_terminal(int type);

/* ---- payloads ---- */
#define PAYLOAD_NULL "binary/null"
#define PAYLOAD_PLAIN "binary/plain"
#define PAYLOAD_JSON "json/plain"
#define PAYLOAD_REF                                                                                \
    "moonloop/ref" /* data stored elsewhere; metadata "digest" = hex SHA-256 of the data it stands \
                      for, "of" = its encoding */
struct rec *payload_new(struct arena *a, const char *encoding, struct str data);
struct str payload_encoding(const struct rec *p); /* absent when there is no metadata */
static inline struct str payload_data(const struct rec *p)
{
    return rec_str(p, T(payload, data));
}
/* Adds one payload to a `payloads` message. */
void payloads_add(struct rec *payloads, struct rec *payload);
struct rec *
payloads_of_json(struct arena *a,
                 struct str json); /* a `payloads` message holding one json/plain value */
/* SHA-256 over the encodings and digests of all payloads; the same for a PAYLOAD_REF and what it
 * stands for. NULL is the empty list. */
void payloads_digest(const struct rec *payloads, uint8_t out[32]);
/* Whether their digests are the same, mostly without making them. */
bool payloads_same(const struct rec *a, const struct rec *b);

/* ---- failures ---- */
/* An ApplicationFailure. details may be NULL (a `payloads` message), cause may be NULL. */
struct rec *failure_app(struct arena *a, struct str type, struct str message, bool non_retryable,
                        struct rec *details, struct rec *cause);
struct rec *failure_timeout(struct arena *a, int timeout_type, struct str message,
                            struct rec *last_heartbeat, struct rec *cause);
struct rec *failure_canceled(struct arena *a, struct str message, struct rec *details);
struct rec *failure_activity(struct arena *a, int64_t scheduled_id, int64_t started_id,
                             struct str activity_type, struct str activity_id, int retry_state,
                             struct str identity, struct rec *cause);
struct rec *failure_child(struct arena *a, struct str workflow_id, struct str run_id,
                          struct str workflow_type, int64_t initiated_id, int64_t started_id,
                          int retry_state, struct rec *cause);
bool failure_is_canceled(
    const struct rec *f); /* itself, or an activity/child failure whose cause is */
bool failure_retryable(const struct rec *f,
                       const struct rec *retry_policy); /* non_retryable flag and listed types (type
                                                           or a timeout/canceled kind) */
struct str failure_type(const struct rec *f);           /* "AssetMissing", "Timeout", "Canceled",
                                                           "ActivityFailure", "ChildWorkflowFailure", ... */

/* ---- retry ---- */
/* Delay before attempt `next_attempt` (2..) by policy: initial x coefficient^(n-2), capped;
 * defaults of Temporal (1 s, x2, 100 x initial, unlimited). Returns -1 when no attempt may follow.
 * `override_ns` > 0 replaces the delay. */
int64_t retry_delay(const struct rec *policy, int next_attempt, int64_t override_ns);
/* A first wait longer than the longest becomes the longest: the same delays, and a Temporal server
 * refuses a policy that says it the other way. */
void retry_settle(struct rec *policy);

/* ---- batches of stored events: version byte, then a wire-encoded `history` message ---- */
#define HISTORY_BLOB_VERSION 1
int history_blob_encode(struct rec *const *events, size_t n, struct buf *out);
int history_blob_decode(struct arena *a, struct str blob, struct rec ***events, size_t *n,
                        struct err *e); /* slices borrow from blob */
/* Whole history <-> Temporal's JSON ({"events":[...]}); from_json also accepts a bare array and an
 * array of one history. */
int history_to_json(struct rec *const *events, size_t n, struct buf *out, bool pretty);
int history_from_json(struct arena *a, struct str text, struct rec ***events, size_t *n,
                      struct err *e);

#endif
