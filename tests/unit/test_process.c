/* Programs on the loop: output, input, environment, limits, time-outs and the kill of the whole
 * group. */
#include "base/mem.h"
#include "check.h"
#include "os/process.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static struct loop *loop;
struct got {
    struct process *p;
    struct buf out, err;
    bool done, pause_each;
    struct process_result r;
};

static void on_output(void *ud, int stream, struct str text)
{
    struct got *g = ud;
    buf_putstr(stream == 1 ? &g->out : &g->err, text);
    if (g->pause_each) process_pause(g->p, true);
}
static void on_exit_(void *ud, const struct process_result *r)
{
    struct got *g = ud;
    g->done = true;
    g->r = *r;
}

static int begin(struct got *g, struct process_options *o, const char *script, struct err *e)
{
    static struct str args[3];
    memset(g, 0, sizeof *g);
    buf_init(&g->out, 64u << 20);
    buf_init(&g->err, 64u << 20);
    if (script) {
        args[0] = STR("sh");
        args[1] = STR("-c");
        args[2] = str_of(script);
        o->args = args;
        o->n_args = 3;
    }
    return process_start(loop, o, on_output, on_exit_, g, &g->p, e);
}
static void finish(struct got *g)
{
    process_close(g->p);
    buf_free(&g->out);
    buf_free(&g->err);
}
static void run(struct got *g, struct process_options *o, const char *script)
{
    struct err e = {0};
    CHECK_INT(begin(g, o, script, &e), 0);
    while (!g->done)
        loop_turn(loop, -1);
}

int main(void)
{
    struct err e = {0};
    struct got g;
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);

    CASE("output of both kinds, and the exit code");
    struct process_options o = {0};
    run(&g, &o, "echo out; echo err >&2; exit 3");
    CHECK_STR(g.out.p, "out\n");
    CHECK_STR(g.err.p, "err\n");
    CHECK_INT(g.r.exit_code, 3);
    CHECK_INT(g.r.err.code, 0);
    finish(&g);

    CASE("stdin, folder and environment");
    struct str env[] = {STR("ML_TEST_A=one"), STR("HOME=/nowhere")};
    o = (struct process_options){.input = STR("hello"), .cwd = STR("/"), .env = env, .n_env = 2};
    run(&g, &o, "cat; pwd; echo $ML_TEST_A $HOME");
    CHECK_STR(g.out.p, "hello/\none /nowhere\n");
    finish(&g);

    CASE("a large input through cat, with a reader that pauses");
    static char big[3 << 20];
    memset(big, 'q', sizeof big);
    o = (struct process_options){.input = str_make(big, sizeof big)};
    CHECK_INT(begin(&g, &o, "cat", &e), 0);
    g.pause_each = true;
    while (!g.done) {
        loop_turn(loop, NS_PER_MS);
        process_pause(g.p, false);
    }
    CHECK_INT(g.out.n, sizeof big);
    finish(&g);

    CASE("a program that is not there");
    struct str missing = STR("ml-no-such-program");
    o = (struct process_options){.args = &missing, .n_args = 1};
    CHECK_INT(begin(&g, &o, NULL, &e), ERR_NOTFOUND);
    CHECK(strstr(e.text, "ml-no-such-program") != NULL);
    struct str nul[] = {STR("sh"), STR("a\0b")};
    o = (struct process_options){.args = nul, .n_args = 2};
    CHECK_INT(begin(&g, &o, NULL, &e), ERR_ARG);

    CASE("a time-out kills the whole group");
    o = (struct process_options){.timeout_ns = 200 * NS_PER_MS};
    run(&g, &o, "sleep 300 & echo $!; wait");
    CHECK_INT(g.r.err.code, ERR_TIMEOUT);
    int child = atoi(g.out.p);
    CHECK(child > 1);
    for (int i = 0; i < 200 && kill(child, 0) == 0; i++)
        loop_turn(loop, 10 * NS_PER_MS);
    char state[64], path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    FILE *f = fopen(path, "r"); /* gone, or a zombie that nobody here can reap */
    if (f) {
        CHECK(fscanf(f, "%*d %*s %63s", state) == 1);
        CHECK_STR(state, "Z");
        fclose(f);
    }
    finish(&g);

    CASE("too much output");
    o = (struct process_options){.max_bytes = 1000};
    run(&g, &o, "yes");
    CHECK_INT(g.r.err.code, ERR_LIMIT);
    CHECK_INT(g.out.n, 1000);
    finish(&g);

    CASE("killed by a signal; closed while it runs");
    o = (struct process_options){0};
    run(&g, &o, "kill -9 $$");
    CHECK_INT(g.r.signal, SIGKILL);
    CHECK_INT(g.r.exit_code, -1);
    finish(&g);
    CHECK_INT(begin(&g, &o, "sleep 300", &e), 0);
    int pid = process_id(g.p);
    finish(&g);
    while (kill(pid, 0) == 0)
        loop_turn(loop, 10 * NS_PER_MS);
    CHECK_INT(errno, ESRCH);
    CHECK(!g.done);
    CASE("a grandchild that keeps the pipes does not keep us");
    run(&g, &o, "sleep 30 & echo $!");
    CHECK_INT(g.r.exit_code, 0);
    kill(atoi(g.out.p), SIGKILL);
    finish(&g);
    CASE("one that is talked to: each text as it is written, the end when it is closed");
    o = (struct process_options){.hold_input = true};
    CHECK_INT(begin(&g, &o, "while read -r line; do echo \"got $line\"; done; echo end", &e), 0);
    CHECK_INT(process_write(g.p, STR("one\ntwo")), 0);
    while (!strstr(g.out.p ? g.out.p : "", "got one\n"))
        loop_turn(loop, -1);
    CHECK(!strstr(g.out.p, "two"));
    CHECK_INT(process_write(g.p, STR(" and a half\n")), 0);
    while (!strstr(g.out.p, "got two and a half\n"))
        loop_turn(loop, -1);
    CHECK(!g.done);
    finish(&g);
    CASE("more than the pipe takes, written at once, to a slow reader");
    CHECK_INT(begin(&g, &o, "sleep 0.2; head -c 3000000 | wc -c", &e), 0);
    char *much = mem_alloc(1500000);
    memset(much, 'x', 1500000);
    CHECK_INT(process_write(g.p, str_make(much, 1500000)), 0);
    CHECK_INT(process_write(g.p, str_make(much, 1500000)), 0);
    mem_free(much);
    while (!g.done)
        loop_turn(loop, -1);
    CHECK(strstr(g.out.p, "3000000") != NULL);
    for (int i = 0; i < 100 && process_write(g.p, STR("x")) == 0; i++)
        loop_turn(loop, NS_PER_MS);
    CHECK_INT(process_write(g.p, STR("x")), ERR_CLOSED);
    finish(&g);
    CASE("a loop that is closed while a program that was ended has not been told of");
    o = (struct process_options){0};
    CHECK_INT(begin(&g, &o, "sleep 300", &e), 0);
    finish(&g);
    loop_close(loop);
    return CHECK_DONE();
}
