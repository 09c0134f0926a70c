/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets from the gateway to guests: lwIP's TCP segments, UDP datagrams (fragmented where they
 * must be), ICMP and ARP. Finds the guest's MAC, puts the Ethernet header in front and hands the
 * frame to the switch.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/csum.h"
#include "base/wire.h"
#include "netstack/stack_private.h"

#define ARP_REQUEST    1
#define ARP_SIZE       28
#define IP4_MORE_FRAGS 0x2000

#define ICMP_ECHO_REQUEST 8
#define ICMP_ERROR_TOS    0xc0 /* internetwork control: RFC 1812, 4.3.2.5 */

#define TCP_FLAG_SYN        0x02
#define TCP_OPTION_MSS      2
#define TCP_OPTION_MSS_SIZE 4

/* Room for an Ethernet, an IPv4 and an ICMP or UDP header. */
#define HEADERS_SIZE 48

static void put_ethernet(uint8_t *to, const struct mac *dst, const struct mac *src,
			 uint16_t ethertype)
{
	memcpy(to, dst->bytes, MAC_SIZE);
	memcpy(to + MAC_SIZE, src->bytes, MAC_SIZE);
	to[2 * MAC_SIZE] = (uint8_t)(ethertype >> 8);
	to[2 * MAC_SIZE + 1] = (uint8_t)ethertype;
}

void stack_send_arp(struct stack *stack, uint16_t operation, const struct mac *dst_mac,
		    const struct addr *sender, const struct mac *target_mac,
		    const struct addr *target)
{
	uint8_t bytes[ETH_HEADER_SIZE + ARP_SIZE];
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = sizeof(bytes)};
	struct wire_writer w = wire_writer(bytes + ETH_HEADER_SIZE, ARP_SIZE);

	put_ethernet(bytes, dst_mac, &stack->conf.mac, ETHERTYPE_ARP);
	wire_put_be16(&w, 1); /* Ethernet */
	wire_put_be16(&w, ETHERTYPE_IPV4);
	wire_put_u8(&w, MAC_SIZE);
	wire_put_u8(&w, 4);
	wire_put_be16(&w, operation);
	wire_put_bytes(&w, stack->conf.mac.bytes, MAC_SIZE);
	wire_put_bytes(&w, &sender->v4, 4);
	wire_put_bytes(&w, target_mac->bytes, MAC_SIZE);
	wire_put_bytes(&w, &target->v4, 4);
	switch_send(stack->sw, &frame);
}

bool stack_is_broadcast(const struct stack *stack, const struct addr *dst)
{
	uint32_t ip = addr_v4(dst);

	return ip == INADDR_BROADCAST ||
	       (prefix_contains(&stack->conf.subnet, dst) &&
		ip == (addr_v4(&stack->conf.subnet.addr) | ~prefix_mask4(&stack->conf.subnet)));
}

/* Completes the transport checksum of a frame in memory that is to be kept. */
static void complete_checksum(const struct frame *frame, uint8_t *flat)
{
	uint16_t csum;

	if (frame->csum != FRAME_CSUM_PARTIAL)
		return;
	csum = csum_fold(csum_add(0, flat + frame->csum_start, frame->size - frame->csum_start));
	memcpy(flat + frame->csum_start + frame->csum_offset, &csum, sizeof(csum));
}

/* Keeps a packet while its guest is asked for its MAC. A GSO frame never gets here first: there is
 * a handshake before. */
static void hold_for_arp(struct stack *stack, const struct addr *dst, const struct frame *frame)
{
	static const struct mac nobody;
	uint8_t *flat = stack->tx_scratch;
	size_t size = 0;

	for (unsigned i = 0; i < frame->iov_count; i++) {
		memcpy(flat + size, frame->iov[i].iov_base, frame->iov[i].iov_len);
		size += frame->iov[i].iov_len;
	}
	complete_checksum(frame, flat);
	if (size > ETH_HEADER_SIZE + NEIGH_HELD_SIZE_MAX)
		stack->counters.tx_no_neighbour++;
	if (neigh_hold(stack->neighbours, dst, flat + ETH_HEADER_SIZE, size - ETH_HEADER_SIZE,
		       loop_now_ms(stack->loop)))
		stack_send_arp(stack, ARP_REQUEST, &mac_broadcast, &stack->conf.gateway, &nobody,
			       dst);
}

int stack_output(struct stack *stack, const struct addr *dst, const struct mac *dst_mac,
		 struct frame *frame, struct iovec *iov, unsigned iov_count)
{
	const struct neigh *neigh;

	frame->size = 0;
	iov[0].iov_base = (uint8_t *)iov[0].iov_base - ETH_HEADER_SIZE;
	iov[0].iov_len += ETH_HEADER_SIZE;
	for (unsigned i = 0; i < iov_count; i++)
		frame->size += (uint32_t)iov[i].iov_len;
	frame->iov = iov;
	frame->iov_count = (uint16_t)iov_count;

	if (!dst_mac && stack_is_broadcast(stack, dst))
		dst_mac = &mac_broadcast;
	if (!dst_mac) {
		neigh = neigh_lookup(stack->neighbours, dst);
		if (!neigh) {
			if (prefix_contains(&stack->conf.subnet, dst))
				hold_for_arp(stack, dst, frame);
			else
				stack->counters.tx_no_neighbour++;
			return 0;
		}
		dst_mac = &neigh->mac;
	}
	put_ethernet(iov[0].iov_base, dst_mac, &stack->conf.mac, ETHERTYPE_IPV4);
	return switch_send(stack->sw, frame);
}

void stack_output_held(struct stack *stack, const struct addr *dst, void *packet, size_t size)
{
	uint8_t *flat = stack->tx_scratch;
	struct iovec iov = {.iov_base = flat + ETH_HEADER_SIZE, .iov_len = size};
	struct frame frame = {.csum = FRAME_CSUM_VALID};

	memcpy(flat + ETH_HEADER_SIZE, packet, size);
	free(packet);
	stack_output(stack, dst, NULL, &frame, &iov, 1);
}

/* ---- TCP, from lwIP ---- */

/* lwIP announces the largest segment that it can take; the guest must hear of the largest that its
 * link can carry. */
static void rewrite_mss(const struct stack *stack, uint8_t *tcp, size_t header_size)
{
	uint16_t mss = (uint16_t)(stack->conf.mtu - IP4_HEADER_SIZE - TCP_HEADER_SIZE);
	size_t at = TCP_HEADER_SIZE;

	while (at + 1 < header_size && tcp[at] != 0) {
		if (tcp[at] == 1) {
			at++;
			continue;
		}
		if (tcp[at] == TCP_OPTION_MSS && at + TCP_OPTION_MSS_SIZE <= header_size) {
			tcp[at + 2] = (uint8_t)(mss >> 8);
			tcp[at + 3] = (uint8_t)mss;
			return;
		}
		at += tcp[at + 1] ? tcp[at + 1] : 1;
	}
}

static void set_partial_checksum(uint8_t *tcp, const struct addr *src, const struct addr *dst,
				 size_t size)
{
	/* The field holds the sum of the pseudo-header, not its complement. */
	uint16_t sum = (uint16_t)~csum_fold(
		csum_add_pseudo(0, src, dst, IPPROTO_TCP, (uint32_t)size));

	memcpy(tcp + 16, &sum, sizeof(sum));
}

err_t stack_lwip_output(struct netif *netif, struct pbuf *p, const ip4_addr_t *dst_ip)
{
	struct stack *stack = netif->state;
	struct conn *conn = stack->tcp.current;
	uint8_t *ip = p->payload;
	uint8_t *tcp = ip + IP4_HEADER_SIZE;
	size_t tcp_header_size = (size_t)(tcp[12] >> 4) * 4;
	size_t payload = p->tot_len - IP4_HEADER_SIZE - tcp_header_size;
	struct frame frame = {
		.csum = FRAME_CSUM_PARTIAL,
		.csum_start = ETH_HEADER_SIZE + IP4_HEADER_SIZE,
		.csum_offset = 16,
	};
	struct addr dst = addr_from_in((struct in_addr){ip4_addr_get_u32(dst_ip)});
	struct addr src = {.family = AF_INET};
	struct iovec iov[FRAME_IOV_MAX];
	unsigned count = 0;
	size_t segment_max;

	memcpy(&src.v4, ip + 12, 4);
	if (tcp[13] & TCP_FLAG_SYN)
		rewrite_mss(stack, tcp, tcp_header_size);
	set_partial_checksum(tcp, &src, &dst, p->tot_len - IP4_HEADER_SIZE);

	if (conn && conn->guest_mss) {
		segment_max = conn->guest_mss - (tcp_header_size - TCP_HEADER_SIZE);
		if (payload > segment_max) {
			frame.gso = FRAME_GSO_TCP4;
			frame.gso_size = (uint16_t)segment_max;
			frame.header_size = (uint16_t)(ETH_HEADER_SIZE + IP4_HEADER_SIZE +
						       tcp_header_size);
		}
	}
	for (struct pbuf *q = p; q; q = q->next) {
		if (!q->len)
			continue;
		if (count == FRAME_IOV_MAX)
			break;
		iov[count++] = (struct iovec){.iov_base = q->payload, .iov_len = q->len};
	}
	if (count == FRAME_IOV_MAX) {
		/* Many small writes behind each other: flatten them. lwIP's chain stays as it is.
		 */
		memcpy(stack->tx_scratch, ip - ETH_HEADER_SIZE, ETH_HEADER_SIZE);
		pbuf_copy_partial(p, stack->tx_scratch + ETH_HEADER_SIZE, p->tot_len, 0);
		iov[0] = (struct iovec){.iov_base = stack->tx_scratch + ETH_HEADER_SIZE,
					.iov_len = p->tot_len};
		count = 1;
	}
	if (stack_output(stack, &dst, NULL, &frame, iov, count) == -EAGAIN) {
		stack->tcp.output_blocked = true;
		return ERR_WOULDBLOCK;
	}
	return ERR_OK;
}

/* ---- UDP and ICMP ---- */

struct ip4_fields {
	const struct addr *src;
	const struct addr *dst;
	uint8_t protocol;
	uint8_t ttl;
	uint8_t tos;
	uint16_t id;
	uint16_t fragment; /* flags and offset */
};

static void put_ip4(uint8_t *to, const struct ip4_fields *ip, size_t payload_size)
{
	struct wire_writer w = wire_writer(to, IP4_HEADER_SIZE);
	uint16_t csum;

	wire_put_u8(&w, 0x45);
	wire_put_u8(&w, ip->tos);
	wire_put_be16(&w, (uint16_t)(IP4_HEADER_SIZE + payload_size));
	wire_put_be16(&w, ip->id);
	wire_put_be16(&w, ip->fragment);
	wire_put_u8(&w, ip->ttl);
	wire_put_u8(&w, ip->protocol);
	wire_put_be16(&w, 0);
	wire_put_bytes(&w, &ip->src->v4, 4);
	wire_put_bytes(&w, &ip->dst->v4, 4);
	csum = csum_fold(csum_add(0, to, IP4_HEADER_SIZE));
	memcpy(to + 10, &csum, sizeof(csum));
}

/* Sends a transport header (in headers[], behind room for Ethernet and IP) and payload, whole or as
 * fragments. The transport checksum is complete. */
static int send_packet(struct stack *stack, struct ip4_fields *ip, const struct mac *dst_mac,
		       uint8_t headers[static HEADERS_SIZE], size_t transport_size,
		       const void *payload, size_t size)
{
	size_t fragment_max = (stack->conf.mtu - IP4_HEADER_SIZE) & ~(size_t)7;
	bool whole = transport_size + size + IP4_HEADER_SIZE <= stack->conf.mtu;
	struct frame frame = {.csum = FRAME_CSUM_VALID};
	size_t at = 0; /* of the payload */
	size_t offset = 0;
	int r = 0;

	ip->id = stack->ip_id++;
	do {
		size_t part = size - at;
		struct iovec iov[2] = {
			{.iov_base = headers + ETH_HEADER_SIZE,
			 .iov_len = IP4_HEADER_SIZE + transport_size},
		};

		if (!whole && transport_size + part > fragment_max)
			part = fragment_max - transport_size;
		iov[1] = (struct iovec){.iov_base = (uint8_t *)(uintptr_t)payload + at,
					.iov_len = part};
		ip->fragment = (uint16_t)(offset / 8);
		if (at + part < size)
			ip->fragment |= IP4_MORE_FRAGS;
		put_ip4(headers + ETH_HEADER_SIZE, ip, transport_size + part);
		r = stack_output(stack, ip->dst, dst_mac, &frame, iov, part ? 2 : 1);
		if (r == -EAGAIN) {
			stack->counters.tx_full++;
			return r;
		}
		offset += transport_size + part;
		at += part;
		transport_size = 0;
	} while (at < size);
	return r;
}

int stack_send_udp(struct stack *stack, const struct endpoint *src, const struct endpoint *dst,
		   const struct mac *dst_mac, uint8_t ttl, uint8_t tos, const void *payload,
		   size_t size)
{
	uint8_t headers[HEADERS_SIZE];
	uint8_t *udp = headers + ETH_HEADER_SIZE + IP4_HEADER_SIZE;
	struct ip4_fields ip = {
		.src = &src->addr,
		.dst = &dst->addr,
		.protocol = IPPROTO_UDP,
		.ttl = ttl,
		.tos = tos,
	};
	struct wire_writer w = wire_writer(udp, UDP_HEADER_SIZE);
	uint32_t sum;
	uint16_t csum;

	if (src->addr.family != AF_INET || dst->addr.family != AF_INET)
		return -EINVAL;
	if (size > 65535 - IP4_HEADER_SIZE - UDP_HEADER_SIZE)
		return -EMSGSIZE;
	wire_put_be16(&w, src->port);
	wire_put_be16(&w, dst->port);
	wire_put_be16(&w, (uint16_t)(UDP_HEADER_SIZE + size));
	wire_put_be16(&w, 0);
	sum = csum_add_pseudo(0, &src->addr, &dst->addr, IPPROTO_UDP,
			      (uint32_t)(UDP_HEADER_SIZE + size));
	sum = csum_add(sum, udp, UDP_HEADER_SIZE);
	csum = csum_fold(csum_add(sum, payload, size));
	if (csum == 0)
		csum = 0xffff; /* RFC 768: zero means "no checksum" */
	memcpy(udp + 6, &csum, sizeof(csum));
	return send_packet(stack, &ip, dst_mac, headers, UDP_HEADER_SIZE, payload, size);
}

static int send_icmp(struct stack *stack, const struct addr *src, const struct addr *dst,
		     uint8_t ttl, uint8_t tos, uint8_t type, uint8_t code, uint32_t rest,
		     const void *payload, size_t size)
{
	uint8_t headers[HEADERS_SIZE];
	uint8_t *icmp = headers + ETH_HEADER_SIZE + IP4_HEADER_SIZE;
	struct ip4_fields ip = {
		.src = src, .dst = dst, .protocol = IPPROTO_ICMP, .ttl = ttl, .tos = tos};
	struct wire_writer w = wire_writer(icmp, ICMP_HEADER_SIZE);
	uint16_t csum;

	wire_put_u8(&w, type);
	wire_put_u8(&w, code);
	wire_put_be16(&w, 0);
	wire_put_be32(&w, rest);
	csum = csum_fold(csum_add(csum_add(0, icmp, ICMP_HEADER_SIZE), payload, size));
	memcpy(icmp + 2, &csum, sizeof(csum));
	return send_packet(stack, &ip, NULL, headers, ICMP_HEADER_SIZE, payload, size);
}

int stack_send_echo_reply(struct stack *stack, const struct addr *src, const struct addr *dst,
			  uint16_t id, uint16_t sequence, uint8_t ttl, uint8_t tos,
			  const void *payload, size_t size)
{
	if (src->family != AF_INET || dst->family != AF_INET)
		return -EINVAL;
	if (size > 65535 - IP4_HEADER_SIZE - ICMP_HEADER_SIZE)
		return -EMSGSIZE;
	return send_icmp(stack, src, dst, ttl, tos, 0, 0, (uint32_t)id << 16 | sequence, payload,
			 size);
}

/* Takes a token of the ICMP error limit. */
static bool icmp_error_allowed(struct stack *stack)
{
	uint64_t now = loop_now_ms(stack->loop);

	if (now - stack->icmp_refill_ms >= 1000) {
		stack->icmp_refill_ms = now;
		stack->icmp_tokens = ICMP_ERRORS_PER_SECOND;
	}
	if (!stack->icmp_tokens)
		return false;
	stack->icmp_tokens--;
	return true;
}

/* What no ICMP error may answer (RFC 1122, 3.2.2): ICMP errors, packets to or from nobody in
 * particular, and fragments behind the first. */
static bool icmp_error_proper(const struct stack *stack, const uint8_t *ip, size_t size)
{
	size_t header_size = (size_t)(ip[0] & 0x0f) * 4;
	struct addr src = {.family = AF_INET};
	struct addr dst = {.family = AF_INET};

	memcpy(&src.v4, ip + 12, 4);
	memcpy(&dst.v4, ip + 16, 4);
	if (addr_is_any(&src) || stack_is_broadcast(stack, &src) || addr_is_multicast(&src) ||
	    stack_is_broadcast(stack, &dst) || addr_is_multicast(&dst))
		return false;
	if ((ip[6] & 0x1f) || ip[7])
		return false;
	if (ip[9] != IPPROTO_ICMP)
		return true;
	return size > header_size && (ip[header_size] == ICMP_ECHO_REQUEST || ip[header_size] == 0);
}

void stack_send_icmp_error(struct stack *stack, const struct addr *from, uint8_t type, uint8_t code,
			   uint16_t mtu, const uint8_t *ip, size_t ip_size)
{
	/* RFC 1812, 4.3.2.3: as much of the packet as fits 576 bytes. */
	size_t quoted = 576 - IP4_HEADER_SIZE - ICMP_HEADER_SIZE;
	struct addr dst = {.family = AF_INET};

	if (ip_size < IP4_HEADER_SIZE || ip[0] >> 4 != 4)
		return;
	if (!icmp_error_proper(stack, ip, ip_size) || !icmp_error_allowed(stack))
		return;
	memcpy(&dst.v4, ip + 12, 4);
	if (quoted > ip_size)
		quoted = ip_size;
	send_icmp(stack, from ? from : &stack->conf.gateway, &dst, 64, ICMP_ERROR_TOS, type, code,
		  mtu, ip, quoted);
}

void stack_send_unreachable(struct stack *stack, enum stack_unreachable code, const uint8_t *ip,
			    size_t ip_size)
{
	stack_send_icmp_error(stack, NULL, 3, (uint8_t)code, 0, ip, ip_size);
}
