/* SPDX-License-Identifier: Apache-2.0 */
/* Reassembly of fragments of both families: order, overlaps, ends that contradict each other, and
 * bounds. */
#include <stdlib.h>
#include <string.h>

#include "base/csum.h"
#include "netstack/reass.h"
#include "unit.h"

#define NOW 1000

static bool v4;
static struct reass *reass;
static uint8_t *whole;
static size_t whole_size;

static void setup6(void)
{
	v4 = false;
	ck_assert_int_eq(reass_new(&reass), 0);
	whole = NULL;
}

static void setup4(void)
{
	setup6();
	v4 = true;
}

static void teardown(void)
{
	reass_packet_free(whole);
	reass_free(reass);
}

static uint8_t byte_at(size_t at)
{
	return (uint8_t)(at * 7 + at / 256);
}

struct spec {
	unsigned port;
	uint32_t id;
	size_t extra;   /* bytes of an extension header before the fragment header, or of options */
	uint8_t change; /* added to each byte */
	uint8_t protocol; /* 0: UDP */
};

/* Writes what stands before the fragmentable part. */
static void put_head4(uint8_t *ip, struct spec spec, size_t from, size_t size, bool more)
{
	size_t head_size = 20 + spec.extra;

	ip[0] = (uint8_t)(0x40 + head_size / 4);
	ip[2] = (uint8_t)((head_size + size) >> 8);
	ip[3] = (uint8_t)(head_size + size);
	ip[4] = (uint8_t)(spec.id >> 8);
	ip[5] = (uint8_t)spec.id;
	ip[6] = (uint8_t)(from / 8 >> 8 | (more ? 0x20 : 0));
	ip[7] = (uint8_t)(from / 8);
	ip[9] = spec.protocol ? spec.protocol : 17;
	memset(ip + 20, 1, spec.extra);
}

static void put_head6(uint8_t *ip, struct spec spec, size_t from, bool more)
{
	size_t at = 40 + spec.extra;

	ip[0] = 0x60;
	ip[6] = spec.extra ? 60 : 44;
	if (spec.extra) {
		ip[40] = 44;
		ip[41] = (uint8_t)(spec.extra / 8 - 1);
	}
	ip[at] = 17;
	ip[at + 2] = (uint8_t)(from >> 8);
	ip[at + 3] = (uint8_t)(from | more);
	memcpy(ip + at + 4, &spec.id, 4);
}

/* Bytes [from, to) of a packet's fragmentable part, from memory that ends where they do. */
static enum reass_result add_as(struct spec spec, size_t from, size_t to, bool more)
{
	size_t head_size = (v4 ? 20 : 48) + spec.extra;
	size_t size = head_size + to - from;
	uint8_t *ip = calloc(1, size);
	struct reass_fragment fragment = {
		.port = spec.port,
		.src = {.family = v4 ? AF_INET : AF_INET6},
		.dst = {.family = v4 ? AF_INET : AF_INET6, .v6.s6_addr = {0xfd}},
		.ip = ip,
		.size = size,
		.next_at = spec.extra ? 40 : 6,
		.fragment_at = head_size - 8,
	};
	enum reass_result result;

	if (v4)
		put_head4(ip, spec, from, to - from, more);
	else
		put_head6(ip, spec, from, more);
	for (size_t i = from; i < to; i++)
		ip[head_size + i - from] = (uint8_t)(byte_at(i) + spec.change);
	result = reass_add(reass, &fragment, NOW, &whole, &whole_size);
	free(ip);
	return result;
}

static enum reass_result add(size_t from, size_t to, bool more)
{
	return add_as((struct spec){.port = 1, .id = 5}, from, to, more);
}

static void expect_header4(size_t size, size_t extra)
{
	ck_assert_uint_eq(whole[0], 0x45 + extra / 4);
	ck_assert_uint_eq((size_t)(whole[2] << 8 | whole[3]), 20 + extra + size);
	ck_assert_uint_eq(whole[6] | whole[7], 0);
	ck_assert_uint_eq(whole[9], 17);
	ck_assert_uint_eq(csum_fold(csum_add(0, whole, 20 + extra)), 0);
}

static void expect_header6(size_t size, size_t extra)
{
	ck_assert_uint_eq(whole[extra ? 40 : 6], 17);
	ck_assert_uint_eq((size_t)(whole[4] << 8 | whole[5]), extra + size);
}

static void expect_whole(size_t size, size_t extra)
{
	size_t head_size = (v4 ? 20 : 40) + extra;

	ck_assert_uint_eq(whole_size, head_size + size);
	if (v4)
		expect_header4(size, extra);
	else
		expect_header6(size, extra);
	for (size_t i = 0; i < size; i++)
		ck_assert_uint_eq(whole[head_size + i], byte_at(i));
	ck_assert_uint_eq(reass_fragments(reass), 0);
	reass_packet_free(whole);
	whole = NULL;
}

START_TEST(any_order)
{
	static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
					 {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (unsigned i = 0; i < 3; i++) {
		int n = orders[_i][i];

		ck_assert_uint_eq(add((size_t)n * 64, n == 2 ? 147 : (size_t)n * 64 + 64, n < 2),
				  i < 2 ? REASS_KEPT : REASS_COMPLETE);
	}
	expect_whole(147, 0);
}
END_TEST

START_TEST(extension_headers_stay)
{
	struct spec spec = {.port = 1, .extra = 24};

	ck_assert_uint_eq(add_as(spec, 8, 20, false), REASS_KEPT);
	ck_assert_uint_eq(add_as(spec, 0, 8, true), REASS_COMPLETE);
	expect_whole(20, 24);
}
END_TEST

/* RFC 6946. */
START_TEST(atomic_fragment_is_alone)
{
	ck_assert_uint_eq(add(0, 64, true), REASS_KEPT);
	ck_assert_uint_eq(add(0, 33, false), REASS_COMPLETE);
	ck_assert_uint_eq(whole_size, 73);
	ck_assert_uint_eq(whole[6], 17);
	reass_packet_free(whole);
	ck_assert_uint_eq(add(64, 65, false), REASS_COMPLETE);
	expect_whole(65, 0);
}
END_TEST

/* RFC 5722: nothing of the packet is used, what comes later neither. */
START_TEST(overlaps_end_the_packet)
{
	static const struct {
		size_t from, to;
		bool more;
	} second[] = {{56, 120, true}, {8, 72, true},    {16, 32, true},  {0, 72, true},
		      {0, 8, true},    {60 & ~7, 64, 1}, {56, 64, false}, {0, 128, true}};

	ck_assert_uint_eq(add(0, 64, true), REASS_KEPT);
	ck_assert_uint_eq(add(second[_i].from, second[_i].to, second[_i].more), REASS_OVERLAPPING);
	ck_assert_uint_eq(add(64, 100, false), REASS_KEPT);
	ck_assert_uint_eq(add(0, 64, true), REASS_KEPT);
	ck_assert_uint_eq(reass_fragments(reass), 1);
	/* Others aren't touched, and the identification is free again later. */
	ck_assert_uint_eq(add_as((struct spec){.port = 1, .id = 6}, 0, 64, true), REASS_KEPT);
	reass_expire(reass, NOW + REASS_LIFETIME_MS);
	ck_assert_uint_eq(reass_fragments(reass), 0);
	ck_assert_uint_eq(add(0, 64, true), REASS_KEPT);
	ck_assert_uint_eq(add(64, 100, false), REASS_COMPLETE);
	expect_whole(100, 0);
}
END_TEST

START_TEST(copies_are_no_overlaps)
{
	add(0, 64, true);
	ck_assert_uint_eq(add(0, 64, true), REASS_KEPT);
	add(128, 130, false);
	ck_assert_uint_eq(add(128, 130, false), REASS_KEPT);
	ck_assert_uint_eq(reass_fragments(reass), 2);
	ck_assert_uint_eq(add(64, 128, true), REASS_COMPLETE);
	expect_whole(130, 0);
	/* But the bytes must be the same. */
	add(0, 64, true);
	ck_assert_uint_eq(add_as((struct spec){.port = 1, .id = 5, .change = 1}, 0, 64, true),
			  REASS_OVERLAPPING);
}
END_TEST

START_TEST(two_ends)
{
	add(64, 100, false);
	ck_assert_uint_eq(add(128, 160, false), REASS_OVERLAPPING);
	add_as((struct spec){.port = 1, .id = 6}, 64, 100, false);
	ck_assert_uint_eq(add_as((struct spec){.port = 1, .id = 6}, 104, 112, true),
			  REASS_OVERLAPPING);
	add_as((struct spec){.port = 1, .id = 7}, 104, 112, true);
	ck_assert_uint_eq(add_as((struct spec){.port = 1, .id = 7}, 64, 100, false),
			  REASS_OVERLAPPING);
}
END_TEST

START_TEST(sizes_are_checked)
{
	size_t most = v4 ? 65515 : 65535; /* that fit behind the smallest header */
	size_t last = (most - 8) & ~(size_t)7;

	ck_assert_uint_eq(add(0, 63, true), REASS_BAD_SIZE);
	ck_assert_uint_eq(add(65528, 65536, true), REASS_TOO_LARGE);
	ck_assert_uint_eq(add(65528, 65536, false), REASS_TOO_LARGE);
	ck_assert_uint_eq(add(last, most + 1, false), REASS_TOO_LARGE);
	ck_assert_uint_eq(add(8, 8, true), REASS_KEPT);
	ck_assert_uint_eq(add(8, 8, false), REASS_KEPT);
	ck_assert_uint_eq(reass_fragments(reass), 0);
	/* What the first fragment carries in its head counts, too. */
	ck_assert_uint_eq(add(last, most, false), REASS_KEPT);
	for (size_t at = 32768; at < last; at += 4096)
		add(at, at + 4096 > last ? last : at + 4096, true);
	add(8, 32768, true);
	ck_assert_uint_eq(add_as((struct spec){.port = 1, .id = 5, .extra = 8}, 0, 8, true),
			  REASS_TOO_LARGE);
	ck_assert_uint_eq(reass_fragments(reass), 0);
}
END_TEST

START_TEST(largest_packet)
{
	size_t most = v4 ? 65515 : 65535;
	size_t last = (most - 1) & ~(size_t)7;

	for (size_t at = 0; at < last; at += 1448)
		ck_assert_uint_eq(add(at, at + 1448 < last ? at + 1448 : last, true), REASS_KEPT);
	ck_assert_uint_eq(add(last, most, false), REASS_COMPLETE);
	expect_whole(most, 0);
}
END_TEST

/* Options need not be in all fragments: the first one's count. */
START_TEST(options_of_the_first)
{
	struct spec with = {.port = 1, .extra = 24}, without = {.port = 1};

	ck_assert_uint_eq(add_as(without, 8, 24, true), REASS_KEPT);
	ck_assert_uint_eq(add_as(with, 0, 8, true), REASS_KEPT);
	ck_assert_uint_eq(add_as(without, 24, 30, false), REASS_COMPLETE);
	expect_whole(30, 24);
}
END_TEST

START_TEST(protocols_are_apart)
{
	struct spec other = {.port = 1, .id = 5, .protocol = 1, .change = 1};

	add(0, 64, true);
	ck_assert_uint_eq(add_as(other, 0, 64, true), REASS_KEPT);
	ck_assert_uint_eq(add(64, 65, false), REASS_COMPLETE);
	reass_forget_port(reass, 2);
	ck_assert_uint_eq(reass_fragments(reass), 1);
	reass_forget_port(reass, 1);
	expect_whole(65, 0);
}
END_TEST

START_TEST(ports_are_apart)
{
	ck_assert_uint_eq(add_as((struct spec){.port = 1}, 0, 64, true), REASS_KEPT);
	ck_assert_uint_eq(add_as((struct spec){.port = 2, .change = 1}, 0, 64, true), REASS_KEPT);
	ck_assert_uint_eq(add_as((struct spec){.port = 2}, 32, 100, false), REASS_OVERLAPPING);
	ck_assert_uint_eq(add_as((struct spec){.port = 1}, 64, 100, false), REASS_COMPLETE);
	reass_forget_port(reass, 2);
	expect_whole(100, 0);
}
END_TEST

START_TEST(a_port_is_bounded)
{
	struct spec victim = {.port = 9, .id = 1};

	add_as(victim, 0, 64, true);
	/* One port alone pushes out nobody but itself. */
	for (uint32_t i = 0; i < 3 * REASS_PORT_FRAGMENTS_MAX; i++)
		add_as((struct spec){.port = 1, .id = i}, 0, 8, true);
	ck_assert_uint_eq(reass_fragments(reass), REASS_PORT_FRAGMENTS_MAX + 1);
	ck_assert_uint_eq(add_as((struct spec){.port = 1, .id = 1}, 8, 9, false), REASS_KEPT);
	ck_assert_uint_eq(add_as(victim, 64, 65, false), REASS_COMPLETE);
	/* A packet of more pieces than there may be is never complete, and does no harm. */
	for (size_t at = 0; at < 2 * 8 * REASS_PORT_FRAGMENTS_MAX; at += 8)
		ck_assert_uint_eq(add_as((struct spec){.port = 20}, at, at + 8, true), REASS_KEPT);
	ck_assert_uint_eq(reass_fragments(reass), 2 * REASS_PORT_FRAGMENTS_MAX);
}
END_TEST

/* Many that hold all there is don't take what another has. */
START_TEST(all_are_bounded)
{
	struct spec victim = {.port = 9, .id = 1};
	struct spec large = {.port = 10, .id = 1};

	add_as(victim, 0, 64, true);
	for (uint32_t i = 0; i < 3 * REASS_FRAGMENTS_MAX; i++)
		add_as((struct spec){.port = 1 + i % 8, .id = i}, 0, 8, true);
	ck_assert_uint_eq(reass_fragments(reass), REASS_FRAGMENTS_MAX);
	/* Nor do they keep a newcomer from a packet of many pieces. */
	for (size_t at = 0; at < 45 * 64; at += 64) {
		ck_assert_uint_eq(add_as(large, at, at + 64, true), REASS_KEPT);
		add_as((struct spec){.port = 1 + at / 64 % 8, .id = (uint32_t)at}, 0, 8, true);
	}
	ck_assert_uint_eq(add_as(large, 45 * 64, 45 * 64 + 1, false), REASS_COMPLETE);
	reass_packet_free(whole);
	ck_assert_uint_eq(add_as(victim, 64, 65, false), REASS_COMPLETE);
}
END_TEST

START_TEST(bytes_are_bounded)
{
	struct spec victim = {.port = 9, .id = 1};
	unsigned most = REASS_PORT_BYTES_MAX / 65000;

	for (uint32_t i = 0; i < 200; i++)
		add_as((struct spec){.port = 1, .id = i}, 0, 65000, true);
	ck_assert_uint_eq(reass_fragments(reass), most);
	add_as(victim, 0, 32000, true);
	for (uint32_t i = 0; i < 600; i++)
		add_as((struct spec){.port = 1 + i % 6, .id = i}, 0, 65000, true);
	ck_assert_uint_eq(reass_fragments(reass), (REASS_BYTES_MAX - 32000) / 65000 + 1);
	ck_assert_uint_eq(add_as(victim, 32000, 60000, false), REASS_COMPLETE);
}
END_TEST

START_TEST(too_old)
{
	ck_assert_uint_eq(reass_expire(reass, NOW), 0);
	add(0, 64, true);
	ck_assert_uint_eq(reass_expire(reass, NOW + REASS_LIFETIME_MS - 1),
			  NOW + REASS_LIFETIME_MS);
	ck_assert_uint_eq(reass_expire(reass, NOW + REASS_LIFETIME_MS), 0);
	ck_assert_uint_eq(reass_fragments(reass), 0);
}
END_TEST

static void add_tests(TCase *tcase)
{
	const TTest *const tests[] = {
		copies_are_no_overlaps,
		two_ends,
		sizes_are_checked,
		largest_packet,
		ports_are_apart,
		a_port_is_bounded,
		all_are_bounded,
		bytes_are_bounded,
		too_old,
		NULL,
	};

	tcase_add_loop_test(tcase, any_order, 0, 6);
	tcase_add_loop_test(tcase, overlaps_end_the_packet, 0, 8);
	unit_add(tcase, tests);
}

int main(void)
{
	Suite *suite = suite_create("reass");
	TCase *ip4 = unit_case(suite, "ip4", setup4, teardown);
	TCase *ip6 = unit_case(suite, "ip6", setup6, teardown);

	add_tests(ip4);
	tcase_add_test(ip4, options_of_the_first);
	tcase_add_test(ip4, protocols_are_apart);
	add_tests(ip6);
	tcase_add_test(ip6, extension_headers_stay);
	tcase_add_test(ip6, atomic_fragment_is_alone);
	return unit_run(suite);
}
