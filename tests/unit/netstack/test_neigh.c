/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's neighbour table. */
#include "netstack/neigh.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct mac mac_a = {{2, 0, 0, 0, 0, 0xa}};
static const struct mac mac_b = {{2, 0, 0, 0, 0, 0xb}};

static struct neigh_table *table;

static void setup(void)
{
	ck_assert_int_eq(neigh_table_new(&table), 0);
}

static void teardown(void)
{
	neigh_table_free(table);
}

static struct addr ip(uint32_t n)
{
	return addr_from_v4(0x0a000000 + n);
}

static void learn(uint32_t n, const struct mac *mac, unsigned port)
{
	struct addr addr = ip(n);
	size_t size = 0;

	ck_assert_ptr_null(neigh_learn(table, &addr, mac, port, &size));
}

static const struct neigh *lookup(uint32_t n)
{
	struct addr addr = ip(n);

	return neigh_lookup(table, &addr);
}

START_TEST(learns_and_relearns)
{
	ck_assert_ptr_null(lookup(1));
	learn(1, &mac_a, 3);
	ck_assert(mac_equal(&lookup(1)->mac, &mac_a));
	ck_assert_uint_eq(lookup(1)->port, 3);
	learn(1, &mac_b, 4);
	ck_assert(mac_equal(&lookup(1)->mac, &mac_b));
	ck_assert_uint_eq(lookup(1)->port, 4);
	/* A lease knows no port: what is known stays. */
	learn(1, &mac_a, 0);
	ck_assert(mac_equal(&lookup(1)->mac, &mac_a));
	ck_assert_uint_eq(lookup(1)->port, 4);
	ck_assert_ptr_null(lookup(2));
}
END_TEST

/* As the stack does with a packet whose neighbour isn't known. Returns whether it is to ask. */
static bool hold(const struct addr *addr, const void *packet, size_t size, uint64_t now_ms)
{
	neigh_hold(table, addr, packet, size);
	return neigh_ask(table, addr, now_ms);
}

START_TEST(holds_one_packet)
{
	struct addr addr = ip(1);
	char *held;
	size_t size = 0;

	ck_assert(hold(&addr, "first", 5, 1000));
	ck_assert_ptr_null(lookup(1));
	ck_assert(!hold(&addr, "second", 6, 1500));
	held = neigh_learn(table, &addr, &mac_a, 1, &size);
	ck_assert_uint_eq(size, 6);
	ck_assert_mem_eq(held, "second", 6);
	free(held);
	learn(1, &mac_a, 1);
	/* Resolved: nothing to hold or ask. */
	ck_assert(!hold(&addr, "third", 5, 9000));
	learn(1, &mac_b, 1);
}
END_TEST

START_TEST(asks_once_a_second)
{
	struct addr addr = ip(1), other = ip(2);

	ck_assert(hold(&addr, "x", 1, 1000));
	ck_assert(!hold(&addr, "x", 1, 1999));
	ck_assert(hold(&other, "x", 1, 1999));
	ck_assert(hold(&addr, "x", 1, 2000));
	ck_assert(!hold(&addr, "x", 1, 2999));
}
END_TEST

START_TEST(large_packet_is_not_held)
{
	static char packet[NEIGH_HELD_SIZE_MAX + 1];
	struct addr addr = ip(1);
	size_t size = 0;
	char *held;

	ck_assert(hold(&addr, packet, sizeof(packet), 1000));
	/* The one before stays. */
	neigh_hold(table, &addr, packet, 1);
	neigh_hold(table, &addr, packet, sizeof(packet));
	held = neigh_learn(table, &addr, &mac_a, 1, &size);
	ck_assert_uint_eq(size, 1);
	free(held);
}
END_TEST

START_TEST(port_goes)
{
	struct addr waiting = ip(9);

	learn(1, &mac_a, 1);
	learn(2, &mac_b, 2);
	learn(3, &mac_a, 1);
	hold(&waiting, "x", 1, 1000);
	neigh_forget_port(table, 1);
	ck_assert_ptr_null(lookup(1));
	ck_assert_ptr_null(lookup(3));
	ck_assert_ptr_nonnull(lookup(2));
	neigh_forget_port(table, 2);
	ck_assert_ptr_null(lookup(2));
}
END_TEST

START_TEST(full_table_forgets_the_one_used_longest_ago)
{
	for (uint32_t i = 0; i < NEIGH_ENTRIES_MAX; i++)
		learn(i, &mac_a, 1 + i % 32);
	ck_assert_ptr_nonnull(lookup(0)); /* used now */
	learn(NEIGH_ENTRIES_MAX, &mac_a, 100);
	ck_assert_ptr_nonnull(lookup(0));
	ck_assert_ptr_null(lookup(1));
	for (uint32_t i = 2; i <= NEIGH_ENTRIES_MAX; i++)
		ck_assert_ptr_nonnull(lookup(i));
}
END_TEST

START_TEST(port_pushes_out_its_own_only)
{
	learn(1, &mac_b, 2);
	for (uint32_t i = 0; i < 10 * NEIGH_PORT_ENTRIES_MAX; i++)
		learn(1000 + i, &mac_a, 1);
	ck_assert_ptr_nonnull(lookup(1));
	ck_assert_ptr_null(lookup(1000 + 9 * NEIGH_PORT_ENTRIES_MAX - 1));
	for (uint32_t i = 9 * NEIGH_PORT_ENTRIES_MAX; i < 10 * NEIGH_PORT_ENTRIES_MAX; i++)
		ck_assert_ptr_nonnull(lookup(1000 + i));
	/* A guest that moves to a full port takes a place there, and leaves its own. */
	learn(1, &mac_b, 1);
	ck_assert_ptr_null(lookup(1000 + 9 * NEIGH_PORT_ENTRIES_MAX));
	neigh_forget_port(table, 2);
	ck_assert_ptr_nonnull(lookup(1));
	neigh_forget_port(table, 1);
	ck_assert_ptr_null(lookup(1));
	ck_assert_ptr_null(lookup(1000 + 10 * NEIGH_PORT_ENTRIES_MAX - 1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("neigh");
	TCase *tcase = unit_case(suite, "neigh", setup, teardown);

	tcase_add_test(tcase, learns_and_relearns);
	tcase_add_test(tcase, holds_one_packet);
	tcase_add_test(tcase, asks_once_a_second);
	tcase_add_test(tcase, large_packet_is_not_held);
	tcase_add_test(tcase, port_goes);
	tcase_add_test(tcase, port_pushes_out_its_own_only);
	tcase_add_test(tcase, full_table_forgets_the_one_used_longest_ago);
	return unit_run(suite);
}
