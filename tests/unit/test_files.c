/* File requests through the thread pool. */
#include "base/mem.h"
#include "check.h"
#include "os/files.h"

#include <sys/stat.h>
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

/* A copy onto itself would empty the file before it is read. */
static void test_copy_onto_itself(void)
{
    char a[300], b[300];
    CASE("a copy of a file onto itself changes nothing");
    CHECK_INT(
        run((struct files_request){.kind = FILES_WRITE, .path = at(a, "self"), .data = STR("all")}),
        0);
    CHECK_INT(symlink("self", at(b, "self-link").p), 0);
    CHECK_INT(link(a, at(b, "self-hard").p), 0);
    static const char *const to[] = {"self", "self-link", "self-hard"};
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(run((struct files_request){
                      .kind = FILES_COPY, .path = at(a, "self"), .to = at(b, to[i])}),
                  ERR_ARG);
        CHECK(strstr(last.err.text, "same file") != NULL);
        CHECK_INT(run((struct files_request){.kind = FILES_READ, .path = at(a, "self")}), 0);
        CHECK_STR(got.p, "all");
    }
    CHECK_INT(run((struct files_request){
                  .kind = FILES_WRITE, .path = at(b, "old"), .data = STR("longer")}),
              0);
    CHECK_INT(
        run((struct files_request){.kind = FILES_COPY, .path = at(a, "self"), .to = at(b, "old")}),
        0);
    CHECK_INT(run((struct files_request){.kind = FILES_READ, .path = at(a, "old")}), 0);
    CHECK_STR(got.p, "all");
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(unlink(at(a, to[i]).p), 0);
    CHECK_INT(unlink(at(a, "old").p), 0);
}

static void test_modes(void)
{
    char a[300];
    CASE("a new file has the mode that the umask leaves, an old one keeps its own");
    for (int atomic = 0; atomic < 2; atomic++) {
        struct files_request r = {.kind = FILES_WRITE,
                                  .path = at(a, atomic ? "atomic" : "plain"),
                                  .data = STR("x"),
                                  .atomic = atomic != 0};
        mode_t before = umask(077);
        CHECK_INT(run(r), 0);
        umask(before);
        CHECK_INT(run((struct files_request){.kind = FILES_STAT, .path = r.path}), 0);
        CHECK_INT(last.mode, 0600);
        CHECK_INT(chmod(a, 0640), 0);
        CHECK_INT(run(r), 0);
        CHECK_INT(run((struct files_request){.kind = FILES_STAT, .path = r.path}), 0);
        CHECK_INT(last.mode, 0640);
        CHECK_INT(unlink(a), 0);
    }
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
    test_copy_onto_itself();
    test_modes();
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
