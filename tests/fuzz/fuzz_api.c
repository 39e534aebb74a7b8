/* Calls of moonloop.h in any order, with good and bad arguments, on two hosts that may share a
 * file. Keeps true: no sequence of calls stops the process; an answer comes at most once, never
 * inside the call that asked and never after ml_close; a refusal has a text. Every byte of the
 * input is a choice; callbacks take theirs from the same input, so they call the host too. Of the
 * two files the first has its tables already, copied: making them was half the time of an input. */
#include "fuzz.h"
#include "moonloop.h"
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPS_MAX 120
#define HOSTS 2

static char dir[64], scripts[3][128], files[2][128], copy_path[128];
static struct buf made; /* a file as the first host leaves it */

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    FUZZ_CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* Keeps what a host makes of a new file. */
static void make_file(void)
{
    ml_config c;
    ml_host *h = NULL;
    char part[4096];
    size_t n;
    ml_config_init(&c);
    c.path = files[0];
    c.durability = ML_DURABILITY_FAST;
    c.clock = ML_CLOCK_VIRTUAL;
    FUZZ_CHECK(ml_open(&c, &h) == 0);
    ml_close(h);
    buf_init(&made, 16 << 20);
    FILE *f = fopen(files[0], "rb");
    FUZZ_CHECK(f);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        FUZZ_CHECK(buf_put(&made, part, n) == 0);
    FUZZ_CHECK(made.n > 0 && fclose(f) == 0);
}

static void put_made(void)
{
    FILE *f = fopen(files[0], "wb");
    FUZZ_CHECK(f && fwrite(made.p, 1, made.n, f) == made.n && fclose(f) == 0);
}

static void remove_files(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    unlink(copy_path);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < 4; k++) {
            char path[300];
            snprintf(path, sizeof path, "%s%s", files[i], ends[k]);
            unlink(path);
        }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(dir, sizeof dir, "%s/mlfuzzXXXXXX", base);
    FUZZ_CHECK(mkdtemp(dir));
    for (int i = 0; i < 3; i++)
        snprintf(scripts[i], sizeof scripts[i], "%s/s%d.lua", dir, i);
    for (int i = 0; i < 2; i++)
        snprintf(files[i], sizeof files[i], "%s/f%d.db", dir, i);
    snprintf(copy_path, sizeof copy_path, "%s/copy.db", dir);
    write_text(
        scripts[0],
        "local ml = require 'moonloop'\n"
        "local add = ml.activity('add', {timeout='5s', retry={max_attempts=2, "
        "initial='1s'}}, function(a, b) if b == 3 then error('three') end return a + b end)\n"
        "local outside = ml.activity('outside', {timeout='5s'})\n"
        "ml.workflow('kid', function(n) ml.sleep('1m') return n end)\n"
        "ml.workflow('wf', function(x)\n"
        "  local s = 0\n"
        "  ml.query('q', function(a) return {s = s, a = a} end)\n"
        "  ml.update('u', function(a) s = s + a ml.sleep('1s') return s end, {validator = "
        "function(a) if type(a) ~= 'number' then error('no number') end end})\n"
        "  ml.on_signal('s', function(v) s = s + 1 end)\n"
        "  local f = ml.spawn(function() return outside(x) end)\n"
        "  pcall(add, 1, 3)\n"
        "  local k = ml.child('kid'):async(7)\n"
        "  local ok, v = ml.channel('c'):receive{timeout='1h'}\n"
        "  if ok and v == 'new' then ml.continue_as_new(1) end\n"
        "  pcall(function() return f:await() end)\n"
        "  return {s = s, kid = k:await()}\n"
        "end)\n");
    write_text(scripts[1], "local ml = require 'moonloop'\nml.workflow('broken', function() end\n");
    write_text(scripts[2], "local ml = require 'moonloop'\nml.sleep(0)\nlocal x = #arg\n");
    make_file();
    remove_files();
    return 0;
}

__attribute__((destructor)) static void clean(void)
{
    buf_free(&made);
    char cmd[96];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    if (dir[0] && system(cmd)) fprintf(stderr, "left behind: %s\n", dir);
}

/* In place of the C library's: a host that finds its file in use looks again for two seconds, and
 * here nobody else will give it up meanwhile. */
int usleep(useconds_t us)
{
    (void)us;
    return 0;
}

/* ---- the world of one input ---- */
struct asked { /* one call that waits for its answer */
    ml_host *h;
    bool answered;
};
struct host {
    ml_host *h;
    uint64_t activity; /* a call to answer later; 0: none */
};
static struct host hosts[HOSTS];
static struct asked asked[OPS_MAX * 2];
static size_t n_asked;
static struct fuzz_in in;
static int inside, ops;
static bool calling;

static void one_call(struct host *x);

static void again(ml_host *h)
{
    if (inside > 3 || fuzz_byte(&in) % 4) return;
    for (int i = 0; i < HOSTS; i++)
        if (hosts[i].h == h) one_call(&hosts[i]);
}

static void on_reply(void *ud, const ml_reply *r)
{
    struct asked *a = ud;
    FUZZ_CHECK(!calling && !a->answered && a->h);
    FUZZ_CHECK(r->text && r->workflow_id && r->run_id && r->status);
    FUZZ_CHECK(r->code == ML_OK || (r->code < 0 && r->text[0]));
    a->answered = true;
    again(a->h);
}
static void on_load(void *ud, const ml_load_result *r)
{
    struct asked *a = ud;
    FUZZ_CHECK(!calling && !a->answered && a->h);
    FUZZ_CHECK(r->code == ML_OK || (r->text && r->text[0]));
    a->answered = true;
    again(a->h);
}
static void on_post(void *ud)
{
    struct asked *a = ud;
    FUZZ_CHECK(!calling && !a->answered && a->h);
    a->answered = true;
    again(a->h);
}
static void on_activity(void *ud, ml_host *h, uint64_t call, const char *args)
{
    struct host *x = ud;
    FUZZ_CHECK(call && args && x->h == h);
    x->activity = call;
    again(h);
}
static void on_event(void *ud, const ml_event *ev)
{
    (void)ud;
    FUZZ_CHECK(ev->workflow_id && ev->text && ev->name);
    again(((struct host *)ud)->h);
}
static void on_enough(void *ud)
{
    ml_stop(ud);
}
static int always(void *ud)
{
    (void)ud;
    return 1;
}

/* ---- arguments ---- */
static const char *pick(const char *const *from, size_t n)
{
    return from[fuzz_byte(&in) % n];
}
#define PICK(...)                                                                                  \
    pick((const char *const[]){__VA_ARGS__},                                                       \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static const char *some_id(void)
{
    static char longer[3000];
    memset(longer, 'x', sizeof longer - 1);
    return PICK("a", "a", "a", "b", "b", "c", "", NULL, "\xff\xfe", "a/1", longer);
}
static const char *some_run(void)
{
    return PICK(NULL, NULL, NULL, "", "nobody", "00000000-0000-0000-0000-000000000000");
}
static const char *some_json(void)
{
    return PICK("1", NULL, "{\"n\":[1,2.5,null]}", "\"new\"", "[1]", "[]", "{", "\xff", "",
                "[[[[[[[[1]]]]]]]]", "1e400", "nul");
}
static const char *some_request(void)
{
    return PICK(NULL, NULL, "r1", "r1", "", "r2");
}

static struct asked *ask(ml_host *h)
{
    FUZZ_CHECK(n_asked < sizeof asked / sizeof *asked);
    asked[n_asked] = (struct asked){h, false};
    calling = true;
    return &asked[n_asked++];
}
/* What the call said: refused calls are never answered. */
static void said(ml_host *h, struct asked *a, int rc)
{
    calling = false;
    FUZZ_CHECK(rc == 0 || (rc < 0 && ml_error(h)[0]));
    if (rc) a->answered = true;
}

/* ---- calls ---- */
static void start(ml_host *h)
{
    struct asked *a = ask(h);
    ml_start_options o = {
        .workflow = PICK("wf", "wf", "wf", NULL, "kid", "broken", ""),
        .id = some_id(),
        .input_json = some_json(),
        .request_id = some_request(),
        .options_json = PICK(NULL, NULL, "{\"cron\":\"* * * * *\"}", "{\"startDelay\":\"1m\"}",
                             "{\"executionTimeout\":\"2m\",\"memo\":{\"a\":1}}",
                             "{\"idReusePolicy\":\"RejectDuplicate\"}",
                             "{\"idConflictPolicy\":\"TerminateExisting\"}", "{\"cron\":7}", "[]",
                             "{\"retry\":{\"max_attempts\":2}}", "{\"runTimeout\":-1}", "x"),
        .resume = (int)fuzz_byte(&in) % 2,
        .drive = (int)fuzz_byte(&in) % 2};
    said(h, a, ml_start(h, &o, on_reply, a));
}

static void message(ml_host *h)
{
    const char *id = some_id(), *run = some_run();
    struct asked *a = ask(h);
    int rc = 0;
    switch (fuzz_byte(&in) % 6) {
    case 0:
        rc = ml_signal(h, id, run, PICK("s", "c", "", NULL), some_json(), some_request(), on_reply,
                       a);
        break;
    case 1:
        rc = ml_query(h, id, run, PICK("q", "__stack_trace", "none", "", NULL), some_json(),
                      on_reply, a);
        break;
    case 2:
        rc = ml_update(h, id, run, PICK("u", "none", "", NULL), some_json(), some_request(),
                       (int)fuzz_byte(&in) % 2, on_reply, a);
        break;
    case 3:
        rc = ml_cancel(h, id, run, PICK(NULL, "why", ""), on_reply, a);
        break;
    case 4:
        rc = ml_terminate(h, id, run, PICK(NULL, "why", ""), on_reply, a);
        break;
    default:
        rc = ml_reset(h, id, run, (int64_t)fuzz_byte(&in) - 2, PICK(NULL, "why"), on_reply, a);
    }
    said(h, a, rc);
}

static void look(ml_host *h)
{
    const char *id = some_id(), *run = some_run();
    struct asked *a = ask(h);
    int rc = 0;
    switch (fuzz_byte(&in) % 7) {
    case 0:
        rc = ml_result(h, id, run, (int)fuzz_byte(&in) % 2, on_reply, a);
        break;
    case 1:
        rc = ml_list(h,
                     PICK(NULL, "{}", "{\"status\":\"Running\",\"limit\":1}", "{\"limit\":-5}",
                          "{\"page\":\"x\"}", "[", "{\"idPrefix\":\"a\"}", "{\"status\":3}"),
                     on_reply, a);
        break;
    case 2:
        rc = ml_describe(h, id, run, on_reply, a);
        break;
    case 3:
        rc = ml_history(h, id, run, on_reply, a);
        break;
    case 4:
        rc = ml_doctor(h, on_reply, a);
        break;
    case 5:
        rc = ml_complete_activity(h, PICK("token", "", NULL, "AAAA", "e30="), some_json(),
                                  PICK(NULL, "{\"type\":\"T\",\"message\":\"m\"}", "7", "{"),
                                  on_reply, a);
        break;
    default:
        rc = ml_replay(h, PICK("{\"events\":[]}", "[]", "", "{", NULL, "{\"events\":[{}]}"),
                       scripts[fuzz_byte(&in) % 3], on_reply, a);
    }
    said(h, a, rc);
}

static void load(ml_host *h)
{
    static const char *const args[] = {"one", "two"};
    struct asked *a = ask(h);
    unsigned which = fuzz_byte(&in);
    bool program = which % 5 == 4;
    const char *path = which % 7 == 6   ? "/nonexistent/x.lua"
                       : which % 3 == 0 ? scripts[0]
                                        : scripts[which % 3];
    said(h, a, ml_load(h, path, program ? args : NULL, program ? 2 : 0, on_load, a));
}

static void odd(struct host *x)
{
    ml_host *h = x->h;
    struct asked *a;
    switch (fuzz_byte(&in) % 9) {
    case 0:
        ml_drive(h, some_id());
        break;
    case 1:
        FUZZ_CHECK(ml_idle_state(h) >= 0);
        FUZZ_CHECK(ml_wait_ns(h) >= -1);
        FUZZ_CHECK(ml_clock_mode(h) >= 0);
        ml_wait_fd(h);
        break;
    case 2:
        a = ask(h);
        said(h, a, ml_post(h, on_post, a));
        break;
    case 3:
        ml_register_activity(h, PICK("outside", "outside", "add", "", NULL), on_activity, x);
        break;
    case 4:
        ml_activity_done(h, fuzz_byte(&in) % 3 ? x->activity : fuzz_byte(&in), some_json(),
                         PICK(NULL, NULL, "Bad", ""), (int)fuzz_byte(&in) % 2);
        break;
    case 5:
        ml_save(h, PICK(copy_path, copy_path, "/nonexistent/x.db", "", NULL));
        break;
    case 6:
        ml_restore(h, PICK(copy_path, copy_path, "/nonexistent/x.db", "", NULL));
        break;
    case 7:
        ml_stop(h);
        break;
    default:
        ml_parse_time(some_json());
        ml_attached(h);
    }
}

static void one_call(struct host *x)
{
    if (!x->h || ++ops > OPS_MAX) return;
    inside++;
    switch (fuzz_byte(&in) % 5) {
    case 0:
        start(x->h);
        break;
    case 1:
        message(x->h);
        break;
    case 2:
        look(x->h);
        break;
    case 3:
        load(x->h);
        break;
    default:
        odd(x);
    }
    inside--;
}

static void open_host(struct host *x)
{
    static const unsigned flags[] = {0,
                                     ML_NO_THREADS,
                                     ML_DRIVE_ALL,
                                     ML_ATTACH,
                                     ML_ATTACH | ML_DRIVE_ALL,
                                     ML_READ_ONLY,
                                     ML_NO_THREADS | ML_DRIVE_ALL,
                                     ML_READ_ONLY | ML_NO_THREADS | ML_ATTACH};
    ml_config c;
    ml_config_init(&c);
    c.flags = flags[fuzz_byte(&in) % 8];
    c.clock = fuzz_byte(&in) % 4 ? ML_CLOCK_VIRTUAL : ML_CLOCK_FILE;
    c.durability = fuzz_byte(&in) % 4 == 3 ? ML_DURABILITY_SNAPSHOT : ML_DURABILITY_FAST;
    c.path = files[fuzz_byte(&in) % 8 == 7];
    if (c.durability == ML_DURABILITY_SNAPSHOT) c.path = fuzz_byte(&in) % 4 ? NULL : copy_path;
    c.event = on_event;
    c.event_ud = x;
    c.cache_runs = fuzz_byte(&in) % 3;
    x->activity = 0;
    if (c.path == files[0] && access(files[0], F_OK)) put_made();
    int rc = ml_open(&c, &x->h);
    FUZZ_CHECK(rc == 0 ? x->h != NULL : (rc < 0 && ml_open_error()[0]));
    if (rc) x->h = NULL;
}

static void close_host(struct host *x)
{
    ml_host *h = x->h;
    if (!h) return;
    ml_close(h);
    x->h = NULL;
    for (size_t i = 0; i < n_asked; i++)
        if (asked[i].h == h) asked[i].h = NULL; /* its answer may not come any more */
}

static void step(struct host *x, unsigned n)
{
    if (!x->h) return;
    if (n % 8 == 7) { /* waits, until it is told to stop */
        FUZZ_CHECK(ml_post(x->h, on_enough, x->h) == 0);
        ml_run(x->h, n % 16 == 7 ? always : NULL, NULL);
        return;
    }
    for (unsigned i = 0; i < 1 + n % 16; i++)
        FUZZ_CHECK(ml_step(x->h, 1000000) >= ML_E_FAILED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    in = (struct fuzz_in){data, n};
    n_asked = 0;
    ops = inside = 0;
    calling = false;
    while (in.n && ops < OPS_MAX) {
        unsigned op = fuzz_byte(&in);
        struct host *x = &hosts[(op >> 7) % HOSTS];
        if (!x->h) {
            ops++;
            open_host(x);
        } else if (op % 32 == 30) {
            close_host(x);
        } else if (op % 2) {
            step(x, op >> 1);
        } else {
            one_call(x);
        }
    }
    for (int i = 0; i < HOSTS; i++) {
        step(&hosts[i], 3);
        close_host(&hosts[i]);
    }
    remove_files();
    return 0;
}
