/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what a guest's frame claims: see guard_frame.h. Knows nothing of whose addresses are whose.
 */
#include "netstack/guard_frame.h"

#include <netinet/in.h>

#include "base/wire.h"
#include "netstack/bytes.h"

/* Linux looks through any number of tags with VLAN 0; nobody sends more than two. */
#define VLAN_TAGS_MAX 4
#define VLAN_ID_MASK  0x0fff

#define ARP_PROTOCOL_SIZE 4

/* More extension headers than anybody makes; Linux takes any number. */
#define EXTENSIONS_MAX 16
#define FRAGMENT_MASK6 0xfff8 /* the offset */

#define DHCP_CLIENT_PORT  68
#define DHCP6_CLIENT_PORT 546

#define ND_ROUTER_SOLICITATION    133
#define ND_ROUTER_ADVERTISEMENT   134
#define ND_NEIGHBOR_SOLICITATION  135
#define ND_NEIGHBOR_ADVERTISEMENT 136
#define ND_REDIRECT               137
#define ND_OPTION_SOURCE          1
#define ND_OPTION_TARGET          2

static void claim(struct guard_facts *facts, const struct addr *addr, enum guard_verdict otherwise,
		  bool is_tentative)
{
	facts->claims[facts->claim_count++] = (struct guard_claim){
		.addr = *addr, .otherwise = otherwise, .is_tentative = is_tentative};
}

static enum guard_verdict read_arp(struct wire_reader *r, struct guard_facts *facts)
{
	struct addr sender = {.family = AF_INET}, target = {.family = AF_INET};
	struct mac sender_mac;
	uint16_t protocol;
	uint8_t mac_size, address_size;

	/* Whatever kind of hardware it says: Linux takes more than one for Ethernet. */
	wire_skip(r, 2);
	protocol = wire_be16(r);
	mac_size = wire_u8(r);
	address_size = wire_u8(r);
	wire_skip(r, 2);
	wire_copy(r, sender_mac.bytes, MAC_SIZE);
	wire_copy(r, &sender.v4, sizeof(sender.v4));
	wire_skip(r, MAC_SIZE);
	wire_copy(r, &target.v4, sizeof(target.v4));
	if (!wire_ok(r) || protocol != ETHERTYPE_IPV4 || mac_size != MAC_SIZE ||
	    address_size != ARP_PROTOCOL_SIZE)
		return GUARD_MALFORMED;
	if (!mac_equal(&sender_mac, &facts->src))
		return GUARD_ARP;
	/* From 0.0.0.0: a probe, which nobody learns from (RFC 5227, 2.1.1). */
	if (!addr_is_any(&sender))
		claim(facts, &sender, GUARD_ARP, false);
	else if (!addr_is_any(&target))
		claim(facts, &target, GUARD_ARP, true);
	return GUARD_PASS;
}

/* `r` stands at a UDP header. Clients take a reply by the port that it goes to, so that is enough
 * to make one. */
static enum guard_verdict read_udp(struct wire_reader *r, uint16_t dhcp_client_port)
{
	uint16_t port;

	wire_skip(r, 2);
	port = wire_be16(r);
	if (!wire_ok(r))
		return GUARD_MALFORMED;
	return port == dhcp_client_port ? GUARD_DHCP : GUARD_PASS;
}

static enum guard_verdict read_ip4(struct wire_reader *r, struct guard_facts *facts)
{
	struct addr src = {.family = AF_INET};
	uint8_t first = wire_u8(r);
	size_t header_size = (size_t)(first & 0x0f) * 4;
	uint16_t fragment;
	uint8_t protocol;

	wire_skip(r, IPV4_AT_FRAGMENT - 1);
	fragment = wire_be16(r);
	wire_skip(r, 1);
	protocol = wire_u8(r);
	wire_skip(r, 2);
	wire_copy(r, &src.v4, sizeof(src.v4));
	wire_skip(r, 4);
	if (!wire_ok(r) || first >> 4 != 4 || header_size < IPV4_HEADER_SIZE)
		return GUARD_MALFORMED;
	if (!addr_is_any(&src))
		claim(facts, &src, GUARD_IP, false);
	if (protocol != IPPROTO_UDP || fragment & IPV4_FRAGMENT_OFFSET)
		return GUARD_PASS;
	wire_skip(r, header_size - IPV4_HEADER_SIZE);
	return read_udp(r, DHCP_CLIENT_PORT);
}

/* The options, to the end of the message: those with a MAC must name the sender's. */
static enum guard_verdict read_nd_options(struct wire_reader *r, const struct guard_facts *facts)
{
	while (wire_left(r)) {
		uint8_t type = wire_u8(r);
		size_t size = (size_t)wire_u8(r) * 8;
		struct wire_reader option = wire_sub(r, size >= 2 ? size - 2 : 0);
		struct mac mac;

		wire_copy(&option, mac.bytes, MAC_SIZE);
		if (!wire_ok(&option) || !size)
			return GUARD_ND;
		if ((type == ND_OPTION_SOURCE || type == ND_OPTION_TARGET) &&
		    !mac_equal(&mac, &facts->src))
			return GUARD_ND;
	}
	return wire_ok(r) ? GUARD_PASS : GUARD_ND;
}

/* `r` stands behind the checksum of a neighbour discovery message (RFC 4861, 4). */
static enum guard_verdict read_nd(struct wire_reader *r, uint8_t type, bool is_probe,
				  struct guard_facts *facts)
{
	struct addr target = {.family = AF_INET6};

	wire_skip(r, 4);
	if (type != ND_ROUTER_SOLICITATION)
		wire_copy(r, &target.v6, sizeof(target.v6));
	if (!wire_ok(r))
		return GUARD_MALFORMED;
	if (type == ND_NEIGHBOR_ADVERTISEMENT)
		claim(facts, &target, GUARD_ND, false);
	else if (type == ND_NEIGHBOR_SOLICITATION && is_probe)
		claim(facts, &target, GUARD_ND, true);
	return read_nd_options(r, facts);
}

static enum guard_verdict read_icmp6(struct wire_reader *r, bool is_fragment, bool is_probe,
				     struct guard_facts *facts)
{
	uint8_t type = wire_u8(r);

	if (!wire_ok(r))
		return GUARD_MALFORMED;
	if (type == ND_ROUTER_ADVERTISEMENT || type == ND_REDIRECT)
		return GUARD_RA;
	if (type < ND_ROUTER_SOLICITATION || type > ND_REDIRECT)
		return GUARD_PASS;
	if (is_fragment)
		return GUARD_ND;
	wire_skip(r, 3);
	return read_nd(r, type, is_probe, facts);
}

/* Skips extension headers (RFC 8200, 4; RFC 4302). Leaves `r` at the header that *next names, or
 * returns false where there is none to look at: a fragment behind the first. Where the chain ends
 * too early, or goes on for too long, `r` has failed. */
static bool skip_extensions(struct wire_reader *r, uint8_t *next, bool *ret_fragment)
{
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		uint8_t this = *next;
		size_t size;

		switch (this) {
		case IPPROTO_FRAGMENT:
			*next = wire_u8(r);
			wire_skip(r, 1);
			*ret_fragment = true;
			if (wire_be16(r) & FRAGMENT_MASK6)
				return false;
			wire_skip(r, 4);
			break;
		case IPPROTO_AH:
			*next = wire_u8(r);
			size = ((size_t)wire_u8(r) + 2) * 4;
			wire_skip(r, size - 2);
			break;
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_MH:
		case 139: /* HIP */
		case 140: /* Shim6 */
			*next = wire_u8(r);
			size = ((size_t)wire_u8(r) + 1) * 8;
			wire_skip(r, size - 2);
			break;
		default:
			return true;
		}
	}
	r->failed = true;
	return true;
}

static enum guard_verdict read_ip6(struct wire_reader *r, struct guard_facts *facts)
{
	struct addr src = {.family = AF_INET6};
	uint8_t first = wire_u8(r);
	bool is_fragment = false;
	uint16_t payload_size;
	uint8_t next;

	wire_skip(r, IPV6_AT_PAYLOAD_SIZE - 1);
	payload_size = wire_be16(r);
	next = wire_u8(r);
	wire_skip(r, 1);
	wire_copy(r, &src.v6, sizeof(src.v6));
	wire_skip(r, sizeof(src.v6));
	if (!wire_ok(r) || first >> 4 != 6)
		return GUARD_MALFORMED;
	if (!addr_is_any(&src))
		claim(facts, &src, GUARD_IP, false);
	/* Ethernet padding is no part of it. 0: a jumbogram, or nothing. */
	if (payload_size && payload_size < wire_left(r))
		r->end = r->pos + payload_size;
	if (!skip_extensions(r, &next, &is_fragment))
		return wire_ok(r) ? GUARD_PASS : GUARD_MALFORMED;
	if (!wire_ok(r))
		return GUARD_MALFORMED;
	if (next == IPPROTO_UDP)
		return read_udp(r, DHCP6_CLIENT_PORT);
	if (next == IPPROTO_ICMPV6)
		return read_icmp6(r, is_fragment, addr_is_any(&src), facts);
	return GUARD_PASS;
}

static enum guard_verdict read_frame(struct wire_reader *r, struct guard_facts *facts)
{
	uint16_t type;

	wire_skip(r, MAC_SIZE);
	wire_copy(r, facts->src.bytes, MAC_SIZE);
	type = wire_be16(r);
	for (int i = 0; type == ETHERTYPE_VLAN || type == ETHERTYPE_VLAN_SERVICE; i++) {
		uint16_t tag = wire_be16(r);

		type = wire_be16(r);
		if (i == VLAN_TAGS_MAX)
			return GUARD_MALFORMED;
		if (wire_ok(r) && tag & VLAN_ID_MASK)
			return GUARD_PASS;
	}
	if (!wire_ok(r))
		return GUARD_MALFORMED;
	switch (type) {
	case ETHERTYPE_ARP:
		return read_arp(r, facts);
	case ETHERTYPE_IPV4:
		return read_ip4(r, facts);
	case ETHERTYPE_IPV6:
		return read_ip6(r, facts);
	default:
		return GUARD_PASS;
	}
}

void guard_read_frame(const struct frame *frame, struct guard_facts *ret_facts)
{
	struct wire_reader r = wire_reader(frame->iov_count ? frame->iov[0].iov_base : NULL,
					   frame->iov_count ? frame->iov[0].iov_len : 0);

	*ret_facts = (struct guard_facts){0};
	ret_facts->verdict = read_frame(&r, ret_facts);
}
