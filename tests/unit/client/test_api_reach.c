/* SPDX-License-Identifier: Apache-2.0 */
/* Where a guest finds its gateway, which is the API's door inside the network. */
#include <stdio.h>

#include "client/api_reach.h"
#include "unit.h"

#define TITLES \
	"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
#define LOCAL "eth0\t0041A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
#define VIA   "eth0\t000000%02d\t0141A8C0\t00%02d\t0\t0\t0\t%s\t0\t0\t0\n"

START_TEST(default_route)
{
	char text[512], addr_text[ADDR_TEXT_MAX];
	struct addr addr;

	snprintf(text, sizeof(text), TITLES LOCAL VIA, 0, 3, "00000000");
	ck_assert_int_eq(api_reach_parse_route(text, &addr), 0);
	ck_assert_str_eq(addr_format(&addr, addr_text), "192.168.65.1");
	/* To one network only; down. */
	snprintf(text, sizeof(text), TITLES LOCAL VIA, 10, 3, "000000FF");
	ck_assert_int_lt(api_reach_parse_route(text, &addr), 0);
	snprintf(text, sizeof(text), TITLES LOCAL VIA, 0, 2, "00000000");
	ck_assert_int_lt(api_reach_parse_route(text, &addr), 0);
	ck_assert_int_lt(api_reach_parse_route("", &addr), 0);
	ck_assert_int_lt(api_reach_parse_route(TITLES, &addr), 0);
	ck_assert_int_lt(api_reach_parse_route(TITLES "nonsense\n\n\n", &addr), 0);
	ck_assert_int_lt(api_reach_parse_route(TITLES "eth0\t0", &addr), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api_reach");
	TCase *tests = unit_case(suite, "api_reach", NULL, NULL);

	tcase_add_test(tests, default_route);
	return unit_run(suite);
}
