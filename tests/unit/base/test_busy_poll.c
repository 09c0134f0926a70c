/* SPDX-License-Identifier: Apache-2.0 */
/* When it pays to look for events before sleeping. */
#include "base/busy_poll.h"

#include "unit.h"

#define SHORT_ROUND 10
#define LONG_ROUND  500

static struct busy_poll after(uint32_t max_us, unsigned waits, uint64_t waited_us)
{
	struct busy_poll poll = {.max_us = max_us};

	for (unsigned i = 0; i < waits; i++) {
		busy_poll_window(&poll, SHORT_ROUND);
		busy_poll_waited(&poll, waited_us);
	}
	return poll;
}

START_TEST(nothing_is_spent_at_first)
{
	struct busy_poll poll = {.max_us = 20};

	ck_assert_uint_eq(busy_poll_window(&poll, SHORT_ROUND), 0);
	poll = after(20, 3, 8);
	ck_assert_uint_eq(busy_poll_window(&poll, SHORT_ROUND), 0);
}
END_TEST

START_TEST(opens_while_waits_are_short)
{
	struct busy_poll poll = after(20, 100, 8);

	ck_assert_uint_eq(busy_poll_window(&poll, SHORT_ROUND), 20);
	poll = after(20, 100, 20);
	ck_assert_uint_eq(busy_poll_window(&poll, SHORT_ROUND), 20);
}
END_TEST

START_TEST(stays_shut_where_waits_are_long)
{
	struct busy_poll poll = after(20, 100, 21);

	ck_assert_uint_eq(busy_poll_window(&poll, SHORT_ROUND), 0);
	/* Now and then a short one changes nothing. */
	poll = (struct busy_poll){.max_us = 20};
	for (int i = 0; i < 1000; i++)
		busy_poll_waited(&poll, i % 5 ? 1000 : 3);
	ck_assert_uint_eq(busy_poll_window(&poll, SHORT_ROUND), 0);
}
END_TEST

START_TEST(closes_after_a_few_long_waits)
{
	struct busy_poll poll = after(20, 100, 8);
	unsigned spent = 0;

	for (int i = 0; i < 100; i++) {
		spent += busy_poll_window(&poll, SHORT_ROUND);
		busy_poll_waited(&poll, 100000);
	}
	ck_assert_uint_eq(poll.window_us, 0);
	ck_assert_uint_le(spent, 40);
}
END_TEST

START_TEST(much_work_shuts_it)
{
	struct busy_poll poll = after(20, 100, 8);

	ck_assert_uint_eq(busy_poll_window(&poll, LONG_ROUND), 0);
	ck_assert_uint_eq(busy_poll_window(&poll, SHORT_ROUND), 0);
}
END_TEST

int main(void)
{
	return unit_main("busy_poll", NULL, NULL,
			 (const TTest *[]){
				 nothing_is_spent_at_first,
				 opens_while_waits_are_short,
				 stays_shut_where_waits_are_long,
				 closes_after_a_few_long_waits,
				 much_work_shuts_it,
				 NULL,
			 });
}
