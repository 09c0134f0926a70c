/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a namespace as the guest, where the services are, and slirp4netns' command line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netproxy/options.h"
#include "netproxy/slirp4netns_options.h"
#include "unit.h"

#define ARGS_MAX 32

static char error[OPTIONS_ERROR_MAX];
static struct options options;

typedef enum options_result parse_fn(int argc, char **argv, struct options *ret_options,
				     char why[static OPTIONS_ERROR_MAX]);

/* Reads a command line of words with a space between them; the values that are kept are copies. */
static enum options_result parse(parse_fn *fn, const char *line)
{
	char *argv[ARGS_MAX + 1] = {(char *)"program"};
	char *copy = strdup(line), *rest = copy, *word;
	int argc = 1;

	while ((word = strsep(&rest, " ")) && argc < ARGS_MAX)
		argv[argc++] = word;
	error[0] = '\0';
	enum options_result result = fn(argc, argv, &options, error);
	free(copy);
	return result;
}

static void teardown(void)
{
	options_free(&options);
}

static void expect_addr(const struct addr *addr, const char *text)
{
	char buffer[ADDR_TEXT_MAX];

	ck_assert_str_eq(addr_format(addr, buffer), text);
}

/* ---- netproxy's own ---- */

static const struct {
	const char *line;
	bool good;
} lines[] = {
	{"--netns /run/netns/x", true},
	{"--netns 17 --ifname eth0 --netns-address 192.168.65.9 --exit-fd 3 --ready-fd 4", true},
	{"--netns 17 --ifname 1234567890123456", false},
	{"--netns 17 --netns-address 192.168.66.9", false},
	{"--netns 17 --netns-address 192.168.65.0", false},
	{"--netns 17 --netns-address 192.168.65.255", false},
	{"--netns 17 --netns-address 192.168.65.1", false},
	{"--netns 17 --netns-address 192.168.65.254", false},
	{"--netns 17 --netns-address fd00::1", false},
	{"--netns 17 --netns-mac 52:54:00:00:00:01", true},
	{"--netns 17 --netns-mac 53:54:00:00:00:01", false},
	{"--netns 17 --netns-mac 00:00:00:00:00:00", false},
	{"--netns 17 --dhcp-host 52:54:00:00:00:01=192.168.65.2", false},
	{"--netns 17 --no-dhcp", true},
	{"--netns 17 --exit-fd -1", false},
	{"--resolv-out x --link tap:a", false},
	{"--ifname x --link tap:a", false},
	{"--netns-address 192.168.65.9 --link tap:a", false},
	{"--netns-attach --link tap:a", false},
	{"--link tap:a --dns-address 192.168.65.3", true},
	{"--link tap:a --dns-address 192.168.65.3 --host-alias 192.168.65.1", true},
	{"--link tap:a --dns-address 192.168.65.3 --host-alias 192.168.65.4", false},
	{"--link tap:a --dns-address 192.168.65.1", false},
	{"--link tap:a --dns-address 192.168.65.0", false},
	{"--link tap:a --dns-address fd00::1", false},
};

START_TEST(test_lines)
{
	enum options_result result = parse(options_parse, lines[_i].line);

	ck_assert_msg((result == OPTIONS_RUN) == lines[_i].good, "%s: %s", lines[_i].line, error);
	ck_assert_int_eq(error[0] != '\0', !lines[_i].good);
}
END_TEST

START_TEST(test_netns_is_first_guest)
{
	struct addr first;

	ck_assert_int_eq(parse(options_parse, "--netns 17 --publish 8080:80"), OPTIONS_RUN);
	ck_assert_uint_eq(options.link_count, 1);
	ck_assert_int_eq(options.links[0].kind, LINK_OPTION_TAP);
	ck_assert_str_eq(options.links[0].path, "tap0");
	ck_assert_str_eq(options.links[0].netns, "17");
	first = options_first_guest(&options);
	expect_addr(&first, "192.168.65.2");
	expect_addr(&options.netns.address6, "fd65:6e70:7879::2");
	expect_addr(&options.publish[0].spec.remote.addr, "192.168.65.2");
	ck_assert_uint_eq(options.dhcp.host_count, 1);
	ck_assert(mac_equal(&options.dhcp.hosts[0].mac, &options.netns.mac));
	ck_assert_uint_eq(options.netns.mac.bytes[0] & 3, 2);
}
END_TEST

START_TEST(test_dns_address)
{
	struct addr router, router6;

	ck_assert_int_eq(parse(options_parse, "--link tap:a --dns-address 192.168.65.53"),
			 OPTIONS_RUN);
	router = options_router(&options, AF_INET);
	router6 = options_router(&options, AF_INET6);
	expect_addr(&router, "192.168.65.1");
	expect_addr(&router6, "fd65:6e70:7879::1");
	expect_addr(&options.host_alias, "192.168.65.1");
	expect_addr(&options.gateway, "192.168.65.53");
	expect_addr(&options.gateway6, "fd65:6e70:7879::35");
}
END_TEST

/* ---- slirp4netns' ---- */

START_TEST(test_slirp4netns)
{
	ck_assert_int_eq(parse(slirp4netns_options_parse,
			       "-c -6 -e 7 -r 8 --mtu=65521 -a /tmp/api --enable-sandbox "
			       "--enable-seccomp --disable-host-loopback 42 eth3"),
			 OPTIONS_RUN);
	ck_assert_str_eq(options.netns.netns, "42");
	ck_assert_str_eq(options.netns.ifname, "eth3");
	ck_assert_str_eq(options.netns.slirp4netns_api, "/tmp/api");
	ck_assert(options.netns.configure && options.netns.sandbox && options.netns.seccomp);
	ck_assert(!options.host_access && !options.guest_api && !options.no_dns);
	ck_assert_int_eq(options.netns.exit_fd, 7);
	ck_assert_int_eq(options.netns.ready_fd, 8);
	ck_assert_uint_eq(options.mtu, 65520);
	expect_addr(&options.host_alias, "10.0.2.2");
	expect_addr(&options.gateway, "10.0.2.3");
	expect_addr(&options.netns.address, "10.0.2.100");
	expect_addr(&options.host_alias6, "fd00::2");
	expect_addr(&options.gateway6, "fd00::3");
	expect_addr(&options.netns.address6, "fd00::64");
	expect_addr(&options.dhcp.first, "10.0.2.15");
	expect_addr(&options.dhcp.last, "10.0.2.30");
}
END_TEST

START_TEST(test_slirp4netns_cidr)
{
	ck_assert_int_eq(
		parse(slirp4netns_options_parse, "--cidr=10.7.8.128/25 --disable-dns 42 t"),
		OPTIONS_RUN);
	ck_assert(options.no_dns && !options.netns.configure);
	ck_assert_uint_eq(options.prefix6.length, 0);
	expect_addr(&options.host_alias, "10.7.8.130");
	expect_addr(&options.gateway, "10.7.8.131");
	expect_addr(&options.netns.address, "10.7.8.228");
}
END_TEST

static const char *const bad_lines[] = {
	"",
	"1",
	"x tap0",
	"0 tap0",
	"-1 tap0",
	"1x tap0",
	"--mtu=0 1 tap0",
	"--mtu=65522 1 tap0",
	"--mtu=-5 1 tap0",
	"--mtu=x 1 tap0",
	"--cidr=10.0.2.0/26 1 tap0",
	"--cidr=10.0.2.1/24 1 tap0",
	"--cidr=fd00::/64 1 tap0",
	"--cidr=x 1 tap0",
	"--netns-type=x 1 tap0",
	"--netns-type=path /nowhere/at/all tap0",
	"--userns-path=/nowhere/at/all 1 tap0",
	"--macaddress=02:00:00:00:00:01 1 tap0",
	"-c --macaddress=zz 1 tap0",
	"--target-type=x 1 tap0",
	"--target-type=bess -c /x",
	"--bogus 1 tap0",
	"-e",
	"-e x 1 tap0",
	"1 0123456789012345",
};

START_TEST(test_slirp4netns_bad)
{
	ck_assert_msg(parse(slirp4netns_options_parse, bad_lines[_i]) == OPTIONS_BAD, "%s",
		      bad_lines[_i]);
	ck_assert_msg(error[0] != '\0', "%s", bad_lines[_i]);
}
END_TEST

START_TEST(test_slirp4netns_name)
{
	ck_assert(slirp4netns_is_name("slirp4netns"));
	ck_assert(slirp4netns_is_name("/usr/bin/slirp4netns"));
	ck_assert(!slirp4netns_is_name("netproxy"));
	ck_assert(!slirp4netns_is_name("/slirp4netns/netproxy"));
	ck_assert(!slirp4netns_is_name(NULL));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options_netns");
	TCase *tcase = unit_case(suite, "options_netns", NULL, teardown);

	tcase_add_loop_test(tcase, test_lines, 0, sizeof(lines) / sizeof(lines[0]));
	tcase_add_test(tcase, test_netns_is_first_guest);
	tcase_add_test(tcase, test_dns_address);
	tcase_add_test(tcase, test_slirp4netns);
	tcase_add_test(tcase, test_slirp4netns_cidr);
	tcase_add_loop_test(tcase, test_slirp4netns_bad, 0,
			    sizeof(bad_lines) / sizeof(bad_lines[0]));
	tcase_add_test(tcase, test_slirp4netns_name);
	return unit_run(suite);
}
