/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of connections share: an owner that sends and verifies a stream, a guest's TCP
 * (sim_tcp.h), and time that passes until something is so. All of them run over IPv4 and over IPv6:
 * session_family says which.
 */
#ifndef TESTS_UNIT_NETSTACK_CONN_TEST_H
#define TESTS_UNIT_NETSTACK_CONN_TEST_H

#include "stack_test.h"
#include "unit.h"

static sa_family_t session_family = AF_INET;

static inline void session_over_ip4(void)
{
	session_family = AF_INET;
}

static inline void session_over_ip6(void)
{
	session_family = AF_INET6;
}

static inline bool session_is_v6(void)
{
	return session_family == AF_INET6;
}

/* The largest segment on a link of 1500 bytes. */
static inline unsigned session_mss(void)
{
	return session_is_v6() ? 1440 : 1460;
}

/* Makes the two cases of a suite, to which `add` adds the tests. */
static inline void session_add_cases(Suite *suite, void (*add)(TCase *tcase))
{
	static const struct {
		const char *name;
		void (*over)(void);
	} cases[] = {{"ip4", session_over_ip4}, {"ip6", session_over_ip6}};

	for (unsigned i = 0; i < 2; i++) {
		TCase *tcase = unit_case(suite, cases[i].name, cases[i].over, NULL);

		tcase_set_timeout(tcase, 100);
		add(tcase);
	}
}

enum owner_mode { OWNER_ACCEPTS, OWNER_HOLDS };

struct session {
	struct net net;
	struct sim_wire wire;
	struct sim_random random;
	struct sim_tcp tcp;

	/* The owner. */
	enum owner_mode mode;
	struct conn *conn; /* NULL: none, or freed */
	unsigned syns;
	bool connected, ended, eof, shut;
	enum conn_end end;
	bool deaf;        /* doesn't read */
	uint64_t to_send; /* bytes of the stream that the owner sends, ... */
	uint64_t sent;    /* ... has sent, ... */
	bool to_close;    /* ... and whether it closes behind them */
	bool frees;       /* frees the connection when both sides are closed */
	uint64_t received, wrong;
	size_t rx_peak, tx_peak;
	struct sim_frame *stray; /* the last frame from the stack that wasn't the connection's */
	unsigned strays;
};

static const struct link_caps session_offload = {
	.csum = true,
	.tso4 = true,
	.tso6 = true,
	.frame_max = FRAME_SIZE_MAX,
};
static const struct link_caps session_plain = {.frame_max = 1514};

static inline void owner_read(struct session *s)
{
	struct iovec iov[8];
	unsigned count;

	while (!s->deaf && conn_rx_size(s->conn)) {
		size_t size = 0;

		count = conn_rx_peek(s->conn, iov, 8);
		ck_assert_uint_gt(count, 0);
		for (unsigned i = 0; i < count; i++) {
			const uint8_t *bytes = iov[i].iov_base;

			for (size_t at = 0; at < iov[i].iov_len; at++) {
				if (bytes[at] != sim_tcp_byte(s->received + size + at))
					s->wrong++;
			}
			size += iov[i].iov_len;
		}
		/* Not all at once, so that pieces are cut. */
		if (size > 1000)
			size -= 333;
		conn_rx_consume(s->conn, size);
		s->received += size;
	}
}

static inline void owner_write(struct session *s)
{
	while (s->sent < s->to_send) {
		struct iovec iov[3];
		unsigned count = conn_tx_reserve(s->conn, iov, 3);
		size_t size = 0;

		if (!count)
			break;
		for (unsigned i = 0; i < count; i++) {
			uint8_t *bytes = iov[i].iov_base;

			for (size_t at = 0; at < iov[i].iov_len && s->sent + size < s->to_send;
			     at++)
				bytes[at] = sim_tcp_byte(s->sent + size++);
		}
		conn_tx_commit(s->conn, size);
		s->sent += size;
	}
	if (s->sent == s->to_send && s->to_close && !s->shut) {
		conn_tx_shutdown(s->conn);
		s->shut = true;
	}
}

static inline void owner_connected(void *arg)
{
	struct session *s = arg;

	ck_assert(!s->connected);
	s->connected = true;
}

static inline void owner_work(void *arg)
{
	struct session *s = arg;

	if (conn_rx_size(s->conn) > s->rx_peak)
		s->rx_peak = conn_rx_size(s->conn);
	owner_read(s);
	if (s->connected)
		owner_write(s);
	if (conn_tx_pending(s->conn) > s->tx_peak)
		s->tx_peak = conn_tx_pending(s->conn);
	s->eof = conn_rx_eof(s->conn);
	if (s->eof && s->shut && s->frees) {
		conn_free(s->conn);
		s->conn = NULL;
	}
}

static inline void owner_ended(void *arg, enum conn_end why)
{
	struct session *s = arg;

	ck_assert(!s->ended);
	s->ended = true;
	s->end = why;
	conn_free(s->conn);
	s->conn = NULL;
}

static const struct conn_ops owner_ops = {
	.connected = owner_connected,
	.work = owner_work,
	.ended = owner_ended,
};

static inline void session_syn(void *arg, struct conn *conn)
{
	struct session *s = arg;

	s->syns++;
	ck_assert_ptr_null(s->conn);
	s->conn = conn;
	conn_own(conn, &owner_ops, s);
	if (s->mode == OWNER_ACCEPTS)
		conn_accept(conn);
}

static inline void session_datagram(void *arg, const struct stack_datagram *datagram)
{
	(void)arg;
	(void)datagram;
}

static inline void session_echo(void *arg, const struct stack_echo *echo)
{
	(void)arg;
	(void)echo;
}

static const struct stack_handler session_handler = {
	.datagram = session_datagram,
	.echo = session_echo,
	.syn = session_syn,
};

static inline void session_start(struct session *s, const struct link_caps *caps)
{
	struct stack_conf conf = net_conf();

	*s = (struct session){.frees = true};
	net_start(&s->net, &conf, &session_handler, s, caps);
	s->wire.link = s->net.link;
	s->wire.random = &s->random;
	s->tcp = (struct sim_tcp){
		.wire = &s->wire,
		.mac = net_guest_mac,
		.gateway = net_gateway_mac,
		.self = {.addr = net_addr(session_is_v6() ? "fd00:65::2" : "192.168.65.2"),
			 .port = 40000},
		.peer = {.addr = net_addr(session_is_v6() ? "2001:db8::3" : "10.1.2.3"),
			 .port = 80},
		.mss = (int)session_mss(),
		.scale = 7,
		.sack = true,
		.window = 65535,
		.rto_ms = 300,
		.iss = 0xfffff000, /* wraps soon */
		.now_ms = NET_START_MS,
	};
}

static inline void session_stray(void *arg, struct sim_frame *frame)
{
	struct session *s = arg;

	sim_frame_free(s->stray);
	s->stray = frame;
	s->strays++;
}

/* Everything that can happen without time passing. */
static inline void session_settle(struct session *s)
{
	bool moved = true;

	for (int i = 0; moved && i < 10000; i++) {
		uint64_t before = s->tcp.nxt + s->tcp.retransmits;

		if (s->conn)
			conn_schedule(s->conn);
		net_run(&s->net);
		moved = sim_tcp_pump(&s->tcp, session_stray, s) > 0;
		sim_tcp_send(&s->tcp, s->net.now_ms);
		moved = moved || s->tcp.nxt + s->tcp.retransmits != before;
	}
	net_run(&s->net);
}

/* Lets time go by in steps, up to `ms`; stops early when *done. NULL: all of it. */
static inline void session_pass(struct session *s, uint64_t ms, const bool *done)
{
	session_settle(s);
	for (uint64_t step = 0; step < ms && !(done && *done); step += 10) {
		net_advance(&s->net, 10);
		session_settle(s);
	}
}

/* Connects, and checks that it worked. */
static inline void session_open(struct session *s)
{
	sim_tcp_connect(&s->tcp);
	session_pass(s, 30000, &s->connected);
	ck_assert(s->tcp.established);
	ck_assert(s->connected);
	ck_assert_uint_eq(s->syns, 1);
}

/* Ends all, and checks that nothing is left: buffers, connections. */
static inline void session_stop(struct session *s)
{
	ck_assert_uint_eq(s->wrong, 0);
	ck_assert_uint_eq(s->tcp.wrong, 0);
	conn_free(s->conn);
	s->conn = NULL;
	net_run(&s->net);
	sim_wire_clear(&s->wire);
	sim_frame_free(s->stray);
	net_stop(&s->net);
}

static inline uint64_t session_conns(struct session *s)
{
	return stack_counters(s->net.stack).conns;
}

#endif
