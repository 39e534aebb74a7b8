/* The formats that JSON Schema's `format` asserts here, and nothing else. */
#ifndef ML_JSON_FORMAT_H
#define ML_JSON_FORMAT_H
#include "base/str.h"

enum json_format {
    FORMAT_NONE,
    FORMAT_DATE_TIME, /* RFC 3339 5.6, with a zone; second 60 where a leap second can be */
    FORMAT_DATE,      /* RFC 3339 full-date */
    FORMAT_TIME,      /* RFC 3339 full-time, with a zone */
    FORMAT_EMAIL,     /* RFC 5321 Mailbox, ASCII */
    FORMAT_URI,       /* RFC 3986, with a scheme */
    FORMAT_UUID,      /* RFC 4122, 36 characters */
    FORMAT_IPV4,
    FORMAT_IPV6,
    FORMAT_HOSTNAME, /* RFC 1123 */
    FORMAT_COUNT
};
/* FORMAT_NONE when the name is not one of them. */
enum json_format format_find(struct str name);
const char *format_name(enum json_format f);
bool format_holds(enum json_format f, struct str s);

#endif
