/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv6 packets to guests: the header, fragmentation by us as their source (RFC 8200, 4.5), and
 * ICMPv6 (RFC 4443).
 */
#include <errno.h>
#include <string.h>

#include "base/csum.h"
#include "base/wire.h"
#include "netstack/reass.h"
#include "netstack/stack_private.h"

#define FRAGMENT_MORE 1

/* Extension headers that are looked through for what a packet carries. */
#define EXTENSIONS_MAX 8

/* Room for an Ethernet header, an IPv6 one, a fragment header and a transport header. */
#define HEADERS_SIZE \
	(ETH_HEADER_SIZE + IPV6_HEADER_SIZE + IP6_FRAGMENT_HEADER_SIZE + TRANSPORT_SIZE_MAX)

static void put_ip6(struct wire_writer *w, const struct ip_fields *ip, uint8_t next,
		    size_t payload_size)
{
	wire_put_be32(w, 6u << 28 | (uint32_t)ip->tos << 20);
	wire_put_be16(w, (uint16_t)payload_size);
	wire_put_u8(w, next);
	wire_put_u8(w, ip->ttl);
	wire_put_bytes(w, &ip->src->v6, sizeof(ip->src->v6));
	wire_put_bytes(w, &ip->dst->v6, sizeof(ip->dst->v6));
}

/* Sends what `w` holds behind room for the Ethernet header, and a part of the payload. */
static int send_headers(struct stack *stack, const struct ip_fields *ip, const struct mac *dst_mac,
			const struct wire_writer *w, const uint8_t *payload, size_t size)
{
	struct frame frame = {.csum = FRAME_CSUM_VALID};
	struct iovec iov[2] = {
		{.iov_base = w->start, .iov_len = wire_written(w)},
		{.iov_base = (uint8_t *)(uintptr_t)payload, .iov_len = size},
	};
	int r = stack_output(stack, ip->hop ? ip->hop : ip->dst, dst_mac, &frame, iov,
			     size ? 2 : 1);

	if (r == -EAGAIN)
		stack->counters.tx_full++;
	return r;
}

static int send_fragments(struct stack *stack, const struct ip_fields *ip,
			  const struct mac *dst_mac, const uint8_t *transport,
			  size_t transport_size, const uint8_t *payload, size_t size)
{
	size_t part_max = (stack->conf.mtu - IPV6_HEADER_SIZE - IP6_FRAGMENT_HEADER_SIZE) &
			  ~(size_t)7;
	uint32_t id = stack->ip6_id++;
	size_t at = 0; /* of the payload */
	size_t offset = 0;

	while (at < size) {
		uint8_t headers[HEADERS_SIZE];
		struct wire_writer w = wire_writer(headers + ETH_HEADER_SIZE,
						   sizeof(headers) - ETH_HEADER_SIZE);
		size_t part = size - at;
		int r;

		if (transport_size + part > part_max)
			part = part_max - transport_size;
		put_ip6(&w, ip, IPPROTO_FRAGMENT, IP6_FRAGMENT_HEADER_SIZE + transport_size + part);
		wire_put_u8(&w, ip->protocol);
		wire_put_u8(&w, 0);
		wire_put_be16(&w, (uint16_t)(offset | (at + part < size ? FRAGMENT_MORE : 0)));
		wire_put_be32(&w, id);
		wire_put_bytes(&w, transport, transport_size);
		r = send_headers(stack, ip, dst_mac, &w, payload + at, part);
		if (r < 0)
			return r;
		offset += transport_size + part;
		at += part;
		transport_size = 0;
	}
	return 0;
}

int stack_send_ip6(struct stack *stack, const struct ip_fields *ip, const struct mac *dst_mac,
		   const uint8_t *transport, size_t transport_size, const void *payload,
		   size_t size)
{
	uint8_t headers[HEADERS_SIZE];
	struct wire_writer w = wire_writer(headers + ETH_HEADER_SIZE,
					   sizeof(headers) - ETH_HEADER_SIZE);

	if (IPV6_HEADER_SIZE + transport_size + size > stack->conf.mtu)
		return send_fragments(stack, ip, dst_mac, transport, transport_size, payload, size);
	put_ip6(&w, ip, ip->protocol, transport_size + size);
	wire_put_bytes(&w, transport, transport_size);
	return send_headers(stack, ip, dst_mac, &w, payload, size);
}

int stack_send_icmp6_body(struct stack *stack, const struct mac *to, const struct ip_fields *ip,
			  const struct icmp_fields *icmp, const void *body, size_t size)
{
	uint8_t header[ICMP_HEADER_SIZE];
	struct wire_writer w = wire_writer(header, sizeof(header));
	uint32_t sum = csum_add_pseudo(0, ip->src, ip->dst, IPPROTO_ICMPV6,
				       (uint32_t)(sizeof(header) + size));
	uint16_t csum;

	wire_put_u8(&w, icmp->type);
	wire_put_u8(&w, icmp->code);
	wire_put_be16(&w, 0);
	wire_put_be32(&w, icmp->rest);
	sum = csum_add(sum, header, sizeof(header));
	csum = csum_fold(csum_add(sum, body, size));
	store_csum(header + ICMP_AT_CSUM, csum);
	return stack_send_ip6(stack, ip, to, header, sizeof(header), body, size);
}

int stack_send_icmp6(struct stack *stack, const struct mac *to, const struct addr *src,
		     const struct addr *dst, uint8_t hop_limit, const void *message, size_t size)
{
	struct ip_fields ip = {
		.src = src, .dst = dst, .protocol = IPPROTO_ICMPV6, .ttl = hop_limit};
	struct wire_reader r = wire_reader(message, size);
	struct icmp_fields icmp = {.type = wire_u8(&r), .code = wire_u8(&r)};

	wire_skip(&r, 2);
	icmp.rest = wire_be32(&r);
	if (!wire_ok(&r))
		return -EINVAL;
	return stack_send_icmp6_body(stack, to, &ip, &icmp, r.pos, wire_left(&r));
}

/* ---- Errors ---- */

/* What a packet carries. Returns false when its extension headers don't lead there, as in a
 * fragment behind the first. */
static bool find_transport(const uint8_t *ip, size_t size, uint8_t *ret_protocol,
			   struct wire_reader *ret_transport)
{
	struct wire_reader r = wire_reader(ip, size);
	uint8_t next = ip[IPV6_AT_NEXT_HEADER];

	wire_skip(&r, IPV6_HEADER_SIZE);
	for (int i = 0; i <= EXTENSIONS_MAX && wire_ok(&r); i++) {
		uint8_t this = next;

		if (this == IPPROTO_FRAGMENT) {
			next = wire_u8(&r);
			wire_skip(&r, 1);
			if (wire_be16(&r) & ~7u)
				return false;
			wire_skip(&r, 4);
		} else if (this == IPPROTO_HOPOPTS || this == IPPROTO_DSTOPTS ||
			   this == IPPROTO_ROUTING) {
			next = wire_u8(&r);
			wire_skip(&r, (wire_u8(&r) + 1u) * 8 - 2);
		} else {
			*ret_protocol = this;
			*ret_transport = r;
			return true;
		}
	}
	return false;
}

/* What no ICMPv6 error may answer (RFC 4443, 2.4 e): errors and redirects, packets to or from
 * nobody in particular, and fragments behind the first. A multicast packet may be told that it is
 * too big, or has an option that nobody knows. */
static bool error_proper(uint8_t type, uint8_t code, const struct addr *src, const struct addr *dst,
			 const uint8_t *ip, size_t size)
{
	struct wire_reader transport;
	uint8_t protocol, inner;

	if (addr_is_any(src) || addr_is_multicast(src))
		return false;
	if (addr_is_multicast(dst) && type != ICMP6_TOO_BIG &&
	    !(type == ICMP6_PARAMETER && code == ICMP6_BAD_OPTION))
		return false;
	if (!find_transport(ip, size, &protocol, &transport))
		return type == ICMP6_PARAMETER;
	if (protocol != IPPROTO_ICMPV6)
		return true;
	inner = wire_u8(&transport);
	return wire_ok(&transport) && inner >= ICMP6_INFORMATIONAL && inner != ICMP6_REDIRECT;
}

void stack_send_icmp6_error(struct stack *stack, const struct addr *from, uint8_t type,
			    uint8_t code, uint32_t rest, const uint8_t *ip, size_t ip_size)
{
	/* RFC 4443, 2.4 c: as much of the packet as fits the smallest MTU. */
	size_t quoted = IP6_MTU_MIN - IPV6_HEADER_SIZE - ICMP_HEADER_SIZE;
	struct icmp_fields icmp = {.type = type, .code = code, .rest = rest};
	struct ip_fields fields = {.protocol = IPPROTO_ICMPV6, .ttl = STACK_TTL};
	struct addr src = {.family = AF_INET6};
	struct addr dst = {.family = AF_INET6};

	if (ip_size < IPV6_HEADER_SIZE || ip[0] >> 4 != 6)
		return;
	memcpy(&src.v6, ip + IPV6_AT_SRC, sizeof(src.v6));
	memcpy(&dst.v6, ip + IPV6_AT_DST, sizeof(dst.v6));
	if (!error_proper(type, code, &src, &dst, ip, ip_size) ||
	    !stack_icmp_error_allowed(stack, &src))
		return;
	if (!from)
		from = stack->conf.prefix6.length && !IN6_IS_ADDR_LINKLOCAL(&src.v6)
			       ? &stack->conf.gateway6
			       : &stack->link_local;
	fields.src = from;
	fields.dst = &src;
	if (quoted > ip_size)
		quoted = ip_size;
	stack_send_icmp6_body(stack, NULL, &fields, &icmp, ip, quoted);
}
