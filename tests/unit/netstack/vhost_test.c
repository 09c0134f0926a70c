/* SPDX-License-Identifier: Apache-2.0 */
/* See vhost_test.h. */
#include "vhost_test.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"

struct vhost_test got;
struct loop *loop;
static char directory[] = "/tmp/test_link_vhost.XXXXXX";
static char path[64];
struct link_vhost_listener *listener;
struct fake_mem mem;
struct fake_ring rings[2]; /* 0: to the guest */
struct fake_front_end fe;
uint8_t bytes[SIM_PACKET_MAX];
static uint8_t payload[65535];

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

void vhost_test_setup(void)
{
	const struct link_sink sink = {.attached = on_attached};

	log_set_levels("error");
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

void let_go(unsigned index)
{
	for (unsigned i = 0; i < got.kept[index].count; i++)
		iobuf_hold_release(&got.kept[index].holds[i]);
	got.kept[index].count = 0;
}

void vhost_test_teardown(void)
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

void start_rings(void)
{
	for (unsigned i = 0; i < 2; i++) {
		fake_ring_init(&rings[i], &mem, i * 0x10000, RING_SIZE);
		fake_ring_start(&fe, &rings[i], i, 0);
	}
	fake_settle(loop);
}

void connect_front_end(uint64_t features)
{
	fake_connect(&fe, loop, path);
	fake_negotiate(&fe, &mem, features);
}

void start(uint64_t features)
{
	connect_front_end(features);
	start_rings();
	ck_assert_ptr_nonnull(got.link);
}

void hang_up(void)
{
	for (int i = 0; i < 2; i++) {
		fd_close(&rings[i].kick_fd);
		fd_close(&rings[i].call_fd);
	}
	fake_close(&fe);
}

void stop_rings(void)
{
	for (unsigned i = 0; i < 2; i++)
		fake_ring_stop(&fe, &rings[i], i);
}

uint8_t *slot(unsigned index)
{
	return mem.bytes + DATA_AT + index * SLOT_SIZE;
}

uint64_t slot_addr(unsigned index)
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

const struct header tso = {1, 1, 54, 1460, 34, 16, 0};

/* Writes a frame into a slot of the guest's memory; returns its size with the header. */
uint32_t write_slot(unsigned index, const struct header *header, size_t payload_size)
{
	struct sim_packet p = tcp_packet(payload_size);
	size_t size = sim_packet_build(&p, bytes);

	ck_assert_uint_eq(sizeof(*header), HEADER);
	memcpy(slot(index), header, HEADER);
	memcpy(slot(index) + HEADER, bytes, size);
	return (uint32_t)(HEADER + size);
}

/* Sends what lies in a slot as one descriptor. */
void send_slot(unsigned index, uint32_t size)
{
	fake_desc(&rings[1], (uint16_t)index, slot_addr(index), size, 0, 0);
	fake_offer(&rings[1], (uint16_t)index);
	fake_kick(&rings[1]);
	fake_settle(loop);
}

/* Gives the device a buffer of `size` bytes, in a slot. */
void give(unsigned index, uint32_t size)
{
	fake_desc(&rings[0], (uint16_t)index, slot_addr(index), size, FAKE_DESC_WRITE, 0);
	fake_offer(&rings[0], (uint16_t)index);
}

static struct iovec frame_iov[2];

/* A frame in two pieces, with its checksum left to do. */
struct frame frame_to_guest(size_t payload_size, bool gso)
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

void expect_buffer(uint32_t id, uint32_t size)
{
	uint32_t got_id, got_size;

	ck_assert(fake_used(&rings[0], &got_id, &got_size));
	ck_assert_uint_eq(got_id, id);
	ck_assert_uint_eq(got_size, size);
}

bool nothing_used(void)
{
	struct fake_ring copy = rings[0];
	uint32_t id, size;

	return !fake_used(&copy, &id, &size);
}
