/* A SQLite file-system shim for tests: the n-th I/O call fails (once or from then on), the disk is
 * full past a quota, or power is lost at the n-th sync (each unsynced block is written, dropped or
 * garbled by a seeded choice, then nothing reaches the disk any more). Registered under the name
 * "moonloop-fault" over the default VFS. ML_TESTING builds only. */
#ifndef ML_STORE_VFS_FAULT_H
#define ML_STORE_VFS_FAULT_H
#include <stdbool.h>
#include <stdint.h>

int vfs_fault_register(void);
void vfs_fault_reset(void);
void vfs_fault_io(long nth, bool from_then_on); /* counts read, write, sync, open, lock, truncate */
void vfs_fault_quota(int64_t bytes);            /* -1: none */
void vfs_fault_power(long nth_sync, uint64_t seed);
/* The n-th sync fails, and of what that file had not synced a seeded choice is lost, as a kernel
 * may do; later calls work again. */
void vfs_fault_lost_sync(long nth_sync, uint64_t seed);
long vfs_fault_io_count(void);
long vfs_fault_sync_count(void);
int64_t vfs_fault_most_bytes(void); /* the most that the files ever held at once */
bool vfs_fault_hit(void);

#endif
