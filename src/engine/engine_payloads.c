/* Large payloads are stored once, by content, in the table blobs; an event then holds a reference
 * (PAYLOAD_REF). A JSON array is stored as a chain of its elements (id = hash of the previous id
 * and the element), so that a list of messages that grows by one adds one row. Events in memory
 * always hold the real payloads; references are put in only while they are written, and resolved
 * when they are read. */
#include "engine/engine_internal.h"

#define CHAIN_ELEMENTS_MAX 100000
#define CHAIN_ELEMENT_MIN 48 /* mean bytes; below, one blob is cheaper */

struct swap {
    struct swap *next;
    struct rec *payload;
    struct rec saved;
};

/* ---- writing ---- */
static void put_blob(struct txn *t, struct str hash, struct str prev, struct str data)
{
    if (map_get(&t->g->blobs, hash)) {
        return;
    }
    STMT(t, "INSERT OR IGNORE INTO blobs(hash, prev, data) VALUES(?, ?, ?)", "bbb", hash, prev,
         data);
    struct effect *f = eng_effect(t, FX_BLOB);
    f->text = arena_str(&t->chunk->arena, hash);
}

/* The end of the element that begins at i: the index of the comma or bracket behind it; SIZE_MAX
 * when it is no array. */
static size_t element_end(struct str s, size_t i)
{
    int depth = 0;
    for (; i < s.n; i++) {
        char c = s.p[i];
        if (c == '"') {
            for (i++; i < s.n && s.p[i] != '"'; i++) {
                i += s.p[i] == '\\';
            }
        } else if (c == '[' || c == '{') {
            depth++;
        } else if (c == ']' || c == '}') {
            if (depth-- == 0) {
                return c == ']' ? i : SIZE_MAX;
            }
        } else if (c == ',' && depth == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static size_t count_elements(struct str s)
{
    size_t n = 0;
    if (s.n < 3 || s.p[0] != '[') {
        return 0;
    }
    for (size_t i = 1; i < s.n;) {
        size_t end = element_end(s, i);
        if (end == SIZE_MAX || ++n > CHAIN_ELEMENTS_MAX) {
            return 0;
        }
        if (s.p[end] == ']') {
            return end + 1 == s.n ? n : 0;
        }
        i = end + 1;
    }
    return 0;
}

/* Stores an array as a chain; id gets the hash of its last element. */
static void put_chain(struct txn *t, struct str s, uint8_t id[SHA256_BYTES])
{
    uint8_t prev[SHA256_BYTES] = {0};
    bool first = true;
    for (size_t i = 1; i < s.n;) {
        size_t end = element_end(s, i);
        struct str element = str_make(s.p + i, end - i),
                   before = first ? STR("moonloop chain") : str_make(prev, sizeof prev);
        struct str parts[2] = {before, element};
        hash_sha256_parts(parts, 2, id);
        put_blob(t, str_make(id, SHA256_BYTES), first ? STR("") : before, element);
        memcpy(prev, id, sizeof prev);
        first = false;
        i = end + 1;
    }
}

static struct rec *reference(struct txn *t, const struct rec *payload)
{
    struct str data = payload_data(payload), encoding = payload_encoding(payload);
    uint8_t digest[SHA256_BYTES], id[SHA256_BYTES];
    char hex[SHA256_HEX];
    hash_sha256(data, digest);
    struct arena *a = &t->chunk->arena;
    hex_encode(digest, sizeof digest, hex);
    struct rec *ref = payload_new(a, PAYLOAD_REF, (struct str){NULL, 0});
    rec_map_set_str(ref, T(payload, metadata), STR("digest"), arena_str(a, str_of(hex)));
    rec_map_set_str(ref, T(payload, metadata), STR("of"), encoding);
    for (const struct rec_field *f = rec_each(payload, T(payload, metadata), NULL); f;
         f = rec_each(payload, T(payload, metadata), f)) {
        struct str key = rec_str(f->v.m, T(payload_metadata_entry, key));
        if (!str_eqz(key, "encoding")) {
            rec_map_set_str(ref, T(payload, metadata), key,
                            rec_str(f->v.m, T(payload_metadata_entry, value)));
        }
    }
    size_t elements = str_eqz(encoding, PAYLOAD_JSON) ? count_elements(data) : 0;
    if (elements > 1 && data.n / elements >= CHAIN_ELEMENT_MIN) {
        put_chain(t, data, id);
        hex_encode(id, sizeof id, hex);
        rec_map_set_str(ref, T(payload, metadata), STR("chain"), arena_str(a, str_of(hex)));
    } else {
        put_blob(t, str_make(digest, sizeof digest), (struct str){NULL, 0}, data);
    }
    return ref;
}

/* Replaces the content of large payloads under r by references, noting what was there. */
static void externalize(struct txn *t, struct rec *r, struct swap **swaps)
{
    if (!r || r->type == &rec_type_header || r->type == &rec_type_search_attributes) {
        return;
    }
    if (r->type == &rec_type_payload) {
        if (payload_data(r).n <= t->g->ref_bytes || str_eqz(payload_encoding(r), PAYLOAD_REF)) {
            return;
        }
        struct rec *ref = reference(t, r);
        struct swap *s = arena_alloc(&t->chunk->arena, sizeof *s);
        if (ref && s) {
            *s = (struct swap){*swaps, r, *r};
            *swaps = s;
            r->first = ref->first;
            r->last = ref->last;
        }
        return;
    }
    for (struct rec_field *f = r->first; f; f = f->next) {
        if (f->kind == REC_MSG) {
            externalize(t, f->v.m, swaps);
        }
    }
}

static void restore(struct swap *swaps)
{
    for (; swaps; swaps = swaps->next) {
        *swaps->payload = swaps->saved;
    }
}

/* Encodes one record as it is stored. */
int eng_rec_encode(struct txn *t, struct rec *r, struct buf *out)
{
    struct swap *swaps = NULL;
    externalize(t, r, &swaps);
    int rc = rec_encode(r, out);
    restore(swaps);
    return rc;
}

int eng_events_encode(struct txn *t, struct rec *const *events, size_t n, struct buf *out)
{
    struct swap *swaps = NULL;
    for (size_t i = 0; i < n; i++) {
        externalize(t, events[i], &swaps);
    }
    int rc = history_blob_encode(events, n, out);
    restore(swaps);
    return rc;
}

/* ---- reading ---- */
static int get_blob(struct engine *g, struct str hash, struct arena *a, struct str *data,
                    struct str *prev, struct err *e)
{
    struct store_read *q = NULL;
    int rc =
        store_read_open(g->store, &q, e, "SELECT data, prev FROM blobs WHERE hash = ?", "b", hash);
    if (rc) {
        return rc;
    }
    rc = store_read_next(q);
    if (rc == 1) {
        struct str none = store_read_str(q, 1);
        *data = arena_str(a, store_read_str(q, 0));
        if (!data->p) {
            *data = STR("");
        }
        *prev = none.n ? arena_str(a, none) : none;
    }
    store_read_close(q);
    return rc == 1  ? 0
           : rc < 0 ? rc
                    : err_set(e, ERR_CORRUPT,
                              "a payload that is kept by reference is missing from the file");
}

static int get_chain(struct engine *g, struct str hash, struct arena *a, struct str *out,
                     struct err *e)
{
    struct part {
        struct part *next;
        struct str s;
    } *parts = NULL;
    size_t total = 1;
    while (hash.n) {
        struct part *p = arena_alloc(a, sizeof *p);
        struct str prev = {NULL, 0};
        int rc = p ? get_blob(g, hash, a, &p->s, &prev, e) : err_set(e, ERR_NOMEM, "out of memory");
        if (rc) {
            return rc;
        }
        p->next = parts;
        parts = p;
        total += p->s.n + 1;
        hash = prev;
        if (total > ENG_BLOB_MAX) {
            return err_set(e, ERR_LIMIT, "a payload is larger than %zu bytes", ENG_BLOB_MAX);
        }
    }
    char *text = arena_alloc(a, total + 1), *at = text;
    if (!text) {
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    *at++ = '[';
    for (struct part *p = parts; p; p = p->next) {
        memcpy(at, p->s.p, p->s.n);
        at += p->s.n;
        *at++ = p->next ? ',' : ']';
    }
    *out = str_make(text, (size_t)(at - text));
    return 0;
}

static int resolve_payload(struct engine *g, struct arena *a, struct rec *r, struct err *e)
{
    if (!str_eqz(payload_encoding(r), PAYLOAD_REF)) {
        return 0;
    }
    struct str digest = rec_map_get_str(r, T(payload, metadata), STR("digest")),
               chain = rec_map_get_str(r, T(payload, metadata), STR("chain"));
    struct str of = rec_map_get_str(r, T(payload, metadata), STR("of")), data = {NULL, 0}, prev;
    uint8_t hash[SHA256_BYTES];
    struct str from = chain.n ? chain : digest;
    int rc = hex_decode(from, hash, sizeof hash)
                 ? err_set(e, ERR_CORRUPT, "a payload reference is damaged")
                 : 0;
    if (!rc) {
        rc = chain.n ? get_chain(g, str_make(hash, sizeof hash), a, &data, e)
                     : get_blob(g, str_make(hash, sizeof hash), a, &data, &prev, e);
    }
    if (rc) {
        return rc;
    }
    struct rec *full = rec_new(a, &rec_type_payload);
    rec_map_set_str(full, T(payload, metadata), STR("encoding"), of);
    for (const struct rec_field *f = rec_each(r, T(payload, metadata), NULL); f;
         f = rec_each(r, T(payload, metadata), f)) {
        struct str key = rec_str(f->v.m, T(payload_metadata_entry, key));
        if (!str_eqz(key, "encoding") && !str_eqz(key, "digest") && !str_eqz(key, "of") &&
            !str_eqz(key, "chain")) {
            rec_map_set_str(full, T(payload, metadata), key,
                            rec_str(f->v.m, T(payload_metadata_entry, value)));
        }
    }
    rec_set_str(full, T(payload, data), data);
    if (full) {
        r->first = full->first;
        r->last = full->last;
    }
    return arena_failed(a) ? err_set(e, ERR_NOMEM, "out of memory") : 0;
}

/* Puts the data back into all references under r (which is changed in place). */
int eng_resolve(struct engine *g, struct arena *a, struct rec *r, bool all, struct err *e)
{
    if (!r) {
        return 0;
    }
    if (r->type == &rec_type_payload) {
        return resolve_payload(g, a, r, e);
    }
    int rc = 0;
    for (struct rec_field *f = r->first; f && !rc; f = f->next) {
        if (f->kind == REC_MSG) {
            rc = eng_resolve(g, a, f->v.m, all, e);
        }
    }
    return rc;
}

/* What a command event holds was made by the workflow itself and is only compared, by digest:
 * unless all is asked for, it stays a reference. */
int eng_resolve_event(struct engine *g, struct arena *a, struct rec *ev, bool all, struct err *e)
{
    int type = event_type(ev);
    bool own = type == EVENT_TYPE_ACTIVITY_TASK_SCHEDULED ||
               type == EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED ||
               type == EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED;
    return own && !all ? 0 : eng_resolve(g, a, ev, all, e);
}
