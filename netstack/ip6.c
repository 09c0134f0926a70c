/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv6 as far as the gateway has it: its link-local address, made of its MAC (RFC 4291, appendix
 * A), answers neighbour solicitations (RFC 4861) and echo requests (RFC 4443). It announces no
 * route, so guests send nothing further this way.
 */
#include <string.h>

#include "base/csum.h"
#include "base/wire.h"
#include "netstack/stack_private.h"

#define IP6_HEADER_SIZE   40
#define ND_HOP_LIMIT      255
#define NS_SIZE           24 /* ICMPv6 header and target address */
#define NA_SIZE           32 /* the same, and the target's MAC */
#define NA_FLAG_SOLICITED 0x40000000u
#define NA_FLAG_OVERRIDE  0x20000000u
#define ECHO_REQUEST      128
#define ECHO_REPLY        129
#define ND_SOLICITATION   135
#define ND_ADVERTISEMENT  136
#define OPTION_TARGET_MAC 2

struct ip6_packet {
	struct addr src;
	struct addr dst;
	uint8_t hop_limit;
	const uint8_t *icmp;
	size_t icmp_size;
};

struct addr stack_link_local(const struct stack *stack)
{
	const uint8_t *mac = stack->conf.mac.bytes;
	struct in6_addr ip = {.s6_addr = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 0x02, mac[1],
					  mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}};

	return addr_from_in6(&ip);
}

static uint32_t icmp6_sum(const struct addr *src, const struct addr *dst, const void *data,
			  size_t size)
{
	uint32_t sum = csum_add_pseudo(0, src, dst, IPPROTO_ICMPV6, (uint32_t)size);

	return csum_add(sum, data, size);
}

void stack_send_icmp6(struct stack *stack, const struct mac *to, const struct addr *src,
		      const struct addr *dst, uint8_t hop_limit, const void *message, size_t size)
{
	uint8_t *frame_bytes = stack->tx_scratch;
	uint8_t *icmp = frame_bytes + ETH_HEADER_SIZE + IP6_HEADER_SIZE;
	struct wire_writer w = wire_writer(frame_bytes, ETH_HEADER_SIZE + IP6_HEADER_SIZE);
	struct iovec iov = {.iov_base = frame_bytes,
			    .iov_len = ETH_HEADER_SIZE + IP6_HEADER_SIZE + size};
	struct frame frame = {
		.iov = &iov,
		.iov_count = 1,
		.size = (uint32_t)iov.iov_len,
		.csum = FRAME_CSUM_VALID,
	};
	uint16_t csum;

	wire_put_bytes(&w, to->bytes, MAC_SIZE);
	wire_put_bytes(&w, stack->conf.mac.bytes, MAC_SIZE);
	wire_put_be16(&w, ETHERTYPE_IPV6);
	wire_put_be32(&w, 0x60000000);
	wire_put_be16(&w, (uint16_t)size);
	wire_put_u8(&w, IPPROTO_ICMPV6);
	wire_put_u8(&w, hop_limit);
	wire_put_bytes(&w, &src->v6, sizeof(src->v6));
	wire_put_bytes(&w, &dst->v6, sizeof(dst->v6));
	memcpy(icmp, message, size);
	memset(icmp + 2, 0, 2);
	csum = csum_fold(icmp6_sum(src, dst, icmp, size));
	memcpy(icmp + 2, &csum, sizeof(csum));
	switch_send(stack->sw, &frame);
}

/* RFC 4861, 7.1.1 and 7.2.4. */
static void input_solicitation(struct stack *stack, const struct mac *from,
			       const struct ip6_packet *packet)
{
	static const struct mac all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}};
	struct wire_reader r = wire_reader(packet->icmp, packet->icmp_size);
	uint8_t message[NA_SIZE];
	struct wire_writer w = wire_writer(message, sizeof(message));
	struct addr ours = stack_link_local(stack);
	bool probing = addr_is_any(
		&packet->src); /* duplicate address detection: nobody to answer to */
	struct addr dst = packet->src;
	struct in6_addr target;

	wire_skip(&r, 8);
	wire_copy(&r, &target, sizeof(target));
	if (!wire_ok(&r) || packet->hop_limit != ND_HOP_LIMIT ||
	    memcmp(&target, &ours.v6, sizeof(target)) != 0)
		return;
	if (probing)
		addr_parse("ff02::1", &dst);
	wire_put_u8(&w, ND_ADVERTISEMENT);
	wire_put_u8(&w, 0);
	wire_put_be16(&w, 0);
	wire_put_be32(&w, NA_FLAG_OVERRIDE | (probing ? 0 : NA_FLAG_SOLICITED));
	wire_put_bytes(&w, &target, sizeof(target));
	wire_put_u8(&w, OPTION_TARGET_MAC);
	wire_put_u8(&w, 1);
	wire_put_bytes(&w, stack->conf.mac.bytes, MAC_SIZE);
	stack_send_icmp6(stack, probing ? &all_nodes_mac : from, &ours, &dst, ND_HOP_LIMIT, message,
			 sizeof(message));
}

static void input_echo6(struct stack *stack, const struct mac *from,
			const struct ip6_packet *packet)
{
	struct addr ours = stack_link_local(stack);
	uint8_t *reply = stack->rx_scratch;

	if (!addr_equal(&packet->dst, &ours) || packet->icmp_size < ICMP_HEADER_SIZE ||
	    packet->icmp_size + IP6_HEADER_SIZE > stack->conf.mtu)
		return;
	memcpy(reply, packet->icmp, packet->icmp_size);
	reply[0] = ECHO_REPLY;
	stack_send_icmp6(stack, from, &ours, &packet->src, 64, reply, packet->icmp_size);
}

void stack_input_ip6(struct stack *stack, const struct frame *frame,
		     const struct frame_headers *headers)
{
	const uint8_t *eth = frame->iov[0].iov_base;
	struct wire_reader r = wire_reader(eth + ETH_HEADER_SIZE, IP6_HEADER_SIZE);
	struct ip6_packet packet = {.src = {.family = AF_INET6}, .dst = {.family = AF_INET6}};
	struct mac from;

	if (headers->protocol != IPPROTO_ICMPV6 || headers->fragment ||
	    frame->iov[0].iov_len < headers->ip_end) {
		stack->counters.rx_unroutable++;
		return;
	}
	wire_skip(&r, 7);
	packet.hop_limit = wire_u8(&r);
	wire_copy(&r, &packet.src.v6, sizeof(packet.src.v6));
	wire_copy(&r, &packet.dst.v6, sizeof(packet.dst.v6));
	packet.icmp = eth + headers->transport_offset;
	packet.icmp_size = headers->ip_end - headers->transport_offset;
	memcpy(from.bytes, eth + MAC_SIZE, MAC_SIZE);
	if (packet.icmp_size < ICMP_HEADER_SIZE || mac_is_group(&from) ||
	    addr_is_multicast(&packet.src) ||
	    csum_fold(icmp6_sum(&packet.src, &packet.dst, packet.icmp, packet.icmp_size)) != 0) {
		stack->counters.rx_invalid++;
		return;
	}
	if (packet.icmp[0] == ND_SOLICITATION && packet.icmp_size >= NS_SIZE)
		input_solicitation(stack, &from, &packet);
	else if (packet.icmp[0] == ECHO_REQUEST)
		input_echo6(stack, &from, &packet);
}
