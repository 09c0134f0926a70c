/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP connections with guests: how they begin and end. What they carry is in test_conn_data.c, what
 * a guest that breaks the rules can do is in test_conn_hostile.c.
 */
#include "conn_test.h"
#include "netstack/away.h"
#include "unit.h"

#include <errno.h>

#define SYN SIM_TCP_SYN
#define ACK SIM_TCP_ACK
#define RST SIM_TCP_RST
#define FIN SIM_TCP_FIN

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* ---- Opening ---- */

START_TEST(syn_is_held_until_accepted)
{
	struct session s;

	session_start(&s, &session_offload);
	s.mode = OWNER_HOLDS;
	sim_tcp_connect(&s.tcp);
	session_pass(&s, 200, NULL);
	ck_assert_uint_eq(s.syns, 1);
	ck_assert_uint_eq(s.tcp.frames, 0);
	ck_assert(!s.connected);
	conn_accept(s.conn);
	session_settle(&s);
	ck_assert(s.connected && s.tcp.established);
	ck_assert_uint_eq(s.tcp.peer_mss, session_mss());
	session_stop(&s);
}
END_TEST

START_TEST(refused_with_reset)
{
	struct session s;

	session_start(&s, &session_offload);
	s.mode = OWNER_HOLDS;
	sim_tcp_connect(&s.tcp);
	net_run(&s.net);
	conn_refuse(s.conn, CONN_REFUSE_RESET);
	s.conn = NULL;
	session_settle(&s);
	ck_assert(s.tcp.reset);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(refused_with_icmp)
{
	static const struct {
		enum conn_refusal how;
		uint8_t code, code6;
	} cases[] = {{CONN_REFUSE_NET, 0, 0}, {CONN_REFUSE_HOST, 1, 3}, {CONN_REFUSE_ADMIN, 13, 1}};
	const unsigned header_size = session_is_v6() ? 40 : 20;
	struct session s;

	session_start(&s, &session_offload);
	s.mode = OWNER_HOLDS;
	for (unsigned i = 0; i < 3; i++) {
		const uint8_t *icmp;

		s.tcp.self.port++;
		sim_tcp_connect(&s.tcp);
		net_run(&s.net);
		ck_assert_ptr_nonnull(s.conn);
		conn_refuse(s.conn, cases[i].how);
		s.conn = NULL;
		session_settle(&s);
		ck_assert_uint_eq(s.strays, i + 1);
		icmp = s.stray->bytes + 14 + header_size;
		ck_assert_uint_eq(s.stray->bytes[session_is_v6() ? 20 : 23],
				  session_is_v6() ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
		ck_assert_uint_eq(icmp[0], session_is_v6() ? 1 : 3);
		ck_assert_uint_eq(icmp[1], session_is_v6() ? cases[i].code6 : cases[i].code);
		/* It quotes the SYN: the guest's port. */
		ck_assert_uint_eq(be16(icmp + 8 + header_size), s.tcp.self.port);
	}
	ck_assert(!s.tcp.reset);
	session_stop(&s);
}
END_TEST

START_TEST(retransmitted_syn_replaces_the_held_one)
{
	struct session s;

	session_start(&s, &session_offload);
	s.mode = OWNER_HOLDS;
	sim_tcp_connect(&s.tcp);
	net_run(&s.net);
	/* A new attempt from the same port. */
	s.tcp.iss += 77777;
	sim_tcp_connect(&s.tcp);
	net_run(&s.net);
	ck_assert_uint_eq(s.syns, 1);
	conn_accept(s.conn);
	session_settle(&s);
	ck_assert(s.tcp.established && s.connected);
	ck_assert_uint_eq(s.tcp.una, s.tcp.iss + 1);
	session_stop(&s);
}
END_TEST

START_TEST(reset_while_held)
{
	struct session s;

	session_start(&s, &session_offload);
	s.mode = OWNER_HOLDS;
	sim_tcp_connect(&s.tcp);
	sim_tcp_segment(&s.tcp, RST, s.tcp.iss + 1, 0, NULL, 0, NULL, 0);
	net_run(&s.net);
	ck_assert(s.ended);
	ck_assert_int_eq(s.end, CONN_END_RESET);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(syn_ack_lost_and_syn_repeated)
{
	struct session s;

	session_start(&s, &session_offload);
	sim_tcp_connect(&s.tcp);
	net_run(&s.net);
	ck_assert_uint_eq(sim_link_drop_all(s.net.link), 1);
	session_pass(&s, 2000, &s.connected);
	ck_assert(s.connected && s.tcp.established);
	session_stop(&s);
}
END_TEST

START_TEST(second_syn_brings_options_that_the_first_had_not)
{
	struct session s;

	session_start(&s, &session_offload);
	s.tcp.scale = -1;
	sim_tcp_connect(&s.tcp);
	net_run(&s.net);
	sim_link_drop_all(s.net.link);
	s.tcp.scale = 7;
	sim_tcp_connect(&s.tcp);
	session_pass(&s, 1000, NULL);
	s.tcp.to_send = 8 * 1024 * 1024;
	s.deaf = true;
	session_pass(&s, 3000, NULL);
	ck_assert_uint_le(s.rx_peak, CONN_RX_WINDOW_MIN);
	session_stop(&s);
}
END_TEST

START_TEST(guest_that_never_confirms_is_given_up)
{
	struct session s;

	session_start(&s, &session_offload);
	sim_tcp_connect(&s.tcp);
	for (int i = 0; i < 60 && !s.ended; i++) {
		net_advance(&s.net, 1000);
		sim_link_drop_all(s.net.link);
	}
	ck_assert(s.ended && !s.connected);
	ck_assert_int_eq(s.end, CONN_END_TIMEOUT);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(most_connections)
{
	struct stack_conf conf = net_conf();
	struct session s;

	session_start(&s, &session_offload);
	net_stop(&s.net);
	conf.conns_max = 1;
	net_start(&s.net, &conf, &session_handler, &s, &session_offload);
	s.wire.link = s.net.link;
	session_open(&s);
	s.tcp.self.port++;
	s.tcp.established = false;
	sim_tcp_connect(&s.tcp);
	session_settle(&s);
	ck_assert(s.tcp.reset);
	ck_assert_uint_eq(s.syns, 1);
	ck_assert_uint_eq(stack_counters(s.net.stack).conns_refused_full, 1);
	session_stop(&s);
}
END_TEST

START_TEST(most_connections_of_all)
{
	struct stack_conf conf = net_conf();
	struct session s;

	session_start(&s, &session_offload);
	net_stop(&s.net);
	conf.conns_total_max = 9;
	net_start(&s.net, &conf, &session_handler, &s, &session_offload);
	s.wire.link = s.net.link;
	s.mode = OWNER_HOLDS;
	for (unsigned i = 0; i <= 8; i++) {
		s.tcp.self.port++;
		s.conn = NULL;
		sim_tcp_connect(&s.tcp);
		session_settle(&s);
		ck_assert(s.tcp.reset == (i == 8));
	}
	ck_assert_uint_eq(session_conns(&s), 8);
	ck_assert_uint_eq(stack_counters(s.net.stack).conns_refused_full, 1);
	session_stop(&s);
}
END_TEST

/* ---- To the guest ---- */

static const struct endpoint *dial_from(void)
{
	static struct endpoint from;

	from = (struct endpoint){.addr = net_addr(session_is_v6() ? "2001:db8::9" : "10.9.9.9"),
				 .port = 5555};
	return &from;
}

static int dial(struct session *s)
{
	s->tcp.peer = *dial_from();
	return conn_connect(s->net.stack, dial_from(), &s->tcp.self, NULL, &owner_ops, s, &s->conn);
}

START_TEST(dialled_guest_accepts)
{
	struct session s;

	session_start(&s, &session_offload);
	stack_learn(s.net.stack, &s.tcp.self.addr, &net_guest_mac);
	s.tcp.listening = true;
	ck_assert_int_eq(dial(&s), 0);
	s.to_send = s.tcp.to_send = 1000000;
	s.to_close = s.tcp.to_close = true;
	session_pass(&s, 3000, &s.tcp.fin_received);
	session_pass(&s, 1000, NULL);
	ck_assert(s.connected);
	ck_assert_uint_eq(s.received, 1000000);
	ck_assert_uint_eq(s.tcp.received, 1000000);
	ck_assert(s.tcp.fin_acked);
	session_stop(&s);
}
END_TEST

START_TEST(dialled_guest_refuses)
{
	struct session s;

	session_start(&s, &session_offload);
	stack_learn(s.net.stack, &s.tcp.self.addr, &net_guest_mac);
	ck_assert_int_eq(dial(&s), 0);
	net_run(&s.net);
	sim_tcp_pump(&s.tcp, NULL, NULL);
	sim_tcp_segment(&s.tcp, RST | ACK, 0, s.tcp.irs + 1, NULL, 0, NULL, 0);
	net_run(&s.net);
	ck_assert(s.ended);
	ck_assert_int_eq(s.end, CONN_END_REFUSED);
	session_stop(&s);
}
END_TEST

START_TEST(dialled_guest_is_silent)
{
	struct session s;

	session_start(&s, &session_offload);
	ck_assert_int_eq(dial(&s), 0);
	session_pass(&s, 120000, &s.ended);
	ck_assert(s.ended);
	ck_assert_int_eq(s.end, CONN_END_TIMEOUT);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(whom_not_to_dial)
{
	static const char *const nobody[] = {"192.168.65.1", "192.168.65.254", "8.8.8.8",
					     "fd00:65::1",   "fd00:65::fe",    "2001:db8::1",
					     "fe80::1",      "ff02::1"};
	struct endpoint guest = {.port = 1};
	struct session s;
	struct conn *conn;

	session_start(&s, &session_offload);
	ck_assert_int_eq(dial(&s), 0);
	ck_assert_int_eq(
		conn_connect(s.net.stack, dial_from(), &s.tcp.self, NULL, &owner_ops, &s, &conn),
		-EADDRINUSE);
	for (unsigned i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		guest.addr = net_addr(nobody[i]);
		ck_assert_int_eq(
			conn_connect(s.net.stack, dial_from(), &guest, NULL, &owner_ops, &s, &conn),
			(guest.addr.family == AF_INET6) == session_is_v6() ? -EHOSTUNREACH
									   : -EAFNOSUPPORT);
	}
	session_stop(&s);
}
END_TEST

/* ---- Ending ---- */

START_TEST(guest_closes_first)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.tcp.to_send = 10;
	s.tcp.to_close = true;
	session_pass(&s, 500, NULL);
	ck_assert(s.eof && s.tcp.fin_acked && !s.tcp.fin_received);
	/* The other half still works. */
	s.to_send = 300000;
	s.to_close = true;
	session_pass(&s, 500, NULL);
	ck_assert_uint_eq(s.tcp.received, 300000);
	ck_assert(s.tcp.fin_received);
	ck_assert_ptr_null(s.conn);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(owner_closes_first_and_time_wait_ends)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_send = 10;
	s.to_close = true;
	session_pass(&s, 500, NULL);
	ck_assert(s.tcp.fin_received && !s.eof);
	s.tcp.to_send = 300000;
	s.tcp.to_close = true;
	session_pass(&s, 500, NULL);
	ck_assert_uint_eq(s.received, 300000);
	ck_assert(s.tcp.fin_acked);
	ck_assert_ptr_null(s.conn);
	ck_assert_uint_eq(session_conns(&s), 1); /* TIME_WAIT */
	session_pass(&s, 5000, NULL);
	ck_assert_uint_eq(session_conns(&s), 0);
	ck_assert(!s.tcp.reset);
	session_stop(&s);
}
END_TEST

/* Has the guest's next connection made, from another port, and closed: the owner first. */
static void one_more_to_time_wait(struct session *s)
{
	s->tcp.self.port++;
	s->tcp.iss = s->tcp.nxt + 100000;
	s->tcp.established = s->tcp.fin_sent = s->tcp.fin_received = s->tcp.fin_acked = false;
	s->tcp.to_close = s->to_close = s->shut = s->connected = false;
	s->syns = 0;
	session_open(s);
	s->to_close = true;
	session_pass(s, 50, NULL);
	s->tcp.to_close = true;
	session_pass(s, 50, NULL);
}

/* A wake-up for each of thousands would be hundreds a second. */
START_TEST(time_waits_of_a_second_end_together)
{
	struct session s;

	session_start(&s, &session_offload);
	for (unsigned i = 0; i < 5; i++)
		one_more_to_time_wait(&s);
	ck_assert_uint_eq(session_conns(&s), 5);
	/* The first one's time is over, and then one after the other's. */
	while (session_conns(&s) == 5)
		session_pass(&s, 10, NULL);
	ck_assert_uint_eq(session_conns(&s), 4);
	session_pass(&s, 900, NULL);
	ck_assert_uint_eq(session_conns(&s), 4);
	session_pass(&s, 200, NULL);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(both_close_at_once)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_close = true;
	conn_schedule(s.conn);
	net_run(&s.net); /* our FIN is on its way */
	s.tcp.to_close = true;
	sim_tcp_send(&s.tcp, s.net.now_ms);
	session_pass(&s, 1000, NULL);
	ck_assert(s.tcp.fin_received && s.tcp.fin_acked && !s.tcp.reset);
	session_pass(&s, 5000, NULL);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(same_port_again_in_time_wait)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_close = true;
	session_pass(&s, 100, NULL);
	s.tcp.to_close = true;
	session_pass(&s, 100, NULL);
	ck_assert_uint_eq(session_conns(&s), 1);
	s.tcp.iss = s.tcp.nxt + 100000;
	s.tcp.established = s.tcp.fin_sent = s.tcp.fin_received = s.tcp.fin_acked = false;
	s.tcp.to_close = s.to_close = s.shut = s.connected = false;
	s.syns = 0;
	session_open(&s);
	ck_assert_uint_eq(session_conns(&s), 1);
	session_stop(&s);
}
END_TEST

START_TEST(fin_with_data)
{
	static const uint8_t *none;
	uint8_t payload[100];
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = sim_tcp_byte(i);
	sim_tcp_segment(&s.tcp, FIN | ACK, s.tcp.nxt, s.tcp.rcv_nxt, none, 0, payload, 100);
	s.tcp.nxt += 101;
	s.tcp.nxt_max = s.tcp.nxt;
	session_settle(&s);
	ck_assert_uint_eq(s.received, 100);
	ck_assert(s.eof);
	session_stop(&s);
}
END_TEST

START_TEST(guest_resets)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	/* Beyond the window: nothing; within it: a challenge; the next byte: the end. */
	sim_tcp_segment(&s.tcp, RST, s.tcp.nxt + 10000000, 0, NULL, 0, NULL, 0);
	sim_tcp_segment(&s.tcp, RST, s.tcp.nxt - 1, 0, NULL, 0, NULL, 0);
	session_settle(&s);
	ck_assert(!s.ended);
	sim_tcp_segment(&s.tcp, RST, s.tcp.nxt + 100, 0, NULL, 0, NULL, 0);
	session_settle(&s);
	ck_assert(!s.ended);
	sim_tcp_segment(&s.tcp, RST, s.tcp.nxt, 0, NULL, 0, NULL, 0);
	session_settle(&s);
	ck_assert(s.ended);
	ck_assert_int_eq(s.end, CONN_END_RESET);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(reset_and_same_port_at_once)
{
	struct session s;

	session_start(&s, &session_offload);
	s.frees = false;
	session_open(&s);
	sim_tcp_segment(&s.tcp, RST, s.tcp.nxt, 0, NULL, 0, NULL, 0);
	net_run(&s.net);
	ck_assert(s.ended);
	s.tcp.established = s.connected = s.ended = false;
	s.syns = 0;
	s.tcp.iss += 5;
	session_open(&s);
	session_stop(&s);
}
END_TEST

START_TEST(owner_gives_up)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_send = 1000000;
	net_run(&s.net);
	conn_free(s.conn);
	s.conn = NULL;
	session_settle(&s);
	ck_assert(s.tcp.reset);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(link_goes)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_send = 1000000;
	session_settle(&s);
	sim_link_hang_up(s.net.link, "test");
	net_advance(&s.net, AWAY_MS);
	net_run(&s.net);
	ck_assert(s.ended);
	ck_assert_int_eq(s.end, CONN_END_GONE);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(link_goes_while_blocked_and_held)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	sim_link_set_full(s.net.link, true);
	s.to_send = 1000000;
	session_settle(&s);
	sim_link_hang_up(s.net.link, "test");
	net_advance(&s.net, AWAY_MS);
	net_run(&s.net);
	ck_assert(s.ended);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

/* ---- Many ---- */

START_TEST(idle_connections_cost_no_timer)
{
	struct stack_conf conf = net_conf();
	struct session s;

	session_start(&s, &session_offload);
	net_stop(&s.net);
	conf.conns_max = 20000;
	net_start(&s.net, &conf, &session_handler, &s, &session_offload);
	s.wire.link = s.net.link;
	s.deaf = true;
	for (unsigned i = 0; i < 10000; i++) {
		s.tcp.self.port = (uint16_t)(20000 + i);
		s.tcp.established = s.connected = false;
		s.tcp.iss = i * 1000;
		sim_tcp_connect(&s.tcp);
		net_run(&s.net);
		sim_tcp_pump(&s.tcp, NULL, NULL);
		sim_tcp_send(&s.tcp, s.net.now_ms);
		net_run(&s.net);
		ck_assert(s.connected);
		s.conn = NULL; /* the stack has it, and ends it */
	}
	ck_assert_uint_eq(session_conns(&s), 10000);
	net_advance(&s.net, 200);
	sim_link_drop_all(s.net.link);
	/* Hours in which nothing is sent, and nothing ends. */
	net_advance(&s.net, 3600 * 1000);
	ck_assert_uint_eq(sim_link_pending(s.net.link), 0);
	ck_assert_uint_eq(session_conns(&s), 10000);
	session_stop(&s);
}
END_TEST

static void add_tests(TCase *tcase)
{
	const TTest *const tests[] = {
		syn_is_held_until_accepted,
		refused_with_reset,
		refused_with_icmp,
		retransmitted_syn_replaces_the_held_one,
		reset_while_held,
		syn_ack_lost_and_syn_repeated,
		second_syn_brings_options_that_the_first_had_not,
		guest_that_never_confirms_is_given_up,
		most_connections,
		most_connections_of_all,
		dialled_guest_accepts,
		dialled_guest_refuses,
		dialled_guest_is_silent,
		whom_not_to_dial,
		guest_closes_first,
		owner_closes_first_and_time_wait_ends,
		time_waits_of_a_second_end_together,
		both_close_at_once,
		same_port_again_in_time_wait,
		fin_with_data,
		guest_resets,
		reset_and_same_port_at_once,
		owner_gives_up,
		link_goes,
		link_goes_while_blocked_and_held,
		idle_connections_cost_no_timer,
		NULL,
	};

	unit_add(tcase, tests);
}

int main(void)
{
	Suite *suite = suite_create("conn");

	session_add_cases(suite, add_tests);
	return unit_run(suite);
}
