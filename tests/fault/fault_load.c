/* Driving the load. Keeps true: the host is only waited for as an embedding program would (ml_run),
 * so that a lost wake-up shows as a hang; what the host acknowledged goes into the ledger before
 * anything else happens. */
#include "fault_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct drive {
    const struct load *l;
    struct ledger *led;
    ml_host *h;
    char db[200];
    int at;       /* the request in hand */
    bool waiting; /* its answer is due */
    bool done;    /* it was acknowledged */
    bool late_asked, late_waiting, late_started;
    bool loaded, load_done;
};

static int failed(struct ledger *led, const char *what, const char *detail)
{
    if (!led->why[0]) snprintf(led->why, sizeof led->why, "%s: %s", what, detail ? detail : "");
    return 1;
}

static void nap(void)
{
    struct timespec t = {0, 1000000};
    nanosleep(&t, NULL);
}

/* ---- the ledger ---- */
static int16_t type_hash(const char *z)
{
    uint32_t h = 2166136261u;
    for (; *z; z++)
        h = (h ^ (unsigned char)*z) * 16777619u;
    return (int16_t)(h & 0x7fff);
}

static int run_index(struct ledger *led, const char *run_id)
{
    for (int i = 0; i < led->n_runs; i++)
        if (strcmp(led->runs[i], run_id) == 0) return i;
    if (led->n_runs == LEDGER_RUNS) return -1;
    snprintf(led->runs[led->n_runs], sizeof led->runs[0], "%s", run_id);
    return led->n_runs++;
}

static void on_event(void *ud, const ml_event *ev)
{
    struct drive *d = ud;
    struct ledger *led = d->led;
    if (ev->kind != ML_EVENT_HISTORY) {
        fprintf(stderr, "event %d of %s: %s\n", ev->kind, ev->workflow_id, ev->text);
        return;
    }
    int run = run_index(led, ev->run_id);
    if (run < 0 || led->n_told == LEDGER_EVENTS) {
        failed(led, "more runs or events than the load has", ev->type);
        return;
    }
    led->told[led->n_told++] =
        (struct told){(int16_t)run, type_hash(ev->type), (int32_t)ev->event_id};
    if (strcmp(ev->type, "ActivityTaskScheduled") == 0) {
        led->n_scheduled_note += strcmp(ev->name, "note") == 0;
        led->n_scheduled_once += strcmp(ev->name, "once") == 0;
    }
}

static void on_log(void *ud, int level, const char *text, const char *fields)
{
    (void)ud;
    if (level >= 2) fprintf(stderr, "log %d: %s %s\n", level, text, fields ? fields : "");
}

/* The activities in C: they answer at once; what they are asked is counted. */
static int argument(const char *json)
{
    int k = 0;
    return sscanf(json, "[%d", &k) == 1 && k > 0 && k < LEDGER_STEPS ? k : 0;
}

static void answer(ml_host *h, uint64_t call, int k)
{
    char text[20];
    snprintf(text, sizeof text, "%d", k);
    while (ml_activity_done(h, call, text, NULL, 1) == ML_E_NOMEM)
        nap(); /* its answer is not lost for that */
}

static void note(void *ud, ml_host *h, uint64_t call, const char *args)
{
    struct drive *d = ud;
    int k = argument(args);
    d->led->note[k]++;
    d->led->n_note++;
    answer(h, call, k);
}

static void once(void *ud, ml_host *h, uint64_t call, const char *args)
{
    struct drive *d = ud;
    int k = argument(args);
    d->led->once[k]++;
    answer(h, call, k);
}

/* ---- requests ---- */
enum {
    START,
    POKE_1,
    QUERY = POKE_1 + LOAD_POKES,
    UPDATE,
    LIST,
    DESCRIBE,
    HISTORY,
    DOCTOR,
    RESULT,
    LATE,
    LATE_RESULT,
    N_REQUESTS
};

static void refused(struct drive *d, const char *what, int code, const char *text)
{
    struct ledger *led = d->led;
    led->asked_again++;
    led->codes[-code & 31]++;
    fprintf(stderr, "%s: %d %s\n", what, code, text);
    if (!d->l->happened()) failed(led, what, text);
    if (!d->l->expected(code))
        failed(led, "a request failed with another code than the fault's", text);
}

static void on_reply(void *ud, const ml_reply *r)
{
    struct drive *d = ud;
    if (!d->waiting) failed(d->led, "an answer came twice", r->text);
    d->waiting = false;
    /* Asked again after it was done but its answer was lost: the run may have gone on to its end.
     * Its result shows what it got. */
    bool gone = r->code == ML_E_NOTFOUND && d->led->asked_again && d->at >= POKE_1 &&
                d->at <= UPDATE && d->at != QUERY;
    d->done = r->code == 0 || gone;
    if (!d->done) refused(d, "request", r->code, r->text);
}

static void on_result(void *ud, const ml_reply *r)
{
    struct drive *d = ud;
    on_reply(ud, r);
    if (r->code == 0 && (!r->json || strcmp(r->status, "Completed") != 0)) {
        failed(d->led, r->status, r->failure_json ? r->failure_json : r->text);
    } else if (r->code == 0) {
        size_t n = strlen(d->led->result);
        snprintf(d->led->result + n, sizeof d->led->result - n, "%s\n", r->json);
    }
}

static void on_late(void *ud, const ml_reply *r)
{
    struct drive *d = ud;
    d->late_waiting = false;
    d->late_started = r->code == 0;
    if (r->code) {
        d->led->refused++;
        refused(d, "the start while the fault is there", r->code, r->text);
    }
}

static int start_late(struct drive *d, ml_reply_fn fn)
{
    ml_start_options o = {.workflow = "late",
                          .id = "late",
                          .input_json = "{\"n\":21}",
                          .request_id = "late-start",
                          .resume = 1,
                          .drive = 1};
    return ml_start(d->h, &o, fn, d);
}

static int start_main(struct drive *d)
{
    char input[600], url[120] = "", outside[300] = "";
    if (d->l->outside) snprintf(outside, sizeof outside, ",\"outside\":\"%s\"", d->l->script);
    if (d->l->url) snprintf(url, sizeof url, ",\"url\":\"%s\"", d->l->url);
    snprintf(input, sizeof input, "{\"steps\":%d,\"n_pokes\":%d%s%s}", d->l->steps, LOAD_POKES, url,
             outside);
    ml_start_options o = {.workflow = "main",
                          .id = "main",
                          .input_json = input,
                          .request_id = "main-start",
                          .resume = 1,
                          .drive = 1};
    return ml_start(d->h, &o, on_reply, d);
}

static int poke(struct drive *d, int i)
{
    char id[20], value[20];
    snprintf(id, sizeof id, "poke-%d", i);
    snprintf(value, sizeof value, "%d", i);
    return ml_signal(d->h, "main", NULL, "poke", value, id, on_reply, d);
}

static int ask(struct drive *d)
{
    int at = d->at;
    if (at >= POKE_1 && at < QUERY) return poke(d, at - POKE_1 + 1);
    switch (at) {
    case START:
        return start_main(d);
    case QUERY:
        return ml_query(d->h, "main", NULL, "total", NULL, on_reply, d);
    case UPDATE:
        return ml_update(d->h, "main", NULL, "add", "[5]", "add-1", 1, on_reply, d);
    case LIST:
        return ml_list(d->h, NULL, on_reply, d);
    case DESCRIBE:
        return ml_describe(d->h, "main", NULL, on_reply, d);
    case HISTORY:
        return ml_history(d->h, "main", NULL, on_reply, d);
    case DOCTOR:
        return ml_doctor(d->h, on_reply, d);
    case RESULT:
        return ml_result(d->h, "main", NULL, 1, on_result, d);
    case LATE:
        return d->late_started ? (d->waiting = false, d->done = true, 0) : start_late(d, on_reply);
    default:
        return ml_result(d->h, "late", NULL, 1, on_result, d);
    }
}

static int busy(void *ud)
{
    struct drive *d = ud;
    if (d->l->late && !d->late_asked && d->l->faulty()) {
        d->late_asked = true;
        d->late_waiting = start_late(d, on_late) == 0;
    }
    return d->waiting || d->late_waiting;
}

static void on_load(void *ud, const ml_load_result *r)
{
    struct drive *d = ud;
    d->load_done = true;
    d->loaded = r->code == 0;
    if (r->code) {
        fprintf(stderr, "load: %d %s\n", r->code, r->text);
        if (!d->l->happened()) failed(d->led, "load", r->text);
    }
}

static int loading(void *ud)
{
    return !((struct drive *)ud)->load_done;
}

static void open_host(struct drive *d)
{
    ml_config c;
    ml_config_init(&c);
    c.path = d->db;
    c.flags = d->l->flags;
    c.clock = d->l->clock;
    c.log = on_log;
    c.event = on_event;
    c.event_ud = d;
    int rc = ml_open(&c, &d->h);
    if (rc) {
        d->h = NULL;
        d->led->reopened++;
        refused(d, "open", rc, ml_open_error());
    }
}

/* A host with its script and its activities; false: try again. */
static bool get_host(struct drive *d)
{
    if (!d->h) open_host(d);
    if (!d->h) return false;
    int rc = ml_register_activity(d->h, "note", note, d);
    if (rc == 0 || rc == ML_E_EXISTS) rc = ml_register_activity(d->h, "once", once, d);
    if (rc && rc != ML_E_EXISTS) {
        refused(d, "register", rc, ml_error(d->h));
        return false;
    }
    d->load_done = false;
    rc = ml_load(d->h, d->l->script, NULL, 0, on_load, d);
    if (rc) {
        refused(d, "load", rc, ml_error(d->h));
        return false;
    }
    ml_run(d->h, loading, d);
    if (!d->loaded) d->led->reopened++;
    return d->loaded;
}

int load_run(const struct load *l)
{
    struct drive d = {.l = l, .led = l->ledger};
    snprintf(d.db, sizeof d.db, "%s/m.db", l->dir);
    l->ledger->result[0] = 0;
    while (!l->ledger->why[0] && !get_host(&d))
        nap();
    while (d.at < N_REQUESTS && !l->ledger->why[0]) {
        d.waiting = true;
        d.done = false;
        int rc = ask(&d);
        if (rc) {
            d.waiting = false;
            refused(&d, "ask", rc, ml_error(d.h));
        } else if (d.waiting) {
            int end = ml_run(d.h, busy, &d);
            if (end) failed(l->ledger, "ml_run", ml_error(d.h));
        }
        if (!d.done)
            nap();
        else
            d.at = d.at == START && l->ledger->acknowledged > START ? l->ledger->acknowledged
                                                                    : d.at + 1;
        if (d.at > l->ledger->acknowledged) l->ledger->acknowledged = d.at > RESULT ? RESULT : d.at;
    }
    l->ledger->finished = d.at == N_REQUESTS;
    ml_close(d.h);
    return l->ledger->why[0] != 0;
}
