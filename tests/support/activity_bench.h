/* A workbench for tests of the activity runtime: scripts in a temporary folder, calls with JSON
 * arguments, outcomes as text. */
#ifndef ML_TESTS_ACTIVITY_BENCH_H
#define ML_TESTS_ACTIVITY_BENCH_H
#include "activity/activity.h"
#include "base/mem.h"
#include "check.h"
#include "http/client.h"

#include <unistd.h>

static struct loop *bench_loop;
static struct http_client *bench_http;
static struct buf bench_log, bench_print;
static char bench_folder[64];
static struct act_env bench_env;
static struct act_load_result bench_loaded;
static bool bench_load_done;

struct outcome {
    bool done;
    int kind;
    struct buf text; /* result JSON values joined by a blank, or "Type: message" */
    struct buf stack;
    bool retryable;
    int64_t delay_ns;
    struct buf details;
};

static void bench_on_log(void *ud, int level, struct str text, struct str fields)
{
    (void)ud;
    buf_printf(&bench_log, "%s " STR_FMT " " STR_FMT "\n", log_level_name(level), STR_ARG(text),
               STR_ARG(fields));
}
static void bench_on_print(void *ud, struct str line)
{
    (void)ud;
    buf_printf(&bench_print, STR_FMT "\n", STR_ARG(line));
}
static struct log bench_sink = {bench_on_log, NULL, LOG_DEBUG};

static void bench_open(void)
{
    struct err e = {0};
    snprintf(bench_folder, sizeof bench_folder, "/tmp/ml-activity-XXXXXX");
    CHECK(mkdtemp(bench_folder) != NULL);
    buf_init(&bench_log, 16u << 20);
    buf_init(&bench_print, 16u << 20);
    CHECK_INT(loop_open(&clock_system, &bench_loop, &e), 0);
    bench_env = (struct act_env){.loop = bench_loop,
                                 .clock = &clock_system,
                                 .entropy = &entropy_system,
                                 .log = &bench_sink,
                                 .http = &bench_http,
                                 .print = bench_on_print};
}

static void bench_close(void)
{
    char cmd[100];
    http_client_close(bench_http);
    loop_close(bench_loop);
    buf_free(&bench_log);
    buf_free(&bench_print);
    snprintf(cmd, sizeof cmd, "rm -rf %s", bench_folder);
    CHECK_INT(system(cmd), 0);
}

static const char *bench_file(const char *name, const char *text)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", bench_folder, name);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    CHECK(fwrite(text, 1, strlen(text), f) == strlen(text));
    fclose(f);
    return path;
}

/* One turn: ready coroutines, then the loop (waiting when nothing is ready). */
static void bench_turn(struct act_host *h)
{
    bool more = act_step(h, 5 * NS_PER_MS);
    if (bench_env.store) store_drain(bench_env.store);
    more = more || act_ready(h);
    loop_turn(bench_loop, more ? 0 : 20 * NS_PER_MS);
}

static void bench_on_load(void *ud, const struct act_load_result *r)
{
    (void)ud;
    bench_loaded = *r;
    bench_load_done = true;
}

static struct act_host *bench_load_path(const char *path, bool program, const char *const *args,
                                        size_t n)
{
    struct act_host *h = NULL;
    struct err e = {0};
    bench_load_done = false;
    buf_reset(&bench_log);
    buf_reset(&bench_print);
    CHECK_INT(act_open(&bench_env, path, program, args, n, bench_on_load, NULL, &h, &e), 0);
    while (!bench_load_done)
        bench_turn(h);
    return h;
}

static struct act_host *bench_load(const char *text)
{
    struct act_host *h = bench_load_path(bench_file("script.lua", text), false, NULL, 0);
    if (bench_loaded.err.code) fprintf(stderr, "%s\n", bench_loaded.err.text);
    CHECK_INT(bench_loaded.err.code, 0);
    CHECK_INT(bench_loaded.kind, ACT_LOAD_DEFINITIONS);
    return h;
}

/* Loads a script that must fail, and gives the error text. */
static const char *bench_load_fails(const char *text)
{
    static char out[1200];
    struct act_host *h = bench_load_path(bench_file("script.lua", text), false, NULL, 0);
    CHECK(bench_loaded.err.code != 0);
    snprintf(out, sizeof out, "%s", bench_loaded.err.text);
    act_close(h);
    return out;
}

static void bench_on_done(void *ud, uint64_t call, const struct backend_activity_completion *c)
{
    struct outcome *o = ud;
    (void)call;
    CHECK(!o->done);
    o->done = true;
    o->kind = (int)c->kind;
    o->delay_ns = c->next_retry_delay_ns;
    for (const struct rec_field *f = NULL;
         (f = rec_each(c->result, T(payloads, payloads), f)) != NULL;) {
        if (o->text.n) buf_putc(&o->text, ' ');
        if (str_eqz(payload_encoding(f->v.m), PAYLOAD_NULL))
            buf_puts(&o->text, "nil");
        else
            buf_putstr(&o->text, payload_data(f->v.m));
    }
    if (c->failure) {
        buf_printf(&o->text, STR_FMT ": " STR_FMT, STR_ARG(failure_type(c->failure)),
                   STR_ARG(rec_str(c->failure, T(failure, message))));
        buf_putstr(&o->stack, rec_str(c->failure, T(failure, stack_trace)));
        o->retryable = failure_retryable(c->failure, NULL);
    }
    for (const struct rec_field *f = NULL;
         (f = rec_each(c->details, T(payloads, payloads), f)) != NULL;)
        buf_putstr(&o->details, payload_data(f->v.m));
}

static void outcome_init(struct outcome *o)
{
    memset(o, 0, sizeof *o);
    buf_init(&o->text, 64u << 20);
    buf_init(&o->stack, 1u << 20);
    buf_init(&o->details, 1u << 20);
}
static void outcome_free(struct outcome *o)
{
    buf_free(&o->text);
    buf_free(&o->stack);
    buf_free(&o->details);
}

static uint64_t bench_start(struct act_host *h, struct act_call *c, const char *type,
                            const char *json, struct outcome *o)
{
    struct arena a;
    struct err e = {0};
    uint64_t id = 0;
    arena_init(&a, 0);
    outcome_init(o);
    c->activity_type = str_of(type);
    c->input = json ? payloads_of_json(&a, str_of(json)) : NULL;
    if (!c->attempt) c->attempt = 1;
    int code = act_start(h, c, bench_on_done, o, &id, &e);
    if (code < 0) fprintf(stderr, "%s\n", e.text);
    CHECK_INT(code, 0);
    arena_free(&a);
    return id;
}

static void bench_run(struct act_host *h, const char *type, const char *json, struct outcome *o)
{
    struct act_call c = {0};
    bench_start(h, &c, type, json, o);
    while (!o->done)
        bench_turn(h);
}

/* Runs and compares with what is wanted: the result's JSON, or "Type: begin of the message". */
static void bench_expect_at(const char *file, int line, struct act_host *h, const char *type,
                            const char *json, const char *want)
{
    struct outcome o;
    bench_run(h, type, json, &o);
    const char *got = o.text.p ? o.text.p : "";
    bool same = o.kind == ACT_COMPLETED ? strcmp(got, want) == 0
                                        : strncmp(got, want, strlen(want)) == 0 && *want;
    if (!same) {
        fprintf(stderr, "%s:%d: [%s] %s gave \"%s\", not \"%s\"\n%s\n", file, line, check_case,
                type, got, want, o.stack.p ? o.stack.p : "");
        exit(1);
    }
    outcome_free(&o);
}
#define EXPECT(h, type, json, want) bench_expect_at(__FILE__, __LINE__, h, type, json, want)

#endif
