/* SPDX-License-Identifier: Apache-2.0 */
/* Reassembly of IPv6 fragments: order, overlaps, ends that contradict each other, and bounds. */
#include <stdlib.h>
#include <string.h>

#include "netstack/reass6.h"
#include "unit.h"

#define NOW 1000

static struct reass6 *reass;
static uint8_t *whole;
static size_t whole_size;

static void setup(void)
{
	ck_assert_int_eq(reass6_new(&reass), 0);
	whole = NULL;
}

static void teardown(void)
{
	reass6_packet_free(whole);
	reass6_free(reass);
}

static uint8_t byte_at(size_t at)
{
	return (uint8_t)(at * 7 + at / 256);
}

struct spec {
	unsigned port;
	uint32_t id;
	size_t extension; /* bytes of an extension header before the fragment header */
	uint8_t change;   /* added to each byte */
};

/* Bytes [from, to) of a packet's fragmentable part, from memory that ends where they do. */
static enum reass6_result add_as(struct spec spec, size_t from, size_t to, bool more)
{
	size_t at = 40 + spec.extension;
	size_t size = at + 8 + to - from;
	uint8_t *ip = calloc(1, size);
	struct reass6_fragment fragment = {
		.port = spec.port,
		.src = {.family = AF_INET6},
		.dst = {.family = AF_INET6, .v6.s6_addr = {0xfd}},
		.ip = ip,
		.size = size,
		.next_at = spec.extension ? 40 : 6,
		.fragment_at = at,
	};
	enum reass6_result result;

	ip[0] = 0x60;
	ip[6] = spec.extension ? 60 : 44;
	if (spec.extension) {
		ip[40] = 44;
		ip[41] = (uint8_t)(spec.extension / 8 - 1);
	}
	ip[at] = 17;
	ip[at + 2] = (uint8_t)(from >> 8);
	ip[at + 3] = (uint8_t)(from | more);
	memcpy(ip + at + 4, &spec.id, 4);
	for (size_t i = from; i < to; i++)
		ip[at + 8 + i - from] = (uint8_t)(byte_at(i) + spec.change);
	result = reass6_add(reass, &fragment, NOW, &whole, &whole_size);
	free(ip);
	return result;
}

static enum reass6_result add(size_t from, size_t to, bool more)
{
	return add_as((struct spec){.port = 1, .id = 5}, from, to, more);
}

static void expect_whole(size_t size, size_t extension)
{
	ck_assert_uint_eq(whole_size, 40 + extension + size);
	ck_assert_uint_eq(whole[extension ? 40 : 6], 17);
	ck_assert_uint_eq((size_t)(whole[4] << 8 | whole[5]), extension + size);
	for (size_t i = 0; i < size; i++)
		ck_assert_uint_eq(whole[40 + extension + i], byte_at(i));
	ck_assert_uint_eq(reass6_fragments(reass), 0);
	reass6_packet_free(whole);
	whole = NULL;
}

START_TEST(any_order)
{
	static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
					 {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (unsigned i = 0; i < 3; i++) {
		int n = orders[_i][i];

		ck_assert_uint_eq(add((size_t)n * 64, n == 2 ? 147 : (size_t)n * 64 + 64, n < 2),
				  i < 2 ? REASS6_KEPT : REASS6_COMPLETE);
	}
	expect_whole(147, 0);
}
END_TEST

START_TEST(extension_headers_stay)
{
	struct spec spec = {.port = 1, .extension = 24};

	ck_assert_uint_eq(add_as(spec, 8, 20, false), REASS6_KEPT);
	ck_assert_uint_eq(add_as(spec, 0, 8, true), REASS6_COMPLETE);
	expect_whole(20, 24);
}
END_TEST

/* RFC 6946. */
START_TEST(atomic_fragment_is_alone)
{
	ck_assert_uint_eq(add(0, 64, true), REASS6_KEPT);
	ck_assert_uint_eq(add(0, 33, false), REASS6_COMPLETE);
	ck_assert_uint_eq(whole_size, 73);
	ck_assert_uint_eq(whole[6], 17);
	reass6_packet_free(whole);
	ck_assert_uint_eq(add(64, 65, false), REASS6_COMPLETE);
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

	ck_assert_uint_eq(add(0, 64, true), REASS6_KEPT);
	ck_assert_uint_eq(add(second[_i].from, second[_i].to, second[_i].more), REASS6_OVERLAPPING);
	ck_assert_uint_eq(add(64, 100, false), REASS6_KEPT);
	ck_assert_uint_eq(add(0, 64, true), REASS6_KEPT);
	ck_assert_uint_eq(reass6_fragments(reass), 1);
	/* Others aren't touched, and the identification is free again later. */
	ck_assert_uint_eq(add_as((struct spec){.port = 1, .id = 6}, 0, 64, true), REASS6_KEPT);
	reass6_expire(reass, NOW + REASS6_LIFETIME_MS);
	ck_assert_uint_eq(reass6_fragments(reass), 0);
	ck_assert_uint_eq(add(0, 64, true), REASS6_KEPT);
	ck_assert_uint_eq(add(64, 100, false), REASS6_COMPLETE);
	expect_whole(100, 0);
}
END_TEST

START_TEST(copies_are_no_overlaps)
{
	add(0, 64, true);
	ck_assert_uint_eq(add(0, 64, true), REASS6_KEPT);
	add(128, 130, false);
	ck_assert_uint_eq(add(128, 130, false), REASS6_KEPT);
	ck_assert_uint_eq(reass6_fragments(reass), 2);
	ck_assert_uint_eq(add(64, 128, true), REASS6_COMPLETE);
	expect_whole(130, 0);
	/* But the bytes must be the same. */
	add(0, 64, true);
	ck_assert_uint_eq(add_as((struct spec){.port = 1, .id = 5, .change = 1}, 0, 64, true),
			  REASS6_OVERLAPPING);
}
END_TEST

START_TEST(two_ends)
{
	add(64, 100, false);
	ck_assert_uint_eq(add(128, 160, false), REASS6_OVERLAPPING);
	add_as((struct spec){.port = 1, .id = 6}, 64, 100, false);
	ck_assert_uint_eq(add_as((struct spec){.port = 1, .id = 6}, 104, 112, true),
			  REASS6_OVERLAPPING);
	add_as((struct spec){.port = 1, .id = 7}, 104, 112, true);
	ck_assert_uint_eq(add_as((struct spec){.port = 1, .id = 7}, 64, 100, false),
			  REASS6_OVERLAPPING);
}
END_TEST

START_TEST(sizes_are_checked)
{
	ck_assert_uint_eq(add(0, 63, true), REASS6_BAD_SIZE);
	ck_assert_uint_eq(add(65528, 65536, true), REASS6_TOO_LARGE);
	ck_assert_uint_eq(add(65528, 65536, false), REASS6_TOO_LARGE);
	ck_assert_uint_eq(add(8, 8, true), REASS6_KEPT);
	ck_assert_uint_eq(add(8, 8, false), REASS6_KEPT);
	ck_assert_uint_eq(reass6_fragments(reass), 0);
	/* What the first fragment carries in extension headers counts, too. */
	ck_assert_uint_eq(add(65520, 65535, false), REASS6_KEPT);
	for (size_t at = 32768; at < 65520; at += 4096)
		add(at, at + 4096 > 65520 ? 65520 : at + 4096, true);
	add(8, 32768, true);
	ck_assert_uint_eq(add_as((struct spec){.port = 1, .id = 5, .extension = 8}, 0, 8, true),
			  REASS6_TOO_LARGE);
	ck_assert_uint_eq(reass6_fragments(reass), 0);
}
END_TEST

START_TEST(largest_packet)
{
	for (size_t at = 0; at < 65528; at += 1448)
		ck_assert_uint_eq(add(at, at + 1448 < 65528 ? at + 1448 : 65528, true),
				  REASS6_KEPT);
	ck_assert_uint_eq(add(65528, 65535, false), REASS6_COMPLETE);
	expect_whole(65535, 0);
}
END_TEST

START_TEST(ports_are_apart)
{
	ck_assert_uint_eq(add_as((struct spec){.port = 1}, 0, 64, true), REASS6_KEPT);
	ck_assert_uint_eq(add_as((struct spec){.port = 2, .change = 1}, 0, 64, true), REASS6_KEPT);
	ck_assert_uint_eq(add_as((struct spec){.port = 2}, 32, 100, false), REASS6_OVERLAPPING);
	ck_assert_uint_eq(add_as((struct spec){.port = 1}, 64, 100, false), REASS6_COMPLETE);
	reass6_forget_port(reass, 2);
	expect_whole(100, 0);
}
END_TEST

START_TEST(bounds)
{
	struct spec victim = {.port = 9, .id = 1};

	add_as(victim, 0, 64, true);
	/* One port alone pushes out nobody but itself. */
	for (uint32_t i = 0; i < 3 * REASS6_PORT_FRAGMENTS_MAX; i++)
		add_as((struct spec){.port = 1, .id = i}, 0, 8, true);
	ck_assert_uint_eq(reass6_fragments(reass), REASS6_PORT_FRAGMENTS_MAX + 1);
	ck_assert_uint_eq(add_as(victim, 64, 65, false), REASS6_COMPLETE);
	reass6_packet_free(whole);
	whole = NULL;
	/* All together the oldest. */
	for (uint32_t i = 0; i < 3 * REASS6_FRAGMENTS_MAX; i++)
		add_as((struct spec){.port = 1 + i % 8, .id = i}, 0, 8, true);
	ck_assert_uint_eq(reass6_fragments(reass), REASS6_FRAGMENTS_MAX);
	/* A packet of more pieces than there may be is never complete, and does no harm. */
	for (size_t at = 0; at < 2 * 8 * REASS6_PORT_FRAGMENTS_MAX; at += 8)
		ck_assert_uint_eq(add_as((struct spec){.port = 20}, at, at + 8, true), REASS6_KEPT);
	ck_assert_uint_le(reass6_fragments(reass), REASS6_FRAGMENTS_MAX);
}
END_TEST

START_TEST(bytes_are_bounded)
{
	unsigned most = REASS6_BYTES_MAX / 65000;

	for (uint32_t i = 0; i < 200; i++)
		add_as((struct spec){.port = 1 + i % 4, .id = i}, 0, 65000, true);
	ck_assert_uint_eq(reass6_fragments(reass), most);
}
END_TEST

START_TEST(too_old)
{
	ck_assert_uint_eq(reass6_expire(reass, NOW), 0);
	add(0, 64, true);
	ck_assert_uint_eq(reass6_expire(reass, NOW + REASS6_LIFETIME_MS - 1),
			  NOW + REASS6_LIFETIME_MS);
	ck_assert_uint_eq(reass6_expire(reass, NOW + REASS6_LIFETIME_MS), 0);
	ck_assert_uint_eq(reass6_fragments(reass), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reass6");
	TCase *tcase = unit_case(suite, "reass6", setup, teardown);

	tcase_add_loop_test(tcase, any_order, 0, 6);
	tcase_add_test(tcase, extension_headers_stay);
	tcase_add_test(tcase, atomic_fragment_is_alone);
	tcase_add_loop_test(tcase, overlaps_end_the_packet, 0, 8);
	tcase_add_test(tcase, copies_are_no_overlaps);
	tcase_add_test(tcase, two_ends);
	tcase_add_test(tcase, sizes_are_checked);
	tcase_add_test(tcase, largest_packet);
	tcase_add_test(tcase, ports_are_apart);
	tcase_add_test(tcase, bounds);
	tcase_add_test(tcase, bytes_are_bounded);
	tcase_add_test(tcase, too_old);
	return unit_run(suite);
}
