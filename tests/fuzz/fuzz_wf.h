/* What the targets of the replayer share: a run of any script text, its tasks in slices of any
 * size, and all that comes out as bytes. */
#ifndef ML_TESTS_FUZZ_WF_H
#define ML_TESTS_FUZZ_WF_H
#include "fuzz.h"
#include "wf_history.h"
#include "workflow/workflow.h"

#define FUZZ_INSTRUCTIONS 300000 /* of one activation */
#define FUZZ_MEMORY (8u << 20)

/* The text as the entry script of a bundle; used up by the next call. */
struct bundle *fuzz_bundle(struct str text);
/* The name of the first workflow that the text defines literally, "wf" when there is none. */
struct str fuzz_workflow_name(struct str text);

/* A run of the bundle; NULL when its text cannot be loaded. */
struct wf_run *fuzz_open(struct bundle *b, struct str workflow_id);
struct fuzz_out {
    int rc; /* of wf_activate */
    enum wf_status status;
    bool limit, closed;
    struct buf text; /* commands, messages, answers, pending, failure */
};
/* Does the task in slices of `slice` instructions; local activities are all answered with a number,
 * `locals` at most. Appends to out->text. */
const struct wf_out *fuzz_task(struct wf_run *r, const struct wf_task *t, uint64_t slice,
                               size_t locals, struct fuzz_out *out);
void fuzz_out_init(struct fuzz_out *out);
void fuzz_out_free(struct fuzz_out *out);
/* Both must be the same, unless a limit ended one: where exactly that happens is not promised.
 * With FUZZ_SHOW in the environment prints what came out. */
void fuzz_out_compare(const struct fuzz_out *a, const struct fuzz_out *b);

#endif
