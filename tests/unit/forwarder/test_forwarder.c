/* SPDX-License-Identifier: Apache-2.0 */
/* Connections from guests to sockets of the host. */
#include <netinet/tcp.h>

#include "forwarder_test.h"

/* Connects the guest to a listener of the host's; returns the accepted socket. */
static int connect_guest(void)
{
	uint16_t port;
	int listener = host_socket(SOCK_STREAM, &port);
	int fd = -1;

	tcp.peer.port = port;
	sim_tcp_connect(&tcp);
	UNTIL(tcp.established);
	UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	close(listener);
	return fd;
}

START_TEST(refused)
{
	uint16_t port;
	int fd = host_socket(SOCK_STREAM, &port);

	close(fd);
	tcp.peer.port = port;
	sim_tcp_connect(&tcp);
	UNTIL(tcp.reset);
	ck_assert_uint_eq(forwarder_counters(forwarder).tcp_refused, 1);
	ck_assert_uint_eq(forwarder_counters(forwarder).tcp_flows, 0);
}
END_TEST

START_TEST(both_ways_and_half_closed)
{
	static uint8_t bytes[300000];
	int fd = connect_guest();
	size_t got = 0, sent = 0;
	ssize_t r = -1;

	/* The guest sends all and closes; the host's side reads up to the end. */
	tcp.to_send = sizeof(bytes);
	tcp.to_close = true;
	while (r != 0) {
		UNTIL((r = recv(fd, bytes, sizeof(bytes), 0)) >= 0);
		for (ssize_t i = 0; i < r; i++)
			ck_assert_uint_eq(bytes[i], sim_tcp_byte(got + (size_t)i));
		got += (size_t)r;
	}
	ck_assert_uint_eq(got, sizeof(bytes));
	ck_assert(!tcp.fin_received);
	/* The other direction still works. */
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = sim_tcp_byte(i);
	while (sent < sizeof(bytes)) {
		UNTIL((r = send(fd, bytes + sent, sizeof(bytes) - sent, MSG_NOSIGNAL)) >= 0);
		sent += (size_t)r;
	}
	close(fd);
	UNTIL(tcp.fin_received);
	ck_assert_uint_eq(tcp.received, sizeof(bytes));
	ck_assert_uint_eq(tcp.wrong, 0);
	ck_assert(!tcp.reset);
	UNTIL(forwarder_counters(forwarder).tcp_flows == 0);
}
END_TEST

START_TEST(host_resets)
{
	struct linger linger = {.l_onoff = 1};
	int fd = connect_guest();

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
	UNTIL(tcp.reset);
	UNTIL(forwarder_counters(forwarder).tcp_flows == 0);
}
END_TEST

START_TEST(guest_resets)
{
	int fd = connect_guest();
	char byte;

	sim_tcp_segment(&tcp, SIM_TCP_RST, tcp.nxt, 0, NULL, 0, NULL, 0);
	UNTIL(recv(fd, &byte, 1, 0) >= 0 || errno == ECONNRESET);
	ck_assert_int_eq(errno, ECONNRESET);
	UNTIL(forwarder_counters(forwarder).tcp_flows == 0);
	close(fd);
}
END_TEST

/* The forwarder's end of a connection whose other end is `fd`. */
static int other_end(int fd)
{
	struct sockaddr_in want, have;
	socklen_t size = sizeof(want);

	ck_assert_int_eq(getpeername(fd, (struct sockaddr *)&want, &size), 0);
	for (int candidate = 3; candidate < 1024; candidate++) {
		size = sizeof(have);
		if (getsockname(candidate, (struct sockaddr *)&have, &size) == 0 &&
		    have.sin_port == want.sin_port && candidate != fd)
			return candidate;
	}
	ck_abort_msg("no such socket");
	return -1;
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

static void pass(uint64_t ms)
{
	now_ms += ms;
	loop_advance(loop, ms);
	tcp.now_ms = now_ms;
}

START_TEST(sockets_get_keepalive_when_they_live)
{
	int first = connect_guest(), second, first_own, second_own;

	tcp.self.port++;
	tcp.established = false;
	second = connect_guest();
	first_own = other_end(first);
	second_own = other_end(second);
	ck_assert_int_eq(option(first_own, SOL_SOCKET, SO_OOBINLINE), 1);
	ck_assert_int_eq(option(second_own, SOL_SOCKET, SO_KEEPALIVE), 0);
	/* The guest's own probes count at once, and say how often. */
	pass(20000);
	sim_tcp_segment(&tcp, SIM_TCP_ACK, tcp.nxt - 1, tcp.rcv_nxt, NULL, 0, NULL, 0);
	UNTIL(option(second_own, SOL_SOCKET, SO_KEEPALIVE) == 1);
	ck_assert_int_eq(option(second_own, IPPROTO_TCP, TCP_KEEPIDLE), 20);
	ck_assert_int_eq(option(first_own, SOL_SOCKET, SO_KEEPALIVE), 0);
	/* All get it after a minute, by the host's own times. */
	pass(60000);
	ck_assert_int_eq(option(first_own, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_gt(option(first_own, IPPROTO_TCP, TCP_KEEPIDLE), 20);
	ck_assert_int_eq(option(second_own, IPPROTO_TCP, TCP_KEEPIDLE), 20);
	close(first);
	close(second);
}
END_TEST

/* A guest that repeats its SYN is waited for; one that doesn't frees the host's connect. */
START_TEST(guest_that_gives_up)
{
	struct sockaddr_in sa;
	socklen_t size = sizeof(sa);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int full[8];

	/* A listener that answers nobody any more: its queue is full. */
	sa = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sa, size), 0);
	ck_assert_int_eq(listen(listener, 0), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sa, &size), 0);
	for (int i = 0; i < 8; i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(full[i], (struct sockaddr *)&sa, sizeof(sa));
	}
	tcp.peer.port = ntohs(sa.sin_port);
	sim_tcp_connect(&tcp);
	UNTIL(forwarder_counters(forwarder).tcp_flows == 1);
	for (int i = 0; i < 5; i++) {
		pass(3000);
		sim_tcp_connect(&tcp);
		turn();
		ck_assert_uint_eq(forwarder_counters(forwarder).tcp_flows, 1);
	}
	pass(9000);
	ck_assert_uint_eq(forwarder_counters(forwarder).tcp_flows, 1);
	pass(1000);
	ck_assert_uint_eq(forwarder_counters(forwarder).tcp_flows, 0);
	ck_assert(!tcp.reset && !tcp.established);
	for (int i = 0; i < 8; i++)
		close(full[i]);
	close(listener);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		refused,
		both_ways_and_half_closed,
		host_resets,
		guest_resets,
		sockets_get_keepalive_when_they_live,
		guest_that_gives_up,
		NULL,
	};

	return run("forwarder", tests);
}
