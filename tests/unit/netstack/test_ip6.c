/* SPDX-License-Identifier: Apache-2.0 */
/* IPv6 in the stack: whose packets are taken, errors, and what goes out. Extension headers and
 * fragments are in test_ip6_headers.c, neighbour discovery is in test_nd.c, TCP in test_conn.c. */
#include <errno.h>

#include "ip6_test.h"
#include "unit.h"

/* ---- Echo ---- */

START_TEST(we_answer_ping)
{
	static const struct {
		const char *src, *dst, *from;
	} cases[] = {
		{GUEST6, GATEWAY6, GATEWAY6},        {GUEST6, OUR_LOCAL, OUR_LOCAL},
		{GUEST_LOCAL, OUR_LOCAL, OUR_LOCAL}, {GUEST_LOCAL, GATEWAY6, GATEWAY6},
		{GUEST_LOCAL, "ff02::1", OUR_LOCAL}, {GUEST_LOCAL, "ff02::2", OUR_LOCAL},
	};
	struct sim_frame *frame;

	ping6(cases[_i].src, cases[_i].dst);
	frame = expect_icmp6(cases[_i].from, cases[_i].src, 129, 0);
	ck_assert_uint_eq(frame->size, ICMP_AT + 12);
	ck_assert_mem_eq(frame->bytes + ICMP_AT + 4, "\x12\x34\0\7ping", 8);
	ck_assert_uint_eq(frame->bytes[IP6_AT + 7], 64);
	ck_assert_mem_eq(frame->bytes, net_guest_mac.bytes, 6);
	sim_frame_free(frame);
	ck_assert_uint_eq(w.echoes, 0);
}
END_TEST

START_TEST(other_pings_are_the_handlers)
{
	static const char *const others[] = {FAR6, ALIAS6};
	struct addr dst = net_addr(others[_i]), src = net_addr(GUEST6);
	uint8_t payload[4];

	ping6(GUEST6, others[_i]);
	expect_nothing();
	ck_assert_uint_eq(w.echoes, 1);
	ck_assert(addr_equal(&w.echo.src, &src) && addr_equal(&w.echo.dst, &dst));
	ck_assert_uint_eq(w.echo.id, 0x1234);
	ck_assert_uint_eq(w.echo.sequence, 7);
	ck_assert_uint_eq(w.echo.size, 4);
	ck_assert_uint_eq(w.echo.ttl, 64);
	ck_assert(w.echo.dont_fragment);
	memcpy(payload, "pong", 4);
	stack_send_echo_reply(w.net.stack, &dst, &src, 0x1234, 7, 50, 0x20, payload, 4);
	{
		struct sim_frame *frame = expect_icmp6(others[_i], GUEST6, 129, 0);

		ck_assert_mem_eq(frame->bytes + ICMP_AT + 4, "\x12\x34\0\7pong", 8);
		ck_assert_uint_eq(frame->bytes[IP6_AT + 7], 50);
		ck_assert_uint_eq(be32(frame->bytes + IP6_AT) >> 20, 0x620);
		sim_frame_free(frame);
	}
}
END_TEST

START_TEST(ping_with_a_wrong_checksum)
{
	static const uint8_t echo[] = {128, 0, 0, 0, 0, 1, 0, 1};
	size_t size = build_icmp6(GUEST6, GATEWAY6, 64, echo, sizeof(echo));
	struct frame state = {.csum = FRAME_CSUM_VALID};

	bytes[ICMP_AT + 7] ^= 1;
	sim_link_inject(w.net.link, bytes, size);
	sim_link_inject_state(w.net.link, bytes, size, &state);
	expect_nothing();
	ck_assert_uint_eq(counters().rx_invalid, 2);
}
END_TEST

/* ---- Whose packets, and to where ---- */

START_TEST(sources_that_are_nobodys)
{
	static const char *const wrong[] = {
		GATEWAY6, ALIAS6,    OUR_LOCAL,   "::",         "2001:db8::1",
		"::1",    "ff02::1", "fd00:65::", "fd00:66::2", "::ffff:192.168.65.2"};
	struct addr src = net_addr(wrong[_i]);
	struct sim_packet packet = packet6(wrong[_i], FAR6, IPPROTO_UDP);
	struct mac mac;

	inject(&packet);
	ping6(wrong[_i], GATEWAY6);
	packet.protocol = IPPROTO_TCP;
	packet.flags = SIM_TCP_SYN;
	inject(&packet);
	expect_nothing();
	ck_assert_uint_eq(w.datagrams + w.echoes + w.syns, 0);
	ck_assert_uint_eq(counters().rx_spoofed, 3);
	ck_assert(!stack_neighbour(w.net.stack, &src, &mac));
}
END_TEST

START_TEST(unspecified_source_only_asks)
{
	struct sim_packet packet = packet6("::", "ff02::1:2", IPPROTO_UDP);

	inject(&packet);
	ping6("::", "ff02::1");
	expect_nothing();
	ck_assert_uint_eq(w.datagrams, 0);
	ck_assert_uint_eq(counters().rx_spoofed, 2);
}
END_TEST

START_TEST(sources_are_learned)
{
	struct addr src = net_addr("fd00:65::77");
	struct mac mac;

	ping6("fd00:65::77", FAR6);
	ck_assert(stack_neighbour(w.net.stack, &src, &mac));
	ck_assert(mac_equal(&mac, &net_guest_mac));
}
END_TEST

START_TEST(groups)
{
	static const struct {
		const char *dst;
		unsigned datagrams;
	} cases[] = {{"ff02::1:2", 1}, {"ff02::1", 0}, {"ff02::2", 0},       {"ff02::fb", 0},
		     {"ff05::1:3", 0}, {"ff0e::1", 0}, {"ff02::1:ff00:1", 0}};
	struct sim_packet packet = packet6(GUEST_LOCAL, cases[_i].dst, IPPROTO_UDP);

	packet.dst_port = 547;
	inject(&packet);
	packet.protocol = IPPROTO_TCP;
	packet.flags = SIM_TCP_SYN;
	inject(&packet);
	expect_nothing();
	ck_assert_uint_eq(w.datagrams, cases[_i].datagrams);
	ck_assert_uint_eq(w.syns, 0);
	if (cases[_i].datagrams)
		ck_assert(addr_equal(&w.dst.addr, &packet.dst));
	ck_assert_uint_eq(counters().rx_unroutable, 2 - cases[_i].datagrams);
}
END_TEST

START_TEST(flooded_unicast_is_not_ours)
{
	struct sim_packet packet = packet6(GUEST6, FAR6, IPPROTO_UDP);

	packet.dst_mac = mac_broadcast;
	inject(&packet);
	packet.dst_mac = (struct mac){{0x33, 0x33, 0, 0, 0, 1}};
	inject(&packet);
	expect_nothing();
	ck_assert_uint_eq(w.datagrams, 0);
	ck_assert_uint_eq(counters().rx_unroutable, 2);
}
END_TEST

START_TEST(link_local_stays_on_the_link)
{
	struct sim_packet packet = packet6(GUEST_LOCAL, FAR6, IPPROTO_UDP);
	struct sim_frame *frame;

	inject(&packet);
	frame = expect_icmp6(OUR_LOCAL, GUEST_LOCAL, 1, 2);
	sim_frame_free(frame);
	packet.dst = net_addr("fe80::99");
	inject(&packet);
	packet.src = net_addr(GUEST6);
	inject(&packet);
	expect_nothing();
	ck_assert_uint_eq(w.datagrams, 0);
	packet.dst = net_addr(OUR_LOCAL);
	inject(&packet);
	ck_assert_uint_eq(w.datagrams, 1);
}
END_TEST

START_TEST(another_guests_address)
{
	struct sim_packet packet = packet6(GUEST6, "fd00:65::3", IPPROTO_TCP);

	packet.flags = SIM_TCP_SYN;
	inject(&packet);
	expect_error6(1, 3, 0);
	ck_assert_uint_eq(w.syns, 0);
	/* UDP may be an answer to a published port's client. */
	packet.protocol = IPPROTO_UDP;
	inject(&packet);
	ck_assert_uint_eq(w.datagrams, 1);
}
END_TEST

START_TEST(time_exceeded)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
	static uint8_t payload[1400];
	struct sim_packet packet = packet6(GUEST6, FAR6, protocols[_i / 2]);

	packet.ttl = 1 - _i % 2;
	packet.flags = SIM_TCP_SYN;
	packet.payload = payload;
	packet.payload_size = sizeof(payload);
	packet.ttl = 1;
	inject(&packet);
	expect_error6(3, 0, 0);
	packet.dst = net_addr(GATEWAY6);
	inject(&packet);
	ck_assert_uint_eq(w.syns + w.datagrams, 1);
}
END_TEST

/* ---- UDP ---- */

START_TEST(udp_comes_as_it_is)
{
	struct sim_packet packet = packet6(GUEST6, FAR6, IPPROTO_UDP);

	packet.payload = (const uint8_t *)"hello";
	packet.payload_size = 5;
	packet.padding = 20;
	inject(&packet);
	packet.partial = true;
	sim_link_inject_state(w.net.link, bytes, sim_packet_build(&packet, bytes),
			      &(struct frame){.csum = FRAME_CSUM_PARTIAL,
					      .csum_start = EXT_AT,
					      .csum_offset = 6});
	ck_assert_uint_eq(w.datagrams, 2);
	ck_assert_uint_eq(w.size, 5);
	ck_assert_mem_eq(w.payload, "hello", 5);
	ck_assert(addr_equal(&w.src.addr, &packet.src) && addr_equal(&w.dst.addr, &packet.dst));
	ck_assert_uint_eq(w.src.port, 1000);
	ck_assert_uint_eq(w.dst.port, 2000);
}
END_TEST

START_TEST(udp_without_checksum)
{
	struct sim_packet packet = packet6(GUEST6, FAR6, IPPROTO_UDP);
	struct frame state = {.csum = FRAME_CSUM_VALID};
	size_t size = sim_packet_build(&packet, bytes);

	put_be16(bytes + EXT_AT + 6, 0);
	sim_link_inject(w.net.link, bytes, size);
	sim_link_inject_state(w.net.link, bytes, size, &state);
	/* One that would be right, but for the zero: the sum of the rest is 0xffff. */
	packet.src_port = 0;
	size = sim_packet_build(&packet, bytes);
	put_be16(bytes + EXT_AT, be16(bytes + EXT_AT + 6));
	put_be16(bytes + EXT_AT + 6, 0);
	ck_assert_uint_eq(sum6(bytes, size, 0, IPPROTO_UDP), 0xffff);
	sim_link_inject(w.net.link, bytes, size);
	expect_nothing();
	ck_assert_uint_eq(w.datagrams, 0);
	ck_assert_uint_eq(counters().rx_invalid, 3);
}
END_TEST

START_TEST(port_unreachable)
{
	static uint8_t payload[1452];
	struct sim_packet packet = packet6(GUEST6, FAR6, IPPROTO_UDP);

	w.reject = true;
	packet.payload = payload;
	packet.payload_size = sizeof(payload);
	inject(&packet);
	expect_error6(1, 4, 0);
}
END_TEST

/* ---- Errors ---- */

START_TEST(every_unreachable)
{
	static const struct {
		enum stack_unreachable code;
		uint8_t type, code6;
		uint32_t rest;
	} cases[] = {
		{STACK_UNREACH_NET, 1, 0, 0},
		{STACK_UNREACH_HOST, 1, 3, 0},
		{STACK_UNREACH_PORT, 1, 4, 0},
		{STACK_UNREACH_ADMIN, 1, 1, 0},
	};
	size_t size = build_udp(FAR6) - IP6_AT;

	stack_send_unreachable(w.net.stack, cases[_i].code, bytes + IP6_AT, size);
	expect_error6(cases[_i].type, cases[_i].code6, cases[_i].rest);
	stack_send_icmp_error(w.net.stack, NULL, 2, 0, 1300, bytes + IP6_AT, size);
	expect_error6(2, 0, 1300);
}
END_TEST

START_TEST(error_from_another_router)
{
	struct addr from = net_addr("2001:db8::ffff");
	size_t size = build_udp(FAR6) - IP6_AT;
	struct sim_frame *frame;

	stack_send_icmp_error(w.net.stack, &from, 3, 0, 0, bytes + IP6_AT, size);
	frame = expect_icmp6("2001:db8::ffff", GUEST6, 3, 0);
	sim_frame_free(frame);
}
END_TEST

/* RFC 4443, 2.4 e. */
START_TEST(what_errors_must_not_answer)
{
	static const uint8_t types[] = {1, 2, 3, 4, 100, 127, 137};
	static const uint8_t fragment[] = {0, 0, 0, 8, 0, 0, 0, 1};
	static const uint8_t headers[] = {0, 0, 1, 4, 0, 0, 0, 0};
	uint8_t message[8] = {0};
	size_t size;

	for (unsigned i = 0; i < sizeof(types); i++) {
		message[0] = types[i];
		size = build_icmp6(GUEST6, FAR6, 64, message, 8);
		stack_send_unreachable(w.net.stack, STACK_UNREACH_NET, bytes + IP6_AT,
				       size - IP6_AT);
		size = insert_headers(size, 60, headers, 8, 0);
		stack_send_unreachable(w.net.stack, STACK_UNREACH_NET, bytes + IP6_AT,
				       size - IP6_AT);
		expect_nothing();
	}
	size = insert_headers(build_udp(FAR6), 44, fragment, 8, 0);
	stack_send_unreachable(w.net.stack, STACK_UNREACH_NET, bytes + IP6_AT, size - IP6_AT);
	size = build_udp("ff02::1:2");
	stack_send_unreachable(w.net.stack, STACK_UNREACH_PORT, bytes + IP6_AT, size - IP6_AT);
	size = build_udp(FAR6);
	stack_send_unreachable(w.net.stack, STACK_UNREACH_PORT, bytes + IP6_AT, 39);
	stack_send_unreachable(w.net.stack, STACK_UNREACH_PORT, bytes + IP6_AT, 0);
	memset(bytes + IP6_AT + 8, 0, 16);
	stack_send_unreachable(w.net.stack, STACK_UNREACH_PORT, bytes + IP6_AT, size - IP6_AT);
	expect_nothing();
	/* An echo request may be answered. */
	message[0] = 128;
	size = build_icmp6(GUEST6, FAR6, 64, message, 8);
	stack_send_unreachable(w.net.stack, STACK_UNREACH_NET, bytes + IP6_AT, size - IP6_AT);
	expect_error6(1, 0, 0);
}
END_TEST

START_TEST(errors_are_limited)
{
	size_t size = build_udp(FAR6) - IP6_AT;

	for (unsigned i = 0; i < 1000; i++)
		stack_send_unreachable(w.net.stack, STACK_UNREACH_PORT, bytes + IP6_AT, size);
	ck_assert_uint_eq(sim_link_drop_all(w.net.link), 200);
	net_advance(&w.net, 1000);
	stack_send_unreachable(w.net.stack, STACK_UNREACH_PORT, bytes + IP6_AT, size);
	expect_error6(1, 4, 0);
}
END_TEST

/* ---- Out ---- */

START_TEST(udp_is_fragmented_at_the_mtu)
{
	static const size_t sizes[] = {1452, 1453, 5000, 65527};
	static uint8_t payload[65527], got[65536];
	struct endpoint src = {.addr = net_addr(FAR6), .port = 53};
	struct endpoint dst = {.addr = net_addr(GUEST6), .port = 1000};
	size_t size = sizes[_i], offset = 0;
	uint32_t id = 0;
	struct sim_frame *frame;

	for (size_t i = 0; i < size; i++)
		payload[i] = (uint8_t)(i * 11 + i / 256);
	ck_assert_int_eq(stack_send_udp(w.net.stack, &src, &dst, NULL, 60, 0, payload, size), 0);
	while ((frame = take())) {
		size_t headers = size > 1452 ? EXT_AT + 8 : EXT_AT;
		const uint8_t *fragment = frame->bytes + EXT_AT;

		ck_assert_uint_le(frame->size, 14 + 1500);
		ck_assert_uint_eq(be16(frame->bytes + IP6_AT + 4) + EXT_AT, frame->size);
		if (size > 1452) {
			ck_assert_uint_eq(frame->bytes[IP6_AT + 6], IPPROTO_FRAGMENT);
			ck_assert_uint_eq(fragment[0], IPPROTO_UDP);
			ck_assert_uint_eq(be16(fragment + 2) & 0xfff8, offset);
			ck_assert_uint_eq(be16(fragment + 2) & 1,
					  offset + frame->size - headers < size + 8);
			ck_assert(offset == 0 || be32(fragment + 4) == id);
			id = be32(fragment + 4);
		}
		memcpy(got + offset, frame->bytes + headers, frame->size - headers);
		offset += frame->size - headers;
		sim_frame_free(frame);
	}
	ck_assert_uint_eq(offset, size + 8);
	ck_assert_uint_eq(be16(got + 4), size + 8);
	ck_assert_mem_eq(got + 8, payload, size);
	ck_assert_int_eq(stack_send_udp(w.net.stack, &src, &dst, NULL, 60, 0, payload, 65528),
			 -EMSGSIZE);
}
END_TEST

START_TEST(families_do_not_mix)
{
	struct endpoint six = {.addr = net_addr(FAR6), .port = 53};
	struct endpoint four = {.addr = net_addr("192.168.65.2"), .port = 53};

	ck_assert_int_eq(stack_send_udp(w.net.stack, &six, &four, NULL, 64, 0, "x", 1), -EINVAL);
	ck_assert_int_eq(
		stack_send_echo_reply(w.net.stack, &four.addr, &six.addr, 1, 1, 64, 0, "x", 1),
		-EINVAL);
	/* Nobody on the link has that address. */
	ck_assert_int_eq(stack_send_udp(w.net.stack, &six, &six, NULL, 64, 0, "x", 1), 0);
	expect_nothing();
	ck_assert_uint_eq(counters().tx_no_neighbour, 1);
}
END_TEST

/* ---- Configuration ---- */

START_TEST(without_a_prefix)
{
	struct stack_conf conf = net_conf();
	struct sim_packet packet = packet6(GUEST6, FAR6, IPPROTO_UDP);

	net_stop(&w.net);
	conf.prefix6 = (struct prefix){0};
	conf.mtu = 576;
	net_start(&w.net, &conf, &handler, NULL, &(struct link_caps){.frame_max = 1514});
	inject(&packet);
	ping6(GUEST6, GATEWAY6);
	ck_assert_uint_eq(counters().rx_spoofed, 2);
	ping6(GUEST_LOCAL, GATEWAY6);
	ck_assert_uint_eq(w.echoes + w.datagrams, 0);
	sim_link_drop_all(w.net.link); /* who is that? */
	ping6(GUEST_LOCAL, OUR_LOCAL);
	sim_frame_free(expect_icmp6(OUR_LOCAL, GUEST_LOCAL, 1, 2)); /* about the one before */
	sim_frame_free(expect_icmp6(OUR_LOCAL, GUEST_LOCAL, 129, 0));
}
END_TEST

START_TEST(configuration_is_checked)
{
	struct stack_conf conf = net_conf();
	struct stack *stack;

	net_stop(&w.net);
	ck_assert_int_eq(loop_new(&w.net.loop), 0);
	conf.mtu = 1279;
	ck_assert_int_eq(stack_new(w.net.loop, &conf, &handler, NULL, &stack), -EINVAL);
	conf = net_conf();
	conf.gateway6 = conf.alias6;
	ck_assert_int_eq(stack_new(w.net.loop, &conf, &handler, NULL, &stack), -EINVAL);
	conf.gateway6 = net_addr("fd00:66::1");
	ck_assert_int_eq(stack_new(w.net.loop, &conf, &handler, NULL, &stack), -EINVAL);
	loop_free(w.net.loop);
	setup();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ip6");
	TCase *tcase = unit_case(suite, "ip6", setup6, teardown);

	tcase_add_loop_test(tcase, we_answer_ping, 0, 6);
	tcase_add_loop_test(tcase, other_pings_are_the_handlers, 0, 2);
	tcase_add_test(tcase, ping_with_a_wrong_checksum);
	tcase_add_loop_test(tcase, sources_that_are_nobodys, 0, 10);
	tcase_add_test(tcase, unspecified_source_only_asks);
	tcase_add_test(tcase, sources_are_learned);
	tcase_add_loop_test(tcase, groups, 0, 7);
	tcase_add_test(tcase, flooded_unicast_is_not_ours);
	tcase_add_test(tcase, link_local_stays_on_the_link);
	tcase_add_test(tcase, another_guests_address);
	tcase_add_loop_test(tcase, time_exceeded, 0, 4);
	tcase_add_test(tcase, udp_comes_as_it_is);
	tcase_add_test(tcase, udp_without_checksum);
	tcase_add_test(tcase, port_unreachable);
	tcase_add_loop_test(tcase, every_unreachable, 0, 4);
	tcase_add_test(tcase, error_from_another_router);
	tcase_add_test(tcase, what_errors_must_not_answer);
	tcase_add_test(tcase, errors_are_limited);
	tcase_add_loop_test(tcase, udp_is_fragmented_at_the_mtu, 0, 4);
	tcase_add_test(tcase, families_do_not_mix);
	tcase_add_test(tcase, without_a_prefix);
	tcase_add_test(tcase, configuration_is_checked);

	return unit_run(suite);
}
