/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and checking the headers and the offload fields of untrusted frames: see offload.h.
 * Segmentation is in gso.c, coalescing in gro.c.
 */
#include "netstack/offload.h"

#include <errno.h>
#include <netinet/in.h>

#include "base/csum.h"
#include "base/wire.h"
#include "netstack/bytes.h"

/* Extension headers that are walked to find the transport header; Linux makes three at most. */
#define IPV6_EXTENSIONS_MAX 8

/* A reader over the packet as far as it is both linear and within the IP packet's end. */
static struct wire_reader linear_reader(const struct frame *frame, uint32_t end)
{
	size_t linear = frame->iov_count ? frame->iov[0].iov_len : 0;

	if (linear > frame->size)
		linear = frame->size;
	return wire_reader(linear ? frame->iov[0].iov_base : NULL, linear < end ? linear : end);
}

static int parse_tcp(struct wire_reader *r, struct frame_headers *h)
{
	uint8_t header_size;

	wire_skip(r, TCP_AT_DATA_OFFSET);
	header_size = (uint8_t)(wire_u8(r) >> 4 << 2);
	if (!wire_ok(r) || header_size < TCP_HEADER_SIZE)
		return -EBADMSG;
	wire_skip(r, (size_t)header_size - TCP_AT_DATA_OFFSET - 1);
	h->payload_offset = (uint16_t)(h->transport_offset + header_size);
	return wire_ok(r) ? 0 : -EBADMSG;
}

static int parse_udp(struct wire_reader *r, struct frame_headers *h)
{
	uint16_t size;

	wire_skip(r, UDP_AT_SIZE);
	size = wire_be16(r);
	wire_skip(r, UDP_HEADER_SIZE - UDP_AT_CSUM);
	if (!wire_ok(r) || size < UDP_HEADER_SIZE || size > h->ip_end - h->transport_offset)
		return -EBADMSG;
	h->payload_offset = (uint16_t)(h->transport_offset + UDP_HEADER_SIZE);
	return 0;
}

/* `r` stands behind the IP headers, in front of what `protocol` says. */
static int parse_transport(struct wire_reader *r, uint8_t protocol, struct frame_headers *h)
{
	h->transport_offset = (uint16_t)wire_offset(r);
	if (h->fragment)
		return 0;
	h->protocol = protocol;
	if (protocol == IPPROTO_TCP)
		return parse_tcp(r, h);
	if (protocol == IPPROTO_UDP)
		return parse_udp(r, h);
	return 0;
}

static int parse_ipv4(const struct frame *frame, struct frame_headers *h)
{
	struct wire_reader r = linear_reader(frame, UINT32_MAX);
	uint16_t total_size, fragment;
	uint8_t header_size, protocol;

	wire_skip(&r, ETH_HEADER_SIZE);
	header_size = (uint8_t)((wire_u8(&r) & 0xf) << 2);
	wire_skip(&r, 1);
	total_size = wire_be16(&r);
	wire_skip(&r, 2);
	fragment = wire_be16(&r);
	wire_skip(&r, 1);
	protocol = wire_u8(&r);
	if (!wire_ok(&r) || header_size < IPV4_HEADER_SIZE || total_size < header_size ||
	    total_size > frame->size - ETH_HEADER_SIZE)
		return -EBADMSG;
	h->ip_version = 4;
	h->ip_end = ETH_HEADER_SIZE + total_size;
	h->fragment = (fragment & IPV4_FRAGMENT_MASK) != 0;
	r = linear_reader(frame, h->ip_end);
	wire_skip(&r, ETH_HEADER_SIZE + (size_t)header_size);
	if (!wire_ok(&r))
		return -EBADMSG;
	return parse_transport(&r, protocol, h);
}

/* Skips extension headers (RFC 8200, section 4) and leaves `r` at the upper-layer header. */
static int skip_extensions(struct wire_reader *r, uint8_t *next, struct frame_headers *h)
{
	for (int i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
		uint8_t this = *next;

		if (this == IPPROTO_FRAGMENT) {
			*next = wire_u8(r);
			wire_skip(r, 7);
			h->fragment = true;
			return wire_ok(r) ? 0 : -EBADMSG;
		}
		if (this != IPPROTO_HOPOPTS && this != IPPROTO_ROUTING && this != IPPROTO_DSTOPTS)
			return 0;
		*next = wire_u8(r);
		wire_skip(r, ((size_t)wire_u8(r) + 1) * 8 - 2);
		if (!wire_ok(r))
			return -EBADMSG;
	}
	return -EBADMSG;
}

static int parse_ipv6(const struct frame *frame, struct frame_headers *h)
{
	struct wire_reader r = linear_reader(frame, UINT32_MAX);
	uint16_t payload_size;
	uint8_t next;
	int status;

	wire_skip(&r, ETH_HEADER_SIZE + IPV6_AT_PAYLOAD_SIZE);
	payload_size = wire_be16(&r);
	next = wire_u8(&r);
	wire_skip(&r, IPV6_HEADER_SIZE - IPV6_AT_HOP_LIMIT);
	if (!wire_ok(&r) || payload_size > frame->size - ETH_HEADER_SIZE - IPV6_HEADER_SIZE)
		return -EBADMSG;
	h->ip_version = 6;
	h->ip_end = ETH_HEADER_SIZE + IPV6_HEADER_SIZE + (uint32_t)payload_size;
	r = linear_reader(frame, h->ip_end);
	wire_skip(&r, ETH_HEADER_SIZE + IPV6_HEADER_SIZE);
	status = skip_extensions(&r, &next, h);
	if (status < 0)
		return status;
	return parse_transport(&r, next, h);
}

int frame_parse_headers(const struct frame *frame, struct frame_headers *ret_headers)
{
	struct frame_headers headers = {.ip_offset = ETH_HEADER_SIZE};
	struct wire_reader r = linear_reader(frame, UINT32_MAX);
	uint16_t type;
	uint8_t version;
	int status;

	wire_skip(&r, ETHERTYPE_OFFSET);
	type = wire_be16(&r);
	if (!wire_ok(&r))
		return -EBADMSG;
	if (type != ETHERTYPE_IPV4 && type != ETHERTYPE_IPV6)
		return -EPROTONOSUPPORT;
	version = wire_u8(&r) >> 4;
	if (version != (type == ETHERTYPE_IPV4 ? 4 : 6))
		return -EBADMSG;
	status = version == 4 ? parse_ipv4(frame, &headers) : parse_ipv6(frame, &headers);
	if (status < 0)
		return status;
	*ret_headers = headers;
	return 0;
}

void frame_addresses(const struct frame *frame, const struct frame_headers *headers,
		     struct addr *ret_src, struct addr *ret_dst)
{
	const uint8_t *ip = (const uint8_t *)frame->iov[0].iov_base + headers->ip_offset;

	/* The rest of the union is zeroed: addresses may be compared and hashed as bytes. */
	*ret_src = *ret_dst = (struct addr){.v6 = {{{0}}}};
	if (headers->ip_version == 4) {
		ret_src->family = ret_dst->family = AF_INET;
		memcpy(&ret_src->v4, ip + IPV4_AT_SRC, sizeof(ret_src->v4));
		memcpy(&ret_dst->v4, ip + IPV4_AT_DST, sizeof(ret_dst->v4));
	} else {
		ret_src->family = ret_dst->family = AF_INET6;
		memcpy(&ret_src->v6, ip + IPV6_AT_SRC, sizeof(ret_src->v6));
		memcpy(&ret_dst->v6, ip + IPV6_AT_DST, sizeof(ret_dst->v6));
	}
}

static uint16_t csum_offset_of(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? TCP_AT_CSUM : UDP_AT_CSUM;
}

static int validate_partial(const struct frame *frame)
{
	uint32_t field = (uint32_t)frame->csum_start + frame->csum_offset;

	if (frame->csum_start < ETH_HEADER_SIZE || frame->csum_offset % 2 ||
	    field + sizeof(uint16_t) > FRAME_LINEAR_SIZE ||
	    field + sizeof(uint16_t) > frame->iov[0].iov_len)
		return -EBADMSG;
	return 0;
}

static int validate_gso(const struct frame *frame, const struct frame_headers *headers)
{
	static const struct {
		uint8_t ip_version; /* 0: either */
		uint8_t protocol;
	} kinds[] = {
		[FRAME_GSO_TCP4] = {4, IPPROTO_TCP},
		[FRAME_GSO_TCP6] = {6, IPPROTO_TCP},
		[FRAME_GSO_UDP] = {0, IPPROTO_UDP},
	};
	uint32_t payload_size;

	if (frame->gso > FRAME_GSO_UDP || frame->csum != FRAME_CSUM_PARTIAL || !frame->gso_size)
		return -EBADMSG;
	if (headers->protocol != kinds[frame->gso].protocol ||
	    (kinds[frame->gso].ip_version && headers->ip_version != kinds[frame->gso].ip_version))
		return -EBADMSG;
	if (frame->csum_start != headers->transport_offset ||
	    frame->csum_offset != csum_offset_of(headers->protocol))
		return -EBADMSG;
	if (frame->header_size != headers->payload_offset || frame->header_size > FRAME_LINEAR_SIZE)
		return -EBADMSG;
	/* Padding would become payload, and nobody pads a super-frame. */
	if (headers->ip_end != frame->size)
		return -EBADMSG;
	payload_size = frame->size - frame->header_size;
	if (payload_size > (uint32_t)frame->gso_size * OFFLOAD_SEGMENTS_MAX)
		return -EBADMSG;
	return 0;
}

int offload_validate(const struct frame *frame)
{
	struct frame_headers headers;
	int status;

	if (frame->csum != FRAME_CSUM_PARTIAL && frame->gso == FRAME_GSO_NONE)
		return 0;
	if (!frame->iov_count || frame->size > FRAME_SIZE_MAX)
		return -EBADMSG;
	status = validate_partial(frame);
	if (status < 0)
		return status;
	status = frame_parse_headers(frame, &headers);
	if (frame->gso != FRAME_GSO_NONE)
		return status < 0 ? -EBADMSG : validate_gso(frame, &headers);
	/* A checksum to complete may lie deeper than the headers that we know, in a tunnel or
	 * behind a VLAN tag; but where it starts at the header that we know, it must be that one's.
	 */
	if (status == 0 && frame->csum_start == headers.transport_offset &&
	    (headers.protocol == IPPROTO_TCP || headers.protocol == IPPROTO_UDP) &&
	    frame->csum_offset != csum_offset_of(headers.protocol))
		return -EBADMSG;
	return status == -EBADMSG ? status : 0;
}

static bool ipv4_header_ok(const struct frame *frame, const struct frame_headers *headers)
{
	const uint8_t *ip = (const uint8_t *)frame->iov[0].iov_base + headers->ip_offset;

	return csum_fold(csum_add(0, ip, (size_t)(*ip & 0xf) << 2)) == 0;
}

bool offload_csum_ok(const struct frame *frame, const struct frame_headers *headers)
{
	const uint8_t *transport = (const uint8_t *)frame->iov[0].iov_base +
				   headers->transport_offset;
	uint32_t size = headers->ip_end - headers->transport_offset;
	struct addr src, dst;
	uint32_t sum = 0;

	if (headers->ip_version == 4 && !ipv4_header_ok(frame, headers))
		return false;
	if (frame->csum != FRAME_CSUM_UNKNOWN)
		return true;
	switch (headers->protocol) {
	case IPPROTO_UDP:
		if (headers->ip_version == 4 && load_be16(transport + UDP_AT_CSUM) == 0)
			return true;
		size = load_be16(transport + UDP_AT_SIZE);
		break;
	case IPPROTO_TCP:
		break;
	case IPPROTO_ICMPV6:
		if (headers->ip_version != 6)
			return true;
		break;
	case IPPROTO_ICMP:
		if (headers->ip_version != 4)
			return true;
		sum = csum_add_iov(0, frame->iov, frame->iov_count, headers->transport_offset,
				   size);
		return csum_fold(sum) == 0;
	default:
		return true;
	}
	frame_addresses(frame, headers, &src, &dst);
	sum = csum_add_pseudo(0, &src, &dst, headers->protocol, size);
	sum = csum_add_iov(sum, frame->iov, frame->iov_count, headers->transport_offset, size);
	return csum_fold(sum) == 0;
}
