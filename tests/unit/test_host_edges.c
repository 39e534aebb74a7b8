/* What the public header says at its edges: budgets without bound, a copy over the file itself,
 * hosts that only look, hosts on a server whose file-only verbs are asked, peers that do not say
 * hello. */
#include "host_helpers.h"
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

static const char adds[] =
    "local add = ml.activity('add', {timeout='1m'}, function(n) return n + 1 end)\n"
    "ml.workflow('w', function(n) for i = 1, 20 do n = add(n) end return n end)\n";

static int steps_with(ml_host *h, const char *id, int64_t budget_ns)
{
    ml_start_options o = {.id = id, .input_json = "1", .drive = 1};
    ASK(h, ml_start(h, &o, on_reply, &rep));
    CHECK_INT(rep.code, 0);
    reply_reset(&rep);
    CHECK_INT(ml_result(h, id, NULL, 1, on_reply, &rep), 0);
    int steps = 0;
    for (; !rep.done && steps < 10000; steps++)
        CHECK(ml_step(h, budget_ns) >= 0);
    CHECK_STR(rep.json, "21");
    return steps;
}

static void test_budget(void)
{
    fresh("a budget without bound is not none", adds);
    ml_host *h = open_host(ML_CLOCK_REAL, ML_NO_THREADS);
    load_script(h);
    int none = steps_with(h, "a", 0), some = steps_with(h, "b", 10000000000),
        all = steps_with(h, "c", INT64_MAX);
    CHECK(some < none);
    CHECK(all - some < (none - some) / 2);
    ml_close(h);
    wipe();
}

/* What is written afterwards would go into a file that has no name any more. */
static void test_copy_over_itself(void)
{
    char other[160];
    fresh("a copy over the file itself is refused", adds);
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    load_script(h);
    start(h, "a", "1");
    CHECK_INT(rep.code, 0);
    CHECK_INT(ml_save(h, db_path), ML_E_ARG);
    CHECK(strstr(ml_error(h), "itself") != NULL);
    snprintf(other, sizeof other, "%s/link", dir);
    CHECK_INT(symlink(db_path, other), 0);
    CHECK_INT(ml_save(h, other), ML_E_ARG);
    snprintf(other, sizeof other, "%s/hard", dir);
    CHECK_INT(link(db_path, other), 0);
    CHECK_INT(ml_save(h, other), ML_E_ARG);
    snprintf(other, sizeof other, "%s/copy", dir);
    CHECK_INT(ml_save(h, other), 0);
    CHECK_INT(ml_save(h, other), 0); /* an older copy is replaced */
    start(h, "b", "2");
    CHECK_INT(rep.code, 0);
    ASK(h, ml_result(h, "b", NULL, 1, on_reply, &rep));
    ml_close(h);
    h = open_host(ML_CLOCK_FILE, 0);
    ASK(h, ml_result(h, "b", NULL, 0, on_reply, &rep));
    CHECK_STR(rep.json, "22");
    ml_close(h);
    wipe();
}

static void test_look_only(void)
{
    fresh("a host that only looks changes nothing", adds);
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    load_script(h);
    start(h, "a", "1");
    ASK(h, ml_result(h, "a", NULL, 1, on_reply, &rep));
    ml_close(h);
    h = open_host(ML_CLOCK_FILE, ML_READ_ONLY);
    ASK(h, ml_describe(h, "a", NULL, on_reply, &rep));
    CHECK_INT(rep.code, 0);
    ASK(h, ml_history(h, "a", NULL, on_reply, &rep));
    CHECK_INT(rep.code, 0);
    ASK(h, ml_result(h, "a", NULL, 0, on_reply, &rep));
    CHECK_STR(rep.json, "21");
    ASK(h, ml_delete(h, "a", NULL, on_reply, &rep));
    CHECK_INT(rep.code, ML_E_UNSUPPORTED);
    CHECK(strstr(rep.text, "ML_READ_ONLY") != NULL);
    ASK(h, ml_list(h, NULL, on_reply, &rep));
    CHECK(rep.json && strstr(rep.json, "\"a\"") != NULL);
    load_script(h);
    ml_start_options o = {.id = "b", .input_json = "1"};
    ASK(h, ml_start(h, &o, on_reply, &rep));
    CHECK_INT(rep.code, ML_E_UNSUPPORTED);
    ml_close(h);
    wipe();
}

/* Nobody listens at the address: what needs no server is answered, and nothing falls over. */
static void test_on_a_server(void)
{
    fresh("verbs of a file on a host of a server", adds);
    ml_temporal t = {.address = "127.0.0.1:1"};
    ml_config c = config(ML_CLOCK_REAL);
    c.path = NULL;
    c.temporal = &t;
    ml_host *h = open_with(&c);
    ASK(h, ml_doctor(h, on_reply, &rep));
    CHECK_INT(rep.code, ML_E_UNSUPPORTED);
    ml_start_options o = {.script = script_path, .id = "a"};
    ASK(h, ml_start(h, &o, on_reply, &rep));
    CHECK_INT(rep.code, ML_E_NOTFOUND);
    CHECK_INT(ml_save(h, "x"), ML_E_UNSUPPORTED);
    CHECK(strstr(ml_error(h), "server") != NULL);
    CHECK_INT(ml_activity_done(h, 7, "1", NULL, 0), ML_E_CLOSED);
    CHECK(ml_step(h, 1000000) >= 0);
    ml_close(h);
    wipe();
}

/* A program that does not read its input must not end the host's process. */
static void test_broken_pipe(void)
{
    fresh("a program that ends before it has read its input",
          "local p = ml.activity('p', {timeout='1m'}, function() local r = ml.process.run { "
          "'true', stdin = "
          "('x'):rep(4000000) }\n return r.code end)\n"
          "ml.workflow('w', function() return p() end)\n");
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    ml_host *h = open_host(ML_CLOCK_REAL, 0);
    load_script(h);
    for (int i = 0; i < 5; i++) {
        char id[8];
        snprintf(id, sizeof id, "r%d", i);
        start(h, id, NULL);
        ASK(h, ml_result(h, id, NULL, 1, on_reply, &rep));
        CHECK_INT(rep.code, 0);
        CHECK_STR(rep.status, "Completed");
    }
    ml_close(h);
    wipe();
}

int main(void)
{
    test_budget();
    test_copy_over_itself();
    test_look_only();
    test_on_a_server();
    test_broken_pipe();
    free(rep.json);
    free(rep.failure);
    return CHECK_DONE();
}
