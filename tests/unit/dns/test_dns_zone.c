/* SPDX-License-Identifier: Apache-2.0 */
/* The table of zones: what users may put in, and which record is found. */
#include <errno.h>
#include <stdio.h>

#include "dns/dns_zone.h"
#include "dns_test.h"
#include "unit.h"

static char error[256];

static int add(struct dns_zones *zones, const char *zone, const char *name, const char *regexp,
	       const char *ip)
{
	struct dns_record_conf record = {.name = name, .regexp = regexp};
	struct dns_zone_conf conf = {.name = zone, .records = &record, .record_count = 1};

	if (ip)
		record.ip = test_addr(ip);
	return dns_zones_add(zones, &conf, error, sizeof(error));
}

/* The address that a name leads to, as text, or "none". */
static const char *find(const struct dns_zones *zones, const char *text, sa_family_t family)
{
	static char to[ADDR_TEXT_MAX];
	const struct dns_zone *zone;
	struct dns_name name = test_name(text);
	const struct dns_zone_record *record = dns_zones_find(zones, &name, family, &zone);

	return record ? addr_format(&record->conf.ip, to) : "none";
}

START_TEST(records_are_found)
{
	struct dns_zones zones;

	dns_zones_init(&zones);
	ck_assert_int_eq(add(&zones, "Crc.Testing.", "Api", NULL, "10.0.0.1"), 0);
	ck_assert_int_eq(add(&zones, "crc.testing", "", NULL, "10.0.0.2"), 0);
	ck_assert_int_eq(add(&zones, "crc.testing", "api", NULL, "fd00::1"), 0);
	ck_assert_uint_eq(zones.count, 1);
	ck_assert_uint_eq(zones.record_count, 3);
	ck_assert_str_eq(zones.zones[0]->text, "crc.testing.");
	ck_assert_str_eq(find(&zones, "api.crc.testing", AF_INET), "10.0.0.1");
	ck_assert_str_eq(find(&zones, "api.crc.testing", AF_INET6), "fd00::1");
	ck_assert_str_eq(find(&zones, "crc.testing", AF_INET), "10.0.0.2");
	ck_assert_str_eq(find(&zones, "crc.testing", AF_INET6), "none");
	ck_assert_str_eq(find(&zones, "x.api.crc.testing", AF_UNSPEC), "none");
	ck_assert_str_eq(find(&zones, "api.xcrc.testing", AF_UNSPEC), "none");
	dns_zones_destroy(&zones);
}
END_TEST

START_TEST(new_records_come_first)
{
	struct dns_zones zones;

	dns_zones_init(&zones);
	ck_assert_int_eq(add(&zones, "z", "a", NULL, "10.0.0.1"), 0);
	ck_assert_int_eq(add(&zones, "z", "a", NULL, "10.0.0.2"), 0);
	ck_assert_str_eq(find(&zones, "a.z", AF_INET), "10.0.0.2");
	ck_assert_uint_eq(zones.record_count, 2);
	/* What is there already isn't added again, or a client that repeats itself would fill the
	 * table. */
	ck_assert_int_eq(add(&zones, "z", "a", NULL, "10.0.0.1"), 0);
	ck_assert_uint_eq(zones.record_count, 2);
	ck_assert_str_eq(find(&zones, "a.z", AF_INET), "10.0.0.1");
	dns_zones_destroy(&zones);
}
END_TEST

START_TEST(the_longest_zone_is_asked_first)
{
	struct dns_zones zones;

	dns_zones_init(&zones);
	ck_assert_int_eq(add(&zones, "z", NULL, ".*", "10.0.0.1"), 0);
	ck_assert_int_eq(add(&zones, "longer.z", NULL, "^a", "10.0.0.2"), 0);
	ck_assert_str_eq(find(&zones, "ab.longer.z", AF_INET), "10.0.0.2");
	ck_assert_str_eq(find(&zones, "b.longer.z", AF_INET), "10.0.0.1");
	ck_assert_str_eq(find(&zones, "c.z", AF_INET), "10.0.0.1");
	/* A regular expression is about what is in front of the zone. */
	ck_assert_str_eq(find(&zones, "z", AF_INET), "none");
	dns_zones_destroy(&zones);
}
END_TEST

START_TEST(regexps_are_matched)
{
	struct dns_zones zones;

	dns_zones_init(&zones);
	ck_assert_int_eq(add(&zones, "z", "named", "^apps-[0-9]{1,3}\\.x$", "10.0.0.1"), 0);
	ck_assert_str_eq(find(&zones, "apps-12.x.z", AF_INET), "10.0.0.1");
	ck_assert_str_eq(find(&zones, "apps-1234.x.z", AF_INET), "none");
	ck_assert_str_eq(find(&zones, "apps-12yx.z", AF_INET), "none");
	ck_assert_int_eq(
		add(&zones, "y", NULL, "^[]a[:digit:]{+]+-[a-z]+-[a-z]+-(a|b)+$", "10.0.0.2"), 0);
	ck_assert_str_eq(find(&zones, "a1{-x-yy-ab.y", AF_INET), "10.0.0.2");
	ck_assert_str_eq(find(&zones, "named.z", AF_INET), "10.0.0.1");
	dns_zones_destroy(&zones);
}
END_TEST

START_TEST(patterns_mean_what_they_say)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} cases[] = {
		{"b", "abc", true},
		{"^b", "abc", false},
		{"c$", "abc", true},
		{"^$", "", true},
		{"^$", "a", false},
		{"^a.c$", "aBc", true},
		{"^(?:ab|cd|)x$", "cdx", true},
		{"^(ab|cd|)x$", "x", true},
		{"^(ab|cd|)x$", "adx", false},
		{"^a*$", "aaa", true},
		{"^(a|b)+$", "", false},
		{"^(a|b)+$", "abba", true},
		{"^ab?c$", "ac", true},
		{"^a{2}$", "aa", true},
		{"^a{2}$", "aaa", false},
		{"^a{2,}$", "aaaa", true},
		{"^a{2,}$", "a", false},
		{"^a{1,2}b{0,1}$", "aab", true},
		{"^a{1,2}$", "aaa", false},
		{"^a{0}b$", "b", true},
		{"^\\d+$", "123", true},
		{"^\\D+$", "1a", false},
		{"^[^a-c.]+$", "xyz", true},
		{"^[^a-c.]+$", "xaz", false},
		{"^[]-]+$", "]-", true},
		{"^[A-F[:digit:]]+$", "0fa", true},
		{"^\\w+\\.x$", "a_1.x", true},
		{"\\A\\.\\z", ".", true},
		{"^(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false},
		{"^(a*)*$", "aaa", true},
		{"^a+?b", "aab", true},
		{"(^a|b$)", "xb", true},
		{"^2+++*+++++9", "229", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_pattern *pattern = NULL;
		const char *complaint = "";

		ck_assert_msg(dns_pattern_new(cases[i].pattern, &pattern, &complaint) == 0, "%s %s",
			      cases[i].pattern, complaint);
		ck_assert_msg(dns_pattern_matches(pattern, cases[i].text) == cases[i].matches,
			      "%s on %s", cases[i].pattern, cases[i].text);
		dns_pattern_free(pattern);
	}
}
END_TEST

START_TEST(bad_records_are_refused_with_reason)
{
	static const struct {
		const char *name, *regexp, *ip, *complaint;
	} bad[] = {
		{"a b", NULL, "1.2.3.4", "not a valid record name"},
		{"a", NULL, NULL, "has no IP"},
		{NULL, "(a", "1.2.3.4", "( without a )"},
		{NULL, "a)", "1.2.3.4", ") without a ("},
		{NULL, "[a", "1.2.3.4", "without a ]"},
		{NULL, "[[:what:]]", "1.2.3.4", "unknown class"},
		{NULL, "[z-a]", "1.2.3.4", "range"},
		{NULL, "(a)\\1", "1.2.3.4", "back-reference"},
		{NULL, "(?i)a", "1.2.3.4", "group of a kind"},
		{NULL, "a|*", "1.2.3.4", "repeats nothing"},
		{NULL, "a{256}", "1.2.3.4", "wrong counts"},
		{NULL, "a{2,1}", "1.2.3.4", "wrong counts"},
		{NULL, "a{", "1.2.3.4", "wrong counts"},
		{NULL, "((a{9}){9}){9}", "1.2.3.4", "too large"},
		{NULL, "((((((((((((((((((a))))))))))))))))))", "1.2.3.4", "too many groups"},
		{NULL, "a\\", "1.2.3.4", "backslash"},
	};
	struct dns_zones zones;

	dns_zones_init(&zones);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(add(&zones, "z", bad[i].name, bad[i].regexp, bad[i].ip), -EINVAL);
		ck_assert_msg(strstr(error, bad[i].complaint), "%zu: %s", i, error);
	}
	ck_assert_int_eq(add(&zones, "z..z", "a", NULL, "1.2.3.4"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "z..z"));
	ck_assert_uint_eq(zones.count, 0);
	ck_assert_uint_eq(zones.record_count, 0);
	dns_zones_destroy(&zones);
}
END_TEST

START_TEST(tables_are_bounded)
{
	static struct dns_record_conf records[DNS_RECORDS_MAX + 1];
	struct dns_zone_conf conf = {.name = "z", .records = records};
	struct dns_zones zones;
	char name[16];

	dns_zones_init(&zones);
	for (int i = 0; i < DNS_ZONES_MAX; i++) {
		snprintf(name, sizeof(name), "z%d", i);
		ck_assert_int_eq(add(&zones, name, "a", NULL, "1.2.3.4"), 0);
	}
	ck_assert_int_eq(add(&zones, "more", "a", NULL, "1.2.3.4"), -ENOSPC);
	dns_zones_destroy(&zones);

	for (size_t i = 0; i <= DNS_RECORDS_MAX; i++)
		records[i] = (struct dns_record_conf){.name = "a",
						      .ip = addr_from_v4((uint32_t)i + 1)};
	conf.record_count = DNS_RECORDS_MAX + 1;
	ck_assert_int_eq(dns_zones_add(&zones, &conf, error, sizeof(error)), -ENOSPC);
	conf.record_count = DNS_RECORDS_MAX;
	ck_assert_int_eq(dns_zones_add(&zones, &conf, error, sizeof(error)), 0);
	ck_assert_int_eq(add(&zones, "z", "b", NULL, "1.2.3.4"), -ENOSPC);
	ck_assert_int_eq(dns_zones_remove(&zones, "z."), 0);
	ck_assert_uint_eq(zones.record_count, 0);
	for (size_t i = 0; i <= DNS_REGEXPS_MAX; i++)
		records[i].regexp = "x";
	conf.record_count = DNS_REGEXPS_MAX + 1;
	ck_assert_int_eq(dns_zones_add(&zones, &conf, error, sizeof(error)), -ENOSPC);
	ck_assert_uint_eq(zones.count, 0);
	dns_zones_destroy(&zones);
}
END_TEST

START_TEST(removing_spares_built_in_names)
{
	struct addr ip = test_addr("10.0.0.9");
	struct dns_zones zones;

	dns_zones_init(&zones);
	ck_assert_int_eq(dns_zones_add_built_in(&zones, "internal", "gateway", &ip), 0);
	ck_assert(zones.zones[0]->is_shared);
	ck_assert_int_eq(add(&zones, "internal.", "x", "y", "1.2.3.4"), 0);
	ck_assert(!zones.zones[0]->is_shared);
	ck_assert_int_eq(dns_zones_remove(&zones, "internal"), 0);
	ck_assert_str_eq(find(&zones, "x.internal", AF_INET), "none");
	ck_assert_str_eq(find(&zones, "gateway.internal", AF_INET), "10.0.0.9");
	ck_assert(zones.zones[0]->is_shared);
	ck_assert_uint_eq(zones.record_count, 1);
	ck_assert_uint_eq(zones.regexp_count, 0);
	ck_assert_int_eq(dns_zones_remove(&zones, "nowhere"), -ENOENT);
	ck_assert_int_eq(dns_zones_remove(&zones, "internal"), -EPERM);
	ck_assert_str_eq(find(&zones, "gateway.internal", AF_INET), "10.0.0.9");
	dns_zones_destroy(&zones);
}
END_TEST

START_TEST(putting_replaces_all_but_built_in_names)
{
	struct dns_record_conf records[] = {{.name = "x", .ip = test_addr("10.0.0.3")},
					    {.name = "y", .regexp = "(", .ip = test_addr("::1")}};
	struct dns_zone_conf conf = {.name = "internal", .records = records, .record_count = 2};
	struct addr ip = test_addr("10.0.0.9");
	struct dns_zones zones;

	dns_zones_init(&zones);
	ck_assert_int_eq(dns_zones_add_built_in(&zones, "internal", "gateway", &ip), 0);
	ck_assert_int_eq(add(&zones, "internal", "x", NULL, "10.0.0.1"), 0);
	ck_assert_int_eq(add(&zones, "internal", "z", "z", "10.0.0.2"), 0);
	/* A bad one changes nothing. */
	ck_assert_int_eq(dns_zones_put(&zones, &conf, error, sizeof(error)), -EINVAL);
	ck_assert_str_eq(find(&zones, "z.internal", AF_INET), "10.0.0.2");
	ck_assert_uint_eq(zones.record_count, 3);
	conf.record_count = 1;
	ck_assert_int_eq(dns_zones_put(&zones, &conf, error, sizeof(error)), 0);
	ck_assert_str_eq(find(&zones, "x.internal", AF_INET), "10.0.0.3");
	ck_assert_str_eq(find(&zones, "z.internal", AF_INET), "none");
	ck_assert_str_eq(find(&zones, "gateway.internal", AF_INET), "10.0.0.9");
	ck_assert_uint_eq(zones.record_count, 2);
	ck_assert_uint_eq(zones.regexp_count, 0);
	ck_assert_ptr_nonnull(dns_zones_get(&zones, "Internal."));
	ck_assert_ptr_null(dns_zones_get(&zones, "internal.x"));
	dns_zones_destroy(&zones);
}
END_TEST

START_TEST(zones_are_listed_as_they_came)
{
	static const char *const names[] = {"a.b.c", "b", "long.name.c", "d"};
	const struct dns_zone *list[DNS_ZONES_MAX];
	struct dns_zones zones;

	dns_zones_init(&zones);
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(add(&zones, names[i], "x", NULL, "10.0.0.1"), 0);
	ck_assert_uint_eq(dns_zones_list(&zones, list), 4);
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(strncmp(list[i]->text, names[i], strlen(names[i])), 0);
	dns_zones_destroy(&zones);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns_zone");
	TCase *tc = unit_case(suite, "dns_zone", NULL, NULL);

	tcase_add_test(tc, records_are_found);
	tcase_add_test(tc, new_records_come_first);
	tcase_add_test(tc, the_longest_zone_is_asked_first);
	tcase_add_test(tc, regexps_are_matched);
	tcase_add_test(tc, patterns_mean_what_they_say);
	tcase_add_test(tc, bad_records_are_refused_with_reason);
	tcase_add_test(tc, tables_are_bounded);
	tcase_add_test(tc, removing_spares_built_in_names);
	tcase_add_test(tc, putting_replaces_all_but_built_in_names);
	tcase_add_test(tc, zones_are_listed_as_they_came);
	return unit_run(suite);
}
