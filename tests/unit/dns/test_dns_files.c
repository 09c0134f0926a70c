/* SPDX-License-Identifier: Apache-2.0 */
/* The host's files: resolv.conf, hosts, and noticing that they changed. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "dns/dns_file.h"
#include "dns/dns_hosts.h"
#include "dns_test.h"
#include "unit.h"

static const char *resolver_text(const char *text)
{
	static char to[DNS_RESOLVER_TEXT_MAX];
	struct dns_resolver resolver;

	if (dns_resolver_parse(text, &resolver) < 0)
		return "bad";
	return dns_resolver_format(&resolver, to);
}

START_TEST(resolvers_from_text)
{
	ck_assert_str_eq(resolver_text("10.0.0.2"), "10.0.0.2:53");
	ck_assert_str_eq(resolver_text("127.0.0.1:5353"), "127.0.0.1:5353");
	ck_assert_str_eq(resolver_text("2001:db8::1"), "[2001:db8::1]:53");
	ck_assert_str_eq(resolver_text("[2001:db8::1]:54"), "[2001:db8::1]:54");
	ck_assert_str_eq(resolver_text("fe80::1%lo"), "[fe80::1%lo]:53");
	ck_assert_str_eq(resolver_text("[fe80::1%17]:54"), "[fe80::1%17]:54");
	ck_assert_str_eq(resolver_text("0.0.0.0"), "127.0.0.1:53");
	ck_assert_str_eq(resolver_text("::"), "[::1]:53");
	static const char *const bad[] = {"",           "x",          "1.2.3",
					  "1.2.3.4:",   "1.2.3.4:0",  "1.2.3.4:65536",
					  "1.2.3.4:-1", "[::1",       "[::1]x",
					  "1.2.3.4%lo", "fe80::1%",   "fe80::1%a23456789012345x",
					  "fe80::1%0",  "fe80::1%a/b"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_str_eq(resolver_text(bad[i]), "bad");
}
END_TEST

/* An interface's number is looked up when it is needed: it may have another by then. */
START_TEST(scopes_are_resolved_late)
{
	static const struct {
		const char *text;
		uint32_t index;
	} cases[] = {
		{"fe80::1%lo", 1}, {"fe80::1%77", 77}, {"fe80::1%nosuchif", 0}, {"fe80::1", 0}};
	struct sockaddr_storage sa;
	struct dns_resolver resolver;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(dns_resolver_parse(cases[i].text, &resolver), 0);
		ck_assert_uint_eq(dns_resolver_sockaddr(&resolver, &sa),
				  sizeof(struct sockaddr_in6));
		ck_assert_uint_eq(((struct sockaddr_in6 *)&sa)->sin6_scope_id, cases[i].index);
	}
}
END_TEST

START_TEST(resolvconf_is_parsed)
{
	struct dns_resolvconf conf;

	dns_resolvconf_parse("# nameserver 1.1.1.1\n"
			     "domain old.example\n"
			     "  nameserver\t10.0.0.2 # trailing\n"
			     "nameserver 10.0.0.2\n"
			     "nameserver fe80::1%lo\r\n"
			     "nameserver nonsense\nnameserver\nnameserverx 9.9.9.9\n"
			     "options ndots:5 timeout:1\n"
			     "search a.example  b.example. . bad..name\n"
			     "nameserver 10.0.0.4",
			     &conf);
	ck_assert_uint_eq(conf.resolver_count, 3);
	test_assert_addr(&conf.resolvers[0].endpoint.addr, "10.0.0.2");
	ck_assert_str_eq(conf.resolvers[1].scope, "lo");
	test_assert_addr(&conf.resolvers[2].endpoint.addr, "10.0.0.4");
	ck_assert_uint_eq(conf.bad_line_count, 2);
	ck_assert_uint_eq(conf.search_count, 2);
	test_assert_name(&conf.search[0], "a.example");
	test_assert_name(&conf.search[1], "b.example");
	dns_resolvconf_parse("", &conf);
	ck_assert_uint_eq(conf.resolver_count, 0);
	ck_assert_uint_eq(conf.search_count, 0);
}
END_TEST

START_TEST(resolvconf_is_bounded)
{
	struct dns_resolvconf conf;
	char text[8192] = "search";

	for (int i = 0; i < 100; i++)
		sprintf(text + strlen(text), " s%d", i);
	for (int i = 0; i < 100; i++)
		sprintf(text + strlen(text), "\nnameserver 10.0.0.%d", i);
	dns_resolvconf_parse(text, &conf);
	ck_assert_uint_eq(conf.resolver_count, DNS_RESOLVERS_MAX);
	ck_assert_uint_eq(conf.search_count, DNS_SEARCH_MAX);
}
END_TEST

/* The first address of a name in the hosts, or "none". */
static const char *host(const struct dns_hosts *hosts, const char *text)
{
	static char to[ADDR_TEXT_MAX];
	struct dns_name name = test_name(text);
	const struct dns_host *found = dns_hosts_find(hosts, &name);

	return found ? addr_format(&found->addr, to) : "none";
}

START_TEST(hosts_are_parsed)
{
	struct addr alias4 = test_addr("192.168.65.254"), none = {.family = AF_UNSPEC};
	struct dns_hosts hosts;

	dns_hosts_init(&hosts);
	ck_assert_int_eq(dns_hosts_parse(&hosts,
					 "127.0.0.1 localhost  My.App # a.comment\n"
					 "#10.0.0.9 commented\n"
					 "::1 six localhost6 ip6-localhost\n"
					 "10.0.0.1\tone\talias.one\r\n10.0.0.2 one\n10.0.0.1 one\n"
					 "fe80::1%lo0 scoped\nnonsense name\n10.0.0.3 a..b . good\n"
					 "10.0.0.4 last",
					 &alias4, &none),
			 0);
	ck_assert_str_eq(host(&hosts, "my.app"), "192.168.65.254");
	ck_assert_str_eq(host(&hosts, "localhost"), "none");
	ck_assert_str_eq(host(&hosts, "six"), "none");
	ck_assert_str_eq(host(&hosts, "commented"), "none");
	ck_assert_str_eq(host(&hosts, "a.comment"), "none");
	ck_assert_str_eq(host(&hosts, "one"), "10.0.0.1");
	ck_assert_str_eq(host(&hosts, "alias.one"), "10.0.0.1");
	ck_assert_str_eq(host(&hosts, "good"), "10.0.0.3");
	ck_assert_str_eq(host(&hosts, "last"), "10.0.0.4");
	ck_assert_uint_eq(hosts.count, 6);
	struct dns_name one = test_name("one");
	ck_assert_ptr_nonnull(dns_hosts_find(&hosts, &one)->next);
	ck_assert_ptr_null(dns_hosts_find(&hosts, &one)->next->next);
	ck_assert_int_eq(dns_hosts_parse(&hosts, "", &alias4, &none), 0);
	ck_assert_str_eq(host(&hosts, "one"), "none");
	dns_hosts_destroy(&hosts);
}
END_TEST

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

START_TEST(changes_of_a_file_are_noticed)
{
	char dir[] = "/tmp/netproxy-dns-XXXXXX", path[64], other[64];
	struct dns_file file;
	char *text;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	ck_assert_int_eq(dns_file_init(&file, path, 16), 0);
	/* What isn't there is empty, once. */
	ck_assert_int_eq(dns_file_poll(&file, 0, &text), 1);
	ck_assert_str_eq(text, "");
	free(text);
	ck_assert_int_eq(dns_file_poll(&file, 1000, &text), 0);
	write_file(path, "one\n");
	/* Not before its time. */
	ck_assert_int_eq(dns_file_poll(&file, 1999, &text), 0);
	ck_assert_int_eq(dns_file_poll(&file, 2000, &text), 1);
	ck_assert_str_eq(text, "one\n");
	free(text);
	ck_assert_int_eq(dns_file_poll(&file, 3000, &text), 0);
	/* Replaced by rename; and what is too long is cut at a line. */
	write_file(other, "two\nthree and a lot more\n");
	ck_assert_int_eq(rename(other, path), 0);
	ck_assert_int_eq(dns_file_poll(&file, 4000, &text), 1);
	ck_assert_str_eq(text, "two\n");
	free(text);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(dns_file_poll(&file, 5000, &text), 1);
	ck_assert_str_eq(text, "");
	free(text);
	/* A FIFO would block us. */
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(dns_file_poll(&file, 6000, &text), 0);
	unlink(path);
	rmdir(dir);
	dns_file_destroy(&file);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns_files");
	TCase *tc = unit_case(suite, "dns_files", NULL, NULL);

	tcase_add_test(tc, resolvers_from_text);
	tcase_add_test(tc, scopes_are_resolved_late);
	tcase_add_test(tc, resolvconf_is_parsed);
	tcase_add_test(tc, resolvconf_is_bounded);
	tcase_add_test(tc, hosts_are_parsed);
	tcase_add_test(tc, changes_of_a_file_are_noticed);
	return unit_run(suite);
}
