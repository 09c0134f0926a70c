/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCPv6 server: addresses, their life, and who may ask for what. */
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

static void expect_lease(uint32_t client, const struct addr *expected)
{
	struct addr got = lease_of(&net, client);

	expect_addr(&got, expected);
}

/* ---- The four messages ---- */

START_TEST(solicit_request)
{
	struct addr expected = host_addr(2), got;
	struct dhcp_lease_info lease;
	const uint8_t *ia;

	draft_open(&d, DHCP6_SOLICIT, 7);
	draft_na(&d, 0x01020304, NULL);
	expect_type(&net, &d, 7, DHCP6_ADVERTISE);
	expect_option(&net, DHCP6_OPT_PREFERENCE, "\xff", 1);
	ck_assert(!has_option(&net, DHCP6_OPT_RAPID_COMMIT));
	ck_assert(!dhcp6_server_by_address(net.server, &expected, &lease));

	got = lease_of(&net, 7);
	expect_addr(&got, &expected);
	ck_assert_int_eq(reply_option(&net, DHCP6_OPT_IA_NA, &ia), 12 + 28);
	ck_assert_mem_eq(ia, "\0\0\0\1\0\0\x07\x08\0\0\x0b\x40", 12); /* T1 1800, T2 2880 */
	ck_assert_mem_eq(ia + 12 + 4 + 16, "\0\0\x0e\x10\0\0\x0e\x10", 8);
	ck_assert_uint_eq(net.events[DHCP_LEASE_GRANTED], 1);
	expect_addr(&net.event_address, &expected);
	ck_assert(dhcp6_server_by_address(net.server, &expected, &lease));
	ck_assert_uint_eq(lease.expires_ms, net.now_ms + LEASE_MS);
	ck_assert(mac_equal(&lease.mac, &(struct mac){{0x52, 0x54, 0, 0, 0, 7}}));
	ck_assert_mem_eq(lease.client_id, "\0\0\0\1\0\2\0\0\xab\x11", 10);
}
END_TEST

START_TEST(rapid_commit)
{
	draft_open(&d, DHCP6_SOLICIT, 1);
	draft_option(&d, DHCP6_OPT_RAPID_COMMIT, NULL, 0);
	draft_na(&d, 1, NULL);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert(has_option(&net, DHCP6_OPT_RAPID_COMMIT));
	ck_assert(!has_option(&net, DHCP6_OPT_PREFERENCE));
	ck_assert_uint_eq(net.events[DHCP_LEASE_GRANTED], 1);
	/* Nothing to commit: the client goes on asking. */
	draft_open(&d, DHCP6_SOLICIT, 2);
	draft_option(&d, DHCP6_OPT_RAPID_COMMIT, NULL, 0);
	draft_ia(&d, DHCP6_OPT_IA_PD, 1, NULL, NULL);
	expect_type(&net, &d, 2, DHCP6_ADVERTISE);
}
END_TEST

START_TEST(rapid_commit_not_allowed)
{
	struct dhcp6_conf conf = basic_conf();

	net_close(&net);
	conf.rapid_commit = false;
	net_open(&net, &conf);
	draft_open(&d, DHCP6_SOLICIT, 1);
	draft_option(&d, DHCP6_OPT_RAPID_COMMIT, NULL, 0);
	draft_na(&d, 1, NULL);
	expect_type(&net, &d, 1, DHCP6_ADVERTISE);
	ck_assert_uint_eq(net.events[DHCP_LEASE_GRANTED], 0);
}
END_TEST

START_TEST(lease_for_ever)
{
	struct dhcp6_conf conf = basic_conf();
	struct addr expected = host_addr(2);
	const uint8_t *ia;

	net_close(&net);
	conf.lease_seconds = DHCP_LEASE_INFINITE;
	net_open(&net, &conf);
	draft_open(&d, DHCP6_REQUEST, 1);
	draft_to_us(&d);
	draft_na(&d, 1, NULL);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert_int_eq(valid_of(&net, &expected), 0xffffffff);
	reply_option(&net, DHCP6_OPT_IA_NA, &ia);
	ck_assert_mem_eq(ia + 4, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	ck_assert_uint_eq(dhcp6_server_expire(net.server, net.now_ms), UINT64_MAX);
}
END_TEST

/* ---- Which address ---- */

START_TEST(the_namesake_of_the_ipv4_address)
{
	struct addr expected = host_addr(77), second = host_addr(2);

	net.sender.host = 77;
	expect_lease(1, &expected);
	/* Taken: the next free one. */
	expect_lease(2, &second);
	/* It stays what it is. */
	net.sender.host = 78;
	expect_lease(1, &expected);
}
END_TEST

START_TEST(the_address_that_is_asked_for)
{
	struct addr wanted = host_addr(0xbeef), ours = host_addr(0xfe), expected = host_addr(2);
	struct addr far = addr_of("2001:db8::5"), made = addr_of("fd00:1:2:3:5054:ff:fe00:1");

	draft_open(&d, DHCP6_SOLICIT, 1);
	draft_na(&d, 1, &wanted);
	expect_type(&net, &d, 1, DHCP6_ADVERTISE);
	expect_addr(&net.answer.ias[0].addrs[0], &wanted);
	/* These aren't to be had. */
	draft_open(&d, DHCP6_SOLICIT, 2);
	draft_ia(&d, DHCP6_OPT_IA_NA, 1, &far, &ours);
	expect_type(&net, &d, 2, DHCP6_ADVERTISE);
	expect_addr(&net.answer.ias[0].addrs[0], &expected);
	expected = host_addr(3);
	draft_open(&d, DHCP6_SOLICIT, 3);
	draft_ia(&d, DHCP6_OPT_IA_NA, 1, &made, &wanted);
	expect_type(&net, &d, 3, DHCP6_ADVERTISE);
	expect_addr(&net.answer.ias[0].addrs[0], &expected);
}
END_TEST

START_TEST(never_ours)
{
	for (uint32_t client = 1; client < 400; client++) {
		struct addr got = lease_of(&net, client);

		ck_assert(got.v6.s6_addr[15] != 1 || got.v6.s6_addr[14] != 0);
		ck_assert(got.v6.s6_addr[15] != 0xfe || got.v6.s6_addr[14] != 0);
	}
}
END_TEST

START_TEST(an_old_client_gets_its_old_address)
{
	struct addr first = host_addr(2), second = host_addr(3), third = host_addr(4);

	expect_lease(1, &first);
	expect_lease(2, &second);
	net.now_ms += 10 * LEASE_MS;
	dhcp6_server_expire(net.server, net.now_ms);
	ck_assert_uint_eq(net.events[DHCP_LEASE_EXPIRED], 2);
	expect_lease(3, &third);
	expect_lease(2, &second);
	expect_lease(1, &first);
}
END_TEST

/* Machines made from one disk image. */
START_TEST(one_duid_on_two_macs)
{
	struct addr first, second;

	draft_open(&d, DHCP6_REQUEST, 1);
	draft_to_us(&d);
	draft_na(&d, 1, NULL);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	first = net.answer.ias[0].addrs[0];
	expect_type(&net, &d, 2, DHCP6_REPLY); /* the same bytes from another MAC */
	second = net.answer.ias[0].addrs[0];
	ck_assert(!addr_equal(&first, &second));
	expect_type(&net, &d, 1, DHCP6_REPLY);
	expect_addr(&net.answer.ias[0].addrs[0], &first);
}
END_TEST

/* Firmware and system of one machine. */
START_TEST(two_duids_on_one_mac)
{
	struct addr first = host_addr(2), got;

	expect_lease(1, &first);
	draft_open(&d, DHCP6_SOLICIT, 99);
	draft_na(&d, 5, NULL);
	expect_type(&net, &d, 1, DHCP6_ADVERTISE);
	expect_addr(&net.answer.ias[0].addrs[0], &first);
	/* Who asks for several is told apart by what it calls them. */
	draft_open(&d, DHCP6_SOLICIT, 99);
	draft_na(&d, 5, NULL);
	draft_na(&d, 6, NULL);
	expect_type(&net, &d, 1, DHCP6_ADVERTISE);
	ck_assert_uint_eq(net.answer.ia_count, 2);
	got = net.answer.ias[0].addrs[0];
	ck_assert(!addr_equal(&got, &net.answer.ias[1].addrs[0]));
}
END_TEST

/* What a guest that invents clients can take. */
START_TEST(a_mac_has_few_leases)
{
	struct dhcp_lease_info lease;
	unsigned count = 0;

	for (uint32_t i = 0; i < 500; i++) {
		draft_open(&d, DHCP6_REQUEST, i);
		draft_to_us(&d);
		draft_na(&d, 2 * i, NULL);
		draft_na(&d, 2 * i + 1, NULL);
		expect_type(&net, &d, 1, DHCP6_REPLY);
	}
	for (uint32_t host = 2; host < 2000; host++) {
		struct addr addr = host_addr(host);

		count += dhcp6_server_by_address(net.server, &addr, &lease);
	}
	ck_assert_uint_ge(count, 2);
	ck_assert_uint_le(count, 16);
}
END_TEST

START_TEST(a_source_has_its_share)
{
	struct dhcp6_conf conf = basic_conf();
	struct addr expected = host_addr(6);

	log_set_levels("error");
	net_close(&net);
	conf.leases_per_source_max = 4;
	net_open(&net, &conf);
	net.sender.source = 3;
	for (uint32_t client = 1; client <= 4; client++)
		lease_of(&net, client);
	draft_open(&d, DHCP6_SOLICIT, 5);
	draft_na(&d, 1, NULL);
	expect_type(&net, &d, 5, DHCP6_ADVERTISE);
	ck_assert_int_eq(ia_status(&net, DHCP6_OPT_IA_NA), DHCP6_NO_ADDRS_AVAIL);
	ck_assert_uint_eq(dhcp6_server_counters(net.server)->limited, 1);
	net.sender.source = 4;
	expect_lease(6, &expected);
}
END_TEST

/* ---- The life of a lease ---- */

START_TEST(renew_and_rebind)
{
	static const uint8_t types[] = {DHCP6_RENEW, DHCP6_REBIND};
	struct addr addr = lease_of(&net, 1);
	struct dhcp_lease_info lease;

	for (int i = 0; i < 2; i++) {
		net.now_ms += LEASE_MS / 2;
		draft_open(&d, types[i], 1);
		if (types[i] == DHCP6_RENEW)
			draft_to_us(&d);
		draft_na(&d, 1, &addr);
		expect_type(&net, &d, 1, DHCP6_REPLY);
		ck_assert_int_eq(valid_of(&net, &addr), LEASE_SECONDS);
		ck_assert_int_eq(ia_status(&net, DHCP6_OPT_IA_NA), -1);
		ck_assert(dhcp6_server_by_address(net.server, &addr, &lease));
		ck_assert_uint_eq(lease.expires_ms, net.now_ms + LEASE_MS);
	}
	ck_assert_uint_eq(net.events[DHCP_LEASE_RENEWED], 2);
}
END_TEST

/* We were restarted, and the client wasn't. */
START_TEST(renew_of_a_lease_unknown)
{
	struct addr addr = host_addr(9), far = addr_of("2001:db8::9");

	draft_open(&d, DHCP6_RENEW, 1);
	draft_to_us(&d);
	draft_na(&d, 1, &addr);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert_int_eq(valid_of(&net, &addr), LEASE_SECONDS);
	/* Somebody else's. */
	draft_open(&d, DHCP6_RENEW, 2);
	draft_to_us(&d);
	draft_na(&d, 1, &addr);
	expect_type(&net, &d, 2, DHCP6_REPLY);
	ck_assert_int_eq(ia_status(&net, DHCP6_OPT_IA_NA), DHCP6_NO_BINDING);
	ck_assert_int_eq(valid_of(&net, &addr), -1);
	/* Another network's. */
	draft_open(&d, DHCP6_REBIND, 3);
	draft_na(&d, 1, &far);
	expect_type(&net, &d, 3, DHCP6_REPLY);
	ck_assert_int_eq(valid_of(&net, &far), 0);
	ck_assert_int_eq(ia_status(&net, DHCP6_OPT_IA_NA), -1);
}
END_TEST

START_TEST(renew_with_a_further_address)
{
	struct addr addr = lease_of(&net, 1), other = host_addr(0x55);

	draft_open(&d, DHCP6_RENEW, 1);
	draft_to_us(&d);
	draft_ia(&d, DHCP6_OPT_IA_NA, 1, &other, &addr);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert_int_eq(valid_of(&net, &addr), LEASE_SECONDS);
	ck_assert_int_eq(valid_of(&net, &other), 0);
}
END_TEST

/* RFC 8415, 18.2.4: an IA without addresses in a Renew asks for one. */
START_TEST(renew_asks_for_more)
{
	struct addr first = lease_of(&net, 1), second = host_addr(3);

	draft_open(&d, DHCP6_RENEW, 1);
	draft_to_us(&d);
	draft_na(&d, 1, &first);
	draft_na(&d, 2, NULL);
	draft_ia(&d, DHCP6_OPT_IA_PD, 3, NULL, NULL);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert_uint_eq(net.answer.ia_count, 3);
	expect_addr(&net.answer.ias[0].addrs[0], &first);
	expect_addr(&net.answer.ias[1].addrs[0], &second);
	ck_assert_int_eq(ia_status(&net, DHCP6_OPT_IA_PD), DHCP6_NO_BINDING);
}
END_TEST

START_TEST(confirm)
{
	struct addr addr = lease_of(&net, 1), far = addr_of("2001:db8::9");

	draft_open(&d, DHCP6_CONFIRM, 1);
	draft_na(&d, 1, &addr);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert_int_eq(reply_status(&net), DHCP6_SUCCESS);
	draft_na(&d, 2, &far);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert_int_eq(reply_status(&net), DHCP6_NOT_ON_LINK);
	ck_assert_uint_eq(net.answer.ia_count, 0);
	draft_open(&d, DHCP6_CONFIRM, 1);
	draft_na(&d, 1, NULL);
	expect_silence(&net, &d, 1);
}
END_TEST

START_TEST(release)
{
	struct addr addr = lease_of(&net, 1), wrong = host_addr(0x77);
	struct dhcp_lease_info lease;

	draft_open(&d, DHCP6_RELEASE, 1);
	draft_to_us(&d);
	draft_na(&d, 1, &wrong);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert_int_eq(reply_status(&net), DHCP6_SUCCESS);
	ck_assert_int_eq(ia_status(&net, DHCP6_OPT_IA_NA), DHCP6_NO_BINDING);
	ck_assert(dhcp6_server_by_address(net.server, &addr, &lease));

	draft_open(&d, DHCP6_RELEASE, 1);
	draft_to_us(&d);
	draft_na(&d, 1, &addr);
	/* From another MAC it is another's. */
	expect_type(&net, &d, 2, DHCP6_REPLY);
	ck_assert_int_eq(ia_status(&net, DHCP6_OPT_IA_NA), DHCP6_NO_BINDING);
	ck_assert(dhcp6_server_by_address(net.server, &addr, &lease));
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert_int_eq(reply_status(&net), DHCP6_SUCCESS);
	ck_assert_uint_eq(net.answer.ia_count, 0);
	ck_assert(!dhcp6_server_by_address(net.server, &addr, &lease));
	ck_assert_uint_eq(net.events[DHCP_LEASE_RELEASED], 1);
}
END_TEST

START_TEST(decline)
{
	struct addr addr = lease_of(&net, 1), next = host_addr(3);
	struct dhcp_lease_info lease;

	log_set_levels("error");
	draft_open(&d, DHCP6_DECLINE, 1);
	draft_to_us(&d);
	draft_na(&d, 1, &addr);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert_int_eq(reply_status(&net), DHCP6_SUCCESS);
	ck_assert(!dhcp6_server_by_address(net.server, &addr, &lease));
	expect_lease(1, &next);
}
END_TEST

START_TEST(request_of_an_address_of_another_network)
{
	struct addr far = addr_of("2001:db8::9");

	draft_open(&d, DHCP6_REQUEST, 1);
	draft_to_us(&d);
	draft_na(&d, 1, &far);
	expect_type(&net, &d, 1, DHCP6_REPLY);
	ck_assert_int_eq(ia_status(&net, DHCP6_OPT_IA_NA), DHCP6_NOT_ON_LINK);
	ck_assert_uint_eq(net.events[DHCP_LEASE_GRANTED], 0);
}
END_TEST

/* ---- What there is none of ---- */

START_TEST(prefixes_and_temporary_addresses)
{
	draft_open(&d, DHCP6_SOLICIT, 1);
	draft_ia(&d, DHCP6_OPT_IA_PD, 1, NULL, NULL);
	draft_ia(&d, DHCP6_OPT_IA_TA, 2, NULL, NULL);
	draft_na(&d, 3, NULL);
	expect_type(&net, &d, 1, DHCP6_ADVERTISE);
	ck_assert_uint_eq(net.answer.ia_count, 3);
	ck_assert_int_eq(ia_status(&net, DHCP6_OPT_IA_PD), DHCP6_NO_PREFIX_AVAIL);
	ck_assert_int_eq(ia_status(&net, DHCP6_OPT_IA_TA), DHCP6_NO_ADDRS_AVAIL);
	ck_assert_uint_eq(net.answer.ias[2].addr_count, 1);
}
END_TEST

/* ---- Who is answered: RFC 8415, section 16 ---- */

START_TEST(another_servers_messages)
{
	static const uint8_t types[] = {DHCP6_REQUEST, DHCP6_RENEW, DHCP6_RELEASE, DHCP6_DECLINE,
					DHCP6_INFORMATION_REQUEST};

	for (size_t i = 0; i < sizeof(types); i++) {
		draft_open(&d, types[i], 1);
		draft_option(&d, DHCP6_OPT_SERVER_ID, "\0\3\0\1abcdef", 10);
		expect_silence(&net, &d, 1);
	}
	ck_assert_uint_eq(dhcp6_server_counters(net.server)->ignored, sizeof(types));
}
END_TEST

START_TEST(a_server_identifier_where_none_may_be)
{
	static const uint8_t types[] = {DHCP6_SOLICIT, DHCP6_CONFIRM, DHCP6_REBIND};
	struct addr addr = host_addr(2);

	for (size_t i = 0; i < sizeof(types); i++) {
		draft_open(&d, types[i], 1);
		draft_to_us(&d);
		draft_na(&d, 1, &addr);
		expect_silence(&net, &d, 1);
	}
}
END_TEST

START_TEST(no_server_identifier_where_one_must_be)
{
	static const uint8_t types[] = {DHCP6_REQUEST, DHCP6_RENEW, DHCP6_RELEASE, DHCP6_DECLINE};

	for (size_t i = 0; i < sizeof(types); i++) {
		draft_open(&d, types[i], 1);
		draft_na(&d, 1, NULL);
		expect_silence(&net, &d, 1);
	}
}
END_TEST

START_TEST(no_client_identifier)
{
	for (uint8_t type = DHCP6_SOLICIT; type <= DHCP6_DECLINE; type++) {
		draft_raw(&d, type);
		draft_na(&d, 1, NULL);
		expect_silence(&net, &d, 1);
		draft_to_us(&d);
		expect_silence(&net, &d, 1);
	}
}
END_TEST

START_TEST(servers_and_relays_and_unknown)
{
	static const uint8_t types[] = {
		0, DHCP6_ADVERTISE, DHCP6_REPLY, DHCP6_RECONFIGURE, DHCP6_RELAY_FORW, 13, 14, 255};

	for (size_t i = 0; i < sizeof(types); i++) {
		draft_open(&d, types[i], 1);
		draft_na(&d, 1, NULL);
		expect_silence(&net, &d, 1);
	}
}
END_TEST

/* RFC 8415, 16 and 18.4. */
START_TEST(unicast)
{
	static const uint8_t told[] = {DHCP6_REQUEST, DHCP6_RENEW, DHCP6_RELEASE, DHCP6_DECLINE};
	static const uint8_t dropped[] = {DHCP6_SOLICIT, DHCP6_CONFIRM, DHCP6_REBIND};
	struct addr addr = lease_of(&net, 1);
	struct dhcp_lease_info lease;

	net.sender.multicast = false;
	for (size_t i = 0; i < sizeof(told); i++) {
		draft_open(&d, told[i], 1);
		draft_to_us(&d);
		draft_na(&d, 1, &addr);
		expect_type(&net, &d, 1, DHCP6_REPLY);
		ck_assert_int_eq(reply_status(&net), DHCP6_USE_MULTICAST);
		ck_assert_uint_eq(net.answer.ia_count, 0);
	}
	for (size_t i = 0; i < sizeof(dropped); i++) {
		draft_open(&d, dropped[i], 1);
		draft_na(&d, 1, &addr);
		expect_silence(&net, &d, 1);
	}
	draft_open(&d, DHCP6_INFORMATION_REQUEST, 1);
	expect_silence(&net, &d, 1);
	ck_assert(dhcp6_server_by_address(net.server, &addr, &lease));
}
END_TEST

START_TEST(malformed)
{
	draft_open(&d, DHCP6_SOLICIT, 1);
	draft_na(&d, 1, NULL);
	for (size_t size = wire_written(&d.w) - 1; size > 0; size--) {
		int r = dhcp6_server_handle(net.server, &net.sender, d.bytes, size, net.now_ms,
					    &net.reply);

		/* Cut between two options it is whole, but says less. */
		ck_assert(r == -EBADMSG || size == 4 || size == 18);
	}
}
END_TEST

START_TEST(configuration_is_checked)
{
	struct addr four = addr_of("192.168.65.1");
	struct dhcp6_server *server;
	struct dhcp6_conf good = basic_conf(), conf = good;

	conf.prefix.length = 96;
	ck_assert_int_eq(dhcp6_server_new(&conf, &server), -EINVAL);
	conf = good;
	conf.gateway = addr_of("2001:db8::1");
	ck_assert_int_eq(dhcp6_server_new(&conf, &server), -EINVAL);
	conf = good;
	conf.dns = &four;
	conf.dns_count = 1;
	ck_assert_int_eq(dhcp6_server_new(&conf, &server), -EINVAL);
	conf = good;
	conf.lease_seconds = 1;
	ck_assert_int_eq(dhcp6_server_new(&conf, &server), -EINVAL);
	conf = good;
	conf.search_size = DHCP6_SEARCH_SIZE_MAX + 1;
	ck_assert_int_eq(dhcp6_server_new(&conf, &server), -EINVAL);
	conf = good;
	conf.domain = "not a domain";
	ck_assert_int_eq(dhcp6_server_new(&conf, &server), -EINVAL);
	dhcp6_server_free(NULL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		solicit_request,
		rapid_commit,
		rapid_commit_not_allowed,
		lease_for_ever,
		the_namesake_of_the_ipv4_address,
		the_address_that_is_asked_for,
		never_ours,
		an_old_client_gets_its_old_address,
		one_duid_on_two_macs,
		two_duids_on_one_mac,
		a_mac_has_few_leases,
		a_source_has_its_share,
		renew_and_rebind,
		renew_of_a_lease_unknown,
		renew_with_a_further_address,
		renew_asks_for_more,
		confirm,
		release,
		decline,
		request_of_an_address_of_another_network,
		prefixes_and_temporary_addresses,
		another_servers_messages,
		a_server_identifier_where_none_may_be,
		no_server_identifier_where_one_must_be,
		no_client_identifier,
		servers_and_relays_and_unknown,
		unicast,
		malformed,
		configuration_is_checked,
		NULL,
	};
	Suite *suite = suite_create("dhcp6_server");
	TCase *tcase = unit_case(suite, "dhcp6_server", setup, teardown);

	unit_add(tcase, tests);
	return unit_run(suite);
}
