/* File requests through the thread pool. */
#include "base/mem.h"
#include "check.h"
#include "os/files.h"

#include <unistd.h>

static struct loop *loop;
static struct buf got;
static struct files_result last;
static bool done;

static void on_done(void *ud, const struct files_result *r)
{
    (void)ud;
    last = *r;
    buf_reset(&got);
    buf_putstr(&got, r->data);
    done = true;
}

static int run(struct files_request r)
{
    struct files_op *op;
    struct err e = {0};
    done = false;
    int code = files_start(loop, &r, on_done, NULL, &op, &e);
    if (code < 0) return code;
    while (!done)
        loop_turn(loop, -1);
    return last.err.code;
}

static char folder[200];
static struct str at(char out[300], const char *name)
{
    snprintf(out, 300, "%s/%s", folder, name);
    return str_of(out);
}

int main(void)
{
    struct err e;
    char a[300], b[300];
    buf_init(&got, 1 << 20);
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    CASE("a temporary folder");
    CHECK_INT(run((struct files_request){.kind = FILES_TEMP_DIR, .path = STR("ml-test")}), 0);
    snprintf(folder, sizeof folder, "%s", got.p);
    CHECK_INT(access(folder, F_OK), 0);
    CHECK_INT(run((struct files_request){.kind = FILES_TEMP_DIR, .path = STR("../x")}), ERR_ARG);
    CASE("write, append, read, limits");
    CHECK_INT(
        run((struct files_request){.kind = FILES_WRITE, .path = at(a, "f"), .data = STR("one")}),
        0);
    CHECK_INT(
        run((struct files_request){.kind = FILES_APPEND, .path = at(a, "f"), .data = STR(" two")}),
        0);
    CHECK_INT(run((struct files_request){.kind = FILES_READ, .path = at(a, "f")}), 0);
    CHECK_STR(got.p, "one two");
    CHECK_INT(run((struct files_request){.kind = FILES_READ, .path = at(a, "f"), .max_bytes = 6}),
              ERR_LIMIT);
    CHECK_INT(run((struct files_request){
                  .kind = FILES_WRITE, .path = at(a, "f"), .data = STR("new"), .atomic = true}),
              0);
    CHECK_INT(run((struct files_request){.kind = FILES_READ, .path = at(a, "f")}), 0);
    CHECK_STR(got.p, "new");
    CHECK_INT(run((struct files_request){.kind = FILES_READ, .path = at(a, "missing")}),
              ERR_NOTFOUND);
    CHECK(strstr(last.err.text, "missing") != NULL);
    CHECK_INT(run((struct files_request){.kind = FILES_READ, .path = STR("")}), ERR_ARG);
    CHECK_INT(run((struct files_request){.kind = FILES_READ, .path = STR("a\0b")}), ERR_ARG);
    CASE("folders");
    CHECK_INT(run((struct files_request){.kind = FILES_MKDIR, .path = at(a, "d/e/f")}),
              ERR_NOTFOUND);
    CHECK_INT(
        run((struct files_request){.kind = FILES_MKDIR, .path = at(a, "d/e/f"), .recursive = true}),
        0);
    CHECK_INT(
        run((struct files_request){.kind = FILES_MKDIR, .path = at(a, "d/e/f"), .recursive = true}),
        0);
    CHECK_INT(run((struct files_request){.kind = FILES_MKDIR, .path = at(a, "d")}), ERR_EXISTS);
    CHECK_INT(
        run((struct files_request){.kind = FILES_COPY, .path = at(a, "f"), .to = at(b, "d/g")}), 0);
    CHECK_INT(
        run((struct files_request){.kind = FILES_RENAME, .path = at(a, "d/g"), .to = at(b, "a")}),
        0);
    CHECK_INT(run((struct files_request){.kind = FILES_LIST, .path = str_of(folder)}), 0);
    CHECK(got.n == 9 && memcmp(got.p, "fa\0dd\0ff\0", 9) == 0);
    CHECK_INT(run((struct files_request){.kind = FILES_STAT, .path = at(a, "a")}), 0);
    CHECK(last.is_file && !last.is_dir && last.size == 3 && last.modified_ns > 0);
    CASE("an atomic write through a link leaves the link");
    CHECK_INT(symlink("a", at(a, "link").p), 0);
    CHECK_INT(run((struct files_request){
                  .kind = FILES_WRITE, .path = at(a, "link"), .data = STR("via"), .atomic = true}),
              0);
    CHECK_INT(run((struct files_request){.kind = FILES_STAT, .path = at(a, "link")}), 0);
    CHECK(last.is_link);
    CHECK_INT(run((struct files_request){.kind = FILES_READ, .path = at(a, "a")}), 0);
    CHECK_STR(got.p, "via");
    CASE("remove follows no links");
    CHECK_INT(symlink(folder, at(a, "d/link").p), 0);
    CHECK_INT(run((struct files_request){.kind = FILES_REMOVE, .path = at(a, "d")}), ERR_EXISTS);
    CHECK_INT(
        run((struct files_request){.kind = FILES_REMOVE, .path = at(a, "d"), .recursive = true}),
        0);
    CHECK_INT(run((struct files_request){.kind = FILES_STAT, .path = at(a, "d")}), ERR_NOTFOUND);
    CHECK_INT(run((struct files_request){.kind = FILES_STAT, .path = at(a, "f")}), 0);
    CASE("a forgotten request says nothing");
    struct files_op *op;
    struct files_request r = {.kind = FILES_REMOVE, .path = str_of(folder), .recursive = true};
    done = false;
    CHECK_INT(files_start(loop, &r, on_done, NULL, &op, &e), 0);
    files_forget(op);
    while (access(folder, F_OK) == 0)
        loop_turn(loop, NS_PER_MS);
    CHECK(!done);
    loop_close(loop);
    buf_free(&got);
    return CHECK_DONE();
}
