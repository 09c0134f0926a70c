/* SPDX-License-Identifier: Apache-2.0 */
/* Receive buffers of links: see rx_buffer.h. */
#include "netstack/rx_buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int rx_buffer_init(struct rx_buffer *rx, uint32_t size, uint32_t count_max)
{
	*rx = (struct rx_buffer){.size = size};
	return iobuf_pool_new(size, count_max, &rx->pool);
}

void rx_buffer_done(struct rx_buffer *rx)
{
	iobuf_unref(rx->buf);
	iobuf_pool_free(rx->pool);
	free(rx->spare);
	*rx = (struct rx_buffer){0};
}

/* Moves what is not delivered yet to the start of `to`, which may be the same memory. */
static void rewind_to(struct rx_buffer *rx, uint8_t *to)
{
	uint32_t left = rx->end - rx->start;

	if (left)
		memmove(to, rx_buffer_data(rx) + rx->start, left);
	rx->start = 0;
	rx->end = left;
}

int rx_buffer_make_room(struct rx_buffer *rx, uint32_t min)
{
	struct iobuf *next;

	assert(rx->end - rx->start + min <= rx->size);
	if (rx->buf && rx->buf->refs == 1) {
		if (rx->start == rx->end || rx->size - rx->end < min)
			rewind_to(rx, rx->buf->data);
		return 0;
	}
	if (rx->buf && rx->size - rx->end >= min)
		return 0;
	next = iobuf_pool_get(rx->pool);
	if (!next && !rx->spare) {
		rx->spare = malloc(rx->size);
		if (!rx->spare)
			return -ENOMEM;
	}
	rewind_to(rx, next ? next->data : rx->spare);
	iobuf_unref(rx->buf);
	rx->buf = next;
	return 0;
}
