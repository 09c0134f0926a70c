/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's IP stack: ARP, echo, reassembly, what is refused, and what goes to guests. */
#include <errno.h>
#include <netinet/in.h>

#include "world_test.h"
#include "unit.h"

/* An ICMP error of this type and code, that quotes `packet`. */
static void expect_icmp(uint8_t type, uint8_t code)
{
	struct sim_frame *frame = take();
	const uint8_t *icmp;

	ck_assert_ptr_nonnull(frame);
	icmp = frame->bytes + 34;
	ck_assert_uint_eq(frame->bytes[23], IPPROTO_ICMP);
	ck_assert_uint_eq(icmp[0], type);
	ck_assert_uint_eq(icmp[1], code);
	ck_assert_uint_eq(sim_sum(0, icmp, frame->size - 34), 0xffff);
	ck_assert_uint_eq(sim_sum(0, frame->bytes + 14, 20), 0xffff);
	ck_assert_mem_eq(icmp + 8 + 12, "\xc0\xa8\x41\x02", 4);
	ck_assert_uint_le(frame->size, 14 + 576);
	sim_frame_free(frame);
}

/* ---- ARP ---- */

static void arp(const char *sender, const char *target)
{
	struct addr from = net_addr(sender), to = net_addr(target);

	sim_link_inject(w.net.link, bytes, sim_packet_arp(&net_guest_mac, &from, &to, bytes));
}

static void expect_arp_reply(const char *target)
{
	struct addr addr = net_addr(target);
	struct sim_frame *frame = take();

	ck_assert_ptr_nonnull(frame);
	ck_assert_uint_eq(be16(frame->bytes + 12), 0x0806);
	ck_assert_uint_eq(be16(frame->bytes + 20), 2);
	ck_assert_mem_eq(frame->bytes, net_guest_mac.bytes, 6);
	ck_assert_mem_eq(frame->bytes + 22, net_gateway_mac.bytes, 6);
	ck_assert_mem_eq(frame->bytes + 28, &addr.v4, 4);
	sim_frame_free(frame);
}

START_TEST(arp_is_answered_for_our_addresses_only)
{
	struct addr guest = net_addr("192.168.65.2");
	struct mac mac;

	arp("192.168.65.2", "192.168.65.1");
	expect_arp_reply("192.168.65.1");
	arp("192.168.65.2", "192.168.65.254");
	expect_arp_reply("192.168.65.254");
	arp("192.168.65.2", "192.168.65.3");
	expect_nothing();
	arp("192.168.65.2", "10.0.0.1");
	expect_nothing();
	ck_assert(stack_neighbour(w.net.stack, &guest, &mac));
	ck_assert(mac_equal(&mac, &net_guest_mac));
}
END_TEST

START_TEST(arp_probe_is_answered_and_not_learned)
{
	struct addr any = net_addr("0.0.0.0");
	struct mac mac;

	arp("0.0.0.0", "192.168.65.1");
	expect_arp_reply("192.168.65.1");
	ck_assert(!stack_neighbour(w.net.stack, &any, &mac));
}
END_TEST

START_TEST(our_addresses_cannot_be_claimed)
{
	static const char *const ours[] = {"192.168.65.1", "192.168.65.254"};
	struct mac mac;

	for (unsigned i = 0; i < 2; i++) {
		struct addr addr = net_addr(ours[i]);
		struct sim_packet packet = packet_to("192.168.65.1", IPPROTO_UDP);

		arp(ours[i], "192.168.65.1");
		arp(ours[i], ours[i]);
		packet.src = addr;
		inject(&packet);
		expect_nothing();
		ck_assert(!stack_neighbour(w.net.stack, &addr, &mac));
	}
	ck_assert_uint_eq(stack_counters(w.net.stack).rx_spoofed, 6);
	ck_assert_uint_eq(w.datagrams, 0);
}
END_TEST

START_TEST(arp_that_is_cut_or_strange)
{
	struct addr from = net_addr("192.168.65.2"), to = net_addr("192.168.65.1");
	size_t size = sim_packet_arp(&net_guest_mac, &from, &to, bytes);

	for (size_t cut = 14; cut < size; cut++)
		sim_link_inject(w.net.link, bytes, cut);
	for (size_t at = 14; at < 20; at++) {
		sim_packet_arp(&net_guest_mac, &from, &to, bytes);
		bytes[at] ^= 0x40;
		sim_link_inject(w.net.link, bytes, size);
	}
	expect_nothing();
}
END_TEST

/* ---- Neighbours ---- */

START_TEST(packet_is_held_until_the_guest_answers_arp)
{
	struct endpoint from = {.addr = net_addr("10.0.0.1"), .port = 53};
	struct endpoint to = {.addr = net_addr("192.168.65.2"), .port = 1000};
	struct sim_frame *frame;

	ck_assert_int_eq(stack_send_udp(w.net.stack, &from, &to, NULL, 64, 0, "held", 4), 0);
	frame = take();
	ck_assert_uint_eq(be16(frame->bytes + 12), 0x0806);
	ck_assert_uint_eq(be16(frame->bytes + 20), 1);
	ck_assert_mem_eq(frame->bytes + 38, &to.addr.v4, 4);
	ck_assert_mem_eq(frame->bytes, mac_broadcast.bytes, 6);
	sim_frame_free(frame);
	/* No second question at once. */
	stack_send_udp(w.net.stack, &from, &to, NULL, 64, 0, "last", 4);
	expect_nothing();
	arp("192.168.65.2", "192.168.65.3"); /* it speaks: that is enough */
	frame = take();
	ck_assert_uint_eq(frame->size, 14 + 28 + 4);
	ck_assert_mem_eq(frame->bytes, net_guest_mac.bytes, 6);
	ck_assert_mem_eq(frame->bytes + 42, "last", 4);
	ck_assert(sim_packet_csum_ok(frame->bytes, frame->size));
	sim_frame_free(frame);
	expect_nothing();
}
END_TEST

START_TEST(outside_of_the_network_nobody_is_asked)
{
	struct endpoint from = {.addr = net_addr("10.0.0.1"), .port = 53};
	struct endpoint to = {.addr = net_addr("172.16.0.1"), .port = 1000};

	ck_assert_int_eq(stack_send_udp(w.net.stack, &from, &to, NULL, 64, 0, "x", 1), 0);
	expect_nothing();
	ck_assert_uint_eq(stack_counters(w.net.stack).tx_no_neighbour, 1);
}
END_TEST

/* ---- ICMP ---- */

static struct sim_packet echo(const char *dst, uint8_t *icmp, size_t size)
{
	struct sim_packet packet = packet_to(dst, IPPROTO_ICMP);
	uint16_t sum;

	memset(icmp, 'e', size);
	memcpy(icmp, "\x08\0\0\0\x12\x34\0\x07", 8);
	sum = (uint16_t)~sim_sum(0, icmp, size);
	icmp[2] = (uint8_t)(sum >> 8);
	icmp[3] = (uint8_t)sum;
	packet.payload = icmp;
	packet.payload_size = size;
	return packet;
}

START_TEST(gateway_answers_ping)
{
	uint8_t icmp[100];
	struct sim_packet packet = echo("192.168.65.1", icmp, sizeof(icmp));
	struct sim_frame *frame;

	inject(&packet);
	frame = take();
	ck_assert_ptr_nonnull(frame);
	ck_assert_uint_eq(frame->size, 134);
	ck_assert_uint_eq(frame->bytes[34], 0);
	ck_assert_mem_eq(frame->bytes + 38, icmp + 4, 96);
	ck_assert_uint_eq(sim_sum(0, frame->bytes + 34, 100), 0xffff);
	sim_frame_free(frame);
	ck_assert_uint_eq(w.echoes, 0);
	packet = echo("8.8.8.8", icmp, sizeof(icmp));
	inject(&packet);
	packet = echo("192.168.65.254", icmp, sizeof(icmp));
	inject(&packet);
	ck_assert_uint_eq(w.echoes, 2);
	expect_nothing();
}
END_TEST

START_TEST(ping_with_a_wrong_checksum)
{
	uint8_t icmp[100];
	struct sim_packet packet = echo("192.168.65.1", icmp, sizeof(icmp));

	icmp[50] ^= 1;
	inject(&packet);
	expect_nothing();
	ck_assert_uint_eq(stack_counters(w.net.stack).rx_invalid, 1);
	icmp[50] ^= 1;
	packet.payload_size = 6; /* cut in its header */
	inject(&packet);
	expect_nothing();
}
END_TEST

START_TEST(time_exceeded)
{
	struct sim_packet packet = packet_to("10.0.0.1", IPPROTO_UDP);
	uint8_t icmp[64];

	packet.ttl = 1;
	inject(&packet);
	ck_assert_uint_eq(w.datagrams, 0);
	expect_icmp(11, 0);
	packet = packet_to("10.0.0.1", IPPROTO_TCP);
	packet.ttl = 1;
	packet.flags = SIM_TCP_SYN;
	inject(&packet);
	expect_icmp(11, 0);
	packet = echo("10.0.0.1", icmp, sizeof(icmp));
	packet.ttl = 1;
	inject(&packet);
	expect_icmp(11, 0);
	ck_assert_uint_eq(w.syns + w.echoes, 0);
	/* Ourselves, it reached. */
	packet = packet_to("192.168.65.1", IPPROTO_UDP);
	packet.ttl = 1;
	inject(&packet);
	ck_assert_uint_eq(w.datagrams, 1);
	expect_nothing();
}
END_TEST

START_TEST(what_icmp_errors_must_not_answer)
{
	uint8_t icmp[64];
	struct sim_packet packet;

	/* An ICMP error. */
	packet = echo("10.0.0.1", icmp, sizeof(icmp));
	icmp[0] = 3;
	icmp[2] = icmp[3] = 0;
	packet.ttl = 1;
	inject(&packet);
	expect_nothing();
	/* Broadcasts. */
	w.reject = true;
	packet = packet_to("192.168.65.255", IPPROTO_UDP);
	inject(&packet);
	packet = packet_to("255.255.255.255", IPPROTO_UDP);
	inject(&packet);
	ck_assert_uint_eq(w.datagrams, 2);
	expect_nothing();
	packet = echo("192.168.65.255", icmp, sizeof(icmp));
	inject(&packet);
	expect_nothing();
	packet = packet_to("224.0.0.251", IPPROTO_UDP);
	inject(&packet);
	expect_nothing();
	ck_assert_uint_eq(w.datagrams, 2);
}
END_TEST

START_TEST(icmp_errors_are_limited)
{
	struct sim_packet packet = packet_to("192.168.65.1", IPPROTO_UDP);
	unsigned sent;

	w.reject = true;
	for (unsigned second = 0; second < 3; second++) {
		for (unsigned i = 0; i < 1000; i++)
			inject(&packet);
		net_run(&w.net);
		sent = sim_link_drop_all(w.net.link);
		ck_assert_uint_gt(sent, 50);
		ck_assert_uint_le(sent, 200);
		net_advance(&w.net, 1000);
	}
	ck_assert_uint_eq(w.datagrams, 3000);
}
END_TEST

START_TEST(unknown_protocol)
{
	struct sim_packet packet = packet_to("10.0.0.1", 99);

	inject(&packet);
	expect_icmp(3, 2);
}
END_TEST

START_TEST(another_guests_address)
{
	struct sim_packet packet = packet_to("192.168.65.7", IPPROTO_TCP);

	packet.flags = SIM_TCP_SYN;
	arp("192.168.65.2", "192.168.65.3");
	inject(&packet);
	expect_icmp(3, 1);
	ck_assert_uint_eq(w.syns, 0);
}
END_TEST

/* ---- Sources ---- */

START_TEST(wrong_sources)
{
	static const char *const wrong[] = {"10.0.0.9",       "127.0.0.1",       "192.168.66.2",
					    "192.168.65.255", "255.255.255.255", "224.0.0.1",
					    "192.168.65.0"};
	struct sim_packet packet;

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		packet = packet_to("10.0.0.1", IPPROTO_UDP);
		packet.src = net_addr(wrong[i]);
		inject(&packet);
		packet = packet_to("10.0.0.1", IPPROTO_TCP);
		packet.flags = SIM_TCP_SYN;
		packet.src = net_addr(wrong[i]);
		inject(&packet);
		ck_assert_uint_eq(stack_counters(w.net.stack).rx_spoofed, 2 * i + 2);
	}
	/* Without an address: to anywhere but the gateway, wrong too. */
	packet = packet_to("8.8.8.8", IPPROTO_UDP);
	packet.src = net_addr("0.0.0.0");
	inject(&packet);
	ck_assert_uint_eq(w.datagrams + w.syns, 0);
	expect_nothing();
}
END_TEST

START_TEST(dhcp_reaches_us)
{
	struct sim_packet packet = packet_to("255.255.255.255", IPPROTO_UDP);

	packet.src = net_addr("0.0.0.0");
	packet.dst_mac = mac_broadcast;
	packet.src_port = 68;
	packet.dst_port = 67;
	inject(&packet);
	ck_assert_uint_eq(w.datagrams, 1);
	ck_assert_uint_eq(w.dst.port, 67);
}
END_TEST

START_TEST(udp_that_lies)
{
	struct sim_packet packet = packet_to("10.0.0.1", IPPROTO_UDP);
	size_t size;

	packet.payload = (const uint8_t *)"hello";
	packet.payload_size = 5;
	/* A checksum of its own, then none. */
	size = sim_packet_build(&packet, bytes);
	bytes[40] ^= 0x11;
	sim_link_inject(w.net.link, bytes, size);
	ck_assert_uint_eq(w.datagrams, 0);
	bytes[40] = bytes[41] = 0;
	sim_link_inject(w.net.link, bytes, size);
	ck_assert_uint_eq(w.datagrams, 1);
	ck_assert_uint_eq(w.size, 5);
	/* Lengths. */
	for (unsigned length = 0; length < 200; length++) {
		size = sim_packet_build(&packet, bytes);
		bytes[38] = 0;
		bytes[39] = (uint8_t)length;
		bytes[40] = bytes[41] = 0;
		sim_link_inject(w.net.link, bytes, size);
		if (length >= 8 && length <= 13)
			ck_assert_uint_eq(w.size, length - 8);
	}
	ck_assert_uint_eq(w.datagrams, 1 + 6);
	packet.dst_port = 0;
	inject(&packet);
	ck_assert_uint_eq(w.datagrams, 1 + 6);
}
END_TEST

START_TEST(ip_options_are_skipped)
{
	struct sim_packet packet = packet_to("10.0.0.1", IPPROTO_UDP);
	uint8_t *ip = bytes + 14;
	size_t size;
	uint16_t sum;

	packet.payload = (const uint8_t *)"hello";
	packet.payload_size = 5;
	size = sim_packet_build(&packet, bytes);
	memmove(ip + 60, ip + 20, size - 34);
	memset(ip + 20, 1, 40);
	ip[0] = 0x4f;
	ip[3] = (uint8_t)(ip[3] + 40);
	ip[10] = ip[11] = 0;
	sum = (uint16_t)~sim_sum(0, ip, 60);
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
	sim_link_inject(w.net.link, bytes, size + 40);
	ck_assert_uint_eq(w.datagrams, 1);
	ck_assert_mem_eq(w.payload, "hello", 5);
}
END_TEST

/* ---- Fragments ---- */

static uint8_t whole[SIM_PACKET_MAX];

/* Injects bytes [from, to) of the packet in `whole` as a fragment. */
static void fragment(size_t from, size_t to, bool more)
{
	uint8_t *ip = bytes + 14;
	uint16_t sum, field = (uint16_t)(from / 8 | (more ? 0x2000 : 0));

	memcpy(bytes, whole, 34);
	memcpy(bytes + 34, whole + 34 + from, to - from);
	ip[2] = (uint8_t)((20 + to - from) >> 8);
	ip[3] = (uint8_t)(20 + to - from);
	ip[6] = (uint8_t)(field >> 8);
	ip[7] = (uint8_t)field;
	ip[10] = ip[11] = 0;
	sum = (uint16_t)~sim_sum(0, ip, 20);
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
	sim_link_inject(w.net.link, bytes, 34 + to - from);
}

static size_t make_whole(size_t payload_size, uint16_t id)
{
	static uint8_t payload[65536];
	struct sim_packet packet = packet_to("10.0.0.1", IPPROTO_UDP);

	for (size_t i = 0; i < payload_size; i++)
		payload[i] = sim_tcp_byte(i);
	packet.payload = payload;
	packet.payload_size = payload_size;
	packet.ip_id = id;
	return sim_packet_build(&packet, whole) - 34;
}

static void expect_whole(size_t payload_size)
{
	ck_assert_uint_eq(w.datagrams, 1);
	ck_assert_uint_eq(w.size, payload_size);
	for (size_t i = 0; i < payload_size; i++)
		ck_assert_uint_eq(w.payload[i], sim_tcp_byte(i));
}

START_TEST(fragments_in_any_order)
{
	static const unsigned orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}};
	static const size_t ends[] = {0, 1480, 2960, 4008};

	ck_assert_uint_eq(make_whole(4000, 7), 4008);
	for (unsigned i = 0; i < 3; i++) {
		unsigned part = orders[_i][i];

		ck_assert_uint_eq(w.datagrams, 0);
		fragment(ends[part], ends[part + 1], part != 2);
	}
	expect_whole(4000);
}
END_TEST

START_TEST(largest_datagram)
{
	size_t size = make_whole(65507, 8);

	for (size_t at = 0; at < size; at += 1480)
		fragment(at, at + 1480 < size ? at + 1480 : size, at + 1480 < size);
	expect_whole(65507);
}
END_TEST

START_TEST(fragments_that_overlap_or_repeat)
{
	make_whole(4000, 9);
	fragment(0, 1480, true);
	fragment(0, 1480, true);
	fragment(800, 2400, true);
	fragment(2960, 4008, false);
	fragment(1480, 2960, true);
	/* Taken or not, never anything but what was sent. */
	if (w.datagrams)
		expect_whole(4000);
}
END_TEST

START_TEST(fragments_beyond_64k)
{
	make_whole(60000, 10);
	fragment(0, 1480, true);
	/* The last possible offset: its end is beyond any packet's. */
	memcpy(bytes, whole, 34);
	for (unsigned i = 0; i < 3; i++) {
		uint8_t *ip = bytes + 14;
		uint16_t sum;

		ip[2] = 5;
		ip[3] = 0xdc;
		ip[6] = i & 1 ? 0x3f : 0x1f;
		ip[7] = 0xff;
		ip[10] = ip[11] = 0;
		sum = (uint16_t)~sim_sum(0, ip, 20);
		ip[10] = (uint8_t)(sum >> 8);
		ip[11] = (uint8_t)sum;
		sim_link_inject(w.net.link, bytes, 1514);
	}
	ck_assert_uint_eq(w.datagrams, 0);
}
END_TEST

START_TEST(missing_fragment_times_out)
{
	make_whole(4000, 11);
	fragment(0, 1480, true);
	fragment(2960, 4008, false);
	net_advance(&w.net, 40000);
	/* Too late. */
	fragment(1480, 2960, true);
	ck_assert_uint_eq(w.datagrams, 0);
	net_advance(&w.net, 40000);
	for (size_t at = 0; at < 4008; at += 1480)
		fragment(at, at + 1480 < 4008 ? at + 1480 : 4008, at + 1480 < 4008);
	expect_whole(4000);
}
END_TEST

START_TEST(many_first_fragments)
{
	for (unsigned i = 0; i < 5000; i++) {
		make_whole(4000, (uint16_t)(100 + i));
		fragment(0, 1480, true);
	}
	ck_assert_uint_eq(w.datagrams, 0);
	make_whole(4000, 50);
	fragment(0, 1480, true);
	fragment(1480, 2960, true);
	fragment(2960, 4008, false);
	expect_whole(4000);
}
END_TEST

/* ---- To guests ---- */

START_TEST(udp_is_fragmented_at_the_mtu)
{
	static uint8_t payload[5000];
	struct endpoint from = {.addr = net_addr("10.0.0.1"), .port = 53};
	struct endpoint to = {.addr = net_addr("192.168.65.2"), .port = 1000};
	struct sim_frame *frame;
	size_t at = 0;

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	stack_learn(w.net.stack, &to.addr, &net_guest_mac);
	ck_assert_int_eq(stack_send_udp(w.net.stack, &from, &to, NULL, 64, 0, payload, 5000), 0);
	while ((frame = take())) {
		const uint8_t *ip = frame->bytes + 14;
		size_t size = be16(ip + 2) - 20u;
		size_t skip = at ? 0 : 8;

		ck_assert_uint_le(frame->size, 1514);
		ck_assert_uint_eq(sim_sum(0, ip, 20), 0xffff);
		ck_assert_uint_eq((be16(ip + 6) & 0x1fff) * 8, at);
		ck_assert_uint_eq(ip[6] >> 5, at + size < 5008 ? 1 : 0);
		ck_assert_mem_eq(ip + 20 + skip, payload + (at ? at - 8 : 0), size - skip);
		at += size;
		sim_frame_free(frame);
	}
	ck_assert_uint_eq(at, 5008);
	ck_assert_int_eq(stack_send_udp(w.net.stack, &from, &to, NULL, 64, 0, payload, 65508),
			 -EMSGSIZE);
}
END_TEST

START_TEST(udp_to_a_full_link)
{
	struct endpoint from = {.addr = net_addr("10.0.0.1"), .port = 53};
	struct endpoint to = {.addr = net_addr("192.168.65.2"), .port = 1000};

	arp("192.168.65.2", "192.168.65.3");
	sim_link_set_full(w.net.link, true);
	ck_assert_int_eq(stack_send_udp(w.net.stack, &from, &to, NULL, 64, 0, "x", 1), -EAGAIN);
	ck_assert_uint_eq(stack_counters(w.net.stack).tx_full, 1);
	sim_link_set_full(w.net.link, false);
	ck_assert_int_eq(stack_send_udp(w.net.stack, &from, &to, NULL, 64, 0, "x", 1), 0);
}
END_TEST

START_TEST(one_stack_in_a_process)
{
	struct stack_conf conf = net_conf();
	struct stack *second;

	ck_assert_int_eq(stack_new(w.net.loop, &conf, &handler, NULL, &second), -EBUSY);
}
END_TEST

START_TEST(configuration_is_checked)
{
	struct stack_conf conf = net_conf();
	struct stack *stack;

	conf.mtu = STACK_MTU_MIN - 1;
	ck_assert_int_eq(stack_new(w.net.loop, &conf, &handler, NULL, &stack), -EINVAL);
	conf = net_conf();
	conf.mtu = STACK_MTU_MAX + 1;
	ck_assert_int_eq(stack_new(w.net.loop, &conf, &handler, NULL, &stack), -EINVAL);
	conf = net_conf();
	conf.alias = conf.gateway;
	ck_assert_int_eq(stack_new(w.net.loop, &conf, &handler, NULL, &stack), -EINVAL);
	conf = net_conf();
	conf.gateway = net_addr("10.0.0.1");
	ck_assert_int_eq(stack_new(w.net.loop, &conf, &handler, NULL, &stack), -EINVAL);
	conf = net_conf();
	conf.conns_max = 0;
	ck_assert_int_eq(stack_new(w.net.loop, &conf, &handler, NULL, &stack), -EINVAL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		arp_is_answered_for_our_addresses_only,
		arp_probe_is_answered_and_not_learned,
		our_addresses_cannot_be_claimed,
		arp_that_is_cut_or_strange,
		packet_is_held_until_the_guest_answers_arp,
		outside_of_the_network_nobody_is_asked,
		gateway_answers_ping,
		ping_with_a_wrong_checksum,
		time_exceeded,
		what_icmp_errors_must_not_answer,
		icmp_errors_are_limited,
		unknown_protocol,
		another_guests_address,
		wrong_sources,
		dhcp_reaches_us,
		udp_that_lies,
		ip_options_are_skipped,
		largest_datagram,
		fragments_that_overlap_or_repeat,
		fragments_beyond_64k,
		missing_fragment_times_out,
		many_first_fragments,
		udp_is_fragmented_at_the_mtu,
		udp_to_a_full_link,
		one_stack_in_a_process,
		configuration_is_checked,
		NULL,
	};
	Suite *suite = suite_create("stack");
	TCase *tcase = unit_case(suite, "stack", setup, teardown);

	unit_add(tcase, tests);
	tcase_add_loop_test(tcase, fragments_in_any_order, 0, 4);
	return unit_run(suite);
}
