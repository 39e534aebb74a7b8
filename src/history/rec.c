/* Building and reading records. A record is a list of values in the order in which they were set or
 * read, which is also the order in which they are written. Using a tag that the message does not
 * have is a programmer's error. */
#include "history/rec.h"

#include "history/rec_internal.h"

#include <assert.h>

#define CLONE_DEPTH_MAX (2 * REC_DEPTH_MAX)

struct rec *rec_new(struct arena *a, const struct rec_type *t)
{
    struct rec *r = arena_take(a, sizeof *r);
    if (r) *r = (struct rec){.type = t, .arena = a};
    return r;
}

struct rec_field *rec_append(struct rec *r, const struct rec_field_type *ft)
{
    struct rec_field *f = arena_take(r->arena, sizeof *f);
    if (!f) return NULL;
    *f = (struct rec_field){
        .ft = ft, .tag = ft ? ft->tag : 0, .kind = ft ? ft->kind : (uint8_t)REC_UNKNOWN};
    if (r->last)
        r->last->next = f;
    else
        r->first = f;
    r->last = f;
    return f;
}

bool rec_field_is_default(const struct rec_field *f)
{
    switch (f->kind) {
    case REC_INT:
    case REC_BOOL:
    case REC_ENUM:
        return f->v.i == 0 && !(f->ft->flags & REC_PRESENCE);
    case REC_DOUBLE:
    case REC_FLOAT: {
        uint64_t bits; /* -0.0 is not the default */
        memcpy(&bits, &f->v.d, sizeof bits);
        return bits == 0;
    }
    case REC_STR:
    case REC_BYTES:
        return f->v.s.n == 0;
    default:
        return false;
    }
}

static struct rec_field *find(const struct rec *r, int tag)
{
    if (!r) return NULL;
    for (struct rec_field *f = r->first; f; f = f->next) {
        if (f->tag == (uint32_t)tag && f->ft) return f;
    }
    return NULL;
}

static const struct rec_field_type *type_of(const struct rec *r, int tag)
{
    const struct rec_field_type *ft = rec_field_type_of(r->type, (uint32_t)tag);
    assert(ft && "the message has no such field");
    return ft;
}

static struct rec_field *put(struct rec *r, int tag)
{
    struct rec_field *f = find(r, tag);
    return f ? f : rec_append(r, type_of(r, tag));
}

static void drop(struct rec *r, int tag)
{
    struct rec_field **at = &r->first, *last = NULL;
    while (*at) {
        struct rec_field *f = *at;
        if (f->tag == (uint32_t)tag && f->ft) {
            *at = f->next;
        } else {
            last = f;
            at = &f->next;
        }
    }
    r->last = last;
}

void rec_set_int(struct rec *r, int tag, int64_t v)
{
    if (!r) return;
    const struct rec_field_type *ft = type_of(r, tag);
    assert(ft->kind == REC_INT || ft->kind == REC_BOOL || ft->kind == REC_ENUM ||
           ft->kind == REC_TIME || ft->kind == REC_DURATION);
    if (v == 0 && ft->kind != REC_TIME && !(ft->flags & REC_PRESENCE)) {
        drop(r, tag);
        return;
    }
    struct rec_field *f = put(r, tag);
    if (f) f->v.i = ft->kind == REC_BOOL ? v != 0 : v;
}

void rec_set_double(struct rec *r, int tag, double v)
{
    if (!r) return;
    const struct rec_field_type *ft = type_of(r, tag);
    assert(ft->kind == REC_DOUBLE || ft->kind == REC_FLOAT);
    struct rec_field probe = {.ft = ft, .kind = ft->kind, .v.d = v};
    if (rec_field_is_default(&probe)) {
        drop(r, tag);
        return;
    }
    struct rec_field *f = put(r, tag);
    if (f) f->v.d = ft->kind == REC_FLOAT ? (double)(float)v : v;
}

void rec_set_str(struct rec *r, int tag, struct str s)
{
    if (!r) return;
    assert(type_of(r, tag)->kind == REC_STR || type_of(r, tag)->kind == REC_BYTES);
    if (s.n == 0) {
        drop(r, tag);
        return;
    }
    struct rec_field *f = put(r, tag);
    if (f) f->v.s = s;
}

void rec_set_copy(struct rec *r, int tag, struct str s)
{
    if (!r) return;
    rec_set_str(r, tag, s.n ? arena_str(r->arena, s) : s);
}

void rec_set_msg(struct rec *r, int tag, struct rec *m)
{
    if (!r) return;
    assert(type_of(r, tag)->kind == REC_MSG && (!m || m->type == type_of(r, tag)->type));
    if (!m) {
        drop(r, tag);
        return;
    }
    struct rec_field *f = put(r, tag);
    if (f) f->v.m = m;
}

struct rec *rec_sub(struct rec *r, int tag)
{
    if (!r) return NULL;
    struct rec_field *f = find(r, tag);
    assert(!f || f->kind == REC_MSG);
    return f ? f->v.m : rec_add(r, tag);
}

struct rec *rec_add(struct rec *r, int tag)
{
    if (!r) return NULL;
    const struct rec_field_type *ft = type_of(r, tag);
    assert(ft->kind == REC_MSG);
    struct rec *m = rec_new(r->arena, ft->type);
    rec_add_msg(r, tag, m);
    return m;
}

void rec_add_msg(struct rec *r, int tag, struct rec *m)
{
    if (!r || !m) return;
    const struct rec_field_type *ft = type_of(r, tag);
    assert(ft->kind == REC_MSG && m->type == ft->type);
    struct rec_field *f = rec_append(r, ft);
    if (f) f->v.m = m;
}

void rec_add_str(struct rec *r, int tag, struct str s)
{
    if (!r) return;
    assert(type_of(r, tag)->kind == REC_STR || type_of(r, tag)->kind == REC_BYTES);
    struct rec_field *f = rec_append(r, type_of(r, tag));
    if (f) f->v.s = s.p ? s : STR("");
}

void rec_add_int(struct rec *r, int tag, int64_t v)
{
    if (!r) return;
    int kind = type_of(r, tag)->kind;
    assert(kind == REC_INT || kind == REC_ENUM || kind == REC_TIME || kind == REC_DURATION);
    struct rec_field *f = rec_append(r, type_of(r, tag));
    if (f) f->v.i = v;
}

/* Entries of a map are messages {1 key, 2 value}; of equal keys the last counts. */
static struct rec *entry_of(const struct rec *r, int tag, struct str key)
{
    struct rec *found = NULL;
    const struct rec_field *f = NULL;
    while ((f = rec_each(r, tag, f))) {
        if (str_eq(rec_str(f->v.m, 1), key)) found = f->v.m;
    }
    return found;
}

static struct rec *entry_make(struct rec *r, int tag, struct str key)
{
    struct rec *entry = entry_of(r, tag, key);
    if (entry) return entry;
    entry = rec_add(r, tag);
    rec_set_str(entry, 1, key);
    return entry;
}

struct rec *rec_map_set(struct rec *r, int tag, struct str key)
{
    if (!r) return NULL;
    struct rec *entry = entry_make(r, tag, key);
    if (!entry) return NULL;
    struct rec *value = rec_new(r->arena, type_of(entry, 2)->type);
    if (value) rec_set_msg(entry, 2, value);
    return value;
}

void rec_map_set_str(struct rec *r, int tag, struct str key, struct str value)
{
    if (!r) return;
    rec_set_str(entry_make(r, tag, key), 2, value);
}

static struct rec *clone(struct arena *a, const struct rec *r, int depth)
{
    if (depth > CLONE_DEPTH_MAX) {
        a->failed = true;
        return NULL;
    }
    struct rec *copy = rec_new(a, r->type);
    if (!copy) return NULL;
    for (const struct rec_field *f = r->first; f; f = f->next) {
        struct rec_field *to = rec_append(copy, f->ft);
        if (!to) return NULL;
        to->tag = f->tag;
        if (f->kind == REC_MSG) {
            to->v.m = clone(a, f->v.m, depth + 1);
            if (!to->v.m) return NULL;
        } else if (f->kind == REC_STR || f->kind == REC_BYTES || f->kind == REC_UNKNOWN) {
            to->v.s = arena_str(a, f->v.s);
        } else {
            to->v = f->v;
        }
    }
    return arena_failed(a) ? NULL : copy;
}

struct rec *rec_clone(struct arena *a, const struct rec *r)
{
    return r ? clone(a, r, 0) : NULL;
}

bool rec_has(const struct rec *r, int tag)
{
    const struct rec_field *f = find(r, tag);
    if (!f) return false;
    return f->ft->flags & (REC_REPEATED | REC_MAP) || !rec_field_is_default(f);
}

int64_t rec_int(const struct rec *r, int tag)
{
    const struct rec_field *f = find(r, tag);
    if (!f) return 0;
    assert(f->kind <= REC_ENUM || f->kind == REC_TIME || f->kind == REC_DURATION);
    return f->v.i;
}

double rec_double(const struct rec *r, int tag)
{
    const struct rec_field *f = find(r, tag);
    if (!f) return 0;
    assert(f->kind == REC_DOUBLE || f->kind == REC_FLOAT);
    return f->v.d;
}

struct str rec_str(const struct rec *r, int tag)
{
    const struct rec_field *f = find(r, tag);
    if (!f) return (struct str){NULL, 0};
    assert(f->kind == REC_STR || f->kind == REC_BYTES);
    return f->v.s;
}

struct rec *rec_msg(const struct rec *r, int tag)
{
    const struct rec_field *f = find(r, tag);
    if (!f) return NULL;
    assert(f->kind == REC_MSG);
    return f->v.m;
}

const struct rec_field *rec_each(const struct rec *r, int tag, const struct rec_field *prev)
{
    if (!r) return NULL;
    const struct rec_field *f = prev ? prev->next : r->first;
    while (f && (f->tag != (uint32_t)tag || !f->ft))
        f = f->next;
    return f;
}

size_t rec_count(const struct rec *r, int tag)
{
    size_t n = 0;
    const struct rec_field *f = NULL;
    while ((f = rec_each(r, tag, f)))
        n++;
    return n;
}

struct rec *rec_map_get(const struct rec *r, int tag, struct str key)
{
    return rec_msg(entry_of(r, tag, key), 2);
}

struct str rec_map_get_str(const struct rec *r, int tag, struct str key)
{
    const struct rec *entry = entry_of(r, tag, key);
    struct str s = rec_str(entry, 2);
    return entry && !s.p ? STR("") : s;
}
