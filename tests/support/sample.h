/* Records of any type filled with sample values, for tests of the codecs. */
#ifndef ML_TESTS_SAMPLE_H
#define ML_TESTS_SAMPLE_H
#include "base/rng.h"
#include "history/event.h"

#define MSG(m, proto) &rec_type_##m,
#define FIELD(m, num, name, json, kind, type, flags)
#define END(m)
#define ENUM(e)
#define VALUE(e, name, num)
#define ENUM_END(e)
static const struct rec_type *const sample_types[] = {
#include "history/messages.def"
};
#undef MSG
#undef FIELD
#undef END
#undef ENUM
#undef VALUE
#undef ENUM_END
#define SAMPLE_TYPES (sizeof sample_types / sizeof *sample_types)

static struct rec *sample_record(struct arena *a, const struct rec_type *t, struct rng *r,
                                 int depth);

static int64_t sample_int(const struct rec_field_type *ft, struct rng *r)
{
    int64_t wide[] = {1, -1, INT64_MAX, INT64_MIN, INT64_C(9007199254740993), 127, 128, 300};
    switch (ft->kind) {
    case REC_BOOL:
        return 1;
    case REC_ENUM:
        return ft->enums->values[1 + rng_below(r, ft->enums->n - 1)].number;
    case REC_TIME:
        return rng_below(r, 3) ? (int64_t)rng_next(r) : 0;
    case REC_DURATION:
        return rng_below(r, 2) ? (int64_t)rng_next(r) : -1500000000;
    default:
        return ft->flags & REC_WIDE ? wide[rng_below(r, 8)]
                                    : (int64_t)(1 + rng_below(r, INT32_MAX));
    }
}

static struct str sample_text(struct arena *a, bool bytes, struct rng *r)
{
    static const struct str texts[] = {STR("plain"), STR("\"quoted\" \\ \n\t\x01"),
                                       STR("caf\xc3\xa9 \xf0\x9f\x98\x80")};
    if (!bytes) return texts[rng_below(r, 3)];
    char raw[200];
    size_t n = 1 + rng_below(r, sizeof raw);
    for (size_t i = 0; i < n; i++)
        raw[i] = (char)rng_below(r, 256);
    return arena_str(a, str_make(raw, n));
}

static void sample_value(struct arena *a, struct rec *to, const struct rec_field_type *ft,
                         struct rng *r, int depth)
{
    bool repeated = ft->flags & REC_REPEATED;
    switch (ft->kind) {
    case REC_MSG:
        if (ft->flags & REC_MAP) {
            struct rec *entry = rec_add(to, ft->tag);
            const struct rec_field_type *vt = &ft->type->fields[1];
            rec_set_str(entry, 1, arena_printf(a, "key %zu", rec_count(to, ft->tag)));
            sample_value(a, entry, vt, r, depth + 1);
        } else if (repeated) {
            rec_add_msg(to, ft->tag, sample_record(a, ft->type, r, depth + 1));
        } else {
            rec_set_msg(to, ft->tag, sample_record(a, ft->type, r, depth + 1));
        }
        break;
    case REC_STR:
    case REC_BYTES:
        if (repeated)
            rec_add_str(to, ft->tag, sample_text(a, false, r));
        else
            rec_set_str(to, ft->tag, sample_text(a, ft->kind == REC_BYTES, r));
        break;
    case REC_DOUBLE:
    case REC_FLOAT:
        rec_set_double(to, ft->tag, rng_below(r, 2) ? 1.5 : rng_unit(r) * 1e9);
        break;
    default:
        if (repeated)
            rec_add_int(to, ft->tag, sample_int(ft, r));
        else
            rec_set_int(to, ft->tag, sample_int(ft, r));
        break;
    }
}

/* Every field set, to a depth of a few messages below which messages are empty. */
static struct rec *sample_record(struct arena *a, const struct rec_type *t, struct rng *r,
                                 int depth)
{
    struct rec *to = rec_new(a, t);
    if (depth > 4) return to;
    for (size_t i = 0; i < t->n; i++) {
        const struct rec_field_type *ft = &t->fields[i];
        uint64_t n = ft->flags & (REC_REPEATED | REC_MAP) ? 1 + rng_below(r, 3) : 1;
        if (depth > 1 && rng_below(r, 3) == 0) continue;
        while (n--)
            sample_value(a, to, ft, r, depth);
    }
    return to;
}

#endif
