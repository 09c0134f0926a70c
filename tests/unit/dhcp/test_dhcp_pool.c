/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets which address: order, memory, exhaustion, abuse, static leases. */
#include "dhcp/dhcp_pool.h"

#include <errno.h>

#include "dhcp_test.h"
#include "unit.h"

#define GUESTS 252 /* of a /24 without network, broadcast, gateway and alias */

static struct net net;
static struct draft d;

static void setup(uint32_t first, uint32_t last)
{
	struct dhcp_conf conf = basic_conf();

	if (first)
		conf.pool_first = addr_from_v4(first);
	if (last)
		conf.pool_last = addr_from_v4(last);
	net_open(&net, &conf);
}

static void fill(uint32_t clients)
{
	for (uint32_t i = 1; i <= clients; i++)
		ck_assert_uint_ne(obtain(&net, i), 0);
}

START_TEST(from_two_upward)
{
	setup(0, 0);
	for (uint32_t i = 1; i <= GUESTS; i++)
		ck_assert_uint_eq(obtain(&net, i), IP(i + 1));
	ck_assert_uint_eq(obtain(&net, 1000), 0);
	ck_assert_uint_eq(dhcp_server_counters(net.server)->exhausted, 1);
	ck_assert_uint_eq(obtain(&net, 77), IP(78)); /* who has one keeps it */
	net_close(&net);
}
END_TEST

START_TEST(the_gateway_and_alias_anywhere)
{
	struct dhcp_pool pool;
	struct dhcp_lease *lease;
	struct dhcp_client client = {.id_size = 4};
	const uint32_t want[] = {IP(1), IP(2), IP(5), IP(6)};

	dhcp_pool_init(&pool);
	pool.first = pool.fresh = IP(1);
	pool.last = IP(6);
	pool.kept[0] = IP(3);
	pool.kept[1] = IP(4);
	for (uint8_t i = 0; i < 4; i++) {
		client.id[0] = i;
		client.mac = mac_of(i);
		ck_assert_int_eq(dhcp_pool_offer(&pool, &client, IP(3), 0, &lease), 0);
		ck_assert_uint_eq(lease->address, want[i]);
	}
	client.id[0] = 4;
	ck_assert_int_eq(dhcp_pool_offer(&pool, &client, 0, 0, &lease), -ENOSPC);
	dhcp_pool_destroy(&pool);
}
END_TEST

START_TEST(requested_addresses)
{
	setup(0, 0);
	draft_open(&d, DHCP_DISCOVER, 1);
	draft_u32(&d, DHCP_OPT_REQUESTED, IP(100));
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	ck_assert_uint_eq(net.answer.yiaddr, IP(100));
	const uint32_t wrong[] = {GATEWAY, HOST_ALIAS, IP(0), IP(255), 0x0a000001, IP(100)};

	for (uint32_t i = 0; i < 6; i++) {
		draft_open(&d, DHCP_DISCOVER, 10 + i);
		draft_u32(&d, DHCP_OPT_REQUESTED, wrong[i]);
		ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
		ck_assert_uint_eq(net.answer.yiaddr, IP(2 + i));
	}
	net_close(&net);
}
END_TEST

START_TEST(outside_the_pool_is_not_given)
{
	setup(IP(100), IP(110));
	draft_open(&d, DHCP_DISCOVER, 1);
	draft_u32(&d, DHCP_OPT_REQUESTED, IP(50));
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	ck_assert_uint_eq(net.answer.yiaddr, IP(100));
	ck_assert_int_eq(select_offer(&net, 2, IP(50)), DHCP_NAK);
	net_close(&net);
}
END_TEST

START_TEST(the_same_address_after_expiry)
{
	struct dhcp_lease_info lease;

	setup(0, 0);
	fill(3);
	net.now_ms += LEASE_MS - 1;
	ck_assert_uint_eq(dhcp_server_expire(net.server, net.now_ms), net.now_ms + 1);
	ck_assert(leased(&net, IP(3), &lease));
	net.now_ms += 1;
	ck_assert_uint_eq(dhcp_server_expire(net.server, net.now_ms), UINT64_MAX);
	ck_assert(!leased(&net, IP(3), &lease));
	ck_assert_uint_eq(net.events[DHCP_LEASE_EXPIRED], 3);
	ck_assert_uint_eq(obtain(&net, 4), IP(5)); /* a fresh one rather than somebody's */
	ck_assert_uint_eq(obtain(&net, 3), IP(4));
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	net_close(&net);
}
END_TEST

START_TEST(reuse_when_full_takes_the_oldest)
{
	setup(IP(2), IP(4));
	fill(3);
	release(&net, 2, IP(3));
	release(&net, 1, IP(2));
	ck_assert_uint_eq(obtain(&net, 10), IP(3));
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	ck_assert_uint_eq(obtain(&net, 2), 0); /* its address has gone, and there is no other */
	ck_assert_int_eq(reboot(&net, 2, IP(3)), 0);
	release(&net, 3, IP(4));
	ck_assert_uint_eq(obtain(&net, 2), IP(4));
	net_close(&net);
}
END_TEST

START_TEST(offers_are_held_and_let_go)
{
	setup(0, 0);
	discover(&net, 1);
	discover(&net, 2);
	ck_assert_uint_eq(net.answer.yiaddr, IP(3));
	net.now_ms += DHCP_OFFER_HOLD_MS - 1;
	discover(&net, 3);
	ck_assert_uint_eq(net.answer.yiaddr, IP(4));
	net.now_ms += 1;
	/* Nobody took .2 and .3: they go before a fresh one, to others. */
	ck_assert_uint_eq(obtain(&net, 4) + obtain(&net, 5), IP(2) + IP(3));
	net_close(&net);
}
END_TEST

START_TEST(a_full_pool_of_offers)
{
	setup(IP(2), IP(4));
	for (uint32_t i = 1; i <= 3; i++) {
		discover(&net, i);
		net.now_ms += 100;
	}
	ck_assert_int_eq(discover(&net, 4), 0);
	net.now_ms += DHCP_OFFER_GRACE_MS - 300;
	ck_assert_int_eq(discover(&net, 4), DHCP_OFFER);
	ck_assert_uint_eq(net.answer.yiaddr, IP(2));
	ck_assert_int_eq(discover(&net, 5), 0); /* the others haven't had their time yet */
	ck_assert_int_eq(select_offer(&net, 1, IP(2)), DHCP_NAK);
	ck_assert_int_eq(select_offer(&net, 2, IP(3)), DHCP_ACK);
	net_close(&net);
}
END_TEST

START_TEST(declined_addresses_are_few_and_come_back)
{
	setup(0, 0);
	for (uint32_t i = 0; i < 1000; i++)
		decline(&net, i, obtain(&net, i));
	/* 16 are set aside, the rest is there. */
	fill(GUESTS - DHCP_DECLINED_MAX);
	ck_assert_uint_eq(obtain(&net, 5000), 0);
	net.now_ms += DHCP_DECLINE_HOLD_MS;
	for (uint32_t i = 0; i < DHCP_DECLINED_MAX; i++)
		ck_assert_uint_ne(obtain(&net, 5000 + i), 0);
	net_close(&net);
	/* After its time it is the last to be tried again. */
	setup(0, 0);
	decline(&net, 1, obtain(&net, 1));
	net.now_ms += DHCP_DECLINE_HOLD_MS;
	ck_assert_uint_eq(obtain(&net, 2), IP(3));
	net_close(&net);
}
END_TEST

static uint32_t obtain_with_id(uint32_t client, uint32_t id)
{
	draft_open(&d, DHCP_DISCOVER, client);
	draft_u32(&d, DHCP_OPT_CLIENT_ID, id);
	if (send_draft(&net, &d) != DHCP_OFFER)
		return 0;
	uint32_t address = net.answer.yiaddr;

	draft_open(&d, DHCP_REQUEST, client);
	draft_u32(&d, DHCP_OPT_CLIENT_ID, id);
	draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	draft_u32(&d, DHCP_OPT_REQUESTED, address);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_ACK);
	return address;
}

static unsigned lease_count(void)
{
	unsigned count = 0;
	struct dhcp_lease_info lease;

	for (uint32_t i = 0; i < 256; i++)
		count += leased(&net, IP(i), &lease);
	return count;
}

START_TEST(one_mac_has_few_leases)
{
	setup(0, 0);
	ck_assert_uint_eq(obtain(&net, 50), IP(2));
	for (uint32_t i = 0; i < 1000; i++)
		ck_assert_uint_ne(obtain_with_id(1, i), 0);
	ck_assert_uint_eq(lease_count(), 1 + DHCP_LEASES_PER_MAC_MAX);
	ck_assert_uint_ne(obtain(&net, 51), 0);
	net_close(&net);
}
END_TEST

START_TEST(identifiers)
{
	setup(0, 0);
	ck_assert_uint_eq(obtain_with_id(1, 0xaaaa), IP(2));
	ck_assert_uint_eq(obtain_with_id(1, 0xbbbb), IP(3)); /* two clients on one MAC */
	ck_assert_uint_eq(obtain_with_id(1, 0xaaaa), IP(2));
	/* Another machine with the same identifier must not get, or end, a live lease. */
	ck_assert_uint_eq(obtain_with_id(2, 0xaaaa), IP(4));
	ck_assert_uint_eq(lease_count(), 3);
	draft_open(&d, DHCP_RELEASE, 3);
	draft_u32(&d, DHCP_OPT_CLIENT_ID, 0xaaaa);
	d.header.ciaddr = IP(2);
	ck_assert_int_eq(send_draft(&net, &d), 0);
	ck_assert_uint_eq(lease_count(), 3);
	/* But one whose network card was changed gets its address back. */
	net.now_ms += LEASE_MS;
	dhcp_server_expire(net.server, net.now_ms);
	ck_assert_uint_eq(obtain_with_id(9, 0xbbbb), IP(3));
	net_close(&net);
}
END_TEST

START_TEST(a_shared_identifier_is_limited)
{
	setup(0, 0);
	for (uint32_t i = 0; i < DHCP_LEASES_PER_ID_MAX; i++)
		ck_assert_uint_ne(obtain_with_id(i, 0xaaaa), 0);
	ck_assert_uint_eq(obtain_with_id(500, 0xaaaa), 0);
	ck_assert_uint_eq(lease_count(), DHCP_LEASES_PER_ID_MAX);
	ck_assert_uint_ne(obtain_with_id(500, 0xbbbb), 0);
	net_close(&net);
}
END_TEST

/* No identifier is the same as the one that most clients make of their MAC. */
START_TEST(with_and_without_identifier)
{
	setup(0, 0);
	obtain(&net, 1);
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_CLIENT_ID, "\1\x52\x54\0\0\0\1", 7);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	ck_assert_uint_eq(net.answer.yiaddr, IP(2));
	net_close(&net);
}
END_TEST

START_TEST(the_table_is_bounded)
{
	struct dhcp_conf conf = basic_conf();
	uint32_t got = 0;

	conf.subnet = (struct prefix){.addr = addr_from_v4(0xc0a80000), .length = 16};
	net_open(&net, &conf);
	for (uint32_t i = 1; i <= DHCP_LEASES_MAX + 100; i++)
		got += obtain(&net, i) != 0;
	ck_assert_uint_eq(got, DHCP_LEASES_MAX);
	/* A number of one's own choice isn't a way around. */
	ck_assert_int_eq(select_offer(&net, 20000, 0xc0a8f001), DHCP_NAK);
	/* Idle ones are reused. */
	net.now_ms += LEASE_MS;
	ck_assert_uint_ne(obtain(&net, 30000), 0);
	net_close(&net);
}
END_TEST

static struct dhcp_reservation reservation(uint32_t client, uint32_t address, const char *name)
{
	struct dhcp_reservation r = {
		.by_mac = true, .mac = mac_of(client), .address = addr_from_v4(address)};

	strcpy(r.hostname, name);
	return r;
}

static int reserve(uint32_t client, uint32_t address, const char *name)
{
	struct dhcp_reservation r = reservation(client, address, name);

	return dhcp_server_reserve(net.server, &r, net.now_ms);
}

START_TEST(static_leases)
{
	struct dhcp_reservation by_id = {.client_id = {0, 0, 0xaa, 0xaa},
					 .client_id_size = 4,
					 .address = addr_from_v4(IP(3))};
	struct dhcp_lease_info lease;

	setup(0, IP(50));
	ck_assert_int_eq(reserve(1, IP(2), "web"), 0);
	ck_assert_int_eq(dhcp_server_reserve(net.server, &by_id, net.now_ms), 0);
	ck_assert_int_eq(reserve(7, IP(200), ""), 0); /* outside the pool */
	ck_assert_uint_eq(obtain(&net, 5), IP(4));    /* not the reserved ones */
	ck_assert_uint_eq(obtain(&net, 7), IP(200));
	ck_assert_uint_eq(obtain_with_id(6, 0xaaaa), IP(3));
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	check_option(&net, DHCP_OPT_HOSTNAME, "web", 3);
	ck_assert(leased(&net, IP(2), &lease) && lease.reserved);
	/* By MAC, whatever identifier firmware and system use. */
	ck_assert_uint_eq(obtain_with_id(1, 0xcccc), IP(2));
	ck_assert_int_eq(select_offer(&net, 8, IP(200)), DHCP_NAK);
	ck_assert_int_eq(renew(&net, 1, IP(9)), DHCP_NAK);
	net.now_ms += LEASE_MS;
	ck_assert_uint_eq(obtain(&net, 9), IP(5));
	net_close(&net);
}
END_TEST

/* A static lease is nobody else's, idle or not, and for its identifier only from one MAC at a time.
 */
START_TEST(static_leases_stay_their_owners)
{
	struct dhcp_reservation by_id = {.client_id = {0, 0, 0xbb, 0xbb},
					 .client_id_size = 4,
					 .address = addr_from_v4(IP(3))};

	setup(0, IP(4));
	ck_assert_int_eq(reserve(1, IP(2), ""), 0);
	ck_assert_int_eq(dhcp_server_reserve(net.server, &by_id, net.now_ms), 0);
	ck_assert_uint_eq(obtain_with_id(1, 0xaaaa), IP(2));
	release(&net, 1, IP(2)); /* with another identifier: ignored */
	ck_assert_uint_eq(lease_count(), 1);
	ck_assert_uint_eq(obtain_with_id(6, 0xbbbb), IP(3));
	ck_assert_uint_eq(obtain_with_id(7, 0xbbbb), IP(4));
	ck_assert_uint_eq(lease_count(), 3);
	net.now_ms += LEASE_MS;
	ck_assert_uint_eq(obtain_with_id(8, 0xaaaa), IP(4)); /* not the MAC that .2 is for */
	ck_assert_uint_eq(obtain(&net, 9), 0);
	ck_assert_uint_eq(obtain_with_id(7, 0xbbbb), IP(3));
	net_close(&net);
}
END_TEST

START_TEST(static_leases_that_can_not_be)
{
	setup(0, 0);
	ck_assert_int_eq(reserve(1, GATEWAY, ""), -EINVAL);
	ck_assert_int_eq(reserve(1, HOST_ALIAS, ""), -EINVAL);
	ck_assert_int_eq(reserve(1, IP(255), ""), -EINVAL);
	ck_assert_int_eq(reserve(1, 0x0a000001, ""), -EINVAL);
	ck_assert_int_eq(reserve(1, IP(9), "bad name"), -EINVAL);
	ck_assert_int_eq(reserve(1, IP(9), "a.b"), -EINVAL);
	ck_assert_int_eq(reserve(1, IP(9), ""), 0);
	ck_assert_int_eq(reserve(1, IP(10), ""), -EEXIST);
	ck_assert_int_eq(reserve(2, IP(9), ""), -EEXIST);
	ck_assert_uint_eq(obtain(&net, 3), IP(2));
	ck_assert_int_eq(reserve(4, IP(2), ""), -EADDRINUSE);
	ck_assert_int_eq(reserve(3, IP(2), ""), 0); /* its own */
	net_close(&net);
}
END_TEST

START_TEST(static_leases_come_and_go)
{
	struct addr inside = addr_from_v4(IP(2)), outside = addr_from_v4(IP(200));
	struct dhcp_lease_info lease;

	setup(0, IP(50));
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	ck_assert_int_eq(reserve(1, IP(200), ""), 0);
	ck_assert_int_eq(renew(&net, 1, IP(2)), DHCP_NAK); /* it moves */
	ck_assert_uint_eq(obtain(&net, 1), IP(200));
	ck_assert(!leased(&net, IP(2), &lease));
	ck_assert_int_eq(dhcp_server_unreserve(net.server, &outside), 0);
	ck_assert(!leased(&net, IP(200), &lease)); /* the pool hasn't got it */
	ck_assert_int_eq(dhcp_server_unreserve(net.server, &outside), -ENOENT);
	ck_assert_int_eq(reserve(1, IP(2), ""), 0);
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	ck_assert_int_eq(dhcp_server_unreserve(net.server, &inside), 0);
	ck_assert(leased(&net, IP(2), &lease) && !lease.reserved);
	release(&net, 1, IP(2));
	ck_assert_uint_eq(obtain(&net, 2), IP(3));
	net_close(&net);
}
END_TEST

START_TEST(a_static_name_is_its_owners)
{
	struct dhcp_lease_info lease;

	setup(0, 0);
	ck_assert_int_eq(reserve(1, IP(9), "web"), 0);
	discover(&net, 2);
	draft_open(&d, DHCP_REQUEST, 2);
	draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	draft_u32(&d, DHCP_OPT_REQUESTED, IP(2));
	draft_text(&d, DHCP_OPT_HOSTNAME, "web");
	ck_assert_int_eq(send_draft(&net, &d), DHCP_ACK);
	ck_assert_uint_eq(obtain(&net, 1), IP(9));
	ck_assert(dhcp_server_by_hostname(net.server, "web", &lease));
	ck_assert_uint_eq(addr_v4(&lease.address), IP(9));
	ck_assert(leased(&net, IP(2), &lease));
	ck_assert_str_eq(lease.hostname, "");
	net_close(&net);
}
END_TEST

START_TEST(a_static_lease_survives_decline_and_full_pools)
{
	setup(IP(2), IP(3));
	ck_assert_int_eq(reserve(1, IP(2), ""), 0);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	ck_assert_int_eq(discover(&net, 2), DHCP_OFFER);
	net.now_ms += DHCP_OFFER_GRACE_MS + 1;
	/* The oldest offer is the static one, and not to be taken. */
	ck_assert_int_eq(discover(&net, 3), DHCP_OFFER);
	ck_assert_uint_eq(net.answer.yiaddr, IP(3));
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	decline(&net, 1, IP(2));
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	net_close(&net);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		from_two_upward,
		the_gateway_and_alias_anywhere,
		requested_addresses,
		outside_the_pool_is_not_given,
		the_same_address_after_expiry,
		reuse_when_full_takes_the_oldest,
		offers_are_held_and_let_go,
		a_full_pool_of_offers,
		declined_addresses_are_few_and_come_back,
		one_mac_has_few_leases,
		identifiers,
		a_shared_identifier_is_limited,
		with_and_without_identifier,
		the_table_is_bounded,
		static_leases,
		static_leases_stay_their_owners,
		static_leases_that_can_not_be,
		static_leases_come_and_go,
		a_static_name_is_its_owners,
		a_static_lease_survives_decline_and_full_pools,
		NULL,
	};

	return unit_main("dhcp_pool", NULL, NULL, tests);
}
