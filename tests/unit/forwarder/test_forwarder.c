/* SPDX-License-Identifier: Apache-2.0 */
/* Flows from guests to sockets of the host. */
#include "forwarder/flow_udp.h"
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

/* ---- UDP ---- */

static void expect_udp(uint16_t from, uint16_t to, const char *text)
{
	unsigned before = others;

	UNTIL(others > before);
	ck_assert_uint_eq(other->bytes[23], IPPROTO_UDP);
	ck_assert_mem_eq(other->bytes + 26, "\xc0\xa8\x41\xfe", 4); /* the alias */
	ck_assert_uint_eq(be16(other->bytes + 34), from);
	ck_assert_uint_eq(be16(other->bytes + 36), to);
	ck_assert_mem_eq(other->bytes + 42, text, strlen(text));
}

START_TEST(datagrams_both_ways)
{
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	uint16_t port;
	int fd = host_socket(SOCK_DGRAM, &port);
	char bytes[100];

	guest_sends(5000, port, "question");
	UNTIL(recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size) == 8);
	ck_assert_mem_eq(bytes, "question", 8);
	sendto(fd, "answer", 6, 0, (struct sockaddr *)&from, size);
	expect_udp(port, 5000, "answer");
	/* The same flow for the same source. */
	guest_sends(5000, port, "again");
	UNTIL(recv(fd, bytes, sizeof(bytes), 0) == 5);
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_flows_total, 1);
	close(fd);
}
END_TEST

/* The datagram that the host's socket gets next must be `number`, filled to `size` bytes. */
static void expect_datagram(int fd, unsigned number, size_t size)
{
	char want[1500], got[1500];
	ssize_t got_size = -1;

	memset(want, 'a' + (int)(number % 26), size);
	UNTIL((got_size = recv(fd, got, sizeof(got), 0)) >= 0);
	ck_assert_int_eq(got_size, (ssize_t)size);
	ck_assert_mem_eq(got, want, size);
}

/* What comes in one round leaves together, runs of one size in one piece: the far side sees each
 * datagram as it was. */
START_TEST(bursts_keep_their_datagrams)
{
	static const size_t sizes[] = {100, 100, 100, 100, 50, 100, 100, 0,   0,   7, 7,
				       7,   7,   8,   7,   7,  7,   700, 700, 700, 1, 1400};
	char text[1500];
	uint16_t port, other_port;
	int fd = host_socket(SOCK_DGRAM, &port);
	int other_fd = host_socket(SOCK_DGRAM, &other_port);
	size_t count = sizeof(sizes) / sizeof(sizes[0]);

	/* Twice the batch, and a datagram to elsewhere in each repetition. */
	for (unsigned number = 0; number < 6 * count; number++) {
		size_t size = sizes[number % count];

		memset(text, 'a' + (int)(number % 26), size);
		text[size] = '\0';
		guest_sends(5000, port, text);
		if (number % count == 2)
			guest_sends(5000, other_port, "elsewhere");
	}
	for (unsigned number = 0; number < 6 * count; number++)
		expect_datagram(fd, number, sizes[number % count]);
	for (unsigned i = 0; i < 6; i++) {
		UNTIL(recv(other_fd, text, sizeof(text), 0) == 9);
		ck_assert_mem_eq(text, "elsewhere", 9);
	}
	ck_assert_int_lt(recv(fd, text, sizeof(text), 0), 0);
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_dropped, 0);
	close(fd);
	close(other_fd);
}
END_TEST

START_TEST(udp_flows_end_by_time)
{
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	uint16_t port;
	int fd = host_socket(SOCK_DGRAM, &port);
	char bytes[100];

	guest_sends(5000, port, "unanswered");
	guest_sends(5001, port, "answered");
	UNTIL(recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size) == 10);
	UNTIL(recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size) == 8);
	sendto(fd, "answer", 6, 0, (struct sockaddr *)&from, size);
	expect_udp(port, 5001, "answer");
	loop_advance(loop, FLOW_UDP_UNANSWERED_MS - 1);
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_flows, 2);
	loop_advance(loop, 1);
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_flows, 1);
	loop_advance(loop, FLOW_UDP_ANSWERED_MS - FLOW_UDP_UNANSWERED_MS);
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_flows, 0);
	close(fd);
}
END_TEST

START_TEST(most_udp_flows)
{
	uint16_t port;
	int fd = host_socket(SOCK_DGRAM, &port);

	for (uint16_t i = 0; i < 10; i++)
		guest_sends((uint16_t)(5000 + i), port, "x");
	turn();
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_flows, 4);
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_evicted, 6);
	close(fd);
}
END_TEST

START_TEST(udp_refused_by_the_host)
{
	uint16_t port;
	int fd = host_socket(SOCK_DGRAM, &port);
	unsigned before = others;

	close(fd);
	guest_sends(5000, port, "anybody?");
	UNTIL(others > before);
	ck_assert_uint_eq(other->bytes[23], IPPROTO_ICMP);
	ck_assert_uint_eq(other->bytes[34], 3);
	ck_assert_uint_eq(other->bytes[35], 3);
	ck_assert_mem_eq(other->bytes + 26, "\xc0\xa8\x41\xfe", 4);
	/* It quotes what the guest sent. */
	ck_assert_uint_eq(be16(other->bytes + 62), 5000);
	ck_assert_uint_eq(be16(other->bytes + 64), port);
}
END_TEST

START_TEST(udp_flows_go_with_the_link)
{
	uint16_t port;
	int fd = host_socket(SOCK_DGRAM, &port);

	guest_sends(5000, port, "x");
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_flows, 1);
	sim_link_hang_up(guest_link, "test");
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_flows, 0);
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
		datagrams_both_ways,
		udp_flows_end_by_time,
		bursts_keep_their_datagrams,
		most_udp_flows,
		udp_refused_by_the_host,
		udp_flows_go_with_the_link,
	};

	return run("forwarder", tests, sizeof(tests) / sizeof(tests[0]));
}
