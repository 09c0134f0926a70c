/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that may do anything, against the whole stack with an owner that accepts everything. The
 * input is a list of operations: frames as they are, and TCP segments, fragments, extension headers
 * and messages of neighbour discovery whose fields are near to what the stack expects, so that
 * mutation gets deep into connections. Bit 3 of an operation says that it is IPv6's.
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
	/* Of the connection that segments are made for, in each family: what the stack sent last.
	 */
	uint32_t guest_next[2];
	uint32_t stack_next[2];
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
		.tso6 = true,
		.frame_max = FRAME_SIZE_MAX,
	};
	struct stack_conf conf = {.mac = gateway_mac, .mtu = 1500, .conns_max = 16};

	prefix_parse("192.168.65.0/24", &conf.subnet);
	addr_parse("192.168.65.1", &conf.gateway);
	addr_parse("192.168.65.254", &conf.alias);
	prefix_parse("fd00:65::/64", &conf.prefix6);
	addr_parse("fd00:65::1", &conf.gateway6);
	addr_parse("fd00:65::fe", &conf.alias6);
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
static void follow(struct fuzz *fuzz, const struct sim_frame *frame, bool v6)
{
	size_t offset = v6 ? 54 : 34;
	const uint8_t *tcp = frame->bytes + offset;
	struct wire_reader r;
	uint32_t seq;
	size_t header;

	if (frame->size < offset + 20)
		return;
	r = wire_reader(tcp + 4, 8);
	seq = wire_be32(&r);
	header = (size_t)(tcp[12] >> 4) * 4;
	fuzz->guest_next[v6] = wire_be32(&r);
	fuzz->stack_next[v6] = seq + (uint32_t)(frame->size - offset - header) +
			       ((tcp[13] & 3) != 0);
}

static void read_sent(struct fuzz *fuzz)
{
	struct sim_frame *frame;

	while ((frame = sim_link_take(fuzz->link))) {
		const uint8_t *b = frame->bytes;

		if (frame->size >= 34 && b[12] == 8 && b[13] == 0 && b[23] == IPPROTO_TCP)
			follow(fuzz, frame, false);
		else if (frame->size >= 54 && b[12] == 0x86 && b[13] == 0xdd &&
			 b[20] == IPPROTO_TCP)
			follow(fuzz, frame, true);
		sim_frame_free(frame);
	}
}

static void set_addresses(struct sim_packet *packet, bool v6)
{
	addr_parse(v6 ? "fd00:65::2" : "192.168.65.2", &packet->src);
	addr_parse(v6 ? "2001:db8::1" : "10.0.0.1", &packet->dst);
}

/* A segment near to what the connection expects. */
static void segment(struct fuzz *fuzz, struct wire_reader *r, bool v6)
{
	uint8_t options[40];
	static uint8_t payload[65000];
	struct sim_packet packet = {
		.src_mac = guest_mac,
		.dst_mac = gateway_mac,
		.protocol = IPPROTO_TCP,
		.dst_port = 80,
		.options = options,
		.payload = payload,
		.partial = true,
	};
	struct frame state = {
		.csum = FRAME_CSUM_PARTIAL,
		.csum_start = v6 ? 54 : 34,
		.csum_offset = 16,
	};
	size_t size;

	set_addresses(&packet, v6);
	packet.src_port = (uint16_t)(1000 + (wire_u8(r) & 3));
	packet.flags = wire_u8(r);
	packet.seq = fuzz->guest_next[v6] + (uint32_t)(int8_t)wire_u8(r) * 256u;
	packet.ack = fuzz->stack_next[v6] + (uint32_t)(int8_t)wire_u8(r) * 64u;
	packet.window = wire_be16(r);
	packet.payload_size = wire_be16(r) % sizeof(payload);
	packet.options_size = (wire_u8(r) % 11u) * 4;
	wire_copy(r, options, packet.options_size);
	if (!wire_ok(r))
		return;
	size = sim_packet_build(&packet, fuzz->frame);
	if (packet.payload_size > 1460) {
		state.gso = v6 ? FRAME_GSO_TCP6 : FRAME_GSO_TCP4;
		state.gso_size = 1440;
		state.header_size = (uint16_t)(state.csum_start + 20 + packet.options_size);
	}
	sim_link_inject_state(fuzz->link, fuzz->frame, size, &state);
	fuzz->guest_next[v6] += (uint32_t)packet.payload_size;
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

/* Completes the checksum of what an IPv6 packet carries at `at` of the frame. */
static void put_sum6(uint8_t *frame, size_t size, size_t at, uint8_t protocol, size_t field)
{
	uint8_t tail[8] = {0, 0, 0, 0, 0, 0, 0, protocol};
	uint16_t sum;

	if (size < at + field + 2)
		return;
	tail[2] = (uint8_t)((size - at) >> 8);
	tail[3] = (uint8_t)(size - at);
	frame[at + field] = frame[at + field + 1] = 0;
	sum = sim_sum(sim_sum(sim_sum(0, frame + 22, 32), tail, 8), frame + at, size - at);
	sum = (uint16_t)~sum;
	frame[at + field] = (uint8_t)(sum >> 8);
	frame[at + field + 1] = (uint8_t)sum;
}

/* An IPv6 packet with extension headers as the input says, and a right checksum behind them. */
static void packet6(struct fuzz *fuzz, struct wire_reader *r)
{
	static const char *const addresses[] = {"fd00:65::2",
						"fe80::5054:ff:fe00:2",
						"::",
						"fd00:65::1",
						"fd00:65::fe",
						"2001:db8::1",
						"ff02::1:ff00:1",
						"ff02::1",
						"ff02::1:2",
						"fe80::5055:ff:fe00:1",
						"fd00:65::3",
						"ff02::2"};
	static const uint8_t protocols[] = {
		IPPROTO_ICMPV6, IPPROTO_UDP, IPPROTO_TCP, 44, 0, 60, 43, 59};
	static uint8_t payload[512];
	uint8_t choice = wire_u8(r), size = wire_u8(r), extension = wire_u8(r);
	struct sim_packet packet = {
		.src_mac = guest_mac,
		.dst_mac = gateway_mac,
		.protocol = 77,
		.ttl = choice & 0x80 ? 255 : 2,
		.payload = payload,
		.payload_size = size,
	};
	uint8_t protocol = protocols[choice >> 4 & 7];
	size_t at = 54 + (extension & 3) * 8u, frame_size;

	addr_parse(addresses[choice & 3], &packet.src);
	addr_parse(addresses[wire_u8(r) % 12], &packet.dst);
	if (addr_is_multicast(&packet.dst))
		packet.dst_mac.bytes[0] = 0x33;
	memset(payload, 0, sizeof(payload));
	wire_copy(r, payload, size < wire_left(r) ? size : wire_left(r));
	frame_size = sim_packet_build(&packet, fuzz->frame);
	fuzz->frame[20] = extension & 3 ? (extension & 4 ? 0 : 60) : protocol;
	for (size_t i = 54; i + 8 <= at && i + 8 <= frame_size; i += 8) {
		fuzz->frame[i] = i + 8 == at ? protocol : extension & 8 ? 43 : 60;
		fuzz->frame[i + 1] = 0;
	}
	if (protocol == IPPROTO_ICMPV6)
		put_sum6(fuzz->frame, frame_size, at, protocol, 2);
	else if (protocol == IPPROTO_UDP)
		put_sum6(fuzz->frame, frame_size, at, protocol, 6);
	sim_link_inject(fuzz->link, fuzz->frame, frame_size);
}

/* A fragment of IPv6, of a datagram whose checksum no one can get right but by chance. */
static void fragment6(struct fuzz *fuzz, struct wire_reader *r)
{
	static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMPV6, 60};
	static uint8_t payload[65000];
	uint8_t choice = wire_u8(r);
	size_t extra = choice & 0x40 ? 8 : 0;
	uint8_t *fragment = payload + extra;
	struct sim_packet packet = {
		.src_mac = guest_mac,
		.dst_mac = gateway_mac,
		.protocol = extra ? 60 : 44,
		.payload = payload,
	};
	uint16_t field;

	set_addresses(&packet, true);
	memset(payload, 0, 32);
	payload[0] = 44; /* where there are options before it */
	payload[2] = 1;
	payload[3] = 4;
	field = wire_be16(r);
	fragment[0] = protocols[choice >> 4 & 3];
	fragment[1] = 0;
	fragment[2] = (uint8_t)(field >> 8);
	fragment[3] = (uint8_t)field;
	fragment[7] = choice & 3;
	packet.payload_size = extra + 8 + wire_be16(r) % (sizeof(payload) - 16);
	wire_copy(r, fragment + 8, 8);
	sim_link_inject(fuzz->link, fuzz->frame, sim_packet_build(&packet, fuzz->frame));
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
		state.csum_start = kind & 32 ? 54 : 34;
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
	bool v6 = operation & 8;

	switch (operation & 7) {
	case 0:
	case 1:
	case 2:
		segment(fuzz, r, v6);
		break;
	case 3:
		if (v6)
			packet6(fuzz, r);
		else
			raw(fuzz, r);
		break;
	case 4:
		if (v6)
			fragment6(fuzz, r);
		else
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
