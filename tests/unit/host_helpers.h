/* Temporary folders, scripts and replies for tests that go through moonloop.h. */
#ifndef ML_TESTS_HOST_HELPERS_H
#define ML_TESTS_HOST_HELPERS_H
#include "check.h"
#include "moonloop.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char dir[64], script_path[128], db_path[128];

static void script(const char *text)
{
    FILE *f = fopen(script_path, "w");
    CHECK(f);
    fputs("local ml = require 'moonloop'\n", f);
    fputs(text, f);
    fclose(f);
}

static void fresh(const char *name, const char *text)
{
    CASE(name);
    fprintf(stderr, "case: %s\n", name);
    snprintf(dir, sizeof dir, "/tmp/mlhostXXXXXX");
    CHECK(mkdtemp(dir));
    snprintf(script_path, sizeof script_path, "%s/s.lua", dir);
    snprintf(db_path, sizeof db_path, "%s/m.db", dir);
    script(text);
}

static void wipe(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    CHECK_INT(system(cmd), 0);
}

struct reply {
    bool done;
    int code, existing;
    char text[2000], status[32], id[200], run[64], *json, *failure;
};

static void on_reply(void *ud, const ml_reply *r)
{
    struct reply *o = ud;
    CHECK(!o->done);
    o->done = true;
    o->code = r->code;
    o->existing = r->existing;
    snprintf(o->text, sizeof o->text, "%s", r->text);
    snprintf(o->status, sizeof o->status, "%s", r->status);
    snprintf(o->id, sizeof o->id, "%s", r->workflow_id);
    snprintf(o->run, sizeof o->run, "%s", r->run_id);
    o->json = r->json ? strdup(r->json) : NULL;
    o->failure = r->failure_json ? strdup(r->failure_json) : NULL;
}

static void reply_reset(struct reply *r)
{
    free(r->json);
    free(r->failure);
    memset(r, 0, sizeof *r);
}

static int not_done(void *ud)
{
    return !((struct reply *)ud)->done;
}
static struct reply rep;
#define ASK(h, call)                                                                               \
    do {                                                                                           \
        reply_reset(&rep);                                                                         \
        CHECK_INT((call), 0);                                                                      \
        CHECK_INT(ml_run((h), not_done, &rep), 0);                                                 \
        CHECK(rep.done);                                                                           \
    } while (0)

struct load {
    bool done;
    int code, program, exit_code;
    char text[2000];
};
static void on_load(void *ud, const ml_load_result *r)
{
    struct load *l = ud;
    l->done = true;
    l->code = r->code;
    l->program = r->is_program;
    l->exit_code = r->exit_code;
    snprintf(l->text, sizeof l->text, "%s", r->text);
}
static int not_loaded(void *ud)
{
    return !((struct load *)ud)->done;
}
static struct load loaded;

static void load_script(ml_host *h)
{
    loaded = (struct load){0};
    CHECK_INT(ml_load(h, script_path, NULL, 0, on_load, &loaded), 0);
    CHECK_INT(ml_run(h, not_loaded, &loaded), 0);
    if (loaded.code) fprintf(stderr, "load: %s\n", loaded.text);
    CHECK_INT(loaded.code, 0);
}

static void on_log_print(void *ud, int level, const char *text, const char *fields)
{
    (void)ud;
    if (level >= 2) fprintf(stderr, "log %d %s %s\n", level, text, fields ? fields : "");
}

static char events[200000], said[4000];
static int event_counts[8];
static void on_event(void *ud, const ml_event *ev)
{
    (void)ud;
    event_counts[ev->kind & 7]++;
    if (ev->kind == ML_EVENT_HISTORY) {
        size_t n = strlen(events);
        snprintf(events + n, sizeof events - n, "%s:%s ", ev->type, ev->name);
    } else {
        snprintf(said, sizeof said, "%s", ev->text);
    }
}

static ml_config config(enum ml_clock clock)
{
    ml_config c;
    ml_config_init(&c);
    c.path = db_path;
    c.clock = clock;
    c.log = on_log_print;
    c.event = on_event;
    events[0] = said[0] = 0;
    memset(event_counts, 0, sizeof event_counts);
    return c;
}

static ml_host *open_with(const ml_config *c)
{
    ml_host *h = NULL;
    int rc = ml_open(c, &h);
    if (rc) fprintf(stderr, "open: %s\n", ml_open_error());
    CHECK_INT(rc, 0);
    return h;
}

static ml_host *open_host(enum ml_clock clock, unsigned flags)
{
    ml_config c = config(clock);
    c.flags = flags;
    return open_with(&c);
}

static void start(ml_host *h, const char *id, const char *input)
{
    ml_start_options o = {.id = id, .input_json = input, .resume = 1, .drive = 1};
    ASK(h, ml_start(h, &o, on_reply, &rep));
    if (rep.code) fprintf(stderr, "start: %s\n", rep.text);
}

#endif
