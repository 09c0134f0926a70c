/* SPDX-License-Identifier: Apache-2.0 */
/* Flows by age and by guest: who ends when, and who makes room. */
#include "forwarder/flow_table.h"
#include "unit.h"

#include <stdlib.h>

enum { SHORT, LONG };

#define SHORT_MS  1000
#define LONG_MS   60000
#define GUEST_MAX 4
#define TOTAL_MAX 6

static const uint64_t age_ms[] = {[SHORT] = SHORT_MS, [LONG] = LONG_MS};

static struct loop *loop;
static struct flow_table table;

static void end(struct flow *flow)
{
	flow_table_remove(&table, flow);
	free(flow);
}

static void setup(void)
{
	struct flow_table_conf conf = {
		.age_ms = age_ms,
		.ages = 2,
		.guest_max = GUEST_MAX,
		.total_max = TOTAL_MAX,
		.end = end,
	};

	ck_assert_int_eq(loop_new(&loop), 0);
	loop_use_virtual_time(loop, 5000);
	conf.loop = loop;
	ck_assert_int_eq(flow_table_init(&table, &conf), 0);
}

static void teardown(void)
{
	flow_table_destroy(&table);
	loop_free(loop);
}

static struct endpoint endpoint(uint16_t number)
{
	return (struct endpoint){.addr = addr_from_v4(0xc0a84102), .port = number};
}

static bool there(uint16_t number)
{
	struct endpoint guest = endpoint(number);

	return flow_table_find(&table, &guest) != NULL;
}

static struct flow *get(uint16_t number)
{
	struct endpoint guest = endpoint(number);
	struct flow *flow = flow_table_find(&table, &guest);

	ck_assert_ptr_nonnull(flow);
	return flow;
}

static void add(uint16_t number, unsigned port, unsigned age)
{
	struct endpoint guest = endpoint(number);
	struct flow *flow = calloc(1, sizeof(*flow));

	flow_table_make_room(&table, port);
	ck_assert_int_eq(flow_table_add(&table, flow, &guest, port, age), 0);
	ck_assert_ptr_eq(flow_table_find(&table, &guest), flow);
}

START_TEST(families_and_ports_differ)
{
	struct endpoint v4 = {.addr = addr_from_v4(0), .port = 1};
	struct endpoint v6 = {.addr = addr_from_in6(&in6addr_any), .port = 1};
	struct flow *flow = calloc(1, sizeof(*flow));

	ck_assert_int_eq(flow_table_add(&table, flow, &v4, 1, SHORT), 0);
	ck_assert_ptr_null(flow_table_find(&table, &v6));
	flow = calloc(1, sizeof(*flow));
	ck_assert_int_eq(flow_table_add(&table, flow, &v6, 1, SHORT), 0);
	ck_assert_ptr_eq(flow_table_find(&table, &v6), flow);
	ck_assert_ptr_ne(flow_table_find(&table, &v4), flow);
	v6.port = 2;
	ck_assert_ptr_null(flow_table_find(&table, &v6));
}
END_TEST

START_TEST(ages_end_at_their_time)
{
	add(1, 1, LONG);
	loop_advance(loop, 10);
	add(2, 1, SHORT); /* ends long before the one that the timer was set for */
	loop_advance(loop, SHORT_MS - 1);
	ck_assert(there(2));
	loop_advance(loop, 1);
	ck_assert(!there(2));
	ck_assert(there(1));
	loop_advance(loop, LONG_MS - SHORT_MS - 11);
	ck_assert(there(1));
	loop_advance(loop, 1);
	ck_assert(!there(1));
	ck_assert_uint_eq(table.total, 2);
	ck_assert_uint_eq(table.evicted, 0);
	ck_assert(!loop_timer_pending(table.timer));
}
END_TEST

START_TEST(activity_and_age_move_the_end)
{
	add(1, 1, SHORT);
	add(2, 1, SHORT);
	loop_advance(loop, SHORT_MS / 2);
	flow_table_active(&table, get(1), 1, SHORT);
	flow_table_active(&table, get(2), 1, LONG);
	loop_advance(loop, SHORT_MS - 1);
	ck_assert(there(1));
	loop_advance(loop, 1);
	ck_assert(!there(1));
	flow_table_active(&table, get(2), 1, SHORT);
	loop_advance(loop, SHORT_MS - 1);
	ck_assert(there(2));
	loop_advance(loop, 1);
	ck_assert(!there(2));
}
END_TEST

START_TEST(a_guest_evicts_what_it_used_last_long_ago)
{
	for (uint16_t i = 1; i <= GUEST_MAX; i++) {
		add(i, 1, LONG);
		loop_advance(loop, 1);
	}
	flow_table_active(&table, get(1), 1, SHORT);
	add(10, 1, LONG);
	ck_assert(there(1));
	ck_assert(!there(2));
	ck_assert(there(10));
	ck_assert_uint_eq(table.flows.count, GUEST_MAX);
	ck_assert_uint_eq(table.evicted, 1);
}
END_TEST

START_TEST(a_flood_never_evicts_anothers)
{
	add(1, 1, SHORT);
	add(2, 2, SHORT);
	for (uint16_t i = 100; i < 200; i++)
		add(i, 3, LONG);
	ck_assert(there(1));
	ck_assert(there(2));
	ck_assert_uint_eq(table.flows.count, TOTAL_MAX);
	ck_assert_uint_eq(table.guests[3].count, GUEST_MAX);
	/* Those who have few make room for themselves at the expense of him who has many. */
	add(3, 1, SHORT);
	ck_assert_uint_eq(table.guests[1].count, 2);
	ck_assert_uint_eq(table.guests[3].count, GUEST_MAX - 1);
	/* Where all have the same, each evicts its own. */
	add(4, 2, SHORT);
	ck_assert_uint_eq(table.guests[3].count, 2);
	add(5, 2, SHORT);
	ck_assert_uint_eq(table.guests[2].count, 2);
	ck_assert(!there(2));
}
END_TEST

START_TEST(flows_move_and_go_with_their_port)
{
	add(1, 1, LONG);
	add(2, 1, LONG);
	flow_table_active(&table, get(2), 7, LONG);
	flow_table_port_gone(&table, 1);
	ck_assert(!there(1));
	ck_assert(there(2));
	ck_assert_uint_eq(get(2)->port, 7);
	ck_assert(!flow_table_evict(&table, 1));
	ck_assert(flow_table_evict(&table, 7));
	ck_assert_uint_eq(table.flows.count, 0);
	ck_assert(list_empty(&table.guests_used));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow_table");
	TCase *tcase = unit_case(suite, "flow_table", setup, teardown);

	tcase_add_test(tcase, families_and_ports_differ);
	tcase_add_test(tcase, ages_end_at_their_time);
	tcase_add_test(tcase, activity_and_age_move_the_end);
	tcase_add_test(tcase, a_guest_evicts_what_it_used_last_long_ago);
	tcase_add_test(tcase, a_flood_never_evicts_anothers);
	tcase_add_test(tcase, flows_move_and_go_with_their_port);
	return unit_run(suite);
}
