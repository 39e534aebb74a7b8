/* Errors of the C rooms: 0 or one negative code from this table, detail text in a caller's struct
 * err. Output parameters are written on success only. */
#ifndef ML_BASE_ERR_H
#define ML_BASE_ERR_H

enum err_code {
    ERR_OK = 0,
    ERR_NOMEM = -1,        /* an allocation failed */
    ERR_ARG = -2,          /* bad input: what the caller gave cannot be used */
    ERR_LIMIT = -3,        /* a documented limit was reached (size, count, depth, memory) */
    ERR_IO = -4,           /* the disk, a socket or a process failed */
    ERR_FULL = -5,         /* no room on the disk */
    ERR_CORRUPT = -6,      /* stored data is damaged */
    ERR_NEWER = -7,        /* stored data is of a newer version of the program */
    ERR_BUSY = -8,         /* another process owns it */
    ERR_NOTFOUND = -9,     /* no such thing */
    ERR_EXISTS = -10,      /* there is one already */
    ERR_CLOSED = -11,      /* the thing is closed or closing */
    ERR_SCRIPT = -12,      /* a Lua script is at fault (syntax, load, run) */
    ERR_NONDET = -13,      /* a history does not match the script */
    ERR_TIMEOUT = -14,     /* a deadline passed */
    ERR_CANCELED = -15,    /* cancelled before it was done */
    ERR_GUARD = -16,       /* a guard of a batch failed at commit */
    ERR_STALE = -17,       /* the task, attempt or run is gone */
    ERR_UNSUPPORTED = -18, /* this engine or build cannot do that */
    ERR_PROTO = -19,       /* bytes that break a protocol or a format */
    ERR_FAILED = -20       /* the thing ran and failed (a query, an update) */
};

struct err {
    int code;        /* one of enum err_code, 0 when nothing happened */
    char text[1000]; /* for people: what, where, what to do; NUL-terminated */
};

/* Writes code and formatted text to `e` (which may be NULL) and returns `code`. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "prefix: " before the text that `e` holds. Returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The stable name of a code ("not found"). Never NULL. */
const char *err_name(int code);

#endif
