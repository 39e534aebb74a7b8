/* Linked into every program of the TSan build (preset tsan): what a run under the thread sanitizer
 * needs, so that one test runs by itself, without environment variables.
 *
 * What TSan sees: our own code, and the calls of pthread and libc that libraries make. Debian's
 * libraries (Lua, SQLite, libuv, libcurl, OpenSSL) are not compiled for it; their plain reads and
 * writes are not looked at, which is why there is nothing to suppress. A suppression that is needed
 * one day stands in the list below with its reason, and names a library, never code of ours. */
#include <setjmp.h>

#define SEEN __attribute__((visibility("default"), weak))

const char *__tsan_default_options(void);
const char *__tsan_default_suppressions(void);
void __longjmp_chk(jmp_buf env, int value);

/* A race ends the program at once with a code of its own; 8 GB is far above any test. */
SEEN const char *__tsan_default_options(void)
{
    return "halt_on_error=1:exitcode=66:second_deadlock_stack=1:hard_rss_limit_mb=8000";
}

SEEN const char *__tsan_default_suppressions(void)
{
    return "";
}

/* Debian builds Lua with _FORTIFY_SOURCE, whose longjmp is __longjmp_chk. TSan knows longjmp only:
 * without this, its picture of the stack keeps the frames of every Lua error until it overflows. */
SEEN void __longjmp_chk(jmp_buf env, int value)
{
    longjmp(env, value);
}
