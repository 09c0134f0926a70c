/* SPDX-License-Identifier: Apache-2.0 */
/* Connections from guests to sockets of the host. */
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

int main(void)
{
	const TTest *const tests[] = {
		refused,
		both_ways_and_half_closed,
		host_resets,
		guest_resets,
	};

	return run("forwarder", tests, sizeof(tests) / sizeof(tests[0]));
}
