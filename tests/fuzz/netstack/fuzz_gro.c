/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any frames through GRO, as a stream link would deliver them: one buffer, each frame behind a
 * 32-bit length. What comes out must be valid, and bring every byte that went in but padding.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "netstack/offload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t payload_out;
static struct offload_scratch *scratch;

static void require(bool right)
{
	if (!right)
		abort();
}

/* Bytes of TCP payload; other frames count for nothing. */
static size_t payload_of(const struct frame *frame)
{
	struct frame_headers headers;

	if (frame_parse_headers(frame, &headers) < 0 || headers.protocol != 6)
		return 0;
	return headers.ip_end - headers.payload_offset;
}

static void deliver(void *arg, const struct frame *frame)
{
	const struct frame *segments;
	size_t size = 0;

	(void)arg;
	for (unsigned i = 0; i < frame->iov_count; i++)
		size += frame->iov[i].iov_len;
	require(size == frame->size && frame->size <= FRAME_SIZE_MAX);
	payload_out += payload_of(frame);
	require(offload_validate(frame) == 0);
	if (frame->gso != FRAME_GSO_NONE)
		require(offload_segment(scratch, frame, &segments) == frame->iov_count);
}

static void release(struct iobuf *buf)
{
	free(buf->data);
	buf->data = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iobuf buf = {.refs = 1, .size = (uint32_t)size, .release = release};
	struct wire_reader r;
	size_t payload_in = 0;
	struct gro *gro;

	if (!scratch)
		scratch = offload_scratch_new();
	if (size > 300000 || gro_new(deliver, NULL, &gro) < 0)
		return 0;
	buf.data = malloc(size + 1);
	memcpy(buf.data, data, size);
	payload_out = 0;
	r = wire_reader(buf.data, size);
	for (;;) {
		uint32_t frame_size = wire_be32(&r);
		const uint8_t *bytes = wire_bytes(&r, frame_size);
		struct iovec iov = {(void *)bytes, frame_size};
		struct frame frame = {.iov = &iov, .iov_count = 1, .size = frame_size, .buf = &buf};

		if (!bytes || frame_size < ETH_HEADER_SIZE || frame_size > FRAME_SIZE_MAX)
			break;
		payload_in += payload_of(&frame);
		gro_receive(gro, &frame);
	}
	gro_flush(gro);
	require(payload_in == payload_out);
	require(buf.refs == 1);
	gro_free(gro);
	iobuf_unref(&buf);
	return 0;
}
