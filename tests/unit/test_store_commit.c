/* The owner that commits in the writer's place: what is held waits, what is committed here is
 * answered and durable, the thread takes over where it should, and neither ever has the connection
 * together with the other (the storm is for the race detector too). */
#include "base/clock.h"
#include "store/vfs_fault.h"
#include "store_helpers.h"
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

static atomic_int woken;
static void on_wake(void *ud)
{
    (void)ud;
    woken++;
}

static void rest(int ms)
{
    struct timespec ts = {0, ms * NS_PER_MS};
    nanosleep(&ts, NULL);
}

static struct store *open_held_for(const char *vfs, int64_t here_ns)
{
    struct store_opts o = options(true);
    o.wake = on_wake;
    o.vfs = vfs;
    o.here_ns = here_ns;
    o.fast = !vfs; /* no syncs: how quick commits are is not left to the disk */
    woken = 0;
    struct store *s = must_open(&o);
    store_hold(s, true);
    return s;
}

/* However long a commit takes on this machine, it counts as quick. */
static struct store *open_held(const char *vfs)
{
    return open_held_for(vfs, INT64_MAX);
}

static void put(struct store *s, int64_t id, struct note *n)
{
    struct store_batch *b = store_batch_new(s);
    store_batch_add(b, "INSERT INTO t(id,part,text) VALUES(?,0,'x')", "i", id);
    store_submit(s, b, n ? on_note : NULL, n);
}

/* Drains until the note is written, for at most two seconds. */
static void wait_for(struct store *s, const struct note *n)
{
    for (int i = 0; i < 2000 && !n->place; i++) {
        store_drain(s);
        rest(1);
    }
    CHECK(n->place > 0);
    CHECK_INT(n->kind, STORE_DURABLE);
}

static void here(void)
{
    CASE("a lone batch waits for the owner's commit, and no thread is woken");
    struct store *s = open_held(NULL);
    struct note n[50] = {{0}};
    int mine = 0;
    CHECK(!store_commit(s)); /* nothing waits */
    for (int i = 0; i < 50; i++) {
        put(s, i, &n[i]);
        rest(1);
        bool here = store_commit(s);
        mine += here;
        CHECK(!here || !n[i].place); /* answers come from store_drain only */
        wait_for(s, &n[i]);
        CHECK(!store_commit(s));
    }
    CHECK(mine >= 40); /* the thread may still be about to rest when the first come */
    CHECK(woken <= 50 - mine);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 50);
    store_close(s);
    empty_folder();
}

static void there(void)
{
    CASE("two batches, a kick, the end of the hold, a flush: the thread's");
    struct store *s = open_held(NULL);
    struct note n[6] = {{0}};
    put(s, 1, &n[0]);
    put(s, 2, &n[1]);
    wait_for(s, &n[1]);
    CHECK(n[0].place && n[0].place < n[1].place);
    put(s, 3, &n[2]);
    store_kick(s);
    wait_for(s, &n[2]);
    put(s, 4, &n[3]);
    store_hold(s, false);
    wait_for(s, &n[3]);
    CHECK(!store_commit(s)); /* only who holds may */
    put(s, 5, &n[4]);
    wait_for(s, &n[4]);
    store_hold(s, true);
    put(s, 6, &n[5]);
    store_flush(s);
    CHECK_INT(n[5].kind, STORE_DURABLE);
    CHECK(woken > 0);
    put(s, 7, NULL);
    store_close(s); /* applies what is held */
    s = open_held(NULL);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 7);
    store_close(s);
    empty_folder();
}

/* A statement that takes some milliseconds. */
static void put_slow(struct store *s, int64_t id, struct note *n)
{
    struct store_batch *b = store_batch_new(s);
    store_batch_add(
        b,
        "INSERT INTO t(id,part,text) SELECT ?, sum(x), 'slow' FROM (WITH RECURSIVE c(x) AS "
        "(SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 60000) SELECT x FROM c)",
        "i", id);
    store_submit(s, b, on_note, n);
}

static void slow(void)
{
    CASE("commits that take long are the thread's, and the owner's again once they are quick");
    struct store *s = open_held_for(NULL, 0);
    struct note n[400] = {{0}};
    int mine = 0, i = 0;
    bool refused = false;
    for (; i < 20 && !refused; i++) {
        put_slow(s, i, &n[i]);
        refused = !store_commit(s);
        wait_for(s, &n[i]);
    }
    CHECK(refused);
    for (; i < 400 && mine < 3; i++) {
        put(s, i, &n[i]);
        mine += store_commit(s);
        wait_for(s, &n[i]);
    }
    CHECK_INT(mine, 3);
    store_close(s);
    empty_folder();
}

static void faults(void)
{
    CASE("a call that fails in the owner's commit: answered, and the next one works");
    for (long nth = 1; nth <= 4; nth++) {
        struct store *s = open_held("moonloop-fault");
        struct note a = {0}, b = {0};
        vfs_fault_io(nth, false);
        put(s, 1, &a);
        store_commit(s);
        store_flush(s);
        CHECK_INT(a.kind, STORE_STORAGE);
        vfs_fault_reset();
        put(s, 2, &b);
        store_commit(s);
        wait_for(s, &b);
        CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t WHERE id = 2"), 1);
        store_close(s);
        empty_folder();
    }
}

static void on_next(void *ud, const struct store_answer *a)
{
    int64_t *n = ud;
    CHECK_INT(a->kind, STORE_DURABLE);
    ++*n;
}

static void storm(void)
{
    CASE("owner and thread in turn, over checkpoints and pauses");
    struct store *s = open_held(NULL);
    char large[16000];
    memset(large, 'y', sizeof large);
    int64_t sent = 0, answered = 0, here_n = 0;
    uint32_t x = 12345;
    for (int i = 0; i < 3000; i++) {
        x = x * 1664525 + 1013904223;
        for (uint32_t k = 0; k < 1 + ((x >> 24) % 16 == 0); k++) {
            struct store_batch *b = store_batch_new(s);
            store_batch_add(b, "INSERT INTO t(part,text) VALUES(?,?)", "is", sent++,
                            str_make(large, i % 7 ? 10 : sizeof large));
            store_submit(s, b, on_next, &answered);
        }
        here_n += store_commit(s);
        if (i % 500 == 499) {
            rest(50); /* the thread finds the log alone */
        }
        if (i % 50 == 0) {
            store_hold(s, i % 200 != 0);
        }
        store_drain(s);
        while (i % 200 >= 50 && answered < sent) { /* as a host does; else as fast as it can */
            sched_yield();
            store_drain(s);
            store_kick(s);
        }
    }
    store_flush(s);
    CHECK_INT(answered, sent);
    CHECK(here_n > 100);
    CHECK(woken > 10);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), sent);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t WHERE part <> id - 1"), 0); /* in order */
    rest(60);
    char wal[200];
    snprintf(wal, sizeof wal, "%s-wal", db_path);
    CHECK(store_file_bytes(s) < 2 * 430 * 20000); /* checkpoints kept the log short */
    store_close(s);
    CHECK(access(wal, F_OK) != 0);
    empty_folder();
}

static size_t slurp(const char *path, char *to, size_t max)
{
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    size_t n = fread(to, 1, max, f);
    fclose(f);
    return n;
}

static void spill(const char *path, const char *from, size_t n)
{
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL);
    CHECK_INT(fwrite(from, 1, n, f), n);
    fclose(f);
}

static void room(void)
{
    CASE("the log is longer than what is in it, before that is needed");
    static char wal_copy[4 << 20], db_copy[1 << 20];
    struct store_opts o = options(false);
    struct store *s = must_open(&o);
    char large[3000], wal[200];
    memset(large, 'y', sizeof large);
    snprintf(wal, sizeof wal, "%s-wal", db_path);
    for (int i = 0; i < 60; i++) {
        struct store_batch *b = store_batch_new(s);
        struct note n = {0};
        store_batch_add(b, "INSERT INTO t(part,text) VALUES(?,?)", "is", (int64_t)i,
                        str_make(large, sizeof large));
        store_submit(s, b, on_note, &n);
        store_drain(s);
        CHECK_INT(n.kind, STORE_DURABLE);
    }
    size_t size = slurp(wal, wal_copy, sizeof wal_copy), zeros = 0;
    while (zeros < size && wal_copy[size - 1 - zeros] == 0)
        zeros++;
    CHECK(zeros > 32 << 10);
    CHECK(size < 60 * 3 * 4120 + (600 << 10)); /* and not much longer */
    size_t db_size = slurp(db_path, db_copy, sizeof db_copy);
    CASE("and a process that died left it so: what was committed is there");
    store_close(s);
    empty_folder();
    spill(db_path, db_copy, db_size);
    spill(wal, wal_copy, size);
    s = must_open(&o);
    CHECK_INT(must_read_i64(s, "SELECT count(*) FROM t"), 60);
    store_close(s);
    empty_folder();
}

int main(void)
{
    vfs_fault_register();
    make_folder();
    here();
    there();
    slow();
    faults();
    storm();
    room();
    drop_folder();
    return CHECK_DONE();
}
