/* The descriptor tables, made from messages.def. */
#include "history/rec_internal.h"

/* type and enums of a field, by its kind */
#define OF_INT(t) NULL, NULL
#define OF_BOOL(t) NULL, NULL
#define OF_DOUBLE(t) NULL, NULL
#define OF_FLOAT(t) NULL, NULL
#define OF_STR(t) NULL, NULL
#define OF_BYTES(t) NULL, NULL
#define OF_TIME(t) NULL, NULL
#define OF_DURATION(t) NULL, NULL
#define OF_MSG(t) &rec_type_##t, NULL
#define OF_ENUM(t) NULL, &rec_enum_##t

/* each table has an empty last row, because a message may have no fields */
#define MSG(m, proto) static const struct rec_field_type fields_##m[] = {
#define FIELD(m, num, name, json, kind, type, flags)                                               \
    {num, REC_##kind, flags, #name, json, OF_##kind(type)},
#define END(m)                                                                                     \
    {                                                                                              \
        0                                                                                          \
    }                                                                                              \
    }                                                                                              \
    ;
#define ENUM(e) static const struct rec_enum_value values_##e[] = {
#define VALUE(e, name, num) {#name, num},
#define ENUM_END(e)                                                                                \
    {                                                                                              \
        0                                                                                          \
    }                                                                                              \
    }                                                                                              \
    ;
#include "history/messages.def"
#undef MSG
#undef FIELD
#undef END
#undef ENUM
#undef VALUE
#undef ENUM_END

#define COUNT(table) (sizeof(table) / sizeof *(table)-1)
#define MSG(m, proto)                                                                              \
    _Static_assert(COUNT(fields_##m) <= REC_FIELDS_MAX, "too many fields: " proto);                \
    const struct rec_type rec_type_##m = {proto, fields_##m, COUNT(fields_##m)};
#define FIELD(m, num, name, json, kind, type, flags)
#define END(m)
#define ENUM(e) const struct rec_enum rec_enum_##e = {#e, values_##e, COUNT(values_##e)};
#define VALUE(e, name, num)
#define ENUM_END(e)
#include "history/messages.def"

const char *rec_enum_name(const struct rec_enum *e, int number)
{
    if (!e) return NULL;
    if (number >= 0 && (size_t)number < e->n && e->values[number].number == number) {
        return e->values[number].name; /* most enums lie in order */
    }
    for (size_t i = 0; i < e->n; i++) {
        if (e->values[i].number == number) return e->values[i].name;
    }
    return NULL;
}

const struct rec_field_type *rec_field_type_of(const struct rec_type *t, uint32_t tag)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->fields[i].tag == tag) return &t->fields[i];
    }
    return NULL;
}

const struct rec_type *rec_type_of_url(struct str url)
{
    static const struct {
        const char *name;
        const struct rec_type *type;
    } known[] = {
        {"temporal.api.update.v1.Request", &rec_type_update_request},
        {"temporal.api.update.v1.Acceptance", &rec_type_update_acceptance},
        {"temporal.api.update.v1.Rejection", &rec_type_update_rejection},
        {"temporal.api.update.v1.Response", &rec_type_update_response},
        {"temporal.api.update.v1.Outcome", &rec_type_update_outcome},
        {"temporal.api.failure.v1.Failure", &rec_type_failure},
        {"temporal.api.common.v1.Payload", &rec_type_payload},
        {"temporal.api.common.v1.Payloads", &rec_type_payloads},
    };
    size_t i = url.n;
    while (i > 0 && url.p[i - 1] != '/')
        i--;
    if (i == 0) return NULL; /* no authority in front */
    struct str name = str_make(url.p + i, url.n - i);
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        if (str_eqz(name, known[k].name)) return known[k].type;
    }
    return NULL;
}
