// SPDX-License-Identifier: Apache-2.0
// The vhost-user link against a driver played by the test: frames both ways through rings in shared
// memory, drivers that lie, and drivers that take their memory back.
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "netstack/link_vhost.h"
#include "netstack/offload.h"
#include "netstack/vhost_net.h"
#include "sim/sim_packet.h"

#include "../virtio/fake_driver.h"

#define HEADER     VHOST_NET_HEADER_MAX
#define DATA_AT    0x20000u /* behind the rings */
#define SLOT_SIZE  0x11000u /* room for a super-frame and its header */
#define RING_SIZE  64
#define KEPT_MAX   64
#define PIECES_MAX 8
#define LARGE      30000 /* payload of a frame that is held */

#define ALL_FEATURES                                                         \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_EVENT_IDX) |         \
	 FEATURE(VIRTIO_F_INDIRECT_DESC) | FEATURE(VIRTIO_NET_F_MRG_RXBUF) | \
	 FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_HOST_TSO4) |      \
	 FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_TSO4))
#define NO_FEATURES FEATURE(VIRTIO_F_VERSION_1)

/* What the link's user keeps of a frame. */
struct kept {
	struct iobuf_hold holds[PIECES_MAX];
	void *at[PIECES_MAX];
	size_t sizes[PIECES_MAX];
	unsigned count;
};

static struct loop *loop;
static char directory[] = "/tmp/test_link_vhost.XXXXXX";
static char path[64];
static struct link_vhost_listener *listener;
static struct fake_mem mem;
static struct fake_ring rings[2]; /* 0: to the guest */
static struct fake_front_end fe;
static uint8_t bytes[SIM_PACKET_MAX];
static uint8_t payload[65535];

static struct {
	struct link *link; /* the one attached last; NULL when it has gone */
	unsigned links, gone, frames, batches, writable;
	char reason[80];
	struct frame state; /* of the last frame */
	uint8_t bytes[SIM_PACKET_MAX];
	bool keep;
	struct kept kept[KEPT_MAX];
	unsigned kept_count;
} got;

static void flatten(const struct frame *frame, uint8_t *to)
{
	for (unsigned i = 0; i < frame->iov_count; i++) {
		memcpy(to, frame->iov[i].iov_base, frame->iov[i].iov_len);
		to += frame->iov[i].iov_len;
	}
}

static void on_receive(void *arg, const struct frame *frame)
{
	struct kept *kept = &got.kept[got.kept_count];

	(void)arg;
	got.frames++;
	got.state = *frame;
	flatten(frame, got.bytes);
	ck_assert(frame->iov[0].iov_len >= FRAME_LINEAR_SIZE || frame->iov_count == 1);
	if (!got.keep)
		return;
	ck_assert_uint_lt(got.kept_count++, KEPT_MAX);
	ck_assert_uint_le(frame->iov_count, PIECES_MAX);
	kept->count = frame->iov_count;
	for (unsigned i = 0; i < kept->count; i++) {
		kept->at[i] = frame->iov[i].iov_base;
		kept->sizes[i] = frame->iov[i].iov_len;
		iobuf_hold_take(&kept->holds[i], frame->buf, i, &kept->at[i]);
	}
}

static void on_batch_end(void *arg)
{
	(void)arg;
	got.batches++;
}

static void on_writable(void *arg)
{
	(void)arg;
	got.writable++;
}

static void on_gone(void *arg, const char *reason)
{
	struct link *link = arg;

	got.gone++;
	snprintf(got.reason, sizeof(got.reason), "%s", reason);
	if (got.link == link)
		got.link = NULL;
	link_destroy(link);
}

static const struct link_user user = {
	.receive = on_receive,
	.batch_end = on_batch_end,
	.writable = on_writable,
	.gone = on_gone,
};

static void on_attached(void *arg, struct link *link)
{
	(void)arg;
	got.link = link;
	got.links++;
	link->user = &user;
	link->user_arg = link;
}

static void setup(void)
{
	const struct link_sink sink = {.attached = on_attached};

	memset(&got, 0, sizeof(got));
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + (i >> 8));
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/net.sock", directory);
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(link_vhost_listen(loop, path, &sink, &listener), 0);
	fake_mem_init(&mem);
}

static void let_go(unsigned index)
{
	for (unsigned i = 0; i < got.kept[index].count; i++)
		iobuf_hold_release(&got.kept[index].holds[i]);
	got.kept[index].count = 0;
}

static void teardown(void)
{
	for (unsigned i = 0; i < got.kept_count; i++)
		let_go(i);
	link_vhost_listener_free(listener);
	listener = NULL;
	fake_settle(loop);
	ck_assert_ptr_null(got.link);
	ck_assert_uint_eq(got.links, got.gone);
	for (int i = 0; i < 2; i++) {
		fd_close(&rings[i].kick_fd);
		fd_close(&rings[i].call_fd);
	}
	fd_close(&fe.fd);
	fake_mem_destroy(&mem);
	loop_free(loop);
	ck_assert_int_eq(rmdir(directory), 0);
}

static void start_rings(void)
{
	for (unsigned i = 0; i < 2; i++) {
		fake_ring_init(&rings[i], &mem, i * 0x10000, RING_SIZE);
		fake_ring_start(&fe, &rings[i], i, 0);
	}
	fake_settle(loop);
}

static void start(uint64_t features)
{
	fake_connect(&fe, loop, path);
	fake_negotiate(&fe, &mem, features);
	start_rings();
	ck_assert_ptr_nonnull(got.link);
}

static void stop_rings(void)
{
	for (unsigned i = 0; i < 2; i++)
		fake_ring_stop(&fe, &rings[i], i);
}

/* --- From the guest --- */

struct header {
	uint8_t flags, gso_type;
	uint16_t header_size, gso_size, csum_start, csum_offset, buffers;
};

static uint8_t *slot(unsigned index)
{
	return mem.bytes + DATA_AT + index * SLOT_SIZE;
}

static uint64_t slot_addr(unsigned index)
{
	return FAKE_GUEST_BASE + DATA_AT + index * SLOT_SIZE;
}

static struct sim_packet tcp_packet(size_t size)
{
	struct sim_packet p = {
		.src_mac = {{2, 0, 0, 0, 0, 1}},
		.dst_mac = {{2, 0, 0, 0, 0, 2}},
		.protocol = IPPROTO_TCP,
		.src_port = 1000,
		.dst_port = 80,
		.flags = SIM_TCP_ACK,
		.payload = payload,
		.payload_size = size,
		.partial = true,
	};

	addr_parse("192.0.2.1", &p.src);
	addr_parse("192.0.2.2", &p.dst);
	return p;
}

static const struct header tso = {1, 1, 54, 1460, 34, 16, 0};

/* Writes a frame into a slot of the guest's memory; returns its size with the header. */
static uint32_t write_slot(unsigned index, const struct header *header, size_t payload_size)
{
	struct sim_packet p = tcp_packet(payload_size);
	size_t size = sim_packet_build(&p, bytes);

	ck_assert_uint_eq(sizeof(*header), HEADER);
	memcpy(slot(index), header, HEADER);
	memcpy(slot(index) + HEADER, bytes, size);
	return (uint32_t)(HEADER + size);
}

/* Sends what lies in a slot as one descriptor. */
static void send_slot(unsigned index, uint32_t size)
{
	fake_desc(&rings[1], (uint16_t)index, slot_addr(index), size, 0, 0);
	fake_offer(&rings[1], (uint16_t)index);
	fake_kick(&rings[1]);
	fake_settle(loop);
}

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

START_TEST(link_comes_with_both_queues)
{
	fake_connect(&fe, loop, path);
	fake_negotiate(&fe, &mem, ALL_FEATURES);
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
	static const uint32_t sizes[] = {0, 1, HEADER, HEADER + 13, HEADER + FRAME_SIZE_MAX + 1};

	start(ALL_FEATURES);
	memset(slot(0), 0, HEADER);
	send_slot(0, sizes[_i]);
	ck_assert_uint_eq(got.frames, 0);
	ck_assert_uint_eq(got.link->counters.rx_invalid, 1);
	expect_returned(0);
}
END_TEST

/* --- To the guest --- */

/* Gives the device a buffer of `size` bytes, in a slot. */
static void give(unsigned index, uint32_t size)
{
	fake_desc(&rings[0], (uint16_t)index, slot_addr(index), size, FAKE_DESC_WRITE, 0);
	fake_offer(&rings[0], (uint16_t)index);
}

static struct iovec frame_iov[2];

/* A frame in two pieces, with its checksum left to do. */
static struct frame frame_to_guest(size_t payload_size, bool gso)
{
	struct sim_packet p = tcp_packet(payload_size);
	size_t size = sim_packet_build(&p, bytes);

	frame_iov[0] = (struct iovec){bytes, 60};
	frame_iov[1] = (struct iovec){bytes + 60, size - 60};
	return (struct frame){
		.iov = frame_iov,
		.iov_count = 2,
		.size = (uint32_t)size,
		.csum = FRAME_CSUM_PARTIAL,
		.csum_start = 34,
		.csum_offset = 16,
		.gso = gso ? FRAME_GSO_TCP4 : FRAME_GSO_NONE,
		.gso_size = gso ? 1460 : 0,
		.header_size = gso ? 54 : 0,
	};
}

static void expect_buffer(uint32_t id, uint32_t size)
{
	uint32_t got_id, got_size;

	ck_assert(fake_used(&rings[0], &got_id, &got_size));
	ck_assert_uint_eq(got_id, id);
	ck_assert_uint_eq(got_size, size);
}

static bool nothing_used(void)
{
	struct fake_ring copy = rings[0];
	uint32_t id, size;

	return !fake_used(&copy, &id, &size);
}

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
		fd_close(&rings[0].kick_fd);
		fd_close(&rings[0].call_fd);
		fd_close(&rings[1].kick_fd);
		fd_close(&rings[1].call_fd);
		fake_close(&fe);
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

static TCase *case_new(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	suite_add_tcase(suite, tc);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("link_vhost");
	TCase *in = case_new(suite, "from the guest");
	TCase *out = case_new(suite, "to the guest");
	TCase *life = case_new(suite, "coming and going");

	log_set_levels("error");
	tcase_add_test(in, small_frame_is_copied);
	tcase_add_test(in, large_frame_is_held);
	tcase_add_test(in, unkept_frame_is_returned_at_once);
	tcase_add_test(in, stop_copies_what_is_held);
	tcase_add_test(in, only_a_part_of_the_ring_is_held);
	tcase_add_loop_test(in, tiny_descriptors, 0, 3);
	tcase_add_test(in, too_many_descriptors_break_the_queue);
	tcase_add_loop_test(in, liars_are_counted, 0, sizeof(lies) / sizeof(lies[0]));
	tcase_add_test(in, offloads_must_be_negotiated);
	tcase_add_loop_test(in, sizes_that_are_no_frame, 0, 5);
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
	tcase_add_test(life, listener_goes_first);
	tcase_add_test(life, mtu_is_checked);

	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
