/* ml.store's key-value part, in moonloop's own file: namespaces, compare-and-set, time to live.
 * Values are encoded payload records (opaque bytes here). Reads see committed state. */
#ifndef ML_STORE_KV_H
#define ML_STORE_KV_H
#include "base/buf.h"
#include "store/store.h"

extern const char kv_schema_sql[]; /* goes into a migration */
/* found: 1/0. value is appended to `out`; *version counts writes of the key from 1. Expired keys
 * are not found. */
int kv_get(struct store *s, struct str ns, struct str key, int64_t now_ns, struct buf *out,
           int64_t *version, bool *found, struct err *e);
/* Answers come by store_drain as for any batch (out of memory as STORE_STORAGE/ERR_NOMEM).
 * expect_version: -1 any, 0 must not exist, n must be at version n. expires_ns 0: never. Answer
 * STORE_GUARD: the expectation failed. */
void kv_set(struct store *s, struct str ns, struct str key, struct str value,
            int64_t expect_version, int64_t expires_ns, int64_t now_ns, store_answer_fn fn,
            void *ud);
void kv_delete(struct store *s, struct str ns, struct str key, int64_t expect_version,
               int64_t now_ns, store_answer_fn fn, void *ud);
/* Keys with a prefix in byte order, after `after` (may be absent), at most `limit`; each is called
 * per key. */
int kv_list(struct store *s, struct str ns, struct str prefix, struct str after, int limit,
            int64_t now_ns, void (*each)(void *ud, struct str key, int64_t version), void *ud,
            struct err *e);
void kv_sweep(struct store *s, int64_t now_ns); /* deletes what has expired */

#endif
