/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools of equally sized receive buffers (struct iobuf, frame.h). A link reads into a buffer of its
 * pool; those who keep frames keep the buffer; released buffers are reused, so that the data path
 * costs no malloc and no page faults.
 */
#ifndef NETSTACK_IOBUF_H
#define NETSTACK_IOBUF_H

#include <stdint.h>

#include "netstack/frame.h"

/* Free buffers that a pool keeps for reuse; those beyond go back to the system. */
#define IOBUF_POOL_KEEP_MAX 4

struct iobuf_pool;

/* Makes a pool of buffers of `size` bytes, at most `count_max` in use at a time. Returns 0 or
 * -ENOMEM. */
int iobuf_pool_new(uint32_t size, uint32_t count_max, struct iobuf_pool **ret_pool);
/* Ends the pool; buffers in use stay good and are freed as they are released. NULL is fine. */
void iobuf_pool_free(struct iobuf_pool *pool);

/* A buffer with one reference, the caller's; NULL when count_max are in use or memory is short. */
struct iobuf *iobuf_pool_get(struct iobuf_pool *pool);

#endif
