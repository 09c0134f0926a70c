/* SPDX-License-Identifier: Apache-2.0 */
/* The vhost-user link: frames to the guest, and how links come and go with drivers and VMMs. */
#include <errno.h>
#include <string.h>

#include "vhost_test.h"
#include "unit.h"

START_TEST(frame_spreads_over_buffers)
{
	static const struct header want = {1, 1, 54, 1460, 34, 16, 3};
	struct frame frame;

	start(ALL_FEATURES);
	for (unsigned i = 0; i < 4; i++)
		give(i, 2000);
	frame = frame_to_guest(5000, true);
	ck_assert_int_eq(link_send(got.link, &frame, 1), 0);
	ck_assert(nothing_used()); /* before the flush */
	link_flush(got.link);
	expect_buffer(0, 2000);
	expect_buffer(1, 2000);
	expect_buffer(2, frame.size + HEADER - 4000);
	ck_assert(nothing_used());
	ck_assert_mem_eq(slot(0), &want, HEADER);
	ck_assert_mem_eq(slot(0) + HEADER, bytes, 2000 - HEADER);
	ck_assert_mem_eq(slot(1), bytes + 2000 - HEADER, 2000);
	ck_assert_mem_eq(slot(2), bytes + 4000 - HEADER, frame.size + HEADER - 4000);
}
END_TEST

START_TEST(frame_needs_one_buffer)
{
	uint64_t features = ALL_FEATURES & ~FEATURE(VIRTIO_NET_F_MRG_RXBUF);
	struct frame frame;

	start(features);
	give(0, 4000);
	give(1, SLOT_SIZE);
	frame = frame_to_guest(5000, true);
	ck_assert_int_eq(link_send(got.link, &frame, 1), -EMSGSIZE);
	frame = frame_to_guest(3900, true);
	ck_assert_int_eq(link_send(got.link, &frame, 1), 0);
	frame = frame_to_guest(65000, true);
	ck_assert_int_eq(link_send(got.link, &frame, 1), 0);
	link_flush(got.link);
	expect_buffer(0, HEADER + 54 + 3900);
	expect_buffer(1, HEADER + 54 + 65000);
	ck_assert_uint_eq(slot(1)[10], 1); /* num_buffers */
	ck_assert_mem_eq(slot(1) + HEADER, bytes, frame.size);
}
END_TEST

START_TEST(full_until_buffers_come)
{
	struct frame frame;

	start(ALL_FEATURES);
	for (unsigned i = 0; i < 3; i++)
		give(i, 2000);
	frame = frame_to_guest(7000, true);
	ck_assert_int_eq(link_send(got.link, &frame, 1), -EAGAIN);
	ck_assert_int_eq(link_send(got.link, &frame, 1), -EAGAIN);
	fake_settle(loop);
	ck_assert_uint_eq(got.writable, 0);
	ck_assert(nothing_used());
	/* It wants to hear of the fourth. */
	ck_assert_uint_eq(fake_avail_event(&rings[0]), 3);
	give(3, 2000);
	fake_kick(&rings[0]);
	fake_settle(loop);
	ck_assert_uint_eq(got.writable, 1);
	ck_assert_int_eq(link_send(got.link, &frame, 1), 0);
	link_flush(got.link);
	expect_buffer(0, 2000);
	ck_assert_uint_eq(got.link->counters.tx_full, 2);
}
END_TEST

START_TEST(rest_of_a_burst_waits)
{
	struct frame frames[3];

	start(NO_FEATURES | FEATURE(VIRTIO_NET_F_GUEST_CSUM));
	give(0, 1526);
	for (int i = 0; i < 3; i++)
		frames[i] = frame_to_guest(1400, false);
	ck_assert_int_eq(link_send(got.link, frames, 3), 0);
	link_flush(got.link);
	expect_buffer(0, HEADER + 1454);
	ck_assert_int_eq(link_send(got.link, frames, 3), -EAGAIN);
	memcpy(got.bytes, bytes, sizeof(bytes));
	memset(bytes, 0, sizeof(bytes)); /* the link has copies of its own */
	give(1, 1526);
	give(2, 1526);
	fake_kick(&rings[0]);
	fake_settle(loop);
	expect_buffer(1, HEADER + 1454);
	expect_buffer(2, HEADER + 1454);
	ck_assert_mem_eq(slot(2) + HEADER, got.bytes, 1454);
	ck_assert_uint_eq(got.writable, 1);
	ck_assert_uint_eq(got.link->counters.tx_frames, 3);
}
END_TEST

START_TEST(small_frames_wait)
{
	struct frame frame, large;
	unsigned taken = 0;

	start(ALL_FEATURES);
	large = frame_to_guest(60000, true);
	frame = frame_to_guest(1400, false);
	while (link_send(got.link, &frame, 1) == 0)
		ck_assert_uint_lt(++taken, 1000);
	ck_assert_uint_eq(taken, 512 * 1024 / frame.size);
	ck_assert_int_eq(link_send(got.link, &large, 1), -EAGAIN);
	for (unsigned i = 0; i < 10; i++)
		give(i, 2000);
	fake_kick(&rings[0]);
	fake_settle(loop);
	for (unsigned i = 0; i < 10; i++)
		expect_buffer(i, HEADER + frame.size);
	ck_assert_uint_eq(got.writable, 0);
	ck_assert_uint_eq(got.link->counters.tx_frames, 10);
}
END_TEST

START_TEST(readable_receive_buffer_breaks_the_queue)
{
	struct frame frame;

	start(ALL_FEATURES);
	fake_desc(&rings[0], 0, slot_addr(0), 2000, 0, 0);
	fake_offer(&rings[0], 0);
	frame = frame_to_guest(100, false);
	ck_assert_int_eq(link_send(got.link, &frame, 1), -EPIPE);
	ck_assert_uint_eq(got.gone, 0); /* not from within */
	fake_settle(loop);
	ck_assert_uint_eq(got.gone, 1);
}
END_TEST

START_TEST(link_comes_with_both_queues)
{
	connect_front_end(ALL_FEATURES);
	fake_ring_init(&rings[0], &mem, 0, RING_SIZE);
	fake_ring_start(&fe, &rings[0], 0, 0);
	ck_assert_uint_eq(got.links, 0);
	fake_ring_init(&rings[1], &mem, 0x10000, RING_SIZE);
	fake_ring_start(&fe, &rings[1], 1, 0);
	ck_assert_uint_eq(got.links, 1);
	ck_assert_str_eq(got.link->ops->kind, "vhost");
	fake_close(&fe);
	ck_assert_uint_eq(got.gone, 1);
	ck_assert_str_eq(got.reason, "closed by the VMM");
}
END_TEST

static const struct {
	uint64_t features;
	struct link_caps caps;
} caps_cases[] = {
	{NO_FEATURES, {.gro = true}},
	{ALL_FEATURES, {.csum = true, .tso4 = true}},
	{NO_FEATURES | FEATURE(VIRTIO_NET_F_GUEST_TSO4) | FEATURE(VIRTIO_NET_F_HOST_TSO6), {0}},
	{NO_FEATURES | FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_TSO6) |
		 FEATURE(VIRTIO_NET_F_GUEST_USO4),
	 {.csum = true, .tso6 = true, .gro = true}},
	{NO_FEATURES | FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_USO6) |
		 FEATURE(VIRTIO_NET_F_GUEST_USO4),
	 {.csum = true, .uso = true, .gro = true}},
};

START_TEST(caps_follow_features)
{
	const struct link_caps *want = &caps_cases[_i].caps;

	start(caps_cases[_i].features);
	ck_assert_int_eq(got.link->caps.csum, want->csum);
	ck_assert_int_eq(got.link->caps.tso4, want->tso4);
	ck_assert_int_eq(got.link->caps.tso6, want->tso6);
	ck_assert_int_eq(got.link->caps.uso, want->uso);
	ck_assert_int_eq(got.link->caps.gro, want->gro);
}
END_TEST

/* --- Coming and going --- */

START_TEST(pause_keeps_the_link)
{
	struct frame frame;

	start(ALL_FEATURES);
	stop_rings();
	frame = frame_to_guest(5000, true);
	ck_assert_int_eq(link_send(got.link, &frame, 1), -EAGAIN);
	fake_settle(loop);
	ck_assert_uint_eq(got.writable, 0);
	start_rings();
	ck_assert_uint_eq(got.writable, 1);
	ck_assert_uint_eq(got.links, 1);
	give(0, SLOT_SIZE);
	ck_assert_int_eq(link_send(got.link, &frame, 1), 0);
	link_flush(got.link);
	expect_buffer(0, HEADER + frame.size);
}
END_TEST

START_TEST(other_features_make_another_link)
{
	start(NO_FEATURES);
	stop_rings();
	ck_assert_uint_eq(got.gone, 0);
	fake_negotiate(&fe, &mem, ALL_FEATURES);
	start_rings();
	ck_assert_uint_eq(got.gone, 1);
	ck_assert_uint_eq(got.links, 2);
	ck_assert(got.link->caps.tso4);
	send_slot(0, write_slot(0, &tso, LARGE));
	ck_assert_uint_eq(got.frames, 1);
}
END_TEST

START_TEST(next_front_end)
{
	for (unsigned i = 1; i <= 3; i++) {
		start(ALL_FEATURES);
		ck_assert_uint_eq(got.links, i);
		send_slot(0, write_slot(0, &tso, LARGE));
		ck_assert_uint_eq(got.frames, i);
		hang_up();
		ck_assert_uint_eq(got.gone, i);
	}
}
END_TEST

START_TEST(mtu_is_checked)
{
	start(ALL_FEATURES);
	ck_assert_uint_eq(fake_set_u64(&fe, VHOST_NET_SET_MTU, 1500, -1), 0);
	ck_assert_uint_eq(fake_set_u64(&fe, VHOST_NET_SET_MTU, 65520, -1), 0);
	ck_assert_uint_ne(fake_set_u64(&fe, VHOST_NET_SET_MTU, 67, -1), 0);
	ck_assert_uint_ne(fake_set_u64(&fe, VHOST_NET_SET_MTU, 65536, -1), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link_vhost_out");
	TCase *out = unit_case(suite, "to the guest", vhost_test_setup, vhost_test_teardown);
	TCase *life = unit_case(suite, "coming and going", vhost_test_setup, vhost_test_teardown);

	tcase_add_test(out, frame_spreads_over_buffers);
	tcase_add_test(out, frame_needs_one_buffer);
	tcase_add_test(out, full_until_buffers_come);
	tcase_add_test(out, rest_of_a_burst_waits);
	tcase_add_test(out, small_frames_wait);
	tcase_add_test(out, readable_receive_buffer_breaks_the_queue);
	tcase_add_test(life, link_comes_with_both_queues);
	tcase_add_loop_test(life, caps_follow_features, 0,
			    sizeof(caps_cases) / sizeof(caps_cases[0]));
	tcase_add_test(life, pause_keeps_the_link);
	tcase_add_test(life, other_features_make_another_link);
	tcase_add_test(life, next_front_end);
	tcase_add_test(life, mtu_is_checked);
	return unit_run(suite);
}
