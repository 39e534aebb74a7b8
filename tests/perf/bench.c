/* Measures the embedded engine through the public header, and the machine's plain commits beside
 * it.
 *
 *   bench plain FOLDER N          N commits of one prepared 200-byte insert (WAL, synchronous=FULL)
 *   bench steps FOLDER N SCRIPT   one workflow of N sequential steps
 *   bench many FOLDER N SCRIPT    N one-step workflows, 100 in flight
 *   bench alone FOLDER N SCRIPT   N one-step workflows one after the other: time from start to
 * result bench timers FOLDER N SCRIPT  N runs that wait for timers due over 10 s: how late each is
 * durable bench sleepers FOLDER N SCRIPT  N runs that sleep for a day; then the memory of the
 * process
 *
 * Prints one JSON object: seconds of wall and CPU time, p50 and p99 in ms, resident memory in KB.
 * Used by scripts/bench, never a test. */
#include "moonloop.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what, const char *text)
{
    fprintf(stderr, "bench: %s: %s\n", what, text);
    exit(1);
}

static void plain(const char *folder, int n)
{
    char path[512], data[200];
    sqlite3 *db;
    sqlite3_stmt *begin, *insert, *commit;
    snprintf(path, sizeof path, "%s/plain.db", folder);
    memset(data, 'x', sizeof data);
    if (sqlite3_open(path, &db)) die("open", path);
    sqlite3_exec(db,
                 "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t(a "
                 "INTEGER PRIMARY KEY, b BLOB)",
                 NULL, NULL, NULL);
    sqlite3_prepare_v2(db, "BEGIN IMMEDIATE", -1, &begin, NULL);
    sqlite3_prepare_v2(db, "INSERT INTO t(b) VALUES(?)", -1, &insert, NULL);
    sqlite3_prepare_v2(db, "COMMIT", -1, &commit, NULL);
    double t = now(), c = cpu();
    for (int i = 0; i < n; i++) {
        sqlite3_step(begin);
        sqlite3_reset(begin);
        sqlite3_bind_blob(insert, 1, data, sizeof data, SQLITE_STATIC);
        sqlite3_step(insert);
        sqlite3_reset(insert);
        if (sqlite3_step(commit) != SQLITE_DONE) die("commit", sqlite3_errmsg(db));
        sqlite3_reset(commit);
    }
    printf("{\"seconds\":%.6f,\"cpu\":%.6f,\"n\":%d}\n", now() - t, cpu() - c, n);
    sqlite3_finalize(begin);
    sqlite3_finalize(insert);
    sqlite3_finalize(commit);
    sqlite3_close(db);
}

static struct {
    ml_host *h;
    int n, started, finished, fired;
    double *ms, t0;
    const char *workflow, *input;
    char id[64];
} run;

static long resident_kb(void)
{
    char line[200];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kb) == 1) break;
    if (f) fclose(f);
    return kb;
}

static void start_next(void);

static void on_result(void *ud, const ml_reply *r)
{
    (void)ud;
    if (r->code || strcmp(r->status, "Completed") != 0) die("result", r->text);
    if (run.ms) run.ms[run.finished] = (now() - run.t0) * 1e3;
    run.finished++;
    if (run.started < run.n) start_next();
}

static void on_started(void *ud, const ml_reply *r)
{
    (void)ud;
    if (r->code) die("start", r->text);
    if (ml_result(run.h, r->workflow_id, NULL, 1, on_result, NULL)) die("result", ml_error(run.h));
}

static void start_next(void)
{
    snprintf(run.id, sizeof run.id, "%s-%d", run.workflow, run.started++);
    ml_start_options o = {
        .workflow = run.workflow, .id = run.id, .input_json = run.input, .drive = 1};
    run.t0 = now();
    if (ml_start(run.h, &o, on_started, NULL)) die("start", ml_error(run.h));
}

static void on_loaded(void *ud, const ml_load_result *r)
{
    *(int *)ud = 1;
    if (r->code) die("load", r->text);
}

static int not_loaded(void *ud)
{
    return !*(int *)ud;
}

static int not_finished(void *ud)
{
    (void)ud;
    return run.finished < run.n;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void open_host(const char *folder, const char *script, ml_event_fn event)
{
    char path[512];
    int loaded = 0;
    ml_config config;
    ml_config_init(&config);
    snprintf(path, sizeof path, "%s/bench.db", folder);
    config.path = path;
    config.flags = ML_DRIVE_ALL;
    config.event = event;
    if (ml_open(&config, &run.h)) die("open", ml_open_error());
    if (ml_load(run.h, script, NULL, 0, on_loaded, &loaded)) die("load", ml_error(run.h));
    ml_run(run.h, not_loaded, &loaded);
}

static void moonloop(const char *mode, const char *folder, int n, const char *script)
{
    char input[32];
    open_host(folder, script, NULL);
    run.n = strcmp(mode, "steps") == 0 ? 1 : n;
    run.workflow = strcmp(mode, "steps") == 0 ? "steps" : "one";
    snprintf(input, sizeof input, "%d", strcmp(mode, "steps") == 0 ? n : 1);
    run.input = input;
    int in_flight = strcmp(mode, "many") == 0 ? 100 : 1;
    if (strcmp(mode, "alone") == 0) run.ms = calloc((size_t)n, sizeof *run.ms);
    double t = now(), c = cpu();
    for (int i = 0; i < in_flight && run.started < run.n; i++)
        start_next();
    if (ml_run(run.h, not_finished, NULL) < 0) die("run", ml_error(run.h));
    double seconds = now() - t, used = cpu() - c, p50 = 0;
    if (run.ms) {
        qsort(run.ms, (size_t)n, sizeof *run.ms, by_value);
        p50 = run.ms[n / 2];
    }
    printf("{\"seconds\":%.6f,\"cpu\":%.6f,\"n\":%d,\"p50_ms\":%.4f}\n", seconds, used, n, p50);
    ml_close(run.h);
    free(run.ms);
}

/* ---- timers ---- */
static int64_t *due;

static void on_event(void *ud, const ml_event *ev)
{
    (void)ud;
    struct timespec t;
    int i;
    if (ev->kind != ML_EVENT_HISTORY || strcmp(ev->type, "TimerFired") != 0) return;
    if (sscanf(ev->workflow_id, "late-%d", &i) != 1 || i >= run.n) die("event", ev->workflow_id);
    clock_gettime(CLOCK_REALTIME, &t);
    run.ms[run.fired++] = (double)(t.tv_sec * 1000000000 + t.tv_nsec - due[i]) / 1e6;
}

static void on_started_only(void *ud, const ml_reply *r)
{
    (void)ud;
    if (r->code) die("start", r->text);
    run.started++;
}

static int not_started(void *ud)
{
    return run.started < *(int *)ud;
}
static int not_fired(void *ud)
{
    (void)ud;
    return run.fired < run.n;
}

static int busy(void *ud)
{
    (void)ud;
    return ml_idle_state(run.h) == 1;
}

/* Starts runs up to number `to`; each waits until its due time. Returns when all do. */
static void start_sleepers(int from, int to, int64_t first_due, int64_t spacing)
{
    for (int i = from; i < to; i++) {
        char id[32], input[32];
        int64_t at = first_due + spacing * i;
        if (due) due[i] = at;
        snprintf(id, sizeof id, "late-%d", i);
        snprintf(input, sizeof input, "%lld", (long long)at);
        ml_start_options o = {.workflow = "late", .id = id, .input_json = input};
        if (ml_start(run.h, &o, on_started_only, NULL)) die("start", ml_error(run.h));
        int wait_for = i - 200;
        if (wait_for > run.started) ml_run(run.h, not_started, &wait_for);
    }
    ml_run(run.h, not_started, &to);
    if (ml_run(run.h, busy, NULL) < 0) die("run", ml_error(run.h));
}

static int64_t wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static void timers(const char *folder, int n, const char *script)
{
    run.n = n;
    run.ms = calloc((size_t)n, sizeof *run.ms);
    due = calloc((size_t)n, sizeof *due);
    open_host(folder, script, on_event);
    double c = cpu();
    start_sleepers(0, n, wall() + INT64_C(5000000000), INT64_C(10000000000) / n);
    if (ml_run(run.h, not_fired, NULL) < 0) die("run", ml_error(run.h));
    qsort(run.ms, (size_t)n, sizeof *run.ms, by_value);
    if (run.ms[0] < 0) die("timers", "one fired early");
    printf("{\"cpu\":%.6f,\"n\":%d,\"p50_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f}\n", cpu() - c,
           n, run.ms[n / 2], run.ms[n * 99 / 100], run.ms[n - 1]);
    ml_close(run.h);
}

/* A process that sleeps has had the time to give back what it used to get there. */
static long resident_asleep_kb(void)
{
    struct timespec nap = {0, 20000000};
    for (double until = now() + 3; now() < until;) {
        ml_step(run.h, 0);
        nanosleep(&nap, NULL);
    }
    return resident_kb();
}

static void sleepers(const char *folder, int n, const char *script)
{
    open_host(folder, script, NULL);
    int64_t tomorrow = wall() + INT64_C(86400000000000);
    start_sleepers(0, 1000, tomorrow, 1000000);
    long few = resident_asleep_kb();
    start_sleepers(1000, n, tomorrow, 1000000);
    long at_once = resident_kb(), many = resident_asleep_kb();
    printf("{\"n\":%d,\"rss_1000_kb\":%ld,\"rss_kb\":%ld,\"rss_at_once_kb\":%ld}\n", n, few, many,
           at_once);
    ml_close(run.h);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return fprintf(stderr,
                       "usage: bench plain|steps|many|alone|timers|sleepers FOLDER N [SCRIPT]\n"),
               2;
    if (strcmp(argv[1], "plain") == 0)
        plain(argv[2], atoi(argv[3]));
    else if (argc > 4 && strcmp(argv[1], "timers") == 0)
        timers(argv[2], atoi(argv[3]), argv[4]);
    else if (argc > 4 && strcmp(argv[1], "sleepers") == 0)
        sleepers(argv[2], atoi(argv[3]), argv[4]);
    else if (argc > 4)
        moonloop(argv[1], argv[2], atoi(argv[3]), argv[4]);
    return 0;
}
