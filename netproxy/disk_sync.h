/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsync() without waiting for it: a busy disk may take seconds, in which no guest's packet would
 * move. The kernel does it in a thread of its own and tells an eventfd (io_submit(2),
 * IOCB_CMD_FSYNC, since Linux 4.18).
 */
#ifndef NETPROXY_DISK_SYNC_H
#define NETPROXY_DISK_SYNC_H

#include "base/loop.h"

struct disk_sync;

/* `result` is 0 or the -errno of fsync(). */
typedef void disk_sync_fn(void *arg, int result);

/* Returns 0 or -errno: where the kernel, or what confines us, doesn't offer it. */
int disk_sync_new(struct loop *loop, disk_sync_fn *fn, void *arg, struct disk_sync **ret_sync);
/* Waits for what is on its way, and tells nobody. NULL is fine. */
void disk_sync_free(struct disk_sync *sync);

/* Brings a file to the disk; `fn` is called from the loop, never from here. The descriptor may be
 * closed meanwhile. Returns 0 or -errno: -EBUSY when another is on its way, -ENOSYS without a
 * `sync`, or what the file system doesn't offer. */
int disk_sync_start(struct disk_sync *sync, int fd);
/* `fn` isn't called for what is on its way. NULL is fine. */
void disk_sync_forget(struct disk_sync *sync);

#endif
