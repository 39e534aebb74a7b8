/* Message records: one in-memory form for every event, command, payload and failure.
 *
 * messages.def lists messages, field numbers and enum values as Temporal's API defines them. From
 * it come the tag constants (`T(message, field)`), the descriptors (`&rec_type_NAME`), the wire
 * codec (protobuf's wire format, which is also the stored form) and the JSON codec (protobuf's JSON
 * mapping, as Temporal's tools write it).
 *
 * A record lives in an arena and borrows nothing but what it is given: set functions keep the
 * slices they are handed (copy with arena_str first when the memory is not the arena's). Allocation
 * failure is sticky in the arena. Unknown fields survive decode and encode of the wire form. */
#ifndef ML_HISTORY_REC_H
#define ML_HISTORY_REC_H
#include "base/buf.h"
#include "base/mem.h"

enum rec_kind {
    REC_INT, /* int32, int64, uint32, uint64 as int64 */
    REC_BOOL,
    REC_ENUM,
    REC_DOUBLE,
    REC_FLOAT, /* held as double, four bytes on the wire */
    REC_STR,
    REC_BYTES,
    REC_MSG,
    REC_TIME,     /* google.protobuf.Timestamp, held as wall ns */
    REC_DURATION, /* google.protobuf.Duration, held as ns */
    REC_UNKNOWN   /* raw wire bytes with their tag, kept for re-encoding */
};
#define REC_REPEATED 1u
#define REC_MAP 2u        /* repeated entry message {1 key, 2 value}; a JSON object */
#define REC_WIDE 4u       /* a 64-bit integer: a string in JSON */
#define REC_PRESENCE 8u   /* a scalar of a oneof: zero, when set, is written */
#define REC_FIELDS_MAX 80 /* fields a message may declare */

struct rec_enum_value {
    const char *name;
    int number;
};
struct rec_enum {
    const char *name;
    const struct rec_enum_value *values;
    size_t n;
};
struct rec_field_type {
    uint16_t tag;
    uint8_t kind;
    uint8_t flags;
    const char *name;             /* snake_case */
    const char *json;             /* lowerCamelCase */
    const struct rec_type *type;  /* REC_MSG */
    const struct rec_enum *enums; /* REC_ENUM */
};
struct rec_type {
    const char *name;
    const struct rec_field_type *fields;
    size_t n;
};

struct rec_field {
    struct rec_field *next;
    const struct rec_field_type *ft; /* NULL for REC_UNKNOWN */
    uint32_t tag;
    uint8_t kind;
    union {
        int64_t i;
        double d;
        struct str s;
        struct rec *m;
    } v;
};
struct rec {
    const struct rec_type *type;
    struct arena *arena;
    struct rec_field *first, *last;
};

/* Tag constants and descriptors: T(ev_timer_started, timer_id), &rec_type_ev_timer_started,
 * E(EVENT_TYPE_TIMER_FIRED) is plain. */
#define T(message, field) TAG_##message##__##field
#define MSG(m, proto)
#define FIELD(m, num, name, json, kind, type, flags) TAG_##m##__##name = num,
#define END(m)
#define ENUM(e)
#define VALUE(e, name, num)
#define ENUM_END(e)
enum rec_tags {
#include "history/messages.def"
    TAG_end__
};
#undef MSG
#undef FIELD
#undef ENUM
#undef VALUE
#define MSG(m, proto) extern const struct rec_type rec_type_##m;
#define FIELD(m, num, name, json, kind, type, flags)
#define ENUM(e) extern const struct rec_enum rec_enum_##e;
#define VALUE(e, name, num)
#include "history/messages.def"
#undef ENUM
#undef VALUE
#undef ENUM_END
#undef MSG
#define MSG(m, proto)
#define ENUM(e) enum e {
#define VALUE(e, name, num) name = num,
#define ENUM_END(e)                                                                                \
    }                                                                                              \
    ;
#include "history/messages.def"
#undef MSG
#undef FIELD
#undef END
#undef ENUM
#undef VALUE
#undef ENUM_END

/* ---- building (all tolerate r == NULL after an arena failure) ---- */
struct rec *rec_new(struct arena *a, const struct rec_type *t);
void rec_set_int(struct rec *r, int tag,
                 int64_t v); /* INT, BOOL, ENUM, TIME, DURATION; 0 clears (proto3 default) except
                                for TIME and oneof members */
void rec_set_double(struct rec *r, int tag, double v);
void rec_set_str(struct rec *r, int tag,
                 struct str s); /* STR, BYTES; borrowed slice; absent or empty clears */
void rec_set_copy(struct rec *r, int tag, struct str s); /* the same, copied into the arena */
void rec_set_msg(struct rec *r, int tag, struct rec *m); /* NULL clears; m must live as long as r */
struct rec *rec_sub(struct rec *r, int tag);             /* the sub-message, made when absent */
struct rec *rec_add(struct rec *r, int tag);             /* a new element of a repeated message */
void rec_add_msg(struct rec *r, int tag, struct rec *m);
void rec_add_str(struct rec *r, int tag, struct str s);
void rec_add_int(struct rec *r, int tag, int64_t v); /* repeated INT, ENUM, TIME */
struct rec *rec_map_set(struct rec *r, int tag,
                        struct str key); /* map<string, message>: the (new) value message */
void rec_map_set_str(struct rec *r, int tag, struct str key,
                     struct str value);                      /* map<string, string|bytes> */
struct rec *rec_clone(struct arena *a, const struct rec *r); /* deep copy, nothing borrowed */

/* ---- reading (r may be NULL: everything is absent) ---- */
bool rec_has(const struct rec *r, int tag);
int64_t rec_int(const struct rec *r, int tag); /* 0 when absent */
double rec_double(const struct rec *r, int tag);
struct str rec_str(const struct rec *r, int tag); /* {NULL,0} when absent */
struct rec *rec_msg(const struct rec *r,
                    int tag); /* NULL when absent; the first element of a repeated one */
/* Walks the values of a repeated field: pass NULL first, then the last result. */
const struct rec_field *rec_each(const struct rec *r, int tag, const struct rec_field *prev);
size_t rec_count(const struct rec *r, int tag);
struct rec *rec_map_get(const struct rec *r, int tag, struct str key); /* map<string, message> */
struct str rec_map_get_str(const struct rec *r, int tag,
                           struct str key); /* map<string, string|bytes> */

/* ---- codecs ---- */
#define REC_DEPTH_MAX 100
int rec_encode(const struct rec *r, struct buf *out);
/* Decoded strings are slices of `bytes`, which must outlive the record. 0, ERR_PROTO, ERR_NOMEM,
 * ERR_LIMIT. */
int rec_decode(struct arena *a, const struct rec_type *t, struct str bytes, struct rec **out,
               struct err *e);
int rec_to_json(const struct rec *r, struct buf *out, bool pretty);
/* Accepts what Temporal's tools write: enum values as EVENT_TYPE_X_Y or the Pascal form, 64-bit
 * numbers as text or number, snake_case names too; unknown members are skipped. */
int rec_from_json(struct arena *a, const struct rec_type *t, struct str text, struct rec **out,
                  struct err *e);
const char *rec_enum_name(const struct rec_enum *e, int number); /* NULL when unknown */

#endif
