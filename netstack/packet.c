/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets from the gateway to guests: lwIP's TCP segments, UDP datagrams (fragmented where they
 * must be), ICMP and ARP. Finds the guest's MAC, puts the Ethernet header in front and hands the
 * frame to the switch. What is IPv6's own is in ip6_output.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/csum.h"
#include "base/wire.h"
#include "netstack/stack_private.h"

#define ICMP_ERROR_TOS 0xc0 /* internetwork control: RFC 1812, 4.3.2.5 */

#define TCP_OPTION_END      0
#define TCP_OPTION_NOP      1
#define TCP_OPTION_MSS      2
#define TCP_OPTION_MSS_SIZE 4

/* Room for an Ethernet, an IPv4 and an ICMP or UDP header. */
#define HEADERS_SIZE (ETH_HEADER_SIZE + IPV4_HEADER_SIZE + TRANSPORT_SIZE_MAX)

static void put_ethernet(uint8_t *to, const struct mac *dst, const struct mac *src,
			 uint16_t ethertype)
{
	memcpy(to, dst->bytes, MAC_SIZE);
	memcpy(to + MAC_SIZE, src->bytes, MAC_SIZE);
	store_be16(to + ETHERTYPE_OFFSET, ethertype);
}

bool stack_is_broadcast(const struct stack *stack, const struct addr *dst)
{
	uint32_t ip;

	if (dst->family != AF_INET)
		return false;
	ip = addr_v4(dst);
	return ip == INADDR_BROADCAST ||
	       (prefix_contains(&stack->conf.subnet, dst) &&
		ip == (addr_v4(&stack->conf.subnet.addr) | ~prefix_mask4(&stack->conf.subnet)));
}

bool stack_on_link(const struct stack *stack, const struct addr *addr)
{
	if (addr->family == AF_INET)
		return prefix_contains(&stack->conf.subnet, addr);
	return IN6_IS_ADDR_LINKLOCAL(&addr->v6) ||
	       (stack->conf.prefix6.length && prefix_contains(&stack->conf.prefix6, addr));
}

/* Completes the transport checksum of a frame in memory that is to be kept. */
static void complete_checksum(const struct frame *frame, uint8_t *flat)
{
	uint16_t csum;

	if (frame->csum != FRAME_CSUM_PARTIAL)
		return;
	csum = csum_fold(csum_add(0, flat + frame->csum_start, frame->size - frame->csum_start));
	store_csum(flat + frame->csum_start + frame->csum_offset, csum);
}

/* Asks who has the address, unless that was done just now. */
static void solicit(struct stack *stack, const struct addr *dst)
{
	if (!neigh_ask(stack->neighbours, dst, loop_now_ms(stack->loop)))
		return;
	if (dst->family == AF_INET)
		arp_solicit(stack, dst);
	else
		nd_solicit(stack, dst);
}

/* Keeps a packet while its guest is asked for its MAC. A GSO frame never gets here first: there is
 * a handshake before. */
static void hold(struct stack *stack, const struct addr *dst, const struct frame *frame)
{
	uint8_t *flat = stack->tx_scratch;
	size_t size = 0;

	for (unsigned i = 0; i < frame->iov_count; i++) {
		memcpy(flat + size, frame->iov[i].iov_base, frame->iov[i].iov_len);
		size += frame->iov[i].iov_len;
	}
	complete_checksum(frame, flat);
	if (size > ETH_HEADER_SIZE + NEIGH_HELD_SIZE_MAX)
		stack->counters.tx_no_neighbour++;
	neigh_hold(stack->neighbours, dst, flat + ETH_HEADER_SIZE, size - ETH_HEADER_SIZE);
	solicit(stack, dst);
}

/* The MAC of a broadcast or multicast address. Returns false when it is neither. */
static bool group_mac(const struct stack *stack, const struct addr *dst, struct mac *ret_mac)
{
	if (stack_is_broadcast(stack, dst)) {
		*ret_mac = mac_broadcast;
		return true;
	}
	if (dst->family != AF_INET6 || !addr_is_multicast(dst))
		return false;
	/* RFC 2464, section 7. */
	ret_mac->bytes[0] = ret_mac->bytes[1] = 0x33;
	memcpy(ret_mac->bytes + 2, dst->v6.s6_addr + 12, 4);
	return true;
}

int stack_output(struct stack *stack, const struct addr *hop, const struct mac *dst_mac,
		 struct frame *frame, struct iovec *iov, unsigned iov_count)
{
	bool v4 = *(const uint8_t *)iov[0].iov_base >> 4 == 4;
	const struct neigh *neigh;
	struct mac group;

	frame->size = 0;
	iov[0].iov_base = (uint8_t *)iov[0].iov_base - ETH_HEADER_SIZE;
	iov[0].iov_len += ETH_HEADER_SIZE;
	for (unsigned i = 0; i < iov_count; i++)
		frame->size += (uint32_t)iov[i].iov_len;
	frame->iov = iov;
	frame->iov_count = (uint16_t)iov_count;

	if (!dst_mac && group_mac(stack, hop, &group))
		dst_mac = &group;
	if (!dst_mac) {
		neigh = neigh_lookup(stack->neighbours, hop);
		if (!neigh) {
			if (stack_on_link(stack, hop))
				hold(stack, hop, frame);
			else
				stack->counters.tx_no_neighbour++;
			return 0;
		}
		dst_mac = &neigh->mac;
	}
	put_ethernet(iov[0].iov_base, dst_mac, &stack->conf.mac,
		     v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
	return switch_send(stack->sw, frame);
}

void stack_output_held(struct stack *stack, const struct addr *hop, void *packet, size_t size)
{
	uint8_t *flat = stack->tx_scratch;
	struct iovec iov = {.iov_base = flat + ETH_HEADER_SIZE, .iov_len = size};
	struct frame frame = {.csum = FRAME_CSUM_VALID};

	memcpy(flat + ETH_HEADER_SIZE, packet, size);
	free(packet);
	stack_output(stack, hop, NULL, &frame, &iov, 1);
}

/* ---- TCP, from lwIP ---- */

/* lwIP announces the largest segment that it can take; the guest must hear of the largest that its
 * link can carry. */
static void rewrite_mss(uint8_t *tcp, size_t header_size, uint16_t mss)
{
	size_t at = TCP_HEADER_SIZE;

	while (at + 1 < header_size && tcp[at] != TCP_OPTION_END) {
		if (tcp[at] == TCP_OPTION_NOP) {
			at++;
			continue;
		}
		if (tcp[at] == TCP_OPTION_MSS && at + TCP_OPTION_MSS_SIZE <= header_size) {
			store_be16(tcp + at + 2, mss);
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

	store_csum(tcp + TCP_AT_CSUM, sum);
}

/* The segment's pieces, behind room for an Ethernet header; returns their number. Many small writes
 * behind each other are flattened, and lwIP's chain stays as it is. */
static unsigned segment_pieces(struct stack *stack, const struct pbuf *p,
			       struct iovec iov[static FRAME_IOV_MAX])
{
	unsigned count = 0;

	for (const struct pbuf *q = p; q; q = q->next) {
		if (!q->len)
			continue;
		if (count == FRAME_IOV_MAX)
			break;
		iov[count++] = (struct iovec){.iov_base = q->payload, .iov_len = q->len};
	}
	if (count < FRAME_IOV_MAX)
		return count;
	pbuf_copy_partial(p, stack->tx_scratch + ETH_HEADER_SIZE, p->tot_len, 0);
	iov[0] = (struct iovec){.iov_base = stack->tx_scratch + ETH_HEADER_SIZE,
				.iov_len = p->tot_len};
	return 1;
}

/* Whether the guest that a connection's segments go to, by `hop`, is away. One that has come back
 * gets them where it is now. */
static bool is_away(struct stack *stack, struct conn *conn, const struct addr *hop)
{
	const struct neigh *neigh;

	if (!away_is(&stack->away, conn->port))
		return false;
	neigh = neigh_lookup(stack->neighbours, hop);
	if (neigh && neigh->port && away_may_be_back(&stack->away, conn->port, neigh->port)) {
		conn_set_port(conn, neigh->port);
		return false;
	}
	if (!neigh)
		solicit(stack, hop);
	return true;
}

/* Sends a segment of lwIP's that begins with an IP header of `ip_size` bytes. */
static err_t output_segment(struct stack *stack, struct pbuf *p, const struct addr *src,
			    const struct addr *dst, size_t ip_size)
{
	struct conn *conn = stack->tcp.current;
	uint8_t *tcp = (uint8_t *)p->payload + ip_size;
	size_t tcp_header_size = (size_t)(tcp[TCP_AT_DATA_OFFSET] >> 4) * 4;
	size_t payload = p->tot_len - ip_size - tcp_header_size;
	struct frame frame = {
		.csum = FRAME_CSUM_PARTIAL,
		.csum_start = (uint16_t)(ETH_HEADER_SIZE + ip_size),
		.csum_offset = TCP_AT_CSUM,
	};
	const struct addr *hop = conn && conn->hop.family ? &conn->hop : dst;
	struct iovec iov[FRAME_IOV_MAX];
	unsigned count;
	size_t segment_max;

	if (conn && is_away(stack, conn, hop)) {
		stack->tcp.output_blocked = true;
		return ERR_WOULDBLOCK;
	}
	if (tcp[TCP_AT_FLAGS] & TCP_FLAG_SYN)
		rewrite_mss(tcp, tcp_header_size,
			    (uint16_t)(stack->conf.mtu - ip_size - TCP_HEADER_SIZE));
	set_partial_checksum(tcp, src, dst, p->tot_len - ip_size);

	if (conn && conn->guest_mss) {
		segment_max = conn->guest_mss - (tcp_header_size - TCP_HEADER_SIZE);
		if (payload > segment_max) {
			frame.gso = dst->family == AF_INET ? FRAME_GSO_TCP4 : FRAME_GSO_TCP6;
			frame.gso_size = (uint16_t)segment_max;
			frame.header_size = (uint16_t)(ETH_HEADER_SIZE + ip_size + tcp_header_size);
		}
	}
	count = segment_pieces(stack, p, iov);
	if (stack_output(stack, hop, NULL, &frame, iov, count) == -EAGAIN) {
		stack->tcp.output_blocked = true;
		return ERR_WOULDBLOCK;
	}
	return ERR_OK;
}

/* Path MTU discovery (pmtu.c). Without it, a guest that is a router would cut our segments, whose
 * identifications repeat too soon to be put together again (RFC 6864). */
static void dont_fragment(uint8_t *ip)
{
	uint16_t before, after, sum;

	memcpy(&before, ip + IPV4_AT_FRAGMENT, sizeof(before));
	memcpy(&sum, ip + IPV4_AT_CSUM, sizeof(sum));
	after = before | htons(IPV4_DONT_FRAGMENT);
	memcpy(ip + IPV4_AT_FRAGMENT, &after, sizeof(after));
	store_csum(ip + IPV4_AT_CSUM, csum_update16(sum, before, after));
}

err_t stack_lwip_output(struct netif *netif, struct pbuf *p, const ip4_addr_t *dst_ip)
{
	struct addr dst = addr_from_in((struct in_addr){ip4_addr_get_u32(dst_ip)});
	struct addr src = {.family = AF_INET};

	memcpy(&src.v4, (uint8_t *)p->payload + IPV4_AT_SRC, sizeof(src.v4));
	dont_fragment(p->payload);
	return output_segment(netif->state, p, &src, &dst, IPV4_HEADER_SIZE);
}

err_t stack_lwip_output6(struct netif *netif, struct pbuf *p, const ip6_addr_t *dst_ip)
{
	struct addr dst = {.family = AF_INET6};
	struct addr src = {.family = AF_INET6};

	memcpy(&dst.v6, dst_ip->addr, sizeof(dst.v6));
	memcpy(&src.v6, (uint8_t *)p->payload + IPV6_AT_SRC, sizeof(src.v6));
	return output_segment(netif->state, p, &src, &dst, IPV6_HEADER_SIZE);
}

/* ---- UDP and ICMP ---- */

static void put_ip4(uint8_t *to, const struct ip_fields *ip, uint16_t id, uint16_t fragment,
		    size_t payload_size)
{
	struct wire_writer w = wire_writer(to, IPV4_HEADER_SIZE);

	wire_put_u8(&w, 0x45);
	wire_put_u8(&w, ip->tos);
	wire_put_be16(&w, (uint16_t)(IPV4_HEADER_SIZE + payload_size));
	wire_put_be16(&w, id);
	wire_put_be16(&w, fragment); /* flags and offset */
	wire_put_u8(&w, ip->ttl);
	wire_put_u8(&w, ip->protocol);
	wire_put_be16(&w, 0);
	wire_put_bytes(&w, &ip->src->v4, 4);
	wire_put_bytes(&w, &ip->dst->v4, 4);
	store_csum(to + IPV4_AT_CSUM, csum_fold(csum_add(0, to, IPV4_HEADER_SIZE)));
}

/* Sends a transport header and payload, whole or as fragments; its checksum is complete. */
static int send_ip4(struct stack *stack, const struct ip_fields *ip, const struct mac *dst_mac,
		    const uint8_t *transport, size_t transport_size, const void *payload,
		    size_t size)
{
	uint8_t headers[HEADERS_SIZE];
	size_t fragment_max = (stack->conf.mtu - IPV4_HEADER_SIZE) & ~(size_t)7;
	bool whole = transport_size + size + IPV4_HEADER_SIZE <= stack->conf.mtu;
	struct frame frame = {.csum = FRAME_CSUM_VALID};
	uint16_t id = stack->ip_id++;
	size_t at = 0; /* of the payload */
	size_t offset = 0;
	int r = 0;

	memcpy(headers + ETH_HEADER_SIZE + IPV4_HEADER_SIZE, transport, transport_size);
	do {
		size_t part = size - at;
		struct iovec iov[2] = {
			{.iov_base = headers + ETH_HEADER_SIZE,
			 .iov_len = IPV4_HEADER_SIZE + transport_size},
		};
		uint16_t fragment = (uint16_t)(offset / 8);

		if (!whole && transport_size + part > fragment_max)
			part = fragment_max - transport_size;
		iov[1] = (struct iovec){.iov_base = (uint8_t *)(uintptr_t)payload + at,
					.iov_len = part};
		if (at + part < size)
			fragment |= IPV4_MORE_FRAGMENTS;
		put_ip4(headers + ETH_HEADER_SIZE, ip, id, fragment, transport_size + part);
		r = stack_output(stack, ip->hop ? ip->hop : ip->dst, dst_mac, &frame, iov,
				 part ? 2 : 1);
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

/* Most bytes behind a UDP or ICMP header. IPv6 doesn't count its own in the size. */
static size_t payload_max(const struct addr *dst)
{
	return 65535 - TRANSPORT_SIZE_MAX - (dst->family == AF_INET ? IPV4_HEADER_SIZE : 0);
}

/* `ip` has all but the protocol and the addresses. */
static int send_udp(struct stack *stack, struct ip_fields ip, const struct endpoint *src,
		    const struct endpoint *dst, const struct mac *dst_mac, const void *payload,
		    size_t size)
{
	uint8_t udp[UDP_HEADER_SIZE];
	struct wire_writer w = wire_writer(udp, UDP_HEADER_SIZE);
	uint32_t sum;
	uint16_t csum;

	if (src->addr.family != dst->addr.family || src->addr.family == AF_UNSPEC)
		return -EINVAL;
	if (size > payload_max(&dst->addr))
		return -EMSGSIZE;
	ip.src = &src->addr;
	ip.dst = &dst->addr;
	ip.protocol = IPPROTO_UDP;
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
	store_csum(udp + UDP_AT_CSUM, csum);
	if (dst->addr.family == AF_INET)
		return send_ip4(stack, &ip, dst_mac, udp, sizeof(udp), payload, size);
	return stack_send_ip6(stack, &ip, dst_mac, udp, sizeof(udp), payload, size);
}

int stack_send_udp(struct stack *stack, const struct endpoint *src, const struct endpoint *dst,
		   const struct mac *dst_mac, uint8_t ttl, uint8_t tos, const void *payload,
		   size_t size)
{
	return send_udp(stack, (struct ip_fields){.ttl = ttl, .tos = tos}, src, dst, dst_mac,
			payload, size);
}

int stack_send_udp_behind(struct stack *stack, const struct endpoint *src,
			  const struct endpoint *dst, const struct addr *hop, uint8_t ttl,
			  uint8_t tos, const void *payload, size_t size)
{
	return send_udp(stack, (struct ip_fields){.hop = hop, .ttl = ttl, .tos = tos}, src, dst,
			NULL, payload, size);
}

static int send_icmp4(struct stack *stack, const struct ip_fields *ip,
		      const struct icmp_fields *icmp, const void *payload, size_t size)
{
	uint8_t header[ICMP_HEADER_SIZE];
	struct wire_writer w = wire_writer(header, sizeof(header));
	uint16_t csum;

	wire_put_u8(&w, icmp->type);
	wire_put_u8(&w, icmp->code);
	wire_put_be16(&w, 0);
	wire_put_be32(&w, icmp->rest);
	csum = csum_fold(csum_add(csum_add(0, header, sizeof(header)), payload, size));
	store_csum(header + ICMP_AT_CSUM, csum);
	return send_ip4(stack, ip, NULL, header, sizeof(header), payload, size);
}

int stack_send_echo_reply(struct stack *stack, const struct addr *src, const struct addr *dst,
			  uint16_t id, uint16_t sequence, uint8_t ttl, uint8_t tos,
			  const void *payload, size_t size)
{
	bool v4 = dst->family == AF_INET;
	struct icmp_fields icmp = {
		.type = v4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY,
		.rest = (uint32_t)id << 16 | sequence,
	};
	struct ip_fields ip = {
		.src = src,
		.dst = dst,
		.protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
		.ttl = ttl,
		.tos = tos,
	};

	if (src->family != dst->family || src->family == AF_UNSPEC)
		return -EINVAL;
	if (size > payload_max(dst))
		return -EMSGSIZE;
	if (v4)
		return send_icmp4(stack, &ip, &icmp, payload, size);
	return stack_send_icmp6_body(stack, NULL, &ip, &icmp, payload, size);
}

bool stack_icmp_error_allowed(struct stack *stack, const struct addr *guest)
{
	const struct neigh *neigh = neigh_lookup(stack->neighbours, guest);
	unsigned port = neigh ? neigh->port : 0;
	uint64_t now = loop_now_ms(stack->loop);

	if (now - stack->icmp_errors[port].refill_ms >= 1000) {
		stack->icmp_errors[port].refill_ms = now;
		stack->icmp_errors[port].tokens = ICMP_ERRORS_PER_SECOND;
	}
	if (!stack->icmp_errors[port].tokens)
		return false;
	stack->icmp_errors[port].tokens--;
	return true;
}

/* What no ICMP error may answer (RFC 1122, 3.2.2): ICMP errors, packets to or from nobody in
 * particular, and fragments behind the first. */
static bool icmp_error_proper(const struct stack *stack, const uint8_t *ip, size_t size)
{
	size_t header_size = (size_t)(ip[0] & 0x0f) * 4;
	struct addr src = {.family = AF_INET};
	struct addr dst = {.family = AF_INET};

	memcpy(&src.v4, ip + IPV4_AT_SRC, sizeof(src.v4));
	memcpy(&dst.v4, ip + IPV4_AT_DST, sizeof(dst.v4));
	if (addr_is_any(&src) || stack_is_broadcast(stack, &src) || addr_is_multicast(&src) ||
	    stack_is_broadcast(stack, &dst) || addr_is_multicast(&dst))
		return false;
	if (load_be16(ip + IPV4_AT_FRAGMENT) & IPV4_FRAGMENT_OFFSET)
		return false;
	if (ip[IPV4_AT_PROTOCOL] != IPPROTO_ICMP)
		return true;
	return size > header_size &&
	       (ip[header_size] == ICMP_ECHO_REQUEST || ip[header_size] == ICMP_ECHO_REPLY);
}

void stack_send_icmp_error(struct stack *stack, const struct addr *from, uint8_t type, uint8_t code,
			   uint16_t mtu, const uint8_t *ip, size_t ip_size)
{
	/* RFC 1812, 4.3.2.3: as much of the packet as fits 576 bytes. */
	size_t quoted = 576 - IPV4_HEADER_SIZE - ICMP_HEADER_SIZE;
	struct addr dst = {.family = AF_INET};
	struct icmp_fields icmp = {.type = type, .code = code, .rest = mtu};
	struct ip_fields fields = {
		.src = from ? from : stack_router(&stack->conf, AF_INET),
		.dst = &dst,
		.protocol = IPPROTO_ICMP,
		.ttl = STACK_TTL,
		.tos = ICMP_ERROR_TOS,
	};

	if (ip_size && ip[0] >> 4 == 6) {
		stack_send_icmp6_error(stack, from, type, code, mtu, ip, ip_size);
		return;
	}
	if (ip_size < IPV4_HEADER_SIZE || ip[0] >> 4 != 4)
		return;
	memcpy(&dst.v4, ip + IPV4_AT_SRC, sizeof(dst.v4));
	if (!icmp_error_proper(stack, ip, ip_size) || !stack_icmp_error_allowed(stack, &dst))
		return;
	if (quoted > ip_size)
		quoted = ip_size;
	send_icmp4(stack, &fields, &icmp, ip, quoted);
}

/* The same in ICMPv6's words. */
static void send_unreachable6(struct stack *stack, enum stack_unreachable code, const uint8_t *ip,
			      size_t ip_size)
{
	static const uint8_t codes[] = {
		[STACK_UNREACH_NET] = ICMP6_NO_ROUTE,
		[STACK_UNREACH_HOST] = ICMP6_ADDRESS,
		[STACK_UNREACH_PORT] = ICMP6_PORT,
		[STACK_UNREACH_ADMIN] = ICMP6_ADMIN,
	};

	stack_send_icmp6_error(stack, NULL, ICMP6_UNREACHABLE, codes[code], 0, ip, ip_size);
}

void stack_send_unreachable(struct stack *stack, enum stack_unreachable code, const uint8_t *ip,
			    size_t ip_size)
{
	if (ip_size && ip[0] >> 4 == 6)
		send_unreachable6(stack, code, ip, ip_size);
	else
		stack_send_icmp_error(stack, NULL, ICMP_UNREACHABLE, (uint8_t)code, 0, ip, ip_size);
}
