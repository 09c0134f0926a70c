/* SPDX-License-Identifier: Apache-2.0 */
/* The address guard: whose an address is, and for how long. */
#include "guard_test.h"

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
	return unit_run(suite);
}
