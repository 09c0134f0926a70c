/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What connections with guests carry: every byte, through bad wires, full links, tiny windows and
 * owners that don't read. How they begin and end is in test_conn.c.
 */
#include "conn_test.h"
#include "unit.h"

#define ACK SIM_TCP_ACK
#define FIN SIM_TCP_FIN

#define MIB (1024 * 1024)

/* Both directions at once, closed from both sides; everything must be there in `ms`. */
static void transfer(struct session *s, uint64_t up, uint64_t down, uint64_t ms)
{
	session_open(s);
	s->tcp.to_send = up;
	s->to_send = down;
	s->to_close = s->tcp.to_close = true;
	session_pass(s, ms, &s->tcp.fin_received);
	session_pass(s, ms, &s->tcp.fin_acked);
	ck_assert_uint_eq(s->wrong, 0);
	ck_assert_uint_eq(s->tcp.wrong, 0);
	ck_assert_uint_eq(s->received, up);
	ck_assert_uint_eq(s->tcp.received, down);
	ck_assert_msg(s->tcp.fin_received && s->tcp.fin_acked && !s->tcp.reset,
		      "closed %d %d, reset %d, after %llu ms", s->tcp.fin_received,
		      s->tcp.fin_acked, s->tcp.reset,
		      (unsigned long long)s->net.now_ms - NET_START_MS);
	session_pass(s, 6000, NULL);
	ck_assert_uint_eq(session_conns(s), 0);
}

START_TEST(segments)
{
	struct session s;

	session_start(&s, &session_plain);
	transfer(&s, 3 * MIB, 3 * MIB, 20000);
	ck_assert_uint_eq(s.tcp.largest_payload, session_mss());
	session_stop(&s);
}
END_TEST

START_TEST(super_frames)
{
	struct session s;

	session_start(&s, &session_offload);
	s.tcp.send_size = 64240;
	s.tcp.window = 4 * MIB;
	transfer(&s, 20 * MIB, 20 * MIB, 20000);
	ck_assert_uint_gt(s.tcp.super_frames, 100);
	ck_assert_uint_eq(s.tcp.largest_payload, session_mss());
	session_stop(&s);
}
END_TEST

/* What a server says and closes is one segment for the guest; one that doesn't fit the window is
 * cut, and the FIN stays behind all of it. */
START_TEST(fin_rides_on_the_last_bytes)
{
	uint32_t window = _i ? 600 : 65535;
	struct session s;
	uint64_t before;

	session_start(&s, &session_offload);
	s.tcp.window = window;
	session_open(&s);
	session_pass(&s, 100, NULL);
	before = s.tcp.frames;
	s.to_send = 1000;
	s.to_close = true;
	session_pass(&s, 1000, &s.tcp.fin_received);
	ck_assert(s.tcp.fin_received);
	ck_assert_uint_eq(s.tcp.received, 1000);
	if (_i == 0)
		ck_assert_uint_eq(s.tcp.frames - before, 1);
	session_stop(&s);
}
END_TEST

START_TEST(small_pieces)
{
	struct session s;

	session_start(&s, &session_offload);
	s.tcp.send_size = 7;
	transfer(&s, 20000, 1, 20000);
	session_stop(&s);
}
END_TEST

/* A bad wire in both directions. */
static void bad_wire(const struct link_caps *caps, uint64_t seed, unsigned percent, uint32_t size)
{
	struct session s;

	session_start(&s, caps);
	s.random = sim_random(sim_random_seed("bad wire", seed));
	s.wire.lose = percent;
	s.wire.duplicate = percent;
	s.wire.reorder = 2 * percent;
	s.tcp.send_size = size;
	transfer(&s, 600000, 600000, 400000);
	session_stop(&s);
}

START_TEST(bad_wire_of_segments)
{
	bad_wire(&session_plain, 100 + (uint64_t)_i, 1 + (unsigned)_i % 4, 0);
}
END_TEST

START_TEST(bad_wire_of_super_frames)
{
	bad_wire(&session_offload, 200 + (uint64_t)_i, 2 + 3 * ((unsigned)_i % 4), 20000);
}
END_TEST

/* ---- Windows ---- */

START_TEST(owner_that_does_not_read)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.deaf = true;
	s.tcp.to_send = 50 * MIB;
	s.tcp.send_size = (uint32_t[]){0, 64240, 100, 3000}[_i];
	session_pass(&s, 5000, NULL);
	ck_assert_uint_gt(s.rx_peak, CONN_RX_WINDOW_MIN / 2);
	ck_assert_uint_le(s.rx_peak, CONN_RX_WINDOW_MIN);
	ck_assert_uint_le(s.tcp.largest_flight, CONN_RX_WINDOW_MIN);
	/* Small pieces must not pin a receive buffer each. */
	if (s.tcp.send_size == 100 || s.tcp.send_size == 3000)
		ck_assert_uint_le(sim_link_iobufs(s.net.link), 1);
	s.deaf = false;
	s.tcp.to_send = 2 * MIB;
	session_pass(&s, 5000, NULL);
	ck_assert_uint_eq(s.received, 2 * MIB);
	session_stop(&s);
}
END_TEST

START_TEST(window_grows_for_an_owner_that_keeps_up)
{
	struct session s;

	session_start(&s, &session_offload);
	s.tcp.send_size = 64240;
	session_open(&s);
	s.tcp.to_send = 50 * MIB;
	session_pass(&s, 20000, NULL);
	ck_assert_uint_eq(s.received, 50 * MIB);
	ck_assert_uint_gt(s.tcp.peer_window, 1 * MIB);
	ck_assert_uint_le(s.tcp.peer_window, CONN_RX_WINDOW_MAX);
	session_stop(&s);
}
END_TEST

/* Where what doesn't fit the link's queue is lost, the window stays within half of the queue. */
START_TEST(window_fits_the_queue_of_the_link)
{
	struct link_caps caps = session_offload;
	struct session s;

	caps.queue_frames = 300;
	session_start(&s, &caps);
	s.tcp.send_size = 64240;
	session_open(&s);
	s.tcp.to_send = 20 * MIB;
	session_pass(&s, 20000, NULL);
	ck_assert_uint_eq(s.received, 20 * MIB);
	ck_assert_uint_gt(s.tcp.peer_window, 128 * 1460);
	ck_assert_uint_le(s.tcp.peer_window, 150 * 1460);
	session_stop(&s);
}
END_TEST

START_TEST(guest_that_sends_beyond_the_window)
{
	static const uint8_t payload[60000];
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.deaf = true;
	for (unsigned i = 0; i < 300; i++) {
		uint32_t seq = s.tcp.nxt + (i % 100) * 60000u;

		sim_tcp_segment(&s.tcp, ACK, seq, s.tcp.rcv_nxt, NULL, 0, payload, sizeof(payload));
		net_run(&s.net);
		sim_link_drop_all(s.net.link);
	}
	ck_assert_uint_le(s.rx_peak, CONN_RX_WINDOW_MIN);
	ck_assert_uint_le(sim_link_iobufs(s.net.link), 8);
	session_stop(&s);
}
END_TEST

START_TEST(out_of_order_segments_are_bounded)
{
	static const uint8_t payload[2100];
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	/* Overlapping each other in every way, and never the one that is missing. */
	for (unsigned i = 0; i < 5000; i++) {
		uint32_t seq = s.tcp.nxt + 1 + (i * 977u) % 63000u;

		sim_tcp_segment(&s.tcp, ACK, seq, s.tcp.rcv_nxt, NULL, 0, payload,
				1 + i * 31 % sizeof(payload));
		if (i % 64 == 0) {
			net_run(&s.net);
			sim_link_drop_all(s.net.link);
		}
	}
	ck_assert_uint_eq(s.received, 0);
	ck_assert_uint_le(sim_link_iobufs(s.net.link), 100);
	session_stop(&s);
}
END_TEST

/* A segment out of order that takes the place of others is cut to the window too. */
START_TEST(out_of_order_beyond_the_window)
{
	static const uint8_t payload[65000];
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.deaf = true;
	sim_tcp_segment(&s.tcp, ACK, s.tcp.nxt + 2000, s.tcp.rcv_nxt, NULL, 0, payload, 100);
	sim_tcp_segment(&s.tcp, ACK, s.tcp.nxt + 1500, s.tcp.rcv_nxt, NULL, 0, payload, 65000);
	sim_tcp_segment(&s.tcp, ACK, s.tcp.nxt, s.tcp.rcv_nxt, NULL, 0, payload, 1500);
	net_run(&s.net);
	ck_assert_uint_eq(s.rx_peak, CONN_RX_WINDOW_MIN - 1);
	session_stop(&s);
}
END_TEST

/* The FIN of a segment that waits for others counts in the window too. */
START_TEST(fin_out_of_order_at_the_edge_of_the_window)
{
	static const uint8_t payload[65535];
	struct session s;
	uint32_t window, start;

	session_start(&s, &session_offload);
	session_open(&s);
	s.deaf = true;
	start = s.tcp.nxt;
	window = CONN_RX_WINDOW_MIN - 1;
	if (_i == 0) {
		/* Inside the window, and then data over it that fills the window. */
		sim_tcp_segment(&s.tcp, FIN | ACK, start + 100, s.tcp.rcv_nxt, NULL, 0, payload,
				10);
		sim_tcp_segment(&s.tcp, ACK, start, s.tcp.rcv_nxt, NULL, 0, payload, 60000);
		sim_tcp_segment(&s.tcp, FIN | ACK, start + 60100, s.tcp.rcv_nxt, NULL, 0, payload,
				1);
		sim_tcp_segment(&s.tcp, ACK, start + 60000, s.tcp.rcv_nxt, NULL, 0, payload,
				window - 60000);
	} else {
		/* Right behind it, with the rest in order. */
		sim_tcp_segment(&s.tcp, FIN | ACK, start + 60000, s.tcp.rcv_nxt, NULL, 0, payload,
				window - 60000);
		sim_tcp_segment(&s.tcp, ACK, start, s.tcp.rcv_nxt, NULL, 0, payload, 60000);
	}
	net_run(&s.net);
	ck_assert_uint_eq(s.rx_peak, window);
	ck_assert(!s.ended && !s.eof);
	session_stop(&s);
}
END_TEST

START_TEST(guest_with_a_closed_window)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.tcp.window = 0;
	s.tcp.to_send = 1; /* tells of it */
	session_settle(&s);
	s.to_send = 50 * MIB;
	session_pass(&s, 60000, NULL);
	ck_assert(!s.ended);
	ck_assert_uint_le(s.tcp.received, 65535 + 64);
	ck_assert_uint_le(s.tx_peak, CONN_TX_BYTES_MAX);
	ck_assert_uint_le(s.sent, CONN_TX_BYTES_MAX);
	s.tcp.window = 1 * MIB;
	s.tcp.ack_due = true;
	session_pass(&s, 30000, NULL);
	ck_assert_uint_eq(s.tcp.received, 50 * MIB);
	session_stop(&s);
}
END_TEST

/* Windows smaller than a segment, from the SYN on or later. */
START_TEST(guest_with_a_tiny_window)
{
	static const uint32_t windows[] = {1, 2, 87, 100, 500, 1459, 1461, 3000};
	struct session s;

	session_start(&s, _i & 1 ? &session_plain : &session_offload);
	s.tcp.scale = -1;
	if (_i & 2)
		s.tcp.window = windows[_i / 4];
	session_open(&s);
	s.tcp.window = windows[_i / 4];
	s.to_send = windows[_i / 4] < 50 ? 100 : 20000;
	s.to_close = true;
	s.tcp.to_send = 1;
	session_pass(&s, 600000, &s.tcp.fin_received);
	ck_assert_uint_eq(s.tcp.received, s.to_send);
	ck_assert(s.tcp.fin_received);
	session_stop(&s);
}
END_TEST

/* A window that is closed while the first bytes are queued, and opens by less than a segment: lwIP
 * then asks for smaller segments than the one that is queued already. */
START_TEST(window_that_opens_a_little_at_a_time)
{
	struct session s;

	session_start(&s, &session_offload);
	s.tcp.scale = -1;
	s.tcp.window = 0;
	session_open(&s);
	s.to_send = 5000;
	session_pass(&s, 100, NULL);
	for (uint32_t window = 1; window < 30000; window += 97) {
		s.tcp.window = window;
		s.tcp.ack_due = true;
		s.to_send += 300;
		session_pass(&s, 300, NULL);
	}
	s.tcp.window = 60000;
	s.tcp.ack_due = true;
	session_pass(&s, 3000, NULL);
	ck_assert_uint_eq(s.tcp.received, s.to_send);
	session_stop(&s);
}
END_TEST

START_TEST(window_taken_back)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_send = 3 * MIB;
	for (unsigned i = 0; i < 200; i++) {
		s.tcp.window = i % 3 == 0 ? 0 : i % 3 == 1 ? 65535 : 700;
		s.tcp.ack_due = true;
		session_pass(&s, 20, NULL);
	}
	s.tcp.window = 65535;
	s.tcp.ack_due = true;
	session_pass(&s, 60000, NULL);
	ck_assert_uint_eq(s.tcp.received, 3 * MIB);
	session_stop(&s);
}
END_TEST

/* ---- Full links ---- */

START_TEST(link_blocked_for_long)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_send = 10 * MIB;
	sim_link_set_room(s.net.link, 2);
	session_pass(&s, 10, NULL);
	/* Longer than any number of retransmissions. */
	for (int i = 0; i < 3600; i++)
		net_advance(&s.net, 1000);
	ck_assert(!s.ended);
	sim_link_set_full(s.net.link, false);
	session_pass(&s, 20000, NULL);
	ck_assert_uint_eq(s.tcp.received, 10 * MIB);
	ck_assert(!s.tcp.reset);
	session_stop(&s);
}
END_TEST

START_TEST(link_with_little_room)
{
	struct session s;

	session_start(&s, _i ? &session_plain : &session_offload);
	session_open(&s);
	s.to_send = s.tcp.to_send = 1 * MIB;
	s.to_close = s.tcp.to_close = true;
	for (unsigned i = 0; i < 20000 && !s.tcp.fin_received; i++) {
		sim_link_set_room(s.net.link, i % 3);
		session_pass(&s, 10, NULL);
	}
	sim_link_set_full(s.net.link, false);
	session_pass(&s, 3000, NULL);
	ck_assert_uint_eq(s.tcp.received, 1 * MIB);
	ck_assert_uint_eq(s.received, 1 * MIB);
	ck_assert(!s.tcp.reset);
	session_stop(&s);
}
END_TEST

START_TEST(guest_that_stops_answering)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_send = 1000;
	for (int i = 0; i < 1000 && !s.ended; i++) {
		if (s.conn)
			conn_schedule(s.conn);
		net_advance(&s.net, 1000);
		net_run(&s.net);
		sim_link_drop_all(s.net.link);
	}
	ck_assert(s.ended);
	ck_assert_int_eq(s.end, CONN_END_TIMEOUT);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(acks_of_what_was_never_sent)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_send = 200000;
	for (unsigned i = 0; i < 500; i++) {
		net_run(&s.net);
		sim_tcp_pump(&s.tcp, NULL, NULL);
		sim_tcp_segment(&s.tcp, ACK, s.tcp.nxt, s.tcp.rcv_nxt + i * 1234567u, NULL, 0, NULL,
				0);
		sim_tcp_segment(&s.tcp, ACK, s.tcp.nxt, s.tcp.rcv_nxt - i * 3u, NULL, 0, NULL, 0);
		if (s.conn)
			conn_schedule(s.conn);
	}
	ck_assert_uint_eq(s.tcp.wrong, 0);
	session_pass(&s, 3000, NULL);
	session_stop(&s);
}
END_TEST

static void add_tests(TCase *tcase)
{
	tcase_add_test(tcase, segments);
	tcase_add_test(tcase, super_frames);
	tcase_add_loop_test(tcase, fin_rides_on_the_last_bytes, 0, 2);
	tcase_add_test(tcase, small_pieces);
	tcase_add_loop_test(tcase, bad_wire_of_segments, 0, 12);
	tcase_add_loop_test(tcase, bad_wire_of_super_frames, 0, 12);
	tcase_add_loop_test(tcase, owner_that_does_not_read, 0, 4);
	tcase_add_test(tcase, window_grows_for_an_owner_that_keeps_up);
	tcase_add_test(tcase, window_fits_the_queue_of_the_link);
	tcase_add_test(tcase, guest_that_sends_beyond_the_window);
	tcase_add_test(tcase, out_of_order_segments_are_bounded);
	tcase_add_loop_test(tcase, fin_out_of_order_at_the_edge_of_the_window, 0, 2);
	tcase_add_test(tcase, out_of_order_beyond_the_window);
	tcase_add_test(tcase, guest_with_a_closed_window);
	tcase_add_loop_test(tcase, guest_with_a_tiny_window, 0, 32);
	tcase_add_test(tcase, window_that_opens_a_little_at_a_time);
	tcase_add_test(tcase, window_taken_back);
	tcase_add_test(tcase, link_blocked_for_long);
	tcase_add_loop_test(tcase, link_with_little_room, 0, 2);
	tcase_add_test(tcase, guest_that_stops_answering);
	tcase_add_test(tcase, acks_of_what_was_never_sent);
}

int main(void)
{
	Suite *suite = suite_create("conn_data");

	session_add_cases(suite, add_tests);
	return unit_run(suite);
}
