/* SPDX-License-Identifier: Apache-2.0 */
/* What guests hear of errors that host sockets report. The error queue is the test's: recvmsg()
 * below reads from it. */
#include "forwarder/icmp_relay.h"

#include <linux/errqueue.h>

#include "base/csum.h"
#include "flow_test.h"
#include "unit.h"

/* ---- An error queue ---- */

struct queued {
	const char *to;   /* where the datagram went, with the port */
	const char *from; /* who reports it; NULL: nobody known */
	struct sock_extended_err error;
	const void *quoted;
	size_t size;
};

static struct queued queue[8];
static unsigned queue_at, queue_count;

static size_t put_cmsg(struct msghdr *msg, const struct queued *entry)
{
	struct cmsghdr *c = msg->msg_control;
	struct endpoint from = {0};
	struct sockaddr_storage sa = {0};
	bool v6 = entry->to[0] == '[';
	size_t size = sizeof(entry->error) +
		      (v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));

	ck_assert_uint_ge(msg->msg_controllen, CMSG_SPACE(size));
	if (entry->from) {
		from.addr = address(entry->from);
		endpoint_to_sockaddr(&from, &sa);
	}
	c->cmsg_level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
	c->cmsg_type = v6 ? IPV6_RECVERR : IP_RECVERR;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), &entry->error, sizeof(entry->error));
	memcpy(CMSG_DATA(c) + sizeof(entry->error), &sa, size - sizeof(entry->error));
	return CMSG_SPACE(size);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	const struct queued *entry = &queue[queue_at];
	struct endpoint to;
	size_t size;

	(void)fd;
	ck_assert_int_eq(flags, MSG_ERRQUEUE | MSG_DONTWAIT);
	if (queue_at == queue_count) {
		errno = EAGAIN;
		return -1;
	}
	queue_at++;
	size = entry->size < msg->msg_iov[0].iov_len ? entry->size : msg->msg_iov[0].iov_len;
	if (size)
		memcpy(msg->msg_iov[0].iov_base, entry->quoted, size);
	ck_assert_int_eq(endpoint_parse(entry->to, true, &to), 0);
	msg->msg_namelen = endpoint_to_sockaddr(&to, msg->msg_name);
	msg->msg_controllen = put_cmsg(msg, entry);
	return (ssize_t)size;
}

static void report(const char *to, const char *from, uint8_t type, uint8_t code, uint32_t info,
		   const void *quoted, size_t size)
{
	bool v6 = to[0] == '[';

	queue[queue_count++] = (struct queued){
		.to = to,
		.from = from,
		.error = {.ee_origin = v6 ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP,
			  .ee_type = type,
			  .ee_code = code,
			  .ee_info = info},
		.quoted = quoted,
		.size = size,
	};
}

/* ---- Packets of the guest's ---- */

static struct icmp_relay relay;

static void setup_relay(void)
{
	setup_both();
	queue_at = queue_count = 0;
}

static void relay_for(int family, uint8_t protocol, uint16_t port)
{
	relay = (struct icmp_relay){
		.stack = forwarder_stack(forwarder),
		.fd = 1,
		.guest = {.addr = guest_addr(family), .port = port},
		.protocol = protocol,
	};
}

/* The guest's packet to somewhere in the world, from its IP header on. */
static size_t packet_to(uint8_t to[static SIM_PACKET_MAX], int family, const char *dst,
			uint8_t protocol, const void *payload, size_t size)
{
	struct sim_packet packet = guest_packet(family, 5000, 33434, "");

	packet.dst = address(dst);
	packet.protocol = protocol;
	packet.ttl = 9;
	packet.tos = 0x28;
	packet.ip_id = 0x4321;
	packet.payload = payload;
	packet.payload_size = size;
	size = sim_packet_build(&packet, to) - ETH_SIZE;
	memmove(to, to + ETH_SIZE, size);
	return size;
}

/* Takes what is in the queue; returns how many ICMP errors the guest got, the last one in *ret. */
static unsigned relay_all(struct got *ret)
{
	unsigned before = others;

	ck_assert_uint_eq(icmp_relay_errors(&relay), 0);
	turn();
	if (others > before)
		*ret = take_apart(other);
	return others - before;
}

static const char *const far[] = {"10.1.2.3", "2001:db8::3"};
static const char *const far_port[] = {"10.1.2.3:33434", "[2001:db8::3]:33434"};
static const char *const router[] = {"10.9.9.9", "2001:db8:9::9"};
static const int families[] = {4, 6};

static const uint8_t expired[] = {ICMP_TIME_EXCEEDED, ICMPV6_TIME_EXCEED};
static const uint8_t unreachable[] = {ICMP_DEST_UNREACH, ICMPV6_DEST_UNREACH};

/* ---- UDP ---- */

START_TEST(a_kept_packet_is_quoted_as_it_was)
{
	int family = families[_i];
	static uint8_t ip[SIM_PACKET_MAX];
	uint8_t payload[200];
	struct got got;
	size_t size;

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)i;
	size = packet_to(ip, family, far[_i], IPPROTO_UDP, payload, sizeof(payload));
	relay_for(family, IPPROTO_UDP, 5000);
	icmp_relay_keep(&relay, ip, size);
	/* Unreachable, quoted in full, as the guest sent it. */
	report(far_port[_i], router[_i], unreachable[_i], 1, 0, payload, sizeof(payload));
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert(is_addr(&got.src, router[_i]));
	ck_assert(is_addr(&got.dst, guest_text[_i]));
	ck_assert_uint_eq(got.transport[0], unreachable[_i]);
	ck_assert_uint_eq(got.transport[1], 1);
	ck_assert_uint_eq(got.size, 8 + size);
	ck_assert_mem_eq(got.transport + 8, ip, size);
	/* A router that quotes 8 bytes of it only; and its time was up. */
	report(far_port[_i], router[_i], expired[_i], 0, 0, payload, 8);
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert_uint_eq(got.transport[0], expired[_i]);
	ck_assert_uint_eq(got.size, 8 + ICMP_RELAY_KEPT_SIZE);
	ck_assert_uint_eq(got.transport[8 + (family == 6 ? 7 : 8)], 1);
	if (family == 4)
		ck_assert_uint_eq(csum_fold(csum_add(0, got.transport + 8, IP4_SIZE)), 0);
	ck_assert_mem_eq(got.transport + 8 + (family == 6 ? 8 : 12), ip + (family == 6 ? 8 : 12),
			 ICMP_RELAY_KEPT_SIZE - 12);
}
END_TEST

START_TEST(another_packet_is_made_up)
{
	int family = families[_i];
	static uint8_t ip[SIM_PACKET_MAX];
	struct got got, quoted;

	relay_for(family, IPPROTO_UDP, 5000);
	/* Kept, but others: to elsewhere, and with other contents. */
	icmp_relay_keep(&relay, ip, packet_to(ip, family, router[_i], IPPROTO_UDP, "ab", 2));
	icmp_relay_keep(&relay, ip, packet_to(ip, family, far[_i], IPPROTO_UDP, "cd", 2));
	report(far_port[_i], router[_i], expired[_i], 0, 0, "ab", 2);
	ck_assert_uint_eq(relay_all(&got), 1);
	quoted = take_apart_ip(got.transport + 8, got.size - 8);
	ck_assert(is_addr(&quoted.src, guest_text[_i]));
	ck_assert(is_addr(&quoted.dst, far[_i]));
	ck_assert_uint_eq(quoted.protocol, IPPROTO_UDP);
	ck_assert_uint_eq(be16(quoted.transport), 5000);
	ck_assert_uint_eq(be16(quoted.transport + 2), 33434);
	ck_assert_uint_eq(be16(quoted.transport + 4), 10);
	ck_assert_uint_eq(quoted.size, 10);
	ck_assert_mem_eq(quoted.transport + 8, "ab", 2);
	if (family == 4)
		ck_assert_uint_eq(csum_fold(csum_add(0, got.transport + 8, IP4_SIZE)), 0);
}
END_TEST

START_TEST(the_last_packets_are_kept)
{
	static uint8_t ip[SIM_PACKET_MAX];
	struct got got;
	size_t size = 0;

	relay_for(4, IPPROTO_UDP, 5000);
	for (char c = 'a'; c <= 'f'; c++) {
		size = packet_to(ip, 4, far[0], IPPROTO_UDP, &c, 1);
		ip[4] = (uint8_t)c; /* in its id */
		icmp_relay_keep(&relay, ip, size);
	}
	for (char c = 'c'; c <= 'f'; c++) {
		report(far_port[0], router[0], ICMP_DEST_UNREACH, 1, 0, &c, 1);
		ck_assert_uint_eq(relay_all(&got), 1);
		ck_assert_uint_eq(got.transport[8 + 4], c);
	}
	report(far_port[0], router[0], ICMP_DEST_UNREACH, 1, 0, "b", 1);
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert_uint_eq(got.transport[8 + 4], 0);
}
END_TEST

START_TEST(the_loopback_is_the_alias)
{
	static const char *const loopback[] = {"127.0.0.1", "::1"};
	static const char *const loopback_port[] = {"127.0.0.1:33434", "[::1]:33434"};
	int family = families[_i];
	static uint8_t ip[SIM_PACKET_MAX];
	struct got got;
	size_t size = packet_to(ip, family, alias_text[_i], IPPROTO_UDP, "x", 1);

	relay_for(family, IPPROTO_UDP, 5000);
	icmp_relay_keep(&relay, ip, size);
	report(loopback_port[_i], loopback[_i], unreachable[_i], 3, 0, "x", 1);
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert(is_addr(&got.src, alias_text[_i]));
	ck_assert_mem_eq(got.transport + 8, ip, size);
}
END_TEST

START_TEST(nobody_passes_for_another)
{
	struct got got;

	relay_for(4, IPPROTO_UDP, 5000);
	report(far_port[0], "192.168.65.254", ICMP_DEST_UNREACH, 1, 0, "", 0);
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert(is_addr(&got.src, "192.168.65.1"));
	report(far_port[0], NULL, ICMP_DEST_UNREACH, 1, 0, "", 0);
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert(is_addr(&got.src, "192.168.65.1"));
	relay_for(6, IPPROTO_UDP, 5000);
	report(far_port[1], "fe80::1", ICMPV6_DEST_UNREACH, 0, 0, "", 0);
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert(is_addr(&got.src, "fd65:6e70:7879::1"));
	report(far_port[1], "fd65:6e70:7879::fe", ICMPV6_DEST_UNREACH, 0, 0, "", 0);
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert(is_addr(&got.src, "fd65:6e70:7879::1"));
}
END_TEST

START_TEST(a_narrow_path_comes_with_its_mtu)
{
	struct got got;

	relay_for(4, IPPROTO_UDP, 5000);
	report(far_port[0], router[0], ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1400, "x", 1);
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert_uint_eq(be16(got.transport + 6), 1400);
	report(far_port[0], router[0], ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 1400, "x", 1);
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert_uint_eq(be16(got.transport + 6), 0);
	relay_for(6, IPPROTO_UDP, 5000);
	report(far_port[1], router[1], ICMPV6_PKT_TOOBIG, 0, 1300, "x", 1);
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert_uint_eq(got.transport[0], ICMPV6_PKT_TOOBIG);
	ck_assert_uint_eq(be16(got.transport + 4), 0);
	ck_assert_uint_eq(be16(got.transport + 6), 1300);
}
END_TEST

START_TEST(other_reports_are_nothing)
{
	struct got got;

	relay_for(4, IPPROTO_UDP, 5000);
	report(far_port[0], router[0], ICMP_ECHOREPLY, 0, 0, "x", 1);
	report(far_port[0], router[0], ICMP_REDIRECT, 0, 0, "x", 1);
	report(far_port[1], router[1], ICMPV6_DEST_UNREACH, 0, 0, "x", 1);
	ck_assert_uint_eq(relay_all(&got), 0);
	relay_for(6, IPPROTO_UDP, 5000);
	report(far_port[1], router[1], ICMPV6_ECHO_REPLY, 0, 0, "x", 1);
	report(far_port[0], router[0], ICMP_DEST_UNREACH, 0, 0, "x", 1);
	ck_assert_uint_eq(relay_all(&got), 0);
	/* This host's own word is for who called sendmsg(). */
	queue_at = queue_count = 0;
	queue[queue_count++] = (struct queued){
		.to = far_port[1],
		.error = {.ee_origin = SO_EE_ORIGIN_LOCAL, .ee_errno = EMSGSIZE, .ee_info = 1420},
	};
	ck_assert_uint_eq(icmp_relay_errors(&relay), 1420);
}
END_TEST

/* ---- Echo ---- */

/* An echo request as it left the host, with the id there. */
static const uint8_t request[][12] = {
	{ICMP_ECHO, 0, 0x11, 0x22, 0x77, 0x77, 0, 5, 'd', 'a', 't', 'a'},
	{ICMPV6_ECHO_REQUEST, 0, 0x11, 0x22, 0x77, 0x77, 0, 5, 'd', 'a', 't', 'a'},
};

START_TEST(an_echo_has_the_guests_id)
{
	int family = families[_i];
	uint8_t protocol = family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	static uint8_t ip[SIM_PACKET_MAX];
	uint8_t own[sizeof(request[0])];
	struct got got, quoted;
	size_t size;

	/* Made up from what is quoted of ours ... */
	relay_for(family, protocol, 0x1234);
	report(family == 6 ? "[2001:db8::3]:0" : "10.1.2.3:0", router[_i], expired[_i], 0, 0,
	       request[_i], sizeof(request[_i]));
	ck_assert_uint_eq(relay_all(&got), 1);
	quoted = take_apart_ip(got.transport + 8, got.size - 8);
	ck_assert_uint_eq(quoted.protocol, protocol);
	ck_assert_uint_eq(quoted.transport[0], request[_i][0]);
	ck_assert_uint_eq(be16(quoted.transport + 4), 0x1234);
	ck_assert_mem_eq(quoted.transport + 6, request[_i] + 6, 6);
	/* ... with a sum that is as right or wrong as it was. */
	if (family == 4)
		ck_assert_uint_eq(csum_fold(csum_add(0, quoted.transport, 12)),
				  csum_fold(csum_add(0, request[_i], 12)));
	/* And as the guest sent it. */
	memcpy(own, request[_i], sizeof(own));
	own[4] = 0x12;
	own[5] = 0x34;
	own[2] = 0xee;
	size = packet_to(ip, family, far[_i], protocol, own, sizeof(own));
	icmp_relay_keep(&relay, ip, size);
	report(family == 6 ? "[2001:db8::3]:0" : "10.1.2.3:0", router[_i], unreachable[_i], 0, 0,
	       request[_i], sizeof(request[_i]));
	ck_assert_uint_eq(relay_all(&got), 1);
	ck_assert_uint_eq(got.size, 8 + size);
	ck_assert_mem_eq(got.transport + 8, ip, size);
}
END_TEST

START_TEST(a_raw_socket_hears_of_others)
{
	struct got got;

	relay_for(4, IPPROTO_ICMP, 0x1234);
	relay.only_id = true;
	relay.id = 0x7778;
	report("10.1.2.3:0", router[0], ICMP_TIME_EXCEEDED, 0, 0, request[0], sizeof(request[0]));
	ck_assert_uint_eq(relay_all(&got), 0);
	relay.id = 0x7777;
	report("10.1.2.3:0", router[0], ICMP_TIME_EXCEEDED, 0, 0, request[0], 7);
	ck_assert_uint_eq(relay_all(&got), 0);
	report("10.1.2.3:0", router[0], ICMP_TIME_EXCEEDED, 0, 0, request[0], 8);
	ck_assert_uint_eq(relay_all(&got), 1);
}
END_TEST

/* ---- What this host says ---- */

static const struct {
	int error;
	int v4, v6; /* the code of "unreachable"; -1: nothing */
} failures[] = {
	{ENETUNREACH, 0, 0},  {EAFNOSUPPORT, 0, 0},   {EADDRNOTAVAIL, 0, 0},
	{EHOSTUNREACH, 1, 3}, {EACCES, 13, 1},        {EPERM, 13, 1},
	{ENOBUFS, -1, -1},    {ECONNREFUSED, -1, -1}, {EMSGSIZE, -1, -1},
};

START_TEST(failures_are_told)
{
	static uint8_t ip[SIM_PACKET_MAX];

	for (int i = 0; i < 2; i++) {
		int code = i ? failures[_i].v6 : failures[_i].v4;
		size_t size = packet_to(ip, families[i], far[i], IPPROTO_UDP, "x", 1);
		unsigned before = others;
		struct got got;

		icmp_relay_failure(forwarder_stack(forwarder), failures[_i].error, 0, ip, size);
		turn();
		ck_assert_uint_eq(others - before, code < 0 ? 0 : 1);
		if (code < 0)
			continue;
		got = take_apart(other);
		ck_assert_uint_eq(got.transport[0], unreachable[i]);
		ck_assert_uint_eq(got.transport[1], code);
		ck_assert(is_addr(&got.src, i ? "fd65:6e70:7879::1" : "192.168.65.1"));
		ck_assert_mem_eq(got.transport + 8, ip, size);
	}
}
END_TEST

START_TEST(too_large_is_told_with_the_mtu)
{
	static const unsigned mtus[][3] = {
		{1400, 1400, 1400}, {600, 600, 1280}, {65536, 65535, 65535}};
	static uint8_t ip[SIM_PACKET_MAX];

	for (int i = 0; i < 6; i++) {
		int v6 = i % 2;
		size_t size = packet_to(ip, families[v6], far[v6], IPPROTO_UDP, "x", 1);
		struct got got;

		icmp_relay_failure(forwarder_stack(forwarder), EMSGSIZE, mtus[i / 2][0], ip, size);
		NEXT_GOT(got);
		ck_assert_uint_eq(got.transport[0], v6 ? ICMPV6_PKT_TOOBIG : ICMP_DEST_UNREACH);
		ck_assert_uint_eq(got.transport[1], v6 ? 0 : ICMP_FRAG_NEEDED);
		ck_assert_uint_eq(be16(got.transport + 6), mtus[i / 2][1 + v6]);
	}
}
END_TEST

/* Who asks for errors without end gets no more than its share, and others get theirs. */
START_TEST(errors_are_limited_for_each_guest)
{
	static const struct link_caps caps = {.csum = true, .frame_max = 1514};
	const struct link_sink *sink = switch_sink(stack_switch(forwarder_stack(forwarder)));
	struct sim_link *second = sim_link_new("second", &caps);
	struct sim_packet packet = guest_packet(4, 5000, 9, "x");
	unsigned before;

	sink->attached(sink->arg, sim_link_link(second));
	packet.dst = address("127.0.0.1"); /* nowhere */
	before = others;
	for (int i = 0; i < 300; i++)
		send_packet(guest_link, &packet, NULL);
	turn();
	ck_assert_uint_eq(others - before, 200);
	packet.src = address("192.168.65.3");
	packet.src_mac.bytes[5] = 3;
	sim_link_drop_all(second);
	send_packet(second, &packet, NULL);
	turn();
	ck_assert_uint_eq(sim_link_pending(second), 1);
	/* A second later there is more. */
	loop_advance(loop, 1000);
	before = others;
	packet = guest_packet(4, 5000, 9, "x");
	packet.dst = address("127.0.0.1");
	send_packet(guest_link, &packet, NULL);
	turn();
	ck_assert_uint_eq(others - before, 1);
	sim_link_hang_up(second, "test");
	turn();
	sim_link_free(second);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("icmp_relay");
	TCase *tcase = unit_case(suite, "icmp_relay", setup_relay, teardown);

	tcase_add_loop_test(tcase, a_kept_packet_is_quoted_as_it_was, 0, 2);
	tcase_add_loop_test(tcase, another_packet_is_made_up, 0, 2);
	tcase_add_test(tcase, the_last_packets_are_kept);
	tcase_add_loop_test(tcase, the_loopback_is_the_alias, 0, 2);
	tcase_add_test(tcase, nobody_passes_for_another);
	tcase_add_test(tcase, a_narrow_path_comes_with_its_mtu);
	tcase_add_test(tcase, other_reports_are_nothing);
	tcase_add_loop_test(tcase, an_echo_has_the_guests_id, 0, 2);
	tcase_add_test(tcase, a_raw_socket_hears_of_others);
	tcase_add_loop_test(tcase, failures_are_told, 0, sizeof(failures) / sizeof(failures[0]));
	tcase_add_test(tcase, too_large_is_told_with_the_mtu);
	tcase_add_test(tcase, errors_are_limited_for_each_guest);
	return unit_run(suite);
}
