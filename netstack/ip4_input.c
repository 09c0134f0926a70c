/* SPDX-License-Identifier: Apache-2.0 */
/* IPv4 packets from guests: whose they may be, and who gets them; see stack.h. */
#include <string.h>

#include "base/csum.h"
#include "base/wire.h"
#include "netstack/stack_private.h"

/* The decoded header of an IPv4 packet, host order. */
struct ip4_packet {
	struct addr src;
	struct addr dst;
	uint8_t protocol;
	uint8_t ttl;
	uint8_t tos;
	uint16_t header_size;
	uint16_t fragment; /* flags and offset as on the wire */
	uint16_t total_size;
};

static void decode_ip4(const uint8_t *ip, struct ip4_packet *ret)
{
	struct wire_reader r = wire_reader(ip, IPV4_HEADER_SIZE);

	ret->header_size = (uint16_t)((wire_u8(&r) & 0x0f) * 4);
	ret->tos = wire_u8(&r);
	ret->total_size = wire_be16(&r);
	wire_skip(&r, 2);
	ret->fragment = wire_be16(&r);
	ret->ttl = wire_u8(&r);
	ret->protocol = wire_u8(&r);
	wire_skip(&r, 2);
	ret->src.family = ret->dst.family = AF_INET;
	wire_copy(&r, &ret->src.v4, 4);
	wire_copy(&r, &ret->dst.v4, 4);
}

static void input_echo(struct stack *stack, unsigned port, const struct ip4_packet *packet,
		       const uint8_t *ip)
{
	const uint8_t *icmp = ip + packet->header_size;
	size_t size = packet->total_size - packet->header_size;
	struct wire_reader r = wire_reader(icmp, size);
	struct stack_echo echo = {
		.src = packet->src,
		.dst = packet->dst,
		.port = port,
		.ttl = packet->ttl,
		.tos = packet->tos,
		.dont_fragment = packet->fragment & IPV4_DONT_FRAGMENT,
		.ip = ip,
		.ip_size = packet->total_size,
	};

	if (csum_fold(csum_add(0, icmp, size)) != 0) {
		stack->counters.rx_invalid++;
		return;
	}
	if (wire_u8(&r) != ICMP_ECHO_REQUEST || wire_u8(&r) != 0)
		return;
	wire_skip(&r, 2);
	echo.id = wire_be16(&r);
	echo.sequence = wire_be16(&r);
	if (!wire_ok(&r))
		return;
	echo.payload = icmp + ICMP_HEADER_SIZE;
	echo.size = size - ICMP_HEADER_SIZE;
	if (addr_equal(&packet->dst, &stack->conf.gateway) ||
	    addr_equal(&packet->dst, stack_router(&stack->conf, AF_INET)))
		stack_send_echo_reply(stack, &packet->dst, &packet->src, echo.id, echo.sequence,
				      STACK_TTL, packet->tos, echo.payload, echo.size);
	else
		stack->handler->echo(stack->handler_arg, &echo);
}

static void input_icmp(struct stack *stack, unsigned port, const struct mac *src_mac,
		       const struct ip4_packet *packet, const uint8_t *ip)
{
	bool known = pmtu_input4(stack, port, src_mac, ip + packet->header_size,
				 packet->total_size - packet->header_size);

	if (stack_on_link(stack, &packet->src))
		input_echo(stack, port, packet, ip);
	else if (!known)
		stack->counters.rx_spoofed++;
}

static void input_udp(struct stack *stack, unsigned port, const struct mac *src_mac,
		      const struct ip4_packet *packet, const uint8_t *ip)
{
	const uint8_t *udp = ip + packet->header_size;
	size_t room = packet->total_size - packet->header_size;
	struct wire_reader r = wire_reader(udp, room);
	uint16_t src_port = wire_be16(&r);
	uint16_t dst_port = wire_be16(&r);
	size_t size = wire_be16(&r);
	struct stack_datagram datagram = {
		.src = {.addr = packet->src, .port = src_port},
		.dst = {.addr = packet->dst, .port = dst_port},
		.src_mac = *src_mac,
		.port = port,
		.ttl = packet->ttl,
		.tos = packet->tos,
		.dont_fragment = packet->fragment & IPV4_DONT_FRAGMENT,
		.from_behind = !addr_is_any(&packet->src) && !stack_on_link(stack, &packet->src),
		.ip = ip,
		.ip_size = packet->total_size,
	};

	wire_skip(&r, 2);
	if (!wire_ok(&r) || size < UDP_HEADER_SIZE || size > room || !datagram.dst.port) {
		stack->counters.rx_invalid++;
		return;
	}
	datagram.payload = udp + UDP_HEADER_SIZE;
	datagram.size = size - UDP_HEADER_SIZE;
	stack->handler->datagram(stack->handler_arg, &datagram);
}

const uint8_t *stack_flatten(struct stack *stack, const struct frame *frame,
			     const struct frame_headers *headers)
{
	size_t at = 0;

	if (frame->iov[0].iov_len >= headers->ip_end)
		return (const uint8_t *)frame->iov[0].iov_base + headers->ip_offset;
	for (unsigned i = 0; i < frame->iov_count && at < headers->ip_end; i++) {
		size_t piece = frame->iov[i].iov_len;

		if (piece > headers->ip_end - at)
			piece = headers->ip_end - at;
		memcpy(stack->rx_scratch + at, frame->iov[i].iov_base, piece);
		at += piece;
	}
	return stack->rx_scratch + headers->ip_offset;
}

/* A router lets no packet live on whose time is up (RFC 1812, 5.3.1). Services of our own are at
 * the last hop. */
static bool expires_here(struct stack *stack, const struct ip4_packet *packet,
			 const struct frame *frame, const struct frame_headers *headers)
{
	if (packet->ttl > 1 || stack_is_ours(stack, &packet->dst) ||
	    addr_is_multicast(&packet->dst) || addr_v4(&packet->dst) == INADDR_BROADCAST)
		return false;
	stack_send_icmp_error(stack, NULL, ICMP_TIME_EXCEEDED, 0, 0,
			      stack_flatten(stack, frame, headers), packet->total_size);
	return true;
}

/* ---- Whose packets and to where ---- */

/* Whether a guest may send from this address to that one through the gateway. */
static bool admissible(struct stack *stack, unsigned port, const struct ip4_packet *packet,
		       const struct frame *frame, const struct frame_headers *headers)
{
	/* Who has no address yet asks the gateway or everybody (DHCP). */
	bool dhcp = addr_is_any(&packet->src) && packet->protocol == IPPROTO_UDP &&
		    (stack_is_ours(stack, &packet->dst) || stack_is_broadcast(stack, &packet->dst));

	if ((!dhcp && !prefix_contains(&stack->conf.subnet, &packet->src) &&
	     !stack_may_be_behind(stack, port, frame, &packet->src, &packet->dst, packet->protocol,
				  packet->fragment & IPV4_FRAGMENT_MASK)) ||
	    stack_is_ours(stack, &packet->src) || stack_is_broadcast(stack, &packet->src) ||
	    addr_equal(&packet->src, &stack->conf.subnet.addr)) {
		stack->counters.rx_spoofed++;
		return false;
	}
	if (prefix_contains(&stack->conf.subnet, &packet->dst) &&
	    !stack_is_ours(stack, &packet->dst) && packet->protocol != IPPROTO_UDP) {
		/* Guests reach each other through the switch, not through the gateway. */
		stack->counters.rx_unroutable++;
		stack_send_unreachable(stack, STACK_UNREACH_HOST,
				       stack_flatten(stack, frame, headers), packet->total_size);
		return false;
	}
	if (addr_is_multicast(&packet->dst)) {
		stack->counters.rx_unroutable++;
		return false;
	}
	return true;
}

/* Takes the packet on when this fragment was the last one of it. */
static void input_fragment(struct stack *stack, unsigned port, const struct ip4_packet *packet,
			   const struct frame *frame, const struct frame_headers *headers)
{
	struct reass_fragment fragment = {
		.port = port,
		.src = packet->src,
		.dst = packet->dst,
		.ip = stack_flatten(stack, frame, headers),
		.size = packet->total_size,
	};
	struct whole_packet whole;

	switch (stack_reassemble(stack, &fragment, frame, &whole)) {
	case REASS_COMPLETE:
		if (offload_csum_ok(&whole.frame, &whole.headers))
			stack_input_ip4(stack, port, &whole.frame, &whole.headers);
		else
			stack->counters.rx_invalid++;
		reass_packet_free(whole.ip);
		break;
	case REASS_KEPT:
		break;
	case REASS_BAD_SIZE:
	case REASS_TOO_LARGE:
	case REASS_OVERLAPPING:
		stack->counters.rx_invalid++;
		break;
	}
}

void stack_input_ip4(struct stack *stack, unsigned port, const struct frame *frame,
		     const struct frame_headers *headers)
{
	const uint8_t *eth = frame->iov[0].iov_base;
	const uint8_t *ip = eth + headers->ip_offset;
	struct ip4_packet packet;
	struct mac src_mac;

	decode_ip4(ip, &packet);
	if (!admissible(stack, port, &packet, frame, headers))
		return;
	memcpy(src_mac.bytes, eth + MAC_SIZE, MAC_SIZE);
	if (!addr_is_any(&packet.src))
		stack_note_neighbour(stack, &packet.src, &src_mac, port);
	if (packet.fragment & IPV4_FRAGMENT_MASK) {
		input_fragment(stack, port, &packet, frame, headers);
		return;
	}
	if (packet.protocol == IPPROTO_TCP) {
		if (!expires_here(stack, &packet, frame, headers))
			conn_input(stack, port, &packet.src, &packet.dst, frame, headers);
		return;
	}
	if (expires_here(stack, &packet, frame, headers))
		return;
	ip = stack_flatten(stack, frame, headers);
	if (packet.protocol == IPPROTO_UDP)
		input_udp(stack, port, &src_mac, &packet, ip);
	else if (packet.protocol == IPPROTO_ICMP)
		input_icmp(stack, port, &src_mac, &packet, ip);
	else
		stack_send_unreachable(stack, STACK_UNREACH_PROTOCOL, ip, packet.total_size);
}
