/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a link reads into and delivers from. Frames are handed on where they lie; whoever keeps one
 * keeps the whole buffer, so the next read goes behind it while there is room, and to another
 * buffer of the pool after that. While nobody keeps anything the same memory, still warm, is used
 * again and again. Should the guest's frames hold the whole pool, reading goes on in a buffer that
 * is lent to nobody: frames from it have no iobuf and must be copied by who keeps them.
 */
#ifndef NETSTACK_RX_BUFFER_H
#define NETSTACK_RX_BUFFER_H

#include <stdint.h>

#include "netstack/iobuf.h"

struct rx_buffer {
	struct iobuf_pool *pool;
	uint32_t size;
	struct iobuf *buf; /* frames from here belong to it; NULL: in `spare` */
	uint8_t *spare;
	uint32_t start; /* first byte not delivered */
	uint32_t end;   /* end of what was read */
};

/* Buffers of `size` bytes, at most `count_max` of them kept by others. Returns 0 or -ENOMEM. */
int rx_buffer_init(struct rx_buffer *rx, uint32_t size, uint32_t count_max);
/* For a zeroed one, too. */
void rx_buffer_done(struct rx_buffer *rx);

/* Makes room for a read of at least `min` bytes at rx_buffer_data() + end; what is not delivered
 * yet may move, and must not be more than size - min bytes. Returns 0 or -ENOMEM. */
int rx_buffer_make_room(struct rx_buffer *rx, uint32_t min);

static inline uint8_t *rx_buffer_data(const struct rx_buffer *rx)
{
	return rx->buf ? rx->buf->data : rx->spare;
}

#endif
