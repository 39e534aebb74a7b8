/* Error records: a code and a text for people. The text is always NUL-terminated and never
 * overflows. Called from every room. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
    if (!e) return code;
    /* formatted aside, because an argument may be the text that is replaced */
    char text[sizeof e->text];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) text[0] = '\0';
    e->code = code;
    memcpy(e->text, text, strlen(text) + 1);
    return code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    if (!e) return 0;
    char text[sizeof e->text];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) return e->code;
    size_t used = strlen(text);
    size_t room = sizeof text - 1 - used;
    size_t sep = room < 2 ? room : 2;
    memcpy(text + used, ": ", sep);
    used += sep;
    size_t rest = strlen(e->text);
    if (rest > sizeof text - 1 - used) rest = sizeof text - 1 - used;
    memcpy(text + used, e->text, rest);
    text[used + rest] = '\0';
    memcpy(e->text, text, used + rest + 1);
    return e->code;
}

const char *err_name(int code)
{
    static const char *const names[] = {
        "ok",           "out of memory",   "bad argument", "limit reached",
        "i/o error",    "no space",        "corrupt",      "too new",
        "busy",         "not found",       "exists",       "closed",
        "script error", "non-determinism", "timeout",      "canceled",
        "guard failed", "stale",           "unsupported",  "protocol error",
        "failed",
    };
    int i = -code;
    if (i < 0 || i >= (int)(sizeof names / sizeof *names)) return "unknown error";
    return names[i];
}
