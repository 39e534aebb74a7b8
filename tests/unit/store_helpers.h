/* What the store's tests share: a folder of their own, a small schema, answers that are written
 * down. */
#ifndef ML_TESTS_STORE_HELPERS_H
#define ML_TESTS_STORE_HELPERS_H
#include "check.h"
#include "store/store.h"
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

static const struct store_migration steps[] = {
    {1, "CREATE TABLE t(id INTEGER PRIMARY KEY, part INTEGER, text TEXT);"},
    {2, "CREATE TABLE u(k TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;"},
};
static char folder[64], db_path[128];

static inline void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/ml-store-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(db_path, sizeof db_path, "%s/test.db", folder);
}

static inline void empty_folder(void)
{
    DIR *d = opendir(folder);
    CHECK(d != NULL);
    for (struct dirent *f; (f = readdir(d));) {
        char name[400];
        if (f->d_name[0] != '.') {
            snprintf(name, sizeof name, "%s/%s", folder, f->d_name);
            unlink(name);
        }
    }
    closedir(d);
}

static inline void drop_folder(void)
{
    empty_folder();
    rmdir(folder);
}

static inline struct store_opts options(bool threaded)
{
    return (struct store_opts){
        .path = db_path, .threaded = threaded, .migrations = steps, .n_migrations = 2};
}

static inline struct store *must_open(const struct store_opts *o)
{
    struct store *s = NULL;
    struct err e = {0};
    if (store_open(o, &s, &e)) {
        fprintf(stderr, "open: %s\n", e.text);
    }
    CHECK_INT(e.code, 0);
    CHECK(s != NULL);
    return s;
}

static inline int64_t must_read_i64(struct store *s, const char *sql)
{
    struct store_read *r = NULL;
    struct err e = {0};
    CHECK_INT(store_read_open(s, &r, &e, sql, ""), 0);
    CHECK_INT(store_read_next(r), 1);
    int64_t n = store_read_i64(r, 0);
    store_read_close(r);
    return n;
}

/* One answer: which, when. */
struct note {
    int place; /* 1 the first of all answers */
    enum store_answer_kind kind;
    int guard, code;
    int64_t changes;
};
static int note_place;
static inline void on_note(void *ud, const struct store_answer *a)
{
    struct note *n = ud;
    CHECK_INT(n->place, 0);
    *n = (struct note){++note_place, a->kind, a->guard, a->err.code, a->changes};
}
#endif
