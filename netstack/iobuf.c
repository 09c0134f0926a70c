/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of receive buffers: see iobuf.h. */
#include "netstack/iobuf.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/list.h"

#define DATA_ALIGN 64

struct pool_buf {
	struct iobuf iobuf;
	struct iobuf_pool *pool;
	struct pool_buf *next_free;
};

struct iobuf_pool {
	uint32_t buf_size;
	uint32_t count_max;
	uint32_t used;
	uint32_t free_count;
	struct pool_buf *free;
	bool closed; /* the owner has gone; the last buffer in use takes the pool along */
};

/* The struct and its data are one allocation, the data behind it on a cache line of its own. */
static size_t header_size(void)
{
	return (sizeof(struct pool_buf) + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
}

int iobuf_pool_new(uint32_t size, uint32_t count_max, struct iobuf_pool **ret_pool)
{
	struct iobuf_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->buf_size = (size + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
	pool->count_max = count_max;
	*ret_pool = pool;
	return 0;
}

void iobuf_pool_free(struct iobuf_pool *pool)
{
	if (!pool)
		return;
	while (pool->free) {
		struct pool_buf *buf = pool->free;

		pool->free = buf->next_free;
		free(buf);
	}
	pool->free_count = 0;
	pool->closed = true;
	if (!pool->used)
		free(pool);
}

static void buf_release(struct iobuf *iobuf)
{
	struct pool_buf *buf = container_of(iobuf, struct pool_buf, iobuf);
	struct iobuf_pool *pool = buf->pool;

	assert(pool->used);
	pool->used--;
	if (!pool->closed && pool->free_count < IOBUF_POOL_KEEP_MAX) {
		buf->next_free = pool->free;
		pool->free = buf;
		pool->free_count++;
		return;
	}
	free(buf);
	if (pool->closed && !pool->used)
		free(pool);
}

struct iobuf *iobuf_pool_get(struct iobuf_pool *pool)
{
	struct pool_buf *buf = pool->free;

	if (pool->used >= pool->count_max)
		return NULL;
	if (buf) {
		pool->free = buf->next_free;
		pool->free_count--;
	} else {
		buf = aligned_alloc(DATA_ALIGN, header_size() + pool->buf_size);
		if (!buf)
			return NULL;
	}
	*buf = (struct pool_buf){
		.iobuf = {.refs = 1,
			  .size = pool->buf_size,
			  .data = (uint8_t *)buf + header_size(),
			  .release = buf_release},
		.pool = pool,
	};
	pool->used++;
	return &buf->iobuf;
}
