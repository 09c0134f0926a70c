/* SPDX-License-Identifier: Apache-2.0 */
/* Frames behind lengths; see frame_buffer.h. */
#include "agent/frame_buffer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/wire.h"

void frame_buffer_clear(struct frame_buffer *buffer)
{
	buffer->start = buffer->end = 0;
}

bool frame_buffer_empty(const struct frame_buffer *buffer)
{
	return buffer->start == buffer->end;
}

static void move_to_front(struct frame_buffer *buffer)
{
	memmove(buffer->data, buffer->data + buffer->start, buffer->end - buffer->start);
	buffer->end -= buffer->start;
	buffer->start = 0;
}

uint8_t *frame_buffer_frame(struct frame_buffer *buffer)
{
	if (sizeof(buffer->data) - buffer->end < FRAME_HEADER + FRAME_SIZE_MAX)
		return NULL;
	return buffer->data + buffer->end + FRAME_HEADER;
}

void frame_buffer_add(struct frame_buffer *buffer, size_t size)
{
	struct wire_writer w = wire_writer(buffer->data + buffer->end, FRAME_HEADER);

	assert(size <= FRAME_SIZE_MAX);
	wire_put_le16(&w, (uint16_t)size);
	buffer->end += FRAME_HEADER + size;
}

const uint8_t *frame_buffer_bytes(const struct frame_buffer *buffer, size_t *ret_size)
{
	*ret_size = buffer->end - buffer->start;
	return buffer->data + buffer->start;
}

void frame_buffer_sent(struct frame_buffer *buffer, size_t size)
{
	assert(size <= buffer->end - buffer->start);
	buffer->start += size;
	if (frame_buffer_empty(buffer))
		frame_buffer_clear(buffer);
}

uint8_t *frame_buffer_space(struct frame_buffer *buffer, size_t *ret_size)
{
	*ret_size = sizeof(buffer->data) - buffer->end;
	return buffer->data + buffer->end;
}

void frame_buffer_received(struct frame_buffer *buffer, size_t size)
{
	assert(size <= sizeof(buffer->data) - buffer->end);
	buffer->end += size;
}

int frame_buffer_next(struct frame_buffer *buffer, const uint8_t **ret_frame, size_t *ret_size)
{
	struct wire_reader r = wire_reader(buffer->data + buffer->start,
					   buffer->end - buffer->start);
	uint16_t size = wire_le16(&r);
	const uint8_t *frame;

	if (wire_ok(&r) && size == 0)
		return -EBADMSG;
	frame = wire_bytes(&r, size);
	if (!frame) {
		move_to_front(buffer);
		return 0;
	}
	buffer->start += FRAME_HEADER + size;
	*ret_frame = frame;
	*ret_size = size;
	return 1;
}
