/* SPDX-License-Identifier: Apache-2.0 */
/* Host names that guests claim, and domain names from the configuration. */
#include "dhcp/dhcp_name.h"

#include "dhcp_test.h"
#include "unit.h"

#define LABEL_63 "a23456789b123456789c123456789d123456789e123456789f123456789g123"

static void check_name(const char *text, size_t size, const char *want)
{
	char name[DHCP_HOSTNAME_MAX] = "untouched";

	ck_assert_int_eq(dhcp_hostname_clean(text, size, name), want != NULL);
	ck_assert_str_eq(name, want ? want : "untouched");
}

#define CHECK_NAME(TEXT, WANT) check_name(TEXT, sizeof(TEXT) - 1, WANT)

START_TEST(hostnames)
{
	CHECK_NAME("web", "web");
	CHECK_NAME("WEB-01", "web-01");
	CHECK_NAME("3com", "3com");
	CHECK_NAME("web.example.org", "web");
	CHECK_NAME("web.", "web");
	CHECK_NAME("web\0", "web");
	CHECK_NAME(LABEL_63, LABEL_63);
	CHECK_NAME(LABEL_63 "4", NULL);
	CHECK_NAME("", NULL);
	CHECK_NAME(".", NULL);
	CHECK_NAME("-web", NULL);
	CHECK_NAME("web-", NULL);
	CHECK_NAME("we b", NULL);
	CHECK_NAME("web_1", NULL);
	CHECK_NAME("web$(reboot)", NULL);
	CHECK_NAME("w\xc3\xa9"
		   "b",
		   NULL);
	CHECK_NAME("LocalHost", NULL);
	CHECK_NAME("wpad", NULL);
}
END_TEST

static void check_fqdn(const char *value, size_t size, const char *want)
{
	char name[DHCP_HOSTNAME_MAX] = "untouched";

	ck_assert_int_eq(dhcp_hostname_from_fqdn(value, size, name), want != NULL);
	ck_assert_str_eq(name, want ? want : "untouched");
}

START_TEST(fqdns)
{
	check_fqdn("\x01\0\0web.example", 14, "web");
	check_fqdn("\x05\0\0\3web\7example\0", 16, "web");
	check_fqdn("\x05\0\0\3we", 6, NULL);
	check_fqdn("\x05\0\0", 3, NULL);
	check_fqdn("\x01\0\0", 3, NULL);
	check_fqdn("\x01\0", 2, NULL);
	check_fqdn("", 0, NULL);
	check_fqdn("\x05\0\0\0", 4, NULL);
}
END_TEST

START_TEST(domains)
{
	ck_assert(dhcp_domain_valid("internal"));
	ck_assert(dhcp_domain_valid("vm.internal."));
	ck_assert(dhcp_domain_valid("_x.example"));
	ck_assert(!dhcp_domain_valid(""));
	ck_assert(!dhcp_domain_valid("."));
	ck_assert(!dhcp_domain_valid("a..b"));
	ck_assert(!dhcp_domain_valid("a b"));
	ck_assert(!dhcp_domain_valid(LABEL_63 "4.org"));
	ck_assert(!dhcp_domain_valid(LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63));
}
END_TEST

START_TEST(domains_on_the_wire)
{
	uint8_t bytes[32];
	struct wire_writer w = wire_writer(bytes, sizeof(bytes));

	dhcp_put_domain(&w, "vm.internal");
	dhcp_put_domain(&w, "lan.");
	ck_assert_uint_eq(wire_written(&w), 18);
	ck_assert_mem_eq(bytes, "\2vm\10internal\0\3lan\0", 18);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {hostnames, fqdns, domains, domains_on_the_wire, NULL};

	return unit_main("dhcp_name", NULL, NULL, tests);
}
