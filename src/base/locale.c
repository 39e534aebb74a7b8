/* One locale object for the life of the process; uselocale costs some nanoseconds. */
#include "base/locale.h"
#include <locale.h>
#include <pthread.h>
#include <stddef.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static locale_t c_locale;

static void make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

void *locale_c_enter(void)
{
    pthread_once(&once, make);
    return c_locale ? (void *)uselocale(c_locale) : NULL;
}

void locale_c_leave(void *before)
{
    if (before) uselocale((locale_t)before);
}
