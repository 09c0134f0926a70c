/* SPDX-License-Identifier: Apache-2.0 */
/* The address guard: what a guest may claim, whose an address is, and frames made to slip through.
 */
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "netstack/guard.h"
#include "netstack/guard_frame.h"
#include "unit.h"

#define PORTS 8

static const struct mac gateway = {{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}};
static const struct mac all = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

static struct guard *guard;
static uint64_t now_ms;
static struct guard_report report;

/* ---- Frames ---- */

static uint8_t bytes[2048];
static struct wire_writer w;

static struct mac mac_of(unsigned guest)
{
	return (struct mac){{0x52, 0x54, 0, 0, 0, (uint8_t)guest}};
}

static struct addr address(const char *text)
{
	struct addr addr;

	ck_assert_int_eq(addr_parse(text, &addr), 0);
	return addr;
}

static void put_mac(const struct mac *mac)
{
	wire_put_bytes(&w, mac->bytes, MAC_SIZE);
}

static void put_addr(const char *text)
{
	struct addr addr = address(text);

	if (addr.family == AF_INET)
		wire_put_bytes(&w, &addr.v4, 4);
	else
		wire_put_bytes(&w, &addr.v6, 16);
}

static void put_ethernet(const struct mac *src, uint16_t type)
{
	w = wire_writer(bytes, sizeof(bytes));
	put_mac(&all);
	put_mac(src);
	wire_put_be16(&w, type);
}

static void put_arp(const struct mac *sender_mac, const char *sender)
{
	wire_put_be16(&w, 1);
	wire_put_be16(&w, ETHERTYPE_IP);
	wire_put_u8(&w, 6);
	wire_put_u8(&w, 4);
	wire_put_be16(&w, 2);
	put_mac(sender_mac);
	put_addr(sender);
	put_mac(&all);
	put_addr("192.168.65.1");
}

static void put_ip4(const char *src, uint8_t protocol, uint16_t fragment)
{
	wire_put_be32(&w, 0x45000000 | 60);
	wire_put_be16(&w, 1);
	wire_put_be16(&w, fragment);
	wire_put_u8(&w, 64);
	wire_put_u8(&w, protocol);
	wire_put_be16(&w, 0);
	put_addr(src);
	put_addr("192.168.65.1");
}

static void put_udp(uint16_t src, uint16_t dst)
{
	wire_put_be16(&w, src);
	wire_put_be16(&w, dst);
	wire_put_be32(&w, 0x00080000);
}

static void put_ip6(const char *src, uint8_t next, size_t payload)
{
	wire_put_be32(&w, 0x60000000);
	wire_put_be16(&w, (uint16_t)payload);
	wire_put_u8(&w, next);
	wire_put_u8(&w, 255);
	put_addr(src);
	put_addr("ff02::1");
}

static void put_nd_option(uint8_t type, const struct mac *mac)
{
	wire_put_u8(&w, type);
	wire_put_u8(&w, 1);
	put_mac(mac);
}

static enum guard_verdict check_size(unsigned port, size_t size)
{
	/* Exactly that much memory, so that a sanitizer sees a read behind it. */
	uint8_t *copy = malloc(size ? size : 1);
	struct iovec iov = {.iov_base = copy, .iov_len = size};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = (uint32_t)size};
	enum guard_verdict verdict;

	memcpy(copy, bytes, size);
	memset(&report, 0, sizeof(report));
	verdict = guard_check(guard, port, &frame, now_ms, &report);
	free(copy);
	return verdict;
}

static enum guard_verdict check(unsigned port)
{
	return check_size(port, wire_written(&w));
}

static enum guard_verdict ip4(unsigned port, const struct mac *mac, const char *src)
{
	put_ethernet(mac, ETHERTYPE_IP);
	put_ip4(src, IPPROTO_TCP, 0);
	return check(port);
}

static enum guard_verdict ip6(unsigned port, const struct mac *mac, const char *src)
{
	put_ethernet(mac, ETHERTYPE_IPV6);
	put_ip6(src, IPPROTO_TCP, 0);
	return check(port);
}

static enum guard_verdict arp(unsigned port, const struct mac *mac, const struct mac *sender_mac,
			      const char *sender)
{
	put_ethernet(mac, ETHERTYPE_ARP);
	put_arp(sender_mac, sender);
	return check(port);
}

/* A neighbour solicitation (135) or advertisement (136); `option` 0: none. */
static void put_nd(const struct mac *mac, const char *src, uint8_t type, const char *target,
		   uint8_t option, const struct mac *option_mac)
{
	put_ethernet(mac, ETHERTYPE_IPV6);
	put_ip6(src, IPPROTO_ICMPV6, option ? 32 : 24);
	wire_put_u8(&w, type);
	wire_put_zeros(&w, 7);
	put_addr(target);
	if (option)
		put_nd_option(option, option_mac);
}

static enum guard_verdict nd(unsigned port, const struct mac *mac, const char *src, uint8_t type,
			     const char *target, uint8_t option, const struct mac *option_mac)
{
	put_nd(mac, src, type, target, option, option_mac);
	return check(port);
}

static void setup(void)
{
	struct guard_conf conf = {
		.ports_max = PORTS,
		.mac = gateway,
		.reserved = {address("192.168.65.1"), address("192.168.65.254"), address("fd65::1"),
			     address("fd65::fe")},
	};

	prefix_parse("192.168.65.0/24", &conf.subnet);
	prefix_parse("fd65::/64", &conf.prefix6);
	now_ms = 1000000;
	ck_assert_int_eq(guard_new(&conf, &guard), 0);
}

static void teardown(void)
{
	guard_free(guard);
}

/* ---- Whose an address is ---- */

START_TEST(first_come_first_served)
{
	struct mac a = mac_of(1), b = mac_of(2);
	struct addr addr = address("192.168.65.2");

	ck_assert_int_eq(ip4(1, &a, "192.168.65.2"), GUARD_PASS);
	ck_assert_int_eq(ip4(1, &a, "192.168.65.2"), GUARD_PASS);
	ck_assert_uint_eq(guard_owner(guard, &addr), 1);
	ck_assert_int_eq(ip4(2, &b, "192.168.65.2"), GUARD_IP);
	ck_assert(addr_equal(&report.addr, &addr));
	ck_assert_uint_eq(report.owner, 1);
	ck_assert_int_eq(ip4(2, &b, "192.168.65.3"), GUARD_PASS);
	ck_assert_int_eq(ip4(1, &a, "192.168.65.3"), GUARD_IP);
	/* Who has several addresses has them all; between the MACs of a port they move freely. */
	ck_assert_int_eq(ip4(1, &a, "192.168.65.4"), GUARD_PASS);
	ck_assert_int_eq(ip4(1, &(struct mac){{2, 0, 0, 0, 0, 9}}, "192.168.65.4"), GUARD_PASS);
	ck_assert_int_eq(ip4(1, &a, "192.168.65.2"), GUARD_PASS);
	/* IPv6, the guests' prefix and link-local. */
	ck_assert_int_eq(ip6(1, &a, "fd65::2"), GUARD_PASS);
	ck_assert_int_eq(ip6(2, &b, "fd65::2"), GUARD_IP);
	ck_assert_int_eq(ip6(1, &a, "fe80::2"), GUARD_PASS);
	ck_assert_int_eq(ip6(2, &b, "fe80::2"), GUARD_IP);
}
END_TEST

START_TEST(macs_are_bound)
{
	struct mac a = mac_of(1), b = mac_of(2);

	ck_assert_int_eq(ip4(1, &a, "192.168.65.2"), GUARD_PASS);
	ck_assert_int_eq(ip4(2, &a, "192.168.65.3"), GUARD_MAC);
	ck_assert_uint_eq(report.owner, 1);
	/* Whatever it carries. */
	put_ethernet(&a, 0x88b5);
	ck_assert_int_eq(check(2), GUARD_MAC);
	put_ethernet(&b, 0x88b5);
	ck_assert_int_eq(check(2), GUARD_PASS);
	put_ethernet(&gateway, 0x88b5);
	ck_assert_int_eq(check(2), GUARD_MAC);
	put_ethernet(&all, 0x88b5);
	ck_assert_int_eq(check(2), GUARD_MAC);
}
END_TEST

static const char *const nobodys[] = {
	"192.168.65.1",    "192.168.65.254",
	"192.168.65.0",    "192.168.65.255",
	"255.255.255.255", "127.0.0.1",
	"224.0.0.1",       "fd65::1",
	"fd65::fe",        "::1",
	"ff02::1",         "fe80::5894:efff:fee4:cdd",
};

START_TEST(nobodys_addresses)
{
	struct mac a = mac_of(1);
	const char *text = nobodys[_i];

	if (strchr(text, ':')) {
		ck_assert_int_eq(ip6(1, &a, text), GUARD_IP);
		ck_assert_int_eq(nd(1, &a, "fd65::2", 136, text, 2, &a), GUARD_ND);
	} else {
		ck_assert_int_eq(ip4(1, &a, text), GUARD_IP);
		ck_assert_int_eq(arp(1, &a, &a, text), GUARD_ARP);
	}
	ck_assert_uint_eq(report.owner, 0);
	ck_assert_uint_eq(guard_owner(guard, &(struct addr){.family = AF_INET}), 0);
}
END_TEST

START_TEST(others_networks_pass)
{
	struct mac a = mac_of(1), b = mac_of(2);

	/* Containers behind guests: two may have the same. */
	ck_assert_int_eq(ip4(1, &a, "10.88.0.2"), GUARD_PASS);
	ck_assert_int_eq(ip4(2, &b, "10.88.0.2"), GUARD_PASS);
	ck_assert_int_eq(ip6(1, &a, "2001:db8::2"), GUARD_PASS);
	ck_assert_int_eq(ip6(2, &b, "2001:db8::2"), GUARD_PASS);
	ck_assert_int_eq(arp(1, &a, &a, "10.88.0.2"), GUARD_PASS);
	/* Their MACs are looked after all the same. */
	ck_assert_int_eq(ip4(2, &a, "10.88.0.2"), GUARD_MAC);
	/* Who has no address yet. */
	ck_assert_int_eq(ip4(1, &a, "0.0.0.0"), GUARD_PASS);
	ck_assert_int_eq(ip4(2, &b, "0.0.0.0"), GUARD_PASS);
	ck_assert_int_eq(ip6(1, &a, "::"), GUARD_PASS);
	ck_assert_int_eq(ip6(2, &b, "::"), GUARD_PASS);
	ck_assert_uint_eq(guard_count(guard, 1), 1);
}
END_TEST

START_TEST(unused_addresses_age)
{
	struct mac a = mac_of(1), b = mac_of(2);

	ck_assert_int_eq(ip4(1, &a, "192.168.65.2"), GUARD_PASS);
	now_ms += GUARD_IDLE_MS - 1;
	ck_assert_int_eq(ip4(2, &b, "192.168.65.2"), GUARD_IP);
	now_ms += 1;
	/* Nobody else wanted it: it is still there. */
	ck_assert_int_eq(ip4(1, &a, "192.168.65.2"), GUARD_PASS);
	now_ms += GUARD_IDLE_MS;
	ck_assert_int_eq(ip4(2, &b, "192.168.65.2"), GUARD_PASS);
	ck_assert_int_eq(ip4(1, &a, "192.168.65.2"), GUARD_IP);
	/* MACs too. */
	now_ms += GUARD_IDLE_MS;
	ck_assert_int_eq(ip4(3, &a, "192.168.65.9"), GUARD_PASS);
	ck_assert_int_eq(ip4(1, &a, "192.168.65.9"), GUARD_MAC);
}
END_TEST

START_TEST(a_port_that_goes_leaves_its_addresses)
{
	struct mac a = mac_of(1), b = mac_of(2);

	ck_assert_int_eq(ip4(1, &a, "192.168.65.2"), GUARD_PASS);
	ck_assert_int_eq(ip4(2, &a, "192.168.65.2"), GUARD_MAC);
	guard_port_gone(guard, 1);
	ck_assert_uint_eq(guard_count(guard, 1), 0);
	ck_assert_int_eq(ip4(2, &a, "192.168.65.2"), GUARD_PASS);
	ck_assert_int_eq(ip4(1, &b, "192.168.65.2"), GUARD_IP);
}
END_TEST

START_TEST(leases)
{
	struct mac a = mac_of(1), b = mac_of(2), c = mac_of(3);
	struct addr addr = address("192.168.65.2"), other = address("192.168.65.7");

	/* A lease goes before use. */
	ck_assert_int_eq(ip4(2, &b, "192.168.65.2"), GUARD_PASS);
	ck_assert_int_eq(ip4(1, &a, "0.0.0.0"), GUARD_PASS);
	ck_assert_int_eq(guard_lease(guard, &addr, &a, 1, now_ms), 0);
	ck_assert_int_eq(ip4(2, &b, "192.168.65.2"), GUARD_IP);
	ck_assert_int_eq(ip4(1, &a, "192.168.65.2"), GUARD_PASS);
	/* It doesn't age, and neither does its MAC. */
	now_ms += 10 * GUARD_IDLE_MS;
	ck_assert_int_eq(ip4(2, &b, "192.168.65.2"), GUARD_IP);
	ck_assert_int_eq(ip4(2, &a, "192.168.65.3"), GUARD_MAC);
	/* It waits for its guest, while no other may have it. */
	guard_port_gone(guard, 1);
	ck_assert_uint_eq(guard_count(guard, 0), 1);
	ck_assert_int_eq(ip4(2, &b, "192.168.65.2"), GUARD_IP);
	ck_assert_int_eq(ip4(3, &a, "192.168.65.2"), GUARD_PASS);
	ck_assert_uint_eq(guard_owner(guard, &addr), 3);
	ck_assert_uint_eq(guard_count(guard, 0), 0);
	/* Who forges a client identifier gets a lease from the server, and nothing by it. */
	now_ms += 10 * GUARD_IDLE_MS;
	ck_assert_int_eq(guard_lease(guard, &addr, &c, 4, now_ms), -EADDRINUSE);
	ck_assert_int_eq(ip4(4, &c, "192.168.65.2"), GUARD_IP);
	ck_assert_int_eq(ip4(3, &a, "192.168.65.2"), GUARD_PASS);
	ck_assert_int_eq(guard_lease(guard, &addr, &a, 3, now_ms), 0);
	/* It ends. */
	guard_unlease(guard, &addr);
	ck_assert_int_eq(ip4(2, &b, "192.168.65.2"), GUARD_PASS);
	guard_unlease(guard, &addr); /* none any more */
	ck_assert_int_eq(ip4(2, &b, "192.168.65.2"), GUARD_PASS);
	/* Without a port: where the MAC is, or where it will be. */
	ck_assert_int_eq(guard_lease(guard, &other, &b, 0, now_ms), 0);
	ck_assert_uint_eq(guard_owner(guard, &other), 2);
	guard_unlease(guard, &other);
	ck_assert_int_eq(guard_lease(guard, &other, &c, 0, now_ms), 0);
	ck_assert_int_eq(ip4(5, &b, "192.168.65.7"), GUARD_MAC);
	ck_assert_int_eq(ip4(4, &c, "192.168.65.7"), GUARD_PASS);
	/* Of other networks, or nobody's: not our business. */
	other = address("10.0.0.1");
	ck_assert_int_eq(guard_lease(guard, &other, &c, 4, now_ms), 0);
	ck_assert_uint_eq(guard_owner(guard, &other), 0);
}
END_TEST

START_TEST(bindings_are_bounded)
{
	struct mac a = mac_of(1), b = mac_of(2);
	struct addr leased = address("192.168.65.200");
	char text[ADDR_TEXT_MAX];

	ck_assert_int_eq(ip4(2, &b, "192.168.65.2"), GUARD_PASS);
	ck_assert_int_eq(guard_lease(guard, &leased, &a, 1, now_ms), 0);
	for (unsigned i = 0; i < 20000; i++) {
		struct mac mac = {{2, 0, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, 0}};

		snprintf(text, sizeof(text), "fd65::1:%x:%x", i >> 8, i & 0xff);
		now_ms += i % 2;
		ck_assert_int_eq(ip6(1, &mac, text), GUARD_PASS);
		ck_assert_uint_le(guard_count(guard, 1), GUARD_BINDINGS_MAX);
	}
	/* Another's are as they were, and so is its own lease. */
	ck_assert_int_eq(ip4(1, &a, "192.168.65.2"), GUARD_IP);
	ck_assert_int_eq(ip4(2, &b, "192.168.65.2"), GUARD_PASS);
	ck_assert_uint_eq(guard_owner(guard, &leased), 1);
	/* Leases are bounded as well, there and waiting. */
	for (unsigned i = 0; i < GUARD_WAITING_MAX + 10; i++) {
		struct addr addr = address("fd65::");

		addr.v6.s6_addr[12] = 1;
		addr.v6.s6_addr[14] = (uint8_t)(i >> 8);
		addr.v6.s6_addr[15] = (uint8_t)i;
		ck_assert_int_eq(guard_lease(guard, &addr, &a, i % 2 ? 3 : 0, now_ms), 0);
	}
	for (unsigned i = 0; i <= GUARD_WAITING_MAX; i++)
		guard_port_gone(guard, 3);
	ck_assert_uint_le(guard_count(guard, 0), GUARD_WAITING_MAX);
}
END_TEST

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
	/* A probe for another's goes through, for that one to answer. */
	ck_assert_int_eq(nd(2, &b, "::", 135, "fd65::2", 0, NULL), GUARD_PASS);
	ck_assert_uint_eq(guard_owner(guard, &addr), 1);
	ck_assert_int_eq(nd(2, &b, "::", 135, "fd65::1", 0, NULL), GUARD_PASS);
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
	Suite *suite = suite_create("guard");
	TCase *tcase = unit_case(suite, "guard", setup, teardown);

	tcase_add_test(tcase, first_come_first_served);
	tcase_add_test(tcase, macs_are_bound);
	tcase_add_loop_test(tcase, nobodys_addresses, 0, sizeof(nobodys) / sizeof(nobodys[0]));
	tcase_add_test(tcase, others_networks_pass);
	tcase_add_test(tcase, unused_addresses_age);
	tcase_add_test(tcase, a_port_that_goes_leaves_its_addresses);
	tcase_add_test(tcase, leases);
	tcase_add_test(tcase, bindings_are_bounded);
	tcase_add_test(tcase, arp_speaks_for_its_sender);
	tcase_add_test(tcase, nd_speaks_for_its_sender);
	tcase_add_test(tcase, duplicate_address_detection);
	tcase_add_test(tcase, bad_nd_options);
	tcase_add_loop_test(tcase, routers_and_servers, BARE, VLAN_0 + 1);
	tcase_add_test(tcase, dhcp_replies);
	tcase_add_test(tcase, vlans);
	tcase_add_test(tcase, truncated);
	return unit_run(suite);
}
