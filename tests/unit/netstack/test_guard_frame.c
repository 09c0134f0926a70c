/* SPDX-License-Identifier: Apache-2.0 */
/* What the guard reads in frames: what a guest may claim, and frames made to slip through. */
#include "guard_test.h"

/* ---- ARP and neighbour discovery ---- */

START_TEST(arp_speaks_for_its_sender)
{
	struct mac a = mac_of(1), b = mac_of(2);

	ck_assert_int_eq(arp(1, &a, &a, "192.168.65.2"), GUARD_PASS);
	ck_assert_int_eq(arp(2, &b, &b, "192.168.65.2"), GUARD_ARP);
	ck_assert_int_eq(arp(2, &b, &a, "192.168.65.3"), GUARD_ARP);
	ck_assert_int_eq(arp(2, &b, &gateway, "192.168.65.1"), GUARD_ARP);
	ck_assert_int_eq(arp(2, &b, &b, "192.168.65.1"), GUARD_ARP);
	ck_assert_int_eq(arp(2, &b, &b, "0.0.0.0"), GUARD_PASS);
	ck_assert_int_eq(arp(2, &b, &a, "0.0.0.0"), GUARD_ARP);
	/* Another kind of hardware, which Linux takes for Ethernet. */
	put_ethernet(&b, ETHERTYPE_ARP);
	put_arp(&b, "192.168.65.2");
	bytes[ETH_HEADER_SIZE + 1] = 6;
	ck_assert_int_eq(check(2), GUARD_ARP);
	/* Other sizes of addresses are nobody's ARP. */
	bytes[ETH_HEADER_SIZE + 4] = 8;
	ck_assert_int_eq(check(2), GUARD_MALFORMED);
}
END_TEST

START_TEST(nd_speaks_for_its_sender)
{
	struct mac a = mac_of(1), b = mac_of(2);

	ck_assert_int_eq(nd(1, &a, "fd65::2", 135, "fd65::3", 1, &a), GUARD_PASS);
	ck_assert_int_eq(nd(1, &a, "fd65::2", 136, "fd65::2", 2, &a), GUARD_PASS);
	ck_assert_int_eq(nd(1, &a, "fd65::2", 136, "fd65::2", 0, NULL), GUARD_PASS);
	/* Another's MAC in an option, as the source or the target. */
	ck_assert_int_eq(nd(2, &b, "fd65::3", 135, "fd65::2", 1, &a), GUARD_ND);
	ck_assert_int_eq(nd(2, &b, "fd65::3", 136, "fd65::3", 2, &a), GUARD_ND);
	ck_assert_int_eq(nd(2, &b, "fd65::3", 135, "fd65::2", 2, &gateway), GUARD_ND);
	/* Another's address. */
	ck_assert_int_eq(nd(2, &b, "fd65::3", 136, "fd65::2", 2, &b), GUARD_ND);
	ck_assert_int_eq(nd(2, &b, "fd65::2", 136, "fd65::2", 2, &b), GUARD_IP);
	ck_assert_int_eq(nd(2, &b, "fd65::3", 136, "fe80::5894:efff:fee4:cdd", 2, &b), GUARD_ND);
	/* A router solicitation. */
	put_ethernet(&b, ETHERTYPE_IPV6);
	put_ip6("fd65::3", IPPROTO_ICMPV6, 16);
	wire_put_u8(&w, 133);
	wire_put_zeros(&w, 7);
	put_nd_option(1, &b);
	ck_assert_int_eq(check(2), GUARD_PASS);
	w.pos -= 8;
	put_nd_option(1, &a);
	ck_assert_int_eq(check(2), GUARD_ND);
}
END_TEST

START_TEST(duplicate_address_detection)
{
	struct mac a = mac_of(1), b = mac_of(2);
	struct addr addr = address("fd65::2");

	/* Whoever probes first has it: nobody can take it in the meantime. */
	ck_assert_int_eq(nd(1, &a, "::", 135, "fd65::2", 0, NULL), GUARD_PASS);
	ck_assert_uint_eq(guard_owner(guard, &addr), 1);
	ck_assert_int_eq(nd(2, &b, "fd65::3", 136, "fd65::2", 2, &b), GUARD_ND);
	/* Nor make it believe that somebody has it. */
	ck_assert_int_eq(nd(2, &b, "::", 135, "fd65::2", 0, NULL), GUARD_ND);
	/* A probe for another's goes through, for that one to answer, once it has it; or when it
	 * has long been silent. */
	ck_assert_int_eq(nd(1, &a, "fd65::2", 136, "fd65::2", 2, &a), GUARD_PASS);
	ck_assert_int_eq(nd(2, &b, "::", 135, "fd65::2", 0, NULL), GUARD_PASS);
	ck_assert_uint_eq(guard_owner(guard, &addr), 1);
	ck_assert_int_eq(nd(1, &a, "::", 135, "fd65::4", 0, NULL), GUARD_PASS);
	now_ms += GUARD_ASKING_MS;
	ck_assert_int_eq(nd(2, &b, "::", 135, "fd65::4", 0, NULL), GUARD_PASS);
	ck_assert_int_eq(nd(2, &b, "::", 135, "fd65::1", 0, NULL), GUARD_PASS);
}
END_TEST

static enum guard_verdict arp_probe(unsigned port, const struct mac *mac, const char *target)
{
	put_ethernet(mac, ETHERTYPE_ARP);
	put_arp(mac, "0.0.0.0");
	w.pos -= 4;
	put_addr(target);
	return check(port);
}

START_TEST(address_conflict_detection)
{
	struct addr leased = address("192.168.65.2");
	struct mac a = mac_of(1), b = mac_of(2);

	/* Who was given an address by DHCP, and probes it, finds it free. */
	ck_assert_int_eq(guard_lease(guard, &leased, &a, 1, now_ms), 0);
	ck_assert_int_eq(arp_probe(2, &b, "192.168.65.2"), GUARD_ARP);
	ck_assert_int_eq(arp_probe(1, &a, "192.168.65.2"), GUARD_PASS);
	ck_assert_int_eq(arp_probe(2, &b, "192.168.65.2"), GUARD_ARP);
	ck_assert_int_eq(arp(1, &a, &a, "192.168.65.2"), GUARD_PASS);
	ck_assert_int_eq(arp_probe(2, &b, "192.168.65.2"), GUARD_PASS);
	/* The gateway answers for itself. */
	ck_assert_int_eq(arp_probe(2, &b, "192.168.65.1"), GUARD_PASS);
}
END_TEST

START_TEST(bad_nd_options)
{
	struct mac a = mac_of(1);

	put_nd(&a, "fd65::2", 136, "fd65::2", 2, &a);
	w.pos[-7] = 0; /* its length */
	ck_assert_int_eq(check(1), GUARD_ND);
	w.pos[-7] = 2;
	ck_assert_int_eq(check(1), GUARD_ND);
	/* Behind another option. */
	put_nd(&a, "fd65::2", 136, "fd65::2", 14, &a);
	put_nd_option(2, &gateway);
	bytes[ETH_HEADER_SIZE + 5] = 40;
	ck_assert_int_eq(check(1), GUARD_ND);
	/* Behind the end of the packet: padding. */
	bytes[ETH_HEADER_SIZE + 5] = 32;
	ck_assert_int_eq(check(1), GUARD_PASS);
}
END_TEST

/* ---- What guests never send ---- */

enum wrapping { BARE, HOP_BY_HOP, MANY, TOO_MANY, AUTHENTICATION, FIRST_FRAGMENT, ATOMIC, VLAN_0 };

/* IPv6 up to the upper-layer header `next`, wrapped up in things to look through. */
static void put_wrapped(const struct mac *mac, enum wrapping wrapping, uint8_t next)
{
	unsigned extensions = wrapping == HOP_BY_HOP ? 1
			      : wrapping == MANY     ? 10
			      : wrapping == TOO_MANY ? 17
						     : 0;
	uint8_t first = extensions                                         ? IPPROTO_DSTOPTS
			: wrapping == AUTHENTICATION                       ? IPPROTO_AH
			: wrapping == FIRST_FRAGMENT || wrapping == ATOMIC ? IPPROTO_FRAGMENT
									   : next;

	put_ethernet(mac, wrapping == VLAN_0 ? ETHERTYPE_VLAN : ETHERTYPE_IPV6);
	if (wrapping == VLAN_0) {
		wire_put_be16(&w, 0xe000); /* a priority */
		wire_put_be16(&w, 0x88a8);
		wire_put_be16(&w, 0);
		wire_put_be16(&w, ETHERTYPE_IPV6);
	}
	put_ip6("fd65::2", first, 0);
	for (unsigned i = 0; i < extensions; i++) {
		wire_put_u8(&w, i + 1 < extensions ? IPPROTO_DSTOPTS : next);
		wire_put_zeros(&w, 7);
	}
	if (wrapping == AUTHENTICATION) {
		wire_put_u8(&w, next);
		wire_put_u8(&w, 4);
		wire_put_zeros(&w, 22);
	}
	if (first == IPPROTO_FRAGMENT) {
		wire_put_u8(&w, next);
		wire_put_u8(&w, 0);
		wire_put_be16(&w, wrapping == FIRST_FRAGMENT ? 1 : 0);
		wire_put_be32(&w, 7);
	}
}

START_TEST(routers_and_servers)
{
	struct mac a = mac_of(1);
	enum wrapping wrapping = (enum wrapping)_i;
	bool fragment = wrapping == FIRST_FRAGMENT || wrapping == ATOMIC;
	bool too_many = wrapping == TOO_MANY;

	put_wrapped(&a, wrapping, IPPROTO_ICMPV6);
	wire_put_u8(&w, 134);
	wire_put_zeros(&w, 15);
	ck_assert_int_eq(check(1), too_many ? GUARD_MALFORMED : GUARD_RA);
	put_wrapped(&a, wrapping, IPPROTO_ICMPV6);
	wire_put_u8(&w, 137);
	wire_put_zeros(&w, 39);
	ck_assert_int_eq(check(1), too_many ? GUARD_MALFORMED : GUARD_RA);
	put_wrapped(&a, wrapping, IPPROTO_UDP);
	put_udp(547, 546);
	ck_assert_int_eq(check(1), too_many ? GUARD_MALFORMED : GUARD_DHCP);
	/* Spoofed neighbour discovery, and good one where nobody fragments it. */
	put_wrapped(&a, wrapping, IPPROTO_ICMPV6);
	wire_put_u8(&w, 136);
	wire_put_zeros(&w, 7);
	put_addr("fd65::1");
	ck_assert_int_eq(check(1), too_many ? GUARD_MALFORMED : GUARD_ND);
	put_wrapped(&a, wrapping, IPPROTO_ICMPV6);
	wire_put_u8(&w, 136);
	wire_put_zeros(&w, 7);
	put_addr("fd65::2");
	ck_assert_int_eq(check(1), too_many ? GUARD_MALFORMED : fragment ? GUARD_ND : GUARD_PASS);
	/* Others pass. */
	put_wrapped(&a, wrapping, IPPROTO_ICMPV6);
	wire_put_u8(&w, 128);
	wire_put_zeros(&w, 7);
	ck_assert_int_eq(check(1), too_many ? GUARD_MALFORMED : GUARD_PASS);
	put_wrapped(&a, wrapping, IPPROTO_UDP);
	put_udp(546, 547);
	ck_assert_int_eq(check(1), too_many ? GUARD_MALFORMED : GUARD_PASS);
	/* A chain that ends before it says what it carries (RFC 7112). */
	put_wrapped(&a, wrapping, IPPROTO_ICMPV6);
	ck_assert_int_eq(check(1), GUARD_MALFORMED);
}
END_TEST

START_TEST(dhcp_replies)
{
	struct mac a = mac_of(1);

	put_ethernet(&a, ETHERTYPE_IP);
	put_ip4("192.168.65.2", IPPROTO_UDP, 0);
	put_udp(67, 68);
	ck_assert_int_eq(check(1), GUARD_DHCP);
	/* Clients don't ask for the source port. */
	put_ethernet(&a, ETHERTYPE_IP);
	put_ip4("192.168.65.2", IPPROTO_UDP, 0x2000);
	put_udp(9999, 68);
	ck_assert_int_eq(check(1), GUARD_DHCP);
	put_ethernet(&a, ETHERTYPE_IP);
	put_ip4("0.0.0.0", IPPROTO_UDP, 0);
	put_udp(68, 67);
	ck_assert_int_eq(check(1), GUARD_PASS);
	/* TCP to that port, and a later fragment that looks like it. */
	put_ethernet(&a, ETHERTYPE_IP);
	put_ip4("192.168.65.2", IPPROTO_TCP, 0);
	put_udp(67, 68);
	ck_assert_int_eq(check(1), GUARD_PASS);
	put_ethernet(&a, ETHERTYPE_IP);
	put_ip4("192.168.65.2", IPPROTO_UDP, 0x00b9);
	put_udp(67, 68);
	ck_assert_int_eq(check(1), GUARD_PASS);
	/* With options in front. */
	put_ethernet(&a, ETHERTYPE_IP);
	put_ip4("192.168.65.2", IPPROTO_UDP, 0);
	bytes[ETH_HEADER_SIZE] = 0x47;
	wire_put_be32(&w, 0x01010101);
	wire_put_be32(&w, 0x01010101);
	put_udp(67, 68);
	ck_assert_int_eq(check(1), GUARD_DHCP);
}
END_TEST

START_TEST(vlans)
{
	struct mac a = mac_of(1), b = mac_of(2);

	ck_assert_int_eq(arp(1, &a, &a, "192.168.65.2"), GUARD_PASS);
	/* A receiver looks through VLAN 0. */
	put_ethernet(&b, ETHERTYPE_VLAN);
	wire_put_be16(&w, 0);
	wire_put_be16(&w, ETHERTYPE_ARP);
	put_arp(&b, "192.168.65.2");
	ck_assert_int_eq(check(2), GUARD_ARP);
	/* Another VLAN is another network. */
	bytes[ETH_HEADER_SIZE + 1] = 7;
	ck_assert_int_eq(check(2), GUARD_PASS);
	/* But its MACs are seen by the same switch. */
	memcpy(bytes + MAC_SIZE, a.bytes, MAC_SIZE);
	ck_assert_int_eq(check(2), GUARD_MAC);
	/* More tags than anybody needs. */
	put_ethernet(&b, ETHERTYPE_VLAN);
	for (int i = 0; i < 10; i++) {
		wire_put_be16(&w, 0);
		wire_put_be16(&w, i < 9 ? ETHERTYPE_VLAN : ETHERTYPE_ARP);
	}
	put_arp(&b, "192.168.65.2");
	ck_assert_int_eq(check(2), GUARD_MALFORMED);
}
END_TEST

/* Every good frame cut at every length: nothing is read behind the end, and nothing of a cut one
 * makes a claim that the whole would not. */
START_TEST(truncated)
{
	struct mac a = mac_of(1), b = mac_of(2);
	size_t size;

	ck_assert_int_eq(ip4(2, &b, "192.168.65.3"), GUARD_PASS);
	ck_assert_int_eq(ip6(2, &b, "fd65::3"), GUARD_PASS);
	put_ethernet(&a, ETHERTYPE_ARP);
	put_arp(&a, "192.168.65.3");
	for (size = 0; size < wire_written(&w); size++)
		ck_assert_int_eq(check_size(1, size), GUARD_MALFORMED);
	put_ethernet(&a, ETHERTYPE_IP);
	put_ip4("192.168.65.2", IPPROTO_UDP, 0);
	put_udp(1, 53);
	for (size = 0; size < ETH_HEADER_SIZE + 24; size++)
		ck_assert_int_eq(check_size(1, size), GUARD_MALFORMED);
	ck_assert_int_eq(check_size(1, size), GUARD_PASS);
	put_nd(&a, "fd65::2", 136, "fd65::2", 2, &a);
	for (size = 0; size < wire_written(&w); size++)
		ck_assert_int_ne(check_size(1, size),
				 size == ETH_HEADER_SIZE + 40 + 24 ? GUARD_VERDICTS : GUARD_PASS);
	put_ethernet(&a, ETHERTYPE_IPV6);
	put_ip6("fd65::2", IPPROTO_TCP, 0);
	bytes[ETH_HEADER_SIZE] = 0x40;
	ck_assert_int_eq(check(1), GUARD_MALFORMED);
	put_ethernet(&a, ETHERTYPE_IP);
	put_ip4("192.168.65.2", IPPROTO_TCP, 0);
	bytes[ETH_HEADER_SIZE] = 0x44;
	ck_assert_int_eq(check(1), GUARD_MALFORMED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guard_frame");
	TCase *tcase = unit_case(suite, "guard_frame", setup, teardown);

	tcase_add_test(tcase, arp_speaks_for_its_sender);
	tcase_add_test(tcase, nd_speaks_for_its_sender);
	tcase_add_test(tcase, duplicate_address_detection);
	tcase_add_test(tcase, address_conflict_detection);
	tcase_add_test(tcase, bad_nd_options);
	tcase_add_loop_test(tcase, routers_and_servers, BARE, VLAN_0 + 1);
	tcase_add_test(tcase, dhcp_replies);
	tcase_add_test(tcase, vlans);
	tcase_add_test(tcase, truncated);
	return unit_run(suite);
}
