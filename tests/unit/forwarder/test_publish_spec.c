/* SPDX-License-Identifier: Apache-2.0 */
/* Forwards as they are asked for, as whom guests see clients, and the PROXY header. */
#include "forwarder/publish_spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "forwarder/proxy_header.h"
#include "forwarder/publish_source.h"
#include "unit.h"

static struct stack_conf conf;
static char why[PUBLISH_WHY_MAX];

static struct addr address(const char *text)
{
	struct addr addr;

	ck_assert_int_eq(addr_parse(text, &addr), 0);
	return addr;
}

static struct endpoint endpoint(const char *text)
{
	struct endpoint at;

	ck_assert_int_eq(endpoint_parse(text, true, &at), 0);
	return at;
}

static void setup(void)
{
	prefix_parse("192.168.65.0/24", &conf.subnet);
	conf.gateway = address("192.168.65.1");
	conf.alias = address("192.168.65.254");
	prefix_parse("fd65::/64", &conf.prefix6);
	conf.gateway6 = address("fd65::1");
	conf.alias6 = address("fd65::fe");
}

static struct publish_spec spec(const char *local, const char *remote)
{
	return (struct publish_spec){.local = endpoint(local), .remote = endpoint(remote)};
}

/* ---- As whom a guest sees a client ---- */

static const struct {
	const char *client;
	sa_family_t family;
	enum publish_source source;
	const char *seen;
} clients[] = {
	{"203.0.113.7:1000", AF_INET, PUBLISH_SOURCE_CLIENT, "203.0.113.7:1000"},
	{"203.0.113.7:1000", AF_INET, PUBLISH_SOURCE_GATEWAY, "192.168.65.1:1000"},
	{"203.0.113.7:1000", AF_INET6, PUBLISH_SOURCE_CLIENT, "[fd65::1]:1000"},
	{"127.0.0.1:1000", AF_INET, PUBLISH_SOURCE_CLIENT, "192.168.65.1:1000"},
	{"192.168.65.9:1000", AF_INET, PUBLISH_SOURCE_CLIENT, "192.168.65.1:1000"},
	{"[2001:db8::7]:1000", AF_INET6, PUBLISH_SOURCE_CLIENT, "[2001:db8::7]:1000"},
	{"[2001:db8::7]:1000", AF_INET6, PUBLISH_SOURCE_GATEWAY, "[fd65::1]:1000"},
	{"[2001:db8::7]:1000", AF_INET, PUBLISH_SOURCE_CLIENT, "192.168.65.1:1000"},
	{"[::1]:1000", AF_INET6, PUBLISH_SOURCE_CLIENT, "[fd65::1]:1000"},
	{"[::1]:1000", AF_INET, PUBLISH_SOURCE_CLIENT, "192.168.65.1:1000"},
	{"[fe80::7]:1000", AF_INET6, PUBLISH_SOURCE_CLIENT, "[fd65::1]:1000"},
	{"[fd65::7]:1000", AF_INET6, PUBLISH_SOURCE_CLIENT, "[fd65::1]:1000"},
	{":0", AF_INET, PUBLISH_SOURCE_CLIENT, "192.168.65.1:0"}, /* of a unix socket */
};

START_TEST(sources)
{
	struct endpoint client = endpoint(clients[_i].client);
	struct endpoint seen = publish_source(&conf, clients[_i].source, clients[_i].family,
					      &client);
	char text[ENDPOINT_TEXT_MAX];

	ck_assert_str_eq(endpoint_format(&seen, text), clients[_i].seen);
}
END_TEST

/* ---- The PROXY header: bytes by hand from its specification ---- */

#define SIGNATURE "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"

START_TEST(proxy_headers)
{
	static const uint8_t v4[] = SIGNATURE "\x21\x11\x00\x0c"
					      "\xcb\x00\x71\x07\x0a\x00\x00\x01\xdd\xd5\x00\x50";
	static const uint8_t v6[] = SIGNATURE "\x21\x22\x00\x24"
					      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
					      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
					      "\x03\xe8\x00\x35";
	static const uint8_t local[] = SIGNATURE "\x20\x00\x00\x00";
	uint8_t bytes[PROXY_HEADER_MAX];
	struct endpoint client = endpoint("203.0.113.7:56789"), at = endpoint("10.0.0.1:80");
	struct endpoint client6 = endpoint("[2001:db8::7]:1000"), at6 = endpoint("[::1]:53");
	struct endpoint none = {0};

	ck_assert_uint_eq(proxy_header_write(&client, &at, false, bytes), sizeof(v4) - 1);
	ck_assert_mem_eq(bytes, v4, sizeof(v4) - 1);
	ck_assert_uint_eq(proxy_header_write(&client6, &at6, true, bytes), sizeof(v6) - 1);
	ck_assert_uint_eq(sizeof(v6) - 1, PROXY_HEADER_MAX);
	ck_assert_mem_eq(bytes, v6, sizeof(v6) - 1);
	ck_assert_uint_eq(proxy_header_write(&none, &none, false, bytes), sizeof(local) - 1);
	ck_assert_mem_eq(bytes, local, sizeof(local) - 1);
	ck_assert_uint_eq(proxy_header_write(&client, &at6, false, bytes), sizeof(local) - 1);
	ck_assert_mem_eq(bytes, local, sizeof(local) - 1);
}
END_TEST

/* ---- What can be asked for ---- */

START_TEST(checks)
{
	static const char *const good[] = {"192.168.65.2:80", "[fd65::2]:80"};
	static const char *const nobody[] = {"192.168.65.1:80", "192.168.65.254:80", "10.0.0.1:80",
					     "[fd65::1]:80",    "[fd65::fe]:80",     "[fd65::]:80",
					     "[fd66::2]:80",    "[fe80::2]:80",      ":80"};
	struct publish_spec s;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		s = spec(":80", good[i]);
		ck_assert_int_eq(publish_spec_check(&s, &conf, why), 0);
	}
	for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		s = spec(":80", nobody[i]);
		ck_assert_int_eq(publish_spec_check(&s, &conf, why), -EHOSTUNREACH);
		ck_assert_ptr_nonnull(strstr(why, "192.168.65.0/24 or fd65::/64"));
	}
	strcpy(s.guest, "web");
	ck_assert_int_eq(publish_spec_check(&s, &conf, why), 0);
	s.remote.port = 0;
	ck_assert_int_eq(publish_spec_check(&s, &conf, why), -EINVAL);
	s = spec(":0", "192.168.65.2:80");
	s.protocol = PUBLISH_UNIX;
	ck_assert_int_eq(publish_spec_check(&s, &conf, why), -EINVAL);
	memset(s.local_text, '/', 108);
	ck_assert_int_eq(publish_spec_check(&s, &conf, why), -ENAMETOOLONG);
	s.local_text[107] = '\0';
	ck_assert_int_eq(publish_spec_check(&s, &conf, why), 0);
	/* A network without IPv6 has no guests there. */
	conf.prefix6 = (struct prefix){0};
	s = spec(":80", "[fd65::2]:80");
	ck_assert_int_eq(publish_spec_check(&s, &conf, why), -EHOSTUNREACH);
}
END_TEST

static const struct {
	const char *remote, *via;
	int r;
	const char *why;
} behind[] = {
	{"10.88.0.5:80", "192.168.65.2", 0, ""},
	{"10.88.0.5:80", "box", 0, ""},
	{"10.88.0.5:80", "fd65::2", 0, ""},
	{"[fd99::5]:80", "192.168.65.2", 0, ""},
	{"[fd99::5]:80", "[fd65::2]", 0, ""},
	{"10.88.0.5:80", "", -EHOSTUNREACH, "or \"via\""},
	{"10.88.0.5:80", "8.8.8.8", -EHOSTUNREACH, "an address of a guest"},
	{"10.88.0.5:80", "192.168.65.1", -EHOSTUNREACH, "an address of a guest"},
	{"10.88.0.5:80", "fd65::fe", -EHOSTUNREACH, "an address of a guest"},
	{"10.88.0.5:80", "fe80::2", -EHOSTUNREACH, "an address of a guest"},
	{"192.168.65.3:80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
	{"192.168.65.254:80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
	{"[fd65::3]:80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
	{"127.0.0.1:80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
	{"169.254.1.1:80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
	{"224.0.0.1:80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
	{"255.255.255.255:80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
	{"0.0.0.0:80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
	{"[::1]:80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
	{"[fe80::5]:80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
	{"[ff0e::5]:80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
	{":80", "192.168.65.2", -EHOSTUNREACH, "behind a guest"},
};

START_TEST(behind_a_guest)
{
	struct publish_spec s = spec(":80", behind[_i].remote);

	why[0] = '\0';
	if (behind[_i].via[0])
		ck_assert_int_eq(publish_parse_guest(behind[_i].via, &s.via, s.via_name), 0);
	ck_assert_int_eq(publish_spec_check(&s, &conf, why), behind[_i].r);
	ck_assert_msg(strstr(why, behind[_i].why), "\"%s\" lacks \"%s\"", why, behind[_i].why);
	/* By name it would lead to a guest itself. */
	strcpy(s.guest, "web");
	if (s.via.family || s.via_name[0])
		ck_assert_int_eq(publish_spec_check(&s, &conf, why), -EHOSTUNREACH);
}
END_TEST

START_TEST(guests_as_users_name_them)
{
	static const char *const bad[] = {"", "1.2.3", "[]", "[box]", "[::1", "a b", "a/b", "1-2"};
	char name[PUBLISH_NAME_MAX] = "", text[PUBLISH_NAME_MAX];
	struct publish_spec s = {0}, other;
	struct addr addr = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(publish_parse_guest(bad[i], &addr, name), -EINVAL);
	ck_assert(addr.family == AF_UNSPEC && !name[0]);
	ck_assert_str_eq(publish_via_text(&s, text), "");
	ck_assert_int_eq(publish_parse_guest("web-1.lan", &s.via, s.via_name), 0);
	ck_assert_str_eq(publish_via_text(&s, text), "web-1.lan");
	other = s;
	ck_assert(publish_spec_equal(&s, &other));
	other.via_name[0] = '\0';
	ck_assert(!publish_spec_equal(&s, &other));
	ck_assert_int_eq(publish_parse_guest("[fd65::2]", &other.via, other.via_name), 0);
	ck_assert_str_eq(publish_via_text(&other, text), "fd65::2");
}
END_TEST

static struct publish_rule rule(const char *hosts, uint16_t first, uint16_t last)
{
	struct publish_rule r = {.first = first, .last = last};

	if (hosts)
		ck_assert_int_eq(prefix_parse(hosts, &r.hosts), 0);
	return r;
}

START_TEST(rules)
{
	struct publish_rule some[] = {rule("127.0.0.0/8", 1024, 65535), rule("::1/128", 80, 80),
				      rule(NULL, 9000, 9999)};
	static const struct {
		const char *local;
		int r;
	} asked[] = {
		{"127.0.0.1:1024", 0},
		{"127.0.0.1:1023", -EPERM},
		{"127.9.9.9:0", 0},
		{"[::1]:80", 0},
		{"[::1]:81", -EPERM},
		{":9000", 0},
		{":9999", 0},
		{":10000", -EPERM},
		{"10.0.0.1:9500", 0},
		{"10.0.0.1:80", -EPERM},
		{"0.0.0.0:80", -EPERM},
		{"[::]:80", -EPERM},
		{":0", 0},
		{"0.0.0.0:1024", -EPERM},
	};

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		struct publish_spec s = spec(asked[i].local, "192.168.65.2:80");

		ck_assert_msg(publish_rules_check(some, 3, &s, why) == asked[i].r, "%s",
			      asked[i].local);
	}
	struct publish_spec s = spec("10.0.0.1:80", "192.168.65.2:80");

	publish_rules_check(some, 3, &s, why);
	ck_assert_str_eq(why, "this host lets guests publish at 127.0.0.0/8 port 1024-65535, "
			      "::1/128 port 80-80, any address port 9000-9999 only");
	ck_assert_int_eq(publish_rules_check(some, 0, &s, why), -EPERM);
	s.protocol = PUBLISH_UNIX;
	ck_assert_int_eq(publish_rules_check(&some[2], 1, &s, why), -EPERM);
}
END_TEST

/* However many rules there are, the words end within their room. */
START_TEST(many_rules)
{
	struct publish_rule many[64];
	struct publish_spec s = spec(":80", "192.168.65.2:80");

	for (size_t i = 0; i < 64; i++)
		many[i] = rule("fd00:1111:2222:3333::/64", 10000, 20000);
	ck_assert_int_eq(publish_rules_check(many, 64, &s, why), -EPERM);
	ck_assert_uint_lt(strlen(why), sizeof(why));
}
END_TEST

START_TEST(ranges)
{
	struct publish_spec s = spec("127.0.0.1:8000", "192.168.65.2:80"), *specs;
	unsigned count;

	strcpy(s.local_text, "127.0.0.1:8000-8002");
	ck_assert_int_eq(publish_expand(&s, 3, true, &specs, &count, why), 0);
	ck_assert_uint_eq(count, 6);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert_uint_eq(specs[i].local.port, 8000 + i / 2);
		ck_assert_uint_eq(specs[i].remote.port, 80 + i / 2);
		ck_assert_int_eq(specs[i].protocol, i % 2 ? PUBLISH_UDP : PUBLISH_TCP);
		publish_spec_fill_texts(&specs[i]);
	}
	ck_assert_str_eq(specs[5].local_text, "127.0.0.1:8002");
	ck_assert_str_eq(specs[5].remote_text, "192.168.65.2:82");
	free(specs);
	/* One forward keeps the text that it was asked for by. */
	strcpy(s.local_text, "0127.0.0.1:8000");
	ck_assert_int_eq(publish_expand(&s, 1, false, &specs, &count, why), 0);
	ck_assert_str_eq(specs[0].local_text, "0127.0.0.1:8000");
	free(specs);
	s.local.port = 65000;
	ck_assert_int_eq(publish_expand(&s, 536, false, &specs, &count, why), 0);
	ck_assert_uint_eq(specs[535].local.port, 65535);
	free(specs);
	ck_assert_int_eq(publish_expand(&s, 537, false, &specs, &count, why), -EINVAL);
	s.local.port = 1;
	ck_assert_int_eq(publish_expand(&s, PUBLISH_RANGE_MAX + 1, false, &specs, &count, why),
			 -EINVAL);
	ck_assert_int_eq(publish_expand(&s, PUBLISH_RANGE_MAX, true, &specs, &count, why), -EINVAL);
	s.local.port = 0;
	ck_assert_int_eq(publish_expand(&s, 2, false, &specs, &count, why), -EINVAL);
	ck_assert_int_eq(publish_expand(&s, 1, true, &specs, &count, why), -EINVAL);
	s.protocol = PUBLISH_UNIX;
	ck_assert_int_eq(publish_expand(&s, 2, false, &specs, &count, why), -EINVAL);
}
END_TEST

START_TEST(overlaps)
{
	static const struct {
		const char *a, *b;
		bool overlap;
	} pairs[] = {
		{":80", "127.0.0.1:80", true},
		{":80", "[::1]:80", true},
		{":80", ":81", false},
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.2:80", false},
		{"0.0.0.0:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "[::1]:80", false},
		{"[::]:80", "[::1]:80", true},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct publish_spec a = spec(pairs[i].a, "192.168.65.2:80"), b = a;
		struct endpoint bound = endpoint(pairs[i].b);

		ck_assert_msg(publish_spec_overlaps(&a, &b, &bound) == pairs[i].overlap, "%s %s",
			      pairs[i].a, pairs[i].b);
		b.protocol = PUBLISH_UDP;
		ck_assert(!publish_spec_overlaps(&a, &b, &bound));
	}
}
END_TEST

START_TEST(owners)
{
	const struct publish_owner one = {
		.kind = PUBLISH_OWNER_GUEST, .id = 1, .lease = 7, .text = "c"};
	struct publish_owner pattern = {.kind = PUBLISH_OWNER_GUEST, .id = 1};
	char words[PUBLISH_OWNER_WORDS_MAX];

	ck_assert(publish_owner_matches(&one, &pattern));
	pattern.lease = 8;
	ck_assert(!publish_owner_matches(&one, &pattern));
	pattern.lease = 7;
	strcpy(pattern.text, "d");
	ck_assert(!publish_owner_matches(&one, &pattern));
	strcpy(pattern.text, "c");
	ck_assert(publish_owner_matches(&one, &pattern));
	pattern.id = 2;
	ck_assert(!publish_owner_matches(&one, &pattern));
	ck_assert_str_eq(publish_owner_words(&one, words), "guest 1 for c");
	pattern = (struct publish_owner){.kind = PUBLISH_OWNER_HOST};
	ck_assert_str_eq(publish_owner_words(&pattern, words), "the host's API");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("publish_spec");
	TCase *tcase = unit_case(suite, "all", setup, NULL);

	tcase_add_loop_test(tcase, sources, 0, sizeof(clients) / sizeof(clients[0]));
	tcase_add_test(tcase, proxy_headers);
	tcase_add_test(tcase, checks);
	tcase_add_loop_test(tcase, behind_a_guest, 0, sizeof(behind) / sizeof(behind[0]));
	tcase_add_test(tcase, guests_as_users_name_them);
	tcase_add_test(tcase, rules);
	tcase_add_test(tcase, many_rules);
	tcase_add_test(tcase, ranges);
	tcase_add_test(tcase, overlaps);
	tcase_add_test(tcase, owners);
	return unit_run(suite);
}
