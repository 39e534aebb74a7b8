/* Programs run on the loop: an argument list (no shell), its own process group, output as it comes,
 * a time-out that kills the whole group. libuv keeps a SIGCHLD handler from the first program on;
 * that is the one signal handler of the library. */
#ifndef ML_OS_PROCESS_H
#define ML_OS_PROCESS_H
#include "base/buf.h"
#include "base/loop.h"

#define PROCESS_ARGS_MAX 4096
#define PROCESS_OUTPUT_MAX (32u << 20) /* default limit of each stream */

struct process;
struct process_options {
    const struct str *args; /* args[0] is the program, found in PATH; no NUL bytes inside */
    size_t n_args;
    struct str cwd; /* absent: the current one */
    const struct str
        *env; /* "NAME=value" entries added to (or replacing those of) the environment */
    size_t n_env;
    bool env_clear;     /* only `env`, nothing inherited */
    struct str input;   /* written to its stdin, which is then closed; absent: /dev/null */
    bool hold_input;    /* its stdin stays open for process_write */
    int64_t timeout_ns; /* 0: none; then the group gets SIGTERM, and SIGKILL two seconds later */
    size_t max_bytes; /* of each stream, 0: PROCESS_OUTPUT_MAX; more kills the group and fails with
                         ERR_LIMIT */
};
struct process_result {
    struct err err; /* ERR_TIMEOUT, ERR_LIMIT, ERR_IO, ERR_NOMEM; code 0: it ended by itself */
    int exit_code;  /* -1 when a signal ended it */
    int signal;     /* 0: none */
};
/* stream: 1 stdout, 2 stderr. */
typedef void (*process_output_fn)(void *ud, int stream, struct str text);
typedef void (*process_exit_fn)(
    void *ud,
    const struct process_result *r); /* once, after the last output; never inside process_start */
/* ERR_NOTFOUND (no such program or folder), ERR_ARG, ERR_IO, ERR_NOMEM. */
int process_start(struct loop *l, const struct process_options *o, process_output_fn output,
                  process_exit_fn exit, void *ud, struct process **out, struct err *e);
/* Writes more to the stdin of one that was started with hold_input; copied. ERR_CLOSED: the program
 * has closed it or ended. ERR_NOMEM, ERR_LIMIT (64 MiB that it has not read). */
int process_write(struct process *p, struct str text);
void process_kill(struct process *p, int signal); /* the group; the exit is still reported */
/* Stops reading its output until called with false: back-pressure for a slow reader. */
void process_pause(struct process *p, bool on);
/* Forgets it: kills the group when it still runs, no callback after this. Must be called once for
 * each started process. */
void process_close(struct process *p);
int process_id(const struct process *p);

#endif
