/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet frames in a stream, each behind its length, which is 16 bits, little-endian: the form of
 * gvproxy's /connect. Buffers for both ways, of a fixed size. Pure.
 */
#ifndef AGENT_FRAME_BUFFER_H
#define AGENT_FRAME_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER      2
#define FRAME_SIZE_MAX    65535
#define FRAME_BUFFER_SIZE (4 * (FRAME_HEADER + FRAME_SIZE_MAX))

struct frame_buffer {
	size_t start; /* of what is in it */
	size_t end;
	uint8_t data[FRAME_BUFFER_SIZE];
};

void frame_buffer_clear(struct frame_buffer *buffer);
bool frame_buffer_empty(const struct frame_buffer *buffer);

/* ---- Towards the stream ---- */

/* Where the next frame of up to FRAME_SIZE_MAX bytes may be put; NULL when there is no room. */
uint8_t *frame_buffer_frame(struct frame_buffer *buffer);
/* It has been put there. */
void frame_buffer_add(struct frame_buffer *buffer, size_t size);
/* What is to be sent; frame_buffer_sent() says how much was. */
const uint8_t *frame_buffer_bytes(const struct frame_buffer *buffer, size_t *ret_size);
void frame_buffer_sent(struct frame_buffer *buffer, size_t size);

/* ---- From the stream ---- */

/* Where bytes may be received; there is always room once frame_buffer_next() has returned 0. */
uint8_t *frame_buffer_space(struct frame_buffer *buffer, size_t *ret_size);
void frame_buffer_received(struct frame_buffer *buffer, size_t size);
/* The next whole frame, borrowed until the next call. Returns 1, 0 when there is none, or -EBADMSG
 * when the stream makes no sense: a frame has a length. */
int frame_buffer_next(struct frame_buffer *buffer, const uint8_t **ret_frame, size_t *ret_size);

#endif
