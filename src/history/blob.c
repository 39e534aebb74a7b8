/* Batches of events as stored, and whole histories as JSON. */
#include "history/event.h"
#include "history/json_scan.h"
#include "history/rec_internal.h"

int history_blob_encode(struct rec *const *events, size_t n, struct buf *out)
{
    buf_putc(out, HISTORY_BLOB_VERSION);
    for (size_t i = 0; i < n && !out->code; i++) {
        if (!events[i] || arena_failed(events[i]->arena)) return ERR_NOMEM;
        rec_put_message(out, T(history, events), events[i], 1);
    }
    return out->code;
}

/* The events of a `history` as an array of the arena. */
static int list(struct arena *a, const struct rec *history, struct rec ***events, size_t *n,
                struct err *e)
{
    size_t count = rec_count(history, T(history, events)), i = 0;
    struct rec **at = arena_alloc(a, count * sizeof(struct rec *));
    const struct rec_field *f = NULL;
    if (!at) return err_set(e, ERR_NOMEM, "out of memory reading %zu events", count);
    while ((f = rec_each(history, T(history, events), f)))
        at[i++] = f->v.m;
    *events = at;
    *n = count;
    return 0;
}

int history_blob_decode(struct arena *a, struct str blob, struct rec ***events, size_t *n,
                        struct err *e)
{
    struct rec *history = NULL;
    if (blob.n == 0) return err_set(e, ERR_CORRUPT, "a batch of events is empty");
    unsigned version = (unsigned char)blob.p[0];
    if (version > HISTORY_BLOB_VERSION) {
        return err_set(e, ERR_NEWER,
                       "a batch of events has version %u, this program reads up to %d", version,
                       HISTORY_BLOB_VERSION);
    }
    if (version == 0) return err_set(e, ERR_CORRUPT, "a batch of events has version 0");
    int rc = rec_decode(a, &rec_type_history, str_make(blob.p + 1, blob.n - 1), &history, e);
    if (rc == ERR_PROTO) {
        if (e) e->code = ERR_CORRUPT;
        return ERR_CORRUPT;
    }
    return rc ? rc : list(a, history, events, n, e);
}

int history_to_json(struct rec *const *events, size_t n, struct buf *out, bool pretty)
{
    struct arena scratch;
    arena_init(&scratch, 0);
    struct rec *history = rec_new(&scratch, &rec_type_history);
    for (size_t i = 0; i < n; i++) {
        if (events[i])
            rec_add_msg(history, T(history, events), events[i]);
        else
            scratch.failed = true; /* an event that could not be made */
    }
    int rc;
    if (n == 0)
        rc = buf_puts(out, pretty ? "{\n  \"events\": []\n}" : "{\"events\":[]}");
    else
        rc = rec_to_json(history, out, pretty);
    arena_free(&scratch);
    return rc;
}

/* Whether the array that comes next holds a whole history: an object with a member "events". */
static bool holds_history(const struct json *j)
{
    struct json ahead = *j;
    struct str key;
    bool first = true;
    ahead.err = NULL;
    if (json_enter(&ahead, '[') || json_peek(&ahead) != '{' || json_enter(&ahead, '{'))
        return false;
    while (json_member(&ahead, &first, &key)) {
        if (str_eq(key, STR("events"))) return true;
        json_skip(&ahead);
    }
    return false;
}

static void read_array(struct json *j, struct rec *history)
{
    bool first = true;
    if (json_enter(j, '[')) return;
    while (json_element(j, &first)) {
        rec_add_msg(history, T(history, events), rec_read_json(j, &rec_type_history_event));
    }
}

int history_from_json(struct arena *a, struct str text, struct rec ***events, size_t *n,
                      struct err *e)
{
    struct json j;
    struct rec *history = NULL;
    bool first = true;
    json_init(&j, a, text, e);
    char c = json_peek(&j);
    if (c == '{') {
        history = rec_read_json(&j, &rec_type_history);
    } else if (c == '[' && holds_history(&j)) {
        json_enter(&j, '[');
        json_element(&j, &first);
        history = rec_read_json(&j, &rec_type_history);
        if (!j.code && json_element(&j, &first)) {
            json_fail(&j, ERR_ARG, "more than one history; replay them one by one");
        }
    } else if (c == '[') {
        history = rec_new(a, &rec_type_history);
        read_array(&j, history);
    } else {
        json_fail(&j, ERR_PROTO, "a history is an object with \"events\", or an array of events");
    }
    if (!j.code) json_end(&j);
    if (!j.code && arena_failed(a)) json_fail(&j, ERR_NOMEM, "out of memory");
    return j.code ? j.code : list(a, history, events, n, e);
}
