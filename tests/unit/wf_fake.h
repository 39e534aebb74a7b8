/* Plays the script side of the replayer with C programs, so that the machines are tested without
 * Lua. A program is called whenever the script would run and goes on where it stopped: PROG_BEGIN,
 * AWAIT(condition), PROG_END. */
#ifndef ML_TESTS_WF_FAKE_H
#define ML_TESTS_WF_FAKE_H
#include "wf_history.h"
#include "workflow/wf_internal.h"

struct fake;
typedef void (*fake_prog)(struct wf_run *r, struct fake *f);
struct wf_script {
    int unused;
};
struct fake {
    struct wf_script base;
    fake_prog prog;
    int pc, slices_left;
    bool started;
    uint64_t v[16];
    int64_t n[8];
    char log[8192];     /* jobs in the order they came */
    const char *update; /* last accepted update id not yet completed */
    char update_buf[64];
    int runs;
};
extern fake_prog fake_program;  /* of the next wf_open */
extern int fake_slices;         /* how often script_run says SLICE before it does something */
extern const char *fake_reject; /* name of updates whose validator rejects */

#define PROG_BEGIN                                                                                 \
    switch (f->pc) {                                                                               \
    case 0:
#define AWAIT(cond)                                                                                \
    f->pc = __LINE__;                                                                              \
    __attribute__((fallthrough));                                                                  \
    case __LINE__:                                                                                 \
        if (!(cond)) return;
#define PROG_END                                                                                   \
    f->pc = -1;                                                                                    \
    __attribute__((fallthrough));                                                                  \
    default:;                                                                                      \
        }

struct fake *fake_of(struct wf_run *r);
void fake_log(struct fake *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t fut(struct wf_run *r, const char *where);
bool settled(struct wf_run *r, uint64_t id);
bool is_ok(struct wf_run *r, uint64_t id);
bool is_canceled(struct wf_run *r, uint64_t id);
uint64_t timer(struct wf_run *r, int64_t seconds, const char *where);
uint64_t activity(struct wf_run *r, const char *type, const char *input, enum wf_cancel_type cancel,
                  const char *where);
uint64_t local(struct wf_run *r, const char *type, enum wf_cancel_type cancel, const char *where);
uint64_t child(struct wf_run *r, const char *id, enum wf_cancel_type cancel, uint64_t *started,
               const char *where);
void cancel(struct wf_run *r, uint64_t id);
void complete(struct wf_run *r);

/* Opens a run of a program (a fake_prog). */
extern const char *current_digest;
extern bool codec;
struct wf_run *open_run(void *program);
void check_history_of(const char *name, struct hist *h, fake_prog p);
#define check_history(h, p) check_history_of(check_case, h, p)

#endif
