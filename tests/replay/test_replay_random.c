/* Random programs against an engine that answers in seeded random order.
 *
 * Each program is driven live (replay_engine.c). Afterwards every task is done again in each way in
 * which a worker may come to it: on a fresh run that replays the history up to the task (which is
 * every prefix, cut back to its last WorkflowTaskStarted), in slices of one instruction and of
 * random sizes, on a run that is kept, on one that is evicted at random. Commands, answers to
 * updates and queries, log lines and what is pending must be the same bytes.
 * Over the whole run each name of the workflow API, and each option, must have mattered:
 * api_coverage.h.
 *
 * Usage: test_replay_random [--programs N] [--seed S] [--first N | --program N] */
#include "api_coverage.h"
#include "base/mem.h"
#include "check.h"
#include "replay_engine.h"
#include <unistd.h>

#define PROGRAMS_OF_A_SAMPLE 300
#define PROGRAMS_FOR_COVERAGE 100 /* with fewer, rare names need not occur */

static struct sim *sim;
static struct {
    size_t tasks, ended, events, prefixes, commands, evictions, discarded;
} total;

/* Records are printed as what is readable in them. */
static void print_bytes(const struct buf *b)
{
    for (size_t i = 0; i < b->n; i++) {
        unsigned char ch = (unsigned char)b->p[i];
        if (ch == '\n' || (ch >= ' ' && ch < 127))
            fputc(ch, stderr);
        else
            fputc('.', stderr);
    }
    fputc('\n', stderr);
}
static void print_outcome(const char *title, const struct outcome *x)
{
    fprintf(stderr, "%s:\n", title);
    print_bytes(&x->commands);
    print_bytes(&x->messages);
    print_bytes(&x->queries);
    print_bytes(&x->logs);
    print_bytes(&x->pending);
}

static void again(const struct replay_how *how, struct wf_run *r, struct task *t, bool whole,
                  const char *way)
{
    struct outcome out;
    const struct wf_out *o = NULL;
    char text[300];
    outcome_init(&out);
    int n = snprintf(text, sizeof text, "%s: task %zu (event %zu): ", way,
                     (size_t)(t - sim->tasks) + 1, t->upto);
    if (!replay_task(sim, how, r, t, whole, &out, &o)) {
        snprintf(text + n, sizeof text - (size_t)n, STR_FMT,
                 STR_ARG(rec_str(o->failure, T(failure, message))));
        sim_fail(sim, text);
    }
    if ((o->status == WF_WAIT_LOCAL) != t->heartbeat) {
        snprintf(text + n, sizeof text - (size_t)n, "waits for a local activity, or does not");
        sim_fail(sim, text);
    }
    const char *what = outcome_differs(&t->out, &out);
    if (what) {
        snprintf(text + n, sizeof text - (size_t)n, "%s differ", what);
        print_outcome("live", &t->out);
        print_outcome("again", &out);
        sim_fail(sim, text);
    }
    outcome_free(&out);
    if (t->heartbeat) wf_flushed(r);
}

static struct wf_run *open_run(const struct replay_how *how)
{
    struct err e = {0};
    struct wf_run *r = replay_open(how, &e);
    if (!r) sim_fail(sim, e.text);
    return r;
}

static void on_fresh_runs(struct task *t, size_t i, struct rng *g)
{
    struct replay_how how = sim_how(sim), ones = how, random = how;
    struct wf_run *r = open_run(&how);
    again(&how, r, t, true, "a fresh run");
    wf_close(r);
    ones.budget = 1;
    random.slices = g;
    struct replay_how *sliced = i % 3 == 0 ? &ones : i % 3 == 1 ? &random : NULL;
    if (!sliced || i % 2 != sim->program->number % 2) return;
    r = open_run(sliced);
    again(sliced, r, t, true, sliced == &ones ? "slices of one" : "slices of random sizes");
    wf_close(r);
}

/* A start that came to nothing: a task that begins there must be possible, whatever it gives. */
static void at_lost_starts(void)
{
    struct replay_how how = sim_how(sim);
    for (size_t i = 0, k = 0; i < sim->h.n; i++) {
        if (event_type(sim->h.ev[i]) != EVENT_TYPE_WORKFLOW_TASK_STARTED) continue;
        while (k < sim->n_tasks && sim->tasks[k].upto < i + 1)
            k++;
        if (k < sim->n_tasks && sim->tasks[k].upto == i + 1) continue;
        struct task t = {.upto = i + 1, .wall_ns = 1};
        struct outcome out;
        const struct wf_out *o = NULL;
        struct wf_run *r = open_run(&how);
        outcome_init(&out);
        if (!replay_task(sim, &how, r, &t, true, &out, &o)) {
            fprintf(stderr, STR_FMT "\n", STR_ARG(rec_str(o->failure, T(failure, message))));
            sim_fail(sim, "a start that came to nothing cannot be done again");
        }
        outcome_free(&out);
        wf_close(r);
        total.prefixes++;
    }
}

static void check_all(struct rng *g)
{
    struct replay_how how = sim_how(sim), ones = how, random = how;
    ones.budget = 1;
    random.slices = g;
    struct wf_run *kept = open_run(&ones), *some = open_run(&random);
    for (size_t i = 0; i < sim->n_tasks; i++) {
        struct task *t = &sim->tasks[i];
        on_fresh_runs(t, i, g);
        again(&ones, kept, t, false, "a kept run in slices of one");
        if (rng_below(g, 2)) {
            wf_close(some);
            some = open_run(&random);
        }
        again(&random, some, t, wf_last_event(some) == 0, "a run that is evicted at random");
        total.prefixes++;
        total.commands += t->n_commands;
    }
    wf_close(kept);
    wf_close(some);
    at_lost_starts();
    struct wf_run *r = open_run(&how);
    const struct wf_out *o = replay_closed(sim, &how, r, sim->h.n);
    if (o->status == WF_FAIL_TASK)
        fprintf(stderr, STR_FMT "\n", STR_ARG(rec_str(o->failure, T(failure, message))));
    if (o->status != WF_DONE || o->n_commands || o->n_drift)
        sim_fail(sim, "the replay of it all differs");
    if (o->closed != sim->closed) sim_fail(sim, "the replay of it all ends differently");
    wf_close(r);
}

int main(int argc, char **argv)
{
    struct replay_args a = replay_arguments(argc, argv, PROGRAMS_OF_A_SAMPLE);
    struct random_program program;
    struct rng g;
    char dir[64];
    snprintf(dir, sizeof dir, "/tmp/ml-test-random-XXXXXX");
    CHECK(mkdtemp(dir));
    sim = mem_zalloc(sizeof *sim);
    CHECK(sim);
    random_program_init(&program);
    struct api_coverage *coverage = api_coverage_new(ML_SOURCE_DIR);
    rng_seed(&g, STR("slices"));
    for (int i = 0; i < a.programs; i++) {
        CASE("random program");
        random_program_make(&program, a.seed, a.first + (uint64_t)i, "1");
        sim_run(sim, &program, dir);
        check_all(&g);
        api_coverage_look(coverage, sim);
        total.tasks += sim->n_tasks;
        total.ended += sim->closed;
        total.events += sim->h.n;
        total.evictions += sim->evictions;
        total.discarded += sim->discarded;
        sim_free(sim);
    }
    printf("%zu events, %zu tasks with %zu commands, %zu prefixes replayed, %zu runs ended, %zu "
           "evictions while live, %zu tasks discarded\n",
           total.events, total.tasks, total.commands, total.prefixes, total.ended, total.evictions,
           total.discarded);
    size_t missing = api_coverage_report(coverage);
    api_coverage_free(coverage);
    random_program_free(&program);
    mem_free(sim);
    rmdir(dir);
    if (a.programs >= PROGRAMS_FOR_COVERAGE && missing) {
        fprintf(stderr, "seed %llu: %zu names or options of the workflow API did not matter\n",
                (unsigned long long)a.seed, missing);
        return 1;
    }
    return CHECK_DONE();
}
