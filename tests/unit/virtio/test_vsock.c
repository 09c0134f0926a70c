/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device as a whole: connections both ways, their ends, and the front-end's. */
#include "vsock_test.h"

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
	tcase_add_test(tcase, connections_survive_a_pause);
	tcase_add_test(tcase, connections_end_with_a_reset);
	tcase_add_test(tcase, vmm_dies_ten_times);
	tcase_add_test(tcase, connections_are_bounded);
	tcase_add_test(tcase, broken_rings_break_the_device_only);
	tcase_add_test(tcase, configuration_is_checked);
	return unit_run(suite);
}
