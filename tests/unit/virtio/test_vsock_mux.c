/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of virtio/vsock_mux: what each packet does, credit, deadlines; no sockets, no queues. */
#include <errno.h>
#include <string.h>

#include "virtio/vsock_mux.h"
#include "unit.h"

#define CID       3
#define BUF_ALLOC 4096
#define CONNS_MAX 4

static struct vsock_mux mux;
static int holder; /* stands for what holds a connection */

static void setup(void)
{
	vsock_mux_init(&mux, CID, CONNS_MAX, BUF_ALLOC);
}

static void teardown(void)
{
	vsock_mux_destroy(&mux);
}

static struct vsock_header packet(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	return (struct vsock_header){
		.src_cid = CID,
		.dst_cid = VSOCK_CID_HOST,
		.src_port = guest_port,
		.dst_port = host_port,
		.type = VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = 1000,
	};
}

static struct vsock_result input(struct vsock_header header)
{
	return vsock_mux_input(&mux, &header, header.size);
}

/* The next packet to the guest must be this one. */
static struct vsock_header expect(uint16_t op, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_header header = {0};

	ck_assert(vsock_mux_output_due(&mux));
	ck_assert(vsock_mux_output(&mux, &header));
	ck_assert_uint_eq(header.op, op);
	ck_assert_uint_eq(header.src_cid, VSOCK_CID_HOST);
	ck_assert_uint_eq(header.dst_cid, CID);
	ck_assert_uint_eq(header.src_port, host_port);
	ck_assert_uint_eq(header.dst_port, guest_port);
	return header;
}

static void expect_nothing(void)
{
	struct vsock_header header;

	ck_assert(!vsock_mux_output_due(&mux));
	ck_assert(!vsock_mux_output(&mux, &header));
}

/* A connection that the guest opened from its port 1024 to our port 80. */
static struct vsock_conn *open_conn(void)
{
	struct vsock_result result = input(packet(VSOCK_OP_REQUEST, 1024, 80));

	ck_assert_int_eq(result.action, VSOCK_ACT_CONNECT);
	result.conn->user = &holder;
	vsock_conn_accept(&mux, result.conn);
	ck_assert_uint_eq(vsock_conn_room(result.conn), 0); /* not before the RESPONSE */
	struct vsock_header response = expect(VSOCK_OP_RESPONSE, 80, 1024);

	ck_assert_uint_eq(response.buf_alloc, BUF_ALLOC);
	ck_assert_uint_eq(vsock_conn_room(result.conn), 1000);
	return result.conn;
}

START_TEST(header_survives_the_wire)
{
	const struct vsock_header in = {.src_cid = 0x0102030405060708,
					.dst_cid = 2,
					.src_port = 0xfffffffe,
					.dst_port = 7,
					.size = 9,
					.type = 1,
					.op = 5,
					.flags = 3,
					.buf_alloc = 0x10000,
					.fwd_cnt = 0xfffffff0};
	static const uint8_t start[] = {8, 7, 6, 5, 4, 3, 2, 1, 2, 0};
	uint8_t bytes[VSOCK_HEADER_SIZE];

	vsock_header_encode(&in, bytes);
	ck_assert_mem_eq(bytes, start, sizeof(start));
	ck_assert_uint_eq(bytes[24], 9);
	struct vsock_header out = vsock_header_decode(bytes);

	uint8_t again[VSOCK_HEADER_SIZE];

	ck_assert_uint_eq(out.src_port, in.src_port);
	ck_assert_uint_eq(out.fwd_cnt, in.fwd_cnt);
	vsock_header_encode(&out, again);
	ck_assert_mem_eq(bytes, again, sizeof(bytes));
}
END_TEST

START_TEST(refused_connect)
{
	struct vsock_result result = input(packet(VSOCK_OP_REQUEST, 1024, 80));

	ck_assert_int_eq(result.action, VSOCK_ACT_CONNECT);
	vsock_conn_reset(&mux, result.conn);
	expect(VSOCK_OP_RST, 80, 1024);
	expect_nothing();
	ck_assert_uint_eq(mux.conns.count, 0);
}
END_TEST

START_TEST(strangers_are_reset)
{
	struct vsock_header p;

	for (uint16_t op = 0; op < 10; op++) {
		if (op == VSOCK_OP_REQUEST)
			continue;
		ck_assert_int_eq(input(packet(op, 5, 6)).action, VSOCK_ACT_NONE);
		if (op != VSOCK_OP_RST) /* never answered */
			expect(VSOCK_OP_RST, 6, 5);
		expect_nothing();
	}
	p = packet(VSOCK_OP_REQUEST, 5, 6);
	p.type = 2;
	input(p);
	ck_assert_uint_eq(expect(VSOCK_OP_RST, 6, 5).type, 2);
	p = packet(VSOCK_OP_REQUEST, 5, 6);
	p.dst_cid = 77;
	input(p);
	struct vsock_header rst;

	ck_assert(vsock_mux_output(&mux, &rst));
	ck_assert_uint_eq(rst.src_cid, 77);
	p = packet(VSOCK_OP_REQUEST, 5, 6);
	p.src_cid = 4; /* not who it is: no answer */
	input(p);
	expect_nothing();
	ck_assert_uint_eq(mux.conns.count, 0);
	ck_assert_uint_eq(mux.counters.packets_invalid, 3);
}
END_TEST

START_TEST(resets_that_wait_are_bounded)
{
	struct vsock_header header;
	unsigned count = 0;

	for (uint32_t i = 0; i < VSOCK_RST_QUEUE_MAX + 10; i++)
		input(packet(VSOCK_OP_RW, i, 6));
	ck_assert_uint_eq(mux.counters.resets_dropped, 10);
	while (vsock_mux_output(&mux, &header))
		ck_assert_uint_eq(header.dst_port, count++);
	ck_assert_uint_eq(count, VSOCK_RST_QUEUE_MAX);
}
END_TEST

START_TEST(table_is_bounded)
{
	struct vsock_conn *conn;

	for (uint32_t i = 0; i < CONNS_MAX; i++)
		ck_assert_int_eq(input(packet(VSOCK_OP_REQUEST, i, 80)).action, VSOCK_ACT_CONNECT);
	ck_assert_int_eq(input(packet(VSOCK_OP_REQUEST, 99, 80)).action, VSOCK_ACT_NONE);
	expect(VSOCK_OP_RST, 80, 99);
	ck_assert_int_eq(vsock_mux_connect(&mux, 1, &holder, 0, &conn), -ENOSPC);
	ck_assert_uint_eq(mux.counters.conns_refused, 2);
}
END_TEST

START_TEST(data_and_credit_from_the_guest)
{
	struct vsock_conn *conn = open_conn();
	struct vsock_header p = packet(VSOCK_OP_RW, 1024, 80);
	struct vsock_result result;

	p.size = BUF_ALLOC - 1;
	result = input(p);
	ck_assert_int_eq(result.action, VSOCK_ACT_DATA);
	ck_assert_ptr_eq(result.user, &holder);
	ck_assert_uint_eq(vsock_conn_buffered(conn), BUF_ALLOC - 1);
	/* A little goes out: not worth a packet. */
	vsock_conn_consumed(&mux, conn, 100);
	expect_nothing();
	input(packet(VSOCK_OP_CREDIT_REQUEST, 1024, 80));
	ck_assert_uint_eq(expect(VSOCK_OP_CREDIT_UPDATE, 80, 1024).fwd_cnt, 100);
	vsock_conn_consumed(&mux, conn, BUF_ALLOC / 4);
	ck_assert_uint_eq(expect(VSOCK_OP_CREDIT_UPDATE, 80, 1024).fwd_cnt, 100 + BUF_ALLOC / 4);
	/* One byte more than it may. */
	p.size = BUF_ALLOC / 4 + 102;
	result = input(p);
	ck_assert_int_eq(result.action, VSOCK_ACT_ABORT);
	ck_assert_ptr_eq(result.user, &holder);
	expect(VSOCK_OP_RST, 80, 1024);
	ck_assert_uint_eq(mux.conns.count, 0);
}
END_TEST

START_TEST(payload_shorter_than_it_says)
{
	struct vsock_header p = packet(VSOCK_OP_RW, 1024, 80);

	open_conn();
	p.size = 10;
	ck_assert_int_eq(vsock_mux_input(&mux, &p, 9).action, VSOCK_ACT_ABORT);
	expect(VSOCK_OP_RST, 80, 1024);
}
END_TEST

START_TEST(credit_of_the_guest)
{
	struct vsock_conn *conn = open_conn();
	struct vsock_header p = packet(VSOCK_OP_CREDIT_UPDATE, 1024, 80);
	struct vsock_header data = vsock_conn_data(&mux, conn, 600);

	ck_assert_uint_eq(data.size, 600);
	ck_assert_uint_eq(vsock_conn_room(conn), 400);
	vsock_conn_data(&mux, conn, 400);
	ck_assert_uint_eq(vsock_conn_room(conn), 0);
	vsock_conn_ask_credit(&mux, conn);
	vsock_conn_ask_credit(&mux, conn);
	expect(VSOCK_OP_CREDIT_REQUEST, 80, 1024);
	expect_nothing();
	p.fwd_cnt = 700;
	ck_assert_int_eq(input(p).action, VSOCK_ACT_UPDATE);
	ck_assert_uint_eq(vsock_conn_room(conn), 700);
	/* It claims to have taken what was never sent, or shrinks its buffer. */
	p.fwd_cnt = 1001;
	input(p);
	ck_assert_uint_eq(vsock_conn_room(conn), 0);
	p.fwd_cnt = 0;
	p.buf_alloc = 10;
	input(p);
	ck_assert_uint_eq(vsock_conn_room(conn), 0);
	/* The counters wrap. */
	conn->sent_cnt = 100;
	p.fwd_cnt = 0xffffffff - 99;
	p.buf_alloc = 1000;
	input(p);
	ck_assert_uint_eq(vsock_conn_room(conn), 800);
}
END_TEST

START_TEST(guest_half_closes_then_closes)
{
	struct vsock_conn *conn = open_conn();
	struct vsock_header p = packet(VSOCK_OP_SHUTDOWN, 1024, 80);
	struct vsock_result result;

	p.flags = VSOCK_SHUT_SEND;
	result = input(p);
	ck_assert_int_eq(result.action, VSOCK_ACT_UPDATE);
	ck_assert_uint_eq(conn->guest_shut, VSOCK_SHUT_SEND);
	ck_assert_uint_eq(vsock_conn_room(conn), 1000);
	p.flags = VSOCK_SHUT_RECEIVE; /* sticky: both now */
	result = input(p);
	ck_assert_int_eq(result.action, VSOCK_ACT_FINISH);
	ck_assert_ptr_eq(result.user, &holder);
	expect(VSOCK_OP_RST, 80, 1024);
	ck_assert_uint_eq(mux.conns.count, 0);
}
END_TEST

START_TEST(no_data_after_shutdown)
{
	struct vsock_header p = packet(VSOCK_OP_SHUTDOWN, 1024, 80);

	open_conn();
	p.flags = VSOCK_SHUT_SEND;
	input(p);
	p = packet(VSOCK_OP_RW, 1024, 80);
	p.size = 1;
	ck_assert_int_eq(input(p).action, VSOCK_ACT_ABORT);
}
END_TEST

START_TEST(host_half_closes_then_closes)
{
	struct vsock_conn *conn = open_conn();

	vsock_conn_shut_send(&mux, conn);
	ck_assert_uint_eq(expect(VSOCK_OP_SHUTDOWN, 80, 1024).flags, VSOCK_SHUT_SEND);
	ck_assert_uint_eq(vsock_conn_room(conn), 0);
	vsock_conn_close(&mux, conn, 1000);
	ck_assert_uint_eq(expect(VSOCK_OP_SHUTDOWN, 80, 1024).flags, VSOCK_SHUT_BOTH);
	/* What was still under way is ignored; the RST ends it. */
	struct vsock_header p = packet(VSOCK_OP_RW, 1024, 80);

	p.size = 5;
	ck_assert_int_eq(input(p).action, VSOCK_ACT_NONE);
	ck_assert_int_eq(input(packet(VSOCK_OP_RST, 1024, 80)).action, VSOCK_ACT_NONE);
	ck_assert_uint_eq(mux.conns.count, 0);
	expect_nothing();
}
END_TEST

START_TEST(close_that_is_not_answered_times_out)
{
	struct vsock_conn *conn = open_conn();

	vsock_conn_close(&mux, conn, 1000);
	expect(VSOCK_OP_SHUTDOWN, 80, 1024);
	ck_assert(vsock_mux_timed(&mux));
	ck_assert_int_eq(vsock_mux_expire(&mux, 999 + VSOCK_CLOSE_TIMEOUT_MS).action,
			 VSOCK_ACT_NONE);
	struct vsock_result result = vsock_mux_expire(&mux, 1000 + VSOCK_CLOSE_TIMEOUT_MS);

	ck_assert_int_eq(result.action, VSOCK_ACT_ABORT);
	ck_assert_ptr_null(result.user);
	expect(VSOCK_OP_RST, 80, 1024);
	ck_assert(!vsock_mux_timed(&mux));
	ck_assert_uint_eq(mux.conns.count, 0);
}
END_TEST

START_TEST(both_close_at_once)
{
	struct vsock_conn *conn = open_conn();
	struct vsock_header p = packet(VSOCK_OP_SHUTDOWN, 1024, 80);

	vsock_conn_close(&mux, conn, 0);
	p.flags = VSOCK_SHUT_BOTH;
	ck_assert_int_eq(input(p).action, VSOCK_ACT_NONE);
	expect(VSOCK_OP_RST, 80, 1024);
	ck_assert_uint_eq(mux.conns.count, 0);
}
END_TEST

START_TEST(guest_resets)
{
	open_conn();
	struct vsock_result result = input(packet(VSOCK_OP_RST, 1024, 80));

	ck_assert_int_eq(result.action, VSOCK_ACT_ABORT);
	ck_assert_ptr_eq(result.user, &holder);
	ck_assert_ptr_null(result.conn);
	expect_nothing();
	ck_assert_uint_eq(mux.conns.count, 0);
}
END_TEST

START_TEST(second_request_for_a_connection)
{
	open_conn();
	ck_assert_int_eq(input(packet(VSOCK_OP_REQUEST, 1024, 80)).action, VSOCK_ACT_ABORT);
	expect(VSOCK_OP_RST, 80, 1024);
}
END_TEST

START_TEST(host_connects)
{
	struct vsock_conn *conn, *other;
	struct vsock_result result;

	ck_assert_int_eq(vsock_mux_connect(&mux, 22, &holder, 0, &conn), 0);
	ck_assert_int_eq(vsock_mux_connect(&mux, 22, &holder, 0, &other), 0);
	ck_assert_uint_ne(conn->host_port, other->host_port);
	expect(VSOCK_OP_REQUEST, conn->host_port, 22);
	expect(VSOCK_OP_REQUEST, other->host_port, 22);
	result = input(packet(VSOCK_OP_RESPONSE, 22, conn->host_port));
	ck_assert_int_eq(result.action, VSOCK_ACT_OPENED);
	ck_assert_ptr_eq(result.conn, conn);
	ck_assert_uint_eq(vsock_conn_room(conn), 1000);
	result = input(packet(VSOCK_OP_RST, 22, other->host_port));
	ck_assert_int_eq(result.action, VSOCK_ACT_ABORT);
	/* Data before the answer. */
	ck_assert_int_eq(vsock_mux_connect(&mux, 22, &holder, 0, &other), 0);
	expect(VSOCK_OP_REQUEST, other->host_port, 22);
	result = input(packet(VSOCK_OP_RW, 22, other->host_port));
	ck_assert_int_eq(result.action, VSOCK_ACT_ABORT);
}
END_TEST

START_TEST(request_that_is_not_answered_times_out)
{
	struct vsock_conn *conn;
	struct vsock_result result;

	ck_assert_int_eq(vsock_mux_connect(&mux, 22, &holder, 500, &conn), 0);
	result = vsock_mux_expire(&mux, 500 + VSOCK_REQUEST_TIMEOUT_MS);
	ck_assert_int_eq(result.action, VSOCK_ACT_ABORT);
	ck_assert_ptr_eq(result.user, &holder);
	/* The guest never heard of it. */
	expect_nothing();
	ck_assert_uint_eq(mux.conns.count, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vsock_mux");
	TCase *tcase = unit_case(suite, "vsock_mux", setup, teardown);

	tcase_add_test(tcase, header_survives_the_wire);
	tcase_add_test(tcase, refused_connect);
	tcase_add_test(tcase, strangers_are_reset);
	tcase_add_test(tcase, resets_that_wait_are_bounded);
	tcase_add_test(tcase, table_is_bounded);
	tcase_add_test(tcase, data_and_credit_from_the_guest);
	tcase_add_test(tcase, payload_shorter_than_it_says);
	tcase_add_test(tcase, credit_of_the_guest);
	tcase_add_test(tcase, guest_half_closes_then_closes);
	tcase_add_test(tcase, no_data_after_shutdown);
	tcase_add_test(tcase, host_half_closes_then_closes);
	tcase_add_test(tcase, close_that_is_not_answered_times_out);
	tcase_add_test(tcase, both_close_at_once);
	tcase_add_test(tcase, guest_resets);
	tcase_add_test(tcase, second_request_for_a_connection);
	tcase_add_test(tcase, host_connects);
	tcase_add_test(tcase, request_that_is_not_answered_times_out);
	return unit_run(suite);
}
