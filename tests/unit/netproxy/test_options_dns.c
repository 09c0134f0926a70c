/* SPDX-License-Identifier: Apache-2.0 */
/* The options of DNS: their text forms, and the zones that they make. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options_test.h"

static const struct {
	const char *line;
	bool good;
} lines[] = {
	{"--dns 10.0.0.2 --dns 10.0.0.3:5353 --dns 2001:db8::1 --dns [2001:db8::1]:54", true},
	{"--dns fe80::1%eth0 --dns [fe80::1%eth0]:54", true},
	{"--dns example.com", false},
	{"--dns 10.0.0.1:0", false},
	{"--dns 1.1.1.1 --dns 1.1.1.2 --dns 1.1.1.3 --dns 1.1.1.4 --dns 1.1.1.5", false},
	{"--dns-route corp.example=10.0.0.2", true},
	{"--dns-route corp.example.=10.0.0.2,[fd00::1]:54,fd00::2,fe80::1%eth0", true},
	{"--dns-route corp.example=1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5", false},
	{"--dns-route corp.example=1.1.1.1 --dns-route Corp.Example=1.1.1.2", false},
	{"--dns-route corp.example", false},
	{"--dns-route corp.example=", false},
	{"--dns-route corp.example=10.0.0.2,", false},
	{"--dns-route =10.0.0.2", false},
	{"--dns-route .=10.0.0.2", false},
	{"--dns-route a..b=10.0.0.2", false},
	{"--dns-zone crc.testing", true},
	{"--dns-zone crc.testing.=192.168.65.2 --dns-zone six=fd00::2", true},
	{"--dns-zone crc.testing --dns-zone crc.testing.", false},
	{"--dns-zone crc.testing=", false},
	{"--dns-zone crc.testing=nowhere", false},
	{"--dns-zone .", false},
	{"--dns-record db.corp.example=10.0.0.5", true},
	{"--dns-record db=10.0.0.5,[fd00::5],10.0.0.6,fd00::6", true},
	{"--dns-record db", false},
	{"--dns-record db=", false},
	{"--dns-record =10.0.0.5", false},
	{"--dns-record .=10.0.0.5", false},
	{"--dns-record db=10.0.0.5,", false},
	{"--dns-record db=10.0.0.5:53", false},
	{"--dns-record a..b=10.0.0.5", false},
	{"--dns-zone z --dns-record /^api-[0-9]+$/z=10.0.0.5", true},
	{"--dns-record /a=b/c/z=10.0.0.5 --dns-zone z", true},
	{"--dns-record /^a/z=10.0.0.5", false},
	{"--dns-zone z --dns-record /^a/x.z=10.0.0.5", false},
	{"--dns-zone z --dns-record /(/z=10.0.0.5", false},
	{"--dns-zone z --dns-record //z=10.0.0.5", false},
	{"--dns-zone z --dns-record /z=10.0.0.5", false},
	{"--dns-zone z --dns-record /a/=10.0.0.5", false},
	{"--dns-search corp.example --dns-search lan", true},
	{"--dns-search none", true},
	{"--dns-search .", false},
	{"--dns-search a..b", false},
	{"--hosts-file none --resolv-conf none", true},
	{"--hosts-file /tmp/hosts --resolv-conf /tmp/resolv.conf", true},
};

/* A refusal says what would be right. */
START_TEST(forms)
{
	ck_assert_msg((parse(lines[_i].line) == OPTIONS_RUN) == lines[_i].good, "%s: %s",
		      lines[_i].line, error);
	if (!lines[_i].good)
		ck_assert_msg(strstr(error, "expected") || strstr(error, "most"), "%s", error);
}
END_TEST

START_TEST(resolvers_and_files)
{
	char text[DNS_RESOLVER_TEXT_MAX];

	ck_assert_int_eq(parse("--dns fe80::1%eth0 --dns-route a.b=1.2.3.4,[::1]:54 --hosts-file "
			       "none --dns-search none"),
			 OPTIONS_RUN);
	ck_assert_str_eq(dns_resolver_format(&options.dns[0], text), "[fe80::1%eth0]:53");
	ck_assert_uint_eq(options.dns_routes[0].resolver_count, 2);
	ck_assert_str_eq(dns_resolver_format(&options.dns_routes[0].resolvers[1], text),
			 "[::1]:54");
	ck_assert(options.no_hosts_file && !options.no_resolv_conf);
	ck_assert(options.dns_search_given && options.dns_search_count == 0);
}
END_TEST

/* Each record goes to the longest zone that it is in, and else to the root zone. */
START_TEST(zones_of_records)
{
	struct options_zones zones;
	char ip[ADDR_TEXT_MAX];

	ck_assert_int_eq(parse("--dns-record Web.b.test=10.0.0.1,fd00::1 --dns-zone test=10.0.0.9 "
			       "--dns-zone b.test --dns-record b.test=10.0.0.2 "
			       "--dns-record other.org=10.0.0.3 --dns-record /^x/test=10.0.0.4"),
			 OPTIONS_RUN);
	ck_assert_int_eq(options_zones_make(&options, &zones), 0);
	ck_assert_uint_eq(zones.count, 3);
	ck_assert_str_eq(zones.zones[0].name, "test");
	ck_assert_str_eq(addr_format(&zones.zones[0].default_ip, ip), "10.0.0.9");
	ck_assert_uint_eq(zones.zones[0].record_count, 1);
	ck_assert_str_eq(zones.zones[0].records[0].regexp, "^x");
	ck_assert_str_eq(zones.zones[0].records[0].name, "");
	ck_assert_str_eq(zones.zones[1].name, "b.test");
	ck_assert_uint_eq(zones.zones[1].record_count, 3);
	ck_assert_str_eq(zones.zones[1].records[0].name, "web");
	ck_assert_str_eq(addr_format(&zones.zones[1].records[1].ip, ip), "fd00::1");
	ck_assert_str_eq(zones.zones[1].records[2].name, "");
	ck_assert_str_eq(zones.zones[2].name, ".");
	ck_assert_str_eq(zones.zones[2].records[0].name, "other.org");
	ck_assert_ptr_null(zones.zones[2].records[0].regexp);
	options_zones_free(&zones);
}
END_TEST

START_TEST(no_zones)
{
	struct options_zones zones;

	ck_assert_int_eq(parse("--mtu 1500"), OPTIONS_RUN);
	ck_assert_int_eq(options_zones_make(&options, &zones), 0);
	ck_assert_uint_eq(zones.count, 0);
	options_zones_free(&zones);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options_dns");
	TCase *tcase = unit_case(suite, "options_dns", NULL, teardown);

	tcase_add_loop_test(tcase, forms, 0, (int)(sizeof(lines) / sizeof(lines[0])));
	tcase_add_test(tcase, resolvers_and_files);
	tcase_add_test(tcase, zones_of_records);
	tcase_add_test(tcase, no_zones);
	return unit_run(suite);
}
