/* SPDX-License-Identifier: Apache-2.0 */
/* The options of DHCP: their text forms, what becomes of them, and what contradicts. */
#include <stdlib.h>
#include <string.h>

#include "options_test.h"

#define MAC "52:54:00:12:34:56"

static const struct {
	const char *line;
	const char *words; /* of the message; NULL: it is good */
} lines[] = {
	{"--dhcp-host " MAC "=192.168.65.10", NULL},
	{"--dhcp-host " MAC "=192.168.65.10,web --dhcp-host id:ff0102=192.168.65.11,db", NULL},
	{"--dhcp-host id:FF:01:02=192.168.65.11", NULL},
	{"--dhcp-range 192.168.65.10-192.168.65.20 --dhcp-host " MAC "=192.168.65.30", NULL},
	{"--dhcp-host " MAC, "MAC=ADDRESS"},
	{"--dhcp-host " MAC "=", "MAC=ADDRESS"},
	{"--dhcp-host =192.168.65.10", "MAC=ADDRESS"},
	{"--dhcp-host id:=192.168.65.10", "MAC=ADDRESS"},
	{"--dhcp-host id:f=192.168.65.10", "MAC=ADDRESS"},
	{"--dhcp-host id:fg=192.168.65.10", "MAC=ADDRESS"},
	{"--dhcp-host id:ff::01=192.168.65.10", "MAC=ADDRESS"},
	{"--dhcp-host id:ff=192.168.65.10", "2 bytes or more"},
	{"--dhcp-host " MAC "=192.168.65.10,", "MAC=ADDRESS"},
	{"--dhcp-host " MAC "=fd00::1", "MAC=ADDRESS"},
	{"--dhcp-host " MAC "=192.168.65.10,-web", "host name"},
	{"--dhcp-host " MAC "=192.168.65.10,web.example", "host name"},
	{"--dhcp-host ff:ff:ff:ff:ff:ff=192.168.65.10", "a MAC of one device"},
	{"--dhcp-host " MAC "=10.0.0.1", "isn't a host address"},
	{"--dhcp-host " MAC "=192.168.65.0", "isn't a host address"},
	{"--dhcp-host " MAC "=192.168.65.255", "isn't a host address"},
	{"--dhcp-host " MAC "=192.168.65.1", "the gateway's"},
	{"--dhcp-host " MAC "=192.168.65.254", "the host alias'"},
	{"--dhcp-host " MAC "=192.168.65.5 --dhcp-host " MAC "=192.168.65.6",
	 "another static lease"},
	{"--dhcp-host " MAC "=192.168.65.5 --dhcp-host id:0102=192.168.65.5",
	 "another static lease"},
	{"--dhcp-range 192.168.65.10-192.168.65.10", NULL},
	{"--dhcp-range 192.168.65.10", "FIRST-LAST"},
	{"--dhcp-range 192.168.65.10-", "FIRST-LAST"},
	{"--dhcp-range 192.168.65.20-192.168.65.10", "is empty"},
	{"--dhcp-range 10.0.0.1-10.0.0.9", "isn't within"},
	{"--dhcp-route 10.0.0.0/8=192.168.65.9 --dhcp-route 0.0.0.0/0=192.168.65.9", NULL},
	{"--dhcp-route 10.0.0.0/8", "PREFIX=ROUTER"},
	{"--dhcp-route fd00::/8=192.168.65.9", "PREFIX=ROUTER"},
	{"--dhcp-route 10.0.0.0/8=10.0.0.1", "isn't in the subnet"},
	{"--dhcp-boot pxelinux.0", NULL},
	{"--dhcp-boot a,b,192.168.65.254", NULL},
	{"--dhcp-boot pxelinux.0,example", "FILE[,ADDRESS]"},
	{"--dhcp-boot ,192.168.65.254", "text of 1"},
	{"--dhcp-boot x --dhcp-option 67=y", "say the same"},
	{"--dhcp-max-per-guest 0 --dhcp-by-id", NULL},
	{"--dhcp-max-per-guest 65536", "a number from 0"},
	{"--ntp 192.168.65.254 --ntp 10.0.0.1", NULL},
	{"--ntp example.org", "an IPv4 address"},
	{"--no-dhcp", NULL},
	{"--no-dhcp --dhcp-range 192.168.65.10-192.168.65.20", "no other option about DHCP"},
	{"--no-dhcp --dhcp-option 3=", "no other option about DHCP"},
	{"--dhcp-option 3= --dhcp-option 3=192.168.65.9", "given twice"},
	{"--dhcp-option 3", "CODE=VALUE"},
	{"--dhcp-option =3", "CODE=VALUE"},
	{"--dhcp-option 0=1", "CODE=VALUE"},
	{"--dhcp-option 255=1", "CODE=VALUE"},
	{"--dhcp-option x=1", "CODE=VALUE"},
	{"--dhcp-option 3!!=1.2.3.4", "CODE=VALUE"},
	{"--dhcp-option 3=1.2.3.4,", "IPv4 addresses"},
	{"--dhcp-option 3=fd00::1", "IPv4 addresses"},
	{"--dhcp-option 2=-1", "4294967295"},
	{"--dhcp-option 23=256", "from 0 to 255"},
	{"--dhcp-option 13=65536", "from 0 to 65535"},
	{"--dhcp-option 224=x", "the value's type"},
	{"--dhcp-option 224=hex:", "hexadecimal"},
	{"--dhcp-option 224=hex:0", "hexadecimal"},
	{"--dhcp-option 224=hex:00:", "hexadecimal"},
	{"--dhcp-option 224=domains:a..b", "domain names"},
	{"--dhcp-option 1=255.0.0.0", "--subnet"},
	{"--dhcp-option 12=web", "--dhcp-host"},
	{"--dhcp-option 15=x", "--domain"},
	{"--dhcp-option 26=9000", "--mtu"},
	{"--dhcp-option 42=1.2.3.4", "--ntp"},
	{"--dhcp-option 51=3", "--lease-time"},
	{"--dhcp-option 53=3", "the protocol itself"},
	{"--dhcp-option 61=hex:01", "the protocol itself"},
	{"--dhcp-option 119=x", "--dns-search"},
	{"--dhcp-option 121=hex:00", "--dhcp-route"},
};

START_TEST(forms)
{
	enum options_result expected = lines[_i].words ? OPTIONS_BAD : OPTIONS_RUN;

	ck_assert_msg(parse(lines[_i].line) == expected, "%s: %s", lines[_i].line, error);
	if (lines[_i].words)
		ck_assert_msg(strstr(error, lines[_i].words), "%s: \"%s\" doesn't say \"%s\"",
			      lines[_i].line, error, lines[_i].words);
}
END_TEST

static const struct {
	const char *value;
	bool always, omit;
	size_t size;
	const char *bytes;
} values[] = {
	{"3=", false, true, 0, ""},
	{"224=", false, true, 0, ""},
	{"66=tftp.example", false, false, 12, "tftp.example"},
	{"66=text:hex:", false, false, 4, "hex:"},
	{"114=https://portal.example/", false, false, 23, "https://portal.example/"},
	{"4!=1.2.3.4,10.0.0.1", true, false, 8, "\1\2\3\4\x0a\0\0\1"},
	{"224=address:1.2.3.4", false, false, 4, "\1\2\3\4"},
	{"43=hex:0aFf01", false, false, 3, "\x0a\xff\1"},
	{"43=hex:0a:ff:01", false, false, 3, "\x0a\xff\1"},
	{"3=hex:00", false, false, 1, "\0"},
	{"2=3600", false, false, 4, "\0\0\x0e\x10"},
	{"224=u32:4294967295", false, false, 4, "\xff\xff\xff\xff"},
	{"224=u16:258", false, false, 2, "\1\2"},
	{"23=64", false, false, 1, "\x40"},
	{"224=domains:a.b,c", false, false, 8, "\1a\1b\0\1c"},
};

START_TEST(option_values)
{
	char line[128] = "--dhcp-option ";
	const struct dhcp_extra *extra;

	strcat(line, values[_i].value);
	ck_assert_msg(parse(line) == OPTIONS_RUN, "%s", error);
	ck_assert_uint_eq(options.dhcp.extra_count, 1);
	extra = &options.dhcp.extras[0];
	ck_assert_int_eq(extra->code, atoi(values[_i].value));
	ck_assert_int_eq(extra->always, values[_i].always);
	ck_assert_int_eq(extra->omit, values[_i].omit);
	ck_assert_uint_eq(extra->size, values[_i].size);
	if (extra->size)
		ck_assert_mem_eq(extra->data, values[_i].bytes, extra->size);
}
END_TEST

START_TEST(reservations)
{
	const struct dhcp_reservation *host;

	ck_assert_int_eq(parse("--dhcp-host " MAC "=192.168.65.10,Web --dhcp-host "
			       "id:ff:01=192.168.65.11 --dhcp-max-per-guest 3 --dhcp-by-id"),
			 OPTIONS_RUN);
	host = options.dhcp.hosts;
	ck_assert(host[0].by_mac && host[0].mac.bytes[5] == 0x56);
	ck_assert_uint_eq(addr_v4(&host[0].address), 0xc0a8410a);
	ck_assert_str_eq(host[0].hostname, "Web");
	ck_assert(!host[1].by_mac && host[1].client_id_size == 2);
	ck_assert_mem_eq(host[1].client_id, "\xff\1", 2);
	struct dhcp_conf conf;

	options_dhcp_conf(&options, &conf);
	ck_assert_uint_eq(conf.leases_per_source_max, 3);
	ck_assert(!conf.one_per_mac);
}
END_TEST

static void check_first(const char *line, uint32_t address)
{
	struct addr first;

	ck_assert_msg(parse(line) == OPTIONS_RUN, "%s", error);
	first = options_first_guest(&options);
	ck_assert_msg(addr_v4(&first) == address, "%s: %x", line, addr_v4(&first));
	options_free(&options);
}

/* Where --publish leads to when it names no guest. */
START_TEST(first_guest)
{
	check_first("--mtu 1500", 0xc0a84102);
	check_first("--gateway 192.168.65.9", 0xc0a84101);
	check_first("--host-alias 192.168.65.2", 0xc0a84103);
	check_first("--dhcp-range 192.168.65.100-192.168.65.110", 0xc0a84164);
	check_first("--gateway 192.168.65.100 --dhcp-range 192.168.65.100-192.168.65.110",
		    0xc0a84165);
	check_first("--dhcp-host " MAC "=192.168.65.50", 0xc0a84132);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options_dhcp");
	TCase *tc = unit_case(suite, "options_dhcp", NULL, teardown);

	tcase_add_loop_test(tc, forms, 0, sizeof(lines) / sizeof(lines[0]));
	tcase_add_loop_test(tc, option_values, 0, sizeof(values) / sizeof(values[0]));
	tcase_add_test(tc, reservations);
	tcase_add_test(tc, first_guest);
	return unit_run(suite);
}
