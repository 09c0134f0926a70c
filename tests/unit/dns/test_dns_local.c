/* SPDX-License-Identifier: Apache-2.0 */
/* What is answered here, with what, and what is left to the resolvers. */
#include <errno.h>
#include <stdio.h>

#include "dns/dns_local.h"
#include "dns/dns_reverse.h"
#include "dns_test.h"
#include "unit.h"

static struct dns_local local;
static char error[256];
static bool all_names_are_guests;
static const char *all_addresses_are;

/* Two guests: web has both families, db IPv4 only. */
static int guest_addr_of(void *arg, const char *name, sa_family_t family, struct addr *ret)
{
	ck_assert_ptr_eq(arg, &local);
	if (all_names_are_guests)
		*ret = test_addr(family == AF_INET ? "192.168.65.66" : "fd00:65::66");
	else if (strcmp(name, "web") == 0)
		*ret = test_addr(family == AF_INET ? "192.168.65.3" : "fd00:65::3");
	else if (strcmp(name, "db") == 0)
		*ret = family == AF_INET ? test_addr("192.168.65.4")
					 : (struct addr){.family = AF_UNSPEC};
	else
		return -ENOENT;
	return 0;
}

static int guest_name_of(void *arg, const struct addr *addr, char to[static DNS_LABEL_MAX + 1])
{
	struct addr web4 = test_addr("192.168.65.3"), web6 = test_addr("fd00:65::3");

	ck_assert_ptr_eq(arg, &local);
	if (all_addresses_are) {
		strcpy(to, all_addresses_are);
		return 0;
	}
	if (!addr_equal(addr, &web4) && !addr_equal(addr, &web6))
		return -ENOENT;
	strcpy(to, "web");
	return 0;
}

static void add(const char *zone, const char *name, const char *ip, const char *default_ip)
{
	struct dns_record_conf record = {.name = name, .ip = test_addr(ip)};
	struct dns_zone_conf conf = {.name = zone, .records = &record, .record_count = 1};

	if (default_ip)
		conf.default_ip = test_addr(default_ip);
	ck_assert_msg(dns_zones_add(&local.zones, &conf, error, sizeof(error)) == 0, "%s", error);
}

static void setup(void)
{
	dns_local_init(&local);
	local.gateway4 = test_addr("192.168.65.1");
	local.gateway6 = test_addr("fd00:65::1");
	local.host4 = test_addr("192.168.65.254");
	local.vm4 = test_addr("192.168.65.2");
	ck_assert_int_eq(prefix_parse("192.168.65.0/24", &local.subnet4), 0);
	ck_assert_int_eq(prefix_parse("fd00:65::/64", &local.subnet6), 0);
	local.guests = (struct dns_guest_lookup){guest_addr_of, guest_name_of, &local};
	ck_assert_int_eq(dns_local_add_built_ins(&local), 0);
}

static void teardown(void)
{
	dns_local_destroy(&local);
}

/*
 * What comes of a query, in a word: "relay", "nx ZONE", "empty ZONE", an address, several of them,
 * or a name. The answer goes through the encoder and back, as a client would get it.
 */
static const char *ask(const char *text, uint16_t type)
{
	static char to[DNS_NAME_TEXT_MAX];
	struct dns_query query = test_parsed_query(text, type);
	uint8_t reply[DNS_ANSWER_SIZE_MAX];
	struct dns_answer answer;
	char *end = to;

	if (!dns_local_answer(&local, &query, &answer))
		return "relay";
	struct test_reply got = test_read_reply(
		reply, dns_answer_encode(&query, &answer, reply, sizeof(reply)));
	ck_assert(got.flags & DNS_FLAG_AA);
	*to = '\0';
	if (got.answer_count == 0) {
		ck_assert_uint_eq(got.authority_count, 1);
		ck_assert_uint_eq(got.records[0].type, DNS_TYPE_SOA);
		end = stpcpy(end, got.rcode == DNS_RCODE_NXDOMAIN ? "nx " : "empty ");
		dns_name_format(&got.records[0].target, end);
		return to;
	}
	ck_assert_int_eq(got.rcode, DNS_RCODE_NOERROR);
	for (unsigned i = 0; i < got.answer_count; i++) {
		if (i > 0)
			*end++ = ' ';
		if (got.records[i].type == DNS_TYPE_SOA)
			strcpy(end, "soa");
		else if (got.records[i].type == DNS_TYPE_PTR)
			dns_name_format(&got.records[i].target, end);
		else
			addr_format(&got.records[i].addr, end);
		end += strlen(end);
	}
	return to;
}

START_TEST(built_in_names)
{
	static const char *const gateways[] = {"gateway.internal", "GATEWAY.docker.Internal",
					       "gateway.containers.internal."};
	static const char *const hosts[] = {"host.internal", "host.docker.internal",
					    "host.containers.internal"};

	for (size_t i = 0; i < 3; i++) {
		ck_assert_str_eq(ask(gateways[i], DNS_TYPE_A), "192.168.65.1");
		ck_assert_str_eq(ask(gateways[i], DNS_TYPE_AAAA), "fd00:65::1");
		ck_assert_str_eq(ask(gateways[i], DNS_TYPE_ANY), "192.168.65.1 fd00:65::1 soa");
		ck_assert_str_eq(ask(hosts[i], DNS_TYPE_A), "192.168.65.254");
	}
	/* No such type is not no such name. */
	ck_assert_str_eq(ask("host.internal", DNS_TYPE_AAAA), "empty host.internal");
	ck_assert_str_eq(ask("host.internal", DNS_TYPE_TXT), "empty host.internal");
	ck_assert_str_eq(ask("host.internal", DNS_TYPE_HTTPS), "empty host.internal");
	ck_assert_str_eq(ask("host.internal", DNS_TYPE_SOA), "soa");
	ck_assert_str_eq(ask("vm.internal", DNS_TYPE_A), "192.168.65.2");
	ck_assert_str_eq(ask("vm.internal", DNS_TYPE_AAAA), "empty vm.internal");
}
END_TEST

START_TEST(only_what_is_ours_is_denied)
{
	ck_assert_str_eq(ask("x.host.docker.internal", DNS_TYPE_A), "nx host.docker.internal");
	ck_assert_str_eq(ask("other.internal", DNS_TYPE_A), "relay");
	ck_assert_str_eq(ask("internal", DNS_TYPE_SOA), "relay");
	ck_assert_str_eq(ask("docker.internal", DNS_TYPE_A), "relay");
	ck_assert_str_eq(ask("xhost.internal", DNS_TYPE_A), "relay");
	ck_assert_str_eq(ask("example.com", DNS_TYPE_A), "relay");
	ck_assert_str_eq(ask(".", 2), "relay");
}
END_TEST

START_TEST(other_classes_are_not_ours)
{
	struct dns_query query = test_parsed_query("host.internal", DNS_TYPE_A);
	struct dns_answer answer;

	query.class = 4;
	ck_assert(!dns_local_answer(&local, &query, &answer));
}
END_TEST

/* Class CH is about the server; the resolvers' versions are not told. */
START_TEST(chaos_is_about_us)
{
	struct dns_query query = test_parsed_query("Version.Bind", DNS_TYPE_TXT);
	uint8_t reply[DNS_ANSWER_SIZE_MAX];
	struct dns_answer answer;

	query.class = DNS_CLASS_CH;
	ck_assert(dns_local_answer(&local, &query, &answer));
	size_t size = dns_answer_encode(&query, &answer, reply, sizeof(reply));
	ck_assert_uint_gt(size, 9);
	ck_assert_mem_eq(reply + size - 9, "\10netproxy", 9);
	query.name = test_name("id.server");
	ck_assert(dns_local_answer(&local, &query, &answer));
	ck_assert_int_eq(answer.rcode, DNS_RCODE_REFUSED);
}
END_TEST

/* What every guest looks up in the domain that it searches is not for a guest to answer. */
START_TEST(guests_cannot_take_names_that_matter)
{
	static const char *const names[] = {"wpad", "WPAD",    "isatap", "localhost",
					    "host", "gateway", "vm",     "broadcasthost"};
	char name[64];

	all_names_are_guests = true;
	ck_assert_str_eq(ask("mallory.vm.internal", DNS_TYPE_A), "192.168.65.66");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(name, sizeof(name), "%s.vm.internal", names[i]);
		ck_assert_str_eq(ask(name, DNS_TYPE_A), "nx vm.internal");
		all_addresses_are = names[i];
		ck_assert_str_eq(ask("66.65.168.192.in-addr.arpa", DNS_TYPE_PTR),
				 "nx 65.168.192.in-addr.arpa");
	}
	/* Nor what the user said: in a domain that holds such names, in the hosts file, in zones.
	 */
	local.guest_domain = test_name("internal");
	ck_assert_str_eq(ask("host.internal", DNS_TYPE_A), "192.168.65.254");
	ck_assert_str_eq(ask("mallory.internal", DNS_TYPE_A), "192.168.65.66");
	ck_assert_int_eq(dns_hosts_parse(&local.hosts, "10.1.1.1 nas.internal\n", &local.host4,
					 &local.host6),
			 0);
	ck_assert_str_eq(ask("nas.internal", DNS_TYPE_A), "10.1.1.1");
	add(".", "db.internal", "10.0.0.5", NULL);
	ck_assert_str_eq(ask("db.internal", DNS_TYPE_A), "10.0.0.5");
	all_names_are_guests = false;
	all_addresses_are = NULL;
}
END_TEST

/* Records of one name that were given together are one answer; later ones take their place. */
START_TEST(many_addresses_of_one_name)
{
	struct dns_record_conf records[] = {{.name = "a", .ip = test_addr("10.0.0.1")},
					    {.name = "b", .ip = test_addr("10.0.0.9")},
					    {.name = "a", .ip = test_addr("10.0.0.2")},
					    {.name = "a", .ip = test_addr("fd00::1")}};
	struct dns_zone_conf conf = {.name = "z.test", .records = records, .record_count = 4};

	ck_assert_int_eq(dns_zones_add(&local.zones, &conf, error, sizeof(error)), 0);
	ck_assert_str_eq(ask("a.z.test", DNS_TYPE_A), "10.0.0.1 10.0.0.2");
	ck_assert_str_eq(ask("a.z.test", DNS_TYPE_AAAA), "fd00::1");
	add("z.test", "a", "10.0.0.3", NULL);
	ck_assert_str_eq(ask("a.z.test", DNS_TYPE_A), "10.0.0.3");
}
END_TEST

START_TEST(localhost_is_the_guest_itself)
{
	ck_assert_str_eq(ask("localhost", DNS_TYPE_A), "127.0.0.1");
	ck_assert_str_eq(ask("a.b.LocalHost", DNS_TYPE_AAAA), "::1");
	ck_assert_str_eq(ask("localhost", DNS_TYPE_TXT), "empty localhost");
	ck_assert_str_eq(ask("1.0.0.127.in-addr.arpa", DNS_TYPE_PTR), "localhost");
}
END_TEST

START_TEST(guests_by_name)
{
	ck_assert_str_eq(ask("Web.vm.internal", DNS_TYPE_A), "192.168.65.3");
	ck_assert_str_eq(ask("web.vm.internal", DNS_TYPE_AAAA), "fd00:65::3");
	ck_assert_str_eq(ask("db.vm.internal", DNS_TYPE_AAAA), "empty vm.internal");
	ck_assert_str_eq(ask("nobody.vm.internal", DNS_TYPE_A), "nx vm.internal");
	ck_assert_str_eq(ask("x.web.vm.internal", DNS_TYPE_A), "nx vm.internal");
	local.guest_domain = test_name(".");
	ck_assert_str_eq(ask("web.vm.internal", DNS_TYPE_A), "relay");
	ck_assert_str_eq(ask("web", DNS_TYPE_A), "relay");
}
END_TEST

START_TEST(zones_of_users_are_ours_altogether)
{
	add("crc.testing.", "api", "10.0.0.1", NULL);
	add("crc.testing.", "deep.down", "10.0.0.2", NULL);
	ck_assert_str_eq(ask("api.crc.testing", DNS_TYPE_A), "10.0.0.1");
	ck_assert_str_eq(ask("api.crc.testing", DNS_TYPE_TXT), "empty crc.testing");
	ck_assert_str_eq(ask("nope.crc.testing", DNS_TYPE_A), "nx crc.testing");
	ck_assert_str_eq(ask("down.crc.testing", DNS_TYPE_A), "empty crc.testing");
	ck_assert_str_eq(ask("crc.testing", DNS_TYPE_A), "empty crc.testing");
	ck_assert_str_eq(ask("crc.testing", DNS_TYPE_SOA), "soa");
	ck_assert_str_eq(ask("testing", DNS_TYPE_A), "relay");
}
END_TEST

START_TEST(default_addresses)
{
	add("apps.testing", "api", "10.0.0.1", "10.0.0.2");
	ck_assert_str_eq(ask("api.apps.testing", DNS_TYPE_A), "10.0.0.1");
	ck_assert_str_eq(ask("any.thing.apps.testing", DNS_TYPE_A), "10.0.0.2");
	ck_assert_str_eq(ask("any.thing.apps.testing", DNS_TYPE_AAAA), "empty apps.testing");
	add("internal", "corp", "10.0.0.3", "10.0.0.4");
	ck_assert_str_eq(ask("web.vm.internal", DNS_TYPE_A), "192.168.65.3");
	ck_assert_str_eq(ask("gateway.internal", DNS_TYPE_A), "192.168.65.1");
	ck_assert_str_eq(ask("else.internal", DNS_TYPE_A), "10.0.0.4");
}
END_TEST

START_TEST(root_zone_overrides_single_names)
{
	add(".", "example.com", "10.0.0.1", NULL);
	ck_assert_str_eq(ask("example.com", DNS_TYPE_A), "10.0.0.1");
	ck_assert_str_eq(ask("example.com", DNS_TYPE_AAAA), "empty example.com");
	ck_assert_str_eq(ask("example.com", DNS_TYPE_HTTPS), "empty example.com");
	ck_assert_str_eq(ask("example.com", DNS_TYPE_TXT), "relay");
	ck_assert_str_eq(ask("www.example.com", DNS_TYPE_A), "relay");
	ck_assert_str_eq(ask("example.org", DNS_TYPE_A), "relay");
}
END_TEST

START_TEST(hosts_file_names)
{
	struct addr none = {.family = AF_UNSPEC};

	ck_assert_int_eq(dns_hosts_parse(&local.hosts,
					 "127.0.1.1 laptop laptop.lan\n10.1.1.1 nas\nfd01::1 nas\n",
					 &local.host4, &none),
			 0);
	ck_assert_str_eq(ask("Laptop.lan", DNS_TYPE_A), "192.168.65.254");
	ck_assert_str_eq(ask("nas", DNS_TYPE_ANY), "10.1.1.1 fd01::1 soa");
	ck_assert_str_eq(ask("laptop", DNS_TYPE_AAAA), "empty laptop");
	ck_assert_str_eq(ask("nas", DNS_TYPE_TXT), "relay");
	/* And back; the host's own addresses keep the names that they have here. */
	ck_assert_str_eq(ask("1.1.1.10.in-addr.arpa", DNS_TYPE_PTR), "nas");
	ck_assert_str_eq(ask("2.1.1.10.in-addr.arpa", DNS_TYPE_PTR), "relay");
	ck_assert_str_eq(ask("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.d.f."
			     "ip6.arpa",
			     DNS_TYPE_PTR),
			 "nas");
	ck_assert_str_eq(ask("254.65.168.192.in-addr.arpa", DNS_TYPE_PTR), "host.internal");
	ck_assert_int_eq(dns_hosts_parse(&local.hosts, "0.0.0.0 ads\n10.1.1.1 first second\n",
					 &local.host4, &none),
			 0);
	ck_assert_str_eq(ask("1.1.1.10.in-addr.arpa", DNS_TYPE_PTR), "first");
	ck_assert_str_eq(ask("0.0.0.0.in-addr.arpa", DNS_TYPE_PTR), "relay");
}
END_TEST

START_TEST(reverse_names)
{
	add("apps.testing", "api", "192.168.65.77", NULL);
	ck_assert_str_eq(ask("1.65.168.192.in-addr.arpa", DNS_TYPE_PTR), "gateway.internal");
	ck_assert_str_eq(ask("254.65.168.192.IN-ADDR.arpa", DNS_TYPE_PTR), "host.internal");
	ck_assert_str_eq(ask("2.65.168.192.in-addr.arpa", DNS_TYPE_PTR), "vm.internal");
	ck_assert_str_eq(ask("3.65.168.192.in-addr.arpa", DNS_TYPE_PTR), "web.vm.internal");
	ck_assert_str_eq(ask("77.65.168.192.in-addr.arpa", DNS_TYPE_PTR), "api.apps.testing");
	ck_assert_str_eq(ask("3.65.168.192.in-addr.arpa", DNS_TYPE_TXT),
			 "empty 65.168.192.in-addr.arpa");
	ck_assert_str_eq(ask("99.65.168.192.in-addr.arpa", DNS_TYPE_PTR),
			 "nx 65.168.192.in-addr.arpa");
	ck_assert_str_eq(ask("x.1.65.168.192.in-addr.arpa", DNS_TYPE_PTR),
			 "nx 65.168.192.in-addr.arpa");
	ck_assert_str_eq(ask("65.168.192.in-addr.arpa", DNS_TYPE_PTR),
			 "empty 65.168.192.in-addr.arpa");
	ck_assert_str_eq(ask("168.192.in-addr.arpa", DNS_TYPE_PTR), "relay");
	ck_assert_str_eq(ask("1.66.168.192.in-addr.arpa", DNS_TYPE_PTR), "relay");
	ck_assert_str_eq(ask("3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.6.0.0.0.0.D.f."
			     "ip6.arpa",
			     DNS_TYPE_PTR),
			 "web.vm.internal");
	ck_assert_str_eq(ask("9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.6.0.0.0.0.d.f."
			     "ip6.arpa",
			     DNS_TYPE_PTR),
			 "nx 0.0.0.0.0.0.0.0.5.6.0.0.0.0.d.f.ip6.arpa");
	ck_assert_str_eq(ask("ip6.arpa", DNS_TYPE_PTR), "relay");
	/* A name that a user gave to an address of another network, and nothing around it. */
	add(".", "db.corp.example", "10.0.0.5", NULL);
	add(".", "ads.example", "0.0.0.0", NULL);
	ck_assert_str_eq(ask("5.0.0.10.in-addr.arpa", DNS_TYPE_PTR), "db.corp.example");
	ck_assert_str_eq(ask("5.0.0.10.in-addr.arpa", DNS_TYPE_TXT), "empty 5.0.0.10.in-addr.arpa");
	ck_assert_str_eq(ask("6.0.0.10.in-addr.arpa", DNS_TYPE_PTR), "relay");
	ck_assert_str_eq(ask("0.0.0.10.in-addr.arpa", DNS_TYPE_PTR), "relay");
	ck_assert_str_eq(ask("0.0.0.0.in-addr.arpa", DNS_TYPE_PTR), "relay");
}
END_TEST

START_TEST(reverse_names_are_parsed_strictly)
{
	static const char *const malformed[] = {"01.2.3.4.in-addr.arpa", "256.2.3.4.in-addr.arpa",
						"1.2.3.4.5.in-addr.arpa", "g.ip6.arpa",
						"12.ip6.arpa"};
	struct dns_reverse reverse;
	struct dns_name name;

	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		name = test_name(malformed[i]);
		ck_assert(dns_reverse_parse(&name, &reverse));
		ck_assert(reverse.is_malformed);
	}
	name = test_name("3.2.1.in-addr.arpa");
	ck_assert(dns_reverse_parse(&name, &reverse));
	ck_assert_uint_eq(reverse.bits, 24);
	test_assert_addr(&reverse.addr, "1.2.3.0");
	ck_assert(!dns_reverse_is_host(&reverse));
	name = test_name("1.2.3.4.in-addr.arpa.com");
	ck_assert(!dns_reverse_parse(&name, &reverse));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns_local");
	TCase *tc = unit_case(suite, "dns_local", setup, teardown);

	tcase_add_test(tc, built_in_names);
	tcase_add_test(tc, only_what_is_ours_is_denied);
	tcase_add_test(tc, other_classes_are_not_ours);
	tcase_add_test(tc, chaos_is_about_us);
	tcase_add_test(tc, guests_cannot_take_names_that_matter);
	tcase_add_test(tc, many_addresses_of_one_name);
	tcase_add_test(tc, localhost_is_the_guest_itself);
	tcase_add_test(tc, guests_by_name);
	tcase_add_test(tc, zones_of_users_are_ours_altogether);
	tcase_add_test(tc, default_addresses);
	tcase_add_test(tc, root_zone_overrides_single_names);
	tcase_add_test(tc, hosts_file_names);
	tcase_add_test(tc, reverse_names);
	tcase_add_test(tc, reverse_names_are_parsed_strictly);
	return unit_run(suite);
}
