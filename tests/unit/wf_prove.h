/* Proves a program against a history that it made: (1) replaying it finds no difference, (2) every
 * prefix that ends in a task which was completed gives exactly the commands that were recorded, on
 * a fresh run and on one kept over all tasks. Local activities are answered and updates sent as the
 * history tells. */
#ifndef ML_TESTS_WF_PROVE_H
#define ML_TESTS_WF_PROVE_H
#include "wf_history.h"
#include "workflow/workflow.h"

extern const char *prove_name;
extern uint64_t prove_budget; /* instructions of each call; 0: plenty */
typedef struct wf_run *(*prove_open)(void *ud);
void prove_history(struct hist *h, prove_open open, void *ud, uint64_t budget);

const struct rec *const *events(const struct hist *h, size_t from);
const struct wf_out *
go(struct wf_run *r,
   const struct wf_task *t); /* NULL: go on; ends with another status than WF_MORE */
const struct wf_out *replay(struct wf_run *r, const struct hist *h);
/* A live task that ends with event number `upto`; `from` is the index of its first event. */
const struct wf_out *live_with(struct wf_run *r, const struct hist *h, size_t from, int64_t upto,
                               struct rec **messages, size_t n_messages);
const struct wf_out *live(struct wf_run *r, const struct hist *h, size_t from, int64_t upto);

/* Events and commands in the same words: "TimerStarted 1", joined by ", ". */
void text_of_event(const struct rec *ev, char *out, size_t n);
void text_of_command(const struct rec *c, char *out, size_t n);
void text_of_commands(const struct wf_out *o, char *out, size_t n);
void check_commands(const struct wf_out *o, const char *want);
void check_failure(const struct wf_out *o, const char *want);

#endif
