/* SPDX-License-Identifier: Apache-2.0 */
/* The learning table: moving, aging, and who makes room when it is full. */
#include <stdlib.h>

#include "netstack/switch_table.h"
#include "sim/sim_packet.h"
#include "unit.h"

#define ENTRIES 64
#define PORTS   8
#define AGE_MS  1000

static struct switch_table *table;

static void setup(void)
{
	ck_assert_int_eq(switch_table_new(ENTRIES, PORTS, AGE_MS, &table), 0);
}

static void teardown(void)
{
	switch_table_free(table);
}

static struct mac mac_of(unsigned n)
{
	return (struct mac){{2, 0, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};
}

static void learn(unsigned n, unsigned port, uint64_t now_ms)
{
	struct mac mac = mac_of(n);

	switch_table_learn(table, &mac, port, now_ms);
}

static unsigned lookup(unsigned n, uint64_t now_ms)
{
	struct mac mac = mac_of(n);

	return switch_table_lookup(table, &mac, now_ms);
}

START_TEST(learns_and_moves)
{
	ck_assert_uint_eq(lookup(1, 0), 0);
	learn(1, 3, 0);
	learn(2, 4, 0);
	ck_assert_uint_eq(lookup(1, 0), 3);
	ck_assert_uint_eq(lookup(2, 0), 4);
	learn(1, PORTS, 1);
	ck_assert_uint_eq(lookup(1, 1), PORTS);
	ck_assert_uint_eq(switch_table_count(table), 2);
}
END_TEST

START_TEST(ages)
{
	learn(1, 1, 0);
	learn(2, 1, 0);
	ck_assert_uint_eq(lookup(1, AGE_MS - 1), 1);
	learn(1, 1, AGE_MS - 1);
	ck_assert_uint_eq(lookup(2, AGE_MS), 0);
	ck_assert_uint_eq(lookup(1, AGE_MS), 1);
	ck_assert_uint_eq(lookup(1, 2 * AGE_MS - 1), 0);
	ck_assert_uint_eq(switch_table_count(table), 0);
}
END_TEST

START_TEST(forgets_a_port)
{
	for (unsigned i = 0; i < 30; i++)
		learn(i, 1 + i % 3, 0);
	switch_table_forget_port(table, 2);
	for (unsigned i = 0; i < 30; i++)
		ck_assert_uint_eq(lookup(i, 0), i % 3 == 1 ? 0 : 1 + i % 3);
	ck_assert_uint_eq(switch_table_count(table), 20);
}
END_TEST

static void count_visit(void *arg, const struct mac *mac, unsigned port)
{
	unsigned *counts = arg;

	ck_assert_uint_eq(mac->bytes[5], port * 10);
	counts[port]++;
}

START_TEST(visits_what_has_not_aged)
{
	unsigned counts[PORTS + 1] = {0};

	learn(10, 1, 0);
	learn(30, 3, 500);
	learn(40, 4, 500);
	switch_table_for_each(table, AGE_MS, count_visit, counts);
	ck_assert_uint_eq(counts[1], 0);
	ck_assert_uint_eq(counts[3], 1);
	ck_assert_uint_eq(counts[4], 1);
}
END_TEST

START_TEST(flooder_evicts_its_own)
{
	for (unsigned i = 0; i < 10; i++)
		learn(i, 1, 0);
	learn(100, 2, 0);
	for (unsigned i = 0; i < 10000; i++)
		learn(1000 + i, 3, 1 + i / 100);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_uint_eq(lookup(i, 101), 1);
	ck_assert_uint_eq(lookup(100, 101), 2);
	ck_assert_uint_eq(switch_table_count(table), ENTRIES);
	/* Of the flooder's, the latest are there. */
	ck_assert_uint_eq(lookup(1000 + 9999, 101), 3);
	ck_assert_uint_eq(lookup(1000 + 9999 - (ENTRIES - 12), 101), 3);
	ck_assert_uint_eq(lookup(1000 + 9999 - (ENTRIES - 11), 101), 0);
	/* An honest newcomer gets in at the flooder's expense. */
	learn(200, 4, 102);
	ck_assert_uint_eq(lookup(200, 102), 4);
	ck_assert_uint_eq(lookup(100, 102), 2);
}
END_TEST

START_TEST(refreshed_entry_stays)
{
	for (unsigned i = 0; i < ENTRIES; i++)
		learn(i, 1, i);
	learn(0, 1, ENTRIES); /* the oldest is seen again */
	learn(1000, 1, ENTRIES + 1);
	ck_assert_uint_eq(lookup(0, ENTRIES + 1), 1);
	ck_assert_uint_eq(lookup(1, ENTRIES + 1), 0);
}
END_TEST

/* Against a plain array, with random operations. */
START_TEST(agrees_with_a_model)
{
	struct sim_random random = sim_random(sim_random_seed("agrees_with_a_model", 1));
	struct {
		unsigned port;
		uint64_t seen_ms;
	} model[ENTRIES] = {{0, 0}};
	uint64_t now_ms = 0;

	for (int i = 0; i < 20000; i++) {
		unsigned n = sim_random_range(&random, 0, ENTRIES - 1);
		unsigned port = sim_random_range(&random, 1, PORTS);

		now_ms += sim_random_range(&random, 0, 30);
		switch (sim_random_range(&random, 0, 20)) {
		case 0:
			switch_table_forget_port(table, port);
			for (unsigned j = 0; j < ENTRIES; j++)
				model[j].port = model[j].port == port ? 0 : model[j].port;
			break;
		case 1 ... 10:
			learn(n, port, now_ms);
			model[n].port = port;
			model[n].seen_ms = now_ms;
			break;
		default:
			if (now_ms - model[n].seen_ms >= AGE_MS)
				model[n].port = 0;
			ck_assert_uint_eq(lookup(n, now_ms), model[n].port);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("switch_table");
	TCase *tcase = unit_case(suite, "switch_table", setup, teardown);

	tcase_add_test(tcase, learns_and_moves);
	tcase_add_test(tcase, ages);
	tcase_add_test(tcase, forgets_a_port);
	tcase_add_test(tcase, visits_what_has_not_aged);
	tcase_add_test(tcase, flooder_evicts_its_own);
	tcase_add_test(tcase, refreshed_entry_stays);
	tcase_add_test(tcase, agrees_with_a_model);
	return unit_run(suite);
}
