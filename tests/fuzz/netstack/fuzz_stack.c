/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that may do anything, against the whole stack with an owner that accepts everything. The
 * input is a list of operations: frames as they are, and TCP segments, fragments and datagrams
 * whose fields are near to what the stack expects, so that mutation gets deep into connections.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wire.h"
#include "netstack/conn.h"
#include "netstack/offload.h"
#include "netstack/stack.h"
#include "sim/sim_link.h"
#include "sim/sim_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONNS_MAX      8
#define OPERATIONS_MAX 200

static const struct mac gateway_mac = {{0x52, 0x55, 0, 0, 0, 1}};
static const struct mac guest_mac = {{0x52, 0x54, 0, 0, 0, 2}};

struct owned {
	struct conn *conn;
	bool connected;
};

struct fuzz {
	struct loop *loop;
	struct stack *stack;
	struct sim_link *link;
	struct owned conns[CONNS_MAX];
	/* Of the connection that segments are made for: what the stack sent last. */
	uint32_t guest_next;
	uint32_t stack_next;
	uint16_t ip_id;
	uint8_t frame[SIM_PACKET_MAX];
};

static void on_connected(void *arg)
{
	struct owned *owned = arg;

	owned->connected = true;
}

/* Takes what has come, and sends as much. */
static void on_work(void *arg)
{
	struct owned *owned = arg;
	struct iovec iov[4];
	size_t size = conn_rx_size(owned->conn);
	unsigned count;

	conn_rx_peek(owned->conn, iov, 4);
	conn_rx_consume(owned->conn, size / 2 + 1);
	count = conn_tx_reserve(owned->conn, iov, 4);
	for (unsigned i = 0; i < count; i++)
		memset(iov[i].iov_base, 'x', iov[i].iov_len < 3000 ? iov[i].iov_len : 3000);
	conn_tx_commit(owned->conn, count && iov[0].iov_len >= 3000 ? 3000 : 0);
	if (conn_rx_eof(owned->conn)) {
		conn_tx_shutdown(owned->conn);
		conn_free(owned->conn);
		owned->conn = NULL;
	}
}

static void on_ended(void *arg, enum conn_end why)
{
	struct owned *owned = arg;

	(void)why;
	conn_free(owned->conn);
	owned->conn = NULL;
}

static const struct conn_ops ops = {
	.connected = on_connected,
	.work = on_work,
	.ended = on_ended,
};

static void on_syn(void *arg, struct conn *conn)
{
	struct fuzz *fuzz = arg;

	for (unsigned i = 0; i < CONNS_MAX; i++) {
		struct owned *owned = &fuzz->conns[i];

		if (owned->conn)
			continue;
		*owned = (struct owned){.conn = conn};
		conn_own(conn, &ops, owned);
		conn_accept(conn);
		return;
	}
	conn_refuse(conn, CONN_REFUSE_RESET);
}

/* Sends it back, and complains about it. */
static void on_datagram(void *arg, const struct stack_datagram *datagram)
{
	struct fuzz *fuzz = arg;

	stack_send_udp(fuzz->stack, &datagram->dst, &datagram->src, NULL, 64, datagram->tos,
		       datagram->payload, datagram->size);
	stack_send_unreachable(fuzz->stack, STACK_UNREACH_PORT, datagram->ip, datagram->ip_size);
}

static void on_echo(void *arg, const struct stack_echo *echo)
{
	struct fuzz *fuzz = arg;

	stack_send_echo_reply(fuzz->stack, &echo->dst, &echo->src, echo->id, echo->sequence, 64, 0,
			      echo->payload, echo->size);
}

static const struct stack_handler handler = {
	.datagram = on_datagram,
	.echo = on_echo,
	.syn = on_syn,
};

static void start(struct fuzz *fuzz)
{
	static const struct link_caps caps = {
		.csum = true,
		.tso4 = true,
		.frame_max = FRAME_SIZE_MAX,
	};
	struct stack_conf conf = {.mac = gateway_mac, .mtu = 1500, .conns_max = 16};

	prefix_parse("192.168.65.0/24", &conf.subnet);
	addr_parse("192.168.65.1", &conf.gateway);
	addr_parse("192.168.65.254", &conf.alias);
	if (loop_new(&fuzz->loop) < 0)
		abort();
	loop_use_virtual_time(fuzz->loop, 1000000);
	if (stack_new(fuzz->loop, &conf, &handler, fuzz, &fuzz->stack) < 0)
		abort();
	fuzz->link = sim_link_new("fuzz", &caps);
	switch_sink(stack_switch(fuzz->stack))
		->attached(switch_sink(stack_switch(fuzz->stack))->arg, sim_link_link(fuzz->link));
}

/* Follows the connection, so that the next segment fits. */
static void read_sent(struct fuzz *fuzz)
{
	struct sim_frame *frame;

	while ((frame = sim_link_take(fuzz->link))) {
		const uint8_t *tcp = frame->bytes + 34;

		if (frame->size >= 54 && frame->bytes[12] == 8 && frame->bytes[13] == 0 &&
		    frame->bytes[23] == IPPROTO_TCP) {
			struct wire_reader r = wire_reader(tcp + 4, 8);
			uint32_t seq = wire_be32(&r);
			size_t header = (size_t)(tcp[12] >> 4) * 4;

			fuzz->guest_next = wire_be32(&r);
			fuzz->stack_next = seq + (uint32_t)(frame->size - 34 - header) +
					   ((tcp[13] & 3) != 0);
		}
		sim_frame_free(frame);
	}
}

/* A segment near to what the connection expects. */
static void segment(struct fuzz *fuzz, struct wire_reader *r)
{
	uint8_t options[40];
	static uint8_t payload[65000];
	struct sim_packet packet = {
		.src_mac = guest_mac,
		.dst_mac = gateway_mac,
		.src = {.family = AF_INET, .v4.s_addr = htonl(0xc0a84102)},
		.dst = {.family = AF_INET, .v4.s_addr = htonl(0x0a000001)},
		.protocol = IPPROTO_TCP,
		.dst_port = 80,
		.options = options,
		.payload = payload,
		.partial = true,
	};
	struct frame state = {
		.csum = FRAME_CSUM_PARTIAL,
		.csum_start = 34,
		.csum_offset = 16,
	};
	size_t size;

	packet.src_port = (uint16_t)(1000 + (wire_u8(r) & 3));
	packet.flags = wire_u8(r);
	packet.seq = fuzz->guest_next + (uint32_t)(int8_t)wire_u8(r) * 256u;
	packet.ack = fuzz->stack_next + (uint32_t)(int8_t)wire_u8(r) * 64u;
	packet.window = wire_be16(r);
	packet.payload_size = wire_be16(r) % sizeof(payload);
	packet.options_size = (wire_u8(r) % 11u) * 4;
	wire_copy(r, options, packet.options_size);
	if (!wire_ok(r))
		return;
	size = sim_packet_build(&packet, fuzz->frame);
	if (packet.payload_size > 1460) {
		state.gso = FRAME_GSO_TCP4;
		state.gso_size = 1460;
		state.header_size = (uint16_t)(54 + packet.options_size);
	}
	sim_link_inject_state(fuzz->link, fuzz->frame, size, &state);
	fuzz->guest_next += (uint32_t)packet.payload_size;
}

/* A fragment of any packet, with correct header checksum. */
static void fragment(struct fuzz *fuzz, struct wire_reader *r)
{
	static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP, 77};
	static uint8_t payload[65000];
	struct sim_packet packet = {
		.src_mac = guest_mac,
		.dst_mac = gateway_mac,
		.src = {.family = AF_INET, .v4.s_addr = htonl(0xc0a84102)},
		.dst = {.family = AF_INET, .v4.s_addr = htonl(0xc0a84101)},
		.protocol = 77,
		.payload = payload,
	};
	uint8_t *ip = fuzz->frame + 14;
	uint16_t sum;
	size_t size;

	ip[0] = wire_u8(r);
	packet.ip_id = ip[0] & 3;
	packet.ttl = (uint8_t)(1 + (ip[0] >> 2));
	sum = wire_be16(r); /* flags and offset */
	packet.payload_size = wire_be16(r) % sizeof(payload);
	memset(payload, 0, 16);
	wire_copy(r, payload, 8);
	size = sim_packet_build(&packet, fuzz->frame);
	ip[6] = (uint8_t)(sum >> 8);
	ip[7] = (uint8_t)sum;
	ip[9] = protocols[ip[8] & 3];
	ip[10] = ip[11] = 0;
	sum = (uint16_t)~sim_sum(0, ip, 20);
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
	sim_link_inject(fuzz->link, fuzz->frame, size);
}

/* A frame as it is, with whatever offload state passes the check that links make. */
static void raw(struct fuzz *fuzz, struct wire_reader *r)
{
	size_t size = wire_u8(r) * 4u;
	uint8_t kind = wire_u8(r);
	struct iovec iov = {.iov_base = fuzz->frame};
	struct frame state = {.iov = &iov, .iov_count = 1};

	if (size < 14 || size > wire_left(r))
		size = wire_left(r);
	wire_copy(r, fuzz->frame, size);
	if (size < 14 || !wire_ok(r))
		return;
	if (kind & 1)
		memcpy(fuzz->frame, gateway_mac.bytes, MAC_SIZE);
	if (kind & 2)
		memcpy(fuzz->frame + 6, guest_mac.bytes, MAC_SIZE);
	iov.iov_len = state.size = (uint32_t)size;
	state.csum = kind & 4 ? FRAME_CSUM_VALID : FRAME_CSUM_UNKNOWN;
	if (kind & 8) {
		state.csum = FRAME_CSUM_PARTIAL;
		state.csum_start = 34;
		state.csum_offset = kind & 16 ? 16 : 6;
	}
	if (offload_validate(&state) < 0)
		return;
	state.iov = NULL;
	sim_link_inject_state(fuzz->link, fuzz->frame, size, &state);
}

static void operate(struct fuzz *fuzz, struct wire_reader *r)
{
	uint8_t operation = wire_u8(r);

	switch (operation & 7) {
	case 0:
	case 1:
	case 2:
		segment(fuzz, r);
		break;
	case 3:
		raw(fuzz, r);
		break;
	case 4:
		fragment(fuzz, r);
		break;
	case 5:
		loop_advance(fuzz->loop, (uint64_t)(operation >> 3) * (operation >> 3) * 20);
		break;
	case 6:
		sim_link_set_room(fuzz->link, operation >> 3 == 31 ? 100000 : operation >> 3);
		break;
	case 7:
		loop_run_once(fuzz->loop, false);
		read_sent(fuzz);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz fuzz;
	struct wire_reader r = wire_reader(data, size);

	log_set_levels("error");
	fuzz = (struct fuzz){0};
	start(&fuzz);
	for (unsigned i = 0; i < OPERATIONS_MAX && wire_ok(&r) && wire_left(&r); i++)
		operate(&fuzz, &r);
	loop_run_once(fuzz.loop, false);
	loop_advance(fuzz.loop, 20000);
	for (unsigned i = 0; i < CONNS_MAX; i++)
		conn_free(fuzz.conns[i].conn);
	loop_run_once(fuzz.loop, false);
	stack_free(fuzz.stack);
	sim_link_free(fuzz.link);
	loop_free(fuzz.loop);
	return 0;
}
