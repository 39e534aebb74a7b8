/* One owner of a file: the lock, the socket, and what happens to clients when the owner goes. Both
 * hosts live in this process and are stepped in turn. */
#include "host_helpers.h"

static const char waits[] =
    "ml.workflow('w', function(x) local ok, v = ml.channel('go'):receive() return v end)";

static void both_until(ml_host *a, ml_host *b, const bool *done)
{
    time_t end = time(NULL) + 30;
    while (!*done && time(NULL) < end) {
        if (a) CHECK(ml_step(a, 1000000) >= 0);
        if (b) CHECK(ml_step(b, 1000000) >= 0);
    }
    CHECK(*done);
}

static void exclusive(void)
{
    fresh("a second host of the same file is refused, also in the same process; two files are two "
          "hosts",
          waits);
    ml_host *h = open_host(ML_CLOCK_REAL, 0), *h2 = NULL;
    ml_config c = config(ML_CLOCK_REAL);
    CHECK_INT(ml_open(&c, &h2), ML_E_BUSY);
    CHECK(strstr(ml_open_error(), "in use"));
    char other[200];
    snprintf(other, sizeof other, "%s/other.db", dir);
    c.path = other;
    h2 = open_with(&c);
    load_script(h);
    load_script(h2);
    start(h, "x", NULL);
    start(h2, "x", NULL);
    CHECK_INT(rep.existing, 0);
    ml_close(h2);
    ml_close(h);
    h = open_host(ML_CLOCK_FILE, 0);
    ml_close(h);
    struct stat st;
    CHECK_INT(stat(db_path, &st), 0);
    CHECK_INT(st.st_mode & 077, 0);
    wipe();
}

static void through_the_socket(void)
{
    fresh("verbs of an attached host are done by the owner", waits);
    ml_host *owner = open_host(ML_CLOCK_REAL, 0);
    ml_config c = config(ML_CLOCK_REAL);
    c.flags = ML_ATTACH;
    ml_host *guest = open_with(&c);
    CHECK_INT(ml_attached(owner), 0);
    CHECK_INT(ml_attached(guest), 1);
    CHECK_INT(event_counts[ML_EVENT_ATTACHED], 1);
    loaded = (struct load){0};
    CHECK_INT(ml_load(guest, script_path, NULL, 0, on_load, &loaded), 0);
    both_until(owner, guest, &loaded.done);
    CHECK_INT(loaded.code, 0);
    ml_start_options o = {.id = "s", .resume = 1, .drive = 1};
    reply_reset(&rep);
    CHECK_INT(ml_start(guest, &o, on_reply, &rep), 0);
    both_until(owner, guest, &rep.done);
    CHECK_INT(rep.code, 0);
    CHECK_STR(rep.id, "s");
    struct reply result = {0};
    CHECK_INT(ml_result(guest, "s", NULL, 1, on_reply, &result), 0);
    reply_reset(&rep);
    CHECK_INT(ml_signal(guest, "s", NULL, "go", "9007199254740993", NULL, on_reply, &rep), 0);
    both_until(owner, guest, &rep.done);
    CHECK_INT(rep.code, 0);
    both_until(owner, guest, &result.done);
    CHECK_STR(result.json, "9007199254740993");
    CHECK_STR(result.status, "Completed");
    reply_reset(&rep);
    CHECK_INT(ml_signal(guest, "nobody", NULL, "go", "1", NULL, on_reply, &rep), 0);
    both_until(owner, guest, &rep.done);
    CHECK_INT(rep.code, ML_E_NOTFOUND);
    reply_reset(&rep);
    CHECK_INT(ml_history(guest, "s", NULL, on_reply, &rep), 0);
    both_until(owner, guest, &rep.done);
    CHECK(strstr(rep.json, "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED"));
    reply_reset(&result);
    ml_close(guest);
    ml_close(owner);
    wipe();
}

static void succession(void)
{
    fresh("when the owner goes a waiting client takes over and goes on", waits);
    ml_host *owner = open_host(ML_CLOCK_REAL, 0);
    ml_config c = config(ML_CLOCK_REAL);
    c.flags = ML_ATTACH;
    ml_host *one = open_with(&c), *two = open_with(&c);
    loaded = (struct load){0};
    CHECK_INT(ml_load(one, script_path, NULL, 0, on_load, &loaded), 0);
    both_until(owner, one, &loaded.done);
    ml_start_options o = {.id = "s", .resume = 1, .drive = 1};
    reply_reset(&rep);
    CHECK_INT(ml_start(one, &o, on_reply, &rep), 0);
    both_until(owner, one, &rep.done);
    struct reply result = {0}, lost = {0};
    CHECK_INT(ml_result(one, "s", NULL, 1, on_reply, &result), 0);
    CHECK_INT(ml_result(two, "s", NULL, 1, on_reply, &lost), 0);
    for (int i = 0; i < 20; i++)
        ml_step(owner, 1000000), ml_step(one, 1000000), ml_step(two, 1000000);
    ml_close(owner);
    both_until(two, NULL, &lost.done); /* it has no script to go on with */
    CHECK_INT(lost.code, ML_E_CLOSED);
    ml_close(two);
    time_t end = time(NULL) + 30;
    while (ml_attached(one) && time(NULL) < end)
        CHECK(ml_step(one, 1000000) >= 0);
    CHECK_INT(ml_attached(one), 0); /* and drives what it asked the former owner to drive */
    reply_reset(&rep);
    CHECK_INT(ml_signal(one, "s", NULL, "go", "\"on\"", NULL, on_reply, &rep), 0);
    both_until(one, NULL, &result.done);
    CHECK_STR(result.json, "\"on\"");
    reply_reset(&result);
    reply_reset(&lost);
    ml_close(one);
    wipe();
}

static void succession_while_loading(void)
{
    fresh("when the owner goes before it has loaded what a client asked for, the client loads it",
          waits);
    ml_host *owner = open_host(ML_CLOCK_REAL, 0);
    ml_config c = config(ML_CLOCK_REAL);
    c.flags = ML_ATTACH;
    ml_host *guest = open_with(&c);
    loaded = (struct load){0};
    CHECK_INT(ml_load(guest, script_path, NULL, 0, on_load, &loaded), 0);
    for (int i = 0; i < 5; i++)
        CHECK(ml_step(guest, 1000000) >= 0);
    CHECK(!loaded.done);
    ml_close(owner); /* it has not taken a step since */
    both_until(guest, NULL, &loaded.done);
    CHECK_INT(loaded.code, 0);
    CHECK_INT(ml_attached(guest), 0);
    ml_drive(guest, NULL);
    start(guest, "s", NULL);
    ASK(guest, ml_signal(guest, "s", NULL, "go", "\"on\"", NULL, on_reply, &rep));
    ASK(guest, ml_result(guest, "s", NULL, 1, on_reply, &rep));
    CHECK_STR(rep.json, "\"on\"");
    ml_close(guest);
    wipe();
}

static void looking(void)
{
    fresh("looking only never makes a file", waits);
    ml_host *h = NULL;
    ml_config c = config(ML_CLOCK_FILE);
    c.flags = ML_READ_ONLY;
    CHECK_INT(ml_open(&c, &h), ML_E_NOTFOUND);
    h = open_host(ML_CLOCK_REAL, 0);
    ml_close(h);
    h = open_with(&c);
    ASK(h, ml_list(h, NULL, on_reply, &rep));
    CHECK_INT(rep.code, 0);
    ml_close(h);
    c = config(ML_CLOCK_VIRTUAL); /* the file's clock is real */
    CHECK_INT(ml_open(&c, &h), ML_E_ARG);
    wipe();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } all[] = {{"exclusive", exclusive},
               {"socket", through_the_socket},
               {"succession", succession},
               {"succession_while_loading", succession_while_loading},
               {"looking", looking}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (argc < 2 || strcmp(argv[1], all[i].name) == 0) all[i].fn();
    reply_reset(&rep);
    return CHECK_DONE();
}
