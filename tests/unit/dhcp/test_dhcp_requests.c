/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask in each state of RFC 2131 (figure 5, table 4), and when the answer is ACK, NAK
 * or silence. */
#include "dhcp_test.h"
#include "unit.h"

static struct net net;

static void setup(bool authoritative)
{
	struct dhcp_conf conf = basic_conf();

	conf.authoritative = authoritative;
	net_open(&net, &conf);
}

START_TEST(selecting)
{
	struct dhcp_lease_info lease;

	setup(false);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	ck_assert_uint_eq(net.answer.yiaddr, IP(2));
	ck_assert(!leased(&net, IP(2), &lease));
	ck_assert_int_eq(select_offer(&net, 1, IP(2)), DHCP_ACK);
	ck_assert_uint_eq(net.answer.yiaddr, IP(2));
	ck_assert_uint_eq(net.answer.ciaddr, 0);
	ck_assert(leased(&net, IP(2), &lease));
	ck_assert_uint_eq(lease.expires_ms, net.now_ms + LEASE_MS);
	ck_assert_uint_eq(net.events[DHCP_LEASE_GRANTED], 1);
	/* A lost ACK: the same request again. */
	ck_assert_int_eq(select_offer(&net, 1, IP(2)), DHCP_ACK);
	ck_assert_uint_eq(net.events[DHCP_LEASE_GRANTED], 1);
	ck_assert_uint_eq(net.events[DHCP_LEASE_RENEWED], 1);
	net_close(&net);
}
END_TEST

START_TEST(selecting_what_was_not_offered)
{
	setup(false);
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	discover(&net, 2);
	ck_assert_int_eq(select_offer(&net, 2, IP(2)), DHCP_NAK);  /* another client's */
	ck_assert_int_eq(select_offer(&net, 2, IP(50)), DHCP_NAK); /* free, but not the offer */
	ck_assert_int_eq(select_offer(&net, 2, GATEWAY), DHCP_NAK);
	ck_assert_int_eq(select_offer(&net, 2, HOST_ALIAS), DHCP_NAK);
	ck_assert_int_eq(select_offer(&net, 2, IP(0)), DHCP_NAK);
	ck_assert_int_eq(select_offer(&net, 2, IP(255)), DHCP_NAK);
	ck_assert_int_eq(select_offer(&net, 2, 0x0a000005), DHCP_NAK);
	ck_assert_int_eq(select_offer(&net, 2, IP(3)), DHCP_ACK);
	net_close(&net);
}
END_TEST

START_TEST(selecting_another_server_frees_the_offer)
{
	struct draft d;

	setup(true);
	discover(&net, 1);
	draft_open(&d, DHCP_REQUEST, 1);
	draft_u32(&d, DHCP_OPT_SERVER_ID, IP(77));
	draft_u32(&d, DHCP_OPT_REQUESTED, IP(90));
	ck_assert_int_eq(send_draft(&net, &d), 0);
	/* At once, not only when the offer runs out. */
	ck_assert_int_eq(discover(&net, 2), DHCP_OFFER);
	ck_assert_uint_eq(net.answer.yiaddr, IP(2));
	net_close(&net);
}
END_TEST

START_TEST(selecting_with_an_offer_that_ran_out)
{
	setup(false);
	discover(&net, 1);
	net.now_ms += 120000;
	ck_assert_int_eq(select_offer(&net, 1, IP(2)), DHCP_ACK);
	/* Also when we have never heard of the client: after our own restart. */
	ck_assert_int_eq(select_offer(&net, 9, IP(99)), DHCP_ACK);
	net_close(&net);
}
END_TEST

START_TEST(init_reboot)
{
	setup(false);
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	net.now_ms += 1000;
	ck_assert_int_eq(reboot(&net, 1, IP(2)), DHCP_ACK);
	ck_assert_uint_eq(net.answer.yiaddr, IP(2));
	ck_assert_int_eq(reboot(&net, 1, IP(3)), DHCP_NAK); /* not its address */
	ck_assert_uint_eq(net.answer.yiaddr, 0);
	ck_assert_int_eq(reboot(&net, 1, 0x0a000005), DHCP_NAK); /* not this network */
	ck_assert_int_eq(reboot(&net, 2, 0x0a000005), DHCP_NAK);
	/* Of a client that it doesn't know a server is silent: it may be another server's. */
	ck_assert_int_eq(reboot(&net, 2, IP(3)), 0);
	ck_assert_int_eq(reboot(&net, 2, IP(2)), 0);
	net_close(&net);
}
END_TEST

START_TEST(init_reboot_when_authoritative)
{
	setup(true);
	ck_assert_int_eq(reboot(&net, 2, IP(9)), DHCP_ACK);
	ck_assert_uint_eq(net.answer.yiaddr, IP(9));
	ck_assert_int_eq(reboot(&net, 3, IP(9)), DHCP_NAK);
	ck_assert_int_eq(reboot(&net, 3, GATEWAY), DHCP_NAK);
	net_close(&net);
}
END_TEST

START_TEST(init_reboot_after_expiry)
{
	setup(false);
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	net.now_ms += 2 * LEASE_MS;
	ck_assert_int_eq(reboot(&net, 1, IP(2)), DHCP_ACK);
	ck_assert_uint_eq(net.events[DHCP_LEASE_EXPIRED], 1);
	ck_assert_uint_eq(net.events[DHCP_LEASE_GRANTED], 2);
	net_close(&net);
}
END_TEST

START_TEST(renewing_and_rebinding)
{
	struct dhcp_lease_info lease;

	setup(false);
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	net.now_ms += LEASE_MS / 2;
	ck_assert_int_eq(renew(&net, 1, IP(2)), DHCP_ACK);
	ck_assert_uint_eq(net.answer.ciaddr, IP(2));
	ck_assert_uint_eq(net.answer.yiaddr, IP(2));
	ck_assert(leased(&net, IP(2), &lease));
	ck_assert_uint_eq(lease.expires_ms, net.now_ms + LEASE_MS);
	ck_assert_int_eq(renew(&net, 1, IP(3)), DHCP_NAK);
	ck_assert_int_eq(renew(&net, 1, 0x0a000005), DHCP_NAK);
	ck_assert_int_eq(renew(&net, 2, IP(7)), 0);
	net_close(&net);
	setup(true);
	ck_assert_int_eq(renew(&net, 2, IP(7)), DHCP_ACK);
	ck_assert_int_eq(renew(&net, 3, IP(7)), DHCP_NAK);
	net_close(&net);
}
END_TEST

START_TEST(request_without_an_address)
{
	struct draft d;

	setup(true);
	draft_open(&d, DHCP_REQUEST, 1);
	ck_assert_int_eq(send_draft(&net, &d), 0);
	draft_open(&d, DHCP_REQUEST, 1);
	draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	ck_assert_int_eq(send_draft(&net, &d), 0);
	net_close(&net);
}
END_TEST

START_TEST(releasing)
{
	struct dhcp_lease_info lease;

	setup(false);
	obtain(&net, 1);
	release(&net, 2, IP(2)); /* not its own */
	release(&net, 1, IP(3)); /* not this one */
	ck_assert(leased(&net, IP(2), &lease));
	release(&net, 1, IP(2));
	ck_assert(!leased(&net, IP(2), &lease));
	ck_assert_uint_eq(net.events[DHCP_LEASE_RELEASED], 1);
	ck_assert_uint_eq(obtain(&net, 2), IP(3));
	ck_assert_uint_eq(obtain(&net, 1), IP(2)); /* remembered */
	net_close(&net);
}
END_TEST

START_TEST(declining)
{
	struct dhcp_lease_info lease;

	setup(false);
	obtain(&net, 1);
	decline(&net, 2, IP(2));
	decline(&net, 1, IP(3));
	ck_assert(leased(&net, IP(2), &lease));
	decline(&net, 1, IP(2));
	ck_assert(!leased(&net, IP(2), &lease));
	ck_assert_uint_eq(net.events[DHCP_LEASE_RELEASED], 1);
	ck_assert_uint_eq(obtain(&net, 1), IP(3)); /* another one */
	ck_assert_int_eq(select_offer(&net, 5, IP(2)), DHCP_NAK);
	net.now_ms += 600000;
	ck_assert_int_eq(select_offer(&net, 5, IP(2)), DHCP_ACK);
	net_close(&net);
}
END_TEST

START_TEST(informing)
{
	struct dhcp_lease_info lease;
	struct draft d;

	setup(false);
	draft_open(&d, DHCP_INFORM, 1);
	d.header.ciaddr = IP(100);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_ACK);
	ck_assert_uint_eq(net.answer.yiaddr, 0);
	ck_assert_uint_eq(net.answer.ciaddr, IP(100));
	ck_assert_int_eq(net.reply.destination, DHCP_TO_CIADDR);
	ck_assert(has_option(&net, DHCP_OPT_DNS));
	ck_assert(!has_option(&net, DHCP_OPT_LEASE_TIME));
	ck_assert(!has_option(&net, DHCP_OPT_T1));
	ck_assert(!has_option(&net, DHCP_OPT_T2));
	ck_assert(!leased(&net, IP(100), &lease));
	/* No answer goes out of the network, or to ourselves. */
	const uint32_t wrong[] = {0, 0x08080808, GATEWAY, HOST_ALIAS, IP(255)};

	for (size_t i = 0; i < 5; i++) {
		draft_open(&d, DHCP_INFORM, 1);
		d.header.ciaddr = wrong[i];
		ck_assert_int_eq(send_draft(&net, &d), 0);
	}
	net_close(&net);
}
END_TEST

START_TEST(rapid_commit)
{
	struct dhcp_conf conf = basic_conf();
	struct dhcp_lease_info lease;
	struct draft d;

	conf.rapid_commit = true;
	net_open(&net, &conf);
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_RAPID_COMMIT, NULL, 0);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_ACK);
	ck_assert(net.answer.rapid_commit);
	ck_assert(leased(&net, IP(2), &lease));
	ck_assert_int_eq(discover(&net, 2), DHCP_OFFER); /* who doesn't ask doesn't get it */
	ck_assert(!net.answer.rapid_commit);
	net_close(&net);
	setup(false); /* nor where it isn't allowed */
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_RAPID_COMMIT, NULL, 0);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	net_close(&net);
}
END_TEST

/* Only Ethernet clients' requests are answered; nothing that would send elsewhere is. */
START_TEST(not_for_us)
{
	struct draft d;

	setup(true);
	draft_open(&d, 0, 1); /* BOOTP */
	ck_assert_int_eq(send_draft(&net, &d), 0);
	draft_open(&d, DHCP_DISCOVER, 1);
	d.header.op = DHCP_BOOTREPLY;
	ck_assert_int_eq(send_draft(&net, &d), 0);
	draft_open(&d, DHCP_DISCOVER, 1);
	d.header.htype = 6;
	ck_assert_int_eq(send_draft(&net, &d), 0);
	draft_open(&d, DHCP_DISCOVER, 1);
	d.header.hlen = 16;
	ck_assert_int_eq(send_draft(&net, &d), 0);
	draft_open(&d, DHCP_DISCOVER, 1);
	d.header.chaddr = mac_broadcast;
	ck_assert_int_eq(send_draft(&net, &d), 0);
	draft_open(&d, DHCP_DISCOVER, 1);
	d.header.chaddr = (struct mac){0};
	ck_assert_int_eq(send_draft(&net, &d), 0);
	draft_open(&d, DHCP_DISCOVER, 1);
	d.header.giaddr = 0x08080808;
	ck_assert_int_eq(send_draft(&net, &d), 0);
	ck_assert_uint_eq(dhcp_server_counters(net.server)->ignored, 7);
	draft_open(&d, DHCP_OFFER, 1);
	ck_assert_int_eq(send_draft(&net, &d), 0);
	draft_open(&d, 200, 1);
	ck_assert_int_eq(send_draft(&net, &d), 0);
	ck_assert_uint_eq(dhcp_server_counters(net.server)->ignored, 9);
	ck_assert_uint_eq(dhcp_server_counters(net.server)->offers, 0);
	net_close(&net);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		selecting,
		selecting_what_was_not_offered,
		selecting_another_server_frees_the_offer,
		selecting_with_an_offer_that_ran_out,
		init_reboot,
		init_reboot_when_authoritative,
		init_reboot_after_expiry,
		renewing_and_rebinding,
		request_without_an_address,
		releasing,
		declining,
		informing,
		rapid_commit,
		not_for_us,
		NULL,
	};

	return unit_main("dhcp_requests", NULL, NULL, tests);
}
