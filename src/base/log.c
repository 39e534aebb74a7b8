/* Log lines go to the host's sink; below min_level, or without a sink, nothing is even formatted.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static bool wanted(const struct log *l, int level)
{
    return l && l->fn && level >= l->min_level;
}

void log_write(const struct log *l, int level, struct str text, struct str fields_json)
{
    if (wanted(l, level)) l->fn(l->ud, level, text, fields_json);
}

void log_printf(const struct log *l, int level, const char *fmt, ...)
{
    if (!wanted(l, level)) return;
    char text[1200]; /* an err's text and what leads to it fit; longer is cut */
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) return;
    size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    l->fn(l->ud, level, str_make(text, len), (struct str){NULL, 0});
}

const char *log_level_name(int level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return level >= LOG_DEBUG && level <= LOG_ERROR ? names[level] : "unknown";
}
