/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP connections with guests over hours: keepalive in both directions, guests that are stopped,
 * that vanish or that reboot, and paths whose MTU changes.
 */
#include "base/wire.h"
#include "conn_test.h"
#include "unit.h"

#define SYN SIM_TCP_SYN
#define ACK SIM_TCP_ACK
#define RST SIM_TCP_RST

#define MINUTE_MS (60 * 1000)
#define HOUR_MS   (60 * MINUTE_MS)

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t be32(const uint8_t *at)
{
	return (uint32_t)be16(at) << 16 | be16(at + 2);
}

/* Where the TCP header is in a frame. */
static size_t tcp_at(void)
{
	return session_is_v6() ? 54 : 34;
}

/* Time in which the guest says nothing, whatever comes. Returns how many frames came. */
static unsigned silence(struct session *s, uint64_t ms)
{
	unsigned frames = 0;

	for (uint64_t step = 0; step < ms; step += 1000) {
		net_advance(&s->net, 1000);
		net_run(&s->net);
		frames += sim_link_drop_all(s->net.link);
	}
	s->tcp.now_ms = s->net.now_ms;
	return frames;
}

/* ---- Keepalive ---- */

START_TEST(idle_guest_is_asked_and_lives)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	for (int i = 0; i < 5; i++) {
		struct sim_frame *frame;

		ck_assert_uint_eq(silence(&s, 2 * HOUR_MS - MINUTE_MS), 0);
		for (int minute = 0; minute < 20 && !sim_link_pending(s.net.link); minute++)
			net_advance(&s.net, MINUTE_MS);
		/* One probe: the byte before the next one, without it. */
		ck_assert_uint_eq(sim_link_pending(s.net.link), 1);
		frame = sim_link_take(s.net.link);
		ck_assert_uint_eq(frame->size, tcp_at() + 20);
		ck_assert_uint_eq(be32(frame->bytes + tcp_at() + 4), s.tcp.rcv_nxt - 1);
		ck_assert_uint_eq(frame->bytes[tcp_at() + 13], ACK);
		sim_frame_free(frame);
		sim_tcp_segment(&s.tcp, ACK, s.tcp.nxt, s.tcp.rcv_nxt, NULL, 0, NULL, 0);
		net_run(&s.net);
	}
	ck_assert(!s.ended);
	s.tcp.to_send = s.to_send = 100000;
	s.tcp.now_ms = s.net.now_ms;
	session_pass(&s, 1000, NULL);
	ck_assert_uint_eq(s.received, 100000);
	ck_assert_uint_eq(s.tcp.received, 100000);
	session_stop(&s);
}
END_TEST

START_TEST(vanished_guest_is_given_up)
{
	struct session s;
	unsigned frames;

	session_start(&s, &session_offload);
	session_open(&s);
	frames = silence(&s, 2 * HOUR_MS);
	ck_assert_uint_eq(frames, 0);
	for (int i = 0; i < 40 && !s.ended; i++)
		frames += silence(&s, MINUTE_MS);
	ck_assert(s.ended);
	ck_assert_int_eq(s.end, CONN_END_TIMEOUT);
	ck_assert_uint_eq(frames, 9 + 1); /* probes, RST */
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

/* Half-closed: the guest's side may be open for ever, but not without a guest. */
START_TEST(vanished_guest_is_given_up_half_closed)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_close = true;
	session_pass(&s, 500, NULL);
	ck_assert(s.tcp.fin_received);
	silence(&s, HOUR_MS);
	ck_assert(!s.ended);
	silence(&s, 2 * HOUR_MS);
	ck_assert(s.ended);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(guests_probes_are_answered_and_seen)
{
	static const uint8_t last_byte = 0;
	struct session s;
	uint64_t before;

	session_start(&s, &session_offload);
	session_open(&s);
	ck_assert_uint_eq(conn_guest_keepalive_s(s.conn), 0);
	for (int with_byte = 0; with_byte < 2; with_byte++) {
		silence(&s, (30 + with_byte * 15) * 1000);
		before = s.tcp.frames;
		sim_tcp_segment(&s.tcp, ACK, s.tcp.nxt - 1, s.tcp.rcv_nxt, NULL, 0, &last_byte,
				with_byte);
		net_run(&s.net);
		sim_tcp_pump(&s.tcp, NULL, NULL);
		ck_assert_uint_eq(s.tcp.frames, before + 1);
		ck_assert_uint_eq(conn_guest_keepalive_s(s.conn), 30 + with_byte * 15);
	}
	/* A repeated segment comes soon, and says nothing. */
	silence(&s, 3000);
	sim_tcp_segment(&s.tcp, ACK, s.tcp.nxt - 1, s.tcp.rcv_nxt, NULL, 0, &last_byte, 1);
	net_run(&s.net);
	ck_assert_uint_eq(conn_guest_keepalive_s(s.conn), 45);
	session_stop(&s);
}
END_TEST

/* ---- Guests that are stopped, or start anew ---- */

START_TEST(stopped_guest_gets_the_end_of_its_stream)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.tcp.to_close = true;
	session_pass(&s, 500, NULL);
	ck_assert(s.eof);
	/* It is stopped now; the far side says its last, and closes. */
	s.to_send = 3000;
	s.to_close = true;
	conn_schedule(s.conn);
	silence(&s, 10 * MINUTE_MS);
	ck_assert_ptr_null(s.conn); /* the owner has done all it had to */
	ck_assert_uint_eq(session_conns(&s), 1);
	session_pass(&s, 3 * MINUTE_MS, &s.tcp.fin_received);
	ck_assert(s.tcp.fin_received);
	ck_assert_uint_eq(s.tcp.received, 3000);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(stopped_guest_keeps_its_connection)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	/* With the short times of a connection that is known to be quick. */
	s.to_send = 1000000;
	session_pass(&s, 2000, NULL);
	ck_assert_uint_eq(s.tcp.received, 1000000);
	s.to_send += 3000;
	conn_schedule(s.conn);
	silence(&s, 10 * MINUTE_MS);
	ck_assert(!s.ended);
	session_pass(&s, 3 * MINUTE_MS, NULL);
	ck_assert_uint_eq(s.tcp.received, 1003000);
	session_stop(&s);
}
END_TEST

START_TEST(vanished_guest_in_last_ack_is_given_up)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.tcp.to_close = true;
	session_pass(&s, 500, NULL);
	s.to_close = true;
	conn_schedule(s.conn);
	silence(&s, 20 * MINUTE_MS);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_stop(&s);
}
END_TEST

START_TEST(rebooted_guest_gets_through_time_wait)
{
	struct session s;
	uint32_t ended_at;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_close = true;
	session_pass(&s, 100, NULL);
	s.tcp.to_close = true;
	session_pass(&s, 100, NULL);
	ck_assert_uint_eq(session_conns(&s), 1);
	ended_at = s.tcp.nxt;
	/* It knows nothing of the past, and its sequence number is an older one: it is told where
	 * the old connection is, says that there is none, and tries again. */
	s.tcp.iss -= 100000;
	s.tcp.established = s.tcp.fin_sent = s.tcp.fin_received = s.tcp.fin_acked = false;
	s.tcp.to_close = s.to_close = s.shut = s.connected = false;
	s.syns = 0;
	sim_tcp_connect(&s.tcp);
	net_run(&s.net);
	ck_assert_uint_eq(sim_link_drop_all(s.net.link), 1);
	sim_tcp_segment(&s.tcp, RST, ended_at - 1, 0, NULL, 0, NULL, 0);
	net_run(&s.net);
	ck_assert_uint_eq(session_conns(&s), 1); /* not where it ended */
	sim_tcp_segment(&s.tcp, RST, ended_at, 0, NULL, 0, NULL, 0);
	net_run(&s.net);
	ck_assert_uint_eq(session_conns(&s), 0);
	session_open(&s);
	session_stop(&s);
}
END_TEST

START_TEST(rebooted_guest_gets_through_an_open_connection)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.tcp.to_send = 1000;
	session_pass(&s, 100, NULL);
	sim_tcp_segment(&s.tcp, SYN, 12345, 0, NULL, 0, NULL, 0);
	net_run(&s.net);
	ck_assert_uint_eq(sim_link_drop_all(s.net.link), 1);
	sim_tcp_segment(&s.tcp, RST, s.tcp.nxt, 0, NULL, 0, NULL, 0);
	net_run(&s.net);
	ck_assert(s.ended);
	ck_assert_uint_eq(session_conns(&s), 0);
	s.tcp.iss = 12345;
	s.tcp.established = s.connected = s.ended = false;
	s.syns = 0;
	s.received = 0;
	session_open(&s);
	session_stop(&s);
}
END_TEST

START_TEST(times_of_a_held_syn)
{
	struct session s;
	uint64_t last_ms, gap_ms, first_ms;

	session_start(&s, &session_offload);
	s.mode = OWNER_HOLDS;
	sim_tcp_connect(&s.tcp);
	net_run(&s.net);
	first_ms = s.net.now_ms;
	conn_held_syn(s.conn, &last_ms, &gap_ms);
	ck_assert_uint_eq(last_ms, first_ms);
	ck_assert_uint_eq(gap_ms, 0);
	net_advance(&s.net, 1000);
	sim_tcp_connect(&s.tcp);
	net_advance(&s.net, 2000);
	sim_tcp_connect(&s.tcp);
	net_run(&s.net);
	conn_held_syn(s.conn, &last_ms, &gap_ms);
	ck_assert_uint_eq(last_ms, first_ms + 3000);
	ck_assert_uint_eq(gap_ms, 2000);
	session_stop(&s);
}
END_TEST

/* ---- Path MTU ---- */

/* The message that a segment of ours, from the far side to that port of the guest, was too large,
 * without its checksum. Returns the size. */
static size_t build_report(const struct session *s, uint32_t mtu, uint32_t seq, uint16_t port,
			   uint8_t *to)
{
	struct wire_writer w = wire_writer(to, 128);

	if (session_is_v6()) {
		wire_put_be32(&w, 0x02000000);
		wire_put_be32(&w, mtu);
		wire_put_be32(&w, 0x60000000);
		wire_put_be32(&w, 1440u << 16 | IPPROTO_TCP << 8 | 64);
		wire_put_bytes(&w, &s->tcp.peer.addr.v6, 16);
		wire_put_bytes(&w, &s->tcp.self.addr.v6, 16);
	} else {
		wire_put_be32(&w, 0x03040000);
		wire_put_be32(&w, mtu);
		wire_put_be32(&w, 0x45000000 | 1500);
		wire_put_be32(&w, 0x4000);
		wire_put_be32(&w, 0x40000000 | IPPROTO_TCP << 16);
		wire_put_bytes(&w, &s->tcp.peer.addr.v4, 4);
		wire_put_bytes(&w, &s->tcp.self.addr.v4, 4);
	}
	wire_put_be16(&w, s->tcp.peer.port);
	wire_put_be16(&w, port);
	wire_put_be32(&w, seq);
	return wire_written(&w);
}

/* A router in the guest reports that a segment of ours at `seq` was too large. */
static void report_mtu(struct session *s, uint32_t mtu, uint32_t seq, uint16_t port)
{
	static uint8_t bytes[SIM_PACKET_MAX];
	uint8_t icmp[128], pseudo[40] = {0};
	struct sim_packet packet = {
		.src_mac = net_guest_mac,
		.dst_mac = net_gateway_mac,
		.src = s->tcp.self.addr,
		.dst = s->tcp.peer.addr,
		.protocol = session_is_v6() ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
		.payload = icmp,
	};
	uint16_t sum = 0;

	packet.payload_size = build_report(s, mtu, seq, port, icmp);
	if (session_is_v6()) {
		memcpy(pseudo, &packet.src.v6, 16);
		memcpy(pseudo + 16, &packet.dst.v6, 16);
		pseudo[35] = (uint8_t)packet.payload_size;
		pseudo[39] = IPPROTO_ICMPV6;
		sum = sim_sum(0, pseudo, sizeof(pseudo));
	}
	sum = (uint16_t)~sim_sum(sum, icmp, packet.payload_size);
	icmp[2] = (uint8_t)(sum >> 8);
	icmp[3] = (uint8_t)sum;
	sim_link_inject(s->net.link, bytes, sim_packet_build(&packet, bytes));
	net_run(&s->net);
}

/* Largest segment of a transfer to the guest from now on. */
static unsigned largest_now(struct session *s)
{
	s->tcp.largest_payload = 0;
	s->to_send += 100000;
	session_pass(s, 1000, NULL);
	ck_assert_uint_eq(s->tcp.received, s->to_send);
	return s->tcp.largest_payload;
}

START_TEST(path_mtu_is_respected)
{
	const struct link_caps *caps = _i ? &session_plain : &session_offload;
	unsigned headers = 1500 - session_mss();
	unsigned least = session_is_v6() ? 1280 - 60 : 552 - 40;
	struct session s;

	session_start(&s, caps);
	session_open(&s);
	ck_assert_uint_eq(largest_now(&s), session_mss());
	report_mtu(&s, 1400, s.tcp.rcv_nxt, s.tcp.self.port);
	ck_assert_uint_eq(largest_now(&s), 1400 - headers);
	/* It never grows again, and never below what exists. */
	report_mtu(&s, 1450, s.tcp.rcv_nxt, s.tcp.self.port);
	ck_assert_uint_eq(largest_now(&s), 1400 - headers);
	report_mtu(&s, 68, s.tcp.rcv_nxt, s.tcp.self.port);
	ck_assert_uint_eq(largest_now(&s), least);
	report_mtu(&s, 0, s.tcp.rcv_nxt, s.tcp.self.port);
	ck_assert_uint_eq(largest_now(&s), least);
	session_stop(&s);
}
END_TEST

START_TEST(path_mtu_of_others_is_ignored)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	largest_now(&s);
	report_mtu(&s, 1400, s.tcp.rcv_nxt + 1, s.tcp.self.port); /* not sent yet */
	ck_assert_uint_eq(largest_now(&s), session_mss());
	report_mtu(&s, 1400, s.tcp.rcv_nxt - 50000, s.tcp.self.port); /* long acknowledged */
	ck_assert_uint_eq(largest_now(&s), session_mss());
	report_mtu(&s, 1400, s.tcp.rcv_nxt, s.tcp.self.port + 1);
	ck_assert_uint_eq(largest_now(&s), session_mss());
	session_stop(&s);
}
END_TEST

START_TEST(segments_say_that_they_must_not_be_cut)
{
	struct session s;
	struct sim_frame *frame;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_send = 5000;
	conn_schedule(s.conn);
	net_run(&s.net);
	frame = sim_link_take(s.net.link);
	ck_assert_ptr_nonnull(frame);
	if (!session_is_v6()) { /* IPv6 always says it */
		ck_assert_uint_eq(be16(frame->bytes + 20), 0x4000);
		ck_assert_uint_eq(sim_sum(0, frame->bytes + 14, 20), 0xffff);
	}
	sim_tcp_receive(&s.tcp, frame);
	sim_frame_free(frame);
	session_stop(&s);
}
END_TEST

static void add_tests(TCase *tcase)
{
	const TTest *const tests[] = {
		idle_guest_is_asked_and_lives,
		vanished_guest_is_given_up,
		vanished_guest_is_given_up_half_closed,
		guests_probes_are_answered_and_seen,
		stopped_guest_gets_the_end_of_its_stream,
		stopped_guest_keeps_its_connection,
		vanished_guest_in_last_ack_is_given_up,
		rebooted_guest_gets_through_time_wait,
		rebooted_guest_gets_through_an_open_connection,
		times_of_a_held_syn,
		path_mtu_of_others_is_ignored,
		segments_say_that_they_must_not_be_cut,
		NULL,
	};

	unit_add(tcase, tests);
	tcase_add_loop_test(tcase, path_mtu_is_respected, 0, 2);
}

int main(void)
{
	Suite *suite = suite_create("conn_life");

	session_add_cases(suite, add_tests);
	return unit_run(suite);
}
