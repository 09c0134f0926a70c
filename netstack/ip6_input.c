/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv6 from guests: whose packets are taken, what their extension headers say (RFC 8200, section
 * 4), and who gets what they carry. Neighbour discovery is in nd.c, reassembly in reass.c.
 *
 * The gateway stands for every destination there is, so it looks at the extension headers that are
 * meant for the destination, too.
 */
#include <string.h>

#include "base/csum.h"
#include "base/wire.h"
#include "netstack/stack_private.h"

/* Most extension headers before the fragment header or the transport; as frame_parse_headers(). */
#define EXTENSIONS_MAX 8

#define OPTION_PAD1         0
#define OPTION_PADN         1
#define OPTION_ROUTER_ALERT 5

/* The two bits of an unknown option's type that say what becomes of the packet. */
#define OPTION_ACTION(TYPE)     ((TYPE) >> 6)
#define OPTION_SKIP             0
#define OPTION_DISCARD          1
#define OPTION_COMPLAIN         2
#define OPTION_COMPLAIN_UNICAST 3

/* A packet that came in, on its way through the checks. */
struct input {
	struct stack *stack;
	unsigned port;
	const struct frame *frame;
	const struct frame_headers *headers;
	const uint8_t *ip; /* linear as far as the headers go */
	struct mac from;
	struct addr src;
	struct addr dst;
	uint8_t traffic_class;
	uint8_t hop_limit;
	uint8_t protocol;   /* behind the extension headers */
	size_t next_at;     /* of the field that says so */
	size_t fragment_at; /* of the fragment header; 0: there is none */
	bool reassembled;
};

struct addr stack_link_local(const struct stack *stack)
{
	return stack->link_local;
}

static size_t input_size(const struct input *in)
{
	return in->headers->ip_end - in->headers->ip_offset;
}

static void complain(const struct input *in, uint8_t type, uint8_t code, size_t rest)
{
	stack_send_icmp6_error(in->stack, NULL, type, code, (uint32_t)rest,
			       stack_flatten(in->stack, in->frame, in->headers), input_size(in));
}

static bool is_link_local(const struct addr *addr)
{
	return IN6_IS_ADDR_LINKLOCAL(&addr->v6);
}

static bool is_group(const struct addr *addr, const uint8_t group[static 16])
{
	return memcmp(&addr->v6, group, 16) == 0;
}

/* ff02::1 and ff02::2: all nodes and all routers. */
static bool is_all_nodes(const struct addr *addr)
{
	static const uint8_t nodes[16] = {0xff, 2, [15] = 1};
	static const uint8_t routers[16] = {0xff, 2, [15] = 2};

	return is_group(addr, nodes) || is_group(addr, routers);
}

/* ff02::1:2: DHCPv6 relays and servers. */
static bool is_all_dhcp(const struct addr *addr)
{
	static const uint8_t servers[16] = {0xff, 2, [13] = 1, [15] = 2};

	return is_group(addr, servers);
}

static bool is_our_solicited_node(const struct stack *stack, const struct addr *addr)
{
	const struct addr *ours[] = {&stack->link_local, &stack->conf.gateway6,
				     &stack->conf.alias6};

	for (size_t i = 0; i < (stack->conf.prefix6.length ? 3 : 1); i++) {
		struct addr group = nd_solicited_node(ours[i]);

		if (addr_equal(addr, &group))
			return true;
	}
	return false;
}

/* ---- Whose packets, and to where ---- */

/* Whether a guest may send from this address: its own, or one behind it that is spoken to. Nobody
 * does from the unspecified one but who looks for an address, and then to a group; what it says is
 * checked later. */
static bool source_ok(const struct input *in)
{
	const struct stack *stack = in->stack;

	if (addr_is_any(&in->src))
		return addr_is_multicast(&in->dst);
	if (!stack_on_link(stack, &in->src))
		return stack_may_be_behind(in->stack, in->port, in->frame, &in->src, &in->dst,
					   in->headers->protocol, in->headers->fragment);
	return !stack_is_ours(stack, &in->src) &&
	       !(stack->conf.prefix6.length && addr_equal(&in->src, &stack->conf.prefix6.addr));
}

static bool destination_ok(const struct input *in)
{
	const struct stack *stack = in->stack;
	const uint8_t *eth = in->frame->iov[0].iov_base;

	if (addr_is_multicast(&in->dst))
		return is_all_nodes(&in->dst) || is_all_dhcp(&in->dst) ||
		       is_our_solicited_node(stack, &in->dst);
	/* A frame that was flooded is not for us to carry on. */
	if (eth[0] & 1)
		return false;
	if (stack_is_ours(stack, &in->dst))
		return true;
	if (is_link_local(&in->dst))
		return false;
	if (is_link_local(&in->src)) {
		/* RFC 4291, 2.5.6: a link-local address isn't known outside of its link. */
		complain(in, ICMP6_UNREACHABLE, ICMP6_SCOPE, 0);
		return false;
	}
	if (stack_on_link(stack, &in->dst) && in->headers->protocol != IPPROTO_UDP &&
	    !in->headers->fragment) {
		/* Guests reach each other through the switch, not through the gateway. */
		complain(in, ICMP6_UNREACHABLE, ICMP6_ADDRESS, 0);
		return false;
	}
	return true;
}

/* ---- Extension headers ---- */

/* Options of a hop-by-hop or destination options header, RFC 8200, 4.2. Returns false when the
 * packet is done with. */
static bool options_ok(const struct input *in, size_t at, size_t size)
{
	struct wire_reader r = wire_reader(in->ip + at + 2, size - 2);

	while (wire_left(&r)) {
		size_t option_at = at + 2 + wire_offset(&r);
		uint8_t type = wire_u8(&r);

		if (type == OPTION_PAD1)
			continue;
		wire_skip(&r, wire_u8(&r));
		if (type == OPTION_PADN || type == OPTION_ROUTER_ALERT ||
		    OPTION_ACTION(type) == OPTION_SKIP)
			continue;
		if (OPTION_ACTION(type) == OPTION_COMPLAIN ||
		    (OPTION_ACTION(type) == OPTION_COMPLAIN_UNICAST &&
		     !addr_is_multicast(&in->dst)))
			complain(in, ICMP6_PARAMETER, ICMP6_BAD_OPTION, option_at);
		return false;
	}
	if (!wire_ok(&r))
		in->stack->counters.rx_invalid++;
	return wire_ok(&r);
}

/* A routing header with stops left would send the packet on; nobody may ask that of us (RFC 5095;
 * RFC 8200, 4.4). */
static bool routing_ok(const struct input *in, size_t at)
{
	if (in->ip[at + 3] == 0)
		return true;
	complain(in, ICMP6_PARAMETER, ICMP6_BAD_FIELD, at + 2);
	return false;
}

/* Walks to the transport or the fragment header. frame_parse_headers() went the same way, so all of
 * it is there and linear. Returns false when the packet is done with. */
static bool walk_extensions(struct input *in)
{
	size_t at = IPV6_HEADER_SIZE;

	in->next_at = IPV6_AT_NEXT_HEADER;
	for (int i = 0; i <= EXTENSIONS_MAX; i++) {
		size_t size;

		in->protocol = in->ip[in->next_at];
		if (in->protocol == IPPROTO_FRAGMENT) {
			in->fragment_at = at;
			return true;
		}
		if (in->protocol == IPPROTO_HOPOPTS && i > 0) {
			complain(in, ICMP6_PARAMETER, ICMP6_NEXT_HEADER, in->next_at);
			return false;
		}
		if (in->protocol != IPPROTO_HOPOPTS && in->protocol != IPPROTO_DSTOPTS &&
		    in->protocol != IPPROTO_ROUTING)
			return true;
		size = (in->ip[at + 1] + 1u) * 8;
		if (in->protocol == IPPROTO_ROUTING ? !routing_ok(in, at)
						    : !options_ok(in, at, size))
			return false;
		in->next_at = at;
		at += size;
	}
	return false;
}

/* ---- What packets carry ---- */

static void input_udp6(const struct input *in, const uint8_t *ip)
{
	size_t header_size = in->headers->transport_offset - in->headers->ip_offset;
	size_t room = input_size(in) - header_size;
	struct wire_reader r = wire_reader(ip + header_size, room);
	struct stack_datagram datagram = {
		.src = {.addr = in->src},
		.dst = {.addr = in->dst},
		.src_mac = in->from,
		.port = in->port,
		.ttl = in->hop_limit,
		.tos = in->traffic_class,
		.dont_fragment = !in->reassembled,
		.from_behind = !stack_on_link(in->stack, &in->src),
		.ip = ip,
		.ip_size = input_size(in),
	};
	uint16_t size;
	bool has_csum;

	datagram.src.port = wire_be16(&r);
	datagram.dst.port = wire_be16(&r);
	size = wire_be16(&r);
	/* RFC 8200, 8.1: there is no UDP without a checksum. */
	has_csum = wire_be16(&r) != 0 || in->frame->csum == FRAME_CSUM_PARTIAL;
	if (!wire_ok(&r) || size < UDP_HEADER_SIZE || size > room || !has_csum ||
	    !datagram.dst.port) {
		in->stack->counters.rx_invalid++;
		return;
	}
	if (addr_is_multicast(&in->dst) && !is_all_dhcp(&in->dst)) {
		in->stack->counters.rx_unroutable++;
		return;
	}
	datagram.payload = ip + header_size + UDP_HEADER_SIZE;
	datagram.size = size - UDP_HEADER_SIZE;
	in->stack->handler->datagram(in->stack->handler_arg, &datagram);
}

/* Answers for our own addresses and for the groups that we are in; others are the handler's. */
static void input_echo6(const struct input *in, const uint8_t *ip, const uint8_t *icmp, size_t size)
{
	struct stack *stack = in->stack;
	struct wire_reader r = wire_reader(icmp + 4, ICMP_HEADER_SIZE - 4);
	struct stack_echo echo = {
		.src = in->src,
		.dst = in->dst,
		.port = in->port,
		.ttl = in->hop_limit,
		.tos = in->traffic_class,
		.dont_fragment = !in->reassembled,
		.payload = icmp + ICMP_HEADER_SIZE,
		.size = size - ICMP_HEADER_SIZE,
		.ip = ip,
		.ip_size = input_size(in),
	};
	bool group = addr_is_multicast(&in->dst);

	echo.id = wire_be16(&r);
	echo.sequence = wire_be16(&r);
	if (group || addr_equal(&in->dst, &stack->link_local) ||
	    addr_equal(&in->dst, &stack->conf.gateway6) ||
	    addr_equal(&in->dst, stack_router(&stack->conf, AF_INET6)))
		stack_send_echo_reply(stack, group ? &stack->link_local : &in->dst, &in->src,
				      echo.id, echo.sequence, STACK_TTL, in->traffic_class,
				      echo.payload, echo.size);
	else
		stack->handler->echo(stack->handler_arg, &echo);
}

static void input_icmp6(const struct input *in, const uint8_t *ip)
{
	size_t header_size = in->headers->transport_offset - in->headers->ip_offset;
	const uint8_t *icmp = ip + header_size;
	size_t size = input_size(in) - header_size;
	uint32_t sum = csum_add_pseudo(0, &in->src, &in->dst, IPPROTO_ICMPV6, (uint32_t)size);

	if (size < ICMP_HEADER_SIZE || csum_fold(csum_add(sum, icmp, size)) != 0) {
		in->stack->counters.rx_invalid++;
		return;
	}
	if (!addr_is_any(&in->src) && !stack_on_link(in->stack, &in->src)) {
		if (!pmtu_input6(in->stack, in->port, &in->from, icmp, size))
			in->stack->counters.rx_spoofed++;
		return;
	}
	if (icmp[0] == ICMP6_RS || icmp[0] == ICMP6_NS || icmp[0] == ICMP6_NA) {
		struct nd_message message = {
			.port = in->port,
			.from = in->from,
			.src = in->src,
			.dst = in->dst,
			.hop_limit = in->hop_limit,
			.icmp = icmp,
			.size = size,
		};

		/* Neighbour discovery is never fragmented (RFC 6980). */
		if (!in->reassembled)
			nd_input(in->stack, &message);
		return;
	}
	if (addr_is_any(&in->src)) {
		in->stack->counters.rx_spoofed++;
		return;
	}
	stack_note_neighbour(in->stack, &in->src, &in->from, in->port);
	if (icmp[0] == ICMP6_ECHO_REQUEST && icmp[1] == 0)
		input_echo6(in, ip, icmp, size);
	else
		pmtu_input6(in->stack, in->port, &in->from, icmp, size);
}

/* As for IPv4: no packet lives on whose time is up, but services of our own are at the last hop. */
static bool expires_here(const struct input *in)
{
	if (in->hop_limit > 1 || addr_is_multicast(&in->dst) || stack_is_ours(in->stack, &in->dst))
		return false;
	complain(in, ICMP6_TIME_EXCEEDED, 0, 0);
	return true;
}

static void input_transport(const struct input *in)
{
	struct stack *stack = in->stack;

	if (addr_is_any(&in->src) && in->protocol != IPPROTO_ICMPV6) {
		stack->counters.rx_spoofed++;
		return;
	}
	if (!offload_csum_ok(in->frame, in->headers)) {
		stack->counters.rx_invalid++;
		return;
	}
	/* What an ICMPv6 message says of its sender counts more than how it came. */
	if (in->protocol != IPPROTO_ICMPV6)
		stack_note_neighbour(stack, &in->src, &in->from, in->port);
	if (expires_here(in))
		return;
	switch (in->protocol) {
	case IPPROTO_TCP:
		if (addr_is_multicast(&in->dst))
			stack->counters.rx_unroutable++;
		else
			conn_input(stack, in->port, &in->src, &in->dst, in->frame, in->headers);
		break;
	case IPPROTO_UDP:
		input_udp6(in, stack_flatten(stack, in->frame, in->headers));
		break;
	case IPPROTO_ICMPV6:
		input_icmp6(in, stack_flatten(stack, in->frame, in->headers));
		break;
	case IPPROTO_NONE:
		break;
	default:
		complain(in, ICMP6_PARAMETER, ICMP6_NEXT_HEADER, in->next_at);
		break;
	}
}

/* ---- Fragments ---- */

static void input_packet(struct input *in);

/* Takes a packet on that was put together, as if it had come so. */
static void input_whole(const struct input *last, const struct whole_packet *whole)
{
	struct input in = *last;

	in.frame = &whole->frame;
	in.headers = &whole->headers;
	in.ip = whole->ip;
	in.fragment_at = 0;
	in.reassembled = true;
	input_packet(&in);
}

static void input_fragment6(const struct input *in)
{
	struct stack *stack = in->stack;
	struct reass_fragment fragment = {
		.port = in->port,
		.src = in->src,
		.dst = in->dst,
		.ip = stack_flatten(stack, in->frame, in->headers),
		.size = input_size(in),
		.next_at = in->next_at,
		.fragment_at = in->fragment_at,
	};
	struct whole_packet whole;

	if (addr_is_any(&in->src)) {
		stack->counters.rx_spoofed++;
		return;
	}
	stack_note_neighbour(stack, &in->src, &in->from, in->port);
	switch (stack_reassemble(stack, &fragment, in->frame, &whole)) {
	case REASS_KEPT:
		break;
	case REASS_COMPLETE:
		input_whole(in, &whole);
		reass_packet_free(whole.ip);
		break;
	case REASS_BAD_SIZE:
		complain(in, ICMP6_PARAMETER, ICMP6_BAD_FIELD, IPV6_AT_PAYLOAD_SIZE);
		break;
	case REASS_TOO_LARGE:
		complain(in, ICMP6_PARAMETER, ICMP6_BAD_FIELD, in->fragment_at + 2);
		break;
	case REASS_OVERLAPPING:
		stack->counters.rx_invalid++;
		break;
	}
}

/* ---- The way in ---- */

static void input_packet(struct input *in)
{
	if (!source_ok(in)) {
		in->stack->counters.rx_spoofed++;
		return;
	}
	if (!destination_ok(in)) {
		in->stack->counters.rx_unroutable++;
		return;
	}
	if (!walk_extensions(in))
		return;
	if (in->fragment_at)
		input_fragment6(in);
	else
		input_transport(in);
}

void stack_input_ip6(struct stack *stack, unsigned port, const struct frame *frame,
		     const struct frame_headers *headers)
{
	const uint8_t *eth = frame->iov[0].iov_base;
	struct input in = {
		.stack = stack,
		.port = port,
		.frame = frame,
		.headers = headers,
		.ip = eth + headers->ip_offset,
	};
	uint32_t first = load_be32(in.ip);

	memcpy(in.from.bytes, eth + MAC_SIZE, MAC_SIZE);
	in.traffic_class = (uint8_t)(first >> 20);
	in.hop_limit = in.ip[IPV6_AT_HOP_LIMIT];
	frame_addresses(frame, headers, &in.src, &in.dst);
	input_packet(&in);
}
