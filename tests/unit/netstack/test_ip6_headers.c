/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind the IPv6 header: extension headers with their options, and fragments. */
#include "ip6_test.h"
#include "unit.h"

#define PARAMETER 4

/* ---- Extension headers ---- */

static void inject_with(const char *dst, uint8_t first, const uint8_t *headers, size_t size,
			size_t last_at)
{
	sim_link_inject(w.net.link, bytes,
			insert_headers(build_udp(dst), first, headers, size, last_at));
}

START_TEST(extensions_are_walked)
{
	static const uint8_t headers[] = {
		60,   0, 5, 2, 0,  0, 1, 0, /* hop-by-hop, router alert */
		43,   1, 0, 1, 10, 0, 0, 0,
		0x1e, 1, 0, 1, 1,  0, 0, 0, /* options: pads, unknown to skip */
		60,   0, 0, 0, 0,  0, 0, 0, /* routing, at its end */
		0,    0, 1, 4, 0,  0, 0, 0,
	};

	inject_with(FAR6, 0, headers, sizeof(headers), 32);
	expect_nothing();
	ck_assert_uint_eq(w.datagrams, 1);
	ck_assert_uint_eq(w.size, 8);
	ck_assert_mem_eq(w.payload, "extended", 8);
}
END_TEST

START_TEST(options_that_nobody_knows)
{
	static const struct {
		uint8_t type;
		bool multicast, taken, told;
	} cases[] = {
		{0x1e, false, true, false}, {0x5e, false, false, false}, {0x9e, false, false, true},
		{0xde, false, false, true}, {0xc2, false, false, true},  {0x9e, true, false, true},
		{0xde, true, false, false}, {0x5e, true, false, false},
	};
	uint8_t headers[8] = {0, 0, 1, 0, cases[_i].type, 2, 0, 0};

	inject_with(cases[_i].multicast ? "ff02::1:2" : FAR6, _i % 2 ? 60 : 0, headers, 8, 0);
	if (cases[_i].multicast)
		bytes[0] = 0x33;
	ck_assert_uint_eq(w.datagrams, cases[_i].taken);
	if (cases[_i].told)
		expect_error6(PARAMETER, 2, 40 + 4);
	expect_nothing();
}
END_TEST

START_TEST(options_that_lie)
{
	static const uint8_t headers[][8] = {
		{0, 0, 1, 5}, {0, 0, 5, 200}, {0, 0, 1, 3, 0, 0, 0, 1}, {0, 0, 1, 255}};

	inject_with(FAR6, 60, headers[_i], 8, 0);
	expect_nothing();
	ck_assert_uint_eq(w.datagrams, 0);
	ck_assert_uint_eq(counters().rx_invalid, 1);
}
END_TEST

START_TEST(routing_headers_are_refused)
{
	static const uint8_t types[] = {0, 2, 3, 4, 253};
	uint8_t headers[24] = {0, 2, types[_i], 1, 0, 0, 0, 0, 0xfd, 0, 0, 0x65};

	inject_with(GATEWAY6, 43, headers, sizeof(headers), 0);
	expect_error6(PARAMETER, 0, 42);
	ck_assert_uint_eq(w.datagrams, 0);
}
END_TEST

START_TEST(hop_by_hop_out_of_place)
{
	static const uint8_t headers[] = {0, 0, 1, 4, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0};

	inject_with(GATEWAY6, 60, headers, sizeof(headers), 8);
	expect_error6(PARAMETER, 1, 40);
	ck_assert_uint_eq(w.datagrams, 0);
}
END_TEST

START_TEST(unknown_protocol)
{
	struct sim_packet packet = packet6(GUEST6, FAR6, 132);
	static const uint8_t headers[] = {0, 0, 1, 4, 0, 0, 0, 0};

	packet.payload = headers;
	packet.payload_size = 8;
	inject(&packet);
	expect_error6(PARAMETER, 1, 6);
	sim_link_inject(w.net.link, bytes,
			insert_headers(sim_packet_build(&packet, bytes), 60, headers, 8, 0));
	expect_error6(PARAMETER, 1, 40);
	packet.protocol = IPPROTO_NONE;
	inject(&packet);
	expect_nothing();
}
END_TEST

/* ---- Fragments ---- */

static uint8_t datagram[65536 + 100];
static size_t datagram_size; /* with the UDP header */

static void make_datagram(size_t payload)
{
	static uint8_t content[65536];
	struct sim_packet packet = packet6(GUEST6, FAR6, IPPROTO_UDP);

	for (size_t i = 0; i < payload; i++)
		content[i] = (uint8_t)(i * 13 + i / 256);
	packet.payload = content;
	packet.payload_size = payload;
	datagram_size = sim_packet_build(&packet, datagram) - EXT_AT;
}

static void inject_fragment(uint32_t id, size_t from, size_t to, bool more)
{
	struct sim_packet packet = packet6(GUEST6, FAR6, IPPROTO_FRAGMENT);
	uint8_t content[8 + 9000] = {
		IPPROTO_UDP, 0, (uint8_t)(from >> 8), (uint8_t)(from | more), 0, 0, 0, (uint8_t)id};

	memcpy(content + 8, datagram + EXT_AT + from, to - from);
	packet.payload = content;
	packet.payload_size = 8 + to - from;
	inject(&packet);
}

START_TEST(fragments_become_a_datagram)
{
	make_datagram(20000);
	for (size_t at = 0; at < datagram_size; at += 1448)
		inject_fragment(1, at, at + 1448 < datagram_size ? at + 1448 : datagram_size,
				at + 1448 < datagram_size);
	ck_assert_uint_eq(w.datagrams, 1);
	ck_assert_uint_eq(w.size, 20000);
	ck_assert_mem_eq(w.payload, datagram + EXT_AT + 8, 20000);
	/* An atomic one. */
	make_datagram(100);
	inject_fragment(1, 0, datagram_size, false);
	ck_assert_uint_eq(w.datagrams, 2);
	ck_assert_uint_eq(w.size, 100);
	expect_nothing();
}
END_TEST

START_TEST(reassembled_with_a_wrong_checksum)
{
	make_datagram(100);
	datagram[EXT_AT + 90] ^= 1;
	inject_fragment(1, 0, 64, true);
	inject_fragment(1, 64, datagram_size, false);
	ck_assert_uint_eq(w.datagrams, 0);
	ck_assert_uint_eq(counters().rx_invalid, 1);
}
END_TEST

START_TEST(fragment_sizes_are_told)
{
	make_datagram(2000);
	inject_fragment(1, 0, 63, true);
	expect_error6(PARAMETER, 0, 4);
	inject_fragment(1, 65528, 65528 + 16, false);
	expect_error6(PARAMETER, 0, 42);
	expect_nothing();
}
END_TEST

START_TEST(overlapping_fragments)
{
	make_datagram(100);
	inject_fragment(1, 0, 64, true);
	inject_fragment(1, 56, datagram_size, false);
	inject_fragment(1, 64, datagram_size, false);
	ck_assert_uint_eq(w.datagrams, 0);
	ck_assert_uint_eq(counters().rx_invalid, 1);
}
END_TEST

START_TEST(missing_fragment_times_out)
{
	make_datagram(100);
	inject_fragment(1, 0, 64, true);
	net_advance(&w.net, 10000);
	inject_fragment(2, 0, 64, true);
	net_advance(&w.net, 5001);
	inject_fragment(1, 64, datagram_size, false);
	ck_assert_uint_eq(w.datagrams, 0);
	inject_fragment(2, 64, datagram_size, false);
	ck_assert_uint_eq(w.datagrams, 1);
	net_advance(&w.net, 60000);
	expect_nothing();
}
END_TEST

START_TEST(fragment_in_a_fragment)
{
	static const uint8_t inner[] = {IPPROTO_UDP, 0, 0, 0, 0, 0, 0, 9};

	make_datagram(16);
	memmove(datagram + EXT_AT + 8, datagram + EXT_AT, datagram_size);
	memcpy(datagram + EXT_AT, inner, 8);
	datagram_size += 8;
	{
		struct sim_packet packet = packet6(GUEST6, FAR6, IPPROTO_FRAGMENT);
		uint8_t content[8 + 64] = {IPPROTO_FRAGMENT};

		memcpy(content + 8, datagram + EXT_AT, datagram_size);
		packet.payload = content;
		packet.payload_size = 8 + datagram_size;
		inject(&packet);
	}
	expect_nothing();
	ck_assert_uint_eq(w.datagrams, 0);
	ck_assert_uint_eq(counters().rx_invalid, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ip6_headers");
	TCase *tcase = unit_case(suite, "ip6_headers", setup6, teardown);

	tcase_add_test(tcase, extensions_are_walked);
	tcase_add_loop_test(tcase, options_that_nobody_knows, 0, 8);
	tcase_add_loop_test(tcase, options_that_lie, 0, 4);
	tcase_add_loop_test(tcase, routing_headers_are_refused, 0, 5);
	tcase_add_test(tcase, hop_by_hop_out_of_place);
	tcase_add_test(tcase, unknown_protocol);
	tcase_add_test(tcase, fragments_become_a_datagram);
	tcase_add_test(tcase, reassembled_with_a_wrong_checksum);
	tcase_add_test(tcase, fragment_sizes_are_told);
	tcase_add_test(tcase, overlapping_fragments);
	tcase_add_test(tcase, missing_fragment_times_out);
	tcase_add_test(tcase, fragment_in_a_fragment);

	return unit_run(suite);
}
