/* Structured log lines go to one sink per host; the library itself prints nothing. */
#ifndef ML_BASE_LOG_H
#define ML_BASE_LOG_H
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
typedef void (*log_sink_fn)(void *ud, int level, struct str text,
                            struct str fields_json /* "{...}" or absent */);
struct log {
    log_sink_fn fn; /* NULL: dropped */
    void *ud;
    int min_level;
};
void log_write(const struct log *l, int level, struct str text, struct str fields_json);
void log_printf(const struct log *l, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *log_level_name(int level); /* "debug" ... */

#endif
