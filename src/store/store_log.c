/* The write-ahead log of a file: when it is copied into the file, and that it has room. Called by
 * the writer between two groups, never while one is applied. */
#include "base/fault.h"
#include "store/store_internal.h"

static int frames_of(int bytes, int page_size)
{
    return bytes / (page_size > 0 ? page_size : 4096);
}

static void checkpoint(struct store *s)
{
    int in_log = 0, done = 0;
    FAULT("store.checkpoint.before");
    int rc =
        sqlite3_wal_checkpoint_v2(s->writer.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &done);
    FAULT("store.checkpoint.after");
    s->wal_done = rc == SQLITE_OK && in_log == done;
    /* a reader or an error held some back: not again before as much has been written once more */
    s->ckpt_at = (s->wal_done ? 0 : s->wal_frames) + frames_of(STORE_WAL_BYTES_MAX, s->page_size);
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY && (rc & 0xff) != SQLITE_LOCKED) {
        writer_undo(s, rc, false);
    }
}

/* Bytes of the log that the frames written so far take (SQLite's WAL format: a header of 32 bytes,
 * frames of 24 bytes and a page). */
static int64_t log_used(const struct store *s)
{
    return 32 + (int64_t)s->wal_frames * (24 + s->page_size);
}

static bool log_needs_room(const struct store *s)
{
    int64_t used = log_used(s);
    return !s->fast && used >= STORE_WAL_ROOM_FROM && s->wal_room < STORE_WAL_BYTES_MAX &&
           used + STORE_WAL_ROOM_LEFT > s->wal_room;
}

/* Writes zeros behind the end of the log. A commit that makes the log longer waits for the file
 * system's own journal too (two to five times as long on ext4); one that overwrites what is there
 * does not. The zeros reach the disk with the next commit's sync, and count for nothing: SQLite
 * reads frames until the first whose salt and checksum are wrong. */
static void make_room(struct store *s)
{
    static const char zeros[16384];
    sqlite3_file *f = NULL;
    sqlite3_int64 size = 0;
    int64_t used = log_used(s);
    int64_t want = used + (used < STORE_WAL_ROOM_STEP ? used : STORE_WAL_ROOM_STEP);
    s->wal_room = STORE_WAL_BYTES_MAX; /* unless it goes well: not again on this connection */
    if (sqlite3_file_control(s->writer.db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f) || !f ||
        !f->pMethods || f->pMethods->xFileSize(f, &size)) {
        return;
    }
    while (size < want) {
        int n = want - size < (int64_t)sizeof zeros ? (int)(want - size) : (int)sizeof zeros;
        if (f->pMethods->xWrite(f, zeros, n, size)) {
            return; /* a full disk, say: SQLite finds room, or says so */
        }
        size += n;
    }
    s->wal_room = size;
}

void writer_tidy(struct store *s, bool idle)
{
    if (s->memory || !s->writer.db || s->wal_done) {
        return;
    }
    if (s->wal_frames >= s->ckpt_at ||
        (idle && s->wal_frames >= frames_of(STORE_WAL_BYTES_IDLE, s->page_size))) {
        checkpoint(s);
    } else if (log_needs_room(s)) {
        make_room(s);
    }
}

bool writer_log_short(const struct store *s)
{
    return s->wal_done || s->wal_frames < frames_of(STORE_WAL_BYTES_IDLE, s->page_size);
}

bool writer_log_due(const struct store *s)
{
    return !s->wal_done && (s->wal_frames >= s->ckpt_at || log_needs_room(s) ||
                            (!s->watching && !writer_log_short(s)));
}
