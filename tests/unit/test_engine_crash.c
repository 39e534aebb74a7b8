/* The engine and death: dropped at every turn, killed at every fault point, attempts of dead
 * owners, a disk that fails. However it is interrupted, the run ends with the same history grammar
 * and the same result, and nothing is recorded twice. */
#include "engine_fake.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static int has(struct rec *const *e, size_t n, int type)
{
    return count_events(e, n, type);
}

/* Two activities, a child, a timer, a signal to itself through the child's end: a bit of
 * everything. */
static void mixed(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                  struct plan *p)
{
    (void)f;
    struct rec *a;
    if (str_eqz(t->workflow_type, "child")) {
        if (has(e, n, EVENT_TYPE_ACTIVITY_TASK_COMPLETED))
            add_complete(p, "\"kid\"");
        else if (!has(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED))
            add_retry(p, add_activity(p, "k", "act", 10 * NS_PER_S, NULL), NS_PER_MS, 0);
        return;
    }
    int acts = has(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED),
        done = has(e, n, EVENT_TYPE_ACTIVITY_TASK_COMPLETED);
    if (!acts) {
        add_retry(p, add_activity(p, "1", "act", 10 * NS_PER_S, NULL), NS_PER_MS, 0);
        add_retry(p, add_activity(p, "2", "act", 10 * NS_PER_S, NULL), NS_PER_MS, 0);
    } else if (done == 2 && !has(e, n, EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)) {
        add_command(p, COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION, &a);
        rec_set_str(a, T(cmd_start_child_workflow_execution, workflow_id), STR("kid"));
        rec_set_str(rec_sub(a, T(cmd_start_child_workflow_execution, workflow_type)),
                    T(workflow_type, name), STR("child"));
        add_timer(p, "1", 3 * NS_PER_MS);
    } else if (has(e, n, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED) &&
               has(e, n, EVENT_TYPE_TIMER_FIRED)) {
        add_complete(p, "\"all\"");
    }
}

static void check_end(struct fake *f)
{
    CHECK_INT(result(f, "w"), RUN_COMPLETED);
    CHECK_STR(got.text, "\"all\"");
    history(f, "w", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_ACTIVITY_TASK_COMPLETED), 2);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED), 1);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED), 1);
    history(f, "kid", NULL);
    CHECK_INT(result(f, "kid"), RUN_COMPLETED);
    struct buf b;
    struct err e = {0};
    buf_init(&b, 10000);
    CHECK_INT(engine_doctor(f->engine, &b, &e), 0);
    CHECK(strstr(b.p, "\"undeliveredMessages\":0") != NULL);
    buf_free(&b);
    CHECK_INT(store_check(f->store, &e), 0);
}

static void test_drop_everywhere(void)
{
    CASE("dropped after every number of turns");
    bool ended = false;
    for (int turns = 1; turns < 200 && !ended; turns++) {
        struct fake f;
        fake_init(&f, "drop");
        f.workflow = mixed;
        f.no_cache = turns % 2 != 0;
        fake_open(&f);
        start(&f, "w", "flow");
        for (int i = 0; i < turns; i++)
            fake_turn(&f);
        ended = result(&f, "w") == RUN_COMPLETED;
        fake_reopen(&f);
        for (int i = 0; i < turns / 2; i++)
            fake_turn(&f);
        fake_reopen(&f);
        settle(&f, true);
        check_end(&f);
        fake_remove(&f);
    }
    CHECK(ended);
}

/* ---- kills ---- */
static char kill_path[200];
static void child_run(const char *faults)
{
    struct fake f;
    memset(&f, 0, sizeof f);
    snprintf(f.path, sizeof f.path, "%s", kill_path);
    f.mode = ENGINE_CLOCK_REAL;
    f.workflow = mixed;
    f.threaded = true;
    if (faults)
        setenv("ML_FAULTS", faults, 1);
    else
        unsetenv("ML_FAULTS");
    fault_init();
    fake_open(&f);
    struct backend_start s = {.workflow_id = STR("w"),
                              .workflow_type = STR("flow"),
                              .task_queue = STR("default"),
                              .request_id = STR("only"),
                              .on_open = ID_CONFLICT_USE_EXISTING};
    start_full(&f, &s);
    settle(&f, true);
    fake_close(&f);
    _exit(0);
}

static int forked(const char *faults)
{
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) child_run(faults);
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void test_kills(void)
{
    static const char *const points[] = {
        "engine.open",        "engine.decide", "engine.submit", "engine.durable",
        "engine.dispatch",    "engine.answer", "engine.timer",  "engine.timer.arm",
        "engine.message",     "store.begin",   "store.append",  "store.commit.before",
        "store.commit.after", "store.answer",  "store.close"};
    int kills = 0;
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        for (int hit = 1; hit <= 6; hit++) {
            CASE(points[i]);
            struct fake f;
            char faults[64];
            fake_init(&f, "kill");
            snprintf(kill_path, sizeof kill_path, "%s", f.path);
            snprintf(faults, sizeof faults, "%s:%d", points[i], hit);
            int how = forked(faults);
            CHECK(how == SIGKILL || how == 0);
            kills += how == SIGKILL;
            if (how == SIGKILL && hit % 2) forked(faults); /* and killed again */
            CHECK_INT(forked(NULL), 0);
            f.workflow = mixed;
            fake_open(&f);
            settle(&f, true);
            check_end(&f);
            CHECK_INT(f.activity_tasks, 0); /* it was over already */
            fake_remove(&f);
            if (how == 0) break; /* the point is not hit so often */
        }
    }
    CHECK(kills > 40);
}

/* ---- attempts of dead owners ---- */
static int max_attempts;
static void one(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                struct plan *p)
{
    (void)f;
    (void)t;
    if (!has(e, n, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED))
        add_retry(p, add_activity(p, "1", "act", 10 * NS_PER_S, NULL), NS_PER_MS, max_attempts);
    else if (has(e, n, EVENT_TYPE_ACTIVITY_TASK_COMPLETED))
        add_complete(p, "1");
    else if (has(e, n, EVENT_TYPE_ACTIVITY_TASK_FAILED))
        add_fail(p, "Lost", false);
}
static enum act_reply hold(struct fake *f, const struct backend_task *t)
{
    (void)f;
    (void)t;
    return REPLY_HOLD;
}

static void test_lost(void)
{
    struct fake f;
    CASE("a lost attempt is tried again");
    fake_init(&f, "lost");
    f.workflow = one;
    f.activity = hold;
    max_attempts = 3;
    fake_open(&f);
    start(&f, "w", "flow");
    for (int i = 0; i < 100 && !f.n_held; i++)
        fake_turn(&f);
    CHECK_INT(f.n_held, 1);
    f.activity = NULL;
    fake_reopen(&f);
    settle(&f, true);
    CHECK_INT(result(&f, "w"), RUN_COMPLETED);
    history(&f, "w", NULL);
    const struct rec *a = event_attrs(
        hist.events[find_event(hist.events, hist.n, EVENT_TYPE_ACTIVITY_TASK_STARTED, 1) - 1]);
    CHECK_INT(rec_int(a, T(ev_activity_task_started, attempt)), 2);
    CHECK(
        str_eqz(failure_type(rec_msg(a, T(ev_activity_task_started, last_failure))), "WorkerLost"));
    CASE("with one attempt it never runs twice");
    max_attempts = 1;
    f.activity = hold;
    start(&f, "x", "flow");
    for (int i = 0; i < 100 && !f.n_held; i++)
        fake_turn(&f);
    CHECK_INT(f.n_held, 1);
    f.activity_tasks = 0;
    fake_reopen(&f);
    settle(&f, true);
    CHECK_INT(f.activity_tasks, 0);
    CHECK_INT(result(&f, "x"), RUN_FAILED);
    history(&f, "x", NULL);
    a = event_attrs(
        hist.events[find_event(hist.events, hist.n, EVENT_TYPE_ACTIVITY_TASK_FAILED, 1) - 1]);
    CHECK(str_eqz(failure_type(rec_msg(a, T(ev_activity_task_failed, failure))), "WorkerLost"));
    fake_remove(&f);
}

/* ---- the disk ---- */
static void compare_with_reopened(struct fake *f)
{
    char before[200000];
    struct backend_target t = {.workflow_id = STR("w")};
    history(f, "w", NULL);
    size_t n = hist.n;
    clear(&got);
    f->b->ops->describe(f->b, &t, take, &got);
    wait_got(f, &got);
    snprintf(before, sizeof before, "%s", got.json);
    f->no_worker = true; /* nothing moves */
    fake_reopen(f);
    f->no_worker = false;
    history(f, "w", NULL);
    CHECK_INT(hist.n, n);
    clear(&got);
    f->b->ops->describe(f->b, &t, take, &got);
    wait_got(f, &got);
    CHECK_STR(got.json, before);
}

static void test_io(void)
{
    CASE("the n-th call of the disk fails");
    int hits = 0;
    for (int n = 1; n < 120; n += 3) {
        struct fake f;
        fake_init(&f, "io");
        f.vfs = "moonloop-fault";
        f.workflow = mixed;
        vfs_fault_reset();
        fake_open(&f);
        start(&f, "w", "flow");
        vfs_fault_io(n, false);
        settle(&f, true);
        hits += vfs_fault_hit();
        vfs_fault_reset();
        check_end(&f);
        compare_with_reopened(&f);
        fake_remove(&f);
    }
    CHECK(hits > 5);
}

static void test_full(void)
{
    struct fake f;
    CASE("a full disk: starts are refused, runs wait and go on");
    fake_init(&f, "full");
    f.vfs = "moonloop-fault";
    f.workflow = mixed;
    f.activity = hold;
    vfs_fault_reset();
    fake_open(&f);
    start(&f, "w", "flow");
    for (int i = 0; i < 100 && f.n_held < 2; i++)
        fake_turn(&f);
    CHECK_INT(f.n_held, 2);
    vfs_fault_quota(0);
    int taken = 0;
    for (int i = 0; i < 300 && (i == 0 || !got.err.code);
         i++) { /* what is left in the log's file is used up first */
        sig(&f, "w", "more", "");
        taken += !got.err.code;
    }
    CHECK_INT(got.err.code, ERR_FULL);
    history(&f, "w", NULL);
    CHECK_INT(count_events(hist.events, hist.n, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED), taken);
    struct backend_start s = {
        .workflow_id = STR("n"), .workflow_type = STR("flow"), .task_queue = STR("default")};
    start_full(&f, &s);
    CHECK_INT(got.err.code, ERR_FULL);
    CHECK(got.err.text[0] != 0);
    CHECK_INT(result(&f, "n"), ERR_NOTFOUND);
    while (f.n_held)
        finish_activity(&f, f.held[--f.n_held], REPLY_OK);
    for (int i = 0; i < 50; i++)
        fake_turn(&f);
    vfs_fault_quota(-1);
    f.activity = NULL;
    settle(&f, true);
    check_end(&f);
    compare_with_reopened(&f);
    fake_remove(&f);
}

static void test_heals(void)
{
    struct fake f;
    CASE("results of activities are kept over a failing disk");
    fake_init(&f, "heals");
    f.vfs = "moonloop-fault";
    f.workflow = mixed;
    f.activity = hold;
    vfs_fault_reset();
    fake_open(&f);
    start(&f, "w", "flow");
    for (int i = 0; i < 100 && f.n_held < 2; i++)
        fake_turn(&f);
    vfs_fault_quota(0);
    f.activity = NULL;
    f.activity_tasks = 0;
    while (f.n_held)
        finish_activity(&f, f.held[--f.n_held], REPLY_OK);
    for (int i = 0; i < 200; i++)
        fake_turn(&f);
    vfs_fault_quota(-1);
    settle(&f, true);
    check_end(&f);
    CHECK_INT(f.activity_tasks, 1); /* the child's; those two did not run again */
    fake_remove(&f);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    CHECK_INT(vfs_fault_register(), 0);
    test_lost();
    test_drop_everywhere();
    test_io();
    test_heals();
    test_full();
    test_kills();
    clear(&got);
    clear(&hist);
    return CHECK_DONE();
}
