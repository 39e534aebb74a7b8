/* What the files of records share and nobody else sees. */
#ifndef ML_HISTORY_REC_INTERNAL_H
#define ML_HISTORY_REC_INTERNAL_H
#include "history/rec.h"

const struct rec_field_type *rec_field_type_of(const struct rec_type *t,
                                               uint32_t tag); /* NULL: none */
/* A new value at the end; NULL when the arena failed. The value is the caller's to set. */
struct rec_field *rec_append(struct rec *r, const struct rec_field_type *ft);
/* Whether a value is the proto3 default, which is written by leaving it out. */
bool rec_field_is_default(const struct rec_field *f);
/* The record type behind an Any's URL; NULL when it is none that we know. */
const struct rec_type *rec_type_of_url(struct str url);
/* Tag, length and body of a sub-message. */
void rec_put_message(struct buf *out, uint32_t tag, const struct rec *m, int depth);

struct json;
/* The value that comes next as a record; NULL after an error, which is in j. */
struct rec *rec_read_json(struct json *j, const struct rec_type *t);

static inline size_t rec_field_index(const struct rec *r, const struct rec_field *f)
{
    return (size_t)(f->ft - r->type->fields);
}

/* Repeated values may lie apart in the list; writers gather them at the first and skip the rest by
 * this set. */
struct rec_done {
    uint64_t bits[(REC_FIELDS_MAX + 63) / 64];
};
static inline bool rec_done_mark(struct rec_done *d, size_t i)
{
    bool was = d->bits[i / 64] >> (i % 64) & 1;
    d->bits[i / 64] |= UINT64_C(1) << (i % 64);
    return was;
}

#endif
