/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of a guest whose connections hold too much: they are slow, and lose nothing. */
#include "netstack/stack_private.h"

#include "conn_test.h"
#include "unit.h"

#define MIB (1024 * 1024)

static const uint64_t levels[] = {CONN_GUEST_BYTES_MUCH, CONN_GUEST_BYTES_MAX};

/* As if other connections of the guest's held that. */
static void fill(struct session *s, uint64_t kept)
{
	s->net.stack->tcp.kept_by_port[s->conn->port] += kept;
}

START_TEST(all_arrives)
{
	struct session s;

	session_start(&s, &session_offload);
	s.tcp.window = 4 * MIB;
	session_open(&s);
	fill(&s, levels[_i]);
	s.random = sim_random(sim_random_seed("short memory", 1));
	s.wire.lose = s.wire.reorder = 2;
	s.tcp.to_send = s.to_send = 2 * MIB;
	s.to_close = s.tcp.to_close = true;
	session_pass(&s, 600000, &s.tcp.fin_received);
	session_pass(&s, 600000, &s.tcp.fin_acked);
	ck_assert_uint_eq(s.received, 2 * MIB);
	ck_assert_uint_eq(s.tcp.received, 2 * MIB);
	ck_assert_uint_gt(stack_counters(s.net.stack).conns_rx_refused, 0);
	session_stop(&s);
}
END_TEST

START_TEST(little_is_kept)
{
	struct session s;

	session_start(&s, &session_plain);
	session_open(&s);
	fill(&s, levels[_i]);
	s.deaf = true;
	s.to_send = s.tcp.to_send = MIB;
	s.tcp.window = 0;
	session_pass(&s, 1000, NULL);
	ck_assert_uint_le(s.rx_peak, _i ? CONN_SCARCE_BYTES : CONN_RX_WINDOW_MIN);
	ck_assert_uint_le(s.tx_peak, _i ? CONN_SCARCE_BYTES : CONN_TX_BYTES_MIN);
	ck_assert_uint_gt(s.rx_peak, 0);
	ck_assert_uint_eq(s.conn->kept, s.conn->rx_bytes + s.conn->tx_bytes);
	session_stop(&s);
}
END_TEST

START_TEST(what_is_freed_is_no_longer_counted)
{
	struct session s;
	unsigned port;

	session_start(&s, &session_plain);
	session_open(&s);
	port = s.conn->port;
	s.deaf = true;
	s.to_send = s.tcp.to_send = MIB;
	s.tcp.window = 0;
	session_pass(&s, 1000, NULL);
	ck_assert_uint_gt(s.net.stack->tcp.kept_by_port[port], CONN_RX_WINDOW_MIN);
	conn_free(s.conn);
	s.conn = NULL;
	session_pass(&s, 100, NULL);
	ck_assert_uint_eq(s.net.stack->tcp.kept_by_port[port], 0);
	session_stop(&s);
}
END_TEST

static void add_tests(TCase *tcase)
{
	tcase_add_loop_test(tcase, all_arrives, 0, 2);
	tcase_add_loop_test(tcase, little_is_kept, 0, 2);
	tcase_add_test(tcase, what_is_freed_is_no_longer_counted);
}

int main(void)
{
	Suite *suite = suite_create("conn_memory");

	session_add_cases(suite, add_tests);
	return unit_run(suite);
}
