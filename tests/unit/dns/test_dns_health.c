/* SPDX-License-Identifier: Apache-2.0 */
/* Who is asked first, given who failed. */
#include "dns/dns_health.h"
#include "dns_test.h"
#include "unit.h"

static struct dns_resolver resolver(unsigned number)
{
	return (struct dns_resolver){
		.endpoint = {.addr = addr_from_v4(0x0a000000 + number), .port = 53}};
}

START_TEST(failures_in_a_row_move_a_resolver_back)
{
	struct dns_health health = {0};
	struct dns_resolver all[] = {resolver(1), resolver(2), resolver(3)}, to[3];

	ck_assert(!dns_health_failed(&health, &all[0], 0));
	dns_health_order(&health, all, 3, 0, to);
	ck_assert(dns_resolver_equal(&to[0], &all[0]));
	/* An answer in between clears it. */
	ck_assert(!dns_health_answered(&health, &all[0], 1));
	ck_assert(!dns_health_failed(&health, &all[0], 2));
	ck_assert(dns_health_failed(&health, &all[0], 3));
	ck_assert(!dns_health_failed(&health, &all[0], 4));
	dns_health_order(&health, all, 3, 5, to);
	ck_assert(dns_resolver_equal(&to[0], &all[1]));
	ck_assert(dns_resolver_equal(&to[1], &all[2]));
	ck_assert(dns_resolver_equal(&to[2], &all[0]));
	/* Its turn comes again, and one failure is enough then. */
	ck_assert(dns_health_is_down(&health, &all[0], 4 + DNS_HEALTH_DOWN_MS - 1));
	ck_assert(!dns_health_is_down(&health, &all[0], 4 + DNS_HEALTH_DOWN_MS));
	dns_health_failed(&health, &all[0], 40000);
	ck_assert(dns_health_is_down(&health, &all[0], 40001));
	ck_assert(dns_health_answered(&health, &all[0], 40002));
	ck_assert(!dns_health_is_down(&health, &all[0], 40003));
}
END_TEST

START_TEST(if_all_are_down_all_are_asked)
{
	struct dns_health health = {0};
	struct dns_resolver all[] = {resolver(1), resolver(2)}, to[2];

	for (int i = 0; i < 4; i++)
		dns_health_failed(&health, &all[i % 2], 0);
	dns_health_order(&health, all, 2, 1, to);
	ck_assert(dns_resolver_equal(&to[0], &all[0]));
	ck_assert(dns_resolver_equal(&to[1], &all[1]));
}
END_TEST

START_TEST(the_table_forgets_the_oldest)
{
	struct dns_health health = {0};
	struct dns_resolver first = resolver(1), second = resolver(2);

	for (unsigned i = 1; i <= DNS_HEALTH_MAX + 1; i++) {
		struct dns_resolver r = resolver(i);

		dns_health_failed(&health, &r, i);
		dns_health_failed(&health, &r, i);
	}
	ck_assert_uint_eq(health.count, DNS_HEALTH_MAX);
	ck_assert(!dns_health_is_down(&health, &first, 100));
	ck_assert(dns_health_is_down(&health, &second, 100));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns_health");
	TCase *tc = unit_case(suite, "dns_health", NULL, NULL);

	tcase_add_test(tc, failures_in_a_row_move_a_resolver_back);
	tcase_add_test(tc, if_all_are_down_all_are_asked);
	tcase_add_test(tc, the_table_forgets_the_oldest);
	return unit_run(suite);
}
