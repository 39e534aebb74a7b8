/* What must be true of the file when the load has ended, whatever happened on the way. */
#include "fault_load.h"

#include <cjson/cJSON.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct look {
    const struct load *l;
    struct ledger *led;
    ml_host *h;
    char db[200];
    char *json; /* of the history in hand */
    bool done;
    size_t n; /* bytes of the shape */
};

static int failed(struct ledger *led, const char *what, const char *detail)
{
    if (!led->why[0]) snprintf(led->why, sizeof led->why, "%s: %s", what, detail ? detail : "");
    return 1;
}

static int16_t type_hash(const char *z)
{
    uint32_t h = 2166136261u;
    for (; *z; z++)
        h = (h ^ (unsigned char)*z) * 16777619u;
    return (int16_t)(h & 0x7fff);
}

/* One row, one column, as text; into out. */
static int row(struct look *k, sqlite3 *db, const char *sql, char *out, size_t size)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    const char *text =
        rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : sqlite3_errmsg(db);
    snprintf(out, size, "%s", text ? text : "");
    sqlite3_finalize(st);
    return rc == SQLITE_ROW ? 0 : failed(k->led, sql, out);
}

static void must_be(struct look *k, sqlite3 *db, const char *sql, const char *want)
{
    char got[300];
    if (row(k, db, sql, got, sizeof got) == 0 && strcmp(got, want) != 0) failed(k->led, sql, got);
}

static int check_file(struct look *k)
{
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(k->db, &db, SQLITE_OPEN_READWRITE, "unix")) {
        failed(k->led, "the file cannot be opened", sqlite3_errmsg(db));
    } else {
        must_be(k, db, "PRAGMA integrity_check", "ok");
        must_be(k, db, "SELECT count(*) FROM runs WHERE status = 1 OR blocked IS NOT NULL", "0");
        must_be(k, db, "SELECT count(*) FROM runs", "4");
        must_be(k, db, "SELECT count(*) FROM pending WHERE kind <> 8",
                "0"); /* outcomes of updates stay */
        must_be(k, db, "SELECT count(*) FROM messages", "0");
        must_be(k, db,
                "SELECT count(*) FROM (SELECT run, first, lag(first + n, 1, 1) OVER (PARTITION BY "
                "run ORDER BY first) AS due FROM history) WHERE first <> due",
                "0");
    }
    sqlite3_close(db);
    return k->led->why[0] != 0;
}

/* ---- histories ---- */
static void put(struct look *k, const char *text)
{
    k->n += (size_t)snprintf(k->led->shape + k->n, sizeof k->led->shape - k->n, "%s", text);
    if (k->n >= sizeof k->led->shape) {
        failed(k->led, "the shape of the histories is longer than there is room for", "");
        k->n = sizeof k->led->shape - 1;
    }
}

static const cJSON *attributes(const cJSON *ev)
{
    const cJSON *f;
    cJSON_ArrayForEach(f, ev) if (strstr(f->string, "EventAttributes")) return f;
    return NULL;
}

static const char *name_in(const cJSON *a, const char *outer, const char *inner)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(a, outer);
    if (inner) j = cJSON_GetObjectItemCaseSensitive(j, inner);
    return cJSON_IsString(j) ? j->valuestring : "";
}

/* Of a run's shape: what it asked for, in order; of all else only how often. How tasks and signals
 * fell between is chance. */
static const char *const counted[] = {"TIMER_FIRED",
                                      "TIMER_CANCELED",
                                      "ACTIVITY_TASK_STARTED",
                                      "CHILD_WORKFLOW_EXECUTION_COMPLETED",
                                      "CHILD_WORKFLOW_EXECUTION_STARTED",
                                      "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED"};
enum { N_COUNTED = sizeof counted / sizeof *counted };

static void one_event(struct look *k, const cJSON *ev, int counts[N_COUNTED + 1])
{
    const char *type = name_in(ev, "eventType", NULL);
    const cJSON *a = attributes(ev);
    type = strncmp(type, "EVENT_TYPE_", 11) == 0 ? type + 11 : type;
    bool closes =
        strcmp(type, "ACTIVITY_TASK_COMPLETED") == 0 || strcmp(type, "ACTIVITY_TASK_FAILED") == 0;
    counts[N_COUNTED] += closes;
    if (closes || strncmp(type, "WORKFLOW_TASK_", 14) == 0 || strstr(type, "_UPDATE_") ||
        strcmp(type, "WORKFLOW_EXECUTION_SIGNALED") == 0)
        return;
    for (int i = 0; i < N_COUNTED; i++) {
        if (strcmp(type, counted[i]) == 0) {
            counts[i]++;
            return;
        }
    }
    put(k, type);
    put(k, ":");
    put(k, name_in(a, "activityType", "name"));
    put(k, name_in(a, "timerId", NULL));
    put(k, name_in(a, "markerName", NULL));
    put(k, name_in(a, "signalName", NULL));
    put(k, " ");
}

static const char *camel(const char *type, char *out)
{
    char *to = out;
    for (bool up = true; *type; type++) {
        if (*type == '_')
            up = true;
        else
            *to++ = (char)(up ? *type : *type + 32), up = false;
    }
    *to = 0;
    return out;
}

static void check_told(struct look *k, const char *run_id, const cJSON *events)
{
    int n = cJSON_GetArraySize(events), run = 0;
    int16_t *types = calloc((size_t)n + 1, sizeof *types);
    const cJSON *ev;
    char name[100], text[200];
    int i = 0;
    cJSON_ArrayForEach(ev, events)
    {
        const char *type = name_in(ev, "eventType", NULL);
        types[++i] =
            type_hash(camel(strncmp(type, "EVENT_TYPE_", 11) == 0 ? type + 11 : type, name));
        if (atoi(name_in(ev, "eventId", NULL)) != i)
            failed(k->led, "a gap in the history of", run_id);
    }
    while (run < k->led->n_runs && strcmp(k->led->runs[run], run_id) != 0)
        run++;
    for (int t = 0; t < k->led->n_told; t++) {
        const struct told *x = &k->led->told[t];
        if (x->run != run || (x->id <= n && types[x->id] == x->type)) continue;
        snprintf(text, sizeof text, "%s, event %d of %d", run_id, x->id, n);
        failed(k->led, "an event that was told as durable is not there", text);
    }
    free(types);
}

static void on_history(void *ud, const ml_reply *r)
{
    struct look *k = ud;
    k->done = true;
    if (r->code)
        failed(k->led, "history", r->text);
    else
        k->json = strdup(r->json);
}

static int waits(void *ud)
{
    return !((struct look *)ud)->done;
}

static void one_history(struct look *k, const char *workflow_id, const char *run_id)
{
    char text[100];
    k->done = false;
    if (ml_history(k->h, workflow_id, run_id, on_history, k) || ml_run(k->h, waits, k) ||
        !k->json) {
        failed(k->led, "history", ml_error(k->h));
        return;
    }
    cJSON *j = cJSON_Parse(k->json);
    const cJSON *events = cJSON_GetObjectItemCaseSensitive(j, "events"), *ev;
    int counts[N_COUNTED + 1] = {0};
    put(k, workflow_id);
    put(k, ": ");
    cJSON_ArrayForEach(ev, events) one_event(k, ev, counts);
    for (int i = 0; i <= N_COUNTED; i++) {
        snprintf(text, sizeof text, "%s=%d ", i < N_COUNTED ? counted[i] : "ACTIVITIES_CLOSED",
                 counts[i]);
        put(k, text);
    }
    put(k, "\n");
    check_told(k, run_id, events);
    cJSON_Delete(j);
    free(k->json);
    k->json = NULL;
}

static void check_counts(struct look *k)
{
    struct ledger *led = k->led;
    char text[100];
    for (int i = 0; i < LEDGER_STEPS; i++) {
        snprintf(text, sizeof text, "once(%d) ran %d times", i, led->once[i]);
        if (led->once[i] > 1) failed(led, "an activity that may run once ran again", text);
    }
}

static int check_histories(struct look *k)
{
    char ids[8][2][64];
    int n = 0;
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    if (sqlite3_open_v2(k->db, &db, SQLITE_OPEN_READWRITE, "unix") == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT workflow_id, run_id FROM runs ORDER BY workflow_id, run", -1,
                           &st, NULL) == SQLITE_OK) {
        for (; n < 8 && sqlite3_step(st) == SQLITE_ROW; n++) {
            snprintf(ids[n][0], 64, "%s", (const char *)sqlite3_column_text(st, 0));
            snprintf(ids[n][1], 64, "%s", (const char *)sqlite3_column_text(st, 1));
        }
    }
    sqlite3_finalize(st);
    sqlite3_close(db);
    ml_config c;
    ml_config_init(&c);
    c.path = k->db;
    c.flags = ML_READ_ONLY;
    if (ml_open(&c, &k->h))
        return failed(k->led, "the file cannot be opened to look", ml_open_error());
    k->led->shape[0] = 0;
    for (int i = 0; i < n && !k->led->why[0]; i++)
        one_history(k, ids[i][0], ids[i][1]);
    ml_close(k->h);
    return k->led->why[0] != 0;
}

int load_check(const struct load *l)
{
    struct look k = {.l = l, .led = l->ledger};
    snprintf(k.db, sizeof k.db, "%s/m.db", l->dir);
    if (check_file(&k) || check_histories(&k)) return 1;
    check_counts(&k);
    return l->ledger->why[0] != 0;
}
