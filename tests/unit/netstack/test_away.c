/* SPDX-License-Identifier: Apache-2.0 */
/* Guests whose links go: in time they find their connections again, and nobody else does. */

#include "conn_test.h"
#include "netstack/away.h"
#include "unit.h"

/* A second end of the same guest, or of another one. */
static struct sim_link *attach(struct session *s, const char *name)
{
	const struct link_sink *sink = switch_sink(stack_switch(s->net.stack));
	struct sim_link *link = sim_link_new(name, &session_offload);

	sink->attached(sink->arg, sim_link_link(link));
	return link;
}

static void announce(struct sim_link *link, const struct mac *mac)
{
	struct addr self = net_addr("192.168.65.2"), gateway = net_addr("192.168.65.1");
	uint8_t bytes[64];

	sim_link_inject(link, bytes, sim_packet_arp(mac, &self, &gateway, bytes));
	sim_link_batch_end(link);
}

/* Whether the gateway asks for the guest's address on that link. */
static bool is_asked(struct sim_link *link)
{
	struct sim_frame *frame;
	bool asked = false;

	while ((frame = sim_link_take(link)) != NULL) {
		asked |= frame->size == 42 && frame->bytes[12] == 8 && frame->bytes[13] == 6 &&
			 frame->bytes[41] == 2;
		sim_frame_free(frame);
	}
	return asked;
}

/* In the middle of a transfer; the guest's link is gone. */
static void lose_link(struct session *s)
{
	session_start(s, &session_offload);
	session_open(s);
	s->to_send = 3000000;
	conn_schedule(s->conn);
	net_run(&s->net);
	ck_assert_uint_gt(s->sent, 0);
	sim_link_hang_up(s->net.link, "test");
	net_run(&s->net);
	ck_assert(!s->ended);
	ck_assert_uint_lt(s->tcp.received, s->to_send);
}

static void move_to(struct session *s, struct sim_link *link)
{
	sim_link_free(s->net.link);
	s->net.link = link;
	s->wire.link = link;
}

/* A guest that noticed nothing, and is only waiting: it is asked for, and all goes on, much later
 * than any timer of TCP's would have had it. */
START_TEST(comes_back)
{
	struct session s;
	struct sim_link *link;

	lose_link(&s);
	net_advance(&s.net, AWAY_MS - 1);
	ck_assert(!s.ended);
	link = attach(&s, "guest #2");
	net_run(&s.net);
	ck_assert(is_asked(link));
	move_to(&s, link);
	announce(link, &net_guest_mac);
	session_settle(&s);
	for (int i = 0; i < 100 && s.tcp.received < s.to_send; i++) {
		net_advance(&s.net, 100);
		session_settle(&s);
	}
	ck_assert_uint_eq(s.tcp.received, s.to_send);
	/* It isn't away any more. */
	net_advance(&s.net, 2 * AWAY_MS);
	ck_assert(!s.ended);
	session_stop(&s);
}
END_TEST

START_TEST(speaks_first)
{
	struct session s;

	lose_link(&s);
	s.to_send = 0; /* no more */
	move_to(&s, attach(&s, "guest #2"));
	announce(s.net.link, &net_guest_mac);
	s.tcp.to_send = 100000;
	session_settle(&s);
	for (int i = 0; i < 100 && s.received < 100000; i++) {
		net_advance(&s.net, 100);
		session_settle(&s);
	}
	ck_assert_uint_eq(s.received, 100000);
	net_advance(&s.net, 2 * AWAY_MS);
	ck_assert(!s.ended);
	session_stop(&s);
}
END_TEST

START_TEST(does_not_come_back)
{
	struct session s;

	lose_link(&s);
	net_advance(&s.net, AWAY_MS - 1);
	ck_assert(!s.ended);
	net_advance(&s.net, 1);
	net_run(&s.net);
	ck_assert(s.ended);
	ck_assert_int_eq(s.end, CONN_END_GONE);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

/* A guest by another link takes the address, and the MAC too: it hears nothing of the connection,
 * and what it says ends it. */
START_TEST(somebody_else_comes)
{
	struct session s;
	struct sim_link *link;
	struct sim_frame *frame;

	lose_link(&s);
	link = attach(&s, "other #1");
	announce(link, &net_guest_mac);
	net_run(&s.net);
	net_advance(&s.net, 1000);
	while ((frame = sim_link_take(link)) != NULL) {
		ck_assert_uint_lt(frame->size, 100); /* ARP */
		sim_frame_free(frame);
	}
	ck_assert(!s.ended);
	move_to(&s, link);
	s.tcp.to_send = 1000;
	sim_tcp_send(&s.tcp, s.net.now_ms);
	net_run(&s.net);
	ck_assert(s.ended);
	ck_assert_int_eq(s.end, CONN_END_GONE);
	session_stop(&s);
}
END_TEST

/* Port numbers come round: what an absent guest had isn't the next one's. */
START_TEST(number_is_given_again)
{
	struct session s;
	struct sim_link *link;

	lose_link(&s);
	for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++) {
		ck_assert(!s.ended);
		link = attach(&s, "guest #9");
		if (i == SWITCH_PORTS_MAX - 1)
			break;
		sim_link_hang_up(link, "test");
		sim_link_free(link);
	}
	net_run(&s.net);
	ck_assert(s.ended);
	move_to(&s, link);
	session_stop(&s);
}
END_TEST

START_TEST(times)
{
	static struct away away;
	uint64_t next;

	away_init(&away);
	ck_assert_uint_eq(away_expired(&away, 1, &next), 0);
	ck_assert(next == UINT64_MAX);
	away_attached(&away, 3, "qemu:/a #1");
	away_attached(&away, 4, "qemu:/ab #1");
	away_attached(&away, 5, "qemu:/a #2");
	away_gone(&away, 3, 1000);
	ck_assert(away_is(&away, 3) && !away_is(&away, 4));
	ck_assert(!away_may_be_back(&away, 3, 4));
	ck_assert(away_may_be_back(&away, 3, 5));
	away_gone(&away, 5, 2000);
	ck_assert(!away_may_be_back(&away, 3, 5));
	ck_assert_uint_eq(away_expired(&away, 1000 + AWAY_MS - 1, &next), 0);
	ck_assert_uint_eq(next, 1000 + AWAY_MS);
	ck_assert_uint_eq(away_expired(&away, 1000 + AWAY_MS, &next), 3);
	ck_assert_uint_eq(next, 2000 + AWAY_MS);
	away_end(&away, 3);
	away_end(&away, 3);
	ck_assert_uint_eq(away.count, 1);
	/* A path may look like a number. */
	away_attached(&away, 6, "qemu:/a #b/x #1");
	away_attached(&away, 7, "qemu:/a #c/x #1");
	away_attached(&away, 8, "qemu:/a #b/x #2");
	away_gone(&away, 6, 3000);
	ck_assert(!away_may_be_back(&away, 6, 7));
	ck_assert(away_may_be_back(&away, 6, 8));
	away_end(&away, 6);
	away_end(&away, 5);
	ck_assert(!away_is(&away, 5));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("away");
	TCase *tcase = unit_case(suite, "away", NULL, NULL);

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, comes_back);
	tcase_add_test(tcase, speaks_first);
	tcase_add_test(tcase, does_not_come_back);
	tcase_add_test(tcase, somebody_else_comes);
	tcase_add_test(tcase, number_is_given_again);
	tcase_add_test(tcase, times);
	return unit_run(suite);
}
