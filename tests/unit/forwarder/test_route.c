/* SPDX-License-Identifier: Apache-2.0 */
/* Where guests' destinations lead. */
#include "forwarder/route.h"
#include "unit.h"

static const struct {
	const char *to;
	enum route_kind kind;
	const char *host;
} cases[] = {
	{"192.168.65.1:53", ROUTE_SERVICE, NULL},
	{"192.168.65.254:80", ROUTE_HOST, "127.0.0.1:80"},
	{"192.168.65.2:80", ROUTE_NOWHERE, NULL},
	{"192.168.65.255:80", ROUTE_NOWHERE, NULL},
	{"8.8.8.8:53", ROUTE_HOST, "8.8.8.8:53"},
	{"10.0.0.1:1", ROUTE_HOST, "10.0.0.1:1"},
	{"127.0.0.1:80", ROUTE_NOWHERE, NULL},
	{"127.9.9.9:80", ROUTE_NOWHERE, NULL},
	{"0.0.0.0:80", ROUTE_NOWHERE, NULL},
	{"0.1.2.3:80", ROUTE_NOWHERE, NULL},
	{"224.0.0.1:80", ROUTE_NOWHERE, NULL},
	{"240.0.0.1:80", ROUTE_NOWHERE, NULL},
	{"255.255.255.255:80", ROUTE_NOWHERE, NULL},
	{"[fd65:6e70:7879::1]:53", ROUTE_SERVICE, NULL},
	{"[fe80::1]:53", ROUTE_SERVICE, NULL},
	{"[fd65:6e70:7879::fe]:80", ROUTE_HOST, "[::1]:80"},
	{"[fd65:6e70:7879::2]:80", ROUTE_NOWHERE, NULL},
	{"[2001:db8::1]:80", ROUTE_HOST, "[2001:db8::1]:80"},
	{"[64:ff9b::808:808]:80", ROUTE_HOST, "[64:ff9b::808:808]:80"},
	{"[::1]:80", ROUTE_NOWHERE, NULL},
	{"[::]:80", ROUTE_NOWHERE, NULL},
	{"[::ffff:127.0.0.1]:80", ROUTE_NOWHERE, NULL},
	{"[::127.0.0.1]:80", ROUTE_NOWHERE, NULL},
	{"[ff02::1]:80", ROUTE_NOWHERE, NULL},
};

static struct stack_conf conf(void)
{
	struct stack_conf c = {0};

	prefix_parse("192.168.65.0/24", &c.subnet);
	addr_parse("192.168.65.1", &c.gateway);
	addr_parse("192.168.65.254", &c.alias);
	prefix_parse("fd65:6e70:7879::/64", &c.prefix6);
	addr_parse("fd65:6e70:7879::1", &c.gateway6);
	addr_parse("fd65:6e70:7879::fe", &c.alias6);
	return c;
}

START_TEST(destinations)
{
	struct stack_conf c = conf();
	struct endpoint to, host;
	char text[ENDPOINT_TEXT_MAX];

	ck_assert_int_eq(endpoint_parse(cases[_i].to, false, &to), 0);
	ck_assert_int_eq(route_lookup(&c, &to, &host), cases[_i].kind);
	if (cases[_i].host)
		ck_assert_str_eq(endpoint_format(&host, text), cases[_i].host);
}
END_TEST

/* The policy is asked for what lies on the host's side, and for nothing else. */
START_TEST(policy_is_asked)
{
	static const struct {
		const char *to;
		enum route_kind kind;
	} decisions[] = {
		{"192.168.65.1:53", ROUTE_SERVICE},        {"192.168.65.254:80", ROUTE_DENIED},
		{"192.168.65.2:80", ROUTE_NOWHERE},        {"8.8.8.8:53", ROUTE_DENIED},
		{"[fd65:6e70:7879::fe]:80", ROUTE_DENIED}, {"10.1.2.3:80", ROUTE_HOST},
	};
	struct stack_conf c = conf();
	struct policy_rule rule;
	struct policy_conf policy_conf = {
		.rules = &rule,
		.rule_count = 1,
		.deny_by_default = true,
		.alias = c.alias,
		.alias6 = c.alias6,
	};
	struct policy *policy;
	const char *expected;

	ck_assert_int_eq(policy_rule_parse("10.0.0.0/8", true, &rule, &expected), 0);
	ck_assert_int_eq(policy_new(&policy_conf, &policy), 0);
	for (size_t i = 0; i < sizeof(decisions) / sizeof(decisions[0]); i++) {
		struct policy_request request = {.protocol = POLICY_UDP};
		struct endpoint host = {0};

		endpoint_parse(decisions[i].to, false, &request.to);
		ck_assert_int_eq(route_decide(&c, policy, &request, &host), decisions[i].kind);
		ck_assert_uint_eq(host.port, decisions[i].kind == ROUTE_HOST ? 80 : 0);
	}
	ck_assert_uint_eq(policy_counters(policy).denied, 3);
	ck_assert_uint_eq(policy_counters(policy).allowed, 1);
	policy_free(policy);
}
END_TEST

START_TEST(way_back)
{
	struct stack_conf c = conf();
	struct endpoint host, seen;

	endpoint_parse("127.0.0.1:80", false, &host);
	seen = route_reverse(&c, &host);
	ck_assert(addr_equal(&seen.addr, &c.alias));
	ck_assert_uint_eq(seen.port, 80);
	endpoint_parse("8.8.8.8:53", false, &host);
	seen = route_reverse(&c, &host);
	ck_assert(endpoint_equal(&seen, &host));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("route");
	TCase *tcase = unit_case(suite, "route", NULL, NULL);

	tcase_add_loop_test(tcase, destinations, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, policy_is_asked);
	tcase_add_test(tcase, way_back);
	return unit_run(suite);
}
