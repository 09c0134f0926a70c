/* SPDX-License-Identifier: Apache-2.0 */
/* DHCPv6: what clients are told besides addresses, names, and the wire format. */
#include "dhcp6_test.h"
#include "unit.h"

static struct net net;
static struct draft d;

static void setup(void)
{
	struct dhcp6_conf conf = basic_conf();

	net_open(&net, &conf);
}

static void teardown(void)
{
	net_close(&net);
}

/* ---- Configuration ---- */

START_TEST(information_request)
{
	struct addr dns = addr_of(PREFIX "1");

	draft_raw(&d, DHCP6_INFORMATION_REQUEST); /* RFC 8415, 18.2.6: it may have no identifier */
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert(!has_option(&net, DHCP6_OPT_CLIENT_ID));
	expect_option(&net, DHCP6_OPT_DNS, &dns.v6, 16);
	expect_option(&net, DHCP6_OPT_DOMAINS, search, sizeof(search));
	expect_option(&net, DHCP6_OPT_REFRESH_TIME, "\0\0\x0e\x10", 4);
	ck_assert(!has_option(&net, DHCP6_OPT_NTP));
	/* With an IA it is something else. */
	draft_na(&d, 1, NULL);
	expect_silence(&net, &d, 1);
	draft_open(&d, DHCP6_INFORMATION_REQUEST, 1);
	draft_to_us(&d);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert(has_option(&net, DHCP6_OPT_CLIENT_ID));
}
END_TEST

START_TEST(only_what_is_asked_for)
{
	draft_open(&d, DHCP6_REQUEST, 1);
	draft_to_us(&d);
	draft_na(&d, 1, NULL);
	draft_oro(&d, DHCP6_OPT_DNS);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert(has_option(&net, DHCP6_OPT_DNS));
	ck_assert(!has_option(&net, DHCP6_OPT_DOMAINS));
	ck_assert(!has_option(&net, DHCP6_OPT_REFRESH_TIME));
}
END_TEST

START_TEST(servers_from_the_configuration)
{
	struct addr dns[] = {addr_of("2001:db8::53"), addr_of("2001:db8::54")};
	struct addr ntp = addr_of("2001:db8::7b");
	struct dhcp6_conf conf = basic_conf();
	uint8_t expected[20] = {0, 1, 0, 16};
	const uint8_t *value;

	net_close(&net);
	conf.dns = dns;
	conf.dns_count = 2;
	conf.ntp = &ntp;
	conf.ntp_count = 1;
	conf.lease_seconds = 60;
	net_open(&net, &conf);
	draft_raw(&d, DHCP6_INFORMATION_REQUEST);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert_int_eq(reply_option(&net, DHCP6_OPT_DNS, &value), 32);
	ck_assert_mem_eq(value, &dns[0].v6, 16);
	ck_assert_mem_eq(value + 16, &dns[1].v6, 16);
	expect_option(&net, DHCP6_OPT_SNTP, &ntp.v6, 16);
	memcpy(expected + 4, &ntp.v6, 16);
	expect_option(&net, DHCP6_OPT_NTP, expected, 20);
	expect_option(&net, DHCP6_OPT_REFRESH_TIME, "\0\0\x02\x58", 4); /* RFC 8415: 600 at least */
}
END_TEST

/* The largest reply that there can be: nothing required is missing. */
START_TEST(search_domains_change)
{
	static const uint8_t many[DHCP6_SEARCH_SIZE_MAX + 1];

	ck_assert_int_eq(dhcp6_server_set_search(net.server, many, sizeof(many)), -EINVAL);
	ck_assert_int_eq(dhcp6_server_set_search(net.server, (const uint8_t *)"\3new", 5), 0);
	draft_raw(&d, DHCP6_INFORMATION_REQUEST);
	draft_oro(&d, DHCP6_OPT_DOMAINS);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	expect_option(&net, DHCP6_OPT_DOMAINS, "\3new", 5);
	ck_assert_int_eq(dhcp6_server_set_search(net.server, NULL, 0), 0);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert(!has_option(&net, DHCP6_OPT_DOMAINS));
}
END_TEST

START_TEST(largest_reply)
{
	static const uint8_t labels[DHCP6_SEARCH_SIZE_MAX] = {0};
	struct addr many[DHCP_ADDRESSES_MAX],
		far[2] = {addr_of("2001:db8::1"), addr_of("2001:db8::2")};
	uint8_t duid[DHCP6_DUID_MAX] = {0, 2};
	struct dhcp6_conf conf = basic_conf();

	net_close(&net);
	for (int i = 0; i < DHCP_ADDRESSES_MAX; i++)
		many[i] = far[0];
	conf.dns = conf.ntp = many;
	conf.dns_count = conf.ntp_count = DHCP_ADDRESSES_MAX;
	conf.search = labels;
	conf.search_size = sizeof(labels);
	net_open(&net, &conf);
	for (int ias = 1; ias <= DHCP6_IAS_MAX + 2; ias++) {
		draft_raw(&d, DHCP6_REBIND);
		draft_option(&d, DHCP6_OPT_CLIENT_ID, duid, sizeof(duid));
		for (int i = 0; i < ias; i++) {
			uint8_t *ia = dhcp6_begin_option(&d.w, DHCP6_OPT_IA_NA);

			wire_put_be32(&d.w, (uint32_t)i);
			wire_put_zeros(&d.w, 8);
			for (int n = 0; n < DHCP6_IA_ADDRS_MAX + 2; n++) {
				uint8_t *option = dhcp6_begin_option(&d.w, DHCP6_OPT_IA_ADDR);

				wire_put_bytes(&d.w, &far[n % 2].v6, 16);
				wire_put_zeros(&d.w, 8);
				dhcp6_end_option(&d.w, option);
			}
			dhcp6_end_option(&d.w, ia);
		}
		expect_type(&net, &d, 1, DHCP6_REPLY);
		ck_assert_uint_eq(net.answer.ia_count, ias < DHCP6_IAS_MAX ? ias : DHCP6_IAS_MAX);
		ck_assert_uint_eq(net.answer.ias[0].addr_count, DHCP6_IA_ADDRS_MAX);
		ck_assert_uint_le(net.reply.size, DHCP6_REPLY_SIZE_MAX);
	}
}
END_TEST

/* ---- Names ---- */

static void request_with_name(uint32_t client, uint8_t flags, const char *wire, size_t size)
{
	draft_open(&d, DHCP6_REQUEST, client);
	draft_to_us(&d);
	draft_na(&d, 1, NULL);
	draft_fqdn(&d, flags, wire, size);
	expect_type(&net, &d, client, DHCP6_REPLY);
}

START_TEST(name)
{
	struct addr expected = host_addr(2);
	struct dhcp_lease_info lease;

	request_with_name(1, 1, "\3Web\4corp\4test", 15);
	expect_option(&net, DHCP6_OPT_FQDN, "\1\3web\2vm\10internal", 18);
	ck_assert_str_eq(net.event_hostname, "web");
	ck_assert(dhcp6_server_by_hostname(net.server, "WEB", &lease));
	expect_addr(&lease.address, &expected);
	ck_assert(!dhcp6_server_by_hostname(net.server, "web.corp", &lease));
	/* Some don't repeat it. */
	draft_open(&d, DHCP6_RENEW, 1);
	draft_to_us(&d);
	draft_na(&d, 1, &expected);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert(!has_option(&net, DHCP6_OPT_FQDN));
	ck_assert(dhcp6_server_by_hostname(net.server, "web", &lease));
}
END_TEST

/* RFC 4704, 6: the server makes the name, though the client meant to. */
START_TEST(name_flags)
{
	request_with_name(1, 0, "\3web", 4);
	expect_option(&net, DHCP6_OPT_FQDN, "\3\3web\2vm\10internal", 18);
	request_with_name(2, 4, "\2db", 3);
	expect_option(&net, DHCP6_OPT_FQDN, "\4\2db\2vm\10internal", 17);
}
END_TEST

START_TEST(name_of_another)
{
	struct dhcp_lease_info lease;
	struct addr expected = host_addr(2);

	request_with_name(1, 1, "\3web", 4);
	request_with_name(2, 1, "\3web", 4);
	ck_assert(!has_option(&net, DHCP6_OPT_FQDN));
	ck_assert(dhcp6_server_by_hostname(net.server, "web", &lease));
	expect_addr(&lease.address, &expected);
}
END_TEST

START_TEST(names_that_are_none)
{
	static const struct {
		const char *wire;
		size_t size;
	} bad[] = {
		{"", 0},       {"\0", 1},    {"\3a.b", 4},   {"\11localhost", 10},  {"\4wpad", 5},
		{"\77web", 4}, {"\3-a-", 4}, {"\300\14", 2}, {"\3\xff\xfe\xfd", 4}, {"\3a\0b", 4}};
	struct dhcp_lease_info lease;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		request_with_name(1, 1, bad[i].wire, bad[i].size);
		ck_assert(!has_option(&net, DHCP6_OPT_FQDN));
		ck_assert_str_eq(net.event_hostname, "");
	}
	ck_assert(!dhcp6_server_by_hostname(net.server, "localhost", &lease));
	ck_assert(!dhcp6_server_by_hostname(net.server, "", &lease));
}
END_TEST

/* ---- Queries ---- */

static void count_lease(void *arg, const struct dhcp_lease_info *lease)
{
	ck_assert_uint_eq(lease->address.family, AF_INET6);
	++*(unsigned *)arg;
}

START_TEST(queries)
{
	struct addr four = addr_of("192.168.65.2"), slaac = addr_of("fd00:1:2:3:5054:ff:fe00:1");
	struct dhcp_lease_info lease;
	struct mac mac = mac_of(2);
	struct addr second;
	unsigned count = 0;

	lease_of(&net, 1);
	second = lease_of(&net, 2);
	dhcp6_server_for_each(net.server, count_lease, &count);
	ck_assert_uint_eq(count, 2);
	ck_assert(dhcp6_server_by_mac(net.server, &mac, &lease));
	expect_addr(&lease.address, &second);
	mac = mac_of(3);
	ck_assert(!dhcp6_server_by_mac(net.server, &mac, &lease));
	ck_assert(!dhcp6_server_by_address(net.server, &four, &lease));
	ck_assert(!dhcp6_server_by_address(net.server, &slaac, &lease));
}
END_TEST

/* ---- Restarts ---- */

struct kept {
	struct dhcp6_server *to;
	unsigned count;
	uint64_t now_ms;
};

static void carry_over(void *arg, const struct dhcp_lease_info *lease)
{
	struct kept *kept = arg;

	ck_assert_int_eq(dhcp6_server_restore(kept->to, lease, kept->now_ms), 0);
	kept->count++;
}

START_TEST(restore)
{
	struct addr first, second, expected = host_addr(2);
	struct dhcp6_conf conf = basic_conf();
	struct dhcp_lease_info lease, odd;
	struct kept kept = {0};
	struct net next;

	first = lease_of(&net, 1);
	net.now_ms += LEASE_MS;
	request_with_name(2, 1, "\3web", 4); /* ends the first one */
	second = net.answer.ias[0].addrs[0];
	net_open(&next, &conf);
	kept.to = next.server;
	kept.now_ms = next.now_ms = net.now_ms;
	dhcp6_server_for_each(net.server, carry_over, &kept);
	ck_assert_uint_eq(kept.count, 1);
	dhcp6_server_for_each_ended(net.server, carry_over, &kept);
	ck_assert_uint_eq(kept.count, 2);
	ck_assert_uint_eq(next.events[DHCP_LEASE_GRANTED], 1);
	ck_assert(dhcp6_server_by_hostname(next.server, "web", &lease));
	expect_addr(&lease.address, &second);
	ck_assert_uint_eq(lease.expires_ms, net.now_ms + LEASE_MS);
	ck_assert(!dhcp6_server_by_address(next.server, &first, &odd));

	odd = lease;
	odd.address = addr_of("2001:db8::1");
	ck_assert_int_eq(dhcp6_server_restore(next.server, &odd, net.now_ms), -EINVAL);
	odd = lease;
	odd.address = host_addr(0xfe);
	ck_assert_int_eq(dhcp6_server_restore(next.server, &odd, net.now_ms), -EADDRINUSE);
	odd = lease;
	odd.client_id_size = 6;
	ck_assert_int_eq(dhcp6_server_restore(next.server, &odd, net.now_ms), -EINVAL);
	/* Who had it gets it again. */
	lease_of(&next, 3);
	first = lease_of(&next, 1);
	expect_addr(&first, &expected);
	net_close(&next);
}
END_TEST

/* ---- The wire format ---- */

static int decode(void)
{
	struct dhcp6_message m;

	return dhcp6_message_decode(d.bytes, wire_written(&d.w), &m);
}

START_TEST(identifiers)
{
	uint8_t duid[DHCP6_DUID_MAX + 1] = {0, 4};

	for (size_t size = 0; size <= sizeof(duid); size++) {
		draft_raw(&d, DHCP6_SOLICIT);
		draft_option(&d, DHCP6_OPT_CLIENT_ID, duid, size);
		ck_assert_int_eq(decode(), size < 3 || size > 130 ? -EBADMSG : 0);
	}
	draft_open(&d, DHCP6_SOLICIT, 1);
	draft_option(&d, DHCP6_OPT_CLIENT_ID, duid, 10);
	ck_assert_int_eq(decode(), -EBADMSG);
}
END_TEST

START_TEST(options_that_lie)
{
	draft_raw(&d, DHCP6_SOLICIT);
	draft_option(&d, DHCP6_OPT_ORO, "\0\1\2", 3);
	ck_assert_int_eq(decode(), -EBADMSG);
	draft_raw(&d, DHCP6_SOLICIT);
	draft_option(&d, DHCP6_OPT_IA_NA, "\0\0\0\1\0\0\0\0\0\0\0", 11);
	ck_assert_int_eq(decode(), -EBADMSG);
	draft_raw(&d, DHCP6_SOLICIT);
	draft_option(&d, DHCP6_OPT_IA_NA, "\0\0\0\1\0\0\0\0\0\0\0\0\0\5\0\30", 16);
	ck_assert_int_eq(decode(), -EBADMSG);
	draft_raw(&d, DHCP6_SOLICIT);
	draft_option(&d, DHCP6_OPT_FQDN, "", 0);
	ck_assert_int_eq(decode(), -EBADMSG);
	draft_raw(&d, DHCP6_SOLICIT);
	wire_put_be32(&d.w, 0x00990005);
	ck_assert_int_eq(decode(), -EBADMSG);
	/* What we don't know doesn't hurt. */
	draft_raw(&d, DHCP6_SOLICIT);
	draft_option(&d, 999, "abc", 3);
	ck_assert_int_eq(decode(), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		information_request,
		only_what_is_asked_for,
		servers_from_the_configuration,
		search_domains_change,
		largest_reply,
		name,
		name_flags,
		name_of_another,
		names_that_are_none,
		queries,
		restore,
		identifiers,
		options_that_lie,
		NULL,
	};
	Suite *suite = suite_create("dhcp6_conf");
	TCase *tcase = unit_case(suite, "dhcp6_conf", setup, teardown);

	unit_add(tcase, tests);
	return unit_run(suite);
}
