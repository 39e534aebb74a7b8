/* Pieces in a folder: whole or not there, never changed, never outside of it. */
#include "base/mem.h"
#include "check.h"
#include "os/keep.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[200], deep[300], command[400];

static size_t files_in(const char *path)
{
    size_t n = 0;
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (struct dirent *x; d && (x = readdir(d));)
        n += strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0;
    if (d) closedir(d);
    return n;
}

int main(void)
{
    struct err e = {0};
    struct buf b;
    struct stat st;
    snprintf(folder, sizeof folder, "/tmp/moonloop-keep-%ld", (long)getpid());
    snprintf(deep, sizeof deep, "%s/a/b", folder);
    buf_init(&b, 100);

    CASE("a folder is made with those above it, for the owner alone");
    CHECK_INT(keep_folder(deep, &e), 0);
    CHECK_INT(keep_folder(deep, &e), 0);
    CHECK(stat(deep, &st) == 0 && (st.st_mode & 0777) == 0700);

    CASE("a piece is read as it was written, and the first one stays");
    CHECK_INT(keep_put(deep, "one.text", STR("first"), &e), 0);
    CHECK_INT(keep_put(deep, "one.text", STR("second"), &e), 0);
    CHECK_INT(keep_put(deep, "none.text", STR(""), &e), 0);
    CHECK_INT(keep_get(deep, "one.text", &b, &e), 0);
    CHECK(str_eqz(buf_str(&b), "first"));
    CHECK_INT((int)files_in(deep), 2);

    CASE("what cannot be: a missing piece, one that is too large, names that lead elsewhere");
    CHECK_INT(keep_get(deep, "two.text", &b, &e), ERR_NOTFOUND);
    CHECK(strstr(e.text, "two.text"));
    char big[200] = {0};
    CHECK_INT(keep_put(deep, "big", str_make(big, sizeof big), &e), 0);
    buf_reset(&b);
    CHECK_INT(keep_get(deep, "big", &b, &e), ERR_LIMIT);
    const char *const odd[] = {"", ".hidden", "../one.text", "a/b", "with space"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        CHECK_INT(keep_put(deep, odd[i], STR("x"), &e), ERR_ARG);
        CHECK_INT(keep_get(deep, odd[i], &b, &e), ERR_ARG);
    }
    snprintf(command, sizeof command, "%s/one.text", deep);
    CHECK_INT(keep_folder(command, &e), ERR_IO);
    CHECK_INT(keep_put(command, "x", STR("x"), &e), ERR_IO);

    buf_free(&b);
    snprintf(command, sizeof command, "rm -r /tmp/moonloop-keep-%ld", (long)getpid());
    CHECK_INT(system(command), 0);
    return CHECK_DONE();
}
