/* Faults that a reading of the host and its socket found, and peers that send anything: the owner
 * goes on serving, a request is answered once, a file has one owner. */
#include "base/mem.h"
#include "host_helpers.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define FRAME_MAX ((size_t)16 << 20)

static const char waits[] =
    "ml.workflow('w', function(x) local ok, v = ml.channel('go'):receive() return v end)";

static void begin(const char *name, const char *text)
{
    fresh(name, text);
    CHECK_INT(setenv("XDG_RUNTIME_DIR", dir, 1), 0); /* the socket is the only one in it */
}

static void step2(ml_host *a, ml_host *b)
{
    if (a) CHECK(ml_step(a, 1000000) >= 0);
    if (b) CHECK(ml_step(b, 1000000) >= 0);
}

static void until(ml_host *a, ml_host *b, const bool *done)
{
    time_t end = time(NULL) + 60;
    while (!*done && time(NULL) < end)
        step2(a, b);
    CHECK(*done);
}

static ml_host *guest_of(ml_host *owner)
{
    ml_config c = config(ML_CLOCK_REAL);
    c.flags = ML_ATTACH;
    ml_host *g = open_with(&c);
    CHECK_INT(ml_attached(g), 1);
    step2(owner, g);
    return g;
}

/* ---- a peer made by hand ---- */

static struct sockaddr_un address(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char folder[100];
    snprintf(folder, sizeof folder, "%s/moonloop", dir);
    DIR *d = opendir(folder);
    CHECK(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        if (e->d_name[0] != '.')
            CHECK(snprintf(a.sun_path, sizeof a.sun_path, "%.60s/%.40s", folder, e->d_name) > 0);
    closedir(d);
    CHECK(a.sun_path[0]);
    return a;
}

/* Nonblocking; -1 when the queue of connections is full. */
static int try_peer(void)
{
    struct sockaddr_un a = address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
    CHECK_INT(errno, EAGAIN);
    close(fd);
    return -1;
}

static int peer(ml_host *owner)
{
    int fd = try_peer();
    CHECK(fd >= 0);
    step2(owner, NULL);
    return fd;
}

/* As much as the owner takes; false when it has hung up. */
static bool give(ml_host *owner, int fd, const char *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t k = send(fd, p + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k < 0 && errno != EAGAIN) return false;
        if (k > 0) at += (size_t)k;
        step2(owner, NULL);
    }
    return true;
}

static bool give_frame(ml_host *owner, int fd, const char *json)
{
    size_t n = strlen(json);
    char head[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    return give(owner, fd, head, 4) && give(owner, fd, json, n);
}

/* The next frame, freed by the caller; NULL when the owner has hung up. */
static char *take(ml_host *owner, int fd)
{
    unsigned char head[4];
    char *p = NULL;
    size_t n = 4, got = 0;
    time_t end = time(NULL) + 60;
    while (time(NULL) < end) {
        ssize_t k = recv(fd, p ? p + got : (char *)head + got, n - got, MSG_DONTWAIT);
        if (k == 0 || (k < 0 && errno != EAGAIN)) {
            free(p);
            return NULL;
        }
        if (k < 0) {
            step2(owner, NULL);
            continue;
        }
        got += (size_t)k;
        if (got < n) continue;
        if (p) {
            p[n] = 0;
            return p;
        }
        n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        CHECK(n <= FRAME_MAX);
        p = malloc(n + 1);
        CHECK(p);
        got = 0;
    }
    fprintf(stderr, "neither an answer nor the end of the connection\n");
    exit(1);
}

static void expect(ml_host *owner, int fd, const char *part)
{
    char *f = take(owner, fd);
    CHECK(f);
    if (!strstr(f, part)) fprintf(stderr, "got %.300s\n", f);
    CHECK(strstr(f, part));
    free(f);
}

static int greeted(ml_host *owner)
{
    int fd = peer(owner);
    CHECK(give_frame(owner, fd, "{\"v\":1,\"hello\":{}}"));
    expect(owner, fd, "\"hello\"");
    return fd;
}

/* A whole run by way of another host: nothing of the owner is harmed. */
static void serves(ml_host *owner, const char *id)
{
    ml_host *g = guest_of(owner);
    ml_start_options o = {.id = id, .drive = 1};
    reply_reset(&rep);
    CHECK_INT(ml_start(g, &o, on_reply, &rep), 0);
    until(owner, g, &rep.done);
    CHECK_INT(rep.code, 0);
    struct reply result = {0};
    CHECK_INT(ml_result(g, id, NULL, 1, on_reply, &result), 0);
    reply_reset(&rep);
    CHECK_INT(ml_signal(g, id, NULL, "go", "7", NULL, on_reply, &rep), 0);
    until(owner, g, &result.done);
    CHECK_STR(result.json, "7");
    until(owner, g, &rep.done);
    reply_reset(&result);
    ml_close(g);
    for (int i = 0; i < 5; i++)
        step2(owner, NULL);
}

static unsigned long long seed = 20260714;
static unsigned dice(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(seed >> 33);
}

static void broken_bytes(ml_host *owner)
{
    static const char *const bad[] = {"", "null", "[]", "{}", "{\"v\":2}", "{\"v\":\"1\"}",
                                      "{\"v\":1", "\xff\xfe", "{\"v\":1e400}",
                                      /* a request before the hello: it would wait for ever */
                                      "{\"v\":1,\"id\":1,\"verb\":\"list\",\"args\":{}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = peer(owner);
        give_frame(owner, fd, bad[i]);
        char *f = take(owner, fd);
        if (f) { /* only one of another version is told why */
            CHECK(strstr(bad[i], "\"v\":2") || strstr(bad[i], "1e400"));
            CHECK(strstr(f, "error"));
            free(f);
            f = take(owner, fd);
        }
        CHECK(!f); /* hung up on */
        close(fd);
    }
    for (int i = 0; i < 60; i++) {
        char bytes[5000];
        int fd = i % 2 ? greeted(owner) : peer(owner);
        size_t n = dice() % sizeof bytes;
        for (size_t k = 0; k < n; k++)
            bytes[k] = (char)dice();
        if (i % 3 == 0 && n > 4) bytes[0] = bytes[1] = 0; /* a length that may be met */
        give(owner, fd, bytes, n);
        close(fd);
        step2(owner, NULL);
    }
    int fd = peer(owner);
    give(owner, fd, "\x01\x00\x00\x01", 4); /* one more than 16 MiB */
    CHECK(!take(owner, fd));
    close(fd);
    char *deep = malloc(200001);
    CHECK(deep);
    memset(deep, '[', 200000);
    deep[200000] = 0;
    fd = peer(owner);
    give_frame(owner, fd, deep);
    CHECK(!take(owner, fd));
    close(fd);
    free(deep);
    fd = peer(owner); /* ends inside a frame */
    give(owner, fd, "\x00\x10\x00\x00{\"v\":", 9);
    close(fd);
    step2(owner, NULL);
}

static void odd_verbs(ml_host *owner)
{
    static const char *const names[] = {"start",    "signal",  "query",     "update",
                                        "cancel",   "result",  "terminate", "list",
                                        "describe", "history", "reset",     "complete_activity",
                                        "replay",   "doctor",  "load",      "drive"};
    static const char *const args[] = {
        "",
        ",\"args\":null",
        ",\"args\":[1,[2]]",
        ",\"args\":\"x\"",
        ",\"args\":{\"id\":7}",
        ",\"args\":{\"id\":\"nobody\",\"name\":\"n\",\"runId\":\"\\u0000\",\"token\":\"t\","
        "\"eventId\":1e300,\"filter\":\"[\",\"failure\":\"{\",\"input\":\"{\",\"args\":\"{\","
        "\"options\":\"[]\",\"path\":\"/nowhere\",\"script\":\"/nowhere\",\"history\":\"{}\"}",
        ",\"args\":{\"id\":\"\xff\xfe\",\"name\":\"\xc0\",\"token\":\"\x80\",\"workflow\":\"\xff\","
        "\"failure\":\"{\\\"cause\\\":{\\\"cause\\\":[]}}\",\"filter\":\"{\\\"limit\\\":-1e300}"
        "\"}"};
    char json[2000];
    int fd = peer(owner), id = 0;
    CHECK(give_frame(owner, fd, "{\"v\":1,\"id\":1,\"verb\":\"list\"}")); /* no greeting yet */
    close(fd);
    fd = greeted(owner);
    CHECK(give_frame(owner, fd, "{\"v\":1,\"id\":1,\"verb\":\"sing\",\"args\":{}}"));
    expect(owner, fd, "no verb");
    for (size_t v = 0; v < sizeof names / sizeof *names; v++)
        for (size_t a = 0; a < sizeof args / sizeof *args; a++) {
            snprintf(json, sizeof json, "{\"v\":1,\"id\":%d,\"verb\":\"%s\"%s}", ++id, names[v],
                     args[a]);
            CHECK(give_frame(owner, fd, json));
            snprintf(json, sizeof json, "\"id\":%d,", id);
            expect(owner, fd, json);
        }
    CHECK(give_frame(owner, fd, "{\"v\":1,\"id\":1e300,\"verb\":\"list\"}"));
    expect(owner, fd, "reply");
    size_t n = 1u << 20;
    char *big = malloc(n + 100);
    CHECK(big);
    for (size_t v = 0; v < 2; v++) { /* an id of a million bytes */
        int at = snprintf(big, 90,
                          "{\"v\":1,\"id\":1,\"verb\":\"%s\",\"args\":{\"name\":\"n\",\"id\":\"",
                          names[v]);
        memset(big + at, 'i', n);
        memcpy(big + (size_t)at + n, "\"}}", 4);
        CHECK(give_frame(owner, fd, big));
        char *f = take(owner, fd);
        CHECK(f && strstr(f, "\"code\":-"));
        free(f);
    }
    free(big);
    CHECK(give_frame(owner, fd, "{\"v\":1,\"id\":9,\"verb\":\"doctor\"}"));
    close(fd); /* leaves before the answer */
    for (int i = 0; i < 10; i++)
        step2(owner, NULL);
}

static void hostile(void)
{
    begin("peers that send anything, ask for anything and leave at any time", waits);
    ml_host *owner = open_host(ML_CLOCK_REAL, 0);
    load_script(owner);
    broken_bytes(owner);
    serves(owner, "a");
    odd_verbs(owner);
    serves(owner, "b");
    for (int i = 0; i < 200; i++)
        close(peer(owner));
    int held[80];
    for (int i = 0; i < 80; i++)
        held[i] = peer(owner); /* more than are kept */
    for (int i = 0; i < 80; i++)
        close(held[i]);
    for (int i = 0; i < 10; i++)
        step2(owner, NULL);
    serves(owner, "c");
    ml_close(owner);
    wipe();
}

static void slow(void)
{
    begin("a peer that reads too slowly is let go, no answer is dropped in silence",
          "ml.workflow('big', function() return ('x'):rep(1000000) end)");
    ml_host *owner = open_host(ML_CLOCK_REAL, 0);
    load_script(owner);
    start(owner, "big", NULL);
    ASK(owner, ml_result(owner, "big", NULL, 1, on_reply, &rep));
    CHECK(rep.json && strlen(rep.json) == 1000002);
    int fd = greeted(owner), asked = 100, got = 0;
    char json[200];
    for (int i = 1; i <= asked; i++) {
        snprintf(json, sizeof json,
                 "{\"v\":1,\"id\":%d,\"verb\":\"result\",\"args\":{\"id\":\"big\"}}", i);
        if (!give_frame(owner, fd, json)) break;
    }
    for (int i = 0; i < 500; i++)
        step2(owner, NULL);
    for (; got < asked; got++) { /* all of them, or the end */
        char *f = take(owner, fd);
        if (!f) break;
        free(f);
    }
    CHECK(got < asked); /* the answers are more than the owner keeps */
    close(fd);
    ml_close(owner);
    wipe();
}

static void no_descriptors(void)
{
    begin("an owner without free descriptors turns a peer away instead of turning round it", waits);
    ml_host *owner = open_host(ML_CLOCK_REAL, 0);
    load_script(owner);
    serves(owner, "before");
    struct rlimit was, tight;
    int fd = try_peer();
    CHECK(fd >= 0);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &was), 0);
    int next = dup(fd);
    close(next);
    tight = (struct rlimit){(rlim_t)next, was.rlim_max};
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &tight), 0);
    char byte;
    ssize_t n = -1;
    for (int i = 0; i < 100 && n < 0; i++) {
        step2(owner, NULL);
        n = recv(fd, &byte, 1, MSG_DONTWAIT);
    }
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &was), 0);
    CHECK_INT(n, 0);
    close(fd);
    serves(owner, "after");
    ml_close(owner);
    wipe();
}

/* Every allocation of asking fails once: the input arrives whole, or the caller is told. */
static void ask_without_memory(ml_host *asks, ml_host *owner, const char *name)
{
    char id[40];
    int told = 0, n = 1;
    for (bool failed = true; failed && n < 2000; n++) {
        snprintf(id, sizeof id, "%s%d", name, n);
        ml_start_options o = {.workflow = "echo", .id = id, .input_json = "\"in\"", .drive = 1};
        reply_reset(&rep);
        long before = mem_alloc_count();
        mem_fail_at(n, false);
        int rc = ml_start(asks, &o, on_reply, &rep);
        failed = mem_alloc_count() - before >= n;
        mem_fail_at(0, false);
        if (rc) {
            CHECK_INT(rc, ML_E_NOMEM);
            told++;
            continue;
        }
        until(asks, owner, &rep.done);
        if (rep.code) {
            told++;
            continue;
        }
        struct reply result = {0};
        CHECK_INT(ml_result(asks, id, NULL, 1, on_reply, &result), 0);
        until(asks, owner, &result.done);
        CHECK_STR(result.json, "\"in\"");
        reply_reset(&result);
    }
    CHECK(told > 5);
    CHECK(n < 2000);
}

static void no_memory(void)
{
    begin("a start that lost part of what was asked for lack of memory is not made",
          "ml.workflow('echo', function(x) return x end)");
    ml_host *owner = open_host(ML_CLOCK_REAL, 0);
    load_script(owner);
    ml_host *guest = guest_of(owner);
    ask_without_memory(guest, owner, "guest");
    ask_without_memory(owner, NULL, "owner");
    ml_close(guest);
    ml_close(owner);
    wipe();
}

/* ---- clients of an owner that goes ---- */

static void too_large(void)
{
    begin("a request that is too large, and the owner goes in the same turn", waits);
    ml_host *owner = open_host(ML_CLOCK_REAL, 0), *guest = guest_of(owner);
    size_t n = FRAME_MAX + 100;
    char *text = malloc(n + 1);
    CHECK(text);
    memset(text, '1', n);
    text[n] = 0;
    ml_close(owner);
    reply_reset(&rep);
    CHECK_INT(ml_signal(guest, "s", NULL, "go", text, NULL, on_reply, &rep), 0);
    until(guest, NULL, &rep.done);
    CHECK_INT(rep.code, ML_E_LIMIT);
    for (int i = 0; i < 5; i++)
        step2(guest, NULL);
    free(text);
    ml_close(guest);
    wipe();
}

static int asked_again;
static ml_host *again_host;
static void ask_again(void *ud, const ml_reply *r)
{
    (void)ud;
    CHECK(++asked_again < 1000);
    if (r->code == ML_E_CLOSED) CHECK_INT(ml_list(again_host, NULL, ask_again, NULL), 0);
}

static void insists(void)
{
    begin("a client that asks again inside its answer goes on when the owner has gone", waits);
    ml_host *owner = open_host(ML_CLOCK_REAL, 0), *guest = guest_of(owner);
    again_host = guest;
    asked_again = 0;
    CHECK_INT(ml_list(guest, NULL, ask_again, NULL), 0);
    ml_close(owner);
    time_t end = time(NULL) + 60;
    while (asked_again < 2 && time(NULL) < end)
        step2(guest, NULL);
    CHECK_INT(asked_again, 2); /* told that the owner has gone, then answered by itself */
    ml_close(guest);
    wipe();
}

static void damaged(void)
{
    begin("a client that cannot take the file over says so and stays usable", waits);
    ml_host *owner = open_host(ML_CLOCK_REAL, 0), *guest = guest_of(owner);
    ml_close(owner);
    FILE *f = fopen(db_path, "w");
    CHECK(f);
    for (int i = 0; i < 10000; i++)
        fputs("not a database ", f);
    fclose(f);
    time_t end = time(NULL) + 60;
    while (ml_attached(guest) && time(NULL) < end)
        step2(guest, NULL);
    CHECK_INT(ml_attached(guest), 0);
    CHECK_INT(ml_list(guest, NULL, on_reply, &rep), ML_E_CLOSED);
    CHECK(strstr(ml_error(guest), db_path));
    CHECK_INT(ml_load(guest, script_path, NULL, 0, on_load, &loaded), ML_E_CLOSED);
    CHECK_INT(ml_doctor(guest, on_reply, &rep), ML_E_CLOSED);
    CHECK(ml_save(guest, db_path) < 0);
    ml_drive(guest, NULL);
    ml_drive(guest, "x");
    CHECK_INT(ml_run(guest, NULL, NULL), ML_E_CLOSED);
    ml_host *h = NULL; /* it does not keep the file from others either */
    ml_config c = config(ML_CLOCK_REAL);
    CHECK_INT(ml_open(&c, &h), ML_E_CORRUPT);
    ml_close(guest);
    wipe();
}

static void crowded(void)
{
    begin("an owner that answers nobody: opening a client ends, it does not wait for ever", waits);
    ml_host *owner = open_host(ML_CLOCK_REAL, 0), *h = NULL;
    int fd[200], n = 0;
    while (n < 200 && (fd[n] = try_peer()) >= 0)
        n++;
    CHECK(n > 0 && n < 200);
    alarm(60); /* the queue is full: connecting would block */
    ml_config c = config(ML_CLOCK_REAL);
    c.flags = ML_ATTACH;
    CHECK_INT(ml_open(&c, &h), ML_E_BUSY);
    alarm(0);
    while (n)
        close(fd[--n]);
    ml_close(owner);
    wipe();
}

/* A process that owns the file and runs until it is killed. */
static pid_t owner_process(void)
{
    int ready[2];
    char byte;
    CHECK_INT(pipe(ready), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        ml_host *h = open_host(ML_CLOCK_REAL, 0);
        if (write(ready[1], "x", 1) != 1) _exit(1);
        ml_run(h, not_done, &(struct reply){0});
        _exit(0);
    }
    close(ready[1]);
    CHECK_INT(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void killed(void)
{
    begin("a killed owner: its client goes on with what was asked, its socket harms nobody", waits);
    pid_t pid = owner_process();
    ml_config c = config(ML_CLOCK_REAL);
    c.flags = ML_ATTACH;
    ml_host *guest = open_with(&c);
    CHECK_INT(ml_attached(guest), 1);
    load_script(guest);
    start(guest, "k", NULL);
    CHECK_INT(rep.code, 0);
    struct reply result = {0};
    CHECK_INT(ml_result(guest, "k", NULL, 1, on_reply, &result), 0);
    CHECK_INT(kill(pid, SIGSTOP), 0);
    reply_reset(&rep); /* asked of an owner that will never answer */
    CHECK_INT(ml_signal(guest, "k", NULL, "go", "1", "the request", on_reply, &rep), 0);
    step2(guest, NULL);
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    until(guest, NULL, &rep.done);
    CHECK_INT(rep.code, 0);
    CHECK_INT(ml_attached(guest), 0);
    ml_drive(guest, NULL);
    until(guest, NULL, &result.done);
    CHECK_STR(result.json, "1");
    reply_reset(&result);
    ml_close(guest);
    pid = owner_process();
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    ml_host *h = open_host(ML_CLOCK_REAL, ML_ATTACH);
    CHECK_INT(ml_attached(h), 0);
    ml_close(h);
    wipe();
}

static void program(void)
{
    begin("a client's plain program is run to its end by ml_run", waits);
    pid_t pid = owner_process();
    ml_config c = config(ML_CLOCK_REAL);
    c.flags = ML_ATTACH;
    ml_host *guest = open_with(&c);
    script("ml.sleep('0.2s')\n");
    const char *const args[] = {NULL};
    loaded = (struct load){0};
    CHECK_INT(ml_load(guest, script_path, args, 0, on_load, &loaded), 0);
    CHECK_INT(ml_run(guest, NULL, NULL), 0);
    CHECK(loaded.done);
    CHECK_INT(loaded.code, 0);
    CHECK_INT(loaded.program, 1);
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    ml_close(guest);
    wipe();
}

/* ---- one owner of a file, whatever it is called ---- */

static void one_owner(void)
{
    begin("the lock file removed, another name of the file, another folder: still one owner",
          waits);
    ml_host *owner = open_host(ML_CLOCK_REAL, 0), *h = NULL;
    char other[200];
    ml_config c = config(ML_CLOCK_REAL);
    snprintf(other, sizeof other, "%s/link.db", dir);
    CHECK_INT(symlink(db_path, other), 0);
    c.path = other;
    CHECK_INT(ml_open(&c, &h), ML_E_BUSY);
    snprintf(other, sizeof other, "%s/hard.db", dir);
    CHECK_INT(link(db_path, other), 0);
    CHECK_INT(ml_open(&c, &h), ML_E_BUSY);
    CHECK_INT(unlink(other), 0);
    snprintf(other, sizeof other, "%s.lock", db_path);
    CHECK_INT(unlink(other), 0);
    c.path = db_path;
    CHECK_INT(ml_open(&c, &h), ML_E_BUSY);
    ml_host *guest = guest_of(owner); /* and a client finds it */
    ml_close(guest);
    ml_close(owner);

    char cwd[400];
    CHECK(getcwd(cwd, sizeof cwd));
    CHECK_INT(chdir(dir), 0);
    c.path = "m.db";
    owner = open_with(&c);
    c.flags = ML_ATTACH;
    guest = open_with(&c);
    CHECK_INT(ml_attached(guest), 1);
    step2(owner, guest);
    snprintf(other, sizeof other, "%s/elsewhere", dir);
    CHECK_INT(mkdir(other, 0700), 0);
    CHECK_INT(chdir(other), 0);
    ml_close(owner);
    time_t end = time(NULL) + 60;
    while (ml_attached(guest) && time(NULL) < end)
        step2(guest, NULL);
    CHECK_INT(ml_attached(guest), 0);
    CHECK(access("m.db", F_OK) != 0); /* no second file was begun */
    ml_close(guest);
    CHECK_INT(chdir(cwd), 0);
    wipe();
}

/* ---- snapshots ---- */

static ml_host *in_memory(enum ml_clock clock)
{
    ml_config c = config(clock);
    c.path = NULL;
    c.durability = ML_DURABILITY_SNAPSHOT;
    return open_with(&c);
}

static char snap[200];
static int restored;
static void restore_inside(void *ud, const ml_reply *r)
{
    CHECK_INT(r->code, 0);
    restored = ml_restore(ud, snap);
    rep.done = true;
}

static void restoring(void)
{
    begin("going back to a snapshot while answers are on their way", waits);
    snprintf(snap, sizeof snap, "%s/snap.db", dir);
    ml_host *h = in_memory(ML_CLOCK_REAL);
    load_script(h);
    start(h, "s", NULL);
    while (ml_idle_state(h) == 1) /* its first task is done, however long that takes */
        step2(h, NULL);
    CHECK_INT(ml_save(h, snap), 0);
    struct reply doctor = {0}, replay = {0};
    CHECK_INT(ml_doctor(h, on_reply, &doctor), 0);
    CHECK_INT(ml_replay(h, "{}", script_path, on_reply, &replay), 0);
    CHECK_INT(ml_restore(h, snap), 0);
    until(h, NULL, &doctor.done);
    until(h, NULL, &replay.done);
    reply_reset(&doctor);
    reply_reset(&replay);
    reply_reset(&rep);
    CHECK_INT(ml_list(h, NULL, restore_inside, h), 0);
    until(h, NULL, &rep.done);
    CHECK_INT(restored, ML_E_BUSY);
    for (int i = 0; i < 10; i++)
        step2(h, NULL);
    ASK(h, ml_list(h, NULL, on_reply, &rep));
    CHECK(rep.json && strstr(rep.json, "\"s\""));
    ml_close(h);

    CASE("a snapshot that this host cannot hold is refused");
    h = in_memory(ML_CLOCK_VIRTUAL);
    CHECK_INT(ml_save(h, snap), 0);
    ml_close(h);
    h = in_memory(ML_CLOCK_REAL);
    load_script(h);
    start(h, "mine", NULL);
    CHECK(ml_restore(h, snap) < 0);
    for (int i = 0; i < 10; i++)
        step2(h, NULL);
    reply_reset(&rep);
    int rc = ml_list(h, NULL, on_reply, &rep);
    if (rc == 0) {
        until(h, NULL, &rep.done);
        CHECK(rep.json && strstr(rep.json, "\"mine\""));
    }
    CHECK_INT(rc, 0);
    ml_close(h);
    wipe();
}

/* Sends the run on until its activity has failed once and waits for its next attempt. */
static void fail_once(ml_host *h)
{
    events[0] = 0;
    reply_reset(&rep);
    CHECK_INT(ml_signal(h, "r", NULL, "go", "1", NULL, on_reply, &rep), 0);
    until(h, NULL, &rep.done);
    time_t end = time(NULL) + 60;
    while (!strstr(events, "ActivityTaskScheduled:f") && time(NULL) < end)
        step2(h, NULL);
    CHECK(strstr(events, "ActivityTaskScheduled:f"));
}

static void back_twice(void)
{
    begin("going back over an activity that is open",
          "local f = ml.activity('f', {timeout='5s', "
          "retry={initial='1h'}}, function() error('no') end)\n"
          "ml.workflow('w', function() ml.channel('go'):receive() f() end)");
    snprintf(snap, sizeof snap, "%s/snap.db", dir);
    ml_host *h = in_memory(ML_CLOCK_REAL);
    load_script(h);
    start(h, "r", NULL);
    time_t end = time(NULL) + 60;
    while (ml_idle_state(h) == 1 && time(NULL) < end)
        step2(h, NULL);
    CHECK_INT(ml_save(h, snap), 0);
    for (int i = 0; i < 3; i++) {
        fail_once(h);
        int rc = ML_E_BUSY;
        while (rc == ML_E_BUSY && time(NULL) < end) {
            step2(h, NULL);
            rc = ml_restore(h, snap);
        }
        CHECK_INT(rc, 0);
        ml_drive(h, NULL);
    }
    ml_close(h);
    wipe();
}

/* ---- another thread ---- */

static atomic_bool running;
static void *stopper(void *ud)
{
    while (!atomic_load(&running))
        ;
    ml_stop(ud);
    return NULL;
}

static int note_running(void *ud)
{
    (void)ud;
    atomic_store(&running, true);
    return 1;
}

static void stopped(void)
{
    begin("ml_stop from another thread ends ml_run", waits);
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    for (int i = 0; i < 50; i++) {
        pthread_t t;
        atomic_store(&running, false);
        CHECK_INT(pthread_create(&t, NULL, stopper, h), 0);
        CHECK_INT(ml_run(h, note_running, NULL), 0);
        CHECK_INT(pthread_join(t, NULL), 0);
    }
    ml_close(h);
    wipe();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } all[] = {{"killed", killed},
               {"hostile", hostile},
               {"slow", slow},
               {"too_large", too_large},
               {"insists", insists},
               {"damaged", damaged},
               {"crowded", crowded},
               {"one_owner", one_owner},
               {"restoring", restoring},
               {"program", program},
               {"no_descriptors", no_descriptors},
               {"no_memory", no_memory},
               {"back_twice", back_twice},
               {"stopped", stopped}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (argc < 2 || strcmp(argv[1], all[i].name) == 0) all[i].fn();
    reply_reset(&rep);
    return CHECK_DONE();
}
