/* Runs the load once for each place at which a fault can be: a process of its own for each, which
 * is told where, so that a crash, a hang or a leak is seen from outside. scripts/faults calls it.
 *
 *   fault_run KIND MODE FROM TO STRIDE --script FILE [--seed S] [--steps N] [--threads] [--evict]
 *             [--hang SECONDS] [--keep]
 *     alloc once|on     the n-th allocation fails, alone or with all that follow until it is lifted
 *     io once|on|lost   the n-th call to the file system; lost: the n-th sync fails and loses what
 *                       was not synced
 *     full -            the disk is full past n * 4 KiB
 *     power -           the power goes at the n-th sync
 *     files -           n - 1 descriptors are free
 *     processes -       no process and no thread can be made from the n-th "note" on
 *   --threads: with the writer's thread; --evict: each run is rebuilt for each task.
 *   TO 0: to the last place there is. Prints a line for each that failed, and one line of JSON. */
#include "base/mem.h"
#include "fault_load.h"
#include "store/vfs_fault.h"

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIFT_AFTER_MS 30 /* a fault that stays is lifted so long after it was first met */
#define DEAD_MS 10       /* a process lives so long after the power went */

enum kind { NONE, ALLOC, IO, FULL, POWER, FILES, PROCESSES, N_KINDS };
static struct {
    enum kind kind;
    bool on, lost, keep, threads, outside;
    long from, to, stride;
    uint64_t seed;
    int steps, hang;
    const char *script;
    char folder[64], url[64];
} o = {.stride = 1, .steps = 66, .hang = 60};

static struct ledger *led;
static long fault_at, base_count;
static atomic_bool lifted, stopping;

/* ---- the fault ---- */
/* What is limited for the process as a whole; the parent never is. */
static struct rlimit was;
static int limited;

static void limit(int what, long n)
{
    struct rlimit now;
    if (getrlimit(what, &was)) _exit(9);
    now = was;
    now.rlim_cur = (rlim_t)n < was.rlim_cur ? (rlim_t)n : was.rlim_cur;
    limited = what;
    led->hit = true;
    if (setrlimit(what, &now)) _exit(9);
}

/* The system does not limit the processes of root. */
static void become_nobody(const char *dir)
{
    if (geteuid() == 0 && (chown(dir, 65534, 65534) || setgid(65534) || setuid(65534))) _exit(9);
}

static int open_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d) closedir(d);
    return n;
}

static void set_fault(enum kind kind, long n)
{
    fault_at = n;
    atomic_store(&lifted, false);
    vfs_fault_reset();
    base_count = mem_alloc_count();
    switch (kind) {
    case ALLOC:
        mem_fail_at(n, o.on);
        break;
    case IO:
        if (o.lost)
            vfs_fault_lost_sync(n, o.seed);
        else
            vfs_fault_io(n, o.on);
        break;
    case FULL:
        vfs_fault_quota(n * 4096);
        break;
    case POWER:
        vfs_fault_power(n, o.seed);
        break;
    case FILES: {
        int next = dup(2);
        close(next);
        limit(RLIMIT_NOFILE, next + n - 1);
        break;
    }
    default:
        break;
    }
}

static bool happened(void)
{
    if (o.kind == ALLOC) return fault_at && mem_alloc_count() - base_count >= fault_at;
    return o.kind != NONE && (led->hit || vfs_fault_hit());
}

static bool faulty(void)
{
    return happened() && !atomic_load(&lifted);
}

static void lift(void)
{
    if (o.kind == ALLOC) mem_fail_at(0, false);
    if (o.kind == POWER || o.lost) vfs_fault_power(0, 0);
    if (o.kind == IO && !o.lost) vfs_fault_io(0, false);
    if (o.kind == FULL) vfs_fault_quota(-1);
    if (led->hit && (o.kind == FILES || o.kind == PROCESSES)) setrlimit(limited, &was);
}

static void *watch(void *ud)
{
    (void)ud;
    int ms = 0;
    struct timespec t = {0, 1000000};
    while (!atomic_load(&stopping)) {
        nanosleep(&t, NULL);
        if (o.kind == PROCESSES && !led->hit && led->n_note >= fault_at - 1) limit(RLIMIT_NPROC, 0);
        ms += happened();
        if (happened()) led->hit = true;
        if (o.kind == POWER && ms > DEAD_MS) {
            led->died = true;
            _exit(0);
        }
        if (o.kind != POWER && ms > LIFT_AFTER_MS && !atomic_load(&lifted)) {
            led->hit = true;
            lift();
            atomic_store(&lifted, true);
        }
    }
    return NULL;
}

static int expected(int code)
{
    switch (o.kind) {
    case ALLOC:
        return code == ML_E_NOMEM;
    case IO:
        return code == ML_E_IO || code == ML_E_NOMEM;
    case FULL:
        return code == ML_E_DISK_FULL;
    case POWER:
        return 1;
    case FILES:
    case PROCESSES:
        return code == ML_E_IO || code == ML_E_NOMEM;
    default:
        break;
    }
    return 0;
}

/* ---- one process ---- */
void __lsan_do_leak_check(void) __attribute__((weak));

/* Where it happened, for addr2line. */
static void write_stack(void)
{
    void *at[40];
    backtrace_symbols_fd(at, backtrace(at, 40), 2);
}

static void life(const char *dir, enum kind kind, long n, bool check)
{
    char log[100];
    snprintf(log, sizeof log, "%s/log", dir);
    int fd = open(log, O_CREAT | O_WRONLY | O_APPEND, 0600);
    if (fd < 0 || dup2(fd, 2) < 0) _exit(9);
    alarm((unsigned)o.hang);
    o.kind = kind;
    struct load l = {.ledger = led,
                     .dir = dir,
                     .script = o.script,
                     .url = o.url[0] ? o.url : NULL,
                     .steps = o.steps,
                     .flags = o.threads ? 0 : ML_NO_THREADS,
                     .clock = ML_CLOCK_VIRTUAL,
                     .late = kind == FULL,
                     .faulty = faulty,
                     .happened = happened,
                     .expected = expected};
    l.outside = o.outside;
    if (kind == PROCESSES) become_nobody(dir);
    long live = mem_live_count();
    int files = open_files();
    pthread_t watcher;
    mem_on_fail(write_stack);
    set_fault(kind, n);
    if (kind != NONE && pthread_create(&watcher, NULL, watch, NULL)) _exit(9);
    int rc = load_run(&l);
    led->allocations = mem_alloc_count() - base_count;
    led->calls = vfs_fault_io_count();
    led->syncs = vfs_fault_sync_count();
    led->bytes = vfs_fault_most_bytes();
    led->hit = led->hit || happened();
    while (kind == POWER && led->hit)
        pause(); /* nothing is looked at in a process without power */
    if (kind != NONE) {
        atomic_store(&stopping, true);
        pthread_join(watcher, NULL);
        lift();
    }
    if (!rc && open_files() != files) {
        snprintf(led->why, sizeof led->why, "%d descriptors were left open", open_files() - files);
        if (system("ls -l /proc/$PPID/fd >&2")) fprintf(stderr, "they cannot be listed\n");
        rc = 1;
    }
    if (!rc && mem_live_count() != live) {
        snprintf(led->why, sizeof led->why, "%ld allocations were not freed",
                 mem_live_count() - live);
        rc = 1;
    }
    if (!rc && check) rc = load_check(&l);
    exit(rc); /* the leak checker of the sanitizer looks now */
}

static void describe_end(int status)
{
    if (led->why[0]) return;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(led->why, sizeof led->why, "it hung: request %d, acknowledged", led->acknowledged);
    else if (WIFSIGNALED(status))
        snprintf(led->why, sizeof led->why, "it was ended by the signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        snprintf(led->why, sizeof led->why, "it ended with %d", WEXITSTATUS(status));
}

static int child(const char *dir, enum kind kind, long n)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        life(dir, kind, n, true);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        snprintf(led->why, sizeof led->why, "no process: %s", strerror(errno));
        return 1;
    }
    describe_end(status);
    return led->why[0] != 0;
}

static int run_one(enum kind kind, long n, char *dir)
{
    memset(led, 0, sizeof *led);
    snprintf(dir, 100, "%s/%ld", o.folder, n);
    if (mkdir(dir, 0700)) return 1;
    int rc = child(dir, kind, n);
    if (!rc && led->died) rc = child(dir, NONE, 0); /* the power is back */
    return rc;
}

static void wipe(const char *dir)
{
    char cmd[200];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    if (system(cmd)) fprintf(stderr, "cannot remove %s\n", dir);
}

/* ---- the peer of the load's HTTP activity ---- */
static int serve(int fd)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\nConnection: "
        "close\r\n\r\n{\"n\":3}";
    char buf[4096];
    for (;;) {
        int c = accept(fd, NULL, NULL);
        if (c < 0) return 1;
        if (read(c, buf, sizeof buf) > 0 && write(c, answer, sizeof answer - 1) < 0)
            fprintf(stderr, "peer: %s\n", strerror(errno));
        close(c);
    }
}

static pid_t start_peer(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 20) ||
        getsockname(fd, (struct sockaddr *)&a, &n))
        return -1;
    snprintf(o.url, sizeof o.url, "http://127.0.0.1:%d/", ntohs(a.sin_port));
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(serve(fd));
    }
    close(fd);
    return pid;
}

/* ---- all places ---- */
static const char *const kinds[] = {"none", "alloc", "io", "full", "power", "files", "processes"};

static int options(int argc, char **argv)
{
    if (argc < 6) return 2;
    for (int k = ALLOC; k < N_KINDS; k++)
        if (strcmp(argv[1], kinds[k]) == 0) o.kind = (enum kind)k;
    o.on = strcmp(argv[2], "on") == 0;
    o.lost = strcmp(argv[2], "lost") == 0;
    o.from = atol(argv[3]);
    o.to = atol(argv[4]);
    o.stride = atol(argv[5]) > 0 ? atol(argv[5]) : 1;
    for (int i = 6; i < argc; i++) {
        const char *v = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--threads") == 0) o.threads = true;
        if (strcmp(argv[i], "--keep") == 0) o.keep = true;
        if (strcmp(argv[i], "--evict") == 0) setenv("ML_EVICT_ALWAYS", "1", 1);
        if (strcmp(argv[i], "--seed") == 0) o.seed = strtoull(v, NULL, 10);
        if (strcmp(argv[i], "--steps") == 0) o.steps = atoi(v);
        if (strcmp(argv[i], "--hang") == 0) o.hang = atoi(v);
        if (strcmp(argv[i], "--script") == 0) o.script = v;
    }
    o.outside = o.kind == FILES || o.kind == PROCESSES;
    return o.kind == NONE || !o.script ? 2 : 0;
}

static char shape[SHAPE_MAX], result[4000];

static bool same(void)
{
    if (strcmp(result, led->result) != 0)
        snprintf(led->why, sizeof led->why, "another result: %.800s instead of %.800s", led->result,
                 result);
    else if (strcmp(shape, led->shape) != 0)
        snprintf(led->why, sizeof led->why, "another history");
    return !led->why[0];
}

static void write_shape(const char *dir, const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

/* What libraries allocate once a process is allocated here, before the first process is made. */
static bool warm_up(void)
{
    char dir[100];
    struct load l = {.ledger = led,
                     .dir = dir,
                     .script = o.script,
                     .url = o.url[0] ? o.url : NULL,
                     .steps = 12,
                     .flags = ML_NO_THREADS,
                     .clock = ML_CLOCK_VIRTUAL,
                     .faulty = faulty,
                     .happened = happened,
                     .expected = expected};
    enum kind kind = o.kind;
    memset(led, 0, sizeof *led);
    snprintf(dir, sizeof dir, "%s/warm", o.folder);
    o.kind = NONE;
    bool ok = mkdir(dir, 0700) == 0 && load_run(&l) == 0;
    o.kind = kind;
    if (!ok)
        printf("FAILED without a fault: %s (files in %s)\n", led->why, dir);
    else
        wipe(dir);
    return ok;
}

static long places; /* of the kind that is asked for */

static bool reference(void)
{
    char dir[100];
    enum kind kind = o.kind;
    if (run_one(NONE, 0, dir)) {
        printf("FAILED without a fault: %s (files in %s)\n", led->why, dir);
        return false;
    }
    o.kind = kind;
    places = kind == ALLOC       ? led->allocations
             : kind == FULL      ? led->bytes / 4096
             : kind == POWER     ? led->syncs
             : kind == FILES     ? 40
             : kind == PROCESSES ? led->n_note + 1
             : o.lost            ? led->syncs
                                 : led->calls;
    snprintf(shape, sizeof shape, "%s", led->shape);
    snprintf(result, sizeof result, "%s", led->result);
    if (!o.keep) wipe(dir);
    return true;
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* with the script that asked */
    char dir[100];
    long n = 0, ran = 0, hit = 0, bad = 0, refused = 0, again = 0, reopened = 0;
    struct timespec t0, t1;
    if (options(argc, argv))
        return fprintf(stderr, "usage: fault_run KIND MODE FROM TO STRIDE --script FILE ...\n"), 2;
    led = mmap(NULL, sizeof *led, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(o.folder, sizeof o.folder, "/tmp/mlfaultXXXXXX");
    if (led == MAP_FAILED || !mkdtemp(o.folder) || chmod(o.folder, 0711) || vfs_fault_register() ||
        sqlite3_vfs_register(sqlite3_vfs_find("moonloop-fault"), 1))
        return 2;
    setenv("ML_SICK_MS", "1", 1);
    pid_t peer = start_peer();
    enum kind kind = o.kind;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    bool ok = warm_up() && reference();
    long beyond = 0; /* places in a row where nothing happened: behind the last one */
    for (n = o.from; ok &&
                     n <= (o.to        ? o.to
                           : o.outside ? places
                                       : LONG_MAX) &&
                     beyond < 3;
         n += o.stride) {
        int rc = run_one(kind, n, dir);
        o.kind = kind;
        ran++;
        hit += led->hit;
        beyond = led->hit ? 0 : beyond + 1;
        refused += led->refused;
        again += led->asked_again;
        reopened += led->reopened;
        if (rc || !same()) {
            bad++;
            printf("FAILED %s %s n=%ld seed=%llu: %s (files in %s)\n", argv[1], argv[2], n,
                   (unsigned long long)o.seed, led->why, dir);
            write_shape(dir, "shape", led->shape);
            write_shape(dir, "shape.want", shape);
            fflush(stdout);
        } else if (!o.keep) {
            wipe(dir);
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    if (peer > 0) kill(peer, SIGKILL);
    if (!bad && ok && !o.keep) wipe(o.folder);
    printf("{\"kind\":\"%s\",\"places\":%ld,\"mode\":\"%s\",\"ran\":%ld,\"hit\":%ld,\"last\":%ld,"
           "\"failed\":%ld,"
           "\"refused_starts\":%ld,\"asked_again\":%ld,\"reopened\":%ld,"
           "\"seconds\":%.1f}\n",
           argv[1], places, argv[2], ran, hit, n - o.stride, bad, refused, again, reopened,
           (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9);
    return bad || !ok ? 1 : 0;
}
