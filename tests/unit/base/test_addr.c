/* SPDX-License-Identifier: Apache-2.0 */
/* Text forms of addresses: what is accepted, what is refused, and that nothing is lost on the way.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "unit.h"

#define COUNT(ARRAY) (sizeof(ARRAY) / sizeof((ARRAY)[0]))

START_TEST(mac_text)
{
	static const char *const bad[] = {
		"",
		":",
		"52",
		"52:54:00:12:34",
		"52:54:00:12:34:",
		"52:54:00:12:34:5",
		"52:54:00:12:34:56:",
		"52:54:00:12:34:56 ",
		"52:54:00:12:34:567",
		"52-54-00-12-34-56",
		"525400123456",
		"g2:54:00:12:34:56",
		" 2:54:00:12:34:56",
	};
	struct mac mac = {{1, 2, 3, 4, 5, 6}};
	struct mac before = mac;
	char text[MAC_TEXT_MAX];

	for (size_t i = 0; i < COUNT(bad); i++) {
		ck_assert_int_eq(mac_parse(bad[i], &mac), -EINVAL);
		ck_assert(mac_equal(&mac, &before));
	}
	ck_assert_int_eq(mac_parse("5A:54:00:fF:34:09", &mac), 0);
	ck_assert_mem_eq(mac.bytes, ((uint8_t[]){0x5a, 0x54, 0, 0xff, 0x34, 9}), MAC_SIZE);
	ck_assert_str_eq(mac_format(&mac, text), "5a:54:00:ff:34:09");
}
END_TEST

START_TEST(mac_group)
{
	struct mac unicast = {{0x52, 0x55, 1, 1, 1, 1}};
	struct mac multicast = {{0x33, 0x33, 0, 0, 0, 1}};

	ck_assert(!mac_is_group(&unicast));
	ck_assert(mac_is_group(&multicast));
	ck_assert(mac_is_group(&mac_broadcast));
}
END_TEST

START_TEST(addr_text)
{
	static const char *const bad[] = {
		"",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.256",
		"01.2.3.4",
		" 1.2.3.4",
		"1.2.3.4 ",
		"0x7f.0.0.1",
		"127.1",
		"[::1]",
		":::",
		"1:2:3:4:5:6:7:8:9",
		"fe80::1%eth0",
		"localhost",
	};
	static const char *const good[] = {"0.0.0.0", "192.168.65.1", "255.255.255.255",
					   "::",      "fe80::1",      "::ffff:1.2.3.4"};
	struct addr addr = addr_from_v4(7);
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < COUNT(bad); i++) {
		ck_assert_msg(addr_parse(bad[i], &addr) == -EINVAL, "%s", bad[i]);
		ck_assert_uint_eq(addr_v4(&addr), 7);
	}
	for (size_t i = 0; i < COUNT(good); i++) {
		ck_assert_int_eq(addr_parse(good[i], &addr), 0);
		ck_assert_str_eq(addr_format(&addr, text), good[i]);
	}
	addr.family = AF_UNSPEC;
	ck_assert_str_eq(addr_format(&addr, text), "");
}
END_TEST

static struct addr parsed(const char *text)
{
	struct addr addr;

	ck_assert_int_eq(addr_parse(text, &addr), 0);
	return addr;
}

START_TEST(addr_kinds)
{
	static const struct {
		const char *text;
		bool loopback;
		bool any;
		bool multicast;
	} cases[] = {
		{"127.0.0.1", true, false, false},  {"127.255.255.255", true, false, false},
		{"128.0.0.1", false, false, false}, {"0.0.0.0", false, true, false},
		{"0.0.0.1", false, false, false},   {"223.255.255.255", false, false, false},
		{"224.0.0.1", false, false, true},  {"239.255.255.255", false, false, true},
		{"240.0.0.0", false, false, false}, {"::1", true, false, false},
		{"::", false, true, false},         {"ff02::1", false, false, true},
		{"fe80::1", false, false, false},
	};
	struct addr none = {.family = AF_UNSPEC};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct addr addr = parsed(cases[i].text);

		ck_assert_msg(addr_is_loopback(&addr) == cases[i].loopback, "%s", cases[i].text);
		ck_assert_msg(addr_is_any(&addr) == cases[i].any, "%s", cases[i].text);
		ck_assert_msg(addr_is_multicast(&addr) == cases[i].multicast, "%s", cases[i].text);
	}
	ck_assert(addr_is_any(&none));
	ck_assert(!addr_is_loopback(&none));
	ck_assert(!addr_is_multicast(&none));
}
END_TEST

START_TEST(addr_equality)
{
	struct addr a = parsed("1.2.3.4");
	struct addr b = parsed("1.2.3.5");
	struct addr c = parsed("102:304::");
	struct addr none = {.family = AF_UNSPEC};

	ck_assert(addr_equal(&a, &a));
	ck_assert(!addr_equal(&a, &b));
	ck_assert(!addr_equal(&a, &c));
	ck_assert(addr_equal(&c, &c));
	ck_assert(!addr_equal(&c, &none));
	ck_assert(addr_equal(&none, &none));
	ck_assert_uint_eq(addr_v4(&a), 0x01020304);
}
END_TEST

START_TEST(endpoint_text)
{
	static const char *const bad[] = {
		"",
		":",
		"80",
		"1.2.3.4",
		"1.2.3.4:",
		"1.2.3.4:0",
		"1.2.3.4:x",
		"1.2.3.4:80 ",
		"1.2.3.4: 80",
		"1.2.3.4:+80",
		"1.2.3.4:-1",
		"1.2.3.4:65536",
		"1.2.3.4:000080",
		"1.2.3.4:4294967376",
		"::1:80",
		"[1.2.3.4]:80",
		"[::1]",
		"[::1]80",
		"[::1:80",
		"::1]:80",
		"[]:80",
		"[:80",
		"]:80",
		"[[::1]]:80",
		"host:80",
		"1.2.3.4::80",
	};
	static const char *const good[] = {"1.2.3.4:80", "[::1]:65535", ":1",
					   "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535"};
	struct endpoint ep = {.port = 7};
	char text[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < COUNT(bad); i++) {
		ck_assert_msg(endpoint_parse(bad[i], false, &ep) == -EINVAL, "%s", bad[i]);
		ck_assert_uint_eq(ep.port, 7);
	}
	for (size_t i = 0; i < COUNT(good); i++)
		ck_assert_int_eq(endpoint_parse(good[i], false, &ep), 0);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(endpoint_parse(good[i], false, &ep), 0);
		ck_assert_str_eq(endpoint_format(&ep, text), good[i]);
	}
	ck_assert_int_eq(ep.addr.family, AF_UNSPEC);
	ck_assert_int_eq(endpoint_parse("127.0.0.1:0", true, &ep), 0);
	ck_assert_uint_eq(ep.port, 0);
}
END_TEST

START_TEST(endpoint_longest_text)
{
	struct endpoint ep = {.port = 65535, .addr = {.family = AF_INET6}};
	char text[ENDPOINT_TEXT_MAX];

	memset(&ep.addr.v6, 0xff, sizeof(ep.addr.v6));
	ck_assert_str_eq(endpoint_format(&ep, text),
			 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}
END_TEST

START_TEST(endpoint_sockaddr)
{
	static const char *const texts[] = {"1.2.3.4:80", "[2001:db8::1]:443"};
	struct sockaddr_storage sa;
	struct endpoint ep;
	struct endpoint back;

	for (size_t i = 0; i < COUNT(texts); i++) {
		ck_assert_int_eq(endpoint_parse(texts[i], false, &ep), 0);
		ck_assert_uint_gt(endpoint_to_sockaddr(&ep, &sa), 0);
		ck_assert_int_eq(endpoint_from_sockaddr((struct sockaddr *)&sa, &back), 0);
		ck_assert(endpoint_equal(&ep, &back));
	}
	ck_assert_int_eq(endpoint_parse(":80", false, &ep), 0);
	ck_assert_uint_eq(endpoint_to_sockaddr(&ep, &sa), sizeof(struct sockaddr_in6));
	ck_assert_int_eq(sa.ss_family, AF_INET6);
	ck_assert_int_eq(endpoint_from_sockaddr((struct sockaddr *)&sa, &back), 0);
	ck_assert(addr_is_any(&back.addr));
	sa.ss_family = AF_UNIX;
	ck_assert_int_eq(endpoint_from_sockaddr((struct sockaddr *)&sa, &back), -EAFNOSUPPORT);
}
END_TEST

START_TEST(endpoint_mapped_becomes_v4)
{
	struct endpoint ep = {.port = 80, .addr = parsed("::ffff:10.0.0.1")};
	struct sockaddr_storage sa;
	char text[ENDPOINT_TEXT_MAX];

	endpoint_to_sockaddr(&ep, &sa);
	ck_assert_int_eq(endpoint_from_sockaddr((struct sockaddr *)&sa, &ep), 0);
	ck_assert_str_eq(endpoint_format(&ep, text), "10.0.0.1:80");
}
END_TEST

START_TEST(prefix_text)
{
	static const char *const bad[] = {
		"",           "/",           "10.0.0.0",      "10.0.0.0/",         "10.0.0.0/33",
		"10.0.0.1/8", "10.0.0.0/ 8", "10.0.0.0/8/8",  "fd00::/129",        "fd00::1/64",
		"/24",        "10.0.0.0/-1", "10.0.0.0/0008", "192.168.65.128/24",
	};
	static const char *const good[] = {
		"0.0.0.0/0",   "192.168.65.0/24", "192.168.65.128/25", "1.2.3.4/32", "::/0",
		"fd00:1::/64", "::1/128"};
	struct prefix prefix = {.length = 77};
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < COUNT(bad); i++) {
		ck_assert_msg(prefix_parse(bad[i], &prefix) == -EINVAL, "%s", bad[i]);
		ck_assert_uint_eq(prefix.length, 77);
	}
	for (size_t i = 0; i < COUNT(good); i++) {
		ck_assert_msg(prefix_parse(good[i], &prefix) == 0, "%s", good[i]);
		ck_assert_str_eq(prefix_format(&prefix, text), good[i]);
	}
}
END_TEST

START_TEST(prefix_members)
{
	static const struct {
		const char *prefix;
		const char *addr;
		bool inside;
	} cases[] = {
		{"192.168.65.0/24", "192.168.65.255", true},
		{"192.168.65.0/24", "192.168.64.255", false},
		{"192.168.64.0/23", "192.168.65.255", true},
		{"192.168.64.0/23", "192.168.66.0", false},
		{"0.0.0.0/0", "255.1.2.3", true},
		{"0.0.0.0/0", "::1", false},
		{"1.2.3.4/32", "1.2.3.4", true},
		{"1.2.3.4/32", "1.2.3.5", false},
		{"fd00::/64", "fd00::ffff:ffff:ffff:ffff", true},
		{"fd00::/64", "fd00:0:0:1::", false},
		{"fd00::/8", "1.2.3.4", false},
	};
	struct addr none = {.family = AF_UNSPEC};
	struct prefix prefix;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct addr addr = parsed(cases[i].addr);

		ck_assert_int_eq(prefix_parse(cases[i].prefix, &prefix), 0);
		ck_assert_msg(prefix_contains(&prefix, &addr) == cases[i].inside, "%s in %s",
			      cases[i].addr, cases[i].prefix);
		ck_assert(!prefix_contains(&prefix, &none));
	}
	prefix = (struct prefix){.addr = {.family = AF_UNSPEC}};
	ck_assert(!prefix_contains(&prefix, &none));
}
END_TEST

START_TEST(prefix_masks)
{
	struct prefix prefix = {.addr = addr_from_v4(0)};

	ck_assert_uint_eq(prefix_mask4(&prefix), 0);
	prefix.length = 1;
	ck_assert_uint_eq(prefix_mask4(&prefix), 0x80000000);
	prefix.length = 24;
	ck_assert_uint_eq(prefix_mask4(&prefix), 0xffffff00);
	prefix.length = 32;
	ck_assert_uint_eq(prefix_mask4(&prefix), 0xffffffff);
}
END_TEST

int main(void)
{
	return unit_main("addr", NULL, NULL,
			 (const TTest *[]){
				 mac_text,
				 mac_group,
				 addr_text,
				 addr_kinds,
				 addr_equality,
				 endpoint_text,
				 endpoint_longest_text,
				 endpoint_sockaddr,
				 endpoint_mapped_becomes_v4,
				 prefix_text,
				 prefix_members,
				 prefix_masks,
				 NULL,
			 });
}
