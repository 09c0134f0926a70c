/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the vsock device as a whole share: a front-end and a guest's driver made of the
 * test, its queues in shared memory, unix sockets on the host's side. Everything runs in one loop,
 * turned by the test.
 */
#ifndef TESTS_UNIT_VIRTIO_VSOCK_TEST_H
#define TESTS_UNIT_VIRTIO_VSOCK_TEST_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "fake_driver.h"
#include "virtio/vsock.h"
#include "virtio/vsock_packet.h"
#include "unit.h"

#define FEATURES                                                     \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_EVENT_IDX) | \
	 FEATURE(VIRTIO_F_INDIRECT_DESC))
#define RING_SIZE 64
#define RX_AT     0u
#define TX_AT     0x10000u
#define RX_DATA   0x100000u /* RING_SIZE buffers of BUF_SIZE */
#define TX_DATA   0x200000u
#define BUF_SIZE  4096u
#define BUF_ALLOC (64u * 1024)
#define CID       7
#define MAX_DATA  (BUF_SIZE - VSOCK_HEADER_SIZE)

static char path[64];
static struct loop *loop;
static struct vsock_device *device;
static struct fake_mem mem;
static struct fake_front_end fe;
static struct fake_ring rx, tx;
static uint16_t tx_next;
static int listen_fd; /* PATH_80 */

/* The packet that came from the device last. */
static struct vsock_header got;
static uint8_t got_data[BUF_SIZE];
/* What the guest tells of its own buffers. */
static uint32_t guest_buf_alloc;
static uint32_t guest_fwd_cnt;

static inline const char *path_of(const char *suffix)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s_%s", path, suffix);
	return text;
}

static inline void rx_offer(uint16_t index)
{
	fake_desc(&rx, index, FAKE_GUEST_BASE + RX_DATA + index * BUF_SIZE, BUF_SIZE,
		  FAKE_DESC_WRITE, 0);
	fake_offer(&rx, index);
}

static inline void guest_boot_without_buffers(void)
{
	fake_ring_init(&rx, &mem, RX_AT, RING_SIZE);
	fake_ring_init(&tx, &mem, TX_AT, RING_SIZE);
	tx_next = 0;
	guest_buf_alloc = 256 * 1024;
	guest_fwd_cnt = 0;
	fake_negotiate(&fe, &mem, FEATURES);
	fake_ring_start(&fe, &rx, 0, 0);
	fake_ring_start(&fe, &tx, 1, 0);
}

static inline void guest_boot(void)
{
	guest_boot_without_buffers();
	for (uint16_t i = 0; i < RING_SIZE; i++)
		rx_offer(i);
	fake_kick(&rx);
}

static unsigned events[VSOCK_GUEST_DETACHED + 1]; /* how often each was told */

static inline void on_guest(void *arg, enum vsock_guest_event event)
{
	ck_assert_ptr_eq(arg, &events);
	events[event]++;
}

static inline void setup(void)
{
	const struct vsock_conf conf = {.socket_path = path,
					.guest_cid = CID,
					.buf_alloc = BUF_ALLOC,
					.conns_max = 32,
					.on_guest = on_guest,
					.on_guest_arg = &events};
	char error[128];

	log_set_levels("error");
	log_set_file("/dev/null");
	memset(events, 0, sizeof(events));
	snprintf(path, sizeof(path), "/tmp/np-test-vsock-%d", (int)getpid());
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(vsock_device_new(loop, &conf, &device, error, sizeof(error)), 0);
	ck_assert_int_eq(sock_listen_unix(path_of("80"), SOCK_STREAM, &listen_fd), 0);
	fake_mem_init(&mem);
	fake_connect(&fe, loop, path);
	guest_boot();
}

static inline void teardown(void)
{
	fake_close(&fe);
	vsock_device_free(device);
	loop_free(loop);
	fd_close(&listen_fd);
	unlink(path_of("80"));
	ck_assert_int_ne(access(path_of("connect"), F_OK), 0);
	ck_assert_int_ne(access(path, F_OK), 0);
	fd_close(&rx.kick_fd);
	fd_close(&rx.call_fd);
	fd_close(&tx.kick_fd);
	fd_close(&tx.call_fd);
	fake_mem_destroy(&mem);
}

static inline struct vsock_header packet(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	return (struct vsock_header){.src_cid = CID,
				     .dst_cid = VSOCK_CID_HOST,
				     .src_port = guest_port,
				     .dst_port = host_port,
				     .type = VSOCK_TYPE_STREAM,
				     .op = op,
				     .buf_alloc = guest_buf_alloc,
				     .fwd_cnt = guest_fwd_cnt};
}

/* Sends a packet: header and data in descriptors of their own, as Linux 6.1 does. */
static inline void guest_send(struct vsock_header header, const void *data)
{
	uint16_t i = tx_next;
	uint32_t at = TX_DATA + i * BUF_SIZE;
	uint32_t id, size;

	tx_next = (tx_next + 2) % RING_SIZE;
	vsock_header_encode(&header, mem.bytes + at);
	if (header.size)
		memcpy(mem.bytes + at + VSOCK_HEADER_SIZE, data, header.size);
	fake_desc(&tx, i, FAKE_GUEST_BASE + at, VSOCK_HEADER_SIZE, header.size ? FAKE_DESC_NEXT : 0,
		  i + 1);
	fake_desc(&tx, i + 1, FAKE_GUEST_BASE + at + VSOCK_HEADER_SIZE, header.size, 0, 0);
	fake_offer(&tx, i);
	fake_kick(&tx);
	fake_settle(loop);
	ck_assert(fake_used(&tx, &id, &size));
	ck_assert_uint_eq(id, i);
	ck_assert_uint_eq(size, 0);
}

static inline void guest_send_op(uint16_t op, uint32_t flags)
{
	struct vsock_header header = packet(op, 1024, 80);

	header.flags = flags;
	guest_send(header, NULL);
}

static inline void guest_send_data(const void *data, uint32_t size)
{
	struct vsock_header header = packet(VSOCK_OP_RW, 1024, 80);

	header.size = size;
	guest_send(header, data);
}

/* Takes the next packet from the device, and gives its buffer back. */
static inline bool guest_receive(void)
{
	uint32_t id, size;

	fake_settle(loop);
	if (!fake_used(&rx, &id, &size))
		return false;
	got = vsock_header_decode(mem.bytes + RX_DATA + id * BUF_SIZE);
	ck_assert_uint_eq(size, VSOCK_HEADER_SIZE + got.size);
	memcpy(got_data, mem.bytes + RX_DATA + id * BUF_SIZE + VSOCK_HEADER_SIZE, got.size);
	rx_offer((uint16_t)id);
	fake_kick(&rx);
	return true;
}

static inline void guest_expect(uint16_t op)
{
	ck_assert(guest_receive());
	ck_assert_uint_eq(got.op, op);
	ck_assert_uint_eq(got.src_cid, VSOCK_CID_HOST);
	ck_assert_uint_eq(got.dst_cid, CID);
}

/* The guest connects from port 1024 to port 80. Returns the host's end. */
static inline int guest_connect(void)
{
	int fd;

	guest_send_op(VSOCK_OP_REQUEST, 0);
	guest_expect(VSOCK_OP_RESPONSE);
	ck_assert_uint_eq(got.src_port, 80);
	ck_assert_uint_eq(got.dst_port, 1024);
	ck_assert_uint_eq(got.buf_alloc, BUF_ALLOC);
	ck_assert_int_eq(sock_accept(listen_fd, &fd, NULL), 0);
	return fd;
}

static inline uint64_t conns_now(void)
{
	return vsock_device_counters(device).conns_now;
}

#endif
