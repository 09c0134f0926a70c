/* SPDX-License-Identifier: Apache-2.0 */
/* TCP from a guest that breaks the rules: in options, windows, flags and sequence. */
#include "conn_test.h"
#include "unit.h"

#define SYN SIM_TCP_SYN
#define ACK SIM_TCP_ACK
#define RST SIM_TCP_RST
#define FIN SIM_TCP_FIN
#define URG 0x20

START_TEST(mss_option_in_any_segment)
{
	static const uint8_t mss_1[] = {2, 4, 0, 1}, mss_0[] = {2, 4, 0, 0},
			     mss_max[] = {2, 4, 255, 255};
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	s.to_send = 500000;
	for (int i = 0; i < 60; i++) {
		net_run(&s.net);
		sim_tcp_pump(&s.tcp, NULL, NULL);
		sim_tcp_segment(&s.tcp, ACK, s.tcp.nxt, s.tcp.rcv_nxt,
				i % 3 == 0   ? mss_1
				: i % 3 == 1 ? mss_0
					     : mss_max,
				4, NULL, 0);
		conn_schedule(s.conn);
	}
	session_pass(&s, 2000, NULL);
	ck_assert_uint_eq(s.tcp.received, 500000);
	ck_assert_uint_le(s.tcp.largest_payload, session_mss());
	session_stop(&s);
}
END_TEST

START_TEST(mss_of_every_kind)
{
	static const struct {
		int mss;
		unsigned largest;
	} cases[] = {{0, 1460},    {1, 88},       {88, 88}, {536, 536},
		     {1460, 1460}, {65535, 1460}, {-1, 536}};
	unsigned largest = cases[_i / 2].largest;
	struct session s;

	if (largest > session_mss())
		largest = session_mss();

	session_start(&s, _i % 2 ? &session_plain : &session_offload);
	s.tcp.mss = cases[_i / 2].mss;
	session_open(&s);
	s.to_send = 400000;
	session_pass(&s, 2000, NULL);
	ck_assert_uint_eq(s.tcp.received, 400000);
	ck_assert_uint_eq(s.tcp.largest_payload, largest);
	session_stop(&s);
}
END_TEST

START_TEST(window_scale_of_every_kind)
{
	static const int scales[] = {-1, 0, 1, 14};
	struct session s;

	session_start(&s, &session_offload);
	s.tcp.scale = scales[_i];
	s.tcp.window = 65535;
	session_open(&s);
	s.to_send = s.tcp.to_send = 2000000;
	session_pass(&s, 8000, NULL);
	ck_assert_uint_eq(s.received, 2000000);
	ck_assert_uint_eq(s.tcp.received, 2000000);
	session_stop(&s);
}
END_TEST

START_TEST(window_scale_beyond_14)
{
	struct session s;

	session_start(&s, &session_offload);
	s.tcp.scale = 255;
	session_open(&s);
	s.to_send = 500000;
	session_pass(&s, 3000, NULL);
	ck_assert_uint_eq(s.tcp.received, 500000);
	session_stop(&s);
}
END_TEST

START_TEST(malformed_options)
{
	static const uint8_t options[][8] = {
		{2, 0, 0, 0, 3, 0, 0, 0},
		{2, 255, 5, 180, 1, 1, 1, 1},
		{3, 3},
		{5, 255, 0, 0, 0, 0, 0, 0},
		{1, 1, 1, 1, 1, 1, 1, 2},
		{4, 1, 4, 0, 8, 10, 0, 0},
		{255, 1, 255, 0, 255, 255, 255, 255},
	};
	struct session s;

	session_start(&s, &session_offload);
	for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		s.tcp.self.port++;
		sim_tcp_segment(&s.tcp, SYN, 1000, 0, options[i], 8, NULL, 0);
		session_settle(&s);
		if (s.conn)
			conn_free(s.conn);
		s.conn = NULL;
	}
	s.syns = 0;
	s.connected = s.tcp.reset = s.tcp.established = false;
	s.tcp.self.port++;
	session_open(&s);
	session_stop(&s);
}
END_TEST

START_TEST(data_in_syn)
{
	static const uint8_t payload[300] = {1, 2, 3};
	struct session s;

	session_start(&s, &session_offload);
	s.tcp.peer_mss = 1460;
	s.tcp.peer_scale = -1;
	sim_tcp_segment(&s.tcp, SYN, s.tcp.iss, 0, NULL, 0, payload, sizeof(payload));
	s.tcp.scale = -1;
	s.tcp.nxt = s.tcp.iss + 1;
	session_settle(&s);
	/* What came with the SYN isn't taken: it comes again. */
	ck_assert(s.tcp.established && s.connected);
	ck_assert_uint_eq(s.tcp.una, s.tcp.iss + 1);
	ck_assert_uint_eq(s.received, 0);
	s.tcp.to_send = 300;
	session_settle(&s);
	ck_assert_uint_eq(s.received, 300);
	session_stop(&s);
}
END_TEST

START_TEST(urgent_data_comes_inline)
{
	uint8_t payload[50];
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = sim_tcp_byte(i);
	sim_tcp_segment(&s.tcp, ACK | URG | SIM_TCP_PSH, s.tcp.nxt, s.tcp.rcv_nxt, NULL, 0, payload,
			50);
	session_settle(&s);
	ck_assert_uint_eq(s.received, 50);
	session_stop(&s);
}
END_TEST

START_TEST(syn_in_an_open_connection)
{
	struct session s;

	session_start(&s, &session_offload);
	session_open(&s);
	sim_tcp_segment(&s.tcp, SYN, s.tcp.nxt, 0, NULL, 0, NULL, 0);
	sim_tcp_segment(&s.tcp, SYN | ACK, s.tcp.nxt + 50, s.tcp.rcv_nxt, NULL, 0, NULL, 0);
	session_settle(&s);
	ck_assert(!s.ended);
	s.tcp.to_send = 100;
	session_settle(&s);
	ck_assert_uint_eq(s.received, 100);
	session_stop(&s);
}
END_TEST

START_TEST(stray_segments_are_reset)
{
	static const uint8_t flags[] = {ACK, FIN | ACK, SYN | ACK, FIN, 0};
	struct session s;

	session_start(&s, &session_offload);
	for (unsigned i = 0; i < sizeof(flags); i++) {
		s.tcp.reset = false;
		sim_tcp_segment(&s.tcp, flags[i], 12345, 999, NULL, 0, NULL, 0);
		session_settle(&s);
		ck_assert_msg(s.tcp.reset, "flags %#x", flags[i]);
	}
	s.tcp.reset = false;
	sim_tcp_segment(&s.tcp, RST, 12345, 999, NULL, 0, NULL, 0);
	session_settle(&s);
	ck_assert(!s.tcp.reset);
	ck_assert_uint_eq(s.syns, 0);
	session_stop(&s);
}
END_TEST

static void add_tests(TCase *tcase)
{
	tcase_add_test(tcase, mss_option_in_any_segment);
	tcase_add_test(tcase, window_scale_beyond_14);
	tcase_add_test(tcase, malformed_options);
	tcase_add_test(tcase, data_in_syn);
	tcase_add_test(tcase, urgent_data_comes_inline);
	tcase_add_test(tcase, syn_in_an_open_connection);
	tcase_add_test(tcase, stray_segments_are_reset);
	tcase_add_loop_test(tcase, mss_of_every_kind, 0, 14);
	tcase_add_loop_test(tcase, window_scale_of_every_kind, 0, 4);
}

int main(void)
{
	Suite *suite = suite_create("conn_hostile");

	session_add_cases(suite, add_tests);
	return unit_run(suite);
}
