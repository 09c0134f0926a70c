/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device when one side doesn't read: credit, and queues that are full. */
#include "vsock_test.h"

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

int main(void)
{
	Suite *suite = suite_create("vsock_credit");
	TCase *tcase = unit_case(suite, "vsock_credit", setup, teardown);

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, guest_stops_receiving);
	tcase_add_test(tcase, host_that_does_not_read_uses_up_the_credit);
	tcase_add_test(tcase, guest_that_overruns_its_credit_is_reset);
	tcase_add_test(tcase, guest_without_room_stops_the_host);
	tcase_add_test(tcase, serves_tx_while_rx_is_full);
	return unit_run(suite);
}
