/* What the verbs of the command share: option tables, opening a host, waiting for a reply, output,
 * exit codes. The command stands on moonloop.h alone (and cJSON to look into replies); one file per
 * verb, listed in cli_verbs. */
#ifndef ML_CLI_CLI_H
#define ML_CLI_CLI_H
#include "moonloop.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

/* Exit codes, documented in README.md and stable. */
enum cli_exit {
    EXIT_OK = 0, /* completed */
    EXIT_FAILED =
        1, /* the workflow failed; a replay did not match; a plain script's own code may be any */
    EXIT_USAGE = 2,    /* usage or script error */
    EXIT_WAITING = 3,  /* blocked, paused, or waiting with nothing left to do */
    EXIT_CANCELED = 4, /* cancelled or terminated */
    EXIT_TIMEOUT = 5,  /* timed out */
    EXIT_ENGINE = 6,   /* engine or storage error */
    EXIT_SIGINT = 130,
    EXIT_SIGTERM = 143
};

struct cli_opt {
    const char *name; /* "--input" */
    const char *arg;  /* "JSON", or NULL for a flag */
    const char *help;
    const char **value; /* option with an argument */
    bool *flag;         /* flag */
};

/* A Temporal server instead of a file: what --temporal and the options beside it say. */
#define CLI_METADATA_MAX 32
struct cli_temporal {
    const char *address; /* NULL: a file */
    const char *name_space, *task_queue, *api_key, *ca, *cert, *key, *server_name, *proxy,
        *codec_keys;
    const char *deployment, *build_id, *versioning, *bundles; /* of a worker */
    bool tls, no_tls, no_verify;
    bool worker;                                /* runs what it loads; else it only asks */
    const char *metadata[CLI_METADATA_MAX + 1]; /* ended by NULL */
    size_t n_metadata;
};

/* Options that most verbs take, and what cli_open made of them. */
struct cli {
    const char *verb;
    const char *db, *clock, *durability, *until;
    struct cli_temporal temporal;
    bool json, quiet, help;
    bool blocked_shown; /* runs that block are told, without other progress */
    ml_host *host;
    const char *driven; /* the run that this command drives; NULL: not known yet */
    /* That run, or the last one while it is not known, when it was blocked here, and why. */
    char *blocked_id, *blocked;
    bool color; /* stderr is a terminal and NO_COLOR is unset */
};

struct cli_verb {
    const char *name;
    const char *usage;                                /* "signal ID NAME [JSON]" */
    const char *help;                                 /* one line */
    int (*run)(struct cli *c, int argc, char **argv); /* argv without the program and the verb */
    bool temporal;                                    /* takes --temporal */
};
extern const struct cli_verb cli_verbs[]; /* ended by name NULL */
const struct cli_verb *cli_find(const char *name);

/* Parses options and positional arguments (moved to the front of argv). A NULL-ended list of
 * positional names: "ID", "[NAME]" optional;
 * "..." takes the rest. Returns the number of positional arguments, or -1 after having said what is
 * wrong. "--" ends options; *rest (may be NULL) gets the index of what follows it, or argc. */
int cli_parse(struct cli *c, int argc, char **argv, const struct cli_opt *opts,
              const char *const *positional, int *rest);
/* Prints to stderr "moonloop VERB: text"; with --json one JSON object {"error": text}. Returns
 * `code`. */
int cli_fail(struct cli *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void cli_note(struct cli *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* stderr, not with --quiet */

/* Where the runs are, for messages: the file or the server. */
const char *cli_where(const struct cli *c);
/* The options of a Temporal server, found by find_opt; remote.c. */
const struct cli_opt *cli_temporal_opts(struct cli *c);
void cli_temporal_usage(void);
/* Takes one more --grpc-meta. Returns 0 or -1 after a message. */
int cli_temporal_metadata(struct cli *c, const char *value);
void cli_temporal_config(struct cli *c, ml_config *cfg, ml_temporal *t);
/* Opens the host for a verb. Returns 0 or an exit code after having said why. */
int cli_open(struct cli *c, unsigned flags);
void cli_close(struct cli *c);

/* A reply kept after its callback. */
struct cli_reply {
    bool done;
    int code, existing;
    char *text, *workflow_id, *run_id, *status, *json, *failure;
};
void cli_on_reply(void *ud, const ml_reply *r); /* an ml_reply_fn; ud is a struct cli_reply */
void cli_reply_free(struct cli_reply *r);
/* Steps the host until the reply is there (rc is what the ml_ call returned). Returns 0 or an exit
 * code after a message. */
int cli_await(struct cli *c, int rc, struct cli_reply *r);
int cli_wait(struct cli *c, int rc, struct cli_reply *r); /* the same without a message: rc */
void cli_forget_blocked(struct cli *c);
int cli_code_exit(int ml_code);          /* a negative moonloop code as an exit code */
int cli_status_exit(const char *status); /* "Completed" -> 0 ... */
/* Reads JSON from an option: text, @FILE or - for standard input. Checks it. NULL after a message;
 * free() it. */
char *cli_json_arg(struct cli *c, const char *what, const char *arg);
/* Prints a closed run's outcome: the result on stdout, a failure on stderr. Returns the exit code.
 */
int cli_print_outcome(struct cli *c, const struct cli_reply *r);
/* A failure JSON {type, message, cause...} as lines for people. */
void cli_print_failure(struct cli *c, const char *failure_json);

/* load.c: a script while it is loaded, and after. */
struct cli_loaded {
    bool done; /* false: a signal came first */
    int code, is_program, exit_code;
    char *text;
};
/* Loads a script and waits for it; args NULL: a plain program is an error. Returns 0 (look at `l`),
 * or an exit code after a message. A plain program that failed is no message: it has said so
 * itself. Free `l` in any case. */
int cli_load(struct cli *c, const char *script, const char *const *args, size_t argc,
             struct cli_loaded *l);
void cli_loaded_free(struct cli_loaded *l);
/* Loads a script that must define something: a plain program is a usage error that says what it
 * lacks ("no tool and no workflow"). An exit code. */
int cli_load_served(struct cli *c, const char *path, const char *name, const char *lacks);
/* From begin to end SIGINT and SIGTERM stop the host in order; a second one ends the process. */
void cli_signals_begin(struct cli *c);
void cli_signals_end(void);
int cli_stop_signal(void); /* the one that came, or 0 */

/* progress.c: events as lines on stderr (a live line on a terminal). */
void progress_begin(struct cli *c);
void progress_event(void *ud, const ml_event *ev); /* ud is struct cli */
void progress_end(struct cli *c);
/* timeline text of one event for people; "" when it is not worth a line. */
const char *progress_word(const char *event_type);

int verb_run(struct cli *c, int argc, char **argv);
int verb_serve(struct cli *c, int argc, char **argv);
int verb_mcp(struct cli *c, int argc, char **argv);
int verb_worker(struct cli *c, int argc, char **argv);
int verb_start(struct cli *c, int argc, char **argv);
int verb_list(struct cli *c, int argc, char **argv);
int verb_show(struct cli *c, int argc, char **argv);
int verb_signal(struct cli *c, int argc, char **argv);
int verb_query(struct cli *c, int argc, char **argv);
int verb_update(struct cli *c, int argc, char **argv);
int verb_cancel(struct cli *c, int argc, char **argv);
int verb_terminate(struct cli *c, int argc, char **argv);
int verb_result(struct cli *c, int argc, char **argv);
int verb_delete(struct cli *c, int argc, char **argv);
int verb_count(struct cli *c, int argc, char **argv);
int verb_approvals(struct cli *c, int argc, char **argv);
int verb_token(struct cli *c, int argc, char **argv);
int verb_audit(struct cli *c, int argc, char **argv);
int verb_reset(struct cli *c, int argc, char **argv);
int verb_replay(struct cli *c, int argc, char **argv);
int verb_doctor(struct cli *c, int argc, char **argv);
int verb_version(struct cli *c, int argc, char **argv);
int verb_completion(struct cli *c, int argc, char **argv);
int verb_help(struct cli *c, int argc, char **argv);

#endif
