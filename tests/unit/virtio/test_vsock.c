/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the vsock device as a whole: a front-end and a guest's driver made of this test, its
 * queues in shared memory, unix sockets on the host's side. Everything runs in one loop, turned by
 * the test.
 */
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

static const char *path_of(const char *suffix)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s_%s", path, suffix);
	return text;
}

static void rx_offer(uint16_t index)
{
	fake_desc(&rx, index, FAKE_GUEST_BASE + RX_DATA + index * BUF_SIZE, BUF_SIZE,
		  FAKE_DESC_WRITE, 0);
	fake_offer(&rx, index);
}

static void guest_boot_without_buffers(void)
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

static void guest_boot(void)
{
	guest_boot_without_buffers();
	for (uint16_t i = 0; i < RING_SIZE; i++)
		rx_offer(i);
	fake_kick(&rx);
}

static unsigned events[VSOCK_GUEST_DETACHED + 1]; /* how often each was told */

static void on_guest(void *arg, enum vsock_guest_event event)
{
	ck_assert_ptr_eq(arg, &events);
	events[event]++;
}

static void setup(void)
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

static void teardown(void)
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

static struct vsock_header packet(uint16_t op, uint32_t guest_port, uint32_t host_port)
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
static void guest_send(struct vsock_header header, const void *data)
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

static void guest_send_op(uint16_t op, uint32_t flags)
{
	struct vsock_header header = packet(op, 1024, 80);

	header.flags = flags;
	guest_send(header, NULL);
}

static void guest_send_data(const void *data, uint32_t size)
{
	struct vsock_header header = packet(VSOCK_OP_RW, 1024, 80);

	header.size = size;
	guest_send(header, data);
}

/* Takes the next packet from the device, and gives its buffer back. */
static bool guest_receive(void)
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

static void guest_expect(uint16_t op)
{
	ck_assert(guest_receive());
	ck_assert_uint_eq(got.op, op);
	ck_assert_uint_eq(got.src_cid, VSOCK_CID_HOST);
	ck_assert_uint_eq(got.dst_cid, CID);
}

/* The guest connects from port 1024 to port 80. Returns the host's end. */
static int guest_connect(void)
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

static uint64_t conns_now(void)
{
	return vsock_device_counters(device).conns_now;
}

START_TEST(tells_its_cid)
{
	struct vhost_msg config = {.header = {.request = VHOST_GET_CONFIG},
				   .payload = VHOST_PAYLOAD_CONFIG,
				   .config = {.size = 8}};
	struct vhost_msg reply;

	fake_send(&fe, &config);
	ck_assert(fake_reply(&fe, &reply));
	ck_assert_mem_eq(reply.config.data, "\7\0\0\0\0\0\0\0", 8);
	ck_assert(vsock_device_attached(device));
	ck_assert(vsock_device_running(device));
}
END_TEST

START_TEST(guest_reaches_a_host_socket)
{
	int fd = guest_connect();
	char text[16];

	guest_send_data("hello", 5);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 5);
	ck_assert_mem_eq(text, "hello", 5);
	ck_assert_int_eq(send(fd, "welcome", 7, 0), 7);
	guest_expect(VSOCK_OP_RW);
	ck_assert_uint_eq(got.size, 7);
	ck_assert_mem_eq(got_data, "welcome", 7);
	ck_assert_uint_eq(got.fwd_cnt, 5);
	/* It closes: RST to the guest, the end to the host. */
	guest_send_op(VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH);
	guest_expect(VSOCK_OP_RST);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 0);
	ck_assert_uint_eq(conns_now(), 0);
	fd_close(&fd);
}
END_TEST

START_TEST(nobody_listens)
{
	guest_send(packet(VSOCK_OP_REQUEST, 1024, 81), NULL);
	guest_expect(VSOCK_OP_RST);
	ck_assert_uint_eq(got.src_port, 81);
	ck_assert_uint_eq(got.dst_port, 1024);
	ck_assert_uint_eq(vsock_device_counters(device).connects_failed, 1);
	ck_assert_uint_eq(conns_now(), 0);
}
END_TEST

START_TEST(host_reaches_the_guest)
{
	int fd;
	char text[32] = "";
	struct vsock_header header;

	ck_assert_int_eq(sock_connect_unix(path_of("connect"), SOCK_STREAM, &fd), 0);
	ck_assert_int_eq(send(fd, "CONNECT 5000\nearly", 18, 0), 18);
	guest_expect(VSOCK_OP_REQUEST);
	ck_assert_uint_eq(got.dst_port, 5000);
	uint32_t host_port = got.src_port;

	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), -1);
	guest_send(packet(VSOCK_OP_RESPONSE, 5000, host_port), NULL);
	ck_assert_int_gt(recv(fd, text, sizeof(text) - 1, 0), 0);
	char expected[32];

	snprintf(expected, sizeof(expected), "OK %u\n", host_port);
	ck_assert_str_eq(text, expected);
	guest_expect(VSOCK_OP_RW);
	ck_assert_mem_eq(got_data, "early", 5);
	header = packet(VSOCK_OP_RW, 5000, host_port);
	header.size = 2;
	guest_send(header, "ok");
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 2);
	/* The host's program ends altogether. */
	fd_close(&fd);
	guest_expect(VSOCK_OP_SHUTDOWN);
	ck_assert_uint_eq(got.flags, VSOCK_SHUT_BOTH);
	guest_send(packet(VSOCK_OP_RST, 5000, host_port), NULL);
	ck_assert(!guest_receive());
	ck_assert_uint_eq(conns_now(), 0);
}
END_TEST

START_TEST(guest_refuses_the_host)
{
	int fd;
	char text[8];

	ck_assert_int_eq(sock_connect_unix(path_of("connect"), SOCK_STREAM, &fd), 0);
	ck_assert_int_eq(send(fd, "CONNECT 5000\n", 13, 0), 13);
	guest_expect(VSOCK_OP_REQUEST);
	guest_send(packet(VSOCK_OP_RST, 5000, got.src_port), NULL);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 0);
	ck_assert_uint_eq(conns_now(), 0);
	fd_close(&fd);
	/* A client that asks for nothing we know. */
	ck_assert_int_eq(sock_connect_unix(path_of("connect"), SOCK_STREAM, &fd), 0);
	ck_assert_int_eq(send(fd, "GET / HTTP/1.1\n", 15, 0), 15);
	fake_settle(loop);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 0);
	ck_assert_uint_eq(conns_now(), 0);
	fd_close(&fd);
}
END_TEST

START_TEST(half_close_from_the_guest)
{
	int fd = guest_connect();
	char text[16];

	guest_send_data("question", 8);
	guest_send_op(VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 8);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 0);
	ck_assert_int_eq(send(fd, "answer", 6, 0), 6);
	guest_expect(VSOCK_OP_RW);
	ck_assert_mem_eq(got_data, "answer", 6);
	shutdown(fd, SHUT_WR);
	guest_expect(VSOCK_OP_SHUTDOWN);
	ck_assert_uint_eq(got.flags, VSOCK_SHUT_BOTH);
	guest_send_op(VSOCK_OP_RST, 0);
	ck_assert_uint_eq(conns_now(), 0);
	fd_close(&fd);
}
END_TEST

START_TEST(half_close_from_the_host)
{
	int fd = guest_connect();
	char text[16];

	ck_assert_int_eq(send(fd, "question", 8, 0), 8);
	shutdown(fd, SHUT_WR);
	guest_expect(VSOCK_OP_RW);
	guest_expect(VSOCK_OP_SHUTDOWN);
	ck_assert_uint_eq(got.flags, VSOCK_SHUT_SEND);
	guest_send_data("answer", 6);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 6);
	/* Gone without another word: noticed even though its last byte was read long ago. */
	fd_close(&fd);
	guest_expect(VSOCK_OP_SHUTDOWN);
	ck_assert_uint_eq(got.flags, VSOCK_SHUT_BOTH);
	ck_assert_uint_eq(conns_now(), 0);
}
END_TEST

START_TEST(guest_stops_receiving)
{
	int fd = guest_connect();

	guest_send_op(VSOCK_OP_SHUTDOWN, VSOCK_SHUT_RECEIVE);
	ck_assert_int_eq(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	ck_assert_int_eq(errno, EPIPE);
	ck_assert(!guest_receive());
	fd_close(&fd);
}
END_TEST

START_TEST(host_that_does_not_read_uses_up_the_credit)
{
	static uint8_t data[MAX_DATA];
	int fd = guest_connect();
	uint32_t sent = 0, fwd_cnt = 0;
	uint8_t next = 0;
	size_t wrong = 0; /* an assertion per byte takes seconds */

	/* The guest sends as long as the credit that it knows of allows. */
	while (sent - fwd_cnt + sizeof(data) <= BUF_ALLOC) {
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = (uint8_t)((sent + i) * 7);
		guest_send_data(data, sizeof(data));
		sent += sizeof(data);
		while (guest_receive()) {
			ck_assert_uint_eq(got.op, VSOCK_OP_CREDIT_UPDATE);
			fwd_cnt = got.fwd_cnt;
		}
	}
	ck_assert_uint_gt(sent, BUF_ALLOC); /* the socket took some */
	ck_assert_uint_gt(sent - fwd_cnt, BUF_ALLOC / 2);
	/* It closes, and all of it must arrive still. */
	guest_send_op(VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH);
	guest_expect(VSOCK_OP_RST);
	ck_assert_uint_eq(conns_now(), 1);
	for (uint32_t total = 0;;) {
		ssize_t n = recv(fd, data, sizeof(data), 0);

		if (n == 0) {
			ck_assert_uint_eq(total, sent);
			ck_assert_uint_eq(wrong, 0);
			break;
		}
		for (ssize_t i = 0; i < n; i++, next += 7)
			wrong += data[i] != next;
		total += n > 0 ? (uint32_t)n : 0;
		fake_settle(loop);
	}
	ck_assert_uint_eq(conns_now(), 0);
	fd_close(&fd);
}
END_TEST

START_TEST(guest_that_overruns_its_credit_is_reset)
{
	static const uint8_t data[MAX_DATA];
	int fd = guest_connect();
	bool reset = false;

	for (unsigned i = 0; i < 1000 && !reset; i++) {
		guest_send_data(data, sizeof(data));
		while (!reset && guest_receive())
			reset = got.op == VSOCK_OP_RST;
	}
	ck_assert(reset);
	ck_assert_uint_eq(conns_now(), 0);
	fd_close(&fd);
}
END_TEST

START_TEST(guest_without_room_stops_the_host)
{
	static uint8_t data[20000];
	int fd;
	uint32_t received = 0;

	guest_buf_alloc = 10000;
	fd = guest_connect();
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 11);
	ck_assert_int_eq(send(fd, data, sizeof(data), 0), sizeof(data));
	for (unsigned asked = 0; received < sizeof(data);) {
		ck_assert(guest_receive());
		if (got.op == VSOCK_OP_CREDIT_REQUEST) {
			ck_assert_uint_eq(received - guest_fwd_cnt, 10000);
			ck_assert(!guest_receive());
			/* First no credit at all, then some. */
			if (asked++ % 2) {
				guest_fwd_cnt += 6000;
				guest_send_op(VSOCK_OP_CREDIT_UPDATE, 0);
			} else {
				guest_fwd_cnt += 1;
				guest_send_op(VSOCK_OP_CREDIT_UPDATE, 0);
			}
			continue;
		}
		ck_assert_uint_eq(got.op, VSOCK_OP_RW);
		ck_assert_mem_eq(got_data, data + received, got.size);
		received += got.size;
		ck_assert_uint_le(received - guest_fwd_cnt, 10000);
	}
	ck_assert(!guest_receive());
	/* And it goes on as before. */
	guest_fwd_cnt = received;
	guest_send_op(VSOCK_OP_CREDIT_UPDATE, 0);
	ck_assert_int_eq(send(fd, "more", 4, 0), 4);
	guest_expect(VSOCK_OP_RW);
	ck_assert_mem_eq(got_data, "more", 4);
	fd_close(&fd);
}
END_TEST

START_TEST(serves_tx_while_rx_is_full)
{
	int fd;
	char text[16];

	fake_ring_stop(&fe, &rx, 0);
	fake_ring_stop(&fe, &tx, 1);
	guest_boot_without_buffers();
	guest_send_op(VSOCK_OP_REQUEST, 0);
	guest_send_data("early", 5);
	ck_assert_int_eq(sock_accept(listen_fd, &fd, NULL), 0);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 5);
	/* More resets than could ever wait. */
	for (uint32_t i = 0; i < 1000; i++)
		guest_send(packet(VSOCK_OP_RW, i + 2000, 9), NULL);
	ck_assert_uint_gt(vsock_device_counters(device).resets_dropped, 500);
	for (uint16_t i = 0; i < RING_SIZE; i++)
		rx_offer(i);
	fake_kick(&rx);
	do
		ck_assert(guest_receive());
	while (got.op == VSOCK_OP_RST);
	ck_assert_uint_eq(got.op, VSOCK_OP_RESPONSE);
	fd_close(&fd);
}
END_TEST

START_TEST(connections_survive_a_pause)
{
	int fd = guest_connect();
	char text[16];
	uint16_t rx_base = fake_ring_stop(&fe, &rx, 0);
	uint16_t tx_base = fake_ring_stop(&fe, &tx, 1);

	ck_assert_int_eq(send(fd, "meanwhile", 9, 0), 9);
	fake_settle(loop);
	fake_ring_start(&fe, &rx, 0, rx_base);
	fake_ring_start(&fe, &tx, 1, tx_base);
	guest_expect(VSOCK_OP_RW);
	ck_assert_mem_eq(got_data, "meanwhile", 9);
	guest_send_data("after", 5);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 5);
	ck_assert_uint_eq(events[VSOCK_GUEST_ATTACHED], 1);
	ck_assert_uint_eq(events[VSOCK_GUEST_RESET], 0);
	ck_assert_uint_eq(events[VSOCK_GUEST_DETACHED], 0);
	fd_close(&fd);
}
END_TEST

START_TEST(connections_end_with_a_reset)
{
	int fd = guest_connect();
	char text[16];

	fake_ring_stop(&fe, &rx, 0);
	fake_ring_stop(&fe, &tx, 1);
	ck_assert_uint_eq(events[VSOCK_GUEST_RESET], 0);
	guest_boot();
	ck_assert_uint_ge(events[VSOCK_GUEST_RESET], 1);
	ck_assert_uint_eq(events[VSOCK_GUEST_DETACHED], 0);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 0);
	ck_assert_uint_eq(conns_now(), 0);
	fd_close(&fd);
	fd = guest_connect();
	fd_close(&fd);
}
END_TEST

START_TEST(vmm_dies_ten_times)
{
	unsigned fds = 0;

	for (unsigned i = 0; i < 10; i++) {
		int fd = guest_connect();
		int client;
		char text[16];

		ck_assert_int_eq(sock_connect_unix(path_of("connect"), SOCK_STREAM, &client), 0);
		ck_assert_int_eq(send(client, "CONNECT 1\n", 10, 0), 10);
		guest_expect(VSOCK_OP_REQUEST);
		fake_close(&fe);
		ck_assert(!vsock_device_running(device));
		ck_assert_uint_eq(events[VSOCK_GUEST_DETACHED], i + 1);
		ck_assert_uint_eq(events[VSOCK_GUEST_ATTACHED], i + 1);
		ck_assert_uint_eq(events[VSOCK_GUEST_RESET], 0);
		ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 0);
		ck_assert_int_eq(recv(client, text, sizeof(text), 0), 0);
		fd_close(&fd);
		fd_close(&client);
		fd_close(&rx.kick_fd);
		fd_close(&rx.call_fd);
		fd_close(&tx.kick_fd);
		fd_close(&tx.call_fd);
		ck_assert_uint_eq(fake_count_maps(), 1);
		if (i == 0)
			fds = fake_count_fds();
		ck_assert_uint_eq(fake_count_fds(), fds);
		/* Nobody there: the host is told at once. */
		ck_assert_int_eq(sock_connect_unix(path_of("connect"), SOCK_STREAM, &client), 0);
		fake_settle(loop);
		ck_assert_int_eq(recv(client, text, sizeof(text), 0), 0);
		fd_close(&client);
		fake_connect(&fe, loop, path);
		guest_boot();
	}
}
END_TEST

START_TEST(connections_are_bounded)
{
	unsigned refused = 0;

	for (uint32_t i = 0; i < 40; i++) {
		guest_send(packet(VSOCK_OP_REQUEST, 3000 + i, 80), NULL);
		ck_assert(guest_receive());
		refused += got.op == VSOCK_OP_RST;
	}
	ck_assert_uint_eq(refused, 8);
	ck_assert_uint_eq(conns_now(), 32);
	ck_assert_uint_eq(vsock_device_counters(device).conns_refused, 8);
}
END_TEST

START_TEST(broken_rings_break_the_device_only)
{
	int fd = guest_connect();
	char text[4];

	/* A packet outside the memory. */
	fake_desc(&tx, 0, 1, VSOCK_HEADER_SIZE, 0, 0);
	fake_offer(&tx, 0);
	fake_kick(&tx);
	fake_settle(loop);
	ck_assert_uint_eq(vsock_device_counters(device).queues_broken, 1);
	ck_assert(!vsock_device_running(device));
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 0);
	fd_close(&fd);
	fake_ring_stop(&fe, &rx, 0);
	fake_ring_stop(&fe, &tx, 1);
	guest_boot();
	/* A receive buffer too small for a header. */
	fake_desc(&rx, 0, FAKE_GUEST_BASE + RX_DATA, VSOCK_HEADER_SIZE, FAKE_DESC_WRITE, 0);
	guest_send_op(VSOCK_OP_REQUEST, 0);
	ck_assert_uint_eq(vsock_device_counters(device).queues_broken, 2);
	fake_ring_stop(&fe, &rx, 0);
	fake_ring_stop(&fe, &tx, 1);
	guest_boot();
	/* Shorter than a header: ignored. */
	fake_desc(&tx, 0, FAKE_GUEST_BASE + TX_DATA, VSOCK_HEADER_SIZE - 1, 0, 0);
	fake_offer(&tx, 0);
	fake_kick(&tx);
	fake_settle(loop);
	uint32_t id, size;

	ck_assert(fake_used(&tx, &id, &size));
	ck_assert_uint_eq(vsock_device_counters(device).queues_broken, 2);
	ck_assert(!guest_receive());
}
END_TEST

START_TEST(configuration_is_checked)
{
	char name[SOCK_PATH_MAX + 8];
	const struct vsock_conf bad[] = {
		{.socket_path = "/tmp/np-x", .guest_cid = 2},
		{.socket_path = "/tmp/np-x", .guest_cid = 0xffffffff},
		{.socket_path = "/tmp/np-x", .conns_max = 1 << 20},
		{.socket_path = "/tmp/np-x", .buf_alloc = 100},
		{.socket_path = name},
		{.socket_path = path}, /* in use */
		{.socket_path = "/nonexistent/np-x"},
	};
	struct vsock_device *other = NULL;
	char error[300];

	memset(name, 'x', sizeof(name) - 1);
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		error[0] = '\0';
		ck_assert_int_lt(vsock_device_new(loop, &bad[i], &other, error, sizeof(error)), 0);
		ck_assert_uint_gt(strlen(error), 10);
		ck_assert_ptr_null(other);
	}
	/* The one that was there works on. */
	int fd = guest_connect();

	fd_close(&fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vsock");
	TCase *tcase = unit_case(suite, "vsock", setup, teardown);

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, tells_its_cid);
	tcase_add_test(tcase, guest_reaches_a_host_socket);
	tcase_add_test(tcase, nobody_listens);
	tcase_add_test(tcase, host_reaches_the_guest);
	tcase_add_test(tcase, guest_refuses_the_host);
	tcase_add_test(tcase, half_close_from_the_guest);
	tcase_add_test(tcase, half_close_from_the_host);
	tcase_add_test(tcase, guest_stops_receiving);
	tcase_add_test(tcase, host_that_does_not_read_uses_up_the_credit);
	tcase_add_test(tcase, guest_that_overruns_its_credit_is_reset);
	tcase_add_test(tcase, guest_without_room_stops_the_host);
	tcase_add_test(tcase, serves_tx_while_rx_is_full);
	tcase_add_test(tcase, connections_survive_a_pause);
	tcase_add_test(tcase, connections_end_with_a_reset);
	tcase_add_test(tcase, vmm_dies_ten_times);
	tcase_add_test(tcase, connections_are_bounded);
	tcase_add_test(tcase, broken_rings_break_the_device_only);
	tcase_add_test(tcase, configuration_is_checked);
	return unit_run(suite);
}
