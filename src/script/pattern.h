/* Lua 5.4 patterns, matched by our own backtracking matcher that counts its steps and charges them
 * to the sandbox: a pattern that would take hours ends at the instruction limit. Private to the
 * script room. */
#ifndef ML_SCRIPT_PATTERN_H
#define ML_SCRIPT_PATTERN_H
#include <lua.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_CAPTURES_MAX 32

struct pattern_capture {
    const char *start;
    ptrdiff_t n; /* CAPTURE_OPEN, CAPTURE_POSITION or a length */
};
enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };
struct pattern {
    lua_State *L;
    const char *src, *end;  /* subject */
    const char *pat, *pend; /* pattern without its anchor */
    uint64_t steps;
    int level, depth;
    struct pattern_capture captures[PATTERN_CAPTURES_MAX];
};
/* Matches at s exactly: the end of the match or NULL. Raises on a malformed pattern, at the limit,
 * or when it nests too deeply. */
const char *pattern_match(struct pattern *m, const char *s);
/* Charges the steps that were not charged yet. */
void pattern_settle(struct pattern *m);
/* Pushes capture i (0-based; without captures 0 is the whole match s..e). */
void pattern_push(struct pattern *m, int i, const char *s, const char *e);
/* Pushes all captures (the whole match when there are none and `whole`). Returns how many. */
int pattern_push_all(struct pattern *m, const char *s, const char *e, int whole);

#endif
