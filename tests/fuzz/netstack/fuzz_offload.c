/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any frame with any offload state: parsing, validation, checksums, segmentation. The first 12
 * bytes are the state and how the frame is scattered, the rest is the frame.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "netstack/offload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool right)
{
	if (!right)
		abort();
}

/* What was cut must be all there, each segment readable with a right checksum. */
static void check_segments(const struct frame *frame, const struct frame *segments, int count)
{
	size_t payload_size = 0;

	for (int i = 0; i < count; i++) {
		struct frame_headers headers;
		size_t segment_size = 0;

		for (unsigned j = 0; j < segments[i].iov_count; j++)
			segment_size += segments[i].iov[j].iov_len;
		require(segment_size == segments[i].size);
		require(segments[i].csum == FRAME_CSUM_VALID);
		if (frame->gso == FRAME_GSO_NONE)
			continue;
		require(frame_parse_headers(&segments[i], &headers) == 0);
		require(headers.payload_offset == frame->header_size);
		require(headers.ip_end == segments[i].size);
		payload_size += segments[i].size - frame->header_size;
	}
	if (frame->gso != FRAME_GSO_NONE)
		require(payload_size == frame->size - frame->header_size);
}

static void check_frame(const struct frame *frame)
{
	static struct offload_scratch *scratch;
	const struct frame *segments;
	struct frame_headers headers;
	int count;

	if (!scratch)
		scratch = offload_scratch_new();
	if (frame_parse_headers(frame, &headers) == 0) {
		size_t linear = frame->iov[0].iov_len;

		require(headers.transport_offset <= linear && headers.payload_offset <= linear);
		require(headers.ip_end <= frame->size);
		require(headers.transport_offset <= headers.ip_end);
		offload_csum_ok(frame, &headers);
	}
	count = offload_segment(scratch, frame, &segments);
	require((count > 0) == (frame->csum == FRAME_CSUM_PARTIAL && offload_validate(frame) == 0));
	if (count > 0)
		check_segments(frame, segments, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader r = wire_reader(data, size);
	struct frame frame = {0};
	struct iovec iov[3];
	size_t linear, left;
	uint8_t *bytes;

	frame.csum = (enum frame_csum)(wire_u8(&r) % 3);
	frame.gso = (enum frame_gso)(wire_u8(&r) % 5);
	frame.csum_start = wire_le16(&r);
	frame.csum_offset = wire_le16(&r);
	frame.gso_size = wire_le16(&r);
	frame.header_size = wire_le16(&r);
	linear = wire_le16(&r);
	left = wire_left(&r);
	if (!wire_ok(&r) || left > 70000)
		return 0;
	bytes = malloc(left ? left : 1);
	wire_copy(&r, bytes, left);
	linear = linear < left ? linear : left;
	/* Three blocks of their own, so that the address sanitizer guards each one's end. */
	iov[0] = (struct iovec){malloc(linear ? linear : 1), linear};
	memcpy(iov[0].iov_base, bytes, linear);
	iov[1] = (struct iovec){bytes + linear, (left - linear) / 3};
	iov[2] = (struct iovec){bytes + linear + iov[1].iov_len, left - linear - iov[1].iov_len};
	frame.iov = iov;
	frame.iov_count = 3;
	frame.size = (uint32_t)left;
	check_frame(&frame);
	free(iov[0].iov_base);
	free(bytes);
	return 0;
}
