/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's packets and the host's events into the vsock state machine. Input: steps of 8 bytes:
 * what happens, two ports out of four each, and values. The harness holds connections as vsock.c
 * does, and checks what must hold always.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/vsock_mux.h"

#define CID       3
#define BUF_ALLOC 8192
#define CONNS_MAX 6

/* A holder: one for each connection that is held. */
struct holder {
	struct vsock_conn *conn; /* NULL: free */
};

static struct vsock_mux mux;
static struct holder holders[CONNS_MAX];

static struct holder *holder_new(void)
{
	for (unsigned i = 0; i < CONNS_MAX; i++)
		if (!holders[i].conn)
			return &holders[i];
	abort();
}

static void guest_packet(const uint8_t *step)
{
	struct vsock_header header = {
		.src_cid = step[0] & 0x10 ? CID + 1 : CID,
		.dst_cid = step[0] & 0x20 ? 9 : VSOCK_CID_HOST,
		.src_port = step[1] & 3,
		.dst_port = step[1] & 4 ? VSOCK_HOST_PORT_FIRST + (step[1] >> 4 & 3)
					: (uint32_t)(step[1] >> 4 & 3),
		.size = step[3] * 64u,
		.type = step[0] & 0x40 ? 2 : VSOCK_TYPE_STREAM,
		.op = step[2] & 0xf,
		.flags = step[2] >> 4,
		.buf_alloc = step[4] * 256u,
		.fwd_cnt = (uint32_t)(int32_t)(int8_t)step[5] * 128u,
	};
	struct vsock_result result = vsock_mux_input(&mux, &header, step[6] * 64u);
	struct holder *holder = result.user;

	switch (result.action) {
	case VSOCK_ACT_CONNECT:
		holder = holder_new();
		holder->conn = result.conn;
		result.conn->user = holder;
		break;
	case VSOCK_ACT_FINISH:
	case VSOCK_ACT_ABORT:
		if (result.conn || !holder)
			abort();
		holder->conn = NULL;
		break;
	case VSOCK_ACT_DATA:
	case VSOCK_ACT_OPENED:
	case VSOCK_ACT_UPDATE:
		if (!holder || holder->conn != result.conn)
			abort();
		break;
	case VSOCK_ACT_NONE:
		break;
	}
}

static void host_event(const uint8_t *step, uint64_t now_ms)
{
	struct holder *holder = &holders[step[1] % CONNS_MAX];
	struct vsock_conn *conn = holder->conn;
	uint32_t amount = step[3] * 64u;

	if (!conn)
		return;
	if (conn->state == VSOCK_CONNECTING && (step[2] & 7) < 6) {
		vsock_conn_accept(&mux, conn);
		return;
	}
	if ((step[2] & 7) == 7 || conn->state != VSOCK_OPEN) {
		holder->conn = NULL;
		vsock_conn_reset(&mux, conn);
		return;
	}
	switch (step[2] & 7) {
	case 0:
		vsock_conn_shut_send(&mux, conn);
		break;
	case 1:
		holder->conn = NULL;
		vsock_conn_close(&mux, conn, now_ms);
		break;
	case 2:
	case 3:
		if (amount > vsock_conn_buffered(conn))
			amount = vsock_conn_buffered(conn);
		vsock_conn_consumed(&mux, conn, amount);
		break;
	case 4:
		vsock_conn_ask_credit(&mux, conn);
		break;
	default:
		if (amount > vsock_conn_room(conn))
			amount = vsock_conn_room(conn);
		if (amount)
			vsock_conn_data(&mux, conn, amount);
		break;
	}
}

static void host_connect(const uint8_t *step, uint64_t now_ms)
{
	struct vsock_conn *conn;
	unsigned held = 0;

	for (unsigned i = 0; i < CONNS_MAX; i++)
		held += holders[i].conn != NULL;
	if (held == CONNS_MAX)
		return;
	struct holder *holder = holder_new();

	if (vsock_mux_connect(&mux, step[1] & 3, holder, now_ms, &conn) == 0)
		holder->conn = conn;
}

static void expire(uint64_t now_ms)
{
	struct vsock_result result;

	while ((result = vsock_mux_expire(&mux, now_ms)).action != VSOCK_ACT_NONE) {
		struct holder *holder = result.user;

		if (holder)
			holder->conn = NULL;
	}
}

static void check(void)
{
	if (mux.conns.count > CONNS_MAX || mux.rst_count > VSOCK_RST_QUEUE_MAX)
		abort();
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		const struct vsock_conn *conn = holders[i].conn;

		if (conn && (conn->user != &holders[i] || conn->state > VSOCK_OPEN ||
			     vsock_conn_buffered(conn) > BUF_ALLOC))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vsock_header header;
	uint64_t now_ms = 0;

	memset(holders, 0, sizeof(holders));
	vsock_mux_init(&mux, CID, CONNS_MAX, BUF_ALLOC);
	for (; size >= 8; data += 8, size -= 8) {
		switch (data[0] & 7) {
		case 0:
		case 1:
		case 2:
			guest_packet(data);
			break;
		case 3:
		case 4:
			host_event(data, now_ms);
			break;
		case 5:
			host_connect(data, now_ms);
			break;
		case 6:
			for (unsigned i = data[1] & 15; i > 0; i--)
				vsock_mux_output(&mux, &header);
			break;
		default:
			now_ms += data[1] * 256u;
			expire(now_ms);
			break;
		}
		check();
	}
	/* Whatever waits comes to an end. */
	for (unsigned i = 0; vsock_mux_output(&mux, &header); i++)
		if (i > 10000)
			abort();
	vsock_mux_destroy(&mux);
	return 0;
}
