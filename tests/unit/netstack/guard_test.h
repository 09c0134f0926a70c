/* SPDX-License-Identifier: Apache-2.0 */
/* What the guard's tests share: a guard, a clock, and frames as guests of it would make them. */
#ifndef TESTS_UNIT_NETSTACK_GUARD_TEST_H
#define TESTS_UNIT_NETSTACK_GUARD_TEST_H

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

static inline struct mac mac_of(unsigned guest)
{
	return (struct mac){{0x52, 0x54, 0, 0, 0, (uint8_t)guest}};
}

static inline struct addr address(const char *text)
{
	struct addr addr;

	ck_assert_int_eq(addr_parse(text, &addr), 0);
	return addr;
}

static inline void put_mac(const struct mac *mac)
{
	wire_put_bytes(&w, mac->bytes, MAC_SIZE);
}

static inline void put_addr(const char *text)
{
	struct addr addr = address(text);

	if (addr.family == AF_INET)
		wire_put_bytes(&w, &addr.v4, 4);
	else
		wire_put_bytes(&w, &addr.v6, 16);
}

static inline void put_ethernet(const struct mac *src, uint16_t type)
{
	w = wire_writer(bytes, sizeof(bytes));
	put_mac(&all);
	put_mac(src);
	wire_put_be16(&w, type);
}

static inline void put_arp(const struct mac *sender_mac, const char *sender)
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

static inline void put_ip4(const char *src, uint8_t protocol, uint16_t fragment)
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

static inline void put_udp(uint16_t src, uint16_t dst)
{
	wire_put_be16(&w, src);
	wire_put_be16(&w, dst);
	wire_put_be32(&w, 0x00080000);
}

static inline void put_ip6(const char *src, uint8_t next, size_t payload)
{
	wire_put_be32(&w, 0x60000000);
	wire_put_be16(&w, (uint16_t)payload);
	wire_put_u8(&w, next);
	wire_put_u8(&w, 255);
	put_addr(src);
	put_addr("ff02::1");
}

static inline void put_nd_option(uint8_t type, const struct mac *mac)
{
	wire_put_u8(&w, type);
	wire_put_u8(&w, 1);
	put_mac(mac);
}

static inline enum guard_verdict check_size(unsigned port, size_t size)
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

static inline enum guard_verdict check(unsigned port)
{
	return check_size(port, wire_written(&w));
}

static inline enum guard_verdict ip4(unsigned port, const struct mac *mac, const char *src)
{
	put_ethernet(mac, ETHERTYPE_IP);
	put_ip4(src, IPPROTO_TCP, 0);
	return check(port);
}

static inline enum guard_verdict ip6(unsigned port, const struct mac *mac, const char *src)
{
	put_ethernet(mac, ETHERTYPE_IPV6);
	put_ip6(src, IPPROTO_TCP, 0);
	return check(port);
}

static inline enum guard_verdict arp(unsigned port, const struct mac *mac,
				     const struct mac *sender_mac, const char *sender)
{
	put_ethernet(mac, ETHERTYPE_ARP);
	put_arp(sender_mac, sender);
	return check(port);
}

/* A neighbour solicitation (135) or advertisement (136); `option` 0: none. */
static inline void put_nd(const struct mac *mac, const char *src, uint8_t type, const char *target,
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

static inline enum guard_verdict nd(unsigned port, const struct mac *mac, const char *src,
				    uint8_t type, const char *target, uint8_t option,
				    const struct mac *option_mac)
{
	put_nd(mac, src, type, target, option, option_mac);
	return check(port);
}

static inline void setup(void)
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

static inline void teardown(void)
{
	guard_free(guard);
}

#endif
