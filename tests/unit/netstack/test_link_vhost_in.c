/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user link: frames from the guest, drivers that lie, and drivers that take their memory
 * back.
 */
#include <errno.h>
#include <string.h>

#include "vhost_test.h"
#include "unit.h"

static bool returned(uint32_t *ret_id)
{
	uint32_t size;

	return fake_used(&rings[1], ret_id, &size);
}

static void expect_returned(uint32_t id)
{
	uint32_t got_id;

	ck_assert(returned(&got_id));
	ck_assert_uint_eq(got_id, id);
}

START_TEST(small_frame_is_copied)
{
	const struct header partial = {.flags = 1, .csum_start = 34, .csum_offset = 16};
	uint32_t size;

	start(ALL_FEATURES);
	got.keep = true;
	size = write_slot(0, &partial, 1000);
	send_slot(0, size);
	ck_assert_uint_eq(got.frames, 1);
	ck_assert_uint_ge(got.batches, 1);
	ck_assert_int_eq(got.state.csum, FRAME_CSUM_PARTIAL);
	ck_assert_uint_eq(got.state.csum_start, 34);
	ck_assert_uint_eq(got.state.csum_offset, 16);
	ck_assert_uint_eq(got.state.size, size - HEADER);
	ck_assert_mem_eq(got.bytes, bytes, size - HEADER);
	expect_returned(0);
	/* The guest may use its memory again. */
	memset(slot(0), 0, size);
	ck_assert_mem_eq(got.kept[0].at[0], bytes, size - HEADER);
}
END_TEST

START_TEST(large_frame_is_held)
{
	uint32_t size, id;

	start(ALL_FEATURES);
	got.keep = true;
	size = write_slot(0, &tso, LARGE);
	send_slot(0, size);
	ck_assert_uint_eq(got.frames, 1);
	ck_assert_int_eq(got.state.gso, FRAME_GSO_TCP4);
	ck_assert_uint_eq(got.state.gso_size, 1460);
	ck_assert_uint_eq(got.state.header_size, 54);
	ck_assert_mem_eq(got.bytes, bytes, size - HEADER);
	ck_assert(!returned(&id));
	/* What the guest does to its headers now is of no use to it. */
	memset(slot(0), 0xff, HEADER + FRAME_LINEAR_SIZE);
	ck_assert_mem_eq(got.kept[0].at[0], bytes, FRAME_LINEAR_SIZE);
	let_go(0);
	fake_settle(loop);
	expect_returned(0);
}
END_TEST

START_TEST(unkept_frame_is_returned_at_once)
{
	start(ALL_FEATURES);
	send_slot(3, write_slot(3, &tso, LARGE));
	ck_assert_uint_eq(got.frames, 1);
	expect_returned(3);
}
END_TEST

static void expect_kept(unsigned index, const uint8_t *frame)
{
	for (unsigned i = 0; i < got.kept[index].count; i++) {
		ck_assert_mem_eq(got.kept[index].at[i], frame, got.kept[index].sizes[i]);
		frame += got.kept[index].sizes[i];
	}
}

/* Sends a frame in pieces that overlap, which a guest may do: pointers into it are told apart by
 * the piece, not by the address. */
static void send_overlapping(void)
{
	uint32_t size = write_slot(0, &tso, LARGE);
	uint32_t half = HEADER + FRAME_LINEAR_SIZE + 1000;

	fake_desc(&rings[1], 0, slot_addr(0), half, FAKE_DESC_NEXT, 1);
	fake_desc(&rings[1], 1, slot_addr(0) + half - 500, size - half, 0, 0);
	fake_offer(&rings[1], 0);
	fake_kick(&rings[1]);
	fake_settle(loop);
	ck_assert_uint_eq(got.frames, 1);
	memcpy(bytes, got.bytes, size - HEADER);
}

START_TEST(stop_copies_what_is_held)
{
	start(ALL_FEATURES);
	got.keep = true;
	send_overlapping();
	/* A pointer goes on while its bytes are used up. */
	got.kept[0].at[2] = (uint8_t *)got.kept[0].at[2] + 100;
	got.kept[0].sizes[2] -= 100;
	stop_rings();
	memset(mem.bytes, 0xa5, FAKE_MEM_SIZE);
	ck_assert_mem_eq(got.kept[0].at[1], bytes + FRAME_LINEAR_SIZE, 1000);
	ck_assert_mem_eq(got.kept[0].at[2], bytes + FRAME_LINEAR_SIZE + 1000 + 100,
			 got.kept[0].sizes[2]);
	/* Another driver runs, and the VMM goes; then the pointers. */
	start_rings();
	fake_close(&fe);
	ck_assert_mem_eq(got.kept[0].at[1], bytes + FRAME_LINEAR_SIZE, 1000);
}
END_TEST

START_TEST(listener_goes_first)
{
	start(ALL_FEATURES);
	got.keep = true;
	send_slot(0, write_slot(0, &tso, LARGE));
	link_vhost_listener_free(listener);
	listener = NULL;
	ck_assert_int_eq(link_send(got.link, &got.state, 1), -EPIPE);
	fake_settle(loop);
	ck_assert_uint_eq(got.gone, 1);
	expect_kept(0, bytes);
}
END_TEST

START_TEST(only_a_part_of_the_ring_is_held)
{
	start(ALL_FEATURES);
	got.keep = true;
	for (unsigned i = 0; i < RING_SIZE / 8; i++)
		send_slot(i, write_slot(i, &tso, LARGE));
	uint32_t id;

	ck_assert(!returned(&id));
	/* One more, and the oldest is copied. */
	send_slot(20, write_slot(20, &tso, LARGE));
	expect_returned(0);
	ck_assert(!returned(&id));
	memset(slot(0), 0, SLOT_SIZE);
	expect_kept(0, bytes);
}
END_TEST

/* A VMM that finds us dead goes on at the used index. */
START_TEST(returned_in_their_order)
{
	uint32_t id;

	start(ALL_FEATURES);
	got.keep = true;
	send_slot(0, write_slot(0, &tso, LARGE));
	send_slot(1, write_slot(1, &tso, LARGE));
	send_slot(2, write_slot(2, &tso, 1000));
	send_slot(3, HEADER + 1); /* no frame at all */
	let_go(1);
	fake_settle(loop);
	ck_assert(!returned(&id));
	let_go(0);
	fake_settle(loop);
	for (unsigned i = 0; i < 4; i++)
		expect_returned(i);
}
END_TEST

START_TEST(few_wait_for_one_that_is_held)
{
	unsigned count = RING_SIZE / 8 - 1;
	uint32_t id;

	start(ALL_FEATURES);
	got.keep = true;
	send_slot(0, write_slot(0, &tso, LARGE));
	for (unsigned i = 1; i <= count; i++)
		send_slot(i, write_slot(i, &tso, 100));
	ck_assert(!returned(&id));
	write_slot(0, &tso, LARGE); /* the same, for `bytes` */
	/* One more, and that one is copied. */
	send_slot(count + 1, HEADER + 1);
	for (unsigned i = 0; i <= count + 1; i++)
		expect_returned(i);
	memset(slot(0), 0, SLOT_SIZE);
	expect_kept(0, bytes);
}
END_TEST

START_TEST(another_driver_begins_anew)
{
	start(ALL_FEATURES);
	got.keep = true;
	send_slot(0, write_slot(0, &tso, LARGE));
	send_slot(1, write_slot(1, &tso, 1000));
	stop_rings();
	expect_returned(0);
	expect_returned(1);
	start_rings();
	send_slot(2, write_slot(2, &tso, 1000));
	expect_returned(2);
}
END_TEST

/* A frame in descriptors of `piece` bytes, from slot 0. */
static void send_in_pieces(uint32_t size, uint32_t piece)
{
	uint32_t table = DATA_AT + 20 * SLOT_SIZE, count = 0;

	for (uint32_t at = 0; at < size; at += piece, count++) {
		uint32_t part = size - at < piece ? size - at : piece;

		fake_desc_at(&mem, table + count * 16, slot_addr(0) + at, part,
			     at + part < size ? FAKE_DESC_NEXT : 0, (uint16_t)(count + 1));
	}
	fake_desc(&rings[1], 0, FAKE_GUEST_BASE + table, count * 16, FAKE_DESC_INDIRECT, 0);
	fake_offer(&rings[1], 0);
	fake_kick(&rings[1]);
	fake_settle(loop);
}

START_TEST(tiny_descriptors)
{
	static const struct {
		size_t payload;
		uint32_t piece;
	} cases[] = {{700, 1}, {LARGE, 40}, {LARGE, 900}};
	uint32_t size;

	start(ALL_FEATURES);
	size = write_slot(0, &tso, cases[_i].payload);
	send_in_pieces(size, cases[_i].piece);
	ck_assert_uint_eq(got.frames, 1);
	ck_assert_mem_eq(got.bytes, bytes, size - HEADER);
	expect_returned(0);
}
END_TEST

START_TEST(too_many_descriptors_break_the_queue)
{
	start(ALL_FEATURES);
	send_in_pieces(write_slot(0, &tso, 2000), 1);
	ck_assert_uint_eq(got.frames, 0);
	ck_assert_uint_eq(got.gone, 1);
	/* A driver that begins anew gets a link again. */
	stop_rings();
	start_rings();
	ck_assert_uint_eq(got.links, 2);
	send_slot(0, write_slot(0, &tso, LARGE));
	ck_assert_uint_eq(got.frames, 1);
}
END_TEST

static const struct {
	struct header header;
	size_t payload;
} lies[] = {
	{{1, 1, 54, 0, 34, 16, 0}, LARGE},       /* gso_size 0 */
	{{1, 1, 54, 1, 34, 16, 0}, 65000},       /* more segments than make sense */
	{{0, 1, 54, 1460, 34, 16, 0}, LARGE},    /* GSO without checksum */
	{{1, 1, 54, 1460, 65535, 16, 0}, LARGE}, /* csum_start out of range */
	{{1, 1, 54, 1460, 34, 65534, 0}, LARGE}, /* csum_offset */
	{{1, 0, 0, 0, 60000, 16, 0}, 1000},      {{1, 0, 0, 0, 34, 65535, 0}, 1000},
	{{1, 4, 54, 1460, 34, 16, 0}, LARGE}, /* IPv6, of an IPv4 packet, and not negotiated */
	{{1, 5, 54, 1460, 34, 16, 0}, LARGE}, /* UDP, the same */
	{{1, 3, 54, 1460, 34, 16, 0}, LARGE}, /* no such type */
	{{1, 0x7f, 54, 1460, 34, 16, 0}, 100},
};

START_TEST(liars_are_counted)
{
	start(ALL_FEATURES);
	send_slot(0, write_slot(0, &lies[_i].header, lies[_i].payload));
	ck_assert_uint_eq(got.frames, 0);
	ck_assert_uint_eq(got.link->counters.rx_invalid, 1);
	expect_returned(0);
	send_slot(1, write_slot(1, &tso, LARGE));
	ck_assert_uint_eq(got.frames, 1);
}
END_TEST

START_TEST(offloads_must_be_negotiated)
{
	start(NO_FEATURES);
	send_slot(0, write_slot(0, &tso, LARGE));
	send_slot(1,
		  write_slot(1, &(struct header){.flags = 1, .csum_start = 34, .csum_offset = 16},
			     100));
	ck_assert_uint_eq(got.link->counters.rx_invalid, 2);
	send_slot(2, write_slot(2, &(struct header){0}, 100));
	ck_assert_uint_eq(got.frames, 1);
}
END_TEST

START_TEST(sizes_that_are_no_frame)
{
	static const uint32_t sizes[] = {1, HEADER - 1, HEADER, HEADER + 13,
					 HEADER + FRAME_SIZE_MAX + 1};

	start(ALL_FEATURES);
	memset(slot(0), 0, HEADER);
	send_slot(0, sizes[_i]);
	ck_assert_uint_eq(got.frames, 0);
	ck_assert_uint_eq(got.link->counters.rx_invalid, 1);
	expect_returned(0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link_vhost_in");
	TCase *in = unit_case(suite, "from the guest", vhost_test_setup, vhost_test_teardown);

	tcase_add_test(in, small_frame_is_copied);
	tcase_add_test(in, large_frame_is_held);
	tcase_add_test(in, unkept_frame_is_returned_at_once);
	tcase_add_test(in, stop_copies_what_is_held);
	tcase_add_test(in, only_a_part_of_the_ring_is_held);
	tcase_add_test(in, returned_in_their_order);
	tcase_add_test(in, few_wait_for_one_that_is_held);
	tcase_add_test(in, another_driver_begins_anew);
	tcase_add_loop_test(in, tiny_descriptors, 0, 3);
	tcase_add_test(in, too_many_descriptors_break_the_queue);
	tcase_add_loop_test(in, liars_are_counted, 0, sizeof(lies) / sizeof(lies[0]));
	tcase_add_test(in, offloads_must_be_negotiated);
	tcase_add_loop_test(in, sizes_that_are_no_frame, 0, 5);
	tcase_add_test(in, listener_goes_first);
	return unit_run(suite);
}
