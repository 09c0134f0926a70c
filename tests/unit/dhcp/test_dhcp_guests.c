/* SPDX-License-Identifier: Apache-2.0 */
/* Many clients behind one guest: one MAC with several identifiers, one switch port with many MACs,
 * and what a guest can't do to the others' share of the pool. */
#include "dhcp/dhcp_pool.h"

#include "dhcp_test.h"
#include "unit.h"

static struct net net;
static struct draft d;

static void setup(bool one_per_mac, unsigned per_source, uint32_t last)
{
	struct dhcp_conf conf = basic_conf();

	conf.one_per_mac = one_per_mac;
	conf.leases_per_source_max = per_source;
	conf.authoritative = true;
	if (last)
		conf.pool_last = addr_from_v4(last);
	net_open(&net, &conf);
}

/* A DISCOVER or REQUEST of client's MAC under an identifier; returns the answer's type. */
static int send_as(uint8_t type, uint32_t client, const char *id, uint32_t requested, bool selects)
{
	draft_open(&d, type, client);
	draft_text(&d, DHCP_OPT_CLIENT_ID, id);
	if (requested)
		draft_u32(&d, DHCP_OPT_REQUESTED, requested);
	if (selects)
		draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	return send_draft(&net, &d);
}

static uint32_t obtain_as(uint32_t client, const char *id)
{
	if (send_as(DHCP_DISCOVER, client, id, 0, false) != DHCP_OFFER)
		return 0;
	uint32_t address = net.answer.yiaddr;

	ck_assert_int_eq(send_as(DHCP_REQUEST, client, id, address, true), DHCP_ACK);
	return address;
}

/* Firmware, initramfs and system ask one after the other, each in a name of its own. */
START_TEST(one_mac_keeps_its_address)
{
	struct dhcp_lease_info lease;

	setup(true, 0, 0);
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	ck_assert_uint_eq(obtain_as(1, "initramfs"), IP(2));
	ck_assert_uint_eq(obtain(&net, 2), IP(3));
	ck_assert_uint_eq(obtain_as(1, "system"), IP(2));
	ck_assert(leased(&net, IP(2), &lease));
	ck_assert_uint_eq(lease.client_id_size, strlen("system"));
	/* It was never without: nobody saw it released. */
	ck_assert_uint_eq(net.events[DHCP_LEASE_RELEASED], 0);
	/* INIT-REBOOT, and an identifier that comes with an address of its own from elsewhere. */
	ck_assert_int_eq(reboot(&net, 1, IP(2)), DHCP_ACK);
	ck_assert_int_eq(send_as(DHCP_REQUEST, 1, "third", IP(2), false), DHCP_ACK);
	ck_assert_int_eq(send_as(DHCP_REQUEST, 1, "fourth", IP(77), false), DHCP_NAK);
	/* After its lease ran out, too. */
	net.now_ms += 2 * LEASE_MS;
	ck_assert_uint_eq(obtain_as(1, "fifth"), IP(2));
	net_close(&net);
}
END_TEST

/* ... but one of them must not end what the next one has. */
START_TEST(a_former_identifier_releases_nothing)
{
	struct dhcp_lease_info lease;

	setup(true, 0, 0);
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	ck_assert_uint_eq(obtain_as(1, "system"), IP(2));
	release(&net, 1, IP(2));
	decline(&net, 1, IP(2));
	ck_assert(leased(&net, IP(2), &lease));
	net_close(&net);
}
END_TEST

/* Where identifiers are told apart, as those of ipvlan interfaces must be. */
START_TEST(by_identifier)
{
	setup(false, 0, 0);
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	ck_assert_uint_eq(obtain_as(1, "one"), IP(3));
	ck_assert_uint_eq(obtain_as(1, "two"), IP(4));
	ck_assert_int_eq(send_as(DHCP_REQUEST, 1, "one", IP(2), false), DHCP_NAK);
	net_close(&net);
}
END_TEST

/* A client that comes with another MAC and its old identifier finds its old address; what its MAC
 * had is let go. */
START_TEST(an_identifier_moves_to_a_mac_that_has_one)
{
	struct dhcp_lease_info lease;

	setup(true, 0, 0);
	ck_assert_uint_eq(obtain_as(1, "disk"), IP(2));
	net.now_ms += 2 * LEASE_MS;
	ck_assert_uint_eq(obtain(&net, 2), IP(3));
	ck_assert_uint_eq(obtain_as(2, "disk"), IP(2));
	ck_assert(!leased(&net, IP(3), &lease));
	net_close(&net);
}
END_TEST

START_TEST(another_mac_is_another_client)
{
	setup(true, 0, 0);
	ck_assert_uint_eq(obtain_as(1, "image"), IP(2));
	ck_assert_uint_eq(obtain_as(2, "image"), IP(3));
	ck_assert_uint_eq(obtain_as(1, "image"), IP(2));
	net_close(&net);
}
END_TEST

START_TEST(static_lease_by_mac_whatever_the_identifier)
{
	const struct dhcp_reservation by_mac = {
		.by_mac = true, .mac = mac_of(1), .address = addr_from_v4(IP(50))};
	struct dhcp_reservation by_id = {.address = addr_from_v4(IP(60)), .client_id_size = 6};

	memcpy(by_id.client_id, "system", 6);
	setup(true, 0, 0);
	ck_assert_int_eq(dhcp_server_reserve(net.server, &by_mac, net.now_ms), 0);
	ck_assert_uint_eq(obtain(&net, 1), IP(50));
	ck_assert_uint_eq(obtain_as(1, "initramfs"), IP(50));
	ck_assert_uint_eq(net.events[DHCP_LEASE_RELEASED], 0);
	/* One by identifier goes before, and isn't for the others of that MAC. */
	ck_assert_int_eq(dhcp_server_reserve(net.server, &by_id, net.now_ms), 0);
	ck_assert_uint_eq(obtain_as(2, "system"), IP(60));
	ck_assert_uint_eq(obtain_as(2, "initramfs"), IP(2));
	net_close(&net);
}
END_TEST

START_TEST(a_source_has_its_share)
{
	setup(true, 3, IP(9));
	net.source = 1;
	for (uint32_t i = 1; i <= 3; i++)
		ck_assert_uint_eq(obtain(&net, i), IP(i + 1));
	ck_assert_uint_eq(obtain(&net, 4), 0);
	ck_assert_int_eq(reboot(&net, 5, IP(8)), DHCP_NAK);
	ck_assert_uint_eq(dhcp_server_counters(net.server)->limited, 2);
	ck_assert_uint_eq(dhcp_server_counters(net.server)->exhausted, 0);
	/* The others have theirs, and what it has it keeps. */
	net.source = 2;
	ck_assert_uint_eq(obtain(&net, 100), IP(5));
	net.source = 1;
	ck_assert_int_eq(renew(&net, 1, IP(2)), DHCP_ACK);
	ck_assert_uint_eq(obtain(&net, 2), IP(3));
	release(&net, 3, IP(4));
	ck_assert_uint_eq(obtain(&net, 4), IP(6));
	ck_assert_uint_eq(obtain(&net, 3), 0);
	net_close(&net);
}
END_TEST

/* Offers count too, or asking alone would empty the pool; they end soon. */
START_TEST(offers_count_for_a_source)
{
	setup(true, 3, IP(6));
	net.source = 7;
	for (uint32_t i = 1; i <= 20; i++)
		ck_assert_int_eq(discover(&net, i), i <= 3 ? DHCP_OFFER : 0);
	net.source = 8;
	ck_assert_uint_ne(obtain(&net, 100), 0);
	ck_assert_uint_ne(obtain(&net, 101), 0);
	net.source = 7;
	net.now_ms += DHCP_OFFER_HOLD_MS;
	ck_assert_uint_ne(obtain(&net, 21), 0);
	net_close(&net);
}
END_TEST

/* A client that moves to another port counts there. */
START_TEST(a_lease_moves_with_its_client)
{
	setup(true, 1, 0);
	net.source = 1;
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	ck_assert_uint_eq(obtain(&net, 2), 0);
	net.source = 2;
	ck_assert_int_eq(renew(&net, 1, IP(2)), DHCP_ACK);
	ck_assert_uint_eq(obtain(&net, 3), 0);
	net.source = 1;
	ck_assert_uint_ne(obtain(&net, 2), 0);
	/* An unknown place isn't limited: after a restart, where leases were is not known. */
	net.source = 0;
	ck_assert_uint_ne(obtain(&net, 4), 0);
	ck_assert_uint_ne(obtain(&net, 5), 0);
	net_close(&net);
}
END_TEST

START_TEST(static_leases_are_not_limited)
{
	const struct dhcp_reservation reservation = {
		.by_mac = true, .mac = mac_of(9), .address = addr_from_v4(IP(50))};

	setup(true, 1, 0);
	net.source = 1;
	ck_assert_int_eq(dhcp_server_reserve(net.server, &reservation, net.now_ms), 0);
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	ck_assert_uint_eq(obtain(&net, 9), IP(50));
	net_close(&net);
}
END_TEST

/* A guest that declines all that it is offered sets no more than a quarter of the pool aside. */
START_TEST(declines_leave_most_of_a_small_pool)
{
	unsigned got = 0;

	setup(true, 0, IP(9)); /* 8 addresses, and the gateway's below them */
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t address = obtain(&net, 1);

		ck_assert_uint_ne(address, 0);
		decline(&net, 1, address);
	}
	for (uint32_t i = 10; i < 30; i++)
		got += obtain(&net, i) != 0;
	ck_assert_uint_eq(got, 6);
	net_close(&net);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {one_mac_keeps_its_address,
				      a_former_identifier_releases_nothing,
				      by_identifier,
				      an_identifier_moves_to_a_mac_that_has_one,
				      another_mac_is_another_client,
				      static_lease_by_mac_whatever_the_identifier,
				      a_source_has_its_share,
				      offers_count_for_a_source,
				      a_lease_moves_with_its_client,
				      static_leases_are_not_limited,
				      declines_leave_most_of_a_small_pool,
				      NULL};

	return unit_main("dhcp_guests", NULL, NULL, tests);
}
