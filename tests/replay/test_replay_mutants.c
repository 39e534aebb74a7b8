/* Mutants of random programs against the histories that the programs made: never silently wrong.
 *
 * A mutant is the program with one statement removed, repeated, swapped with the next one, or put
 * in, or with another activity, other arguments or another id. What replay must say of it comes
 * from an oracle that does not use replay's comparison: the mutant is driven live through the same
 * outside events on one kept run, and what it asks for in each task is compared here, by this
 * file's own rules, with what was recorded:
 *   - another kind, name, id or number of commands: replay fails with a non-determinism error that
 *     names an event of that task, what was recorded or what is asked for, and a line;
 *   - other arguments only: an error on the bundle that made the history, drift on another one;
 *   - nothing of it: replay is clean.
 * What the oracle cannot know is counted and left out: a task that fails by itself; where the
 * mutant sees live what it does not see on replay, by design: ml.patched that it reaches first
 * (true live, false on replay), an update that was rejected then (history does not have it), a side
 * effect of another value (replay gives the recorded one), a local activity that did not get the
 * recorded answer (replay gives the marker of its number), and local activities that end in another
 * order than the recorded one (replay ends them in the order of the markers: one that the script
 * cancelled then has ended before the mutant comes to cancel it).
 *
 * Usage: test_replay_mutants [--programs N] [--seed S] [--first N | --program N] */
#include "base/mem.h"
#include "check.h"
#include "replay_engine.h"
#include <unistd.h>

#define PROGRAMS 100
#define MUTANTS_OF_EACH 12
#define LEAVES_MAX 1024

enum mutation { REMOVE, REPEAT, SWAP, INSERT, RENAME, ARGUMENT, MUTATIONS };
static const char *const mutation_names[] = {"removed", "repeated", "reordered",
                                             "added",   "renamed",  "argument changed"};
enum verdict { CLEAN, DRIFT, ERROR, SKIPPED, VERDICTS };
static size_t counts[MUTATIONS][VERDICTS];
static struct sim *sim;
static struct buf text; /* of the mutant */

/* ---- making one ---- */
struct line {
    size_t from, upto;
};
static size_t leaves(struct str lua, struct line *out)
{
    size_t n = 0, from = 0, end_n = strlen(RANDOM_LEAF);
    for (size_t i = 0; i < lua.n && n < LEAVES_MAX; i++) {
        if (lua.p[i] != '\n') continue;
        size_t upto = i + 1;
        if (upto - from > end_n && memcmp(lua.p + upto - end_n, RANDOM_LEAF, end_n) == 0)
            out[n++] = (struct line){from, upto};
        from = upto;
    }
    return n;
}

static void put_line(struct str lua, struct line x)
{
    buf_put(&text, lua.p + x.from, x.upto - x.from);
}

/* The first of `from` within the line, as another text. */
static bool put_changed(struct str lua, struct line x, const char *from, const char *to)
{
    size_t n = strlen(from);
    for (size_t i = x.from; i + n <= x.upto; i++) {
        if (memcmp(lua.p + i, from, n)) continue;
        buf_put(&text, lua.p + x.from, i - x.from);
        buf_puts(&text, to);
        buf_put(&text, lua.p + i + n, x.upto - i - n);
        return true;
    }
    return false;
}

static bool rename_in(struct str lua, struct line x)
{
    static const char *const names[][2] = {
        {"activity_try", "activity_wait"},  {"activity_wait", "activity_leave"},
        {"activity_leave", "activity_try"}, {"activity_near", "activity_hold"},
        {"activity_hold", "activity_drop"}, {"activity_away", "activity_try"},
        {"'nobody'", "'somebody'"},         {"'x'", "'y'"},
        {"id = id()", "id = id() .. 'x'"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (put_changed(lua, x, names[i][0], names[i][1])) return true;
    return false;
}

static bool change_argument(struct str lua, struct line x)
{
    return put_changed(lua, x, ", o)", ", o + 1)") ||
           put_changed(lua, x, ":start(o)", ":start(o + 1)") ||
           put_changed(lua, x, "child(o)", "child(o + 1)");
}

/* False: this mutation does not fit. */
static bool mutate(struct rng *g, enum mutation how)
{
    static struct line lines[LEAVES_MAX];
    struct str lua = buf_str(&sim->program->lua);
    size_t n = leaves(lua, lines);
    if (n < 2) return false;
    size_t k = rng_below(g, n - 1);
    struct line x = lines[k], y = lines[k + 1];
    buf_reset(&text);
    buf_put(&text, lua.p, x.from);
    switch (how) {
    case REMOVE:
        break;
    case REPEAT:
        put_line(lua, x);
        put_line(lua, x);
        break;
    case SWAP:
        put_line(lua, y);
        buf_put(&text, lua.p + x.upto, y.from - x.upto);
        put_line(lua, x);
        x.upto = y.upto;
        break;
    case INSERT:
        put_line(lua, x);
        random_program_leaf(g, &text);
        break;
    case RENAME:
        if (!rename_in(lua, x)) return false;
        break;
    default:
        if (!change_argument(lua, x)) return false;
    }
    buf_put(&text, lua.p + x.upto, lua.n - x.upto);
    return !str_eq(buf_str(&text), lua);
}

/* ---- the oracle's own idea of what is the same ---- */
struct identity {
    struct buf id, args;
    bool accept, patch, optional,
        value; /* value: a side effect, whose value replay takes from history */
};

static void put_args(struct buf *out, const struct rec *payloads)
{
    if (payloads) CHECK(rec_encode(payloads, out) == 0);
}

static struct str detail(const struct rec *c, const char *key)
{
    const struct rec *list = rec_map_get(c, T(cmd_record_marker, details), str_of(key));
    const struct rec_field *f = rec_each(list, T(payloads, payloads), NULL);
    return f ? payload_data(f->v.m) : STR("");
}

static bool has(struct str s, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, part, n) == 0) return true;
    return false;
}

static void marker(const struct rec *c, struct identity *x)
{
    struct str name = rec_str(c, T(cmd_record_marker, marker_name));
    buf_putstr(&x->id, name);
    if (str_eqz(name, "core_patch")) {
        x->patch = true;
        x->optional = has(detail(c, "patch-data"), "\"deprecated\":true");
        buf_putstr(&x->id, detail(c, "patch-data"));
    } else if (str_eqz(name, "core_local_activity")) {
        struct str data = detail(c, "data"); /* its number is written last, its type before */
        const char *type = memmem(data.p, data.n, "\"activity_type\"", 15),
                   *end = memmem(data.p, data.n, ",\"attempt\"", 10),
                   *seq = memmem(data.p, data.n, "\"seq\":", 6);
        CHECK(type && end && seq && type < end);
        buf_put(&x->id, type, (size_t)(end - type));
        buf_put(&x->id, seq, (size_t)(data.p + data.n - seq));
    } else {
        x->value = true;
        buf_putstr(&x->id, detail(c, "side-effect-id"));
        put_args(&x->args, rec_map_get(c, T(cmd_record_marker, details), STR("data")));
    }
}

static void put_name(struct identity *x, struct str a, struct str b)
{
    buf_printf(&x->id, STR_FMT "|" STR_FMT, STR_ARG(a), STR_ARG(b));
}

static void identify(const struct rec *command, struct identity *x)
{
    int type = command_type(command);
    const struct rec *c = command_attrs(command);
    buf_reset(&x->id);
    buf_reset(&x->args);
    x->accept = x->patch = x->optional = x->value = false;
    buf_printf(&x->id, "%d ", type);
    switch (type) {
    case COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
        put_name(x, rec_str(c, T(cmd_schedule_activity_task, activity_id)),
                 rec_str(rec_msg(c, T(cmd_schedule_activity_task, activity_type)),
                         T(activity_type, name)));
        put_args(&x->args, rec_msg(c, T(cmd_schedule_activity_task, input)));
        break;
    case COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK:
        buf_printf(&x->id, "%lld",
                   (long long)rec_int(c, T(cmd_request_cancel_activity_task, scheduled_event_id)));
        break;
    case COMMAND_TYPE_START_TIMER:
        put_name(x, rec_str(c, T(cmd_start_timer, timer_id)), STR(""));
        break;
    case COMMAND_TYPE_CANCEL_TIMER:
        put_name(x, rec_str(c, T(cmd_cancel_timer, timer_id)), STR(""));
        break;
    case COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION:
        put_name(x, rec_str(c, T(cmd_start_child_workflow_execution, workflow_id)),
                 rec_str(rec_msg(c, T(cmd_start_child_workflow_execution, workflow_type)),
                         T(workflow_type, name)));
        put_args(&x->args, rec_msg(c, T(cmd_start_child_workflow_execution, input)));
        break;
    case COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION:
        put_name(x,
                 rec_str(rec_msg(c, T(cmd_signal_external_workflow_execution, execution)),
                         T(workflow_execution, workflow_id)),
                 rec_str(c, T(cmd_signal_external_workflow_execution, signal_name)));
        put_args(&x->args, rec_msg(c, T(cmd_signal_external_workflow_execution, input)));
        break;
    case COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION:
        put_name(x, rec_str(c, T(cmd_request_cancel_external_workflow_execution, workflow_id)),
                 STR(""));
        break;
    case COMMAND_TYPE_PROTOCOL_MESSAGE:
        x->accept = has(rec_str(c, T(cmd_protocol_message, message_id)), "/accept");
        put_name(x, rec_str(c, T(cmd_protocol_message, message_id)), STR(""));
        break;
    case COMMAND_TYPE_RECORD_MARKER:
        marker(c, x);
        break;
    default:
        break;
    }
}

struct comparison {
    bool differ, args;
    bool unknown; /* from here on replay sees other values than the live mutant, by design */
};

/* A patch marker is followed by its search attribute; both are left out where nobody has to ask. */
static const struct rec *next(struct rec *const *list, size_t n, size_t *i, struct identity *x)
{
    while (*i < n) {
        const struct rec *c = list[(*i)++];
        identify(c, x);
        if (!x->optional) return c;
        if (*i < n && command_type(list[*i]) == COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
            (*i)++;
    }
    return NULL;
}

static struct identity was, now;

/* Whether the live mutant saw a value in this task that replay does not give: a patch that nobody
 * recorded, a side effect that was recorded with another value, an update that was rejected. */
static bool saw_otherwise(const struct task *t, const struct wf_out *o)
{
    for (size_t b = 0; b < o->n_commands; b++) {
        bool found = false, same = false;
        identify(o->commands[b], &now);
        if (!now.patch && !now.value && !now.accept) continue;
        for (size_t a = 0; a < t->n_commands && !found; a++) {
            identify(t->commands[a], &was);
            found = str_eq(buf_str(&was.id), buf_str(&now.id));
            same = found && str_eq(buf_str(&was.args), buf_str(&now.args));
        }
        if (now.value ? found && !same : !found && !now.optional) return true;
    }
    return false;
}

/* Whether the task recorded the marker of a local activity that the live mutant asked for without
 * getting that answer: replay hands it the marker. */
static bool marker_unanswered(const struct task *t, const struct locals_seen *seen)
{
    for (size_t i = 0; i < t->n_commands; i++) {
        const struct rec *c = command_attrs(t->commands[i]);
        if (command_type(t->commands[i]) != COMMAND_TYPE_RECORD_MARKER ||
            !str_eqz(rec_str(c, T(cmd_record_marker, marker_name)), "core_local_activity"))
            continue;
        struct str data = detail(c, "data");
        const char *at = memmem(data.p, data.n, "\"seq\":", 6);
        CHECK(at);
        unsigned long seq = strtoul(at + 6, NULL, 10);
        for (size_t k = 0; k < seen->n; k++)
            if (seen->seq[k] == seq && !seen->got[k]) return true;
    }
    return false;
}

/* Whether a local activity ended otherwise for the live mutant than the marker says that replay
 * hands out (say, the recorded one was cancelled by a race that the mutant has not decided yet). */
static bool answered_otherwise(const struct task *t, const struct wf_out *o)
{
    for (size_t b = 0; b < o->n_commands; b++) {
        identify(o->commands[b], &now);
        if (!has(buf_str(&now.id), "core_local_activity")) continue;
        const struct rec *live = command_attrs(o->commands[b]);
        for (size_t a = 0; a < t->n_commands; a++) {
            identify(t->commands[a], &was);
            if (!str_eq(buf_str(&was.id), buf_str(&now.id))) continue;
            const struct rec *recorded = command_attrs(t->commands[a]);
            const struct rec *f = rec_msg(live, T(cmd_record_marker, failure)),
                             *g = rec_msg(recorded, T(cmd_record_marker, failure));
            if (!f != !g || !str_eq(failure_type(f), failure_type(g)) ||
                !str_eq(detail(live, "result"), detail(recorded, "result")))
                return true;
        }
    }
    return false;
}

static bool is_local_marker(const struct identity *x)
{
    return has(buf_str(&x->id), "core_local_activity");
}

/* Whether a command of this identity is among them. */
static bool among(struct rec *const *list, size_t n, struct str id, struct identity *scratch)
{
    for (size_t i = 0; i < n; i++) {
        identify(list[i], scratch);
        if (str_eq(buf_str(&scratch->id), id)) return true;
    }
    return false;
}

/* Where the two differ there are markers of local activities, and each is on the other side too. */
static bool ended_in_another_order(const struct task *t, const struct wf_out *o)
{
    if (!is_local_marker(&was) || !is_local_marker(&now)) return false;
    struct identity x;
    buf_init(&x.id, 1u << 20);
    buf_init(&x.args, 1u << 20);
    bool both = among(o->commands, o->n_commands, buf_str(&was.id), &x) &&
                among(t->commands, t->n_commands, buf_str(&now.id), &x);
    buf_free(&x.id);
    buf_free(&x.args);
    return both;
}

static struct comparison compare(const struct task *t, const struct wf_out *o,
                                 const struct locals_seen *seen)
{
    struct comparison c = {.unknown = saw_otherwise(t, o)};
    size_t a = 0, b = 0;
    while (!c.differ) {
        const struct rec *x = next(t->commands, t->n_commands, &a, &was);
        const struct rec *y = next(o->commands, o->n_commands, &b, &now);
        if (!x && !y) break;
        if (!x || !y || !str_eq(buf_str(&was.id), buf_str(&now.id))) {
            c.differ = true;
            if (x && y && ended_in_another_order(t, o)) c.unknown = true;
        } else if (!str_eq(buf_str(&was.args), buf_str(&now.args))) {
            c.args = true;
        }
    }
    if (c.differ && (marker_unanswered(t, seen) || answered_otherwise(t, o))) c.unknown = true;
    return c;
}

/* ---- what is expected ---- */
struct expected {
    size_t differ_at, args_at; /* task numbers from 1; 0: nowhere */
    bool unknown;
};

static struct expected expect(struct replay_how *how)
{
    struct locals_seen seen = {.n = 0};
    how->seen = &seen;
    struct expected x = {0};
    struct err e = {0};
    struct wf_run *r = replay_open(how, &e);
    if (!r) {
        how->seen = NULL;
        return (struct expected){.unknown = true};
    }
    for (size_t i = 0; i < sim->n_tasks && !x.differ_at && !x.unknown; i++) {
        const struct task *t = &sim->tasks[i];
        const struct wf_out *o = NULL;
        struct outcome out;
        outcome_init(&out);
        if (!replay_task(sim, how, r, t, false, &out, &o)) {
            x.unknown = true;
        } else {
            struct comparison c = compare(t, o, &seen);
            bool waits = o->status == WF_WAIT_LOCAL && (!t->heartbeat || c.differ);
            x.unknown = c.unknown || waits;
            if (c.differ) x.differ_at = i + 1;
            if (c.args && !x.args_at) x.args_at = i + 1;
            if (o->status == WF_WAIT_LOCAL) wf_flushed(r);
        }
        outcome_free(&out);
    }
    wf_close(r);
    how->seen = NULL;
    return x;
}

/* ---- what replay says ---- */
static void mutant_fails(enum mutation how, const char *what, struct str message)
{
    char line[600];
    fprintf(stderr, "mutant:\n" STR_FMT "\n", STR_ARG(buf_str(&text)));
    snprintf(line, sizeof line, "a mutant (%s): %s: " STR_FMT, mutation_names[how], what,
             STR_ARG(message));
    sim_fail(sim, line);
}

/* The number behind the first "event " of the message. */
static size_t event_of(struct str m)
{
    const char *at = memmem(m.p, m.n, "event ", 6);
    return at ? strtoull(at + 6, NULL, 10) : 0;
}

/* The message must name an event of the task's batch, or of what led to it. */
static void check_message(enum mutation how, struct str m, size_t task)
{
    size_t event = event_of(m), last = task < sim->n_tasks ? sim->tasks[task].upto : sim->h.n;
    if (!event) mutant_fails(how, "the error names no event", m);
    if (event > last || event < sim->tasks[task - 1].from)
        mutant_fails(how, "the error names an event elsewhere", m);
    if (!has(m, ".lua:") && !has(m, "no longer asks") && !has(m, "Update") && !has(m, "no such"))
        mutant_fails(how, "the error names no line", m);
}

static enum verdict replay(enum mutation how, struct replay_how *way, bool same,
                           const struct expected *x)
{
    struct err e = {0};
    way->digest = same ? sim->bundle->digest : way->bundle->digest;
    struct wf_run *r = replay_open(way, &e);
    if (!r) sim_fail(sim, e.text);
    const struct wf_out *o = replay_closed(sim, way, r, sim->h.n);
    bool failed = o->status == WF_FAIL_TASK;
    struct str m = failed ? rec_str(o->failure, T(failure, message)) : STR("");
    size_t at = x->differ_at;
    if (same && x->args_at && (!at || x->args_at < at)) at = x->args_at;
    enum verdict v = failed ? ERROR : o->n_drift ? DRIFT : CLEAN;
    if (at && !failed) mutant_fails(how, "not noticed", m);
    if (at && o->fail_cause != WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR)
        mutant_fails(how, "another error", m);
    if (at) check_message(how, m, at);
    if (!at && failed) mutant_fails(how, "an error for nothing", m);
    if (!at && (o->n_drift > 0) != (x->args_at > 0))
        mutant_fails(how, x->args_at ? "drift was not listed" : "drift for nothing", m);
    wf_close(r);
    return v;
}

static void one_mutant(struct rng *g, enum mutation how)
{
    struct err e = {0};
    if (!mutate(g, how)) return;
    struct replay_how way = {.bundle = sim_bundle(sim, buf_str(&text), &e)};
    if (!way.bundle) return; /* a statement that was moved out of its place need not load */
    way.digest = way.bundle->digest;
    struct expected x = expect(&way);
    if (x.unknown) {
        counts[how][SKIPPED]++;
    } else {
        counts[how][replay(how, &way, false, &x)]++;
        replay(how, &way, true, &x);
    }
    bundle_unref(way.bundle);
}

int main(int argc, char **argv)
{
    struct replay_args a = replay_arguments(argc, argv, PROGRAMS);
    struct random_program program;
    struct rng g;
    char dir[64];
    snprintf(dir, sizeof dir, "/tmp/ml-test-mutants-XXXXXX");
    CHECK(mkdtemp(dir));
    sim = mem_zalloc(sizeof *sim);
    CHECK(sim);
    random_program_init(&program);
    struct buf *all_of[] = {&text, &was.id, &was.args, &now.id, &now.args};
    for (size_t i = 0; i < 5; i++)
        buf_init(all_of[i], 1u << 20);
    for (int i = 0; i < a.programs; i++) {
        char name[80];
        CASE("mutants of a random program");
        random_program_make(&program, a.seed, a.first + (uint64_t)i, "1");
        int n = snprintf(name, sizeof name, "mutants of program %llu of %llu",
                         (unsigned long long)program.number, (unsigned long long)a.seed);
        rng_seed(&g, str_make(name, (size_t)n));
        sim_run(sim, &program, dir);
        for (int k = 0; k < MUTANTS_OF_EACH; k++)
            one_mutant(&g, (enum mutation)(k % MUTATIONS));
        sim_free(sim);
    }
    size_t all = 0;
    for (int how = 0; how < MUTATIONS; how++) {
        size_t *c = counts[how];
        all += c[CLEAN] + c[DRIFT] + c[ERROR];
        printf("%-16s %zu errors, %zu drift, %zu clean (the change is not in what was recorded), "
               "%zu left out\n",
               mutation_names[how], c[ERROR], c[DRIFT], c[CLEAN], c[SKIPPED]);
        if (a.programs >= PROGRAMS) CHECK(c[how == ARGUMENT ? DRIFT : ERROR] > 0);
    }
    printf("%zu mutants, each met what was expected of it\n", all);
    for (size_t i = 0; i < 5; i++)
        buf_free(all_of[i]);
    random_program_free(&program);
    mem_free(sim);
    rmdir(dir);
    return CHECK_DONE();
}
