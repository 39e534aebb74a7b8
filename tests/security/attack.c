/* Runs the attack files of tests/security/attacks through moonloop.h: each in a process of its own
 * (so that a hang or a crash is seen and costs nothing else) on a host with small limits. Keeps
 * true: what a file expects is what happened, the processor time stays near that of a plain endless
 * loop under the same instruction limit, memory stays bounded, and the same host then serves a
 * normal run. See README.md beside this file.
 *
 *   attack DIR [--shard I/N] [--only NAME] [--verbose]
 *   attack --one FILE WHERE ROUND FOLDER        (a process of one attack; started by the above) */
#include "moonloop.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
#define MEMORY ((size_t)32 << 20)
#define INSTRUCTIONS 10000000
#define KILL_S 90 /* a hang: far more than any of them takes on a busy machine */
#define RSS_KB (SANITIZED ? 1024 * 1024 : 192 * 1024)
#define RSS_ACTIVITY_KB (SANITIZED ? 1536 * 1024 : 416 * 1024) /* their state may have 256 MiB */
#define CPU_FACTOR 12                                          /* times the plain loop, and */
#define CPU_MORE_MS (SANITIZED ? 6000 : 1500)
#define CPU_TIME_MS 8000 /* for what only the watchdog can end (3 s of an activation) */
#define TEXT_MAX_N 65536

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    size_t n = 0, cap = 1 << 16;
    char *p = malloc(cap);
    for (size_t got; p && (got = fread(p + n, 1, cap - n - 1, f)) > 0;) {
        n += got;
        if (cap - n - 1 == 0) p = realloc(p, cap *= 2);
    }
    fclose(f);
    if (p) p[n] = 0;
    return p;
}

/* ---- one attack (its own process) ---- */

struct reply {
    bool done;
    int code;
    char status[32], text[TEXT_MAX_N], json[TEXT_MAX_N], failure[TEXT_MAX_N];
    char *whole; /* json in full */
};
static struct reply result, rep;
static bool blocked;
static char blocked_text[TEXT_MAX_N];

static void on_reply(void *ud, const ml_reply *r)
{
    struct reply *o = ud;
    if (o->done) abort(); /* exactly once */
    o->done = true;
    o->code = r->code;
    snprintf(o->status, sizeof o->status, "%s", r->status ? r->status : "");
    snprintf(o->text, sizeof o->text, "%s", r->text ? r->text : "");
    snprintf(o->json, sizeof o->json, "%s", r->json ? r->json : "");
    snprintf(o->failure, sizeof o->failure, "%s", r->failure_json ? r->failure_json : "");
    o->whole = r->json ? strdup(r->json) : NULL;
}

static void on_event(void *ud, const ml_event *ev)
{
    (void)ud;
    if (ev->kind != ML_EVENT_BLOCKED) return;
    if (strcmp(ev->workflow_id, "attack") != 0) {
        fprintf(stderr, "blocked: %s: %s\n", ev->workflow_id, ev->text);
        return;
    }
    blocked = true;
    snprintf(blocked_text, sizeof blocked_text, "%s", ev->text);
}

static void on_load(void *ud, const ml_load_result *r)
{
    struct reply *o = ud;
    o->done = true;
    o->code = r->code;
    snprintf(o->text, sizeof o->text, "%s", r->text ? r->text : "");
}

static int until_reply(void *ud)
{
    return !((struct reply *)ud)->done;
}
static int until_ended(void *ud)
{
    (void)ud;
    return !result.done && !blocked;
}

static void await(ml_host *h, int code)
{
    if (code) snprintf(rep.text, sizeof rep.text, "%s", ml_error(h));
    rep.code = code;
    if (!code) ml_run(h, until_reply, &rep);
}
static void ready(void)
{
    free(rep.whole);
    memset(&rep, 0, sizeof rep);
}

static const char normal_text[] =
    "local normal_step = ml.activity('normal_step', {timeout = '15s', retry = {max_attempts = "
    "1}},\n"
    "  function(n) local ok = pcall(error, 'x') local s = ml.spawn(function() return n + 1 end)\n"
    "    return ok == false and s:await() end)\n"
    "ml.workflow('normal', function(input)\n"
    "  local ok, why = pcall(error, {}) ml.sleep(0.001)\n"
    "  return {n = normal_step(input.n), ok = not ok and type(why) == 'table'} end)\n";

static void write_script(const char *path, const char *where, const char *body, bool apart)
{
    FILE *f = fopen(path, "w");
    if (!f) exit(3);
    fputs("local ml = require 'moonloop'\n", f);
    if (!apart) fputs(normal_text, f);
    if (strcmp(where, "file") == 0)
        fputs(body, f);
    else if (strcmp(where, "activity") == 0)
        fprintf(f,
                "local act = ml.activity('attack_step', {timeout = '%s', retry = {max_attempts = "
                "1}}, function(input)\n%s\nend)\n"
                "ml.workflow('attack', function(input) return act(input) end)\n",
                strstr(body, "-- expect: limit") ? "1s" : "15s", body);
    else
        fprintf(f, "ml.workflow('attack', function(input)\n%s\nend)\n", body);
    fclose(f);
}

/* The words by which a limit is told to people, and the types by which an activity's is told to
 * scripts. */
static const char *const run_limits[] = {"instructions in one activation",    "bytes of memory",
                                         "commands in one workflow task",     "used up its limit",
                                         "there was no memory left to go on", NULL};
static const char *const run_time[] = {"ran too long without waiting", NULL};
static const char *const activity_limits[] = {"\"type\":\"OutOfMemory\"",
                                              "\"type\":\"ActivityLimit\"", "\"type\":\"Timeout\"",
                                              "takes too many steps", NULL};

static bool any_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strstr(text, *words)) return true;
    return false;
}

/* Says how it ended: "limit", "time" (the watchdog), "error" or "value", and the text. */
static void outcome(FILE *out)
{
    const char *kind = "value", *text = result.json;
    if (blocked) {
        text = blocked_text;
        kind = any_of(text, run_limits) ? "limit" : any_of(text, run_time) ? "time" : "error";
    } else if (result.code || strcmp(result.status, "Completed") != 0) {
        text = *result.failure ? result.failure : result.text;
        kind = any_of(text, activity_limits) ? "limit" : "error";
    }
    fprintf(out, "%s\n", kind);
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t') {
            fprintf(out, "CONTROL BYTE %d ", *p); /* no text for people carries one */
            continue;
        }
        fputc(*p == '\n' ? ' ' : *p, out);
    }
    fputc('\n', out);
}

static void attack(ml_host *h)
{
    ml_start_options o = {.workflow = "attack", .id = "attack", .input_json = "{\"n\":1}"};
    o.drive = 1;
    ready();
    await(h, ml_start(h, &o, on_reply, &rep));
    if (rep.code) {
        snprintf(result.text, sizeof result.text, "%s", rep.text);
        result.done = true;
        result.code = rep.code;
        return;
    }
    ml_result(h, "attack", NULL, 1, on_reply, &result);
    ml_run(h, until_ended, NULL);
}

static bool normal(ml_host *h)
{
    ml_start_options o = {.workflow = "normal", .id = "normal", .input_json = "{\"n\":1}"};
    o.drive = 1;
    ready();
    await(h, ml_start(h, &o, on_reply, &rep));
    if (rep.code) return false;
    ready();
    await(h, ml_result(h, "normal", NULL, 1, on_reply, &rep));
    return rep.code == 0 && strcmp(rep.json, "{\"n\":2,\"ok\":true}") == 0;
}

/* The first round leaves its history, the second replays it. */
static bool same_history(ml_host *h, const char *round, const char *path, const char *script)
{
    if (*round == '1') {
        FILE *f = fopen(path, "w");
        ready();
        await(h, ml_history(h, "attack", NULL, on_reply, &rep));
        if (!f || rep.code || !rep.whole) return false;
        fputs(rep.whole, f);
        fclose(f);
        return true;
    }
    char *text = read_all(path);
    ready();
    await(h, text ? ml_replay(h, text, script, on_reply, &rep) : ML_E_NOTFOUND);
    free(text);
    if (rep.code) fprintf(stderr, "replay: %s %s\n", rep.text, rep.json);
    return rep.code == 0;
}

static int one(const char *file, const char *where, const char *round, const char *folder)
{
    char script[256], other[256], db[256], report[256], history[256];
    snprintf(script, sizeof script, "%s/s.lua", folder);
    snprintf(other, sizeof other, "%s/normal.lua", folder);
    snprintf(db, sizeof db, "%s/m%s.db", folder, round);
    snprintf(report, sizeof report, "%s/report%s", folder, round);
    snprintf(history, sizeof history, "%s/history", folder);
    if (*round == '2') setlocale(LC_ALL, ""); /* as a host program may have done */
    char *body = read_all(file);
    if (chdir(folder)) return 3; /* what it writes by a relative name stays there */
    FILE *out = fopen(report, "w");
    if (!body || !out) return 3;
    bool apart = strstr(body, "-- normal: apart\n") != NULL;
    write_script(script, where, body, apart);
    if (apart) write_script(other, "file", "", false);
    ml_config c;
    ml_host *h = NULL;
    ml_config_init(&c);
    c.path = db;
    c.clock = strcmp(where, "activity") == 0 ? ML_CLOCK_REAL : ML_CLOCK_VIRTUAL;
    c.event = on_event;
    c.run_memory_bytes = MEMORY;
    c.run_instructions = INSTRUCTIONS;
    if (ml_open(&c, &h)) return 3;
    ready();
    if (apart) await(h, ml_load(h, other, NULL, 0, on_load, &rep));
    ready();
    await(h, ml_load(h, script, NULL, 0, on_load, &rep));
    double from = cpu_ms();
    if (rep.code) {
        result.done = true;
        result.code = rep.code;
        snprintf(result.text, sizeof result.text, "load: %.2000s", rep.text);
    } else {
        attack(h);
    }
    double took = cpu_ms() - from;
    outcome(out);
    bool good = rep.code == 0 && (*round == '0' || same_history(h, round, history, script));
    fprintf(out, "%s\n%.0f\n", good ? "same" : "other", took);
    if (blocked) { /* it is still there while the other one runs */
        fprintf(out, "%s\n", normal(h) ? "served" : "not served");
        ready();
        await(h, ml_terminate(h, "attack", NULL, "attack", on_reply, &rep));
    } else {
        fprintf(out, "%s\n", !strncmp(result.text, "load:", 5) || normal(h) ? "served" : "lost");
    }
    ml_close(h);
    fclose(out);
    free(body);
    free(rep.whole);
    free(result.whole);
    return 0;
}

/* ---- all attacks ---- */

struct spec {
    char name[80], path[512], attack[400], expect[2000], where[20];
};
struct run {
    char kind[16], text[TEXT_MAX_N], same[16], served[16];
    double cpu;
    long rss;
    int status; /* of wait; -1: killed after KILL_S */
};
static char self[512];
static const char *locale_folder = "";
static double plain_ms = 200;
static int failed, passed;
static bool verbose;

static bool header(char *text, const char *name, char *out, size_t max)
{
    char key[40];
    snprintf(key, sizeof key, "-- %s: ", name);
    char *p = strstr(text, key);
    if (!p) return false;
    p += strlen(key);
    char *end = strchr(p, '\n');
    snprintf(out, max, "%.*s", end ? (int)(end - p) : (int)strlen(p), p);
    return *out != 0;
}

static bool read_spec(const char *dir, const char *file, struct spec *s)
{
    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "%.*s", (int)(strlen(file) - 4), file);
    snprintf(s->path, sizeof s->path, "%s/%s", dir, file);
    char *text = read_all(s->path);
    bool ok = text && header(text, "attack", s->attack, sizeof s->attack) &&
              header(text, "expect", s->expect, sizeof s->expect) &&
              header(text, "where", s->where, sizeof s->where);
    free(text);
    return ok;
}

static void surroundings(int round)
{
    setenv("ASAN_OPTIONS", "quarantine_size_mb=16:detect_leaks=0:abort_on_error=1", 1);
    if (round < 2) {
        if (personality(ADDR_NO_RANDOMIZE) < 0) return; /* not allowed here: then both are random */
        setenv("TZ", "UTC", 1);
        setenv("LC_ALL", "C", 1);
        return;
    }
    char pad[3000];
    memset(pad, 'x', sizeof pad - 1);
    pad[sizeof pad - 1] = 0;
    setenv("PADDING", pad, 1);
    setenv("TZ", "America/New_York", 1);
    setenv("MALLOC_PERTURB_", "165", 1);
    setenv("LOCPATH", locale_folder, 1);
    setenv("LC_ALL", *locale_folder ? "de_DE.UTF-8" : "C.UTF-8", 1);
}

static void spawn(const struct spec *s, const char *where, int round, const char *folder,
                  struct run *r)
{
    char number[4], report[300];
    struct rusage usage;
    memset(r, 0, sizeof *r);
    snprintf(number, sizeof number, "%d", round);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing outlives the runner */
        surroundings(round);
        execl(self, self, "--one", s->path, where, number, folder, (char *)NULL);
        _exit(4);
    }
    struct timespec nap = {0, 2000000};
    int waited = 0, status = 0;
    while (wait4(pid, &status, WNOHANG, &usage) == 0) {
        if (waited++ < KILL_S * 500) {
            nanosleep(&nap, NULL);
            continue;
        }
        kill(pid, SIGKILL);
        wait4(pid, &status, 0, &usage);
        r->status = -1;
        return;
    }
    r->status = status;
    r->rss = usage.ru_maxrss;
    snprintf(report, sizeof report, "%s/report%d", folder, round);
    FILE *f = fopen(report, "r");
    if (!f) return;
    char line[64];
    if (fgets(r->kind, sizeof r->kind, f) && fgets(r->text, sizeof r->text, f) &&
        fgets(r->same, sizeof r->same, f) && fgets(line, sizeof line, f))
        r->cpu = strtod(line, NULL);
    if (!fgets(r->served, sizeof r->served, f)) *r->served = 0;
    fclose(f);
    r->kind[strcspn(r->kind, "\n")] = r->text[strcspn(r->text, "\n")] = 0;
    r->same[strcspn(r->same, "\n")] = r->served[strcspn(r->served, "\n")] = 0;
}

static const char *judge(const struct spec *s, const struct run *r, bool activity)
{
    static char why[400];
    bool timed = strcmp(s->expect, "limit time") == 0;
    double most = timed || activity ? CPU_TIME_MS : plain_ms * CPU_FACTOR + CPU_MORE_MS;
    if (r->status == -1) return "it hung and was killed";
    if (WIFSIGNALED(r->status)) {
        snprintf(why, sizeof why, "the process died by signal %d", WTERMSIG(r->status));
        return why;
    }
    if (r->status) return "the process ended with an error";
    if (strcmp(r->served, "served") != 0) return "the host served no normal run afterwards";
    if (r->rss > (activity ? RSS_ACTIVITY_KB : RSS_KB)) {
        snprintf(why, sizeof why, "the process grew to %ld KB", r->rss);
        return why;
    }
    if (r->cpu > most) {
        snprintf(why, sizeof why, "it took %.0f ms of processor time, allowed are %.0f", r->cpu,
                 most);
        return why;
    }
    if (strstr(r->text, "CONTROL BYTE")) return "its text carries control bytes";
    if (strcmp(s->expect, "limit") == 0)
        return strcmp(r->kind, "limit") == 0 || (SANITIZED && strcmp(r->kind, "time") == 0)
                   ? NULL
                   : "no limit was reached";
    if (timed)
        return strcmp(r->kind, "time") == 0 || strcmp(r->kind, "limit") == 0 ? NULL
                                                                             : "no limit reached";
    if (strncmp(s->expect, "error ", 6) == 0)
        return strcmp(r->kind, "error") == 0 && strstr(r->text, s->expect + 6) ? NULL
                                                                               : "another end";
    if (strncmp(s->expect, "value ", 6) == 0)
        return strcmp(r->kind, "value") == 0 && strcmp(r->text, s->expect + 6) == 0 ? NULL
                                                                                    : "another end";
    if (strcmp(s->expect, "same") == 0)
        return strcmp(r->kind, "value") != 0  ? "it did not complete"
               : strcmp(r->same, "same") != 0 ? "the other process's history does not match"
                                              : NULL;
    return "no such expectation";
}

static void wipe(const char *folder)
{
    static const char *const names[] = {"s.lua",     "m0.db",     "m1.db",     "m2.db",
                                        "report0",   "report1",   "report2",   "history",
                                        "m0.db-wal", "m1.db-wal", "m2.db-wal", "m0.db-shm",
                                        "m1.db-shm", "m2.db-shm", NULL};
    char path[400];
    for (int i = 0; names[i]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    if (rmdir(folder)) { /* sockets and locks of the host */
        char cmd[400];
        snprintf(cmd, sizeof cmd, "rm -rf '%s'", folder);
        if (system(cmd)) fprintf(stderr, "%s stays\n", folder);
    }
}

static void tell(const struct spec *s, const char *where, const struct run *r, const char *why)
{
    if (why) {
        failed++;
        printf("FAILED %s (%s): %s\n  attack: %s\n  expect: %s\n  got: %s %.300s\n", s->name, where,
               why, s->attack, s->expect, r->kind, r->text);
    } else {
        passed++;
        if (verbose)
            printf("ok %6.0f ms %7ld KB  %s (%s): %s %.100s\n", r->cpu, r->rss, s->name, where,
                   r->kind, r->text);
    }
    fflush(stdout);
}

static void run_one(const struct spec *s, const char *where)
{
    static struct run a, b;
    char folder[] = "/tmp/mlattackXXXXXX";
    bool same = strcmp(s->expect, "same") == 0, activity = strcmp(where, "activity") == 0;
    if (!mkdtemp(folder)) exit(3);
    spawn(s, where, same ? 1 : 0, folder, &a);
    const char *why = judge(s, &a, activity);
    if (!why && same) {
        spawn(s, where, 2, folder, &b);
        why = judge(s, &b, activity);
        if (!why && strcmp(a.text, b.text) != 0) {
            printf("first:  %.1500s\nsecond: %.1500s\n", a.text, b.text);
            why = "the two processes differ";
        }
        tell(s, where, &b, why);
    } else {
        tell(s, where, &a, why);
    }
    wipe(folder);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}
static int is_lua(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 4 && strcmp(d->d_name + n - 4, ".lua") == 0;
}

/* README.md names every attack in its tables and nothing that is not there. */
static void check_readme(const char *dir)
{
    static const char *const kinds[] = {"cpu_", "ctx_", "det_", "esc_", "mem_", "out_", NULL};
    char path[600], name[100], file[800];
    snprintf(path, sizeof path, "%s/../README.md", dir);
    char *text = read_all(path);
    struct dirent **list;
    int n = text ? scandir(dir, &list, is_lua, by_name) : -1;
    if (n < 0) {
        printf("FAILED README.md cannot be read\n");
        failed++;
        return;
    }
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "`%.*s`", (int)strlen(list[i]->d_name) - 4, list[i]->d_name);
        if (!strstr(text, name)) {
            printf("FAILED README.md does not name %s\n", name);
            failed++;
        }
        free(list[i]);
    }
    free(list);
    for (const char *p = text; (p = strchr(p, '`')) != NULL; p++) {
        for (const char *const *k = kinds; *k; k++) {
            if (strncmp(p + 1, *k, 4) != 0 || sscanf(p + 1, "%99[a-z0-9_]`", name) != 1) continue;
            snprintf(file, sizeof file, "%s/%s.lua", dir, name);
            if (access(file, R_OK) == 0) continue;
            printf("FAILED README.md names %s, which is not there\n", name);
            failed++;
        }
    }
    free(text);
}

/* How long the limit takes here when nothing but plain instructions spends it. */
static void calibrate(const char *dir)
{
    static struct run r;
    struct spec s;
    char folder[] = "/tmp/mlattackXXXXXX";
    if (!read_spec(dir, "cpu_loop.lua", &s) || !mkdtemp(folder)) exit(3);
    spawn(&s, "workflow", 0, folder, &r);
    if (r.cpu > 0) plain_ms = r.cpu;
    wipe(folder);
    printf("the plain loop takes %.0f ms\n", plain_ms);
}

/* A locale with a decimal comma, another collation and other letters, made for this run. */
static void make_locale(char *folder)
{
    char cmd[400];
    snprintf(cmd, sizeof cmd, "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1",
             folder);
    if (system(cmd) == 0)
        locale_folder = folder;
    else
        printf("no localedef here: the second process runs under C.UTF-8\n");
}

static int all(const char *dir, int shard, int shards, const char *only)
{
    struct dirent **list;
    struct spec s;
    int n = scandir(dir, &list, is_lua, by_name), files = 0;
    char folder[] = "/tmp/mllocaleXXXXXX", cmd[100];
    if (n < 0 || !mkdtemp(folder)) return 3;
    make_locale(folder);
    calibrate(dir);
    if (!only && shard == 0) check_readme(dir);
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        bool mine = only ? strncmp(name, only, strlen(only)) == 0 : i % shards == shard;
        if (mine && !read_spec(dir, name, &s)) {
            printf("FAILED %s: its first lines do not say attack, expect and where\n", name);
            failed++;
        } else if (mine) {
            bool both = strcmp(s.where, "both") == 0;
            files++;
            if (both || strcmp(s.where, "activity") != 0) run_one(&s, both ? "workflow" : s.where);
            if (both || strcmp(s.where, "activity") == 0) run_one(&s, "activity");
        }
        free(list[i]);
    }
    free(list);
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", folder);
    if (system(cmd)) printf("%s stays\n", folder);
    printf("%d files, %d passed, %d failed\n", files, passed, failed);
    return failed || (!only && n < 150);
}

int main(int argc, char **argv)
{
    int shard = 0, shards = 1;
    const char *only = NULL;
    if (argc == 6 && strcmp(argv[1], "--one") == 0) return one(argv[2], argv[3], argv[4], argv[5]);
    if (argc < 2) return 2;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0) return 3;
    self[n] = 0;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) verbose = true;
        if (i + 1 < argc && strcmp(argv[i], "--only") == 0) only = argv[i + 1];
        if (i + 1 < argc && strcmp(argv[i], "--shard") == 0 &&
            (sscanf(argv[i + 1], "%d/%d", &shard, &shards) != 2 || shards < 1))
            return 2;
    }
    return all(argv[1], shard, shards, only);
}
