/* A storm of signals: 200 steps run while a program beside sends this process a harmless signal as
 * fast as it can, with a handler that does not restart system calls. Whatever waits, reads or
 * writes meets EINTR; everything completes, each step once. */
#include "host_helpers.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define STEPS 200

static volatile sig_atomic_t caught;
static pthread_t host;
static atomic_int elsewhere; /* on a thread that is not the host's */
static void on_usr1(int n)
{
    (void)n;
    if (pthread_equal(pthread_self(), host))
        caught++;
    else
        elsewhere++;
}

/* Sends until it is killed; ends by itself when the test is gone. */
static pid_t storm(pid_t to)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid) return pid;
    const struct timespec pause = {0, 20000};
    alarm(120);
    while (kill(to, SIGUSR1) == 0)
        nanosleep(&pause, NULL);
    _exit(0);
}

static void steps(const char *name, unsigned flags)
{
    fresh(name,
          "local o = { timeout = '30s', retry = { max_attempts = 1 } }\n"
          "local note = ml.activity('note', o, function(path, i) ml.fs.append(path, i .. '\\n') "
          "return i end)\n"
          "local kept = ml.activity('kept', o, function(i) ml.store.set('s', 'k' .. i, i) return "
          "(ml.store.get('s', 'k' .. i)) end)\n"
          "local spawn = ml.activity('spawn', o, function(i) return tonumber(ml.process.run({ "
          "'echo', tostring(i) }):ok().stdout) end)\n"
          "local big = ml.activity('big', o, function(i) return { i, ('x'):rep(20000) } end)\n"
          "ml.workflow('w', function(path)\n"
          "  local sum = 0\n"
          "  for i = 1, 200 do\n"
          "    if i % 10 == 0 then sum = sum + spawn(i)\n"
          "    elseif i % 10 == 1 then ml.sleep(0.005) sum = sum + note(path, i)\n"
          "    elseif i % 10 == 2 then sum = sum + big(i)[1]\n"
          "    elseif i % 2 == 0 then sum = sum + kept(i)\n"
          "    else sum = sum + note(path, i) end\n"
          "  end\n"
          "  return sum\n"
          "end)");
    struct sigaction mine = {.sa_handler = on_usr1}, before; /* no SA_RESTART */
    CHECK(sigaction(SIGUSR1, &mine, &before) == 0);
    caught = 0;
    pid_t pid = storm(getpid());
    char path[160], input[200];
    snprintf(path, sizeof path, "%s/notes", dir);
    snprintf(input, sizeof input, "\"%s\"", path);
    ml_host *h = open_host(ML_CLOCK_REAL, flags);
    load_script(h);
    start(h, "storm", input);
    ASK(h, ml_result(h, "storm", NULL, 1, on_reply, &rep));
    CHECK_INT(rep.code, 0);
    CHECK_STR(rep.status, "Completed");
    CHECK_STR(rep.json, "20100");
    ml_close(h);
    h = open_host(ML_CLOCK_REAL, flags); /* all of it is in the file */
    ASK(h, ml_result(h, "storm", NULL, 0, on_reply, &rep));
    CHECK_STR(rep.json, "20100");
    ml_close(h);
    CHECK(kill(pid, SIGKILL) == 0);
    while (waitpid(pid, NULL, 0) < 0)
        CHECK_INT(errno, EINTR);
    CHECK(sigaction(SIGUSR1, &before, NULL) == 0);
    FILE *f = fopen(path, "r");
    CHECK(f);
    int seen = 0, i = 0, last = 0;
    while (fscanf(f, "%d", &i) == 1) {
        CHECK(i > last); /* each once, in order */
        last = i;
        seen++;
    }
    fclose(f);
    CHECK_INT(seen, 100);
    printf("%s: %d steps, %d signals\n", name, STEPS, (int)caught);
    CHECK(caught > STEPS);
    CHECK_INT(elsewhere, 0); /* signals are the host's: none lands on a thread of the library */
    wipe();
}

int main(void)
{
    host = pthread_self();
    steps("a storm of signals, the writer on a thread of its own", 0);
    steps("a storm of signals, the writer inside the step", ML_NO_THREADS);
    return CHECK_DONE();
}
