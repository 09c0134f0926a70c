/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segmentation in software: cuts super-frames for links that take none, and completes checksums.
 * See offload.h.
 */
#include "netstack/offload.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/csum.h"
#include "netstack/bytes.h"

/* A vector for each segment's headers, one for its payload, and one more wherever a piece of the
 * frame ends in the middle of a segment. */
#define SCRATCH_IOV_MAX (2 * OFFLOAD_SEGMENTS_MAX + FRAME_IOV_MAX)

struct offload_scratch {
	struct frame frames[OFFLOAD_SEGMENTS_MAX];
	struct iovec iov[SCRATCH_IOV_MAX];
	uint8_t headers[OFFLOAD_SEGMENTS_MAX * FRAME_LINEAR_SIZE];
};

struct offload_scratch *offload_scratch_new(void)
{
	return malloc(sizeof(struct offload_scratch));
}

void offload_scratch_free(struct offload_scratch *scratch)
{
	free(scratch);
}

/* A place in the payload of the frame being cut. */
struct cursor {
	const struct iovec *iov;
	const struct iovec *end;
	size_t offset;
};

/* Vectors over the next `size` bytes to `to`; returns how many it made. */
static unsigned cursor_take(struct cursor *at, size_t size, struct iovec *to)
{
	unsigned count = 0;

	while (size) {
		size_t left;

		assert(at->iov < at->end);
		left = at->iov->iov_len - at->offset;
		if (!left) {
			at->iov++;
			at->offset = 0;
			continue;
		}
		if (left > size)
			left = size;
		to[count++] = (struct iovec){
			.iov_base = (uint8_t *)at->iov->iov_base + at->offset,
			.iov_len = left,
		};
		at->offset += left;
		size -= left;
	}
	return count;
}

/* 0 stands for "no checksum" in UDP, and 0xffff is the same number. */
static uint16_t fold_nonzero(uint32_t sum)
{
	uint16_t csum = csum_fold(sum);

	return csum ? csum : 0xffff;
}

/* One super-frame being cut. */
struct cut {
	const struct frame *frame;
	struct frame_headers headers;
	struct addr src, dst;
	uint32_t payload_size;
	uint32_t offset; /* payload bytes before this segment */
	uint16_t index;  /* of this segment */
};

static void fix_ip(const struct cut *cut, uint8_t *ip, uint32_t segment_size)
{
	uint32_t packet_size = segment_size - cut->headers.ip_offset;
	size_t header_size;

	if (cut->headers.ip_version == 6) {
		store_be16(ip + IPV6_AT_PAYLOAD_SIZE, (uint16_t)(packet_size - IPV6_HEADER_SIZE));
		return;
	}
	header_size = (size_t)(*ip & 0xf) << 2;
	store_be16(ip + IPV4_AT_TOTAL_SIZE, (uint16_t)packet_size);
	store_be16(ip + IPV4_AT_ID, (uint16_t)(load_be16(ip + IPV4_AT_ID) + cut->index));
	store_csum(ip + IPV4_AT_CSUM, 0);
	store_csum(ip + IPV4_AT_CSUM, csum_fold(csum_add(0, ip, header_size)));
}

static void fix_transport(const struct cut *cut, uint8_t *transport, uint32_t size, bool last)
{
	if (cut->headers.protocol == IPPROTO_UDP) {
		store_be16(transport + UDP_AT_SIZE, (uint16_t)(UDP_HEADER_SIZE + size));
		return;
	}
	store_be32(transport + TCP_AT_SEQ, load_be32(transport + TCP_AT_SEQ) + cut->offset);
	if (!last)
		transport[TCP_AT_FLAGS] &= (uint8_t) ~(TCP_FLAG_FIN | TCP_FLAG_PSH);
	if (cut->index)
		transport[TCP_AT_FLAGS] &= (uint8_t)~TCP_FLAG_CWR;
}

/* Makes the segment with `size` bytes of payload, whose vectors behind the headers are there
 * already. */
static void fix_headers(const struct cut *cut, struct iovec *iov, unsigned iov_count, uint32_t size)
{
	const struct frame_headers *headers = &cut->headers;
	uint8_t *segment = iov[0].iov_base;
	uint8_t *transport = segment + headers->transport_offset;
	uint32_t transport_size = (uint32_t)headers->payload_offset - headers->transport_offset;
	uint8_t *csum = segment + cut->frame->csum_start + cut->frame->csum_offset;
	uint32_t sum;

	fix_ip(cut, segment + headers->ip_offset, headers->payload_offset + size);
	fix_transport(cut, transport, size, cut->offset + size == cut->payload_size);
	store_csum(csum, 0);
	sum = csum_add_pseudo(0, &cut->src, &cut->dst, headers->protocol, transport_size + size);
	sum = csum_add(sum, transport, transport_size);
	sum = csum_add_iov(sum, iov + 1, iov_count - 1, 0, size);
	store_csum(csum, fold_nonzero(sum));
}

static int cut_frame(struct offload_scratch *scratch, struct cut *cut)
{
	const struct frame *frame = cut->frame;
	uint16_t header_size = frame->header_size;
	struct iovec *iov = scratch->iov;
	struct cursor at = {
		.iov = frame->iov,
		.end = frame->iov + frame->iov_count,
		.offset = header_size,
	};

	do {
		uint8_t *header = scratch->headers + (size_t)cut->index * FRAME_LINEAR_SIZE;
		uint32_t size = cut->payload_size - cut->offset;
		unsigned iov_count;

		assert(cut->index < OFFLOAD_SEGMENTS_MAX);
		if (size > frame->gso_size)
			size = frame->gso_size;
		memcpy(header, frame->iov[0].iov_base, header_size);
		iov[0] = (struct iovec){.iov_base = header, .iov_len = header_size};
		iov_count = 1 + cursor_take(&at, size, iov + 1);
		fix_headers(cut, iov, iov_count, size);
		scratch->frames[cut->index] = (struct frame){
			.iov = iov,
			.iov_count = (uint16_t)iov_count,
			.size = header_size + size,
			.csum = FRAME_CSUM_VALID,
		};
		iov += iov_count;
		cut->offset += size;
		cut->index++;
	} while (cut->offset < cut->payload_size);
	return cut->index;
}

static int complete_csum(struct offload_scratch *scratch, const struct frame *frame)
{
	size_t field = (size_t)frame->csum_start + frame->csum_offset;
	size_t copied = field + sizeof(uint16_t);
	struct cursor at = {
		.iov = frame->iov,
		.end = frame->iov + frame->iov_count,
		.offset = copied,
	};
	struct iovec *iov = scratch->iov;
	uint32_t sum;

	memcpy(scratch->headers, frame->iov[0].iov_base, copied);
	sum = csum_add_iov(0, frame->iov, frame->iov_count, frame->csum_start,
			   frame->size - frame->csum_start);
	store_csum(scratch->headers + field, fold_nonzero(sum));
	iov[0] = (struct iovec){.iov_base = scratch->headers, .iov_len = copied};
	scratch->frames[0] = (struct frame){
		.iov = iov,
		.iov_count = (uint16_t)(1 + cursor_take(&at, frame->size - copied, iov + 1)),
		.size = frame->size,
		.csum = FRAME_CSUM_VALID,
	};
	return 1;
}

int offload_segment(struct offload_scratch *scratch, const struct frame *frame,
		    const struct frame **ret_frames)
{
	struct cut cut = {.frame = frame};
	int count;

	if (frame->csum != FRAME_CSUM_PARTIAL || frame->iov_count > FRAME_IOV_MAX)
		return -EBADMSG;
	if (offload_validate(frame) < 0)
		return -EBADMSG;
	if (frame->gso == FRAME_GSO_NONE) {
		count = complete_csum(scratch, frame);
	} else {
		if (frame_parse_headers(frame, &cut.headers) < 0)
			return -EBADMSG;
		frame_addresses(frame, &cut.headers, &cut.src, &cut.dst);
		cut.payload_size = frame->size - frame->header_size;
		count = cut_frame(scratch, &cut);
	}
	*ret_frames = scratch->frames;
	return count;
}
