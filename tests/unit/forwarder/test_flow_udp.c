/* SPDX-License-Identifier: Apache-2.0 */
/* UDP from guests to sockets of the host and back, IPv4 and IPv6. */
#include "forwarder/flow_udp.h"

#include "flow_test.h"
#include "netstack/away.h"
#include "unit.h"

static const int families[] = {4, 6};

static uint64_t flows(void)
{
	return forwarder_counters(forwarder).udp_flows;
}

/* What the host's socket gets next, and from whom. */
static void expect_at_host(int fd, const char *text, struct sockaddr_storage *ret_from)
{
	socklen_t size = sizeof(*ret_from);
	char bytes[100];
	ssize_t got = -1;

	UNTIL((got = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)ret_from, &size)) >=
	      0);
	ck_assert_int_eq(got, (ssize_t)strlen(text));
	ck_assert_mem_eq(bytes, text, strlen(text));
}

static void answer(int fd, const char *text, const struct sockaddr_storage *to)
{
	ck_assert_int_eq(
		sendto(fd, text, strlen(text), 0, (const struct sockaddr *)to, sizeof(*to)),
		(ssize_t)strlen(text));
}

static void expect_at_guest(int family, uint16_t from, uint16_t to, const char *text)
{
	struct got got;

	NEXT_GOT(got);
	ck_assert_uint_eq(got.protocol, IPPROTO_UDP);
	ck_assert(is_addr(&got.src, alias_text[family == 6]));
	ck_assert(is_addr(&got.dst, guest_text[family == 6]));
	ck_assert_uint_eq(be16(got.transport), from);
	ck_assert_uint_eq(be16(got.transport + 2), to);
	ck_assert_uint_eq(got.size, 8 + strlen(text));
	ck_assert_mem_eq(got.transport + 8, text, strlen(text));
	ck_assert(sim_packet_csum_ok(other->bytes, other->size));
}

START_TEST(both_ways)
{
	int family = families[_i];
	struct sockaddr_storage from, same;
	uint16_t port;
	int fd = host_udp(family, &port);
	struct sim_packet packet = guest_packet(family, 5000, port, "question");

	send_packet(guest_link, &packet, NULL);
	expect_at_host(fd, "question", &from);
	answer(fd, "answer", &from);
	expect_at_guest(family, port, 5000, "answer");
	/* The same socket for the same source. */
	send_packet(guest_link, &packet, NULL);
	expect_at_host(fd, "question", &same);
	ck_assert_mem_eq(&from, &same, sizeof(struct sockaddr_in));
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_flows_total, 1);
	close(fd);
}
END_TEST

START_TEST(anybody_may_answer)
{
	int family = families[_i];
	struct sockaddr_storage from;
	uint16_t port, other_port;
	int fd = host_udp(family, &port);
	int other_fd = host_udp(family, &other_port);
	struct sim_packet packet = guest_packet(family, 5000, port, "question");

	send_packet(guest_link, &packet, NULL);
	expect_at_host(fd, "question", &from);
	answer(other_fd, "from elsewhere", &from);
	expect_at_guest(family, other_port, 5000, "from elsewhere");
	close(fd);
	close(other_fd);
}
END_TEST

/* The families don't share flows, though address and port have the same bytes. */
START_TEST(families_have_sockets_of_their_own)
{
	struct sockaddr_storage from4, from6;
	uint16_t port4, port6;
	int fd4 = host_udp(4, &port4), fd6 = host_udp(6, &port6);
	struct sim_packet packet4 = guest_packet(4, 5000, port4, "four");
	struct sim_packet packet6 = guest_packet(6, 5000, port6, "six");

	send_packet(guest_link, &packet4, NULL);
	send_packet(guest_link, &packet6, NULL);
	expect_at_host(fd4, "four", &from4);
	expect_at_host(fd6, "six", &from6);
	answer(fd6, "6", &from6);
	expect_at_guest(6, port6, 5000, "6");
	answer(fd4, "4", &from4);
	expect_at_guest(4, port4, 5000, "4");
	ck_assert_uint_eq(flows(), 2);
	close(fd4);
	close(fd6);
}
END_TEST

/* ---- Marks ---- */

static void expect_marks_at_host(int fd, int ttl, int tos)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[256];
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control)};
	unsigned found = 0;

	UNTIL(recvmsg(fd, &msg, 0) >= 0);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
		    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
			ck_assert_int_eq(*(int *)(void *)CMSG_DATA(c), ttl);
			found++;
		} else {
			ck_assert_int_eq(*CMSG_DATA(c), tos);
			found++;
		}
	}
	ck_assert_uint_eq(found, 2);
}

static void set_marks(int fd, int family, int ttl, int tos)
{
	int level = family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
	int on = 1;

	ck_assert_int_eq(
		setsockopt(fd, level, family == 6 ? IPV6_UNICAST_HOPS : IP_TTL, &ttl, sizeof(ttl)),
		0);
	ck_assert_int_eq(
		setsockopt(fd, level, family == 6 ? IPV6_TCLASS : IP_TOS, &tos, sizeof(tos)), 0);
	setsockopt(fd, level, family == 6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, &on, sizeof(on));
	setsockopt(fd, level, family == 6 ? IPV6_RECVTCLASS : IP_RECVTOS, &on, sizeof(on));
}

/* Each datagram has its own, also those that came in one burst. */
START_TEST(marks_both_ways)
{
	/* Enough in a row to become the socket's own, twice, while others wait. */
	static const uint8_t marks[][2] = {
		{64, 0},    {64, 0xb8}, {2, 0x01},  {1, 0x02},  {64, 0},    {30, 0x28}, {30, 0x28},
		{30, 0x28}, {30, 0x28}, {30, 0x28}, {64, 0x03}, {30, 0x28}, {30, 0x28}, {64, 0x03},
		{64, 0x03}, {64, 0x03}, {64, 0x03}, {64, 0x03}, {30, 0x28}, {64, 0x03},
	};
	int family = families[_i];
	struct sockaddr_storage from;
	struct got got;
	uint16_t port;
	int fd = host_udp(family, &port);
	struct sim_packet packet = guest_packet(family, 5000, port, "x");

	set_marks(fd, family, 77, 0xb9);
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		packet.ttl = marks[i][0];
		packet.tos = marks[i][1];
		send_packet(guest_link, &packet, NULL);
	}
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		expect_marks_at_host(fd, marks[i][0] > 1 ? marks[i][0] - 1 : 1, marks[i][1]);
	packet.ttl = 0;
	send_packet(guest_link, &packet, NULL);
	expect_at_host(fd, "x", &from);
	answer(fd, "marked", &from);
	NEXT_GOT(got);
	ck_assert_uint_eq(got.ttl, 76);
	ck_assert_uint_eq(got.tos, 0xb9);
	close(fd);
}
END_TEST

/* ---- Bursts ---- */

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

/* ---- Time ---- */

START_TEST(answered_flows_live_longer)
{
	int family = families[_i];
	struct sockaddr_storage from;
	uint16_t port;
	int fd = host_udp(family, &port);
	struct sim_packet packet = guest_packet(family, 5000, port, "unanswered");

	send_packet(guest_link, &packet, NULL);
	expect_at_host(fd, "unanswered", &from);
	packet = guest_packet(family, 5001, port, "answered");
	send_packet(guest_link, &packet, NULL);
	expect_at_host(fd, "answered", &from);
	answer(fd, "answer", &from);
	expect_at_guest(family, port, 5001, "answer");
	loop_advance(loop, FLOW_UDP_UNANSWERED_MS - 1);
	ck_assert_uint_eq(flows(), 2);
	loop_advance(loop, 1);
	ck_assert_uint_eq(flows(), 1);
	/* What the guest sends keeps it (RFC 4787, REQ-6). */
	send_packet(guest_link, &packet, NULL);
	loop_advance(loop, FLOW_UDP_ANSWERED_MS - 1);
	ck_assert_uint_eq(flows(), 1);
	loop_advance(loop, 1);
	ck_assert_uint_eq(flows(), 0);
	close(fd);
}
END_TEST

/* A resolver on the host's loopback; -1 where we may not have port 53. */
static int resolver(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
				 .sin_port = htons(53),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

START_TEST(queries_end_with_their_answers)
{
	struct sockaddr_storage from;
	struct sim_packet packet = guest_packet(4, 5000, 53, "A?");
	int fd = resolver();

	if (fd < 0)
		return;
	send_packet(guest_link, &packet, NULL);
	send_packet(guest_link, &packet, NULL);
	expect_at_host(fd, "A?", &from);
	expect_at_host(fd, "A?", &from);
	answer(fd, "A", &from);
	expect_at_guest(4, 53, 5000, "A");
	loop_advance(loop, FLOW_UDP_QUERY_ANSWERED_MS);
	ck_assert_uint_eq(flows(), 1); /* one is missing */
	answer(fd, "A", &from);
	expect_at_guest(4, 53, 5000, "A");
	loop_advance(loop, FLOW_UDP_QUERY_ANSWERED_MS - 1);
	ck_assert_uint_eq(flows(), 1);
	loop_advance(loop, 1);
	ck_assert_uint_eq(flows(), 0);
	close(fd);
}
END_TEST

START_TEST(queries_without_answer_end)
{
	struct sim_packet packet = guest_packet(4, 5000, 53, "A?");

	packet.dst = address("127.0.0.1"); /* nowhere: no flow */
	send_packet(guest_link, &packet, NULL);
	turn();
	ck_assert_uint_eq(flows(), 0);
	packet.dst = alias_addr(4);
	send_packet(guest_link, &packet, NULL);
	loop_advance(loop, FLOW_UDP_QUERY_MS - 1);
	ck_assert_uint_eq(flows(), 1);
	/* Who sends elsewhere, too, is no resolver. */
	packet.dst_port = 54;
	send_packet(guest_link, &packet, NULL);
	loop_advance(loop, FLOW_UDP_QUERY_MS);
	ck_assert_uint_eq(flows(), 1);
	loop_advance(loop, FLOW_UDP_UNANSWERED_MS - FLOW_UDP_QUERY_MS);
	ck_assert_uint_eq(flows(), 0);
}
END_TEST

/* ---- Bounds ---- */

START_TEST(most_flows_of_a_guest)
{
	static const struct link_caps caps = {.csum = true, .frame_max = 1514};
	const struct link_sink *sink = switch_sink(stack_switch(forwarder_stack(forwarder)));
	struct sim_link *second = sim_link_new("second", &caps);
	struct sim_packet packet;
	struct sockaddr_storage from;
	uint16_t port;
	int fd = host_udp(4, &port);

	sink->attached(sink->arg, sim_link_link(second));
	packet = guest_packet(4, 6000, port, "quiet");
	packet.src = address("192.168.65.3");
	packet.src_mac.bytes[5] = 3;
	send_packet(second, &packet, NULL);
	expect_at_host(fd, "quiet", &from);
	/* The fixture's most is 4 for a guest, and as many in all. */
	for (uint16_t i = 0; i < 10; i++) {
		packet = guest_packet(4, (uint16_t)(5000 + i), port, "loud");
		send_packet(guest_link, &packet, NULL);
	}
	turn();
	ck_assert_uint_eq(flows(), 4);
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_evicted, 7);
	answer(fd, "still there?", &from);
	UNTIL(sim_link_pending(second) > 0);
	sim_link_drop_all(second);
	sim_link_hang_up(second, "test");
	loop_advance(loop, AWAY_MS);
	ck_assert_uint_eq(flows(), 3);
	turn();
	sim_link_free(second);
	close(fd);
}
END_TEST

START_TEST(flows_go_with_the_link)
{
	uint16_t port;
	int fd = host_socket(SOCK_DGRAM, &port);

	guest_sends(5000, port, "x");
	ck_assert_uint_eq(flows(), 1);
	sim_link_hang_up(guest_link, "test");
	loop_advance(loop, AWAY_MS - 1);
	ck_assert_uint_eq(flows(), 1); /* it may come back */
	loop_advance(loop, 1);
	ck_assert_uint_eq(flows(), 0);
	close(fd);
}
END_TEST

/* ---- Errors ---- */

/* The guest hears who refused its datagram, and which one, to the byte. */
START_TEST(refused_by_the_host)
{
	int family = families[_i];
	uint16_t port;
	int fd = host_udp(family, &port);
	struct sim_packet packet = guest_packet(family, 5000, port, "anybody?");
	const uint8_t *sent;
	struct got got;
	size_t size;

	close(fd);
	packet.ip_id = 0x1234;
	packet.tos = 0x48;
	packet.ttl = 33;
	sent = send_packet(guest_link, &packet, &size);
	NEXT_GOT(got);
	ck_assert(is_addr(&got.src, alias_text[family == 6]));
	ck_assert_uint_eq(got.protocol, family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	ck_assert_uint_eq(got.transport[0], family == 6 ? ICMPV6_DEST_UNREACH : ICMP_DEST_UNREACH);
	ck_assert_uint_eq(got.transport[1], family == 6 ? ICMPV6_PORT_UNREACH : ICMP_PORT_UNREACH);
	ck_assert_uint_eq(got.size, 8 + size);
	ck_assert_mem_eq(got.transport + 8, sent, size);
}
END_TEST

/* The guest has closed its port, and the answer comes: the far side hears of it with its next one,
 * from the host. */
START_TEST(refused_by_the_guest)
{
	int family = families[_i];
	struct sockaddr_storage from;
	uint16_t port;
	int fd = host_udp(family, &port);
	struct sim_packet packet = guest_packet(family, 5000, port, "question");

	send_packet(guest_link, &packet, NULL);
	expect_at_host(fd, "question", &from);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	answer(fd, "late", &from);
	expect_at_guest(family, port, 5000, "late");
	ck_assert_uint_eq(flows(), 1);
	guest_says_refused(guest_link, &guest_mac, other);
	ck_assert_uint_eq(flows(), 0);
	ck_assert_int_eq(send(fd, "later", 5, 0), 5);
	ck_assert_int_eq(send(fd, "later", 5, 0), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	close(fd);
}
END_TEST

/* A socket that is connected to one refuses all others, and its flow must not suffer from it. */
START_TEST(refusing_others_ends_nothing)
{
	static const struct link_caps caps = {.csum = true, .frame_max = 1514};
	const struct link_sink *sink = switch_sink(stack_switch(forwarder_stack(forwarder)));
	struct sim_link *second = sim_link_new("second", &caps);
	int family = families[_i];
	struct sockaddr_storage from;
	uint16_t ports[2];
	int fds[] = {host_udp(family, &ports[0]), host_udp(family, &ports[1])};
	struct sim_packet packet = guest_packet(family, 5000, ports[0], "question");

	send_packet(guest_link, &packet, NULL);
	expect_at_host(fds[0], "question", &from);
	answer(fds[1], "stray", &from);
	expect_at_guest(family, ports[1], 5000, "stray");
	guest_says_refused(guest_link, &guest_mac, other);
	ck_assert_uint_eq(flows(), 1);
	answer(fds[0], "answer", &from);
	expect_at_guest(family, ports[0], 5000, "answer");
	/* Nor from what another guest says in its name. */
	sink->attached(sink->arg, sim_link_link(second));
	guest_says_refused(second, &(struct mac){{0x52, 0x54, 0, 0, 0, 9}}, other);
	ck_assert_uint_eq(flows(), 1);
	sim_link_hang_up(second, "test");
	turn();
	sim_link_free(second);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* Discovery protocols call everybody, and nobody has to answer. */
START_TEST(groups_stay_among_guests)
{
	static const char *const groups[] = {"255.255.255.255", "192.168.65.255", "224.0.0.251",
					     "239.255.255.250", "ff02::fb",       "ff05::c"};
	unsigned before = others;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		struct sim_packet packet = guest_packet(i < 4 ? 4 : 6, 5353, 5353, "who is there?");

		packet.dst = address(groups[i]);
		packet.dst_mac = mac_broadcast;
		send_packet(guest_link, &packet, NULL);
	}
	turn();
	turn();
	ck_assert_uint_eq(flows(), 0);
	ck_assert_uint_eq(others, before);
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_group, 2);
	ck_assert_uint_eq(forwarder_counters(forwarder).stack.rx_unroutable, 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow_udp");
	TCase *tcase = unit_case(suite, "flow_udp", setup_both, teardown);

	tcase_add_loop_test(tcase, both_ways, 0, 2);
	tcase_add_loop_test(tcase, anybody_may_answer, 0, 2);
	tcase_add_test(tcase, families_have_sockets_of_their_own);
	tcase_add_loop_test(tcase, marks_both_ways, 0, 2);
	tcase_add_test(tcase, bursts_keep_their_datagrams);
	tcase_add_loop_test(tcase, answered_flows_live_longer, 0, 2);
	tcase_add_test(tcase, queries_end_with_their_answers);
	tcase_add_test(tcase, queries_without_answer_end);
	tcase_add_test(tcase, most_flows_of_a_guest);
	tcase_add_test(tcase, flows_go_with_the_link);
	tcase_add_loop_test(tcase, refused_by_the_host, 0, 2);
	tcase_add_loop_test(tcase, refused_by_the_guest, 0, 2);
	tcase_add_loop_test(tcase, refusing_others_ends_nothing, 0, 2);
	tcase_add_test(tcase, groups_stay_among_guests);
	return unit_run(suite);
}
