/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses behind guests: connections to them, datagrams that are expected, and whose packets are
 * refused all the same. */
#include <errno.h>
#include <netinet/in.h>

#include "base/csum.h"
#include "conn_test.h"
#include "netstack/behind.h"
#include "unit.h"

#define HOP "192.168.65.2" /* the guest that the others are behind, whichever their family */

static const struct mac other_mac = {{0x52, 0x54, 0, 0, 0, 9}};

static unsigned datagrams, behind_datagrams;

static void count_datagram(void *arg, const struct stack_datagram *datagram)
{
	(void)arg;
	datagrams++;
	behind_datagrams += datagram->from_behind;
}

static const struct stack_handler behind_handler = {
	.datagram = count_datagram,
	.echo = session_echo,
	.syn = session_syn,
};

/* The session's TCP is a container's, behind the guest of its link. */
static void start(struct session *s)
{
	struct stack_conf conf = net_conf();
	struct addr hop = net_addr(HOP);

	session_start(s, &session_offload);
	net_stop(&s->net);
	net_start(&s->net, &conf, &behind_handler, s, &session_offload);
	s->wire.link = s->net.link;
	stack_learn(s->net.stack, &hop, &net_guest_mac);
	s->tcp.self = (struct endpoint){.addr = net_addr(session_is_v6() ? "fd99::5" : "10.88.0.5"),
					.port = 80};
	s->tcp.peer = (struct endpoint){
		.addr = net_addr(session_is_v6() ? "2001:db8::9" : "10.9.9.9"), .port = 5555};
	s->tcp.listening = true;
	datagrams = behind_datagrams = 0;
}

static int dial(struct session *s, const char *hop)
{
	struct addr via = net_addr(hop);

	return conn_connect(s->net.stack, &s->tcp.peer, &s->tcp.self, &via, &owner_ops, s,
			    &s->conn);
}

static uint64_t spoofed(const struct session *s)
{
	return stack_counters(s->net.stack).rx_spoofed;
}

static struct sim_packet packet_of(const struct session *s, uint8_t protocol)
{
	return (struct sim_packet){
		.src_mac = net_guest_mac,
		.dst_mac = net_gateway_mac,
		.src = s->tcp.self.addr,
		.dst = s->tcp.peer.addr,
		.protocol = protocol,
		.src_port = s->tcp.self.port,
		.dst_port = s->tcp.peer.port,
	};
}

static void inject(struct sim_link *link, const struct sim_packet *packet)
{
	static uint8_t bytes[SIM_PACKET_MAX];

	sim_link_inject(link, bytes, sim_packet_build(packet, bytes));
}

/* ---- TCP ---- */

START_TEST(connection_carries_data)
{
	struct session s;

	start(&s);
	ck_assert_int_eq(dial(&s, HOP), 0);
	s.to_send = s.tcp.to_send = 1000000;
	s.to_close = s.tcp.to_close = true;
	session_pass(&s, 3000, &s.tcp.fin_received);
	session_pass(&s, 1000, NULL);
	ck_assert(s.connected);
	ck_assert_uint_eq(s.received, 1000000);
	ck_assert_uint_eq(s.tcp.received, 1000000);
	ck_assert(s.tcp.fin_acked);
	ck_assert_uint_eq(spoofed(&s), 0);
	session_stop(&s);
}
END_TEST

/* Nobody has said yet where the guest is: its own address is asked for, not the one behind it. */
START_TEST(syn_waits_for_the_guest)
{
	struct sim_frame *frame;
	struct addr hop = net_addr("192.168.65.7");
	struct session s;
	uint8_t arp[64];

	start(&s);
	ck_assert_int_eq(dial(&s, "192.168.65.7"), 0);
	net_run(&s.net);
	frame = sim_link_take(s.net.link);
	ck_assert_ptr_nonnull(frame);
	ck_assert_uint_eq(frame->bytes[12] << 8 | frame->bytes[13], 0x0806);
	ck_assert_mem_eq(frame->bytes + 38, &hop.v4, 4);
	sim_frame_free(frame);
	sim_link_inject(
		s.net.link, arp,
		sim_packet_arp(&net_guest_mac, &hop, &(struct addr){.family = AF_INET}, arp));
	net_run(&s.net);
	frame = sim_link_take(s.net.link);
	ck_assert_ptr_nonnull(frame);
	ck_assert_uint_eq(frame->bytes[12] << 8 | frame->bytes[13],
			  session_is_v6() ? 0x86dd : 0x0800);
	ck_assert_mem_eq(frame->bytes, net_guest_mac.bytes, 6);
	sim_frame_free(frame);
	session_stop(&s);
}
END_TEST

START_TEST(segments_without_a_connection)
{
	static const uint8_t flags[] = {SIM_TCP_SYN, SIM_TCP_SYN | SIM_TCP_ACK, SIM_TCP_ACK,
					SIM_TCP_RST, SIM_TCP_FIN | SIM_TCP_ACK};
	struct session s;

	start(&s);
	for (unsigned i = 0; i < sizeof(flags); i++) {
		struct sim_packet packet = packet_of(&s, IPPROTO_TCP);

		packet.flags = flags[i];
		inject(s.net.link, &packet);
		ck_assert_uint_eq(spoofed(&s), i + 1);
	}
	net_run(&s.net);
	ck_assert_uint_eq(sim_link_pending(s.net.link), 0);
	ck_assert_uint_eq(s.syns, 0);
	session_stop(&s);
}
END_TEST

/* Another guest, that may have the same address behind it, knows all about the connection. */
START_TEST(segments_from_another_port)
{
	struct addr hop = net_addr(HOP);
	struct sim_link *other;
	struct session s;

	start(&s);
	other = net_attach(&s.net, &session_offload);
	ck_assert_int_eq(dial(&s, HOP), 0);
	session_pass(&s, 1000, &s.connected);
	for (unsigned i = 0; i < 2; i++) {
		struct sim_packet packet = packet_of(&s, IPPROTO_TCP);

		packet.src_mac = other_mac;
		packet.flags = SIM_TCP_RST | SIM_TCP_ACK;
		packet.seq = s.tcp.iss + 1;
		packet.ack = s.tcp.irs + 1;
		inject(other, &packet);
		session_settle(&s);
		ck_assert_uint_eq(spoofed(&s), i + 1);
		ck_assert(s.connected && !s.ended);
		/* Now that the guest has spoken for itself, its port is known. */
		packet = packet_of(&s, IPPROTO_UDP);
		packet.src = hop;
		packet.dst = net_addr("10.9.9.9");
		inject(s.net.link, &packet);
	}
	session_stop(&s);
	sim_link_free(other);
}
END_TEST

START_TEST(syn_after_time_wait)
{
	struct sim_packet packet;
	struct session s;

	start(&s);
	ck_assert_int_eq(dial(&s, HOP), 0);
	s.to_close = s.tcp.to_close = true;
	session_pass(&s, 1000, &s.tcp.fin_received);
	session_pass(&s, 100, NULL);
	packet = packet_of(&s, IPPROTO_TCP);
	packet.flags = SIM_TCP_SYN;
	packet.seq = s.tcp.iss + 100000;
	inject(s.net.link, &packet);
	net_run(&s.net);
	ck_assert_uint_eq(spoofed(&s), 1);
	ck_assert_uint_eq(s.syns, 0);
	session_stop(&s);
}
END_TEST

START_TEST(whom_not_to_dial)
{
	static const char *const nobody[] = {
		"192.168.65.3", "127.0.0.1",       "0.0.0.1",    "169.254.1.1", "224.0.0.1",
		"240.0.0.1",    "255.255.255.255", "fd00:65::3", "::1",         "fe80::1",
		"ff02::1",      "::ffff:10.0.0.1", "::10.0.0.1", "fec0::1",
	};
	static const char *const no_hops[] = {"192.168.65.1", "192.168.65.254", "fd00:65::1",
					      "fe80::1",      "8.8.8.8",        "2001:db8::1"};
	struct session s;

	start(&s);
	for (unsigned i = 0; i < sizeof(no_hops) / sizeof(no_hops[0]); i++)
		ck_assert_int_eq(dial(&s, no_hops[i]), -EHOSTUNREACH);
	for (unsigned i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		s.tcp.self.addr = net_addr(nobody[i]);
		s.tcp.peer.addr = net_addr(s.tcp.self.addr.family == AF_INET6 ? "2001:db8::9"
									      : "10.9.9.9");
		ck_assert_int_eq(dial(&s, HOP), -EHOSTUNREACH);
	}
	session_stop(&s);
}
END_TEST

/* ---- ICMP ---- */

/* An ICMP error of the router's about the SYN that was sent last. */
static void complain(struct session *s, struct sim_link *link, const char *router, uint8_t type,
		     uint8_t code, const struct sim_frame *syn)
{
	uint8_t message[8 + 60] = {type, code};
	struct sim_packet packet = packet_of(s, session_is_v6() ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	size_t quoted = syn->size - 14 < 60 ? syn->size - 14 : 60;
	uint32_t sum = 0;
	uint16_t csum;

	packet.src = net_addr(router);
	if (link != s->net.link)
		packet.src_mac = other_mac;
	memcpy(message + 8, syn->bytes + 14, quoted);
	packet.payload = message;
	packet.payload_size = sizeof(message);
	if (session_is_v6())
		sum = csum_add_pseudo(0, &packet.src, &packet.dst, IPPROTO_ICMPV6, sizeof(message));
	csum = csum_fold(csum_add(sum, message, sizeof(message)));
	memcpy(message + 2, &csum, sizeof(csum));
	inject(link, &packet);
}

START_TEST(unreachable)
{
	const char *router = session_is_v6() ? "fd99::1" : "10.88.0.1";
	uint8_t type = session_is_v6() ? 1 : 3;
	struct sim_frame *syn;
	struct sim_link *other;
	struct session s;

	start(&s);
	other = net_attach(&s.net, &session_offload);
	ck_assert_int_eq(dial(&s, HOP), 0);
	net_run(&s.net);
	syn = sim_link_take(s.net.link);
	ck_assert_ptr_nonnull(syn);
	/* Of somebody else's, and about something else. */
	complain(&s, other, router, type, 1, syn);
	syn->bytes[14 + (session_is_v6() ? 40 : 20) + 4] ^= 1;
	complain(&s, s.net.link, router, type, 1, syn);
	net_run(&s.net);
	ck_assert(!s.ended);
	ck_assert_uint_ge(spoofed(&s), 1);
	syn->bytes[14 + (session_is_v6() ? 40 : 20) + 4] ^= 1;
	complain(&s, s.net.link, session_is_v6() ? "fd00:65::2" : HOP, 128, 0, syn); /* no error */
	complain(&s, s.net.link, router, type, 1, syn);
	net_run(&s.net);
	ck_assert(s.ended);
	ck_assert_int_eq(s.end, CONN_END_REFUSED);
	sim_frame_free(syn);
	session_stop(&s);
	sim_link_free(other);
}
END_TEST

START_TEST(echo_from_behind)
{
	uint8_t message[16] = {8};
	struct sim_packet packet;
	uint32_t sum = 0;
	uint16_t csum;
	struct session s;

	start(&s);
	packet = packet_of(&s, session_is_v6() ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	packet.dst = net_addr(session_is_v6() ? "fd00:65::1" : "192.168.65.1");
	packet.payload = message;
	packet.payload_size = sizeof(message);
	if (session_is_v6()) {
		message[0] = 128;
		sum = csum_add_pseudo(0, &packet.src, &packet.dst, IPPROTO_ICMPV6, sizeof(message));
	}
	csum = csum_fold(csum_add(sum, message, sizeof(message)));
	memcpy(message + 2, &csum, sizeof(csum));
	inject(s.net.link, &packet);
	net_run(&s.net);
	ck_assert_uint_eq(sim_link_pending(s.net.link), 0);
	ck_assert_uint_eq(spoofed(&s), 1);
	session_stop(&s);
}
END_TEST

/* ---- UDP ---- */

START_TEST(datagrams_are_taken_while_expected)
{
	struct addr hop = net_addr(HOP);
	struct sim_packet packet;
	struct sim_link *other;
	struct sim_frame *frame;
	struct session s;

	start(&s);
	other = net_attach(&s.net, &session_offload);
	packet = packet_of(&s, IPPROTO_UDP);
	inject(s.net.link, &packet);
	ck_assert_uint_eq(datagrams, 0);
	ck_assert_int_eq(stack_expect(s.net.stack, &s.tcp.self.addr, &hop), 0);
	ck_assert_int_eq(stack_expect(s.net.stack, &s.tcp.self.addr, &hop), 0);
	ck_assert_int_eq(
		stack_send_udp_behind(s.net.stack, &s.tcp.peer, &s.tcp.self, &hop, 64, 0, "to", 2),
		0);
	net_run(&s.net);
	frame = sim_link_take(s.net.link);
	ck_assert_ptr_nonnull(frame);
	ck_assert_mem_eq(frame->bytes, net_guest_mac.bytes, 6);
	ck_assert(sim_packet_csum_ok(frame->bytes, frame->size));
	sim_frame_free(frame);
	inject(s.net.link, &packet);
	ck_assert_uint_eq(behind_datagrams, 1);
	/* From elsewhere; from a neighbour of the one that is expected; to other guests. */
	packet.src_mac = other_mac;
	inject(other, &packet);
	packet = packet_of(&s, IPPROTO_UDP);
	packet.src = net_addr(session_is_v6() ? "fd99::6" : "10.88.0.6");
	inject(s.net.link, &packet);
	packet = packet_of(&s, IPPROTO_UDP);
	packet.dst = net_addr(session_is_v6() ? "fd00:65::3" : "192.168.65.3");
	inject(s.net.link, &packet);
	packet.dst = net_addr(session_is_v6() ? "ff02::1:2" : "192.168.65.255");
	inject(s.net.link, &packet);
	ck_assert_uint_eq(datagrams, 1);
	ck_assert_uint_eq(spoofed(&s), 5);
	/* It was asked for twice. */
	packet = packet_of(&s, IPPROTO_UDP);
	stack_unexpect(s.net.stack, &s.tcp.self.addr, &hop);
	inject(s.net.link, &packet);
	ck_assert_uint_eq(behind_datagrams, 2);
	stack_unexpect(s.net.stack, &s.tcp.self.addr, &hop);
	inject(s.net.link, &packet);
	ck_assert_uint_eq(behind_datagrams, 2);
	session_stop(&s);
	sim_link_free(other);
}
END_TEST

START_TEST(what_cannot_be_expected)
{
	struct addr hop = net_addr(HOP), guest = net_addr("192.168.65.3"),
		    loopback = net_addr("127.0.0.1"), local = net_addr("fe80::1");
	struct session s;

	start(&s);
	ck_assert_int_eq(stack_expect(s.net.stack, &guest, &hop), -EHOSTUNREACH);
	ck_assert_int_eq(stack_expect(s.net.stack, &loopback, &hop), -EHOSTUNREACH);
	ck_assert_int_eq(stack_expect(s.net.stack, &local, &hop), -EHOSTUNREACH);
	session_stop(&s);
}
END_TEST

/* ---- The table ---- */

START_TEST(table_is_bounded)
{
	struct behind *behind;
	struct addr addr, hop = net_addr(HOP);

	ck_assert_int_eq(behind_new(&behind), 0);
	for (unsigned i = 0; i < BEHIND_HOP_MAX; i++) {
		addr = addr_from_v4(0x0a580000 + i);
		ck_assert_int_eq(behind_add(behind, &addr, &hop), 0);
	}
	addr = addr_from_v4(0x0b000000);
	ck_assert_int_eq(behind_add(behind, &addr, &hop), -ENOSPC);
	/* Other guests still have room, until all is full. */
	for (unsigned i = BEHIND_HOP_MAX; i < BEHIND_MAX; i++) {
		hop = addr_from_v4(0xc0a84200 + i / BEHIND_HOP_MAX);
		addr = addr_from_v4(0x0a580000 + i % BEHIND_HOP_MAX);
		ck_assert_int_eq(behind_add(behind, &addr, &hop), 0);
	}
	hop = net_addr("192.168.65.200");
	ck_assert_int_eq(behind_add(behind, &addr, &hop), -ENOSPC);
	hop = net_addr(HOP);
	addr = addr_from_v4(0x0a580000);
	behind_remove(behind, &addr, &hop);
	behind_remove(behind, &addr, &hop);
	addr = addr_from_v4(0x0b000000);
	ck_assert_int_eq(behind_add(behind, &addr, &hop), 0);
	behind_free(behind);
}
END_TEST

START_TEST(one_address_behind_two)
{
	struct addr addr = net_addr("10.88.0.5"), one = net_addr(HOP), two = net_addr("fd00:65::3");
	const struct behind_entry *entry;
	struct behind *behind;

	ck_assert_int_eq(behind_new(&behind), 0);
	ck_assert_int_eq(behind_add(behind, &addr, &one), 0);
	ck_assert_int_eq(behind_add(behind, &addr, &two), 0);
	entry = behind_find(behind, &addr, NULL);
	ck_assert_ptr_nonnull(entry);
	ck_assert_ptr_nonnull(behind_find(behind, &addr, entry));
	behind_remove(behind, &addr, &one);
	entry = behind_find(behind, &addr, NULL);
	ck_assert(addr_equal(&entry->hop, &two));
	ck_assert_ptr_null(behind_find(behind, &addr, entry));
	behind_free(behind);
}
END_TEST

static void add_tests(TCase *tcase)
{
	tcase_add_test(tcase, connection_carries_data);
	tcase_add_test(tcase, syn_waits_for_the_guest);
	tcase_add_test(tcase, segments_without_a_connection);
	tcase_add_test(tcase, segments_from_another_port);
	tcase_add_test(tcase, syn_after_time_wait);
	tcase_add_test(tcase, whom_not_to_dial);
	tcase_add_test(tcase, unreachable);
	tcase_add_test(tcase, echo_from_behind);
	tcase_add_test(tcase, datagrams_are_taken_while_expected);
}

int main(void)
{
	Suite *suite = suite_create("behind");
	TCase *tcase = unit_case(suite, "table", NULL, NULL);

	session_add_cases(suite, add_tests);
	tcase_add_test(tcase, what_cannot_be_expected);
	tcase_add_test(tcase, table_is_bounded);
	tcase_add_test(tcase, one_address_behind_two);
	return unit_run(suite);
}
