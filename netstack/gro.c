/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coalescing in software: puts a flow's consecutive TCP segments together to super-frames. See
 * offload.h for what joins.
 *
 * The hot path is a segment that joins: headers parsed, one comparison of the flow's key, a few of
 * header fields, the checksum, one vector more. The headers of the first segment stay where they
 * are, in the link's buffer, and are rewritten there when the frame is delivered.
 */
#include "netstack/offload.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/csum.h"
#include "netstack/bytes.h"

/* Addresses and ports; they lie side by side in headers without IP options. */
#define KEY_SIZE_MAX (2 * 16 + 4)

/* A super-frame being put together; free while iov_count is 0. */
struct gro_flow {
	uint8_t key[KEY_SIZE_MAX];
	uint8_t key_size;
	struct frame_headers headers; /* of the first segment; ip_end grows with the frame */
	struct iobuf *buf;            /* holds all pieces; a reference of ours */
	uint32_t next_seq;
	uint32_t ack;    /* this and the next two: of the latest segment */
	uint16_t window; /* as on the wire */
	uint8_t flags;   /* of all segments */
	uint16_t gso_size;
	bool partial; /* the first segment's checksum is to be completed */
	uint16_t iov_count;
	struct iovec iov[FRAME_IOV_MAX];
};

struct gro {
	gro_deliver_fn *deliver;
	void *arg;
	unsigned next_victim; /* flows make room in turn */
	unsigned used;        /* flows in use */
	struct gro_flow flows[GRO_FLOWS_MAX];
};

/* What gro_receive() knows of the segment in its hands. */
struct segment {
	const struct frame *frame;
	struct frame_headers headers;
	uint8_t *bytes;
	uint8_t *tcp;
	uint16_t payload_size;
};

int gro_new(gro_deliver_fn *deliver, void *arg, struct gro **ret_gro)
{
	struct gro *gro = calloc(1, sizeof(*gro));

	if (!gro)
		return -ENOMEM;
	gro->deliver = deliver;
	gro->arg = arg;
	*ret_gro = gro;
	return 0;
}

void gro_free(struct gro *gro)
{
	if (!gro)
		return;
	for (unsigned i = 0; i < GRO_FLOWS_MAX; i++) {
		if (gro->flows[i].iov_count)
			iobuf_unref(gro->flows[i].buf);
	}
	free(gro);
}

static void rewrite_ip(uint8_t *ip, const struct frame_headers *headers)
{
	uint32_t packet_size = headers->ip_end - headers->ip_offset;

	if (headers->ip_version == 6) {
		store_be16(ip + IPV6_AT_PAYLOAD_SIZE, (uint16_t)(packet_size - IPV6_HEADER_SIZE));
		return;
	}
	store_be16(ip + IPV4_AT_TOTAL_SIZE, (uint16_t)packet_size);
	store_csum(ip + IPV4_AT_CSUM, 0);
	store_csum(ip + IPV4_AT_CSUM, csum_fold(csum_add(0, ip, IPV4_HEADER_SIZE)));
}

/* Makes the first segment's headers those of the super-frame. */
static void rewrite_headers(const struct gro_flow *flow, const struct frame *frame)
{
	uint8_t *bytes = flow->iov[0].iov_base;
	uint8_t *tcp = bytes + flow->headers.transport_offset;
	struct addr src, dst;
	uint32_t sum;

	rewrite_ip(bytes + flow->headers.ip_offset, &flow->headers);
	store_be32(tcp + TCP_AT_ACK_NUMBER, flow->ack);
	store_be16(tcp + TCP_AT_WINDOW, flow->window);
	tcp[TCP_AT_FLAGS] = flow->flags;
	frame_addresses(frame, &flow->headers, &src, &dst);
	sum = csum_add_pseudo(0, &src, &dst, IPPROTO_TCP,
			      flow->headers.ip_end - flow->headers.transport_offset);
	store_csum(tcp + TCP_AT_CSUM, (uint16_t)~csum_fold(sum));
}

static void deliver_flow(struct gro *gro, struct gro_flow *flow)
{
	struct iobuf *buf = flow->buf;
	struct frame frame = {
		.iov = flow->iov,
		.iov_count = flow->iov_count,
		.size = flow->headers.ip_end,
		.buf = buf,
		.csum = FRAME_CSUM_VALID,
	};

	if (flow->partial || flow->iov_count > 1) {
		frame.csum = FRAME_CSUM_PARTIAL;
		frame.csum_start = flow->headers.transport_offset;
		frame.csum_offset = TCP_AT_CSUM;
	}
	if (flow->iov_count > 1) {
		frame.gso = flow->headers.ip_version == 4 ? FRAME_GSO_TCP4 : FRAME_GSO_TCP6;
		frame.gso_size = flow->gso_size;
		frame.header_size = flow->headers.payload_offset;
		rewrite_headers(flow, &frame);
	}
	gro->deliver(gro->arg, &frame);
	flow->iov_count = 0;
	flow->buf = NULL;
	gro->used--;
	iobuf_unref(buf);
}

void gro_flush(struct gro *gro)
{
	for (unsigned i = 0; i < GRO_FLOWS_MAX && gro->used; i++) {
		if (gro->flows[i].iov_count)
			deliver_flow(gro, &gro->flows[i]);
	}
}

static uint8_t *key_of(const struct segment *segment, uint8_t *ret_size)
{
	uint8_t *ip = segment->bytes + segment->headers.ip_offset;

	if (segment->headers.ip_version == 4) {
		*ret_size = 2 * 4 + 4;
		return ip + IPV4_AT_SRC;
	}
	*ret_size = 2 * 16 + 4;
	return ip + IPV6_AT_SRC;
}

static struct gro_flow *find_flow(struct gro *gro, const struct segment *segment)
{
	uint8_t key_size;
	const uint8_t *key = key_of(segment, &key_size);

	for (unsigned i = 0; i < GRO_FLOWS_MAX; i++) {
		struct gro_flow *flow = &gro->flows[i];

		if (flow->iov_count && flow->key_size == key_size &&
		    memcmp(flow->key, key, key_size) == 0)
			return flow;
	}
	return NULL;
}

/* Whether the headers allow the segment to be part of a super-frame at all. */
static bool may_merge(const struct segment *segment)
{
	uint8_t flags = segment->tcp[TCP_AT_FLAGS];

	return segment->payload_size && (flags & TCP_FLAG_ACK) &&
	       !(flags & (uint8_t) ~(TCP_FLAG_ACK | TCP_FLAG_PSH)) &&
	       segment->headers.payload_offset <= FRAME_LINEAR_SIZE;
}

static bool same_ip(const uint8_t *a, const uint8_t *b, uint8_t version)
{
	if (version == 4)
		return a[IPV4_AT_TOS] == b[IPV4_AT_TOS] && a[IPV4_AT_TTL] == b[IPV4_AT_TTL] &&
		       memcmp(a + IPV4_AT_FRAGMENT, b + IPV4_AT_FRAGMENT, 2) == 0;
	/* Version, traffic class and flow label; hop limit. */
	return memcmp(a, b, 4) == 0 && a[IPV6_AT_HOP_LIMIT] == b[IPV6_AT_HOP_LIMIT];
}

/* Whether the segment goes on where the flow's super-frame ends. */
static bool follows(const struct gro_flow *flow, const struct segment *segment)
{
	const struct frame_headers *headers = &flow->headers;
	const uint8_t *first = flow->iov[0].iov_base;
	const uint8_t *tcp = first + headers->transport_offset;
	size_t options_size = (size_t)headers->payload_offset - headers->transport_offset -
			      TCP_HEADER_SIZE;

	if (load_be32(segment->tcp + TCP_AT_SEQ) != flow->next_seq ||
	    segment->payload_size > flow->gso_size || flow->iov_count == FRAME_IOV_MAX ||
	    headers->ip_end + segment->payload_size > FRAME_SIZE_MAX ||
	    flow->buf != segment->frame->buf)
		return false;
	/* An ACK that went back is a reordered segment; it must not hide what the later ones said.
	 */
	if ((int32_t)(load_be32(segment->tcp + TCP_AT_ACK_NUMBER) - flow->ack) < 0)
		return false;
	return headers->payload_offset == segment->headers.payload_offset &&
	       memcmp(first, segment->bytes, ETH_HEADER_SIZE) == 0 &&
	       same_ip(first + headers->ip_offset, segment->bytes + segment->headers.ip_offset,
		       headers->ip_version) &&
	       tcp[TCP_AT_DATA_OFFSET] == segment->tcp[TCP_AT_DATA_OFFSET] &&
	       memcmp(tcp + TCP_HEADER_SIZE, segment->tcp + TCP_HEADER_SIZE, options_size) == 0;
}

static void note_latest(struct gro_flow *flow, const struct segment *segment)
{
	flow->next_seq = load_be32(segment->tcp + TCP_AT_SEQ) + segment->payload_size;
	flow->ack = load_be32(segment->tcp + TCP_AT_ACK_NUMBER);
	flow->window = load_be16(segment->tcp + TCP_AT_WINDOW);
	flow->flags |= segment->tcp[TCP_AT_FLAGS];
}

static void append(struct gro *gro, struct gro_flow *flow, const struct segment *segment)
{
	flow->iov[flow->iov_count++] = (struct iovec){
		.iov_base = segment->bytes + segment->headers.payload_offset,
		.iov_len = segment->payload_size,
	};
	flow->headers.ip_end += segment->payload_size;
	note_latest(flow, segment);
	/* A short segment can only be the last. */
	if (segment->payload_size < flow->gso_size)
		deliver_flow(gro, flow);
}

static void start(struct gro *gro, const struct segment *segment)
{
	struct gro_flow *flow = NULL;
	const uint8_t *key;

	for (unsigned i = 0; i < GRO_FLOWS_MAX && !flow; i++) {
		if (!gro->flows[i].iov_count)
			flow = &gro->flows[i];
	}
	if (!flow) {
		flow = &gro->flows[gro->next_victim++ % GRO_FLOWS_MAX];
		deliver_flow(gro, flow);
	}
	key = key_of(segment, &flow->key_size);
	memcpy(flow->key, key, flow->key_size);
	flow->headers = segment->headers;
	flow->buf = iobuf_ref(segment->frame->buf);
	flow->gso_size = segment->payload_size;
	flow->partial = segment->frame->csum == FRAME_CSUM_PARTIAL;
	flow->flags = 0;
	note_latest(flow, segment);
	/* Without Ethernet padding, which would be in the middle of the payload. */
	flow->iov[0] = (struct iovec){.iov_base = segment->bytes,
				      .iov_len = segment->headers.ip_end};
	flow->iov_count = 1;
	gro->used++;
}

/* Whether the checksum is right, or is the usual one that somebody will complete. */
static bool csum_fits(const struct segment *segment)
{
	const struct frame *frame = segment->frame;

	if (frame->csum == FRAME_CSUM_PARTIAL &&
	    (frame->csum_start != segment->headers.transport_offset ||
	     frame->csum_offset != TCP_AT_CSUM))
		return false;
	return offload_csum_ok(frame, &segment->headers);
}

static void receive_tcp(struct gro *gro, const struct segment *segment)
{
	struct gro_flow *flow = gro->used ? find_flow(gro, segment) : NULL;
	bool good = may_merge(segment) && csum_fits(segment);

	if (good && flow && follows(flow, segment)) {
		append(gro, flow, segment);
		return;
	}
	if (flow)
		deliver_flow(gro, flow);
	if (good)
		start(gro, segment);
	else
		gro->deliver(gro->arg, segment->frame);
}

void gro_receive(struct gro *gro, const struct frame *frame)
{
	struct segment segment = {.frame = frame};
	const struct frame_headers *headers = &segment.headers;
	bool simple = frame->buf && frame->iov_count == 1 && frame->gso == FRAME_GSO_NONE;
	bool parsed = frame_parse_headers(frame, &segment.headers) == 0;

	if (parsed && !headers->fragment && headers->protocol != IPPROTO_TCP) {
		gro->deliver(gro->arg, frame);
		return;
	}
	/* IP options, extension headers and fragments: their flow isn't looked for, all make way.
	 */
	if (!simple || !parsed || headers->fragment ||
	    headers->transport_offset - headers->ip_offset !=
		    (headers->ip_version == 4 ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE)) {
		gro_flush(gro);
		gro->deliver(gro->arg, frame);
		return;
	}
	segment.bytes = frame->iov[0].iov_base;
	segment.tcp = segment.bytes + headers->transport_offset;
	segment.payload_size = (uint16_t)(headers->ip_end - headers->payload_offset);
	receive_tcp(gro, &segment);
}
