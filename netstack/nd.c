/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Neighbour discovery (RFC 4861): answers who asks for the gateway's addresses or for the host
 * alias, asks for guests', and learns from what guests say. The table of neighbours is neigh.c's,
 * as for ARP; router advertisements are router_adv.c's.
 */
#include <string.h>

#include "base/log.h"
#include "base/wire.h"
#include "netstack/router_adv.h"
#include "netstack/stack_private.h"

LOG_MODULE("stack");

#define HOP_LIMIT 255 /* nobody beyond the link can make that (RFC 4861, 3.1) */

#define RS_SIZE 8  /* without options */
#define ND_SIZE 24 /* of NS and NA: with the target, without options */

#define OPTION_SOURCE_MAC 1
#define OPTION_TARGET_MAC 2
#define OPTION_UNIT       8

#define NA_ROUTER    0x80000000u
#define NA_SOLICITED 0x40000000u
#define NA_OVERRIDE  0x20000000u

static const struct mac all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}};

struct addr nd_solicited_node(const struct addr *addr)
{
	struct in6_addr group = {.s6_addr = {0xff, 0x02, [11] = 1, [12] = 0xff}};

	memcpy(group.s6_addr + 13, addr->v6.s6_addr + 13, 3);
	return addr_from_in6(&group);
}

/* ---- Out ---- */

static void put_message(struct wire_writer *w, uint8_t type, uint32_t flags,
			const struct addr *target, uint8_t option, const struct mac *mac)
{
	wire_put_u8(w, type);
	wire_put_u8(w, 0);
	wire_put_be16(w, 0); /* the checksum */
	wire_put_be32(w, flags);
	wire_put_bytes(w, &target->v6, sizeof(target->v6));
	wire_put_u8(w, option);
	wire_put_u8(w, 1);
	wire_put_bytes(w, mac->bytes, MAC_SIZE);
}

void nd_solicit(struct stack *stack, const struct addr *target)
{
	uint8_t bytes[ND_SIZE + OPTION_UNIT];
	struct wire_writer w = wire_writer(bytes, sizeof(bytes));
	struct addr group = nd_solicited_node(target);
	const struct addr *src = IN6_IS_ADDR_LINKLOCAL(&target->v6) ? &stack->link_local
								    : &stack->conf.gateway6;

	put_message(&w, ICMP6_NS, 0, target, OPTION_SOURCE_MAC, &stack->conf.mac);
	stack_send_icmp6(stack, NULL, src, &group, HOP_LIMIT, bytes, sizeof(bytes));
}

/* Tells that `target` is ours: who asked, or everybody when that was somebody without an address
 * who wants to have ours. */
static void advertise(struct stack *stack, const struct addr *target,
		      const struct nd_message *solicitation)
{
	static const struct in6_addr all_nodes = {.s6_addr = {0xff, 2, [15] = 1}};
	bool probing = addr_is_any(&solicitation->src);
	struct addr dst = probing ? addr_from_in6(&all_nodes) : solicitation->src;
	uint32_t flags = NA_OVERRIDE | (probing ? 0 : NA_SOLICITED);
	uint8_t bytes[ND_SIZE + OPTION_UNIT];
	struct wire_writer w = wire_writer(bytes, sizeof(bytes));

	/* Who was announced as a router must go on saying so, or is taken out of the guests'
	 * routes (RFC 4861, 7.2.5). The alias stands for a host. */
	if (stack->conf.prefix6.length && !addr_equal(target, &stack->conf.alias6))
		flags |= NA_ROUTER;
	put_message(&w, ICMP6_NA, flags, target, OPTION_TARGET_MAC, &stack->conf.mac);
	stack_send_icmp6(stack, probing ? &all_nodes_mac : &solicitation->from, target, &dst,
			 HOP_LIMIT, bytes, sizeof(bytes));
}

/* ---- In ---- */

/* Reads the options, of which each must have a size and fit (RFC 4861, 4.6). *ret_has_mac: whether
 * there is a MAC under `option`. */
static bool read_options(struct wire_reader *r, uint8_t option, bool *ret_has_mac,
			 struct mac *ret_mac)
{
	bool has_mac = false;
	struct mac mac;

	while (wire_left(r)) {
		uint8_t type = wire_u8(r);
		size_t size = wire_u8(r) * (size_t)OPTION_UNIT;
		struct wire_reader sub;

		if (!size)
			return false;
		sub = wire_sub(r, size - 2);
		if (type != option)
			continue;
		wire_copy(&sub, mac.bytes, MAC_SIZE);
		if (!wire_ok(&sub) || mac_is_group(&mac))
			return false;
		has_mac = true;
	}
	if (!wire_ok(r))
		return false;
	*ret_has_mac = has_mac;
	if (has_mac)
		*ret_mac = mac;
	return true;
}

/* RFC 4861, 7.1.1 and 7.2.3. */
static bool input_ns(struct stack *stack, const struct nd_message *message, struct wire_reader *r)
{
	struct addr target = {.family = AF_INET6};
	struct mac mac;
	bool has_mac;

	wire_skip(r, 4);
	wire_copy(r, &target.v6, sizeof(target.v6));
	if (!read_options(r, OPTION_SOURCE_MAC, &has_mac, &mac) || addr_is_multicast(&target))
		return false;
	if (addr_is_any(&message->src)) {
		struct addr group = nd_solicited_node(&target);

		if (has_mac || !addr_equal(&message->dst, &group))
			return false;
	} else if (has_mac) {
		stack_note_neighbour(stack, &message->src, &mac, message->port);
	}
	if (stack_is_ours(stack, &target))
		advertise(stack, &target, message);
	return true;
}

/* RFC 4861, 7.1.2 and 7.2.5. */
static bool input_na(struct stack *stack, const struct nd_message *message, struct wire_reader *r)
{
	uint32_t flags = wire_be32(r);
	struct addr target = {.family = AF_INET6};
	struct mac mac, known;
	bool has_mac;

	wire_copy(r, &target.v6, sizeof(target.v6));
	if (!read_options(r, OPTION_TARGET_MAC, &has_mac, &mac) || addr_is_multicast(&target) ||
	    addr_is_any(&message->src) ||
	    (addr_is_multicast(&message->dst) && (flags & NA_SOLICITED)))
		return false;
	if (stack_is_ours(stack, &target)) {
		stack->counters.rx_spoofed++;
		log_limited(LOG_LEVEL_WARN,
			    "a guest claims the gateway's or the host's address by a neighbour "
			    "advertisement");
		return true;
	}
	if (!has_mac)
		return true;
	/* Without "override" it tells only who doesn't know better. */
	if (!(flags & NA_OVERRIDE) && stack_neighbour(stack, &target, &known) &&
	    !mac_equal(&known, &mac))
		return true;
	stack_note_neighbour(stack, &target, &mac, message->port);
	return true;
}

/* RFC 4861, 6.1.1. */
static bool input_rs(struct stack *stack, const struct nd_message *message, struct wire_reader *r)
{
	struct mac mac;
	bool has_mac;

	wire_skip(r, 4);
	if (!read_options(r, OPTION_SOURCE_MAC, &has_mac, &mac) ||
	    (has_mac && addr_is_any(&message->src)))
		return false;
	if (has_mac)
		stack_note_neighbour(stack, &message->src, &mac, message->port);
	router_adv_solicited(stack->router_adv, &message->src, &message->from);
	return true;
}

void nd_input(struct stack *stack, const struct nd_message *message)
{
	struct wire_reader r = wire_reader(message->icmp, message->size);
	uint8_t type = wire_u8(&r);
	uint8_t code = wire_u8(&r);
	bool valid = false;

	wire_skip(&r, 2); /* the checksum */
	if (message->hop_limit == HOP_LIMIT && code == 0 &&
	    message->size >= (type == ICMP6_RS ? RS_SIZE : ND_SIZE)) {
		switch (type) {
		case ICMP6_NS:
			valid = input_ns(stack, message, &r);
			break;
		case ICMP6_NA:
			valid = input_na(stack, message, &r);
			break;
		case ICMP6_RS:
			valid = input_rs(stack, message, &r);
			break;
		default:
			break;
		}
	}
	if (!valid)
		stack->counters.rx_invalid++;
}
